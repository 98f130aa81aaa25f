/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/judge_run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/detect_ranks.h"
#include "lib/analysis/rule_table.h"
#include "lib/base/mem.h"
#include "lib/base/order.h"

/*
 * Do the ranks agree, and is one of them slow? What must be the same on all of them is
 * detect_ranks.c's question. For the pace, let y_r = ln(seconds of rank r's step) and m the median of
 * y over the ranks at that step; of each rank a sum is kept,
 *
 *   S_r = max(0, S_r + min(y_r - m - ln(min_slower), 1.5)),
 *
 * and the rank is a straggler when S_r exceeds `min_sum`: a rank that takes 1.5 times as long as the
 * others is told after 18 steps, one that takes 10 times as long after 3; a single slow step, however
 * slow, adds 1.5 at most. After that it is silent until S_r has been 0 again.
 *
 * Worked: two ranks at 0.1 s, of which one turns to 1 s: the median of two is their mean in ln, so
 * y_r - m = ln(10) / 2 = 1.151; less ln(1.2) = 0.182 that is 0.969 a step: past 4 at the fifth.
 *
 * Known failure: where ranks wait for each other within each step (gradients averaged by
 * DistributedDataParallel) all steps take as long as the slowest rank's, and none is slower than
 * the others; then the rule `throughput` sees that steps take longer, not whose fault it is.
 */

enum { MIN_SLOWER, MIN_SUM };

static const struct rule_param straggler_params[] = {
    {"min_slower", 1.2, 1.01, 100,
        "times the median rank's step time that is no slowness yet"},
    {"min_sum", 4, 0.1, 1000, "sum of ln(step time over that) over the steps that is told"},
};

const struct rule rule_straggler = {
    .name = "straggler",
    .sentence = "One rank's steps take longer than the others'.",
    .params = straggler_params,
    .n_params = BARO_LEN(straggler_params),
    .level = BARO_WATCH,
};

const struct rule rule_ranks_differ = {
    .name = "ranks_differ",
    .sentence = "What must be the same on all ranks is not.",
    .level = BARO_ALARM,
};

static const double most_a_step = 1.5;

/* One process. */
struct rank {
    int64_t newest;   /* step that it began last */
    int64_t before;   /* and the one before it */
    int64_t complete; /* valid if n_begun > 2 */
    uint64_t n_begun;
    double sum; /* S_r */
    bool has_joined;
    bool has_left;
    bool is_told;
};

/* A reading that waits for its step to be complete everywhere. */
struct said {
    int64_t step;
    int64_t time_ns;
    double value;
    uint32_t rank;
    uint32_t thing; /* 0: seconds */
    uint32_t serial;
};

struct judge_run {
    const struct rule_book *book;
    struct ranks_detector *detector;
    struct rank *ranks;
    uint32_t n_ranks;   /* largest that has spoken, plus 1 */
    uint32_t n_to_come; /* ranks that are expected and have not spoken yet */
    char **names;       /* by thing; NULL: not looked at */
    uint32_t names_size;
    struct said *pending;
    size_t n_pending;
    size_t pending_size;
    uint32_t serial;
    int64_t done; /* steps up to here have been looked at; valid if has_done */
    bool has_done;
    struct judge_finding *findings;
    uint32_t *finding_ranks;
    size_t n_findings;
    size_t findings_size;
    size_t next_finding;
};

struct judge_run *judge_run_create(const struct rule_book *book)
{
    struct judge_run *run = baro_xcalloc(1, sizeof *run);
    run->book = book;
    run->detector = ranks_create();
    run->ranks = baro_xcalloc(JUDGE_RUN_MAX_RANKS, sizeof *run->ranks);
    return run;
}

void judge_run_destroy(struct judge_run *run)
{
    if (run == NULL) {
        return;
    }
    for (uint32_t i = 0; i < run->names_size; i++) {
        free(run->names[i]);
    }
    ranks_destroy(run->detector);
    free(run->names);
    free(run->ranks);
    free(run->pending);
    free(run->findings);
    free(run->finding_ranks);
    free(run);
}

