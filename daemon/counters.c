/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/counters.h"

static const struct counter_text texts[] = {
#define COUNTER_TEXT(id, name, sentence, unit) {name, sentence, unit},
    COUNTERS(COUNTER_TEXT)
#undef COUNTER_TEXT
};
_Static_assert(sizeof texts / sizeof texts[0] == COUNTER_COUNT, "words for each counter");

const struct counter_text *counter_text(enum counter id)
{
    return &texts[id];
}
