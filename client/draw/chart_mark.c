/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/draw/chart_inside.h"

/*
 * What is not a curve. Each device column with a NaN has a tick under the axis, each with an
 * infinity or a clipped extreme a bar along the edge; neighbouring ones share one arrow or
 * wedge, so that thousands of them stay legible and none is without a pixel.
 */

#define EVENT_ALPHA 0.6F
#define EVENT_APART 12.0F /* events closer than that on average are a crowd */
#define MARK_APART  9.0F  /* logical pixels between two arrow heads */

/* Take room for a text; false when it would leave the chart or touch another text. */
static bool claim(struct chart_pen *pen, struct draw_rect box)
{
    const struct draw_rect all = pen->rect;
    if (box.w <= 0 || box.x < all.x || box.x + box.w > all.x + all.w || box.y < all.y ||
        box.y + box.h > all.y + all.h + 2 || pen->n_texts == CHART_MAX_TEXTS) {
        return false;
    }
    for (size_t i = 0; i < pen->n_texts; i++) {
        const struct draw_rect other = pen->texts[i];
        if (box.x < other.x + other.w + 3 && other.x < box.x + box.w + 3 &&
            box.y < other.y + other.h && other.y < box.y + box.h) {
            return false;
        }
    }
    pen->texts[pen->n_texts++] = box;
    return true;
}

bool chart_place(struct chart_pen *pen, float x, float y, const struct draw_style *style,
    const char *text)
{
    if (!claim(pen, draw_string_box(pen->list, x, y, style, text))) {
        return false;
    }
    (void)draw_string(pen->list, x, y, style, text);
    return true;
}

/* How one kind of edge mark looks. */
struct edge_look {
    uint8_t edge;
    enum draw_mark_kind mark;
    float bar_y, bar_h; /* logical; the bar along the edge */
    float mark_y;       /* tip of the mark */
    float size;
    draw_color color;
};

/* Bars for runs of marked columns, and heads that keep their distance. */
static void draw_edge(struct chart_pen *pen, const struct edge_look *look)
{
    const struct chart_scale *scale = &pen->scale;
    float last_head = -1e9F;
    for (int i = 0; i < scale->n_px; i++) {
        if ((pen->edges[i] & look->edge) == 0) {
            continue;
        }
        int end = i;
        while (end < scale->n_px && (pen->edges[end] & look->edge) != 0) {
            end++;
        }
        float from = (float)(scale->x_px + i) / scale->scale;
        float to = (float)(scale->x_px + end) / scale->scale;
        draw_fill(pen->list, (struct draw_rect){from, look->bar_y, to - from, look->bar_h},
            look->color);
        float middle = to - from > 3 * MARK_APART ? from + look->size / 2 : (from + to) / 2;
        if (middle - last_head >= MARK_APART) {
            draw_mark(pen->list, look->mark, middle, look->mark_y, look->size, look->color);
            last_head = middle;
        }
        i = end;
    }
}

/* "3 above, up to 1.2 M", beside its arrow head. */
static void note_beyond(
    struct chart_pen *pen, const struct chart_beyond *beyond, bool is_above)
{
    const struct chart_scale *scale = &pen->scale;
    if (beyond->n == 0 || scale->plot.h < 5 * THEME_SIZE_AXIS || scale->plot.w < 120) {
        return; /* the arrow says it; words would lie on the data */
    }
    char count[FORMAT_MAX], extreme[FORMAT_MAX], text[2 * FORMAT_MAX + 16];
    (void)format_count(count, (int64_t)beyond->n);
    (void)format_value(extreme, beyond->extreme);
    (void)snprintf(text, sizeof text, is_above ? "%s above, to %s" : "%s below, to %s",
        count, extreme);
    float x = ((float)(scale->x_px + beyond->column) + 0.5F) / scale->scale;
    float y = is_above ? scale->plot.y + 12 : scale->plot.y + scale->plot.h - 6;
    struct draw_style style = {
        .role = FONT_TEXT, .size = THEME_SIZE_AXIS, .color = pen->theme->secondary};
    float w = font_width(draw_font(pen->list), style.role, style.size, text, strlen(text));
    bool fits_right = x + 8 + w <= scale->plot.x + scale->plot.w;
    style.align = fits_right ? DRAW_LEFT : DRAW_RIGHT;
    x += fits_right ? 8.0F : -8.0F;
    struct draw_rect box = draw_string_box(pen->list, x, y, &style, text);
    if (claim(pen, box)) {
        /* It lies on the data: a veil of the ground keeps it legible. */
        draw_fill_round(
            pen->list, draw_inset(box, -3, 0), 2, draw_fade(pen->theme->panel, 0.85F));
        (void)draw_string(pen->list, x, y, &style, text);
    }
}

