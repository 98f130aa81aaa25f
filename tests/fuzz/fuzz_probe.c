/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes what turns untrusted bytes into a probe, and everything that is read of one. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "tests/probe_walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The bytes are a probe as they are; the length in the header is made right on the way. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { LENGTH_AT = 16 };
    baro_autofree uint8_t *bytes = baro_xcalloc(size, 1); /* malloc aligns it */
    memcpy(bytes, data, size);
    uint64_t told = size;
    if (size >= LENGTH_AT + sizeof told) {
        memcpy(bytes + LENGTH_AT, &told, sizeof told);
    }
    struct probe *probe = NULL;
    struct baro_err err = {0};
    uint64_t sum = 0;
    if (probe_parse(&probe, bytes, size, &err) == 0) {
        sum = probe_walk(probe);
        probe_free(probe);
    } else if (err.text[0] == '\0' || probe != NULL) {
        abort(); /* a refusal always has a sentence */
    }
    return sum == 42 ? 1 : 0;
}
