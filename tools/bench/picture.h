/* SPDX-License-Identifier: Apache-2.0 */
/* Small pictures of charts for the documentation, written by benches. */
#ifndef BARO_PICTURE_H
#define BARO_PICTURE_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/baro_types.h"

/* Pixels by number of colour, row by row; white (0) at first. */
struct picture {
    size_t width, height;
    uint8_t *pixels;
};

/* A colour. */
struct picture_colour {
    uint8_t r, g, b;
};

/** Make a white picture; ends the process without memory. */
void picture_init(struct picture *picture, size_t width, size_t height);

/** Free what a picture holds. */
void picture_finish(struct picture *picture);

/**
 * Write a PNG file with a palette.
 *
 * colours  256
 * returns  0 or BARO_EIO
 */
int picture_save(const struct picture *picture, const struct picture_colour *colours,
    const char *path, struct baro_err *err);

#endif
