/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/bench/flock.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/order.h"
#include "lib/base/reading.h"

/*
 * Lines to choose among. Made-up ones are groups of different density. Recorded ones are the mean and
 * the l2 norm of units of real trainings (tools/corpus/record_corpus.py --wide): either one tensor's, as the
 * viewer's tensor page shows them, or a draw of all weights', each tensor
 * scaled so that they share a chart. Planted outliers are a spike of one step, a course of its own from the middle on, or a slow
 * departure, each four to eight times the spread of the lines, upwards or downwards, but at least
 * half as much again as all but one line in 1,000 moves by itself: among gradients that are zero but for spikes
 * a third of the lines leaps by five times the spread, and one more that does is no outlier.
 *
 * The loneliest lines are the hundredth with the largest local outlier factors, measured at all
 * key columns, in pixels (less than one pixel counts as one), with the nearest hundredth of the lines as
 * neighbours; up to 16,384 lines among all of them, of more among so many drawn at random.
 */

enum {
    MADE_UP_STEPS = 1000,
    WINDOW = 300, /* steps of recorded lines */
    FEW_NEIGHBOURS = 20,
    ALL_REFERENCES = 16384,
    SOME_REFERENCES = 16384,
    RARE = 1000 /* one line in so many may move more than what is planted */
};

static uint64_t state = 1;

double flock_draw(void)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(state >> 11) / 9007199254740992.0;
}

static double draw_normal(void)
{
    return sqrt(-2 * log(1 - flock_draw())) * cos(6.283185307179586 * flock_draw());
}

void flock_make_up(struct flock *flock, size_t n)
{
    *flock = (struct flock){.n = n, .n_steps = MADE_UP_STEPS};
    flock->values = baro_xcalloc(n * MADE_UP_STEPS, sizeof(float));
    (void)snprintf(flock->name, sizeof flock->name, "%zu made-up lines", n);
    for (size_t i = 0; i < n; i++) {
        double group = floor(flock_draw() * 4);
        double level = group + draw_normal() * (0.05 + 0.1 * group);
        double drift = draw_normal() * 0.3;
        double walk = 0;
        for (size_t t = 0; t < MADE_UP_STEPS; t++) {
            double x = (double)t / MADE_UP_STEPS;
            walk += draw_normal() * 0.003;
            flock->values[i * MADE_UP_STEPS + t] =
                (float)(level + drift * x + 0.2 * sin(5 * x + group) + walk);
        }
    }
}

static bool is_units(const struct corpus_series *series)
{
    bool is_tensor = strncmp(series->name, "weights.", 8) == 0 ||
                     strncmp(series->name, "gradients.", 10) == 0 ||
                     strncmp(series->name, "activations.", 12) == 0;
    return is_tensor && series->f32 != NULL && series->n_rows >= WINDOW &&
           series->n_columns % UNIT_STAT_COUNT == 0;
}

/* One statistic of one tensor's units over one window. */
struct source {
    const struct corpus_series *series;
    size_t first_row;
    size_t column; /* of its first unit */
    size_t n_units;
    double mean, spread;
};

static float reading_of(const struct source *source, size_t unit, size_t t)
{
    const float *row =
        source->series->f32 + (source->first_row + t) * source->series->n_columns;
    return row[source->column + unit];
}

/* Mean and spread over some units and steps; false when all readings are the same or bad. */
static bool scale_source(struct source *source)
{
    enum { PROBES = 4000 };
    double sum = 0, squares = 0;
    for (size_t i = 0; i < PROBES; i++) {
        size_t unit = (size_t)(flock_draw() * (double)source->n_units);
        double v = (double)reading_of(source, unit, (size_t)(flock_draw() * WINDOW));
        sum += v;
        squares += v * v;
    }
    source->mean = sum / PROBES;
    source->spread = sqrt(squares / PROBES - source->mean * source->mean);
    return source->spread > 1e-12 && isfinite(source->spread);
}

