/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The investigation: what is known of a run becomes one story, "what broke, where, since when, why,
 * and what to change". Used by `baro why`, `baro report` and the viewer's why page. Pure: facts in,
 * a story out. In two rounds: why_plan() says which series and batches are worth asking for,
 * why_tell() tells the story from what came, however little that is.
 */
#ifndef BARO_WHY_H
#define BARO_WHY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/analysis/credit.h"
#include "lib/analysis/incident.h"
#include "lib/analysis/shift.h"
#include "lib/base/probe_pieces.h"
#include "lib/base/reading.h"

enum {
    WHY_NAME_BYTES = 160,
    WHY_TEXT_BYTES = 480,
    WHY_MAX_WANTS = 96,
    WHY_MAX_BEATS = 10,
    WHY_MAX_HOPS = 10,
    WHY_MAX_SUSPECTS = 8,
    WHY_MAX_EVIDENCE = 8,
    WHY_MAX_REMEDIES = 3,
    WHY_MAX_SAMPLES = 8,
    WHY_MAX_MISSING = 4,
    WHY_MAX_UNITS = 8,
    WHY_WINDOW =
        1024 /* steps that are looked at one by one, more where readings are rare */
};

/* ---- what is known ---- */

/* A scalar or tensor of the run. */
struct why_thing {
    uint32_t id; /* from 1, in the order of the data flow */
    const char *name;
    uint32_t role; /* enum baro_role; 0: a scalar */
    uint32_t dtype;
    uint32_t n_units;
    uint32_t rank;
    uint64_t n_points;
    int64_t first_step;
    int64_t last_step;
    double spacing; /* steps from one reading to the next, lately; 0: not known */
    bool is_own;    /* one of Barograph's own figures */
};

/* An alert. Texts are never NULL. */
struct why_alert {
    uint64_t id;
    const char *kind;
    const char *name; /* of the thing; "" for the run itself */
    const char *module;
    const char *text;
    const char *advice;
    uint32_t level; /* enum baro_level */
    uint32_t thing;
    uint32_t role;
    uint32_t rank;
    int64_t step; /* at which it shows */
    int64_t noticed_step;
    int64_t unit; /* -1: none */
    double value;
    double usual;    /* NaN: nothing to compare with */
    bool is_before;  /* of an incident just before, that may have led to this one */
    bool has_sample; /* samples[0] is the very sample */
    size_t n_samples;
    const int64_t *samples;
    size_t n_causes;
    char *const *causes; /* in the words of judge_cause_text(), likeliest first */
};

/* The incident that is investigated. */
struct why_incident {
    uint64_t id;
    const char *headline;
    uint32_t level;
    int64_t first_step;
    int64_t last_step;
    bool is_open;
};

/* Readings of one series; all of one rank, up to the end of the plan. */
struct why_series {
    uint32_t thing;
    enum reading_kind kind;
    int stat;
    int64_t unit;   /* -1: of the whole tensor */
    bool is_coarse; /* one number for many steps: its largest, for abs_max, else its mean */
    size_t n;
    const int64_t *steps; /* rising */
    const double *values;
};

/* A batch: the samples of one step, in their order. */
struct why_batch {
    int64_t step;
    size_t n;
    const int64_t *samples;
};

/* What the samples of one step gave, each by itself. */
struct why_results {
    int64_t step;
    size_t n;
    const struct reading_sample *samples;
};

enum { WHY_MAX_OTHERS = 4 };

/* Failures that were captured beside the one that is told. */
struct why_others {
    size_t n;                      /* in all */
    int64_t steps[WHY_MAX_OTHERS]; /* the first of them, rising */
    int64_t cut_step;              /* of one that came only in part, when pieces > 0 */
    uint32_t pieces;
    uint32_t pieces_here;
};

struct why_run {
    const char *name;   /* "vae/beta-4" */
    const char *status; /* "running", "finished", "failed", "killed", "stalled" */
    const char *reason; /* why it failed; "" when it did not say */
    int64_t first_step;
    int64_t last_step;
    int64_t n_steps;
    uint32_t n_alerts;
};

