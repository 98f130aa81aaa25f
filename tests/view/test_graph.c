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
    const struct graph_place folded[] = {{"encoder", 7}, {"decoder", 7}};
    const struct graph_place both[] = {{"encoder", 7}, {"encoder.fc1", 11}, {"dec", 3}};
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(modules_are_joined_across_operations_of_none),
        cmocka_unit_test(folding_modules_folds_their_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
