/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names of series: "loss", "fc1.weight:grad/l2", "fc1.weight:grad[12]/mean", "step_time",
 * each with "@1" behind it for rank 1. A tensor that changed its type, shape or number of units is
 * "fc1.weight:grad#2" from then on. Names may hold any of these signs themselves: a series is
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

/** Tell whether a thing is a scalar of the client's own, like "barograph/share". */
bool thing_is_own(const Baro__ThingInfo *thing);

/** Tell whether a thing is a tensor. */
bool thing_is_tensor(const Baro__ThingInfo *thing);

/** Tell how many statistics each unit of a tensor has; see reading_unit_stats(). */
uint32_t thing_unit_stats(const Baro__ThingInfo *thing);

/** Write "NAME", "NAME:ROLE" or "step_time", without rank and epoch. Returns out. */
char *thing_label(const Baro__ThingInfo *thing, char out[SERIES_LABEL_BYTES]);

/** Likewise, with "#2" behind it for the second epoch. Returns out. */
char *thing_epoch_label(const Baro__ThingInfo *thing, char out[SERIES_LABEL_BYTES]);

/**
 * Give the epochs of a series that stand for it when none is named: of a statistic of a whole
 * tensor all, of a unit the newest.
 *
 * thing    any of the epochs
 * out      room for all things; in the order of the epochs
 * returns  their number
 */
size_t series_epochs(const struct thing_list *things, const Baro__ThingInfo *thing,
    bool is_unit, const Baro__ThingInfo **out);

/**
 * Find the one series that a text names; of a tensor with several epochs the one named, else the
 * first for a whole tensor, the newest for a unit.
 *
 * out_is_epoch  whether the text names an epoch; NULL when not wanted
 * returns  CLI_OK; CLI_FAILED after saying what is wrong, with the nearest name
 */
int series_find(const struct thing_list *things, const char *text,
    Baro__SeriesRef *out_reference, bool *out_is_epoch);

#endif
