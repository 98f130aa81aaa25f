/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/bench/bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/analysis/density.h"
#include "lib/analysis/sample.h"
#include "lib/analysis/sample_measure.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/order.h"
#include "tools/bench/corpus.h"
#include "tools/bench/flock.h"
#include "tools/bench/picture.h"

/*
 * The choice of lines beside other choices of as many: at random, the first ones, those with the
 * largest variance, and medoids of k-means (flock.c says where the lines come from). An outlier
 * is recalled in two senses: it is shown itself; or it is shown or a shown line lies within
 * SAMPLE_REACH_PX of it in the root mean square over the chart, which the eye hardly tells from it.
 *
 * Overdraw is compared at equal coverage: lines are drawn in random order until they cover as
 * much as the choice does (counted at every quarter more).
 */

enum {
    SLICE = 1000,
    PLACES = 120 /* top ones to be recalled where a hundredth is more than can be drawn */
};

/* One line in so many is planted: from a hundredth to a thousandth. */
static size_t plant_every(size_t n)
{
    return n < 4096 ? 100 : n <= 16384 ? 200 : 1000;
}

static const char *const way_names[] = {
    "random lines", "the first lines", "largest variance", "medoids"};

/* ---- judging ---- */

static double squared_distance(const float *a, const float *b, size_t n)
{
    float lanes[4] = {0};
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        for (size_t l = 0; l < 4; l++) {
            lanes[l] += (a[i + l] - b[i + l]) * (a[i + l] - b[i + l]);
        }
    }
    for (; i < n; i++) {
        lanes[0] += (a[i] - b[i]) * (a[i] - b[i]);
    }
    return (double)lanes[0] + (double)lanes[1] + (double)lanes[2] + (double)lanes[3];
}

/* Share of the wanted lines that are shown or, with a reach, have a shown one within it. */
static double recall(const struct flock *flock, const struct choice *choice,
    const uint32_t *wanted, size_t n_wanted, double reach)
{
    const size_t c = flock->screen.n_columns;
    const double most = reach * reach * (double)c;
    size_t n = 0;
    for (size_t i = 0; i < n_wanted; i++) {
        const float *mine = flock->heights + (size_t)wanted[i] * c;
        bool is_there = false;
        for (size_t j = 0; j < choice->n && !is_there; j++) {
            const float *its = flock->heights + (size_t)choice->lines[j] * c;
            is_there = choice->lines[j] == wanted[i] ||
                       (reach > 0 && squared_distance(mine, its, c) < most);
        }
        n += is_there;
    }
    return n_wanted > 0 ? (double)n / (double)n_wanted : 1;
}

static void draw_choice(
    const struct flock *flock, const struct choice *choice, struct sample_canvas *out)
{
    sample_canvas_init(out, FLOCK_WIDTH, FLOCK_HEIGHT);
    for (size_t i = 0; i < choice->n; i++) {
        sample_canvas_draw(out, &flock->screen, &flock->lines, choice->lines[i]);
    }
}

/* Overdraw of random lines, as many as it takes to cover as much. */
static double random_overdraw(const struct flock *flock, double coverage, size_t *out_n)
{
    baro_autofree uint32_t *lines = baro_xcalloc(flock->n, sizeof *lines);
    struct choice everything = {lines, flock->n};
    flock_choose(flock, WAY_RANDOM, &everything);
    struct sample_canvas canvas;
    sample_canvas_init(&canvas, FLOCK_WIDTH, FLOCK_HEIGHT);
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
    *out_n = n;
    return overdraw;
}

static struct sample_pairs measure_pairs(
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
    return pairs;
}

/* The middle of the row of pixels, a radius high, that most lines run through in an interval. */
static float find_heap(const struct flock *flock, size_t t, float radius)
{
    enum { CELLS = 4096 };
    uint32_t counts[CELLS] = {0};
    const size_t c = flock->screen.n_columns;
    size_t best = 0;
    for (size_t i = 0; i < flock->n; i++) {
        const float *p = flock->heights + i * c + t;
        float at = (p[0] + p[1]) / radius;
        if (at >= 0 && at < CELLS) {
            size_t cell = (size_t)at; /* half a radius high */
            counts[cell]++;
            best = counts[cell] > counts[best] ? cell : best;
        }
    }
    return ((float)best + 0.5F) * radius / 2;
}

/*
 * The share of pairs that is nearer than the radius whichever n lines are shown. Lines whose ends
 * are both within half a radius of the middle of the heap of an interval are near each other there. Of the n lines that do so least often each does in a share h of the intervals on
 * average; pairs that do together are least when spread evenly, h^2 of them.
 */
