/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Closing a run when things are in the way: threads that still push, another that closes it too,
 * a host name whose look-up hangs, a peer that never answers, a callback that does not come back.
 */
#include "tests/testing.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/keys/keys.h"
#include "lib/push/baro.h"

#define MS UINT64_C(1000000)
enum { N_THREADS = 4, ROUNDS = TEST_ROUNDS(12), SIDE = 256 };

static char dir[128];
static char key_path[160];
static struct baro_run *kept[8]; /* those that a thread still has: they stay for good */

static void pause_ms(long ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&pause, NULL);
}

/* ---- a name server that does not answer ---- */

static atomic_int n_lookups;
static atomic_bool is_answered;

/* libzmq finds this one before libc's. */
__attribute__((visibility("default"))) int getaddrinfo(const char *name,
    const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
    (void)name;
    (void)service;
    (void)hints;
    *out = NULL;
    (void)atomic_fetch_add(&n_lookups, 1);
    while (!atomic_load(&is_answered)) {
        pause_ms(1);
    }
    return EAI_NONAME;
}

/* ---- runs ---- */

static int set_up(void **state)
{
    struct keys_pair pair;
    struct keys_pair server;
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/baro-close-XXXXXX");
    if (mkdtemp(dir) == NULL || keys_make(&pair, "me", NULL) != 0 ||
        keys_make(&server, "daemon", NULL) != 0) {
        return -1;
    }
    pair.has_server = true;
    memcpy(pair.server_key, server.public_key, KEYS_BYTES);
    (void)snprintf(key_path, sizeof key_path, "%s/key", dir);
    return keys_write(key_path, &pair, NULL);
}

static int tear_down(void **state)
{
    char command[160];
    (void)state;
    (void)snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

static struct baro_run *open_run(
    const char *endpoint, void (*on_message)(const char *, void *))
{
    struct baro_err err = {0};
    struct baro_options options = BARO_OPTIONS_INIT;
    options.project = "close";
    options.endpoint = endpoint;
    options.mode = endpoint == NULL ? "offline" : NULL;
    options.key_file = key_path;
    options.ring_dir = dir;
    options.ring_bytes = 1 << 20;
    options.on_message = on_message;
    struct baro_run *run = baro_open(&options, &err);
    if (run == NULL) {
        fail_msg("%s", err.text);
    }
    return run;
}

/* Close a run that cannot be delivered, and see that it takes no longer than it may. */
static void close_within(struct baro_run *run, int timeout_ms, uint64_t more_ms)
{
    uint64_t began_ns = baro_now_ns();
    assert_int_equal(baro_close(run, timeout_ms), BARO_ETIMEOUT);
    uint64_t took_ms = (baro_now_ns() - began_ns) / MS;
    if (took_ms > (uint64_t)timeout_ms + more_ms) {
        fail_msg("closing took %d ms", (int)took_ms);
    }
}

static int count_threads(void)
{
    int n = 0;
    DIR *folder = opendir("/proc/self/task");
    assert_non_null(folder);
    for (const struct dirent *entry = readdir(folder); entry != NULL;
         entry = readdir(folder)) {
        n += entry->d_name[0] != '.' ? 1 : 0;
    }
    (void)closedir(folder);
    return n;
}

static void await_threads(int n)
{
    uint64_t end_ns = baro_now_ns() + 20000 * MS;
    while (count_threads() > n && baro_now_ns() < end_ns) {
        pause_ms(5);
    }
    assert_true(count_threads() <= n);
}

/* ---- threads that push ---- */

static struct baro_run *shared;
static int64_t scalar_id;
static uint32_t tensor_id;
static atomic_bool is_over;
static atomic_int n_faults;

static struct baro_tensor tensor_of(const float *data, const int64_t *shape)
{
    return (struct baro_tensor){.name = "fc1.weight",
        .role = BARO_WEIGHT,
        .dtype = BARO_F32,
        .n_dims = 2,
        .shape = shape,
        .data = data,
        .unit_axis = 0,
        .id = tensor_id};
}

static void expect(int rc)
{
    /* BARO_EBUSY: on a crowded machine the ring was held too long; it is counted. */
    (void)atomic_fetch_add(&n_faults, rc != 0 && rc != BARO_EBUSY ? 1 : 0);
}

static void *push_everything(void *payload)
{
    static const float before[SIDE * SIDE] = {2};
    static const float after[SIDE * SIDE] = {1};
    const int64_t shape[2] = {SIDE, SIDE};
    const int64_t samples[3] = {1, 2, 3};
    const double value = 1.5;
    const struct baro_tensor was = tensor_of(before, shape);
    const struct baro_tensor is = tensor_of(after, shape);
    const struct baro_summarised summary = {.count = SIDE * SIDE,
        .n_zero = SIDE * SIDE,
        .first_bad_unit = -1,
        .first_bad_row = -1};
    (void)payload;
    for (int64_t step = 0; !atomic_load(&is_over); step++) {
        char text[64];
        uint8_t is_due = 0;
        struct baro_stats stats;
        expect(baro_step(shared, step));
        expect(baro_scalar(shared, "loss", value));
        expect(baro_scalar_id(shared, scalar_id, value));
        expect(baro_scalars(shared, &scalar_id, &value, 1));
        expect(baro_scalar_at(shared, scalar_id, step, value));
        (void)snprintf(text, sizeof text, "name %d", (int)(step % 50));
        expect(baro_declare_scalar(shared, text) < 0 ? -1 : 0);
        expect(baro_due(shared, &tensor_id, 1, &is_due) < 0 ? -1 : 0);
        expect(baro_tensor(shared, &is));
        expect(baro_update(shared, &was, &is));
        expect(baro_summary(shared, &is, &summary));
        expect(baro_spent(shared, tensor_id, 10));
        expect(baro_trouble(shared, 1));
        expect(baro_batch(shared, samples, 3));
        expect(baro_event(shared, BARO_INFO, "an event"));
        expect(baro_stats(shared, &stats));
        (void)baro_news(shared, text, sizeof text);
    }
    return NULL;
}

static void *close_it(void *payload)
{
    (void)payload;
    (void)baro_close(shared, 0);
    return NULL;
}

static void push_and_close(bool is_closed_twice)
{
    pthread_t threads[N_THREADS + 1];
    const int64_t shape[2] = {SIDE, SIDE};
    const int n_all = N_THREADS + (is_closed_twice ? 1 : 0);
    tensor_id = 0;
    shared = open_run(NULL, NULL);
    const struct baro_tensor tensor = tensor_of(NULL, shape);
    scalar_id = baro_declare_scalar(shared, "by id");
    tensor_id = (uint32_t)baro_declare_tensor(shared, &tensor);
    atomic_store(&is_over, false);
    for (int i = 0; i < n_all; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL,
                             i < N_THREADS ? push_everything : close_it, NULL),
            0);
    }
    pause_ms(is_closed_twice ? 0 : 5);
    (void)baro_close(shared, 0);
    pause_ms(2); /* they go on for a while and are turned away */
    atomic_store(&is_over, true);
    for (int i = 0; i < n_all; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    assert_int_equal(atomic_load(&n_faults), 0);
    struct baro_stats stats;
    assert_int_equal(baro_stats(shared, &stats), 0);
    assert_true(stats.n_pushed > 0 && stats.is_connected == 0);
}

