/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *baro_code_text(int code)
{
    switch (code) {
    case BARO_OK: return "no error";
#define CASE(name, value, text)                                                            \
    case name: return text;
        BARO_CODES(CASE)
#undef CASE
    default: return "unknown error";
    }
}

int baro_err_set(struct baro_err *err, int code, const char *format, ...)
{
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        err->code = code;
        (void)vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
    }
    return code;
}

int baro_err_prefix(struct baro_err *err, int rc, const char *format, ...)
{
    if (err == NULL || rc == 0) {
        return rc;
    }
    char outer[sizeof err->text];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(outer, sizeof outer, format, args);
    va_end(args);
    /* outer + ": " + as much of the inner sentence as still fits */
    size_t n = strlen(outer);
    size_t room = sizeof err->text - n;
    if (room > 3) {
        memmove(err->text + n + 2, err->text, room - 3);
        memcpy(err->text + n, ": ", 2);
        err->text[sizeof err->text - 1] = '\0';
    }
    memcpy(err->text, outer, room > 3 ? n : n + 1);
    err->code = rc;
    return rc;
}
