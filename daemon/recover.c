/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/recover.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/ingest.h"
#include "daemon/status.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/ringfile.h"

#define LOG_MODULE "recover"

/*
 * Phases of a ring: read its sticky records, read its records piece by piece while there is room
 * in the open bundle, wait until the last of them is committed, read the random states in the same
 * way, delete the file. The path came
 * from a client, so it is only a hint: the file must be ours, a regular file, and carry the
 * stream's own identity; otherwise it is left alone.
 */

enum { USUAL_RECORD_BYTES = 256 }; /* in a bundle, so that a piece is no larger than one */

struct ring_reader {
    struct ringfile *ring;
    struct ringfile_cursor cursor;
    uint64_t seq_before; /* newest record known before the ring was read */
    bool is_read;        /* to the end; waits for the commit */
    bool has_poured;     /* the random states are among its records */
};

/* Open the ring if it is what the stream said; NULL when there is nothing to read. */
static struct ringfile *open_ring(
    const struct stream *stream, const char *path, struct baro_err *err)
{
    struct stat status;
    if (path[0] != '/' || lstat(path, &status) != 0) {
        return NULL; /* gone already: closed politely, or recovered by hand */
    }
    if (!S_ISREG(status.st_mode) || status.st_uid != getuid()) {
        (void)baro_err_set(err, BARO_EACCES, "it is not a regular file of this user");
        return NULL;
    }
    struct ringfile *ring = NULL;
    if (ringfile_open(&ring, path, RINGFILE_RECOVER, err) != 0) {
        return NULL;
    }
    struct ringfile_info info;
    if (ringfile_read_info(ring, &info) != 0 ||
        memcmp(info.stream, stream->id, WIRE_STREAM_BYTES) != 0) {
        (void)baro_err_set(err, BARO_ECORRUPT, "it holds another stream");
        ringfile_close(ring);
        return NULL;
    }
    return ring;
}

static int take_sticky(struct barod *barod, struct stream *stream, struct baro_err *err)
{
    uint64_t n_bytes = ringfile_sticky_used(stream->reader->ring);
    if (n_bytes > WIRE_MAX_FRAME_BYTES) {
        return baro_err_set(err, BARO_ELIMIT, "its sticky records are over the limit");
    }
    baro_autofree uint8_t *bytes = baro_xcalloc(n_bytes > 0 ? n_bytes : 1, 1);
    if (ringfile_copy_sticky(stream->reader->ring, 0, n_bytes, bytes) != 0) {
        return baro_err_set(err, BARO_EIO, "its sticky records cannot be read");
    }
    struct raw frame = {bytes, n_bytes};
    return ingest_sticky(barod, stream, &frame, err);
}

static void stop_reading(struct barod *barod, struct stream *stream)
{
    barod->n_readers--;
    ringfile_close(stream->reader->ring);
    free(stream->reader);
    stream->reader = NULL;
}

static void begin(struct barod *barod, struct stream *stream, const char *path)
{
    struct baro_err err = {0};
    struct ringfile *ring = open_ring(stream, path, &err);
    if (ring == NULL && err.code == BARO_EBUSY) {
        return; /* somebody else is at it; look again in a second */
    }
    if (ring == NULL) {
        if (err.code != 0) {
            log_warn("run %" PRIu32 ": its ring '%s' is left alone: %s",
                stream->run->number, stream->hello->ring_path, err.text);
        }
        status_on_gone(barod, stream);
        return;
    }
    stream->reader = baro_xcalloc(1, sizeof *stream->reader);
    stream->reader->ring = ring;
    barod->n_readers++;
    stream->reader->seq_before = stream->last_seq;
    stream->reader->cursor.seq = stream->last_seq + 1;
    stream->is_held = false;
    if (take_sticky(barod, stream, &err) != 0) {
        log_warn("run %" PRIu32 ": in its ring: %s", stream->run->number, err.text);
    }
}

void recover_start(struct barod *barod, struct stream *stream)
{
    begin(barod, stream, stream->hello->ring_path);
}

