/* SPDX-License-Identifier: Apache-2.0 */
/* The store and what goes wrong: full, taken, newer, foreign, cut off, damaged, killed. */
#include "test_store_rig.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "daemon/store/internal.h"

enum { WIDE = 40 };

static void file_path(const struct rig *rig, char *out, size_t n)
{
    (void)snprintf(out, n, "%s/store.mdb", rig->dir);
}

/* Read the whole store file; the caller frees. */
static uint8_t *read_file(const struct rig *rig, size_t *out_n)
{
    char path[128];
    file_path(rig, path, sizeof path);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    (void)fseek(file, 0, SEEK_END);
    *out_n = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = baro_xcalloc(*out_n, 1);
    assert_int_equal(fread(bytes, 1, *out_n, file), *out_n);
    (void)fclose(file);
    return bytes;
}

static void write_file(const struct rig *rig, const uint8_t *bytes, size_t n)
{
    char path[128];
    file_path(rig, path, sizeof path);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    (void)fclose(file);
}

/* Change the file wherever a pattern stands in it; returns how often. */
static int patch_file(const struct rig *rig, const void *pattern, size_t n_pattern,
    size_t at_offset, uint8_t flip)
{
    size_t n = 0;
    int n_found = 0;
    uint8_t *bytes = read_file(rig, &n);
    for (uint8_t *at = bytes;
         (at = memmem(at, n - (size_t)(at - bytes), pattern, n_pattern)) != NULL;
         at += n_pattern) {
        at[at_offset] ^= flip;
        n_found++;
    }
    write_file(rig, bytes, n);
    free(bytes);
    return n_found;
}

static int open_code(struct rig *rig, struct baro_err *err)
{
    struct store *store = NULL;
    int rc = store_open(rig->dir, &rig->options, &store, err);
    store_close(store);
    return rc;
}

static void fill(struct rig *rig, uint32_t thing, int64_t from, int64_t to)
{
    struct store_txn *txn = store_begin(rig->store);
    for (int64_t step = from; step < to; step++) {
        rig_append(txn, 1, thing, step, (double)step);
    }
    rig_commit(txn);
}

static void a_second_daemon_is_told_who_has_the_store(void **state)
{
    struct rig *rig = *state;
    rig_open(rig);
    struct baro_err err = {0};
    char pid[32];
    (void)snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    assert_int_equal(open_code(rig, &err), BARO_EBUSY);
    assert_non_null(strstr(err.text, pid));
    assert_non_null(strstr(err.text, "baro down"));
    rig_close(rig);
    assert_int_equal(open_code(rig, &err), 0);
}

static void the_lock_of_a_killed_daemon_does_not_block(void **state)
{
    struct rig *rig = *state;
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        rig_open(rig);
        (void)!write(ready[1], "x", 1);
        (void)pause();
        _exit(0);
    }
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    struct baro_err err = {0};
    char pid[32];
    (void)snprintf(pid, sizeof pid, "process %ld;", (long)child);
    assert_int_equal(open_code(rig, &err), BARO_EBUSY);
    assert_non_null(strstr(err.text, pid));
    (void)kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
    (void)close(ready[0]);
    (void)close(ready[1]);
    assert_int_equal(open_code(rig, &err), 0);
}

/* A store of another format is refused with both numbers, and not a bit of it changes. */
static void refuses_format(struct rig *rig, uint8_t format, const char *sentence)
{
    rig_open(rig);
    rig_close(rig);
    static const uint8_t as_written[] = {'f', 'o', 'r', 'm', 'a', 't', 2, 0, 0, 0};
    assert_true(patch_file(rig, as_written, sizeof as_written, 6, 2 ^ format) > 0);
    size_t n_before = 0;
    size_t n_after = 0;
    uint8_t *before = read_file(rig, &n_before);
    struct baro_err err = {0};
    assert_int_equal(open_code(rig, &err), BARO_EVERSION);
    if (strstr(err.text, sentence) == NULL) {
        fail_msg("%s", err.text);
    }
    uint8_t *after = read_file(rig, &n_after);
    assert_int_equal(n_before, n_after);
    assert_memory_equal(before, after, n_before);
    free(before);
    free(after);
}

