/* SPDX-License-Identifier: Apache-2.0 */
/* Operations whose outputs are sums of a few of their input's elements, times fixed weights. */
#ifndef BARO_CREDIT_LINKS_H
#define BARO_CREDIT_LINKS_H

#include "lib/analysis/credit_op.h"

/* Which input element goes into which output element, and how much. */
struct credit_links {
    int64_t n, room;
    struct credit_link {
        int64_t in, out;
        float weight;
    } * items;
};

/** Add a link. */
void credit_links_add(struct credit_links *links, int64_t in, int64_t out, float weight);

/** Free the list. */
void credit_links_finish(struct credit_links *links);

/**
 * Share what came to output 0 out among the elements of input 0: by the eps rule.
 *
 * returns  0; BARO_ENOENT when either was not kept
 */
int credit_links_value(const struct credit_io *io, const struct credit_links *links);

#endif
