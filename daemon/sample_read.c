/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/sample_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/sample_rows.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/reading.h"

/*
 * Units lie side by side in the store's blocks, so neighbours are read together: what it costs
 * to find and open a chunk is the same for one unit as for some dozens.
 */

enum {
    UNITS_AT_ONCE = 64, /* of rows that are at hand */
    NEAR_UNITS = 32,    /* no further apart: one read takes both, and those between */
    MOST_UNITS = 256,
    ROOM_COLUMNS = 1 << 16 /* that one read may give, unless it is of one unit */
};

int sample_extent(const struct sample_source *source, struct store *store,
    int64_t from_step, int64_t to_step, struct sample_extent *out, struct baro_err *err)
{
    int64_t first = INT64_MAX;
    int64_t last = INT64_MIN;
    *out = (struct sample_extent){0};
    for (size_t i = 0; i < source->n_parts; i++) {
        const struct lineage_part *part = &source->parts[i];
        struct store_group_info info;
        int rc = store_group(store, part->run, part->thing, READING_UNITS, &info, err);
        if (rc < 0) {
            return rc;
        }
        if (rc == 0 || info.n_rows == 0) {
            continue;
        }
        out->n_rows += info.n_rows;
        if (info.first_step <= part->to_step) {
            int64_t end = info.last_step < part->to_step ? info.last_step : part->to_step;
            first = info.first_step < first ? info.first_step : first;
            last = end > last ? end : last;
        }
    }
    out->from_step = from_step > first ? from_step : first;
    out->to_step = to_step < last ? to_step : last;
    out->has_any = first <= last && out->from_step <= out->to_step;
    return 0;
}

int sample_read(const struct sample_source *source, struct store *store,
    const struct column_cut *cut, uint32_t first_unit, uint32_t n_units, struct column *out,
    struct sample_tally *tally, struct baro_err *err)
{
    size_t n = (size_t)n_units * cut->n_columns;
    memset(out, 0, n * sizeof *out);
    tally->n_rows = 0;
    for (size_t i = 0; i < source->n_parts; i++) {
        const struct lineage_part *part = &source->parts[i];
        struct column_cut here = *cut;
        here.last_step = part->to_step < cut->last_step ? part->to_step : cut->last_step;
        if (here.last_step < here.from_step) {
            continue;
        }
        struct store_query query = {.run = part->run,
            .thing = part->thing,
            .kind = READING_UNITS,
            .first_column = source->stat * source->n_units + first_unit,
            .n_columns = n_units,
            .from_step = here.from_step,
            .to_step = here.last_step};
        uint64_t n_rows = 0;
        uint64_t n_coarse = 0;
        struct baro_err cause = {0};
        int rc = store_read_columns(store, &query, &here, out, &n_rows, &n_coarse, &cause);
        tally->n_rows += n_rows;
        tally->n_coarse = n_coarse > tally->n_coarse ? n_coarse : tally->n_coarse;
        if (rc == BARO_ECORRUPT && tally->damage[0] == '\0') {
            (void)snprintf(tally->damage, sizeof tally->damage, "%s", cause.text);
        } else if (rc != 0 && rc != BARO_ECORRUPT) {
            return baro_err_set(err, rc, "the units cannot be read: %s", cause.text);
        }
    }
    for (size_t i = 0; i < n; i++) {
        column_finish(&out[i]);
    }
    return 0;
}

/* ---- tables ---- */

struct placed {
    uint32_t unit;
    size_t place;
};

static int by_unit(const void *a, const void *b)
{
    uint32_t x = ((const struct placed *)a)->unit;
    uint32_t y = ((const struct placed *)b)->unit;
    return x < y ? -1 : x > y;
}

bool sample_cut_growing(int64_t least, int64_t from_step, int64_t to_step, uint32_t most,
    struct column_cut *out)
{
    const int64_t far = INT64_MAX / 4;
    if (from_step < -far || to_step > far) {
        return false;
    }
    int64_t wide = 1;
    while ((to_step - from_step) / wide + 2 > (int64_t)most && wide < far / 4) {
        wide *= 2;
    }
    const int64_t behind = ((from_step % wide) + wide) % wide;
    const int64_t from = from_step - behind;
    if (from < least) {
        return false;
    }
    const int64_t n = (to_step - from) / wide + 1;
    *out = columns_cut(from, from + n * wide - 1, (uint32_t)n);
    out->last_step = to_step;
    return true;
}

void sample_table_init(struct sample_table *table, const uint32_t *units, size_t n,
    const struct column_cut *cut)
{
    const uint32_t n_columns = cut->n_columns;
    *table = (struct sample_table){.n = n, .cut = *cut};
    table->edges = baro_xcalloc((size_t)n_columns + 1, sizeof *table->edges);
    columns_edges(&table->cut, table->edges);
    table->cut.edges = table->edges;
    table->units = baro_xcalloc(n + 1, sizeof *table->units);
    table->order = baro_xcalloc(n + 1, sizeof *table->order);
    table->columns = baro_xcalloc(n * n_columns + 1, sizeof *table->columns);
    baro_autofree struct placed *placed = baro_xcalloc(n + 1, sizeof *placed);
    for (size_t i = 0; i < n; i++) {
        table->units[i] = units[i];
        placed[i] = (struct placed){units[i], i};
    }
    qsort(placed, n, sizeof *placed, by_unit);
    for (size_t i = 0; i < n; i++) {
        table->order[i] = placed[i].place;
    }
}

void sample_table_finish(struct sample_table *table)
{
    free(table->edges);
    free(table->units);
    free(table->order);
    free(table->columns);
    free(table->room);
    *table = (struct sample_table){0};
}

