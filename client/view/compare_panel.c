/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/model/config.h"
#include "client/view/compare_rows.h"
#include "client/view/words.h"
#include "lib/base/mem.h"

/*
 * The right side of the compare page: settings that differ, scalars side by side, and of the chosen
 * tensor how the l2 norms of its units differ: how many units by how many times, and which most.
 */

enum { N_BINS = 33, MAX_TOP = 6, MAX_SETTINGS = 64 };

static const float ROW_H = 20;
static const float TITLE_H = 32;
static const float CHOSEN_H = 260; /* that the chosen tensor's units would like to have */
static const double OCTAVES = 2;   /* of the colours, either way */
static const double FROM_NOTHING = 300; /* octaves that stand for a norm of 0 on one side */

/* How many times, in octaves; NaN where one is not finite or there is no ratio. */
static double octaves_of(float a, float b)
{
    if (!isfinite(a) || !isfinite(b)) {
        return (double)NAN;
    }
    if (!(fabsf(b - a) > 0)) {
        return 0;
    }
    if (!(fabsf(a) > 0) || !(fabsf(b) > 0)) {
        return fabsf(b) > fabsf(a) ? FROM_NOTHING : -FROM_NOTHING;
    }
    return log2(fabs((double)b) / fabs((double)a));
}

float compare_unit_color(float a, float b)
{
    double octaves = octaves_of(a, b);
    return isnan(octaves) ? NAN : (float)(fmax(fmin(octaves / OCTAVES, 1), -1));
}

static void draw_panel(struct frame *f, struct draw_rect rect, const char *title)
{
    draw_fill(f->list, rect, f->theme->panel);
    (void)frame_text(f, FONT_STRONG, THEME_SIZE_TEXT, f->theme->text, rect.x + 12,
        rect.y + 21, rect.w - 24, title);
}

static void draw_right(struct frame *f, enum font_role role, float right, float y,
    float max_w, draw_color color, const char *text)
{
    struct draw_style style = {.role = role,
        .size = THEME_SIZE_AXIS,
        .color = color,
        .align = DRAW_RIGHT,
        .max_w = max_w};
    (void)draw_string(f->list, right, y, &style, text);
}

/* Three columns: a name and two values. */
static void draw_three(struct frame *f, struct draw_rect row, const char *name,
    const char *a, const char *b, draw_color color)
{
    const float w = (row.w - 24) * 0.32F;
    float y = frame_middle(f, row, FONT_TEXT, THEME_SIZE_AXIS);
    (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->secondary, row.x + 12, y,
        row.w - 24 - 2 * w - 8, name);
    draw_right(f, FONT_MONO, row.x + row.w - 12 - w - 4, y, w - 8, color, a);
    draw_right(f, FONT_MONO, row.x + row.w - 12, y, w - 4, color, b);
    if (name[0] != '\0' && frame_is_over(f, row)) { /* all of it */
        frame_tip(f, f->view->mx, f->view->my);
        frame_tip_line(f, "%s", name);
        frame_tip_line(f, "A %s", a);
        frame_tip_line(f, "B %s", b);
    }
}

/* ---- settings ---- */

/* Gives the height taken. */
static float draw_settings(
    struct frame *f, struct draw_rect rect, const struct model_run *other, float most)
{
    static struct config_pair pairs[MAX_SETTINGS];
    char title[WORDS_MAX];
    size_t n_same = 0;
    size_t n =
        config_differences(f->run->config, other->config, pairs, MAX_SETTINGS, &n_same);
    bool has_none = n == 0 && n_same == 0;
    size_t n_room = (size_t)fmaxf((most - TITLE_H - 8) / ROW_H, 2);
    size_t n_rows = n < n_room ? n : n_room - 1;
    n_rows = n_rows < MAX_SETTINGS ? n_rows : MAX_SETTINGS;
    float h = TITLE_H + ROW_H * (float)(n_rows + (n_rows < n ? 1 : 0)) + 8;
    (void)snprintf(title, sizeof title,
        has_none ? "Settings: neither run told any"
        : n == 0 ? "Settings: all %zu are alike"
                 : "Settings: %zu differ",
        n == 0 ? n_same : n);
    draw_panel(f, (struct draw_rect){rect.x, rect.y, rect.w, h}, title);
    if (n > 0) {
        draw_three(f, (struct draw_rect){rect.x, rect.y + 6, rect.w, ROW_H}, "", "A", "B",
            f->theme->secondary);
    }
    for (size_t i = 0; i < n_rows; i++) {
        struct draw_rect row = {rect.x, rect.y + TITLE_H + ROW_H * (float)i, rect.w, ROW_H};
        draw_three(f, row, pairs[i].key, pairs[i].a[0] != '\0' ? pairs[i].a : "–",
            pairs[i].b[0] != '\0' ? pairs[i].b : "–", f->theme->text);
    }
    if (n_rows < n) {
        char more[64];
        (void)snprintf(more, sizeof more, "and %zu more", n - n_rows);
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->secondary, rect.x + 12,
            rect.y + TITLE_H + ROW_H * (float)n_rows + 14, rect.w - 24, more);
    }
    return h;
}

