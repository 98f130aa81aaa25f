/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "tests/testing.h"

#include "lib/analysis/sample.h"
#include "lib/analysis/sample_lines.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/link/finding.h"
#include "tests/integration/sample_rig.h"

/* The daemon samples a tensor's units: as a task in slices, that tells what it finds. */

enum { FEW = 300, MANY = 3000, N_STEPS = 60 };

/* ---- readings ---- */

/* Lines with a shape, one that leaps and one with a NaN. Eight bits behind the point: the store
 * keeps all of them. */
static float value_of(uint32_t unit, int64_t step)
{
    double phase = unit * 0.37;
    double value = 1 + 0.4 * sin(phase) + 0.2 * sin((double)step / 15 + phase * 1.7);
    if (unit == 7 && step > N_STEPS / 2) {
        value += 3;
    }
    value = rint(value * 256) / 256;
    return unit == 11 && step == 20 ? NAN : (float)value;
}

static void push_steps(
    struct pusher *pusher, uint32_t n_units, int64_t from, int64_t to, float factor)
{
    baro_autofree float *row = baro_xcalloc((size_t)n_units * UNIT_STAT_COUNT, sizeof *row);
    for (int64_t step = from; step < to; step++) {
        for (uint32_t unit = 0; unit < n_units; unit++) {
            row[n_units + unit] = value_of(unit, step) * factor;
        }
        pusher_record(pusher, READING_UNITS, 1, step, row,
            (size_t)n_units * UNIT_STAT_COUNT * sizeof *row);
    }
    pusher_flush(pusher);
}

static void begin_run(
    struct pusher *pusher, struct rig *rig, const char *run_id, int seed, uint32_t n_units)
{
    pusher_init(pusher, rig, run_id, seed);
    pusher_declare_tensor(pusher, 1, "w", BARO_WEIGHT, 4, n_units);
    pusher_declare_scalar(pusher, 2, "loss");
    assert_int_equal(pusher_hello(pusher), 0);
}

static int set_up(void **state)
{
    static struct rig rig;
    rig_start(&rig);
    struct pusher pusher;
    begin_run(&pusher, &rig, "few", 1, FEW);
    push_steps(&pusher, FEW, 0, N_STEPS, 1);
    pusher_finish(&pusher);
    begin_run(&pusher, &rig, "many", 2, MANY);
    push_steps(&pusher, MANY, 0, N_STEPS, 1);
    pusher_finish(&pusher);
    *state = &rig;
    return 0;
}

static int tear_down(void **state)
{
    rig_finish(*state);
    return 0;
}

/* ---- what the pure sampler says ---- */

/* The lines of all units, as the daemon makes them: by key columns of the steps. */
static void make_lines(
    struct sample_lines *lines, uint32_t n_units, int64_t from, int64_t to)
{
    const uint64_t span = (uint64_t)(to - from) + 1;
    const struct column_cut cut = columns_cut(
        from, to, span < POLYLINE_MAX_COLUMNS ? (uint32_t)span : POLYLINE_MAX_COLUMNS);
    baro_autofree struct column *columns = baro_xcalloc(cut.n_columns, sizeof *columns);
    sample_lines_init(lines, n_units, cut.n_columns);
    for (uint32_t unit = 0; unit < n_units; unit++) {
        memset(columns, 0, cut.n_columns * sizeof *columns);
        for (int64_t step = from; step <= to; step++) {
            uint32_t c = columns_find(&cut, step);
            column_add(&columns[c], step, (double)value_of(unit, step));
        }
        for (uint32_t c = 0; c < cut.n_columns; c++) {
            column_finish(&columns[c]);
        }
        sample_lines_take(lines, unit, 1, columns);
    }
    sample_lines_pack(lines);
}

/* Compare what was told with what the sampler chooses on the same axis with the same wishes. */
static void expect_same(const struct finding *finding, const uint32_t *keep, size_t n_keep)
{
    const Baro__SampleFinding *head = finding->head;
    struct sample_lines lines;
    make_lines(&lines, head->n_lines, head->from_step, head->to_step);
    const struct axis axis = {
        .kind = AXIS_LINEAR, .lo = head->lo, .hi = head->hi, .linear_to = head->linear_to};
    struct sample_options options = {.keep = keep, .n_keep = n_keep};
    struct sampler *sampler = sampler_create(&lines.view, &axis, SAMPLE_RIG_PLOT, &options);
    while (sampler_step(sampler, 1000)) {
    }
    struct sample sample;
    sampler_get(sampler, &sample);
    assert_int_equal(head->n_shown, sample.n_shown);
    assert_memory_equal(finding->shown, sample.shown, sample.n_shown * sizeof(uint32_t));
    assert_memory_equal(finding->reasons, sample.reasons, sample.n_shown);
    assert_memory_equal(
        finding->members, sample.n_members, sample.n_shown * sizeof(uint32_t));
    assert_memory_equal(finding->nearest, sample.nearest, head->n_lines * sizeof(uint16_t));
    sampler_destroy(sampler);
    sample_lines_finish(&lines);
}

