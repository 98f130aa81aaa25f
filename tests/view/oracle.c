/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/view/oracle.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/columns.h"
#include "lib/base/mem.h"
#include "lib/base/probe_pieces.h"
#include "tests/view/oracle_spread.h"

enum { MAX_FRAMES = 64 };

/* What a name, a role and a cadence are for each thing. */
static const struct {
    const char *name;
    enum baro_role role;
    uint32_t n_units;
    int64_t every;
} THINGS[] = {
    {"", 0, 0, 1},
    {"loss", 0, 0, 1},
    {"lr", 0, 0, 1},
    {"grad_norm", 0, 0, 1},
    {"encoder.fc1.weight", BARO_WEIGHT, ORACLE_UNITS, 4},
    {"encoder.fc1.weight", BARO_GRAD, ORACLE_UNITS, 4},
    {"encoder.fc1", BARO_ACT, ORACLE_UNITS, 1},
    {"decoder.out", BARO_ACT, ORACLE_UNITS, 1},
    {"decoder.bias", BARO_WEIGHT, 0, 4},
};

/* A number from 0 to 1 that looks random and is the same on every machine. */
static double noise(uint64_t a, uint64_t b)
{
    uint64_t x = a * UINT64_C(0x9E3779B97F4A7C15) + b * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return (double)((x ^ (x >> 31)) >> 11) / (double)(UINT64_C(1) << 53);
}

bool oracle_has(uint32_t thing, int64_t step)
{
    return step % THINGS[thing].every == 0;
}

double oracle_time(const struct oracle *oracle, int64_t step)
{
    bool is_after = oracle->has_restart && step >= ORACLE_RESTART;
    return ORACLE_BEGAN + ORACLE_STEP_S * (double)(step + 1) + (is_after ? 3600 : 0);
}

/* What a thing of either run is called in the enum. */
static uint32_t own_thing(uint32_t thing)
{
    return thing > ORACLE_SECOND_BY ? thing - ORACLE_SECOND_BY : thing;
}

double oracle_value(
    const struct oracle *oracle, uint32_t thing, int kind, int stat, int unit, int64_t step)
{
    double t = (double)step;
    bool is_bad = thing == ORACLE_OUT && step >= oracle->bad_step && !oracle->is_of_second;
    if (kind == READING_STEP && stat == STEP_TIME) {
        return oracle_time(oracle, step);
    }
    if (kind == READING_STEP) {
        return 0.01 + 0.002 * noise(99, (uint64_t)step);
    }
    if (thing == ORACLE_LOSS) {
        return step >= oracle->bad_step && !oracle->is_of_second
                   ? (double)NAN
                   : 2 / (1 + t / 50) + 0.1 * noise(1, (uint64_t)step);
    }
    if (thing == ORACLE_LR) {
        return 0.001 / (1 + (double)(step / 100));
    }
    if (thing == ORACLE_GRAD_NORM) {
        return 0.5 + noise(3, (uint64_t)step) + (step % 37 == 0 ? 4 : 0);
    }
    if (kind == READING_UNITS) {
        if (stat == UNIT_N_NONFINITE) {
            return is_bad && unit == ORACLE_BAD_UNIT ? 4 : 0;
        }
        if (is_bad && unit == ORACLE_BAD_UNIT) {
            return (double)NAN;
        }
        double level = 1 + unit * 0.1 + t / 1000 * (unit == 5 ? 3 : 1);
        return (double)(float)(level +
                               0.05 * noise(thing * 100 + (uint64_t)unit, (uint64_t)step));
    }
    switch (stat) {
    case SUMMARY_COUNT: return 64;
    case SUMMARY_N_NAN: return is_bad ? 4 : 0;
    case SUMMARY_N_POS_INF:
    case SUMMARY_N_NEG_INF:
    case SUMMARY_N_ZERO: return 0;
    case SUMMARY_HIST_EVERY: return 1;
    default: return 4 + stat + t / 500 + 0.2 * noise(thing + 50, (uint64_t)step);
    }
}

/* ---- records ---- */

struct bytes {
    uint8_t *at;
    size_t n, capacity;
};

