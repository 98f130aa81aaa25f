/* SPDX-License-Identifier: Apache-2.0 */
#include "client/model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/meant.h"
#include "lib/base/mem.h"

/* How far model_wish_add looks back for the same series. */
enum { N_LOOK_BACK = 128 };

static void finish_model(void *part)
{
    struct model *model = part;
    part_unref(model->runs);
    part_unref(model->things);
    part_unref(model->alerts);
    part_unref(model->events);
    part_unref(model->notes);
    part_unref(model->incidents);
    for (size_t i = 0; i < model->n_series; i++) {
        part_unref(model->series[i]);
    }
    part_unref(model->series);
    part_unref(model->units);
    part_unref(model->sample);
    part_unref(model->hist);
    part_unref(model->graph);
    part_unref(model->why);
    for (size_t i = 0; i < model->n_spreads; i++) {
        part_unref(model->spreads[i]);
    }
    part_unref(model->spreads);
    part_unref(model->moved);
    part_unref(model->other);
    part_unref(model->compare);
}

static void finish_probe(void *part)
{
    struct model_probe *probe = part;
    probe_free((struct probe *)(uintptr_t)probe->probe);
    free(probe->bytes);
}

struct model_probe *model_probe_create(
    uint64_t serial, void *bytes, size_t n_bytes, struct baro_err *err)
{
    struct probe *parsed = NULL;
    if (probe_parse(&parsed, bytes, n_bytes, err) != 0) {
        free(bytes);
        return NULL;
    }
    struct model_probe *probe = part_create(sizeof *probe, finish_probe);
    probe->serial = serial;
    probe->probe = parsed;
    probe->bytes = bytes;
    return probe;
}

struct model *model_create(void)
{
    struct model *model = part_create(sizeof *model, finish_model);
    model->endpoint = "";
    model->trouble = "";
    model->runs = part_create(sizeof *model->runs, NULL);
    model->things = part_create(sizeof *model->things, NULL);
    model->alerts = part_create(sizeof *model->alerts, NULL);
    model->events = part_create(sizeof *model->events, NULL);
    model->notes = part_create(sizeof *model->notes, NULL);
    model->incidents = part_create(sizeof *model->incidents, NULL);
    return model;
}

const struct model_run *model_run_find(const struct model *model, uint32_t run)
{
    for (size_t i = 0; i < model->runs->n; i++) {
        if (model->runs->at[i].run == run) {
            return &model->runs->at[i];
        }
    }
    return NULL;
}

/* What the runs are called; to be freed. */
static struct baro_called *called_of(const struct model *model)
{
    struct baro_called *called = baro_xcalloc(model->runs->n + 1, sizeof *called);
    for (size_t i = 0; i < model->runs->n; i++) {
        const struct model_run *run = &model->runs->at[i];
        called[i] = (struct baro_called){run->id, run->project, run->name};
    }
    return called;
}

const struct model_run *model_run_meant(const struct model *model, const char *text)
{
    baro_autofree struct baro_called *called = called_of(model);
    size_t at = 0;
    return baro_meant_find(called, model->runs->n, text, &at, NULL) == BARO_MEANT_ONE
               ? &model->runs->at[at]
               : NULL;
}

char *model_run_missed(
    const struct model *model, const char *text, char *out, size_t out_bytes)
{
    baro_autofree struct baro_called *called = called_of(model);
    baro_autofree bool *fits = baro_xcalloc(model->runs->n + 1, sizeof *fits);
    char near[512];
    size_t at = 0;
    if (baro_meant_find(called, model->runs->n, text, &at, fits) == BARO_MEANT_SEVERAL) {
        size_t n = 0;
        for (size_t i = 0; i < model->runs->n; i++) {
            n += fits[i] ? 1 : 0;
        }
        (void)snprintf(out, out_bytes,
            "'%s' means %zu runs; give the id of one, the newest is %s", text, n,
            model->runs->at[at].id);
    } else if (baro_meant_near(called, model->runs->n, text, near, sizeof near)) {
        (void)snprintf(out, out_bytes, "no run '%s'; did you mean '%s'?", text, near);
    } else {
        (void)snprintf(out, out_bytes, "no run '%s'; 'baro runs' lists them", text);
    }
    return out;
}

