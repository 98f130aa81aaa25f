/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/ringfile.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "lib/base/ringfile_impl.h"
#include "lib/base/spin.h"

/*
 * The writing side. One thread at a time holds a small spin lock, so that several may push.
 *
 * Readers copy records out while this side may be overwriting them. It goes like a seqlock whose
 * counter is the tail: tail moves past a record before the first of its words is replaced, every
 * word is stored with release order, readers load words with acquire order and then look at the
 * tail. A reader that saw a single new word therefore also sees the new tail, and throws its copy
 * away. On x86 these loads and stores are plain moves.
 *
 * The oldest records' own headers say how long they are; they lie in memory that a stray write
 * of the training program may have hit, so they are checked, and when they make no sense the
 * whole ring is given up as dropped rather than walked.
 */

enum {
    STAGE_BYTES = 2048,
    SEQ_WORD = 1,     /* offset 8 of a record, in words */
    KIND_WORD = 4,    /* offset 32: thing, kind */
    PAYLOAD_WORD = 6, /* offset 48 */
    HEADER_WORDS = RECORD_HEADER_BYTES / 8,
    AHEAD_WORDS = 64 /* eight lines before the head */
};

/* Where words go: one of the two areas, and the place in it. */
struct area {
    _Atomic uint64_t *words;
    uint64_t n_words;
    uint64_t index;
};

bool ringfile_lock(struct ringfile *ring)
{
    return baro_spin_lock(&ring->lock);
}

void ringfile_unlock(struct ringfile *ring)
{
    baro_spin_unlock(&ring->lock);
}

static void add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* A place in the data area so many words on. */
static uint64_t words_on(const struct ringfile *ring, uint64_t at, uint64_t n)
{
    const uint64_t n_words = ring->data_bytes / 8;
    return at + n < n_words ? at + n : at + n - n_words;
}

/* A word of the record that begins at a place. */
static uint64_t data_word(const struct ringfile *ring, uint64_t at, unsigned word)
{
    return atomic_load_explicit(
        &ring->data[words_on(ring, at, word)], memory_order_relaxed);
}

static uint64_t from_double(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value > 0 && value < 0x1p63 ? (uint64_t)value : 0;
}

/* Count one record that gives way though the daemon has not said that it has it. */
static void count_eviction(struct ringfile *ring, uint64_t at, uint64_t bytes)
{
    struct ringfile_page *page = ring->page;
    uint64_t seq = data_word(ring, at, SEQ_WORD);
    if (seq <= atomic_load_explicit(&page->acked_seq, memory_order_relaxed)) {
        return;
    }
    bool is_under_way = seq <= atomic_load_explicit(&ring->sent_seq, memory_order_relaxed);
    uint16_t kind = (uint16_t)(data_word(ring, at, KIND_WORD) >> 32);
    if (is_under_way) {
        ring->doubt_first = ring->doubt_last == 0 ? seq : ring->doubt_first;
        ring->doubt_last = seq;
    }
    if (kind == ring->drops_kind && kind != 0) {
        uint64_t n = from_double(data_word(ring, at, PAYLOAD_WORD));
        uint64_t n_bytes = from_double(data_word(ring, at, PAYLOAD_WORD + 1));
        if (is_under_way) {
            ring->doubt_told[0] += n;
            ring->doubt_told[1] += n_bytes;
        } else {
            atomic_fetch_sub_explicit(&page->told_records, n, memory_order_relaxed);
            atomic_fetch_sub_explicit(&page->told_bytes, n_bytes, memory_order_relaxed);
        }
    } else if (is_under_way) {
        add(&page->doubt_records, 1);
        add(&page->doubt_bytes, bytes);
    } else {
        add(&page->dropped_records, 1);
        add(&page->dropped_bytes, bytes);
    }
}

uint64_t ringfile_set_sent(struct ringfile *ring, uint64_t seq)
{
    /* Only a living writer evicts. The lock keeps it from doing so between the two looks; without
     * it (a writer that was held up) records may count as dropped that do arrive. */
    bool is_locked = ring->map != NULL && ringfile_lock(ring);
    atomic_store_explicit(&ring->sent_seq, seq, memory_order_relaxed);
    uint64_t oldest = 0;
    if (is_locked) {
        oldest = ring->tail < ring->head ? data_word(ring, ring->tail_word, SEQ_WORD)
                                         : ringfile_head_seq(ring) + 1;
        ringfile_unlock(ring);
    }
    return oldest;
}

