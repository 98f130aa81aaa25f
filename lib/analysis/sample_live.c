/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "lib/analysis/sample_inside.h"

/*
 * A picture that grows with the training. A new step changes the last key column only: its
 * reading is entered, lines that have become non-finite, leap or reach the envelope are shown at
 * once, and everything else stays where it is. When a column is full another is opened, and when
 * all are in use each two become one, so that a column always stands for as many steps as its
 * neighbours. After an eighth of new columns, or when the picture is over-full, all is thrown
 * anew, with the lines shown so far first and twice the tolerance for them: they go only when
 * they have become doubles of others.
 */

enum { REDO_EIGHTH = 8, OVERFULL_NUM = 5, OVERFULL_DEN = 4 };

/* Each two key columns become one, of which the later reading stays. */
static void halve_columns(struct sampler *s)
{
    const size_t n = s->n_columns / 2;
    for (size_t line = 0; line < s->n_lines; line++) {
        float *y = sampler_y(s, line);
        for (size_t c = 0; c < n; c++) {
            y[c] = isnan(y[2 * c + 1]) ? y[2 * c] : y[2 * c + 1];
        }
        s->bad_from[line] = (uint16_t)((s->bad_from[line] + 1) / 2);
    }
    for (size_t c = 0; c < n; c++) {
        size_t a = 2 * c, b = a + 1;
        bool is_first = s->top_y[a] <= s->top_y[b];
        s->top[c] = is_first ? s->top[a] : s->top[b];
        s->top_y[c] = is_first ? s->top_y[a] : s->top_y[b];
        is_first = s->bottom_y[a] >= s->bottom_y[b];
        s->bottom[c] = is_first ? s->bottom[a] : s->bottom[b];
        s->bottom_y[c] = is_first ? s->bottom_y[a] : s->bottom_y[b];
    }
    for (size_t t = 0; t < n; t++) {
        s->base_radius[t] = s->base_radius[2 * t];
    }
    s->n_columns = n;
    s->steps_a_column *= 2;
    s->n_appended_columns = (s->n_appended_columns + 1) / 2;
}

/* A grid of as many intervals as there are now, with what is shown in it. */
static void rebuild_grid(struct sampler *s)
{
    sample_grid_finish(&s->grid);
    sample_grid_init(&s->grid, s->n_columns, s->n_slots, s->screen.height_px);
    for (size_t t = 0; t < s->grid.n_intervals; t++) {
        s->grid.radius[t] = s->base_radius[t] * s->scale;
    }
    sample_grid_clear(&s->grid);
    for (size_t slot = 0; slot < s->n_shown; slot++) {
        sample_grid_add(&s->grid, slot, sampler_y(s, s->shown[slot]));
    }
}

static void open_column(struct sampler *s)
{
    if (s->n_columns == s->capacity_columns) {
        halve_columns(s);
    }
    const size_t c = s->n_columns++;
    for (size_t line = 0; line < s->n_lines; line++) {
        sampler_y(s, line)[c] = NAN;
    }
    s->top_y[c] = INFINITY;
    s->bottom_y[c] = -INFINITY;
    s->base_radius[c > 0 ? c - 1 : 0] = s->base_radius[c > 1 ? c - 2 : 0];
    s->steps_in_last = 0;
    s->n_appended_columns++;
}

/* Enter one line's reading; tells why it must be shown, if it must. */
static enum sample_reason enter_value(
    struct sampler *s, uint32_t line, float value, enum polyline_mark mark)
{
    const size_t c = s->n_columns - 1;
    float *y = sampler_y(s, line);
    enum sample_reason reason = SAMPLE_NOT_SHOWN;
    if (mark == POLYLINE_GAP) {
        return reason;
    }
    if (mark == POLYLINE_NONFINITE || !isfinite(value)) {
        reason = SAMPLE_NONFINITE;
        if (s->bad_from[line] == 0) {
            s->bad_from[line] = (uint16_t)(c + 1);
            s->n_nonfinite++;
        }
    }
    if (!isfinite(value)) {
        return reason;
    }
    float height = polyline_height(&s->screen, value);
    float before = isnan(y[c]) && c > 0 ? y[c - 1] : y[c];
    float rise = fabsf(height - before);
    if (rise > s->leap[line]) {
        s->leap[line] = rise;
        bool leaps = rise > s->leap_most;
        s->n_leaping += leaps;
        reason = leaps && reason == SAMPLE_NOT_SHOWN ? SAMPLE_LEAP : reason;
    }
    y[c] = height;
    if (height < s->top_y[c]) {
        s->top_y[c] = height;
        s->top[c] = line;
    }
    if (height > s->bottom_y[c]) {
        s->bottom_y[c] = height;
        s->bottom[c] = line;
    }
    return reason;
}

void sampler_append(struct sampler *s, const float *values, const uint8_t *marks)
{
    const bool is_new = s->steps_in_last >= s->steps_a_column;
    if (s->n_columns == 0 || s->n_lines == 0) {
        return;
    }
    if (is_new) {
        open_column(s);
    }
    s->steps_in_last++;
    const size_t c = s->n_columns - 1;
    uint32_t urgent[SAMPLE_SPARE];
    uint8_t why[SAMPLE_SPARE];
    size_t n_urgent = 0;
    for (uint32_t i = 0; i < s->n_lines; i++) {
        enum polyline_mark mark =
            marks != NULL ? (enum polyline_mark)marks[i] : POLYLINE_FINITE;
        enum sample_reason reason = enter_value(s, i, values[i], mark);
        if (reason != SAMPLE_NOT_SHOWN && s->reason[i] == SAMPLE_NOT_SHOWN &&
            n_urgent < SAMPLE_SPARE) {
            urgent[n_urgent] = i;
            why[n_urgent++] = (uint8_t)reason;
        }
    }
    if (is_new) {
        rebuild_grid(s);
    } else {
        size_t t = c > 0 ? c - 1 : 0;
        for (size_t slot = 0; slot < s->n_shown; slot++) {
            sample_grid_move(&s->grid, slot, t, sampler_y(s, s->shown[slot]));
        }
    }
    size_t n_before = s->n_shown;
    for (size_t i = 0; i < n_urgent; i++) {
        s->n_left_out += !sampler_show(s, urgent[i], (enum sample_reason)why[i]);
    }
    if (!isinf(s->top_y[c])) {
        (void)sampler_show(s, s->top[c], SAMPLE_ENVELOPE);
        (void)sampler_show(s, s->bottom[c], SAMPLE_ENVELOPE);
    }
    for (size_t slot = n_before; slot < s->n_shown; slot++) {
        uint16_t *nearest = &s->nearest[s->shown[slot]];
        if (*nearest != SAMPLE_NOBODY && s->members[*nearest] > 0) {
            s->members[*nearest]--;
        }
        *nearest = (uint16_t)slot;
    }
    sampler_tell(s);
    bool is_overfull = s->n_shown * OVERFULL_DEN > s->n_full * OVERFULL_NUM;
    if (s->n_lines > s->target && (s->n_appended_columns * REDO_EIGHTH >= s->n_columns ||
                                      is_overfull || n_urgent == SAMPLE_SPARE)) {
        s->leap_most = NAN;
        sampler_measure_radius(s, s->n_lines < SAMPLE_FIRST ? s->n_lines : SAMPLE_FIRST);
        s->phase = SAMPLE_SCORE;
        s->at = 0;
    }
}
