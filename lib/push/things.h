/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The named things of a run: scalars and tensors, their ids, and their declaration in the ring. A
 * tensor that comes with another type, shape or number of units is another thing of the same name
 * and role, an epoch of it.
 */
#ifndef BARO_THINGS_H
#define BARO_THINGS_H

#include <stdbool.h>

#include "lib/base/ringfile.h"

enum { THINGS_MAX = 65536, THINGS_MAX_EPOCHS = 8 /* of one name and role */ };

struct things;

/* One declared thing; never changes and lives as long as the table. */
struct thing {
    uint32_t id; /* from 1 */
    bool is_tensor;
    uint8_t role;     /* enum baro_role; 0 for scalars */
    uint8_t dtype;    /* enum baro_dtype; 0 for scalars */
    int unit_axis;    /* BARO_NO_UNITS: none */
    uint32_t n_units; /* 0: none */
    uint64_t shape;   /* a hash; 0 for roles whose shape may vary */
};

/* What to look up, and to declare when it is not there. */
struct thing_wanted {
    const char *name; /* as the user gave it; cleaned and shortened for the declaration */
    bool is_tensor;
    uint8_t role;
    uint8_t dtype;
    int unit_axis;
    uint32_t n_units;
    int n_dims;
    const int64_t *shape;
};

/** Make a table; NULL without memory. */
struct things *things_create(void);

/** Free a table; accepts NULL. */
void things_destroy(struct things *things);

/**
 * Give the thing of that name, role and layout, declaring it in the ring when it is new. Of a
 * name that had THINGS_MAX_EPOCHS layouts already the last one is given, whatever fits.
 *
 * out_thing  borrowed from the table
 * returns  0; BARO_EINVAL for a name that is NULL or empty; BARO_EFULL when the table or the
 *          ring's sticky area is full, from then on for every new name; BARO_EBUSY when other threads held the table for long;
 *          BARO_ENOMEM
 * thread   any
 * cost     two hashes of the name when it is known; no lock
 */
int things_find(struct things *things, struct ringfile *ring,
    const struct thing_wanted *wanted, const struct thing **out_thing);

/** Tell whether a thing has the type, shape and units that are wanted. */
bool things_is_like(const struct thing *thing, const struct thing_wanted *wanted);

/** Tell how many things there are. Any thread. */
uint32_t things_count(const struct things *things);

/** Give the thing with an id; NULL when there is none. Any thread. */
const struct thing *things_get(const struct things *things, uint64_t id);

/**
 * Copy a name as it is declared: invalid UTF-8 and control characters become '?'; over
 * READING_MAX_NAME_BYTES it is cut and ends in "~" and 16 digits of a hash of the whole.
 *
 * out      READING_MAX_NAME_BYTES + 1 bytes
 */
void things_clean_name(char *out, const char *name);

#endif
