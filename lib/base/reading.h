/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What records say. A payload is always: n_f64 doubles, then n_f32 floats, then extra bytes, so
 * that the store can keep any kind as columns without knowing it. This is the trust boundary:
 * reading_check() turns untrusted bytes into a reading whose layout is right.
 */
#ifndef BARO_READING_H
#define BARO_READING_H

#include "lib/base/record.h"
#include "lib/base/tensor.h"

enum reading_kind {
    READING_SCALAR = 1, /* f64: value */
    READING_STEP, /* f64: seconds since the step before began; none for the first; thing 0 */
    READING_SUMMARY, /* f64 x SUMMARY_STAT_COUNT; extra: struct reading_bin[] by rising bin */
    READING_UNITS,   /* f32 x reading_unit_stats(role) * n_units, statistic-major */
    READING_BATCH,   /* f64: size of the batch; extra: int64 sample indices; thing 0 */
    READING_EVENT,   /* f64: enum baro_level; extra: UTF-8 text; thing 0 */
    READING_STATUS, /* f64: enum reading_end; extra: UTF-8 reason; thing 0; ends the run */
    READING_DROPS,  /* f64 x 2: records, bytes dropped since the last such; thing 0 */
    READING_PROBE,  /* f64 x 5, see probe_pieces.h; extra: a piece of a probe; thing 0 */
    READING_SAMPLES =
        10, /* f64: samples in the call; extra: struct reading_sample[]; thing 0 */
    READING_FAILURE =
        11, /* likewise, of a probe of something non-finite: it is kept longer */
    READING_RANK =
        12, /* f64 x 2: rank, kind of a reading of thing 0: whose that is, in a run of several
               ranks; the daemon writes it beside each, nobody sends it; thing 0 */
    READING_RNG =
        13, /* f64 x 3: device (-1: the CPU), bytes, rank; extra: the state of random numbers as the
               step began, see rng_state.h; comes when the process is gone; thing 0 */
    READING_KIND_END,
    /* A whole tensor for the daemon to summarise, see reading_raw.h; it becomes a SUMMARY and a
     * UNITS there, and is no reading itself. */
    READING_RAW = 32,
    /* Kinds that live in the sticky area of a ring and precede data; payload: protobuf. */
    READING_RUN = 64,    /* Baro__RunDescription */
    READING_DECLARE = 65 /* Baro__Declare: names the thing that header.thing refers to */
};

/* What can be asked of steps: a READING_STEP's one double, or when it arrived. */
enum step_stat {
    STEP_SECONDS = 0, /* that the step took */
    STEP_TIME, /* wall time at its end, in seconds since 1970; not kept of pruned steps */
    STEP_STAT_COUNT
};

/* Statistics of a whole tensor, in the order of a READING_SUMMARY's doubles. */
enum summary_stat {
    SUMMARY_COUNT = 0,
    SUMMARY_N_NAN,
    SUMMARY_N_POS_INF,
    SUMMARY_N_NEG_INF,
    SUMMARY_N_ZERO,
    SUMMARY_MIN,
    SUMMARY_MAX,
    SUMMARY_MEAN,
    SUMMARY_VAR,
    SUMMARY_L1,
    SUMMARY_L2,
    SUMMARY_ABS_MAX,
    SUMMARY_UPDATE_RATIO,   /* |dw|/|w|; NaN when not measured */
    SUMMARY_FIRST_BAD_UNIT, /* unit of the first non-finite element, or -1 */
    SUMMARY_FIRST_BAD_ROW,  /* its index along the batch axis, or -1 */
    SUMMARY_HIST_EVERY,     /* 1: the histogram is exact; 16: of 1 in 16; 0: none */
    SUMMARY_STAT_COUNT
};

/* Statistics of each unit, in the order of a READING_UNITS' blocks. */
enum unit_stat {
    UNIT_MEAN = 0,
    UNIT_L2,
    UNIT_ABS_MAX,
    UNIT_FRAC_ZERO,
    UNIT_N_NONFINITE,
    UNIT_STAT_COUNT, /* of every tensor */
    /* Of role BARO_UPDATE only: 1 - cos(before, after) of the unit's weights; NaN when the
     * values before were not at hand. */
    UNIT_CHANGE = UNIT_STAT_COUNT,
    UNIT_STAT_MOST
};

/* How a run ended, by its own word. */
enum reading_end {
    READING_END_FINISHED = 1,
    READING_END_FAILED = 2,
    READING_END_TAKEN_BACK =
        3 /* finished at this record's step; a later one has only begun, and does not count */
};

/* Begins the reason of a run that its user ended (Ctrl-C): it failed, but nothing is wrong. */
#define READING_INTERRUPTED "interrupted by the user"

/* One filled bin of the signed log2 histogram. */
struct reading_bin {
    int16_t bin;  /* exponent e: 2^e <= |x| < 2^(e+1) */
    int16_t sign; /* +1 or -1 */
    uint32_t count;
};

/* What one sample of the data set gave at a step; unused fields say so. */
struct reading_sample {
    int64_t index;
    float loss;     /* NaN: not given */
    int16_t label;  /* its class; -1: not given, or beyond 32,767 */
    int8_t correct; /* 1, 0; -1: not given */
    uint8_t unused; /* 0 */
};
_Static_assert(sizeof(struct reading_sample) == 16, "as it is sent and stored");

enum {
    READING_MAX_UNITS = 65536,
    READING_MAX_SAMPLES = 4096,
    READING_MAX_TEXT_BYTES = 4096,
    READING_MAX_NAME_BYTES = 512,
    READING_MAX_CONFIG_BYTES = 65536
};

/* One record whose layout has been checked; borrows the record's bytes. */
struct reading {
    struct record_header header;
    uint32_t n_f64;
    uint32_t n_f32;
    uint32_t extra_bytes;
    const double *f64;    /* n_f64; 8-byte aligned */
    const float *f32;     /* n_f32 */
    const uint8_t *extra; /* extra_bytes */
};

/** Name a whole-tensor statistic ("l2", "n_nan", ...); "?" out of range. */
const char *summary_stat_name(int stat);

/**
 * Name a unit statistic ("mean", "l2", "abs_max", "frac_zero", "n_nonfinite", "change"); "?"
 * otherwise.
 */
const char *unit_stat_name(int stat);

/** Tell how many statistics each unit of a tensor of that role has: 6 of an update, else 5. */
int reading_unit_stats(enum baro_role role);

/**
 * Find a statistic of that kind by name; -1 when there is none. kind: SUMMARY or UNITS. Whether
 * units of a role have it is told by reading_unit_stats().
 */
int reading_stat_parse(enum reading_kind kind, const char *name);

/** Tell how many doubles records of a kind begin with; 0: none, or of no such kind. */
uint32_t reading_n_f64(uint32_t kind);

/**
 * Check a data record's layout and give it as a reading.
 *
 * header, payload  from record_next(); payload 8-byte aligned
 * n_units, role  of the declared tensor, for READING_UNITS; else ignored
 * returns  0; BARO_ECORRUPT for an unknown kind, a payload that does not fit its kind, a count
 *          out of its limit, or text that is not UTF-8
 */
int reading_check(const struct record_header *header, const uint8_t *payload,
    uint32_t n_units, enum baro_role role, struct reading *out_reading,
    struct baro_err *err);

#endif
