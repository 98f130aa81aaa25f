/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credit assignment over a probe: which units, samples, weights and operations made a value, a
 * gradient, or the change of a value between two steps. Pure: probes in, findings out; progressive:
 * operations outward from the target, one bounded slice at a time, each finding valid as it is.
 *
 * Source: relevance propagation in the manner of DGMTracker (Liu et al., VAST 2017), with the
 * epsilon rule of LRP (Bach et al. 2015), the rescale rule of DeepLIFT (Shrikumar et al. 2017) with
 * an earlier step as reference, and the softmax and product rules of AttnLRP (2402.05602).
 * docs/ANALYSES.md has the rule of each operation.
 */
#ifndef BARO_CREDIT_H
#define BARO_CREDIT_H

#include "lib/base/err.h"
#include "lib/base/probe.h"

enum credit_mode {
    CREDIT_VALUE =
        1, /* where a value came from: shares flow from the target to its inputs */
    CREDIT_GRADIENT, /* where a gradient came from: shares flow from the target to the loss */
    CREDIT_CHANGE,   /* what changed a value between a step before and now */
    CREDIT_MODE_END
};

/*
 * What the modes explain. Shares are parts of the total; those of all edges into inputs and of all
 * owns together are 1.
 *  value     total = the sum of the target's elements; an element's share is element / total at
 *            first and then goes the way of the rules, from outputs to inputs. When the sum is less
 *            than a thousandth of the sum of absolute values, |element| / sum of |elements|.
 *  gradient  g = d loss / d target over the chosen elements; total = g when it is one element, else
 *            its norm. With the direction s = g / norm (1 for one element), and t_v = the derivative
 *            of a later element v along s, t_v * d loss / d v / total is the share of v: on any
 *            cut between target and loss they sum to 1 (chain rule). Samples that were not kept
 *            are not in it: error_bound says how much of the batch they are.
 *  change    total = the sum of (now - before); an element's share is multiplier * (now - before) /
 *            total. When that sum is less than a thousandth of the sum of absolute changes, the
 *            absolute changes are explained (seeds are signs).
 * Elements that are non-finite: value mode explains these alone and evenly (total is their number)
 * when the target has any; the other modes leave them out. n_bad tells.
 */

/* What is to be explained. */
struct credit_target {
    int32_t value; /* of the probe */
    int64_t unit;  /* along the value's unit axis; -1: all of them */
    int64_t row;   /* of the batch, one that was kept; -1: all that were kept */
};

/* Shares that end at an operation itself instead of flowing on: seen, not hidden. */
enum credit_own {
    CREDIT_OWN_BIAS = 0, /* a bias, an added constant */
    CREDIT_OWN_SHIFT,    /* of a normalisation: beta - gamma * mean / sd */
    CREDIT_OWN_SCALE,    /* of a normalisation */
    CREDIT_OWN_NOISE,    /* drawn at random: sampling, dropout */
    CREDIT_OWN_WEIGHT,   /* change mode: what the optimiser did here */
    CREDIT_OWN_REST,     /* from samples or values that were not kept */
    CREDIT_OWN_UNKNOWN, /* an operation without a rule: stopped here, or passed on evenly */
    CREDIT_OWN_ROUND,   /* lost by the epsilon rule */
    CREDIT_OWN_COUNT
};

/* What came to one operation, as an edge of the credit graph: shares are of the target's whole. */
struct credit_edge {
    int32_t from; /* operation that is explained; PROBE_NONE: the target itself */
    int32_t to; /* operation that the share flows to; PROBE_NONE: value came from outside */
    int32_t value; /* between them */
    double share;  /* signed sum over its elements */
    double size;   /* sum of their absolute values */
};

/* What is known of one operation that credit came to. */
struct credit_node {
    int32_t op;
    double share; /* that came to it, signed */
    double size;
    double own[CREDIT_OWN_COUNT]; /* that ended there */
    double gain;     /* largest elasticity |x f'(x) / f(x)| along the way; 1 where linear */
    bool is_unknown; /* it has no rule: see CREDIT_OWN_UNKNOWN */
    bool
        is_singular; /* an argument is within 1e-6 of where it is not defined, or an exp over 60 */
};

/* One unit, or one sample, of a value, and what it contributed. */
struct credit_source {
    int32_t value;
    int64_t unit; /* -1: not of a unit */
    int64_t row;  /* place in the batch; -1: not of a sample */
    double share;
    double number; /* its value (mean over what it stands for) */
    double before; /* change mode: its value before; else NaN */
};

/* As far as it is; valid until the next call on the same credit. */
struct credit_finding {
    bool is_done;
    double fraction; /* of the operations on the way that are explained */
    double
        total; /* what the target is: the sum of its elements, its gradient, or the change */
    double explained;   /* share of it that edges and owns account for; 1 up to rounding */
    double error_bound; /* of that share, from what is not yet expanded or was not kept */
    int64_t n_elements; /* of the target that are explained */
    int64_t n_bad;      /* of the target that are non-finite */
    size_t n_nodes;     /* by falling size */
    const struct credit_node *nodes;
    size_t n_edges; /* likewise */
    const struct credit_edge *edges;
    size_t
        n_units; /* strongest units of every value on the way, by falling |share|, at most 256 */
    const struct credit_source *units;
    size_t
        n_samples; /* strongest samples, likewise; with the target's own value: of the target
                      or, where it has no samples, of all that it was made from or goes into */
    const struct credit_source *samples;
};

struct credit;

/**
 * Begin to explain.
 *
 * now, before  borrowed until credit_free(); before only for CREDIT_CHANGE: a probe with the same
 *          operations up to the target (extra ones elsewhere do not matter)
 * returns  0; BARO_EINVAL for a target that is not there, with what is; BARO_ENOENT when the
 *          target or all that leads to it was not kept; BARO_EUNSUPPORTED when graphs differ
 */
int credit_begin(struct credit **out_credit, enum credit_mode mode, const struct probe *now,
    const struct probe *before, const struct credit_target *target, struct baro_err *err);

/** Free it; accepts NULL. */
void credit_free(struct credit *credit);

/**
 * Do a slice of work: operations until about n_elements elements were touched (at least one).
 *
 * returns  whether there is more to do
 */
bool credit_work(struct credit *credit, int64_t n_elements);

/** Look at what is known by now. */
const struct credit_finding *credit_look(struct credit *credit);

/**
 * Find a target by words, as users give it: "decoder.logvar" (the last value that a module gives),
 * "decoder.logvar[12]" (a unit of it), "fc1.weight", "loss", "#123" (value 123).
 *
 * returns  0; BARO_ENOENT with a sentence that names what comes near
 */
int credit_find_target(const struct probe *probe, const char *words,
    struct credit_target *out_target, struct baro_err *err);

/**
 * Say why there is nothing to share out: what is explained is exactly 0, or no finite number.
 *
 * returns  a sentence; "" when there are shares, or more is to come
 */
const char *credit_nothing(enum credit_mode mode, const struct credit_finding *finding);

/** Name an own share ("bias", "shift", "scale", "noise", "weight", ...); "?" otherwise. */
const char *credit_own_name(enum credit_own own);

#endif
