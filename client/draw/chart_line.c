/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "client/draw/chart_inside.h"

/*
 * From readings to commands. At most one reading a device column: a polyline through the
 * readings. More: min/max columns. A column covers the rows from its least to its greatest
 * reading, and where lines to its neighbours cross it, the rows of those lines: so a dense line
 * is the exact union of pixels that the true line would touch, to half a pen.
 *
 * A line breaks at every reading that is not finite and at every gap. A reading that is left
 * alone by breaks becomes a dot, else it would have no pixel.
 */

/* Opacity of min/max columns under the line of their means. */
#define BAND_ALPHA 0.55F
#define SOFT_ALPHA 0.32F

/* Logical pixels from dash to dash, and the part of them that is drawn. */
#define DASH_PERIOD 9.0F
#define DASH_PART   0.6F

/* Readings of one device column. */
struct cell {
    double lo, hi, first, last; /* first and last may be NaN: not known */
    double sum;                 /* for the mean: weighted by n */
    double n;
    bool has;
    bool joined; /* to the readings before it */
};

/* Walks over readings in order, from cell to cell. */
struct reduction {
    struct chart_pen *pen;
    const struct chart_line *line;
    struct cell *cells;   /* n_px */
    double last_x;        /* of the reading before; valid with has_last */
    double last_distance; /* from the one before that; 0: there is none */
    bool has_last;
    bool broken; /* what comes next is not joined to what came */
};

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

/* The device column of an x inside the plot, kept inside. */
static int column_in(const struct chart_scale *scale, double x)
{
    double at = chart_column_of(scale, x);
    int column = at < 0 ? 0 : (int)at;
    return column >= scale->n_px ? scale->n_px - 1 : column;
}

uint8_t chart_edge_of(double value)
{
    return isnan(value) ? EDGE_NAN : value > 0 ? EDGE_POS_INF : EDGE_NEG_INF;
}

/* Note a finite value that lies outside the y range. */
static void note_beyond(
    struct chart_pen *pen, const struct chart_line *line, int column, double lo, double hi)
{
    const struct axis *y = &pen->scale.y;
    if (hi > y->hi) {
        pen->edges[column] |= EDGE_ABOVE;
        if (pen->above.n++ == 0 || hi > pen->above.extreme) {
            pen->above.extreme = hi;
            pen->above.column = column;
            pen->above.color = line->color;
        }
    }
    if (lo < y->lo) {
        pen->edges[column] |= EDGE_BELOW;
        if (pen->below.n++ == 0 || lo < pen->below.extreme) {
            pen->below.extreme = lo;
            pen->below.column = column;
            pen->below.color = line->color;
        }
    }
}

/* Add the finite readings of one point or column to a cell. */
static void add_to_cell(struct reduction *r, int column, const struct chart_column *c)
{
    struct cell *cell = &r->cells[column];
    double n = (double)(c->count - c->n_nonfinite);
    if (!cell->has) {
        *cell = (struct cell){.lo = c->min,
            .hi = c->max,
            .first = c->first,
            .has = true,
            .joined = !r->broken &&
                      !chart_is_hole(r->line->gap, r->last_distance, c->from - r->last_x)};
    } else {
        cell->lo = c->min < cell->lo ? c->min : cell->lo;
        cell->hi = c->max > cell->hi ? c->max : cell->hi;
    }
    cell->last = c->last;
    cell->sum += c->mean * n;
    cell->n += n;
    r->last_distance = r->has_last ? c->from - r->last_x : 0;
    r->last_x = c->to;
    r->has_last = true;
    r->broken = false;
}

/* One reading in a cell of its own, or after a break. */
static void start_cell(struct reduction *r, int column, struct chart_point p)
{
    const struct chart_column one = {.from = p.x,
        .to = p.x,
        .min = p.y,
        .max = p.y,
        .mean = p.y,
        .first = p.y,
        .last = p.y,
        .count = 1};
    add_to_cell(r, column, &one);
}

