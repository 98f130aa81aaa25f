/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/rule_parts.h"

/* Whether an input has that name, or is a part of one that has ("disc.0"). */
static bool has_input(const struct rule_context *context, const char *name, size_t length)
{
    unsigned n_missing = 0;
    for (uint32_t id = 1; n_missing < RULE_MAX_GAP; id++) {
        const struct judge_thing *thing = rule_thing(context, id);
        n_missing = thing == NULL ? n_missing + 1 : 0;
        if (thing != NULL && thing->is_tensor && thing->role == BARO_INPUT &&
            strncmp(thing->name, name, length) == 0 &&
            (thing->name[length] == '\0' || thing->name[length] == '.')) {
            return true;
        }
    }
    return false;
}

size_t rule_model_length(const struct rule_context *context, const char *name)
{
    size_t length = strcspn(name, ".");
    return name[length] == '.' && has_input(context, name, length) ? length : 0;
}

bool rule_is_same_model(const struct rule_context *context, const char *a, const char *b)
{
    size_t length = rule_model_length(context, a);
    return length == rule_model_length(context, b) && strncmp(a, b, length) == 0;
}

uint64_t rule_hash(const char *name, size_t length)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (size_t i = 0; i < length; i++) {
        hash = (hash ^ (unsigned char)name[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}
