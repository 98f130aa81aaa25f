/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/text.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Length of the valid UTF-8 character at text, 0 when it is not one (or is NUL). */
static size_t utf8_step(const unsigned char *text, size_t n)
{
    static const struct {
        unsigned char mask, lead;
        uint32_t min;
    } forms[] = {
        {0x80, 0x00, 1}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
    for (size_t extra = 0; extra < 4; extra++) {
        if ((text[0] & forms[extra].mask) != forms[extra].lead) {
            continue;
        }
        if (extra + 1 > n) {
            return 0;
        }
        uint32_t code = text[0] & (unsigned char)~forms[extra].mask;
        for (size_t i = 1; i <= extra; i++) {
            if ((text[i] & 0xc0) != 0x80) {
                return 0;
            }
            code = code << 6 | (text[i] & 0x3fU);
        }
        bool is_valid = code >= forms[extra].min && code <= 0x10ffff &&
                        !(code >= 0xd800 && code <= 0xdfff);
        return is_valid ? extra + 1 : 0;
    }
    return 0;
}

bool baro_utf8_valid(const char *text, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t step = utf8_step((const unsigned char *)text + i, n - i);
        if (step == 0) {
            return false;
        }
        i += step;
    }
    return true;
}

size_t baro_utf8_prefix(const char *text, size_t n, size_t max)
{
    if (n <= max) {
        return n;
    }
    size_t cut = max;
    while (cut > 0 && ((unsigned char)text[cut] & 0xc0) == 0x80) {
        cut--;
    }
    return cut;
}

void baro_text_safe(char *out, size_t out_bytes, const char *text)
{
    size_t n = strlen(text);
    size_t used = 0;
    for (size_t i = 0; i < n && used + 1 < out_bytes;) {
        size_t step = utf8_step((const unsigned char *)text + i, n - i);
        bool is_control = step == 1 && iscntrl((unsigned char)text[i]);
        if (step == 0 || is_control) {
            out[used++] = '?';
            i++;
            continue;
        }
        if (used + step + 1 > out_bytes) {
            break;
        }
        memcpy(out + used, text + i, step);
        used += step;
        i += step;
    }
    out[used] = '\0';
}

/* Cut off the last character if bytes of it are missing. */
static void end_whole(char *text)
{
    size_t n = strlen(text);
    size_t first = n > 0 ? n - 1 : 0; /* of the last character */
    while (first > 0 && ((unsigned char)text[first] & 0xc0) == 0x80) {
        first--;
    }
    if (utf8_step((const unsigned char *)text + first, n - first) == 0) {
        text[first] = '\0';
    }
}

void baro_text_vadd(char *text, size_t size, const char *format, va_list args)
{
    size_t n = strlen(text);
    int more = vsnprintf(text + n, size - n, format, args);
    if (more > 0 && n + (size_t)more >= size) {
        end_whole(text);
    }
}

void baro_text_add(char *text, size_t size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    baro_text_vadd(text, size, format, args);
    va_end(args);
}

enum { MAX_NEAREST_BYTES = 63 };

static size_t edit_distance(const char *a, const char *b)
{
    size_t n = strlen(a);
    size_t m = strlen(b);
    if (n > MAX_NEAREST_BYTES || m > MAX_NEAREST_BYTES) {
        return SIZE_MAX;
    }
    /* Optimal string alignment: insert, delete, replace, swap of neighbours cost 1 each. */
    size_t rows[3][MAX_NEAREST_BYTES + 1] = {{0}};
    for (size_t j = 0; j <= m; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= n; i++) {
        size_t *now = rows[i % 3];
        const size_t *before = rows[(i + 2) % 3];
        const size_t *two_before = rows[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = before[j - 1] + (a[i - 1] != b[j - 1]);
            best = before[j] + 1 < best ? before[j] + 1 : best;
            best = now[j - 1] + 1 < best ? now[j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                two_before[j - 2] + 1 < best) {
                best = two_before[j - 2] + 1;
            }
            now[j] = best;
        }
    }
    return rows[n % 3][m];
}

