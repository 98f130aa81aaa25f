/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test_store_raw.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <math.h>
#include <signal.h>
#include <sys/wait.h>

#include "daemon/store/columns.h"
#include "daemon/store/internal.h"
#include "daemon/store/tiers.h"

/*
 * Damage of every kind is found, named and isolated: bytes of chunks, missing and doubled chunks,
 * records of the index, pieces of tail, summaries that say something else, keys of small values,
 * and LMDB's own pages.
 */

enum { ROWS = 20000, WIDE = 300, WIDE_ROWS = 600, UNITS_KIND = 4 };

/* ---- a store ---- */

static double value_at(int64_t step)
{
    uint64_t seed = (uint64_t)(step + 1) * UINT64_C(0x9e3779b97f4a7c15);
    (void)rig_random(&seed);
    return (double)(rig_random(&seed) >> 20);
}

static void work_all(struct rig *rig)
{
    while (store_work_step(rig->store, NULL) == 1 ||
           store_seal_run(rig->store, 1, NULL) == 1) {
    }
}

/* One thing with ROWS noisy values. */
static void fill(struct rig *rig)
{
    for (int64_t step = 0; step < ROWS;) {
        struct store_txn *txn = store_begin(rig->store);
        for (int i = 0; i < 1000; i++, step++) {
            rig_append(txn, 1, 7, step, value_at(step));
        }
        if (step == 1000) {
            store_put(txn, STORE_RUNS, 1, 0, "a run", 5);
            store_put(txn, STORE_THINGS, 1, 7, "a thing", 7);
        }
        rig_commit(txn);
        work_all(rig);
    }
}

/* One wide thing, with parts. */
static void fill_wide(struct rig *rig)
{
    float values[WIDE];
    for (int64_t step = 0; step < WIDE_ROWS;) {
        struct store_txn *txn = store_begin(rig->store);
        for (int i = 0; i < 20; i++, step++) {
            for (int c = 0; c < WIDE; c++) {
                values[c] = (float)value_at(step * WIDE + c);
            }
            values[step % WIDE] = step % 3 == 0 ? NAN : INFINITY;
            struct store_row row = {.run = 1,
                .thing = 9,
                .kind = UNITS_KIND,
                .n_f32 = WIDE,
                .step = step,
                .payload = (const uint8_t *)values};
            store_append(txn, &row);
        }
        rig_commit(txn);
        work_all(rig);
    }
}

static void make_summaries(struct rig *rig, uint32_t thing, uint16_t kind)
{
    struct tail_group *group = NULL;
    assert_int_equal(store_group_load(rig->store, 1, thing, kind, &group, NULL), 0);
    assert_int_equal(tiers_cover(rig->store, group, UINT64_MAX, NULL), 0);
    work_all(rig);
}

static void tune(struct store *store)
{
    store->parting.bytes = 256 << 10;
    store->parting.min_rows = 16;
    store->parting.max_rows = 64;
    store->parting.wide_columns = 64;
    store->parting.values = 4096;
    struct tiers_sizes *sizes = tiers_sizes(store);
    *sizes = (struct tiers_sizes){.narrow_rows = 32,
        .narrow_first = 256,
        .narrow_next = 16,
        .wide_rows = 16,
        .wide_first = 4,
        .wide_next = 8,
        .fan_out = 4};
}

/* ---- what verify says ---- */

struct verdict {
    int n;
    uint64_t n_chunks;
    uint64_t n_bytes;
    char sentences[16][320];
    uint32_t things[16];
};

static void on_damage(const struct store_damage *damage, void *payload)
{
    struct verdict *verdict = payload;
    if (verdict->n < 16) {
        (void)snprintf(verdict->sentences[verdict->n], 320, "%s", damage->sentence);
        verdict->things[verdict->n] = damage->thing;
    }
    print_message("run %u thing %u kind %u: %s\n", damage->run, damage->thing, damage->kind,
        damage->sentence);
    verdict->n++;
}

static struct verdict verify(struct rig *rig)
{
    struct store_verify at = {0};
    struct verdict verdict = {0};
    while (!at.is_done) {
        struct baro_err err = {0};
        int rc = store_verify_step(rig->store, &at, on_damage, &verdict, &err);
        if (rc != 0) {
            fail_msg("store_verify_step: %d %s", rc, err.text);
        }
        verdict.n_chunks += at.n_chunks;
        verdict.n_bytes += at.n_bytes;
    }
    return verdict;
}

