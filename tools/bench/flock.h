/* SPDX-License-Identifier: Apache-2.0 */
/* Many lines to choose among, made up or recorded, with planted outliers; for bench sample. */
#ifndef BARO_FLOCK_H
#define BARO_FLOCK_H

#include "lib/analysis/polyline.h"
#include "lib/analysis/sample_measure.h"
#include "tools/bench/corpus.h"

enum { FLOCK_WIDTH = 800, FLOCK_HEIGHT = 600, FLOCK_FEATURES = 16 };

/* Many lines, and which of them were made outliers. */
struct flock {
    char name[96];
    size_t n;
    size_t n_steps;
    float *values; /* n x n_steps */
    uint32_t *planted;
    size_t n_planted;
    uint32_t *loneliest; /* the hundredth with the largest local outlier factors */
    size_t n_loneliest;
    struct polylines lines;
    struct axis axis;
    struct polyline_screen screen;
    float *heights; /* n x columns */
    struct sample_canvas all;
};

/* A choice of some lines. */
struct choice {
    uint32_t *lines;
    size_t n;
};

/** Give an even number in [0, 1); the same ones in each run. */
double flock_draw(void);

/** Make up n lines of 1,000 steps: groups of different density. */
void flock_make_up(struct flock *flock, size_t n);

/**
 * Take units at random from all recorded weights, each tensor scaled to a spread of 1.
 *
 * returns  whether there were n units
 */
bool flock_take_mixed(struct flock *flock, const struct corpus *corpus, size_t n);

/** Take one tensor's units as they are, at most n; false when there is none of that name. */
bool flock_take_tensor(struct flock *flock, const struct corpus *corpus, const char *run,
    const char *name, size_t n);

/** Turn one line in so many into an outlier; lay out the chart; find the loneliest lines. */
void flock_prepare(struct flock *flock, size_t plant_every);

/** Free what a flock holds. */
void flock_finish(struct flock *flock);

/* Ways to choose out->n lines, for comparison. */
enum flock_way { WAY_RANDOM, WAY_FIRST, WAY_VARIANCE, WAY_MEDOIDS, WAY_COUNT };

/** Choose out->n lines in a way. */
void flock_choose(const struct flock *flock, enum flock_way way, struct choice *out);

/** Give the out->n lines of n that have the largest scores, the largest first. */
void flock_rank(const double *scores, size_t n, struct choice *out);

#endif