/* A ring without an owner whose stream is known here has work left, or none: both end it. */
static int visit(const struct ringfile_entry *entry, void *payload)
{
    struct barod *barod = payload;
    if (entry->code == 0 && !entry->is_owned) {
        struct stream *stream = registry_stream(&barod->registry, entry->info.stream);
        if (stream != NULL && stream->reader == NULL) {
            begin(barod, stream, entry->path);
        }
    }
    return 0;
}

void recover_scan(struct barod *barod)
{
    char dir[BARO_PATH_BYTES];
    struct baro_err err = {0};
    if (baro_ring_dir(dir, &err) != 0 || ringfile_list(dir, visit, barod, &err) != 0) {
        log_warn("rings that were left behind are not looked for: %s", err.text);
    }
}

/* The last record is committed: the ring has done its work. */
static void end(struct barod *barod, struct stream *stream)
{
    struct ring_reader *reader = stream->reader;
    uint64_t n_records = stream->last_seq - reader->seq_before;
    log_info("run %" PRIu32 ": its process is gone; %" PRIu64
             " records more were read from its ring%s",
        stream->run->number, n_records,
        reader->cursor.n_damaged_bytes > 0 ? ", and some bytes were damaged" : "");
    (void)ringfile_unlink(reader->ring);
    stop_reading(barod, stream);
    count(&barod->counters, COUNT_RINGS_READ, 1);
    status_on_gone(barod, stream);
}

/* What gave way and was not told by a record any more. */
static void note_drops(struct barod *barod, struct stream *stream)
{
    struct ringfile_info info;
    if (ringfile_read_info(stream->reader->ring, &info) == 0 &&
        info.dropped_records > info.told_records) {
        stream->n_dropped_told += info.dropped_records - info.told_records;
        registry_touch_stream(stream);
        barod_open_bundle(barod);
    }
}

static void read_piece(struct barod *barod, struct stream *stream)
{
    baro_autofree uint8_t *bytes = baro_xcalloc(RECORD_MAX_BYTES, 1);
    size_t n_bytes = 0;
    size_t n_records = 0;
    size_t max_records = barod_bundle_limit(barod) / USUAL_RECORD_BYTES + 1;
    struct baro_err err = {0};
    int rc = ringfile_read(stream->reader->ring, &stream->reader->cursor, bytes,
        RECORD_MAX_BYTES, max_records, &n_bytes, &n_records);
    if (rc != 0) {
        log_warn("run %" PRIu32 ": the rest of its ring '%s' cannot be read",
            stream->run->number, stream->hello->ring_path);
        stop_reading(barod, stream);
        status_on_gone(barod, stream);
        return;
    }
    if (n_records == 0) {
        stream->reader->is_read = true;
        note_drops(barod, stream);
        return;
    }
    struct raw frame = {bytes, n_bytes};
    (void)ingest_records(barod, stream, &frame, &err);
}

/* All else is committed: now the random states, once; true when there are some. */
static bool pour(struct stream *stream)
{
    struct ring_reader *reader = stream->reader;
    uint64_t n = 0;
    if (reader->has_poured) {
        return false;
    }
    reader->has_poured = true;
    (void)ringfile_pour_states(reader->ring, stream->last_seq, &n);
    reader->is_read = n == 0;
    return n > 0;
}

bool recover_is_active(const struct barod *barod)
{
    return barod->n_readers > 0;
}

void recover_step(struct barod *barod)
{
    for (uint32_t i = 0; barod->n_readers > 0 && i < barod->registry.n_runs; i++) {
        struct run *run = barod->registry.runs[i];
        for (uint32_t k = 0; k < run->n_streams; k++) {
            struct stream *stream = run->streams[k];
            if (stream->reader == NULL) {
                continue;
            }
            if (!stream->reader->is_read && barod_has_room(barod)) {
                read_piece(barod, stream);
            }
            if (stream->reader != NULL && stream->reader->is_read &&
                stream->committed_seq == stream->last_seq && !pour(stream)) {
                end(barod, stream);
            }
        }
    }
}

void recover_finish(struct barod *barod)
{
    for (uint32_t i = 0; i < barod->registry.n_runs; i++) {
        struct run *run = barod->registry.runs[i];
        for (uint32_t k = 0; k < run->n_streams; k++) {
            if (run->streams[k]->reader != NULL) {
                stop_reading(barod, run->streams[k]);
            }
        }
    }
}
