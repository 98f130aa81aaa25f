/* SPDX-License-Identifier: Apache-2.0 */
/* The compare page: what a person has chosen there, and what was found for it. */
#ifndef CLIENT_VIEW_COMPARE_H
#define CLIENT_VIEW_COMPARE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/tensor.h"

struct model;
struct view;

enum compare_sort { COMPARE_BY_SIZE, COMPARE_BY_PARTING, COMPARE_SORT_COUNT };

struct view_compare {
    bool is_steps; /* two steps of the run shown; else it and the second run */
    int64_t steps[2];
    enum baro_role role; /* of the tensors listed; 0: all */
    enum compare_sort sort;
    uint32_t thing;              /* chosen in the list; 0: the first */
    struct compare_cache *cache; /* compare_rows.c; NULL: empty */
};

/** Compare the marked step (key m) with the cursor's; says in the notice what is missing. */
void compare_steps(struct view *view);

/** Free what was found; NULL is fine. */
void compare_cache_destroy(struct compare_cache *cache);

#endif
