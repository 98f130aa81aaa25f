/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "tests/testing.h"

#include "lib/analysis/why.h"
#include "lib/base/mem.h"

/* Which incident, alerts, failure and rows of a run are looked into. */

static const struct why_alert alerts[] = {
    {.id = 1, .kind = "nonfinite", .name = "", .role = BARO_ACT, .step = 5},
    {.id = 2, .kind = "nonfinite", .name = "", .role = 0, .step = 90},
    {.id = 3, .kind = "frozen_weights", .name = "", .step = 20, .noticed_step = 80},
    {.id = 4, .kind = "lr_jump", .name = "", .step = 60, .noticed_step = 60}};
static const uint64_t of_first[] = {1};
static const uint64_t of_second[] = {2, 77};
static const uint64_t of_third[] = {3, 4};
static const struct why_listed incidents[] = {{BARO_ALARM, 5, 5, 1, of_first},
    {BARO_ALARM, 75, 90, 2, of_second}, {BARO_WATCH, 20, 60, 2, of_third}};
static const struct why_lists lists = {incidents, 3, alerts, 4};

/* Entries are step, reason, pieces, pieces that are there. */
static struct probe_entry entry(
    int64_t step, enum probe_reason reason, uint32_t n_pieces, uint32_t n_here)
{
    return (struct probe_entry){
        .step = step, .reason = reason, .n_pieces = n_pieces, .n_here = n_here};
}

static void a_nan_that_can_do_harm_goes_before_one_of_outputs_alone(void **state)
{
    (void)state;
    const struct probe_list none = {0};
    assert_int_equal(why_choose_listed(&lists, &none, 200, INT64_MIN), 1);
    assert_int_equal(why_choose_listed(&lists, &none, 200, 4), 0);
    const struct why_lists one = {incidents, 1, alerts, 4};
    assert_int_equal(why_choose_listed(&one, &none, 200, INT64_MIN), 0);
    const struct why_lists nothing = {0};
    assert_int_equal(why_choose_listed(&nothing, &none, 200, INT64_MIN), 0);
}

static void a_failure_that_ended_the_run_goes_before_incidents_without_a_nan(void **state)
{
    (void)state;
    struct probe_entry entries[] = {entry(195, PROBE_FAILURE, 2, 2)};
    const struct probe_list list = {.entries = entries, .n = 1};
    const struct why_lists calm = {incidents + 2, 1, alerts, 4};
    assert_int_equal(why_choose_listed(&calm, &list, 200, INT64_MIN), 1); /* none */
    assert_int_equal(why_choose_listed(&calm, &list, 200, 30), 0); /* that was asked for */
    assert_int_equal(why_choose_listed(&calm, &list, 500, INT64_MIN), 0); /* it went on */
    assert_int_equal(why_choose_listed(&lists, &list, 200, INT64_MIN), 1);
    entries[0].n_here = 1;
    assert_int_equal(why_choose_listed(&calm, &list, 200, INT64_MIN), 0);
}

static void alerts_are_those_of_the_incident_and_of_what_led_to_it(void **state)
{
    (void)state;
    struct why_alert out[4];
    assert_int_equal(why_gather_alerts(&lists, 1, out), 2);
    assert_int_equal(out[0].id, 4); /* 3 was noticed only after the incident began */
    assert_true(out[0].is_before);
    assert_int_equal(out[1].id, 2);
    assert_false(out[1].is_before);
    assert_int_equal(why_gather_alerts(&lists, 3, out), 0);
}

