/* SPDX-License-Identifier: Apache-2.0 */
/*
 * baro sample: which few of a tensor's units to look at, and why. The daemon chooses, as it does
 * for the viewer; how good the choice is is measured here, on the same lines.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/sample.h"
#include "lib/analysis/sample_lines.h"
#include "lib/analysis/sample_measure.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/reading.h"
#include "lib/link/finding.h"
#include "tools/cli.h"
#include "tools/json.h"
#include "tools/runs.h"
#include "tools/series.h"

enum {
    SAMPLE_TIMEOUT_MS = 60000,
    LOOK_MS = 500,     /* between looks whether the daemon is still there */
    CHART_WIDTH = 800, /* of the chart that lines are chosen for, px */
    CHART_HEIGHT = 400,
    MOST_REPLY_BYTES = 60 << 20,
    MAX_LINES = 4000,
    MOST_NAMED = 12 /* units that came or went, in one line */
};

_Static_assert(sizeof(struct column) == sizeof(struct wire_column),
    "columns come over the wire as they are");

/* What is asked of the daemon, and its last word. */
struct question {
    struct cli *cli;
    Baro__SampleRequest body;
    int64_t number;      /* of the request under way; 0: none */
    unsigned n_connects; /* of the link when it was asked */
    struct link_message message;
    struct finding finding; /* in message; head NULL: none yet */
};

/* Ask the daemon for the lines of all units, at the steps of a finding; CLI_OK or CLI_FAILED. */
static int ask_lines(const struct question *question, struct sample_lines *out)
{
    struct baro_err err = {0};
    const Baro__SampleFinding *head = question->finding.head;
    size_t n_columns =
        (size_t)MOST_REPLY_BYTES / sizeof(struct wire_column) / head->n_lines;
    Baro__SeriesRef reference = BARO__SERIES_REF__INIT;
    Baro__SeriesRef *references = &reference;
    reference.thing = question->body.thing;
    reference.kind = READING_UNITS;
    reference.stat = question->body.stat;
    reference.unit = -1;
    Baro__RangeRequest body = BARO__RANGE_REQUEST__INIT;
    body.run = question->body.run;
    body.n_series = 1;
    body.series = &references;
    body.from_step = head->from_step;
    body.to_step = head->to_step;
    body.columns =
        (uint32_t)(n_columns < POLYLINE_MAX_COLUMNS ? n_columns : POLYLINE_MAX_COLUMNS);
    Baro__Envelope request = BARO__ENVELOPE__INIT;
    request.body_case = BARO__ENVELOPE__BODY_RANGE_REQUEST;
    request.range_request = &body;
    struct link_message message;
    if (link_ask(question->cli->link, &request, SAMPLE_TIMEOUT_MS, &message, &err) != 0) {
        return cli_fail_err(&err);
    }
    const Baro__RangeReply *reply = message.wire.envelope->range_reply;
    bool is_range = message.wire.envelope->body_case == BARO__ENVELOPE__BODY_RANGE_REPLY;
    size_t n = is_range ? (size_t)head->n_lines * reply->n_columns : 0;
    if (!is_range || message.n_frames != 1 ||
        message.frames[0].n_bytes != n * sizeof(struct wire_column)) {
        link_message_release(&message);
        return cli_fail("the daemon gave another answer than a range");
    }
    sample_lines_init(out, head->n_lines, reply->n_columns);
    sample_lines_take(out, 0, head->n_lines, (const void *)message.frames[0].bytes);
    sample_lines_pack(out);
    link_message_release(&message);
    return CLI_OK;
}

/* How good the choice is, on a chart of CHART_WIDTH x CHART_HEIGHT. */
struct quality {
    double coverage;
    double overdraw;
    double overdraw_all;
};

