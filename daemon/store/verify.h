/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that check the store share. Private to daemon/store. */
#ifndef BARO_STORE_VERIFY_H
#define BARO_STORE_VERIFY_H

#include "daemon/store/columns.h"
#include "daemon/store/strand.h"

/* One step of a check. */
struct verifier {
    struct store *store;
    struct store_verify *at;
    store_damage_fn fn;
    void *payload;
    uint32_t removing; /* run whose removal is under way: it is passed over; 0: none */
    struct chunk_codec *codec; /* NULL until a chunk is looked into */
    struct columns columns;    /* of the chunk at hand */
};

/* One chunk, copied, with what the index and its neighbours say of it. */
struct verify_chunk {
    struct strand_id id;
    uint64_t first_row;
    uint64_t follow; /* where the next one begins, or the strand ends */
    struct group_record record;
    bool has_record;
    size_t at; /* of its bytes */
    size_t n_bytes;
};

/** Tell a piece of damage. */
void verify_tell(struct verifier *verifier, const struct strand_id *id, const char *format,
    ...) __attribute__((format(printf, 3, 4)));

/** Check the bytes of one chunk: checksum, layout, and that all of it decodes. */
void verify_chunk_bytes(
    struct verifier *verifier, const struct verify_chunk *at, const uint8_t *bytes);

/** Check the summaries of an opened chunk against what they are of. */
void verify_summaries(
    struct verifier *verifier, const struct verify_chunk *at, const struct chunk *chunk);

#endif
