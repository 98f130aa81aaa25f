/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/testing.h"

#include <math.h>

#include "client/draw/draw_text.h"
#include "tests/view/scene.h"

/*
 * The truth rule is checked on pixels, against the readings themselves: at its column and row
 * each local extreme has ink, each NaN and infinity its mark, and gaps have none.
 */

enum { MAX_POINTS = 6000 };

static uint64_t seed = 0x9E3779B97F4A7C15U;

static double random_unit(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (double)(seed >> 11) / 9007199254740992.0;
}

static int random_below(int n)
{
    return (int)(random_unit() * n);
}

/* A random walk with spikes, NaNs, infinities and gaps. */
static size_t random_series(struct chart_point *points, size_t n, double *out_gap)
{
    double x = 0, y = 0;
    *out_gap = 4;
    for (size_t i = 0; i < n; i++) {
        x += random_below(200) == 0 ? 20 + 100 * random_unit() : 0.5 + random_unit();
        y += random_unit() - 0.5;
        double spike = random_below(150) == 0 ? 30 * (random_unit() - 0.5) : 0;
        int odd = random_below(300);
        points[i] = (struct chart_point){x, odd == 0   ? (double)NAN
                                            : odd == 1 ? (double)INFINITY
                                            : odd == 2 ? (double)-INFINITY
                                                       : y + spike};
    }
    return n;
}

static struct chart bare_chart(const struct chart_line *line, double lo, double hi)
{
    return (struct chart){.lines = line,
        .n_lines = 1,
        .sparkline = true,
        .x = {.lo = lo, .hi = hi},
        .cursor = (double)NAN};
}

static void check_reading(const struct scene *s, double x, double y)
{
    int column = column_of(s, x);
    if (!isfinite(y) || y > s->layout.y.hi || y < s->layout.y.lo) {
        bool above = isfinite(y) && y > s->layout.y.hi;
        check_edge(s, column,
            !isfinite(y) ? y
            : above      ? (double)INFINITY
                         : (double)-INFINITY);
        return;
    }
    if (ink_near(s, column, chart_px_of_y(&s->layout, y)) < 40) {
        fail_msg(
            "no ink for %.6g at x %.6g, column %d of %d", y, x, column - s->x_px, s->n_px);
    }
}

static void check_points(const struct scene *s, const struct chart_point *points, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (points[i].x < s->layout.x.lo || points[i].x > s->layout.x.hi) {
            continue;
        }
        double before = i > 0 ? points[i - 1].y : (double)NAN;
        double after = i + 1 < n ? points[i + 1].y : (double)NAN;
        double y = points[i].y;
        bool between = (before < y && y < after) || (after < y && y < before);
        if (!between) {
            check_reading(s, points[i].x, y);
        }
    }
}

static void each_extreme_and_each_nan_of_raw_points_has_a_pixel(void **state)
{
    static struct chart_point points[MAX_POINTS];
    const float scales[] = {1, 1.25F, 2};
    for (int round = 0; round < 300; round++) {
        size_t n = 2 + (size_t)random_below(round % 3 ? 400 : MAX_POINTS - 2);
        struct chart_line line = {.color = INK, .points = points};
        line.n_points = random_series(points, n, &line.gap);
        double last = points[n - 1].x;
        double from = round % 2 ? 0 : last * 0.4 * random_unit();
        struct chart chart = bare_chart(&line, from, last * (0.6 + 0.4 * random_unit()));
        struct scene s = draw_scene(
            &chart, 60 + random_below(500), 30 + random_below(200), scales[round % 3]);
        check_points(&s, points, n);
        free_scene(&s);
    }
}

static void each_extreme_has_a_pixel_on_log_and_symlog_axes_too(void **state)
{
    static struct chart_point points[MAX_POINTS];
    for (int round = 0; round < 100; round++) {
        size_t n = 2 + (size_t)random_below(3000);
        struct chart_line line = {.color = INK, .points = points};
        line.n_points = random_series(points, n, &line.gap);
        for (size_t i = 0; i < n; i++) {
            points[i].y =
                round % 2 ? points[i].y * fabs(points[i].y) : exp(points[i].y / 2);
        }
        struct chart chart = bare_chart(&line, 0, points[n - 1].x);
        chart.y_kind = round % 2 ? AXIS_SYMLOG : AXIS_LOG;
        struct scene s = draw_scene(&chart, 400, 120, 1);
        check_points(&s, points, n);
        free_scene(&s);
    }
}

