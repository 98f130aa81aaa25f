/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/sample_inside.h"
#include "lib/base/mem.h"
#include "lib/base/order.h"

/*
 * Who must be shown, who stands for whom, and who has nobody near: the parts of the sampler that
 * keep it from hiding (see sample.c for the whole).
 *
 * Mandatory are lines with non-finite readings, lines that leap, and the envelope. A leap is
 * told by the robust score of a line's largest rise among those of the first lines read: more
 * than LEAP_SCORE times 1.4826 MAD above their median, and more than all but one in RARE lines
 * do: where every tenth line leaps (gradients, mostly), leaping tells nothing. Where too many are mandatory (a layer
 * that turned NaN as a whole) those that began first are shown, and how many are left out is told.
 *
 * As a whole, lines are compared by FEATURES means of their heights along time: the distance
 * of two lines is the root mean square of the differences. Each line belongs to the nearest shown one; then
 * the line that is furthest from all shown ones is shown, too, and again, until the places are
 * used up or nobody is far (Gonzalez 1985: at most twice the best possible spread). An outlier
 * of a whole curve is found so without knowing what an outlier looks like; a neighbourhood score
 * with accept/reject probabilities, as the literature has it, kept fewer of them at more cost.
 */

#define LEAP_SCORE 8.0F
#define NORMAL_MAD 1.4826F

static const float least_leap_px = 3;

enum { NEAR_PX = 2, MANDATORY_TARGETS = 3, RARE = 50, ALONE_SHARE = 50 };

struct mandate {
    double key; /* the smaller, the more urgent */
    uint32_t line;
    uint8_t reason;
};

static int by_key(const void *a, const void *b)
{
    const struct mandate *x = a, *y = b;
    if (x->key != y->key) {
        return x->key < y->key ? -1 : 1;
    }
    return x->line < y->line ? -1 : x->line > y->line;
}

/* The rise above which a line leaps, by the first lines that were read. */
static float leap_bar(const struct sampler *s)
{
    float leaps[SAMPLE_FIRST];
    size_t n = 0;
    for (size_t i = 0; i < s->n_lines && n < SAMPLE_FIRST; i++) {
        float leap = s->leap[s->order[i]];
        if (leap >= 0) {
            leaps[n++] = leap;
        }
    }
    if (n == 0) {
        return INFINITY;
    }
    qsort(leaps, n, sizeof *leaps, baro_by_float);
    const float median = leaps[n / 2], usual = leaps[n - 1 - n / RARE];
    for (size_t i = 0; i < n; i++) {
        leaps[i] = fabsf(leaps[i] - median);
    }
    qsort(leaps, n, sizeof *leaps, baro_by_float);
    float more = LEAP_SCORE * NORMAL_MAD * leaps[n / 2];
    float bar = median + (more > least_leap_px ? more : least_leap_px);
    return bar > usual ? bar : usual;
}

static size_t collect(struct sampler *s, struct mandate *out)
{
    size_t n = 0;
    s->n_leaping = 0;
    for (uint32_t i = 0; i < s->n_lines; i++) {
        bool leaps = s->leap[i] > s->leap_most;
        s->n_leaping += leaps;
        if (s->bad_from[i] != 0) {
            out[n++] = (struct mandate){s->bad_from[i] - 1e9, i, SAMPLE_NONFINITE};
        } else if (leaps) {
            out[n++] = (struct mandate){-(double)s->leap[i], i, SAMPLE_LEAP};
        }
    }
    return n;
}

void sampler_find_leaps(struct sampler *s)
{
    if (isnan(s->leap_most)) {
        s->leap_most = leap_bar(s);
    }
}

