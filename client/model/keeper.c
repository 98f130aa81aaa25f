/* SPDX-License-Identifier: Apache-2.0 */
#include "client/model/keeper.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/model/keeper_inner.h"
#include "lib/base/mem.h"

/*
 * Each wished series has a cover: the grid that is wanted, the one that is there and the one
 * that has been asked for. When the wish moves (zoom, pan, a run that grows), the old columns
 * stay on show until the answer for the new grid is in: a picture is never blank while it is
 * being sharpened. A history that reached the newest reading when it was asked for is open:
 * live readings are appended to it and it stays complete without asking again.
 */

/* ---- life ---- */

struct keeper *keeper_create(const char *endpoint)
{
    struct keeper *keeper = baro_xcalloc(1, sizeof *keeper);
    keeper->catalog = catalog_create();
    keeper->endpoint = catalog_text(keeper->catalog, endpoint);
    keeper->trouble = "";
    keeper->is_changed = true;
    return keeper;
}

static void destroy_entry(struct entry *entry)
{
    strip_finish(&entry->strip);
    part_unref(entry->part);
    free(entry);
}

void keeper_destroy(struct keeper *keeper)
{
    if (keeper == NULL) {
        return;
    }
    for (size_t i = 0; i < keeper->n_entries; i++) {
        destroy_entry(keeper->entries[i]);
    }
    free(keeper->entries);
    keeper_sample_reset(keeper, true);
    keeper_probing_reset(keeper, true);
    keeper_compare_reset(keeper, true);
    keeper_spread_reset(keeper, true);
    sheet_finish(&keeper->units);
    hist_finish(&keeper->hist);
    part_unref(keeper->units_part);
    part_unref(keeper->hist_part);
    keeper_destroy(keeper->other);
    free(keeper->other_wish);
    keeper_live_finish(keeper);
    catalog_destroy(keeper->catalog);
    free(keeper);
}

void keeper_set_state(
    struct keeper *keeper, enum model_state state, const char *trouble, int64_t wall_ns)
{
    if (keeper->state != state || keeper->since_wall_ns == 0) {
        keeper->since_wall_ns = wall_ns;
        keeper->is_changed = true;
    }
    if (strcmp(keeper->trouble, trouble) != 0) {
        keeper->trouble = catalog_text(keeper->catalog, trouble);
        keeper->is_changed = true;
    }
    keeper->state = state;
    keeper->is_connected = state == MODEL_READY;
    if (keeper->other != NULL) {
        keeper_set_state(keeper->other, state, trouble, wall_ns);
    }
}

void keeper_on_connect(struct keeper *keeper)
{
    memset(keeper->pending, 0, sizeof keeper->pending);
    keeper->asking = NULL;
    keeper->is_other_asking = false;
    keeper->needs = (keeper->is_second ? 0U : NEED_SUBSCRIBE_ALL) | NEED_RUNS;
    if (keeper->wish.run != 0) {
        keeper->needs |= NEED_OF_RUN;
    }
    for (size_t i = 0; i < keeper->n_entries; i++) {
        keeper->entries[i]->cover.have = (struct grid){0};
        keeper->entries[i]->cover.asked = (struct grid){0};
    }
    keeper->units_cover.have = keeper->units_cover.asked = (struct grid){0};
    keeper->hist_cover.have = keeper->hist_cover.asked = (struct grid){0};
    keeper_sample_reset(keeper, false);
    keeper_probing_reset(keeper, false);
    keeper_compare_reset(keeper, false);
    keeper_spread_reset(keeper, false);
    keeper_moved_reset(keeper, false);
    if (keeper->other != NULL) {
        keeper_on_connect(keeper->other);
    }
    keeper->is_changed = true;
}

/* ---- covers ---- */

/* Whether what is wanted is there. */
static bool is_covered(const struct cover *cover)
{
    return cover->have.width == cover->want.width && cover->have.from <= cover->want.from &&
           (cover->is_open || grid_to(cover->have) >= grid_to(cover->want));
}

bool keeper_needs(const struct keeper *keeper, const struct cover *cover)
{
    if (cover->want.width == 0 || cover->asked.width != 0) {
        return false;
    }
    if (cover->is_stale &&
        keeper->n_published - cover->stale_since >= KEEPER_STALE_MODELS) {
        return true;
    }
    return !is_covered(cover);
}

