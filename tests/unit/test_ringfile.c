/* SPDX-License-Identifier: Apache-2.0 */
/* The ring file against a plain model: every record read is one that was put, whole. */
#include "tests/testing.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/ringfile.h"

enum {
    RING = RINGFILE_MIN_BYTES,
    BUFFER = RECORD_MAX_BYTES,
    DROPS_KIND = 8,
    HEAD_OFFSET = 192
};

static char dir[64];
static uint8_t *buffer;

static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9U;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebU;
    return x ^ x >> 31;
}

/* Payload of a record is a function of its number alone. */
static size_t payload_bytes(uint64_t id, size_t max)
{
    uint64_t r = mix(id * 3 + 1);
    if (r % 4 == 1) {
        return sizeof(double);
    }
    return r % 16 == 0 ? (size_t)(mix(r) % (max + 1)) : (size_t)(r >> 8) % 100;
}

static void fill(uint8_t *out, size_t n, uint64_t id)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = (uint8_t)mix(id + i / 8 * 1000003) + (uint8_t)i;
    }
}

static struct ringfile *make_ring(uint64_t bytes)
{
    struct ringfile *ring = NULL;
    struct baro_err err = {0};
    const struct ringfile_options options = {.dir = dir, .data_bytes = bytes, .rank = 3};
    int rc = ringfile_create(&ring, &options, &err);
    if (rc != 0) {
        fail_msg("%s", err.text);
    }
    return ring;
}

/* Put record number id in up to three pieces of any length. */
static int put(struct ringfile *ring, uint64_t id, size_t max)
{
    static __thread uint8_t bytes[65536];
    size_t n = payload_bytes(id, max);
    size_t a = n > 0 ? (size_t)mix(id) % (n + 1) : 0;
    size_t b = n > a ? (size_t)mix(id + 9) % (n - a + 1) : 0;
    fill(bytes, n, id);
    const struct ringfile_part parts[3] = {
        {bytes, a}, {bytes + a, b}, {bytes + a + b, n - a - b}};
    const struct record_header header = {.kind = 1,
        .thing = (uint32_t)(id >> 32),
        .step = (int64_t)id,
        .time_ns = (int64_t)mix(id)};
    if (n == sizeof(double) && mix(id) % 3 > 0) { /* the same record by the shorter way */
        double value;
        memcpy(&value, bytes, sizeof value);
        return ringfile_put_number(ring, &header, value);
    }
    return ringfile_put(ring, &header, parts, 3);
}

static void check_record(
    const struct record_header *header, const uint8_t *payload, size_t max)
{
    static __thread uint8_t expected[65536];
    uint64_t id = (uint64_t)header->step;
    size_t n = payload_bytes(id, max);
    assert_int_equal(header->payload_bytes, n);
    assert_int_equal(header->time_ns, (int64_t)mix(id));
    fill(expected, n, id);
    assert_memory_equal(payload, expected, n);
}

/* Read what is there now, check it, and give how many records there were. */
static uint64_t drain(struct ringfile *ring, struct ringfile_cursor *cursor,
    size_t out_bytes, size_t max_records, size_t max)
{
    size_t n_bytes = 0;
    size_t n_records = 0;
    uint64_t expected_seq = 0;
    assert_int_equal(
        ringfile_read(ring, cursor, buffer, out_bytes, max_records, &n_bytes, &n_records),
        0);
    const uint8_t *at = buffer;
    struct record_header header;
    const uint8_t *payload;
    uint64_t n = 0;
    while (record_next(&at, buffer + n_bytes, &header, &payload) == 1) {
        check_record(&header, payload, max);
        assert_true(expected_seq == 0 || header.seq == expected_seq);
        expected_seq = header.seq + 1;
        n++;
    }
    assert_int_equal(n, n_records);
    assert_true(n == 0 || cursor->seq == expected_seq);
    return n;
}

static int set_up(void **state)
{
    (void)snprintf(dir, sizeof dir, "/tmp/baro-ring-XXXXXX");
    buffer = malloc(BUFFER);
    return mkdtemp(dir) == NULL || buffer == NULL;
}

