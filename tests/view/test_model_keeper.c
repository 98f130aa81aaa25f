/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper: models from messages, compared with the formula behind them. */
#include "tests/testing.h"

#include <math.h>
#include <string.h>

#include "client/model/catalog.h"
#include "client/model/grid.h"
#include "client/model/tree.h"
#include "lib/base/meant.h"
#include "lib/base/mem.h"
#include "tests/view/oracle.h"

static struct model_wish wish; /* large: not on the stack */

static const struct model_ref LOSS = {ORACLE_LOSS, READING_SCALAR, 0};

static void make_wish(int64_t from, int64_t to, uint32_t columns)
{
    memset(&wish, 0, sizeof wish);
    wish.run = 7;
    wish.from_step = from;
    wish.to_step = to;
    wish.columns = columns;
    wish.coarse_columns = 64;
}

/* A connected keeper with the run's lists. */
static struct keeper *begin(struct oracle *oracle)
{
    struct keeper *keeper = keeper_create("ipc:///nowhere");
    oracle_connect(keeper);
    make_wish(0, oracle->n_steps > 0 ? oracle->n_steps - 1 : 1, 4096);
    keeper_set_wish(keeper, &wish, 1);
    oracle_answer(oracle, keeper);
    return keeper;
}

/* Each column of a series holds exactly the readings of its steps. */
static void assert_series(
    const struct oracle *oracle, const struct model *model, struct model_ref ref, int64_t n)
{
    const struct model_series *series = model_find(model, ref, false);
    assert_non_null(series);
    int64_t step = 0;
    for (size_t i = 0; i < series->n; i++) {
        const struct wire_column *column = model_column(series, i);
        double lo = (double)INFINITY;
        uint32_t count = 0;
        while (step < n && !oracle_has(ref.thing, step)) {
            step++;
        }
        assert_int_equal(column->first_step, step);
        for (; step <= column->last_step; step++) {
            if (oracle_has(ref.thing, step)) {
                lo =
                    fmin(lo, oracle_value(oracle, ref.thing, ref.kind, ref.stat, -1, step));
                count++;
            }
        }
        assert_int_equal(column->count, count);
        if (column->count > column->n_nan) {
            assert_true(column->min >= lo && column->min <= lo);
        }
    }
    while (step < n && !oracle_has(ref.thing, step)) {
        step++;
    }
    assert_int_equal(step, n);
}

static void lists_arrive_before_anything_is_drawn_from_them(void **state)
{
    (void)state;
    struct oracle oracle = {.n_steps = 500, .bad_step = 400};
    struct keeper *keeper = begin(&oracle);
    struct model *model = keeper_publish(keeper);
    assert_true(model->has_runs && model->has_things && model->has_alerts);
    assert_true(model->is_complete);
    assert_int_equal(model->runs->n, 1);
    assert_string_equal(model->runs->at[0].name, "beta-4");
    assert_int_equal(model->things->n, ORACLE_N_THINGS);
    assert_int_equal(model->alerts->n, 1);
    assert_int_equal(model->alerts->at[0].n_samples, 12);
    assert_int_equal(model->events->n, 1);
    assert_string_equal(model->events->at[0].text, "learning rate cut");
    assert_ptr_equal(model_run_meant(model, "vae/beta-4"), &model->runs->at[0]);
    assert_ptr_equal(model_run_meant(model, "latest"), &model->runs->at[0]);
    assert_ptr_equal(model_run_meant(model, "abc"), &model->runs->at[0]);
    assert_null(model_run_meant(model, "gamma"));
    part_unref(model);
    keeper_destroy(keeper);
}

static void only_what_is_wished_for_is_asked(void **state)
{
    (void)state;
    struct oracle oracle = {.n_steps = 500, .bad_step = INT64_MAX};
    struct keeper *keeper = begin(&oracle);
    uint64_t before = oracle.n_ranges;
    assert_int_equal(before, 0);
    assert_true(model_wish_add(&wish, LOSS, false));
    assert_true(model_wish_add(&wish, LOSS, false)); /* once */
    keeper_set_wish(keeper, &wish, 2);
    oracle_answer(&oracle, keeper);
    assert_int_equal(oracle.n_ranges, before + 1);
    assert_int_equal(oracle.n_refs, 1);
    keeper_set_wish(keeper, &wish, 3); /* the same again: nothing to ask */
    oracle_answer(&oracle, keeper);
    assert_int_equal(oracle.n_ranges, before + 1);
    struct model *model = keeper_publish(keeper);
    assert_true(model->is_complete && model->wish == 3);
    assert_series(&oracle, model, LOSS, 500);
    part_unref(model);
    keeper_destroy(keeper);
}

