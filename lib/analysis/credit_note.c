/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>

#include "lib/analysis/credit_inside.h"
#include "lib/base/mem.h"

/*
 * What was found, as it is found. Contributions are summed along the unit and the batch axis of
 * each value as they come; when nothing more can come to a value its strongest units and samples
 * compete with those of the others for the places in the finding.
 */

struct credit_node *credit_node_at(struct credit *credit, int32_t op)
{
    if (credit->node_of[op] == PROBE_NONE) {
        if (credit->n_nodes == credit->room_nodes) {
            credit->room_nodes = credit->room_nodes * 2 + 64;
            credit->nodes =
                baro_xrealloc(credit->nodes, credit->room_nodes, sizeof *credit->nodes);
        }
        credit->node_of[op] = (int32_t)credit->n_nodes;
        credit->nodes[credit->n_nodes++] = (struct credit_node){.op = op, .gain = 1};
    }
    return &credit->nodes[credit->node_of[op]];
}

struct credit_flow credit_sum(const float *x, int64_t n, double scale)
{
    enum { STRETCH = 8 };
    double share[STRETCH] = {0};
    double size[STRETCH] = {0};
    int64_t i = 0;
    for (; i + STRETCH <= n; i += STRETCH) {
        for (int j = 0; j < STRETCH; j++) {
            double e = (double)x[i + j];
            share[j] += e;
            size[j] += fabs(e);
        }
    }
    for (; i < n; i++) {
        share[0] += (double)x[i];
        size[0] += fabs((double)x[i]);
    }
    for (int j = 1; j < STRETCH; j++) {
        share[0] += share[j];
        size[0] += size[j];
    }
    return (struct credit_flow){share[0] * scale, size[0] * fabs(scale)};
}

void credit_note_edge(struct credit *credit, size_t first_edge, int32_t from, int32_t to,
    int32_t value, struct credit_flow flow)
{
    for (size_t i = first_edge; i < credit->n_edges; i++) {
        struct credit_edge *edge = &credit->edges[i];
        if (edge->value == value && edge->from == from && edge->to == to) {
            edge->share += flow.share;
            edge->size += flow.size;
            return;
        }
    }
    if (credit->n_edges == credit->room_edges) {
        credit->room_edges = credit->room_edges * 2 + 64;
        credit->edges =
            baro_xrealloc(credit->edges, credit->room_edges, sizeof *credit->edges);
    }
    credit->edges[credit->n_edges++] = (struct credit_edge){
        .from = from, .to = to, .value = value, .share = flow.share, .size = flow.size};
}

static double add_up(const float *x, int64_t n)
{
    enum { STRETCH = 8 };
    double sums[STRETCH] = {0};
    int64_t i = 0;
    for (; i + STRETCH <= n; i += STRETCH) {
        for (int j = 0; j < STRETCH; j++) {
            sums[j] += (double)x[i + j];
        }
    }
    for (; i < n; i++) {
        sums[0] += (double)x[i];
    }
    for (int j = 1; j < STRETCH; j++) {
        sums[0] += sums[j];
    }
    return sums[0];
}

/* Add an array up along one axis, each entries in a row together. */
static void add_axis(
    const struct credit_array *array, int axis, int64_t each, const float *x, double *sums)
{
    int64_t outer = 1;
    int64_t inner = 1;
    for (int i = 0; i < array->n_dims; i++) {
        outer *= i < axis ? array->shape[i] : 1;
        inner *= i > axis ? array->shape[i] : 1;
    }
    for (int64_t o = 0; o < outer; o++) {
        for (int64_t a = 0; a < array->shape[axis]; a++, x += inner) {
            if (inner == 1) {
                sums[a / each] += (double)*x;
                continue;
            }
            sums[a / each] += add_up(x, inner);
        }
    }
}

static int64_t count_units(const struct probe_value *value)
{
    return value->unit_axis >= 0 && value->unit_axis < value->n_dims
               ? value->shape[value->unit_axis]
               : 0;
}

void credit_note_parts(
    struct credit *credit, int32_t at, const struct credit_array *array, const float *x)
{
    const struct probe_value *value = &credit->now.probe->values[at];
    struct credit_sums *sums = &credit->sums[at];
    const int64_t n_units = count_units(value);
    if (n_units > 0 && value->unit_axis != value->batch_axis) {
        if (sums->unit == NULL) {
            sums->unit = baro_xcalloc((size_t)n_units, sizeof *sums->unit);
        }
        add_axis(array, value->unit_axis, 1, x, sums->unit);
    }
    if (credit_has_rows(&credit->now, value)) {
        const int64_t n_rows = credit->now.n_rows;
        if (sums->row == NULL) {
            sums->row = baro_xcalloc((size_t)n_rows, sizeof *sums->row);
        }
        const int64_t each = array->shape[value->batch_axis] / n_rows;
        if (each > 0) {
            add_axis(array, value->batch_axis, each, x, sums->row);
        }
    }
}