static int measure(const struct question *question, struct quality *out)
{
    const struct finding *finding = &question->finding;
    const Baro__SampleFinding *head = finding->head;
    const struct axis axis = {.kind = (enum axis_kind)head->axis,
        .lo = head->lo,
        .hi = head->hi,
        .linear_to = head->linear_to};
    struct sample_lines lines = {0};
    struct polyline_screen screen;
    struct sample_canvas all, some;
    if (ask_lines(question, &lines) != CLI_OK) {
        return CLI_FAILED;
    }
    polyline_screen_init(&screen, &lines.view, &axis, CHART_HEIGHT, POLYLINE_MAX_COLUMNS);
    sample_canvas_init(&all, CHART_WIDTH, CHART_HEIGHT);
    sample_canvas_init(&some, CHART_WIDTH, CHART_HEIGHT);
    for (size_t i = 0; i < lines.n_lines; i++) {
        sample_canvas_draw(&all, &screen, &lines.view, i);
    }
    for (size_t i = 0; i < head->n_shown; i++) {
        sample_canvas_draw(&some, &screen, &lines.view, finding->shown[i]);
    }
    *out = (struct quality){
        sample_coverage(&all, &some), sample_overdraw(&some), sample_overdraw(&all)};
    sample_canvas_finish(&all);
    sample_canvas_finish(&some);
    sample_lines_finish(&lines);
    return CLI_OK;
}

/* A unit that was chosen, in the order in which it is told. */
struct chosen {
    uint32_t unit;
    uint32_t n_members;
    uint8_t reason;
};

static int graver_first(const void *a, const void *b)
{
    const struct chosen *x = a, *y = b;
    if (x->reason != y->reason) {
        return x->reason > y->reason ? -1 : 1;
    }
    return x->unit < y->unit ? -1 : x->unit > y->unit;
}

static struct chosen *sort_chosen(const struct finding *finding)
{
    const size_t n = finding->head->n_shown;
    struct chosen *chosen = baro_xcalloc(n + 1, sizeof *chosen);
    for (size_t i = 0; i < n; i++) {
        chosen[i] = (struct chosen){finding->shown[i],
            finding->members != NULL ? finding->members[i] : 0, finding->reasons[i]};
    }
    qsort(chosen, n, sizeof *chosen, graver_first);
    return chosen;
}

static void print_json(
    const struct cli *cli, const struct finding *finding, const struct quality *quality)
{
    baro_autofree struct chosen *chosen = sort_chosen(finding);
    const Baro__SampleFinding *head = finding->head;
    for (size_t i = 0; i < head->n_shown; i++) {
        json_t *object = json_pack("{s:I, s:s}", "unit", (json_int_t)chosen[i].unit,
            "reason", sample_reason_name((enum sample_reason)chosen[i].reason));
        if (head->is_assigned) {
            (void)json_object_set_new(
                object, "stands_for", json_integer((json_int_t)chosen[i].n_members));
        }
        json_print(&cli->out, object);
    }
    json_print(&cli->out,
        json_pack("{s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:I}",
            "shown", (json_int_t)head->n_shown, "units", (json_int_t)head->n_lines, "from",
            (json_int_t)head->from_step, "to", (json_int_t)head->to_step, "fraction",
            json_number(head->fraction), "radius_px", json_number((double)head->radius_px),
            "spread_px",
            head->is_assigned ? json_number((double)head->spread_px) : json_null(),
            "coverage", json_number(quality->coverage), "overdraw",
            json_number(quality->overdraw), "overdraw_of_all",
            json_number(quality->overdraw_all), "n_nonfinite",
            (json_int_t)head->n_nonfinite, "n_leaping", (json_int_t)head->n_leaping,
            "n_left_out", (json_int_t)head->n_left_out));
}

static void print_summary(
    const struct cli *cli, const struct finding *finding, const struct quality *quality)
{
    const Baro__SampleFinding *head = finding->head;
    const struct term *term = &cli->out;
    (void)printf("%s%u of %u units%s, steps %lld to %lld\n", term_paint(term, TERM_BOLD),
        head->n_shown, head->n_lines, term_paint(term, TERM_PLAIN),
        (long long)head->from_step, (long long)head->to_step);
    if (head->n_left_out > 0) {
        (void)printf(
            "%u more have non-finite readings or leap; the first to do so are shown\n",
            head->n_left_out);
    }
    (void)printf("shown lines light %.1f %% of what all %u would, %.1f times a pixel "
                 "(all: %.1f)\n",
        100 * quality->coverage, head->n_lines, quality->overdraw, quality->overdraw_all);
    if (head->is_assigned && head->n_shown < head->n_lines) {
        (void)printf(
            "they keep %.1f px apart; no other line is further than %.1f px from one "
            "of them, on the whole\n",
            (double)head->radius_px, (double)head->spread_px);
    }
    if (!head->is_done) {
        (void)printf(
            "stopped when the time was over, %.0f %% of the way\n", 100 * head->fraction);
    }
}

