/* SPDX-License-Identifier: Apache-2.0 */
/* CSV and JSON lines: one reading a line, as they come. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/tensor.h"
#include "tools/export.h"
#include "tools/number.h"

enum { MAX_HEADS = SUMMARY_STAT_COUNT, LINE_TAIL_BYTES = 256 };

_Static_assert((int)UNIT_STAT_MOST <= (int)MAX_HEADS, "a head for each statistic");

static const char CSV_HEADER[] =
    "series,rank,role,epoch,kind,statistic,unit,step,time_ns,value\n";

/* What lines of one kind of reading begin with. */
struct head {
    char *text;
    size_t n_bytes;
};

struct text_sink {
    struct export_sink sink;
    struct out_file *out;
    bool is_csv;
    struct head heads[MAX_HEADS]; /* by statistic; scalars have one */
    struct head other;            /* of histograms, batches and results */
};

/* ---- heads ---- */

static const char *kind_word(enum reading_kind kind)
{
    switch ((int)kind) { /* the others have lines of their own */
    case READING_SCALAR: return "scalar";
    case READING_STEP: return "step";
    case READING_SUMMARY: return "summary";
    case READING_UNITS: return "units";
    case READING_BATCH: return "batch";
    case READING_SAMPLES: return "results";
    default: return "?";
    }
}

/* Append a field, in quotes when it holds what would end it. */
static void put_csv(FILE *file, const char *field)
{
    if (strpbrk(field, ",\"\r\n") == NULL) {
        (void)fputs(field, file);
        return;
    }
    (void)fputc('"', file);
    for (; *field != '\0'; field++) {
        if (*field == '"') {
            (void)fputc('"', file);
        }
        (void)fputc(*field, file);
    }
    (void)fputc('"', file);
}

/* NULL where there is none: of scalars, and with stat -1 of histograms. */
static const char *statistic_of(enum reading_kind kind, int stat)
{
    return stat < 0                  ? NULL
           : kind == READING_SUMMARY ? summary_stat_name(stat)
           : kind == READING_UNITS   ? unit_stat_name(stat)
                                     : NULL;
}

/* Whether a row names samples, and is no series'. */
static bool is_of_samples(const struct export_item *item)
{
    return item->kind == READING_BATCH || item->kind == READING_SAMPLES;
}

static const char *role_of(const struct export_item *item)
{
    return item->thing != NULL && thing_is_tensor(item->thing)
               ? baro_role_name((enum baro_role)item->thing->declare->role)
               : NULL;
}

static const char *name_of(const struct export_item *item)
{
    return item->thing != NULL ? item->thing->declare->name : "step_time";
}

/* series,rank,role,epoch,kind,statistic, */
static void put_csv_head(FILE *file, const struct export_item *item, int stat)
{
    const char *role = role_of(item);
    const char *statistic = statistic_of(item->kind, stat);
    put_csv(file, name_of(item));
    (void)fprintf(file, ",%u,%s,%u,%s,%s,", item->thing != NULL ? item->thing->rank : 0,
        role != NULL ? role : "", item->thing != NULL ? item->thing->epoch : 1,
        kind_word(item->kind), statistic != NULL ? statistic : "");
}

/* {"kind": "units", "series": "fc1.weight", ... "statistic": "mean" */
static void put_json_head(
    FILE *file, const struct export_item *item, const char *kind, const char *statistic)
{
    json_t *object = json_object();
    const char *role = role_of(item);
    (void)json_object_set_new(object, "kind", json_string(kind));
    if (!is_of_samples(item)) {
        (void)json_object_set_new(object, "series", json_text(name_of(item)));
    }
    if (item->thing != NULL) {
        (void)json_object_set_new(object, "rank", json_integer(item->thing->rank));
    }
    if (role != NULL) {
        (void)json_object_set_new(object, "role", json_string(role));
    }
    if (item->thing != NULL && item->thing->epoch > 1) {
        (void)json_object_set_new(object, "epoch", json_integer(item->thing->epoch));
    }
    if (statistic != NULL) {
        (void)json_object_set_new(object, "statistic", json_string(statistic));
    }
    baro_autofree char *line = json_line(object, 0);
    (void)fprintf(file, "%.*s", (int)strlen(line) - 1, line); /* without the last brace */
}

static void make_head(const struct text_sink *text, const struct export_item *item,
    const char *kind, int stat, struct head *out)
{
    FILE *file = open_memstream(&out->text, &out->n_bytes);
    if (text->is_csv) {
        put_csv_head(file, item, stat);
    } else {
        put_json_head(file, item, kind, statistic_of(item->kind, stat));
    }
    (void)fclose(file);
}

