/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Following one run through a live subscription, across restarts of the daemon. Used by
 * `baro tail` and `baro alerts --follow`.
 */
#ifndef BARO_TOOLS_FOLLOW_H
#define BARO_TOOLS_FOLLOW_H

#include "lib/link/link.h"
#include "tools/cli.h"

/* The run being followed. */
struct follow {
    struct cli *cli;
    char *id;               /* stays the same over restarts of the daemon */
    char *name;             /* PROJECT/NAME, safe to print */
    uint32_t run;           /* its number in the daemon now */
    Baro__RunStatus status; /* when last asked */
    char *reason;           /* why it failed, safe to print; else empty */
    int64_t last_step;
    double last_loss;    /* NaN when there is none */
    unsigned n_connects; /* of the link when last subscribed */
    bool is_away;        /* the daemon is gone, and that has been said */
    bool is_live;        /* subscribed */
    bool is_quiet;       /* going and coming are shown otherwise, not said */
};

enum follow_news {
    FOLLOW_NOTHING = 0,
    FOLLOW_AWAY, /* the daemon has gone away; said so */
    FOLLOW_BACK, /* it is back, and the run is subscribed again: ask for what was missed */
    FOLLOW_LOST_RUN /* it is back, but has no such run; said so */
};

/**
 * Find a run and, when is_live, subscribe to it; from then on Ctrl-C sets follow_is_interrupted.
 *
 * name     as for runs_find; NULL: the latest
 * returns  CLI_OK or CLI_FAILED after saying why
 */
int follow_begin(
    struct cli *cli, const char *name, bool is_live, struct follow *out_follow);

/** Release what follow_begin took. */
void follow_end(struct follow *follow);

/** Keep what the daemon says of the run. */
void follow_note(struct follow *follow, const Baro__RunInfo *info);

/** See whether the daemon has gone or come back; call once a turn, beside link_next. */
enum follow_news follow_check(struct follow *follow);

/** Tell whether Ctrl-C or SIGTERM has been received. */
bool follow_is_interrupted(void);

#endif