static void add_record(struct bytes *out, int64_t step, uint32_t thing, int kind,
    const void *payload, size_t n_payload)
{
    const int64_t time_ns =
        (int64_t)((ORACLE_BEGAN + ORACLE_STEP_S * (double)(step + 1)) * 1e9);
    uint32_t n = record_bytes((uint32_t)n_payload);
    if (out->n + n > out->capacity) {
        out->capacity = out->n + n + 65536;
        out->at = baro_xrealloc(out->at, out->capacity, 1);
    }
    uint8_t *at = out->at + out->n;
    memset(at, 0, n);
    struct record_header header = {.bytes = n,
        .seq = 1,
        .step = step,
        .time_ns = time_ns,
        .thing = thing,
        .kind = (uint16_t)kind,
        .payload_bytes = (uint32_t)n_payload};
    memcpy(at, &header, sizeof header);
    memcpy(at + sizeof header, payload, n_payload);
    header.check = record_check(at);
    memcpy(at, &header, sizeof header);
    out->n += n;
}

/* The id of a thing in the run at hand. */
static uint32_t id_of(const struct oracle *oracle, uint32_t thing)
{
    return thing + (oracle->is_of_second ? ORACLE_SECOND_BY : 0);
}

static void add_summary(
    const struct oracle *oracle, struct bytes *out, uint32_t thing, int64_t step)
{
    uint8_t payload[SUMMARY_STAT_COUNT * 8 + 5 * sizeof(struct reading_bin)];
    double stats[SUMMARY_STAT_COUNT];
    struct reading_bin bins[5];
    for (int i = 0; i < SUMMARY_STAT_COUNT; i++) {
        stats[i] = oracle_value(oracle, thing, READING_SUMMARY, i, -1, step);
    }
    for (int i = 0; i < 5; i++) {
        bins[i] = (struct reading_bin){
            (int16_t)(i - 3), (int16_t)(i % 2 == 0 ? 1 : -1), (uint32_t)(4 * (i + 1))};
    }
    memcpy(payload, stats, sizeof stats);
    memcpy(payload + sizeof stats, bins, sizeof bins);
    add_record(out, step, id_of(oracle, thing), READING_SUMMARY, payload, sizeof payload);
}

static void add_units(
    const struct oracle *oracle, struct bytes *out, uint32_t thing, int64_t step)
{
    float values[UNIT_STAT_COUNT * ORACLE_UNITS];
    for (int stat = 0; stat < UNIT_STAT_COUNT; stat++) {
        for (int unit = 0; unit < ORACLE_UNITS; unit++) {
            values[stat * ORACLE_UNITS + unit] =
                (float)oracle_value(oracle, thing, READING_UNITS, stat, unit, step);
        }
    }
    add_record(out, step, id_of(oracle, thing), READING_UNITS, values, sizeof values);
}

static void add_step(const struct oracle *oracle, struct bytes *out, int64_t step)
{
    double value = oracle_value(oracle, 0, READING_STEP, 0, -1, step);
    add_record(out, step, 0, READING_STEP, &value, sizeof value);
    for (uint32_t thing = 1; thing <= ORACLE_N_THINGS; thing++) {
        bool is_tensor = THINGS[thing].role != 0;
        if (!oracle_has(thing, step) || (is_tensor && oracle->has_no_tensors)) {
            continue;
        }
        if (!is_tensor) {
            value = oracle_value(oracle, thing, READING_SCALAR, 0, -1, step);
            value += oracle->is_of_second ? ORACLE_SECOND_MORE : 0;
            add_record(
                out, step, id_of(oracle, thing), READING_SCALAR, &value, sizeof value);
            continue;
        }
        add_summary(oracle, out, thing, step);
        if (THINGS[thing].n_units > 0) {
            add_units(oracle, out, thing, step);
        }
    }
}

/* ---- answers ---- */

static void send(struct keeper *keeper, Baro__Envelope *envelope, uint64_t request,
    const struct keeper_frame *frames, size_t n)
{
    envelope->request = request;
    keeper_take(keeper, envelope, frames, n);
}