/* ---- scalars ---- */

static float draw_scalars(
    struct frame *f, struct draw_rect rect, const struct compare_rows *rows, float most)
{
    char text[2][FORMAT_MAX];
    size_t n_room = (size_t)fmaxf((most - TITLE_H - 8) / ROW_H, 2);
    size_t n = rows->n_scalars_shown;
    size_t n_rows = n < n_room - 1 ? n : n_room - 1;
    float h = TITLE_H + ROW_H * (float)(n_rows + 1) + 8;
    char title[64];
    (void)snprintf(title, sizeof title,
        n_rows < n ? "Scalars: the %zu most different" : "Scalars", n_rows);
    draw_panel(f, (struct draw_rect){rect.x, rect.y, rect.w, h}, title);
    draw_three(f, (struct draw_rect){rect.x, rect.y + TITLE_H, rect.w, ROW_H}, "", "A", "B",
        f->theme->secondary);
    for (size_t i = 0; i < n_rows; i++) {
        const struct compare_row *row = rows->scalars[i];
        char name[WORDS_MAX];
        struct draw_rect at = {
            rect.x, rect.y + TITLE_H + ROW_H * (float)(i + 1), rect.w, ROW_H};
        draw_three(f, at, words_thing(name, row->thing),
            format_value(text[0], row->pair->values[0][COMPARED_L2]),
            format_value(text[1], row->pair->values[1][COMPARED_L2]),
            isinf(row->weight) ? f->theme->alarm : f->theme->text);
    }
    return h;
}

/* ---- units ---- */

/* How the units of a tensor differ. */
struct unit_diff {
    size_t n_bins[N_BINS];
    size_t most, n; /* units in the fullest bin, and in all of them */
    size_t n_known; /* measured on both sides */
    size_t n_far, n_bad, n_to_zero, n_from_zero; /* by more than a tenth; not finite */
    double reach;                                /* octaves at the ends of the axis */
    size_t n_top;
    uint32_t top[MAX_TOP]; /* most different first */
};

static bool is_known(const struct model_compared_units *units, uint32_t unit)
{
    return !(units->values[0][unit] < 0) && !(units->values[1][unit] < 0);
}

static double far_of(const struct model_compared_units *units, uint32_t unit)
{
    double octaves = octaves_of(units->values[0][unit], units->values[1][unit]);
    return isnan(octaves) ? (double)INFINITY : fabs(octaves);
}

static void note_top(
    struct unit_diff *diff, const struct model_compared_units *units, uint32_t unit)
{
    double far = far_of(units, unit);
    size_t at = diff->n_top;
    if (!(far > 0) || (at == MAX_TOP && far <= far_of(units, diff->top[at - 1]))) {
        return;
    }
    at = at == MAX_TOP ? at - 1 : at;
    diff->n_top = at + 1;
    while (at > 0 && far_of(units, diff->top[at - 1]) < far) {
        diff->top[at] = diff->top[at - 1];
        at--;
    }
    diff->top[at] = unit;
}

/* A unit whose norm is 0 on one side only has no place among the ratios. */
static bool has_place(double octaves)
{
    return !isnan(octaves) && fabs(octaves) < FROM_NOTHING;
}

static struct unit_diff diff_of(const struct model_compared_units *units)
{
    struct unit_diff diff = {.reach = 0.02};
    for (uint32_t unit = 0; unit < units->n; unit++) {
        double octaves = octaves_of(units->values[0][unit], units->values[1][unit]);
        if (!is_known(units, unit)) {
            continue;
        }
        note_top(&diff, units, unit);
        diff.n_known++;
        diff.n_bad += isnan(octaves) ? 1 : 0;
        diff.n_far += fabs(octaves) > log2(1.1) ? 1 : 0;
        diff.n_to_zero += octaves <= -FROM_NOTHING ? 1 : 0;
        diff.n_from_zero += octaves >= FROM_NOTHING ? 1 : 0;
        if (has_place(octaves)) {
            diff.reach = fmax(diff.reach, fabs(octaves) * 1.02);
        }
    }
    for (uint32_t unit = 0; unit < units->n; unit++) {
        double octaves = octaves_of(units->values[0][unit], units->values[1][unit]);
        if (!is_known(units, unit) || !has_place(octaves)) {
            continue;
        }
        double place = (octaves / diff.reach + 1) / 2 * N_BINS;
        int bin = (int)fmin(fmax(floor(place), 0), N_BINS - 1);
        diff.n_bins[bin]++;
        diff.n++;
        diff.most = diff.n_bins[bin] > diff.most ? diff.n_bins[bin] : diff.most;
    }
    return diff;
}

