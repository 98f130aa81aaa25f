/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/testing.h"

#include <math.h>

#include "lib/base/mem.h"
#include "lib/codec/bits.h"
#include "lib/codec/predict.h"
#include "lib/codec/round.h"
#include "lib/codec/symbols.h"

static uint64_t seed = 88172645463325252U;

static uint64_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* ---- bits.h ---- */

static void bits_come_back_whatever_their_widths(void **state)
{
    enum { N = 4000 };
    static uint8_t bytes[N * 8 + BITS_SLACK];
    static uint64_t values[N];
    static unsigned widths[N];
    struct bits_out out = {.to = bytes};
    size_t n_bits = 0;
    for (size_t i = 0; i < N; i++) {
        widths[i] = (unsigned)(next_random() % 65);
        values[i] = widths[i] == 0 ? 0 : next_random() >> (64 - widths[i]);
        bits_put(&out, values[i], widths[i]);
        n_bits += widths[i];
    }
    assert_int_equal(bits_end(&out) - bytes, (n_bits + 7) / 8);
    size_t at = 0;
    for (size_t i = 0; i < N; i++) {
        assert_true(bits_take(bytes, at, widths[i]) == values[i]);
        at += widths[i];
    }
}

/* ---- predict.c ---- */

/* The worked number of predict.c. */
static void floats_become_the_residuals_of_the_essay(void **state)
{
    static const float floats[] = {1.0F, 1.5F, 2.0F, 2.5F};
    static const uint64_t first[] = {0x7f000000, 0x800000, 0x800000, 0x400000};
    static const uint64_t second[] = {0x7f000000, 0x800000, 0, 0x3fffff};
    int64_t numbers[4];
    uint64_t out[4];
    for (size_t i = 0; i < 4; i++) {
        numbers[i] = predict_from_f32(bits_of(floats[i]));
    }
    assert_int_equal(numbers[3], 0x40200000);
    predict_apply((struct predict){.order = 1}, numbers, 4, 0, true, out);
    assert_memory_equal(out, first, sizeof first);
    predict_apply((struct predict){.order = 2}, numbers, 4, 0, true, out);
    assert_memory_equal(out, second, sizeof second);
}

static void every_float_has_a_number_of_its_own_in_order(void **state)
{
    static const uint32_t special[] = {0, 0x80000000U, 0x80000001U, 1, 0x7f800000U,
        0xff800000U, 0x7fc00000U, 0xffffffffU, 0x7f800001U, 0x7fffffffU};
    for (size_t i = 0; i < BARO_LEN(special); i++) {
        assert_int_equal(predict_to_f32(predict_from_f32(special[i])), special[i]);
        uint64_t wide = (uint64_t)special[i] << 32 | special[i];
        assert_true(predict_to_f64(predict_from_f64(wide)) == wide);
    }
    for (int turn = 0; turn < 100000; turn++) {
        uint32_t a = (uint32_t)next_random();
        uint32_t b = (uint32_t)next_random();
        uint64_t wide = next_random();
        assert_int_equal(predict_to_f32(predict_from_f32(a)), a);
        assert_true(predict_to_f64(predict_from_f64(wide)) == wide);
        if (float_of(a) < float_of(b)) {
            assert_true(predict_from_f32(a) < predict_from_f32(b));
        }
    }
    /* Zeros at the end stay, on both sides of 0. */
    assert_int_equal(predict_from_f32(bits_of(-1.5F)), -0x3fc00000);
    assert_int_equal(predict_from_f64(UINT64_C(1) << 63), INT64_MIN);
}

static void fill(int64_t *numbers, size_t n, bool is_narrow, int turn)
{
    int64_t at = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t noise = next_random() >> (next_random() % 64);
        at = turn % 3 == 0 ? (int64_t)((uint64_t)at + noise % 1000 - 500) : (int64_t)noise;
        at = turn % 3 == 1 && next_random() % 2 == 0 ? -at : at;
        numbers[i] = is_narrow ? (int32_t)(uint32_t)at : at;
    }
    numbers[n / 2] = is_narrow ? INT32_MIN : INT64_MIN;
}