/* Summarise points into columns of at most per readings, as the daemon does. */
static size_t summarise(
    const struct chart_point *points, size_t n, size_t per, struct chart_column *columns)
{
    size_t n_columns = 0;
    for (size_t i = 0; i < n;) {
        size_t end = i + 1 + (size_t)random_below((int)per);
        struct chart_column c = {
            .from = points[i].x, .first = (double)NAN, .last = (double)NAN};
        double sum = 0;
        for (; i < end && i < n; i++) {
            double y = points[i].y;
            c.to = points[i].x;
            c.flags |= isnan(y) ? CHART_NAN : y == (double)INFINITY ? CHART_POS_INF : 0;
            c.flags |= y == (double)-INFINITY ? CHART_NEG_INF : 0;
            c.n_nonfinite += !isfinite(y);
            if (isfinite(y)) {
                bool has = c.count > c.n_nonfinite - 0U && !isnan(c.last);
                c.min = has && c.min < y ? c.min : y;
                c.max = has && c.max > y ? c.max : y;
                c.first = has ? c.first : y;
                c.last = y;
                sum += y;
            }
            c.count++;
        }
        c.mean = c.count > c.n_nonfinite ? sum / (c.count - c.n_nonfinite) : 0;
        columns[n_columns++] = c;
    }
    return n_columns;
}

static void each_extreme_and_each_nan_of_columns_has_a_pixel(void **state)
{
    static struct chart_point points[MAX_POINTS];
    static struct chart_column columns[MAX_POINTS];
    for (int round = 0; round < 200; round++) {
        size_t n = 10 + (size_t)random_below(MAX_POINTS - 10);
        struct chart_line line = {.color = INK, .columns = columns, .envelope = round % 2};
        (void)random_series(points, n, &line.gap);
        line.n_columns = summarise(points, n, 2 + (size_t)random_below(40), columns);
        for (size_t i = 0; i < line.n_columns && round % 3 == 0; i++) {
            columns[i].first = columns[i].last = (double)NAN; /* not known to the sender */
        }
        struct chart chart = bare_chart(&line, 0, points[n - 1].x);
        struct scene s =
            draw_scene(&chart, 60 + random_below(500), 100, 1 + (float)(round % 2));
        for (size_t i = 0; i < line.n_columns; i++) {
            const struct chart_column *c = &columns[i];
            int from = column_of(&s, c->from), to = column_of(&s, c->to);
            const double ends[] = {c->min, c->max};
            for (int k = 0; k < 2 && c->count > c->n_nonfinite; k++) {
                bool in = ends[k] <= s.layout.y.hi && ends[k] >= s.layout.y.lo;
                if (!in) {
                    check_edge(&s, from, ends[k] > s.layout.y.hi ? 1 : -1);
                } else {
                    assert_true(ink_between(&s, from, to, ends[k]));
                }
            }
            if (c->flags & CHART_NAN) {
                check_edge(&s, from, (double)NAN);
            }
            if (c->flags & CHART_POS_INF) {
                check_edge(&s, from, 1);
            }
        }
        free_scene(&s);
    }
}

/* A line as it was when its column at end - 1 was under way still. */
static void cut_last(
    const struct chart_column *columns, size_t end, struct chart_column *out)
{
    memcpy(out, columns, end * sizeof *out);
    struct chart_column *last = &out[end - 1];
    bool is_finite = last->count > last->n_nonfinite;
    last->to = last->from;
    last->min = last->max = last->last = is_finite ? last->mean : last->last;
    last->flags = is_finite ? 0 : last->flags;
    last->n_nonfinite = is_finite ? 0 : 1;
    last->count = 1;
}

