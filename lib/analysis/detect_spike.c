/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "lib/analysis/detect.h"

/*
 * Did the loss just jump? A reading x is compared with the series' own recent history, in four
 * ways, and is a spike only when all agree. Its surprise is r = x - f, where f is an exponential mean
 * (weight 0.1) of the readings before, that follows a falling loss closely:
 *
 *   1. robust     (r - median) / (1.4826 * MAD) > 6, both over the last 128 surprises. MAD is the
 *                 median distance from the median; 1.4826 makes it a standard deviation for
 *                 Gaussian noise. One outlier, or ten, cannot move either.
 *   2. recent     (x - m) / s > 4, with m and s from exponential means of value and squared
 *                 distance (weight 0.03), fed with values clipped at m + 2.5 s, after ZClip
 *                 (arXiv 2504.02507).
 *   3. remembered r is more than twice the largest of the past, which fades with a half-life of
 *                 8000 readings, and as the mean |r| (weight 0.03) does when that is less than
 *                 a quarter of what it was, down to a quarter. Noise
 *                 with heavy tails throws 6 sigma every few hundred readings; a series that does
 *                 that is known to do it. A spike raises this memory to at most twice what it was,
 *                 so that one enormous spike does not hide all later ones.
 *   4. material   r is more than 5 % of the magnitude of f.
 *
 * The first 32 readings are only learnt from. After a spike the detector is silent until 8
 * readings in a row are below 3 robust deviations: a plateau after a jump is told once. What f learns
 * at once is limited to 10 s, or a tenth of f: one enormous spike does not spoil it.
 *
 * Cost: a few multiplications. Median and MAD are found only for readings that pass the other three
 * tests, and until it is calm again: a sort of 128.
 *
 * Worked number: readings 1.0, 1.1, 1.0, 0.9 repeated 16 times leave f at 0.9945, and surprises whose
 * median is -0.0028 and whose MAD is 0.0747, deviation 0.1108; then 1.7 scores 6.39.
 *
 * Rejected: a plain z-score (one spike inflates its own deviation: at most sqrt(n) can be
 * scored), CUSUM (a rise over many readings is drift, another rule), median and MAD of the readings
 * themselves (a loss that falls by half within the window has a spread of that size: a transformer of
 * which half was made anew, 0.83 to 2.34 where noise was 0.1, scored 4.8). Known failure: noise that
 * is stationary but whose scale steps up for good is told once.
 */

enum { CALM_READINGS = 8 };

const struct spike_limits spike_usual_limits = {
    .robust = 6, .recent = 4, .peak = 2, .relative = 0.05, .warm_up = 32};

static const double clip_score = 2.5;
static const double recent_weight = 0.03;
static const double peak_fade = 0.99991336; /* 0.5 ^ (1 / 8000) */
static const double calm_score = 3.0;
static const double fast_weight = 0.1;
static const double least_part = 0.25;
static const double most_score = 10;  /* deviations that the fast mean learns at once, */
static const double most_share = 0.1; /* or this part of itself */

/* The least deviation assumed: a constant series has no noise. */
static double least_of(const struct spike_detector *detector)
{
    return 1e-6 * fabs(detector->fast) + 1e-300;
}

/* What the largest surprise of the past is now: noise that has shrunk since does that no more. */
static double peak_now(const struct spike_detector *detector)
{
    double part = 4 * detector->sway / (detector->peak_sway + 1e-300);
    return detector->peak * (part > 1 ? 1 : part > least_part ? part : least_part);
}

/* Follow the series, and remember how far it strays. */
static void learn(
    struct spike_detector *detector, double warm_up, double value, double surprise)
{
    bool is_warm = (double)detector->n >= warm_up;
    double deviation = sqrt(detector->var);
    double limit = detector->mean + clip_score * deviation;
    double clipped = is_warm && value > limit ? limit : value;
    double share = 1.0 / ((double)detector->n + 1);
    double weight = is_warm ? recent_weight : share;
    double delta = clipped - detector->mean;
    detector->mean += weight * delta;
    detector->var = (1 - weight) * (detector->var + weight * delta * delta);
    double most = fmax(most_score * deviation, most_share * fabs(detector->fast));
    double change = is_warm ? fmax(-most, fmin(most, surprise)) : surprise;
    detector->fast += (share > fast_weight ? share : fast_weight) * change;
    detector->peak *= peak_fade;
    double old_sway = detector->peak_sway;
    double peak = peak_now(detector);
    if (surprise > peak) {
        bool is_bounded = is_warm && surprise > 2 * peak && peak > 0;
        detector->peak = is_bounded ? 2 * peak : surprise;
        detector->peak_sway = detector->sway;
    }
    if (!is_warm) { /* the first ones are of too few readings */
        detector->peak_sway = fmax(old_sway, detector->sway);
    }
    double swing = fabs(surprise);
    swing = is_warm && detector->sway > 0 ? fmin(swing, 4 * detector->sway) : swing;
    detector->sway += weight * (swing - detector->sway);
    detector->ring[detector->n % ROBUST_WINDOW] = surprise;
    detector->n++;
    if (detector->n == 4 * ROBUST_WINDOW) { /* so that it never overflows */
        detector->n -= ROBUST_WINDOW;
    }
}

/* Robust deviations above the usual surprise. */
static double score_of(const struct spike_detector *detector, double surprise, double least,
    double *out_median)
{
    struct robust window = {.n = 0};
    uint32_t n = detector->n < ROBUST_WINDOW ? detector->n : ROBUST_WINDOW;
    for (uint32_t i = 0; i < n; i++) {
        robust_push(&window, detector->ring[i]);
    }
    double median = robust_median(&window);
    double sigma = ROBUST_MAD_TO_SIGMA * robust_mad(&window, median);
    *out_median = median;
    return (surprise - median) / (sigma > least ? sigma : least);
}

bool spike_feed(struct spike_detector *detector, const struct spike_limits *limits,
    double value, struct spike_finding *out_finding)
{
    if (!isfinite(value)) {
        return false;
    }
    if (detector->n == 0) {
        detector->fast = value;
        learn(detector, limits->warm_up, value, 0);
        return false;
    }
    double surprise = value - detector->fast;
    double least = least_of(detector);
    double deviation = sqrt(detector->var) + least;
    bool is_spike = (double)detector->n >= limits->warm_up &&
                    value - detector->mean > limits->recent * deviation &&
                    surprise > limits->peak * peak_now(detector) &&
                    surprise > limits->relative * fabs(detector->fast);
    double score = 0;
    double median = 0;
    if (is_spike || detector->n_to_calm > 0) { /* else the sort is not worth it */
        score = score_of(detector, surprise, least, &median);
        is_spike = is_spike && score > limits->robust;
    }
    bool is_told = is_spike && detector->n_to_calm == 0;
    if (is_spike) {
        detector->n_to_calm = CALM_READINGS;
    } else if (detector->n_to_calm > 0) {
        detector->n_to_calm = score < calm_score ? detector->n_to_calm - 1 : CALM_READINGS;
    }
    double usual = detector->fast + median;
    learn(detector, limits->warm_up, value, surprise);
    if (is_told) {
        *out_finding = (struct spike_finding){value, usual, score};
    }
    return is_told;
}