static void columns_of_the_daemon_are_columns_of_the_grid(void **state)
{
    (void)state;
    struct oracle oracle = {.n_steps = 5000, .bad_step = INT64_MAX, .n_coarse = 77};
    struct keeper *keeper = begin(&oracle);
    for (int64_t i = 1; i < 40; i++) {
        make_wish(i * 37, i * 37 + i * i * 3, (uint32_t)(10 + i * 9));
        assert_true(model_wish_add(&wish, LOSS, false));
        keeper_set_wish(keeper, &wish, (uint64_t)i);
        oracle_answer(&oracle, keeper);
        struct model *model = keeper_publish(keeper);
        const struct model_series *series = model_find(model, LOSS, false);
        assert_int_equal(series->n_coarse, 77);
        for (size_t k = 0; k < series->n; k++) {
            const struct wire_column *column = model_column(series, k);
            int64_t at = grid_column(series->width, column->first_step);
            assert_int_equal(grid_column(series->width, column->last_step), at);
            if (k > 0) {
                const struct wire_column *before = model_column(series, k - 1);
                assert_true(column->first_step > before->last_step);
                assert_true(grid_column(series->width, before->first_step) < at);
            }
        }
        part_unref(model);
    }
    keeper_destroy(keeper);
}

static void live_readings_follow_history_without_asking(void **state)
{
    (void)state;
    struct oracle oracle = {.n_steps = 300, .bad_step = 350};
    struct keeper *keeper = begin(&oracle);
    (void)model_wish_add(&wish, LOSS, false);
    struct model_ref l2 = {ORACLE_WEIGHT, READING_SUMMARY, SUMMARY_L2};
    (void)model_wish_add(&wish, l2, false);
    wish.to_step = 1000;
    keeper_set_wish(keeper, &wish, 2);
    oracle_answer(&oracle, keeper);
    uint64_t before = oracle.n_asked;
    for (int64_t step = 300; step < 420; step++) {
        oracle_live(&oracle, keeper, step);
        oracle_answer(&oracle, keeper);
    }
    assert_int_equal(oracle.n_asked, before);
    struct model *model = keeper_publish(keeper);
    assert_series(&oracle, model, LOSS, 420);
    assert_series(&oracle, model, l2, 420);
    assert_int_equal(model->runs->at[0].last_step, 419);
    assert_int_equal(model_thing_find(model, ORACLE_LOSS)->n_nonfinite, 70);
    part_unref(model);
    keeper_destroy(keeper);
}

static void readings_between_question_and_answer_are_not_lost(void **state)
{
    (void)state;
    struct oracle oracle = {.n_steps = 300, .bad_step = INT64_MAX};
    struct keeper *keeper = begin(&oracle);
    (void)model_wish_add(&wish, LOSS, false);
    keeper_set_wish(keeper, &wish, 2);
    for (int64_t step = 290; step < 330; step++) { /* ten of them committed, too */
        oracle_live(&oracle, keeper, step);
    }
    oracle_answer(&oracle, keeper);
    struct model *model = keeper_publish(keeper);
    assert_series(&oracle, model, LOSS, 330);
    part_unref(model);
    keeper_destroy(keeper);
}

static void a_zoom_shows_the_old_columns_until_the_new_ones_are_there(void **state)
{
    (void)state;
    struct oracle oracle = {.n_steps = 4000, .bad_step = INT64_MAX};
    struct keeper *keeper = begin(&oracle);
    wish.columns = 500;
    (void)model_wish_add(&wish, LOSS, false);
    keeper_set_wish(keeper, &wish, 2);
    oracle_answer(&oracle, keeper);
    wish.from_step = 1000;
    wish.to_step = 1200;
    keeper_set_wish(keeper, &wish, 3);
    struct model *model = keeper_publish(keeper);
    assert_false(model->is_complete);
    const struct model_series *series = model_find(model, LOSS, false);
    assert_int_equal(series->width, 8);
    assert_true(series->n > 400);
    part_unref(model);
    oracle_answer(&oracle, keeper);
    model = keeper_publish(keeper);
    series = model_find(model, LOSS, false);
    assert_true(model->is_complete);
    assert_int_equal(series->width, 1);
    assert_int_equal(model_column(series, 0)->first_step, 1000);
    assert_int_equal(model_column(series, series->n - 1)->last_step, 1200);
    part_unref(model);
    keeper_destroy(keeper);
}

