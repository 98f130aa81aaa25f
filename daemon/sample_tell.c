/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "daemon/sample_inside.h"
#include "lib/analysis/sample_grid.h"
#include "lib/base/mem.h"
#include "proto/wire_columns.h"

/*
 * A picture is a copy of what the sampler tells, so that the lines shown can be read from the
 * store in several steps while the sampler goes on or, of a live one, while more readings come.
 */

enum { N_FRAMES = 6 }; /* of SampleFinding */

void sample_picture_finish(struct sample_picture *picture)
{
    free(picture->shown);
    free(picture->reasons);
    free(picture->members);
    free(picture->nearest);
    sample_table_finish(&picture->table);
    *picture = (struct sample_picture){0};
}

/* Add the units that are to be shown in any case. */
static void add_always(struct sample_picture *picture, const struct sample_job *job)
{
    for (size_t i = 0; i < job->ask.n_always; i++) {
        const uint32_t unit = job->ask.always[i];
        bool is_there = false;
        for (size_t k = 0; k < picture->n_shown && !is_there; k++) {
            is_there = picture->shown[k] == unit;
        }
        if (is_there) {
            continue;
        }
        const size_t place = picture->n_shown++;
        picture->shown[place] = unit;
        picture->reasons[place] = SAMPLE_NOT_SHOWN;
        picture->members[place] = 1;
        if (picture->nearest != NULL) {
            uint16_t *nearest = &picture->nearest[unit];
            if (*nearest != SAMPLE_NOBODY && picture->members[*nearest] > 0) {
                picture->members[*nearest]--;
            }
            *nearest = (uint16_t)place;
        }
    }
}

void sample_picture_make(struct sample_picture *picture, const struct sample_job *job,
    const struct sample *sample, const uint32_t *map)
{
    const size_t n_units = job->source.n_units;
    const size_t room = sample->n_shown + job->ask.n_always + 1;
    sample_picture_finish(picture);
    picture->n_shown = sample->n_shown;
    picture->shown = baro_xcalloc(room, sizeof *picture->shown);
    picture->reasons = baro_xcalloc(room, 1);
    picture->members = baro_xcalloc(room, sizeof *picture->members);
    for (size_t i = 0; i < sample->n_shown; i++) {
        picture->shown[i] = map != NULL ? map[sample->shown[i]] : sample->shown[i];
        picture->reasons[i] = sample->reasons[i];
        picture->members[i] = sample->is_assigned ? sample->n_members[i] : 1;
    }
    if (sample->is_assigned && map == NULL) {
        picture->nearest = baro_xcalloc(n_units, sizeof *picture->nearest);
        memcpy(picture->nearest, sample->nearest, n_units * sizeof *picture->nearest);
        picture->spread_px = sample->spread_px;
    }
    picture->radius_px = sample->radius_px;
    picture->n_nonfinite = sample->n_nonfinite;
    picture->n_leaping = sample->n_leaping;
    picture->n_left_out = sample->n_mandatory_left_out;
    picture->fraction = sample->fraction;
    picture->axis = job->axis;
    picture->from_step = job->extent.from_step;
    picture->to_step = job->extent.to_step;
    if (map == NULL) {
        add_always(picture, job);
    }
}

/* ---- density ---- */

void sample_shades_make(struct sample_shades *shades, struct density *density,
    int64_t from_step, int64_t to_step)
{
    const size_t width = density->width;
    const size_t height = density->height;
    baro_autofree float *cells = baro_xcalloc(width * height, sizeof *cells);
    baro_autofree uint8_t *rows = baro_xcalloc(width * height, 1);
    density_get(density, cells);
    density_finish(density);
    free(shades->bytes);
    *shades = (struct sample_shades){.width = (uint32_t)width,
        .height = (uint32_t)height,
        .from_step = from_step,
        .to_step = to_step};
    shades->most = density_shade(cells, width * height, rows);
    shades->bytes = baro_xcalloc(width * height, 1);
    for (size_t y = 0; y < height; y++) {
        for (size_t x = 0; x < width; x++) {
            shades->bytes[x * height + y] = rows[y * width + x];
        }
    }
}

/* ---- the finding ---- */

static struct frame copy_frame(const void *bytes, size_t n_bytes)
{
    struct frame frame = {.n_bytes = n_bytes, .is_taken = true};
    if (n_bytes > 0) {
        frame.bytes = baro_xrealloc(NULL, n_bytes, 1);
        memcpy(frame.bytes, bytes, n_bytes);
    }
    return frame;
}

