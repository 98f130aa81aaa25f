/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Not a test and not installed: draws a sheet of sample charts into PNG files, to be looked at
 * whenever drawing changes, and measures what a frame costs.
 *
 *     draw_sheet DIR            writes DIR/sheet-{dark,light}-{1,2}.png
 *     draw_sheet --bench        prints milliseconds a 1600 x 900 frame, one JSON object a line
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/draw/chart.h"
#include "client/draw/draw_raster.h"
#include "client/draw/png.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"

enum { N_STEPS = 2400, N_LONG = 200000, N_UNITS = 1024, N_UNIT_STEPS = 240 };

/* Everything that the sheet shows, made once. */
struct data {
    struct chart_point loss[N_STEPS], valid[N_STEPS / 100], rate[N_STEPS], kl[N_STEPS];
    struct chart_point train[8][160];
    struct chart_point grad[N_LONG];
    float units[N_UNITS * N_UNIT_STEPS];
    double unit_x[N_UNIT_STEPS];
    struct chart_point odd[N_UNIT_STEPS], calm[2][N_UNIT_STEPS];
    struct chart_column noisy[1200];
};

static uint64_t seed = 88172645463325252U;

static double random_unit(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (double)(seed >> 11) / 9007199254740992.0;
}

static double random_normal(void)
{
    double sum = 0;
    for (int i = 0; i < 12; i++) {
        sum += random_unit();
    }
    return sum - 6;
}

static void make_scalars(struct data *d)
{
    for (int i = 0; i < N_STEPS; i++) {
        double t = (double)i / N_STEPS;
        double loss = 2.2 * exp(-5 * t) + 0.18 + 0.02 * random_normal();
        loss = i > 2150 ? loss + pow((i - 2150) / 90.0, 3) : loss;
        d->loss[i] = (struct chart_point){i, i > 2330 && i % 3 ? (double)NAN : loss};
        d->rate[i] = (struct chart_point){i,
            i < 200 ? 1e-3 * i / 200
                    : 1e-3 * (0.02 + 0.98 * 0.5 * (1 + cos(3.14159 * (i - 200) / 2200.0)))};
        d->kl[i] = (struct chart_point){i, pow(10, -6 + 5 * t + 0.25 * random_normal())};
        d->kl[i].y = i == 1500 ? (double)INFINITY : d->kl[i].y;
        if (i % 100 == 0) {
            d->valid[i / 100] = (struct chart_point){i, 2.1 * exp(-4.5 * t) + 0.25};
        }
    }
    for (int line = 0; line < 8; line++) {
        double at = 0.2 * line;
        for (int i = 0; i < 160; i++) {
            at += 0.03 * random_normal();
            d->train[line][i] =
                (struct chart_point){i * 15, at + 0.4 * sin(i / 17.0 + line)};
        }
    }
}

static void make_long(struct data *d)
{
    double level = 1;
    for (int i = 0; i < N_LONG; i++) {
        level = 0.9995 * level + 0.0005 * (1 + 0.6 * sin(i / 9000.0));
        double spike = i == 77777 ? 60 : i == 150000 ? 18 : 0;
        d->grad[i] =
            (struct chart_point){i / 83.34, level * exp(0.25 * random_normal()) + spike};
    }
    for (int i = 0; i < 1200; i++) {
        double mid = 40 + 12 * sin(i / 90.0), wide = 3 + 2 * sin(i / 31.0);
        double a = mid - wide * (1 + random_unit()), b = mid + wide * (1 + random_unit());
        d->noisy[i] = (struct chart_column){.from = 2 * i,
            .to = 2 * i + 1.9,
            .min = a,
            .max = b,
            .mean = mid + 0.3 * random_normal(),
            .first = (double)NAN,
            .last = (double)NAN,
            .count = 60};
        if (i >= 500 && i < 540) {
            d->noisy[i].count = 0;
            d->noisy[i].flags = CHART_GAP;
        }
        if (i == 540) {
            d->noisy[i].flags = CHART_GAP;
        }
    }
}