void chart_draw_edges(struct chart_pen *pen)
{
    const struct draw_rect plot = pen->scale.plot;
    const float bottom = plot.y + plot.h;
    const draw_color alarm = pen->theme->alarm;
    const struct edge_look looks[] = {
        {EDGE_ABOVE, DRAW_MARK_UP, plot.y, 2, plot.y, 7, pen->theme->text},
        {EDGE_BELOW, DRAW_MARK_DOWN, bottom - 2, 2, bottom, 7, pen->theme->text},
        {EDGE_POS_INF, DRAW_MARK_UP, plot.y, 2, plot.y, 8, alarm},
        {EDGE_NEG_INF, DRAW_MARK_DOWN, bottom - 2, 2, bottom, 8, alarm},
        {EDGE_NAN, DRAW_MARK_NOTCH, bottom + 1, 3, bottom + 1, 6, alarm},
        {EDGE_BRANCH, DRAW_MARK_FORK, plot.y + 1, 1, plot.y + 6, 8, pen->theme->secondary},
    };
    for (size_t i = 0; i < sizeof looks / sizeof looks[0]; i++) {
        draw_edge(pen, &looks[i]);
    }
    if (!pen->chart->sparkline) {
        note_beyond(pen, &pen->above, true);
        note_beyond(pen, &pen->below, false);
    }
}

/* Whether there are so many events, or major ones, that their lines would hide the data. */
static bool is_crowded(const struct chart_pen *pen, bool of_major)
{
    const struct chart_scale *scale = &pen->scale;
    size_t n = 0;
    for (size_t i = 0; i < pen->chart->n_events; i++) {
        const struct chart_event *event = &pen->chart->events[i];
        bool is_seen = event->x >= scale->x.lo && event->x <= scale->x.hi;
        n += is_seen && (event->is_major || !of_major) ? 1 : 0;
    }
    return (float)n > fmaxf(scale->plot.w / EVENT_APART, 8);
}

void chart_draw_flag(struct draw_list *list, float x, float y, draw_color color)
{
    draw_fill(list, (struct draw_rect){x - 0.6F, y - 11, 1.2F, 11}, color);
    draw_fill(list, (struct draw_rect){x, y - 11, 7, 5}, color);
}

/* Each event is a line with its mark; of a crowd only the major ones go all the way down, of a
 * crowd of those the first; the others are ticks at the top. */
void chart_draw_events(struct chart_pen *pen)
{
    const struct chart_scale *scale = &pen->scale;
    bool is_crowd = is_crowded(pen, false);
    bool is_major_crowd = is_crowded(pen, true);
    bool has_major = false;
    float last_head = -1e9F;
    int last_column = -1;
    for (size_t i = 0; i < pen->chart->n_events; i++) {
        const struct chart_event *event = &pen->chart->events[i];
        if (!(event->x >= scale->x.lo && event->x <= scale->x.hi)) {
            continue;
        }
        int column = (int)chart_column_of(scale, event->x);
        float left = (float)(scale->x_px + column) / scale->scale;
        float middle = left + 0.5F / scale->scale;
        draw_color color = event->is_note ? pen->theme->accent
                                          : theme_health_color(pen->theme, event->level);
        float dash = event->level == THEME_NO_DATA ? 3 : 0;
        bool is_long = !is_crowd || (event->is_major && (!is_major_crowd || !has_major));
        has_major = has_major || event->is_major;
        if (column != last_column || is_long) {
            draw_hair_v(pen->list, left, scale->plot.y,
                is_long ? scale->plot.h : fminf(6, scale->plot.h), dash,
                draw_fade(color, EVENT_ALPHA));
        }
        if (event->is_note && !pen->chart->sparkline) {
            chart_draw_flag(pen->list, middle, scale->plot.y + 8, color);
        } else if (!pen->chart->sparkline && fabsf(middle - last_head) >= MARK_APART) {
            draw_mark(pen->list, theme_health_mark(event->level), middle,
                scale->plot.y - 3.5F, 6, color);
            last_head = middle;
        }
        last_column = column;
    }
}

