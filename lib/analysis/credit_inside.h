/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of credit assignment share: its state, arrays as rules see them, and notes. */
#ifndef BARO_CREDIT_INSIDE_H
#define BARO_CREDIT_INSIDE_H

#include "lib/analysis/credit_op.h"

enum {
    CREDIT_TOP = 256,      /* units, and samples, that a finding holds */
    CREDIT_TOP_VALUE = 16, /* of one value */
    CREDIT_RULE_SLOTS = 512
};

/* What is known of a value, as bits. */
enum {
    CREDIT_IS_FIXED = 1,       /* made from parameters, buffers and constants alone */
    CREDIT_FROM_PARAMETER = 2, /* one of them is a parameter */
    CREDIT_IS_BETWEEN = 4,     /* gradient mode: on the way from the target to the loss */
    CREDIT_IS_ONCE = 8 /* likewise, and one operand only: its gradient is from there */
};

/* A probe and how many of its rows count. */
struct credit_view {
    const struct probe *probe;
    int64_t n_rows; /* 0: no rows were kept, values count as they are */
};

/* The two sums of contributions, as shares. */
struct credit_flow {
    double share;
    double size;
};

/* Sums of one value's contributions; NULL: it has no such axis, or none came. */
struct credit_sums {
    double *unit;
    double *row;
};

/* The strongest so far: a heap whose weakest is first. */
struct credit_top {
    size_t n;
    struct credit_source items[CREDIT_TOP];
};

/* One operation's arrays, with what has to be freed after it. */
struct credit_desk {
    uint32_t room_in, room_out;
    struct credit_array *in, *out, *in0, *out0;
    float **of_in;
    const float **of_out;
    const float **tangent_in;
    float **tangent_out;
    float **owned;
    size_t n_owned, room_owned;
    struct credit_io io;
    double own[CREDIT_OWN_COUNT];
    double gain;
    bool singular;
    double gap;  /* see credit_io */
    bool is_bad; /* something non-finite became 0 */
};

struct credit {
    enum credit_mode mode;
    struct credit_view now, before;
    struct credit_target target;
    double total;
    int64_t n_elements, n_bad;   /* of the target */
    int64_t target_row;          /* among the kept ones; -1: all */
    int32_t *before_of;          /* value of now -> value of before */
    uint8_t *value_bits;         /* of each value */
    uint32_t *n_left;            /* operands on the way that a value still has */
    bool *on_way;                /* of each operation */
    int32_t *node_of;            /* of each operation; PROBE_NONE */
    float **of;                  /* of each value: share, gradient or multiplier */
    float **tangent;             /* gradient mode, second way */
    struct credit_flow *flow_of; /* of each value: all that came to it */
    struct credit_sums *sums;
    double *cross_rows; /* what goes from values without samples into such with */
    bool target_has_rows;
    bool is_crossed; /* into values of which not all samples were kept */
    double scale;    /* from what arrays hold to shares */
    int32_t cursor;
    bool is_forward; /* gradient mode: the second way */
    bool is_cut_off; /* gradient mode: of some of it nothing came back */
    bool is_done;
    uint64_t n_way, n_passed;
    double pending;    /* size that is not expanded */
    double gap;        /* gradient mode: of what samples that were not kept may add */
    double leaf_share; /* that has arrived outside */
    double own_share[CREDIT_OWN_COUNT];
    double own_size[CREDIT_OWN_COUNT];
    struct credit_desk desk;
    const char *slot_name[CREDIT_RULE_SLOTS];
    const struct credit_rule *slot_rule[CREDIT_RULE_SLOTS];
    size_t n_nodes, room_nodes, n_edges, room_edges;
    struct credit_node *nodes;
    struct credit_edge *edges;
    struct credit_top units, samples;
    struct credit_node *sorted_nodes;
    struct credit_edge *sorted_edges;
    struct credit_source *sorted_sources, *sorted_samples;
    struct credit_finding finding;
};

/* credit_load.c: values as arrays. */

/** Tell whether an array of a value has the probe's rows along its batch axis. */
bool credit_has_rows(const struct credit_view *view, const struct probe_value *value);

