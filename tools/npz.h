/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NumPy's .npz: a zip of .npy files, here uncompressed, written as one stream of any length.
 *
 * An own writer of some 200 lines rather than libzip or minizip: libzip 1.7 takes all data when
 * the archive is closed, from sources that must stay readable until then; minizip is an
 * example of zlib's that its authors do not maintain. Uncompressed members need a checksum and
 * two tables, the readers of NumPy take them as they lie, and sizes are known before the data.
 */
#ifndef BARO_TOOLS_NPZ_H
#define BARO_TOOLS_NPZ_H

#include "tools/out_file.h"

enum npz_type {
    NPZ_F64,
    NPZ_F32,
    NPZ_I64,
    NPZ_U64,
    NPZ_U32,
    NPZ_I16,
    NPZ_U8,
    NPZ_TYPE_COUNT
};

enum { NPZ_MAX_DIMS = 2 };

struct npz;

/**
 * Begin an archive.
 *
 * out         a new file, borrowed until npz_finish; not standard output
 * large_from  sizes, offsets and counts from here on are written in the form for large ones;
 *             0: where they have to be. Tests make it small.
 * returns     NULL when out cannot hold a file beside it; out->err tells
 */
struct npz *npz_create(struct out_file *out, uint64_t large_from);

/**
 * Begin an array; its elements follow by npz_data, row-major.
 *
 * name     of the array, without ".npy"; UTF-8. Where unpacking would leave the folder ("..", a
 *          slash in front, backslashes) it is written with %XX
 * n_dims   0 to NPZ_MAX_DIMS
 */
void npz_begin(struct npz *npz, const char *name, enum npz_type type, unsigned n_dims,
    const uint64_t *shape);

/** Add elements. */
void npz_data(struct npz *npz, const void *bytes, size_t n_bytes);

/** End an array; its elements must all have come. */
void npz_end(struct npz *npz);

/** Write the directory and release; whether all went well is told by out_finish. Accepts NULL. */
void npz_finish(struct npz *npz);

/** Release without writing the directory; accepts NULL. */
void npz_destroy(struct npz *npz);

#endif
