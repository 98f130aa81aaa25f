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
 * The way is found by trying on a sample: all predictions are compared by the bits that they
 * leave; the best of them, an even cut and a list by the entropy of their symbols and the bits
 * behind them, which is within a percent of what comes out.
 */

enum {
    OWN_RUN_ROWS = 64,
    FEW_ROWS = 8,              /* below, a constant costs more than coding ... */
    FEW_ROWS_MIN_CONSTANT = 8, /* ... unless so many columns share it */
    MIN_DICT_ROWS = 4,         /* numbers for each entry of a list */
    SAMPLE_NUMBERS = 2048,     /* that codings are tried on */
    SAMPLE_STRETCH = 256,
    SAMPLE_LOW = 1024, /* that low bits are counted of */
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
        uint64_t bits[2]; /* NaN differ by their bits, and -0 from 0 */
        memcpy(&bits[0], &back, 8);
        memcpy(&bits[1], &wide, 8);
        if (bits[0] != bits[1]) {
            return false;
        }
    }
    return true;
}

/* Give the bits of a double as a float. */
static uint32_t narrow(const uint8_t *at)
{
    double wide;
    memcpy(&wide, at, sizeof wide);
    float value = (float)wide;
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static void load_column(
    const struct block_columns *columns, uint32_t column, bool is_narrow, int64_t *out)
{
    const uint8_t *at = column_at(columns, column);
    size_t n = columns->n_rows;
    uint32_t bits32;
    uint64_t bits64;
    if (columns->type == BLOCK_I64) {
        memcpy(out, at, n * sizeof *out);
    } else if (columns->type == BLOCK_F32) {
        for (size_t i = 0; i < n; i++) {
            memcpy(&bits32, at + 4 * i, sizeof bits32);
            out[i] = predict_from_f32(bits32);
        }
    } else if (is_narrow) {
        for (size_t i = 0; i < n; i++) {
            out[i] = predict_from_f32(narrow(at + 8 * i));
        }
    } else {
        for (size_t i = 0; i < n; i++) {
            memcpy(&bits64, at + 8 * i, sizeof bits64);
            out[i] = predict_from_f64(bits64);
        }
    }
}

/* ---- how to code a run ---- */

/* Tell how many low bits are zero in all numbers. */
static uint8_t common_low(const int64_t *numbers, size_t n)
{
    uint64_t all = 0;
    for (size_t i = 0; i < n; i++) {
        all |= (uint64_t)numbers[i];
    }
    unsigned low = all == 0 ? 0 : (unsigned)__builtin_ctzll(all);
    return (uint8_t)(low < RUN_MAX_LOW ? low : RUN_MAX_LOW);
}

/* Choose how many low bits to take off: those that all numbers, or nearly all, have zero. */
static uint8_t choose_low(const int64_t *numbers, size_t n, bool is_narrow)
{
    uint32_t counts[64] = {0}; /* numbers by how many of their low bits are zero */
    size_t n_seen = n < SAMPLE_LOW ? n : SAMPLE_LOW;
    for (size_t i = 0; i < n_seen; i++) {
        size_t at = n == n_seen ? i : symbols_sample_at(i, n_seen, n);
        counts[numbers[at] == 0 ? 63 : __builtin_ctzll((uint64_t)numbers[at])]++;
    }
    uint8_t best = 0;
    double most = 0;
    double n_odd = 0; /* numbers with other bits set among the low ones */
    uint8_t end = is_narrow ? 32 : RUN_MAX_LOW + 1;
    for (uint8_t low = 1; low < end; low++) {
        n_odd += counts[low - 1];
        double share = n_odd / (double)n_seen;
        if (share >= 0.5) {
            break;
        }
        double flags = 0; /* what telling them apart costs, bits a number */
        if (n_odd > 0) {
            flags = -share * log2(share) - (1 - share) * log2(1 - share);
        }
        double saved = (1 - share) * low - flags;
        if (saved > most) {
            most = saved;
            best = low;
        }
    }
    return best;
}

/* Numbers to try codings on: columns one after the other. */
struct sample {
    const int64_t *numbers; /* without their low bits */
    uint64_t *residuals;    /* of the last prediction applied */
    size_t n_columns;
    size_t n_rows;
};

static void apply(const struct sample *sample, bool is_narrow, struct predict predict)
{
    int64_t before = 0;
    for (size_t i = 0; i < sample->n_columns; i++) {
        const int64_t *column = sample->numbers + i * sample->n_rows;
        predict_apply(predict, column, sample->n_rows, before, is_narrow,
            sample->residuals + i * sample->n_rows);
        before = column[0];
    }
}

/*
 * Take a sample of all numbers of a run: some whole columns when there are several, else some
 * stretches of the one. A stretch is as good as a column, but for its first numbers.
 */
static struct sample take_sample(const struct sample *all, int64_t *room)
{
    size_t n = all->n_columns * all->n_rows;
    if (n <= 2 * SAMPLE_NUMBERS) {
        return *all;
    }
    struct sample sample = {.numbers = room, .residuals = all->residuals};
    sample.n_rows = all->n_columns > 1 ? all->n_rows : SAMPLE_STRETCH;
    sample.n_columns = SAMPLE_NUMBERS / sample.n_rows;
    size_t n_from = n / sample.n_rows; /* stretches to choose from */
    for (size_t i = 0; i < sample.n_columns; i++) {
        size_t from = i * n_from / sample.n_columns;
        memcpy(room + i * sample.n_rows, all->numbers + from * sample.n_rows,
            sample.n_rows * sizeof *room);
    }
    return sample;
}

/* Find the prediction that leaves the fewest bits. */
static struct predict best_prediction(const struct sample *sample, bool is_narrow)
{
    uint64_t bits[PREDICT_WAYS] = {0};
    int64_t before = 0;
    for (size_t i = 0; i < sample->n_columns; i++) {
        const int64_t *column = sample->numbers + i * sample->n_rows;
        predict_measure(column, sample->n_rows, before, is_narrow, bits);
        before = column[0];
    }
    size_t best = 0;
    for (size_t way = 1; way < PREDICT_WAYS; way++) {
        best = bits[way] < bits[best] ? way : best;
    }
    return is_narrow ? predict_narrow_ways[best] : predict_wide_ways[best];
}

/* Choose between the best prediction and an even cut without any; returns the cost. */
static double try_predictions(const struct sample *sample, struct block_run *run)
{
    size_t n = sample->n_columns * sample->n_rows;
    unsigned n_symbols = run->low_bits > 0 ? SYMBOLS_HAS_LOW : SYMBOLS_MAX;
    apply(sample, run->is_narrow, (struct predict){0});
    run->split = symbols_split_choose(sample->residuals, n, n_symbols);
    double split_cost = symbols_split_cost(sample->residuals, n, run->split);
    struct predict predict = best_prediction(sample, run->is_narrow);
    apply(sample, run->is_narrow, predict);
    double class_cost = symbols_class_cost(sample->residuals, n, run->is_narrow);
    bool is_split = split_cost <= class_cost;
    run->coding = is_split ? SYMBOLS_SPLIT : SYMBOLS_CLASS;
    run->predict = is_split ? (struct predict){0} : predict;
    return is_split ? split_cost : class_cost;
}

/* Try a list of what occurs under a prediction; true when it is cheaper than *io_cost. */
static bool try_dict(const struct sample *sample, struct block_run *run,
    struct predict predict, double *io_cost, uint64_t *out_dict)
{
    size_t n = sample->n_columns * sample->n_rows;
    size_t max = run->low_bits > 0 ? SYMBOLS_HAS_LOW : SYMBOLS_MAX;
    max = n / MIN_DICT_ROWS < max ? n / MIN_DICT_ROWS : max;
    apply(sample, run->is_narrow, predict);
    if (!symbols_repeat(sample->residuals, n)) {
        return false;
    }
    size_t n_dict = symbols_dict_choose(sample->residuals, n, max, out_dict);
    if (n_dict == 0) {
        return false;
    }
    uint8_t bytes[10];
    double cost = symbols_dict_cost(sample->residuals, n, out_dict, n_dict);
    for (size_t i = 0; i < n_dict; i++) {
        uint64_t more = out_dict[i] - (i > 0 ? out_dict[i - 1] : 0);
        cost += 8.0 * (double)(block_put_varint(bytes, more) - bytes);
    }
    if (cost >= *io_cost) {
        return false;
    }
    *io_cost = cost;
    run->n_dict = (uint32_t)n_dict;
    return true;
}

/*
 * Find the cheapest way to code all numbers. They have lost their low bits; their residuals are
 * made, and a list when there is one.
 */
static void choose(
    const struct sample *all, int64_t *room, struct block_run *run, uint64_t *out_dict)
{
    static const struct predict listed[] = {{0}, {.order = 1}, {.order = 2}};
    const struct sample sample = take_sample(all, room);
    double cost = try_predictions(&sample, run);
    size_t best = BARO_LEN(listed);
    size_t n_listed = run->is_narrow ? 1 : BARO_LEN(listed); /* floats: values alone */
    for (size_t i = 0; i < n_listed; i++) {
        if (try_dict(&sample, run, listed[i], &cost, out_dict)) {
            best = i;
        }
    }
    double any = HUGE_VAL; /* the sample has decided; all may have more numbers than it */
    if (best < BARO_LEN(listed) && try_dict(all, run, listed[best], &any, out_dict)) {
        run->coding = SYMBOLS_DICT;
        run->predict = listed[best];
        return;
    }
    apply(all, run->is_narrow, run->predict);
    if (run->coding == SYMBOLS_SPLIT) {
        run->split = symbols_split_choose(all->residuals, all->n_columns * all->n_rows,
            run->low_bits > 0 ? SYMBOLS_HAS_LOW : SYMBOLS_MAX);
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

/* Write numbers by magnitude that have no low bits: the usual case, and the fast one. */
static void put_class(struct writer *writer, size_t n, bool is_narrow)
{
    const uint64_t *residuals = writer->scratch->residuals;
    struct bits_out bits = writer->bits;
    for (size_t i = 0; i < n; i++) {
        unsigned n_bits;
        writer->symbols[i] = symbols_class(residuals[i], is_narrow, &n_bits);
        uint64_t rest = residuals[i] & ((UINT64_C(1) << n_bits) - 1);
        if (is_narrow) {
            bits_put_short(&bits, rest, n_bits);
        } else {
            bits_put(&bits, rest, n_bits);
        }
    }
    writer->symbols += n;
    writer->bits = bits;
}

static void put_numbers(
    struct writer *writer, const struct block_run *run, size_t n, const uint64_t *dict)
{
    const uint64_t *residuals = writer->scratch->residuals;
    uint64_t low_mask = (UINT64_C(1) << run->low_bits) - 1;
    struct bits_out bits = writer->bits;
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
        bits_put(&bits, residual & ((UINT64_C(1) << n_bits) - 1), n_bits);
        uint64_t low = (uint64_t)writer->scratch->numbers[i] & low_mask;
        if (low != 0) {
            symbol |= SYMBOLS_HAS_LOW;
            bits_put(&bits, low, run->low_bits);
        }
        writer->symbols[i] = symbol;
    }
    writer->symbols += n;
    writer->bits = bits;
}

/* Code columns [from, from + n_columns), none of them constant, in one way. */
static void put_coded(
    struct writer *writer, uint32_t from, uint32_t n_columns, bool is_narrow)
{
    struct block_scratch *scratch = writer->scratch;
    size_t n_rows = writer->columns->n_rows;
    size_t n = n_columns * n_rows;
    uint64_t dict[SYMBOLS_MAX];
    int64_t room[SAMPLE_NUMBERS];
    struct block_run run = {.n_columns = n_columns, .is_narrow = is_narrow};
    for (uint32_t i = 0; i < n_columns; i++) {
        load_column(writer->columns, from + i, is_narrow, scratch->numbers + i * n_rows);
    }
    run.low_bits = writer->columns->type == BLOCK_I64
                       ? common_low(scratch->numbers, n) /* the others are regular, too */
                       : choose_low(scratch->numbers, n, is_narrow);
    for (size_t i = 0; i < n; i++) {
        scratch->high[i] = scratch->numbers[i] >> run.low_bits;
    }
    struct sample all = {scratch->high, scratch->residuals, n_columns, n_rows};
    choose(&all, room, &run, dict);
    writer->runs = block_put_run(writer->runs, &run, writer->columns->type == BLOCK_F64);
    if (run.coding == SYMBOLS_DICT) {
        put_dict(writer, &run, dict);
    }
    if (run.coding == SYMBOLS_CLASS && run.low_bits == 0) {
        put_class(writer, n, is_narrow);
    } else {
        put_numbers(writer, &run, n, dict);
    }
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
    const uint8_t *at = column_at(writer->columns, from);
    if (writer->columns->type == BLOCK_F64 && run.is_narrow) {
        run.constant = narrow(at);
    } else {
        memcpy(&run.constant, at, size_of(writer->columns));
    }
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
    bool is_smaller = stored > BLOCK_MAGIC_BYTES && stored - BLOCK_MAGIC_BYTES < n;
    stored = is_smaller ? stored - BLOCK_MAGIC_BYTES : n;
    uint8_t *to = block_need_out(scratch, stored + 10);
    to = block_put_varint(to, stored);
    memcpy(to, is_smaller ? frame + BLOCK_MAGIC_BYTES : scratch->symbols, stored);
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
