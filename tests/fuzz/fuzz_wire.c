/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the unpacking of envelopes, and packs again what was accepted. */
#include <stdlib.h>

#include "proto/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_message message = {0};
    struct baro_err err = {0};
    if (wire_unpack(data, size, WIRE_MAX_ENVELOPE_BYTES, &message, &err) != 0) {
        if (err.text[0] == '\0') {
            abort(); /* a refusal always has a sentence */
        }
        return 0;
    }
    uint8_t *again = NULL;
    size_t n_again = 0;
    if (wire_pack(message.envelope, &again, &n_again) == 0) {
        free(again);
    }
    wire_release(&message);
    return 0;
}
