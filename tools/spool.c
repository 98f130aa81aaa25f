/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/spool.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/mem.h"

enum { SPOOL_BLOCK_BYTES = 1 << 20, SPOOL_MAX_BLOCK_ROWS = 8192 };

void spool_init(struct spool *spool, struct out_file *out)
{
    *spool = (struct spool){.out = out, .fd = -1};
}

void spool_reset(struct spool *spool, const size_t *lanes, size_t n_lanes)
{
    assert(n_lanes <= SPOOL_MAX_LANES);
    size_t row_bytes = 0;
    for (size_t i = 0; i < n_lanes; i++) {
        spool->lanes[i] = lanes[i];
        row_bytes += lanes[i];
    }
    assert(row_bytes > 0);
    size_t n_rows = SPOOL_BLOCK_BYTES / row_bytes;
    n_rows = n_rows < SPOOL_MAX_BLOCK_ROWS ? n_rows : SPOOL_MAX_BLOCK_ROWS;
    n_rows = n_rows > 8 ? n_rows / 8 * 8 : 1; /* lanes then begin at multiples of 8 */
    spool->n_lanes = n_lanes;
    spool->block_rows = n_rows;
    spool->block_bytes = 0;
    for (size_t i = 0; i < n_lanes; i++) {
        spool->offsets[i] = spool->block_bytes;
        spool->block_bytes += n_rows * lanes[i];
    }
    if (spool->block_bytes > spool->room) {
        spool->room = spool->block_bytes;
        spool->block = baro_xrealloc(spool->block, spool->room, 1);
    }
    if (spool->fd >= 0 && spool->n > spool->n_in && ftruncate(spool->fd, 0) != 0) {
        out_fail(spool->out, "write beside", errno);
    }
    spool->n_in = 0;
    spool->n = 0;
}

void *spool_place(struct spool *spool, size_t lane)
{
    return spool->block + spool->offsets[lane] + spool->n_in * spool->lanes[lane];
}

/* Write or read n bytes at an offset; false when that fails. */
static bool transfer(
    struct spool *spool, bool is_write, uint8_t *bytes, size_t n_bytes, uint64_t offset)
{
    while (n_bytes > 0) {
        ssize_t n = is_write ? pwrite(spool->fd, bytes, n_bytes, (off_t)offset)
                             : pread(spool->fd, bytes, n_bytes, (off_t)offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            out_fail(
                spool->out, is_write ? "write beside" : "read beside", n < 0 ? errno : EIO);
            return false;
        }
        bytes += n;
        n_bytes -= (size_t)n;
        offset += (uint64_t)n;
    }
    return true;
}

static void put_block(struct spool *spool)
{
    if (spool->fd < 0 && spool->out->err.code == 0) {
        spool->fd = out_scratch(spool->out);
    }
    if (spool->fd >= 0 && spool->out->err.code == 0) {
        uint64_t n_before = (spool->n - spool->n_in) / spool->block_rows;
        (void)transfer(
            spool, true, spool->block, spool->block_bytes, n_before * spool->block_bytes);
    }
    spool->n_in = 0;
}

void spool_add(struct spool *spool)
{
    spool->n_in++;
    spool->n++;
    if (spool->n_in == spool->block_rows) {
        put_block(spool);
    }
}

void spool_each(struct spool *spool, size_t lane, spool_fn fn, void *payload)
{
    uint64_t n_blocks = (spool->n - spool->n_in) / spool->block_rows;
    size_t n_bytes = spool->block_rows * spool->lanes[lane];
    baro_autofree uint8_t *piece = n_blocks > 0 ? baro_xcalloc(n_bytes, 1) : NULL;
    for (uint64_t i = 0; i < n_blocks && spool->out->err.code == 0; i++) {
        if (transfer(spool, false, piece, n_bytes,
                i * spool->block_bytes + spool->offsets[lane])) {
            fn(piece, n_bytes, payload);
        }
    }
    if (spool->n_in > 0 && spool->out->err.code == 0) {
        fn(spool->block + spool->offsets[lane], spool->n_in * spool->lanes[lane], payload);
    }
}

void spool_finish(struct spool *spool)
{
    if (spool->fd >= 0) {
        (void)close(spool->fd);
    }
    free(spool->block);
    *spool = (struct spool){.fd = -1};
}
