/* SPDX-License-Identifier: Apache-2.0 */
/* The scalars that the overview shows, gathered anew for each frame. */
#ifndef CLIENT_VIEW_OVERVIEW_GATHER_H
#define CLIENT_VIEW_OVERVIEW_GATHER_H

#include "client/draw/theme.h"
#include "client/model/model.h"

struct frame;

enum { OVERVIEW_MAX_SCALARS = 512, OVERVIEW_MAX_RANKS = THEME_N_SERIES };

/* A scalar to be shown: one line a rank. */
struct overview_scalar {
    struct model_ref ref[OVERVIEW_MAX_RANKS];
    uint32_t rank[OVERVIEW_MAX_RANKS];
    size_t n, n_ranks; /* lines, and ranks that have it */
    uint32_t twin;     /* thing of the second run; 0: it has none */
    const char *title;
    double cadence;
    int order;      /* what stands where; see overview_gather() */
    uint32_t group; /* of its name's first part, among plain ones */
    uint32_t turn;  /* in which the run named them */
};

/** Find the scalars that pass the filter, in the order in which they are shown, step times among
 * them; out has room for OVERVIEW_MAX_SCALARS. Returns how many; counts all in the view. */
size_t overview_gather(struct frame *f, struct overview_scalar *out);

#endif