static void print_people(
    const struct cli *cli, const struct finding *finding, const struct quality *quality)
{
    baro_autofree struct chosen *chosen = sort_chosen(finding);
    const Baro__SampleFinding *head = finding->head;
    const struct term *term = &cli->out;
    print_summary(cli, finding, quality);
    (void)printf("%s%8s  %-10s  %10s%s\n", term_paint(term, TERM_DIM), "UNIT", "WHY",
        "STANDS FOR", term_paint(term, TERM_PLAIN));
    for (size_t i = 0; i < head->n_shown; i++) {
        enum sample_reason reason = (enum sample_reason)chosen[i].reason;
        bool is_bad = reason == SAMPLE_NONFINITE;
        (void)printf("%8u  %s%-10s%s  ", chosen[i].unit,
            is_bad ? term_paint(term, TERM_BAD) : "", sample_reason_name(reason),
            is_bad ? term_paint(term, TERM_PLAIN) : "");
        if (head->is_assigned) {
            (void)printf("%10u\n", chosen[i].n_members);
        } else {
            (void)printf("%10s\n", "?");
        }
    }
}

static int print_all(const struct question *question)
{
    const struct cli *cli = question->cli;
    const struct finding *finding = &question->finding;
    struct quality quality;
    if (finding->head->damage[0] != '\0') {
        (void)cli_fail("%s; the rest is sampled", finding->head->damage);
    }
    if (finding->head->n_shown == 0) {
        return cli->values.is_follow ? CLI_OK
                                     : cli_fail("there are no readings of units in those "
                                                "steps");
    }
    if (measure(question, &quality) != CLI_OK) {
        return CLI_FAILED;
    }
    if (cli->values.is_json) {
        print_json(cli, finding, &quality);
    } else {
        print_people(cli, finding, &quality);
    }
    (void)fflush(stdout);
    return CLI_OK;
}

/* ---- following ---- */

/* The reason for which each unit is shown. */
static uint8_t *reasons_of(const struct finding *finding)
{
    const Baro__SampleFinding *head = finding->head;
    uint8_t *reasons = baro_xcalloc((size_t)head->n_lines + 1, 1);
    for (size_t i = 0; i < head->n_shown; i++) {
        reasons[finding->shown[i]] = finding->reasons[i];
    }
    return reasons;
}

static void print_units(
    const char *word, const uint32_t *units, size_t n, const uint8_t *reasons)
{
    for (size_t i = 0; i < n && i < MOST_NAMED; i++) {
        (void)printf("%s %u", i == 0 ? word : ",", units[i]);
        if (reasons != NULL) {
            (void)printf(
                " (%s)", sample_reason_name((enum sample_reason)reasons[units[i]]));
        }
    }
    if (n > MOST_NAMED) {
        (void)printf(" and %zu more", n - MOST_NAMED);
    }
}

static json_t *units_json(const uint32_t *units, size_t n, const uint8_t *reasons)
{
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *unit = json_integer((json_int_t)units[i]);
        if (reasons != NULL) {
            unit = json_pack("{s:o, s:s}", "unit", unit, "reason",
                sample_reason_name((enum sample_reason)reasons[units[i]]));
        }
        (void)json_array_append_new(array, unit);
    }
    return array;
}

