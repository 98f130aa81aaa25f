/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/reading_words.h"

#include <stddef.h>

const char *reading_kind_words(enum reading_kind kind)
{
    static const char *const words[READING_KIND_END] = {
        [READING_SCALAR] = "values",
        [READING_STEP] = "step times",
        [READING_SUMMARY] = "statistics",
        [READING_UNITS] = "statistics of units",
        [READING_BATCH] = "batches",
        [READING_EVENT] = "events",
        [READING_STATUS] = "ends",
        [READING_DROPS] = "counts of dropped records",
        [READING_PROBE] = "pieces of probes",
        [READING_FAILURE] = "pieces of captured failures",
        [READING_SAMPLES] = "results of samples",
        [READING_RANK] = "ranks of records",
        [READING_RNG] = "states of random numbers",
    };
    return kind < READING_KIND_END && words[kind] != NULL ? words[kind] : "records";
}
