/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "lib/analysis/sample_inside.h"

/*
 * A picture that grows with the training. A new step changes the last key column only: its
 * reading is entered, lines that have become non-finite, leap or reach the envelope are shown at
 * once, and everything else stays where it is. When a column is full another is opened, and when
 * all are in use each two become one, so that a column always stands for as many steps as its
 * neighbours; several steps that come at once take as much of a column as they are. After a quarter of new columns, or when the picture is over-full, all is thrown
 * anew, with the lines shown so far first and twice the tolerance for them: they go only when
 * they have become doubles of others.
 */

enum { REDO_QUARTER = 4, OVERFULL_NUM = 5, OVERFULL_DEN = 4 };

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
    const size_t more =
        s->steps_in_last - s->steps_a_column; /* than the last has room for */
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
    s->steps_in_last = more;
    s->n_appended_columns++;
}

/* How high the least or the largest reading lies; NULL or none that is finite: as the last. */
static float height_of(
    const struct sampler *s, const float *values, uint32_t line, float height)
{
    return values != NULL && isfinite(values[line])
               ? polyline_height(&s->screen, values[line])
               : height;
}

/* Enter one line's reading; tells why it must be shown, if it must. */
static enum sample_reason enter_value(
    struct sampler *s, uint32_t line, const struct sample_news *news)
{
    const float value = news->values[line];
    const enum polyline_mark mark =
        news->marks != NULL ? (enum polyline_mark)news->marks[line] : POLYLINE_FINITE;
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
    float top = height_of(s, news->high, line, height);
    float bottom = height_of(s, news->low, line, height);
    float rise = fabsf(height - before);
    rise = bottom - top > rise ? bottom - top : rise;
    if (rise > s->leap[line]) {
        s->leap[line] = rise;
        bool leaps = rise > s->leap_most;
        s->n_leaping += leaps;
        reason = leaps && reason == SAMPLE_NOT_SHOWN ? SAMPLE_LEAP : reason;
    }
    y[c] = height;
    if (top < s->top_y[c]) {
        s->top_y[c] = top;
        s->top[c] = line;
    }
    if (bottom > s->bottom_y[c]) {
        s->bottom_y[c] = bottom;
        s->bottom[c] = line;
    }
    return reason;
}

/* Show what must be, and give it its own slot. */
static void show_urgent(struct sampler *s, const struct wanted_line *urgent, size_t n)
{
    const size_t c = s->n_columns - 1;
    const size_t n_before = s->n_shown;
    for (size_t i = 0; i < n; i++) {
        s->n_left_out +=
            !sampler_show(s, urgent[i].line, (enum sample_reason)urgent[i].reason);
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
        s->distance[s->shown[slot]] = 0;
    }
}

/* A line that is shown anyhow has a graver reason now. */
static void tell_graver(struct sampler *s, uint32_t line, enum sample_reason reason)
{
    s->reason[line] = (uint8_t)reason;
    for (size_t slot = 0; slot < s->n_shown; slot++) {
        if (s->shown[slot] == line) {
            s->reasons[slot] = (uint8_t)reason;
        }
    }
}

/* Enter all lines' readings in the last column; returns how many must be shown that are not. */
static size_t enter_all(
    struct sampler *s, const struct sample_news *news, struct wanted_line *urgent)
{
    size_t n = 0;
    for (uint32_t i = 0; i < s->n_lines; i++) {
        enum sample_reason reason = enter_value(s, i, news);
        if (reason != SAMPLE_NOT_SHOWN && s->reason[i] == SAMPLE_NOT_SHOWN &&
            n < SAMPLE_SPARE) {
            urgent[n++] = (struct wanted_line){i, (uint8_t)reason};
        } else if (s->reason[i] != SAMPLE_NOT_SHOWN && (uint8_t)reason > s->reason[i]) {
            tell_graver(s, i, reason);
        }
    }
    return n;
}

/* Choose anew, if it is time. */
static void review(struct sampler *s, size_t n_urgent)
{
    const bool is_overfull = s->n_shown * OVERFULL_DEN > s->n_full * OVERFULL_NUM;
    const bool is_longer = s->n_appended_columns * REDO_QUARTER >= s->n_columns;
    if (s->n_lines > s->target && (is_longer || is_overfull || n_urgent == SAMPLE_SPARE)) {
        s->is_urgent = n_urgent == SAMPLE_SPARE || s->n_shown == s->n_slots;
        s->phase = SAMPLE_DUE;
        s->at = 0;
    }
}

bool sampler_put_off(struct sampler *s)
{
    if (s->phase != SAMPLE_DUE || s->is_urgent) {
        return false;
    }
    s->phase = SAMPLE_DONE;
    return true;
}

void sampler_append_news(struct sampler *s, const struct sample_news *news)
{
    const bool is_new = s->steps_in_last >= s->steps_a_column;
    if (s->n_columns == 0 || s->n_lines == 0) {
        return;
    }
    if (is_new) {
        open_column(s);
    }
    const size_t n_readings = news->n_readings > 0 ? news->n_readings : 1;
    const size_t room = 2 * s->steps_a_column;
    s->steps_in_last += n_readings;
    s->steps_in_last = s->steps_in_last < room ? s->steps_in_last : room;
    const size_t c = s->n_columns - 1;
    const bool has_envelope = !isinf(s->top_y[c]);
    const uint32_t top = s->top[c], bottom = s->bottom[c];
    struct wanted_line urgent[SAMPLE_SPARE];
    const size_t n_urgent = enter_all(s, news, urgent);
    if (is_new) {
        rebuild_grid(s);
    } else {
        size_t t = c > 0 ? c - 1 : 0;
        for (size_t slot = 0; slot < s->n_shown; slot++) {
            sample_grid_move(&s->grid, slot, t, sampler_y(s, s->shown[slot]));
        }
    }
    show_urgent(s, urgent, n_urgent);
    if (has_envelope) {
        sampler_drop_later(s, top);
        sampler_drop_later(s, bottom);
    }
    sampler_tell(s);
    review(s, n_urgent);
}

void sampler_append(struct sampler *s, const float *values, const uint8_t *marks)
{
    const struct sample_news news = {.values = values, .marks = marks};
    sampler_append_news(s, &news);
}

size_t sampler_readings_a_column(const struct sampler *s)
{
    return s->steps_a_column > 0 ? s->steps_a_column : 1;
}
