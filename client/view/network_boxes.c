/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "client/view/network.h"

/* Which boxes there are: modules, unless they are folded into one that holds them. */

static bool is_phase(const struct tree_node *node)
{
    return memchr(node->path, '/', node->path_n) != NULL;
}

/* A leaf that is a parameter, an optimiser's state or the like: part of its module's box. */
static bool is_part(const struct tree *tree, size_t at)
{
    const struct tree_node *node = &tree->nodes[at];
    return node->end == at + 1 && node->roles[BARO_ACT] == 0 &&
           node->roles[BARO_ACT_GRAD] == 0 && node->roles[BARO_INPUT] == 0;
}

static bool has_own(const struct tree *tree, size_t at)
{
    const struct tree_node *node = &tree->nodes[at];
    if (node->roles[BARO_ACT] != 0 || node->roles[BARO_ACT_GRAD] != 0 ||
        node->roles[BARO_INPUT] != 0) {
        return true;
    }
    for (size_t i = at + 1; i < node->end; i = tree->nodes[i].end) {
        if (is_part(tree, i)) {
            return true;
        }
    }
    return false;
}

static bool has_modules(const struct tree *tree, size_t at)
{
    const struct tree_node *node = &tree->nodes[at];
    for (size_t i = at + 1; i < node->end; i = tree->nodes[i].end) {
        if (!is_part(tree, i)) {
            return true;
        }
    }
    return false;
}

static bool is_worse(const struct model_thing *thing, const struct model_thing *than)
{
    return than == NULL || thing->worst_level > than->worst_level;
}

/* Of a box the thing in a role: its own before its parameters', of folded ones the gravest. */
const struct model_thing *network_thing(
    const struct frame *f, const struct network_box *box, enum baro_role role)
{
    const struct tree *tree = f->view->tree;
    const struct model_thing *found = NULL;
    if (box->is_loss) {
        return box->thing;
    }
    size_t end = tree->nodes[box->node].end;
    for (size_t i = box->node; i < end; i++) {
        if (i > box->node && !box->is_folded && !is_part(tree, i)) {
            i = tree->nodes[i].end - 1;
            continue;
        }
        uint32_t id = tree->nodes[i].roles[role];
        const struct model_thing *thing = id != 0 ? model_thing_find(f->model, id) : NULL;
        if (thing != NULL && is_worse(thing, found)) {
            found = thing;
        }
    }
    return found;
}

/* When a box first ran: the lowest number of its outputs, else of anything in it. */
static uint32_t order_of(const struct tree *tree, const struct network_box *box)
{
    uint32_t outputs = UINT32_MAX;
    uint32_t all = UINT32_MAX;
    size_t end = box->is_folded ? tree->nodes[box->node].end : box->node + 1;
    for (size_t i = box->node;
         i < end || (i < tree->nodes[box->node].end && is_part(tree, i)); i++) {
        for (int role = 1; role < BARO_ROLE_END; role++) {
            uint32_t id = tree->nodes[i].roles[role];
            if (id != 0 && id < all) {
                all = id;
            }
            if (id != 0 && id < outputs && (role == BARO_ACT || role == BARO_INPUT)) {
                outputs = id;
            }
        }
    }
    return outputs != UINT32_MAX ? outputs : all;
}

static bool holds_origin(const struct frame *f, const struct network_box *box)
{
    const struct tree *tree = f->view->tree;
    for (size_t i = box->node; f->origin != NULL && i < tree->nodes[box->node].end; i++) {
        if (i > box->node && !box->is_folded && !is_part(tree, i)) {
            i = tree->nodes[i].end - 1;
            continue;
        }
        for (int role = 1; role < BARO_ROLE_END; role++) {
            if (tree->nodes[i].roles[role] == f->origin->thing) {
                return true;
            }
        }
    }
    return false;
}

static void sort_boxes(struct network_box *boxes, size_t n)
{
    for (size_t i = 1; i < n; i++) { /* nearly sorted already: the tree is in that order */
        struct network_box box = boxes[i];
        size_t at = i;
        while (at > 0 && boxes[at - 1].order > box.order) {
            boxes[at] = boxes[at - 1];
            at--;
        }
        boxes[at] = box;
    }
}

/* ---- folding ---- */

/* Folds of this page are its own: what is folded in the module tree beside it stays as it is. */
static bool is_folded(const struct view *view, const struct tree_node *node, int depth)
{
    return (node->depth >= depth) != view_is_toggled(view, node, VIEW_FOLDS_NETWORK);
}

/* Ranks run the same module: one box for all of them, and one for a rank that has trouble. */
static bool is_copy(const struct tree_node *node)
{
    return node->is_copy && node->level < BARO_WATCH;
}

/* Go over the boxes that there are when all from a depth on is folded; f NULL: count them only. */
static size_t each_box(
    struct frame *f, const struct tree *tree, int depth, struct network *net)
{
    size_t n = 0;
    for (size_t i = 0; i < tree->n;) {
        const struct tree_node *node = &tree->nodes[i];
        bool has_children = has_modules(tree, i);
        bool is_shut = has_children &&
                       (f != NULL ? is_folded(f->view, node, depth) : node->depth >= depth);
        if (is_phase(node) || is_copy(node)) {
            i = node->end;
            continue;
        }
        if (is_shut || has_own(tree, i)) {
            n++;
            if (f != NULL && net->n < NETWORK_MAX_BOXES) {
                struct network_box *box = &net->boxes[net->n++];
                *box = (struct network_box){.node = i,
                    .path = node->path,
                    .path_n = node->path_n,
                    .is_folded = is_shut,
                    .has_children = has_children};
                box->order = order_of(tree, box);
                box->has_origin = holds_origin(f, box);
            }
        }
        i = is_shut || is_part(tree, i) ? node->end : i + 1;
        while (i < tree->n && i > 0 && is_part(tree, i) && tree->nodes[i].depth > 0) {
            i = tree->nodes[i].end; /* parameters are in their module's box */
        }
    }
    return n;
}

/* The depth from which on modules are folded at first, so that not too many boxes stand there. */
static int first_depth(struct view *view)
{
    if (view->net_depth_of != view->tree_of) {
        int depth = TREE_MAX_DEPTH;
        while (depth > 0 && each_box(NULL, view->tree, depth, NULL) > NETWORK_MANY_BOXES) {
            depth--;
        }
        size_t n = each_box(NULL, view->tree, depth, NULL);
        while (n < NETWORK_FEW_BOXES && depth < TREE_MAX_DEPTH &&
               each_box(NULL, view->tree, depth + 1, NULL) <= NETWORK_MAX_BOXES) {
            n = each_box(NULL, view->tree, ++depth, NULL); /* a box alone tells nothing */
        }
        view->net_depth = depth;
        view->net_depth_of = view->tree_of;
    }
    return view->net_depth;
}

void network_gather(struct frame *f, struct network *net)
{
    net->boxes = draw_scratch(f->list, (NETWORK_MAX_BOXES + 1) * sizeof *net->boxes);
    if (net->boxes == NULL) {
        return;
    }
    size_t n = each_box(f, f->view->tree, first_depth(f->view), net);
    net->n_cut = n - net->n;
    sort_boxes(net->boxes, net->n);
}
