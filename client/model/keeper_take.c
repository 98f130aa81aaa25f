/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "client/model/keeper_inner.h"

/* What arrives: answers to questions, and news. */

/* ---- answers ---- */

/* A frame as columns; NULL when its size is not n_series blocks of n_columns. */
static const struct wire_column *columns_of(
    const struct keeper_frame *frame, size_t n_series, size_t n_columns)
{
    size_t bytes = 0;
    if (__builtin_mul_overflow(n_series, n_columns, &bytes) ||
        __builtin_mul_overflow(bytes, sizeof(struct wire_column), &bytes) ||
        frame->n_bytes != bytes || ((uintptr_t)frame->bytes & 7U) != 0) {
        return NULL;
    }
    return (const struct wire_column *)(const void *)frame->bytes;
}

static void settle(struct cover *cover, const struct pending *pending)
{
    cover->have = pending->grid;
    cover->is_open = pending->is_open;
    cover->asked = (struct grid){0};
}

static void take_series(struct keeper *keeper, const struct pending *pending,
    const Baro__RangeReply *reply, const struct keeper_frame *frames, size_t n_frames)
{
    for (size_t i = 0; i < pending->n_refs; i++) {
        struct entry *entry =
            keeper_find(keeper, pending->refs[i], pending->is_coarse, NULL);
        if (entry == NULL || !grid_equal(entry->cover.asked, pending->grid)) {
            continue; /* no longer wished for, or wished for again since */
        }
        settle(&entry->cover, pending);
        const struct wire_column *columns =
            reply != NULL && i < n_frames ? columns_of(&frames[i], 1, reply->n_columns)
                                          : NULL;
        entry->n_coarse = reply != NULL && i < reply->n_n_coarse ? reply->n_coarse[i] : 0;
        strip_load(&entry->strip, pending->grid.width, columns,
            columns != NULL ? reply->n_columns : 0);
        keeper_touch_entry(keeper, entry);
    }
}

static void take_units(struct keeper *keeper, const struct pending *pending,
    const Baro__RangeReply *reply, const struct keeper_frame *frames, size_t n_frames)
{
    if (pending->thing != keeper->wish.units_thing ||
        pending->stat != keeper->wish.units_stat ||
        !grid_equal(keeper->units_cover.asked, pending->grid)) {
        return;
    }
    const struct model_thing *thing = keeper_units_thing(keeper);
    settle(&keeper->units_cover, pending);
    keeper_touch_units(keeper);
    if (thing == NULL) {
        return;
    }
    if (keeper->units.n_units != thing->n_units) {
        sheet_finish(&keeper->units);
        sheet_init(&keeper->units, thing->n_units);
    }
    const struct wire_column *columns = NULL;
    const struct wire_column *nonfinite = NULL;
    keeper->units_coarse = reply != NULL && reply->n_n_coarse > 0 ? reply->n_coarse[0] : 0;
    if (reply != NULL && n_frames > 0) {
        columns = columns_of(&frames[0], thing->n_units, reply->n_columns);
    }
    if (reply != NULL && n_frames > 1) {
        nonfinite = columns_of(&frames[1], thing->n_units, reply->n_columns);
    }
    sheet_load(&keeper->units, pending->grid.width, columns != NULL ? reply->n_columns : 0,
        columns, nonfinite);
}

static void add_event(struct keeper *keeper, const struct reading *reading)
{
    double level = reading->f64[0];
    catalog_add_event(keeper->catalog, reading->header.step, reading->header.time_ns,
        level >= BARO_INFO && level < BARO_LEVEL_END ? (enum baro_level)level : BARO_INFO,
        (const char *)reading->extra, reading->extra_bytes);
}

/* Rows of events or summaries. */
static void take_rows(struct keeper *keeper, const struct pending *pending,
    const Baro__RowsReply *reply, const struct keeper_frame *frames, size_t n_frames)
{
    bool is_hist = pending->kind == PENDING_HIST;
    if (is_hist) {
        if (pending->thing != keeper->wish.hist_thing) {
            return;
        }
        settle(&keeper->hist_cover, pending);
        hist_finish(&keeper->hist);
        keeper->hist.every = hist_every(pending->grid.from, grid_to(pending->grid));
        keeper->hist_is_cut = reply != NULL && reply->is_cut;
        keeper_touch_hist(keeper);
    }
    if (reply == NULL || n_frames == 0 || ((uintptr_t)frames[0].bytes & 7U) != 0) {
        return;
    }
    const uint8_t *cursor = frames[0].bytes;
    const uint8_t *end = cursor + frames[0].n_bytes;
    struct record_header header;
    const uint8_t *payload;
    while (record_next(&cursor, end, &header, &payload) == 1) {
        struct reading reading;
        if (reading_check(&header, payload, 0, 0, &reading, NULL) != 0) {
            continue;
        }
        if (is_hist && header.kind == READING_SUMMARY) {
            hist_add(&keeper->hist, &reading);
        } else if (!is_hist && header.kind == READING_EVENT) {
            add_event(keeper, &reading);
        }
    }
}

