/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/sample_inside.h"
#include "lib/base/mem.h"

/*
 * Who is alone? A line may be an outlier without touching the envelope: it runs where the group
 * that it is nearest to does not. The local outlier factor (Breunig, Kriegel, Ng, Sander 2000)
 * says how much sparser it is around a line than around its neighbours. For N lines it costs N^2
 * comparisons; here it is taken from samples, in two stages:
 *
 *   1. All lines, by a sketch: 16 sums of the heights with random signs (Johnson, Lindenstrauss
 *      1984: distances survive with a spread of a third), against 512 lines of the random order, k = 5.
 *      The CANDIDATES with the largest factors go on. Up to 4,096 lines all do, without a sketch.
 *   2. Candidates, by all key columns, against 2,048 lines (4,096 up to 16,384 lines):
 *      neighbours are the nearest hundredth, at least 20.
 *
 * Distances are root mean squares in pixels and never count as less than the width of a line: what a
 * screen cannot show is no gap. Without this the lines beside a heap of equal ones (dead units)
 * have boundless factors.
 *
 * The lines with the largest factors, above LEAST_FACTOR, have precedence over blue noise: a
 * fiftieth of all lines, but at most three tenths of the places, four where 128 lines come to a place. Of outliers that are nearer to
 * each other than the eye tells only one is taken. An outlier of the picture before has its factor
 * raised, so that one does not replace another for nothing. Lines that are shown because they leap take
 * no place of these. Then come those that leave the flock for a while only (sample_stray.c).
 *
 * Rejected, by measurement on recorded units: means or single heights instead of signs (they
 * miss half of the outliers among gradients, which are noise); sparsity column by column, which
 * knows nothing of shapes (finds a third); fewer lines to compare with and no sketch.
 *
 * Worked number: see sample_measure.c, which measures it exactly.
 */

enum {
    SKETCH = 16,
    SKETCH_REFERENCES = 512,
    SKETCH_NEIGHBOURS = 5,
    REFERENCES = 2048,
    MORE_REFERENCES = 4096, /* up to FEW_LINES */
    FEW_LINES = 16384,
    NEIGHBOURS = 20, /* at least; else the nearest hundredth */
    NEIGHBOURS_SHARE = 100,
    MOST_NEIGHBOURS = MORE_REFERENCES / NEIGHBOURS_SHARE,
    LEAST_CANDIDATES = 4096,
    MOST_CANDIDATES = 8192,
    ALL_TO_CANDIDATES = 16,
    CANDIDATES_AN_OUTLIER = 16,
    ALL_TO_OUTLIERS = 50,
    MUCH = 128,      /* lines a place */
    SKETCH_WORK = 1, /* lines of work that a comparison with all references is */
    FULL_WORK = 16
};

static const float least_factor = 1.1F;
static const float kept_bonus = 1.25F;
static const float same_px = 2;
static const float far_times = 3; /* as far in one column is not the same */

/* Lines that others are compared with, and how dense it is around each. */
struct references {
    struct sample_near rows;
    size_t k;
    float *sums;       /* room */
    float *k_distance; /* px */
    float *density;    /* 1 / px */
    uint32_t *who;     /* n x k: neighbours of each, while densities are not known */
    float *distance;   /* n x k: squared, likewise */
};

struct candidate {
    float factor;
    uint32_t line;
};

enum stage { SCORE_SKETCH, SCORE_ROUGH, SCORE_FULL, SCORE_STRAYS, SCORE_DONE };

struct sample_scores {
    enum stage stage;
    size_t at;
    float *signs;    /* SKETCH x n_columns */
    float *sketch;   /* n_lines x SKETCH */
    float *rough;    /* n_lines: factor by the sketch; -1: none */
    uint32_t *place; /* n_lines: among the references + 1; 0: is none */
    struct references few, many;
    struct candidate *candidates;
    size_t n_candidates;
    struct sample_strays *strays;
    float leap_shown; /* px: lines that leap further are shown anyhow */
};

static void references_init(struct references *refs, size_t n_numbers, size_t n, size_t k)
{
    sample_near_init(&refs->rows, n_numbers, n);
    refs->k = k;
    refs->sums = baro_xcalloc(refs->rows.room, sizeof *refs->sums);
    refs->k_distance = baro_xcalloc(n, sizeof *refs->k_distance);
    refs->density = baro_xcalloc(n, sizeof *refs->density);
    refs->who = baro_xcalloc(n * k, sizeof *refs->who);
    refs->distance = baro_xcalloc(n * k, sizeof *refs->distance);
}

