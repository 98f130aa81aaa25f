/* SPDX-License-Identifier: Apache-2.0 */
#include "client/view/marks.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

void marks_clear(struct marks *marks)
{
    free(marks->bits);
    *marks = (struct marks){0};
}

void marks_begin(struct marks *marks, const struct model_thing *thing)
{
    marks_clear(marks);
    marks->thing = thing->thing;
    marks->n_units = thing->n_units;
    marks->bits = baro_xcalloc(thing->n_units / 64 + 1, sizeof *marks->bits);
}

void marks_add(struct marks *marks, uint32_t unit)
{
    if (unit < marks->n_units && !marks_has(marks, unit)) {
        marks->bits[unit / 64] |= UINT64_C(1) << (unit % 64);
        marks->n++;
    }
}

bool marks_has(const struct marks *marks, uint32_t unit)
{
    return unit < marks->n_units && (marks->bits[unit / 64] >> (unit % 64) & 1) != 0;
}

size_t marks_pick(const struct marks *marks, uint32_t *out, size_t most)
{
    size_t n = 0;
    size_t seen = 0;
    for (uint32_t unit = 0; unit < marks->n_units && most > 0; unit++) {
        if (!marks_has(marks, unit)) {
            continue;
        }
        bool is_due =
            marks->n <= most || seen * most / marks->n != (seen + 1) * most / marks->n;
        if (is_due && n < most) {
            out[n++] = unit;
        }
        seen++;
    }
    return n;
}

/* Length of a tensor's name without what its module calls it: "fc1.weight" is of "fc1". */
static size_t layer_bytes(const char *name)
{
    static const char parameter[] = ".weight";
    size_t n = strlen(name);
    size_t end = sizeof parameter - 1;
    return n > end && strcmp(name + n - end, parameter) == 0 ? n - end : n;
}

bool layer_is_same(const struct model_thing *a, const struct model_thing *b)
{
    size_t n = layer_bytes(a->name);
    return a->is_tensor && b->is_tensor && a->n_units == b->n_units && a->rank == b->rank &&
           n == layer_bytes(b->name) && memcmp(a->name, b->name, n) == 0;
}

const struct model_thing *layer_find(
    const struct model *model, const struct model_thing *of, enum baro_role role)
{
    const struct model_thing *same = model_tensor_of_rank(model, of->name, role, of->rank);
    for (size_t i = 0; i < model->things->n && same == NULL && of->n_units > 0; i++) {
        const struct model_thing *thing = &model->things->at[i];
        same = thing->role == role && layer_is_same(thing, of) ? thing : NULL;
    }
    return same;
}

const struct marks *marks_of(
    const struct marks *marks, const struct model *model, const struct model_thing *thing)
{
    const struct model_thing *where =
        marks->n > 0 ? model_thing_find(model, marks->thing) : NULL;
    return where != NULL && where->n_units == marks->n_units && layer_is_same(where, thing)
               ? marks
               : NULL;
}
