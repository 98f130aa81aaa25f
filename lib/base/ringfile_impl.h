/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a ring file, shared by ringfile.c, ringfile_put.c and ringfile_read.c only. */
#ifndef BARO_RINGFILE_IMPL_H
#define BARO_RINGFILE_IMPL_H

#include <stdatomic.h>
#include <stddef.h>

#include "lib/base/ringfile.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "ring files are little-endian");

/* The first page of the file; the table in ringfile.h says what the fields mean. */
struct ringfile_page {
    char magic[8];
    uint32_t version;
    uint32_t header_bytes;
    uint64_t sticky_bytes;
    uint64_t data_bytes;
    uint8_t stream[RINGFILE_STREAM_BYTES];
    uint32_t rank;
    uint32_t pid;
    uint64_t process_start;
    int64_t created_ns;
    char boot_id[40];
    uint64_t state_bytes; /* 112 */
    uint8_t reserved0[8];
    _Atomic uint64_t sticky_used; /* 128 */
    _Atomic uint64_t is_closed;
    uint8_t reserved1[48];
    _Atomic uint64_t head; /* 192 */
    _Atomic uint64_t head_seq;
    _Atomic uint64_t tail;
    uint8_t reserved2[40];
    _Atomic uint64_t acked_seq; /* 256 */
    _Atomic uint64_t acked_pos;
    uint8_t reserved3[48];
    _Atomic uint64_t dropped_records; /* 320 */
    _Atomic uint64_t dropped_bytes;
    _Atomic uint64_t told_records;
    _Atomic uint64_t told_bytes;
    _Atomic uint64_t doubt_records;
    _Atomic uint64_t doubt_bytes;
    uint8_t reserved4[16];
    _Atomic uint64_t state_head; /* 384 */
    _Atomic uint64_t state_tail;
};
_Static_assert(
    offsetof(struct ringfile_page, sticky_used) == 128, "the layout is a contract");
_Static_assert(offsetof(struct ringfile_page, head) == 192, "the layout is a contract");
_Static_assert(
    offsetof(struct ringfile_page, acked_seq) == 256, "the layout is a contract");
_Static_assert(offsetof(struct ringfile_page, dropped_records) == 320, "a contract");
_Static_assert(offsetof(struct ringfile_page, state_head) == 384, "a contract");
_Static_assert(sizeof(struct ringfile_page) <= RINGFILE_HEADER_BYTES, "one page");

#define RINGFILE_MAGIC "BARORING"

struct ringfile {
    int fd;     /* holds the flock; -1 after ringfile_disown */
    char *path; /* owned */
    void *map;  /* the whole file; NULL when opened, not created */
    size_t map_bytes;
    uint64_t sticky_bytes; /* sizes of the areas */
    uint64_t data_bytes;
    uint64_t state_bytes;
    struct ringfile_states *states; /* of the owner; NULL when opened */
    struct ringfile_page *page;     /* = map; NULL when opened */
    _Atomic uint64_t *sticky;       /* the areas as words; NULL when opened */
    _Atomic uint64_t *data;

    _Atomic uint32_t lock; /* 1 while a thread puts; guards everything below */
    uint64_t head;         /* as published in the page, but safe from stray writes there */
    uint64_t head_seq;
    uint64_t tail;
    uint64_t head_word; /* where they lie in the data area, in words: saves divisions */
    uint64_t tail_word;
    uint64_t sticky_used;
    uint16_t drops_kind;       /* kind of ringfile_put_drops' records; 0: none put yet */
    uint64_t doubt_first;      /* records that gave way under way: first and last of them */
    uint64_t doubt_last;       /* 0: none */
    uint64_t doubt_told[2];    /* what the drop records among them told */
    _Atomic uint64_t sent_seq; /* handed to the socket up to here; any thread */
};

/** Make what the owner needs to keep random states; NULL without memory. */
struct ringfile_states *ringfile_states_create(void);

/**
 * Copy bytes of an area out, around its end.
 *
 * from     where the area begins, counted from the data area's begin; a multiple of 8
 * pos      position in it, as head and tail count
 * n_bytes  a multiple of 8, at most area_bytes
 */
int ringfile_copy_area(struct ringfile *ring, uint64_t from, uint64_t area_bytes,
    uint64_t pos, void *out, size_t n_bytes);

/** Take the ring's lock; false when others held it for about 50 ms. */
bool ringfile_lock(struct ringfile *ring);

/** Give the lock back. */
void ringfile_unlock(struct ringfile *ring);

/** Settle records that gave way under way, now that all up to acked_seq are committed. Locked. */
void ringfile_settle(struct ringfile *ring, uint64_t acked_seq, bool is_settled);

/** Read one 8-byte word of the first page, mapped or not. offset: offsetof in the page. */
int ringfile_load(struct ringfile *ring, size_t offset, uint64_t *out_value);

/** Write one 8-byte word of the first page, mapped or not. */
int ringfile_store(struct ringfile *ring, size_t offset, uint64_t value);

#define RINGFILE_LOAD(ring, field, out)                                                    \
    ringfile_load((ring), offsetof(struct ringfile_page, field), (out))
#define RINGFILE_STORE(ring, field, value)                                                 \
    ringfile_store((ring), offsetof(struct ringfile_page, field), (value))

#endif
