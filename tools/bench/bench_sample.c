/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/bench/bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/sample.h"
#include "lib/analysis/sample_measure.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/reading.h"
#include "tools/bench/corpus.h"

/*
 * The choice of lines beside other choices of as many: at random, the first ones, those with the
 * largest variance, and medoids of k-means. Lines are windows of 1,000 steps of units recorded from real
 * trainings (--corpus) or made up, with one line in 200 turned into an outlier: a spike of one
 * step, a course of its own from the middle on, or a slow departure. An outlier is recalled when
 * it is shown, or a shown line lies within the radius of it in the mean square over the chart.
 */

enum {
    STEPS = 1000,
    WIDTH = 800,
    HEIGHT = 600,
    FEATURES = 16,
    LOF_REFERENCES = 2000,
    LOF_NEIGHBOURS = 20,
    PLANT_EVERY = 200,
    KMEANS_ROUNDS = 8,
    SLICE = 1000
};

/* Many lines, and which of them were made outliers. */
struct flock {
    const char *name;
    size_t n;
    float *values; /* n x STEPS */
    uint32_t *planted;
    size_t n_planted;
    struct polylines lines;
    struct axis axis;
    struct polyline_screen screen;
    float *heights; /* n x columns */
    struct sample_canvas all;
};

/* A choice of some lines. */
struct choice {
    uint32_t *lines;
    size_t n;
};

static uint64_t state;

static double draw(void)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(state >> 11) / 9007199254740992.0;
}

static double draw_normal(void)
{
    return sqrt(-2 * log(1 - draw())) * cos(6.283185307179586 * draw());
}

/* ---- lines ---- */

/* Waves and drifts around some centres: groups of different density, with small noise. */
static void make_up(struct flock *flock)
{
    for (size_t i = 0; i < flock->n; i++) {
        double group = floor(draw() * 4);
        double level = group + draw_normal() * (0.05 + 0.1 * group);
        double drift = draw_normal() * 0.3;
        double walk = 0;
        for (size_t t = 0; t < STEPS; t++) {
            double x = (double)t / STEPS;
            walk += draw_normal() * 0.003;
            flock->values[i * STEPS + t] =
                (float)(level + drift * x + 0.2 * sin(5 * x + group) + walk);
        }
    }
}

static bool is_units(const struct corpus_series *series)
{
    bool is_tensor = strncmp(series->name, "weights.", 8) == 0 ||
                     strncmp(series->name, "gradients.", 10) == 0 ||
                     strncmp(series->name, "activations.", 12) == 0;
    return is_tensor && series->f32 != NULL && series->n_rows >= STEPS &&
           series->n_columns % UNIT_STAT_COUNT == 0;
}

/* One window of a tensor's units, centred and scaled so that tensors share a chart. */
static size_t take_window(
    const struct corpus_series *series, size_t first, size_t room, float *out)
{
    const size_t n_units = series->n_columns / UNIT_STAT_COUNT;
    const size_t n = n_units < room ? n_units : room;
    double sum = 0, squares = 0;
    for (size_t t = 0; t < STEPS; t++) {
        const float *row =
            series->f32 + (first + t) * series->n_columns + UNIT_L2 * n_units;
        for (size_t u = 0; u < n; u++) {
            out[u * STEPS + t] = row[u];
            sum += (double)row[u];
            squares += (double)row[u] * (double)row[u];
        }
    }
    const double count = (double)n * STEPS;
    const double mean = sum / count;
    const double spread = sqrt(squares / count - mean * mean);
    if (!(spread > 0)) {
        return 0;
    }
    for (size_t i = 0; i < n * STEPS; i++) {
        out[i] = (float)(((double)out[i] - mean) / spread);
    }
    return n;
}

