/* SPDX-License-Identifier: Apache-2.0 */
/* A look at LMDB's own pages before LMDB trusts them. Private to daemon/store. */
#ifndef BARO_STORE_PAGES_H
#define BARO_STORE_PAGES_H

#include "lib/base/baro_types.h"

/**
 * Walk all trees of an LMDB file and check the structure of their pages.
 *
 * path     an LMDB file that no process writes to now
 * returns  0; BARO_ECORRUPT when it is cut off or a page is not what it must be; BARO_EIO
 * cost     reads the pages of the trees, not the values: about 1 MB for each GB of chunks
 */
int store_check_pages(const char *path, struct baro_err *err);

#endif
