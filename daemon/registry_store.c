/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/registry.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/notes.h"
#include "daemon/steer.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"

/*
 * The registry in the store, as packed protobuf:
 *
 *   STORE_RUNS    (run, 0)      RunInfo
 *   STORE_THINGS  (run, thing)  ThingInfo
 *   STORE_STREAMS (run, n)      StoredStream; its last_seq is committed with the rows it counts
 *   STORE_ALERTS  (run, id)     Alert
 *   STORE_INCIDENTS (run, id)   Incident
 *   STORE_NOTES   (run, id)     Note
 */

/* ---- describing ---- */

static uint64_t count_dropped(const struct run *run)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < run->n_streams; i++) {
        const struct stream *stream = run->streams[i];
        n += stream->n_dropped_beat > stream->n_dropped_told ? stream->n_dropped_beat
                                                             : stream->n_dropped_told;
    }
    return n;
}

/* The reason of the newest stream that gave one. */
static char *status_text(const struct run *run)
{
    for (uint32_t i = run->n_streams; i > 0; i--) {
        char *text = run->streams[i - 1]->status_text;
        const struct stream *stream = run->streams[i - 1];
        if (text != NULL && stream->status == run->status && !stream->is_superseded) {
            return text;
        }
    }
    return (char *)(uintptr_t) "";
}

static void describe_steps(Baro__RunInfo *out, int64_t first_step, int64_t last_step)
{
    int64_t n_before_last = 0;
    bool is_beyond = __builtin_sub_overflow(last_step, first_step, &n_before_last) ||
                     n_before_last == INT64_MAX;
    out->n_steps = is_beyond ? INT64_MAX : n_before_last + 1;
    out->first_step = first_step;
    out->last_step = last_step;
}

/* As it is kept: without what is inherited. */
static void describe_own_run(const struct run *run, Baro__RunInfo *out)
{
    baro__run_info__init(out);
    out->run = run->number;
    out->description = run->description;
    out->status = run->status;
    if (run->has_steps) {
        describe_steps(out, run->first_step, run->last_step);
    }
    out->parent = run->parent != NULL ? run->parent->number : 0;
    out->branch_step = run->parent != NULL ? run->branch_step : 0;
    out->is_branch_open = run->is_branch_open;
    out->is_overwritten = run->is_overwritten;
    out->is_pruned = run->is_pruned;
    out->n_branches = run->n_branches;
    out->first_time_ns = run->first_time_ns;
    out->last_time_ns = run->last_time_ns;
    if (run->loss != NULL && run->loss->n_points > 0) {
        out->has_loss = true;
        out->last_loss = run->loss->last_value;
    }
    out->n_alerts = run->n_alerts;
    out->worst_level = run->worst_level;
    out->n_dropped = count_dropped(run);
    out->n_streams = run->n_streams;
    out->status_text = status_text(run);
    out->n_records = run->n_committed;
}

void registry_describe_run(const struct run *run, Baro__RunInfo *out)
{
    int64_t first_step = 0;
    int64_t last_step = 0;
    describe_own_run(run, out);
    out->n_damaged = run->n_damaged;
    out->is_steerable = steer_is_possible(run);
    if (run->parent != NULL && registry_steps(run, &first_step, &last_step)) {
        describe_steps(out, first_step, last_step);
    }
}

/* As it is kept: without what is inherited. */
static void describe_own_thing(const struct thing *thing, Baro__ThingInfo *out)
{
    baro__thing_info__init(out);
    out->thing = thing->id;
    out->rank = thing->rank;
    out->declare = thing->declare;
    out->n_points = thing->n_points;
    out->n_unit_points = (uint32_t)thing->n_unit_points;
    out->first_step = thing->first_step;
    out->last_step = thing->last_step;
    if (thing->n_points > 1) {
        out->cadence = ((double)thing->last_step - (double)thing->first_step) /
                       (double)(thing->n_points - 1);
    }
    out->last_value = thing->last_value;
    out->worst_level = thing->worst_level;
    out->n_nonfinite = thing->n_nonfinite;
    out->epoch = thing->epoch;
    out->n_repeats = thing->n_repeats;
    out->spacing = thing->spacing;
    out->unit_spacing = thing->unit_spacing;
}

