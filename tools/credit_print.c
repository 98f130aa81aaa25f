/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/credit_print.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/why.h"
#include "lib/base/mem.h"
#include "tools/json.h"

/*
 * The graph is shown as a tree from the target on, the largest share first. An operation to which
 * several ways lead is taken apart where it is met first. A way that does not fork stays in its
 * column, so that a network of fifty layers fits a terminal; operations that only move elements
 * are passed over.
 */

enum {
    MAX_LINES = 60,
    MAX_SOURCES = 10, /* units, and samples, that are listed */
    LINE_BYTES = 512,
    INDENT = 2,
    MAX_DEPTH = 20
};

static const double least_share = 0.01; /* that has a line */
static const double least_own = 0.005;
static const double large_gain = 100;

/* ---- words ---- */

static const char *mode_words(enum credit_mode mode)
{
    switch (mode) {
    case CREDIT_GRADIENT: return "through what the loss pulls at";
    case CREDIT_CHANGE: return "what changed";
    case CREDIT_VALUE:
    case CREDIT_MODE_END:
    default: return "of what came";
    }
}

static const char *mode_name(enum credit_mode mode)
{
    switch (mode) {
    case CREDIT_GRADIENT: return "gradient";
    case CREDIT_CHANGE: return "change";
    case CREDIT_VALUE:
    case CREDIT_MODE_END:
    default: return "value";
    }
}

/* "fc1 addmm [12]" of the target. */
static void target_words(const struct credit_asked *asked, char *out, size_t out_bytes)
{
    char label[PROBE_LABEL_BYTES];
    char unit[32] = "";
    char row[64] = "";
    const struct credit_target *target = &asked->target;
    if (target->unit >= 0) {
        (void)snprintf(unit, sizeof unit, "[%" PRId64 "]", target->unit);
    }
    if (target->row >= 0) {
        const int64_t id = probe_sample_id(asked->now, target->row);
        (void)snprintf(row, sizeof row, " of sample %" PRId64 "%s",
            id >= 0 ? id : target->row, id >= 0 ? "" : " of the batch");
    }
    (void)snprintf(out, out_bytes, "%s%s%s",
        probe_label(asked->now->probe, target->value, label), unit, row);
}

void credit_print_head(const struct credit_asked *asked)
{
    char target[LINE_BYTES];
    char safe[LINE_BYTES];
    const struct term *term = &asked->cli->out;
    target_words(asked, target, sizeof target);
    (void)printf("Step %" PRId64 "%s: %s %s%s%s", asked->now->probe->step,
        asked->now->probe->reason == PROBE_FAILURE ? " (a failure)" : "",
        mode_words(asked->mode), term_paint(term, TERM_BOLD),
        term_safe(term, target, safe, sizeof safe), term_paint(term, TERM_PLAIN));
    if (asked->before != NULL) {
        (void)printf(" since step %" PRId64, asked->before->probe->step);
    }
    (void)puts("");
    (void)fflush(stdout);
}

/* ---- the tree ---- */

/* What is printed next: an edge at a depth. */
struct turn {
    size_t edge;
    int depth;
};

struct tree {
    const struct credit_asked *asked;
    const struct credit_finding *finding;
    const struct credit_node **node_of; /* of each operation of the probe, or NULL */
    size_t *first_edge;                 /* of each operation plus one: into by_op */
    size_t *by_op;                      /* edges, operation by operation, largest first */
    uint8_t *is_shown;
    struct turn *stack;
    size_t n_stack;
    int n_lines;
    size_t n_left_out;
};

/* Sort edges by the operation that they come from: counting keeps the order of sizes. */
static void sort_edges(struct tree *tree)
{
    const struct credit_finding *finding = tree->finding;
    const uint32_t n_ops = tree->asked->now->probe->n_ops;
    for (size_t i = 0; i < finding->n_edges; i++) {
        tree->first_edge[finding->edges[i].from + 2]++; /* the target is number 0 */
    }
    for (uint32_t i = 1; i < n_ops + 2; i++) {
        tree->first_edge[i] += tree->first_edge[i - 1];
    }
    baro_autofree size_t *next = baro_xcalloc((size_t)n_ops + 2, sizeof *next);
    memcpy(next, tree->first_edge, ((size_t)n_ops + 2) * sizeof *next);
    for (size_t i = 0; i < finding->n_edges; i++) {
        tree->by_op[next[finding->edges[i].from + 1]++] = i;
    }
}

