/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/model/keeper_inner.h"
#include "lib/base/mem.h"

/*
 * The recorded operations of the run, and the story of what went wrong. One question at a time, in
 * stages: which probes there are (numbers of pieces only), the bytes of those that the page needs,
 * then what the story's plan wants (keeper_why.c). Nothing is asked unless a page shows it. What
 * is shown stays on show while it is asked for anew, because something has happened in the run.
 */

enum {
    MAX_BYTES = 48 << 20,  /* of a probe that is fetched */
    AGAIN_MODELS = 30,     /* models between two inquiries */
    LOOK_AGAIN_MODELS = 90 /* until it is looked again for a first probe */
};

/* ---- when ---- */

static bool is_wanted(const struct keeper *keeper)
{
    return keeper->wish.wants_graph || keeper->wish.wants_why;
}

static bool can_begin(const struct keeper *keeper)
{
    return keeper->wish.run != 0 && keeper->needs == 0 && keeper->has_things &&
           keeper->has_alerts;
}

/* Whether all that is wished for has been looked for since anything happened. */
static bool is_told(const struct keeper *keeper)
{
    const struct probing *probing = &keeper->probing;
    return (!keeper->wish.wants_graph || probing->graph != NULL) &&
           (!keeper->wish.wants_why || probing->told != NULL);
}

static bool is_due(const struct keeper *keeper)
{
    const struct probing *probing = &keeper->probing;
    uint64_t since = keeper->n_published - probing->begun_at;
    if (!is_told(keeper)) {
        return true;
    }
    bool is_empty = keeper->wish.wants_graph && probing->graph->probe == NULL &&
                    probing->graph->trouble[0] == '\0';
    bool has_happened = probing->signature != probing->told_signature;
    return (has_happened && since >= AGAIN_MODELS) ||
           (is_empty && since >= LOOK_AGAIN_MODELS);
}

void keeper_probing_note(struct keeper *keeper, const struct model *model)
{
    const struct model_run *run = model_run_find(model, model->run);
    uint64_t sign = run != NULL ? (uint64_t)run->status + 1 : 0;
    for (size_t i = 0; i < model->incidents->n; i++) {
        const struct model_incident *incident = &model->incidents->at[i];
        sign = sign * 1000003 + incident->id * 64 + incident->n_alerts * 2 +
               (incident->is_open ? 1 : 0);
    }
    keeper->probing.signature = sign;
}

static void begin(struct keeper *keeper)
{
    struct probing *probing = &keeper->probing;
    probe_list_finish(&probing->list);
    probing->list = (struct probe_list){0};
    probing->stage = PROBING_LIST_FAILURES;
    probing->cursor = 0;
    probing->run = keeper->wish.run;
    probing->begun_at = keeper->n_published;
}

/* ---- which probes ---- */

/* The lists as they are now, without anything else. */
static struct model *take_lists(struct keeper *keeper)
{
    struct model *model = model_create();
    catalog_publish(keeper->catalog, model);
    model->run = keeper->wish.run;
    keeper->is_changed = true; /* the catalog now counts as published */
    return model;
}

static bool is_whole(const struct probe_entry *entry)
{
    return entry->n_here >= entry->n_pieces;
}

static void set_fetch(
    struct probing *probing, enum probing_use use, const struct probe_entry *entry)
{
    struct fetch *fetch = &probing->fetches[use];
    *fetch = (struct fetch){0};
    if (entry == NULL) {
        return;
    }
    fetch->step = entry->step;
    fetch->serial = entry->serial;
    fetch->reason = entry->reason;
    if (!is_whole(entry)) {
        (void)snprintf(fetch->trouble, sizeof fetch->trouble,
            "Of the operations recorded at step %lld pieces are missing: %u of %u are there.",
            (long long)entry->step, entry->n_here, entry->n_pieces);
    } else if (entry->bytes > MAX_BYTES) {
        (void)snprintf(fetch->trouble, sizeof fetch->trouble,
            "The operations recorded at step %lld take %llu MiB, more than is shown here; "
            "baro why and baro credit read them.",
            (long long)entry->step, (unsigned long long)(entry->bytes >> 20));
    } else {
        fetch->is_wanted = true;
    }
}