void registry_describe_thing(const struct thing *thing, Baro__ThingInfo *out)
{
    describe_own_thing(thing, out);
    const struct inheritance inherited = registry_inherited(thing);
    if (inherited.n_points == 0) {
        return;
    }
    bool has_own = out->n_points + out->n_unit_points > 0;
    out->n_inherited = inherited.n_points;
    out->is_inherited_estimate = inherited.is_estimate;
    out->first_step = !has_own || inherited.first_step < out->first_step
                          ? inherited.first_step
                          : out->first_step;
    out->last_step = !has_own || inherited.last_step > out->last_step ? inherited.last_step
                                                                      : out->last_step;
    uint64_t n = out->n_points + inherited.n_points;
    if (n > 1) {
        out->cadence = ((double)out->last_step - (double)out->first_step) / (double)(n - 1);
    }
}

/* ---- saving ---- */

static void put(struct bundle *bundle, enum store_table table, uint32_t run, uint64_t id,
    const ProtobufCMessage *message)
{
    size_t n_bytes = protobuf_c_message_get_packed_size(message);
    baro_autofree uint8_t *bytes = baro_xcalloc(n_bytes > 0 ? n_bytes : 1, 1);
    (void)protobuf_c_message_pack(message, bytes);
    bundle_put(bundle, table, run, id, bytes, n_bytes);
}

static void save_stream(struct bundle *bundle, struct stream *stream)
{
    Baro__StoredStream stored;
    baro__stored_stream__init(&stored);
    stored.hello = stream->hello;
    stored.last_seq = stream->last_seq;
    stored.status = stream->status;
    if (stream->status_text != NULL) {
        stored.status_text = stream->status_text;
    }
    stored.last_step = stream->last_step;
    stored.last_time_ns = stream->last_time_ns;
    stored.n_dropped = stream->n_dropped_told;
    stored.created_ns = stream->created_ns;
    stored.has_begun = stream->has_begun;
    stored.max_step = stream->max_step;
    stored.controls = stream->controls;
    stored.n_controls = stream->n_controls;
    stored.last_control = stream->last_control;
    stored.is_pause_asked = stream->is_pause_asked;
    put(bundle, STORE_STREAMS, stream->run->number, stream->n, &stored.base);
    bundle_ack(bundle, stream, stream->last_seq, stream->n_since);
    stream->n_since = 0;
    stream->is_dirty = false;
}

void registry_save_alert(
    struct bundle *bundle, const struct run *run, const Baro__Alert *alert)
{
    put(bundle, STORE_ALERTS, run->number, alert->id, &alert->base);
}

void registry_save_incident(struct bundle *bundle, const Baro__Incident *incident)
{
    put(bundle, STORE_INCIDENTS, incident->run, incident->id, &incident->base);
}

static void save_run(struct bundle *bundle, struct run *run)
{
    Baro__RunInfo info;
    describe_own_run(run, &info);
    info.n_records = run->n_records; /* all of them are committed together with this */
    put(bundle, STORE_RUNS, run->number, 0, &info.base);
    for (uint32_t i = 0; i < run->n_streams; i++) {
        if (run->streams[i]->is_dirty) {
            save_stream(bundle, run->streams[i]);
        }
    }
    run->is_dirty = false;
}

