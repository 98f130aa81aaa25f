/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a tensor to the payloads of READING_SUMMARY and READING_UNITS: the same code where libbaro
 * summarises and where barod does it for a thin client, so that both give the same bits.
 */
#ifndef BARO_MEASURE_H
#define BARO_MEASURE_H

#include "lib/measure/encode.h"

/* What is declared of the tensor. */
struct measure_thing {
    enum baro_role role;
    int unit_axis;    /* BARO_NO_UNITS: none */
    uint32_t n_units; /* 0: none */
};

/* The payload of a READING_SUMMARY. */
struct measure_summary {
    double stats[SUMMARY_STAT_COUNT];
    struct reading_bin bins[ENCODE_MAX_BINS]; /* the first n_bins are filled */
    size_t n_bins;
};
_Static_assert(
    offsetof(struct measure_summary, bins) == SUMMARY_STAT_COUNT * sizeof(double),
    "one payload without a gap");

/** Tell how many bytes of a summary are the payload; it begins at the struct's start. */
static inline uint32_t measure_summary_bytes(const struct measure_summary *summary)
{
    return (uint32_t)(sizeof summary->stats + summary->n_bins * sizeof summary->bins[0]);
}

/** Measure the tensor as a whole. */
void measure_whole(const struct measure_thing *thing, const struct baro_span *span,
    struct measure_summary *out_summary);

/**
 * Measure the tensor as a whole and its units, in one look at memory where its layout allows.
 *
 * span       has thing->n_units > 0 along thing->unit_axis
 * out_units  the payload of a READING_UNITS: reading_unit_stats(role) * n_units
 * returns    how many floats that are
 */
size_t measure_both(const struct measure_thing *thing, const struct baro_span *span,
    struct measure_summary *out_summary, float *out_units);

#endif
