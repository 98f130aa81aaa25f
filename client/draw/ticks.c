/* SPDX-License-Identifier: Apache-2.0 */
#include "client/draw/ticks.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/mem.h"

/*
 * A tick step is the smallest of 1, 2, 5 times a power of ten that gives at most max_n ticks.
 * From one such step to the next the number falls by 2.5 at most, so 7 wanted gives 3 at
 * least, but for one corner (seven to seven and a half steps of 2 hold only two of 5): there
 * steps of 2.5 step in.
 */

enum { MAX_DECADES = 400 };

/* 10 to a whole power, exact where a double can be. */
static double power_of_ten(int exponent)
{
    char text[16];
    (void)snprintf(text, sizeof text, "1e%d", exponent);
    return strtod(text, NULL);
}

/* Multiples of step in [lo, hi], with a little grace for rounding. */
static int64_t count_multiples(double lo, double hi, double step, double *out_first)
{
    double grace = 1e-9;
    double first = ceil(lo / step - grace);
    double last = floor(hi / step + grace);
    *out_first = first;
    return last - first > 1e9 ? INT64_C(1000000000) : (int64_t)(last - first) + 1;
}

/* The smallest of 1, 2, 5 times a power of ten with at most max_n multiples in [lo, hi]. */
static double choose_step(double lo, double hi, int max_n)
{
    static const double factors[] = {1, 2, 5};
    double span = hi - lo;
    int exponent = (int)floor(axis_log10(span / max_n)) - 1;
    double first = 0, step = 0;
    for (int i = 0; i < 12; i++) {
        step = factors[i % 3] * power_of_ten(exponent + i / 3);
        if (count_multiples(lo, hi, step, &first) <= max_n) {
            break;
        }
    }
    if (max_n >= 6 && count_multiples(lo, hi, step, &first) < 3) {
        step /= 2;
        if (count_multiples(lo, hi, step, &first) > max_n) {
            step *= 2;
        }
    }
    return step;
}

/* Where labels would need more than six digits, show differences to a round base. */
static double choose_base(double lo, double hi, double step, char out[FORMAT_MAX])
{
    double largest = fmax(fabs(lo), fabs(hi));
    if (largest / step < 1e5) {
        return 0;
    }
    double grain = power_of_ten((int)ceil(axis_log10(hi - lo)) + 1);
    double base = floor(lo / grain) * grain;
    (void)snprintf(out, FORMAT_MAX, "%.12g +", base);
    return base;
}

static void linear_ticks(const struct axis *axis, int max_n, struct ticks *out)
{
    bool whole = axis->unit == AXIS_STEP;
    double step = choose_step(axis->lo, axis->hi, max_n);
    if (whole && step < 1) {
        step = 1;
    }
    double first = 0;
    int64_t n = count_multiples(axis->lo, axis->hi, step, &first);
    double base = whole ? 0 : choose_base(axis->lo, axis->hi, step, out->base);
    for (int64_t i = 0; i < n && out->n < TICKS_MAX; i++) {
        double at = (first + (double)i) * step;
        out->at[out->n] = at;
        if (whole) {
            (void)format_count(out->label[out->n], (int64_t)at);
        } else {
            (void)format_tick(out->label[out->n], at - base, step);
        }
        out->n++;
    }
}

/* Seconds as "+2 h 10", "+40 s"; the parts below the tick step are left out. */
static void elapsed_label(char out[FORMAT_MAX], double seconds)
{
    const char *sign = seconds < 0 ? "-" : "+";
    int64_t s = (int64_t)llround(fabs(seconds));
    if (s == 0) {
        (void)snprintf(out, FORMAT_MAX, "0");
    } else if (s < 60) {
        (void)snprintf(out, FORMAT_MAX, "%s%" PRId64 " s", sign, s);
    } else if (s < 3600 && s % 60 == 0) {
        (void)snprintf(out, FORMAT_MAX, "%s%" PRId64 " min", sign, s / 60);
    } else if (s < 3600) {
        (void)snprintf(
            out, FORMAT_MAX, "%s%" PRId64 " min %02" PRId64, sign, s / 60, s % 60);
    } else if (s < 86400 && s % 60 == 0) {
        (void)snprintf(
            out, FORMAT_MAX, "%s%" PRId64 " h %02" PRId64, sign, s / 3600, s % 3600 / 60);
    } else if (s < 86400) {
        (void)snprintf(out, FORMAT_MAX, "%s%" PRId64 ":%02" PRId64 ":%02" PRId64, sign,
            s / 3600, s % 3600 / 60, s % 60);
    } else {
        (void)snprintf(out, FORMAT_MAX, "%s%" PRId64 " d %" PRId64 " h", sign, s / 86400,
            s % 86400 / 3600);
    }
}

/* Local time: the day where ticks are days apart, seconds only where they matter. */
static void clock_label(char out[FORMAT_MAX], double seconds, double step)
{
    time_t s = (time_t)llround(seconds);
    struct tm tm;
    if (localtime_r(&s, &tm) == NULL) {
        out[0] = '\0';
    } else if (step >= 86400) {
        (void)strftime(out, FORMAT_MAX, "%d %b", &tm);
    } else if (step >= 60) {
        (void)strftime(out, FORMAT_MAX, "%H:%M", &tm);
    } else {
        (void)strftime(out, FORMAT_MAX, "%H:%M:%S", &tm);
    }
}

