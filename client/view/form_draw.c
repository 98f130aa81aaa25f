/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>

#include "client/view/form.h"
#include "lib/base/mem.h"

/*
 * The forms. A line is the chart's own. Boxes and bands are how the units lie: the box from the
 * 25th to the 75th percentile with the median in it, whiskers to the 5th and 95th, thin ends to
 * the least and the largest; bands the same as areas, one within the other. A horizon is the line
 * against its usual value, cut into three bands of equal height laid over each other, darker the
 * further off; what is below hangs from the top, so that no direction is told by colour alone.
 */

enum { N_HORIZON = 3, MAX_SPANS = 8192 };

static const float BOX_PITCH = 9; /* px */

/* From rect and axes to pixels. */
struct plot {
    struct draw_rect rect;
    const struct axis *y;
    float scale;
    int x_px; /* first device column */
    size_t n; /* device columns */
};

static struct plot plot_of(struct frame *f, struct draw_rect rect, const struct axis *y)
{
    float scale = draw_scale(f->list);
    int from = (int)lroundf(rect.x * scale);
    int to = (int)lroundf((rect.x + rect.w) * scale);
    size_t n = to > from ? (size_t)(to - from) : 0;
    return (struct plot){rect, y, scale, from, n < MAX_SPANS ? n : MAX_SPANS};
}

static float row_of(const struct plot *plot, double value)
{
    double place = axis_place(plot->y, value);
    return plot->rect.y + plot->rect.h * (1 - (float)fmin(fmax(place, 0), 1));
}

/* ---- a line ---- */

static void draw_line(struct frame *f, struct draw_rect rect, const struct form_data *data,
    const struct axis *y, bool faint)
{
    draw_color color =
        faint ? draw_fade(f->theme->secondary, 0.55F) : theme_series(f->theme, 0);
    struct chart_line line = frame_line(f, data->series, data->thing->cadence, color);
    struct chart_point *points = NULL;
    if (data->series == NULL && data->spread != NULL) { /* the median of its units */
        points = draw_scratch(f->list, (data->spread->n + 1) * sizeof *points);
        for (size_t i = 0; points != NULL && i < data->spread->n; i++) {
            const struct model_spread_column *column = &data->spread->columns[i];
            points[line.n_points++] = (struct chart_point){
                ((double)column->first_step + (double)column->last_step) / 2,
                (double)column->rows[SPREAD_50]};
        }
        line.points = points;
        line.color = color;
    }
    if (line.n_columns == 0 && line.n_points == 0) {
        return;
    }
    const struct xmap *map = &f->view->x.map;
    xaxis_map_line(f, map, &line);
    struct chart chart = {
        .x = {.lo = xaxis_of(map, f->view->lo), .hi = xaxis_of(map, f->view->hi)},
        .lines = &line,
        .n_lines = 1,
        .cursor = (double)NAN,
        .sparkline = true,
        .y_kind = y->kind,
        .y_fixed = true,
        .y_lo = y->lo,
        .y_hi = y->hi,
    };
    chart_draw(f->list, f->theme, rect, &chart, NULL, NULL);
}

/* ---- bands ---- */

/* Where the columns of a spread lie: each in the middle of its steps. */
static double middle_of(const struct frame *f, const struct model_spread_column *column)
{
    return xaxis_place(
        f->view, ((double)column->first_step + (double)column->last_step) / 2);
}

/* The rows of one band, a device column each; between the columns of the spread it is straight. */
static void fill_band(struct frame *f, const struct plot *plot,
    const struct model_spread *spread, const enum spread_row ends[2], double gap,
    struct draw_span *out)
{
    size_t at = 0;
    for (size_t c = 0; c < plot->n; c++) {
        double place = ((double)c + 0.5) / (double)plot->n;
        out[c] = (struct draw_span){1, 0};
        while (at + 1 < spread->n && middle_of(f, &spread->columns[at + 1]) < place) {
            at++;
        }
        const struct model_spread_column *a = &spread->columns[at];
        const struct model_spread_column *b =
            at + 1 < spread->n ? &spread->columns[at + 1] : a;
        double from = middle_of(f, a);
        double to = middle_of(f, b);
        double distance = (double)(b->first_step - a->last_step);
        double edge = 2 / (double)plot->n;
        if (isnan((double)a->rows[ends[0]]) || place < from - edge ||
            (place > to + edge && b == a)) {
            continue;
        }
        bool is_hole = gap > 0 && distance > gap;
        if ((is_hole || isnan((double)b->rows[ends[0]])) && place > from + edge) {
            continue;
        }
        double t = to > from ? fmin(fmax((place - from) / (to - from), 0), 1) : 0;
        float low[2];
        for (int end = 0; end < 2; end++) {
            float ya = row_of(plot, (double)a->rows[ends[end]]);
            float yb = row_of(plot, (double)b->rows[ends[end]]);
            low[end] = is_hole || isnan((double)b->rows[ends[end]])
                           ? ya
                           : ya + (yb - ya) * (float)t;
        }
        out[c] = (struct draw_span){low[1], low[0]};
    }
}