void credit_note_crossing(
    struct credit *credit, const struct credit_array *array, const float *x)
{
    if (credit->target_has_rows || !credit_has_rows(&credit->now, array->value)) {
        return;
    }
    const int64_t n_rows = credit->now.n_rows;
    if (credit->cross_rows == NULL) {
        credit->cross_rows = baro_xcalloc((size_t)n_rows, sizeof *credit->cross_rows);
    }
    const int axis = array->value->batch_axis;
    const int64_t each = array->shape[axis] / n_rows;
    if (each > 0) {
        add_axis(array, axis, each, x, credit->cross_rows);
    }
    credit->is_crossed = true;
}

static void push_down(struct credit_top *top, size_t at)
{
    for (;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < top->n; child++) {
            if (fabs(top->items[child].share) < fabs(top->items[least].share)) {
                least = child;
            }
        }
        if (least == at) {
            return;
        }
        struct credit_source held = top->items[at];
        top->items[at] = top->items[least];
        top->items[least] = held;
        at = least;
    }
}

static bool has_place(const struct credit_top *top, double share)
{
    return share != 0 && (top->n < CREDIT_TOP || fabs(share) > fabs(top->items[0].share));
}

static void push(struct credit_top *top, const struct credit_source *source)
{
    if (top->n == CREDIT_TOP) {
        top->items[0] = *source;
        push_down(top, 0);
        return;
    }
    top->items[top->n++] = *source;
    for (size_t at = top->n - 1; at > 0;) {
        size_t parent = (at - 1) / 2;
        if (fabs(top->items[parent].share) <= fabs(top->items[at].share)) {
            return;
        }
        struct credit_source held = top->items[at];
        top->items[at] = top->items[parent];
        top->items[parent] = held;
        at = parent;
    }
}

/* The mean of what stands at places [from, from + each) of an axis; NaN: not kept. */
static double mean_at(
    const struct credit_array *array, int axis, int64_t from, int64_t each)
{
    if (array->x == NULL || array->n == 0 || each <= 0) {
        return (double)NAN;
    }
    int64_t outer = 1;
    int64_t inner = 1;
    for (int i = 0; i < array->n_dims; i++) {
        outer *= i < axis ? array->shape[i] : 1;
        inner *= i > axis ? array->shape[i] : 1;
    }
    double sum = 0;
    for (int64_t o = 0; o < outer; o++) {
        const float *x = array->x + (o * array->shape[axis] + from) * inner;
        for (int64_t i = 0; i < inner * each; i++) {
            sum += (double)x[i];
        }
    }
    return sum / (double)(outer * inner * each);
}

/* Choose the strongest of one value's sums: places in out, at most CREDIT_TOP_VALUE. */
static size_t choose(const double *sums, int64_t n, int64_t *out)
{
    size_t have = 0;
    for (int64_t i = 0; i < n; i++) {
        if (sums[i] == 0 ||
            (have == CREDIT_TOP_VALUE && !(fabs(sums[i]) > fabs(sums[out[have - 1]])))) {
            continue;
        }
        size_t at = have < CREDIT_TOP_VALUE ? have++ : have - 1;
        for (; at > 0 && fabs(sums[out[at - 1]]) < fabs(sums[i]); at--) {
            out[at] = out[at - 1];
        }
        out[at] = i;
    }
    return have;
}

struct ranked {
    struct credit *credit;
    int32_t value;
    const struct credit_array *now, *before;
};

static void rank_axis(
    const struct ranked *what, int axis, bool is_unit, int64_t n, const double *sums)
{
    struct credit *credit = what->credit;
    struct credit_top *top = is_unit ? &credit->units : &credit->samples;
    int64_t places[CREDIT_TOP_VALUE];
    const size_t n_places = choose(sums, n, places);
    const int64_t each = n > 0 ? what->now->shape[axis] / n : 0;
    for (size_t i = 0; i < n_places; i++) {
        const int64_t at = places[i];
        struct credit_source source = {.value = what->value,
            .unit = is_unit ? at : -1,
            .row = is_unit ? -1 : credit->now.probe->rows[at],
            .share = sums[at] * credit->scale};
        if (!has_place(top, source.share)) {
            return;
        }
        source.number = mean_at(what->now, axis, at * each, each);
        source.before = mean_at(what->before, axis, at * each, each);
        push(top, &source);
    }
}

void credit_note_ready(struct credit *credit, int32_t at)
{
    struct credit_sums *sums = &credit->sums[at];
    if (sums->unit == NULL && sums->row == NULL) {
        return;
    }
    const struct probe_value *value = &credit->now.probe->values[at];
    struct credit_array now = {0};
    struct credit_array before = {0};
    float *owned = NULL;
    float *owned_before = NULL;
    (void)credit_array_load(&credit->now, at, &now, &owned);
    if (credit->mode == CREDIT_CHANGE && credit->before_of[at] != PROBE_NONE) {
        (void)credit_array_load(
            &credit->before, credit->before_of[at], &before, &owned_before);
    }
    const struct ranked what = {credit, at, &now, &before};
    if (sums->unit != NULL) {
        rank_axis(&what, value->unit_axis, true, count_units(value), sums->unit);
    }
    if (sums->row != NULL) {
        rank_axis(&what, value->batch_axis, false, credit->now.n_rows, sums->row);
    }
    free(owned);
    free(owned_before);
    free(sums->unit);
    free(sums->row);
    *sums = (struct credit_sums){0};
}

