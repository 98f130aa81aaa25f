/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/view/unit_order.h"
#include "client/view/units.h"
#include "client/view/words.h"

/*
 * Beside the chart of units. Without a chosen unit: those that are shown, marked ones first, then
 * odd ones. With one: its statistics, why it is shown or who stands for it, and the units like
 * it, each a click away.
 */

static const float ROW_H = 20;
static const float HEAD_H = 30;

/* ---- rows ---- */

/* One unit in a list. */
struct row {
    uint32_t unit;
    draw_color color;
    bool is_marked;
    const char *word; /* "outlier"; NULL: none */
    float value;      /* NaN: not known */
};

static void draw_row(struct frame *f, struct draw_rect at, const struct row *row)
{
    char text[FORMAT_MAX];
    float y = frame_middle(f, at, FONT_TEXT, THEME_SIZE_TEXT);
    bool is_over = frame_is_over(f, at);
    if (is_over || (int64_t)row->unit == f->view->unit_hover) {
        draw_fill(f->list, at, f->theme->raised);
    }
    draw_fill(
        f->list, (struct draw_rect){at.x + 2, at.y + at.h / 2 - 1, 10, 2}, row->color);
    if (row->is_marked) {
        draw_fill(
            f->list, (struct draw_rect){at.x - 4, at.y + 3, 3, at.h - 6}, f->theme->accent);
    }
    struct draw_style style = {.role = FONT_MONO,
        .size = THEME_SIZE_AXIS,
        .color = f->theme->secondary,
        .align = DRAW_RIGHT};
    float right = at.x + at.w - 8;
    if (!isnan(row->value)) {
        right =
            draw_string(f->list, right, y, &style, format_value(text, (double)row->value))
                .x -
            8;
    }
    (void)snprintf(text, sizeof text, "unit %u", row->unit);
    if (font_width(draw_font(f->list), FONT_TEXT, THEME_SIZE_TEXT, text, strlen(text)) >
        right - at.x - 20) {
        (void)snprintf(text, sizeof text, "%u", row->unit);
    }
    struct draw_rect box = frame_text(f, FONT_TEXT, THEME_SIZE_TEXT,
        row->is_marked ? f->theme->accent : f->theme->text, at.x + 20, y,
        fmaxf(right - at.x - 20, 10), text);
    float room = right - box.x - box.w - 8;
    if (row->word != NULL && room > 30) {
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->secondary,
            box.x + box.w + 8, y, room, row->word);
    }
    frame_zone(f, at, VIEW_SHOW_UNIT, row->unit, 0);
}

/* The value of a unit at the cursor, else its last; NaN: not known. */
static float value_of(const struct frame *f, const struct units *units, uint32_t unit)
{
    const struct model_units *rows = units->sheet;
    size_t row = unit;
    uint32_t place = model_sample_place(units->sample, unit);
    if (units->sample != NULL && place < units->sample->n_shown) {
        rows = &units->sample->lines;
        row = place;
    }
    if (rows == NULL || rows->n == 0) {
        return NAN;
    }
    bool has_cursor = !isnan(f->view->cursor);
    size_t column = has_cursor ? units_column(rows, f->view->cursor) : rows->n - 1;
    while (!has_cursor && column > 0 && isnan(rows->mean[row * rows->n + column])) {
        column--;
    }
    return rows->mean[row * rows->n + column];
}

/* A list in a rectangle, scrolled; fills row number i. */
typedef void (*row_fn)(const struct frame *f, const struct units *units,
    const uint32_t *units_of_rows, size_t i, struct row *out);

static void draw_list(struct frame *f, struct draw_rect rect, const struct units *units,
    const uint32_t *of, size_t n, row_fn fill)
{
    float content = ROW_H * (float)n;
    float scroll = frame_scroll(f, VIEW_SCROLL_UNITS, content, rect.h);
    struct draw_rect within = f->within;
    frame_zone(f, rect, VIEW_SCROLL, VIEW_SCROLL_UNITS, 0);
    draw_clip(f->list, rect);
    f->within = frame_within(f, rect);
    size_t first = (size_t)(scroll / ROW_H);
    for (size_t i = first; i < n && ROW_H * (float)i - scroll < rect.h; i++) {
        struct row row = {0};
        fill(f, units, of, i, &row);
        struct draw_rect at = {
            rect.x + 6, rect.y + ROW_H * (float)i - scroll, rect.w - 10, ROW_H};
        if (at.y + at.h <= rect.y + rect.h + ROW_H / 2) {
            draw_row(f, at, &row);
        }
    }
    f->within = within;
    draw_unclip(f->list);
    frame_scroll_bar(f, rect, content, scroll);
}

