/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/push/baro.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/probe_build.h"
#include "lib/base/probe_pieces.h"
#include "lib/base/tensor.h"
#include "lib/base/ticks.h"
#include "lib/push/push.h"
#include "lib/push/run.h"
#include "lib/simd/summarise.h"

/*
 * A probe is built in memory of its own and goes into the ring in pieces when it is whole, so that
 * a step which breaks off leaves nothing behind. A process that is killed while the pieces go in
 * leaves some of them: who puts pieces together says so.
 *
 * How large it may become is settled when it begins. Of what is free it takes half at most, so
 * that everything else goes on fitting; a regular one takes a quarter of the ring at most. Without
 * a daemon nothing is ever acknowledged and the ring is full in the end: then the newest records
 * are what counts, and a probe is among them with a sixteenth of the ring, one of a failure with a
 * quarter, for which the oldest records give way.
 */

enum {
    DEFAULT_BYTES = 16 << 20,
    MIN_BYTES = 32 << 10, /* less would not hold a graph */
    RANK_SHARE = 4096     /* serial numbers a millisecond */
};

struct baro_probe {
    struct baro_run *run;
    pthread_mutex_t lock; /* guards build */
    struct probe_build *build;
    enum probe_reason reason;
    int64_t step;
};

/* How many bytes a probe may have now; 0: there is no room. */
static size_t find_room(struct baro_run *run, const struct baro_probe_options *options)
{
    struct ringfile_info info;
    if (ringfile_read_info(run->ring, &info) != 0) {
        return 0;
    }
    const bool is_failure = options->reason == PROBE_FAILURE;
    const uint64_t ring = info.data_bytes;
    const uint64_t unacked = info.unacked_bytes < ring ? info.unacked_bytes : ring;
    const uint64_t always = is_failure ? ring / 4 : ring / 16;
    uint64_t room = (ring - unacked) / 2;
    if (!is_failure && room > ring / 4) {
        room = ring / 4;
    }
    room = room > always ? room : always;
    const uint64_t wanted = options->max_bytes > 0     ? options->max_bytes
                            : ring / 4 < DEFAULT_BYTES ? ring / 4
                                                       : DEFAULT_BYTES;
    room = room < wanted ? room : wanted;
    room = room < PROBE_MAX_BYTES ? room : PROBE_MAX_BYTES;
    return room >= MIN_BYTES ? (size_t)room : 0;
}

struct baro_probe *baro_probe_begin(
    struct baro_run *run, const struct baro_probe_options *options)
{
    run_autoleave struct baro_run *inside = run_enter(run);
    if (inside == NULL || options == NULL || options->n_rows > PROBE_MAX_ROWS) {
        return NULL;
    }
    const uint64_t now = ticks_now_ns();
    const struct probe_build_options what = {
        .step = options->step >= 0 ? options->step
                                   : atomic_load_explicit(&run->step, memory_order_relaxed),
        .reason = (enum probe_reason)options->reason,
        .n_batch = options->n_batch,
        .n_rows = (uint32_t)options->n_rows,
        .rows = options->rows,
        .max_bytes = find_room(run, options),
    };
    struct baro_probe *probe = what.max_bytes > 0 ? calloc(1, sizeof *probe) : NULL;
    if (probe != NULL && probe_build_create(&probe->build, &what) != 0) {
        free(probe);
        probe = NULL;
    }
    if (probe != NULL) {
        (void)pthread_mutex_init(&probe->lock, NULL);
        probe->run = run;
        probe->reason = what.reason;
        probe->step = what.step;
    }
    (void)push_end(run, now, 0);
    return probe;
}

/* Read a value's elements, once, for what is told of all of them. */
static void measure(const struct baro_span *span, struct probe_value *value)
{
    struct baro_summary summary;
    baro_summarise(span, &summary, NULL);
    value->count = summary.count;
    value->n_nan = summary.n_nan;
    value->n_inf = summary.n_pos_inf + summary.n_neg_inf;
    value->min = summary.min;
    value->max = summary.max;
    value->mean = summary.mean;
    value->l2 = summary.l2;
}

