/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "tools/bench/flock.h"

/* Other ways to choose as many lines: what the sampler is compared with. */

enum { KMEANS_ROUNDS = 8 };

static void choose_random(const struct flock *flock, struct choice *out)
{
    baro_autofree uint8_t *has = baro_xcalloc(flock->n, 1);
    for (size_t i = 0; i < out->n;) {
        uint32_t line = (uint32_t)(flock_draw() * (double)flock->n);
        if (!has[line]) {
            has[line] = 1;
            out->lines[i++] = line;
        }
    }
}

struct ranked {
    double score;
    uint32_t line;
};

static int largest_first(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->score < y->score || x->score > y->score) {
        return x->score > y->score ? -1 : 1;
    }
    return x->line < y->line ? -1 : x->line > y->line;
}

void flock_rank(const double *scores, size_t n, struct choice *out)
{
    baro_autofree struct ranked *ranked = baro_xcalloc(n, sizeof *ranked);
    for (size_t i = 0; i < n; i++) {
        ranked[i] = (struct ranked){scores[i], (uint32_t)i};
    }
    qsort(ranked, n, sizeof *ranked, largest_first);
    for (size_t i = 0; i < out->n; i++) {
        out->lines[i] = ranked[i].line;
    }
}

static void choose_variance(const struct flock *flock, struct choice *out)
{
    const size_t c = flock->screen.n_columns;
    baro_autofree double *scores = baro_xcalloc(flock->n, sizeof *scores);
    for (size_t i = 0; i < flock->n; i++) {
        double sum = 0, squares = 0;
        for (size_t t = 0; t < c; t++) {
            double y = (double)flock->heights[i * c + t];
            sum += y;
            squares += y * y;
        }
        scores[i] = squares - sum * sum / (double)c;
    }
    flock_rank(scores, flock->n, out);
}

static float squared_distance(const float *a, const float *b, size_t n)
{
    float sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (a[i] - b[i]) * (a[i] - b[i]);
    }
    return sum;
}

/* Every sixth height, so that k-means comes to an end. */
static float *make_features(const struct flock *flock)
{
    const size_t c = flock->screen.n_columns;
    float *features = baro_xcalloc(flock->n * FLOCK_FEATURES, sizeof *features);
    for (size_t i = 0; i < flock->n; i++) {
        for (size_t f = 0; f < FLOCK_FEATURES; f++) {
            features[i * FLOCK_FEATURES + f] =
                flock->heights[i * c + f * c / FLOCK_FEATURES + c / FLOCK_FEATURES / 2];
        }
    }
    return features;
}

static void choose_medoids(
    const struct flock *flock, const float *features, struct choice *out)
{
    const size_t k = out->n;
    baro_autofree float *centres = baro_xcalloc(k * FLOCK_FEATURES, sizeof *centres);
    baro_autofree float *best = baro_xcalloc(k, sizeof *best);
    baro_autofree double *sums = baro_xcalloc(k * FLOCK_FEATURES, sizeof *sums);
    baro_autofree uint32_t *counts = baro_xcalloc(k, sizeof *counts);
    choose_random(flock, out);
    for (size_t j = 0; j < k; j++) {
        memcpy(centres + j * FLOCK_FEATURES,
            features + (size_t)out->lines[j] * FLOCK_FEATURES,
            FLOCK_FEATURES * sizeof(float));
    }
    for (int round = 0; round < KMEANS_ROUNDS; round++) {
        memset(sums, 0, k * FLOCK_FEATURES * sizeof *sums);
        memset(counts, 0, k * sizeof *counts);
        for (size_t j = 0; j < k; j++) {
            best[j] = INFINITY;
        }
        for (size_t i = 0; i < flock->n; i++) {
            const float *mine = features + i * FLOCK_FEATURES;
            size_t who = 0;
            float least = INFINITY;
            for (size_t j = 0; j < k; j++) {
                float d =
                    squared_distance(mine, centres + j * FLOCK_FEATURES, FLOCK_FEATURES);
                who = d < least ? j : who;
                least = d < least ? d : least;
            }
            counts[who]++;
            for (size_t f = 0; f < FLOCK_FEATURES; f++) {
                sums[who * FLOCK_FEATURES + f] += (double)mine[f];
            }
            if (least < best[who]) {
                best[who] = least;
                out->lines[who] = (uint32_t)i;
            }
        }
        for (size_t j = 0; j < k && round + 1 < KMEANS_ROUNDS; j++) {
            for (size_t f = 0; f < FLOCK_FEATURES && counts[j] > 0; f++) {
                centres[j * FLOCK_FEATURES + f] =
                    (float)(sums[j * FLOCK_FEATURES + f] / counts[j]);
            }
        }
    }
}

void flock_choose(const struct flock *flock, enum flock_way way, struct choice *out)
{
    switch (way) {
    case WAY_RANDOM: choose_random(flock, out); break;
    case WAY_FIRST:
        for (size_t i = 0; i < out->n; i++) {
            out->lines[i] = (uint32_t)i;
        }
        break;
    case WAY_VARIANCE: choose_variance(flock, out); break;
    case WAY_MEDOIDS: {
        baro_autofree float *features = make_features(flock);
        choose_medoids(flock, features, out);
        break;
    }
    case WAY_COUNT: break;
    }
}
