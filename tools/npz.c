/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/npz.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <zlib.h>

#include "lib/base/mem.h"

/*
 * A zip file, all numbers little-endian (APPNOTE.TXT 6.3.10, sections 4.3 and 4.5):
 *
 *   for each member: local header, data
 *     0 4  "PK\3\4"              18 4  compressed size      the two sizes are ff ff ff ff and an
 *     4 2  version to read: 45   22 4  size                 extra field (id 1, 16 bytes) has them
 *     6 2  flags: name is UTF-8  26 2  bytes of the name    when they do not fit
 *     8 2  method: 0, stored     28 2  bytes of extra
 *    10 4  time, date: 1980      30 .. name, extra
 *    14 4  CRC-32 of the data, put in when the data has been written
 *   directory: for each member the same again, behind "PK\1\2" and a second version, with
 *    32..45  comment, disk, attributes: 0      42 4  offset of the local header
 *   large directory end "PK\6\6" and where it lies "PK\6\7", when something does not fit
 *   directory end "PK\5\6": counts, bytes and offset of the directory
 *
 * The directory is gathered in a nameless file: there may be more members than fit memory.
 * A .npy begins with "\x93NUMPY", version 1.0, the length of its header (2 bytes) and the header,
 * a Python dictionary padded by spaces so that the data lies at a multiple of 64.
 */
enum {
    LOCAL_BYTES = 30,
    ENTRY_BYTES = 46,
    LOCAL_CRC_AT = 14,
    ZIP_VERSION = 45,
    ZIP_FLAG_UTF8 = 1 << 11,
    ZIP_DATE = 1 << 5 | 1, /* 1980-01-01: the same readings make the same file */
    LARGE_EXTRA_ID = 1,
    NPY_ALIGNMENT = 64,
    NPY_MAX_HEADER = 256,
    NAME_MAX_BYTES = 8192
};

static const uint64_t LARGE_4 = UINT32_MAX;
static const uint64_t LARGE_2 = UINT16_MAX;

static const struct {
    const char *descr;
    size_t n_bytes;
} types[NPZ_TYPE_COUNT] = {
    [NPZ_F64] = {"<f8", 8},
    [NPZ_F32] = {"<f4", 4},
    [NPZ_I64] = {"<i8", 8},
    [NPZ_U64] = {"<u8", 8},
    [NPZ_U32] = {"<u4", 4},
    [NPZ_I16] = {"<i2", 2},
    [NPZ_U8] = {"|u1", 1},
};

struct npz {
    struct out_file *out;
    uint64_t large_from_4;
    uint64_t large_from_2;
    FILE *directory;
    uint64_t n_members;
    char name[NAME_MAX_BYTES]; /* of the member at hand, with .npy */
    uint64_t offset;           /* of its local header */
    uint64_t size;
    uint64_t n_left; /* of its data */
    uint32_t crc;
};

/* ---- little-endian numbers ---- */

struct bytes {
    uint8_t data[128];
    size_t n;
};

static void put(struct bytes *bytes, uint64_t value, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bytes->data[bytes->n++] = (uint8_t)(value >> (8 * i));
    }
}

/* ---- members ---- */

struct npz *npz_create(struct out_file *out, uint64_t large_from)
{
    struct npz *npz = baro_xcalloc(1, sizeof *npz);
    npz->out = out;
    npz->large_from_4 = large_from > 0 && large_from < LARGE_4 ? large_from : LARGE_4;
    npz->large_from_2 = large_from > 0 && large_from < LARGE_2 ? large_from : LARGE_2;
    int fd = out_scratch(out);
    npz->directory = fd >= 0 ? fdopen(fd, "w+") : NULL;
    if (npz->directory == NULL) {
        if (fd >= 0) {
            (void)close(fd);
        }
        free(npz);
        return NULL;
    }
    return npz;
}

/* Append a character of a name, as %XX when it must not stand for itself. */
static size_t put_char(char *out, size_t at, char character, bool is_plain)
{
    return at + (size_t)(is_plain ? snprintf(out + at, NAME_MAX_BYTES - at, "%c", character)
                                  : snprintf(out + at, NAME_MAX_BYTES - at, "%%%02X",
                                        (unsigned char)character));
}