/* "12 of 64 units differ by more than a tenth, 3 went to 0". */
static void say_units(const struct unit_diff *diff, char out[WORDS_MAX])
{
    char n[2][FORMAT_MAX];
    (void)snprintf(out, WORDS_MAX, "%s of %s units differ by more than a tenth",
        format_count(n[0], (int64_t)diff->n_far),
        format_count(n[1], (int64_t)diff->n_known));
    const struct {
        size_t n;
        const char *words;
    } more[] = {{diff->n_to_zero, "went to 0"}, {diff->n_from_zero, "came from 0"},
        {diff->n_bad, "not finite"}};
    for (size_t i = 0; i < BARO_LEN(more); i++) {
        size_t at = strlen(out);
        if (more[i].n > 0) {
            (void)snprintf(out + at, WORDS_MAX - at, ", %s %s",
                format_count(n[0], (int64_t)more[i].n), more[i].words);
        }
    }
}

/* Adds when units were measured, where that was not at the same step. */
static void say_unit_steps(const struct model_compared_units *units, char text[WORDS_MAX])
{
    char step[2][FORMAT_MAX];
    size_t at = strlen(text);
    (void)format_count(step[0], units->step[0]);
    (void)format_count(step[1], units->step[1]);
    if (units->step[0] == units->step[1]) {
        (void)snprintf(text + at, WORDS_MAX - at, " (step %s)", step[0]);
    } else {
        (void)snprintf(text + at, WORDS_MAX - at, " (%s, %s)", step[0], step[1]);
    }
}

static void say_times(char out[FORMAT_MAX], double octaves)
{
    double times = exp2(fabs(octaves));
    (void)snprintf(out, FORMAT_MAX,
        times < 1.1   ? "%s%.3f"
        : times < 10  ? "%s%.2f"
        : times < 1e4 ? "%s%.0f"
                      : "%s%.0e",
        octaves < 0 ? "÷" : "×", times);
}

/* How many units by how many times. */
static void draw_bars(struct frame *f, struct draw_rect at, const struct unit_diff *diff)
{
    char text[FORMAT_MAX];
    float w = at.w / N_BINS;
    float h = at.h - 20;
    for (int i = 0; i < N_BINS; i++) {
        float share = diff->most > 0 ? (float)diff->n_bins[i] / (float)diff->most : 0;
        float bar = diff->n_bins[i] > 0 ? fmaxf(share * h, 1.5F) : 0;
        double octaves = (((double)i + 0.5) / N_BINS * 2 - 1) * diff->reach;
        draw_fill(f->list,
            (struct draw_rect){at.x + w * (float)i, at.y + h - bar, w - 1, bar},
            theme_diff(f->theme, (float)fmax(fmin(octaves / OCTAVES * 2, 1), -1)));
    }
    draw_hair_h(f->list, at.x, at.y + h, at.w, 0, f->theme->hairline);
    struct draw_style style = {
        .role = FONT_MONO, .size = THEME_SIZE_AXIS, .color = f->theme->secondary};
    say_times(text, -diff->reach);
    (void)draw_string(f->list, at.x, at.y + at.h - 4, &style, text);
    style.align = DRAW_CENTER;
    (void)draw_string(f->list, at.x + at.w / 2, at.y + at.h - 4, &style, "equal");
    style.align = DRAW_RIGHT;
    say_times(text, diff->reach);
    (void)draw_string(f->list, at.x + at.w, at.y + at.h - 4, &style, text);
}

