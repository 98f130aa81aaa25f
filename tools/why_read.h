/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an investigation needs of a run, asked from the daemon in two rounds: what is short first
 * (incidents, alerts, the captured failure), so that the headline stands at once; then windows of the
 * series that the plan wants. For baro why and baro report.
 */
#ifndef BARO_TOOLS_WHY_READ_H
#define BARO_TOOLS_WHY_READ_H

#include "lib/analysis/why.h"
#include "lib/link/link.h"
#include "tools/cli.h"
#include "tools/runs.h"
#include "tools/series.h"

/* All that was read of one run, and the facts made of it. Release with why_read_finish(). */
struct why_reading {
    struct cli *cli;
    const Baro__RunInfo *run; /* of runs */
    struct run_list runs;
    struct link_message alerts_message;
    const Baro__AlertsReply *alerts;
    size_t chosen; /* place of the incident among the reply's; n_incidents: none */
    struct thing_list things;
    char name[256]; /* of the run, safe to print */
    char reason[256];
    struct why_incident incident;
    struct why_alert *alert_list;
    struct why_thing *thing_list;
    struct why_series *series_list; /* owns steps and values */
    struct why_batch *batch_list;   /* points into batches_message */
    struct link_message batches_message;
    struct why_results *result_list; /* points into results_message */
    struct link_message results_message;
    struct probe *failure;
    struct probe *calm;
    void *failure_bytes;
    void *calm_bytes;
    struct why_facts facts;
    struct why_plan plan;
};

/**
 * Find the run and read what is short of it; facts has no series and no batches then.
 *
 * name     as for runs_find()
 * step     of interest; INT64_MIN: choose by oneself
 * returns  CLI_OK; CLI_FAILED after saying why; why_read_finish() in any case
 */
int why_read_begin(
    struct cli *cli, const char *name, int64_t step, struct why_reading *out);

/** Read the rest: things, series, batches. Returns as why_read_begin(). */
int why_read_rest(struct why_reading *reading);

/** Release all. */
void why_read_finish(struct why_reading *reading);

#endif
