/* SPDX-License-Identifier: Apache-2.0 */
/* baro series: what a run has measured, how often, and what it takes in the store. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/reading.h"
#include "lib/base/tensor.h"
#include "lib/base/text.h"
#include "tools/cli.h"
#include "tools/json.h"
#include "tools/runs.h"
#include "tools/series.h"

static const char *role_of(const Baro__ThingInfo *thing)
{
    return thing->declare != NULL && thing_is_tensor(thing)
               ? baro_role_name((enum baro_role)thing->declare->role)
               : NULL;
}

static const char *type_of(const Baro__ThingInfo *thing)
{
    return thing_is_run(thing) ? "step" : thing_is_tensor(thing) ? "tensor" : "scalar";
}

static void print_json(const struct cli *cli, const Baro__ThingInfo *thing)
{
    char label[SERIES_LABEL_BYTES];
    json_t *shape = json_array();
    for (size_t i = 0; thing->declare != NULL && i < thing->declare->n_shape; i++) {
        (void)json_array_append_new(
            shape, json_integer((json_int_t)thing->declare->shape[i]));
    }
    bool is_tensor = thing->declare != NULL && thing_is_tensor(thing);
    json_t *object = json_pack("{s:o, s:s, s:o, s:o, s:I, s:I, s:o, s:o, s:o}", "name",
        json_text(thing_epoch_label(thing, label)), "type", type_of(thing), "tensor",
        is_tensor ? json_text(thing->declare->name) : json_null(), "role",
        json_text_or_null(role_of(thing)), "rank", (json_int_t)thing->rank, "units",
        (json_int_t)(is_tensor ? thing->declare->n_units : 0), "dtype",
        is_tensor ? json_text(baro_dtype_name((enum baro_dtype)thing->declare->dtype))
                  : json_null(),
        "shape", shape, "cadence", json_number(thing->cadence));
    json_t *more = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}",
        "pruned", (json_int_t)thing->n_pruned, "epoch",
        (json_int_t)(thing->epoch > 0 ? thing->epoch : 1), "repeats",
        (json_int_t)thing->n_repeats, "inherited", (json_int_t)thing->n_inherited, "points",
        (json_int_t)(thing->n_points + thing->n_inherited), "unit_points",
        (json_int_t)thing->n_unit_points, "bytes", (json_int_t)thing->bytes, "n_nonfinite",
        (json_int_t)thing->n_nonfinite, "first_step", (json_int_t)thing->first_step,
        "last_step", (json_int_t)thing->last_step, "last_value",
        thing->n_points > 0 ? json_number(thing->last_value) : json_null(),
        "worst_severity",
        thing->worst_level > 0
            ? json_text(baro_level_name((enum baro_level)thing->worst_level))
            : json_null());
    (void)json_object_set_new(
        more, "inherited_is_estimate", json_boolean(thing->is_inherited_estimate));
    (void)json_object_set_new(
        more, "inherited_pruned", json_integer((json_int_t)thing->n_inherited_pruned));
    (void)json_object_update_missing(object, more);
    json_decref(more);
    json_print(&cli->out, object);
}

/* "[64, 128] f32" */
static void write_layout(const Baro__Declare *declare, char *out, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < declare->n_shape && n + 32 < size; i++) {
        n += (size_t)snprintf(
            out + n, size - n, "%s%" PRId64, i > 0 ? ", " : "[", declare->shape[i]);
    }
    (void)snprintf(out + n, size - n, "%s%s", declare->n_shape > 0 ? "] " : "",
        baro_dtype_name((enum baro_dtype)declare->dtype));
}

/* Tell whether a tensor has several epochs. */
static bool has_epochs(const struct thing_list *things, const Baro__ThingInfo *thing)
{
    for (size_t i = 0; thing_is_tensor(thing) && i < things->n_things; i++) {
        const Baro__ThingInfo *other = things->things[i];
        if (thing->epoch > 1 ||
            (other->epoch > 1 && thing_is_tensor(other) && other->rank == thing->rank &&
                other->declare->role == thing->declare->role &&
                strcmp(other->declare->name, thing->declare->name) == 0)) {
            return true;
        }
    }
    return false;
}

