/* SPDX-License-Identifier: Apache-2.0 */
/* The states of random numbers in a ring: those that are read are those that were kept. */
#include "tests/testing.h"

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/reading.h"
#include "lib/base/ringfile.h"
#include "lib/base/rng_state.h"

enum {
    TORCH = 5056, /* bytes of torch's state: 624 words of 8 bytes of which half are zero */
    WORDS_FROM = 24,
    VERSION_AT = 8,
    STATES_AT = 112,
    HEAD_AT = 384
};

static char dir[64];

static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9U;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebU;
    return x ^ x >> 31;
}

/* As torch's: of a generator that has drawn so many times 624 numbers, and some more. */
static void make_state(uint8_t *out, uint64_t n_turns, uint32_t place)
{
    memset(out, 0, TORCH);
    memcpy(out + 8, &place, sizeof place);
    for (size_t i = 0; i < 624; i++) {
        const uint32_t word = (uint32_t)mix(n_turns * 1000003 + i) | 1U;
        memcpy(out + WORDS_FROM + i * 8, &word, sizeof word);
    }
}

static struct ringfile *make_ring(uint64_t bytes)
{
    struct ringfile *ring = NULL;
    struct baro_err err = {0};
    const struct ringfile_options options = {.dir = dir, .data_bytes = bytes, .rank = 3};
    if (ringfile_create(&ring, &options, &err) != 0) {
        fail_msg("%s", err.text);
    }
    return ring;
}

/* The step number says which state it is: each third turns, or all do. */
static void state_of(uint8_t *out, int64_t step, bool is_drawing)
{
    make_state(out, is_drawing ? (uint64_t)step : 7, (uint32_t)step);
}

static void keep(struct ringfile *ring, int64_t step, bool is_drawing)
{
    uint8_t bytes[TORCH];
    state_of(bytes, step, is_drawing);
    const struct ringfile_state state = {.step = step,
        .time_ns = step * 10,
        .device = -1,
        .rank = 3,
        .bytes = bytes,
        .n_bytes = TORCH};
    assert_int_equal(ringfile_put_state(ring, &state), 0);
}

struct seen {
    int64_t first;
    int64_t last;
    uint64_t n;
    uint64_t n_gpu;
    bool is_drawing;
};

static int look(const struct ringfile_state *state, void *payload)
{
    struct seen *seen = payload;
    uint8_t bytes[TORCH];
    if (state->device >= 0) {
        assert_int_equal(state->n_bytes, 16);
        seen->n_gpu++;
        return 0;
    }
    state_of(bytes, state->step, seen->is_drawing);
    assert_int_equal(state->n_bytes, TORCH);
    assert_memory_equal(state->bytes, bytes, TORCH);
    assert_int_equal(state->rank, 3);
    assert_int_equal(state->time_ns, state->step * 10);
    seen->first = seen->n++ == 0 ? state->step : seen->first;
    assert_true(seen->n == 1 || state->step > seen->last);
    seen->last = state->step;
    return 0;
}

static struct seen look_at(struct ringfile *ring, bool is_drawing)
{
    struct seen seen = {.is_drawing = is_drawing};
    assert_int_equal(ringfile_each_state(ring, look, &seen), 0);
    return seen;
}

static void a_state_is_packed_and_unpacked(void **state)
{
    uint8_t bytes[TORCH];
    uint8_t base[TORCH];
    uint8_t packed[RNG_PACKED_MAX_BYTES];
    uint8_t back[TORCH];
    make_state(bytes, 1, 5);
    make_state(base, 1, 9);
    for (size_t n = 1; n <= TORCH; n += n < 40 ? 1 : 311) {
        size_t used = rng_state_pack(bytes, n, NULL, packed, sizeof packed);
        assert_true(used > 0);
        assert_int_equal(rng_state_unpack(packed, used, NULL, back, n), 0);
        assert_memory_equal(back, bytes, n);
        assert_int_equal(rng_state_unpack(packed, used - 1, NULL, back, n), BARO_ECORRUPT);
        used = rng_state_pack(bytes, n, base, packed, sizeof packed);
        assert_int_equal(rng_state_unpack(packed, used, base, back, n), 0);
        assert_memory_equal(back, bytes, n);
        assert_true(used <= (n + 31) / 32 + 4);
    }
    assert_int_equal(rng_state_pack(bytes, TORCH, NULL, packed, 1000), 0);
    const double bad[][RNG_STATE_NUMBERS] = {
        {-2, 64, 0}, {-1, 0, 0}, {-1, 1e9, 0}, {-1, (double)NAN, 0}, {-1, 64, -1}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(rng_state_check(bad[i], packed, 2), 0);
    }
}

