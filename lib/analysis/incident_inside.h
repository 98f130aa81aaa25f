/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of incidents share; for no one else. */
#ifndef BARO_INCIDENT_INSIDE_H
#define BARO_INCIDENT_INSIDE_H

#include "lib/analysis/incident.h"
#include "lib/base/baro_types.h"
#include "lib/base/text.h"

struct incident_book {
    struct incident incidents[INCIDENT_MAX_KNOWN];
    size_t n;
    uint64_t next_id;
};

/** Write headline, causes and advice anew; incident_words.c. */
void incident_write(struct incident *incident);

#endif
