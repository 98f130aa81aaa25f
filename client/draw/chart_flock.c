/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "client/draw/chart_inside.h"

/*
 * The multitude: thousands of lines over the same x become rows of one flock command, in
 * eighths of a device pixel. Where x falls is worked out once for all lines.
 */

enum { EIGHTHS = 8 };

#define LEAST_ALPHA 0.13F

/* What the lines of one flock share. */
struct shared {
    const struct chart_flock *flock;
    size_t from, n;     /* readings that matter: from, from + 1, ... */
    float *columns;     /* n: fractional device columns */
    int n_px, most;     /* device columns; rows of the plot in eighths */
    uint32_t *before;   /* n_px + 1: reading before the left edge of a column */
    float *part;        /* n_px + 1: how far to the next one; NaN = no line there */
    float *rows;        /* n: rows of one line, eighths; NaN = not finite */
    float *crossing;    /* n_px + 1: rows in which it crosses the edges of columns */
    double zero, slope; /* linear y: row = zero - slope * value */
    bool is_linear;
};

static void add_rows(struct draw_fine *span, float low, float high, float most)
{
    if (!(high >= 0 && low <= most)) {
        return;
    }
    uint16_t top = low > 0 ? (uint16_t)low : 0;
    uint16_t bottom = (uint16_t)(high < most ? high : most);
    if (span->top > span->bottom) {
        *span = (struct draw_fine){top, bottom};
        return;
    }
    span->top = top < span->top ? top : span->top;
    span->bottom = bottom > span->bottom ? bottom : span->bottom;
}

/* Note what has no row inside the plot; NaN for values that are not finite. */
static float odd_row(struct chart_pen *pen, const struct shared *s, size_t i, double value)
{
    const struct chart_scale *scale = &pen->scale;
    float column = s->columns[i];
    bool inside = column >= 0 && column < (float)scale->n_px;
    if (!isfinite(value)) {
        if (inside) {
            pen->edges[(int)column] |= chart_edge_of(value);
        }
        return NAN;
    }
    struct chart_beyond *beyond = value > scale->y.hi ? &pen->above : &pen->below;
    if (inside) {
        pen->edges[(int)column] |= value > scale->y.hi ? EDGE_ABOVE : EDGE_BELOW;
        bool further =
            value > scale->y.hi ? value > beyond->extreme : value < beyond->extreme;
        if (beyond->n++ == 0 || further) {
            *beyond = (struct chart_beyond){beyond->n, value, (int)column, s->flock->color};
        }
    }
    return (chart_row_of(scale, value) - scale->plot.y) * scale->scale * EIGHTHS;
}

/* Rows of one line's readings. */
static void find_rows(struct chart_pen *pen, const struct shared *s, const float *values)
{
    const struct chart_scale *scale = &pen->scale;
    const double lo = scale->y.lo, hi = scale->y.hi;
    for (size_t i = 0; i < s->n; i++) {
        double value = (double)values[i];
        if (!(value >= lo && value <= hi)) {
            s->rows[i] = odd_row(pen, s, i, value);
        } else if (s->is_linear) {
            s->rows[i] = (float)(s->zero - s->slope * value);
        } else {
            float row = chart_row_of(scale, value) - scale->plot.y;
            s->rows[i] = row * scale->scale * EIGHTHS;
        }
    }
}

/* A line of one reading is no line: a small dot. */
static void add_dot(const struct shared *s, struct draw_fine *spans, int column)
{
    enum { HALF = 2 };
    int from = column > HALF ? column - HALF : 0;
    int to = column + HALF < s->n_px ? column + HALF : s->n_px - 1;
    for (int x = from; x <= to; x++) {
        float half = (float)(HALF + 1 - (x > column ? x - column : column - x)) * EIGHTHS;
        add_rows(&spans[x], s->rows[0] - half, s->rows[0] + half, (float)s->most);
    }
}

