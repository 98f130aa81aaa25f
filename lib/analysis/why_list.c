/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/why_inside.h"
#include "lib/base/mem.h"

/*
 * Which of what a run has is looked into: of its incidents one, of its alerts those of that one and
 * of what may have led to it, of its probes the failure and the calm step before it. Baro and the
 * viewer ask for the lists in their own ways and choose with this.
 */

enum {
    NEAR_STEPS = 64,     /* a failure so shortly before an incident belongs to it */
    BROKE_OFF_STEPS = 16 /* a run that went on longer was not ended by it */
};

/* ---- incidents and alerts ---- */

static const struct why_alert *find_alert(const struct why_lists *lists, uint64_t id)
{
    for (size_t i = 0; i < lists->n_alerts; i++) {
        if (lists->alerts[i].id == id) {
            return &lists->alerts[i];
        }
    }
    return NULL;
}

/* Of outputs and data alone it may be meant: what is masked behind them does no harm. */
static bool is_ruin(const struct why_alert *alert)
{
    return strcmp(alert->kind, "nonfinite") == 0 && alert->role != BARO_ACT &&
           alert->role != BARO_INPUT;
}

static struct why_choice choice_of(
    const struct why_lists *lists, const struct why_listed *incident)
{
    struct why_choice choice = {.level = incident->level,
        .first_step = incident->first_step,
        .last_step = incident->last_step};
    for (size_t k = 0; k < incident->n_alerts && !choice.is_nonfinite; k++) {
        const struct why_alert *alert = find_alert(lists, incident->alerts[k]);
        choice.is_nonfinite = alert != NULL && is_ruin(alert);
    }
    return choice;
}

static bool is_whole(const struct probe_entry *entry)
{
    return entry->n_here >= entry->n_pieces;
}

/* The first whole failure with which the run broke off; NULL: there is none. */
static const struct probe_entry *last_failure(
    const struct probe_list *probes, int64_t last_step)
{
    for (size_t i = 0; i < probes->n; i++) {
        const struct probe_entry *entry = &probes->entries[i];
        if (entry->reason == PROBE_FAILURE && is_whole(entry) &&
            last_step - entry->step < BROKE_OFF_STEPS) {
            return entry;
        }
    }
    return NULL;
}

size_t why_choose_listed(const struct why_lists *lists, const struct probe_list *probes,
    int64_t last_step, int64_t step)
{
    const size_t n = lists->n_incidents;
    baro_autofree struct why_choice *choices = baro_xcalloc(n + 1, sizeof *choices);
    for (size_t i = 0; i < n; i++) {
        choices[i] = choice_of(lists, &lists->incidents[i]);
    }
    const size_t chosen = why_choose(choices, n, step != INT64_MIN, step);
    const struct probe_entry *failure = last_failure(probes, last_step);
    if (step != INT64_MIN || chosen == n || failure == NULL ||
        choices[chosen].is_nonfinite) {
        return chosen;
    }
    const bool is_in = failure->step + NEAR_STEPS >= choices[chosen].first_step &&
                       failure->step <= choices[chosen].last_step;
    return is_in ? chosen : n;
}

size_t why_gather_alerts(
    const struct why_lists *lists, size_t chosen, struct why_alert *out)
{
    size_t n = 0;
    if (chosen >= lists->n_incidents) {
        return 0;
    }
    const struct why_listed *to = &lists->incidents[chosen];
    const struct why_choice chosen_one = choice_of(lists, to);
    for (size_t i = 0; i < lists->n_incidents; i++) {
        const struct why_listed *incident = &lists->incidents[i];
        const struct why_choice other = choice_of(lists, incident);
        const bool is_before = incident != to && why_may_have_led(&other, &chosen_one);
        for (size_t k = 0; (is_before || incident == to) && k < incident->n_alerts; k++) {
            const struct why_alert *alert = find_alert(lists, incident->alerts[k]);
            /* One that was noticed only afterwards may be dated back too far. */
            const bool is_late =
                is_before && alert != NULL && alert->noticed_step > to->first_step;
            if (alert != NULL && !is_late && n < lists->n_alerts) {
                out[n] = *alert;
                out[n++].is_before = is_before;
            }
        }
    }
    why_sort_alerts(out, n);
    return n;
}

/* ---- probes ---- */

