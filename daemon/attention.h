/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an alert concerns, told to the process whose readings raised it: with an acknowledgement, at
 * once. Its governor then measures that at each step for a while. A hint: lost with a lost
 * connection, never stored, never told twice.
 */
#ifndef BAROD_ATTENTION_H
#define BAROD_ATTENTION_H

#include "daemon/barod.h"

/**
 * Note what an alert concerns: all tensors of its thing's module, or everything when it is about
 * a scalar.
 */
void attention_on_alert(struct stream *stream, const struct thing *thing);

/** Tell whether there is anything to be told. */
bool attention_is_waiting(const struct stream *stream);

/**
 * Put what is to be told into an acknowledgement.
 *
 * ack      borrows from the result until it is packed
 * returns  the caller frees it; NULL when there is nothing
 */
struct attention *attention_take(struct stream *stream, Baro__Ack *ack);

#endif
