/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "daemon/store/internal.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"

/* Reading small values and the list of groups. Nothing is held while a caller's function runs. */

enum { EACH_MAX_VALUES = 256, EACH_MAX_BYTES = 1 << 20 };

int64_t store_get(struct store *store, enum store_table table, uint32_t run, uint64_t id,
    void **out_value, struct baro_err *err)
{
    MDB_txn *txn = NULL;
    int64_t rc = store_reading_begin(store, &txn, err);
    if (rc != 0) {
        return rc;
    }
    uint8_t bytes[KEY_VALUE_BYTES];
    key_value(bytes, run, id);
    MDB_val key = {.mv_size = sizeof bytes, .mv_data = bytes};
    MDB_val value;
    int lmdb_rc = mdb_get(txn, store->tables[table], &key, &value);
    if (lmdb_rc == 0) {
        *out_value = baro_xrealloc(NULL, value.mv_size + 1, 1);
        memcpy(*out_value, value.mv_data, value.mv_size);
        rc = (int64_t)value.mv_size;
    } else if (lmdb_rc == MDB_NOTFOUND) {
        rc = baro_err_set(err, BARO_ENOENT, "the store has no such value");
    } else {
        rc = store_lmdb_error(store, lmdb_rc, "read", err);
    }
    store_reading_end(store, txn);
    return rc;
}

/* Some values, copied out of one transaction. */
struct values {
    uint32_t n;
    uint32_t runs[EACH_MAX_VALUES];
    uint64_t ids[EACH_MAX_VALUES];
    size_t ends[EACH_MAX_VALUES]; /* in bytes */
    uint8_t *bytes;
    size_t room;
    bool is_last; /* there are no more behind them */
};

static void add_value(struct values *values, const MDB_val *key, const MDB_val *value)
{
    size_t at = values->n > 0 ? values->ends[values->n - 1] : 0;
    if (values->bytes == NULL || at + value->mv_size + 1 > values->room) {
        values->room = (at + value->mv_size + 1) * 2;
        values->bytes = baro_xrealloc(values->bytes, values->room, 1);
    }
    memcpy(values->bytes + at, value->mv_data, value->mv_size);
    values->runs[values->n] = (uint32_t)key_get(key->mv_data, 4);
    values->ids[values->n] = key_get((const uint8_t *)key->mv_data + 4, 8);
    values->ends[values->n++] = at + value->mv_size;
}