/* What a memo makes cheap it must not make different: pixels as of a chart that has none. */
static void a_line_that_grows_is_drawn_with_a_memo_as_without(void **state)
{
    static struct chart_point points[MAX_POINTS];
    static struct chart_column columns[MAX_POINTS], shown[MAX_POINTS];
    for (int round = 0; round < 60; round++) {
        double gap = 0;
        size_t n = 1000 + (size_t)random_below(MAX_POINTS - 1000);
        (void)random_series(points, n, &gap);
        size_t n_all = summarise(points, n, 1 + (size_t)random_below(12), columns);
        size_t end = 2 + (size_t)random_below((int)n_all - 2);
        size_t from = round % 4 == 0 ? (size_t)random_below((int)end) / 2 : 0;
        int w = 60 + random_below(500);
        struct chart_memo *memo = chart_memo_create();
        for (int frame = 0; frame < 12 && end <= n_all; frame++) {
            cut_last(columns, end, shown);
            struct chart_line line = {.color = INK,
                .gap = round % 3 == 0 ? 0 : gap,
                .columns = shown + from,
                .n_columns = end - from};
            struct chart chart = bare_chart(
                &line, columns[from].from, points[n - 1].x * (frame < 9 ? 1 : 0.9));
            chart.y_fixed = round % 2 == 0;
            chart.y_lo = -6;
            chart.y_hi = 6;
            struct scene plain = draw_scene(&chart, w, 100, 1);
            line.memo = memo;
            line.memo_first = from;
            line.n_fixed = end - 1 - from;
            struct scene fast = draw_scene(&chart, w, 100, 1);
            assert_memory_equal(raster_pixels(plain.raster), raster_pixels(fast.raster),
                (size_t)raster_w(plain.raster) * (size_t)raster_h(plain.raster) *
                    sizeof(uint32_t));
            free_scene(&plain);
            free_scene(&fast);
            end += (size_t)random_below(frame % 3 == 0 ? 2 : 40);
        }
        chart_memo_destroy(memo);
    }
}

static void gaps_stay_empty(void **state)
{
    static struct chart_point points[MAX_POINTS];
    for (int round = 0; round < 100; round++) {
        size_t n = 2 + (size_t)random_below(round % 2 ? 200 : MAX_POINTS - 2);
        for (size_t i = 0; i < n; i++) {
            double y = sin((double)i / 9.0);
            points[i] =
                (struct chart_point){(double)i + (i > n / 2 ? 4 + (double)n / 5 : 0), y};
        }
        struct chart_line line = {
            .color = INK, .points = points, .n_points = n, .gap = 1.5};
        struct chart chart = bare_chart(&line, 0, points[n - 1].x);
        struct scene s = draw_scene(&chart, 300, 100, 1);
        int from = column_of(&s, points[n / 2].x) + 3;
        int to = n / 2 + 1 < n ? column_of(&s, points[n / 2 + 1].x) - 3 : from;
        for (int x = from; x < to; x++) {
            for (int y = 0; y < raster_h(s.raster); y++) {
                assert_int_equal(ink_at(&s, x, y), 0);
            }
        }
        free_scene(&s);
    }
}

static void readings_that_became_rare_little_by_little_are_joined(void **state)
{
    enum { N = 10 };
    struct chart_point points[N];
    double x = 0;
    for (int i = 0; i < N; i++) { /* 1, 3, 9, ... apart, and at the end one apart */
        points[i] = (struct chart_point){x, 1};
        x += i < N - 2 ? pow(3, i) : 1;
    }
    struct chart_line line = {.color = INK, .points = points, .n_points = N, .gap = 4};
    struct chart chart = bare_chart(&line, 0, points[N - 1].x);
    struct scene s = draw_scene(&chart, 300, 100, 1);
    int y = 0;
    int from = column_of(&s, points[N - 3].x) + 3;
    int to = column_of(&s, points[N - 2].x) - 3;
    assert_true(to - from > 100);
    for (int px = from; px < to; px++) {
        for (y = 0; y < raster_h(s.raster) && ink_at(&s, px, y) == 0; y++) {
        }
        assert_true(y < raster_h(s.raster));
    }
    free_scene(&s);
}

static void one_spike_among_a_million_readings_is_seen(void **state)
{
    enum { N = 1000000, SPIKE = 654321 };
    struct chart_point *points = calloc(N, sizeof *points);
    assert_non_null(points);
    for (int i = 0; i < N; i++) {
        points[i] = (struct chart_point){i, sin(i / 30000.0)};
    }
    points[SPIKE].y = 1.8; /* inside the range by the room for tails */
    struct chart_line line = {.color = INK, .points = points, .n_points = N};
    struct chart chart = bare_chart(&line, 0, N - 1);
    struct scene s = draw_scene(&chart, 800, 200, 1);
    check_reading(&s, SPIKE, 1.8);
    free_scene(&s);
    points[SPIKE].y = 5000; /* far outside: an arrow at the edge */
    s = draw_scene(&chart, 800, 200, 1);
    assert_true(s.layout.y.hi < 10);
    check_reading(&s, SPIKE, 5000);
    free_scene(&s);
    line.alarmed = true; /* alarmed: the range makes room */
    s = draw_scene(&chart, 800, 200, 1);
    assert_true(s.layout.y.hi >= 5000);
    check_reading(&s, SPIKE, 5000);
    free_scene(&s);
    free(points);
}

