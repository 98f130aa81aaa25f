/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/store/read_ahead.h"

#include <string.h>

enum {
    MAX_BYTES = 4 << 20, /* more would push out what others want */
    MAX_CHUNKS = 256
};

/* Where in a strand advice was given last. */
struct place {
    MDB_cursor *cursor;
    uint8_t key[KEY_CHUNK_BYTES]; /* of the strand; the row changes */
    uint64_t next_row;            /* chunks before this row have been seen to */
    size_t n_bytes;
    size_t n_chunks;
    bool is_next;
    MDB_val first; /* chunk */
};

void read_ahead_add(struct read_ahead *ahead, uint64_t from, uint64_t end)
{
    size_t n = ahead->n;
    if (n > 0 && ahead->ranges[n - 1].end == from) {
        ahead->ranges[n - 1].end = end;
    } else if (n < READ_AHEAD_RANGES) {
        ahead->ranges[n].from = from;
        ahead->ranges[n].end = end;
        ahead->n++;
    }
}

static bool is_of(const struct place *place, const MDB_val *key)
{
    return key->mv_size == KEY_CHUNK_BYTES &&
           memcmp(key->mv_data, place->key, KEY_STRAND_BYTES) == 0;
}

/* Go to the chunk that has a row, or to the first one behind it. */
static bool seek(struct place *place, uint64_t row, MDB_val *out_key, MDB_val *out_value)
{
    key_put(place->key + KEY_STRAND_BYTES, row, 8);
    *out_key = (MDB_val){.mv_size = sizeof place->key, .mv_data = place->key};
    int rc = mdb_cursor_get(place->cursor, out_key, out_value, MDB_SET_RANGE);
    bool is_there = rc == 0 && is_of(place, out_key);
    if (is_there && memcmp(out_key->mv_data, place->key, sizeof place->key) == 0) {
        return true;
    }
    if (rc != 0 && rc != MDB_NOTFOUND) {
        return false;
    }
    MDB_val key;
    MDB_val value;
    rc = mdb_cursor_get(place->cursor, &key, &value, rc == 0 ? MDB_PREV : MDB_LAST);
    if (rc == 0 && is_of(place, &key)) {
        *out_key = key;
        *out_value = value;
        return true;
    }
    rc = is_there ? mdb_cursor_get(place->cursor, out_key, out_value, MDB_NEXT) : rc;
    return is_there && rc == 0;
}

static void see_to(struct place *place, const MDB_val *value)
{
    if (place->n_chunks == 0 && place->is_next) {
        place->first = *value;
        return;
    }
    if (place->n_chunks == 1 && place->is_next) {
        strand_fetch(&place->first);
    }
    strand_fetch(value);
}

/* See to the chunks of one stretch. */
static void advise(struct place *place, uint64_t from, uint64_t end)
{
    MDB_val key;
    MDB_val value;
    from = from > place->next_row ? from : place->next_row;
    if (from >= end || !seek(place, from, &key, &value)) {
        return;
    }
    bool is_more = true;
    while (is_more && place->n_bytes < MAX_BYTES && place->n_chunks < MAX_CHUNKS) {
        see_to(place, &value);
        place->n_bytes += value.mv_size;
        place->n_chunks++;
        is_more = mdb_cursor_get(place->cursor, &key, &value, MDB_NEXT) == 0 &&
                  is_of(place, &key);
        place->next_row = is_more
                              ? key_get((const uint8_t *)key.mv_data + KEY_STRAND_BYTES, 8)
                              : UINT64_MAX;
        is_more = is_more && place->next_row < end;
    }
}

void read_ahead_start(struct store *store, const struct strand_id *id,
    const struct read_ahead *ahead, bool is_next)
{
    MDB_txn *txn = NULL;
    struct place place = {.is_next = is_next};
    if (ahead->n == 0 || store_reading_begin(store, &txn, NULL) != 0) {
        return;
    }
    key_chunk(place.key, id, 0);
    if (mdb_cursor_open(txn, store->chunk_table, &place.cursor) == 0) {
        for (size_t i = 0; i < ahead->n && place.n_bytes < MAX_BYTES; i++) {
            advise(&place, ahead->ranges[i].from, ahead->ranges[i].end);
        }
        mdb_cursor_close(place.cursor);
    }
    store_reading_end(store, txn);
}
