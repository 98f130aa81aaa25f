/* SPDX-License-Identifier: Apache-2.0 */
#include "client/model/tree.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

static const uint32_t NONE = UINT32_MAX;

/* A node while the tree is being built, linked by indices. */
struct raw {
    struct tree_node node;
    uint32_t parent, first_child, last_child, next;
};

struct builder {
    struct raw *raws;
    uint32_t n, capacity;
};

static uint32_t add_raw(struct builder *b, uint32_t parent, const char *path, size_t path_n,
    size_t label_at, int depth)
{
    if (b->n == b->capacity) {
        b->capacity = b->capacity == 0 ? 64 : b->capacity * 2;
        b->raws = baro_xrealloc(b->raws, b->capacity, sizeof *b->raws);
    }
    struct raw *raw = &b->raws[b->n];
    *raw = (struct raw){
        .node = {.path = path,
            .path_n = path_n,
            .label = path + label_at,
            .label_n = path_n - label_at,
            .depth = depth},
        .parent = parent,
        .first_child = NONE,
        .last_child = NONE,
        .next = NONE,
    };
    if (parent != NONE) {
        struct raw *up = &b->raws[parent];
        if (up->last_child == NONE) {
            up->first_child = b->n;
        } else {
            b->raws[up->last_child].next = b->n;
        }
        up->last_child = b->n;
    }
    return b->n++;
}

static uint32_t find_child(
    const struct builder *b, uint32_t parent, const char *label, size_t n, uint32_t rank)
{
    uint32_t at = b->raws[parent].first_child;
    while (at != NONE) {
        const struct tree_node *node = &b->raws[at].node;
        if (node->label_n == n && node->rank == rank &&
            memcmp(node->label, label, n) == 0) {
            return at;
        }
        at = b->raws[at].next;
    }
    return NONE;
}

/* Walk down the pieces of a name, making what is missing; beyond the depth dots stay. Ranks
 * share their modules, and each has its own leaves. */
static uint32_t place(struct builder *b, const char *name, uint32_t rank)
{
    uint32_t at = 0;
    size_t from = 0;
    size_t n = strlen(name);
    for (int depth = 0; from < n; depth++) {
        const char *dot = depth + 1 < TREE_MAX_DEPTH ? strchr(name + from, '.') : NULL;
        size_t to = dot != NULL && dot[1] != '\0' ? (size_t)(dot - name) : n;
        uint32_t of = to == n ? rank : 0;
        uint32_t child = find_child(b, at, name + from, to - from, of);
        if (child == NONE) {
            child = add_raw(b, at, name, to, from, depth);
            b->raws[child].node.rank = of;
        }
        at = child;
        from = to + 1;
    }
    return at;
}

static void add_tensor(struct builder *b, const struct model_thing *thing)
{
    uint32_t at = place(b, thing->name, thing->rank);
    struct tree_node *node = &b->raws[at].node;
    if (node->roles[thing->role] == 0 || thing->epoch > 1) {
        node->roles[thing->role] =
            thing->thing; /* of several epochs the newest, named last */
    }
    enum baro_level level = model_thing_level(thing);
    for (uint32_t up = at; up != NONE; up = b->raws[up].parent) {
        struct tree_node *above = &b->raws[up].node;
        above->level = level > above->level ? level : above->level;
        above->n_tensors += thing->epoch <= 1 ? 1 : 0;
    }
}

static bool has_tensor(const struct tree_node *node)
{
    for (int role = 1; role < BARO_ROLE_END; role++) {
        if (node->roles[role] != 0) {
            return true;
        }
    }
    return false;
}

/* Which of the further ranks' leaves rank 0 has too. */
static void find_copies(struct builder *b)
{
    for (uint32_t i = 1; i < b->n; i++) {
        struct raw *raw = &b->raws[i];
        raw->node.is_copy =
            raw->node.rank > 0 &&
            find_child(b, raw->parent, raw->node.label, raw->node.label_n, 0) != NONE;
    }
}

