/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/registry.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "daemon/notes.h"
#include "daemon/steer.h"
#include "lib/alarm/alarm.h"
#include "lib/base/mem.h"
#include "lib/base/tensor.h"

/*
 * Identity of a thing within its run: (rank, is it a tensor, role, name), and its layout. Rows of
 * one group have one layout: a layer that comes back with another type, shape or width is another
 * epoch of the series, a thing of its own. A layout that comes back is the epoch it was before.
 */
static char *make_key(uint32_t rank, const Baro__Declare *declare)
{
    size_t size = strlen(declare->name) + 64;
    char *key = baro_xcalloc(size, 1);
    (void)snprintf(key, size, "%u/%d/%u/%s", rank, declare->is_tensor ? 1 : 0,
        declare->role, declare->name);
    return key;
}

static bool is_same_layout(const Baro__Declare *a, const Baro__Declare *b)
{
    if (!a->is_tensor) {
        return true;
    }
    if (a->n_units != b->n_units || a->dtype != b->dtype ||
        (a->n_units > 0 && a->unit_axis != b->unit_axis)) {
        return false;
    }
    if (baro_role_has_batch((enum baro_role)a->role)) {
        return true;
    }
    return a->n_shape == b->n_shape &&
           (a->n_shape == 0 ||
               memcmp(a->shape, b->shape, a->n_shape * sizeof *a->shape) == 0);
}

/* Find the epoch of a key with a declaration's layout; *out_last: the newest epoch, or NULL. */
static struct thing *find_epoch(const struct run *run, const char *key,
    const Baro__Declare *declare, struct thing **out_last)
{
    struct thing *thing = NULL;
    HASH_FIND_STR(run->things_by_key, key, thing);
    *out_last = thing;
    while (thing != NULL && !is_same_layout(thing->declare, declare)) {
        *out_last = thing;
        thing = thing->next_epoch;
    }
    return thing;
}

struct thing *registry_find_like(const struct run *run, const struct thing *thing)
{
    struct thing *last = NULL;
    return find_epoch(run, thing->key, thing->declare, &last);
}

/* "loss", "train/loss", "d_loss"; "Loss/train", as TensorBoard's users name them. */
static bool is_loss_name(const char *name)
{
    size_t n = strlen(name);
    return strncasecmp(name, "loss/", 5) == 0 ||
           (n >= 4 && strcasecmp(name + n - 4, "loss") == 0);
}

static bool is_named_loss(const struct thing *thing)
{
    return strcmp(thing->declare->name, "loss") == 0;
}

/*
 * The run's loss is the scalar named "loss", else the first whose name tells of one; of its lowest
 * rank, whichever rank is the first to speak.
 */
static void consider_loss(struct run *run, struct thing *thing)
{
    const struct thing *loss = run->loss;
    bool is_same = loss != NULL && strcmp(loss->declare->name, thing->declare->name) == 0;
    bool is_better = loss == NULL || (is_same && thing->rank < loss->rank) ||
                     (is_named_loss(thing) && !is_named_loss(loss));
    if (thing->is_loss && is_better) {
        run->loss = thing;
    }
}

static int compare_number(const void *key, const void *run)
{
    uint32_t number = *(const uint32_t *)key;
    uint32_t other = (*(struct run *const *)run)->number;
    return (number > other) - (number < other);
}

struct run *registry_run(const struct registry *registry, uint32_t number)
{
    struct run **found = registry->n_runs == 0
                             ? NULL
                             : bsearch(&number, registry->runs, registry->n_runs,
                                   sizeof(struct run *), compare_number);
    return found != NULL ? *found : NULL;
}

struct thing *registry_thing(const struct run *run, uint32_t id)
{
    return id >= 1 && id <= run->n_things ? run->things[id - 1] : NULL;
}

struct stream *registry_stream(const struct registry *registry, const uint8_t *id)
{
    struct stream *stream = NULL;
    HASH_FIND(hh, registry->streams_by_id, id, WIRE_STREAM_BYTES, stream);
    return stream;
}

struct run *registry_add_run(struct registry *registry, Baro__RunDescription *description)
{
    struct run *run = NULL;
    HASH_FIND_STR(registry->runs_by_id, description->run_id, run);
    if (run != NULL) {
        baro__run_description__free_unpacked(description, NULL);
        return run;
    }
    run = baro_xcalloc(1, sizeof *run);
    run->description = description;
    registry->runs =
        baro_xrealloc(registry->runs, registry->n_runs + 1, sizeof(struct run *));
    registry->runs[registry->n_runs++] = run;
    run->number = ++registry->last_number;
    HASH_ADD_KEYPTR(
        hh, registry->runs_by_id, description->run_id, strlen(description->run_id), run);
    registry_touch_run(run);
    return run;
}

