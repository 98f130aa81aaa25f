/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a step's question to the governor costs: baro_due() for all tensors of a model, on a
 * simulated clock, with costs like those of summaries. The limit is a plain read of the ids with
 * a byte written for each, which no such question can do without. Most steps are quiet, some hold
 * a plan: each turn is the mean of many steps.
 */
#include "tools/bench/bench.h"

#include <math.h>
#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/push/governor.h"

enum {
    N_SIZES = 3,
    WARM_UP = 300,
    TURNS = 9,
    QUICK_TURNS = 2,
    BLOCK = 64, /* steps of a turn: as many as can be quiet in a row */
    STEP_NS = 10000000,
    COST_NS = 5000
};

static const uint32_t sizes[N_SIZES] = {1000, 10000, 100000};

struct model {
    struct governor *governor;
    uint32_t n;
    uint32_t *ids;
    uint8_t *is_due;
    uint64_t now_ns; /* simulated */
    uint64_t own_ns;
};

/* One step; gives what the question took. */
static double ask(struct model *model)
{
    governor_begin_turn(model->governor);
    model->now_ns += STEP_NS;
    uint64_t began = baro_now_ns();
    (void)governor_due(
        model->governor, model->now_ns, model->own_ns, model->ids, model->n, model->is_due);
    uint64_t ended = baro_now_ns();
    for (uint32_t i = 0; i < model->n; i++) {
        if (model->is_due[i]) {
            uint64_t ns = COST_NS + i % 1000;
            governor_book(model->governor, model->ids[i], ns, GOVERNOR_MEASURED);
            model->own_ns += ns;
        }
    }
    return (double)(ended - began);
}

static double read_plainly(struct model *model)
{
    uint64_t began = baro_now_ns();
    for (uint32_t i = 0; i < model->n; i++) {
        model->is_due[i] = (uint8_t)(model->ids[i] & 1);
    }
    __asm__ volatile("" ::"r"(model->is_due) : "memory"); /* it must not be left out */
    return (double)(baro_now_ns() - began);
}

static int measure(struct bench *bench, uint32_t n)
{
    char name[80];
    size_t n_turns = bench_is_quick(bench) ? QUICK_TURNS : TURNS;
    double asked[TURNS];
    double plain[TURNS];
    baro_autofree uint32_t *ids = baro_xcalloc(n, sizeof *ids);
    baro_autofree uint8_t *is_due = baro_xcalloc(n, 1);
    struct model model = {
        .governor = governor_create(n, 0.01, 0), .n = n, .ids = ids, .is_due = is_due};
    if (model.governor == NULL) {
        return bench_fail(bench, "out of memory");
    }
    for (uint32_t i = 0; i < n; i++) {
        ids[i] = i + 1;
    }
    for (int i = 0; i < WARM_UP; i++) {
        (void)ask(&model);
    }
    for (size_t i = 0; i < n_turns; i++) {
        asked[i] = plain[i] = 0;
        for (int k = 0; k < BLOCK; k++) {
            asked[i] += ask(&model) / ((double)n * BLOCK);
            plain[i] += read_plainly(&model) / ((double)n * BLOCK);
        }
    }
    governor_destroy(model.governor);
    double limit = bench_median(plain, n_turns);
    (void)snprintf(name, sizeof name, "due or not, of %u tensors, mean for each", n);
    bench_report_samples(bench, "govern", name, asked, n_turns, "ns", limit,
        "a plain read of the ids and a byte written for each");
    return 0;
}

int bench_govern(struct bench *bench)
{
    for (int i = 0; i < N_SIZES; i++) {
        if (measure(bench, sizes[i]) != 0) {
            return -1;
        }
    }
    return 0;
}
