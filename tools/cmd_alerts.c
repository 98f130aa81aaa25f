/* SPDX-License-Identifier: Apache-2.0 */
/*
 * baro alerts: what broke, as incidents with their likely causes and what to try; with --all every
 * alert below. For programs (--json) alerts, or with --incidents incidents, one object a line.
 * Live with --follow.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/tensor.h"
#include "lib/link/link.h"
#include "tools/alerts.h"
#include "tools/cli.h"
#include "tools/follow.h"
#include "tools/json.h"
#include "tools/runs.h"

enum { ALERTS_POLL_MS = 500 };

/* What has been shown of an incident. */
struct shown {
    uint64_t id;
    char *headline;
    bool is_open;
};

/* One call. */
struct showing {
    struct cli *cli;
    uint64_t last_alert;
    struct shown *incidents;
    size_t n_incidents;
    size_t n; /* of all that was printed */
};

/* ---- printing ---- */

static struct shown *find_shown(struct showing *showing, uint64_t id)
{
    for (size_t i = 0; i < showing->n_incidents; i++) {
        if (showing->incidents[i].id == id) {
            return &showing->incidents[i];
        }
    }
    return NULL;
}

/* Note an incident; tells whether it is new, and whether it says something new. */
static bool note_incident(
    struct showing *showing, const Baro__Incident *incident, bool *out_is_new)
{
    struct shown *shown = find_shown(showing, incident->id);
    *out_is_new = shown == NULL;
    if (shown == NULL) {
        showing->incidents = baro_xrealloc(
            showing->incidents, showing->n_incidents + 1, sizeof *showing->incidents);
        shown = &showing->incidents[showing->n_incidents++];
        *shown = (struct shown){.id = incident->id};
    }
    bool is_news = shown->headline == NULL ||
                   strcmp(shown->headline, incident->headline) != 0 ||
                   (shown->is_open && !incident->is_open);
    free(shown->headline);
    shown->headline = baro_xstrdup(incident->headline);
    shown->is_open = incident->is_open;
    return is_news;
}

static void show_incident(struct showing *showing, const Baro__Incident *incident)
{
    const struct cli *cli = showing->cli;
    bool is_new = false;
    if (!note_incident(showing, incident, &is_new) ||
        (cli->values.is_json && !cli->values.is_incidents)) {
        return;
    }
    showing->n++;
    if (cli->values.is_json) {
        json_print(&cli->out, incident_to_json(incident));
    } else if (is_new) {
        incident_print(&cli->out, incident);
    } else {
        incident_print_line(&cli->out, incident);
    }
}

/* For people alerts stand in their incident, unless all are wanted. */
static void show_alert(struct showing *showing, const Baro__Alert *alert)
{
    const struct cli *cli = showing->cli;
    if (alert->id <= showing->last_alert) {
        return;
    }
    showing->last_alert = alert->id;
    if (cli->values.is_json && !cli->values.is_incidents) {
        json_print(&cli->out, alert_to_json(alert));
        showing->n++;
    } else if (!cli->values.is_json && (cli->values.is_all || alert->incident == 0)) {
        alert_print(&cli->out, alert);
        showing->n++;
    }
}

/* ---- asking and following ---- */

static const Baro__Alert *alert_of(const Baro__AlertsReply *reply, uint64_t id)
{
    for (size_t i = 0; i < reply->n_alerts; i++) {
        if (reply->alerts[i]->id == id) {
            return reply->alerts[i];
        }
    }
    return NULL;
}

static bool has_incident(const Baro__AlertsReply *reply, uint64_t id)
{
    for (size_t i = 0; i < reply->n_incidents; i++) {
        if (reply->incidents[i]->id == id) {
            return true;
        }
    }
    return false;
}

/* Stories first, each with its alerts below if they are wanted. */
static void print_reply(struct showing *showing, const Baro__AlertsReply *reply)
{
    const struct cli *cli = showing->cli;
    uint64_t newest = showing->last_alert;
    bool is_for_people = !cli->values.is_json;
    for (size_t i = 0; i < reply->n_incidents; i++) {
        const Baro__Incident *incident = reply->incidents[i];
        show_incident(showing, incident);
        for (size_t k = 0; is_for_people && cli->values.is_all && k < incident->n_alerts;
             k++) {
            const Baro__Alert *alert = alert_of(reply, incident->alerts[k]);
            if (alert != NULL && alert->id > showing->last_alert) {
                alert_print(&cli->out, alert);
            }
        }
    }
    for (size_t i = 0; i < reply->n_alerts; i++) {
        const Baro__Alert *alert = reply->alerts[i];
        newest = alert->id > newest ? alert->id : newest;
        if (alert->id <= showing->last_alert ||
            (cli->values.is_json && cli->values.is_incidents)) {
            continue;
        }
        if (cli->values.is_json) {
            json_print(&cli->out, alert_to_json(alert));
            showing->n++;
        } else if (!has_incident(reply, alert->incident)) {
            alert_print(&cli->out, alert);
            showing->n++;
        }
    }
    showing->last_alert = newest;
}

