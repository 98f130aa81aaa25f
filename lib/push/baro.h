/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libbaro: the push client of Barograph, for C and C++ training loops (and for bindings).
 *
 *     struct baro_options options = BARO_OPTIONS_INIT;
 *     options.project = "digits";
 *     struct baro_run *run = baro_open(&options, NULL);
 *     for (int64_t step = 0; step < n_steps; step++) {
 *         baro_step(run, step);
 *         ... train ...
 *         baro_scalar(run, "loss", loss);
 *         baro_tensor(run, &weights);
 *     }
 *     baro_close(run, 2000);
 *
 * What it does to your process: one thread with all signals blocked, one file-backed ring
 * (tmpfs by default, 64 MiB). No call blocks on the daemon, aborts, prints, or touches signals;
 * each takes as long as reading its data takes. Every call accepts run == NULL and then does
 * nothing, so a failed baro_open() need not be handled. In a child after fork() all calls do
 * nothing. Calls may come from several threads at once, also while one of them closes the run:
 * those under way are waited for, later ones do nothing.
 *
 * Nothing is lost silently: without a daemon the ring keeps the newest records, counts what had
 * to give way, and `baro recover` brings the ring in later, also after a SIGKILL.
 */
#ifndef BARO_H
#define BARO_H

#include "baro_types.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BARO_VERSION "0.1.0"

#if defined(__GNUC__)
#    define BARO_API __attribute__((visibility("default")))
#else
#    define BARO_API
#endif

struct baro_run;

/* How to open a run. Zero or NULL means the default; explicit values win over the environment. */
struct baro_options {
    const char *project;     /* BARO_PROJECT, else "default" */
    const char *name;        /* else made from the time */
    const char *run_id;      /* BARO_RUN_ID, else random; the same id again: see resume */
    const char *config;      /* JSON object text, or NULL */
    const char *endpoint;    /* BARO_ENDPOINT, else the user's own daemon */
    const char *mode;        /* BARO_MODE: "online" (default), "offline", "off" */
    const char *ring_dir;    /* BARO_RING_DIR, else tmpfs (online), data folder (offline) */
    uint64_t ring_bytes;     /* BARO_RING_BYTES, else 64 MiB; at least 1 MiB */
    enum baro_resume resume; /* BARO_RESUME: "append", "overwrite", "branch" */
    int64_t resume_step; /* BARO_RESUME_STEP; 0: the first step that this process begins */
    int rank;            /* this process's place in a parallel run, 0 .. n_ranks-1 */
    int n_ranks;         /* 0 means 1 */
    /* Called with one sentence when something is wrong (at most once a second, from the sender
     * thread or from baro_open); NULL is silence. */
    void (*on_message)(const char *text, void *payload);
    void *payload; /* handed to on_message */
    double budget; /* BARO_BUDGET: share of the time that measuring may take, as baro_due()
                           * hands it out; 0: 0.01 */
    const char *key_file; /* BARO_KEY: this client's CURVE keys, for a daemon at tcp:// */
    int summarise;        /* BARO_SUMMARISE "here" or "daemon": enum baro_summarise */
    int is_steerable; /* 1: the program looks at baro_should_stop() and its like; -1: it does
                           * not; 0: BARO_CONTROL, "1" or "0" */
};
/* clang-format off */
#ifdef __cplusplus
#    define BARO_OPTIONS_INIT {} /* without a warning of g++ -Wextra */
#else
#    define BARO_OPTIONS_INIT {0}
#endif
/* clang-format on */

/* One tensor at the current step; everything is borrowed for the call. */
struct baro_tensor {
    const char *name; /* "encoder.fc1.weight": path of the parameter or module */
    enum baro_role role;
    enum baro_dtype dtype;
    int n_dims; /* 0 to BARO_MAX_DIMS */
    const int64_t *shape;
    const int64_t *strides; /* in elements; NULL: row-major, contiguous */
    const void *data;
    int unit_axis; /* axis of units (rows of a weight: 0); BARO_NO_UNITS for none */
    uint32_t id;   /* from baro_declare_tensor, or 0: looked up by name and role */
};

/* What a device has found about one tensor; see baro_summary(). */
struct baro_summarised {
    uint64_t count, n_nan, n_pos_inf, n_neg_inf, n_zero;
    double min, max, mean, var, l1, l2,
        abs_max;                           /* of finite elements; NaN when there is none */
    int64_t first_bad_unit, first_bad_row; /* -1: not known */
    /* Signed log2 histogram, exponents -64 to 63; NULL: none. */
    const uint32_t *positive;
    const uint32_t *negative;
    uint32_t hist_every; /* 1: exact, n: counts of an even sample of 1 in n; 0: none */
    /* Per unit, n_units of each; all NULL: none. */
    const float *unit_mean, *unit_l2, *unit_abs_max, *unit_frac_zero, *unit_n_nonfinite;
    /* Of role BARO_UPDATE only: |after - before| / |before|, and 1 - cos(before, after) of each
     * unit; NaN and NULL: not known. */
    double update_ratio;
    const float *unit_change;
};