void judge_run_expect(struct judge_run *run, uint32_t n_ranks)
{
    run->n_to_come = n_ranks;
}

void judge_run_declare(struct judge_run *run, uint32_t rank, uint32_t id, const char *name)
{
    bool is_meant = strncmp(name, RANKS_PREFIX, strlen(RANKS_PREFIX)) == 0;
    if (!is_meant || rank >= JUDGE_RUN_MAX_RANKS || id == 0 || id > JUDGE_MAX_THING) {
        return;
    }
    if (id >= run->names_size) {
        uint32_t size = 2 * id;
        run->names = baro_xrealloc(run->names, size, sizeof *run->names);
        memset(
            run->names + run->names_size, 0, (size - run->names_size) * sizeof *run->names);
        run->names_size = size;
    }
    if (run->names[id] == NULL) {
        run->names[id] = baro_xstrdup(name);
    }
}

/* ---- findings ---- */

static bool is_on(const struct judge_run *run, const struct rule *rule)
{
    int place = rule_find(rule->name);
    return place >= 0 && run->book->is_on[place];
}

static struct judge_finding *add_finding(
    struct judge_run *run, const struct rule *rule, const struct said *said, uint32_t rank)
{
    if (run->n_findings == run->findings_size) {
        size_t size = run->findings_size == 0 ? 8 : 2 * run->findings_size;
        run->findings = baro_xrealloc(run->findings, size, sizeof *run->findings);
        run->finding_ranks =
            baro_xrealloc(run->finding_ranks, size, sizeof *run->finding_ranks);
        run->findings_size = size;
    }
    run->finding_ranks[run->n_findings] = rank;
    struct judge_finding *finding = &run->findings[run->n_findings++];
    *finding = (struct judge_finding){.rule = rule,
        .kind = rule->name,
        .level = rule->level,
        .thing = said->thing,
        .step = said->step,
        .noticed_step = said->step,
        .time_ns = said->time_ns,
        .unit = -1,
        .row = -1,
        .value = said->value};
    return finding;
}

static void tell_difference(
    struct judge_run *run, const struct said *said, const struct ranks_finding *found)
{
    struct judge_finding *finding =
        add_finding(run, &rule_ranks_differ, said, found->rank_b);
    finding->usual = found->value_a;
    rule_say(finding,
        "%s is not the same on ranks %u and %u at step %lld: the sums of its bits are %.0f and "
        "%.0f.",
        run->names[said->thing] + strlen(RANKS_PREFIX), found->rank_a, found->rank_b,
        (long long)found->step, found->value_a, found->value_b);
    finding->advice =
        "Replicas that have parted train different models. Look for weights that are changed "
        "outside the optimiser, for parameters whose gradients are not reduced, for random "
        "numbers or seeds that differ, and for faulty memory; start again from a checkpoint "
        "on all ranks.";
    rule_blame(finding, JUDGE_CAUSE_NOT_SYNCED);
    rule_blame(finding, JUDGE_CAUSE_HARDWARE);
    rule_show(finding, said->thing, READING_SCALAR, 0, -1, said->step - 100,
        "the sum of its bits");
}

static void tell_straggler(
    struct judge_run *run, const struct said *said, double usual, double sum)
{
    struct judge_finding *finding = add_finding(run, &rule_straggler, said, said->rank);
    finding->usual = usual;
    finding->score = sum;
    rule_say(finding, "Rank %u is slow: its step %lld took %.3g s, the others' %.3g s.",
        said->rank, (long long)said->step, said->value, usual);
    finding->advice =
        "All wait for the slowest: look at that machine's devices (clocks, "
        "temperatures, errors), its network, its data, and what else runs there.";
    rule_blame(finding, JUDGE_CAUSE_HARDWARE);
    rule_blame(finding, JUDGE_CAUSE_CONTENTION);
    rule_blame(finding, JUDGE_CAUSE_INPUT_PIPELINE);
    rule_show(finding, 0, READING_STEP, 0, -1, said->step - 100, "the time per step");
}

