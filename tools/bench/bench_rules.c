/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/bench/bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/analysis/judge.h"
#include "lib/analysis/rule_book.h"
#include "lib/base/mem.h"
#include "lib/base/reading.h"

/*
 * What the whole set of rules costs per value: one judge with the default book is fed with readings of a
 * healthy training made up here, beside a memcpy and a plain mean of the same values. A scalar is one
 * value, a READING_SUMMARY SUMMARY_STAT_COUNT of them, a READING_UNITS as many as there are units
 * times statistics. "mixed" is a step of a model of 24 layers with 512 units: weights, gradients and
 * activations, the loss, its gradient's norm and the learning rate.
 */

enum { N_LAYERS = 24, N_UNITS = 512, TURNS = 7, SLICES = 64 };

static uint64_t state = 88172645463325252U;

static double uniform(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return ((double)(state >> 11) + 0.5) / 9007199254740992.0;
}

static double normal(void)
{
    return sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform());
}

/* Time of this thread alone: what other processes take is no cost of the rules. */
static uint64_t processor_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000000U + (uint64_t)time.tv_nsec;
}

/* One reading with room for what it points to. */
struct line {
    struct reading reading;
    uint32_t thing;
    double f64[SUMMARY_STAT_COUNT];
    float *f32; /* of units */
};

/* Readings of one step, of SLICES different ones that are gone through in turns. */
struct script {
    struct judge *judge;
    struct rule_book *book;
    struct line *lines; /* SLICES x n_lines */
    size_t n_lines;
    size_t n_values; /* of one step */
    uint32_t n_things;
};

static uint32_t declare(
    struct script *script, const char *name, enum baro_role role, uint32_t n_units)
{
    struct judge_thing thing = {.id = ++script->n_things,
        .name = name,
        .is_tensor = role != 0,
        .role = role,
        .dtype = role != 0 ? BARO_F32 : (enum baro_dtype)0,
        .n_units = n_units,
        .n_dims = role != 0 ? 2 : 0,
        .shape = {N_UNITS, N_UNITS}};
    judge_declare(script->judge, &thing);
    return thing.id;
}

static void fill_summary(struct line *line)
{
    double scale = exp(0.1 * normal());
    double n = (double)N_UNITS * N_UNITS;
    double *f64 = line->f64;
    f64[SUMMARY_COUNT] = n;
    f64[SUMMARY_MIN] = -4 * scale;
    f64[SUMMARY_MAX] = 4 * scale;
    f64[SUMMARY_MEAN] = 0.01 * normal();
    f64[SUMMARY_VAR] = scale * scale;
    f64[SUMMARY_L1] = 0.8 * n * scale;
    f64[SUMMARY_L2] = sqrt(n) * scale;
    f64[SUMMARY_ABS_MAX] = 4 * scale;
    f64[SUMMARY_UPDATE_RATIO] = 1e-3 * scale;
    f64[SUMMARY_FIRST_BAD_UNIT] = -1;
    f64[SUMMARY_FIRST_BAD_ROW] = -1;
    line->reading.n_f64 = SUMMARY_STAT_COUNT;
}

static void fill_units(struct line *line)
{
    line->reading.n_f32 = N_UNITS * UNIT_STAT_COUNT;
    line->f32 = baro_xcalloc(line->reading.n_f32, sizeof *line->f32);
    line->reading.f32 = line->f32;
    for (uint32_t i = 0; i < N_UNITS; i++) {
        float scale = (float)exp(0.2 * normal());
        line->f32[UNIT_MEAN * N_UNITS + i] = 0.1F * (float)normal();
        line->f32[UNIT_L2 * N_UNITS + i] = 20 * scale;
        line->f32[UNIT_ABS_MAX * N_UNITS + i] = 3 * scale;
        line->f32[UNIT_FRAC_ZERO * N_UNITS + i] = 0.5F * (float)uniform();
    }
}

static void add(struct script *script, uint32_t thing, enum reading_kind kind, double value)
{
    for (size_t slice = 0; slice < SLICES; slice++) {
        struct line *line = &script->lines[slice * 4096 + script->n_lines];
        line->thing = thing;
        line->reading.header.kind = (uint16_t)kind;
        line->reading.f64 = line->f64;
        if (kind == READING_SUMMARY) {
            fill_summary(line);
        } else if (kind == READING_UNITS) {
            fill_units(line);
        } else {
            line->reading.n_f64 = 1;
            line->f64[0] = value * exp(0.1 * normal());
        }
    }
    script->n_values += kind == READING_SUMMARY ? (size_t)SUMMARY_STAT_COUNT
                        : kind == READING_UNITS ? (size_t)N_UNITS * UNIT_STAT_COUNT
                                                : 1;
    script->n_lines++;
}

static void open_script(struct script *script)
{
    memset(script, 0, sizeof *script);
    script->book = rule_book_default();
    script->judge = judge_create(script->book, 0);
    script->lines = baro_xcalloc((size_t)SLICES * 4096, sizeof *script->lines);
    add(script, 0, READING_STEP, 0.1);
}

static void close_script(struct script *script)
{
    for (size_t i = 0; i < (size_t)SLICES * 4096; i++) {
        free(script->lines[i].f32);
    }
    free(script->lines);
    judge_destroy(script->judge);
    rule_book_destroy(script->book);
}

