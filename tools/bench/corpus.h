/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recorded series of real trainings, as tools/corpus/record_corpus.py writes them: a folder with
 * a folder per run, a file per series. Used by the benches that must not measure made-up data.
 */
#ifndef BARO_CORPUS_H
#define BARO_CORPUS_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/baro_types.h"

/* One series: rows of n_columns numbers with their steps and times; borrowed from the corpus. */
struct corpus_series {
    char run[256];
    char name[256]; /* "gradnorm.all": kind, dot, name */
    size_t n_rows;
    size_t n_columns;
    const double *f64; /* row-major, or NULL */
    const float *f32;  /* row-major, or NULL */
    const int64_t *steps;
    const int64_t *times_ns;
};

struct corpus {
    struct corpus_series *series; /* by run, then by name */
    size_t n_series;
    struct corpus_map *maps;
    size_t n_maps;
};

/**
 * Map a corpus.
 *
 * returns  0; BARO_ENOENT when the folder holds none; BARO_ECORRUPT when a series has no stamps
 */
int corpus_open(const char *dir, struct corpus *out_corpus, struct baro_err *err);

/** Unmap it; accepts a zeroed one. */
void corpus_close(struct corpus *corpus);

#endif