/* What is out of the ordinary: epochs, repeats, what a branch inherited, what is known by
 * summaries only. Empty for most. */
static char *write_note(const struct thing_list *things, const Baro__ThingInfo *thing,
    bool may_have_epochs, char *out, size_t size)
{
    size_t n = 0;
    char layout[200];
    out[0] = '\0';
    if (may_have_epochs && has_epochs(things, thing)) {
        write_layout(thing->declare, layout, sizeof layout);
        n += (size_t)snprintf(out + n, size - n, "epoch %u, %s, from step %" PRId64,
            thing->epoch, layout, thing->first_step);
    }
    if (thing->n_repeats > 0 && n < size) {
        n += (size_t)snprintf(out + n, size - n, "%s%" PRIu64 " repeated",
            n > 0 ? "; " : "", thing->n_repeats);
    }
    if (thing->n_inherited > 0 && n < size) {
        n += (size_t)snprintf(out + n, size - n, "%s%s%" PRIu64 " inherited",
            n > 0 ? "; " : "", thing->is_inherited_estimate ? "~" : "", thing->n_inherited);
    }
    if (thing->n_inherited_pruned > 0 && n < size) {
        bool is_all = thing->n_inherited_pruned >= thing->n_inherited;
        n += (size_t)snprintf(out + n, size - n,
            is_all ? ", pruned" : ", %s%" PRIu64 " of them pruned",
            thing->is_inherited_estimate ? "~" : "", thing->n_inherited_pruned);
    }
    if (thing->n_pruned > 0 && n < size) {
        (void)snprintf(
            out + n, size - n, "%s%" PRIu64 " pruned", n > 0 ? "; " : "", thing->n_pruned);
    }
    return out;
}

static void add_row(struct table *table, const Baro__ThingInfo *thing)
{
    char label[SERIES_LABEL_BYTES];
    char rank[16] = "";
    char bytes[32];
    if (thing->rank > 0) {
        (void)snprintf(rank, sizeof rank, "@%u", thing->rank);
    }
    enum term_paint paint = thing->worst_level >= BARO_ALARM || thing->n_nonfinite > 0
                                ? TERM_BAD
                            : thing->worst_level >= BARO_WATCH ? TERM_WARN
                                                               : TERM_PLAIN;
    table_cell(table, paint, "%s%s", thing_epoch_label(thing, label), rank);
    table_cell(table, TERM_DIM, "%s", role_of(thing) != NULL ? role_of(thing) : "-");
    if (thing_is_tensor(thing) && thing->declare->n_units > 0) {
        table_cell(table, TERM_PLAIN, "%u", thing->declare->n_units);
    } else {
        table_cell(table, TERM_DIM, "-");
    }
    table_cell(table, TERM_PLAIN, "%.3g", thing->cadence);
    table_cell(table, TERM_PLAIN, "%s%" PRIu64, thing->is_inherited_estimate ? "~" : "",
        thing->n_points + thing->n_inherited);
    if (thing->n_points > 0) {
        table_cell(table, isfinite(thing->last_value) ? TERM_PLAIN : TERM_BAD, "%.5g",
            cli_number(thing->last_value));
    } else {
        table_cell(table, TERM_DIM, "-"); /* none of its own */
    }
    table_cell(table, TERM_DIM, "%s", baro_format_bytes(thing->bytes, bytes, sizeof bytes));
}

