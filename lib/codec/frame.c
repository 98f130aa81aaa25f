/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/codec/frame.h"

#include <stdlib.h>

#include <zstd.h>

#include "lib/base/mem.h"

/*
 * One zstd frame at level -3: measured on scalar rows of 48 bytes it leaves 10.7 bytes at
 * 680 MB/s; level 1 leaves 9.3 at 170 MB/s, and columns before rows gain nothing at this level.
 * Noise (unit statistics) does not shrink and is passed at 2.8 GB/s.
 */

enum { ZSTD_LEVEL = -3 };

struct frame_codec {
    ZSTD_CCtx *compress;
    ZSTD_DCtx *decompress;
    uint8_t *bytes;
    size_t room;
};

struct frame_codec *frame_codec_create(void)
{
    return baro_xcalloc(1, sizeof(struct frame_codec));
}

void frame_codec_destroy(struct frame_codec *codec)
{
    if (codec == NULL) {
        return;
    }
    (void)ZSTD_freeCCtx(codec->compress);
    (void)ZSTD_freeDCtx(codec->decompress);
    free(codec->bytes);
    free(codec);
}

static uint8_t *need(struct frame_codec *codec, size_t n)
{
    if (n > codec->room) {
        free(codec->bytes);
        codec->bytes = baro_xrealloc(NULL, n, 1);
        codec->room = n;
    }
    return codec->bytes;
}

size_t frame_pack(struct frame_codec *codec, const uint8_t *bytes, size_t n, size_t head,
    uint8_t **out_bytes)
{
    size_t bound = ZSTD_compressBound(n);
    if (codec->compress == NULL && (codec->compress = ZSTD_createCCtx()) == NULL) {
        return 0;
    }
    uint8_t *out = need(codec, head + bound);
    size_t got =
        ZSTD_compressCCtx(codec->compress, out + head, bound, bytes, n, ZSTD_LEVEL);
    *out_bytes = out;
    return ZSTD_isError(got) || got >= n ? 0 : got;
}

int frame_unpack(struct frame_codec *codec, const uint8_t *bytes, size_t n, size_t n_raw,
    const uint8_t **out_raw)
{
    if (codec->decompress == NULL && (codec->decompress = ZSTD_createDCtx()) == NULL) {
        return BARO_ECORRUPT;
    }
    uint8_t *out = need(codec, n_raw > 0 ? n_raw : 1);
    size_t got = ZSTD_decompressDCtx(codec->decompress, out, n_raw, bytes, n);
    *out_raw = out;
    return ZSTD_isError(got) || got != n_raw ? BARO_ECORRUPT : 0;
}