static void a_newer_format_is_refused_and_left_alone(void **state)
{
    refuses_format(
        *state, 9, "has format 9, this program knows 2; open it with the version");
}

static void the_first_format_is_refused_and_left_alone(void **state)
{
    refuses_format(
        *state, 1, "has format 1, this program knows 2; open it with the version");
}

static void a_file_that_is_not_a_store_is_refused(void **state)
{
    struct rig *rig = *state;
    struct baro_err err = {0};
    uint8_t bytes[20000];
    uint64_t seed = 99;
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)rig_random(&seed);
    }
    write_file(rig, bytes, sizeof bytes);
    assert_int_equal(open_code(rig, &err), BARO_EUNSUPPORTED);
    assert_non_null(strstr(err.text, "not a Barograph store"));
    size_t n = 0;
    uint8_t *after = read_file(rig, &n);
    assert_int_equal(n, sizeof bytes);
    assert_memory_equal(after, bytes, n);
    free(after);
}

/* At any length but its own the file is refused with a sentence; never a crash or an empty
 * store in its place. */
static void a_file_cut_off_anywhere_is_refused(void **state)
{
    struct rig *rig = *state;
    rig_open(rig);
    fill(rig, 1, 0, 20000);
    rig_seal(rig);
    fill(rig, 1, 20000, 21000);
    rig_close(rig);
    size_t n = 0;
    uint8_t *bytes = read_file(rig, &n);
    static const size_t few[] = {0, 1, 19, 20, 152, 4095, 4096, 4097, 8191, 8192, 12288};
    for (size_t i = 0; i < BARO_LEN(few) + 20; i++) {
        size_t length = i < BARO_LEN(few) ? few[i] : n * (i - BARO_LEN(few)) / 20;
        write_file(rig, bytes, length);
        struct baro_err err = {0};
        int rc = open_code(rig, &err);
        if (rc != BARO_ECORRUPT) {
            fail_msg("cut to %zu of %zu: %d %s", length, n, rc, err.text);
        }
    }
    write_file(rig, bytes, n);
    rig_open(rig);
    struct rig_rows rows = {0};
    assert_int_equal(rig_read(rig, 1, 1, &rows, NULL), 0);
    assert_int_equal(rows.n, 21000);
    rig_rows_finish(&rows);
    free(bytes);
}

/* Garbage anywhere is refused, or told of, or costs nothing; it never crashes the daemon. */
static void garbage_anywhere_never_crashes(void **state)
{
    struct rig *rig = *state;
    uint64_t seed = 5150;
    rig_open(rig);
    for (uint32_t thing = 1; thing < 200; thing++) {
        fill(rig, thing, 0, 50);
    }
    rig_seal(rig);
    fill(rig, 1, 50, 200);
    rig_close(rig);
    size_t n = 0;
    uint8_t *bytes = read_file(rig, &n);
    uint8_t *copy = baro_xcalloc(n, 1);
    int n_refused = 0;
    for (size_t page = 0; page < n / 4096; page++) {
        memcpy(copy, bytes, n);
        for (size_t i = 0; i < 4096; i++) {
            copy[page * 4096 + i] = (uint8_t)rig_random(&seed);
        }
        write_file(rig, copy, n);
        struct baro_err err = {0};
        int rc = store_open(rig->dir, &rig->options, &rig->store, &err);
        n_refused += rc != 0;
        for (uint32_t thing = 1; rc == 0 && thing < 200; thing++) {
            struct rig_rows rows = {0};
            int read_rc = rig_read(rig, 1, thing, &rows, NULL);
            assert_true(read_rc == 0 || read_rc == BARO_ECORRUPT);
            assert_true(read_rc != 0 || rows.n == (thing == 1 ? 200 : 50));
            rig_rows_finish(&rows);
        }
        assert_true(rc == 0 || rc == BARO_ECORRUPT || rc == BARO_EUNSUPPORTED);
        assert_true(rc == 0 || strlen(err.text) > 20);
        if (rc == 0) {
            rig_close(rig);
        }
    }
    assert_true(n_refused > 3);
    free(bytes);
    free(copy);
}

