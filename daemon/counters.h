/* SPDX-License-Identifier: Apache-2.0 */
/* What the daemon counts about itself: each figure with its sentence and unit, for StatusReply. */
#ifndef BAROD_COUNTERS_H
#define BAROD_COUNTERS_H

#include <stdint.h>

/* Every counter: enumerator, name, sentence, unit. All only grow. */
#define COUNTERS(X)                                                                        \
    X(COUNT_MESSAGES, "messages", "Messages received.", "messages")                        \
    X(COUNT_RECORDS, "records", "Records taken from clients.", "records")                  \
    X(COUNT_RECORD_BYTES, "record_bytes", "Bytes of those records.", "bytes")              \
    X(COUNT_REPEATED, "records_repeated", "Records sent again after they were taken.",     \
        "records")                                                                         \
    X(COUNT_COMMITS, "commits", "Commits to the store.", "commits")                        \
    X(COUNT_COMMITTED, "records_committed", "Records committed to the store.", "records")  \
    X(COUNT_COMMIT_NS, "commit_ns", "Time spent in commits.", "ns")                        \
    X(COUNT_HELD_BACK, "batches_held_back",                                                \
        "Batches not taken because the store could not keep up; the client sends them "    \
        "again.",                                                                          \
        "batches")                                                                         \
    X(COUNT_BAD_MESSAGE, "refused_garbage", "Messages that could not be read.",            \
        "messages")                                                                        \
    X(COUNT_BAD_VERSION, "refused_version", "Messages of another protocol version.",       \
        "messages")                                                                        \
    X(COUNT_BAD_LIMIT, "refused_limit", "Messages over a declared limit.", "messages")     \
    X(COUNT_BAD_REQUEST, "refused_request", "Requests that could not be answered.",        \
        "messages")                                                                        \
    X(COUNT_NO_HELLO, "refused_no_hello", "Batches before a Hello.", "messages")           \
    X(COUNT_BAD_KEY, "refused_key", "Connections whose key is not on the list.",           \
        "connections")                                                                     \
    X(COUNT_BAD_ROLE, "refused_role", "Messages that their key's role does not allow.",    \
        "messages")                                                                        \
    X(COUNT_BAD_FRAME, "damaged_frames", "Frames of records that broke off.", "frames")    \
    X(COUNT_BAD_RECORD, "damaged_records",                                                 \
        "Records left out because they were not right.", "records")                        \
    X(COUNT_REFUSED_COMMIT, "records_refused", "Records that the store refused for good.", \
        "records")                                                                         \
    X(COUNT_REQUESTS, "requests", "Requests answered.", "messages")                        \
    X(COUNT_LIVE_SENT, "live_sent", "Live messages sent to subscribers.", "messages")      \
    X(COUNT_LIVE_LEFT_OUT, "live_left_out",                                                \
        "Records left out of live streams because a subscriber was slow.", "records")      \
    X(COUNT_REPLIES_LOST, "replies_lost", "Replies whose asker was gone or did not read.", \
        "messages")                                                                        \
    X(COUNT_SAMPLES, "samples", "Samples that were begun.", "samples")                     \
    X(COUNT_SAMPLES_ENDED, "samples_ended",                                                \
        "Samples that ended: done, cancelled, or their asker left.", "samples")            \
    X(COUNT_FINDINGS, "findings_sent", "Findings of samples sent.", "messages")            \
    X(COUNT_ALERTS, "alerts", "Alerts raised.", "alerts")                                  \
    X(COUNT_ALERTS_WITHHELD, "alerts_withheld", "Alerts beyond the limit of their run.",   \
        "alerts")                                                                          \
    X(COUNT_PRUNED, "records_pruned",                                                      \
        "Records that gave way, so that at most summaries of them are left.", "records")   \
    X(COUNT_PRUNED_BYTES, "bytes_pruned", "Bytes that this made room for.", "bytes")       \
    X(COUNT_REMOVED_RUNS, "runs_removed", "Runs removed whole, as asked.", "runs")         \
    X(COUNT_RINGS_READ, "rings_read", "Rings of dead processes read to the end.", "rings") \
    X(COUNT_NOTIFIED, "notified", "Notifications that people were sent.", "messages")      \
    X(COUNT_NOTIFY_FAILED, "notify_failed",                                                \
        "Notifications that were given up: see the log.", "messages")                      \
    X(COUNT_NOTIFY_HELD_BACK, "notify_held_back",                                          \
        "Notifications held back because there were too many.", "messages")

enum counter {
#define COUNTER_ENUM(id, name, sentence, unit) id,
    COUNTERS(COUNTER_ENUM)
#undef COUNTER_ENUM
        COUNTER_COUNT
};

/* Guarded by being the ingest thread's alone. */
struct counters {
    uint64_t values[COUNTER_COUNT];
};

/* The words of one counter. */
struct counter_text {
    const char *name;
    const char *sentence;
    const char *unit;
};

/** Give the words of a counter; id below COUNTER_COUNT. */
const struct counter_text *counter_text(enum counter id);

/** Add to a counter. */
static inline void count(struct counters *counters, enum counter id, uint64_t n)
{
    counters->values[id] += n;
}

#endif
