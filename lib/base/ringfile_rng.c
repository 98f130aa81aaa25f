/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/ringfile.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/base/reading.h"
#include "lib/base/ringfile_impl.h"
#include "lib/base/rng_state.h"
#include "lib/base/spin.h"

/*
 * The states of random numbers of the last steps lie in an area of their own, a small ring beside
 * the large one: they are worth nothing while all goes well, so nobody sends them. Its records are
 * framed like all others (record.h), of kind READING_RNG, but numbered for themselves, and `thing`
 * says how they are packed:
 *
 *   0     the state itself: a key
 *   else  its difference from the key whose number (its low 32 bits) this is
 *
 * A difference is taken when it is an eighth of the state at most and the key is among the newer
 * half of the area, so that it stays as long as what needs it. Writing goes as in
 * ringfile_put.c: the tail moves before anything is overwritten, the head after the last word.
 *
 * When a process is gone and all its other records are committed, the states are poured: unpacked
 * from their keys, they become ordinary records at the ring's head, and travel as such.
 */

enum {
    HEAD_BYTES = RECORD_HEADER_BYTES + RNG_STATE_NUMBERS * sizeof(double),
    SKIP = 8,
    POUR_MIN_BYTES = 128 << 10, /* of a record's greatest length some */
    POUR_BYTES = 8 << 20
};

/* Of the owner: the last key and the record under way. */
struct ringfile_states {
    _Atomic uint32_t lock;
    uint64_t head;
    uint64_t tail;
    uint64_t seq;
    uint64_t key_seq; /* 0: none */
    uint64_t key_pos;
    size_t key_bytes;
    uint8_t key[RNG_STATE_MAX_BYTES];
    uint64_t record[(HEAD_BYTES + RNG_PACKED_MAX_BYTES + 7) / 8];
};

/* ---- writing ---- */

struct ringfile_states *ringfile_states_create(void)
{
    return calloc(1, sizeof(struct ringfile_states));
}

static _Atomic uint64_t *word_at(const struct ringfile *ring, uint64_t pos)
{
    _Atomic uint64_t *area = ring->data + ring->data_bytes / 8;
    return area + pos % ring->state_bytes / 8;
}

static void store(
    struct ringfile *ring, uint64_t pos, const uint64_t *words, size_t n_words)
{
    const uint64_t left = (ring->state_bytes - pos % ring->state_bytes) / 8;
    const size_t first = n_words < left ? n_words : (size_t)left;
    _Atomic uint64_t *to = word_at(ring, pos);
    for (size_t i = 0; i < first; i++) {
        atomic_store_explicit(&to[i], words[i], memory_order_release);
    }
    to = word_at(ring, 0);
    for (size_t i = first; i < n_words; i++) {
        atomic_store_explicit(&to[i - first], words[i], memory_order_release);
    }
}

/* Move the tail until a record of that length fits. */
static void make_room(struct ringfile *ring, struct ringfile_states *states, uint64_t bytes)
{
    uint64_t tail = states->tail;
    while (states->head + bytes - tail > ring->state_bytes) {
        uint64_t oldest =
            atomic_load_explicit(word_at(ring, tail), memory_order_relaxed) & 0xFFFFFFFFU;
        bool is_record =
            oldest >= HEAD_BYTES && oldest % 8 == 0 && oldest <= states->head - tail;
        tail =
            is_record ? tail + oldest : states->head; /* a stray write: all is given up */
    }
    if (tail != states->tail) {
        states->tail = tail;
        atomic_store_explicit(&ring->page->state_tail, tail, memory_order_release);
    }
}

/* Pack a state behind the record's numbers: as a difference if that is short. */
static size_t pack(struct ringfile *ring, struct ringfile_states *states, int device,
    const uint8_t *state, size_t n_bytes, bool *out_is_key)
{
    uint8_t *out = (uint8_t *)states->record + HEAD_BYTES;
    size_t used = 0;
    *out_is_key = device < 0;
    if (device < 0 && states->key_seq != 0 && states->key_bytes == n_bytes &&
        states->head - states->key_pos < ring->state_bytes / 2) {
        used = rng_state_pack(state, n_bytes, states->key, out, n_bytes / 8);
        *out_is_key = used == 0;
    }
    return used > 0 ? used
                    : rng_state_pack(state, n_bytes, NULL, out, RNG_PACKED_MAX_BYTES);
}