/* Add the line through the rows to its spans: where it crosses columns, and its readings. */
static void add_line(const struct shared *s, struct draw_fine *spans)
{
    const float most = (float)s->most;
    for (int x = 0; x <= s->n_px; x++) {
        float from = s->rows[s->before[x]], to = s->rows[s->before[x] + 1];
        s->crossing[x] = from + (to - from) * s->part[x];
    }
    for (int x = 0; x < s->n_px; x++) {
        float a = s->crossing[x], b = s->crossing[x + 1];
        /* A comparison with NaN is false: where there is one edge alone, it is both ends. */
        float low = a < b || isnan(b) ? a : b;
        float high = a > b || isnan(b) ? a : b;
        add_rows(&spans[x], low, high, most);
    }
    for (size_t i = 0; i < s->n; i++) {
        float column = s->columns[i];
        if (column >= 0 && column < (float)s->n_px) {
            add_rows(&spans[(int)column], s->rows[i], s->rows[i], most);
        }
    }
    if (s->n == 1 && s->columns[0] >= 0 && s->columns[0] < (float)s->n_px) {
        add_dot(s, spans, (int)s->columns[0]);
    }
}

/* The readings between which each column's left edge lies. */
static void find_edges(const struct shared *s)
{
    size_t i = 0;
    for (int x = 0; x <= s->n_px; x++) {
        float at = (float)x;
        while (i + 2 < s->n && s->columns[i + 1] < at) {
            i++;
        }
        s->before[x] = (uint32_t)i;
        s->part[x] = NAN;
        float width = s->n > 1 ? s->columns[i + 1] - s->columns[i] : 0;
        const double *at_x = &s->flock->x[s->from + i];
        double before = s->from + i > 0 ? at_x[0] - at_x[-1] : 0;
        bool is_gap = s->n > 1 && chart_is_hole(s->flock->gap, before, at_x[1] - at_x[0]);
        if (width > 0 && !is_gap && at >= s->columns[i] && at <= s->columns[i + 1]) {
            s->part[x] = (at - s->columns[i]) / width;
        }
    }
}

/* The readings inside the visible x range, and one beyond at either end. */
static bool share(struct chart_pen *pen, const struct chart_flock *flock, struct shared *s)
{
    const struct chart_scale *scale = &pen->scale;
    size_t from = 0, to = flock->n;
    while (from + 1 < flock->n && flock->x[from + 1] < scale->x.lo) {
        from++;
    }
    while (to > from + 1 && flock->x[to - 2] > scale->x.hi) {
        to--;
    }
    *s = (struct shared){.flock = flock, .from = from, .n = to - from, .n_px = scale->n_px};
    s->most = (int)lroundf(scale->plot.h * scale->scale) * EIGHTHS;
    size_t n_edges = (size_t)s->n_px + 1;
    s->columns = draw_scratch(pen->list, s->n * sizeof *s->columns);
    s->rows = draw_scratch(pen->list, (s->n + 1) * sizeof *s->rows);
    s->before = draw_scratch(pen->list, n_edges * sizeof *s->before);
    s->part = draw_scratch(pen->list, n_edges * sizeof *s->part);
    s->crossing = draw_scratch(pen->list, n_edges * sizeof *s->crossing);
    if (s->columns == NULL || s->rows == NULL || s->before == NULL || s->part == NULL ||
        s->crossing == NULL) {
        return false;
    }
    for (size_t i = 0; i < s->n; i++) {
        double column = chart_column_of(scale, flock->x[from + i]);
        s->columns[i] = (float)(column < -1e6 ? -1e6 : column > 1e6 ? 1e6 : column);
    }
    s->rows[s->n] = NAN;
    s->is_linear = scale->y.kind == AXIS_LINEAR;
    s->slope = scale->y_by * (double)scale->scale * EIGHTHS;
    s->zero =
        (double)scale->plot.h * (double)scale->scale * EIGHTHS + s->slope * scale->y_from;
    find_edges(s);
    return true;
}

/* Opacity of one line: seen alone it must stay visible, in however large a flock. */
static float line_alpha(const struct chart_flock *flock)
{
    enum { FEW = 48 };
    if (flock->alpha > 0) {
        return flock->alpha;
    }
    float n = (float)flock->n_lines;
    float alpha = n <= FEW ? 0.24F : 0.24F * sqrtf(FEW / n);
    return alpha > LEAST_ALPHA ? alpha : LEAST_ALPHA;
}