static void units_come_as_lines_with_their_bad_one_marked(void **state)
{
    (void)state;
    struct oracle oracle = {.n_steps = 200, .bad_step = 150};
    struct keeper *keeper = begin(&oracle);
    wish.units_thing = ORACLE_OUT;
    wish.units_stat = UNIT_L2;
    wish.units_columns = 1000;
    wish.hist_thing = ORACLE_OUT;
    keeper_set_wish(keeper, &wish, 2);
    oracle_answer(&oracle, keeper);
    for (int64_t step = 200; step < 210; step++) {
        oracle_live(&oracle, keeper, step);
    }
    struct model *model = keeper_publish(keeper);
    const struct model_units *units = model->units;
    assert_true(model->is_complete);
    assert_int_equal(units->n_units, ORACLE_UNITS);
    assert_int_equal(units->n, 210);
    for (size_t unit = 0; unit < units->n_units; unit++) {
        assert_int_equal(units->any[unit], unit == ORACLE_BAD_UNIT ? SHEET_NAN : 0);
        for (size_t i = 0; i < units->n; i++) {
            float should = (float)oracle_value(
                &oracle, ORACLE_OUT, READING_UNITS, UNIT_L2, (int)unit, (int64_t)i);
            float is = units->mean[unit * units->n + i];
            assert_true(isnan(should) ? isnan(is) : is >= should && is <= should);
        }
    }
    const struct model_hist *hist = model->hist;
    assert_int_equal(hist->n, 210);
    float sum = 0;
    for (int bin = 0; bin < 2 * hist->n_exps + 1; bin++) {
        sum += hist->shares[bin];
    }
    assert_true(fabsf(sum - 60.0F / 64) < 1e-5F); /* 4 + 8 + 12 + 16 + 20 of 64 */
    part_unref(model);
    keeper_destroy(keeper);
}

static void after_a_reconnect_everything_is_asked_again_and_stays_on_show(void **state)
{
    (void)state;
    struct oracle oracle = {.n_steps = 300, .bad_step = INT64_MAX};
    struct keeper *keeper = begin(&oracle);
    (void)model_wish_add(&wish, LOSS, false);
    keeper_set_wish(keeper, &wish, 2);
    oracle_answer(&oracle, keeper);
    keeper_set_state(keeper, MODEL_AWAY, "gone", 5);
    struct model *model = keeper_publish(keeper);
    assert_int_equal(model->state, MODEL_AWAY);
    assert_series(&oracle, model, LOSS, 300);
    part_unref(model);
    oracle.n_steps = 380; /* went on while the daemon was away */
    oracle_connect(keeper);
    oracle_answer(&oracle, keeper);
    model = keeper_publish(keeper);
    assert_int_equal(model->state, MODEL_READY);
    assert_int_equal(model->runs->at[0].last_step, 379);
    part_unref(model);
    wish.to_step = 379;
    keeper_set_wish(keeper, &wish, 3);
    oracle_answer(&oracle, keeper);
    model = keeper_publish(keeper);
    assert_true(model->is_complete);
    assert_series(&oracle, model, LOSS, 380);
    part_unref(model);
    keeper_destroy(keeper);
}

static void late_steps_are_fetched_before_long(void **state)
{
    (void)state;
    struct oracle oracle = {.n_steps = 300, .bad_step = INT64_MAX};
    struct keeper *keeper = begin(&oracle);
    (void)model_wish_add(&wish, LOSS, false);
    keeper_set_wish(keeper, &wish, 2);
    oracle_answer(&oracle, keeper);
    uint64_t before = oracle.n_ranges;
    oracle_live(&oracle, keeper, 100);
    for (int i = 0; i < 20; i++) {
        oracle_answer(&oracle, keeper);
        part_unref(keeper_publish(keeper));
    }
    oracle_answer(&oracle, keeper);
    assert_int_equal(oracle.n_ranges, before + 1);
    keeper_destroy(keeper);
}

