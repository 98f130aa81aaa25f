/* SPDX-License-Identifier: Apache-2.0 */
#include "client/model/graph.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

/*
 * Each value has a short list of the places that it came from: the one whose operation gave it, or,
 * for an operation that lies in none, those of all that it took. A list that would be longer keeps
 * its first ones: what flows through a sum of so many modules is told well enough by them.
 */

enum { MAX_ORIGINS = 6, OUTSIDE = -2, MAX_EDGES = 1 << 16 };

/* Places that a value came from; OUTSIDE among them: an input. */
struct origins {
    int32_t at[MAX_ORIGINS];
    int n;
};

struct finding {
    const struct probe *probe;
    struct graph *graph;
    struct origins *origins; /* of each value */
    const struct graph_place *places;
    size_t edge_capacity;
};

static void add_origin(struct origins *origins, int32_t place)
{
    for (int i = 0; i < origins->n; i++) {
        if (origins->at[i] == place) {
            return;
        }
    }
    if (origins->n < MAX_ORIGINS) {
        origins->at[origins->n++] = place;
    }
}

static void add_edge(struct finding *finding, uint32_t from, uint32_t to)
{
    struct graph *graph = finding->graph;
    for (size_t i = graph->n_edges; i > 0; i--) {
        const struct flow_edge *edge = &graph->edges[i - 1];
        if (edge->from == from && edge->to == to) {
            return;
        }
    }
    if (graph->n_edges == finding->edge_capacity) {
        finding->edge_capacity = finding->edge_capacity * 2 + 64;
        graph->edges =
            baro_xrealloc(graph->edges, finding->edge_capacity, sizeof *graph->edges);
    }
    if (graph->n_edges < MAX_EDGES) {
        graph->edges[graph->n_edges++] = (struct flow_edge){from, to};
    }
}

/* Whether a module lies at or below a path. */
static bool is_within(const char *module, const struct graph_place *place)
{
    return strncmp(module, place->path, place->n) == 0 &&
           (module[place->n] == '\0' || module[place->n] == '.');
}

static int32_t find_place(const char *module, const struct graph_place *places, size_t n)
{
    int32_t best = GRAPH_NOWHERE;
    for (size_t i = 0; i < n; i++) {
        if (places[i].n > 0 && is_within(module, &places[i]) &&
            (best == GRAPH_NOWHERE || places[i].n > places[best].n)) {
            best = (int32_t)i;
        }
    }
    return best;
}

static void place_ops(struct finding *finding, const struct graph_place *places, size_t n)
{
    const struct probe *probe = finding->probe;
    struct graph *graph = finding->graph;
    const char *module = NULL; /* of the operation before: mostly the same */
    int32_t place = GRAPH_NOWHERE;
    for (uint32_t i = 0; i < probe->n_ops; i++) {
        const struct probe_op *op = &probe->ops[i];
        if (module == NULL || strcmp(module, op->module) != 0) {
            module = op->module;
            place = find_place(module, places, n);
        }
        graph->place_of_op[i] = place;
        if (place != GRAPH_NOWHERE && op->phase == PROBE_FORWARD) {
            bool is_first = graph->n_ops[place] == 0;
            graph->first_op[place] =
                is_first || places[place].is_open ? i : graph->first_op[place];
            graph->n_ops[place]++;
        }
    }
}

/* What an operation takes, and what it gives has as origins. */
static void follow(struct finding *finding, uint32_t at)
{
    const struct probe *probe = finding->probe;
    const struct probe_op *op = &probe->ops[at];
    struct graph *graph = finding->graph;
    int32_t place = graph->place_of_op[at];
    if (place != GRAPH_NOWHERE && finding->places[place].is_open &&
        graph->first_op[place] != at) {
        place = GRAPH_NOWHERE;
    }
    struct origins all = {.n = 0};
    for (uint32_t i = 0; i < op->n_inputs; i++) {
        if (op->inputs[i] == PROBE_NONE) {
            continue;
        }
        const struct probe_value *value = &probe->values[op->inputs[i]];
        const struct origins *from = &finding->origins[op->inputs[i]];
        if (value->op == PROBE_NONE && value->kind == PROBE_INPUT) {
            add_origin(&all, OUTSIDE);
        }
        for (int k = 0; k < from->n; k++) {
            add_origin(&all, from->at[k]);
        }
    }
    for (int k = 0; place != GRAPH_NOWHERE && k < all.n; k++) {
        if (all.at[k] == OUTSIDE) {
            graph->has_input[place] = 1;
        } else if (all.at[k] != place) {
            add_edge(finding, (uint32_t)all.at[k], (uint32_t)place);
        }
    }
    if (place != GRAPH_NOWHERE) {
        all = (struct origins){.at = {place}, .n = 1};
    }
    for (uint32_t i = 0; i < op->n_outputs; i++) {
        if (op->outputs[i] != PROBE_NONE) {
            finding->origins[op->outputs[i]] = all;
        }
    }
}

void graph_find(struct graph *out, const struct probe *probe,
    const struct graph_place *places, size_t n)
{
    struct finding finding = {.probe = probe, .graph = out, .places = places};
    *out = (struct graph){
        .place_of_op = baro_xcalloc(probe->n_ops + 1, sizeof *out->place_of_op),
        .first_op = baro_xcalloc(n + 1, sizeof *out->first_op),
        .n_ops = baro_xcalloc(n + 1, sizeof *out->n_ops),
        .has_input = baro_xcalloc(n + 1, 1),
        .has_loss = baro_xcalloc(n + 1, 1)};
    finding.origins = baro_xcalloc(probe->n_values + 1, sizeof *finding.origins);
    for (size_t i = 0; i < n; i++) {
        out->first_op[i] = probe->n_ops;
    }
    place_ops(&finding, places, n);
    for (uint32_t i = 0; i < probe->n_ops; i++) {
        if (probe->ops[i].phase == PROBE_FORWARD) {
            follow(&finding, i);
        }
    }
    if (probe->loss != PROBE_NONE) {
        const struct origins *last = &finding.origins[probe->loss];
        for (int k = 0; k < last->n; k++) {
            if (last->at[k] >= 0) {
                out->has_loss[last->at[k]] = 1;
            }
        }
    }
    free(finding.origins);
}

void graph_finish(struct graph *graph)
{
    free(graph->place_of_op);
    free(graph->first_op);
    free(graph->n_ops);
    free(graph->has_input);
    free(graph->has_loss);
    free(graph->edges);
    *graph = (struct graph){0};
}