static void drop_heads(struct text_sink *text)
{
    for (size_t i = 0; i < MAX_HEADS; i++) {
        free(text->heads[i].text);
        text->heads[i] = (struct head){0};
    }
    free(text->other.text);
    text->other = (struct head){0};
}

static void begin_item(struct export_sink *sink, const struct export_item *item)
{
    struct text_sink *text = (struct text_sink *)sink;
    drop_heads(text);
    if (item->kind == READING_SCALAR || item->kind == READING_STEP) {
        make_head(text, item, kind_word(item->kind), -1, &text->heads[0]);
    }
    for (int stat = 0; stat < MAX_HEADS; stat++) {
        if ((item->stats & 1U << stat) != 0) {
            make_head(text, item, kind_word(item->kind), stat, &text->heads[stat]);
        }
    }
    if (item->with_histogram || is_of_samples(item)) {
        make_head(text, item, item->with_histogram ? "histogram" : kind_word(item->kind),
            -1, &text->other);
    }
}

/* ---- lines ---- */

static char *put(char *at, const char *text)
{
    return mempcpy(at, text, strlen(text));
}

static char *put_i64(char *at, int64_t value)
{
    return at + number_write_i64(value, at);
}

/* Write the step and time of a row behind a head. */
static char *put_moment(const struct text_sink *text, char *at, const struct row *row)
{
    at = put(at, text->is_csv ? "," : ", \"step\": ");
    at = put_i64(at, row->step);
    at = put(at, text->is_csv ? "," : ", \"time_ns\": ");
    return put_i64(at, row->time_ns);
}

/* Write one reading. unit: -1 for none; is_f32: value came from a float. */
static void write_reading(struct text_sink *text, const struct head *head,
    const struct row *row, int64_t unit, double value, bool is_f32)
{
    char *line = (char *)out_reserve(text->out, head->n_bytes + LINE_TAIL_BYTES);
    memcpy(line, head->text, head->n_bytes);
    char *at = line + head->n_bytes;
    if (unit >= 0) {
        at = put(at, text->is_csv ? "" : ", \"unit\": ");
        at = put_i64(at, unit);
    }
    at = put_moment(text, at, row);
    bool has_quotes = !text->is_csv && !isfinite(value);
    at = put(at, text->is_csv ? "," : ", \"value\": ");
    at = put(at, has_quotes ? "\"" : "");
    at += is_f32 ? number_write_f32((float)value, at) : number_write_f64(value, at);
    at = put(at, text->is_csv ? "\n" : has_quotes ? "\"}\n" : "}\n");
    out_advance(text->out, (size_t)(at - line));
}

/* Write the beginning of a line that is longer: a histogram, a batch. */
static void write_long_head(struct text_sink *text, const struct row *row)
{
    const struct head *head = &text->other;
    char *line = (char *)out_reserve(text->out, head->n_bytes + LINE_TAIL_BYTES);
    memcpy(line, head->text, head->n_bytes);
    char *at = put_moment(text, line + head->n_bytes, row);
    out_advance(text->out, (size_t)(at - line));
}

static void write_histogram(struct text_sink *text, const struct row *row)
{
    size_t n_bins = row->extra_bytes / sizeof(struct reading_bin);
    char piece[128];
    write_long_head(text, row);
    int n = snprintf(piece, sizeof piece, ", \"every\": %.17g, \"bins\": [",
        row->f64[SUMMARY_HIST_EVERY]);
    out_write(text->out, piece, (size_t)n);
    for (size_t i = 0; i < n_bins; i++) {
        struct reading_bin bin;
        memcpy(&bin, row->extra + i * sizeof bin, sizeof bin);
        n = snprintf(piece, sizeof piece, "%s[%d, %d, %u]", i > 0 ? ", " : "", bin.bin,
            bin.sign, bin.count);
        out_write(text->out, piece, (size_t)n);
    }
    out_write(text->out, "]}\n", 3);
}

static void write_batch(struct text_sink *text, const struct row *row)
{
    size_t n_samples = row->extra_bytes / sizeof(int64_t);
    char piece[128];
    write_long_head(text, row);
    int n = snprintf(piece, sizeof piece, ", \"size\": %.17g, \"samples\": [", row->f64[0]);
    out_write(text->out, piece, (size_t)n);
    for (size_t i = 0; i < n_samples; i++) {
        int64_t sample;
        memcpy(&sample, row->extra + i * sizeof sample, sizeof sample);
        n = snprintf(piece, sizeof piece, "%s%lld", i > 0 ? ", " : "", (long long)sample);
        out_write(text->out, piece, (size_t)n);
    }
    out_write(text->out, "]}\n", 3);
}

