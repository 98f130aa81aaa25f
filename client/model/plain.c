/* SPDX-License-Identifier: Apache-2.0 */
#include "client/model/plain.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DIGITS = 18, MAX_POWER = 5, MAX_POWER_BYTES = 6, NUMBER_BYTES = 32 };

/* A number that stands for itself: "12", "1.18e+24"; its parts as they are written. */
struct number {
    size_t n, n_whole, n_mantissa; /* bytes of all of it, up to the point, up to the e */
    int power;
    bool has_power;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static size_t count_digits(const char *text)
{
    size_t n = 0;
    while (is_digit(text[n])) {
        n++;
    }
    return n;
}

/* Of a name, or of a number that has begun before. */
static bool goes_on(char c)
{
    return isalnum((unsigned char)c) != 0 || c == '_' || (unsigned char)c >= 0x80;
}

static struct number read_number(const char *text)
{
    struct number number = {.n_whole = count_digits(text)};
    number.n_mantissa = number.n_whole;
    if (text[number.n_whole] == '.' && is_digit(text[number.n_whole + 1])) {
        number.n_mantissa += 1 + count_digits(text + number.n_whole + 1);
    }
    number.n = number.n_mantissa;
    const char *e = text + number.n_mantissa;
    if (e[0] == 'e' && (e[1] == '+' || e[1] == '-') && is_digit(e[2])) {
        size_t n = 2 + count_digits(e + 2);
        number.power = n <= MAX_POWER_BYTES ? (int)strtol(e + 1, NULL, 10) : 0;
        number.has_power = n <= MAX_POWER_BYTES;
        number.n += n;
    }
    return number;
}

/* "26488" as "26,488"; false when that is too long. */
static bool put_thousands(const char *digits, size_t n, char out[NUMBER_BYTES])
{
    size_t to = 0;
    for (size_t i = 0; i < n; i++) {
        if (to + 2 >= NUMBER_BYTES) {
            return false;
        }
        if (i > 0 && (n - i) % 3 == 0) {
            out[to++] = ',';
        }
        out[to++] = digits[i];
    }
    out[to] = '\0';
    return true;
}

/* A number with a power of ten: whole with separators where that is short. */
static bool put_power(const char *text, const struct number *number, char out[NUMBER_BYTES])
{
    char digits[MAX_DIGITS + 1];
    size_t n = 0;
    for (size_t i = 0; i < number->n_mantissa && n < MAX_DIGITS; i++) {
        if (is_digit(text[i])) {
            digits[n++] = text[i];
        }
    }
    size_t n_whole = number->n_whole + (size_t)(number->power > 0 ? number->power : 0);
    if (number->power > 0 && number->power <= MAX_POWER && n <= n_whole &&
        n_whole <= MAX_DIGITS) {
        memset(digits + n, '0', n_whole - n);
        return put_thousands(digits, n_whole, out);
    }
    int written = snprintf(
        out, NUMBER_BYTES, "%.*se%d", (int)number->n_mantissa, text, number->power);
    return written > 0 && written < NUMBER_BYTES;
}

/* Whether "step " or "steps " stands before a place, or " steps" behind it. */
static bool is_step(const char *text, const char *at, size_t n)
{
    size_t before = (size_t)(at - text);
    bool is_after = (before >= 5 && strncmp(at - 5, "step ", 5) == 0 &&
                        (before == 5 || !goes_on(at[-6]))) ||
                    (before >= 6 && strncmp(at - 6, "steps ", 6) == 0 &&
                        (before == 6 || !goes_on(at[-7])));
    return is_after || (strncmp(at + n, " steps", 6) == 0 && !goes_on(at[n + 6]));
}

char *plain_sentence(const char *text, char *out, size_t out_bytes)
{
    char written[NUMBER_BYTES];
    size_t to = 0;
    const char *at = text;
    while (*at != '\0') {
        const char *piece = at;
        size_t n_piece = 1;
        size_t n_read = 1;
        bool begins = at == text || (!goes_on(at[-1]) && at[-1] != '.' && at[-1] != '/');
        if (is_digit(*at) && begins) {
            struct number number = read_number(at);
            bool ends = !goes_on(at[number.n]) && at[number.n] != '/';
            bool is_whole = !number.has_power && number.n == number.n_whole;
            n_read = n_piece = number.n;
            if (ends && (number.has_power ? put_power(at, &number, written)
                                          : is_whole && number.n >= 4 &&
                                                is_step(text, at, number.n) &&
                                                put_thousands(at, number.n, written))) {
                piece = written;
                n_piece = strlen(written);
            }
        } else {
            while (((unsigned char)at[n_read] & 0xC0) == 0x80) {
                n_read++; /* of one character */
            }
            n_piece = n_read;
        }
        if (to + n_piece >= out_bytes) {
            break;
        }
        memcpy(out + to, piece, n_piece);
        to += n_piece;
        at += n_read;
    }
    out[to] = '\0';
    return out;
}