/* ---- the shown ones ---- */

/* Order of a place in the list: small comes first. */
struct rank {
    uint32_t place;
    int turn;
    float more; /* within a turn, larger comes first */
};

static int compare_ranks(const void *a, const void *b)
{
    const struct rank *ra = a;
    const struct rank *rb = b;
    if (ra->turn != rb->turn) {
        return ra->turn - rb->turn;
    }
    if (ra->more > rb->more || ra->more < rb->more) {
        return ra->more > rb->more ? -1 : 1;
    }
    return (ra->place > rb->place) - (ra->place < rb->place);
}

static int turn_of(const struct units *units, uint32_t place)
{
    bool is_marked =
        units->marks != NULL && marks_has(units->marks, units->sample->shown[place]);
    int turn = 9;
    switch ((int)units->sample->reasons[place]) {
    case SAMPLE_NONFINITE: turn = 1; break;
    case SAMPLE_LEAP:
    case SAMPLE_OUTLIER:
    case SAMPLE_ENVELOPE: turn = 2; break;
    default: break;
    }
    return is_marked ? turn - 10 : turn;
}

static void fill_shown(const struct frame *f, const struct units *units,
    const uint32_t *places, size_t i, struct row *out)
{
    const struct model_sample *sample = units->sample;
    uint32_t place = places[i];
    uint32_t unit = sample->shown[place];
    enum sample_reason reason = (enum sample_reason)sample->reasons[place];
    bool is_typical = reason == SAMPLE_BLUE_NOISE || reason == SAMPLE_NOT_SHOWN;
    *out = (struct row){.unit = unit,
        .color = reason == SAMPLE_NONFINITE    ? f->theme->alarm
                 : units_is_far(sample, place) ? units_color(f, SAMPLE_OUTLIER)
                                               : units_color(f, SAMPLE_BLUE_NOISE),
        .is_marked = units->marks != NULL && marks_has(units->marks, unit),
        .word = is_typical ? NULL : units_why(units, place),
        .value = value_of(f, units, unit)};
}

static void draw_shown(struct frame *f, struct draw_rect rect, const struct units *units)
{
    const struct model_sample *sample = units->sample;
    struct draw_rect box = frame_text(f, FONT_STRONG, THEME_SIZE_TEXT, f->theme->text,
        rect.x + 12, rect.y + 22, rect.w - 24, "units shown");
    struct draw_style style = {
        .size = THEME_SIZE_AXIS, .color = f->theme->secondary, .align = DRAW_RIGHT};
    const char *order = units->marks != NULL ? "marked first" : "odd ones first";
    float right = rect.x + rect.w - 12;
    if (draw_string_box(f->list, right, 0, &style, order).x > box.x + box.w + 8) {
        (void)draw_string(f->list, right, rect.y + 22, &style, order);
    }
    if (sample == NULL) {
        return;
    }
    struct rank *ranks = draw_scratch(f->list, sample->n_shown * sizeof *ranks + 1);
    uint32_t *places = draw_scratch(f->list, sample->n_shown * sizeof *places + 1);
    if (ranks == NULL || places == NULL) {
        return;
    }
    for (uint32_t i = 0; i < sample->n_shown; i++) {
        int turn = turn_of(units, i);
        bool is_typical = turn == 9 || turn == -1;
        float members = sample->is_assigned ? (float)sample->n_members[i] : 0;
        ranks[i] = (struct rank){i, turn, is_typical ? members : sample->apart[i]};
    }
    qsort(ranks, sample->n_shown, sizeof *ranks, compare_ranks);
    for (uint32_t i = 0; i < sample->n_shown; i++) {
        places[i] = ranks[i].place;
    }
    draw_list(f, (struct draw_rect){rect.x, rect.y + HEAD_H, rect.w, rect.h - HEAD_H - 4},
        units, places, sample->n_shown, fill_shown);
}

/* ---- the chosen one ---- */

