/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/sample_inside.h"
#include "lib/base/mem.h"

/*
 * From one picture to the next without flicker. A choice made anew may differ from what is shown in
 * a tenth of the lines at once, and who looks at one of them loses it. So the lines of the frame that
 * was told last stay, what must be shown comes in at once, and of the rest so many are exchanged
 * in each frame that it shares 95 in 100 of its lines with the one before (Jaccard similarity), until
 * the picture is the one that was chosen.
 *
 * In between what is shown is the old sample in part and the new one in part: no line that
 * must be shown is missing, each line that is not shown belongs to the nearest of those that are,
 * but some are nearer to each other than the radius.
 */

enum { SHARED_OF_100 = 95, MANY_EIGHTHS = 8 };

static bool is_envelope(const struct sampler *s, uint32_t line)
{
    for (size_t c = 0; c < s->n_columns; c++) {
        if (!isinf(s->top_y[c]) && (s->top[c] == line || s->bottom[c] == line)) {
            return true;
        }
    }
    return false;
}

static bool must_be_shown(const struct sampler *s, uint32_t line)
{
    return s->bad_from[line] != 0 || s->leap[line] > s->leap_most || is_envelope(s, line);
}

void sampler_drop_later(struct sampler *s, uint32_t line)
{
    const bool is_full = s->n_shown * MANY_EIGHTHS > s->n_full * (MANY_EIGHTHS + 1);
    if (s->is_steady && is_full && s->reason[line] == SAMPLE_ENVELOPE &&
        !must_be_shown(s, line)) {
        s->unwanted = baro_xrealloc(s->unwanted, s->n_unwanted + 1, sizeof *s->unwanted);
        s->unwanted[s->n_unwanted++] = line;
    }
}

/* Lines of the base that are not shown any more, and shown ones that are not of the base. */
struct change {
    size_t n_gone, n_come;
};

static struct change change_of(const struct sampler *s)
{
    struct change change = {0, s->n_shown};
    for (size_t i = 0; i < s->n_base; i++) {
        bool is_there = s->reason[s->base[i]] != SAMPLE_NOT_SHOWN;
        change.n_gone += !is_there;
        change.n_come -= is_there;
    }
    return change;
}

/* Whether a frame that differs so much still shares enough. One line of a few may always change. */
static bool is_alike(const struct sampler *s, struct change change)
{
    return (s->n_base - change.n_gone) * 100 >=
               (s->n_base + change.n_come) * SHARED_OF_100 ||
           change.n_gone + change.n_come <= 1;
}

/* ---- exchange ---- */

static void put_in_slot(
    struct sampler *s, size_t slot, uint32_t line, enum sample_reason reason)
{
    s->shown[slot] = line;
    s->reasons[slot] = s->reason[line] = (uint8_t)reason;
}

static bool take_wanted(struct sampler *s, struct wanted_line *out)
{
    while (s->at_wanted < s->n_wanted) {
        *out = s->wanted[s->at_wanted++];
        if (s->reason[out->line] == SAMPLE_NOT_SHOWN) {
            return true;
        }
    }
    return false;
}

/* The slot of the next line that is to go; n_shown when there is none. */
static size_t take_unwanted(struct sampler *s)
{
    while (s->n_unwanted > 0) {
        const uint32_t line = s->unwanted[--s->n_unwanted];
        if (s->reason[line] == SAMPLE_NOT_SHOWN || must_be_shown(s, line)) {
            continue;
        }
        for (size_t slot = 0; slot < s->n_shown; slot++) {
            if (s->shown[slot] == line) {
                return slot;
            }
        }
    }
    return s->n_shown;
}

/* Exchange a line for another, or only take one or let one go; false: nothing was left to do. */
static bool exchange_one(struct sampler *s, bool *has_moved)
{
    struct wanted_line wanted = {0};
    const bool comes = take_wanted(s, &wanted);
    const size_t slot = take_unwanted(s);
    if (slot < s->n_shown) {
        s->reason[s->shown[slot]] = SAMPLE_NOT_SHOWN;
        has_moved[slot] = true;
        if (comes) {
            put_in_slot(s, slot, wanted.line, (enum sample_reason)wanted.reason);
            return true;
        }
        const size_t last = --s->n_shown;
        if (slot < last) {
            put_in_slot(s, slot, s->shown[last], (enum sample_reason)s->reasons[last]);
        }
        has_moved[last] = true;
        return true;
    }
    if (comes && sampler_show(s, wanted.line, (enum sample_reason)wanted.reason)) {
        has_moved[s->n_shown - 1] = true;
        return true;
    }
    return false;
}

