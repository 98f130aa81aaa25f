/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/sample.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/sample_inside.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"

/*
 * A sample is made in phases, each in steps of some milliseconds.
 *
 * GLANCE  of a wide tensor a few steps of some hundred units are read, and a picture of them is told
 *         at once, with a coarse density: it is what can be known within 50 ms however many units
 *         and steps there are.
 * FIRST   the same of those that were shown before, where there are some, or where rows are too
 *         many to be read one by one.
 * ROWS    all readings, as they came, to be kept (sample_rows.c); unless they are too many.
 * READ    the key columns of all units, a slice of them at a time.
 * CHOOSE  the sampler works; when what it tells has changed, but not more than ten times a second
 *         and with a fifth of the time at most, it is told.
 * SHADE   all lines go into the density.
 * TELL    the shown lines are read in full, those that were told before are at hand; then comes
 *         the finding. Back to where it was.
 * IDLE    done. A live one goes on from here (sample_live.c).
 *
 * What is chosen in the end depends on the readings and the request only, not on any clock: the
 * picture of FIRST is made whole, and its lines are what the sampler is to keep.
 */

enum {
    FIRST_OF = 512,        /* with more units than that there is a first picture */
    FEW_NUMBERS = 1 << 19, /* they are all read before a glance would be */
    CHOOSE_LINES = 1000,
    SHADE_LINES = 256
};

static const uint64_t TELL_NS = 100000000; /* between findings on the way */
static const uint64_t TELL_SHARE = 4;      /* or so many times what one costs */

/* Shares of the whole, about. */
static const double fraction_read = 0.45;
static const double fraction_chosen = 0.9;

static void destroy(struct task *task)
{
    struct sample_job *job = (struct sample_job *)task;
    sample_end_read(job);
    sample_lines_finish(&job->lines);
    sampler_destroy(job->sampler);
    density_finish(&job->density);
    sample_table_finish(&job->first);
    sample_rows_finish(&job->rows);
    sample_glance_finish(&job->glance);
    sample_picture_finish(&job->next);
    sample_picture_finish(&job->told);
    free(job->shades.bytes);
    free(job->ask.keep);
    free(job->ask.always);
    free(job);
}

/* ---- reading ---- */

void sample_begin_read(struct sample_job *job, enum sample_job_phase phase,
    int64_t from_step, int64_t to_step, size_t n_columns)
{
    const uint64_t span = (uint64_t)to_step - (uint64_t)from_step;
    const uint32_t n = (uint32_t)(span < n_columns ? span + 1 : n_columns);
    sample_end_read(job);
    sample_lines_finish(&job->lines);
    sample_lines_init(&job->lines, job->source.n_units, n);
    job->cut = columns_cut(from_step, to_step, n);
    job->edges = baro_xcalloc((size_t)n + 1, sizeof *job->edges);
    columns_edges(&job->cut, job->edges);
    job->cut.edges = job->edges;
    job->slice = baro_xcalloc((size_t)SAMPLE_SLICE_UNITS * n, sizeof *job->slice);
    job->at = 0;
    job->rows_from = phase == PHASE_MORE ? job->n_rows_seen : 0;
    job->phase = phase;
}

void sample_end_read(struct sample_job *job)
{
    free(job->edges);
    free(job->slice);
    job->edges = NULL;
    job->slice = NULL;
}

int sample_read_slice(
    struct sample_job *job, const struct task_call *call, struct baro_err *err)
{
    const size_t left = job->source.n_units - job->at;
    const size_t n = left < SAMPLE_SLICE_UNITS ? left : SAMPLE_SLICE_UNITS;
    int rc = 0;
    if (job->rows.is_off) {
        rc = sample_read(&job->source, call->store, &job->cut, (uint32_t)job->at,
            (uint32_t)n, job->slice, &job->tally, err);
    } else {
        memset(job->slice, 0, n * job->cut.n_columns * sizeof *job->slice);
        job->tally.n_rows = sample_rows_columns(
            &job->rows, job->rows_from, &job->cut, NULL, (uint32_t)job->at, n, job->slice);
    }
    if (rc != 0) {
        return rc;
    }
    sample_lines_take(&job->lines, job->at, n, job->slice);
    job->at += n;
    if (job->at < job->source.n_units) {
        return 1;
    }
    sample_lines_pack(&job->lines);
    return 0;
}

