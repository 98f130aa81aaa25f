/* SPDX-License-Identifier: Apache-2.0 */
#include "client/view/heat_row.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/order.h"

/*
 * The colour says how large a tensor's l2 norm is against the median of what is visible of it.
 * Rows are remembered by what they were made of: series are immutable parts, so the same part
 * and the same range give the same row, and a frame in which only the pointer moves makes none.
 * A reference is kept so that no other part can come to lie at the same address.
 */

enum { N_PARTS = 4, N_ENTRIES = 1024 };

static const double OCTAVES = 4; /* of the colour scale, either way */

/* What a row is made of. */
struct heat_key {
    const struct model_series
        *parts[N_PARTS]; /* norm, n_nan, n_pos_inf, n_neg_inf; or NULL */
    const struct theme *theme;
    double lo, hi, lasts;
    uint64_t x_stamp; /* of what the x axis counts */
    size_t n_cells;
    uint32_t thing;
    bool is_soft;
};

/* A thing has one place, at its number modulo N_ENTRIES. */
struct heat_cache {
    struct entry {
        struct heat_key key;
        double usual;
        draw_color *cells;
    } at[N_ENTRIES];
};

/* Median of log2 of the positive means; NaN when there is none. */
static double usual_of(struct frame *f, const struct model_series *series)
{
    double *logs = draw_scratch(f->list, (series->n + 1) * sizeof *logs);
    size_t n = 0;
    for (size_t i = 0; logs != NULL && i < series->n; i++) {
        if (model_column(series, i)->mean > 0) {
            logs[n++] = log2(model_column(series, i)->mean);
        }
    }
    if (n == 0) {
        return (double)NAN;
    }
    qsort(logs, n, sizeof *logs, baro_by_double);
    return logs[n / 2];
}

/* Column of the picture that a step falls into. */
static size_t cell_of(const struct frame *f, double step, size_t n_cells)
{
    double place = xaxis_place(f->view, step);
    if (!(place > 0)) {
        return 0;
    }
    size_t cell = (size_t)(place * (double)n_cells);
    return cell < n_cells ? cell : n_cells - 1;
}

/* The columns of n_nan, n_pos_inf and n_neg_inf of a tensor that has any. */
static void mark_nonfinite(struct frame *f, const struct heat_key *key, draw_color *row)
{
    draw_color color = key->is_soft ? heat_soft_alarm(f->theme) : f->theme->alarm;
    size_t n_cells = key->n_cells;
    for (size_t k = 1; k < N_PARTS; k++) {
        const struct model_series *series = key->parts[k];
        for (size_t i = 0; series != NULL && i < series->n; i++) {
            const struct wire_column *column = model_column(series, i);
            if (!(column->max > 0) || (double)column->last_step < f->view->lo ||
                (double)column->first_step > f->view->hi) {
                continue;
            }
            size_t from = cell_of(f, (double)column->first_step, n_cells);
            double end = fmax(
                (double)column->first_step + key->lasts / 2, (double)column->last_step);
            if (i + 1 < series->n) {
                end = fmin(end, (double)model_column(series, i + 1)->first_step);
            }
            size_t to = cell_of(f, end, n_cells);
            for (size_t cell = from; cell <= to; cell++) {
                row[cell] = color;
            }
        }
    }
}

/* How far from usual a column goes, either way: -1 to 1. Of many readings the furthest counts, so
 * that no spike vanishes where a cell stands for thousands of steps. */
static float deviation_of(const struct wire_column *column, double usual)
{
    if (isnan(usual)) {
        return 0;
    }
    double most = column->max > 0 ? (log2(column->max) - usual) / OCTAVES : -1;
    double least = column->min > 0 ? (log2(column->min) - usual) / OCTAVES : -1;
    double t = fabs(most) >= fabs(least) ? most : least;
    return (float)fmin(fmax(t, -1), 1);
}