/* ---- comparing ---- */

/* The seconds of one step on all ranks. */
static void look_at_paces(struct judge_run *run, const struct said *said, size_t n)
{
    int place = rule_find(rule_straggler.name);
    const double *p = run->book->params[place];
    if (n < 2 || !run->book->is_on[place]) {
        return;
    }
    double *ys = baro_xcalloc(n, sizeof *ys);
    for (size_t i = 0; i < n; i++) {
        ys[i] = log(said[i].value);
    }
    qsort(ys, n, sizeof *ys, baro_by_double);
    double median = 0.5 * ys[(n - 1) / 2] + 0.5 * ys[n / 2];
    free(ys);
    for (size_t i = 0; i < n; i++) {
        struct rank *rank = &run->ranks[said[i].rank];
        double more = log(said[i].value) - median - log(p[MIN_SLOWER]);
        rank->sum = fmax(0, rank->sum + fmin(more, most_a_step));
        rank->is_told &= rank->sum > 0;
        rank->sum = fmin(rank->sum, 2 * p[MIN_SUM]);
        if (rank->sum > p[MIN_SUM] && !rank->is_told && more > 0) {
            rank->is_told = true;
            tell_straggler(run, &said[i], exp(median), rank->sum);
        }
    }
}

static int compare_said(const void *left, const void *right)
{
    const struct said *a = left;
    const struct said *b = right;
    int order = (a->step > b->step) - (a->step < b->step);
    order = order != 0 ? order : (a->thing > b->thing) - (a->thing < b->thing);
    order = order != 0 ? order : (a->rank > b->rank) - (a->rank < b->rank);
    return order != 0 ? order : (a->serial > b->serial) - (a->serial < b->serial);
}

static void look_at_step(struct judge_run *run, const struct said *said, size_t n)
{
    size_t n_paces = 0;
    while (n_paces < n && said[n_paces].thing == 0) {
        n_paces++;
    }
    look_at_paces(run, said, n_paces);
    for (size_t i = n_paces; i < n; i++) {
        struct ranks_finding found;
        if (ranks_add(run->detector, run->names[said[i].thing], said[i].rank, said[i].step,
                said[i].value, &found) &&
            is_on(run, &rule_ranks_differ)) {
            tell_difference(run, &said[i], &found);
        }
    }
}

/* Look at all that waits up to a step. */
static void complete(struct judge_run *run, int64_t step)
{
    size_t n = 0;
    qsort(run->pending, run->n_pending, sizeof *run->pending, compare_said);
    while (n < run->n_pending && run->pending[n].step <= step) {
        size_t to = n + 1;
        while (to < run->n_pending && run->pending[to].step == run->pending[n].step) {
            to++;
        }
        look_at_step(run, run->pending + n, to - n);
        n = to;
    }
    run->n_pending -= n;
    memmove(run->pending, run->pending + n, run->n_pending * sizeof *run->pending);
    run->done = step;
    run->has_done = true;
}

/* Complete what all ranks that are there have left behind. */
static void catch_up(struct judge_run *run)
{
    int64_t least = INT64_MAX;
    uint32_t n_there = 0;
    if (run->n_to_come > 0) {
        return;
    }
    for (uint32_t i = 0; i < run->n_ranks; i++) {
        const struct rank *rank = &run->ranks[i];
        if (!rank->has_joined || rank->has_left) {
            continue;
        }
        n_there++;
        if (rank->n_begun < 3) {
            return;
        }
        least = rank->complete < least ? rank->complete : least;
    }
    if (n_there > 0 && (!run->has_done || least != run->done)) {
        complete(run, least);
    }
}

/* ---- readings ---- */

