/* SPDX-License-Identifier: Apache-2.0 */
/* The sampler from inside: shared by sample.c, sample_throw.c, sample_cover.c, sample_outlier.c,
 * sample_stray.c, sample_live.c, sample_turn.c. */
#ifndef BARO_SAMPLE_INSIDE_H
#define BARO_SAMPLE_INSIDE_H

#include "lib/analysis/sample.h"
#include "lib/analysis/sample_grid.h"
#include "lib/analysis/sample_near.h"

enum {
    SAMPLE_FIRST = 2048,   /* lines that the first picture is made of */
    SAMPLE_FEATURES = 16,  /* numbers by which lines are compared as a whole */
    SAMPLE_SPARE = 256,    /* lines that become urgent in one step and are shown at once */
    SAMPLE_ASSIGN_WORK = 8 /* lines of work that comparing one with all shown is */
};

/* The features of lines without a finite reading. */
#define SAMPLE_NOWHERE_PX 1e7F

struct sample_scores;

enum sample_phase {
    SAMPLE_READ_FIRST,
    SAMPLE_THROW_FIRST,
    SAMPLE_READ_REST,
    SAMPLE_DUE, /* live: a new choice, which may be put off */
    SAMPLE_SCORE,
    SAMPLE_THROW_ALL,
    SAMPLE_ASSIGN,
    SAMPLE_COVER,
    SAMPLE_TURN, /* assigned again: some lines of the frame before stay for now */
    SAMPLE_DONE
};

/* A line that is chosen but not shown yet. */
struct wanted_line {
    uint32_t line;
    uint8_t reason;
};

struct sampler {
    struct polylines lines; /* borrowed until done; then only n_lines counts */
    struct polyline_screen screen;
    size_t n_lines, n_columns, capacity_columns;
    size_t target;
    float line_px;
    uint64_t random;

    float *y;    /* n_lines x capacity_columns: heights, line by line */
    float *leap; /* n_lines: px; -1: not read yet */
    uint16_t
        *bad_from;   /* n_lines: first key column with a non-finite reading + 1; 0: none */
    uint32_t *order; /* a random permutation: lines are read and tried in it */
    uint8_t *reason; /* n_lines: enum sample_reason */
    uint32_t top[POLYLINE_MAX_COLUMNS],
        bottom[POLYLINE_MAX_COLUMNS]; /* the envelope's lines */
    float top_y[POLYLINE_MAX_COLUMNS], bottom_y[POLYLINE_MAX_COLUMNS];
    float leap_most; /* px: what is more is a leap */
    size_t n_read, n_nonfinite, n_leaping, n_left_out;

    struct sample_grid grid;
    size_t n_slots;
    uint32_t *shown;   /* n_slots: lines; those of the grid in the same slots */
    uint8_t *reasons;  /* n_slots, kept in step with reason[] */
    uint32_t *members; /* n_slots */
    size_t n_shown, n_mandatory;
    size_t n_before_cover; /* slots behind it were filled with the furthest lines */
    float filled[SAMPLE_MAX_INTERVALS]; /* shown lines that keep the distance there */
    float weight[SAMPLE_MAX_INTERVALS]; /* how empty each is */
    size_t emptiest;
    float base_radius[SAMPLE_MAX_INTERVALS]; /* as measured among the first lines */
    float scale;                             /* of the radii, from pass to pass */

    /* What is told: a whole picture stays until the next one is whole. */
    uint32_t *told;
    uint8_t *told_reasons;
    size_t n_told; /* 0: the picture under way is */

    uint32_t *keep; /* lines of the sample before, ... */
    size_t n_keep;
    uint32_t *keep_outliers; /* ... but those that were far from all shown */
    size_t n_keep_outliers;

    float *features; /* n_lines x SAMPLE_FEATURES */
    float *distance; /* n_lines: squared, to the nearest shown line, mean over features */
    uint16_t *nearest;
    struct sample_near
        shown_near; /* features of the shown lines, while lines are assigned */

    struct sample_scores *scores; /* while outliers are looked for */
    uint32_t *outliers;           /* lines that are alone, the loneliest first */
    size_t n_outliers;