static int clean(void **state)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", dir);
    free(buffer);
    return system(command);
}

static void what_goes_in_comes_out_whole_and_in_order(void **state)
{
    struct ringfile *ring = make_ring(RING);
    struct ringfile_cursor cursor = {0};
    uint64_t n_read = 0;
    for (uint64_t id = 1; id <= 20000; id++) {
        assert_int_equal(put(ring, id, 5000), 0);
        if (mix(id) % 50 == 0) {
            uint64_t n;
            while ((n = drain(ring, &cursor, 65536, mix(id) % 9, 5000)) > 0) {
                n_read += n;
            }
            assert_int_equal(n_read, id);
        }
    }
    while (drain(ring, &cursor, BUFFER, 0, 5000) > 0) {
    }
    assert_int_equal(cursor.seq, 20001);
    assert_int_equal(cursor.n_lost, 0);
    assert_int_equal(cursor.n_damaged_bytes, 0);
    assert_int_equal(ringfile_unlink(ring), 0);
    ringfile_close(ring);
}

static void the_oldest_give_way_and_are_counted_as_a_model_does(void **state)
{
    struct ringfile *ring = make_ring(RING);
    uint64_t sizes[30001];
    uint64_t first = 1;
    uint64_t used = 0;
    uint64_t dropped_bytes = 0;
    for (uint64_t id = 1; id <= 30000; id++) {
        sizes[id] = record_bytes((uint32_t)payload_bytes(id, 9000));
        while (used + sizes[id] > RING) {
            used -= sizes[first];
            dropped_bytes += sizes[first++];
        }
        used += sizes[id];
        assert_int_equal(put(ring, id, 9000), 0);
    }
    assert_true(first > 1);
    struct ringfile_info info;
    assert_int_equal(ringfile_read_info(ring, &info), 0);
    assert_int_equal(info.dropped_records, first - 1);
    assert_int_equal(info.dropped_bytes, dropped_bytes);
    assert_int_equal(info.unacked_bytes, used);
    struct ringfile_cursor cursor = {.seq = 1};
    uint64_t n_read = 0;
    uint64_t n;
    while ((n = drain(ring, &cursor, 100000, 0, 9000)) > 0) {
        n_read += n;
    }
    assert_int_equal(cursor.n_lost, first - 1);
    assert_int_equal(n_read, 30000 - (first - 1));
    assert_int_equal(ringfile_unlink(ring), 0);
    ringfile_close(ring);
}

static void a_reader_at_any_lag_gets_whole_records_or_a_count(void **state)
{
    struct ringfile *ring = make_ring(RING);
    struct ringfile_cursor cursor = {.seq = 1};
    uint64_t n_read = 0;
    uint64_t id = 0;
    for (int turn = 0; turn < 300; turn++) {
        uint64_t n_put = mix((uint64_t)turn) % 700;
        for (uint64_t i = 0; i < n_put; i++) {
            assert_int_equal(put(ring, ++id, 30000), 0);
        }
        uint64_t n_reads = mix((uint64_t)turn + 77) % 4;
        for (uint64_t i = 0; i < n_reads; i++) {
            n_read += drain(ring, &cursor, 200000, 0, 30000);
        }
    }
    uint64_t n;
    while ((n = drain(ring, &cursor, BUFFER, 0, 30000)) > 0) {
        n_read += n;
    }
    assert_true(cursor.n_lost > 0);
    assert_int_equal(n_read + cursor.n_lost, id);
    assert_int_equal(ringfile_unlink(ring), 0);
    ringfile_close(ring);
}

/* ---- threads ---- */

enum { N_WRITERS = 3, PER_WRITER = 30000 };
static atomic_int n_writing;

struct writer {
    struct ringfile *ring;
    uint64_t number;
    uint64_t n_refused;
};

static void *write_many(void *payload)
{
    struct writer *writer = payload;
    for (uint64_t i = 0; i < PER_WRITER; i++) {
        if (put(writer->ring, writer->number << 32 | i, 2000) != 0) {
            writer->n_refused++;
        }
    }
    atomic_fetch_sub(&n_writing, 1);
    return NULL;
}