static struct frame columns_frame(const struct sample_table *table, bool is_packed)
{
    const size_t n_columns = table->cut.n_columns;
    if (!is_packed || table->n == 0) {
        return copy_frame(table->columns, table->n * n_columns * sizeof *table->columns);
    }
    const size_t bound = wire_columns_bound(n_columns);
    size_t room = 0;
    size_t n_bytes = 0;
    uint8_t *bytes = NULL;
    for (size_t i = 0; i < table->n; i++) {
        if (room - n_bytes < bound) {
            room = 2 * room + bound;
            bytes = baro_xrealloc(bytes, room, 1);
        }
        n_bytes += wire_columns_pack(
            (const void *)(table->columns + i * n_columns), n_columns, bytes + n_bytes);
    }
    return (struct frame){.bytes = bytes, .n_bytes = n_bytes, .is_taken = true};
}

/* Units shown in both, of those shown in one of them. */
static double jaccard(
    const struct sample_picture *a, const struct sample_picture *b, size_t n_units)
{
    baro_autofree uint8_t *seen = baro_xcalloc(n_units + 1, 1);
    size_t n_both = 0;
    for (size_t i = 0; i < a->n_shown; i++) {
        seen[a->shown[i]] = 1;
    }
    for (size_t i = 0; i < b->n_shown; i++) {
        n_both += seen[b->shown[i]];
    }
    const size_t n_any = a->n_shown + b->n_shown - n_both;
    return n_any > 0 ? (double)n_both / (double)n_any : 1;
}

static void describe_shades(Baro__SampleFinding *finding, struct sample_job *job)
{
    const struct sample_shades *shades = &job->shades;
    finding->has_density = shades->bytes != NULL;
    finding->density_width = shades->width;
    finding->density_height = shades->height;
    finding->density_most = shades->most;
    finding->density_from_step = shades->from_step;
    finding->density_to_step = shades->to_step;
}

static void describe(Baro__SampleFinding *finding, struct sample_job *job)
{
    const struct sample_picture *picture = &job->next;
    finding->is_done = picture->is_done;
    finding->fraction = picture->fraction;
    finding->n_lines = job->source.n_units;
    finding->n_shown = (uint32_t)picture->n_shown;
    finding->is_assigned = picture->nearest != NULL;
    finding->from_step = picture->from_step;
    finding->to_step = picture->to_step;
    finding->n_columns = picture->table.cut.n_columns;
    finding->edge_shift = picture->table.cut.edge_shift;
    finding->axis = picture->axis.kind;
    finding->lo = picture->axis.lo;
    finding->hi = picture->axis.hi;
    finding->linear_to = picture->axis.linear_to;
    finding->radius_px = picture->radius_px;
    finding->spread_px = picture->spread_px;
    finding->n_nonfinite = (uint32_t)picture->n_nonfinite;
    finding->n_leaping = (uint32_t)picture->n_leaping;
    finding->n_left_out = (uint32_t)picture->n_left_out;
    finding->n_coarse = job->tally.n_coarse;
    finding->damage = job->tally.damage;
    finding->packing = job->ask.is_packed ? WIRE_PACKED : WIRE_AS_THEY_ARE;
    describe_shades(finding, job);
}

static void tell(struct sample_job *job, bool is_last)
{
    struct sample_picture *picture = &job->next;
    Baro__SampleFinding finding;
    baro__sample_finding__init(&finding);
    describe(&finding, job);
    finding.serial = ++job->serial;
    finding.jaccard =
        job->serial > 1 ? jaccard(&job->told, picture, job->source.n_units) : 1;
    const size_t n = picture->n_shown;
    const size_t n_nearest = picture->nearest != NULL ? job->source.n_units : 0;
    struct frame *frames = baro_xcalloc(N_FRAMES, sizeof *frames);
    frames[0] = copy_frame(picture->shown, n * sizeof *picture->shown);
    frames[1] = copy_frame(picture->reasons, n);
    frames[2] = copy_frame(
        picture->members, picture->nearest != NULL ? n * sizeof *picture->members : 0);
    frames[3] = copy_frame(picture->nearest, n_nearest * sizeof *picture->nearest);
    frames[4] = columns_frame(&picture->table, job->ask.is_packed);
    frames[5] = copy_frame(job->shades.bytes,
        job->shades.is_told ? 0 : (size_t)job->shades.width * job->shades.height);
    job->shades.is_told = true;
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.body_case = BARO__ENVELOPE__BODY_SAMPLE_FINDING;
    envelope.sample_finding = &finding;
    task_tell(&job->task, &envelope, frames, N_FRAMES, is_last);
    sample_picture_finish(&job->told);
    job->told = job->next;
    job->next = (struct sample_picture){0};
}

void sample_tell_next(struct sample_job *job, bool is_last)
{
    tell(job, is_last);
}

void sample_tell_nothing(struct sample_job *job, bool is_last)
{
    sample_picture_finish(&job->next);
    job->next.is_done = true;
    job->next.fraction = 1;
    job->next.axis = job->ask.limits;
    job->next.axis.kind = job->ask.kind;
    job->next.from_step = job->ask.from_step;
    job->next.to_step = job->ask.to_step;
    tell(job, is_last);
}
