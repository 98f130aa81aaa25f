/* SPDX-License-Identifier: Apache-2.0 */
/* Kinds of readings as people call them, in sentences of the daemon and of the tools. */
#ifndef BARO_READING_WORDS_H
#define BARO_READING_WORDS_H

#include "lib/base/reading.h"

/** Name the readings of a kind ("values", "statistics of units", ...); "records" when unknown. */
const char *reading_kind_words(enum reading_kind kind);

#endif
