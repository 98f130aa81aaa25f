/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/judge_rig.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "tests/testing.h"

static void gather(struct judge_rig *rig)
{
    while (rig->n_found < RIG_MAX_FINDINGS &&
           judge_take(rig->judge, &rig->found[rig->n_found])) {
        rig->n_found++;
    }
}

void rig_open(struct judge_rig *rig, const char *only)
{
    memset(rig, 0, sizeof *rig);
    rig->noise = UINT64_C(88172645463325252);
    rig->book = rule_book_default();
    for (size_t i = 0; only != NULL && i < rule_table_n; i++) {
        rig->book->is_on[i] = strcmp(rule_table[i]->name, only) == 0;
    }
    rig->found = baro_xcalloc(RIG_MAX_FINDINGS, sizeof *rig->found);
    rig->judge = judge_create(rig->book, 0);
}

void rig_reopen(struct judge_rig *rig)
{
    judge_destroy(rig->judge);
    rig->judge = judge_create(rig->book, 0);
    rig->n_things = 0;
    rig->n_found = 0;
}

void rig_close(struct judge_rig *rig)
{
    judge_destroy(rig->judge);
    rule_book_destroy(rig->book);
    free(rig->found);
}

uint32_t rig_scalar(struct judge_rig *rig, const char *name)
{
    struct judge_thing thing = {.id = ++rig->n_things, .name = name};
    judge_declare(rig->judge, &thing);
    return thing.id;
}

uint32_t rig_tensor(struct judge_rig *rig, const char *name, enum baro_role role,
    uint32_t n_units, uint32_t per_unit)
{
    struct judge_thing thing = {.id = ++rig->n_things,
        .name = name,
        .is_tensor = true,
        .role = role,
        .dtype = BARO_F32,
        .n_units = n_units,
        .n_dims = 2,
        .shape = {n_units > 0 ? n_units : 1, per_unit}};
    judge_declare(rig->judge, &thing);
    return thing.id;
}

static void feed(
    struct judge_rig *rig, enum reading_kind kind, uint32_t thing, struct reading reading)
{
    reading.header.kind = (uint16_t)kind;
    reading.header.step = rig->step;
    reading.header.time_ns = (int64_t)((uint64_t)rig->step * 1000000);
    reading.header.thing = thing;
    judge_reading(rig->judge, &reading, thing);
    gather(rig);
}

void rig_step(struct judge_rig *rig, int64_t step, double seconds)
{
    rig->step = step;
    feed(rig, READING_STEP, 0,
        (struct reading){.n_f64 = isnan(seconds) ? 0 : 1, .f64 = &seconds});
}

void rig_value(struct judge_rig *rig, uint32_t thing, double value)
{
    feed(rig, READING_SCALAR, thing, (struct reading){.n_f64 = 1, .f64 = &value});
}

void rig_stats(double *stats, uint64_t count, double deviation)
{
    double n = (double)count;
    memset(stats, 0, SUMMARY_STAT_COUNT * sizeof *stats);
    stats[SUMMARY_COUNT] = n;
    stats[SUMMARY_MIN] = -3 * deviation;
    stats[SUMMARY_MAX] = 3 * deviation;
    stats[SUMMARY_VAR] = deviation * deviation;
    stats[SUMMARY_L1] = 0.8 * n * deviation;
    stats[SUMMARY_L2] = sqrt(n) * deviation;
    stats[SUMMARY_ABS_MAX] = 3 * deviation;
    stats[SUMMARY_UPDATE_RATIO] = (double)NAN;
    stats[SUMMARY_FIRST_BAD_UNIT] = -1;
    stats[SUMMARY_FIRST_BAD_ROW] = -1;
}

void rig_summary(struct judge_rig *rig, uint32_t thing, const double *stats)
{
    feed(rig, READING_SUMMARY, thing,
        (struct reading){.n_f64 = SUMMARY_STAT_COUNT, .f64 = stats});
}

void rig_units(
    struct judge_rig *rig, uint32_t thing, const float *values, uint32_t n_values)
{
    feed(rig, READING_UNITS, thing, (struct reading){.n_f32 = n_values, .f32 = values});
}

void rig_batch(struct judge_rig *rig, const int64_t *samples, size_t n_samples)
{
    double size = (double)n_samples;
    feed(rig, READING_BATCH, 0,
        (struct reading){.n_f64 = 1,
            .f64 = &size,
            .extra_bytes = (uint32_t)(n_samples * sizeof *samples),
            .extra = (const uint8_t *)samples});
}

void rig_samples(
    struct judge_rig *rig, const struct reading_sample *samples, size_t n_samples)
{
    double size = (double)n_samples;
    feed(rig, READING_SAMPLES, 0,
        (struct reading){.n_f64 = 1,
            .f64 = &size,
            .extra_bytes = (uint32_t)(n_samples * sizeof *samples),
            .extra = (const uint8_t *)samples});
}

void rig_event(struct judge_rig *rig, enum baro_level level, const char *text)
{
    double value = (double)level;
    feed(rig, READING_EVENT, 0,
        (struct reading){.n_f64 = 1,
            .f64 = &value,
            .extra_bytes = (uint32_t)strlen(text),
            .extra = (const uint8_t *)text});
}

void rig_end(struct judge_rig *rig, enum judge_end why)
{
    judge_end(rig->judge, why, NULL, (int64_t)((uint64_t)rig->step * 1000000));
    gather(rig);
}

size_t rig_count(const struct judge_rig *rig, const char *kind)
{
    size_t n = 0;
    for (size_t i = 0; i < rig->n_found; i++) {
        n += kind == NULL || strcmp(rig->found[i].kind, kind) == 0 ? 1 : 0;
    }
    return n;
}

const struct judge_finding *rig_first(const struct judge_rig *rig, const char *kind)
{
    for (size_t i = 0; i < rig->n_found; i++) {
        if (strcmp(rig->found[i].kind, kind) == 0) {
            return &rig->found[i];
        }
    }
    return NULL;
}

static void assert_found(const struct judge_rig *rig, size_t n)
{
    for (size_t i = 0; i < rig->n_found; i++) {
        print_message(
            "# step %lld: %s\n", (long long)rig->found[i].step, rig->found[i].text);
    }
    assert_int_equal(rig->n_found, n);
}

const struct judge_finding *rig_only(const struct judge_rig *rig)
{
    assert_found(rig, 1);
    assert_true(rig->found[0].advice[0] != '\0');
    return &rig->found[0];
}

void rig_assert_quiet(const struct judge_rig *rig)
{
    assert_found(rig, 0);
}

double rig_uniform(struct judge_rig *rig)
{
    rig->noise ^= rig->noise << 13;
    rig->noise ^= rig->noise >> 7;
    rig->noise ^= rig->noise << 17;
    return ((double)(rig->noise >> 11) + 0.5) / 9007199254740992.0;
}

double rig_normal(struct judge_rig *rig)
{
    return sqrt(-2 * log(rig_uniform(rig))) * cos(6.283185307179586 * rig_uniform(rig));
}
