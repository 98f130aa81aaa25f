/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/model/keeper_inner.h"
#include "lib/base/mem.h"

/*
 * How the units of many tensors lie over steps. The daemon reduces them to seven rows, so that a
 * page of forty layers costs no more than its pixels. A live reading whose column of steps is new
 * becomes a column of its own; what falls into the last column widens its extremes, and when the
 * column is over the percentiles of all of it are asked for anew.
 */

/* One tensor and statistic. */
struct spread_entry {
    struct model_spread_ref ref;
    struct cover cover;
    int64_t width; /* of the columns; 0: none yet */
    uint64_t n_coarse;
    size_t n, capacity;
    struct model_spread_column *columns;
    struct model_spread *part; /* NULL: changed since */
};

static void destroy(struct spread_entry *entry)
{
    free(entry->columns);
    part_unref(entry->part);
    free(entry);
}

static void touch(struct keeper *keeper, struct spread_entry *entry)
{
    part_unref(entry->part);
    entry->part = NULL;
    keeper->is_changed = true;
}

static struct spread_entry *find(const struct keeper *keeper, struct model_spread_ref ref)
{
    for (size_t i = 0; i < keeper->spreads.n; i++) {
        struct spread_entry *entry = keeper->spreads.entries[i];
        if (entry->ref.thing == ref.thing && entry->ref.stat == ref.stat) {
            return entry;
        }
    }
    return NULL;
}

/* ---- the wish ---- */

void keeper_spread_wish(struct keeper *keeper, const struct model_wish *wish)
{
    struct spreads *spreads = &keeper->spreads;
    struct grid grid = grid_cover(wish->from_step, wish->to_step,
        wish->spread_columns > 2 ? wish->spread_columns : 2);
    struct spread_entry **entries =
        baro_xcalloc(wish->n_spreads + 1, sizeof(struct spread_entry *));
    for (size_t i = 0; i < wish->n_spreads; i++) {
        for (size_t k = 0; k < spreads->n && entries[i] == NULL; k++) {
            struct spread_entry *old = spreads->entries[k];
            if (old != NULL && old->ref.thing == wish->spreads[i].thing &&
                old->ref.stat == wish->spreads[i].stat) {
                entries[i] = old;
                spreads->entries[k] = NULL;
            }
        }
        if (entries[i] == NULL) {
            entries[i] = baro_xcalloc(1, sizeof *entries[i]);
            entries[i]->ref = wish->spreads[i];
        }
        entries[i]->cover.want = grid;
    }
    for (size_t k = 0; k < spreads->n; k++) {
        if (spreads->entries[k] != NULL) {
            destroy(spreads->entries[k]);
        }
    }
    free(spreads->entries);
    spreads->entries = entries;
    spreads->n = wish->n_spreads;
}

/* The tensor of a spread when it has such a statistic of units; else NULL. */
static const struct model_thing *thing_of(
    struct keeper *keeper, struct model_spread_ref ref)
{
    const struct model_thing *thing = catalog_thing(keeper->catalog, ref.thing);
    bool has_it = thing != NULL && thing->n_units > 0 &&
                  (int)ref.stat < reading_unit_stats(thing->role);
    return has_it ? thing : NULL;
}

/* ---- asking ---- */

bool keeper_spread_ask(struct keeper *keeper, Baro__Envelope *out)
{
    struct spreads *spreads = &keeper->spreads;
    Baro__RangeRequest *range = &keeper->body.range;
    size_t n_units = 0;
    size_t n = 0;
    if (spreads->request != 0 || spreads->is_out || !keeper->has_things) {
        return false;
    }
    for (size_t i = 0; i < spreads->n && n < SPREAD_BATCH; i++) {
        struct spread_entry *entry = spreads->entries[i];
        const struct model_thing *thing = thing_of(keeper, entry->ref);
        if (thing == NULL || !keeper_needs(keeper, &entry->cover) ||
            (n > 0 && n_units + thing->n_units > SPREAD_BATCH_UNITS)) {
            continue;
        }
        n_units += thing->n_units;
        Baro__SeriesRef *ref = &spreads->refs[n];
        baro__series_ref__init(ref);
        ref->thing = entry->ref.thing;
        ref->kind = READING_UNITS;
        ref->stat = (uint32_t)entry->ref.stat;
        ref->unit = -2;
        spreads->ref_pointers[n] = ref;
        spreads->asked[n++] = entry->ref;
        spreads->grid = entry->cover.asked = entry->cover.want;
        entry->cover.is_stale = false;
    }
    if (n == 0) {
        return false;
    }
    const struct model_run *run = catalog_run(keeper->catalog, keeper->wish.run);
    spreads->is_open =
        run == NULL || run->n_steps == 0 || grid_to(spreads->grid) >= run->last_step;
    spreads->n_asked = n;
    spreads->is_out = true;
    baro__range_request__init(range);
    range->run = keeper->wish.run;
    range->from_step = spreads->grid.from;
    range->to_step = grid_to(spreads->grid);
    range->columns = spreads->grid.n_columns;
    range->is_whole = true;
    range->n_series = n;
    range->series = spreads->ref_pointers;
    out->body_case = BARO__ENVELOPE__BODY_RANGE_REQUEST;
    out->range_request = range;
    return true;
}