static struct column *row_of(const struct sample_table *table, size_t place)
{
    return table->columns + place * table->cut.n_columns;
}

/* How many columns of a table another one begins with, and which are whole in it. */
static uint32_t columns_in_common(
    const struct sample_table *table, const struct sample_table *from)
{
    const uint32_t n = from->cut.n_columns;
    if (from->n == 0 || from->at < from->n || from->at_tail < from->n_taken ||
        n > table->cut.n_columns || from->cut.last_step > table->cut.last_step ||
        memcmp(from->edges, table->edges, n * sizeof *from->edges) != 0) {
        return 0;
    }
    const bool is_all = n == table->cut.n_columns && from->edges[n] == table->edges[n] &&
                        from->cut.last_step == table->cut.last_step;
    /* The last one may have been read before it was full. */
    return is_all ? n : n - 1;
}

void sample_table_take(struct sample_table *table, const struct sample_table *from)
{
    const uint32_t n_same = columns_in_common(table, from);
    if (n_same == 0) {
        return;
    }
    baro_autofree size_t *left = baro_xcalloc(table->n + 1, sizeof *left);
    size_t n_left = 0;
    size_t n_taken = 0;
    size_t k = 0;
    for (size_t i = 0; i < table->n; i++) {
        size_t place = table->order[i];
        while (k < from->n && from->units[from->order[k]] < table->units[place]) {
            k++;
        }
        if (k < from->n && from->units[from->order[k]] == table->units[place]) {
            memcpy(row_of(table, place), row_of(from, from->order[k]),
                n_same * sizeof *table->columns);
            table->order[n_taken++] = place; /* n_taken <= i */
        } else {
            left[n_left++] = place;
        }
    }
    memcpy(table->order + n_taken, left, n_left * sizeof *left);
    table->at = n_taken;
    table->tail = n_same;
    table->n_taken = n_same < table->cut.n_columns ? n_taken : 0;
}

/* The columns of a table from one on; with that table's edges. */
static struct column_cut tail_cut(const struct sample_table *table, uint32_t first_column)
{
    struct column_cut cut = table->cut;
    if (first_column > 0) {
        cut = columns_cut(
            table->edges[first_column], cut.to_step, table->cut.n_columns - first_column);
        cut.last_step = table->cut.last_step;
        cut.edges = table->edges + first_column;
    }
    return cut;
}

/* Some units, from `at` of order to before `end`, out of rows that are at hand. */
static void take_rows(struct sample_table *table, size_t *at, size_t end,
    uint32_t first_column, const struct sample_rows *rows)
{
    const struct column_cut cut = tail_cut(table, first_column);
    const size_t n = end - *at < UNITS_AT_ONCE ? end - *at : UNITS_AT_ONCE;
    baro_autofree struct column *room = baro_xcalloc(n * cut.n_columns, sizeof *room);
    uint32_t units[UNITS_AT_ONCE];
    for (size_t i = 0; i < n; i++) {
        units[i] = table->units[table->order[*at + i]];
    }
    (void)sample_rows_columns(rows, 0, &cut, units, 0, n, room);
    for (size_t i = 0; i < n; i++, (*at)++) {
        memcpy(row_of(table, table->order[*at]) + first_column, room + i * cut.n_columns,
            cut.n_columns * sizeof *room);
    }
}

/* One read of units that lie near each other, from `at` of order to before `end`: their columns
 * from the first on. */
static int read_run(struct sample_table *table, size_t *at, size_t end,
    uint32_t first_column, const struct sample_source *source, struct store *store,
    struct sample_tally *tally, struct baro_err *err)
{
    const struct column_cut cut = tail_cut(table, first_column);
    const size_t n_columns = cut.n_columns;
    const uint32_t first = table->units[table->order[*at]];
    const size_t most =
        n_columns * MOST_UNITS <= ROOM_COLUMNS ? MOST_UNITS : ROOM_COLUMNS / n_columns;
    uint32_t last = first;
    size_t to = *at + 1;
    while (to < end) {
        uint32_t unit = table->units[table->order[to]];
        if (unit - last > NEAR_UNITS || unit - first >= most) {
            break;
        }
        last = unit;
        to++;
    }
    if (table->room == NULL) {
        table->room = baro_xcalloc(
            MOST_UNITS + ROOM_COLUMNS + (size_t)table->cut.n_columns, sizeof *table->room);
    }
    int rc =
        sample_read(source, store, &cut, first, last - first + 1, table->room, tally, err);
    for (; rc == 0 && *at < to; (*at)++) {
        size_t place = table->order[*at];
        memcpy(row_of(table, place) + first_column,
            table->room + (size_t)(table->units[place] - first) * n_columns,
            n_columns * sizeof *table->room);
    }
    return rc;
}

int sample_table_step(struct sample_table *table, const struct sample_rows *rows,
    const struct sample_source *source, struct store *store, struct sample_tally *tally,
    struct baro_err *err)
{
    const bool is_tail = table->at_tail < table->n_taken;
    size_t *at = is_tail ? &table->at_tail : &table->at;
    const size_t end = is_tail ? table->n_taken : table->n;
    const uint32_t first_column = is_tail ? table->tail : 0;
    int rc = 0;
    if (*at < end && rows != NULL && !rows->is_off) {
        take_rows(table, at, end, first_column, rows);
    } else if (*at < end) {
        rc = read_run(table, at, end, first_column, source, store, tally, err);
    }
    return rc != 0 ? rc : table->at < table->n || table->at_tail < table->n_taken ? 1 : 0;
}
