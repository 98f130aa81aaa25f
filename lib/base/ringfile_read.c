/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/ringfile.h"

#include <string.h>
#include <unistd.h>

#include "lib/base/ringfile_impl.h"

/*
 * The reading side: of the ring of this process by atomic loads from its mapping, of any other
 * by pread, so that a file cut short by someone gives an error and not a signal. Everything read
 * is untrusted: lengths are checked before use, checksums always.
 */

enum { SCAN_BYTES = 4096 };

static int pread_all(int fd, void *out, size_t n_bytes, uint64_t offset)
{
    uint8_t *to = out;
    while (n_bytes > 0) {
        ssize_t n = pread(fd, to, n_bytes, (off_t)offset);
        if (n <= 0) {
            return BARO_EIO;
        }
        to += n;
        offset += (uint64_t)n;
        n_bytes -= (size_t)n;
    }
    return 0;
}

static _Atomic uint64_t *page_word(const struct ringfile *ring, size_t offset)
{
    return (_Atomic uint64_t *)((char *)ring->map + offset);
}

int ringfile_load(struct ringfile *ring, size_t offset, uint64_t *out_value)
{
    if (ring->map != NULL) {
        *out_value = atomic_load_explicit(page_word(ring, offset), memory_order_acquire);
        return 0;
    }
    return pread_all(ring->fd, out_value, sizeof *out_value, offset);
}

int ringfile_store(struct ringfile *ring, size_t offset, uint64_t value)
{
    if (ring->map != NULL) {
        atomic_store_explicit(page_word(ring, offset), value, memory_order_release);
        return 0;
    }
    ssize_t n = pwrite(ring->fd, &value, sizeof value, (off_t)offset);
    return n == (ssize_t)sizeof value ? 0 : BARO_EIO;
}

static void copy_words(uint64_t *out, const _Atomic uint64_t *words, size_t n_words)
{
    for (size_t i = 0; i < n_words; i++) {
        out[i] = atomic_load_explicit(&words[i], memory_order_acquire);
    }
}

int ringfile_copy_area(struct ringfile *ring, uint64_t from, uint64_t area_bytes,
    uint64_t pos, void *out, size_t n_bytes)
{
    uint64_t offset = pos % area_bytes;
    size_t first = n_bytes;
    if (first > area_bytes - offset) {
        first = (size_t)(area_bytes - offset);
    }
    if (ring->map != NULL) {
        uint64_t *to = out;
        const _Atomic uint64_t *area = ring->data + from / 8;
        copy_words(to, area + offset / 8, first / 8);
        copy_words(to + first / 8, area, (n_bytes - first) / 8);
        return 0;
    }
    uint64_t base = RINGFILE_HEADER_BYTES + ring->sticky_bytes + from;
    int rc = pread_all(ring->fd, out, first, base + offset);
    if (rc == 0 && first < n_bytes) {
        rc = pread_all(ring->fd, (uint8_t *)out + first, n_bytes - first, base);
    }
    return rc;
}

/* Copy n_bytes (a multiple of 8) of the data area from a position on, around its end. */
static int copy_data(struct ringfile *ring, uint64_t pos, void *out, size_t n_bytes)
{
    return ringfile_copy_area(ring, 0, ring->data_bytes, pos, out, n_bytes);
}

static bool is_plausible(const struct record_header *header, uint64_t room)
{
    return header->bytes >= RECORD_HEADER_BYTES && header->bytes % 8 == 0 &&
           header->bytes <= RECORD_MAX_BYTES && header->bytes <= room &&
           header->payload_bytes <= header->bytes - RECORD_HEADER_BYTES &&
           record_bytes(header->payload_bytes) == header->bytes && header->reserved0 == 0 &&
           header->reserved1 == 0 && header->seq != 0;
}

/* The two ends of what is in the ring. Head first: tail can only move on after that. */
static int load_ends(struct ringfile *ring, uint64_t *out_head, uint64_t *out_tail)
{
    int rc = RINGFILE_LOAD(ring, head, out_head);
    if (rc == 0) {
        rc = RINGFILE_LOAD(ring, tail, out_tail);
    }
    if (rc == 0 && *out_tail + ring->data_bytes < *out_head) {
        *out_tail =
            *out_head - ring->data_bytes; /* damaged; a scan finds the next record */
    }
    return rc;
}

/*
 * Copy the record at a position out.
 *
 * returns  1: it is whole; 0: it was overwritten meanwhile; BARO_ECORRUPT: it is none;
 *          BARO_ELIMIT: whole as far as the header tells, but longer than out_bytes; BARO_EIO
 */
