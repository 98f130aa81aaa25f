/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/store/summary.h"
#include "daemon/store/tiers_input.h"
#include "daemon/store/verify.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"

/*
 * Summaries against what they are of: those of level 1 are made again from the rows, those of a
 * level above from the level below, some at a time, and compared: how many rows, which steps,
 * smallest, largest, mean, first and last of each column, and its readings that are not finite. What cannot be read
 * any more, because it was pruned or is damaged itself, is not compared.
 *
 * Rows of kinds that are rounded keep the extremes of their chunk as they are; when chunks are
 * merged later only the extremes of the larger chunk are such. So there smallest and largest may
 * differ by the rounding.
 */

enum { MAX_ROWS = 65536, MAX_VALUES = 1 << 20, MAX_FINE = 16384 };
static const double rounding = 0x1p-12;

/* One chunk of summaries and what they are compared with. */
struct compare {
    struct verifier *verifier;
    const struct verify_chunk *at;
    struct columns stored; /* all of the chunk */
    uint64_t *row_at;      /* the row that each begins with, and the end */
    uint32_t first_column; /* of the group, that they are of */
    uint32_t n_columns;
    struct columns_span span;
    struct columns input;
    struct columns fresh;
    uint32_t *ends;
    bool is_rounded;
};

static bool find_columns(struct compare *compare)
{
    const struct group_record *record = &compare->at->record;
    uint32_t all = record->n_f64 + record->n_f32;
    uint32_t part = compare->at->id.part;
    compare->n_columns = all;
    if (part > 0) {
        uint64_t first = (uint64_t)(part - 1) * record->part_columns;
        if (first >= all) {
            return false;
        }
        compare->first_column = (uint32_t)first;
        uint32_t left = all - compare->first_column;
        compare->n_columns = left < record->part_columns ? left : record->part_columns;
    }
    compare->span = columns_span(compare->first_column, compare->n_columns, record->n_f64);
    return true;
}

/* How many summaries from one on are compared at a time. */
static size_t batch_of(const struct compare *compare, size_t from)
{
    size_t n = compare->stored.n_rows;
    uint64_t most = MAX_VALUES / (compare->n_columns > 0 ? compare->n_columns : 1);
    most = most > MAX_ROWS ? MAX_ROWS : most;
    if (compare->at->id.level > 1) {
        most = UINT64_MAX;
        n = n - from > 256 ? from + 256 : n;
    }
    size_t to = from + 1;
    while (to < n && compare->row_at[to + 1] - compare->row_at[from] <= most) {
        to++;
    }
    return to;
}

/* Make summaries [from, to) of rows again. */
static int remake_from_rows(struct compare *compare, size_t from, size_t to)
{
    const struct verify_chunk *at = compare->at;
    struct verifier *verifier = compare->verifier;
    struct tail_run run = {.run = at->id.run};
    const struct tail_group group = {
        .run = &run, .thing = at->id.thing, .kind = at->id.kind, .record = at->record};
    if (compare->row_at[from] < at->record.pruned[0]) {
        return BARO_ECORRUPT;
    }
    int rc = tiers_rows(verifier->store, &group, compare->row_at[from], compare->row_at[to],
        compare->first_column, compare->n_columns, verifier->codec, &compare->input, NULL);
    if (rc == 0) {
        for (size_t i = from; i < to; i++) {
            compare->ends[i - from] =
                (uint32_t)(compare->row_at[i + 1] - compare->row_at[from]);
        }
        summary_of_rows(&compare->input, compare->ends, to - from, true, &compare->fresh);
    }
    return rc;
}

/* Make summaries [from, to) of those of the level below again. */
static int remake_from_summaries(struct compare *compare, size_t from, size_t to)
{
    struct verifier *verifier = compare->verifier;
    struct strand_id below = compare->at->id;
    below.level--;
    uint64_t end = compare->row_at[to];
    int rc = tiers_summaries(verifier->store, &below, compare->row_at[from], &end, MAX_FINE,
        verifier->codec, &compare->input, NULL);
    if (rc != 0 || end != compare->row_at[to]) {
        return BARO_ECORRUPT;
    }
    uint64_t row = compare->row_at[from];
    size_t done = 0;
    for (size_t i = 0; i < compare->input.n_rows && done < to - from; i++) {
        row += (uint64_t)compare->input.f64[i];
        if (row == compare->row_at[from + done + 1]) {
            compare->ends[done++] = (uint32_t)(i + 1);
        }
    }
    return done < to - from ? BARO_ECORRUPT
                            : summary_of_summaries(&compare->input, compare->ends,
                                  to - from, true, &compare->fresh);
}

/* Extremes are exact, but for kinds that are rounded; the others are rounded to 2^-13 or less. */
static bool is_like(const struct compare *compare, uint32_t figure, double a, double b)
{
    if (a == b || (isnan(a) && isnan(b))) {
        return true;
    }
    bool is_extreme = figure == SUMMARY_MIN || figure == SUMMARY_MAX;
    return (!is_extreme || compare->is_rounded) &&
           fabs(a - b) <= rounding * fmax(fabs(a), fabs(b));
}

