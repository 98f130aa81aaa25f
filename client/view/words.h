/* SPDX-License-Identifier: Apache-2.0 */
/* Sentences that more than one page says. */
#ifndef CLIENT_VIEW_WORDS_H
#define CLIENT_VIEW_WORDS_H

#include "client/draw/theme.h"
#include "client/model/model.h"

enum { WORDS_MAX = 300 };

/** Name a run: "vae / beta-4". Returns out. */
char *words_run(char out[WORDS_MAX], const struct model_run *run);

/** Say how a run is: "running", "failed", "stopped" (by its user), "killed", ... */
const char *words_status(const struct model_run *run);

/** Health of a run: its alerts and its status together. */
enum theme_health words_run_health(const struct model_run *run);

/** Name a thing: "encoder.fc1", with its rank unless that is 0: "encoder.fc1 @1". Returns out. */
char *words_thing(char out[WORDS_MAX], const struct model_thing *thing);

/** Say the shape and type of a tensor: "64 × 784 f32, 64 units". Returns out. */
char *words_shape(char out[WORDS_MAX], const struct model_thing *thing);

/** Tell whether a scalar is what watching costs, recorded by the client itself. */
bool words_is_own(const struct model_thing *thing);

/** Tell whether a scalar is a loss: its name ends in "loss", or begins with "loss/". */
bool words_is_loss(const struct model_thing *thing);

/** Tell whether a scalar is the sum of a weight's bits, which is there to be compared between
 * ranks and says nothing by itself. */
bool words_is_replicated(const struct model_thing *thing);

/** Tell whether watching derived a scalar from a tensor (rho, the largest attention logit, sums
 * of bits): there are many of them, and the program did not ask for any. */
bool words_is_derived(const struct model_thing *thing);

/** Add how often it is measured: " · every 12 steps, units every 48"; nothing when not known. */
char *words_add_cadence(char out[WORDS_MAX], const struct model_thing *thing);

/** Health of a run for its mark; of the one that is shown what its program warned of itself, too. */
enum theme_health words_shown_health(
    const struct model *model, const struct model_run *run);

/** How bad what words_headline says is. */
enum theme_health words_headline_health(const struct model *model,
    const struct model_run *run, const struct model_alert *worst);

/** Say what matters now about a run in one sentence. Returns out. */
char *words_headline(char out[WORDS_MAX], const struct model *model,
    const struct model_run *run, const struct model_alert *worst);

/**
 * Say what is being waited for where there is nothing to show yet: "reading", or, when no answer can
 * come, that there is no daemon and since when. A sentence begins large and ends in a full stop.
 */
char *words_waiting(char out[WORDS_MAX], const struct model *model, bool is_sentence);

/** Add to a chart's note how many of its readings are known by summaries only. Returns note. */
char *words_add_coarse(char note[WORDS_MAX], uint64_t n_coarse);

#endif