/* A module that holds nothing but another that only holds modules is one with it:
 * "model.decoder.layers" is a row, not three. */
static void join_chains(struct builder *b)
{
    for (uint32_t i = 1; i < b->n; i++) { /* parents come before their children */
        struct raw *raw = &b->raws[i];
        uint32_t only = raw->first_child;
        while (only != NONE && only == raw->last_child && !has_tensor(&raw->node) &&
               !has_tensor(&b->raws[only].node) && b->raws[only].first_child != NONE) {
            struct raw *below = &b->raws[only];
            size_t label_at = raw->node.path_n - raw->node.label_n;
            raw->node.path = below->node.path;
            raw->node.path_n = below->node.path_n;
            raw->node.label = below->node.path + label_at;
            raw->node.label_n = below->node.path_n - label_at;
            raw->first_child = below->first_child;
            raw->last_child = below->last_child;
            for (uint32_t at = raw->first_child; at != NONE; at = b->raws[at].next) {
                b->raws[at].parent = i;
            }
            below->parent = NONE; /* out of the tree */
            below->first_child = NONE;
            only = raw->first_child;
        }
        if (raw->parent != NONE) {
            raw->node.depth = b->raws[raw->parent].node.depth + 1;
        }
    }
}

/* Depth first without recursion: down to the first child, else on to the next of an ancestor. */
static void flatten(const struct builder *b, struct tree *tree)
{
    uint32_t open[TREE_MAX_DEPTH + 1]; /* index in the tree of each ancestor */
    uint32_t at = b->raws[0].first_child;
    while (at != NONE && at != 0) {
        const struct raw *raw = &b->raws[at];
        open[raw->node.depth] = (uint32_t)tree->n;
        tree->nodes[tree->n++] = raw->node;
        if (raw->first_child != NONE) {
            at = raw->first_child;
            continue;
        }
        uint32_t up = at;
        while (up != 0 && b->raws[up].next == NONE) {
            tree->nodes[open[b->raws[up].node.depth]].end = tree->n;
            up = b->raws[up].parent;
        }
        if (up == 0) {
            return;
        }
        tree->nodes[open[b->raws[up].node.depth]].end = tree->n;
        at = b->raws[up].next;
    }
}

/* Tell what evaluation and passes without gradients have given: it comes after training. */
static bool is_aside(const char *name)
{
    return strncmp(name, "eval/", 5) == 0 || strncmp(name, "no_grad/", 8) == 0;
}

struct tree *tree_create(const struct model_things *things)
{
    struct builder b = {0};
    (void)add_raw(&b, NONE, "", 0, 0, -1);
    for (int turn = 0; turn < 2; turn++) {
        for (size_t i = 0; i < things->n; i++) {
            const struct model_thing *thing = &things->at[i];
            if (thing->is_tensor && thing->name[0] != '\0' &&
                is_aside(thing->name) == (turn == 1)) {
                add_tensor(&b, thing);
            }
        }
    }
    find_copies(&b);
    join_chains(&b);
    struct tree *tree = part_create(sizeof *tree + b.n * sizeof tree->nodes[0], NULL);
    flatten(&b, tree);
    free(b.raws);
    return tree;
}

uint32_t tree_node_thing(const struct tree_node *node, const struct model *model)
{
    static const enum baro_role order[] = {BARO_ACT, BARO_GRAD, BARO_WEIGHT, BARO_ACT_GRAD,
        BARO_UPDATE, BARO_INPUT, BARO_OPT, 0};
    uint32_t best = 0;
    int best_level = -1;
    for (size_t i = 0; i < BARO_LEN(order); i++) {
        const struct model_thing *thing =
            node->roles[order[i]] != 0 ? model_thing_find(model, node->roles[order[i]])
                                       : NULL;
        if (thing != NULL && (int)model_thing_level(thing) > best_level) {
            best = thing->thing;
            best_level = (int)model_thing_level(thing);
        }
    }
    return best;
}
