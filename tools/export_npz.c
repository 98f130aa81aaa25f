/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NumPy's .npz: one array per series, under names like theirs.
 *
 *     loss/steps, loss/times_ns, loss/values           a scalar; step_time likewise
 *     fc1.weight:grad/steps, .../times_ns, .../l2, ... a tensor: one array a statistic
 *     .../histogram/ends, every, exponents, signs, counts    bins of row i end at ends[i]
 *     .../units/steps, .../units/times_ns, .../units/mean    statistics of units: [rows, units]
 *     batches/steps, times_ns, sizes, ends, samples    samples of row i end at ends[i]
 *     results/steps, times_ns, sizes, ends             results of single samples, likewise; of each
 *         samples, losses, correct, labels             NaN, -1 and -1 where they were not given
 *     run, events, alerts, notes                       JSON lines as bytes (uint8)
 *
 * "#2" behind the series' name means its second epoch, "@1" rank 1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "tools/export.h"
#include "tools/npz.h"
#include "tools/spool.h"

enum { LANE_STEP = 0, LANE_TIME, LANE_VALUES, BASE_BYTES = SERIES_LABEL_BYTES + 64 };

_Static_assert((int)LANE_VALUES + (int)SUMMARY_STAT_COUNT + 2 <= (int)SPOOL_MAX_LANES,
    "a lane for each statistic, and for the ends of histograms and what they are of");

struct npz_sink {
    struct export_sink sink;
    struct out_file *out;
    struct npz *npz;
    struct spool rows;
    struct spool parts; /* bins of histograms, samples of batches, bytes of lists */
    char list[64];      /* name of the list at hand */
};

/* ---- arrays ---- */

static void add_data(const void *bytes, size_t n_bytes, void *payload)
{
    npz_data(payload, bytes, n_bytes);
}

/* Write a lane of a spool as an array; width 0: one number a row. */
static void write_lane(struct npz_sink *npz, struct spool *spool, size_t lane,
    const char *base, const char *name, enum npz_type type, uint64_t width)
{
    char whole[BASE_BYTES + 64];
    const uint64_t shape[NPZ_MAX_DIMS] = {spool->n, width};
    (void)snprintf(whole, sizeof whole, "%s%s%s", base, base[0] != '\0' ? "/" : "", name);
    if (npz->out->err.code != 0) {
        return;
    }
    npz_begin(npz->npz, whole, type, width > 0 ? 2 : 1, shape);
    spool_each(spool, lane, add_data, npz->npz);
    npz_end(npz->npz);
}

static void write_base(const struct export_item *item, char out[BASE_BYTES])
{
    char label[SERIES_LABEL_BYTES] = "step_time";
    char rank[16] = "";
    if (item->kind == READING_BATCH) {
        (void)snprintf(label, sizeof label, "batches");
    } else if (item->kind == READING_SAMPLES) {
        (void)snprintf(label, sizeof label, "results");
    }
    if (item->thing != NULL) {
        (void)thing_epoch_label(item->thing, label);
        if (item->thing->rank > 0) {
            (void)snprintf(rank, sizeof rank, "@%u", item->thing->rank);
        }
    }
    (void)snprintf(out, BASE_BYTES, "%s%s%s", label, rank,
        item->kind == READING_UNITS ? "/units" : "");
}

/* ---- rows ---- */

/* The lanes of an item: step, time, one a statistic, and where parts end. */
static void begin_item(struct export_sink *sink, const struct export_item *item)
{
    struct npz_sink *npz = (struct npz_sink *)sink;
    size_t lanes[SPOOL_MAX_LANES] = {sizeof(int64_t), sizeof(int64_t)};
    size_t n = LANE_VALUES;
    bool is_units = item->kind == READING_UNITS;
    size_t value_bytes =
        is_units ? item->thing->declare->n_units * sizeof(float) : sizeof(double);
    for (uint32_t stats = item->stats; stats != 0; stats &= stats - 1) {
        lanes[n++] = value_bytes;
    }
    if (item->stats == 0 || item->with_histogram) { /* a value, a size, or what it is of */
        lanes[n++] = sizeof(double);
    }
    if (item->with_histogram) {
        static const size_t bin[] = {sizeof(int16_t), sizeof(int16_t), sizeof(uint32_t)};
        lanes[n++] = sizeof(uint64_t);
        spool_reset(&npz->parts, bin, BARO_LEN(bin));
    } else if (item->kind == READING_BATCH) {
        static const size_t sample[] = {sizeof(int64_t)};
        lanes[n++] = sizeof(uint64_t);
        spool_reset(&npz->parts, sample, BARO_LEN(sample));
    } else if (item->kind == READING_SAMPLES) {
        static const size_t result[] = {
            sizeof(int64_t), sizeof(float), sizeof(int16_t), sizeof(int16_t)};
        lanes[n++] = sizeof(uint64_t);
        spool_reset(&npz->parts, result, BARO_LEN(result));
    }
    spool_reset(&npz->rows, lanes, n);
}