static int put_locked(struct ringfile *ring, struct ringfile_states *states,
    struct record_header *header, const struct ringfile_state *state)
{
    bool is_key = false;
    const double numbers[RNG_STATE_NUMBERS] = {
        (double)state->device, (double)state->n_bytes, (double)state->rank};
    size_t used = pack(ring, states, state->device, state->bytes, state->n_bytes, &is_key);
    header->payload_bytes = (uint32_t)(sizeof numbers + used);
    header->bytes = record_bytes(header->payload_bytes);
    header->seq = states->seq + 1;
    header->thing = is_key || state->device >= 0 ? 0 : (uint32_t)states->key_seq;
    if (header->bytes > ring->state_bytes / 4) {
        return BARO_ELIMIT;
    }
    uint8_t *record = (uint8_t *)states->record;
    memset(record + HEAD_BYTES + used, 0, header->bytes - HEAD_BYTES - used);
    memcpy(record, header, sizeof *header);
    memcpy(record + sizeof *header, numbers, sizeof numbers);
    header->check = record_check(record);
    memcpy(record, header, sizeof *header);
    make_room(ring, states, header->bytes);
    store(ring, states->head, states->record, header->bytes / 8);
    if (is_key) {
        states->key_seq = header->seq;
        states->key_pos = states->head;
        states->key_bytes = state->n_bytes;
        memcpy(states->key, state->bytes, state->n_bytes);
    }
    states->seq = header->seq;
    states->head += header->bytes;
    atomic_store_explicit(&ring->page->state_head, states->head, memory_order_release);
    return 0;
}

int ringfile_put_state(struct ringfile *ring, const struct ringfile_state *state)
{
    struct ringfile_states *states = ring->states;
    if (state->n_bytes == 0 || state->n_bytes > RNG_STATE_MAX_BYTES || states == NULL ||
        ring->state_bytes == 0) {
        return BARO_ELIMIT;
    }
    if (atomic_exchange_explicit(&states->lock, 1, memory_order_acquire) != 0) {
        return BARO_EBUSY;
    }
    struct record_header header = {
        .kind = READING_RNG, .step = state->step, .time_ns = state->time_ns};
    int rc = put_locked(ring, states, &header, state);
    atomic_store_explicit(&states->lock, 0, memory_order_release);
    return rc;
}

/* ---- reading ---- */

/* What is read: a copy of the area, straightened, and the key that was met last. */
struct walk {
    uint8_t *bytes;
    size_t n_bytes;
    uint64_t
        n_skipped; /* bytes of the copy that are not to be read: overwritten meanwhile */
    uint64_t key_seq;
    size_t key_bytes;
    uint8_t key[RNG_STATE_MAX_BYTES];
    uint8_t state[RNG_STATE_MAX_BYTES];
};

static int copy_area(struct ringfile *ring, struct walk *walk)
{
    uint64_t head;
    uint64_t tail;
    uint64_t tail_after;
    int rc = RINGFILE_LOAD(ring, state_head, &head);
    rc = rc == 0 ? RINGFILE_LOAD(ring, state_tail, &tail) : rc;
    if (rc != 0 || tail > head || head - tail > ring->state_bytes || head % 8 != 0 ||
        tail % 8 != 0 || head > UINT64_MAX / 2) {
        return rc != 0 ? rc : BARO_ECORRUPT;
    }
    walk->n_bytes = (size_t)(head - tail);
    walk->bytes = calloc(walk->n_bytes + SKIP, 1);
    if (walk->bytes == NULL) {
        return BARO_ENOMEM;
    }
    rc = ringfile_copy_area(
        ring, ring->data_bytes, ring->state_bytes, tail, walk->bytes, walk->n_bytes);
    rc = rc == 0 ? RINGFILE_LOAD(ring, state_tail, &tail_after) : rc;
    if (rc == 0) {
        walk->n_skipped = tail_after > tail ? tail_after - tail : 0;
        walk->n_skipped = walk->n_skipped < walk->n_bytes ? walk->n_skipped : walk->n_bytes;
    }
    return rc;
}

