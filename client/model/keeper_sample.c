/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/model/apart.h"
#include "client/model/keeper_inner.h"
#include "lib/base/mem.h"

/*
 * The sample of a tensor's units: one question that the daemon answers again and again, until it
 * is cancelled. What is shown stays on show until the first finding of the next question is in.
 * The next question waits for the first finding of the one before, unless that is about another
 * tensor or statistic: a person who turns the wheel sees a picture every 50 ms, and the daemon
 * never has more than one of ours to work at.
 */

/* ---- asking ---- */

static bool is_same_subject(
    const struct model_sample_wish *a, const struct model_sample_wish *b)
{
    return a->thing == b->thing && a->stat == b->stat;
}

/* Whether the units of a thing can be sampled by the wished statistic. */
static bool can_ask(struct keeper *keeper)
{
    const struct model_sample_wish *wish = &keeper->wish.sample;
    const struct model_thing *thing =
        wish->thing != 0 ? catalog_thing(keeper->catalog, wish->thing) : NULL;
    return thing != NULL && thing->n_units > 0 &&
           (int)wish->stat < reading_unit_stats(thing->role) && keeper->has_things &&
           keeper->wish.run != 0;
}

static bool is_asked(const struct keeper *keeper)
{
    const struct sampling *sampling = &keeper->sampling;
    return sampling->run == keeper->wish.run &&
           model_sample_wish_equal(&sampling->asked, &keeper->wish.sample);
}

/* The question that is under way has to end: nothing, or something else, is wished for. */
static void drop_old(struct keeper *keeper)
{
    struct sampling *sampling = &keeper->sampling;
    if (sampling->asked.thing == 0 || is_asked(keeper)) {
        return;
    }
    bool may_wait = !sampling->is_answered && sampling->request != 0 &&
                    sampling->run == keeper->wish.run &&
                    is_same_subject(&sampling->asked, &keeper->wish.sample);
    if (!may_wait) {
        sampling->cancel = sampling->request;
        sampling->request = 0;
        sampling->asked.thing = 0;
    }
}

static struct model_sample *find_part(
    struct keeper *keeper, const struct model_sample_wish *wish, size_t *out_at)
{
    struct sampling *sampling = &keeper->sampling;
    for (size_t i = 0; i < sampling->n_parts; i++) {
        if (is_same_subject(&sampling->parts[i]->of, wish)) {
            if (out_at != NULL) {
                *out_at = i;
            }
            return sampling->parts[i];
        }
    }
    return NULL;
}

static void fill_question(struct keeper *keeper, Baro__SampleRequest *out)
{
    const struct model_sample_wish *wish = &keeper->wish.sample;
    const struct model_sample *shown = find_part(keeper, wish, NULL);
    baro__sample_request__init(out);
    out->run = keeper->wish.run;
    out->thing = wish->thing;
    out->stat = (uint32_t)wish->stat;
    out->from_step = wish->from_step;
    out->to_step = wish->to_step;
    out->columns = wish->columns;
    out->height = wish->height;
    if (keeper_is_far(keeper)) {
        uint32_t columns = wish->columns / KEEPER_FAR_PART;
        out->columns = columns > KEEPER_FAR_LINES ? columns : KEEPER_FAR_LINES;
        out->target = KEEPER_FAR_LINES;
    }
    out->axis = (uint32_t)wish->axis;
    out->has_limits = wish->has_limits;
    out->lo = wish->lo;
    out->hi = wish->hi;
    out->linear_to = wish->linear_to;
    out->is_live = wish->is_live;
    out->is_paced = true;
    out->n_always = wish->n_always;
    out->always = (uint32_t *)(uintptr_t)wish->always;
    if (shown != NULL && shown->is_done && shown->n_shown > 0) { /* not a mere beginning */
        out->n_keep = shown->n_shown;
        out->keep = (uint32_t *)(uintptr_t)shown->shown;
    }
}