void keeper_touch_entry(struct keeper *keeper, struct entry *entry)
{
    part_unref(entry->part);
    entry->part = NULL;
    keeper->is_changed = true;
}

void keeper_touch_units(struct keeper *keeper)
{
    part_unref(keeper->units_part);
    keeper->units_part = NULL;
    keeper->is_changed = true;
}

void keeper_touch_hist(struct keeper *keeper)
{
    part_unref(keeper->hist_part);
    keeper->hist_part = NULL;
    keeper->is_changed = true;
}

struct entry *keeper_find(
    struct keeper *keeper, struct model_ref ref, bool is_coarse, size_t *out_at)
{
    size_t lo = 0;
    size_t hi = keeper->n_entries;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const struct entry *entry = keeper->entries[mid];
        if (model_ref_compare(entry->ref, entry->is_coarse, ref, is_coarse) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    if (out_at != NULL) {
        *out_at = lo;
    }
    if (lo == keeper->n_entries) {
        return NULL;
    }
    struct entry *entry = keeper->entries[lo];
    return model_ref_compare(entry->ref, entry->is_coarse, ref, is_coarse) == 0 ? entry
                                                                                : NULL;
}

const struct model_thing *keeper_units_thing(struct keeper *keeper)
{
    const struct model_thing *thing =
        keeper->wish.units_thing != 0
            ? catalog_thing(keeper->catalog, keeper->wish.units_thing)
            : NULL;
    bool has_units = thing != NULL && thing->n_units > 0;
    size_t least = (size_t)KEEPER_LEAST_SHEET * KEEPER_COLUMN_BYTES;
    if (has_units && thing->n_units > keeper_sheet_bytes(keeper) / least) {
        return NULL; /* the sample has to do */
    }
    return has_units ? thing : NULL;
}

/* ---- the wish ---- */

static void change_run(struct keeper *keeper, uint32_t run)
{
    keeper->old_run = keeper->wish.run;
    for (size_t i = 0; i < keeper->n_entries; i++) {
        destroy_entry(keeper->entries[i]);
    }
    keeper->n_entries = 0;
    memset(keeper->pending, 0, sizeof keeper->pending);
    keeper->asking = NULL;
    keeper_sample_reset(keeper, true);
    keeper_probing_reset(keeper, true);
    keeper_compare_reset(keeper, true);
    keeper_spread_reset(keeper, true);
    keeper_moved_reset(keeper, true);
    catalog_clear_run(keeper->catalog);
    keeper->has_things = keeper->has_alerts = false;
    keeper->needs &= NEED_SUBSCRIBE_ALL | NEED_RUNS;
    keeper->needs |= keeper->old_run != 0 ? NEED_UNSUBSCRIBE_RUN : 0;
    if (!keeper->has_runs) {
        keeper->needs |= NEED_RUNS; /* its answer may have been thrown away above */
    }
    if (run != 0) {
        keeper->needs |= NEED_OF_RUN;
    }
}

static int compare_refs(const void *a, const void *b)
{
    const struct model_wish_ref *ra = a;
    const struct model_wish_ref *rb = b;
    return model_ref_compare(ra->ref, ra->is_coarse, rb->ref, rb->is_coarse);
}

/* Keep the entries that are still wished for, make the new ones: a merge of sorted lists. */
static void change_entries(struct keeper *keeper, const struct model_wish *wish)
{
    struct model_wish_ref *refs = keeper->wish.refs;
    if (wish->n_refs > 0) {
        memcpy(refs, wish->refs, wish->n_refs * sizeof *refs);
        qsort(refs, wish->n_refs, sizeof *refs, compare_refs);
    }
    struct entry **entries = baro_xcalloc(wish->n_refs + 1, sizeof(struct entry *));
    size_t n = 0;
    size_t old = 0;
    for (size_t i = 0; i < wish->n_refs; i++) {
        if (i > 0 && compare_refs(&refs[i - 1], &refs[i]) == 0) {
            continue;
        }
        int order = -1;
        while (old < keeper->n_entries) {
            struct entry *entry = keeper->entries[old];
            order = model_ref_compare(
                entry->ref, entry->is_coarse, refs[i].ref, refs[i].is_coarse);
            if (order >= 0) {
                break;
            }
            destroy_entry(entry);
            old++;
        }
        if (old < keeper->n_entries && order == 0) {
            entries[n++] = keeper->entries[old++];
        } else {
            struct entry *entry = baro_xcalloc(1, sizeof *entry);
            entry->ref = refs[i].ref;
            entry->is_coarse = refs[i].is_coarse;
            entries[n++] = entry;
        }
    }
    while (old < keeper->n_entries) {
        destroy_entry(keeper->entries[old++]);
    }
    free(keeper->entries);
    keeper->entries = entries;
    keeper->n_entries = n;
}

static void set_grids(struct keeper *keeper, const struct model_wish *wish)
{
    struct grid fine = grid_cover(wish->from_step, wish->to_step, wish->columns);
    struct grid coarse = grid_cover(wish->from_step, wish->to_step, wish->coarse_columns);
    for (size_t i = 0; i < keeper->n_entries; i++) {
        struct entry *entry = keeper->entries[i];
        entry->cover.want = entry->is_coarse ? coarse : fine;
        if (entry->strip.n > 2 * entry->cover.want.n_columns + KEEPER_SLACK) {
            entry->cover.have = (struct grid){0};
        }
    }
    if (wish->units_thing != 0) {
        keeper->units_cover.want =
            grid_cover(wish->from_step, wish->to_step, wish->units_columns);
    }
    if (wish->hist_thing != 0) {
        keeper->hist_cover.want = coarse;
    }
}

void keeper_set_wish(struct keeper *keeper, const struct model_wish *wish, uint64_t serial)
{
    if (wish->run != keeper->wish.run) {
        change_run(keeper, wish->run);
    }
    if (wish->run != keeper->wish.run || wish->units_thing != keeper->wish.units_thing ||
        wish->units_stat != keeper->wish.units_stat) {
        keeper->units_cover = (struct cover){0};
        sheet_finish(&keeper->units);
        keeper_touch_units(keeper);
    }
    if (wish->run != keeper->wish.run || wish->hist_thing != keeper->wish.hist_thing) {
        keeper->hist_cover = (struct cover){0};
        hist_finish(&keeper->hist);
        keeper_touch_hist(keeper);
    }
    change_entries(keeper, wish);
    memcpy(&keeper->wish, wish, offsetof(struct model_wish, refs));
    set_grids(keeper, wish);
    keeper_spread_wish(keeper, wish);
    keeper_other_wish(keeper, wish, serial);
    keeper_live_choose(keeper);
    keeper->serial = serial;
    keeper->is_changed = true;
}

/* ---- publishing ---- */

static const struct model_series *publish_entry(struct entry *entry)
{
    if (entry->part == NULL) {
        entry->part = strip_publish(&entry->strip);
        entry->part->ref = entry->ref;
        entry->part->is_coarse = entry->is_coarse;
        entry->part->n_coarse = entry->n_coarse;
    }
    return part_ref(entry->part);
}

/* Turn the sheet's columns of units into rows: what the lines are drawn from. */
static void turn(const struct sheet *sheet, struct model_units *part, void *memory)
{
    size_t n = sheet->n;
    size_t n_cells = n * sheet->n_units;
    double *x = memory;
    double *x_to = x + n;
    double *count = x_to + n;
    float *lo = (float *)(count + n);
    float *hi = lo + n_cells;
    float *mean = hi + n_cells;
    uint8_t *flags = (uint8_t *)(mean + n_cells);
    uint8_t *any = flags + n_cells;
    for (size_t column = 0; column < n; column++) {
        const struct sheet_cell *cells = &sheet->cells[column * sheet->n_units];
        x[column] = (double)sheet->columns[column].first_step;
        x_to[column] = (double)sheet->columns[column].last_step;
        count[column] = (double)sheet->columns[column].count;
        for (size_t unit = 0; unit < sheet->n_units; unit++) {
            size_t at = unit * n + column;
            lo[at] = cells[unit].min;
            hi[at] = cells[unit].max;
            mean[at] = cells[unit].mean;
            flags[at] = cells[unit].flags;
            any[unit] |= cells[unit].flags;
        }
    }
    part->n_units = sheet->n_units;
    part->n = n;
    part->width = sheet->width;
    part->x = x;
    part->x_to = x_to;
    part->count = count;
    part->lo = lo;
    part->hi = hi;
    part->mean = mean;
    part->flags = flags;
    part->any = any;
}

static const struct model_units *publish_units(struct keeper *keeper)
{
    if (keeper->wish.units_thing == 0) {
        return NULL;
    }
    if (keeper->units_part == NULL) {
        const struct sheet *sheet = &keeper->units;
        size_t n_cells = sheet->n * sheet->n_units;
        struct model_units *part =
            part_create(sizeof *part + 3 * sheet->n * sizeof(double) +
                            n_cells * (3 * sizeof(float) + 1) + sheet->n_units,
                NULL);
        turn(sheet, part, part + 1);
        part->thing = keeper->wish.units_thing;
        part->stat = keeper->wish.units_stat;
        part->is_ready = sheet->width != 0;
        part->n_coarse = keeper->units_coarse;
        keeper->units_part = part;
    }
    return part_ref(keeper->units_part);
}

static const struct model_hist *publish_hist(struct keeper *keeper)
{
    if (keeper->wish.hist_thing == 0) {
        return NULL;
    }
    if (keeper->hist_part == NULL) {
        keeper->hist_part = hist_publish(&keeper->hist, keeper->wish.hist_thing);
        keeper->hist_part->is_ready = keeper->hist_cover.have.width != 0;
        keeper->hist_part->is_cut = keeper->hist_is_cut;
    }
    return part_ref(keeper->hist_part);
}

static bool is_complete(struct keeper *keeper)
{
    if (keeper->state != MODEL_READY || keeper->needs != 0 || !keeper->has_runs) {
        return false;
    }
    for (size_t i = 0; i < KEEPER_MAX_PENDING; i++) {
        if (keeper->pending[i].request != 0) {
            return false;
        }
    }
    for (size_t i = 0; i < keeper->n_entries; i++) {
        if (!is_covered(&keeper->entries[i]->cover)) {
            return false;
        }
    }
    if (keeper_units_thing(keeper) != NULL && !is_covered(&keeper->units_cover)) {
        return false;
    }
    return (keeper->wish.hist_thing == 0 || is_covered(&keeper->hist_cover)) &&
           keeper_sample_is_complete(keeper) && keeper_probing_is_complete(keeper) &&
           keeper_spread_is_complete(keeper) && keeper_moved_is_complete(keeper) &&
           keeper_compare_is_complete(keeper) &&
           (!keeper_has_other(keeper) || is_complete(keeper->other));
}

bool keeper_is_changed(const struct keeper *keeper)
{
    return keeper->is_changed || catalog_is_changed(keeper->catalog) ||
           (keeper_has_other(keeper) && keeper_is_changed(keeper->other));
}

struct model *keeper_publish(struct keeper *keeper)
{
    struct model *model = model_create();
    catalog_publish(keeper->catalog, model);
    model->state = keeper->state;
    model->endpoint = keeper->endpoint;
    model->trouble = keeper->trouble;
    model->since_wall_ns = keeper->since_wall_ns;
    model->has_runs = keeper->has_runs;
    model->run = keeper->wish.run;
    model->has_things = keeper->has_things;
    model->has_alerts = keeper->has_alerts;
    model->wish = keeper->serial;
    model->is_complete = is_complete(keeper);
    model->pace = keeper->pace;
    const struct model_series **series =
        part_create((keeper->n_entries + 1) * sizeof(struct model_series *), NULL);
    for (size_t i = 0; i < keeper->n_entries; i++) {
        series[i] = publish_entry(keeper->entries[i]);
    }
    model->n_series = keeper->n_entries;
    model->series = series;
    model->units = publish_units(keeper);
    model->sample = keeper_sample_publish(keeper);
    model->hist = publish_hist(keeper);
    model->graph = keeper->wish.wants_graph ? part_ref(keeper->probing.graph) : NULL;
    model->why = keeper_why_publish(keeper);
    model->spreads = keeper_spread_publish(keeper, &model->n_spreads);
    model->moved = keeper_moved_publish(keeper);
    model->compare = keeper_compare_publish(keeper);
    model->other = keeper_has_other(keeper) ? keeper_publish(keeper->other) : NULL;
    keeper_probing_note(keeper, model);
    keeper->is_changed = false;
    keeper->n_published++;
    return model;
}