/* Write a name such that unpacking stays within its folder. */
static void write_name(const char *name, char out[NAME_MAX_BYTES])
{
    size_t at = 0;
    while (*name != '\0' && at + 4 + sizeof ".npy" < NAME_MAX_BYTES) {
        size_t n = strcspn(name, "/");
        bool is_up = (n == 1 || n == 2) && strspn(name, ".") >= n;
        for (size_t i = 0; i < n && at + 4 + sizeof ".npy" < NAME_MAX_BYTES; i++) {
            at = put_char(out, at, name[i], !is_up && name[i] != '\\');
        }
        name += n;
        if (*name == '/') {
            at = put_char(out, at, '/', at > 0);
            name++;
        }
    }
    (void)snprintf(out + at, NAME_MAX_BYTES - at, ".npy");
}

static bool is_large(const struct npz *npz, uint64_t value)
{
    return value >= npz->large_from_4;
}

/* What the local header and the directory say alike, from the version to the bytes of the name. */
static void put_common(const struct npz *npz, struct bytes *bytes, size_t n_extra)
{
    bool has_large = is_large(npz, npz->size);
    put(bytes, ZIP_VERSION, 2);
    put(bytes, ZIP_FLAG_UTF8, 2);
    put(bytes, 0, 2);
    put(bytes, 0, 2);
    put(bytes, ZIP_DATE, 2);
    put(bytes, npz->crc, 4);
    put(bytes, has_large ? LARGE_4 : npz->size, 4);
    put(bytes, has_large ? LARGE_4 : npz->size, 4);
    put(bytes, strlen(npz->name), 2);
    put(bytes, n_extra, 2);
}

static void put_extra(const struct npz *npz, struct bytes *bytes, bool with_offset)
{
    bool has_large = is_large(npz, npz->size);
    if (!has_large && !with_offset) {
        return;
    }
    put(bytes, LARGE_EXTRA_ID, 2);
    put(bytes, (has_large ? 16 : 0) + (with_offset ? 8 : 0), 2);
    if (has_large) {
        put(bytes, npz->size, 8);
        put(bytes, npz->size, 8);
    }
    if (with_offset) {
        put(bytes, npz->offset, 8);
    }
}

static void write_local(struct npz *npz)
{
    struct bytes bytes = {.n = 0};
    struct bytes extra = {.n = 0};
    put_extra(npz, &extra, false);
    put(&bytes, 0x04034b50, 4);
    put_common(npz, &bytes, extra.n);
    assert(bytes.n == LOCAL_BYTES);
    out_write(npz->out, bytes.data, bytes.n);
    out_write(npz->out, npz->name, strlen(npz->name));
    out_write(npz->out, extra.data, extra.n);
}

static void write_entry(struct npz *npz)
{
    struct bytes bytes = {.n = 0};
    struct bytes extra = {.n = 0};
    bool has_large = is_large(npz, npz->offset);
    put_extra(npz, &extra, has_large);
    put(&bytes, 0x02014b50, 4);
    put(&bytes, ZIP_VERSION, 2);
    put_common(npz, &bytes, extra.n);
    put(&bytes, 0, 2); /* comment */
    put(&bytes, 0, 2); /* disk */
    put(&bytes, 0, 2);
    put(&bytes, 0, 4); /* attributes */
    put(&bytes, has_large ? LARGE_4 : npz->offset, 4);
    assert(bytes.n == ENTRY_BYTES);
    (void)fwrite(bytes.data, 1, bytes.n, npz->directory);
    (void)fputs(npz->name, npz->directory);
    (void)fwrite(extra.data, 1, extra.n, npz->directory);
    if (ferror(npz->directory) != 0) {
        out_fail(npz->out, "write beside", errno);
    }
}

static size_t write_npy_header(
    char out[NPY_MAX_HEADER], enum npz_type type, unsigned n_dims, const uint64_t *shape)
{
    char dims[64] = "";
    for (unsigned i = 0; i < n_dims; i++) {
        size_t used = strlen(dims);
        (void)snprintf(dims + used, sizeof dims - used, i == 0 ? "%llu," : " %llu",
            (unsigned long long)shape[i]);
    }
    int n = snprintf(out, NPY_MAX_HEADER,
        "%cNUMPY%c%c..{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", 0x93, 1, 0,
        types[type].descr, dims);
    size_t n_bytes = ((size_t)n + NPY_ALIGNMENT) / NPY_ALIGNMENT * NPY_ALIGNMENT;
    memset(out + n, ' ', n_bytes - (size_t)n);
    out[n_bytes - 1] = '\n';
    out[8] = (char)((n_bytes - 10) & 0xff);
    out[9] = (char)((n_bytes - 10) >> 8);
    return n_bytes;
}

