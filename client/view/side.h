/* SPDX-License-Identifier: Apache-2.0 */
/* The runs of the list at the left, by project; remembered while the list of runs is the same. */
#ifndef CLIENT_VIEW_SIDE_H
#define CLIENT_VIEW_SIDE_H

#include "client/draw/theme.h"
#include "client/model/model.h"

struct side_project {
    const char *name;
    size_t n; /* runs */
    enum theme_health worst;
};

struct side_groups {
    const struct model_runs *of; /* a reference */
    size_t n;
    struct side_project *projects; /* n, that of the newest run first */
    uint32_t *order;               /* places of the runs, project by project */
};

/** Free what is remembered; NULL is fine. */
void side_groups_destroy(struct side_groups *groups);

#endif