/* The reading at the cursor, else the last; NULL: none. */
static const struct wire_column *reading_of(
    const struct view *view, const struct model_series *series)
{
    const struct wire_column *found = NULL;
    for (size_t i = 0; series != NULL && i < series->n; i++) {
        bool is_beyond = !isnan(view->cursor) &&
                         (double)model_column(series, i)->first_step > view->cursor;
        if (is_beyond && found != NULL) {
            break;
        }
        found = model_column(series, i);
    }
    return found;
}

/* All statistics of the unit, in two columns; gives where they end. */
static float draw_figures(
    struct frame *f, struct draw_rect rect, const struct units *units, uint32_t unit)
{
    static const char *const words[] = {
        "mean", "l2 norm", "largest", "zeros", "non-finite", "change"};
    int n = reading_unit_stats(units->thing->role);
    float w = (rect.w - 12) / 2;
    for (int i = 0; i < n; i++) {
        struct model_ref ref = {units->thing->thing, READING_UNITS, (uint16_t)i, unit};
        const struct wire_column *reading =
            reading_of(f->view, frame_series(f, ref, false));
        float x = rect.x + (w + 12) * (float)(i % 2);
        float y = rect.y + 14 + 18 * (float)(i / 2);
        char value[FORMAT_MAX] = "";
        if (reading != NULL && i == (int)UNIT_FRAC_ZERO) {
            (void)snprintf(value, sizeof value, "%.3g %%", reading->mean * 100);
        } else if (reading != NULL) {
            (void)format_value(value, reading->mean);
        }
        struct draw_style style = {.role = FONT_MONO,
            .size = THEME_SIZE_AXIS,
            .color = f->theme->text,
            .align = DRAW_RIGHT};
        struct draw_rect box = draw_string(f->list, x + w, y, &style, value);
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->secondary, x, y,
            fmaxf(box.x - x - 6, 10), words[i]);
    }
    return rect.y + 18 * (float)((n + 1) / 2) + 4;
}

static void fill_member(const struct frame *f, const struct units *units,
    const uint32_t *members, size_t i, struct row *out)
{
    uint32_t unit = members[i];
    uint32_t place = model_sample_place(units->sample, unit);
    bool is_shown = place < units->sample->n_shown;
    *out = (struct row){.unit = unit,
        .color = is_shown
                     ? units_color(f, (enum sample_reason)units->sample->reasons[place])
                     : draw_fade(f->theme->accent, 0.4F),
        .is_marked = units->marks != NULL && marks_has(units->marks, unit),
        .word = is_shown ? "stands for them" : NULL,
        .value = value_of(f, units, unit)};
}

/* Those like a unit: the line that stands for it first, then the others that it stands for. */
static size_t gather_members(
    struct frame *f, const struct model_sample *sample, uint32_t unit, uint32_t **out)
{
    enum { MOST = 4096 };
    uint32_t place = sample->is_assigned ? units_stands_for(sample, unit) : sample->n_shown;
    uint32_t *members = draw_scratch(f->list, MOST * sizeof *members);
    size_t n = 0;
    *out = members;
    if (place >= sample->n_shown || members == NULL) {
        return 0;
    }
    if (sample->shown[place] != unit) {
        members[n++] = sample->shown[place];
    }
    for (uint32_t other = 0; other < sample->n_units && n < MOST; other++) {
        if (sample->nearest[other] == place && other != unit &&
            other != sample->shown[place]) {
            members[n++] = other;
        }
    }
    return n;
}

/* Its name, the word that shows it alone, and the way back. */
static void draw_head(struct frame *f, struct draw_rect rect, uint32_t unit)
{
    char text[32];
    float y = rect.y + 22;
    struct draw_rect cross = {rect.x + rect.w - 30, rect.y + 6, 24, 24};
    draw_mark(f->list, DRAW_MARK_CROSS, cross.x + 12, cross.y + 11, 8,
        frame_is_over(f, cross) ? f->theme->text : f->theme->secondary);
    frame_zone(f, cross, VIEW_PICK_UNIT, unit, 0);
    struct draw_style style = {.size = THEME_SIZE_AXIS,
        .color = f->view->is_alone ? f->theme->text : f->theme->accent,
        .align = DRAW_RIGHT};
    struct draw_rect box = draw_string(f->list, cross.x - 4, y, &style,
        f->view->is_alone ? "d: all units" : "d: its line alone");
    frame_zone(f, (struct draw_rect){box.x - 4, rect.y + 4, box.w + 8, 26},
        VIEW_TOGGLE_ALONE, 0, 0);
    (void)snprintf(text, sizeof text, "unit %u", unit);
    (void)frame_text(f, FONT_STRONG, THEME_SIZE_TEXT, f->theme->accent, rect.x + 12, y,
        fmaxf(box.x - rect.x - 20, 10), text);
}

