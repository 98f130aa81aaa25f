/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens when a run is opened that exists already: its readings go on (append), or a branch
 * is made (overwrite, branch). Whatever it is, an event of the run says so, and its client is told.
 */
#ifndef BAROD_RESUME_H
#define BAROD_RESUME_H

#include "daemon/barod.h"
#include "lib/base/reading.h"

/**
 * Find or make the run that a new stream belongs to.
 *
 * description  taken over; already checked
 * is_recovery  its process has ended, maybe long ago
 */
struct run *resume_run(struct barod *barod, Baro__RunDescription *description,
    uint32_t rank, bool is_recovery);

/** Look at each reading before it is taken: the first of a stream tells where it goes on. */
void resume_on_reading(
    struct barod *barod, struct stream *stream, const struct reading *reading);

/** Look at a sign of life: two living processes of one rank are told, once. */
void resume_on_sign_of_life(struct barod *barod, struct stream *stream);

/** Say that a thing is a later epoch of its series; with its first reading. */
void resume_on_epoch(struct barod *barod, struct stream *stream, const struct thing *thing,
    const struct reading *reading);

/** Say, once a stream, that a declaration was refused for a limit. */
void resume_on_limit(struct barod *barod, struct stream *stream, const char *text);

#endif