    enum sample_phase phase;
    size_t at;                     /* within the phase */
    int n_passes;                  /* of the throwing under way */
    float least_scale, most_scale; /* between which the right scale lies; 0: not known */
    bool is_first;                 /* the throwing under way is of the first lines only */
    bool
        is_whole; /* it is of all lines; else the radii are still searched for among some */
    bool is_redo; /* there was a whole picture before */
    bool is_assigned;

    /* From frame to frame. */
    bool is_steady; /* few lines are exchanged in a frame */
    uint32_t *base; /* shown when the frame before ended */
    size_t n_base;
    struct wanted_line *wanted; /* to come, from at_wanted on */
    size_t n_wanted, at_wanted;
    uint32_t *unwanted; /* to go */
    size_t n_unwanted;

    /* Live. */
    size_t steps_a_column; /* in each key column; the last one may have fewer */
    size_t steps_in_last;
    size_t n_appended_columns; /* since the last whole choice */
    size_t n_full;             /* lines shown by it */
    bool is_urgent;            /* DUE: it must not be put off */
};

/** Give a line's heights. */
static inline float *sampler_y(const struct sampler *s, size_t line)
{
    return s->y + line * s->capacity_columns;
}

/** Give the next random number (splitmix64). */
uint64_t sampler_random(struct sampler *s);

/** Measure how far apart lines lie among those read, and set base_radius by it. */
void sampler_measure_radius(struct sampler *s, size_t n_read);

/** Give the distance that shown lines keep, the median over intervals. */
float sampler_median_radius(const struct sampler *s);

/** Begin to throw: takes all lines out of the picture but remembers them as n_keep. */
void sampler_throw_begin(struct sampler *s, bool is_first);

/**
 * Throw lines until the picture is full.
 *
 * n_work   lines to try
 * returns  whether there is more to do
 */
bool sampler_throw(struct sampler *s, size_t n_work);

/** Let what is shown be what sampler_get() tells from now on. */
void sampler_tell(struct sampler *s);

/** Show a line for a reason, whatever is near; false when there is no slot left. */
bool sampler_show(struct sampler *s, uint32_t line, enum sample_reason reason);

/** Find the lines that must be shown and show them. */
void sampler_show_mandatory(struct sampler *s);

/** Find the numbers by which a line is compared as a whole. */
void sampler_find_features(struct sampler *s, size_t line);

/** Find the features of all lines, and the outliers; returns whether there is more to do. */
bool sampler_score(struct sampler *s, size_t n_work);

/** Forget a search for outliers that is under way. */
void sampler_scores_drop(struct sampler *s);

struct sample_strays;

/** Begin to look for lines that leave the flock for a while; ends the process without memory. */
struct sample_strays *sampler_strays_create(const struct sampler *s);

/** Free them; accepts NULL. */
void sampler_strays_destroy(struct sample_strays *strays);

/** Note where a line runs; of all lines once, before sampler_strays_rank. */
void sampler_strays_count(
    struct sample_strays *strays, const struct sampler *s, size_t line);

/** All lines were counted: find how rare each place is. */
void sampler_strays_rank(struct sample_strays *strays, const struct sampler *s);

/** Give a line's score, larger for those that leave the flock further; 0 for those in it. */
float sampler_strays_score(
    const struct sample_strays *strays, const struct sampler *s, size_t line);

/** Tell how many of them are shown at most. */
size_t sampler_strays_most(const struct sampler *s);

/** Find the rise above which a line leaps, unless it is known. */
void sampler_find_leaps(struct sampler *s);

/** Tell the rise above which a line is shown for it: larger where too many leap. */
float sampler_leap_shown(const struct sampler *s);

/** Compare lines with the shown ones; returns whether there is more to do. */
bool sampler_assign(struct sampler *s, size_t n_work);

/** Add the lines that are far from all shown ones; returns whether there is more to do. */
bool sampler_cover(struct sampler *s, size_t n_work);

/** Compare all lines with shown ones that took another's slot, and count members. */
void sampler_assign_moved(struct sampler *s, const bool *has_moved);

/** Find how many lines each shown one stands for. */
void sampler_count_members(struct sampler *s);

/**
 * After a choice: show the lines of the frame before instead of what was chosen, as far as the next
 * frame must share lines with it; returns whether anything was changed, so that lines are to
 * be assigned again.
 */
bool sampler_turn_back(struct sampler *s);

/** Let a line that is not on the envelope any more go some time, where there are many. */
void sampler_drop_later(struct sampler *s, uint32_t line);

#endif
