/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/store/tail.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

/* A group's segments grow with its tail, from half a dozen rows of a scalar: 100,000 groups are
 * a normal number. */
enum { FIRST_SEGMENT_BYTES = 224, FIRST_BUCKETS = 256 };

void tail_unref(struct tail_segment *segment)
{
    if (--segment->n_refs == 0) {
        free(segment);
    }
}

static void drop_segments(struct tail_group *group)
{
    for (struct tail_segment *segment = group->segments; segment != NULL;) {
        struct tail_segment *next = segment->next;
        tail_unref(segment);
        segment = next;
    }
    group->segments = NULL;
    group->last_segment = NULL;
    group->n_segments = 0;
}

void tail_finish(struct tail *tail)
{
    for (uint32_t i = 0; i < tail->n_runs; i++) {
        struct tail_run *run = tail->runs[i];
        for (struct tail_group *group = run->groups; group != NULL;) {
            struct tail_group *next = group->in_run;
            drop_segments(group);
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
    group->last_ordinal = UINT64_MAX;
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

/* Take a group out of its bucket. */
static void leave_bucket(struct tail *tail, const struct tail_group *group)
{
    uint32_t of = bucket_of(group->run->run, group->thing, group->kind, tail->n_buckets);
    struct tail_group **at = &tail->buckets[of];
    while (*at != group) {
        at = &(*at)->in_bucket;
    }
    *at = group->in_bucket;
    tail->n_groups--;
}

void tail_forget(struct tail *tail, struct tail_run *run, uint32_t n_quiet)
{
    for (struct tail_group **at = &run->groups; *at != NULL;) {
        struct tail_group *group = *at;
        if (group->tail_rows > 0 || group->is_tiering || group->is_parting ||
            group->n_quiet < n_quiet) {
            at = &group->in_run;
            continue;
        }
        *at = group->in_run;
        run->n_groups--;
        leave_bucket(tail, group);
        free(group);
    }
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
        leave_bucket(tail, group);
        drop_segments(group);
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
    struct tail_segment *last = group->last_segment;
    if (last != NULL && bytes <= last->room - last->used) {
        return last;
    }
    size_t room = group->tail_bytes < FIRST_SEGMENT_BYTES  ? FIRST_SEGMENT_BYTES
                  : group->tail_bytes < TAIL_SEGMENT_BYTES ? group->tail_bytes
                                                           : TAIL_SEGMENT_BYTES;
    room = bytes > room ? bytes : room;
    struct tail_segment *segment = baro_xrealloc(NULL, sizeof *segment + room, 1);
    *segment = (struct tail_segment){.n_refs = 1, .room = room};
    if (last == NULL) {
        group->segments = segment;
    } else {
        last->next = segment;
    }
    group->last_segment = segment;
    group->n_segments++;
    return segment;
}

void tail_pass(struct tail_group *group, uint64_t ordinal)
{
    if (group->last_ordinal != ordinal) {
        group->last_ordinal = ordinal;
        group->n_in_piece = 0;
    }
    group->n_in_piece++;
}

void tail_push(struct tail *tail, struct tail_group *group, uint64_t ordinal,
    const struct tail_record *record, const uint8_t *payload)
{
    size_t n = tail_payload_bytes(record->n_f64, record->n_f32, record->extra_bytes);
    struct tail_row row = {
        .step = record->step,
        .time_ns = record->time_ns,
        .extra_bytes = record->extra_bytes,
        .bytes = (uint32_t)(sizeof row + tail_pad(n)),
    };
    tail_pass(group, ordinal);
    struct tail_segment *segment = segment_for(group, row.bytes);
    if (segment->n_rows == 0) {
        segment->ordinal = ordinal;
        segment->n_before = group->n_in_piece - 1;
    }
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
    group->n_quiet = 0;
    group->run->n_quiet = 0;
    tail->bytes += row.bytes;
}

void tail_drop(struct tail *tail, struct tail_group *group, uint32_t n_segments)
{
    for (uint32_t i = 0; i < n_segments && group->segments != NULL; i++) {
        struct tail_segment *segment = group->segments;
        group->segments = segment->next;
        group->n_segments--;
        group->tail_rows -= segment->n_rows;
        group->tail_bytes -= segment->used;
        group->run->tail_bytes -= segment->used;
        tail->bytes -= segment->used;
        tail_unref(segment);
    }
    if (group->segments == NULL) {
        group->last_segment = NULL;
    }
}