/* Columns as the daemon cuts them. */
static struct wire_column *cut(const struct oracle *oracle, const Baro__SeriesRef *ref,
    int unit, const struct column_cut *cut)
{
    struct wire_column *columns = baro_xcalloc(cut->n_columns, sizeof *columns);
    const uint32_t thing = own_thing(ref->thing);
    const double more =
        oracle->is_of_second && ref->kind != READING_STEP ? ORACLE_SECOND_MORE : 0;
    for (int64_t step = 0; step < oracle->n_steps; step++) {
        uint32_t at = columns_find(cut, step);
        if (at == cut->n_columns || !oracle_has(thing, step)) {
            continue;
        }
        double value =
            more + oracle_value(oracle, thing, (int)ref->kind, (int)ref->stat, unit, step);
        struct wire_column *column = &columns[at];
        bool is_first = column->count == 0;
        column->first_step = is_first ? step : column->first_step;
        column->last_step = step;
        column->first = is_first ? value : column->first;
        column->last = value;
        column->count++;
        column->n_nan += isnan(value) ? 1 : 0;
        uint32_t n_finite = column->count - column->n_nan;
        if (!isnan(value)) {
            column->min = n_finite == 1 ? value : fmin(column->min, value);
            column->max = n_finite == 1 ? value : fmax(column->max, value);
            column->mean += (value - column->mean) / n_finite;
        }
    }
    for (uint32_t i = 0; i < cut->n_columns; i++) {
        if (columns[i].count == columns[i].n_nan) {
            columns[i].min = columns[i].max = columns[i].mean = (double)NAN;
        }
    }
    return columns;
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
                cut(oracle, ref, is_all ? (int)unit : ref->unit, &range_cut);
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
    send(keeper, &envelope, oracle->request, frames, range->n_series);
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
    send(keeper, &envelope, oracle->request, NULL, 0);
}

