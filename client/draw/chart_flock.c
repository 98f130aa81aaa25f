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
    size_t from, n;      /* readings that matter: from, from + 1, ... */
    float *columns;      /* n: fractional device columns */
    int n_px, most;      /* device columns; rows of the plot in eighths */
    float *top, *bottom; /* n: rows of one line, eighths; NaN = not finite */
};

static void add_span(struct draw_fine *span, float a, float b, int most)
{
    float low = a < b ? a : b, high = a < b ? b : a;
    if (high < 0 || low > (float)most) {
        return;
    }
    int top = low < 0 ? 0 : (int)low;
    int bottom = high > (float)most ? most : (int)high;
    if (span->top > span->bottom) {
        *span = (struct draw_fine){(uint16_t)top, (uint16_t)bottom};
        return;
    }
    span->top = top < span->top ? (uint16_t)top : span->top;
    span->bottom = bottom > span->bottom ? (uint16_t)bottom : span->bottom;
}

/* The stretch between reading i and the next: rows of every column it crosses. */
static void add_stretch(const struct shared *s, size_t i, struct draw_fine *spans)
{
    float xa = s->columns[i], xb = s->columns[i + 1];
    float top = s->top[i], bottom = s->bottom[i];
    float by = xb > xa ? 1 / (xb - xa) : 0;
    float top_by = (s->top[i + 1] - top) * by, bottom_by = (s->bottom[i + 1] - bottom) * by;
    int first = xa < 0 ? 0 : (int)xa;
    int last = xb >= (float)s->n_px ? s->n_px - 1 : (int)xb;
    for (int x = first; x <= last; x++) {
        float left = ((float)x > xa ? (float)x : xa) - xa;
        float right = ((float)(x + 1) < xb ? (float)(x + 1) : xb) - xa;
        add_span(&spans[x], top + top_by * left, top + top_by * right, s->most);
        if (s->bottom != s->top) {
            add_span(&spans[x], top + top_by * left, bottom + bottom_by * left, s->most);
            add_span(&spans[x], top + top_by * right, bottom + bottom_by * right, s->most);
        }
    }
}

/* Row of a value in eighths; notes what has no row inside the plot. */
static float fine_row(struct chart_pen *pen, const struct shared *s, size_t i, float value)
{
    const struct chart_scale *scale = &pen->scale;
    float column = s->columns[i];
    bool inside = column >= 0 && column < (float)scale->n_px;
    if (!isfinite(value)) {
        if (inside) {
            pen->edges[(int)column] |= isnan(value) ? EDGE_NAN
                                       : value > 0  ? EDGE_POS_INF
                                                    : EDGE_NEG_INF;
        }
        return NAN;
    }
    if (inside && (double)value > scale->y.hi) {
        pen->edges[(int)column] |= EDGE_ABOVE;
        if (pen->above.n++ == 0 || (double)value > pen->above.extreme) {
            pen->above = (struct chart_beyond){
                pen->above.n, (double)value, (int)column, s->flock->color};
        }
    } else if (inside && (double)value < scale->y.lo) {
        pen->edges[(int)column] |= EDGE_BELOW;
        if (pen->below.n++ == 0 || (double)value < pen->below.extreme) {
            pen->below = (struct chart_beyond){
                pen->below.n, (double)value, (int)column, s->flock->color};
        }
    }
    float row = chart_row_of(scale, (double)value) - scale->plot.y;
    return row * scale->scale * EIGHTHS;
}

static void add_line(
    struct chart_pen *pen, struct shared *s, size_t line, struct draw_fine *spans)
{
    const struct chart_flock *flock = s->flock;
    const float *lo = flock->lo + line * flock->n + s->from;
    const float *hi = flock->hi != NULL ? flock->hi + line * flock->n + s->from : lo;
    for (int x = 0; x < s->n_px; x++) {
        spans[x] = (struct draw_fine){1, 0};
    }
    for (size_t i = 0; i < s->n; i++) {
        s->top[i] = fine_row(pen, s, i, hi[i]);
        if (s->bottom != s->top) {
            s->bottom[i] = fine_row(pen, s, i, lo[i]);
        }
    }
    for (size_t i = 0; i < s->n; i++) {
        bool has = !isnan(s->top[i]) && !isnan(s->bottom[i]);
        if (has && i + 1 < s->n && !isnan(s->top[i + 1]) && !isnan(s->bottom[i + 1])) {
            add_stretch(s, i, spans);
        } else if (has && s->columns[i] >= 0 && s->columns[i] < (float)s->n_px) {
            add_span(&spans[(int)s->columns[i]], s->top[i], s->bottom[i], s->most);
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
    s->columns = draw_scratch(pen->list, s->n * sizeof *s->columns);
    s->top = draw_scratch(pen->list, s->n * sizeof *s->top);
    s->bottom =
        flock->hi != NULL ? draw_scratch(pen->list, s->n * sizeof *s->bottom) : s->top;
    if (s->columns == NULL || s->top == NULL || s->bottom == NULL) {
        return false;
    }
    for (size_t i = 0; i < s->n; i++) {
        double column = chart_column_of(scale, flock->x[from + i]);
        s->columns[i] = (float)(column < -1e6 ? -1e6 : column > 1e6 ? 1e6 : column);
    }
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

void chart_draw_flock(struct chart_pen *pen, const struct chart_flock *flock)
{
    const struct chart_scale *scale = &pen->scale;
    struct shared s;
    if (flock->n == 0 || flock->n_lines == 0 || !share(pen, flock, &s)) {
        return;
    }
    struct draw_fine *spans = draw_flock(pen->list, scale->x_px,
        (int)lroundf(scale->plot.y * scale->scale), s.most / EIGHTHS, (size_t)s.n_px,
        flock->n_lines, 1.0F, draw_fade(flock->color, line_alpha(flock)));
    for (size_t line = 0; line < flock->n_lines && spans != NULL; line++) {
        add_line(pen, &s, line, spans + line * (size_t)s.n_px);
    }
}
