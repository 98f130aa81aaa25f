/* SPDX-License-Identifier: Apache-2.0 */
/* Packed columns against themselves: every bit comes back, and nothing else is believed. */
#include "tests/testing.h"

#include <math.h>

#include "lib/analysis/columns.h"
#include "lib/base/mem.h"
#include "proto/wire_columns.h"

enum { MANY = 1000 };

static uint64_t random_state = 1;

static uint64_t draw(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* Pack, unpack behind some other byte and with one more following, compare; returns the bytes. */
static size_t check(const struct wire_column *columns, size_t n)
{
    size_t bound = wire_columns_bound(n);
    baro_autofree uint8_t *packed = baro_xcalloc(bound, 1);
    baro_autofree struct wire_column *back = baro_xcalloc(n, sizeof *back);
    memset(back, 0xa5, n * sizeof *back);
    size_t n_bytes = wire_columns_pack(columns, n, packed);
    assert_true(n_bytes <= bound);
    baro_autofree uint8_t *exact =
        baro_xcalloc(n_bytes, 1); /* sanitizers see a byte too far */
    memcpy(exact, packed, n_bytes);
    assert_int_equal(wire_columns_unpack(exact, n_bytes, n, back), n_bytes);
    assert_memory_equal(back, columns, n * sizeof *back);
    for (size_t less = 0; less < n_bytes; less += 1 + n_bytes / 50) {
        baro_autofree uint8_t *cut = baro_xcalloc(less, 1);
        memcpy(cut, exact, less);
        assert_true(wire_columns_unpack(cut, less, n, back) < 0);
    }
    return n_bytes;
}

/* Make columns of readings as the daemon does. */
static void make(struct wire_column *out, size_t n, uint64_t n_readings, int64_t stride,
    double (*value)(uint64_t i))
{
    struct column_cut cut =
        columns_cut(-1000, -1001 + stride * (int64_t)n_readings, (uint32_t)n);
    baro_autofree struct column *columns = baro_xcalloc(n, sizeof *columns);
    for (uint64_t i = 0; i < n_readings; i++) {
        int64_t step = -1000 + stride * (int64_t)i;
        column_add(&columns[columns_find(&cut, step)], step, value(i));
    }
    for (size_t c = 0; c < n; c++) {
        column_finish(&columns[c]);
    }
    memcpy(out, columns, n * sizeof *out);
}

static double noise(uint64_t i)
{
    (void)i;
    return (double)((float)(draw() >> 40) * 0x1p-20F);
}

static double with_odd_ones(uint64_t i)
{
    static const double odd[] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
    return i % 37 == 0 ? odd[draw() % 3] : noise(i) * 1e300;
}

static double constant(uint64_t i)
{
    (void)i;
    return 0.1;
}

static void columns_of_regular_steps_take_a_third(void **state)
{
    (void)state;
    static struct wire_column columns[MANY];
    make(columns, MANY, 10 * MANY, 1, noise);
    assert_true(check(columns, MANY) < 27 * MANY);
    make(columns, MANY, 10 * MANY, 1, constant);
    assert_true(check(columns, MANY) < 4 * MANY);
}

static void gaps_odd_values_and_few_columns_come_back(void **state)
{
    (void)state;
    static struct wire_column columns[MANY];
    for (size_t n = 1; n <= MANY; n += 1 + n / 3) {
        make(columns, n, 20 * n, 7, with_odd_ones);
        (void)check(columns, n);
        make(columns, n, n / 2, 3, with_odd_ones); /* some empty, or all of them */
        (void)check(columns, n);
    }
}

static void any_bits_come_back(void **state)
{
    (void)state;
    static struct wire_column columns[MANY];
    for (int round = 0; round < TEST_ROUNDS(200); round++) {
        size_t n = 1 + draw() % 40;
        uint64_t *words = (uint64_t *)(void *)columns;
        for (size_t i = 0; i < n * sizeof *columns / 8; i++) {
            words[i] = draw() % 3 == 0 ? draw() >> draw() % 64 : draw();
        }
        for (size_t i = 0; i < n; i++) {
            columns[i].count |= 1;
        }
        (void)check(columns, n);
    }
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    static struct wire_column columns[MANY];
    struct wire_column back[8];
    baro_autofree uint8_t *packed = baro_xcalloc(wire_columns_bound(8), 1);
    make(columns, 8, 80, 1, noise);
    size_t n_bytes = wire_columns_pack(columns, 8, packed);
    assert_int_equal(packed[0], 0);
    assert_int_equal(packed[1], 4); /* the smallest values, as floats */
    packed[0] = 2;
    assert_true(wire_columns_unpack(packed, n_bytes, 8, back) < 0);
    packed[0] = 0;
    packed[1] = 5;
    assert_true(wire_columns_unpack(packed, n_bytes, 8, back) < 0);
    columns[3].count = 0; /* an empty column among those that hold readings */
    struct wire_column alone = columns[3];
    n_bytes = wire_columns_pack(columns, 8, packed);
    assert_int_equal(packed[0], 1);
    assert_int_equal(packed[1], 0xf7);
    assert_int_equal(wire_columns_unpack(packed, n_bytes, 8, back), n_bytes);
    assert_int_equal(back[3].count, 0);
    assert_true(isnan(back[3].min) && !isnan(alone.min));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_of_regular_steps_take_a_third),
        cmocka_unit_test(gaps_odd_values_and_few_columns_come_back),
        cmocka_unit_test(any_bits_come_back),
        cmocka_unit_test(what_cannot_be_is_refused),
    };
    return cmocka_run_group_tests_name("wire_columns", tests, NULL, NULL);
}
