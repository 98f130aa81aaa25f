/* SPDX-License-Identifier: Apache-2.0 */
/* What goes into an exported file: kinds, and series by a pattern. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "tools/export.h"

enum { MAX_NAMED = 6 };

static const uint32_t ALL_KINDS = (UINT32_C(1) << EXPORT_KIND_COUNT) - 1;
static const uint32_t NUMBER_KINDS =
    1U << EXPORT_SCALARS | 1U << EXPORT_STEPS | 1U << EXPORT_SUMMARIES | 1U << EXPORT_UNITS;
static const uint32_t USUAL_KINDS = 1U << EXPORT_SCALARS | 1U << EXPORT_STEPS |
                                    1U << EXPORT_SUMMARIES | 1U << EXPORT_EVENTS |
                                    1U << EXPORT_ALERTS | 1U << EXPORT_NOTES;

static const char *const kind_names[] = {"scalars", "steps", "summaries", "units",
    "histograms", "batches", "results", "events", "alerts", "notes"};
_Static_assert(BARO_LEN(kind_names) == EXPORT_KIND_COUNT, "a name for each kind");

static const char step_time[] = "step_time";

/* ---- kinds ---- */

const char *export_kind_name(enum export_kind kind)
{
    return kind_names[kind];
}

static int parse_kind(const char *word, uint32_t *kinds)
{
    for (size_t i = 0; i < EXPORT_KIND_COUNT; i++) {
        if (strcmp(word, kind_names[i]) == 0) {
            *kinds |= 1U << i;
            return CLI_OK;
        }
    }
    const char *near = baro_nearest(word, kind_names, EXPORT_KIND_COUNT);
    if (near != NULL) {
        return cli_misuse("--kind: no kind '%s'; did you mean '%s'?", word, near);
    }
    return cli_misuse("--kind: no kind '%s'; there are scalars, steps, summaries, units, "
                      "histograms, batches, results, events, alerts, notes and all",
        word);
}

int export_kinds_parse(const char *text, enum export_format format, uint32_t *out_kinds)
{
    uint32_t possible = format == EXPORT_CSV ? NUMBER_KINDS : ALL_KINDS;
    uint32_t kinds = 0;
    if (text == NULL) {
        *out_kinds = USUAL_KINDS & possible;
        return CLI_OK;
    }
    if (strcmp(text, "all") == 0) {
        *out_kinds = possible;
        return CLI_OK;
    }
    baro_autofree char *words = baro_xstrdup(text);
    for (char *rest = words, *word; (word = strsep(&rest, ",")) != NULL;) {
        int rc = parse_kind(word, &kinds);
        if (rc != CLI_OK) {
            return rc;
        }
    }
    for (size_t i = 0; i < EXPORT_KIND_COUNT; i++) {
        if ((kinds & ~possible & 1U << i) != 0) {
            return cli_misuse(
                "CSV has one number a line, and no %s; .jsonl and .npz do", kind_names[i]);
        }
    }
    *out_kinds = kinds;
    return CLI_OK;
}

/* ---- choosing ---- */

/* A name may hold what patterns mean: then it is the name that counts. */
static bool fits(const struct export_plan *plan, const char *name)
{
    return plan->glob == NULL || strcmp(plan->glob, name) == 0 ||
           baro_glob(plan->glob, name);
}

/* Whether it fits with or without its epoch. */
static bool fits_thing(const struct export_plan *plan, const Baro__ThingInfo *thing)
{
    char label[SERIES_LABEL_BYTES];
    char epoch_label[SERIES_LABEL_BYTES];
    return fits(plan, thing_label(thing, label)) ||
           fits(plan, thing_epoch_label(thing, epoch_label));
}

