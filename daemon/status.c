/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/status.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/recover.h"
#include "daemon/rules.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/order.h"
#include "lib/base/paths.h"
#include "lib/base/ringfile.h"

#define LOG_MODULE "status"

/*
 * A stream is one process. It is running while it gives signs of life and its step moves;
 * stalled when it exists but is silent for 10 s, or heartbeats go on and the step has not moved
 * for 20 times the usual, at least a minute; killed when its process is known to be gone without
 * a goodbye: on this machine by process id and start time, after a restart of this machine by its
 * boot id. A silent process on another machine stays stalled: nobody can know. The run's status
 * is the gravest of its ranks, each rank speaking through its newest stream.
 */

static const uint64_t second_ns = 1000000000;
static const uint64_t check_after_ns = 1500000000; /* of silence: is the process there? */
static const uint64_t silent_local_ns = 10 * UINT64_C(1000000000);
static const uint64_t silent_remote_ns = 15 * UINT64_C(1000000000);
static const double stall_paces = 20;
static const double min_stall_s = 60;

static bool is_over(Baro__RunStatus status)
{
    return status == BARO__RUN_STATUS__RUN_FINISHED ||
           status == BARO__RUN_STATUS__RUN_FAILED || status == BARO__RUN_STATUS__RUN_KILLED;
}

/* How much a status says about the run when ranks differ. */
static int gravity(Baro__RunStatus status)
{
    switch (status) {
    case BARO__RUN_STATUS__RUN_FAILED: return 5;
    case BARO__RUN_STATUS__RUN_KILLED: return 4;
    case BARO__RUN_STATUS__RUN_STALLED: return 3;
    case BARO__RUN_STATUS__RUN_RUNNING: return 2;
    case BARO__RUN_STATUS__RUN_FINISHED: return 1;
    case BARO__RUN_STATUS__RUN_UNKNOWN:
    case _BARO__RUN_STATUS_IS_INT_SIZE:
    default: return 0;
    }
}

static const char *word(Baro__RunStatus status)
{
    static const char *const words[] = {
        "unknown", "running", "finished", "failed", "killed", "stalled"};
    return (size_t)status < BARO_LEN(words) ? words[status] : "?";
}

/* Tell whether a process began later than another; the ring of an old one may come in last. On
 * one machine, between two starts of it, the kernel's count tells, whatever the wall clock has
 * been set to meanwhile. */
static bool is_newer(const struct stream *a, const struct stream *b)
{
    uint64_t a_start = a->hello->process_start;
    uint64_t b_start = b->hello->process_start;
    if (a_start > 0 && b_start > 0 && a_start != b_start &&
        strcmp(a->hello->boot_id, b->hello->boot_id) == 0) {
        return a_start > b_start;
    }
    return a->created_ns != b->created_ns ? a->created_ns > b->created_ns : a->n > b->n;
}

/* Tell whether a later process of the same rank speaks for it. */
static bool is_superseded(const struct run *run, const struct stream *stream)
{
    for (uint32_t k = 0; k < run->n_streams; k++) {
        if (run->streams[k]->hello->rank == stream->hello->rank &&
            is_newer(run->streams[k], stream)) {
            return true;
        }
    }
    return false;
}

static void derive_run(struct run *run)
{
    Baro__RunStatus status = BARO__RUN_STATUS__RUN_UNKNOWN;
    for (uint32_t i = 0; i < run->n_streams; i++) {
        struct stream *stream = run->streams[i];
        stream->is_superseded = is_superseded(run, stream);
        if (gravity(stream->status) > gravity(status) && !stream->is_superseded) {
            status = stream->status;
        }
    }
    if (status != run->status) {
        log_info("run %" PRIu32 " is %s now", run->number, word(status));
        run->status = status;
        run->live_told_ns = 0; /* tell the subscribers at once */
        registry_touch_run(run);
    }
}

