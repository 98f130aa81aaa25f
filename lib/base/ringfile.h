/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ring file: one bounded, file-backed ring that is queue, resend buffer, offline spool and
 * flight recorder of one pushing process. libbaro writes it and its sender thread reads it; the
 * daemon and `baro recover` read the rings of processes that are gone.
 *
 *   offset size  meaning (little-endian; A: changes while in use, as an atomic 8-byte word)
 *   0      8     magic "BARORING"
 *   8      4     version: RINGFILE_VERSION
 *   12     4     header_bytes: 4096; the sticky area begins there
 *   16     8     sticky_bytes: size of the sticky area, a multiple of 4096
 *   24     8     data_bytes: size of the data area, which follows the sticky area
 *   32     16    stream: random identity of this ring
 *   48     4     rank
 *   52     4     pid of the owner
 *   56     8     process_start of the owner in clock ticks
 *   64     8     created_ns: wall time
 *   72     40    boot_id of the machine, NUL-terminated
 *   112    8     state_bytes: size of the area of random states, which follows the data area;
 *                a multiple of 4096; 0: there is none, as in all files of version 1
 *   120    8     0
 *   128    8   A sticky_used: bytes of whole sticky records
 *   136    8   A is_closed: 1 after a polite close
 *   192    8   A head: position one past the newest record; positions count bytes since the
 *                birth of the ring and lie at position modulo data_bytes in the data area
 *   200    8   A head_seq: sequence number of the newest record; 0: none yet
 *   208    8   A tail: position of the oldest record that is still whole
 *   256    8   A acked_seq: all records up to here are committed by the daemon
 *   264    8   A acked_pos: position one past that record
 *   320    8   A dropped_records: records that gave way unacknowledged, or were refused
 *   328    8   A dropped_bytes
 *   336    8   A told_records: part of dropped_records that READING_DROPS records tell
 *   344    8   A told_bytes
 *   352    8   A doubt_records: gave way while under way to the daemon: lost unless it answers
 *   360    8   A doubt_bytes
 *   384    8   A state_head: position one past the newest random state, as head is of records
 *   392    8   A state_tail: position of the oldest that is still whole
 *   4096   ...   sticky area: READING_RUN and READING_DECLARE records from its start, never
 *                overwritten, so that the ring explains itself
 *   ...    ...   data area: records of lib/base/record.h one after the other; one that meets
 *                the end of the area goes on at its start
 *   ...    ...   area of random states: likewise, records of READING_RNG of its own, which
 *                ringfile_rng.c describes
 *
 * Writing: a record's words are stored, then head is; a reader never sees half a record, also
 * not after SIGKILL. When the area is full, tail moves past the oldest records before they are
 * overwritten; readers copy out and look at tail afterwards, so they notice. Every record has a
 * checksum, so that what a dying machine left half on disk is skipped and counted.
 *
 * Ownership is a flock(2) on the file: the kernel gives it up with the process, however that ends.
 */
#ifndef BARO_RINGFILE_H
#define BARO_RINGFILE_H

#include <stdbool.h>

#include "lib/base/baro_types.h"
#include "lib/base/paths.h"
#include "lib/base/record.h"

enum {
    RINGFILE_VERSION = 2,   /* 1 is read, too */
    RINGFILE_STATES = 1000, /* of random states so many are read, the newest */
    RINGFILE_HEADER_BYTES = 4096,
    RINGFILE_STREAM_BYTES = 16,
    RINGFILE_MIN_BYTES = 1 << 20,     /* of the data area */
    RINGFILE_DEFAULT_BYTES = 64 << 20 /* of the data area */
};
#define RINGFILE_MAX_BYTES (UINT64_C(1) << 40)
#define RINGFILE_SUFFIX    ".ring"

struct ringfile;

/* How to make a ring. */
struct ringfile_options {
    const char *dir;       /* an existing folder */
    uint64_t data_bytes;   /* 0: RINGFILE_DEFAULT_BYTES; rounded up to a page */
    uint64_t sticky_bytes; /* 0: a sixteenth of data_bytes, 1 to 8 MiB */
    uint32_t rank;
};

/* What a ring says about itself at one moment. */
struct ringfile_info {
    uint8_t stream[RINGFILE_STREAM_BYTES];
    uint32_t rank;
    uint32_t pid;
    uint64_t process_start; /* clock ticks */
    int64_t created_ns;     /* wall time */
    char boot_id[40];
    uint64_t sticky_bytes; /* sizes of the two areas */
    uint64_t data_bytes;
    uint64_t state_bytes;   /* of the random states */
    uint64_t sticky_used;   /* bytes of sticky records */
    uint64_t head_seq;      /* newest record; 0: none */
    uint64_t head_bytes;    /* of all records ever put */
    uint64_t acked_seq;     /* all up to here is committed */
    uint64_t unacked_bytes; /* bytes of records that lie in the ring unacknowledged */
    uint64_t
        dropped_records; /* gave way unacknowledged, or were refused, since the start */
    uint64_t dropped_bytes;
    uint64_t told_records; /* part of them that READING_DROPS records in the ring tell */
    uint64_t told_bytes;
    bool is_closed; /* closed politely; what is unacknowledged waits for recovery */
};

