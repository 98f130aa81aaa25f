/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/polyline.h"

#include <math.h>
#include <string.h>
#if defined(__SSE__)
#    include <xmmintrin.h>
#endif

/*
 * A chart some hundred pixels wide cannot show a thousand steps apart, and what is to be chosen
 * for it need not know them apart either: up to 96 key columns keep one reading of each line, the
 * last one of the column, which is a real reading and no mean. What happens between, a spike of one step,
 * is not lost: the extremes of every column are looked at for the line's traits (its leap) and
 * for the envelope.
 *
 * Worked number: heights on a log axis from 0.01 to 100, 400 px high: 1 lies in the middle, at
 * 200 px; 10 a quarter below the top, at 100 px.
 */

#define LN_2      0.693147180559945309417
#define LOG_E     0.434294481903251827651 /* log10(e) */
#define SQRT_HALF 0.70710678118654752440

enum { BEYOND_HEIGHTS = 4 };
static const float below_log = 1.1F; /* of the height: where a log axis has no place */

/* log10 of a positive finite number, to 1e-6: terms up to s^5 of 2 atanh(s). */
static double quick_log10(double value)
{
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof bits);
    int exponent = (int)(bits >> 52) - 1023;
    bits = (bits & ((UINT64_C(1) << 52) - 1)) | (UINT64_C(1023) << 52);
    double m = 0;
    memcpy(&m, &bits, sizeof m);
    /* m in [1, 2): around the root of two, so that |s| < 0.172. */
    m *= SQRT_HALF;
    double s = (m - 1) / (m + 1);
    double square = s * s;
    double ln = 2 * s * (1 + square * (1.0 / 3 + square * (1.0 / 5 + square / 7)));
    return (ln + (exponent + 0.5) * LN_2) * LOG_E;
}

static inline double transform(const struct axis *axis, double value)
{
    switch (axis->kind) {
    case AXIS_LOG: return quick_log10(value);
    case AXIS_SYMLOG: {
        double scaled = quick_log10(1 + fabs(value) / axis->linear_to);
        return value < 0 ? -scaled : scaled;
    }
    case AXIS_LINEAR: break;
    }
    return value;
}

/* Steps to columns by their place; columns without a step are left out. */
static void cut_columns(
    struct polyline_screen *screen, const struct polylines *lines, size_t n_columns)
{
    const size_t n = lines->n_steps;
    const double x0 = lines->x != NULL ? lines->x[0] : 0;
    const double span = lines->x != NULL ? lines->x[n - 1] - x0 : (double)(n - 1);
    size_t last = n_columns; /* none */
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        double at = lines->x != NULL ? lines->x[i] - x0 : (double)i;
        size_t c = span > 0 ? (size_t)(at / span * (double)n_columns) : 0;
        c = c < n_columns ? c : n_columns - 1;
        if (c != last) {
            screen->first_step[count++] = (uint32_t)i;
            last = c;
        }
    }
    screen->first_step[count] = (uint32_t)n;
    screen->n_columns = count;
}

void polyline_screen_init(struct polyline_screen *screen, const struct polylines *lines,
    const struct axis *axis, float height_px, size_t n_columns)
{
    *screen = (struct polyline_screen){.axis = *axis, .height_px = height_px};
    double lo = transform(axis, axis->lo);
    double hi = transform(axis, axis->hi);
    screen->from = lo;
    screen->by = hi > lo ? (double)height_px / (hi - lo) : 0;
    n_columns = n_columns < POLYLINE_MAX_COLUMNS ? n_columns : POLYLINE_MAX_COLUMNS;
    if (lines->n_steps > 0 && n_columns > 0) {
        cut_columns(screen, lines, n_columns < lines->n_steps ? n_columns : lines->n_steps);
    }
}

static inline float height_of(const struct polyline_screen *screen, float value)
{
    const float height = screen->height_px;
    if (screen->axis.kind == AXIS_LOG && value <= 0) {
        return height * below_log;
    }
    if (isinf(value)) {
        return value > 0 ? -BEYOND_HEIGHTS * height : (BEYOND_HEIGHTS + 1) * height;
    }
    double y = (double)height -
               (transform(&screen->axis, (double)value) - screen->from) * screen->by;
    const double most = (double)(BEYOND_HEIGHTS + 1) * (double)height;
    const double least = -(double)BEYOND_HEIGHTS * (double)height;
    return isnan(value) ? NAN : (float)(y < least ? least : y > most ? most : y);
}

float polyline_height(const struct polyline_screen *screen, float value)
{
    return height_of(screen, value);
}

/* What the readings of one column come to. */
struct part {
    float last; /* finite; NaN: none */
    float low, high;
    bool is_bad;
};

/* Four readings at once; at any address. */
typedef float four __attribute__((vector_size(16), aligned(4), may_alias));
#if !defined(__SSE__)
typedef int32_t four_masks __attribute__((vector_size(16)));
#endif

/* The least or the largest of readings, lane by lane; a NaN leaves a lane as it is. */
static inline four least_of(four a, four b)
{
#if defined(__SSE__)
    return (four)_mm_min_ps((__m128)b, (__m128)a);
#else
    four_masks is_less = b < a;
    return (four)(((four_masks)b & is_less) | ((four_masks)a & ~is_less));
#endif
}

