/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/sample_rows.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/reading.h"

/*
 * The store keeps readings in chunks of all units over a few steps, or of some units over many.
 * Whoever reads units one by one opens each chunk again and again: of 4,096 units with 1,200
 * steps, of which 160 scattered ones are shown, that took 4 s of processor time, twenty times
 * what it takes to decode everything once. So everything is decoded once, row by row, and
 * kept: the key columns of all units, the fine columns of those that are shown and the density
 * are made of it, and of a run that goes on only the new rows are read, which mostly lie in memory
 * anyhow.
 *
 * There is a limit to what is kept. Beyond it the store's summaries make columns cheaper than
 * rows are, and they are read from there.
 */

enum {
    MOST_BYTES = 48 << 20,
    MOST_ROWS = 12288,     /* more than 128 to a key column: summaries are worth it */
    READ_IN_ONE = 1 << 19, /* numbers, in one step */
    GLANCE_ROWS = 16,
    GLANCE_RUNS = 3, /* of neighbours, evenly spaced, so many each: */
    GLANCE_UNITS = 64,
    TOGETHER = 16 /* units whose readings share a cache line */
};

static size_t most_rows(uint32_t n_units)
{
    const size_t n = MOST_BYTES / sizeof(float) / (n_units > 0 ? n_units : 1);
    return n < MOST_ROWS ? n : MOST_ROWS;
}

size_t sample_rows_bytes(uint32_t n_units)
{
    return most_rows(n_units) * (n_units * sizeof(float) + sizeof(int64_t));
}

void sample_rows_finish(struct sample_rows *rows)
{
    free(rows->steps);
    free(rows->values);
    *rows = (struct sample_rows){0};
}

/* They cannot be kept. */
static void give_up(struct sample_rows *rows)
{
    const uint32_t n_units = rows->n_units;
    sample_rows_finish(rows);
    rows->n_units = n_units;
    rows->is_off = true;
}

/* What a reading of blocks knows. Of wide groups the same rows come in several blocks. */
struct taking {
    struct sample_rows *rows;
    uint32_t first_column; /* of the group: that of unit 0 */
    size_t begin;          /* first row of the stretch at hand */
    size_t at;             /* row of it that the next block of this column goes on with */
    uint32_t column;       /* of the last block */
    size_t n_taken;
};

static void make_room(struct sample_rows *rows, size_t n)
{
    if (rows->n + n > rows->room) {
        const size_t most = most_rows(rows->n_units);
        size_t room = rows->n + n + rows->n / 2;
        room = room < most ? room : most;
        rows->room = room;
        rows->steps = baro_xrealloc(rows->steps, room, sizeof *rows->steps);
        rows->values = baro_xrealloc(rows->values, room * rows->n_units, sizeof(float));
    }
}

static void add_steps(struct sample_rows *rows, const struct store_block *block)
{
    for (size_t i = 0; i < block->n_rows; i++) {
        const uint64_t stride = block->is_line && block->n_rows > 1
                                    ? (uint64_t)block->steps[1] - (uint64_t)block->steps[0]
                                    : 0;
        rows->steps[rows->n + i] = block->is_line
                                       ? (int64_t)((uint64_t)block->steps[0] + i * stride)
                                       : block->steps[i];
    }
    rows->n += block->n_rows;
}

static int take_block(const struct store_block *block, void *payload)
{
    struct taking *taking = payload;
    struct sample_rows *rows = taking->rows;
    const uint32_t n_units = rows->n_units;
    const uint32_t unit = block->first_column - taking->first_column;
    if (unit == 0) {
        taking->begin = taking->at = rows->n;
        if (rows->n + block->n_rows > most_rows(n_units)) {
            give_up(rows);
            return 1;
        }
        make_room(rows, block->n_rows);
        add_steps(rows, block);
    } else if (block->first_column != taking->column) {
        taking->at = taking->begin;
    }
    taking->column = block->first_column;
    if (block->f32 == NULL || unit + block->n_columns > n_units ||
        taking->at + block->n_rows > rows->n) {
        give_up(rows);
        return 1;
    }
    for (size_t i = 0; i < block->n_rows; i++) {
        float *row = rows->values + (taking->at + i) * n_units + unit;
        for (size_t k = 0; k < block->n_columns; k++) {
            row[k] = block->f32[k * block->n_rows + i];
        }
    }
    taking->at += block->n_rows;
    taking->n_taken += block->n_rows * block->n_columns;
    const bool is_whole = unit + block->n_columns == n_units && taking->at == rows->n;
    rows->next_row = is_whole ? block->next_row : rows->next_row;
    return is_whole && taking->n_taken >= READ_IN_ONE;
}

