/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The judge of one process (one stream) of a run: readings in, findings out. It holds the rules of
 * a book, the memory that each rule keeps of each thing, and the order in which all is said. Used
 * by the daemon, live, and by replay over stored history.
 *
 * The same readings give the same findings, whatever the order in which those of different things
 * come, as long as
 *   - the readings of one thing and kind come in their own order,
 *   - a reading comes after the READING_STEP of its step, and before the second READING_STEP
 *     after that; what comes later is judged by its own thing's history alone,
 *   - where steps go back (a run was resumed) no reading is moved across the place.
 * To that end rules learn when a reading comes, but findings are made when a step is complete: when
 * the second step after it has begun, steps go back, or judge_end is called. Then all that was
 * noted of the step is looked at in the order of thing ids, which is that of the data flow.
 * time_ns decides nothing, it is only passed on; no clock is read.
 *
 * Cost: constant work per reading (per unit for READING_UNITS), constant memory per thing and unit.
 */
#ifndef BARO_JUDGE_H
#define BARO_JUDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/reading.h"

struct judge;
struct rule;
struct rule_book;

enum {
    JUDGE_TEXT_BYTES = 384,
    JUDGE_MAX_EVIDENCE = 4,
    JUDGE_MAX_CAUSES = 4,
    JUDGE_MAX_SAMPLES = 64, /* that a finding names */
    JUDGE_MAX_FACTS =
        1 << 20,              /* notes that wait for their step to end; more are left out */
    JUDGE_MAX_THING = 1 << 20 /* largest id of a thing */
};

/* Readings at steps beyond it, either way, are not judged: so rules may reckon with steps freely. */
#define JUDGE_MAX_STEP (INT64_C(1) << 60)

/* What a scalar's name says that it is. */
enum judge_meaning {
    JUDGE_PLAIN = 0, /* nothing that is known */
    JUDGE_LOSS,
    JUDGE_LR,
    JUDGE_GRAD_NORM,
    JUDGE_LOSS_SCALE,
    JUDGE_ACCURACY,
    JUDGE_THROUGHPUT, /* something per second: more is better */
    JUDGE_MEANING_COUNT
};

/* A scalar or tensor as the judge knows it. The first part is filled by the caller. */
struct judge_thing {
    uint32_t id; /* from 1, in order of first measurement: the order of the data flow */
    const char *name; /* copied by judge_declare */
    bool is_tensor;
    enum baro_role role;   /* of tensors, else 0 */
    enum baro_dtype dtype; /* of tensors, else 0 */
    uint32_t n_units;      /* 0: none */
    uint32_t n_dims;
    int64_t shape[BARO_MAX_DIMS];
    bool is_loss; /* the caller knows better than the name; else left false */

    /* The rest is filled by judge_declare. */
    enum judge_meaning meaning; /* of scalars */
    bool is_eval;     /* "eval/...", "val_loss": measured in evaluation, not in training */
    bool is_no_grad;  /* "no_grad/...": measured in a forward pass that trains nothing */
    bool is_backward; /* a gradient: comes from the loss, though it is told before it */
    uint32_t
        family; /* siblings have the same: role, dimensions and name but for its numbers
                        ("layers.#.attn.weight"); from 1 */
    uint32_t
        module; /* things of the same module have the same: "layers.3.attn" of its weight,
                        bias, gradients, outputs; 0: no tensor */
};

/* Likely causes, for the incident: judge_cause_text() says them in plain words. */
enum judge_cause {
    JUDGE_CAUSE_NONE = 0,
    JUDGE_CAUSE_LR_HIGH,
    JUDGE_CAUSE_LR_LOW,
    JUDGE_CAUSE_LR_BUG,      /* schedule or restart gave a wrong learning rate */
    JUDGE_CAUSE_BAD_BATCH,   /* the samples of that step */
    JUDGE_CAUSE_BAD_INPUT,   /* data hold what they must not */
    JUDGE_CAUSE_INPUT_SCALE, /* data are not normalised */
    JUDGE_CAUSE_DATA_ORDER,  /* samples repeat, or are not shuffled */
    JUDGE_CAUSE_LABELS,
    JUDGE_CAUSE_TYPE_RANGE, /* numbers leave the range of their type */
    JUDGE_CAUSE_LOSS_SCALE,
    JUDGE_CAUSE_LOSS_FUNCTION, /* log(0), 0/0, exp in the loss */
    JUDGE_CAUSE_NO_CLIPPING,
    JUDGE_CAUSE_NORMALISATION, /* missing, or dividing by almost nothing */
    JUDGE_CAUSE_INIT,          /* initial weights too large, too small or all alike */
    JUDGE_CAUSE_DEPTH,         /* too deep for its initialisation, no skip connections */
    JUDGE_CAUSE_ACTIVATION,    /* an activation function that dies or saturates */
    JUDGE_CAUSE_NOT_TRAINED,   /* not given to the optimiser, or requires no gradient */
    JUDGE_CAUSE_DETACHED,      /* cut off from the loss */
    JUDGE_CAUSE_EVAL_MODE,     /* left in evaluation mode, or never put into it */
    JUDGE_CAUSE_WEIGHT_DECAY,
    JUDGE_CAUSE_OPTIMISER,  /* its epsilon, its betas, its stale state */
    JUDGE_CAUSE_BATCH_SIZE, /* too small: gradients are noise */
    JUDGE_CAUSE_OVERFITTING,
    JUDGE_CAUSE_ADVERSARY,  /* a discriminator that wins */
    JUDGE_CAUSE_NOT_SYNCED, /* ranks do not average what they must */
    JUDGE_CAUSE_HARDWARE,
    JUDGE_CAUSE_INPUT_PIPELINE, /* loading of data is slow or stuck */
    JUDGE_CAUSE_CONTENTION,     /* something else takes the machine's time */
    JUDGE_CAUSE_DEADLOCK,
    JUDGE_CAUSE_OUT_OF_MEMORY,
    JUDGE_CAUSE_KILLED,
    JUDGE_CAUSE_NOT_ZEROED, /* zero_grad() is missing */
    JUDGE_CAUSE_SIGN,       /* the loss is climbed */
    JUDGE_CAUSE_COUNT
};

