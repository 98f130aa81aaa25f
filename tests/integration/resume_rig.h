/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that open a run again, in a test, and what the daemon made of it. */
#ifndef RESUME_RIG_H
#define RESUME_RIG_H

#include "tests/integration/daemon_rig.h"

enum { RESUME_MAX_POINTS = 4096 };

/* A scalar's points as they come back, in order. */
struct resume_points {
    size_t n;
    int64_t steps[RESUME_MAX_POINTS];
    double values[RESUME_MAX_POINTS];
};

/* How a process opens a run. */
struct resume_opening {
    const char *run_id;
    uint32_t resume;
    int64_t resume_step;
    int64_t at_s; /* when it opens it */
    uint32_t rank;
    uint32_t n_ranks;
    bool is_recovery;
    const char *job;
};

/** Open a run as a process of its own, with a scalar "loss", thing 1. */
struct pusher resume_open(struct rig *rig, int seed, const struct resume_opening *opening);
/** Push "loss" of steps from..to-1. */
void resume_push(struct pusher *pusher, int64_t from, int64_t to, double value);
/** Be a whole process: open, push from one step to another, be gone. */
void resume_train(struct rig *rig, int seed, const struct resume_opening *opening,
    int64_t from, int64_t to, double value);
/** What the daemon lists of a run, without pointers; zeros: it has none of that name. */
Baro__RunInfo resume_info(struct rig *rig, const char *run_id);
/** The points of a scalar over the run's lineage. */
struct resume_points resume_points(struct rig *rig, const char *run_id, const char *name);
/** Expect steps from..to-1 once each with one value, beginning at a place; gives the next place. */
size_t resume_expect(
    const struct resume_points *points, size_t at, int64_t from, int64_t to, double value);
/** Whether an event of a run has a text in it. */
bool resume_has_event(struct rig *rig, const char *run_id, const char *text);
/** Wait for such an event; fail after 20 s. */
void resume_wait_event(struct rig *rig, const char *run_id, const char *text);
/** A thing of a run by name and epoch, borrowed from *out, which is to be released; NULL: none. */
Baro__ThingInfo *resume_thing(struct rig *rig, uint32_t run, const char *name,
    uint32_t epoch, struct link_message *out);
/** How many readings of a thing were seen twice. */
uint64_t resume_repeats(struct rig *rig, const char *run_id, const char *name);

#endif
