/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes into one commit: rows and small values in order, and the acknowledgements that
 * become due with it. The ingest thread fills a bundle, then the committer owns it until done.
 */
#ifndef BAROD_BUNDLE_H
#define BAROD_BUNDLE_H

#include "daemon/store/store.h"

struct stream;

/* A stream's position that is safe once the bundle is committed. */
struct bundle_ack {
    struct stream *stream; /* dereferenced by the ingest thread only */
    uint64_t seq;
    uint64_t n_records; /* of this stream in the bundle */
};

/* Zeroed: empty. */
struct bundle {
    uint8_t *bytes; /* struct entry each, 8-byte aligned, then its payload */
    size_t n_bytes;
    size_t size;
    struct bundle_ack *acks;
    size_t n_acks;
    size_t acks_size;
    uint64_t n_rows;
};

/** Release the memory of a bundle. */
void bundle_finish(struct bundle *bundle);

/** Empty a bundle; it keeps a moderate amount of memory for its next use. */
void bundle_reset(struct bundle *bundle);

/** Add a row; its payload is copied. */
void bundle_append(struct bundle *bundle, const struct store_row *row);

/** Add a small value; it is copied. */
void bundle_put(struct bundle *bundle, enum store_table table, uint32_t run, uint64_t id,
    const void *value, size_t n_bytes);

/** Add an acknowledgement that is due after the commit. */
void bundle_ack(
    struct bundle *bundle, struct stream *stream, uint64_t seq, uint64_t n_records);

/** Tell whether a bundle holds rows or values of a run. */
bool bundle_has_run(const struct bundle *bundle, uint32_t run);

/** Do in a transaction what the bundle holds, in order. */
void bundle_replay(const struct bundle *bundle, struct store_txn *txn);

#endif
