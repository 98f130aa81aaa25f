/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "client/model/keeper_inner.h"

/*
 * What to ask next. Few questions are under way at a time, so that a change of the wish is
 * answered soon; the first to be asked are lists, then the units and curves that fill the page,
 * then the coarse series of heat strips and sparklines.
 */

static struct pending *free_slot(struct keeper *keeper)
{
    for (size_t i = 0; i < KEEPER_MAX_PENDING; i++) {
        if (keeper->pending[i].request == 0) {
            return &keeper->pending[i];
        }
    }
    return NULL;
}

/* On a slow line two questions are enough to keep it busy, and soon answered. */
static bool is_busy(const struct keeper *keeper)
{
    size_t n = 0;
    for (size_t i = 0; i < KEEPER_MAX_PENDING; i++) {
        n += keeper->pending[i].request != 0 ? 1 : 0;
    }
    return keeper_is_far(keeper) && n >= 2;
}

/* Whether a step range asked for now would reach the newest reading. */
static bool reaches_end(struct keeper *keeper, struct grid grid)
{
    const struct model_run *run = catalog_run(keeper->catalog, keeper->wish.run);
    return run == NULL || run->n_steps == 0 || grid_to(grid) >= run->last_step;
}

static void ask_subscribe(
    struct keeper *keeper, Baro__Envelope *out, uint32_t run, bool off)
{
    baro__subscribe_request__init(&keeper->body.subscribe);
    keeper->body.subscribe.run = run;
    keeper->body.subscribe.is_off = off;
    out->body_case = BARO__ENVELOPE__BODY_SUBSCRIBE_REQUEST;
    out->subscribe_request = &keeper->body.subscribe;
}

static void ask_rows(struct keeper *keeper, Baro__Envelope *out, uint32_t thing,
    enum reading_kind kind, int64_t from, int64_t to, uint32_t limit)
{
    baro__rows_request__init(&keeper->body.rows);
    keeper->body.rows.run = keeper->wish.run;
    keeper->body.rows.thing = thing;
    keeper->body.rows.kind = (uint32_t)kind;
    keeper->body.rows.from_step = from;
    keeper->body.rows.to_step = to;
    keeper->body.rows.limit = limit;
    out->body_case = BARO__ENVELOPE__BODY_ROWS_REQUEST;
    out->rows_request = &keeper->body.rows;
}

static void ask_need(struct keeper *keeper, enum keeper_need need, Baro__Envelope *out)
{
    switch (need) {
    case NEED_SUBSCRIBE_ALL: ask_subscribe(keeper, out, 0, false); break;
    case NEED_RUNS:
        baro__runs_request__init(&keeper->body.runs);
        out->body_case = BARO__ENVELOPE__BODY_RUNS_REQUEST;
        out->runs_request = &keeper->body.runs;
        break;
    case NEED_UNSUBSCRIBE_RUN: ask_subscribe(keeper, out, keeper->old_run, true); break;
    case NEED_SUBSCRIBE_RUN:
        ask_subscribe(keeper, out, keeper->wish.run, false);
        keeper_live_fill(keeper, &keeper->body.subscribe);
        break;
    case NEED_THINGS:
        baro__series_request__init(&keeper->body.series);
        keeper->body.series.run = keeper->wish.run;
        out->body_case = BARO__ENVELOPE__BODY_SERIES_REQUEST;
        out->series_request = &keeper->body.series;
        break;
    case NEED_ALERTS:
        baro__alerts_request__init(&keeper->body.alerts);
        keeper->body.alerts.run = keeper->wish.run;
        out->body_case = BARO__ENVELOPE__BODY_ALERTS_REQUEST;
        out->alerts_request = &keeper->body.alerts;
        break;
    case NEED_EVENTS:
        ask_rows(keeper, out, 0, READING_EVENT, INT64_MIN, INT64_MAX, 1000);
        break;
    case NEED_NOTES:
        baro__note_request__init(&keeper->body.note);
        keeper->body.note.run = keeper->wish.run;
        out->body_case = BARO__ENVELOPE__BODY_NOTE_REQUEST;
        out->note_request = &keeper->body.note;
        break;
    case NEED_OF_RUN: break; /* several of them */
    }
}

