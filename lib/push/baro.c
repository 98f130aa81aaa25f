/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/push/baro.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/spin.h"
#include "lib/base/tensor.h"
#include "lib/base/text.h"
#include "lib/base/ticks.h"
#include "lib/measure/measure.h"
#include "lib/push/due.h"
#include "lib/push/push.h"
#include "lib/push/raw.h"
#include "lib/push/run.h"

/*
 * The calls of a training loop. Each is: one look at the time, find the thing, summarise, one
 * copy into the ring, one look at the time. The looks are at the CPU's counter (ticks.h), which
 * takes a third of the clock's time; a record is stamped with the first of them.
 */

static uint64_t begin(void)
{
    return ticks_now_ns();
}

int push_put(struct baro_run *run, uint64_t now_ns, enum reading_kind kind, uint32_t thing,
    const struct ringfile_part *parts, int n_parts)
{
    const struct record_header header = push_header(run, now_ns, kind, thing);
    return ringfile_put(run->ring, &header, parts, n_parts);
}

void push_tell_once(struct baro_run *run, _Atomic bool *has_said, const char *text)
{
    if (atomic_exchange_explicit(has_said, true, memory_order_relaxed)) {
        return;
    }
    static const char author[] = "barograph: ";
    double gravity = BARO_INFO;
    const struct ringfile_part parts[3] = {
        {&gravity, sizeof gravity}, {author, sizeof author - 1}, {text, strlen(text)}};
    run_say(run, text);
    (void)push_put(run, begin(), READING_EVENT, 0, parts, 3);
}

/* Say once why no more names fit. */
static void tell_full(struct baro_run *run)
{
    if (atomic_load_explicit(&run->has_said_full, memory_order_relaxed)) {
        return;
    }
    char text[240];
    struct ringfile_info info = {0};
    uint32_t n = things_count(run->things);
    (void)ringfile_read_info(run->ring, &info);
    if (n >= THINGS_MAX) {
        (void)snprintf(text, sizeof text,
            "no more names fit, a run has at most %d: readings of new names are dropped and "
            "counted, those of known names go on",
            THINGS_MAX);
    } else {
        (void)snprintf(text, sizeof text,
            "no more names fit after %" PRIu32 ", the ring has at most %" PRIu64
            " KiB for them: readings of new names are dropped and counted, those of known "
            "names go on; a larger BARO_RING_BYTES gives more",
            n, info.sticky_bytes >> 10);
    }
    push_tell_once(run, &run->has_said_full, text);
}

int push_find(
    struct baro_run *run, const struct thing_wanted *wanted, const struct thing **out_thing)
{
    int rc = things_find(run->things, run->ring, wanted, out_thing);
    if (rc != 0 && rc != BARO_EINVAL) {
        ringfile_count_dropped(run->ring, 1, 0);
    }
    if (rc == BARO_EFULL) {
        tell_full(run);
    }
    return rc;
}

/* ---- tensors ---- */

int push_check_tensor(const struct baro_tensor *t)
{
    if (baro_dtype_bytes(t->dtype) == 0) {
        return BARO_EUNSUPPORTED;
    }
    if (t->n_dims < 0 || t->n_dims > BARO_MAX_DIMS || (t->n_dims > 0 && t->shape == NULL) ||
        (int)t->role <= 0 || t->role >= BARO_ROLE_END) {
        return BARO_EINVAL;
    }
    for (int d = 0; d < t->n_dims; d++) {
        if (t->shape[d] < 0) {
            return BARO_EINVAL;
        }
    }
    bool has_axis = t->n_dims > 0 && t->unit_axis != BARO_NO_UNITS;
    return has_axis && (t->unit_axis < 0 || t->unit_axis >= t->n_dims) ? BARO_EINVAL : 0;
}

int push_find_tensor(
    struct baro_run *run, const struct baro_tensor *t, const struct thing **out_thing)
{
    struct thing_wanted wanted = {
        .name = t->name,
        .is_tensor = true,
        .role = (uint8_t)t->role,
        .dtype = (uint8_t)t->dtype,
        .unit_axis = BARO_NO_UNITS,
        .n_dims = t->n_dims,
        .shape = t->shape,
    };
    if (t->n_dims > 0 && t->unit_axis >= 0 && t->shape[t->unit_axis] > 0 &&
        t->shape[t->unit_axis] <= READING_MAX_UNITS) {
        wanted.unit_axis = t->unit_axis;
        wanted.n_units = (uint32_t)t->shape[t->unit_axis];
    }
    if (t->id != 0) {
        *out_thing = things_get(run->things, t->id);
        if (*out_thing == NULL || !(*out_thing)->is_tensor) {
            return BARO_EINVAL;
        }
        if (t->name == NULL || things_is_like(*out_thing, &wanted)) {
            return 0;
        }
        /* It came with another layout than it was declared with: another epoch of it. */
    }
    return push_find(run, &wanted, out_thing);
}