void npz_begin(struct npz *npz, const char *name, enum npz_type type, unsigned n_dims,
    const uint64_t *shape)
{
    char header[NPY_MAX_HEADER];
    assert(n_dims <= NPZ_MAX_DIMS);
    size_t n_header = write_npy_header(header, type, n_dims, shape);
    npz->size = types[type].n_bytes;
    for (unsigned i = 0; i < n_dims; i++) {
        npz->size *= shape[i];
    }
    npz->size += n_header;
    npz->n_left = npz->size;
    npz->crc = 0;
    npz->offset = npz->out->n_bytes;
    write_name(name, npz->name);
    write_local(npz);
    npz_data(npz, header, n_header);
}

void npz_data(struct npz *npz, const void *bytes, size_t n_bytes)
{
    assert(n_bytes <= npz->n_left);
    npz->crc = (uint32_t)crc32_z(npz->crc, bytes, n_bytes);
    npz->n_left -= n_bytes;
    out_write(npz->out, bytes, n_bytes);
}

void npz_end(struct npz *npz)
{
    struct bytes crc = {.n = 0};
    assert(npz->n_left == 0 || npz->out->err.code != 0);
    put(&crc, npz->crc, 4);
    out_patch(npz->out, npz->offset + LOCAL_CRC_AT, crc.data, crc.n);
    write_entry(npz);
    npz->n_members++;
}

/* ---- the directory ---- */

static void write_end(struct npz *npz, uint64_t offset, uint64_t n_bytes)
{
    struct bytes bytes = {.n = 0};
    uint64_t n = npz->n_members;
    uint64_t end = npz->out->n_bytes;
    bool has_large =
        is_large(npz, offset) || is_large(npz, n_bytes) || n >= npz->large_from_2;
    if (has_large) {
        put(&bytes, 0x06064b50, 4);
        put(&bytes, 44, 8);
        put(&bytes, ZIP_VERSION, 2);
        put(&bytes, ZIP_VERSION, 2);
        put(&bytes, 0, 4);
        put(&bytes, 0, 4);
        put(&bytes, n, 8);
        put(&bytes, n, 8);
        put(&bytes, n_bytes, 8);
        put(&bytes, offset, 8);
        put(&bytes, 0x07064b50, 4);
        put(&bytes, 0, 4);
        put(&bytes, end, 8);
        put(&bytes, 1, 4);
    }
    put(&bytes, 0x06054b50, 4);
    put(&bytes, 0, 2);
    put(&bytes, 0, 2);
    put(&bytes, has_large ? LARGE_2 : n, 2);
    put(&bytes, has_large ? LARGE_2 : n, 2);
    put(&bytes, has_large ? LARGE_4 : n_bytes, 4);
    put(&bytes, has_large ? LARGE_4 : offset, 4);
    put(&bytes, 0, 2);
    out_write(npz->out, bytes.data, bytes.n);
}

void npz_finish(struct npz *npz)
{
    if (npz == NULL) {
        return;
    }
    char piece[BUFSIZ];
    size_t n;
    uint64_t offset = npz->out->n_bytes;
    if (fflush(npz->directory) != 0 || fseeko(npz->directory, 0, SEEK_SET) != 0) {
        out_fail(npz->out, "write beside", errno);
    }
    while ((n = fread(piece, 1, sizeof piece, npz->directory)) > 0) {
        out_write(npz->out, piece, n);
    }
    if (ferror(npz->directory) != 0) {
        out_fail(npz->out, "read beside", errno);
    }
    write_end(npz, offset, npz->out->n_bytes - offset);
    npz_destroy(npz);
}

void npz_destroy(struct npz *npz)
{
    if (npz == NULL) {
        return;
    }
    (void)fclose(npz->directory);
    free(npz);
}
