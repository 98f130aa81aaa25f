/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rule over the ranks of one run: numbers that must be the same on all of them are not. Pure:
 * readings in, findings out, constant work per reading, no clock.
 */
#ifndef BARO_DETECT_RANKS_H
#define BARO_DETECT_RANKS_H

#include <stdbool.h>
#include <stdint.h>

struct ranks_detector;

enum {
    RANKS_MAX_NAMES = 4096, /* more are not compared */
    RANKS_STEPS = 64,       /* readings of one name that wait for other ranks */
    RANKS_CALM = 64         /* readings in a row that agree, before the next finding */
};

/* What a name begins with whose readings must agree. */
#define RANKS_PREFIX "replicated/"

/* Two ranks that differ. */
struct ranks_finding {
    int64_t step;
    uint32_t rank_a; /* the one that spoke first */
    uint32_t rank_b;
    double value_a;
    double value_b;
};

/** Make a detector for one run; ends the process when out of memory. */
struct ranks_detector *ranks_create(void);

/** Free a detector; accepts NULL. */
void ranks_destroy(struct ranks_detector *detector);

/**
 * Feed one reading; ranks may come in any order, and one may be ahead by RANKS_STEPS readings.
 *
 * returns  true when it differs from another rank's at the same step, and that is news
 */
bool ranks_add(struct ranks_detector *detector, const char *name, uint32_t rank,
    int64_t step, double value, struct ranks_finding *out_finding);

#endif
