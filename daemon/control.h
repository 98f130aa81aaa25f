/* SPDX-License-Identifier: Apache-2.0 */
/* Answers to the asking side: at once from memory, or through a job for the query workers. */
#ifndef BAROD_CONTROL_H
#define BAROD_CONTROL_H

#include "daemon/barod.h"

/**
 * Answer one request, or refuse it with a sentence.
 *
 * returns  false when the body is none of the asking side's requests
 */
bool control_on_request(
    struct barod *barod, const struct peer *peer, const Baro__Envelope *envelope);

/** Send the replies of all jobs that are done. */
void control_send_replies(struct barod *barod);

/** Answer who asked for a test of the notifications, when it is done. */
void control_send_test(struct barod *barod);

/** Tell the one who asked for the shutdown that all is committed. */
void control_confirm_shutdown(struct barod *barod);

#endif