static int64_t add_value(
    struct baro_probe *probe, const struct baro_probe_value *given, uint64_t now)
{
    struct probe_value value = {
        .name = given->name,
        .kind = (enum probe_value_kind)given->kind,
        .dtype = given->dtype,
        .n_dims = given->n_dims,
        .batch_axis = given->batch_axis,
        .unit_axis = given->unit_axis,
        .min = (double)NAN,
        .max = (double)NAN,
        .mean = (double)NAN,
        .l2 = (double)NAN,
        .kept = (enum probe_kept)given->keep,
    };
    struct baro_span span;
    if (given->n_dims < 0 || given->n_dims > BARO_MAX_DIMS ||
        (given->n_dims > 0 && given->shape == NULL) ||
        baro_dtype_bytes(given->dtype) == 0) {
        return BARO_EINVAL;
    }
    for (int d = 0; d < given->n_dims; d++) {
        value.shape[d] = given->shape[d];
    }
    if (given->data != NULL) {
        const int rc = baro_span_make(&span, given->dtype, given->data, given->n_dims,
            given->shape, given->strides, NULL);
        if (rc != 0) {
            return rc;
        }
        measure(&span, &value);
    }
    (void)pthread_mutex_lock(&probe->lock);
    const int64_t number =
        probe_build_value(probe->build, &value, given->data != NULL ? &span : NULL);
    (void)pthread_mutex_unlock(&probe->lock);
    (void)push_end(probe->run, now, 0);
    return number;
}

int64_t baro_probe_value(struct baro_probe *probe, const struct baro_probe_value *value)
{
    run_autoleave struct baro_run *inside = run_enter(probe != NULL ? probe->run : NULL);
    if (inside == NULL || value == NULL) {
        return probe == NULL ? 0 : inside == NULL ? BARO_ECLOSED : BARO_EINVAL;
    }
    return add_value(probe, value, ticks_now_ns());
}

int64_t baro_probe_op(struct baro_probe *probe, const struct baro_probe_op *op)
{
    run_autoleave struct baro_run *inside = run_enter(probe != NULL ? probe->run : NULL);
    if (inside == NULL || op == NULL) {
        return probe == NULL ? 0 : inside == NULL ? BARO_ECLOSED : BARO_EINVAL;
    }
    if (op->n_inputs > PROBE_MAX_OPERANDS || op->n_outputs > PROBE_MAX_OPERANDS) {
        return BARO_EINVAL;
    }
    const uint64_t now = ticks_now_ns();
    const struct probe_op made = {
        .name = op->name,
        .module = op->module,
        .source = op->source,
        .attrs = op->attrs,
        .phase = op->is_backward ? PROBE_BACKWARD : PROBE_FORWARD,
        .n_inputs = (uint32_t)op->n_inputs,
        .n_outputs = (uint32_t)op->n_outputs,
        .inputs = op->inputs,
        .outputs = op->outputs,
    };
    (void)pthread_mutex_lock(&probe->lock);
    const int64_t number = probe_build_op(probe->build, &made);
    (void)pthread_mutex_unlock(&probe->lock);
    (void)push_end(probe->run, now, 0);
    return number;
}

int baro_probe_loss(struct baro_probe *probe, int32_t value)
{
    run_autoleave struct baro_run *inside = run_enter(probe != NULL ? probe->run : NULL);
    if (inside == NULL) {
        return probe == NULL ? 0 : BARO_ECLOSED;
    }
    (void)pthread_mutex_lock(&probe->lock);
    const int rc = probe_build_loss(probe->build, value);
    (void)pthread_mutex_unlock(&probe->lock);
    return rc;
}

int baro_probe_cut(struct baro_probe *probe)
{
    run_autoleave struct baro_run *inside = run_enter(probe != NULL ? probe->run : NULL);
    if (inside == NULL) {
        return probe == NULL ? 0 : BARO_ECLOSED;
    }
    (void)pthread_mutex_lock(&probe->lock);
    probe_build_cut(probe->build);
    (void)pthread_mutex_unlock(&probe->lock);
    return 0;
}

