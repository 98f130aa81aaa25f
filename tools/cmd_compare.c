/* SPDX-License-Identifier: Apache-2.0 */
/*
 * baro compare: two runs, or two steps of one. Of each series that both sides have, its last
 * reading up to the end of each side is compared: of scalars the value, of tensors the l2 norm of
 * what is finite in them. What differs most comes first: scalars by their difference over the
 * larger magnitude, those that are no number on one side before all else; tensors by how many
 * times one norm is the other, in either direction.
 */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/compare.h"
#include "lib/base/mem.h"
#include "lib/base/reading.h"
#include "proto/wire.h"
#include "tools/ask.h"
#include "tools/cli.h"
#include "tools/json.h"
#include "tools/runs.h"
#include "tools/series.h"

enum { ASK_SERIES = 256, ASK_TIMEOUT_MS = 60000, NAME_BYTES = SERIES_LABEL_BYTES + 16 };

/* One series of one side. */
struct found {
    char *name; /* label, with "@1" behind it for rank 1 */
    const Baro__ThingInfo *thing;
    bool is_tensor, has; /* has: there is a reading */
    double last, least;  /* least: NaN where nothing is finite */
    int64_t last_step;
};

struct side {
    const Baro__RunInfo *run;
    int64_t to; /* its last step that counts */
    struct thing_list things;
    struct found *found; /* by name */
    size_t n;
};

/* A series of both sides. */
struct pair {
    const struct found *a, *b;
    double weight; /* how much they differ */
};

/* ---- asking ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct found *)a)->name, ((const struct found *)b)->name);
}

/* Of the columns of one series: last reading, least value. */
static void take_columns(struct found *found, const uint8_t *bytes, uint32_t n_columns)
{
    found->least = (double)NAN;
    for (uint32_t c = 0; c < n_columns; c++) {
        struct wire_column column;
        memcpy(&column, bytes + (size_t)c * sizeof column, sizeof column);
        if (column.count > 0) {
            found->has = true;
            found->last = column.last;
            found->last_step = column.last_step;
            found->least = fmin(found->least, column.min);
        }
    }
}

/* Ask for the readings of up to ASK_SERIES series at once. */
static int ask_some(struct cli *cli, const struct side *side, struct found *found, size_t n)
{
    Baro__SeriesRef references[ASK_SERIES];
    Baro__SeriesRef *pointers[ASK_SERIES];
    struct link_message reply;
    Baro__RangeRequest body = BARO__RANGE_REQUEST__INIT;
    Baro__Envelope request = BARO__ENVELOPE__INIT;
    for (size_t i = 0; i < n; i++) {
        references[i] = (Baro__SeriesRef)BARO__SERIES_REF__INIT;
        references[i].thing = found[i].thing->thing;
        references[i].kind = found[i].is_tensor ? READING_SUMMARY : READING_SCALAR;
        references[i].stat = found[i].is_tensor ? SUMMARY_L2 : 0;
        pointers[i] = &references[i];
    }
    body.run = side->run->run;
    body.n_series = n;
    body.series = pointers;
    body.from_step = INT64_MIN;
    body.to_step = side->to;
    body.columns = 1;
    request.body_case = BARO__ENVELOPE__BODY_RANGE_REQUEST;
    request.range_request = &body;
    const struct ask ask = {.request = &request,
        .wanted = BARO__ENVELOPE__BODY_RANGE_REPLY,
        .what = "a range",
        .n_frames = n,
        .timeout_ms = ASK_TIMEOUT_MS};
    if (ask_for(cli, &ask, &reply) != CLI_OK) {
        return CLI_FAILED;
    }
    const uint32_t n_columns = reply.wire.envelope->range_reply->n_columns;
    bool is_range = true;
    for (size_t i = 0; is_range && i < n; i++) {
        is_range =
            reply.frames[i].n_bytes == (size_t)n_columns * sizeof(struct wire_column);
        if (is_range) {
            take_columns(&found[i], reply.frames[i].bytes, n_columns);
        }
    }
    link_message_release(&reply);
    return is_range ? CLI_OK : cli_fail("the daemon gave another answer than a range");
}

