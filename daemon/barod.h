/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the daemon share. All of it belongs to the ingest thread, which is the main
 * thread; the committer and the query workers see only what is handed to them.
 */
#ifndef BAROD_BAROD_H
#define BAROD_BAROD_H

#include "daemon/bundle.h"
#include "daemon/committer.h"
#include "daemon/counters.h"
#include "daemon/options.h"
#include "daemon/outbox.h"
#include "daemon/registry.h"

struct access;
struct live;
struct notify;
struct query_pool;
struct room;
struct tasks;
struct tensor_room;
struct upkeep;

enum {
    BAROD_MAX_OPEN_BYTES =
        32 << 20,                /* of the open bundle: beyond it batches are held back */
    BAROD_HASTY_BYTES = 4 << 20, /* of the open bundle: commit without waiting */
    BAROD_RAW_HASTY_BYTES = 2 << 20, /* of tensors summarised since: their senders wait */
    BAROD_COMMIT_MS = 100            /* age at which an open bundle is committed */
};

struct barod {
    const struct options *options;
    struct store *store;
    struct committer *committer;
    struct bundle bundles[2]; /* one is open, the other may be under way */
    struct bundle *open;
    uint64_t
        open_since_ns; /* monotonic: when the open bundle got its first entry; 0: empty */
    void *context;
    void *socket;
    struct access *access;
    struct registry registry;
    struct counters counters;
    struct live *live;
    const struct rule_book *rules; /* of the options */
    struct query_pool *queries;
    struct tasks *tasks;
    struct room *room;
    struct tensor_room *tensors;
    struct upkeep *upkeep;
    struct notify *notify;   /* who tells people of incidents */
    struct peer notify_peer; /* who asked for its test */
    uint64_t notify_request;
    uint64_t now_ns;         /* monotonic time of this turn of the loop */
    uint64_t raw_bytes;      /* of tensors summarised in this turn, */
    uint64_t open_raw_bytes; /* and for the open bundle */
    int64_t started_ns;
    uint32_t n_readers; /* rings of dead processes under way */
    char boot_id[40];
    char host[256];
    bool is_stopping;
    struct peer stop_peer; /* who asked for the shutdown; n_bytes 0: a signal */
    uint64_t stop_request;
};

/** Tell how large a bundle may get. Under a small quota it is small, too: a commit must fit into
 * the room that pruning can make. */
static inline uint64_t barod_bundle_limit(const struct barod *barod)
{
    uint64_t share = barod->options->quota_bytes / 8;
    return share > 0 && share < BAROD_MAX_OPEN_BYTES ? share : BAROD_MAX_OPEN_BYTES;
}

/** Tell whether the open bundle takes more: false means that the store is behind. */
static inline bool barod_has_room(const struct barod *barod)
{
    return barod->open->n_bytes < barod_bundle_limit(barod);
}

/** Note that there is something to commit. */
static inline void barod_open_bundle(struct barod *barod)
{
    if (barod->open_since_ns == 0) {
        barod->open_since_ns = barod->now_ns;
    }
}

#endif
