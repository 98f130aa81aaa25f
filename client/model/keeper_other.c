/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "client/model/keeper_inner.h"
#include "lib/base/mem.h"

/*
 * A second run, to be seen beside the first. It has a keeper of its own, with its own lists and
 * series; the first one gives its questions out after its own, hands answers and news on, and
 * publishes its model within its own. Both share one connection: a run that the other of the two
 * has come to want is not unsubscribed by the one that leaves it.
 */

bool keeper_has_other(const struct keeper *keeper)
{
    return keeper->other != NULL && keeper->wish.other_run != 0;
}

static void create_other(struct keeper *keeper)
{
    keeper->other = keeper_create(keeper->endpoint);
    keeper->other->is_second = true;
    keeper->other->peer = keeper;
    keeper->peer = keeper->other;
    keeper->other_wish = baro_xcalloc(1, sizeof *keeper->other_wish);
    keeper_set_state(keeper->other, keeper->state, keeper->trouble, keeper->since_wall_ns);
}

void keeper_other_wish(
    struct keeper *keeper, const struct model_wish *wish, uint64_t serial)
{
    if (keeper->is_second || (wish->other_run == 0 && keeper->other == NULL)) {
        return;
    }
    if (keeper->other == NULL) {
        create_other(keeper);
    }
    struct model_wish *told = keeper->other_wish;
    memset(told, 0, offsetof(struct model_wish, refs));
    if (wish->other_run != keeper->other->wish.run) {
        keeper_compare_reset(keeper, true);
    }
    told->run = wish->other_run;
    told->from_step = wish->other_from_step;
    told->to_step = wish->other_to_step;
    told->columns = wish->columns;
    told->coarse_columns = wish->coarse_columns;
    told->n_refs = told->run != 0 ? wish->n_other_refs : 0;
    memcpy(told->refs, wish->other_refs, told->n_refs * sizeof told->refs[0]);
    keeper_set_wish(keeper->other, told, serial);
}
