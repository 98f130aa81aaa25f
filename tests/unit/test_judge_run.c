/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "tests/testing.h"

#include "lib/analysis/judge_run.h"
#include "lib/analysis/rule_book.h"
#include "lib/base/mem.h"

/* Ranks compared: whatever the order in which their processes are heard, the findings are the same. */

enum { N_RANKS = 3, N_STEPS = 200, MAX_FOUND = 64 };

struct place {
    struct rule_book *book;
    struct judge_run *run;
    struct judge_finding found[MAX_FOUND];
    uint32_t ranks[MAX_FOUND];
    size_t n_found;
    uint64_t noise;
};

static double uniform(struct place *place)
{
    place->noise ^= place->noise << 13;
    place->noise ^= place->noise >> 7;
    place->noise ^= place->noise << 17;
    return ((double)(place->noise >> 11) + 0.5) / 9007199254740992.0;
}

static void open_place(struct place *place)
{
    memset(place, 0, sizeof *place);
    place->noise = 88172645463325252U;
    place->book = rule_book_default();
    place->run = judge_run_create(place->book);
    for (uint32_t rank = 0; rank < N_RANKS; rank++) {
        judge_run_declare(place->run, rank, 2 * rank + 1, "replicated/w");
        judge_run_declare(place->run, rank, 2 * rank + 2, "loss");
    }
}

static void close_place(struct place *place)
{
    judge_run_destroy(place->run);
    rule_book_destroy(place->book);
}

static void gather(struct place *place)
{
    while (place->n_found < MAX_FOUND &&
           judge_run_take(
               place->run, &place->found[place->n_found], &place->ranks[place->n_found])) {
        place->n_found++;
    }
}

static void feed(struct place *place, uint32_t rank, enum reading_kind kind, uint32_t thing,
    int64_t step, double value)
{
    struct reading reading = {.header = {.kind = (uint16_t)kind, .step = step},
        .n_f64 = isnan(value) ? 0 : 1,
        .f64 = &value};
    judge_run_reading(place->run, rank, &reading, thing);
    gather(place);
}

/* What happens to a rank at a step. */
typedef double (*number_fn)(uint32_t rank, int64_t step);

static void feed_step(
    struct place *place, uint32_t rank, int64_t step, number_fn pace, number_fn sum)
{
    feed(place, rank, READING_STEP, 0, step, pace(rank, step));
    feed(place, rank, READING_SCALAR, 2 * rank + 1, step, sum(rank, step));
    feed(place, rank, READING_SCALAR, 2 * rank + 2, step, (double)rank);
}

/* All ranks, each as far ahead of the others as chance will have it, within `lead` steps. */
static size_t run_all(struct place *place, number_fn pace, number_fn sum, int64_t lead)
{
    open_place(place);
    place->noise += (uint64_t)lead * 12345;
    int64_t at[N_RANKS] = {0};
    int64_t least = 0;
    while (least < N_STEPS) {
        uint32_t rank = (uint32_t)(uniform(place) * N_RANKS);
        if (at[rank] < N_STEPS && at[rank] <= least + lead) {
            feed_step(place, rank, at[rank], pace, sum);
            at[rank]++;
        }
        least = at[0];
        for (uint32_t i = 1; i < N_RANKS; i++) {
            least = at[i] < least ? at[i] : least;
        }
    }
    for (uint32_t rank = 0; rank < N_RANKS; rank++) {
        judge_run_leave(place->run, rank);
        gather(place);
    }
    return place->n_found;
}

static double same_pace(uint32_t rank, int64_t step)
{
    return 0.1 + 0.001 * (double)((step * 7 + rank * 3) % 5);
}

static double same_sum(uint32_t rank, int64_t step)
{
    (void)rank;
    return (double)(step * step);
}

static double rank_two_is_slow(uint32_t rank, int64_t step)
{
    return rank == 2 && step >= 100 ? 1 : same_pace(rank, step);
}

static double rank_one_has_a_hiccup(uint32_t rank, int64_t step)
{
    return rank == 1 && step % 40 < 2 ? 5 : same_pace(rank, step);
}

static double rank_one_parts(uint32_t rank, int64_t step)
{
    return same_sum(rank, step) + (rank == 1 && step >= 90 ? 1 : 0);
}

static void ranks_that_agree_are_quiet(void **state)
{
    (void)state;
    struct place place;
    assert_int_equal(run_all(&place, same_pace, same_sum, 5), 0);
    close_place(&place);
    assert_int_equal(run_all(&place, rank_one_has_a_hiccup, same_sum, 5), 0);
    close_place(&place);
}

