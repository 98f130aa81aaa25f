/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a rule is, for those who write one. A rule is one file rule_NAME.c with one constant
 * `const struct rule rule_NAME`, one line in rule_table.c, one section in docs/RULES.md and a test
 * with a planted fault and a healthy look-alike.
 *
 * A rule works in two halves:
 *   on_reading  is called with each reading of a thing that it applies to. It sees that thing's own
 *               memory only, learns, and notes facts (rule_note) about the reading's step: at most
 *               a few per reading.
 *   on_step     is called when a step is complete, with all facts that were noted of it, sorted by
 *               thing id, then by their order within the thing. It may compare things with each
 *               other and look at the context (rule_change), and reports what is worth
 *               telling (rule_report). A rule without on_step reports every fact that it notes.
 * So nothing depends on the order in which readings of different things come.
 *
 * What the judge does for all rules: it keeps silent about what a rule's `excuses` explain (an
 * intended change within the last rule_book.excuse_steps steps), and about a thing of which the
 * same rule has spoken within the last rule_book.quiet_steps steps (a refractory time that doubles
 * with each finding of the same rule and thing, so that what never heals is told a few times, not
 * always).
 *
 * Values of READING_UNITS are rounded in the store: decisions about units must have margins (only
 * the leading 10 bits count), or use zeros, counts and the sign of the difference of extremes.
 */
#ifndef BARO_RULE_H
#define BARO_RULE_H

#include "lib/analysis/judge.h"
#include "lib/analysis/rule_book.h"

/* What a user may set, one row of a rule's table. */
struct rule_param {
    const char *name; /* "min_score" */
    double usual;     /* its default */
    double min;
    double max;
    const char *sentence;
};

/* Intended changes, which explain what would be an alarm otherwise; bits. */
enum judge_change {
    JUDGE_CHANGE_START = 1,   /* the first step of the process: a run begins or goes on */
    JUDGE_CHANGE_RESTART = 2, /* steps went back */
    JUDGE_CHANGE_EVENT = 4,   /* the user logged an event: a phase, an epoch, a new stage */
    JUDGE_CHANGE_LR = 8, /* the learning rate jumped by a quarter or more in one step */
    JUDGE_CHANGE_UNFREEZE = 16, /* a parameter got its first gradient long after others */
    JUDGE_CHANGE_EVAL = 32,     /* an evaluation was under way in this step */
    JUDGE_N_CHANGES = 6
};

/* What on_reading tells on_step. step, time_ns and thing are filled in by rule_note. */
struct rule_fact {
    int64_t step;
    int64_t time_ns;
    uint32_t thing;
    uint32_t code;     /* the rule's own: which case it is */
    int64_t from_step; /* where the evidence begins; 0 is as good as step */
    double value;
    double usual;
    double score;
    int64_t unit; /* 0 is unit 0: set it to -1 where there is none */
    int64_t row;  /* likewise */
    uint32_t n_units;
    uint32_t serial; /* the judge's: order of noting, */
    uint16_t rule;   /* place of the rule, */
    uint16_t duty;   /* and which of the thing's duties noted it */
};

/* What a rule is called with; its members are to be read only. */
struct rule_context {
    struct judge *judge;
    const struct rule *rule;
    const struct judge_thing *thing; /* of the reading; in on_step NULL */
    const double
        *params; /* of the rule for this thing; in on_step those of the book, in tell
                             those of the fact's thing */
    const struct rule_custom *custom; /* of rule_custom only: the user's rule; else NULL */
    int64_t step;                     /* of the reading; in on_step the complete one */
    int64_t time_ns;
    uint16_t duty; /* the judge's */
};

/* One rule: a row of the table. */
struct rule {
    const char *name;     /* the kind of its findings: "loss_spike" */
    const char *sentence; /* what it finds, for lists and docs */
    const struct rule_param *params;
    size_t n_params;       /* at most RULE_MAX_PARAMS */
    enum baro_level level; /* of its findings, unless tell sets another */
    unsigned kinds;        /* bits RULE_KIND(READING_...) of what on_reading takes */
    unsigned excuses;      /* bits of enum judge_change */
    size_t state_bytes;    /* zeroed memory per thing and kind, */
    size_t unit_bytes; /* and per unit of the thing, behind it (offset rounded up to 16) */
    size_t run_bytes;  /* zeroed memory per process, for on_step */
    uint32_t quiet_steps; /* a shorter refractory time of its own; 0: the book's */
    bool speaks_always;   /* no refractory time: its facts are rare by nature */
    /* Tell whether a thing is the rule's business; NULL: all are. READING_STEP, BATCH, EVENT and
     * STATUS belong to a thing with id 0, name "" and is_tensor false. */
    bool (*applies)(const struct judge_thing *thing);
    /* state: of the thing and the kind of the reading; NULL if state_bytes and unit_bytes are 0 */
    void (*on_reading)(
        struct rule_context *context, void *state, const struct reading *reading);
    /* Called for steps of which facts were noted; n_facts > 0. NULL: report each. */
    void (*on_step)(struct rule_context *context, void *run_state,
        const struct rule_fact *facts, size_t n_facts);
    /* All is over, see judge_end; facts noted here belong to the last step. May be NULL. */
    void (*on_end)(struct rule_context *context, void *run_state, enum judge_end why,
        const char *reason);
    /* Write a finding about a fact: text, advice, causes, evidence; all else is filled in already
     * from the fact and may be changed. */
    void (*tell)(struct rule_context *context, const struct rule_fact *fact,
        struct judge_finding *out_finding);
    /* Release what run_state owns; mostly NULL. */
    void (*release)(void *run_state);
};