float sampler_leap_shown(const struct sampler *s)
{
    const size_t most = MANDATORY_TARGETS * s->target;
    baro_autofree float *leaps = baro_xcalloc(s->n_lines + 1, sizeof *leaps);
    size_t n = 0, n_bad = 0;
    for (size_t i = 0; i < s->n_lines; i++) {
        if (s->bad_from[i] != 0) {
            n_bad++;
        } else if (s->leap[i] > s->leap_most) {
            leaps[n++] = s->leap[i];
        }
    }
    if (n_bad + n <= most) {
        return s->leap_most;
    }
    if (n_bad >= most) {
        return INFINITY;
    }
    qsort(leaps, n, sizeof *leaps, baro_by_float);
    return leaps[n - 1 - (most - n_bad)];
}

void sampler_show_mandatory(struct sampler *s)
{
    sampler_find_leaps(s);
    size_t n = 0;
    const size_t most = MANDATORY_TARGETS * s->target;
    struct mandate *list = baro_xcalloc(s->n_lines, sizeof *list);
    n = collect(s, list);
    qsort(list, n, sizeof *list, by_key);
    size_t n_taken = n < most ? n : most;
    for (size_t i = 0; i < n_taken; i++) {
        (void)sampler_show(s, list[i].line, (enum sample_reason)list[i].reason);
    }
    s->n_left_out = n - n_taken;
    free(list);
    for (size_t c = 0; c < s->n_columns; c++) {
        if (!isinf(s->top_y[c])) {
            (void)sampler_show(s, s->top[c], SAMPLE_ENVELOPE);
            (void)sampler_show(s, s->bottom[c], SAMPLE_ENVELOPE);
        }
    }
    for (size_t i = 0; i < s->n_outliers; i++) {
        (void)sampler_show(s, s->outliers[i], SAMPLE_OUTLIER);
    }
    s->n_mandatory = s->n_shown;
}

/* Means of its heights along time; SAMPLE_NOWHERE_PX each when it has no finite reading. */
void sampler_find_features(struct sampler *s, size_t line)
{
    float *out = s->features + line * SAMPLE_FEATURES;
    const float *y = sampler_y(s, line);
    size_t n = 0;
    float last = NAN;
    for (size_t f = 0; f < SAMPLE_FEATURES; f++) {
        size_t from = f * s->n_columns / SAMPLE_FEATURES;
        size_t to = (f + 1) * s->n_columns / SAMPLE_FEATURES;
        float sum = 0;
        int count = 0;
        for (size_t c = from; c < (to > from ? to : from + 1); c++) {
            sum += y[c];
            count++;
        }
        if (isnan(sum)) {
            sum = 0;
            count = 0;
            for (size_t c = from; c < (to > from ? to : from + 1); c++) {
                sum += isnan(y[c]) ? 0 : y[c];
                count += !isnan(y[c]);
            }
        }
        if (count > 0) {
            last = sum / (float)count;
            n++;
        }
        out[f] = last;
    }
    for (size_t f = SAMPLE_FEATURES; f-- > 0;) {
        last = isnan(out[f]) ? last : out[f];
        out[f] = n > 0 ? last : SAMPLE_NOWHERE_PX;
    }
}

static float distance(const float *a, const float *b)
{
    float lanes[4] = {0};
    for (size_t f = 0; f < SAMPLE_FEATURES; f += 4) {
        for (size_t l = 0; l < 4; l++) {
            float d = a[f + l] - b[f + l];
            lanes[l] += d * d;
        }
    }
    return (lanes[0] + lanes[1] + lanes[2] + lanes[3]) / SAMPLE_FEATURES;
}

static void assign_line(struct sampler *s, size_t line)
{
    float squared = INFINITY;
    const size_t who =
        sample_near_best(&s->shown_near, s->features + line * SAMPLE_FEATURES, &squared);
    s->nearest[line] = s->n_shown > 0 ? (uint16_t)who : SAMPLE_NOBODY;
    s->distance[line] = squared / SAMPLE_FEATURES;
}

static void gather_shown(struct sampler *s)
{
    s->shown_near.n = 0;
    for (size_t slot = 0; slot < s->n_shown; slot++) {
        sample_near_add(
            &s->shown_near, s->features + (size_t)s->shown[slot] * SAMPLE_FEATURES);
    }
    sample_near_end(&s->shown_near);
}