static void threads_push_while_one_reads(void **state)
{
    struct ringfile *ring = make_ring(RING);
    pthread_t threads[N_WRITERS];
    struct writer writers[N_WRITERS];
    uint64_t last[N_WRITERS + 1] = {0};
    atomic_store(&n_writing, N_WRITERS);
    for (unsigned i = 0; i < N_WRITERS; i++) {
        writers[i] = (struct writer){ring, i + 1, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, &writers[i]), 0);
    }
    struct ringfile_cursor cursor = {.seq = 1};
    uint64_t n_read = 0;
    bool is_last = false;
    while (true) {
        size_t n_bytes = 0;
        size_t n_records = 0;
        assert_int_equal(
            ringfile_read(ring, &cursor, buffer, 100000, 0, &n_bytes, &n_records), 0);
        const uint8_t *at = buffer;
        struct record_header header;
        const uint8_t *payload;
        while (record_next(&at, buffer + n_bytes, &header, &payload) == 1) {
            check_record(&header, payload, 2000);
            assert_in_range(header.thing, 1, N_WRITERS);
            assert_true((uint64_t)header.step >= last[header.thing]);
            last[header.thing] = (uint64_t)header.step;
        }
        n_read += n_records;
        if (n_records == 0 && is_last) {
            break;
        }
        is_last = atomic_load(&n_writing) == 0;
    }
    uint64_t n_refused = 0;
    for (unsigned i = 0; i < N_WRITERS; i++) {
        (void)pthread_join(threads[i], NULL);
        n_refused += writers[i].n_refused;
    }
    assert_int_equal(cursor.n_damaged_bytes, 0);
    assert_int_equal(n_read + cursor.n_lost + n_refused, (uint64_t)N_WRITERS * PER_WRITER);
    assert_int_equal(ringfile_head_seq(ring) + n_refused, (uint64_t)N_WRITERS * PER_WRITER);
    assert_int_equal(ringfile_unlink(ring), 0);
    ringfile_close(ring);
}

/* ---- acknowledgements ---- */

static void only_what_nobody_has_counts_as_dropped(void **state)
{
    struct ringfile *ring = make_ring(RING);
    struct ringfile_info info;
    for (uint64_t id = 1; id <= 1000; id++) {
        assert_int_equal(put(ring, id, 90), 0);
    }
    assert_int_equal(ringfile_set_sent(ring, 900), 1);
    ringfile_set_acked(ring, 500, false);
    ringfile_set_acked(ring, 400, false);  /* going back is ignored */
    ringfile_set_acked(ring, 5000, false); /* and so is what does not exist */
    assert_int_equal(ringfile_read_info(ring, &info), 0);
    assert_int_equal(info.acked_seq, 500);
    uint64_t id = 1000;
    struct ringfile_cursor oldest;
    do { /* until the first thousand are gone */
        assert_int_equal(put(ring, ++id, 90), 0);
        oldest = (struct ringfile_cursor){0};
        (void)drain(ring, &oldest, 4096, 1, 90);
    } while (oldest.seq - 1 <= 1000);
    uint64_t n_gone = oldest.seq - 2;
    assert_int_equal(ringfile_read_info(ring, &info), 0);
    assert_int_equal(info.dropped_records, n_gone - 900); /* 501 to 900 are under way */
    ringfile_set_acked(ring, 700, true); /* the daemon had got no further */
    assert_int_equal(ringfile_read_info(ring, &info), 0);
    assert_int_equal(info.dropped_records, n_gone - 700);
    assert_int_equal(ringfile_unlink(ring), 0);
    ringfile_close(ring);
}

