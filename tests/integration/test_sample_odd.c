/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "tests/testing.h"

#include "lib/analysis/sample.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "tests/integration/sample_rig.h"

/* Live samples, through a real daemon, of every odd tensor there may be. */

enum { BEGIN = 40, MORE = 4, N = 600, MOST_UNITS = 65536, BIG_STEPS = 12 };

/* ---- odd tensors ---- */

static double even_of(uint32_t unit, int64_t step)
{
    return 1 + 0.3 * sin(unit * 0.37) + 0.05 * sin((double)step / 5 + unit);
}

static double alike_of(uint32_t unit, int64_t step)
{
    (void)unit;
    return 1 + (double)(step % 7);
}

static double constant_of(uint32_t unit, int64_t step)
{
    (void)unit;
    (void)step;
    return 3;
}

static double nan_of(uint32_t unit, int64_t step)
{
    (void)unit;
    (void)step;
    return (double)NAN;
}

static double wide_of(uint32_t unit, int64_t step)
{
    return pow(10, 38 * (2.0 * unit / (N - 1) - 1)) * (1 + 0.1 * sin((double)step + unit));
}

static double signed_of(uint32_t unit, int64_t step)
{
    return wide_of(unit, step) * (unit % 2 == 0 ? 1 : -1);
}

/* Some units are NaN, or infinite, for a while. */
static double holes_of(uint32_t unit, int64_t step)
{
    return (unit * 7 + (uint32_t)step) % 50 == 0 ? (double)NAN
           : unit == 5 && step == 43             ? (double)INFINITY
                                                 : even_of(unit, step);
}

/* Units that have nothing to say until the last steps. */
static double late_of(uint32_t unit, int64_t step)
{
    return unit >= N / 2 && step < BEGIN ? (double)NAN : even_of(unit, step);
}

typedef double (*value_fn)(uint32_t unit, int64_t step);

struct odd {
    const char *name;
    uint32_t n_units;
    value_fn value;
    uint32_t axis;
    uint32_t least, most;   /* shown */
    int64_t hole, hole_end; /* steps that are not recorded */
    uint32_t n_nonfinite;   /* at least */
};

static const struct odd odds[] = {
    {"one line", 1, even_of, AXIS_LINEAR, 1, 1, 0, 0, 0},
    {"two identical lines", 2, alike_of, AXIS_LINEAR, 1, 2, 0, 0, 0},
    {"all constant", N, constant_of, AXIS_LINEAR, 1, 4, 0, 0, 0},
    {"all constant, log", N, constant_of, AXIS_LOG, 1, 4, 0, 0, 0},
    {"all NaN", N, nan_of, AXIS_LINEAR, 1, N, 0, 0, N},
    {"fewer than wanted", 7, even_of, AXIS_LINEAR, 7, 7, 0, 0, 0},
    {"76 decades", N, wide_of, AXIS_LINEAR, 2, N / 2, 0, 0, 0},
    {"76 decades, log", N, wide_of, AXIS_LOG, 60, N / 2, 0, 0, 0},
    {"76 decades, both signs", N, signed_of, AXIS_SYMLOG, 20, N / 2, 0, 0, 0},
    {"both signs, linear", N, signed_of, AXIS_LINEAR, 2, N / 2, 0, 0, 0},
    {"gaps", N, even_of, AXIS_LINEAR, 30, N / 2, 10, 30, 0},
    {"a gap at the end", N, even_of, AXIS_LINEAR, 30, N / 2, 20, BEGIN + 3, 0},
    {"holes", N, holes_of, AXIS_LINEAR, 100, N, 0, 0, 400},
    {"units that appear later", N, late_of, AXIS_LINEAR, 30, N, 0, 0, N / 2},
};

static void push_steps(
    struct pusher *pusher, const struct odd *odd, uint32_t thing, int64_t from, int64_t to)
{
    const uint32_t n = odd->n_units;
    baro_autofree float *row = baro_xcalloc((size_t)n * UNIT_STAT_COUNT, sizeof *row);
    for (int64_t step = from; step < to; step++) {
        for (uint32_t unit = 0; unit < n; unit++) {
            row[n + unit] = (float)odd->value(unit, step);
        }
        if (step < odd->hole || step >= odd->hole_end) {
            pusher_record(pusher, READING_UNITS, thing, step, row,
                (size_t)n * UNIT_STAT_COUNT * sizeof *row);
        }
        if (n > N) {
            pusher_flush(pusher);
        }
    }
    if (n <= N) {
        pusher_flush(pusher);
    }
}

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

/* ---- what holds of every finding ---- */

