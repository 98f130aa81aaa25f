/* SPDX-License-Identifier: Apache-2.0 */
#include "client/view/why_sketch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/*
 * Shares below a fiftieth, and what lies further upstream than there is room for, are left out; a
 * box knows how much of it is not shown. Operations of one module that only pass a share on, one to
 * the next, are one box.
 */

static const double LEAST = 0.02; /* of the whole: less is not shown */
static const float BOX_W = 152;
static const float FLOW_W = 62;

/* ---- which ---- */

static size_t find_node(const struct why_sketch *sketch, int32_t op, int32_t value)
{
    size_t i = 0;
    while (i < sketch->n && (sketch->nodes[i].op != op ||
                                (op == PROBE_NONE && sketch->nodes[i].value != value))) {
        i++;
    }
    return i;
}

static const struct credit_node *credit_of(const struct model_credit *credit, int32_t op)
{
    for (size_t i = 0; i < credit->n_nodes; i++) {
        if (credit->nodes[i].op == op) {
            return &credit->nodes[i];
        }
    }
    return NULL;
}

static int later_first(const void *a, const void *b)
{
    const struct why_node *x = a;
    const struct why_node *y = b;
    if (x->op != y->op) {
        return x->op > y->op ? -1 : 1;
    }
    return (x->value > y->value) - (x->value < y->value);
}

/* In gradient mode shares go the other way. */
static int earlier_first(const void *a, const void *b)
{
    const struct why_node *x = a;
    const struct why_node *y = b;
    if (x->op != y->op) {
        const bool is_x_last = x->op == PROBE_NONE;
        const bool is_y_last = y->op == PROBE_NONE;
        return is_x_last != is_y_last ? (is_x_last ? 1 : -1) : x->op > y->op ? 1 : -1;
    }
    return (x->value > y->value) - (x->value < y->value);
}

/* Nodes that an edge of some share leads to, what broke first, then against the order of running
 * (of a gradient with it); so each edge leads from a lower to a higher number. */
static void gather_nodes(struct why_sketch *sketch)
{
    const struct model_credit *credit = sketch->credit;
    for (size_t i = 0; i < credit->n_edges; i++) {
        const struct credit_edge *edge = &credit->edges[i];
        size_t at = find_node(sketch, edge->to, edge->value);
        if (edge->size < LEAST || (at == sketch->n && sketch->n == WHY_MAX_NODES)) {
            continue;
        }
        if (at == sketch->n) {
            sketch->nodes[sketch->n++] = (struct why_node){.op = edge->to,
                .value = edge->value,
                .credit = edge->to != PROBE_NONE ? credit_of(credit, edge->to) : NULL};
        }
        sketch->nodes[at].share += edge->share;
    }
    qsort(sketch->nodes, sketch->n, sizeof sketch->nodes[0],
        credit->mode == CREDIT_GRADIENT ? earlier_first : later_first);
}

static void gather_flows(struct why_sketch *sketch)
{
    const struct model_credit *credit = sketch->credit;
    for (size_t i = 0; i < credit->n_edges; i++) {
        const struct credit_edge *edge = &credit->edges[i];
        size_t from = edge->from != PROBE_NONE ? find_node(sketch, edge->from, PROBE_NONE)
                                               : sketch->n;
        size_t to = find_node(sketch, edge->to, edge->value);
        if (from == sketch->n || to == from) {
            continue;
        }
        if (to == sketch->n) {
            sketch->nodes[from].gone += edge->share;
            continue;
        }
        size_t at = 0;
        while (at < sketch->n_flows &&
               (sketch->flows[at].from != from || sketch->flows[at].to != to)) {
            at++;
        }
        if (at == sketch->n_flows && at < WHY_MAX_FLOWS) {
            sketch->flows[sketch->n_flows++] =
                (struct why_flow){.from = (uint32_t)from, .to = (uint32_t)to};
        }
        if (at < WHY_MAX_FLOWS) {
            sketch->flows[at].share += edge->share;
        }
    }
}

/* ---- which are one ---- */

/* The only flow that leaves a node upstream, or comes to it from downstream; NULL: none or several.
 */
static struct why_flow *only_flow(
    struct why_sketch *sketch, uint32_t node, bool is_upstream)
{
    struct why_flow *found = NULL;
    for (size_t i = 0; i < sketch->n_flows; i++) {
        struct why_flow *flow = &sketch->flows[i];
        if ((is_upstream ? flow->from : flow->to) == node) {
            if (found != NULL) {
                return NULL;
            }
            found = flow;
        }
    }
    return found;
}

static bool has_own(const struct why_node *node)
{
    double most = fabs(node->gone) >= 0.02 ? 1 : 0;
    for (int i = 0; node->credit != NULL && i < CREDIT_OWN_COUNT; i++) {
        most = fmax(most, fabs(node->credit->own[i]));
    }
    return most >= 0.01;
}

