/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>

#include "lib/analysis/robust.h"
#include "lib/analysis/rule_parts.h"
#include "lib/analysis/rule_table.h"
#include "lib/base/mem.h"

/*
 * Do steps take longer than they did? Evaluation, checkpoints, the collection of garbage and other
 * processes make single steps slow, or a few; that is no finding. On y = ln(seconds), m the median of the
 * last 128:
 *
 *   sudden  a sum over steps in a row, C = C + min(y - m - k, 2) with k = ln(`min_sudden`) or 2.5
 *           robust deviations, whichever is more, exceeds `min_sum`, and 1.5 times the largest such sum
 *           that came to nothing before, or the row is more than twice as long as the longest of those
 *           and 8 steps, and at least `min_lost` seconds have been lost; a step with
 *           y < m + k / 2 ends the row: a program that has become slow is slow at each step, a
 *           machine that is shared now and then. Steps that take ten times as long are told after 3,
 *           those that take three times as long after 12, if they are long enough. For steps
 *           below `min_seconds`, which any other process delays, min_sudden counts double, until
 *           they take twice min_seconds
 *   lasting medians of blocks of 16 steps: 4 blocks in a row above the median of the up to 128
 *           blocks before by ln(`min_lasting`) and by 8 robust deviations of those medians, after
 *           24 blocks. BLOOM-176B fell from 149 to 140 TFLOPs (6 %) by one bad node. Not for steps
 *           below `min_seconds`
 *
 * The first 16 steps (compilation, caches) are left out; sums are told from the 64th step on. A slow-down is
 * told once; the new pace is the usual one after some time.
 *
 * Worked: steps of 1.00 s +- 1 % for 600 steps, then 1.07 s: block medians deviate by some 0.003,
 * ln(1.07) = 0.068 is more than ln(1.05) = 0.049 and 8 * 0.005 (the least deviation): told after 4
 * blocks, 64 steps.
 */

enum { MIN_SUDDEN, MIN_SUM, MIN_LOST, MIN_LASTING, MIN_SECONDS };

static const struct rule_param params[] = {
    {"min_sudden", 2, 1.05, 1000, "times the median that a step takes to be called slow"},
    {"min_sum", 4.5, 0.1, 1000,
        "sum of ln(step time over that) over the steps that is told"},
    {"min_lost", 1, 0, 1e9,
        "seconds that slow steps in a row have cost when they are told"},
    {"min_lasting", 1.05, 1.01, 1000, "times the usual that blocks of 16 steps take"},
    {"min_seconds", 0.05, 0, 1e6, "shorter steps are judged by min_sudden only, doubled"},
};

enum { SUDDEN = 1, LASTING };
enum {
    N_SKIPPED = 16,
    N_KNOWN = 64,
    BLOCK = 16,
    KNOWN_BLOCKS = 24,
    N_BLOCKS = 4,
    LONG_ROW = 8
};

static const double least_deviation = 0.005;
static const double most_a_step = 2;
static const double over_past = 1.5;
static const double noise = 2.5;

struct memory {
    struct robust steps;  /* ln(seconds) of the last steps */
    struct robust blocks; /* medians of blocks, without those that were slow */
    double block[BLOCK];  /* sorted */
    double sum;           /* C */
    double sum_peak;      /* of the sum since it was 0 */
    double lost;          /* seconds, since then */
    double past_peak;     /* largest that came to nothing */
    uint32_t row;         /* steps since it was 0 */
    uint32_t past_row;    /* longest that came to nothing */
    int64_t block_step;
    int64_t sum_step;      /* where the sum began */
    int64_t slow_step;     /* where the slow blocks began */
    double slow[N_BLOCKS]; /* medians of the slow blocks in a row: usual, if they stay */
    uint32_t n;
    uint32_t n_slow_blocks;
    uint32_t n_quiet; /* steps to go until something is told again */
};

static bool applies(const struct judge_thing *thing)
{
    return thing->id == 0;
}

static double deviation_of(const struct robust *robust, double median)
{
    return fmax(ROBUST_MAD_TO_SIGMA * robust_mad(robust, median), least_deviation);
}

static void note(struct rule_context *context, struct memory *memory, uint32_t code,
    int64_t from, double value, double usual)
{
    if (memory->n_quiet > 0) {
        return;
    }
    memory->n_quiet = 4 * ROBUST_WINDOW;
    rule_note_since(context, code, from, exp(value), exp(usual), exp(value - usual));
}

static void look_at_step(struct rule_context *context, struct memory *memory, double y)
{
    const double *p = context->params;
    double median = robust_median(&memory->steps);
    bool is_short = exp(median) < p[MIN_SECONDS] && exp(y) < 2 * p[MIN_SECONDS];
    double factor = p[MIN_SUDDEN] * (is_short ? 2 : 1);
    double slow = fmax(log(factor), noise * deviation_of(&memory->steps, median));
    bool was_zero = memory->sum <= 0;
    memory->sum += fmin(y - median - slow, most_a_step);
    memory->lost += exp(y) - exp(median);
    memory->row++;
    if (memory->sum <= 0 || y < median + 0.5 * slow) {
        memory->past_peak = fmax(memory->past_peak, memory->sum_peak);
        memory->past_row =
            memory->row - 1 > memory->past_row ? memory->row - 1 : memory->past_row;
        memory->row = 0;
        memory->sum = 0;
        memory->sum_peak = 0;
        memory->lost = 0;
        return;
    }
    memory->sum_step = was_zero ? context->step : memory->sum_step;
    memory->sum_peak = fmax(memory->sum_peak, memory->sum);
    if (memory->n < N_KNOWN) { /* too early to tell, but a hiccup to remember */
        memory->past_peak = fmax(memory->past_peak, memory->sum_peak);
        memory->past_row = memory->row > memory->past_row ? memory->row : memory->past_row;
        return;
    }
    bool is_new = memory->sum > over_past * memory->past_peak ||
                  memory->row > 2 * memory->past_row + LONG_ROW;
    if (memory->sum > p[MIN_SUM] && is_new && memory->lost > p[MIN_LOST]) {
        note(context, memory, SUDDEN, memory->sum_step, y, median);
        memory->row = 0;
        memory->sum = 0;
        memory->sum_peak = 0;
        memory->lost = 0;
    }
}

