/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/stat.h>

#include "daemon/store/internal.h"

/*
 * How much of the file is in use. LMDB keeps the numbers of free pages in a tree of its own, one
 * list per transaction that freed some; each list begins with its length. Pages behind the last
 * one that LMDB ever used are not in the file at all.
 */

enum { FREE_TREE = 0 }; /* LMDB's first table */

/* What one look at the environment says; all in bytes. */
struct space {
    uint64_t file; /* up to the last page that was ever used */
    uint64_t free; /* of them pages that hold nothing */
};

static uint64_t count_free_pages(MDB_txn *txn)
{
    MDB_cursor *cursor = NULL;
    MDB_val key;
    MDB_val value;
    uint64_t n = 0;
    if (mdb_cursor_open(txn, FREE_TREE, &cursor) != 0) {
        return 0;
    }
    while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
        size_t n_here = 0;
        if (value.mv_size >= sizeof n_here) {
            memcpy(&n_here, value.mv_data, sizeof n_here);
        }
        n += n_here;
    }
    mdb_cursor_close(cursor);
    return n;
}

static struct space measure(struct store *store)
{
    struct space space = {0};
    MDB_txn *txn = NULL;
    if (store_reading_begin(store, &txn, NULL) != 0) {
        return space;
    }
    MDB_envinfo info;
    MDB_stat stat;
    if (mdb_env_info(store->env, &info) == 0 && mdb_env_stat(store->env, &stat) == 0) {
        space.file = (uint64_t)(info.me_last_pgno + 1) * stat.ms_psize;
        space.free = count_free_pages(txn) * stat.ms_psize;
        space.free = space.free < space.file ? space.free : space.file;
    }
    store_reading_end(store, txn);
    return space;
}

uint64_t store_bytes(struct store *store)
{
    struct stat file;
    return stat(store->path, &file) == 0 ? (uint64_t)file.st_blocks * 512 : 0;
}

uint64_t store_free_bytes(struct store *store)
{
    return measure(store).free;
}

uint64_t store_used_bytes(struct store *store)
{
    struct space space = measure(store);
    return space.file - space.free;
}

bool store_is_map_full(const struct store *store)
{
    return store->is_map_full;
}

uint64_t store_limit_bytes(const struct store *store)
{
    return store->commit_limit;
}