/* ---- telling ---- */

static void begin_gather(struct sample_job *job, enum sample_job_phase behind)
{
    struct sample_picture *next = &job->next;
    const uint32_t n_columns = sample_ask_columns(&job->ask, next->n_shown);
    struct column_cut cut = columns_cut(next->from_step, next->to_step, n_columns);
    /* No reading lies before the first one that was found. */
    const int64_t least =
        next->from_step > job->ask.from_step ? INT64_MIN : job->ask.from_step;
    if (job->ask.is_live) {
        struct column_cut growing;
        bool can_grow =
            sample_cut_growing(least, next->from_step, next->to_step, n_columns, &growing);
        cut = can_grow ? growing : cut;
    }
    sample_table_finish(&next->table);
    sample_table_init(&next->table, next->shown, next->n_shown, &cut);
    if (!job->is_anew) {
        sample_table_take(&next->table, &job->told.table);
    }
    job->is_anew = false;
    job->tell_cpu_ns = job->task.cpu_ns;
    job->behind_tell = behind;
    job->phase = PHASE_TELL;
}

void sample_begin_tell(struct sample_job *job, bool is_done, enum sample_job_phase behind)
{
    struct sample sample;
    if (is_done && job->ask.is_live) {
        job->is_turning = sampler_end_frame(job->sampler);
    }
    sampler_get(job->sampler, &sample);
    sample_picture_make(&job->next, job, &sample, NULL);
    job->next.is_done = is_done;
    job->next.fraction =
        is_done ? 1 : fraction_read + (fraction_chosen - fraction_read) * sample.fraction;
    begin_gather(job, behind);
}

/* Whether there is something to see that has not been told. */
static bool has_changed(const struct sample_job *job)
{
    struct sample sample;
    sampler_get(job->sampler, &sample);
    const struct sample_picture *told = &job->told;
    if (sample.n_shown == 0 || (sample.n_shown < told->n_shown && !sample.is_assigned)) {
        return false; /* it is only beginning to be better than what was told */
    }
    return sample.n_shown + job->ask.n_always < told->n_shown ||
           sample.n_shown > told->n_shown ||
           sample.is_assigned != (told->nearest != NULL) ||
           memcmp(sample.shown, told->shown, sample.n_shown * sizeof *told->shown) != 0;
}

static enum task_state step_tell(
    struct sample_job *job, const struct task_call *call, struct baro_err *err)
{
    int rc = sample_table_step(
        &job->next.table, &job->rows, &job->source, call->store, &job->tally, err);
    if (rc != 0) {
        return rc > 0 ? TASK_BUSY : TASK_OVER;
    }
    if (!call->may_tell) {
        return TASK_WAITS; /* until what was told before has left */
    }
    const bool is_last = job->next.is_done && !job->ask.is_live;
    sample_tell_next(job, is_last);
    const uint64_t pause_ns = TELL_SHARE * (job->task.cpu_ns - job->tell_cpu_ns);
    job->next_tell_ns = call->now_ns + (pause_ns > TELL_NS ? pause_ns : TELL_NS);
    job->phase = job->behind_tell;
    return TASK_BUSY;
}

/* ---- density ---- */

void sample_shade_some(struct sample_job *job, const struct sample_lines *lines, size_t end)
{
    struct polyline_screen screen;
    polyline_screen_init(&screen, &lines->view, &job->axis, (float)job->density.height,
        POLYLINE_MAX_COLUMNS);
    for (; job->at < end; job->at++) {
        density_add(&job->density, &screen, &lines->view, job->at);
    }
}

