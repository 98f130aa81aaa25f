/* SPDX-License-Identifier: Apache-2.0 */
/* What baro sample prints: the chosen units, why, how good the choice is, and what changes. */
#ifndef BARO_SAMPLE_PRINT_H
#define BARO_SAMPLE_PRINT_H

#include "lib/link/finding.h"
#include "tools/cli.h"

enum {
    SAMPLE_TIMEOUT_MS = 60000,
    SAMPLE_CHART_WIDTH = 800, /* of the chart that lines are chosen for, px */
    SAMPLE_CHART_HEIGHT = 400
};

/* What is asked of the daemon, and its last word. */
struct sample_question {
    struct cli *cli;
    Baro__SampleRequest body;
    int64_t number;      /* of the request under way; 0: none */
    unsigned n_connects; /* of the link when it was asked */
    struct link_message message;
    struct finding finding; /* in message; head NULL: none yet */
};

/** Print the last finding, as people or programs read it; CLI_OK or CLI_FAILED, which it told. */
int sample_print_all(const struct sample_question *question);

/** Give the reason for which each unit of a finding is shown, n_lines of them; to be freed. */
uint8_t *sample_reasons_of(const struct finding *finding);

/** Print in a line which units came and went; nothing when none did. */
void sample_print_change(
    const struct sample_question *question, const uint8_t *before, const uint8_t *now);

/** Print in a line that a tensor goes on with another shape. */
void sample_print_epoch(
    const struct sample_question *question, const Baro__ThingInfo *thing);

#endif
