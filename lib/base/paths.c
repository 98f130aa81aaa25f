/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

static int join(char *out, struct baro_err *err, const char *head, const char *tail)
{
    int n = snprintf(out, BARO_PATH_BYTES, "%s%s", head, tail);
    if (n < 0 || n >= BARO_PATH_BYTES) {
        return baro_err_set(err, BARO_ELIMIT, "the path '%.60s...' is too long", head);
    }
    return 0;
}

static int absolute(char *out, struct baro_err *err, const char *path)
{
    if (path[0] == '/') {
        return join(out, err, path, "");
    }
    char cwd[BARO_PATH_BYTES];
    if (getcwd(cwd, sizeof cwd - 1) == NULL) {
        return baro_err_set(
            err, BARO_ENOENT, "the current folder is gone: %s", strerror(errno));
    }
    (void)strncat(cwd, "/", sizeof cwd - strlen(cwd) - 1);
    return join(out, err, cwd, path);
}

int baro_data_dir(char *out, struct baro_err *err)
{
    const char *dir = getenv("BARO_DIR");
    if (dir != NULL && dir[0] != '\0') {
        return absolute(out, err, dir);
    }
    const char *data = getenv("XDG_DATA_HOME");
    if (data != NULL && data[0] == '/') {
        return join(out, err, data, "/barograph");
    }
    const char *home = getenv("HOME");
    if (home == NULL || home[0] == '\0') {
        char buffer[2048];
        struct passwd entry;
        struct passwd *found = NULL;
        if (getpwuid_r(getuid(), &entry, buffer, sizeof buffer, &found) != 0 ||
            found == NULL) {
            return baro_err_set(
                err, BARO_ENOENT, "no home folder; set BARO_DIR to a folder");
        }
        return join(out, err, found->pw_dir, "/.local/share/barograph");
    }
    return join(out, err, home, "/.local/share/barograph");
}

int baro_ring_dir(char *out, struct baro_err *err)
{
    const char *dir = getenv("BARO_RING_DIR");
    if (dir != NULL && dir[0] != '\0') {
        return absolute(out, err, dir);
    }
    struct statfs fs;
    enum { TMPFS_TYPE = 0x01021994 };
    if (statfs("/dev/shm", &fs) == 0 && fs.f_type == TMPFS_TYPE &&
        access("/dev/shm", W_OK) == 0) {
        (void)snprintf(out, BARO_PATH_BYTES, "/dev/shm/barograph-%u", (unsigned)getuid());
        return 0;
    }
    char data[BARO_PATH_BYTES];
    int rc = baro_data_dir(data, err);
    return rc != 0 ? rc : join(out, err, data, "/rings");
}

static int make_one(const char *path, struct baro_err *err)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST) {
        return 0;
    }
    int code = errno == EACCES || errno == EPERM || errno == EROFS ? BARO_EACCES
               : errno == ENOSPC || errno == EDQUOT                ? BARO_EFULL
                                                                   : BARO_EIO;
    return baro_err_set(
        err, code, "cannot make the folder '%s': %s", path, strerror(errno));
}

int baro_make_dir(const char *path, struct baro_err *err)
{
    char part[BARO_PATH_BYTES];
    int rc = join(part, err, path, "");
    for (char *slash = part + 1; rc == 0 && (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        rc = access(part, F_OK) == 0 ? 0 : make_one(part, err);
        *slash = '/';
    }
    if (rc != 0 || (rc = make_one(path, err)) != 0) {
        return rc;
    }
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
        return baro_err_set(err, BARO_EIO, "'%s' is not a folder", path);
    }
    if (st.st_uid != geteuid()) {
        return baro_err_set(err, BARO_EACCES,
            "the folder '%s' belongs to another user (%u); choose one of your own", path,
            (unsigned)st.st_uid);
    }
    return 0;
}

int baro_check_local_fs(const char *path, struct baro_err *err)
{
    /* Magic numbers of statfs(2); there is no header that has them all. */
    static const struct {
        unsigned type;
        const char *name;
    } remote[] = {{0x6969, "NFS"}, {0xff534d42, "CIFS"}, {0xfe534d42, "SMB2"},
        {0x517b, "SMB"}, {0x0bd00bd0, "Lustre"}, {0x01021997, "9p"}, {0x00c36400, "Ceph"},
        {0x564c, "NCP"}, {0x47504653, "GPFS"}, {0x5346414f, "AFS"}, {0x19830326, "BeeGFS"},
        {0x57ac6e9d, "WekaFS"}, {0x65735546, "FUSE (sshfs or the like)"}};
    struct statfs fs;
    if (statfs(path, &fs) != 0) {
        return baro_err_set(
            err, BARO_ENOENT, "cannot look at '%s': %s", path, strerror(errno));
    }
    for (size_t i = 0; i < BARO_LEN(remote); i++) {
        if ((unsigned)fs.f_type == remote[i].type) {
            return baro_err_set(err, BARO_EUNSUPPORTED,
                "'%s' is on %s, where shared memory and locks are unsafe; use a local folder "
                "(BARO_DIR, BARO_RING_DIR)",
                path, remote[i].name);
        }
    }
    return 0;
}

static size_t read_small(const char *path, char *out, size_t out_bytes)
{
    baro_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, out, out_bytes - 1) : -1;
    out[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

void baro_boot_id(char *out)
{
    size_t n = read_small("/proc/sys/kernel/random/boot_id", out, 40);
    if (n > 0 && out[n - 1] == '\n') {
        out[n - 1] = '\0';
    }
}

uint64_t baro_process_start(int pid)
{
    char path[64];
    char stat_line[1024];
    (void)snprintf(path, sizeof path, "/proc/%d/stat", pid);
    if (read_small(path, stat_line, sizeof stat_line) == 0) {
        return 0;
    }
    /* The name in field 2 may hold spaces and parentheses: count from the last ')'. */
    const char *field = strrchr(stat_line, ')');
    if (field == NULL || field[1] != ' ' || field[2] == 'Z' || field[2] == 'X') {
        return 0; /* a zombie has ended */
    }
    for (int i = 2; i < 22 && field != NULL; i++) {
        field = strchr(field + 1, ' ');
    }
    return field != NULL ? strtoull(field + 1, NULL, 10) : 0;
}
