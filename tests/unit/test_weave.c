/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/testing.h"

#include <stdio.h>
#include <string.h>

#include "lib/alarm/weave.h"
#include "lib/base/mem.h"

enum { MS = 1000000, STEP_MS = 100 };

/* What came out: "STEP 3/r1" and the like, one after the other. */
struct told {
    char text[4096];
};

static void add(struct weave *weave, enum reading_kind kind, uint32_t thing, int64_t step,
    int64_t time_ms, int64_t rank, double a, double b)
{
    const double numbers[2] = {a, b};
    const struct reading reading = {
        .header = {.step = step,
            .time_ns = time_ms * MS,
            .thing = thing,
            .kind = (uint16_t)kind},
        .n_f64 = kind == READING_RANK ? 2 : 1,
        .f64 = numbers,
    };
    weave_add(weave, &reading, thing, rank);
}

static int tell(const struct reading *reading, uint32_t thing, int64_t rank, void *payload)
{
    struct told *told = payload;
    size_t n = strlen(told->text);
    (void)snprintf(told->text + n, sizeof told->text - n, "%c%lld/%lld ",
        thing != 0                             ? 'v'
        : reading->header.kind == READING_STEP ? 's'
                                               : 'b',
        (long long)reading->header.step, (long long)rank);
    return 0;
}

static void expect(struct weave *weave, const char *text)
{
    struct told told = {""};
    assert_int_equal(weave_each(weave, tell, &told), 0);
    assert_string_equal(told.text, text);
    weave_destroy(weave);
}

/* Steps 0 to 2 of two ranks, rank 1 always later, and a batch of rank 1 at step 1. */
static struct weave *two_ranks(size_t n_without)
{
    struct weave *weave = weave_create();
    for (int64_t i = 0; i < 6; i++) {
        add(weave, READING_STEP, 0, i / 2, STEP_MS * (i / 2) + 30 * (i % 2), WEAVE_ANY_RANK,
            0.1, 0);
    }
    add(weave, READING_BATCH, 0, 1, STEP_MS + 30, WEAVE_ANY_RANK, 32, 0);
    for (int64_t i = (int64_t)n_without; i < 6; i++) {
        add(weave, READING_RANK, 0, i / 2, STEP_MS * (i / 2) + 30 * (i % 2), WEAVE_ANY_RANK,
            (double)(i % 2), READING_STEP);
        if (i == 3) {
            add(weave, READING_RANK, 0, 1, STEP_MS + 30, WEAVE_ANY_RANK, 1, READING_BATCH);
        }
    }
    for (int64_t step = 0; step < 3; step++) {
        add(weave, READING_SCALAR, 1, step, STEP_MS * step + 20, 0, 1, 0);
    }
    for (int64_t step = 0; step < 3; step++) {
        add(weave, READING_SCALAR, 2, step, STEP_MS * step + 50, 1, 1, 0);
    }
    return weave;
}

static void rows_of_the_run_get_the_ranks_that_were_kept_beside_them(void **state)
{
    (void)state;
    expect(
        two_ranks(0), "s0/0 s0/1 v0/0 v0/1 s1/0 s1/1 b1/1 v1/0 v1/1 s2/0 s2/1 v2/0 v2/1 ");
}

static void rows_older_than_their_ranks_are_anyones(void **state)
{
    (void)state;
    struct told told = {""};
    struct weave *weave = two_ranks(2);
    assert_int_equal(weave_each(weave, tell, &told), 0);
    assert_non_null(strstr(told.text, "s0/-1 "));
    assert_null(strstr(told.text, "s0/0 "));
    assert_non_null(strstr(told.text, "s1/0 "));
    assert_non_null(strstr(told.text, "s2/1 "));
    weave_destroy(weave);
}

static void ranks_of_other_steps_are_not_believed(void **state)
{
    (void)state;
    struct weave *weave = weave_create();
    add(weave, READING_STEP, 0, 7, 700, WEAVE_ANY_RANK, 0.1, 0);
    add(weave, READING_RANK, 0, 6, 600, WEAVE_ANY_RANK, 1, READING_STEP);
    expect(weave, "s7/-1 ");
}

static void steps_that_go_back_are_a_stretch_of_their_rank_only(void **state)
{
    (void)state;
    struct weave *weave = weave_create();
    for (int64_t i = 0; i < 6; i++) { /* rank 0: 0 1 2 0 1 2; resumed */
        add(weave, READING_STEP, 0, i % 3, STEP_MS * i, 0, 0.1, 0);
    }
    for (int64_t i = 0; i < 6; i++) {
        add(weave, READING_SCALAR, 1, i % 3, STEP_MS * i + 20, 0, 1, 0);
    }
    expect(weave, "s0/0 v0/0 s1/0 v1/0 s2/0 v2/0 s0/0 v0/0 s1/0 v1/0 s2/0 v2/0 ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_the_run_get_the_ranks_that_were_kept_beside_them),
        cmocka_unit_test(rows_older_than_their_ranks_are_anyones),
        cmocka_unit_test(ranks_of_other_steps_are_not_believed),
        cmocka_unit_test(steps_that_go_back_are_a_stretch_of_their_rank_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
