/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes per point in the store's file, everything in it: values, steps, times, indexes,
 * summaries, descriptions, free pages. Recorded series of each kind are pushed to a daemon of
 * their own with their recorded steps and times, run after run as they were recorded; each run
 * ends, the daemon is stopped cleanly, the file's length is divided by the number of points. The
 * limit is the codec alone: the same series, one after the other, in chunks as long as they may
 * be, steps and times included, and nothing around them.
 */
#include "tools/bench/bench_store.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/codec/chunk.h"
#include "tools/bench/corpus.h"
#include "tools/bench/store_rig.h"

enum { MAX_SERIES = 256, ALONE_RAW_BYTES = 1 << 20 };

static const char limit_name[] = "the codec alone, longest chunks";

/* Which recorded series make up a kind, and what is pushed of them. */
struct kind {
    const char *name;
    const char *prefixes[4]; /* of the series' names */
    enum reading_kind reading;
    int column;           /* >= 0: only this statistic of a summary, as a scalar */
    bool is_constant;     /* every value is the first */
    const char *argument; /* of barod */
    enum chunk_precision precision;
};

static const struct kind kinds[] = {
    {"losses, gradient norms", {"loss.", "gradnorm."}, READING_SCALAR, -1, false, NULL,
        CHUNK_ROUND_TIMES},
    {"weight norms", {"weights."}, READING_SCALAR, SUMMARY_L2, false, NULL,
        CHUNK_ROUND_TIMES},
    {"learning rates", {"lr."}, READING_SCALAR, -1, false, NULL, CHUNK_ROUND_TIMES},
    {"constants", {"lr.", "loss.", "gradnorm."}, READING_SCALAR, -1, true, NULL,
        CHUNK_ROUND_TIMES},
    {"summaries of tensors", {"weights.", "gradients.", "activations."}, READING_SUMMARY,
        -1, false, NULL, CHUNK_ROUND_TIMES},
    {"statistics of units", {"weights.", "gradients.", "activations."}, READING_UNITS, -1,
        false, NULL, CHUNK_ROUND_ALL},
    {"statistics of units, --exact", {"weights.", "gradients.", "activations."},
        READING_UNITS, -1, false, "--exact", CHUNK_EXACT},
    {"losses, gradient norms, --exact", {"loss.", "gradnorm."}, READING_SCALAR, -1, false,
        "--exact", CHUNK_EXACT},
};

/* ---- choosing ---- */

static bool is_of_kind(const struct kind *kind, const struct corpus_series *series)
{
    size_t n_columns =
        kind->reading == READING_SUMMARY || kind->column >= 0 ? SUMMARY_STAT_COUNT : 1;
    if ((kind->reading == READING_UNITS) != (series->f32 != NULL) ||
        (series->f64 != NULL && series->n_columns != n_columns)) {
        return false;
    }
    for (size_t i = 0; i < BARO_LEN(kind->prefixes) && kind->prefixes[i] != NULL; i++) {
        if (strncmp(series->name, kind->prefixes[i], strlen(kind->prefixes[i])) == 0) {
            return true;
        }
    }
    return false;
}

/* Numbers in a row as it is pushed. */
static size_t row_numbers(const struct kind *kind, const struct corpus_series *series)
{
    return kind->column >= 0 ? 1 : series->n_columns;
}

/* One row as it is pushed; constant and single values come by way of out. */
static const void *row_at(
    const struct kind *kind, const struct corpus_series *series, size_t row, double *out)
{
    if (kind->reading == READING_UNITS) {
        return series->f32 + row * series->n_columns;
    }
    if (kind->reading == READING_SUMMARY) {
        return series->f64 + row * series->n_columns;
    }
    size_t from = kind->is_constant ? 0 : row;
    *out =
        series
            ->f64[from * series->n_columns + (size_t)(kind->column > 0 ? kind->column : 0)];
    return out;
}

/* The series of a kind in one run, up to some number. */
struct choice {
    const struct corpus_series *series[MAX_SERIES];
    size_t n;
    size_t n_rows; /* of the longest */
};

static struct choice choose(
    const struct kind *kind, const struct corpus *corpus, const char *run)
{
    struct choice choice = {0};
    for (size_t i = 0; i < corpus->n_series && choice.n < MAX_SERIES; i++) {
        const struct corpus_series *series = &corpus->series[i];
        if (strcmp(series->run, run) == 0 && is_of_kind(kind, series)) {
            choice.series[choice.n++] = series;
            choice.n_rows = series->n_rows > choice.n_rows ? series->n_rows : choice.n_rows;
        }
    }
    return choice;
}

