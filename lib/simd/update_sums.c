/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/simd/update_sums.h"

#include <math.h>

#include "lib/simd/element.h"

/* Sums of f64 squares between these neither ran over nor lost digits to underflow. */
#define LEAST_SOUND 0x1p-900
#define MOST_SOUND  0x1p+900

/* |before|^2 / |after|^2 from which too much of |after|^2 cancels, and the other way round. */
#define SHRUNK 0x1p+8
#define GROWN  0x1p+20

/* ---- tallies ---- */

struct baro_update_tally baro_update_tally_empty(void)
{
    return (struct baro_update_tally){
        .min = (double)INFINITY, .max = (double)-INFINITY, .first_bad = -1};
}

/* The mean and the number of finite ones. Returns how far the new mean is from the old one. */
static double move_mean(struct baro_update_tally *to, double mean, uint64_t n_new)
{
    const double apart = mean - to->mean;
    const double n = (double)(to->n + n_new);
    to->mean = to->n == 0 ? mean : to->mean + apart * ((double)n_new / n);
    to->n += n_new;
    return apart;
}

void baro_update_tally_merge(
    struct baro_update_tally *to, const struct baro_summary *s, int64_t position)
{
    const uint64_t n_bad = s->n_nan + s->n_pos_inf + s->n_neg_inf;
    const uint64_t n_new = s->count - n_bad;
    if (s->first_bad >= 0 &&
        (to->first_bad < 0 || position + s->first_bad < to->first_bad)) {
        to->first_bad = position + s->first_bad;
    }
    to->count += s->count;
    to->n_nan += s->n_nan;
    to->n_pos_inf += s->n_pos_inf;
    to->n_neg_inf += s->n_neg_inf;
    to->n_zero += s->n_zero;
    if (n_new == 0) {
        return;
    }
    const double n_b = (double)n_new;
    const double n_a = (double)to->n;
    const double apart = move_mean(to, s->mean, n_new);
    to->m2 += s->var * n_b + (n_a > 0 ? apart * apart * (n_a / (n_a + n_b)) * n_b : 0);
    to->l1 += s->l1;
    to->l2 = hypot(to->l2, s->l2); /* squares may not fit */
    to->min = baro_smaller(to->min, s->min);
    to->max = baro_larger(to->max, s->max);
}

void baro_update_tally_add(
    struct baro_update_tally *to, const struct baro_block *b, double dd)
{
    (void)move_mean(to, b->sum / (double)b->n_finite, b->n_finite);
    to->count += b->n_finite;
    to->n_zero += b->n_zero;
    to->l2 = sqrt(to->l2 * to->l2 + dd); /* of f32: the squares fit */
    to->min = baro_smaller(to->min, b->min);
    to->max = baro_larger(to->max, b->max);
}

/* ---- changes ---- */

static bool square_is_sound(double square)
{
    return square >= LEAST_SOUND && square <= MOST_SOUND;
}

bool baro_update_change(
    const struct baro_update_sums *s, enum baro_lane lane, double *out_change)
{
    const double aa = s->bb + 2 * s->db + s->dd;
    *out_change = 0;
    if (lane == BARO_LANE_F64 && !(square_is_sound(s->dd) && square_is_sound(s->bb) &&
                                     square_is_sound(aa) && isfinite(s->db))) {
        return false;
    }
    if (s->dd == 0) {
        return true;
    }
    if (s->bb == 0) {
        *out_change = 1;
        return true;
    }
    if (aa * SHRUNK < s->bb || aa > s->bb * GROWN) {
        return false;
    }
    const double cos = (s->bb + s->db) / (sqrt(aa) * sqrt(s->bb));
    const double across = s->dd - s->db * (s->db / s->bb);
    const double change = cos < 0 ? 1 - cos : across / (aa * (1 + cos));
    *out_change = change > 0 ? (change < 2 ? change : 2) : 0;
    return true;
}

/* As above, with |after|^2 and after . before summed for themselves. */
static double change_of(
    long double dd, long double bb, long double aa, long double db, long double ab)
{
    if (dd == 0) {
        return 0;
    }
    if (bb == 0 || aa == 0) {
        return 1;
    }
    const long double cos = ab / (sqrtl(aa) * sqrtl(bb));
    const bool is_far =
        cos < 0 || aa * (long double)GROWN < bb || bb * (long double)GROWN < aa;
    const long double change = is_far ? 1 - cos : (dd - db * (db / bb)) / (aa * (1 + cos));
    return change > 0 ? (change < 2 ? (double)change : 2) : 0;
}

bool baro_update_is_gone(const struct baro_pairs *p, enum baro_dtype dtype, int64_t unit)
{
    struct baro_pairs_buffer buffer;
    struct baro_pairs_at at = {.left = p->unit_count};
    const void *before = NULL;
    const void *after = NULL;
    size_t n;
    while ((n = baro_pairs_next(p, unit, &at, &buffer, &before, &after)) > 0) {
        for (size_t i = 0; i < n; i++) {
            if (baro_element_get(dtype, after, i) != 0) {
                return false;
            }
        }
    }
    return true;
}

struct baro_update_exact baro_update_exactly(
    const struct baro_pairs *p, enum baro_dtype dtype, int64_t unit)
{
    struct baro_pairs_buffer buffer;
    struct baro_pairs_at at = {.left = p->unit_count};
    struct baro_update_exact out = {0};
    long double aa = 0;
    long double db = 0;
    long double ab = 0;
    const void *run_b = NULL;
    const void *run_a = NULL;
    size_t n;
    while ((n = baro_pairs_next(p, unit, &at, &buffer, &run_b, &run_a)) > 0) {
        for (size_t i = 0; i < n; i++) {
            const long double b = (long double)baro_element_get(dtype, run_b, i);
            const long double a = (long double)baro_element_get(dtype, run_a, i);
            if (isfinite(b) && isfinite(a)) {
                out.dd += (a - b) * (a - b);
                out.bb += b * b;
                aa += a * a;
                db += (a - b) * b;
                ab += a * b;
            }
        }
    }
    out.change = change_of(out.dd, out.bb, aa, db, ab);
    return out;
}
