/* SPDX-License-Identifier: Apache-2.0 */
#include "client/model/part.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#include "lib/base/mem.h"

/* In front of each part; its size keeps what follows aligned for every type. */
struct part_head {
    _Alignas(16) atomic_int n_refs;
    part_finish_fn finish;
};

static struct part_head *head_of(const void *part)
{
    return (struct part_head *)(uintptr_t)part - 1;
}

void *part_create(size_t bytes, part_finish_fn finish)
{
    struct part_head *head = baro_xcalloc(1, sizeof *head + bytes);
    atomic_init(&head->n_refs, 1);
    head->finish = finish;
    return head + 1;
}

void *part_ref(const void *part)
{
    if (part == NULL) {
        return NULL;
    }
    atomic_fetch_add_explicit(&head_of(part)->n_refs, 1, memory_order_relaxed);
    return head_of(part) + 1;
}

void part_unref(const void *part)
{
    if (part == NULL) {
        return;
    }
    struct part_head *head = head_of(part);
    if (atomic_fetch_sub_explicit(&head->n_refs, 1, memory_order_acq_rel) == 1) {
        if (head->finish != NULL) {
            head->finish(head + 1);
        }
        free(head);
    }
}
