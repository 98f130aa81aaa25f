/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/bench/picture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

/*
 * A PNG file is a signature and pieces: length, name, bytes, checksum of name and bytes. Three
 * pieces and a palette are enough: IHDR, PLTE, IDAT (each row behind a byte 0, deflated), IEND.
 */

enum { PNG_PALETTE = 3, PALETTE_SIZE = 256 };

void picture_init(struct picture *picture, size_t width, size_t height)
{
    *picture = (struct picture){width, height, baro_xcalloc(width * height, 1)};
}

void picture_finish(struct picture *picture)
{
    free(picture->pixels);
    *picture = (struct picture){0};
}

static void put_number(uint8_t *out, size_t number)
{
    for (int i = 0; i < 4; i++) {
        out[i] = (uint8_t)(number >> (24 - 8 * i));
    }
}

static void put_piece(FILE *file, const char *name, const void *bytes, size_t n)
{
    uint8_t head[8], tail[4];
    put_number(head, n);
    memcpy(head + 4, name, 4);
    uLong sum = crc32(0, head + 4, 4);
    sum = n > 0 ? crc32(sum, bytes, (uInt)n) : sum;
    put_number(tail, sum);
    (void)fwrite(head, 1, sizeof head, file);
    (void)fwrite(bytes, 1, n, file);
    (void)fwrite(tail, 1, sizeof tail, file);
}

int picture_save(const struct picture *picture, const struct picture_colour *colours,
    const char *path, struct baro_err *err)
{
    const size_t w = picture->width, h = picture->height;
    baro_autofree uint8_t *rows = baro_xcalloc(h, w + 1);
    uLongf n_packed = compressBound((uLong)(h * (w + 1)));
    baro_autofree uint8_t *packed = baro_xcalloc(n_packed, 1);
    for (size_t y = 0; y < h; y++) {
        memcpy(rows + y * (w + 1) + 1, picture->pixels + y * w, w);
    }
    uint8_t header[13] = {0};
    put_number(header, w);
    put_number(header + 4, h);
    header[8] = 8; /* bits */
    header[9] = PNG_PALETTE;
    baro_autofclose FILE *file = fopen(path, "wb");
    if (file == NULL || compress2(packed, &n_packed, rows, (uLong)(h * (w + 1)),
                            Z_BEST_COMPRESSION) != Z_OK) {
        return baro_err_set(err, BARO_EIO, "cannot write '%s'", path);
    }
    (void)fwrite("\x89PNG\r\n\x1a\n", 1, 8, file);
    put_piece(file, "IHDR", header, sizeof header);
    put_piece(file, "PLTE", colours, PALETTE_SIZE * sizeof *colours);
    put_piece(file, "IDAT", packed, n_packed);
    put_piece(file, "IEND", "", 0);
    return fflush(file) == 0 && ferror(file) == 0
               ? 0
               : baro_err_set(err, BARO_EIO, "cannot write '%s'", path);
}
