/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/view/oracle.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/probe_pieces.h"
#include "tests/view/oracle_inside.h"
#include "tests/view/oracle_spread.h"

enum { MAX_FRAMES = 64 };

void oracle_send(struct keeper *keeper, Baro__Envelope *envelope, uint64_t request,
    const struct keeper_frame *frames, size_t n)
{
    envelope->request = request;
    keeper_take(keeper, envelope, frames, n);
}

static void answer_range(
    struct oracle *oracle, struct keeper *keeper, const Baro__RangeRequest *range)
{
    struct keeper_frame frames[MAX_FRAMES] = {0};
    int64_t last = oracle->n_steps - 1;
    int64_t from = range->from_step > 0 ? range->from_step : 0;
    int64_t to = range->to_step < last ? range->to_step : last;
    if (from > to || range->is_whole) {
        from = range->from_step;
        to = range->to_step;
    }
    struct column_cut range_cut = columns_cut(from, to, range->columns);
    oracle->n_ranges++;
    oracle->n_refs = range->n_series;
    for (size_t i = 0; i < range->n_series && i < MAX_FRAMES; i++) {
        const Baro__SeriesRef *ref = range->series[i];
        bool is_units = ref->kind == READING_UNITS;
        bool is_all = is_units && ref->unit < 0;
        size_t n = is_all ? ORACLE_UNITS : 1;
        size_t bytes = range->columns * sizeof(struct wire_column);
        uint8_t *all = baro_xcalloc(n, bytes);
        for (size_t unit = 0; unit < n; unit++) {
            struct wire_column *columns =
                oracle_cut(oracle, ref, is_all ? (int)unit : ref->unit, &range_cut);
            memcpy(all + unit * bytes, columns, bytes);
            free(columns);
        }
        frames[i] = (struct keeper_frame){all, n * bytes};
        if (is_units && ref->unit == -2) {
            frames[i] = spread(all, range->columns);
        }
    }
    Baro__RangeReply reply;
    Baro__Envelope envelope;
    baro__range_reply__init(&reply);
    baro__envelope__init(&envelope);
    reply.from_step = from;
    reply.to_step = to;
    reply.n_columns = range->columns;
    reply.edge_shift = range_cut.edge_shift;
    uint64_t n_coarse[MAX_FRAMES];
    for (size_t i = 0; i < MAX_FRAMES; i++) {
        n_coarse[i] = oracle->n_coarse;
    }
    reply.n_n_coarse = range->n_series;
    reply.n_coarse = n_coarse;
    envelope.body_case = BARO__ENVELOPE__BODY_RANGE_REPLY;
    envelope.range_reply = &reply;
    oracle_send(keeper, &envelope, oracle->request, frames, range->n_series);
    for (size_t i = 0; i < range->n_series && i < MAX_FRAMES; i++) {
        free((void *)(uintptr_t)frames[i].bytes);
    }
}

static void answer_runs(struct oracle *oracle, struct keeper *keeper)
{
    Baro__RunDescription description;
    Baro__RunDescription second;
    Baro__RunInfo info;
    Baro__RunInfo second_info;
    Baro__RunInfo *infos[2] = {&info, &second_info};
    Baro__RunsReply reply;
    Baro__Envelope envelope;
    baro__run_description__init(&description);
    baro__run_info__init(&info);
    baro__runs_reply__init(&reply);
    baro__envelope__init(&envelope);
    description.run_id = (char *)(uintptr_t) "abc123";
    description.project = (char *)(uintptr_t) "vae";
    description.name = (char *)(uintptr_t) "beta-4";
    info.run = ORACLE_RUN;
    info.description = &description;
    info.status = oracle->status;
    info.n_steps = oracle->n_steps;
    info.last_step = oracle->n_steps > 0 ? oracle->n_steps - 1 : 0;
    bool is_bad = oracle->bad_step < oracle->n_steps;
    info.n_alerts = is_bad ? 1 : 0;
    info.worst_level = is_bad ? BARO_ALARM : 0;
    info.first_time_ns = (int64_t)(ORACLE_BEGAN * 1e9);
    info.last_time_ns = (int64_t)(oracle_time(oracle, info.last_step) * 1e9);
    second = description;
    second.run_id = (char *)(uintptr_t) "def456";
    second.name = (char *)(uintptr_t) "beta-8";
    second.config =
        (char *)(uintptr_t) "{\"lr\": 0.001, \"batch\": 64, \"data\": \"faces\"}";
    if (oracle->has_second) {
        description.config =
            (char *)(uintptr_t) "{\"lr\": 0.003, \"batch\": 64, \"warmup\": 100}";
    }
    second_info = info;
    second_info.run = ORACLE_SECOND;
    second_info.description = &second;
    second_info.n_alerts = second_info.worst_level = 0;
    reply.runs = infos;
    reply.n_runs = oracle->has_no_run ? 0 : oracle->has_second ? 2 : 1;
    envelope.body_case = BARO__ENVELOPE__BODY_RUNS_REPLY;
    envelope.runs_reply = &reply;
    oracle_send(keeper, &envelope, oracle->request, NULL, 0);
}