/* All that is known; borrowed for each call. Zero and NULL are not known. */
struct why_facts {
    struct why_run run;
    const struct why_thing *things; /* by rising id */
    size_t n_things;
    const struct why_incident *incident; /* NULL: there is none */
    const struct why_alert *alerts;      /* of it, in causal order */
    size_t n_alerts;
    const struct probe *failure; /* captured at the moment of failure */
    const struct probe *calm;    /* the last one before it in which all was finite */
    const struct why_series *series;
    size_t n_series;
    const struct why_batch *batches; /* by rising step */
    size_t n_batches;
    const struct why_results *results; /* likewise */
    size_t n_results;
    struct why_others others;
    size_t n_states;     /* steps of which the state of random numbers is kept, */
    int64_t first_state; /* from this one */
    int64_t last_state;  /* to that */
    bool has_step;       /* step was asked for */
    int64_t step;
};

/**
 * Take in that the state of random numbers is kept for a step.
 *
 * step   in rising order; the same one again (another device's, another rank's) counts once
 */
void why_add_state(struct why_facts *facts, int64_t step);

/* ---- what to ask for ---- */

/* A series that is worth having. */
struct why_want {
    uint32_t thing;
    enum reading_kind kind;
    int stat;
    int64_t unit;
};

struct why_plan {
    int64_t step; /* at which the trouble shows */
    int64_t from; /* window in which every reading is wanted */
    int64_t to;
    bool
        wants_past; /* from first_step on as columns, too: there is more before the window */
    bool
        wants_batches; /* those up to to, the newest first, as many as are cheap; likewise what
                           samples gave */
    size_t n_wants;
    struct why_want wants[WHY_MAX_WANTS];
};

/* ---- the story ---- */

enum why_answer {
    WHY_NOTHING = 0,   /* nothing is wrong, as far as the readings tell */
    WHY_FROM_READINGS, /* told from stored readings */
    WHY_FROM_PROBE     /* the operation itself was captured */
};

/* What kind of thing is to blame. */
enum why_cause {
    WHY_UNKNOWN = 0,
    WHY_DATA,
    WHY_OPTIMISER, /* learning rate, clipping, decay, its state: what moves the weights */
    WHY_ARCHITECTURE, /* a formula or layer that cannot stand what it meets */
    WHY_PRECISION,    /* a type whose range is too small */
    WHY_BUG, /* the program does not do what it should: frozen, detached, wrong mode, not synced */
    WHY_MACHINE, /* pace, processes, other programs */
    WHY_CAUSE_COUNT
};

/* Something that speaks for a cause. */
struct why_evidence {
    enum why_cause cause;
    double weight; /* below 0: speaks against it */
    char text[WHY_TEXT_BYTES];
};

struct why_verdict {
    enum why_cause cause;
    enum why_cause second; /* UNKNOWN: none */
    double
        sureness; /* share of the weight that speaks for it, less what is little in all: 0..1 */
    char text[WHY_TEXT_BYTES];
    size_t n_evidence; /* for the cause first, by falling weight */
    struct why_evidence evidence[WHY_MAX_EVIDENCE];
};

/* The operation, or at least the tensor, in which it began. */
struct why_origin {
    char op[WHY_NAME_BYTES]; /* "exp"; "" without a probe */
    char breaks
        [WHY_NAME_BYTES]; /* the operation that operand and limit are of: op, or what gave a
                                    backward op its infinity */
    char module[WHY_NAME_BYTES]; /* "" : in none, the loss */
    char tensor
        [WHY_NAME_BYTES]; /* as it is stored, without a probe; else what the operand is */
    char source[WHY_NAME_BYTES]; /* "train.py:57"; "" when not known */
    char cause[WHY_TEXT_BYTES];  /* in a sentence; "" without a probe */
    char dtype[8];               /* of the result; "" when not known */
    uint32_t role;               /* of tensor; 0: a scalar, or the probe's */
    bool is_outside; /* no operation: data, or weights that were poisoned before */
    bool is_gradient;
    bool is_exact;     /* computing it again gave the same bits */
    double operand;    /* that broke it; NaN: not known */
    uint64_t n_nan;    /* of the operand's numbers */
    double limit;      /* beyond which the operation breaks; NaN: none */
    double usual;      /* the same operand's extreme in calm; NaN: not known */
    int64_t calm_step; /* of usual */
    size_t n_units;    /* known of; 0: it has none */
    size_t n_units_all;
    int64_t units[WHY_MAX_UNITS];
};

/* A place that may be to blame, likeliest first. */
struct why_suspect {
    char module[WHY_NAME_BYTES]; /* or the name of a scalar, "input" for the data */
    int64_t unit;
    int64_t step; /* since when */
    double score;
    char text[WHY_TEXT_BYTES];
};

