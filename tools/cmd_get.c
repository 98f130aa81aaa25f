/* SPDX-License-Identifier: Apache-2.0 */
/*
 * baro get: the exact values of one series. Every number is printed with the fewest digits that
 * give it back, so that what is piped on is what was pushed.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/mem.h"
#include "tools/cli.h"
#include "tools/json.h"
#include "tools/runs.h"
#include "tools/series.h"

enum {
    GET_MAX_COLUMNS = 8192,
    GET_TIMEOUT_MS = 60000,
    GET_MAX_DIGITS = 24,
    GET_POINTS_A_QUESTION = 1 << 20 /* aimed at; the daemon refuses replies beyond 64 MiB */
};

/* A point of a raw frame. */
struct point {
    int64_t step;
    int64_t time_ns;
    double value;
};

enum form { FORM_PEOPLE, FORM_CSV, FORM_JSON };

static enum form form_of(const struct cli *cli)
{
    return cli->values.is_json ? FORM_JSON : cli->values.is_csv ? FORM_CSV : FORM_PEOPLE;
}

/* JSON wants quotes around what is no number. */
static const char *quote_of(double value)
{
    return isfinite(value) ? "" : "\"";
}

static void print_point(const struct cli *cli, enum form form, const struct point *point)
{
    char number[JSON_NUMBER_BYTES];
    (void)json_write_number(point->value, number);
    switch (form) {
    case FORM_CSV:
        (void)printf("%" PRId64 ",%" PRId64 ",%s\n", point->step, point->time_ns, number);
        break;
    case FORM_JSON:
        (void)printf("{\"step\": %" PRId64 ", \"time_ns\": %" PRId64
                     ", \"value\": %s%s%s}\n",
            point->step, point->time_ns, quote_of(point->value), number,
            quote_of(point->value));
        break;
    case FORM_PEOPLE:
        (void)printf("%12" PRId64 "  %s%*s%s\n", point->step,
            isfinite(point->value) ? "" : term_paint(&cli->out, TERM_BAD), GET_MAX_DIGITS,
            number, isfinite(point->value) ? "" : term_paint(&cli->out, TERM_PLAIN));
        break;
    }
}

static void print_points(
    const struct cli *cli, const struct link_frame *frame, bool with_header)
{
    enum form form = form_of(cli);
    if (with_header && form == FORM_CSV) {
        (void)printf("step,time_ns,value\n");
    } else if (with_header && form == FORM_PEOPLE && cli->out.is_tty) {
        (void)printf("%s%12s  %*s%s\n", term_paint(&cli->out, TERM_DIM), "STEP",
            GET_MAX_DIGITS, "VALUE", term_paint(&cli->out, TERM_PLAIN));
    }
    size_t n_points = frame->n_bytes / sizeof(struct point);
    for (size_t i = 0; i < n_points; i++) {
        struct point point;
        memcpy(&point, frame->bytes + i * sizeof point, sizeof point);
        print_point(cli, form, &point);
    }
}

static void print_column(
    const struct cli *cli, enum form form, const struct wire_column *column)
{
    char min[JSON_NUMBER_BYTES];
    char max[JSON_NUMBER_BYTES];
    char mean[JSON_NUMBER_BYTES];
    unsigned n_nonfinite = column->n_nan + column->n_pos_inf + column->n_neg_inf;
    (void)json_write_number(column->min, min);
    (void)json_write_number(column->max, max);
    (void)json_write_number(column->mean, mean);
    const char *quotes[3] = {
        quote_of(column->min), quote_of(column->max), quote_of(column->mean)};
    switch (form) {
    case FORM_CSV:
        (void)printf("%" PRId64 ",%" PRId64 ",%s,%s,%s,%u,%u\n", column->first_step,
            column->last_step, min, max, mean, column->count, n_nonfinite);
        break;
    case FORM_JSON:
        (void)printf("{\"from\": %" PRId64 ", \"to\": %" PRId64
                     ", \"min\": %s%s%s, \"max\": %s%s%s, "
                     "\"mean\": %s%s%s, \"count\": %u, \"n_nonfinite\": %u}\n",
            column->first_step, column->last_step, quotes[0], min, quotes[0], quotes[1],
            max, quotes[1], quotes[2], mean, quotes[2], column->count, n_nonfinite);
        break;
    case FORM_PEOPLE:
        (void)printf("%9" PRId64 " %9" PRId64 "  %13.7g %13.7g %13.7g %7u %s%7u%s\n",
            column->first_step, column->last_step, column->min, column->max, column->mean,
            column->count, n_nonfinite > 0 ? term_paint(&cli->out, TERM_BAD) : "",
            n_nonfinite, n_nonfinite > 0 ? term_paint(&cli->out, TERM_PLAIN) : "");
        break;
    }
}

