/* SPDX-License-Identifier: Apache-2.0 */
/* A story for people, in a terminal, and for programs. */
#ifndef BARO_TOOLS_WHY_PRINT_H
#define BARO_TOOLS_WHY_PRINT_H

#include "tools/why_read.h"

/** Print what is short of a run: its name, how it ended, which incident is meant. */
void why_print_run(const struct why_reading *reading);

/** Print the headline of a story, and flush. */
void why_print_headline(const struct why_reading *reading, const struct why_story *story);

/** Print all but the headline. */
void why_print_story(const struct why_reading *reading, const struct why_story *story);

/** Print all as JSON, one object a line; each has a "type". */
void why_print_json(const struct why_reading *reading, const struct why_story *story);

#endif