static void take_need(
    struct keeper *keeper, const struct pending *pending, const Baro__Envelope *envelope)
{
    bool is_of_run = pending->run == keeper->wish.run;
    if (pending->need == NEED_RUNS &&
        envelope->body_case == BARO__ENVELOPE__BODY_RUNS_REPLY) {
        catalog_set_runs(
            keeper->catalog, envelope->runs_reply->runs, envelope->runs_reply->n_runs);
        keeper->has_runs = true;
    } else if (pending->need == NEED_THINGS && is_of_run) {
        if (envelope->body_case == BARO__ENVELOPE__BODY_SERIES_REPLY) {
            catalog_set_things(keeper->catalog, envelope->series_reply->things,
                envelope->series_reply->n_things);
        }
        keeper->has_things = true;
    } else if (pending->need == NEED_ALERTS && is_of_run) {
        if (envelope->body_case == BARO__ENVELOPE__BODY_ALERTS_REPLY) {
            catalog_add_alerts(keeper->catalog, envelope->alerts_reply->alerts,
                envelope->alerts_reply->n_alerts);
            catalog_add_incidents(keeper->catalog, envelope->alerts_reply->incidents,
                envelope->alerts_reply->n_incidents);
        }
        keeper->has_alerts = true;
    } else if (pending->need == NEED_NOTES && is_of_run &&
               envelope->body_case == BARO__ENVELOPE__BODY_NOTES_REPLY) {
        catalog_set_notes(
            keeper->catalog, envelope->notes_reply->notes, envelope->notes_reply->n_notes);
    }
}

static void take_answer(struct keeper *keeper, const struct pending *pending,
    const Baro__Envelope *envelope, const struct keeper_frame *frames, size_t n_frames)
{
    const Baro__RangeReply *range = envelope->body_case == BARO__ENVELOPE__BODY_RANGE_REPLY
                                        ? envelope->range_reply
                                        : NULL;
    const Baro__RowsReply *rows = envelope->body_case == BARO__ENVELOPE__BODY_ROWS_REPLY
                                      ? envelope->rows_reply
                                      : NULL;
    keeper->is_changed = true;
    switch (pending->kind) {
    case PENDING_NEED:
        take_need(keeper, pending, envelope);
        if (pending->need == NEED_EVENTS && pending->run == keeper->wish.run) {
            take_rows(keeper, pending, rows, frames, n_frames);
        }
        break;
    case PENDING_SERIES: take_series(keeper, pending, range, frames, n_frames); break;
    case PENDING_UNITS: take_units(keeper, pending, range, frames, n_frames); break;
    case PENDING_HIST: take_rows(keeper, pending, rows, frames, n_frames); break;
    }
}

/* ---- news ---- */

static void mark_stale(struct keeper *keeper, struct cover *cover)
{
    if (!cover->is_stale) {
        cover->is_stale = true;
        cover->stale_since = keeper->n_published;
    }
}

static void add_to_series(
    struct keeper *keeper, struct entry *entry, int64_t step, double value)
{
    if (!strip_add(&entry->strip, step, value)) {
        mark_stale(keeper, &entry->cover);
    }
    keeper_touch_entry(keeper, entry);
}

static void on_value(
    struct keeper *keeper, const struct reading *reading, uint16_t stat, double value)
{
    struct model_ref ref = {reading->header.thing, reading->header.kind, stat, 0};
    for (int coarse = 0; coarse < 2; coarse++) {
        struct entry *entry = keeper_find(keeper, ref, coarse != 0, NULL);
        if (entry != NULL) {
            add_to_series(keeper, entry, reading->header.step, value);
        }
    }
}

static void count_nonfinite(struct keeper *keeper, uint32_t thing, bool is_nonfinite)
{
    struct model_thing *known = catalog_thing(keeper->catalog, thing);
    if (known != NULL && is_nonfinite) {
        known->n_nonfinite++;
        catalog_touch_things(keeper->catalog);
    }
}

