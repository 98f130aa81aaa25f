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
    const float
        *xt; /* its last two axes exchanged; only for rules with takes_transposed, x may
                        then be NULL: whichever costs nothing */
    bool is_fixed; /* made from parameters, buffers and constants alone: no signal */
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
    double *gap; /* gradient mode: how large what samples that were not kept add to, or take
                       from, what was given may be, in parts of it; to be raised */
    enum credit_mode mode;
    const struct probe_op *op0; /* CREDIT_CHANGE: the operation before; else NULL */
    const struct probe *probe0; /* likewise, its probe */
    /*
     * For forward() only: tangents, by how much each element of the inputs changes (NULL: not at
     * all), and those of the outputs, zeroed, to be added to (NULL: nobody asks for it).
     */
    const float *const *tangent_in;
    float *const *tangent_out;
};

/*
 * Rows: of a value with a batch axis the arrays hold the probe's rows only, whatever was kept, and
 * in CREDIT_CHANGE as many as both probes have; array.shape says how many. The full extent is in
 * value->shape: a mean over the batch divides by that one. The core takes care of the rest:
 *  - what of an operation's share neither inputs nor owns got becomes CREDIT_OWN_REST where
 *    samples that were not kept went into its outputs, CREDIT_OWN_UNKNOWN where something
 *    non-finite was in the way, else CREDIT_OWN_ROUND;
 *  - what is non-finite in of_in, own and tangent_out becomes 0 (and the operation singular): so a
 *    rule only has to see to it, where it can, that one bad element leaves the others alone;
 *  - in value mode all elements of of_out that are not 0 belong to a finite or a non-finite output:
 *    of a non-finite one the share should go to the operands that are non-finite, if there are any;
 *  - change mode: contributions of fixed inputs that stem from a parameter become
 *    CREDIT_OWN_WEIGHT of this operation; the rule just writes their multipliers. Integer and
 *    boolean inputs are asked for as well: (effect of the change) / (change) is their multiplier.
 */

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
    /*
     * Gradient mode, the way from the target towards the loss: the Jacobian-vector product, outputs'
     * tangents from inputs' tangents. NULL: found from gradient() where the outputs have one
     * element (losses), else the share stops here as CREDIT_OWN_UNKNOWN.
     */
    int (*forward)(const struct credit_io *io);
    bool
        only_weighs; /* value mode: fixed operands get no share where others are signals, and
                         are not asked for (weights of linear operations) */
    bool takes_transposed; /* see credit_array.xt */
    bool
        sees_bad; /* value mode: shares out outputs that are not finite itself; else the core
                      does: among the inputs' elements of the sample that are not finite */
    bool is_route; /* each output element is one input element: forward() of the numbers
                      themselves gives the outputs that were not kept */
};

/** Find the rule of an operation by its name, with or without a trailing '_' (in place). */
const struct credit_rule *credit_rule_find(const char *name);

/* One table for each family, ended by names == NULL. */
extern const struct credit_rule
    credit_rules_linear[]; /* mm addmm bmm baddbmm matmul embedding dot */
extern const struct credit_rule credit_rules_conv[]; /* convolution */
extern const struct credit_rule credit_rules_pool
    []; /* pooling, upsampling, reflecting pads: windows over the last axes */
extern const struct credit_rule
    credit_rules_pointwise[];                        /* add mul exp relu where clamp ... */
extern const struct credit_rule credit_rules_norm[]; /* batch, layer, group norm */
extern const struct credit_rule
    credit_rules_softmax[]; /* softmax, log_softmax, logsumexp */
extern const struct credit_rule
    credit_rules_loss[]; /* squared error, binary cross entropy */
extern const struct credit_rule credit_rules_nll[];       /* negative log likelihood */
extern const struct credit_rule credit_rules_attention[]; /* fused attention */
extern const struct credit_rule
    credit_rules_rnn[]; /* LSTM and GRU layers as one operation */
extern const struct credit_rule credit_rules_cell[]; /* one step of them as one operation */
extern const struct credit_rule
    credit_rules_shape[]; /* view transpose cat index gather split ... */
extern const struct credit_rule credit_rules_reduce[]; /* sum mean var norm ... */
extern const struct credit_rule credit_rules_choice[]; /* max min median sort topk */
extern const struct credit_rule
    credit_rules_factors[]; /* glu, weight norm, bilinear: products of several factors */
extern const struct credit_rule credit_rules_links[];    /* unfold, fold, packing */
extern const struct credit_rule credit_rules_running[];  /* cumprod logcumsumexp */
extern const struct credit_rule credit_rules_grid[];     /* grid_sample */
extern const struct credit_rule credit_rules_bag[];      /* embedding_bag */
extern const struct credit_rule credit_rules_distance[]; /* cdist */
extern const struct credit_rule credit_rules_margin[];   /* multi_margin_loss */
extern const struct credit_rule credit_rules_scatter[];  /* scatter_reduce */
extern const struct credit_rule credit_rules_ctc[];      /* CTC */

#endif