static void set_status(
    struct barod *barod, struct stream *stream, Baro__RunStatus status, const char *text)
{
    if (stream->status == status) {
        return;
    }
    stream->status = status;
    free(stream->status_text);
    stream->status_text = text != NULL && text[0] != '\0' ? baro_xstrdup(text) : NULL;
    registry_touch_stream(stream);
    barod_open_bundle(barod);
    derive_run(stream->run);
    if (status == BARO__RUN_STATUS__RUN_KILLED) {
        rules_on_trouble(barod, stream, JUDGE_END_GONE);
    }
}

void status_on_hello(struct barod *barod, struct stream *stream, bool is_recovery)
{
    stream->heard_ns = barod->now_ns;
    stream->moved_ns = barod->now_ns;
    stream->is_recovered = is_recovery;
    stream->is_ring_done = is_recovery || stream->is_ring_done;
    bool was_said = stream->status == BARO__RUN_STATUS__RUN_FINISHED ||
                    stream->status == BARO__RUN_STATUS__RUN_FAILED;
    if (was_said) {
        return;
    }
    if (is_recovery) {
        set_status(barod, stream, BARO__RUN_STATUS__RUN_KILLED,
            "its process ended without a word; its ring was read afterwards");
    } else {
        stream->is_ring_done = false;
        set_status(barod, stream, BARO__RUN_STATUS__RUN_RUNNING, NULL);
    }
}

/* A process that was taken for dead but speaks (from another container, say) is alive. */
void status_on_sign_of_life(struct barod *barod, struct stream *stream)
{
    stream->heard_ns = barod->now_ns;
    if (stream->status == BARO__RUN_STATUS__RUN_KILLED && !stream->is_recovered) {
        stream->is_ring_done = false;
        set_status(barod, stream, BARO__RUN_STATUS__RUN_RUNNING, NULL);
    }
}

void status_on_step(struct barod *barod, struct stream *stream, int64_t step)
{
    if (step == stream->moved_step) {
        return;
    }
    stream->moved_step = step;
    stream->moved_ns = barod->now_ns;
    if (stream->status == BARO__RUN_STATUS__RUN_STALLED) {
        set_status(barod, stream, BARO__RUN_STATUS__RUN_RUNNING, NULL);
    }
}

static void on_end(
    struct barod *barod, struct stream *stream, const struct reading *reading)
{
    bool is_failed = reading->f64[0] == (double)READING_END_FAILED;
    baro_autofree char *reason = baro_xcalloc(reading->extra_bytes + 1, 1);
    if (reading->extra_bytes > 0) {
        memcpy(reason, reading->extra, reading->extra_bytes);
    }
    set_status(barod, stream,
        is_failed ? BARO__RUN_STATUS__RUN_FAILED : BARO__RUN_STATUS__RUN_FINISHED, reason);
}

void status_on_reading(
    struct barod *barod, struct stream *stream, const struct reading *reading)
{
    if (reading->header.kind == READING_DROPS) {
        double n_records = reading->f64[0];
        stream->n_dropped_told +=
            n_records > 0 && n_records < 1e18 ? (uint64_t)n_records : 0;
        return;
    }
    stream->last_step = reading->header.step;
    stream->last_time_ns = reading->header.time_ns;
    if (reading->header.kind == READING_STATUS) {
        on_end(barod, stream, reading);
        return;
    }
    if (reading->header.kind == READING_STEP && reading->f64[0] > 0) {
        stream->paces[stream->n_paces++ % STREAM_N_PACES] = (float)reading->f64[0];
    }
    status_on_step(barod, stream, reading->header.step);
}

void status_on_gone(struct barod *barod, struct stream *stream)
{
    stream->is_ring_done = true;
    if (!is_over(stream->status)) {
        set_status(barod, stream, BARO__RUN_STATUS__RUN_KILLED,
            "its process is gone without a word");
    }
}

void status_start(struct barod *barod)
{
    for (uint32_t i = 0; i < barod->registry.n_runs; i++) {
        struct run *run = barod->registry.runs[i];
        for (uint32_t k = 0; k < run->n_streams; k++) {
            run->streams[k]->heard_ns = barod->now_ns;
            run->streams[k]->moved_ns = barod->now_ns;
            run->streams[k]->is_superseded = is_superseded(run, run->streams[k]);
        }
    }
}

