/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/push/sender.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/reading.h"
#include "proto/barograph.pb-c.h"

enum { TURN_MS = 20 };

/* The run's id is in the ring's first sticky record; "" when that is damaged. */
static void read_run_id(struct ringfile *ring, char *out, size_t out_bytes)
{
    out[0] = '\0';
    uint64_t used = ringfile_sticky_used(ring);
    baro_autofree uint8_t *sticky = malloc(used > 0 ? used : 1);
    struct record_header header;
    const uint8_t *payload;
    const uint8_t *cursor = sticky;
    if (sticky == NULL || ringfile_copy_sticky(ring, 0, used, sticky) != 0 ||
        record_next(&cursor, sticky + used, &header, &payload) != 1 ||
        header.kind != READING_RUN) {
        return;
    }
    Baro__RunDescription *run =
        baro__run_description__unpack(NULL, header.payload_bytes, payload);
    if (run != NULL) {
        (void)snprintf(out, out_bytes, "%s", run->run_id);
        baro__run_description__free_unpacked(run, NULL);
    }
}

static int recover_open(struct ringfile *ring, const char *endpoint, int timeout_ms,
    struct sender_recovery *out, struct baro_err *err)
{
    struct ringfile_info info;
    if (ringfile_read_info(ring, &info) != 0) {
        return baro_err_set(err, BARO_EIO, "cannot read");
    }
    read_run_id(ring, out->run_id, sizeof out->run_id);
    if (out->run_id[0] == '\0') {
        return baro_err_set(err, BARO_ECORRUPT, "it does not say which run it belongs to");
    }
    struct sender *sender = NULL;
    const struct sender_options options = {
        .ring = ring, .endpoint = endpoint, .is_recovery = true};
    int rc = sender_create(&sender, &options, err);
    if (rc != 0) {
        return rc;
    }
    struct sender_progress progress = {0};
    uint64_t seen = info.acked_seq;
    uint64_t last_ns = baro_now_ns();
    uint64_t limit_ns = (uint64_t)(timeout_ms > 0 ? timeout_ms : 0) * 1000000;
    bool is_all = false;
    bool was_greeted = false;
    bool has_poured = false;
    do {
        (void)sender_step(sender, TURN_MS, true);
        sender_read_progress(sender, &progress);
        if (progress.acked_seq > seen || (progress.is_connected && !was_greeted)) {
            seen = progress.acked_seq > seen ? progress.acked_seq : seen;
            was_greeted = was_greeted || progress.is_connected;
            last_ns = baro_now_ns();
        }
        is_all = was_greeted && progress.is_done;
        if (is_all && !has_poured) {
            uint64_t n_states = 0; /* the random states come after all that is sent */
            has_poured = true;
            (void)ringfile_pour_states(ring, progress.acked_seq, &n_states);
            is_all = n_states == 0;
        }
    } while (!is_all && progress.refusal == 0 && baro_now_ns() - last_ns < limit_ns);
    sender_destroy(sender);
    out->n_sent = progress.n_sent;
    out->n_damaged_bytes = progress.n_damaged_bytes;
    (void)ringfile_read_info(ring, &info);
    out->n_lost = info.dropped_records;
    out->n_left = info.head_seq > seen ? info.head_seq - seen : 0;
    if (is_all) {
        return 0;
    }
    if (progress.refusal != 0) {
        return baro_err_set(
            err, progress.refusal, "the daemon at %.100s refuses it", endpoint);
    }
    return baro_err_set(err, BARO_ETIMEOUT,
        was_greeted ? "the daemon at %.100s stopped acknowledging"
                    : "no daemon answers at %.100s; start one with `baro up`",
        endpoint);
}

int sender_recover(const char *path, const char *endpoint, int timeout_ms,
    struct sender_recovery *out, struct baro_err *err)
{
    struct ringfile *ring = NULL;
    *out = (struct sender_recovery){0};
    int rc = ringfile_open(&ring, path, RINGFILE_RECOVER, err);
    if (rc != 0) {
        return rc;
    }
    struct ringfile_info before = {0};
    struct ringfile_info after = {0};
    (void)ringfile_read_info(ring, &before);
    rc = recover_open(ring, endpoint, timeout_ms, out, err);
    (void)ringfile_read_info(ring, &after);
    out->n_acked = after.acked_seq - before.acked_seq;
    if (rc == 0) {
        (void)ringfile_unlink(ring);
    }
    ringfile_close(ring);
    return baro_err_prefix(err, rc, "ring '%.100s'", path);
}