static bool is_large(const struct credit_edge *edge)
{
    return fabs(edge->share) >= least_share || edge->size >= least_share;
}

/* Count the edges of an operation that are worth a line; the first of them. */
static size_t count_large(const struct tree *tree, int32_t op, size_t *out_first)
{
    size_t n = 0;
    for (size_t i = tree->first_edge[op + 1]; i < tree->first_edge[op + 2]; i++) {
        if (is_large(&tree->finding->edges[tree->by_op[i]])) {
            *out_first = n++ == 0 ? tree->by_op[i] : *out_first;
        }
    }
    return n;
}

static bool only_moves(const char *name)
{
    static const char *const names[] = {"view", "_unsafe_view", "reshape", "t", "transpose",
        "permute", "expand", "squeeze", "unsqueeze", "detach", "clone", "alias",
        "contiguous", "_to_copy", "flatten", "_reshape_alias"};
    for (size_t i = 0; i < BARO_LEN(names); i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* Push what an operation's share goes on to, the largest last: it comes off first. */
static void push_edges(struct tree *tree, int32_t op, int depth)
{
    size_t first = 0;
    const size_t n = count_large(tree, op, &first);
    depth += n > 1 && depth < MAX_DEPTH;
    for (size_t i = tree->first_edge[op + 2]; i-- > tree->first_edge[op + 1];) {
        if (is_large(&tree->finding->edges[tree->by_op[i]])) {
            tree->stack[tree->n_stack++] = (struct turn){tree->by_op[i], depth};
        } else {
            tree->n_left_out++;
        }
    }
}

/* Name a share that ends in an operation, for people. */
static const char *own_words(enum credit_own own)
{
    switch (own) {
    case CREDIT_OWN_BIAS: return "bias";
    case CREDIT_OWN_SHIFT: return "shift of the norm";
    case CREDIT_OWN_SCALE: return "scale of the norm";
    case CREDIT_OWN_NOISE: return "noise";
    case CREDIT_OWN_WEIGHT: return "the optimiser";
    case CREDIT_OWN_REST: return "what was not kept";
    case CREDIT_OWN_UNKNOWN: return "not known";
    case CREDIT_OWN_ROUND: return "rounding";
    case CREDIT_OWN_COUNT:
    default: return "?";
    }
}

/* "bias 3.1 %, noise 2.0 %", and what is odd about the operation. */
static void node_words(const struct credit_node *node, char *out, size_t out_bytes)
{
    size_t n = 0;
    out[0] = '\0';
    for (int own = 0; own < CREDIT_OWN_COUNT && n < out_bytes; own++) {
        if (fabs(node->own[own]) >= least_own) {
            n += (size_t)snprintf(out + n, out_bytes - n, "%s%s %.1f %%", n > 0 ? ", " : "",
                own_words((enum credit_own)own), node->own[own] * 100);
        }
    }
    if (node->is_unknown && n < out_bytes) {
        n += (size_t)snprintf(
            out + n, out_bytes - n, "%sno rule for this operation", n > 0 ? ", " : "");
    }
    if (node->is_singular && n < out_bytes) {
        n += (size_t)snprintf(out + n, out_bytes - n, "%sclose to where it is not defined",
            n > 0 ? ", " : "");
    }
    if (node->gain >= large_gain && n < out_bytes) {
        (void)snprintf(out + n, out_bytes - n, "%samplifies %.3g times", n > 0 ? ", " : "",
            node->gain);
    }
}

static void print_line(struct tree *tree, const struct credit_edge *edge, int depth)
{
    const struct term *term = &tree->asked->cli->out;
    const struct probe *probe = tree->asked->now->probe;
    char text[LINE_BYTES];
    char safe[LINE_BYTES];
    char notes[LINE_BYTES] = "";
    char label[PROBE_LABEL_BYTES];
    const char *source = "";
    bool is_again = false;
    if (edge->to == PROBE_NONE) {
        const struct probe_value *value = &probe->values[edge->value];
        (void)probe_label(probe, edge->value, label);
        (void)snprintf(text, sizeof text, "%s", label);
        (void)snprintf(notes, sizeof notes, "%s", probe_value_kind_name(value->kind));
    } else {
        const struct probe_op *op = &probe->ops[edge->to];
        is_again = tree->is_shown[edge->to] != 0;
        (void)snprintf(text, sizeof text, "%s%s%s", op->module,
            op->module[0] != '\0' ? "  " : "", op->name);
        source = op->source;
        if (is_again) {
            (void)snprintf(notes, sizeof notes, "see above");
        } else if (tree->node_of[edge->to] != NULL) {
            node_words(tree->node_of[edge->to], notes, sizeof notes);
        }
    }
    (void)printf("%8.1f %%  %*s%s%s%s", edge->share * 100, depth * INDENT, "",
        term_paint(term, edge->to == PROBE_NONE ? TERM_GOOD : TERM_ACCENT),
        term_safe(term, text, safe, sizeof safe), term_paint(term, TERM_PLAIN));
    if (notes[0] != '\0') {
        (void)printf("  %s", term_safe(term, notes, safe, sizeof safe));
    }
    if (source[0] != '\0' && !is_again) {
        (void)printf("  %s%s%s", term_paint(term, TERM_DIM),
            term_safe(term, source, safe, sizeof safe), term_paint(term, TERM_PLAIN));
    }
    (void)puts("");
    tree->n_lines++;
}

/* Whether an operation is passed over: it only moves elements, all of them to one place. */
static bool is_passed(const struct tree *tree, int32_t op)
{
    size_t edge = 0;
    return op != PROBE_NONE && only_moves(tree->asked->now->probe->ops[op].name) &&
           count_large(tree, op, &edge) == 1 && tree->is_shown[op] == 0;
}

static void print_tree(struct tree *tree)
{
    push_edges(tree, PROBE_NONE, 0);
    while (tree->n_stack > 0) {
        const struct turn turn = tree->stack[--tree->n_stack];
        const struct credit_edge *edge = &tree->finding->edges[turn.edge];
        if (tree->n_lines >= MAX_LINES) {
            tree->n_left_out++;
            continue;
        }
        const bool is_new = edge->to != PROBE_NONE && tree->is_shown[edge->to] == 0;
        if (!is_passed(tree, edge->to)) {
            print_line(tree, edge, turn.depth);
        }
        if (is_new) {
            tree->is_shown[edge->to] = 1;
            push_edges(tree, edge->to, turn.depth);
        }
    }
    if (tree->n_left_out > 0) {
        (void)printf(
            "            and %zu more ways, with smaller shares\n", tree->n_left_out);
    }
}

static void show_tree(
    const struct credit_asked *asked, const struct credit_finding *finding)
{
    const size_t n_ops = asked->now->probe->n_ops;
    struct tree tree = {
        .asked = asked,
        .finding = finding,
        .node_of = baro_xcalloc(n_ops + 1, sizeof *tree.node_of),
        .first_edge = baro_xcalloc(n_ops + 3, sizeof *tree.first_edge),
        .by_op = baro_xcalloc(finding->n_edges + 1, sizeof *tree.by_op),
        .is_shown = baro_xcalloc(n_ops + 1, 1),
        .stack = baro_xcalloc(finding->n_edges + 1, sizeof *tree.stack),
    };
    for (size_t i = 0; i < finding->n_nodes; i++) {
        tree.node_of[finding->nodes[i].op] = &finding->nodes[i];
    }
    sort_edges(&tree);
    print_tree(&tree);
    free(tree.node_of);
    free(tree.first_edge);
    free(tree.by_op);
    free(tree.is_shown);
    free(tree.stack);
}

/* ---- units and samples ---- */

/* Whether a sample was in the list before: by another value, where it counted for more. */
static bool is_repeated(const struct credit_source *sources, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (sources[i].row == sources[at].row) {
            return true;
        }
    }
    return false;
}

static void add_source(struct table *table, const struct credit_asked *asked,
    const struct credit_source *source, bool is_sample)
{
    char label[PROBE_LABEL_BYTES];
    const struct probe_value *value = &asked->now->probe->values[source->value];
    const int64_t id = is_sample ? probe_sample_id(asked->now, source->row) : -1;
    const bool has_numbers = !is_sample || value->batch_axis >= 0;
    table_cell(table, TERM_PLAIN, "%.1f %%", source->share * 100);
    if (id >= 0) {
        table_cell(table, TERM_ACCENT, "%" PRId64, id);
    } else {
        table_cell(table, TERM_ACCENT, is_sample ? "(row %" PRId64 ")" : "%" PRId64,
            is_sample ? source->row : source->unit);
    }
    table_cell(
        table, TERM_PLAIN, "%s", probe_label(asked->now->probe, source->value, label));
    if (has_numbers) {
        table_cell(table, TERM_PLAIN, "%.4g", cli_number(source->number));
    } else {
        table_cell(table, TERM_PLAIN, "%s", "");
    }
    if (asked->mode == CREDIT_CHANGE && has_numbers) {
        table_cell(table, TERM_PLAIN, "%.4g", cli_number(source->before));
    } else if (asked->mode == CREDIT_CHANGE) {
        table_cell(table, TERM_PLAIN, "%s", "");
    }
}

static void show_sources(const struct credit_asked *asked, const char *title,
    const struct credit_source *sources, size_t n, bool are_samples)
{
    const struct table_column columns[] = {{"SHARE", true, TABLE_WHOLE},
        {are_samples ? "SAMPLE" : "UNIT", true, TABLE_WHOLE},
        {"OF", false, TABLE_CUT_MIDDLE}, {"VALUE", true, TABLE_WHOLE},
        {"BEFORE", true, TABLE_WHOLE}};
    const bool has_before = asked->mode == CREDIT_CHANGE;
    int n_shown = 0;
    if (n == 0) {
        return;
    }
    struct table *table =
        table_create(&asked->cli->out, columns, BARO_LEN(columns) - !has_before);
    for (size_t i = 0; i < n && n_shown < MAX_SOURCES; i++) {
        if (!are_samples || !is_repeated(sources, i)) {
            add_source(table, asked, &sources[i], are_samples);
            n_shown++;
        }
    }
    (void)printf("\n%s\n", title);
    table_print(table, stdout);
    table_destroy(table);
}

/* Name the operations without a rule, each once. */
static void show_unknown(
    const struct credit_asked *asked, const struct credit_finding *finding)
{
    const struct term *term = &asked->cli->out;
    const char *named[8];
    size_t n = 0;
    for (size_t i = 0; i < finding->n_nodes && n < BARO_LEN(named); i++) {
        const char *name = asked->now->probe->ops[finding->nodes[i].op].name;
        bool is_new = finding->nodes[i].is_unknown;
        for (size_t k = 0; k < n && is_new; k++) {
            is_new = strcmp(named[k], name) != 0;
        }
        if (is_new) {
            char safe[LINE_BYTES];
            (void)printf("%s%s", n == 0 ? "Operations without a rule: " : ", ",
                term_safe(term, name, safe, sizeof safe));
            named[n++] = name;
        }
    }
    if (n > 0) {
        (void)puts("");
    }
}

/* Why there is nothing to share out; "": there is. */
static const char *nothing_of(
    const struct credit_asked *asked, const struct credit_finding *finding)
{
    const char *nothing = credit_nothing(asked->mode, finding);
    const char *none = nothing[0] != '\0' && asked->mode == CREDIT_GRADIENT
                           ? why_no_gradient(asked->now->probe)
                           : "";
    return none[0] != '\0' ? none : nothing;
}

void credit_print_text(
    const struct credit_asked *asked, const struct credit_finding *finding)
{
    if (finding->n_bad > 0 && asked->mode == CREDIT_VALUE) {
        (void)printf("%12s%" PRId64
                     " of its elements are not finite; shares are of these\n",
            "", finding->n_bad);
    } else {
        (void)printf("%12sin all %.6g\n", "", cli_number(finding->total));
    }
    const char *nothing = nothing_of(asked, finding);
    if (nothing[0] != '\0') {
        term_wrap(&asked->cli->out, stdout, 0, nothing);
        return;
    }
    show_tree(asked, finding);
    show_sources(asked, "Units", finding->units, finding->n_units, false);
    show_sources(asked, "Samples", finding->samples, finding->n_samples, true);
    (void)printf("\nExplained: %.2f %%", finding->explained * 100);
    if (finding->error_bound > 0) {
        (void)printf(", give or take %.2g %%", finding->error_bound * 100);
    }
    (void)puts("");
    show_unknown(asked, finding);
}

/* ---- JSON ---- */

static json_t *sources_json(const struct credit_asked *asked,
    const struct credit_source *sources, size_t n, bool are_samples)
{
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++) {
        const struct credit_source *source = &sources[i];
        char label[PROBE_LABEL_BYTES];
        json_t *object = json_pack("{s:i, s:o, s:o, s:o, s:o}", "value", (int)source->value,
            "of", json_text(probe_label(asked->now->probe, source->value, label)), "share",
            json_number(source->share), "number", json_number(cli_number(source->number)),
            "before", json_number(cli_number(source->before)));
        if (are_samples) {
            const int64_t id = probe_sample_id(asked->now, source->row);
            (void)json_object_set_new(object, "row", json_integer((json_int_t)source->row));
            (void)json_object_set_new(
                object, "sample", id >= 0 ? json_integer((json_int_t)id) : json_null());
        } else {
            (void)json_object_set_new(
                object, "unit", json_integer((json_int_t)source->unit));
        }
        (void)json_array_append_new(array, object);
    }
    return array;
}