/* All probes are listed: choose those that the page needs. */
static void choose(struct keeper *keeper)
{
    struct probing *probing = &keeper->probing;
    part_unref(probing->lists);
    probing->lists = take_lists(keeper);
    keeper_probing_note(keeper, probing->lists);
    probing->told_signature = probing->signature;
    probing->incident = inquiry_choose(probing->lists, &probing->list);
    const struct model_incidents *incidents = probing->lists->incidents;
    struct why_incident incident = {0};
    const bool has_incident = probing->incident < incidents->n;
    if (has_incident) {
        incident.first_step = incidents->at[probing->incident].first_step;
        incident.last_step = incidents->at[probing->incident].last_step;
    }
    const struct probe_entry *failure = why_choose_failure(
        &probing->list, has_incident ? &incident : NULL, INT64_MIN, &probing->others);
    const struct probe_entry *newest = why_choose_calm(&probing->list, INT64_MAX);
    const struct probe_entry *calm =
        failure != NULL ? why_choose_calm(&probing->list, failure->step) : NULL;
    bool has_why = keeper->wish.wants_why;
    set_fetch(probing, PROBING_OF_GRAPH,
        keeper->wish.wants_graph ? (newest != NULL ? newest : failure) : NULL);
    set_fetch(probing, PROBING_OF_FAILURE, has_why ? failure : NULL);
    set_fetch(probing, PROBING_OF_CALM, has_why ? calm : NULL);
    probing->stage = PROBING_FETCH;
}

/* ---- fetching ---- */

/* One that is there already, of whatever use; a new reference. */
static const struct model_probe *find_loaded(
    const struct probing *probing, const struct fetch *fetch)
{
    for (int i = 0; i < PROBING_USE_COUNT; i++) {
        const struct model_probe *probe = probing->loaded[i];
        if (probe != NULL && probe->serial == fetch->serial) {
            return part_ref(probe);
        }
    }
    return NULL;
}

static void set_loaded(
    struct probing *probing, enum probing_use use, const struct model_probe *probe)
{
    part_unref(probing->loaded[use]);
    probing->loaded[use] = probe;
    probing->fetches[use].is_wanted = false;
}

/* The next one to fetch; PROBING_USE_COUNT: none is left. */
static enum probing_use next_fetch(struct probing *probing)
{
    for (int i = 0; i < PROBING_USE_COUNT; i++) {
        struct fetch *fetch = &probing->fetches[i];
        if (fetch->is_wanted) {
            const struct model_probe *known = find_loaded(probing, fetch);
            if (known == NULL) {
                return (enum probing_use)i;
            }
            set_loaded(probing, (enum probing_use)i, known);
        }
    }
    return PROBING_USE_COUNT;
}

static void finish_graph(void *part)
{
    struct model_graph *graph = part;
    part_unref(graph->probe);
}

static void make_graph(struct keeper *keeper)
{
    struct probing *probing = &keeper->probing;
    const struct fetch *fetch = &probing->fetches[PROBING_OF_GRAPH];
    struct model_graph *graph = part_create(sizeof *graph, finish_graph);
    graph->is_ready = true;
    graph->probe = part_ref(probing->loaded[PROBING_OF_GRAPH]);
    (void)snprintf(graph->trouble, sizeof graph->trouble, "%s", fetch->trouble);
    part_unref(probing->graph);
    probing->graph = graph;
    keeper->is_changed = true;
}

/* All that is needed is there, or cannot be had. */
static void end_fetching(struct keeper *keeper)
{
    struct probing *probing = &keeper->probing;
    for (int i = 0; i < PROBING_USE_COUNT; i++) {
        if (probing->loaded[i] != NULL &&
            probing->loaded[i]->serial != probing->fetches[i].serial) {
            set_loaded(probing, (enum probing_use)i, NULL);
        }
    }
    if (keeper->wish.wants_graph) {
        make_graph(keeper);
    }
    if (keeper->wish.wants_why) {
        keeper_why_begin(keeper);
    } else {
        probing->stage = PROBING_REST;
    }
}