static void any_prediction_can_be_undone(void **state)
{
    enum { N = 200 };
    int64_t numbers[N];
    int64_t back[N];
    uint64_t residuals[N];
    for (int turn = 0; turn < 600; turn++) {
        bool is_narrow = turn % 2 == 0;
        size_t n = turn < 40 ? (size_t)turn / 4 + 1 : N;
        fill(numbers, n, is_narrow, turn);
        struct predict how = {.order = (uint8_t)(turn % (PREDICT_MAX_ORDER + 1))};
        if (is_narrow && turn % 3 == 0) {
            how = (struct predict){.slow = (uint8_t)(1 + turn % PREDICT_MAX_SLOW)};
        }
        int64_t before =
            is_narrow ? (int32_t)(uint32_t)next_random() : (int64_t)next_random();
        predict_apply(how, numbers, n, before, is_narrow, residuals);
        for (size_t i = 0; i < n; i++) {
            assert_true(!is_narrow || residuals[i] <= UINT32_MAX);
            back[i] = (int64_t)predict_unfold(residuals[i]);
        }
        predict_undo(how, back, n, before);
        for (size_t i = 0; i < n; i++) {
            int64_t number = is_narrow ? (int32_t)(uint32_t)back[i] : back[i];
            assert_true(number == numbers[i]);
        }
    }
}

static void the_bits_of_all_ways_are_those_of_each(void **state)
{
    enum { N = 300 };
    int64_t numbers[N];
    uint64_t residuals[N];
    for (int turn = 0; turn < 40; turn++) {
        bool is_narrow = turn % 2 == 0;
        size_t n = turn < 20 ? (size_t)turn + 1 : N;
        for (size_t i = 0; i < n; i++) {
            numbers[i] = (int64_t)(next_random() % 100000) - 50000;
        }
        uint64_t bits[PREDICT_WAYS] = {0};
        predict_measure(numbers, n, 77, is_narrow, bits);
        for (size_t way = 0; way < PREDICT_WAYS; way++) {
            struct predict how =
                is_narrow ? predict_narrow_ways[way] : predict_wide_ways[way];
            uint64_t expected = 0;
            predict_apply(how, numbers, n, 77, is_narrow, residuals);
            for (size_t i = 0; i < n; i++) {
                expected +=
                    residuals[i] == 0 ? 1 : 64U - (unsigned)__builtin_clzll(residuals[i]);
            }
            uint64_t first = how.slow > 0 ? 1 : 0; /* the mean starts there */
            assert_true(bits[way] == expected + first);
        }
    }
}

/* ---- symbols.c ---- */

/* The worked number of symbols.c. */
static void a_thousand_is_symbol_35_and_104(void **state)
{
    unsigned n_bits;
    struct symbols_table table;
    assert_int_equal(symbols_class(1000, true, &n_bits), 35);
    assert_int_equal(n_bits, 7);
    assert_int_equal(1000 & 127, 104);
    symbols_class_table(true, &table);
    assert_int_equal(table.base[35], 896);
    assert_int_equal(table.n_bits[35], 7);
}

static void symbols_by_magnitude_say_all_but_the_bits_behind(void **state)
{
    struct symbols_table tables[2];
    symbols_class_table(false, &tables[0]);
    symbols_class_table(true, &tables[1]);
    for (int turn = 0; turn < 200000; turn++) {
        bool is_narrow = turn % 2 == 0;
        uint64_t residual = next_random() >> (next_random() % 64);
        residual = turn < 2 ? UINT64_MAX : residual;
        residual = is_narrow ? residual & UINT32_MAX : residual;
        unsigned n_bits;
        uint8_t symbol = symbols_class(residual, is_narrow, &n_bits);
        assert_true(symbol < SYMBOLS_HAS_LOW);
        assert_int_equal(tables[is_narrow].n_bits[symbol], n_bits);
        uint64_t rest = residual & ((UINT64_C(1) << n_bits) - 1);
        assert_true(tables[is_narrow].base[symbol] + rest == residual);
    }
    assert_int_equal(tables[0].n_bits[SYMBOLS_HAS_LOW], SYMBOLS_BAD);
    assert_int_equal(tables[0].n_bits[SYMBOLS_HAS_LOW - 1], SYMBOLS_BAD);
}

