/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "client/model/keeper_inner.h"

/*
 * Which units moved most at a step: of all tensors at once, some at a time, so that the list fills
 * while one looks. A tensor is not read at each step: what counts is its newest reading up to the
 * step, as long as it is not older than some of its usual distances. Steps that were looked at are
 * remembered: going back and forth asks nothing anew.
 */

enum {
    BACK = 4,
    JUMP_BACK = 16,
    UNKNOWN_BACK = 256
}; /* readings; steps where it is unknown */

/* ---- which tensors ---- */

/* The tensor of the weights that an update belongs to; NULL: it is not watched. */
static const struct model_thing *weights_of(
    const struct model_thing *things, size_t n, const struct model_thing *update)
{
    for (size_t i = 0; i < n; i++) {
        const struct model_thing *thing = &things[i];
        if (thing->is_tensor && thing->role == BARO_WEIGHT && thing->rank == update->rank &&
            thing->n_units == update->n_units && thing->epoch == update->epoch &&
            strcmp(thing->name, update->name) == 0) {
            return thing;
        }
    }
    return NULL;
}

/* A unit of a single number has no direction: its change would be 0, or 2 when it turns. */
static bool is_single(const struct model_thing *thing)
{
    int64_t n = 1;
    for (uint32_t i = 0; i < thing->n_dims && i < MODEL_MAX_DIMS; i++) {
        n *= thing->shape[i] > 0 ? thing->shape[i] : 1;
    }
    return n <= (int64_t)thing->n_units;
}

static bool is_of(const struct moved_entry *entry, const struct model_thing *thing)
{
    enum baro_role role = entry->kind == MOVED_JUMP ? entry->role : BARO_UPDATE;
    if (entry->kind == MOVED_CHANGE && is_single(thing)) {
        return false;
    }
    return thing->is_tensor && thing->n_units > 0 && thing->role == role &&
           thing->first_step <= entry->step;
}

/* Steps to look back for a reading. */
static double back_of(const struct moved_entry *entry, const struct model_thing *thing)
{
    double cadence =
        thing->unit_cadence > 0 ? thing->unit_cadence : UNKNOWN_BACK / (double)BACK;
    return cadence * (entry->kind == MOVED_JUMP ? JUMP_BACK : BACK);
}

/* ---- steps ---- */

static struct moved_entry *find(
    struct moving *moving, const struct model_moved_wish *wish, int64_t step)
{
    for (size_t i = 0; i < MOVED_KEPT; i++) {
        struct moved_entry *entry = &moving->entries[i];
        if (entry->is_used && entry->kind == wish->kind && entry->step == step &&
            (wish->kind != MOVED_JUMP || entry->role == wish->role)) {
            return entry;
        }
    }
    return NULL;
}

/* The entry of a step; where there is none, the one that was not used for longest becomes it. */
static struct moved_entry *need(
    struct keeper *keeper, const struct model_moved_wish *wish, int64_t step)
{
    struct moving *moving = &keeper->moving;
    struct moved_entry *entry = find(moving, wish, step);
    if (entry == NULL) {
        entry = &moving->entries[0];
        for (size_t i = 1; i < MOVED_KEPT; i++) {
            if (moving->entries[i].used_at < entry->used_at) {
                entry = &moving->entries[i];
            }
        }
        *entry = (struct moved_entry){
            .is_used = true, .kind = wish->kind, .role = wish->role, .step = step};
        size_t n = 0;
        const struct model_thing *things = catalog_things(keeper->catalog, &n);
        for (size_t i = 0; i < n; i++) {
            entry->n_things += is_of(entry, &things[i]) ? 1 : 0;
        }
        entry->is_ready = entry->n_things == 0;
    }
    entry->used_at = ++moving->turn;
    return entry;
}

/* ---- asking ---- */

static void add_ref(struct moving *moving, uint32_t thing, enum unit_stat stat)
{
    Baro__SeriesRef *ref = &moving->refs[moving->n_asked];
    baro__series_ref__init(ref);
    ref->thing = thing;
    ref->kind = READING_UNITS;
    ref->stat = (uint32_t)stat;
    ref->unit = -1;
    moving->ref_pointers[moving->n_asked++] = ref;
}

/* Add some tensors from where the entry stands on; gives how far back they have to be read. */
static double add_things(struct keeper *keeper, struct moved_entry *entry)
{
    struct moving *moving = &keeper->moving;
    size_t n = 0;
    size_t n_units = 0;
    double back = 0;
    const struct model_thing *things = catalog_things(keeper->catalog, &n);
    moving->n_asked = 0;
    moving->n_things = 0;
    size_t i = entry->next_thing;
    for (; i < n && moving->n_asked + 2 <= MOVED_BATCH; i++) {
        const struct model_thing *thing = &things[i];
        if (!is_of(entry, thing)) {
            continue;
        }
        if (moving->n_asked > 0 &&
            n_units + 2 * (size_t)thing->n_units > MOVED_BATCH_UNITS) {
            break;
        }
        moving->n_things++;
        const struct model_thing *weights =
            entry->kind == MOVED_RELATIVE ? weights_of(things, n, thing) : NULL;
        if (entry->kind == MOVED_RELATIVE && weights == NULL) {
            continue;
        }
        n_units += thing->n_units * (weights != NULL ? 2U : 1U);
        add_ref(moving, thing->thing, entry->kind == MOVED_CHANGE ? UNIT_CHANGE : UNIT_L2);
        if (weights != NULL) {
            add_ref(moving, weights->thing, UNIT_L2);
        }
        back = fmax(back, back_of(entry, thing));
    }
    moving->next_thing = i;
    return back;
}