#define RULE_KIND(kind) (1U << (unsigned)(kind))

/* All rules, in the order in which they speak about one thing. */
extern const struct rule *const rule_table[];
extern const size_t rule_table_n;

/** Give the memory of the units behind a thing's state. */
static inline void *rule_units(const struct rule_context *context, void *state)
{
    return (char *)state + ((context->rule->state_bytes + 15U) & ~(size_t)15U);
}

/** Note a fact about the reading's thing and step, in on_reading or on_end. */
void rule_note(struct rule_context *context, const struct rule_fact *fact);

/**
 * Report a fact, in on_step: it becomes a finding by the rule's tell, unless it is excused or told
 * already.
 *
 * returns  true when it became one
 */
bool rule_report(struct rule_context *context, const struct rule_fact *fact);

/** Give a thing by its id; NULL when it is not declared. */
const struct judge_thing *rule_thing(const struct rule_context *context, uint32_t id);

/** Give the rule's run_state, in tell. */
void *rule_run_state(const struct rule_context *context);

/** Give the rule's parameters for a thing, overrides by name included; thing 0: the book's. */
const double *rule_params_of(const struct rule_context *context, uint32_t thing);

/**
 * Tell at which step the last of some intended changes took place, up to the step under
 * evaluation; only in on_step and tell.
 *
 * changes  bits of enum judge_change
 * returns  INT64_MIN when none has
 */
int64_t rule_change(const struct rule_context *context, unsigned changes);

/** Tell how many steps the process had begun when the step under evaluation was. */
uint64_t rule_n_steps(const struct rule_context *context);

/** Tell whether a reading's thing is the first loss of training that was declared; on_reading. */
bool rule_is_first_loss(const struct rule_context *context);

/**
 * Tell whether the process trains with mixed precision, as far as is known: a loss scale is
 * logged, or a module gives f16; then gradients may overflow now and then.
 */
bool rule_is_mixed(const struct rule_context *context);

/** Tell whether the process logs a loss scale: gradients are made as large as their type holds. */
bool rule_is_scaled(const struct rule_context *context);

/**
 * Give the batch of a step that is complete or under evaluation.
 *
 * returns  false when it is not known (any more); then the outputs are untouched
 */
bool rule_batch(const struct rule_context *context, int64_t step, uint64_t *out_batch_size,
    const int64_t **out_samples, size_t *out_n_samples);

/** Write the sentence of a finding; a full stop is not added. */
void rule_say(struct judge_finding *finding, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** Write more of the sentence. */
void rule_say_more(struct judge_finding *finding, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** Add a piece of evidence; one too many is left out. text: static, or NULL. */
void rule_show(struct judge_finding *finding, uint32_t thing, enum reading_kind kind,
    int stat, int64_t unit, int64_t from_step, const char *text);

/** Add a likely cause; one too many is left out. */
void rule_blame(struct judge_finding *finding, enum judge_cause cause);

/* Hysteresis: on after so many bad readings in a row, off after so many good ones. */
struct rule_latch {
    uint16_t n_bad;
    uint16_t n_good;
    bool is_on;
};

/** Feed a latch; true at the reading that switches it on. */
static inline bool rule_latch(
    struct rule_latch *latch, bool is_bad, unsigned n_to_on, unsigned n_to_off)
{
    latch->n_bad = is_bad ? (uint16_t)(latch->n_bad + (latch->n_bad < UINT16_MAX)) : 0;
    latch->n_good = is_bad ? 0 : (uint16_t)(latch->n_good + (latch->n_good < UINT16_MAX));
    bool was_on = latch->is_on;
    latch->is_on = was_on ? latch->n_good < n_to_off : latch->n_bad >= n_to_on;
    return latch->is_on && !was_on;
}

#endif