static uint32_t shade_side(uint32_t plot_px, uint32_t by)
{
    const uint32_t px = (plot_px + by - 1) / by;
    return px < SAMPLE_MAX_DENSITY_SIDE ? px : SAMPLE_MAX_DENSITY_SIDE;
}

void sample_begin_shade(struct sample_job *job, uint32_t by)
{
    density_finish(&job->density);
    density_init(
        &job->density, shade_side(job->ask.n_columns, by), shade_side(job->ask.height, by));
    job->at = 0;
    job->phase = PHASE_SHADE;
}

/* ---- the phases ---- */

static enum task_state step_open(
    struct sample_job *job, const struct task_call *call, struct baro_err *err)
{
    job->tally = (struct sample_tally){0};
    job->is_stale = false;
    job->is_awake = job->is_refresh = true;
    if (sample_extent(&job->source, call->store, job->ask.from_step, job->ask.to_step,
            &job->extent, err) != 0) {
        return TASK_OVER;
    }
    if (!job->extent.has_any) {
        if (!call->may_tell) {
            return TASK_WAITS;
        }
        job->phase = PHASE_IDLE;
        sample_tell_nothing(job, !job->ask.is_live);
        return TASK_BUSY;
    }
    job->wants_first = job->source.n_units > FIRST_OF && !job->is_again;
    const bool is_little = job->extent.n_rows * job->source.n_units <= FEW_NUMBERS;
    const bool can_glance = job->wants_first && !is_little &&
                            job->ask.n_keep < SAMPLE_FIRST_KEEP &&
                            sample_glance_begin(&job->glance, &job->source, call->store,
                                job->extent.from_step, job->extent.to_step);
    job->wants_first = job->wants_first && !can_glance;
    job->phase = can_glance ? PHASE_GLANCE : PHASE_ROWS;
    return TASK_BUSY;
}

static enum task_state step_rows(
    struct sample_job *job, const struct task_call *call, struct baro_err *err)
{
    struct sample_rows *rows = &job->rows;
    int rc = sample_rows_step(
        rows, &job->source, call->store, job->ask.from_step, job->ask.to_step, err);
    if (rc != 0) {
        return rc > 0 ? TASK_BUSY : TASK_OVER;
    }
    rows->is_off = rows->is_off || rows->n == 0; /* they went meanwhile */
    for (size_t i = 0; i < rows->n; i++) {
        const int64_t step = rows->steps[i];
        job->extent.from_step = step < job->extent.from_step ? step : job->extent.from_step;
        job->extent.to_step = step > job->extent.to_step ? step : job->extent.to_step;
    }
    job->n_rows_seen = rows->n;
    if (job->wants_first) {
        job->wants_first = false;
        sample_begin_first(job);
        return TASK_BUSY;
    }
    sample_begin_read(
        job, PHASE_READ, job->extent.from_step, job->extent.to_step, POLYLINE_MAX_COLUMNS);
    return TASK_BUSY;
}

/* Let the sampler begin, with what was shown before. */
static void begin_choose(struct sample_job *job)
{
    const struct sample_ask *ask = &job->ask;
    const size_t n_steps = job->lines.view.n_steps;
    const bool has_wish = ask->n_keep > 0 && !job->is_again;
    struct sample_options options = {.target = ask->target,
        .seed = ask->seed,
        .keep = has_wish ? ask->keep : job->told.shown,
        .n_keep = has_wish ? ask->n_keep : job->told.n_shown,
        .readings_a_step = n_steps > 0 ? job->tally.n_rows / n_steps : 0,
        .is_next_frame = job->is_again};
    sampler_destroy(job->sampler);
    job->sampler =
        sampler_create(&job->lines.view, &job->axis, (float)ask->height, &options);
    job->phase = PHASE_CHOOSE;
}

