/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/testing.h"

#include "tests/unit/credit_trial.h"

/* Rules of operations that move elements or choose them by indices, against the operations. */

/* Moves: `from` says which input element an output element is. */

#define MOVE(name, n, from)                                                                \
    static void c_##name(double *const *in, double *out, const double *p)                  \
    {                                                                                      \
        (void)p;                                                                           \
        for (int i = 0; i < (n); i++) {                                                    \
            out[i] = from;                                                                 \
        }                                                                                  \
    }

/* of [2, 3, 4] */
MOVE(same, 24, in[0][i])
MOVE(permute, 24, in[0][i / 6 + i % 6 / 3 * 12 + i % 3 * 4]) /* [4, 2, 3] */
MOVE(transpose, 24, in[0][i / 12 * 12 + i % 12 / 3 + i % 3 * 4])
MOVE(slice, 12, in[0][i / 6 * 12 + i % 6 / 2 * 4 + 1 + i % 2 * 2]) /* ::, 1::2 */
MOVE(select, 8, in[0][i / 4 * 12 + 8 + i % 4])
MOVE(flip, 24, in[0][(1 - i / 12) * 12 + i % 12 / 4 * 4 + 3 - i % 4])
MOVE(roll, 24, in[0][i / 4 * 4 + (i + 1) % 4])
MOVE(repeat, 96, in[0][i / 8 % 6 * 4 + i % 4]) /* [2, 2, 3, 8] */
MOVE(tril, 24, i % 12 / 4 >= i % 4 ? in[0][i] : 0)
MOVE(triu, 24, i % 4 >= i % 12 / 4 + 1 ? in[0][i] : 0)
MOVE(cat, 30, i % 5 < 4 ? in[0][i / 5 * 4 + i % 5] : in[1][i / 5])
MOVE(stack, 12, in[i % 2][i / 2]) /* [2, 3] twice, dim 2 */
MOVE(expand, 12, in[0][i / 6 * 3 + i % 3])
MOVE(pad, 48, i % 8 >= 1 && i % 8 < 5 ? in[0][i / 8 * 4 + i % 8 - 1] : 2.5)

MOVE(slice_put, 24, i % 4 == 1 || i % 4 == 3 ? in[1][i / 4 * 2 + i % 4 / 2] : in[0][i])
MOVE(select_put, 24, i % 12 / 4 == 2 ? in[1][i / 12 * 4 + i % 4] : in[0][i])
MOVE(strided, 4, in[0][1 + i / 2 * 12 + i % 2 * 2])

static void c_windows(double *const *in, double *out, const double *p)
{
    for (int i = 0; i < 2 * 3 * 2 * 2; i++) { /* windows of 2 at 0 and 2 */
        out[i] = in[0][i / 4 * 4 + i / 2 % 2 * 2 + i % 2];
    }
}