/* How long a step may take before the run counts as stalled. */
static uint64_t patience_ns(const struct stream *stream)
{
    uint32_t n = stream->n_paces < STREAM_N_PACES ? stream->n_paces : STREAM_N_PACES;
    double patience_s = min_stall_s;
    if (n > 0) {
        float paces[STREAM_N_PACES];
        memcpy(paces, stream->paces, n * sizeof paces[0]);
        qsort(paces, n, sizeof paces[0], baro_by_float);
        patience_s = fmin(fmax(min_stall_s, stall_paces * (double)paces[n / 2]), 1e9);
    }
    return (uint64_t)(patience_s * (double)second_ns);
}

/* A dead child that nobody has waited for is still listed, with the state Z. */
static bool is_zombie(uint32_t pid)
{
    char path[64];
    char text[512] = "";
    (void)snprintf(path, sizeof path, "/proc/%" PRIu32 "/stat", pid);
    baro_autofclose FILE *file = fopen(path, "re");
    if (file == NULL || fgets(text, sizeof text, file) == NULL) {
        return false;
    }
    const char *end = strrchr(text, ')'); /* the name before it may hold anything */
    return end != NULL && (strncmp(end, ") Z", 3) == 0 || strncmp(end, ") X", 3) == 0);
}

static bool is_here(const struct barod *barod, const struct stream *stream)
{
    return barod->boot_id[0] != '\0' && strcmp(barod->boot_id, stream->hello->boot_id) == 0;
}

/* A process in another container has a number that means nothing here: ask its ring's lock. */
static bool is_process_gone(const struct barod *barod, const struct stream *stream)
{
    const Baro__Hello *hello = stream->hello;
    if (!is_here(barod, stream)) {
        return hello->boot_id[0] != '\0' && barod->host[0] != '\0' &&
               strcmp(barod->host, stream->run->description->host) == 0;
    }
    if (hello->pid == 0 || hello->pid > INT32_MAX) {
        return false;
    }
    if (baro_process_start((int)hello->pid) == hello->process_start) {
        return is_zombie(hello->pid);
    }
    return !ringfile_is_owned(hello->ring_path);
}

static void set_stalled(
    struct barod *barod, struct stream *stream, enum judge_end why, const char *text)
{
    bool is_news = stream->status != BARO__RUN_STATUS__RUN_STALLED;
    set_status(barod, stream, BARO__RUN_STATUS__RUN_STALLED, text);
    if (is_news) {
        rules_on_trouble(barod, stream, why);
    }
}

static void look_after(struct barod *barod, struct stream *stream)
{
    uint64_t silent_ns = barod->now_ns - stream->heard_ns;
    if (stream->reader != NULL) {
        return;
    }
    bool is_local = is_here(barod, stream);
    uint64_t doubt_ns = is_local ? check_after_ns : silent_remote_ns;
    if (silent_ns > doubt_ns && is_process_gone(barod, stream)) {
        if (is_local && !stream->is_ring_done) {
            recover_start(barod, stream);
        } else {
            status_on_gone(barod, stream);
        }
        return;
    }
    if (silent_ns > (is_local ? silent_local_ns : silent_remote_ns)) {
        set_stalled(barod, stream, JUDGE_END_SILENT, "no sign of life from its process");
    } else if (!stream->is_pause_asked &&
               barod->now_ns - stream->moved_ns > patience_ns(stream)) {
        set_stalled(
            barod, stream, JUDGE_END_STALLED, "no new step for much longer than usual");
    } else {
        set_status(barod, stream, BARO__RUN_STATUS__RUN_RUNNING, NULL);
    }
}

void status_tick(struct barod *barod)
{
    for (uint32_t i = 0; i < barod->registry.n_runs; i++) {
        struct run *run = barod->registry.runs[i];
        for (uint32_t k = 0; k < run->n_streams; k++) {
            struct stream *stream = run->streams[k];
            if (!is_over(stream->status)) {
                look_after(barod, stream);
            }
        }
    }
}
