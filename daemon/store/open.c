/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/store/internal.h"
#include "daemon/store/pages.h"
#include "daemon/store/prune.h"
#include "daemon/store/tiers.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/paths.h"

/*
 * Opening goes from the outside in, and changes nothing before it knows that it may: the folder
 * is on a local file system; no other daemon holds the lock; the file, if there is one, is an
 * LMDB file of full length; it is a store; its format is one that we know. A new store is
 * created under another name and renamed when it is complete, so that an empty or cut file can
 * only be damage.
 */

enum {
    LMDB_META_MAGIC_AT = 16, /* behind the page header */
    LMDB_PAGE_BYTES = 4096,
    MAX_READERS = 512,
    NEW_TABLES_BYTES = 1 << 20,
    FILE_MODE = 0600
};
static const uint32_t lmdb_magic = 0xBEEFC0DE;
static const uint64_t default_map_bytes = UINT64_C(64) << 20;
static const uint64_t default_seal_bytes = UINT64_C(4) << 20;
static const uint64_t max_pruning_bytes = UINT64_C(4) << 20;
static const uint64_t no_quota_bytes = UINT64_C(1) << 44;

static const char *const table_names[STORE_TABLE_COUNT] = {
    [STORE_RUNS] = "runs",
    [STORE_THINGS] = "things",
    [STORE_STREAMS] = "streams",
    [STORE_ALERTS] = "alerts",
    [STORE_INCIDENTS] = "incidents",
    [STORE_NOTES] = "notes",
};
_Static_assert(BARO_LEN(table_names) == STORE_TABLE_COUNT, "every table has a name");

static int system_error(struct baro_err *err, const char *doing, const char *path)
{
    int code = errno == EACCES || errno == EPERM || errno == EROFS ? BARO_EACCES
               : errno == ENOSPC || errno == EDQUOT                ? BARO_EFULL
                                                                   : BARO_EIO;
    return baro_err_set(err, code, "%s '%s': %s", doing, path, strerror(errno));
}

/* Take the lock that a second daemon would meet. The kernel drops it when its process ends. */
static int take_lock(struct store *store, const char *dir, struct baro_err *err)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/" STORE_LOCK_FILE, dir);
    store->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, FILE_MODE);
    if (store->lock_fd < 0) {
        return system_error(err, "open", path);
    }
    char text[32] = "";
    if (flock(store->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK) {
            return system_error(err, "lock", path);
        }
        ssize_t n = pread(store->lock_fd, text, sizeof text - 1, 0);
        long pid = n > 0 ? strtol(text, NULL, 10) : 0;
        return baro_err_set(err, BARO_EBUSY,
            "'%s' is in use by process %ld; stop that one with 'baro down', or use another "
            "folder",
            dir, pid);
    }
    int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(store->lock_fd, 0) != 0 ||
        pwrite(store->lock_fd, text, (size_t)n, 0) != n) {
        return system_error(err, "write", path);
    }
    return 0;
}

/* Look at the first page of an existing file. Returns 1 when it exists and is LMDB's, 0 when
 * there is none. */
static int look_at_file(const char *path, struct baro_err *err)
{
    baro_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? 0 : system_error(err, "open", path);
    }
    uint32_t magic = 0;
    struct stat info;
    if (fstat(fd, &info) != 0) {
        return system_error(err, "look at", path);
    }
    if (!S_ISREG(info.st_mode) ||
        pread(fd, &magic, sizeof magic, LMDB_META_MAGIC_AT) != (ssize_t)sizeof magic) {
        return baro_err_set(err, BARO_ECORRUPT,
            "'%s' is cut off: %lld bytes; restore it from a copy, or move it away to start anew",
            path, (long long)info.st_size);
    }
    if (magic != lmdb_magic) {
        return baro_err_set(err, BARO_EUNSUPPORTED,
            "'%s' is not a Barograph store; move it away, or use another folder", path);
    }
    return 1;
}