static bool is_shown(const struct finding *finding, uint32_t unit, uint8_t *out_reason)
{
    for (uint32_t i = 0; i < finding->head->n_shown; i++) {
        if (finding->shown[i] == unit) {
            *out_reason = finding->reasons[i];
            return true;
        }
    }
    return false;
}

/* ---- tests ---- */

static void a_sample_is_what_the_sampler_chooses_on_the_same_readings(void **state)
{
    struct rig *rig = *state;
    Baro__SampleRequest request = sample_rig_request(rig, "few");
    int64_t number = sample_rig_send(rig->link, &request);
    struct link_message message = {0};
    struct finding finding = sample_rig_done(rig->link, number, 0, &message);
    const Baro__SampleFinding *head = finding.head;
    assert_int_equal(head->n_lines, FEW);
    assert_int_equal(head->from_step, 0);
    assert_int_equal(head->to_step, N_STEPS - 1);
    assert_true(head->n_shown > 0 && head->n_shown < FEW);
    assert_true(head->is_assigned);
    expect_same(&finding, NULL, 0);
    uint8_t reason = 0;
    assert_true(is_shown(&finding, 11, &reason));
    assert_int_equal(reason, SAMPLE_NONFINITE);
    assert_true(is_shown(&finding, 7, &reason));
    link_message_release(&message);
    sample_rig_wait_ended(rig);
}

static void shown_lines_come_with_all_their_columns(void **state)
{
    struct rig *rig = *state;
    Baro__SampleRequest request = sample_rig_request(rig, "few");
    int64_t number = sample_rig_send(rig->link, &request);
    struct link_message message = {0};
    struct finding finding = sample_rig_done(rig->link, number, 0, &message);
    const Baro__SampleFinding *head = finding.head;
    assert_non_null(finding.columns);
    const struct column_cut cut =
        columns_cut(head->from_step, head->to_step, head->n_columns);
    for (uint32_t i = 0; i < head->n_shown; i++) {
        const struct wire_column *line = finding.columns + (size_t)i * head->n_columns;
        for (int64_t step = 0; step < N_STEPS; step++) {
            const struct wire_column *column = &line[columns_find(&cut, step)];
            double value = (double)value_of(finding.shown[i], step);
            assert_int_equal(column->count, 1);
            assert_true(isnan(value) ? isnan(column->last)
                                     : fabs(column->last - value) < 1e-3 * fabs(value));
        }
    }
    assert_true(head->has_density);
    assert_non_null(finding.density);
    uint8_t most = 0;
    for (size_t i = 0; i < (size_t)head->density_width * head->density_height; i++) {
        most = finding.density[i] > most ? finding.density[i] : most;
    }
    assert_int_equal(most, 255);
    link_message_release(&message);
}

static void a_wide_tensor_has_a_first_picture_that_is_refined(void **state)
{
    struct rig *rig = *state;
    Baro__SampleRequest request = sample_rig_request(rig, "many");
    int64_t number = sample_rig_send(rig->link, &request);
    struct link_message message = {0};
    struct finding first = sample_rig_next(rig->link, number, &message);
    assert_false(first.head->is_done);
    assert_int_equal(first.head->serial, 1);
    assert_true(first.head->n_shown > 0);
    assert_true(first.head->fraction < 0.5);
    const size_t n_keep = first.head->n_shown;
    baro_autofree uint32_t *keep = baro_xcalloc(n_keep, sizeof *keep);
    memcpy(keep, first.shown, n_keep * sizeof *keep);
    link_message_release(&message);
    double fraction = 0;
    uint64_t serial = 1;
    for (;;) {
        struct finding finding = sample_rig_next(rig->link, number, &message);
        assert_int_equal(finding.head->serial, ++serial);
        assert_true(finding.head->fraction >= fraction);
        fraction = finding.head->fraction;
        if (finding.head->is_done) {
            expect_same(&finding, keep, n_keep);
            assert_true(fraction >= 1);
            break;
        }
        link_message_release(&message);
    }
    link_message_release(&message);
    sample_rig_wait_ended(rig);
}

static void units_asked_for_are_shown_whatever_they_do(void **state)
{
    struct rig *rig = *state;
    uint32_t wished[] = {123, 124, 125};
    Baro__SampleRequest request = sample_rig_request(rig, "few");
    request.n_always = 3;
    request.always = wished;
    int64_t number = sample_rig_send(rig->link, &request);
    struct link_message message = {0};
    struct finding finding = sample_rig_done(rig->link, number, 0, &message);
    for (int i = 0; i < 3; i++) {
        uint8_t reason = 0;
        assert_true(is_shown(&finding, wished[i], &reason));
        assert_true(finding.shown[finding.nearest[wished[i]]] == wished[i]);
    }
    uint64_t n_members = 0;
    for (uint32_t i = 0; i < finding.head->n_shown; i++) {
        n_members += finding.members[i];
    }
    assert_int_equal(n_members, FEW);
    link_message_release(&message);
}

