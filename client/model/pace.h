/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pace of the line to the daemon, told from what its answers take: a slow one is spared, with
 * less asked for at once and fewer units shown. A line is not called slow because the machine,
 * or the daemon, is busy for a moment.
 *
 *     pace_begin(&pace, endpoint);
 *     bytes_per_s = pace_note(&pace, n_bytes, waited_s, came_s);
 */
#ifndef CLIENT_MODEL_PACE_H
#define CLIENT_MODEL_PACE_H

#include <stdbool.h>
#include <stddef.h>

enum { PACE_TURNS = 8, PACE_ANSWERS = 8 };

struct pace {
    bool is_local; /* a socket of this machine: never slow */
    bool is_slow;
    size_t n_turns, n_answers, n_against; /* noted; that speak against is_slow, in a row */
    double turns_s[PACE_TURNS];           /* what the last small answers took */
    struct pace_answer {
        double bytes, s;
    } answers[PACE_ANSWERS]; /* the last large ones */
};

/** Begin, on a new connection: nothing is known but what the endpoint tells. */
void pace_begin(struct pace *pace, const char *endpoint);

/**
 * Note an answer.
 *
 * n_bytes   of the answer
 * waited_s  since it was asked for
 * came_s    since it was asked for, or since the message before it, whichever was later
 * returns   what the line carries, bytes a second, while it is slow; 0 while it is not, or nobody
 *           knows
 */
double pace_note(struct pace *pace, size_t n_bytes, double waited_s, double came_s);

#endif
