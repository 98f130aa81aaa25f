/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/testing.h"

#include "tests/unit/credit_rig.h"

#include <math.h>

/* Credit assignment over what is odd: nothing kept, no rule, nothing finite, graphs that differ. */

static const int64_t wide[] = {2, 3};

/* Add a value of [2, 3], samples by units. */
static int32_t add(struct rig *rig, enum probe_value_kind kind, const char *name,
    enum probe_kept kept, const float *x)
{
    struct rig_value value = {kind, name, {0}, 2, 1, 2, kept, x};
    memcpy(value.shape, wide, sizeof wide);
    return rig_value(rig, value);
}

static const float some[] = {1, 2, 3, 4, 5, 6};
static const float more[] = {3, 1, 2, 2, 4, 3};

static void one_operation_is_enough(void **state)
{
    struct rig rig;
    const float y[] = {4, 3, 5, 6, 9, 9};
    rig_begin(&rig, 2, 2, NULL);
    const int32_t a = add(&rig, PROBE_INPUT, "a", PROBE_KEPT_ROWS, some);
    const int32_t b = add(&rig, PROBE_INPUT, "b", PROBE_KEPT_ROWS, more);
    const int32_t out = add(&rig, PROBE_RESULT, "", PROBE_KEPT_ROWS, y);
    rig_op(&rig, (struct rig_op){"add", "", "alpha=1", {a, b}, 2, {out}, 1});
    const struct probe *probe = rig_end(&rig, PROBE_NONE);
    struct credit *credit = NULL;
    const struct credit_finding *finding =
        rig_explain(&credit, CREDIT_VALUE, probe, NULL, (struct credit_target){out, 1, -1});
    rig_near(finding->total, 12, 1, 1e-6);
    rig_near(rig_share_of(finding, a), 7.0 / 12, 1, 1e-5);
    rig_near(rig_share_of(finding, b), 5.0 / 12, 1, 1e-5);
    credit_free(credit);
    /* What came from outside is its own explanation. */
    finding =
        rig_explain(&credit, CREDIT_VALUE, probe, NULL, (struct credit_target){a, -1, -1});
    rig_near(finding->explained, 1, 1, 1e-6);
    assert_int_equal(finding->n_nodes, 0);
    credit_free(credit);
    rig_free(&rig);
}