static void what_gave_way_between_copying_and_sending_is_either_sent_or_counted(
    void **state)
{
    struct ringfile *ring = make_ring(RING);
    struct ringfile_info info;
    for (uint64_t id = 1; id <= 100; id++) {
        assert_int_equal(put(ring, id, 90), 0);
    }
    struct ringfile_cursor cursor = {0};
    size_t n_bytes = 0;
    size_t n_copied = 0;
    assert_int_equal(
        ringfile_read(ring, &cursor, buffer, 100000, 100, &n_bytes, &n_copied), 0);
    assert_int_equal(n_copied, 100);
    do { /* until some of the copied ones are gone */
        assert_int_equal(put(ring, ringfile_head_seq(ring) + 1, 90), 0);
        assert_int_equal(ringfile_read_info(ring, &info), 0);
    } while (info.dropped_records < 40);
    uint64_t oldest = ringfile_set_sent(ring, 100);
    assert_int_equal(oldest - 1, info.dropped_records); /* these must not be sent */
    uint64_t head = ringfile_head_seq(ring);
    do { /* until the others are gone too: they are under way, not dropped */
        assert_int_equal(put(ring, ringfile_head_seq(ring) + 1, 90), 0);
    } while (ringfile_head_seq(ring) < head + 60);
    uint64_t n_dropped = info.dropped_records;
    assert_int_equal(ringfile_read_info(ring, &info), 0);
    assert_int_equal(info.dropped_records, n_dropped);
    assert_int_equal(ringfile_unlink(ring), 0);
    ringfile_close(ring);
}

static void drops_are_told_once_and_again_if_the_telling_is_lost(void **state)
{
    struct ringfile *ring = make_ring(RING);
    const struct record_header header = {.kind = DROPS_KIND};
    struct ringfile_info info;
    ringfile_count_dropped(ring, 7, 700);
    assert_int_equal(ringfile_put_drops(ring, &header), 0);
    assert_int_equal(ringfile_put_drops(ring, &header), 0); /* nothing new: puts nothing */
    assert_int_equal(ringfile_head_seq(ring), 1);
    assert_int_equal(ringfile_read_info(ring, &info), 0);
    assert_int_equal(info.told_records, 7);
    assert_int_equal(info.told_bytes, 700);
    for (uint64_t id = 1; info.told_records > 0; id++) {
        assert_true(id < 100000);
        assert_int_equal(put(ring, id, 90), 0);
        assert_int_equal(ringfile_read_info(ring, &info), 0);
    }
    assert_int_equal(info.dropped_records, 7);
    assert_int_equal(ringfile_unlink(ring), 0);
    ringfile_close(ring);
}

static void a_record_too_large_is_refused_and_counted(void **state)
{
    struct ringfile *ring = make_ring(RING);
    struct ringfile_info info;
    const struct ringfile_part part = {buffer, RING / 2};
    const struct record_header header = {.kind = 1};
    memset(buffer, 0, RING / 2);
    assert_int_equal(ringfile_put(ring, &header, &part, 1), BARO_ELIMIT);
    assert_int_equal(ringfile_read_info(ring, &info), 0);
    assert_int_equal(info.dropped_records, 1);
    assert_int_equal(info.head_seq, 0);
    assert_int_equal(ringfile_unlink(ring), 0);
    ringfile_close(ring);
}

static void names_fill_up_and_stay(void **state)
{
    struct ringfile *ring = make_ring(RING);
    const struct ringfile_part part = {buffer, 4000};
    struct record_header header = {.kind = 65};
    int rc = 0;
    uint32_t n = 0;
    memset(buffer, 7, 4000);
    while (rc == 0) {
        header.thing = ++n;
        rc = ringfile_put_sticky(ring, &header, &part, 1);
    }
    assert_int_equal(rc, BARO_EFULL);
    assert_int_equal(n - 1, (1 << 20) / record_bytes(4000));
    uint64_t used = ringfile_sticky_used(ring);
    assert_int_equal(ringfile_copy_sticky(ring, 0, used, buffer), 0);
    const uint8_t *at = buffer;
    const uint8_t *payload;
    for (uint32_t i = 1; i < n; i++) {
        assert_int_equal(record_next(&at, buffer + used, &header, &payload), 1);
        assert_int_equal(header.thing, i);
        assert_int_equal(header.seq, 0);
    }
    assert_int_equal(ringfile_copy_sticky(ring, 0, used + 8, buffer), BARO_EINVAL);
    assert_int_equal(ringfile_unlink(ring), 0);
    ringfile_close(ring);
}

