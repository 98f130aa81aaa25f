/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of a bench's own making, pushed to a daemon: with any step, time and value, recorded
 * ones too, which libbaro does not allow. Speaks the push client's side of the protocol
 * (PROTOCOL.md) without ring and threads; used to fill stores and to load a daemon. One thread.
 */
#ifndef BARO_FEED_H
#define BARO_FEED_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/baro_types.h"
#include "lib/base/reading.h"

struct feed;

/** Introduce a new run of one rank to a daemon; NULL and err when it does not answer. */
struct feed *feed_open(const char *endpoint, const char *run_name, struct baro_err *err);

/**
 * Declare a scalar, or a tensor with units.
 *
 * n_units  0: a scalar
 * returns  its id, from 1
 */
uint32_t feed_declare(struct feed *feed, const char *name, uint32_t n_units);

/**
 * Push one record; waits only when too much is under way. Failures stick and are told at the end.
 *
 * thing    from feed_declare; 0 for kinds of the run itself
 * payload  n_bytes: what lib/base/reading.h says of the kind; copied
 */
void feed_put(struct feed *feed, enum reading_kind kind, uint32_t thing, int64_t step,
    int64_t time_ns, const void *payload, size_t n_bytes);

/** Push a scalar's value. */
void feed_scalar(
    struct feed *feed, uint32_t thing, int64_t step, int64_t time_ns, double value);

/** Wait until the daemon has committed all of it. Returns 0 or what went wrong, with err. */
int feed_wait(struct feed *feed, struct baro_err *err);

/** Tell how many records were pushed. */
uint64_t feed_n_records(const struct feed *feed);

/**
 * End the run and wait until that is committed; frees the feed, accepts NULL.
 *
 * returns  0, or the first failure, with err
 */
int feed_close(struct feed *feed, struct baro_err *err);

/** Free the feed without a word to the daemon, as a killed process would; accepts NULL. */
void feed_abandon(struct feed *feed);

#endif