bool sampler_assign(struct sampler *s, size_t n_work)
{
    if (s->at == 0) {
        gather_shown(s);
    }
    for (; n_work > 0 && s->at < s->n_lines; n_work--) {
        assign_line(s, s->at++);
    }
    return s->at < s->n_lines;
}

/* Who is furthest from all that is shown; those that were shown for it before come first. */
static size_t find_furthest(struct sampler *s)
{
    while (s->n_keep_outliers > 0) {
        size_t line = s->keep_outliers[--s->n_keep_outliers];
        if (s->distance[line] > (float)(NEAR_PX * NEAR_PX) &&
            s->reason[line] == SAMPLE_NOT_SHOWN) {
            return line;
        }
    }
    size_t who = 0;
    float most = -1;
    for (size_t i = 0; i < s->n_lines; i++) {
        bool is_somewhere = s->features[i * SAMPLE_FEATURES] < SAMPLE_NOWHERE_PX;
        if (s->distance[i] > most && s->reason[i] == SAMPLE_NOT_SHOWN && is_somewhere) {
            most = s->distance[i];
            who = i;
        }
    }
    return most > (float)(NEAR_PX * NEAR_PX) ? who : s->n_lines;
}

void sampler_count_members(struct sampler *s)
{
    memset(s->members, 0, s->n_shown * sizeof *s->members);
    for (size_t slot = 0; slot < s->n_shown; slot++) { /* also one that has a double */
        s->nearest[s->shown[slot]] = (uint16_t)slot;
        s->distance[s->shown[slot]] = 0;
    }
    for (size_t i = 0; i < s->n_lines; i++) {
        if (s->nearest[i] != SAMPLE_NOBODY) {
            s->members[s->nearest[i]]++;
        }
    }
    s->is_assigned = true;
}

void sampler_assign_moved(struct sampler *s, const bool *has_moved)
{
    baro_autofree uint16_t *moved = baro_xcalloc(s->n_slots, sizeof *moved);
    size_t n_moved = 0;
    for (size_t slot = 0; slot < s->n_shown; slot++) {
        if (has_moved[slot]) {
            moved[n_moved++] = (uint16_t)slot;
        }
    }
    gather_shown(s);
    for (size_t i = 0; i < s->n_lines; i++) {
        if (s->nearest[i] >= s->n_shown || has_moved[s->nearest[i]]) {
            assign_line(s, i);
            continue;
        }
        const float *its = s->features + i * SAMPLE_FEATURES;
        for (size_t k = 0; k < n_moved; k++) {
            float d =
                distance(its, s->features + (size_t)s->shown[moved[k]] * SAMPLE_FEATURES);
            if (d < s->distance[i]) {
                s->distance[i] = d;
                s->nearest[i] = moved[k];
            }
        }
    }
    sampler_count_members(s);
}

bool sampler_cover(struct sampler *s, size_t n_work)
{
    const size_t a_line = s->n_lines / SAMPLE_ASSIGN_WORK + 1;
    const size_t least = s->n_mandatory + s->target / 3 + s->target / 8;
    const size_t most = s->target > least ? s->target : least;
    for (size_t done = 0; done <= n_work; done += a_line) {
        size_t who = s->n_shown < most ? find_furthest(s) : s->n_lines;
        const float apart = s->screen.height_px / ALONE_SHARE;
        enum sample_reason reason = who < s->n_lines && s->distance[who] > apart * apart
                                        ? SAMPLE_OUTLIER
                                        : SAMPLE_BLUE_NOISE;
        if (who == s->n_lines || !sampler_show(s, (uint32_t)who, reason)) {
            sampler_count_members(s);
            return false;
        }
        const float *its = s->features + who * SAMPLE_FEATURES;
        for (size_t i = 0; i < s->n_lines; i++) {
            float d = distance(its, s->features + i * SAMPLE_FEATURES);
            if (d < s->distance[i]) {
                s->distance[i] = d;
                s->nearest[i] = (uint16_t)(s->n_shown - 1);
            }
        }
    }
    return true;
}