/* Begin a range question; series are added by add_ref. */
static void begin_range(struct keeper *keeper, struct grid grid, Baro__Envelope *out)
{
    Baro__RangeRequest *range = &keeper->body.range;
    baro__range_request__init(range);
    range->run = keeper->wish.run;
    range->from_step = grid.from;
    range->to_step = grid_to(grid);
    range->columns = grid.n_columns;
    range->is_whole = true; /* so that the daemon's columns are the grid's */
    range->series = keeper->series_ref_pointers;
    out->body_case = BARO__ENVELOPE__BODY_RANGE_REQUEST;
    out->range_request = range;
}

static void add_ref(struct keeper *keeper, struct model_ref ref, int32_t unit)
{
    size_t i = keeper->body.range.n_series++;
    Baro__SeriesRef *out = &keeper->series_refs[i];
    baro__series_ref__init(out);
    out->thing = ref.thing;
    out->kind = ref.kind;
    out->stat = ref.stat;
    out->unit = unit;
    keeper->series_ref_pointers[i] = out;
}

/* All units of a wide tensor are few columns on a slow line, so that they come in some seconds. */
static void fit_units(struct keeper *keeper, uint32_t n_units)
{
    size_t most = keeper_sheet_bytes(keeper) / (KEEPER_COLUMN_BYTES * (size_t)n_units);
    uint32_t columns = keeper->wish.units_columns;
    columns = most < columns ? (uint32_t)most : columns;
    keeper->units_cover.want = grid_cover(keeper->wish.from_step, keeper->wish.to_step,
        columns > KEEPER_LEAST_SHEET ? columns : KEEPER_LEAST_SHEET);
}

/* The grid that is asked for: of what is not there at all a coarse one first on a slow line. */
static struct grid next_grid(const struct keeper *keeper, const struct cover *cover)
{
    if (!keeper_is_far(keeper) || cover->have.width != 0 ||
        cover->want.n_columns < 8 * KEEPER_FIRST_PART) {
        return cover->want;
    }
    return grid_cover(
        cover->want.from, grid_to(cover->want), cover->want.n_columns / KEEPER_FIRST_PART);
}

static bool ask_units(struct keeper *keeper, struct pending *pending, Baro__Envelope *out)
{
    struct cover *cover = &keeper->units_cover;
    const struct model_thing *thing = keeper_units_thing(keeper);
    if (thing == NULL || !keeper_needs(keeper, cover) ||
        (int)keeper->wish.units_stat >= reading_unit_stats(thing->role)) {
        return false;
    }
    if (keeper_is_far(keeper)) {
        fit_units(keeper, thing->n_units);
        if (!keeper_needs(keeper, cover)) {
            return false;
        }
    }
    struct model_ref ref = {
        thing->thing, READING_UNITS, (uint16_t)keeper->wish.units_stat, 0};
    begin_range(keeper, cover->want, out);
    add_ref(keeper, ref, -1);
    if (ref.stat != UNIT_N_NONFINITE && thing->n_nonfinite > 0) {
        ref.stat = UNIT_N_NONFINITE;
        add_ref(keeper, ref, -1);
    }
    pending->kind = PENDING_UNITS;
    pending->thing = thing->thing;
    pending->stat = keeper->wish.units_stat;
    pending->grid = cover->asked = cover->want;
    cover->is_stale = false;
    return true;
}

static bool ask_series(struct keeper *keeper, struct pending *pending, Baro__Envelope *out)
{
    size_t most_bytes = keeper_ask_bytes(keeper);
    pending->n_refs = 0;
    for (size_t i = 0; i < keeper->n_entries && pending->n_refs < KEEPER_MAX_BATCH; i++) {
        struct entry *entry = keeper->entries[i];
        if (!keeper_needs(keeper, &entry->cover)) {
            continue;
        }
        struct grid grid = next_grid(keeper, &entry->cover);
        if (pending->n_refs == 0) {
            begin_range(keeper, grid, out);
            pending->grid = grid;
            pending->is_coarse = entry->is_coarse;
        } else if (entry->is_coarse != pending->is_coarse ||
                   (pending->n_refs + 1) * grid.n_columns >
                       most_bytes / KEEPER_COLUMN_BYTES) {
            break;
        } else if (!grid_equal(grid, pending->grid)) {
            continue;
        }
        add_ref(keeper, entry->ref,
            entry->ref.kind == READING_UNITS ? (int32_t)entry->ref.unit : -1);
        pending->refs[pending->n_refs++] = entry->ref;
        entry->cover.asked = grid;
        entry->cover.is_stale = false;
    }
    pending->kind = PENDING_SERIES;
    return pending->n_refs > 0;
}