static int copy_record(struct ringfile *ring, uint64_t pos, uint64_t head, uint64_t min_seq,
    void *out, size_t out_bytes)
{
    struct record_header header;
    int rc = copy_data(ring, pos, &header, sizeof header);
    if (rc != 0) {
        return rc;
    }
    uint64_t tail;
    bool is_record = is_plausible(&header, head - pos) && header.seq >= min_seq;
    bool does_fit = header.bytes <= out_bytes;
    if (is_record && does_fit) {
        rc = copy_data(ring, pos, out, header.bytes);
    }
    if (rc != 0 || (rc = RINGFILE_LOAD(ring, tail, &tail)) != 0) {
        return rc;
    }
    if (tail > pos) {
        return 0;
    }
    if (is_record && !does_fit) {
        return BARO_ELIMIT;
    }
    if (!is_record || memcmp(out, &header, sizeof header) != 0 ||
        header.check != record_check(out)) {
        return BARO_ECORRUPT;
    }
    return 1;
}

/* Find the first whole record after damage; head when there is none. */
static int scan(struct ringfile *ring, uint64_t pos, uint64_t head, uint64_t min_seq,
    void *scratch, size_t scratch_bytes, uint64_t *out_pos)
{
    uint64_t block[SCAN_BYTES / 8];
    while (head - pos >= RECORD_HEADER_BYTES) {
        size_t n = head - pos < SCAN_BYTES ? (size_t)(head - pos) : SCAN_BYTES;
        int rc = copy_data(ring, pos, block, n);
        if (rc != 0) {
            return rc;
        }
        for (size_t i = 0; i + RECORD_HEADER_BYTES <= n; i += 8) {
            struct record_header header;
            memcpy(&header, (const uint8_t *)block + i, sizeof header);
            if (!is_plausible(&header, head - pos - i) || header.seq < min_seq ||
                header.bytes > scratch_bytes) {
                continue;
            }
            rc = copy_record(ring, pos + i, head, min_seq, scratch, scratch_bytes);
            if (rc >= 0) { /* found, or overwritten: then the caller begins anew */
                *out_pos = pos + i;
                return 0;
            }
        }
        pos += n - RECORD_HEADER_BYTES + 8;
    }
    *out_pos = head;
    return 0;
}

/* Where to look for a record first: just past the acknowledged ones when that is near. */
static int start_pos(struct ringfile *ring, const struct ringfile_cursor *cursor,
    uint64_t head, uint64_t tail, uint64_t *out_pos)
{
    uint64_t acked_seq = 0;
    uint64_t acked_pos = 0;
    *out_pos = tail;
    int rc = RINGFILE_LOAD(ring, acked_seq, &acked_seq);
    if (rc == 0) {
        rc = RINGFILE_LOAD(ring, acked_pos, &acked_pos);
    }
    if (rc == 0 && cursor->seq > acked_seq && acked_pos > tail && acked_pos <= head) {
        *out_pos = acked_pos;
    }
    return rc;
}

/* Take one record at the cursor; 1: copied to out; 2: passed over; 0: nothing fits or is left. */
static int read_one(struct ringfile *ring, struct ringfile_cursor *cursor, uint8_t *out,
    size_t out_bytes, bool is_first)
{
    uint64_t head;
    uint64_t tail;
    int rc = load_ends(ring, &head, &tail);
    if (rc == 0 && cursor->pos == 0) {
        rc = start_pos(ring, cursor, head, tail, &cursor->pos);
    }
    if (rc != 0) {
        return rc;
    }
    if (cursor->pos < tail) {
        cursor->pos = tail;
    }
    if (cursor->pos >= head || out_bytes < RECORD_HEADER_BYTES) {
        return 0;
    }
    rc = copy_record(ring, cursor->pos, head, 1, out, out_bytes);
    if (rc == 0) {
        return 2;
    }
    if (rc == BARO_ELIMIT) {
        return is_first ? BARO_ELIMIT : 0;
    }
    if (rc == BARO_ECORRUPT) {
        uint64_t next = head;
        uint64_t min_seq = cursor->seq > 0 ? cursor->seq : 1;
        rc = scan(ring, cursor->pos + 8, head, min_seq, out, out_bytes, &next);
        cursor->n_damaged_bytes += rc == 0 ? next - cursor->pos : 0;
        cursor->pos = next;
        return rc == 0 ? 2 : rc;
    }
    if (rc < 0) {
        return rc;
    }
    struct record_header header;
    memcpy(&header, out, sizeof header);
    if (header.seq > cursor->seq && cursor->seq > 0 && !is_first) {
        return 0; /* a gap: what was copied so far is a run without one */
    }
    cursor->pos += header.bytes;
    if (header.seq < cursor->seq) {
        return 2;
    }
    cursor->n_lost += cursor->seq > 0 ? header.seq - cursor->seq : 0;
    cursor->seq = header.seq + 1;
    return 1;
}

