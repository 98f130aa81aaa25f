/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>

#include "client/model/hist.h"
#include "client/view/hist.h"
#include "client/view/inside.h"
#include "client/view/words.h"
#include "lib/base/mem.h"

/*
 * The distribution of a tensor over steps, from its stored histograms, whose bins are powers of
 * two. Heat: a row a bin, darker where more elements are. Bands: percentiles, placed within a bin
 * as if its elements were even in it; the lines across are the edges of bins, nothing finer is
 * known than they. Ridges: whole histograms one behind the other, their steps as high as the bins
 * are full; here to the right is not time but value, and time goes down.
 */

enum { MAX_RIDGES = 24, MIN_RIDGES = 5 };

static const float RIDGE_PITCH = 15; /* px */

static size_t n_bins_of(const struct model_hist *hist)
{
    return 2 * (size_t)hist->n_exps + 1;
}

/* ---- the axis of values, for heat and bands upwards ---- */

static float row_of_bin(struct draw_rect plot, const struct model_hist *hist, double place)
{
    return plot.y + plot.h * (1 - (float)(place / (double)n_bins_of(hist)));
}

/* Two digits do: the edges of bins are all that is known. */
static void short_value(char out[FORMAT_MAX], double value)
{
    (void)snprintf(out, FORMAT_MAX, "%.2g", value);
}

static void draw_values(
    struct frame *f, struct draw_rect plot, const struct model_hist *hist, bool has_edges)
{
    size_t n_bins = n_bins_of(hist);
    struct draw_style style = {.role = FONT_MONO,
        .size = THEME_SIZE_AXIS,
        .color = f->theme->secondary,
        .align = DRAW_RIGHT};
    float bin_h = plot.h / (float)n_bins;
    for (size_t bin = 0; has_edges && bin <= n_bins && bin_h >= 3; bin++) {
        draw_hair_h(f->list, plot.x, row_of_bin(plot, hist, (double)bin), plot.w, 0,
            f->theme->grid);
    }
    char text[FORMAT_MAX + 1];
    char number[FORMAT_MAX];
    short_value(number, ldexp(1, hist->first_exp + hist->n_exps));
    (void)draw_string(f->list, plot.x - 6, plot.y + 8, &style, number);
    (void)snprintf(text, sizeof text, "-%s", number);
    (void)draw_string(f->list, plot.x - 6, plot.y + plot.h, &style, text);
    (void)draw_string(f->list, plot.x - 6, plot.y + plot.h / 2 + 4, &style, "0");
    if (plot.h >= 110 && hist->n_exps >= 4) {
        int half = hist->n_exps / 2;
        double middle = ldexp(1, hist->first_exp + half);
        float up = row_of_bin(plot, hist, (double)(hist->n_exps + 1 + half));
        float down = row_of_bin(plot, hist, (double)(hist->n_exps - half));
        short_value(number, middle);
        (void)snprintf(text, sizeof text, "-%s", number);
        (void)draw_string(f->list, plot.x - 6, up + 4, &style, number);
        (void)draw_string(f->list, plot.x - 6, down + 4, &style, text);
    }
}

/* ---- bands ---- */

/* From which device column to which a row of the histogram is drawn; false: it is not visible. */
static bool columns_of(const struct frame *f, const struct model_hist *hist, size_t row,
    double lasts, size_t n, size_t *out_from, size_t *out_to)
{
    double next = (double)hist->steps[row] + lasts;
    if (row + 1 < hist->n) {
        next = fmin(next, (double)hist->steps[row + 1]);
    }
    double from = xaxis_place(f->view, (double)hist->steps[row]) * (double)n;
    double to = xaxis_place(f->view, next) * (double)n;
    if (to < 0 || from >= (double)n) {
        return false;
    }
    *out_from = (size_t)fmax(floor(from), 0);
    *out_to = (size_t)fmin(fmax(ceil(to), fmax(floor(from), 0) + 1), (double)n);
    return true;
}