static void each_extreme_of_a_flock_has_a_pixel(void **state)
{
    enum { LINES = 300, STEPS = 90 };
    static float values[LINES * STEPS];
    static double x[STEPS];
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < LINES * STEPS; i++) {
            int odd = random_below(2000);
            values[i] = odd == 0   ? NAN
                        : odd == 1 ? 9
                                   : (float)(random_unit() + random_unit());
            x[i % STEPS] = i % STEPS;
        }
        const struct chart_flock flock = {
            .x = x, .n = STEPS, .lo = values, .n_lines = LINES, .color = INK};
        struct chart chart = bare_chart(NULL, 0, STEPS - 1);
        chart.n_lines = 0;
        chart.flock = &flock;
        struct scene s = draw_scene(&chart, 40 + random_below(400), 150, 1);
        for (int i = 0; i < LINES * STEPS; i++) {
            double y = (double)values[i];
            if (!isfinite(y) || y > s.layout.y.hi) {
                check_edge(&s, column_of(&s, x[i % STEPS]), isnan(y) ? y : 1);
            } else {
                int column = column_of(&s, x[i % STEPS]);
                assert_true(ink_near(&s, column, chart_px_of_y(&s.layout, y)) >= 15);
            }
        }
        free_scene(&s);
    }
}

static bool boxes_meet(struct draw_rect a, struct draw_rect b)
{
    return a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
}

static void check_texts(const struct draw_list *list, struct draw_rect rect)
{
    size_t n = 0;
    const struct draw_cmd *cmds = draw_cmds(list, &n);
    for (size_t i = 0; i < n; i++) {
        if (cmds[i].op != DRAW_STRING) {
            continue;
        }
        struct draw_rect box = cmds[i].box;
        assert_true(box.x >= rect.x - 0.01F && box.x + box.w <= rect.x + rect.w + 0.01F);
        assert_true(box.y >= rect.y - 0.01F && box.y + box.h <= rect.y + rect.h + 2.01F);
        for (size_t k = i + 1; k < n; k++) {
            if (cmds[k].op == DRAW_STRING && boxes_meet(box, cmds[k].box)) {
                fail_msg("'%s' meets '%s'", cmds[i].u.string.text, cmds[k].u.string.text);
            }
        }
    }
}

static void no_two_texts_of_a_chart_meet(void **state)
{
    static struct chart_point points[12][200];
    struct chart_line lines[12];
    char names[12][40];
    static const char *const notes[] = {NULL, "64 of 4,096 units",
        "smoothed · half-life 10",
        "@0 @1 · smoothed · half-life 1,000 steps · 12 of 300 readings were pruned"};
    struct baro_err err = {0};
    struct font *fonts[] = {font_open_fixed(1), font_open(1, &err), font_open(2, &err)};
    for (int round = 0; round < 3000; round++) {
        struct font *font = fonts[round % 3] != NULL ? fonts[round % 3] : fonts[0];
        struct draw_list *list = draw_create(font, 0);
        double size = pow(10, 16 * random_unit() - 8), level = random_unit() * 1000 * size;
        for (int k = 0; k < 12; k++) {
            double at = level * (random_below(3) == 0);
            for (int i = 0; i < 200; i++) {
                at += (random_unit() - 0.5) * size;
                double spike = random_below(400) == 0 ? 1e4 * size : 0;
                points[k][i] = (struct chart_point){i * 7, at + spike};
            }
            (void)snprintf(names[k], sizeof names[k], "layer.%d%.*s", k, random_below(13),
                "abcdefghijklm");
            lines[k] = (struct chart_line){.name = names[k],
                .points = points[k],
                .n_points = 200,
                .color = INK,
                .weight = (enum chart_weight)(k % 3)};
        }
        const struct chart_event events[] = {{100, THEME_WATCH}, {1300, THEME_ALARM}};
        struct chart chart = {.title = "a title that is long",
            .note = notes[random_below(4)],
            .lines = lines,
            .n_lines = (size_t)random_below(13),
            .events = events,
            .n_events = 2,
            .y_kind = (enum axis_kind)random_below(3),
            .x = {.lo = 0, .hi = 1400, .unit = (enum axis_unit)random_below(4)},
            .cursor = round % 2 ? 1400 * random_unit() : (double)NAN,
            .no_x_labels = random_below(4) == 0};
        chart.x.lo += chart.x.unit == AXIS_STEP ? 0 : random_below(3) * 1e6;
        chart.x.hi += chart.x.lo;
        const struct draw_rect rect = {
            10, 10, (float)(80 + random_below(900)), (float)(48 + random_below(400))};
        draw_begin(list, 1000, 500, GROUND);
        chart_draw(list, &theme_dark, rect, &chart, NULL, NULL);
        check_texts(list, rect);
        draw_destroy(list);
    }
    for (int i = 0; i < 3; i++) {
        font_close(fonts[i]);
    }
}

