/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/push/outbox.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/reading.h"

/*
 * The daemon knows records by their sequence numbers, so sending one twice does no harm: after a
 * connection was lost, sending begins anew behind what the daemon has committed.
 *
 * A slow line (tcp://) is sent no more than it carries within a second or two: what waits in it
 * would hold up heartbeats, and would all be sent again after a cut. So the window there grows
 * while acknowledgements come soon and shrinks when they are late.
 *
 * What a recovery has in addition: drops that the dead process had not told yet are sent as one
 * more record behind its last.
 */

enum {
    BATCH_BYTES = 256 << 10,
    BATCH_RECORDS = 4096,
    WINDOW_BYTES = 4 << 20,        /* under way at most, unless one record is larger */
    FAR_WINDOW_BYTES = 256 << 10,  /* over tcp://: at first, */
    SMALL_WINDOW_BYTES = 32 << 10, /* and at least */
    WINDOW_SHARE = 4               /* a batch is at most so small a part of the window */
};
#define MS UINT64_C(1000000)
static const uint64_t batch_gap_ns = 5 * MS;
static const uint64_t far_batch_gap_ns = 50 * MS;
static const uint64_t soon_ns = 500 * MS; /* for an acknowledgement over tcp:// */
static const uint64_t late_ns = 1500 * MS;

static size_t batch_bytes(const struct outbox *o)
{
    size_t share = o->window_bytes / WINDOW_SHARE;
    return share < BATCH_BYTES ? share : BATCH_BYTES;
}

/* Read the next records to send into the buffer; false when nothing is due. */
static bool read_batch(struct outbox *o, size_t *out_n_bytes, size_t *out_n_records)
{
    int rc = ringfile_read(o->ring, &o->cursor, o->buffer, batch_bytes(o), BATCH_RECORDS,
        out_n_bytes, out_n_records);
    if (rc == BARO_ELIMIT) {
        rc = ringfile_read(o->ring, &o->cursor, o->buffer, RECORD_MAX_BYTES, 1, out_n_bytes,
            out_n_records);
    }
    return rc == 0 && *out_n_records > 0;
}

/* Build the record that tells what a dead process dropped; false when it dropped nothing. */
static bool build_drops(struct outbox *o, size_t *out_n_bytes)
{
    struct ringfile_info info;
    if (o->told_seq != 0 || ringfile_read_info(o->ring, &info) != 0 ||
        info.dropped_records <= info.told_records) {
        return false;
    }
    struct {
        struct record_header header;
        double payload[2];
    } record = {
        .header = {.seq = info.head_seq + 1,
            .time_ns = info.created_ns,
            .kind = READING_DROPS,
            .payload_bytes = sizeof record.payload,
            .bytes = sizeof record},
    };
    o->told[0] = info.dropped_records - info.told_records;
    o->told[1] =
        info.dropped_bytes > info.told_bytes ? info.dropped_bytes - info.told_bytes : 0;
    record.payload[0] = (double)o->told[0];
    record.payload[1] = (double)o->told[1];
    record.header.check = record_check(&record);
    memcpy(o->buffer, &record, sizeof record);
    o->told_seq = info.head_seq + 1;
    *out_n_bytes = sizeof record;
    return true;
}

/* Leave out of a batch what gave way, and was counted as dropped, after it was copied. */
static void skip_dropped(uint64_t oldest_seq, struct record_header *first,
    const uint8_t **bytes, size_t *n_bytes, size_t *n_records)
{
    while (*n_records > 0 && first->seq < oldest_seq) {
        *bytes += first->bytes;
        *n_bytes -= first->bytes;
        if (--*n_records > 0) {
            memcpy(first, *bytes, sizeof *first);
        }
    }
}