static void of_failures_the_first_whole_one_of_the_incident_is_told(void **state)
{
    (void)state;
    struct probe_entry entries[] = {entry(10, PROBE_REGULAR, 1, 1),
        entry(20, PROBE_FAILURE, 1, 1), entry(70, PROBE_FAILURE, 4, 3),
        entry(71, PROBE_FAILURE, 2, 2), entry(72, PROBE_FAILURE, 2, 2),
        entry(50, PROBE_REGULAR, 3, 2)};
    const struct probe_list list = {.entries = entries, .n = BARO_LEN(entries)};
    const struct why_incident incident = {.first_step = 90, .last_step = 95};
    struct why_others others;
    assert_ptr_equal(why_choose_failure(&list, &incident, INT64_MIN, &others), &entries[3]);
    assert_int_equal(others.n, 2);
    assert_int_equal(others.steps[0], 20);
    assert_int_equal(others.steps[1], 72);
    assert_int_equal(others.cut_step, 70);
    assert_int_equal(others.pieces, 4);
    assert_int_equal(others.pieces_here, 3);
    assert_ptr_equal(why_choose_failure(&list, &incident, 72, &others), &entries[4]);
    assert_ptr_equal(why_choose_failure(&list, NULL, INT64_MIN, &others), &entries[1]);
    assert_ptr_equal(why_choose_calm(&list, 70), &entries[0]); /* that of 50 is not whole */
    assert_null(why_choose_calm(&list, 10));
}

static void of_a_failure_in_pieces_it_is_said_how_many_came(void **state)
{
    (void)state;
    struct probe_entry entries[] = {entry(70, PROBE_FAILURE, 4, 3)};
    const struct probe_list list = {.entries = entries, .n = 1};
    struct why_others others;
    assert_ptr_equal(why_choose_failure(&list, NULL, INT64_MIN, &others), &entries[0]);
    assert_int_equal(others.n, 0);
    assert_int_equal(others.pieces, 4);
    const struct probe_list none = {0};
    assert_null(why_choose_failure(&none, NULL, INT64_MIN, &others));
    assert_int_equal(others.pieces, 0);
}

/* Append a record of one double and extra bytes to a buffer; its new end. */
static uint8_t *put(uint8_t *to, enum reading_kind kind, int64_t step, const void *extra,
    size_t extra_bytes)
{
    const double count = (double)extra_bytes;
    const uint32_t payload_bytes = (uint32_t)(sizeof count + extra_bytes);
    struct record_header header = {.bytes = record_bytes(payload_bytes),
        .kind = (uint16_t)kind,
        .step = step,
        .payload_bytes = payload_bytes};
    memset(to, 0, header.bytes);
    memcpy(to, &header, sizeof header);
    memcpy(to + sizeof header, &count, sizeof count);
    memcpy(to + sizeof header + sizeof count, extra, extra_bytes);
    header.check = record_check(to);
    memcpy(to, &header, sizeof header);
    return to + header.bytes;
}

static void rows_are_put_in_order_and_those_of_other_kinds_passed_over(void **state)
{
    (void)state;
    _Alignas(8) uint8_t bytes[1024];
    const int64_t samples[] = {7, 8, 9};
    const struct reading_sample given[] = {{.index = 7, .loss = 2.5F}};
    uint8_t *end = put(bytes, READING_BATCH, 30, samples, sizeof samples);
    end = put(end, READING_SAMPLES, 30, given, sizeof given);
    end = put(end, READING_BATCH, 20, samples, sizeof samples[0]);
    struct why_batch *batches = NULL;
    struct why_results *results = NULL;
    assert_int_equal(why_take_batches(bytes, (size_t)(end - bytes), &batches), 2);
    assert_int_equal(batches[0].step, 20);
    assert_int_equal(batches[0].n, 1);
    assert_int_equal(batches[1].samples[2], 9);
    assert_int_equal(why_take_results(bytes, (size_t)(end - bytes), &results), 1);
    assert_int_equal(results[0].step, 30);
    assert_int_equal(results[0].n, 1);
    assert_float_equal(results[0].samples[0].loss, 2.5F, 0);
    free(batches);
    free(results);
    assert_int_equal(why_take_batches(bytes, 0, &batches), 0);
    assert_null(batches);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_nan_that_can_do_harm_goes_before_one_of_outputs_alone),
        cmocka_unit_test(a_failure_that_ended_the_run_goes_before_incidents_without_a_nan),
        cmocka_unit_test(alerts_are_those_of_the_incident_and_of_what_led_to_it),
        cmocka_unit_test(of_failures_the_first_whole_one_of_the_incident_is_told),
        cmocka_unit_test(of_a_failure_in_pieces_it_is_said_how_many_came),
        cmocka_unit_test(rows_are_put_in_order_and_those_of_other_kinds_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
