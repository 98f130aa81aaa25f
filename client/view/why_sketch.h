/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of the credit of a value is drawn, and where: operations and values from outside as boxes in
 * layers back from the value, the shares between them as flows.
 */
#ifndef CLIENT_VIEW_WHY_SKETCH_H
#define CLIENT_VIEW_WHY_SKETCH_H

#include "client/draw/draw.h"
#include "client/model/flow.h"
#include "client/model/model.h"

enum { WHY_MAX_NODES = 48, WHY_MAX_FLOWS = 128, WHY_MAX_MERGED = 6 };

#define WHY_BOX_H   62.0F
#define WHY_ROW_GAP 16.0F

/* An operation, or a value from outside. */
struct why_node {
    int32_t op;    /* PROBE_NONE: from outside */
    int32_t value; /* that it gives on this way */
    double share;
    const struct credit_node
        *credit;                 /* NULL: from outside; of the last when several are one */
    int32_t ops[WHY_MAX_MERGED]; /* back from op on; those that are this box */
    int n_ops;
    bool is_merged;          /* into another */
    struct flow_place place; /* layer 0: what broke */
    struct draw_rect rect;
    double gone; /* share that goes on to what is not shown */
};

struct why_flow {
    uint32_t from, to; /* nodes: from takes what to gives */
    double share;
};

struct why_sketch {
    const struct probe *probe;
    const struct model_credit *credit;
    struct why_node nodes[WHY_MAX_NODES];
    size_t n;
    struct why_flow flows[WHY_MAX_FLOWS];
    size_t n_flows;
    uint32_t n_layers, n_rows;
};

/**
 * Choose what is drawn, and place it.
 *
 * rect     its upper left corner and width; height is n_rows of boxes and gaps
 * returns  false when there is nothing
 */
bool why_sketch_make(struct why_sketch *out, const struct probe *probe,
    const struct model_credit *credit, struct draw_rect rect);

/** Whether there is room for a node. */
bool why_sketch_shows(const struct why_sketch *sketch, size_t node);

#endif
