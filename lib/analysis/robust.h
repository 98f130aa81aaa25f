/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streaming statistics that outliers cannot move: median and MAD of the last readings, and an
 * exponential mean fed with clipped values. For rules, as parts of their memory: zeroed memory is
 * an empty one.
 */
#ifndef BARO_ROBUST_H
#define BARO_ROBUST_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

enum { ROBUST_WINDOW = 128 };

/* A MAD times this is a standard deviation, for Gaussian noise. */
#define ROBUST_MAD_TO_SIGMA 1.4826

/* The last ROBUST_WINDOW readings, also sorted. */
struct robust {
    double ring[ROBUST_WINDOW]; /* in order of arrival */
    double sorted[ROBUST_WINDOW];
    uint32_t n;    /* readings in both */
    uint32_t next; /* oldest in the ring once it is full */
};

/* An exponential mean and variance; each value is clipped to 3 deviations before it is learnt. */
struct smooth {
    double mean;
    double var;
    uint32_t n;
};

/** Learn a finite value; the oldest leaves when the window is full. cost: moves at most 128 */
void robust_push(struct robust *robust, double value);

/** Give the median; NaN of nothing. */
double robust_median(const struct robust *robust);

/**
 * Give the median distance from the median.
 *
 * median   what robust_median gave
 * cost     walks half the window
 */
double robust_mad(const struct robust *robust, double median);

/**
 * Learn a finite value.
 *
 * weight   of a new value once 1 / weight of them are known; before, all weigh alike
 */
void smooth_push(struct smooth *smooth, double value, double weight);

/** Tell how many deviations a value lies above the mean. least: the smallest deviation assumed */
static inline double smooth_score(const struct smooth *smooth, double value, double least)
{
    double deviation = sqrt(smooth->var);
    return (value - smooth->mean) / (deviation > least ? deviation : least);
}

#endif
