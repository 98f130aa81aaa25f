/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The module tree: tensors by the dots in their names, in the order in which the run named
 * them. A node may be a module, a tensor in several roles, or both (a layer whose output is
 * watched and that has a weight below it). Modules of which each holds only the next are one node.
 */
#ifndef CLIENT_MODEL_TREE_H
#define CLIENT_MODEL_TREE_H

#include "client/model/model.h"

enum { TREE_MAX_DEPTH = 24 };

struct tree_node {
    const char *path; /* full name up to here, path_n bytes */
    size_t path_n;
    const char *label; /* what its parent's lacks, label_n bytes */
    size_t label_n;
    uint32_t rank; /* of its tensors; 0 for modules */
    bool is_copy;  /* rank 0 has one of the same name */
    int depth;
    size_t end;                    /* index after its last descendant */
    uint32_t roles[BARO_ROLE_END]; /* thing in that role; 0: none */
    enum baro_level level;         /* gravest of it and what is below */
    uint32_t n_tensors;            /* in it and below */
};

/* Depth first. A part; borrows the names of the things. */
struct tree {
    size_t n;
    struct tree_node nodes[];
};

/** Build the tree of a model's tensors; a part, to be given back. */
struct tree *tree_create(const struct model_things *things);

/** The thing that stands for a node: the gravest, else by activation, gradient, weight. */
uint32_t tree_node_thing(const struct tree_node *node, const struct model *model);

#endif
