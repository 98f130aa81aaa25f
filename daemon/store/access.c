/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "daemon/store/internal.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"

/*
 * How the store reaches LMDB. Readers hold map_lock shared for the length of one short
 * transaction; the writer takes it alone for the moment in which the map moves, when it has no
 * transaction itself. LMDB forbids moving the map under an open transaction, and this is how
 * that is kept. fsync happens outside of every lock of ours.
 */

enum { DISK_MARGIN_BYTES = 1 << 20 };

int store_lmdb_error(
    const struct store *store, int lmdb_rc, const char *doing, struct baro_err *err)
{
    int code = BARO_EIO;
    const char *hint = "";
    switch (lmdb_rc) {
    case MDB_MAP_FULL:
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        code = BARO_EFULL;
        hint = "; free some room or raise the quota, and it goes on by itself";
        break;
    case EACCES:
    case EPERM:
    case EROFS: code = BARO_EACCES; break;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
        code = BARO_ECORRUPT;
        hint = "; restore the file from a copy, or move it away to start anew";
        break;
    case MDB_PANIC: hint = "; restart the daemon"; break;
    case MDB_VERSION_MISMATCH: code = BARO_EVERSION; break;
    default: break;
    }
    return baro_err_set(
        err, code, "%s '%s': %s%s", doing, store->path, mdb_strerror(lmdb_rc), hint);
}

int store_reading_begin(struct store *store, MDB_txn **out_txn, struct baro_err *err)
{
    (void)pthread_rwlock_rdlock(&store->map_lock);
    if (store->env == NULL) {
        (void)pthread_rwlock_unlock(&store->map_lock);
        return baro_err_set(err, BARO_EIO,
            "'%s' could not be opened again; restart the daemon", store->path);
    }
    int rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, out_txn);
    if (rc != 0) {
        (void)pthread_rwlock_unlock(&store->map_lock);
        return store_lmdb_error(store, rc, "read", err);
    }
    return 0;
}

void store_reading_end(struct store *store, MDB_txn *txn)
{
    mdb_txn_abort(txn);
    (void)pthread_rwlock_unlock(&store->map_lock);
}

/* A new codec costs as much as decoding a few thousand numbers. */
struct chunk_codec *store_codec_take(struct store *store)
{
    struct chunk_codec *codec = NULL;
    (void)pthread_mutex_lock(&store->memory_lock);
    if (store->n_codecs > 0) {
        codec = store->codecs[--store->n_codecs];
    }
    (void)pthread_mutex_unlock(&store->memory_lock);
    return codec != NULL ? codec : chunk_codec_create();
}

void store_codec_give(struct store *store, struct chunk_codec *codec)
{
    (void)pthread_mutex_lock(&store->memory_lock);
    if (codec != NULL && store->n_codecs < STORE_IDLE_CODECS) {
        store->codecs[store->n_codecs++] = BARO_TAKE(codec);
    }
    (void)pthread_mutex_unlock(&store->memory_lock);
    chunk_codec_destroy(codec);
}

static uint64_t map_bytes(const struct store *store)
{
    MDB_envinfo info;
    return mdb_env_info(store->env, &info) == 0 ? info.me_mapsize : 0;
}

static int set_map(struct store *store, uint64_t bytes)
{
    (void)pthread_rwlock_wrlock(&store->map_lock);
    int rc = mdb_env_set_mapsize(store->env, bytes);
    (void)pthread_rwlock_unlock(&store->map_lock);
    return rc;
}

void store_fit_map(struct store *store)
{
    if (map_bytes(store) > store->commit_limit) {
        (void)set_map(store, store->commit_limit); /* LMDB keeps what is in use */
    }
}

/* Double the map, up to limit; MDB_MAP_FULL when it is there already. */
static int grow_map(struct store *store, uint64_t limit)
{
    uint64_t now = map_bytes(store);
    if (now >= limit) {
        return MDB_MAP_FULL;
    }
    return set_map(store, now > limit / 2 ? limit : now * 2);
}

/* Whether a write of so many bytes finds the disk, or this process' file limit, full. LMDB
 * reports a write that was cut short by a full disk as a plain input/output error. */
static bool is_disk_full(const struct store *store, uint64_t bytes)
{
    struct statvfs disk;
    struct stat file;
    struct rlimit limit;
    if (statvfs(store->path, &disk) == 0 &&
        (uint64_t)disk.f_bavail * disk.f_frsize < bytes + DISK_MARGIN_BYTES) {
        return true;
    }
    return stat(store->path, &file) == 0 && getrlimit(RLIMIT_FSIZE, &limit) == 0 &&
           limit.rlim_cur != RLIM_INFINITY &&
           limit.rlim_cur < (uint64_t)file.st_size + bytes + DISK_MARGIN_BYTES;
}

static int apply_once(struct store *store, const struct store_batch *batch)
{
    MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(store->env, NULL, 0, &txn);
    if (rc != 0) {
        return rc;
    }
    rc = store_batch_apply(batch, txn);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    uint64_t number = mdb_txn_id(txn);
    rc = mdb_txn_commit(txn); /* the handle is gone, whatever this says */
    store->failed_txn = rc == 0 ? 0 : number;
    return rc;
}

/* The same; LMDB that has given up, or has not been opened again, is put right before. */
static int apply_mended(
    struct store *store, const struct store_batch *batch, struct baro_err *err, int *out_rc)
{
    int rc = store->env != NULL ? apply_once(store, batch) : MDB_PANIC;
    *out_rc = 0;
    if (rc == MDB_PANIC) {
        *out_rc = store_mend(store, err);
        rc = *out_rc == 0 ? apply_once(store, batch) : rc;
    }
    return rc;
}

int store_apply(struct store *store, const struct store_batch *batch, uint64_t limit,
    struct baro_err *err)
{
    int mended = 0;
    int rc = apply_mended(store, batch, err, &mended);
    if (mended != 0) {
        return mended;
    }
    while (rc == MDB_MAP_FULL) {
        rc = grow_map(store, limit);
        if (rc == 0) {
            rc = apply_once(store, batch);
        } else if (rc != MDB_MAP_FULL) {
            return store_lmdb_error(store, rc, "enlarge the map of", err);
        } else {
            break;
        }
    }
    store->is_map_full = rc == MDB_MAP_FULL;
    if (rc == EIO && is_disk_full(store, batch->n_bytes)) {
        rc = ENOSPC;
    }
    if (limit > store->commit_limit) {
        store_fit_map(store);
    }
    return rc == 0 ? 0 : store_lmdb_error(store, rc, "write", err);
}