void registry_remove_run(struct registry *registry, struct run *run)
{
    uint32_t at = 0;
    while (at < registry->n_runs && registry->runs[at] != run) {
        at++;
    }
    if (at == registry->n_runs) {
        return; /* it is gone already */
    }
    registry->n_runs--;
    memmove(&registry->runs[at], &registry->runs[at + 1],
        (registry->n_runs - at) * sizeof(struct run *));
    HASH_DEL(registry->runs_by_id, run);
    registry_disown_branches(registry, run);
    for (uint32_t i = 0; i < run->n_streams; i++) {
        assert(registry->streams_by_id != NULL); /* each stream of a run is in it */
        HASH_DEL(registry->streams_by_id, run->streams[i]);
    }
    size_t n_kept = 0;
    for (size_t i = 0; i < registry->n_dirty_things; i++) {
        if (registry->dirty_things[i]->run != run) {
            registry->dirty_things[n_kept++] = registry->dirty_things[i];
        }
    }
    registry->n_dirty_things = n_kept;
    registry->removed =
        baro_xrealloc(registry->removed, registry->n_removed + 1, sizeof(struct run *));
    registry->removed[registry->n_removed++] = run;
}

struct stream *registry_add_stream(
    struct registry *registry, struct run *run, Baro__Hello *hello)
{
    struct stream *stream = baro_xcalloc(1, sizeof *stream);
    memcpy(stream->id, hello->stream.data, WIRE_STREAM_BYTES);
    stream->run = run;
    stream->hello = hello;
    run->streams = baro_xrealloc(run->streams, run->n_streams + 1, sizeof(struct stream *));
    run->streams[run->n_streams++] = stream;
    stream->n = run->n_streams;
    HASH_ADD(hh, registry->streams_by_id, id, WIRE_STREAM_BYTES, stream);
    registry_touch_stream(stream);
    return stream;
}

const struct thing *registry_epoch_before(const struct thing *thing)
{
    const struct thing *before = NULL;
    HASH_FIND_STR(thing->run->things_by_key, thing->key, before);
    while (before != NULL && before->next_epoch != thing) {
        before = before->next_epoch;
    }
    return before;
}

static struct thing *add_thing(
    struct registry *registry, struct run *run, uint32_t rank, Baro__Declare *declare)
{
    baro_autofree char *key = make_key(rank, declare);
    struct thing *last = NULL;
    struct thing *thing = find_epoch(run, key, declare, &last);
    bool is_full = run->n_things >= REGISTRY_MAX_THINGS ||
                   (last != NULL && last->epoch >= REGISTRY_MAX_EPOCHS);
    if (thing != NULL || is_full) {
        baro__declare__free_unpacked(declare, NULL);
        return thing;
    }
    thing = baro_xcalloc(1, sizeof *thing);
    thing->run = run;
    thing->rank = rank;
    thing->declare = declare;
    thing->key = BARO_TAKE(key);
    thing->epoch = last != NULL ? last->epoch + 1 : 1;
    thing->last_value = (double)NAN;
    thing->is_loss = !declare->is_tensor && is_loss_name(declare->name);
    if (run->n_things == run->things_size) {
        run->things_size = run->things_size > 0 ? run->things_size * 2 : 64;
        run->things = baro_xrealloc(run->things, run->things_size, sizeof(struct thing *));
    }
    run->things[run->n_things++] = thing;
    thing->id = run->n_things;
    declare->id = thing->id;
    if (last != NULL) {
        last->next_epoch = thing;
    } else {
        HASH_ADD_KEYPTR(hh, run->things_by_key, thing->key, strlen(thing->key), thing);
    }
    consider_loss(run, thing);
    registry_touch_thing(registry, thing);
    return thing;
}

void registry_hand_down(
    struct registry *registry, struct run *branch, const struct thing *thing)
{
    Baro__Declare *declare = baro_xcalloc(1, sizeof *declare);
    *declare = *thing->declare;
    declare->base.n_unknown_fields = 0;
    declare->base.unknown_fields = NULL;
    declare->name = baro_xstrdup(thing->declare->name);
    declare->shape = NULL;
    if (declare->n_shape > 0) {
        declare->shape = baro_xcalloc(declare->n_shape, sizeof *declare->shape);
        memcpy(declare->shape, thing->declare->shape,
            declare->n_shape * sizeof *declare->shape);
    }
    (void)add_thing(registry, branch, thing->rank, declare);
}

