/* SPDX-License-Identifier: Apache-2.0 */
/* Back end: a draw list as text, one command a line in a stable form, for golden tests. */
#ifndef CLIENT_DRAW_DRAW_TEXT_H
#define CLIENT_DRAW_DRAW_TEXT_H

#include <stdio.h>

#include "client/draw/draw.h"

/**
 * Print every command: "fill 12.0 8.0 100.0 20.0 #ff14171c", strings quoted, coordinates to a
 * tenth of a pixel; arrays longer than 16 as count, ends and a checksum over tenths.
 *
 * returns  0; BARO_EIO when out refused bytes
 */
int draw_text_print(const struct draw_list *list, FILE *out);

#endif