static double unavoidable_pairs(const struct flock *flock, size_t n_shown, float radius)
{
    const size_t c = flock->screen.n_columns;
    baro_autofree double *often = baro_xcalloc(flock->n, sizeof *often);
    for (size_t t = 0; t + 1 < c; t++) {
        const float heap = find_heap(flock, t, radius);
        for (size_t i = 0; i < flock->n; i++) {
            const float *p = flock->heights + i * c + t;
            often[i] += fabsf(p[0] - heap) < radius / 2 && fabsf(p[1] - heap) < radius / 2
                            ? 1 / (double)(c - 1)
                            : 0;
        }
    }
    qsort(often, flock->n, sizeof *often, baro_by_double);
    double h = 0;
    for (size_t i = 0; i < n_shown; i++) {
        h += often[i] / (double)n_shown;
    }
    return h * h;
}

static void report(struct bench *bench, const struct flock *flock, const char *what,
    double value, const char *unit, double limit, const char *limit_name)
{
    char name[192];
    (void)snprintf(name, sizeof name, "%s, %s", flock->name, what);
    bench_report(bench, "sample", name, value, unit, limit, limit_name);
}

/* Both choices side by side in everything that is said of outliers. */
static void report_recall(struct bench *bench, const struct flock *flock,
    const struct choice *ours, const struct choice *other, const char *limit_name)
{
    static const struct {
        const char *what;
        bool is_planted, is_few;
        double reach;
    } cases[] = {{"planted outliers shown", true, false, 0},
        {"planted outliers within 3 px", true, false, SAMPLE_REACH_PX},
        {"top 1 % LOF shown", false, false, 0},
        {"top 1 % LOF within 3 px", false, false, SAMPLE_REACH_PX},
        {"top 120 LOF shown", false, true, 0},
        {"top 120 LOF within 3 px", false, true, SAMPLE_REACH_PX}};
    for (size_t i = 0; i < BARO_LEN(cases); i++) {
        const uint32_t *wanted = cases[i].is_planted ? flock->planted : flock->loneliest;
        size_t n = cases[i].is_planted ? flock->n_planted : flock->n_loneliest;
        if (cases[i].is_few && n <= PLACES) {
            continue;
        }
        n = cases[i].is_few ? PLACES : n;
        report(bench, flock, cases[i].what, recall(flock, ours, wanted, n, cases[i].reach),
            "", recall(flock, other, wanted, n, cases[i].reach), limit_name);
    }
}

/* ---- one flock ---- */

struct timing {
    double first_ms;
    double total_ms;
    double cpu_ms;  /* of total_ms: what this thread had of a processor */
    double step_ms; /* the longest single step */
};

static double ms_since(uint64_t began_ns)
{
    return (double)(baro_now_ns() - began_ns) / 1e6;
}

static double cpu_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static struct sampler *run_sampler(
    const struct flock *flock, size_t target, struct timing *out)
{
    struct sample_options options = {.target = target};
    *out = (struct timing){0};
    uint64_t began = baro_now_ns();
    double cpu = cpu_now_ms();
    struct sampler *sampler =
        sampler_create(&flock->lines, &flock->axis, FLOCK_HEIGHT, &options);
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
    out->cpu_ms = cpu_now_ms() - cpu;
    return sampler;
}

static double read_ms(const struct flock *flock)
{
    uint64_t began = baro_now_ns();
    volatile float keep;
    float sums[16] = {0};
    for (size_t i = 0; i + 16 <= flock->n * flock->n_steps; i += 16) {
        for (size_t l = 0; l < 16; l++) {
            sums[l] += flock->values[i + l];
        }
    }
    keep = sums[0] + sums[7] + sums[15];
    (void)keep;
    return ms_since(began);
}