bool keeper_sample_ask(struct keeper *keeper, Baro__Envelope *out)
{
    struct sampling *sampling = &keeper->sampling;
    drop_old(keeper);
    if (sampling->cancel != 0) {
        baro__cancel_request__init(&keeper->body.cancel);
        keeper->body.cancel.request = sampling->cancel;
        out->body_case = BARO__ENVELOPE__BODY_CANCEL_REQUEST;
        out->cancel_request = &keeper->body.cancel;
        sampling->is_cancel_out = true;
        return true;
    }
    if (keeper->needs != 0 || sampling->asked.thing != 0 || !can_ask(keeper)) {
        return false;
    }
    fill_question(keeper, &keeper->body.sample);
    out->body_case = BARO__ENVELOPE__BODY_SAMPLE_REQUEST;
    out->sample_request = &keeper->body.sample;
    sampling->asked = keeper->wish.sample;
    sampling->run = keeper->wish.run;
    sampling->is_answered = sampling->is_over = false;
    sampling->is_ask_out = true;
    return true;
}

bool keeper_sample_sent(struct keeper *keeper, int64_t request)
{
    struct sampling *sampling = &keeper->sampling;
    if (sampling->is_cancel_out) {
        sampling->is_cancel_out = false;
        sampling->cancel = 0;
        return true;
    }
    if (!sampling->is_ask_out) {
        return false;
    }
    sampling->is_ask_out = false;
    sampling->request = request > 0 ? (uint64_t)request : 0;
    if (request <= 0) {
        sampling->asked.thing = 0; /* to be asked again */
    }
    return true;
}

void keeper_sample_reset(struct keeper *keeper, bool findings)
{
    struct sampling *sampling = &keeper->sampling;
    sampling->asked = (struct model_sample_wish){0};
    sampling->request = sampling->cancel = 0;
    sampling->is_cancel_out = sampling->is_ask_out = false;
    sampling->is_answered = sampling->is_over = false;
    while (findings && sampling->n_parts > 0) {
        part_unref(sampling->parts[--sampling->n_parts]);
    }
}

/* ---- taking ---- */

static void finish_sample(void *part)
{
    struct model_sample *sample = part;
    part_unref(sample->density);
}

/* Frames of a finding, checked; columns NULL when they do not fit. */
struct frames {
    const uint32_t *shown, *members;
    const uint8_t *reasons, *density;
    const uint16_t *nearest;
    const struct wire_column *columns;
};

static const uint8_t *frame_of(
    const struct keeper_frame *frames, size_t n_frames, size_t at, size_t n, size_t size)
{
    bool fits = at < n_frames && n > 0 && frames[at].n_bytes / size == n &&
                frames[at].n_bytes % size == 0 &&
                ((uintptr_t)frames[at].bytes & (size > 8 ? 7U : size - 1)) == 0;
    return fits ? frames[at].bytes : NULL;
}

static bool check_frames(const Baro__SampleFinding *finding, uint32_t n_units,
    const struct keeper_frame *frames, size_t n_frames, struct frames *out)
{
    size_t n = finding->n_shown;
    size_t n_pixels = (size_t)finding->density_width * finding->density_height;
    size_t n_columns = n * finding->n_columns;
    if (finding->n_lines != n_units || n > n_units || finding->n_columns > 8192) {
        return false;
    }
    *out = (struct frames){
        .shown = (const void *)frame_of(frames, n_frames, 0, n, sizeof(uint32_t)),
        .reasons = frame_of(frames, n_frames, 1, n, 1),
        .members = (const void *)frame_of(frames, n_frames, 2, n, sizeof(uint32_t)),
        .nearest = (const void *)frame_of(frames, n_frames, 3, n_units, sizeof(uint16_t)),
        .columns = (const void *)frame_of(
            frames, n_frames, 4, n_columns, sizeof(struct wire_column)),
        .density = frame_of(frames, n_frames, 5, n_pixels, 1),
    };
    bool fits = n == 0 || (out->shown != NULL && out->reasons != NULL &&
                              (n_columns == 0 || out->columns != NULL));
    for (size_t i = 0; fits && i < n; i++) {
        fits = out->shown[i] < n_units;
    }
    return fits;
}

