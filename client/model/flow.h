/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the boxes of a layered graph stand: data flow from left to right. Pure; nodes are numbers in
 * the order in which they first ran, so that an edge to an earlier one is a module called again.
 *
 * Method: layers by longest path, order within a layer by barycentres (Sugiyama et al., 1981).
 */
#ifndef CLIENT_MODEL_FLOW_H
#define CLIENT_MODEL_FLOW_H

#include <stddef.h>
#include <stdint.h>

struct flow_edge {
    uint32_t from, to; /* nodes */
};

/* Where a node stands. */
struct flow_place {
    uint32_t layer; /* from 0; each edge forward in time leads to a later layer */
    uint32_t row;   /* within its layer, from 0, without holes */
};

/**
 * Place the nodes of a graph.
 *
 * edges    those to an earlier or the same node are ignored, doubles are fine
 * out      n places
 * returns  the number of layers; 0 for no nodes
 * cost     a few passes over the edges
 */
uint32_t flow_place(
    size_t n, const struct flow_edge *edges, size_t n_edges, struct flow_place *out);

#endif