const struct model_thing *model_thing_find(const struct model *model, uint32_t thing)
{
    size_t lo = 0;
    size_t hi = model->things->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (model->things->at[mid].thing < thing) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    bool is_there = lo < model->things->n && model->things->at[lo].thing == thing;
    return is_there ? &model->things->at[lo] : NULL;
}

const struct model_thing *model_tensor_find(
    const struct model *model, const char *name, enum baro_role role)
{
    for (size_t i = 0; i < model->things->n; i++) {
        const struct model_thing *thing = &model->things->at[i];
        if (thing->is_tensor && (role == 0 || thing->role == role) &&
            strcmp(thing->name, name) == 0) {
            return thing;
        }
    }
    return NULL;
}

const struct model_thing *model_tensor_of_rank(
    const struct model *model, const char *name, enum baro_role role, uint32_t rank)
{
    for (size_t i = 0; i < model->things->n; i++) {
        const struct model_thing *thing = &model->things->at[i];
        if (thing->is_tensor && thing->role == role && thing->rank == rank &&
            strcmp(thing->name, name) == 0) {
            return thing;
        }
    }
    return NULL;
}

int model_ref_compare(struct model_ref a, bool a_coarse, struct model_ref b, bool b_coarse)
{
    if (a_coarse != b_coarse) {
        return a_coarse ? 1 : -1;
    }
    if (a.thing != b.thing) {
        return a.thing < b.thing ? -1 : 1;
    }
    if (a.kind != b.kind) {
        return a.kind < b.kind ? -1 : 1;
    }
    if (a.stat != b.stat) {
        return a.stat < b.stat ? -1 : 1;
    }
    return (a.unit > b.unit) - (a.unit < b.unit);
}