static void a_difference_is_told_the_same_whoever_speaks_first(void **state)
{
    (void)state;
    char text[JUDGE_TEXT_BYTES] = "";
    for (int64_t lead = 0; lead < 20; lead++) {
        struct place place;
        assert_int_equal(run_all(&place, same_pace, rank_one_parts, lead), 1);
        assert_string_equal(place.found[0].kind, "ranks_differ");
        assert_int_equal(place.found[0].step, 90);
        assert_int_equal(place.ranks[0], 1);
        assert_true(text[0] == '\0' || strcmp(text, place.found[0].text) == 0);
        strcpy(text, place.found[0].text);
        close_place(&place);
    }
    assert_string_equal(text,
        "w is not the same on ranks 0 and 1 at step 90: the sums of its bits "
        "are 8100 and 8101.");
}

static void a_slow_rank_is_told_within_a_few_steps(void **state)
{
    (void)state;
    for (int64_t lead = 0; lead < 20; lead += 5) {
        struct place place;
        assert_int_equal(run_all(&place, rank_two_is_slow, same_sum, lead), 1);
        assert_string_equal(place.found[0].kind, "straggler");
        assert_int_equal(place.ranks[0], 2);
        assert_int_equal(place.found[0].step, 102);
        close_place(&place);
    }
}

/* Short runs come so: all of one process, then all of the next. */
static void ranks_that_come_one_after_the_other_are_compared_all_the_same(void **state)
{
    (void)state;
    struct place place;
    open_place(&place);
    judge_run_expect(place.run, N_RANKS);
    for (uint32_t rank = 0; rank < N_RANKS; rank++) {
        for (int64_t step = 0; step < N_STEPS; step++) {
            feed_step(&place, rank, step, rank_two_is_slow, same_sum);
        }
        judge_run_leave(place.run, rank);
        gather(&place);
    }
    assert_int_equal(place.n_found, 1);
    assert_string_equal(place.found[0].kind, "straggler");
    assert_int_equal(place.found[0].step, 102);
    close_place(&place);
}

static void a_rank_that_never_comes_is_not_waited_for_for_ever(void **state)
{
    (void)state;
    struct place place;
    open_place(&place);
    judge_run_expect(place.run, N_RANKS + 1);
    for (int64_t step = 0; step < JUDGE_RUN_MAX_WAIT; step++) {
        for (uint32_t rank = 0; rank < N_RANKS; rank++) {
            feed_step(&place, rank, step, rank_two_is_slow, same_sum);
        }
    }
    assert_int_equal(place.n_found, 1);
    assert_int_equal(place.found[0].step, 102);
    close_place(&place);
}

static double worked_pace(uint32_t rank, int64_t step)
{
    return rank == 1 && step >= 10 ? 1 : 0.1;
}

static void the_worked_number_of_the_essay_is_right(void **state)
{
    (void)state;
    struct place place;
    open_place(&place);
    for (int64_t step = 0; step < 30; step++) {
        feed_step(&place, 0, step, worked_pace, same_sum);
        feed_step(&place, 1, step, worked_pace, same_sum);
    }
    assert_int_equal(place.n_found, 1);
    assert_int_equal(place.found[0].step, 14);
    assert_true(fabs(place.found[0].score - 5 * (log(10) / 2 - log(1.2))) < 1e-9);
    close_place(&place);
}

static void a_rank_that_left_is_not_waited_for(void **state)
{
    (void)state;
    struct place place;
    open_place(&place);
    for (int64_t step = 0; step < 50; step++) {
        for (uint32_t rank = 0; rank < N_RANKS; rank++) {
            if (rank != 0 || step < 20) {
                feed_step(&place, rank, step, same_pace, rank_one_parts);
            }
        }
    }
    assert_int_equal(place.n_found, 0);
    judge_run_leave(place.run, 0);
    for (int64_t step = 50; step < 100; step++) {
        feed_step(&place, 1, step, same_pace, rank_one_parts);
        feed_step(&place, 2, step, same_pace, rank_one_parts);
    }
    assert_int_equal(place.n_found, 1);
    assert_int_equal(place.found[0].step, 90);
    close_place(&place);
}

static void one_rank_alone_is_compared_with_nobody(void **state)
{
    (void)state;
    struct place place;
    open_place(&place);
    for (int64_t step = 0; step < 100000 / TEST_SPARSE; step++) {
        feed_step(&place, 0, step, rank_two_is_slow, rank_one_parts);
    }
    assert_int_equal(place.n_found, 0);
    assert_true(judge_run_memory(place.run) < 1 << 20);
    close_place(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_that_agree_are_quiet),
        cmocka_unit_test(a_difference_is_told_the_same_whoever_speaks_first),
        cmocka_unit_test(a_slow_rank_is_told_within_a_few_steps),
        cmocka_unit_test(ranks_that_come_one_after_the_other_are_compared_all_the_same),
        cmocka_unit_test(a_rank_that_never_comes_is_not_waited_for_for_ever),
        cmocka_unit_test(the_worked_number_of_the_essay_is_right),
        cmocka_unit_test(a_rank_that_left_is_not_waited_for),
        cmocka_unit_test(one_rank_alone_is_compared_with_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