const char *baro_nearest(const char *wrong, const char *const *names, size_t n_names)
{
    const char *nearest = NULL;
    size_t n = strlen(wrong);
    size_t best = n / 3 + 2;
    for (size_t i = 0; i < n_names; i++) {
        size_t distance = edit_distance(wrong, names[i]);
        if (distance < best) {
            best = distance;
            nearest = names[i];
        }
    }
    return nearest;
}

/* Match one [set] at *pattern against c, moving *pattern past the set; -1 if it is not closed. */
static int match_set(const char **pattern, char c)
{
    const char *p = *pattern + 1;
    bool is_negated = *p == '!' || *p == '^';
    p += is_negated;
    bool is_in = false;
    for (const char *first = p; *p != '\0' && (*p != ']' || p == first); p++) {
        if (p[1] == '-' && p[2] != ']' && p[2] != '\0') {
            is_in = is_in || (p[0] <= c && c <= p[2]);
            p += 2;
        } else {
            is_in = is_in || *p == c;
        }
    }
    if (*p != ']') {
        return -1;
    }
    *pattern = p + 1;
    return is_in != is_negated;
}

/* Match one pattern element other than '*'; moves *pattern past it on success. */
static bool match_one(const char **pattern, char c)
{
    if (**pattern == '[') {
        const char *after = *pattern;
        int is_match = match_set(&after, c);
        if (is_match >= 0) {
            *pattern = is_match ? after : *pattern;
            return is_match;
        }
    }
    if (**pattern == '?' || **pattern == c) {
        (*pattern)++;
        return true;
    }
    return false;
}

bool baro_glob(const char *pattern, const char *text)
{
    /* The last star is the only one that need ever be tried again. */
    const char *star = NULL;
    const char *star_text = NULL;
    while (*text != '\0') {
        if (*pattern == '*') {
            star = ++pattern;
            star_text = text;
        } else if (*pattern != '\0' && match_one(&pattern, *text)) {
            text++;
        } else if (star != NULL) {
            pattern = star;
            text = ++star_text;
        } else {
            return false;
        }
    }
    while (*pattern == '*') {
        pattern++;
    }
    return *pattern == '\0';
}

bool baro_parse_size(const char *text, uint64_t *out_bytes)
{
    if (!isdigit((unsigned char)text[0])) {
        return false;
    }
    char *end = NULL;
    unsigned long long number = strtoull(text, &end, 10);
    static const char letters[] = "KMGT";
    unsigned shift = 0;
    const char *letter =
        *end != '\0' ? strchr(letters, toupper((unsigned char)*end)) : NULL;
    if (letter != NULL) {
        shift = 10 * ((unsigned)(letter - letters) + 1);
        end++;
        if (strcmp(end, "iB") == 0 || strcmp(end, "B") == 0) {
            end = strchr(end, '\0');
        }
    }
    if (*end != '\0' || number > (UINT64_MAX >> shift)) {
        return false;
    }
    *out_bytes = number << shift;
    return true;
}

char *baro_format_bytes(uint64_t bytes, char *out, size_t out_bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1024 && unit + 1 < sizeof units / sizeof units[0]) {
        value /= 1024;
        unit++;
    }
    (void)snprintf(out, out_bytes, unit == 0 || value >= 100 ? "%.0f %s" : "%.1f %s", value,
        units[unit]);
    return out;
}

char *baro_format_duration(uint64_t ns, char *out, size_t out_bytes)
{
    double s = (double)ns * 1e-9;
    uint64_t minutes = ns / 60000000000U;
    if (s < 1e-3) {
        (void)snprintf(out, out_bytes, "%.1f us", s * 1e6);
    } else if (s < 1) {
        (void)snprintf(out, out_bytes, "%.1f ms", s * 1e3);
    } else if (s < 60) {
        (void)snprintf(out, out_bytes, "%.1f s", s);
    } else if (minutes < 60) {
        (void)snprintf(out, out_bytes, "%" PRIu64 " min", minutes);
    } else if (minutes < 48 * 60) {
        (void)snprintf(
            out, out_bytes, "%" PRIu64 " h %02" PRIu64, minutes / 60, minutes % 60);
    } else {
        (void)snprintf(out, out_bytes, "%" PRIu64 " days", minutes / 1440);
    }
    return out;
}