/* Begin to put one together; false when there is no memory for it. */
static bool begin_gather(struct probing *probing, enum probing_use use)
{
    struct fetch *fetch = &probing->fetches[use];
    const struct probe_entry *entry = probe_list_find(&probing->list, fetch->serial);
    probe_gather_finish(&probing->gather);
    probing->gather = (struct probe_gather){0};
    probing->use = use;
    if (entry == NULL || probe_gather_init(&probing->gather, entry) != 0) {
        fetch->is_wanted = false;
        (void)snprintf(fetch->trouble, sizeof fetch->trouble,
            "There is no memory for the operations recorded at step %lld.",
            (long long)fetch->step);
        return false;
    }
    probing->is_gathering = true;
    return true;
}

static void end_gather(struct keeper *keeper)
{
    struct probing *probing = &keeper->probing;
    struct fetch *fetch = &probing->fetches[probing->use];
    struct baro_err err = {0};
    void *bytes = NULL;
    size_t n = 0;
    struct model_probe *probe = NULL;
    if (probe_gather_take(&probing->gather, &bytes, &n, &err) == 0) {
        probe = model_probe_create(fetch->serial, bytes, n, &err);
    }
    if (probe == NULL) {
        (void)snprintf(fetch->trouble, sizeof fetch->trouble,
            "The operations recorded at step %lld cannot be read: %.150s",
            (long long)fetch->step, err.text);
    }
    probe_gather_finish(&probing->gather);
    probing->gather = (struct probe_gather){0};
    probing->is_gathering = false;
    set_loaded(probing, probing->use, probe);
}

/* ---- asking ---- */

static void ask_rows(struct keeper *keeper, Baro__Envelope *out, enum reading_kind kind,
    int64_t from, int64_t to, uint32_t n_columns)
{
    Baro__RowsRequest *rows = &keeper->body.rows;
    baro__rows_request__init(rows);
    rows->run = keeper->wish.run;
    rows->kind = (uint32_t)kind;
    rows->from_step = from;
    rows->to_step = to;
    rows->is_forward = true;
    rows->cursor = keeper->probing.cursor;
    rows->n_columns = n_columns;
    out->body_case = BARO__ENVELOPE__BODY_ROWS_REQUEST;
    out->rows_request = rows;
}

/* The next piece of a probe, or the end of fetching; false: nothing to ask. */
static bool ask_fetch(struct keeper *keeper, Baro__Envelope *out)
{
    struct probing *probing = &keeper->probing;
    while (!probing->is_gathering) {
        enum probing_use use = next_fetch(probing);
        if (use == PROBING_USE_COUNT) {
            end_fetching(keeper);
            return false;
        }
        probing->cursor = 0;
        (void)begin_gather(probing, use);
    }
    const struct fetch *fetch = &probing->fetches[probing->use];
    ask_rows(keeper, out, fetch->reason == PROBE_FAILURE ? READING_FAILURE : READING_PROBE,
        fetch->step, fetch->step, 0);
    return true;
}

static bool ask_stage(struct keeper *keeper, Baro__Envelope *out)
{
    switch ((int)keeper->probing.stage) {
    case PROBING_REST: return false;
    case PROBING_LIST_FAILURES:
        ask_rows(keeper, out, READING_FAILURE, INT64_MIN, INT64_MAX, PROBE_PIECE_NUMBERS);
        return true;
    case PROBING_LIST:
        ask_rows(keeper, out, READING_PROBE, INT64_MIN, INT64_MAX, PROBE_PIECE_NUMBERS);
        return true;
    case PROBING_FETCH: return ask_fetch(keeper, out);
    default: return keeper_why_ask(keeper, out);
    }
}

bool keeper_probing_ask(struct keeper *keeper, Baro__Envelope *out)
{
    struct probing *probing = &keeper->probing;
    if (!is_wanted(keeper) || !can_begin(keeper) || probing->request != 0 ||
        probing->is_out) {
        return false;
    }
    if (probing->stage == PROBING_REST) {
        if (!is_due(keeper)) {
            return false;
        }
        begin(keeper);
    }
    enum probing_stage stage = PROBING_REST;
    while (probing->stage != stage) { /* stages with nothing to ask are passed */
        stage = probing->stage;
        if (ask_stage(keeper, out)) {
            probing->is_out = true;
            return true;
        }
    }
    return false;
}

