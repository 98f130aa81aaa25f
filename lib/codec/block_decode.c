/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/codec/block.h"

#include <string.h>

#include "lib/base/mem.h"
#include "lib/codec/bits.h"
#include "lib/codec/block_runs.h"
#include "lib/codec/narrow.h"

/* Reading blocks; the layout is described in block.c. */

/* A block being decoded. */
struct reader {
    struct block_scratch *scratch;
    const struct block_columns *shape;
    struct block_cursor runs;
    const uint8_t *symbols; /* of the columns to come */
    const uint8_t *bits;
    size_t bit; /* first one of the columns to come */
    size_t n_bits;
    uint32_t first; /* wanted columns */
    uint32_t n;
    uint8_t *out;
    size_t stride;
    bool may_be_line; /* two numbers are enough when they tell the others ... */
    bool is_line;     /* ... which they do */
};

static int corrupt(struct baro_err *err, const char *what)
{
    return baro_err_set(err, BARO_ECORRUPT, "damaged chunk: %s", what);
}

/* Make the table that the symbols of a run mean; NULL when there is none. */
static const struct symbols_table *table_of(
    struct block_scratch *scratch, const struct block_run *run)
{
    if (run->coding == SYMBOLS_CLASS) {
        return &scratch->class_tables[run->is_narrow];
    }
    struct symbols_table *table = &scratch->table;
    if (run->coding == SYMBOLS_SPLIT) {
        unsigned n = run->low_bits > 0 ? SYMBOLS_HAS_LOW : SYMBOLS_MAX;
        return symbols_split_table(run->split, n, table) ? table : NULL;
    }
    struct block_cursor cursor = {.at = run->dict, .end = run->dict + 10 * SYMBOLS_MAX};
    uint64_t value = 0;
    memset(table->n_bits, SYMBOLS_BAD, sizeof table->n_bits);
    for (uint32_t i = 0; i < run->n_dict; i++) {
        uint64_t more = 0;
        (void)block_take_varint(&cursor, &more); /* was read once already */
        value += more;
        table->base[i] = value;
        table->n_bits[i] = 0;
    }
    return run->low_bits > 0 && run->n_dict > SYMBOLS_HAS_LOW ? NULL : table;
}

/* How many bits belong to n symbols; SIZE_MAX when one of them means nothing. */
static size_t bits_of(
    const struct symbols_table *table, const uint8_t *symbols, size_t n, unsigned low_bits)
{
    uint8_t mask = low_bits > 0 ? SYMBOLS_HAS_LOW - 1 : SYMBOLS_MAX - 1;
    size_t sum = 0;
    size_t n_low = 0;
    unsigned seen = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned n_bits = table->n_bits[symbols[i] & mask];
        seen |= n_bits;
        sum += n_bits;
        n_low += symbols[i] >> 7;
    }
    return seen >= 64 ? SIZE_MAX : sum + (low_bits > 0 ? n_low * low_bits : 0);
}

/*
 * How many of a column's numbers need decoding: of steps, as a rule, only the first two, because
 * the others go on in a straight line.
 */
static size_t count_told(const struct symbols_table *table, const uint8_t *symbols,
    size_t n, const struct block_run *run)
{
    size_t order = run->predict.order;
    uint8_t last = symbols[n - 1];
    bool can_be_line = run->predict.slow == 0 && (order == 1 || order == 2) &&
                       run->low_bits == 0 && n > 2 && table->n_bits[last] == 0 &&
                       (order == 1 || table->base[last] == 0);
    bool is_line =
        can_be_line && memcmp(symbols + order, symbols + order + 1, n - order - 1) == 0;
    return is_line ? 2 : n;
}

/* Continue the straight line through the first two of n numbers. */
static void go_straight(int64_t *numbers, size_t n)
{
    uint64_t slope = (uint64_t)numbers[1] - (uint64_t)numbers[0];
    for (size_t i = 2; i < n; i++) {
        numbers[i] = (int64_t)((uint64_t)numbers[0] + i * slope);
    }
}

