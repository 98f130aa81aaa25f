/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/testing.h"

#include <math.h>

#include "lib/measure/encode.h"

static void encode(double *out, const struct baro_summary *summary, enum baro_dtype dtype)
{
    static const struct baro_hist hist = {.sample_every = 1};
    const struct encode_place place = {-1, -1};
    encode_summary(out, summary, &hist, &place, dtype);
}

static void sums_over_floats_keep_24_bits_and_stay_in_range(void **state)
{
    const struct baro_summary summary = {.count = 16777217, /* needs 25 bits */
        .min = 0.1,
        .max = 1.0 / 3,
        .mean = 0.1,
        .var = 0x1.0000010000001p-1, /* just over half of the last bit kept */
        .l1 = 0x1.000001p+300,       /* exactly half: to the even one */
        .l2 = 1e-300,
        .abs_max = 1.0 / 3,
        .first_bad = -1};
    static const enum baro_dtype narrow[] = {BARO_F32, BARO_F16, BARO_BF16};
    double out[SUMMARY_STAT_COUNT];
    for (size_t i = 0; i < 3; i++) {
        encode(out, &summary, narrow[i]);
        assert_true(out[SUMMARY_MEAN] == (double)0.1F);
        assert_true(out[SUMMARY_VAR] == 0x1.000002p-1);
        assert_true(out[SUMMARY_L1] == 0x1p+300);
        assert_true(fabs(out[SUMMARY_L2] / 1e-300 - 1) <= 0x1p-24);
        assert_true(out[SUMMARY_L2] != 1e-300);
        assert_true(out[SUMMARY_COUNT] == 16777217);
        assert_true(out[SUMMARY_MIN] == 0.1 && out[SUMMARY_MAX] == 1.0 / 3);
        assert_true(out[SUMMARY_ABS_MAX] == 1.0 / 3);
    }
    static const enum baro_dtype wide[] = {BARO_F64, BARO_I32, BARO_I64, BARO_U8};
    for (size_t i = 0; i < 4; i++) {
        encode(out, &summary, wide[i]);
        assert_true(out[SUMMARY_MEAN] == 0.1 && out[SUMMARY_VAR] == summary.var);
        assert_true(out[SUMMARY_L1] == summary.l1 && out[SUMMARY_L2] == 1e-300);
    }
}

static void sums_that_are_no_numbers_stay_as_they_are(void **state)
{
    const struct baro_summary summary = {
        .mean = (double)NAN, .var = 0, .l1 = (double)INFINITY, .l2 = -0.0};
    double out[SUMMARY_STAT_COUNT];
    encode(out, &summary, BARO_F32);
    assert_true(isnan(out[SUMMARY_MEAN]));
    assert_true(out[SUMMARY_VAR] == 0);
    assert_true(isinf(out[SUMMARY_L1]));
    assert_true(out[SUMMARY_L2] == 0 && signbit(out[SUMMARY_L2]));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_over_floats_keep_24_bits_and_stay_in_range),
        cmocka_unit_test(sums_that_are_no_numbers_stay_as_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
