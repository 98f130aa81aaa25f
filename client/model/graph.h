/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the modules of a network are connected, out of the operations of a probe: modules are places
 * that the caller chooses by their paths, as coarse or fine as it likes, and edges between them are
 * values that an operation in one gave and an operation in another took, also by way of operations
 * that lie in none (an addition between two modules). Pure.
 */
#ifndef CLIENT_MODEL_GRAPH_H
#define CLIENT_MODEL_GRAPH_H

#include <stdbool.h>

#include "client/model/flow.h"
#include "lib/base/probe.h"

enum { GRAPH_NOWHERE = -1 };

/* A path of a module, not NUL-terminated. */
struct graph_place {
    const char *path;
    size_t n;
    bool
        is_open; /* modules within it are places of their own: it stands for its last operation,
                     its output; what it does between them joins them */
};

/* What was found. Release with graph_finish(). */
struct graph {
    int32_t *place_of_op; /* of each operation; GRAPH_NOWHERE: in none of the places */
    uint32_t *first_op; /* of each place: its first operation, of an open one its last; the
                             probe's n_ops: it has none */
    uint32_t *n_ops;    /* of each place, forward ones */
    uint8_t *has_input; /* of each place: it takes what comes from outside */
    uint8_t
        *has_loss; /* of each place: what it gives goes into the loss by no other place */
    size_t n_edges;
    struct flow_edge *edges; /* numbers of places, each pair once, from != to */
};

/**
 * Find edges between places. Forward operations only.
 *
 * places   n; an operation lies in the one with the longest path that its module's begins with (a
 *          whole piece of it)
 * cost     proportional to the operands and to n for each operation with a module of its own
 */
void graph_find(struct graph *out, const struct probe *probe,
    const struct graph_place *places, size_t n);

/** Free what it holds. */
void graph_finish(struct graph *graph);

#endif