/*
 * Numbers without low bits: the usual case, and the fast one. Returns the bits that they have,
 * SIZE_MAX when a symbol means nothing; nothing is read behind the last bit that there is, and
 * when they have more the numbers are wrong.
 */
static inline size_t take_plain(const struct reader *reader,
    const struct symbols_table *table, size_t n, bool is_narrow, int64_t *out)
{
    size_t bit = reader->bit;
    unsigned seen = 0;
    for (size_t i = 0; i < n; i++) {
        uint8_t symbol = reader->symbols[i];
        unsigned n_bits = table->n_bits[symbol];
        seen |= n_bits;
        uint64_t more = 0;
        if (bit + n_bits <= reader->n_bits) {
            more = is_narrow ? bits_take_short(reader->bits, bit, n_bits & 63)
                             : bits_take(reader->bits, bit, n_bits & 63);
        }
        bit += n_bits;
        out[i] = (int64_t)predict_unfold(table->base[symbol] + more);
    }
    return seen >= 64 ? SIZE_MAX : bit - reader->bit;
}

/* Numbers of which some have low bits; all their bits are there. */
static void take_low(const struct reader *reader, const struct symbols_table *table,
    size_t n, unsigned low_bits, int64_t *out, uint64_t *out_low)
{
    size_t bit = reader->bit;
    for (size_t i = 0; i < n; i++) {
        uint8_t symbol = reader->symbols[i] & (SYMBOLS_HAS_LOW - 1);
        unsigned n_bits = table->n_bits[symbol];
        out[i] = (int64_t)predict_unfold(
            table->base[symbol] + bits_take(reader->bits, bit, n_bits));
        bit += n_bits;
        out_low[i] = 0;
        if (reader->symbols[i] >= SYMBOLS_HAS_LOW) {
            out_low[i] = bits_take(reader->bits, bit, low_bits);
            bit += low_bits;
        }
    }
}

static void store_f32(const int64_t *numbers, size_t n, uint8_t *out)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = predict_to_f32(numbers[i]);
        memcpy(out + 4 * i, &bits, 4);
    }
}

static void store_f64(const int64_t *numbers, size_t n, bool is_narrow, uint8_t *out)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t bits;
        if (is_narrow) {
            uint32_t narrow = predict_to_f32(numbers[i]);
            float value;
            memcpy(&value, &narrow, 4);
            double wide = (double)value;
            memcpy(&bits, &wide, 8);
        } else {
            bits = predict_to_f64(numbers[i]);
        }
        memcpy(out + 8 * i, &bits, 8);
    }
}

/*
 * Decode the column at reader's place to out; its first high number goes to *io_before. Returns
 * its bits, more than there are when it is damaged.
 */
static size_t take_column(struct reader *reader, const struct block_run *run,
    const struct symbols_table *table, int64_t *io_before, uint8_t *out)
{
    size_t n = reader->shape->n_rows;
    int64_t *numbers = reader->scratch->high;
    uint64_t *low = reader->scratch->residuals;
    size_t n_told = count_told(table, reader->symbols, n, run);
    if (run->is_narrow && run->low_bits == 0 && n_told == n && narrow_can(run->predict)) {
        struct narrow_column column = {
            .table = table,
            .symbols = reader->symbols,
            .bits = reader->bits,
            .bit = reader->bit,
            .n_bits = reader->n_bits,
            .n_rows = n,
            .predict = run->predict,
            .is_wide = reader->shape->type == BLOCK_F64,
        };
        return narrow_take(&column, io_before, out);
    }
    size_t n_bits = run->low_bits == 0
                        ? take_plain(reader, table, n_told, run->is_narrow, numbers)
                        : bits_of(table, reader->symbols, n, run->low_bits);
    if (n_bits > reader->n_bits - reader->bit) {
        return n_bits;
    }
    if (run->low_bits > 0) {
        take_low(reader, table, n, run->low_bits, numbers, low);
    }
    predict_undo(run->predict, numbers, n_told, *io_before);
    reader->is_line = reader->may_be_line && n_told < n;
    if (reader->is_line) {
        memcpy(out, numbers, n_told * sizeof *numbers);
        return n_bits;
    }
    if (n_told < n) {
        go_straight(numbers, n);
    }
    *io_before = run->is_narrow ? (int32_t)(uint32_t)numbers[0] : numbers[0];
    if (run->low_bits > 0) {
        for (size_t i = 0; i < n; i++) {
            numbers[i] = (int64_t)((uint64_t)numbers[i] << run->low_bits | low[i]);
        }
    }
    switch (reader->shape->type) {
    case BLOCK_F32: store_f32(numbers, n, out); break;
    case BLOCK_F64: store_f64(numbers, n, run->is_narrow, out); break;
    case BLOCK_I64:
    case BLOCK_TYPE_COUNT: memcpy(out, numbers, n * sizeof *numbers); break;
    }
    return n_bits;
}

