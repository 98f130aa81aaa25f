/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts: blocks of memory that several snapshots share. A part is filled by the thread that
 * creates it, is never written again once another thread has seen it, and is freed with its
 * last reference. Counting is atomic, so references may be given back on any thread.
 */
#ifndef CLIENT_MODEL_PART_H
#define CLIENT_MODEL_PART_H

#include <stddef.h>

/* Called with a part whose last reference is gone, before its memory is freed. */
typedef void (*part_finish_fn)(void *part);

/**
 * Create a zeroed part with one reference; never NULL.
 *
 * finish   gives back what the part itself holds; NULL when it holds nothing
 */
void *part_create(size_t bytes, part_finish_fn finish);

/** Take another reference; NULL gives NULL. */
void *part_ref(const void *part);

/** Give a reference back; NULL is fine. */
void part_unref(const void *part);

#endif