static void draw_bands(
    struct frame *f, struct draw_rect plot, const struct model_hist *hist, double lasts)
{
    static const struct {
        double from, to;
        float alpha;
    } bands[] = {{0, 1, 0.12F}, {0.05, 0.95, 0.26F}, {0.25, 0.75, 0.45F}, {0.5, 0.5, 1}};
    float scale = draw_scale(f->list);
    int x_px = (int)lroundf(plot.x * scale);
    size_t n = (size_t)fmaxf(roundf((plot.x + plot.w) * scale) - (float)x_px, 1);
    struct draw_span *spans = draw_scratch(f->list, n * sizeof *spans);
    size_t n_bins = n_bins_of(hist);
    draw_values(f, plot, hist, true);
    for (size_t k = 0; spans != NULL && k < BARO_LEN(bands); k++) {
        bool is_median = k + 1 == BARO_LEN(bands);
        for (size_t c = 0; c < n; c++) {
            spans[c] = (struct draw_span){1, 0};
        }
        for (size_t row = 0; row < hist->n; row++) {
            const float *shares = &hist->shares[row * n_bins];
            double low = powers_place(shares, n_bins, bands[k].from);
            double high = powers_place(shares, n_bins, bands[k].to);
            size_t from = 0;
            size_t to = 0;
            if (isnan(low) || !columns_of(f, hist, row, lasts, n, &from, &to)) {
                continue;
            }
            if (k == 0) { /* the ends of what there is are ends of bins */
                low = floor(low);
                high = ceil(high);
            }
            for (size_t c = from; c < to; c++) {
                spans[c] = (struct draw_span){
                    row_of_bin(plot, hist, high), row_of_bin(plot, hist, low)};
            }
        }
        draw_band(f->list, x_px, spans, n, is_median ? 1.5F : 0,
            draw_fade(
                is_median ? f->theme->text : theme_series(f->theme, 0), bands[k].alpha));
    }
}

/* ---- heat ---- */

static void draw_heat(
    struct frame *f, struct draw_rect plot, const struct model_hist *hist, double lasts)
{
    size_t n_bins = n_bins_of(hist);
    size_t n = (size_t)fmaxf(plot.w / 2, 8);
    draw_color *cells = draw_scratch(f->list, n * n_bins * sizeof *cells);
    for (size_t i = 0; cells != NULL && i < n * n_bins; i++) {
        cells[i] = f->theme->panel;
    }
    for (size_t row = 0; cells != NULL && row < hist->n; row++) {
        size_t from = 0;
        size_t to = 0;
        if (!columns_of(f, hist, row, lasts, n, &from, &to)) {
            continue;
        }
        const float *shares = &hist->shares[row * n_bins];
        float largest = hist_largest(shares, n_bins);
        for (size_t bin = 0; bin < n_bins; bin++) {
            draw_color color = f->theme->alarm; /* no finite element */
            if (largest > 0 && !(shares[bin] > 0)) {
                color = f->theme->panel;
            } else if (largest > 0) { /* the rarest can still be seen */
                color = draw_mix(f->theme->panel, f->theme->accent,
                    fmaxf(sqrtf(shares[bin] / largest) * 0.9F, 0.2F));
            }
            for (size_t c = from; c < to; c++) {
                cells[(n_bins - 1 - bin) * n + c] = color;
            }
        }
    }
    if (cells != NULL) {
        draw_cells(f->list, plot, cells, (uint32_t)n, (uint32_t)n_bins);
    }
    draw_values(f, plot, hist, false);
}

/* ---- ridges ---- */

/* The rows to be drawn: evenly spread over what is visible, the newest among them. */
static size_t choose_rows(
    const struct frame *f, const struct model_hist *hist, size_t most, size_t *out)
{
    size_t first = 0;
    size_t end = hist->n;
    while (first < end && (double)hist->steps[first] < f->view->lo) {
        first++;
    }
    while (end > first && (double)hist->steps[end - 1] > f->view->hi) {
        end--;
    }
    size_t n = end - first < most ? end - first : most;
    for (size_t i = 0; i < n; i++) {
        out[i] = n > 1 ? first + i * (end - 1 - first) / (n - 1) : end - 1;
    }
    return n;
}

