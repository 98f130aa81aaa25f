/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/store/pages.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

/*
 * LMDB believes its own pages: garbage in one of them is a crash later, in some unlucky read or
 * commit. So that a damaged file is a sentence at the start instead, all pages of all trees are
 * looked at once: is each what its parent says, and does each node lie within its page. Values
 * are not read; chunks, pieces of tail and records have checksums of their own.
 *
 * Layout, as LMDB 0.9 writes it on 64-bit machines (offsets in bytes, little-endian):
 *
 *   page    0 number (8)  8 unused (2)  10 flags (2)  12 lower (2)  14 upper (2)
 *           16 offsets of nodes (2 each) up to lower; nodes from upper to the end
 *   node    0 low and high half of size or child (2, 2)  4 flags, or the child's top (2)
 *           6 key bytes (2)  8 key, then value: in place, page number (8), or tree (48)
 *   tree    6 depth (2)  40 root (8); all ones when empty
 *   meta    page 0 and 1; 16 magic (4)  20 version (4)  40 tree of free pages (48)
 *           88 main tree (48)  136 last page (8)  144 transaction (8); the larger one counts.
 *           The free tree's first field (4) is the page size
 */

enum {
    PAGE_HEAD_BYTES = 16,
    NODE_HEAD_BYTES = 8,
    TREE_BYTES = 48,
    META_BYTES = 152,
    MAX_DEPTH = 32,
    PAGE_BRANCH = 1,
    PAGE_LEAF = 2,
    PAGE_KINDS = 0x6f, /* all kinds; what is left are marks */
    NODE_BIG = 1,      /* the value lies in pages of its own */
    NODE_TREE = 2,
    NODE_DUPLICATES = 4 /* never used here */
};
static const uint32_t meta_magic = 0xBEEFC0DE;

/* A file in memory, and the way from a root to the page at hand. */
struct walk {
    const uint8_t *file;
    size_t n_bytes;
    size_t page_bytes;
    uint64_t n_pages; /* in use */
    uint64_t n_seen;  /* a tree with more pages than the file goes in circles */
    uint64_t page[MAX_DEPTH];
    size_t next[MAX_DEPTH]; /* node to look at next */
};