/* A dot with a rim of the ground, so that it stands off its line. */
static void draw_reading(struct chart_pen *pen, struct draw_point at, draw_color color)
{
    draw_mark(pen->list, DRAW_MARK_DOT, at.x, at.y, 9, pen->theme->panel);
    draw_mark(pen->list, DRAW_MARK_DOT, at.x, at.y, 6, color);
}

/* Whether the cursor is in the plot; its device column there. */
static bool cursor_column(const struct chart_pen *pen, int *out_column)
{
    const struct chart_scale *scale = &pen->scale;
    double at = pen->chart->cursor;
    if (!(at >= scale->x.lo && at <= scale->x.hi)) {
        return false;
    }
    *out_column = (int)chart_column_of(scale, at);
    return true;
}

void chart_draw_cursor_label(struct chart_pen *pen)
{
    char text[FORMAT_MAX];
    int column = 0;
    const struct chart *chart = pen->chart;
    if (chart->no_x_labels || !cursor_column(pen, &column)) {
        return;
    }
    float x = ((float)(pen->scale.x_px + column) + 0.5F) / pen->scale.scale;
    switch (chart->x.unit) {
    case AXIS_STEP: (void)format_count(text, (int64_t)llround(chart->cursor)); break;
    case AXIS_CLOCK: (void)format_clock(text, (int64_t)(chart->cursor * 1e9), 1); break;
    case AXIS_ELAPSED:
        (void)format_duration(text, (int64_t)(fabs(chart->cursor) * 1e9));
        break;
    case AXIS_NUMBER: (void)format_value(text, chart->cursor); break;
    }
    struct draw_style style = {.role = FONT_MONO,
        .size = THEME_SIZE_AXIS,
        .color = pen->theme->text,
        .align = DRAW_CENTER};
    const float baseline = pen->scale.plot.y + pen->scale.plot.h + 17;
    const struct draw_rect rect = pen->rect;
    float half = draw_string_box(pen->list, x, baseline, &style, text).w / 2 + 4;
    x = x - half < rect.x ? rect.x + half : x;
    x = x + half > rect.x + rect.w ? rect.x + rect.w - half : x;
    if (half * 2 < rect.w) {
        draw_fill_round(pen->list,
            (struct draw_rect){x - half, baseline - 12, 2 * half, 16}, 2,
            pen->theme->raised);
        (void)chart_place(pen, x, baseline, &style, text);
    }
}

void chart_draw_cursor(struct chart_pen *pen)
{
    const struct chart_scale *scale = &pen->scale;
    const struct chart *chart = pen->chart;
    int column = 0;
    if (!cursor_column(pen, &column)) {
        return;
    }
    float x = (float)(scale->x_px + column) / scale->scale;
    draw_hair_v(pen->list, x, scale->plot.y, scale->plot.h, 0,
        draw_fade(pen->theme->accent, 0.75F));
    const struct chart_layout layout = {pen->rect, scale->plot, scale->x, scale->y};
    for (size_t i = 0; i < chart->n_lines && chart->n_lines <= THEME_N_SERIES; i++) {
        struct chart_hit hit;
        if (chart->lines[i].weight != CHART_FAINT &&
            chart_read(chart, &layout, i, chart->cursor, &hit) && isfinite(hit.value) &&
            hit.at.y >= scale->plot.y && hit.at.y <= scale->plot.y + scale->plot.h) {
            draw_reading(pen, hit.at, chart->lines[i].color);
        }
    }
}
