/* SPDX-License-Identifier: Apache-2.0 */
#include "client/draw/theme.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "lib/base/mem.h"

/*
 * Series colours began as those of Okabe and Ito, but eight of them on a dark or a light ground are
 * not told apart without green cones: two of them were 0.005 apart in Oklab. Hues stayed, and
 * lightness was moved until any two are at least 0.08 apart with any colour vision, which
 * tests/view/test_draw_theme.c holds.
 */

const struct theme theme_dark = {
    .name = "dark",
    .dark = true,
    .background = 0xFF14171C,
    .panel = 0xFF1A1E25,
    .raised = 0xFF222832,
    .hairline = 0xFF2B323D,
    .grid = 0xFF232933,
    .text = 0xFFE7EAEF,
    .secondary = 0xFF9AA5B4,
    .faint = 0xFF5D6877,
    .accent = 0xFF62AEF7,
    .calm = 0xFF43B492,
    .watch = 0xFFF0B13A,
    .alarm = 0xFFFF5D4A,
    .series = {0xFF5DC0FB, 0xFFE3B02B, 0xFF3FAA72, 0xFFBB70B6, 0xFFD9F13C, 0xFFE86B07,
        0xFF967CFA, 0xFFB1BDB5},
};

const struct theme theme_light = {
    .name = "light",
    .dark = false,
    .background = 0xFFFAFAF8,
    .panel = 0xFFFFFFFF,
    .raised = 0xFFF1F2F4,
    .hairline = 0xFFE2E4E8,
    .grid = 0xFFECEEF0,
    .text = 0xFF1A1E24,
    .secondary = 0xFF59636F,
    .faint = 0xFF98A1AC,
    .accent = 0xFF1F6FC4,
    .calm = 0xFF14805E,
    .watch = 0xFFB57700,
    .alarm = 0xFFCF2E1C,
    .series = {0xFF4698FA, 0xFFBD6315, 0xFF167661, 0xFF9F4C9D, 0xFFBF9014, 0xFF94400A,
        0xFF7A4CE5, 0xFF939093},
};

static const char *const health_words[] = {
    [THEME_NO_DATA] = "no data",
    [THEME_CALM] = "calm",
    [THEME_WATCH] = "watch",
    [THEME_ALARM] = "alarm",
};
static_assert(BARO_LEN(health_words) == THEME_HEALTH_COUNT, "a word for each health");

/* Even steps of lightness from dark blue over grey to yellow, readable without colour. */
static const draw_color heat_stops[] = {0xFF06274F, 0xFF1F3A6B, 0xFF3F4A6C, 0xFF575C6D,
    0xFF6F6F74, 0xFF888478, 0xFFA39A76, 0xFFC1B26B, 0xFFE0CC58, 0xFFFDE737};

static const draw_color diff_stops[] = {
    0xFF3C8FDB, 0xFF4A6F96, 0xFF4B525C, 0xFF9C7440, 0xFFEE9A28};
static const draw_color diff_stops_light[] = {
    0xFF1B6DB8, 0xFF94BBE0, 0xFFECEDEE, 0xFFE9BC84, 0xFFC46F00};

const struct theme *theme_find(const char *name)
{
    const struct theme *all[] = {&theme_dark, &theme_light};
    for (size_t i = 0; i < BARO_LEN(all); i++) {
        if (strcmp(all[i]->name, name) == 0) {
            return all[i];
        }
    }
    return NULL;
}

draw_color theme_health_color(const struct theme *theme, enum theme_health health)
{
    switch (health) {
    case THEME_CALM: return theme->calm;
    case THEME_WATCH: return theme->watch;
    case THEME_ALARM: return theme->alarm;
    case THEME_NO_DATA:
    case THEME_HEALTH_COUNT: break;
    }
    return theme->faint;
}

enum draw_mark_kind theme_health_mark(enum theme_health health)
{
    switch (health) {
    case THEME_CALM: return DRAW_MARK_DOT;
    case THEME_WATCH: return DRAW_MARK_TRIANGLE;
    case THEME_ALARM: return DRAW_MARK_SQUARE;
    case THEME_NO_DATA:
    case THEME_HEALTH_COUNT: break;
    }
    return DRAW_MARK_RING;
}

const char *theme_health_word(enum theme_health health)
{
    return health < THEME_HEALTH_COUNT ? health_words[health] : "no data";
}

draw_color theme_series(const struct theme *theme, size_t i)
{
    return theme->series[i % THEME_N_SERIES];
}

/* The colour t (0 to 1) along n evenly spaced stops. */
static draw_color along(const draw_color *stops, size_t n, float t)
{
    float clamped = t < 0 ? 0 : t > 1 ? 1 : t;
    float place = clamped * (float)(n - 1);
    size_t i = (size_t)place;
    if (i >= n - 1) {
        return stops[n - 1];
    }
    return draw_mix(stops[i], stops[i + 1], place - (float)i);
}

draw_color theme_heat(const struct theme *theme, float t)
{
    return isnan(t) ? theme->alarm : along(heat_stops, BARO_LEN(heat_stops), t);
}

draw_color theme_diff(const struct theme *theme, float t)
{
    if (isnan(t)) {
        return theme->alarm;
    }
    return theme->dark ? along(diff_stops, BARO_LEN(diff_stops), (t + 1) / 2)
                       : along(diff_stops_light, BARO_LEN(diff_stops_light), (t + 1) / 2);
}