static void the_last_thousand_steps_are_kept_when_all_is_drawn_anew(void **state)
{
    struct ringfile *ring = make_ring(RINGFILE_DEFAULT_BYTES);
    for (int64_t step = 0; step < 2600; step++) {
        keep(ring, step, true);
        const struct ringfile_state gpu = {.step = step,
            .device = 1,
            .bytes = (const uint8_t *)"0123456789abcdef",
            .n_bytes = 16};
        assert_int_equal(ringfile_put_state(ring, &gpu), 0);
    }
    struct seen seen = look_at(ring, true);
    assert_int_equal(seen.n, RINGFILE_STATES);
    assert_int_equal(seen.first, 1600);
    assert_int_equal(seen.last, 2599);
    assert_int_equal(seen.n_gpu, 1000);
    assert_int_equal(ringfile_unlink(ring), 0);
    ringfile_close(ring);
}

static void a_small_ring_keeps_few_or_many_as_they_differ(void **state)
{
    struct ringfile *ring = make_ring(RINGFILE_MIN_BYTES);
    for (int64_t step = 0; step < 3000; step++) {
        keep(ring, step, true);
    }
    struct seen seen = look_at(ring, true);
    assert_int_equal(seen.last, 2999);
    assert_in_range(seen.n, 20, 24);
    struct ringfile *other = make_ring(RINGFILE_MIN_BYTES);
    for (int64_t step = 0; step < 3000; step++) {
        keep(other, step, false);
    }
    seen = look_at(other, false);
    assert_int_equal(seen.last, 2999);
    assert_int_equal(seen.last - seen.first + 1, seen.n);
    assert_in_range(seen.n, 120, 400);
    const uint8_t large[RNG_STATE_MAX_BYTES + 1] = {1};
    const struct ringfile_state too_long = {.bytes = large, .n_bytes = sizeof large};
    assert_int_equal(ringfile_put_state(other, &too_long), BARO_ELIMIT);
    assert_int_equal(ringfile_unlink(ring), 0);
    ringfile_close(ring);
    assert_int_equal(ringfile_unlink(other), 0);
    ringfile_close(other);
}

/* A process that keeps states until it is killed; gives the path of its ring. */
static char *kill_a_writer(bool is_drawing, int64_t wait_us)
{
    int told[2];
    assert_int_equal(pipe(told), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct ringfile *ring = make_ring(RINGFILE_MIN_BYTES);
        char path[512] = "";
        (void)snprintf(path, sizeof path, "%s", ringfile_path(ring));
        const struct record_header header = {.kind = READING_SCALAR};
        for (int64_t step = 0;; step++) {
            keep(ring, step, is_drawing);
            (void)ringfile_put_number(ring, &header, (double)step);
            if (step == 60 && write(told[1], path, sizeof path) < 0) {
                _exit(1);
            }
        }
    }
    char *path = calloc(512, 1);
    assert_int_equal(read(told[0], path, 512), 512);
    (void)usleep((useconds_t)wait_us);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    (void)close(told[0]);
    (void)close(told[1]);
    return path;
}

static void what_a_killed_process_kept_is_whole(void **state)
{
    for (int turn = 0; turn < 12; turn++) {
        const bool is_drawing = turn % 2 == 0;
        char *path = kill_a_writer(is_drawing, turn * 700);
        struct ringfile *ring = NULL;
        assert_int_equal(ringfile_open(&ring, path, RINGFILE_RECOVER, NULL), 0);
        struct seen seen = look_at(ring, is_drawing);
        assert_true(seen.n >= 20 && seen.last >= 60);
        assert_int_equal(seen.last - seen.first + 1, seen.n);
        assert_int_equal(ringfile_unlink(ring), 0);
        ringfile_close(ring);
        free(path);
    }
}

static void poured_states_are_the_next_records(void **state)
{
    char *path = kill_a_writer(false, 3000);
    struct ringfile *ring = NULL;
    assert_int_equal(ringfile_open(&ring, path, RINGFILE_RECOVER, NULL), 0);
    const struct seen seen = look_at(ring, false);
    uint8_t *buffer = calloc(RECORD_MAX_BYTES, 1);
    struct ringfile_cursor cursor = {0};
    size_t n_bytes = 0;
    size_t n_records = 0;
    do {
        assert_int_equal(
            ringfile_read(ring, &cursor, buffer, RECORD_MAX_BYTES, 0, &n_bytes, &n_records),
            0);
    } while (n_records > 0);
    uint64_t n = 0;
    assert_int_equal(ringfile_pour_states(ring, cursor.seq - 1, &n), 0);
    assert_true(n > 0 && n <= seen.n);
    uint64_t n_read = 0;
    do {
        assert_int_equal(
            ringfile_read(ring, &cursor, buffer, RECORD_MAX_BYTES, 0, &n_bytes, &n_records),
            0);
        const uint8_t *at = buffer;
        struct record_header header;
        const uint8_t *payload = NULL;
        while (record_next(&at, buffer + n_bytes, &header, &payload) == 1) {
            struct reading reading;
            uint8_t bytes[TORCH];
            uint8_t back[TORCH];
            assert_int_equal(reading_check(&header, payload, 0, 0, &reading, NULL), 0);
            assert_int_equal(header.kind, READING_RNG);
            assert_int_equal(
                rng_state_unpack(reading.extra, reading.extra_bytes, NULL, back, TORCH), 0);
            state_of(bytes, header.step, false);
            assert_memory_equal(back, bytes, TORCH);
            n_read++;
            assert_int_equal(header.step, seen.last - (int64_t)(n - n_read));
        }
    } while (n_records > 0);
    assert_int_equal(n_read, n);
    assert_int_equal(cursor.n_lost, 0);
    assert_int_equal(cursor.n_damaged_bytes, 0);
    assert_int_equal(ringfile_pour_states(ring, cursor.seq - 1, &n), 0);
    assert_int_equal(n, 0);
    free(buffer);
    assert_int_equal(ringfile_unlink(ring), 0);
    ringfile_close(ring);
    free(path);
}