static int open_env(
    struct store *store, const char *path, uint64_t bytes, struct baro_err *err)
{
    int rc = mdb_env_create(&store->env);
    if (rc != 0) {
        return store_lmdb_error(store, rc, "open", err);
    }
    if ((rc = mdb_env_set_maxdbs(store->env, STORE_TABLE_COUNT + 4)) != 0 ||
        (rc = mdb_env_set_maxreaders(store->env, MAX_READERS)) != 0 ||
        (rc = mdb_env_set_mapsize(store->env, bytes)) != 0 ||
        (rc = mdb_env_open(
             store->env, path, MDB_NOSUBDIR | MDB_NOTLS | MDB_NORDAHEAD, FILE_MODE)) != 0) {
        return store_lmdb_error(store, rc, "open", err);
    }
    int n_dead = 0;
    (void)mdb_reader_check(store->env, &n_dead);
    return 0;
}

static int put_meta(struct store *store, MDB_txn *txn)
{
    uint32_t format = STORE_FORMAT;
    char version[] = BAROGRAPH_VERSION;
    char format_name[] = "format";
    char creator_name[] = "creator";
    MDB_val key = {.mv_size = strlen(format_name), .mv_data = format_name};
    MDB_val value = {.mv_size = sizeof format, .mv_data = &format};
    int rc = mdb_put(txn, store->meta_table, &key, &value, 0);
    if (rc != 0) {
        return rc;
    }
    key = (MDB_val){.mv_size = strlen(creator_name), .mv_data = creator_name};
    value = (MDB_val){.mv_size = strlen(version), .mv_data = version};
    return mdb_put(txn, store->meta_table, &key, &value, 0);
}

static int open_tables(struct store *store, MDB_txn *txn, unsigned flags)
{
    int rc = 0;
    for (int i = 0; rc == 0 && i < STORE_TABLE_COUNT; i++) {
        rc = mdb_dbi_open(txn, table_names[i], flags, &store->tables[i]);
    }
    if (rc != 0 || (rc = mdb_dbi_open(txn, "tail", flags, &store->tail_table)) != 0 ||
        (rc = mdb_dbi_open(txn, "chunk", flags, &store->chunk_table)) != 0 ||
        (rc = mdb_dbi_open(txn, "group", flags, &store->group_table)) != 0) {
        return rc;
    }
    return mdb_dbi_open(txn, "meta", flags, &store->meta_table);
}

/* The names of a file in the making and of its table of readers. */
static void new_names(
    const struct store *store, char path[PATH_MAX], char lock[PATH_MAX + 8])
{
    (void)snprintf(path, PATH_MAX, "%s.new", store->path);
    (void)snprintf(lock, PATH_MAX + 8, "%s-lock", path);
}

/* Remove what a creation or a compaction left that was cut short. */
static void remove_leftovers(const struct store *store)
{
    char path[PATH_MAX];
    char lock[PATH_MAX + 8];
    new_names(store, path, lock);
    (void)unlink(path);
    (void)unlink(lock);
}

/* Make an empty store under another name and rename it. */
static int create(struct store *store, struct baro_err *err)
{
    char path[PATH_MAX];
    char lock[PATH_MAX + 8];
    new_names(store, path, lock);
    int rc = open_env(store, path, default_map_bytes, err);
    MDB_txn *txn = NULL;
    if (rc == 0) {
        if ((rc = mdb_txn_begin(store->env, NULL, 0, &txn)) != 0 ||
            (rc = open_tables(store, txn, MDB_CREATE)) != 0 ||
            (rc = put_meta(store, txn)) != 0) {
            mdb_txn_abort(txn);
        } else {
            rc = mdb_txn_commit(txn);
        }
        if (rc != 0) {
            rc = store_lmdb_error(store, rc, "create", err);
        }
    }
    mdb_env_close(store->env);
    store->env = NULL;
    (void)unlink(lock);
    if (rc == 0 && (rename(path, store->path) != 0 || store_sync_folder(store) != 0)) {
        rc = system_error(err, "create", store->path);
    }
    return rc;
}

