/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "client/draw/chart_inside.h"

/* From the pointer back to readings. */

static struct chart_scale scale_of(const struct chart_layout *layout)
{
    struct chart_scale scale = {
        .x = layout->x, .y = layout->y, .plot = layout->plot, .scale = 1};
    /* Logical pixels for device pixels: fractions of one do not matter under a pointer. */
    scale.n_px = (int)lroundf(layout->plot.w);
    scale.n_px = scale.n_px < 2 ? 2 : scale.n_px;
    chart_scale_init(&scale);
    return scale;
}

double chart_x_at(const struct chart_layout *layout, float px)
{
    double place = ((double)px - (double)layout->plot.x) / (double)layout->plot.w;
    return axis_value(&layout->x, place);
}

float chart_px_of_x(const struct chart_layout *layout, double x)
{
    double place = axis_place(&layout->x, x);
    place = place < -1e4 ? -1e4 : place > 1e4 ? 1e4 : place;
    return layout->plot.x + layout->plot.w * (float)place;
}

float chart_px_of_y(const struct chart_layout *layout, double value)
{
    const struct chart_scale scale = scale_of(layout);
    return chart_row_of(&scale, value);
}

/* How far x lies from a stretch; 0 inside. */
static double outside(double x, double from, double to)
{
    return x < from ? from - x : x > to ? x - to : 0;
}

/* The reading nearest to x; the line has at least one. */
static size_t nearest(const struct chart_line *line, double x)
{
    if (line->points != NULL) {
        size_t i = chart_first_point(line, x);
        i = i == line->n_points ? i - 1 : i;
        bool before = i > 0 && x - line->points[i - 1].x < line->points[i].x - x;
        return before ? i - 1 : i;
    }
    size_t i = chart_first_column(line, x);
    i = i == line->n_columns ? i - 1 : i;
    bool before = i > 0 && outside(x, line->columns[i - 1].from, line->columns[i - 1].to) <
                               outside(x, line->columns[i].from, line->columns[i].to);
    return before ? i - 1 : i;
}

static void read_point(const struct chart_point *p, struct chart_hit *out)
{
    out->x = p->x;
    out->value = out->min = out->max = p->y;
    out->count = 1;
    out->flags = isfinite(p->y) ? 0
                 : isnan(p->y)  ? CHART_NAN
                 : p->y > 0     ? CHART_POS_INF
                                : CHART_NEG_INF;
}

static void read_column(const struct chart_column *c, double x, struct chart_hit *out)
{
    bool has = c->count > c->n_nonfinite;
    out->x = x < c->from ? c->from : x > c->to ? c->to : x;
    out->count = c->count;
    out->flags = c->flags;
    out->value = has ? c->mean : chart_nonfinite(c->flags);
    out->min = has ? c->min : out->value;
    out->max = has ? c->max : out->value;
}

bool chart_read(const struct chart *chart, const struct chart_layout *layout, size_t line,
    double x, struct chart_hit *out)
{
    const struct chart_line *l = &chart->lines[line];
    if ((l->points != NULL ? l->n_points : l->n_columns) == 0) {
        return false;
    }
    struct chart_hit hit = {.line = line};
    size_t i = nearest(l, x);
    if (l->points != NULL) {
        read_point(&l->points[i], &hit);
    } else {
        read_column(&l->columns[i], x, &hit);
    }
    double away = fabs(hit.x - x);
    double columns = away / (layout->x.hi - layout->x.lo) * (double)layout->plot.w;
    if (l->gap > 0 && away > l->gap && columns > 4) {
        return false;
    }
    hit.at.x = chart_px_of_x(layout, hit.x);
    hit.at.y = isfinite(hit.value) ? chart_px_of_y(layout, hit.value)
                                   : layout->plot.y + layout->plot.h;
    *out = hit;
    return true;
}

/* Distance of the pointer from a line near the reading under it. */
static float distance_to(
    const struct chart_layout *layout, const struct chart_hit *hit, float px, float py)
{
    float top = isfinite(hit->max) ? chart_px_of_y(layout, hit->max) : hit->at.y;
    float bottom = isfinite(hit->min) ? chart_px_of_y(layout, hit->min) : hit->at.y;
    float dy = py < top ? top - py : py > bottom ? py - bottom : 0;
    float dx = fabsf(px - hit->at.x);
    return sqrtf(dx * dx / 4 + dy * dy);
}

bool chart_hit(const struct chart *chart, const struct chart_layout *layout, float px,
    float py, float max_distance, struct chart_hit *out)
{
    bool found = false;
    struct chart_hit best = {.distance = max_distance};
    double x = chart_x_at(layout, px);
    for (size_t i = 0; i < chart->n_lines; i++) {
        struct chart_hit hit;
        if (!chart_read(chart, layout, i, x, &hit)) {
            continue;
        }
        hit.distance = distance_to(layout, &hit, px, py);
        if (hit.distance <= best.distance) {
            best = hit;
            found = true;
        }
    }
    if (found) {
        *out = best;
    }
    return found;
}
