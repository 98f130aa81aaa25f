/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/model/keeper_inner.h"
#include "lib/base/mem.h"

/*
 * What two moments hold: of each series that both sides have, its last reading up to a step of each
 * side, and of some tensors that of every unit. A side is a run up to a step; both may be the same
 * run. One question is under way at a time: values of all series, side by side, then units of the
 * tensors wished for. What was found stays on show until the new answer is whole.
 */

enum {
    AT_ONCE = 24,     /* pairs in a question: of tensors three series each */
    N_STATS = 3,      /* of a tensor */
    STALE_MODELS = 30 /* models between two looks at a run that goes on */
};

static const enum summary_stat STATS[N_STATS] = {SUMMARY_L2, SUMMARY_MEAN, SUMMARY_ABS_MAX};
_Static_assert((int)AT_ONCE *N_STATS <= COMPARING_MAX_REFS, "there is room for them");

/* The keeper of a side's run; NULL: its lists are not there. */
static struct keeper *side_keeper(struct keeper *keeper, int side)
{
    bool is_first = side == 0 || keeper->wish.compare.is_steps;
    struct keeper *of = is_first ? keeper : keeper->other;
    return of != NULL && of->wish.run != 0 && of->has_things ? of : NULL;
}

static bool is_same_question(
    const struct model_compare_wish *a, const struct model_compare_wish *b)
{
    return a->is_wanted == b->is_wanted && a->is_steps == b->is_steps &&
           a->to[0] == b->to[0] && a->to[1] == b->to[1];
}

static void free_units(struct comparing *comparing)
{
    for (size_t i = 0; i < comparing->n_units; i++) {
        free(comparing->units[i].values[0]);
        free(comparing->units[i].values[1]);
    }
    comparing->n_units = 0;
}

void keeper_compare_reset(struct keeper *keeper, bool findings)
{
    struct comparing *comparing = &keeper->comparing;
    comparing->stage = COMPARING_REST;
    comparing->request = 0;
    comparing->is_out = false;
    free(comparing->pairs);
    comparing->pairs = NULL;
    comparing->n = 0;
    if (findings) {
        free_units(comparing);
        part_unref(comparing->found);
        comparing->found = NULL;
        comparing->asked = (struct model_compare_wish){0};
    } else {
        comparing->asked.is_wanted = false; /* so that it is asked again */
    }
}

static void finish_compare(void *part)
{
    struct model_compare *compare = part;
    for (size_t i = 0; i < compare->n_units; i++) {
        free((void *)(uintptr_t)compare->units[i].values[0]);
        free((void *)(uintptr_t)compare->units[i].values[1]);
    }
    free(compare->at);
}

static float *copy_floats(const float *from, size_t n)
{
    float *to = baro_xcalloc(n + 1, sizeof *to);
    if (n > 0) {
        memcpy(to, from, n * sizeof *to);
    }
    return to;
}

/* What is known now as a new part; pairs: of a fresh answer, taken over; else those before. */
static void publish(struct keeper *keeper, struct model_compared *pairs, size_t n)
{
    struct comparing *comparing = &keeper->comparing;
    struct model_compare *part = part_create(sizeof *part, finish_compare);
    const struct model_compare *before = comparing->found;
    part->of = comparing->asked;
    part->n_alone[0] = comparing->n_alone[0];
    part->n_alone[1] = comparing->n_alone[1];
    if (pairs == NULL && before != NULL && comparing->n_units > 0) {
        pairs = baro_xcalloc(before->n + 1, sizeof *pairs);
        memcpy(pairs, before->at, before->n * sizeof *pairs);
        n = before->n;
    }
    part->at = pairs;
    part->n = n;
    for (size_t i = 0; i < comparing->n_units; i++) {
        const struct compared_units *units = &comparing->units[i];
        if (units->n_answered == 2 && units->n[0] == units->n[1]) {
            part->units[part->n_units++] =
                (struct model_compared_units){.thing = units->thing,
                    .n = units->n[0],
                    .step = {units->step[0], units->step[1]},
                    .values = {copy_floats(units->values[0], units->n[0]),
                        copy_floats(units->values[1], units->n[1])}};
        }
    }
    part_unref(comparing->found);
    comparing->found = part;
}

