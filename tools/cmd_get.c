/* SPDX-License-Identifier: Apache-2.0 */
/*
 * baro get: the exact values of one series. Every number is printed with the fewest digits that
 * give it back, so that what is piped on is what was pushed.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/analysis/columns.h"
#include "lib/base/mem.h"
#include "tools/ask.h"
#include "tools/cli.h"
#include "tools/damage.h"
#include "tools/get_samples.h"
#include "tools/json.h"
#include "tools/rows.h"
#include "tools/runs.h"
#include "tools/series.h"

enum { GET_MAX_COLUMNS = 8192, GET_TIMEOUT_MS = 60000, GET_MAX_DIGITS = 24 };

/* A reading of the series. */
struct point {
    int64_t step;
    int64_t time_ns;
    double value;
    uint32_t epoch;
    bool is_repeat; /* its step is not after all that came before */
};

/* A series, or one of its epochs, while it is printed. */
struct printing {
    const struct cli *cli;
    uint32_t epoch;
    uint64_t n_printed;
    bool has_any;
    int64_t max_step; /* valid if has_any */
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
                     ", \"value\": %s%s%s%s",
            point->step, point->time_ns, quote_of(point->value), number,
            quote_of(point->value), point->is_repeat ? ", \"repeat\": true" : "");
        if (point->epoch > 1) {
            (void)printf(", \"epoch\": %" PRIu32, point->epoch);
        }
        (void)printf("}\n");
        break;
    case FORM_PEOPLE:
        (void)printf("%12" PRId64 "  %s%*s%s%s\n", point->step,
            isfinite(point->value) ? "" : term_paint(&cli->out, TERM_BAD), GET_MAX_DIGITS,
            number, isfinite(point->value) ? "" : term_paint(&cli->out, TERM_PLAIN),
            point->is_repeat ? "  repeated" : "");
        break;
    }
}

static int print_row(const struct row *row, void *payload)
{
    struct printing *printing = payload;
    const struct cli *cli = printing->cli;
    const struct point point = {
        .step = row->step,
        .time_ns = row->time_ns,
        .value = row->f64 != NULL ? row->f64[0] : (double)row->f32[0],
        .epoch = printing->epoch,
        .is_repeat = printing->has_any && row->step <= printing->max_step,
    };
    printing->max_step = point.is_repeat ? printing->max_step : row->step;
    printing->has_any = true;
    if (row->step >= cli->values.from && row->step <= cli->values.to) {
        print_point(cli, form_of(cli), &point);
        printing->n_printed++;
    }
    return CLI_OK;
}

/* Print what lies in a column of steps from..to. */
static void print_column(
    const struct cli *cli, const struct wire_column *column, int64_t from, int64_t to)
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
    switch (form_of(cli)) {
    case FORM_CSV:
        (void)printf("%" PRId64 ",%" PRId64 ",%s,%s,%s,%u,%u\n", from, to, min, max, mean,
            column->count, n_nonfinite);
        break;
    case FORM_JSON:
        (void)printf("{\"from\": %" PRId64 ", \"to\": %" PRId64
                     ", \"min\": %s%s%s, \"max\": %s%s%s, "
                     "\"mean\": %s%s%s, \"count\": %u, \"n_nonfinite\": %u}\n",
            from, to, quotes[0], min, quotes[0], quotes[1], max, quotes[1], quotes[2], mean,
            quotes[2], column->count, n_nonfinite);
        break;
    case FORM_PEOPLE:
        (void)printf("%9" PRId64 " %9" PRId64 "  %13.7g %13.7g %13.7g %7u %s%7u%s\n", from,
            to, column->min, column->max, column->mean, column->count,
            n_nonfinite > 0 ? term_paint(&cli->out, TERM_BAD) : "", n_nonfinite,
            n_nonfinite > 0 ? term_paint(&cli->out, TERM_PLAIN) : "");
        break;
    }
}