/* What was asked for is not under way any more. */
static void forget_asked(struct keeper *keeper)
{
    for (size_t i = 0; i < keeper->spreads.n; i++) {
        keeper->spreads.entries[i]->cover.asked = (struct grid){0};
    }
}

bool keeper_spread_sent(struct keeper *keeper, int64_t request)
{
    struct spreads *spreads = &keeper->spreads;
    if (!spreads->is_out) {
        return false;
    }
    spreads->is_out = false;
    spreads->request = request > 0 ? (uint64_t)request : 0;
    if (request <= 0) {
        forget_asked(keeper);
    }
    return true;
}

/* ---- answers ---- */

static void reserve(struct spread_entry *entry, size_t n)
{
    if (n > entry->capacity) {
        entry->capacity = n < 64 ? 64 : 2 * n;
        entry->columns =
            baro_xrealloc(entry->columns, entry->capacity, sizeof *entry->columns);
    }
}

/* columns: SPREAD_COUNT rows of n. */
static void load(struct spread_entry *entry, const struct wire_column *columns, size_t n)
{
    entry->n = 0;
    reserve(entry, n);
    for (size_t c = 0; c < n; c++) {
        if (columns[c].count == 0) {
            continue;
        }
        struct model_spread_column *column = &entry->columns[entry->n++];
        uint32_t n_bad = columns[c].n_nan + columns[c].n_pos_inf + columns[c].n_neg_inf;
        *column = (struct model_spread_column){.first_step = columns[c].first_step,
            .last_step = columns[c].last_step,
            .n_units = columns[c].count,
            .n_nonfinite = n_bad < columns[c].count ? n_bad : columns[c].count};
        for (size_t row = 0; row < SPREAD_COUNT; row++) {
            column->rows[row] = (float)columns[row * n + c].mean;
        }
    }
}

bool keeper_spread_take(struct keeper *keeper, const Baro__Envelope *envelope,
    const struct keeper_frame *frames, size_t n_frames)
{
    struct spreads *spreads = &keeper->spreads;
    if (spreads->request == 0 || envelope->request != spreads->request) {
        return false;
    }
    spreads->request = 0;
    const Baro__RangeReply *reply = envelope->body_case == BARO__ENVELOPE__BODY_RANGE_REPLY
                                        ? envelope->range_reply
                                        : NULL;
    for (size_t i = 0; i < spreads->n_asked; i++) {
        struct spread_entry *entry = find(keeper, spreads->asked[i]);
        if (entry == NULL || !grid_equal(entry->cover.asked, spreads->grid)) {
            continue;
        }
        size_t n = reply != NULL ? reply->n_columns : 0;
        bool fits = i < n_frames &&
                    frames[i].n_bytes == SPREAD_COUNT * n * sizeof(struct wire_column) &&
                    ((uintptr_t)frames[i].bytes & 7U) == 0;
        entry->cover.have = spreads->grid;
        entry->cover.is_open = spreads->is_open;
        entry->cover.asked = (struct grid){0};
        entry->width = spreads->grid.width;
        entry->n_coarse = reply != NULL && i < reply->n_n_coarse ? reply->n_coarse[i] : 0;
        load(entry, fits ? (const void *)frames[i].bytes : NULL, fits ? n : 0);
        touch(keeper, entry);
    }
    keeper->is_changed = true;
    return true;
}

/* ---- news ---- */

static void mark_stale(struct keeper *keeper, struct cover *cover)
{
    if (!cover->is_stale) {
        cover->is_stale = true;
        cover->stale_since = keeper->n_published;
    }
}

