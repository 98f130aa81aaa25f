/* SPDX-License-Identifier: Apache-2.0 */
/* The rule of what is not finite: its finder, rule_nonfinite.c, and its words. */
#ifndef BARO_RULE_NONFINITE_H
#define BARO_RULE_NONFINITE_H

#include "lib/analysis/rule.h"

/* Codes of facts that are told: one news and bits. */
enum rule_nonfinite_told {
    TOLD_NEWS = 7, /* enum nonfinite_news */
    TOLD_WHOLE = 8,
    TOLD_IN_LOSS = 16,
    TOLD_GOES_ON = 32,
    TOLD_CUT = 64
};

/** Put a fact into words, with advice, causes and evidence; as rule.tell. */
void rule_nonfinite_tell(struct rule_context *context, const struct rule_fact *fact,
    struct judge_finding *finding);

#endif