static void print_columns_header(const struct cli *cli)
{
    if (form_of(cli) == FORM_CSV) {
        (void)printf("from,to,min,max,mean,count,n_nonfinite\n");
    } else if (form_of(cli) == FORM_PEOPLE) {
        (void)printf("%s%9s %9s  %13s %13s %13s %7s %7s%s\n",
            term_paint(&cli->out, TERM_DIM), "FROM", "TO", "MIN", "MAX", "MEAN", "COUNT",
            "NAN/INF", term_paint(&cli->out, TERM_PLAIN));
    }
}

/* Print the columns that hold anything, each with the steps that it stands for; returns how
 * many, or -1 when the frame is not what the reply says. */
static int64_t print_columns(
    const struct cli *cli, const Baro__RangeReply *reply, const struct link_frame *frame)
{
    struct column_cut cut = columns_cut(reply->from_step, reply->to_step, reply->n_columns);
    int64_t n_printed = 0;
    cut.edge_shift = reply->edge_shift;
    if (frame->n_bytes != (size_t)reply->n_columns * sizeof(struct wire_column)) {
        return -1;
    }
    for (uint32_t c = 0; c < reply->n_columns; c++) {
        struct wire_column column;
        memcpy(&column, frame->bytes + c * sizeof column, sizeof column);
        if (column.count > 0) {
            if (n_printed == 0) {
                print_columns_header(cli);
            }
            int64_t to =
                c + 1 < cut.n_columns ? columns_edge(&cut, c + 1) - 1 : cut.to_step;
            print_column(cli, &column, columns_edge(&cut, c), to);
            n_printed++;
        }
    }
    return n_printed;
}

static void print_header(const struct cli *cli)
{
    if (form_of(cli) == FORM_CSV) {
        (void)printf("step,time_ns,value\n");
    } else if (form_of(cli) == FORM_PEOPLE && cli->out.is_tty) {
        (void)printf("%s%12s  %*s%s\n", term_paint(&cli->out, TERM_DIM), "STEP",
            GET_MAX_DIGITS, "VALUE", term_paint(&cli->out, TERM_PLAIN));
    }
}

/* How many readings of a series were pruned, of those of which the daemon told: what a branch
 * does not show of its parent does not count. */
static uint64_t pruned_of(const Baro__ThingInfo *thing, uint64_t n_told)
{
    uint64_t n = thing != NULL ? thing->n_pruned + thing->n_inherited_pruned : n_told;
    return thing != NULL && thing->n_inherited > 0 && n < n_told ? n : n_told;
}

/* Say which steps are damaged, of which the daemon said that some are, and fail if any are. */
static int tell_damage(struct cli *cli, const Baro__RunInfo *run,
    const Baro__SeriesRef *reference, const Baro__ThingInfo *thing, const char *said)
{
    struct damage damage = {0};
    const struct damage_of of = {
        .run = run,
        .thing = thing,
        .kind = (enum reading_kind)reference->kind,
        .from = cli->values.from,
        .to = cli->values.to,
        .said = said,
    };
    int rc = damage_ask(cli, &of, &damage);
    if (rc == CLI_OK && damage.n > 0) {
        damage_print(&damage);
        rc = cli_fail("all else was read");
    }
    damage_finish(&damage);
    return rc;
}

/*
 * Every point, page by page: no series is too long. Whether a step is a repeat depends on all
 * that came before it; so where there are repeats all rows are asked for, and passed over.
 */