/* One histogram: bars without gaps, filled so that it hides those behind it. */
static void draw_ridge(struct frame *f, struct draw_rect plot,
    const struct model_hist *hist, size_t row, float base, float height, bool is_at_cursor)
{
    size_t n_bins = n_bins_of(hist);
    const float *shares = &hist->shares[row * n_bins];
    float largest = hist_largest(shares, n_bins);
    float scale = draw_scale(f->list);
    int x_px = (int)lroundf(plot.x * scale);
    size_t n = (size_t)fmaxf(roundf((plot.x + plot.w) * scale) - (float)x_px, 1);
    struct draw_span *spans = draw_scratch(f->list, n * sizeof *spans);
    struct draw_point *points = draw_scratch(f->list, (2 * n_bins + 2) * sizeof *points);
    if (spans == NULL || points == NULL) {
        return;
    }
    draw_color color = is_at_cursor ? f->theme->accent : theme_series(f->theme, 0);
    if (!(largest > 0)) {
        draw_hair_h(f->list, plot.x, base, plot.w, 3, f->theme->alarm);
        return;
    }
    for (size_t c = 0; c < n; c++) {
        size_t bin = c * n_bins / n;
        float h = height * fmaxf(shares[bin], 0) / largest;
        spans[c] = (struct draw_span){base - h, base};
    }
    size_t n_points = 0;
    for (size_t bin = 0; bin < n_bins; bin++) {
        float y = base - height * fmaxf(shares[bin], 0) / largest;
        float x = plot.x + plot.w * (float)bin / (float)n_bins;
        points[n_points++] = (struct draw_point){x, y};
        points[n_points++] = (struct draw_point){x + plot.w / (float)n_bins, y};
    }
    draw_band(f->list, x_px, spans, n, 0, f->theme->panel);
    draw_band(f->list, x_px, spans, n, 0, draw_fade(color, is_at_cursor ? 0.5F : 0.25F));
    draw_polyline(f->list, points, n_points, is_at_cursor ? 2 : 1.25F, color);
}

static void draw_ridge_axis(
    struct frame *f, struct draw_rect plot, const struct model_hist *hist)
{
    struct draw_style style = {.role = FONT_MONO,
        .size = THEME_SIZE_AXIS,
        .color = f->theme->secondary,
        .align = DRAW_CENTER};
    size_t n_bins = n_bins_of(hist);
    float y = plot.y + plot.h + 13;
    float bin_w = plot.w / (float)n_bins;
    int every = (int)ceilf(64 / bin_w);
    (void)draw_string(f->list, plot.x + plot.w / 2, y, &style, "0");
    for (int e = every; e <= hist->n_exps; e += every) {
        char number[FORMAT_MAX];
        char text[FORMAT_MAX + 1];
        float off = bin_w * ((float)e + 0.5F);
        short_value(number, ldexp(1, hist->first_exp + e));
        (void)snprintf(text, sizeof text, "-%s", number);
        (void)draw_string(f->list, plot.x + plot.w / 2 + off, y, &style, number);
        (void)draw_string(f->list, plot.x + plot.w / 2 - off, y, &style, text);
    }
}

static void draw_ridges(
    struct frame *f, struct draw_rect plot, const struct model_hist *hist)
{
    size_t rows[MAX_RIDGES];
    size_t most = (size_t)(plot.h / RIDGE_PITCH);
    most = most < MIN_RIDGES ? MIN_RIDGES : most > MAX_RIDGES ? MAX_RIDGES : most;
    size_t n = choose_rows(f, hist, most, rows);
    float pitch = plot.h / ((float)n + 1.2F);
    size_t at_cursor = n;
    for (size_t i = 0; i < n && !isnan(f->view->cursor); i++) {
        at_cursor = (double)hist->steps[rows[i]] <= f->view->cursor ? i : at_cursor;
    }
    float last_label = -100;
    for (size_t i = 0; i < n; i++) {
        float base = plot.y + pitch * ((float)i + 2.2F);
        char step[FORMAT_MAX];
        draw_ridge(f, plot, hist, rows[i], base, pitch * 2.2F, i == at_cursor);
        struct draw_style style = {.role = FONT_MONO,
            .size = THEME_SIZE_AXIS,
            .color = i == at_cursor ? f->theme->accent : f->theme->secondary,
            .align = DRAW_RIGHT};
        if (base - last_label >= 13) {
            (void)draw_string(f->list, plot.x - 6, base, &style,
                format_count(step, hist->steps[rows[i]]));
            last_label = base;
        }
    }
    draw_ridge_axis(f, plot, hist);
}