static void begin_step(struct judge_run *run, struct rank *rank, int64_t step)
{
    if (rank->n_begun > 0 && step <= rank->newest) { /* it went back */
        rank->n_begun = 0;
        rank->sum = 0;
    }
    bool was_least = !run->has_done || rank->n_begun < 3 || rank->complete <= run->done;
    rank->complete = rank->before;
    rank->before = rank->newest;
    rank->newest = step;
    rank->n_begun++;
    if (was_least) {
        catch_up(run);
    }
}

static void wait_for(struct judge_run *run, uint32_t rank, const struct reading *reading,
    uint32_t thing, double value)
{
    if (run->n_pending >= JUDGE_RUN_MAX_WAIT) {
        run->n_to_come = 0; /* whoever is missing does not tell anything */
    }
    if (run->n_pending == JUDGE_RUN_MAX_PENDING) {
        complete(run, INT64_MAX);
    }
    if (run->n_pending == run->pending_size) {
        run->pending_size = run->pending_size == 0 ? 64 : 2 * run->pending_size;
        run->pending = baro_xrealloc(run->pending, run->pending_size, sizeof *run->pending);
    }
    run->pending[run->n_pending++] = (struct said){.step = reading->header.step,
        .time_ns = reading->header.time_ns,
        .value = value,
        .rank = rank,
        .thing = thing,
        .serial = run->serial++};
}

void judge_run_reading(
    struct judge_run *run, uint32_t number, const struct reading *reading, uint32_t thing)
{
    if (number >= JUDGE_RUN_MAX_RANKS || reading->n_f64 > SUMMARY_STAT_COUNT) {
        return;
    }
    struct rank *rank = &run->ranks[number];
    bool is_step = reading->header.kind == READING_STEP;
    bool is_named = thing < run->names_size && run->names[thing] != NULL;
    bool is_scalar = reading->header.kind == READING_SCALAR && is_named;
    int64_t step = reading->header.step;
    bool is_sane = step <= JUDGE_MAX_STEP && step >= -JUDGE_MAX_STEP;
    if ((!is_step && !is_scalar) || !is_sane) {
        return;
    }
    run->n_to_come -= !rank->has_joined && run->n_to_come > 0 ? 1 : 0;
    rank->has_joined = true;
    rank->has_left = false;
    run->n_ranks = number >= run->n_ranks ? number + 1 : run->n_ranks;
    if (is_scalar) {
        wait_for(run, number, reading, thing, reading->f64[0]);
        return;
    }
    begin_step(run, rank, reading->header.step);
    bool has_time = reading->n_f64 > 0 && isfinite(reading->f64[0]) && reading->f64[0] > 0;
    if (has_time) {
        wait_for(run, number, reading, 0, reading->f64[0]);
    }
}

void judge_run_leave(struct judge_run *run, uint32_t number)
{
    if (number >= run->n_ranks || !run->ranks[number].has_joined) {
        return;
    }
    run->ranks[number].has_left = true;
    bool is_anybody_left = false;
    for (uint32_t i = 0; i < run->n_ranks; i++) {
        is_anybody_left |= run->ranks[i].has_joined && !run->ranks[i].has_left;
    }
    if (is_anybody_left || run->n_to_come > 0) {
        catch_up(run);
    } else {
        complete(run, INT64_MAX);
    }
}

bool judge_run_take(
    struct judge_run *run, struct judge_finding *out_finding, uint32_t *out_rank)
{
    if (run->next_finding == run->n_findings) {
        run->next_finding = 0;
        run->n_findings = 0;
        return false;
    }
    *out_rank = run->finding_ranks[run->next_finding];
    *out_finding = run->findings[run->next_finding++];
    return true;
}

size_t judge_run_memory(const struct judge_run *run)
{
    return sizeof *run + JUDGE_RUN_MAX_RANKS * sizeof *run->ranks +
           run->names_size * sizeof *run->names + run->pending_size * sizeof *run->pending +
           run->findings_size * sizeof *run->findings;
}