void registry_save(struct registry *registry, struct bundle *bundle)
{
    for (size_t i = 0; i < registry->n_dirty_things; i++) {
        struct thing *thing = registry->dirty_things[i];
        Baro__ThingInfo info;
        describe_own_thing(thing, &info);
        put(bundle, STORE_THINGS, thing->run->number, thing->id, &info.base);
        thing->is_dirty = false;
    }
    registry->n_dirty_things = 0;
    for (uint32_t i = 0; i < registry->n_runs; i++) {
        if (registry->runs[i]->is_dirty) {
            save_run(bundle, registry->runs[i]);
        }
    }
}

/* ---- loading ---- */

struct loading {
    struct registry *registry;
    struct baro_err *err;
};

static int damaged(struct loading *loading, const char *what, uint32_t run, uint64_t id)
{
    return baro_err_set(loading->err, BARO_ECORRUPT,
        "the stored %s %llu of run %u cannot be read", what, (unsigned long long)id, run);
}

static int load_run(
    uint32_t number, uint64_t id, const void *value, size_t n_bytes, void *payload)
{
    struct loading *loading = payload;
    Baro__RunInfo *info = baro__run_info__unpack(NULL, n_bytes, value);
    bool is_good = info != NULL && info->description != NULL &&
                   number > loading->registry->last_number;
    if (is_good) {
        loading->registry->last_number = number - 1; /* removed runs leave gaps */
        struct run *run = registry_add_run(loading->registry, BARO_TAKE(info->description));
        is_good = run->number == number;
        run->status = info->status;
        run->has_steps = info->n_steps > 0;
        run->first_step = info->first_step;
        run->last_step = info->last_step;
        run->first_time_ns = info->first_time_ns;
        run->last_time_ns = info->last_time_ns;
        run->n_records = run->n_committed = info->n_records;
        run->parent = registry_run(loading->registry, info->parent);
        run->branch_step = info->branch_step;
        run->is_branch_open = info->is_branch_open && run->parent != NULL;
        run->is_overwritten = info->is_overwritten;
        run->is_pruned = info->is_pruned;
        if (run->parent != NULL) {
            run->parent->n_branches++;
        }
        run->is_dirty = run->is_live_dirty = false;
    }
    if (info != NULL) {
        baro__run_info__free_unpacked(info, NULL);
    }
    return is_good ? 0 : damaged(loading, "description", number, id);
}

static int load_thing(
    uint32_t number, uint64_t id, const void *value, size_t n_bytes, void *payload)
{
    struct loading *loading = payload;
    struct run *run = registry_run(loading->registry, number);
    Baro__ThingInfo *info = baro__thing_info__unpack(NULL, n_bytes, value);
    bool is_good = run != NULL && info != NULL && info->declare != NULL &&
                   id == (uint64_t)run->n_things + 1;
    if (is_good) {
        struct thing *thing = registry_add_thing(
            loading->registry, run, info->rank, BARO_TAKE(info->declare));
        is_good = thing != NULL && thing->id == id;
        if (is_good) {
            thing->n_points = info->n_points;
            thing->n_unit_points = info->n_unit_points;
            thing->spacing = info->spacing;
            thing->unit_spacing = info->unit_spacing;
            thing->first_step = info->first_step;
            thing->last_step = info->last_step;
            thing->last_value = info->last_value;
            thing->n_nonfinite = info->n_nonfinite;
            thing->n_repeats = info->n_repeats;
            thing->worst_level = info->worst_level;
            thing->is_dirty = false;
        }
        loading->registry->n_dirty_things = 0;
    }
    if (info != NULL) {
        baro__thing_info__free_unpacked(info, NULL);
    }
    return is_good ? 0 : damaged(loading, "declaration", number, id);
}

