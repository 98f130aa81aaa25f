/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/model/flow.h"
#include "client/view/heat_row.h"
#include "client/view/inside.h"
#include "client/view/words.h"
#include "lib/base/mem.h"

/*
 * The network: a box for each module, in the direction in which data flow, left to right and then
 * on in the next line like words. In each box the norm of what was chosen (output, gradient, weight,
 * ...) over the visible steps, its history as a heat strip, and its value at the cursor, which also
 * tints the box: moved along the steps one sees a gradient die layer by layer. Modules are folded and
 * unfolded here as in the module tree.
 *
 * How modules are connected is known from a graph of the run's operations, when there is one;
 * else they stand in the order in which they first ran, and the page says so.
 */

enum { MAX_BOXES = 400, MAX_EDGES = 2000, STRIP_CELLS = 160 };

static const float MIN_BOX_W = 172;
static const float MAX_BOX_W = 280;
static const float MIN_BOX_H = 96;
static const float MAX_BOX_H = 150;
static const float GAP_X = 36;
static const float GAP_Y = 18;
static const float BAND_GAP = 30; /* between lines of boxes: edges run there */
static const float HEAD_H = 36;

/* A module, or several folded into one. */
struct box {
    size_t node;                     /* of the tree */
    const struct model_thing *thing; /* that is shown; NULL: it has none in this role */
    uint32_t order;                  /* when it first ran */
    bool is_folded, has_children, has_origin;
    struct flow_place place;
    struct draw_rect rect;
};

struct network {
    struct box *boxes; /* n */
    size_t n;
    struct flow_edge edges[MAX_EDGES];
    size_t n_edges;
    enum baro_role role;
    size_t n_cut;       /* boxes that were too many */
    float box_w, box_h; /* of each */
};