/* Steps of a calm run: each line goes on as it was, back on its own track. */
static void measure_live(
    struct bench *bench, const struct flock *flock, struct sampler *sampler)
{
    enum { LIVE_STEPS = 200 };
    baro_autofree float *step = baro_xcalloc(flock->n, sizeof *step);
    baro_autofree uint8_t *was = baro_xcalloc(flock->n, 1);
    double times[LIVE_STEPS], same[LIVE_STEPS];
    size_t n_was = 0, n_redone = 0;
    for (size_t t = 0; t < LIVE_STEPS; t++) {
        for (size_t i = 0; i < flock->n; i++) {
            step[i] = flock->values[i * flock->n_steps + flock->n_steps - 1 - t];
        }
        uint64_t began = baro_now_ns();
        sampler_append(sampler, step, NULL);
        times[t] = ms_since(began);
        n_redone += sampler_step(sampler, 1);
        while (sampler_step(sampler, SLICE)) {
        }
        (void)sampler_end_frame(sampler);
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

/* How near each other those lie that are shown in any case: who shows fewer lines has their pairs. */
static void report_must(
    struct bench *bench, const struct flock *flock, const struct sample *sample)
{
    baro_autofree uint32_t *lines = baro_xcalloc(sample->n_shown + 1, sizeof *lines);
    struct choice must = {lines, 0};
    for (size_t i = 0; i < sample->n_shown; i++) {
        if (sample->reasons[i] >= SAMPLE_ENVELOPE) {
            lines[must.n++] = sample->shown[i];
        }
    }
    if (must.n > 1) {
        bench_note(bench, "%s: of the pairs of the %zu that must be shown %.3f are near",
            flock->name, must.n, measure_pairs(flock, &must, sample->radius_px).near_share);
    }
}

static void judge(
    struct bench *bench, const struct flock *flock, const struct sample *sample)
{
    baro_autofree uint32_t *our_lines = baro_xcalloc(sample->n_shown + 1, sizeof(uint32_t));
    baro_autofree uint32_t *lines = baro_xcalloc(sample->n_shown + 1, sizeof(uint32_t));
    memcpy(our_lines, sample->shown, sample->n_shown * sizeof *our_lines);
    struct choice ours = {our_lines, sample->n_shown}, other = {lines, sample->n_shown};
    struct sample_canvas canvas;
    draw_choice(flock, &ours, &canvas);
    double coverage = sample_coverage(&flock->all, &canvas);
    double overdraw = sample_overdraw(&canvas);
    sample_canvas_finish(&canvas);
    size_t n_random = 0;
    double its_overdraw = random_overdraw(flock, coverage, &n_random);
    report(bench, flock, "overdraw", overdraw, "", its_overdraw,
        "random lines that cover as much");
    bench_note(bench, "%s: %zu random lines cover as much as %zu chosen ones", flock->name,
        n_random, ours.n);
    struct sample_pairs pairs = measure_pairs(flock, &ours, sample->radius_px);
    double least = HUGE_VAL, most = 0;
    for (int i = 2; i < SAMPLE_PAIR_BINS - 1; i++) {
        least = fmin(least, pairs.density[i]);
        most = fmax(most, pairs.density[i]);
    }
    bench_note(bench, "%s: %.3f of pairs are near whichever %zu lines are shown",
        flock->name, unavoidable_pairs(flock, ours.n, sample->radius_px), ours.n);
    report_must(bench, flock, sample);
    bench_note(bench,
        "%s: pairs beyond the radius, by distance, are %.2f to %.2f of an even spread",
        flock->name, least, most);
    for (int way = 0; way < WAY_COUNT; way++) {
        flock_choose(flock, (enum flock_way)way, &other);
        draw_choice(flock, &other, &canvas);
        double its_coverage = sample_coverage(&flock->all, &canvas);
        sample_canvas_finish(&canvas);
        report_recall(bench, flock, &ours, &other, way_names[way]);
        report(bench, flock, "coverage within 3 px", coverage, "", its_coverage,
            way_names[way]);
        report(bench, flock, "pairs nearer than the radius", pairs.near_share, "",
            measure_pairs(flock, &other, sample->radius_px).near_share, way_names[way]);
    }
}

/* The same with room for all that are to be recalled: four times as many lines. */
static void judge_with_room(struct bench *bench, const struct flock *flock)
{
    struct timing timing;
    struct sample sample;
    const size_t target = flock->n / 100 * 4;
    struct sampler *sampler = run_sampler(flock, target, &timing);
    sampler_get(sampler, &sample);
    baro_autofree uint32_t *our_lines = baro_xcalloc(sample.n_shown + 1, sizeof(uint32_t));
    baro_autofree uint32_t *lines = baro_xcalloc(sample.n_shown + 1, sizeof(uint32_t));
    memcpy(our_lines, sample.shown, sample.n_shown * sizeof *our_lines);
    struct choice ours = {our_lines, sample.n_shown}, other = {lines, sample.n_shown};
    flock_choose(flock, WAY_RANDOM, &other);
    bench_note(bench, "%s: with a target of %zu, %zu lines shown, %.0f ms", flock->name,
        target, sample.n_shown, timing.cpu_ms);
    report(bench, flock, "top 1 % LOF shown, four in a hundred lines drawn",
        recall(flock, &ours, flock->loneliest, flock->n_loneliest, 0), "",
        recall(flock, &other, flock->loneliest, flock->n_loneliest, 0), way_names[0]);
    sampler_destroy(sampler);
}

/* ---- pictures ---- */

enum { COLOUR_BLUE_NOISE = 1, COLOUR_ENVELOPE, COLOUR_OUTLIER, COLOUR_LEAP, FIRST_SHADE };

/* Copy what is lit in a canvas into a quarter of the picture. */
static void paint(struct picture *picture, size_t quarter,
    const struct sample_canvas *canvas, uint8_t colour)
{
    const size_t w = picture->width / 2, h = picture->height / 2;
    for (size_t y = 0; y < h; y++) {
        uint8_t *row =
            picture->pixels + (y + quarter / 2 * h) * picture->width + quarter % 2 * w;
        for (size_t x = 0; x + 1 < w; x++) {
            if (canvas->n_draws[x * canvas->height + y] > 0) {
                row[x] = colour;
            }
        }
    }
}

static void paint_lines(struct picture *picture, size_t quarter, const struct flock *flock,
    const struct polyline_screen *screen, const uint32_t *lines, const uint8_t *reasons,
    size_t n)
{
    static const uint8_t colours[SAMPLE_REASON_COUNT] = {
        [SAMPLE_BLUE_NOISE] = COLOUR_BLUE_NOISE,
        [SAMPLE_OUTLIER] = COLOUR_OUTLIER,
        [SAMPLE_ENVELOPE] = COLOUR_ENVELOPE,
        [SAMPLE_LEAP] = COLOUR_LEAP,
        [SAMPLE_NONFINITE] = COLOUR_LEAP};
    for (int colour = COLOUR_BLUE_NOISE; colour < FIRST_SHADE; colour++) {
        struct sample_canvas canvas;
        sample_canvas_init(&canvas, picture->width / 2, picture->height / 2);
        for (size_t i = 0; i < n; i++) {
            if ((reasons != NULL ? colours[reasons[i]] : COLOUR_BLUE_NOISE) == colour) {
                sample_canvas_draw(
                    &canvas, screen, &flock->lines, lines != NULL ? lines[i] : (uint32_t)i);
            }
        }
        paint(picture, quarter, &canvas, (uint8_t)colour);
        sample_canvas_finish(&canvas);
    }
}

static void paint_density(struct picture *picture, size_t quarter,
    const struct flock *flock, const struct polyline_screen *screen)
{
    enum { SHADES = 256 - FIRST_SHADE };
    const size_t w = picture->width / 2, h = picture->height / 2;
    struct density density;
    baro_autofree float *cells = baro_xcalloc(w * h, sizeof *cells);
    baro_autofree uint8_t *shades = baro_xcalloc(w * h, 1);
    density_init(&density, w, h);
    for (size_t i = 0; i < flock->n; i++) {
        density_add(&density, screen, &flock->lines, i);
    }
    density_get(&density, cells);
    (void)density_shade(cells, w * h, shades);
    density_finish(&density);
    for (size_t i = 0; i < w * h; i++) {
        size_t x = i % w + quarter % 2 * w, y = i / w + quarter / 2 * h;
        /* Sixteen steps: small files. */
        int shade = shades[i] > 0 ? FIRST_SHADE + (shades[i] | 15) * (SHADES - 1) / 255 : 0;
        picture->pixels[y * picture->width + x] = (uint8_t)shade;
    }
}

/* Four quarters: all lines, random ones, as many chosen ones, and the density of all. */
static int draw_pictures(struct bench *bench, const struct flock *flock)
{
    enum { PICTURE_LINES = 80 };
    const char *dir = bench_pictures(bench);
    struct picture_colour colours[256] = {
        {255, 255, 255}, {70, 90, 120}, {40, 140, 90}, {220, 110, 20}, {200, 20, 40}};
    for (int i = FIRST_SHADE; i < 256; i++) {
        uint8_t light = (uint8_t)(235 - (i - FIRST_SHADE) * 235 / (255 - FIRST_SHADE));
        colours[i] =
            (struct picture_colour){light, light, (uint8_t)(light + (255 - light) / 4)};
    }
    if (dir == NULL) {
        return 0;
    }
    struct picture picture;
    struct polyline_screen screen;
    char path[512];
    picture_init(&picture, FLOCK_WIDTH, FLOCK_HEIGHT);
    polyline_screen_init(
        &screen, &flock->lines, &flock->axis, FLOCK_HEIGHT / 2, POLYLINE_MAX_COLUMNS);
    struct sample_options options = {.target = PICTURE_LINES};
    struct sampler *sampler =
        sampler_create(&flock->lines, &flock->axis, FLOCK_HEIGHT / 2, &options);
    while (sampler_step(sampler, SLICE)) {
    }
    struct sample sample;
    sampler_get(sampler, &sample);
    baro_autofree uint32_t *lines = baro_xcalloc(sample.n_shown + 1, sizeof *lines);
    struct choice other = {lines, sample.n_shown};
    flock_choose(flock, WAY_RANDOM, &other);
    paint_lines(&picture, 0, flock, &screen, NULL, NULL, flock->n);
    paint_lines(&picture, 1, flock, &screen, other.lines, NULL, other.n);
    paint_lines(&picture, 2, flock, &screen, sample.shown, sample.reasons, sample.n_shown);
    sampler_destroy(sampler);
    paint_density(&picture, 3, flock, &screen);
    int length = snprintf(path, sizeof path, "%s/sample-%s.png", dir, flock->name);
    for (char *c = path + strlen(dir) + 1; length > 0 && *c != 0; c++) {
        *c = *c == ' ' ? '-' : *c;
    }
    struct baro_err err = {0};
    int rc = picture_save(&picture, colours, path, &err);
    picture_finish(&picture);
    return rc == 0 ? 0 : bench_fail(bench, "%s", err.text);
}

static int run_flock(struct bench *bench, struct flock *flock)
{
    struct timing timing;
    struct sample sample;
    flock_prepare(flock, plant_every(flock->n));
    double limit = read_ms(flock);
    limit = fmin(limit, read_ms(flock));
    struct sampler *sampler = run_sampler(flock, 0, &timing);
    sampler_get(sampler, &sample);
    bench_note(bench,
        "%s: %zu shown, %.1f px apart, spread %.1f px, %zu planted, "
        "%zu loneliest",
        flock->name, sample.n_shown, (double)sample.radius_px, (double)sample.spread_px,
        flock->n_planted, flock->n_loneliest);
    report(bench, flock, "first picture", timing.first_ms, "ms", limit,
        "a read of all values");
    report(bench, flock, "finished", timing.total_ms, "ms", limit, "a read of all values");
    report(bench, flock, "finished, processor time", timing.cpu_ms, "ms", limit,
        "a read of all values");
    report(
        bench, flock, "longest slice", timing.step_ms, "ms", limit, "a read of all values");
    judge(bench, flock, &sample);
    if (flock->n / 100 * 4 > sample.n_shown) {
        judge_with_room(bench, flock);
    }
    int rc = draw_pictures(bench, flock);
    measure_live(bench, flock, sampler);
    sampler_destroy(sampler);
    return rc;
}

static int run_recorded(struct bench *bench, const struct corpus *corpus)
{
    static const size_t sizes[] = {1000, 10000, 100000};
    static const struct {
        const char *run, *name;
    } tensors[] = {{"wide-mlp-adam", "weights.body.0.weight"},
        {"wide-mlp-sgd", "gradients.body.0.weight"}, {"wide-vae", "activations.encoder"}};
    const size_t n_sizes = bench_is_quick(bench) ? 1 : BARO_LEN(sizes);
    struct flock flock = {0};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n_sizes; i++) {
        if (flock_take_mixed(&flock, corpus, sizes[i])) {
            rc = run_flock(bench, &flock);
        } else {
            bench_note(bench, "the corpus has only %zu lines", flock.n);
        }
        flock_finish(&flock);
    }
    for (size_t i = 0; rc == 0 && i < BARO_LEN(tensors); i++) {
        if (flock_take_tensor(&flock, corpus, tensors[i].run, tensors[i].name, 10000)) {
            rc = run_flock(bench, &flock);
        }
        flock_finish(&flock);
    }
    return rc;
}

int bench_sample(struct bench *bench)
{
    static const size_t sizes[] = {1000, 10000, 100000};
    const size_t n_sizes = bench_is_quick(bench) ? 1 : BARO_LEN(sizes);
    const char *dir = bench_corpus(bench);
    int rc = 0;
    if (dir != NULL) {
        struct corpus corpus = {0};
        struct baro_err err = {0};
        if (corpus_open(dir, &corpus, &err) != 0) {
            return bench_fail(bench, "%s", err.text);
        }
        rc = run_recorded(bench, &corpus);
        corpus_close(&corpus);
        return rc;
    }
    for (size_t i = 0; rc == 0 && i < n_sizes; i++) {
        struct flock flock;
        flock_make_up(&flock, sizes[i]);
        rc = run_flock(bench, &flock);
        flock_finish(&flock);
    }
    return rc;
}
