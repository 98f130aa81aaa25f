/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/runs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/meant.h"
#include "lib/base/mem.h"
#include "lib/base/reading.h"
#include "tools/ask.h"

enum { RUNS_MAX_LISTED = 12 };

int runs_ask(struct cli *cli, struct run_list *out_runs)
{
    *out_runs = (struct run_list){0};
    Baro__RunsRequest body = BARO__RUNS_REQUEST__INIT;
    Baro__Envelope request = BARO__ENVELOPE__INIT;
    request.body_case = BARO__ENVELOPE__BODY_RUNS_REQUEST;
    request.runs_request = &body;
    const struct ask ask = {
        .request = &request, .wanted = BARO__ENVELOPE__BODY_RUNS_REPLY, .what = "its runs"};
    const int rc = ask_for(cli, &ask, &out_runs->message);
    if (rc != CLI_OK) {
        return rc;
    }
    const Baro__Envelope *reply = out_runs->message.wire.envelope;
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

/* What the runs are called; to be freed. */
static struct baro_called *called_of(const struct run_list *runs)
{
    struct baro_called *called = baro_xcalloc(runs->n_runs + 1, sizeof *called);
    for (size_t i = 0; i < runs->n_runs; i++) {
        const Baro__RunDescription *description = runs->runs[i]->description;
        called[i] = (struct baro_called){
            description->run_id, description->project, description->name};
    }
    return called;
}

static void say_nothing_found(
    const struct run_list *runs, const struct baro_called *called, const char *text)
{
    char near[2048];
    if (runs->n_runs == 0) {
        (void)cli_fail("no run '%s': the daemon has no runs yet", text);
    } else if (baro_meant_near(called, runs->n_runs, text, near, sizeof near)) {
        (void)cli_fail("no run '%s'; did you mean '%s'?", text, near);
    } else {
        (void)cli_fail("no run '%s'; 'baro runs' lists them", text);
    }
}

static void say_ambiguous(const struct run_list *runs, const char *text, const bool *fits)
{
    struct term term;
    term_init(&term, stderr);
    size_t n_found = 0;
    for (size_t i = 0; i < runs->n_runs; i++) {
        n_found += fits[i] ? 1 : 0;
    }
    (void)cli_fail("'%s' means %zu runs; give the id of one:", text, n_found);
    size_t n_listed = 0;
    for (size_t i = 0; i < runs->n_runs && n_listed < RUNS_MAX_LISTED; i++) {
        const Baro__RunInfo *run = runs->runs[i];
        if (fits[i]) {
            char name[2048];
            char safe[2048];
            (void)snprintf(name, sizeof name, "%s/%s", run->description->project,
                run->description->name);
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
    const char *text = name != NULL ? name : "latest";
    baro_autofree struct baro_called *called = called_of(runs);
    baro_autofree bool *fits = baro_xcalloc(runs->n_runs + 1, sizeof *fits);
    size_t at = 0;
    if (strcmp(text, "latest") == 0 && runs->n_runs == 0) {
        (void)cli_fail("the daemon has no runs yet");
        return NULL;
    }
    switch (baro_meant_find(called, runs->n_runs, text, &at, fits)) {
    case BARO_MEANT_ONE: return runs->runs[at];
    case BARO_MEANT_NONE: say_nothing_found(runs, called, text); break;
    case BARO_MEANT_SEVERAL: say_ambiguous(runs, text, fits); break;
    }
    return NULL;
}

const Baro__RunInfo *runs_by_id(const struct run_list *runs, const char *id)
{
    for (size_t i = 0; i < runs->n_runs; i++) {
        if (strcmp(runs->runs[i]->description->run_id, id) == 0) {
            return runs->runs[i];
        }
    }
    return NULL;
}

const Baro__RunInfo *runs_by_number(const struct run_list *runs, uint32_t number)
{
    for (size_t i = 0; number != 0 && i < runs->n_runs; i++) {
        if (runs->runs[i]->run == number) {
            return runs->runs[i];
        }
    }
    return NULL;
}

/* ---- branches ---- */

/* The number of the run that a run descends from; a parent has a smaller number than its branch. */
static uint32_t root_of(const struct run_list *runs, const Baro__RunInfo *run)
{
    const Baro__RunInfo *parent = runs_by_number(runs, run->parent);
    while (parent != NULL && parent->run < run->run) {
        run = parent;
        parent = runs_by_number(runs, run->parent);
    }
    return run->run;
}

static bool is_hidden(const Baro__RunInfo *run, bool with_overwritten)
{
    return run->is_overwritten && !with_overwritten && run_has_ended(run->status);
}

size_t runs_arrange(const struct run_list *runs, bool with_overwritten,
    const Baro__RunInfo **out_runs, bool *out_is_under)
{
    size_t n = 0;
    baro_autofree struct baro_called *called = called_of(runs);
    baro_autofree bool *is_former = baro_xcalloc(runs->n_runs + 1, sizeof *is_former);
    baro_autofree uint32_t *roots = baro_xcalloc(runs->n_runs + 1, sizeof *roots);
    for (size_t i = 0; i < runs->n_runs; i++) {
        is_former[i] = baro_meant_is_former(called, runs->n_runs, i);
        roots[i] = root_of(runs, runs->runs[i]);
    }
    for (size_t i = 0; i < runs->n_runs; i++) {
        if (is_former[i] || is_hidden(runs->runs[i], with_overwritten)) {
            continue;
        }
        out_is_under[n] = false;
        out_runs[n++] = runs->runs[i];
        bool has_family = runs->runs[i]->parent != 0 || runs->runs[i]->n_branches > 0;
        for (size_t j = 0; has_family && j < runs->n_runs; j++) {
            if (is_former[j] && roots[j] == roots[i] &&
                !is_hidden(runs->runs[j], with_overwritten)) {
                out_is_under[n] = true;
                out_runs[n++] = runs->runs[j];
            }
        }
    }
    /* What is left has lost its family. */
    for (size_t j = 0; j < runs->n_runs; j++) {
        bool is_in = is_hidden(runs->runs[j], with_overwritten);
        for (size_t i = 0; is_former[j] && !is_in && i < n; i++) {
            is_in = out_runs[i] == runs->runs[j];
        }
        if (is_former[j] && !is_in) {
            out_is_under[n] = false;
            out_runs[n++] = runs->runs[j];
        }
    }
    return n;
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

bool run_is_interrupted(const Baro__RunInfo *run)
{
    return run->status == BARO__RUN_STATUS__RUN_FAILED &&
           strncmp(run->status_text, READING_INTERRUPTED, strlen(READING_INTERRUPTED)) == 0;
}

bool run_has_ended(Baro__RunStatus status)
{
    return status == BARO__RUN_STATUS__RUN_FINISHED ||
           status == BARO__RUN_STATUS__RUN_FAILED || status == BARO__RUN_STATUS__RUN_KILLED;
}

char *run_reason(
    const struct term *term, const Baro__RunInfo *run, char *out, size_t out_bytes)
{
    char line[1024];
    bool has_reason = run->status == BARO__RUN_STATUS__RUN_FAILED;
    (void)snprintf(line, sizeof line, "%s", has_reason ? run->status_text : "");
    line[strcspn(line, "\r\n")] = '\0';
    return term_safe(term, line, out, out_bytes);
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
