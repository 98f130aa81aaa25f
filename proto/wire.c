/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "lib/base/err.h"

int wire_unpack(const void *bytes, size_t n_bytes, size_t max_bytes,
    struct wire_message *out_message, struct baro_err *err)
{
    if (n_bytes > max_bytes) {
        return baro_err_set(err, BARO_ELIMIT,
            "a message of %zu bytes; at most %zu are accepted", n_bytes, max_bytes);
    }
    Baro__Envelope *envelope = baro__envelope__unpack(NULL, n_bytes, bytes);
    if (envelope == NULL) {
        return baro_err_set(
            err, BARO_ECORRUPT, "%zu bytes that are not a Barograph message", n_bytes);
    }
    if (envelope->version != WIRE_VERSION) {
        uint32_t theirs = envelope->version;
        baro__envelope__free_unpacked(envelope, NULL);
        return baro_err_set(err, BARO_EVERSION,
            "the other side speaks protocol %u, this side (%s) speaks %d: update %s",
            theirs, BAROGRAPH_VERSION, WIRE_VERSION,
            theirs < WIRE_VERSION ? "the other" : "this one");
    }
    out_message->envelope = envelope;
    return 0;
}

void wire_release(struct wire_message *message)
{
    if (message->envelope != NULL) {
        baro__envelope__free_unpacked(message->envelope, NULL);
        message->envelope = NULL;
    }
}

int wire_pack(Baro__Envelope *envelope, uint8_t **out_bytes, size_t *out_n_bytes)
{
    envelope->version = WIRE_VERSION;
    size_t n_bytes = baro__envelope__get_packed_size(envelope);
    uint8_t *bytes = malloc(n_bytes > 0 ? n_bytes : 1);
    if (bytes == NULL) {
        return BARO_ENOMEM;
    }
    *out_n_bytes = baro__envelope__pack(envelope, bytes);
    *out_bytes = bytes;
    return 0;
}

int wire_endpoint(const char *dir, char *out, size_t out_bytes, struct baro_err *err)
{
    enum { MAX_SOCKET_PATH = sizeof((struct sockaddr_un){0}).sun_path - 1 };
    static const char scheme[] = "ipc://";
    int n = snprintf(out, out_bytes, "%s%s/barod.sock", scheme, dir);
    size_t path_bytes = (size_t)n - (sizeof scheme - 1);
    if (path_bytes > MAX_SOCKET_PATH) {
        const char *runtime = getenv("XDG_RUNTIME_DIR");
        char fallback[64];
        (void)snprintf(fallback, sizeof fallback, "/tmp/barograph-%u", (unsigned)getuid());
        const char *folder = runtime != NULL && runtime[0] == '/' && strlen(runtime) < 60
                                 ? runtime
                                 : fallback;
        n = snprintf(out, out_bytes, "%s%s/baro-%016llx.sock", scheme, folder,
            (unsigned long long)XXH3_64bits(dir, strlen(dir)));
    }
    if (n < 0 || (size_t)n >= out_bytes) {
        return baro_err_set(
            err, BARO_ELIMIT, "no room for the path of the socket of '%s'", dir);
    }
    return 0;
}
