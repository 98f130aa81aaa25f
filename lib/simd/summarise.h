/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One-pass statistics of a tensor and of its units, with run-time choice of the CPU's
 * widest instructions. Used by libbaro on the training thread: no allocation, no lock, no
 * system call. NaN and infinities are counted and never touch the finite statistics.
 */
#ifndef BARO_SUMMARISE_H
#define BARO_SUMMARISE_H

#include <stdbool.h>

#include "lib/base/tensor.h"

/* What one pass tells. Finite statistics are NaN when no element is finite. */
struct baro_summary {
    uint64_t count; /* elements in all */
    uint64_t n_nan;
    uint64_t n_pos_inf;
    uint64_t n_neg_inf;
    uint64_t n_zero; /* +0 and -0 */
    double min;      /* of finite elements, as all below */
    double max;
    double mean;
    double var; /* population variance, n in the denominator */
    double l1;  /* sum of absolute values */
    double l2;  /* square root of the sum of squares */
    double abs_max;
    int64_t first_bad; /* row-major index of the first non-finite element, or -1 */
};

/*
 * Signed histogram of magnitudes by power of two. Bin of a finite x != 0 is
 * floor(log2 |x|) clamped to [BARO_HIST_MIN_EXP, BARO_HIST_MAX_EXP]; zeros, NaN and
 * infinities are not in it (the summary counts them).
 */
enum {
    BARO_HIST_MIN_EXP = -64,
    BARO_HIST_MAX_EXP = 63,
    BARO_HIST_BINS = BARO_HIST_MAX_EXP - BARO_HIST_MIN_EXP + 1
};

struct baro_hist {
    uint32_t sample_every;        /* 1: exact; 16: counts are of an even 1 in 16 sample */
    uint32_t pos[BARO_HIST_BINS]; /* x > 0 */
    uint32_t neg[BARO_HIST_BINS]; /* x < 0 */
};

/* Statistics of each unit, as columns of n_units floats. Any column may be NULL. */
struct baro_unit_stats {
    float *mean; /* of the unit's finite elements; NaN when none is finite */
    float *l2;
    float *abs_max;
    float *frac_zero;   /* zeros over all elements of the unit */
    float *n_nonfinite; /* NaN and infinities */
};

/* The instruction sets that a kernel exists for, narrowest first. */
enum baro_simd { BARO_SIMD_SCALAR = 0, BARO_SIMD_AVX2, BARO_SIMD_AVX512, BARO_SIMD_COUNT };

/** Tell the widest set that this CPU runs and that is compiled in. Any thread. */
enum baro_simd baro_simd_best(void);

/** Name a set: "scalar", "avx2", "avx512". */
const char *baro_simd_name(enum baro_simd simd);

/**
 * Force a set for tests and benchmarks.
 *
 * returns  false, and nothing changes, when the CPU does not run it
 * thread   any, but not while another summarises
 */
bool baro_simd_use(enum baro_simd simd);

/**
 * Summarise a tensor in one pass.
 *
 * out_hist  filled too unless NULL; exact to 65,536 elements, an even sample of 1 in 16
 *           above
 * cost      one read of the data; no allocation; under 32 KiB of stack
 * thread    any
 * method    blocks shifted by the mean of the first finite values, f64 merge after Chan et
 *           al.
 */
void baro_summarise(const struct baro_span *span, struct baro_summary *out_summary,
    struct baro_hist *out_hist);

/**
 * Summarise each index along one axis.
 *
 * axis      0 <= axis < n_dims; n_units is shape[axis]
 * returns   0; BARO_EINVAL when the axis is out of range
 * cost      one read of the data; no allocation; under 64 KiB of stack
 * thread    any
 */
int baro_summarise_units(
    const struct baro_span *span, int axis, const struct baro_unit_stats *out_stats);

/**
 * Do both for one axis: in one read of the data where it is a contiguous f32, f16 or bf16, else
 * in two. Unit statistics have the bits of baro_summarise_units(), or differ from them in the last
 * place only; so does the summary from that of baro_summarise().
 *
 * out_hist  filled too unless NULL
 * returns   0; BARO_EINVAL when the axis is out of range
 * cost      no allocation; under 64 KiB of stack
 * thread    any
 */
int baro_summarise_both(const struct baro_span *span, int axis,
    const struct baro_unit_stats *out_stats, struct baro_summary *out_summary,
    struct baro_hist *out_hist);

/** Give one element as a double, for tests and for slow paths. index: row-major. */
double baro_span_value(const struct baro_span *span, int64_t index);

#endif