/* Take what a node takes alone, and that goes nowhere else, into it. */
static bool merge(struct why_sketch *sketch, uint32_t at)
{
    struct why_node *node = &sketch->nodes[at];
    struct why_flow *flow = only_flow(sketch, at, true);
    if (flow == NULL || node->is_merged || node->op == PROBE_NONE || has_own(node) ||
        only_flow(sketch, flow->to, false) != flow) {
        return false;
    }
    struct why_node *other = &sketch->nodes[flow->to];
    const struct probe_op *ops = sketch->probe->ops;
    if (other->op == PROBE_NONE || node->n_ops + other->n_ops > WHY_MAX_MERGED ||
        strcmp(ops[node->op].module, ops[other->op].module) != 0) {
        return false;
    }
    uint32_t gone = flow->to;
    memcpy(
        &node->ops[node->n_ops], other->ops, (size_t)other->n_ops * sizeof other->ops[0]);
    node->n_ops += other->n_ops;
    node->credit = other->credit;
    node->gone = other->gone;
    other->is_merged = true;
    *flow = sketch->flows[--sketch->n_flows];
    for (size_t i = 0; i < sketch->n_flows; i++) {
        if (sketch->flows[i].from == gone) {
            sketch->flows[i].from = at;
        }
    }
    return true;
}

static void merge_all(struct why_sketch *sketch)
{
    for (size_t i = 0; i < sketch->n; i++) {
        sketch->nodes[i].ops[0] = sketch->nodes[i].op;
        sketch->nodes[i].n_ops = sketch->nodes[i].op != PROBE_NONE ? 1 : 0;
    }
    for (uint32_t i = 0; i < sketch->n; i++) {
        while (merge(sketch, i)) {
        }
    }
    uint32_t to[WHY_MAX_NODES];
    uint32_t n = 0;
    for (uint32_t i = 0; i < sketch->n; i++) {
        to[i] = n;
        if (!sketch->nodes[i].is_merged) {
            sketch->nodes[n++] = sketch->nodes[i];
        }
    }
    for (size_t i = 0; i < sketch->n_flows; i++) {
        sketch->flows[i].from = to[sketch->flows[i].from];
        sketch->flows[i].to = to[sketch->flows[i].to];
    }
    sketch->n = n;
}

/* ---- where ---- */

/* Layers from what broke on; those for which there is no room go. */
static void place(struct why_sketch *sketch, float w)
{
    struct flow_edge edges[WHY_MAX_FLOWS];
    struct flow_place places[WHY_MAX_NODES];
    for (size_t i = 0; i < sketch->n_flows; i++) {
        edges[i] = (struct flow_edge){sketch->flows[i].from, sketch->flows[i].to};
    }
    uint32_t n_layers = flow_place(sketch->n, edges, sketch->n_flows, places);
    uint32_t n_fit = (uint32_t)fmaxf(floorf((w + FLOW_W) / (BOX_W + FLOW_W)), 2);
    sketch->n_layers = n_layers < n_fit ? n_layers : n_fit;
    for (size_t i = 0; i < sketch->n; i++) {
        sketch->nodes[i].place = places[i];
        if (places[i].layer < sketch->n_layers && places[i].row + 1 > sketch->n_rows) {
            sketch->n_rows = places[i].row + 1;
        }
    }
}

bool why_sketch_shows(const struct why_sketch *sketch, size_t node)
{
    return sketch->nodes[node].place.layer < sketch->n_layers;
}

static void set_rects(struct why_sketch *sketch, struct draw_rect rect)
{
    float gap = sketch->n_layers > 1 ? fminf((rect.w - BOX_W * (float)sketch->n_layers) /
                                                 (float)(sketch->n_layers - 1),
                                           FLOW_W * 2.2F)
                                     : 0;
    float all_w = BOX_W * (float)sketch->n_layers + gap * (float)(sketch->n_layers - 1);
    for (size_t i = 0; i < sketch->n; i++) {
        struct why_node *node = &sketch->nodes[i];
        float column = (float)(sketch->n_layers - 1) - (float)node->place.layer;
        node->rect = (struct draw_rect){
            rect.x + fminf(all_w, rect.w) - all_w + column * (BOX_W + gap),
            rect.y + (float)node->place.row * (WHY_BOX_H + WHY_ROW_GAP), BOX_W, WHY_BOX_H};
    }
    for (size_t i = 0; i < sketch->n_flows; i++) {
        const struct why_flow *flow = &sketch->flows[i];
        if (why_sketch_shows(sketch, flow->from) && !why_sketch_shows(sketch, flow->to)) {
            sketch->nodes[flow->from].gone += flow->share;
        }
    }
}

bool why_sketch_make(struct why_sketch *out, const struct probe *probe,
    const struct model_credit *credit, struct draw_rect rect)
{
    *out = (struct why_sketch){.probe = probe, .credit = credit};
    gather_nodes(out);
    if (out->n == 0) {
        return false;
    }
    gather_flows(out);
    merge_all(out);
    place(out, rect.w);
    set_rects(out, rect);
    return true;
}
