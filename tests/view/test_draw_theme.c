/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/testing.h"

#include <math.h>

#include "client/draw/theme.h"
#include "lib/base/mem.h"

/*
 * How colours look to whoever lacks one kind of cones, after Machado, Oliveira and Fernandes,
 * "A physiologically-based model for simulation of color vision deficiency", 2009, severity 1;
 * and how far two colours are apart: distance in Oklab (Ottosson 2020), where black to white is 1
 * and 0.02 is about what can just be seen of two patches side by side.
 */

enum { N_VISIONS = 4 };

static const double visions[N_VISIONS][3][3] = {
    {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}},
    {{0.152286, 1.052583, -0.204868}, {0.114503, 0.786281, 0.099216},
        {-0.003882, -0.048116, 1.051998}},
    {{0.367322, 0.860646, -0.227968}, {0.280085, 0.672501, 0.047413},
        {-0.011820, 0.042940, 0.968881}},
    {{1.255528, -0.076749, -0.178779}, {-0.078411, 0.930809, 0.147602},
        {0.004733, 0.691367, 0.303900}},
};
static const char *const vision_names[N_VISIONS] = {"all cones", "no L", "no M", "no S"};

static const struct theme *const themes[] = {&theme_dark, &theme_light};

struct lab {
    double x[3];
};

static struct lab times(const double m[3][3], struct lab v)
{
    struct lab out;
    for (int i = 0; i < 3; i++) {
        out.x[i] = m[i][0] * v.x[0] + m[i][1] * v.x[1] + m[i][2] * v.x[2];
    }
    return out;
}

/* Red, green and blue as amounts of light. */
static struct lab light_of(draw_color color)
{
    struct lab out;
    for (int i = 0; i < 3; i++) {
        double x = (double)((color >> (16 - 8 * i)) & 0xFF) / 255;
        out.x[i] = x <= 0.04045 ? x / 12.92 : pow((x + 0.055) / 1.055, 2.4);
    }
    return out;
}

static struct lab seen(draw_color color, int vision)
{
    static const double cones[3][3] = {{0.4122214708, 0.5363325363, 0.0514459929},
        {0.2119034982, 0.6806995451, 0.1073969566},
        {0.0883024619, 0.2817188376, 0.6299787005}};
    static const double opponents[3][3] = {{0.2104542553, 0.7936177850, -0.0040720468},
        {1.9779984951, -2.4285922050, 0.4505937099},
        {0.0259040371, 0.7827717662, -0.8086757660}};
    struct lab light = times(visions[vision], light_of(color));
    for (int i = 0; i < 3; i++) {
        light.x[i] = fmin(fmax(light.x[i], 0), 1);
    }
    struct lab cone = times(cones, light);
    for (int i = 0; i < 3; i++) {
        cone.x[i] = cbrt(cone.x[i]);
    }
    return times(opponents, cone);
}

static double distance(draw_color a, draw_color b, int vision)
{
    struct lab x = seen(a, vision), y = seen(b, vision);
    return hypot(hypot(x.x[0] - y.x[0], x.x[1] - y.x[1]), x.x[2] - y.x[2]);
}

/* After WCAG 2: 1 for the same lightness, 21 for black on white. */
static double contrast(draw_color a, draw_color b)
{
    double of[2];
    draw_color colors[2] = {a, b};
    for (int i = 0; i < 2; i++) {
        struct lab light = light_of(colors[i]);
        of[i] = 0.2126 * light.x[0] + 0.7152 * light.x[1] + 0.0722 * light.x[2] + 0.05;
    }
    return fmax(of[0], of[1]) / fmin(of[0], of[1]);
}

static void any_two_colours_of_lines_are_told_apart_with_any_colour_vision(void **state)
{
    for (size_t t = 0; t < BARO_LEN(themes); t++) {
        for (int vision = 0; vision < N_VISIONS; vision++) {
            for (size_t i = 0; i < THEME_N_SERIES; i++) {
                for (size_t j = 0; j < i; j++) {
                    double d = distance(
                        theme_series(themes[t], i), theme_series(themes[t], j), vision);
                    if (d < 0.08) {
                        fail_msg("%s, %s: colours %zu and %zu are %.3f apart",
                            themes[t]->name, vision_names[vision], j, i, d);
                    }
                }
            }
        }
    }
}

static void lines_and_words_stand_out_from_what_they_lie_on(void **state)
{
    for (size_t t = 0; t < BARO_LEN(themes); t++) {
        const struct theme *theme = themes[t];
        for (size_t i = 0; i < THEME_N_SERIES; i++) {
            assert_true(contrast(theme_series(theme, i), theme->panel) >= 2.9);
        }
        for (enum theme_health health = THEME_CALM; health < THEME_HEALTH_COUNT; health++) {
            assert_true(contrast(theme_health_color(theme, health), theme->panel) >= 3);
        }
        assert_true(contrast(theme->text, theme->panel) >= 12);
        assert_true(contrast(theme->secondary, theme->panel) >= 4.5);
    }
}

static void the_scale_of_heat_grows_lighter_with_any_colour_vision(void **state)
{
    for (int vision = 0; vision < N_VISIONS; vision++) {
        double before = -1;
        for (int i = 0; i <= 64; i++) {
            double now = seen(theme_heat(&theme_dark, (float)i / 64), vision).x[0];
            assert_true(now > before);
            before = now;
        }
        assert_true(before > 0.85);
    }
}

static void the_two_sides_of_a_difference_are_told_apart_and_from_none(void **state)
{
    for (size_t t = 0; t < BARO_LEN(themes); t++) {
        draw_color less = theme_diff(themes[t], -1), none = theme_diff(themes[t], 0),
                   more = theme_diff(themes[t], 1);
        for (int vision = 0; vision < N_VISIONS; vision++) {
            assert_true(distance(less, more, vision) > 0.15);
            assert_true(distance(less, none, vision) > 0.15);
            assert_true(distance(more, none, vision) > 0.15);
        }
    }
}

static void health_is_told_by_marks_and_words_beside_its_colours(void **state)
{
    for (enum theme_health a = THEME_NO_DATA; a < THEME_HEALTH_COUNT; a++) {
        for (enum theme_health b = THEME_NO_DATA; b < a; b++) {
            assert_int_not_equal(theme_health_mark(a), theme_health_mark(b));
            assert_string_not_equal(theme_health_word(a), theme_health_word(b));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_two_colours_of_lines_are_told_apart_with_any_colour_vision),
        cmocka_unit_test(lines_and_words_stand_out_from_what_they_lie_on),
        cmocka_unit_test(the_scale_of_heat_grows_lighter_with_any_colour_vision),
        cmocka_unit_test(the_two_sides_of_a_difference_are_told_apart_and_from_none),
        cmocka_unit_test(health_is_told_by_marks_and_words_beside_its_colours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
