/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "daemon/store/internal.h"
#include "lib/base/mem.h"

/*
 * Rows reduced to pixel columns. Which rows of a block fall together into one column is found
 * once and used for every series of the block.
 */

struct column_pass {
    const struct store_query *query;
    const struct column_cut *cut;
    struct column *columns; /* [n_series][n_columns] */
    struct column_span *spans;
    size_t spans_room;
    uint64_t n_rows;
};

static int add_block(const struct store_block *block, void *payload)
{
    struct column_pass *pass = payload;
    if (block->n_rows > pass->spans_room) {
        free(pass->spans);
        pass->spans = baro_xrealloc(NULL, block->n_rows, sizeof *pass->spans);
        pass->spans_room = block->n_rows;
    }
    size_t n_spans = columns_spans(pass->cut, block->steps, block->n_rows, pass->spans);
    size_t series = block->n_columns == pass->query->n_columns
                        ? 0
                        : block->first_column - pass->query->first_column;
    for (size_t i = 0; series == 0 && i < n_spans; i++) {
        pass->n_rows += pass->spans[i].n;
    }
    for (size_t k = 0; k < block->n_columns; k++, series++) {
        struct column *columns = pass->columns + series * pass->cut->n_columns;
        if (block->f64 != NULL) {
            columns_add_f64(columns, pass->spans, n_spans, block->f64 + k * block->n_rows);
        } else {
            columns_add_f32(columns, pass->spans, n_spans, block->f32 + k * block->n_rows);
        }
    }
    return 0;
}

int store_read_columns(struct store *store, const struct store_query *query,
    const struct column_cut *cut, struct column *out, uint64_t *out_n_rows,
    uint64_t *out_n_coarse, struct baro_err *err)
{
    struct store_query all = *query;
    all.from_step = cut->from_step;
    all.to_step = cut->to_step;
    all.first_row = 0;
    all.with_extra = false;
    struct column_pass pass = {.query = &all, .cut = cut, .columns = out};
    int rc = store_read(store, &all, add_block, &pass, err);
    free(pass.spans);
    *out_n_rows = pass.n_rows;
    *out_n_coarse = 0;
    return rc;
}