static void add_to_block(struct memory *memory, uint32_t n, double y)
{
    uint32_t at = n;
    while (at > 0 && memory->block[at - 1] > y) {
        memory->block[at] = memory->block[at - 1];
        at--;
    }
    memory->block[at] = y;
}

static void look_at_block(struct rule_context *context, struct memory *memory)
{
    double now = 0.5 * memory->block[BLOCK / 2 - 1] + 0.5 * memory->block[BLOCK / 2];
    double usual = robust_median(&memory->blocks);
    bool is_slow = memory->blocks.n >= KNOWN_BLOCKS &&
                   now > usual + log(context->params[MIN_LASTING]) &&
                   now > usual + 8 * deviation_of(&memory->blocks, usual);
    if (!is_slow) {
        for (uint32_t i = 0; i < memory->n_slow_blocks; i++) {
            robust_push(&memory->blocks, memory->slow[i]);
        }
        memory->n_slow_blocks = 0;
        robust_push(&memory->blocks, now);
        return;
    }
    if (memory->n_slow_blocks == 0) {
        memory->slow_step = memory->block_step;
    }
    memory->slow[memory->n_slow_blocks++] = now;
    if (memory->n_slow_blocks < N_BLOCKS) {
        return;
    }
    if (exp(now) >= context->params[MIN_SECONDS]) {
        note(context, memory, LASTING, memory->slow_step, now, usual);
    }
    for (int i = 0; i < N_BLOCKS; i++) {
        robust_push(&memory->blocks, memory->slow[i]);
    }
    memory->n_slow_blocks = 0;
}

static void on_reading(
    struct rule_context *context, void *state, const struct reading *reading)
{
    struct memory *memory = state;
    if (reading->n_f64 == 0 || !(reading->f64[0] > 0) || !isfinite(reading->f64[0])) {
        return;
    }
    double y = log(reading->f64[0]);
    memory->n += memory->n < UINT32_MAX - 1 ? 1 : 0;
    if (memory->n <= N_SKIPPED) {
        return;
    }
    memory->n_quiet -= memory->n_quiet > 0 ? 1 : 0;
    if (memory->steps.n >= N_SKIPPED) {
        look_at_step(context, memory, y);
    }
    robust_push(&memory->steps, y);
    uint32_t at = (memory->n - N_SKIPPED - 1) % BLOCK;
    memory->block_step = at == 0 ? context->step : memory->block_step;
    add_to_block(memory, at, y);
    if (at == BLOCK - 1) {
        look_at_block(context, memory);
    }
}

enum { TIME_BYTES = 32 };

/* A time per step as a person says it. */
static const char *time_words(char out[TIME_BYTES], double seconds)
{
    bool is_ms = seconds < 1;
    bool is_us = seconds < 1e-3;
    (void)snprintf(out, TIME_BYTES, "%.3g %s",
        seconds * (is_us      ? 1e6
                      : is_ms ? 1e3
                              : 1),
        is_us   ? "µs"
        : is_ms ? "ms"
                : "s");
    return out;
}

static void tell(struct rule_context *context, const struct rule_fact *fact,
    struct judge_finding *finding)
{
    (void)context;
    char now[TIME_BYTES];
    char usual[TIME_BYTES];
    char longer[TIME_BYTES];
    (void)snprintf(longer, sizeof longer,
        fact->score < 2 ? "%.0f %% longer" : "%.3g times as long",
        fact->score < 2 ? 100 * (fact->score - 1) : fact->score);
    rule_say(finding, "Steps take %s since step %lld, where %s was usual (%s).",
        time_words(now, fact->value), (long long)rule_since(fact),
        time_words(usual, fact->usual), longer);
    finding->advice =
        "Look at what else runs on the machine, at the loading of data, at clocks and "
        "temperatures of the devices, and, with several ranks, which of them is slow.";
    rule_blame(finding, JUDGE_CAUSE_INPUT_PIPELINE);
    rule_blame(finding, JUDGE_CAUSE_CONTENTION);
    rule_blame(finding, JUDGE_CAUSE_HARDWARE);
    rule_show(finding, 0, READING_STEP, 0, -1, rule_since(fact) - 128,
        "the time per step before and after");
    finding->step = rule_since(fact);
}

const struct rule rule_throughput = {
    .name = "throughput",
    .sentence = "Steps take longer than they did.",
    .params = params,
    .n_params = BARO_LEN(params),
    .level = BARO_WATCH,
    .kinds = RULE_KIND(READING_STEP),
    .excuses = JUDGE_CHANGE_RESTART | JUDGE_CHANGE_EVENT,
    .state_bytes = sizeof(struct memory),
    .applies = applies,
    .on_reading = on_reading,
    .tell = tell,
};
