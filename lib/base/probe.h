/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Probes: the operations of one training step as a graph, with the values that went through them.
 * What credit assignment and `baro why` read, and what the client captures when a loss becomes
 * NaN. One self-contained block of bytes: built by libbaro, sent in pieces (READING_PROBE), kept
 * by the store, parsed here. This is its trust boundary: after probe_parse() all references hold.
 *
 * An operation takes values and gives values; each value has at most one operation that gives it,
 * and that one comes before all that take it. So the order of operations is an order of causes.
 */
#ifndef BARO_PROBE_H
#define BARO_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/baro_types.h"

enum {
    PROBE_NONE = -1, /* no value, no operation, no axis */
    PROBE_MAX_VALUES = 1 << 20,
    PROBE_MAX_OPS = 1 << 18,
    PROBE_MAX_OPERANDS = 4096, /* of one operation, each way */
    PROBE_MAX_ROWS = 4096,
    PROBE_MAX_TEXT_BYTES = 4096, /* of one text */
    PROBE_MAX_BYTES = 1 << 30,
    PROBE_PIECE_BYTES = 256 << 10 /* one READING_PROBE carries at most so many */
};

/* Where a value comes from. */
enum probe_value_kind {
    PROBE_RESULT = 0, /* an operation of the graph gave it */
    PROBE_INPUT,      /* from outside: data, targets; what nobody knows the origin of */
    PROBE_PARAMETER,
    PROBE_BUFFER,   /* state of a module that no gradient reaches */
    PROBE_CONSTANT, /* made from nothing: zeros, a range */
    PROBE_NOISE,    /* drawn at random */
    PROBE_VALUE_KIND_END
};

/* Which elements of a value were kept. */
enum probe_kept {
    PROBE_KEPT_NONE = 0, /* only its statistics */
    PROBE_KEPT_ROWS, /* those of the probe's rows: its batch axis is that much shorter */
    PROBE_KEPT_ALL,
    PROBE_KEPT_END
};

enum probe_reason {
    PROBE_REGULAR = 1, /* rare, in calm times: what later steps are compared with */
    PROBE_ASKED,       /* an alert or a person asked for it */
    PROBE_FAILURE,     /* something became non-finite: has an origin */
    PROBE_REASON_END
};

enum probe_phase { PROBE_FORWARD = 0, PROBE_BACKWARD, PROBE_PHASE_END };

/* One array that went through the step. */
struct probe_value {
    const char *name; /* "fc1.weight", "input 0", "target"; "" when it has none */
    enum probe_value_kind kind;
    enum baro_dtype dtype;
    int n_dims;
    int64_t shape[BARO_MAX_DIMS]; /* as it was, whatever was kept */
    int batch_axis; /* along it lie the samples (shape a multiple of n_batch, sample by sample);
                         or PROBE_NONE */
    int unit_axis;                /* or PROBE_NONE */
    int32_t op;                   /* that gives it; PROBE_NONE: from outside */
    uint64_t count, n_nan, n_inf; /* of all elements; count 0: not read */
    double min, max, mean, l2; /* of the finite ones of all elements; NaN: there are none */
    enum probe_kept kept;
    const void *data; /* row-major, aligned to 8 bytes; NULL: nothing is kept */
    size_t bytes;     /* of data */
};

/* One operation, "addmm", "exp", "_log_softmax", as torch's dispatcher names it, without "aten.". */
struct probe_op {
    const char *name;
    const char
        *module; /* dotted path of the module it ran in; "": in none (the loss, mostly) */
    const char *source; /* "train.py:57"; "" when not known */
    const char
        *attrs; /* its arguments that are no tensors: "dim=[1] keepdim=0 alpha=1.0" */
    enum probe_phase phase;
    uint32_t n_inputs;
    uint32_t n_outputs;
    const int32_t
        *inputs; /* values, in the order of its arguments, lists flattened; PROBE_NONE:
                               the argument was not given */
    const int32_t *outputs; /* values; PROBE_NONE: an output that nobody has */
};

/* Where something finite first became non-finite. */
struct probe_origin {
    int32_t op;    /* PROBE_NONE: it came from outside (data, poisoned weights) as value */
    int32_t value; /* that is non-finite: an output of op, or from outside; of a backward
                        failure the value whose gradient it is */
    bool is_gradient; /* value is finite, its gradient is not */
    bool is_replayed; /* found by computing the step again; else seen as it happened */
    bool
        is_exact; /* computing it again gave the very same bits as far as they can be compared */
    uint32_t n_units; /* units of value that are bad, the first of them */
    uint32_t n_rows;  /* samples (rows of the batch) that are bad, the first of them */
    const int64_t *units;
    const int64_t *rows;
    const char *
        cause; /* one sentence: "exp of 91.2 is more than 3.4e+38, the most an f32 holds" */
};

/* A whole probe. */
struct probe {
    int64_t step;
    enum probe_reason reason;
    int64_t n_batch;     /* samples in the batch; 0: not known */
    uint32_t n_rows;     /* samples of which values were kept */
    const int64_t *rows; /* their places in the batch */
    int32_t loss; /* the value that backward() was called on; PROBE_NONE: not known */
    bool has_origin;
    struct probe_origin origin;
    bool
        is_cut; /* the client's limit of bytes or operations was reached: the rest is missing */
    uint32_t n_values;
    uint32_t n_ops;
    const struct probe_value *values;
    const struct probe_op *ops;
};

/**
 * Parse untrusted bytes: checks every count, reference, text and order.
 *
 * data     8-byte aligned; borrowed by the probe until probe_free()
 * returns  0; BARO_ECORRUPT with what is wrong; BARO_EVERSION; BARO_ELIMIT
 */
int probe_parse(
    struct probe **out_probe, const void *data, size_t n_bytes, struct baro_err *err);

/** Free what probe_parse() made; accepts NULL. */
void probe_free(struct probe *probe);

/** Count the elements of a value that were kept, and give the shape they have. */
int64_t probe_kept_shape(const struct probe *probe, const struct probe_value *value,
    int64_t out_shape[BARO_MAX_DIMS]);

/**
 * Read a number among an operation's attributes; of a list "[1, 2]" its place-th.
 *
 * returns  whether it is there and a number (True is 1, False 0); out_number untouched otherwise
 */
bool probe_attr(const struct probe_op *op, const char *name, int place, double *out_number);

/** Count the numbers of an attribute: 1 for a number, its length for a list, 0 when not there. */
int probe_attr_count(const struct probe_op *op, const char *name);

/** Name a kind of value ("result", "input", "parameter", ...); "?" otherwise. */
const char *probe_value_kind_name(enum probe_value_kind kind);

#endif
