/* SPDX-License-Identifier: Apache-2.0 */
#include "client/view/overview_gather.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "client/view/inside.h"
#include "client/view/words.h"
#include "lib/base/mem.h"

/*
 * Which scalars the overview shows, and in what order. Those of several ranks that have one name are
 * one. Of what the program logged those with the same first part of their names ("val/...") stand
 * together, in the order in which the run named the first of each.
 */

/* Places of a table of names: a power of two, twice as many as there are names. */
enum { PLACES = 2 * OVERVIEW_MAX_SCALARS };
_Static_assert((PLACES & (PLACES - 1)) == 0, "so that a hash is masked");

/* What stands where: what the program itself logged first, each loss before all else; then step
 * time and what watching costs; what watching derived (a number a parameter) last. */
enum {
    LOSS_ORDER = 10,
    PINNED_ORDER,
    PLAIN_ORDER = PINNED_ORDER + 10,
    STEP_ORDER,
    OWN_ORDER,
    DERIVED_ORDER,
    REPLICATED_ORDER
};

/* Whether a scalar is a loss of the training, and not of its evaluation. */
static bool is_training_loss(const struct model_thing *thing)
{
    static const char *const others[] = {"val", "eval", "test", "loss/val", "loss/test"};
    for (size_t i = 0; i < BARO_LEN(others); i++) {
        if (strncasecmp(thing->name, others[i], strlen(others[i])) == 0) {
            return false;
        }
    }
    return words_is_loss(thing);
}

/* Gives the place of its name in a list, or the list's length. */
static int place_in(const char *const *names, size_t n, const char *name)
{
    size_t i = 0;
    while (i < n && strcmp(names[i], name) != 0) {
        i++;
    }
    return (int)i;
}

/* Pinned ones come first, in this order; the others as the run named them. */
static int order_of(const struct view *view, const struct model_thing *thing)
{
    int pin = overview_pin_place(view, thing->name);
    if (pin >= 0) {
        return pin - OVERVIEW_MAX_PINS;
    }
    static const char *const first[] = {"loss", "train/loss", "train_loss"};
    static const char *const pinned[] = {
        "lr", "learning_rate", "grad_norm", "val/loss", "val_loss"};
    int order = place_in(first, BARO_LEN(first), thing->name);
    if (order < (int)BARO_LEN(first)) {
        return order;
    }
    if (words_is_own(thing)) {
        return OWN_ORDER;
    }
    if (words_is_derived(thing)) {
        return words_is_replicated(thing) ? REPLICATED_ORDER : DERIVED_ORDER;
    }
    if (is_training_loss(thing)) {
        return LOSS_ORDER;
    }
    order = place_in(pinned, BARO_LEN(pinned), thing->name);
    return order < (int)BARO_LEN(pinned) ? PINNED_ORDER + order : PLAIN_ORDER;
}

/* Put a line into a scalar, by its rank. */
static void add_line(struct overview_scalar *into, const struct model_thing *thing)
{
    size_t at = into->n;
    into->n_ranks++;
    if (at == OVERVIEW_MAX_RANKS && into->rank[at - 1] < thing->rank) {
        return;
    }
    at = at == OVERVIEW_MAX_RANKS ? at - 1 : at;
    into->n = at + 1;
    while (at > 0 && into->rank[at - 1] > thing->rank) {
        into->ref[at] = into->ref[at - 1];
        into->rank[at] = into->rank[at - 1];
        at--;
    }
    into->ref[at] = (struct model_ref){thing->thing, READING_SCALAR, 0, 0};
    into->rank[at] = thing->rank;
}

/* What has been gathered so far. */
struct gathered {
    struct overview_scalar *at;
    size_t n;
    uint16_t place[PLACES]; /* 1 + scalar by the hash of its name; 0: free */
};

