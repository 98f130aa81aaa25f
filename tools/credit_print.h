/* SPDX-License-Identifier: Apache-2.0 */
/* What credit assignment found, for people and as JSON. */
#ifndef BARO_TOOLS_CREDIT_PRINT_H
#define BARO_TOOLS_CREDIT_PRINT_H

#include "lib/analysis/credit.h"
#include "tools/probes.h"

/* What was asked, and where. */
struct credit_asked {
    struct cli *cli;
    const struct fetched_probe *now;
    const struct fetched_probe *before; /* NULL: none */
    enum credit_mode mode;
    struct credit_target target;
};

/** Print what is going to be explained: the first line, before any work. */
void credit_print_head(const struct credit_asked *asked);

/** Print a finding: where it came from, step by step, then units, samples and what is left. */
void credit_print_text(
    const struct credit_asked *asked, const struct credit_finding *finding);

/** Print it as one JSON object. */
void credit_print_json(
    const struct credit_asked *asked, const struct credit_finding *finding);

#endif
