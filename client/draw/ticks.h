/* SPDX-License-Identifier: Apache-2.0 */
/* Ticks of an axis in 1-2-5 steps, with their labels. */
#ifndef CLIENT_DRAW_TICKS_H
#define CLIENT_DRAW_TICKS_H

#include <stdbool.h>

#include "client/draw/format.h"
#include "lib/base/axis.h"

enum { TICKS_MAX = 10, TICKS_MINOR_MAX = 64 };

/* Ticks inside [lo, hi], rising. */
struct ticks {
    int n, n_minor;
    double at[TICKS_MAX];
    char label[TICKS_MAX][FORMAT_MAX];
    double minor[TICKS_MINOR_MAX]; /* faint lines without labels: log axes */
    char base[FORMAT_MAX];         /* not "": labels are differences to this value */
};

/**
 * Choose ticks: 3 to max_n of them (max_n 2 to 7) in 1-2-5 steps, decades on log axes.
 *
 * axis     lo < hi, both finite; log axes with lo > 0
 */
void ticks_choose(const struct axis *axis, int max_n, struct ticks *out);

#endif
