/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/probe_section.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "lib/base/baro_types.h"

/* Open addressing, at most half full; what is compared are the bytes themselves. */

enum { FIRST_ROOM = 4096, FIRST_SLOTS = 64 };

int probe_section_reserve(struct probe_section *section, size_t more, size_t max_bytes)
{
    const size_t need = section->n + more;
    if (need <= section->room) {
        return 0;
    }
    size_t room = need * 2 < FIRST_ROOM ? FIRST_ROOM : need * 2;
    room = room > max_bytes && need <= max_bytes ? max_bytes : room;
    uint8_t *bytes = realloc(section->bytes, room);
    if (bytes == NULL) {
        return BARO_ENOMEM;
    }
    section->bytes = bytes;
    section->room = room;
    return 0;
}

void probe_section_append(struct probe_section *section, const void *bytes, size_t n)
{
    if (n > 0) {
        memcpy(section->bytes + section->n, bytes, n);
        section->n += n;
    }
}

static struct probe_slot *find_slot(const struct probe_seen *seen,
    const struct probe_section *section, uint32_t hash, const void *bytes, size_t n)
{
    size_t i = hash & (seen->n_slots - 1);
    while (seen->slots[i].place != 0) {
        const size_t at = seen->slots[i].place - 1;
        if (seen->slots[i].hash == hash && at + n <= section->n &&
            memcmp(section->bytes + at, bytes, n) == 0) {
            break;
        }
        i = (i + 1) & (seen->n_slots - 1);
    }
    return &seen->slots[i];
}

static int grow(struct probe_seen *seen)
{
    const size_t n_slots = seen->n_slots > 0 ? seen->n_slots * 2 : FIRST_SLOTS;
    struct probe_slot *slots = calloc(n_slots, sizeof *slots);
    if (slots == NULL) {
        return BARO_ENOMEM;
    }
    for (size_t k = 0; k < seen->n_slots; k++) {
        size_t i = seen->slots[k].hash & (n_slots - 1);
        while (seen->slots[k].place != 0 && slots[i].place != 0) {
            i = (i + 1) & (n_slots - 1);
        }
        if (seen->slots[k].place != 0) {
            slots[i] = seen->slots[k];
        }
    }
    free(seen->slots);
    seen->slots = slots;
    seen->n_slots = n_slots;
    return 0;
}

int probe_section_once(struct probe_section *section, struct probe_seen *seen,
    const void *bytes, size_t n, size_t max_bytes, size_t *out_place)
{
    if (2 * (seen->n + 1) > seen->n_slots && grow(seen) != 0) {
        return BARO_ENOMEM;
    }
    const uint32_t hash = (uint32_t)XXH3_64bits(bytes, n);
    struct probe_slot *slot = find_slot(seen, section, hash, bytes, n);
    if (slot->place == 0) {
        if (probe_section_reserve(section, n, max_bytes) != 0) {
            return BARO_ENOMEM;
        }
        *slot = (struct probe_slot){(uint32_t)section->n + 1, hash};
        seen->n++;
        probe_section_append(section, bytes, n);
    }
    *out_place = slot->place - 1;
    return 0;
}