/* Step over a column, but keep what predicts the first number of the next one; its bits. */
static size_t skip_column(const struct reader *reader, const struct block_run *run,
    const struct symbols_table *table, int64_t *io_before)
{
    int64_t first;
    uint64_t ignored;
    size_t n_bits = bits_of(table, reader->symbols, reader->shape->n_rows, run->low_bits);
    bool is_alone = run->predict.order == 0 && run->predict.slow == 0;
    if (is_alone || n_bits > reader->n_bits - reader->bit) {
        return n_bits;
    }
    if (run->low_bits == 0) {
        (void)take_plain(reader, table, 1, false, &first);
    } else {
        take_low(reader, table, 1, run->low_bits, &first, &ignored);
    }
    uint64_t sum = (uint64_t)first + (uint64_t)*io_before;
    *io_before = run->is_narrow ? (int32_t)(uint32_t)sum : (int64_t)sum;
    return n_bits;
}

static void fill(const struct block_run *run, enum block_type type, size_t n, uint8_t *out)
{
    uint64_t bits = run->constant;
    if (type == BLOCK_F32) {
        uint32_t narrow = (uint32_t)bits;
        for (size_t i = 0; i < n; i++) {
            memcpy(out + 4 * i, &narrow, 4);
        }
        return;
    }
    if (type == BLOCK_F64 && run->is_narrow) {
        store_f64(&(int64_t){predict_from_f32((uint32_t)bits)}, 1, true, (uint8_t *)&bits);
    }
    for (size_t i = 0; i < n; i++) {
        memcpy(out + 8 * i, &bits, 8);
    }
}

/* Decode what is wanted of the run whose first column has a number. */
static int take_run(struct reader *reader, const struct block_run *run, uint32_t column,
    struct baro_err *err)
{
    size_t n_rows = reader->shape->n_rows;
    const struct symbols_table *table = NULL;
    if (!run->is_constant && (table = table_of(reader->scratch, run)) == NULL) {
        return corrupt(err, "a run of columns makes no sense");
    }
    int64_t before = 0;
    for (uint32_t i = 0; i < run->n_columns; i++, column++) {
        bool is_wanted = column >= reader->first && column - reader->first < reader->n;
        uint8_t *out = is_wanted
                           ? reader->out + (size_t)(column - reader->first) * reader->stride
                           : NULL;
        if (run->is_constant) {
            if (is_wanted) {
                fill(run, reader->shape->type, n_rows, out);
            }
            continue;
        }
        size_t n_bits = is_wanted ? take_column(reader, run, table, &before, out)
                                  : skip_column(reader, run, table, &before);
        if (n_bits > reader->n_bits - reader->bit) {
            return corrupt(err, "a column is longer than its block");
        }
        reader->symbols += n_rows;
        reader->bit += n_bits;
    }
    return 0;
}

