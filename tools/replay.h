/* SPDX-License-Identifier: Apache-2.0 */
/* Judging a run's stored history again, for `baro replay`. */
#ifndef BARO_TOOLS_REPLAY_H
#define BARO_TOOLS_REPLAY_H

#include "lib/alarm/alarm.h"
#include "lib/link/link.h"
#include "tools/cli.h"

/* What a replay found. Zeroed before replay_run; release with replay_finish. */
struct replay {
    Baro__Alert **alerts; /* in order of their ids */
    size_t n_alerts;
    Baro__Incident **incidents; /* by rising id, as they were last */
    size_t n_incidents;
    uint64_t n_withheld; /* alerts beyond those that are kept */
    uint64_t n_readings; /* scalars, summaries and rows of units */
    uint64_t n_pruned;   /* of which only summaries are left */
    int64_t from_step;   /* of a branch: where its own steps begin; else INT64_MIN */
    bool has_ranks;      /* several processes at a time */
    bool lacks_ranks;    /* and whose their steps are is not known of all */
    bool has_restarts;   /* several processes one after the other */
    double seconds;
    char damage[256]; /* what cannot be read any more, or empty */
};

/**
 * Replay a run.
 *
 * recorded  the daemon's alerts: tells which processes there were
 * returns   CLI_OK; CLI_FAILED after saying why
 */
int replay_run(struct cli *cli, const Baro__RunInfo *run, const Baro__AlertsReply *recorded,
    const struct rule_book *rules, struct replay *replay);

/** Release what replay_run found. */
void replay_finish(struct replay *replay);

/* How a replay differs from what was recorded. Release with differences_finish. */
struct differences {
    char **sentences; /* "recorded, not replayed: ..." */
    size_t n;
    size_t size;
};

/** Compare; an empty list: the same, bit by bit, but for wall times. */
void replay_compare(const struct replay *replay, const Baro__AlertsReply *recorded,
    struct differences *out);

/** Release. */
void differences_finish(struct differences *differences);

#endif