/** Fill in the shape, kept or not: x is NULL. */
void credit_array_shape(const struct credit_view *view, const struct probe_value *value,
    struct credit_array *out);

/**
 * Load a value, if need be through operations that only move elements.
 *
 * out_owned  to be freed after use; NULL: the array borrows from the probe
 * returns    whether its elements are there
 */
bool credit_array_load(const struct credit_view *view, int32_t value,
    struct credit_array *out, float **out_owned);

/** Find the exchanged matrix of a value when that costs nothing; NULL otherwise. */
const float *credit_array_transposed(const struct credit_view *view, int32_t value);

/* credit_match.c: two probes. */

/**
 * Find for each value that the target was made from its like of the probe before.
 *
 * returns  0; BARO_EUNSUPPORTED naming the first difference; BARO_ENOENT
 */
int credit_match(struct credit *credit, struct baro_err *err);

/* credit_desk.c: one operation's arrays. */

/** Find an operation's rule; NULL: there is none. */
const struct credit_rule *credit_rule_of(struct credit *credit, const struct probe_op *op);

/** Load all operands of an operation; of_in and tangents are still NULL. */
void credit_desk_set(struct credit *credit, int32_t op, const struct credit_rule *rule);

/** Give zeroed memory for an input's of_in or an output's tangent, the desk's until taken. */
float *credit_desk_zeros(struct credit_desk *desk, int64_t n);

/** Take memory from the desk. */
void credit_desk_take(struct credit_desk *desk, const float *memory);

/** Free what the operation needed. */
void credit_desk_clear(struct credit_desk *desk);

/** Free the desk. */
void credit_desk_finish(struct credit_desk *desk);

/** Make what is not finite 0; tells whether there was any. */
bool credit_clean(float *x, int64_t n);

/* credit_note.c: what was found. */

/** Give the node of an operation; new ones are empty. Valid until the next one is made. */
struct credit_node *credit_node_at(struct credit *credit, int32_t op);

/** Sum contributions up, times scale. */
struct credit_flow credit_sum(const float *x, int64_t n, double scale);

/** Note an edge; one that is there grows. */
void credit_note_edge(struct credit *credit, size_t first_edge, int32_t from, int32_t to,
    int32_t value, struct credit_flow flow);

/** Add contributions to the units and samples of a value. */
void credit_note_parts(
    struct credit *credit, int32_t at, const struct credit_array *array, const float *x);

/** Add contributions to samples of the target as a whole. */
void credit_note_crossing(
    struct credit *credit, const struct credit_array *array, const float *x);

/** Rank the units and samples of a value: nothing more comes. */
void credit_note_ready(struct credit *credit, int32_t at);

/** Rank the samples of the target as a whole: nothing more comes. */
void credit_note_end(struct credit *credit);

/** Add an operation's owns to it and to the whole. */
void credit_note_own(struct credit *credit, int32_t op, const double *own, double scale);

/* credit_seed.c: the target. */

/** Load the target and put in what is to be explained: value and change mode; begin()'s errors. */
int credit_seed(struct credit *credit, struct baro_err *err);

/**
 * Mark which elements of an array are the target's.
 *
 * out_mask  array->n flags
 * returns   how many
 */
int64_t credit_mask(
    const struct credit *credit, const struct credit_array *array, bool *out_mask);

/** Name a value for a person: its name, or the operation that gives it. */
const char *credit_value_text(
    const struct probe *probe, int32_t at, char *out, size_t out_bytes);

/* credit_flow.c: value and change mode. */

/** Explain one operation that credit came to; returns the elements touched. */
int64_t credit_explain(struct credit *credit, int32_t op);

/** An operand of an operation is done with: ranks the value after the last. */
void credit_pass_inputs(struct credit *credit, int32_t at);

/* credit_gradient.c */

/**
 * Prepare: what lies between target and loss.
 *
 * returns  0; BARO_ENOENT with the reason
 */
int credit_gradient_begin(struct credit *credit, struct baro_err *err);

/** Work on one operation; returns the elements touched, 0 when done. */
int64_t credit_gradient_step(struct credit *credit);

#endif