/* Let the grid hold what is shown. */
static void refill_grid(struct sampler *s)
{
    sample_grid_clear(&s->grid);
    for (size_t slot = 0; slot < s->n_shown; slot++) {
        sample_grid_add(&s->grid, slot, sampler_y(s, s->shown[slot]));
    }
}

static bool has_more(const struct sampler *s)
{
    return s->at_wanted < s->n_wanted || s->n_unwanted > 0;
}

bool sampler_end_frame(struct sampler *s)
{
    assert(s->phase == SAMPLE_DONE);
    baro_autofree bool *has_moved = baro_xcalloc(s->n_slots, sizeof *has_moved);
    bool has_changed = false;
    while (has_more(s)) {
        struct change next = change_of(s);
        next.n_gone += s->n_unwanted > 0;
        next.n_come += s->at_wanted < s->n_wanted;
        if (!is_alike(s, next)) {
            break;
        }
        has_changed = exchange_one(s, has_moved) || has_changed;
    }
    if (has_changed) {
        refill_grid(s);
        sampler_assign_moved(s, has_moved);
        sampler_tell(s);
    }
    s->is_steady = true;
    s->base = baro_xrealloc(s->base, s->n_shown + 1, sizeof *s->base);
    memcpy(s->base, s->shown, s->n_shown * sizeof *s->base);
    s->n_base = s->n_shown;
    return has_more(s);
}

/* ---- after a choice ---- */

static bool is_must(uint8_t reason)
{
    return reason == SAMPLE_NONFINITE || reason == SAMPLE_LEAP || reason == SAMPLE_ENVELOPE;
}

/* What is shown, before anything is changed. */
struct choice {
    uint32_t *lines;
    uint8_t *reasons;
    size_t n;
};

/* Find who is chosen but not shown yet, and who is shown but not chosen. */
static void compare(struct sampler *s, const struct choice *chosen, const bool *was_shown)
{
    s->wanted = baro_xrealloc(s->wanted, chosen->n + 1, sizeof *s->wanted);
    s->unwanted = baro_xrealloc(s->unwanted, s->n_base + 1, sizeof *s->unwanted);
    s->n_wanted = s->at_wanted = s->n_unwanted = 0;
    for (size_t i = 0; i < chosen->n; i++) {
        if (!was_shown[chosen->lines[i]] && !is_must(chosen->reasons[i])) {
            s->wanted[s->n_wanted++] =
                (struct wanted_line){chosen->lines[i], chosen->reasons[i]};
        }
    }
    for (size_t i = 0; i < s->n_base; i++) {
        if (s->reason[s->base[i]] == SAMPLE_NOT_SHOWN) {
            s->unwanted[s->n_unwanted++] = s->base[i];
        }
    }
}

/* Show the base, but not what is chosen and new, unless it must be. */
static void go_back(struct sampler *s, const struct choice *chosen, const bool *was_shown)
{
    for (size_t slot = 0; slot < s->n_shown; slot++) {
        s->reason[s->shown[slot]] = SAMPLE_NOT_SHOWN;
    }
    const size_t n_chosen_before_cover = s->n_before_cover;
    s->n_shown = 0;
    sample_grid_clear(&s->grid);
    for (size_t i = 0; i <= chosen->n; i++) {
        if (i == n_chosen_before_cover) {
            for (size_t k = s->n_unwanted; k-- > 0;) {
                (void)sampler_show(s, s->unwanted[k], SAMPLE_BLUE_NOISE);
            }
            s->n_before_cover = s->n_shown;
        }
        if (i < chosen->n && (was_shown[chosen->lines[i]] || is_must(chosen->reasons[i]))) {
            (void)sampler_show(s, chosen->lines[i], (enum sample_reason)chosen->reasons[i]);
        }
    }
}

bool sampler_turn_back(struct sampler *s)
{
    if (!s->is_steady || s->n_base == 0 || is_alike(s, change_of(s))) {
        s->n_wanted = s->at_wanted = s->n_unwanted = 0;
        return false;
    }
    baro_autofree bool *was_shown = baro_xcalloc(s->n_lines, sizeof *was_shown);
    baro_autofree uint32_t *lines = baro_xcalloc(s->n_shown + 1, sizeof *lines);
    baro_autofree uint8_t *reasons = baro_xcalloc(s->n_shown + 1, 1);
    memcpy(lines, s->shown, s->n_shown * sizeof *lines);
    memcpy(reasons, s->reasons, s->n_shown);
    const struct choice chosen = {lines, reasons, s->n_shown};
    for (size_t i = 0; i < s->n_base; i++) {
        was_shown[s->base[i]] = true;
    }
    compare(s, &chosen, was_shown);
    go_back(s, &chosen, was_shown);
    s->is_assigned = false;
    return true;
}