/* The client's own figures since baro_open; all only grow but ring_used_bytes. */
struct baro_stats {
    uint64_t n_pushed;  /* records written to the ring */
    uint64_t n_sent;    /* records given to the socket, repeats included */
    uint64_t n_acked;   /* records that the daemon has committed, without n_dropped */
    uint64_t n_dropped; /* records that gave way unsent, or were refused (too large) */
    uint64_t n_bytes;   /* bytes written to the ring */
    uint64_t own_ns;    /* time spent inside push calls, and booked by baro_spent() */
    uint64_t ring_used_bytes; /* bytes not yet acknowledged */
    int is_connected;         /* 1 when the daemon answered within the last 5 s */
};

/**
 * Open a run: makes the ring, starts the sender thread, does not wait for a daemon.
 *
 * options  NULL for all defaults; borrowed for the call
 * returns  NULL and err on failure (ring folder read-only, full, on a network file system; bad
 *          option) or when the mode is "off" (then err->code stays 0)
 */
BARO_API struct baro_run *baro_open(
    const struct baro_options *options, struct baro_err *err);

/**
 * Begin a step. Steps may repeat or go back; nothing is dropped for it. Each but the first
 * leaves a record of how long the step before took.
 *
 * step     0 to INT64_MAX
 * returns  0, BARO_EINVAL for a negative step
 */
BARO_API int baro_step(struct baro_run *run, int64_t step);

/**
 * Take the step under way back: it has only begun, and came to nothing (a forward pass behind the
 * last step of training). What is pushed next belongs to this step again, and when the run is
 * closed without another baro_step(), the one that was taken back does not count as a step of it.
 *
 * step     the one before
 * returns  0; BARO_EINVAL for a negative step
 */
BARO_API int baro_take_back(struct baro_run *run, int64_t step);

/**
 * Push one number at the current step. NaN and infinities are welcome: they are what we look for.
 *
 * name     UTF-8; names over 512 bytes are shortened with a hash, so they stay distinct
 * returns  0; BARO_EINVAL for an empty or NULL name; BARO_EFULL when no more names fit
 */
BARO_API int baro_scalar(struct baro_run *run, const char *name, double value);

/**
 * Declare a scalar once, to push by id in hot loops.
 *
 * returns  an id > 0 for baro_scalar_id, or a negative code
 */
BARO_API int64_t baro_declare_scalar(struct baro_run *run, const char *name);

/** Push one number by the id from baro_declare_scalar; no look-up. */
BARO_API int baro_scalar_id(struct baro_run *run, int64_t id, double value);

/** Push n numbers by their ids in one call (for bindings); returns the first failure or 0. */
BARO_API int baro_scalars(
    struct baro_run *run, const int64_t *ids, const double *values, size_t n);

/**
 * All that a turn of a loop has to say, in one call (for bindings): begin a step, push n numbers
 * by their ids, and book time of the caller's, as baro_spent() does for none.
 *
 * step     negative: go on with the current one
 * returns  the first failure or 0
 */
BARO_API int baro_turn(struct baro_run *run, int64_t step, const int64_t *ids,
    const double *values, size_t n, uint64_t spent_ns);

/**
 * Push one number that belongs to another step than the current one: it was not known earlier.
 *
 * id       from baro_declare_scalar
 * returns  0; BARO_EINVAL for a negative step or an unknown id
 */
BARO_API int baro_scalar_at(struct baro_run *run, int64_t id, int64_t step, double value);

/**
 * Declare a tensor once (name, role, unit axis and its extent are taken from t; data unused).
 *
 * returns  an id > 0 for baro_tensor.id, or a negative code
 */
BARO_API int64_t baro_declare_tensor(struct baro_run *run, const struct baro_tensor *t);

