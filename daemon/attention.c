/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/attention.h"

#include <string.h>

#include "lib/base/mem.h"

enum {
    MAX_IDS = 256, /* of one message; a module with more is measured in part */
    STEPS = 100,   /* a module is looked at for so long */
    ALL_STEPS = 10 /* everything */
};

struct attention {
    uint32_t ids[MAX_IDS]; /* of the stream's own declarations, each once */
    size_t n_ids;
    bool is_all;
};

/* How much of a tensor's name is its module: as lib/alarm tells it. */
static size_t module_length(const Baro__Declare *declare)
{
    bool is_of_module = declare->role == BARO_ACT || declare->role == BARO_ACT_GRAD ||
                        declare->role == BARO_INPUT;
    const char *dot = strrchr(declare->name, '.');
    if (is_of_module) {
        return strlen(declare->name);
    }
    return dot != NULL ? (size_t)(dot - declare->name) : 0;
}

static void add(struct attention *attention, uint32_t id)
{
    for (size_t i = 0; i < attention->n_ids; i++) {
        if (attention->ids[i] == id) {
            return;
        }
    }
    if (attention->n_ids < MAX_IDS) {
        attention->ids[attention->n_ids++] = id;
    }
}

void attention_on_alert(struct stream *stream, const struct thing *thing)
{
    if (stream->attention == NULL) {
        stream->attention = baro_xcalloc(1, sizeof *stream->attention);
    }
    if (!thing->declare->is_tensor) {
        stream->attention->is_all = true;
        return;
    }
    size_t n = module_length(thing->declare);
    for (uint32_t id = 1; id < stream->map_size; id++) {
        const struct thing *other = stream->map[id];
        bool is_like = other != NULL && other->declare->is_tensor &&
                       (other == thing ||
                           (module_length(other->declare) == n &&
                               memcmp(other->declare->name, thing->declare->name, n) == 0));
        if (is_like) {
            add(stream->attention, id);
        }
    }
}

bool attention_is_waiting(const struct stream *stream)
{
    return stream->attention != NULL;
}

struct attention *attention_take(struct stream *stream, Baro__Ack *ack)
{
    struct attention *attention = BARO_TAKE(stream->attention);
    if (attention == NULL) {
        return NULL;
    }
    if (attention->n_ids > 0) {
        ack->n_attention = attention->n_ids;
        ack->attention = attention->ids;
        ack->attention_steps = STEPS;
    }
    ack->everything_steps = attention->is_all ? ALL_STEPS : 0;
    return attention;
}