/* ---- death ---- */

static void wait_until_head(const char *path, uint64_t seq)
{
    uint64_t deadline = baro_now_ns() + UINT64_C(20000000000);
    uint64_t head = 0;
    while (head < seq) {
        struct ringfile *ring = NULL;
        assert_true(baro_now_ns() < deadline);
        if (ringfile_open(&ring, path, RINGFILE_PEEK, NULL) == 0) {
            head = ringfile_head_seq(ring);
        }
        ringfile_close(ring);
        const struct timespec pause = {.tv_nsec = 1000000};
        (void)nanosleep(&pause, NULL);
    }
}

struct found {
    struct ringfile_entry entry;
    int n;
};

static int find_one(const struct ringfile_entry *entry, void *payload)
{
    struct found *found = payload;
    found->entry = *entry;
    found->n++;
    return 0;
}

static void a_killed_writer_leaves_all_it_published(void **state)
{
    pid_t child = fork();
    if (child == 0) {
        struct ringfile *ring = make_ring(RING);
        for (uint64_t id = 1;; id++) {
            (void)put(ring, id, 3000);
        }
    }
    struct found *found = calloc(1, sizeof *found);
    uint64_t deadline = baro_now_ns() + UINT64_C(20000000000);
    while (found->n == 0) {
        assert_true(baro_now_ns() < deadline);
        assert_int_equal(ringfile_list(dir, find_one, found, NULL), 0);
    }
    wait_until_head(found->entry.path, 100000);
    struct ringfile *ring = NULL;
    struct baro_err err = {0};
    assert_true(ringfile_is_owned(found->entry.path));
    assert_int_equal(
        ringfile_open(&ring, found->entry.path, RINGFILE_RECOVER, &err), BARO_EBUSY);
    assert_non_null(strstr(err.text, "in use"));
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_false(ringfile_is_owned(found->entry.path));
    assert_int_equal(ringfile_open(&ring, found->entry.path, RINGFILE_RECOVER, &err), 0);
    struct ringfile_cursor cursor = {0};
    uint64_t n_read = 0;
    uint64_t n;
    while ((n = drain(ring, &cursor, 300000, 0, 3000)) > 0) {
        n_read += n;
    }
    struct ringfile_info info;
    assert_int_equal(ringfile_read_info(ring, &info), 0);
    assert_true(info.head_seq >= 100000);
    assert_true(
        cursor.seq >= info.head_seq + 1); /* a put may be whole but not yet announced */
    assert_int_equal(info.rank, 3);
    assert_int_equal(info.pid, child);
    assert_false(info.is_closed);
    assert_int_equal(cursor.n_lost, 0);
    assert_int_equal(cursor.n_damaged_bytes, 0);
    assert_true(n_read > 100);
    assert_int_equal(ringfile_unlink(ring), 0);
    ringfile_close(ring);
    free(found);
}

static void patch(const char *path, off_t offset, const void *bytes, size_t n)
{
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, n, offset), n);
    assert_int_equal(close(fd), 0);
}

/* Leave a closed ring with n records and give its path. */
static char *leave_ring(uint64_t n)
{
    struct ringfile *ring = make_ring(RING);
    char *path = strdup(ringfile_path(ring));
    for (uint64_t id = 1; id <= n; id++) {
        assert_int_equal(put(ring, id, 400), 0);
    }
    ringfile_mark_closed(ring);
    ringfile_close(ring);
    return path;
}

