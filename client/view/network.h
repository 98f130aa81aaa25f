/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the network page share: boxes, where they stand, how they are connected. */
#ifndef CLIENT_VIEW_NETWORK_H
#define CLIENT_VIEW_NETWORK_H

#include "client/model/flow.h"
#include "client/model/graph.h"
#include "client/view/form.h"
#include "client/view/inside.h"

enum {
    NETWORK_MAX_BOXES = 400,
    NETWORK_MAX_EDGES = 2000,
    NETWORK_MANY_BOXES = 40, /* more than these are folded at first */
    NETWORK_FEW_BOXES = 3 /* fewer are not folded, as long as not far too many come of it */
};

#define NETWORK_GAP_X    36.0F
#define NETWORK_GAP_Y    18.0F
#define NETWORK_BAND_GAP 30.0F /* between lines of boxes: edges run there */

/* A module, or several folded into one; or the loss. */
struct network_box {
    bool is_loss;
    size_t node; /* of the tree; not of the loss */
    const char *path;
    size_t path_n;
    const struct model_thing *thing; /* that is shown; NULL: it has none in this role */
    uint32_t order; /* when it first ran; with a graph its place among the boxes */
    uint32_t n_ops; /* known of; 0 without a graph */
    bool is_folded, has_children, has_origin;
    struct flow_place place;
    struct draw_rect rect;
    struct form_data data; /* of thing, not of the loss */
    double value;          /* at the cursor, else now; NaN: none */
};

struct network {
    struct network_box *boxes; /* n */
    size_t n;
    struct flow_edge edges[NETWORK_MAX_EDGES];
    size_t n_edges;
    bool has_graph; /* edges are those of the operations, else the order of running */
    enum baro_role role;
    size_t n_cut;       /* boxes that were too many */
    float box_w, box_h; /* of each */
    float aside_y;      /* where those begin that are not connected; 0: all are */
    float switch_x;     /* left end of the choice of roles */
    struct axis values; /* of all boxes, where they are tinted by it */
    bool has_values;
};

/** Find the boxes, in the order in which they ran as far as names tell. */
void network_gather(struct frame *f, struct network *net);

/** Of a box the thing in a role: its own before its parameters', of folded ones the gravest. */
const struct model_thing *network_thing(
    const struct frame *f, const struct network_box *box, enum baro_role role);

/** Connect the boxes, by the run's operations where they are known; adds the loss. */
void network_connect(struct frame *f, struct network *net);

/** Give each box its rectangle, in the width of area and, where they can, its height; returns the
 * height of all. */
float network_place(struct network *net, struct draw_rect area);

/** Draw the line from a box to another; is_near: it stands out. */
void network_draw_edge(struct frame *f, const struct network_box *from,
    const struct network_box *to, bool is_near);

/** The operations of the chosen box, as a list. */
void network_ops_draw(
    struct frame *f, struct draw_rect rect, const struct network_box *box);

/** The run's recorded operations; NULL: none yet. */
const struct probe *network_probe(const struct frame *f);

/** Place of an operation among the boxes' paths as network_connect() found them; or GRAPH_NOWHERE.
 */
int32_t network_place_of_op(const struct frame *f, uint32_t op);

#endif
