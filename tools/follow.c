/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/follow.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "tools/runs.h"

static volatile sig_atomic_t is_interrupted;

static void on_signal(int number)
{
    (void)number;
    is_interrupted = 1;
}

bool follow_is_interrupted(void)
{
    return is_interrupted != 0;
}

/* News that are no data go to standard error: the output stays what was asked for. */
static void say(const struct follow *follow, const char *text)
{
    if (follow->is_quiet) {
        return;
    }
    (void)fflush(stdout);
    (void)fprintf(stderr, "%sbaro: %s%s\n", term_paint(&follow->cli->out, TERM_WARN), text,
        term_paint(&follow->cli->out, TERM_PLAIN));
}

static int subscribe(struct follow *follow)
{
    struct baro_err err = {0};
    struct link_message reply;
    Baro__SubscribeRequest body = BARO__SUBSCRIBE_REQUEST__INIT;
    body.run = follow->run;
    Baro__Envelope request = BARO__ENVELOPE__INIT;
    request.body_case = BARO__ENVELOPE__BODY_SUBSCRIBE_REQUEST;
    request.subscribe_request = &body;
    if (link_ask(follow->cli->link, &request, CLI_TIMEOUT_MS, &reply, &err) != 0) {
        return cli_fail_err(&err);
    }
    link_message_release(&reply);
    follow->n_connects = link_n_connects(follow->cli->link);
    return CLI_OK;
}

void follow_note(struct follow *follow, const Baro__RunInfo *info)
{
    char reason[1024];
    free(follow->reason);
    follow->reason =
        baro_xstrdup(run_reason(&follow->cli->out, info, reason, sizeof reason));
    follow->run = info->run;
    follow->status = info->status;
    follow->last_step = info->last_step;
    follow->last_loss = info->has_loss ? info->last_loss : (double)NAN;
}

int follow_begin(struct cli *cli, const char *name, bool is_live, struct follow *out_follow)
{
    struct run_list runs;
    *out_follow = (struct follow){.cli = cli, .is_live = is_live};
    int rc = runs_ask(cli, &runs);
    if (rc != CLI_OK) {
        return rc;
    }
    const Baro__RunInfo *info = runs_find(&runs, name);
    if (info == NULL) {
        runs_release(&runs);
        return CLI_FAILED;
    }
    char text[2048];
    char safe[2048];
    (void)snprintf(
        text, sizeof text, "%s/%s", info->description->project, info->description->name);
    out_follow->id = baro_xstrdup(info->description->run_id);
    out_follow->name = baro_xstrdup(term_safe(&cli->out, text, safe, sizeof safe));
    follow_note(out_follow, info);
    runs_release(&runs);
    if (is_live) {
        struct sigaction action = {.sa_handler = on_signal};
        (void)sigaction(SIGINT, &action, NULL);
        (void)sigaction(SIGTERM, &action, NULL);
        (void)setvbuf(stdout, NULL, _IOLBF, 0);
        rc = subscribe(out_follow);
    }
    if (rc != CLI_OK) {
        follow_end(out_follow);
    }
    return rc;
}

void follow_end(struct follow *follow)
{
    free(follow->id);
    free(follow->name);
    free(follow->reason);
    *follow = (struct follow){0};
}

/* The daemon has come back: find the run again by its id. */
static enum follow_news resume(struct follow *follow)
{
    struct run_list runs;
    if (runs_ask(follow->cli, &runs) != CLI_OK) {
        return FOLLOW_NOTHING; /* it is tried again at the next turn */
    }
    const Baro__RunInfo *info = runs_by_id(&runs, follow->id);
    if (info == NULL) {
        runs_release(&runs);
        (void)cli_fail("the daemon is back, but has no run %s", follow->id);
        return FOLLOW_LOST_RUN;
    }
    follow_note(follow, info);
    runs_release(&runs);
    if (subscribe(follow) != CLI_OK) {
        return FOLLOW_NOTHING;
    }
    if (follow->is_away) {
        say(follow, "the daemon is back");
    }
    follow->is_away = false;
    return FOLLOW_BACK;
}

enum follow_news follow_check(struct follow *follow)
{
    struct link *link = follow->cli->link;
    if (link_n_connects(link) != follow->n_connects && link_is_connected(link)) {
        return resume(follow);
    }
    if (!link_is_connected(link) && !follow->is_away) {
        follow->is_away = true;
        say(follow, "the daemon is gone; waiting for it (Ctrl-C ends this)");
        return FOLLOW_AWAY;
    }
    return FOLLOW_NOTHING;
}