static int print_stored(struct showing *showing, uint32_t run)
{
    struct link_message reply;
    const Baro__AlertsReply *alerts = alerts_ask(showing->cli, run, &reply);
    if (alerts == NULL) {
        return CLI_FAILED;
    }
    print_reply(showing, alerts);
    link_message_release(&reply);
    return CLI_OK;
}

/* Handle one live message; returns true when the run has ended. */
static bool take_live(
    struct showing *showing, struct follow *follow, const Baro__Envelope *envelope)
{
    uint32_t run = follow->run;
    if (envelope->body_case == BARO__ENVELOPE__BODY_LIVE_ALERT) {
        const Baro__Alert *alert = envelope->live_alert->alert;
        if (alert != NULL && alert->run == run) {
            show_alert(showing, alert);
        }
    } else if (envelope->body_case == BARO__ENVELOPE__BODY_LIVE_INCIDENT) {
        const Baro__Incident *incident = envelope->live_incident->incident;
        if (incident != NULL && incident->run == run) {
            show_incident(showing, incident);
        }
    } else if (envelope->body_case == BARO__ENVELOPE__BODY_LIVE_RUN) {
        const Baro__RunInfo *info = envelope->live_run->run;
        if (info != NULL && info->run == run) {
            follow_note(follow, info);
            return run_has_ended(info->status);
        }
    }
    return false;
}

static int follow(struct showing *showing, struct follow *follow)
{
    struct baro_err err = {0};
    bool has_ended = run_has_ended(follow->status);
    while (!has_ended && !follow_is_interrupted()) {
        enum follow_news news = follow_check(follow);
        if (news == FOLLOW_LOST_RUN) {
            return CLI_FAILED;
        }
        if (news == FOLLOW_BACK && print_stored(showing, follow->run) != CLI_OK) {
            return CLI_FAILED;
        }
        has_ended = run_has_ended(follow->status);
        struct link_message message;
        int rc = link_next(showing->cli->link, ALERTS_POLL_MS, &message, &err);
        if (rc < 0) {
            return cli_fail_err(&err);
        }
        if (rc > 0) {
            has_ended = take_live(showing, follow, message.wire.envelope);
            link_message_release(&message);
        }
    }
    /* The alert that comes with the end may be stored behind the news of it. */
    return print_stored(showing, follow->run);
}

/* A run that failed without any alert has a reason of its own. */
static void say_how_it_ended(const struct cli *cli, const struct follow *run)
{
    if (run->status != BARO__RUN_STATUS__RUN_FAILED &&
        run->status != BARO__RUN_STATUS__RUN_KILLED) {
        return;
    }
    (void)printf("%sthe run %s at step %lld%s%s%s\n",
        term_paint(&cli->out, run_status_paint(run->status)),
        run->status == BARO__RUN_STATUS__RUN_FAILED ? "failed" : "was killed",
        (long long)run->last_step, run->reason[0] != '\0' ? ": " : "", run->reason,
        term_paint(&cli->out, TERM_PLAIN));
}

int cmd_alerts(struct cli *cli)
{
    struct follow run;
    int rc = follow_begin(
        cli, cli->n_arguments > 0 ? cli->arguments[0] : NULL, cli->values.is_follow, &run);
    if (rc != CLI_OK) {
        return rc;
    }
    struct showing showing = {.cli = cli};
    rc = print_stored(&showing, run.run);
    if (rc == CLI_OK && showing.n == 0 && !cli->values.is_json) {
        (void)printf("no alerts%s\n", cli->values.is_follow ? " yet" : "");
    }
    if (rc == CLI_OK && cli->values.is_follow) {
        rc = follow(&showing, &run);
    }
    if (rc == CLI_OK && !cli->values.is_json) {
        say_how_it_ended(cli, &run);
    }
    for (size_t i = 0; i < showing.n_incidents; i++) {
        free(showing.incidents[i].headline);
    }
    free(showing.incidents);
    follow_end(&run);
    return rc;
}
