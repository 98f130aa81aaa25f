/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/model/keeper_inner.h"
#include "lib/base/mem.h"

/*
 * The story of the run's incident: what its plan wants is asked for (readings of a window, columns
 * of all of the run, batches), then it is told, and what made the operand that broke is worked out
 * slice by slice between messages, each slice a finding that can be shown.
 */

enum {
    SLICE_ELEMENTS = 1 << 21,
    MAX_RESULTS = 256, /* rows of what samples gave */
    MAX_STATES = 4096
};

/* ---- telling ---- */

static void touch(struct keeper *keeper)
{
    keeper->probing.is_why_changed = true;
    keeper->is_changed = true;
}

static enum credit_mode wished_mode(const struct keeper *keeper)
{
    return keeper->wish.why_mode != 0 ? keeper->wish.why_mode : CREDIT_VALUE;
}

/* Begin to explain the operand, the first hop of the story's way upstream, in the mode that is wished
 * for. */
static void begin_credit(struct keeper *keeper)
{
    struct probing *probing = &keeper->probing;
    struct model_why *told = probing->told;
    struct baro_err err = {0};
    const enum credit_mode mode = wished_mode(keeper);
    credit_free(probing->credit);
    probing->credit = NULL;
    probing->stage = PROBING_REST;
    told->credit = (struct model_credit){.mode = mode};
    told->has_credit = false;
    told->untold[0] = '\0';
    if (told->failure == NULL || told->story.n_hops == 0 ||
        !told->failure->probe->has_origin) {
        return;
    }
    const struct probe *probe = told->failure->probe;
    const struct probe *calm =
        mode == CREDIT_CHANGE && told->calm != NULL ? told->calm->probe : NULL;
    told->credit.target = why_credit_target(probe, told->story.hops[0].value);
    const char *none = mode == CREDIT_GRADIENT ? why_no_gradient(probe) : "";
    if (none[0] != '\0') {
        (void)snprintf(told->untold, sizeof told->untold, "%s", none);
    } else if (mode == CREDIT_CHANGE && calm == NULL) {
        (void)snprintf(told->untold, sizeof told->untold,
            "There is no probe of a calm step before it to compare with.");
    } else if (credit_begin(
                   &probing->credit, mode, probe, calm, &told->credit.target, &err) != 0) {
        (void)snprintf(
            told->untold, sizeof told->untold, "That cannot be said: %.180s.", err.text);
        probing->credit = NULL;
    } else {
        probing->stage = PROBING_CREDIT;
    }
}

static void tell(struct keeper *keeper)
{
    struct probing *probing = &keeper->probing;
    const struct fetch *fetch = &probing->fetches[PROBING_OF_FAILURE];
    struct model_why *old = probing->told;
    credit_free(probing->credit); /* it borrows from the old story's probe */
    probing->credit = NULL;
    probing->told = inquiry_tell(probing->inquiry);
    part_unref(old);
    const bool is_said = probing->told->failure == NULL && probing->others.pieces > 0;
    (void)snprintf(probing->told->trouble, sizeof probing->told->trouble, "%s",
        is_said ? "" : fetch->trouble);
    inquiry_destroy(probing->inquiry);
    probing->inquiry = NULL;
    begin_credit(keeper);
    touch(keeper);
}

void keeper_why_begin(struct keeper *keeper)
{
    struct probing *probing = &keeper->probing;
    inquiry_destroy(probing->inquiry);
    probing->inquiry = inquiry_create(probing->lists, probing->incident,
        probing->loaded[PROBING_OF_FAILURE], probing->loaded[PROBING_OF_CALM],
        &probing->others);
    probing->stage = PROBING_WINDOW;
    touch(keeper);
}

static void take_credit(const struct credit_finding *finding, struct model_credit *out)
{
    out->is_done = finding->is_done;
    out->fraction = finding->fraction;
    out->total = finding->total;
    out->explained = finding->explained;
    out->error_bound = finding->error_bound;
    out->n_nodes = finding->n_nodes < MODEL_MAX_CREDIT_NODES ? finding->n_nodes
                                                             : MODEL_MAX_CREDIT_NODES;
    out->n_edges = finding->n_edges < MODEL_MAX_CREDIT_EDGES ? finding->n_edges
                                                             : MODEL_MAX_CREDIT_EDGES;
    out->n_units = finding->n_units < MODEL_MAX_CREDIT_UNITS ? finding->n_units
                                                             : MODEL_MAX_CREDIT_UNITS;
    memcpy(out->nodes, finding->nodes, out->n_nodes * sizeof out->nodes[0]);
    memcpy(out->edges, finding->edges, out->n_edges * sizeof out->edges[0]);
    memcpy(out->units, finding->units, out->n_units * sizeof out->units[0]);
}