static void a_live_sample_follows_new_steps_and_keeps_its_lines(void **state)
{
    struct rig *rig = *state;
    struct pusher pusher;
    begin_run(&pusher, rig, "live", 3, FEW);
    push_steps(&pusher, FEW, 0, 192, 1);
    Baro__SampleRequest request = sample_rig_request(rig, "live");
    request.is_live = true;
    int64_t number = sample_rig_send(rig->link, &request);
    struct link_message message = {0};
    struct finding finding = sample_rig_done(rig->link, number, 191, &message);
    link_message_release(&message);
    for (int64_t step = 192; step < 198; step += 2) {
        push_steps(&pusher, FEW, step, step + 2, 1);
        finding = sample_rig_done(rig->link, number, step + 1, &message);
        assert_int_equal(finding.head->to_step, step + 1);
        assert_true(finding.head->jaccard >= 0.95);
        link_message_release(&message);
    }
    /* Readings far out of the chart: the axis is fitted anew, by and by. */
    push_steps(&pusher, FEW, 198, 199, 4);
    do {
        finding = sample_rig_done(rig->link, number, 198, &message);
        link_message_release(&message);
    } while (false);
    const uint64_t until = baro_now_ns() + (uint64_t)SAMPLE_RIG_WAIT_MS * 1000000;
    double hi = 0;
    while (hi < 10 && baro_now_ns() < until) {
        finding = sample_rig_done(rig->link, number, 198, &message);
        hi = finding.head->hi;
        link_message_release(&message);
    }
    assert_true(hi > 10);
    link_cancel(rig->link, number);
    sample_rig_wait_ended(rig);
    pusher_finish(&pusher);
}

static void a_live_sample_of_nothing_waits_for_the_first_readings(void **state)
{
    struct rig *rig = *state;
    struct pusher pusher;
    begin_run(&pusher, rig, "empty", 4, FEW);
    pusher_scalar(&pusher, 2, 0, 1.5);
    pusher_flush(&pusher);
    Baro__SampleRequest request = sample_rig_request(rig, "empty");
    request.is_live = true;
    int64_t number = sample_rig_send(rig->link, &request);
    struct link_message message = {0};
    struct finding finding = sample_rig_next(rig->link, number, &message);
    assert_true(finding.head->is_done);
    assert_int_equal(finding.head->n_shown, 0);
    assert_int_equal(finding.head->n_lines, FEW);
    link_message_release(&message);
    push_steps(&pusher, FEW, 1, 4, 1);
    finding = sample_rig_done(rig->link, number, 3, &message);
    while (finding.head->n_shown == 0) {
        link_message_release(&message);
        finding = sample_rig_done(rig->link, number, 3, &message);
    }
    assert_int_equal(finding.head->from_step, 1);
    link_message_release(&message);
    link_cancel(rig->link, number);
    sample_rig_wait_ended(rig);
    pusher_finish(&pusher);
}

static void cancelling_and_leaving_end_a_live_sample(void **state)
{
    struct rig *rig = *state;
    Baro__SampleRequest request = sample_rig_request(rig, "many");
    request.is_live = true;
    struct link_message message = {0};
    int64_t number = sample_rig_send(rig->link, &request);
    link_cancel(rig->link, number); /* while it works */
    sample_rig_wait_ended(rig);
    number = sample_rig_send(rig->link, &request);
    (void)sample_rig_done(rig->link, number, 0, &message);
    link_message_release(&message);
    link_cancel(rig->link, number); /* while it waits */
    sample_rig_wait_ended(rig);
    struct link *other = link_open(rig->endpoint, NULL);
    assert_non_null(other);
    number = sample_rig_send(other, &request);
    (void)sample_rig_done(other, number, 0, &message);
    link_message_release(&message);
    assert_int_equal(
        sample_rig_counter(rig, "samples"), sample_rig_counter(rig, "samples_ended") + 1);
    link_close(other);
    sample_rig_wait_ended(rig);
}