static void the_range_stays_while_it_fits_and_moves_in_steps(void **state)
{
    static struct chart_point points[4000];
    struct chart_line line = {.points = points, .color = INK};
    struct font *font = font_open_fixed(1);
    struct draw_list *list = draw_create(font, 0);
    struct chart_state kept = {0};
    int n_moves = 0;
    double last_lo = 0, last_hi = 0;
    for (size_t n = 1; n <= 4000; n++) {
        points[n - 1] = (struct chart_point){
            (double)n, 3 / (1 + (double)n / 50) + 0.05 * random_unit()};
        line.n_points = n;
        struct chart chart = bare_chart(&line, 0, 4000);
        struct chart_layout layout;
        draw_begin(list, 500, 200, GROUND);
        chart_draw(
            list, &theme_dark, (struct draw_rect){0, 0, 500, 200}, &chart, &kept, &layout);
        n_moves += layout.y.lo != last_lo || layout.y.hi != last_hi;
        last_lo = layout.y.lo;
        last_hi = layout.y.hi;
        assert_true(points[n - 1].y >= layout.y.lo && points[n - 1].y <= layout.y.hi);
    }
    assert_in_range(n_moves, 1, 18);
    draw_destroy(list);
    font_close(font);
}

static void the_pointer_finds_the_nearest_line_and_its_exact_reading(void **state)
{
    struct chart_point a[100], b[100];
    for (int i = 0; i < 100; i++) {
        a[i] = (struct chart_point){i * 10, 1.0 + i * 0.001};
        b[i] = (struct chart_point){i * 10, 2.0};
    }
    const struct chart_line lines[] = {
        {.points = a, .n_points = 100, .color = INK, .gap = 20},
        {.points = b, .n_points = 100, .color = INK, .gap = 20}};
    struct chart chart = bare_chart(lines, 0, 990);
    chart.n_lines = 2;
    struct scene s = draw_scene(&chart, 400, 200, 1);
    float px = chart_px_of_x(&s.layout, 502);
    assert_true(fabs(chart_x_at(&s.layout, px) - 502) < 0.01);
    struct chart_hit hit;
    assert_true(chart_hit(&chart, &s.layout, px, chart_px_of_y(&s.layout, 1.1), 40, &hit));
    assert_int_equal(hit.line, 0);
    assert_true(hit.x == 500 && hit.value == a[50].y && hit.count == 1);
    assert_true(chart_hit(&chart, &s.layout, px, chart_px_of_y(&s.layout, 1.99), 40, &hit));
    assert_int_equal(hit.line, 1);
    assert_false(chart_hit(&chart, &s.layout, px, chart_px_of_y(&s.layout, 1.6), 5, &hit));
    assert_false(chart_read(&chart, &s.layout, 0, 2000, &hit));
    free_scene(&s);
}

static void odd_inputs_are_drawn_without_fuss(void **state)
{
    const double odd[] = {0, 1, -1, 1e308, -1e308, 5e-324, (double)NAN, (double)INFINITY};
    for (int i = 0; i < 8 * 8 * 8; i++) {
        struct chart_point points[] = {
            {0, odd[i % 8]}, {1, odd[i / 8 % 8]}, {2, odd[i / 64]}};
        const struct chart_line line = {
            .points = points, .n_points = 3, .color = INK, .name = "x"};
        struct chart chart = bare_chart(&line, 0, i % 3 ? 2 : 0);
        chart.sparkline = false;
        chart.y_kind = (enum axis_kind)(i % 3);
        chart.cursor = 1;
        struct scene s = draw_scene(&chart, 300, 120, 1);
        assert_true(s.layout.y.lo < s.layout.y.hi);
        check_texts(s.list, s.layout.rect);
        free_scene(&s);
    }
    struct chart chart = bare_chart(NULL, 0, 1);
    chart.n_lines = 0;
    for (int w = 1; w < 200; w += 7) {
        struct scene s = draw_scene(&chart, w, w / 2 + 1, 1);
        free_scene(&s);
    }
}