static void answer_things(struct oracle *oracle, struct keeper *keeper)
{
    Baro__Declare declares[ORACLE_N_THINGS];
    Baro__ThingInfo infos[ORACLE_N_THINGS];
    Baro__ThingInfo *pointers[ORACLE_N_THINGS];
    int64_t shape[2] = {ORACLE_UNITS, 4};
    size_t n = 0;
    for (uint32_t thing = 1; thing <= ORACLE_N_THINGS; thing++) {
        bool is_tensor = ORACLE_THINGS[thing].role != 0;
        if (is_tensor && oracle->has_no_tensors) {
            continue;
        }
        Baro__Declare *declare = &declares[n];
        Baro__ThingInfo *info = &infos[n];
        baro__declare__init(declare);
        baro__thing_info__init(info);
        declare->is_tensor = is_tensor;
        declare->name = (char *)(uintptr_t)ORACLE_THINGS[thing].name;
        if (thing == ORACLE_LR && oracle->lr_name != NULL) {
            declare->name = (char *)(uintptr_t)oracle->lr_name;
        }
        declare->role = ORACLE_THINGS[thing].role;
        declare->dtype = is_tensor ? BARO_F32 : 0;
        declare->shape = shape;
        declare->n_shape = is_tensor ? 2 : 0;
        declare->n_units = ORACLE_THINGS[thing].n_units;
        info->thing = oracle_id(oracle, thing);
        info->declare = declare;
        info->cadence = (double)ORACLE_THINGS[thing].every;
        info->spacing = is_tensor ? oracle->spacing : 0;
        info->unit_spacing = 4 * info->spacing;
        info->last_step = oracle->n_steps - 1;
        bool is_bad = oracle->n_steps > oracle->bad_step && !oracle->is_of_second &&
                      (thing == ORACLE_OUT || thing == ORACLE_LOSS);
        info->n_nonfinite = is_bad ? (uint64_t)(oracle->n_steps - oracle->bad_step) : 0;
        info->worst_level = is_bad && thing == ORACLE_OUT ? BARO_ALARM : 0;
        pointers[n++] = info;
    }
    Baro__SeriesReply reply;
    Baro__Envelope envelope;
    baro__series_reply__init(&reply);
    baro__envelope__init(&envelope);
    reply.things = pointers;
    reply.n_things = n;
    envelope.body_case = BARO__ENVELOPE__BODY_SERIES_REPLY;
    envelope.series_reply = &reply;
    oracle_send(keeper, &envelope, oracle->request, NULL, 0);
}

static void fill_alert(Baro__Alert *alert, uint64_t id, int64_t step, int64_t *samples)
{
    baro__alert__init(alert);
    for (int i = 0; i < 12; i++) {
        samples[i] = 100 + 7 * i;
    }
    alert->id = id;
    alert->run = 7;
    alert->step = step;
    alert->kind = (char *)(uintptr_t) "nonfinite";
    alert->level = BARO_ALARM;
    alert->thing = ORACLE_OUT;
    alert->tensor = (char *)(uintptr_t) "decoder.out";
    alert->role = (char *)(uintptr_t) "act";
    alert->unit = ORACLE_BAD_UNIT;
    alert->row = -1;
    alert->samples = samples;
    alert->n_samples = 12;
    alert->batch_size = 12;
    alert->text = (char *)(uintptr_t) "decoder.out became NaN in unit 3.";
    alert->advice = (char *)(uintptr_t) "lower the learning rate";
}

static void answer_alerts(struct oracle *oracle, struct keeper *keeper)
{
    int64_t samples[12];
    Baro__Alert alert;
    Baro__Alert *alerts[1] = {&alert};
    Baro__AlertsReply reply;
    Baro__Envelope envelope;
    baro__alerts_reply__init(&reply);
    baro__envelope__init(&envelope);
    fill_alert(&alert, 1, oracle->bad_step, samples);
    reply.alerts = alerts;
    reply.n_alerts = oracle->bad_step < oracle->n_steps && !oracle->is_of_second ? 1 : 0;
    envelope.body_case = BARO__ENVELOPE__BODY_ALERTS_REPLY;
    envelope.alerts_reply = &reply;
    oracle_send(keeper, &envelope, oracle->request, NULL, 0);
}