static void damaged_bytes_are_skipped_and_counted(void **state)
{
    char *path = leave_ring(1000);
    struct ringfile *ring = NULL;
    static const uint8_t noise[3000] = {0xAA, 0x55, 0xFF, 1, 2, 3};
    const off_t data = RINGFILE_HEADER_BYTES + (1 << 20);
    patch(path, data + 20000, noise, sizeof noise);
    patch(path, data + 60, "?", 1); /* one bit of one payload is enough */
    assert_int_equal(ringfile_open(&ring, path, RINGFILE_PEEK, NULL), 0);
    struct ringfile_cursor cursor = {.seq = 1};
    uint64_t n_read = 0;
    uint64_t n;
    while ((n = drain(ring, &cursor, BUFFER, 0, 400)) > 0) {
        n_read += n;
    }
    assert_int_equal(n_read + cursor.n_lost, 1000);
    assert_true(cursor.n_damaged_bytes >= sizeof noise);
    assert_in_range(cursor.n_lost, 2, 100);
    ringfile_close(ring);
    assert_int_equal(unlink(path), 0);
    free(path);
}

static void expect_refusal(const char *path, int code, const char *word)
{
    struct ringfile *ring = NULL;
    struct baro_err err = {0};
    assert_int_equal(ringfile_open(&ring, path, RINGFILE_PEEK, &err), code);
    assert_null(ring);
    if (strstr(err.text, word) == NULL) {
        fail_msg("'%s' does not say '%s'", err.text, word);
    }
}

static void files_that_are_no_rings_are_refused_with_a_sentence(void **state)
{
    char *path = leave_ring(10);
    uint32_t version = RINGFILE_VERSION + 1;
    uint64_t huge = UINT64_C(1) << 60;
    uint64_t original = RING;
    patch(path, 8, &version, sizeof version);
    expect_refusal(path, BARO_EVERSION, "format 3");
    version = RINGFILE_VERSION;
    patch(path, 8, &version, sizeof version);
    patch(path, 24, &huge, sizeof huge);
    expect_refusal(path, BARO_ECORRUPT, "damaged");
    patch(path, 24, &original, sizeof original);
    patch(path, HEAD_OFFSET, &(uint64_t){UINT64_MAX - 7}, 8);
    expect_refusal(path, BARO_ECORRUPT, "ends");
    patch(path, 0, "NOTARING", 8);
    expect_refusal(path, BARO_ECORRUPT, "not a ring");
    assert_int_equal(truncate(path, 100), 0);
    expect_refusal(path, BARO_ECORRUPT, "not a ring");
    expect_refusal(dir, BARO_ECORRUPT, "not a ring");
    assert_int_equal(unlink(path), 0);
    expect_refusal(path, BARO_ENOENT, "No such file");
    free(path);
}

static void a_file_cut_short_while_open_gives_an_error_not_a_signal(void **state)
{
    char *path = leave_ring(1000);
    struct ringfile *ring = NULL;
    struct ringfile_cursor cursor = {0};
    size_t n_bytes;
    size_t n_records;
    assert_int_equal(ringfile_open(&ring, path, RINGFILE_RECOVER, NULL), 0);
    assert_int_equal(truncate(path, RINGFILE_HEADER_BYTES), 0);
    assert_int_equal(
        ringfile_read(ring, &cursor, buffer, BUFFER, 0, &n_bytes, &n_records), BARO_EIO);
    ringfile_close(ring);
    assert_int_equal(unlink(path), 0);
    free(path);
}

/* ---- places that do not take a ring ---- */

static void expect_no_ring(const char *where, uint64_t bytes, int code, const char *word)
{
    struct ringfile *ring = NULL;
    struct baro_err err = {0};
    const struct ringfile_options options = {.dir = where, .data_bytes = bytes};
    assert_int_equal(ringfile_create(&ring, &options, &err), code);
    assert_null(ring);
    if (strstr(err.text, word) == NULL || strstr(err.text, "BARO_RING") == NULL) {
        fail_msg("'%s' does not say '%s' and what to do", err.text, word);
    }
}

static void a_ring_too_small_or_too_large_is_refused(void **state)
{
    expect_no_ring(dir, 4096, BARO_EINVAL, "1 MiB");
    expect_no_ring(dir, UINT64_MAX, BARO_EINVAL, "1 TiB");
    expect_no_ring(dir, UINT64_C(1) << 39, BARO_EFULL, "free");
}