/* One stage of the story, in order of time: a card of the why page. */
enum why_beat_kind {
    WHY_BEAT_SETTING = 1, /* the learning rate was changed */
    WHY_BEAT_DRIFT,       /* a series left its course */
    WHY_BEAT_ALERT,
    WHY_BEAT_ORIGIN,
    WHY_BEAT_LOSS
};
struct why_beat {
    enum why_beat_kind kind;
    int64_t step;
    int64_t lead;           /* steps before the loss showed it; INT64_MIN: not known */
    struct why_want series; /* to draw; thing 0: none */
    struct shift shift;     /* of it; kind NONE: none */
    bool is_result; /* of the operation that failed in the same step: comes after it */
    char title[WHY_NAME_BYTES];
    char text[WHY_TEXT_BYTES];
};

/* One value on the way upstream from the operand that broke. */
struct why_hop {
    int32_t value; /* of the failure probe */
    int32_t op;    /* PROBE_NONE: it came from outside */
    char module[WHY_NAME_BYTES];
    char op_name[WHY_NAME_BYTES];
    double number; /* its largest size */
    double usual;  /* in calm; NaN: not known */
    double share;  /* of what made the operand; NaN: not known */
    int64_t unit;  /* that made most of it; -1: none stands out */
    double unit_share;
    char text[WHY_TEXT_BYTES];
};

/* A sample that did it, or may have. */
struct why_sample {
    int64_t sample;    /* in the data set; -1: not known */
    int64_t row;       /* of the batch; -1: not known */
    bool is_certain;   /* it is the very one */
    size_t n_before;   /* earlier batches that held it, of those known */
    int64_t last_step; /* of these; valid when n_before > 0 */
    double last_loss;  /* of that step; NaN: not known */
    double usual_loss; /* of the steps around that one; NaN: not known */
    bool is_loss_out;  /* last_loss was above that */
    bool has_own;      /* its own loss is known of a step before: */
    int64_t own_step;  /* the last such */
    double own_loss;   /* there */
    double own_usual;  /* the middle one of all samples of that step */
    bool is_own_out;   /* it was far above that */
    double share;      /* of what made the operand; NaN: not known */
    bool
        has_course; /* the tensor before the operation is far larger whenever it is there */
    uint32_t
        thing; /* that tensor; its first and last such size, and the usual one without it */
    int64_t first_step;
    double first;
    double last;
    double without;
    char text[WHY_TEXT_BYTES];
};

struct why_story {
    enum why_answer answer;
    int64_t step; /* at which the trouble shows */
    int64_t
        loss_step; /* at which the loss shows it; INT64_MIN: it does not, or is not known */
    char headline[WHY_TEXT_BYTES];
    bool has_origin;
    struct why_origin origin;
    struct why_verdict verdict;
    size_t n_beats;
    struct why_beat beats[WHY_MAX_BEATS];
    size_t n_hops; /* from the operand upstream */
    struct why_hop hops[WHY_MAX_HOPS];
    size_t n_suspects;
    struct why_suspect suspects[WHY_MAX_SUSPECTS];
    size_t n_samples;
    struct why_sample samples[WHY_MAX_SAMPLES];
    size_t n_remedies;
    char remedies[WHY_MAX_REMEDIES][WHY_TEXT_BYTES];
    size_t n_missing; /* what would have told more, and how to have it */
    char missing[WHY_MAX_MISSING][WHY_TEXT_BYTES];
    char looked[WHY_TEXT_BYTES]; /* at what, in a sentence */
    bool is_harmless; /* a value was not finite, but the loss stayed so: it may be meant */
};

/** Say what to ask for. facts: without series and batches. */
void why_plan(const struct why_facts *facts, struct why_plan *out);

/** Tell whether of a coarse series the largest number of each column is wanted, not the mean. */
bool why_is_size(const struct why_want *want);

/** Tell the story. cost: that of shift_find() for each series, and of the credit of one value. */
void why_tell(const struct why_facts *facts, struct why_story *out);

/* An incident that may be investigated. */
struct why_choice {
    uint32_t level;
    bool is_nonfinite; /* a NaN or an infinity is among its alerts, where it can do harm */
    int64_t first_step;
    int64_t last_step;
};

