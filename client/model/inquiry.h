/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inquiry: from the lists of a model, probes and readings to the story of what went wrong
 * (lib/analysis/why.h) as a part of models. Knows no socket: keeper_why.c asks for what the plan
 * wants and hands it over here. As `baro why` does it; costs are bounded whatever the run has.
 */
#ifndef CLIENT_MODEL_INQUIRY_H
#define CLIENT_MODEL_INQUIRY_H

#include "client/model/keeper.h"
#include "lib/analysis/why.h"

enum {
    INQUIRY_PAST_COLUMNS = 512,
    INQUIRY_MAX_BATCHES = 2000,
    INQUIRY_MAX_BATCH_NUMBERS = 1 << 18 /* sample numbers in all */
};

struct inquiry;

/**
 * Begin with what is known without asking; the plan stands then.
 *
 * model    with the run's lists; a reference is kept
 * incident place among model->incidents; n: there is none
 * failure, calm  parts, referred to; NULL: there is none
 * others   failures that are not told
 */
struct inquiry *inquiry_create(const struct model *model, size_t incident,
    const struct model_probe *failure, const struct model_probe *calm,
    const struct why_others *others);

/** Free it; NULL is fine. */
void inquiry_destroy(struct inquiry *inquiry);

/** What to ask for. */
const struct why_plan *inquiry_plan(const struct inquiry *inquiry);

/** Take every reading of the window, or (is_coarse) columns of all of the run, of a want. */
void inquiry_add_series(struct inquiry *inquiry, const struct why_want *want,
    bool is_coarse, const struct keeper_frame *frame);

/** Take batches as records; frame->bytes is 8-byte aligned. */
void inquiry_add_batches(struct inquiry *inquiry, const struct keeper_frame *frame);

/** Take what samples gave, likewise. */
void inquiry_add_results(struct inquiry *inquiry, const struct keeper_frame *frame);

/** Take of which steps the state of random numbers is kept: rows of states. */
void inquiry_add_states(struct inquiry *inquiry, const struct keeper_frame *frame);

/** Tell the story: a new part without credits. */
struct model_why *inquiry_tell(const struct inquiry *inquiry);

/** Choose the incident to look into as why_choose_listed() does; n: there is none. */
size_t inquiry_choose(const struct model *model, const struct probe_list *probes);

#endif
