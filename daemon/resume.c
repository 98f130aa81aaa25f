/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/resume.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/live.h"
#include "lib/alarm/alarm.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/tensor.h"
#include "lib/base/text.h"

#define LOG_MODULE "resume"

/*
 * Which run a stream belongs to. All runs that descend from one first run are a family; they
 * share the id by which they were opened. A stream that is known stays where it is, so neither a
 * new connection nor a ring that is read later branches again. For a new one:
 *
 *   append     the newest of the family; a ring that is brought in late joins the newest that
 *              was opened before it
 *   overwrite, branch
 *              the ranks of one start find each other: the branch that was declared in the same
 *              way, opened within WINDOW of it, in which this rank is not yet. Its launcher's
 *              name for the job must not differ, where there is one. Otherwise a new branch
 *
 * What is found is told with the first reading, when it is known where the process goes on.
 */

static const int64_t window_ns = INT64_C(900) * 1000000000; /* between ranks of one start */
static const uint64_t rival_after_ns = 3 * UINT64_C(1000000000);

enum { TEXT_BYTES = 512, ID_BYTES = 160 };

/* ---- telling ---- */

/* An event of the run by the daemon itself; also for the log and for the stream's user. */
__attribute__((format(printf, 6, 7))) static void tell(struct barod *barod,
    struct stream *stream, enum baro_level level, int64_t step, int64_t time_ns,
    const char *format, ...)
{
    struct {
        double level;
        char text[TEXT_BYTES];
    } payload = {.level = (double)level};
    static const char author[] = "barod: ";
    const size_t n_author = sizeof author - 1;
    memcpy(payload.text, author, n_author);
    va_list list;
    va_start(list, format);
    (void)vsnprintf(payload.text + n_author, sizeof payload.text - n_author, format, list);
    va_end(list);
    size_t n = baro_utf8_prefix(payload.text, strlen(payload.text), TEXT_BYTES - 1);
    struct reading reading = {
        .header = {.kind = READING_EVENT,
            .step = step,
            .time_ns = time_ns,
            .payload_bytes = (uint32_t)(sizeof payload.level + n)},
        .n_f64 = 1,
        .extra_bytes = (uint32_t)n,
        .f64 = &payload.level,
        .extra = (const uint8_t *)payload.text,
    };
    const struct store_row row = {
        .run = stream->run->number,
        .kind = READING_EVENT,
        .n_f64 = 1,
        .extra_bytes = reading.extra_bytes,
        .step = step,
        .time_ns = time_ns,
        .payload = (const uint8_t *)&payload,
    };
    bundle_append(barod->open, &row);
    barod_open_bundle(barod);
    live_on_reading(barod, stream, &reading);
    payload.text[n] = '\0';
    if (level > BARO_INFO) {
        log_warn("run=%" PRIu32 ": %s", stream->run->number, payload.text + n_author);
    } else {
        log_info("run=%" PRIu32 ": %s", stream->run->number, payload.text + n_author);
    }
    free(stream->note);
    stream->note = baro_xstrdup(payload.text + n_author);
}

/* A run's id, fit for a sentence. */
static const char *id_of(const struct run *run, char out[ID_BYTES])
{
    baro_text_safe(out, ID_BYTES, run->description->run_id);
    return out;
}

static const char *word(uint32_t resume)
{
    return resume == BARO_RESUME_OVERWRITE ? "overwrite"
           : resume == BARO_RESUME_BRANCH  ? "branch"
                                           : "append";
}

/* ---- choosing the run ---- */

static bool has_rank(const struct run *run, uint32_t rank)
{
    for (uint32_t i = 0; i < run->n_streams; i++) {
        if (run->streams[i]->hello->rank == rank) {
            return true;
        }
    }
    return false;
}

static int64_t distance(int64_t a, int64_t b)
{
    int64_t difference;
    bool is_far = __builtin_sub_overflow(a > b ? a : b, a > b ? b : a, &difference);
    return is_far ? INT64_MAX : difference;
}