static void expect_one(struct rig *rig, uint32_t thing, const char *part)
{
    struct verdict verdict = verify(rig);
    assert_int_equal(verdict.n, 1);
    assert_int_equal(verdict.things[0], thing);
    if (strstr(verdict.sentences[0], part) == NULL) {
        fail_msg("'%s' is not in '%s'", part, verdict.sentences[0]);
    }
}

/* ---- a closed store, changed behind its back (test_store_raw.h) ---- */

static void make(struct rig *rig)
{
    rig->tune = tune;
    rig_open(rig);
    fill(rig);
    fill_wide(rig);
    make_summaries(rig, 7, 1);
    make_summaries(rig, 9, UNITS_KIND);
}

static int count_rows(const struct store_block *block, void *payload)
{
    *(size_t *)payload += block->n_rows;
    return 0;
}

static size_t n_read(struct rig *rig, int *out_rc)
{
    const struct store_query query = {.run = 1,
        .thing = 7,
        .kind = 1,
        .n_columns = 1,
        .from_step = INT64_MIN,
        .to_step = INT64_MAX};
    size_t n = 0;
    *out_rc = store_read(rig->store, &query, count_rows, &n, NULL);
    return n;
}

/* Damage notwithstanding, all rows of a thing are pruned. */
static void verify_pruned(struct rig *rig, uint32_t thing)
{
    struct store_group_info *infos = NULL;
    size_t n = 0;
    assert_int_equal(store_groups(rig->store, 1, &infos, &n, NULL), 0);
    for (size_t i = 0; i < n; i++) {
        if (infos[i].thing == thing) {
            assert_int_equal(infos[i].n_pruned, infos[i].n_rows);
        }
    }
    free(infos);
}

/* ---- cases ---- */

static void a_store_that_is_whole_is_found_so(void **state)
{
    struct rig *rig = *state;
    make(rig);
    struct verdict verdict = verify(rig);
    assert_int_equal(verdict.n, 0);
    assert_true(verdict.n_chunks > 20);
    rig_reopen(rig);
    assert_int_equal(verify(rig).n, 0);
}

static void what_comes_in_meanwhile_is_no_damage(void **state)
{
    struct rig *rig = *state;
    make(rig);
    struct store_verify at = {0};
    struct verdict verdict = {0};
    const uint32_t run = 1;
    for (int64_t step = ROWS; !at.is_done; step += 100) {
        struct store_txn *txn = store_begin(rig->store);
        for (int i = 0; i < 100; i++) {
            rig_append(txn, 1, 7, step + i, value_at(step + i));
        }
        rig_commit(txn);
        work_all(rig);
        if (step == ROWS + 400) {
            const struct store_prune what = {
                .to_bytes = store_used_bytes(rig->store) * 3 / 4,
                .runs = &run,
                .n_runs = 1,
                .level = STORE_PRUNE_READINGS};
            (void)store_prune(rig->store, &what, NULL, NULL, NULL);
        }
        assert_int_equal(store_verify_step(rig->store, &at, on_damage, &verdict, NULL), 0);
    }
    assert_int_equal(verdict.n, 0);
}

static void a_flipped_byte_of_a_chunk_is_found_and_the_rest_is_read(void **state)
{
    struct rig *rig = *state;
    make(rig);
    uint64_t seed = 11;
    for (int turn = 0; turn < TEST_ROUNDS(12); turn++) {
        rig_close(rig);
        struct raw raw;
        uint8_t key[KEY_CHUNK_BYTES];
        size_t n = 0;
        raw_open(&raw, rig, "chunk");
        uint8_t *bytes = raw_chunk(&raw, 7, 1, 0, 0, turn % 2, key, &n);
        size_t at = rig_random(&seed) % n;
        uint8_t old = bytes[at];
        bytes[at] ^= (uint8_t)(1 << turn % 8);
        raw_put(&raw, key, sizeof key, bytes, n);
        raw_close(&raw);
        rig_open(rig);
        char rows[64];
        uint64_t first = key_get(key + KEY_STRAND_BYTES, 8);
        (void)snprintf(rows, sizeof rows, "steps %llu to ", (unsigned long long)first);
        expect_one(rig, 7, rows);
        int rc = 0;
        size_t n_left = n_read(rig, &rc);
        assert_int_equal(rc, BARO_ECORRUPT);
        assert_in_range(n_left, 1, ROWS - 1);
        rig_close(rig);
        bytes[at] = old;
        raw_open(&raw, rig, "chunk");
        raw_put(&raw, key, sizeof key, bytes, n);
        raw_close(&raw);
        free(bytes);
        rig_open(rig);
        assert_int_equal(verify(rig).n, 0);
        assert_int_equal(n_read(rig, &rc), ROWS);
        assert_int_equal(rc, 0);
    }
}