/* Check that the file is a store of a format that we know. */
static int check_format(struct store *store, MDB_txn *txn, struct baro_err *err)
{
    int rc = mdb_dbi_open(txn, "meta", 0, &store->meta_table);
    MDB_val key = {.mv_size = strlen("format"), .mv_data = (char[]){"format"}};
    MDB_val value;
    uint32_t format = 0;
    if (rc == 0) {
        rc = mdb_get(txn, store->meta_table, &key, &value);
    }
    if (rc == MDB_NOTFOUND || rc == MDB_INCOMPATIBLE ||
        (rc == 0 && value.mv_size != sizeof format)) {
        return baro_err_set(err, BARO_EUNSUPPORTED,
            "'%s' is not a Barograph store; move it away, or use another folder",
            store->path);
    }
    if (rc != 0) {
        return store_lmdb_error(store, rc, "open", err);
    }
    memcpy(&format, value.mv_data, sizeof format);
    if (format != STORE_FORMAT) {
        return baro_err_set(err, BARO_EVERSION,
            "'%s' has format %u, this program knows %d; %s", store->path, format,
            STORE_FORMAT,
            format > STORE_FORMAT ? "open it with the version that wrote it, or a newer one"
                                  : "open it with the version that wrote it, or move it "
                                    "away to start anew");
    }
    return 0;
}

/* Open all tables; those that the version which wrote the store did not know are made. */
static int open_known_tables(struct store *store, MDB_txn **txn, struct baro_err *err)
{
    int rc = open_tables(store, *txn, 0);
    if (rc == MDB_NOTFOUND) {
        MDB_envinfo info = {0};
        mdb_txn_abort(BARO_TAKE(*txn));
        (void)mdb_env_info(store->env, &info); /* its map may be full */
        rc = mdb_env_set_mapsize(store->env, info.me_mapsize + NEW_TABLES_BYTES);
        rc = rc == 0 ? mdb_txn_begin(store->env, NULL, 0, txn) : rc;
        rc = rc == 0 ? open_tables(store, *txn, MDB_CREATE) : rc;
    }
    return rc == 0 ? 0 : store_lmdb_error(store, rc, "open", err);
}

int store_env_open(struct store *store, struct baro_err *err)
{
    MDB_txn *txn = NULL;
    int rc = open_env(store, store->path, store->map_bytes, err);
    if (rc == 0 && (rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn)) != 0) {
        rc = store_lmdb_error(store, rc, "open", err);
    }
    if (rc == 0) {
        rc = check_format(store, txn, err);
    }
    if (rc == 0) {
        rc = open_known_tables(store, &txn, err);
    }
    if (rc == 0) { /* of a reading one: keeps the handles of the tables */
        rc = mdb_txn_commit(BARO_TAKE(txn));
        rc = rc == 0 ? 0 : store_lmdb_error(store, rc, "open", err);
    }
    if (rc != 0) {
        mdb_txn_abort(txn);
        mdb_env_close(store->env);
        store->env = NULL;
    }
    return rc;
}

int store_sync_folder(const struct store *store)
{
    char dir[PATH_MAX];
    (void)snprintf(dir, sizeof dir, "%s", store->path);
    char *slash = strrchr(dir, '/');
    if (slash != NULL) {
        *slash = '\0';
    }
    baro_autoclose int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -1 : fsync(fd);
}

/* Sealing may go further than commits, and pruning further than sealing, since in the end they
 * make room. */
