/* SPDX-License-Identifier: Apache-2.0 */
/* Where two series of a model part. */
#ifndef CLIENT_MODEL_PARTING_H
#define CLIENT_MODEL_PARTING_H

#include "client/model/model.h"
#include "lib/analysis/compare.h"

/** Find the step from which on two series differ by more than their own noise; both are ready. */
void model_series_part(const struct model_series *a, const struct model_series *b,
    struct compare_parting *out);

/** Tell how much the last readings of a pair differ: of norms in octaves, of scalars as a share. */
double model_compared_weight(const struct model_compared *pair);

#endif
