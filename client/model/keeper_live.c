/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "client/model/keeper_inner.h"
#include "lib/base/mem.h"

/*
 * Which records are to come live: those of what the page shows, and what concerns the run as a
 * whole. What was once chosen stays so until much of it is of no use any more: a page that is
 * left and come back to, or scrolled, asks for nothing.
 */

static const double ASK_S = 0.3; /* of the line's time for one question */
static const double SHEET_S = 2; /* for all units of a tensor */

enum { MAX_LIVE_WANTS = 4096, MIN_LIVE_WANTS = 64, OTHER_WANTS = MODEL_MAX_SPREADS + 8 };

static uint64_t want_of(uint32_t kind, uint32_t thing)
{
    return (uint64_t)kind << 32 | thing;
}

static int compare_wants(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* All that the wish takes, sorted, each once. Returns how many; out: room for OTHER_WANTS more than n_entries. */
static size_t list_wants(struct keeper *keeper, uint64_t *out)
{
    size_t n = 0;
    out[n++] = want_of(READING_STEP, 0);
    out[n++] = want_of(READING_EVENT, 0);
    out[n++] = want_of(READING_DROPS, 0);
    if (keeper_units_thing(keeper) != NULL) {
        out[n++] = want_of(READING_UNITS, keeper->wish.units_thing);
    }
    if (keeper->wish.hist_thing != 0) {
        out[n++] = want_of(READING_SUMMARY, keeper->wish.hist_thing);
    }
    for (size_t i = 0; i < keeper->wish.n_spreads; i++) {
        out[n++] = want_of(READING_UNITS, keeper->wish.spreads[i].thing);
    }
    for (size_t i = 0; i < keeper->n_entries; i++) {
        const struct model_ref *ref = &keeper->entries[i]->ref;
        out[n++] = want_of(ref->kind, ref->thing);
    }
    qsort(out, n, sizeof *out, compare_wants);
    size_t n_kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (n_kept == 0 || out[n_kept - 1] != out[i]) {
            out[n_kept++] = out[i];
        }
    }
    return n_kept;
}

static bool has_all(const struct keeper_live *live, const uint64_t *wants, size_t n)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        while (at < live->n && live->wants[at] < wants[i]) {
            at++;
        }
        if (at == live->n || live->wants[at] != wants[i]) {
            return false;
        }
    }
    return true;
}

/* ---- the line ---- */

void keeper_set_pace(struct keeper *keeper, double bytes_per_s)
{
    bool was_far = keeper_is_far(keeper);
    keeper->pace = bytes_per_s;
    if (was_far != keeper_is_far(keeper)) {
        keeper_live_choose(keeper);
    }
    if (keeper->other != NULL) {
        keeper_set_pace(keeper->other, bytes_per_s);
    }
}

bool keeper_is_far(const struct keeper *keeper)
{
    return keeper->pace > 0;
}

size_t keeper_ask_bytes(const struct keeper *keeper)
{
    return keeper_is_far(keeper) ? (size_t)(keeper->pace * ASK_S) : SIZE_MAX;
}

size_t keeper_sheet_bytes(const struct keeper *keeper)
{
    return keeper_is_far(keeper) ? (size_t)(keeper->pace * SHEET_S) : SIZE_MAX;
}

/* ---- records ---- */

void keeper_live_choose(struct keeper *keeper)
{
    struct keeper_live *live = &keeper->live;
    uint64_t *wants = baro_xcalloc(keeper->n_entries + OTHER_WANTS, sizeof *wants);
    size_t n = list_wants(keeper, wants);
    bool is_enough = live->run == keeper->wish.run && has_all(live, wants, n) &&
                     (live->n <= 2 * n || live->n < MIN_LIVE_WANTS);
    if (is_enough || keeper->wish.run == 0) {
        free(wants);
        return;
    }
    free(live->wants);
    live->wants = wants;
    live->n = n;
    live->run = keeper->wish.run;
    keeper->needs |= NEED_SUBSCRIBE_RUN;
}

void keeper_live_fill(struct keeper *keeper, Baro__SubscribeRequest *out)
{
    struct keeper_live *live = &keeper->live;
    out->is_paced = true;
    if (live->run != keeper->wish.run || live->n > MAX_LIVE_WANTS) {
        return; /* all of them */
    }
    free(live->asked);
    free(live->pointers);
    live->asked = baro_xcalloc(live->n + 1, sizeof *live->asked);
    live->pointers = baro_xcalloc(live->n + 1, sizeof(Baro__LiveWant *));
    for (size_t i = 0; i < live->n; i++) {
        baro__live_want__init(&live->asked[i]);
        live->asked[i].kind = (uint32_t)(live->wants[i] >> 32);
        live->asked[i].thing = (uint32_t)live->wants[i];
        live->pointers[i] = &live->asked[i];
    }
    out->is_chosen = true;
    out->wants = live->pointers;
    out->n_wants = live->n;
}

void keeper_live_finish(struct keeper *keeper)
{
    free(keeper->live.wants);
    free(keeper->live.asked);
    free(keeper->live.pointers);
    keeper->live = (struct keeper_live){0};
}
