/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "daemon/sample_inside.h"
#include "lib/base/mem.h"

/*
 * A live sample goes on with the training. A commit wakes it, at most four times a second and
 * with about a tenth of a core's time (a large one still every two seconds); it reads the new readings of all units and hands them to the
 * sampler, which keeps the lines shown while they earn it. What cannot be appended (readings that
 * left the chart, came late or repeat a step, or too many at once) makes it read everything
 * again, with what is shown as what is to be kept. The density is read again when the picture has
 * become a sixteenth longer.
 */

enum { MAX_NEW = 64, DENSITY_PART = 16 };

static const uint64_t PAUSE_NS = 250000000;
static const uint64_t LONG_PAUSE_NS = 2000000000;
static const uint64_t PAUSE_SHARE = 9; /* of the time that the last one took */

/* Tell when the store is to be looked at again, after what was done since the last pause. */
static uint64_t pause_after(const struct sample_job *job, uint64_t now_ns)
{
    const uint64_t share_ns = PAUSE_SHARE * (job->task.cpu_ns - job->cycle_cpu_ns);
    const uint64_t pause_ns = share_ns > PAUSE_NS ? share_ns : PAUSE_NS;
    return now_ns + (pause_ns < LONG_PAUSE_NS ? pause_ns : LONG_PAUSE_NS);
}

/* Begin all over, keeping what is shown. */
static enum task_state begin_again(struct sample_job *job)
{
    job->is_stale = false;
    job->phase = PHASE_OPEN;
    return TASK_BUSY;
}

/* Whether the density has fallen behind. */
static bool is_density_old(const struct sample_job *job)
{
    const double whole = (double)job->extent.to_step - (double)job->extent.from_step;
    const double behind = (double)job->extent.to_step - (double)job->shades.to_step;
    return behind * DENSITY_PART > whole;
}

enum task_state sample_idle(
    struct sample_job *job, const struct task_call *call, struct baro_err *err)
{
    if (!job->ask.is_live) {
        return TASK_WAITS; /* for the last finding to be taken */
    }
    job->has_news = job->has_news || call->has_news;
    if (job->is_awake) {
        job->is_awake = false;
        job->pause_until_ns = pause_after(job, call->now_ns);
    }
    if (!job->has_news || call->now_ns < job->pause_until_ns) {
        job->task.wake_ns = job->has_news ? job->pause_until_ns : 0;
        job->task.not_before_ns = job->pause_until_ns;
        return TASK_WAITS;
    }
    job->has_news = false;
    job->is_awake = true;
    job->cycle_cpu_ns = job->task.cpu_ns;
    if (sample_extent(&job->source, call->store, job->ask.from_step, job->ask.to_step,
            &job->news, err) != 0) {
        return TASK_OVER;
    }
    if (job->news.n_rows == job->extent.n_rows) {
        return TASK_BUSY; /* of others; after a pause there may be some */
    }
    const uint64_t n_new = job->news.n_rows - job->extent.n_rows;
    const bool is_onward = job->news.has_any && job->extent.has_any &&
                           job->news.to_step > job->extent.to_step && n_new <= MAX_NEW;
    if (!is_onward) {
        const bool is_beyond = job->extent.has_any &&
                               job->news.n_rows > job->extent.n_rows &&
                               job->extent.to_step == job->ask.to_step;
        if (is_beyond || (!job->news.has_any && !job->extent.has_any)) {
            job->extent.n_rows = job->news.n_rows; /* nothing of it is to be shown */
            return TASK_BUSY;
        }
        return begin_again(job);
    }
    sample_begin_read(job, PHASE_MORE, job->extent.to_step + 1, job->news.to_step, MAX_NEW);
    return TASK_BUSY;
}

/* See whether the chart still holds all. */
static void check_axis(struct sample_job *job)
{
    const struct sample_lines *lines = &job->lines;
    const struct axis *axis = &job->axis;
    if (job->ask.has_limits || !lines->has_any) {
        return;
    }
    const bool has_lo = axis->kind != AXIS_LOG || lines->least > 0;
    job->has_outgrown_lo = has_lo && lines->least < axis->lo;
    job->has_outgrown_hi = lines->most > axis->hi;
    job->is_stale = job->is_stale || job->has_outgrown_lo || job->has_outgrown_hi;
}

/* Hand the next new readings to the sampler; false when there are none left. */
static bool append(struct sample_job *job)
{
    const struct polylines *view = &job->lines.view;
    if (job->at == view->n_steps) {
        return false;
    }
    baro_autofree float *values = baro_xcalloc(view->n_lines, sizeof *values);
    baro_autofree uint8_t *marks = baro_xcalloc(view->n_lines, 1);
    for (size_t i = 0; i < view->n_lines; i++) {
        values[i] = view->values[i * view->n_steps + job->at];
        marks[i] = view->marks[i * view->n_steps + job->at];
    }
    job->at++;
    sampler_append(job->sampler, values, marks);
    return true;
}

enum task_state sample_more(
    struct sample_job *job, const struct task_call *call, struct baro_err *err)
{
    if (job->phase == PHASE_MORE) {
        int rc = sample_read_slice(job, call, err);
        if (rc != 0) {
            return rc > 0 ? TASK_BUSY : TASK_OVER;
        }
        sample_end_read(job);
        /* Rows at steps that were there before are not among these. */
        job->is_stale = job->tally.n_rows < job->news.n_rows - job->extent.n_rows;
        check_axis(job);
        job->at = 0;
        job->phase = PHASE_APPEND;
        return TASK_BUSY;
    }
    if (sampler_step(job->sampler, SAMPLE_SLICE_UNITS) || append(job)) {
        return TASK_BUSY;
    }
    job->extent = job->news;
    if (!job->is_stale && is_density_old(job)) {
        job->is_shade_only = true;
        sample_begin_read(job, PHASE_READ, job->extent.from_step, job->extent.to_step,
            POLYLINE_MAX_COLUMNS);
        return TASK_BUSY;
    }
    sample_lines_finish(&job->lines);
    if (job->is_stale) {
        return begin_again(job);
    }
    sample_begin_tell(job, true, PHASE_IDLE);
    return TASK_BUSY;
}
