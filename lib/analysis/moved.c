/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/moved.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

/*
 * Question: the loss jumped at steps 1,200 and 3,400: which units of the whole network moved
 * most, and were they the same? (DeepTracker, layer view: the top filters of an iteration, and
 * the intersection of the tops of several.)
 *
 * Method: for each step a list of the MOVED_MOST largest values, kept sorted; a unit that does not
 * beat the last is one comparison. In common are the units that stand among the first k of each
 * list. k is what a person reads, 20 to 256: units beyond it are not "most" at that step.
 *
 * Worked: tops a = {7, 3, 9}, b = {3, 8, 7} with k = 2: first two {7, 3} and {3, 8}: unit 3, places
 * 1 + 0. With k = 3: units 3 (1 + 0) and 7 (0 + 2), in this order.
 *
 * By chance alone, of n units, k^m / n^(m-1) would be in m lists of k: for 20 of 10,000 twice, 0.04.
 * So even a single unit in common says something, unless the lists are nearly all of the units.
 */

static bool is_before(const struct moved_unit *a, const struct moved_unit *b)
{
    if (a->value > b->value || a->value < b->value) {
        return a->value > b->value;
    }
    return a->thing != b->thing ? a->thing < b->thing : a->unit < b->unit;
}

void moved_add(struct moved_list *list, uint32_t thing, uint32_t unit, float value)
{
    if (isnan(value)) {
        list->n_without++;
        return;
    }
    struct moved_unit one = {thing, unit, value};
    list->n_seen++;
    if (list->n == MOVED_MOST && !is_before(&one, &list->at[MOVED_MOST - 1])) {
        return;
    }
    size_t at = list->n < MOVED_MOST ? list->n++ : MOVED_MOST - 1;
    for (; at > 0 && is_before(&one, &list->at[at - 1]); at--) {
        list->at[at] = list->at[at - 1];
    }
    list->at[at] = one;
}

/* Place of a unit among the first k; k: it is not. */
static size_t place_of(
    const struct moved_list *list, size_t k, const struct moved_unit *unit)
{
    size_t n = list->n < k ? list->n : k;
    for (size_t i = 0; i < n; i++) {
        if (list->at[i].thing == unit->thing && list->at[i].unit == unit->unit) {
            return i;
        }
    }
    return k;
}

size_t moved_common(
    const struct moved_list *lists, size_t n_lists, size_t k, struct moved_unit *out)
{
    size_t sums[MOVED_MOST];
    size_t n = 0;
    k = k < MOVED_MOST ? k : MOVED_MOST;
    for (size_t i = 0; n_lists > 0 && i < lists[0].n && i < k; i++) {
        struct moved_unit unit = lists[0].at[i];
        size_t sum = i;
        bool is_in_all = true;
        for (size_t l = 1; l < n_lists && is_in_all; l++) {
            size_t place = place_of(&lists[l], k, &unit);
            is_in_all = place < k;
            sum += place;
            if (is_in_all) {
                unit.value = fminf(unit.value, lists[l].at[place].value);
            }
        }
        if (!is_in_all) {
            continue;
        }
        size_t at = n++;
        for (; at > 0 && sum < sums[at - 1]; at--) {
            sums[at] = sums[at - 1];
            out[at] = out[at - 1];
        }
        sums[at] = sum;
        out[at] = unit;
    }
    return n;
}
