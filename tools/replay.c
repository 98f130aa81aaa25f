/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/replay.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/alarm/weave.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "tools/progress.h"
#include "tools/rows.h"
#include "tools/series.h"

/*
 * History is read group by group (a thing and a kind of its readings) and woven into steps, one
 * window of steps after the other, so that memory stays bounded. Where steps go back, all of it is one
 * window. Each reading is fed to the judge of its process: the one of its rank that had opened the
 * run last at the reading's time. Rows of the run itself (steps, batches, events) belong to the rank
 * that a READING_RANK names. Where there is none, because an older daemon has written them, each
 * rank takes each step once, and batches are left out.
 */

enum { WINDOW_BYTES = 48 << 20, SUMMARY_BYTES = 400, ROW_BYTES = 96 };

/* One process and its judge. */
struct process {
    uint32_t rank;
    int64_t created_ns;
    Baro__RunStatus status;
    struct alarm_stream *stream; /* NULL until its first reading */
    int64_t last_time_ns;
    int64_t last_clock; /* valid if has_clock */
    bool has_clock;
    bool is_over;
};

struct replaying {
    struct cli *cli;
    const Baro__RunInfo *run;
    struct replay *replay;
    struct thing_list things;
    struct alarm *alarm;
    struct weave *weave;
    struct process *processes; /* by rank, then in the order in which they were made */
    size_t n_processes;
    const Baro__ThingInfo **by_id; /* by_id[id], NULL: none */
    size_t n_ids;
    struct progress progress;
    uint64_t n_read;
    /* of the group that is being read */
    enum reading_kind kind;
    uint32_t thing;
    uint32_t n_f64;
    uint32_t n_f32;
};

/* ---- processes ---- */

static int compare_processes(const void *left, const void *right)
{
    const struct process *a = left;
    const struct process *b = right;
    if (a->rank != b->rank) {
        return a->rank < b->rank ? -1 : 1;
    }
    return (a->created_ns > b->created_ns) - (a->created_ns < b->created_ns);
}

static void list_processes(struct replaying *state, const Baro__AlertsReply *recorded)
{
    size_t n = recorded->n_streams > 0 ? recorded->n_streams : 1;
    state->processes = baro_xcalloc(n, sizeof *state->processes);
    state->n_processes = n;
    for (size_t i = 0; i < recorded->n_streams; i++) {
        const Baro__StreamMark *mark = recorded->streams[i];
        state->processes[i].rank = mark->rank;
        state->processes[i].created_ns = mark->created_ns;
        state->processes[i].status = mark->status;
    }
    qsort(state->processes, n, sizeof *state->processes, compare_processes);
    for (size_t i = 1; i < n; i++) {
        bool is_same_rank = state->processes[i].rank == state->processes[i - 1].rank;
        state->replay->has_restarts |= is_same_rank;
        state->replay->has_ranks |= !is_same_rank;
    }
}

/* Make the judge of a process, with all things of its rank. */
static void open_process(struct replaying *state, struct process *process)
{
    process->stream = alarm_add_stream(state->alarm, process->rank);
    for (size_t id = 1; id < state->n_ids; id++) {
        const Baro__ThingInfo *thing = state->by_id[id];
        if (thing != NULL && thing->rank == process->rank) {
            alarm_declare(process->stream, (uint32_t)id, thing->declare);
        }
    }
}

/* ---- what is found ---- */

static void put_incident(struct replay *replay, Baro__Incident *incident)
{
    for (size_t i = 0; i < replay->n_incidents; i++) {
        if (replay->incidents[i]->id == incident->id) {
            baro__incident__free_unpacked(replay->incidents[i], NULL);
            replay->incidents[i] = incident;
            return;
        }
    }
    replay->incidents =
        baro_xrealloc(replay->incidents, replay->n_incidents + 1, sizeof(Baro__Incident *));
    replay->incidents[replay->n_incidents++] = incident;
}

