/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/tail_view.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "tools/json.h"

enum {
    VIEW_ROW_NS = 50000000,   /* at most so often a row */
    VIEW_IDLE_NS = 200000000, /* a row to which nothing was added for so long is printed */
    VIEW_STEP_COLUMNS = 9,
    VIEW_MIN_COLUMNS = 10, /* of a column of values */
    VIEW_MAX_COLUMNS = 22,
    VIEW_HEADER_ROWS = 24 /* rows between two headers */
};

struct series {
    char *label;
    uint32_t rank;
    double value; /* in the row being filled */
    bool has_value;
    int columns; /* of its column; 0: no room, shown only when not finite */
};

struct tail_view {
    struct cli *cli;
    struct series *series;
    size_t n_series;
    bool is_table;   /* people at a terminal */
    bool is_merging; /* rows that come fast are merged */
    bool has_row;    /* values of step wait in series[].value */
    int64_t step;
    uint64_t touched_ns; /* a value was added to the row */
    uint64_t printed_ns; /* last row */
    int rows_to_header;
    size_t n_hidden; /* series without room for a column */
};

struct tail_view *tail_view_create(struct cli *cli)
{
    struct tail_view *view = baro_xcalloc(1, sizeof *view);
    view->cli = cli;
    view->is_merging = true;
    view->is_table = cli->out.is_tty && !cli->values.is_json;
    return view;
}

void tail_view_destroy(struct tail_view *view)
{
    if (view == NULL) {
        return;
    }
    for (size_t i = 0; i < view->n_series; i++) {
        free(view->series[i].label);
    }
    free(view->series);
    free(view);
}

size_t tail_view_add(struct tail_view *view, const char *label, uint32_t rank)
{
    char raw[1024];
    char safe[1024];
    if (rank > 0) {
        (void)snprintf(raw, sizeof raw, "%s@%u", label, rank);
    } else {
        (void)snprintf(raw, sizeof raw, "%s", label);
    }
    /* JSON carries the name as it is; the other forms only what is safe to print. */
    const char *shown = view->cli->values.is_json
                            ? label
                            : term_safe(&view->cli->out, raw, safe, sizeof safe);
    view->series = baro_xrealloc(view->series, view->n_series + 1, sizeof *view->series);
    view->series[view->n_series] =
        (struct series){.label = baro_xstrdup(shown), .rank = rank};
    view->rows_to_header = 0;
    return view->n_series++;
}

/* ---- the table ---- */

/* Share the width out among the series, in their order. */
static void lay_out(struct tail_view *view)
{
    int left = view->cli->out.columns - VIEW_STEP_COLUMNS;
    view->n_hidden = 0;
    for (size_t i = 0; i < view->n_series; i++) {
        struct series *series = &view->series[i];
        int wanted = term_width(series->label);
        wanted = wanted < VIEW_MIN_COLUMNS   ? VIEW_MIN_COLUMNS
                 : wanted > VIEW_MAX_COLUMNS ? VIEW_MAX_COLUMNS
                                             : wanted;
        series->columns = left >= wanted + 2 ? wanted : 0;
        left -= series->columns > 0 ? wanted + 2 : left;
        view->n_hidden += series->columns == 0 ? 1 : 0;
    }
}

/* The end of a label says most: keep that when it is too long. */
static void print_title(const struct tail_view *view, const struct series *series)
{
    const char *label = series->label;
    int width = term_width(label);
    if (width <= series->columns) {
        (void)printf("  %*s%s", series->columns - width, "", label);
        return;
    }
    const char *dots = term_mark(&view->cli->out, "…", "..");
    int dots_columns = view->cli->out.has_utf8 ? 1 : 2;
    while (*label != '\0' && width > series->columns - dots_columns) {
        label++;
        while (((unsigned char)*label & 0xC0) == 0x80) {
            label++;
        }
        width = term_width(label);
    }
    (void)printf("  %*s%s%s", series->columns - dots_columns - width, "", dots, label);
}

