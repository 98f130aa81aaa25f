/* SPDX-License-Identifier: Apache-2.0 */
/* The rules by name, for rule_table.c and for tests of one rule. */
#ifndef BARO_RULE_TABLE_H
#define BARO_RULE_TABLE_H

#include "lib/analysis/rule.h"

extern const struct rule rule_nonfinite;
extern const struct rule rule_loss_spike;
extern const struct rule rule_custom; /* runs the user's own rules */

#endif