static void draw_top(struct frame *f, struct draw_rect at, const struct compare_row *chosen,
    const struct model_compared_units *units, const struct unit_diff *diff)
{
    for (size_t i = 0; i < diff->n_top && ROW_H * (float)(i + 1) <= at.h; i++) {
        struct draw_rect row = {at.x, at.y + ROW_H * (float)i, at.w, ROW_H};
        uint32_t unit = diff->top[i];
        char name[48];
        char text[3][FORMAT_MAX];
        double a = (double)units->values[0][unit];
        double b = (double)units->values[1][unit];
        float y = frame_middle(f, row, FONT_TEXT, THEME_SIZE_AXIS);
        if (frame_is_over(f, row)) {
            draw_fill(f->list, row, draw_fade(f->theme->raised, 0.5F));
        }
        (void)snprintf(name, sizeof name, "unit %s", format_count(text[0], unit));
        compare_say_ratio(text[2], a, b);
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->text, row.x + 12, y,
            row.w * 0.3F, name);
        draw_right(f, FONT_MONO, row.x + row.w * 0.55F, y, 0, f->theme->secondary,
            format_value(text[0], a));
        draw_right(f, FONT_MONO, row.x + row.w * 0.77F, y, 0, f->theme->secondary,
            format_value(text[1], b));
        draw_right(f, FONT_MONO, row.x + row.w - 12, y, 0,
            isfinite(a) && isfinite(b) ? f->theme->text : f->theme->alarm, text[2]);
        frame_zone(f, row, VIEW_SHOW_UNIT, unit, 1 + (int64_t)chosen->pair->thing[0]);
    }
}

/* The whole of the tensor on both sides, in a line. */
static void say_whole(const struct compare_row *row, char out[WORDS_MAX])
{
    char a[FORMAT_MAX];
    char b[FORMAT_MAX];
    char c[FORMAT_MAX];
    char d[FORMAT_MAX];
    const struct model_compared *pair = row->pair;
    (void)snprintf(out, WORDS_MAX, "mean %s → %s · largest %s → %s",
        format_value(a, pair->values[0][COMPARED_MEAN]),
        format_value(b, pair->values[1][COMPARED_MEAN]),
        format_value(c, pair->values[0][COMPARED_ABS_MAX]),
        format_value(d, pair->values[1][COMPARED_ABS_MAX]));
}

static void draw_chosen(struct frame *f, struct draw_rect rect,
    const struct model_compare *compare, const struct compare_row *chosen)
{
    char name[WORDS_MAX];
    char text[WORDS_MAX];
    (void)words_thing(name, chosen->thing);
    (void)snprintf(
        text, sizeof text, "%.200s  %s", name, baro_role_name(chosen->thing->role));
    draw_panel(f, rect, text);
    say_whole(chosen, text);
    (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->secondary, rect.x + 12,
        rect.y + 40, rect.w - 24, text);
    frame_zone(f, (struct draw_rect){rect.x, rect.y, rect.w, 28}, VIEW_PICK_THING,
        chosen->pair->thing[0], 0);
    const struct model_compared_units *units =
        compare_units_of(compare, chosen->pair->thing[0]);
    struct unit_diff diff = {0};
    if (chosen->pair->has_units && units != NULL) {
        diff = diff_of(units);
    }
    if (diff.n_known == 0) {
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->secondary, rect.x + 12,
            rect.y + 60, rect.w - 24,
            !chosen->pair->has_units ? "Its units are not measured, or are not as many."
            : units != NULL          ? "Its units were not measured up to this step."
                                     : frame_waiting(f, true));
        return;
    }
    say_units(&diff, text);
    say_unit_steps(units, text);
    (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->secondary, rect.x + 12,
        rect.y + 58, rect.w - 24, text);
    float rest = rect.h - 68;
    float top_h = fminf(ROW_H * (float)diff.n_top + 8, rest * 0.55F);
    float bars_h = diff.n > 0 ? rest - top_h : 0; /* no unit has a ratio: no axis */
    if (bars_h >= 60) {
        draw_bars(f, (struct draw_rect){rect.x + 12, rect.y + 68, rect.w - 24, bars_h - 8},
            &diff);
    }
    draw_top(f, (struct draw_rect){rect.x, rect.y + 68 + bars_h, rect.w, top_h}, chosen,
        units, &diff);
}

void compare_panels(struct frame *f, struct draw_rect rect,
    const struct model_compare *compare, const struct compare_rows *rows,
    const struct compare_row *chosen, const struct model_run *other)
{
    float y = rect.y;
    float scalars_h =
        fminf(TITLE_H + ROW_H * (float)(rows->n_scalars_shown + 1) + 8, rect.h * 0.32F);
    if (!compare->of.is_steps && other != NULL) {
        float rest = rect.h - CHOSEN_H - scalars_h - THEME_GAP;
        y += draw_settings(f, rect, other, fmaxf(rest, rect.h * 0.27F)) + THEME_GAP;
    }
    if (rows->n_scalars_shown > 0) {
        struct draw_rect at = {rect.x, y, rect.w, rect.h};
        y += draw_scalars(f, at, rows, scalars_h) + THEME_GAP;
    }
    float left = rect.y + rect.h - y;
    if (chosen != NULL && left >= 90) {
        draw_chosen(f, (struct draw_rect){rect.x, y, rect.w, left}, compare, chosen);
    }
}
