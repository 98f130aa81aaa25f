/* SPDX-License-Identifier: Apache-2.0 */
/* Where the boxes of a graph stand. */
#include "tests/testing.h"

#include <stdlib.h>

#include "client/model/flow.h"
#include "lib/base/mem.h"

/* The worked number of flow.c. */
static void a_second_input_stands_right_before_what_needs_it(void **state)
{
    (void)state;
    const struct flow_edge edges[] = {{0, 1}, {1, 3}, {0, 3}, {2, 3}};
    struct flow_place places[4];
    assert_int_equal(flow_place(4, edges, 4, places), 3);
    assert_int_equal(places[0].layer, 0);
    assert_int_equal(places[1].layer, 1);
    assert_int_equal(places[2].layer, 1);
    assert_int_equal(places[3].layer, 2);
    assert_int_equal(places[1].row, 0);
    assert_int_equal(places[2].row, 1);
}

static void a_module_that_is_called_again_does_not_move(void **state)
{
    (void)state;
    const struct flow_edge edges[] = {{0, 1}, {1, 0}, {1, 1}, {1, 2}, {9, 1}, {1, 9}};
    struct flow_place places[3];
    assert_int_equal(flow_place(3, edges, 6, places), 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(places[i].layer, i);
        assert_int_equal(places[i].row, 0);
    }
    assert_int_equal(flow_place(0, NULL, 0, NULL), 0);
    assert_int_equal(flow_place(3, NULL, 0, places), 1);
    assert_int_equal(places[2].row, 2);
}

static void two_branches_that_cross_are_put_straight(void **state)
{
    (void)state;
    /* 0 -> 3 -> 4 and 1 -> 2 -> 5: in the order of running, 2 and 3 would cross */
    const struct flow_edge edges[] = {{0, 3}, {1, 2}, {3, 4}, {2, 5}};
    struct flow_place places[6];
    assert_int_equal(flow_place(6, edges, 4, places), 3);
    assert_int_equal(places[0].row, places[3].row);
    assert_int_equal(places[3].row, places[4].row);
    assert_int_equal(places[1].row, places[2].row);
    assert_int_equal(places[2].row, places[5].row);
}

/* Of any graph: edges lead to later layers, rows of a layer are 0, 1, 2, ... */
static void every_edge_leads_right_and_no_two_boxes_share_a_place(void **state)
{
    (void)state;
    srand(3);
    for (int round = 0; round < 200; round++) {
        size_t n = (size_t)(rand() % 40) + 1;
        size_t n_edges = (size_t)(rand() % 120);
        struct flow_edge edges[120];
        struct flow_place places[40];
        for (size_t i = 0; i < n_edges; i++) {
            edges[i] = (struct flow_edge){
                (uint32_t)rand() % (uint32_t)n, (uint32_t)rand() % (uint32_t)n};
        }
        uint32_t n_layers = flow_place(n, edges, n_edges, places);
        for (size_t i = 0; i < n_edges; i++) {
            if (edges[i].from < edges[i].to) {
                assert_true(places[edges[i].from].layer < places[edges[i].to].layer);
            }
        }
        for (size_t i = 0; i < n; i++) {
            uint32_t n_before = 0;
            assert_true(places[i].layer < n_layers);
            for (size_t k = 0; k < n; k++) {
                n_before +=
                    places[k].layer == places[i].layer && places[k].row < places[i].row;
                assert_true(k == i || places[k].layer != places[i].layer ||
                            places[k].row != places[i].row);
            }
            assert_int_equal(places[i].row, n_before);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_second_input_stands_right_before_what_needs_it),
        cmocka_unit_test(a_module_that_is_called_again_does_not_move),
        cmocka_unit_test(two_branches_that_cross_are_put_straight),
        cmocka_unit_test(every_edge_leads_right_and_no_two_boxes_share_a_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