/* All that the rows of a flock depend on. */
static uint64_t key_of(const struct chart_pen *pen, const struct chart_flock *flock)
{
    const struct chart_scale *scale = &pen->scale;
    const double numbers[] = {scale->x.lo, scale->x.hi, scale->y.lo, scale->y.hi,
        scale->y.linear_to, (double)scale->y.kind, (double)scale->x.kind,
        (double)scale->plot.x, (double)scale->plot.y, (double)scale->plot.w,
        (double)scale->plot.h, (double)scale->scale, (double)flock->n,
        (double)flock->n_lines, (double)flock->width, flock->gap};
    uint64_t key = draw_hash(1, numbers, sizeof numbers);
    key = draw_hash(key, flock->x, flock->n * sizeof *flock->x);
    key = draw_hash(key, flock->lo, flock->n * flock->n_lines * sizeof *flock->lo);
    if (flock->hi != NULL) {
        key = draw_hash(key, flock->hi, flock->n * flock->n_lines * sizeof *flock->hi);
    }
    return key | 1;
}

/* Find the rows of all lines, and the marks that they leave on the edges. */
static void find_flock(struct chart_pen *pen, const struct shared *s,
    const struct chart_flock *flock, struct draw_fine *spans)
{
    for (size_t line = 0; line < flock->n_lines; line++) {
        struct draw_fine *row = spans + line * (size_t)s->n_px;
        for (int x = 0; x < s->n_px; x++) {
            row[x] = (struct draw_fine){1, 0};
        }
        find_rows(pen, s, flock->lo + line * flock->n + s->from);
        add_line(s, row);
        if (flock->hi != NULL) {
            find_rows(pen, s, flock->hi + line * flock->n + s->from);
            add_line(s, row);
        }
    }
}

/* What a flock leaves besides its rows. */
struct left {
    struct chart_beyond above, below;
    uint8_t edges[];
};

static void add_beyond(
    struct chart_beyond *to, const struct chart_beyond *from, bool is_above)
{
    bool is_further = to->n == 0 || (from->extreme > to->extreme) == is_above;
    size_t n = to->n + from->n;
    if (from->n > 0 && is_further) {
        *to = *from;
    }
    to->n = n;
}

size_t chart_n_flocks(const struct chart *chart)
{
    return chart->flock == NULL ? 0 : chart->n_flocks > 0 ? chart->n_flocks : 1;
}

void chart_draw_flock(struct chart_pen *pen, const struct chart_flock *flock)
{
    const struct chart_scale *scale = &pen->scale;
    struct shared s;
    if (flock->n == 0 || flock->n_lines == 0 || !share(pen, flock, &s)) {
        return;
    }
    const struct draw_flock_at at = {
        .x_px = scale->x_px,
        .y_px = (int)lroundf(scale->plot.y * scale->scale),
        .h_px = s.most / EIGHTHS,
        .n = (size_t)s.n_px,
        .width = flock->width > 0 ? flock->width : 1.0F,
        .key = key_of(pen, flock),
    };
    bool is_known = false;
    void *extra = NULL;
    struct draw_fine *spans = draw_flock_kept(pen->list, &at, flock->n_lines,
        draw_fade(flock->color, line_alpha(flock)), sizeof(struct left) + (size_t)s.n_px,
        &extra, &is_known);
    if (spans == NULL) {
        return;
    }
    struct left *left = extra;
    if (!is_known) {
        struct chart_pen own = *pen;
        own.edges = left->edges;
        own.above = own.below = (struct chart_beyond){0};
        find_flock(&own, &s, flock, spans);
        left->above = own.above;
        left->below = own.below;
    }
    for (int x = 0; x < s.n_px; x++) {
        pen->edges[x] |= left->edges[x];
    }
    add_beyond(&pen->above, &left->above, true);
    add_beyond(&pen->below, &left->below, false);
}
