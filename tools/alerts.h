/* SPDX-License-Identifier: Apache-2.0 */
/* Asking for alerts and incidents, and printing them: baro alerts, tail, replay, export. */
#ifndef BARO_TOOLS_ALERTS_H
#define BARO_TOOLS_ALERTS_H

#include <jansson.h>

#include "lib/link/link.h"
#include "tools/cli.h"

/** Make the JSON object of an alert; a new reference. What does not apply is null or []. */
json_t *alert_to_json(const Baro__Alert *alert);

/** Make the JSON object of an incident, with "type": "incident"; a new reference. */
json_t *incident_to_json(const Baro__Incident *incident);

/** Print an alert for people: a line of facts, its sentence, what to try next. */
void alert_print(const struct term *term, const Baro__Alert *alert);

/** Print an incident for people: level, steps, headline, causes, what to try. */
void incident_print(const struct term *term, const Baro__Incident *incident);

/** Print an incident in one line: level, step, headline. */
void incident_print_line(const struct term *term, const Baro__Incident *incident);

/**
 * Print incidents, newest story last, and alerts: those of an incident below it when is_all, those
 * of none in any case. For programs all objects, one a line, with their "type".
 */
void alerts_print_all(const struct cli *cli, Baro__Incident *const *incidents,
    size_t n_incidents, Baro__Alert *const *alerts, size_t n_alerts, bool is_all);

/**
 * Ask for the alerts of a run.
 *
 * out_reply  release with link_message_release
 * returns    NULL after saying why
 */
const Baro__AlertsReply *alerts_ask(
    struct cli *cli, uint32_t run, struct link_message *out_reply);

#endif