static void a_cut_covers_the_whole_range(void **state)
{
    uint64_t residuals[3];
    struct symbols_table table;
    for (int turn = 0; turn < 1000; turn++) {
        unsigned n_symbols = turn % 2 == 0 ? SYMBOLS_MAX : SYMBOLS_HAS_LOW;
        for (size_t i = 0; i < 3; i++) {
            residuals[i] = turn == 0 ? UINT64_MAX * i / 2 : next_random() >> turn % 64;
        }
        struct symbols_split split = symbols_split_choose(residuals, 3, n_symbols);
        assert_true(symbols_split_table(split, n_symbols, &table));
        for (size_t i = 0; i < 3; i++) {
            uint64_t symbol = (residuals[i] - split.base) >> split.n_bits;
            assert_true(symbol < n_symbols);
            uint64_t rest =
                (residuals[i] - split.base) & ((UINT64_C(1) << split.n_bits) - 1);
            assert_true(table.base[symbol] + rest == residuals[i]);
        }
    }
    assert_false(symbols_split_table((struct symbols_split){.n_bits = 58}, 256, &table));
}

static void a_list_finds_all_that_it_was_made_of(void **state)
{
    enum { N = 3000 };
    static uint64_t residuals[N];
    uint64_t dict[SYMBOLS_MAX];
    for (size_t i = 0; i < N; i++) {
        residuals[i] = next_random() % 200 * UINT64_C(0x123456789abcdef);
    }
    size_t n_dict = symbols_dict_choose(residuals, N, SYMBOLS_MAX, dict);
    assert_int_equal(n_dict, 200);
    for (size_t i = 0; i < N; i++) {
        assert_true(dict[symbols_dict_find(dict, n_dict, residuals[i])] == residuals[i]);
    }
    assert_true(symbols_repeat(residuals, N));
    assert_int_equal(symbols_dict_choose(residuals, N, 199, dict), 0);
    for (size_t i = 0; i < N; i++) {
        residuals[i] = next_random();
    }
    assert_int_equal(symbols_dict_choose(residuals, N, SYMBOLS_MAX, dict), 0);
    assert_false(symbols_repeat(residuals, N));
}

/* ---- round.c ---- */

/* The worked numbers of round.c. */
static void a_tenth_and_five_times_are_rounded_as_the_essay_says(void **state)
{
    float values[] = {-1.0F, 0.1F, 1.0F};
    round_floats(values, 3, values);
    assert_int_equal(bits_of(values[1]), 0x3dccd000);
    assert_true(fabs((double)values[1] / (double)0.1F - 1) < 0x1p-13);
    int64_t times[] = {0, 175, 275, 425, 1250};
    int64_t expected[] = {0, 144, 288, 432, 1232};
    int64_t out[5];
    for (size_t i = 0; i < 5; i++) {
        times[i] *= 1 << 22; /* of a bound of 2^30 ns */
        expected[i] *= 1 << 22;
    }
    round_times(times, 5, out);
    assert_memory_equal(out, expected, sizeof expected);
}

static void rounded_floats_keep_their_bound_and_their_extremes(void **state)
{
    enum { N = 500 };
    float values[N];
    float out[N];
    float again[N];
    for (int turn = 0; turn < 300; turn++) {
        for (size_t i = 0; i < N; i++) {
            uint32_t bits = (uint32_t)next_random();
            /* all floats; close together; around a power of two; denormals */
            bits = turn % 4 == 1 ? 0x3f800000U + bits % 4000 : bits;
            bits = turn % 4 == 2 ? 0xbf800000U - 1000 + bits % 2000 : bits;
            bits = turn % 4 == 3 ? bits & 0x80ffffffU : bits;
            values[i] = float_of(bits);
        }
        float least = INFINITY;
        float most = -INFINITY;
        for (size_t i = 0; i < N; i++) {
            least = isfinite(values[i]) && values[i] < least ? values[i] : least;
            most = isfinite(values[i]) && values[i] > most ? values[i] : most;
        }
        round_floats(values, N, out);
        round_floats(out, N, again);
        assert_memory_equal(out, again, sizeof out);
        for (size_t i = 0; i < N; i++) {
            bool is_kept = !isnormal(values[i]) || values[i] == least || values[i] == most;
            if (is_kept) {
                assert_int_equal(bits_of(out[i]), bits_of(values[i]));
                continue;
            }
            double error = fabs((double)out[i] - (double)values[i]);
            assert_true(error <= fabs((double)values[i]) * 0x1p-13);
            assert_true(out[i] >= least && out[i] <= most);
        }
    }
}

