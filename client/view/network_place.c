/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/view/network.h"
#include "client/view/words.h"
#include "lib/base/mem.h"

/*
 * Where boxes stand and how they are connected. Edges are found in the recorded operations of a
 * step; these may be a hundred thousand, so what was found is kept until another step's are there
 * or other boxes. Without recorded operations the boxes stand in the order in which they first ran.
 */

static const float MIN_BOX_W = 172;
static const float MAX_BOX_W = 280;
static const float MIN_BOX_H = 96;
static const float MAX_BOX_H = 150;
static const float ASIDE_H = 14; /* above boxes without edges: what they are */

/* What was found for the boxes of the last frame. */
struct network_cache {
    const struct model_probe *probe; /* a reference */
    uint64_t key;                    /* stands for the boxes */
    size_t n;
    struct graph graph;
    uint32_t *index; /* of the graph's places among the sorted boxes */
};

void network_cache_destroy(struct network_cache *cache)
{
    if (cache != NULL) {
        part_unref(cache->probe);
        graph_finish(&cache->graph);
        free(cache->index);
        free(cache);
    }
}

const struct probe *network_probe(const struct frame *f)
{
    const struct model_graph *graph =
        f->model->run == f->view->run ? f->model->graph : NULL;
    return graph != NULL && graph->probe != NULL ? graph->probe->probe : NULL;
}

int32_t network_place_of_op(const struct frame *f, uint32_t op)
{
    const struct network_cache *cache = f->view->network_cache;
    int32_t place = cache != NULL && cache->graph.place_of_op != NULL
                        ? cache->graph.place_of_op[op]
                        : GRAPH_NOWHERE;
    return place != GRAPH_NOWHERE ? (int32_t)cache->index[place] : place;
}

/* ---- edges ---- */

/* In the order in which they ran: all that is known without a graph. */
static void chain_boxes(struct network *net)
{
    for (size_t i = 1; i < net->n && net->n_edges < NETWORK_MAX_EDGES; i++) {
        net->edges[net->n_edges++] = (struct flow_edge){(uint32_t)i - 1, (uint32_t)i};
    }
}

static uint64_t hash_boxes(const struct network *net)
{
    uint64_t hash = net->n + 1;
    for (size_t i = 0; i < net->n; i++) {
        hash = draw_hash(hash + (net->boxes[i].is_folded ? 1 : 0), net->boxes[i].path,
            net->boxes[i].path_n);
    }
    return hash;
}

/* The graph for these boxes, found anew only when they or the probe are others. */
static struct network_cache *find_graph(struct frame *f, const struct network *net)
{
    struct view *view = f->view;
    const struct model_probe *probe = f->model->graph->probe;
    uint64_t key = hash_boxes(net);
    if (view->network_cache != NULL && view->network_cache->probe == probe &&
        view->network_cache->key == key) {
        return view->network_cache;
    }
    network_cache_destroy(view->network_cache);
    struct network_cache *cache = baro_xcalloc(1, sizeof *cache);
    struct graph_place *places = baro_xcalloc(net->n + 1, sizeof *places);
    for (size_t i = 0; i < net->n; i++) {
        const struct network_box *box = &net->boxes[i];
        places[i] = (struct graph_place){
            box->path, box->path_n, box->has_children && !box->is_folded};
    }
    cache->probe = part_ref(probe);
    cache->key = key;
    cache->n = net->n;
    cache->index = baro_xcalloc(net->n + 1, sizeof *cache->index);
    graph_find(&cache->graph, probe->probe, places, net->n);
    free(places);
    view->network_cache = cache;
    return cache;
}

/* Sort the boxes as their operations ran; those that have none: what goes in first, the rest where
 * they were. index: their new places. */
static void sort_by_graph(struct frame *f, struct network *net, struct network_cache *cache)
{
    const struct tree *tree = f->view->tree;
    struct network_box *sorted = draw_scratch(f->list, (net->n + 1) * sizeof *sorted);
    uint32_t *from = draw_scratch(f->list, (net->n + 1) * sizeof *from);
    if (sorted == NULL || from == NULL) {
        return;
    }
    uint32_t last = 0; /* operations before a box that has none */
    for (uint32_t i = 0; i < net->n; i++) {
        struct network_box box = net->boxes[i];
        bool is_input = tree->nodes[box.node].roles[BARO_INPUT] != 0 &&
                        tree->nodes[box.node].roles[BARO_ACT] == 0;
        box.n_ops = cache->graph.n_ops[i];
        last = box.n_ops > 0 ? cache->graph.first_op[i] + 1 : is_input ? 0 : last;
        box.order = last;
        uint32_t at = i;
        while (at > 0 && sorted[at - 1].order > box.order) {
            sorted[at] = sorted[at - 1];
            from[at] = from[at - 1];
            at--;
        }
        sorted[at] = box;
        from[at] = i;
    }
    for (uint32_t i = 0; i < net->n; i++) {
        net->boxes[i] = sorted[i];
        net->boxes[i].order = i;
        cache->index[from[i]] = i;
    }
}