const struct model_series *model_find(
    const struct model *model, struct model_ref ref, bool is_coarse)
{
    size_t lo = 0;
    size_t hi = model->n_series;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const struct model_series *series = model->series[mid];
        int order = model_ref_compare(series->ref, series->is_coarse, ref, is_coarse);
        if (order == 0) {
            return series;
        }
        if (order < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return NULL;
}

static bool add_ref(struct model_wish_ref *refs, size_t *n, size_t most,
    struct model_ref ref, bool is_coarse)
{
    size_t first = *n > N_LOOK_BACK ? *n - N_LOOK_BACK : 0;
    for (size_t i = first; i < *n; i++) {
        if (model_ref_compare(refs[i].ref, refs[i].is_coarse, ref, is_coarse) == 0) {
            return true;
        }
    }
    if (*n == most) {
        return false;
    }
    refs[(*n)++] = (struct model_wish_ref){ref, is_coarse};
    return true;
}

bool model_wish_add(struct model_wish *wish, struct model_ref ref, bool is_coarse)
{
    return add_ref(wish->refs, &wish->n_refs, MODEL_MAX_REFS, ref, is_coarse);
}

bool model_wish_add_other(struct model_wish *wish, struct model_ref ref, bool is_coarse)
{
    return add_ref(
        wish->other_refs, &wish->n_other_refs, MODEL_MAX_OTHER_REFS, ref, is_coarse);
}

const struct model_thing *model_thing_like(
    const struct model *model, const struct model_thing *thing)
{
    const struct model_thing *like = NULL;
    for (size_t i = 0; i < model->things->n; i++) {
        const struct model_thing *at = &model->things->at[i];
        if (at->is_tensor == thing->is_tensor && at->role == thing->role &&
            at->rank == thing->rank && strcmp(at->name, thing->name) == 0 &&
            (like == NULL || at->epoch > like->epoch)) {
            like = at;
        }
    }
    return like;
}

bool model_wish_spread(struct model_wish *wish, struct model_spread_ref ref)
{
    for (size_t i = 0; i < wish->n_spreads; i++) {
        if (wish->spreads[i].thing == ref.thing && wish->spreads[i].stat == ref.stat) {
            return true;
        }
    }
    if (wish->n_spreads == MODEL_MAX_SPREADS) {
        return false;
    }
    wish->spreads[wish->n_spreads++] = ref;
    return true;
}

const struct model_spread *model_spread_find(
    const struct model *model, struct model_spread_ref ref)
{
    for (size_t i = 0; i < model->n_spreads; i++) {
        const struct model_spread *spread = model->spreads[i];
        if (spread->ref.thing == ref.thing && spread->ref.stat == ref.stat) {
            return spread;
        }
    }
    return NULL;
}

static bool moved_wish_equal(
    const struct model_moved_wish *a, const struct model_moved_wish *b)
{
    if (a->n_steps != b->n_steps) {
        return false;
    }
    if (a->n_steps > 0 && (a->kind != b->kind || a->role != b->role)) {
        return false;
    }
    for (uint32_t i = 0; i < a->n_steps; i++) {
        if (a->steps[i] != b->steps[i]) {
            return false;
        }
    }
    return true;
}

static bool spreads_equal(const struct model_wish *a, const struct model_wish *b)
{
    if (a->n_spreads != b->n_spreads || a->spread_columns != b->spread_columns) {
        return false;
    }
    for (size_t i = 0; i < a->n_spreads; i++) {
        if (a->spreads[i].thing != b->spreads[i].thing ||
            a->spreads[i].stat != b->spreads[i].stat) {
            return false;
        }
    }
    return true;
}

static bool same_double(double a, double b)
{
    return !(a < b) && !(a > b);
}

bool model_sample_wish_equal(
    const struct model_sample_wish *a, const struct model_sample_wish *b)
{
    bool is_same_chart = a->thing == b->thing && a->stat == b->stat &&
                         a->from_step == b->from_step && a->to_step == b->to_step &&
                         a->columns == b->columns && a->height == b->height &&
                         a->axis == b->axis && a->is_live == b->is_live &&
                         a->has_limits == b->has_limits && a->n_always == b->n_always;
    bool has_same_limits =
        !a->has_limits || (same_double(a->lo, b->lo) && same_double(a->hi, b->hi) &&
                              same_double(a->linear_to, b->linear_to));
    if (!is_same_chart || !has_same_limits) {
        return false;
    }
    for (uint32_t i = 0; i < a->n_always; i++) {
        if (a->always[i] != b->always[i]) {
            return false;
        }
    }
    return true;
}

uint32_t model_sample_place(const struct model_sample *sample, uint32_t unit)
{
    uint32_t place = 0;
    while (sample != NULL && place < sample->n_shown && sample->shown[place] != unit) {
        place++;
    }
    return place;
}

static bool compare_equal(
    const struct model_compare_wish *a, const struct model_compare_wish *b)
{
    return a->is_wanted == b->is_wanted && a->is_steps == b->is_steps &&
           a->to[0] == b->to[0] && a->to[1] == b->to[1] && a->n_units == b->n_units &&
           memcmp(a->units, b->units, a->n_units * sizeof a->units[0]) == 0;
}

static bool refs_equal(
    const struct model_wish_ref *a, const struct model_wish_ref *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (model_ref_compare(a[i].ref, a[i].is_coarse, b[i].ref, b[i].is_coarse) != 0) {
            return false;
        }
    }
    return true;
}

bool model_wish_equal(const struct model_wish *a, const struct model_wish *b)
{
    if (a->run != b->run || a->from_step != b->from_step || a->to_step != b->to_step ||
        a->columns != b->columns || a->coarse_columns != b->coarse_columns ||
        a->units_thing != b->units_thing || a->units_stat != b->units_stat ||
        a->units_columns != b->units_columns || a->hist_thing != b->hist_thing ||
        a->wants_graph != b->wants_graph || a->wants_why != b->wants_why ||
        a->why_mode != b->why_mode || a->other_run != b->other_run ||
        a->other_from_step != b->other_from_step || a->other_to_step != b->other_to_step ||
        a->n_other_refs != b->n_other_refs || a->n_refs != b->n_refs ||
        !model_sample_wish_equal(&a->sample, &b->sample) || !spreads_equal(a, b) ||
        !moved_wish_equal(&a->moved, &b->moved)) {
        return false;
    }
    return compare_equal(&a->compare, &b->compare) &&
           refs_equal(a->refs, b->refs, a->n_refs) &&
           refs_equal(a->other_refs, b->other_refs, a->n_other_refs);
}

enum baro_level model_thing_level(const struct model_thing *thing)
{
    bool is_only_hit = thing->n_nonfinite > 0 && thing->worst_level < BARO_WATCH;
    return is_only_hit ? BARO_WATCH : thing->worst_level;
}
