/* SPDX-License-Identifier: Apache-2.0 */
/* Subscribers, as live.c (records) and live_news.c (everything else) know them. */
#ifndef BAROD_LIVE_INSIDE_H
#define BAROD_LIVE_INSIDE_H

#include "daemon/live.h"

enum { LIVE_MAX_MARKS = 32 }; /* messages on the way to a paced subscriber */

struct subscription {
    struct peer peer;
    struct run *run; /* NULL: news of all runs */
    uint64_t n_left_out;
    bool is_gone; /* removed at the end of the flush */
    bool is_chosen;
    uint64_t *wants; /* is_chosen: kind and thing, as want_of makes them, sorted */
    size_t n_wants;
    bool is_paced;
    uint64_t window_bytes;
    uint64_t sent_bytes, taken_bytes; /* of records, since the beginning */
    size_t n_marks;
    struct {
        uint64_t sent_bytes; /* up to the end of this message */
        uint64_t sent_ns;
    } marks[LIVE_MAX_MARKS];
};

struct live {
    struct subscription *subscriptions;
    size_t n;
    uint64_t due_ns; /* 0: nothing waits */
    uint8_t *chosen; /* room for the records of one message */
    size_t chosen_size;
};

/** Send to one subscriber; false when the message did not go out. */
bool live_send(struct barod *barod, struct subscription *subscription,
    Baro__Envelope *envelope, struct frame *frame);

/** Tell one subscriber of things that a run has. */
void live_send_things(struct barod *barod, struct subscription *subscription,
    const struct run *run, struct thing *const *of, size_t n);

/** Tell all who want to know how a run is by now. */
void live_send_run(struct barod *barod, struct run *run);

#endif
