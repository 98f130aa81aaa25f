/* SPDX-License-Identifier: Apache-2.0 */
/* The backdrop: how many lines run through each pixel, and how that becomes a shade. */
#include "tests/testing.h"

#include <math.h>
#include <string.h>

#include "lib/analysis/density.h"
#include "lib/base/mem.h"

enum { WIDTH = 40, HEIGHT = 50 };

static const struct axis even = {.kind = AXIS_LINEAR, .lo = 0, .hi = 20, .linear_to = 1};

static uint64_t state = 1;

static double draw(void)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(state >> 11) / 9007199254740992.0;
}

/* One column, 20 pixels high; a reading v lies at 20 - v. */
static void a_level_and_a_falling_line_are_the_worked_number(void **test)
{
    static const float values[] = {14.5F, 14.5F, 15.5F, 12.5F};
    struct polylines lines = {.n_lines = 2, .n_steps = 2, .values = values};
    struct polyline_screen screen;
    struct density density;
    float cells[20];
    uint8_t shades[20];
    polyline_screen_init(&screen, &lines, &even, 20, 2);
    density_init(&density, 1, 20);
    density_add(&density, &screen, &lines, 0);
    density_add(&density, &screen, &lines, 1);
    density_get(&density, cells);
    for (size_t y = 0; y < 20; y++) {
        double wanted = y == 5 ? 1.25 : y == 4 || y == 6 || y == 7 ? 0.25 : 0;
        assert_true(fabs((double)cells[y] - wanted) < 1e-6);
    }
    assert_int_equal(density.n_added, 2);
    assert_true(fabs((double)density_shade(cells, 20, shades) - 1.25) < 1e-6);
    assert_int_equal(shades[5], 255);
    density_clear(&density);
    for (size_t i = 0; i < 100; i++) {
        density_add(&density, &screen, &lines, 0);
    }
    density_get(&density, cells);
    cells[0] = 1;
    cells[1] = 1e-7F;
    (void)density_shade(cells, 20, shades);
    assert_int_equal(shades[0], 45);
    assert_int_equal(shades[1], 1);
    assert_int_equal(shades[2], 0);
    density_finish(&density);
}

/* Noise, waves, breaks and stretches: what a layer may hold; all within the chart. */
static void make_lines(float *values, uint8_t *marks, size_t n_lines, size_t n_steps)
{
    for (size_t i = 0; i < n_lines; i++) {
        double level = 4 + 12 * draw();
        for (size_t t = 0; t < n_steps; t++) {
            double noise = i % 3 == 0 ? 3.9 * (2 * draw() - 1) : 0.2 * sin((double)t);
            values[i * n_steps + t] = (float)(level + noise);
            marks[i * n_steps + t] = POLYLINE_FINITE;
            if (i % 4 == 1 && t % 17 < 6) {
                marks[i * n_steps + t] = POLYLINE_GAP;
            } else if (i % 7 == 2 && t % 23 == 5) {
                values[i * n_steps + t] = NAN;
                marks[i * n_steps + t] = POLYLINE_NONFINITE;
            }
        }
    }
}

/* The rule itself: for each column all points of the line on a fine raster, one by one. */
static size_t brute_force(const struct polylines *lines, size_t line, double *cells)
{
    enum { FINE = 4000 };
    size_t n_columns = 0;
    const size_t n = lines->n_steps;
    for (size_t x = 0; x < WIDTH; x++) {
        uint8_t lit[HEIGHT] = {0};
        size_t top = HEIGHT, bottom = 0;
        for (size_t t = 0; t < n; t++) {
            double here = (double)t * (WIDTH - 1) / (double)(n - 1);
            double y0 = HEIGHT - (double)lines->values[line * n + t] * HEIGHT / 20;
            bool is_there = lines->marks[line * n + t] == POLYLINE_FINITE;
            bool is_next = t + 1 < n && lines->marks[line * n + t + 1] == POLYLINE_FINITE;
            double y1 = is_next
                            ? HEIGHT - (double)lines->values[line * n + t + 1] * HEIGHT / 20
                            : y0;
            double next = (double)(t + 1) * (WIDTH - 1) / (double)(n - 1);
            for (size_t k = 0; is_there && k <= (is_next ? FINE : 0); k++) {
                double at = here + (next - here) * (double)k / FINE;
                bool is_here = at >= (double)x && at < (double)x + 1;
                if (is_here) {
                    lit[(size_t)(y0 + (y1 - y0) * (double)k / FINE)] = 1;
                }
            }
        }
        for (size_t y = 0; y < HEIGHT; y++) {
            top = lit[y] && top == HEIGHT ? y : top;
            bottom = lit[y] ? y : bottom;
        }
        for (size_t y = top; y <= bottom && top < HEIGHT; y++) {
            cells[y * WIDTH + x] += 1.0 / (double)(bottom - top + 1);
        }
        n_columns += top < HEIGHT;
    }
    return n_columns;
}

