/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the training thread never does while it pushes: no system call, no allocation. The kernel
 * itself counts: a filter on that thread alone turns every system call into a signal. And the
 * process's memory does not grow while nobody takes the records.
 */
#include "tests/testing.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lib/push/baro.h"

enum {
    N_SCALARS = 100000,
    N_TENSORS = 1000,
    PER_STEP = 100,
    ROWS = 64,
    COLS = 48,
    RING_BYTES = 1 << 20,
    N_RECORDS = 1000000
};

static char ring_dir[64];
static volatile sig_atomic_t n_calls;
static volatile sig_atomic_t last_call;
static __thread volatile long n_allocations;

#ifdef TEST_IS_SANITIZED
static const bool is_counted = false; /* a sanitizer has an allocator of its own */
#elif defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
static const bool is_counted = false;
#else
static const bool is_counted = true;

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *old, size_t n);

void *malloc(size_t n)
{
    n_allocations++;
    return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    n_allocations++;
    return __libc_calloc(n, size);
}

void *realloc(void *old, size_t n)
{
    n_allocations++;
    return __libc_realloc(old, n);
}
#endif

static void on_call(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    n_calls++;
    last_call = info->si_syscall;
}

/* From here on every system call of this thread is counted, and not done. */
static bool watch_calls(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigreturn, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {sizeof code / sizeof code[0], code};
    struct sigaction action = {.sa_sigaction = on_call, .sa_flags = SA_SIGINFO};
    return sigaction(SIGSYS, &action, NULL) == 0 &&
           prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* A sender that has nobody to send to is at work meanwhile. */
static struct baro_run *open_run(uint64_t ring_bytes)
{
    struct baro_err err = {0};
    struct baro_options options = BARO_OPTIONS_INIT;
    char endpoint[96];
    (void)snprintf(endpoint, sizeof endpoint, "ipc://%s/no.sock", ring_dir);
    options.mode = "online";
    options.endpoint = endpoint;
    options.ring_dir = ring_dir;
    options.ring_bytes = ring_bytes;
    struct baro_run *run = baro_open(&options, &err);
    if (run == NULL) {
        fail_msg("%s", err.text);
    }
    return run;
}

/* What the thread of a training loop finds out; asserting is not for threads. */
struct finding {
    struct baro_run *run;
    bool can_watch;
    int n_clock_calls; /* a clock that takes system calls here is nobody's fault */
    int n_calls;
    int last_call;
    long n_allocations;
    int n_refused;
};

static void push_tensors(struct finding *f, int64_t id, const float *data)
{
    const int64_t shape[2] = {ROWS, COLS};
    struct baro_tensor t = {.role = BARO_WEIGHT,
        .dtype = BARO_F32,
        .n_dims = 2,
        .shape = shape,
        .data = data,
        .unit_axis = 0};
    for (int i = 0; i < N_TENSORS; i++) {
        t.name = i % 2 == 0 ? "layer.weight" : NULL; /* looked up, and by id alone */
        t.id = i % 2 == 0 ? 0 : (uint32_t)id;
        f->n_refused += baro_tensor(f->run, &t) != 0;
    }
}

static void push_scalars(struct finding *f, int64_t id)
{
    for (int i = 0; i < N_SCALARS; i++) {
        int rc = i % 2 == 0 ? baro_scalar(f->run, "train/loss", i)
                            : baro_scalar_id(f->run, id, i);
        f->n_refused += rc != 0;
    }
}

static void *train(void *payload)
{
    struct finding *f = payload;
    static float data[ROWS * COLS];
    for (int i = 0; i < ROWS * COLS; i++) {
        data[i] = (float)(i % 37) - 18.0F;
    }
    const int64_t shape[2] = {ROWS, COLS};
    const struct baro_tensor weight = {.name = "layer.weight",
        .role = BARO_WEIGHT,
        .dtype = BARO_F32,
        .n_dims = 2,
        .shape = shape,
        .data = data,
        .unit_axis = 0};
    int64_t scalar = baro_declare_scalar(f->run, "train/loss");
    int64_t tensor = baro_declare_tensor(f->run, &weight);
    for (int64_t step = 0; step < 3; step++) {
        (void)baro_step(f->run, step);
        (void)baro_scalar_id(f->run, scalar, 0);
        (void)baro_tensor(f->run, &weight);
    }
    f->can_watch = watch_calls();
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    (void)clock_gettime(CLOCK_REALTIME, &t);
    f->n_clock_calls = n_calls;
    n_calls = 0;
    long before = n_allocations;
    for (int64_t step = 3; step < 13; step++) {
        (void)baro_step(f->run, step);
    }
    push_scalars(f, scalar);
    push_tensors(f, tensor, data);
    f->n_allocations = n_allocations - before;
    f->n_calls = n_calls;
    f->last_call = last_call;
    return NULL;
}

/* The filter would stop valgrind's own system calls. */
static bool is_under_valgrind(void)
{
    const char *preload = getenv("LD_PRELOAD");
    return preload != NULL && strstr(preload, "vgpreload") != NULL;
}

static void pushing_makes_no_system_call_and_allocates_nothing(void **state)
{
    struct finding f = {.run = open_run(RING_BYTES)};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, train, &f), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    (void)baro_close(f.run, 0);
    if (!f.can_watch || f.n_clock_calls > 0) {
        print_message(
            "# this kernel does not let its calls be counted, or its clock is one\n");
        return;
    }
    assert_int_equal(f.n_refused, 0);
    if (f.n_calls != 0) {
        fail_msg("%d system calls, the last one number %d", f.n_calls, f.last_call);
    }
    if (is_counted) {
        assert_int_equal(f.n_allocations, 0);
    }
}