static void answer_things(struct oracle *oracle, struct keeper *keeper)
{
    Baro__Declare declares[ORACLE_N_THINGS];
    Baro__ThingInfo infos[ORACLE_N_THINGS];
    Baro__ThingInfo *pointers[ORACLE_N_THINGS];
    int64_t shape[2] = {ORACLE_UNITS, 4};
    size_t n = 0;
    for (uint32_t thing = 1; thing <= ORACLE_N_THINGS; thing++) {
        bool is_tensor = THINGS[thing].role != 0;
        if (is_tensor && oracle->has_no_tensors) {
            continue;
        }
        Baro__Declare *declare = &declares[n];
        Baro__ThingInfo *info = &infos[n];
        baro__declare__init(declare);
        baro__thing_info__init(info);
        declare->is_tensor = is_tensor;
        declare->name = (char *)(uintptr_t)THINGS[thing].name;
        if (thing == ORACLE_LR && oracle->lr_name != NULL) {
            declare->name = (char *)(uintptr_t)oracle->lr_name;
        }
        declare->role = THINGS[thing].role;
        declare->dtype = is_tensor ? BARO_F32 : 0;
        declare->shape = shape;
        declare->n_shape = is_tensor ? 2 : 0;
        declare->n_units = THINGS[thing].n_units;
        info->thing = id_of(oracle, thing);
        info->declare = declare;
        info->cadence = (double)THINGS[thing].every;
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
    send(keeper, &envelope, oracle->request, NULL, 0);
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
    send(keeper, &envelope, oracle->request, NULL, 0);
}

/* One probe in one piece, or its numbers alone. */
static void add_probe(const struct oracle *oracle, const Baro__RowsRequest *rows,
    enum probe_reason reason, int64_t step, struct bytes *out)
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
    add_record(
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
    send(keeper, &envelope, oracle->request, frames, n_frames);
    for (size_t i = 0; i < n_frames; i++) {
        free((void *)(uintptr_t)frames[i].bytes);
    }
}

static void answer_rows(
    struct oracle *oracle, struct keeper *keeper, const Baro__RowsRequest *rows)
{
    struct bytes bytes = {0};
    if (rows->kind == READING_EVENT) {
        uint8_t payload[8 + 17] = {0};
        double level = BARO_INFO;
        memcpy(payload, &level, sizeof level);
        memcpy(payload + 8, "learning rate cut", 17);
        add_record(&bytes, 100, 0, READING_EVENT, payload, sizeof payload);
    }
    oracle->n_rows += rows->kind != READING_EVENT && rows->kind != READING_SUMMARY ? 1 : 0;
    if (rows->kind == READING_PROBE) {
        add_probe(oracle, rows, PROBE_REGULAR, 2, &bytes);
    } else if (rows->kind == READING_FAILURE) {
        add_probe(oracle, rows, PROBE_FAILURE, oracle->bad_step, &bytes);
    }
    for (int64_t step = 0; rows->kind == READING_SUMMARY && step < oracle->n_steps;
         step++) {
        if (step >= rows->from_step && step <= rows->to_step &&
            oracle_has(rows->thing, step)) {
            add_summary(oracle, &bytes, rows->thing, step);
        }
    }
    Baro__RowsReply reply;
    Baro__Envelope envelope;
    baro__rows_reply__init(&reply);
    baro__envelope__init(&envelope);
    envelope.body_case = BARO__ENVELOPE__BODY_ROWS_REPLY;
    envelope.rows_reply = &reply;
    struct keeper_frame frame = {bytes.at, bytes.n};
    send(keeper, &envelope, oracle->request, &frame, bytes.at != NULL ? 1 : 0);
    free(bytes.at);
}

/* ---- samples ---- */

/* A finding's frames, made by hand: each so many units, the others belong to the one before. */
struct hand_made {
    uint32_t shown[ORACLE_UNITS], members[ORACLE_UNITS];
    uint8_t reasons[ORACLE_UNITS];
    uint16_t nearest[ORACLE_UNITS];
    struct wire_column *columns;
    uint8_t *density;
};

static void make_lines(const struct oracle *oracle, Baro__SampleFinding *finding,
    const struct column_cut *range, struct hand_made *out)
{
    uint32_t every = oracle->every > 0 ? oracle->every : 1;
    Baro__SeriesRef ref;
    baro__series_ref__init(&ref);
    ref.thing = oracle->asked.thing;
    ref.kind = READING_UNITS;
    ref.stat = oracle->asked.stat;
    out->columns =
        baro_xcalloc((size_t)ORACLE_UNITS * range->n_columns, sizeof *out->columns);
    for (uint32_t unit = 0; unit < ORACLE_UNITS; unit++) {
        if (unit % every == 0) {
            uint32_t place = (uint32_t)finding->n_shown++;
            struct wire_column *columns = cut(oracle, &ref, (int)unit, range);
            memcpy(out->columns + (size_t)place * range->n_columns, columns,
                range->n_columns * sizeof *columns);
            bool has_nan = false;
            for (uint32_t i = 0; i < range->n_columns; i++) {
                has_nan = has_nan || columns[i].n_nan > 0;
            }
            free(columns);
            finding->n_nonfinite += has_nan ? 1 : 0;
            out->shown[place] = unit;
            out->reasons[place] = has_nan      ? SAMPLE_NONFINITE
                                  : unit == 5  ? SAMPLE_OUTLIER
                                  : unit == 15 ? SAMPLE_ENVELOPE
                                               : SAMPLE_BLUE_NOISE;
        }
        out->nearest[unit] = (uint16_t)(finding->n_shown - 1);
        out->members[finding->n_shown - 1]++;
    }
}

/* One unit, one pixel: where its mean is in each column. */
static void make_density(Baro__SampleFinding *finding, struct hand_made *made)
{
    uint32_t w = finding->density_width;
    uint32_t h = finding->density_height;
    made->density = baro_xcalloc((size_t)w * h, 1);
    for (uint32_t line = 0; line < finding->n_shown; line++) {
        for (uint32_t i = 0; i < finding->n_columns; i++) {
            const struct wire_column *column =
                &made->columns[line * finding->n_columns + i];
            double place = (finding->hi - column->mean) / (finding->hi - finding->lo);
            if (column->count > column->n_nan && place >= 0 && place < 1) {
                uint32_t x = i * w / finding->n_columns;
                made->density[x * h + (uint32_t)(place * h)] = 128;
            }
        }
    }
}

void oracle_find(struct oracle *oracle, struct keeper *keeper, bool is_done)
{
    Baro__SampleFinding finding;
    Baro__Envelope envelope;
    struct hand_made made = {0};
    baro__sample_finding__init(&finding);
    baro__envelope__init(&envelope);
    int64_t last = oracle->n_steps - 1;
    finding.from_step = oracle->asked.from_step > 0 ? oracle->asked.from_step : 0;
    finding.to_step = oracle->asked.to_step < last ? oracle->asked.to_step : last;
    struct column_cut range =
        columns_cut(finding.from_step, finding.to_step, oracle->asked.columns);
    finding.n_lines = ORACLE_UNITS;
    finding.n_columns = range.n_columns;
    finding.is_done = is_done;
    finding.fraction = is_done ? 1 : oracle->fraction;
    finding.is_assigned = true;
    finding.axis = oracle->asked.axis;
    finding.lo = oracle->asked.has_limits ? oracle->asked.lo : 0.8;
    finding.hi = oracle->asked.has_limits ? oracle->asked.hi : 4.4;
    finding.linear_to = 1;
    finding.jaccard = 1;
    finding.n_coarse = oracle->n_coarse;
    finding.has_density = true;
    finding.density_width = 64;
    finding.density_height = 32;
    finding.serial = 1;
    make_lines(oracle, &finding, &range, &made);
    make_density(&finding, &made);
    struct keeper_frame frames[6] = {
        {(const uint8_t *)made.shown, finding.n_shown * sizeof made.shown[0]},
        {made.reasons, finding.n_shown},
        {(const uint8_t *)made.members, finding.n_shown * sizeof made.members[0]},
        {(const uint8_t *)made.nearest, sizeof made.nearest},
        {(const uint8_t *)made.columns,
            (size_t)finding.n_shown * finding.n_columns * sizeof *made.columns},
        {made.density, (size_t)64 * 32},
    };
    envelope.body_case = BARO__ENVELOPE__BODY_SAMPLE_FINDING;
    envelope.sample_finding = &finding;
    send(keeper, &envelope, oracle->sample_request, frames, 6);
    free(made.columns);
    free(made.density);
}

static void answer_sample(
    struct oracle *oracle, struct keeper *keeper, const Baro__SampleRequest *request)
{
    oracle->n_samples++;
    oracle->sample_request = oracle->request;
    oracle->asked = (struct oracle_asked){.thing = request->thing,
        .stat = request->stat,
        .columns = request->columns,
        .height = request->height,
        .axis = request->axis,
        .n_keep = (uint32_t)request->n_keep,
        .n_always = (uint32_t)request->n_always,
        .has_limits = request->has_limits,
        .is_live = request->is_live,
        .lo = request->lo,
        .hi = request->hi,
        .from_step = request->from_step,
        .to_step = request->to_step};
    if (oracle->refuses_samples) {
        Baro__Refusal refusal;
        Baro__Envelope envelope;
        baro__refusal__init(&refusal);
        baro__envelope__init(&envelope);
        refusal.text = (char *)(uintptr_t) "this daemon does not choose units";
        envelope.body_case = BARO__ENVELOPE__BODY_REFUSAL;
        envelope.refusal = &refusal;
        send(keeper, &envelope, oracle->request, NULL, 0);
        return;
    }
    oracle_find(oracle, keeper, !(oracle->fraction > 0));
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
        answer_sample(oracle, keeper, question->sample_request);
        break;
    case BARO__ENVELOPE__BODY_CANCEL_REQUEST: oracle->n_cancels++; break;
    default:
        baro__subscribe_reply__init(&subscribed);
        baro__envelope__init(&envelope);
        envelope.body_case = BARO__ENVELOPE__BODY_SUBSCRIBE_REPLY;
        envelope.subscribe_reply = &subscribed;
        send(keeper, &envelope, oracle->request, NULL, 0);
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
    struct bytes bytes = {0};
    oracle->is_of_second = run == ORACLE_SECOND;
    add_step(oracle, &bytes, step);
    Baro__LiveRecords live;
    Baro__Envelope envelope;
    baro__live_records__init(&live);
    baro__envelope__init(&envelope);
    live.run = run;
    envelope.body_case = BARO__ENVELOPE__BODY_LIVE_RECORDS;
    envelope.live_records = &live;
    struct keeper_frame frame = {bytes.at, bytes.n};
    send(keeper, &envelope, 0, &frame, 1);
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
    send(keeper, &envelope, 0, NULL, 0);
}
