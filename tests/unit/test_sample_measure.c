/* SPDX-License-Identifier: Apache-2.0 */
/* How a choice of lines is judged. */
#include "tests/testing.h"

#include <math.h>

#include "lib/analysis/sample_measure.h"
#include "lib/base/mem.h"

static const struct axis even = {.kind = AXIS_LINEAR, .lo = 0, .hi = 20, .linear_to = 1};

static void the_local_outlier_factors_are_the_worked_numbers(void **test)
{
    static const float points[] = {0, 1, 3};
    static const uint32_t order[] = {0, 1, 2};
    double scores[3];
    sample_lof(points, 3, 1, order, 3, 1, 0, scores);
    assert_true(fabs(scores[0] - 1) < 1e-6);
    assert_true(fabs(scores[1] - 1) < 1e-6);
    assert_true(fabs(scores[2] - 2) < 1e-6);
}

static void a_point_away_from_a_cluster_has_the_largest_factor(void **test)
{
    float points[2 * 60];
    uint32_t order[60];
    double scores[60];
    for (uint32_t i = 0; i < 60; i++) {
        points[2 * i] = (float)(i % 8);
        points[2 * i + 1] = (float)(i / 8);
        order[i] = i;
    }
    points[2 * 37] = 30;
    sample_lof(points, 60, 2, order, 60, 5, 0, scores);
    for (uint32_t i = 0; i < 60; i++) {
        assert_true(i == 37 ? scores[i] > 4 : scores[i] < 1.6);
    }
}

/* Three level lines at 5, 5 and 15 of 20, on 10 x 20 pixels. */
static void coverage_and_overdraw_count_pixels(void **test)
{
    static const float values[] = {5, 5, 5, 5, 15, 15};
    struct polylines lines = {.n_lines = 3, .n_steps = 2, .values = values};
    struct polyline_screen screen;
    struct sample_canvas all, some;
    polyline_screen_init(&screen, &lines, &even, 20, 2);
    sample_canvas_init(&all, 10, 20);
    sample_canvas_init(&some, 10, 20);
    for (size_t i = 0; i < 3; i++) {
        sample_canvas_draw(&all, &screen, &lines, i);
    }
    assert_true(fabs(sample_overdraw(&all) - 1.5) < 1e-9);
    assert_true(sample_coverage(&all, &some) < 1e-9);
    sample_canvas_draw(&some, &screen, &lines, 0);
    assert_true(fabs(sample_coverage(&all, &some) - 0.5) < 1e-9);
    assert_true(fabs(sample_overdraw(&some) - 1) < 1e-9);
    sample_canvas_draw(&some, &screen, &lines, 2);
    assert_true(fabs(sample_coverage(&all, &some) - 1) < 1e-9);
    sample_canvas_finish(&all);
    sample_canvas_finish(&some);
}

static void a_steep_line_lights_every_pixel_on_its_way_and_a_hole_none(void **test)
{
    static const float values[] = {0, 20, 0, NAN, 0, 20};
    struct polylines lines = {.n_lines = 2, .n_steps = 3, .values = values};
    struct polyline_screen screen;
    struct sample_canvas canvas;
    polyline_screen_init(&screen, &lines, &even, 20, 3);
    sample_canvas_init(&canvas, 9, 20);
    sample_canvas_draw(&canvas, &screen, &lines, 0);
    for (size_t y = 0; y < 20; y++) {
        uint32_t n = 0;
        for (size_t x = 0; x < 9; x++) {
            n += canvas.n_draws[x * 20 + y];
        }
        assert_true(n >= 1 && n <= 4);
    }
    sample_canvas_finish(&canvas);
    sample_canvas_init(&canvas, 9, 20);
    sample_canvas_draw(&canvas, &screen, &lines, 1);
    for (size_t x = 0; x < 4; x++) {
        for (size_t y = 0; y < 20; y++) {
            assert_int_equal(canvas.n_draws[x * 20 + y], 0);
        }
    }
    sample_canvas_finish(&canvas);
}

static void pairs_within_the_radius_are_counted_and_the_rest_compared_with_chance(
    void **test)
{
    enum { N = 41 };
    float y[2 * N];
    const float radius[1] = {4};
    struct sample_pairs pairs;
    for (size_t i = 0; i < N; i++) {
        y[2 * i] = y[2 * i + 1] = (float)(5 * i);
    }
    sample_measure_pairs(y, N, 2, radius, &pairs);
    assert_true(pairs.near_share < 1e-9);
    assert_true(pairs.density[0] < 1e-9 && pairs.density[1] < 1e-9);
    double sum = 0;
    for (int i = 2; i < 12; i++) {
        sum += pairs.density[i] / 10;
    }
    assert_true(sum > 0.8 && sum < 1.2);
    y[2] = y[3] = 1; /* nearer to its neighbour than the radius */
    sample_measure_pairs(y, N, 2, radius, &pairs);
    assert_true(fabs(pairs.near_share - 1.0 / (N * (N - 1) / 2)) < 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_local_outlier_factors_are_the_worked_numbers),
        cmocka_unit_test(a_point_away_from_a_cluster_has_the_largest_factor),
        cmocka_unit_test(coverage_and_overdraw_count_pixels),
        cmocka_unit_test(a_steep_line_lights_every_pixel_on_its_way_and_a_hole_none),
        cmocka_unit_test(
            pairs_within_the_radius_are_counted_and_the_rest_compared_with_chance),
    };
    return cmocka_run_group_tests_name("sample_measure", tests, NULL, NULL);
}