static void references_finish(struct references *refs)
{
    sample_near_finish(&refs->rows);
    free(refs->sums);
    free(refs->k_distance);
    free(refs->density);
    free(refs->who);
    free(refs->distance);
    *refs = (struct references){0};
}

static float pixels(const struct references *refs, float squared, float least)
{
    float px = sqrtf(squared / (float)refs->rows.n_numbers);
    return px > least ? px : least;
}

/* 1 / mean reachability distance of a line from its neighbours. */
static float density_of(
    const struct references *refs, const struct sample_nearest *its, float least)
{
    float sum = 0;
    for (size_t i = 0; i < refs->k; i++) {
        float px = pixels(refs, its->squared[i], least);
        float reach = refs->k_distance[its->who[i]];
        sum += px > reach ? px : reach;
    }
    return (float)refs->k / sum;
}

/* The neighbours of one of the references itself. */
static void measure_reference(
    struct references *refs, size_t r, const float *row, float least)
{
    struct sample_nearest its = {refs->distance + r * refs->k, refs->who + r * refs->k};
    sample_near_measure(&refs->rows, row, refs->sums);
    sample_find_nearest(refs->sums, refs->rows.n, r, refs->k, &its);
    refs->k_distance[r] = pixels(refs, its.squared[refs->k - 1], least);
}

static void measure_densities(struct references *refs, float least)
{
    for (size_t r = 0; r < refs->rows.n; r++) {
        struct sample_nearest its = {refs->distance + r * refs->k, refs->who + r * refs->k};
        refs->density[r] = density_of(refs, &its, least);
    }
}

/* place: among the references + 1, for these are known already; 0: is none of them. */
static float factor_of(struct references *refs, const float *row, size_t place, float least)
{
    float squared[MOST_NEIGHBOURS];
    uint32_t who[MOST_NEIGHBOURS];
    struct sample_nearest its = {squared, who};
    float mine = 0, sum = 0;
    if (place > 0) {
        its.who = refs->who + (place - 1) * refs->k;
        mine = refs->density[place - 1];
    } else {
        sample_near_measure(&refs->rows, row, refs->sums);
        sample_find_nearest(refs->sums, refs->rows.n, SIZE_MAX, refs->k, &its);
        mine = density_of(refs, &its, least);
    }
    for (size_t i = 0; i < refs->k; i++) {
        sum += refs->density[its.who[i]];
    }
    return sum / (mine * (float)refs->k);
}

/* Whether a line has a reading in each column. */
static bool is_whole(const float *y, size_t n)
{
    float odd[4] = {0};
    size_t c = 0;
    for (; c + 4 <= n; c += 4) {
        for (size_t l = 0; l < 4; l++) {
            odd[l] += y[c + l];
        }
    }
    for (; c < n; c++) {
        odd[0] += y[c];
    }
    return !isnan((odd[0] + odd[1]) + (odd[2] + odd[3]));
}

/* A line's heights without holes: the last one stays, and the first one was there before; in
 * room or where they are. NULL: it has none. */
static const float *row_of(const struct sampler *s, size_t line, float *room)
{
    const float *y = sampler_y(s, line);
    float last = NAN;
    if (is_whole(y, s->n_columns)) {
        return y;
    }
    for (size_t c = 0; c < s->n_columns && isnan(last); c++) {
        last = y[c];
    }
    for (size_t c = 0; c < s->n_columns; c++) {
        last = isnan(y[c]) ? last : y[c];
        room[c] = last;
    }
    return isnan(last) ? NULL : room;
}

static void draw_sketch(
    const struct sample_scores *scores, const float *row, size_t n_columns, float *out)
{
    float sums[SKETCH] = {0};
    const float *signs = scores->signs;
    for (size_t c = 0; c < n_columns; c++, signs += SKETCH) {
        for (size_t i = 0; i < SKETCH; i++) {
            sums[i] += row[c] * signs[i];
        }
    }
    memcpy(out, sums, sizeof sums);
}

static bool is_scored_at_all(const struct sampler *s, size_t line)
{
    return s->bad_from[line] == 0 && !(s->leap[line] > s->scores->leap_shown);
}

