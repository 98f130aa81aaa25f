/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line on a terminal that tells how far a long command is, how fast, and how long it will
 * still take. Nothing where standard error is no terminal.
 */
#ifndef BARO_TOOLS_PROGRESS_H
#define BARO_TOOLS_PROGRESS_H

#include "tools/term.h"

struct progress {
    struct term term;
    const char *unit; /* of what is counted: "values" */
    uint64_t total;   /* about; 0: not known */
    uint64_t began_ns;
    uint64_t shown_ns;
    bool is_off;
    bool is_shown;
};

/** Begin. is_off: show nothing, for output that goes to the same terminal. */
void progress_begin(
    struct progress *progress, const char *unit, uint64_t total, bool is_off);

/** Tell what is done; drawn now and then. n_bytes: written so far, 0: not told. */
void progress_tell(struct progress *progress, uint64_t done, uint64_t n_bytes);

/** Take the line away. */
void progress_end(struct progress *progress);

#endif
