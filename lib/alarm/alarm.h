/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From readings of a run to its alerts and incidents: a judge for each process, one book of
 * incidents for the run, and their messages. The daemon feeds it live, `baro replay` feeds it stored
 * history; it is the same code, so that both say the same.
 */
#ifndef BARO_ALARM_H
#define BARO_ALARM_H

#include "lib/analysis/judge.h"
#include "lib/analysis/rule_book.h"
#include "proto/barograph.pb-c.h"

struct alarm;        /* of one run */
struct alarm_stream; /* of one process; lives as long as its alarm */

enum {
    ALARM_MAX_ALERTS = 1000, /* kept of one run; others are counted */
    ALARM_WARM_STEPS = 600   /* of history, that a judge sees again after a restart */
};

/** Make the alarm of a run. book: borrowed until alarm_destroy, not to be changed meanwhile. */
struct alarm *alarm_create(const struct rule_book *book);

/** Free it with its streams; accepts NULL. */
void alarm_destroy(struct alarm *alarm);

/**
 * Go on with what is stored: numbers, open incidents, and what is not to be told again.
 *
 * alerts, incidents  in the order of their ids; borrowed for the call
 */
void alarm_resume(struct alarm *alarm, Baro__Alert *const *alerts, size_t n_alerts,
    Baro__Incident *const *incidents, size_t n_incidents);

/** Say how many ranks the run has, before its first reading: see judge_run_expect. */
void alarm_expect_ranks(struct alarm *alarm, uint32_t n_ranks);

/** Add a process of a rank. */
struct alarm_stream *alarm_add_stream(struct alarm *alarm, uint32_t rank);

/** Introduce a thing to a process, before its first reading; declare->id is not looked at. */
void alarm_declare(
    struct alarm_stream *stream, uint32_t thing, const Baro__Declare *declare);

/**
 * Feed one reading of a process, in order of arrival.
 *
 * thing    its id in the run, 0: none
 * returns  true when there may be something to take
 */
bool alarm_reading(
    struct alarm_stream *stream, const struct reading *reading, uint32_t thing);

/** Say that a process's readings end, or that nobody knows more for now. */
void alarm_end(
    struct alarm_stream *stream, enum judge_end why, const char *reason, int64_t time_ns);

/** Begin or end the time in which findings are passed over: they were told before a restart. */
void alarm_set_warming(struct alarm_stream *stream, bool is_warming);

/** Close all incidents: the run has ended. */
void alarm_close(struct alarm *alarm);

/**
 * Take the next alert, its id and incident set; run, time and all texts, too.
 *
 * out_stream  whose readings raised it; NULL: not wanted
 * returns     NULL when there is none; the caller's, from protobuf-c's allocator
 */
Baro__Alert *alarm_take(struct alarm *alarm, const struct alarm_stream **out_stream);

/** Take the next incident that is new or changed; NULL when there is none. As alarm_take. */
Baro__Incident *alarm_take_incident(struct alarm *alarm);

/** Tell how many alerts were found and not kept, because there were too many. */
uint64_t alarm_n_withheld(const struct alarm *alarm);

#endif