/* ---- pushing ---- */

/* Push a run's series side by side, row after row, as a training does. */
static int push_run(struct bench *bench, const struct bench_daemon *daemon,
    const struct kind *kind, const struct choice *choice, double *io_left)
{
    struct baro_err err = {0};
    struct feed *feed = feed_open(daemon->endpoint, choice->series[0]->run, &err);
    if (feed == NULL) {
        return bench_fail(bench, "%s", err.text);
    }
    bool is_units = kind->reading == READING_UNITS;
    bool is_scalar = kind->reading == READING_SCALAR;
    for (size_t i = 0; i < choice->n; i++) {
        const struct corpus_series *series = choice->series[i];
        uint32_t n_units = is_units    ? (uint32_t)(series->n_columns / UNIT_STAT_COUNT)
                           : is_scalar ? 0
                                       : 1;
        (void)feed_declare(feed, series->name, n_units);
    }
    for (size_t row = 0; row<choice->n_rows && * io_left> 0; row++) {
        for (size_t i = 0; i < choice->n; i++) {
            const struct corpus_series *series = choice->series[i];
            double value;
            if (row < series->n_rows) {
                size_t n = row_numbers(kind, series);
                feed_put(feed, kind->reading, (uint32_t)i + 1, series->steps[row],
                    series->times_ns[row], row_at(kind, series, row, &value),
                    n * (is_units ? sizeof(float) : sizeof(double)));
                *io_left -= (double)n;
            }
        }
    }
    return feed_close(feed, &err) == 0 ? 0 : bench_fail(bench, "%s", err.text);
}

/* ---- the codec alone ---- */

struct alone {
    struct chunk_codec *codec;
    double *f64;
    float *f32;
    uint32_t *extra_ends;
    size_t room; /* numbers */
};

/* Encode rows [from, from + n) of a series; gives the chunk's bytes. */
static size_t encode_rows(struct alone *alone, const struct kind *kind,
    const struct corpus_series *series, size_t from, size_t n)
{
    size_t n_columns = row_numbers(kind, series);
    bool is_units = kind->reading == READING_UNITS;
    for (size_t r = 0; r < n; r++) {
        double value;
        const void *row = row_at(kind, series, from + r, &value);
        for (size_t c = 0; c < n_columns; c++) {
            if (is_units) {
                alone->f32[c * n + r] = ((const float *)row)[c];
            } else {
                alone->f64[c * n + r] = ((const double *)row)[c];
            }
        }
    }
    struct chunk_columns columns = {.n_rows = (uint32_t)n,
        .n_f64 = is_units ? 0 : (uint32_t)n_columns,
        .n_f32 = is_units ? (uint32_t)n_columns : 0,
        .stride = n,
        .steps = series->steps + from,
        .times_ns = series->times_ns + from,
        .f64 = alone->f64,
        .f32 = alone->f32,
        .extra_ends = alone->extra_ends,
        .covers = n,
        .precision = kind->precision};
    const uint8_t *bytes = NULL;
    size_t n_bytes = 0;
    return chunk_encode(alone->codec, &columns, &bytes, &n_bytes, NULL) == 0 ? n_bytes : 0;
}

/* All of a run's series up to a number of points; gives bytes. */
static double encode_run(struct alone *alone, const struct kind *kind,
    const struct choice *choice, double *io_left)
{
    double n_bytes = 0;
    double share = 1;
    double n_points = 0;
    for (size_t i = 0; i < choice->n; i++) {
        n_points +=
            (double)(choice->series[i]->n_rows * row_numbers(kind, choice->series[i]));
    }
    share = n_points > *io_left ? *io_left / n_points : 1;
    for (size_t i = 0; i < choice->n; i++) {
        const struct corpus_series *series = choice->series[i];
        size_t n_columns = row_numbers(kind, series);
        size_t n_rows = (size_t)ceil(share * (double)series->n_rows);
        size_t most = (ALONE_RAW_BYTES - 1) / (8 * n_columns + 16) + 1;
        most = most < CHUNK_MAX_ROWS ? most : CHUNK_MAX_ROWS;
        for (size_t from = 0; from < n_rows; from += most) {
            size_t n = n_rows - from < most ? n_rows - from : most;
            n_bytes += (double)encode_rows(alone, kind, series, from, n);
        }
        *io_left -= (double)(n_rows * n_columns);
    }
    return n_bytes;
}