static json_t *nodes_json(
    const struct credit_asked *asked, const struct credit_finding *finding)
{
    json_t *array = json_array();
    for (size_t i = 0; i < finding->n_nodes; i++) {
        const struct credit_node *node = &finding->nodes[i];
        const struct probe_op *op = &asked->now->probe->ops[node->op];
        json_t *own = json_object();
        for (int k = 0; k < CREDIT_OWN_COUNT; k++) {
            if (fabs(node->own[k]) > 0) {
                (void)json_object_set_new(
                    own, credit_own_name((enum credit_own)k), json_number(node->own[k]));
            }
        }
        (void)json_array_append_new(
            array, json_pack("{s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:b}", "op",
                       (int)node->op, "name", json_text(op->name), "module",
                       json_text(op->module), "source", json_text_or_null(op->source),
                       "share", json_number(node->share), "size", json_number(node->size),
                       "own", own, "gain", json_number(cli_number(node->gain)),
                       "is_unknown", node->is_unknown, "is_singular", node->is_singular));
    }
    return array;
}

static json_t *edges_json(
    const struct credit_asked *asked, const struct credit_finding *finding)
{
    json_t *array = json_array();
    for (size_t i = 0; i < finding->n_edges; i++) {
        const struct credit_edge *edge = &finding->edges[i];
        char label[PROBE_LABEL_BYTES];
        (void)json_array_append_new(
            array, json_pack("{s:i, s:i, s:i, s:o, s:o, s:o}", "from", (int)edge->from,
                       "to", (int)edge->to, "value", (int)edge->value, "of",
                       json_text(probe_label(asked->now->probe, edge->value, label)),
                       "share", json_number(edge->share), "size", json_number(edge->size)));
    }
    return array;
}