static void add_edge(struct network *net, uint32_t from, uint32_t to)
{
    if (net->n_edges < NETWORK_MAX_EDGES && from != to) {
        net->edges[net->n_edges++] = (struct flow_edge){from, to};
    }
}

/* The loss, as a box after all others. */
static uint32_t add_loss(struct frame *f, struct network *net)
{
    const struct model_thing *loss = NULL;
    for (size_t i = 0; i < f->model->things->n && loss == NULL; i++) {
        const struct model_thing *thing = &f->model->things->at[i];
        loss = !thing->is_tensor && words_is_loss(thing) ? thing : NULL;
    }
    uint32_t at = (uint32_t)net->n++;
    net->boxes[at] = (struct network_box){.is_loss = true,
        .path = "loss",
        .path_n = 4,
        .thing = loss,
        .order = UINT32_MAX,
        .has_origin = f->origin != NULL && loss != NULL && f->origin->thing == loss->thing};
    return at;
}

void network_connect(struct frame *f, struct network *net)
{
    const struct probe *probe = network_probe(f);
    if (probe == NULL || net->n == 0) {
        chain_boxes(net);
        return;
    }
    struct network_cache *cache = find_graph(f, net);
    const struct tree *tree = f->view->tree;
    sort_by_graph(f, net, cache);
    net->has_graph = true;
    for (size_t i = 0; i < cache->graph.n_edges; i++) {
        add_edge(net, cache->index[cache->graph.edges[i].from],
            cache->index[cache->graph.edges[i].to]);
    }
    uint32_t n_modules = (uint32_t)net->n;
    for (uint32_t in = 0; in < n_modules; in++) {
        const struct tree_node *node = &tree->nodes[net->boxes[in].node];
        bool is_input = node->roles[BARO_INPUT] != 0 && net->boxes[in].n_ops == 0;
        for (uint32_t i = 0; is_input && i < n_modules; i++) {
            if (cache->graph.has_input[i] != 0) {
                add_edge(net, in, cache->index[i]);
            }
        }
    }
    if (probe->loss != PROBE_NONE) {
        uint32_t loss = add_loss(f, net);
        for (uint32_t i = 0; i < n_modules; i++) {
            if (cache->graph.has_loss[i] != 0) {
                add_edge(net, cache->index[i], loss);
            }
        }
    }
}

/* ---- places ---- */

/* Lines of boxes, and how many rows each has. */
struct lines {
    uint32_t per_line, n;
    uint32_t n_connected; /* lines; below them boxes without edges, side by side */
    uint32_t n_rows[NETWORK_MAX_BOXES + 1];
    uint32_t n_all; /* rows of all */
};

/* Take the boxes that have edges, in their order: where they lie in the flow. Gives how many layers
 * that has; is_aside: the others. */
static uint32_t place_connected(
    struct network *net, struct flow_place *places, bool *is_aside)
{
    struct flow_edge edges[NETWORK_MAX_EDGES];
    uint32_t at[NETWORK_MAX_BOXES + 1];
    struct flow_place found[NETWORK_MAX_BOXES + 1];
    uint32_t n = 0;
    for (size_t i = 0; i < net->n; i++) {
        is_aside[i] = net->n_edges > 0;
    }
    for (size_t i = 0; i < net->n_edges; i++) {
        is_aside[net->edges[i].from] = is_aside[net->edges[i].to] = false;
    }
    for (size_t i = 0; i < net->n; i++) {
        at[i] = n;
        n += is_aside[i] ? 0 : 1;
    }
    for (size_t i = 0; i < net->n_edges; i++) {
        edges[i] = (struct flow_edge){at[net->edges[i].from], at[net->edges[i].to]};
    }
    uint32_t n_layers = flow_place(n, edges, net->n_edges, found);
    for (size_t i = 0; i < net->n; i++) {
        places[i] = is_aside[i] ? (struct flow_place){0} : found[at[i]];
    }
    return n_layers;
}

