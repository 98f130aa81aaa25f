/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Incidents: alerts that belong together, in causal order, as one story. Pure and streaming: alerts
 * in, incidents out, bounded memory, no clock. The same alerts in the same order give the same
 * incidents, live and in replay.
 */
#ifndef BARO_INCIDENT_H
#define BARO_INCIDENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/analysis/judge.h"

struct incident_book;

enum {
    INCIDENT_WINDOW = 8, /* steps after its last alert within which another joins */
    INCIDENT_LONG_WINDOW =
        64,                   /* likewise, for the same thing or the same kind and module */
    INCIDENT_MAX_ALERTS = 48, /* kept of one incident; others are counted */
    INCIDENT_MAX_SAME = 12,   /* kept of one kind in one incident */
    INCIDENT_MAX_OPEN = 16,   /* of a run at a time; beyond it the oldest is closed */
    INCIDENT_MAX_KNOWN = 64,  /* open or remembered */
    INCIDENT_MAX_CAUSES = 4,
    INCIDENT_MAX_ADVICE = 3,
    INCIDENT_MAX_EVIDENCE = 6,
    INCIDENT_NAME_BYTES = 96,
    INCIDENT_TEXT_BYTES = 400
};

/* Where in a training step something is computed; what comes first can be the cause of the rest. */
enum incident_stage {
    INCIDENT_SETTING = 0, /* the learning rate: somebody's doing */
    INCIDENT_DATA,        /* inputs of the model */
    INCIDENT_FORWARD,     /* outputs of modules */
    INCIDENT_LOSS,
    INCIDENT_BACKWARD,  /* gradients */
    INCIDENT_OPTIMISER, /* its state, its updates, the gradients' norm, the loss scale */
    INCIDENT_WEIGHTS,
    INCIDENT_RANKS, /* replicas that part */
    INCIDENT_PACE,  /* time: stragglers, a stall; no part of the numbers' story */
    INCIDENT_OTHER,
    INCIDENT_STAGE_COUNT
};

/* What an incident needs to know of an alert; texts are copied. */
struct incident_alert {
    uint64_t id;       /* the caller's, not 0 */
    const char *kind;  /* name of the rule */
    const char *title; /* what the rule finds, in a few words: "gradient explosion" */
    uint32_t level;    /* enum baro_level */
    int64_t step;      /* at which it became visible */
    int64_t time_ns;
    uint32_t thing; /* 0: the run itself */
    uint32_t rank;
    const char *name;   /* of the thing */
    const char *module; /* of the thing, or "" */
    uint32_t role;      /* enum baro_role, 0 for scalars */
    int64_t unit;       /* -1: none */
    double value;
    double usual;       /* what value is compared with; NaN: nothing */
    const char *text;   /* its sentence */
    const char *advice; /* what to try */
    enum judge_cause causes[JUDGE_MAX_CAUSES]; /* likeliest first; NONE at the end */
    const struct judge_evidence *evidence;
    size_t n_evidence;
    bool goes_on; /* belongs to the incident of the same kind and thing, however long ago */
};

/* A piece of a series that shows why, as an incident keeps it. */
struct incident_evidence {
    struct judge_evidence piece; /* its text is NULL */
    char text[INCIDENT_NAME_BYTES];
};

/* One alert as an incident keeps it. */
struct incident_member {
    uint64_t id;
    char kind[INCIDENT_NAME_BYTES / 2];
    char title[INCIDENT_NAME_BYTES / 2];
    char name[INCIDENT_NAME_BYTES];
    char module[INCIDENT_NAME_BYTES];
    uint32_t level;
    int64_t step;
    int64_t time_ns;
    enum incident_stage stage;
    uint32_t role;
    uint32_t thing;
    uint32_t rank;
    int64_t unit;
    double value;
    double usual;
    char text[INCIDENT_TEXT_BYTES];
    char advice[INCIDENT_TEXT_BYTES];
    enum judge_cause causes[JUDGE_MAX_CAUSES];
    struct incident_evidence evidence; /* its first; thing 0 and kind 0: none */
};

/* Alerts that belong together. */
struct incident {
    uint64_t id;     /* from 1, in the order in which they were opened */
    bool is_open;    /* its condition may go on: something can still join */
    bool is_over;    /* its run has ended: nothing joins any more */
    bool is_changed; /* since incidents_take; its sentences are of then */
    uint32_t level;  /* of the gravest, those that are not kept included */
    int64_t first_step;
    int64_t last_step;
    int64_t time_ns;                 /* of the first in causal order */
    struct incident_member *members; /* in causal order */
    size_t n_members;
    uint64_t n_more; /* alerts that were not kept */
    char headline[INCIDENT_TEXT_BYTES];
    char causes[INCIDENT_MAX_CAUSES][INCIDENT_TEXT_BYTES];
    size_t n_causes;
    char advice[INCIDENT_MAX_ADVICE][INCIDENT_TEXT_BYTES];
    size_t n_advice;
    struct incident_evidence evidence[INCIDENT_MAX_EVIDENCE];
    size_t n_evidence;
};

/* Where an alert went. */
struct incident_place {
    uint64_t incident;
    bool is_new;  /* the incident began with it */
    bool is_kept; /* else it is only counted: the caller need not keep it */
};

/** Make the incidents of one run; ends the process when out of memory. */
struct incident_book *incidents_create(void);

/** Free them; accepts NULL. */
void incidents_destroy(struct incident_book *book);

/** Go on counting behind those that are stored already: the next one is last_id + 1. */
void incidents_resume(struct incident_book *book, uint64_t last_id);

/**
 * Take up an incident that was stored, so that what follows can join it.
 *
 * alerts   its kept ones, in any order; at least 1
 */
void incidents_recall(struct incident_book *book, uint64_t id, bool is_open,
    const struct incident_alert *alerts, size_t n_alerts, uint64_t n_more);

/** Put an alert into the incident that it belongs to, or open one for it. */
struct incident_place incidents_add(
    struct incident_book *book, const struct incident_alert *alert);

/** Say which step the run has come to: incidents that nothing can join any more are closed. */
void incidents_see_step(struct incident_book *book, int64_t step);

/** Close all: the run has ended. */
void incidents_end(struct incident_book *book);

/**
 * Take the next incident that is new or changed, with its sentences written anew.
 *
 * returns  NULL when there is none; else valid until the next call on book
 */
const struct incident *incidents_take(struct incident_book *book);

/** Tell where in a step a thing is computed. role: enum baro_role, 0 for scalars. */
enum incident_stage incident_stage_of(const char *kind, const char *name, uint32_t role);

#endif
