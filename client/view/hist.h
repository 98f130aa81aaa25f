/* SPDX-License-Identifier: Apache-2.0 */
/* What the two pictures of a distribution share: hist.c, hist_time.c. */
#ifndef CLIENT_VIEW_HIST_H
#define CLIENT_VIEW_HIST_H

#include <stddef.h>

/** The largest of some shares; 0: nothing is in them. */
float hist_largest(const float *shares, size_t n);

#endif