static void print_table(const struct cli *cli, const struct thing_list *things)
{
    static const struct table_column columns[] = {{"NAME", false, TABLE_CUT_MIDDLE},
        {"ROLE", false, TABLE_WHOLE}, {"UNITS", true, TABLE_WHOLE},
        {"EVERY", true, TABLE_WHOLE}, {"POINTS", true, TABLE_WHOLE},
        {"LAST", true, TABLE_WHOLE}, {"BYTES", true, TABLE_WHOLE},
        {"NOTE", false, TABLE_CUT_MIDDLE}};
    char note[400];
    bool has_notes = false;
    bool has_later = false; /* epochs */
    for (size_t i = 0; i < things->n_things; i++) {
        const Baro__ThingInfo *thing = things->things[i];
        has_later = has_later || (thing_is_tensor(thing) && thing->epoch > 1);
        has_notes = has_notes || has_later ||
                    thing->n_repeats + thing->n_inherited + thing->n_pruned > 0;
    }
    struct table *table =
        table_create(&cli->out, columns, BARO_LEN(columns) - (has_notes ? 0 : 1));
    bool has_tensor = false;
    for (size_t i = 0; i < things->n_things; i++) {
        add_row(table, things->things[i]);
        if (has_notes) {
            table_cell(table, TERM_DIM, "%s",
                write_note(things, things->things[i], has_later, note, sizeof note));
        }
        has_tensor = has_tensor || thing_is_tensor(things->things[i]);
    }
    table_print(table, stdout);
    table_destroy(table);
    if (cli->out.is_tty) {
        (void)printf("%s%salso: step_time%s\n", term_paint(&cli->out, TERM_DIM),
            has_tensor ? "tensors: LAST is l2; get NAME:ROLE/l2 or NAME:ROLE[0]/mean; "
                       : "",
            term_paint(&cli->out, TERM_PLAIN));
    }
}

/* Nothing matched the glob: say so, with the nearest name when all are known. */
static int fail_no_match(struct cli *cli, uint32_t run, const char *glob)
{
    struct thing_list all;
    if (things_ask(cli, run, NULL, &all) != CLI_OK) {
        return CLI_FAILED;
    }
    baro_autofree char *labels = baro_xcalloc(all.n_things + 1, SERIES_LABEL_BYTES);
    baro_autofree const char **names = baro_xcalloc(all.n_things + 1, sizeof *names);
    for (size_t i = 0; i < all.n_things; i++) {
        names[i] = thing_label(all.things[i], labels + i * SERIES_LABEL_BYTES);
    }
    const char *near = baro_nearest(glob, names, all.n_things);
    things_release(&all);
    if (near != NULL) {
        return cli_fail("nothing matches '%s'; did you mean '%s'?", glob, near);
    }
    return cli_fail("nothing matches '%s'; 'baro series' without it lists all", glob);
}

static int print_series(struct cli *cli, uint32_t run, const char *glob)
{
    struct thing_list things;
    int rc = things_ask(cli, run, glob, &things);
    if (rc != CLI_OK) {
        return rc;
    }
    if (things.n_things == 0) {
        things_release(&things);
        if (glob != NULL) {
            return fail_no_match(cli, run, glob);
        }
        if (!cli->values.is_json) {
            (void)printf("the run has measured nothing yet\n");
        }
        return CLI_OK;
    }
    for (size_t i = 0; cli->values.is_json && i < things.n_things; i++) {
        print_json(cli, things.things[i]);
    }
    if (!cli->values.is_json) {
        print_table(cli, &things);
    }
    things_release(&things);
    return CLI_OK;
}

int cmd_series(struct cli *cli)
{
    struct run_list runs;
    int rc = runs_ask(cli, &runs);
    if (rc != CLI_OK) {
        return rc;
    }
    const Baro__RunInfo *run =
        runs_find(&runs, cli->n_arguments > 0 ? cli->arguments[0] : NULL);
    rc = run == NULL
             ? CLI_FAILED
             : print_series(cli, run->run, cli->n_arguments > 1 ? cli->arguments[1] : NULL);
    runs_release(&runs);
    return rc;
}