static void elements_that_move(void **state)
{
    const struct trial_operand x = {{2, 3, 4}, 3, 0.5, 1};
    const struct trial_operand one = {{2, 3, 1}, 3, 0.5, 1};
    const struct trial_operand flat = {{2, 3}, 2, 0.5, 1};
    const struct trial_operand thin = {{2, 1, 3}, 3, 0.5, 1};
    const struct trial cases[] = {
        {"view", "size=[6, 4]", {0}, c_same, {x}, 1, {6, 4}, 2},
        {"clone", "", {0}, c_same, {x}, 1, {2, 3, 4}, 3},
        {"permute", "dims=[2, 0, 1]", {0}, c_permute, {x}, 1, {4, 2, 3}, 3},
        {"transpose", "dim0=1 dim1=-1", {0}, c_transpose, {x}, 1, {2, 4, 3}, 3},
        {"slice", "dim=2 start=1 end=9223372036854775807 step=2", {0}, c_slice, {x}, 1,
            {2, 3, 2}, 3},
        {"select", "dim=1 index=-1", {0}, c_select, {x}, 1, {2, 4}, 2},
        {"flip", "dims=[0, 2]", {0}, c_flip, {x}, 1, {2, 3, 4}, 3},
        {"roll", "shifts=[-1] dims=[2]", {0}, c_roll, {x}, 1, {2, 3, 4}, 3},
        {"unfold", "dimension=2 size=2 step=2", {0}, c_windows, {x}, 1, {2, 3, 2, 2}, 4},
        {"repeat", "repeats=[2, 1, 1, 2]", {0}, c_repeat, {x}, 1, {2, 2, 3, 8}, 4},
        {"tril", "diagonal=0", {0}, c_tril, {x}, 1, {2, 3, 4}, 3, true},
        {"triu", "diagonal=1", {0}, c_triu, {x}, 1, {2, 3, 4}, 3, true},
        {"cat", "dim=-1", {0}, c_cat, {x, one}, 2, {2, 3, 5}, 3},
        {"stack", "dim=2", {0}, c_stack, {flat, flat}, 2, {2, 3, 2}, 3},
        {"expand", "size=[2, 2, 3]", {0}, c_expand, {thin}, 1, {2, 2, 3}, 3},
        {"as_strided", "size=[2,2] stride=[12,2] storage_offset=1", {0}, c_strided, {x}, 1,
            {2, 2}, 2, true},
        {"slice_scatter", "dim=2 start=1 end=9223372036854775807 step=2", {0}, c_slice_put,
            {x, {{2, 3, 2}, 3, 0.5, 1}}, 2, {2, 3, 4}, 3},
        {"select_scatter", "dim=1 index=2", {0}, c_select_put, {x, {{2, 4}, 2, 0.5, 1}}, 2,
            {2, 3, 4}, 3},
        {"constant_pad_nd", "pad=[1, 3] value=2.5", {0}, c_pad, {x}, 1, {2, 3, 8}, 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        trial_check(&cases[i]);
    }
}

/* Choices by indices. */

static void c_embedding(double *const *in, double *out, const double *p)
{
    for (int i = 0; i < 24; i++) {
        out[i] = in[0][(int)in[1][i / 4] * 4 + i % 4];
    }
}

static void c_gather(double *const *in, double *out, const double *p)
{
    for (int i = 0; i < 4; i++) { /* [2, 2] of [2, 5], along 1 */
        out[i] = in[0][i / 2 * 5 + (int)in[1][i]];
    }
}

static void c_index_select(double *const *in, double *out, const double *p)
{
    for (int i = 0; i < 2 * 3 * 4; i++) { /* [2, 5, 4], along 1 */
        out[i] = in[0][i / 12 * 20 + (int)in[1][i / 4 % 3] * 4 + i % 4];
    }
}

static void c_index(double *const *in, double *out, const double *p)
{
    for (int i = 0; i < 3 * 4; i++) { /* x[a, b] of [2, 5, 4] */
        out[i] = in[0][(int)in[1][i / 4] * 20 + (int)in[2][i / 4] * 4 + i % 4];
    }
}

static void c_masked(double *const *in, double *out, const double *p)
{
    int n = 0;
    for (int i = 0; i < 6; i++) {
        if (in[1][i] != 0) {
            out[n++] = in[0][i];
        }
    }
}

static void c_put(double *const *in, double *out, const double *p)
{
    memcpy(out, in[0], 10 * sizeof *out);
    for (int i = 0; i < 3; i++) {
        const int at = (int)in[1][i];
        out[at] = p[0] != 0 ? out[at] + in[2][i] : in[2][i];
    }
}

static void c_put_one(double *const *in, double *out, const double *p)
{
    memcpy(out, in[0], 10 * sizeof *out);
    for (int i = 0; i < 3; i++) {
        out[(int)in[1][i]] = in[2][0];
    }
}

static const double mask6[] = {1, 0, 0, 1, 1, 0};
static const double twice3[] = {4, 4, 7};
static const double rows6[] = {0, 3, 3, 1, 6, 2};
static const double some3[] = {4, 0, 7};

static void elements_that_indices_choose(void **state)
{
    const struct trial_operand table = {{7, 4}, 2, 0.5, 1, .is_fixed = true};
    const struct trial_operand words = {{2, 3}, 2, 0, 6.99, true};
    const struct trial_operand x = {{2, 5, 4}, 3, 0.5, 1};
    const struct trial_operand flat = {{2, 5}, 2, 0.5, 1};
    const struct trial_operand five = {{3}, 1, 0, 4.99, true};
    const struct trial_operand two = {{3}, 1, 0, 1.99, true};
    const struct trial_operand pair = {{2, 2}, 2, 0, 4.99, true};
    const struct trial_operand six = {{2, 3}, 2, 0.5, 1};
    const struct trial_operand mask = {{2, 3}, 2, 0, 1, true, mask6};
    const struct trial_operand ten = {{10}, 1, 0.5, 1};
    const struct trial_operand at = {{3}, 1, 0, 1, true, some3};
    const struct trial_operand what = {{3}, 1, 0.5, 1};
    const struct trial cases[] = {
        {"embedding", "", {0}, c_embedding, {table, {{2, 3}, 2, 0, 1, true, rows6}}, 2,
            {2, 3, 4}, 3},
        {"embedding", "", {0}, c_embedding, {table, words}, 2, {2, 3, 4}, 3},
        {"gather", "dim=1", {0}, c_gather, {flat, pair}, 2, {2, 2}, 2},
        {"index_select", "dim=1", {0}, c_index_select, {x, five}, 2, {2, 3, 4}, 3},
        {"index", "", {0}, c_index, {x, two, five}, 3, {3, 4}, 2},
        {"masked_select", "", {0}, c_masked, {six, mask}, 2, {3}, 1},
        {"index_put", "accumulate=0", {0}, c_put, {ten, at, what}, 3, {10}, 1},
        {"index_put", "accumulate=0", {0}, c_put_one, {ten, at, {{1}, 1, 0.5, 1}}, 3, {10},
            1},
        {"index_put", "accumulate=1", {1}, c_put, {ten, at, what}, 3, {10}, 1},
        {"scatter", "dim=0", {0}, c_put, {ten, {{3}, 1, 0, 1, true, twice3}, what}, 3, {10},
            1},
        {"scatter_add", "dim=0", {1}, c_put, {ten, {{3}, 1, 0, 1, true, twice3}, what}, 3,
            {10}, 1},
        {"scatter", "dim=0", {0}, c_put, {ten, at, what}, 3, {10}, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        trial_check(&cases[i]);
    }
}

static void the_example_of_the_essay_on_indices_is_right(void **state)
{
    static struct trial_bench b;
    static const double index[] = {1, 0};
    const struct trial pick = {"index_select", "dim=0", {0}, c_masked,
        {{{2}, 1, 0, 1}, {{1}, 1, 0, 1, true, index}}, 2, {1}, 1};
    trial_set_up(&b, &pick);
    b.x[0][0] = 1.5f;
    b.x[0][1] = b.x0[0][1] = 2;
    b.x0[0][0] = 1;
    b.x0[1][0] = 0;
    b.d[0] = 1;
    trial_start(&b, CREDIT_CHANGE);
    assert_int_equal(trial_rule(&pick)->change(&b.io), 0);
    trial_compare(&pick, "table", (double)b.back[0][0] * 0.5, 0.25, 1, 1e-6);
    trial_compare(&pick, "index", (double)b.back[1][0], 0.75, 1, 1e-6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements_that_move),
        cmocka_unit_test(elements_that_indices_choose),
        cmocka_unit_test(the_example_of_the_essay_on_indices_is_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
