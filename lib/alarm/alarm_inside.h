/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the alarm share; for no one else. */
#ifndef BARO_ALARM_INSIDE_H
#define BARO_ALARM_INSIDE_H

#include "lib/alarm/alarm.h"
#include "lib/analysis/detect_ranks.h"
#include "lib/analysis/incident.h"
#include "lib/analysis/judge_run.h"

/* What is told of a thing; zeroed: the run itself. */
struct alarm_thing {
    char *name;
    char *module;
    uint32_t role; /* 0: a scalar */
    uint32_t rank;
    bool is_replicated; /* must be the same on all ranks */
};

/* An alert that is stored already. */
struct alarm_known {
    char *kind;
    uint32_t thing;
    uint32_t rank;
    int64_t step;
    int64_t unit;
};

/* An alert that waits to be taken. */
struct alarm_news {
    Baro__Alert *alert;
    const struct alarm_stream *stream;
};

struct alarm_stream {
    struct alarm *alarm;
    struct judge *judge;
    uint32_t rank;
    bool is_warming;
};

struct alarm {
    const struct rule_book *book;
    struct alarm_stream **streams;
    size_t n_streams;
    struct alarm_thing *things; /* by id */
    size_t n_things;
    struct judge_run *ranks;         /* compares ranks; NULL until there are some */
    struct incident_book *incidents; /* NULL until there is one */
    struct alarm_known *known;
    size_t n_known;
    struct alarm_news *alerts;
    size_t n_alerts;
    size_t next_alert;
    struct judge_finding *findings; /* of the reading at hand */
    size_t n_findings;
    uint64_t last_alert; /* number of the newest */
    uint64_t last_incident;
    uint64_t n_withheld;
};

/** Make the message of a finding; its incident is not set. */
Baro__Alert *alarm_make_alert(const struct judge_finding *finding, const char *kind,
    const struct alarm_thing *about, uint32_t rank, uint64_t id);

/** Describe an alert for the incidents; borrows from alert and finding. */
void alarm_describe(const Baro__Alert *alert, const struct judge_finding *finding,
    struct incident_alert *out);

/** Describe a stored alert for the incidents; borrows from alert and out_evidence. */
void alarm_recall_alert(const Baro__Alert *alert, struct incident_alert *out,
    struct judge_evidence *out_evidence);

/** Make the message of an incident; its run is not set. */
Baro__Incident *alarm_make_incident(const struct incident *from);

#endif
