/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One operation and its rule, without a probe around it: compared with a plain way to compute the
 * operation in f64, by finite differences.
 */
#ifndef BARO_CREDIT_RULE_RIG_H
#define BARO_CREDIT_RULE_RIG_H

#include "lib/analysis/credit_op.h"

enum { RULE_RIG_MOST = 12, RULE_RIG_DIMS = 5 };

/* An operand or result. */
struct rule_rig_array {
    int n_dims;
    int64_t shape[RULE_RIG_DIMS];
    double low, high;  /* operands are drawn from here */
    bool is_whole;     /* whole numbers, which have no slopes */
    bool is_frozen;    /* the same in both steps, no slopes are looked at */
    bool is_statistic; /* a result that nothing came to */
};

/* An operation; `run` computes it. */
struct rule_rig {
    const char *name;
    const char *attrs;
    const struct credit_rule *rules;
    int n_in;
    int n_out;
    struct rule_rig_array in[RULE_RIG_MOST];
    struct rule_rig_array out[3];
    void (*run)(const struct rule_rig *rig, double *const *in, double *const *out);
    bool is_lossy; /* value mode leaves something over by its definition */
};

/** Count the elements of an array. */
int64_t rule_rig_count(const struct rule_rig_array *array);

/**
 * Check all modes at random points: gradient and forward against finite differences, change against
 * what changed, value against what came.
 */
void rule_rig_check(const struct rule_rig *rig);

/* Arrays of one call, by hand; the rule's results are in `of_in`. */
struct rule_rig_call {
    const float *in[RULE_RIG_MOST];
    const float *in0[RULE_RIG_MOST];
    const float *out[3];
    const float *out0[3];
    const float *of_out[3];
    float *of_in[RULE_RIG_MOST];        /* zeroed here */
    const int64_t *full[RULE_RIG_MOST]; /* shape as it was, of operands; NULL: as given */
    double own[CREDIT_OWN_COUNT];
    bool is_singular;
    double gap;
};

/** Call a rule in a mode; gives what it returned. */
int rule_rig_run(
    const struct rule_rig *rig, enum credit_mode mode, struct rule_rig_call *call);

#endif