static void alerts_come_in_the_order_of_their_steps_and_once(void **state)
{
    (void)state;
    struct oracle oracle = {.n_steps = 300, .bad_step = 200};
    struct keeper *keeper = begin(&oracle);
    oracle_alert(&oracle, keeper, 3, 250);
    oracle_alert(&oracle, keeper, 2, 120);
    oracle_alert(&oracle, keeper, 3, 250);
    struct model *model = keeper_publish(keeper);
    assert_int_equal(model->alerts->n, 3);
    assert_int_equal(model->alerts->at[0].id, 2);
    assert_int_equal(model->alerts->at[1].id, 1);
    assert_int_equal(model->alerts->at[2].id, 3);
    part_unref(model);
    keeper_destroy(keeper);
}

static void answers_of_the_wrong_size_leave_a_gap_and_no_damage(void **state)
{
    (void)state;
    struct oracle oracle = {.n_steps = 300, .bad_step = INT64_MAX};
    struct keeper *keeper = begin(&oracle);
    (void)model_wish_add(&wish, LOSS, false);
    keeper_set_wish(keeper, &wish, 2);
    Baro__Envelope question;
    assert_true(keeper_ask(keeper, &question));
    keeper_sent(keeper, 77);
    Baro__RangeReply reply;
    Baro__Envelope envelope;
    baro__range_reply__init(&reply);
    baro__envelope__init(&envelope);
    reply.n_columns = UINT32_MAX;
    envelope.request = 77;
    envelope.body_case = BARO__ENVELOPE__BODY_RANGE_REPLY;
    envelope.range_reply = &reply;
    _Alignas(8) uint8_t bytes[72] = {0};
    struct keeper_frame frame = {bytes, sizeof bytes};
    keeper_take(keeper, &envelope, &frame, 1);
    struct model *model = keeper_publish(keeper);
    assert_int_equal(model_find(model, LOSS, false)->n, 0);
    part_unref(model);
    keeper_destroy(keeper);
}

static void a_tree_is_made_of_the_dots_in_names(void **state)
{
    (void)state;
    struct oracle oracle = {.n_steps = 300, .bad_step = 100};
    struct keeper *keeper = begin(&oracle);
    struct model *model = keeper_publish(keeper);
    struct tree *tree = tree_create(model->things);
    static const char *const paths[] = {"encoder", "encoder.fc1", "encoder.fc1.weight",
        "decoder", "decoder.out", "decoder.bias"};
    assert_int_equal(tree->n, 6);
    for (size_t i = 0; i < tree->n; i++) {
        assert_int_equal(tree->nodes[i].path_n, strlen(paths[i]));
        assert_memory_equal(tree->nodes[i].path, paths[i], strlen(paths[i]));
    }
    assert_int_equal(tree->nodes[0].end, 3);
    assert_int_equal(tree->nodes[0].level, 0);
    assert_int_equal(tree->nodes[0].n_tensors, 3);
    assert_int_equal(tree->nodes[3].end, 6);
    assert_int_equal(tree->nodes[3].level, BARO_ALARM);
    assert_int_equal(tree->nodes[2].roles[BARO_WEIGHT], ORACLE_WEIGHT);
    assert_int_equal(tree->nodes[2].roles[BARO_GRAD], ORACLE_GRAD);
    assert_int_equal(tree_node_thing(&tree->nodes[4], model), ORACLE_OUT);
    part_unref(tree);
    part_unref(model);
    keeper_destroy(keeper);
}

static void epochs_of_a_tensor_are_one_tensor_of_the_tree(void **state)
{
    (void)state;
    enum { N = 2 };
    struct model_things *things =
        part_create(sizeof *things + N * sizeof things->at[0], NULL);
    const struct model_thing all[N] = {
        {.thing = 1, .is_tensor = true, .name = "fc1", .role = BARO_ACT, .epoch = 1},
        {.thing = 2, .is_tensor = true, .name = "fc1", .role = BARO_ACT, .epoch = 2},
    };
    things->n = N;
    memcpy(things->at, all, sizeof all);
    struct tree *tree = tree_create(things);
    assert_int_equal(tree->n, 1);
    assert_int_equal(tree->nodes[0].n_tensors, 1);
    assert_int_equal(tree->nodes[0].roles[BARO_ACT], 2);
    part_unref(tree);
    part_unref(things);
}