static void on_summary(struct keeper *keeper, const struct reading *reading)
{
    uint32_t thing = reading->header.thing;
    for (int coarse = 0; coarse < 2; coarse++) {
        size_t at = 0;
        (void)keeper_find(
            keeper, (struct model_ref){thing, READING_SUMMARY, 0, 0}, coarse != 0, &at);
        for (; at < keeper->n_entries; at++) {
            struct entry *entry = keeper->entries[at];
            if (entry->is_coarse != (coarse != 0) || entry->ref.thing != thing ||
                entry->ref.kind != READING_SUMMARY) {
                break;
            }
            if (entry->ref.stat < reading->n_f64) {
                add_to_series(
                    keeper, entry, reading->header.step, reading->f64[entry->ref.stat]);
            }
        }
    }
    count_nonfinite(keeper, thing,
        reading->f64[SUMMARY_N_NAN] + reading->f64[SUMMARY_N_POS_INF] +
                reading->f64[SUMMARY_N_NEG_INF] >
            0);
    if (thing == keeper->wish.hist_thing && keeper->hist_cover.have.width != 0) {
        hist_add(&keeper->hist, reading);
        keeper_touch_hist(keeper);
    }
}

/* Units that are wished for one by one. */
static void on_single_units(struct keeper *keeper, const struct reading *reading)
{
    const struct model_thing *thing = catalog_thing(keeper->catalog, reading->header.thing);
    if (thing == NULL) {
        return;
    }
    for (int coarse = 0; coarse < 2; coarse++) {
        size_t at = 0;
        (void)keeper_find(keeper, (struct model_ref){thing->thing, READING_UNITS, 0, 0},
            coarse != 0, &at);
        for (; at < keeper->n_entries; at++) {
            struct entry *entry = keeper->entries[at];
            if (entry->is_coarse != (coarse != 0) || entry->ref.thing != thing->thing ||
                entry->ref.kind != READING_UNITS) {
                break;
            }
            size_t place = (size_t)entry->ref.stat * thing->n_units + entry->ref.unit;
            if (entry->ref.unit < thing->n_units && place < reading->n_f32) {
                add_to_series(
                    keeper, entry, reading->header.step, (double)reading->f32[place]);
            }
        }
    }
}

static void on_units(struct keeper *keeper, const struct reading *reading)
{
    on_single_units(keeper, reading);
    const struct model_thing *any = catalog_thing(keeper->catalog, reading->header.thing);
    if (any != NULL) {
        keeper_spread_live(keeper, any, reading);
    }
    const struct model_thing *thing = keeper_units_thing(keeper);
    if (thing == NULL || reading->header.thing != thing->thing ||
        (int)keeper->wish.units_stat >= reading_unit_stats(thing->role)) {
        return;
    }
    if (keeper->units.n_units != thing->n_units) {
        sheet_finish(&keeper->units);
        sheet_init(&keeper->units, thing->n_units);
    }
    size_t n = thing->n_units;
    if (!sheet_add(&keeper->units, reading->header.step,
            reading->f32 + (size_t)keeper->wish.units_stat * n,
            reading->f32 + (size_t)UNIT_N_NONFINITE * n)) {
        mark_stale(keeper, &keeper->units_cover);
    }
    keeper_touch_units(keeper);
}

static void on_reading(struct keeper *keeper, const struct reading *reading)
{
    switch (reading->header.kind) {
    case READING_SCALAR:
        count_nonfinite(keeper, reading->header.thing, !isfinite(reading->f64[0]));
        on_value(keeper, reading, 0, reading->f64[0]);
        break;
    case READING_STEP:
        on_value(keeper, reading, STEP_SECONDS, reading->f64[0]);
        on_value(keeper, reading, STEP_TIME, (double)reading->header.time_ns / 1e9);
        break;
    case READING_SUMMARY: on_summary(keeper, reading); break;
    case READING_UNITS: on_units(keeper, reading); break;
    case READING_EVENT: add_event(keeper, reading); break;
    default: break;
    }
}

