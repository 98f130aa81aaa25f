/* SPDX-License-Identifier: Apache-2.0 */
#include "client/model/texts.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

/* Open addressing, at most half full, sizes are powers of two. */
struct texts {
    char **slots;
    size_t n, n_slots;
};

/* FNV-1a */
static uint64_t hash_of(const char *text)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (const char *c = text; *c != '\0'; c++) {
        hash = (hash ^ (uint8_t)*c) * UINT64_C(1099511628211);
    }
    return hash;
}

static char **slot_of(char **slots, size_t n_slots, const char *text)
{
    size_t i = (size_t)hash_of(text) & (n_slots - 1);
    while (slots[i] != NULL && strcmp(slots[i], text) != 0) {
        i = (i + 1) & (n_slots - 1);
    }
    return &slots[i];
}

struct texts *texts_create(void)
{
    struct texts *texts = baro_xcalloc(1, sizeof *texts);
    texts->n_slots = 256;
    texts->slots = baro_xcalloc(texts->n_slots, sizeof *texts->slots);
    return texts;
}

void texts_destroy(struct texts *texts)
{
    if (texts == NULL) {
        return;
    }
    for (size_t i = 0; i < texts->n_slots; i++) {
        free(texts->slots[i]);
    }
    free(texts->slots);
    free(texts);
}

static void grow(struct texts *texts)
{
    size_t n_slots = texts->n_slots * 2;
    char **slots = baro_xcalloc(n_slots, sizeof *slots);
    for (size_t i = 0; i < texts->n_slots; i++) {
        if (texts->slots[i] != NULL) {
            *slot_of(slots, n_slots, texts->slots[i]) = texts->slots[i];
        }
    }
    free(texts->slots);
    texts->slots = slots;
    texts->n_slots = n_slots;
}

const char *texts_keep(struct texts *texts, const char *text)
{
    if (text == NULL || text[0] == '\0') {
        return "";
    }
    char **slot = slot_of(texts->slots, texts->n_slots, text);
    if (*slot == NULL) {
        *slot = baro_xstrdup(text);
        texts->n++;
        char *kept = *slot;
        if (texts->n * 2 > texts->n_slots) {
            grow(texts);
        }
        return kept;
    }
    return *slot;
}