bool keeper_probing_sent(struct keeper *keeper, int64_t request)
{
    struct probing *probing = &keeper->probing;
    if (!probing->is_out) {
        return false;
    }
    probing->is_out = false;
    probing->request = request > 0 ? (uint64_t)request : 0; /* else asked again */
    return true;
}

/* ---- taking ---- */

static void take_numbers(
    struct probing *probing, const struct record_header *header, const uint8_t *payload)
{
    (void)probe_list_add(&probing->list, header->step, header->time_ns,
        (const double *)(const void *)payload);
}

static void take_piece(
    struct probing *probing, const struct record_header *header, const uint8_t *payload)
{
    const size_t n = PROBE_PIECE_NUMBERS * sizeof(double);
    (void)probe_gather_add(&probing->gather, (const double *)(const void *)payload,
        payload + n, header->payload_bytes - n);
}

/* A page of rows; gives whether there are more. */
static bool take_page(struct probing *probing, const Baro__Envelope *envelope,
    const struct keeper_frame *frames, size_t n_frames)
{
    if (envelope->body_case != BARO__ENVELOPE__BODY_ROWS_REPLY) {
        return false;
    }
    const uint8_t *at = n_frames > 0 ? frames[0].bytes : NULL;
    const uint8_t *end = n_frames > 0 ? at + frames[0].n_bytes : NULL;
    struct record_header header;
    const uint8_t *payload = NULL;
    bool is_aligned = n_frames > 0 && ((uintptr_t)at & 7U) == 0;
    while (is_aligned && record_next(&at, end, &header, &payload) == 1) {
        if (header.payload_bytes < PROBE_PIECE_NUMBERS * sizeof(double)) {
            continue;
        }
        if (probing->stage == PROBING_FETCH) {
            take_piece(probing, &header, payload);
        } else {
            take_numbers(probing, &header, payload);
        }
    }
    bool is_moving = envelope->rows_reply->cursor != probing->cursor;
    probing->cursor = envelope->rows_reply->cursor;
    return probing->cursor != 0 && is_moving;
}

bool keeper_probing_take(struct keeper *keeper, const Baro__Envelope *envelope,
    const struct keeper_frame *frames, size_t n_frames)
{
    struct probing *probing = &keeper->probing;
    if (probing->request == 0 || probing->request != envelope->request) {
        return false;
    }
    probing->request = 0;
    keeper->is_changed = true;
    if (probing->stage > PROBING_FETCH) {
        keeper_why_take(keeper, envelope, frames, n_frames);
        return true;
    }
    if (take_page(probing, envelope, frames, n_frames)) {
        return true;
    }
    probing->cursor = 0;
    if (probing->stage == PROBING_LIST_FAILURES) {
        probing->stage = PROBING_LIST;
    } else if (probing->stage == PROBING_LIST) {
        choose(keeper);
    } else if (probing->stage == PROBING_FETCH) {
        end_gather(keeper);
    }
    return true;
}

/* ---- life ---- */

void keeper_probing_reset(struct keeper *keeper, bool findings)
{
    struct probing *probing = &keeper->probing;
    probing->stage = PROBING_REST;
    probing->request = 0;
    probing->is_out = probing->is_gathering = false;
    probe_gather_finish(&probing->gather);
    probing->gather = (struct probe_gather){0};
    probe_list_finish(&probing->list);
    probing->list = (struct probe_list){0};
    part_unref(probing->lists);
    probing->lists = NULL;
    probing->told_signature = ~probing->signature; /* what was under way begins anew */
    keeper_why_reset(keeper, findings);
    if (findings) {
        for (int i = 0; i < PROBING_USE_COUNT; i++) {
            part_unref(probing->loaded[i]);
            probing->loaded[i] = NULL;
        }
        part_unref(probing->graph);
        probing->graph = NULL;
    }
}

bool keeper_probing_is_complete(const struct keeper *keeper)
{
    const struct probing *probing = &keeper->probing;
    return !is_wanted(keeper) || (probing->stage == PROBING_REST && is_told(keeper));
}