/* Move the tail until a record of that length fits. */
static void make_room(struct ringfile *ring, uint64_t bytes)
{
    uint64_t tail = ring->tail;
    uint64_t at = ring->tail_word;
    while (ring->head + bytes - tail > ring->data_bytes) {
        uint64_t oldest = data_word(ring, at, 0) & 0xFFFFFFFFU;
        if (oldest < RECORD_HEADER_BYTES || oldest % 8 != 0 || oldest > ring->head - tail) {
            add(&ring->page->dropped_records, 1); /* how many there were cannot be known */
            add(&ring->page->dropped_bytes, ring->head - tail);
            tail = ring->head;
            at = ring->head_word;
            break;
        }
        count_eviction(ring, at, oldest);
        tail += oldest;
        at = words_on(ring, at, oldest / 8);
    }
    if (tail != ring->tail) {
        ring->tail = tail;
        ring->tail_word = at;
        atomic_store_explicit(&ring->page->tail, tail, memory_order_release);
    }
}

static void store_words(struct area *area, const uint64_t *words, size_t n_words)
{
    while (n_words > 0) {
        const uint64_t left = area->n_words - area->index;
        const size_t n = n_words < left ? n_words : (size_t)left;
        _Atomic uint64_t *to = &area->words[area->index];
        for (size_t i = 0; i < n; i++) {
            atomic_store_explicit(&to[i], words[i], memory_order_release);
        }
        words += n;
        n_words -= n;
        area->index = n == left ? 0 : area->index + n;
    }
}

/* A record that fits the stage: gathered, hashed and stored in one go. */
static void store_small(struct area *area, struct record_header *header,
    const struct ringfile_part *parts, int n_parts)
{
    uint64_t stage[STAGE_BYTES / 8];
    uint8_t *bytes = (uint8_t *)stage;
    size_t fill = RECORD_HEADER_BYTES;
    stage[header->bytes / 8 - 1] = 0;
    memcpy(stage, header, sizeof *header);
    for (int i = 0; i < n_parts; i++) {
        if (parts[i].bytes > 0) {
            memcpy(bytes + fill, parts[i].data, parts[i].bytes);
            fill += parts[i].bytes;
        }
    }
    header->check = (uint32_t)XXH3_64bits(bytes + 8, header->bytes - 8);
    memcpy(stage, header, 8);
    store_words(area, stage, header->bytes / 8);
}

/* A longer one: payload in pieces through the stage, the header last, when its check is known. */
static void store_large(struct area *area, struct record_header *header,
    const struct ringfile_part *parts, int n_parts)
{
    uint64_t stage[STAGE_BYTES / 8];
    uint8_t *bytes = (uint8_t *)stage;
    struct area body = *area;
    body.index = (area->index + HEADER_WORDS) % area->n_words;
    XXH3_state_t state;
    XXH3_INITSTATE(&state);
    (void)XXH3_64bits_reset(&state);
    (void)XXH3_64bits_update(&state, (const uint8_t *)header + 8, RECORD_HEADER_BYTES - 8);
    size_t fill = 0;
    for (int i = 0; i < n_parts; i++) {
        const uint8_t *from = parts[i].data;
        size_t left = parts[i].bytes;
        while (left > 0) {
            size_t n = left < STAGE_BYTES - fill ? left : STAGE_BYTES - fill;
            memcpy(bytes + fill, from, n);
            fill += n;
            from += n;
            left -= n;
            if (fill == STAGE_BYTES) {
                (void)XXH3_64bits_update(&state, stage, fill);
                store_words(&body, stage, fill / 8);
                fill = 0;
            }
        }
    }
    memset(bytes + fill, 0, (8 - fill % 8) % 8);
    fill = (fill + 7) & ~(size_t)7;
    (void)XXH3_64bits_update(&state, stage, fill);
    store_words(&body, stage, fill / 8);
    header->check = (uint32_t)XXH3_64bits_digest(&state);
    memcpy(stage, header, sizeof *header);
    store_words(area, stage, HEADER_WORDS);
}