static void each_rank_has_leaves_of_its_own_in_the_tree(void **state)
{
    (void)state;
    enum { N = 4 };
    struct model_things *things =
        part_create(sizeof *things + N * sizeof things->at[0], NULL);
    const struct model_thing all[N] = {
        {.thing = 1, .is_tensor = true, .name = "net.fc1", .role = BARO_ACT},
        {.thing = 2, .is_tensor = true, .name = "net.fc1.weight", .role = BARO_WEIGHT},
        {.thing = 3, .rank = 1, .is_tensor = true, .name = "net.fc1", .role = BARO_ACT},
        {.thing = 4,
            .rank = 1,
            .is_tensor = true,
            .name = "net.fc1.weight",
            .role = BARO_WEIGHT},
    };
    things->n = N;
    memcpy(things->at, all, sizeof all);
    struct tree *tree = tree_create(things);
    assert_int_equal(tree->n, 5); /* net, fc1, weight, weight of rank 1, fc1 of rank 1 */
    assert_int_equal(tree->nodes[1].roles[BARO_ACT], 1);
    assert_int_equal(tree->nodes[2].roles[BARO_WEIGHT], 2);
    assert_int_equal(tree->nodes[3].roles[BARO_WEIGHT], 4);
    assert_int_equal(tree->nodes[3].rank, 1);
    assert_int_equal(tree->nodes[4].roles[BARO_ACT], 3);
    assert_int_equal(tree->nodes[4].rank, 1);
    assert_int_equal(tree->nodes[1].rank, 0);
    part_unref(tree);
    part_unref(things);
}

static void evaluation_comes_after_training_in_the_tree(void **state)
{
    (void)state;
    static const char *const names[] = {"eval/net", "no_grad/net", "net", "evaluator"};
    enum { N = BARO_LEN(names) };
    struct model_things *things =
        part_create(sizeof *things + N * sizeof things->at[0], NULL);
    things->n = N;
    for (uint32_t i = 0; i < N; i++) {
        things->at[i] = (struct model_thing){
            .thing = i + 1, .is_tensor = true, .name = names[i], .role = BARO_ACT};
    }
    struct tree *tree = tree_create(things);
    static const uint32_t order[N] = {3, 4, 1, 2};
    assert_int_equal(tree->n, N);
    for (uint32_t i = 0; i < N; i++) {
        assert_int_equal(tree->nodes[i].roles[BARO_ACT], order[i]);
    }
    part_unref(tree);
    part_unref(things);
}

static void of_several_epochs_the_tree_shows_the_newest(void **state)
{
    (void)state;
    struct model_things *things =
        part_create(sizeof *things + 3 * sizeof things->at[0], NULL);
    things->n = 3;
    for (uint32_t i = 0; i < 3; i++) {
        things->at[i] = (struct model_thing){.thing = i + 1,
            .is_tensor = true,
            .name = "fc1",
            .role = i == 1 ? BARO_GRAD : BARO_WEIGHT,
            .epoch = i == 2 ? 2 : 1};
    }
    struct tree *tree = tree_create(things);
    assert_int_equal(tree->n, 1);
    assert_int_equal(tree->nodes[0].roles[BARO_WEIGHT], 3);
    assert_int_equal(tree->nodes[0].roles[BARO_GRAD], 2);
    part_unref(tree);
    part_unref(things);
}

static void runs_that_branched_say_so(void **state)
{
    (void)state;
    struct catalog *catalog = catalog_create();
    char ids[3][8] = {"a", "a~1", "b~1"};
    Baro__RunDescription descriptions[3];
    Baro__RunInfo infos[3];
    Baro__RunInfo *pointers[3];
    for (size_t i = 0; i < 3; i++) {
        baro__run_description__init(&descriptions[i]);
        baro__run_info__init(&infos[i]);
        descriptions[i].run_id = ids[i];
        infos[i].run = (uint32_t)(3 - i);
        infos[i].description = &descriptions[i];
        pointers[i] = &infos[i];
    }
    infos[0].parent = 2;
    infos[0].branch_step = 500;
    infos[1].n_branches = 1;
    infos[1].is_overwritten = true;
    catalog_set_runs(catalog, pointers, 3);
    const struct model_run *run = catalog_run(catalog, 3);
    assert_string_equal(run->branch, "");
    assert_int_equal(run->parent, 2);
    assert_int_equal(run->branch_step, 500);
    run = catalog_run(catalog, 2);
    assert_string_equal(run->branch, "~1");
    assert_true(run->is_overwritten);
    assert_string_equal(catalog_run(catalog, 1)->branch, ""); /* its user called it so */
    catalog_destroy(catalog);
}

