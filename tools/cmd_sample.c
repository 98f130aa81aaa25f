/* SPDX-License-Identifier: Apache-2.0 */
/*
 * baro sample: which few of a tensor's units to look at, and why. Asks for the columns of all
 * units, lays their lines on a chart and has the sampler choose.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/sample.h"
#include "lib/analysis/sample_measure.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/reading.h"
#include "tools/cli.h"
#include "tools/json.h"
#include "tools/runs.h"
#include "tools/series.h"

enum {
    SAMPLE_TIMEOUT_MS = 60000,
    CHART_WIDTH = 800, /* of the chart that lines are chosen for, px */
    CHART_HEIGHT = 400,
    SLICE = 1000, /* lines of work between looks at the clock */
    MOST_REPLY_BYTES = 60 << 20,
    MAX_LINES = 4000
};

/* The lines of all units, made of columns. */
struct lines {
    struct polylines view;
    float *values, *low, *high;
    uint8_t *marks;
    int64_t from_step, to_step;
    double least, most; /* of all finite readings */
    bool has_any;
};

static void lines_finish(struct lines *lines)
{
    free(lines->values);
    free(lines->low);
    free(lines->high);
    free(lines->marks);
}

static void take_column(struct lines *lines, size_t at, const struct wire_column *column)
{
    const uint32_t n_bad = column->n_nan + column->n_pos_inf + column->n_neg_inf;
    lines->marks[at] = column->count == 0 ? POLYLINE_GAP
                       : n_bad > 0        ? POLYLINE_NONFINITE
                                          : POLYLINE_FINITE;
    lines->values[at] =
        (float)(column->count > 0 && isfinite(column->last) ? column->last : column->mean);
    lines->low[at] = (float)column->min;
    lines->high[at] = (float)column->max;
    if (column->count > n_bad) {
        lines->least = lines->has_any ? fmin(lines->least, column->min) : column->min;
        lines->most = lines->has_any ? fmax(lines->most, column->max) : column->max;
        lines->has_any = true;
    }
}

/* Ask for all units of a statistic; CLI_OK, or CLI_FAILED with a word. */
static int ask_lines(struct cli *cli, uint32_t run, Baro__SeriesRef *reference,
    uint32_t n_units, struct lines *out)
{
    struct baro_err err = {0};
    size_t n_columns = (size_t)MOST_REPLY_BYTES / sizeof(struct wire_column) / n_units;
    Baro__RangeRequest body = BARO__RANGE_REQUEST__INIT;
    body.run = run;
    body.n_series = 1;
    body.series = &reference;
    body.from_step = cli->values.from;
    body.to_step = cli->values.to;
    body.columns =
        (uint32_t)(n_columns < POLYLINE_MAX_COLUMNS ? n_columns : POLYLINE_MAX_COLUMNS);
    Baro__Envelope request = BARO__ENVELOPE__INIT;
    request.body_case = BARO__ENVELOPE__BODY_RANGE_REQUEST;
    request.range_request = &body;
    struct link_message message;
    if (link_ask(cli->link, &request, SAMPLE_TIMEOUT_MS, &message, &err) != 0) {
        return cli_fail_err(&err);
    }
    const Baro__RangeReply *reply = message.wire.envelope->range_reply;
    bool is_range = message.wire.envelope->body_case == BARO__ENVELOPE__BODY_RANGE_REPLY;
    size_t n = is_range ? (size_t)n_units * reply->n_columns : 0;
    if (!is_range || message.n_frames != 1 ||
        message.frames[0].n_bytes != n * sizeof(struct wire_column)) {
        link_message_release(&message);
        return cli_fail("the daemon gave another answer than a range");
    }
    out->values = baro_xcalloc(n, sizeof *out->values);
    out->low = baro_xcalloc(n, sizeof *out->low);
    out->high = baro_xcalloc(n, sizeof *out->high);
    out->marks = baro_xcalloc(n, 1);
    for (size_t i = 0; i < n; i++) {
        struct wire_column column;
        memcpy(&column, message.frames[0].bytes + i * sizeof column, sizeof column);
        take_column(out, i, &column);
    }
    out->view = (struct polylines){.n_lines = n_units,
        .n_steps = reply->n_columns,
        .values = out->values,
        .low = out->low,
        .high = out->high,
        .marks = out->marks};
    out->from_step = reply->from_step;
    out->to_step = reply->to_step;
    if (reply->damage[0] != '\0') {
        (void)cli_fail("%s; the rest is sampled", reply->damage);
    }
    link_message_release(&message);
    return CLI_OK;
}

