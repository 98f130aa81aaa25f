/* SPDX-License-Identifier: Apache-2.0 */
/* Printing alerts, for `baro alerts` and `baro tail`. */
#ifndef BARO_TOOLS_ALERTS_H
#define BARO_TOOLS_ALERTS_H

#include <jansson.h>

#include "proto/wire.h"
#include "tools/term.h"

/** Make the JSON object of an alert; a new reference. What does not apply is null or []. */
json_t *alert_to_json(const Baro__Alert *alert);

/** Print an alert for people: a line of facts, its sentence, what to try next. */
void alert_print(const struct term *term, const Baro__Alert *alert);

#endif