static void store_record(struct area *area, struct record_header *header,
    const struct ringfile_part *parts, int n_parts)
{
    if (header->bytes <= STAGE_BYTES) {
        store_small(area, header, parts, n_parts);
    } else {
        store_large(area, header, parts, n_parts);
    }
}

/* Fill in what the ring decides; 0 when the payload is too long. */
static uint32_t complete(struct record_header *header, const struct ringfile_part *parts,
    int n_parts, uint64_t limit)
{
    size_t payload = 0;
    for (int i = 0; i < n_parts; i++) {
        if (parts[i].bytes > RECORD_MAX_BYTES) {
            return 0;
        }
        payload += parts[i].bytes;
    }
    if (payload > RECORD_MAX_BYTES - 64 || record_bytes((uint32_t)payload) > limit) {
        return 0;
    }
    header->payload_bytes = (uint32_t)payload;
    header->bytes = record_bytes((uint32_t)payload);
    header->reserved0 = 0;
    header->reserved1 = 0;
    return header->bytes;
}

static uint64_t untold(const struct ringfile *ring)
{
    return atomic_load_explicit(&ring->page->dropped_records, memory_order_relaxed) -
           atomic_load_explicit(&ring->page->told_records, memory_order_relaxed);
}

/* The record that lies at the head is whole: let readers see it. */
static void publish(struct ringfile *ring, uint32_t bytes)
{
    ring->head += bytes;
    ring->head_word = words_on(ring, ring->head_word, bytes / 8);
    ring->head_seq++;
    /* Killed between these two, the ring holds one record more than head_seq says. */
    atomic_store_explicit(&ring->page->head, ring->head, memory_order_release);
    atomic_store_explicit(&ring->page->head_seq, ring->head_seq, memory_order_release);
    if (ring->data_bytes / 8 - ring->head_word > AHEAD_WORDS) {
        /* The lines of the next records come into the cache before they are needed. */
        __builtin_prefetch(&ring->data[ring->head_word + AHEAD_WORDS], 1);
    }
}

static void put_locked(struct ringfile *ring, struct record_header *header,
    const struct ringfile_part *parts, int n_parts)
{
    make_room(ring, header->bytes);
    header->seq = ring->head_seq + 1;
    struct area area = {ring->data, ring->data_bytes / 8, ring->head_word};
    store_record(&area, header, parts, n_parts);
    publish(ring, header->bytes);
}

/*
 * The record is made up of words: copying structs whose fields have just been written one by one
 * makes the CPU wait for each of them, which took longer than all the rest.
 */
int ringfile_put_number(
    struct ringfile *ring, const struct record_header *header, double value)
{
    enum { WORDS = HEADER_WORDS + 1, BYTES = WORDS * 8 };
    uint64_t words[WORDS] = {
        [2] = (uint64_t)header->step,
        [3] = (uint64_t)header->time_ns,
        [KIND_WORD] = header->thing | (uint64_t)header->kind << 32,
        [KIND_WORD + 1] = sizeof value,
    };
    memcpy(&words[PAYLOAD_WORD], &value, sizeof value);
    if (!ringfile_lock(ring)) {
        ringfile_count_dropped(ring, 1, BYTES);
        return BARO_EBUSY;
    }
    make_room(ring, BYTES);
    words[SEQ_WORD] = ring->head_seq + 1;
    words[0] = BYTES | XXH3_64bits(words + 1, BYTES - 8) << 32;
    if (ring->data_bytes / 8 - ring->head_word >= WORDS) {
        for (uint64_t i = 0; i < WORDS; i++) {
            atomic_store_explicit(
                &ring->data[ring->head_word + i], words[i], memory_order_release);
        }
    } else {
        struct area area = {ring->data, ring->data_bytes / 8, ring->head_word};
        store_words(&area, words, WORDS);
    }
    publish(ring, BYTES);
    ringfile_unlock(ring);
    return 0;
}

