/* SPDX-License-Identifier: Apache-2.0 */
/*
 * baro sample: which few of a tensor's units to look at, and why. The daemon chooses, as it does
 * for the viewer; how good the choice is is measured here, on the same lines.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/sample.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/reading.h"
#include "tools/cli.h"
#include "tools/runs.h"
#include "tools/sample_find.h"
#include "tools/sample_print.h"

enum {
    LOOK_MS = 500,    /* between looks whether the daemon is still there */
    SILENT_LOOKS = 4, /* without news: then whether the tensor goes on as another */
    MAX_LINES = 4000
};

static int send_question(struct sample_question *question)
{
    struct baro_err err = {0};
    Baro__Envelope envelope = BARO__ENVELOPE__INIT;
    envelope.body_case = BARO__ENVELOPE__BODY_SAMPLE_REQUEST;
    envelope.sample_request = &question->body;
    question->number = link_send(question->cli->link, &envelope, &err);
    question->n_connects = link_n_connects(question->cli->link);
    return question->number > 0 ? CLI_OK : cli_fail_err(&err);
}

/* Wait for the next finding: 1; 0 when none came in time; -1 after saying what is wrong. */
static int next_finding(struct sample_question *question, int timeout_ms)
{
    struct baro_err err = {0};
    struct link_message message;
    int rc = link_await(question->cli->link, question->number, timeout_ms, &message, &err);
    if (rc == BARO_ETIMEOUT) {
        return 0;
    }
    if (rc != 0) {
        (void)cli_fail_err(&err);
        return -1;
    }
    struct finding finding;
    if (link_finding(&message, &finding, &err) != 0) {
        link_message_release(&message);
        (void)cli_fail_err(&err);
        return -1;
    }
    link_message_release(&question->message);
    question->message = message;
    question->finding = finding;
    return 1;
}

/* Wait until the sample is done or the time for it is over. */
static int wait_until_done(struct sample_question *question)
{
    const int64_t budget_ms = question->cli->values.budget_ms;
    const uint64_t began_ns = baro_now_ns();
    for (;;) {
        const int64_t spent_ms = (int64_t)((baro_now_ns() - began_ns) / 1000000);
        const struct finding *finding = &question->finding;
        bool is_over = budget_ms > 0 && spent_ms >= budget_ms;
        if (finding->head != NULL && (finding->head->is_done || is_over)) {
            return CLI_OK;
        }
        if (finding->head == NULL && spent_ms >= SAMPLE_TIMEOUT_MS) {
            return cli_fail(
                "the daemon at %s gives no sample", link_endpoint(question->cli->link));
        }
        int64_t left_ms = budget_ms > 0 && !is_over ? budget_ms - spent_ms : LOOK_MS;
        if (next_finding(question, left_ms < LOOK_MS ? (int)left_ms : LOOK_MS) < 0) {
            return CLI_FAILED;
        }
        if (link_n_connects(question->cli->link) > question->n_connects &&
            send_question(question) != CLI_OK) {
            return CLI_FAILED;
        }
    }
}

/* Ask for a sample of a tensor, wait for it and print it. */
static int ask_and_print(struct sample_question *question)
{
    int rc = send_question(question);
    rc = rc == CLI_OK ? wait_until_done(question) : rc;
    return rc == CLI_OK ? sample_print_all(question) : rc;
}

/* A tensor that changed its shape goes on as another one: follow that. */
static int follow_newest(struct sample_question *question, struct thing_list *things)
{
    struct thing_list now = {0};
    const Baro__ThingInfo *mine = NULL;
    int rc = things_ask(question->cli, question->body.run, NULL, &now);
    if (rc != CLI_OK) {
        return rc;
    }
    for (size_t i = 0; i < now.n_things; i++) {
        mine = now.things[i]->thing == question->body.thing ? now.things[i] : mine;
    }
    const Baro__ThingInfo *newest = mine != NULL ? sample_newest(&now, mine) : NULL;
    if (newest != mine && newest->declare->n_units > 0) {
        link_cancel(question->cli->link, question->number);
        link_message_release(&question->message);
        question->finding = (struct finding){0};
        question->body.thing = newest->thing;
        sample_print_epoch(question, newest);
        rc = ask_and_print(question);
    }
    things_release(things);
    *things = now;
    return rc;
}