/* Bytes that this process alone has in memory, without what it shares: its ring. */
static long private_bytes(void)
{
    long all = 0;
    long shared = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*d %ld %ld", &all, &shared), 2);
    (void)fclose(file);
    return (all - shared) * sysconf(_SC_PAGESIZE);
}

static void memory_stays_what_was_given_while_nobody_takes_the_records(void **state)
{
    enum { MOST_GROWTH = 1 << 20 };
    struct baro_run *run = open_run(4 * RING_BYTES);
    int64_t id = baro_declare_scalar(run, "train/loss");
    for (int i = 0; i < N_RECORDS / 10; i++) {
        (void)baro_scalar_id(run, id, i);
    }
    const long before = private_bytes();
    for (int i = 0; i < TEST_ROUNDS(N_RECORDS); i++) {
        if (i % PER_STEP == 0) {
            (void)baro_step(run, i / PER_STEP);
        }
        (void)baro_scalar_id(run, id, i);
    }
    const long growth = private_bytes() - before;
    struct baro_stats stats;
    assert_int_equal(baro_stats(run, &stats), 0);
    assert_true(stats.ring_used_bytes <= 4 * RING_BYTES);
    assert_true(stats.n_dropped > 0);
    assert_int_equal(baro_close(run, 0), BARO_ETIMEOUT);
    if (is_counted && growth > MOST_GROWTH) {
        fail_msg("memory grew by %ld bytes", growth);
    }
}

static int set_up(void **state)
{
    (void)snprintf(ring_dir, sizeof ring_dir, "/tmp/baro-hot-XXXXXX");
    return mkdtemp(ring_dir) == NULL;
}

static int clean(void **state)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", ring_dir);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_stays_what_was_given_while_nobody_takes_the_records),
        cmocka_unit_test(pushing_makes_no_system_call_and_allocates_nothing),
    };
    const struct CMUnitTest memory_alone[] = {tests[0]};
    /* The runtimes of sanitizers and valgrind make calls of their own. */
    return is_counted && !is_under_valgrind()
               ? cmocka_run_group_tests(tests, set_up, clean)
               : cmocka_run_group_tests(memory_alone, set_up, clean);
}