static void patch(const char *path, off_t offset, const void *bytes, size_t n)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, bytes, n, offset), n);
    (void)close(fd);
}

static void what_is_kept_after_others_were_forgotten_needs_none_of_them(void **state)
{
    struct ringfile *ring = make_ring(RINGFILE_MIN_BYTES);
    for (int64_t step = 0; step < 2000; step++) {
        keep(ring, step, false);
        if (step % 700 == 99) {
            assert_int_equal(ringfile_forget_states(ring), 0);
            assert_int_equal(look_at(ring, false).n, 0);
        }
        if (step % 700 == 140) {
            const struct seen seen = look_at(ring, false);
            assert_int_equal(seen.n, 41);
            assert_int_equal(seen.last, step);
        }
    }
    assert_int_equal(ringfile_unlink(ring), 0);
    ringfile_close(ring);
}

static void a_torn_state_is_passed_over(void **state)
{
    char *path = kill_a_writer(true, 0);
    struct ringfile *ring = NULL;
    struct ringfile_info info;
    assert_int_equal(ringfile_open(&ring, path, RINGFILE_RECOVER, NULL), 0);
    const struct seen before = look_at(ring, true);
    assert_int_equal(ringfile_read_info(ring, &info), 0);
    const off_t area = (off_t)(RINGFILE_HEADER_BYTES + info.sticky_bytes + info.data_bytes);
    const uint8_t rubbish[64] = {1, 2, 3};
    patch(path, area + 30000, rubbish, sizeof rubbish);
    struct seen seen = {.is_drawing = true};
    assert_int_equal(ringfile_each_state(ring, look, &seen), 0);
    assert_in_range(seen.n, before.n - 3, before.n - 1);
    const uint64_t heads[] = {3, UINT64_MAX, 1 << 30};
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        patch(path, HEAD_AT, &heads[i], sizeof heads[i]);
        assert_int_equal(ringfile_each_state(ring, look, &seen), BARO_ECORRUPT);
    }
    ringfile_close(ring);
    assert_int_equal(unlink(path), 0);
    free(path);
}

static void a_ring_of_the_version_before_is_read(void **state)
{
    char *path = kill_a_writer(true, 0);
    struct ringfile *ring = NULL;
    struct ringfile_info info;
    assert_int_equal(ringfile_open(&ring, path, RINGFILE_RECOVER, NULL), 0);
    assert_int_equal(ringfile_read_info(ring, &info), 0);
    ringfile_close(ring);
    const uint32_t version = 1;
    const uint64_t none = 0;
    patch(path, VERSION_AT, &version, sizeof version);
    patch(path, STATES_AT, &none, sizeof none);
    assert_int_equal(truncate(path, (off_t)(RINGFILE_HEADER_BYTES + info.sticky_bytes +
                                            info.data_bytes)),
        0);
    assert_int_equal(ringfile_open(&ring, path, RINGFILE_RECOVER, NULL), 0);
    const struct seen seen = look_at(ring, true);
    assert_int_equal(seen.n, 0);
    uint64_t n = 1;
    assert_int_equal(ringfile_pour_states(ring, 100, &n), 0);
    assert_int_equal(n, 0);
    uint64_t buffer[64];
    struct ringfile_cursor cursor = {0};
    size_t n_bytes = 0;
    size_t n_records = 0;
    assert_int_equal(
        ringfile_read(ring, &cursor, buffer, sizeof buffer, 0, &n_bytes, &n_records), 0);
    assert_true(n_records > 0);
    ringfile_close(ring);
    assert_int_equal(unlink(path), 0);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_state_is_packed_and_unpacked),
        cmocka_unit_test(the_last_thousand_steps_are_kept_when_all_is_drawn_anew),
        cmocka_unit_test(a_small_ring_keeps_few_or_many_as_they_differ),
        cmocka_unit_test(what_a_killed_process_kept_is_whole),
        cmocka_unit_test(poured_states_are_the_next_records),
        cmocka_unit_test(what_is_kept_after_others_were_forgotten_needs_none_of_them),
        cmocka_unit_test(a_torn_state_is_passed_over),
        cmocka_unit_test(a_ring_of_the_version_before_is_read),
    };
    (void)snprintf(dir, sizeof dir, "/tmp/baro-test-rng-%d", (int)getpid());
    if (mkdir(dir, 0700) != 0) {
        return 1;
    }
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    (void)rmdir(dir);
    return rc;
}