/**
 * Summarise one tensor at the current step: whole-tensor statistics, a log2 histogram, and
 * statistics of each unit along unit_axis. One read of the data; the data is never copied.
 * Mean, variance, L1 and L2 of elements of BARO_F32, BARO_F16 and BARO_BF16 are rounded to 24
 * significant bits, those of other types are kept as computed.
 *
 * A tensor that comes with another element type, shape or number of units than before goes on as
 * another epoch of its series; of activations, their gradients and inputs the shape but for the
 * units may vary. One name has at most 8 epochs; what comes then has no unit statistics.
 *
 * With BARO_SUMMARISE_DAEMON the tensor is copied into the ring instead, once, and barod
 * summarises it, with the same result. Summarised here all the same, which is said: a tensor of
 * more than 4 MiB or an eighth of the ring, one that is not row-major and contiguous, and
 * any while more than half of the ring is unacknowledged. Updates and summaries never go whole.
 *
 * returns  0; BARO_EUNSUPPORTED for an unknown element type; BARO_EINVAL for a bad shape;
 *          BARO_EFULL when no more names fit
 */
BARO_API int baro_tensor(struct baro_run *run, const struct baro_tensor *t);

/** Summarise n tensors in one call (for bindings); returns the first failure or 0. */
BARO_API int baro_tensors(struct baro_run *run, const struct baro_tensor *t, size_t n);

/**
 * Push statistics that were computed elsewhere, on a device, of one tensor at the current step.
 * They are recorded as baro_tensor() records its own, rounding included.
 *
 * t        as for baro_tensor, its data and strides unused (may be NULL)
 * summary  borrowed for the call
 * returns  as baro_tensor; BARO_EINVAL also for counts that cannot be: other than the elements
 *          of the shape, or more bad and zero ones than elements
 */
BARO_API int baro_summary(struct baro_run *run, const struct baro_tensor *t,
    const struct baro_summarised *summary);

/**
 * Push statistics that belong to another step than the current one: they came late, like those
 * of baro_scalar_at().
 *
 * returns  as baro_summary; BARO_EINVAL for a negative step
 */
BARO_API int baro_summary_at(struct baro_run *run, const struct baro_tensor *t,
    int64_t step, const struct baro_summarised *summary);

/**
 * Push what one optimiser step did to a weight: statistics of the difference as role
 * BARO_UPDATE (with update_ratio = |after - before| / |before|), and of each unit also
 * change = 1 - cos(before, after). One read of both arrays, no copy. Ratio and change are of the
 * elements that are finite in both arrays (NaN when none is), 0 when nothing changed; out of a
 * weight of zeros the ratio is infinite and the change 1. A tensor of role BARO_UPDATE that comes
 * by baro_tensor() has neither: they are NaN.
 *
 * before   the weight's values before the step; same shape and element type as after
 * after    the weight: its name and unit axis are the update's too, its role is ignored; its id
 *          is the update's (from baro_declare_tensor with role BARO_UPDATE), the weight's, or 0:
 *          with the latter two it is looked up by name
 * returns  as baro_tensor; BARO_EUNSUPPORTED for elements that are not floating-point;
 *          BARO_EINVAL when the two differ in type or shape
 */
BARO_API int baro_update(struct baro_run *run, const struct baro_tensor *before,
    const struct baro_tensor *after);

/**
 * Ask which tensors the budget lets be measured in the current step. The governor knows what
 * each cost before (baro_tensor and baro_update time themselves, baro_spent() adds) and lets
 * those come first that have waited longest for their turn, cheap ones more often than dear
 * ones; everything at once where some steps pay for it; what an alert concerns at each step for
 * a while. Everything has its turn, however dear. Of what is due but dear, baro_tensor() leaves
 * unit statistics out in some turns. Who does not ask is always measured, whole, and is paid for
 * from the same budget.
 *
 * ids         from baro_declare_tensor, to be given as baro_tensor.id, too; those never
 *             measured are due first
 * out_is_due  n bytes: 1 to measure now; the same again when asked twice in one step
 * returns     how many are due, or a negative code
 * cost        some nanoseconds a tensor
 */
BARO_API int64_t baro_due(
    struct baro_run *run, const uint32_t *ids, size_t n, uint8_t *out_is_due);

/**
 * Book time that the caller spent for a tensor's measuring (hooks, copies), without what it spent
 * inside push calls, which is booked already; id 0: for none.
 */
BARO_API int baro_spent(struct baro_run *run, uint32_t id, uint64_t ns);

/**
 * Tell whether the budget has room for what nobody must do: keeping the state of random numbers,
 * probes, looking for what is not finite. What is spent so, and is booked for no tensor, has a
 * gift to begin with (40 seconds' worth of the budget), and at most 7/8 of it afterwards.
 *
 * returns  1; 0 while more was spent than that, as of the last baro_due()
 */
BARO_API int baro_has_spare(struct baro_run *run);

