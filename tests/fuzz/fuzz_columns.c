/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the unpacking of columns; what is accepted must pack and unpack to the same again. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "proto/wire_columns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first byte chooses how many columns there are said to be. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    size_t n = data[0];
    baro_autofree struct wire_column *columns = baro_xcalloc(n + 1, sizeof *columns);
    baro_autofree struct wire_column *again = baro_xcalloc(n + 1, sizeof *again);
    baro_autofree uint8_t *packed = baro_xcalloc(wire_columns_bound(n), 1);
    int64_t took = wire_columns_unpack(data + 1, size - 1, n, columns);
    if (took < 0) {
        return 0;
    }
    size_t n_packed = wire_columns_pack(columns, n, packed);
    if ((size_t)took > size - 1 || n_packed > wire_columns_bound(n) ||
        wire_columns_unpack(packed, n_packed, n, again) != (int64_t)n_packed ||
        memcmp(columns, again, n * sizeof *columns) != 0) {
        abort();
    }
    return 0;
}
