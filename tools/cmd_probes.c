/* SPDX-License-Identifier: Apache-2.0 */
/* baro probes: at which steps a run's operations were recorded, and the operations of one. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/tensor.h"
#include "lib/base/text.h"
#include "tools/json.h"
#include "tools/out_file.h"
#include "tools/probes.h"

/* ---- the list ---- */

static void list_json(const struct cli *cli, const struct probe_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        const struct probe_entry *entry = &list->entries[i];
        json_print(&cli->out,
            json_pack("{s:I, s:s, s:I, s:I, s:I, s:i, s:i, s:b}", "step",
                (json_int_t)entry->step, "reason", probe_reason_name(entry->reason),
                "time_ns", (json_int_t)entry->time_ns, "serial", (json_int_t)entry->serial,
                "bytes", (json_int_t)entry->bytes, "pieces", (int)entry->n_pieces,
                "pieces_here", (int)entry->n_here, "is_whole",
                entry->n_here == entry->n_pieces));
    }
}

static void list_table(const struct cli *cli, const struct probe_list *list)
{
    static const struct table_column columns[] = {{"STEP", true, TABLE_WHOLE},
        {"WHY", false, TABLE_WHOLE}, {"SIZE", true, TABLE_WHOLE},
        {"", false, TABLE_CUT_END}};
    struct table *table = table_create(&cli->out, columns, BARO_LEN(columns));
    for (size_t i = 0; i < list->n; i++) {
        const struct probe_entry *entry = &list->entries[i];
        const uint32_t n_missing = entry->n_pieces - entry->n_here;
        char size[32];
        table_cell(table, TERM_ACCENT, "%" PRId64, entry->step);
        table_cell(table, entry->reason == PROBE_FAILURE ? TERM_BAD : TERM_PLAIN, "%s",
            probe_reason_name(entry->reason));
        table_cell(
            table, TERM_PLAIN, "%s", baro_format_bytes(entry->bytes, size, sizeof size));
        if (n_missing > 0) {
            table_cell(table, TERM_WARN,
                "not whole: %" PRIu32 " of %" PRIu32 " pieces are missing", n_missing,
                entry->n_pieces);
        } else {
            table_cell(table, TERM_PLAIN, "%s", "");
        }
    }
    table_print(table, stdout);
    table_destroy(table);
}

/* ---- one probe ---- */

static json_t *value_json(const struct probe *probe, int32_t number)
{
    if (number == PROBE_NONE) {
        return json_null();
    }
    const struct probe_value *value = &probe->values[number];
    json_t *shape = json_array();
    for (int d = 0; d < value->n_dims; d++) {
        (void)json_array_append_new(shape, json_integer((json_int_t)value->shape[d]));
    }
    json_t *object = json_pack("{s:i, s:o, s:s, s:s, s:o, s:i, s:i}", "value", number,
        "name", json_text_or_null(value->name), "kind", probe_value_kind_name(value->kind),
        "type", baro_dtype_name(value->dtype), "shape", shape, "batch_axis",
        value->batch_axis, "unit_axis", value->unit_axis);
    if (value->count > 0) {
        json_t *more = json_pack("{s:I, s:I, s:I, s:o, s:o, s:o, s:o}", "count",
            (json_int_t)value->count, "n_nan", (json_int_t)value->n_nan, "n_inf",
            (json_int_t)value->n_inf, "min", json_number(cli_number(value->min)), "max",
            json_number(cli_number(value->max)), "mean",
            json_number(cli_number(value->mean)), "l2", json_number(cli_number(value->l2)));
        (void)json_object_update_missing(object, more);
        json_decref(more);
    }
    return object;
}

static json_t *values_json(const struct probe *probe, const int32_t *values, uint32_t n)
{
    json_t *array = json_array();
    for (uint32_t i = 0; i < n; i++) {
        (void)json_array_append_new(array, value_json(probe, values[i]));
    }
    return array;
}

static void show_json(const struct cli *cli, const struct probe *probe)
{
    for (uint32_t i = 0; i < probe->n_ops; i++) {
        const struct probe_op *op = &probe->ops[i];
        json_print(&cli->out,
            json_pack("{s:i, s:o, s:o, s:o, s:o, s:s, s:o, s:o, s:b}", "op", (int)i, "name",
                json_text(op->name), "module", json_text(op->module), "source",
                json_text_or_null(op->source), "attributes", json_text(op->attrs), "phase",
                op->phase == PROBE_BACKWARD ? "backward" : "forward", "inputs",
                values_json(probe, op->inputs, op->n_inputs), "outputs",
                values_json(probe, op->outputs, op->n_outputs), "is_origin",
                probe->has_origin && probe->origin.op == (int32_t)i));
    }
}

