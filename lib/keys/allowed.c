/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/keys/allowed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/paths.h"

/*
 * The list is edited as text, line by line, so that comments and what a person arranged stay. A
 * new file takes the place of the old one by rename; a lock beside it keeps two edits apart.
 */

enum { MAX_LINE_BYTES = 512 };
static const char list_file[] = "allowed-keys";

/* ---- roles ---- */

static const struct {
    const char *name;
    unsigned role;
} role_names[] = {{"push", KEYS_PUSH}, {"view", KEYS_VIEW}, {"admin", KEYS_ADMIN}};

static unsigned role_of(const char *word, size_t n_bytes)
{
    for (size_t i = 0; i < BARO_LEN(role_names); i++) {
        if (strlen(role_names[i].name) == n_bytes &&
            memcmp(role_names[i].name, word, n_bytes) == 0) {
            return role_names[i].role;
        }
    }
    return 0;
}

unsigned allowed_parse_roles(const char *text)
{
    unsigned roles = 0;
    for (;;) {
        size_t n = strcspn(text, ",");
        unsigned role = role_of(text, n);
        if (role == 0) {
            return 0;
        }
        roles |= role;
        if (text[n] == '\0') {
            return roles;
        }
        text += n + 1;
    }
}

char *allowed_format_roles(unsigned roles, char *out)
{
    out[0] = '\0';
    for (size_t i = 0; i < BARO_LEN(role_names); i++) {
        if ((roles & role_names[i].role) != 0) {
            size_t n = strlen(out);
            (void)snprintf(out + n, ALLOWED_ROLES_BYTES - n, "%s%s", n > 0 ? "," : "",
                role_names[i].name);
        }
    }
    return out;
}

/* ---- reading ---- */

int allowed_path(const char *dir, char *out, struct baro_err *err)
{
    int n = snprintf(out, BARO_PATH_BYTES, "%s/%s", dir, list_file);
    return n > 0 && n < BARO_PATH_BYTES
               ? 0
               : baro_err_set(err, BARO_ELIMIT, "the path of the data folder is too long");
}

/* Read the words of a line: 1 a key, 0 nothing, -1 something else. */
static int parse_line(const char *line, struct allowed_key *out)
{
    char words[4][MAX_LINE_BYTES];
    if (strnlen(line, MAX_LINE_BYTES) == MAX_LINE_BYTES) {
        return -1;
    }
    int n = sscanf(line, "%511s %511s %511s %511s", words[0], words[1], words[2], words[3]);
    if (n <= 0 || words[0][0] == '#') {
        return 0;
    }
    if (n < 3 || (n == 4 && words[3][0] != '#') || !keys_parse(words[0], out->public_key) ||
        !keys_is_name(words[2])) {
        return -1;
    }
    out->roles = allowed_parse_roles(words[1]);
    (void)snprintf(out->name, sizeof out->name, "%.63s", words[2]);
    return out->roles != 0 ? 1 : -1;
}

/* Read the whole file; *out_text is malloc'd and ends with a NUL. No file is an empty one. */
static int read_file(const char *path, char **out_text, struct baro_err *err)
{
    *out_text = baro_xcalloc(1, 1);
    baro_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    if (fd < 0 && errno == ENOENT) {
        return 0;
    }
    if (fd < 0 || fstat(fd, &status) != 0) {
        return baro_err_set(err, errno == EACCES ? BARO_EACCES : BARO_EIO,
            "cannot read the list of keys '%.90s': %s", path, strerror(errno));
    }
    if (!S_ISREG(status.st_mode) || (status.st_mode & 022) != 0) {
        return baro_err_set(err, BARO_EACCES,
            "others may change the list of keys '%.80s': take that away with chmod go-w",
            path);
    }
    if (status.st_size > KEYS_MAX_FILE_BYTES) {
        return baro_err_set(
            err, BARO_ELIMIT, "the list of keys is over %d bytes", KEYS_MAX_FILE_BYTES);
    }
    *out_text = baro_xrealloc(*out_text, (size_t)status.st_size + 1, 1);
    ssize_t n = read(fd, *out_text, (size_t)status.st_size);
    (*out_text)[n > 0 ? n : 0] = '\0';
    return n >= 0 ? 0
                  : baro_err_set(
                        err, BARO_EIO, "cannot read the list of keys: %s", strerror(errno));
}

static int compare_keys(const void *a, const void *b)
{
    return memcmp(((const struct allowed_key *)a)->public_key,
        ((const struct allowed_key *)b)->public_key, KEYS_BYTES);
}

/* Cut the next line off a text; NULL at the end. */
static char *next_line(char **text)
{
    char *line = *text;
    if (line == NULL || *line == '\0') {
        return NULL;
    }
    char *end = strchr(line, '\n');
    if (end != NULL) {
        *end++ = '\0';
    }
    *text = end;
    return line;
}