static int side_read(struct cli *cli, struct side *side, const char *glob)
{
    int rc = things_ask(cli, side->run->run, glob, &side->things);
    if (rc != CLI_OK) {
        return rc;
    }
    side->found = baro_xcalloc(side->things.n_things + 1, sizeof *side->found);
    for (size_t i = 0; i < side->things.n_things; i++) {
        const Baro__ThingInfo *thing = side->things.things[i];
        char label[SERIES_LABEL_BYTES];
        char name[NAME_BYTES];
        if (thing_is_run(thing) || thing_is_own(thing)) {
            continue;
        }
        (void)thing_epoch_label(thing, label);
        (void)snprintf(name, sizeof name, thing->rank > 0 ? "%s@%u" : "%s", label,
            (unsigned)thing->rank);
        side->found[side->n++] = (struct found){.name = baro_xstrdup(name),
            .thing = thing,
            .is_tensor = thing_is_tensor(thing)};
    }
    qsort(side->found, side->n, sizeof *side->found, by_name);
    for (size_t i = 0; rc == CLI_OK && i < side->n; i += ASK_SERIES) {
        size_t n = side->n - i < ASK_SERIES ? side->n - i : ASK_SERIES;
        rc = ask_some(cli, side, side->found + i, n);
    }
    return rc;
}

static void side_finish(struct side *side)
{
    for (size_t i = 0; i < side->n; i++) {
        free(side->found[i].name);
    }
    free(side->found);
    things_release(&side->things);
}

/* ---- comparing ---- */

/* How much two readings differ; infinite where one of them only is a number. */
static double weight_of(const struct found *a, const struct found *b)
{
    if (!a->has || !b->has) {
        return -1;
    }
    return compare_weight(a->last, b->last, a->is_tensor);
}

static int by_weight(const void *a, const void *b)
{
    const struct pair *x = a;
    const struct pair *y = b;
    if (x->weight > y->weight || x->weight < y->weight) {
        return x->weight > y->weight ? -1 : 1;
    }
    return strcmp(x->a->name, y->a->name);
}

/* Pair what both sides have; the others are marked by a NULL. */
static size_t pair_up(const struct side *a, const struct side *b, struct pair *out)
{
    size_t n = 0;
    size_t i = 0;
    size_t j = 0;
    while (i < a->n || j < b->n) {
        int order = i == a->n   ? 1
                    : j == b->n ? -1
                                : strcmp(a->found[i].name, b->found[j].name);
        out[n] = (struct pair){
            order <= 0 ? &a->found[i] : NULL, order >= 0 ? &b->found[j] : NULL, 0};
        i += order <= 0 ? 1 : 0;
        j += order >= 0 ? 1 : 0;
        n++;
    }
    return n;
}

/* Move pairs of one kind to the front of out, most different first. */
static size_t choose(const struct pair *pairs, size_t n, bool is_tensor, struct pair *out)
{
    size_t n_out = 0;
    for (size_t i = 0; i < n; i++) {
        const struct found *a = pairs[i].a;
        const struct found *b = pairs[i].b;
        if (a != NULL && b != NULL && a->is_tensor == is_tensor && a->has && b->has) {
            out[n_out++] = (struct pair){a, b, weight_of(a, b)};
        }
    }
    qsort(out, n_out, sizeof *out, by_weight);
    return n_out;
}

/* ---- printing ---- */

static const char *config_of(const struct side *side)
{
    const Baro__RunDescription *description = side->run->description;
    return description != NULL && description->config != NULL ? description->config : "";
}

/* A setting as it was given: a number with the fewest digits. The caller frees it. */
static char *value_text(const json_t *value)
{
    char number[JSON_NUMBER_BYTES];
    if (json_is_real(value)) {
        return baro_xstrdup(json_write_number(json_real_value(value), number));
    }
    return value != NULL ? json_dumps(value, JSON_ENCODE_ANY | JSON_SORT_KEYS) : NULL;
}

static void print_setting(const struct cli *cli, struct table *table, const char *key,
    const json_t *a, const json_t *b)
{
    if (a != NULL && b != NULL && json_equal(a, b)) {
        return;
    }
    if (table == NULL) {
        json_print(&cli->out, json_pack("{s:s, s:s, s:o, s:o}", "kind", "config", "key",
                                  key, "a", a != NULL ? json_deep_copy(a) : json_null(),
                                  "b", b != NULL ? json_deep_copy(b) : json_null()));
        return;
    }
    char *text_a = value_text(a);
    char *text_b = value_text(b);
    table_cell(table, TERM_PLAIN, "%s", key);
    table_cell(table, TERM_PLAIN, "%s", text_a != NULL ? text_a : "-");
    table_cell(table, TERM_PLAIN, "%s", text_b != NULL ? text_b : "-");
    free(text_a);
    free(text_b);
}

