/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "daemon/sample_inside.h"
#include "lib/base/mem.h"

/*
 * A live sample goes on with the training. A commit wakes it, at most four times a second and
 * with about an eighth of a core's time (a large one still every two seconds); it reads the new readings
 * of all units and hands them to the sampler, which keeps the lines shown while they earn it, and
 * exchanges few of them in each finding (lib/analysis/sample_turn.c). Choosing anew, which costs
 * some hundred times as much as a frame does, has an eighth of a core of its own: it waits until it
 * may, and frames go on with the lines that there are.
 *
 * What cannot be appended well (readings that left the chart, came late or repeat a step, or are
 * more than a picture has columns for) makes it stale: now and then it reads everything again, with what is shown
 * as what is to be kept. So it reads for the density, when the picture has become a twentieth
 * longer. Until then it goes on as it is.
 */

enum { DENSITY_PART = 20, CHOOSE_UNITS = 512 };

static const uint64_t PAUSE_NS = 250000000;
static const uint64_t LONG_PAUSE_NS = 2000000000;
static const uint64_t PAUSE_SHARE = 7; /* of the time that the last one took */
static const uint64_t CHOICE_SHARE = 7;
static const uint64_t REFRESH_NS = 2000000000;
static const uint64_t REFRESH_SHARE = 40;

/* Note what was done since the last pause: it says how long this one is. */
static void fall_asleep(struct sample_job *job, uint64_t now_ns)
{
    const uint64_t spent_ns = job->task.cpu_ns - job->cycle_cpu_ns;
    /* Choosing for the first time or reading all again has pauses of its own. */
    uint64_t pause_ns = job->is_refresh ? 0 : PAUSE_SHARE * spent_ns;
    pause_ns = pause_ns > PAUSE_NS ? pause_ns : PAUSE_NS;
    job->pause_until_ns = now_ns + (pause_ns < LONG_PAUSE_NS ? pause_ns : LONG_PAUSE_NS);
    if (job->is_refresh) {
        const uint64_t share_ns = REFRESH_SHARE * spent_ns;
        job->next_refresh_ns = now_ns + (share_ns > REFRESH_NS ? share_ns : REFRESH_NS);
    }
    job->is_awake = job->is_refresh = false;
}

static void wake_up(struct sample_job *job)
{
    job->is_awake = true;
    job->cycle_cpu_ns = job->task.cpu_ns;
}

/* Whether the density has fallen behind. */
static bool is_density_old(const struct sample_job *job)
{
    const double whole = (double)job->extent.to_step - (double)job->extent.from_step;
    const double behind = (double)job->extent.to_step - (double)job->shades.to_step;
    return job->extent.has_any && behind * DENSITY_PART > whole;
}

/* Read everything again, for the sample and the density or, when that will do, for the latter. */
static enum task_state refresh(struct sample_job *job)
{
    wake_up(job);
    job->is_refresh = true;
    if (job->is_stale) {
        job->is_anew = true;
        job->phase = PHASE_OPEN;
        return TASK_BUSY;
    }
    job->is_shade_only = true;
    sample_begin_read(
        job, PHASE_READ, job->extent.from_step, job->extent.to_step, POLYLINE_MAX_COLUMNS);
    return TASK_BUSY;
}

/* Read the new steps, in key columns of as many readings as the sampler's have. */
static void begin_more(struct sample_job *job, uint64_t n_rows)
{
    const uint64_t each = sampler_readings_a_column(job->sampler);
    const uint64_t n_columns = (n_rows + each - 1) / each;
    const bool is_much = n_columns > POLYLINE_MAX_COLUMNS;
    job->is_stale = job->is_stale || is_much;
    sample_begin_read(job, PHASE_MORE, job->extent.to_step + 1, job->news.to_step,
        is_much ? POLYLINE_MAX_COLUMNS : (size_t)n_columns);
}

/* Something was committed: see whether it is ours, and begin to take it. */
static enum task_state look(
    struct sample_job *job, const struct task_call *call, struct baro_err *err)
{
    const struct sample_extent *was = &job->extent;
    struct sample_extent *news = &job->news;
    wake_up(job);
    job->has_news = false;
    if (sample_extent(&job->source, call->store, job->ask.from_step, job->ask.to_step, news,
            err) != 0) {
        return TASK_OVER;
    }
    if (news->n_rows == was->n_rows) {
        if (job->is_turning) {
            sample_begin_tell(job, true, PHASE_IDLE);
        }
        return TASK_BUSY;
    }
    if (!was->has_any && news->has_any) {
        job->phase = PHASE_OPEN;
        return TASK_BUSY;
    }
    if (was->has_any && !job->rows.is_off) {
        job->phase = PHASE_NEWS;
        return TASK_BUSY;
    }
    if (was->has_any && news->has_any && news->to_step > was->to_step &&
        news->n_rows > was->n_rows) {
        begin_more(job, news->n_rows - was->n_rows);
        return TASK_BUSY;
    }
    bool is_beyond = news->n_rows > was->n_rows && was->to_step == job->ask.to_step;
    job->is_stale = job->is_stale || (was->has_any && !is_beyond);
    job->extent.n_rows = news->n_rows;
    return TASK_BUSY;
}