/* Read on in one part of the source: 1 when it stopped on the way, 0, or a code. */
static int read_part(struct sample_rows *rows, const struct sample_source *source,
    struct store *store, int64_t from_step, int64_t to_step, struct baro_err *err)
{
    const struct lineage_part *part = &source->parts[rows->part];
    struct store_query query = {.run = part->run,
        .thing = part->thing,
        .kind = READING_UNITS,
        .first_column = source->stat * source->n_units,
        .n_columns = source->n_units,
        .without_times = true,
        .may_be_line = true,
        .from_step = from_step,
        .to_step = to_step < part->to_step ? to_step : part->to_step,
        .first_row = rows->next_row};
    struct store_group_info info;
    int rc = store_group(store, part->run, part->thing, READING_UNITS, &info, err);
    if (rc <= 0 || info.n_rows == 0) {
        return rc;
    }
    if (info.n_pruned > 0 && rows->next_row < info.n_pruned) {
        give_up(rows); /* summaries of them are left */
        return 0;
    }
    struct taking taking = {
        .rows = rows, .first_column = query.first_column, .begin = rows->n, .at = rows->n};
    struct baro_err cause = {0};
    rc = store_read(store, &query, take_block, &taking, &cause);
    const bool is_whole = taking.at == rows->n;
    if (!rows->is_off && (cause.code == BARO_ECORRUPT || !is_whole)) {
        give_up(rows); /* reading columns makes the best of what is damaged */
    }
    if (rows->is_off || cause.code == BARO_ECORRUPT) {
        return 0;
    }
    return rc < 0 ? baro_err_set(err, rc, "the units cannot be read: %s", cause.text) : rc;
}

int sample_rows_step(struct sample_rows *rows, const struct sample_source *source,
    struct store *store, int64_t from_step, int64_t to_step, struct baro_err *err)
{
    rows->n_units = source->n_units;
    if (rows->is_off) {
        return 0;
    }
    int rc = read_part(rows, source, store, from_step, to_step, err);
    if (rc != 0 || rows->is_off) {
        return rc;
    }
    if (rows->part + 1 < source->n_parts) {
        rows->part++;
        rows->next_row = 0;
        return 1;
    }
    return 0;
}

/* ---- a glance ---- */

void sample_glance_finish(struct sample_glance *glance)
{
    sample_rows_finish(&glance->rows);
    free(glance->units);
    *glance = (struct sample_glance){0};
}

/* Where a step lies among a group's rows, if they are evenly spread. */
static uint64_t guess_row(const struct store_group_info *info, int64_t step)
{
    const double way = (double)step - (double)info->first_step;
    const double whole = (double)info->last_step - (double)info->first_step;
    const double share = whole > 0 && way > 0 ? way / whole : 0;
    return (uint64_t)((share < 1 ? share : 1) * (double)(info->n_rows - 1));
}

bool sample_glance_begin(struct sample_glance *glance, const struct sample_source *source,
    struct store *store, int64_t from_step, int64_t to_step)
{
    const struct lineage_part *part = &source->parts[source->n_parts - 1];
    struct store_group_info info;
    *glance = (struct sample_glance){.n_units = GLANCE_RUNS * GLANCE_UNITS};
    if (source->n_units < glance->n_units ||
        store_group(store, part->run, part->thing, READING_UNITS, &info, NULL) != 1 ||
        info.n_rows == 0 || info.n_rows > MOST_ROWS || info.n_pruned > 0 ||
        source->n_parts > 1) {
        return false;
    }
    glance->first_row = guess_row(&info, from_step);
    glance->n_rows = guess_row(&info, to_step) + 1 - glance->first_row;
    glance->units = baro_xcalloc(glance->n_units, sizeof *glance->units);
    for (uint32_t i = 0; i < glance->n_units; i++) {
        const uint32_t run = i / GLANCE_UNITS;
        glance->units[i] = run * (source->n_units / GLANCE_RUNS) + i % GLANCE_UNITS;
    }
    struct sample_rows *rows = &glance->rows;
    rows->n_units = glance->n_units;
    rows->room = GLANCE_ROWS;
    rows->steps = baro_xcalloc(rows->room, sizeof *rows->steps);
    rows->values = baro_xcalloc(rows->room * rows->n_units, sizeof *rows->values);
    return true;
}

/* Where one run's readings of the row at hand go. */
struct glancing {
    int64_t step;
    float *values;
    uint32_t first_column, n_left;
};