static void expect_sound(const struct finding *finding, const struct odd *odd)
{
    const Baro__SampleFinding *head = finding->head;
    baro_autofree uint8_t *seen = baro_xcalloc(odd->n_units, 1);
    assert_int_equal(head->n_lines, odd->n_units);
    assert_in_range(head->n_shown, 1, odd->n_units);
    assert_true(isfinite(head->lo) && isfinite(head->hi) && head->lo < head->hi);
    assert_true(head->jaccard >= 0 && head->jaccard <= 1);
    assert_true(head->fraction > 0 && head->fraction <= 1);
    assert_true(isfinite(head->spread_px) && isfinite(head->radius_px));
    uint64_t n_members = 0;
    for (uint32_t i = 0; i < head->n_shown; i++) {
        assert_true(finding->shown[i] < odd->n_units);
        assert_false(seen[finding->shown[i]]);
        seen[finding->shown[i]] = 1;
        assert_in_range(finding->reasons[i], SAMPLE_BLUE_NOISE, SAMPLE_NONFINITE);
        n_members += head->is_assigned ? finding->members[i] : 0;
        if (head->is_assigned) { /* also one that has a double stands for itself */
            assert_int_equal(finding->nearest[finding->shown[i]], i);
            assert_true(finding->members[i] > 0);
        }
    }
    assert_true(!head->is_assigned || n_members == odd->n_units);
}

static void expect_shown(const struct finding *finding, const struct odd *odd)
{
    const Baro__SampleFinding *head = finding->head;
    expect_sound(finding, odd);
    assert_true(head->is_assigned);
    if (head->n_shown < odd->least || head->n_shown > odd->most) {
        fail_msg(
            "%s: %u shown, not %u to %u", odd->name, head->n_shown, odd->least, odd->most);
    }
    if (head->n_nonfinite < odd->n_nonfinite) {
        fail_msg("%s: %u non-finite", odd->name, head->n_nonfinite);
    }
    if (odd->value == nan_of) {
        for (uint32_t i = 0; i < head->n_shown; i++) {
            assert_int_equal(finding->reasons[i], SAMPLE_NONFINITE);
        }
        assert_int_equal(head->n_left_out, odd->n_units - head->n_shown);
    }
}

/* ---- tests ---- */

static void try_one(struct rig *rig, const struct odd *odd, int seed)
{
    struct pusher pusher;
    pusher_init(&pusher, rig, odd->name, seed);
    pusher_declare_tensor(&pusher, 1, "w", BARO_WEIGHT, 4, odd->n_units);
    assert_int_equal(pusher_hello(&pusher), 0);
    push_steps(&pusher, odd, 1, 0, BEGIN);
    Baro__SampleRequest request = sample_rig_request(rig, odd->name);
    request.is_live = true;
    request.axis = odd->axis;
    const int64_t number = sample_rig_send(rig->link, &request);
    struct link_message message = {0};
    const int64_t last = odd->hole_end > BEGIN ? odd->hole - 1 : BEGIN - 1;
    struct finding finding = sample_rig_done(rig->link, number, last, &message);
    if (odd->value != holes_of && odd->value != late_of) {
        expect_shown(&finding, odd);
    }
    link_message_release(&message);
    for (int64_t step = BEGIN; step < BEGIN + MORE; step += 2) {
        push_steps(&pusher, odd, 1, step, step + 2);
        if (step + 1 < odd->hole_end) {
            continue;
        }
        finding = sample_rig_done(rig->link, number, step + 1, &message);
        expect_sound(&finding, odd);
        if (step + 2 >= BEGIN + MORE) {
            expect_shown(&finding, odd);
        }
        link_message_release(&message);
    }
    link_cancel(rig->link, number);
    request.is_live = false; /* and as one who comes only now */
    const int64_t other = sample_rig_send(rig->link, &request);
    finding = sample_rig_done(rig->link, other, 0, &message);
    assert_int_equal(finding.head->to_step, BEGIN + MORE - 1);
    expect_shown(&finding, odd);
    link_message_release(&message);
    sample_rig_wait_ended(rig);
    pusher_finish(&pusher);
}

static void every_odd_tensor_is_sampled_live_and_anew(void **state)
{
    for (size_t i = 0; i < BARO_LEN(odds); i++) {
        try_one(*state, &odds[i], 20 + (int)i);
    }
}