static int print_points(struct cli *cli, const Baro__RunInfo *run,
    const Baro__SeriesRef *reference, const Baro__ThingInfo *thing, uint64_t *out_n_printed)
{
    bool is_units = reference->kind == READING_UNITS;
    uint32_t n_units =
        thing != NULL && thing->declare != NULL ? thing->declare->n_units : 0;
    bool needs_all = thing == NULL || thing->n_repeats + thing->n_inherited > 0;
    const struct rows_wanted wanted = {
        .run = run->run,
        .thing = reference->thing,
        .kind = (enum reading_kind)reference->kind,
        .from = needs_all ? INT64_MIN : cli->values.from,
        .to = needs_all ? INT64_MAX : cli->values.to,
        .n_units = n_units,
        .n_unit_stats = is_units ? thing_unit_stats(thing) : 0,
        .first_column = is_units ? reference->stat * n_units + (uint32_t)reference->unit
                                 : reference->stat,
        .n_columns = 1,
    };
    struct printing printing = {.cli = cli, .epoch = thing != NULL ? thing->epoch : 1};
    struct rows_told told = {0};
    int rc = rows_each(cli, &wanted, print_row, NULL, &printing, &told);
    *out_n_printed = printing.n_printed;
    if (rc == CLI_OK && told.n_pruned > 0) {
        uint64_t n = pruned_of(thing, told.n_pruned);
        *out_n_printed += n; /* they are told of */
        (void)cli_fail("the first %" PRIu64 " readings were pruned: of them only summaries "
                       "are left, see --columns",
            n);
    }
    return rc == CLI_OK && told.damage[0] != '\0'
               ? tell_damage(cli, run, reference, thing, told.damage)
               : rc;
}

static int ask_columns(struct cli *cli, const Baro__RunInfo *run,
    Baro__SeriesRef *reference, struct link_message *out_reply)
{
    Baro__RangeRequest body = BARO__RANGE_REQUEST__INIT;
    body.run = run->run;
    body.n_series = 1;
    body.series = &reference;
    body.from_step = cli->values.from;
    body.to_step = cli->values.to;
    body.columns = (uint32_t)cli->values.columns;
    Baro__Envelope request = BARO__ENVELOPE__INIT;
    request.body_case = BARO__ENVELOPE__BODY_RANGE_REQUEST;
    request.range_request = &body;
    const struct ask ask = {.request = &request,
        .wanted = BARO__ENVELOPE__BODY_RANGE_REPLY,
        .what = "a range",
        .n_frames = 1,
        .timeout_ms = GET_TIMEOUT_MS};
    return ask_for(cli, &ask, out_reply);
}

/* Print the columns of a range, and tell what is only known by summaries. */
static int print_range(struct cli *cli, const Baro__RunInfo *run,
    Baro__SeriesRef *reference, const Baro__ThingInfo *thing, uint64_t *out_n_printed)
{
    struct link_message message = {0};
    int rc = ask_columns(cli, run, reference, &message);
    if (rc != CLI_OK) {
        return rc;
    }
    const Baro__RangeReply *reply = message.wire.envelope->range_reply;
    int64_t n = print_columns(cli, reply, &message.frames[0]);
    *out_n_printed = n > 0 ? (uint64_t)n : 0;
    if (n < 0) {
        rc = cli_fail("the daemon gave another answer than a range");
    } else if (reply->n_n_coarse > 0 && reply->n_coarse[0] > 0) {
        (void)cli_fail("%" PRIu64
                       " of the readings were pruned: of them only summaries are "
                       "left, each counted where its middle is",
            reply->n_coarse[0]);
    }
    if (rc == CLI_OK && reply->damage[0] != '\0') {
        rc = tell_damage(cli, run, reference, thing, reply->damage);
    }
    link_message_release(&message);
    return rc;
}

