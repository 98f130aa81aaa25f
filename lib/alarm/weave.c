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
 * Each rank has stretches of its own.
 *
 * Whose the rows of the run itself are: of each kind the newest row belongs to the newest
 * READING_RANK of that kind, and so on backwards, as long as their steps are the same. (Both are
 * written together; older rows may have none, or may be pruned.)
 */

/* One reading; its payload lies at an offset that is a multiple of 8. */
struct item {
    size_t offset;
    size_t serial;
    int64_t step;
    int64_t time_ns;
    int64_t rank; /* WEAVE_ANY_RANK: not known */
    uint32_t thing;
    uint32_t stretch;
    uint32_t n_f64;
    uint32_t n_f32;
    uint32_t extra_bytes;
    uint16_t kind;
};

/* Where a stretch of a rank begins. */
struct begin {
    int64_t rank;
    int64_t time_ns;
};

struct weave {
    struct item *items;
    size_t n;
    size_t size;
    uint8_t *bytes;
    size_t n_bytes;
    size_t bytes_size;
    struct begin *begins; /* of stretches behind the first of each rank */
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
        free(weave->begins);
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

void weave_add(
    struct weave *weave, const struct reading *reading, uint32_t thing, int64_t rank)
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
        .rank = rank,
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

/* ---- ranks ---- */

/* The newest READING_RANK of a kind before a place; weave->n: none. */
static size_t rank_before(const struct weave *weave, size_t end, uint16_t kind)
{
    for (size_t i = end; i > 0; i--) {
        const struct item *item = &weave->items[i - 1];
        const uint8_t *payload = weave->bytes + item->offset;
        if (item->kind == READING_RANK &&
            (uint16_t)((const double *)(const void *)payload)[1] == kind) {
            return i - 1;
        }
    }
    return weave->n;
}

/* Give the rows of one kind of the run itself their ranks, from the newest on. */
static void find_ranks(struct weave *weave, uint16_t kind)
{
    size_t told = weave->n;
    for (size_t i = weave->n; i > 0; i--) {
        struct item *item = &weave->items[i - 1];
        if (item->thing != 0 || item->kind != kind || item->rank != WEAVE_ANY_RANK) {
            continue;
        }
        told = rank_before(weave, told, kind);
        if (told == weave->n || weave->items[told].step != item->step) {
            return;
        }
        const uint8_t *payload = weave->bytes + weave->items[told].offset;
        item->rank = (int64_t)((const double *)(const void *)payload)[0];
    }
}

/* ---- stretches ---- */

/* Walks the steps of each rank; ranks are few, or all alike. */
static void find_begins(struct weave *weave)
{
    struct begin *newest = NULL; /* of each rank: its newest step in time_ns */
    size_t n_ranks = 0;
    weave->n_begins = 0;
    for (size_t i = 0; i < weave->n; i++) {
        const struct item *item = &weave->items[i];
        if (item->kind != READING_STEP) {
            continue;
        }
        size_t at = 0;
        while (at < n_ranks && newest[at].rank != item->rank) {
            at++;
        }
        if (at == n_ranks) {
            newest = baro_xrealloc(newest, ++n_ranks, sizeof *newest);
        } else if (item->step <= newest[at].time_ns) {
            weave->begins =
                baro_xrealloc(weave->begins, weave->n_begins + 1, sizeof *weave->begins);
            weave->begins[weave->n_begins++] = (struct begin){item->rank, item->time_ns};
        }
        newest[at] = (struct begin){item->rank, item->step};
    }
    free(newest);
}

static uint32_t stretch_at(const struct weave *weave, int64_t rank, int64_t time_ns)
{
    uint32_t n = 0;
    for (size_t i = 0; i < weave->n_begins; i++) {
        const struct begin *begin = &weave->begins[i];
        bool is_own = begin->rank == rank || begin->rank == WEAVE_ANY_RANK;
        n += is_own && begin->time_ns <= time_ns ? 1 : 0;
    }
    return n;
}

static uint32_t n_begins_of(const struct weave *weave, int64_t rank)
{
    return stretch_at(weave, rank, INT64_MAX);
}

/* Readings of one thing and kind lie together, in order of arrival. */
static void assign_stretches(struct weave *weave)
{
    const struct item *before = NULL;
    for (size_t i = 0; weave->n_begins > 0 && i < weave->n; i++) {
        struct item *item = &weave->items[i];
        bool is_same = before != NULL && before->thing == item->thing &&
                       before->kind == item->kind && before->rank == item->rank;
        item->stretch = stretch_at(weave, item->rank, item->time_ns);
        if (is_same && item->stretch < before->stretch) {
            item->stretch = before->stretch;
        }
        bool went_back = is_same && item->step < before->step;
        if (went_back && item->stretch == before->stretch &&
            item->stretch < n_begins_of(weave, item->rank)) {
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
    case READING_RANK:
    case READING_RNG:
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
    static const uint16_t own[] = {
        READING_STEP, READING_BATCH, READING_SAMPLES, READING_EVENT, READING_STATUS};
    for (size_t i = 0; i < BARO_LEN(own); i++) {
        find_ranks(weave, own[i]);
    }
    if (weave->n == 0) {
        return 0;
    }
    find_begins(weave);
    assign_stretches(weave);
    qsort(weave->items, weave->n, sizeof *weave->items, compare_items);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < weave->n; i++) {
        const struct item *item = &weave->items[i];
        if (item->kind == READING_RANK) {
            continue;
        }
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
        rc = fn(&reading, item->thing, item->rank, payload);
    }
    return rc;
}