/* Read all runs once, to know how many symbols there are; leaves *io_runs behind them. */
static int count_columns(
    const struct block_columns *shape, struct block_cursor *io_runs, uint32_t *out_n_coded)
{
    uint32_t n_coded = 0;
    for (uint32_t column = 0; column < shape->n_columns;) {
        struct block_run run;
        if (!block_take_run(io_runs, shape->type, &run) ||
            run.n_columns > shape->n_columns - column) {
            return BARO_ECORRUPT;
        }
        column += run.n_columns;
        n_coded += run.is_constant ? 0 : run.n_columns;
    }
    *out_n_coded = n_coded;
    return 0;
}

/* Give n symbols, decompressed when they are. */
static int take_symbols(
    struct reader *reader, struct block_cursor *at, size_t n, struct baro_err *err)
{
    struct block_scratch *scratch = reader->scratch;
    uint64_t n_stored = 0;
    if (!block_take_varint(at, &n_stored) || n_stored > (size_t)(at->end - at->at) ||
        n_stored > n) {
        return corrupt(err, "symbols are longer than their block");
    }
    reader->symbols = at->at;
    if (n_stored < n) {
        if (scratch->decompress == NULL &&
            (scratch->decompress = ZSTD_createDCtx()) == NULL) {
            return baro_err_set(err, BARO_EIO, "zstd gave no decompression context");
        }
        static const uint8_t magic[BLOCK_MAGIC_BYTES] = {0x28, 0xb5, 0x2f, 0xfd};
        uint8_t *frame = scratch->bits;
        memcpy(frame, magic, sizeof magic);
        memcpy(frame + sizeof magic, at->at, n_stored);
        size_t got = ZSTD_decompressDCtx(
            scratch->decompress, scratch->symbols, n, frame, sizeof magic + n_stored);
        if (ZSTD_isError(got) || got != n) {
            return corrupt(err, "symbols cannot be decompressed");
        }
        reader->symbols = scratch->symbols;
    }
    reader->bits = at->at + n_stored;
    reader->n_bits = (size_t)(at->end - reader->bits) * 8;
    return 0;
}

/* Decode what reader wants. */
static int decode(struct reader *reader, struct baro_err *err)
{
    struct block_scratch *scratch = reader->scratch;
    const struct block_columns *shape = reader->shape;
    struct block_cursor at = reader->runs;
    uint32_t n_coded = 0;
    if (count_columns(shape, &at, &n_coded) < 0) {
        return corrupt(err, "a run of columns is cut off");
    }
    size_t n_symbols = (size_t)n_coded * shape->n_rows;
    block_need(scratch, n_symbols > shape->n_rows ? n_symbols : shape->n_rows);
    int rc = take_symbols(reader, &at, n_symbols, err);
    for (uint32_t column = 0; rc == 0 && column < shape->n_columns;) {
        struct block_run run;
        (void)block_take_run(&reader->runs, shape->type, &run); /* was read once already */
        if (column >= reader->first && column - reader->first >= reader->n) {
            return 0;
        }
        rc = take_run(reader, &run, column, err);
        column += run.n_columns;
    }
    if (rc == 0 && (reader->bit + 7) / 8 * 8 != reader->n_bits) {
        rc = corrupt(err, "a block is longer than its columns");
    }
    return rc;
}

int block_decode(struct block_scratch *scratch, const struct block_columns *shape,
    const uint8_t *bytes, size_t n_bytes, uint32_t first, uint32_t n, void *out,
    size_t stride, struct baro_err *err)
{
    struct reader reader = {.scratch = scratch,
        .shape = shape,
        .runs = {.at = bytes, .end = bytes + n_bytes},
        .first = first,
        .n = n,
        .out = out,
        .stride = stride};
    return decode(&reader, err);
}

int block_line(struct block_scratch *scratch, const struct block_columns *shape,
    const uint8_t *bytes, size_t n_bytes, int64_t *out, struct baro_err *err)
{
    struct reader reader = {.scratch = scratch,
        .shape = shape,
        .runs = {.at = bytes, .end = bytes + n_bytes},
        .n = 1,
        .out = (uint8_t *)out,
        .may_be_line = true};
    int rc = decode(&reader, err);
    return rc == 0 ? reader.is_line : rc;
}