/* Copy the next values whose key is from or larger; run 0 is any run. */
static int take_values(struct store *store, enum store_table table, uint32_t run,
    const uint8_t *from, struct values *values, struct baro_err *err)
{
    MDB_txn *txn = NULL;
    MDB_cursor *cursor = NULL;
    MDB_val key = {.mv_size = KEY_VALUE_BYTES, .mv_data = (void *)(uintptr_t)from};
    MDB_val value;
    int rc = store_reading_begin(store, &txn, err);
    if (rc != 0) {
        return rc;
    }
    values->n = 0;
    rc = mdb_cursor_open(txn, store->tables[table], &cursor);
    if (rc == 0) {
        rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    }
    while (rc == 0 && values->n < EACH_MAX_VALUES &&
           (values->n == 0 || values->ends[values->n - 1] < EACH_MAX_BYTES)) {
        if (key.mv_size != KEY_VALUE_BYTES ||
            (run != 0 && key_get(key.mv_data, 4) != run)) {
            rc = MDB_NOTFOUND;
            break;
        }
        add_value(values, &key, &value);
        rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    values->is_last = rc == MDB_NOTFOUND;
    if (cursor != NULL) {
        mdb_cursor_close(cursor);
    }
    store_reading_end(store, txn);
    return rc == 0 || rc == MDB_NOTFOUND ? 0 : store_lmdb_error(store, rc, "read", err);
}

int store_each(struct store *store, enum store_table table, uint32_t run, store_value_fn fn,
    void *payload, struct baro_err *err)
{
    struct values values = {0};
    uint8_t from[KEY_VALUE_BYTES];
    key_value(from, run, 0);
    int rc = 0;
    while (rc == 0 && !values.is_last) {
        rc = take_values(store, table, run, from, &values, err);
        for (uint32_t i = 0; rc == 0 && i < values.n; i++) {
            size_t at = i > 0 ? values.ends[i - 1] : 0;
            rc = fn(values.runs[i], values.ids[i], values.bytes + at, values.ends[i] - at,
                payload);
        }
        if (values.n > 0 && values.ids[values.n - 1] < UINT64_MAX) {
            key_value(from, values.runs[values.n - 1], values.ids[values.n - 1] + 1);
        } else if (values.n > 0) {
            values.is_last |= values.runs[values.n - 1] == UINT32_MAX;
            key_value(from, values.runs[values.n - 1] + 1, 0);
        }
    }
    free(values.bytes);
    return rc;
}

/* A growing list of groups. */
struct infos {
    struct store_group_info *list;
    size_t n;
    size_t room;
};

static struct store_group_info *add_info(struct infos *infos, uint32_t thing, uint16_t kind)
{
    if (infos->n == infos->room) {
        infos->room = infos->room * 2 + 64;
        infos->list = baro_xrealloc(infos->list, infos->room, sizeof *infos->list);
    }
    struct store_group_info *info = &infos->list[infos->n++];
    *info = (struct store_group_info){.thing = thing, .kind = kind};
    return info;
}

/* Fill in what the index knows of a group. */
static void describe(struct store_group_info *info, const struct group_record *record)
{
    info->n_f64 = record->n_f64;
    info->n_f32 = record->n_f32;
    info->n_rows = record->n_rows;
    info->first_step = record->first_step;
    info->last_step = record->last_step;
    info->bytes = record->bytes;
    info->n_pruned = record->pruned[0];
}

/* The same of a group in memory; under the memory lock. */
static void describe_tail(struct store_group_info *info, const struct tail_group *group)
{
    describe(info, &group->record);
    info->n_rows += group->tail_rows;
    info->bytes += group->tail_bytes;
}

static int compare_infos(const void *left, const void *right)
{
    const struct store_group_info *a = left;
    const struct store_group_info *b = right;
    if (a->thing != b->thing) {
        return a->thing < b->thing ? -1 : 1;
    }
    return (a->kind > b->kind) - (a->kind < b->kind);
}

/* List the groups in memory, by rising (thing, kind). */
static void list_memory(struct store *store, uint32_t run, struct infos *infos)
{
    (void)pthread_mutex_lock(&store->memory_lock);
    const struct tail_run *in_memory = tail_find_run(&store->tail, run);
    const struct tail_group *group = in_memory != NULL ? in_memory->groups : NULL;
    for (; group != NULL; group = group->in_run) {
        if (group->record.n_rows + group->tail_rows > 0) {
            describe_tail(add_info(infos, group->thing, group->kind), group);
        }
    }
    (void)pthread_mutex_unlock(&store->memory_lock);
    if (infos->n > 1) {
        qsort(infos->list, infos->n, sizeof *infos->list, compare_infos);
    }
}

/* Take what the index says of a group, unless memory, of which the first n_known come, knew more:
 * it is looked at first, since groups leave it when all of their rows are in the index. */
static void take_record(struct infos *infos, size_t n_known, const uint8_t *key,
    const struct group_record *record)
{
    struct store_group_info wanted = {
        .thing = (uint32_t)key_get(key + 4, 4), .kind = (uint16_t)key_get(key + 8, 2)};
    struct store_group_info *info =
        n_known == 0 ? NULL
                     : bsearch(&wanted, infos->list, n_known, sizeof wanted, compare_infos);
    if (info == NULL) {
        info = add_info(infos, wanted.thing, wanted.kind);
    } else if (info->n_rows >= record->n_rows) {
        return;
    }
    describe(info, record);
}

/* List the groups in the index, by rising (thing, kind). */
static int list_index(
    struct store *store, uint32_t run, struct infos *infos, struct baro_err *err)
{
    MDB_txn *txn = NULL;
    MDB_cursor *cursor = NULL;
    uint8_t from[KEY_GROUP_BYTES];
    key_group(from, run, 0, 0);
    MDB_val key = {.mv_size = sizeof from, .mv_data = from};
    MDB_val value;
    size_t n_known = infos->n;
    int rc = store_reading_begin(store, &txn, err);
    if (rc != 0) {
        return rc;
    }
    rc = mdb_cursor_open(txn, store->group_table, &cursor);
    if (rc == 0) {
        rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    }
    while (rc == 0 && key.mv_size == KEY_GROUP_BYTES && key_get(key.mv_data, 4) == run) {
        const uint8_t *at = key.mv_data;
        struct group_record record;
        if (store_group_decode(store, txn, at, &value, &record)) {
            take_record(infos, n_known, at, &record);
        }
        rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    if (cursor != NULL) {
        mdb_cursor_close(cursor);
    }
    store_reading_end(store, txn);
    return rc == 0 || rc == MDB_NOTFOUND ? 0 : store_lmdb_error(store, rc, "read", err);
}

int store_groups(struct store *store, uint32_t run, struct store_group_info **out_infos,
    size_t *out_n, struct baro_err *err)
{
    struct infos infos = {0};
    list_memory(store, run, &infos);
    size_t n_known = infos.n;
    int rc = list_index(store, run, &infos, err);
    if (rc != 0) {
        free(infos.list);
        return rc;
    }
    if (infos.n > n_known) {
        qsort(infos.list, infos.n, sizeof *infos.list, compare_infos);
    }
    *out_infos = infos.list;
    *out_n = infos.n;
    return 0;
}

int store_group(struct store *store, uint32_t run, uint32_t thing, uint16_t kind,
    struct store_group_info *out, struct baro_err *err)
{
    *out = (struct store_group_info){.thing = thing, .kind = kind};
    (void)pthread_mutex_lock(&store->memory_lock);
    const struct tail_group *group = tail_find(&store->tail, run, thing, kind);
    bool is_in_memory = group != NULL;
    if (is_in_memory) {
        describe_tail(out, group);
    }
    (void)pthread_mutex_unlock(&store->memory_lock);
    if (is_in_memory) {
        return out->n_rows > 0 ? 1 : 0;
    }
    struct group_record record;
    int rc = store_group_get(store, run, thing, kind, &record, err);
    if (rc == 1) {
        describe(out, &record);
    }
    return rc;
}