/* The things of both sides that are one another's like. */
static void pair_up(struct keeper *keeper, struct keeper *a, struct keeper *b)
{
    struct comparing *comparing = &keeper->comparing;
    struct model *lists[2] = {model_create(), model_create()};
    catalog_publish(a->catalog, lists[0]);
    catalog_publish(b->catalog, lists[1]);
    const struct model_things *things = lists[0]->things;
    comparing->pairs = baro_xcalloc(things->n + 1, sizeof *comparing->pairs);
    comparing->n = 0;
    for (size_t i = 0; i < things->n && comparing->n < MODEL_MAX_COMPARED; i++) {
        const struct model_thing *thing = &things->at[i];
        const struct model_thing *like = a == b ? thing : model_thing_like(lists[1], thing);
        if (like == NULL) {
            comparing->n_alone[0]++;
            continue;
        }
        struct model_compared *pair = &comparing->pairs[comparing->n++];
        *pair = (struct model_compared){
            .thing = {thing->thing, like->thing}, .is_tensor = thing->is_tensor};
    }
    comparing->n_alone[1] = things->n < 1 ? 0 : lists[1]->things->n - comparing->n;
    part_unref(lists[0]);
    part_unref(lists[1]);
}

static void begin(struct keeper *keeper)
{
    struct comparing *comparing = &keeper->comparing;
    struct keeper *a = side_keeper(keeper, 0);
    struct keeper *b = side_keeper(keeper, 1);
    if (a == NULL || b == NULL) {
        return;
    }
    free(comparing->pairs);
    comparing->n_alone[0] = comparing->n_alone[1] = 0;
    pair_up(keeper, a, b);
    comparing->asked = keeper->wish.compare;
    comparing->begun_at = keeper->n_published;
    comparing->stage = COMPARING_VALUES;
    comparing->side = 0;
    comparing->next = 0;
    if (comparing->n == 0) { /* they have nothing in common */
        free_units(comparing);
        comparing->stage = COMPARING_REST;
        publish(keeper, NULL, 0);
    }
}

/* ---- asking ---- */

static void begin_range(struct keeper *keeper, int side, Baro__Envelope *out)
{
    Baro__RangeRequest *range = &keeper->body.range;
    struct comparing *comparing = &keeper->comparing;
    baro__range_request__init(range);
    range->run = side_keeper(keeper, side)->wish.run;
    range->from_step = INT64_MIN;
    range->to_step = comparing->asked.to[side];
    range->columns = 1;
    range->series = comparing->ref_pointers;
    out->body_case = BARO__ENVELOPE__BODY_RANGE_REQUEST;
    out->range_request = range;
}

static void add_ref(struct keeper *keeper, uint32_t thing, int kind, int stat)
{
    size_t i = keeper->body.range.n_series++;
    Baro__SeriesRef *ref = &keeper->comparing.refs[i];
    baro__series_ref__init(ref);
    ref->thing = thing;
    ref->kind = (uint32_t)kind;
    ref->stat = (uint32_t)stat;
    ref->unit = -1;
    keeper->comparing.ref_pointers[i] = ref;
}

static void ask_values(struct keeper *keeper, Baro__Envelope *out)
{
    struct comparing *comparing = &keeper->comparing;
    size_t end = comparing->next + AT_ONCE;
    end = end < comparing->n ? end : comparing->n;
    begin_range(keeper, comparing->side, out);
    for (size_t i = comparing->next; i < end; i++) {
        const struct model_compared *pair = &comparing->pairs[i];
        uint32_t thing = pair->thing[comparing->side];
        for (int stat = 0; pair->is_tensor && stat < N_STATS; stat++) {
            add_ref(keeper, thing, READING_SUMMARY, (int)STATS[stat]);
        }
        if (!pair->is_tensor) {
            add_ref(keeper, thing, READING_SCALAR, 0);
        }
    }
}

/* The units of a tensor that are known, for the moments asked for; NULL: not yet. */
static struct compared_units *units_find(struct comparing *comparing, uint32_t thing)
{
    for (size_t i = 0; i < comparing->n_units; i++) {
        if (comparing->units[i].thing == thing) {
            return &comparing->units[i];
        }
    }
    return NULL;
}