static struct source *list_sources(
    const struct corpus *corpus, size_t *out_n, size_t *out_n_units)
{
    struct source *sources = NULL;
    *out_n = *out_n_units = 0;
    for (size_t i = 0; i < corpus->n_series; i++) {
        const struct corpus_series *series = &corpus->series[i];
        const bool is_weight = strncmp(series->name, "weights.", 8) == 0;
        for (size_t k = 0;
             is_weight && is_units(series) && k < 2 * (series->n_rows / WINDOW); k++) {
            struct source source = {.series = series,
                .first_row = k / 2 * WINDOW,
                .n_units = series->n_columns / UNIT_STAT_COUNT};
            source.column = (k % 2 == 0 ? UNIT_MEAN : UNIT_L2) * source.n_units;
            if (scale_source(&source)) {
                sources = baro_xrealloc(sources, *out_n + 1, sizeof *sources);
                sources[(*out_n)++] = source;
                *out_n_units += source.n_units;
            }
        }
    }
    return sources;
}

bool flock_take_mixed(struct flock *flock, const struct corpus *corpus, size_t n)
{
    size_t n_sources = 0, n_units = 0;
    baro_autofree struct source *sources = list_sources(corpus, &n_sources, &n_units);
    *flock = (struct flock){.n_steps = WINDOW};
    flock->values = baro_xcalloc(n * WINDOW, sizeof(float));
    (void)snprintf(flock->name, sizeof flock->name, "%zu recorded weights", n);
    size_t left = n_units;
    for (size_t s = 0; s < n_sources; s++) {
        const struct source *source = &sources[s];
        for (size_t u = 0; u < source->n_units; u++, left--) {
            if (flock_draw() * (double)left >= (double)(n - flock->n)) {
                continue;
            }
            float *out = flock->values + flock->n++ * WINDOW;
            for (size_t t = 0; t < WINDOW; t++) {
                double v =
                    ((double)reading_of(source, u, t) - source->mean) / source->spread;
                out[t] = (float)v;
            }
        }
    }
    return flock->n == n;
}

bool flock_take_tensor(struct flock *flock, const struct corpus *corpus, const char *run,
    const char *name, size_t n)
{
    for (size_t i = 0; i < corpus->n_series; i++) {
        const struct corpus_series *series = &corpus->series[i];
        if (!is_units(series) || strcmp(series->run, run) != 0 ||
            strcmp(series->name, name) != 0) {
            continue;
        }
        struct source source = {
            .series = series, .n_units = series->n_columns / UNIT_STAT_COUNT};
        source.column = UNIT_L2 * source.n_units;
        n = n < source.n_units ? n : source.n_units;
        *flock = (struct flock){.n = n, .n_steps = WINDOW};
        flock->values = baro_xcalloc(n * WINDOW, sizeof(float));
        (void)snprintf(flock->name, sizeof flock->name, "%zu units of %s", n, name);
        if (!scale_source(&source)) {
            return false;
        }
        for (size_t u = 0; u < n; u++) {
            for (size_t t = 0; t < WINDOW; t++) {
                double v = (double)reading_of(&source, u, t);
                flock->values[u * WINDOW + t] = (float)((v - source.mean) / source.spread);
            }
        }
        return true;
    }
    return false;
}

/* How far all but one in RARE lines move by themselves, from their least to their largest. */
static double usual_move(const struct flock *flock)
{
    baro_autofree float *moves = baro_xcalloc(flock->n, sizeof *moves);
    for (size_t i = 0; i < flock->n; i++) {
        const float *line = flock->values + i * flock->n_steps;
        float least = line[0], most = line[0];
        for (size_t t = 1; t < flock->n_steps; t++) {
            least = line[t] < least ? line[t] : least;
            most = line[t] > most ? line[t] : most;
        }
        moves[i] = most - least;
    }
    qsort(moves, flock->n, sizeof *moves, baro_by_float);
    return (double)moves[flock->n - 1 - flock->n / RARE];
}