/* Windows of recorded units until the flock is full; returns how many lines there are. */
static size_t take_recorded(const struct corpus *corpus, struct flock *flock)
{
    size_t n = 0;
    for (size_t first = 0; n < flock->n; first += STEPS) {
        size_t before = n;
        for (size_t i = 0; i < corpus->n_series && n < flock->n; i++) {
            const struct corpus_series *series = &corpus->series[i];
            if (is_units(series) && first + STEPS <= series->n_rows) {
                n += take_window(series, first, flock->n - n, flock->values + n * STEPS);
            }
        }
        if (n == before) {
            break;
        }
    }
    return n;
}

static void plant(struct flock *flock)
{
    flock->planted = baro_xcalloc(flock->n / PLANT_EVERY + 1, sizeof *flock->planted);
    for (size_t i = PLANT_EVERY / 2; i < flock->n; i += PLANT_EVERY) {
        float *line = flock->values + i * STEPS;
        size_t kind = flock->n_planted % 3;
        for (size_t t = 0; t < STEPS; t++) {
            double x = (double)t / STEPS;
            double more = kind == 0   ? (t == STEPS / 3 ? 5 : 0)
                          : kind == 1 ? (t >= STEPS / 2 ? 4 : 0)
                                      : 5 * x * x;
            line[t] += (float)(i % 2 == 0 ? more : -more);
        }
        flock->planted[flock->n_planted++] = (uint32_t)i;
    }
}

static int by_float(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

/* The chart shows all but one reading in a thousand at each end, as a person would zoom. */
static void lay_out(struct flock *flock)
{
    enum { PROBES = 20000 };
    baro_autofree float *probes = baro_xcalloc(PROBES, sizeof *probes);
    for (size_t i = 0; i < PROBES; i++) {
        probes[i] = flock->values[(size_t)(draw() * (double)(flock->n * STEPS))];
    }
    qsort(probes, PROBES, sizeof *probes, by_float);
    double low = (double)probes[PROBES / 1000],
           high = (double)probes[PROBES - 1 - PROBES / 1000];
    double beyond = (high - low) * 0.25;
    flock->axis = (struct axis){
        .kind = AXIS_LINEAR, .lo = low - beyond, .hi = high + beyond, .linear_to = 1};
    flock->lines =
        (struct polylines){.n_lines = flock->n, .n_steps = STEPS, .values = flock->values};
    polyline_screen_init(
        &flock->screen, &flock->lines, &flock->axis, HEIGHT, POLYLINE_MAX_COLUMNS);
    flock->heights = baro_xcalloc(flock->n * flock->screen.n_columns, sizeof(float));
    sample_canvas_init(&flock->all, WIDTH, HEIGHT);
    for (size_t i = 0; i < flock->n; i++) {
        struct polyline_traits traits;
        polyline_reduce(&flock->screen, &flock->lines, i,
            flock->heights + i * flock->screen.n_columns, &traits);
        sample_canvas_draw(&flock->all, &flock->screen, &flock->lines, i);
    }
}

static void flock_finish(struct flock *flock)
{
    free(flock->values);
    free(flock->planted);
    free(flock->heights);
    sample_canvas_finish(&flock->all);
}

/* ---- other ways to choose ---- */

static void choose_random(const struct flock *flock, struct choice *out)
{
    baro_autofree uint8_t *has = baro_xcalloc(flock->n, 1);
    for (size_t i = 0; i < out->n;) {
        uint32_t line = (uint32_t)(draw() * (double)flock->n);
        if (!has[line]) {
            has[line] = 1;
            out->lines[i++] = line;
        }
    }
}

struct ranked {
    double key;
    uint32_t line;
};

static int largest_first(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    return x->key > y->key ? -1 : x->key < y->key;
}

static void choose_variance(const struct flock *flock, struct choice *out)
{
    const size_t c = flock->screen.n_columns;
    baro_autofree struct ranked *ranked = baro_xcalloc(flock->n, sizeof *ranked);
    for (size_t i = 0; i < flock->n; i++) {
        double sum = 0, squares = 0;
        for (size_t t = 0; t < c; t++) {
            double y = (double)flock->heights[i * c + t];
            sum += y;
            squares += y * y;
        }
        ranked[i] = (struct ranked){squares - sum * sum / (double)c, (uint32_t)i};
    }
    qsort(ranked, flock->n, sizeof *ranked, largest_first);
    for (size_t i = 0; i < out->n; i++) {
        out->lines[i] = ranked[i].line;
    }
}

static float squared_distance(const float *a, const float *b, size_t n)
{
    float sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (a[i] - b[i]) * (a[i] - b[i]);
    }
    return sum;
}