/* The scalar of a name, or the place where it may be put. */
static struct overview_scalar *find(
    const struct gathered *all, const char *name, size_t *out_place)
{
    size_t place = (size_t)draw_hash(1, name, strlen(name)) & (PLACES - 1);
    while (all->place[place] != 0) {
        struct overview_scalar *scalar = &all->at[all->place[place] - 1];
        if (strcmp(scalar->title, name) == 0) {
            return scalar;
        }
        place = (place + 1) & (PLACES - 1);
    }
    *out_place = place;
    return NULL;
}

/* Put a thing into the scalar of its name, or begin one while there is room. */
static void add_thing(
    struct frame *f, struct gathered *all, const struct model_thing *thing)
{
    size_t place = 0;
    struct overview_scalar *scalar = find(all, thing->name, &place);
    if (scalar == NULL) {
        if (all->n == OVERVIEW_MAX_SCALARS - 1) { /* one is left for the step times */
            return;
        }
        scalar = &all->at[all->n++];
        *scalar = (struct overview_scalar){.title = thing->name,
            .cadence = thing->cadence,
            .order = order_of(f->view, thing),
            .turn = (uint32_t)all->n};
        all->place[place] = (uint16_t)all->n;
    }
    add_line(scalar, thing);
}

/* The first part of a name: "val" of "val/loss"; of one without parts nothing. */
static size_t part_bytes(const char *name)
{
    const char *slash = strchr(name, '/');
    return slash != NULL ? (size_t)(slash - name) : 0;
}

/* Give each plain scalar the group of its first part, in the order of their first ones. */
static void group(struct gathered *all)
{
    enum { MAX_GROUPS = 64 };
    const char *names[MAX_GROUPS];
    uint32_t n = 0;
    for (size_t i = 0; i < all->n; i++) {
        struct overview_scalar *scalar = &all->at[i];
        size_t bytes = part_bytes(scalar->title);
        uint32_t at = 0;
        if (scalar->order != PLAIN_ORDER) {
            continue;
        }
        while (at < n && (part_bytes(names[at]) != bytes ||
                             strncmp(names[at], scalar->title, bytes) != 0)) {
            at++;
        }
        if (at == n && n < MAX_GROUPS) {
            names[n++] = scalar->title;
        }
        scalar->group = at;
    }
}

static int compare(const void *left, const void *right)
{
    const struct overview_scalar *a = left;
    const struct overview_scalar *b = right;
    if (a->order != b->order) {
        return a->order < b->order ? -1 : 1;
    }
    if (a->group != b->group) {
        return a->group < b->group ? -1 : 1;
    }
    return a->turn < b->turn ? -1 : a->turn > b->turn;
}

/* Step times stand behind what the program logged, unless they are pinned. */
static size_t add_step_times(struct frame *f, struct overview_scalar *out, size_t n)
{
    int pin = overview_pin_place(f->view, OVERVIEW_STEP_TIME);
    int order = pin >= 0 ? pin - OVERVIEW_MAX_PINS : STEP_ORDER;
    out[n] = (struct overview_scalar){.ref = {{0, READING_STEP, STEP_SECONDS, 0}},
        .n = 1,
        .n_ranks = 1,
        .title = OVERVIEW_STEP_TIME,
        .cadence = 1,
        .order = order,
        .turn = (uint32_t)n + 1};
    return n + 1;
}

size_t overview_gather(struct frame *f, struct overview_scalar *out)
{
    const struct model_things *things = f->model->things;
    struct view_overview *overview = &f->view->overview;
    struct gathered all = {.at = out};
    for (size_t i = 0; i < things->n; i++) {
        const struct model_thing *thing = &things->at[i];
        if (thing->is_tensor) {
            continue;
        }
        bool passes = overview_passes(overview->glob, thing->name);
        overview->n_all += thing->rank == 0 ? 1 : 0;
        overview->n_shown += passes && thing->rank == 0 ? 1 : 0;
        if (passes) {
            add_thing(f, &all, thing);
        }
    }
    group(&all);
    if (overview->n_all > 0 && overview_passes(overview->glob, OVERVIEW_STEP_TIME)) {
        all.n = add_step_times(f, out, all.n);
    }
    qsort(out, all.n, sizeof *out, compare);
    return all.n;
}