static bool belongs_to(
    const struct probe_entry *entry, const struct why_incident *incident, int64_t step)
{
    return incident == NULL || (step != INT64_MIN && entry->step == step) ||
           (entry->step + NEAR_STEPS >= incident->first_step &&
               entry->step <= incident->last_step);
}

static void note_other(struct why_others *others, const struct probe_entry *entry)
{
    if (!is_whole(entry)) {
        if (others->pieces == 0) {
            others->cut_step = entry->step;
            others->pieces = entry->n_pieces;
            others->pieces_here = entry->n_here;
        }
        return;
    }
    if (others->n < WHY_MAX_OTHERS) {
        others->steps[others->n] = entry->step;
    }
    others->n++;
}

const struct probe_entry *why_choose_failure(const struct probe_list *list,
    const struct why_incident *incident, int64_t step, struct why_others *out_others)
{
    const struct probe_entry *best = NULL;
    *out_others = (struct why_others){0};
    for (size_t i = 0; i < list->n; i++) {
        const struct probe_entry *entry = &list->entries[i];
        if (entry->reason != PROBE_FAILURE || !belongs_to(entry, incident, step)) {
            continue;
        }
        const bool is_asked = entry->step == step && best != NULL && best->step != step;
        if (best == NULL || (!is_whole(best) && is_whole(entry)) ||
            (is_asked && is_whole(entry))) {
            best = entry;
        }
    }
    for (size_t i = 0; i < list->n; i++) {
        const struct probe_entry *entry = &list->entries[i];
        if (entry->reason == PROBE_FAILURE && (entry != best || !is_whole(entry))) {
            note_other(out_others, entry);
        }
    }
    return best;
}

const struct probe_entry *why_choose_calm(const struct probe_list *list, int64_t before)
{
    const struct probe_entry *best = NULL;
    for (size_t i = 0; i < list->n; i++) {
        const struct probe_entry *entry = &list->entries[i];
        if (entry->reason != PROBE_FAILURE && entry->step < before && is_whole(entry) &&
            (best == NULL || entry->step > best->step)) {
            best = entry;
        }
    }
    return best;
}

/* ---- rows ---- */

static int compare_batches(const void *a, const void *b)
{
    const struct why_batch *x = a;
    const struct why_batch *y = b;
    return (x->step > y->step) - (x->step < y->step);
}

size_t why_take_batches(const void *bytes, size_t n_bytes, struct why_batch **out)
{
    const uint8_t *at = bytes;
    const uint8_t *end = at + n_bytes;
    struct record_header header;
    const uint8_t *payload = NULL;
    struct why_batch *list = NULL;
    size_t n = 0;
    while (record_next(&at, end, &header, &payload) > 0) {
        if (header.kind != READING_BATCH || header.payload_bytes < sizeof(double)) {
            continue;
        }
        list = baro_xrealloc(list, n + 1, sizeof *list);
        list[n++] = (struct why_batch){.step = header.step,
            .n = (header.payload_bytes - sizeof(double)) / sizeof(int64_t),
            .samples = (const int64_t *)(const void *)(payload + sizeof(double))};
    }
    if (n > 0) {
        qsort(list, n, sizeof *list, compare_batches);
    }
    *out = list;
    return n;
}

static int compare_results(const void *a, const void *b)
{
    const struct why_results *x = a;
    const struct why_results *y = b;
    return (x->step > y->step) - (x->step < y->step);
}

size_t why_take_results(const void *bytes, size_t n_bytes, struct why_results **out)
{
    const uint8_t *at = bytes;
    const uint8_t *end = at + n_bytes;
    struct record_header header;
    const uint8_t *payload = NULL;
    struct why_results *list = NULL;
    size_t n = 0;
    while (record_next(&at, end, &header, &payload) > 0) {
        if (header.kind != READING_SAMPLES || header.payload_bytes < sizeof(double)) {
            continue;
        }
        list = baro_xrealloc(list, n + 1, sizeof *list);
        list[n++] = (struct why_results){.step = header.step,
            .n = (header.payload_bytes - sizeof(double)) / sizeof(struct reading_sample),
            .samples =
                (const struct reading_sample *)(const void *)(payload + sizeof(double))};
    }
    if (n > 0) {
        qsort(list, n, sizeof *list, compare_results);
    }
    *out = list;
    return n;
}