/* Make room for the units of a tensor; those asked for longest ago give way. */
static struct compared_units *units_add(struct comparing *comparing, uint32_t thing)
{
    if (comparing->n_units == MODEL_MAX_COMPARED_UNITS) {
        free(comparing->units[0].values[0]);
        free(comparing->units[0].values[1]);
        comparing->n_units--;
        memmove(&comparing->units[0], &comparing->units[1],
            comparing->n_units * sizeof comparing->units[0]);
    }
    comparing->units[comparing->n_units] = (struct compared_units){.thing = thing};
    return &comparing->units[comparing->n_units++];
}

static const struct model_compared *pair_of(
    const struct model_compare *found, uint32_t thing)
{
    for (size_t i = 0; i < found->n; i++) {
        if (found->at[i].thing[0] == thing) {
            return &found->at[i];
        }
    }
    return NULL;
}

/* Ask for the units of a tensor that is wished for and not known; false: there is none. */
static bool ask_units(struct keeper *keeper, Baro__Envelope *out)
{
    struct comparing *comparing = &keeper->comparing;
    const struct model_compare_wish *wish = &keeper->wish.compare;
    for (uint32_t i = 0; comparing->found != NULL && i < wish->n_units; i++) {
        struct compared_units *units = units_find(comparing, wish->units[i]);
        const struct model_compared *pair = pair_of(comparing->found, wish->units[i]);
        if (pair == NULL || (units != NULL && units->n_answered == 2)) {
            continue;
        }
        units = units != NULL ? units : units_add(comparing, wish->units[i]);
        comparing->side = units->n_answered;
        comparing->units_thing = units->thing;
        begin_range(keeper, comparing->side, out);
        add_ref(keeper, pair->thing[comparing->side], READING_UNITS, UNIT_L2);
        return true;
    }
    return false;
}

static bool has_units(struct keeper *keeper, uint32_t thing, uint32_t other)
{
    const struct keeper *second = side_keeper(keeper, 1);
    const struct model_thing *a = catalog_thing(keeper->catalog, thing);
    const struct model_thing *b =
        second != NULL ? catalog_thing(second->catalog, other) : NULL;
    return a != NULL && b != NULL && a->n_units > 0 && a->n_units == b->n_units;
}

static bool is_stale(const struct keeper *keeper)
{
    const struct comparing *comparing = &keeper->comparing;
    bool follows =
        comparing->asked.to[0] == INT64_MAX || comparing->asked.to[1] == INT64_MAX;
    return follows && keeper->n_published - comparing->begun_at >= STALE_MODELS;
}

bool keeper_compare_ask(struct keeper *keeper, Baro__Envelope *out)
{
    struct comparing *comparing = &keeper->comparing;
    const struct model_compare_wish *wish = &keeper->wish.compare;
    if (!wish->is_wanted || comparing->request != 0 || comparing->is_out) {
        return false;
    }
    if (comparing->stage == COMPARING_REST &&
        (!is_same_question(&comparing->asked, wish) || is_stale(keeper))) {
        begin(keeper);
    }
    if (comparing->stage == COMPARING_VALUES && comparing->n > 0) {
        ask_values(keeper, out);
        comparing->is_out = true;
    } else if (comparing->stage == COMPARING_REST && comparing->asked.is_wanted &&
               side_keeper(keeper, 1) != NULL && ask_units(keeper, out)) {
        comparing->stage = COMPARING_UNITS;
        comparing->is_out = true;
    }
    return comparing->is_out;
}

bool keeper_compare_sent(struct keeper *keeper, int64_t request)
{
    struct comparing *comparing = &keeper->comparing;
    if (!comparing->is_out) {
        return false;
    }
    comparing->is_out = false;
    comparing->request = request > 0 ? (uint64_t)request : 0; /* else asked again */
    if (request <= 0 && comparing->stage == COMPARING_UNITS) {
        comparing->stage = COMPARING_REST;
    }
    return true;
}

/* ---- taking ---- */

/* The last column of one series that holds a reading; false: none does. */
static bool last_of(const struct keeper_frame *frame, struct wire_column *out)
{
    size_t n = frame->n_bytes / sizeof *out;
    while (n > 0) {
        memcpy(out, frame->bytes + (n - 1) * sizeof *out, sizeof *out);
        if (out->count > 0) {
            return true;
        }
        n--;
    }
    return false;
}