/* Print changes as they come, until interrupted. */
static int follow_changes(
    struct sample_question *question, struct thing_list *things, bool is_epoch)
{
    baro_autofree uint8_t *before = sample_reasons_of(&question->finding);
    for (int n_silent = 0;;) {
        int rc = next_finding(question, LOOK_MS);
        if (rc < 0) {
            return CLI_FAILED;
        }
        if (link_n_connects(question->cli->link) > question->n_connects &&
            send_question(question) != CLI_OK) {
            return CLI_FAILED;
        }
        n_silent = rc == 0 ? n_silent + 1 : 0;
        const uint32_t was = question->body.thing;
        if (n_silent == SILENT_LOOKS && !is_epoch) {
            n_silent = 0;
            if (follow_newest(question, things) != CLI_OK) {
                return CLI_FAILED;
            }
        }
        const bool is_other = question->body.thing != was;
        if (!is_other && (rc == 0 || !question->finding.head->is_done)) {
            continue;
        }
        uint8_t *now = sample_reasons_of(&question->finding);
        if (!is_other) {
            sample_print_change(question, before, now);
        }
        free(before);
        before = now;
    }
}

static int sample_tensor(struct cli *cli, uint32_t run, struct thing_list *things)
{
    const char *axis = cli->values.axis;
    bool is_epoch = false;
    const Baro__ThingInfo *thing = sample_find_tensor(things, cli->arguments[1], &is_epoch);
    const int stat = thing != NULL ? sample_find_stat(thing,
                                         cli->values.stat != NULL ? cli->values.stat : "l2")
                                   : -1;
    if (stat < 0) {
        return CLI_FAILED;
    }
    struct sample_question question = {.cli = cli};
    baro__sample_request__init(&question.body);
    question.body.run = run;
    question.body.thing = thing->thing;
    question.body.stat = (uint32_t)stat;
    question.body.from_step = cli->values.from;
    question.body.to_step = cli->values.to;
    question.body.columns = 1; /* none is printed */
    question.body.height = SAMPLE_CHART_HEIGHT;
    question.body.axis = axis == NULL || strcmp(axis, "linear") == 0 ? AXIS_LINEAR
                         : strcmp(axis, "log") == 0                  ? AXIS_LOG
                                                                     : AXIS_SYMLOG;
    question.body.target = (uint32_t)cli->values.lines;
    question.body.is_live = cli->values.is_follow;
    int rc = ask_and_print(&question);
    if (rc == CLI_OK && cli->values.is_follow) {
        rc = follow_changes(&question, things, is_epoch);
    }
    link_cancel(cli->link, question.number);
    link_message_release(&question.message);
    return rc;
}

int cmd_sample(struct cli *cli)
{
    const char *axis = cli->values.axis;
    if (cli->values.lines < 0 || cli->values.lines > MAX_LINES) {
        return cli_misuse("--lines: %lld is not between 1 and %d",
            (long long)cli->values.lines, MAX_LINES);
    }
    if (cli->values.budget_ms < 0) {
        return cli_misuse(
            "--budget-ms: %lld is not a time", (long long)cli->values.budget_ms);
    }
    if (axis != NULL && strcmp(axis, "linear") != 0 && strcmp(axis, "log") != 0 &&
        strcmp(axis, "symlog") != 0) {
        return cli_misuse("--axis: '%s' is not linear, log or symlog", axis);
    }
    if (cli->values.from > cli->values.to) {
        return cli_misuse("--from %lld is behind --to %lld", (long long)cli->values.from,
            (long long)cli->values.to);
    }
    struct run_list runs;
    int rc = runs_ask(cli, &runs);
    if (rc != CLI_OK) {
        return rc;
    }
    const Baro__RunInfo *run = runs_find(&runs, cli->arguments[0]);
    struct thing_list things = {0};
    rc = run == NULL ? CLI_FAILED : things_ask(cli, run->run, NULL, &things);
    if (rc == CLI_OK) {
        rc = sample_tensor(cli, run->run, &things);
        things_release(&things);
    }
    runs_release(&runs);
    return rc;
}