static void plant(struct flock *flock, size_t every)
{
    const size_t n_steps = flock->n_steps;
    const double least = 1.5 * usual_move(flock);
    const double spike = fmax(5, least), level = fmax(4, least), slope = fmax(5, least);
    flock->planted = baro_xcalloc(flock->n / every + 1, sizeof *flock->planted);
    for (size_t i = every / 2; i < flock->n; i += every) {
        float *line = flock->values + i * n_steps;
        size_t kind = flock->n_planted % 3;
        const double strength =
            1 + flock_draw() / 2; /* two alike would be one to the eye */
        for (size_t t = 0; t < n_steps; t++) {
            double x = (double)t / (double)n_steps;
            double more = kind == 0   ? (t == n_steps / 3 ? spike : 0)
                          : kind == 1 ? (t >= n_steps / 2 ? level : 0)
                                      : slope * x * x;
            line[t] += (float)(strength * (flock->n_planted % 2 == 0 ? more : -more));
        }
        flock->planted[flock->n_planted++] = (uint32_t)i;
    }
}

/* The chart shows all but one reading in a thousand at each end, as a person would zoom. */
static void lay_out(struct flock *flock)
{
    enum { PROBES = 20000 };
    baro_autofree float *probes = baro_xcalloc(PROBES, sizeof *probes);
    for (size_t i = 0; i < PROBES; i++) {
        probes[i] =
            flock->values[(size_t)(flock_draw() * (double)(flock->n * flock->n_steps))];
    }
    qsort(probes, PROBES, sizeof *probes, baro_by_float);
    double low = (double)probes[PROBES / 1000],
           high = (double)probes[PROBES - 1 - PROBES / 1000];
    double beyond = (high - low) * 0.25;
    flock->axis = (struct axis){
        .kind = AXIS_LINEAR, .lo = low - beyond, .hi = high + beyond, .linear_to = 1};
    flock->lines = (struct polylines){
        .n_lines = flock->n, .n_steps = flock->n_steps, .values = flock->values};
    polyline_screen_init(
        &flock->screen, &flock->lines, &flock->axis, FLOCK_HEIGHT, POLYLINE_MAX_COLUMNS);
    flock->heights = baro_xcalloc(flock->n * flock->screen.n_columns, sizeof(float));
    sample_canvas_init(&flock->all, FLOCK_WIDTH, FLOCK_HEIGHT);
    for (size_t i = 0; i < flock->n; i++) {
        struct polyline_traits traits;
        polyline_reduce(&flock->screen, &flock->lines, i,
            flock->heights + i * flock->screen.n_columns, &traits);
        sample_canvas_draw(&flock->all, &flock->screen, &flock->lines, i);
    }
}

static void find_loneliest(struct flock *flock)
{
    const size_t c = flock->screen.n_columns;
    baro_autofree uint32_t *order = baro_xcalloc(flock->n, sizeof *order);
    baro_autofree double *scores = baro_xcalloc(flock->n, sizeof *scores);
    struct choice everything = {order, flock->n};
    flock_choose(flock, WAY_RANDOM, &everything);
    size_t n_refs = flock->n <= ALL_REFERENCES ? flock->n : SOME_REFERENCES;
    size_t k = n_refs / 100 > FEW_NEIGHBOURS ? n_refs / 100 : FEW_NEIGHBOURS;
    sample_lof(flock->heights, flock->n, c, order, n_refs, k, sqrt((double)c), scores);
    flock->n_loneliest = flock->n / 100;
    flock->loneliest = baro_xcalloc(flock->n_loneliest + 1, sizeof *flock->loneliest);
    struct choice top = {flock->loneliest, flock->n_loneliest};
    flock_rank(scores, flock->n, &top);
}

void flock_prepare(struct flock *flock, size_t plant_every)
{
    plant(flock, plant_every);
    lay_out(flock);
    find_loneliest(flock);
}

void flock_finish(struct flock *flock)
{
    free(flock->values);
    free(flock->planted);
    free(flock->loneliest);
    free(flock->heights);
    sample_canvas_finish(&flock->all);
    *flock = (struct flock){0};
}
