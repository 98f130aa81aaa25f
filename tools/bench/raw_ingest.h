/* SPDX-License-Identifier: Apache-2.0 */
/* The limit of bench_ingest: bytes through bare ZeroMQ into bare LMDB. */
#ifndef BARO_BENCH_RAW_INGEST_H
#define BARO_BENCH_RAW_INGEST_H

#include <stdint.h>

#include "lib/base/baro_types.h"

/**
 * Move so many bytes from one thread through a Unix socket to another, which puts them into
 * LMDB and acknowledges after each commit; the time runs until all is acknowledged.
 *
 * dir      existing folder for socket and database; both are removed again
 * returns  0; BARO_EIO with a sentence
 */
int raw_ingest(
    const char *dir, uint64_t n_bytes, double *out_seconds, struct baro_err *err);

/** As raw_ingest, but what arrives is thrown away: ZeroMQ alone. */
int raw_socket(
    const char *dir, uint64_t n_bytes, double *out_seconds, struct baro_err *err);

/**
 * Time how long LMDB alone takes for so many bytes: values that fill sixteen pages, in so many
 * synchronous commits of the same size, in the order of their keys.
 */
int raw_lmdb(const char *dir, uint64_t n_bytes, uint64_t n_commits, double *out_seconds,
    struct baro_err *err);

#endif