/* Settings of the configurations that differ. */
static void print_config(const struct cli *cli, const struct side *a, const struct side *b)
{
    static const struct table_column columns[] = {{"SETTING", false, TABLE_WHOLE},
        {"A", true, TABLE_CUT_END}, {"B", true, TABLE_CUT_END}};
    json_t *config_a = json_loads(config_of(a), 0, NULL);
    json_t *config_b = json_loads(config_of(b), 0, NULL);
    struct table *table =
        cli->values.is_json ? NULL : table_create(&cli->out, columns, BARO_LEN(columns));
    const char *key;
    json_t *value;
    bool differs =
        !json_equal(config_a, config_b) && (config_a != NULL || config_b != NULL);
    json_object_foreach(config_a, key, value)
    {
        print_setting(cli, table, key, value, json_object_get(config_b, key));
    }
    json_object_foreach(config_b, key, value)
    {
        if (json_object_get(config_a, key) == NULL) {
            print_setting(cli, table, key, NULL, value);
        }
    }
    if (table != NULL && differs) {
        (void)printf("\n");
        table_print(table, stdout);
    }
    table_destroy(table);
    json_decref(config_a);
    json_decref(config_b);
}

static void print_pair_json(const struct cli *cli, const struct pair *pair)
{
    const struct found *a = pair->a;
    const struct found *b = pair->b;
    json_t *object = json_pack("{s:s, s:s, s:o, s:o, s:I, s:I}", "kind",
        a->is_tensor ? "tensor" : "scalar", "name", a->name, "a",
        json_number(cli_number(a->last)), "b", json_number(cli_number(b->last)), "step_a",
        (json_int_t)a->last_step, "step_b", (json_int_t)b->last_step);
    if (a->is_tensor) {
        (void)json_object_set_new(
            object, "ratio", json_number(cli_number(b->last / a->last)));
    } else {
        (void)json_object_set_new(
            object, "difference", json_number(cli_number(b->last - a->last)));
        (void)json_object_set_new(object, "min_a", json_number(cli_number(a->least)));
        (void)json_object_set_new(object, "min_b", json_number(cli_number(b->least)));
    }
    json_print(&cli->out, object);
}

/* "1.25 x", or a word where there is none. */
static void ratio_cell(struct table *table, const struct found *a, const struct found *b)
{
    double ratio = b->last / a->last;
    if (!isfinite(a->last) || !isfinite(b->last)) {
        table_cell(table, TERM_BAD, "%s", "not finite");
    } else if (!isfinite(ratio)) {
        table_cell(table, TERM_WARN, "%s", "from 0");
    } else {
        bool is_far = ratio > 2 || ratio < 0.5;
        table_cell(table, is_far ? TERM_WARN : TERM_PLAIN, "%.4g x", ratio);
    }
}

static void print_scalars(const struct cli *cli, const struct pair *pairs, size_t n)
{
    static const struct table_column columns[] = {{"SCALAR", false, TABLE_CUT_MIDDLE},
        {"LAST A", true, TABLE_WHOLE}, {"LAST B", true, TABLE_WHOLE},
        {"B - A", true, TABLE_WHOLE}, {"MIN A", true, TABLE_WHOLE},
        {"MIN B", true, TABLE_WHOLE}};
    struct table *table = table_create(&cli->out, columns, BARO_LEN(columns));
    for (size_t i = 0; i < n; i++) {
        const struct found *a = pairs[i].a;
        const struct found *b = pairs[i].b;
        const double values[] = {a->last, b->last, b->last - a->last, a->least, b->least};
        table_cell(table, TERM_ACCENT, "%s", a->name);
        for (size_t v = 0; v < BARO_LEN(values); v++) {
            table_cell(table, isfinite(values[v]) ? TERM_PLAIN : TERM_BAD, "%.5g",
                cli_number(values[v]));
        }
    }
    (void)printf("\n");
    table_print(table, stdout);
    table_destroy(table);
}

static void print_tensors(const struct cli *cli, const struct pair *pairs, size_t n)
{
    static const struct table_column columns[] = {{"TENSOR", false, TABLE_CUT_MIDDLE},
        {"L2 A", true, TABLE_WHOLE}, {"L2 B", true, TABLE_WHOLE},
        {"B / A", true, TABLE_WHOLE}};
    struct table *table = table_create(&cli->out, columns, BARO_LEN(columns));
    for (size_t i = 0; i < n; i++) {
        table_cell(table, TERM_ACCENT, "%s", pairs[i].a->name);
        table_cell(table, TERM_PLAIN, "%.5g", cli_number(pairs[i].a->last));
        table_cell(table, TERM_PLAIN, "%.5g", cli_number(pairs[i].b->last));
        ratio_cell(table, pairs[i].a, pairs[i].b);
    }
    (void)printf("\n");
    table_print(table, stdout);
    table_destroy(table);
}