/* Where each piece of a sample lies behind it. */
static struct model_sample *create_sample(size_t n_shown, size_t n, uint32_t n_units)
{
    size_t n_cells = n_shown * n;
    size_t bytes = 3 * n * sizeof(double) + n_cells * (3 * sizeof(float) + 1) +
                   n_shown * (3 * sizeof(uint32_t) + 2) + n_units * sizeof(uint16_t) + 64;
    struct model_sample *part = part_create(sizeof *part + bytes, finish_sample);
    struct model_units *lines = &part->lines;
    double *x = (double *)(void *)(part + 1);
    float *cells = (float *)(void *)(x + 3 * n);
    uint32_t *shown = (uint32_t *)(void *)(cells + 3 * n_cells);
    uint16_t *nearest = (uint16_t *)(void *)(shown + 3 * n_shown);
    uint8_t *flags = (uint8_t *)(nearest + n_units);
    lines->x = x;
    lines->x_to = x + n;
    lines->count = x + 2 * n;
    lines->lo = cells;
    lines->hi = cells + n_cells;
    lines->mean = cells + 2 * n_cells;
    lines->flags = flags;
    lines->any = flags + n_cells;
    lines->n_units = (uint32_t)n_shown;
    lines->n = n;
    lines->is_ready = true;
    part->shown = shown;
    part->n_members = shown + n_shown;
    part->apart = (float *)(void *)(shown + 2 * n_shown);
    part->nearest = nearest;
    part->reasons = lines->any + n_shown;
    part->n_shown = (uint32_t)n_shown;
    part->n_units = n_units;
    return part;
}

/* Whether any line has a reading in a column; out: which steps those are. */
static bool find_column(const struct frames *frames, size_t n_shown, size_t n_columns,
    size_t column, struct wire_column *out)
{
    out->count = 0;
    for (size_t line = 0; line < n_shown; line++) {
        const struct wire_column *from = &frames->columns[line * n_columns + column];
        if (from->count > 0) {
            bool is_first = out->count == 0;
            out->first_step = is_first || from->first_step < out->first_step
                                  ? from->first_step
                                  : out->first_step;
            out->last_step = is_first || from->last_step > out->last_step ? from->last_step
                                                                          : out->last_step;
            out->count = from->count > out->count ? from->count : out->count;
        }
    }
    return out->count > 0;
}

static void fill_cell(
    const struct model_units *lines, size_t at, size_t line, const struct wire_column *from)
{
    uint8_t flags = 0;
    flags |= from->n_nan > 0 ? SHEET_NAN : 0;
    flags |= from->n_pos_inf > 0 ? SHEET_POS_INF : 0;
    flags |= from->n_neg_inf > 0 ? SHEET_NEG_INF : 0;
    bool has = from->count > 0;
    ((float *)(uintptr_t)lines->lo)[at] = has ? (float)from->min : NAN;
    ((float *)(uintptr_t)lines->hi)[at] = has ? (float)from->max : NAN;
    ((float *)(uintptr_t)lines->mean)[at] = has ? (float)from->mean : NAN;
    ((uint8_t *)(uintptr_t)lines->flags)[at] = has ? flags : 0;
    ((uint8_t *)(uintptr_t)lines->any)[line] |= has ? flags : 0;
}

