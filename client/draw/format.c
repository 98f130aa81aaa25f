/* SPDX-License-Identifier: Apache-2.0 */
#include "client/draw/format.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { NS_PER_US = 1000, NS_PER_MS = 1000000 };
#define NS_PER_S INT64_C(1000000000)

/* NaN and infinities by name; false for finite values. */
static int format_special(char out[FORMAT_MAX], double value)
{
    if (isfinite(value)) {
        return 0;
    }
    (void)snprintf(out, FORMAT_MAX, "%s",
        isnan(value) ? "NaN"
        : value > 0  ? "+Inf"
                     : "-Inf");
    return 1;
}

/* Rewrite "1.5e-07" as "1.5e-7" and "1e+15" as "1e15", in place. */
static void tidy_exponent(char *text)
{
    char *e = strchr(text, 'e');
    if (e == NULL) {
        return;
    }
    char *to = e + 1;
    const char *from = e + 1;
    if (*from == '-') {
        to++;
    }
    from++;
    while (*from == '0' && from[1] != '\0') {
        from++;
    }
    memmove(to, from, strlen(from) + 1);
}

/* Drop zeros after the point that carry nothing: "1.50" to "1.5", "2.00" to "2". */
static void drop_zeros(char *text)
{
    if (strchr(text, '.') == NULL) {
        return;
    }
    char *tail = text + strlen(text);
    while (tail[-1] == '0') {
        tail--;
    }
    if (tail[-1] == '.') {
        tail--;
    }
    *tail = '\0';
}

/* The suffix for a magnitude and what to divide by: k, M, G, T. */
static const char *suffix_for(double magnitude, double *out_divisor)
{
    static const struct {
        double from;
        const char *text;
    } suffixes[] = {{1e12, " T"}, {1e9, " G"}, {1e6, " M"}, {1e3, " k"}};
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        if (magnitude >= suffixes[i].from) {
            *out_divisor = suffixes[i].from;
            return suffixes[i].text;
        }
    }
    *out_divisor = 1;
    return "";
}

char *format_value(char out[FORMAT_MAX], double value)
{
    if (format_special(out, value)) {
        return out;
    }
    double magnitude = fabs(value);
    if (magnitude != 0 && (magnitude < 9.9995e-4 || magnitude >= 9.9995e14)) {
        (void)snprintf(out, FORMAT_MAX, "%.2e", value);
        char *e = strchr(out, 'e');
        char exponent[12];
        (void)snprintf(exponent, sizeof exponent, "%s", e);
        *e = '\0';
        drop_zeros(out);
        strcat(out, exponent); /* fits: it was there before */
        tidy_exponent(out);
        return out;
    }
    double divisor = 1;
    const char *suffix = suffix_for(magnitude * 1.00005, &divisor);
    (void)snprintf(out, FORMAT_MAX, "%.4g", value / divisor);
    strcat(out, suffix); /* fits: at most 10 bytes before it */
    return out;
}

char *format_exact(char out[FORMAT_MAX], double value)
{
    if (format_special(out, value)) {
        return out;
    }
    int digits = 6;
    do {
        (void)snprintf(out, FORMAT_MAX, "%.*g", digits, value);
        digits++;
    } while (digits <= 9 && strtof(out, NULL) != (float)value);
    tidy_exponent(out);
    return out;
}

char *format_count(char out[FORMAT_MAX], int64_t n)
{
    char digits[24];
    uint64_t magnitude = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    int length = snprintf(digits, sizeof digits, "%" PRIu64, magnitude);
    char *to = out;
    if (n < 0) {
        *to++ = '-';
    }
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0) {
            *to++ = ',';
        }
        *to++ = digits[i];
    }
    *to = '\0';
    return out;
}

char *format_bytes(char out[FORMAT_MAX], uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1023.5 && unit + 1 < sizeof units / sizeof units[0]) {
        value /= 1024;
        unit++;
    }
    (void)snprintf(out, FORMAT_MAX, "%.*f", unit > 0 && value < 9.95 ? 1 : 0, value);
    drop_zeros(out);
    strcat(out, " "); /* fits: at most 6 bytes before it */
    strcat(out, units[unit]);
    return out;
}

