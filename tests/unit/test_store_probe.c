/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of probes in the store: 256 KiB a row, sealed, checked, read, and pruned in their order. */
#include "tests/unit/test_store_fill.h"

#include "lib/base/probe_pieces.h"
#include "lib/base/reading.h"

enum { N_PIECES = 12, LAST_BYTES = 999 };

static uint8_t payload[PROBE_PIECE_NUMBERS * 8 + PROBE_PIECE_BYTES];

/* Make the payload of a piece, of bytes that no codec makes small; its length. */
static size_t make(uint64_t serial, uint32_t piece)
{
    double numbers[PROBE_PIECE_NUMBERS];
    const struct probe_piece what = {.serial = serial,
        .piece = piece,
        .n_pieces = N_PIECES,
        .reason = PROBE_REGULAR,
        .probe_bytes = (N_PIECES - 1) * PROBE_PIECE_BYTES + LAST_BYTES};
    uint64_t seed = serial * 1000 + piece + 1;
    const size_t n = probe_piece_bytes(&what);
    probe_piece_numbers(&what, numbers);
    memcpy(payload, numbers, sizeof numbers);
    for (size_t i = 0; i < n; i++) {
        payload[sizeof numbers + i] = (uint8_t)(rig_random(&seed) >> 30);
    }
    return n;
}

static void append_probe(struct rig *rig, enum reading_kind kind, uint64_t serial)
{
    for (uint32_t i = 0; i < N_PIECES; i++) {
        struct store_txn *txn = store_begin(rig->store);
        struct store_row row = {.run = 1,
            .kind = (uint16_t)kind,
            .n_f64 = PROBE_PIECE_NUMBERS,
            .extra_bytes = (uint32_t)make(serial, i),
            .step = (int64_t)serial,
            .payload = payload};
        store_append(txn, &row);
        rig_commit(txn);
    }
}

struct seen {
    struct probe_list list;
    size_t n_rows;
    bool with_extra;
};

static int on_block(const struct store_block *block, void *context)
{
    struct seen *seen = context;
    for (size_t i = 0; i < block->n_rows; i++) {
        double numbers[PROBE_PIECE_NUMBERS];
        struct probe_piece piece;
        for (size_t c = 0; c < PROBE_PIECE_NUMBERS; c++) {
            numbers[c] = block->f64[c * block->n_rows + i];
        }
        assert_int_equal(probe_list_add(&seen->list, block->steps[i], 0, numbers), 0);
        assert_int_equal(probe_piece_read(numbers, &piece), 0);
        if (seen->with_extra) {
            const size_t from = i > 0 ? block->extra_ends[i - 1] : 0;
            const size_t n = make(piece.serial, piece.piece);
            assert_int_equal(block->extra_ends[i] - from, n);
            assert_memory_equal(block->extra + from, payload + sizeof numbers, n);
        }
        seen->n_rows++;
    }
    return 0;
}

static void read_back(
    struct rig *rig, enum reading_kind kind, bool with_extra, struct seen *seen)
{
    const struct store_query query = {.run = 1,
        .kind = (uint16_t)kind,
        .n_columns = PROBE_PIECE_NUMBERS,
        .from_step = INT64_MIN,
        .to_step = INT64_MAX,
        .with_extra = with_extra};
    *seen = (struct seen){.with_extra = with_extra};
    assert_int_equal(store_read(rig->store, &query, on_block, seen, NULL), 0);
}

static void pieces_come_back_out_of_the_tail_and_out_of_chunks(void **state)
{
    struct rig *rig = *state;
    struct seen seen;
    rig->options.is_exact = false; /* as barod has it */
    rig_open(rig);
    append_probe(rig, READING_PROBE, 3);
    append_probe(rig, READING_PROBE, 4);
    for (int round = 0; round < 3; round++) {
        read_back(rig, READING_PROBE, true, &seen);
        assert_int_equal(seen.n_rows, 2 * N_PIECES);
        assert_int_equal(seen.list.n, 2);
        assert_int_equal(seen.list.entries[1].n_here, N_PIECES);
        probe_list_finish(&seen.list);
        if (round == 0) {
            rig_seal(rig);
            while (store_seal_run(rig->store, 1, NULL) == 1) {
            }
            append_probe(rig, READING_FAILURE, 9);
        } else {
            verify(rig);
            rig_reopen(rig);
        }
    }
}

static void regular_ones_go_before_failures(void **state)
{
    struct rig *rig = *state;
    struct seen seen;
    rig_open(rig);
    fill(rig, 1, 0, 2000);
    append_probe(rig, READING_PROBE, 3);
    append_probe(rig, READING_FAILURE, 4);
    while (store_seal_run(rig->store, 1, NULL) == 1) {
    }
    const uint32_t run = 1;
    struct told told = {0};
    struct store_prune what = {.to_bytes = UINT64_MAX,
        .runs = &run,
        .n_runs = 1,
        .level = STORE_PRUNE_FINE,
        .last_kinds = UINT64_C(1) << READING_FAILURE};
    assert_int_equal(prune(rig, &what, &told), 0);
    read_back(rig, READING_PROBE, false, &seen);
    assert_int_equal(seen.n_rows, 0);
    read_back(rig, READING_FAILURE, true, &seen);
    assert_int_equal(seen.n_rows, N_PIECES);
    probe_list_finish(&seen.list);
    what.level = STORE_PRUNE_REST;
    assert_int_equal(prune(rig, &what, &told), 0);
    read_back(rig, READING_FAILURE, true, &seen);
    assert_int_equal(seen.n_rows, 0);
    verify(rig);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        CASE(pieces_come_back_out_of_the_tail_and_out_of_chunks),
        CASE(regular_ones_go_before_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
