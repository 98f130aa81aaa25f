/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/store/internal.h"
#include "daemon/store/parts.h"
#include "daemon/store/seal.h"
#include "daemon/store/tiers.h"
#include "lib/base/err.h"

/*
 * Background work, a bounded piece at a time, the most urgent first. Sealing comes first since
 * it keeps memory and the log of the tail small. After sealing found no room nothing of it is
 * tried again before a commit succeeded; the same goes, longer, for the rest.
 */

enum {
    FULL_COMMITS = 64
}; /* that must succeed before work is tried again that found no room */

/* What makes reading fast, and can wait: nothing of it is worth a word when there is no room. */
static int tidy(struct store *store, struct baro_err *err)
{
    if (store->full_commits > 0) {
        return 0;
    }
    int rc = parts_step(store, err);
    rc = rc == 0 ? tiers_step(store, err) : rc;
    if (rc == BARO_EFULL) {
        store->full_commits = FULL_COMMITS;
        return 0;
    }
    return rc;
}

int store_work_step(struct store *store, struct baro_err *err)
{
    if (store->txn.is_open) {
        return baro_err_set(err, BARO_EINVAL, "work inside a transaction");
    }
    bool is_last = false;
    struct tail_run *run = store->is_seal_full ? NULL : seal_pick(store, &is_last);
    if (run != NULL) {
        int rc = seal_step(store, run, is_last, err);
        store->is_seal_full = rc == BARO_EFULL;
        return rc == 0 ? 1 : rc;
    }
    return tidy(store, err);
}

int store_seal_run(struct store *store, uint32_t run_number, struct baro_err *err)
{
    if (store->txn.is_open) {
        return baro_err_set(err, BARO_EINVAL, "work inside a transaction");
    }
    struct tail_run *run = tail_find_run(&store->tail, run_number);
    if (run == NULL || run->tail_bytes == 0) {
        return 0;
    }
    int rc = seal_step(store, run, true, err);
    return rc == 0 ? 1 : rc;
}

void store_tick(struct store *store, uint32_t n)
{
    int n_dead = 0;
    if (store->env !=
        NULL) { /* what a foreign reader that was killed has held is free again */
        (void)mdb_reader_check(store->env, &n_dead);
    }
    for (uint32_t i = 0; i < store->tail.n_runs; i++) {
        uint32_t *n_quiet = &store->tail.runs[i]->n_quiet;
        *n_quiet = *n_quiet > UINT32_MAX - n ? UINT32_MAX : *n_quiet + n;
    }
}

bool store_is_behind(struct store *store)
{
    return seal_is_behind(store);
}
