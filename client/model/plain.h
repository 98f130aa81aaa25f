/* SPDX-License-Identifier: Apache-2.0 */
/* Sentences of the daemon with their numbers as people write them. */
#ifndef CLIENT_MODEL_PLAIN_H
#define CLIENT_MODEL_PLAIN_H

#include <stddef.h>

/**
 * Write "step 26488" as "step 26,488", "8.18e+03" as "8,180" and "1.2e+24" as "1.2e24"; all other
 * words, names among them, stay as they are.
 *
 * out_bytes  what does not fit is left out, in whole characters
 * returns    out
 */
char *plain_sentence(const char *text, char *out, size_t out_bytes);

#endif
