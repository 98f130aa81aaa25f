/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/push/things.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/spin.h"
#include "lib/base/text.h"
#include "proto/barograph.pb-c.h"
#include "proto/reading.h"

/*
 * A hash table that only grows: buckets are heads of lists of entries that never change, so
 * looking up takes no lock. Names are kept as 128-bit hashes of what the user gave, not as text:
 * 65,536 names of 10 kB each cost no more than short ones.
 */

enum { N_BUCKETS = 16384, HASH_DIGITS = 16 };

struct entry {
    struct thing thing;
    XXH128_hash_t key;
    struct entry *next;
};

struct things {
    _Atomic uint32_t lock; /* guards declaring */
    _Atomic uint32_t n_things;
    _Atomic(struct entry *) buckets[N_BUCKETS];
    _Atomic(struct entry *) by_id[THINGS_MAX + 1];
};

struct things *things_create(void)
{
    return calloc(1, sizeof(struct things)); /* untouched pages cost nothing */
}

void things_destroy(struct things *things)
{
    if (things == NULL) {
        return;
    }
    uint32_t n = atomic_load_explicit(&things->n_things, memory_order_acquire);
    for (uint32_t id = 1; id <= n; id++) {
        free(atomic_load_explicit(&things->by_id[id], memory_order_relaxed));
    }
    free(things);
}

void things_clean_name(char *out, const char *name)
{
    size_t n = strlen(name);
    baro_text_safe(out, READING_MAX_NAME_BYTES + 1, name);
    if (n <= READING_MAX_NAME_BYTES) {
        return;
    }
    size_t keep =
        baro_utf8_prefix(out, strlen(out), READING_MAX_NAME_BYTES - HASH_DIGITS - 1);
    (void)snprintf(
        out + keep, HASH_DIGITS + 2, "~%016llx", (unsigned long long)XXH3_64bits(name, n));
}

static XXH128_hash_t key_of(const struct thing_wanted *wanted)
{
    XXH64_hash_t seed = wanted->is_tensor ? 1U + wanted->role : 0U;
    return XXH3_128bits_withSeed(wanted->name, strlen(wanted->name), seed);
}

static struct entry *look_up(struct things *things, XXH128_hash_t key)
{
    struct entry *entry =
        atomic_load_explicit(&things->buckets[key.low64 % N_BUCKETS], memory_order_acquire);
    while (entry != NULL && !XXH128_isEqual(entry->key, key)) {
        entry = entry->next;
    }
    return entry;
}

/* Write the declaration into the ring, where it stays for good. */
static int declare(struct ringfile *ring, uint32_t id, const struct thing_wanted *wanted)
{
    char name[READING_MAX_NAME_BYTES + 1];
    things_clean_name(name, wanted->name);
    int64_t shape[BARO_MAX_DIMS] = {0};
    Baro__Declare message;
    baro__declare__init(&message);
    message.id = id;
    message.is_tensor = wanted->is_tensor;
    message.name = name;
    message.role = wanted->role;
    message.dtype = wanted->dtype;
    message.unit_axis = wanted->unit_axis;
    message.n_units = wanted->n_units;
    message.n_shape = (size_t)wanted->n_dims;
    message.shape = shape;
    for (int d = 0; d < wanted->n_dims; d++) {
        shape[d] = wanted->shape[d];
    }
    uint8_t packed[READING_MAX_NAME_BYTES + 256];
    if (baro__declare__get_packed_size(&message) > sizeof packed) {
        return BARO_ELIMIT;
    }
    const struct ringfile_part part = {packed, baro__declare__pack(&message, packed)};
    const struct record_header header = {
        .kind = READING_DECLARE, .thing = id, .time_ns = baro_wall_ns()};
    return ringfile_put_sticky(ring, &header, &part, 1);
}

static int add(struct things *things, struct ringfile *ring, XXH128_hash_t key,
    const struct thing_wanted *wanted, const struct thing **out_thing)
{
    uint32_t id = atomic_load_explicit(&things->n_things, memory_order_relaxed) + 1;
    if (id > THINGS_MAX) {
        return BARO_EFULL;
    }
    struct entry *entry = malloc(sizeof *entry);
    if (entry == NULL) {
        return BARO_ENOMEM;
    }
    int rc = declare(ring, id, wanted);
    if (rc != 0) {
        free(entry);
        return rc;
    }
    _Atomic(struct entry *) *bucket = &things->buckets[key.low64 % N_BUCKETS];
    *entry = (struct entry){
        .thing = {.id = id,
            .is_tensor = wanted->is_tensor,
            .role = wanted->role,
            .unit_axis = wanted->unit_axis,
            .n_units = wanted->n_units},
        .key = key,
        .next = atomic_load_explicit(bucket, memory_order_relaxed),
    };
    atomic_store_explicit(&things->by_id[id], entry, memory_order_release);
    atomic_store_explicit(&things->n_things, id, memory_order_release);
    atomic_store_explicit(bucket, entry, memory_order_release);
    *out_thing = &entry->thing;
    return 0;
}

int things_find(struct things *things, struct ringfile *ring,
    const struct thing_wanted *wanted, const struct thing **out_thing)
{
    if (wanted->name == NULL || wanted->name[0] == '\0') {
        return BARO_EINVAL;
    }
    XXH128_hash_t key = key_of(wanted);
    const struct entry *entry = look_up(things, key);
    if (entry != NULL) {
        *out_thing = &entry->thing;
        return 0;
    }
    if (!baro_spin_lock(&things->lock)) {
        return BARO_EBUSY;
    }
    int rc = 0;
    entry = look_up(things, key);
    if (entry != NULL) {
        *out_thing = &entry->thing;
    } else {
        rc = add(things, ring, key, wanted, out_thing);
    }
    baro_spin_unlock(&things->lock);
    return rc;
}

const struct thing *things_get(const struct things *things, uint64_t id)
{
    if (id == 0 || id > THINGS_MAX) {
        return NULL;
    }
    const struct entry *entry =
        atomic_load_explicit(&things->by_id[id], memory_order_acquire);
    return entry != NULL ? &entry->thing : NULL;
}