static void add_layers(struct script *script, bool has_summaries, bool has_units)
{
    static const enum baro_role roles[] = {BARO_ACT, BARO_GRAD, BARO_WEIGHT};
    char name[64];
    for (size_t r = 0; r < BARO_LEN(roles); r++) {
        for (int i = 0; i < N_LAYERS; i++) {
            snprintf(name, sizeof name, "layers.%d.fc%s", i,
                roles[r] == BARO_ACT ? "" : ".weight");
            uint32_t thing = declare(script, name, roles[r], has_units ? N_UNITS : 0);
            if (has_summaries) {
                add(script, thing, READING_SUMMARY, 0);
            }
            if (has_units) {
                add(script, thing, READING_UNITS, 0);
            }
        }
    }
}

static void add_scalars(struct script *script, const char *name, int n, double value)
{
    char text[64];
    for (int i = 0; i < n; i++) {
        if (i > 0) {
            snprintf(text, sizeof text, "part%d/%s", i, name);
        } else {
            snprintf(text, sizeof text, "%s", name);
        }
        add(script, declare(script, text, (enum baro_role)0, 0), READING_SCALAR, value);
    }
}

/* Feed so many steps; gives the findings that came. */
static size_t feed(struct script *script, int64_t from, int64_t n_steps)
{
    struct judge_finding found;
    size_t n_found = 0;
    for (int64_t step = from; step < from + n_steps; step++) {
        struct line *lines = &script->lines[(size_t)(step % SLICES) * 4096];
        for (size_t i = 0; i < script->n_lines; i++) {
            lines[i].reading.header.step = step;
            judge_reading(script->judge, &lines[i].reading, lines[i].thing);
        }
        while (judge_take(script->judge, &found)) {
            n_found++;
        }
    }
    return n_found;
}

/* The same values copied, and their mean: what any look at them costs at least. */
static double copy(const struct script *script, double *out)
{
    double sum = 0;
    for (size_t slice = 0; slice < SLICES; slice++) {
        const struct line *lines = &script->lines[slice * 4096];
        char *to = (char *)out;
        for (size_t i = 0; i < script->n_lines; i++) {
            const struct reading *reading = &lines[i].reading;
            memcpy(to, reading->f64, reading->n_f64 * sizeof(double));
            to += reading->n_f64 * sizeof(double);
            if (reading->n_f32 > 0) {
                memcpy(to, reading->f32, reading->n_f32 * sizeof(float));
                to += reading->n_f32 * sizeof(float);
            }
        }
        sum += out[0];
    }
    return sum;
}

static double mean(const struct script *script)
{
    double sum = 0;
    for (size_t slice = 0; slice < SLICES; slice++) {
        const struct line *lines = &script->lines[slice * 4096];
        for (size_t i = 0; i < script->n_lines; i++) {
            const struct reading *reading = &lines[i].reading;
            for (uint32_t k = 0; k < reading->n_f64; k++) {
                sum += reading->f64[k];
            }
            for (uint32_t k = 0; k < reading->n_f32; k++) {
                sum += (double)reading->f32[k];
            }
        }
    }
    return sum / ((double)SLICES * (double)script->n_values);
}

static void run(struct bench *bench, struct script *script, const char *name)
{
    double costs[TURNS];
    double copies[TURNS];
    double means[TURNS];
    double *out = baro_xcalloc(script->n_values, sizeof *out);
    volatile double sink = 0; /* or the loops that it takes from would go */
    int64_t n_steps = bench_is_quick(bench) ? 64 : script->n_values > 1000 ? 256 : 20000;
    size_t n_found = feed(script, 0, n_steps); /* past the warm-up of the rules */
    for (int turn = 0; turn < TURNS; turn++) {
        double n = (double)n_steps * (double)script->n_values;
        uint64_t began = processor_ns();
        n_found += feed(script, (turn + 1) * n_steps, n_steps);
        costs[turn] = (double)(processor_ns() - began) / n;
        double n_once = (double)SLICES * (double)script->n_values;
        began = processor_ns();
        sink = sink + copy(script, out);
        copies[turn] = (double)(processor_ns() - began) / n_once;
        began = processor_ns();
        sink = sink + mean(script);
        means[turn] = (double)(processor_ns() - began) / n_once;
    }
    char text[96];
    double copied = bench_median(copies, TURNS);
    snprintf(text, sizeof text, "%s: all rules", name);
    bench_report_samples(bench, "rules", text, costs, TURNS, "ns/value",
        bench_median(means, TURNS), "plain mean of the same values");
    snprintf(text, sizeof text, "%s: copied", name);
    bench_report(bench, "rules", text, copied, "ns/value", (double)NAN, NULL);
    snprintf(text, sizeof text, "%s: memory", name);
    bench_report(bench, "rules", text, (double)judge_memory(script->judge) / 1024, "KiB",
        (double)NAN, NULL);
    if (n_found > 0) {
        bench_note(bench, "%s: %zu findings in noise that means nothing", name, n_found);
    }
    (void)sink;
    free(out);
}

int bench_rules(struct bench *bench)
{
    struct script script;
    open_script(&script);
    add_scalars(&script, "number", 64, 1);
    run(bench, &script, "plain scalars");
    close_script(&script);
    open_script(&script);
    add_scalars(&script, "loss", 16, 2);
    run(bench, &script, "losses");
    close_script(&script);
    open_script(&script);
    add_layers(&script, true, false);
    run(bench, &script, "summaries");
    close_script(&script);
    open_script(&script);
    add_layers(&script, false, true);
    run(bench, &script, "units");
    close_script(&script);
    open_script(&script);
    add_scalars(&script, "loss", 1, 2);
    add_scalars(&script, "grad_norm", 1, 1);
    add_scalars(&script, "lr", 1, 1e-3);
    add_layers(&script, true, true);
    run(bench, &script, "mixed");
    close_script(&script);
    return 0;
}