/* A piece of a payload; pieces are put one after the other without padding. */
struct ringfile_part {
    const void *data;
    size_t bytes;
};

/* A reader's place. Begin with {0} for the oldest record, or with seq set to the next wanted. */
struct ringfile_cursor {
    uint64_t pos;             /* kept by ringfile_read */
    uint64_t seq;             /* next record wanted */
    uint64_t n_lost;          /* records that were overwritten before they were read */
    uint64_t n_damaged_bytes; /* bytes skipped because they hold no whole record */
};

/* Who may do what with an opened ring. */
enum ringfile_use {
    RINGFILE_PEEK,   /* read only; the owner may be alive and writing */
    RINGFILE_RECOVER /* read and acknowledge; refused while the owner or a recoverer lives */
};

/* One ring as ringfile_list shows it. */
struct ringfile_entry {
    char path[BARO_PATH_BYTES];
    int code;      /* 0, or why it cannot be read (BARO_ECORRUPT, BARO_EVERSION, ...) */
    bool is_owned; /* its owner is alive, or somebody is recovering it */
    uint64_t file_bytes;
    struct ringfile_info info; /* valid if code is 0 */
    struct baro_err err;       /* the sentence, if code is not 0 */
};

/* The state of random numbers at the beginning of a step. */
struct ringfile_state {
    int64_t step;
    int64_t time_ns; /* wall time */
    int device;      /* whose: -1 of the CPU, else of that GPU */
    uint32_t rank;
    const uint8_t *bytes;
    size_t n_bytes; /* at most RNG_STATE_MAX_BYTES */
};

/* Called per state, which is valid for the call; returns 0 to go on, else the end's result. */
typedef int (*ringfile_state_fn)(const struct ringfile_state *state, void *payload);

/* Called per ring; returns 0 to go on, anything else ends the listing and is its result. */
typedef int (*ringfile_visit_fn)(const struct ringfile_entry *entry, void *payload);

/**
 * Make a ring in a folder and own it; its space is reserved, so writing never raises SIGBUS.
 *
 * out_ring  the caller's; ringfile_close it
 * returns   0; BARO_EINVAL for sizes; BARO_EUNSUPPORTED on a network file system; BARO_EACCES
 *           for a folder that cannot be written; BARO_EFULL without room; BARO_ENOMEM; BARO_EIO
 */
int ringfile_create(struct ringfile **out_ring, const struct ringfile_options *options,
    struct baro_err *err);

/**
 * Open a ring that exists. Its bytes are not trusted and never mapped: a file that is cut short
 * meanwhile gives an error, not a signal.
 *
 * returns  0; BARO_ENOENT; BARO_EACCES; BARO_ECORRUPT; BARO_EVERSION when made by a newer
 *          version; BARO_EBUSY for RINGFILE_RECOVER while another process owns it
 */
int ringfile_open(struct ringfile **out_ring, const char *path, enum ringfile_use use,
    struct baro_err *err);

/** Close a ring and give up its ownership; the file stays. Accepts NULL. */
void ringfile_close(struct ringfile *ring);

/** Delete the file of a ring that is open here for writing or recovery. */
int ringfile_unlink(struct ringfile *ring);

/** Tell the path of a ring's file; valid until it is closed. */
const char *ringfile_path(const struct ringfile *ring);

/**
 * Let go of a ring in a child after fork(): closes the descriptor, so that the child does not
 * keep the ownership. Async-signal-safe. The ring must not be used by the child any more.
 */
void ringfile_disown(struct ringfile *ring);

/** Read what the ring says about itself. Any thread; returns 0 or BARO_EIO, BARO_ECORRUPT. */
int ringfile_read_info(struct ringfile *ring, struct ringfile_info *out_info);

/**
 * Put one record at the head; the oldest give way when the area is full.
 *
 * header   step, time_ns, thing and kind are taken from it, the rest is filled in
 * parts    n_parts pieces of the payload
 * returns  0; BARO_ELIMIT when the record exceeds RECORD_MAX_BYTES or a half of the area, and
 *          BARO_EBUSY when other threads held the ring for about 50 ms: both counted as dropped
 * thread   any, owner's process only
 * cost     one copy; no system call unless threads collide; no allocation
 */
int ringfile_put(struct ringfile *ring, const struct record_header *header,
    const struct ringfile_part *parts, int n_parts);

/** Put one record whose payload is one double: as ringfile_put, in half the time. */
int ringfile_put_number(
    struct ringfile *ring, const struct record_header *header, double value);

/**
 * Append a record to the sticky area; later readers see it before any record put after this.
 *
 * returns  0; BARO_EFULL; BARO_EBUSY as for ringfile_put
 */
