/* SPDX-License-Identifier: Apache-2.0 */
#include "client/model/flow.h"

#include <stdbool.h>
#include <stdlib.h>

#include "lib/base/mem.h"

/*
 * A node's layer is the length of the longest path that leads to it, so data flow from left to right.
 * One that nothing leads to (the second input of a sum) is moved right, to just before the first
 * that needs it. Then, some times forth and back, each layer is sorted by the mean row of what its
 * nodes are connected with in the layers before (after): connected nodes come to stand side by
 * side and edges cross less. Equal means keep the order in which the nodes first ran, so the
 * picture does not change from call to call.
 *
 * Worked number: 0 -> 1 -> 3, 0 -> 3 and 2 -> 3. Layers 0, 1, 2 for nodes 0, 1, 3; node 2 has no
 * predecessor and moves to layer 1, below node 1. Three layers.
 */

enum { N_SWEEPS = 6 };

/* One node while rows are sought. */
struct node {
    uint32_t at; /* the node */
    uint32_t layer;
    double row; /* where its neighbours would have it */
};

static bool is_forward(const struct flow_edge *edge, size_t n)
{
    return edge->from < edge->to && edge->to < n;
}

static int by_target(const void *a, const void *b)
{
    const struct flow_edge *x = a;
    const struct flow_edge *y = b;
    return x->to != y->to ? (x->to > y->to) - (x->to < y->to)
                          : (x->from > y->from) - (x->from < y->from);
}

static int by_row(const void *a, const void *b)
{
    const struct node *x = a;
    const struct node *y = b;
    if (x->layer != y->layer) {
        return x->layer < y->layer ? -1 : 1;
    }
    if (x->row < y->row || x->row > y->row) {
        return x->row < y->row ? -1 : 1;
    }
    return (x->at > y->at) - (x->at < y->at);
}

/* The edges forward in time, sorted by where they lead. */
static size_t keep_forward(
    size_t n, const struct flow_edge *edges, size_t n_edges, struct flow_edge *out)
{
    size_t n_kept = 0;
    for (size_t i = 0; i < n_edges; i++) {
        if (is_forward(&edges[i], n)) {
            out[n_kept++] = edges[i];
        }
    }
    qsort(out, n_kept, sizeof *out, by_target);
    return n_kept;
}

/* Layers by longest path; sources right before what needs them first. Gives their number. */
static uint32_t find_layers(
    size_t n, const struct flow_edge *edges, size_t n_edges, struct flow_place *out)
{
    baro_autofree uint32_t *next =
        baro_xcalloc(n, sizeof *next); /* 1 + nearest layer behind */
    baro_autofree uint8_t *has_source = baro_xcalloc(n, sizeof *has_source);
    for (size_t i = 0; i < n_edges; i++) {
        uint32_t layer = out[edges[i].from].layer + 1;
        has_source[edges[i].to] = 1;
        if (out[edges[i].to].layer < layer) {
            out[edges[i].to].layer = layer;
        }
    }
    for (size_t i = 0; i < n_edges; i++) {
        uint32_t layer = out[edges[i].to].layer;
        uint32_t *nearest = &next[edges[i].from];
        *nearest = *nearest == 0 || layer + 1 < *nearest ? layer + 1 : *nearest;
    }
    uint32_t n_layers = 0;
    for (size_t i = 0; i < n; i++) {
        if (!has_source[i] && next[i] >= 2) {
            out[i].layer = next[i] - 2;
        }
        n_layers = out[i].layer + 1 > n_layers ? out[i].layer + 1 : n_layers;
    }
    return n_layers;
}

/* The neighbours of each node on one side: those of node i are at[first[i]] to at[first[i + 1]]. */
struct side {
    uint32_t *first;
    uint32_t *at;
};

static struct side make_side(
    size_t n, const struct flow_edge *edges, size_t n_edges, bool is_before)
{
    struct side side = {baro_xcalloc(n + 2, sizeof *side.first),
        baro_xcalloc(n_edges + 1, sizeof *side.at)};
    for (size_t i = 0; i < n_edges; i++) {
        side.first[(is_before ? edges[i].to : edges[i].from) + 2]++;
    }
    for (size_t i = 0; i < n; i++) {
        side.first[i + 2] += side.first[i + 1];
    }
    for (size_t i = 0; i < n_edges; i++) {
        uint32_t of = is_before ? edges[i].to : edges[i].from;
        side.at[side.first[of + 1]++] = is_before ? edges[i].from : edges[i].to;
    }
    return side;
}

static void free_side(struct side *side)
{
    free(side->first);
    free(side->at);
}

/* Sort one layer, nodes[0] to nodes[n - 1], by the mean row of its neighbours on one side. */
static void sort_layer(
    struct node *nodes, size_t n, const struct side *side, struct flow_place *places)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t at = nodes[i].at;
        uint32_t first = side->first[at];
        uint32_t end = side->first[at + 1];
        double sum = 0;
        for (uint32_t k = first; k < end; k++) {
            sum += places[side->at[k]].row;
        }
        nodes[i].row = end > first ? sum / (end - first) : (double)places[at].row;
    }
    qsort(nodes, n, sizeof *nodes, by_row);
    for (size_t i = 0; i < n; i++) {
        places[nodes[i].at].row = (uint32_t)i;
    }
}

/* Where each layer's nodes begin among all, sorted by layer; n_layers + 1 places. */
static uint32_t *find_begins(const struct node *nodes, size_t n, uint32_t n_layers)
{
    uint32_t *begins = baro_xcalloc(n_layers + 1, sizeof *begins);
    for (size_t i = 0; i < n; i++) {
        begins[nodes[i].layer + 1] = (uint32_t)i + 1;
    }
    return begins;
}

static void find_rows(size_t n, const struct flow_edge *edges, size_t n_edges,
    uint32_t n_layers, struct flow_place *out)
{
    baro_autofree struct node *nodes = baro_xcalloc(n, sizeof *nodes);
    for (size_t i = 0; i < n; i++) {
        nodes[i] = (struct node){(uint32_t)i, out[i].layer, 0};
    }
    qsort(nodes, n, sizeof *nodes, by_row);
    baro_autofree uint32_t *begins = find_begins(nodes, n, n_layers);
    for (size_t i = 0; i < n; i++) {
        out[nodes[i].at].row = (uint32_t)i - begins[nodes[i].layer];
    }
    struct side before = make_side(n, edges, n_edges, true);
    struct side after = make_side(n, edges, n_edges, false);
    for (int sweep = 0; sweep < N_SWEEPS; sweep++) {
        bool is_forth = sweep % 2 == 0;
        for (uint32_t k = 0; k < n_layers; k++) {
            uint32_t layer = is_forth ? k : n_layers - 1 - k;
            sort_layer(nodes + begins[layer], begins[layer + 1] - begins[layer],
                is_forth ? &before : &after, out);
        }
    }
    free_side(&before);
    free_side(&after);
}

uint32_t flow_place(
    size_t n, const struct flow_edge *edges, size_t n_edges, struct flow_place *out)
{
    if (n == 0) {
        return 0;
    }
    baro_autofree struct flow_edge *kept = baro_xcalloc(n_edges + 1, sizeof *kept);
    size_t n_kept = keep_forward(n, edges, n_edges, kept);
    for (size_t i = 0; i < n; i++) {
        out[i] = (struct flow_place){0};
    }
    uint32_t n_layers = find_layers(n, kept, n_kept, out);
    find_rows(n, kept, n_kept, n_layers, out);
    return n_layers;
}