/* The axis that shows all finite readings; false when the kind cannot. */
static bool choose_axis(const struct lines *lines, const char *kind, struct axis *out)
{
    double least = lines->least, most = lines->most;
    if (!(most > least)) {
        double around = fabs(least) > 0 ? fabs(least) / 2 : 1;
        least -= around;
        most += around;
    }
    *out = (struct axis){.kind = AXIS_LINEAR, .lo = least, .hi = most, .linear_to = 1};
    if (kind == NULL || strcmp(kind, "linear") == 0) {
        return true;
    }
    double reach = fmax(fabs(least), fabs(most));
    if (strcmp(kind, "symlog") == 0) {
        out->kind = AXIS_SYMLOG;
        out->linear_to = reach * 1e-3;
        return true;
    }
    out->kind = AXIS_LOG;
    out->hi = most;
    out->lo = least > 0 ? least : most * 1e-6;
    return strcmp(kind, "log") == 0 && most > 0;
}

/* How good the choice is, on a chart of CHART_WIDTH x CHART_HEIGHT. */
struct quality {
    double coverage;
    double overdraw;
    double overdraw_all;
};

static struct quality measure(
    const struct lines *lines, const struct axis *axis, const struct sample *sample)
{
    struct polyline_screen screen;
    struct sample_canvas all, some;
    polyline_screen_init(&screen, &lines->view, axis, CHART_HEIGHT, POLYLINE_MAX_COLUMNS);
    sample_canvas_init(&all, CHART_WIDTH, CHART_HEIGHT);
    sample_canvas_init(&some, CHART_WIDTH, CHART_HEIGHT);
    for (size_t i = 0; i < lines->view.n_lines; i++) {
        sample_canvas_draw(&all, &screen, &lines->view, i);
    }
    for (size_t i = 0; i < sample->n_shown; i++) {
        sample_canvas_draw(&some, &screen, &lines->view, sample->shown[i]);
    }
    struct quality quality = {
        sample_coverage(&all, &some), sample_overdraw(&some), sample_overdraw(&all)};
    sample_canvas_finish(&all);
    sample_canvas_finish(&some);
    return quality;
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

static struct chosen *sort_chosen(const struct sample *sample)
{
    struct chosen *chosen = baro_xcalloc(sample->n_shown + 1, sizeof *chosen);
    for (size_t i = 0; i < sample->n_shown; i++) {
        chosen[i] = (struct chosen){sample->shown[i],
            sample->is_assigned ? sample->n_members[i] : 0, sample->reasons[i]};
    }
    qsort(chosen, sample->n_shown, sizeof *chosen, graver_first);
    return chosen;
}

static void print_json(const struct cli *cli, const struct lines *lines,
    const struct sample *sample, const struct quality *quality)
{
    baro_autofree struct chosen *chosen = sort_chosen(sample);
    for (size_t i = 0; i < sample->n_shown; i++) {
        json_t *object = json_pack("{s:I, s:s}", "unit", (json_int_t)chosen[i].unit,
            "reason", sample_reason_name((enum sample_reason)chosen[i].reason));
        if (sample->is_assigned) {
            (void)json_object_set_new(
                object, "stands_for", json_integer((json_int_t)chosen[i].n_members));
        }
        json_print(&cli->out, object);
    }
    json_print(&cli->out,
        json_pack("{s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:I}",
            "shown", (json_int_t)sample->n_shown, "units", (json_int_t)lines->view.n_lines,
            "from", (json_int_t)lines->from_step, "to", (json_int_t)lines->to_step,
            "fraction", json_number(sample->fraction), "radius_px",
            json_number((double)sample->radius_px), "spread_px",
            sample->is_assigned ? json_number((double)sample->spread_px) : json_null(),
            "coverage", json_number(quality->coverage), "overdraw",
            json_number(quality->overdraw), "overdraw_of_all",
            json_number(quality->overdraw_all), "n_nonfinite",
            (json_int_t)sample->n_nonfinite, "n_leaping", (json_int_t)sample->n_leaping,
            "n_left_out", (json_int_t)sample->n_mandatory_left_out));
}

static void print_people(const struct cli *cli, const struct lines *lines,
    const struct sample *sample, const struct quality *quality)
{
    baro_autofree struct chosen *chosen = sort_chosen(sample);
    const struct term *term = &cli->out;
    (void)printf("%s%zu of %zu units%s, steps %lld to %lld\n", term_paint(term, TERM_BOLD),
        sample->n_shown, lines->view.n_lines, term_paint(term, TERM_PLAIN),
        (long long)lines->from_step, (long long)lines->to_step);
    if (sample->n_mandatory_left_out > 0) {
        (void)printf(
            "%zu more have non-finite readings or leap; the first to do so are shown\n",
            sample->n_mandatory_left_out);
    }
    (void)printf("shown lines light %.1f %% of what all %zu would, %.1f times a pixel "
                 "(all: %.1f)\n",
        100 * quality->coverage, lines->view.n_lines, quality->overdraw,
        quality->overdraw_all);
    if (sample->is_assigned && sample->n_shown < lines->view.n_lines) {
        (void)printf(
            "they keep %.1f px apart; no other line is further than %.1f px from one "
            "of them, on the whole\n",
            (double)sample->radius_px, (double)sample->spread_px);
    }
    if (!sample->is_done) {
        (void)printf(
            "stopped when the time was over, %.0f %% of the way\n", 100 * sample->fraction);
    }
    (void)printf("%s%8s  %-10s  %10s%s\n", term_paint(term, TERM_DIM), "UNIT", "WHY",
        "STANDS FOR", term_paint(term, TERM_PLAIN));
    for (size_t i = 0; i < sample->n_shown; i++) {
        enum sample_reason reason = (enum sample_reason)chosen[i].reason;
        bool is_bad = reason == SAMPLE_NONFINITE;
        (void)printf("%8u  %s%-10s%s  ", chosen[i].unit,
            is_bad ? term_paint(term, TERM_BAD) : "", sample_reason_name(reason),
            is_bad ? term_paint(term, TERM_PLAIN) : "");
        if (sample->is_assigned) {
            (void)printf("%10u\n", chosen[i].n_members);
        } else {
            (void)printf("%10s\n", "?");
        }
    }
}

static int sample_lines(struct cli *cli, const struct lines *lines)
{
    struct axis axis;
    if (!choose_axis(lines, cli->values.axis, &axis)) {
        return cli_fail("nothing above 0 can be shown on a log axis: try --axis symlog");
    }
    const int64_t budget_ms = cli->values.budget_ms;
    const uint64_t began_ns = baro_now_ns();
    struct sample_options options = {.target = (size_t)cli->values.lines};
    struct sampler *sampler = sampler_create(&lines->view, &axis, CHART_HEIGHT, &options);
    while (sampler_step(sampler, SLICE)) {
        uint64_t spent_ms = (baro_now_ns() - began_ns) / 1000000;
        if (budget_ms > 0 && spent_ms >= (uint64_t)budget_ms) {
            break;
        }
    }
    struct sample sample;
    sampler_get(sampler, &sample);
    struct quality quality = measure(lines, &axis, &sample);
    if (cli->values.is_json) {
        print_json(cli, lines, &sample, &quality);
    } else {
        print_people(cli, lines, &sample, &quality);
    }
    sampler_destroy(sampler);
    return CLI_OK;
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
    char text[SERIES_LABEL_BYTES];
    Baro__SeriesRef reference;
    struct lines lines = {0};
    uint32_t n_units = 0;
    baro__series_ref__init(&reference);
    name_unit(cli->arguments[1], cli->values.stat != NULL ? cli->values.stat : "l2", text,
        sizeof text);
    if (series_find(things, text, &reference, NULL) != CLI_OK) {
        return CLI_FAILED;
    }
    for (size_t i = 0; i < things->n_things; i++) {
        if (things->things[i]->thing == reference.thing) {
            n_units = things->things[i]->declare->n_units;
        }
    }
    reference.unit = -1;
    int rc = ask_lines(cli, run, &reference, n_units, &lines);
    if (rc == CLI_OK) {
        rc = sample_lines(cli, &lines);
    }
    lines_finish(&lines);
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
