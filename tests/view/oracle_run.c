/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "lib/base/mem.h"
#include "tests/view/oracle_inside.h"

/* What the runs hold: a formula for each reading, as a number, a record and a column. */

const struct oracle_entry ORACLE_THINGS[ORACLE_N_THINGS + 1] = {
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
    return step % ORACLE_THINGS[thing].every == 0;
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

void oracle_add_record(struct oracle_bytes *out, int64_t step, uint32_t thing, int kind,
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

uint32_t oracle_id(const struct oracle *oracle, uint32_t thing)
{
    return thing + (oracle->is_of_second ? ORACLE_SECOND_BY : 0);
}

void oracle_add_summary(
    const struct oracle *oracle, struct oracle_bytes *out, uint32_t thing, int64_t step)
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
    oracle_add_record(
        out, step, oracle_id(oracle, thing), READING_SUMMARY, payload, sizeof payload);
}

static void add_units(
    const struct oracle *oracle, struct oracle_bytes *out, uint32_t thing, int64_t step)
{
    float values[UNIT_STAT_COUNT * ORACLE_UNITS];
    for (int stat = 0; stat < UNIT_STAT_COUNT; stat++) {
        for (int unit = 0; unit < ORACLE_UNITS; unit++) {
            values[stat * ORACLE_UNITS + unit] =
                (float)oracle_value(oracle, thing, READING_UNITS, stat, unit, step);
        }
    }
    oracle_add_record(
        out, step, oracle_id(oracle, thing), READING_UNITS, values, sizeof values);
}

void oracle_add_step(const struct oracle *oracle, struct oracle_bytes *out, int64_t step)
{
    double value = oracle_value(oracle, 0, READING_STEP, 0, -1, step);
    oracle_add_record(out, step, 0, READING_STEP, &value, sizeof value);
    for (uint32_t thing = 1; thing <= ORACLE_N_THINGS; thing++) {
        bool is_tensor = ORACLE_THINGS[thing].role != 0;
        if (!oracle_has(thing, step) || (is_tensor && oracle->has_no_tensors)) {
            continue;
        }
        if (!is_tensor) {
            value = oracle_value(oracle, thing, READING_SCALAR, 0, -1, step);
            value += oracle->is_of_second ? ORACLE_SECOND_MORE : 0;
            oracle_add_record(
                out, step, oracle_id(oracle, thing), READING_SCALAR, &value, sizeof value);
            continue;
        }
        oracle_add_summary(oracle, out, thing, step);
        if (ORACLE_THINGS[thing].n_units > 0) {
            add_units(oracle, out, thing, step);
        }
    }
}

/* ---- columns ---- */

struct wire_column *oracle_cut(const struct oracle *oracle, const Baro__SeriesRef *ref,
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
