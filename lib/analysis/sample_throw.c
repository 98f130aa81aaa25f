/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/sample_inside.h"
#include "lib/base/mem.h"

/*
 * Throwing: the part of the sampler that makes blue noise (see sample.c for the whole).
 *
 * Each interval of time is a class of its own with its own radius r_t, and a line brings one
 * piece to each class. Lines are tried in random order; a line is accepted as a unit when the share of
 * intervals in which it comes nearer than r_t to an accepted one, each weighted by how empty that
 * interval still is, 1 - f_t, is at most TAU. The interval with the lowest fill rate f_t is looked
 * at first.
 *
 * The radius decides how many lines fit. It starts from what the first lines measure: the
 * distance within which a line has as many neighbours as it is to stand for. When a whole pass
 * leaves places empty the radii shrink and what was accepted stays; when too many are accepted
 * before all lines had their turn they grow and the pass begins anew. So the end is a *saturated*
 * sample: every line left out is near an accepted one in more than TAU of its intervals. Stopping
 * at the first m accepted, as dart throwing mostly does, would keep dense regions only: with
 * 10^5 lines the sparse ones would not have been tried yet.
 */

static const float tau = 0.25F;
static const float tau_kept =
    0.5F; /* lines that were shown before stay where others would not */
static const float least_weight = 0.02F;
static const float shrink_by = 0.75F, grow_by = 1.25F, close_enough = 1.06F;

enum {
    QUERIES = 48,
    REFERENCES = 512,
    BINS_A_POWER = 8, /* of the distance squared, from 2^-8 px^2 on */
    DISTANCE_BINS = 32 * BINS_A_POWER,
    MAX_PASSES = 24,
    SEARCH_POOL = 8192 /* lines among which the right radii are searched for */
};

