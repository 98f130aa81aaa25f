/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <unistd.h>

#include "tests/testing.h"

#include "lib/analysis/spread.h"
#include "lib/base/mem.h"
#include "tests/integration/daemon_rig.h"

/* What comes in is kept, once, in order, whatever happens to the daemon or the connection. */

static int set_up(void **state)
{
    static struct rig rig;
    rig_start(&rig);
    *state = &rig;
    return 0;
}

static int tear_down(void **state)
{
    rig_finish(*state);
    return 0;
}

static uint32_t number_of(struct rig *rig, const char *run_id)
{
    struct link_message reply = {0};
    const Baro__RunInfo *info = rig_run_info(rig, run_id, &reply);
    assert_non_null(info);
    uint32_t number = info->run;
    link_message_release(&reply);
    return number;
}

static void expect_points(struct rig *rig, const char *run_id, const char *name,
    const int64_t *steps, const double *values, size_t n)
{
    uint32_t run = number_of(rig, run_id);
    uint32_t thing = rig_thing(rig, run, name);
    assert_int_not_equal(thing, 0);
    baro_autofree double *got_values = NULL;
    baro_autofree int64_t *got_steps = NULL;
    assert_int_equal(rig_points(rig, run, thing, &got_values, &got_steps), n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(got_steps[i], steps[i]);
        assert_memory_equal(&got_values[i], &values[i], sizeof(double));
    }
}

static void what_was_acknowledged_can_be_read(void **state)
{
    struct rig *rig = *state;
    struct pusher pusher;
    pusher_init(&pusher, rig, "a", 1);
    pusher_declare_scalar(&pusher, 1, "loss");
    assert_int_equal(pusher_hello(&pusher), 0);
    const int64_t steps[] = {0, 1, 2, 3};
    const double values[] = {2.5, 2.25, 1.0 / 3.0, (double)NAN};
    for (int i = 0; i < 4; i++) {
        pusher_scalar(&pusher, 1, steps[i], values[i]);
    }
    pusher_flush(&pusher);
    expect_points(rig, "a", "loss", steps, values, 4);
    pusher_finish(&pusher);
}

static void a_resent_batch_is_kept_once(void **state)
{
    struct rig *rig = *state;
    struct pusher pusher;
    pusher_init(&pusher, rig, "a", 1);
    pusher_declare_scalar(&pusher, 1, "x");
    assert_int_equal(pusher_hello(&pusher), 0);
    const int64_t steps[] = {0, 1};
    const double values[] = {1, 2};
    pusher_scalar(&pusher, 1, 0, 1);
    pusher_scalar(&pusher, 1, 1, 2);
    pusher_send(&pusher);
    pusher_send(&pusher);
    pusher_flush(&pusher);
    expect_points(rig, "a", "x", steps, values, 2);
    pusher_finish(&pusher);
}

static void repeated_steps_and_steps_that_go_back_are_kept_in_order_of_arrival(void **state)
{
    struct rig *rig = *state;
    struct pusher pusher;
    pusher_init(&pusher, rig, "a", 1);
    pusher_declare_scalar(&pusher, 1, "x");
    assert_int_equal(pusher_hello(&pusher), 0);
    const int64_t steps[] = {5, 5, 6, 2, 3};
    const double values[] = {1, 2, 3, 4, 5};
    for (int i = 0; i < 5; i++) {
        pusher_scalar(&pusher, 1, steps[i], values[i]);
    }
    pusher_flush(&pusher);
    expect_points(rig, "a", "x", steps, values, 5);
    struct link_message reply = {0};
    const Baro__RunInfo *info = rig_run_info(rig, "a", &reply);
    assert_int_equal(info->first_step, 2);
    assert_int_equal(info->last_step, 6);
    assert_int_equal(info->n_records, 5);
    link_message_release(&reply);
    pusher_finish(&pusher);
}

static void two_runs_at_once_stay_apart(void **state)
{
    struct rig *rig = *state;
    struct pusher a;
    struct pusher b;
    pusher_init(&a, rig, "a", 1);
    pusher_init(&b, rig, "b", 2);
    pusher_declare_scalar(&a, 1, "x");
    pusher_declare_scalar(&b, 7, "x");
    assert_int_equal(pusher_hello(&a), 0);
    assert_int_equal(pusher_hello(&b), 0);
    enum { N = 500 };
    int64_t steps[N];
    double values_a[N];
    double values_b[N];
    for (int i = 0; i < N; i++) {
        steps[i] = i;
        values_a[i] = i;
        values_b[i] = -i;
        pusher_scalar(&a, 1, i, values_a[i]);
        pusher_scalar(&b, 7, i, values_b[i]);
        if (i % 50 == 49) {
            pusher_send(&a);
            pusher_clear(&a);
            pusher_send(&b);
            pusher_clear(&b);
        }
    }
    rig_wait_records(rig, "a", N);
    rig_wait_records(rig, "b", N);
    expect_points(rig, "a", "x", steps, values_a, N);
    expect_points(rig, "b", "x", steps, values_b, N);
    pusher_finish(&a);
    pusher_finish(&b);
}

