/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Telling people of incidents: one notification when an incident opens, one more when it becomes
 * an alarm. Each way of telling has a thread and a bounded queue of its own; the ingest thread
 * only hands over, and waits for nobody.
 */
#ifndef BAROD_NOTIFY_H
#define BAROD_NOTIFY_H

#include "daemon/notify_options.h"
#include "proto/barograph.pb-c.h"

struct notify;

struct notify_figures {
    uint64_t n_sent;
    uint64_t n_failed;    /* given up */
    uint64_t n_held_back; /* by the limit of an hour, or because a way was too slow */
};

/* What came of one way's test. */
struct notify_result {
    char way[208];
    bool is_good;
    char text[240]; /* why not */
    uint32_t took_ms;
};

/**
 * Start a thread for each way.
 *
 * options  borrowed for the call
 * returns  NULL with err when there are no threads to be had; without ways it does nothing
 */
struct notify *notify_start(const struct notify_options *options, struct baro_err *err);

/** Tell what waits, for at most a second, and free; accepts NULL. */
void notify_stop(struct notify *notify);

/**
 * An incident is new or has changed: tell it if there is something to tell.
 *
 * before   as it was known until now; NULL: not at all
 */
void notify_on_incident(struct notify *notify, const Baro__RunDescription *description,
    const Baro__Incident *before, const Baro__Incident *now);

/**
 * Try each way once, now.
 *
 * returns  0; BARO_ENOENT when there is no way; BARO_EBUSY when a test is under way
 */
int notify_test(struct notify *notify, struct baro_err *err);

/** Give a descriptor that can be read once a test is done. */
int notify_fd(const struct notify *notify);

/**
 * Take the results of a test that is done.
 *
 * out      NOTIFY_MAX_TARGETS
 * returns  how many; 0 while it is not done
 */
size_t notify_take_test(struct notify *notify, struct notify_result *out);

/** Read the figures. Any thread. */
void notify_read(struct notify *notify, struct notify_figures *out_figures);

#endif