static double gap_of(const struct form_data *data)
{
    double width = data->spread != NULL ? (double)data->spread->width : 1;
    return 4 * fmax(data->thing->unit_cadence, width);
}

/* The median as a line: steep ends stay joined. */
static void draw_median(
    struct frame *f, const struct plot *plot, const struct form_data *data)
{
    const struct model_spread *spread = data->spread;
    struct draw_point *points = draw_scratch(f->list, (2 * spread->n + 1) * sizeof *points);
    size_t n = 0;
    for (size_t i = 0; points != NULL && i < spread->n; i++) {
        const struct model_spread_column *column = &spread->columns[i];
        bool is_hole = i > 0 && (double)(column->first_step -
                                         spread->columns[i - 1].last_step) > gap_of(data);
        if (is_hole || isnan((double)column->rows[SPREAD_50])) {
            points[n++] = (struct draw_point){NAN, NAN};
        }
        if (!isnan((double)column->rows[SPREAD_50])) {
            points[n++] = (struct draw_point){
                plot->rect.x + plot->rect.w * (float)middle_of(f, column),
                row_of(plot, (double)column->rows[SPREAD_50])};
        }
    }
    draw_polyline(f->list, points, n, THEME_LINE, f->theme->text);
}

static void draw_bands(struct frame *f, struct draw_rect rect, const struct form_data *data,
    const struct axis *y)
{
    static const struct {
        enum spread_row ends[2];
        float alpha;
    } bands[] = {{{SPREAD_LEAST, SPREAD_MOST}, 0.14F}, {{SPREAD_5, SPREAD_95}, 0.28F},
        {{SPREAD_25, SPREAD_75}, 0.45F}};
    struct plot plot = plot_of(f, rect, y);
    struct draw_span *spans = draw_scratch(f->list, (plot.n + 1) * sizeof *spans);
    for (size_t i = 0; spans != NULL && data->spread->n > 0 && i < BARO_LEN(bands); i++) {
        fill_band(f, &plot, data->spread, bands[i].ends, gap_of(data), spans);
        draw_band(f->list, plot.x_px, spans, plot.n, 0,
            draw_fade(theme_series(f->theme, 0), bands[i].alpha));
    }
    draw_median(f, &plot, data);
}

/* ---- boxes ---- */

/* Several columns of a spread as one: ends of all, the mean of their percentiles. */
static bool merge(const struct frame *f, const struct model_spread *spread, double from,
    double to, float out[SPREAD_COUNT])
{
    size_t n = 0;
    double sums[SPREAD_COUNT] = {0};
    for (size_t i = 0; i < spread->n; i++) {
        const struct model_spread_column *column = &spread->columns[i];
        double place = middle_of(f, column);
        if (place < from || place >= to || isnan((double)column->rows[SPREAD_50])) {
            continue;
        }
        for (int row = 0; row < SPREAD_COUNT; row++) {
            double value = (double)column->rows[row];
            sums[row] = n == 0                ? value
                        : row == SPREAD_LEAST ? fmin(sums[row], value)
                        : row == SPREAD_MOST  ? fmax(sums[row], value)
                                              : sums[row] + value;
        }
        n++;
    }
    for (int row = 0; row < SPREAD_COUNT && n > 0; row++) {
        bool is_end = row == SPREAD_LEAST || row == SPREAD_MOST;
        out[row] = (float)(is_end ? sums[row] : sums[row] / (double)n);
    }
    return n > 0;
}

static void draw_boxes(struct frame *f, struct draw_rect rect, const struct form_data *data,
    const struct axis *y)
{
    struct plot plot = plot_of(f, rect, y);
    size_t n = (size_t)fmaxf(rect.w / BOX_PITCH, 1);
    draw_color color = theme_series(f->theme, 0);
    float w = rect.w / (float)n;
    for (size_t i = 0; i < n; i++) {
        float rows[SPREAD_COUNT];
        float px[SPREAD_COUNT];
        if (!merge(f, data->spread, (double)i / (double)n, (double)(i + 1) / (double)n,
                rows)) {
            continue;
        }
        for (int row = 0; row < SPREAD_COUNT; row++) {
            px[row] = row_of(&plot, (double)rows[row]);
        }
        float x = rect.x + w * (float)i;
        float box = fmaxf(floorf(w * 0.6F), 2);
        float left = x + (w - box) / 2;
        draw_hair_v(f->list, x + w / 2, px[SPREAD_MOST], px[SPREAD_LEAST] - px[SPREAD_MOST],
            0, draw_fade(color, 0.35F));
        draw_fill(f->list,
            (struct draw_rect){x + w / 2 - 0.5F, px[SPREAD_95], 1.5F,
                fmaxf(px[SPREAD_5] - px[SPREAD_95], 1)},
            draw_fade(color, 0.7F));
        draw_fill(f->list,
            (struct draw_rect){
                left, px[SPREAD_75], box, fmaxf(px[SPREAD_25] - px[SPREAD_75], 1)},
            draw_mix(f->theme->panel, color, 0.6F));
        draw_fill(f->list, (struct draw_rect){left, px[SPREAD_50] - 0.75F, box, 1.5F},
            f->theme->text);
    }
}