/* Which statistics of a tensor the pattern chooses: all with its name, or single ones. */
static uint32_t fitting_stats(
    const struct export_plan *plan, const Baro__ThingInfo *thing, enum reading_kind kind)
{
    char labels[2][SERIES_LABEL_BYTES];
    int n = kind == READING_UNITS ? (int)thing_unit_stats(thing) : SUMMARY_STAT_COUNT;
    uint32_t stats = 0;
    if (fits_thing(plan, thing)) {
        return (UINT32_C(1) << n) - 1;
    }
    (void)thing_label(thing, labels[0]);
    (void)thing_epoch_label(thing, labels[1]);
    for (int i = 0; i < 2 * n; i++) {
        char name[SERIES_LABEL_BYTES + 32];
        int stat = i % n;
        (void)snprintf(name, sizeof name, "%s/%s", labels[i / n],
            kind == READING_UNITS ? unit_stat_name(stat) : summary_stat_name(stat));
        stats |= fits(plan, name) ? 1U << stat : 0;
    }
    return stats;
}

/* About how many of n readings lie in the range asked for. */
static uint64_t share_in_range(
    const struct export_plan *plan, int64_t first, int64_t last, uint64_t n)
{
    int64_t from = plan->from > first ? plan->from : first;
    int64_t to = plan->to < last ? plan->to : last;
    if (first > last || from > to) {
        return first > last ? n : 0;
    }
    double share = ((double)to - (double)from + 1) / ((double)last - (double)first + 1);
    return (uint64_t)((double)n * share);
}

uint64_t export_item_values(const struct export_item *item)
{
    uint64_t n = (uint64_t)__builtin_popcount(item->stats);
    if (item->kind == READING_UNITS) {
        n *= item->thing->declare->n_units;
    }
    return n + (item->with_histogram || item->stats == 0 ? 1 : 0);
}

static void add_item(struct export_plan *plan, struct export_item item)
{
    if (item.stats != 0) {
        item.first_stat = (uint32_t)__builtin_ctz(item.stats);
        item.n_stats = 32 - (uint32_t)__builtin_clz(item.stats) - item.first_stat;
    }
    if (item.with_histogram) { /* comes with whole records only */
        item.first_stat = 0;
        item.n_stats = SUMMARY_STAT_COUNT;
    }
    if ((plan->n_items & (plan->n_items - 1)) == 0) { /* full: room is a power of two */
        size_t room = plan->n_items > 0 ? 2 * plan->n_items : 1;
        plan->items = baro_xrealloc(plan->items, room, sizeof *plan->items);
    }
    plan->items[plan->n_items++] = item;
    plan->n_values += item.n_rows * export_item_values(&item);
}

static void add_tensor(struct export_plan *plan, const Baro__ThingInfo *thing)
{
    uint64_t n_rows = share_in_range(
        plan, thing->first_step, thing->last_step, thing->n_points + thing->n_inherited);
    bool is_named = fits_thing(plan, thing);
    struct export_item item = {.thing = thing, .kind = READING_SUMMARY, .n_rows = n_rows};
    item.stats = export_has(plan, EXPORT_SUMMARIES)
                     ? fitting_stats(plan, thing, READING_SUMMARY)
                     : 0;
    item.with_histogram = export_has(plan, EXPORT_HISTOGRAMS) && is_named;
    plan->has_histograms_out |= is_named && !item.with_histogram;
    if (item.stats != 0 || item.with_histogram) {
        add_item(plan, item);
        plan->n_pruned += thing->n_pruned + thing->n_inherited_pruned;
    }
    item = (struct export_item){.thing = thing, .kind = READING_UNITS};
    item.n_rows =
        share_in_range(plan, thing->first_step, thing->last_step, thing->n_unit_points);
    item.stats =
        thing->declare->n_units > 0 ? fitting_stats(plan, thing, READING_UNITS) : 0;
    if (item.stats != 0 && export_has(plan, EXPORT_UNITS)) {
        add_item(plan, item);
    } else if (item.stats != 0) {
        plan->n_unit_points += thing->n_unit_points;
    }
}

