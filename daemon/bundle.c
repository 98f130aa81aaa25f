/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/bundle.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

/* More than is gathered while the commit before is under way, in all but the worst times. */
enum { KEPT_BYTES = 12 << 20 };

/* One thing to do; payload_bytes follow it, padded to a multiple of 8. */
struct entry {
    uint64_t payload_bytes;
    uint32_t is_row;
    uint32_t table; /* of a value */
    uint32_t run;
    uint64_t id;          /* of a value */
    struct store_row row; /* of a row; its payload pointer is set again at replay */
};

static size_t padded(size_t n_bytes)
{
    return (n_bytes + 7) & ~(size_t)7;
}

/* Make room and copy; the entry lies at an 8-byte boundary because all sizes are multiples. */
static void add(struct bundle *bundle, const struct entry *entry, const void *payload)
{
    size_t need = bundle->n_bytes + sizeof *entry + padded(entry->payload_bytes);
    if (need > bundle->size) {
        size_t size = bundle->size > 0 ? bundle->size : 64 << 10;
        while (size < need) {
            size *= 2;
        }
        bundle->bytes = baro_xrealloc(bundle->bytes, size, 1);
        bundle->size = size;
    }
    memcpy(bundle->bytes + bundle->n_bytes, entry, sizeof *entry);
    if (entry->payload_bytes > 0) {
        memcpy(
            bundle->bytes + bundle->n_bytes + sizeof *entry, payload, entry->payload_bytes);
    }
    bundle->n_bytes = need;
}

void bundle_finish(struct bundle *bundle)
{
    free(bundle->bytes);
    free(bundle->acks);
    *bundle = (struct bundle){0};
}

void bundle_reset(struct bundle *bundle)
{
    if (bundle->size > KEPT_BYTES) {
        free(bundle->bytes);
        bundle->bytes = NULL;
        bundle->size = 0;
    }
    bundle->n_bytes = 0;
    bundle->n_acks = 0;
    bundle->n_rows = 0;
}

void bundle_append(struct bundle *bundle, const struct store_row *row)
{
    struct entry entry = {
        .payload_bytes =
            8 * (uint64_t)row->n_f64 + 4 * (uint64_t)row->n_f32 + row->extra_bytes,
        .is_row = 1,
        .run = row->run,
        .row = *row,
    };
    add(bundle, &entry, row->payload);
    bundle->n_rows++;
}

void bundle_put(struct bundle *bundle, enum store_table table, uint32_t run, uint64_t id,
    const void *value, size_t n_bytes)
{
    struct entry entry = {
        .payload_bytes = n_bytes,
        .table = (uint32_t)table,
        .run = run,
        .id = id,
    };
    add(bundle, &entry, value);
}

void bundle_ack(
    struct bundle *bundle, struct stream *stream, uint64_t seq, uint64_t n_records)
{
    if (bundle->n_acks == bundle->acks_size) {
        bundle->acks_size = bundle->acks_size > 0 ? bundle->acks_size * 2 : 16;
        bundle->acks = baro_xrealloc(bundle->acks, bundle->acks_size, sizeof *bundle->acks);
    }
    bundle->acks[bundle->n_acks++] = (struct bundle_ack){stream, seq, n_records};
}

bool bundle_has_run(const struct bundle *bundle, uint32_t run)
{
    bool has_run = false;
    for (size_t at = 0; at < bundle->n_bytes && !has_run;) {
        struct entry entry;
        memcpy(&entry, bundle->bytes + at, sizeof entry);
        has_run = entry.run == run;
        at += sizeof entry + padded(entry.payload_bytes);
    }
    return has_run;
}

void bundle_replay(const struct bundle *bundle, struct store_txn *txn)
{
    for (size_t at = 0; at < bundle->n_bytes;) {
        struct entry entry;
        memcpy(&entry, bundle->bytes + at, sizeof entry);
        const uint8_t *payload = bundle->bytes + at + sizeof entry;
        if (entry.is_row) {
            entry.row.payload = payload;
            store_append(txn, &entry.row);
        } else {
            store_put(txn, (enum store_table)entry.table, entry.run, entry.id, payload,
                entry.payload_bytes);
        }
        at += sizeof entry + padded(entry.payload_bytes);
    }
}