/* Flip a byte of a chunk; *out_first and *out_end: the rows that it has. */
static void damage_chunk(struct rig *rig, uint32_t thing, uint16_t kind, int n,
    uint64_t *out_first, uint64_t *out_end)
{
    uint8_t key[KEY_CHUNK_BYTES];
    size_t n_bytes = 0;
    struct raw raw;
    rig_close(rig);
    raw_open(&raw, rig, "chunk");
    uint8_t *bytes = raw_chunk(&raw, thing, kind, 0, thing == 9, n, key, &n_bytes);
    struct chunk chunk;
    assert_int_equal(chunk_open(&chunk, bytes, n_bytes, NULL), 0);
    *out_first = key_get(key + KEY_STRAND_BYTES, 8);
    *out_end = *out_first + chunk.covers;
    bytes[n_bytes / 2] ^= 4;
    raw_put(&raw, key, sizeof key, bytes, n_bytes);
    raw_close(&raw);
    free(bytes);
    rig_open(rig);
}

static void one_series_is_checked_by_itself_and_names_its_steps(void **state)
{
    struct rig *rig = *state;
    uint64_t first[3];
    uint64_t end[3];
    struct store_damaged_group damaged[4];
    make(rig);
    damage_chunk(rig, 9, UNITS_KIND, 0, &first[0], &end[0]);
    damage_chunk(rig, 7, 1, 0, &first[1], &end[1]);
    damage_chunk(rig, 7, 1, 1, &first[2], &end[2]);
    struct store_verify at = {.is_group = true, .run = 1, .thing = 7, .kind = 1};
    struct verdict verdict = {0};
    while (!at.is_done) {
        assert_int_equal(store_verify_step(rig->store, &at, on_damage, &verdict, NULL), 0);
    }
    char steps[80];
    (void)snprintf(steps, sizeof steps, "steps %llu to %llu (%llu points)",
        (unsigned long long)first[1], (unsigned long long)end[2] - 1,
        (unsigned long long)(end[2] - first[1]));
    assert_int_equal(verdict.n, 1);
    assert_int_equal(verdict.things[0], 7);
    assert_non_null(strstr(verdict.sentences[0], steps));
    assert_int_equal(store_take_damaged(rig->store, damaged, 4), 1);
    assert_int_equal(damaged[0].thing, 7);
    assert_non_null(strstr(damaged[0].cause, "checksum"));
    assert_int_equal(verify(rig).n, 2);
    assert_int_equal(store_take_damaged(rig->store, damaged, 4), 1);
    assert_int_equal(damaged[0].thing, 9);
    assert_int_equal(store_take_damaged(rig->store, damaged, 4), 0);
}

static void a_missing_chunk_is_found(void **state)
{
    struct rig *rig = *state;
    make(rig);
    rig_close(rig);
    struct raw raw;
    uint8_t key[KEY_CHUNK_BYTES];
    size_t n = 0;
    raw_open(&raw, rig, "chunk");
    free(raw_chunk(&raw, 7, 1, 0, 0, 1, key, &n));
    raw_delete(&raw, key, sizeof key);
    raw_close(&raw);
    rig_open(rig);
    char text[64];
    (void)snprintf(text, sizeof text, "steps %llu to ",
        (unsigned long long)key_get(key + KEY_STRAND_BYTES, 8));
    expect_one(rig, 7, text);
}

static void the_first_and_the_last_chunk_are_missed_too(void **state)
{
    struct rig *rig = *state;
    make(rig);
    for (int last = 0; last < 2; last++) {
        rig_close(rig);
        struct raw raw;
        uint8_t key[KEY_CHUNK_BYTES];
        size_t n = 0;
        raw_open(&raw, rig, "chunk");
        uint8_t *bytes = raw_chunk(&raw, 9, UNITS_KIND, 0, 2, 0, key, &n);
        for (int i = 1; last && key_get(key + KEY_STRAND_BYTES, 8) < 400; i++) {
            free(bytes);
            bytes = raw_chunk(&raw, 9, UNITS_KIND, 0, 2, i, key, &n);
        }
        raw_delete(&raw, key, sizeof key);
        raw_close(&raw);
        rig_open(rig);
        expect_one(rig, 9, "are missing");
        rig_close(rig);
        raw_open(&raw, rig, "chunk");
        raw_put(&raw, key, sizeof key, bytes, n);
        raw_close(&raw);
        free(bytes);
        rig_open(rig);
        assert_int_equal(verify(rig).n, 0);
    }
}