/* The columns in which any line has a reading, as rows of lines. */
static struct model_sample *create_lines(
    const Baro__SampleFinding *finding, const struct frames *frames, uint32_t n_units)
{
    size_t n_shown = finding->n_shown;
    size_t n_columns = frames->columns != NULL ? finding->n_columns : 0;
    struct wire_column *cuts = baro_xcalloc(n_columns + 1, sizeof *cuts);
    size_t *places = baro_xcalloc(n_columns + 1, sizeof *places);
    size_t n = 0;
    for (size_t i = 0; i < n_columns; i++) {
        places[n] = i;
        n += find_column(frames, n_shown, n_columns, i, &cuts[n]) ? 1 : 0;
    }
    struct model_sample *part = create_sample(n_shown, n, n_units);
    for (size_t i = 0; i < n; i++) {
        ((double *)(uintptr_t)part->lines.x)[i] = (double)cuts[i].first_step;
        ((double *)(uintptr_t)part->lines.x_to)[i] = (double)cuts[i].last_step;
        ((double *)(uintptr_t)part->lines.count)[i] = (double)cuts[i].count;
        for (size_t line = 0; line < n_shown; line++) {
            fill_cell(&part->lines, line * n + i, line,
                &frames->columns[line * n_columns + places[i]]);
        }
    }
    free(cuts);
    free(places);
    return part;
}

static void fill_units(struct model_sample *part, const Baro__SampleFinding *finding,
    const struct frames *frames)
{
    size_t n = part->n_shown;
    if (n > 0 && frames->shown != NULL && frames->reasons != NULL) {
        memcpy((void *)(uintptr_t)part->shown, frames->shown, n * sizeof *part->shown);
        memcpy((void *)(uintptr_t)part->reasons, frames->reasons, n);
    }
    for (size_t i = 0; i < n; i++) {
        ((uint32_t *)(uintptr_t)part->n_members)[i] =
            frames->members != NULL ? frames->members[i] : 1;
    }
    part->is_assigned = finding->is_assigned && frames->nearest != NULL;
    if (part->is_assigned) {
        memcpy((void *)(uintptr_t)part->nearest, frames->nearest,
            part->n_units * sizeof *part->nearest);
    }
}

static const struct model_density *create_density(
    const Baro__SampleFinding *finding, const struct axis *y, const uint8_t *shades)
{
    size_t n = (size_t)finding->density_width * finding->density_height;
    struct model_density *part = part_create(sizeof *part + n, NULL);
    part->from_step = finding->from_step;
    part->to_step = finding->to_step;
    part->y = *y;
    part->width = finding->density_width;
    part->height = finding->density_height;
    part->most = finding->density_most;
    memcpy(part->shades, shades, n);
    return part;
}

static void fill_finding(struct model_sample *part, const struct sampling *sampling,
    const Baro__SampleFinding *finding)
{
    part->of = sampling->asked;
    part->is_done = finding->is_done;
    part->fraction = finding->fraction;
    part->from_step = finding->from_step;
    part->to_step = finding->to_step;
    part->y = (struct axis){
        .kind = finding->axis <= AXIS_SYMLOG ? (enum axis_kind)finding->axis : AXIS_LINEAR,
        .lo = finding->lo,
        .hi = finding->hi,
        .linear_to = finding->linear_to > 0 ? finding->linear_to : 1};
    part->radius_px = finding->radius_px;
    part->spread_px = finding->spread_px;
    part->n_nonfinite = finding->n_nonfinite;
    part->n_leaping = finding->n_leaping;
    part->n_left_out = finding->n_left_out;
    part->jaccard = finding->jaccard;
    part->n_coarse = finding->n_coarse;
    part->lines.thing = sampling->asked.thing;
    part->lines.stat = sampling->asked.stat;
    part->lines.n_coarse = finding->n_coarse;
    int64_t span = finding->to_step - finding->from_step + 1;
    part->lines.width =
        finding->n_columns > 0 && span > finding->n_columns ? span / finding->n_columns : 1;
    (void)snprintf(part->trouble, sizeof part->trouble, "%s",
        finding->damage != NULL ? finding->damage : "");
}

/* Put a new finding in front of the others; it takes the place of the one before. */
static void keep_part(struct keeper *keeper, struct model_sample *part)
{
    struct sampling *sampling = &keeper->sampling;
    size_t at = 0;
    const struct model_sample *old = find_part(keeper, &part->of, &at);
    if (old == NULL && sampling->n_parts < KEEPER_MAX_SAMPLES) {
        at = sampling->n_parts++;
    } else {
        at = old != NULL ? at : KEEPER_MAX_SAMPLES - 1;
        part_unref(sampling->parts[at]);
    }
    memmove(&sampling->parts[1], &sampling->parts[0], at * sizeof sampling->parts[0]);
    sampling->parts[0] = part;
    keeper->is_changed = true;
}

