/* SPDX-License-Identifier: Apache-2.0 */
/* baro alerts: what the rules found in a run, as sentences with advice; live with --follow. */
#include <stdio.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/tensor.h"
#include "lib/link/link.h"
#include "tools/alerts.h"
#include "tools/cli.h"
#include "tools/follow.h"
#include "tools/json.h"
#include "tools/runs.h"

enum { ALERTS_POLL_MS = 500 };

/* ---- printing ---- */

static json_t *samples_of(const Baro__Alert *alert)
{
    json_t *samples = json_array();
    for (size_t i = 0; i < alert->n_samples; i++) {
        (void)json_array_append_new(samples, json_integer((json_int_t)alert->samples[i]));
    }
    return samples;
}

static json_t *index_or_null(int64_t index)
{
    return index >= 0 ? json_integer((json_int_t)index) : json_null();
}

json_t *alert_to_json(const Baro__Alert *alert)
{
    json_t *object = json_pack("{s:I, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "step",
        (json_int_t)alert->step, "kind", json_text(alert->kind), "severity",
        baro_level_name((enum baro_level)alert->level), "tensor",
        json_text_or_null(alert->tensor), "module", json_text_or_null(alert->module),
        "role", json_text_or_null(alert->role), "unit", index_or_null(alert->unit),
        "samples", samples_of(alert), "text", json_text(alert->text), "incident",
        alert->incident > 0 ? json_integer((json_int_t)alert->incident) : json_null());
    json_t *more = json_pack("{s:o, s:I, s:I, s:I, s:o, s:o, s:b, s:I}", "advice",
        json_text_or_null(alert->advice), "id", (json_int_t)alert->id, "time_ns",
        (json_int_t)alert->time_ns, "rank", (json_int_t)alert->rank, "row",
        index_or_null(alert->row), "value", json_number(alert->value), "is_sample_known",
        alert->has_sample, "batch_size", (json_int_t)alert->batch_size);
    (void)json_object_update_missing(object, more);
    json_decref(more);
    return object;
}

void alert_print(const struct term *term, const Baro__Alert *alert)
{
    char text[2048];
    enum term_paint paint = alert->level >= BARO_ALARM   ? TERM_BAD
                            : alert->level >= BARO_WATCH ? TERM_WARN
                                                         : TERM_ACCENT;
    (void)printf("%s%s %s%s  step %lld  %s%s%s", term_paint(term, paint),
        term_mark(term, "▲", "!"), baro_level_name((enum baro_level)alert->level),
        term_paint(term, TERM_PLAIN), (long long)alert->step, term_paint(term, TERM_BOLD),
        term_safe(term, alert->kind, text, sizeof text), term_paint(term, TERM_PLAIN));
    if (alert->tensor[0] != '\0') {
        (void)printf("  %s", term_safe(term, alert->tensor, text, sizeof text));
    }
    if (alert->role[0] != '\0') {
        (void)printf(":%s", term_safe(term, alert->role, text, sizeof text));
    }
    if (alert->unit >= 0) {
        (void)printf("  unit %lld", (long long)alert->unit);
    }
    if (alert->has_sample && alert->n_samples > 0) {
        (void)printf("  sample %lld", (long long)alert->samples[0]);
    }
    (void)fputc('\n', stdout);
    term_wrap(term, stdout, 4, term_safe(term, alert->text, text, sizeof text));
    if (alert->advice[0] != '\0') {
        char advice[2100];
        (void)snprintf(advice, sizeof advice, "try: %s",
            term_safe(term, alert->advice, text, sizeof text));
        term_wrap(term, stdout, 4, advice);
    }
}

static void show(const struct cli *cli, const Baro__Alert *alert)
{
    if (cli->values.is_json) {
        json_print(&cli->out, alert_to_json(alert));
    } else {
        alert_print(&cli->out, alert);
    }
}

/* ---- asking and following ---- */

/* Print the stored alerts with ids beyond *last_id. */
static int print_stored(struct cli *cli, uint32_t run, uint64_t *last_id, size_t *out_n)
{
    struct baro_err err = {0};
    struct link_message reply;
    Baro__AlertsRequest body = BARO__ALERTS_REQUEST__INIT;
    body.run = run;
    Baro__Envelope request = BARO__ENVELOPE__INIT;
    request.body_case = BARO__ENVELOPE__BODY_ALERTS_REQUEST;
    request.alerts_request = &body;
    if (link_ask(cli->link, &request, CLI_TIMEOUT_MS, &reply, &err) != 0) {
        return cli_fail_err(&err);
    }
    if (reply.wire.envelope->body_case != BARO__ENVELOPE__BODY_ALERTS_REPLY) {
        link_message_release(&reply);
        return cli_fail("the daemon gave another answer than alerts");
    }
    const Baro__AlertsReply *alerts = reply.wire.envelope->alerts_reply;
    uint64_t newest_id = *last_id;
    *out_n = 0;
    for (size_t i = 0; i < alerts->n_alerts; i++) {
        if (alerts->alerts[i]->id > *last_id) {
            show(cli, alerts->alerts[i]);
            (*out_n)++;
            newest_id =
                alerts->alerts[i]->id > newest_id ? alerts->alerts[i]->id : newest_id;
        }
    }
    *last_id = newest_id;
    link_message_release(&reply);
    return CLI_OK;
}

/* Handle one live message; returns true when the run has ended. */
static bool take_live(struct cli *cli, struct follow *follow,
    const Baro__Envelope *envelope, uint64_t *last_id)
{
    uint32_t run = follow->run;
    if (envelope->body_case == BARO__ENVELOPE__BODY_LIVE_ALERT) {
        const Baro__Alert *alert = envelope->live_alert->alert;
        if (alert != NULL && alert->run == run && alert->id > *last_id) {
            *last_id = alert->id;
            show(cli, alert);
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

static int follow(struct cli *cli, struct follow *follow, uint64_t last_id)
{
    struct baro_err err = {0};
    size_t n = 0;
    bool has_ended = run_has_ended(follow->status);
    while (!has_ended && !follow_is_interrupted()) {
        enum follow_news news = follow_check(follow);
        if (news == FOLLOW_LOST_RUN) {
            return CLI_FAILED;
        }
        if (news == FOLLOW_BACK && print_stored(cli, follow->run, &last_id, &n) != CLI_OK) {
            return CLI_FAILED;
        }
        has_ended = run_has_ended(follow->status);
        struct link_message message;
        int rc = link_next(cli->link, ALERTS_POLL_MS, &message, &err);
        if (rc < 0) {
            return cli_fail_err(&err);
        }
        if (rc > 0) {
            has_ended = take_live(cli, follow, message.wire.envelope, &last_id);
            link_message_release(&message);
        }
    }
    /* The alert that comes with the end may be stored behind the news of it. */
    return print_stored(cli, follow->run, &last_id, &n);
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
    uint64_t last_id = 0;
    size_t n = 0;
    rc = print_stored(cli, run.run, &last_id, &n);
    if (rc == CLI_OK && n == 0 && !cli->values.is_json) {
        (void)printf("no alerts%s\n", cli->values.is_follow ? " yet" : "");
    }
    if (rc == CLI_OK && cli->values.is_follow) {
        rc = follow(cli, &run, last_id);
    }
    if (rc == CLI_OK && !cli->values.is_json) {
        say_how_it_ended(cli, &run);
    }
    follow_end(&run);
    return rc;
}