static void a_chunk_that_is_there_twice_is_found(void **state)
{
    struct rig *rig = *state;
    make(rig);
    rig_close(rig);
    struct raw raw;
    uint8_t key[KEY_CHUNK_BYTES];
    size_t n = 0;
    raw_open(&raw, rig, "chunk");
    uint8_t *bytes = raw_chunk(&raw, 7, 1, 0, 0, 0, key, &n);
    key_put(key + KEY_STRAND_BYTES, key_get(key + KEY_STRAND_BYTES, 8) + 5, 8);
    raw_put(&raw, key, sizeof key, bytes, n);
    raw_close(&raw);
    free(bytes);
    rig_open(rig);
    struct verdict verdict = verify(rig);
    assert_true(verdict.n > 0);
    assert_non_null(strstr(verdict.sentences[0], "are there twice"));
}

static void a_chunk_without_a_series_is_found(void **state)
{
    struct rig *rig = *state;
    make(rig);
    rig_close(rig);
    struct raw raw;
    uint8_t key[KEY_GROUP_BYTES];
    raw_open(&raw, rig, "group");
    key_group(key, 1, 9, UNITS_KIND);
    raw_delete(&raw, key, sizeof key);
    raw_close(&raw);
    rig_open(rig);
    struct verdict verdict = verify(rig);
    assert_true(verdict.n > 0);
    assert_non_null(strstr(verdict.sentences[0], "belongs to no series"));
}

static void a_damaged_record_of_the_index_is_found(void **state)
{
    struct rig *rig = *state;
    make(rig);
    rig_close(rig);
    struct raw raw;
    uint8_t key_bytes[KEY_GROUP_BYTES];
    uint8_t bytes[RECORD_MAX_BYTES];
    raw_open(&raw, rig, "group");
    key_group(key_bytes, 1, 7, 1);
    MDB_val key = {.mv_size = sizeof key_bytes, .mv_data = key_bytes};
    MDB_val value;
    assert_int_equal(mdb_get(raw.txn, raw.table, &key, &value), 0);
    size_t n = value.mv_size;
    memcpy(bytes, value.mv_data, n);
    bytes[20] ^= 4;
    raw_put(&raw, key_bytes, sizeof key_bytes, bytes, n);
    raw_close(&raw);
    rig_open(rig);
    expect_one(rig, 7, "record in the index is damaged");
    int rc = 0;
    assert_int_equal(n_read(rig, &rc), ROWS);
}

static void a_summary_that_says_something_else_is_found(void **state)
{
    struct rig *rig = *state;
    make(rig);
    for (int turn = 0; turn < 3; turn++) { /* level 1, level 2, a part of a wide one */
        const uint32_t thing = turn == 2 ? 9 : 7;
        const uint16_t kind = turn == 2 ? UNITS_KIND : 1;
        rig_close(rig);
        struct raw raw;
        uint8_t key[KEY_CHUNK_BYTES];
        size_t n = 0;
        raw_open(&raw, rig, "chunk");
        uint8_t *bytes =
            raw_chunk(&raw, thing, kind, turn == 1 ? 2 : 1, turn == 2 ? 1 : 0, 0, key, &n);
        struct chunk_codec *codec = chunk_codec_create();
        struct chunk chunk;
        struct columns columns = {0};
        assert_int_equal(chunk_open(&chunk, bytes, n, NULL), 0);
        columns_reset(&columns, chunk.n_rows, chunk.n_f64, chunk.n_f32, chunk.extra_bytes);
        assert_int_equal(columns_add_chunk(&columns, codec, &chunk, NULL), 0);
        if (turn == 2) {
            columns.f32[5 * columns.room + chunk.n_rows / 2] *= 0.5F; /* a smallest */
        } else {
            columns.f64[2 * columns.room + chunk.n_rows / 2] += 1024; /* largest */
        }
        const struct chunk_columns wrong = {.n_rows = chunk.n_rows,
            .n_f64 = chunk.n_f64,
            .n_f32 = chunk.n_f32,
            .stride = columns.room,
            .steps = columns.steps,
            .times_ns = columns.times_ns,
            .f64 = columns.f64,
            .f32 = columns.f32,
            .extra_ends = columns.extra_ends,
            .extra = columns.extra,
            .covers = chunk.covers};
        const uint8_t *out = NULL;
        size_t n_out = 0;
        assert_int_equal(chunk_encode(codec, &wrong, &out, &n_out, NULL), 0);
        raw_put(&raw, key, sizeof key, out, n_out);
        raw_close(&raw);
        rig_open(rig);
        struct verdict verdict = verify(rig);
        assert_in_range(verdict.n, 1, 2); /* the level above does not fit any more either */
        assert_int_equal(verdict.things[0], thing);
        assert_non_null(strstr(verdict.sentences[0], "are not what the readings say"));
        rig_close(rig);
        raw_open(&raw, rig, "chunk");
        raw_put(&raw, key, sizeof key, bytes, n);
        raw_close(&raw);
        free(bytes);
        columns_finish(&columns);
        chunk_codec_destroy(codec);
        rig_open(rig);
        assert_int_equal(verify(rig).n, 0);
    }
}

