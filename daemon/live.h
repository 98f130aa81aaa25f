/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subscribers get what comes in before it is committed: records gathered for at most 50 ms,
 * alerts, new things and changed runs. A subscriber may choose what it gets. One that does not read
 * loses records, which are counted and told; it never holds anybody up. Ingest thread only.
 */
#ifndef BAROD_LIVE_H
#define BAROD_LIVE_H

#include "daemon/barod.h"
#include "lib/base/reading.h"

/** Make the list of subscribers. */
struct live *live_create(void);

/** Free it; accepts NULL. */
void live_destroy(struct live *live);

/** Begin, change or end a subscription of a peer; run NULL: only news of all runs. */
void live_subscribe(struct barod *barod, const struct peer *peer, struct run *run,
    const Baro__SubscribeRequest *request);

/** Note what of the records sent to a subscriber has come. */
void live_on_taken(
    struct barod *barod, const struct peer *peer, const Baro__LiveTaken *taken);

/** Tell the subscribers of a run what is known of a thing now. */
void live_on_thing(struct barod *barod, struct run *run, struct thing *thing);

/** End the subscriptions of peers that may not view any more. */
void live_review(struct barod *barod);

/** Gather a reading for the subscribers of its run. */
void live_on_reading(
    struct barod *barod, struct stream *stream, const struct reading *reading);

/** Send an alert to the subscribers of its run and to those of all runs' news. */
void live_alert(struct barod *barod, const Baro__Alert *alert);

/** Send an incident, as it is now, to the same. */
void live_incident(struct barod *barod, const Baro__Incident *incident);

/** Send a note that was written or removed to the same. */
void live_note(struct barod *barod, const Baro__Note *note);

/** Tell whether anything waits for live_flush. */
bool live_is_waiting(const struct barod *barod);

/** Tell when live_flush is due; monotonic; only meaningful while live_is_waiting. */
uint64_t live_due_ns(const struct barod *barod);

/** Send what was gathered, and runs that changed. */
void live_flush(struct barod *barod);

#endif
