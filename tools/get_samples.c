/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/get_samples.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/reading.h"
#include "tools/json.h"
#include "tools/rows.h"

static const char WORD[] = "samples";

/* One question under way. */
struct printing {
    const struct cli *cli;
    const struct get_samples *wanted;
    uint64_t n_printed;
};

bool get_samples_parse(
    const struct thing_list *things, const char *text, struct get_samples *out_wanted)
{
    size_t n = sizeof WORD - 1;
    *out_wanted = (struct get_samples){0};
    if (strncmp(text, WORD, n) != 0) {
        return false;
    }
    if (text[n] == '[') {
        char *end = NULL;
        errno = 0;
        out_wanted->index = strtoll(text + n + 1, &end, 10);
        out_wanted->has_index = true;
        if (errno != 0 || end == text + n + 1 || strcmp(end, "]") != 0) {
            return false;
        }
    } else if (text[n] != '\0') {
        return false;
    }
    for (size_t i = 0; i < things->n_things; i++) {
        const Baro__ThingInfo *thing = things->things[i];
        if (thing->declare != NULL && strcmp(thing->declare->name, text) == 0) {
            return false;
        }
    }
    return true;
}

static void print_csv(const struct row *row, const struct reading_sample *sample)
{
    char loss[JSON_NUMBER_BYTES] = "";
    if (!isnan(sample->loss)) {
        (void)json_write_number((double)sample->loss, loss);
    }
    (void)printf("%" PRId64 ",%" PRId64 ",%" PRId64 ",%s,", row->step, row->time_ns,
        sample->index, loss);
    (void)printf(sample->correct >= 0 ? "%d," : ",", sample->correct);
    (void)printf(sample->label >= 0 ? "%d\n" : "\n", sample->label);
}

static void print_json(const struct row *row, const struct reading_sample *sample)
{
    (void)printf("{\"step\": %" PRId64 ", \"time_ns\": %" PRId64 ", \"sample\": %" PRId64,
        row->step, row->time_ns, sample->index);
    if (!isnan(sample->loss)) {
        char loss[JSON_NUMBER_BYTES];
        const char *quote = isfinite(sample->loss) ? "" : "\"";
        (void)json_write_number((double)sample->loss, loss);
        (void)printf(", \"loss\": %s%s%s", quote, loss, quote);
    }
    if (sample->correct >= 0) {
        (void)printf(", \"correct\": %s", sample->correct > 0 ? "true" : "false");
    }
    if (sample->label >= 0) {
        (void)printf(", \"label\": %d", sample->label);
    }
    (void)printf("}\n");
}

static void print_line(const struct row *row, const struct reading_sample *sample)
{
    char loss[JSON_NUMBER_BYTES] = "";
    if (!isnan(sample->loss)) {
        (void)json_write_number((double)sample->loss, loss);
    }
    (void)printf("%12" PRId64 "  %12" PRId64 "  %14s  %s", row->step, sample->index, loss,
        sample->correct > 0    ? "right"
        : sample->correct == 0 ? "wrong"
                               : "");
    if (sample->label >= 0) {
        (void)printf("%s  class %d", sample->correct < 0 ? "     " : "", sample->label);
    }
    (void)printf("\n");
}

static int print_row(const struct row *row, void *payload)
{
    struct printing *printing = payload;
    const struct cli_values *values = &printing->cli->values;
    for (size_t at = 0; at + sizeof(struct reading_sample) <= row->extra_bytes;
         at += sizeof(struct reading_sample)) {
        struct reading_sample sample;
        memcpy(&sample, row->extra + at, sizeof sample);
        if (printing->wanted->has_index && sample.index != printing->wanted->index) {
            continue;
        }
        printing->n_printed++;
        if (values->is_csv) {
            print_csv(row, &sample);
        } else if (values->is_json) {
            print_json(row, &sample);
        } else {
            print_line(row, &sample);
        }
    }
    return CLI_OK;
}

int get_samples_print(
    struct cli *cli, const Baro__RunInfo *run, const struct get_samples *wanted)
{
    if (cli->values.columns != 0) {
        return cli_fail("--columns has no meaning for the results of single samples");
    }
    const struct rows_wanted rows = {
        .run = run->run,
        .kind = READING_SAMPLES,
        .from = cli->values.from,
        .to = cli->values.to,
    };
    struct printing printing = {.cli = cli, .wanted = wanted};
    struct rows_told told = {0};
    if (cli->values.is_csv) {
        (void)printf("step,time_ns,sample,loss,correct,label\n");
    }
    int rc = rows_each(cli, &rows, print_row, NULL, &printing, &told);
    if (rc == CLI_OK && told.n_pruned > 0) {
        (void)cli_fail(
            "the first %" PRIu64 " records of samples were pruned", told.n_pruned);
    }
    if (rc == CLI_OK && told.damage[0] != '\0') {
        return cli_fail("%s", told.damage);
    }
    if (rc == CLI_OK && printing.n_printed == 0) {
        return cli_fail(
            "no results of %s are kept of these steps; "
            "run.log(values, batch=indices, samples={'loss': losses, 'correct': "
            "hits}) logs them",
            wanted->has_index ? "that sample" : "samples");
    }
    return rc;
}
