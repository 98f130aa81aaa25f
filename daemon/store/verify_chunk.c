/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "daemon/store/verify.h"
#include "lib/base/err.h"

/*
 * One chunk by itself: is it whole, has it the columns that it must have, does all of it decode,
 * and are its steps those that its head and the index say.
 */

enum { MAX_VALUES = 1 << 20 }; /* decoded at a time */

/* How many doubles and floats the chunks of a strand have; false when none can be there. */
static bool layout_of(
    const struct verify_chunk *chunk, uint32_t *out_n_f64, uint32_t *out_n_f32)
{
    const struct group_record *record = &chunk->record;
    uint32_t n = record->n_f64 + record->n_f32;
    uint32_t width = record->part_columns;
    *out_n_f64 = record->n_f64;
    *out_n_f32 = record->n_f32;
    if (chunk->id.part == 0) {
        return true;
    }
    uint64_t first = (uint64_t)(chunk->id.part - 1) * width;
    if (width == 0 || first >= n) {
        return false;
    }
    uint64_t end = first + width < n ? first + width : n;
    uint64_t f64_end = end < record->n_f64 ? end : record->n_f64;
    *out_n_f64 = first < f64_end ? (uint32_t)(f64_end - first) : 0;
    *out_n_f32 = (uint32_t)(end - first) - *out_n_f64;
    return true;
}

/* Decode all columns, some at a time. */
static int decode_columns(
    struct verifier *verifier, const struct chunk *chunk, struct baro_err *err)
{
    uint32_t at_once = MAX_VALUES / chunk->n_rows;
    at_once = at_once < 1 ? 1 : at_once;
    struct columns *columns = &verifier->columns;
    int rc = 0;
    for (uint32_t c = 0; rc == 0 && c < chunk->n_f64; c += at_once) {
        uint32_t n = chunk->n_f64 - c < at_once ? chunk->n_f64 - c : at_once;
        columns_reset(columns, chunk->n_rows, n, 0, 0);
        rc = chunk_f64(verifier->codec, chunk, c, n, columns->f64, columns->room, err);
    }
    for (uint32_t c = 0; rc == 0 && c < chunk->n_f32; c += at_once) {
        uint32_t n = chunk->n_f32 - c < at_once ? chunk->n_f32 - c : at_once;
        columns_reset(columns, chunk->n_rows, 0, n, 0);
        rc = chunk_f32(verifier->codec, chunk, c, n, columns->f32, columns->room, err);
    }
    return rc;
}

/* Decode steps, times and extra bytes, and compare the steps with what is said of them. */
static int decode_rest(struct verifier *verifier, const struct verify_chunk *at,
    const struct chunk *chunk, struct baro_err *err)
{
    struct columns *columns = &verifier->columns;
    columns_reset(columns, chunk->n_rows, 0, 0, chunk->extra_bytes);
    int rc = chunk_steps(verifier->codec, chunk, columns->steps, err);
    if (rc == 0) {
        rc = chunk_times(verifier->codec, chunk, columns->times_ns, err);
    }
    if (rc == 0) {
        rc = chunk_extra(verifier->codec, chunk, columns->extra_ends, columns->extra, err);
    }
    if (rc != 0) {
        return rc;
    }
    int64_t first = columns->steps[0];
    int64_t last = columns->steps[0];
    for (uint32_t i = 1; i < chunk->n_rows; i++) {
        first = columns->steps[i] < first ? columns->steps[i] : first;
        last = columns->steps[i] > last ? columns->steps[i] : last;
    }
    if (first != chunk->first_step || last != chunk->last_step) {
        return baro_err_set(
            err, BARO_ECORRUPT, "its steps are not those that its head says");
    }
    if (at->has_record && at->id.level == 0 &&
        (first < at->record.first_step || last > at->record.last_step)) {
        return baro_err_set(
            err, BARO_ECORRUPT, "its steps are not among those that the index says");
    }
    return 0;
}

static int check(struct verifier *verifier, const struct verify_chunk *at,
    const struct chunk *chunk, struct baro_err *err)
{
    uint32_t n_f64 = 0;
    uint32_t n_f32 = 0;
    if (at->has_record && at->id.level == 0 &&
        (!layout_of(at, &n_f64, &n_f32) || chunk->n_f64 != n_f64 ||
            chunk->n_f32 != n_f32)) {
        return baro_err_set(err, BARO_ECORRUPT, "it has other columns than its series");
    }
    if (at->id.level == 0 && chunk->covers != chunk->n_rows) {
        return baro_err_set(err, BARO_ECORRUPT, "it says that it stands for other rows");
    }
    int rc = decode_rest(verifier, at, chunk, err);
    return rc == 0 ? decode_columns(verifier, chunk, err) : rc;
}

void verify_chunk_bytes(
    struct verifier *verifier, const struct verify_chunk *at, const uint8_t *bytes)
{
    struct chunk chunk;
    struct baro_err cause = {0};
    uint64_t end = at->follow;
    uint64_t n_columns = 0;
    if (verifier->codec == NULL) {
        verifier->codec = chunk_codec_create();
    }
    int rc = chunk_open(&chunk, bytes, at->n_bytes, &cause);
    if (rc == 0) {
        end = at->first_row + chunk.covers;
        n_columns = (uint64_t)chunk.n_f64 + chunk.n_f32;
        rc = check(verifier, at, &chunk, &cause);
    }
    if (rc == 0) {
        if (at->id.level > 0 && at->has_record) {
            verify_summaries(verifier, at, &chunk);
        }
        return;
    }
    if (end == UINT64_MAX && at->has_record) {
        end = at->id.level > 0  ? at->record.covered[at->id.level - 1]
              : at->id.part > 0 ? at->record.parted_rows
                                : at->record.n_rows;
    }
    if (n_columns == 0 && at->has_record && at->id.level == 0) {
        uint32_t n_f64 = 0;
        uint32_t n_f32 = 0;
        n_columns = layout_of(at, &n_f64, &n_f32) ? (uint64_t)n_f64 + n_f32 : 0;
    }
    uint64_t n_rows = end != UINT64_MAX && end > at->first_row ? end - at->first_row : 0;
    uint64_t n_points = at->id.level > 0 ? 0 : n_rows * (n_columns > 0 ? n_columns : 1);
    verify_tell_rows(verifier, &at->id, at->first_row, n_rows > 0 ? end : UINT64_MAX,
        n_points, "cannot be read: %s", cause.text);
}