static void a_run_goes_on_in_a_new_process_with_the_same_series(void **state)
{
    struct rig *rig = *state;
    struct pusher first;
    struct pusher second;
    pusher_init(&first, rig, "a", 1);
    pusher_declare_scalar(&first, 1, "x");
    assert_int_equal(pusher_hello(&first), 0);
    pusher_scalar(&first, 1, 0, 10);
    pusher_flush(&first);
    pusher_finish(&first);
    pusher_init(&second, rig, "a", 2);
    pusher_declare_scalar(&second, 1, "other");
    pusher_declare_scalar(&second, 2, "x");
    assert_int_equal(pusher_hello(&second), 0);
    pusher_scalar(&second, 2, 1, 11);
    pusher_flush(&second);
    pusher_finish(&second);
    const int64_t steps[] = {0, 1};
    const double values[] = {10, 11};
    expect_points(rig, "a", "x", steps, values, 2);
}

static void nothing_acknowledged_is_lost_when_the_daemon_is_killed(void **state)
{
    struct rig *rig = *state;
    struct pusher pusher;
    pusher_init(&pusher, rig, "a", 1);
    pusher_declare_scalar(&pusher, 1, "x");
    assert_int_equal(pusher_hello(&pusher), 0);
    enum { ROUNDS = 4, N = 300 };
    for (int round = 0; round < ROUNDS; round++) {
        /* A third is acknowledged, a third is under way, a third was never sent. */
        uint64_t begin = pusher.seq;
        for (int i = 0; i < N; i++) {
            pusher_scalar(&pusher, 1, (int64_t)pusher.seq, (double)pusher.seq);
            if (i == N / 3) {
                pusher_flush(&pusher);
            } else if (i == 2 * N / 3) {
                pusher_send(&pusher);
            }
        }
        uint64_t acked = pusher.acked;
        assert_true(acked > begin);
        rig_kill(rig);
        rig_restart(rig);
        pusher_reconnect(&pusher, rig);
        int64_t last = pusher_hello(&pusher);
        assert_true(last >= (int64_t)acked);
        pusher_flush(&pusher); /* from before what is committed: repeats are skipped */
    }
    int64_t steps[ROUNDS * N];
    double values[ROUNDS * N];
    for (int i = 0; i < ROUNDS * N; i++) {
        steps[i] = i;
        values[i] = i;
    }
    expect_points(rig, "a", "x", steps, values, ROUNDS * N);
    pusher_finish(&pusher);
}

static void a_batch_without_hello_is_asked_to_say_it(void **state)
{
    struct rig *rig = *state;
    struct pusher pusher;
    pusher_init(&pusher, rig, "a", 1);
    pusher_declare_scalar(&pusher, 1, "x");
    pusher_scalar(&pusher, 1, 0, 1);
    pusher_send(&pusher);
    assert_int_equal(pusher_wait_refusal(&pusher), BARO_ENOENT);
    assert_non_null(strstr(pusher.refusal_text, "Hello"));
    assert_int_equal(pusher_hello(&pusher), 0);
    pusher_flush(&pusher);
    pusher_finish(&pusher);
}

/* Of units whose values are 1000 times their number and the step. */
static void check_spread(const struct link_message *reply, int n_units, int n_steps,
    int n_columns, const int *edges)
{
    const Baro__RangeReply *head = reply->wire.envelope->range_reply;
    assert_int_equal(head->n_series[0], SPREAD_COUNT);
    assert_int_equal(head->n_points[0], n_steps);
    const struct wire_column *columns = (const void *)reply->frames[0].bytes;
    for (int c = 0; c < n_columns; c++) {
        double middle = (edges[c] + edges[c + 1] - 1) / 2.0; /* mean of the steps */
        int rank = (n_units + 1) / 2 - 1;                    /* of the median, from 0 */
        assert_int_equal(columns[c].count, n_units);
        assert_int_equal(columns[c].first_step, edges[c]);
        assert_true(columns[SPREAD_LEAST * n_columns + c].min == edges[c]);
        assert_true(columns[SPREAD_50 * n_columns + c].mean == 1000 * rank + middle);
        assert_true(columns[SPREAD_MOST * n_columns + c].max ==
                    1000 * (n_units - 1) + edges[c + 1] - 1);
    }
}