static void a_damaged_chunk_costs_its_own_rows_only(void **state)
{
    struct rig *rig = *state;
    uint64_t seed = 4711;
    rig_open(rig);
    struct store_txn *txn = store_begin(rig->store);
    for (int64_t step = 0; step < 60000; step++) {
        rig_append(txn, 1, 1, step, (double)rig_random(&seed));
    }
    rig_commit(txn);
    rig_seal(rig);
    fill(rig, 1, 60000, 60100);
    rig_close(rig);
    size_t n = 0;
    uint8_t *bytes = read_file(rig, &n);
    size_t n_chunks = 0;
    for (size_t at = 0; at + 4 < n; at++) {
        if (memcmp(bytes + at, "BARC", 4) == 0 && ++n_chunks == 2) {
            bytes[at + 3000] ^= 0x10;
        }
    }
    assert_true(n_chunks > 4);
    write_file(rig, bytes, n);
    free(bytes);
    rig_open(rig);
    struct rig_rows rows = {0};
    struct baro_err err = {0};
    assert_int_equal(rig_read(rig, 1, 1, &rows, &err), BARO_ECORRUPT);
    assert_non_null(strstr(err.text, "thing 1"));
    assert_true(rows.n < 60100);
    assert_true(rows.n > 60100 - 2 * 60000 / n_chunks);
    assert_int_equal(rows.steps[rows.n - 1], 60099);
    for (size_t i = 1; i < rows.n; i++) {
        assert_true(rows.steps[i] > rows.steps[i - 1]);
    }
    /* It can be written on, sealed and read on; what is lost stays lost and told. */
    fill(rig, 1, 60100, 60200);
    rig_seal(rig);
    size_t before = rows.n;
    assert_int_equal(rig_read(rig, 1, 1, &rows, NULL), BARO_ECORRUPT);
    assert_int_equal(rows.n, before + 100);
    rig_rows_finish(&rows);
}

static void a_damaged_record_of_a_group_is_made_again(void **state)
{
    struct rig *rig = *state;
    rig_open(rig);
    fill(rig, 1, -5, 7000);
    rig_seal(rig);
    rig_close(rig);
    struct {
        uint32_t n_f64, n_f32;
        uint64_t n_rows;
    } head = {1, 0, 7005};
    assert_true(patch_file(rig, &head, sizeof head, 9, 0x80) > 0);
    rig_open(rig);
    struct store_group_info *infos = NULL;
    size_t n = 0;
    assert_int_equal(store_groups(rig->store, 1, &infos, &n, NULL), 0);
    assert_int_equal(n, 1);
    assert_int_equal(infos[0].n_rows, 7005);
    assert_int_equal(infos[0].first_step, -5);
    assert_int_equal(infos[0].last_step, 6999);
    free(infos);
    fill(rig, 1, 7000, 7010);
    rig_seal(rig);
    rig_reopen(rig);
    struct rig_rows rows = {0};
    assert_int_equal(rig_read(rig, 1, 1, &rows, NULL), 0);
    assert_int_equal(rows.n, 7015);
    rig_rows_finish(&rows);
}

/* With the last chunk damaged as well, its head still tells where the next row goes. */
static void a_damaged_record_and_last_chunk_cost_no_numbers(void **state)
{
    struct rig *rig = *state;
    rig_open(rig);
    fill(rig, 1, 0, 500);
    rig_seal(rig);
    fill(rig, 1, 500, 503);
    rig_seal(rig);
    rig_close(rig);
    struct {
        uint32_t n_f64, n_f32;
        uint64_t n_rows;
    } head = {1, 0, 503};
    static const uint32_t last_chunk[] = {3, 1, 0}; /* rows, doubles, floats */
    assert_true(patch_file(rig, &head, sizeof head, 9, 0x80) > 0);
    assert_true(patch_file(rig, last_chunk, sizeof last_chunk, 80, 0x40) > 0);
    rig_open(rig);
    fill(rig, 1, 503, 510);
    struct rig_rows rows = {0};
    assert_int_equal(rig_read(rig, 1, 1, &rows, NULL), BARO_ECORRUPT);
    assert_int_equal(rows.n, 507);
    rig_rows_finish(&rows);
    struct store_group_info *infos = NULL;
    size_t n = 0;
    assert_int_equal(store_groups(rig->store, 1, &infos, &n, NULL), 0);
    assert_int_equal(infos[0].n_rows, 510);
    free(infos);
}

