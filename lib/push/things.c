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
#include "lib/base/reading.h"
#include "lib/base/spin.h"
#include "lib/base/tensor.h"
#include "lib/base/text.h"
#include "proto/barograph.pb-c.h"

/*
 * A hash table that only grows: buckets are heads of lists of entries that never change but for
 * the epochs that are hung on them, so looking up takes no lock. Names are kept as 128-bit hashes of what the user gave, not as text:
 * 65,536 names of 10 kB each cost no more than short ones.
 */

enum { N_BUCKETS = 16384, HASH_DIGITS = 16 };

struct entry {
    struct thing thing;
    XXH128_hash_t key;
    struct entry *next;
    _Atomic(struct entry *) next_epoch; /* the same key with another layout */
};

struct things {
    _Atomic uint32_t lock; /* guards declaring */
    _Atomic uint32_t n_things;
    _Atomic bool is_full; /* a declaration found no room */
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

/*
 * The role is no seed: of names of 9 to 16 bytes XXH3 mixes the seed with the input by subtraction
 * and exclusive or, so that neighbouring seeds undo a bit of the name: with them the gradient of
 * "encoder.0.weight" was the weight of "encoder.1.weight".
 */
static const uint64_t role_mark = UINT64_C(0x9e3779b97f4a7c15);

static XXH128_hash_t key_of(const struct thing_wanted *wanted)
{
    XXH128_hash_t key = XXH3_128bits(wanted->name, strlen(wanted->name));
    key.high64 += role_mark * (wanted->is_tensor ? 1U + wanted->role : 0U);
    return key;
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

static uint64_t shape_of(const struct thing_wanted *wanted)
{
    if (!wanted->is_tensor || baro_role_has_batch((enum baro_role)wanted->role)) {
        return 0;
    }
    size_t n = (size_t)wanted->n_dims * sizeof *wanted->shape;
    return XXH3_64bits(wanted->shape, n) | 1;
}

bool things_is_like(const struct thing *thing, const struct thing_wanted *wanted)
{
    return thing->dtype == wanted->dtype && thing->n_units == wanted->n_units &&
           thing->unit_axis == wanted->unit_axis && thing->shape == shape_of(wanted);
}

/*
 * The epoch that fits, of a name that is known; NULL when another one is to be declared.
 *
 * out_last   the newest epoch
 */
static struct entry *find_epoch(
    struct entry *entry, const struct thing_wanted *wanted, struct entry **out_last)
{
    for (int n = 1; entry != NULL; n++) {
        struct entry *next = atomic_load_explicit(&entry->next_epoch, memory_order_acquire);
        *out_last = entry;
        if (things_is_like(&entry->thing, wanted) ||
            (next == NULL && n >= THINGS_MAX_EPOCHS)) {
            return entry;
        }
        entry = next;
    }
    return NULL;
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

/* Declare a thing; it is found from now on, behind the last epoch of its name if there is one. */
static int add(struct things *things, struct ringfile *ring, XXH128_hash_t key,
    const struct thing_wanted *wanted, struct entry *last, const struct thing **out_thing)
{
    uint32_t id = atomic_load_explicit(&things->n_things, memory_order_relaxed) + 1;
    if (id > THINGS_MAX) {
        return BARO_EFULL;
    }
    struct entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL) {
        return BARO_ENOMEM;
    }
    int rc = declare(ring, id, wanted);
    if (rc != 0) {
        free(entry);
        return rc;
    }
    entry->thing = (struct thing){.id = id,
        .is_tensor = wanted->is_tensor,
        .role = wanted->role,
        .dtype = wanted->dtype,
        .unit_axis = wanted->unit_axis,
        .n_units = wanted->n_units,
        .shape = shape_of(wanted)};
    entry->key = key;
    atomic_store_explicit(&things->by_id[id], entry, memory_order_release);
    atomic_store_explicit(&things->n_things, id, memory_order_release);
    if (last != NULL) {
        atomic_store_explicit(&last->next_epoch, entry, memory_order_release);
    } else {
        _Atomic(struct entry *) *bucket = &things->buckets[key.low64 % N_BUCKETS];
        entry->next = atomic_load_explicit(bucket, memory_order_relaxed);
        atomic_store_explicit(bucket, entry, memory_order_release);
    }
    *out_thing = &entry->thing;
    return 0;
}

static int find_or_add(struct things *things, struct ringfile *ring, XXH128_hash_t key,
    const struct thing_wanted *wanted, const struct thing **out_thing)
{
    struct entry *last = NULL;
    const struct entry *entry = find_epoch(look_up(things, key), wanted, &last);
    if (entry != NULL) {
        *out_thing = &entry->thing;
        return 0;
    }
    int rc = add(things, ring, key, wanted, last, out_thing);
    if (rc == BARO_EFULL) {
        atomic_store_explicit(&things->is_full, true, memory_order_relaxed);
    }
    return rc;
}

int things_find(struct things *things, struct ringfile *ring,
    const struct thing_wanted *wanted, const struct thing **out_thing)
{
    if (wanted->name == NULL || wanted->name[0] == '\0') {
        return BARO_EINVAL;
    }
    XXH128_hash_t key = key_of(wanted);
    struct entry *last = NULL;
    const struct entry *entry = find_epoch(look_up(things, key), wanted, &last);
    if (entry != NULL) {
        *out_thing = &entry->thing;
        return 0;
    }
    if (atomic_load_explicit(&things->is_full, memory_order_relaxed)) {
        return BARO_EFULL; /* a million names more must not hold up those that are known */
    }
    if (!baro_spin_lock(&things->lock)) {
        return BARO_EBUSY;
    }
    int rc = find_or_add(things, ring, key, wanted, out_thing);
    baro_spin_unlock(&things->lock);
    return rc;
}

uint32_t things_count(const struct things *things)
{
    return atomic_load_explicit(&things->n_things, memory_order_acquire);
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
