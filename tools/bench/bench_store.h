/* SPDX-License-Identifier: Apache-2.0 */
/* The cases of `baro bench store`; each returns 0, or -1 after bench_fail. */
#ifndef BARO_BENCH_STORE_H
#define BARO_BENCH_STORE_H

#include "tools/bench/bench.h"

/** Measure bytes per point in the file, per kind of recorded series. */
int bench_store_size(struct bench *bench);
/** Measure answers to ranges of any zoom, with the file cached and not. */
int bench_store_range(struct bench *bench);
/** Measure the time from a daemon's start to its first answer over a large store. */
int bench_store_open(struct bench *bench);
/** Measure ingest and queries alone and at the same time. */
int bench_store_mixed(struct bench *bench);
/** Measure the daemon's memory while it takes in very many series. */
int bench_store_memory(struct bench *bench);

#endif
