/* SPDX-License-Identifier: Apache-2.0 */
/* Reading units of a tensor from the store, in pieces, for a sample of them. */
#ifndef BAROD_SAMPLE_READ_H
#define BAROD_SAMPLE_READ_H

#include "daemon/registry.h"
#include "daemon/store/store.h"

/* One statistic of all units of a tensor. */
struct sample_source {
    struct lineage_part parts[REGISTRY_MAX_LINEAGE]; /* oldest first */
    size_t n_parts;
    uint32_t stat;
    uint32_t n_units;
};

/* What a source has within some steps. */
struct sample_extent {
    bool has_any;
    int64_t from_step; /* smallest and largest step within the range; valid if has_any */
    int64_t to_step;
    uint64_t n_rows; /* in all, in the range or not: more of them is news */
};

/* What reading came to; sums up over calls. */
struct sample_tally {
    uint64_t n_rows; /* of the last call */
    uint64_t n_coarse;
    char damage[240]; /* the first that was met; or "" */
};

/** Tell what a source has between two steps; 0 or a code with its sentence. */
int sample_extent(const struct sample_source *source, struct store *store,
    int64_t from_step, int64_t to_step, struct sample_extent *out, struct baro_err *err);

/**
 * Read columns of some units that lie side by side.
 *
 * cut      of the steps wanted
 * out      n_units x cut->n_columns, unit by unit; overwritten, and finished
 * returns  0, also with damage, of which the tally tells; a code with its sentence
 */
int sample_read(const struct sample_source *source, struct store *store,
    const struct column_cut *cut, uint32_t first_unit, uint32_t n_units, struct column *out,
    struct sample_tally *tally, struct baro_err *err);

struct sample_rows;

/* Columns of some units, wherever they are. */
struct sample_table {
    struct column_cut cut;
    int64_t *edges;
    uint32_t *units; /* n of them, in any order, each once */
    size_t n;
    struct column *columns; /* n x cut.n_columns */
    size_t *order;          /* places in units, by rising unit */
    size_t at;              /* so many of order are read */
    struct column *room;    /* of neighbours that are read together */
    /* Of the first n_taken of order only the columns from tail on are read; from there at_tail. */
    size_t n_taken, at_tail;
    uint32_t tail;
};

/** Begin a table; units and cut: copied, without its edges. */
void sample_table_init(struct sample_table *table, const uint32_t *units, size_t n,
    const struct column_cut *cut);

/** Release it; accepts a zeroed one. */
void sample_table_finish(struct sample_table *table);

/** Take what another table has of the same columns; before anything is read. */
void sample_table_take(struct sample_table *table, const struct sample_table *from);

/**
 * Cut steps so that the columns stay the same as more steps come behind them: each is a power of
 * two wide and begins at a multiple of it, until there are more than most.
 *
 * least   no step before it may be in a column
 * out     covers from_step to to_step, in more than half of `most` columns where there are so many steps
 * returns false when they do not lie so
 */
bool sample_cut_growing(int64_t least, int64_t from_step, int64_t to_step, uint32_t most,
    struct column_cut *out);

/**
 * Read some more.
 *
 * rows     to take them from, unless they are off; NULL: from the store
 * returns  1 when there is more to do, 0 when all is there, or a code
 */
int sample_table_step(struct sample_table *table, const struct sample_rows *rows,
    const struct sample_source *source, struct store *store, struct sample_tally *tally,
    struct baro_err *err);

#endif