static void reduce_points(struct reduction *r, size_t from, size_t to)
{
    const struct chart_scale *scale = &r->pen->scale;
    const double lo = scale->y.lo, hi = scale->y.hi;
    const struct chart_point *points = r->line->points;
    int column = -1;
    double next_x = (double)-INFINITY; /* where the next column begins */
    for (size_t i = from; i < to; i++) {
        const struct chart_point p = points[i];
        if (p.x >= next_x) {
            column = column_in(scale, p.x);
            double place = (column + 0.5) / scale->x_by + scale->x_from;
            /* Slightly early: a column too soon is found out, one too late is not. */
            next_x = scale->x.kind == AXIS_LINEAR ? place - 1e-9 * fabs(place) : p.x;
        }
        struct cell *cell = &r->cells[column];
        if (!isfinite(p.y)) {
            r->pen->edges[column] |= chart_edge_of(p.y);
            r->broken = true;
            continue;
        }
        if (cell->has && !r->broken) {
            cell->lo = p.y < cell->lo ? p.y : cell->lo;
            cell->hi = p.y > cell->hi ? p.y : cell->hi;
            cell->last = p.y;
            cell->sum += p.y;
            cell->n += 1;
            r->last_distance = p.x - r->last_x;
            r->last_x = p.x;
        } else {
            start_cell(r, column, p);
        }
        if (p.y > hi || p.y < lo) {
            note_beyond(r->pen, r->line, column, p.y, p.y);
        }
    }
}

/* Put what a column says besides numbers on the edges. */
static void note_flags(struct chart_pen *pen, const struct chart_column *c, int a, int b)
{
    uint8_t edge = 0;
    edge |= c->flags & CHART_NAN ? EDGE_NAN : 0;
    edge |= c->flags & CHART_POS_INF ? EDGE_POS_INF : 0;
    edge |= c->flags & CHART_NEG_INF ? EDGE_NEG_INF : 0;
    if (c->n_nonfinite > 0 && edge == 0) {
        edge = EDGE_NAN;
    }
    for (int column = a; column <= b && edge != 0; column++) {
        pen->edges[column] |= edge;
    }
    if (c->flags & CHART_BRANCH) {
        pen->edges[a] |= EDGE_BRANCH;
    }
}

static void reduce_columns(struct reduction *r, size_t from, size_t to)
{
    const struct chart_scale *scale = &r->pen->scale;
    for (size_t i = from; i < to; i++) {
        const struct chart_column *c = &r->line->columns[i];
        int a = column_in(scale, c->from), b = column_in(scale, c->to);
        note_flags(r->pen, c, a, b);
        r->broken = r->broken || (c->flags & (CHART_GAP | CHART_BRANCH)) != 0;
        if (c->count <= c->n_nonfinite) {
            r->broken = r->broken || c->count > 0;
            continue;
        }
        for (int column = a; column <= b; column++) {
            add_to_cell(r, column, c);
        }
        note_beyond(r->pen, r->line, a, c->min, c->max);
    }
}

static void widen(struct draw_span *span, float a, float b)
{
    float top = a < b ? a : b, bottom = a < b ? b : a;
    if (!(span->top <= span->bottom)) {
        *span = (struct draw_span){top, bottom};
        return;
    }
    span->top = top < span->top ? top : span->top;
    span->bottom = bottom > span->bottom ? bottom : span->bottom;
}

/* Where two neighbouring cells meet when their last and first readings are not known. */
static void meet(const struct cell *a, const struct cell *b, double *out_a, double *out_b)
{
    double lo = a->lo > b->lo ? a->lo : b->lo;
    double hi = a->hi < b->hi ? a->hi : b->hi;
    if (lo <= hi) {
        *out_a = *out_b = (lo + hi) / 2;
    } else if (a->hi < b->lo) {
        *out_a = a->hi;
        *out_b = b->lo;
    } else {
        *out_a = a->lo;
        *out_b = b->hi;
    }
    *out_a = isnan(a->last) ? *out_a : a->last;
    *out_b = isnan(b->first) ? *out_b : b->first;
}

/* Widen the spans from cell a to cell b by the straight line between them. */
static void join(
    struct chart_pen *pen, const struct cell *cells, int a, int b, struct draw_span *spans)
{
    double from = 0, to = 0;
    meet(&cells[a], &cells[b], &from, &to);
    float row = chart_row_of(&pen->scale, from);
    float rise = chart_row_of(&pen->scale, to) - row;
    float distance = (float)(b - a);
    for (int column = a; column <= b; column++) {
        float t0 = ((float)(column - a) - 0.5F) / distance;
        float t1 = ((float)(column - a) + 0.5F) / distance;
        t0 = t0 < 0 ? 0 : t0;
        t1 = t1 > 1 ? 1 : t1;
        widen(&spans[column], row + rise * t0, row + rise * t1);
    }
}