static int load_stream(
    uint32_t number, uint64_t id, const void *value, size_t n_bytes, void *payload)
{
    struct loading *loading = payload;
    struct run *run = registry_run(loading->registry, number);
    Baro__StoredStream *stored = baro__stored_stream__unpack(NULL, n_bytes, value);
    bool is_good = run != NULL && stored != NULL && stored->hello != NULL &&
                   stored->hello->stream.len == WIRE_STREAM_BYTES &&
                   id == (uint64_t)run->n_streams + 1;
    if (is_good) {
        struct stream *stream =
            registry_add_stream(loading->registry, run, BARO_TAKE(stored->hello));
        stream->last_seq = stream->committed_seq = stored->last_seq;
        stream->status = stored->status;
        if (stored->status_text[0] != '\0') {
            stream->status_text = baro_xstrdup(stored->status_text);
        }
        stream->last_step = stream->moved_step = stored->last_step;
        stream->last_time_ns = stored->last_time_ns;
        stream->n_dropped_told = stored->n_dropped;
        stream->created_ns = stored->created_ns;
        stream->has_begun = stored->has_begun;
        stream->max_step = stored->max_step;
        stream->controls = BARO_TAKE(stored->controls);
        stream->n_controls = stored->n_controls;
        stored->n_controls = 0;
        stream->last_control = stored->last_control;
        stream->is_pause_asked = stored->is_pause_asked;
        stream->is_past = stored->last_seq > 0;
        stream->is_dirty = false;
        run->is_dirty = run->is_live_dirty = false;
    }
    if (stored != NULL) {
        baro__stored_stream__free_unpacked(stored, NULL);
    }
    return is_good ? 0 : damaged(loading, "stream", number, id);
}

static int load_alert(
    uint32_t number, uint64_t id, const void *value, size_t n_bytes, void *payload)
{
    struct loading *loading = payload;
    struct run *run = registry_run(loading->registry, number);
    Baro__Alert *alert = baro__alert__unpack(NULL, n_bytes, value);
    if (run == NULL || alert == NULL || id != (uint64_t)run->n_alerts + 1) {
        if (alert != NULL) {
            baro__alert__free_unpacked(alert, NULL);
        }
        return damaged(loading, "alert", number, id);
    }
    registry_add_alert(loading->registry, run, alert);
    run->is_dirty = run->is_live_dirty = false;
    return 0;
}

static int load_incident(
    uint32_t number, uint64_t id, const void *value, size_t n_bytes, void *payload)
{
    struct loading *loading = payload;
    struct run *run = registry_run(loading->registry, number);
    Baro__Incident *incident = baro__incident__unpack(NULL, n_bytes, value);
    if (run == NULL || incident == NULL || incident->id != id) {
        if (incident != NULL) {
            baro__incident__free_unpacked(incident, NULL);
        }
        return damaged(loading, "incident", number, id);
    }
    registry_put_incident(loading->registry, run, incident);
    run->is_dirty = run->is_live_dirty = false;
    return 0;
}

static int load_note(
    uint32_t number, uint64_t id, const void *value, size_t n_bytes, void *payload)
{
    struct loading *loading = payload;
    struct run *run = registry_run(loading->registry, number);
    Baro__Note *note = baro__note__unpack(NULL, n_bytes, value);
    if (run == NULL || note == NULL || note->id != id || !notes_load(run, note)) {
        if (note != NULL) {
            baro__note__free_unpacked(note, NULL);
        }
        return damaged(loading, "note", number, id);
    }
    return 0;
}

int registry_load(struct registry *registry, struct store *store, struct baro_err *err)
{
    static const struct {
        enum store_table table;
        store_value_fn load;
    } parts[] = {
        {STORE_RUNS, load_run},
        {STORE_THINGS, load_thing},
        {STORE_STREAMS, load_stream},
        {STORE_ALERTS, load_alert},
        {STORE_INCIDENTS, load_incident},
        {STORE_NOTES, load_note},
    };
    struct loading loading = {registry, err};
    int rc = 0;
    registry->is_loading = true;
    for (size_t i = 0; rc == 0 && i < BARO_LEN(parts); i++) {
        rc = store_each(store, parts[i].table, 0, parts[i].load, &loading, err);
    }
    registry->is_loading = false;
    return rc;
}
