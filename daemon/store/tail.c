/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/store/tail.h"

#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "lib/base/mem.h"

enum { FIRST_SEGMENT_BYTES = 1024, FIRST_BUCKETS = 256 };

void tail_unref(struct tail_segment *segment)
{
    if (--segment->n_refs == 0) {
        free(segment);
    }
}

static void drop_segments(struct tail_group *group)
{
    for (uint32_t i = 0; i < group->n_segments; i++) {
        tail_unref(group->segments[i]);
    }
    group->n_segments = 0;
}

void tail_finish(struct tail *tail)
{
    for (uint32_t i = 0; i < tail->n_runs; i++) {
        struct tail_run *run = tail->runs[i];
        for (struct tail_group *group = run->groups; group != NULL;) {
            struct tail_group *next = group->in_run;
            drop_segments(group);
            free(group->segments);
            free(group);
            group = next;
        }
        free(run->damaged);
        free(run->piece);
        free(run);
    }
    free(tail->runs);
    free(tail->buckets);
    *tail = (struct tail){0};
}

struct tail_run *tail_find_run(const struct tail *tail, uint32_t run)
{
    if (tail->last_run < tail->n_runs && tail->runs[tail->last_run]->run == run) {
        return tail->runs[tail->last_run];
    }
    for (uint32_t i = 0; i < tail->n_runs; i++) {
        if (tail->runs[i]->run == run) {
            return tail->runs[i];
        }
    }
    return NULL;
}

struct tail_run *tail_add_run(struct tail *tail, uint32_t run)
{
    struct tail_run *found = tail_find_run(tail, run);
    if (found != NULL) {
        return found;
    }
    if (tail->n_runs == tail->runs_room) {
        tail->runs_room = tail->runs_room * 2 + 8;
        tail->runs = baro_xrealloc(tail->runs, tail->runs_room, sizeof *tail->runs);
    }
    found = baro_xcalloc(1, sizeof *found);
    found->run = run;
    tail->last_run = tail->n_runs;
    tail->runs[tail->n_runs++] = found;
    return found;
}

static uint32_t bucket_of(uint32_t run, uint32_t thing, uint16_t kind, uint32_t n_buckets)
{
    uint64_t mixed = (uint64_t)run << 32 ^ (uint64_t)thing << 7 ^ kind;
    mixed *= UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(mixed >> 32) & (n_buckets - 1);
}

struct tail_group *tail_find(
    const struct tail *tail, uint32_t run, uint32_t thing, uint16_t kind)
{
    if (tail->n_buckets == 0) {
        return NULL;
    }
    struct tail_group *group = tail->buckets[bucket_of(run, thing, kind, tail->n_buckets)];
    while (group != NULL &&
           (group->thing != thing || group->kind != kind || group->run->run != run)) {
        group = group->in_bucket;
    }
    return group;
}

static void grow_buckets(struct tail *tail)
{
    uint32_t n = tail->n_buckets == 0 ? FIRST_BUCKETS : tail->n_buckets * 2;
    struct tail_group **buckets = baro_xcalloc(n, sizeof *buckets);
    for (uint32_t i = 0; i < tail->n_buckets; i++) {
        for (struct tail_group *group = tail->buckets[i]; group != NULL;) {
            struct tail_group *next = group->in_bucket;
            uint32_t to = bucket_of(group->run->run, group->thing, group->kind, n);
            group->in_bucket = buckets[to];
            buckets[to] = group;
            group = next;
        }
    }
    free(tail->buckets);
    tail->buckets = buckets;
    tail->n_buckets = n;
}

struct tail_group *tail_add(struct tail *tail, uint32_t run, uint32_t thing, uint16_t kind)
{
    if (tail->n_groups >= tail->n_buckets) {
        grow_buckets(tail);
    }
    struct tail_group *group = baro_xcalloc(1, sizeof *group);
    group->run = tail_add_run(tail, run);
    group->thing = thing;
    group->kind = kind;
    group->in_run = group->run->groups;
    group->run->groups = group;
    group->run->n_groups++;
    uint32_t to = bucket_of(run, thing, kind, tail->n_buckets);
    group->in_bucket = tail->buckets[to];
    tail->buckets[to] = group;
    tail->n_groups++;
    return group;
}

static void unlink_group(struct tail *tail, const struct tail_group *group)
{
    struct tail_group **at = &tail->buckets[bucket_of(
        group->run->run, group->thing, group->kind, tail->n_buckets)];
    while (*at != group) {
        at = &(*at)->in_bucket;
    }
    *at = group->in_bucket;
    tail->n_groups--;
}

void tail_remove_run(struct tail *tail, uint32_t number)
{
    struct tail_run *run = tail_find_run(tail, number);
    if (run == NULL) {
        return;
    }
    tail->bytes -= run->tail_bytes;
    for (struct tail_group *group = run->groups; group != NULL;) {
        struct tail_group *next = group->in_run;
        unlink_group(tail, group);
        drop_segments(group);
        free(group->segments);
        free(group);
        group = next;
    }
    uint32_t at = 0;
    while (tail->runs[at] != run) {
        at++;
    }
    tail->runs[at] = tail->runs[--tail->n_runs];
    tail->last_run = 0;
    free(run->damaged);
    free(run->piece);
    free(run);
}