static void what_is_exactly_zero_has_a_sentence_instead_of_shares(void **state)
{
    static const float below[6] = {-1, -2, -3, -4, -5, -6};
    static const float zeros[6] = {0};
    static const float none = 0;
    (void)state;
    struct rig rig;
    rig_begin(&rig, 2, 2, NULL);
    const int32_t a = add(&rig, PROBE_INPUT, "a", PROBE_KEPT_ROWS, below);
    const int32_t out = add(&rig, PROBE_RESULT, "", PROBE_KEPT_ROWS, zeros);
    rig_op(&rig, (struct rig_op){"relu", "", "", {a}, 1, {out}, 1});
    const int32_t loss = rig_value(
        &rig, (struct rig_value){PROBE_RESULT, "loss", .kept = PROBE_KEPT_ALL, .x = &none});
    rig_op(&rig, (struct rig_op){"sum", "", "", {out}, 1, {loss}, 1});
    const struct probe *probe = rig_end(&rig, loss);
    const struct {
        enum credit_mode mode;
        int32_t value;
        const char *words;
    } cases[] = {{CREDIT_VALUE, out, "exactly 0"},
        {CREDIT_GRADIENT, a, "Its gradient is exactly 0"},
        {CREDIT_CHANGE, a, "has not changed at all"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct credit *credit = NULL;
        const struct credit_finding *finding = rig_explain(&credit, cases[i].mode, probe,
            cases[i].mode == CREDIT_CHANGE ? probe : NULL,
            (struct credit_target){cases[i].value, -1, -1});
        assert_true(finding->is_done);
        assert_non_null(strstr(credit_nothing(cases[i].mode, finding), cases[i].words));
        credit_free(credit);
    }
    struct credit *credit = NULL;
    const struct credit_finding *finding = rig_explain(
        &credit, CREDIT_GRADIENT, probe, NULL, (struct credit_target){out, -1, -1});
    assert_string_equal(credit_nothing(CREDIT_GRADIENT, finding), "");
    credit_free(credit);
    rig_free(&rig);
}

static void targets_that_are_not_there_are_refused(void **state)
{
    struct rig rig;
    rig_begin(&rig, 2, 2, NULL);
    const int32_t a = add(&rig, PROBE_INPUT, "a", PROBE_KEPT_ROWS, some);
    const int32_t out = add(&rig, PROBE_RESULT, "", PROBE_KEPT_NONE, more);
    rig_op(&rig, (struct rig_op){"mystery", "", "", {a}, 1, {out}, 1});
    const struct probe *probe = rig_end(&rig, PROBE_NONE);
    const struct {
        enum credit_mode mode;
        struct credit_target target;
        int rc;
    } cases[] = {
        {CREDIT_VALUE, {-1, -1, -1}, BARO_EINVAL},
        {CREDIT_VALUE, {2, -1, -1}, BARO_EINVAL},
        {CREDIT_VALUE, {a, 3, -1}, BARO_EINVAL},
        {CREDIT_VALUE, {a, -1, 2}, BARO_ENOENT},
        {CREDIT_VALUE, {out, -1, -1}, BARO_ENOENT},
        {CREDIT_GRADIENT, {a, -1, -1}, BARO_ENOENT},
        {CREDIT_CHANGE, {a, -1, -1}, BARO_EINVAL},
        {0, {a, -1, -1}, BARO_EINVAL},
        {CREDIT_MODE_END, {a, -1, -1}, BARO_EINVAL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct credit *credit = NULL;
        struct baro_err err = {0};
        assert_int_equal(
            credit_begin(&credit, cases[i].mode, probe, NULL, &cases[i].target, &err),
            cases[i].rc);
        assert_null(credit);
        assert_true(strlen(err.text) > 10);
    }
    rig_free(&rig);
}

static void an_unknown_operation_passes_on_evenly_and_is_named(void **state)
{
    struct rig rig;
    rig_begin(&rig, 2, 2, NULL);
    const float y[] = {9, 9, 9, 9, 9, 9};
    const int32_t a = add(&rig, PROBE_INPUT, "a", PROBE_KEPT_ROWS, some);
    const int32_t b = add(&rig, PROBE_INPUT, "b", PROBE_KEPT_ROWS, more);
    const int32_t out = add(&rig, PROBE_RESULT, "", PROBE_KEPT_ROWS, y);
    const int32_t op =
        rig_op(&rig, (struct rig_op){"mystery", "", "", {a, b}, 2, {out}, 1});
    const struct probe *probe = rig_end(&rig, out);
    struct credit *credit = NULL;
    const struct credit_finding *finding =
        rig_explain(&credit, CREDIT_VALUE, probe, NULL, (struct credit_target){out, 0, 0});
    assert_true(rig_node(finding, op)->is_unknown);
    rig_near(rig_share_of(finding, a), 0.25, 1, 1e-6);
    rig_near(rig_share_of(finding, b), 0.75, 1, 1e-6);
    credit_free(credit);
    /* A gradient does not go through it, and the finding says so. */
    finding = rig_explain(
        &credit, CREDIT_GRADIENT, probe, NULL, (struct credit_target){a, -1, -1});
    assert_true(rig_node(finding, op)->is_unknown);
    assert_true(finding->error_bound >= 1);
    credit_free(credit);
    rig_free(&rig);
}

static void an_unknown_operation_of_another_size_stops_the_share(void **state)
{
    struct rig rig;
    const float y = 7;
    rig_begin(&rig, 2, 2, NULL);
    const int32_t a = add(&rig, PROBE_INPUT, "a", PROBE_KEPT_ROWS, some);
    const int32_t out = rig_value(
        &rig, (struct rig_value){PROBE_RESULT, "", {0}, 0, 0, 0, PROBE_KEPT_ALL, &y});
    rig_op(&rig, (struct rig_op){"mystery", "", "", {a}, 1, {out}, 1});
    struct credit *credit = NULL;
    const struct credit_finding *finding = rig_explain(&credit, CREDIT_VALUE,
        rig_end(&rig, out), NULL, (struct credit_target){out, -1, -1});
    rig_near(rig_own(finding, CREDIT_OWN_UNKNOWN), 1, 1, 1e-6);
    rig_near(finding->explained, 1, 1, 1e-6);
    assert_true(finding->error_bound >= 1);
    credit_free(credit);
    rig_free(&rig);
}

static void operands_that_were_not_kept_are_unknown_but_moves_are_made_again(void **state)
{
    struct rig rig;
    rig_begin(&rig, 2, 2, NULL);
    const float y[] = {2.5f, 4.5f, 6.5f, 8.5f, 10.5f, 12.5f};
    const int32_t a = add(&rig, PROBE_INPUT, "a", PROBE_KEPT_ROWS, some);
    const int32_t same = add(&rig, PROBE_RESULT, "", PROBE_KEPT_NONE, NULL);
    const int32_t half = add(&rig, PROBE_RESULT, "", PROBE_KEPT_NONE, NULL);
    const int32_t out = add(&rig, PROBE_RESULT, "", PROBE_KEPT_ROWS, y);
    rig_op(&rig, (struct rig_op){"view", "", "", {a}, 1, {same}, 1});
    const int32_t lost =
        rig_op(&rig, (struct rig_op){"add", "", "other=0.25", {same}, 1, {half}, 1});
    rig_op(&rig, (struct rig_op){"mul", "", "other=2", {half, PROBE_NONE}, 2, {out}, 1});
    struct credit *credit = NULL;
    const struct credit_finding *finding = rig_explain(&credit, CREDIT_VALUE,
        rig_end(&rig, out), NULL, (struct credit_target){out, -1, 1});
    assert_false(rig_node(finding, lost)->is_unknown);
    rig_near(rig_share_of(finding, a) + rig_own(finding, CREDIT_OWN_BIAS), 1, 1, 1e-5);
    rig_near(rig_node(finding, lost)->own[CREDIT_OWN_BIAS], 1.5 / 31.5, 1, 0.02);
    credit_free(credit);
    rig_free(&rig);
}

/* x = a + b, y = exp(x), z = y * c; in sample 1, unit 2 a is so large that y is infinite. */
static const struct probe *probe_overflow(struct rig *rig, float *x, float *y, float *z)
{
    static const float a[] = {1, 2, 3, 4, 5, 88};
    static const float c[] = {1, 1, 1, 1, 1, 0};
    for (int i = 0; i < 6; i++) {
        x[i] = a[i] + more[i];
        y[i] = expf(x[i]);
        z[i] = y[i] * c[i];
    }
    assert_true(isinf(y[5]) && isnan(z[5]));
    rig_begin(rig, 2, 2, NULL);
    add(rig, PROBE_INPUT, "a", PROBE_KEPT_ROWS, a);
    add(rig, PROBE_INPUT, "b", PROBE_KEPT_ROWS, more);
    add(rig, PROBE_INPUT, "c", PROBE_KEPT_ROWS, c);
    add(rig, PROBE_RESULT, "", PROBE_KEPT_ROWS, x);
    add(rig, PROBE_RESULT, "", PROBE_KEPT_ROWS, y);
    add(rig, PROBE_RESULT, "", PROBE_KEPT_ROWS, z);
    rig_op(rig, (struct rig_op){"add", "", "alpha=1", {0, 1}, 2, {3}, 1});
    rig_op(rig, (struct rig_op){"exp", "", "", {3}, 1, {4}, 1});
    rig_op(rig, (struct rig_op){"mul", "", "", {4, 2}, 2, {5}, 1});
    return rig_end(rig, 5);
}

static void a_nan_is_followed_to_where_it_came_from(void **state)
{
    struct rig rig;
    float x[6];
    float y[6];
    float z[6];
    const struct probe *probe = probe_overflow(&rig, x, y, z);
    struct credit *credit = NULL;
    const struct credit_finding *finding =
        rig_explain(&credit, CREDIT_VALUE, probe, NULL, (struct credit_target){5, -1, -1});
    assert_int_equal(finding->n_bad, 1);
    rig_near(finding->total, 1, 1, 0);
    rig_near(
        rig_source(finding, 4, 2, -1), 1, 1, 1e-6); /* inf * 0: the factor that is inf */
    rig_near(rig_source(finding, 3, -1, 1), 1, 1, 1e-6);
    rig_near(rig_share_of(finding, 0), 88.0 / 91, 1, 1e-4);
    rig_near(rig_share_of(finding, 2), 0, 1, 0);
    assert_true(rig_node(finding, 1)->is_singular);
    credit_free(credit);
    rig_free(&rig);
}

static void what_is_not_finite_is_left_out_of_gradients_and_changes(void **state)
{
    struct rig rigs[2];
    float x[6];
    float y[6];
    float z[6];
    const struct probe *probe = probe_overflow(&rigs[0], x, y, z);
    struct credit *credit = NULL;
    const struct credit_finding *finding = rig_explain(
        &credit, CREDIT_GRADIENT, probe, NULL, (struct credit_target){0, -1, 0});
    double squares = 0;
    for (int i = 0; i < 3; i++) {
        squares += (double)y[i] * (double)y[i];
    }
    rig_near(finding->total, sqrt(squares), sqrt(squares), 1e-5);
    credit_free(credit);
    const float calm[] = {1, 1, 1, 1, 1, 1};
    float x0[6];
    float y0[6];
    for (int i = 0; i < 6; i++) {
        x0[i] = calm[i] + more[i];
        y0[i] = expf(x0[i]);
    }
    rig_begin(&rigs[1], 2, 2, NULL);
    add(&rigs[1], PROBE_INPUT, "a", PROBE_KEPT_ROWS, calm);
    add(&rigs[1], PROBE_INPUT, "b", PROBE_KEPT_ROWS, more);
    add(&rigs[1], PROBE_INPUT, "c", PROBE_KEPT_ROWS, calm);
    add(&rigs[1], PROBE_RESULT, "", PROBE_KEPT_ROWS, x0);
    add(&rigs[1], PROBE_RESULT, "", PROBE_KEPT_ROWS, y0);
    add(&rigs[1], PROBE_RESULT, "", PROBE_KEPT_ROWS, y0);
    rig_op(&rigs[1], (struct rig_op){"add", "", "alpha=1", {0, 1}, 2, {3}, 1});
    rig_op(&rigs[1], (struct rig_op){"exp", "", "", {3}, 1, {4}, 1});
    rig_op(&rigs[1], (struct rig_op){"mul", "", "", {4, 2}, 2, {5}, 1});
    const struct probe *before = rig_end(&rigs[1], 5);
    finding = rig_explain(
        &credit, CREDIT_CHANGE, probe, before, (struct credit_target){5, -1, -1});
    assert_int_equal(finding->n_bad, 1);
    rig_near(finding->explained, 1, 1, 1e-4);
    rig_near(rig_share_of(finding, 0), 1, 1, 1e-4);
    credit_free(credit);
    struct baro_err err = {0};
    struct credit *none = NULL;
    const struct credit_target bad = {5, 2, 1};
    assert_int_equal(
        credit_begin(&none, CREDIT_CHANGE, probe, before, &bad, &err), BARO_ENOENT);
    rig_free(&rigs[0]);
    rig_free(&rigs[1]);
}

static void a_weight_that_is_not_finite_does_not_spoil_others(void **state)
{
    const float x[] = {1, 2};
    const float w[] = {1, INFINITY, 3, 4}; /* [2, 2], inputs by outputs */
    const float z[] = {7, INFINITY};
    struct rig rig;
    rig_begin(&rig, 0, 0, NULL);
    rig_value(
        &rig, (struct rig_value){PROBE_INPUT, "x", {1, 2}, 2, 0, 2, PROBE_KEPT_ALL, x});
    rig_value(
        &rig, (struct rig_value){PROBE_PARAMETER, "w", {2, 2}, 2, 0, 2, PROBE_KEPT_ALL, w});
    rig_value(
        &rig, (struct rig_value){PROBE_RESULT, "", {1, 2}, 2, 0, 2, PROBE_KEPT_ALL, z});
    rig_op(&rig, (struct rig_op){"mm", "", "", {0, 1}, 2, {2}, 1});
    const struct probe *probe = rig_end(&rig, PROBE_NONE);
    struct credit *credit = NULL;
    const struct credit_finding *finding =
        rig_explain(&credit, CREDIT_VALUE, probe, NULL, (struct credit_target){2, 0, -1});
    rig_near(rig_source(finding, 0, 0, -1), 1.0 / 7, 1, 1e-5);
    rig_near(rig_source(finding, 0, 1, -1), 6.0 / 7, 1, 1e-5);
    credit_free(credit);
    finding =
        rig_explain(&credit, CREDIT_VALUE, probe, NULL, (struct credit_target){2, 1, -1});
    rig_near(rig_source(finding, 0, 0, -1), 1, 1, 1e-6);
    credit_free(credit);
    rig_free(&rig);
}

static const struct probe *probe_chain(
    struct rig *rig, const char *second, const char *extra, bool has_extra)
{
    rig_begin(rig, 2, 2, NULL);
    const int32_t a = add(rig, PROBE_INPUT, "a", PROBE_KEPT_ROWS, has_extra ? more : some);
    int32_t side = PROBE_NONE;
    if (has_extra) {
        side = add(rig, PROBE_RESULT, "", PROBE_KEPT_ROWS, more);
        rig_op(rig, (struct rig_op){extra, "", "", {a}, 1, {side}, 1});
    }
    const int32_t b = add(rig, PROBE_RESULT, "", PROBE_KEPT_ROWS, has_extra ? more : some);
    const int32_t c = add(rig, PROBE_RESULT, "", PROBE_KEPT_ROWS, has_extra ? more : some);
    rig_op(rig, (struct rig_op){second, "", "", {a}, 1, {b}, 1});
    rig_op(rig, (struct rig_op){"relu", "", "", {b}, 1, {c}, 1});
    return rig_end(rig, c);
}

static void graphs_may_differ_off_the_way(void **state)
{
    struct rig rigs[2];
    const struct probe *now = probe_chain(&rigs[0], "abs", "", false);
    const struct probe *before = probe_chain(&rigs[1], "abs", "relu", true);
    struct credit *credit = NULL;
    const struct credit_finding *finding =
        rig_explain(&credit, CREDIT_CHANGE, now, before, (struct credit_target){2, -1, -1});
    rig_near(rig_share_of(finding, 0), 1, 1, 1e-5);
    credit_free(credit);
    rig_free(&rigs[1]);
    before = probe_chain(&rigs[1], "neg", "relu", true);
    struct baro_err err = {0};
    const struct credit_target target = {2, -1, -1};
    assert_int_equal(credit_begin(&credit, CREDIT_CHANGE, now, before, &target, &err),
        BARO_EUNSUPPORTED);
    assert_non_null(strstr(err.text, "neg"));
    rig_free(&rigs[0]);
    rig_free(&rigs[1]);
}

static void the_loss_may_not_depend_on_the_target(void **state)
{
    struct rig rig;
    rig_begin(&rig, 2, 2, NULL);
    const int32_t a = add(&rig, PROBE_INPUT, "a", PROBE_KEPT_ROWS, some);
    const int32_t b = add(&rig, PROBE_INPUT, "b", PROBE_KEPT_ROWS, some);
    const int32_t c = add(&rig, PROBE_RESULT, "", PROBE_KEPT_ROWS, some);
    rig_op(&rig, (struct rig_op){"relu", "", "", {a}, 1, {c}, 1});
    const struct probe *probe = rig_end(&rig, c);
    struct credit *credit = NULL;
    struct baro_err err = {0};
    const struct credit_target target = {b, -1, -1};
    assert_int_equal(
        credit_begin(&credit, CREDIT_GRADIENT, probe, NULL, &target, &err), BARO_ENOENT);
    assert_non_null(strstr(err.text, "'b'"));
    const struct credit_finding *finding =
        rig_explain(&credit, CREDIT_GRADIENT, probe, NULL, (struct credit_target){c, 1, 1});
    rig_near(finding->total, 1, 1, 1e-6);
    credit_free(credit);
    rig_free(&rig);
}

/* A target of which all elements are 0, or cancel out. */
static void zeros_and_sums_that_cancel_are_explained(void **state)
{
    const float zeros[6] = {0};
    const float both[] = {1, -1, 2, -2, 3, -3};
    const float *targets[] = {zeros, both};
    for (int i = 0; i < 2; i++) {
        struct rig rig;
        rig_begin(&rig, 2, 2, NULL);
        const int32_t a = add(&rig, PROBE_INPUT, "a", PROBE_KEPT_ROWS, targets[i]);
        const int32_t b = add(&rig, PROBE_RESULT, "", PROBE_KEPT_ROWS, targets[i]);
        rig_op(&rig, (struct rig_op){"neg", "", "", {a}, 1, {b}, 1});
        struct credit *credit = NULL;
        const struct credit_finding *finding = rig_explain(&credit, CREDIT_VALUE,
            rig_end(&rig, b), NULL, (struct credit_target){b, -1, -1});
        rig_near(finding->explained, 1, 1, 1e-5);
        rig_near(rig_share_of(finding, a), 1, 1, 1e-5);
        credit_free(credit);
        rig_free(&rig);
    }
}

static void a_hundred_thousand_operations_are_explained(void **state)
{
    enum { OPS = 100000 };
    struct rig rig;
    rig_begin(&rig, 2, 2, NULL);
    int32_t at = add(&rig, PROBE_INPUT, "a", PROBE_KEPT_ROWS, some);
    const int32_t first = at;
    for (int i = 0; i < OPS; i++) {
        const int32_t next = add(&rig, PROBE_RESULT, "", PROBE_KEPT_ROWS, some);
        rig_op(&rig,
            (struct rig_op){i % 2 == 0 ? "relu" : "view", "", "", {at}, 1, {next}, 1});
        at = next;
    }
    const struct probe *probe = rig_end(&rig, at);
    for (int mode = CREDIT_VALUE; mode <= CREDIT_GRADIENT; mode++) {
        struct credit *credit = NULL;
        const struct credit_target target = {mode == CREDIT_GRADIENT ? first : at, -1, -1};
        assert_int_equal(
            credit_begin(&credit, (enum credit_mode)mode, probe, NULL, &target, NULL), 0);
        while (credit_work(credit, 1 << 16)) {
        }
        const struct credit_finding *finding = credit_look(credit);
        assert_int_equal(finding->n_nodes, OPS);
        rig_near(finding->explained, 1, 1, 1e-3);
        rig_near(finding->fraction, 1, 1, 0);
        credit_free(credit);
    }
    rig_free(&rig);
}

static void work_ends_early_and_is_freed(void **state)
{
    struct rig rig;
    float x[6];
    float y[6];
    float z[6];
    const struct probe *probe = probe_overflow(&rig, x, y, z);
    for (int mode = CREDIT_VALUE; mode <= CREDIT_GRADIENT; mode++) {
        for (int steps = 0; steps < 6; steps++) {
            struct credit *credit = NULL;
            const struct credit_target target = {mode == CREDIT_VALUE ? 5 : 0, -1, 0};
            assert_int_equal(
                credit_begin(&credit, (enum credit_mode)mode, probe, NULL, &target, NULL),
                0);
            for (int i = 0; i < steps; i++) {
                (void)credit_work(credit, 1);
            }
            (void)credit_look(credit);
            credit_free(credit);
        }
    }
    credit_free(NULL);
    rig_free(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_operation_is_enough),
        cmocka_unit_test(what_is_exactly_zero_has_a_sentence_instead_of_shares),
        cmocka_unit_test(targets_that_are_not_there_are_refused),
        cmocka_unit_test(an_unknown_operation_passes_on_evenly_and_is_named),
        cmocka_unit_test(an_unknown_operation_of_another_size_stops_the_share),
        cmocka_unit_test(operands_that_were_not_kept_are_unknown_but_moves_are_made_again),
        cmocka_unit_test(a_nan_is_followed_to_where_it_came_from),
        cmocka_unit_test(what_is_not_finite_is_left_out_of_gradients_and_changes),
        cmocka_unit_test(a_weight_that_is_not_finite_does_not_spoil_others),
        cmocka_unit_test(graphs_may_differ_off_the_way),
        cmocka_unit_test(the_loss_may_not_depend_on_the_target),
        cmocka_unit_test(zeros_and_sums_that_cancel_are_explained),
        cmocka_unit_test(a_hundred_thousand_operations_are_explained),
        cmocka_unit_test(work_ends_early_and_is_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
