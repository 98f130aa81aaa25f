/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/runs.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/mem.h"
#include "lib/base/text.h"

enum { RUNS_MAX_LISTED = 12 };

int runs_ask(struct cli *cli, struct run_list *out_runs)
{
    *out_runs = (struct run_list){0};
    struct link *link = cli_link(cli);
    if (link == NULL) {
        return CLI_FAILED;
    }
    struct baro_err err = {0};
    Baro__RunsRequest body = BARO__RUNS_REQUEST__INIT;
    Baro__Envelope request = BARO__ENVELOPE__INIT;
    request.body_case = BARO__ENVELOPE__BODY_RUNS_REQUEST;
    request.runs_request = &body;
    if (link_ask(link, &request, CLI_TIMEOUT_MS, &out_runs->message, &err) != 0) {
        return cli_fail_err(&err);
    }
    const Baro__Envelope *reply = out_runs->message.wire.envelope;
    if (reply->body_case != BARO__ENVELOPE__BODY_RUNS_REPLY) {
        runs_release(out_runs);
        return cli_fail("the daemon gave another answer than its runs");
    }
    out_runs->runs = reply->runs_reply->runs;
    out_runs->n_runs = reply->runs_reply->n_runs;
    return CLI_OK;
}

void runs_release(struct run_list *runs)
{
    link_message_release(&runs->message);
    *runs = (struct run_list){0};
}

/* ---- finding ---- */

/* The ways in which a text can mean a run, from the strictest on. */
enum match { MATCH_ID = 0, MATCH_FULL_NAME, MATCH_NAME, MATCH_ID_PREFIX, MATCH_COUNT };

static void full_name(const Baro__RunInfo *run, char *out, size_t out_bytes)
{
    (void)snprintf(
        out, out_bytes, "%s/%s", run->description->project, run->description->name);
}

static bool matches(const Baro__RunInfo *run, const char *text, enum match match)
{
    char full[2048];
    const Baro__RunDescription *description = run->description;
    switch (match) {
    case MATCH_ID: return strcmp(description->run_id, text) == 0;
    case MATCH_FULL_NAME: full_name(run, full, sizeof full); return strcmp(full, text) == 0;
    case MATCH_NAME: return strcmp(description->name, text) == 0;
    case MATCH_ID_PREFIX: return strncmp(description->run_id, text, strlen(text)) == 0;
    case MATCH_COUNT: break;
    }
    return false;
}

static void say_nothing_found(const struct run_list *runs, const char *text)
{
    if (runs->n_runs == 0) {
        (void)cli_fail("no run '%s': the daemon has no runs yet", text);
        return;
    }
    size_t n_names = 3 * runs->n_runs;
    baro_autofree char *full = baro_xcalloc(runs->n_runs, 2048);
    baro_autofree const char **names = baro_xcalloc(n_names, sizeof *names);
    for (size_t i = 0; i < runs->n_runs; i++) {
        full_name(runs->runs[i], full + i * 2048, 2048);
        names[3 * i] = runs->runs[i]->description->name;
        names[3 * i + 1] = full + i * 2048;
        names[3 * i + 2] = runs->runs[i]->description->run_id;
    }
    const char *near = baro_nearest(text, names, n_names);
    if (near != NULL) {
        (void)cli_fail("no run '%s'; did you mean '%s'?", text, near);
    } else {
        (void)cli_fail("no run '%s'; 'baro runs' lists them", text);
    }
}

static void say_ambiguous(const struct run_list *runs, const char *text, enum match match)
{
    struct term term;
    term_init(&term, stderr);
    size_t n_found = 0;
    for (size_t i = 0; i < runs->n_runs; i++) {
        n_found += matches(runs->runs[i], text, match) ? 1 : 0;
    }
    (void)cli_fail("'%s' means %zu runs; give the id of one:", text, n_found);
    size_t n_listed = 0;
    for (size_t i = 0; i < runs->n_runs && n_listed < RUNS_MAX_LISTED; i++) {
        const Baro__RunInfo *run = runs->runs[i];
        if (matches(run, text, match)) {
            char name[2048];
            char safe[2048];
            full_name(run, name, sizeof name);
            (void)fprintf(stderr, "  %s  %s  %s\n", run->description->run_id,
                term_safe(&term, name, safe, sizeof safe), run_status_name(run->status));
            n_listed++;
        }
    }
    if (n_found > n_listed) {
        (void)fprintf(stderr, "  and %zu more\n", n_found - n_listed);
    }
}

const Baro__RunInfo *runs_find(const struct run_list *runs, const char *name)
{
    if (name == NULL || strcmp(name, "latest") == 0) {
        if (runs->n_runs == 0) {
            (void)cli_fail("the daemon has no runs yet");
            return NULL;
        }
        return runs->runs[0];
    }
    for (enum match match = MATCH_ID; match < MATCH_COUNT && name[0] != '\0'; match++) {
        const Baro__RunInfo *found = NULL;
        for (size_t i = 0; i < runs->n_runs; i++) {
            if (matches(runs->runs[i], name, match)) {
                if (found != NULL) {
                    say_ambiguous(runs, name, match);
                    return NULL;
                }
                found = runs->runs[i];
            }
        }
        if (found != NULL) {
            return found;
        }
    }
    say_nothing_found(runs, name);
    return NULL;
}

const Baro__RunInfo *runs_by_id(const struct run_list *runs, const char *id)
{
    for (size_t i = 0; i < runs->n_runs; i++) {
        if (matches(runs->runs[i], id, MATCH_ID)) {
            return runs->runs[i];
        }
    }
    return NULL;
}

/* ---- words ---- */

const char *run_status_name(Baro__RunStatus status)
{
    switch (status) {
    case BARO__RUN_STATUS__RUN_RUNNING: return "running";
    case BARO__RUN_STATUS__RUN_FINISHED: return "finished";
    case BARO__RUN_STATUS__RUN_FAILED: return "failed";
    case BARO__RUN_STATUS__RUN_KILLED: return "killed";
    case BARO__RUN_STATUS__RUN_STALLED: return "stalled";
    case BARO__RUN_STATUS__RUN_UNKNOWN:
    case _BARO__RUN_STATUS_IS_INT_SIZE:
    default: return "unknown";
    }
}

bool run_has_ended(Baro__RunStatus status)
{
    return status == BARO__RUN_STATUS__RUN_FINISHED ||
           status == BARO__RUN_STATUS__RUN_FAILED || status == BARO__RUN_STATUS__RUN_KILLED;
}

enum term_paint run_status_paint(Baro__RunStatus status)
{
    switch (status) {
    case BARO__RUN_STATUS__RUN_RUNNING: return TERM_GOOD;
    case BARO__RUN_STATUS__RUN_FAILED:
    case BARO__RUN_STATUS__RUN_KILLED: return TERM_BAD;
    case BARO__RUN_STATUS__RUN_STALLED: return TERM_WARN;
    case BARO__RUN_STATUS__RUN_FINISHED:
    case BARO__RUN_STATUS__RUN_UNKNOWN:
    case _BARO__RUN_STATUS_IS_INT_SIZE:
    default: return TERM_PLAIN;
    }
}