uint64_t sampler_random(struct sampler *s)
{
    s->random += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = s->random;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* A bin by exponent and the first three bits behind the point: even within each power of two. */
static int distance_bin(float squared)
{
    uint32_t bits = 0;
    memcpy(&bits, &squared, sizeof bits);
    int bin = (int)(bits >> 20) - ((127 - 8) * BINS_A_POWER);
    return bin < 0 ? 0 : bin >= DISTANCE_BINS ? DISTANCE_BINS - 1 : bin;
}

/* Where a bin ends. */
static float bin_end(int bin)
{
    uint32_t bits = (uint32_t)(bin + 1 + ((127 - 8) * BINS_A_POWER)) << 20;
    float squared = 0;
    memcpy(&squared, &bits, sizeof squared);
    return sqrtf(squared);
}

/* The distance in an interval within which a line has n_near of n_refs others, on average. */
static float distance_of_near(struct sampler *s, size_t t, size_t n_refs, double n_near)
{
    uint32_t bins[DISTANCE_BINS] = {0};
    const size_t u = s->n_columns > 1 ? t + 1 : t;
    const size_t n_queries = n_refs < QUERIES ? n_refs : QUERIES;
    size_t n_pairs = 0, n_asked = 0;
    for (size_t q = 0; q < n_queries; q++) {
        const float *a = sampler_y(s, s->order[q]);
        size_t before = n_pairs;
        for (size_t r = 0; r < n_refs; r++) {
            const float *b = sampler_y(s, s->order[r]);
            float from = a[t] - b[t], to = a[u] - b[u];
            float squared = (from * from + from * to + to * to) / 3;
            if (r != q && squared >= 0) {
                bins[distance_bin(squared)]++;
                n_pairs++;
            }
        }
        n_asked += n_pairs > before;
    }
    double left = n_near * (double)n_asked;
    for (int b = 0; b < DISTANCE_BINS && n_pairs > 0; b++) {
        left -= bins[b];
        if (left <= 0) {
            return bin_end(b);
        }
    }
    return s->screen.height_px;
}

void sampler_measure_radius(struct sampler *s, size_t n_read)
{
    size_t n_refs = n_read < REFERENCES ? n_read : REFERENCES;
    double n_near = (double)n_refs / (double)s->target;
    n_near = n_near < 1 ? 1 : n_near;
    for (size_t t = 0; t < s->grid.n_intervals; t++) {
        float least = s->line_px + 1;
        float r = distance_of_near(s, t, n_refs, n_near);
        s->base_radius[t] = r > least ? r : least;
    }
}

static size_t blue_target(const struct sampler *s)
{
    /* An eighth is left to lines far from all shown; a third is blue noise in any case. */
    size_t most = s->target - s->target / 8;
    size_t least = s->target / 3;
    return most > s->n_mandatory + least ? most - s->n_mandatory : least > 0 ? least : 1;
}

/* Fill rates anew from what the masks of accepted lines said is kept in filled[]. */
static void set_weights(struct sampler *s)
{
    const float target = (float)(blue_target(s) + s->n_mandatory);
    s->emptiest = 0;
    for (size_t t = 0; t < s->grid.n_intervals; t++) {
        float empty = 1 - s->filled[t] / target;
        s->weight[t] = empty > least_weight ? empty : least_weight;
        s->emptiest = s->filled[t] < s->filled[s->emptiest] ? t : s->emptiest;
    }
}

static void note_filled(struct sampler *s, const struct sample_mask *mask)
{
    for (size_t t = 0; t < s->grid.n_intervals; t++) {
        s->filled[t] += (float)((mask->bits[t / 64] >> (t % 64)) & 1);
    }
    set_weights(s);
}

bool sampler_show(struct sampler *s, uint32_t line, enum sample_reason reason)
{
    if (s->reason[line] != SAMPLE_NOT_SHOWN) {
        return true;
    }
    if (s->n_shown == s->n_slots) {
        return false;
    }
    size_t slot = s->n_shown++;
    s->shown[slot] = line;
    s->reasons[slot] = (uint8_t)reason;
    s->reason[line] = (uint8_t)reason;
    s->members[slot] = 1;
    sample_grid_add(&s->grid, slot, sampler_y(s, line));
    return true;
}

static void set_radii(struct sampler *s)
{
    for (size_t t = 0; t < s->grid.n_intervals; t++) {
        s->grid.radius[t] = s->base_radius[t] * s->scale;
    }
    sample_grid_clear(&s->grid);
}

static float largest_radius(const struct sampler *s)
{
    float most = 0;
    for (size_t t = 0; t < s->grid.n_intervals; t++) {
        most = s->grid.radius[t] > most ? s->grid.radius[t] : most;
    }
    return most;
}

/* An empty picture at the present scale, but for what must be shown. */
static void begin_anew(struct sampler *s)
{
    for (size_t slot = 0; slot < s->n_shown; slot++) {
        s->reason[s->shown[slot]] = SAMPLE_NOT_SHOWN;
    }
    s->n_shown = s->n_mandatory = 0;
    s->at = 0;
    memset(s->filled, 0, sizeof s->filled);
    set_radii(s);
    if (!s->is_first) {
        sampler_show_mandatory(s);
    }
    set_weights(s);
}

/* Smaller radii; all that is shown stays. */
static void go_on_closer(struct sampler *s)
{
    set_radii(s);
    for (size_t slot = 0; slot < s->n_shown; slot++) {
        sample_grid_add(&s->grid, slot, sampler_y(s, s->shown[slot]));
    }
    s->at = 0;
}

static size_t pool_of(const struct sampler *s)
{
    size_t most = s->is_first ? SAMPLE_FIRST : s->is_whole ? s->n_lines : SEARCH_POOL;
    return s->n_lines < most ? s->n_lines : most;
}

void sampler_throw_begin(struct sampler *s, bool is_first)
{
    if (s->n_shown > 0) {
        s->keep = baro_xrealloc(s->keep, s->n_shown, sizeof *s->keep);
        s->keep_outliers = baro_xrealloc(s->keep_outliers, s->n_shown, sizeof *s->keep);
        s->n_keep = s->n_keep_outliers = 0;
        for (size_t slot = 0; slot < s->n_shown; slot++) {
            bool is_outlier =
                s->reasons[slot] == SAMPLE_OUTLIER ||
                (s->reasons[slot] == SAMPLE_BLUE_NOISE && slot >= s->n_before_cover);
            uint32_t **list = is_outlier ? &s->keep_outliers : &s->keep;
            size_t *n = is_outlier ? &s->n_keep_outliers : &s->n_keep;
            (*list)[(*n)++] = s->shown[slot];
        }
    }
    s->is_redo = !is_first && s->is_assigned;
    s->is_first = is_first;
    s->is_whole = false;
    s->is_assigned = false;
    s->n_passes = 0;
    s->least_scale = s->most_scale = 0;
    begin_anew(s);
}

/* How many lines of blue noise are right. A picture that is made anew changes its radii later. */
struct range {
    size_t least, most;
};

static struct range right_number(const struct sampler *s)
{
    const size_t target = blue_target(s);
    return s->is_redo ? (struct range){target - target / 6, target + target / 3}
                      : (struct range){target, target + target / 8 + 1};
}

/* After a pass: are the radii right? Else change them; returns whether to go on. */
static bool judge_pass(struct sampler *s, bool is_full)
{
    const bool is_near = s->least_scale > 0 && s->most_scale > 0 &&
                         s->most_scale < s->least_scale * close_enough;
    const bool is_sparse = s->n_shown - s->n_mandatory < right_number(s).least &&
                           largest_radius(s) > s->line_px;
    if (++s->n_passes >= MAX_PASSES || (is_full && s->n_shown == s->n_slots)) {
        return false;
    }
    if (is_full && (!is_near || s->is_whole)) {
        s->least_scale = s->scale;
        s->scale =
            s->most_scale > s->scale ? sqrtf(s->scale * s->most_scale) : s->scale * grow_by;
        begin_anew(s);
        return true;
    }
    if (is_sparse && !s->is_whole) {
        s->most_scale = s->scale;
        s->scale = s->least_scale > 0 && !is_near ? sqrtf(s->scale * s->least_scale)
                                                  : s->scale * shrink_by;
        go_on_closer(s);
        return true;
    }
    if (s->is_whole || s->is_first || pool_of(s) == s->n_lines) {
        return false;
    }
    /* Right for the lines searched among: now all have their turn. */
    s->is_whole = true;
    s->most_scale = 0;
    return true;
}

bool sampler_throw(struct sampler *s, size_t n_work)
{
    for (; n_work > 0; n_work--) {
        bool is_full =
            s->n_shown - s->n_mandatory > right_number(s).most || s->n_shown == s->n_slots;
        if (is_full || s->at >= s->n_keep + pool_of(s)) {
            if (!judge_pass(s, is_full)) {
                return false;
            }
            continue;
        }
        size_t at = s->at++;
        bool is_kept = at < s->n_keep;
        uint32_t line = is_kept ? s->keep[at] : s->order[at - s->n_keep];
        if (s->reason[line] != SAMPLE_NOT_SHOWN || s->leap[line] < 0) {
            continue;
        }
        struct sample_mask mask;
        float most_conflict = is_kept ? tau_kept : tau;
        float share = sample_grid_conflict(
            &s->grid, sampler_y(s, line), s->weight, s->emptiest, most_conflict, &mask);
        if (share <= most_conflict && sampler_show(s, line, SAMPLE_BLUE_NOISE)) {
            note_filled(s, &mask);
        }
    }
    return true;
}