static void each_line_is_spread_over_its_pixels_as_brute_force_says(void **test)
{
    enum { LINES = 12 };
    static const size_t n_steps[] = {60, 9, 400}; /* more and fewer than columns */
    for (size_t k = 0; k < BARO_LEN(n_steps); k++) {
        const size_t n = n_steps[k];
        float values[LINES * 400];
        uint8_t marks[LINES * 400];
        float cells[WIDTH * HEIGHT];
        double wanted[WIDTH * HEIGHT] = {0};
        make_lines(values, marks, LINES, n);
        struct polylines lines = {
            .n_lines = LINES, .n_steps = n, .values = values, .marks = marks};
        struct polyline_screen screen;
        struct density density;
        polyline_screen_init(&screen, &lines, &even, HEIGHT, 10);
        density_init(&density, WIDTH, HEIGHT);
        double off = 0, all = 0;
        for (size_t i = 0; i < LINES; i++) {
            density_add(&density, &screen, &lines, i);
            all += (double)brute_force(&lines, i, wanted);
        }
        density_get(&density, cells);
        for (size_t i = 0; i < WIDTH * HEIGHT; i++) {
            off += fabs((double)cells[i] - wanted[i]);
        }
        /* Points of the raster miss a pixel that a line only touches. */
        assert_true(off < 0.02 * all);
        density_finish(&density);
    }
}

static void every_column_sums_to_the_lines_that_have_a_reading_there(void **test)
{
    enum { LINES = 300, STEPS = 120 };
    baro_autofree float *values = baro_xcalloc((size_t)LINES * STEPS, sizeof *values);
    baro_autofree uint8_t *marks = baro_xcalloc((size_t)LINES * STEPS, 1);
    float cells[WIDTH * HEIGHT], again[WIDTH * HEIGHT];
    make_lines(values, marks, LINES, STEPS);
    struct polylines lines = {
        .n_lines = LINES, .n_steps = STEPS, .values = values, .marks = marks};
    struct polyline_screen screen;
    struct density density;
    polyline_screen_init(&screen, &lines, &even, HEIGHT, 10);
    density_init(&density, WIDTH, HEIGHT);
    for (size_t i = 0; i < LINES; i++) {
        density_add(&density, &screen, &lines, i);
    }
    density_get(&density, cells);
    for (size_t x = 0; x < WIDTH; x++) {
        double sum = 0;
        size_t n_there = 0;
        for (size_t y = 0; y < HEIGHT; y++) {
            sum += (double)cells[y * WIDTH + x];
        }
        for (size_t i = 0; i < LINES; i++) {
            bool is_there = false;
            for (size_t t = 0; t < STEPS; t++) {
                double at = (double)t * (WIDTH - 1) / (STEPS - 1);
                is_there |= (size_t)at == x && marks[i * STEPS + t] == POLYLINE_FINITE;
            }
            n_there += is_there;
        }
        /* Lines that only pass count as well: at most those with a piece over the edge. */
        assert_true(sum > (double)n_there - 1e-3 && sum < LINES + 1e-3);
        assert_true(sum < (double)n_there + 0.3 * LINES);
    }
    density_clear(&density); /* in another order: the same bits */
    for (size_t i = LINES; i-- > 0;) {
        density_add(&density, &screen, &lines, i);
    }
    density_get(&density, again);
    assert_memory_equal(cells, again, sizeof cells);
    density_finish(&density);
}

