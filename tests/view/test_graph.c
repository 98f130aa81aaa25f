/* SPDX-License-Identifier: Apache-2.0 */
/* How modules are connected, out of the operations of a probe. */
#include "tests/testing.h"

#include <stdlib.h>
#include <string.h>

#include "client/model/graph.h"
#include "tests/view/oracle.h"

static bool has_edge(const struct graph *graph, uint32_t from, uint32_t to)
{
    for (size_t i = 0; i < graph->n_edges; i++) {
        if (graph->edges[i].from == from && graph->edges[i].to == to) {
            return true;
        }
    }
    return false;
}

static struct probe *parse(void **out_bytes)
{
    struct probe *probe = NULL;
    size_t n = 0;
    *out_bytes = oracle_probe(PROBE_REGULAR, 2, &n);
    assert_int_equal(probe_parse(&probe, *out_bytes, n, NULL), 0);
    return probe;
}

/* mm in encoder.fc1, add in none, exp in decoder.out, mean in none: the loss. */
static void modules_are_joined_across_operations_of_none(void **state)
{
    (void)state;
    const struct graph_place places[] = {
        {"decoder.out", 11}, {"encoder.fc1", 11}, {"other", 5}};
    void *bytes = NULL;
    struct probe *probe = parse(&bytes);
    struct graph graph;
    graph_find(&graph, probe, places, 3);
    assert_int_equal(graph.n_edges, 1);
    assert_true(has_edge(&graph, 1, 0));
    assert_int_equal(graph.n_ops[0], 1);
    assert_int_equal(graph.n_ops[1], 1);
    assert_int_equal(graph.n_ops[2], 0);
    assert_int_equal(graph.first_op[1], 0);
    assert_int_equal(graph.first_op[2], probe->n_ops);
    assert_true(graph.has_input[1] != 0 && graph.has_input[0] == 0);
    assert_true(graph.has_loss[0] != 0 && graph.has_loss[1] == 0);
    assert_int_equal(graph.place_of_op[1], GRAPH_NOWHERE);
    graph_finish(&graph);
    probe_free(probe);
    free(bytes);
}

static void folding_modules_folds_their_edges(void **state)
{
    (void)state;
    const struct graph_place folded[] = {{"encoder", 7, false}, {"decoder", 7, false}};
    const struct graph_place both[] = {
        {"encoder", 7, true}, {"encoder.fc1", 11, false}, {"dec", 3, false}};
    void *bytes = NULL;
    struct probe *probe = parse(&bytes);
    struct graph graph;
    graph_find(&graph, probe, folded, 2);
    assert_int_equal(graph.n_edges, 1);
    assert_true(has_edge(&graph, 0, 1));
    graph_finish(&graph);
    graph_find(&graph, probe, both, 3); /* the longest path, and whole pieces of it only */
    assert_int_equal(graph.place_of_op[0], 1);
    assert_int_equal(graph.place_of_op[2], GRAPH_NOWHERE);
    assert_int_equal(graph.n_edges, 0);
    assert_true(graph.has_loss[1] != 0);
    graph_finish(&graph);
    graph_find(&graph, probe, NULL, 0);
    assert_int_equal(graph.n_edges, 0);
    graph_finish(&graph);
    probe_free(probe);
    free(bytes);
}

/* A block b: b.a, then an addition of its own, b.c, another addition. */
static void an_open_module_stands_for_what_it_gives(void **state)
{
    (void)state;
    static const int32_t in[4][2] = {{0, PROBE_NONE}, {1, 0}, {2, PROBE_NONE}, {3, 2}};
    static const int32_t out[4] = {1, 2, 3, 4};
    static const char *const modules[4] = {"b.a", "b", "b.c", "b"};
    const struct graph_place places[] = {
        {"b", 1, true}, {"b.a", 3, false}, {"b.c", 3, false}};
    struct probe_value values[5] = {{.kind = PROBE_INPUT, .op = PROBE_NONE, .name = ""}};
    struct probe_op ops[4];
    for (int i = 0; i < 4; i++) {
        values[i + 1] = (struct probe_value){.kind = PROBE_RESULT, .op = i, .name = ""};
        ops[i] = (struct probe_op){.name = "add",
            .module = modules[i],
            .n_inputs = 2,
            .n_outputs = 1,
            .inputs = in[i],
            .outputs = &out[i]};
    }
    const struct probe probe = {
        .loss = PROBE_NONE, .n_values = 5, .n_ops = 4, .values = values, .ops = ops};
    struct graph graph;
    graph_find(&graph, &probe, places, 3);
    assert_int_equal(graph.first_op[0], 3);
    assert_int_equal(graph.n_ops[0], 2);
    assert_true(has_edge(&graph, 1, 2)); /* through the addition */
    assert_true(has_edge(&graph, 2, 0));
    assert_true(has_edge(&graph, 1, 0)); /* past b.c */
    assert_false(has_edge(&graph, 0, 2));
    assert_int_equal(graph.n_edges, 3);
    graph_finish(&graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(modules_are_joined_across_operations_of_none),
        cmocka_unit_test(folding_modules_folds_their_edges),
        cmocka_unit_test(an_open_module_stands_for_what_it_gives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
