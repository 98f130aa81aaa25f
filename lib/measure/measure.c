/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/measure/measure.h"

#include <math.h>

static void put_summary(const struct measure_thing *thing, const struct baro_span *span,
    const struct baro_summary *summary, const struct baro_hist *hist,
    struct measure_summary *out)
{
    struct encode_place place = encode_place(
        span, summary->first_bad, thing->unit_axis, baro_role_has_batch(thing->role));
    encode_summary(out->stats, summary, hist, &place, span->dtype);
    out->n_bins = encode_bins(out->bins, hist);
}

void measure_whole(const struct measure_thing *thing, const struct baro_span *span,
    struct measure_summary *out_summary)
{
    struct baro_summary summary;
    struct baro_hist hist;
    baro_summarise(span, &summary, &hist);
    put_summary(thing, span, &summary, &hist, out_summary);
}

size_t measure_both(const struct measure_thing *thing, const struct baro_span *span,
    struct measure_summary *out_summary, float *out_units)
{
    size_t n = thing->n_units;
    size_t n_floats = (size_t)reading_unit_stats(thing->role) * n;
    const struct baro_unit_stats stats = {
        .mean = out_units + UNIT_MEAN * n,
        .l2 = out_units + UNIT_L2 * n,
        .abs_max = out_units + UNIT_ABS_MAX * n,
        .frac_zero = out_units + UNIT_FRAC_ZERO * n,
        .n_nonfinite = out_units + UNIT_N_NONFINITE * n,
    };
    for (size_t i = UNIT_STAT_COUNT * n; i < n_floats; i++) {
        out_units[i] = NAN; /* the values before the update are not at hand */
    }
    struct baro_summary summary;
    struct baro_hist hist;
    (void)baro_summarise_both(span, thing->unit_axis, &stats, &summary, &hist);
    put_summary(thing, span, &summary, &hist, out_summary);
    return n_floats;
}