static void set_limits(struct store *store, const struct store_options *options)
{
    store->is_exact = options->is_exact;
    store->rounded_kinds = options->rounded_kinds;
    store->step_bytes = 1 << 20;
    store->parting.bytes = 16 << 20;
    store->parting.min_rows = 16;
    store->parting.max_rows = 1024;
    store->parting.values = 32768;
    store->parting.wide_columns = 128;
    uint64_t quota = options->quota_bytes > 0 ? options->quota_bytes : no_quota_bytes;
    quota = quota < no_quota_bytes ? quota : no_quota_bytes;
    store->seal_tail_bytes =
        options->seal_tail_bytes > 0 ? options->seal_tail_bytes : default_seal_bytes;
    if (store->seal_tail_bytes > quota / 8) {
        store->seal_tail_bytes = quota / 8;
    }
    uint64_t for_pruning = quota / 16 < max_pruning_bytes ? quota / 16 : max_pruning_bytes;
    uint64_t for_sealing = quota - for_pruning;
    uint64_t for_commits = for_sealing - store->seal_tail_bytes * 2;
    store->quota_limit = quota / LMDB_PAGE_BYTES * LMDB_PAGE_BYTES;
    store->seal_limit = for_sealing / LMDB_PAGE_BYTES * LMDB_PAGE_BYTES;
    store->commit_limit = for_commits / LMDB_PAGE_BYTES * LMDB_PAGE_BYTES;
}

static void init_locks(struct store *store)
{
    pthread_rwlockattr_t attributes;
    (void)pthread_rwlockattr_init(&attributes);
    (void)pthread_rwlockattr_setkind_np(
        &attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    (void)pthread_rwlock_init(&store->map_lock, &attributes);
    (void)pthread_rwlockattr_destroy(&attributes);
    (void)pthread_mutex_init(&store->memory_lock, NULL);
    (void)pthread_mutex_init(&store->damaged.lock, NULL);
}

static int open_all(struct store *store, const char *dir,
    const struct store_options *options, struct baro_err *err)
{
    int rc = baro_check_local_fs(dir, err);
    if (rc != 0 || (rc = take_lock(store, dir, err)) != 0 ||
        (rc = look_at_file(store->path, err)) < 0) {
        return rc;
    }
    remove_leftovers(store);
    if (rc == 0 && (rc = create(store, err)) != 0) {
        return rc;
    }
    set_limits(store, options);
    uint64_t bytes = options->map_bytes > 0 ? options->map_bytes : default_map_bytes;
    bytes = bytes < store->commit_limit ? bytes : store->commit_limit;
    store->map_bytes = bytes / LMDB_PAGE_BYTES * LMDB_PAGE_BYTES;
    if ((rc = store_check_pages(store->path, err)) != 0 ||
        (rc = store_env_open(store, err)) != 0 ||
        (rc = store_remove_resume(store, err)) != 0) {
        return rc;
    }
    return store_replay(store, err);
}

int store_open(const char *dir, const struct store_options *options,
    struct store **out_store, struct baro_err *err)
{
    static const struct store_options defaults = {0};
    struct store *store = baro_xcalloc(1, sizeof *store);
    char path[PATH_MAX];
    store->lock_fd = -1;
    store->frames = frame_codec_create();
    init_locks(store);
    int n = snprintf(path, sizeof path, "%s/" STORE_FILE, dir);
    store->path = baro_xstrdup(path);
    int rc = n < 0 || (size_t)n > sizeof path - 16
                 ? baro_err_set(err, BARO_ELIMIT, "the folder's name is too long")
                 : open_all(store, dir, options != NULL ? options : &defaults, err);
    if (rc != 0) {
        store_close(store);
        return baro_err_prefix(err, rc, "open the store");
    }
    *out_store = store;
    return 0;
}

void store_close(struct store *store)
{
    if (store == NULL) {
        return;
    }
    tiers_finish(store);
    mdb_env_close(store->env);
    tail_finish(&store->tail);
    store_batch_finish(&store->txn.batch);
    store_batch_finish(&store->sealing);
    store_batch_finish(&store->pruning);
    frame_codec_destroy(store->frames);
    columns_finish(&store->parting.columns);
    while (store->n_codecs > 0) {
        chunk_codec_destroy(store->codecs[--store->n_codecs]);
    }
    free(store->txn.rows);
    (void)pthread_rwlock_destroy(&store->map_lock);
    (void)pthread_mutex_destroy(&store->memory_lock);
    store_forget_damage(store);
    if (store->lock_fd >= 0) {
        (void)close(store->lock_fd);
    }
    free(store->path);
    free(store);
}