struct thing *registry_add_thing(
    struct registry *registry, struct run *run, uint32_t rank, Baro__Declare *declare)
{
    uint32_t n_things = run->n_things;
    struct thing *thing = add_thing(registry, run, rank, declare);
    if (run->n_things == n_things || run->n_branches == 0 || registry->is_loading) {
        return thing;
    }
    /* A ring that is read late names more than its run had when it was branched from. */
    for (uint32_t i = 0; i < registry->n_runs; i++) {
        for (struct run *of = registry->runs[i]->parent; of != NULL; of = of->parent) {
            if (of == run) {
                registry_hand_down(registry, registry->runs[i], thing);
            }
        }
    }
    return thing;
}

void registry_add_alert(struct registry *registry, struct run *run, Baro__Alert *alert)
{
    run->alerts = baro_xrealloc(run->alerts, run->n_alerts + 1, sizeof(Baro__Alert *));
    run->alerts[run->n_alerts++] = alert;
    alert->id = run->n_alerts;
    alert->run = run->number;
    run->worst_level = alert->level > run->worst_level ? alert->level : run->worst_level;
    struct thing *thing = registry_thing(run, alert->thing);
    if (thing != NULL && alert->level > thing->worst_level) {
        thing->worst_level = alert->level;
        registry_touch_thing(registry, thing);
    }
    registry_touch_run(run);
}

void registry_put_incident(
    struct registry *registry, struct run *run, Baro__Incident *incident)
{
    (void)registry;
    uint32_t at = run->n_incidents;
    while (at > 0 && run->incidents[at - 1]->id >= incident->id) {
        at--;
    }
    if (at < run->n_incidents && run->incidents[at]->id == incident->id) {
        baro__incident__free_unpacked(run->incidents[at], NULL);
        run->incidents[at] = incident;
    } else {
        run->incidents =
            baro_xrealloc(run->incidents, run->n_incidents + 1, sizeof(Baro__Incident *));
        memmove(&run->incidents[at + 1], &run->incidents[at],
            (run->n_incidents - at) * sizeof(Baro__Incident *));
        run->incidents[at] = incident;
        run->n_incidents++;
    }
    registry_touch_run(run);
}

void registry_touch_thing(struct registry *registry, struct thing *thing)
{
    if (thing->is_dirty) {
        return;
    }
    thing->is_dirty = true;
    if (registry->n_dirty_things == registry->dirty_size) {
        registry->dirty_size = registry->dirty_size > 0 ? registry->dirty_size * 2 : 256;
        registry->dirty_things = baro_xrealloc(
            registry->dirty_things, registry->dirty_size, sizeof(struct thing *));
    }
    registry->dirty_things[registry->n_dirty_things++] = thing;
}

void registry_touch_stream(struct stream *stream)
{
    stream->is_dirty = true;
    registry_touch_run(stream->run);
}

void registry_touch_run(struct run *run)
{
    run->is_dirty = true;
    run->is_live_dirty = true;
}

static void finish_run(struct run *run)
{
    struct thing *thing;
    struct thing *next;
    HASH_ITER(hh, run->things_by_key, thing, next)
    {
        HASH_DEL(run->things_by_key, thing);
    }
    for (uint32_t i = 0; i < run->n_things; i++) {
        baro__declare__free_unpacked(run->things[i]->declare, NULL);
        free(run->things[i]->key);
        free(run->things[i]);
    }
    alarm_destroy(run->alarm);
    notes_forget(run);
    for (uint32_t i = 0; i < run->n_incidents; i++) {
        baro__incident__free_unpacked(run->incidents[i], NULL);
    }
    for (uint32_t i = 0; i < run->n_alerts; i++) {
        baro__alert__free_unpacked(run->alerts[i], NULL);
    }
    for (uint32_t i = 0; i < run->n_streams; i++) {
        struct stream *stream = run->streams[i];
        baro__hello__free_unpacked(stream->hello, NULL);
        free(stream->map);
        free(stream->live);
        free(stream->status_text);
        free(stream->note);
        steer_forget(stream);
        free(stream->attention);
        free(stream);
    }
    baro__run_description__free_unpacked(run->description, NULL);
    free(run->things);
    free(run->streams);
    free(run->alerts);
    free(run->incidents);
    free(run);
}

void registry_finish(struct registry *registry)
{
    HASH_CLEAR(hh, registry->streams_by_id);
    HASH_CLEAR(hh, registry->runs_by_id);
    for (uint32_t i = 0; i < registry->n_runs; i++) {
        finish_run(registry->runs[i]);
    }
    for (uint32_t i = 0; i < registry->n_removed; i++) {
        finish_run(registry->removed[i]);
    }
    free(registry->runs);
    free(registry->removed);
    free(registry->dirty_things);
    *registry = (struct registry){0};
}