/* Tell whether a branch never got to a reading: a start that failed, which the next one may use. */
static bool is_forsaken(const struct run *run)
{
    for (uint32_t i = 0; i < run->n_streams; i++) {
        Baro__RunStatus status = run->streams[i]->status;
        if (status != BARO__RUN_STATUS__RUN_FINISHED &&
            status != BARO__RUN_STATUS__RUN_FAILED &&
            status != BARO__RUN_STATUS__RUN_KILLED) {
            return false;
        }
    }
    return run->is_branch_open;
}

/* Tell whether a run was begun by another rank of the same start, and waits for this one. */
static bool is_same_start(
    const struct run *run, const Baro__RunDescription *other, uint32_t rank)
{
    const Baro__RunDescription *own = run->description;
    bool is_same_job =
        own->job[0] == '\0' || other->job[0] == '\0' || strcmp(own->job, other->job) == 0;
    bool is_missing = is_same_job && !has_rank(run, rank) &&
                      distance(own->created_ns, other->created_ns) <= window_ns;
    return own->resume == other->resume && own->resume_step == other->resume_step &&
           own->n_ranks == other->n_ranks && (is_missing || is_forsaken(run));
}

/* The run of a family that ranks of one start made, if one of them has come already. */
static struct run *find_start(const struct registry *registry, const struct run *root,
    const Baro__RunDescription *description, uint32_t rank)
{
    struct run *found = NULL;
    int64_t nearest = INT64_MAX;
    for (uint32_t i = 0; i < registry->n_runs; i++) {
        struct run *run = registry->runs[i];
        int64_t away = distance(run->description->created_ns, description->created_ns);
        if (registry_root(run) == root && is_same_start(run, description, rank) &&
            away <= nearest) {
            found = run;
            nearest = away;
        }
    }
    return found;
}

/* The run of a family that was current when a process that has ended opened it. */
static struct run *find_former(const struct registry *registry, struct run *newest,
    const Baro__RunDescription *description)
{
    struct run *root = registry_root(newest);
    int64_t created_ns = description->created_ns;
    if (created_ns == 0 || created_ns >= newest->description->created_ns) {
        return newest;
    }
    struct run *found = root;
    for (uint32_t i = 0; i < registry->n_runs; i++) {
        struct run *run = registry->runs[i];
        if (registry_root(run) == root && run->description->created_ns <= created_ns &&
            run->description->created_ns >= found->description->created_ns) {
            found = run;
        }
    }
    return found;
}

static struct run *make_branch(
    struct barod *barod, struct run *parent, Baro__RunDescription *description)
{
    assert(parent != NULL);
    /* While its first step is not known it inherits all. */
    int64_t branch_step = description->resume_step;
    if (branch_step < 0) {
        int64_t first = 0;
        int64_t last = -1;
        (void)registry_steps(parent, &first, &last);
        branch_step = last < INT64_MAX ? last + 1 : last;
    }
    if (description->resume == BARO_RESUME_OVERWRITE) {
        parent->is_overwritten = true;
    }
    struct run *run =
        registry_add_branch(&barod->registry, parent, description, branch_step);
    char ids[2][ID_BYTES];
    log_info("run %" PRIu32 " '%s' is a branch (%s) of run %" PRIu32 " '%s'", run->number,
        id_of(run, ids[0]), word(description->resume), parent->number,
        id_of(parent, ids[1]));
    return run;
}

/* A process knows of more ranks than the first: it was started by that one. */
static void learn_ranks(struct run *run, const Baro__RunDescription *description)
{
    if (description->n_ranks <= run->description->n_ranks) {
        return;
    }
    run->description->n_ranks = description->n_ranks;
    if (run->alarm != NULL) {
        alarm_expect_ranks(run->alarm, description->n_ranks);
    }
    registry_touch_run(run);
}

struct run *resume_run(
    struct barod *barod, Baro__RunDescription *description, uint32_t rank, bool is_recovery)
{
    struct registry *registry = &barod->registry;
    struct run *newest = NULL;
    HASH_FIND_STR(registry->runs_by_id, description->run_id, newest);
    if (newest == NULL) {
        struct run *run = registry_add_run(registry, description);
        log_info("run %" PRIu32 " is new: project '%s' name '%s' id '%s'", run->number,
            description->project, description->name, description->run_id);
        return run;
    }
    /* Clocks of living processes may differ; for what comes in late there is nothing better. */
    struct run *current = is_recovery ? find_former(registry, newest, description) : newest;
    struct run *run = current;
    if (description->resume != BARO_RESUME_APPEND) {
        run = find_start(registry, registry_root(newest), description, rank);
    }
    if (run == NULL) {
        return make_branch(barod, current, description);
    }
    learn_ranks(run, description);
    baro__run_description__free_unpacked(description, NULL);
    return run;
}