static float pen_width(const struct chart_line *line, bool is_hovered)
{
    return is_hovered || line->weight == CHART_SELECTED ? THEME_LINE_SELECTED : THEME_LINE;
}

static draw_color pen_color(const struct chart_line *line, bool is_hovered)
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

static void stroke(struct chart_pen *pen, const struct chart_line *line,
    const struct draw_point *points, size_t n, float width, draw_color color)
{
    if (line->is_dashed) {
        draw_dashes(pen->list, points, n, width, color);
    } else {
        draw_polyline(pen->list, points, n, width, color);
    }
}

/* The means of cells as polylines over a soft band. */
static void draw_means(struct chart_pen *pen, const struct chart_line *line,
    const struct cell *cells, float width, draw_color color)
{
    const struct chart_scale *scale = &pen->scale;
    size_t n_px = (size_t)scale->n_px, n = 0;
    struct draw_point *points = draw_scratch(pen->list, n_px * sizeof *points);
    for (size_t i = 0; i < n_px && points != NULL; i++) {
        if (cells[i].has && !cells[i].joined && n > 0) {
            stroke(pen, line, points, n, width, color);
            n = 0;
        }
        if (cells[i].has) {
            points[n++] =
                (struct draw_point){((float)scale->x_px + (float)i + 0.5F) / scale->scale,
                    chart_row_of(scale, cells[i].sum / cells[i].n)};
        }
    }
    if (n > 0) {
        stroke(pen, line, points, n, width, color);
    }
}

static void draw_dense(struct chart_pen *pen, const struct chart_line *line,
    const struct cell *cells, bool hovered)
{
    const struct chart_scale *scale = &pen->scale;
    size_t n_px = (size_t)scale->n_px;
    struct draw_span *spans = draw_scratch(pen->list, n_px * sizeof *spans);
    if (spans == NULL) {
        return;
    }
    int before = -1;
    for (int i = 0; i < scale->n_px; i++) {
        spans[i] = (struct draw_span){1, 0};
    }
    for (int i = 0; i < scale->n_px; i++) {
        if (!cells[i].has) {
            continue;
        }
        widen(
            &spans[i], chart_row_of(scale, cells[i].lo), chart_row_of(scale, cells[i].hi));
        if (before >= 0 && cells[i].joined) {
            join(pen, cells, before, i, spans);
        }
        before = i;
    }
    float width = pen_width(line, hovered);
    draw_color color = pen_color(line, hovered);
    float softness = line->envelope    ? SOFT_ALPHA
                     : line->is_dashed ? 0.5F * SOFT_ALPHA
                                       : BAND_ALPHA;
    draw_band(pen->list, scale->x_px, spans, n_px, width, draw_fade(color, softness));
    draw_means(pen, line, cells, width, color);
}

/* Draw the points collected since the last break; one alone becomes a dot. */
static void draw_run(struct chart_pen *pen, const struct chart_line *line,
    const struct draw_point *points, size_t n, bool hovered)
{
    float width = pen_width(line, hovered);
    draw_color color = pen_color(line, hovered);
    if (n == 1) {
        draw_mark(pen->list, DRAW_MARK_DOT, points[0].x, points[0].y, 2 * width, color);
    } else if (n > 1) {
        stroke(pen, line, points, n, width, color);
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

/* Note a sparse reading's marks; readings just outside the plot have none. */
static void note_sparse(
    struct chart_pen *pen, const struct chart_line *line, size_t i, struct chart_point p)
{
    const struct chart_scale *scale = &pen->scale;
    if (p.x < scale->x.lo || p.x > scale->x.hi) {
        return;
    }
    int column = column_in(scale, p.x);
    if (line->points == NULL) {
        note_flags(pen, &line->columns[i], column, column);
    } else if (!isfinite(p.y)) {
        pen->edges[column] |= chart_edge_of(p.y);
    }
    if (isfinite(p.y)) {
        note_beyond(pen, line, column, p.y, p.y);
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
    struct reduction r = {.pen = pen, .line = line, .broken = true};
    r.cells = draw_scratch(pen->list, (size_t)scale->n_px * sizeof *r.cells);
    if (r.cells == NULL) {
        return;
    }
    memset(r.cells, 0, (size_t)scale->n_px * sizeof *r.cells);
    if (has_points) {
        reduce_points(&r, from, to);
    } else {
        reduce_columns(&r, from, to);
    }
    draw_dense(pen, line, r.cells, is_hovered);
}
