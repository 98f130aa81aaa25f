/* SPDX-License-Identifier: Apache-2.0 */
/* The raw frames of a SampleFinding, checked: what baro, the viewer and tests read of it. */
#ifndef BARO_LINK_FINDING_H
#define BARO_LINK_FINDING_H

#include "lib/link/link.h"

/* Which frame is what. */
enum finding_frame {
    FINDING_SHOWN = 0,
    FINDING_REASONS,
    FINDING_MEMBERS,
    FINDING_NEAREST,
    FINDING_COLUMNS,
    FINDING_DENSITY,
    FINDING_FRAME_COUNT
};

/* What a finding says; all borrowed from its message. */
struct finding {
    const Baro__SampleFinding *head;
    const uint32_t *shown;   /* head->n_shown: numbers of units, below head->n_lines */
    const uint8_t *reasons;  /* head->n_shown: enum sample_reason */
    const uint32_t *members; /* head->n_shown, or NULL */
    const uint16_t *nearest; /* head->n_lines: below n_shown, or LINK_NOBODY; or NULL */
    const struct wire_column *columns; /* n_shown x n_columns, line by line; or NULL */
    const uint8_t
        *density; /* density_width x density_height, by columns; NULL: as before */
};

enum { LINK_NOBODY = 65535 }; /* finding.nearest of a unit that no shown one stands for */

/**
 * Read a message as a finding.
 *
 * returns  0; BARO_EINVAL when it is another message; BARO_ECORRUPT when its frames do not fit
 */
int link_finding(
    const struct link_message *message, struct finding *out, struct baro_err *err);

#endif
