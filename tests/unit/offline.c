/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/testing.h"

#include "tests/unit/offline.h"

#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/base/ringfile.h"

static void hear(const char *text, void *payload)
{
    struct offline *offline = payload;
    (void)snprintf(offline->said, sizeof offline->said, "%s", text);
}

struct baro_options offline_options(struct offline *offline)
{
    struct baro_options options = BARO_OPTIONS_INIT;
    options.mode = "offline";
    options.ring_dir = offline->dir;
    options.ring_bytes = OFFLINE_RING_BYTES;
    options.on_message = hear;
    options.payload = offline;
    return options;
}

int offline_start(struct offline *offline)
{
    *offline = (struct offline){.dir = "/tmp/baro-unit-XXXXXX", .role = BARO_WEIGHT};
    if (mkdtemp(offline->dir) == NULL) {
        return 1;
    }
    struct baro_err err = {0};
    const struct baro_options options = offline_options(offline);
    offline->run = baro_open(&options, &err);
    offline->records = baro_xcalloc(1, OFFLINE_RING_BYTES);
    offline->sticky = baro_xcalloc(1, OFFLINE_RING_BYTES);
    return offline->run == NULL;
}

int offline_finish(struct offline *offline)
{
    char command[128];
    (void)baro_close(offline->run, 0);
    free(offline->records);
    free(offline->sticky);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", offline->dir);
    return system(command);
}

void offline_read(struct offline *offline, const struct baro_run *run)
{
    struct ringfile *ring = NULL;
    struct ringfile_cursor cursor = {0};
    size_t n_bytes;
    size_t n_records;
    assert_int_equal(ringfile_open(&ring, baro_ring_path(run), RINGFILE_PEEK, NULL), 0);
    offline->n_bytes = 0;
    do {
        assert_int_equal(
            ringfile_read(ring, &cursor, offline->records + offline->n_bytes,
                OFFLINE_RING_BYTES - offline->n_bytes, 0, &n_bytes, &n_records),
            0);
        offline->n_bytes += n_bytes;
    } while (n_records > 0);
    offline->n_sticky_bytes = (size_t)ringfile_sticky_used(ring);
    assert_int_equal(
        ringfile_copy_sticky(ring, 0, offline->n_sticky_bytes, offline->sticky), 0);
    ringfile_close(ring);
}

bool offline_find(const struct offline *offline, enum reading_kind kind, int i,
    uint32_t n_units, struct reading *out)
{
    const uint8_t *at = offline->records;
    const uint8_t *payload;
    struct record_header header;
    while (record_next(&at, offline->records + offline->n_bytes, &header, &payload) == 1) {
        if (header.kind == kind && i-- == 0) {
            struct baro_err err = {0};
            if (reading_check(&header, payload, n_units, offline->role, out, &err) != 0) {
                fail_msg("%s", err.text);
            }
            return true;
        }
    }
    return false;
}

int offline_count(const struct offline *offline, enum reading_kind kind)
{
    int n = 0;
    const uint8_t *at = offline->records;
    const uint8_t *payload;
    struct record_header header;
    while (record_next(&at, offline->records + offline->n_bytes, &header, &payload) == 1) {
        n += header.kind == kind;
    }
    return n;
}

Baro__Declare *offline_declared(const struct offline *offline, uint32_t thing)
{
    const uint8_t *at = offline->sticky;
    const uint8_t *payload;
    struct record_header header;
    while (record_next(&at, offline->sticky + offline->n_sticky_bytes, &header, &payload) ==
           1) {
        if (header.kind == READING_DECLARE && header.thing == thing) {
            return baro__declare__unpack(NULL, header.payload_bytes, payload);
        }
    }
    fail_msg("thing %u is not declared", thing);
    return NULL;
}