/* ---- the whole ---- */

/* Go over the runs of the corpus until so many points are reached. */
static int measure(struct bench *bench, const struct corpus *corpus,
    const struct kind *kind, double n_wanted, double *out_points, double *out_file,
    double *out_alone)
{
    struct bench_daemon daemon;
    double left = n_wanted;
    double left_alone = n_wanted;
    *out_alone = 0;
    size_t most = 2 * (ALONE_RAW_BYTES / 8) + (1 << 20);
    struct alone alone = {.codec = chunk_codec_create(),
        .f64 = baro_xcalloc(most, sizeof(double)),
        .f32 = baro_xcalloc(most, sizeof(float)),
        .extra_ends = baro_xcalloc(CHUNK_MAX_ROWS, sizeof(uint32_t))};
    int rc = bench_daemon_start_with(bench, kind->argument, &daemon);
    const char *run = "";
    for (size_t i = 0; rc == 0 && i < corpus->n_series && left > 0; i++) {
        if (strcmp(run, corpus->series[i].run) != 0) {
            run = corpus->series[i].run;
            struct choice choice = choose(kind, corpus, run);
            rc = choice.n > 0 ? push_run(bench, &daemon, kind, &choice, &left) : 0;
            *out_alone += choice.n > 0 ? encode_run(&alone, kind, &choice, &left_alone) : 0;
        }
    }
    if (rc == 0) {
        rig_await_idle(&daemon);
    }
    bench_daemon_stop(&daemon, false);
    *out_points = n_wanted - left;
    *out_file = (double)rig_file_bytes(&daemon) / *out_points;
    *out_alone /= n_wanted - left_alone;
    chunk_codec_destroy(alone.codec);
    free(alone.f64);
    free(alone.f32);
    free(alone.extra_ends);
    return rc;
}

static double count_points(const struct corpus *corpus, const struct kind *kind)
{
    double n = 0;
    for (size_t i = 0; i < corpus->n_series; i++) {
        if (is_of_kind(kind, &corpus->series[i])) {
            n += (double)(corpus->series[i].n_rows * row_numbers(kind, &corpus->series[i]));
        }
    }
    return n;
}

static int measure_kind(
    struct bench *bench, const struct corpus *corpus, const struct kind *kind)
{
    static const double sizes[] = {1e5, 1e6, 1e7, (double)INFINITY};
    double n_there = count_points(corpus, kind);
    double n_before = 0;
    for (size_t i = 0; i < BARO_LEN(sizes) && n_before < n_there; i++) {
        double n_wanted = sizes[i] < n_there ? sizes[i] : n_there;
        bool is_last =
            n_wanted >= n_there || (i + 1 < BARO_LEN(sizes) && n_there < 1.5 * sizes[i]);
        n_wanted = is_last ? n_there : n_wanted;
        double n_points = 0;
        double file = 0;
        double alone = 0;
        if (measure(bench, corpus, kind, n_wanted, &n_points, &file, &alone) != 0) {
            return -1;
        }
        char name[96];
        (void)snprintf(name, sizeof name, "%s, %.2g points", kind->name, n_points);
        bench_report(bench, "store size", name, file, "bytes/point", alone, limit_name);
        n_before = n_wanted;
        if (bench_is_quick(bench)) {
            break;
        }
    }
    return 0;
}

int bench_store_size(struct bench *bench)
{
    const char *dir = bench_corpus(bench);
    struct baro_err err = {0};
    struct corpus corpus = {0};
    if (dir == NULL) {
        bench_note(bench,
            "store size: no recorded series; record some with tools/corpus/record_corpus.py and "
            "name their folder with --corpus");
        return 0;
    }
    int rc = corpus_open(dir, &corpus, &err);
    if (rc != 0) {
        (void)bench_fail(bench, "%s", err.text);
    }
    for (size_t i = 0; rc == 0 && i < BARO_LEN(kinds); i++) {
        rc = measure_kind(bench, &corpus, &kinds[i]);
    }
    corpus_close(&corpus);
    return rc == 0 ? 0 : -1;
}
