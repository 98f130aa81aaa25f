/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "client/draw/chart_inside.h"

/*
 * From readings to commands. At most one reading a device column: a polyline through the
 * readings. More: min/max columns (chart_dense.c).
 *
 * A line breaks at every reading that is not finite and at every gap. A reading that is left
 * alone by breaks becomes a dot, else it would have no pixel.
 */

/* Logical pixels from dash to dash, and the part of them that is drawn. */
#define DASH_PERIOD 9.0F
#define DASH_PART   0.6F

void chart_scale_init(struct chart_scale *scale)
{
    double from = axis_transform(&scale->x, scale->x.lo);
    double to = axis_transform(&scale->x, scale->x.hi);
    scale->x_from = from;
    scale->x_by = (scale->n_px - 1) / (to - from);
    from = axis_transform(&scale->y, scale->y.lo);
    to = axis_transform(&scale->y, scale->y.hi);
    scale->y_from = from;
    scale->y_by = (double)scale->plot.h / (to - from);
}

double chart_column_of(const struct chart_scale *scale, double x)
{
    return (axis_transform(&scale->x, x) - scale->x_from) * scale->x_by + 0.5;
}

float chart_row_of(const struct chart_scale *scale, double value)
{
    double up = (axis_transform(&scale->y, value) - scale->y_from) * scale->y_by;
    double most = 50 * (double)scale->plot.h;
    up = up > most ? most : up < -most ? -most : up;
    return scale->plot.y + scale->plot.h - (float)up;
}