static void take_records(struct keeper *keeper, const Baro__LiveRecords *live,
    const struct keeper_frame *frames, size_t n_frames)
{
    if (n_frames == 0 || ((uintptr_t)frames[0].bytes & 7U) != 0) {
        return;
    }
    bool is_of_run = live->run == keeper->wish.run && keeper->has_things;
    const uint8_t *cursor = frames[0].bytes;
    const uint8_t *end = cursor + frames[0].n_bytes;
    struct record_header header;
    const uint8_t *payload;
    while (record_next(&cursor, end, &header, &payload) == 1) {
        catalog_on_step(keeper->catalog, live->run, header.step, header.time_ns);
        const struct model_thing *thing =
            is_of_run ? catalog_thing(keeper->catalog, header.thing) : NULL;
        struct reading reading;
        uint32_t n_units = thing != NULL ? thing->n_units : 0;
        enum baro_role role = thing != NULL ? thing->role : 0;
        if (is_of_run &&
            reading_check(&header, payload, n_units, role, &reading, NULL) == 0) {
            on_reading(keeper, &reading);
        }
    }
    for (size_t i = 0; live->n_left_out > 0 && is_of_run && i < keeper->n_entries; i++) {
        mark_stale(keeper, &keeper->entries[i]->cover);
    }
    if (live->n_left_out > 0 && is_of_run) {
        mark_stale(keeper, &keeper->units_cover);
        mark_stale(keeper, &keeper->hist_cover);
        keeper_spread_missed(keeper);
    }
}

static void take_alert(struct keeper *keeper, Baro__Alert *alert)
{
    if (alert == NULL || alert->run != keeper->wish.run) {
        return;
    }
    catalog_add_alerts(keeper->catalog, &alert, 1);
    struct model_thing *thing = catalog_thing(keeper->catalog, alert->thing);
    if (thing != NULL && alert->level < BARO_LEVEL_END &&
        alert->level > (uint32_t)thing->worst_level) {
        thing->worst_level = (enum baro_level)alert->level;
        catalog_touch_things(keeper->catalog);
    }
}

static void take_news(struct keeper *keeper, const Baro__Envelope *envelope,
    const struct keeper_frame *frames, size_t n_frames)
{
    switch ((int)envelope->body_case) {
    case BARO__ENVELOPE__BODY_LIVE_RECORDS:
        take_records(keeper, envelope->live_records, frames, n_frames);
        break;
    case BARO__ENVELOPE__BODY_LIVE_ALERT:
        take_alert(keeper, envelope->live_alert->alert);
        break;
    case BARO__ENVELOPE__BODY_LIVE_INCIDENT: {
        Baro__Incident *incident = envelope->live_incident->incident;
        if (incident != NULL && incident->run == keeper->wish.run) {
            catalog_add_incidents(keeper->catalog, &incident, 1);
        }
        break;
    }
    case BARO__ENVELOPE__BODY_LIVE_RUN:
        if (envelope->live_run->run != NULL && keeper->has_runs) {
            catalog_set_run(keeper->catalog, envelope->live_run->run);
        }
        break;
    case BARO__ENVELOPE__BODY_LIVE_NOTE: {
        const Baro__Note *note = envelope->live_note->note;
        if (note != NULL && note->run == keeper->wish.run) {
            catalog_add_note(keeper->catalog, note);
        }
        break;
    }
    case BARO__ENVELOPE__BODY_LIVE_THINGS:
        if (envelope->live_things->run == keeper->wish.run) {
            catalog_set_things(keeper->catalog, envelope->live_things->things,
                envelope->live_things->n_things);
        }
        break;
    default: break;
    }
}

void keeper_take(struct keeper *keeper, const Baro__Envelope *envelope,
    const struct keeper_frame *frames, size_t n_frames)
{
    if (envelope->request == 0) {
        take_news(keeper, envelope, frames, n_frames);
        if (keeper->other != NULL) {
            take_news(keeper->other, envelope, frames, n_frames);
        }
        return;
    }
    if (keeper_compare_take(keeper, envelope, frames, n_frames) ||
        keeper_sample_take(keeper, envelope, frames, n_frames) ||
        keeper_probing_take(keeper, envelope, frames, n_frames) ||
        keeper_spread_take(keeper, envelope, frames, n_frames) ||
        keeper_moved_take(keeper, envelope, frames, n_frames)) {
        return;
    }
    for (size_t i = 0; i < KEEPER_MAX_PENDING; i++) {
        struct pending *pending = &keeper->pending[i];
        if (pending->request == envelope->request) {
            struct pending answered = *pending;
            pending->request = 0;
            if (answered.run == keeper->wish.run || answered.kind == PENDING_NEED) {
                take_answer(keeper, &answered, envelope, frames, n_frames);
            }
            return;
        }
    }
    if (keeper->other != NULL) {
        keeper_take(keeper->other, envelope, frames, n_frames);
    }
}