static void choose_references(struct sampler *s, struct sample_scores *scores)
{
    float room[POLYLINE_MAX_COLUMNS];
    /* Live, a choice is made again and again: half of them do. */
    size_t n_most = s->n_lines <= FEW_LINES && !s->is_steady ? MORE_REFERENCES : REFERENCES;
    n_most = s->n_lines < n_most ? s->n_lines : n_most;
    size_t k = n_most / NEIGHBOURS_SHARE;
    k = k < NEIGHBOURS ? NEIGHBOURS : k;
    k = k < n_most / 4 ? k : n_most / 4;
    references_init(&scores->many, s->n_columns, n_most, k);
    references_init(&scores->few, SKETCH, SKETCH_REFERENCES, SKETCH_NEIGHBOURS);
    for (size_t i = 0; i < s->n_lines && scores->many.rows.n < n_most; i++) {
        uint32_t line = s->order[i];
        const float *row = row_of(s, line, room);
        if (row == NULL) {
            continue;
        }
        sample_near_add(&scores->many.rows, row);
        scores->place[line] = (uint32_t)scores->many.rows.n;
        if (scores->few.rows.n < SKETCH_REFERENCES) {
            sample_near_add(&scores->few.rows, scores->sketch + (size_t)line * SKETCH);
        }
    }
}

static void begin(struct sampler *s)
{
    struct sample_scores *scores = baro_xcalloc(1, sizeof *scores);
    s->scores = scores;
    sampler_find_leaps(s);
    scores->leap_shown = sampler_leap_shown(s);
    scores->strays = sampler_strays_create(s);
    scores->signs = baro_xcalloc(SKETCH * s->n_columns, sizeof *scores->signs);
    scores->sketch = baro_xcalloc(s->n_lines * SKETCH, sizeof *scores->sketch);
    scores->rough = baro_xcalloc(s->n_lines, sizeof *scores->rough);
    scores->place = baro_xcalloc(s->n_lines, sizeof *scores->place);
    /* (sum of signed heights)^2 / SKETCH is on average the sum of squares / n_columns. */
    const float one = 1 / sqrtf((float)s->n_columns);
    uint64_t bits = 0;
    for (size_t i = 0; i < SKETCH * s->n_columns; i++) {
        bits = i % 64 == 0 ? sampler_random(s) : bits >> 1;
        scores->signs[i] = (bits & 1) != 0 ? one : -one;
    }
}

void sampler_scores_drop(struct sampler *s)
{
    struct sample_scores *scores = s->scores;
    if (scores == NULL) {
        return;
    }
    references_finish(&scores->few);
    references_finish(&scores->many);
    sampler_strays_destroy(scores->strays);
    free(scores->signs);
    free(scores->sketch);
    free(scores->rough);
    free(scores->place);
    free(scores->candidates);
    free(scores);
    s->scores = NULL;
}

static int largest_first(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->factor < y->factor || x->factor > y->factor) {
        return x->factor > y->factor ? -1 : 1;
    }
    return x->line < y->line ? -1 : x->line > y->line;
}

/* The rough factor above which about n lines lie: by a histogram over the leading bits. */
static float find_bar(const struct sampler *s, size_t n)
{
    enum { SHIFT = 16, BINS = 1 << 15 };
    baro_autofree uint32_t *bins = baro_xcalloc(BINS, sizeof *bins);
    uint32_t bits = 0;
    for (size_t i = 0; i < s->n_lines; i++) {
        float factor = s->scores->rough[i];
        if (factor > 0) {
            memcpy(&bits, &factor, sizeof bits);
            bins[bits >> SHIFT]++;
        }
    }
    size_t above = 0;
    uint32_t bin = BINS;
    while (bin > 0 && above + bins[bin - 1] <= n) {
        above += bins[--bin];
    }
    bits = bin << SHIFT;
    float bar = 0;
    memcpy(&bar, &bits, sizeof bar);
    return bin == BINS ? INFINITY : bar;
}

static size_t most_outliers(const struct sampler *s)
{
    const bool is_much = s->n_lines > MUCH * s->target;
    const size_t by_lines = s->n_lines / ALL_TO_OUTLIERS + 1;
    const size_t by_places = (is_much ? 4 : 3) * s->target / 10;
    return by_lines < by_places ? by_lines : by_places;
}

static void choose_candidates(struct sampler *s)
{
    struct sample_scores *scores = s->scores;
    size_t most = s->n_lines / ALL_TO_CANDIDATES;
    most = most < LEAST_CANDIDATES ? LEAST_CANDIDATES : most;
    most = most > MOST_CANDIDATES ? MOST_CANDIDATES : most;
    const size_t many = CANDIDATES_AN_OUTLIER * most_outliers(s);
    most = most > many ? most : many;
    const bool is_all = s->n_lines <= LEAST_CANDIDATES;
    const float bar = is_all ? 0 : find_bar(s, most);
    scores->candidates = baro_xcalloc(most, sizeof *scores->candidates);
    for (uint32_t i = 0; i < s->n_lines && scores->n_candidates < most; i++) {
        if (is_all ? is_scored_at_all(s, i) : scores->rough[i] >= bar) {
            scores->candidates[scores->n_candidates++].line = i;
        }
    }
}