static void make_units(struct data *d)
{
    for (int i = 0; i < N_UNIT_STEPS; i++) {
        d->unit_x[i] = i * 10;
    }
    for (int unit = 0; unit < N_UNITS; unit++) {
        double at = 0.3 * random_normal(), drift = 0.002 * random_normal();
        for (int i = 0; i < N_UNIT_STEPS; i++) {
            at += drift + 0.02 * random_normal();
            d->units[unit * N_UNIT_STEPS + i] = (float)at;
        }
    }
    for (int i = 0; i < N_UNIT_STEPS; i++) {
        float odd = d->units[7 * N_UNIT_STEPS + i];
        odd += i > 140 ? 0.00028F * (float)((i - 140) * (i - 140)) : 0;
        d->odd[i] = (struct chart_point){i * 10, (double)odd};
        for (int k = 0; k < 2; k++) {
            d->calm[k][i] = (struct chart_point){
                i * 10, (double)d->units[(20 + k * 31) * N_UNIT_STEPS + i]};
        }
    }
}

static struct chart base_chart(const char *title, const struct chart_line *lines, size_t n)
{
    return (struct chart){.title = title,
        .lines = lines,
        .n_lines = n,
        .x = {.unit = AXIS_STEP, .lo = 0, .hi = N_STEPS - 1},
        .cursor = (double)NAN};
}

static void panel(struct draw_list *list, const struct theme *theme, struct draw_rect rect,
    const struct chart *chart)
{
    draw_fill_round(list, rect, 2, theme->panel);
    chart_draw(list, theme, draw_inset(rect, 8, 8), chart, NULL, NULL);
}

static void sheet_large(struct draw_list *list, const struct theme *theme, struct data *d)
{
    const struct chart_event events[] = {
        {1310, THEME_NO_DATA}, {2190, THEME_WATCH}, {2331, THEME_ALARM}};
    const struct chart_line loss[] = {
        {.name = "train",
            .points = d->loss,
            .n_points = N_STEPS,
            .color = theme_series(theme, 0)},
        {.name = "validation",
            .points = d->valid,
            .n_points = N_STEPS / 100,
            .color = theme_series(theme, 1)},
    };
    struct chart chart = base_chart("loss", loss, 2);
    chart.events = events;
    chart.n_events = 3;
    panel(list, theme, (struct draw_rect){12, 56, 900, 300}, &chart);

    const struct chart_flock flock = {.x = d->unit_x,
        .n = N_UNIT_STEPS,
        .lo = d->units,
        .n_lines = N_UNITS,
        .color = theme->accent};
    const struct chart_line units[] = {
        {.name = "unit 51",
            .points = d->calm[0],
            .n_points = N_UNIT_STEPS,
            .color = theme_series(theme, 2)},
        {.name = "unit 82",
            .points = d->calm[1],
            .n_points = N_UNIT_STEPS,
            .color = theme_series(theme, 3)},
        {.name = "unit 7",
            .points = d->odd,
            .n_points = N_UNIT_STEPS,
            .color = theme->alarm,
            .weight = CHART_SELECTED,
            .alarmed = true},
    };
    chart = base_chart("decoder.logvar weight, mean", units, 3);
    chart.note = "3 of 1,024 units";
    chart.flock = &flock;
    chart.cursor = 1722;
    panel(list, theme, (struct draw_rect){924, 56, 664, 300}, &chart);
}

static void sheet_small(struct draw_list *list, const struct theme *theme, struct data *d)
{
    const float w = 385, h = 180, y = 368;
    struct chart_line line = {
        .points = d->rate, .n_points = N_STEPS, .color = theme_series(theme, 0)};
    struct chart chart = base_chart("learning rate", &line, 1);
    panel(list, theme, (struct draw_rect){12, y, w, h}, &chart);

    line.points = d->kl;
    chart = base_chart("kl", &line, 1);
    chart.y_kind = AXIS_LOG;
    chart.cursor = 1722;
    panel(list, theme, (struct draw_rect){12 + w + 12, y, w, h}, &chart);

    line.points = d->grad;
    line.n_points = N_LONG;
    line.color = theme_series(theme, 2);
    chart = base_chart("grad norm", &line, 1);
    chart.note = "200,000 readings";
    panel(list, theme, (struct draw_rect){12 + 2 * (w + 12), y, w, h}, &chart);

    struct chart_line noisy = {.columns = d->noisy,
        .n_columns = 1200,
        .color = theme_series(theme, 6),
        .envelope = true};
    chart = base_chart("step time, ms", &noisy, 1);
    panel(list, theme, (struct draw_rect){12 + 3 * (w + 12), y, w, h}, &chart);
}