/* One probe in one piece, or its numbers alone. */
static void add_probe(const struct oracle *oracle, const Baro__RowsRequest *rows,
    enum probe_reason reason, int64_t step, struct oracle_bytes *out)
{
    size_t n = 0;
    if (!oracle->has_probe || step >= oracle->n_steps || step < rows->from_step ||
        step > rows->to_step) {
        return;
    }
    void *probe = oracle_probe(reason, step, &n);
    const struct probe_piece piece = {
        .serial = (uint64_t)reason, .n_pieces = 1, .reason = reason, .probe_bytes = n};
    const size_t n_numbers = PROBE_PIECE_NUMBERS * sizeof(double);
    uint8_t *payload = baro_xcalloc(1, n_numbers + n);
    double numbers[PROBE_PIECE_NUMBERS];
    probe_piece_numbers(&piece, numbers);
    memcpy(payload, numbers, sizeof numbers);
    memcpy(payload + n_numbers, probe, n);
    oracle_add_record(
        out, step, 0, (int)rows->kind, payload, n_numbers + (rows->n_columns == 0 ? n : 0));
    free(payload);
    free(probe);
}

/* Every reading of a series as it is. */
static void answer_points(
    struct oracle *oracle, struct keeper *keeper, const Baro__RangeRequest *range)
{
    struct keeper_frame frames[MAX_FRAMES] = {0};
    size_t n_frames = range->n_series < MAX_FRAMES ? range->n_series : MAX_FRAMES;
    Baro__RangeReply reply;
    Baro__Envelope envelope;
    baro__range_reply__init(&reply);
    baro__envelope__init(&envelope);
    for (size_t i = 0; i < n_frames; i++) {
        const Baro__SeriesRef *ref = range->series[i];
        double *at = baro_xcalloc((size_t)oracle->n_steps, 3 * sizeof *at);
        size_t n = 0;
        for (int64_t step = 0; step < oracle->n_steps; step++) {
            if (step >= range->from_step && step <= range->to_step &&
                oracle_has(ref->thing, step)) {
                memcpy(&at[3 * n], &step, sizeof step);
                at[3 * n++ + 2] = oracle_value(oracle, ref->thing, (int)ref->kind,
                    (int)ref->stat, (int)ref->unit, step);
            }
        }
        frames[i] = (struct keeper_frame){(const uint8_t *)at, n * 3 * sizeof *at};
    }
    envelope.body_case = BARO__ENVELOPE__BODY_RANGE_REPLY;
    envelope.range_reply = &reply;
    oracle_send(keeper, &envelope, oracle->request, frames, n_frames);
    for (size_t i = 0; i < n_frames; i++) {
        free((void *)(uintptr_t)frames[i].bytes);
    }
}

static void answer_rows(
    struct oracle *oracle, struct keeper *keeper, const Baro__RowsRequest *rows)
{
    struct oracle_bytes bytes = {0};
    if (rows->kind == READING_EVENT) {
        uint8_t payload[8 + 17] = {0};
        double level = BARO_INFO;
        memcpy(payload, &level, sizeof level);
        memcpy(payload + 8, "learning rate cut", 17);
        oracle_add_record(&bytes, 100, 0, READING_EVENT, payload, sizeof payload);
    }
    oracle->n_rows += rows->kind != READING_EVENT && rows->kind != READING_SUMMARY ? 1 : 0;
    if (rows->kind == READING_PROBE) {
        add_probe(oracle, rows, PROBE_REGULAR, 2, &bytes);
    } else if (rows->kind == READING_FAILURE) {
        add_probe(oracle, rows, PROBE_FAILURE, oracle->bad_step, &bytes);
    }
    for (int64_t step = 100; rows->kind == READING_RNG && step < 110; step++) {
        const double device = -1;
        oracle_add_record(&bytes, step, 0, READING_RNG, &device, sizeof device);
    }
    for (int64_t step = 0; rows->kind == READING_SUMMARY && step < oracle->n_steps;
         step++) {
        if (step >= rows->from_step && step <= rows->to_step &&
            oracle_has(rows->thing, step)) {
            oracle_add_summary(oracle, &bytes, rows->thing, step);
        }
    }
    Baro__RowsReply reply;
    Baro__Envelope envelope;
    baro__rows_reply__init(&reply);
    baro__envelope__init(&envelope);
    envelope.body_case = BARO__ENVELOPE__BODY_ROWS_REPLY;
    envelope.rows_reply = &reply;
    struct keeper_frame frame = {bytes.at, bytes.n};
    oracle_send(keeper, &envelope, oracle->request, &frame, bytes.at != NULL ? 1 : 0);
    free(bytes.at);
}