static void print_header(struct tail_view *view)
{
    const struct term *term = &view->cli->out;
    size_t n_hidden = view->n_hidden;
    lay_out(view);
    (void)printf("%s%*s", term_paint(term, TERM_DIM), VIEW_STEP_COLUMNS, "STEP");
    for (size_t i = 0; i < view->n_series; i++) {
        if (view->series[i].columns > 0) {
            print_title(view, &view->series[i]);
        }
    }
    (void)printf("%s\n", term_paint(term, TERM_PLAIN));
    if (view->n_hidden > n_hidden) {
        (void)printf("%s%*s%zu more that do not fit: choose with a GLOB, or pipe%s\n",
            term_paint(term, TERM_DIM), VIEW_STEP_COLUMNS + 2, "", view->n_hidden,
            term_paint(term, TERM_PLAIN));
    }
    view->rows_to_header = VIEW_HEADER_ROWS;
}

static void print_row(struct tail_view *view)
{
    const struct term *term = &view->cli->out;
    if (view->rows_to_header <= 0) {
        print_header(view);
    }
    (void)printf("%*" PRId64, VIEW_STEP_COLUMNS, view->step);
    for (size_t i = 0; i < view->n_series; i++) {
        const struct series *series = &view->series[i];
        if (series->columns > 0 && !series->has_value) {
            (void)printf("  %*s", series->columns, "");
        } else if (series->columns > 0) {
            bool is_bad = !isfinite(series->value);
            (void)printf("  %s%*.5g%s", is_bad ? term_paint(term, TERM_BAD) : "",
                series->columns, series->value, is_bad ? term_paint(term, TERM_PLAIN) : "");
        }
    }
    (void)printf("\n");
    for (size_t i = 0; i < view->n_series; i++) {
        struct series *series = &view->series[i];
        if (series->columns == 0 && series->has_value && !isfinite(series->value)) {
            (void)printf("%*s  %s%s is %g%s\n", VIEW_STEP_COLUMNS, "",
                term_paint(term, TERM_BAD), series->label, series->value,
                term_paint(term, TERM_PLAIN));
        }
        series->has_value = false;
    }
    view->rows_to_header--;
    view->has_row = false;
    view->printed_ns = baro_now_ns();
    (void)fflush(stdout);
}

static bool row_is_finite(const struct tail_view *view)
{
    for (size_t i = 0; i < view->n_series; i++) {
        if (view->series[i].has_value && !isfinite(view->series[i].value)) {
            return false;
        }
    }
    return true;
}

static void add_to_row(
    struct tail_view *view, struct series *series, int64_t step, double value)
{
    uint64_t now_ns = baro_now_ns();
    if (view->has_row && step != view->step &&
        (!view->is_merging || now_ns - view->printed_ns >= VIEW_ROW_NS ||
            !row_is_finite(view))) {
        print_row(view);
    }
    series->value = value;
    series->has_value = true;
    view->step = step;
    view->has_row = true;
    view->touched_ns = now_ns;
}

void tail_view_flush(struct tail_view *view, bool is_at_once)
{
    if (view->has_row && (is_at_once || baro_now_ns() - view->touched_ns >= VIEW_IDLE_NS)) {
        print_row(view);
    }
}

void tail_view_set_merging(struct tail_view *view, bool is_merging)
{
    view->is_merging = is_merging;
}

bool tail_view_is_pending(const struct tail_view *view)
{
    return view->has_row;
}

/* ---- values and remarks ---- */

void tail_view_value(
    struct tail_view *view, size_t series_idx, int64_t step, int64_t time_ns, double value)
{
    struct series *series = &view->series[series_idx];
    if (view->is_table) {
        add_to_row(view, series, step, value);
    } else if (view->cli->values.is_json) {
        json_print(
            &view->cli->out, json_pack("{s:s, s:I, s:I, s:o, s:I, s:o}", "type", "value",
                                 "step", (json_int_t)step, "time_ns", (json_int_t)time_ns,
                                 "name", json_text(series->label), "rank",
                                 (json_int_t)series->rank, "value", json_number(value)));
    } else {
        char number[JSON_NUMBER_BYTES];
        (void)printf(
            "%" PRId64 " %s %s\n", step, series->label, json_write_number(value, number));
    }
}

void tail_view_note(struct tail_view *view, enum term_paint paint, const char *format, ...)
{
    if (view->cli->values.is_json) {
        return;
    }
    char raw[2048];
    char safe[2048];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(raw, sizeof raw, format, args);
    va_end(args);
    tail_view_flush(view, true);
    const struct term *term = &view->cli->out;
    (void)printf("%s%s%s%s\n", view->is_table ? "" : "# ", term_paint(term, paint),
        term_safe(term, raw, safe, sizeof safe), term_paint(term, TERM_PLAIN));
}