static void gather(struct replaying *state)
{
    struct replay *replay = state->replay;
    Baro__Alert *alert;
    while ((alert = alarm_take(state->alarm, NULL)) != NULL) {
        alert->run = state->run->run;
        replay->alerts =
            baro_xrealloc(replay->alerts, replay->n_alerts + 1, sizeof(Baro__Alert *));
        replay->alerts[replay->n_alerts++] = alert;
    }
    Baro__Incident *incident;
    while ((incident = alarm_take_incident(state->alarm)) != NULL) {
        incident->run = state->run->run;
        put_incident(replay, incident);
    }
}

static void end_process(struct replaying *state, struct process *process,
    enum judge_end why, const char *reason)
{
    if (process->stream != NULL && !process->is_over) {
        process->is_over = true;
        alarm_end(process->stream, why, reason, process->last_time_ns);
        gather(state);
    }
}

/* ---- feeding ---- */

/* The process of a rank at a time; those before it that nobody ended are gone. */
static struct process *process_at(struct replaying *state, uint32_t rank, int64_t time_ns)
{
    struct process *at = NULL;
    for (size_t i = 0; i < state->n_processes; i++) {
        struct process *process = &state->processes[i];
        if (process->rank != rank) {
            continue;
        }
        if (at != NULL && process->created_ns > time_ns) {
            break;
        }
        if (at != NULL && at->status == BARO__RUN_STATUS__RUN_KILLED) {
            end_process(state, at, JUDGE_END_GONE, NULL);
        }
        at = process;
    }
    return at;
}

static void feed_process(struct replaying *state, struct process *process,
    const struct reading *reading, uint32_t thing)
{
    if (process->stream == NULL) {
        open_process(state, process);
    }
    process->last_time_ns = reading->header.time_ns;
    if (alarm_reading(process->stream, reading, thing)) {
        gather(state);
    }
    if (reading->header.kind == READING_STATUS) {
        bool is_failed = (int)reading->f64[0] == READING_END_FAILED;
        baro_autofree char *reason = baro_xcalloc((size_t)reading->extra_bytes + 1, 1);
        memcpy(reason, reading->extra, reading->extra_bytes);
        end_process(state, process, is_failed ? JUDGE_END_FAILED : JUDGE_END_FINISHED,
            is_failed && reason[0] != '\0' ? reason : NULL);
    }
}

/* A row of the run itself that is every rank's; see the essay. */
static void feed_ranks(struct replaying *state, const struct reading *reading)
{
    bool is_clock = reading->header.kind == READING_STEP;
    state->replay->lacks_ranks = true;
    if (reading->header.kind == READING_BATCH || reading->header.kind == READING_SAMPLES) {
        return;
    }
    for (size_t i = 0; i < state->n_processes; i++) {
        uint32_t rank = state->processes[i].rank;
        if (i > 0 && state->processes[i - 1].rank == rank) {
            continue;
        }
        struct process *process = process_at(state, rank, reading->header.time_ns);
        assert(process != NULL);
        bool is_known = process->has_clock && process->last_clock == reading->header.step;
        if (is_clock && is_known) {
            continue;
        }
        if (is_clock) {
            process->has_clock = true;
            process->last_clock = reading->header.step;
        }
        feed_process(state, process, reading, 0);
    }
}

static int feed(const struct reading *reading, uint32_t thing, int64_t rank, void *payload)
{
    struct replaying *state = payload;
    if (rank == WEAVE_ANY_RANK) {
        feed_ranks(state, reading);
        return 0;
    }
    struct process *process = process_at(state, (uint32_t)rank, reading->header.time_ns);
    if (process != NULL) {
        feed_process(state, process, reading, thing);
    }
    state->replay->n_readings += thing != 0 ? 1 : 0;
    return 0;
}

/* ---- reading ---- */

static int on_row(const struct row *row, void *payload)
{
    struct replaying *state = payload;
    const struct reading reading = {
        .header = {.step = row->step,
            .time_ns = row->time_ns,
            .thing = state->thing,
            .kind = (uint16_t)state->kind},
        .n_f64 = state->n_f64,
        .n_f32 = state->n_f32,
        .extra_bytes = (uint32_t)row->extra_bytes,
        .f64 = row->f64,
        .f32 = row->f32,
        .extra = row->extra,
    };
    int64_t rank = state->thing != 0          ? (int64_t)state->by_id[state->thing]->rank
                   : state->replay->has_ranks ? WEAVE_ANY_RANK
                                              : (int64_t)state->processes[0].rank;
    weave_add(state->weave, &reading, state->thing, rank);
    state->n_read++;
    return CLI_OK;
}