/* Which run a question is about; 0: none. */
static uint32_t run_of(const Baro__Envelope *question)
{
    switch ((int)question->body_case) {
    case BARO__ENVELOPE__BODY_SERIES_REQUEST: return question->series_request->run;
    case BARO__ENVELOPE__BODY_ALERTS_REQUEST: return question->alerts_request->run;
    case BARO__ENVELOPE__BODY_ROWS_REQUEST: return question->rows_request->run;
    case BARO__ENVELOPE__BODY_RANGE_REQUEST: return question->range_request->run;
    case BARO__ENVELOPE__BODY_SUBSCRIBE_REQUEST: return question->subscribe_request->run;
    default: return 0;
    }
}

static void note_subscription(struct oracle *oracle, const Baro__Envelope *question)
{
    uint32_t run = run_of(question);
    if (question->body_case == BARO__ENVELOPE__BODY_SUBSCRIBE_REQUEST && run != 0) {
        uint64_t *n = question->subscribe_request->is_off ? oracle->n_unsubscribed
                                                          : oracle->n_subscribed;
        n[run == ORACLE_SECOND]++;
    }
}

static void answer_one(
    struct oracle *oracle, struct keeper *keeper, const Baro__Envelope *question)
{
    Baro__SubscribeReply subscribed;
    Baro__Envelope envelope;
    oracle->is_of_second = run_of(question) == ORACLE_SECOND;
    note_subscription(oracle, question);
    switch ((int)question->body_case) {
    case BARO__ENVELOPE__BODY_RUNS_REQUEST: answer_runs(oracle, keeper); break;
    case BARO__ENVELOPE__BODY_SERIES_REQUEST: answer_things(oracle, keeper); break;
    case BARO__ENVELOPE__BODY_ALERTS_REQUEST: answer_alerts(oracle, keeper); break;
    case BARO__ENVELOPE__BODY_ROWS_REQUEST:
        answer_rows(oracle, keeper, question->rows_request);
        break;
    case BARO__ENVELOPE__BODY_RANGE_REQUEST:
        if (question->range_request->columns == 0) {
            answer_points(oracle, keeper, question->range_request);
        } else {
            answer_range(oracle, keeper, question->range_request);
        }
        break;
    case BARO__ENVELOPE__BODY_SAMPLE_REQUEST:
        oracle_answer_sample(oracle, keeper, question->sample_request);
        break;
    case BARO__ENVELOPE__BODY_CANCEL_REQUEST: oracle->n_cancels++; break;
    default:
        baro__subscribe_reply__init(&subscribed);
        baro__envelope__init(&envelope);
        envelope.body_case = BARO__ENVELOPE__BODY_SUBSCRIBE_REPLY;
        envelope.subscribe_reply = &subscribed;
        oracle_send(keeper, &envelope, oracle->request, NULL, 0);
        break;
    }
}

void oracle_connect(struct keeper *keeper)
{
    keeper_on_connect(keeper);
    keeper_set_state(keeper, MODEL_READY, "", INT64_C(1700000000) * 1000000000);
}

void oracle_answer(struct oracle *oracle, struct keeper *keeper)
{
    Baro__Envelope question;
    while (keeper_ask(keeper, &question)) {
        oracle->request++;
        oracle->n_asked++;
        keeper_sent(keeper, (int64_t)oracle->request);
        answer_one(oracle, keeper, &question);
    }
    while (keeper_work(keeper)) {
    }
    oracle->is_of_second = false;
}

void oracle_live(struct oracle *oracle, struct keeper *keeper, int64_t step)
{
    oracle_live_of(oracle, keeper, ORACLE_RUN, step);
}

void oracle_live_of(
    struct oracle *oracle, struct keeper *keeper, uint32_t run, int64_t step)
{
    struct oracle_bytes bytes = {0};
    oracle->is_of_second = run == ORACLE_SECOND;
    oracle_add_step(oracle, &bytes, step);
    Baro__LiveRecords live;
    Baro__Envelope envelope;
    baro__live_records__init(&live);
    baro__envelope__init(&envelope);
    live.run = run;
    envelope.body_case = BARO__ENVELOPE__BODY_LIVE_RECORDS;
    envelope.live_records = &live;
    struct keeper_frame frame = {bytes.at, bytes.n};
    oracle_send(keeper, &envelope, 0, &frame, 1);
    free(bytes.at);
    oracle->is_of_second = false;
}

void oracle_alert(struct oracle *oracle, struct keeper *keeper, uint64_t id, int64_t step)
{
    int64_t samples[12];
    Baro__Alert alert;
    Baro__LiveAlert live;
    Baro__Envelope envelope;
    baro__live_alert__init(&live);
    baro__envelope__init(&envelope);
    fill_alert(&alert, id, step, samples);
    live.alert = &alert;
    envelope.body_case = BARO__ENVELOPE__BODY_LIVE_ALERT;
    envelope.live_alert = &live;
    oracle_send(keeper, &envelope, 0, NULL, 0);
}
