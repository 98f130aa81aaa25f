/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/view/hist.h"
#include "client/view/inside.h"
#include "client/view/words.h"
#include "lib/base/mem.h"

/*
 * The distribution of a tensor, at the right of its page: how its elements lie at the cursor's
 * step, or at the newest. Magnitudes are powers of two, zeros in the middle. hist_time.c has the
 * same over all visible steps.
 */

float hist_largest(const float *shares, size_t n)
{
    float largest = 0;
    for (size_t i = 0; i < n; i++) {
        largest = fmaxf(largest, shares[i]);
    }
    return largest;
}

/* The row at the cursor, else the newest that has a finite element, else the newest. */
static size_t row_at_cursor(const struct frame *f, const struct model_hist *hist)
{
    size_t at = hist->n - 1;
    if (isnan(f->view->cursor)) {
        size_t n_bins = 2 * (size_t)hist->n_exps + 1;
        while (at > 0 && !(hist_largest(&hist->shares[at * n_bins], n_bins) > 0)) {
            at--;
        }
        return at;
    }
    while (at > 0 && (double)hist->steps[at] > f->view->cursor) {
        at--;
    }
    return at;
}

/* "-2^3", "0", "2^-7" for a bin of the row. */
static void name_bin(const struct model_hist *hist, size_t bin, char out[FORMAT_MAX])
{
    size_t zero = (size_t)hist->n_exps;
    if (bin == zero) {
        (void)snprintf(out, FORMAT_MAX, "0");
        return;
    }
    bool is_negative = bin < zero;
    int exp = hist->first_exp + (int)(is_negative ? zero - 1 - bin : bin - zero - 1);
    char value[FORMAT_MAX];
    (void)snprintf(out, FORMAT_MAX, "%s%s", is_negative ? "-" : "",
        format_value(value, ldexp(1, exp)));
}

/* The ends and the middle; powers of two are told, or one would take the two hills of a normal
 * distribution for two of values. */
static void draw_axis(struct frame *f, struct draw_rect plot, const struct model_hist *hist)
{
    char end[FORMAT_MAX];
    char start[FORMAT_MAX + 1];
    (void)format_value(end, ldexp(1, hist->first_exp + (int)hist->n_exps));
    (void)snprintf(start, sizeof start, "-%s", end);
    struct draw_style style = {
        .role = FONT_MONO, .size = THEME_SIZE_AXIS, .color = f->theme->secondary};
    float y = plot.y + plot.h + 14;
    struct draw_rect first = draw_string(f->list, plot.x, y, &style, start);
    style.align = DRAW_RIGHT;
    struct draw_rect last = draw_string_box(f->list, plot.x + plot.w, y, &style, end);
    if (last.x < first.x + first.w + 8) {
        return; /* the other end is as far */
    }
    (void)draw_string(f->list, plot.x + plot.w, y, &style, end);
    style.align = DRAW_CENTER;
    struct draw_rect zero = draw_string_box(f->list, plot.x + plot.w / 2, y, &style, "0");
    if (zero.x < first.x + first.w + 6 || zero.x + zero.w > last.x - 6) {
        return;
    }
    (void)draw_string(f->list, plot.x + plot.w / 2, y, &style, "0");
    float room = last.x - zero.x - zero.w;
    if (room >= 64) {
        style.role = FONT_TEXT;
        style.align = DRAW_CENTER;
        (void)draw_string(f->list, zero.x + zero.w + room / 2, y, &style, "log scale");
    }
}

static void draw_now(struct frame *f, struct draw_rect rect, const struct model_hist *hist)
{
    size_t n_bins = 2 * (size_t)hist->n_exps + 1;
    size_t row = row_at_cursor(f, hist);
    const float *shares = &hist->shares[row * n_bins];
    float largest = hist_largest(shares, n_bins);
    char step[FORMAT_MAX];
    char note[WORDS_MAX];
    (void)snprintf(note, sizeof note, "at step %s%s", format_count(step, hist->steps[row]),
        isnan(f->view->cursor) && row + 1 < hist->n ? ", NaN since" : "");
    struct draw_rect box = frame_text(f, FONT_STRONG, THEME_SIZE_TEXT, f->theme->text,
        rect.x, rect.y + 14, rect.w, "distribution");
    (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->secondary, box.x + box.w + 10,
        rect.y + 14, rect.w - box.w - 10, note);
    struct draw_rect plot = {rect.x, rect.y + 26, rect.w, rect.h - 26 - 20};
    float bar_w = plot.w / (float)n_bins;
    for (size_t bin = 0; bin < n_bins && largest > 0; bin++) {
        float h = shares[bin] > 0 ? fmaxf(plot.h * shares[bin] / largest, 2) : 0;
        struct draw_rect bar = {
            plot.x + bar_w * (float)bin, plot.y + plot.h - h, fmaxf(bar_w - 1, 1), h};
        bool is_zero = bin == (size_t)hist->n_exps;
        draw_fill(f->list, bar, is_zero ? f->theme->secondary : theme_series(f->theme, 0));
        struct draw_rect column = {bar.x, plot.y, bar_w, plot.h};
        if (frame_is_over(f, column)) {
            char name[FORMAT_MAX];
            name_bin(hist, bin, name);
            frame_tip(f, f->view->mx, f->view->my);
            frame_tip_line(f, "%.3g %% of the elements", (double)shares[bin] * 100);
            frame_tip_line(f, is_zero ? "are %s" : "from %s on, to its double", name);
        }
    }
    if (!(largest > 0)) {
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->alarm, plot.x,
            plot.y + plot.h / 2, plot.w, "no finite element");
    }
    draw_hair_h(f->list, plot.x, plot.y + plot.h, plot.w, 0, f->theme->hairline);
    draw_axis(f, plot, hist);
}

void hist_draw(struct frame *f, struct draw_rect rect, const struct model_thing *thing)
{
    f->view->wish.hist_thing = thing->thing;
    draw_fill(f->list, rect, f->theme->panel);
    struct draw_rect inner = draw_inset(rect, 12, 8);
    const struct model_hist *hist = f->model->hist;
    if (hist == NULL || hist->thing != thing->thing || f->model->run != f->view->run) {
        return;
    }
    if (hist->n == 0) {
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->secondary, inner.x,
            inner.y + 14, inner.w,
            hist->is_ready ? "no histogram here" : frame_waiting(f, false));
        return;
    }
    draw_now(f, inner, hist);
}