static uint16_t get16(const uint8_t *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static uint64_t get64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static const uint8_t *page_at(const struct walk *walk, uint64_t number)
{
    return walk->file + number * walk->page_bytes;
}

/* A node of a page, if it lies within it; NULL otherwise. */
static const uint8_t *node_at(const struct walk *walk, const uint8_t *page, size_t i)
{
    size_t at = get16(page + PAGE_HEAD_BYTES + 2 * i);
    if (at < get16(page + 14) || at + NODE_HEAD_BYTES > walk->page_bytes ||
        at + NODE_HEAD_BYTES + get16(page + at + 6) > walk->page_bytes) {
        return NULL;
    }
    return page + at;
}

static size_t n_nodes(const uint8_t *page)
{
    return (size_t)(get16(page + 12) - PAGE_HEAD_BYTES) / 2;
}

/* Whether a page is the branch or leaf that it must be, with bounds that make sense. */
static bool page_ok(struct walk *walk, uint64_t number, bool is_leaf)
{
    if (number < 2 || number >= walk->n_pages || ++walk->n_seen > walk->n_pages) {
        return false;
    }
    const uint8_t *page = page_at(walk, number);
    size_t lower = get16(page + 12);
    size_t upper = get16(page + 14);
    return get64(page) == number &&
           (get16(page + 10) & PAGE_KINDS) == (is_leaf ? PAGE_LEAF : PAGE_BRANCH) &&
           lower > PAGE_HEAD_BYTES && lower % 2 == 0 && lower <= upper &&
           upper <= walk->page_bytes;
}

/* Check the value of a leaf's node; gives the tree when it is one. */
static bool leaf_node_ok(
    const struct walk *walk, const uint8_t *node, const uint8_t **out_tree)
{
    size_t n = get16(node) | (size_t)get16(node + 2) << 16;
    uint16_t flags = get16(node + 4);
    const uint8_t *value = node + NODE_HEAD_BYTES + get16(node + 6);
    size_t left =
        (size_t)(walk->page_bytes - (size_t)(value - walk->file) % walk->page_bytes);
    left = (size_t)(value - walk->file) % walk->page_bytes == 0 ? 0 : left;
    *out_tree = NULL;
    if ((flags & NODE_DUPLICATES) != 0) {
        return false;
    }
    if ((flags & NODE_BIG) != 0) {
        if (left < sizeof(uint64_t)) {
            return false;
        }
        uint64_t first = get64(value);
        uint64_t pages = (n + PAGE_HEAD_BYTES + walk->page_bytes - 1) / walk->page_bytes;
        return first >= 2 && first < walk->n_pages && pages <= walk->n_pages - first;
    }
    if ((flags & NODE_TREE) != 0) {
        *out_tree = value;
        return n == TREE_BYTES && n <= left;
    }
    return n <= left;
}

/* Check one leaf; trees named in it are collected while there is room for them. */
static bool leaf_ok(const struct walk *walk, const uint8_t *page, const uint8_t **trees,
    size_t *n_trees, size_t room)
{
    for (size_t i = 0; i < n_nodes(page); i++) {
        const uint8_t *node = node_at(walk, page, i);
        const uint8_t *tree = NULL;
        if (node == NULL || !leaf_node_ok(walk, node, &tree)) {
            return false;
        }
        if (tree != NULL) {
            if (*n_trees == room) {
                return false;
            }
            trees[(*n_trees)++] = tree;
        }
    }
    return true;
}

/* Walk one tree; trees inside it are collected. */
static bool tree_ok(struct walk *walk, const uint8_t *tree, const uint8_t **trees,
    size_t *n_trees, size_t room)
{
    size_t depth = get16(tree + 6);
    uint64_t root = get64(tree + 40);
    if (root == UINT64_MAX) {
        return true;
    }
    if (depth < 1 || depth > MAX_DEPTH || !page_ok(walk, root, depth == 1)) {
        return false;
    }
    walk->page[0] = root;
    walk->next[0] = 0;
    for (size_t level = 0;;) {
        const uint8_t *page = page_at(walk, walk->page[level]);
        bool is_leaf = level + 1 == depth;
        if (is_leaf && !leaf_ok(walk, page, trees, n_trees, room)) {
            return false;
        }
        if (is_leaf || walk->next[level] == n_nodes(page)) {
            if (level == 0) {
                return true;
            }
            level--;
            continue;
        }
        const uint8_t *node = node_at(walk, page, walk->next[level]++);
        if (node == NULL) {
            return false;
        }
        uint64_t child =
            get16(node) | (uint64_t)get16(node + 2) << 16 | (uint64_t)get16(node + 4) << 32;
        level++;
        if (!page_ok(walk, child, level + 1 == depth)) {
            return false;
        }
        walk->page[level] = child;
        walk->next[level] = 0;
    }
}

/* The meta page that counts, or NULL; sets sizes. */
static const uint8_t *find_meta(struct walk *walk)
{
    uint32_t page_bytes = 0;
    uint32_t magic = 0;
    if (walk->n_bytes < META_BYTES) {
        return NULL;
    }
    memcpy(&page_bytes, walk->file + 40, sizeof page_bytes);
    if (page_bytes < 512 || page_bytes > 65536 || (page_bytes & (page_bytes - 1)) != 0 ||
        walk->n_bytes < 2 * (size_t)page_bytes) {
        return NULL;
    }
    walk->page_bytes = page_bytes;
    const uint8_t *second = walk->file + page_bytes;
    memcpy(&magic, second + 16, sizeof magic);
    bool is_second = magic == meta_magic && get64(second + 144) > get64(walk->file + 144);
    const uint8_t *meta = is_second ? second : walk->file;
    uint64_t last = get64(meta + 136);
    if (last >= walk->n_bytes / page_bytes) {
        return NULL;
    }
    walk->n_pages = last + 1;
    return meta;
}

static bool file_ok(struct walk *walk)
{
    enum { MAX_TREES = 64 };
    const uint8_t *trees[MAX_TREES];
    const uint8_t *meta = find_meta(walk);
    if (meta == NULL) {
        return false;
    }
    size_t n_trees = 2;
    trees[0] = meta + 40;
    trees[1] = meta + 88;
    for (size_t i = 0; i < n_trees; i++) {
        if (!tree_ok(walk, trees[i], trees, &n_trees, MAX_TREES)) {
            return false;
        }
    }
    return true;
}

int store_check_pages(const char *path, struct baro_err *err)
{
    baro_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) != 0) {
        return baro_err_set(err, BARO_EIO, "open '%s': %s", path, strerror(errno));
    }
    struct walk walk = {.n_bytes = (size_t)info.st_size};
    void *file = mmap(NULL, walk.n_bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (file == MAP_FAILED) {
        return baro_err_set(err, BARO_EIO, "map '%s': %s", path, strerror(errno));
    }
    walk.file = file;
    /* Trees are a thousandth of the file: without this the system reads it nearly whole. */
    (void)madvise(file, walk.n_bytes, MADV_RANDOM);
    bool is_ok = file_ok(&walk);
    (void)munmap(file, walk.n_bytes);
    return is_ok
               ? 0
               : baro_err_set(err, BARO_ECORRUPT,
                     "'%s' is cut off or damaged; restore it from a copy, or move it away to "
                     "start anew",
                     path);
}
