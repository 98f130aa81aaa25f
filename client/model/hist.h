/* SPDX-License-Identifier: Apache-2.0 */
/* Histograms of one tensor over steps: rows from the daemon, live rows appended. */
#ifndef CLIENT_MODEL_HIST_H
#define CLIENT_MODEL_HIST_H

#include "client/model/model.h"
#include "lib/analysis/powers.h"

enum { HIST_MAX_ROWS = 512 };

struct hist_row;

/* Zero is empty. When rows become more than HIST_MAX_ROWS, only each second one stays. */
struct hist {
    size_t n;
    int64_t every;         /* > 1: of each so many steps only the last row is kept */
    struct hist_row *rows; /* rising steps */
};

/** Tell of how many steps, a power of two, only the last row is asked for in a range. */
int64_t hist_every(int64_t from_step, int64_t to_step);

/** Free what it holds and make it empty. */
void hist_finish(struct hist *hist);

/** Add the histogram of one summary reading; earlier steps than the last are put in order. */
void hist_add(struct hist *hist, const struct reading *summary);

/** Make the part that views read. */
struct model_hist *hist_publish(const struct hist *hist, uint32_t thing);

#endif