static bool ask_hist(struct keeper *keeper, struct pending *pending, Baro__Envelope *out)
{
    struct cover *cover = &keeper->hist_cover;
    if (keeper->wish.hist_thing == 0 || !keeper_needs(keeper, cover)) {
        return false;
    }
    ask_rows(keeper, out, keeper->wish.hist_thing, READING_SUMMARY, cover->want.from,
        grid_to(cover->want), HIST_MAX_ROWS);
    keeper->body.rows.every = hist_every(cover->want.from, grid_to(cover->want));
    pending->kind = PENDING_HIST;
    pending->thing = keeper->wish.hist_thing;
    pending->grid = cover->asked = cover->want;
    cover->is_stale = false;
    return true;
}

/* The next piece of what fills the page: where the line is slow the small ones go first. */
static bool ask_page(struct keeper *keeper, struct pending *pending, Baro__Envelope *out)
{
    if (keeper_is_far(keeper)) {
        return ask_series(keeper, pending, out) || ask_hist(keeper, pending, out) ||
               ask_units(keeper, pending, out);
    }
    return ask_units(keeper, pending, out) || ask_series(keeper, pending, out) ||
           ask_hist(keeper, pending, out);
}

/* A run that the other keeper wants is not given up: there is one connection for both. */
static void drop_unsubscribe(struct keeper *keeper)
{
    if (keeper->peer != NULL && keeper->peer->wish.run == keeper->old_run) {
        keeper->needs &= ~(unsigned)NEED_UNSUBSCRIBE_RUN;
    }
}

static bool ask_own(struct keeper *keeper, Baro__Envelope *out)
{
    if (!keeper->is_connected || keeper->asking != NULL) {
        return false;
    }
    baro__envelope__init(out);
    drop_unsubscribe(keeper);
    if (keeper_sample_ask(keeper, out)) {
        return true;
    }
    struct pending *pending = free_slot(keeper);
    if (pending == NULL || (keeper->needs == 0 && is_busy(keeper))) {
        return false;
    }
    memset(pending, 0, sizeof *pending);
    pending->run = keeper->wish.run;
    if (keeper->needs != 0) {
        pending->kind = PENDING_NEED;
        pending->need = (enum keeper_need)(keeper->needs & -keeper->needs);
        keeper->needs &= ~(unsigned)pending->need;
        ask_need(keeper, pending->need, out);
    } else if (keeper->wish.run == 0 || !keeper->has_things) {
        return false;
    } else if (!ask_page(keeper, pending, out)) {
        return keeper_spread_ask(keeper, out) || keeper_moved_ask(keeper, out) ||
               keeper_probing_ask(keeper, out);
    }
    pending->is_open = pending->kind != PENDING_NEED && reaches_end(keeper, pending->grid);
    keeper->asking = pending;
    return true;
}

bool keeper_ask(struct keeper *keeper, Baro__Envelope *out)
{
    keeper->is_other_asking = false;
    if (ask_own(keeper, out) ||
        (keeper->is_connected && keeper->asking == NULL && !keeper->is_second &&
            keeper_compare_ask(keeper, out))) {
        return true;
    }
    keeper->is_other_asking = keeper->other != NULL && ask_own(keeper->other, out);
    return keeper->is_other_asking;
}

/* The question did not go out: it has to be asked again. */
static void forget(struct keeper *keeper, const struct pending *pending)
{
    if (pending->kind == PENDING_NEED) {
        keeper->needs |= (unsigned)pending->need;
    } else if (pending->kind == PENDING_UNITS) {
        keeper->units_cover.asked = (struct grid){0};
    } else if (pending->kind == PENDING_HIST) {
        keeper->hist_cover.asked = (struct grid){0};
    }
    for (size_t i = 0; i < pending->n_refs; i++) {
        struct entry *entry =
            keeper_find(keeper, pending->refs[i], pending->is_coarse, NULL);
        if (entry != NULL) {
            entry->cover.asked = (struct grid){0};
        }
    }
}

void keeper_sent(struct keeper *keeper, int64_t request)
{
    if (keeper->is_other_asking) {
        keeper->is_other_asking = false;
        keeper_sent(keeper->other, request);
        return;
    }
    if (keeper_compare_sent(keeper, request) || keeper_sample_sent(keeper, request) ||
        keeper_probing_sent(keeper, request) || keeper_spread_sent(keeper, request) ||
        keeper_moved_sent(keeper, request) || keeper->asking == NULL) {
        return;
    }
    if (request > 0) {
        keeper->asking->request = (uint64_t)request;
    } else {
        forget(keeper, keeper->asking);
    }
    keeper->asking = NULL;
}