static struct model_spread_column column_of(
    int64_t step, const float *values, size_t n_units)
{
    struct model_spread_column column = {
        .first_step = step, .last_step = step, .n_units = (uint32_t)n_units};
    baro_autofree float *copy = baro_xcalloc(n_units + 1, sizeof *copy);
    double rows[SPREAD_COUNT];
    memcpy(copy, values, n_units * sizeof *copy);
    column.n_nonfinite = (uint32_t)(n_units - spread_of(copy, n_units, rows));
    for (int row = 0; row < SPREAD_COUNT; row++) {
        column.rows[row] = (float)rows[row];
    }
    return column;
}

static void add_live(struct keeper *keeper, struct spread_entry *entry,
    const struct model_spread_column *live)
{
    struct model_spread_column *last = entry->n > 0 ? &entry->columns[entry->n - 1] : NULL;
    if (last != NULL && live->first_step < last->last_step) {
        mark_stale(keeper, &entry->cover);
        return;
    }
    if (last != NULL && grid_column(entry->width, live->first_step) ==
                            grid_column(entry->width, last->first_step)) {
        last->last_step = live->last_step;
        last->rows[SPREAD_LEAST] =
            fminf(last->rows[SPREAD_LEAST], live->rows[SPREAD_LEAST]);
        last->rows[SPREAD_MOST] = fmaxf(last->rows[SPREAD_MOST], live->rows[SPREAD_MOST]);
        last->n_nonfinite =
            live->n_nonfinite > last->n_nonfinite ? live->n_nonfinite : last->n_nonfinite;
    } else {
        if (last != NULL && last->last_step > last->first_step) {
            mark_stale(keeper, &entry->cover); /* its percentiles are those of its first */
        }
        reserve(entry, entry->n + 1);
        entry->columns[entry->n++] = *live;
    }
    touch(keeper, entry);
}

void keeper_spread_live(
    struct keeper *keeper, const struct model_thing *thing, const struct reading *reading)
{
    for (size_t i = 0; i < keeper->spreads.n; i++) {
        struct spread_entry *entry = keeper->spreads.entries[i];
        size_t from = (size_t)entry->ref.stat * thing->n_units;
        if (entry->ref.thing == thing->thing && entry->width != 0 && thing->n_units > 0 &&
            from + thing->n_units <= reading->n_f32) {
            struct model_spread_column live =
                column_of(reading->header.step, reading->f32 + from, thing->n_units);
            add_live(keeper, entry, &live);
        }
    }
}

void keeper_spread_missed(struct keeper *keeper)
{
    for (size_t i = 0; i < keeper->spreads.n; i++) {
        mark_stale(keeper, &keeper->spreads.entries[i]->cover);
    }
}

void keeper_spread_reset(struct keeper *keeper, bool findings)
{
    struct spreads *spreads = &keeper->spreads;
    spreads->request = 0;
    spreads->is_out = false;
    forget_asked(keeper);
    for (size_t i = 0; i < spreads->n; i++) {
        spreads->entries[i]->cover.have = (struct grid){0};
        if (findings) {
            destroy(spreads->entries[i]);
        }
    }
    if (findings) {
        free(spreads->entries);
        *spreads = (struct spreads){0};
    }
}

/* ---- publishing ---- */

bool keeper_spread_is_complete(const struct keeper *keeper)
{
    for (size_t i = 0; i < keeper->spreads.n; i++) {
        const struct spread_entry *entry = keeper->spreads.entries[i];
        if (entry->cover.asked.width != 0 ||
            (thing_of((struct keeper *)(uintptr_t)keeper, entry->ref) != NULL &&
                keeper_needs(keeper, &entry->cover) && !entry->cover.is_stale)) {
            return false;
        }
    }
    return keeper->spreads.request == 0;
}

static const struct model_spread *publish(struct spread_entry *entry)
{
    if (entry->part == NULL) {
        size_t bytes = entry->n * sizeof entry->columns[0];
        entry->part = part_create(sizeof *entry->part + bytes, NULL);
        entry->part->ref = entry->ref;
        entry->part->is_ready = entry->width != 0;
        entry->part->width = entry->width;
        entry->part->n_coarse = entry->n_coarse;
        entry->part->n = entry->n;
        if (bytes > 0) {
            memcpy(entry->part->columns, entry->columns, bytes);
        }
    }
    return part_ref(entry->part);
}

const struct model_spread **keeper_spread_publish(struct keeper *keeper, size_t *out_n)
{
    struct spreads *spreads = &keeper->spreads;
    *out_n = spreads->n;
    if (spreads->n == 0) {
        return NULL;
    }
    const struct model_spread **parts =
        part_create(spreads->n * sizeof(struct model_spread *), NULL);
    for (size_t i = 0; i < spreads->n; i++) {
        parts[i] = publish(spreads->entries[i]);
    }
    return parts;
}
