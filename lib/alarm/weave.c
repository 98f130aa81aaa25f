/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/alarm/weave.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

/*
 * Where steps go back (a run was resumed, or counts from 0 again) readings of before and after must
 * not be mixed. Such places are seen in the readings READING_STEP, which are in order of arrival:
 * each that is not after the one before begins a new stretch. A reading of another series belongs
 * to the last stretch that had begun at its time, and to one after its series' last reading if its
 * own step went back. Stored times are rounded to some 17 ms; nobody resumes a training that fast.
 */

/* One reading; its payload lies at an offset that is a multiple of 8. */
struct item {
    size_t offset;
    size_t serial;
    int64_t step;
    int64_t time_ns;
    uint32_t thing;
    uint32_t stretch;
    uint32_t n_f64;
    uint32_t n_f32;
    uint32_t extra_bytes;
    uint16_t kind;
};

struct weave {
    struct item *items;
    size_t n;
    size_t size;
    uint8_t *bytes;
    size_t n_bytes;
    size_t bytes_size;
    int64_t *begins_ns; /* of stretches behind the first */
    size_t n_begins;
};

struct weave *weave_create(void)
{
    return baro_xcalloc(1, sizeof(struct weave));
}

void weave_destroy(struct weave *weave)
{
    if (weave != NULL) {
        free(weave->items);
        free(weave->bytes);
        free(weave->begins_ns);
        free(weave);
    }
}

void weave_clear(struct weave *weave)
{
    weave->n = 0;
    weave->n_bytes = 0;
    weave->n_begins = 0;
}

static uint8_t *make_room(struct weave *weave, size_t n_bytes)
{
    size_t need = weave->n_bytes + n_bytes;
    if (need > weave->bytes_size) {
        weave->bytes_size = weave->bytes_size > 0 ? weave->bytes_size : 1 << 16;
        while (weave->bytes_size < need) {
            weave->bytes_size *= 2;
        }
        weave->bytes = baro_xrealloc(weave->bytes, weave->bytes_size, 1);
    }
    return weave->bytes + weave->n_bytes;
}

void weave_add(struct weave *weave, const struct reading *reading, uint32_t thing)
{
    size_t n_f64 = 8 * (size_t)reading->n_f64;
    size_t n_f32 = 4 * (size_t)reading->n_f32;
    size_t n_bytes = (n_f64 + n_f32 + reading->extra_bytes + 7) & ~(size_t)7;
    uint8_t *to = make_room(weave, n_bytes);
    if (n_f64 > 0) {
        memcpy(to, reading->f64, n_f64);
    }
    if (n_f32 > 0) {
        memcpy(to + n_f64, reading->f32, n_f32);
    }
    if (reading->extra_bytes > 0) {
        memcpy(to + n_f64 + n_f32, reading->extra, reading->extra_bytes);
    }
    if (weave->n == weave->size) {
        weave->size = weave->size > 0 ? 2 * weave->size : 1024;
        weave->items = baro_xrealloc(weave->items, weave->size, sizeof *weave->items);
    }
    weave->items[weave->n] = (struct item){
        .offset = weave->n_bytes,
        .serial = weave->n,
        .step = reading->header.step,
        .time_ns = reading->header.time_ns,
        .thing = thing,
        .n_f64 = reading->n_f64,
        .n_f32 = reading->n_f32,
        .extra_bytes = reading->extra_bytes,
        .kind = reading->header.kind,
    };
    weave->n++;
    weave->n_bytes += n_bytes;
}

size_t weave_bytes(const struct weave *weave)
{
    return weave->n_bytes + weave->n * sizeof *weave->items;
}

size_t weave_count(const struct weave *weave)
{
    return weave->n;
}

/* ---- stretches ---- */

static void find_begins(struct weave *weave)
{
    const struct item *before = NULL;
    weave->n_begins = 0;
    for (size_t i = 0; i < weave->n; i++) {
        const struct item *item = &weave->items[i];
        if (item->kind != READING_STEP) {
            continue;
        }
        if (before != NULL && item->step <= before->step) {
            weave->begins_ns =
                baro_xrealloc(weave->begins_ns, weave->n_begins + 1, sizeof(int64_t));
            weave->begins_ns[weave->n_begins++] = item->time_ns;
        }
        before = item;
    }
}

static uint32_t stretch_at(const struct weave *weave, int64_t time_ns)
{
    uint32_t n = 0;
    while (n < weave->n_begins && weave->begins_ns[n] <= time_ns) {
        n++;
    }
    return n;
}

/* Readings of one thing and kind lie together, in order of arrival. */
static void assign_stretches(struct weave *weave)
{
    const struct item *before = NULL;
    for (size_t i = 0; i < weave->n; i++) {
        struct item *item = &weave->items[i];
        bool is_same =
            before != NULL && before->thing == item->thing && before->kind == item->kind;
        item->stretch = stretch_at(weave, item->time_ns);
        if (is_same && item->stretch < before->stretch) {
            item->stretch = before->stretch;
        }
        bool went_back = is_same && item->step < before->step;
        if (went_back && item->stretch == before->stretch &&
            item->stretch < weave->n_begins) {
            item->stretch++;
        }
        before = item;
    }
}

/* ---- order ---- */

static uint64_t place_in_step(const struct item *item)
{
    if (item->thing != 0) {
        return (uint64_t)item->thing << 8 | item->kind;
    }
    switch ((enum reading_kind)item->kind) {
    case READING_STEP: return 0;
    case READING_STATUS: return UINT64_MAX;
    case READING_SCALAR:
    case READING_SUMMARY:
    case READING_UNITS:
    case READING_BATCH:
    case READING_SAMPLES:
    case READING_EVENT:
    case READING_DROPS:
    case READING_PROBE:
    case READING_FAILURE:
    case READING_KIND_END:
    case READING_RAW:
    case READING_RUN:
    case READING_DECLARE:
    default: return item->kind;
    }
}

static int compare_items(const void *left, const void *right)
{
    const struct item *a = left;
    const struct item *b = right;
    if (a->stretch != b->stretch) {
        return a->stretch < b->stretch ? -1 : 1;
    }
    if (a->step != b->step) {
        return a->step < b->step ? -1 : 1;
    }
    uint64_t at = place_in_step(a);
    uint64_t bt = place_in_step(b);
    if (at != bt) {
        return at < bt ? -1 : 1;
    }
    return (a->serial > b->serial) - (a->serial < b->serial);
}

int weave_each(struct weave *weave, weave_fn fn, void *payload)
{
    find_begins(weave);
    assign_stretches(weave);
    qsort(weave->items, weave->n, sizeof *weave->items, compare_items);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < weave->n; i++) {
        const struct item *item = &weave->items[i];
        const uint8_t *payload_at = weave->bytes + item->offset;
        const uint8_t *floats = payload_at + 8 * (size_t)item->n_f64;
        struct reading reading = {
            .header = {.step = item->step,
                .time_ns = item->time_ns,
                .thing = item->thing,
                .kind = item->kind},
            .n_f64 = item->n_f64,
            .n_f32 = item->n_f32,
            .extra_bytes = item->extra_bytes,
            .f64 = (const double *)(const void *)payload_at,
            .f32 = (const float *)(const void *)floats,
            .extra = floats + 4 * (size_t)item->n_f32,
        };
        rc = fn(&reading, item->thing, payload);
    }
    return rc;
}
