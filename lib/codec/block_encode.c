/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/codec/block.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/codec/bits.h"
#include "lib/codec/block_runs.h"

/*
 * Writing blocks; the layout is described in block.c. Columns of at least OWN_RUN_ROWS rows are
 * coded each in its own way; shorter ones, of which wide groups have many, share one.
 *
 * The way is found by trying: each prediction is made and its cost estimated from the entropy of
 * its symbols and the bits behind them, which is within a percent of what comes out. Differences
 * of rising order are tried as long as they get cheaper. All of it costs 10 to 25 ns a number.
 */

enum {
    OWN_RUN_ROWS = 64,
    FEW_ROWS = 8,              /* below, a constant costs more than coding ... */
    FEW_ROWS_MIN_CONSTANT = 8, /* ... unless so many columns share it */
    MIN_DICT_ROWS = 4,         /* numbers for each entry of a list */
    MAX_NARROW_ORDER = 3,
    ZSTD_LEVEL = 1
};

/* A block being encoded. */
struct writer {
    struct block_scratch *scratch;
    const struct block_columns *columns;
    uint8_t *runs; /* end of the runs written */
    uint8_t *symbols;
    struct bits_out bits;
};

/* ---- columns as numbers ---- */

static const uint8_t *column_at(const struct block_columns *columns, uint32_t column)
{
    return (const uint8_t *)columns->base + (size_t)column * columns->stride;
}

static size_t size_of(const struct block_columns *columns)
{
    return columns->type == BLOCK_F32 ? 4 : 8;
}

static bool is_constant(const struct block_columns *columns, uint32_t column)
{
    const uint8_t *at = column_at(columns, column);
    size_t size = size_of(columns);
    return memcmp(at, at + size, (columns->n_rows - 1) * size) == 0;
}

/* Tell whether all doubles of a column survive being floats, bit for bit. */
static bool is_narrow(const struct block_columns *columns, uint32_t column)
{
    const uint8_t *at = column_at(columns, column);
    if (columns->type != BLOCK_F64) {
        return columns->type == BLOCK_F32;
    }
    for (uint32_t i = 0; i < columns->n_rows; i++) {
        double wide;
        memcpy(&wide, at + 8 * (size_t)i, 8);
        double back = (double)(float)wide;
        if (memcmp(&back, &wide, 8) != 0) {
            return false;
        }
    }
    return true;
}

static uint64_t load(const uint8_t *at, enum block_type type, bool is_narrow)
{
    uint64_t bits = 0;
    memcpy(&bits, at, type == BLOCK_F32 ? 4 : 8);
    if (type == BLOCK_F64 && is_narrow) {
        double wide;
        memcpy(&wide, at, 8);
        float value = (float)wide;
        bits = 0;
        memcpy(&bits, &value, 4);
    }
    return bits;
}

static void load_column(
    const struct block_columns *columns, uint32_t column, bool is_narrow, int64_t *out)
{
    const uint8_t *at = column_at(columns, column);
    size_t size = size_of(columns);
    for (uint32_t i = 0; i < columns->n_rows; i++, at += size) {
        uint64_t bits = load(at, columns->type, is_narrow);
        if (columns->type == BLOCK_I64) {
            out[i] = (int64_t)bits;
        } else if (is_narrow) {
            out[i] = predict_from_f32((uint32_t)bits);
        } else {
            out[i] = predict_from_f64(bits);
        }
    }
}

/* ---- how to code a run ---- */

/* Choose how many low bits to take off: those that all numbers, or nearly all, have zero. */
static uint8_t choose_low(const int64_t *numbers, size_t n, bool is_narrow)
{
    uint32_t counts[64] = {0}; /* numbers by how many of their low bits are zero */
    for (size_t i = 0; i < n; i++) {
        counts[numbers[i] == 0 ? 63 : __builtin_ctzll((uint64_t)numbers[i])]++;
    }
    uint8_t best = 0;
    double most = 0;
    double n_odd = 0; /* numbers with other bits set among the low ones */
    for (uint8_t low = 1; low <= (is_narrow ? 31 : RUN_MAX_LOW); low++) {
        n_odd += counts[low - 1];
        double share = n_odd / (double)n;
        double flags = 0; /* what telling them apart costs */
        if (n_odd > 0 && share < 1) {
            flags = -(double)n * (share * log2(share) + (1 - share) * log2(1 - share));
        }
        double saved = ((double)n - n_odd) * low - flags;
        if (share < 0.5 && saved > most) {
            most = saved;
            best = low;
        }
    }
    return best;
}

static void apply(
    const struct writer *writer, const struct block_run *run, struct predict predict)
{
    size_t n = writer->columns->n_rows;
    const int64_t *high = writer->scratch->high;
    int64_t before = 0;
    for (size_t i = 0; i < run->n_columns; i++) {
        predict_apply(predict, high + i * n, n, before, run->is_narrow,
            writer->scratch->residuals + i * n);
        before = high[i * n];
    }
}