/* "2 h 05 min": two neighbouring units, the small one left out when it is 0. */
static void two_units(char out[FORMAT_MAX], int64_t large, const char *large_name,
    int64_t small, const char *name)
{
    if (small == 0) {
        (void)snprintf(out, FORMAT_MAX, "%" PRId64 " %s", large, large_name);
    } else {
        (void)snprintf(out, FORMAT_MAX, "%" PRId64 " %s %" PRId64 " %s", large, large_name,
            small, name);
    }
}

char *format_duration(char out[FORMAT_MAX], int64_t ns)
{
    int64_t s = ns / NS_PER_S;
    if (ns < NS_PER_S) {
        const char *unit = ns < NS_PER_US ? "ns" : ns < NS_PER_MS ? "\xC2\xB5s" : "ms";
        double divisor = ns < NS_PER_US ? 1 : ns < NS_PER_MS ? NS_PER_US : NS_PER_MS;
        (void)snprintf(out, FORMAT_MAX, "%.3g %s", (double)ns / divisor, unit);
    } else if (s < 60) {
        (void)snprintf(out, FORMAT_MAX, "%.3g s", (double)(ns / 10000000) / 100);
    } else if (s < 3600) {
        two_units(out, s / 60, "min", s % 60, "s");
    } else if (s < 86400) {
        two_units(out, s / 3600, "h", s % 3600 / 60, "min");
    } else {
        two_units(out, s / 86400, "d", s % 86400 / 3600, "h");
    }
    return out;
}

char *format_clock(char out[FORMAT_MAX], int64_t wall_ns, int with_seconds)
{
    time_t s = (time_t)(wall_ns / NS_PER_S);
    struct tm tm;
    if (localtime_r(&s, &tm) == NULL ||
        strftime(out, FORMAT_MAX, with_seconds ? "%H:%M:%S" : "%H:%M", &tm) == 0) {
        out[0] = '\0';
    }
    return out;
}

/* Decimals that show multiples of step (of values below 1e15). */
static int decimals_for(double step)
{
    int decimals = 0;
    double left = step;
    while (decimals < 15 && fabs(left - nearbyint(left)) > 1e-6 * fabs(left)) {
        left *= 10;
        decimals++;
    }
    return decimals;
}

char *format_tick(char out[FORMAT_MAX], double value, double step)
{
    if (format_special(out, value)) {
        return out;
    }
    double magnitude = fabs(value);
    double unit = step > 0 ? step : magnitude;
    if (magnitude == 0 || magnitude < 1e-9 * unit) {
        (void)snprintf(out, FORMAT_MAX, "0");
    } else if ((magnitude < (step > 0 ? 9.99e-3 : 9.99e-4) &&
                   (unit < 9.99e-5 || !(step > 0))) ||
               magnitude >= 9.99e14) {
        int exponent = (int)floor(log10(magnitude * (1 + 1e-9)));
        double scaled = value / pow(10, exponent);
        int decimals = step > 0 ? decimals_for(step / pow(10, exponent)) : 2;
        (void)snprintf(out, FORMAT_MAX, "%.*f", decimals > 6 ? 6 : decimals, scaled);
        drop_zeros(out);
        size_t used = strlen(out);
        (void)snprintf(out + used, FORMAT_MAX - used, "e%d", exponent);
    } else {
        double divisor = 1;
        const char *suffix = suffix_for(magnitude * (1 + 1e-9), &divisor);
        int decimals = step > 0 ? decimals_for(step / divisor) : 3;
        (void)snprintf(
            out, FORMAT_MAX, "%.*f", decimals > 9 ? 9 : decimals, value / divisor);
        if (divisor > 1 || !(step > 0)) {
            drop_zeros(out);
        }
        strcat(out, suffix); /* fits: at most 26 bytes before it */
    }
    return out;
}