/* Seconds east of UTC at a time, so that ticks fall on local hours and midnights. */
static double utc_offset(double seconds)
{
    time_t s = (time_t)seconds;
    struct tm tm;
    return localtime_r(&s, &tm) != NULL ? (double)tm.tm_gmtoff : 0;
}

static void time_ticks(const struct axis *axis, int max_n, struct ticks *out)
{
    static const double steps[] = {1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600,
        7200, 10800, 21600, 43200, 86400, 172800, 604800, 1209600, 2592000, 7776000,
        31536000};
    double offset = axis->unit == AXIS_CLOCK ? utc_offset(axis->lo) : 0;
    double lo = axis->lo + offset;
    double hi = axis->hi + offset;
    double first = 0, step = 0;
    int64_t n = 0;
    for (size_t i = 0; i < BARO_LEN(steps); i++) {
        step = steps[i];
        n = count_multiples(lo, hi, step, &first);
        if (n <= max_n) {
            break;
        }
    }
    for (int64_t i = 0; i < n && out->n < TICKS_MAX; i++) {
        double at = (first + (double)i) * step - offset;
        out->at[out->n] = at;
        if (axis->unit == AXIS_CLOCK) {
            clock_label(out->label[out->n], at, step);
        } else {
            elapsed_label(out->label[out->n], at);
        }
        out->n++;
    }
}

/* "1e-7", "0.01", "1", "100", "1 k", "10 M". */
static void decade_label(char out[FORMAT_MAX], double value)
{
    (void)format_tick(out, value, 0);
}

static void add_tick(struct ticks *out, double at)
{
    if (out->n < TICKS_MAX) {
        out->at[out->n] = at;
        decade_label(out->label[out->n], at);
        out->n++;
    }
}

/* Faint lines at 2, 5 times each decade that are not ticks. */
static void log_minors(const struct axis *axis, int from, int to, struct ticks *out)
{
    for (int decade = from - 1; decade <= to; decade++) {
        for (int factor = 2; factor <= 9; factor++) {
            double at = factor * power_of_ten(decade);
            if (at >= axis->lo && at <= axis->hi && out->n_minor < TICKS_MINOR_MAX) {
                out->minor[out->n_minor++] = at;
            }
        }
    }
}

static void log_ticks(const struct axis *axis, int max_n, struct ticks *out)
{
    int from = (int)ceil(axis_log10(axis->lo) - 1e-9);
    int to = (int)floor(axis_log10(axis->hi) + 1e-9);
    int n = to - from + 1;
    if (n >= 3 || n > max_n) {
        int stride = 1;
        while ((n + stride - 1) / stride > max_n) {
            stride++;
        }
        int start = from + ((stride - from % stride) % stride);
        for (int decade = start; decade <= to; decade += stride) {
            add_tick(out, power_of_ten(decade));
        }
        if (stride == 1 && n <= 8) {
            log_minors(axis, from, to, out);
        }
        return;
    }
    for (int decade = from - 1; decade <= to; decade++) {
        static const int factors[] = {1, 2, 5};
        for (size_t i = 0; i < BARO_LEN(factors); i++) {
            double at = factors[i] * power_of_ten(decade);
            if (at >= axis->lo * (1 - 1e-9) && at <= axis->hi * (1 + 1e-9)) {
                add_tick(out, at);
            }
        }
    }
    if (out->n < 3 || out->n > max_n) {
        out->n = 0;
        linear_ticks(axis, max_n, out);
    }
}

/* 0 and plus and minus decades outside the linear part. */
static void symlog_ticks(const struct axis *axis, int max_n, struct ticks *out)
{
    int from = (int)ceil(axis_log10(axis->linear_to) - 1e-9);
    double largest = fmax(fabs(axis->lo), fabs(axis->hi));
    int to = (int)floor(axis_log10(largest) + 1e-9);
    for (int stride = 1; stride < MAX_DECADES; stride++) {
        out->n = 0;
        bool fits = true;
        for (int i = to; i >= from && fits; i--) {
            double at = -power_of_ten(i);
            if ((to - i) % stride == 0 && at >= axis->lo && at <= axis->hi) {
                fits = out->n < max_n;
                add_tick(out, at);
            }
        }
        if (axis->lo <= 0 && axis->hi >= 0) {
            fits = fits && out->n < max_n;
            add_tick(out, 0);
        }
        int rising = from + (to - from) % stride;
        for (int i = rising; i <= to && fits; i += stride) {
            double at = power_of_ten(i);
            if (at >= axis->lo && at <= axis->hi) {
                fits = out->n < max_n;
                add_tick(out, at);
            }
        }
        if (fits) {
            break;
        }
    }
    if (out->n < 3) {
        out->n = 0;
        linear_ticks(axis, max_n, out);
    }
}

void ticks_choose(const struct axis *axis, int max_n, struct ticks *out)
{
    memset(out, 0, sizeof *out);
    int limit = max_n < 2 ? 2 : max_n > 7 ? 7 : max_n;
    bool is_time = axis->unit == AXIS_CLOCK || axis->unit == AXIS_ELAPSED;
    if (is_time && axis->hi - axis->lo >= 2) {
        time_ticks(axis, limit, out);
    } else if (axis->kind == AXIS_LOG) {
        log_ticks(axis, limit, out);
    } else if (axis->kind == AXIS_SYMLOG) {
        symlog_ticks(axis, limit, out);
    } else {
        linear_ticks(axis, limit, out);
    }
}
