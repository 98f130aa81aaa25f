/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "tools/number.h"

enum { JSON_MIN_DIGITS = 15, JSON_MAX_DIGITS = 17 };
_Static_assert((int)JSON_NUMBER_BYTES == (int)NUMBER_BYTES, "one room for all numbers");

/* The fewest digits, from 15 on, with which a finite value comes back exactly. */
static int digits_of(double value)
{
    char text[JSON_NUMBER_BYTES];
    for (int digits = JSON_MIN_DIGITS; digits < JSON_MAX_DIGITS; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) { /* exactly: that is the question */
            return digits;
        }
    }
    return JSON_MAX_DIGITS;
}

static const char *name_of_nonfinite(double value)
{
    return isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

char *json_write_number(double value, char out[JSON_NUMBER_BYTES])
{
    (void)number_write_f64(value, out);
    return out;
}

json_t *json_number(double value)
{
    return isfinite(value) ? json_real(value) : json_string(name_of_nonfinite(value));
}

json_t *json_text(const char *text)
{
    json_t *string = json_string(text);
    if (string == NULL) {
        size_t n_bytes = strlen(text) + 1;
        baro_autofree char *safe = baro_xcalloc(n_bytes, 1);
        baro_text_safe(safe, n_bytes, text);
        string = json_string(safe);
    }
    return string;
}

json_t *json_text_or_null(const char *text)
{
    return text != NULL && text[0] != '\0' ? json_text(text) : json_null();
}

/* jansson prints all reals of a dump with one precision: the finest that one of them needs. */
static int digits_of_object(json_t *object)
{
    int digits = JSON_MIN_DIGITS;
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        if (json_is_real(value)) {
            int needed = digits_of(json_real_value(value));
            digits = needed > digits ? needed : digits;
        }
    }
    return digits;
}

char *json_line(json_t *object, size_t flags)
{
    size_t precision = JSON_REAL_PRECISION((size_t)digits_of_object(object));
    char *line = json_dumps(object, flags | precision);
    json_decref(object);
    return line != NULL ? line : baro_xstrdup("null");
}

void json_print(const struct term *term, json_t *object)
{
    baro_autofree char *line = json_line(object, term->has_utf8 ? 0 : JSON_ENSURE_ASCII);
    (void)printf("%s\n", line);
}
