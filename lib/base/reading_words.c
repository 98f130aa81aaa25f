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
    };
    return kind < READING_KIND_END && words[kind] != NULL ? words[kind] : "records";
}