/* What only one side has, or has readings of. */
static void print_lone(const struct cli *cli, const struct pair *pairs, size_t n)
{
    for (int side = 0; side < 2; side++) {
        size_t n_lone = 0;
        for (size_t i = 0; i < n; i++) {
            const struct found *own = side == 0 ? pairs[i].a : pairs[i].b;
            const struct found *other = side == 0 ? pairs[i].b : pairs[i].a;
            if (own == NULL || !own->has || (other != NULL && other->has)) {
                continue;
            }
            if (cli->values.is_json) {
                json_print(
                    &cli->out, json_pack("{s:s, s:s}", "kind",
                                   side == 0 ? "only_a" : "only_b", "name", own->name));
                continue;
            }
            char safe[NAME_BYTES];
            (void)printf("%s%s",
                n_lone++ > 0 ? ", "
                : side == 0  ? "\nonly A: "
                             : "\nonly B: ",
                term_safe(&cli->out, own->name, safe, sizeof safe));
        }
        if (n_lone > 0) {
            (void)printf("\n");
        }
    }
}

static void print_side(const struct cli *cli, const char *letter, const struct side *side)
{
    const Baro__RunDescription *description = side->run->description;
    char safe[2][256];
    (void)printf("%s  %s / %s", letter,
        term_safe(&cli->out, description != NULL ? description->project : "?", safe[0],
            sizeof safe[0]),
        term_safe(&cli->out, description != NULL ? description->name : "?", safe[1],
            sizeof safe[1]));
    if (side->to != INT64_MAX) {
        (void)printf(", up to step %" PRId64 "\n", side->to);
    } else {
        (void)printf(", %s, up to step %" PRId64 "\n", run_status_name(side->run->status),
            side->run->last_step);
    }
}

static int compare(struct cli *cli, const struct side *a, const struct side *b)
{
    size_t room = a->n + b->n + 1;
    baro_autofree struct pair *pairs = baro_xcalloc(room, sizeof *pairs);
    baro_autofree struct pair *scalars = baro_xcalloc(room, sizeof *scalars);
    baro_autofree struct pair *tensors = baro_xcalloc(room, sizeof *tensors);
    size_t n = pair_up(a, b, pairs);
    size_t n_scalars = choose(pairs, n, false, scalars);
    size_t n_tensors = choose(pairs, n, true, tensors);
    if (n == 0) {
        return cli_fail("nothing that was measured has such a name");
    }
    if (!cli->values.is_json) {
        print_side(cli, "A", a);
        print_side(cli, "B", b);
    }
    if (a->run != b->run) {
        print_config(cli, a, b);
    }
    for (size_t i = 0; cli->values.is_json && i < n_scalars + n_tensors; i++) {
        print_pair_json(cli, i < n_scalars ? &scalars[i] : &tensors[i - n_scalars]);
    }
    if (!cli->values.is_json && n_scalars > 0) {
        print_scalars(cli, scalars, n_scalars);
    }
    if (!cli->values.is_json && n_tensors > 0) {
        print_tensors(cli, tensors, n_tensors);
    }
    print_lone(cli, pairs, n);
    return CLI_OK;
}

/* ---- the command ---- */

static bool read_step(const char *text, int64_t *out)
{
    char *end = NULL;
    long long step = strtoll(text, &end, 10);
    *out = step;
    return end != text && *end == '\0' && step >= 0;
}

int cmd_compare(struct cli *cli)
{
    struct side a = {.to = INT64_MAX};
    struct side b = {.to = INT64_MAX};
    bool is_steps = cli->values.is_steps;
    const int glob_at = is_steps ? 3 : 2;
    if (is_steps && (cli->n_arguments < 3 || !read_step(cli->arguments[1], &a.to) ||
                        !read_step(cli->arguments[2], &b.to))) {
        return cli_misuse("give two steps: baro compare RUN --steps A B");
    }
    if (!is_steps && cli->n_arguments > 3) {
        return cli_misuse("'%s' is one argument too many", cli->arguments[3]);
    }
    if (cli_link(cli) == NULL) {
        return CLI_FAILED;
    }
    struct run_list runs = {0};
    int rc = runs_ask(cli, &runs);
    if (rc == CLI_OK) {
        a.run = runs_find(&runs, cli->arguments[0]);
        b.run = is_steps        ? a.run
                : a.run != NULL ? runs_find(&runs, cli->arguments[1])
                                : NULL;
        rc = a.run != NULL && b.run != NULL ? CLI_OK : CLI_FAILED;
    }
    const char *glob = cli->n_arguments > glob_at ? cli->arguments[glob_at] : NULL;
    rc = rc == CLI_OK ? side_read(cli, &a, glob) : rc;
    rc = rc == CLI_OK ? side_read(cli, &b, glob) : rc;
    rc = rc == CLI_OK ? compare(cli, &a, &b) : rc;
    side_finish(&a);
    side_finish(&b);
    runs_release(&runs);
    return rc;
}