/* The first row of the first block; neighbours may lie in two parts of a group. */
static int take_first(const struct store_block *block, void *payload)
{
    struct glancing *glancing = payload;
    if (block->f32 == NULL || block->n_columns > glancing->n_left) {
        return 1;
    }
    glancing->step = block->steps[0];
    for (size_t k = 0; k < block->n_columns; k++) {
        glancing->values[block->first_column - glancing->first_column + k] =
            block->f32[k * block->n_rows];
    }
    glancing->n_left -= (uint32_t)block->n_columns;
    return glancing->n_left == 0;
}

int sample_glance_step(struct sample_glance *glance, const struct sample_source *source,
    struct store *store, int64_t from_step, int64_t to_step, struct baro_err *err)
{
    const struct lineage_part *part = &source->parts[0];
    struct sample_rows *rows = &glance->rows;
    const uint64_t last = glance->n_rows - 1;
    struct store_query query = {.run = part->run,
        .thing = part->thing,
        .kind = READING_UNITS,
        .n_columns = GLANCE_UNITS,
        .without_times = true,
        .from_step = from_step,
        .to_step = to_step,
        .first_row = glance->first_row + last * glance->at / (GLANCE_ROWS - 1)};
    bool is_whole = true;
    for (uint32_t run = 0; run < GLANCE_RUNS && is_whole; run++) {
        struct glancing glancing = {.n_left = GLANCE_UNITS,
            .values = rows->values + rows->n * rows->n_units + run * GLANCE_UNITS};
        query.first_column =
            source->stat * source->n_units + glance->units[run * GLANCE_UNITS];
        glancing.first_column = query.first_column;
        int rc = store_read(store, &query, take_first, &glancing, err);
        if (rc < 0 && rc != BARO_ECORRUPT) {
            return rc;
        }
        is_whole =
            glancing.n_left == 0 && (run == 0 || rows->steps[rows->n] == glancing.step);
        rows->steps[rows->n] = glancing.step;
    }
    const bool is_new =
        is_whole && (rows->n == 0 || rows->steps[rows->n] > rows->steps[rows->n - 1]);
    rows->n += is_new;
    return ++glance->at < GLANCE_ROWS;
}

/* ---- columns ---- */

/* Some units' readings, one unit behind the other, of rows from .. end. */
static void gather(const struct sample_rows *rows, size_t from, size_t end,
    const uint32_t *units, size_t n, float *out)
{
    const size_t n_rows = end - from;
    for (size_t i = 0; i < n_rows; i++) {
        const float *row = rows->values + (from + i) * rows->n_units;
        for (size_t k = 0; k < n; k++) {
            out[k * n_rows + i] = row[units[k]];
        }
    }
}

size_t sample_rows_columns(const struct sample_rows *rows, size_t from,
    const struct column_cut *cut, const uint32_t *units, uint32_t first_unit,
    size_t n_units, struct column *out)
{
    baro_autofree struct column_span *spans = baro_xcalloc(rows->n + 1, sizeof *spans);
    const size_t n_spans = columns_spans(cut, rows->steps + from, rows->n - from, spans);
    size_t first = rows->n, end = 0, n_in = 0;
    for (size_t i = 0; i < n_spans; i++) {
        const size_t to = from + spans[i].from + spans[i].n;
        first = from + spans[i].from < first ? from + spans[i].from : first;
        end = to > end ? to : end;
        n_in += spans[i].n;
    }
    for (size_t i = 0; i < n_spans; i++) { /* counted from `first` on */
        const uint32_t before = (uint32_t)(first - from);
        spans[i].from -= before;
        spans[i].first_at -= before;
        spans[i].last_at -= before;
    }
    const size_t n_rows = end > first ? end - first : 0;
    baro_autofree float *values = baro_xcalloc(n_rows * TOGETHER + 1, sizeof *values);
    for (size_t i = 0; i < n_units; i += TOGETHER) {
        const size_t n = n_units - i < TOGETHER ? n_units - i : TOGETHER;
        uint32_t some[TOGETHER];
        for (size_t k = 0; k < n; k++) {
            some[k] = units != NULL ? units[i + k] : first_unit + (uint32_t)(i + k);
        }
        gather(rows, first, first + n_rows, some, n, values);
        for (size_t k = 0; k < n; k++) {
            columns_add_f32(
                out + (i + k) * cut->n_columns, spans, n_spans, values + k * n_rows);
        }
    }
    for (size_t i = 0; i < n_units * cut->n_columns; i++) {
        column_finish(&out[i]);
    }
    return n_in;
}
