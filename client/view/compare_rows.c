/* SPDX-License-Identifier: Apache-2.0 */
#include "client/view/compare_rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/view/words.h"
#include "lib/base/mem.h"

/*
 * Rows are made and sorted when another answer has come or another order is wanted, and kept until
 * then. Where two series part is worked out anew only when one of the two has changed, and of few
 * rows in a frame: those that are left come with the next.
 */

enum { PARTED_A_FRAME = 64 };

/* Where a pair parts, and what that was worked out from. */
struct parted {
    uint32_t thing[2];
    const struct model_series *a, *b; /* references; NULL: not yet */
    struct compare_parting parting;
};

struct compare_cache {
    const struct model_compare *of; /* a reference */
    enum baro_role role;
    enum compare_sort sort;
    size_t n;
    struct compare_row *rows; /* of all pairs with readings */
    struct parted *parted;    /* by row; COMPARE_MAX_PARTED at most */
    size_t n_parted;
    struct compare_row **shown, **scalars;
    struct compare_rows out;
    bool is_new; /* what parts has changed since it was sorted */
};

static void forget_parted(struct compare_cache *cache)
{
    for (size_t i = 0; i < cache->n_parted; i++) {
        part_unref(cache->parted[i].a);
        part_unref(cache->parted[i].b);
    }
    free(cache->parted);
    cache->parted = NULL;
    cache->n_parted = 0;
}

void compare_cache_destroy(struct compare_cache *cache)
{
    if (cache != NULL) {
        forget_parted(cache);
        part_unref(cache->of);
        free(cache->rows);
        free(cache->shown);
        free(cache->scalars);
        free(cache);
    }
}

/* ---- order ---- */

static int by_name(const struct compare_row *a, const struct compare_row *b)
{
    int order = strcmp(a->thing->name, b->thing->name);
    return order != 0 ? order : (int)a->thing->role - (int)b->thing->role;
}

static int by_size(const void *a, const void *b)
{
    const struct compare_row *x = *(const struct compare_row *const *)a;
    const struct compare_row *y = *(const struct compare_row *const *)b;
    if (x->weight > y->weight || x->weight < y->weight) {
        return x->weight > y->weight ? -1 : 1;
    }
    return by_name(x, y);
}

static int by_parting(const void *a, const void *b)
{
    const struct compare_row *x = *(const struct compare_row *const *)a;
    const struct compare_row *y = *(const struct compare_row *const *)b;
    bool has_x = x->has_parting && x->parting.has_parted;
    bool has_y = y->has_parting && y->parting.has_parted;
    if (has_x != has_y) {
        return has_x ? -1 : 1;
    }
    if (has_x && x->parting.step != y->parting.step) {
        return x->parting.step < y->parting.step ? -1 : 1;
    }
    return by_size(a, b);
}

/* What the program logged, then what watching derived, then what it costs. */
static int origin_of(const struct model_thing *thing)
{
    return words_is_own(thing) ? 2 : words_is_derived(thing) ? 1 : 0;
}

static int by_origin(const void *a, const void *b)
{
    const struct compare_row *x = *(const struct compare_row *const *)a;
    const struct compare_row *y = *(const struct compare_row *const *)b;
    int order = origin_of(x->thing) - origin_of(y->thing);
    return order != 0 ? order : by_size(a, b);
}

static void sort_rows(struct compare_cache *cache)
{
    struct compare_rows *out = &cache->out;
    out->n = out->n_scalars_shown = 0;
    for (size_t i = 0; i < cache->n; i++) {
        struct compare_row *row = &cache->rows[i];
        if (!row->pair->is_tensor) {
            cache->scalars[out->n_scalars_shown++] = row;
        } else if (cache->role == 0 || row->thing->role == cache->role) {
            cache->shown[out->n++] = row;
        }
    }
    qsort(cache->shown, out->n, sizeof(struct compare_row *),
        cache->sort == COMPARE_BY_PARTING ? by_parting : by_size);
    qsort(cache->scalars, out->n_scalars_shown, sizeof(struct compare_row *), by_origin);
    out->at = (const struct compare_row *const *)cache->shown;
    out->scalars = (const struct compare_row *const *)cache->scalars;
}

/* ---- rows ---- */

static void make_rows(
    struct frame *f, struct compare_cache *cache, const struct model_compare *compare)
{
    struct compare_rows *out = &cache->out;
    part_unref(cache->of);
    cache->of = part_ref(compare);
    *out = (struct compare_rows){0};
    cache->n = 0;
    cache->rows = baro_xrealloc(cache->rows, compare->n + 1, sizeof *cache->rows);
    cache->shown = baro_xrealloc(cache->shown, compare->n + 1, sizeof *cache->shown);
    cache->scalars = baro_xrealloc(cache->scalars, compare->n + 1, sizeof *cache->scalars);
    for (size_t i = 0; i < compare->n; i++) {
        const struct model_compared *pair = &compare->at[i];
        const struct model_thing *thing = model_thing_find(f->model, pair->thing[0]);
        if (thing == NULL || !pair->has[0] || !pair->has[1]) {
            continue;
        }
        out->n_tensors += pair->is_tensor ? 1 : 0;
        out->n_scalars += pair->is_tensor ? 0 : 1;
        out->n_roles[thing->role] += pair->is_tensor ? 1 : 0;
        cache->rows[cache->n++] = (struct compare_row){
            .pair = pair, .thing = thing, .weight = model_compared_weight(pair)};
    }
}