void credit_print_json(
    const struct credit_asked *asked, const struct credit_finding *finding)
{
    char target[LINE_BYTES];
    target_words(asked, target, sizeof target);
    json_t *object = json_pack("{s:I, s:o, s:s, s:i, s:o, s:b, s:o, s:o, s:o, s:o}", "step",
        (json_int_t)asked->now->probe->step, "before_step",
        asked->before != NULL ? json_integer((json_int_t)asked->before->probe->step)
                              : json_null(),
        "mode", mode_name(asked->mode), "value", (int)asked->target.value, "target",
        json_text(target), "is_done", finding->is_done, "fraction",
        json_number(finding->fraction), "total", json_number(cli_number(finding->total)),
        "explained", json_number(finding->explained), "error_bound",
        json_number(finding->error_bound));
    (void)json_object_set_new(
        object, "n_elements", json_integer((json_int_t)finding->n_elements));
    (void)json_object_set_new(object, "n_bad", json_integer((json_int_t)finding->n_bad));
    (void)json_object_set_new(
        object, "nothing", json_text_or_null(nothing_of(asked, finding)));
    (void)json_object_set_new(object, "nodes", nodes_json(asked, finding));
    (void)json_object_set_new(object, "edges", edges_json(asked, finding));
    (void)json_object_set_new(
        object, "units", sources_json(asked, finding->units, finding->n_units, false));
    (void)json_object_set_new(
        object, "samples", sources_json(asked, finding->samples, finding->n_samples, true));
    json_print(&asked->cli->out, object);
}
