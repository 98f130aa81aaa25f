/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeper: turns messages into models. It holds what the page wishes for, decides what to
 * ask the daemon, merges history with live readings, and publishes snapshots. It knows no
 * socket and no clock: the feed (client/feed.c) carries its questions and the answers, and
 * tests hand it messages of their own making.
 *
 *     keeper_set_wish(keeper, &wish, serial);
 *     while (keeper_ask(keeper, &envelope)) {
 *         keeper_sent(keeper, link_send(link, &envelope, &err));
 *     }
 *     keeper_take(keeper, message.envelope, frames, n_frames);
 *     model = keeper_publish(keeper);
 */
#ifndef CLIENT_MODEL_KEEPER_H
#define CLIENT_MODEL_KEEPER_H

#include "client/model/model.h"

struct keeper;

/* A raw frame behind an envelope; 8-byte aligned. */
struct keeper_frame {
    const uint8_t *bytes;
    size_t n_bytes;
};

/** Create a keeper. endpoint: shown to the person. */
struct keeper *keeper_create(const char *endpoint);

/** Free it. All models that it published must have been given back. NULL is fine. */
void keeper_destroy(struct keeper *keeper);

/**
 * Say how the connection is.
 *
 * trouble  one sentence or ""
 * wall_ns  now; becomes the model's since when the state changes
 */
void keeper_set_state(
    struct keeper *keeper, enum model_state state, const char *trouble, int64_t wall_ns);

/** The connection has been made (again): subscribe and ask anew, go on showing what is known. */
void keeper_on_connect(struct keeper *keeper);

/** Say how many bytes a second the line to the daemon carries when it is a slow one; 0: it is not. */
void keeper_set_pace(struct keeper *keeper, double bytes_per_s);

/** Say what the page needs; the model that answers it carries the serial. */
void keeper_set_wish(struct keeper *keeper, const struct model_wish *wish, uint64_t serial);

/**
 * Give the next question to send.
 *
 * out      filled; its pieces belong to the keeper until the next call
 * returns  false when there is none, or enough are under way
 */
bool keeper_ask(struct keeper *keeper, Baro__Envelope *out);

/** Note the request number under which the last question went out; < 0: it did not. */
void keeper_sent(struct keeper *keeper, int64_t request);

/** Take a message from the daemon. What does not parse is ignored. */
void keeper_take(struct keeper *keeper, const Baro__Envelope *envelope,
    const struct keeper_frame *frames, size_t n_frames);

/**
 * Do a slice of the work that what arrived has left to do, of some milliseconds.
 *
 * returns  whether there is more
 */
bool keeper_work(struct keeper *keeper);

/** Whether a new model would differ from the last one. */
bool keeper_is_changed(const struct keeper *keeper);

/** Make a model of what is known now; the caller gives it back with part_unref. */
struct model *keeper_publish(struct keeper *keeper);

#endif