static void add_thing(struct export_plan *plan, const Baro__ThingInfo *thing)
{
    if (thing_is_tensor(thing)) {
        add_tensor(plan, thing);
    } else if (export_has(plan, EXPORT_SCALARS) && fits_thing(plan, thing)) {
        plan->n_pruned += thing->n_pruned + thing->n_inherited_pruned;
        add_item(plan, (struct export_item){
                           .thing = thing,
                           .kind = READING_SCALAR,
                           .n_rows = share_in_range(plan, thing->first_step,
                               thing->last_step, thing->n_points + thing->n_inherited),
                       });
    }
}

/* What belongs to the run: with a pattern only what it names, or --kind. */
static void add_run(struct export_plan *plan, const Baro__RunInfo *run)
{
    bool is_plain = plan->glob == NULL || plan->is_kinds_given;
    uint64_t n_steps = share_in_range(plan, run->first_step, run->last_step,
        run->n_steps > 0 ? (uint64_t)run->n_steps : 0);
    if (export_has(plan, EXPORT_STEPS) && fits(plan, step_time)) {
        add_item(plan, (struct export_item){.kind = READING_STEP, .n_rows = n_steps});
    }
    if (export_has(plan, EXPORT_BATCHES) && is_plain) {
        add_item(plan, (struct export_item){.kind = READING_BATCH, .n_rows = n_steps});
    }
    if (export_has(plan, EXPORT_RESULTS) && is_plain) {
        add_item(plan, (struct export_item){.kind = READING_SAMPLES, .n_rows = n_steps});
    }
    if (!is_plain) {
        plan->kinds &= ~(1U << EXPORT_EVENTS | 1U << EXPORT_ALERTS | 1U << EXPORT_NOTES);
    }
}

/* ---- saying what there is ---- */

static int say_nothing_fits(const struct export_plan *plan, const struct thing_list *things)
{
    char list[1024] = "";
    size_t n_names = things->n_things + 1;
    baro_autofree char *labels = baro_xcalloc(n_names, SERIES_LABEL_BYTES);
    baro_autofree const char **names = baro_xcalloc(n_names, sizeof *names);
    for (size_t i = 0; i < things->n_things; i++) {
        names[i] = labels + i * SERIES_LABEL_BYTES;
        (void)thing_label(things->things[i], labels + i * SERIES_LABEL_BYTES);
    }
    names[n_names - 1] = step_time;
    const char *near = plan->glob != NULL && strpbrk(plan->glob, "*?[") == NULL
                           ? baro_nearest(plan->glob, names, n_names)
                           : NULL;
    if (near != NULL && strcmp(near, plan->glob) != 0) {
        return cli_fail("no series '%s'; did you mean '%s'?", plan->glob, near);
    }
    for (size_t i = 0; i < n_names && i < MAX_NAMED; i++) {
        size_t used = strlen(list);
        (void)snprintf(
            list + used, sizeof list - used, "%s'%.100s'", i > 0 ? ", " : "", names[i]);
    }
    if (n_names > MAX_NAMED) {
        size_t used = strlen(list);
        (void)snprintf(
            list + used, sizeof list - used, " and %zu more", n_names - MAX_NAMED);
    }
    if (plan->glob != NULL) {
        return cli_fail("no series of the kinds asked for is named '%s'; there are %s",
            plan->glob, list);
    }
    return cli_fail("nothing of the kinds asked for is there; there are %s", list);
}

int export_plan_make(
    struct export_plan *plan, const struct thing_list *things, const Baro__RunInfo *run)
{
    for (size_t i = 0; i < things->n_things; i++) {
        add_thing(plan, things->things[i]);
    }
    add_run(plan, run);
    bool has_lists = export_has(plan, EXPORT_EVENTS) || export_has(plan, EXPORT_ALERTS) ||
                     export_has(plan, EXPORT_NOTES);
    return plan->n_items > 0 || has_lists ? CLI_OK : say_nothing_fits(plan, things);
}

void export_plan_finish(struct export_plan *plan)
{
    free(plan->items);
    plan->items = NULL;
    plan->n_items = 0;
}