static void units_whose_tensor_changes_its_shape_go_on_as_another_thing(void **state)
{
    struct rig *rig = *state;
    const struct odd small = {"grows", 300, even_of, AXIS_LINEAR, 30, 300, 0, 0, 0};
    const struct odd large = {"grows", 900, even_of, AXIS_LINEAR, 30, 900, 0, 0, 0};
    struct pusher pusher;
    pusher_init(&pusher, rig, small.name, 50);
    pusher_declare_tensor(&pusher, 1, "w", BARO_WEIGHT, 4, small.n_units);
    assert_int_equal(pusher_hello(&pusher), 0);
    push_steps(&pusher, &small, 1, 0, BEGIN);
    Baro__SampleRequest request = sample_rig_request(rig, small.name);
    request.is_live = true;
    const int64_t number = sample_rig_send(rig->link, &request);
    struct link_message message = {0};
    struct finding finding = sample_rig_done(rig->link, number, BEGIN - 1, &message);
    expect_shown(&finding, &small);
    link_message_release(&message);
    pusher_declare_tensor(&pusher, 2, "w", BARO_WEIGHT, 4, large.n_units);
    push_steps(&pusher, &large, 2, BEGIN, BEGIN + MORE);
    Baro__SampleRequest other = request;
    other.thing = 2;
    const int64_t second = sample_rig_send(rig->link, &other);
    finding = sample_rig_done(rig->link, second, BEGIN + MORE - 1, &message);
    expect_shown(&finding, &large);
    assert_int_equal(finding.head->from_step, BEGIN);
    link_message_release(&message);
    push_steps(&pusher, &small, 1, BEGIN + MORE, BEGIN + MORE + 1); /* and back again */
    finding = sample_rig_done(rig->link, number, BEGIN + MORE, &message);
    expect_shown(&finding, &small);
    link_message_release(&message);
    link_cancel(rig->link, number);
    link_cancel(rig->link, second);
    sample_rig_wait_ended(rig);
    pusher_finish(&pusher);
}

static void as_many_units_as_there_may_be_have_a_first_picture_soon(void **state)
{
    struct rig *rig = *state;
    const struct odd odd = {"most", MOST_UNITS, even_of, AXIS_LINEAR, 100, 4000, 0, 0, 0};
    struct pusher pusher;
    pusher_init(&pusher, rig, odd.name, 60);
    pusher_declare_tensor(&pusher, 1, "w", BARO_WEIGHT, 4, odd.n_units);
    assert_int_equal(pusher_hello(&pusher), 0);
    push_steps(&pusher, &odd, 1, 0, BIG_STEPS);
    Baro__SampleRequest request = sample_rig_request(rig, odd.name);
    request.is_live = true;
    const uint64_t began = baro_now_ns();
    const int64_t number = sample_rig_send(rig->link, &request);
    struct link_message message = {0};
    struct finding finding = sample_rig_next(rig->link, number, &message);
    const double first_ms = (double)(baro_now_ns() - began) / 1e6;
    assert_false(finding.head->is_done);
    expect_sound(&finding, &odd);
    link_message_release(&message);
    finding = sample_rig_done(rig->link, number, BIG_STEPS - 1, &message);
    print_message("%u units: first picture %.0f ms, all %.0f ms\n", odd.n_units, first_ms,
        (double)(baro_now_ns() - began) / 1e6);
    expect_shown(&finding, &odd);
    link_message_release(&message);
    push_steps(&pusher, &odd, 1, BIG_STEPS, BIG_STEPS + 1);
    finding = sample_rig_done(rig->link, number, BIG_STEPS, &message);
    expect_shown(&finding, &odd);
    link_message_release(&message);
    link_cancel(rig->link, number);
    sample_rig_wait_ended(rig);
    pusher_finish(&pusher);
}

static void more_units_than_that_are_refused_with_a_sentence(void **state)
{
    struct rig *rig = *state;
    struct baro_err err = {0};
    struct pusher pusher;
    pusher_init(&pusher, rig, "million", 61);
    pusher_declare_tensor(&pusher, 1, "w", BARO_WEIGHT, 1 << 20, 0); /* as clients do */
    assert_int_equal(pusher_hello(&pusher), 0);
    Baro__SampleRequest request = sample_rig_request(rig, "million");
    for (int is_live = 0; is_live < 2; is_live++) {
        request.is_live = is_live;
        assert_int_equal(sample_rig_refused(rig, &request, &err), BARO_EINVAL);
        assert_non_null(strstr(err.text, "65536"));
    }
    pusher_finish(&pusher);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_odd_tensor_is_sampled_live_and_anew),
        cmocka_unit_test(units_whose_tensor_changes_its_shape_go_on_as_another_thing),
        cmocka_unit_test(as_many_units_as_there_may_be_have_a_first_picture_soon),
        cmocka_unit_test(more_units_than_that_are_refused_with_a_sentence),
    };
    return cmocka_run_group_tests_name("sample_odd", tests, set_up, tear_down);
}