static inline four largest_of(four a, four b)
{
#if defined(__SSE__)
    return (four)_mm_max_ps((__m128)b, (__m128)a);
#else
    four_masks is_more = b > a;
    return (four)(((four_masks)b & is_more) | ((four_masks)a & ~is_more));
#endif
}

/* The least and the largest of the four lanes. */
static inline void gather(four low, four high, struct part *part)
{
#if defined(__SSE__)
    __m128 l = _mm_min_ps((__m128)low, _mm_movehl_ps((__m128)low, (__m128)low));
    __m128 h = _mm_max_ps((__m128)high, _mm_movehl_ps((__m128)high, (__m128)high));
    part->low = _mm_cvtss_f32(_mm_min_ss(l, _mm_shuffle_ps(l, l, 1)));
    part->high = _mm_cvtss_f32(_mm_max_ss(h, _mm_shuffle_ps(h, h, 1)));
#else
    for (int l = 0; l < 4; l++) {
        part->low = low[l] < part->low ? low[l] : part->low;
        part->high = high[l] > part->high ? high[l] : part->high;
    }
#endif
}

/* A column of readings that stand for themselves: no gaps, nothing but numbers to look at. */
static struct part look_at_finite(const float *values, size_t n)
{
    struct part part = {NAN, INFINITY, -INFINITY, false};
    part.last = values[n - 1];
    if (n >= 4) {
        four low = *(const four *)values, high = low, odds = low * 0.0F;
        for (size_t i = 4; i < n; i += 4) {
            /* The last ones are looked at twice where n is no multiple of four. */
            four v = *(const four *)(values + (i + 4 <= n ? i : n - 4));
            low = least_of(low, v);
            high = largest_of(high, v);
            odds += v * 0.0F; /* NaN once a reading is not finite */
        }
        gather(low, high, &part);
        part.is_bad = isnan((odds[0] + odds[1]) + (odds[2] + odds[3]));
        return part;
    }
    float odd = 0;
    for (size_t i = 0; i < n; i++) {
        part.low = values[i] < part.low ? values[i] : part.low;
        part.high = values[i] > part.high ? values[i] : part.high;
        odd += values[i] * 0.0F;
    }
    part.is_bad = isnan(odd);
    return part;
}

static struct part look_at_values(const float *values, size_t n)
{
    struct part part = look_at_finite(values, n);
    if (!part.is_bad) {
        return part;
    }
    part = (struct part){NAN, INFINITY, -INFINITY, true};
    for (size_t i = 0; i < n; i++) {
        if (isfinite(values[i])) {
            part.last = values[i];
            part.low = fminf(part.low, values[i]);
            part.high = fmaxf(part.high, values[i]);
        }
    }
    return part;
}

static struct part look_at_marked(const struct polylines *lines, size_t first, size_t n)
{
    struct part part = {NAN, INFINITY, -INFINITY, false};
    for (size_t i = first; i < first + n; i++) {
        float value = lines->values[i];
        enum polyline_mark mark = POLYLINE_FINITE;
        if (lines->marks != NULL) {
            mark = (enum polyline_mark)lines->marks[i];
        }
        if (mark == POLYLINE_GAP) {
            continue;
        }
        part.is_bad |= mark == POLYLINE_NONFINITE || !isfinite(value);
        float low = lines->low != NULL ? lines->low[i] : value;
        float high = lines->high != NULL ? lines->high[i] : value;
        part.last = isfinite(value) ? value : part.last;
        part.low = isfinite(low) && low < part.low ? low : part.low;
        part.high = isfinite(high) && high > part.high ? high : part.high;
    }
    return part;
}

void polyline_reduce(const struct polyline_screen *screen, const struct polylines *lines,
    size_t line, float *out_y, struct polyline_traits *out_traits)
{
    const bool is_plain = lines->low == NULL && lines->high == NULL && lines->marks == NULL;
    const size_t begin = line * lines->n_steps;
    struct polyline_traits *t = out_traits;
    t->is_empty = true;
    t->has_nonfinite = false;
    t->bad_column = 0;
    t->leap_px = 0;
    float before = NAN;
    for (size_t c = 0; c < screen->n_columns; c++) {
        size_t first = begin + screen->first_step[c];
        size_t n = screen->first_step[c + 1] - screen->first_step[c];
        struct part part = is_plain ? look_at_values(lines->values + first, n)
                                    : look_at_marked(lines, first, n);
        if (part.is_bad && !t->has_nonfinite) {
            t->has_nonfinite = true;
            t->bad_column = (uint32_t)c;
        }
        bool has_range = part.high >= part.low;
        out_y[c] = height_of(screen, part.last);
        t->top[c] =
            has_range && part.high != part.last ? height_of(screen, part.high) : out_y[c];
        t->bottom[c] =
            has_range && part.low != part.last ? height_of(screen, part.low) : out_y[c];
        t->is_empty &= isnan(out_y[c]);
        float within = t->bottom[c] - t->top[c];
        float rise = fabsf(out_y[c] - before);
        t->leap_px = within > t->leap_px ? within : t->leap_px;
        t->leap_px = rise > t->leap_px ? rise : t->leap_px;
        before = out_y[c];
    }
}
