/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The feed: the thread that owns the link to the daemon. It carries the keeper's questions and
 * the answers, and publishes a new model whenever something has changed, at most 60 times a
 * second. All functions here are for the main thread.
 */
#ifndef CLIENT_FEED_H
#define CLIENT_FEED_H

#include "client/model/model.h"
#include "lib/base/err.h"

struct feed;

/* A new model is there; called on the feed's thread. */
typedef void (*feed_wake_fn)(void *payload);

/**
 * Start a feed.
 *
 * endpoint  NULL: BARO_ENDPOINT, else that of the data folder
 * wake      NULL: nobody is woken, feed_wait tells; and there is time: all is asked for whole,
 *           however slow the line
 * returns   NULL with a sentence in err when the endpoint is none
 */
struct feed *feed_open(
    const char *endpoint, feed_wake_fn wake, void *payload, struct baro_err *err);

/** Stop the thread and free the feed; models that it gave must have been given back. */
void feed_close(struct feed *feed);

/**
 * Say what the page needs.
 *
 * returns  the serial that the model which answers it carries; the same for the same wish
 */
uint64_t feed_wish(struct feed *feed, const struct model_wish *wish);

/**
 * Ask something of a run's training. What came of it is told by feed_take_answer, after a wake.
 *
 * value    the factor of CONTROL_LR_SCALE, else 0
 */
void feed_ask(struct feed *feed, uint32_t run, Baro__ControlKind kind, double value);

/**
 * Ask for a note to be kept with a run, or removed; what came of it is told as for feed_ask.
 *
 * text     NULL: remove the note of number id; else add one, "" being a mark
 */
void feed_note(
    struct feed *feed, uint32_t run, int64_t step, const char *text, uint64_t id);

/** Take the sentence that answers the last feed_ask or feed_note; false: there is none (yet). */
bool feed_take_answer(struct feed *feed, char *out, size_t out_bytes);

/** Take the newest model; part_unref gives it back. Never NULL. */
const struct model *feed_model(struct feed *feed);

/** Wait until there is another model than this one; false when timeout_ms passed first. */
bool feed_wait(struct feed *feed, const struct model *than, int timeout_ms);

#endif