/* Every sixth height, so that k-means ends in this life. */
static float *make_features(const struct flock *flock)
{
    const size_t c = flock->screen.n_columns;
    float *features = baro_xcalloc(flock->n * FEATURES, sizeof *features);
    for (size_t i = 0; i < flock->n; i++) {
        for (size_t f = 0; f < FEATURES; f++) {
            features[i * FEATURES + f] =
                flock->heights[i * c + f * c / FEATURES + c / FEATURES / 2];
        }
    }
    return features;
}

static void choose_medoids(
    const struct flock *flock, const float *features, struct choice *out)
{
    const size_t k = out->n;
    baro_autofree float *centres = baro_xcalloc(k * FEATURES, sizeof *centres);
    baro_autofree float *best = baro_xcalloc(k, sizeof *best);
    baro_autofree double *sums = baro_xcalloc(k * FEATURES, sizeof *sums);
    baro_autofree uint32_t *counts = baro_xcalloc(k, sizeof *counts);
    choose_random(flock, out);
    for (size_t j = 0; j < k; j++) {
        memcpy(centres + j * FEATURES, features + (size_t)out->lines[j] * FEATURES,
            FEATURES * sizeof(float));
    }
    for (int round = 0; round < KMEANS_ROUNDS; round++) {
        memset(sums, 0, k * FEATURES * sizeof *sums);
        memset(counts, 0, k * sizeof *counts);
        for (size_t j = 0; j < k; j++) {
            best[j] = INFINITY;
        }
        for (size_t i = 0; i < flock->n; i++) {
            const float *mine = features + i * FEATURES;
            size_t who = 0;
            float least = INFINITY;
            for (size_t j = 0; j < k; j++) {
                float d = squared_distance(mine, centres + j * FEATURES, FEATURES);
                who = d < least ? j : who;
                least = d < least ? d : least;
            }
            counts[who]++;
            for (size_t f = 0; f < FEATURES; f++) {
                sums[who * FEATURES + f] += (double)mine[f];
            }
            if (least < best[who]) {
                best[who] = least;
                out->lines[who] = (uint32_t)i;
            }
        }
        for (size_t j = 0; j < k && round + 1 < KMEANS_ROUNDS; j++) {
            for (size_t f = 0; f < FEATURES && counts[j] > 0; f++) {
                centres[j * FEATURES + f] = (float)(sums[j * FEATURES + f] / counts[j]);
            }
        }
    }
}

/* ---- judging ---- */

static double recall(const struct flock *flock, const struct choice *choice,
    const uint32_t *wanted, size_t n_wanted, float radius)
{
    const size_t c = flock->screen.n_columns;
    const float most = radius * radius * (float)c;
    size_t n = 0;
    for (size_t i = 0; i < n_wanted; i++) {
        const float *mine = flock->heights + (size_t)wanted[i] * c;
        bool is_there = false;
        for (size_t j = 0; j < choice->n && !is_there; j++) {
            is_there = choice->lines[j] == wanted[i] ||
                       squared_distance(
                           mine, flock->heights + (size_t)choice->lines[j] * c, c) < most;
        }
        n += is_there;
    }
    return n_wanted > 0 ? (double)n / (double)n_wanted : 1;
}

