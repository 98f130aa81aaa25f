/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/credit_links.h"
#include "lib/analysis/credit_loops.h"
#include "lib/analysis/credit_parts.h"

/*
 * Sampling a plane at places that another signal says (grid_sample), bilinear or nearest: y = sum of
 * w_i(g) x_i over at most four neighbours.
 *
 * Value mode: the eps rule among the neighbours; the grid chose, as an index does, and has nothing.
 * Change mode, exact, the bar being the mean of both sides: w-bar dx to the plane, x-bar dw to the
 * grid; and of the two coordinates each has the mean of what it does before and after the other one
 * moved. Without a change in between these are the gradients.
 *
 * Worked: of (0, 1; 2, 4) at the middle: 1.75, all weights 1/4; its slope by the column is
 * (1 - 0 + 4 - 2) / 2 = 1.5 a pixel.
 */

enum { TAPS = 4 };

enum edge { EDGE_ZEROS = 0, EDGE_BORDER, EDGE_REFLECT };

struct grid {
    struct credit_sides x, g, output;
    int64_t rows, channels, size[2], places; /* size: height, width; places of the output */
    bool is_nearest, is_aligned;
    enum edge edge;
};

/* A neighbour in its plane, its weight, and the slopes of that by the grid's x and y. */
struct tap {
    int64_t at;
    double weight, by[2];
};

/* A coordinate of the grid as a place along an axis, and its slope. */
struct place {
    double at, slope;
};

static int begin(const struct credit_io *io, struct grid *g)
{
    const int64_t how = credit_attr_int(io, "interpolation_mode", 0, 0);
    *g = (struct grid){.is_nearest = how == 1,
        .is_aligned = credit_attr_int(io, "align_corners", 0, 0) != 0,
        .edge = (enum edge)credit_attr_int(io, "padding_mode", 0, 0)};
    int rc = credit_input(io, 0, &g->x);
    rc = rc == 0 ? credit_input(io, 1, &g->g) : rc;
    rc = rc == 0 ? credit_output(io, 0, &g->output) : rc;
    if (rc != 0) {
        return rc;
    }
    if (g->x.now == NULL || g->g.now == NULL || g->output.array == NULL) {
        return BARO_ENOENT;
    }
    const struct credit_array *x = g->x.array;
    if (x->n_dims != 4 || g->g.array->n_dims != 4 || how < 0 || how > 1 ||
        g->edge > EDGE_REFLECT || g->g.array->shape[0] != x->shape[0]) {
        return BARO_EUNSUPPORTED;
    }
    g->rows = x->shape[0];
    g->channels = x->shape[1];
    g->size[0] = x->shape[2];
    g->size[1] = x->shape[3];
    g->places = g->g.array->shape[1] * g->g.array->shape[2];
    return x->n > 0 && g->output.n == g->rows * g->channels * g->places ? 0
                                                                        : BARO_EUNSUPPORTED;
}

