/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What two rules are made of: incidents of non-finite values, and a loss that jumps out of its own
 * recent history. Pure state machines: readings in, findings out, constant work per reading, no
 * clock. The same readings give the same findings, live and in replay.
 */
#ifndef BARO_DETECT_H
#define BARO_DETECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/analysis/robust.h"

struct nonfinite_detector;

enum {
    NONFINITE_CALM_STEPS = 32 /* an incident ends after so many steps without a reading */
};

/* What a finding adds to what is known of its incident; bits. */
enum nonfinite_news {
    NONFINITE_ORIGIN = 1, /* where it began */
    NONFINITE_LOSS = 2,   /* it has reached the loss */
    NONFINITE_WEIGHT = 4  /* it has reached a weight: the model itself is spoilt */
};

/* One reading of a scalar or of a whole tensor. */
struct nonfinite_reading {
    uint32_t thing;
    int64_t step;
    bool is_bad; /* it is or holds a non-finite value */
    bool is_loss;
    bool is_weight;
    bool is_backward; /* a gradient: computed from the loss, though it is told before it */
};

/* One thing worth telling. */
struct nonfinite_finding {
    enum nonfinite_news news;
    bool is_new_incident;
    uint32_t thing;
    bool began_in_loss; /* gradients and loss of one step, and nothing before them */
};

/** Make a detector for the readings of one process; ends the process when out of memory. */
struct nonfinite_detector *nonfinite_create(void);

/** Free a detector; accepts NULL. */
void nonfinite_destroy(struct nonfinite_detector *detector);

/**
 * Feed one reading, finite or not, in the order of the data flow but the loss behind gradients.
 *
 * returns  true when it is news: *out_finding is what is known of it now
 */
bool nonfinite_add(struct nonfinite_detector *detector,
    const struct nonfinite_reading *reading, struct nonfinite_finding *out_finding);

/**
 * Take a finding, as it is known when all readings of its step have been fed.
 *
 * returns  false when there is none
 */
bool nonfinite_take(
    struct nonfinite_detector *detector, struct nonfinite_finding *out_finding);

/* A loss that jumped. */
struct spike_finding {
    double value;
    double usual; /* what the readings before let one expect */
    double score; /* robust standard deviations above it */
};

/* What makes a spike; all must be exceeded. */
struct spike_limits {
    double
        robust; /* standard deviations of the surprises, by their MAD, above their median; 6 */
    double recent;   /* standard deviations of the exponential mean above it; 4 */
    double peak;     /* times the largest surprise of the past, which fades; 2 */
    double relative; /* of what was expected; 0.05 */
    double warm_up;  /* readings that are only learnt from; 32 */
};

/* The limits named above. */
extern const struct spike_limits spike_usual_limits;

/* The memory of one series; zeroed at first. To be embedded, not looked into. */
struct spike_detector {
    double ring[ROBUST_WINDOW]; /* the last surprises */
    double fast; /* what is expected: an exponential mean with a short memory */
    double mean; /* exponential, of clipped values */
    double var;
    double peak;        /* fading largest surprise */
    double sway;        /* exponential mean of the surprises' magnitude, clipped */
    double peak_sway;   /* at the time of the peak */
    uint32_t n;         /* readings; in the ring: at most its size */
    unsigned n_to_calm; /* calm readings wanted before the next finding; 0: none */
};

/**
 * Feed one reading; non-finite ones are ignored.
 *
 * returns  true when it is a spike
 */
bool spike_feed(struct spike_detector *detector, const struct spike_limits *limits,
    double value, struct spike_finding *out_finding);

#endif
