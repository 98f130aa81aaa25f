/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the rules of many operations have in common: operands of both sides, the eps rule, secant
 * slopes, arguments, and which elements a reduction over some axes takes together.
 */
#ifndef BARO_CREDIT_PARTS_H
#define BARO_CREDIT_PARTS_H

#include <math.h>

#include "lib/analysis/credit_op.h"

/* An operand or result now and before. Where nothing is compared (value and gradient mode) before
 * is now: a secant slope between equal points is the derivative, so one rule serves both modes. */
struct credit_sides {
    const struct credit_array *array; /* NULL: the operation was not given it */
    const float *now;
    const float *before;
    int64_t n;
    float *to;         /* of an input: where what is known of it is added; may be NULL */
    const float *from; /* of an output: what is known of it; NULL: nothing came */
};

/**
 * Take input i on both sides.
 *
 * returns  0, also when it was not given (all fields NULL and 0); BARO_ENOENT when it was given but
 *          not kept; BARO_EUNSUPPORTED when its shapes differ
 */
int credit_input(const struct credit_io *io, uint32_t i, struct credit_sides *out_sides);

/** Take output i on both sides; likewise, but one that was not kept has now == NULL. */
int credit_output(const struct credit_io *io, uint32_t i, struct credit_sides *out_sides);

/** Whether anything at all came to the outputs. */
bool credit_has_work(const struct credit_io *io);

/** Take an argument that is a number, of a list its place-th; a list of one stands for all. */
double credit_attr(
    const struct credit_io *io, const char *name, int place, double otherwise);

/** Like credit_attr for whole numbers; absurd ones (over 2^31) are otherwise. */
int64_t credit_attr_int(
    const struct credit_io *io, const char *name, int place, int64_t otherwise);

/** Whether the operation has this name, with or without a trailing '_'. */
bool credit_is_named(const struct credit_io *io, const char *name);

/** Count the elements that a value had, whatever was kept of it. */
int64_t credit_full_count(const struct credit_array *array);

/**
 * Give the eps of the eps rule for an array: 1e-6 of the largest size of what is shared out (a mask
 * of -1e9 that nothing came to does not make all the others nothing).
 *
 * share    of each element; NULL: all count
 */
double credit_eps(const float *z, const float *share, int64_t n);

/**
 * Divide an output's share by the output, as the eps rule wants it: 1 / z where z is far from 0, and
 * 0 at 0, so that nothing is lost of what is not close to it, in however many operations.
 *
 * returns  share z / (z^2 + eps^2); 0 when that is no number
 */
static inline double credit_ratio(double share, double z, double eps)
{
    double ratio = share * z / (z * z + eps * eps);
    return isfinite(ratio) ? ratio : 0;
}

/**
 * Divide all shares of an output by it (see credit_ratio). What eps takes goes to CREDIT_OWN_ROUND,
 * all of a share that cannot be divided to CREDIT_OWN_UNKNOWN.
 *
 * out      n quotients; may be share
 */
void credit_divide(
    const struct credit_io *io, const float *z, const float *share, int64_t n, float *out);

/** Give the mean of both sides; *out_memory is what has to be freed, NULL when both are one. */
const float *credit_mean(const struct credit_sides *sides, float **out_memory);

/** Raise the largest elasticity seen. */
void credit_raise(const struct credit_io *io, double gain);

/** Say that an argument is where the operation is not defined or steep. */
void credit_mark_singular(const struct credit_io *io);

/** Logarithm of the logarithmic mean of e^a and e^b: of the secant slope of exp from a to b. */
double credit_log_secant_exp(double a, double b);

/** Secant slope of log(1 + e^x). */
double credit_secant_softplus(double a, double b);

/** Secant slope of the logistic function. */
double credit_secant_sigmoid(double a, double b);

/** Secant slope of tanh. */
double credit_secant_tanh(double a, double b);

/** Secant slope of |x|; 0 between 0 and 0. */
double credit_secant_abs(double a, double b);

/** Secant slope of x^p for x >= 0. */
double credit_secant_pow(double a, double b, double p);

/**
 * Share the change of a chosen element (the largest, a median) between the one that is chosen now,
 * i, and the one that was before, j. Of a largest one: that of max(x_i, x_j) = (x_i + x_j +
 * |x_i - x_j|) / 2 with the secant of its size; where another rank was chosen and this does not do
 * the smallest multipliers that add up.
 *
 * x_i, x_j those two elements, [0] before and [1] now
 * out      multipliers of i and of j: their contributions add up to x_i[1] - x_j[0], unless neither
 *          of the two changed
 */
void credit_choice(const double x_i[2], const double x_j[2], double out[2]);

/* Which elements of an array a reduction takes together: offsets[r] + bases[g] for its g-th group.
 * Groups are in the order of the outputs. */
struct credit_groups {
    int64_t n_groups;
    int64_t n_each;
    int64_t *bases;
    int64_t *offsets;
    double n_full;   /* elements of a group as it was, when all samples were there */
    bool is_partial; /* some of them were not kept */
};

/**
 * Find the groups of a reduction.
 *
 * is_reduced   for each axis
 * returns      0; BARO_EUNSUPPORTED for an empty array
 */
int credit_groups_init(struct credit_groups *groups, const struct credit_array *array,
    const bool is_reduced[BARO_MAX_DIMS]);

/** Free what credit_groups_init() made. */
void credit_groups_finish(struct credit_groups *groups);

/** Read which axes an operation reduces, from its argument of that name; none given: all. */
int credit_reduced_axes(const struct credit_io *io, const char *name,
    const struct credit_array *array, bool out_is_reduced[BARO_MAX_DIMS]);

#endif