static void sheet_lower(struct draw_list *list, const struct theme *theme, struct data *d)
{
    struct chart_line lines[8];
    static const char *const names[] = {"conv1", "conv2", "conv3", "logvar", "mean", "fc1",
        "decoder.fc2", "decoder.output"};
    for (size_t i = 0; i < 8; i++) {
        lines[i] = (struct chart_line){.name = names[i],
            .points = d->train[i],
            .n_points = 160,
            .color = theme_series(theme, i)};
    }
    lines[3].weight = CHART_SELECTED;
    struct chart chart = base_chart("update ratio by layer", lines, 8);
    panel(list, theme, (struct draw_rect){12, 560, 600, 240}, &chart);

    draw_color colors[40 * 12];
    for (int i = 0; i < 40 * 12; i++) {
        float t = 0.5F + 0.5F * sinf((float)(i % 40) / 9.0F + (float)(i / 40) / 3.0F);
        colors[i] = i == 5 * 40 + 37 ? theme->alarm : theme_heat(theme, t);
    }
    draw_fill_round(list, (struct draw_rect){624, 560, 400, 240}, 2, theme->panel);
    struct draw_style style = {
        .role = FONT_STRONG, .size = THEME_SIZE_TEXT, .color = theme->text};
    (void)draw_string(list, 640, 583, &style, "layers at a glance");
    draw_cells(list, (struct draw_rect){710, 600, 300, 180}, colors, 40, 12);
    for (int i = 0; i < 12; i++) {
        struct draw_style row = {.role = FONT_TEXT,
            .size = THEME_SIZE_AXIS,
            .color = theme->secondary,
            .align = DRAW_RIGHT,
            .max_w = 64};
        (void)draw_string_in(list, (struct draw_rect){632, 600 + 15.0F * (float)i, 70, 15},
            &row, names[i % 8]);
    }
    draw_fill_round(list, (struct draw_rect){1036, 560, 552, 240}, 2, theme->panel);
    for (int i = 0; i < DRAW_MARK_COUNT; i++) {
        draw_mark(list, (enum draw_mark_kind)i, 1060 + 24.0F * (float)i, 584, THEME_MARK,
            theme->text);
        draw_mark(list, (enum draw_mark_kind)i, 1060 + 24.0F * (float)i, 604, 12,
            theme->secondary);
    }
    for (int i = 0; i < THEME_HEALTH_COUNT; i++) {
        enum theme_health health = (enum theme_health)i;
        draw_mark(list, theme_health_mark(health), 1060, 634 + 22.0F * (float)i, THEME_MARK,
            theme_health_color(theme, health));
        style = (struct draw_style){
            .role = FONT_TEXT, .size = THEME_SIZE_TEXT, .color = theme->text};
        (void)draw_string_in(list,
            (struct draw_rect){1074, 623 + 22.0F * (float)i, 120, 22}, &style,
            theme_health_word(health));
    }
    draw_curve(list, (struct draw_point){1220, 640}, (struct draw_point){1360, 740}, 1.5F,
        theme->faint);
    draw_curve(list, (struct draw_point){1220, 700}, (struct draw_point){1360, 640}, 3,
        draw_fade(theme->accent, 0.5F));
    struct chart_line spark = {
        .points = d->kl, .n_points = N_STEPS, .color = theme_series(theme, 0)};
    chart = base_chart(NULL, &spark, 1);
    chart.sparkline = true;
    chart.y_kind = AXIS_LOG;
    chart_draw(list, theme, (struct draw_rect){1400, 630, 160, 24}, &chart, NULL, NULL);
    chart_draw(list, theme, (struct draw_rect){1400, 670, 80, 16}, &chart, NULL, NULL);
    chart = base_chart("empty", NULL, 0);
    chart_draw(list, theme, (struct draw_rect){1390, 700, 190, 92}, &chart, NULL, NULL);
}

