/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/rule_table.h"

#include "lib/base/mem.h"

/* All rules, in the order in which they speak. A new rule: a line here and one in rule_table.h. */
const struct rule *const rule_table[] = {
    &rule_nonfinite,
    &rule_overflow,
    &rule_grad_explosion,
    &rule_loss_spike,
    &rule_divergence,
    &rule_plateau,
    &rule_lr_jump,
    &rule_loss_scale,
    &rule_overfitting,
    &rule_repeated_batch,
    &rule_throughput,
    &rule_ranks_differ,
    &rule_straggler,
    &rule_failed,
    &rule_killed,
    &rule_stalled,
    &rule_silent,
    &rule_input_data,
    &rule_dead_units,
    &rule_saturated,
    &rule_symmetric_units,
    &rule_frozen_weights,
    &rule_update_size,
    &rule_gradient_depth,
    &rule_norm_drift,
    &rule_second_moment,
    &rule_eval_mode,
    &rule_collapse,
    &rule_flips,
    &rule_noise,
    &rule_runaway,
    &rule_custom,
};

const size_t rule_table_n = BARO_LEN(rule_table);
_Static_assert(BARO_LEN(rule_table) <= RULE_MAX, "a book has room for all");
