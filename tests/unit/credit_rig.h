/* SPDX-License-Identifier: Apache-2.0 */
/* Probes made by hand, for tests of credit assignment. */
#ifndef BARO_CREDIT_RIG_H
#define BARO_CREDIT_RIG_H

#include "lib/analysis/credit.h"
#include "lib/base/probe_build.h"

/* A probe that is being built, then one. */
struct rig {
    struct probe_build *build;
    void *bytes;
    struct probe *probe;
};

/* A value, in words that are short where they can be. */
struct rig_value {
    enum probe_value_kind kind;
    const char *name;
    int64_t shape[BARO_MAX_DIMS];
    int n_dims;
    int batch_axis; /* 1 is axis 0: so that 0 is none */
    int unit_axis;  /* likewise */
    enum probe_kept kept;
    const float *x;          /* all elements */
    const int64_t *integers; /* instead */
};

enum { RIG_MOST = 8 };

/* An operation; values 0-based, ends at -2. */
struct rig_op {
    const char *name;
    const char *module;
    const char *attrs;
    int32_t in[RIG_MOST];
    int n_in;
    int32_t out[RIG_MOST];
    int n_out;
};

/** Begin a probe of a batch, of which the first n_rows samples, or those in rows, are kept. */
void rig_begin(struct rig *rig, int64_t n_batch, uint32_t n_rows, const int64_t *rows);

/** Add a value; gives its number. */
int32_t rig_value(struct rig *rig, struct rig_value value);

/** Add an operation. */
int32_t rig_op(struct rig *rig, struct rig_op op);

/** End the probe; loss PROBE_NONE: none. */
const struct probe *rig_end(struct rig *rig, int32_t loss);

/** Free everything. */
void rig_free(struct rig *rig);

/** Do all the work and look. */
const struct credit_finding *rig_explain(struct credit **out_credit, enum credit_mode mode,
    const struct probe *now, const struct probe *before, struct credit_target target);

/** Sum of the shares of all edges into a value. */
double rig_share_of(const struct credit_finding *finding, int32_t value);

/** An own share, of all operations together. */
double rig_own(const struct credit_finding *finding, enum credit_own own);

/** The node of an operation; fails when there is none. */
const struct credit_node *rig_node(const struct credit_finding *finding, int32_t op);

/** The share of a unit or a sample of a value; 0 when it is not there. */
double rig_source(
    const struct credit_finding *finding, int32_t value, int64_t unit, int64_t row);

/** Fail unless a number is near another: relative to `scale`. */
void rig_near(double is, double wanted, double scale, double tolerance);

#endif
