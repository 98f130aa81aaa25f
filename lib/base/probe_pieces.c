/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/probe_pieces.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"

/*
 * A whole number in a double is exact below 2^53. A probe of no more than PROBE_MAX_BYTES has
 * 4,096 pieces, so counting those that are there takes little memory, whatever the numbers say.
 */

enum { NUMBER_SERIAL = 0, NUMBER_PIECE, NUMBER_N_PIECES, NUMBER_REASON, NUMBER_BYTES };

static const double max_whole = 9007199254740991.0;

void probe_piece_numbers(
    const struct probe_piece *piece, double out_numbers[PROBE_PIECE_NUMBERS])
{
    out_numbers[NUMBER_SERIAL] = (double)piece->serial;
    out_numbers[NUMBER_PIECE] = (double)piece->piece;
    out_numbers[NUMBER_N_PIECES] = (double)piece->n_pieces;
    out_numbers[NUMBER_REASON] = (double)(int)piece->reason;
    out_numbers[NUMBER_BYTES] = (double)piece->probe_bytes;
}

/* Read a whole number in [from, to]; false when it is none. */
static bool read_whole(double number, double from, double to, uint64_t *out)
{
    if (!(number >= from && number <= to)) {
        return false; /* NaN, too */
    }
    *out = (uint64_t)number;
    return (double)*out >= number; /* equal: nothing was cut off */
}

int probe_piece_read(
    const double numbers[PROBE_PIECE_NUMBERS], struct probe_piece *out_piece)
{
    uint64_t serial = 0;
    uint64_t piece = 0;
    uint64_t n_pieces = 0;
    uint64_t reason = 0;
    uint64_t bytes = 0;
    if (!read_whole(numbers[NUMBER_SERIAL], 1, max_whole, &serial) ||
        !read_whole(numbers[NUMBER_BYTES], 1, PROBE_MAX_BYTES, &bytes) ||
        !read_whole(numbers[NUMBER_N_PIECES], 1, max_whole, &n_pieces) ||
        n_pieces != probe_piece_count(bytes) ||
        !read_whole(numbers[NUMBER_PIECE], 0, (double)n_pieces - 1, &piece) ||
        !read_whole(numbers[NUMBER_REASON], PROBE_REGULAR, PROBE_REASON_END - 1, &reason)) {
        return BARO_ECORRUPT;
    }
    *out_piece = (struct probe_piece){
        .serial = serial,
        .piece = (uint32_t)piece,
        .n_pieces = (uint32_t)n_pieces,
        .reason = (enum probe_reason)reason,
        .probe_bytes = bytes,
    };
    return 0;
}

uint32_t probe_piece_bytes(const struct probe_piece *piece)
{
    const uint64_t before = (uint64_t)piece->piece * PROBE_PIECE_BYTES;
    const uint64_t left = piece->probe_bytes - before;
    return left < PROBE_PIECE_BYTES ? (uint32_t)left : PROBE_PIECE_BYTES;
}

/* ---- lists ---- */

