/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers as text that gives them back: the fewest digits, from 15 on (6 for floats), with which
 * reading returns the same bits. NaN and infinities are "nan", "inf", "-inf"; -0 is "-0.0",
 * because readers take "-0" for an integer.
 */
#ifndef BARO_TOOLS_NUMBER_H
#define BARO_TOOLS_NUMBER_H

#include <stddef.h>
#include <stdint.h>

enum { NUMBER_BYTES = 32 };

/** Write a double, with a NUL behind it. Returns its length. */
size_t number_write_f64(double value, char out[NUMBER_BYTES]);

/** Write a float, with a NUL behind it. Returns its length. */
size_t number_write_f32(float value, char out[NUMBER_BYTES]);

/** Write a whole number, with a NUL behind it. Returns its length. */
size_t number_write_i64(int64_t value, char out[NUMBER_BYTES]);

#endif
