/* SPDX-License-Identifier: Apache-2.0 */
/* The rules by name, for rule_table.c and for tests of one rule. */
#ifndef BARO_RULE_TABLE_H
#define BARO_RULE_TABLE_H

#include "lib/analysis/rule.h"

extern const struct rule rule_nonfinite;
extern const struct rule rule_overflow;
extern const struct rule rule_grad_explosion;
extern const struct rule rule_loss_spike;
extern const struct rule rule_divergence;
extern const struct rule rule_plateau;
extern const struct rule rule_lr_jump;
extern const struct rule rule_loss_scale;
extern const struct rule rule_overfitting;
extern const struct rule rule_repeated_batch;
extern const struct rule rule_throughput;
extern const struct rule rule_ranks_differ; /* the two of judge_run.c */
extern const struct rule rule_straggler;
extern const struct rule rule_failed; /* the four of rule_end.c */
extern const struct rule rule_killed;
extern const struct rule rule_stalled;
extern const struct rule rule_silent;
extern const struct rule rule_input_data;
extern const struct rule rule_dead_units;
extern const struct rule rule_saturated;
extern const struct rule rule_symmetric_units;
extern const struct rule rule_frozen_weights;
extern const struct rule rule_update_size;
extern const struct rule rule_gradient_depth;
extern const struct rule rule_norm_drift;
extern const struct rule rule_second_moment;
extern const struct rule rule_eval_mode;
extern const struct rule rule_collapse;
extern const struct rule rule_flips;
extern const struct rule rule_noise;
extern const struct rule rule_runaway;
extern const struct rule rule_custom; /* runs the user's own rules */

#endif