static void a_name_means_the_branch_that_carries_the_id(void **state)
{
    (void)state;
    static const struct baro_called runs[] = {{"k7x2", "vae", "beta"},
        {"p~1", "odd", "own"}, {"k7x2~2", "vae", "beta"}, {"k7x2~1", "vae", "beta"}};
    size_t at = 99;
    bool fits[4];
    assert_false(baro_meant_is_former(runs, 4, 0));
    assert_false(baro_meant_is_former(runs, 4, 1)); /* no run is called p */
    assert_true(baro_meant_is_former(runs, 4, 2));
    static const char *const names[] = {"beta", "vae/beta", "k7", "k7x2", "latest"};
    for (size_t i = 0; i < BARO_LEN(names); i++) {
        assert_int_equal(baro_meant_find(runs, 4, names[i], &at, fits), BARO_MEANT_ONE);
        assert_int_equal(at, 0);
        assert_true(fits[0] && !fits[1] && !fits[2] && !fits[3]);
    }
    assert_int_equal(baro_meant_find(runs, 4, "k7x2~1", &at, NULL), BARO_MEANT_ONE);
    assert_int_equal(at, 3);
    assert_int_equal(baro_meant_find(runs, 4, "k7x2~", &at, NULL), BARO_MEANT_SEVERAL);
    assert_int_equal(baro_meant_find(runs + 2, 2, "beta", &at, NULL), BARO_MEANT_SEVERAL);
}

static void a_name_that_several_runs_have_means_none_of_them(void **state)
{
    (void)state;
    static const struct baro_called runs[] = {{"k7x2", "vae", "beta"},
        {"k7a9", "vae", "beta"}, {"p001", "gan", "small"}, {"small", "odd", "x"}};
    size_t at = 99;
    bool fits[4];
    assert_int_equal(baro_meant_find(runs, 4, "latest", &at, NULL), BARO_MEANT_ONE);
    assert_int_equal(at, 0);
    assert_int_equal(baro_meant_find(runs, 4, "vae/beta", &at, fits), BARO_MEANT_SEVERAL);
    assert_true(fits[0] && fits[1] && !fits[2] && !fits[3]);
    assert_int_equal(baro_meant_find(runs, 4, "k7a", &at, NULL), BARO_MEANT_ONE);
    assert_int_equal(at, 1);
    assert_int_equal(baro_meant_find(runs, 4, "k7", &at, NULL), BARO_MEANT_SEVERAL);
    assert_int_equal(baro_meant_find(runs, 4, "small", &at, NULL), BARO_MEANT_ONE);
    assert_int_equal(at, 3); /* an id goes before a name */
    assert_int_equal(baro_meant_find(runs, 4, "", &at, NULL), BARO_MEANT_NONE);
    assert_int_equal(baro_meant_find(runs, 0, "latest", &at, NULL), BARO_MEANT_NONE);
    char near[64];
    assert_true(baro_meant_near(runs, 4, "gam/small", near, sizeof near));
    assert_string_equal(near, "gan/small");
    assert_false(baro_meant_near(runs, 4, "something else", near, sizeof near));
}

/* Take a model, look, and give it back. */
static const struct model *publish(struct keeper *keeper)
{
    static const struct model *last;
    part_unref(last);
    last = keeper != NULL ? keeper_publish(keeper) : NULL;
    return last;
}