static void draw_choice(
    const struct flock *flock, const struct choice *choice, struct sample_canvas *out)
{
    sample_canvas_init(out, WIDTH, HEIGHT);
    for (size_t i = 0; i < choice->n; i++) {
        sample_canvas_draw(out, &flock->screen, &flock->lines, choice->lines[i]);
    }
}

/* Overdraw of random lines, as many as it takes to cover as much. */
static double random_overdraw(const struct flock *flock, double coverage)
{
    baro_autofree uint32_t *lines = baro_xcalloc(flock->n, sizeof *lines);
    struct choice everything = {lines, flock->n};
    choose_random(flock, &everything);
    struct sample_canvas canvas;
    sample_canvas_init(&canvas, WIDTH, HEIGHT);
    size_t n = 0;
    for (size_t goal = 64; n < flock->n; goal += goal / 4) {
        for (; n < goal && n < flock->n; n++) {
            sample_canvas_draw(&canvas, &flock->screen, &flock->lines, lines[n]);
        }
        if (sample_coverage(&flock->all, &canvas) >= coverage) {
            break;
        }
    }
    double overdraw = sample_overdraw(&canvas);
    sample_canvas_finish(&canvas);
    return overdraw;
}

static double near_share(
    const struct flock *flock, const struct choice *choice, float radius)
{
    const size_t c = flock->screen.n_columns;
    baro_autofree float *y = baro_xcalloc(choice->n * c, sizeof *y);
    float radii[POLYLINE_MAX_COLUMNS];
    for (size_t i = 0; i < choice->n; i++) {
        memcpy(y + i * c, flock->heights + (size_t)choice->lines[i] * c, c * sizeof *y);
    }
    for (size_t t = 0; t < c; t++) {
        radii[t] = radius;
    }
    struct sample_pairs pairs;
    sample_measure_pairs(y, choice->n, c, radii, &pairs);
    return pairs.near_share;
}

/* Lines whose local outlier factor is among the largest hundredth. */
static uint32_t *find_top_lof(
    const struct flock *flock, const float *features, size_t *out_n)
{
    baro_autofree uint32_t *order = baro_xcalloc(flock->n, sizeof *order);
    baro_autofree double *scores = baro_xcalloc(flock->n, sizeof *scores);
    baro_autofree struct ranked *ranked = baro_xcalloc(flock->n, sizeof *ranked);
    struct choice everything = {order, flock->n};
    choose_random(flock, &everything);
    size_t n_references = flock->n < LOF_REFERENCES ? flock->n : LOF_REFERENCES;
    sample_lof(features, flock->n, FEATURES, order, n_references, LOF_NEIGHBOURS, scores);
    for (size_t i = 0; i < flock->n; i++) {
        ranked[i] = (struct ranked){scores[i], (uint32_t)i};
    }
    qsort(ranked, flock->n, sizeof *ranked, largest_first);
    *out_n = flock->n / 100;
    uint32_t *top = baro_xcalloc(*out_n + 1, sizeof *top);
    for (size_t i = 0; i < *out_n; i++) {
        top[i] = ranked[i].line;
    }
    return top;
}

static void report(struct bench *bench, const struct flock *flock, const char *what,
    double value, const char *unit, double limit, const char *limit_name)
{
    char name[96];
    (void)snprintf(name, sizeof name, "%s, %s", flock->name, what);
    bench_report(bench, "sample", name, value, unit, limit, limit_name);
}

/* ---- one flock ---- */

struct timing {
    double first_ms;
    double total_ms;
    double step_ms; /* the longest single step */
};

static double ms_since(uint64_t began_ns)
{
    return (double)(baro_now_ns() - began_ns) / 1e6;
}

static struct sampler *run_sampler(const struct flock *flock, struct timing *out)
{
    *out = (struct timing){0};
    uint64_t began = baro_now_ns();
    struct sampler *sampler = sampler_create(&flock->lines, &flock->axis, HEIGHT, NULL);
    bool goes_on = true;
    while (goes_on) {
        uint64_t step = baro_now_ns();
        goes_on = sampler_step(sampler, SLICE);
        out->step_ms = fmax(out->step_ms, ms_since(step));
        struct sample sample;
        sampler_get(sampler, &sample);
        if (out->first_ms == 0 && (sample.n_shown >= 24 || sample.is_done)) {
            out->first_ms = ms_since(began);
        }
    }
    out->total_ms = ms_since(began);
    return sampler;
}