/* There is none: say why, unless an older picture can stay. */
static void take_refusal(struct keeper *keeper, const char *text)
{
    struct sampling *sampling = &keeper->sampling;
    sampling->is_answered = sampling->is_over = true;
    if (find_part(keeper, &sampling->asked, NULL) != NULL) {
        keeper->is_changed = true;
        return;
    }
    struct model_sample *part = create_sample(0, 0, 0);
    part->of = sampling->asked;
    part->is_done = true;
    part->lines.thing = sampling->asked.thing;
    part->lines.stat = sampling->asked.stat;
    (void)snprintf(part->trouble, sizeof part->trouble, "%s", text);
    keep_part(keeper, part);
}

/* Whether a wish is only the next one of a run that goes on: its chart reaches further. Then a
 * whole picture is not given up for the beginnings of the next one. */
static bool goes_on(const struct model_sample *old, const struct model_sample_wish *next)
{
    const struct model_sample_wish *of = &old->of;
    return old->is_done && of->is_live && next->is_live && of->axis == next->axis &&
           of->to_step <= next->to_step && of->from_step <= next->from_step &&
           next->from_step <= of->to_step;
}

static void take_finding(struct keeper *keeper, const Baro__SampleFinding *finding,
    const struct keeper_frame *frames, size_t n_frames)
{
    struct sampling *sampling = &keeper->sampling;
    const struct model_thing *thing = catalog_thing(keeper->catalog, sampling->asked.thing);
    struct frames checked;
    if (thing == NULL ||
        !check_frames(finding, thing->n_units, frames, n_frames, &checked)) {
        take_refusal(keeper, "the daemon's choice of units cannot be read");
        return;
    }
    const struct model_sample *old = find_part(keeper, &sampling->asked, NULL);
    if (old != NULL && !finding->is_done && goes_on(old, &sampling->asked)) {
        sampling->is_answered = true;
        return;
    }
    struct model_sample *part = create_lines(finding, &checked, thing->n_units);
    fill_finding(part, sampling, finding);
    fill_units(part, finding, &checked);
    apart_measure(
        &part->lines, &part->y, (float)part->of.height, (float *)(uintptr_t)part->apart);
    if (finding->has_density && checked.density != NULL) {
        part->density = create_density(finding, &part->y, checked.density);
    } else if (old != NULL) {
        part->density = part_ref(old->density);
    }
    sampling->is_answered = true;
    sampling->is_over = finding->is_done;
    keep_part(keeper, part);
}

bool keeper_sample_take(struct keeper *keeper, const Baro__Envelope *envelope,
    const struct keeper_frame *frames, size_t n_frames)
{
    struct sampling *sampling = &keeper->sampling;
    if (envelope->body_case == BARO__ENVELOPE__BODY_SAMPLE_FINDING) {
        if (envelope->request == sampling->request && sampling->asked.thing != 0) {
            take_finding(keeper, envelope->sample_finding, frames, n_frames);
        }
        return true; /* one that has been cancelled has nothing to say any more */
    }
    if (sampling->request == 0 || envelope->request != sampling->request) {
        return false;
    }
    sampling->request = 0;
    take_refusal(keeper, envelope->body_case == BARO__ENVELOPE__BODY_REFUSAL
                             ? envelope->refusal->text
                             : "the daemon does not know how to choose units");
    return true;
}

const struct model_sample *keeper_sample_publish(struct keeper *keeper)
{
    const struct model_sample_wish *wish = &keeper->wish.sample;
    return wish->thing != 0 ? part_ref(find_part(keeper, wish, NULL)) : NULL;
}

bool keeper_sample_is_complete(struct keeper *keeper)
{
    return keeper->wish.sample.thing == 0 || !can_ask(keeper) ||
           (is_asked(keeper) && keeper->sampling.is_over);
}
