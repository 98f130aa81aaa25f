/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the investigation share; for no one else. */
#ifndef BARO_WHY_INSIDE_H
#define BARO_WHY_INSIDE_H

#include "lib/analysis/why.h"

enum { WHY_MAX_ROWS = 64, WHY_NO_STEP_KNOWN = -1 };

/* What an operation does that can break. */
enum why_op {
    WHY_OP_OTHER = 0,
    WHY_OP_EXP,
    WHY_OP_LOG,
    WHY_OP_DIVIDE,
    WHY_OP_ROOT,
    WHY_OP_POWER,
    WHY_OP_NORM,      /* length of a vector, distance */
    WHY_OP_NORMALISE, /* batch norm and its like */
    WHY_OP_CAST,
    WHY_OP_SUM, /* additions, products, matrices: overflow only */
    WHY_OP_SOFTMAX,
    WHY_OP_ARC /* defined between -1 and 1 */
};

/* The course of one series. */
struct why_drift {
    const struct why_thing *thing;
    const struct why_series *series;
    struct shift shift;
    bool is_after; /* it changed only behind the step of the trouble */
};

/* What is found out of the failure probe. */
struct why_found {
    bool is_there;
    enum why_op op;
    int32_t value; /* that operand; PROBE_NONE: not known */
    double gain;   /* largest size now by that in calm, of the operand; NaN: not known */
    int jump;      /* the hop at which sizes leave what they are in calm; -1: none */
    double input_gain;           /* of what came from outside; NaN: not known */
    double weight_gain;          /* most of any parameter on the way; NaN: not known */
    char weight[WHY_NAME_BYTES]; /* that parameter */
    double
        odd_input; /* how far the inputs of the bad rows lie from those of the others, in spreads
                         of these; NaN: not known */
    bool
        is_blank; /* all numbers of the bad rows' inputs are one and the same, of no other's */
    double blank; /* that number */
};

/* The whole investigation. */
struct why_work {
    const struct why_facts *facts;
    struct why_story *story;
    struct why_plan plan;
    struct why_found found;
    struct why_drift drifts[WHY_MAX_WANTS];
    size_t n_drifts;
    const struct why_series *loss; /* NULL: none */
    bool is_nonfinite;             /* the trouble is a NaN or an infinity */
    bool is_masked; /* the gradient of what was left out behind the operation became NaN */
    bool is_data_spoilt; /* the data themselves were out of their range */
    double here; /* change mode: share of the change made by weights; NaN: not known */
    double came; /* likewise, that came in with the data */
};

/* ---- names: why_plan.c ---- */

/** Write the module of a thing: its name, of parameters without their own. Returns out. */
char *why_module_of(const struct why_thing *thing, char out[WHY_NAME_BYTES]);

/** Tell whether two paths name the same module; one may have the model's name before it. */
bool why_is_module(const char *a, const char *b);

/** Find a thing by its number; NULL when it is not there. */
const struct why_thing *why_thing(const struct why_facts *facts, uint32_t id);

/** Tell whether a scalar is the loss of training. */
bool why_is_loss(const struct why_thing *thing);

/** Tell whether an alert says that the loss itself is in trouble. */
bool why_is_loss_alert(const struct why_alert *alert);

/** Write a thing with its role and unit, as people read it. Returns out. */
char *why_label(const struct why_thing *thing, int64_t unit, char out[WHY_NAME_BYTES]);

/** Add to a text; what does not fit is cut at a character. */
void why_say(char *text, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- the parts of the story ---- */

/** Find the operation that broke and the way to it; fills story->origin and hops. why_probe.c */
void why_read_probe(struct why_work *work);

/** Find the operand of a probe's origin, for the plan. Returns its value, or PROBE_NONE. */
int32_t why_operand_value(const struct probe *probe);

/** Name the module that gave a value; "" when none did. */
const char *why_value_module(const struct probe *probe, int32_t value);

/** Tell each series's course. why_drift.c */
void why_read_series(struct why_work *work);

/** Write the beats, in order of time. */
void why_tell_beats(struct why_work *work);

/** Rank the modules. */
void why_rank_suspects(struct why_work *work);

/** Say which statistic a series is, for a sentence: ", its norm,", or "". */
const char *why_stat_words(const struct why_series *series);

/** Find the drift of a thing with one of the meanings of a scalar; NULL: it has none. */
const struct why_drift *why_setting_drift(const struct why_work *work);

/** Name the samples. why_samples.c */
void why_tell_samples(struct why_work *work);

/** Weigh the evidence. why_verdict.c */
void why_weigh(struct why_work *work);

/** Say what to do. why_remedy.c */
void why_advise(struct why_work *work);

/** Shares of the way, by credit assignment. why_credit.c */
void why_read_credit(struct why_work *work);

#endif