static void every_call_may_come_while_another_thread_closes_the_run(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        push_and_close(false);
    }
}

static void two_threads_may_close_a_run_at_once(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        push_and_close(true);
    }
}

/* ---- what hangs ---- */

static void a_host_name_that_is_looked_up_for_ever_holds_nobody_up(void **state)
{
    (void)state;
    int n_threads = count_threads();
    uint64_t worst_ns = 0;
    struct baro_run *run = open_run("tcp://daemon.example.invalid:7777", NULL);
    kept[0] = run;
    uint64_t end_ns = baro_now_ns() + 20000 * MS;
    while (atomic_load(&n_lookups) == 0 && baro_now_ns() < end_ns) {
        uint64_t began_ns = baro_now_ns();
        (void)baro_scalar(run, "loss", 1);
        uint64_t took_ns = baro_now_ns() - began_ns;
        worst_ns = took_ns > worst_ns ? took_ns : worst_ns;
        pause_ms(1);
    }
    assert_true(atomic_load(&n_lookups) > 0);
    assert_true(worst_ns < 1000 * MS);
    close_within(run, 300, 1500);
    atomic_store(&is_answered, true);
    await_threads(n_threads);
}

static void a_peer_that_takes_the_connection_and_says_nothing_holds_nobody_up(void **state)
{
    char endpoint[64];
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t n_bytes = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)state;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &n_bytes), 0);
    (void)snprintf(
        endpoint, sizeof endpoint, "tcp://127.0.0.1:%d", ntohs(address.sin_port));
    struct baro_run *run = open_run(endpoint, NULL);
    assert_int_equal(baro_scalar(run, "loss", 1), 0);
    pause_ms(100);
    close_within(run, 300, 1500);
    (void)close(listener);
}

static atomic_bool has_called_back;
static atomic_bool may_return;

static void never_return(const char *text, void *payload)
{
    (void)text;
    (void)payload;
    atomic_store(&has_called_back, true);
    while (!atomic_load(&may_return)) {
        pause_ms(1);
    }
}

static void a_callback_that_does_not_come_back_holds_nobody_up_for_long(void **state)
{
    (void)state;
    int n_threads = count_threads();
    struct baro_run *run = open_run("ipc:///nonexistent/folder/barod.sock", never_return);
    kept[1] = run;
    uint64_t end_ns = baro_now_ns() + 20000 * MS;
    while (!atomic_load(&has_called_back) && baro_now_ns() < end_ns) {
        pause_ms(5);
    }
    assert_true(atomic_load(&has_called_back));
    close_within(run, 100, 2500); /* a second for the thread */
    assert_int_equal(baro_scalar(run, "loss", 1), 0);
    atomic_store(&may_return, true);
    await_threads(n_threads);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_may_come_while_another_thread_closes_the_run),
        cmocka_unit_test(two_threads_may_close_a_run_at_once),
        cmocka_unit_test(a_host_name_that_is_looked_up_for_ever_holds_nobody_up),
        cmocka_unit_test(a_peer_that_takes_the_connection_and_says_nothing_holds_nobody_up),
        cmocka_unit_test(a_callback_that_does_not_come_back_holds_nobody_up_for_long),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