static int on_page(void *payload)
{
    struct replaying *state = payload;
    progress_tell(&state->progress, state->n_read, 0);
    return CLI_OK;
}

static int read_group(struct replaying *state, const Baro__ThingInfo *thing,
    enum reading_kind kind, int64_t from, int64_t to)
{
    struct rows_wanted wanted = {
        .run = state->run->run,
        .thing = thing != NULL ? thing->thing : 0,
        .kind = kind,
        .from = from,
        .to = to,
    };
    if (kind == READING_UNITS) {
        assert(thing != NULL);
        wanted.n_units = thing->declare->n_units;
        wanted.n_unit_stats = thing_unit_stats(thing);
    }
    state->kind = kind;
    state->thing = wanted.thing;
    state->n_f64 = kind == READING_SUMMARY ? SUMMARY_STAT_COUNT
                   : kind == READING_UNITS ? 0
                   : kind == READING_RANK  ? 2
                                           : 1;
    state->n_f32 = wanted.n_units * wanted.n_unit_stats;
    struct rows_told told = {0};
    int rc = rows_each(state->cli, &wanted, on_row, on_page, state, &told);
    state->replay->n_pruned += told.n_pruned;
    if (told.damage[0] != '\0' && state->replay->damage[0] == '\0') {
        memcpy(state->replay->damage, told.damage, sizeof state->replay->damage);
    }
    return rc;
}

static int read_window(struct replaying *state, int64_t from, int64_t to)
{
    static const enum reading_kind own[] = {READING_STEP, READING_BATCH, READING_SAMPLES,
        READING_EVENT, READING_STATUS, READING_RANK};
    size_t n_own = BARO_LEN(own) - (state->replay->has_ranks ? 0 : 1);
    int rc = CLI_OK;
    for (size_t i = 0; rc == CLI_OK && i < n_own; i++) {
        rc = read_group(state, NULL, own[i], from, to);
    }
    for (size_t id = 1; rc == CLI_OK && id < state->n_ids; id++) {
        const Baro__ThingInfo *thing = state->by_id[id];
        if (thing == NULL || thing->first_step > to || thing->last_step < from) {
            continue;
        }
        if (!thing->declare->is_tensor) {
            rc = read_group(state, thing, READING_SCALAR, from, to);
            continue;
        }
        rc = read_group(state, thing, READING_SUMMARY, from, to);
        if (rc == CLI_OK && thing->n_unit_points > 0) {
            rc = read_group(state, thing, READING_UNITS, from, to);
        }
    }
    if (rc == CLI_OK) {
        rc = weave_each(state->weave, feed, state);
    }
    weave_clear(state->weave);
    return rc;
}

/* ---- all of it ---- */

static void index_things(struct replaying *state)
{
    for (size_t i = 0; i < state->things.n_things; i++) {
        uint32_t id = state->things.things[i]->thing;
        state->n_ids = id >= state->n_ids ? (size_t)id + 1 : state->n_ids;
    }
    state->by_id = baro_xcalloc(state->n_ids + 1, sizeof(Baro__ThingInfo *));
    for (size_t i = 0; i < state->things.n_things; i++) {
        const Baro__ThingInfo *thing = state->things.things[i];
        if (!thing_is_run(thing) && thing->thing > 0) {
            state->by_id[thing->thing] = thing;
        }
    }
}