static void fill_near(const struct frame *f, const struct units *units,
    const uint32_t *nearest, size_t i, struct row *out)
{
    uint32_t unit = nearest[i];
    const struct model_sample *sample = units->sample;
    uint32_t place = model_sample_place(sample, unit);
    bool is_shown = sample != NULL && place < sample->n_shown;
    bool stands = is_shown && sample->is_assigned &&
                  units_stands_for(sample, (uint32_t)f->view->unit) == place;
    *out = (struct row){.unit = unit,
        .color = is_shown ? units_color(f, (enum sample_reason)sample->reasons[place])
                          : draw_fade(f->theme->accent, 0.4F),
        .is_marked = units->marks != NULL && marks_has(units->marks, unit),
        .word = stands ? "stands for them" : NULL,
        .value = value_of(f, units, unit)};
}

/* The units whose histories are nearest to its own; false: not all units are there. */
static bool draw_nearest(
    struct frame *f, struct draw_rect rect, const struct units *units, uint32_t unit)
{
    enum { MOST = 24 };
    struct seriate_near near[MOST];
    uint32_t *nearest = draw_scratch(f->list, MOST * sizeof *nearest);
    size_t n = unit_order_nearest(f, units, unit, MOST, near);
    if (n == 0 || nearest == NULL) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        nearest[i] = near[i].row;
    }
    char text[96];
    double percent = (double)near[n - 1].distance * 100;
    (void)snprintf(text, sizeof text, "nearest, within %.*f %% of the scale",
        percent < 1    ? 2
        : percent < 10 ? 1
                       : 0,
        percent);
    (void)frame_text(f, FONT_STRONG, THEME_SIZE_AXIS, f->theme->text, rect.x + 12, rect.y,
        rect.w - 24, text);
    draw_list(f, (struct draw_rect){rect.x, rect.y + 6, rect.w, rect.h - 10}, units,
        nearest, n, fill_near);
    return true;
}

static void draw_chosen(
    struct frame *f, struct draw_rect rect, const struct units *units, uint32_t unit)
{
    const struct model_sample *sample = units->sample;
    struct draw_rect inner = {rect.x + 12, rect.y + HEAD_H, rect.w - 24, 0};
    draw_head(f, rect, unit);
    float y = draw_figures(f, inner, units, unit) + 14;
    if (sample == NULL) {
        return;
    }
    uint32_t place = model_sample_place(sample, unit);
    (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->secondary, inner.x, y,
        inner.w,
        place < sample->n_shown ? units_why_sentence(units, place)
                                : "not drawn by the daemon's choice");
    y += 20;
    uint32_t *members = NULL;
    size_t n = gather_members(f, sample, unit, &members);
    char text[96];
    char count[FORMAT_MAX];
    (void)snprintf(text, sizeof text,
        n == 0   ? "no unit is like it%s"
        : n == 1 ? "%s unit is like it"
                 : "%s units are like it",
        n > 0 ? format_count(count, (int64_t)n) : "");
    (void)frame_text(
        f, FONT_STRONG, THEME_SIZE_AXIS, f->theme->text, inner.x, y, inner.w, text);
    struct draw_rect rest = {rect.x, y + 6, rect.w, rect.y + rect.h - y - 10};
    struct draw_rect nearest = {rect.x, y + 18, rect.w, rect.y + rect.h - y - 18};
    if (!draw_nearest(f, nearest, units, unit)) {
        draw_list(f, rest, units, members, n, fill_member);
    }
}

void unit_panel_draw(
    struct frame *f, struct draw_rect rect, const struct model_thing *thing)
{
    struct units units = units_get(f, thing);
    int64_t unit = f->view->unit;
    draw_fill(f->list, rect, f->theme->panel);
    if (unit >= 0 && unit < (int64_t)thing->n_units) {
        draw_chosen(f, rect, &units, (uint32_t)unit);
    } else {
        draw_shown(f, rect, &units);
    }
}