/* Send what lies in the buffer; returns and sets what outbox_fill does. */
static int send_batch(
    struct outbox *o, uint64_t now, size_t n_bytes, size_t n_records, bool *out_has_sent)
{
    struct record_header first;
    const uint8_t *bytes = o->buffer;
    memcpy(&first, bytes, sizeof first);
    uint64_t last_seq = first.seq + n_records - 1;
    skip_dropped(
        ringfile_set_sent(o->ring, last_seq), &first, &bytes, &n_bytes, &n_records);
    if (n_records == 0) {
        *out_has_sent = true; /* the next batch begins behind the gap */
        return 0;
    }
    uint64_t used =
        ringfile_sticky_used(o->ring); /* after the records: names all of them */
    int rc = ringfile_copy_sticky(o->ring, o->sticky_sent, used, o->sticky);
    if (rc != 0) {
        return rc;
    }
    Baro__Batch batch;
    baro__batch__init(&batch);
    batch.stream.data = o->info.stream;
    batch.stream.len = sizeof o->info.stream;
    batch.first_seq = first.seq;
    batch.n_records = (uint32_t)n_records;
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.body_case = BARO__ENVELOPE__BODY_BATCH;
    envelope.batch = &batch;
    const struct peer_frame frames[2] = {
        {o->sticky, (size_t)(used - o->sticky_sent)}, {bytes, n_bytes}};
    if (peer_send(o->peer, &envelope, frames, 2) != 0) {
        return BARO_EIO;
    }
    unsigned slot = (o->first_flight + o->n_flights) % OUTBOX_FLIGHTS;
    o->flights[slot] =
        (struct outbox_flight){first.seq, last_seq, first.seq - o->next_seq, n_bytes, now};
    o->next_seq = last_seq + 1;
    o->n_flights++;
    o->flying_bytes += n_bytes;
    o->sticky_sent = used;
    o->batch_ns = now;
    atomic_fetch_add_explicit(&o->n_sent, n_records, memory_order_relaxed);
    atomic_store_explicit(&o->is_waiting, true, memory_order_relaxed);
    *out_has_sent = true;
    return 0;
}

/* Nothing is left to read: when nothing is under way either, the ring is done so far. */
static void note_drained(struct outbox *o, uint64_t head_seq)
{
    atomic_store_explicit(
        &o->n_damaged_bytes, o->cursor.n_damaged_bytes, memory_order_relaxed);
    if (o->n_flights == 0) {
        atomic_store_explicit(&o->drained_seq, head_seq, memory_order_release);
    }
}

static bool note_acked(struct outbox *o, uint64_t seq, bool is_settled)
{
    uint64_t before = atomic_load_explicit(&o->acked_seq, memory_order_relaxed);
    ringfile_set_acked(o->ring, seq, is_settled);
    if (seq > before) {
        atomic_store_explicit(&o->acked_seq, seq, memory_order_release);
    }
    if (o->told_seq != 0 && seq >= o->told_seq) {
        ringfile_add_told(o->ring, o->told[0], o->told[1]);
        o->told[0] = 0;
        o->told[1] = 0;
    }
    return seq > before;
}

/* Take the first flight off the list; is_there: the daemon has it, or a part of it. */
static void land(struct outbox *o, bool is_there)
{
    const struct outbox_flight *flight = &o->flights[o->first_flight];
    o->flying_bytes -= flight->bytes;
    if (is_there) {
        atomic_fetch_add_explicit(&o->n_missing, flight->n_missing, memory_order_relaxed);
    }
    o->first_flight = (o->first_flight + 1) % OUTBOX_FLIGHTS;
    o->n_flights--;
}

/* Fit what may be under way to what the line carries. */
static void fit_window(struct outbox *o, uint64_t now, const struct outbox_flight *flight)
{
    uint64_t age_ns = now - flight->sent_ns;
    if (!o->is_far) {
        return;
    }
    if (age_ns > late_ns && o->window_bytes > SMALL_WINDOW_BYTES) {
        o->window_bytes /= 2;
    } else if (age_ns < soon_ns && o->window_bytes < WINDOW_BYTES &&
               o->flying_bytes >= o->window_bytes / 2) {
        o->window_bytes *= 2;
    }
}