/* Print in a line which units came and went; nothing when none did. */
static void print_change(
    const struct question *question, const uint8_t *before, const uint8_t *now)
{
    const struct cli *cli = question->cli;
    const Baro__SampleFinding *head = question->finding.head;
    baro_autofree uint32_t *came = baro_xcalloc((size_t)head->n_lines + 1, sizeof *came);
    baro_autofree uint32_t *went = baro_xcalloc((size_t)head->n_lines + 1, sizeof *went);
    size_t n_came = 0;
    size_t n_went = 0;
    for (uint32_t unit = 0; unit < head->n_lines; unit++) {
        if (before[unit] == 0 && now[unit] != 0) {
            came[n_came++] = unit;
        } else if (before[unit] != 0 && now[unit] == 0) {
            went[n_went++] = unit;
        }
    }
    if (n_came + n_went == 0) {
        return;
    }
    if (cli->values.is_json) {
        json_print(&cli->out,
            json_pack("{s:I, s:I, s:o, s:o, s:o}", "step", (json_int_t)head->to_step,
                "shown", (json_int_t)head->n_shown, "jaccard", json_number(head->jaccard),
                "came", units_json(came, n_came, now), "went",
                units_json(went, n_went, NULL)));
    } else {
        (void)printf("step %lld: %u of %u units;", (long long)head->to_step, head->n_shown,
            head->n_lines);
        print_units(" new:", came, n_came, now);
        print_units(n_came > 0 ? "; gone:" : " gone:", went, n_went, NULL);
        (void)printf("\n");
    }
    (void)fflush(stdout);
}

/* ---- asking ---- */

static int send_question(struct question *question)
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
static int next_finding(struct question *question, int timeout_ms)
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
static int wait_until_done(struct question *question)
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

/* Print changes as they come, until interrupted. */
static int follow_changes(struct question *question)
{
    baro_autofree uint8_t *before = reasons_of(&question->finding);
    for (;;) {
        int rc = next_finding(question, LOOK_MS);
        if (rc < 0) {
            return CLI_FAILED;
        }
        if (link_n_connects(question->cli->link) > question->n_connects &&
            send_question(question) != CLI_OK) {
            return CLI_FAILED;
        }
        if (rc == 0 || !question->finding.head->is_done) {
            continue;
        }
        uint8_t *now = reasons_of(&question->finding);
        print_change(question, before, now);
        free(before);
        before = now;
    }
}

/* TENSOR with [0]/STAT put before its rank: the series of its first unit. */
static void name_unit(const char *tensor, const char *stat, char *out, size_t size)
{
    const char *rank = strrchr(tensor, '@');
    bool has_rank =
        rank != NULL && rank[1] != '\0' && rank[strspn(rank + 1, "0123456789") + 1] == '\0';
    size_t n = has_rank ? (size_t)(rank - tensor) : strlen(tensor);
    (void)snprintf(out, size, "%.*s[0]/%s%s", (int)n, tensor, stat, has_rank ? rank : "");
}

static int sample_tensor(struct cli *cli, uint32_t run, const struct thing_list *things)
{
    const char *axis = cli->values.axis;
    char text[SERIES_LABEL_BYTES];
    Baro__SeriesRef reference;
    baro__series_ref__init(&reference);
    name_unit(cli->arguments[1], cli->values.stat != NULL ? cli->values.stat : "l2", text,
        sizeof text);
    if (series_find(things, text, &reference, NULL) != CLI_OK) {
        return CLI_FAILED;
    }
    struct question question = {.cli = cli};
    baro__sample_request__init(&question.body);
    question.body.run = run;
    question.body.thing = reference.thing;
    question.body.stat = reference.stat;
    question.body.from_step = cli->values.from;
    question.body.to_step = cli->values.to;
    question.body.columns = 1; /* none is printed */
    question.body.height = CHART_HEIGHT;
    question.body.axis = axis == NULL || strcmp(axis, "linear") == 0 ? AXIS_LINEAR
                         : strcmp(axis, "log") == 0                  ? AXIS_LOG
                                                                     : AXIS_SYMLOG;
    question.body.target = (uint32_t)cli->values.lines;
    question.body.is_live = cli->values.is_follow;
    int rc = send_question(&question);
    rc = rc == CLI_OK ? wait_until_done(&question) : rc;
    rc = rc == CLI_OK ? print_all(&question) : rc;
    if (rc == CLI_OK && cli->values.is_follow) {
        rc = follow_changes(&question);
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