int64_t baro_declare_tensor(struct baro_run *run, const struct baro_tensor *t)
{
    run_autoleave struct baro_run *inside = run_enter(run);
    if (inside == NULL) {
        return 0;
    }
    if (t == NULL) {
        return BARO_EINVAL;
    }
    struct baro_tensor fresh = *t;
    fresh.id = 0;
    const struct thing *thing = NULL;
    int rc = push_check_tensor(&fresh);
    if (rc == 0) {
        rc = push_find_tensor(run, &fresh, &thing);
    }
    return rc != 0 ? rc : (int64_t)thing->id;
}

static int put_summary(struct baro_run *run, uint64_t now, const struct thing *thing,
    const struct measure_summary *summary)
{
    const struct ringfile_part part = {summary, measure_summary_bytes(summary)};
    return push_put(run, now, READING_SUMMARY, thing->id, &part, 1);
}

static struct measure_thing declared(const struct thing *thing)
{
    return (struct measure_thing){
        .role = (enum baro_role)thing->role,
        .unit_axis = thing->unit_axis,
        .n_units = thing->n_units,
    };
}

float *push_take_scratch(struct baro_run *run, int *out_slot)
{
    int slot = 0;
    while (slot < RUN_SCRATCHES && atomic_exchange_explicit(&run->scratch_locks[slot], 1,
                                       memory_order_acquire) != 0) {
        slot++;
    }
    if (slot == RUN_SCRATCHES) {
        slot = 0;
        if (!baro_spin_lock(&run->scratch_locks[0])) {
            return NULL;
        }
    }
    *out_slot = slot;
    return run->scratch + (size_t)slot * RUN_SCRATCH_FLOATS;
}

void push_leave_scratch(struct baro_run *run, int slot)
{
    baro_spin_unlock(&run->scratch_locks[slot]);
}

static void tell_units(
    struct baro_run *run, const struct thing *thing, const struct baro_tensor *t)
{
    if (atomic_load_explicit(&run->has_said_units, memory_order_relaxed)) {
        return; /* composing the text would cost more than the push */
    }
    char text[256];
    char name[100];
    if (t->name == NULL) {
        (void)snprintf(text, sizeof text,
            "a tensor came by its id alone with another number of units than the %u it was "
            "declared with: its unit statistics are left out; give its name, too",
            thing->n_units);
    } else {
        baro_text_safe(name, sizeof name, t->name);
        (void)snprintf(text, sizeof text,
            "'%s' came with more than %d layouts: what does not fit the last of them, of %u "
            "units, has no unit statistics",
            name, THINGS_MAX_EPOCHS, thing->n_units);
    }
    push_tell_once(run, &run->has_said_units, text);
}

bool push_has_units(struct baro_run *run, const struct thing *thing,
    const struct baro_span *span, const struct baro_tensor *t)
{
    if (thing->n_units == 0 || span->n_dims == 0) {
        return false;
    }
    if (thing->unit_axis >= span->n_dims ||
        span->shape[thing->unit_axis] != (int64_t)thing->n_units) {
        tell_units(run, thing, t);
        return false;
    }
    return true;
}

/* The tensor as a whole. */
static int push_whole(struct baro_run *run, uint64_t now, const struct thing *thing,
    const struct baro_span *span)
{
    const struct measure_thing declaration = declared(thing);
    struct measure_summary summary;
    measure_whole(&declaration, span, &summary);
    return put_summary(run, now, thing, &summary);
}

/* The tensor as a whole and its units. */
static int push_both(struct baro_run *run, uint64_t now, const struct thing *thing,
    const struct baro_span *span)
{
    int slot = 0;
    float *column = push_take_scratch(run, &slot);
    if (column == NULL) {
        ringfile_count_dropped(run->ring, 1, 0);
        int rc = push_whole(run, now, thing, span);
        return rc != 0 ? rc : BARO_EBUSY;
    }
    const struct measure_thing declaration = declared(thing);
    struct measure_summary summary;
    size_t n_floats = measure_both(&declaration, span, &summary, column);
    const struct ringfile_part part = {column, n_floats * sizeof *column};
    int rc = put_summary(run, now, thing, &summary);
    int units_rc = push_put(run, now, READING_UNITS, thing->id, &part, 1);
    push_leave_scratch(run, slot);
    return rc != 0 ? rc : units_rc;
}

static int push_tensor(struct baro_run *run, uint64_t now, const struct baro_tensor *t)
{
    const struct thing *thing = NULL;
    struct baro_span span;
    int rc = push_check_tensor(t);
    if (rc != 0 ||
        (rc = baro_span_make(
             &span, t->dtype, t->data, t->n_dims, t->shape, t->strides, NULL)) != 0 ||
        (rc = push_find_tensor(run, t, &thing)) != 0) {
        return rc;
    }
    uint32_t id = t->id != 0 ? t->id : thing->id;
    bool wants_units = thing->n_units > 0 && due_wants_units(run, id);
    uint64_t began = begin();
    bool has_units = wants_units && push_has_units(run, thing, &span, t);
    if (run->is_raw && raw_fits(run, thing, &span)) {
        rc = raw_put(run, now, thing, &span, has_units);
    } else if (has_units) {
        rc = push_both(run, now, thing, &span);
    } else {
        rc = push_whole(run, now, thing, &span);
    }
    due_book(run, id, begin() - began, wants_units);
    return rc;
}

