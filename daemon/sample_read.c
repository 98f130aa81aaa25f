/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/sample_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/reading.h"

/*
 * Units lie side by side in the store's blocks, so neighbours are read together: what it costs
 * to find and open a chunk is the same for one unit as for some dozens.
 */

enum {
    NEAR_UNITS = 32, /* no further apart: one read takes both, and those between */
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

void sample_table_init(struct sample_table *table, const uint32_t *units, size_t n,
    int64_t from_step, int64_t to_step, uint32_t n_columns)
{
    *table = (struct sample_table){.n = n};
    table->cut = columns_cut(from_step, to_step, n_columns);
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

void sample_table_take(struct sample_table *table, const struct sample_table *from)
{
    bool is_same = from->n > 0 && from->at == from->n &&
                   from->cut.from_step == table->cut.from_step &&
                   from->cut.to_step == table->cut.to_step &&
                   from->cut.n_columns == table->cut.n_columns;
    if (!is_same) {
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
                table->cut.n_columns * sizeof *table->columns);
            table->order[n_taken++] = place; /* n_taken <= i */
        } else {
            left[n_left++] = place;
        }
    }
    memcpy(table->order + n_taken, left, n_left * sizeof *left);
    table->at = n_taken;
}

int sample_table_step(struct sample_table *table, const struct sample_source *source,
    struct store *store, struct sample_tally *tally, struct baro_err *err)
{
    if (table->at == table->n) {
        return 0;
    }
    const size_t n_columns = table->cut.n_columns;
    const uint32_t first = table->units[table->order[table->at]];
    const size_t most =
        n_columns * MOST_UNITS <= ROOM_COLUMNS ? MOST_UNITS : ROOM_COLUMNS / n_columns;
    size_t end = table->at + 1;
    uint32_t last = first;
    while (end < table->n) {
        uint32_t unit = table->units[table->order[end]];
        if (unit - last > NEAR_UNITS || unit - first >= most) {
            break;
        }
        last = unit;
        end++;
    }
    if (table->room == NULL) {
        table->room = baro_xcalloc((most > 0 ? most : 1) * n_columns, sizeof *table->room);
    }
    int rc = sample_read(
        source, store, &table->cut, first, last - first + 1, table->room, tally, err);
    if (rc != 0) {
        return rc;
    }
    for (; table->at < end; table->at++) {
        size_t place = table->order[table->at];
        memcpy(row_of(table, place),
            table->room + (size_t)(table->units[place] - first) * n_columns,
            n_columns * sizeof *table->room);
    }
    return table->at < table->n ? 1 : 0;
}
