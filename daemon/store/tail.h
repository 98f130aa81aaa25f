/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The open tail in memory: the committed rows of each group that are not in chunks yet, in
 * segments that never move. Private to daemon/store.
 *
 * Only the writing thread changes any of it, and only under the store's memory lock; other
 * threads look under that lock, take references to segments, and read the rows that were there
 * then without it: rows never change once they are there.
 */
#ifndef BARO_STORE_TAIL_H
#define BARO_STORE_TAIL_H

#include "daemon/store/record.h"
#include "daemon/store/store.h"

/* Before each row in a segment; its payload follows, padded to 8 bytes. */
struct tail_row {
    int64_t step;
    int64_t time_ns;
    uint32_t extra_bytes;
    uint32_t bytes; /* of this header, the payload and the padding */
};

struct tail_segment {
    struct tail_segment *next; /* of the same group; the readers' own lists say how far */
    uint32_t n_refs;           /* the group's own and one per reader */
    uint32_t n_rows;
    uint64_t ordinal;  /* of the piece that the first row is in ... */
    uint32_t n_before; /* ... and how many rows of the group are there before it */
    size_t used;
    size_t room;
    _Alignas(8) uint8_t rows[];
};

struct tail_run;

/* A group that has, or had of late, rows in its tail. */
struct tail_group {
    struct tail_run *run;
    uint32_t thing;
    uint16_t kind;
    /* As on disk: record.n_rows is the number of the tail's first row. The layout counts once
     * there is a row; first_step and last_step are of all rows, those of the tail included. */
    struct group_record record;
    uint64_t tail_rows;
    uint64_t tail_bytes;
    struct tail_segment *segments;
    struct tail_segment *last_segment;
    uint32_t n_segments;
    uint32_t n_in_piece;   /* writer: its rows so far in the piece ... */
    uint64_t last_ordinal; /* ... with this ordinal */
    uint32_t n_quiet;      /* writer: sweeps since its last row */
    uint64_t txn_number;   /* writer: the transaction whose first row fixed the layout */
    struct tail_group *in_run; /* next of the same run */
    struct tail_group *in_bucket;
    struct tail_group *next_tiering; /* writer, tiers.c: its list ... */
    bool is_tiering;                 /* ... and whether it is in it */
    struct tail_group *next_parting; /* writer, parts.c: its list ... */
    bool is_parting;                 /* ... and whether it is in it */
    bool is_quiet;                   /* nothing came behind its last rows for a while */
    uint32_t n_parted;               /* the first so many parts have rows ... */
    uint64_t parting_to;             /* ... up to this one */
};

struct tail_run {
    uint32_t run;
    uint64_t next_ordinal; /* of the next piece of tail in LMDB */
    uint64_t first_ordinal;
    uint64_t tail_bytes;
    uint64_t *damaged; /* ordinals of pieces that could not be read: kept, and told of */
    uint32_t n_damaged;
    struct tail_group *groups;
    uint32_t n_groups;
    uint32_t n_quiet; /* writer: ticks since its last row */
    uint64_t
        sweep_end; /* writer: what is before this ordinal is being sealed; 0: nothing is */
    struct tail_group *sweep_next; /* writer: and it goes on here */
    uint8_t *piece;                /* writer: the piece that the commit in progress fills */
    size_t piece_bytes;
    size_t piece_room;
    uint32_t piece_rows;
    uint32_t n_new_pieces;
};

/* All runs and groups with a tail; zero is empty. */
struct tail {
    struct tail_run **runs;
    uint32_t n_runs;
    uint32_t runs_room;
    uint32_t last_run; /* index found last time; writer */
    struct tail_group **buckets;
    uint32_t n_buckets; /* 0 or a power of two */
    uint32_t n_groups;
    uint64_t bytes; /* of all runs */
};

/* What a row is, but for its payload; before each row in a piece of tail in LMDB (piece.h). */
struct tail_record {
    uint32_t thing;
    uint16_t kind;
    uint16_t reserved0;
    uint32_t n_f64;
    uint32_t n_f32;
    uint32_t extra_bytes;
    uint32_t reserved1;
    int64_t step;
    int64_t time_ns;
};
_Static_assert(sizeof(struct tail_record) == 40, "this is the layout on disk");

enum { TAIL_MAX_PAYLOAD_BYTES = 8 << 20, TAIL_SEGMENT_BYTES = 65536 };

/** Round up to a multiple of 8. */
static inline size_t tail_pad(size_t n)
{
    return (n + 7) & ~(size_t)7;
}

/** Give the bytes of a row's payload; counts are within their limits. */
static inline size_t tail_payload_bytes(
    uint32_t n_f64, uint32_t n_f32, uint32_t extra_bytes)
{
    return 8 * (size_t)n_f64 + 4 * (size_t)n_f32 + extra_bytes;
}

/** Release everything. */
void tail_finish(struct tail *tail);

/** Find a run's tail; NULL when there is none. */
struct tail_run *tail_find_run(const struct tail *tail, uint32_t run);

/** Find or add a run's tail; under the memory lock. */
struct tail_run *tail_add_run(struct tail *tail, uint32_t run);

/** Find a group; NULL when it is not in memory. */
struct tail_group *tail_find(
    const struct tail *tail, uint32_t run, uint32_t thing, uint16_t kind);

/** Add a group that is not there; under the memory lock. */
struct tail_group *tail_add(struct tail *tail, uint32_t run, uint32_t thing, uint16_t kind);

/** Forget a run with all its groups; under the memory lock. Nothing when it is not there. */
void tail_remove_run(struct tail *tail, uint32_t number);

/** Append a committed row to its group, from the piece with an ordinal; under the memory lock. */
void tail_push(struct tail *tail, struct tail_group *group, uint64_t ordinal,
    const struct tail_record *record, const uint8_t *payload);

/** Count a row of a piece that is in chunks already, instead of appending it; the writer. */
void tail_pass(struct tail_group *group, uint64_t ordinal);

/**
 * Drop the first segments of a group's tail; its new record is the caller's care. Under the
 * memory lock.
 */
void tail_drop(struct tail *tail, struct tail_group *group, uint32_t n_segments);

/** Give back one reference to a segment; under the memory lock. */
void tail_unref(struct tail_segment *segment);

/**
 * Forget the groups of a run that have no tail, no work waiting, and had no rows for so many
 * sweeps; what the index says brings them back. Under the memory lock.
 */
void tail_forget(struct tail *tail, struct tail_run *run, uint32_t n_quiet);

#endif