int outbox_fill(struct outbox *o, uint64_t now, bool is_urgent, bool *out_has_sent)
{
    *out_has_sent = false;
    while (o->n_flights < OUTBOX_FLIGHTS && o->flying_bytes < o->window_bytes) {
        uint64_t head_seq = ringfile_head_seq(o->ring);
        uint64_t n_waiting = head_seq + 1 - o->cursor.seq;
        uint64_t gap_ns = o->is_far ? far_batch_gap_ns : batch_gap_ns;
        bool is_due = is_urgent || o->is_recovery || o->was_full ||
                      n_waiting >= BATCH_RECORDS || now - o->batch_ns >= gap_ns;
        if (!is_due || !peer_can_send(o->peer)) {
            break;
        }
        size_t n_bytes = 0;
        size_t n_records = 0;
        if (!read_batch(o, &n_bytes, &n_records)) {
            if (!o->is_recovery || !build_drops(o, &n_bytes)) {
                note_drained(o, head_seq);
                break;
            }
            n_records = 1;
        }
        /* Filled, or ended before a record that is longer than a batch. */
        o->was_full = n_bytes >= batch_bytes(o) / 2 ||
                      (n_records < BATCH_RECORDS && o->cursor.seq <= head_seq);
        int rc = send_batch(o, now, n_bytes, n_records, out_has_sent);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

void outbox_begin(struct outbox *o, uint64_t last_seq)
{
    while (o->n_flights > 0) { /* of the connection before */
        land(o, o->flights[o->first_flight].first_seq <= last_seq);
    }
    if (last_seq <= ringfile_head_seq(o->ring) + (o->is_recovery ? 1 : 0)) {
        (void)note_acked(o, last_seq, true);
    }
    o->next_seq = last_seq + 1;
    o->cursor = (struct ringfile_cursor){.seq = last_seq + 1,
        .n_lost = o->cursor.n_lost,
        .n_damaged_bytes = o->cursor.n_damaged_bytes};
    o->batch_ns = 0;
}

void outbox_interrupt(struct outbox *o)
{
    o->told_seq = 0;
    atomic_store_explicit(&o->is_waiting, false, memory_order_relaxed);
}

bool outbox_on_ack(struct outbox *o, uint64_t now, uint64_t last_seq)
{
    if (o->n_flights > 0 && o->flights[o->first_flight].last_seq <= last_seq) {
        fit_window(o, now, &o->flights[o->first_flight]);
    }
    while (o->n_flights > 0 && o->flights[o->first_flight].last_seq <= last_seq) {
        land(o, true);
    }
    atomic_store_explicit(&o->is_waiting, o->n_flights > 0, memory_order_relaxed);
    return note_acked(o, last_seq, false);
}

bool outbox_is_waiting(const struct outbox *o)
{
    return o->n_flights > 0;
}

bool outbox_is_empty(const struct outbox *o)
{
    return o->n_flights == 0 && o->cursor.seq > ringfile_head_seq(o->ring);
}

int outbox_read_sticky(struct outbox *o, struct peer_frame *out_frame)
{
    uint64_t used = ringfile_sticky_used(o->ring);
    int rc = ringfile_copy_sticky(o->ring, 0, used, o->sticky);
    if (rc == 0) {
        o->sticky_sent = used;
        *out_frame = (struct peer_frame){o->sticky, (size_t)used};
    }
    return rc;
}

int outbox_init(struct outbox *o, struct ringfile *ring, struct peer *peer,
    bool is_recovery, bool is_far)
{
    *o = (struct outbox){.ring = ring,
        .peer = peer,
        .is_recovery = is_recovery,
        .is_far = is_far,
        .window_bytes = is_far ? FAR_WINDOW_BYTES : WINDOW_BYTES};
    o->buffer = malloc(RECORD_MAX_BYTES);
    if (o->buffer == NULL || ringfile_read_info(ring, &o->info) != 0 ||
        (o->sticky = malloc(o->info.sticky_bytes)) == NULL) {
        return BARO_ENOMEM;
    }
    atomic_store_explicit(&o->acked_seq, o->info.acked_seq, memory_order_relaxed);
    return 0;
}

void outbox_free(struct outbox *o)
{
    free(o->sticky);
    free(o->buffer);
}

void outbox_read_progress(const struct outbox *o, struct sender_progress *out_progress)
{
    uint64_t acked = atomic_load_explicit(&o->acked_seq, memory_order_acquire);
    uint64_t n_missing = atomic_load_explicit(&o->n_missing, memory_order_relaxed);
    uint64_t drained = atomic_load_explicit(&o->drained_seq, memory_order_acquire);
    struct ringfile_info info = {0};
    bool is_told = ringfile_read_info(o->ring, &info) == 0 &&
                   info.dropped_records <= info.told_records;
    out_progress->n_sent = atomic_load_explicit(&o->n_sent, memory_order_relaxed);
    out_progress->acked_seq = acked;
    out_progress->n_acked = acked > n_missing ? acked - n_missing : 0;
    out_progress->is_done = (acked > drained ? acked : drained) >= info.head_seq && is_told;
    out_progress->n_damaged_bytes =
        atomic_load_explicit(&o->n_damaged_bytes, memory_order_relaxed);
}
