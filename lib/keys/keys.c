/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/keys/keys.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zmq.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/paths.h"

/*
 * A key file is text, "word = value" a line, # begins a comment. Keys are hexadecimal and not in
 * ZeroMQ's own Z85, which has characters that shells take for theirs.
 */

static const char server_file[] = "server.key";
enum { MAX_LINE_BYTES = 256, Z85_BYTES = 41 };

/* ---- words and keys ---- */

bool keys_is_name(const char *name)
{
    size_t n = strnlen(name, KEYS_NAME_BYTES);
    for (size_t i = 0; i < n; i++) {
        if (isalnum((unsigned char)name[i]) == 0 && strchr("._-@+", name[i]) == NULL) {
            return false;
        }
    }
    return n > 0 && n < KEYS_NAME_BYTES;
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool keys_parse(const char *text, uint8_t out_key[KEYS_BYTES])
{
    if (strnlen(text, KEYS_HEX_BYTES) != KEYS_HEX_BYTES - 1) {
        return false;
    }
    for (size_t i = 0; i < KEYS_BYTES; i++) {
        int high = digit_of(text[2 * i]);
        int low = digit_of(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        out_key[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

char *keys_format(const uint8_t key[KEYS_BYTES], char out[KEYS_HEX_BYTES])
{
    for (size_t i = 0; i < KEYS_BYTES; i++) {
        (void)snprintf(out + 2 * i, 3, "%02x", (unsigned)key[i]);
    }
    return out;
}

int keys_make(struct keys_pair *out_pair, const char *name, struct baro_err *err)
{
    char public_text[Z85_BYTES];
    char secret_text[Z85_BYTES];
    *out_pair = (struct keys_pair){0};
    if (zmq_curve_keypair(public_text, secret_text) != 0) {
        return baro_err_set(err, BARO_EUNSUPPORTED,
            "no key can be made: this ZeroMQ was built without CURVE");
    }
    (void)snprintf(out_pair->name, sizeof out_pair->name, "%s", name);
    (void)zmq_z85_decode(out_pair->public_key, public_text);
    (void)zmq_z85_decode(out_pair->secret_key, secret_text);
    explicit_bzero(secret_text, sizeof secret_text);
    return 0;
}

void keys_forget(struct keys_pair *pair)
{
    explicit_bzero(pair, sizeof *pair);
}

/* ---- files ---- */

static int code_of(int system_code)
{
    switch (system_code) {
    case EEXIST: return BARO_EEXIST;
    case ENOENT:
    case ENOTDIR: return BARO_ENOENT;
    case EACCES:
    case EPERM:
    case EROFS: return BARO_EACCES;
    case ENOSPC:
    case EDQUOT: return BARO_EFULL;
    default: return BARO_EIO;
    }
}

static int write_text(int fd, const struct keys_pair *pair)
{
    char hex[KEYS_HEX_BYTES];
    int rc = dprintf(fd,
        "# A key of Barograph; whoever reads this file can use it. See baro-key(5).\n"
        "name = %s\npublic = %s\n",
        pair->name, keys_format(pair->public_key, hex));
    rc = rc < 0 ? rc : dprintf(fd, "secret = %s\n", keys_format(pair->secret_key, hex));
    if (rc >= 0 && pair->has_server) {
        rc = dprintf(fd, "server = %s\n", keys_format(pair->server_key, hex));
    }
    explicit_bzero(hex, sizeof hex);
    return rc < 0 || fsync(fd) != 0 ? -1 : 0;
}

int keys_write(const char *path, const struct keys_pair *pair, struct baro_err *err)
{
    baro_autoclose int fd =
        open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST) {
        return baro_err_set(err, BARO_EEXIST,
            "'%.140s' is there already; a key is never written over", path);
    }
    if (fd < 0) {
        return baro_err_set(
            err, code_of(errno), "cannot make '%.120s': %s", path, strerror(errno));
    }
    if (write_text(fd, pair) != 0) {
        int number = errno;
        (void)unlink(path);
        return baro_err_set(
            err, code_of(number), "cannot write '%.120s': %s", path, strerror(number));
    }
    return 0;
}

/* Cut the space around a word; the word is in place. */
static char *trim(char *text)
{
    text += strspn(text, " \t\r\n");
    size_t n = strlen(text);
    while (n > 0 && strchr(" \t\r\n", text[n - 1]) != NULL) {
        text[--n] = '\0';
    }
    return text;
}

/* Take one line; what a later version may have added is passed over. */
static bool take_line(struct keys_pair *pair, char *line, unsigned *found)
{
    char *text = trim(line);
    if (*text == '\0' || *text == '#') {
        return true;
    }
    char *value = strchr(text, '=');
    if (value == NULL) {
        return false;
    }
    *value++ = '\0';
    text = trim(text);
    value = trim(value);
    if (strcmp(text, "name") == 0) {
        (void)snprintf(pair->name, sizeof pair->name, "%s", value);
        return keys_is_name(value);
    }
    if (strcmp(text, "public") == 0) {
        *found |= 1;
        return keys_parse(value, pair->public_key);
    }
    if (strcmp(text, "secret") == 0) {
        *found |= 2;
        return keys_parse(value, pair->secret_key);
    }
    if (strcmp(text, "server") == 0) {
        pair->has_server = true;
        return keys_parse(value, pair->server_key);
    }
    return true;
}

static int read_lines(
    FILE *file, const char *path, struct keys_pair *pair, struct baro_err *err)
{
    char line[MAX_LINE_BYTES];
    unsigned found = 0;
    int rc = 0;
    for (int n = 1; rc == 0 && fgets(line, sizeof line, file) != NULL; n++) {
        if (strlen(line) + 1 == sizeof line || !take_line(pair, line, &found)) {
            rc = baro_err_set(err, BARO_ECORRUPT,
                "'%.100s', line %d: not 'WORD = VALUE' with a key of 64 hexadecimal digits",
                path, n);
        }
    }
    explicit_bzero(line, sizeof line);
    if (rc == 0 && found != 3) {
        rc = baro_err_set(err, BARO_ECORRUPT,
            "'%.100s' is no key file: it has no %s key; make one with 'baro key new'", path,
            (found & 1) == 0 ? "public" : "secret");
    }
    return rc;
}

int keys_read(const char *path, struct keys_pair *out_pair, struct baro_err *err)
{
    *out_pair = (struct keys_pair){0};
    baro_autofclose FILE *file = fopen(path, "re");
    struct stat status;
    if (file == NULL || fstat(fileno(file), &status) != 0) {
        return baro_err_set(err, code_of(errno), "cannot read the key file '%.100s': %s",
            path, strerror(errno));
    }
    if (!S_ISREG(status.st_mode)) {
        return baro_err_set(err, BARO_EINVAL, "the key file '%.100s' is no file", path);
    }
    if ((status.st_mode & 077) != 0) {
        return baro_err_set(err, BARO_EACCES,
            "others may read the key file '%.80s': take that away with chmod 600", path);
    }
    int rc = read_lines(file, path, out_pair, err);
    if (rc != 0) {
        keys_forget(out_pair);
    }
    return rc;
}

int keys_read_server(
    const char *dir, bool may_make, struct keys_pair *out_pair, struct baro_err *err)
{
    char path[BARO_PATH_BYTES];
    int n = snprintf(path, sizeof path, "%s/%s", dir, server_file);
    if (n < 0 || (size_t)n >= sizeof path) {
        return baro_err_set(err, BARO_ELIMIT, "the path of the data folder is too long");
    }
    struct baro_err read_err = {0};
    int rc = keys_read(path, out_pair, &read_err);
    if (rc != BARO_ENOENT || !may_make) {
        return rc != 0 ? baro_err_set(err, rc, "%s", read_err.text) : 0;
    }
    rc = baro_make_dir(dir, err);
    rc = rc != 0 ? rc : keys_make(out_pair, "barod", err);
    rc = rc != 0 ? rc : keys_write(path, out_pair, &read_err);
    if (rc == BARO_EEXIST) { /* somebody made it meanwhile */
        return keys_read(path, out_pair, err);
    }
    return rc != 0 && read_err.code != 0 ? baro_err_set(err, rc, "%s", read_err.text) : rc;
}