bool keeper_work(struct keeper *keeper)
{
    struct probing *probing = &keeper->probing;
    const bool is_idle = probing->stage == PROBING_REST || probing->stage == PROBING_CREDIT;
    if (keeper->wish.wants_why && is_idle && probing->told != NULL &&
        probing->told->credit.mode != wished_mode(keeper)) {
        begin_credit(keeper);
        touch(keeper);
    }
    if (probing->stage != PROBING_CREDIT || !keeper->wish.wants_why) {
        return false;
    }
    bool has_more = credit_work(probing->credit, SLICE_ELEMENTS);
    take_credit(credit_look(probing->credit), &probing->told->credit);
    probing->told->has_credit = true;
    (void)snprintf(probing->told->untold, sizeof probing->told->untold, "%s",
        credit_nothing(probing->told->credit.mode, credit_look(probing->credit)));
    if (!has_more) {
        credit_free(probing->credit);
        probing->credit = NULL;
        probing->stage = PROBING_REST;
    }
    touch(keeper);
    return has_more;
}

/* ---- asking ---- */

static bool ask_series(
    struct keeper *keeper, Baro__Envelope *out, int64_t from, int64_t to, uint32_t columns)
{
    struct probing *probing = &keeper->probing;
    const struct why_plan *plan = inquiry_plan(probing->inquiry);
    Baro__RangeRequest *range = &keeper->body.range;
    if (plan->n_wants == 0) {
        return false;
    }
    baro__range_request__init(range);
    for (size_t i = 0; i < plan->n_wants; i++) {
        Baro__SeriesRef *ref = &probing->refs[i];
        baro__series_ref__init(ref);
        ref->thing = plan->wants[i].thing;
        ref->kind = plan->wants[i].kind;
        ref->stat = (uint32_t)plan->wants[i].stat;
        ref->unit = (int32_t)(plan->wants[i].unit >= 0 ? plan->wants[i].unit : 0);
        probing->ref_pointers[i] = ref;
    }
    range->run = probing->run;
    range->n_series = plan->n_wants;
    range->series = probing->ref_pointers;
    range->from_step = from;
    range->to_step = to;
    range->columns = columns;
    out->body_case = BARO__ENVELOPE__BODY_RANGE_REQUEST;
    out->range_request = range;
    return true;
}

/* As many rows as are cheap, those of the last steps: to find the newest of a million steps the
 * daemon would read them all. */
static bool ask_rows(
    struct keeper *keeper, Baro__Envelope *out, enum reading_kind kind, uint32_t limit)
{
    enum { NEAR_STEPS = 64 };
    struct probing *probing = &keeper->probing;
    const struct why_plan *plan = inquiry_plan(probing->inquiry);
    const struct model_run *run = model_run_find(probing->lists, probing->run);
    Baro__RowsRequest *rows = &keeper->body.rows;
    if (!plan->wants_batches || limit == 0) {
        return false;
    }
    const int64_t first_step = run != NULL ? run->first_step : 0;
    const int64_t back = limit > NEAR_STEPS ? limit : NEAR_STEPS;
    baro__rows_request__init(rows);
    rows->run = probing->run;
    rows->kind = (uint32_t)kind;
    rows->from_step = plan->step - first_step > back ? plan->step - back : first_step;
    rows->to_step = plan->step;
    rows->limit = limit;
    out->body_case = BARO__ENVELOPE__BODY_ROWS_REQUEST;
    out->rows_request = rows;
    return true;
}

/* One number of each state: only their steps are wanted. */
static bool ask_states(struct keeper *keeper, Baro__Envelope *out)
{
    Baro__RowsRequest *rows = &keeper->body.rows;
    baro__rows_request__init(rows);
    rows->run = keeper->probing.run;
    rows->kind = READING_RNG;
    rows->from_step = INT64_MIN;
    rows->to_step = INT64_MAX;
    rows->limit = MAX_STATES;
    rows->n_columns = 1;
    out->body_case = BARO__ENVELOPE__BODY_ROWS_REQUEST;
    out->rows_request = rows;
    return true;
}

