/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/store/columns.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

static void *need(void *buffer, size_t *room, size_t n, size_t size)
{
    if (n <= *room) {
        return buffer;
    }
    free(buffer);
    *room = n;
    return baro_xrealloc(NULL, n, size);
}

void columns_reset(struct columns *columns, size_t n_rows, uint32_t n_f64, uint32_t n_f32,
    size_t extra_bytes)
{
    if (n_rows > columns->steps_room) {
        free(columns->times_ns);
        free(columns->extra_ends);
        columns->times_ns = baro_xrealloc(NULL, n_rows, sizeof *columns->times_ns);
        columns->extra_ends = baro_xrealloc(NULL, n_rows, sizeof *columns->extra_ends);
        columns->steps =
            need(columns->steps, &columns->steps_room, n_rows, sizeof *columns->steps);
    }
    columns->f64 = need(columns->f64, &columns->f64_room, n_rows * n_f64, sizeof(double));
    columns->f32 = need(columns->f32, &columns->f32_room, n_rows * n_f32, sizeof(float));
    columns->extra = need(columns->extra, &columns->extra_room, extra_bytes, 1);
    columns->n_rows = 0;
    columns->is_line = false;
    columns->room = n_rows;
    columns->n_f64 = n_f64;
    columns->n_f32 = n_f32;
    columns->extra_bytes = 0;
}

void columns_finish(struct columns *columns)
{
    free(columns->steps);
    free(columns->times_ns);
    free(columns->f64);
    free(columns->f32);
    free(columns->extra_ends);
    free(columns->extra);
    *columns = (struct columns){0};
}

int columns_add_chunk(struct columns *columns, struct chunk_codec *codec,
    const struct chunk *chunk, struct baro_err *err)
{
    size_t at = columns->n_rows;
    double *f64 = columns->n_f64 > 0 ? columns->f64 + at : NULL;
    float *f32 = columns->n_f32 > 0 ? columns->f32 + at : NULL;
    uint8_t *extra = columns->extra != NULL ? columns->extra + columns->extra_bytes : NULL;
    int rc = 0;
    if ((rc = chunk_steps(codec, chunk, columns->steps + at, err)) < 0 ||
        (rc = chunk_times(codec, chunk, columns->times_ns + at, err)) < 0 ||
        (rc = chunk_f64(codec, chunk, 0, chunk->n_f64, f64, columns->room, err)) < 0 ||
        (rc = chunk_f32(codec, chunk, 0, chunk->n_f32, f32, columns->room, err)) < 0 ||
        (rc = chunk_extra(codec, chunk, columns->extra_ends + at, extra, err)) < 0) {
        return rc;
    }
    for (uint32_t i = 0; i < chunk->n_rows; i++) {
        columns->extra_ends[at + i] += (uint32_t)columns->extra_bytes;
    }
    columns->extra_bytes += chunk->extra_bytes;
    columns->n_rows += chunk->n_rows;
    return 0;
}

static int take_steps(struct columns *columns, struct chunk_codec *codec,
    const struct chunk *chunk, struct baro_err *err)
{
    if (!columns->may_be_line) {
        return chunk_steps(codec, chunk, columns->steps, err);
    }
    int rc = chunk_steps_line(codec, chunk, columns->steps, err);
    columns->is_line = rc == 1;
    return rc;
}

void columns_expand_line(struct columns *columns)
{
    if (!columns->is_line) {
        return;
    }
    uint64_t first = (uint64_t)columns->steps[0];
    uint64_t stride = (uint64_t)columns->steps[1] - first;
    for (size_t i = 2; i < columns->n_rows; i++) {
        columns->steps[i] = (int64_t)(first + i * stride);
    }
    columns->is_line = false;
}

