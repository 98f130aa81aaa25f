/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/sample_print.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/analysis/sample.h"
#include "lib/analysis/sample_lines.h"
#include "lib/analysis/sample_measure.h"
#include "lib/base/mem.h"
#include "lib/base/reading.h"
#include "tools/json.h"
#include "tools/series.h"

enum {
    MOST_REPLY_BYTES = 60 << 20,
    MOST_NAMED = 12 /* units that came or went, in one line */
};

_Static_assert(sizeof(struct column) == sizeof(struct wire_column),
    "columns come over the wire as they are");

/* Ask the daemon for the lines of all units, at the steps of a finding; CLI_OK or CLI_FAILED. */
static int ask_lines(const struct sample_question *question, struct sample_lines *out)
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

/* How good the choice is, on a chart of SAMPLE_CHART_WIDTH x SAMPLE_CHART_HEIGHT. */
struct quality {
    double coverage;
    double overdraw;
    double overdraw_all;
};

static int measure(const struct sample_question *question, struct quality *out)
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
    polyline_screen_init(
        &screen, &lines.view, &axis, SAMPLE_CHART_HEIGHT, POLYLINE_MAX_COLUMNS);
    sample_canvas_init(&all, SAMPLE_CHART_WIDTH, SAMPLE_CHART_HEIGHT);
    sample_canvas_init(&some, SAMPLE_CHART_WIDTH, SAMPLE_CHART_HEIGHT);
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

/* What the words in WHY mean, of those that were used. */
static void print_reasons(const struct finding *finding)
{
    static const char *const meanings[SAMPLE_REASON_COUNT] = {
        [SAMPLE_NONFINITE] = "holds NaN or an infinity",
        [SAMPLE_LEAP] = "rises or falls at once much further than others do",
        [SAMPLE_ENVELOPE] = "the highest or the lowest of all somewhere",
        [SAMPLE_OUTLIER] = "alone: few are like it, or few run where it does for a while",
        [SAMPLE_BLUE_NOISE] = "typical: it stands for those like it",
    };
    for (int reason = SAMPLE_REASON_COUNT - 1; reason > SAMPLE_NOT_SHOWN; reason--) {
        bool is_used = false;
        for (size_t i = 0; i < finding->head->n_shown; i++) {
            is_used = is_used || finding->reasons[i] == reason;
        }
        if (is_used) {
            (void)printf("%s: %s\n", sample_reason_name((enum sample_reason)reason),
                meanings[reason]);
        }
    }
}

static void print_people(
    const struct cli *cli, const struct finding *finding, const struct quality *quality)
{
    baro_autofree struct chosen *chosen = sort_chosen(finding);
    const Baro__SampleFinding *head = finding->head;
    const struct term *term = &cli->out;
    print_summary(cli, finding, quality);
    print_reasons(finding);
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

int sample_print_all(const struct sample_question *question)
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

uint8_t *sample_reasons_of(const struct finding *finding)
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

void sample_print_change(
    const struct sample_question *question, const uint8_t *before, const uint8_t *now)
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
        (void)printf("step %lld: %u of %u units, %.2f shared;", (long long)head->to_step,
            head->n_shown, head->n_lines, head->jaccard);
        print_units(" new:", came, n_came, now);
        print_units(n_came > 0 ? "; gone:" : " gone:", went, n_went, NULL);
        (void)printf("\n");
    }
    (void)fflush(stdout);
}

void sample_print_epoch(
    const struct sample_question *question, const Baro__ThingInfo *thing)
{
    const struct cli *cli = question->cli;
    char label[SERIES_LABEL_BYTES];
    (void)thing_epoch_label(thing, label);
    if (cli->values.is_json) {
        json_print(&cli->out,
            json_pack("{s:s, s:I, s:I, s:I}", "goes_on_as", label, "epoch",
                (json_int_t)thing->epoch, "units", (json_int_t)thing->declare->n_units,
                "from", (json_int_t)thing->first_step));
    } else {
        (void)printf("from step %lld on it has another shape: %s, of %u units\n",
            (long long)thing->first_step, label, thing->declare->n_units);
    }
    (void)fflush(stdout);
}