/* Unpack one record; false when it cannot be. */
static bool unpack(struct walk *walk, const struct record_header *header,
    const uint8_t *payload, struct ringfile_state *out)
{
    double numbers[RNG_STATE_NUMBERS];
    if (header->kind != READING_RNG || header->payload_bytes <= sizeof numbers) {
        return false;
    }
    memcpy(numbers, payload, sizeof numbers);
    const uint8_t *packed = payload + sizeof numbers;
    const size_t packed_bytes = header->payload_bytes - sizeof numbers;
    const size_t n_bytes = rng_state_check(numbers, packed, packed_bytes);
    const bool is_whole = header->thing == 0;
    if (n_bytes == 0 ||
        (!is_whole && ((uint32_t)walk->key_seq != header->thing || walk->key_seq == 0 ||
                          walk->key_bytes != n_bytes))) {
        return false;
    }
    if (rng_state_unpack(
            packed, packed_bytes, is_whole ? NULL : walk->key, walk->state, n_bytes) != 0) {
        return false;
    }
    *out = (struct ringfile_state){.step = header->step,
        .time_ns = header->time_ns,
        .device = (int)numbers[0],
        .rank = (uint32_t)numbers[2],
        .bytes = walk->state,
        .n_bytes = n_bytes};
    if (is_whole && out->device < 0) {
        walk->key_seq = header->seq;
        walk->key_bytes = n_bytes;
        memcpy(walk->key, walk->state, n_bytes);
    }
    return true;
}

/* Give all states but those of the CPU's first n_passed ones; counts those of the CPU. */
static int each_state(struct walk *walk, uint64_t n_passed, ringfile_state_fn visit,
    void *payload, uint64_t *out_n)
{
    const uint8_t *at = walk->bytes + walk->n_skipped;
    const uint8_t *end = walk->bytes + walk->n_bytes;
    uint64_t n = 0;
    walk->key_seq = 0;
    while (at < end) {
        struct record_header header;
        const uint8_t *bytes = NULL;
        struct ringfile_state state;
        const uint8_t *next = at;
        if (record_next(&next, end, &header, &bytes) != 1) {
            at += SKIP; /* damaged: the next one that is whole */
            continue;
        }
        at = next;
        if (!unpack(walk, &header, bytes, &state)) {
            continue;
        }
        n += state.device < 0 ? 1 : 0;
        if (visit != NULL && n > n_passed) {
            int rc = visit(&state, payload);
            if (rc != 0) {
                return rc;
            }
        }
    }
    *out_n = n;
    return 0;
}

int ringfile_each_state(struct ringfile *ring, ringfile_state_fn visit, void *payload)
{
    if (ring->state_bytes == 0) {
        return 0;
    }
    baro_autofree struct walk *walk = calloc(1, sizeof *walk);
    if (walk == NULL) {
        return BARO_ENOMEM;
    }
    uint64_t n = 0;
    int rc = copy_area(ring, walk);
    rc = rc == 0 ? each_state(walk, 0, NULL, NULL, &n) : rc;
    if (rc == 0) {
        uint64_t n_passed = n > RINGFILE_STATES ? n - RINGFILE_STATES : 0;
        rc = each_state(walk, n_passed, visit, payload, &n);
    }
    free(walk->bytes);
    return rc;
}

/* ---- pouring ---- */

/* Records that are to be poured. */
struct poured {
    uint8_t *bytes;
    size_t used;
    size_t limit;
};

static uint32_t bytes_at(const struct poured *poured, size_t at)
{
    uint32_t bytes;
    memcpy(&bytes, poured->bytes + at, sizeof bytes);
    return bytes;
}

/* The oldest give way until a quarter is free. */
static void drop_oldest(struct poured *to)
{
    size_t at = 0;
    while (to->used - at > to->limit / 4 * 3) {
        at += bytes_at(to, at);
    }
    memmove(to->bytes, to->bytes + at, to->used - at);
    to->used -= at;
}

static int pour_one(const struct ringfile_state *state, void *payload)
{
    struct poured *to = payload;
    if (to->limit - to->used < HEAD_BYTES + RNG_PACKED_MAX_BYTES + 8) {
        drop_oldest(to);
    }
    uint8_t *record = to->bytes + to->used;
    const double numbers[RNG_STATE_NUMBERS] = {
        (double)state->device, (double)state->n_bytes, (double)state->rank};
    const size_t used = rng_state_pack(
        state->bytes, state->n_bytes, NULL, record + HEAD_BYTES, RNG_PACKED_MAX_BYTES);
    struct record_header header = {.kind = READING_RNG,
        .step = state->step,
        .time_ns = state->time_ns,
        .payload_bytes = (uint32_t)(sizeof numbers + used)};
    header.bytes = record_bytes(header.payload_bytes);
    memset(record + HEAD_BYTES + used, 0, header.bytes - HEAD_BYTES - used);
    memcpy(record, &header, sizeof header);
    memcpy(record + sizeof header, numbers, sizeof numbers);
    to->used += header.bytes;
    return 0;
}

