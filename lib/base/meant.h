/* SPDX-License-Identifier: Apache-2.0 */
/* Which run a person means: one rule for baro and baro-view. */
#ifndef BARO_MEANT_H
#define BARO_MEANT_H

#include <stdbool.h>
#include <stddef.h>

/* What a run is called; borrowed, none NULL. */
struct baro_called {
    const char *id, *project, *name;
};

enum baro_meant { BARO_MEANT_ONE, BARO_MEANT_NONE, BARO_MEANT_SEVERAL };

/**
 * Find the run that a text means: "latest", an id, PROJECT/NAME, a name, the beginning of an id.
 * The strictest of these ways in which any run fits decides; runs that a branch took the id of
 * count only where no other fits.
 *
 * runs     newest first
 * out_at   the run; of several the newest; untouched when there is none
 * out_fits n flags: which runs fit; NULL when not wanted
 */
enum baro_meant baro_meant_find(const struct baro_called *runs, size_t n, const char *text,
    size_t *out_at, bool *out_fits);

/**
 * Tell whether a run is called "ID~1" because a branch of it is called ID now.
 *
 * at       the run's place among the n
 */
bool baro_meant_is_former(const struct baro_called *runs, size_t n, size_t at);

/**
 * Find the name or id that is nearest to a text which means no run.
 *
 * returns  false when none is near
 */
bool baro_meant_near(const struct baro_called *runs, size_t n, const char *text, char *out,
    size_t out_bytes);

#endif