/* ---- the first reading ---- */

/* What a branch took over from its parent, in words. */
static void tell_branch(
    struct barod *barod, struct stream *stream, const struct record_header *header)
{
    const struct run *run = stream->run;
    char id[ID_BYTES];
    char what[160];
    int64_t first = 0;
    int64_t last = 0;
    bool has_steps = registry_steps(run->parent, &first, &last);
    int64_t at = run->branch_step;
    if (!has_steps || first >= at) {
        (void)snprintf(what, sizeof what, "nothing of it lies before that");
    } else if (last < at - 1) {
        (void)snprintf(what, sizeof what,
            "it ends at step %" PRId64 ": from %" PRId64 " to %" PRId64 " there is a gap",
            last, last + 1, at - 1);
    } else if (last < at) {
        (void)snprintf(what, sizeof what, "it ends right before that");
    } else {
        (void)snprintf(what, sizeof what,
            "its steps %" PRId64 " to %" PRId64 " are kept there, %s", at, last,
            run->description->resume == BARO_RESUME_OVERWRITE ? "overwritten here"
                                                              : "apart from this run");
    }
    tell(barod, stream, BARO_INFO, header->step, header->time_ns,
        "branches off '%s' at step %" PRId64 " (%s): %s", id_of(run->parent, id), at,
        word(run->description->resume), what);
}

static void begin_branch(
    struct barod *barod, struct stream *stream, const struct record_header *header)
{
    struct run *run = stream->run;
    int64_t said = run->description->resume_step;
    registry_close_branch(
        &barod->registry, run, said >= 0 ? said : header->step, barod->open);
    tell_branch(barod, stream, header);
}

/* The largest step that earlier processes of a stream's rank have got to; false without one. */
static bool find_earlier(const struct stream *stream, int64_t *out_step)
{
    bool has_any = false;
    for (uint32_t i = 0; i < stream->run->n_streams; i++) {
        const struct stream *other = stream->run->streams[i];
        if (other != stream && other->has_begun &&
            other->hello->rank == stream->hello->rank) {
            *out_step =
                !has_any || other->max_step > *out_step ? other->max_step : *out_step;
            has_any = true;
        }
    }
    return has_any;
}

static void tell_append(
    struct barod *barod, struct stream *stream, const struct record_header *header)
{
    int64_t step = header->step;
    int64_t last = 0;
    if (!find_earlier(stream, &last)) {
        return; /* the first process of its rank */
    }
    char rank[32] = "";
    if (stream->run->description->n_ranks > 1) {
        (void)snprintf(rank, sizeof rank, "rank %" PRIu32 " ", stream->hello->rank);
    }
    if (stream->is_superseded) {
        tell(barod, stream, BARO_INFO, step, header->time_ns,
            "%sreadings of an earlier process came in late, from step %" PRId64 " on", rank,
            step);
    } else if (step <= last) {
        uint64_t n = (uint64_t)last - (uint64_t)step + 1;
        tell(barod, stream, BARO_INFO, step, header->time_ns,
            "%sresumed at step %" PRId64 " (append): %" PRIu64
            " step%s will be seen twice, up to %" PRId64,
            rank, step, n, n == 1 ? "" : "s", last);
    } else {
        tell(barod, stream, BARO_INFO, step, header->time_ns,
            "%sresumed at step %" PRId64 " (append), after step %" PRId64, rank, step,
            last);
    }
}

