/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/push/steer.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/push/run.h"
#include "proto/barograph.pb-c.h"

/*
 * The daemon sends what was asked again until a heartbeat says that it came in; numbers tell a
 * repeat. A look at a flag reads memory that stays there for some runs after the close, as
 * run_enter() does, and no more; only the first look after a request does more: it leaves an event.
 */

/* ---- what comes in ---- */

int steer_open(
    struct steer *steer, const struct baro_options *options, struct baro_err *err)
{
    const char *text = run_choose(NULL, "BARO_CONTROL", "0");
    bool is_yes = strcmp(text, "1") == 0;
    atomic_store_explicit(&steer->lr_scale, 1.0, memory_order_relaxed);
    if (!is_yes && strcmp(text, "0") != 0) {
        return baro_err_set(
            err, BARO_EINVAL, "BARO_CONTROL: '%.40s' is neither 1 nor 0", text);
    }
    steer->is_on = options->is_steerable > 0 || (options->is_steerable == 0 && is_yes);
    return 0;
}

static void ask(struct steer *steer, enum steer_kind kind, uint64_t id)
{
    atomic_store_explicit(&steer->kinds[kind].asked, id, memory_order_release);
}

void steer_on_control(struct steer *steer, uint64_t id, int kind, double value)
{
    if (!steer->is_on || id <= atomic_load_explicit(&steer->last, memory_order_relaxed)) {
        return;
    }
    atomic_store_explicit(&steer->last, id, memory_order_relaxed);
    if (kind == BARO__CONTROL_KIND__CONTROL_STOP) {
        atomic_store_explicit(&steer->is_stopped, true, memory_order_relaxed);
        ask(steer, STEER_STOP, id);
    } else if (kind == BARO__CONTROL_KIND__CONTROL_DUMP) {
        atomic_fetch_add_explicit(&steer->n_dumps, 1, memory_order_relaxed);
        ask(steer, STEER_DUMP, id);
    } else if (kind == BARO__CONTROL_KIND__CONTROL_PAUSE ||
               kind == BARO__CONTROL_KIND__CONTROL_RESUME) {
        bool is_paused = kind == BARO__CONTROL_KIND__CONTROL_PAUSE;
        atomic_store_explicit(&steer->is_paused, is_paused, memory_order_relaxed);
        ask(steer, STEER_PAUSE, id);
    } else if (kind == BARO__CONTROL_KIND__CONTROL_LR_SCALE && isfinite(value) &&
               value > 0) {
        double scale = atomic_load_explicit(&steer->lr_scale, memory_order_relaxed);
        atomic_store_explicit(&steer->lr_scale, scale * value, memory_order_relaxed);
        ask(steer, STEER_LR, id);
    }
}

/* ---- what the training sees ---- */

/* Leave an event about what the training sees now. It is the training's, not ours: whoever judges
 * the readings knows by it that what changes now was meant to. */
static void tell_taken(
    struct baro_run *run, const struct steer *steer, enum steer_kind kind, uint64_t id)
{
    char text[96];
    const char *word = kind == STEER_STOP   ? "stop"
                       : kind == STEER_DUMP ? "dump"
                       : atomic_load_explicit(&steer->is_paused, memory_order_relaxed)
                           ? "pause"
                           : "resume";
    if (kind == STEER_LR) {
        (void)snprintf(text, sizeof text,
            "control %" PRIu64 " taken: learning rate times %g in all", id,
            atomic_load_explicit(&steer->lr_scale, memory_order_relaxed));
    } else {
        (void)snprintf(text, sizeof text, "control %" PRIu64 " taken: %s", id, word);
    }
    (void)baro_event(run, BARO_INFO, text);
}

/* Look at what was asked of a kind; NULL: nothing may be seen. */
static struct steer *look(struct baro_run *run, enum steer_kind kind)
{
    if (!run_is_usable(run) || !run->steer.is_on) {
        return NULL;
    }
    struct steer *steer = &run->steer;
    uint64_t asked = atomic_load_explicit(&steer->kinds[kind].asked, memory_order_acquire);
    uint64_t taken = atomic_load_explicit(&steer->kinds[kind].taken, memory_order_relaxed);
    if (asked != taken && atomic_compare_exchange_strong_explicit(&steer->kinds[kind].taken,
                              &taken, asked, memory_order_relaxed, memory_order_relaxed)) {
        tell_taken(run, steer, kind, asked);
    }
    return steer;
}

int baro_should_stop(struct baro_run *run)
{
    struct steer *steer = look(run, STEER_STOP);
    return steer != NULL && atomic_load_explicit(&steer->is_stopped, memory_order_relaxed)
               ? 1
               : 0;
}

int baro_should_pause(struct baro_run *run)
{
    struct steer *steer = look(run, STEER_PAUSE);
    return steer != NULL && atomic_load_explicit(&steer->is_paused, memory_order_relaxed)
               ? 1
               : 0;
}

int baro_should_dump(struct baro_run *run)
{
    struct steer *steer = look(run, STEER_DUMP);
    if (steer == NULL) {
        return 0;
    }
    uint32_t n = atomic_load_explicit(&steer->n_dumps, memory_order_relaxed);
    while (n > 0) {
        if (atomic_compare_exchange_weak_explicit(
                &steer->n_dumps, &n, n - 1, memory_order_relaxed, memory_order_relaxed)) {
            return 1;
        }
    }
    return 0;
}

double baro_lr_scale(struct baro_run *run)
{
    struct steer *steer = look(run, STEER_LR);
    return steer != NULL ? atomic_load_explicit(&steer->lr_scale, memory_order_relaxed)
                         : 1.0;
}