static void probes_are_asked_for_only_where_a_page_shows_them(void **state)
{
    (void)state;
    struct oracle oracle = {.n_steps = 400, .bad_step = 310, .has_probe = true};
    struct keeper *keeper = begin(&oracle);
    assert_int_equal(oracle.n_rows, 0);
    assert_null(publish(keeper)->graph);
    assert_null(publish(keeper)->why);
    wish.wants_graph = true;
    keeper_set_wish(keeper, &wish, 2);
    assert_false(publish(keeper)->is_complete);
    oracle_answer(&oracle, keeper);
    const struct model *model = publish(keeper);
    assert_true(model->is_complete);
    assert_int_equal(oracle.n_rows, 3); /* failures, regular ones, the newest of these */
    assert_int_equal(model->graph->probe->probe->step, 2);
    assert_null(model->why);
    wish.wants_graph = false;
    wish.wants_why = true;
    keeper_set_wish(keeper, &wish, 3);
    oracle_answer(&oracle, keeper);
    model = publish(keeper);
    assert_true(model->is_complete);
    assert_true(model->why->is_done);
    assert_int_equal(model->why->failure->probe->step, 310);
    assert_int_equal(model->why->calm->probe->step, 2);
    assert_true(model->why->credit.is_done);
    assert_true(fabs(model->why->credit.explained - 1) < 0.01);
    uint64_t n_rows = oracle.n_rows;
    oracle_answer(&oracle, keeper);
    assert_int_equal(oracle.n_rows, n_rows); /* what is told is not asked for again */
    (void)publish(NULL);
    keeper_destroy(keeper);
}

static void the_story_is_told_again_after_a_lost_connection(void **state)
{
    (void)state;
    struct oracle oracle = {.n_steps = 400, .bad_step = 310, .has_probe = true};
    struct keeper *keeper = begin(&oracle);
    Baro__Envelope question;
    wish.wants_why = true;
    keeper_set_wish(keeper, &wish, 2);
    assert_true(keeper_ask(keeper, &question));
    keeper_sent(keeper, 9999); /* never answered */
    oracle_connect(keeper);
    oracle_answer(&oracle, keeper);
    assert_true(publish(keeper)->is_complete);
    assert_true(publish(keeper)->why->has_story);
    (void)publish(NULL);
    keeper_destroy(keeper);
}

static void a_run_without_probes_has_a_graph_that_says_so(void **state)
{
    (void)state;
    struct oracle oracle = {.n_steps = 400, .bad_step = 310};
    struct keeper *keeper = begin(&oracle);
    wish.wants_graph = wish.wants_why = true;
    keeper_set_wish(keeper, &wish, 2);
    oracle_answer(&oracle, keeper);
    const struct model *model = publish(keeper);
    assert_true(model->is_complete);
    assert_true(model->graph->is_ready);
    assert_null(model->graph->probe);
    assert_null(model->why->failure);
    assert_false(model->why->has_credit);
    (void)publish(NULL);
    keeper_destroy(keeper);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_arrive_before_anything_is_drawn_from_them),
        cmocka_unit_test(only_what_is_wished_for_is_asked),
        cmocka_unit_test(columns_of_the_daemon_are_columns_of_the_grid),
        cmocka_unit_test(live_readings_follow_history_without_asking),
        cmocka_unit_test(readings_between_question_and_answer_are_not_lost),
        cmocka_unit_test(a_zoom_shows_the_old_columns_until_the_new_ones_are_there),
        cmocka_unit_test(units_come_as_lines_with_their_bad_one_marked),
        cmocka_unit_test(after_a_reconnect_everything_is_asked_again_and_stays_on_show),
        cmocka_unit_test(late_steps_are_fetched_before_long),
        cmocka_unit_test(alerts_come_in_the_order_of_their_steps_and_once),
        cmocka_unit_test(answers_of_the_wrong_size_leave_a_gap_and_no_damage),
        cmocka_unit_test(a_tree_is_made_of_the_dots_in_names),
        cmocka_unit_test(epochs_of_a_tensor_are_one_tensor_of_the_tree),
        cmocka_unit_test(each_rank_has_leaves_of_its_own_in_the_tree),
        cmocka_unit_test(evaluation_comes_after_training_in_the_tree),
        cmocka_unit_test(of_several_epochs_the_tree_shows_the_newest),
        cmocka_unit_test(runs_that_branched_say_so),
        cmocka_unit_test(a_name_means_the_branch_that_carries_the_id),
        cmocka_unit_test(a_name_that_several_runs_have_means_none_of_them),
        cmocka_unit_test(probes_are_asked_for_only_where_a_page_shows_them),
        cmocka_unit_test(the_story_is_told_again_after_a_lost_connection),
        cmocka_unit_test(a_run_without_probes_has_a_graph_that_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
