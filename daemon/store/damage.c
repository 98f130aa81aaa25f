/* SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/store/internal.h"
#include "lib/base/mem.h"

/*
 * What could not be read is told to whoever asked, and remembered here once for each group, so
 * that the daemon can log it and mark its run.
 */

enum { MAX_GROUPS = 4096 }; /* beyond them nobody needs more names */

void store_note_damage(
    struct store *store, uint32_t run, uint32_t thing, uint16_t kind, const char *cause)
{
    (void)pthread_mutex_lock(&store->damaged.lock);
    size_t n = store->damaged.n;
    bool is_known = n >= MAX_GROUPS;
    for (size_t i = 0; i < n && !is_known; i++) {
        const struct store_damaged_group *known = &store->damaged.groups[i];
        is_known = known->run == run && known->thing == thing && known->kind == kind;
    }
    if (!is_known) {
        if (n == store->damaged.room) {
            store->damaged.room = 2 * n + 16;
            store->damaged.groups = baro_xrealloc(
                store->damaged.groups, store->damaged.room, sizeof *store->damaged.groups);
        }
        struct store_damaged_group *group = &store->damaged.groups[store->damaged.n++];
        *group = (struct store_damaged_group){.run = run, .thing = thing, .kind = kind};
        (void)snprintf(group->cause, sizeof group->cause, "%s", cause);
        atomic_fetch_add(&store->damaged.n_untold, 1);
    }
    (void)pthread_mutex_unlock(&store->damaged.lock);
}

size_t store_take_damaged(struct store *store, struct store_damaged_group *out, size_t max)
{
    size_t n = 0;
    if (atomic_load(&store->damaged.n_untold) == 0) {
        return 0;
    }
    (void)pthread_mutex_lock(&store->damaged.lock);
    while (n < max && store->damaged.n_told < store->damaged.n) {
        out[n++] = store->damaged.groups[store->damaged.n_told++];
    }
    atomic_fetch_sub(&store->damaged.n_untold, n);
    (void)pthread_mutex_unlock(&store->damaged.lock);
    return n;
}

void store_forget_damage(struct store *store)
{
    free(store->damaged.groups);
    (void)pthread_mutex_destroy(&store->damaged.lock);
}
