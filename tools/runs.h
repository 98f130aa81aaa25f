/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's runs, and finding the one that a person means. */
#ifndef BARO_TOOLS_RUNS_H
#define BARO_TOOLS_RUNS_H

#include "lib/link/link.h"
#include "tools/cli.h"

/* All runs, newest first. Release with runs_release. */
struct run_list {
    struct link_message message; /* owns what follows */
    Baro__RunInfo **runs;
    size_t n_runs;
};

/** Ask for all runs. Returns CLI_OK, or CLI_FAILED after saying why. */
int runs_ask(struct cli *cli, struct run_list *out_runs);

/** Release what runs_ask gave; accepts a zeroed list. */
void runs_release(struct run_list *runs);

/**
 * Find a run by id, the beginning of an id, name, PROJECT/NAME, or "latest".
 *
 * name     NULL: the latest
 * returns  an element of the list; NULL after saying why: none, with the nearest name, or several,
 *          which are listed
 */
const Baro__RunInfo *runs_find(const struct run_list *runs, const char *name);

/** Find a run by its whole id, without a word; NULL when it is not there. */
const Baro__RunInfo *runs_by_id(const struct run_list *runs, const char *id);

/** Find a run by its number, without a word; NULL when it is not there. */
const Baro__RunInfo *runs_by_number(const struct run_list *runs, uint32_t number);

/**
 * Order a list for people: under each run those that it branched from, and other branches of
 * them; else newest first. Overwritten runs that have ended are left out unless asked for.
 *
 * out_runs     room for all
 * out_is_under whether each stands under another; room for all
 * returns      how many there are
 */
size_t runs_arrange(const struct run_list *runs, bool with_overwritten,
    const Baro__RunInfo **out_runs, bool *out_is_under);

/** Count the rings of ended processes on this machine whose runs are not listed; cmd_recover.c. */
size_t rings_waiting(const struct run_list *runs);

/** Name a status: "running", "finished", "failed", "killed", "stalled", "unknown". */
const char *run_status_name(Baro__RunStatus status);

/** Tell whether a run was ended by its user (Ctrl-C): it counts as failed, but nothing is wrong. */
bool run_is_interrupted(const Baro__RunInfo *run);

/** Tell whether a run has ended: finished, failed or killed. */
bool run_has_ended(Baro__RunStatus status);

/**
 * Say why a run failed, on one line and safe to print; an exception's text may have several lines.
 *
 * out      out_bytes > 0; empty when it did not fail or gave no reason
 * returns  out
 */
char *run_reason(
    const struct term *term, const Baro__RunInfo *run, char *out, size_t out_bytes);

/** Choose the colour of a status. */
enum term_paint run_status_paint(Baro__RunStatus status);

#endif
