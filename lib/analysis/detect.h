/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first two rules: non-finite values, and a loss that jumps out of its own recent history.
 * Pure state machines: readings in, findings out, constant work per reading, no clock. The same
 * readings give the same findings, live and in replay.
 */
#ifndef BARO_DETECT_H
#define BARO_DETECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/analysis/robust.h"

struct nonfinite_detector;

enum {
    NONFINITE_CALM_STEPS =
        32, /* an incident ends after so many steps without a reading of it */
    NONFINITE_MAX_SAMPLES = 4096 /* of a batch that are remembered */
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
    int64_t time_ns;
    uint64_t count; /* elements in all; of a scalar: 1 */
    uint64_t n_nan; /* of a scalar: 0 or 1 */
    uint64_t n_pos_inf;
    uint64_t n_neg_inf;
    int64_t unit; /* of the first non-finite element, or -1 */
    int64_t row;  /* its index along the batch axis, or -1 */
    bool is_loss;
    bool is_weight;
    bool is_backward; /* a gradient: computed from the loss, though it is told before it */
};

/* One thing worth telling. */
struct nonfinite_finding {
    enum nonfinite_news news;
    bool is_new_incident; /* the caller is to name it with nonfinite_name */
    uint64_t tag;         /* what the caller gave to nonfinite_tag; 0 before */
    struct nonfinite_reading reading;
    bool began_in_loss;     /* gradients and loss of one step, and nothing before them */
    bool has_batch;         /* the three below are known */
    const int64_t *samples; /* indices in the data set; until the next call */
    size_t n_samples;
    uint64_t batch_size;
};

/* What must survive a restart so that nothing is told twice. */
struct nonfinite_memory {
    uint64_t incident; /* number of the last incident; 0: none yet */
    int64_t last_step; /* newest step that belongs to it */
    uint32_t news;     /* enum nonfinite_news bits told already */
    uint32_t thing;    /* where it began */
};

/** Make a detector for the readings of one process; ends the process when out of memory. */
struct nonfinite_detector *nonfinite_create(void);

/** Free a detector; accepts NULL. */
void nonfinite_destroy(struct nonfinite_detector *detector);

/**
 * Feed one reading, finite or not, in order of arrival.
 *
 * returns  true when it is news: *out_finding is to be kept at once (without its batch) and comes
 *          again, complete, from nonfinite_take
 */
bool nonfinite_add(struct nonfinite_detector *detector,
    const struct nonfinite_reading *reading, struct nonfinite_finding *out_finding);

/** Give the current incident the number under which the caller keeps it. */
void nonfinite_name(struct nonfinite_detector *detector, uint64_t incident);

/** Tell the number of the current incident; 0: none yet. */
uint64_t nonfinite_incident(const struct nonfinite_detector *detector);

/** Mark the finding that nonfinite_add just gave, to know it again when it is complete. */
void nonfinite_tag(
    struct nonfinite_detector *detector, enum nonfinite_news news, uint64_t tag);

/** Say at which step the newest record is, whatever its kind. */
void nonfinite_see_step(struct nonfinite_detector *detector, int64_t step);

/**
 * Say which samples the batch of a step holds.
 *
 * samples  n_samples indices, copied; more than NONFINITE_MAX_SAMPLES are left out
 */
void nonfinite_batch(struct nonfinite_detector *detector, int64_t step,
    const int64_t *samples, size_t n_samples, uint64_t batch_size);

/** Tell whether findings wait for their batch. */
bool nonfinite_is_waiting(const struct nonfinite_detector *detector);

/**
 * Take a finding that is complete: its batch is known, or its step is over.
 *
 * is_final  true: do not wait for the batch any longer
 * returns   false when there is none
 */
bool nonfinite_take(struct nonfinite_detector *detector, bool is_final,
    struct nonfinite_finding *out_finding);

/** Give what must survive a restart. */
struct nonfinite_memory nonfinite_remember(const struct nonfinite_detector *detector);

/** Go on after a restart with what nonfinite_remember gave before. */
void nonfinite_resume(
    struct nonfinite_detector *detector, const struct nonfinite_memory *memory);

/* A loss that jumped. */
struct spike_finding {
    double value;
    double usual; /* median of the readings before */
    double score; /* robust standard deviations above it */
};

/* What makes a spike; all must be exceeded. */
struct spike_limits {
    double robust; /* standard deviations, by the MAD of the window, above its median; 6 */
    double recent; /* standard deviations of the exponential mean above it; 4 */
    double peak;   /* times the largest excess of the past, which fades; 2 */
    double relative; /* of the median's magnitude; 0.05 */
    double warm_up;  /* readings that are only learnt from; 32 */
};

extern const struct spike_limits spike_usual_limits;

/* The memory of one series; zeroed at first. To be embedded, not looked into. */
struct spike_detector {
    struct robust window;
    double mean; /* exponential, of clipped values */
    double var;
    double peak;        /* fading largest excess over the median */
    unsigned n_to_calm; /* calm readings wanted before the next finding; 0: none */
};

/** Feed one reading, with other limits than the usual ones. */
bool spike_feed(struct spike_detector *detector, const struct spike_limits *limits,
    double value, struct spike_finding *out_finding);

/** Make a detector for one series; ends the process when out of memory. */
struct spike_detector *spike_create(void);

/** Free a detector; accepts NULL. */
void spike_destroy(struct spike_detector *detector);

/**
 * Feed one reading; non-finite ones are ignored.
 *
 * returns  true when it is a spike
 */
bool spike_add(
    struct spike_detector *detector, double value, struct spike_finding *out_finding);

#endif