/* "-1.2 to 3.4", with what is not finite. */
static void range_words(const struct probe_value *value, char *out, size_t out_bytes)
{
    if (value->count == 0) {
        (void)snprintf(out, out_bytes, "not read");
    } else if (value->n_nan + value->n_inf > 0) {
        (void)snprintf(out, out_bytes, "%" PRIu64 " NaN, %" PRIu64 " inf of %" PRIu64,
            value->n_nan, value->n_inf, value->count);
    } else {
        (void)snprintf(out, out_bytes, "%.4g to %.4g", value->min, value->max);
    }
}

static void show_table(const struct cli *cli, const struct probe *probe)
{
    static const struct table_column columns[] = {{"OPERATION", false, TABLE_CUT_MIDDLE},
        {"MODULE", false, TABLE_CUT_MIDDLE}, {"LINE", false, TABLE_CUT_MIDDLE},
        {"GIVES", false, TABLE_WHOLE}, {"FROM TO", false, TABLE_WHOLE}};
    struct table *table = table_create(&cli->out, columns, BARO_LEN(columns));
    for (uint32_t i = 0; i < probe->n_ops; i++) {
        const struct probe_op *op = &probe->ops[i];
        const int32_t output = op->n_outputs > 0 ? op->outputs[0] : PROBE_NONE;
        char shape[96] = "";
        char range[96] = "";
        bool is_bad = false;
        if (output != PROBE_NONE) {
            const struct probe_value *value = &probe->values[output];
            (void)probe_shape_words(value, shape, sizeof shape);
            range_words(value, range, sizeof range);
            is_bad = value->n_nan + value->n_inf > 0;
        }
        const bool is_origin = probe->has_origin && probe->origin.op == (int32_t)i;
        table_cell(table, is_origin ? TERM_BAD : TERM_ACCENT, "%s%s%s", op->name,
            op->phase == PROBE_BACKWARD ? " (backward)" : "",
            is_origin ? term_mark(&cli->out, " ◀", " <-- here") : "");
        table_cell(table, TERM_PLAIN, "%s", op->module);
        table_cell(table, TERM_DIM, "%s", op->source);
        table_cell(table, TERM_PLAIN, "%s", shape);
        table_cell(table, is_bad ? TERM_WARN : TERM_PLAIN, "%s", range);
    }
    table_print(table, stdout);
    table_destroy(table);
    if (probe->has_origin) {
        char line[512];
        (void)snprintf(line, sizeof line, "%s%s", probe->origin.cause,
            probe->origin.is_gradient ? " (in the gradient)" : "");
        term_wrap(&cli->out, stdout, 0, line);
    }
    if (probe->is_cut) {
        (void)puts("The limit of bytes was reached: some of it is missing.");
    }
}

/* ---- the command ---- */

static int save(struct cli *cli, const struct fetched_probe *fetched)
{
    struct out_file file;
    struct baro_err err = {0};
    if (out_open(cli->values.output, cli->values.is_forced, &file, &err) != 0) {
        return cli_fail_err(&err);
    }
    out_write(&file, fetched->bytes, fetched->n_bytes);
    return out_finish(&file, &err) != 0 ? cli_fail_err(&err) : CLI_OK;
}

static int show_one(struct cli *cli, uint32_t run, const struct probe_list *list)
{
    const struct probe_entry *entry = probes_choose(list, cli->values.step);
    struct fetched_probe fetched;
    if (entry == NULL) {
        return cli_fail(
            "no probe of the run is whole, at or before that step; 'baro probes' "
            "lists them all");
    }
    int rc = probes_fetch(cli, run, entry, &fetched);
    if (rc != CLI_OK) {
        return rc;
    }
    if (cli->values.output != NULL) {
        rc = save(cli, &fetched);
    } else if (cli->values.is_json) {
        show_json(cli, fetched.probe);
    } else {
        (void)printf("Step %" PRId64 ", %s: %" PRIu32 " operations, %" PRIu32 " values\n",
            entry->step, probe_reason_name(entry->reason), fetched.probe->n_ops,
            fetched.probe->n_values);
        show_table(cli, fetched.probe);
    }
    probes_release(&fetched);
    return rc;
}

int cmd_probes(struct cli *cli)
{
    struct run_probes probes;
    int rc = probes_open(cli, &probes);
    const struct probe_list *list = &probes.list;
    if (rc == CLI_OK && cli->values.rng != INT64_MIN) {
        rc = probes_save_state(cli, probes.run);
    } else if (rc == CLI_OK &&
               (cli->values.step != INT64_MIN || cli->values.output != NULL)) {
        rc = show_one(cli, probes.run, list);
    } else if (rc == CLI_OK && cli->values.is_json) {
        list_json(cli, list);
    } else if (rc == CLI_OK && list->n == 0) {
        (void)puts("No probes: the operations of no step of this run were recorded.");
    } else if (rc == CLI_OK) {
        list_table(cli, list);
    }
    probes_close(&probes);
    return rc;
}