static void columns_hold_the_extremes_of_all_units(void **state)
{
    struct rig *rig = *state;
    struct pusher pusher;
    enum { UNITS = 3, STEPS = 100, COLUMNS = 10 };
    pusher_init(&pusher, rig, "a", 1);
    pusher_declare_tensor(&pusher, 1, "fc1", BARO_ACT, 8, UNITS);
    assert_int_equal(pusher_hello(&pusher), 0);
    for (int step = 0; step < STEPS; step++) {
        float values[UNIT_STAT_COUNT * UNITS] = {0};
        for (int unit = 0; unit < UNITS; unit++) {
            values[UNIT_L2 * UNITS + unit] = (float)(1000 * unit + step);
        }
        pusher_record(&pusher, READING_UNITS, 1, step, values, sizeof values);
    }
    pusher_flush(&pusher);
    Baro__SeriesRef ref;
    baro__series_ref__init(&ref);
    ref.thing = 1;
    ref.kind = READING_UNITS;
    ref.stat = UNIT_L2;
    ref.unit = -1;
    Baro__SeriesRef *refs[1] = {&ref};
    Baro__RangeRequest range;
    baro__range_request__init(&range);
    range.run = 1;
    range.n_series = 1;
    range.series = refs;
    range.from_step = 0;
    range.to_step = INT64_MAX;
    range.columns = COLUMNS;
    Baro__Envelope request;
    baro__envelope__init(&request);
    request.body_case = BARO__ENVELOPE__BODY_RANGE_REQUEST;
    request.range_request = &range;
    struct link_message reply = {0};
    rig_ask(rig, &request, &reply);
    const Baro__RangeReply *head = reply.wire.envelope->range_reply;
    assert_int_equal(head->to_step, STEPS - 1);
    assert_int_equal(head->n_columns, COLUMNS);
    assert_int_equal(head->n_series[0], UNITS);
    assert_int_equal(head->n_points[0], STEPS);
    assert_int_equal(reply.frames[0].n_bytes, UNITS * COLUMNS * sizeof(struct wire_column));
    assert_int_equal(head->edge_shift, 2); /* 4 is at most half of 100 / 10 */
    const int edges[COLUMNS + 1] = {0, 8, 20, 28, 40, 48, 60, 68, 80, 88, 100};
    const struct wire_column *columns = (const void *)reply.frames[0].bytes;
    for (int unit = 0; unit < UNITS; unit++) {
        for (int c = 0; c < COLUMNS; c++) {
            const struct wire_column *column = &columns[unit * COLUMNS + c];
            assert_int_equal(column->count, edges[c + 1] - edges[c]);
            assert_int_equal(column->first_step, edges[c]);
            assert_true(column->min == 1000 * unit + edges[c]);
            assert_true(column->max == 1000 * unit + edges[c + 1] - 1);
        }
    }
    link_message_release(&reply);
    ref.unit = -2; /* how they lie */
    reply = (struct link_message){0};
    rig_ask(rig, &request, &reply);
    check_spread(&reply, UNITS, STEPS, COLUMNS, edges);
    link_message_release(&reply);
    range.columns = 0;
    struct baro_err err = {0};
    assert_int_equal(rig_ask_refused(rig, &request, &err), BARO_EINVAL);
    ref.unit = -3;
    range.columns = COLUMNS;
    assert_int_equal(rig_ask_refused(rig, &request, &err), BARO_EINVAL);
    pusher_finish(&pusher);
}