static int compare_distances(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void rounded_times_keep_their_order_and_their_bound(void **state)
{
    enum { N = 400 };
    static int64_t times[N];
    static int64_t distances[N - 1];
    static int64_t out[N];
    uint64_t n_lines = 0;
    for (int turn = 0; turn < 400; turn++) {
        int64_t usual = 1 + (int64_t)(next_random() >> (20 + turn % 40));
        int64_t at = (int64_t)(next_random() >> 3) - (INT64_C(1) << 60);
        for (size_t i = 0; i < N; i++) {
            times[i] = at;
            bool is_wild = turn % 4 == 3; /* pauses, bursts, repeats */
            uint64_t chance = next_random();
            int64_t jitter = (int64_t)(chance % (uint64_t)usual);
            at += is_wild ? (chance % 7 == 0 ? 0 : jitter * (chance % 50 == 1 ? 60 : 1))
                          : usual + jitter / (1 + turn % 20);
        }
        for (size_t i = 1; i < N; i++) {
            distances[i - 1] = times[i] - times[i - 1];
        }
        qsort(distances, N - 1, sizeof *distances, compare_distances);
        int64_t median = distances[(N - 1) / 2];
        round_times(times, N, out);
        for (size_t i = 0; i < N; i++) {
            int64_t error = out[i] > times[i] ? out[i] - times[i] : times[i] - out[i];
            assert_true(error <= 2 * median || error <= 1 << 24);
            assert_true(i == 0 || out[i] >= out[i - 1]);
            n_lines += i > 1 && out[i] - out[i - 1] != out[i - 1] - out[i - 2];
        }
        assert_true(out[N - 1] <= times[N - 1]);
    }
    assert_true(n_lines < 400 * N / 2); /* most rows lie on lines */
}

static void times_that_cannot_be_on_lines_stay_in_their_bound(void **state)
{
    static const int64_t single[] = {7};
    static const int64_t far[] = {INT64_MAX, INT64_MIN};
    static const int64_t jumps[] = {
        1 << 30, 0, INT64_C(1) << 40, 5, -(1 << 30), 77, INT64_C(1) << 50, 1, 2, 1 << 30};
    int64_t out[10];
    round_times(single, 1, out);
    assert_int_equal(out[0], 7);
    round_times(far, 2, out); /* farther apart than can be counted */
    assert_true(out[0] <= far[0] && out[0] > INT64_MAX - (1 << 24) && out[1] == INT64_MIN);
    round_times(jumps, 10, out);
    for (size_t i = 0; i < 10; i++) {
        assert_true(llabs(out[i] - jumps[i]) <= INT64_C(1) << 42);
    }
    round_floats(NULL, 0, NULL);
}

static void a_clock_that_is_set_back_begins_a_new_chain(void **state)
{
    enum { N = 300 };
    static const int64_t ms = 1000000;
    static const int64_t second = 1000 * ms;
    int64_t times[N];
    int64_t out[N];
    int64_t at = INT64_C(1780000000) * second;
    for (size_t i = 0; i < N; i++) {
        at += 5 * ms + (int64_t)(next_random() % (uint64_t)ms);
        at -= i == 100 ? 3600 * second : i == 200 ? 2 * ms * 5 : 0;
        times[i] = at;
    }
    round_times(times, N, out);
    size_t n_bends = 0;
    for (size_t i = 0; i < N; i++) {
        assert_true(llabs(out[i] - times[i]) <= 1 << 24);
        n_bends += i > 1 && out[i] - out[i - 1] != out[i - 1] - out[i - 2];
        assert_true(i == 0 || i == 100 || times[i] < times[i - 1] || out[i] >= out[i - 1]);
    }
    assert_true(out[99] - out[100] > 3599 * second && n_bends <= 30);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_come_back_whatever_their_widths),
        cmocka_unit_test(floats_become_the_residuals_of_the_essay),
        cmocka_unit_test(every_float_has_a_number_of_its_own_in_order),
        cmocka_unit_test(any_prediction_can_be_undone),
        cmocka_unit_test(the_bits_of_all_ways_are_those_of_each),
        cmocka_unit_test(a_thousand_is_symbol_35_and_104),
        cmocka_unit_test(symbols_by_magnitude_say_all_but_the_bits_behind),
        cmocka_unit_test(a_cut_covers_the_whole_range),
        cmocka_unit_test(a_list_finds_all_that_it_was_made_of),
        cmocka_unit_test(a_tenth_and_five_times_are_rounded_as_the_essay_says),
        cmocka_unit_test(rounded_floats_keep_their_bound_and_their_extremes),
        cmocka_unit_test(rounded_times_keep_their_order_and_their_bound),
        cmocka_unit_test(times_that_cannot_be_on_lines_stay_in_their_bound),
        cmocka_unit_test(a_clock_that_is_set_back_begins_a_new_chain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
