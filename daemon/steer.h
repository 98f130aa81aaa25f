/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The back channel: what a person asks of a training that wants to be asked. It is an event of the
 * run, and goes to its processes with acknowledgements until a heartbeat knows of it.
 */
#ifndef BAROD_STEER_H
#define BAROD_STEER_H

#include "daemon/barod.h"

/**
 * Take a request, or refuse it with a sentence.
 *
 * out_reply  of the caller: what was made of it
 * returns    0; BARO_EINVAL; BARO_EUNSUPPORTED when no process of the run looks at it; BARO_ECLOSED
 *            when the run is over; BARO_ELIMIT when too many wait
 */
int steer_on_request(struct barod *barod, const struct peer *peer, struct run *run,
    const Baro__ControlRequest *request, Baro__ControlReply *out_reply,
    struct baro_err *err);

/** Forget what a process has heard of. */
void steer_on_heartbeat(struct stream *stream, uint64_t last_control);

/** Put what a process has not heard of into an acknowledgement, which borrows it. */
void steer_put(const struct stream *stream, Baro__Ack *ack);

/** Tell whether a run has a process that looks at what is asked. */
bool steer_is_possible(const struct run *run);

/** Release what waits for a process. */
void steer_forget(struct stream *stream);

#endif