static void a_damaged_piece_of_tail_is_told_of_and_never_forgotten(void **state)
{
    struct rig *rig = *state;
    rig_open(rig);
    fill(rig, 1, 0, 10);
    static const double mark = 6.02214076e23;
    struct store_txn *txn = store_begin(rig->store);
    rig_append(txn, 1, 1, 10, mark);
    rig_commit(txn);
    fill(rig, 1, 11, 20);
    rig_close(rig);
    assert_true(patch_file(rig, &mark, sizeof mark, 3, 0x40) > 0);
    rig_open(rig);
    for (int turn = 0; turn < 3; turn++) { /* in the tail, sealed, after a restart */
        struct rig_rows rows = {0};
        struct baro_err err = {0};
        assert_int_equal(rig_read(rig, 1, 1, &rows, &err), BARO_ECORRUPT);
        assert_non_null(strstr(err.text, "tail"));
        assert_int_equal(rows.n, 19);
        rig_rows_finish(&rows);
        if (turn == 0) {
            rig_seal(rig);
        } else {
            rig_reopen(rig);
        }
    }
}

/* Commit rows of noise, and seal, until a commit fails; returns the step that did. */
static int64_t commit_until_full(
    struct rig *rig, int64_t step, uint64_t *seed, int *out_rc, struct baro_err *err)
{
    for (*out_rc = 0; *out_rc == 0; step++) {
        double noise[64];
        for (size_t i = 0; i < BARO_LEN(noise); i++) {
            noise[i] = (double)rig_random(seed);
        }
        noise[0] = (double)step;
        struct store_row row = {.run = 1,
            .thing = 1,
            .kind = 1,
            .n_f64 = BARO_LEN(noise),
            .step = step,
            .payload = (const uint8_t *)noise};
        struct store_txn *txn = store_begin(rig->store);
        store_append(txn, &row);
        *out_rc = store_commit(txn, err);
        if (*out_rc != 0) {
            return step;
        }
        int sealed = store_work_step(rig->store, err);
        *out_rc = sealed < 0 ? sealed : 0;
    }
    return step;
}

static void check_steps(struct rig *rig, int64_t n)
{
    struct rig_rows rows = {0};
    assert_int_equal(rig_read(rig, 1, 1, &rows, NULL), 0);
    assert_int_equal(rows.n, n);
    for (int64_t i = 0; i < n; i++) {
        assert_int_equal(rows.steps[i], i);
        assert_int_equal((int64_t)rows.values[i], i);
    }
    rig_rows_finish(&rows);
}

static void a_full_quota_loses_nothing_and_goes_on_when_raised(void **state)
{
    struct rig *rig = *state;
    struct baro_err err = {0};
    uint64_t seed = 17;
    int rc = 0;
    rig->options = (struct store_options){
        .map_bytes = 64 << 10, .quota_bytes = 2 << 20, .seal_tail_bytes = 100 << 10};
    rig_open(rig);
    int64_t n = commit_until_full(rig, 0, &seed, &rc, &err);
    assert_int_equal(rc, BARO_EFULL);
    assert_non_null(strstr(err.text, "quota"));
    assert_true(n > 100);
    assert_true(store_bytes(rig->store) <= 2 << 20);
    check_steps(rig, n);
    /* Sealing still can, and leaves room, although the tail is not at its limit. */
    int64_t more = n;
    while (store_work_step(rig->store, &err) == 1) {
        more = commit_until_full(rig, more, &seed, &rc, &err);
        assert_int_equal(rc, BARO_EFULL);
    }
    check_steps(rig, more);
    assert_true(store_bytes(rig->store) <= 2 << 20);
    rig_close(rig);
    rig->options.quota_bytes = 4 << 20;
    rig_open(rig);
    check_steps(rig, more);
    n = commit_until_full(rig, more, &seed, &rc, &err);
    assert_true(n > more + 100);
    check_steps(rig, n);
}

