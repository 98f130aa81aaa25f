/* SPDX-License-Identifier: Apache-2.0 */
/* Private to lib/link: frames of a message, and columns that came packed. */
#ifndef BARO_LINK_UNPACK_H
#define BARO_LINK_UNPACK_H

#include "lib/link/link.h"

/** Release what the frames of a message lie in. */
void link_frames_release(struct link_message *message);

/**
 * Turn the packed columns of a RangeReply or a SampleFinding into struct wire_column; other messages
 * stay as they are.
 *
 * returns  0; BARO_ECORRUPT
 */
int link_unpack(struct link_message *message, struct baro_err *err);

#endif