/* ---- horizon ---- */

/* How far a value is from usual: 1 is sixteen times, or as much again of a mean. */
static double departure(double value, double usual, enum form_stat stat, double scale)
{
    if (!isfinite(value) || isnan(usual)) {
        return (double)NAN;
    }
    double far = stat != FORM_MEAN && usual > 0 ? (value > 0 ? log2(value / usual) / 4 : -1)
                                                : (value - usual) / fmax(scale, 1e-30);
    return fmin(fmax(far, -1), 1);
}

/* Of a device column the reading that is furthest off. */
static void fill_departures(struct frame *f, const struct plot *plot,
    const struct form_data *data, enum form_stat stat, float *out)
{
    struct axis unused;
    bool has_range = form_fit(f, data, 1, stat, FORM_LINE, &unused);
    double scale =
        has_range && unused.kind == AXIS_LINEAR ? (unused.hi - unused.lo) / 2 : 1;
    const struct model_series *series = data->series;
    size_t n = series != NULL ? series->n : data->spread != NULL ? data->spread->n : 0;
    for (size_t c = 0; c < plot->n; c++) {
        out[c] = NAN;
    }
    for (size_t i = 0; i < n; i++) {
        double from = series != NULL ? (double)model_column(series, i)->first_step
                                     : (double)data->spread->columns[i].first_step;
        double next =
            i + 1 < n ? (series != NULL ? (double)model_column(series, i + 1)->first_step
                                        : (double)data->spread->columns[i + 1].first_step)
                      : from;
        double lasts = gap_of(data);
        double to =
            fmin(fmax(next, from + 1), from + fmax(lasts, data->thing->cadence * 4));
        double most = series != NULL ? model_column(series, i)->max
                                     : (double)data->spread->columns[i].rows[SPREAD_50];
        double least = series != NULL ? model_column(series, i)->min : most;
        double up = departure(most, data->usual, stat, scale);
        double down = departure(least, data->usual, stat, scale);
        double far = fabs(up) >= fabs(down) ? up : down;
        double a = floor(xaxis_place(f->view, from) * (double)plot->n);
        double b = ceil(xaxis_place(f->view, to) * (double)plot->n);
        for (double c = fmax(a, 0); c < fmin(b, (double)plot->n) && !isnan(far); c++) {
            float *at = &out[(size_t)c];
            *at = isnan((double)*at) || fabs(far) > fabs((double)*at) ? (float)far : *at;
        }
    }
}

static void draw_horizon(struct frame *f, struct draw_rect rect,
    const struct form_data *data, enum form_stat stat)
{
    struct plot plot = plot_of(f, rect, NULL);
    float *far = draw_scratch(f->list, (plot.n + 1) * sizeof *far);
    struct draw_span *spans = draw_scratch(f->list, (plot.n + 1) * sizeof *spans);
    if (far == NULL || spans == NULL) {
        return;
    }
    fill_departures(f, &plot, data, stat, far);
    for (int sign = -1; sign <= 1; sign += 2) {
        for (int band = 0; band < N_HORIZON; band++) {
            for (size_t c = 0; c < plot.n; c++) {
                float over = far[c] * (float)sign * N_HORIZON - (float)band;
                float h = rect.h * fminf(fmaxf(over, 0), 1);
                spans[c] = !(h > 0) ? (struct draw_span){1, 0}
                           : sign > 0
                               ? (struct draw_span){rect.y + rect.h - h, rect.y + rect.h}
                               : (struct draw_span){rect.y, rect.y + h};
            }
            float depth = (float)sign * (float)(band + 1) / N_HORIZON;
            draw_band(f->list, plot.x_px, spans, plot.n, 0, theme_diff(f->theme, depth));
        }
    }
}

/* ---- all ---- */

void form_draw(struct frame *f, struct draw_rect rect, const struct form_data *data,
    enum form_stat stat, enum form form, const struct axis *y, bool faint)
{
    bool has_spread = data->spread != NULL && data->spread->n > 0;
    if (form == FORM_HORIZON) {
        draw_horizon(f, rect, data, stat);
    } else if (form == FORM_BANDS && has_spread) {
        draw_bands(f, rect, data, y);
    } else if (form == FORM_BOX && has_spread) {
        draw_boxes(f, rect, data, y);
    } else {
        draw_line(f, rect, data, y, faint);
    }
}