int baro_tensor(struct baro_run *run, const struct baro_tensor *t)
{
    return baro_tensors(run, t, 1);
}

int baro_tensors(struct baro_run *run, const struct baro_tensor *t, size_t n)
{
    run_autoleave struct baro_run *inside = run_enter(run);
    if (inside == NULL) {
        return 0;
    }
    if (t == NULL && n > 0) {
        return BARO_EINVAL;
    }
    uint64_t now = begin();
    int first_rc = 0;
    for (size_t i = 0; i < n; i++) {
        int rc = push_tensor(run, now, &t[i]);
        first_rc = first_rc != 0 ? first_rc : rc;
    }
    return push_end(run, now, first_rc);
}

/* ---- what belongs to a step as a whole ---- */

int baro_batch(struct baro_run *run, const int64_t *samples, size_t n)
{
    run_autoleave struct baro_run *inside = run_enter(run);
    if (inside == NULL) {
        return 0;
    }
    if (samples == NULL && n > 0) {
        return BARO_EINVAL;
    }
    uint64_t now = begin();
    double size = (double)n;
    size_t n_kept = n < READING_MAX_SAMPLES ? n : READING_MAX_SAMPLES;
    const struct ringfile_part parts[2] = {
        {&size, sizeof size}, {samples, n_kept * sizeof *samples}};
    return push_end(run, now, push_put(run, now, READING_BATCH, 0, parts, 2));
}

/* Copy text of any kind as UTF-8, cut at a character; lines stay lines. */
static size_t clean_text(char *out, const char *text)
{
    size_t n = text != NULL ? strlen(text) : 0;
    if (n > 0 && baro_utf8_valid(text, n)) {
        n = baro_utf8_prefix(text, n, READING_MAX_TEXT_BYTES);
        memcpy(out, text, n);
        out[n] = '\0';
        return n;
    }
    baro_text_safe(out, READING_MAX_TEXT_BYTES + 1, n > 0 ? text : "");
    return strlen(out);
}

int baro_event(struct baro_run *run, enum baro_level level, const char *text)
{
    run_autoleave struct baro_run *inside = run_enter(run);
    if (inside == NULL) {
        return 0;
    }
    if ((int)level <= 0 || level >= BARO_LEVEL_END) {
        return BARO_EINVAL;
    }
    uint64_t now = begin();
    double gravity = (double)level;
    char clean[READING_MAX_TEXT_BYTES + 1];
    const struct ringfile_part parts[2] = {
        {&gravity, sizeof gravity}, {clean, clean_text(clean, text)}};
    return push_end(run, now, push_put(run, now, READING_EVENT, 0, parts, 2));
}

int baro_fail(struct baro_run *run, const char *text)
{
    run_autoleave struct baro_run *inside = run_enter(run);
    if (inside == NULL) {
        return 0;
    }
    if (atomic_load_explicit(&run->has_failed, memory_order_acquire)) {
        return 0; /* the first reason is the one that counts */
    }
    (void)clean_text(run->failure, text);
    atomic_store_explicit(&run->has_failed, true, memory_order_release);
    return 0;
}

void run_read_stats(struct baro_run *run, struct baro_stats *out_stats)
{
    struct ringfile_info info;
    *out_stats = (struct baro_stats){0};
    if (ringfile_read_info(run->ring, &info) != 0) {
        return;
    }
    out_stats->n_pushed = info.head_seq;
    out_stats->n_dropped = info.dropped_records;
    out_stats->n_bytes = info.head_bytes;
    out_stats->own_ns = atomic_load_explicit(&run->own_ns, memory_order_relaxed);
    out_stats->ring_used_bytes = info.unacked_bytes;
    if (run->sender != NULL) {
        struct sender_progress progress;
        sender_read_progress(run->sender, &progress);
        out_stats->n_sent = progress.n_sent;
        out_stats->n_acked = progress.n_acked;
        out_stats->is_connected = progress.is_connected;
    }
}

int baro_stats(struct baro_run *run, struct baro_stats *out_stats)
{
    if (out_stats == NULL) {
        return BARO_EINVAL;
    }
    *out_stats = (struct baro_stats){0};
    run_autoleave struct baro_run *inside = run_enter(run);
    if (inside != NULL) {
        run_read_stats(run, out_stats);
    } else if (run != NULL && atomic_load_explicit(&run->has_last, memory_order_acquire)) {
        *out_stats = run->last;
    }
    return 0;
}

const char *baro_run_id(const struct baro_run *run)
{
    return run != NULL ? run->run_id : "";
}

const char *baro_ring_path(const struct baro_run *run)
{
    return run != NULL ? ringfile_path(run->ring) : "";
}

const char *baro_strerror(int code)
{
    return baro_code_text(code);
}

const char *baro_version(void)
{
    return BARO_VERSION;
}