static void begin(
    struct barod *barod, struct stream *stream, const struct record_header *header)
{
    struct run *run = stream->run;
    const Baro__RunDescription *description = run->description;
    bool is_declared = run->description->resume != BARO_RESUME_APPEND;
    int64_t last = 0;
    if (run->is_branch_open) {
        begin_branch(barod, stream, header);
    } else if (run->parent != NULL && description->resume_step < 0 &&
               header->step < run->branch_step && !find_earlier(stream, &last)) {
        run->branch_step = header->step; /* of its ranks, the one that begins earliest */
    } else if (run->parent == NULL && is_declared && stream->n == 1) {
        tell(barod, stream, BARO_INFO, header->step, header->time_ns,
            "a new run: there was none to resume (%s)", word(description->resume));
    } else {
        tell_append(barod, stream, header);
    }
    stream->has_begun = true;
    stream->max_step = header->step;
    registry_touch_stream(stream);
}

void resume_on_reading(
    struct barod *barod, struct stream *stream, const struct reading *reading)
{
    const struct record_header *header = &reading->header;
    if (header->kind == READING_EVENT || header->kind == READING_STATUS ||
        header->kind == READING_DROPS) {
        return; /* these may come before the first step */
    }
    if (!stream->has_begun) {
        begin(barod, stream, header);
    }
    stream->max_step = header->step > stream->max_step ? header->step : stream->max_step;
}

/* ---- epochs ---- */

/* "[64, 128] f32, 64 units" */
static const char *describe_layout(const Baro__Declare *declare, char *out, size_t size)
{
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < declare->n_shape && n + 32 < size; i++) {
        n += (size_t)snprintf(
            out + n, size - n, "%s%" PRId64, i > 0 ? ", " : "[", declare->shape[i]);
    }
    (void)snprintf(out + n, size - n, "%s%s", declare->n_shape > 0 ? "] " : "",
        baro_dtype_name((enum baro_dtype)declare->dtype));
    return out;
}

void resume_on_epoch(struct barod *barod, struct stream *stream, const struct thing *thing,
    const struct reading *reading)
{
    char name[200];
    char layouts[2][128];
    const struct thing *before = registry_epoch_before(thing);
    if (before == NULL || registry_inherited(thing).n_points > 0) {
        return; /* its parent has told it */
    }
    baro_text_safe(name, sizeof name, thing->declare->name);
    tell(barod, stream, BARO_INFO, reading->header.step, reading->header.time_ns,
        "'%s:%s' is another from here on: %s became %s; it goes on as its epoch %" PRIu32,
        name, baro_role_name((enum baro_role)thing->declare->role),
        describe_layout(before->declare, layouts[0], sizeof layouts[0]),
        describe_layout(thing->declare, layouts[1], sizeof layouts[1]), thing->epoch);
}

/* ---- two at once, too many names ---- */

/* The living process that began later and speaks for the rank of this one. */
static const struct stream *find_rival(
    const struct barod *barod, const struct stream *stream)
{
    for (uint32_t i = 0; i < stream->run->n_streams; i++) {
        const struct stream *other = stream->run->streams[i];
        bool is_alive = other->status == BARO__RUN_STATUS__RUN_RUNNING &&
                        !other->is_recovered && other->met_ns != 0 &&
                        barod->now_ns - other->met_ns >= rival_after_ns;
        if (other != stream && !other->is_superseded && is_alive &&
            other->hello->rank == stream->hello->rank) {
            return other;
        }
    }
    return NULL;
}

void resume_on_sign_of_life(struct barod *barod, struct stream *stream)
{
    if (!stream->is_superseded || stream->has_told_rival || stream->is_recovered) {
        return;
    }
    const struct stream *rival = find_rival(barod, stream);
    if (rival == NULL) {
        return;
    }
    stream->has_told_rival = true;
    tell(barod, stream, BARO_WATCH, stream->last_step, stream->last_time_ns,
        "two processes push as rank %" PRIu32 " of this run at once, %" PRIu32
        " and %" PRIu32 ": their readings are mixed; give each a run of its own",
        stream->hello->rank, stream->hello->pid, rival->hello->pid);
}

void resume_on_limit(struct barod *barod, struct stream *stream, const char *text)
{
    if (stream->has_told_limit) {
        return;
    }
    stream->has_told_limit = true;
    tell(barod, stream, BARO_WATCH, stream->last_step, stream->last_time_ns,
        "%s: readings of further names are left out, those of known names go on", text);
}
