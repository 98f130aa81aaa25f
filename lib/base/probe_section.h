/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that grow up to a limit, in which texts and shapes are kept once: probe_build.c's. */
#ifndef BARO_PROBE_SECTION_H
#define BARO_PROBE_SECTION_H

#include <stddef.h>
#include <stdint.h>

/* A section of a probe: bytes that grow. Begin with {0}; free bytes. */
struct probe_section {
    uint8_t *bytes;
    size_t n;
    size_t room;
};

/* Where things begin that a section has once, by their hash. Begin with {0}; free slots. */
struct probe_seen {
    struct probe_slot {
        uint32_t place; /* plus one; 0: nothing is here */
        uint32_t hash;
    } * slots;
    size_t n_slots; /* a power of two */
    size_t n;
};

/**
 * Make room for more bytes.
 *
 * max_bytes  that the section will ever have, so that doubling does not go beyond
 * returns    0 or BARO_ENOMEM
 */
int probe_section_reserve(struct probe_section *section, size_t more, size_t max_bytes);

/** Append bytes for which room has been made. */
void probe_section_append(struct probe_section *section, const void *bytes, size_t n);

/**
 * Give the place of some bytes in a section, which has them once.
 *
 * returns  0 or BARO_ENOMEM
 */
int probe_section_once(struct probe_section *section, struct probe_seen *seen,
    const void *bytes, size_t n, size_t max_bytes, size_t *out_place);

#endif
