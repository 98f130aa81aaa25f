/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An oracle: a daemon without sockets, whose one run is a formula. It answers a keeper's
 * questions by brute force over all steps, so that tests know what the model has to be.
 */
#ifndef TESTS_VIEW_ORACLE_H
#define TESTS_VIEW_ORACLE_H

#include "client/model/keeper.h"

enum { ORACLE_UNITS = 16, ORACLE_N_THINGS = 8, ORACLE_BAD_UNIT = 3 };

/* The two runs. Things of the second have ids that are greater by ORACLE_SECOND_BY, and its scalars
 * and tensors hold ORACLE_SECOND_MORE more. It is never bad. */
enum { ORACLE_RUN = 7, ORACLE_SECOND = 8, ORACLE_SECOND_BY = 100 };
#define ORACLE_SECOND_MORE 0.25

/* Steps begin at 2023-11-14 22:13:20 UTC and take ORACLE_STEP_S each; with has_restart an hour
 * passes before step ORACLE_RESTART. */
#define ORACLE_BEGAN  1700000000.0
#define ORACLE_STEP_S 0.5
enum { ORACLE_RESTART = 200 };

/* Things of the run, by id. */
enum oracle_thing {
    ORACLE_LOSS = 1,
    ORACLE_LR,
    ORACLE_GRAD_NORM,
    ORACLE_WEIGHT, /* encoder.fc1.weight, every 4th step */
    ORACLE_GRAD,   /* likewise */
    ORACLE_ACT,    /* encoder.fc1 */
    ORACLE_OUT,    /* decoder.out: unit 3 is NaN from bad_step on */
    ORACLE_BIAS,   /* decoder.bias: a tensor without units */
};

struct oracle {
    int64_t n_steps;  /* committed: steps 0 .. n_steps - 1 */
    int64_t bad_step; /* INT64_MAX: never */
    bool has_no_run, has_no_tensors;
    bool has_second;   /* there are two runs */
    bool has_restart;  /* see ORACLE_RESTART */
    bool is_of_second; /* the question at hand is about the second */
    uint64_t n_subscribed[2], n_unsubscribed[2]; /* questions about each run */
    Baro__RunStatus status;
    uint64_t n_asked;  /* questions answered */
    uint64_t n_coarse; /* told of every series */
    uint64_t n_ranges; /* of them: ranges */
    size_t n_refs;     /* series in the last range */
    uint64_t request;
    bool has_probe;      /* a regular probe at step 2, and a failure one at bad_step */
    uint64_t n_rows;     /* rows asked for, probes and batches */
    const char *lr_name; /* NULL: "lr" */
    double spacing;      /* told of every tensor, four times of its units; 0: not told */
    /* samples */
    uint32_t every;       /* of the units each so many is shown; 0: each */
    double fraction;      /* told of a first finding before the one that is done; 0: none */
    bool refuses_samples; /* says that it cannot */
    uint64_t n_samples;   /* sample questions */
    uint64_t n_cancels;   /* ended */
    uint64_t sample_request; /* number of the last sample question */
    struct oracle_asked {    /* what the last one asked for */
        uint32_t thing, stat, columns, height, axis, n_keep, n_always;
        bool has_limits, is_live;
        double lo, hi;
        int64_t from_step, to_step;
    } asked;
};

/** Value of a series at a step; INT: unit -1 for whole tensors and scalars. */
double oracle_value(const struct oracle *oracle, uint32_t thing, int kind, int stat,
    int unit, int64_t step);

/** The bytes of a probe of the oracle's network; the caller frees. oracle_probe.c */
void *oracle_probe(enum probe_reason reason, int64_t step, size_t *out_n);

/** Whether a thing has a reading at a step. */
bool oracle_has(uint32_t thing, int64_t step);

/** Connect a keeper: it is ready and asks everything anew. */
void oracle_connect(struct keeper *keeper);

/** Answer what the keeper asks until it asks no more. */
void oracle_answer(struct oracle *oracle, struct keeper *keeper);

/** Send a finding of the last sample question: steps so far; done or still refining. */
void oracle_find(struct oracle *oracle, struct keeper *keeper, bool is_done);

/** Wall time at the end of a step, seconds since 1970. */
double oracle_time(const struct oracle *oracle, int64_t step);

/** Send the readings of one step as live records; they are not committed by it. */
void oracle_live(struct oracle *oracle, struct keeper *keeper, int64_t step);

/** The same of one of the two runs. */
void oracle_live_of(
    struct oracle *oracle, struct keeper *keeper, uint32_t run, int64_t step);

/** Send an alert as the daemon does. */
void oracle_alert(struct oracle *oracle, struct keeper *keeper, uint64_t id, int64_t step);

#endif