/* Whether one summary of one column is what it must be. */
static bool is_same_figure(
    const struct compare *compare, uint32_t column, bool is_f32, size_t i, size_t k)
{
    const struct columns *a = &compare->stored;
    const struct columns *b = &compare->fresh;
    for (uint32_t f = 0; f < SUMMARY_FIGURES; f++) {
        uint32_t c = SUMMARY_FIGURES * column + f + (is_f32 ? 0 : 1);
        double stored = is_f32 ? (double)a->f32[c * a->room + i] : a->f64[c * a->room + i];
        double fresh = is_f32 ? (double)b->f32[c * b->room + k] : b->f64[c * b->room + k];
        if (!is_like(compare, f, stored, fresh)) {
            return false;
        }
    }
    return true;
}

static bool is_same_extra(const struct compare *compare, size_t i, size_t k)
{
    const struct columns *a = &compare->stored;
    const struct columns *b = &compare->fresh;
    uint32_t a_from = i > 0 ? a->extra_ends[i - 1] : 0;
    uint32_t b_from = k > 0 ? b->extra_ends[k - 1] : 0;
    uint32_t n = a->extra_ends[i] - a_from;
    return n == b->extra_ends[k] - b_from &&
           (n == 0 || memcmp(a->extra + a_from, b->extra + b_from, n) == 0);
}

/* Whether stored summary i is what k of those made again is. */
static bool is_same(const struct compare *compare, size_t i, size_t k)
{
    const struct columns *a = &compare->stored;
    const struct columns *b = &compare->fresh;
    bool is_good = a->steps[i] == b->steps[k] && a->times_ns[i] == b->times_ns[k] &&
                   is_same_extra(compare, i, k);
    for (uint32_t c = 0; is_good && c < compare->span.n_f64; c++) {
        is_good = is_same_figure(compare, c, false, i, k);
    }
    for (uint32_t c = 0; is_good && c < compare->span.n_f32; c++) {
        is_good = is_same_figure(compare, c, true, i, k);
    }
    return is_good;
}

static void compare_all(struct compare *compare)
{
    const struct verify_chunk *at = compare->at;
    size_t n = compare->stored.n_rows;
    for (size_t from = 0; from < n;) {
        size_t to = batch_of(compare, from);
        int rc = at->id.level == 1 ? remake_from_rows(compare, from, to)
                                   : remake_from_summaries(compare, from, to);
        for (size_t i = from; rc == 0 && i < to; i++) {
            if (!is_same(compare, i, i - from)) {
                verify_tell_rows(compare->verifier, &at->id, compare->row_at[i],
                    compare->row_at[i + 1], 0, "are not what the readings say (level %u)",
                    at->id.level);
                break;
            }
        }
        from = to;
    }
}

/* Bring the chunk's summaries into columns and find their rows; a sentence when they are none. */
static const char *open_all(struct compare *compare, const struct chunk *chunk)
{
    struct columns *stored = &compare->stored;
    if (!find_columns(compare) || chunk->n_f64 != summary_f64(compare->span.n_f64) ||
        chunk->n_f32 != summary_f32(compare->span.n_f32)) {
        return "they have other columns than their series";
    }
    columns_reset(stored, chunk->n_rows, chunk->n_f64, chunk->n_f32, chunk->extra_bytes);
    if (columns_add_chunk(stored, compare->verifier->codec, chunk, NULL) != 0) {
        return "they do not decode";
    }
    compare->row_at = baro_xcalloc(stored->n_rows + 1, sizeof *compare->row_at);
    compare->ends = baro_xcalloc(stored->n_rows + 1, sizeof *compare->ends);
    if (!summary_rows_at(
            stored->f64, stored->n_rows, compare->at->first_row, compare->row_at) ||
        compare->row_at[stored->n_rows] != compare->at->first_row + chunk->covers) {
        return "they stand for other rows than they say";
    }
    return NULL;
}

void verify_summaries(
    struct verifier *verifier, const struct verify_chunk *at, const struct chunk *chunk)
{
    const struct store *store = verifier->store;
    struct compare compare = {.verifier = verifier, .at = at};
    compare.is_rounded = !store->is_exact && at->id.kind < 64 &&
                         (store->rounded_kinds >> at->id.kind & 1) != 0;
    const char *wrong = open_all(&compare, chunk);
    if (wrong != NULL) {
        verify_tell_rows(verifier, &at->id, at->first_row, at->first_row + chunk->covers, 0,
            "cannot be used: %s", wrong);
    } else {
        compare_all(&compare);
    }
    columns_finish(&compare.stored);
    columns_finish(&compare.input);
    columns_finish(&compare.fresh);
    free(compare.row_at);
    free(compare.ends);
}