int ringfile_put_sticky(struct ringfile *ring, const struct record_header *header,
    const struct ringfile_part *parts, int n_parts);

/**
 * Keep a state of random numbers in the area that is theirs; the oldest give way.
 *
 * returns  0; BARO_ELIMIT for one that is too long, or a ring without such an area; BARO_EBUSY
 *          when another thread is at it: it is left out
 * thread   any, owner's process only
 * cost     a look at each of its words; no system call, no allocation, no waiting
 */
int ringfile_put_state(struct ringfile *ring, const struct ringfile_state *state);

/**
 * Give the states that are kept, oldest first: of the CPU the newest RINGFILE_STATES, and those
 * of other devices between them. Damaged ones are passed over.
 *
 * returns  0; what visit returned; BARO_ECORRUPT; BARO_EIO; BARO_ENOMEM
 */
int ringfile_each_state(struct ringfile *ring, ringfile_state_fn visit, void *payload);

/**
 * Put the states that are kept at the head as records, in place of all that lie there. For who
 * recovers a ring, when he has everything else of it: then the next ringfile_read() gives them.
 *
 * last_seq  of the newest record that was read; all up to it must be committed
 * out_n     how many they are; 0 also when it is done already
 * returns   0; BARO_EIO; BARO_ENOMEM; BARO_ECORRUPT
 */
int ringfile_pour_states(struct ringfile *ring, uint64_t last_seq, uint64_t *out_n);

/** Forget the states that are kept. Returns 0; BARO_EIO; BARO_EBUSY when a thread is at it. */
int ringfile_forget_states(struct ringfile *ring);

/** Tell the sequence number of the newest record; 0 when there is none. Any thread. */
uint64_t ringfile_head_seq(struct ringfile *ring);

/** Tell how many bytes of sticky records there are. Any thread. */
uint64_t ringfile_sticky_used(struct ringfile *ring);

/**
 * Copy sticky bytes out; they are whole records for record_next() when from and to are 0 or
 * values that ringfile_sticky_used() gave.
 *
 * out      to - from bytes
 * returns  0; BARO_EINVAL for a range that is not there; BARO_EIO
 */
int ringfile_copy_sticky(struct ringfile *ring, uint64_t from, uint64_t to, void *out);

/**
 * Copy whole records out, in order, for record_next(): from the cursor on, as many as fit and
 * follow one another without a gap.
 *
 * cursor   moved past what was copied; counts what was overwritten or damaged
 * out      8-byte aligned; with RECORD_MAX_BYTES every record fits
 * max_records  0: no limit
 * out_n_bytes, out_n_records  what was copied; both 0 at the head
 * returns  0; BARO_ELIMIT when the next record alone is longer than out_bytes, and stays;
 *          BARO_EIO when the file cannot be read
 * thread   any, one per cursor
 */
int ringfile_read(struct ringfile *ring, struct ringfile_cursor *cursor, void *out,
    size_t out_bytes, size_t max_records, size_t *out_n_bytes, size_t *out_n_records);

/**
 * Say how far records are about to be handed to the socket, so that those which give way while
 * under way are not counted as dropped before it is known.
 *
 * seq      of the newest that was copied out; never goes back but to acked
 * returns  the oldest sequence number that still lay in the ring at that moment: copies of older
 *          records are counted as dropped already and must not be sent any more
 */
uint64_t ringfile_set_sent(struct ringfile *ring, uint64_t seq);

/**
 * Say how far the daemon has committed. Ignored when it goes back or beyond the head.
 *
 * is_settled  nothing else is under way (after a Welcome): what gave way beyond seq is lost
 */
void ringfile_set_acked(struct ringfile *ring, uint64_t seq, bool is_settled);

/**
 * Put a record that tells the drops not yet told: two doubles, records and bytes. Nothing is
 * put when there are none. When such a record itself gives way unacknowledged, its drops count
 * as untold again.
 *
 * header   as for ringfile_put
 * returns  as ringfile_put
 */
int ringfile_put_drops(struct ringfile *ring, const struct record_header *header);

/** Write down that drops have been told otherwise (a recoverer does). Adds to told_*. */
void ringfile_add_told(struct ringfile *ring, uint64_t n_records, uint64_t n_bytes);

/** Count records that the caller itself had to drop before they reached the ring. Any thread. */
void ringfile_count_dropped(struct ringfile *ring, uint64_t n_records, uint64_t n_bytes);

/** Mark the ring as politely closed. */
void ringfile_mark_closed(struct ringfile *ring);

/**
 * Show every ring in a folder.
 *
 * returns  0 (also when the folder does not exist); what visit returned; BARO_EACCES; BARO_EIO
 */
int ringfile_list(
    const char *dir, ringfile_visit_fn visit, void *payload, struct baro_err *err);

/** Tell whether a ring's owner (or a recoverer) is alive. false also when there is no file. */
bool ringfile_is_owned(const char *path);

#endif
