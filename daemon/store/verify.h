/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that check the store share. Private to daemon/store. */
#ifndef BARO_STORE_VERIFY_H
#define BARO_STORE_VERIFY_H

#include "daemon/store/columns.h"
#include "daemon/store/strand.h"

/* A piece of damage that is told when the step is over. */
struct verify_finding {
    struct strand_id id;
    bool has_rows;
    uint64_t first_row; /* has_rows: the rows that it concerns ... */
    uint64_t end_row;   /* ... and the one behind; UINT64_MAX when not known */
    uint64_t n_points;  /* that they have; 0: not told */
    char head[24];      /* words before the steps, if there are rows */
    char text[280];     /* words behind them, else all */
};

/* One step of a check. */
struct verifier {
    struct store *store;
    struct store_verify *at;
    store_damage_fn fn;
    void *payload;
    struct verify_finding *findings;
    size_t n_findings;
    size_t findings_room;
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

/** Tell a piece of damage; format: all of its sentence. */
void verify_tell(struct verifier *verifier, const struct strand_id *id, const char *format,
    ...) __attribute__((format(printf, 3, 4)));

/**
 * Tell a piece of damage that concerns rows [first_row, end_row) of a group; people read steps.
 *
 * n_points  that are lost; 0: nobody knows, or they are not
 * format    what goes on behind "steps 3 to 9", or of a level of summaries "summaries of ..."
 */
void verify_tell_rows(struct verifier *verifier, const struct strand_id *id,
    uint64_t first_row, uint64_t end_row, uint64_t n_points, const char *format, ...)
    __attribute__((format(printf, 6, 7)));

/** Give what was told to the caller, and forget it. No reading transaction is open. */
void verify_give_findings(struct verifier *verifier);

/** Check the bytes of one chunk: checksum, layout, and that all of it decodes. */
void verify_chunk_bytes(
    struct verifier *verifier, const struct verify_chunk *at, const uint8_t *bytes);

/** Check the summaries of an opened chunk against what they are of. */
void verify_summaries(
    struct verifier *verifier, const struct verify_chunk *at, const struct chunk *chunk);

#endif