/* The chart of the golden text: everything once, no libm in its numbers. */
static void draw_golden(struct draw_list *list)
{
    static struct chart_point sparse[60];
    static struct chart_column dense[700];
    for (int i = 0; i < 60; i++) {
        sparse[i] =
            (struct chart_point){i * 20, i == 41 ? (double)NAN : 1.0 / (1 + i * 0.2)};
    }
    for (int i = 0; i < 700; i++) {
        double mid = 0.5 + (i % 100) / 400.0;
        dense[i] = (struct chart_column){.from = i * 1.7,
            .to = i * 1.7 + 1.6,
            .min = mid - 0.05,
            .max = i == 333 ? 90 : mid + 0.05,
            .mean = mid,
            .first = (double)NAN,
            .last = (double)NAN,
            .count = 16};
    }
    dense[600].n_nonfinite = 1;
    dense[600].flags = CHART_POS_INF;
    const struct chart_line lines[] = {{.name = "train",
                                           .columns = dense,
                                           .n_columns = 700,
                                           .color = theme_series(&theme_dark, 0)},
        {.name = "validation",
            .points = sparse,
            .n_points = 60,
            .color = theme_series(&theme_dark, 1),
            .weight = CHART_SELECTED}};
    const struct chart_event events[] = {{500, THEME_WATCH}, {821, THEME_ALARM}};
    const struct chart chart = {.title = "loss",
        .note = "smoothed",
        .lines = lines,
        .n_lines = 2,
        .events = events,
        .n_events = 2,
        .cursor = 402,
        .x = {.unit = AXIS_STEP, .lo = 0, .hi = 1190}};
    draw_begin(list, 640, 240, theme_dark.background);
    chart_draw(list, &theme_dark, (struct draw_rect){12, 12, 616, 216}, &chart, NULL, NULL);
}

static void a_chart_is_drawn_with_the_commands_on_record(void **state)
{
    char path[1024], *got = NULL;
    size_t n_got = 0;
    (void)snprintf(path, sizeof path, "%s/tests/golden/draw/chart.txt",
        getenv("BARO_SOURCE_DIR") != NULL ? getenv("BARO_SOURCE_DIR") : ".");
    struct font *font = font_open_fixed(1);
    struct draw_list *list = draw_create(font, 0);
    draw_golden(list);
    FILE *out = open_memstream(&got, &n_got);
    assert_int_equal(draw_text_print(list, out), 0);
    (void)fclose(out);
    if (getenv("BARO_GOLDEN_UPDATE") != NULL) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        assert_int_equal(fwrite(got, 1, n_got, file), n_got);
        (void)fclose(file);
    }
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char *want = calloc(n_got + 2, 1);
    size_t n_want = fread(want, 1, n_got + 1, file);
    (void)fclose(file);
    assert_string_equal(got, want);
    assert_int_equal(n_want, n_got);
    free(want);
    free(got);
    draw_destroy(list);
    font_close(font);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_extreme_and_each_nan_of_raw_points_has_a_pixel),
        cmocka_unit_test(each_extreme_has_a_pixel_on_log_and_symlog_axes_too),
        cmocka_unit_test(each_extreme_and_each_nan_of_columns_has_a_pixel),
        cmocka_unit_test(a_line_that_grows_is_drawn_with_a_memo_as_without),
        cmocka_unit_test(gaps_stay_empty),
        cmocka_unit_test(readings_that_became_rare_little_by_little_are_joined),
        cmocka_unit_test(one_spike_among_a_million_readings_is_seen),
        cmocka_unit_test(each_extreme_of_a_flock_has_a_pixel),
        cmocka_unit_test(no_two_texts_of_a_chart_meet),
        cmocka_unit_test(the_range_stays_while_it_fits_and_moves_in_steps),
        cmocka_unit_test(the_pointer_finds_the_nearest_line_and_its_exact_reading),
        cmocka_unit_test(odd_inputs_are_drawn_without_fuss),
        cmocka_unit_test(a_chart_is_drawn_with_the_commands_on_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