/* ---- all ---- */

static const char *note_of(enum tensor_hist form)
{
    switch (form) {
    case TENSOR_BANDS:
        return "all elements: least to largest, 5 to 95 %, middle half, median · bins are "
               "powers of two";
    case TENSOR_RIDGES: return "to the right: value, bins are powers of two · down: steps";
    case TENSOR_HEAT:
    case TENSOR_HIST_COUNT: break;
    }
    return "darker: more elements · bins are powers of two";
}

/* What is under the pointer: of bands and heat the bin there. */
static void tip_of(struct frame *f, struct draw_rect plot, const struct model_hist *hist)
{
    size_t n_bins = n_bins_of(hist);
    size_t row = hist->n - 1;
    while (row > 0 && (double)hist->steps[row] > f->view->cursor) {
        row--;
    }
    const float *shares = &hist->shares[row * n_bins];
    char step[FORMAT_MAX];
    char low[FORMAT_MAX];
    char high[FORMAT_MAX];
    double lo = 0;
    double hi = 0;
    double place = (double)((plot.y + plot.h - f->view->my) / plot.h) * (double)n_bins;
    size_t bin = (size_t)fmin(fmax(place, 0), (double)(n_bins - 1));
    powers_bounds(hist->first_exp, (size_t)hist->n_exps, (double)bin, &lo, &hi);
    frame_tip(f, f->view->mx, f->view->my);
    frame_tip_line(f, "at step %s", format_count(step, hist->steps[row]));
    frame_tip_line(f, "%.3g %% of the elements from %s to %s", (double)shares[bin] * 100,
        format_value(low, lo), format_value(high, hi));
    powers_bounds(
        hist->first_exp, (size_t)hist->n_exps, powers_place(shares, n_bins, 0.5), &lo, &hi);
    frame_tip_line(
        f, "median from %s to %s", format_value(low, lo), format_value(high, hi));
}

void hist_time_draw(struct frame *f, struct draw_rect rect, const struct model_thing *thing)
{
    f->view->wish.hist_thing = thing->thing;
    const struct model_hist *hist = f->model->hist;
    struct draw_rect plot = {rect.x, rect.y, rect.w, rect.h - 20};
    bool is_right =
        hist != NULL && hist->thing == thing->thing && f->model->run == f->view->run;
    if (!is_right || hist->n == 0) {
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->secondary, plot.x,
            plot.y + 20, plot.w,
            is_right && hist->is_ready ? "no histogram here" : frame_waiting(f, false));
        return;
    }
    double lasts = fmax(4 * thing->cadence, 2 * (double)hist->every);
    enum tensor_hist form = f->view->tensor.hist;
    if (form == TENSOR_RIDGES) {
        draw_ridges(f, (struct draw_rect){plot.x, plot.y, plot.w, plot.h - 14}, hist);
    } else if (form == TENSOR_BANDS) {
        draw_bands(f, plot, hist, lasts);
    } else {
        draw_heat(f, plot, hist, lasts);
    }
    char text[WORDS_MAX];
    char every[FORMAT_MAX];
    int n = snprintf(text, sizeof text, "%s%s",
        hist->is_cut ? "newest rows only, zoom for older · " : "", note_of(form));
    if ((double)hist->every > 1.5 * thing->cadence) { /* rows were left out */
        (void)snprintf(text + n, sizeof text - (size_t)n,
            " · the last row of each %s steps", format_count(every, hist->every));
    }
    (void)frame_fit_parts(f, FONT_TEXT, THEME_SIZE_AXIS, plot.w, text);
    (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->secondary, plot.x,
        rect.y + rect.h - 4, plot.w, text);
    if (form == TENSOR_RIDGES) {
        return;
    }
    plot_cursor(f, plot, draw_fade(f->theme->accent, 0.75F));
    struct view_slot *slot =
        plot_slot(f, frame_id(VIEW_TENSOR, thing->thing, 0xF2, 0), plot);
    frame_zone(f, plot, VIEW_CHART, slot - f->view->slots, 0);
    if (frame_is_over(f, plot)) {
        tip_of(f, plot, hist);
    }
}
