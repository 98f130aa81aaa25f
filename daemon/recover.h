/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ring of a process of this machine that is gone is read to its end through the same door as
 * its messages, so that the last steps before a SIGKILL appear by themselves.
 */
#ifndef BAROD_RECOVER_H
#define BAROD_RECOVER_H

#include "daemon/barod.h"

/** Begin to read the ring of a stream whose process is gone. */
void recover_start(struct barod *barod, struct stream *stream);

/**
 * At start: read or clear away the rings in the default folder whose process is gone and whose
 * stream is known here. Others are left to `baro recover`.
 */
void recover_scan(struct barod *barod);

/** Tell whether any ring is being read: recover_step has work. */
bool recover_is_active(const struct barod *barod);

/** Read a bounded piece of each ring under way, as room allows; ends those that are done. */
void recover_step(struct barod *barod);

/** Let go of all rings under way, at the end of the daemon. */
void recover_finish(struct barod *barod);

#endif
