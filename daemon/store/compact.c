/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "daemon/store/internal.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"

/*
 * LMDB never gives pages back to the file system, so the file is written anew: LMDB copies what
 * is in use into store.mdb.new, that is made durable and renamed over the old one, and the store
 * goes on with it. The writing thread does all this, so nothing changes meanwhile; readers go on
 * while the copy is made and wait for the moment in which the files change places. A kill leaves
 * the old file or the new one, each whole; what is left of an unfinished copy is removed at the
 * next start.
 *
 * The table of readers belongs to the old file, in which a foreign reader (mdb_dump, say) may
 * still look; the new one gets a table of its own.
 */

enum { FILE_MODE = 0600, MARGIN_BYTES = 1 << 20 };

/* Whether the disk has room for a copy of what is in use. */
static int check_room(struct store *store, struct baro_err *err)
{
    struct statvfs disk;
    uint64_t need = store_used_bytes(store) + MARGIN_BYTES;
    if (statvfs(store->path, &disk) == 0 &&
        (uint64_t)disk.f_bavail * disk.f_frsize < need) {
        return baro_err_set(err, BARO_EFULL,
            "'%s' cannot be made smaller: the disk has no %llu MiB for its copy",
            store->path, (unsigned long long)(need >> 20));
    }
    return 0;
}

/* Copy what is in use, durably. */
static int copy(struct store *store, const char *path, struct baro_err *err)
{
    (void)unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);
    if (fd < 0) {
        return store_lmdb_error(store, errno, "make a smaller copy of", err);
    }
    int code = mdb_env_copyfd2(store->env, fd, MDB_CP_COMPACT);
    if (code == 0 && fsync(fd) != 0) {
        code = errno;
    }
    if (close(fd) != 0 && code == 0) {
        code = errno;
    }
    if (code != 0) {
        (void)unlink(path);
        return store_lmdb_error(store, code, "make a smaller copy of", err);
    }
    return 0;
}

/* Put the copy in the store's place; under the map lock, alone. */
static int swap(struct store *store, const char *path, struct baro_err *err)
{
    char lock[PATH_MAX];
    (void)snprintf(lock, sizeof lock, "%s-lock", store->path);
    mdb_env_close(store->env);
    store->env = NULL;
    int rc = 0;
    (void)unlink(lock);
    if (rename(path, store->path) != 0) {
        rc = store_lmdb_error(store, errno, "replace", err);
        (void)unlink(path);
    } else if (store_sync_folder(store) != 0) {
        rc = store_lmdb_error(store, errno, "replace", err);
    }
    int opened = store_env_open(store, rc == 0 ? err : NULL);
    return rc == 0 ? opened : rc;
}

int store_compact(struct store *store, struct baro_err *err)
{
    char path[PATH_MAX];
    if (store->txn.is_open) {
        return baro_err_set(err, BARO_EINVAL, "compacting inside a transaction");
    }
    int n = snprintf(path, sizeof path, "%s.new", store->path);
    if (n < 0 || (size_t)n >= sizeof path) {
        return baro_err_set(err, BARO_ELIMIT, "the folder's name is too long");
    }
    int rc = check_room(store, err);
    if (rc == 0) {
        rc = copy(store, path, err);
    }
    if (rc != 0) {
        return rc;
    }
    (void)pthread_rwlock_wrlock(&store->map_lock);
    rc = swap(store, path, err);
    (void)pthread_rwlock_unlock(&store->map_lock);
    return rc;
}