static enum task_state step_read(
    struct sample_job *job, const struct task_call *call, struct baro_err *err)
{
    int rc = sample_read_slice(job, call, err);
    if (rc != 0) {
        return rc > 0 ? TASK_BUSY : TASK_OVER;
    }
    sample_end_read(job);
    if (job->is_shade_only) {
        sample_begin_shade(job, 1);
        return TASK_BUSY;
    }
    if (!sample_axis_fit(job, &job->lines)) {
        (void)baro_err_set(err, BARO_EINVAL,
            "nothing above 0 can be shown on a log axis: ask for a symlog one");
        return TASK_OVER;
    }
    begin_choose(job);
    return TASK_BUSY;
}

static enum task_state step_choose(struct sample_job *job, const struct task_call *call)
{
    bool is_more = sampler_step(job->sampler, CHOOSE_LINES);
    if (!is_more) {
        sample_begin_shade(job, 1);
    }
    if (call->may_tell && call->now_ns >= job->next_tell_ns && !job->is_again &&
        has_changed(job)) {
        sample_begin_tell(job, false, is_more ? PHASE_CHOOSE : PHASE_SHADE);
    }
    return TASK_BUSY;
}

static enum task_state step_shade(struct sample_job *job)
{
    const size_t n = job->lines.n_lines;
    const size_t end = n - job->at > SHADE_LINES ? job->at + SHADE_LINES : n;
    sample_shade_some(job, &job->lines, end);
    if (end < n) {
        return TASK_BUSY;
    }
    sample_shades_make(
        &job->shades, &job->density, job->extent.from_step, job->extent.to_step);
    sample_lines_finish(&job->lines);
    job->is_again = job->ask.is_live;
    job->is_shade_only = false;
    sample_begin_tell(job, true, PHASE_IDLE);
    return TASK_BUSY;
}

/* Done, but the last finding did not reach its asker: tell it all again. */
static void tell_again(struct sample_job *job)
{
    job->shades.is_told = false;
    if (job->phase != PHASE_IDLE) {
        return; /* there is more to tell anyhow */
    }
    if (job->told.n_shown == 0) {
        job->phase = PHASE_OPEN;
    } else {
        sample_begin_tell(job, true, PHASE_IDLE);
    }
}

static enum task_state step(struct task *task, const struct task_call *call)
{
    struct sample_job *job = (struct sample_job *)task;
    struct baro_err err = {0};
    enum task_state state = TASK_OVER;
    job->has_news = job->has_news || call->has_news; /* also while it is at work */
    if (call->must_tell) {
        tell_again(job);
    }
    switch (job->phase) {
    case PHASE_OPEN: state = step_open(job, call, &err); break;
    case PHASE_GLANCE: state = sample_glance(job, call, &err); break;
    case PHASE_FIRST: state = sample_first(job, call, &err); break;
    case PHASE_ROWS: state = step_rows(job, call, &err); break;
    case PHASE_READ: state = step_read(job, call, &err); break;
    case PHASE_CHOOSE: state = step_choose(job, call); break;
    case PHASE_SHADE: state = step_shade(job); break;
    case PHASE_TELL: state = step_tell(job, call, &err); break;
    case PHASE_IDLE: state = sample_idle(job, call, &err); break;
    case PHASE_NEWS:
    case PHASE_MORE:
    case PHASE_APPEND: state = sample_more(job, call, &err); break;
    }
    if (state == TASK_OVER) {
        task_refuse(task, &err);
    }
    return state;
}

struct task *sample_task(const struct registry *registry, const struct run *run,
    const Baro__SampleRequest *request, struct baro_err *err)
{
    struct sample_job *job = baro_xcalloc(1, sizeof *job);
    job->task = (struct task){.step = step, .destroy = destroy};
    const struct thing *thing = registry_thing(run, request->thing);
    if (sample_ask_take(&job->ask, &job->source, thing, run->number, request, err) != 0) {
        destroy(&job->task);
        return NULL;
    }
    job->source.n_parts = registry_lineage(registry, run, thing, job->source.parts);
    job->task.n_bytes = sample_ask_bytes(&job->ask, job->source.n_units);
    return &job->task;
}
