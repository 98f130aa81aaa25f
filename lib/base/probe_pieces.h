/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pieces that a probe travels and is kept in, READING_PROBE and READING_FAILURE: their
 * numbers, and putting them together again. Pieces may come twice, in any order, or not at all.
 */
#ifndef BARO_PROBE_PIECES_H
#define BARO_PROBE_PIECES_H

#include "lib/base/probe.h"

enum { PROBE_PIECE_NUMBERS = 5 /* doubles that a piece begins with */ };

/* What the numbers of a piece say. */
struct probe_piece {
    uint64_t
        serial; /* of the probe: no other of the run has it, later ones have larger ones */
    uint32_t piece; /* 0 to n_pieces - 1 */
    uint32_t n_pieces;
    enum probe_reason reason;
    uint64_t probe_bytes; /* of the whole probe */
};

/** Count the pieces that so many bytes make. */
static inline uint32_t probe_piece_count(uint64_t probe_bytes)
{
    return (uint32_t)((probe_bytes + PROBE_PIECE_BYTES - 1) / PROBE_PIECE_BYTES);
}

/** Write the numbers of a piece. */
void probe_piece_numbers(
    const struct probe_piece *piece, double out_numbers[PROBE_PIECE_NUMBERS]);

/**
 * Read the numbers of a piece, which may be anything.
 *
 * returns  0; BARO_ECORRUPT when they cannot be those of a piece
 */
int probe_piece_read(
    const double numbers[PROBE_PIECE_NUMBERS], struct probe_piece *out_piece);

/** Tell how many bytes a piece carries. */
uint32_t probe_piece_bytes(const struct probe_piece *piece);

/* What is known of a probe from the numbers of its pieces. */
struct probe_entry {
    uint64_t serial;
    int64_t step;
    int64_t time_ns; /* wall time */
    enum probe_reason reason;
    uint64_t bytes;
    uint32_t n_pieces;
    uint32_t
        n_here; /* different ones that are there; less than n_pieces: it cannot be read */
    uint8_t *is_here; /* one for each piece; probe_list_finish() frees it */
};

/* The probes of a run, by rising serial number. Begin with {0}. */
struct probe_list {
    struct probe_entry *entries;
    size_t n;
    size_t size;
};

/**
 * Count in a piece.
 *
 * returns  0; BARO_ECORRUPT when its numbers cannot be, or are not those of the same probe's other
 *          pieces; BARO_ENOMEM
 */
int probe_list_add(struct probe_list *list, int64_t step, int64_t time_ns,
    const double numbers[PROBE_PIECE_NUMBERS]);

/** Free what a list holds. */
void probe_list_finish(struct probe_list *list);

/** Find a probe by its number; NULL when it is not there. */
const struct probe_entry *probe_list_find(const struct probe_list *list, uint64_t serial);

/* One probe while its pieces come. Begin with probe_gather_init(). */
struct probe_gather {
    struct probe_entry entry;
    uint8_t *bytes; /* 8-byte aligned; entry.bytes of them */
};

/**
 * Begin to put a probe together.
 *
 * entry    what the list says about it; its is_here is not used
 * returns  0; BARO_ELIMIT; BARO_ENOMEM
 */
int probe_gather_init(struct probe_gather *gather, const struct probe_entry *entry);

/**
 * Add a piece; one of another probe is passed over, one that came already, too.
 *
 * returns  0; BARO_ECORRUPT when it does not belong where it says
 */
int probe_gather_add(struct probe_gather *gather, const double numbers[PROBE_PIECE_NUMBERS],
    const void *bytes, size_t n_bytes);

/**
 * Take the bytes, which the caller frees, for probe_parse().
 *
 * returns  0; BARO_ENOENT with how many pieces are missing
 */
int probe_gather_take(struct probe_gather *gather, void **out_bytes, size_t *out_n_bytes,
    struct baro_err *err);

/** Free what is left. */
void probe_gather_finish(struct probe_gather *gather);

#endif