size_t chart_first_point(const struct chart_line *line, double x)
{
    size_t lo = 0, hi = line->n_points;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (line->points[mid].x < x) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

size_t chart_first_column(const struct chart_line *line, double x)
{
    size_t lo = 0, hi = line->n_columns;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (line->columns[mid].to < x) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

size_t chart_line_find(const struct chart_line *line, double x)
{
    return line->points != NULL ? chart_first_point(line, x) : chart_first_column(line, x);
}

int chart_column_in(const struct chart_scale *scale, double x)
{
    double at = chart_column_of(scale, x);
    int column = at < 0 ? 0 : (int)at;
    return column >= scale->n_px ? scale->n_px - 1 : column;
}

uint8_t chart_edge_of(double value)
{
    return isnan(value) ? EDGE_NAN : value > 0 ? EDGE_POS_INF : EDGE_NEG_INF;
}

void chart_note_beyond(
    struct chart_noted *noted, const struct axis *y, int column, double lo, double hi)
{
    if (hi > y->hi) {
        noted->edges[column] |= EDGE_ABOVE;
        if (noted->above.n++ == 0 || hi > noted->above.extreme) {
            noted->above.extreme = hi;
            noted->above.column = column;
        }
    }
    if (lo < y->lo) {
        noted->edges[column] |= EDGE_BELOW;
        if (noted->below.n++ == 0 || lo < noted->below.extreme) {
            noted->below.extreme = lo;
            noted->below.column = column;
        }
    }
}

void chart_note_flags(uint8_t *edges, const struct chart_column *c, int a, int b)
{
    uint8_t edge = 0;
    edge |= c->flags & CHART_NAN ? EDGE_NAN : 0;
    edge |= c->flags & CHART_POS_INF ? EDGE_POS_INF : 0;
    edge |= c->flags & CHART_NEG_INF ? EDGE_NEG_INF : 0;
    if (c->n_nonfinite > 0 && edge == 0) {
        edge = EDGE_NAN;
    }
    for (int column = a; column <= b && edge != 0; column++) {
        edges[column] |= edge;
    }
    if (c->flags & CHART_BRANCH) {
        edges[a] |= EDGE_BRANCH;
    }
}

float chart_pen_width(const struct chart_line *line, bool is_hovered)
{
    return is_hovered || line->weight == CHART_SELECTED ? THEME_LINE_SELECTED : THEME_LINE;
}

draw_color chart_pen_color(const struct chart_line *line, bool is_hovered)
{
    return line->weight == CHART_FAINT && !is_hovered ? draw_fade(line->color, 0.35F)
                                                      : line->color;
}

/* Where a line from a to b is at a pixel column. */
static struct draw_point point_at(struct draw_point a, struct draw_point b, float x)
{
    float t = b.x > a.x ? (x - a.x) / (b.x - a.x) : 0;
    return (struct draw_point){x, a.y + (b.y - a.y) * t};
}

/* A line of dashes: as long in x, wherever it begins, so that they do not move with the data. */
static void draw_dashes(struct draw_list *list, const struct draw_point *points, size_t n,
    float width, draw_color color)
{
    struct draw_point *dash = draw_scratch(list, (n + 2) * sizeof *dash);
    size_t n_dash = 0;
    for (size_t i = 0; dash != NULL && i + 1 < n; i++) {
        struct draw_point from = points[i];
        while (from.x < points[i + 1].x) {
            float place = from.x / DASH_PERIOD - floorf(from.x / DASH_PERIOD);
            bool is_on = place < DASH_PART - 1e-4F;
            float left = (is_on ? DASH_PART : 1) - place;
            float to = fminf(from.x + fmaxf(left, 1e-3F) * DASH_PERIOD, points[i + 1].x);
            struct draw_point end = point_at(points[i], points[i + 1], to);
            if (is_on && n_dash == 0) {
                dash[n_dash++] = from;
            }
            if (is_on) {
                dash[n_dash++] = end;
            }
            bool is_last = !is_on || left * DASH_PERIOD <= to - from.x + 1e-3F;
            if (is_last && n_dash > 1) {
                draw_polyline(list, dash, n_dash, width, color);
            }
            n_dash = is_last ? 0 : n_dash;
            from = end;
        }
    }
    if (n_dash > 1) {
        draw_polyline(list, dash, n_dash, width, color);
    }
}

void chart_stroke(struct chart_pen *pen, const struct chart_line *line,
    const struct draw_point *points, size_t n, bool is_hovered)
{
    float width = chart_pen_width(line, is_hovered);
    draw_color color = chart_pen_color(line, is_hovered);
    if (line->is_dashed) {
        draw_dashes(pen->list, points, n, width, color);
    } else {
        draw_polyline(pen->list, points, n, width, color);
    }
}

/* Draw the points collected since the last break; one alone becomes a dot. */
static void draw_run(struct chart_pen *pen, const struct chart_line *line,
    const struct draw_point *points, size_t n, bool hovered)
{
    if (n == 1) {
        draw_mark(pen->list, DRAW_MARK_DOT, points[0].x, points[0].y,
            2 * chart_pen_width(line, hovered), chart_pen_color(line, hovered));
    } else if (n > 1) {
        chart_stroke(pen, line, points, n, hovered);
    }
}

double chart_nonfinite(uint32_t flags)
{
    if (flags & CHART_POS_INF) {
        return (double)INFINITY;
    }
    return flags & CHART_NEG_INF ? (double)-INFINITY : (double)NAN;
}

/* One reading of a sparse line, a point or a column that holds a single one. */
static struct chart_point sparse_reading(
    const struct chart_line *line, size_t i, uint32_t *out_flags)
{
    *out_flags = 0;
    if (line->points != NULL) {
        return line->points[i];
    }
    const struct chart_column *c = &line->columns[i];
    *out_flags = c->flags;
    if (c->count > c->n_nonfinite) {
        return (struct chart_point){c->from, c->mean};
    }
    double y = chart_nonfinite(c->flags);
    return (struct chart_point){c->from, y};
}

/* Note a finite value that may lie outside the y range. */
static void note_beyond(
    struct chart_pen *pen, const struct chart_line *line, int column, double value)
{
    struct chart_noted noted = {pen->edges, pen->above, pen->below};
    bool is_highest = pen->above.n == 0 || value > pen->above.extreme;
    bool is_lowest = pen->below.n == 0 || value < pen->below.extreme;
    chart_note_beyond(&noted, &pen->scale.y, column, value, value);
    noted.above.color = is_highest ? line->color : noted.above.color;
    noted.below.color = is_lowest ? line->color : noted.below.color;
    pen->above = noted.above;
    pen->below = noted.below;
}

/* Note a sparse reading's marks; readings just outside the plot have none. */
static void note_sparse(
    struct chart_pen *pen, const struct chart_line *line, size_t i, struct chart_point p)
{
    const struct chart_scale *scale = &pen->scale;
    if (p.x < scale->x.lo || p.x > scale->x.hi) {
        return;
    }
    int column = chart_column_in(scale, p.x);
    if (line->points == NULL) {
        chart_note_flags(pen->edges, &line->columns[i], column, column);
    } else if (!isfinite(p.y)) {
        pen->edges[column] |= chart_edge_of(p.y);
    }
    if (isfinite(p.y)) {
        note_beyond(pen, line, column, p.y);
    }
}

/* Readings from to to (and one beyond at either end, to lead the line off the plot). */
static void draw_sparse(struct chart_pen *pen, const struct chart_line *line, size_t from,
    size_t to, bool hovered)
{
    const struct chart_scale *scale = &pen->scale;
    struct draw_point *run = draw_scratch(pen->list, (to - from + 1) * sizeof *run);
    size_t n = 0;
    double last_x = 0;
    double distance = 0; /* between the last two */
    bool has_last = false;
    for (size_t i = from; i < to && run != NULL; i++) {
        uint32_t flags = 0;
        struct chart_point p = sparse_reading(line, i, &flags);
        note_sparse(pen, line, i, p);
        bool breaks = !isfinite(p.y) ||
                      (n > 0 && chart_is_hole(line->gap, distance, p.x - last_x)) ||
                      (flags & (CHART_GAP | CHART_BRANCH)) != 0;
        if (breaks) {
            draw_run(pen, line, run, n, hovered);
            n = 0;
        }
        if (isfinite(p.y)) {
            double column = chart_column_of(scale, p.x);
            column = column < -1e5 ? -1e5 : column > 1e5 ? 1e5 : column;
            run[n++] = (struct draw_point){
                (float)(scale->x_px + column) / scale->scale, chart_row_of(scale, p.y)};
            distance = has_last ? p.x - last_x : 0;
            last_x = p.x;
            has_last = true;
        }
    }
    draw_run(pen, line, run, n, hovered);
}

/* Whether a line has more than one reading in a column, on average or in any of its own. */
static bool is_dense(
    const struct chart_scale *scale, const struct chart_line *line, size_t from, size_t to)
{
    if (to - from > (size_t)scale->n_px) {
        return true;
    }
    for (size_t i = from; i < to && line->points == NULL; i++) {
        if (line->columns[i].count > 1) {
            return true;
        }
    }
    return false;
}

void chart_draw_line(struct chart_pen *pen, const struct chart_line *line, bool is_hovered)
{
    const struct chart_scale *scale = &pen->scale;
    const bool has_points = line->points != NULL;
    size_t n = has_points ? line->n_points : line->n_columns;
    size_t from = has_points ? chart_first_point(line, scale->x.lo)
                             : chart_first_column(line, scale->x.lo);
    const double past = nextafter(scale->x.hi, (double)INFINITY);
    size_t to = has_points ? chart_first_point(line, past) : chart_first_column(line, past);
    to += !has_points && to < n && line->columns[to].from <= scale->x.hi;
    if (!is_dense(scale, line, from, to)) {
        draw_sparse(pen, line, from > 0 ? from - 1 : 0, to < n ? to + 1 : n, is_hovered);
        return;
    }
    chart_draw_dense(pen, line, from, to, is_hovered);
}