static double read_ms(const struct flock *flock)
{
    uint64_t began = baro_now_ns();
    volatile float keep;
    float sums[16] = {0};
    for (size_t i = 0; i + 16 <= flock->n * STEPS; i += 16) {
        for (size_t l = 0; l < 16; l++) {
            sums[l] += flock->values[i + l];
        }
    }
    keep = sums[0] + sums[7] + sums[15];
    (void)keep;
    return ms_since(began);
}

/* Steps of a calm run: each line goes on as it was, with small noise. */
static void measure_live(
    struct bench *bench, const struct flock *flock, struct sampler *sampler)
{
    enum { LIVE_STEPS = 100 };
    baro_autofree float *step = baro_xcalloc(flock->n, sizeof *step);
    baro_autofree uint8_t *was = baro_xcalloc(flock->n, 1);
    double times[LIVE_STEPS], same[LIVE_STEPS];
    size_t n_was = 0, n_redone = 0;
    for (size_t t = 0; t < LIVE_STEPS; t++) {
        for (size_t i = 0; i < flock->n; i++) {
            step[i] = flock->values[i * STEPS + STEPS - 1 - t]; /* back on its own track */
        }
        uint64_t began = baro_now_ns();
        sampler_append(sampler, step, NULL);
        times[t] = ms_since(began);
        bool is_redone = sampler_step(sampler, 1);
        while (sampler_step(sampler, SLICE)) {
        }
        n_redone += is_redone;
        struct sample sample;
        sampler_get(sampler, &sample);
        size_t n_both = 0;
        for (size_t i = 0; i < sample.n_shown; i++) {
            n_both += was[sample.shown[i]];
        }
        same[t] = t == 0 ? 1 : (double)n_both / (double)(n_was + sample.n_shown - n_both);
        memset(was, 0, flock->n);
        for (size_t i = 0; i < sample.n_shown; i++) {
            was[sample.shown[i]] = 1;
        }
        n_was = sample.n_shown;
    }
    double mean = 0;
    for (size_t t = 0; t < LIVE_STEPS; t++) {
        mean += same[t] / LIVE_STEPS;
    }
    report(bench, flock, "one new step", bench_median(times, LIVE_STEPS), "ms", (double)NAN,
        "");
    report(bench, flock, "live frames, lines shared, mean", mean, "", (double)NAN, "");
    report(bench, flock, "live frames, lines shared, least",
        bench_quantile(same, LIVE_STEPS, 0.0), "", (double)NAN, "");
    bench_note(bench, "%s: %d live steps, chosen anew %zu times", flock->name, LIVE_STEPS,
        n_redone);
}