int ringfile_put(struct ringfile *ring, const struct record_header *header,
    const struct ringfile_part *parts, int n_parts)
{
    struct record_header full = *header;
    if (complete(&full, parts, n_parts, ring->data_bytes / 2) == 0) {
        ringfile_count_dropped(ring, 1, 0);
        return BARO_ELIMIT;
    }
    if (!ringfile_lock(ring)) {
        ringfile_count_dropped(ring, 1, full.bytes);
        return BARO_EBUSY;
    }
    put_locked(ring, &full, parts, n_parts);
    ringfile_unlock(ring);
    return 0;
}

int ringfile_put_drops(struct ringfile *ring, const struct record_header *header)
{
    struct ringfile_page *page = ring->page;
    double payload[2];
    const struct ringfile_part part = {payload, sizeof payload};
    struct record_header full = *header;
    (void)complete(&full, &part, 1, ring->data_bytes / 2);
    if (!ringfile_lock(ring)) {
        return BARO_EBUSY;
    }
    uint64_t n = untold(ring);
    if (n > 0) {
        make_room(ring, full.bytes); /* what gives way to this record is told by it, too */
        n = untold(ring);
        uint64_t n_bytes =
            atomic_load_explicit(&page->dropped_bytes, memory_order_relaxed) -
            atomic_load_explicit(&page->told_bytes, memory_order_relaxed);
        payload[0] = (double)n;
        payload[1] = (double)n_bytes;
        ring->drops_kind = header->kind;
        put_locked(ring, &full, &part, 1);
        add(&page->told_records, n);
        add(&page->told_bytes, n_bytes);
    }
    ringfile_unlock(ring);
    return 0;
}

int ringfile_put_sticky(struct ringfile *ring, const struct record_header *header,
    const struct ringfile_part *parts, int n_parts)
{
    struct record_header full = *header;
    full.seq = 0;
    if (complete(&full, parts, n_parts, ring->sticky_bytes) == 0) {
        return BARO_EFULL;
    }
    if (!ringfile_lock(ring)) {
        return BARO_EBUSY;
    }
    int rc = BARO_EFULL;
    if (full.bytes <= ring->sticky_bytes - ring->sticky_used) {
        struct area area = {ring->sticky, ring->sticky_bytes / 8, ring->sticky_used / 8};
        store_record(&area, &full, parts, n_parts);
        ring->sticky_used += full.bytes;
        atomic_store_explicit(
            &ring->page->sticky_used, ring->sticky_used, memory_order_release);
        rc = 0;
    }
    ringfile_unlock(ring);
    return rc;
}

void ringfile_settle(struct ringfile *ring, uint64_t acked_seq, bool is_settled)
{
    struct ringfile_page *page = ring->page;
    if (ring->doubt_last == 0 || (acked_seq < ring->doubt_last && !is_settled)) {
        return;
    }
    if (acked_seq < ring->doubt_last) {
        uint64_t n = atomic_load_explicit(&page->doubt_records, memory_order_relaxed);
        uint64_t n_bytes = atomic_load_explicit(&page->doubt_bytes, memory_order_relaxed);
        uint64_t n_all = ring->doubt_last - ring->doubt_first + 1;
        uint64_t n_lost =
            acked_seq < ring->doubt_first ? n_all : ring->doubt_last - acked_seq;
        if (n_lost < n_all) { /* bytes of a part are an estimate; records are not */
            n_bytes = (uint64_t)((double)n_bytes * (double)n_lost / (double)n_all);
        }
        add(&page->dropped_records, n_lost < n ? n_lost : n);
        add(&page->dropped_bytes, n_bytes);
        atomic_fetch_sub_explicit(
            &page->told_records, ring->doubt_told[0], memory_order_relaxed);
        atomic_fetch_sub_explicit(
            &page->told_bytes, ring->doubt_told[1], memory_order_relaxed);
    }
    atomic_store_explicit(&page->doubt_records, 0, memory_order_relaxed);
    atomic_store_explicit(&page->doubt_bytes, 0, memory_order_relaxed);
    ring->doubt_first = 0;
    ring->doubt_last = 0;
    ring->doubt_told[0] = 0;
    ring->doubt_told[1] = 0;
}

void ringfile_count_dropped(struct ringfile *ring, uint64_t n_records, uint64_t n_bytes)
{
    if (ring->page != NULL) {
        add(&ring->page->dropped_records, n_records);
        add(&ring->page->dropped_bytes, n_bytes);
    }
}