/* How many windows keep memory bounded; 1 where steps go back. */
static uint64_t count_windows(const struct replaying *state)
{
    double bytes = (double)state->run->n_steps * ROW_BYTES;
    bool goes_back = state->replay->has_restarts || state->run->n_steps < 2;
    for (size_t id = 1; id < state->n_ids; id++) {
        const Baro__ThingInfo *thing = state->by_id[id];
        if (thing == NULL) {
            continue;
        }
        goes_back |= thing->n_repeats > 0;
        double row = thing->declare->is_tensor ? SUMMARY_BYTES : ROW_BYTES;
        bytes += row * (double)thing->n_points +
                 (ROW_BYTES + 4.0 * thing->declare->n_units * UNIT_STAT_MOST) *
                     (double)thing->n_unit_points;
    }
    uint64_t n = goes_back ? 1 : (uint64_t)(bytes / WINDOW_BYTES) + 1;
    return n < (uint64_t)state->run->n_steps || goes_back ? n
                                                          : (uint64_t)state->run->n_steps;
}

static int read_all(struct replaying *state)
{
    const Baro__RunInfo *run = state->run;
    int64_t from = state->replay->from_step;
    uint64_t n_windows = count_windows(state);
    if (n_windows < 2) {
        return read_window(state, from, INT64_MAX);
    }
    int rc = CLI_OK;
    int64_t begin = from > run->first_step ? from : run->first_step;
    uint64_t width = ((uint64_t)run->last_step - (uint64_t)begin) / n_windows + 1;
    for (uint64_t i = 0; rc == CLI_OK && i < n_windows; i++) {
        int64_t first = i == 0 ? from : begin + (int64_t)(i * width);
        int64_t last =
            i + 1 == n_windows ? INT64_MAX : begin + (int64_t)((i + 1) * width) - 1;
        rc = read_window(state, first, last);
    }
    return rc;
}

/* How each process ended that did not say so itself. */
static void end_all(struct replaying *state)
{
    for (size_t i = 0; i < state->n_processes; i++) {
        struct process *process = &state->processes[i];
        if (process->status == BARO__RUN_STATUS__RUN_KILLED) {
            end_process(state, process, JUDGE_END_GONE, NULL);
        } else if (process->status == BARO__RUN_STATUS__RUN_STALLED) {
            end_process(state, process, JUDGE_END_STALLED, NULL);
        }
    }
    bool has_ended = state->run->status == BARO__RUN_STATUS__RUN_FINISHED ||
                     state->run->status == BARO__RUN_STATUS__RUN_FAILED ||
                     state->run->status == BARO__RUN_STATUS__RUN_KILLED;
    if (has_ended) {
        alarm_close(state->alarm);
    }
    gather(state);
    state->replay->n_withheld = alarm_n_withheld(state->alarm);
}

int replay_run(struct cli *cli, const Baro__RunInfo *run, const Baro__AlertsReply *recorded,
    const struct rule_book *rules, struct replay *replay)
{
    struct replaying state = {.cli = cli, .run = run, .replay = replay};
    int rc = things_ask(cli, run->run, NULL, &state.things);
    if (rc != CLI_OK) {
        return rc;
    }
    uint64_t began_ns = baro_now_ns();
    replay->from_step = run->parent != 0 ? run->branch_step : INT64_MIN;
    index_things(&state);
    list_processes(&state, recorded);
    state.alarm = alarm_create(rules);
    alarm_expect_ranks(state.alarm, run->description->n_ranks);
    state.weave = weave_create();
    progress_begin(&state.progress, "readings", run->n_records, false);
    rc = read_all(&state);
    progress_end(&state.progress);
    if (rc == CLI_OK) {
        end_all(&state);
    }
    replay->seconds = (double)(baro_now_ns() - began_ns) * 1e-9;
    alarm_destroy(state.alarm);
    weave_destroy(state.weave);
    things_release(&state.things);
    free(state.processes);
    free(state.by_id);
    return rc;
}

void replay_finish(struct replay *replay)
{
    for (size_t i = 0; i < replay->n_alerts; i++) {
        baro__alert__free_unpacked(replay->alerts[i], NULL);
    }
    for (size_t i = 0; i < replay->n_incidents; i++) {
        baro__incident__free_unpacked(replay->incidents[i], NULL);
    }
    free(replay->alerts);
    free(replay->incidents);
    *replay = (struct replay){0};
}