static struct lines count_lines(struct network *net, float w)
{
    struct flow_place places[NETWORK_MAX_BOXES + 1];
    bool is_aside[NETWORK_MAX_BOXES + 1];
    uint32_t n_layers = place_connected(net, places, is_aside);
    struct lines lines = {
        .per_line =
            (uint32_t)fmaxf(floorf((w + NETWORK_GAP_X) / (MIN_BOX_W + NETWORK_GAP_X)), 1)};
    lines.n = n_layers > 0 ? (n_layers - 1) / lines.per_line + 1 : 0;
    lines.n_connected = lines.n;
    uint32_t n_aside = 0;
    for (size_t i = 0; i < net->n; i++) {
        if (is_aside[i]) {
            places[i].layer = lines.n_connected * lines.per_line + n_aside++;
        }
    }
    lines.n += (n_aside + lines.per_line - 1) / lines.per_line;
    n_layers = n_aside > n_layers ? n_aside : n_layers;
    for (size_t i = 0; i < net->n; i++) {
        uint32_t *n_rows = &lines.n_rows[places[i].layer / lines.per_line];
        net->boxes[i].place = places[i];
        *n_rows = places[i].row + 1 > *n_rows ? places[i].row + 1 : *n_rows;
    }
    for (uint32_t i = 0; i < lines.n; i++) {
        lines.n_all += lines.n_rows[i];
    }
    uint32_t n_columns = n_layers < lines.per_line ? n_layers : lines.per_line;
    net->box_w =
        (w + NETWORK_GAP_X) / (float)(n_columns > 0 ? n_columns : 1) - NETWORK_GAP_X;
    net->box_w = floorf(fminf(net->box_w, MAX_BOX_W));
    return lines;
}

/* Give each box its rectangle, in the width of area and, where they can, its height; returns the
 * height of all. */
float network_place(struct network *net, struct draw_rect area)
{
    struct lines lines = count_lines(net, area.w);
    float gaps = NETWORK_BAND_GAP * (float)(lines.n > 0 ? lines.n - 1 : 0) +
                 NETWORK_GAP_Y * (float)(lines.n_all - lines.n);
    float h = lines.n_all > 0 ? (area.h - gaps) / (float)lines.n_all : 0;
    net->box_h = floorf(fminf(fmaxf(h, MIN_BOX_H), MAX_BOX_H));
    float y = area.y;
    net->aside_y = 0;
    for (uint32_t line = 0; line < lines.n; line++) {
        if (line == lines.n_connected && line > 0) {
            y += ASIDE_H;
            net->aside_y = y - 10;
        }
        for (size_t i = 0; i < net->n; i++) {
            struct network_box *box = &net->boxes[i];
            if (box->place.layer / lines.per_line == line) {
                float column = (float)(box->place.layer % lines.per_line);
                box->rect =
                    (struct draw_rect){area.x + column * (net->box_w + NETWORK_GAP_X),
                        y + (float)box->place.row * (net->box_h + NETWORK_GAP_Y),
                        net->box_w, net->box_h};
            }
        }
        y += (float)lines.n_rows[line] * (net->box_h + NETWORK_GAP_Y) - NETWORK_GAP_Y +
             NETWORK_BAND_GAP;
    }
    return y - area.y - NETWORK_BAND_GAP;
}

/* ---- edges ---- */

/* Top of the line in which a box stands. */
static float line_top(const struct network_box *box)
{
    return box->rect.y - (float)box->place.row * (box->rect.h + NETWORK_GAP_Y);
}

/* From the right side of a box to the left side of the next; to one further on up or down in the gap
 * beside the box, along above the other's line, and down in the gap before it. Ways of several boxes
 * lie beside each other. */
void network_draw_edge(struct frame *f, const struct network_box *from,
    const struct network_box *to, bool is_near)
{
    draw_color color = is_near ? f->theme->accent : draw_fade(f->theme->secondary, 0.7F);
    float width = is_near ? THEME_LINE_SELECTED : THEME_LINE;
    struct draw_point a = {from->rect.x + from->rect.w, from->rect.y + from->rect.h / 2};
    struct draw_point b = {to->rect.x, to->rect.y + to->rect.h / 2};
    if (b.x > a.x && to->place.layer == from->place.layer + 1) {
        draw_curve(f->list, a, b, width, color);
    } else {
        float aside = (float)(from->place.layer % 3) + 3 * (float)(from->place.row % 3);
        float y = line_top(to) - 7 - 1.75F * aside;
        float x = a.x + 7 + 1.75F * aside;
        struct draw_point way[] = {a, {x, a.y}, {x, y}, {b.x - 11, y}, {b.x - 11, b.y}, b};
        draw_polyline(f->list, way, BARO_LEN(way), width, color);
    }
    struct draw_point head[] = {
        {b.x - 5, b.y - 3.5F}, {b.x - 0.5F, b.y}, {b.x - 5, b.y + 3.5F}};
    draw_polyline(f->list, head, 3, width, color);
}