/* Number the records; gives the last number. */
static uint64_t number_all(struct poured *poured, uint64_t seq)
{
    for (size_t at = 0; at < poured->used; at += bytes_at(poured, at)) {
        struct record_header header;
        memcpy(&header, poured->bytes + at, sizeof header);
        header.seq = ++seq;
        memcpy(poured->bytes + at, &header, sizeof header);
        header.check = record_check(poured->bytes + at);
        memcpy(poured->bytes + at, &header, sizeof header);
    }
    return seq;
}

static int write_at(int fd, const uint8_t *from, size_t n_bytes, uint64_t offset)
{
    while (n_bytes > 0) {
        ssize_t n = pwrite(fd, from, n_bytes, (off_t)offset);
        if (n <= 0) {
            return BARO_EIO;
        }
        from += n;
        offset += (uint64_t)n;
        n_bytes -= (size_t)n;
    }
    return 0;
}

/* The data area is free: what lay in it is committed. The new records begin at its head. */
static int write_poured(struct ringfile *ring, const struct poured *poured, uint64_t seq)
{
    uint64_t head = 0;
    const uint64_t base = RINGFILE_HEADER_BYTES + ring->sticky_bytes;
    int rc = RINGFILE_LOAD(ring, head, &head);
    const uint64_t offset = head % ring->data_bytes;
    const uint64_t left = ring->data_bytes - offset;
    const size_t first = poured->used < left ? poured->used : (size_t)left;
    rc = rc == 0 ? RINGFILE_STORE(ring, tail, head) : rc;
    rc = rc == 0 ? write_at(ring->fd, poured->bytes, first, base + offset) : rc;
    rc = rc == 0 ? write_at(ring->fd, poured->bytes + first, poured->used - first, base)
                 : rc;
    rc = rc == 0 ? RINGFILE_STORE(ring, head, head + poured->used) : rc;
    return rc == 0 ? RINGFILE_STORE(ring, head_seq, seq) : rc;
}

int ringfile_pour_states(struct ringfile *ring, uint64_t last_seq, uint64_t *out_n)
{
    *out_n = 0;
    const uint64_t head_seq = ringfile_head_seq(ring);
    const uint64_t before = head_seq > last_seq ? head_seq : last_seq;
    const uint64_t half = ring->data_bytes / 2;
    struct poured poured = {.limit = half < POUR_BYTES ? (size_t)half : POUR_BYTES};
    if (ring->map != NULL || ring->state_bytes == 0 || half < POUR_MIN_BYTES) {
        return 0;
    }
    baro_autofree uint8_t *bytes = calloc(poured.limit, 1);
    poured.bytes = bytes;
    int rc = bytes != NULL ? ringfile_each_state(ring, pour_one, &poured) : BARO_ENOMEM;
    if (rc == 0 && poured.used > 0) {
        const uint64_t seq = number_all(&poured, before);
        rc = write_poured(ring, &poured, seq);
        *out_n = rc == 0 ? seq - before : 0;
    }
    return rc == 0 ? ringfile_forget_states(ring) : rc;
}

int ringfile_forget_states(struct ringfile *ring)
{
    struct ringfile_states *states = ring->states;
    uint64_t head = 0;
    if (ring->state_bytes == 0) {
        return 0;
    }
    if (states == NULL) {
        int rc = RINGFILE_LOAD(ring, state_head, &head);
        return rc == 0 ? RINGFILE_STORE(ring, state_tail, head) : rc;
    }
    if (!baro_spin_lock(&states->lock)) {
        return BARO_EBUSY;
    }
    states->tail = states->head;
    states->key_seq = 0; /* it is forgotten, too */
    int rc = RINGFILE_STORE(ring, state_tail, states->tail);
    baro_spin_unlock(&states->lock);
    return rc;
}