int columns_take_chunk(struct columns *columns, struct chunk_codec *codec,
    const struct chunk *chunk, const struct columns_span *span, bool with_extra,
    struct baro_err *err)
{
    int rc = 0;
    columns_reset(columns, chunk->n_rows, span->n_f64, span->n_f32,
        with_extra ? chunk->extra_bytes : 0);
    if ((rc = take_steps(columns, codec, chunk, err)) < 0 ||
        (!columns->without_times &&
            (rc = chunk_times(codec, chunk, columns->times_ns, err)) < 0) ||
        (span->n_f64 > 0 && (rc = chunk_f64(codec, chunk, span->first_f64, span->n_f64,
                                 columns->f64, columns->room, err)) < 0) ||
        (span->n_f32 > 0 && (rc = chunk_f32(codec, chunk, span->first_f32, span->n_f32,
                                 columns->f32, columns->room, err)) < 0)) {
        return rc;
    }
    if (with_extra) {
        rc = chunk_extra(codec, chunk, columns->extra_ends, columns->extra, err);
        columns->extra_bytes = rc == 0 ? chunk->extra_bytes : 0;
    } else {
        memset(columns->extra_ends, 0, chunk->n_rows * sizeof *columns->extra_ends);
    }
    columns->n_rows = rc == 0 ? chunk->n_rows : 0;
    return rc;
}

void columns_grow_extra(struct columns *columns, size_t n_bytes)
{
    if (columns->extra_bytes + n_bytes > columns->extra_room) {
        columns->extra_room = (columns->extra_bytes + n_bytes) * 2;
        columns->extra = baro_xrealloc(columns->extra, columns->extra_room, 1);
    }
}

void columns_add_rows(struct columns *columns, const struct columns *rows)
{
    size_t at = columns->n_rows;
    size_t n = rows->n_rows;
    memcpy(columns->steps + at, rows->steps, n * sizeof *rows->steps);
    memcpy(columns->times_ns + at, rows->times_ns, n * sizeof *rows->times_ns);
    for (uint32_t c = 0; c < columns->n_f64; c++) {
        memcpy(columns->f64 + c * columns->room + at, rows->f64 + c * rows->room,
            n * sizeof *rows->f64);
    }
    for (uint32_t c = 0; c < columns->n_f32; c++) {
        memcpy(columns->f32 + c * columns->room + at, rows->f32 + c * rows->room,
            n * sizeof *rows->f32);
    }
    for (size_t i = 0; i < n; i++) {
        columns->extra_ends[at + i] = (uint32_t)columns->extra_bytes + rows->extra_ends[i];
    }
    if (rows->extra_bytes > 0) {
        memcpy(columns->extra + columns->extra_bytes, rows->extra, rows->extra_bytes);
    }
    columns->extra_bytes += rows->extra_bytes;
    columns->n_rows += n;
}

void columns_add_row(struct columns *columns, const struct tail_row *row, uint32_t row_f64,
    uint32_t row_f32, uint32_t first_f64, uint32_t first_f32, bool with_extra)
{
    const uint8_t *payload = (const uint8_t *)(row + 1);
    const uint8_t *f64 = payload + 8 * (size_t)first_f64;
    const uint8_t *f32 = payload + 8 * (size_t)row_f64 + 4 * (size_t)first_f32;
    size_t at = columns->n_rows++;
    columns->steps[at] = row->step;
    columns->times_ns[at] = row->time_ns;
    for (uint32_t c = 0; c < columns->n_f64; c++) {
        memcpy(&columns->f64[c * columns->room + at], f64 + 8 * (size_t)c, 8);
    }
    for (uint32_t c = 0; c < columns->n_f32; c++) {
        memcpy(&columns->f32[c * columns->room + at], f32 + 4 * (size_t)c, 4);
    }
    if (with_extra && row->extra_bytes > 0) {
        memcpy(columns->extra + columns->extra_bytes,
            payload + 8 * (size_t)row_f64 + 4 * (size_t)row_f32, row->extra_bytes);
        columns->extra_bytes += row->extra_bytes;
    }
    columns->extra_ends[at] = (uint32_t)columns->extra_bytes;
}