/* Stage 0: features of all lines, for the assigning too, and sketches. */
static void walk_sketch(struct sampler *s, size_t *n_work)
{
    struct sample_scores *scores = s->scores;
    float room[POLYLINE_MAX_COLUMNS];
    for (; *n_work > 0 && scores->at < s->n_lines; (*n_work)--) {
        size_t line = scores->at++;
        sampler_find_features(s, line);
        sampler_strays_count(scores->strays, s, line);
        const float *row = s->n_lines > LEAST_CANDIDATES ? row_of(s, line, room) : NULL;
        if (row != NULL) {
            draw_sketch(scores, row, s->n_columns, scores->sketch + line * SKETCH);
        }
    }
    if (scores->at < s->n_lines) {
        return;
    }
    scores->at = 0;
    if (s->n_lines <= s->target) {
        scores->stage = SCORE_DONE;
        return;
    }
    choose_references(s, scores);
    scores->stage = s->n_lines > LEAST_CANDIDATES ? SCORE_ROUGH : SCORE_FULL;
    if (scores->many.rows.n <= scores->many.k || scores->many.k == 0 ||
        (scores->stage == SCORE_ROUGH && scores->few.rows.n <= scores->few.k)) {
        scores->stage = SCORE_DONE; /* hardly a line that has readings */
    } else if (scores->stage == SCORE_FULL) {
        choose_candidates(s);
    }
}

/* Stage 1: the references among themselves, then all lines. */
static void walk_rough(struct sampler *s, size_t *n_work)
{
    struct sample_scores *scores = s->scores;
    const size_t n_refs = scores->few.rows.n;
    size_t n = *n_work / SKETCH_WORK + 1;
    for (; n > 0 && scores->at < n_refs + s->n_lines; n--) {
        size_t at = scores->at++;
        if (at < n_refs) {
            float row[SKETCH];
            const float *block =
                scores->few.rows.blocks + at / SAMPLE_BLOCK * SAMPLE_BLOCK * SKETCH;
            for (size_t i = 0; i < SKETCH; i++) {
                row[i] = block[i * SAMPLE_BLOCK + at % SAMPLE_BLOCK];
            }
            measure_reference(&scores->few, at, row, s->line_px);
            continue;
        }
        if (at == n_refs) {
            measure_densities(&scores->few, s->line_px);
        }
        size_t line = at - n_refs;
        size_t place = scores->place[line] <= n_refs ? scores->place[line] : 0;
        bool has_any = s->features[line * SAMPLE_FEATURES] < SAMPLE_NOWHERE_PX;
        scores->rough[line] =
            has_any && is_scored_at_all(s, line)
                ? factor_of(&scores->few, scores->sketch + line * SKETCH, place, s->line_px)
                : -1;
    }
    *n_work = 0;
    if (scores->at == n_refs + s->n_lines) {
        choose_candidates(s);
        scores->at = 0;
        scores->stage = SCORE_FULL;
    }
}

/* Stage 2: the references among themselves, then the candidates, by all columns. */
static void walk_full(struct sampler *s, size_t *n_work)
{
    struct sample_scores *scores = s->scores;
    const size_t n_refs = scores->many.rows.n;
    float row[POLYLINE_MAX_COLUMNS];
    size_t n = *n_work / FULL_WORK + 1;
    for (; n > 0 && scores->at < n_refs + scores->n_candidates; n--) {
        size_t at = scores->at++;
        if (at < n_refs) {
            const float *block =
                scores->many.rows.blocks + at / SAMPLE_BLOCK * SAMPLE_BLOCK * s->n_columns;
            for (size_t i = 0; i < s->n_columns; i++) {
                row[i] = block[i * SAMPLE_BLOCK + at % SAMPLE_BLOCK];
            }
            measure_reference(&scores->many, at, row, s->line_px);
            continue;
        }
        if (at == n_refs) {
            measure_densities(&scores->many, s->line_px);
        }
        struct candidate *its = &scores->candidates[at - n_refs];
        const float *heights = row_of(s, its->line, row);
        if (heights != NULL) {
            its->factor =
                factor_of(&scores->many, heights, scores->place[its->line], s->line_px);
            its->factor *= s->reason[its->line] == SAMPLE_OUTLIER ? kept_bonus : 1;
        }
    }
    *n_work = 0;
    if (scores->at == n_refs + scores->n_candidates) {
        scores->at = 0;
        scores->stage = SCORE_STRAYS;
    }
}