int baro_probe_origin(struct baro_probe *probe, const struct baro_probe_origin *origin)
{
    run_autoleave struct baro_run *inside = run_enter(probe != NULL ? probe->run : NULL);
    if (inside == NULL || origin == NULL) {
        return probe == NULL ? 0 : inside == NULL ? BARO_ECLOSED : BARO_EINVAL;
    }
    const uint64_t now = ticks_now_ns();
    const struct probe_origin made = {
        .op = origin->op,
        .value = origin->value,
        .is_gradient = origin->is_gradient != 0,
        .is_replayed = origin->is_replayed != 0,
        .is_exact = origin->is_exact != 0,
        .n_units = origin->n_units < PROBE_MAX_ROWS ? (uint32_t)origin->n_units
                                                    : (uint32_t)PROBE_MAX_ROWS,
        .n_rows = origin->n_rows < PROBE_MAX_ROWS ? (uint32_t)origin->n_rows
                                                  : (uint32_t)PROBE_MAX_ROWS,
        .units = origin->units,
        .rows = origin->rows,
        .cause = origin->cause,
    };
    (void)pthread_mutex_lock(&probe->lock);
    const int rc = probe_build_origin(probe->build, &made);
    (void)pthread_mutex_unlock(&probe->lock);
    return push_end(probe->run, now, rc);
}

/*
 * Number a probe so that those of other processes of the run, and of later ones, have other
 * numbers, and later ones larger ones: milliseconds and the rank. Exact as a double until 2039.
 */
static uint64_t choose_serial(struct baro_run *run)
{
    struct ringfile_info info = {0};
    (void)ringfile_read_info(run->ring, &info);
    uint64_t serial =
        (uint64_t)baro_wall_ns() / 1000000 * RANK_SHARE + info.rank % RANK_SHARE;
    uint64_t last = atomic_load_explicit(&run->probe_serial, memory_order_relaxed);
    uint64_t next;
    do {
        next = serial > last ? serial : last + RANK_SHARE;
    } while (!atomic_compare_exchange_weak_explicit(
        &run->probe_serial, &last, next, memory_order_relaxed, memory_order_relaxed));
    return next;
}

/* Put the bytes into the ring, piece by piece. */
static int put_pieces(struct baro_probe *probe, uint64_t now)
{
    struct baro_run *run = probe->run;
    const size_t n_bytes = probe_build_finish(probe->build);
    const uint32_t n_pieces = probe_piece_count(n_bytes);
    const uint64_t serial = choose_serial(run);
    const struct record_header header = {
        .kind = probe->reason == PROBE_FAILURE ? READING_FAILURE : READING_PROBE,
        .step = probe->step,
        .time_ns = ticks_wall_ns(now),
    };
    for (uint32_t i = 0; i < n_pieces; i++) {
        const size_t from = (size_t)i * PROBE_PIECE_BYTES;
        const size_t left = n_bytes - from;
        struct ringfile_part parts[1 + PROBE_BUILD_PARTS];
        double numbers[PROBE_PIECE_NUMBERS];
        const struct probe_piece piece = {.serial = serial,
            .piece = i,
            .n_pieces = n_pieces,
            .reason = probe->reason,
            .probe_bytes = n_bytes};
        probe_piece_numbers(&piece, numbers);
        parts[0] = (struct ringfile_part){numbers, sizeof numbers};
        const int n = probe_build_range(probe->build, from,
            left < PROBE_PIECE_BYTES ? left : PROBE_PIECE_BYTES, parts + 1);
        const int rc = ringfile_put(run->ring, &header, parts, 1 + n);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

/* Whether a whole probe may go in now: what came meanwhile may have filled the ring. */
static bool still_fits(struct baro_probe *probe)
{
    const struct baro_probe_options any = {
        .reason = (int)probe->reason, .max_bytes = SIZE_MAX};
    return probe_build_finish(probe->build) <= find_room(probe->run, &any);
}

int baro_probe_end(struct baro_probe *probe, int is_dropped)
{
    if (probe == NULL) {
        return 0;
    }
    run_autoleave struct baro_run *inside = run_enter(probe->run);
    int rc = inside == NULL ? BARO_ECLOSED : 0;
    if (inside != NULL && !is_dropped) {
        const uint64_t now = ticks_now_ns();
        if (still_fits(probe)) {
            rc = put_pieces(probe, now);
            if (rc == 0 && probe->reason == PROBE_FAILURE &&
                !atomic_exchange_explicit(
                    &inside->has_sent_states, true, memory_order_relaxed)) {
                run_send_states(inside); /* of the steps up to it */
            }
            rc = push_end(inside, now, rc);
        } else {
            push_tell_once(inside, &inside->has_said_probe,
                "the operations of a step were captured, but the ring has no room for them "
                "now: they are left out; a larger BARO_RING_BYTES gives more");
            rc = push_end(inside, now, BARO_EFULL);
        }
    }
    probe_build_destroy(probe->build);
    (void)pthread_mutex_destroy(&probe->lock);
    free(probe);
    return rc;
}