/**
 * Choose what to investigate: the gravest incident, of several as grave the first with a NaN, else
 * the first; with a step the one that lasted over it or is nearest to it.
 *
 * returns  its place; n when there is none
 */
size_t why_choose(const struct why_choice *choices, size_t n, bool has_step, int64_t step);

/**
 * Tell whether an incident may have led to another one: it is grave enough, and was there shortly
 * before it or beside it.
 */
bool why_may_have_led(const struct why_choice *other, const struct why_choice *chosen);

/* An incident of a run, as it is listed. */
struct why_listed {
    uint32_t level; /* enum baro_level */
    int64_t first_step;
    int64_t last_step;
    size_t n_alerts;
    const uint64_t *alerts; /* their ids */
};

/* All incidents and alerts of a run; borrowed. */
struct why_lists {
    const struct why_listed *incidents;
    size_t n_incidents;
    const struct why_alert *alerts;
    size_t n_alerts;
};

/**
 * Choose what to investigate of all incidents, as why_choose() does. A failure that was captured when
 * the run broke off goes before incidents in which all was finite: no alert can tell of it, for the
 * loss of that step was never logged.
 *
 * probes     of the run
 * last_step  of the run
 * step       that was asked for; INT64_MIN: none
 * returns    its place; n_incidents: none, or what a failure tells is to be told without one
 */
size_t why_choose_listed(const struct why_lists *lists, const struct probe_list *probes,
    int64_t last_step, int64_t step);

/**
 * Copy the alerts of an incident, and of those that may have led to it, in the order of causes.
 *
 * chosen   place of the incident; n_incidents: none
 * out      room for lists->n_alerts
 * returns  how many there are
 */
size_t why_gather_alerts(
    const struct why_lists *lists, size_t chosen, struct why_alert *out);

/**
 * Choose the captured failure that belongs to an incident: the first whole one in it or just before
 * it; without an incident the first of all.
 *
 * incident    NULL: there is none
 * step        that was asked for, INT64_MIN: none
 * out_others  the other ones
 * returns     NULL when there is none; one that is not whole only when no other is
 */
const struct probe_entry *why_choose_failure(const struct probe_list *list,
    const struct why_incident *incident, int64_t step, struct why_others *out_others);

/** Say why no gradient can be shared out: the loss is no finite number; "" when it is. */
const char *why_no_gradient(const struct probe *probe);

/** Choose the newest whole probe before a step in which nothing had failed; NULL: none. */
const struct probe_entry *why_choose_calm(const struct probe_list *list, int64_t before);

/**
 * Take batches out of rows of records; their samples stay where they lie.
 *
 * bytes    8-byte aligned, n_bytes; must live as long as the list
 * out      a new list by rising step, the caller frees it
 * returns  how many there are
 */
size_t why_take_batches(const void *bytes, size_t n_bytes, struct why_batch **out);

/** Take what samples gave; as why_take_batches(). Several calls of one step are several entries. */
size_t why_take_results(const void *bytes, size_t n_bytes, struct why_results **out);

/**
 * Say what of the operand that broke is to be explained: the unit and row that were bad, where it
 * has such.
 */
struct credit_target why_credit_target(const struct probe *probe, int32_t value);

/** Put alerts in the order of causes: by step, then by where in a step things are computed. */
void why_sort_alerts(struct why_alert *alerts, size_t n);

/** Write a step with its thousands apart: 24,397. Returns out. */
char *why_step(int64_t step, char out[32]);

/**
 * Write a module as it is told in a sentence: "the loss function", "module 5" where its name alone
 * would be taken for a number, else its name. Returns out.
 */
char *why_place(const char *module, char out[WHY_NAME_BYTES]);

/** Name a cause in a word: "data", "optimiser", ... */
const char *why_cause_name(enum why_cause cause);

/** Say of a hop how much came through it, and by which unit: "82 %, unit 12 alone 40 %"; or "". */
void why_hop_words(const struct why_hop *hop, char *out, size_t size);

/**
 * Say what the operation of a story's origin was: its operand, where it breaks, and the operand in
 * calm. out: emptied first; of WHY_FROM_PROBE only
 */
void why_origin_words(const struct why_story *story, char *out, size_t size);

/** Name a kind of beat: "setting", "drift", "alert", "origin", "loss". */
const char *why_beat_name(enum why_beat_kind kind);

/** Say in words how sure that is: "surely", "probably", "perhaps". */
const char *why_sureness_word(double sureness);

#endif