/* Stage 3: all lines again, by where they run; rough factors are not needed any more. */
static void walk_strays(struct sampler *s, size_t *n_work)
{
    struct sample_scores *scores = s->scores;
    if (scores->at == 0) {
        sampler_strays_rank(scores->strays, s);
    }
    for (; *n_work > 0 && scores->at < s->n_lines; (*n_work)--) {
        const size_t line = scores->at++;
        scores->rough[line] =
            is_scored_at_all(s, line) ? sampler_strays_score(scores->strays, s, line) : 0;
    }
    if (scores->at == s->n_lines) {
        scores->stage = SCORE_DONE;
    }
}

/* Whether a line runs beside one that is chosen: near it on the whole, and nowhere far from it. Two
 * spikes of one step each are near on the whole, but the eye tells them apart. */
static bool is_like_one_chosen(const struct sampler *s, const float *row, float px)
{
    float room[POLYLINE_MAX_COLUMNS];
    for (size_t i = 0; i < s->n_outliers; i++) {
        float sum = 0;
        float most = 0;
        const float *other = row_of(s, s->outliers[i], room);
        for (size_t c = 0; c < s->n_columns; c++) {
            const float squared = (row[c] - other[c]) * (row[c] - other[c]);
            sum += squared;
            most = squared > most ? squared : most;
        }
        if (sum < px * px * (float)s->n_columns &&
            most < (far_times * px) * (far_times * px)) {
            return true;
        }
    }
    return false;
}

/* Take candidates until there are `most` outliers, the largest above a bar first, none so near to
 * one that is taken. */
static void take_best(struct sampler *s, float bar, float px, size_t most)
{
    struct sample_scores *scores = s->scores;
    float room[POLYLINE_MAX_COLUMNS];
    if (scores->n_candidates > 0) {
        qsort(scores->candidates, scores->n_candidates, sizeof *scores->candidates,
            largest_first);
    }
    for (size_t i = 0; i < scores->n_candidates && s->n_outliers < most; i++) {
        const struct candidate *its = &scores->candidates[i];
        if (!(its->factor > bar)) {
            break;
        }
        const float *row = row_of(s, its->line, room);
        if (row != NULL && !is_like_one_chosen(s, row, px)) {
            s->outliers[s->n_outliers++] = its->line;
        }
    }
}

/* Make candidates of the lines that stray; more than there are places, for some are alike. */
static void choose_strays(struct sampler *s, size_t n)
{
    enum { ROOM = 8 };
    struct sample_scores *scores = s->scores;
    const float bar = find_bar(s, ROOM * n);
    scores->candidates =
        baro_xrealloc(scores->candidates, ROOM * n + 1, sizeof *scores->candidates);
    scores->n_candidates = 0;
    for (uint32_t i = 0; i < s->n_lines && scores->n_candidates < ROOM * n; i++) {
        const float score = scores->rough[i];
        if (score > 0 && score >= bar) {
            scores->candidates[scores->n_candidates++] = (struct candidate){score, i};
        }
    }
}

static void choose_outliers(struct sampler *s)
{
    const size_t n_strays = sampler_strays_most(s);
    const size_t n_lonely = most_outliers(s);
    s->outliers = baro_xrealloc(s->outliers, n_lonely + n_strays + 1, sizeof *s->outliers);
    s->n_outliers = 0;
    take_best(s, least_factor, same_px, n_lonely);
    if (n_strays > 0) {
        choose_strays(s, n_strays);
        const float radius = sampler_median_radius(s);
        take_best(s, 0, radius > same_px ? radius : same_px, s->n_outliers + n_strays);
    }
}

bool sampler_score(struct sampler *s, size_t n_work)
{
    if (s->scores == NULL) {
        begin(s);
    }
    while (n_work > 0 && s->scores->stage != SCORE_DONE) {
        switch (s->scores->stage) {
        case SCORE_SKETCH: walk_sketch(s, &n_work); break;
        case SCORE_ROUGH: walk_rough(s, &n_work); break;
        case SCORE_FULL: walk_full(s, &n_work); break;
        case SCORE_STRAYS: walk_strays(s, &n_work); break;
        case SCORE_DONE: break;
        }
    }
    if (s->scores->stage != SCORE_DONE) {
        return true;
    }
    choose_outliers(s);
    sampler_scores_drop(s);
    return false;
}
