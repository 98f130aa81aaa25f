/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/sample_inside.h"
#include "lib/base/mem.h"

/*
 * The first picture of a wide tensor: of some units, at a few steps or at all that are at hand,
 * so that there is something to see within 50 ms however many there are.
 */

enum {
    FIRST_UNITS = 192, /* of a first picture */
    FIRST_KEPT = 512,  /* but so many of those to keep */
    FIRST_COLUMNS = 48,
    FIRST_SHADE = 4, /* px of the plot that are one of its density */
    FIRST_RUNS = 4,  /* of neighbours, evenly spaced */
    CHOOSE_LINES = 1000
};

/* Columns of a first picture: few, unless all readings are at hand. */
static struct column_cut first_cut(const struct sample_job *job, size_t n_units)
{
    const uint64_t span = (uint64_t)job->extent.to_step - (uint64_t)job->extent.from_step;
    const uint32_t most =
        job->rows.n > 0 ? sample_ask_columns(&job->ask, n_units) : FIRST_COLUMNS;
    return columns_cut(job->extent.from_step, job->extent.to_step,
        span < most ? (uint32_t)span + 1 : most);
}

void sample_begin_first(struct sample_job *job)
{
    const struct sample_ask *ask = &job->ask;
    const uint32_t n_units = job->source.n_units;
    uint32_t units[FIRST_KEPT];
    size_t n = 0;
    if (ask->n_keep >= SAMPLE_FIRST_KEEP) {
        baro_autofree bool *is_in = baro_xcalloc(n_units, sizeof *is_in);
        for (size_t i = 0; i < ask->n_keep && n < FIRST_KEPT; i++) {
            if (!is_in[ask->keep[i]]) {
                is_in[ask->keep[i]] = true;
                units[n++] = ask->keep[i];
            }
        }
    } else {
        const uint32_t a_run = FIRST_UNITS / FIRST_RUNS;
        for (uint32_t k = 0; k < FIRST_UNITS; k++) {
            units[n++] = k / a_run * (n_units / FIRST_RUNS) + k % a_run;
        }
    }
    const struct column_cut cut = first_cut(job, n);
    sample_table_init(&job->first, units, n, &cut);
    job->phase = PHASE_FIRST;
}

/* Choose among the units of the first table and make the picture; it needs no more reading. */
static void make_first(struct sample_job *job, const struct sample_lines *lines)
{
    const struct sample_ask *ask = &job->ask;
    struct sample_options options = {.target = ask->target, .seed = ask->seed};
    struct sampler *sampler =
        sampler_create(&lines->view, &job->axis, (float)ask->height, &options);
    while (sampler_step(sampler, CHOOSE_LINES)) {
    }
    struct sample sample;
    sampler_get(sampler, &sample);
    sample_picture_make(&job->next, job, &sample, job->first.units);
    job->next.fraction = 0.05;
    struct sample_table *table = &job->next.table;
    sample_table_init(table, job->next.shown, job->next.n_shown, &job->first.cut);
    sample_table_take(table, &job->first);
    sample_begin_shade(job, FIRST_SHADE);
    sample_shade_some(job, lines, lines->n_lines);
    sample_shades_make(
        &job->shades, &job->density, job->extent.from_step, job->extent.to_step);
    sampler_destroy(sampler);
}

/* Make a picture of the first table and tell it, if there is anything to see. */
static void tell_first(struct sample_job *job)
{
    struct sample_table *first = &job->first;
    const enum sample_job_phase behind =
        job->rows.n > 0 || job->rows.is_off ? PHASE_READ : PHASE_ROWS;
    struct sample_lines lines;
    sample_lines_init(&lines, first->n, first->cut.n_columns);
    sample_lines_take(&lines, 0, first->n, first->columns);
    sample_lines_pack(&lines);
    const bool is_good = lines.view.n_steps > 0 && sample_axis_fit(job, &lines);
    if (is_good) {
        make_first(job, &lines);
    }
    sample_lines_finish(&lines);
    sample_table_finish(first);
    if (behind == PHASE_READ) {
        sample_begin_read(job, PHASE_READ, job->extent.from_step, job->extent.to_step,
            POLYLINE_MAX_COLUMNS);
    }
    job->phase = is_good ? PHASE_TELL : behind;
    job->behind_tell = behind;
}

enum task_state sample_first(
    struct sample_job *job, const struct task_call *call, struct baro_err *err)
{
    struct sample_table *first = &job->first;
    const bool has_rows = job->rows.n > 0;
    int rc = sample_table_step(
        first, has_rows ? &job->rows : NULL, &job->source, call->store, &job->tally, err);
    if (rc != 0) {
        return rc > 0 ? TASK_BUSY : TASK_OVER;
    }
    tell_first(job);
    return TASK_BUSY;
}

enum task_state sample_glance(
    struct sample_job *job, const struct task_call *call, struct baro_err *err)
{
    struct sample_glance *glance = &job->glance;
    int rc = sample_glance_step(
        glance, &job->source, call->store, job->extent.from_step, job->extent.to_step, err);
    if (rc != 0) {
        return rc > 0 ? TASK_BUSY : TASK_OVER;
    }
    const struct column_cut cut = first_cut(job, glance->n_units);
    sample_table_init(&job->first, glance->units, glance->n_units, &cut);
    (void)sample_rows_columns(
        &glance->rows, 0, &job->first.cut, NULL, 0, glance->n_units, job->first.columns);
    job->first.at = job->first.n;
    sample_glance_finish(glance);
    tell_first(job);
    return TASK_BUSY;
}