static void sheet(struct draw_list *list, const struct theme *theme, struct data *d)
{
    draw_begin(list, 1600, 812, theme->background);
    struct draw_style style = {
        .role = FONT_STRONG, .size = THEME_SIZE_TITLE, .color = theme->text};
    struct draw_rect box = draw_string(list, 12, 28, &style, "vae / beta-4");
    style = (struct draw_style){
        .role = FONT_TEXT, .size = THEME_SIZE_TEXT, .color = theme->secondary};
    (void)draw_string(list, box.x + box.w + 12, 28, &style,
        "Loss became NaN at 2,331: exp overflow in decoder.logvar[12]. AVATAR WAVE To Ty");
    style = (struct draw_style){.role = FONT_MONO,
        .size = THEME_SIZE_HEADLINE,
        .color = theme->alarm,
        .align = DRAW_RIGHT};
    (void)draw_string(list, 1588, 34, &style, "0.0123 \xE2\x86\x92 NaN");
    sheet_large(list, theme, d);
    sheet_small(list, theme, d);
    sheet_lower(list, theme, d);
}

static int write_sheets(const char *dir, struct data *d)
{
    const struct theme *themes[] = {&theme_dark, &theme_light};
    for (int i = 0; i < 4; i++) {
        struct baro_err err;
        const struct theme *theme = themes[i / 2];
        const int scale = 1 + i % 2;
        struct font *font = font_open((float)scale, &err);
        if (font == NULL) {
            (void)fprintf(stderr, "draw_sheet: %s\n", err.text);
            return 1;
        }
        struct draw_list *list = draw_create(font, 0);
        struct raster *raster = raster_create(1600 * scale, 812 * scale);
        sheet(list, theme, d);
        (void)raster_draw(raster, list, NULL, 0);
        char path[512];
        (void)snprintf(path, sizeof path, "%s/sheet-%s-%d.png", dir, theme->name, scale);
        int rc =
            png_save(path, raster_pixels(raster), raster_w(raster), raster_h(raster), &err);
        if (rc != 0) {
            (void)fprintf(stderr, "draw_sheet: %s\n", err.text);
        }
        (void)printf("%s  %zu dropped\n", path, draw_dropped(list));
        raster_destroy(raster);
        draw_destroy(list);
        font_close(font);
        if (rc != 0) {
            return 1;
        }
    }
    return 0;
}

/* One frame size and number of segments, ten lines, as in the project's measured limits. */
struct trial {
    size_t n_segments;
    bool moving; /* the readings change from frame to frame: nothing can be kept */
};