bool keeper_why_ask(struct keeper *keeper, Baro__Envelope *out)
{
    struct probing *probing = &keeper->probing;
    if (probing->stage == PROBING_CREDIT || probing->inquiry == NULL) {
        return false;
    }
    const struct why_plan *plan = inquiry_plan(probing->inquiry);
    const struct model_run *run = model_run_find(probing->lists, probing->run);
    bool has_asked = false;
    while (!has_asked && probing->stage <= PROBING_STATES) {
        switch ((int)probing->stage) {
        case PROBING_WINDOW:
            has_asked = ask_series(keeper, out, plan->from, plan->to, 0);
            break;
        case PROBING_PAST:
            has_asked = plan->wants_past &&
                        ask_series(keeper, out, run != NULL ? run->first_step : 0, plan->to,
                            INQUIRY_PAST_COLUMNS);
            break;
        case PROBING_ONE_BATCH: has_asked = ask_rows(keeper, out, READING_BATCH, 1); break;
        case PROBING_BATCHES:
            has_asked = ask_rows(keeper, out, READING_BATCH, probing->n_batches);
            break;
        case PROBING_RESULTS:
            has_asked = ask_rows(keeper, out, READING_SAMPLES,
                probing->n_batches < MAX_RESULTS ? probing->n_batches : MAX_RESULTS);
            break;
        default: has_asked = ask_states(keeper, out); break;
        }
        if (!has_asked && probing->stage == PROBING_STATES) {
            tell(keeper);
            return false;
        }
        probing->stage = has_asked ? probing->stage : probing->stage + 1;
    }
    return has_asked;
}

/* ---- taking ---- */

static void take_series(struct keeper *keeper, const Baro__Envelope *envelope,
    const struct keeper_frame *frames, size_t n_frames)
{
    struct probing *probing = &keeper->probing;
    const struct why_plan *plan = inquiry_plan(probing->inquiry);
    bool fits = envelope->body_case == BARO__ENVELOPE__BODY_RANGE_REPLY &&
                n_frames == plan->n_wants;
    for (size_t i = 0; fits && i < n_frames; i++) {
        inquiry_add_series(
            probing->inquiry, &plan->wants[i], probing->stage == PROBING_PAST, &frames[i]);
    }
}

void keeper_why_take(struct keeper *keeper, const Baro__Envelope *envelope,
    const struct keeper_frame *frames, size_t n_frames)
{
    struct probing *probing = &keeper->probing;
    bool is_rows = envelope->body_case == BARO__ENVELOPE__BODY_ROWS_REPLY && n_frames > 0 &&
                   ((uintptr_t)frames[0].bytes & 7U) == 0;
    switch ((int)probing->stage) {
    case PROBING_WINDOW:
    case PROBING_PAST: take_series(keeper, envelope, frames, n_frames); break;
    case PROBING_ONE_BATCH: {
        size_t n = is_rows ? frames[0].n_bytes / sizeof(int64_t) + 1 : 0;
        size_t n_cheap = n > 0 ? INQUIRY_MAX_BATCH_NUMBERS / n : 0;
        n_cheap = n > 0 && n_cheap < 1 ? 1 : n_cheap;
        probing->n_batches =
            (uint32_t)(n_cheap < INQUIRY_MAX_BATCHES ? n_cheap : INQUIRY_MAX_BATCHES);
        break;
    }
    case PROBING_BATCHES:
        if (is_rows) {
            inquiry_add_batches(probing->inquiry, &frames[0]);
        }
        break;
    case PROBING_RESULTS:
        if (is_rows) {
            inquiry_add_results(probing->inquiry, &frames[0]);
        }
        break;
    case PROBING_STATES:
        if (is_rows) {
            inquiry_add_states(probing->inquiry, &frames[0]);
        }
        tell(keeper);
        return;
    default: return;
    }
    probing->stage++;
}

/* ---- publishing ---- */

static const char *what_is_done(enum probing_stage stage)
{
    switch ((int)stage) {
    case PROBING_REST: return "";
    case PROBING_LIST_FAILURES:
    case PROBING_LIST: return "Looking for recorded operations.";
    case PROBING_FETCH: return "Reading the recorded operations.";
    case PROBING_CREDIT: return "Working out what made it.";
    default: return "Reading the steps before it.";
    }
}

static void finish_why(void *part)
{
    struct model_why *why = part;
    part_unref(why->failure);
    part_unref(why->calm);
}

const struct model_why *keeper_why_publish(struct keeper *keeper)
{
    struct probing *probing = &keeper->probing;
    if (!keeper->wish.wants_why) {
        return NULL;
    }
    struct model_why *why = part_create(sizeof *why, finish_why);
    if (probing->told != NULL) {
        *why = *probing->told;
        (void)part_ref(why->failure);
        (void)part_ref(why->calm);
    }
    why->is_done = probing->stage == PROBING_REST && probing->told != NULL;
    (void)snprintf(why->doing, sizeof why->doing, "%s",
        why->is_done                     ? ""
        : probing->stage == PROBING_REST ? "Reading."
                                         : what_is_done(probing->stage));
    probing->is_why_changed = false;
    return why;
}

void keeper_why_reset(struct keeper *keeper, bool findings)
{
    struct probing *probing = &keeper->probing;
    inquiry_destroy(probing->inquiry);
    probing->inquiry = NULL;
    credit_free(probing->credit);
    probing->credit = NULL;
    if (findings) {
        part_unref(probing->told);
        probing->told = NULL;
    }
}