void credit_note_end(struct credit *credit)
{
    if (credit->cross_rows == NULL || credit->target_has_rows) {
        return;
    }
    int64_t places[CREDIT_TOP_VALUE];
    const size_t n = choose(credit->cross_rows, credit->now.n_rows, places);
    for (size_t i = 0; i < n; i++) {
        const struct credit_source source = {.value = credit->target.value,
            .unit = -1,
            .row = credit->now.probe->rows[places[i]],
            .share = credit->cross_rows[places[i]] * credit->scale,
            .number = (double)NAN,
            .before = (double)NAN};
        if (has_place(&credit->samples, source.share)) {
            push(&credit->samples, &source);
        }
    }
    free(credit->cross_rows);
    credit->cross_rows = NULL;
}

void credit_note_own(struct credit *credit, int32_t op, const double *own, double scale)
{
    struct credit_node *node = credit_node_at(credit, op);
    for (int k = 0; k < CREDIT_OWN_COUNT; k++) {
        const double share = isfinite(own[k]) ? own[k] * scale : 0;
        node->own[k] += share;
        credit->own_share[k] += share;
        credit->own_size[k] += fabs(share);
    }
}

static int by_node_size(const void *left, const void *right)
{
    const struct credit_node *a = left;
    const struct credit_node *b = right;
    if (a->size != b->size) {
        return a->size < b->size ? 1 : -1;
    }
    return (a->op > b->op) - (a->op < b->op);
}

static int by_edge_size(const void *left, const void *right)
{
    const struct credit_edge *a = left;
    const struct credit_edge *b = right;
    if (a->size != b->size) {
        return a->size < b->size ? 1 : -1;
    }
    if (a->from != b->from) {
        return a->from < b->from ? -1 : 1;
    }
    return (a->value > b->value) - (a->value < b->value);
}

static int by_share(const void *left, const void *right)
{
    const struct credit_source *a = left;
    const struct credit_source *b = right;
    if (fabs(a->share) != fabs(b->share)) {
        return fabs(a->share) < fabs(b->share) ? 1 : -1;
    }
    if (a->value != b->value) {
        return a->value < b->value ? -1 : 1;
    }
    if (a->unit != b->unit) {
        return a->unit < b->unit ? -1 : 1;
    }
    return (a->row > b->row) - (a->row < b->row);
}

static void *sort_copy(void *held, const void *from, size_t n, size_t bytes,
    int (*compare)(const void *, const void *))
{
    char *to = baro_xrealloc(held, n + 1, bytes);
    if (n > 0) {
        __builtin_memcpy(to, from, n * bytes);
        qsort(to, n, bytes, compare);
    }
    return to;
}

const struct credit_finding *credit_look(struct credit *credit)
{
    struct credit_finding *out = &credit->finding;
    credit->sorted_nodes = sort_copy(credit->sorted_nodes, credit->nodes, credit->n_nodes,
        sizeof *credit->nodes, by_node_size);
    credit->sorted_edges = sort_copy(credit->sorted_edges, credit->edges, credit->n_edges,
        sizeof *credit->edges, by_edge_size);
    credit->sorted_sources = sort_copy(credit->sorted_sources, credit->units.items,
        credit->units.n, sizeof *credit->units.items, by_share);
    credit->sorted_samples = sort_copy(credit->sorted_samples, credit->samples.items,
        credit->samples.n, sizeof *credit->samples.items, by_share);
    double explained = credit->leaf_share;
    for (int k = 0; k < CREDIT_OWN_COUNT; k++) {
        explained += k == CREDIT_OWN_ROUND ? 0 : credit->own_share[k];
    }
    double missing = 0;
    const struct probe *probe = credit->now.probe;
    if (credit->mode == CREDIT_GRADIENT && credit->is_crossed && probe->n_batch > 0) {
        missing = 1 - (double)probe->n_rows / (double)probe->n_batch;
    }
    missing = fmax(missing, fmin(credit->gap, 1));
    out->is_done = credit->is_done;
    out->fraction = credit->is_done     ? 1
                    : credit->n_way > 0 ? (double)credit->n_passed / (double)credit->n_way
                                        : 0;
    out->explained = explained;
    out->error_bound = (credit->pending > 1e-12 ? credit->pending : 0) +
                       credit->own_size[CREDIT_OWN_REST] +
                       credit->own_size[CREDIT_OWN_UNKNOWN] + missing;
    out->n_nodes = credit->n_nodes;
    out->nodes = credit->sorted_nodes;
    out->n_edges = credit->n_edges;
    out->edges = credit->sorted_edges;
    out->n_units = credit->units.n;
    out->units = credit->sorted_sources;
    out->n_samples = credit->samples.n;
    out->samples = credit->sorted_samples;
    return out;
}
