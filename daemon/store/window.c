/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/store/window.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

/* The chunk is copied so that no reading transaction lasts while it is decoded and used. */

void window_finish(struct window *window)
{
    free(window->bytes);
    free(window->first);
    free(window->last);
    free(window->row_at);
    free(window->f64);
    free(window->f32);
    free(window->odd);
    *window = (struct window){0};
}

/* Find where a strand goes on behind the chunk that begins at row or before. */
static uint64_t row_behind(
    const struct store *store, MDB_txn *txn, const struct strand_id *id, uint64_t row)
{
    uint8_t bytes[KEY_CHUNK_BYTES];
    key_chunk(bytes, id, row + 1);
    MDB_val key = {.mv_size = sizeof bytes, .mv_data = bytes};
    MDB_val value;
    MDB_cursor *cursor = NULL;
    if (mdb_cursor_open(txn, store->chunk_table, &cursor) != 0) {
        return UINT64_MAX;
    }
    uint64_t next = UINT64_MAX;
    if (mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE) == 0 &&
        key.mv_size == sizeof bytes && memcmp(key.mv_data, bytes, KEY_STRAND_BYTES) == 0) {
        next = key_get((const uint8_t *)key.mv_data + KEY_STRAND_BYTES, 8);
    }
    mdb_cursor_close(cursor);
    return next;
}

/* Copy the chunk that stands for a row; 1, 0 with next_row and is_damaged set, or negative. */
static int copy_chunk(struct window *window, struct store *store,
    const struct strand_id *id, uint64_t row, struct baro_err *err)
{
    MDB_txn *txn = NULL;
    struct strand_chunk found;
    int rc = store_reading_begin(store, &txn, err);
    if (rc != 0) {
        return rc;
    }
    rc = strand_find(store, txn, id, row, &found, err);
    window->next_row = rc == 1 ? found.first_row : UINT64_MAX;
    if (rc == 1 && found.first_row > row) {
        rc = 0;
    }
    if (rc == 1) {
        size_t n = found.value.mv_size;
        if (n > window->bytes_room) {
            free(window->bytes);
            window->bytes_room = n < CHUNK_TARGET_BYTES ? CHUNK_TARGET_BYTES : n;
            window->bytes = baro_xrealloc(NULL, window->bytes_room, 1);
        }
        memcpy(window->bytes, found.value.mv_data, n);
        window->first_row = found.first_row;
        if (chunk_open(&window->chunk, window->bytes, n, NULL) != 0) {
            window->is_damaged = true;
            window->next_row = row_behind(store, txn, id, row);
            rc = 0;
        }
    }
    store_reading_end(store, txn);
    return rc;
}

static void need_rows(struct window *window, size_t n)
{
    if (n <= window->room) {
        return;
    }
    free(window->first);
    free(window->last);
    free(window->row_at);
    window->room = n;
    window->first = baro_xrealloc(NULL, n, sizeof *window->first);
    window->last = baro_xrealloc(NULL, n, sizeof *window->last);
    window->row_at = baro_xrealloc(NULL, n + 1, sizeof *window->row_at);
}

static void need_values(struct window *window, bool is_f32, size_t n)
{
    if (is_f32 && n > window->f32_room) {
        free(window->f32);
        window->f32_room = n;
        window->f32 = baro_xrealloc(NULL, n, sizeof *window->f32);
    } else if (!is_f32 && n > window->f64_room) {
        free(window->f64);
        window->f64_room = n;
        window->f64 = baro_xrealloc(NULL, n, sizeof *window->f64);
    }
}

