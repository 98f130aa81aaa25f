/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "tests/testing.h"

#include "lib/analysis/detect.h"
#include "lib/base/mem.h"

/* ---- non-finite values ---- */

static struct nonfinite_reading reading_of(uint32_t thing, int64_t step, uint64_t n_nan)
{
    return (struct nonfinite_reading){.thing = thing, .step = step, .is_bad = n_nan > 0};
}

static bool add(struct nonfinite_detector *detector, uint32_t thing, int64_t step,
    uint64_t n_nan, struct nonfinite_finding *finding)
{
    struct nonfinite_reading reading = reading_of(thing, step, n_nan);
    reading.is_loss = thing == 99;
    reading.is_weight = thing == 50;
    reading.is_backward = thing == 30;
    return nonfinite_add(detector, &reading, finding);
}

static void the_first_tensor_is_the_origin_and_forty_more_are_no_news(void **unused)
{
    (void)unused;
    struct nonfinite_detector *detector = nonfinite_create();
    struct nonfinite_finding finding;
    for (int64_t step = 0; step < 412; step++) {
        for (uint32_t thing = 1; thing <= 40; thing++) {
            assert_false(add(detector, thing, step, 0, &finding));
        }
    }
    int n_told = 0;
    for (int64_t step = 412; step < 600; step++) {
        for (uint32_t thing = 3; thing <= 40; thing++) {
            bool is_news = add(detector, thing, step, 5, &finding);
            assert_int_equal(is_news, step == 412 && thing == 3);
            n_told += is_news ? 1 : 0;
        }
        bool is_news = add(detector, 99, step, 1, &finding);
        assert_int_equal(is_news, step == 412);
        is_news = add(detector, 50, step, 1, &finding);
        assert_int_equal(is_news, step == 412);
        while (nonfinite_take(detector, &finding)) {
        }
    }
    assert_int_equal(n_told, 1);
    nonfinite_destroy(detector);
}

static void a_calm_while_begins_a_new_incident(void **unused)
{
    (void)unused;
    struct nonfinite_detector *detector = nonfinite_create();
    struct nonfinite_finding finding;
    assert_true(add(detector, 7, 10, 1, &finding));
    assert_false(add(detector, 7, 11, 0, &finding));
    assert_false(add(detector, 7, 11 + NONFINITE_CALM_STEPS - 1, 1, &finding));
    assert_false(add(detector, 7, 60, 0, &finding));
    assert_true(add(detector, 7, 60 + NONFINITE_CALM_STEPS, 1, &finding));
    assert_true(finding.is_new_incident);
    nonfinite_destroy(detector);
}

static void a_tensor_seen_rarely_and_always_bad_stays_one_incident(void **unused)
{
    (void)unused;
    struct nonfinite_detector *detector = nonfinite_create();
    struct nonfinite_finding finding;
    assert_true(add(detector, 7, 0, 1, &finding));
    for (int64_t step = 500; step < 5000; step += 500) {
        assert_false(add(detector, 7, step, 1, &finding));
    }
    nonfinite_destroy(detector);
}

static void a_loss_told_after_its_gradients_is_blamed_for_them(void **unused)
{
    (void)unused;
    struct nonfinite_detector *detector = nonfinite_create();
    struct nonfinite_finding finding;
    assert_true(add(detector, 30, 5, 1, &finding)); /* a gradient */
    assert_false(finding.began_in_loss);
    assert_true(add(detector, 99, 5, 1, &finding));
    assert_true(finding.began_in_loss);
    assert_true(nonfinite_take(detector, &finding));
    assert_int_equal(finding.news, NONFINITE_ORIGIN);
    assert_true(finding.began_in_loss);
    assert_true(nonfinite_take(detector, &finding));
    assert_int_equal(finding.news, NONFINITE_LOSS);
    assert_true(finding.began_in_loss);
    nonfinite_destroy(detector);
}

static void a_loss_is_not_blamed_for_activations_or_for_earlier_gradients(void **unused)
{
    (void)unused;
    static const struct {
        uint32_t origin;
        int64_t loss_step;
    } cases[] = {{7, 5}, {30, 6}};
    for (size_t i = 0; i < BARO_LEN(cases); i++) {
        struct nonfinite_detector *detector = nonfinite_create();
        struct nonfinite_finding finding;
        assert_true(add(detector, cases[i].origin, 5, 1, &finding));
        assert_true(add(detector, 99, cases[i].loss_step, 1, &finding));
        assert_false(finding.began_in_loss);
        assert_true(nonfinite_take(detector, &finding));
        assert_false(finding.began_in_loss);
        nonfinite_destroy(detector);
    }
}

static void a_loss_that_is_the_origin_is_told_once(void **unused)
{
    (void)unused;
    struct nonfinite_detector *detector = nonfinite_create();
    struct nonfinite_finding finding;
    assert_true(add(detector, 99, 5, 1, &finding));
    assert_int_equal(finding.news, NONFINITE_ORIGIN);
    assert_false(add(detector, 99, 6, 1, &finding));
    nonfinite_destroy(detector);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_tensor_is_the_origin_and_forty_more_are_no_news),
        cmocka_unit_test(a_calm_while_begins_a_new_incident),
        cmocka_unit_test(a_tensor_seen_rarely_and_always_bad_stays_one_incident),
        cmocka_unit_test(a_loss_told_after_its_gradients_is_blamed_for_them),
        cmocka_unit_test(a_loss_is_not_blamed_for_activations_or_for_earlier_gradients),
        cmocka_unit_test(a_loss_that_is_the_origin_is_told_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
