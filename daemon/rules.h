/* SPDX-License-Identifier: Apache-2.0 */
/* Feeds the rules of lib/analysis with readings and makes alerts of what they find. */
#ifndef BAROD_RULES_H
#define BAROD_RULES_H

#include "daemon/barod.h"
#include "lib/base/reading.h"

/** Tell whether a scalar or summary is or holds a non-finite value. */
bool rules_is_nonfinite(const struct reading *reading);

/** Feed one new reading; alerts go into the open bundle, beside their cause. */
void rules_on_reading(struct barod *barod, struct stream *stream, struct thing *thing,
    const struct reading *reading);

/** Tell findings that have waited long enough for their batch; once a second. */
void rules_tick(struct barod *barod);

#endif
