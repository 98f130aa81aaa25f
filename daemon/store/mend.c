/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "daemon/store/internal.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"

/*
 * When a disk fails in the middle of a commit.
 *
 * LMDB writes the pages of a transaction to places that nothing refers to, synchronises the file,
 * then writes one of its two meta pages, which makes the transaction count. If a page cannot be
 * written, or the synchronisation fails, the transaction is undone and nothing refers to what may
 * or may not have reached the disk; the next try writes all of its pages again. (A kernel marks
 * pages clean when their synchronisation fails: to synchronise them again would prove nothing.)
 *
 * If the meta page cannot be written, nobody knows which of the two the disk has: whether the
 * transaction counts after a power cut. LMDB writes the old number of the transaction back,
 * unsynchronised, and refuses to write from then on. To go on without a restart: close LMDB's
 * environment, take the failed transaction's number off the meta page *durably*, and open it
 * again. Only then may its pages be used for others, because only then can no power cut bring
 * back a meta page that refers to them. While that fails too, nothing is acknowledged.
 */

enum {
    META_PAGE_BYTES = 4096,
    META_MAGIC_AT = 16,
    META_TXN_AT = 144, /* 8 bytes: number of the transaction that wrote the page */
    META_READ_BYTES = META_TXN_AT + 8
};
static const uint32_t meta_magic = 0xBEEFC0DE;

/* Make sure that no meta page on the disk has this transaction's number. Returns errno. */
static int take_back(const char *path, uint64_t txn)
{
    baro_autoclose int fd = open(path, O_RDWR | O_CLOEXEC);
    uint8_t meta[META_READ_BYTES];
    off_t at = (off_t)(txn & 1) * META_PAGE_BYTES;
    if (fd < 0) {
        return errno;
    }
    ssize_t n = pread(fd, meta, sizeof meta, at);
    uint32_t magic = 0;
    uint64_t number = 0;
    memcpy(&magic, meta + META_MAGIC_AT, sizeof magic);
    memcpy(&number, meta + META_TXN_AT, sizeof number);
    if (n != (ssize_t)sizeof meta || magic != meta_magic || number > txn) {
        return n < 0 ? errno : MDB_CORRUPTED;
    }
    if (number == txn) {
        number = txn - 2; /* whose page it was; the other one has txn - 1 */
    }
    if (pwrite(fd, &number, sizeof number, at + META_TXN_AT) != (ssize_t)sizeof number) {
        return errno != 0 ? errno : EIO;
    }
    return fdatasync(fd) == 0 ? 0
                              : errno; /* even if the number stood there: was it safe? */
}

int store_mend(struct store *store, struct baro_err *err)
{
    (void)pthread_rwlock_wrlock(&store->map_lock);
    mdb_env_close(store->env);
    store->env = NULL;
    int rc = 0;
    if (store->failed_txn > 1) {
        int code = take_back(store->path, store->failed_txn);
        rc = code == 0 ? 0 : store_lmdb_error(store, code, "write", err);
    }
    if (rc == 0) {
        store->failed_txn = 0;
        rc = store_env_open(store, err);
    }
    (void)pthread_rwlock_unlock(&store->map_lock);
    return rc;
}