static void plain_questions_are_answered_while_samples_are_made(void **state)
{
    struct rig *rig = *state;
    Baro__SampleRequest request = sample_rig_request(rig, "many");
    request.target = 1000;
    int64_t numbers[4];
    struct link *other = link_open(rig->endpoint, NULL);
    assert_non_null(other);
    for (int i = 0; i < 4; i++) {
        numbers[i] = sample_rig_send(other, &request);
    }
    struct link_message message = {0};
    (void)sample_rig_next(other, numbers[3], &message); /* the newest goes first */
    link_message_release(&message);
    bool was_at_work = false;
    for (int i = 0; i < 20; i++) {
        uint64_t n_before = sample_rig_counter(rig, "samples_ended");
        (void)rig_thing(rig, request.run, "w"); /* by a worker, from the store */
        was_at_work = was_at_work || sample_rig_counter(rig, "samples") > n_before;
    }
    assert_true(was_at_work);
    for (int i = 0; i < 4; i++) {
        (void)sample_rig_done(other, numbers[i], 0, &message);
        link_message_release(&message);
    }
    link_close(other);
    sample_rig_wait_ended(rig);
}

static void what_cannot_be_sampled_is_refused_with_a_sentence(void **state)
{
    struct rig *rig = *state;
    struct baro_err err = {0};
    const Baro__SampleRequest good = sample_rig_request(rig, "few");
    Baro__SampleRequest bad = good;
    bad.run = 9999;
    assert_int_equal(sample_rig_refused(rig, &bad, &err), BARO_ENOENT);
    bad = good;
    bad.thing = 9999;
    assert_int_equal(sample_rig_refused(rig, &bad, &err), BARO_ENOENT);
    bad.thing = rig_thing(rig, good.run, "loss");
    assert_int_equal(sample_rig_refused(rig, &bad, &err), BARO_EINVAL);
    assert_non_null(strstr(err.text, "scalar"));
    bad = good;
    bad.stat = UNIT_STAT_COUNT;
    assert_int_equal(sample_rig_refused(rig, &bad, &err), BARO_EINVAL);
    bad = good;
    bad.columns = 0;
    assert_int_equal(sample_rig_refused(rig, &bad, &err), BARO_EINVAL);
    bad.columns = UINT32_MAX;
    assert_int_equal(sample_rig_refused(rig, &bad, &err), BARO_EINVAL);
    bad = good;
    bad.height = 0;
    assert_int_equal(sample_rig_refused(rig, &bad, &err), BARO_EINVAL);
    bad = good;
    bad.target = UINT32_MAX;
    assert_int_equal(sample_rig_refused(rig, &bad, &err), BARO_EINVAL);
    bad = good;
    bad.axis = 9;
    assert_int_equal(sample_rig_refused(rig, &bad, &err), BARO_EINVAL);
    bad = good;
    bad.has_limits = true;
    bad.lo = bad.hi = 1;
    assert_int_equal(sample_rig_refused(rig, &bad, &err), BARO_EINVAL);
    bad = good;
    bad.from_step = 5;
    bad.to_step = 4;
    assert_int_equal(sample_rig_refused(rig, &bad, &err), BARO_EINVAL);
    uint32_t wished = FEW;
    bad = good;
    bad.n_always = 1;
    bad.always = &wished;
    assert_int_equal(sample_rig_refused(rig, &bad, &err), BARO_EINVAL);
    bad = good;
    bad.stat = UNIT_MEAN; /* all zero */
    bad.axis = AXIS_LOG;
    assert_int_equal(sample_rig_refused(rig, &bad, &err), BARO_EINVAL);
    assert_non_null(strstr(err.text, "log"));
    sample_rig_wait_ended(rig);
}

static void one_asker_has_so_many_samples_and_no_more(void **state)
{
    struct rig *rig = *state;
    struct baro_err err = {0};
    Baro__SampleRequest request = sample_rig_request(rig, "few");
    request.is_live = true;
    int64_t numbers[8];
    for (int i = 0; i < 8; i++) {
        numbers[i] = sample_rig_send(rig->link, &request);
    }
    assert_int_equal(sample_rig_refused(rig, &request, &err), BARO_EBUSY);
    for (int i = 0; i < 8; i++) {
        link_cancel(rig->link, numbers[i]);
    }
    sample_rig_wait_ended(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sample_is_what_the_sampler_chooses_on_the_same_readings),
        cmocka_unit_test(shown_lines_come_with_all_their_columns),
        cmocka_unit_test(a_wide_tensor_has_a_first_picture_that_is_refined),
        cmocka_unit_test(units_asked_for_are_shown_whatever_they_do),
        cmocka_unit_test(a_live_sample_follows_new_steps_and_keeps_its_lines),
        cmocka_unit_test(a_live_sample_of_nothing_waits_for_the_first_readings),
        cmocka_unit_test(cancelling_and_leaving_end_a_live_sample),
        cmocka_unit_test(plain_questions_are_answered_while_samples_are_made),
        cmocka_unit_test(what_cannot_be_sampled_is_refused_with_a_sentence),
        cmocka_unit_test(one_asker_has_so_many_samples_and_no_more),
    };
    return cmocka_run_group_tests_name("sample_job", tests, set_up, tear_down);
}
