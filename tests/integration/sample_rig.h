/* SPDX-License-Identifier: Apache-2.0 */
/* Asking a daemon in a test for samples of a tensor's units. */
#ifndef SAMPLE_RIG_H
#define SAMPLE_RIG_H

#include "lib/link/finding.h"
#include "tests/integration/daemon_rig.h"

enum { SAMPLE_RIG_PLOT = 400, SAMPLE_RIG_WAIT_MS = 60000 };

/** A request for the norms of tensor "w" of a run, all steps, on a square plot. */
Baro__SampleRequest sample_rig_request(struct rig *rig, const char *run_id);
/** Send a request; gives its number. */
int64_t sample_rig_send(struct link *link, Baro__SampleRequest *request);
/** Wait for the next finding; *out is to be released. */
struct finding sample_rig_next(struct link *link, int64_t number, struct link_message *out);
/** Wait for the finding that is done, at or behind a step; *out is to be released. */
struct finding sample_rig_done(
    struct link *link, int64_t number, int64_t to_step, struct link_message *out);
/** Ask for something that must be refused; gives the code. */
int sample_rig_refused(struct rig *rig, Baro__SampleRequest *request, struct baro_err *err);
/** Give a counter of the daemon; UINT64_MAX when it has none of that name. */
uint64_t sample_rig_counter(struct rig *rig, const char *name);
/** Wait until all samples that were begun have ended. */
void sample_rig_wait_ended(struct rig *rig);

#endif
