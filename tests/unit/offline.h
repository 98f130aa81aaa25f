/* SPDX-License-Identifier: Apache-2.0 */
/* A run without a daemon, in a folder of its own, and what lies in its ring. */
#ifndef TESTS_UNIT_OFFLINE_H
#define TESTS_UNIT_OFFLINE_H

#include "lib/base/reading.h"
#include "lib/push/baro.h"
#include "proto/barograph.pb-c.h"

enum { OFFLINE_RING_BYTES = 8 << 20 };

struct offline {
    char dir[64];
    struct baro_run *run; /* a test that closes it sets it to NULL */
    char said[256];       /* its last message */
    enum baro_role role;  /* tensors are checked as of this one; at first BARO_WEIGHT */
    uint8_t *records;     /* as offline_read found them */
    size_t n_bytes;
    uint8_t *sticky; /* likewise: declarations and what else stays */
    size_t n_sticky_bytes;
};

/** Make the folder and open the run; 0, or else a set-up has failed. */
int offline_start(struct offline *offline);

/** Close the run and remove the folder; 0, or else cleaning up has failed. */
int offline_finish(struct offline *offline);

/** Options with which a run is opened in the same folder. */
struct baro_options offline_options(struct offline *offline);

/** Read all that lies in the ring of a run, the own or another. */
void offline_read(struct offline *offline, const struct baro_run *run);

/** Give the i-th record of a kind that was read, checked; false when there are not so many. */
bool offline_find(const struct offline *offline, enum reading_kind kind, int i,
    uint32_t n_units, struct reading *out);

/** Count the records of a kind that were read. */
int offline_count(const struct offline *offline, enum reading_kind kind);

/** Give the declaration of a thing; free it with baro__declare__free_unpacked. */
Baro__Declare *offline_declared(const struct offline *offline, uint32_t thing);

#endif