/* A limit on the size of files stands for a full disk: the same path, without a file system. */
static void a_full_disk_loses_nothing_and_goes_on_when_there_is_room(void **state)
{
    struct rig *rig = *state;
    pid_t child = fork();
    if (child == 0) {
        struct baro_err err = {0};
        uint64_t seed = 18;
        int rc = 0;
        struct rlimit limit = {0};
        (void)signal(SIGXFSZ, SIG_IGN);
        (void)getrlimit(RLIMIT_FSIZE, &limit);
        limit.rlim_cur = (1 << 20) + 1234;
        rig->options.seal_tail_bytes = 1 << 30;
        rig_open(rig);
        (void)setrlimit(RLIMIT_FSIZE, &limit);
        int64_t n = commit_until_full(rig, 0, &seed, &rc, &err);
        assert_int_equal(rc, BARO_EFULL);
        (void)commit_until_full(rig, n, &seed, &rc, &err);
        assert_int_equal(rc, BARO_EFULL);
        check_steps(rig, n);
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_FSIZE, &limit);
        fill(rig, 2, 0, 10);
        check_steps(rig, n);
        rig_reopen(rig);
        check_steps(rig, n);
        rig_close(rig);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Steps of work so small that a kill falls between two of one seal or of one division. */
static void small_steps(struct store *store)
{
    store->step_bytes = 600;
    store->parting.bytes = 16 * 4 * WIDE;
    store->parting.values = 160;
    store->parting.wide_columns = WIDE - 1;
}

/* Column c of step s of the wide group is 100 s + c. */
static void append_wide(struct store_txn *txn, int64_t step)
{
    float values[WIDE];
    for (int64_t c = 0; c < WIDE; c++) {
        values[c] = (float)(step * 100 + c);
    }
    struct store_row row = {.run = 1,
        .thing = 4,
        .kind = 4,
        .n_f32 = WIDE,
        .step = step,
        .payload = (const uint8_t *)values};
    store_append(txn, &row);
}

static int count_wide(const struct store_block *block, void *payload)
{
    int64_t *next = payload; /* of each column */
    for (uint32_t c = 0; c < block->n_columns; c++) {
        uint32_t column = block->first_column + c;
        for (size_t i = 0; i < block->n_rows; i++, next[column]++) {
            assert_int_equal(block->steps[i], next[column]);
            assert_int_equal((int64_t)block->f32[c * block->n_rows + i],
                next[column] * 100 + (int64_t)column);
        }
    }
    return 0;
}

static void check_wide(struct rig *rig, int64_t n)
{
    int64_t next[WIDE] = {0};
    const struct store_query query = {.run = 1,
        .thing = 4,
        .kind = 4,
        .n_columns = WIDE,
        .from_step = INT64_MIN,
        .to_step = INT64_MAX};
    assert_int_equal(store_read(rig->store, &query, count_wide, next, NULL), 0);
    for (int c = 0; c < WIDE; c++) {
        assert_int_equal(next[c], n);
    }
}

/* Commit and seal for ever, and tell each commit only when it is done. */
static void child_writes(struct rig *rig, int64_t step, int out)
{
    rig->options.seal_tail_bytes = 3000;
    rig->options.map_bytes = 64 << 10; /* so that it has to grow */
    rig_open(rig);
    for (;; step++) {
        struct store_txn *txn = store_begin(rig->store);
        for (int64_t i = 0; i < 50; i++) {
            rig_append(txn, 1, 3, step * 50 + i, 1.0 / (double)(step * 50 + i + 1));
        }
        rig_append(txn, 1, 1, step, (double)step);
        rig_append(txn, 1, 2, step, (double)-step);
        append_wide(txn, step);
        store_put(txn, STORE_STREAMS, 1, 0, &step, sizeof step);
        if (store_commit(txn, NULL) != 0 || write(out, &step, sizeof step) != sizeof step ||
            store_work_step(rig->store, NULL) < 0 ||
            store_work_step(rig->store, NULL) < 0) {
            _exit(1);
        }
    }
}

/* Kill a writing child once it has told of some commits; returns the last step it told. */
static int64_t kill_after(struct rig *rig, int64_t from, int n_commits, uint64_t delay_us)
{
    int told[2];
    int64_t last = from - 1;
    assert_int_equal(pipe(told), 0);
    pid_t child = fork();
    if (child == 0) {
        (void)close(told[0]);
        child_writes(rig, from, told[1]);
    }
    (void)close(told[1]);
    for (int i = 0; i < n_commits; i++) {
        assert_int_equal(read(told[0], &last, sizeof last), sizeof last);
    }
    (void)usleep((useconds_t)delay_us); /* not to wait for anything: to hit any moment */
    (void)kill(child, SIGKILL);
    int status = 0;
    (void)waitpid(child, &status, 0);
    assert_true(WIFSIGNALED(status));
    int64_t step;
    while (read(told[0], &step, sizeof step) == sizeof step) {
        last = step;
    }
    (void)close(told[0]);
    return last;
}

static void what_was_committed_survives_sigkill_exactly_once(void **state)
{
    struct rig *rig = *state;
    uint64_t seed = 2026;
    int64_t next = 0;
    rig->tune = small_steps;
    for (int round = 0; round < 20; round++) {
        int64_t told = kill_after(
            rig, next, 1 + (int)(rig_random(&seed) % 60), rig_random(&seed) % 3000);
        rig_open(rig);
        void *value = NULL;
        int64_t last;
        assert_int_equal(
            store_get(rig->store, STORE_STREAMS, 1, 0, &value, NULL), sizeof last);
        memcpy(&last, value, sizeof last);
        free(value);
        assert_true(
            last == told || last == told + 1); /* killed between commit and telling */
        for (uint32_t thing = 1; thing <= 2; thing++) {
            struct rig_rows rows = {0};
            assert_int_equal(rig_read(rig, 1, thing, &rows, NULL), 0);
            assert_int_equal(rows.n, last + 1);
            for (size_t i = 0; i < rows.n; i++) {
                assert_int_equal(rows.steps[i], i);
                assert_int_equal(
                    (int64_t)rows.values[i], thing == 1 ? (int64_t)i : -(int64_t)i);
            }
            rig_rows_finish(&rows);
        }
        check_wide(rig, last + 1);
        rig_close(rig);
        next = last + 1;
    }
    rig_open(rig);
    struct group_record record;
    assert_int_equal(store_group_get(rig->store, 1, 4, 4, &record, NULL), 1);
    assert_true(record.parted_rows > 0); /* kills met the dividing, too */
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
        CASE(a_second_daemon_is_told_who_has_the_store),
        CASE(the_lock_of_a_killed_daemon_does_not_block),
        CASE(a_newer_format_is_refused_and_left_alone),
        CASE(the_first_format_is_refused_and_left_alone),
        CASE(a_file_that_is_not_a_store_is_refused),
        CASE(a_file_cut_off_anywhere_is_refused),
        CASE(garbage_anywhere_never_crashes),
        CASE(a_damaged_chunk_costs_its_own_rows_only),
        CASE(a_damaged_record_of_a_group_is_made_again),
        CASE(a_damaged_record_and_last_chunk_cost_no_numbers),
        CASE(a_damaged_piece_of_tail_is_told_of_and_never_forgotten),
        CASE(a_full_quota_loses_nothing_and_goes_on_when_raised),
        CASE(a_full_disk_loses_nothing_and_goes_on_when_there_is_room),
        CASE(what_was_committed_survives_sigkill_exactly_once),
#undef CASE
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
