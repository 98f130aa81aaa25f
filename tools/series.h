/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names of series: "loss", "fc1.weight:grad/l2", "fc1.weight:grad[12]/mean", "step_time",
 * each with "@1" behind it for rank 1. Names may hold any of these signs themselves: a series is
 * found by comparing with what the run has, never by cutting the text alone.
 */
#ifndef BARO_TOOLS_SERIES_H
#define BARO_TOOLS_SERIES_H

#include "lib/link/link.h"
#include "tools/cli.h"

enum { SERIES_LABEL_BYTES = 640 };

/* All scalars and tensors of a run. Release with things_release. */
struct thing_list {
    struct link_message message; /* owns what follows */
    Baro__ThingInfo **things;
    size_t n_things;
};

/** Ask for the things of a run that match a glob (NULL: all). CLI_OK, or CLI_FAILED with a word. */
int things_ask(
    struct cli *cli, uint32_t run, const char *glob, struct thing_list *out_things);

/** Release what things_ask gave; accepts a zeroed list. */
void things_release(struct thing_list *things);

/** Tell whether a thing stands for the run itself (its step times), not for something declared. */
bool thing_is_run(const Baro__ThingInfo *thing);

/** Tell whether a thing is a tensor. */
bool thing_is_tensor(const Baro__ThingInfo *thing);

/** Write "NAME", "NAME:ROLE" or "step_time", without the rank. Returns out. */
char *thing_label(const Baro__ThingInfo *thing, char out[SERIES_LABEL_BYTES]);

/**
 * Find the one series that a text names.
 *
 * returns  CLI_OK; CLI_FAILED after saying what is wrong, with the nearest name
 */
int series_find(
    const struct thing_list *things, const char *text, Baro__SeriesRef *out_reference);

#endif
