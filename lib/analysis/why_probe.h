/* SPDX-License-Identifier: Apache-2.0 */
/* What of a failure probe the files of the investigation share; for no one else. */
#ifndef BARO_WHY_PROBE_H
#define BARO_WHY_PROBE_H

#include "lib/analysis/why_inside.h"

/* Which number of an operand is the one that breaks the operation. */
enum why_extreme { WHY_LARGEST, WHY_SMALLEST, WHY_NEAREST_ZERO, WHY_LARGEST_SIZE };

/* ---- operations: why_operand.c ---- */

/** Say what an operation does that can break; of "exp_backward" what exp does. */
enum why_op why_family_of(const char *name);

/** Write an operation as people do: "_softmax" is softmax, "add_" is add. Returns out. */
char *why_plain_name(const char *name, char out[WHY_NAME_BYTES]);

/** Say which number of its operand breaks it. */
enum why_extreme why_extreme_of(enum why_op op);

/** Tell whether a number is further out than another one; whatever is, than NaN. */
bool why_is_further(enum why_extreme extreme, double x, double than);

/** Give the extreme by the statistics of all elements; NaN when these do not tell. */
double why_extreme_of_stats(const struct probe_value *value, enum why_extreme extreme);

/** Give the largest size among all elements. */
double why_size_of(const struct probe_value *value);

/** Tell whether an operation is defined for some numbers only, whatever the type of element. */
bool why_has_domain(const char *name);

/** Give the number beyond which an operation breaks, on the side of its operand; NaN: none. */
double why_limit_of(const struct probe_op *op, const struct probe_value *result,
    double operand, bool is_gradient);

/**
 * Find the operation that is to be explained and its operand. A backward operation that was given
 * what is not finite already (0 times the infinite result of exp) stands for the one that made that.
 *
 * returns  the operand; PROBE_NONE when it is not known
 */
int32_t why_operand_and_op(
    const struct probe *probe, const struct probe_op **out_op, int32_t *out_result);

/* ---- single elements: why_rows.c ---- */

/** Give the extreme among the kept elements that lie in the bad units and rows; NaN: none. */
double why_extreme_where_bad(const struct probe *probe, const struct probe_value *value,
    const struct probe_origin *bad, enum why_extreme extreme);

/** Find out how the bad samples' inputs differ from those of the others. */
void why_look_at_inputs(struct why_work *work);

#endif
