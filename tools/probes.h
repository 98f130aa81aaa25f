/* SPDX-License-Identifier: Apache-2.0 */
/* The probes of a run, as commands need them: which there are, one of them, and words for it. */
#ifndef BARO_TOOLS_PROBES_H
#define BARO_TOOLS_PROBES_H

#include "lib/base/probe_pieces.h"
#include "tools/cli.h"
#include "tools/runs.h"

/* One probe, parsed. */
struct fetched_probe {
    struct probe *probe;
    void *bytes; /* that it borrows */
    size_t n_bytes;
    int64_t *samples; /* data-set indices of the batch, or NULL: not known */
    size_t n_samples;
};

enum { PROBE_LABEL_BYTES = 160 };

/* The run that a command is about, and which probes it has. */
struct run_probes {
    struct run_list runs;
    uint32_t run;
    struct probe_list list;
};

/**
 * Find the run that the first argument names, and ask which probes it has; probes_close() it in any
 * case.
 *
 * returns  CLI_OK; CLI_FAILED after saying why
 */
int probes_open(struct cli *cli, struct run_probes *out);

/** Free what probes_open() made. */
void probes_close(struct run_probes *of);

/**
 * Choose the newest whole probe at or before a step; of those at the step the one that has a
 * failure, if any.
 *
 * step     INT64_MIN: the newest of all
 * returns  NULL when there is none
 */
const struct probe_entry *probes_choose(const struct probe_list *list, int64_t step);

/** Choose the newest whole regular one before a probe, to compare it with; NULL: there is none. */
const struct probe_entry *probes_before(
    const struct probe_list *list, const struct probe_entry *entry);

/**
 * Fetch and parse one, and the indices of its samples.
 *
 * returns  CLI_OK; CLI_FAILED after saying why
 */
int probes_fetch(struct cli *cli, uint32_t run, const struct probe_entry *entry,
    struct fetched_probe *out);

/**
 * Write the state of random numbers as the step of --rng began to the file of -o, those of GPUs
 * beside it; probes_rng.c.
 *
 * returns  CLI_OK; CLI_FAILED after saying why
 */
int probes_save_state(struct cli *cli, uint32_t run);

/** Free what was fetched; accepts a zeroed one. */
void probes_release(struct fetched_probe *fetched);

/** Name why a probe was made: "regular", "asked", "failure". */
const char *probe_reason_name(enum probe_reason reason);

/** Give the data-set index of a place in the batch; -1: not known. */
int64_t probe_sample_id(const struct fetched_probe *fetched, int64_t row);

/**
 * Name a value for people: its own name, else the module and operation that gave it, else its
 * number. Returns out.
 */
char *probe_label(const struct probe *probe, int32_t value, char out[PROBE_LABEL_BYTES]);

/** Write the shape of a value: "64 x 256", "scalar". Returns out. */
char *probe_shape_words(const struct probe_value *value, char *out, size_t out_bytes);

#endif
