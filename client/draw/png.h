/* SPDX-License-Identifier: Apache-2.0 */
/* Pixels to a PNG file. The only place that includes libpng. */
#ifndef CLIENT_DRAW_PNG_H
#define CLIENT_DRAW_PNG_H

#include <stdint.h>

#include "lib/base/err.h"

/**
 * Write a picture, atomically: a temporary file beside it, then a rename.
 *
 * pixels   ARGB8888 in native order, w * h, alpha ignored (RGB is written)
 * returns  0; BARO_EIO with the reason; an existing file stays as it was
 * cost     20 to 30 ms for 1600 x 900
 */
int png_save(const char *path, const uint32_t *pixels, int w, int h, struct baro_err *err);

#endif
