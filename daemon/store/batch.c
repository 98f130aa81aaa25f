/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/store/batch.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

void store_batch_clear(struct store_batch *batch)
{
    batch->n_ops = 0;
    batch->n_bytes = 0;
}

void store_batch_finish(struct store_batch *batch)
{
    free(batch->ops);
    free(batch->bytes);
    *batch = (struct store_batch){0};
}

static struct store_batch_op *add_op(
    struct store_batch *batch, MDB_dbi table, const uint8_t *key, size_t key_bytes)
{
    if (batch->n_ops == batch->ops_room) {
        batch->ops_room = batch->ops_room * 2 + 16;
        batch->ops = baro_xrealloc(batch->ops, batch->ops_room, sizeof *batch->ops);
    }
    struct store_batch_op *op = &batch->ops[batch->n_ops++];
    *op = (struct store_batch_op){.table = table, .key_bytes = (uint8_t)key_bytes};
    memcpy(op->key, key, key_bytes);
    return op;
}

void store_batch_put(struct store_batch *batch, MDB_dbi table, const uint8_t *key,
    size_t key_bytes, const void *value, size_t n_bytes)
{
    if (n_bytes > batch->bytes_room - batch->n_bytes) {
        batch->bytes_room = (batch->n_bytes + n_bytes) * 2;
        batch->bytes = baro_xrealloc(batch->bytes, batch->bytes_room, 1);
    }
    struct store_batch_op *op = add_op(batch, table, key, key_bytes);
    op->at = batch->n_bytes;
    op->n_bytes = n_bytes;
    if (n_bytes > 0) {
        memcpy(batch->bytes + batch->n_bytes, value, n_bytes);
    }
    batch->n_bytes += n_bytes;
}

void store_batch_delete(
    struct store_batch *batch, MDB_dbi table, const uint8_t *key, size_t key_bytes)
{
    add_op(batch, table, key, key_bytes)->is_delete = true;
}

int store_batch_apply(const struct store_batch *batch, MDB_txn *txn)
{
    for (size_t i = 0; i < batch->n_ops; i++) {
        struct store_batch_op *op = &batch->ops[i];
        MDB_val key = {.mv_size = op->key_bytes, .mv_data = op->key};
        int rc = 0;
        if (op->is_delete) {
            rc = mdb_del(txn, op->table, &key, NULL);
            rc = rc == MDB_NOTFOUND ? 0 : rc;
        } else {
            MDB_val value = {.mv_size = op->n_bytes, .mv_data = batch->bytes + op->at};
            rc = mdb_put(txn, op->table, &key, &value, 0);
        }
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}