static void lines_without_breaks_sum_to_their_number_in_every_column(void **test)
{
    enum { LINES = 500, STEPS = 77 };
    baro_autofree float *values = baro_xcalloc((size_t)LINES * STEPS, sizeof *values);
    double x[STEPS];
    float cells[WIDTH * HEIGHT];
    uint8_t shades[WIDTH * HEIGHT];
    for (size_t i = 0; i < (size_t)LINES * STEPS; i++) {
        values[i] = (float)(0.01 + 19.9 * draw());
    }
    for (size_t t = 0; t < STEPS; t++) {
        x[t] = 3 + (double)t * (double)t; /* readings become rarer */
    }
    struct polylines lines = {.n_lines = LINES, .n_steps = STEPS, .values = values, .x = x};
    struct polyline_screen screen;
    struct density density;
    polyline_screen_init(&screen, &lines, &even, HEIGHT, 10);
    density_init(&density, WIDTH, HEIGHT);
    for (size_t i = 0; i < LINES; i++) {
        density_add(&density, &screen, &lines, i);
    }
    density_get(&density, cells);
    for (size_t c = 0; c < WIDTH; c++) {
        double sum = 0;
        for (size_t y = 0; y < HEIGHT; y++) {
            sum += (double)cells[y * WIDTH + c];
        }
        assert_true(fabs(sum - LINES) < 1e-3);
    }
    (void)density_shade(cells, WIDTH * HEIGHT, shades);
    for (size_t i = 1; i < WIDTH * HEIGHT; i++) {
        assert_false(cells[i] > cells[i - 1] && shades[i] < shades[i - 1]);
        assert_true((cells[i] > 0) == (shades[i] > 0));
    }
    density_finish(&density);
}

static void odd_lines_stay_within_the_picture(void **test)
{
    static const float values[] = {1e38F, -1e38F, 1e-38F, 0, /* far beyond */
        NAN, NAN, NAN, NAN,                                  /* nothing */
        NAN, 5, NAN, NAN,                                    /* a single reading */
        INFINITY, 20, 20, -INFINITY};
    struct polylines lines = {.n_lines = 4, .n_steps = 4, .values = values};
    struct polyline_screen screen;
    struct density density;
    float cells[3 * 20];
    double sums[4] = {0};
    polyline_screen_init(&screen, &lines, &even, 20, 4);
    density_init(&density, 3, 20);
    for (size_t i = 0; i < 4; i++) {
        density_clear(&density);
        density_add(&density, &screen, &lines, i);
        density_get(&density, cells);
        for (size_t k = 0; k < 60; k++) {
            assert_true(cells[k] >= 0);
            sums[i] += (double)cells[k];
        }
    }
    assert_true(sums[0] > 1.9 && sums[0] < 3.1);
    assert_true(sums[1] < 1e-6);
    assert_true(fabs(sums[2] - 1) < 1e-6);
    assert_true(sums[3] > 0.9 && sums[3] < 3.1);
    lines.n_steps = 1;
    density_add(&density, &screen, &lines, 0);
    lines.n_steps = 0;
    density_add(&density, &screen, &lines, 0);
    density_finish(&density);
}

/* A reading that stands for several lights all between the least and the largest of them. */
static void extremes_of_a_reading_are_lit(void **test)
{
    static const float values[] = {10.5F, 10.5F}, low[] = {8.5F, 10.5F},
                       high[] = {12.5F, 10.5F};
    struct polylines lines = {
        .n_lines = 1, .n_steps = 2, .values = values, .low = low, .high = high};
    struct polyline_screen screen;
    struct density density;
    float cells[2 * 20];
    polyline_screen_init(&screen, &lines, &even, 20, 2);
    density_init(&density, 2, 20);
    density_add(&density, &screen, &lines, 0);
    density_get(&density, cells);
    for (size_t y = 0; y < 20; y++) {
        assert_true(fabs((double)cells[2 * y] - (y >= 7 && y <= 11 ? 0.2 : 0)) < 1e-6);
        assert_true(fabs((double)cells[2 * y + 1] - (y == 9 ? 1 : 0)) < 1e-6);
    }
    density_finish(&density);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_level_and_a_falling_line_are_the_worked_number),
        cmocka_unit_test(each_line_is_spread_over_its_pixels_as_brute_force_says),
        cmocka_unit_test(every_column_sums_to_the_lines_that_have_a_reading_there),
        cmocka_unit_test(lines_without_breaks_sum_to_their_number_in_every_column),
        cmocka_unit_test(odd_lines_stay_within_the_picture),
        cmocka_unit_test(extremes_of_a_reading_are_lit),
    };
    return cmocka_run_group_tests_name("density", tests, NULL, NULL);
}