/* The segment that a row of so many bytes goes into: the last one, or a new one. */
static struct tail_segment *segment_for(struct tail_group *group, size_t bytes)
{
    size_t room = FIRST_SEGMENT_BYTES;
    if (group->n_segments > 0) {
        struct tail_segment *last = group->segments[group->n_segments - 1];
        if (bytes <= last->room - last->used) {
            return last;
        }
        room = last->room * 2 < TAIL_SEGMENT_BYTES ? last->room * 2 : TAIL_SEGMENT_BYTES;
    }
    room = bytes > room ? bytes : room;
    struct tail_segment *segment = baro_xrealloc(NULL, sizeof *segment + room, 1);
    *segment = (struct tail_segment){.n_refs = 1, .room = room};
    if (group->n_segments == group->segments_room) {
        group->segments_room = group->segments_room * 2 + 4;
        group->segments = baro_xrealloc(
            group->segments, group->segments_room, sizeof(struct tail_segment *));
    }
    group->segments[group->n_segments++] = segment;
    return segment;
}

void tail_push(struct tail *tail, struct tail_group *group,
    const struct tail_record *record, const uint8_t *payload)
{
    size_t n = tail_payload_bytes(record->n_f64, record->n_f32, record->extra_bytes);
    struct tail_row row = {
        .step = record->step,
        .time_ns = record->time_ns,
        .extra_bytes = record->extra_bytes,
        .bytes = (uint32_t)(sizeof row + tail_pad(n)),
    };
    struct tail_segment *segment = segment_for(group, row.bytes);
    memcpy(segment->rows + segment->used, &row, sizeof row);
    if (n > 0) {
        memcpy(segment->rows + segment->used + sizeof row, payload, n);
    }
    segment->used += row.bytes;
    segment->n_rows++;
    bool is_first = group->record.n_rows + group->tail_rows == 0;
    if (is_first || row.step < group->record.first_step) {
        group->record.first_step = row.step;
    }
    if (is_first || row.step > group->record.last_step) {
        group->record.last_step = row.step;
    }
    group->record.n_f64 = record->n_f64;
    group->record.n_f32 = record->n_f32;
    group->tail_rows++;
    group->tail_bytes += row.bytes;
    group->run->tail_bytes += row.bytes;
    tail->bytes += row.bytes;
}

void tail_drop(struct tail *tail, struct tail_group *group)
{
    drop_segments(group);
    group->tail_rows = 0;
    group->run->tail_bytes -= group->tail_bytes;
    tail->bytes -= group->tail_bytes;
    group->tail_bytes = 0;
}

bool tail_piece_ok(const uint8_t *piece, size_t n_bytes)
{
    uint64_t check;
    if (n_bytes < TAIL_PIECE_HEAD_BYTES) {
        return false;
    }
    memcpy(&check, piece, sizeof check);
    return XXH3_64bits(piece + sizeof check, n_bytes - sizeof check) == check;
}

int tail_piece_next(const uint8_t *piece, size_t n_bytes, size_t *at,
    struct tail_record *out, const uint8_t **out_payload)
{
    if (*at >= n_bytes) {
        return 0;
    }
    size_t left = n_bytes - *at;
    if (left < sizeof *out) {
        return BARO_ECORRUPT;
    }
    memcpy(out, piece + *at, sizeof *out);
    size_t payload = tail_payload_bytes(out->n_f64, out->n_f32, out->extra_bytes);
    if (payload > TAIL_MAX_PAYLOAD_BYTES || tail_pad(payload) > left - sizeof *out) {
        return BARO_ECORRUPT;
    }
    *out_payload = piece + *at + sizeof *out;
    *at += sizeof *out + tail_pad(payload);
    return 1;
}

void tail_piece_add(
    struct tail_run *run, const struct tail_record *record, const uint8_t *payload)
{
    size_t n = tail_payload_bytes(record->n_f64, record->n_f32, record->extra_bytes);
    size_t more = sizeof *record + tail_pad(n);
    if (run->piece_bytes == 0) {
        run->piece_bytes = TAIL_PIECE_HEAD_BYTES;
        run->piece_rows = 0;
    }
    if (run->piece_bytes + more > run->piece_room) {
        run->piece_room = (run->piece_bytes + more) * 2;
        run->piece = baro_xrealloc(run->piece, run->piece_room, 1);
    }
    uint8_t *to = run->piece + run->piece_bytes;
    memcpy(to, record, sizeof *record);
    if (n > 0) {
        memcpy(to + sizeof *record, payload, n);
    }
    memset(to + sizeof *record + n, 0, tail_pad(n) - n);
    run->piece_bytes += more;
    run->piece_rows++;
}

void tail_piece_seal(struct tail_run *run)
{
    uint32_t rest[2] = {run->piece_rows, 0};
    memcpy(run->piece + 8, rest, sizeof rest);
    uint64_t check = XXH3_64bits(run->piece + 8, run->piece_bytes - 8);
    memcpy(run->piece, &check, sizeof check);
}
