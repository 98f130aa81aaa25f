/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { F64_MIN_DIGITS = 15, F64_MAX_DIGITS = 17, F32_MIN_DIGITS = 6, F32_MAX_DIGITS = 9 };

/* Whole numbers below this are written without an exponent by "%.15g", and by "%.6g". */
static const double F64_WHOLE_LIMIT = 1e15;
static const double F32_WHOLE_LIMIT = 1e6;

size_t number_write_i64(int64_t value, char out[NUMBER_BYTES])
{
    char digits[NUMBER_BYTES];
    size_t n_digits = 0;
    uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;
    do {
        digits[n_digits++] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    size_t n = 0;
    if (value < 0) {
        out[n++] = '-';
    }
    while (n_digits > 0) {
        out[n++] = digits[--n_digits];
    }
    out[n] = '\0';
    return n;
}

static size_t put(char out[NUMBER_BYTES], const char *text)
{
    size_t n = strlen(text);
    memcpy(out, text, n + 1);
    return n;
}

/* Write what has no digits; 0 when the number has some. */
static size_t write_special(double value, char out[NUMBER_BYTES])
{
    if (isnan(value)) {
        return put(out, "nan");
    }
    if (isinf(value)) {
        return put(out, value > 0 ? "inf" : "-inf");
    }
    return value == 0 && signbit(value) ? put(out, "-0.0") : 0;
}

size_t number_write_f64(double value, char out[NUMBER_BYTES])
{
    size_t n = write_special(value, out);
    if (n > 0) {
        return n;
    }
    if (fabs(value) < F64_WHOLE_LIMIT && value == (double)(int64_t)value) {
        return number_write_i64((int64_t)value, out);
    }
    int digits = F64_MIN_DIGITS;
    do {
        n = (size_t)snprintf(out, NUMBER_BYTES, "%.*g", digits, value);
    } while (digits++ < F64_MAX_DIGITS && strtod(out, NULL) != value);
    return n;
}

size_t number_write_f32(float value, char out[NUMBER_BYTES])
{
    size_t n = write_special((double)value, out);
    if (n > 0) {
        return n;
    }
    if (fabs((double)value) < F32_WHOLE_LIMIT && value == (float)(int32_t)value) {
        return number_write_i64((int32_t)value, out);
    }
    int digits = F32_MIN_DIGITS;
    do {
        n = (size_t)snprintf(out, NUMBER_BYTES, "%.*g", digits, (double)value);
    } while (digits++ < F32_MAX_DIGITS && strtof(out, NULL) != value);
    return n;
}