static void add_bins(struct spool *parts, const struct row *row)
{
    for (size_t at = 0; at + sizeof(struct reading_bin) <= row->extra_bytes;
         at += sizeof(struct reading_bin)) {
        struct reading_bin bin;
        memcpy(&bin, row->extra + at, sizeof bin);
        memcpy(spool_place(parts, 0), &bin.bin, sizeof bin.bin);
        memcpy(spool_place(parts, 1), &bin.sign, sizeof bin.sign);
        memcpy(spool_place(parts, 2), &bin.count, sizeof bin.count);
        spool_add(parts);
    }
}

static void add_samples(struct spool *parts, const struct row *row)
{
    for (size_t at = 0; at + sizeof(int64_t) <= row->extra_bytes; at += sizeof(int64_t)) {
        memcpy(spool_place(parts, 0), row->extra + at, sizeof(int64_t));
        spool_add(parts);
    }
}

static void add_results(struct spool *parts, const struct row *row)
{
    for (size_t at = 0; at + sizeof(struct reading_sample) <= row->extra_bytes;
         at += sizeof(struct reading_sample)) {
        struct reading_sample sample;
        memcpy(&sample, row->extra + at, sizeof sample);
        int16_t correct = (int16_t)(sample.correct < 0 ? -1 : sample.correct > 0);
        memcpy(spool_place(parts, 0), &sample.index, sizeof sample.index);
        memcpy(spool_place(parts, 1), &sample.loss, sizeof sample.loss);
        memcpy(spool_place(parts, 2), &correct, sizeof correct);
        memcpy(spool_place(parts, 3), &sample.label, sizeof sample.label);
        spool_add(parts);
    }
}

static void add_stats(
    struct spool *rows, const struct export_item *item, const struct row *row, size_t *lane)
{
    size_t n_units = item->kind == READING_UNITS ? item->thing->declare->n_units : 0;
    for (uint32_t stats = item->stats; stats != 0; stats &= stats - 1) {
        size_t at = (size_t)__builtin_ctz(stats) - item->first_stat;
        if (item->kind == READING_UNITS) {
            memcpy(
                spool_place(rows, *lane), row->f32 + at * n_units, n_units * sizeof(float));
        } else {
            memcpy(spool_place(rows, *lane), row->f64 + at, sizeof(double));
        }
        (*lane)++;
    }
}

static void add_row(
    struct export_sink *sink, const struct export_item *item, const struct row *row)
{
    struct npz_sink *npz = (struct npz_sink *)sink;
    struct spool *rows = &npz->rows;
    size_t lane = LANE_VALUES;
    memcpy(spool_place(rows, LANE_STEP), &row->step, sizeof row->step);
    memcpy(spool_place(rows, LANE_TIME), &row->time_ns, sizeof row->time_ns);
    add_stats(rows, item, row, &lane);
    if (item->with_histogram) {
        memcpy(spool_place(rows, lane++), &row->f64[SUMMARY_HIST_EVERY], sizeof(double));
        add_bins(&npz->parts, row);
    } else if (item->stats == 0) {
        memcpy(spool_place(rows, lane++), row->f64, sizeof(double));
    }
    bool has_parts = item->with_histogram;
    if (item->kind == READING_BATCH) {
        add_samples(&npz->parts, row);
        has_parts = true;
    } else if (item->kind == READING_SAMPLES) {
        add_results(&npz->parts, row);
        has_parts = true;
    }
    if (has_parts) {
        memcpy(spool_place(rows, lane), &npz->parts.n, sizeof npz->parts.n);
    }
    spool_add(rows);
}

