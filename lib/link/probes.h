/* SPDX-License-Identifier: Apache-2.0 */
/* The probes of a run: which there are, and the bytes of one, for baro, the viewer and tests. */
#ifndef BARO_LINK_PROBES_H
#define BARO_LINK_PROBES_H

#include "lib/base/probe_pieces.h"
#include "lib/link/link.h"

/**
 * List the probes of a run, failures among them, also those of which pieces are missing.
 *
 * from, to  steps, both included
 * list      begins as {0}; by rising serial number; probe_list_finish() it, also after a failure
 * returns   0; codes of link_ask; BARO_ECORRUPT for an answer that cannot be
 * cost      some bytes a piece; no piece is read
 */
int link_probes(struct link *link, uint32_t run, int64_t from, int64_t to,
    struct probe_list *list, struct baro_err *err);

/**
 * Fetch one.
 *
 * entry      of the list
 * out_bytes  for probe_parse(); the caller frees
 * returns    0; BARO_ENOENT when pieces are missing, with how many; codes of link_ask
 */
int link_probe_get(struct link *link, uint32_t run, const struct probe_entry *entry,
    void **out_bytes, size_t *out_n_bytes, struct baro_err *err);

#endif
