/* SPDX-License-Identifier: Apache-2.0 */
/* baro get RUN samples: what each sample gave, as log(samples=) was told. Used by cmd_get.c. */
#ifndef BARO_TOOLS_GET_SAMPLES_H
#define BARO_TOOLS_GET_SAMPLES_H

#include "tools/cli.h"
#include "tools/series.h"

/* Which samples are meant. */
struct get_samples {
    bool has_index;
    int64_t index; /* valid if has_index: this one only */
};

/** Tell whether a text is "samples" or "samples[17]", and no series of the run has that name. */
bool get_samples_parse(
    const struct thing_list *things, const char *text, struct get_samples *out_wanted);

/** Print what they gave at the steps asked for. CLI_OK, or CLI_FAILED with a word. */
int get_samples_print(
    struct cli *cli, const Baro__RunInfo *run, const struct get_samples *wanted);

#endif
