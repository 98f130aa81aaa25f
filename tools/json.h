/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON lines with exact numbers: a double is printed with the fewest digits that give it back,
 * and NaN and infinities as the strings "nan", "inf", "-inf". Objects are jansson's.
 */
#ifndef BARO_TOOLS_JSON_H
#define BARO_TOOLS_JSON_H

#include <jansson.h>

#include "tools/term.h"

enum { JSON_NUMBER_BYTES = 32 };

/** Write a double with the fewest digits that give it back; "nan", "inf", "-inf". Returns out. */
char *json_write_number(double value, char out[JSON_NUMBER_BYTES]);

/** Make a number, or one of the strings "nan", "inf", "-inf"; a new reference. */
json_t *json_number(double value);

/** Make a string; bytes that are no UTF-8 are replaced. A new reference. */
json_t *json_text(const char *text);

/** Make a string, or null when it is empty or NULL; a new reference. */
json_t *json_text_or_null(const char *text);

/** Write an object as one line and release it; flags: jansson's. The caller frees the line. */
char *json_line(json_t *object, size_t flags);

/** Print an object as one line and release it; flushed when the output is followed live. */
void json_print(const struct term *term, json_t *object);

#endif