/* ---- which boxes ---- */

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
static const struct model_thing *thing_of(
    const struct frame *f, const struct box *box, enum baro_role role)
{
    const struct tree *tree = f->view->tree;
    const struct model_thing *found = NULL;
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
static uint32_t order_of(const struct tree *tree, const struct box *box)
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

static bool holds_origin(const struct frame *f, const struct box *box)
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

static void sort_boxes(struct box *boxes, size_t n)
{
    for (size_t i = 1; i < n; i++) { /* nearly sorted already: the tree is in that order */
        struct box box = boxes[i];
        size_t at = i;
        while (at > 0 && boxes[at - 1].order > box.order) {
            boxes[at] = boxes[at - 1];
            at--;
        }
        boxes[at] = box;
    }
}

static void gather_boxes(struct frame *f, struct network *net)
{
    const struct tree *tree = f->view->tree;
    net->boxes = draw_scratch(f->list, MAX_BOXES * sizeof *net->boxes);
    for (size_t i = 0; net->boxes != NULL && i < tree->n;) {
        const struct tree_node *node = &tree->nodes[i];
        bool has_children = has_modules(tree, i);
        bool is_folded = has_children && view_is_folded(f->view, node);
        if (is_phase(node)) {
            i = node->end;
            continue;
        }
        if ((is_folded || has_own(tree, i)) && net->n < MAX_BOXES) {
            struct box *box = &net->boxes[net->n++];
            *box = (struct box){
                .node = i, .is_folded = is_folded, .has_children = has_children};
            box->order = order_of(tree, box);
            box->has_origin = holds_origin(f, box);
        } else if (is_folded || has_own(tree, i)) {
            net->n_cut++;
        }
        i = is_folded || is_part(tree, i) ? node->end : i + 1;
        while (i < tree->n && i > 0 && is_part(tree, i) && tree->nodes[i].depth > 0) {
            i = tree->nodes[i].end; /* parameters are in their module's box */
        }
    }
    sort_boxes(net->boxes, net->n);
}

/* ---- where they stand ---- */

/* In the order in which they ran: all that is known without a graph. */
static void chain_boxes(struct network *net)
{
    for (size_t i = 1; i < net->n && net->n_edges < MAX_EDGES; i++) {
        net->edges[net->n_edges++] = (struct flow_edge){(uint32_t)i - 1, (uint32_t)i};
    }
}

/* Lines of boxes, and how many rows each has. */
struct lines {
    uint32_t per_line, n;
    uint32_t n_rows[MAX_BOXES];
    uint32_t n_all; /* rows of all */
};

static struct lines count_lines(struct network *net, float w)
{
    struct flow_place places[MAX_BOXES];
    uint32_t n_layers = flow_place(net->n, net->edges, net->n_edges, places);
    struct lines lines = {
        .per_line = (uint32_t)fmaxf(floorf((w + GAP_X) / (MIN_BOX_W + GAP_X)), 1)};
    lines.n = n_layers > 0 ? (n_layers - 1) / lines.per_line + 1 : 0;
    for (size_t i = 0; i < net->n; i++) {
        uint32_t *n_rows = &lines.n_rows[places[i].layer / lines.per_line];
        net->boxes[i].place = places[i];
        *n_rows = places[i].row + 1 > *n_rows ? places[i].row + 1 : *n_rows;
    }
    for (uint32_t i = 0; i < lines.n; i++) {
        lines.n_all += lines.n_rows[i];
    }
    uint32_t n_columns = n_layers < lines.per_line ? n_layers : lines.per_line;
    net->box_w = (w + GAP_X) / (float)(n_columns > 0 ? n_columns : 1) - GAP_X;
    net->box_w = floorf(fminf(net->box_w, MAX_BOX_W));
    return lines;
}

/* Give each box its rectangle, in the width of area and, where they can, its height; returns the
 * height of all. */
static float place_boxes(struct network *net, struct draw_rect area)
{
    struct lines lines = count_lines(net, area.w);
    float gaps = BAND_GAP * (float)(lines.n > 0 ? lines.n - 1 : 0) +
                 GAP_Y * (float)(lines.n_all - lines.n);
    float h = lines.n_all > 0 ? (area.h - gaps) / (float)lines.n_all : 0;
    net->box_h = floorf(fminf(fmaxf(h, MIN_BOX_H), MAX_BOX_H));
    float y = area.y;
    for (uint32_t line = 0; line < lines.n; line++) {
        for (size_t i = 0; i < net->n; i++) {
            struct box *box = &net->boxes[i];
            if (box->place.layer / lines.per_line == line) {
                float column = (float)(box->place.layer % lines.per_line);
                box->rect = (struct draw_rect){area.x + column * (net->box_w + GAP_X),
                    y + (float)box->place.row * (net->box_h + GAP_Y), net->box_w,
                    net->box_h};
            }
        }
        y += (float)lines.n_rows[line] * (net->box_h + GAP_Y) - GAP_Y + BAND_GAP;
    }
    return y - area.y - BAND_GAP;
}

/* ---- edges ---- */

/* From the right side of a box to the left side of another; around by the space between two lines
 * when that stands further down, above the boxes when others stand between. */
static void draw_edge(struct frame *f, const struct box *from, const struct box *to)
{
    draw_color color = draw_fade(f->theme->secondary, 0.7F);
    struct draw_point a = {from->rect.x + from->rect.w, from->rect.y + from->rect.h / 2};
    struct draw_point b = {to->rect.x, to->rect.y + to->rect.h / 2};
    bool is_next = to->place.layer == from->place.layer + 1;
    if (b.x > a.x && is_next) {
        draw_curve(f->list, a, b, THEME_LINE, color);
    } else if (b.x > a.x) {
        float y = fminf(from->rect.y, to->rect.y) - GAP_Y / 2;
        struct draw_point up[] = {{a.x, a.y}, {a.x + GAP_X / 3, a.y}, {a.x + GAP_X / 3, y},
            {b.x - GAP_X / 3, y}, {b.x - GAP_X / 3, b.y}, {b.x, b.y}};
        draw_polyline(f->list, up, BARO_LEN(up), THEME_LINE, color);
    } else {
        float y = to->rect.y - (float)to->place.row * (to->rect.h + GAP_Y) - BAND_GAP / 2;
        struct draw_point round[] = {{a.x, a.y}, {a.x + GAP_X / 3, a.y},
            {a.x + GAP_X / 3, y}, {b.x - GAP_X / 3, y}, {b.x - GAP_X / 3, b.y}, {b.x, b.y}};
        draw_polyline(f->list, round, BARO_LEN(round), THEME_LINE, color);
    }
    struct draw_point head[] = {
        {b.x - 5, b.y - 3.5F}, {b.x - 0.5F, b.y}, {b.x - 5, b.y + 3.5F}};
    draw_polyline(f->list, head, 3, THEME_LINE, color);
}

/* ---- one box ---- */

static void draw_curve_of(
    struct frame *f, struct draw_rect rect, const struct model_series *series)
{
    struct chart_line line = frame_line(f, series, 0, f->theme->secondary);
    if (line.n_columns == 0) {
        return;
    }
    struct chart chart = {
        .x = {.lo = f->view->lo, .hi = f->view->hi},
        .lines = &line,
        .n_lines = 1,
        .cursor = f->view->cursor,
        .sparkline = true,
        .y_kind = frame_is_steep(&line, 1) ? AXIS_LOG : AXIS_LINEAR,
    };
    if (chart.y_kind == AXIS_LOG) {
        frame_fit_log(&chart);
    }
    chart_draw(f->list, f->theme, rect, &chart, NULL, NULL);
}

/* The newest reading up to the cursor, else the newest that is visible; NULL: none. */
static const struct wire_column *reading_at(
    const struct view *view, const struct model_series *series)
{
    double to = isnan(view->cursor) ? view->hi : view->cursor;
    const struct wire_column *found = NULL;
    for (size_t i = 0; series != NULL && i < series->n; i++) {
        if ((double)series->columns[i].first_step > to) {
            break;
        }
        found = &series->columns[i];
    }
    return found;
}

/* How far a reading is from usual: -1 a sixteenth, 1 sixteen times; NaN: not known. */
static float deviation(const struct wire_column *reading, double usual)
{
    if (reading == NULL || isnan(usual) || !(reading->last > 0)) {
        return (float)NAN;
    }
    return (float)fmin(fmax((log2(reading->last) - usual) / 4, -1), 1);
}

/* The value, and against its usual; NaN and infinities in alarm colour. */
static void draw_value(struct frame *f, struct draw_rect row,
    const struct wire_column *reading, double usual, bool is_bad)
{
    char value[FORMAT_MAX];
    char change[FORMAT_MAX + 8] = "";
    struct draw_style style = {.role = FONT_MONO,
        .size = THEME_SIZE_AXIS,
        .color = is_bad ? f->theme->alarm : f->theme->text};
    const char *text = is_bad            ? "NaN, Inf"
                       : reading == NULL ? "–"
                                         : format_value(value, reading->last);
    (void)draw_string(f->list, row.x, row.y + 11, &style, text);
    if (!is_bad && reading != NULL && !isnan(usual) && reading->last > 0) {
        double times = reading->last / exp2(usual);
        char number[FORMAT_MAX];
        (void)snprintf(change, sizeof change, "%s%s", times < 1 ? "÷" : "×",
            format_value(number, times < 1 ? 1 / times : times));
        style.color = f->theme->secondary;
        style.align = DRAW_RIGHT;
        (void)draw_string(f->list, row.x + row.w, row.y + 11, &style, change);
    }
}

/* Whether the reading at the cursor, else the newest, holds a NaN or an infinity. */
static bool is_bad_now(struct frame *f, const struct model_thing *thing)
{
    static const enum summary_stat stats[] = {
        SUMMARY_N_NAN, SUMMARY_N_POS_INF, SUMMARY_N_NEG_INF};
    bool is_bad = false;
    for (size_t i = 0; thing->n_nonfinite > 0 && i < BARO_LEN(stats); i++) {
        struct model_ref ref = {thing->thing, READING_SUMMARY, (uint16_t)stats[i], 0};
        const struct wire_column *reading =
            reading_at(f->view, frame_series(f, ref, false));
        is_bad = is_bad || (reading != NULL && reading->last > 0);
    }
    return is_bad;
}

static void tip_of_box(struct frame *f, const struct box *box, const struct heat_row *row)
{
    char words[WORDS_MAX];
    char number[FORMAT_MAX];
    char step[FORMAT_MAX];
    const struct tree_node *node = &f->view->tree->nodes[box->node];
    frame_tip(f, box->rect.x + box->rect.w, box->rect.y);
    frame_tip_line(f, "%.*s", (int)node->path_n, node->path);
    if (box->thing == NULL) {
        frame_tip_line(f, "no readings of this kind");
        return;
    }
    struct model_ref norm = {box->thing->thing, READING_SUMMARY, SUMMARY_L2, 0};
    const struct wire_column *reading = reading_at(f->view, frame_series(f, norm, false));
    frame_tip_line(f, "%s: %s", box->thing->name, words_shape(words, box->thing));
    if (reading != NULL) {
        frame_tip_line(f, "l2 norm %s at step %s", format_exact(number, reading->last),
            format_count(step, reading->last_step));
    }
    if (!isnan(row->usual)) {
        frame_tip_line(f, "usual: %s", format_value(number, exp2(row->usual)));
    }
    if (box->is_folded) {
        frame_tip_line(f, "folded: %u tensors", node->n_tensors);
    }
}

static void draw_head(struct frame *f, const struct box *box)
{
    const struct draw_rect r = box->rect;
    const struct tree_node *node = &f->view->tree->nodes[box->node];
    char name[WORDS_MAX];
    char shape[WORDS_MAX] = "";
    float x = r.x + 10;
    frame_mark(f, frame_health(node->level), x + 3, r.y + 13);
    float right = r.x + r.w - 8;
    if (box->has_children) {
        draw_mark(f->list, box->is_folded ? DRAW_MARK_CHEVRON : DRAW_MARK_CHEVRON_DN,
            right - 4, r.y + 13, THEME_MARK, f->theme->secondary);
        right -= 18;
    }
    (void)snprintf(name, sizeof name, "%.*s",
        (int)(node->path_n < 256 ? node->path_n : 256), node->path);
    (void)frame_name(f, THEME_SIZE_TEXT, box->has_origin ? f->theme->alarm : f->theme->text,
        x + 13, r.y + 17.5F, right - x - 13, name);
    if (box->has_origin) {
        (void)snprintf(
            shape, sizeof shape, "began here, step %lld", (long long)f->origin->step);
    } else if (box->thing != NULL) {
        (void)words_shape(shape, box->thing);
    }
    (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS,
        box->has_origin ? f->theme->alarm : f->theme->secondary, x + 13, r.y + 32, r.w - 32,
        shape);
}

static void draw_box(struct frame *f, const struct box *box)
{
    const struct draw_rect r = box->rect;
    struct heat_row row = {.usual = (double)NAN};
    bool is_over = frame_is_over(f, r);
    draw_fill(f->list, r, is_over ? f->theme->raised : f->theme->panel);
    if (box->thing != NULL) {
        bool is_soft = f->origin != NULL && box->thing->worst_level < BARO_ALARM;
        row = heat_row_get(f, box->thing, is_soft, STRIP_CELLS);
        struct model_ref norm = {box->thing->thing, READING_SUMMARY, SUMMARY_L2, 0};
        const struct model_series *series = frame_series(f, norm, false);
        const struct wire_column *reading = reading_at(f->view, series);
        bool is_bad = is_bad_now(f, box->thing);
        float far = deviation(reading, row.usual);
        if (is_bad) {
            draw_fill(f->list, r, draw_fade(f->theme->alarm, 0.16F));
        } else if (!isnan(far) && fabsf(far) > 0.1F) {
            draw_fill(f->list, r, draw_fade(theme_diff(f->theme, far), 0.3F * fabsf(far)));
        }
        draw_curve_of(
            f, (struct draw_rect){r.x + 10, r.y + 38, r.w - 20, r.h - 72}, series);
        draw_value(f, (struct draw_rect){r.x + 10, r.y + r.h - 26, r.w - 20, 14}, reading,
            row.usual, is_bad);
        if (row.cells != NULL) {
            draw_cells(f->list, (struct draw_rect){r.x, r.y + r.h - 7, r.w, 7}, row.cells,
                STRIP_CELLS, 1);
        }
    }
    draw_outline(f->list, r, box->has_origin ? f->theme->alarm : f->theme->hairline);
    draw_head(f, box);
    if (box->thing != NULL) {
        frame_zone(f, r, VIEW_PICK_THING, box->thing->thing, 0);
    } else if (box->has_children) {
        frame_zone(f, r, VIEW_FOLD_NODE, 0, (int64_t)box->node);
    }
    if (box->has_children) {
        frame_zone(f, (struct draw_rect){r.x + r.w - 26, r.y, 26, 26}, VIEW_FOLD_NODE, 0,
            (int64_t)box->node);
    }
    if (is_over) {
        tip_of_box(f, box, &row);
    }
}

/* ---- the page ---- */

/* What to show: as chosen, else where the trouble began, else outputs, gradients, weights. */
static enum baro_role choose_role(
    struct frame *f, struct network *net, struct draw_rect row)
{
    const char *words[BARO_ROLE_END];
    int64_t values[BARO_ROLE_END];
    size_t n = 0;
    enum baro_role wanted = f->view->heat_role;
    const struct model_thing *origin =
        f->origin != NULL ? model_thing_find(f->model, f->origin->thing) : NULL;
    if (wanted == 0 && origin != NULL && origin->is_tensor) {
        wanted = origin->role;
    }
    enum baro_role found = 0;
    for (int role = 1; role < BARO_ROLE_END; role++) {
        bool has_any = false;
        for (size_t i = 0; i < net->n && !has_any; i++) {
            has_any = thing_of(f, &net->boxes[i], (enum baro_role)role) != NULL;
        }
        if (has_any) {
            words[n] = baro_role_name((enum baro_role)role);
            values[n++] = role;
            bool is_better = found == 0 || role == BARO_ACT;
            found = role == (int)wanted || (is_better && found != wanted)
                        ? (enum baro_role)role
                        : found;
        }
    }
    (void)frame_switch(f, row.x + row.w - 4, row.y + 20, words, values, n, (int64_t)found,
        VIEW_PICK_HEAT, true);
    return found;
}

static void draw_head_line(struct frame *f, struct network *net, struct draw_rect row)
{
    char text[WORDS_MAX];
    char at[FORMAT_MAX];
    net->role = choose_role(f, net, row);
    struct draw_rect box = frame_text(f, FONT_STRONG, THEME_SIZE_TITLE, f->theme->text,
        row.x, row.y + 20, 300, "network");
    (void)snprintf(text, sizeof text, "%zu modules in the order in which they ran · %s%s%s",
        net->n, isnan(f->view->cursor) ? "now" : "at step ",
        isnan(f->view->cursor) ? "" : format_count(at, (int64_t)f->view->cursor),
        net->n_cut > 0 ? " · more are folded away: too many boxes" : "");
    (void)frame_text(f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->secondary, box.x + box.w + 12,
        row.y + 20, row.w * 0.5F, text);
}

void network_draw(struct frame *f, struct draw_rect rect)
{
    struct draw_rect inner = draw_inset(rect, VIEW_PAD, 0);
    struct network *net = draw_scratch(f->list, sizeof *net);
    if (net == NULL) {
        return;
    }
    *net = (struct network){0};
    gather_boxes(f, net);
    if (net->n == 0) {
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->secondary, inner.x,
            inner.y + 20, inner.w,
            f->model->has_things
                ? "No module is watched: run.watch(model) records its tensors."
                : "Reading.");
        return;
    }
    chain_boxes(net);
    struct draw_rect area = {
        inner.x + 4, inner.y + HEAD_H, inner.w - 12, inner.h - HEAD_H - VIEW_PAD};
    float content_h = place_boxes(net, area);
    float scroll = frame_scroll(f, VIEW_SCROLL_PAGE, content_h + HEAD_H, rect.h);
    frame_zone(f, rect, VIEW_SCROLL, VIEW_SCROLL_PAGE, 0);
    draw_head_line(f, net, (struct draw_rect){inner.x, inner.y - scroll, inner.w, HEAD_H});
    for (size_t i = 0; i < net->n; i++) {
        struct box *box = &net->boxes[i];
        box->rect.y -= scroll;
        box->thing = thing_of(f, box, net->role);
        if (box->thing == NULL && net->role == BARO_ACT) {
            box->thing = thing_of(f, box, BARO_INPUT); /* what goes into the model */
        }
    }
    for (size_t i = 0; i < net->n_edges; i++) {
        draw_edge(f, &net->boxes[net->edges[i].from], &net->boxes[net->edges[i].to]);
    }
    for (size_t i = 0; i < net->n; i++) {
        const struct draw_rect *r = &net->boxes[i].rect;
        bool is_seen = r->y < rect.y + rect.h && r->y + r->h > rect.y;
        if (is_seen) {
            draw_box(f, &net->boxes[i]);
        }
    }
    frame_scroll_bar(f, rect, content_h + HEAD_H, scroll);
}