enum task_state sample_idle(
    struct sample_job *job, const struct task_call *call, struct baro_err *err)
{
    if (!job->ask.is_live) {
        return TASK_WAITS; /* for the last finding to be taken */
    }
    if (job->is_awake) {
        fall_asleep(job, call->now_ns);
    }
    const bool is_paused = call->now_ns < job->pause_until_ns;
    const bool wants_refresh = job->is_stale || is_density_old(job);
    if (!is_paused && wants_refresh && call->now_ns >= job->next_refresh_ns) {
        return refresh(job);
    }
    if (!is_paused && job->has_news) {
        return look(job, call, err);
    }
    if (!is_paused && job->is_turning) {
        wake_up(job);
        sample_begin_tell(job, true, PHASE_IDLE);
        return TASK_BUSY;
    }
    job->task.not_before_ns = job->pause_until_ns;
    if (job->has_news || job->is_turning) {
        job->task.wake_ns = job->pause_until_ns;
    } else if (wants_refresh) {
        job->task.wake_ns = job->next_refresh_ns > job->pause_until_ns
                                ? job->next_refresh_ns
                                : job->pause_until_ns;
    }
    return TASK_WAITS;
}

/* Hand the next new readings to the sampler; false when there are none left. */
static bool append(struct sample_job *job)
{
    const struct polylines *view = &job->lines.view;
    if (job->at == view->n_steps) {
        return false;
    }
    const size_t n = view->n_lines;
    baro_autofree float *values = baro_xcalloc(n, 3 * sizeof *values);
    baro_autofree uint8_t *marks = baro_xcalloc(n, 1);
    float *low = values + n, *high = low + n;
    for (size_t i = 0; i < n; i++) {
        const size_t from = i * view->n_steps + job->at;
        values[i] = view->values[from];
        low[i] = view->low[from];
        high[i] = view->high[from];
        marks[i] = view->marks[from];
    }
    const struct sample_news news = {.values = values,
        .low = low,
        .high = high,
        .marks = marks,
        .n_readings = job->lines.n_readings[job->at]};
    job->at++;
    sampler_append_news(job->sampler, &news);
    return true;
}

/* Choose anew where that is due, and may be: not while there is more to append, nor too often. */
static bool choose(struct sample_job *job, const struct task_call *call)
{
    if (job->at < job->lines.view.n_steps || call->now_ns < job->next_choice_ns) {
        (void)sampler_put_off(job->sampler);
    }
    const bool goes_on = sampler_step(job->sampler, CHOOSE_UNITS);
    if (goes_on && !job->is_choosing) {
        job->is_choosing = true;
        job->choice_cpu_ns = job->task.cpu_ns;
    } else if (!goes_on && job->is_choosing) {
        const uint64_t spent_ns = job->task.cpu_ns - job->choice_cpu_ns;
        job->is_choosing = false;
        job->next_choice_ns = call->now_ns + CHOICE_SHARE * spent_ns;
        job->cycle_cpu_ns += spent_ns; /* frames do not pay for it */
    }
    return goes_on;
}

/* PHASE_NEWS: new rows, as they came. */
static enum task_state take_news(
    struct sample_job *job, const struct task_call *call, struct baro_err *err)
{
    struct sample_rows *rows = &job->rows;
    int rc = sample_rows_step(
        rows, &job->source, call->store, job->ask.from_step, job->ask.to_step, err);
    if (rc != 0) {
        return rc > 0 ? TASK_BUSY : TASK_OVER;
    }
    uint64_t n_in_time = 0;
    job->news.from_step = job->extent.from_step;
    job->news.to_step = job->extent.to_step;
    for (size_t i = job->n_rows_seen; i < rows->n; i++) {
        const int64_t step = rows->steps[i];
        n_in_time += step > job->extent.to_step;
        job->news.to_step = step > job->news.to_step ? step : job->news.to_step;
    }
    /* Rows that came late, or at a step that was there before, change what is there. */
    job->is_stale = job->is_stale || rows->is_off || n_in_time < rows->n - job->n_rows_seen;
    if (n_in_time > 0) {
        begin_more(job, n_in_time);
        return TASK_BUSY;
    }
    job->extent.n_rows = job->news.n_rows;
    job->n_rows_seen = rows->n;
    job->phase = PHASE_IDLE;
    return TASK_BUSY;
}

enum task_state sample_more(
    struct sample_job *job, const struct task_call *call, struct baro_err *err)
{
    if (job->phase == PHASE_NEWS) {
        return take_news(job, call, err);
    }
    if (job->phase == PHASE_MORE) {
        int rc = sample_read_slice(job, call, err);
        if (rc != 0) {
            return rc > 0 ? TASK_BUSY : TASK_OVER;
        }
        sample_end_read(job);
        /* Rows at steps that were there before are not among these. */
        job->is_stale =
            job->is_stale ||
            (job->rows.is_off && job->tally.n_rows < job->news.n_rows - job->extent.n_rows);
        job->is_stale = job->is_stale || sample_axis_is_left(job, &job->lines);
        job->at = 0;
        job->phase = PHASE_APPEND;
        return TASK_BUSY;
    }
    if (choose(job, call) || append(job)) {
        return TASK_BUSY;
    }
    job->extent = job->news;
    job->n_rows_seen = job->rows.n;
    sample_lines_finish(&job->lines);
    sample_begin_tell(job, true, PHASE_IDLE);
    return TASK_BUSY;
}