/* ---- where they part ---- */

/* The parting of a pair that was worked out before, moved to where the row is now. */
static void keep_parted(struct compare_cache *cache)
{
    size_t n = cache->n < COMPARE_MAX_PARTED ? cache->n : COMPARE_MAX_PARTED;
    struct parted *parted = baro_xcalloc(n + 1, sizeof *parted);
    for (size_t i = 0; i < n; i++) {
        const uint32_t *thing = cache->rows[i].pair->thing;
        struct parted *before = i < cache->n_parted ? &cache->parted[i] : NULL;
        if (before != NULL && before->thing[0] == thing[0] &&
            before->thing[1] == thing[1]) {
            parted[i] = *before;
            *before = (struct parted){0};
        }
        parted[i].thing[0] = thing[0];
        parted[i].thing[1] = thing[1];
    }
    forget_parted(cache);
    cache->parted = parted;
    cache->n_parted = n;
}

static void tell_row(struct compare_row *row, const struct parted *parted)
{
    row->has_parting = parted->a != NULL && parted->parting.has_common;
    row->parting = parted->parting;
}

static void part_rows(struct frame *f, struct compare_cache *cache)
{
    int n_left = PARTED_A_FRAME;
    for (size_t i = 0; i < cache->n_parted; i++) {
        struct compare_row *row = &cache->rows[i];
        struct parted *parted = &cache->parted[i];
        struct model_ref ref = {row->pair->thing[0],
            row->pair->is_tensor ? READING_SUMMARY : READING_SCALAR,
            row->pair->is_tensor ? SUMMARY_L2 : 0, 0};
        const struct model_series *a = frame_series(f, ref, true);
        ref.thing = row->pair->thing[1];
        const struct model_series *b = frame_other_series(f, ref, true);
        bool is_known = parted->a == a && parted->b == b && a != NULL;
        if (a == NULL || b == NULL || !a->is_ready || !b->is_ready || is_known) {
            tell_row(row, parted);
            continue;
        }
        if (n_left-- <= 0) {
            f->view->is_dirty = true;
            tell_row(row, parted);
            continue;
        }
        part_unref(parted->a);
        part_unref(parted->b);
        parted->a = part_ref(a);
        parted->b = part_ref(b);
        model_series_part(a, b, &parted->parting);
        tell_row(row, parted);
        cache->is_new = true;
    }
}

/* Which parted first, how many never did. */
static void sum_up(struct compare_cache *cache)
{
    struct compare_rows *out = &cache->out;
    out->first = NULL;
    out->n_equal = out->n_parted_known = 0;
    for (size_t i = 0; i < cache->n_parted; i++) {
        const struct compare_row *row = &cache->rows[i];
        out->n_parted_known += row->has_parting ? 1 : 0;
        out->n_equal += row->has_parting && row->parting.is_equal ? 1 : 0;
        bool is_first =
            row->has_parting && row->parting.has_parted &&
            (out->first == NULL || row->parting.step < out->first->parting.step ||
                (row->parting.step == out->first->parting.step &&
                    row->weight > out->first->weight));
        out->first = is_first ? row : out->first;
    }
}

struct compare_rows compare_rows_get(struct frame *f, const struct model_compare *compare)
{
    struct view_compare *chosen = &f->view->compare;
    if (chosen->cache == NULL) {
        chosen->cache = baro_xcalloc(1, sizeof *chosen->cache);
    }
    struct compare_cache *cache = chosen->cache;
    bool is_new = cache->of != compare;
    if (is_new) {
        make_rows(f, cache, compare);
        keep_parted(cache);
    }
    /* Things are a part of the model, which is another one each time. */
    for (size_t i = 0; i < cache->n; i++) {
        const struct model_thing *thing =
            model_thing_find(f->model, cache->rows[i].pair->thing[0]);
        cache->rows[i].thing = thing != NULL ? thing : cache->rows[i].thing;
    }
    if (!compare->of.is_steps) {
        part_rows(f, cache);
        sum_up(cache);
    }
    if (is_new || cache->is_new || cache->role != chosen->role ||
        cache->sort != chosen->sort) {
        cache->role = chosen->role;
        cache->sort = chosen->sort;
        cache->is_new = false;
        sort_rows(cache);
    }
    return cache->out;
}
