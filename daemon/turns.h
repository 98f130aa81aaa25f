/* SPDX-License-Identifier: Apache-2.0 */
/* Which runs give way first when room is needed, and why, in words. */
#ifndef BAROD_TURNS_H
#define BAROD_TURNS_H

#include "daemon/registry.h"

/** Tell whether a run has ended: no process of it pushes any more. */
bool turns_has_ended(const struct run *run);

/**
 * Sort runs into the order in which they give way: of those that ended, overwritten ones that
 * nobody reads first, then the rest by their last activity; those that did not end last. A run
 * whose steps a branch shows as its own gives way just before that branch, not earlier.
 *
 * runs     some or all of the registry's
 * returns  how many of them, the first ones, have ended, with the branches that read them
 * cost     n log n of all runs of the registry
 */
size_t turns_sort(const struct registry *registry, struct run **runs, size_t n);

/**
 * Say why it is a run's turn.
 *
 * is_named  somebody asked for this very run
 * is_whole  it is removed with everything
 * returns   to be freed
 */
char *turns_reason(
    const struct registry *registry, const struct run *run, bool is_named, bool is_whole);

#endif