/* A piece of a series that shows why. */
struct judge_evidence {
    uint32_t thing;
    enum reading_kind kind;
    int stat;     /* 0 for scalars */
    int64_t unit; /* -1: none */
    int64_t from_step;
    int64_t to_step;
    const char *text; /* static: one sentence, or NULL */
};

/* One thing worth telling: an alert. */
struct judge_finding {
    const struct rule *rule;
    const char
        *kind; /* name of the rule, or of the user's own; lives as long as the book */
    enum baro_level level;
    uint32_t thing;       /* 0: the run */
    int64_t step;         /* where it shows, not where it was noticed */
    int64_t noticed_step; /* the step at whose completion it was */
    int64_t time_ns;
    int64_t unit;     /* -1: none */
    int64_t row;      /* of the batch; -1: unknown */
    uint32_t n_units; /* units concerned, where there are several */
    uint32_t code;    /* which of the rule's cases, its own numbers */
    double value;
    double usual;                /* what value is compared with; NaN: nothing */
    double score;                /* how far out, in the rule's own measure */
    char text[JUDGE_TEXT_BYTES]; /* one sentence */
    const char *advice;          /* static: what to try next */
    enum judge_cause causes[JUDGE_MAX_CAUSES]; /* likeliest first; NONE at the end */
    struct judge_evidence evidence[JUDGE_MAX_EVIDENCE];
    size_t n_evidence;
    bool
        goes_on; /* belongs to an earlier finding of the same rule that has not ended: the same
                     incident, whatever the distance in steps */
    uint64_t batch_size; /* 0: the batch of the step is not known */
    bool has_sample;     /* samples[0] is the very sample, not the whole batch */
    size_t n_samples;
    int64_t samples[JUDGE_MAX_SAMPLES];
};

/* Why the readings of a process end. */
enum judge_end {
    JUDGE_END_FINISHED = 1, /* it said so */
    JUDGE_END_FAILED,       /* it said so; the reason is a text */
    JUDGE_END_GONE,         /* its process is gone without a word */
    JUDGE_END_STALLED,      /* alive, but no step for much longer than usual */
    JUDGE_END_SILENT,       /* not heard of for too long; it may live elsewhere */
    JUDGE_END_PAUSED        /* nobody knows more: what is noted is to be said now */
};

/**
 * Make a judge; ends the process when out of memory.
 *
 * book     borrowed until judge_destroy; not to be changed meanwhile
 * rank     of the process, for texts
 */
struct judge *judge_create(const struct rule_book *book, uint32_t rank);

/** Free a judge; accepts NULL. */
void judge_destroy(struct judge *judge);

/**
 * Introduce a thing, before its first reading; what is declared already is left as it is.
 *
 * thing    its first part is set; copied
 */
void judge_declare(struct judge *judge, const struct judge_thing *thing);

/**
 * Feed one reading. Readings of things that were not declared are ignored.
 *
 * reading  checked by reading_check; its header.thing is not looked at
 * thing    its id as declared, 0 for READING_STEP, BATCH, EVENT and STATUS
 */
void judge_reading(struct judge *judge, const struct reading *reading, uint32_t thing);

/**
 * Take the next finding, in the order of steps and, in a step, of thing ids and rules.
 *
 * returns  false when there is none; then *out_finding is untouched
 */
bool judge_take(struct judge *judge, struct judge_finding *out_finding);

/**
 * Complete all steps, whatever is still to come of them, and let the rules know why. Readings may
 * follow after STALLED, SILENT and PAUSED.
 *
 * reason   the process's own word (FAILED), else NULL
 */
void judge_end(
    struct judge *judge, enum judge_end why, const char *reason, int64_t time_ns);

/** Give a declared thing; NULL when there is none of that id. */
const struct judge_thing *judge_thing(const struct judge *judge, uint32_t id);

/** Tell the memory that the judge holds, in bytes. */
size_t judge_memory(const struct judge *judge);

/** Say a cause in plain words, as a clause: "the learning rate is too high". */
const char *judge_cause_text(enum judge_cause cause);

/** Tell what a scalar's name means ("train/loss", "lr.2", "grad_norm"). */
enum judge_meaning judge_meaning_of(const char *name);

/**
 * Tell whether a scalar is the loss that the optimiser minimises ("loss", "train/loss",
 * "ce_loss"), not a part of it, an adversary's, or one of evaluation.
 */
bool judge_is_main_loss(const struct judge_thing *thing);

/** Tell whether a name speaks of evaluation ("eval/fc", "val_loss", "loss/test"). */
bool judge_is_eval_name(const char *name);

#endif
