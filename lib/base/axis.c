/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/axis.h"

#include <math.h>

/*
 * Positions become pixels, and pixels must be the same on every machine, so the logarithm is
 * our own: libm's may differ in its last bit from one processor to the next.
 */

#define LN_2   0.693147180559945309417
#define LOG_E  0.434294481903251827651 /* log10(e) */
#define SQRT_2 1.41421356237309504880

enum { LOG_TERMS = 11 };

double axis_log10(double value)
{
    int exponent = 0;
    double m = frexp(value, &exponent);
    if (m < SQRT_2 / 2) {
        m *= 2;
        exponent--;
    }
    /* ln m = 2 (s + s^3/3 + s^5/5 + ...), |s| < 0.172: the last term is below 1e-17. */
    double s = (m - 1) / (m + 1);
    double square = s * s;
    double sum = 0;
    for (int i = LOG_TERMS; i-- > 0;) {
        sum = sum * square + 1.0 / (2 * i + 1);
    }
    return (2 * s * sum + exponent * LN_2) * LOG_E;
}

double axis_transform(const struct axis *axis, double value)
{
    switch (axis->kind) {
    case AXIS_LOG: return value > 0 ? axis_log10(value) : (double)-INFINITY;
    case AXIS_SYMLOG: {
        double scaled = axis_log10(1 + fabs(value) / axis->linear_to);
        return value < 0 ? -scaled : scaled;
    }
    case AXIS_LINEAR: break;
    }
    return value;
}

double axis_place(const struct axis *axis, double value)
{
    double lo = axis_transform(axis, axis->lo);
    double hi = axis_transform(axis, axis->hi);
    if (!isfinite(value)) {
        return value;
    }
    return (axis_transform(axis, value) - lo) / (hi - lo);
}

double axis_value(const struct axis *axis, double place)
{
    double lo = axis_transform(axis, axis->lo);
    double hi = axis_transform(axis, axis->hi);
    double at = lo + place * (hi - lo);
    switch (axis->kind) {
    case AXIS_LOG: return pow(10, at);
    case AXIS_SYMLOG: {
        double magnitude = axis->linear_to * (pow(10, fabs(at)) - 1);
        return at < 0 ? -magnitude : magnitude;
    }
    case AXIS_LINEAR: break;
    }
    return at;
}
