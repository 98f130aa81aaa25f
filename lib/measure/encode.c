/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/measure/encode.h"

#include <math.h>
#include <string.h>

struct encode_place encode_place(
    const struct baro_span *span, int64_t index, int unit_axis, bool has_rows)
{
    struct encode_place place = {-1, -1};
    if (index < 0) {
        return place;
    }
    for (int d = span->n_dims - 1; d >= 0; d--) {
        int64_t extent = span->shape[d] > 0 ? span->shape[d] : 1;
        int64_t at = index % extent;
        index /= extent;
        if (d == unit_axis) {
            place.unit = at;
        } else if (d == 0 && has_rows) {
            place.row = at;
        }
    }
    return place;
}

static bool has_24_bits(enum baro_dtype dtype)
{
    return dtype == BARO_F32 || dtype == BARO_F16 || dtype == BARO_BF16;
}

/* Round to 24 significant bits, to the nearest, ties to the even one; the exponent stays wide. */
static double to_24_bits(double value)
{
    enum { DROPPED = 53 - 24 };
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (!isnormal(value)) {
        return value;
    }
    bits += (UINT64_C(1) << (DROPPED - 1)) - 1 + (bits >> DROPPED & 1);
    bits &= ~((UINT64_C(1) << DROPPED) - 1);
    memcpy(&value, &bits, sizeof value);
    return value;
}

void encode_summary(double *out, const struct baro_summary *summary,
    const struct baro_hist *hist, const struct encode_place *place, enum baro_dtype dtype)
{
    static const enum summary_stat summed[] = {
        SUMMARY_MEAN, SUMMARY_VAR, SUMMARY_L1, SUMMARY_L2};
    out[SUMMARY_COUNT] = (double)summary->count;
    out[SUMMARY_N_NAN] = (double)summary->n_nan;
    out[SUMMARY_N_POS_INF] = (double)summary->n_pos_inf;
    out[SUMMARY_N_NEG_INF] = (double)summary->n_neg_inf;
    out[SUMMARY_N_ZERO] = (double)summary->n_zero;
    out[SUMMARY_MIN] = summary->min;
    out[SUMMARY_MAX] = summary->max;
    out[SUMMARY_MEAN] = summary->mean;
    out[SUMMARY_VAR] = summary->var;
    out[SUMMARY_L1] = summary->l1;
    out[SUMMARY_L2] = summary->l2;
    out[SUMMARY_ABS_MAX] = summary->abs_max;
    out[SUMMARY_UPDATE_RATIO] = (double)NAN; /* needs the weights of the step before */
    out[SUMMARY_FIRST_BAD_UNIT] = (double)place->unit;
    out[SUMMARY_FIRST_BAD_ROW] = (double)place->row;
    out[SUMMARY_HIST_EVERY] = (double)hist->sample_every;
    for (size_t i = 0; has_24_bits(dtype) && i < sizeof summed / sizeof summed[0]; i++) {
        out[summed[i]] = to_24_bits(out[summed[i]]);
    }
}

/* Tell whether eight neighbouring bins are empty on both sides: mostly they are. */
static bool are_empty(const struct baro_hist *hist, int from)
{
    static const uint32_t none[8];
    return memcmp(&hist->neg[from], none, sizeof none) == 0 &&
           memcmp(&hist->pos[from], none, sizeof none) == 0;
}

size_t encode_bins(struct reading_bin *out, const struct baro_hist *hist)
{
    size_t n = 0;
    for (int i = 0; i < BARO_HIST_BINS; i++) {
        if (i % 8 == 0 && are_empty(hist, i)) {
            i += 7;
            continue;
        }
        int16_t bin = (int16_t)(i + BARO_HIST_MIN_EXP);
        if (hist->neg[i] > 0) {
            out[n++] = (struct reading_bin){bin, -1, hist->neg[i]};
        }
        if (hist->pos[i] > 0) {
            out[n++] = (struct reading_bin){bin, 1, hist->pos[i]};
        }
    }
    return n;
}