int allowed_read(const char *path, struct allowed *out, struct baro_err *err)
{
    *out = (struct allowed){0};
    baro_autofree char *text = NULL;
    int rc = read_file(path, &text, err);
    char *rest = text;
    char *line;
    for (int n = 1; rc != BARO_ELIMIT && rest != NULL && (line = next_line(&rest)); n++) {
        struct allowed_key key = {0};
        int found = parse_line(line, &key);
        if (found < 0) {
            out->n_bad++;
            rc = rc != 0 ? rc
                         : baro_err_set(err, BARO_ECORRUPT,
                               "'%.70s', line %d: not 'KEY ROLE NAME' with a key of 64 "
                               "hexadecimal digits and push, view or admin",
                               path, n);
        } else if (found > 0 && out->n_keys == ALLOWED_MAX_KEYS) {
            rc = baro_err_set(
                err, BARO_ELIMIT, "at most %d keys can be listed", ALLOWED_MAX_KEYS);
        } else if (found > 0) {
            out->keys = baro_xrealloc(out->keys, out->n_keys + 1, sizeof *out->keys);
            out->keys[out->n_keys++] = key;
        }
    }
    if (out->n_keys > 1) {
        qsort(out->keys, out->n_keys, sizeof *out->keys, compare_keys);
    }
    return rc;
}

void allowed_finish(struct allowed *allowed)
{
    free(allowed->keys);
    *allowed = (struct allowed){0};
}

const struct allowed_key *allowed_find(
    const struct allowed *allowed, const uint8_t public_key[KEYS_BYTES])
{
    if (allowed->n_keys == 0) {
        return NULL;
    }
    struct allowed_key wanted = {0};
    memcpy(wanted.public_key, public_key, KEYS_BYTES);
    return bsearch(
        &wanted, allowed->keys, allowed->n_keys, sizeof *allowed->keys, compare_keys);
}

/* ---- editing ---- */

static int open_lock(const char *path, struct baro_err *err)
{
    char name[BARO_PATH_BYTES + 8];
    (void)snprintf(name, sizeof name, "%s.lock", path);
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || flock(fd, LOCK_EX) != 0) {
        baro_cleanup_close(&fd);
        return baro_err_set(err, errno == ENOENT ? BARO_ENOENT : BARO_EACCES,
            "cannot edit the list of keys '%.90s': %s", path, strerror(errno));
    }
    return fd;
}

static int write_new(const char *path, const char *text, size_t n_bytes)
{
    baro_autoclose int fd =
        open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || write(fd, text, n_bytes) != (ssize_t)n_bytes || fsync(fd) != 0) {
        return -1;
    }
    return 0;
}

/* Put a new file in the place of the old one. */
static int replace(const char *path, const char *text, size_t n_bytes, struct baro_err *err)
{
    char part[BARO_PATH_BYTES + 8];
    (void)snprintf(part, sizeof part, "%s.part", path);
    if (write_new(part, text, n_bytes) == 0 && rename(part, path) == 0) {
        return 0;
    }
    int number = errno;
    (void)unlink(part);
    return baro_err_set(err, number == ENOSPC ? BARO_EFULL : BARO_EIO,
        "cannot write the list of keys '%.90s': %s", path, strerror(number));
}

static bool is_called(const struct allowed_key *key, const char *which)
{
    uint8_t public_key[KEYS_BYTES];
    return keys_parse(which, public_key)
               ? memcmp(public_key, key->public_key, KEYS_BYTES) == 0
               : strcmp(which, key->name) == 0;
}

/* Rewrite the list without the lines of `which` and with a line behind the others (or NULL). */
static int edit(
    const char *path, const char *which, const char *added, struct baro_err *err)
{
    baro_autoclose int lock = open_lock(path, err);
    if (lock < 0) {
        return lock;
    }
    baro_autofree char *text = NULL;
    int rc = read_file(path, &text, err);
    if (rc != 0) {
        return rc;
    }
    size_t max_bytes = strlen(text) + MAX_LINE_BYTES + 2;
    baro_autofree char *out = baro_xcalloc(max_bytes, 1);
    size_t n_bytes = 0;
    int n_removed = 0;
    char *rest = text;
    char *line;
    while (rest != NULL && (line = next_line(&rest)) != NULL) {
        struct allowed_key key = {0};
        if (parse_line(line, &key) > 0 && is_called(&key, which)) {
            n_removed++;
            continue;
        }
        n_bytes += (size_t)snprintf(out + n_bytes, max_bytes - n_bytes, "%s\n", line);
    }
    if (added != NULL) {
        n_bytes += (size_t)snprintf(out + n_bytes, max_bytes - n_bytes, "%s\n", added);
    } else if (n_removed == 0) {
        return baro_err_set(
            err, BARO_ENOENT, "no key on the list is '%.80s'; see 'baro key list'", which);
    }
    rc = replace(path, out, n_bytes, err);
    return rc != 0 ? rc : n_removed;
}

int allowed_add(const char *path, const struct allowed_key *key, struct baro_err *err)
{
    char hex[KEYS_HEX_BYTES];
    char roles[ALLOWED_ROLES_BYTES];
    char line[MAX_LINE_BYTES];
    (void)snprintf(line, sizeof line, "%s %s %s", keys_format(key->public_key, hex),
        allowed_format_roles(key->roles, roles), key->name);
    int rc = edit(path, hex, line, err);
    return rc < 0 ? rc : 0;
}

int allowed_remove(const char *path, const char *which, struct baro_err *err)
{
    return edit(path, which, NULL, err);
}