static void a_folder_that_is_not_there_is_refused(void **state)
{
    char where[128];
    (void)snprintf(where, sizeof where, "%s/absent", dir);
    struct ringfile *ring = NULL;
    const struct ringfile_options options = {.dir = where};
    assert_int_equal(ringfile_create(&ring, &options, NULL), BARO_ENOENT);
}

/* Mount a small tmpfs for a test; skips with a reason where that is not allowed. */
static void mount_small(const char *where, const char *size)
{
    assert_int_equal(mkdir(where, 0700), 0);
    if (mount("none", where, "tmpfs", 0, size) != 0) {
        print_message("# skipped: no mount(2) here: %s\n", strerror(errno));
        (void)rmdir(where);
        skip();
    }
}

static void a_full_file_system_is_refused_and_left_clean(void **state)
{
    char where[128];
    (void)snprintf(where, sizeof where, "%s/full", dir);
    mount_small(where, "size=1500k");
    expect_no_ring(where, RING, BARO_EFULL, "free");
    struct found *found = calloc(1, sizeof *found);
    assert_int_equal(ringfile_list(where, find_one, found, NULL), 0);
    assert_int_equal(found->n, 0);
    free(found);
    assert_int_equal(umount(where), 0);
}

static void a_read_only_folder_is_refused(void **state)
{
    char where[128];
    (void)snprintf(where, sizeof where, "%s/fixed", dir);
    if (geteuid() != 0) {
        assert_int_equal(mkdir(where, 0500), 0);
        expect_no_ring(where, RING, BARO_EACCES, "cannot be written");
        return;
    }
    mount_small(where, "size=8m");
    assert_int_equal(mount("none", where, "tmpfs", MS_REMOUNT | MS_RDONLY, NULL), 0);
    expect_no_ring(where, RING, BARO_EACCES, "cannot be written");
    assert_int_equal(umount(where), 0);
}

static void a_limit_on_file_sizes_is_an_error_not_a_signal(void **state)
{
    pid_t child = fork();
    if (child == 0) {
        const struct rlimit limit = {1 << 20, 1 << 20};
        struct ringfile *ring = NULL;
        const struct ringfile_options options = {.dir = dir, .data_bytes = RING};
        if (setrlimit(RLIMIT_FSIZE, &limit) != 0) {
            _exit(9);
        }
        _exit(ringfile_create(&ring, &options, NULL) == BARO_EFULL ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_in_comes_out_whole_and_in_order),
        cmocka_unit_test(the_oldest_give_way_and_are_counted_as_a_model_does),
        cmocka_unit_test(a_reader_at_any_lag_gets_whole_records_or_a_count),
        cmocka_unit_test(threads_push_while_one_reads),
        cmocka_unit_test(only_what_nobody_has_counts_as_dropped),
        cmocka_unit_test(
            what_gave_way_between_copying_and_sending_is_either_sent_or_counted),
        cmocka_unit_test(drops_are_told_once_and_again_if_the_telling_is_lost),
        cmocka_unit_test(a_record_too_large_is_refused_and_counted),
        cmocka_unit_test(names_fill_up_and_stay),
        cmocka_unit_test(a_killed_writer_leaves_all_it_published),
        cmocka_unit_test(damaged_bytes_are_skipped_and_counted),
        cmocka_unit_test(files_that_are_no_rings_are_refused_with_a_sentence),
        cmocka_unit_test(a_file_cut_short_while_open_gives_an_error_not_a_signal),
        cmocka_unit_test(a_ring_too_small_or_too_large_is_refused),
        cmocka_unit_test(a_folder_that_is_not_there_is_refused),
        cmocka_unit_test(a_full_file_system_is_refused_and_left_clean),
        cmocka_unit_test(a_read_only_folder_is_refused),
        cmocka_unit_test(a_limit_on_file_sizes_is_an_error_not_a_signal),
    };
    TEST_THREADS_ONLY("*thread*");
    return cmocka_run_group_tests(tests, set_up, clean);
}