/* Decode steps, and which rows summaries stand for; false when they are not what they must be. */
static bool decode_steps(struct window *window, struct chunk_codec *codec, bool is_summary,
    const struct window_wanted *wanted)
{
    const struct chunk *chunk = &window->chunk;
    size_t n = chunk->n_rows;
    need_rows(window, n);
    int rc = is_summary ? chunk_steps(codec, chunk, window->first, NULL)
                        : chunk_steps_line(codec, chunk, window->first, NULL);
    window->is_line = rc == 1;
    if (rc < 0) {
        return false;
    }
    if (!is_summary) {
        return chunk->n_f64 == wanted->n_f64 && chunk->n_f32 == wanted->n_f32 &&
               chunk->covers == n;
    }
    need_values(window, false, n);
    if (chunk->n_f64 != summary_f64(wanted->n_f64) ||
        chunk->n_f32 != summary_f32(wanted->n_f32) ||
        chunk_times(codec, chunk, window->last, NULL) != 0 ||
        chunk_f64(codec, chunk, 0, 1, window->f64, n, NULL) != 0 ||
        !summary_rows_at(window->f64, n, window->first_row, window->row_at) ||
        window->row_at[n] - window->first_row != chunk->covers) {
        return false;
    }
    bool is_right = true;
    for (size_t i = 0; i < n; i++) {
        is_right &= window->first[i] <= window->last[i];
    }
    return is_right;
}

int window_load(struct window *window, struct store *store, struct chunk_codec *codec,
    const struct strand_id *id, const struct window_wanted *wanted, uint64_t row,
    struct baro_err *err)
{
    if (row >= window->first_row && row < window->end_row) {
        return 1;
    }
    window->is_damaged = false;
    window->has_values = false;
    window->end_row = 0;
    free(window->odd);
    window->odd = NULL;
    int rc = copy_chunk(window, store, id, row, err);
    if (rc != 1) {
        return rc;
    }
    uint64_t end = window->first_row + window->chunk.covers;
    if (!decode_steps(window, codec, id->level > 0, wanted)) {
        window->is_damaged = true;
        window->next_row = end > row ? end : UINT64_MAX;
        return 0;
    }
    window->end_row = end;
    return 1;
}

static int decode_odd(struct window *window, struct chunk_codec *codec,
    const struct window_wanted *wanted, struct baro_err *err)
{
    const struct chunk *chunk = &window->chunk;
    size_t n = chunk->n_rows;
    uint32_t first = wanted->first + (wanted->is_f32 ? wanted->n_f64 : 0);
    baro_autofree uint32_t *ends = baro_xcalloc(n, sizeof *ends);
    baro_autofree uint8_t *extra = baro_xcalloc(chunk->extra_bytes, 1);
    int rc = chunk_extra(codec, chunk, ends, extra, err);
    if (rc == 0) {
        window->odd = baro_xcalloc(n * wanted->n, sizeof *window->odd);
        rc = summary_odd_decode(
            extra, ends, n, window->row_at, first, wanted->n, window->odd);
    }
    return rc == 0 ? 0 : baro_err_set(err, rc, "what a summary says does not decode");
}

int window_values(struct window *window, struct chunk_codec *codec, bool is_summary,
    const struct window_wanted *wanted, struct baro_err *err)
{
    const struct chunk *chunk = &window->chunk;
    if (window->has_values) {
        return 0;
    }
    uint32_t times = is_summary ? SUMMARY_FIGURES : 1;
    uint32_t first = wanted->first * times + (is_summary && !wanted->is_f32 ? 1 : 0);
    uint32_t n = wanted->n * times;
    need_values(window, wanted->is_f32, (size_t)n * chunk->n_rows);
    int rc = wanted->is_f32
                 ? chunk_f32(codec, chunk, first, n, window->f32, chunk->n_rows, err)
                 : chunk_f64(codec, chunk, first, n, window->f64, chunk->n_rows, err);
    if (rc == 0 && is_summary && chunk->extra_bytes > 0) {
        rc = decode_odd(window, codec, wanted, err);
    }
    window->has_values = rc == 0;
    return rc;
}

struct summary_view window_view(
    const struct window *window, const struct window_wanted *wanted, uint32_t column)
{
    size_t n = window->chunk.n_rows;
    size_t at = (size_t)column * SUMMARY_FIGURES * n;
    return (struct summary_view){
        .n = n,
        .f64 = wanted->is_f32 ? NULL : window->f64 + at,
        .f32 = wanted->is_f32 ? window->f32 + at : NULL,
        .row_at = window->row_at,
        .odd = window->odd != NULL ? window->odd + column * n : NULL,
    };
}
