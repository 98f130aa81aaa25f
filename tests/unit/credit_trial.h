/* SPDX-License-Identifier: Apache-2.0 */
/* One operation and its rule, against what the operation itself, written plainly in f64, does. */
#ifndef BARO_CREDIT_TRIAL_H
#define BARO_CREDIT_TRIAL_H

#include "lib/analysis/credit_op.h"

enum { TRIAL_MOST = 4, TRIAL_ELEMENTS = 256 };

/* Computes an operation: out from in, all row-major; numbers are those of its arguments. */
typedef void (*trial_compute_fn)(double *const *in, double *out, const double *numbers);

struct trial_operand {
    int64_t shape[BARO_MAX_DIMS];
    int n_dims;
    double low, high;    /* of its random elements */
    bool is_index;       /* whole numbers */
    const double *given; /* elements; NULL: random */
    bool is_fixed;
};

struct trial {
    const char *name;
    const char *attrs;
    double numbers[4];
    trial_compute_fn compute;
    struct trial_operand in[TRIAL_MOST];
    int n_in;
    int64_t out_shape[BARO_MAX_DIMS];
    int out_dims;
    bool is_choice;    /* value mode: no sum is compared */
    bool has_no_slope; /* gradients are 0 */
};

/* Everything that a rule sees, with its memory. */
struct trial_bench {
    struct probe probe;
    struct probe_op op;
    struct probe_value values[TRIAL_MOST + 1];
    struct credit_array in[TRIAL_MOST], in0[TRIAL_MOST], out[1], out0[1];
    float x[TRIAL_MOST][TRIAL_ELEMENTS], x0[TRIAL_MOST][TRIAL_ELEMENTS], y[TRIAL_ELEMENTS],
        y0[TRIAL_ELEMENTS];
    float d[TRIAL_ELEMENTS], back[TRIAL_MOST][TRIAL_ELEMENTS],
        t[TRIAL_MOST][TRIAL_ELEMENTS], along[TRIAL_ELEMENTS];
    const float *of_out[1], *tangents[TRIAL_MOST];
    float *of_in[TRIAL_MOST], *tangent_out[1];
    double own[CREDIT_OWN_COUNT], gain;
    bool singular;
    double gap;
    struct credit_io io;
};

/** Draw operands and compute the operation before and now. */
void trial_set_up(struct trial_bench *b, const struct trial *trial);

/** Clear what a rule gives, and choose what it is asked for. */
void trial_start(struct trial_bench *b, enum credit_mode mode);

/** Fail unless a number is as wanted, to a tolerance of its scale. */
void trial_compare(const struct trial *trial, const char *what, double is, double wanted,
    double scale, double tolerance);

/** Find the rule. */
const struct credit_rule *trial_rule(const struct trial *trial);

/** Check all modes at random points. */
void trial_check(const struct trial *trial);

#endif