static void judge(
    struct bench *bench, const struct flock *flock, const struct sample *sample)
{
    baro_autofree uint32_t *ours_lines =
        baro_xcalloc(sample->n_shown + 1, sizeof(uint32_t));
    baro_autofree uint32_t *other_lines =
        baro_xcalloc(sample->n_shown + 1, sizeof(uint32_t));
    memcpy(ours_lines, sample->shown, sample->n_shown * sizeof *ours_lines);
    struct choice ours = {ours_lines, sample->n_shown},
                  other = {other_lines, sample->n_shown};
    baro_autofree float *features = make_features(flock);
    size_t n_top = 0;
    baro_autofree uint32_t *top = find_top_lof(flock, features, &n_top);
    static const char *const names[] = {
        "random lines", "the first lines", "largest variance", "medoids"};
    struct sample_canvas canvas;
    draw_choice(flock, &ours, &canvas);
    double coverage = sample_coverage(&flock->all, &canvas);
    double overdraw = sample_overdraw(&canvas);
    sample_canvas_finish(&canvas);
    double planted =
        recall(flock, &ours, flock->planted, flock->n_planted, sample->radius_px);
    double lof = recall(flock, &ours, top, n_top, sample->radius_px);
    report(bench, flock, "overdraw", overdraw, "", random_overdraw(flock, coverage),
        "random lines that cover as much");
    for (int way = 0; way < 4; way++) {
        if (way == 0) {
            choose_random(flock, &other);
        } else if (way == 1) {
            for (size_t i = 0; i < other.n; i++) {
                other.lines[i] = (uint32_t)i;
            }
        } else if (way == 2) {
            choose_variance(flock, &other);
        } else {
            choose_medoids(flock, features, &other);
        }
        draw_choice(flock, &other, &canvas);
        double its_coverage = sample_coverage(&flock->all, &canvas);
        sample_canvas_finish(&canvas);
        report(bench, flock, "planted outliers recalled", planted, "",
            recall(flock, &other, flock->planted, flock->n_planted, sample->radius_px),
            names[way]);
        report(bench, flock, "top 1 % LOF recalled", lof, "",
            recall(flock, &other, top, n_top, sample->radius_px), names[way]);
        report(
            bench, flock, "coverage within 3 px", coverage, "", its_coverage, names[way]);
        report(bench, flock, "pairs nearer than the radius",
            near_share(flock, &ours, sample->radius_px), "",
            near_share(flock, &other, sample->radius_px), names[way]);
    }
}

static void run_flock(struct bench *bench, struct flock *flock)
{
    struct timing timing;
    struct sample sample;
    plant(flock);
    lay_out(flock);
    double limit = read_ms(flock);
    limit = fmin(limit, read_ms(flock));
    struct sampler *sampler = run_sampler(flock, &timing);
    sampler_get(sampler, &sample);
    bench_note(bench,
        "%s: %zu of %zu lines shown, %.1f px apart, spread %.1f px, %zu planted",
        flock->name, sample.n_shown, flock->n, (double)sample.radius_px,
        (double)sample.spread_px, flock->n_planted);
    report(bench, flock, "first picture", timing.first_ms, "ms", limit,
        "a read of all values");
    report(bench, flock, "finished", timing.total_ms, "ms", limit, "a read of all values");
    report(
        bench, flock, "longest slice", timing.step_ms, "ms", limit, "a read of all values");
    judge(bench, flock, &sample);
    measure_live(bench, flock, sampler);
    sampler_destroy(sampler);
}

int bench_sample(struct bench *bench)
{
    static const size_t sizes[] = {1000, 10000, 100000};
    const size_t n_sizes = bench_is_quick(bench) ? 1 : BARO_LEN(sizes);
    const char *dir = bench_corpus(bench);
    struct corpus corpus = {0};
    struct baro_err err = {0};
    if (dir != NULL && corpus_open(dir, &corpus, &err) != 0) {
        return bench_fail(bench, "%s", err.text);
    }
    state = 1;
    for (size_t i = 0; i < n_sizes; i++) {
        char name[64];
        struct flock flock = {.name = name, .n = sizes[i]};
        flock.values = baro_xcalloc(flock.n * STEPS, sizeof(float));
        if (dir != NULL) {
            flock.n = take_recorded(&corpus, &flock);
            (void)snprintf(name, sizeof name, "%zu recorded lines", flock.n);
        } else {
            make_up(&flock);
            (void)snprintf(name, sizeof name, "%zu made-up lines", flock.n);
        }
        bool is_less = flock.n < sizes[i];
        if (flock.n >= PLANT_EVERY) {
            run_flock(bench, &flock);
        }
        flock_finish(&flock);
        if (is_less) {
            bench_note(bench, "the corpus has no more than %zu windows of units", flock.n);
            break;
        }
    }
    corpus_close(&corpus);
    return 0;
}