/**
 * Tell whether n elements that lie one by one are all finite; data is only read. Any thread, no run.
 *
 * returns  1; 0 when there is a NaN or an infinity; BARO_EINVAL
 * cost     a plain read
 */
BARO_API int baro_is_finite(enum baro_dtype dtype, const void *data, size_t n);

/**
 * Trouble is seen: baro_due() says yes to everything for at least the next n_steps steps, on
 * loan: until two seconds are owed. They are paid back later by measuring less.
 */
BARO_API int baro_trouble(struct baro_run *run, int n_steps);

/**
 * Say which samples of the data set the current step's batch holds, in the order of axis 0.
 *
 * samples  n indices; the first 4,096 are kept, n itself is always recorded
 */
BARO_API int baro_batch(struct baro_run *run, const int64_t *samples, size_t n);

/**
 * Say it of another step than the current one: the indices came late, from a device.
 *
 * samples  the first 4,096 of n indices, or all
 * returns  0; BARO_EINVAL for a negative step
 */
BARO_API int baro_batch_at(
    struct baro_run *run, int64_t step, const int64_t *samples, size_t n);

/**
 * Say what samples of the data set gave: who was recognised, at which loss.
 *
 * step     -1: the current one; else the step that they belong to
 * samples  n indices; of one call the first 4,096 are kept
 * losses, correct, labels  n of each, or NULL: not known; correct: 1 recognised, 0 not, -1 not
 *          known; labels: classes from 0 to 32,767, others are not kept
 * returns  0; BARO_EINVAL
 */
BARO_API int baro_samples(struct baro_run *run, int64_t step, const int64_t *samples,
    const float *losses, const int8_t *correct, const int32_t *labels, size_t n);

/**
 * Keep the state of the program's random numbers as a step begins, for who wants to draw that step
 * again: the ring holds those of about the last 1,000 steps in an area of a sixteenth of its size,
 * at most 3 MiB (a ring of 1 MiB: of about 20 steps of a Mersenne Twister that draws much). They
 * are sent only when a failure was captured, the run fails or its process is gone.
 *
 * step     that begins; -1: the current one
 * device   -1: of the CPU; else number of the GPU whose generator it is
 * state    n_bytes, at most 16,384, as the framework takes it back
 * returns  0; BARO_EINVAL; BARO_ELIMIT for one that the area cannot hold; BARO_EBUSY when another
 *          thread is keeping one: it is left out
 * cost     some microseconds for 5 KB
 */
BARO_API int baro_rng(
    struct baro_run *run, int64_t step, int device, const void *state, size_t n_bytes);

/** Note an event at the current step; text up to 4,096 bytes, longer is cut at a character. */
BARO_API int baro_event(struct baro_run *run, enum baro_level level, const char *text);

/*
 * Graph and probe: what one training step computed, operation by operation, for `baro why` and
 * `baro credit`. Rare by nature: a probe reads and copies what went through the step. It is built
 * between baro_probe_begin() and baro_probe_end() in memory of its own, bounded by max_bytes,
 * and then goes into the ring at once, or not at all when that has no room.
 */
struct baro_probe;

struct baro_probe_options {
    int64_t step;        /* that it shows; -1: the current one */
    int reason;          /* 1 regular, 2 asked for, 3 something became non-finite */
    int64_t n_batch;     /* samples in the batch; 0: not known */
    size_t n_rows;       /* samples of which values are kept */
    const int64_t *rows; /* their places in the batch */
    size_t max_bytes;    /* 0: a quarter of the ring, at most 16 MiB */
};

/* One array of the step; everything is borrowed for the call. */
struct baro_probe_value {
    const char *name; /* of a parameter or an input; NULL: none */
    int kind;         /* 0 result, 1 input, 2 parameter, 3 buffer, 4 constant, 5 noise */
    enum baro_dtype dtype;
    int n_dims;
    const int64_t *shape;
    const int64_t *strides; /* in elements; NULL: row-major, contiguous */
    const void *data;       /* NULL: not at hand, neither kept nor summarised */
    int batch_axis;         /* -1: none */
    int unit_axis;          /* -1: none */
    int keep; /* 0 statistics only, 1 the probe's rows (without batch_axis: all), 2 all */
};

/* One operation; values by the numbers that baro_probe_value() gave, -1: none. */
struct baro_probe_op {
    const char *name;   /* "addmm" */
    const char *module; /* NULL: none */
    const char *source; /* "train.py:57", or NULL */
    const char *attrs;  /* "dim=[1] keepdim=0", or NULL */
    int is_backward;
    size_t n_inputs, n_outputs;
    const int32_t *inputs, *outputs;
};

