/* SPDX-License-Identifier: Apache-2.0 */
/* Whether runs are alive: from signs of life, steps and the process, not from polite goodbyes. */
#ifndef BAROD_STATUS_H
#define BAROD_STATUS_H

#include "daemon/barod.h"
#include "lib/base/reading.h"

/** Note that a stream says Hello; is_recovery: its ring is read after its process ended. */
void status_on_hello(struct barod *barod, struct stream *stream, bool is_recovery);

/** Note any message of a stream. */
void status_on_sign_of_life(struct barod *barod, struct stream *stream);

/** Note the step a stream is at. */
void status_on_step(struct barod *barod, struct stream *stream, int64_t step);

/** Note what a reading says about pace, end and drops of its stream. */
void status_on_reading(
    struct barod *barod, struct stream *stream, const struct reading *reading);

/** Note that the process of a stream is gone and its ring is read to the end. */
void status_on_gone(struct barod *barod, struct stream *stream);

/** After loading: nobody has been heard yet, all get their time. */
void status_start(struct barod *barod);

/** Look after every stream that has not ended; once a second. */
void status_tick(struct barod *barod);

#endif