static void a_damaged_piece_of_tail_is_found(void **state)
{
    struct rig *rig = *state;
    rig->options.seal_tail_bytes = 1 << 20;
    rig_open(rig);
    struct store_txn *txn = store_begin(rig->store);
    for (int64_t step = 0; step < 100; step++) {
        rig_append(txn, 1, 7, step, value_at(step));
    }
    rig_commit(txn);
    assert_int_equal(verify(rig).n, 0);
    rig_close(rig);
    struct raw raw;
    uint8_t key_bytes[KEY_VALUE_BYTES] = {0};
    raw_open(&raw, rig, "tail");
    MDB_cursor *cursor = NULL;
    MDB_val key;
    MDB_val value;
    assert_int_equal(mdb_cursor_open(raw.txn, raw.table, &cursor), 0);
    assert_int_equal(mdb_cursor_get(cursor, &key, &value, MDB_FIRST), 0);
    memcpy(key_bytes, key.mv_data, sizeof key_bytes);
    size_t n = value.mv_size;
    uint8_t *bytes = baro_xcalloc(n, 1);
    memcpy(bytes, value.mv_data, n);
    mdb_cursor_close(cursor);
    bytes[n / 2] ^= 16;
    raw_put(&raw, key_bytes, sizeof key_bytes, bytes, n);
    raw_close(&raw);
    free(bytes);
    rig_open(rig);
    expect_one(rig, 0, "cannot be read");
}

static void values_of_no_run_are_found(void **state)
{
    struct rig *rig = *state;
    rig_open(rig);
    struct store_txn *txn = store_begin(rig->store);
    store_put(txn, STORE_ALERTS, 3, 1, "lost", 4);
    rig_commit(txn);
    expect_one(rig, 0, "belongs to no run");
}

static void a_damaged_chunk_is_in_nobodys_way(void **state)
{
    struct rig *rig = *state;
    make(rig);
    rig_close(rig);
    struct raw raw;
    uint8_t key[KEY_CHUNK_BYTES];
    size_t n = 0;
    raw_open(&raw, rig, "chunk");
    uint8_t *bytes = raw_chunk(&raw, 7, 1, 0, 0, 1, key, &n);
    bytes[n / 2] ^= 1;
    raw_put(&raw, key, sizeof key, bytes, n);
    free(bytes);
    bytes = raw_chunk(&raw, 9, UNITS_KIND, 0, 1, 1, key, &n);
    bytes[n / 2] ^= 1;
    raw_put(&raw, key, sizeof key, bytes, n);
    free(bytes);
    raw_close(&raw);
    rig_open(rig);
    assert_int_equal(verify(rig).n, 2);
    for (int64_t step = ROWS; step < ROWS + 5000; step += 1000) { /* seals, parts, merges */
        struct store_txn *txn = store_begin(rig->store);
        for (int i = 0; i < 1000; i++) {
            rig_append(txn, 1, 7, step + i, value_at(step + i));
        }
        rig_commit(txn);
        work_all(rig);
    }
    assert_int_equal(verify(rig).n, 2);
    assert_int_equal(store_compact(rig->store, NULL), 0);
    assert_int_equal(verify(rig).n, 2);
    const uint32_t run = 1;
    struct store_prune what = {
        .to_bytes = UINT64_MAX, .runs = &run, .n_runs = 1, .level = STORE_PRUNE_REST};
    uint64_t before = store_used_bytes(rig->store);
    assert_int_equal(store_prune(rig->store, &what, NULL, NULL, NULL), 0);
    assert_in_range(store_used_bytes(rig->store), 0, before / 2);
    verify_pruned(rig, 7);
    what.level = STORE_PRUNE_RUN;
    assert_int_equal(store_prune(rig->store, &what, NULL, NULL, NULL), 0);
    assert_int_equal(verify(rig).n, 0);
}