/* Asked as columns, the second statistic of steps is when each was recorded. */
static void steps_tell_when_they_were(void **state)
{
    struct rig *rig = *state;
    struct pusher pusher;
    enum { STEPS = 60, COLUMNS = 6 };
    pusher_init(&pusher, rig, "a", 1);
    pusher_declare_scalar(&pusher, 1, "x");
    assert_int_equal(pusher_hello(&pusher), 0);
    for (int step = 0; step < STEPS; step++) {
        double seconds = 0.25;
        pusher_record(&pusher, READING_STEP, 0, step, &seconds, sizeof seconds);
    }
    pusher_flush(&pusher);
    Baro__SeriesRef ref;
    baro__series_ref__init(&ref);
    ref.kind = READING_STEP;
    Baro__SeriesRef *refs[1] = {&ref};
    Baro__RangeRequest range;
    baro__range_request__init(&range);
    range.run = 1;
    range.n_series = 1;
    range.series = refs;
    range.to_step = STEPS - 1;
    Baro__Envelope request;
    baro__envelope__init(&request);
    request.body_case = BARO__ENVELOPE__BODY_RANGE_REQUEST;
    request.range_request = &range;
    struct link_message points = {0};
    rig_ask(rig, &request, &points); /* every point: step, time, value */
    assert_int_equal(points.frames[0].n_bytes, STEPS * 24);
    ref.stat = STEP_TIME;
    range.columns = COLUMNS;
    struct link_message reply = {0};
    rig_ask(rig, &request, &reply);
    assert_int_equal(reply.wire.envelope->range_reply->n_points[0], STEPS);
    const struct wire_column *columns = (const void *)reply.frames[0].bytes;
    uint32_t n = 0;
    for (int c = 0; c < COLUMNS; c++) {
        int64_t time_ns = 0;
        memcpy(&time_ns, points.frames[0].bytes + 24 * columns[c].last_step + 8, 8);
        assert_true(time_ns > 0);
        assert_true(fabs(columns[c].last - (double)time_ns / 1e9) < 1e-6);
        assert_true(columns[c].min <= columns[c].last && columns[c].first > 1);
        n += columns[c].count;
    }
    assert_int_equal(n, STEPS);
    link_message_release(&points);
    link_message_release(&reply);
    ref.stat = STEP_STAT_COUNT;
    struct baro_err err = {0};
    assert_int_equal(rig_ask_refused(rig, &request, &err), BARO_EINVAL);
    pusher_finish(&pusher);
}

static void rows_come_back_as_they_were_pushed(void **state)
{
    struct rig *rig = *state;
    struct pusher pusher;
    pusher_init(&pusher, rig, "a", 1);
    pusher_declare_scalar(&pusher, 1, "x");
    assert_int_equal(pusher_hello(&pusher), 0);
    const int64_t samples[] = {7, 1203, -1, 4};
    for (int step = 0; step < 20; step++) {
        pusher_batch(&pusher, step, samples, 4);
    }
    pusher_flush(&pusher);
    Baro__RowsRequest rows;
    baro__rows_request__init(&rows);
    rows.run = 1;
    rows.kind = READING_BATCH;
    rows.from_step = 5;
    rows.to_step = 15;
    rows.limit = 3;
    Baro__Envelope request;
    baro__envelope__init(&request);
    request.body_case = BARO__ENVELOPE__BODY_ROWS_REQUEST;
    request.rows_request = &rows;
    struct link_message reply = {0};
    rig_ask(rig, &request, &reply);
    assert_int_equal(reply.wire.envelope->rows_reply->n_records, 3);
    assert_true(reply.wire.envelope->rows_reply->is_cut);
    const uint8_t *cursor = reply.frames[0].bytes;
    const uint8_t *end = cursor + reply.frames[0].n_bytes;
    for (int step = 13; step <= 15; step++) {
        struct record_header header;
        const uint8_t *payload;
        struct reading reading;
        assert_int_equal(record_next(&cursor, end, &header, &payload), 1);
        assert_int_equal(reading_check(&header, payload, 0, 0, &reading, NULL), 0);
        assert_int_equal(header.step, step);
        assert_true(reading.f64[0] == 4);
        assert_int_equal(reading.extra_bytes, sizeof samples);
        assert_memory_equal(reading.extra, samples, sizeof samples);
    }
    assert_true(cursor == end);
    link_message_release(&reply);
    rows.limit = 0;
    rows.every = 4; /* of 5 to 15: 7, 11 and 15 */
    rig_ask(rig, &request, &reply);
    assert_int_equal(reply.wire.envelope->rows_reply->n_records, 3);
    assert_false(reply.wire.envelope->rows_reply->is_cut);
    cursor = reply.frames[0].bytes;
    end = cursor + reply.frames[0].n_bytes;
    for (int step = 7; step <= 15; step += 4) {
        struct record_header header;
        const uint8_t *payload;
        assert_int_equal(record_next(&cursor, end, &header, &payload), 1);
        assert_int_equal(header.step, step);
    }
    assert_true(cursor == end);
    link_message_release(&reply);
    pusher_finish(&pusher);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(what_was_acknowledged_can_be_read),
        CASE(a_resent_batch_is_kept_once),
        CASE(repeated_steps_and_steps_that_go_back_are_kept_in_order_of_arrival),
        CASE(two_runs_at_once_stay_apart),
        CASE(a_run_goes_on_in_a_new_process_with_the_same_series),
        CASE(nothing_acknowledged_is_lost_when_the_daemon_is_killed),
        CASE(a_batch_without_hello_is_asked_to_say_it),
        CASE(columns_hold_the_extremes_of_all_units),
        CASE(steps_tell_when_they_were),
        CASE(rows_come_back_as_they_were_pushed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