/* The place of a probe in the list, or where it belongs. */
static size_t find_place(const struct probe_list *list, uint64_t serial)
{
    size_t low = 0;
    size_t high = list->n;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (list->entries[middle].serial < serial) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static int insert(struct probe_list *list, size_t at, const struct probe_piece *piece,
    int64_t step, int64_t time_ns)
{
    if (list->n == list->size) {
        const size_t size = list->size * 2 + 16;
        struct probe_entry *entries = realloc(list->entries, size * sizeof *entries);
        if (entries == NULL) {
            return BARO_ENOMEM;
        }
        list->entries = entries;
        list->size = size;
    }
    uint8_t *is_here = calloc(piece->n_pieces, 1);
    if (is_here == NULL) {
        return BARO_ENOMEM;
    }
    memmove(
        &list->entries[at + 1], &list->entries[at], (list->n - at) * sizeof *list->entries);
    list->n++;
    list->entries[at] = (struct probe_entry){
        .serial = piece->serial,
        .step = step,
        .time_ns = time_ns,
        .reason = piece->reason,
        .bytes = piece->probe_bytes,
        .n_pieces = piece->n_pieces,
        .is_here = is_here,
    };
    return 0;
}

int probe_list_add(struct probe_list *list, int64_t step, int64_t time_ns,
    const double numbers[PROBE_PIECE_NUMBERS])
{
    struct probe_piece piece;
    if (probe_piece_read(numbers, &piece) != 0) {
        return BARO_ECORRUPT;
    }
    const size_t at = find_place(list, piece.serial);
    if (at == list->n || list->entries[at].serial != piece.serial) {
        const int rc = insert(list, at, &piece, step, time_ns);
        if (rc != 0) {
            return rc;
        }
    }
    struct probe_entry *entry = &list->entries[at];
    if (entry->bytes != piece.probe_bytes || entry->reason != piece.reason ||
        entry->step != step) {
        return BARO_ECORRUPT;
    }
    entry->n_here += entry->is_here[piece.piece] == 0;
    entry->is_here[piece.piece] = 1;
    return 0;
}

void probe_list_finish(struct probe_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        free(list->entries[i].is_here);
    }
    free(list->entries);
    *list = (struct probe_list){0};
}

const struct probe_entry *probe_list_find(const struct probe_list *list, uint64_t serial)
{
    const size_t at = find_place(list, serial);
    return at < list->n && list->entries[at].serial == serial ? &list->entries[at] : NULL;
}

/* ---- one probe ---- */

int probe_gather_init(struct probe_gather *gather, const struct probe_entry *entry)
{
    *gather = (struct probe_gather){.entry = *entry};
    gather->entry.n_here = 0;
    gather->entry.is_here = NULL;
    if (entry->bytes == 0 || entry->bytes > PROBE_MAX_BYTES ||
        entry->n_pieces != probe_piece_count(entry->bytes)) {
        return BARO_ELIMIT;
    }
    /* Not zeroed: pages that no piece comes for are never touched. */
    gather->bytes = malloc((size_t)entry->bytes);
    gather->entry.is_here = calloc(entry->n_pieces, 1);
    if (gather->bytes == NULL || gather->entry.is_here == NULL) {
        probe_gather_finish(gather);
        return BARO_ENOMEM;
    }
    return 0;
}

int probe_gather_add(struct probe_gather *gather, const double numbers[PROBE_PIECE_NUMBERS],
    const void *bytes, size_t n_bytes)
{
    struct probe_piece piece;
    struct probe_entry *entry = &gather->entry;
    if (probe_piece_read(numbers, &piece) != 0) {
        return BARO_ECORRUPT;
    }
    if (piece.serial != entry->serial || gather->bytes == NULL) {
        return 0;
    }
    if (piece.probe_bytes != entry->bytes || n_bytes != probe_piece_bytes(&piece)) {
        return BARO_ECORRUPT;
    }
    if (entry->is_here[piece.piece] == 0) {
        memcpy(gather->bytes + (size_t)piece.piece * PROBE_PIECE_BYTES, bytes, n_bytes);
        entry->is_here[piece.piece] = 1;
        entry->n_here++;
    }
    return 0;
}

int probe_gather_take(struct probe_gather *gather, void **out_bytes, size_t *out_n_bytes,
    struct baro_err *err)
{
    const struct probe_entry *entry = &gather->entry;
    if (entry->n_here < entry->n_pieces || gather->bytes == NULL) {
        return baro_err_set(err, BARO_ENOENT,
            "the probe of step %" PRId64 " is not whole: %" PRIu32 " of its %" PRIu32
            " pieces are missing; the training was killed while it wrote them, or they had "
            "to give way",
            entry->step, entry->n_pieces - entry->n_here, entry->n_pieces);
    }
    *out_bytes = gather->bytes;
    *out_n_bytes = (size_t)entry->bytes;
    gather->bytes = NULL;
    return 0;
}

void probe_gather_finish(struct probe_gather *gather)
{
    free(gather->bytes);
    free(gather->entry.is_here);
    *gather = (struct probe_gather){0};
}