/* Try a prediction; when it is cheaper than *io_cost, it becomes the run's. */
static bool try_class(const struct writer *writer, struct block_run *run,
    struct predict predict, double *io_cost)
{
    size_t n = (size_t)run->n_columns * writer->columns->n_rows;
    apply(writer, run, predict);
    double cost = symbols_class_cost(writer->scratch->residuals, n, run->is_narrow);
    if (cost >= *io_cost) {
        return false;
    }
    *io_cost = cost;
    run->coding = SYMBOLS_CLASS;
    run->predict = predict;
    return true;
}

/* Find the cheapest way to code the numbers in scratch->numbers; leaves high filled. */
static void choose(const struct writer *writer, struct block_run *run, uint64_t *out_dict)
{
    struct block_scratch *scratch = writer->scratch;
    size_t n = (size_t)run->n_columns * writer->columns->n_rows;
    run->low_bits = choose_low(scratch->numbers, n, run->is_narrow);
    for (size_t i = 0; i < n; i++) {
        scratch->high[i] = scratch->numbers[i] >> run->low_bits;
    }
    apply(writer, run, (struct predict){0});
    run->coding = SYMBOLS_SPLIT;
    run->split = symbols_split_choose(
        scratch->residuals, n, run->low_bits > 0 ? SYMBOLS_HAS_LOW : SYMBOLS_MAX);
    double cost = symbols_split_cost(scratch->residuals, n, run->split);
    bool is_better = true;
    uint8_t most = run->is_narrow ? MAX_NARROW_ORDER : PREDICT_MAX_ORDER;
    for (uint8_t order = 1; is_better && order <= most; order++) {
        is_better = try_class(writer, run, (struct predict){.order = order}, &cost);
    }
    bool is_noisy = run->predict.order <= 1;
    if (run->is_narrow && is_noisy && writer->columns->n_rows >= OWN_RUN_ROWS) {
        (void)try_class(writer, run, (struct predict){.slow = 2}, &cost);
        (void)try_class(writer, run, (struct predict){.slow = 4}, &cost);
    }
    /* A list is of whole numbers, so low bits would have to be of no use. */
    for (size_t i = 0; i < n; i++) {
        scratch->residuals[i] = predict_fold((uint64_t)scratch->numbers[i]);
    }
    size_t max = n / MIN_DICT_ROWS < SYMBOLS_MAX ? n / MIN_DICT_ROWS : SYMBOLS_MAX;
    size_t n_dict = symbols_dict_choose(scratch->residuals, n, max, out_dict);
    if (n_dict > 0) {
        uint8_t bytes[10];
        double list_bits = 0;
        for (size_t i = 0; i < n_dict; i++) {
            uint64_t more = out_dict[i] - (i > 0 ? out_dict[i - 1] : 0);
            list_bits += 8.0 * (double)(block_put_varint(bytes, more) - bytes);
        }
        if (symbols_dict_cost(scratch->residuals, n, out_dict, n_dict) + list_bits < cost) {
            run->coding = SYMBOLS_DICT;
            run->predict = (struct predict){0};
            run->low_bits = 0;
            run->n_dict = (uint32_t)n_dict;
        }
    }
}

/* ---- writing a run ---- */

static void put_dict(
    struct writer *writer, const struct block_run *run, const uint64_t *dict)
{
    *writer->runs++ = (uint8_t)(run->n_dict - 1);
    for (uint32_t i = 0; i < run->n_dict; i++) {
        writer->runs = block_put_varint(writer->runs, dict[i] - (i > 0 ? dict[i - 1] : 0));
    }
}

static void put_numbers(
    struct writer *writer, const struct block_run *run, const uint64_t *dict)
{
    size_t n = (size_t)run->n_columns * writer->columns->n_rows;
    const uint64_t *residuals = writer->scratch->residuals;
    uint64_t low_mask = (UINT64_C(1) << run->low_bits) - 1;
    for (size_t i = 0; i < n; i++) {
        uint8_t symbol = 0;
        unsigned n_bits = 0;
        uint64_t residual = residuals[i];
        if (run->coding == SYMBOLS_CLASS) {
            symbol = symbols_class(residual, run->is_narrow, &n_bits);
        } else if (run->coding == SYMBOLS_SPLIT) {
            residual -= run->split.base;
            n_bits = run->split.n_bits;
            symbol = (uint8_t)(residual >> n_bits);
        } else {
            symbol = symbols_dict_find(dict, run->n_dict, residual);
        }
        bits_put(&writer->bits, residual & ((UINT64_C(1) << n_bits) - 1), n_bits);
        uint64_t low = (uint64_t)writer->scratch->numbers[i] & low_mask;
        if (low != 0) {
            symbol |= SYMBOLS_HAS_LOW;
            bits_put(&writer->bits, low, run->low_bits);
        }
        *writer->symbols++ = symbol;
    }
}