static void end_item(struct export_sink *sink, const struct export_item *item)
{
    struct npz_sink *npz = (struct npz_sink *)sink;
    struct spool *rows = &npz->rows;
    char base[BASE_BYTES];
    size_t lane = LANE_VALUES;
    bool is_units = item->kind == READING_UNITS;
    if (rows->n == 0) {
        return;
    }
    write_base(item, base);
    write_lane(npz, rows, LANE_STEP, base, "steps", NPZ_I64, 0);
    write_lane(npz, rows, LANE_TIME, base, "times_ns", NPZ_I64, 0);
    for (uint32_t stats = item->stats; stats != 0; stats &= stats - 1) {
        int stat = __builtin_ctz(stats);
        write_lane(npz, rows, lane++, base,
            is_units ? unit_stat_name(stat) : summary_stat_name(stat),
            is_units ? NPZ_F32 : NPZ_F64, is_units ? item->thing->declare->n_units : 0);
    }
    if (item->with_histogram) {
        write_lane(npz, rows, lane++, base, "histogram/every", NPZ_F64, 0);
        write_lane(npz, rows, lane, base, "histogram/ends", NPZ_U64, 0);
        write_lane(npz, &npz->parts, 0, base, "histogram/exponents", NPZ_I16, 0);
        write_lane(npz, &npz->parts, 1, base, "histogram/signs", NPZ_I16, 0);
        write_lane(npz, &npz->parts, 2, base, "histogram/counts", NPZ_U32, 0);
    } else if (item->kind == READING_BATCH) {
        write_lane(npz, rows, lane++, base, "sizes", NPZ_F64, 0);
        write_lane(npz, rows, lane, base, "ends", NPZ_U64, 0);
        write_lane(npz, &npz->parts, 0, base, "samples", NPZ_I64, 0);
    } else if (item->kind == READING_SAMPLES) {
        write_lane(npz, rows, lane++, base, "sizes", NPZ_F64, 0);
        write_lane(npz, rows, lane, base, "ends", NPZ_U64, 0);
        write_lane(npz, &npz->parts, 0, base, "samples", NPZ_I64, 0);
        write_lane(npz, &npz->parts, 1, base, "losses", NPZ_F32, 0);
        write_lane(npz, &npz->parts, 2, base, "correct", NPZ_I16, 0);
        write_lane(npz, &npz->parts, 3, base, "labels", NPZ_I16, 0);
    } else if (item->stats == 0) {
        write_lane(npz, rows, lane, base, "values", NPZ_F64, 0);
    }
}

/* ---- lists of objects ---- */

static void begin_list(struct export_sink *sink, const char *name)
{
    static const size_t byte[] = {1};
    struct npz_sink *npz = (struct npz_sink *)sink;
    (void)snprintf(npz->list, sizeof npz->list, "%s", name);
    spool_reset(&npz->parts, byte, BARO_LEN(byte));
}

static void add_byte(struct spool *parts, char byte)
{
    memcpy(spool_place(parts, 0), &byte, 1);
    spool_add(parts);
}

static void add_object(struct export_sink *sink, const char *object)
{
    struct npz_sink *npz = (struct npz_sink *)sink;
    for (const char *at = object; *at != '\0'; at++) {
        add_byte(&npz->parts, *at);
    }
    add_byte(&npz->parts, '\n');
}

static void end_list(struct export_sink *sink)
{
    struct npz_sink *npz = (struct npz_sink *)sink;
    write_lane(npz, &npz->parts, 0, "", npz->list, NPZ_U8, 0);
}

static void write_header(struct export_sink *sink, const char *object)
{
    begin_list(sink, "run");
    add_object(sink, object);
    end_list(sink);
}

static void finish(struct export_sink *sink, bool is_given_up)
{
    struct npz_sink *npz = (struct npz_sink *)sink;
    if (is_given_up) {
        npz_destroy(npz->npz);
    } else {
        npz_finish(npz->npz);
    }
    spool_finish(&npz->rows);
    spool_finish(&npz->parts);
    free(npz);
}

struct export_sink *export_npz_create(struct out_file *out)
{
    struct npz *archive = npz_create(out, 0);
    if (archive == NULL) {
        return NULL;
    }
    struct npz_sink *npz = baro_xcalloc(1, sizeof *npz);
    npz->sink = (struct export_sink){
        .header = write_header,
        .begin_item = begin_item,
        .row = add_row,
        .end_item = end_item,
        .begin_list = begin_list,
        .object = add_object,
        .end_list = end_list,
        .finish = finish,
    };
    npz->out = out;
    npz->npz = archive;
    spool_init(&npz->rows, out);
    spool_init(&npz->parts, out);
    return &npz->sink;
}