/* Open, check and read a store with damaged pages; how it went does not matter, as long as the
 * process does not crash and lies are not told. */
static void look_at_ruin(struct rig *rig)
{
    struct store *store = NULL;
    struct baro_err err = {0};
    (void)alarm(60);
    if (store_open(rig->dir, &rig->options, &store, &err) != 0) {
        _exit(10);
    }
    rig->store = store;
    struct verdict verdict = {0};
    struct store_verify at = {0};
    int rc = 0;
    while (!at.is_done && rc == 0) {
        rc = store_verify_step(store, &at, on_damage, &verdict, NULL);
    }
    size_t n = n_read(rig, &rc);
    bool is_told = rc != 0 || verdict.n > 0;
    _exit(is_told ? 11 : n == ROWS ? 12 : 13);
}

static void flipped_bytes_of_pages_never_crash_it(void **state)
{
    struct rig *rig = *state;
    make(rig);
    rig_close(rig);
    char path[128];
    (void)snprintf(path, sizeof path, "%s/store.mdb", rig->dir);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    off_t n = lseek(fd, 0, SEEK_END);
    uint64_t seed = 1234;
    int outcomes[4] = {0};
    for (int turn = 0; turn < TEST_ROUNDS(60); turn++) {
        off_t at = (off_t)(rig_random(&seed) % (uint64_t)n);
        at = turn % 3 == 0 ? at / 4096 * 4096 + (off_t)(rig_random(&seed) % 64) : at;
        uint8_t byte = 0;
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        uint8_t bad = (uint8_t)(byte ^ (1U << (turn % 8)));
        assert_int_equal(pwrite(fd, &bad, 1, at), 1);
        pid_t pid = fork();
        if (pid == 0) {
            look_at_ruin(rig);
        }
        int status = 0;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (!WIFEXITED(status) || WEXITSTATUS(status) < 10 || WEXITSTATUS(status) > 12) {
            fail_msg("byte %lld: status %x", (long long)at, (unsigned)status);
        }
        outcomes[WEXITSTATUS(status) - 10]++;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    }
    (void)close(fd);
    print_message("flips: %d refused at open, %d named, %d where nothing lies\n",
        outcomes[0], outcomes[1], outcomes[2]);
    rig_open(rig);
    assert_int_equal(verify(rig).n, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

static void a_store_of_a_version_that_knew_fewer_tables_opens(void **state)
{
    struct rig *rig = *state;
    make(rig);
    rig_close(rig);
    struct raw raw;
    raw_open(&raw, rig, "incidents");
    assert_int_equal(mdb_drop(raw.txn, raw.table, 1), 0);
    raw_close(&raw);
    rig_open(rig);
    struct store_txn *txn = store_begin(rig->store);
    store_put(txn, STORE_INCIDENTS, 1, 1, "an incident", 11);
    rig_commit(txn);
    assert_int_equal(verify(rig).n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_store_that_is_whole_is_found_so),
        CASE(what_comes_in_meanwhile_is_no_damage),
        CASE(a_store_of_a_version_that_knew_fewer_tables_opens),
        CASE(a_flipped_byte_of_a_chunk_is_found_and_the_rest_is_read),
        CASE(one_series_is_checked_by_itself_and_names_its_steps),
        CASE(a_missing_chunk_is_found),
        CASE(the_first_and_the_last_chunk_are_missed_too),
        CASE(a_chunk_that_is_there_twice_is_found),
        CASE(a_chunk_without_a_series_is_found),
        CASE(a_damaged_record_of_the_index_is_found),
        CASE(a_summary_that_says_something_else_is_found),
        CASE(a_damaged_piece_of_tail_is_found),
        CASE(values_of_no_run_are_found),
        CASE(a_damaged_chunk_is_in_nobodys_way),
        CASE(flipped_bytes_of_pages_never_crash_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