static void take_values(struct keeper *keeper, const Baro__RangeReply *reply,
    const struct keeper_frame *frames, size_t n_frames)
{
    struct comparing *comparing = &keeper->comparing;
    size_t frame = 0;
    size_t end = comparing->next + AT_ONCE;
    end = end < comparing->n ? end : comparing->n;
    for (size_t i = comparing->next; i < end; i++) {
        struct model_compared *pair = &comparing->pairs[i];
        size_t n_stats = pair->is_tensor ? N_STATS : 1;
        for (size_t stat = 0; stat < n_stats; stat++, frame++) {
            struct wire_column column;
            if (reply == NULL || frame >= n_frames || !last_of(&frames[frame], &column)) {
                continue;
            }
            pair->has[comparing->side] = true;
            pair->values[comparing->side][stat] = column.last;
            pair->step[comparing->side] = column.last_step;
        }
    }
    comparing->next = end;
    if (end == comparing->n) {
        comparing->next = 0;
        comparing->side++;
    }
}

/* The last values of all units, one column each. */
static void take_units(
    struct keeper *keeper, const struct keeper_frame *frames, size_t n_frames)
{
    struct comparing *comparing = &keeper->comparing;
    struct compared_units *units = units_find(comparing, comparing->units_thing);
    int side = comparing->side;
    if (units == NULL || units->n_answered != side) {
        return;
    }
    units->n_answered++;
    size_t n = n_frames > 0 ? frames[0].n_bytes / sizeof(struct wire_column) : 0;
    units->values[side] = baro_xcalloc(n + 1, sizeof *units->values[side]);
    units->n[side] = (uint32_t)n;
    for (size_t i = 0; i < n; i++) {
        struct wire_column column;
        memcpy(&column, frames[0].bytes + i * sizeof column, sizeof column);
        if (column.count > 0) {
            units->step[side] = column.last_step;
        }
        units->values[side][i] = column.count > 0 ? (float)column.last : -1;
    }
}

bool keeper_compare_take(struct keeper *keeper, const Baro__Envelope *envelope,
    const struct keeper_frame *frames, size_t n_frames)
{
    struct comparing *comparing = &keeper->comparing;
    if (comparing->request == 0 || comparing->request != envelope->request) {
        return false;
    }
    const Baro__RangeReply *reply = envelope->body_case == BARO__ENVELOPE__BODY_RANGE_REPLY
                                        ? envelope->range_reply
                                        : NULL;
    comparing->request = 0;
    keeper->is_changed = true;
    if (comparing->stage == COMPARING_UNITS) {
        comparing->stage = COMPARING_REST;
        take_units(keeper, frames, reply != NULL ? n_frames : 0);
        publish(keeper, NULL, 0);
        return true;
    }
    take_values(keeper, reply, frames, n_frames);
    if (comparing->side == 2) {
        comparing->stage = COMPARING_REST;
        free_units(comparing);
        for (size_t i = 0; i < comparing->n; i++) {
            struct model_compared *pair = &comparing->pairs[i];
            pair->has_units =
                pair->is_tensor && has_units(keeper, pair->thing[0], pair->thing[1]);
        }
        publish(keeper, BARO_TAKE(comparing->pairs), comparing->n);
    }
    return true;
}

const struct model_compare *keeper_compare_publish(struct keeper *keeper)
{
    return keeper->wish.compare.is_wanted ? part_ref(keeper->comparing.found) : NULL;
}

bool keeper_compare_is_complete(struct keeper *keeper)
{
    const struct comparing *comparing = &keeper->comparing;
    const struct model_compare_wish *wish = &keeper->wish.compare;
    if (!wish->is_wanted) {
        return true;
    }
    if (comparing->stage != COMPARING_REST || comparing->found == NULL ||
        !is_same_question(&comparing->asked, wish)) {
        return false;
    }
    for (uint32_t i = 0; i < wish->n_units; i++) {
        const struct compared_units *units = units_find(&keeper->comparing, wish->units[i]);
        if (pair_of(comparing->found, wish->units[i]) != NULL &&
            (units == NULL || units->n_answered < 2)) {
            return false;
        }
    }
    return true;
}