/* Code columns [from, from + n_columns), none of them constant, in one way. */
static void put_coded(
    struct writer *writer, uint32_t from, uint32_t n_columns, bool is_narrow)
{
    size_t n_rows = writer->columns->n_rows;
    uint64_t dict[SYMBOLS_MAX];
    struct block_run run = {.n_columns = n_columns, .is_narrow = is_narrow};
    for (uint32_t i = 0; i < n_columns; i++) {
        load_column(
            writer->columns, from + i, is_narrow, writer->scratch->numbers + i * n_rows);
    }
    choose(writer, &run, dict);
    writer->runs = block_put_run(writer->runs, &run, writer->columns->type == BLOCK_F64);
    if (run.coding == SYMBOLS_DICT) {
        put_dict(writer, &run, dict); /* the residuals are still those of the list */
    } else {
        apply(writer, &run, run.predict);
    }
    put_numbers(writer, &run, dict);
}

/* Count columns from one on that repeat one and the same number; 0 when the first does not. */
static uint32_t constant_run(const struct block_columns *columns, uint32_t from)
{
    uint32_t n = 0;
    while (from + n < columns->n_columns && is_constant(columns, from + n) &&
           memcmp(column_at(columns, from), column_at(columns, from + n),
               size_of(columns)) == 0) {
        n++;
    }
    return columns->n_rows < FEW_ROWS && n < FEW_ROWS_MIN_CONSTANT ? 0 : n;
}

static void put_constant(struct writer *writer, uint32_t from, uint32_t n_columns)
{
    struct block_run run = {.n_columns = n_columns, .is_constant = true};
    run.is_narrow = is_narrow(writer->columns, from);
    run.constant =
        load(column_at(writer->columns, from), writer->columns->type, run.is_narrow);
    writer->runs = block_put_run(writer->runs, &run, writer->columns->type == BLOCK_F64);
}

/* Count columns from one on that can share a way of coding; the first one is not constant. */
static uint32_t coded_run(const struct block_columns *columns, uint32_t from, bool narrow)
{
    uint32_t n = 1;
    if (columns->n_rows >= OWN_RUN_ROWS) {
        return n;
    }
    while (from + n < columns->n_columns && constant_run(columns, from + n) == 0 &&
           is_narrow(columns, from + n) == narrow) {
        n++;
    }
    return n;
}

/* Append symbols to out, compressed when that helps. */
static int put_symbols(struct block_scratch *scratch, size_t n, struct baro_err *err)
{
    if (scratch->compress == NULL && (scratch->compress = ZSTD_createCCtx()) == NULL) {
        return baro_err_set(err, BARO_EIO, "zstd gave no compression context");
    }
    size_t bound = ZSTD_compressBound(n);
    baro_autofree uint8_t *frame = baro_xcalloc(bound, 1);
    (void)ZSTD_CCtx_setParameter(scratch->compress, ZSTD_c_compressionLevel, ZSTD_LEVEL);
    (void)ZSTD_CCtx_setParameter(scratch->compress, ZSTD_c_contentSizeFlag, 0);
    size_t stored = ZSTD_compress2(scratch->compress, frame, bound, scratch->symbols, n);
    if (ZSTD_isError(stored)) {
        return baro_err_set(err, BARO_EIO, "compress: %s", ZSTD_getErrorName(stored));
    }
    bool is_smaller = stored < n;
    stored = is_smaller ? stored : n;
    uint8_t *to = block_need_out(scratch, stored + 10);
    to = block_put_varint(to, stored);
    memcpy(to, is_smaller ? frame : scratch->symbols, stored);
    scratch->n_out = (size_t)(to + stored - scratch->out);
    return 0;
}

int block_encode(struct block_scratch *scratch, const struct block_columns *columns,
    struct baro_err *err)
{
    assert(columns->n_rows > 0 && columns->n_columns > 0);
    size_t n = (size_t)columns->n_rows * columns->n_columns;
    block_need(scratch, n);
    /* A list has at most one entry for MIN_DICT_ROWS numbers, of at most 10 bytes. */
    uint8_t *to = block_need_out(
        scratch, (size_t)columns->n_columns * RUN_MAX_BYTES + n * 10 / MIN_DICT_ROWS);
    struct writer writer = {.scratch = scratch,
        .columns = columns,
        .runs = to,
        .symbols = scratch->symbols,
        .bits = {.to = scratch->bits}};
    for (uint32_t at = 0; at < columns->n_columns;) {
        uint32_t n_same = constant_run(columns, at);
        if (n_same > 0) {
            put_constant(&writer, at, n_same);
        } else {
            bool narrow = is_narrow(columns, at);
            n_same = coded_run(columns, at, narrow);
            put_coded(&writer, at, n_same, narrow);
        }
        at += n_same;
    }
    scratch->n_out = (size_t)(writer.runs - scratch->out);
    int rc = put_symbols(scratch, (size_t)(writer.symbols - scratch->symbols), err);
    if (rc == 0) {
        size_t n_bits = (size_t)(bits_end(&writer.bits) - scratch->bits);
        memcpy(block_need_out(scratch, n_bits), scratch->bits, n_bits);
        scratch->n_out += n_bits;
    }
    return rc;
}
