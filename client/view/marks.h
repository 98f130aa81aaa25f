/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Marks: the units that a person has brushed. They belong to a layer, not to a chart: unit 17 of
 * a layer's weights is unit 17 of its gradients, activations and updates.
 */
#ifndef CLIENT_VIEW_MARKS_H
#define CLIENT_VIEW_MARKS_H

#include "client/model/model.h"

/* Zero: none. */
struct marks {
    uint32_t thing;   /* where they were brushed */
    uint32_t n_units; /* of it */
    size_t n;         /* marked */
    bool
        is_guess; /* units were marked with the one that stands for them, not by their own */
    uint64_t *bits;
};

/** Begin anew for a tensor: none is marked. */
void marks_begin(struct marks *marks, const struct model_thing *thing);

/** Take all marks away and free them. */
void marks_clear(struct marks *marks);

/** Mark a unit; one beyond the tensor's is ignored. */
void marks_add(struct marks *marks, uint32_t unit);

/** Whether a unit is marked. */
bool marks_has(const struct marks *marks, uint32_t unit);

/** Give at most most of the marked units, evenly chosen, rising; returns how many. */
size_t marks_pick(const struct marks *marks, uint32_t *out, size_t most);

/** Whether two tensors belong to one layer, so that their units are the same. */
bool layer_is_same(const struct model_thing *a, const struct model_thing *b);

/** Find the tensor of a role in the layer of another one; NULL if there is none. */
const struct model_thing *layer_find(
    const struct model *model, const struct model_thing *of, enum baro_role role);

/** The marks as they hold for a tensor; NULL when there are none or they belong elsewhere. */
const struct marks *marks_of(
    const struct marks *marks, const struct model *model, const struct model_thing *thing);

#endif