/* Where something finite first became non-finite. */
struct baro_probe_origin {
    int32_t op;    /* -1: it came from outside as value */
    int32_t value; /* that is non-finite, or whose gradient is */
    int is_gradient, is_replayed, is_exact;
    size_t n_units, n_rows;
    const int64_t *units, *rows;
    const char *cause; /* one sentence */
};

/**
 * Begin a probe.
 *
 * returns  NULL when run is NULL, memory is short, or the ring has no room for a probe now
 */
BARO_API struct baro_probe *baro_probe_begin(
    struct baro_run *run, const struct baro_probe_options *options);

/**
 * Add a value: reads it once for its statistics, copies what is to be kept. A value that would
 * exceed max_bytes keeps its statistics only, and the probe says that it is cut.
 *
 * returns  its number, from 0; BARO_EINVAL; BARO_ELIMIT when not even that fits
 */
BARO_API int64_t baro_probe_value(
    struct baro_probe *probe, const struct baro_probe_value *value);

/** Add an operation; its inputs must be there, each output belongs to one operation only. */
BARO_API int64_t baro_probe_op(struct baro_probe *probe, const struct baro_probe_op *op);

/** Say which value is the loss. */
BARO_API int baro_probe_loss(struct baro_probe *probe, int32_t value);

/** Say that the step had more operations than are told: the probe says that it is cut. */
BARO_API int baro_probe_cut(struct baro_probe *probe);

/** Say where something became non-finite. */
BARO_API int baro_probe_origin(
    struct baro_probe *probe, const struct baro_probe_origin *origin);

/**
 * Put the probe into the ring and free it; with is_dropped it is only freed.
 *
 * returns  0; BARO_EFULL when the ring has no room (said once to on_message); BARO_ECLOSED
 */
BARO_API int baro_probe_end(struct baro_probe *probe, int is_dropped);

/**
 * Tell whether a person has asked the training to stop ('baro control RUN stop'). Nothing but this
 * answer changes: the program ends its loop, or does not. The first look after a request leaves
 * an event "control 1 taken: stop" at the current step.
 *
 * returns  1 from then on; 0, also when options.is_steerable was not set
 * cost     some nanoseconds, no system call; so have the three below
 */
BARO_API int baro_should_stop(struct baro_run *run);

/** Tell whether a person has asked to pause: 1 until they ask to resume (or the program ends). */
BARO_API int baro_should_pause(struct baro_run *run);

/** Tell whether a person has asked for a checkpoint: 1 once for each request. */
BARO_API int baro_should_dump(struct baro_run *run);

/** Give the product of all factors for the learning rate that persons have asked for; else 1. */
BARO_API double baro_lr_scale(struct baro_run *run);

/**
 * Say how the run ends, before baro_close: without it baro_close means "finished".
 *
 * text     reason (an exception's text) or NULL
 */
BARO_API int baro_fail(struct baro_run *run, const char *text);

/**
 * Read the client's own figures; run NULL gives zeros. This is the one call that may still come
 * after baro_close(), as long as less than 16 other runs have ended since: it gives the last.
 */
BARO_API int baro_stats(struct baro_run *run, struct baro_stats *out_stats);

/**
 * Take the newest of the sentences that options.on_message is given, for those who cannot be
 * called from the sender's thread: that no daemon answers, that it refuses the key, and so on.
 *
 * out_text  the sentence, cut at text_bytes
 * returns   1 when there was one that was not taken yet, else 0
 */
BARO_API int baro_news(struct baro_run *run, char *out_text, size_t text_bytes);

/** Tell the run's id (valid until baro_close); "" for NULL. */
BARO_API const char *baro_run_id(const struct baro_run *run);

/** Tell the path of the run's ring file (valid until baro_close); "" for NULL. */
BARO_API const char *baro_ring_path(const struct baro_run *run);

/**
 * End the run: waits until the daemon has acknowledged everything, at most timeout_ms, then
 * stops the thread and frees the run. What is unacknowledged stays in the ring file. Calls that
 * other threads are in are waited for, too, at most a second; and at most one more a callback
 * on_message that does not come back. Not to be called from that, or from a signal handler.
 *
 * timeout_ms  0: do not wait
 * returns  0 when everything is acknowledged; BARO_ETIMEOUT when records are left in the ring
 */
BARO_API int baro_close(struct baro_run *run, int timeout_ms);

/** Name a code: a static sentence. */
BARO_API const char *baro_strerror(int code);

/** Tell the library's version, to compare with BARO_VERSION. */
BARO_API const char *baro_version(void);

#ifdef __cplusplus
}
#endif
#endif
