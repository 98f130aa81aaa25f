/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/half.h"
#include "lib/push/baro.h"
#include "tests/testing.h"

enum { N = 1000 };

static void each_half_is_told_from_its_value(void **state)
{
    for (unsigned bits = 0; bits <= UINT16_MAX; bits++) {
        uint16_t half = (uint16_t)bits;
        assert_int_equal(
            baro_is_finite(BARO_F16, &half, 1), isfinite(baro_f16_to_f32(half)) != 0);
        assert_int_equal(
            baro_is_finite(BARO_BF16, &half, 1), isfinite(baro_bf16_to_f32(half)) != 0);
    }
}

static void one_that_is_not_finite_is_found_wherever_it_lies(void **state)
{
    static const double bad[] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
    static const double extreme[] = {1.7976931348623157e308, -4.9e-324, 0, -0.0};
    double doubles[N];
    float floats[N];
    for (size_t i = 0; i < N; i++) {
        doubles[i] = extreme[i % 4];
        floats[i] = i % 2 == 0 ? 3.4028235e38F : -1e-45F;
    }
    for (size_t n = 0; n < N; n += n < 70 ? 1 : 93) {
        assert_int_equal(baro_is_finite(BARO_F64, doubles, n), 1);
        assert_int_equal(baro_is_finite(BARO_F32, floats, n), 1);
        for (size_t i = 0; i < n; i += 1 + n / 50) {
            const double was = doubles[i];
            const float was_float = floats[i];
            doubles[i] = bad[i % 3];
            floats[i] = (float)bad[i % 3];
            assert_int_equal(baro_is_finite(BARO_F64, doubles, n), 0);
            assert_int_equal(baro_is_finite(BARO_F32, floats, n), 0);
            doubles[i] = was;
            floats[i] = was_float;
        }
    }
}

static void whole_numbers_are_finite_and_what_cannot_be_is_refused(void **state)
{
    const int32_t ones[2] = {-1, 0x7F800000};
    assert_int_equal(baro_is_finite(BARO_I32, ones, 2), 1);
    assert_int_equal(baro_is_finite(BARO_F32, NULL, 0), 1);
    assert_int_equal(baro_is_finite(BARO_F32, NULL, 1), BARO_EINVAL);
    assert_int_equal(baro_is_finite((enum baro_dtype)0, ones, 1), BARO_EINVAL);
    assert_int_equal(baro_is_finite(BARO_DTYPE_END, ones, 1), BARO_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_half_is_told_from_its_value),
        cmocka_unit_test(one_that_is_not_finite_is_found_wherever_it_lies),
        cmocka_unit_test(whole_numbers_are_finite_and_what_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
