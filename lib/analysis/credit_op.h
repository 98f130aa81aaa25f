/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules of single operations, as credit assignment sees them: a table of functions over dense
 * f32 arrays. One file for each family: credit_linear.c, credit_conv.c, credit_pointwise.c, ...
 */
#ifndef BARO_CREDIT_OP_H
#define BARO_CREDIT_OP_H

#include "lib/analysis/credit.h"

/* A dense, row-major array as it was kept, widened to f32 (integers as exact as f32 holds them). */
struct credit_array {
    int n_dims;
    int64_t shape[BARO_MAX_DIMS]; /* as kept */
    int64_t n;                    /* elements */
    const float *x;               /* NULL: not kept */
    const struct probe_value *value;
};

/* One operation at work. Operands that were not given have value == NULL. */
struct credit_io {
    const struct probe *probe;
    const struct probe_op *op;
    uint32_t n_in;
    uint32_t n_out;
    const struct credit_array *in;
    const struct credit_array *out;
    const struct credit_array
        *in0; /* CREDIT_CHANGE: the same, of the probe before; else NULL */
    const struct credit_array *out0;
    /*
     * What is known of the outputs, of their shapes; NULL: nothing came there. Value mode: shares.
     * Gradient mode: gradients of the target by each element. Change mode: multipliers, the secant
     * slopes by which the target's change follows from each element's change: what an element
     * contributed is its multiplier times its change, and these contributions add up exactly.
     */
    const float *const *of_out;
    /* Those of the inputs, zeroed, to be added to; NULL: nobody asks for it. */
    float *const *of_in;
    double *own;    /* CREDIT_OWN_COUNT sums, to be added to */
    double *gain;   /* largest elasticity seen; to be raised */
    bool *singular; /* to be set */
};

/*
 * What is known of an operation. Each function returns 0, or BARO_EUNSUPPORTED when these shapes or
 * arguments are not covered, or BARO_ENOENT when an operand that it needs was not kept; the
 * caller then treats it as unknown. NULL where a rule does not exist.
 */
struct credit_rule {
    const char *names; /* of operations, separated by blanks: "mm addmm linear" */
    int (*value)(const struct credit_io *io); /* shares of inputs from those of outputs */
    int (*gradient)(const struct credit_io *io); /* vector-Jacobian product */
    int (*change)(
        const struct credit_io *io); /* multipliers; NULL: as gradient (linear in all
                                                    operands that ever change) */
};

/** Find the rule of an operation by its name, with or without a trailing '_' (in place). */
const struct credit_rule *credit_rule_find(const char *name);

/* One table for each family, ended by names == NULL. */
extern const struct credit_rule
    credit_rules_linear[]; /* mm addmm bmm baddbmm matmul embedding dot */
extern const struct credit_rule credit_rules_conv[]; /* convolution, pooling */
extern const struct credit_rule
    credit_rules_pointwise[];                        /* add mul exp relu where clamp ... */
extern const struct credit_rule credit_rules_norm[]; /* batch, layer, group norm */
extern const struct credit_rule
    credit_rules_softmax[]; /* softmax, log_softmax, losses, attention */
extern const struct credit_rule
    credit_rules_shape[]; /* view transpose cat index gather split ... */
extern const struct credit_rule
    credit_rules_reduce[]; /* sum mean max var norm logsumexp ... */

#endif