/* Colours of one row. A reading lasts until the next one, but no longer than usual. */
static void fill_row(
    struct frame *f, const struct heat_key *key, double usual, draw_color *row)
{
    const struct model_series *series = key->parts[0];
    double lasts = key->lasts;
    size_t n_cells = key->n_cells;
    float *far = draw_scratch(f->list, n_cells * sizeof *far);
    for (size_t i = 0; i < n_cells; i++) {
        row[i] = f->theme->panel; /* nothing was recorded: a gap is a gap */
    }
    if (far == NULL) {
        return;
    }
    memset(far, 0, n_cells * sizeof *far);
    for (size_t i = 0; series != NULL && i < series->n; i++) {
        const struct wire_column *column = model_column(series, i);
        double from = (double)column->first_step;
        double to = from + lasts;
        if (i + 1 < series->n) {
            to = fmin(to, (double)model_column(series, i + 1)->first_step);
        } else {
            to = from + lasts / 2;
        }
        if (to < f->view->lo || from > f->view->hi || !(column->mean >= 0)) {
            continue;
        }
        float t = deviation_of(column, usual);
        if (xaxis_is_idle(&f->view->x.map, from, to)) { /* nothing lasts meanwhile */
            to = fmax(to - 1, (double)column->last_step);
        }
        size_t last = cell_of(f, to, n_cells);
        for (size_t cell = cell_of(f, from, n_cells); cell <= last; cell++) {
            if (fabsf(t) >= fabsf(far[cell])) {
                far[cell] = t;
                row[cell] = theme_diff(f->theme, t);
            }
        }
    }
    mark_nonfinite(f, key, row);
}

static bool same_double(double a, double b)
{
    uint64_t bits[2]; /* NaN is the same as itself here */
    memcpy(&bits[0], &a, sizeof a);
    memcpy(&bits[1], &b, sizeof b);
    return bits[0] == bits[1];
}

static bool key_equal(const struct heat_key *a, const struct heat_key *b)
{
    for (size_t i = 0; i < N_PARTS; i++) {
        if (a->parts[i] != b->parts[i]) {
            return false;
        }
    }
    return a->thing == b->thing && a->x_stamp == b->x_stamp && a->theme == b->theme &&
           a->n_cells == b->n_cells && a->is_soft == b->is_soft &&
           same_double(a->lo, b->lo) && same_double(a->hi, b->hi) &&
           same_double(a->lasts, b->lasts);
}

static struct heat_key key_of(
    struct frame *f, const struct model_thing *thing, bool is_soft, size_t n_cells)
{
    static const enum summary_stat stats[N_PARTS] = {
        SUMMARY_L2, SUMMARY_N_NAN, SUMMARY_N_POS_INF, SUMMARY_N_NEG_INF};
    struct heat_key key = {.theme = f->theme,
        .lo = f->view->lo,
        .hi = f->view->hi,
        .x_stamp = f->view->x.stamp,
        .n_cells = n_cells,
        .thing = thing->thing,
        .is_soft = is_soft};
    size_t n = thing->n_nonfinite > 0 ? N_PARTS : 1;
    for (size_t i = 0; i < n; i++) {
        struct model_ref ref = {thing->thing, READING_SUMMARY, (uint16_t)stats[i], 0};
        key.parts[i] = frame_series(f, ref, true);
    }
    int64_t width = key.parts[0] != NULL ? key.parts[0]->width : 1;
    key.lasts = fmax(thing->cadence, (double)width) * 2;
    return key;
}

static void forget(struct entry *entry)
{
    for (size_t i = 0; i < N_PARTS; i++) {
        part_unref(entry->key.parts[i]);
    }
    free(entry->cells);
    *entry = (struct entry){0};
}

struct heat_row heat_row_get(
    struct frame *f, const struct model_thing *thing, bool is_soft, size_t n_cells)
{
    struct view *view = f->view;
    if (view->heat_cache == NULL) {
        view->heat_cache = baro_xcalloc(1, sizeof *view->heat_cache);
    }
    struct entry *entry = &view->heat_cache->at[thing->thing % N_ENTRIES];
    struct heat_key key = key_of(f, thing, is_soft, n_cells);
    if (entry->cells == NULL || !key_equal(&entry->key, &key)) {
        for (size_t i = 0; i < N_PARTS; i++) {
            (void)part_ref(key.parts[i]);
        }
        forget(entry);
        entry->key = key;
        entry->cells = baro_xcalloc(n_cells, sizeof *entry->cells);
        entry->usual = key.parts[0] != NULL ? usual_of(f, key.parts[0]) : (double)NAN;
        fill_row(f, &key, entry->usual, entry->cells);
    }
    return (struct heat_row){entry->cells, entry->usual, key.parts[0]};
}

draw_color heat_soft_alarm(const struct theme *theme)
{
    return draw_mix(theme->panel, theme->alarm, 0.42F);
}

void heat_cache_destroy(struct heat_cache *cache)
{
    for (size_t i = 0; cache != NULL && i < N_ENTRIES; i++) {
        forget(&cache->at[i]);
    }
    free(cache);
}