static void print_columns(const struct cli *cli, const struct link_frame *frame)
{
    enum form form = form_of(cli);
    if (form == FORM_CSV) {
        (void)printf("from,to,min,max,mean,count,n_nonfinite\n");
    } else if (form == FORM_PEOPLE && cli->out.is_tty) {
        (void)printf("%s%9s %9s  %13s %13s %13s %7s %7s%s\n",
            term_paint(&cli->out, TERM_DIM), "FROM", "TO", "MIN", "MAX", "MEAN", "COUNT",
            "NAN/INF", term_paint(&cli->out, TERM_PLAIN));
    }
    size_t n_columns = frame->n_bytes / sizeof(struct wire_column);
    for (size_t i = 0; i < n_columns; i++) {
        struct wire_column column;
        memcpy(&column, frame->bytes + i * sizeof column, sizeof column);
        if (column.count > 0) {
            print_column(cli, form, &column);
        }
    }
}

/* What is asked for. */
struct question {
    const Baro__RunInfo *run;
    Baro__SeriesRef reference;
    uint64_t n_points; /* about so many there are */
};

static int ask_range(struct cli *cli, struct question *question, int64_t from, int64_t to,
    struct link_message *out_reply)
{
    Baro__SeriesRef *reference = &question->reference;
    struct baro_err err = {0};
    Baro__RangeRequest body = BARO__RANGE_REQUEST__INIT;
    body.run = question->run->run;
    body.n_series = 1;
    body.series = &reference;
    body.from_step = from;
    body.to_step = to;
    body.columns = (uint32_t)cli->values.columns;
    Baro__Envelope request = BARO__ENVELOPE__INIT;
    request.body_case = BARO__ENVELOPE__BODY_RANGE_REQUEST;
    request.range_request = &body;
    if (link_ask(cli->link, &request, GET_TIMEOUT_MS, out_reply, &err) != 0) {
        return cli_fail_err(&err);
    }
    if (out_reply->wire.envelope->body_case != BARO__ENVELOPE__BODY_RANGE_REPLY ||
        out_reply->n_frames != 1) {
        link_message_release(out_reply);
        return cli_fail("the daemon gave another answer than a range");
    }
    return CLI_OK;
}

/* Ask for a piece of the range and print it. */
static int print_range(
    struct cli *cli, struct question *question, int64_t from, int64_t to, bool is_first)
{
    struct link_message reply;
    int rc = ask_range(cli, question, from, to, &reply);
    if (rc != CLI_OK) {
        return rc;
    }
    if (reply.wire.envelope->range_reply->n_columns == 0) {
        print_points(cli, &reply.frames[0], is_first);
    } else {
        print_columns(cli, &reply.frames[0]);
    }
    link_message_release(&reply);
    return CLI_OK;
}

/* Every point of a long series does not fit one reply: ask piece by piece. */
static int print_pieces(struct cli *cli, struct question *question)
{
    uint64_t n_pieces =
        cli->values.columns > 0 ? 1 : question->n_points / GET_POINTS_A_QUESTION + 1;
    int64_t first = question->run->first_step;
    int64_t last = question->run->last_step;
    int64_t from = cli->values.from > first ? cli->values.from : first;
    int64_t to = cli->values.to < last ? cli->values.to : last;
    if (n_pieces == 1 || from > to) {
        return print_range(cli, question, cli->values.from, cli->values.to, true);
    }
    int64_t steps = (to - from) / (int64_t)n_pieces + 1;
    for (int64_t piece = from; piece <= to; piece += steps) {
        /* The last piece goes on to what has come in meanwhile. */
        int64_t end = piece + steps > to ? cli->values.to : piece + steps - 1;
        int rc = print_range(cli, question, piece, end, piece == from);
        if (rc != CLI_OK) {
            return rc;
        }
    }
    return CLI_OK;
}

static int print_series(struct cli *cli, const Baro__RunInfo *run)
{
    struct thing_list things;
    struct question question = {.run = run, .n_points = (uint64_t)run->n_steps};
    baro__series_ref__init(&question.reference);
    int rc = things_ask(cli, run->run, NULL, &things);
    if (rc != CLI_OK) {
        return rc;
    }
    rc = series_find(&things, cli->arguments[1], &question.reference);
    for (size_t i = 0; rc == CLI_OK && i < things.n_things; i++) {
        if (things.things[i]->thing == question.reference.thing) {
            question.n_points = things.things[i]->n_points;
        }
    }
    things_release(&things);
    return rc == CLI_OK ? print_pieces(cli, &question) : rc;
}

int cmd_get(struct cli *cli)
{
    if (cli->values.is_csv && cli->values.is_json) {
        return cli_misuse("--csv and --json exclude each other");
    }
    if (cli->values.columns < 0 || cli->values.columns > GET_MAX_COLUMNS) {
        return cli_misuse("--columns: %lld is not between 1 and %d",
            (long long)cli->values.columns, GET_MAX_COLUMNS);
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
    rc = run == NULL ? CLI_FAILED : print_series(cli, run);
    runs_release(&runs);
    return rc;
}