static double clamped(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

static struct place reflected(struct place p, double low, double high)
{
    const double span = high - low;
    if (span <= 0) {
        return (struct place){0, 0};
    }
    const double away = fabs(p.at - low);
    const double flips = floor(away / span);
    const double rest = away - flips * span;
    const bool is_odd = fmod(flips, 2) != 0;
    const double sign = (p.at < low) != is_odd ? -1 : 1;
    return (struct place){is_odd ? high - rest : low + rest, p.slope * sign};
}

/* Where a coordinate between -1 and 1 lies along an axis of n pixels. */
static struct place place_of(const struct grid *g, double coordinate, int64_t n)
{
    const double last = (double)n - 1;
    struct place p = {.slope = g->is_aligned ? 0.5 * last : 0.5 * (double)n};
    p.at = g->is_aligned ? 0.5 * (coordinate + 1) * last
                         : 0.5 * ((coordinate + 1) * (double)n - 1);
    if (g->edge == EDGE_REFLECT) {
        p = g->is_aligned ? reflected(p, 0, last) : reflected(p, -0.5, last + 0.5);
    }
    if (g->edge != EDGE_ZEROS) {
        p.slope = p.at > 0 && p.at < last ? p.slope : 0;
        p.at = clamped(p.at, 0, last);
    }
    return p;
}

static void add_tap(const struct grid *g, int64_t y, int64_t x, double weight, double by_x,
    double by_y, struct tap *tap)
{
    const bool is_inside = y >= 0 && x >= 0 && y < g->size[0] && x < g->size[1];
    *tap = is_inside ? (struct tap){y * g->size[1] + x, weight, {by_x, by_y}}
                     : (struct tap){0};
}

/* The neighbours of a place; those outside weigh nothing. */
static void find_taps(const struct grid *g, double gx, double gy, struct tap out[TAPS])
{
    const struct place x = place_of(g, gx, g->size[1]);
    const struct place y = place_of(g, gy, g->size[0]);
    for (int i = 0; i < TAPS; i++) {
        out[i] = (struct tap){0};
    }
    if (!(fabs(x.at) < 1e9 && fabs(y.at) < 1e9)) {
        return;
    }
    if (g->is_nearest) {
        add_tap(g, (int64_t)nearbyint(y.at), (int64_t)nearbyint(x.at), 1, 0, 0, &out[0]);
        return;
    }
    const double left = floor(x.at);
    const double top = floor(y.at);
    for (int i = 0; i < TAPS; i++) {
        const double u = i % 2 == 0 ? 1 - (x.at - left) : x.at - left;
        const double v = i / 2 == 0 ? 1 - (y.at - top) : y.at - top;
        add_tap(g, (int64_t)top + i / 2, (int64_t)left + i % 2, u * v,
            (i % 2 == 0 ? -v : v) * x.slope, (i / 2 == 0 ? -u : u) * y.slope, &out[i]);
    }
}

/* Where a channel of a row begins. */
static int64_t plane_of(const struct grid *g, int64_t row, int64_t channel)
{
    return (row * g->channels + channel) * g->size[0] * g->size[1];
}

/* The sum over channels of slopes times samples of the mean plane: by = -1, or by a coordinate. */
static double sampled(
    const struct grid *g, int64_t row, int64_t at, const double point[2], int by)
{
    struct tap taps[TAPS];
    double sum = 0;
    find_taps(g, point[0], point[1], taps);
    for (int64_t c = 0; c < g->channels; c++) {
        const int64_t base = plane_of(g, row, c);
        const float from = g->output.from[(row * g->channels + c) * g->places + at];
        for (int i = 0; i < TAPS && from != 0; i++) {
            const double x = 0.5 * ((double)g->x.now[base + taps[i].at] +
                                       (double)g->x.before[base + taps[i].at]);
            sum += (double)from * x * (by < 0 ? taps[i].weight : taps[i].by[by]);
        }
    }
    return sum;
}

/* The multiplier of one coordinate: the mean of both sides of the other one. */
static double slope_of(const struct grid *g, int64_t row, int64_t at, int by)
{
    const int64_t e = (row * g->places + at) * 2;
    const double then[2] = {(double)g->g.before[e], (double)g->g.before[e + 1]};
    const double now[2] = {(double)g->g.now[e], (double)g->g.now[e + 1]};
    const double change = now[by] - then[by];
    double sum = 0;
    for (int side = 0; side < 2; side++) {
        double a[2] = {side == 0 ? then[0] : now[0], side == 0 ? then[1] : now[1]};
        double b[2] = {a[0], a[1]};
        a[by] = then[by];
        b[by] = now[by];
        sum += change != 0
                   ? (sampled(g, row, at, b, -1) - sampled(g, row, at, a, -1)) / change
                   : sampled(g, row, at, a, by);
    }
    return 0.5 * sum;
}

static void slopes_at(const struct grid *g, int64_t row, int64_t at)
{
    const int64_t e = (row * g->places + at) * 2;
    const float *sides[2] = {g->g.before, g->g.now};
    for (int side = 0; side < 2 && g->x.to != NULL; side++) {
        struct tap taps[TAPS];
        find_taps(g, (double)sides[side][e], (double)sides[side][e + 1], taps);
        for (int64_t c = 0; c < g->channels; c++) {
            const double from =
                0.5 * (double)g->output.from[(row * g->channels + c) * g->places + at];
            float *to = g->x.to + plane_of(g, row, c);
            for (int i = 0; i < TAPS; i++) {
                to[taps[i].at] += (float)(from * taps[i].weight);
            }
        }
    }
    for (int by = 0; by < 2 && g->g.to != NULL; by++) {
        g->g.to[e + by] += (float)slope_of(g, row, at, by);
    }
}

static int grid_slopes(const struct credit_io *io)
{
    struct grid g;
    const int rc = begin(io, &g);
    for (int64_t i = 0; rc == 0 && g.output.from != NULL && i < g.rows * g.places; i++) {
        slopes_at(&g, i / g.places, i % g.places);
    }
    return rc;
}

static int grid_value(const struct credit_io *io)
{
    struct grid g;
    int rc = begin(io, &g);
    struct credit_links links = {0};
    for (int64_t i = 0; rc == 0 && i < g.output.n; i++) {
        const int64_t row = i / g.places / g.channels;
        const int64_t e = (row * g.places + i % g.places) * 2;
        struct tap taps[TAPS];
        find_taps(&g, (double)g.g.now[e], (double)g.g.now[e + 1], taps);
        for (int k = 0; k < TAPS; k++) {
            if (taps[k].weight != 0) {
                credit_links_add(&links,
                    plane_of(&g, row, i / g.places % g.channels) + taps[k].at, i,
                    (float)taps[k].weight);
            }
        }
    }
    rc = rc == 0 ? credit_links_value(io, &links) : rc;
    credit_links_finish(&links);
    return rc;
}

static int grid_forward(const struct credit_io *io)
{
    struct grid g;
    const int rc = begin(io, &g);
    float *out = io->tangent_out[0];
    for (int64_t i = 0; rc == 0 && out != NULL && i < g.output.n; i++) {
        const int64_t row = i / g.places / g.channels;
        const int64_t base = plane_of(&g, row, i / g.places % g.channels);
        const int64_t e = (row * g.places + i % g.places) * 2;
        const float *of_g = io->tangent_in[1];
        struct tap taps[TAPS];
        double sum = 0;
        find_taps(&g, (double)g.g.now[e], (double)g.g.now[e + 1], taps);
        for (int k = 0; k < TAPS; k++) {
            const int64_t at = base + taps[k].at;
            sum += io->tangent_in[0] != NULL
                       ? taps[k].weight * (double)io->tangent_in[0][at]
                       : 0;
            sum += of_g != NULL
                       ? (double)g.x.now[at] * (taps[k].by[0] * (double)of_g[e] +
                                                   taps[k].by[1] * (double)of_g[e + 1])
                       : 0;
        }
        out[i] += (float)sum;
    }
    return rc;
}

const struct credit_rule credit_rules_grid[] = {
    {"grid_sampler_2d grid_sampler _grid_sampler_2d_cpu_fallback cudnn_grid_sampler",
        grid_value, grid_slopes, grid_slopes, grid_forward},
    {0},
};
