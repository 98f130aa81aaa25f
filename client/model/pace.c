/* SPDX-License-Identifier: Apache-2.0 */
#include "client/model/pace.h"

#include <math.h>
#include <string.h>

/*
 * Two measures. The round trip: the quickest of the last small answers, which a busy machine makes
 * late one by one, but hardly all of them. And what large answers carry: the daemon's own time is
 * in it, so that each may be wrong, downwards; several messages that waited for this thread
 * together seem to come at once, so that each may be wrong upwards, too. A line with a long round
 * trip is slow after one large answer that says so; one with a short round trip only after some in a
 * row. It takes as many to call it quick again. What it carries is told of the last ones together.
 */

static const double SLOW_BYTES_PER_S = 1.5e6;
static const double LONG_TURN_S = 0.015;
static const double LEAST_S = 1e-5;

enum {
    SMALL_BYTES = 2048, /* up to here an answer tells the round trip */
    LARGE_BYTES = 4096, /* from here on what the line carries */
    MIN_TURNS = 2,      /* small answers that tell a long round trip */
    IN_A_ROW = 4,
};

void pace_begin(struct pace *pace, const char *endpoint)
{
    *pace = (struct pace){.is_local = strncmp(endpoint, "ipc://", 6) == 0 ||
                                      strncmp(endpoint, "inproc://", 9) == 0};
}

static bool has_long_turn(const struct pace *pace)
{
    size_t n = pace->n_turns < PACE_TURNS ? pace->n_turns : PACE_TURNS;
    double least_s = (double)INFINITY;
    for (size_t i = 0; i < n; i++) {
        least_s = fmin(least_s, pace->turns_s[i]);
    }
    return n >= MIN_TURNS && least_s > LONG_TURN_S;
}

/* What the line carried over the last large answers; there is one. */
static double all_bytes_per_s(const struct pace *pace)
{
    double bytes = 0;
    double s = 0;
    size_t n = pace->n_answers < PACE_ANSWERS ? pace->n_answers : PACE_ANSWERS;
    for (size_t i = 0; i < n; i++) {
        bytes += pace->answers[i].bytes;
        s += pace->answers[i].s;
    }
    return bytes / s;
}

double pace_note(struct pace *pace, size_t n_bytes, double waited_s, double came_s)
{
    if (pace->is_local) {
        return 0;
    }
    if (n_bytes <= SMALL_BYTES) {
        pace->turns_s[pace->n_turns++ % PACE_TURNS] = waited_s;
    } else if (n_bytes >= LARGE_BYTES) {
        struct pace_answer *answer = &pace->answers[pace->n_answers++ % PACE_ANSWERS];
        *answer = (struct pace_answer){(double)n_bytes, fmax(came_s, LEAST_S)};
        bool seems_slow = answer->bytes / answer->s < SLOW_BYTES_PER_S;
        size_t n_needed = seems_slow && has_long_turn(pace) ? 1 : IN_A_ROW;
        pace->n_against = seems_slow != pace->is_slow ? pace->n_against + 1 : 0;
        if (pace->n_against >= n_needed) {
            pace->is_slow = seems_slow;
            pace->n_against = 0;
        }
    }
    return pace->is_slow ? fmin(all_bytes_per_s(pace), SLOW_BYTES_PER_S) : 0;
}
