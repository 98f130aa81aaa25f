/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of what clients say about runs, scalars and tensors, before it is believed. */
#ifndef BAROD_DECLARE_H
#define BAROD_DECLARE_H

#include "lib/base/baro_types.h"
#include "proto/barograph.pb-c.h"

/** Check a declaration from the wire: 0, BARO_ECORRUPT or BARO_ELIMIT. */
int declare_check(const Baro__Declare *declare, struct baro_err *err);

/** Check the description of a run from the wire: 0, BARO_ECORRUPT or BARO_ELIMIT. */
int declare_check_run(const Baro__RunDescription *description, struct baro_err *err);

#endif