bool keeper_moved_ask(struct keeper *keeper, Baro__Envelope *out)
{
    struct moving *moving = &keeper->moving;
    const struct model_moved_wish *wish = &keeper->wish.moved;
    if (moving->request != 0 || moving->is_out || !keeper->has_things) {
        return false;
    }
    for (uint32_t i = 0; i < wish->n_steps; i++) {
        struct moved_entry *entry = need(keeper, wish, wish->steps[i]);
        if (entry->is_ready) {
            continue;
        }
        double back = add_things(keeper, entry);
        if (moving->n_asked == 0) { /* nothing is left of it */
            entry->is_ready = true;
            entry->n_done += moving->n_things;
            keeper->is_changed = true;
            continue;
        }
        Baro__RangeRequest *range = &keeper->body.range;
        baro__range_request__init(range);
        range->run = keeper->wish.run;
        range->to_step = entry->step;
        range->from_step = entry->step - (int64_t)fmin(ceil(back), 1e15);
        range->columns = 1;
        range->is_whole = true;
        range->n_series = moving->n_asked;
        range->series = moving->ref_pointers;
        out->body_case = BARO__ENVELOPE__BODY_RANGE_REQUEST;
        out->range_request = range;
        moving->entry = (size_t)(entry - moving->entries);
        moving->is_out = true;
        return true;
    }
    return false;
}

bool keeper_moved_sent(struct keeper *keeper, int64_t request)
{
    struct moving *moving = &keeper->moving;
    if (!moving->is_out) {
        return false;
    }
    moving->is_out = false;
    moving->request = request > 0 ? (uint64_t)request : 0;
    return true;
}

/* ---- answers ---- */

static float value_of(
    enum moved_kind kind, const struct wire_column *of, const struct wire_column *by)
{
    if (of->count == 0 || !isfinite(of->last)) {
        return NAN;
    }
    switch (kind) {
    case MOVED_CHANGE: return (float)of->last;
    case MOVED_RELATIVE:
        return by->count > 0 && by->last > 0 ? (float)(of->last / by->last) : NAN;
    case MOVED_JUMP:
        return of->count > 1 && of->last > 0 && of->mean > 0
                   ? (float)fabs(log2(of->last / of->mean))
                   : NAN;
    case MOVED_KIND_COUNT: break;
    }
    return NAN;
}

/* A frame as one column for each unit; NULL: it is something else. */
static const struct wire_column *units_of(
    const struct keeper_frame *frame, uint32_t n_units)
{
    bool fits = frame->n_bytes == n_units * sizeof(struct wire_column) &&
                ((uintptr_t)frame->bytes & 7U) == 0;
    return fits ? (const void *)frame->bytes : NULL;
}

static void take_frames(struct keeper *keeper, struct moved_entry *entry,
    const struct keeper_frame *frames, size_t n_frames)
{
    struct moving *moving = &keeper->moving;
    size_t by = entry->kind == MOVED_RELATIVE ? 2 : 1;
    for (size_t i = 0; i + by <= moving->n_asked && i + by <= n_frames; i += by) {
        const struct model_thing *thing =
            catalog_thing(keeper->catalog, moving->refs[i].thing);
        if (thing == NULL) {
            continue;
        }
        const struct wire_column *of = units_of(&frames[i], thing->n_units);
        const struct wire_column *weights = units_of(&frames[i + by - 1], thing->n_units);
        for (uint32_t unit = 0; of != NULL && weights != NULL && unit < thing->n_units;
             unit++) {
            moved_add(&entry->list, thing->thing, unit,
                value_of(entry->kind, &of[unit], &weights[unit]));
        }
    }
}

bool keeper_moved_take(struct keeper *keeper, const Baro__Envelope *envelope,
    const struct keeper_frame *frames, size_t n_frames)
{
    struct moving *moving = &keeper->moving;
    if (moving->request == 0 || envelope->request != moving->request) {
        return false;
    }
    struct moved_entry *entry = &moving->entries[moving->entry];
    moving->request = 0;
    if (envelope->body_case == BARO__ENVELOPE__BODY_RANGE_REPLY) {
        take_frames(keeper, entry, frames, n_frames);
    }
    entry->next_thing = moving->next_thing;
    entry->n_done += moving->n_things;
    entry->is_ready = entry->n_done >= entry->n_things;
    keeper->is_changed = true;
    return true;
}

void keeper_moved_reset(struct keeper *keeper, bool findings)
{
    struct moving *moving = &keeper->moving;
    moving->request = 0;
    moving->is_out = false;
    if (findings) {
        memset(moving->entries, 0, sizeof moving->entries);
    }
}

/* ---- publishing ---- */

bool keeper_moved_is_complete(const struct keeper *keeper)
{
    const struct model_moved_wish *wish = &keeper->wish.moved;
    for (uint32_t i = 0; i < wish->n_steps; i++) {
        const struct moved_entry *entry =
            find((struct moving *)(uintptr_t)&keeper->moving, wish, wish->steps[i]);
        if (entry == NULL || !entry->is_ready) {
            return false;
        }
    }
    return true;
}

const struct model_moved *keeper_moved_publish(struct keeper *keeper)
{
    const struct model_moved_wish *wish = &keeper->wish.moved;
    if (wish->n_steps == 0) {
        return NULL;
    }
    struct model_moved *moved = part_create(sizeof *moved, NULL);
    moved->of = *wish;
    for (uint32_t i = 0; i < wish->n_steps; i++) {
        const struct moved_entry *entry = find(&keeper->moving, wish, wish->steps[i]);
        if (entry != NULL) {
            moved->at[i] = (struct model_moved_step){
                entry->is_ready, entry->n_things, entry->n_done, entry->list};
        }
    }
    return moved;
}