/* A field of a sample that may not be there: null. */
static void write_field(
    struct text_sink *text, const char *name, bool is_there, double value)
{
    char piece[128];
    int n = snprintf(piece, sizeof piece, ", \"%s\": ", name);
    bool has_quotes = is_there && !isfinite(value);
    n += snprintf(piece + n, sizeof piece - (size_t)n, "%s", has_quotes ? "\"" : "");
    if (is_there) {
        n += (int)number_write_f32((float)value, piece + n);
    } else {
        n += snprintf(piece + n, sizeof piece - (size_t)n, "null");
    }
    n += snprintf(piece + n, sizeof piece - (size_t)n, "%s", has_quotes ? "\"" : "");
    out_write(text->out, piece, (size_t)n);
}

/* {..., "results": [{"sample": 7, "loss": 0.25, "correct": true, "label": 3}, ...]} */
static void write_results(struct text_sink *text, const struct row *row)
{
    size_t n_samples = row->extra_bytes / sizeof(struct reading_sample);
    write_long_head(text, row);
    out_write(text->out, ", \"results\": [", 14);
    for (size_t i = 0; i < n_samples; i++) {
        struct reading_sample sample;
        char piece[128];
        memcpy(&sample, row->extra + i * sizeof sample, sizeof sample);
        int n = snprintf(piece, sizeof piece, "%s{\"sample\": %lld", i > 0 ? ", " : "",
            (long long)sample.index);
        out_write(text->out, piece, (size_t)n);
        write_field(text, "loss", !isnan(sample.loss), (double)sample.loss);
        n = snprintf(piece, sizeof piece, ", \"correct\": %s",
            sample.correct < 0   ? "null"
            : sample.correct > 0 ? "true"
                                 : "false");
        out_write(text->out, piece, (size_t)n);
        write_field(text, "label", sample.label >= 0, (double)sample.label);
        out_write(text->out, "}", 1);
    }
    out_write(text->out, "]}\n", 3);
}

static void write_units(
    struct text_sink *text, const struct export_item *item, const struct row *row)
{
    uint32_t n_units = item->thing->declare->n_units;
    for (uint32_t stat = 0; stat < UNIT_STAT_MOST; stat++) {
        if ((item->stats & 1U << stat) == 0) {
            continue;
        }
        const float *values = row->f32 + (size_t)(stat - item->first_stat) * n_units;
        for (uint32_t unit = 0; unit < n_units; unit++) {
            write_reading(text, &text->heads[stat], row, unit, (double)values[unit], true);
        }
    }
}

static void write_row(
    struct export_sink *sink, const struct export_item *item, const struct row *row)
{
    struct text_sink *text = (struct text_sink *)sink;
    if (item->kind == READING_UNITS) {
        write_units(text, item, row);
    } else if (item->kind == READING_BATCH) {
        write_batch(text, row);
    } else if (item->kind == READING_SAMPLES) {
        write_results(text, row);
    } else if (item->kind != READING_SUMMARY) {
        write_reading(text, &text->heads[0], row, -1, row->f64[0], false);
    }
    for (uint32_t stat = 0; item->kind == READING_SUMMARY && stat < MAX_HEADS; stat++) {
        if ((item->stats & 1U << stat) != 0) {
            write_reading(text, &text->heads[stat], row, -1,
                row->f64[stat - item->first_stat], false);
        }
    }
    if (item->with_histogram) {
        write_histogram(text, row);
    }
}

/* ---- the rest ---- */

static void write_object(struct export_sink *sink, const char *object)
{
    struct text_sink *text = (struct text_sink *)sink;
    if (!text->is_csv) {
        out_write(text->out, object, strlen(object));
        out_write(text->out, "\n", 1);
    }
}

static void write_header(struct export_sink *sink, const char *object)
{
    struct text_sink *text = (struct text_sink *)sink;
    if (text->is_csv) {
        out_write(text->out, CSV_HEADER, sizeof CSV_HEADER - 1);
    } else {
        write_object(sink, object);
    }
}

static void end_item(struct export_sink *sink, const struct export_item *item)
{
    (void)sink;
    (void)item;
}

static void begin_list(struct export_sink *sink, const char *name)
{
    (void)sink;
    (void)name;
}

static void end_list(struct export_sink *sink)
{
    (void)sink;
}

static void finish(struct export_sink *sink, bool is_given_up)
{
    (void)is_given_up;
    drop_heads((struct text_sink *)sink);
    free(sink);
}

struct export_sink *export_text_create(struct out_file *out, enum export_format format)
{
    struct text_sink *text = baro_xcalloc(1, sizeof *text);
    text->sink = (struct export_sink){
        .header = write_header,
        .begin_item = begin_item,
        .row = write_row,
        .end_item = end_item,
        .begin_list = begin_list,
        .object = write_object,
        .end_list = end_list,
        .finish = finish,
    };
    text->out = out;
    text->is_csv = format == EXPORT_CSV;
    return &text->sink;
}
