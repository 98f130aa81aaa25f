/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/turns.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/mem.h"

/*
 * A branch shows the steps of its parent before branch_step as its own, and readings go oldest
 * first: so what goes first of a parent is what its branches show. Therefore a parent has the turn
 * of the last of the branches that read it. Parents have smaller numbers than their branches, so
 * that one pass from the largest number down carries turns up any lineage.
 */

enum place { PLACE_OVERWRITTEN = 0, PLACE_ENDED, PLACE_LAST };

struct turn {
    struct run *run;
    enum place place;
    int64_t last_ns;
    const struct run *heir; /* the branch that it has its turn from, or NULL */
    bool is_asked;          /* it is among those to sort */
};

bool turns_has_ended(const struct run *run)
{
    return run->n_streams == 0 || run->status == BARO__RUN_STATUS__RUN_FINISHED ||
           run->status == BARO__RUN_STATUS__RUN_FAILED ||
           run->status == BARO__RUN_STATUS__RUN_KILLED;
}

/* Whether a branch shows steps of its parent. */
static bool is_reading_parent(const struct run *branch)
{
    const struct run *parent = branch->parent;
    return parent != NULL &&
           (!parent->has_steps || branch->branch_step > parent->first_step);
}

static int compare_turns(const void *a, const void *b)
{
    const struct turn *x = a;
    const struct turn *y = b;
    if (x->place != y->place) {
        return x->place < y->place ? -1 : 1;
    }
    if (x->last_ns != y->last_ns) {
        return x->last_ns < y->last_ns ? -1 : 1;
    }
    return (x->run->number > y->run->number) - (x->run->number < y->run->number);
}

static int compare_numbers(const void *key, const void *element)
{
    uint32_t number = *(const uint32_t *)key;
    const struct turn *turn = element;
    return (number > turn->run->number) - (number < turn->run->number);
}

static struct turn *find_turn(struct turn *turns, size_t n, const struct run *run)
{
    return run == NULL || n == 0
               ? NULL
               : bsearch(&run->number, turns, n, sizeof *turns, compare_numbers);
}

/* The turns of all runs, by rising number; to be freed. */
static struct turn *make_turns(const struct registry *registry)
{
    size_t n = registry->n_runs;
    struct turn *turns = baro_xcalloc(n + 1, sizeof *turns);
    for (size_t i = 0; i < n; i++) {
        struct run *run = registry->runs[i];
        turns[i] = (struct turn){.run = run, .last_ns = run->last_time_ns};
        turns[i].place = !turns_has_ended(run) ? PLACE_LAST
                         : run->is_overwritten ? PLACE_OVERWRITTEN
                                               : PLACE_ENDED;
    }
    for (size_t i = n; i-- > 0;) {
        const struct turn *turn = &turns[i];
        struct turn *parent = find_turn(turns, n, turn->run->parent);
        if (parent == NULL || !is_reading_parent(turn->run)) {
            continue;
        }
        if (turn->place > parent->place ||
            (turn->place == parent->place && turn->last_ns > parent->last_ns)) {
            parent->place = turn->place;
            parent->last_ns = turn->last_ns;
            parent->heir = turn->run;
        }
    }
    return turns;
}

size_t turns_sort(const struct registry *registry, struct run **runs, size_t n)
{
    baro_autofree struct turn *turns = make_turns(registry);
    size_t n_all = registry->n_runs;
    size_t n_sorted = 0;
    size_t n_ended = 0;
    for (size_t i = 0; i < n; i++) {
        struct turn *turn = find_turn(turns, n_all, runs[i]);
        if (turn != NULL) {
            turn->is_asked = true;
        }
    }
    if (n_all > 1) {
        qsort(turns, n_all, sizeof *turns, compare_turns);
    }
    for (size_t i = 0; i < n_all; i++) {
        if (turns[i].is_asked) {
            runs[n_sorted++] = turns[i].run;
            n_ended += turns[i].place != PLACE_LAST ? 1 : 0;
        }
    }
    return n_ended;
}

/* ---- in words ---- */

static void write_day(const struct run *run, char *out, size_t out_bytes)
{
    time_t seconds = (time_t)(run->last_time_ns / 1000000000);
    struct tm when;
    (void)snprintf(out, out_bytes, "at an unknown time");
    if (run->last_time_ns > 0 && gmtime_r(&seconds, &when) != NULL) {
        (void)strftime(out, out_bytes, "%Y-%m-%d %H:%M UTC", &when);
    }
}

/* Why a run goes that was named. */
static void write_named(
    const struct run *run, const struct run *heir, char *out, size_t out_bytes)
{
    char day[40];
    write_day(run, day, sizeof day);
    int n = snprintf(out, out_bytes, "named; %s%s",
        turns_has_ended(run) ? "last active " : "it has not ended",
        turns_has_ended(run) ? day : "");
    if (heir != NULL && n > 0 && (size_t)n < out_bytes) {
        (void)snprintf(out + n, out_bytes - (size_t)n,
            "; '%.60s' loses its steps before %" PRId64 " with it",
            heir->description->run_id, heir->branch_step);
    }
}

/* Why it is its turn. */
static void write_turn(const struct turn *turn, char *out, size_t out_bytes)
{
    char day[40];
    const struct run *run = turn->run;
    const struct run *heir = turn->heir;
    if (heir != NULL) {
        (void)snprintf(out, out_bytes,
            "goes with '%.60s', which shows its steps before %" PRId64 " and %s",
            heir->description->run_id, heir->branch_step,
            turn->place == PLACE_LAST ? "has not ended" : "was active later");
    } else if (turn->place == PLACE_LAST) {
        (void)snprintf(out, out_bytes, "it has not ended, so it comes last");
    } else {
        write_day(run, day, sizeof day);
        (void)snprintf(out, out_bytes, "%slast active %s, the oldest go first",
            turn->place == PLACE_OVERWRITTEN ? "overwritten, and no branch shows it; " : "",
            day);
    }
}

char *turns_reason(
    const struct registry *registry, const struct run *run, bool is_named, bool is_whole)
{
    char text[200] = "";
    baro_autofree struct turn *turns = make_turns(registry);
    const struct run *reader = NULL; /* the first branch that shows it */
    for (size_t i = 0; i < registry->n_runs && reader == NULL; i++) {
        const struct run *other = registry->runs[i];
        reader = is_reading_parent(other) && other->parent == run ? other : NULL;
    }
    const struct turn *turn = find_turn(turns, registry->n_runs, run);
    if (is_named || turn == NULL) {
        write_named(run, is_whole ? NULL : reader, text, sizeof text);
    } else {
        write_turn(turn, text, sizeof text);
    }
    if (is_whole && run->parent != NULL && is_reading_parent(run)) {
        size_t n = strlen(text);
        (void)snprintf(text + n, sizeof text - n,
            "; only its own steps go, those before %" PRId64 " are those of '%.60s'",
            run->branch_step, run->parent->description->run_id);
    }
    return baro_xstrdup(text);
}
