/* SPDX-License-Identifier: Apache-2.0 */
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/probe.h"

/*
 * Arguments of an operation as text: names and values as Python shows them, "dim=[1] keepdim=False
 * reduction='mean' eps=1e-05". They are few and short, so they are read where they are wanted. A
 * number is never in quotes. Places between the numbers of a list are commas, spaces or both.
 */

enum { NUMBER_BYTES = 64 };

/* The value after "name=": its first byte and one past its last; false: it is not there. */
static bool find_value(
    const char *attrs, const char *name, const char **out_begin, const char **out_end)
{
    const size_t n_name = strlen(name);
    const char *at = attrs;
    while (*at != '\0') {
        at += strspn(at, " ");
        const size_t n = strcspn(at, "= ");
        const bool is_it = n == n_name && strncmp(at, name, n) == 0;
        at += n;
        if (*at != '=') {
            continue; /* a word without a value */
        }
        const char *begin = ++at;
        const char closing = *at == '[' ? ']' : *at == '(' ? ')' : *at == '\'' ? '\'' : 0;
        const char *end = closing != 0 ? strchr(at + 1, closing) : NULL;
        at = end != NULL ? end + 1 : at + strcspn(at, " ");
        if (is_it) {
            *out_begin = begin;
            *out_end = at;
            return true;
        }
    }
    return false;
}

/* Read one word as a number, whatever the locale. */
static bool read_number(const char *begin, size_t n, double *out_number)
{
    char text[NUMBER_BYTES];
    if (n == 0 || n >= sizeof text) {
        return false;
    }
    memcpy(text, begin, n);
    text[n] = '\0';
    if (strcmp(text, "True") == 0 || strcmp(text, "False") == 0) {
        *out_number = text[0] == 'T' ? 1 : 0;
        return true;
    }
    locale_t plain = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    if (plain == (locale_t)0) {
        return false;
    }
    char *rest = NULL;
    const double number = strtod_l(text, &rest, plain);
    freelocale(plain);
    if (rest == text || *rest != '\0') {
        return false;
    }
    *out_number = number;
    return true;
}

/* Take the next word of a list, or the one value that is no list; false: there is none. */
static bool next_word(
    const char **at, const char *end, const char **out_word, size_t *out_bytes)
{
    static const char between[] = "[](), ";
    while (*at < end && strchr(between, **at) != NULL) {
        (*at)++;
    }
    *out_word = *at;
    while (*at < end && strchr(between, **at) == NULL) {
        (*at)++;
    }
    *out_bytes = (size_t)(*at - *out_word);
    return *out_bytes > 0;
}

bool probe_attr(const struct probe_op *op, const char *name, int place, double *out_number)
{
    const char *at = NULL;
    const char *end = NULL;
    const char *word = NULL;
    size_t n = 0;
    if (place < 0 || !find_value(op->attrs, name, &at, &end)) {
        return false;
    }
    for (int i = 0; next_word(&at, end, &word, &n); i++) {
        if (i == place) {
            return read_number(word, n, out_number);
        }
    }
    return false;
}

int probe_attr_count(const struct probe_op *op, const char *name)
{
    const char *at = NULL;
    const char *end = NULL;
    const char *word = NULL;
    size_t n_bytes = 0;
    int n = 0;
    if (find_value(op->attrs, name, &at, &end)) {
        double number = 0;
        const bool is_list = *at == '[' || *at == '(';
        while (next_word(&at, end, &word, &n_bytes)) {
            n += is_list || read_number(word, n_bytes, &number);
        }
    }
    return n;
}
