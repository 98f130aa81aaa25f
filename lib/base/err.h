/* SPDX-License-Identifier: Apache-2.0 */
/* Filling and passing on struct baro_err. Used everywhere a person will read the reason. */
#ifndef BARO_ERR_H
#define BARO_ERR_H

#include "lib/base/baro_types.h"

/**
 * Name the sentence of an error code.
 *
 * code     0 or an enum baro_code
 * returns  a static string; "unknown error" for a code that does not exist
 */
const char *baro_code_text(int code);

/**
 * Write an error.
 *
 * err      may be NULL: then only the code is returned
 * code     a negative enum baro_code
 * returns  code
 */
int baro_err_set(struct baro_err *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/**
 * Put the outer step before an error that an inner function wrote: "open store 'x': ...".
 *
 * err      may be NULL
 * rc       returned as it is; when it is 0 nothing is written
 */
int baro_err_prefix(struct baro_err *err, int rc, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