int ringfile_read(struct ringfile *ring, struct ringfile_cursor *cursor, void *out,
    size_t out_bytes, size_t max_records, size_t *out_n_bytes, size_t *out_n_records)
{
    size_t used = 0;
    size_t n_records = 0;
    int rc = 1;
    while (rc > 0 && (max_records == 0 || n_records < max_records)) {
        uint8_t *to = (uint8_t *)out + used;
        rc = read_one(ring, cursor, to, out_bytes - used, used == 0);
        if (rc == 1) {
            struct record_header header;
            memcpy(&header, to, sizeof header);
            used += header.bytes;
            n_records++;
        }
    }
    *out_n_bytes = used;
    *out_n_records = n_records;
    return rc < 0 && n_records == 0 ? rc : 0;
}

uint64_t ringfile_head_seq(struct ringfile *ring)
{
    uint64_t seq = 0;
    return RINGFILE_LOAD(ring, head_seq, &seq) == 0 ? seq : 0;
}

uint64_t ringfile_sticky_used(struct ringfile *ring)
{
    uint64_t used = 0;
    if (RINGFILE_LOAD(ring, sticky_used, &used) != 0 || used > ring->sticky_bytes) {
        return 0;
    }
    return used & ~UINT64_C(7);
}

int ringfile_copy_sticky(struct ringfile *ring, uint64_t from, uint64_t to, void *out)
{
    if (from > to || to > ringfile_sticky_used(ring) || from % 8 != 0 || to % 8 != 0) {
        return BARO_EINVAL;
    }
    if (ring->map != NULL) {
        copy_words(out, ring->sticky + from / 8, (size_t)(to - from) / 8);
        return 0;
    }
    return pread_all(ring->fd, out, (size_t)(to - from), RINGFILE_HEADER_BYTES + from);
}

/* Position one past the record with that number, walking from the last acknowledged one. */
static uint64_t pos_after(struct ringfile *ring, uint64_t seq)
{
    uint64_t head;
    uint64_t tail;
    uint64_t pos = 0;
    if (load_ends(ring, &head, &tail) != 0 || RINGFILE_LOAD(ring, acked_pos, &pos) != 0) {
        return 0;
    }
    pos = pos < tail || pos > head ? tail : pos;
    uint64_t after = pos;
    while (pos < head) {
        struct record_header header;
        if (copy_data(ring, pos, &header, sizeof header) != 0 ||
            !is_plausible(&header, head - pos) || header.seq > seq) {
            break;
        }
        pos += header.bytes;
        after = pos;
    }
    return after;
}

void ringfile_set_acked(struct ringfile *ring, uint64_t seq, bool is_settled)
{
    uint64_t acked = 0;
    if (RINGFILE_LOAD(ring, acked_seq, &acked) != 0 || seq > ringfile_head_seq(ring) + 1) {
        return;
    }
    seq = seq < acked ? acked : seq;
    if (seq > acked) {
        uint64_t pos = pos_after(ring, seq);
        (void)RINGFILE_STORE(ring, acked_seq, seq);
        (void)RINGFILE_STORE(ring, acked_pos, pos);
    }
    if (is_settled) {
        atomic_store_explicit(&ring->sent_seq, seq, memory_order_relaxed);
    }
    if (ring->map != NULL && ringfile_lock(ring)) {
        ringfile_settle(ring, seq, is_settled);
        ringfile_unlock(ring);
    }
}

void ringfile_add_told(struct ringfile *ring, uint64_t n_records, uint64_t n_bytes)
{
    uint64_t value = 0;
    if (RINGFILE_LOAD(ring, told_records, &value) == 0) {
        (void)RINGFILE_STORE(ring, told_records, value + n_records);
    }
    if (RINGFILE_LOAD(ring, told_bytes, &value) == 0) {
        (void)RINGFILE_STORE(ring, told_bytes, value + n_bytes);
    }
}