static int by_time(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Median milliseconds of emitting and of rasterising one 1600 x 900 frame. */
static void time_frames(const struct trial *trial, struct font *font, double out_ms[2])
{
    enum { N_LINES = 10, N_FRAMES = 21 };
    const size_t n = trial->n_segments / N_LINES + 1;
    struct chart_point *points = baro_xcalloc(n * N_LINES, sizeof *points);
    struct chart_line lines[N_LINES];
    for (size_t k = 0; k < N_LINES; k++) {
        double at = 0;
        for (size_t i = 0; i < n; i++) {
            at += random_unit() - 0.5;
            points[k * n + i] = (struct chart_point){(double)i, at / sqrt((double)n)};
        }
        lines[k] = (struct chart_line){
            .points = points + k * n, .n_points = n, .color = theme_series(&theme_dark, k)};
    }
    struct draw_list *list = draw_create(font, 0);
    struct raster *raster = raster_create(1600, 900);
    uint64_t emit[N_FRAMES], paint[N_FRAMES];
    for (int frame = 0; frame < N_FRAMES; frame++) {
        struct chart chart = base_chart("trial", lines, N_LINES);
        chart.x.hi = (double)n - 1;
        chart.y_fixed = true;
        chart.y_lo = -1.5 - (trial->moving ? 0.001 * frame : 0);
        chart.y_hi = 1.5;
        uint64_t start = baro_now_ns();
        draw_begin(list, 1600, 900, theme_dark.background);
        chart_draw(
            list, &theme_dark, (struct draw_rect){0, 0, 1600, 900}, &chart, NULL, NULL);
        uint64_t middle = baro_now_ns();
        (void)raster_draw(raster, list, NULL, 0);
        emit[frame] = middle - start;
        paint[frame] = baro_now_ns() - middle;
    }
    qsort(emit, N_FRAMES, sizeof *emit, by_time);
    qsort(paint, N_FRAMES, sizeof *paint, by_time);
    out_ms[0] = (double)emit[N_FRAMES / 2] / 1e6;
    out_ms[1] = (double)paint[N_FRAMES / 2] / 1e6;
    raster_destroy(raster);
    draw_destroy(list);
    free(points);
}

static void time_flock(struct font *font, const struct data *d, size_t n_lines)
{
    struct chart_flock flock = {.x = d->unit_x,
        .n = N_UNIT_STEPS,
        .lo = d->units,
        .n_lines = n_lines,
        .color = theme_dark.accent};
    baro_autofree float *values = baro_xcalloc(n_lines * N_UNIT_STEPS, sizeof *values);
    for (size_t i = 0; i < n_lines * N_UNIT_STEPS; i++) {
        values[i] = d->units[i % (N_UNITS * N_UNIT_STEPS)];
    }
    flock.lo = values;
    struct draw_list *list = draw_create(font, 0);
    struct raster *raster = raster_create(1600, 900);
    uint64_t best_emit = UINT64_MAX, best_paint = UINT64_MAX;
    for (int frame = 0; frame < 9; frame++) {
        struct chart chart = base_chart("flock", NULL, 0);
        chart.flock = &flock;
        uint64_t start = baro_now_ns();
        draw_begin(list, 1600, 900, theme_dark.background);
        chart_draw(
            list, &theme_dark, (struct draw_rect){0, 0, 900, 500}, &chart, NULL, NULL);
        uint64_t middle = baro_now_ns();
        raster_invalidate(raster);
        (void)raster_draw(raster, list, NULL, 0);
        uint64_t end = baro_now_ns();
        best_emit = middle - start < best_emit ? middle - start : best_emit;
        best_paint = end - middle < best_paint ? end - middle : best_paint;
    }
    (void)printf("{\"bench\":\"draw\",\"case\":\"flock %zu lines in 900 x 500\","
                 "\"emit_ms\":%.2f,\"raster_ms\":%.2f,\"unit\":\"ms\"}\n",
        n_lines, (double)best_emit / 1e6, (double)best_paint / 1e6);
    raster_destroy(raster);
    draw_destroy(list);
}

static int bench(const struct data *d)
{
    struct baro_err err;
    struct font *font = font_open(1, &err);
    if (font == NULL) {
        (void)fprintf(stderr, "draw_sheet: %s\n", err.text);
        return 1;
    }
    for (size_t n = 1000; n <= 1000000; n *= 10) {
        for (int moving = 0; moving < 2; moving++) {
            const struct trial trial = {n, moving != 0};
            double ms[2];
            time_frames(&trial, font, ms);
            (void)printf("{\"bench\":\"draw\",\"case\":\"%zu segments%s\","
                         "\"emit_ms\":%.2f,\"raster_ms\":%.2f,\"unit\":\"ms\"}\n",
                n, moving ? ", all new" : ", unchanged", ms[0], ms[1]);
        }
    }
    time_flock(font, d, 1024);
    time_flock(font, d, 4096);
    font_close(font);
    return 0;
}

int main(int argc, char **argv)
{
    baro_autofree struct data *d = baro_xcalloc(1, sizeof *d);
    make_scalars(d);
    make_long(d);
    make_units(d);
    if (argc != 2) {
        (void)fprintf(stderr, "usage: draw_sheet DIR | draw_sheet --bench\n");
        return 2;
    }
    if (strcmp(argv[1], "--bench") == 0) {
        return bench(d);
    }
    return write_sheets(argv[1], d);
}