/* Nothing lies in the range: say which steps there are. */
static int fail_empty(
    const struct cli *cli, const Baro__RunInfo *run, const Baro__ThingInfo *thing)
{
    const char *name = cli->arguments[1];
    const struct cli_values *values = &cli->values;
    bool has_any =
        thing != NULL ? thing->n_points + thing->n_inherited > 0 : run->n_steps > 0;
    if (!has_any) {
        return cli_fail("'%s' has no readings yet", name);
    }
    long long first = thing != NULL ? thing->first_step : run->first_step;
    long long last = thing != NULL ? thing->last_step : run->last_step;
    if (values->from == INT64_MIN && values->to == INT64_MAX) {
        return cli_fail(
            "the readings of '%s' (steps %lld to %lld) are not in the store yet; "
            "'baro status' tells why if that lasts",
            name, first, last);
    }
    if (values->to == INT64_MAX) {
        return cli_fail("'%s' has no readings from step %lld on: it has steps %lld to %lld",
            name, (long long)values->from, first, last);
    }
    if (values->from == INT64_MIN) {
        return cli_fail("'%s' has no readings up to step %lld: it has steps %lld to %lld",
            name, (long long)values->to, first, last);
    }
    char steps[64];
    if (values->from == values->to) {
        (void)snprintf(steps, sizeof steps, "step %lld", (long long)values->from);
    } else {
        (void)snprintf(steps, sizeof steps, "steps %lld to %lld", (long long)values->from,
            (long long)values->to);
    }
    if (values->from >= first && values->to <= last) { /* between two readings */
        return cli_fail(
            "'%s' has no readings at %s: it has some of the steps %lld to %lld%s", name,
            steps, first, last,
            thing != NULL && thing_is_tensor(thing)
                ? "; watch(every=1) measures tensors at each step"
                : "");
    }
    return cli_fail(
        "'%s' has no readings at %s: it has steps %lld to %lld", name, steps, first, last);
}

/* The series that was named, or all its epochs one after the other. */
static int print_found(struct cli *cli, const Baro__RunInfo *run,
    const struct thing_list *things, Baro__SeriesRef *reference, bool is_epoch)
{
    baro_autofree const Baro__ThingInfo **epochs =
        baro_xcalloc(things->n_things + 1, sizeof(Baro__ThingInfo *));
    const Baro__ThingInfo *thing = NULL;
    for (size_t i = 0; i < things->n_things; i++) {
        if (reference->thing != 0 && things->things[i]->thing == reference->thing) {
            thing = things->things[i];
        }
    }
    size_t n = 1;
    epochs[0] = thing;
    if (thing != NULL && !is_epoch) {
        n = series_epochs(things, thing, reference->kind == READING_UNITS, epochs);
    }
    if (cli->values.columns == 0) {
        print_header(cli);
    }
    int rc = CLI_OK;
    uint64_t n_all = 0;
    for (size_t i = 0; rc == CLI_OK && i < n; i++) {
        if (n > 1 && form_of(cli) == FORM_PEOPLE) {
            (void)printf("%sepoch %u%s\n", term_paint(&cli->out, TERM_DIM),
                epochs[i]->epoch, term_paint(&cli->out, TERM_PLAIN));
        }
        uint64_t n_printed = 0;
        reference->thing = epochs[i] != NULL ? epochs[i]->thing : 0;
        rc = cli->values.columns == 0
                 ? print_points(cli, run, reference, epochs[i], &n_printed)
                 : print_range(cli, run, reference, epochs[i], &n_printed);
        n_all += n_printed;
    }
    return rc == CLI_OK && n_all == 0 ? fail_empty(cli, run, thing) : rc;
}

static int print_series(struct cli *cli, const Baro__RunInfo *run)
{
    struct thing_list things;
    Baro__SeriesRef reference;
    bool is_epoch = false;
    baro__series_ref__init(&reference);
    int rc = things_ask(cli, run->run, NULL, &things);
    if (rc != CLI_OK) {
        return rc;
    }
    struct get_samples samples;
    if (get_samples_parse(&things, cli->arguments[1], &samples)) {
        rc = get_samples_print(cli, run, &samples);
        things_release(&things);
        return rc;
    }
    rc = series_find(&things, cli->arguments[1], &reference, &is_epoch);
    if (rc == CLI_OK) {
        rc = print_found(cli, run, &things, &reference, is_epoch);
    }
    things_release(&things);
    return rc;
}

int cmd_get(struct cli *cli)
{
    if (cli->values.is_csv && cli->values.is_json) {
        return cli_misuse("--csv and --json exclude each other");
    }
    if (cli->values.columns == INT64_MIN) {
        cli->values.columns = 0; /* every point */
    } else if (cli->values.columns < 1 || cli->values.columns > GET_MAX_COLUMNS) {
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
