/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/range.h"
#include "daemon/registry.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "proto/reading.h"

/* ---- whole records ---- */

enum { DEFAULT_LIMIT = 1000, MAX_LIMIT = 1 << 20 };

/* The newest records of a range: a list of their ends in a buffer whose front is let go. */
struct rows {
    struct job job;
    struct store_query query;
    uint32_t n_f64;
    uint32_t n_f32;
    uint32_t limit;
    uint8_t *bytes;
    size_t n_bytes;
    size_t size;
    size_t *begins; /* where each record begins */
    size_t n;
    size_t begins_size;
    bool is_cut;
};

static void rows_destroy(struct job *job)
{
    struct rows *rows = (struct rows *)job;
    free(rows->bytes);
    free(rows->begins);
    free(rows);
}

/* Let the oldest records go so that at most n_keep and max_bytes are left. */
static void keep_newest(struct rows *rows, size_t n_keep, size_t max_bytes)
{
    size_t first = rows->n > n_keep ? rows->n - n_keep : 0;
    while (first < rows->n && rows->n_bytes - rows->begins[first] > max_bytes) {
        first++;
    }
    if (first == 0) {
        return;
    }
    size_t cut = first < rows->n ? rows->begins[first] : rows->n_bytes;
    memmove(rows->bytes, rows->bytes + cut, rows->n_bytes - cut);
    rows->n_bytes -= cut;
    rows->n -= first;
    for (size_t i = 0; i < rows->n; i++) {
        rows->begins[i] = rows->begins[i + first] - cut;
    }
    rows->is_cut = true;
}

/* Make room for one record more and give its place. */
static uint8_t *begin_record(struct rows *rows, size_t n_bytes)
{
    if (rows->n == rows->begins_size) {
        rows->begins_size = rows->begins_size > 0 ? 2 * rows->begins_size : 256;
        rows->begins = baro_xrealloc(rows->begins, rows->begins_size, sizeof *rows->begins);
    }
    if (rows->n_bytes + n_bytes > rows->size) {
        rows->size = 2 * rows->size + n_bytes;
        rows->bytes = baro_xrealloc(rows->bytes, rows->size, 1);
    }
    uint8_t *record = rows->bytes + rows->n_bytes;
    memset(record, 0, n_bytes);
    rows->begins[rows->n++] = rows->n_bytes;
    rows->n_bytes += n_bytes;
    return record;
}

static void add_row(struct rows *rows, const struct store_block *block, size_t row)
{
    size_t extra_begin =
        row > 0 && block->extra_ends != NULL ? block->extra_ends[row - 1] : 0;
    size_t extra_end = block->extra_ends != NULL ? block->extra_ends[row] : 0;
    size_t n_payload =
        8 * (size_t)rows->n_f64 + 4 * (size_t)rows->n_f32 + extra_end - extra_begin;
    uint8_t *record = begin_record(rows, record_bytes((uint32_t)n_payload));
    uint8_t *payload = record + RECORD_HEADER_BYTES;
    for (size_t c = 0; c < rows->n_f64; c++) {
        memcpy(payload + 8 * c, &block->f64[c * block->n_rows + row], 8);
    }
    for (size_t c = 0; c < rows->n_f32; c++) {
        memcpy(payload + 4 * c, &block->f32[c * block->n_rows + row], 4);
    }
    if (extra_end > extra_begin) {
        memcpy(payload + n_payload - (extra_end - extra_begin), block->extra + extra_begin,
            extra_end - extra_begin);
    }
    struct record_header header = {
        .bytes = record_bytes((uint32_t)n_payload),
        .step = block->steps[row],
        .time_ns = block->times_ns[row],
        .thing = rows->query.thing,
        .kind = rows->query.kind,
        .payload_bytes = (uint32_t)n_payload,
    };
    memcpy(record, &header, sizeof header);
    header.check = record_check(record);
    memcpy(record, &header, sizeof header);
}

static int add_rows(const struct store_block *block, void *payload)
{
    struct rows *rows = payload;
    for (size_t row = 0; row < block->n_rows; row++) {
        add_row(rows, block, row);
        if (rows->n >= 2 * (size_t)rows->limit ||
            rows->n_bytes > 2 * WIRE_MAX_FRAME_BYTES) {
            keep_newest(rows, rows->limit, WIRE_MAX_FRAME_BYTES);
        }
    }
    return 0;
}

static void rows_work(struct job *job, struct store *store)
{
    struct rows *rows = (struct rows *)job;
    int rc = store_read(store, &rows->query, add_rows, rows, &job->err);
    if (rc != 0) {
        if (job->err.code == 0) {
            (void)baro_err_set(&job->err, rc, "the records cannot be read");
        }
        return;
    }
    keep_newest(rows, rows->limit, WIRE_MAX_FRAME_BYTES);
    Baro__RowsReply reply;
    baro__rows_reply__init(&reply);
    reply.n_records = (uint32_t)rows->n;
    reply.is_cut = rows->is_cut;
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.body_case = BARO__ENVELOPE__BODY_ROWS_REPLY;
    envelope.rows_reply = &reply;
    job->frames = baro_xcalloc(1, sizeof *job->frames);
    job->frames[0] = (struct frame){BARO_TAKE(rows->bytes), rows->n_bytes, true};
    job->n_frames = 1;
    query_reply(job, &envelope);
}

/* Tell how the rows of a kind are made up; false for a kind that has none. */
static bool find_layout(
    const struct thing *thing, uint32_t kind, uint32_t *out_n_f64, uint32_t *out_n_f32)
{
    static const uint32_t n_f64[READING_KIND_END] = {
        [READING_SCALAR] = 1,
        [READING_STEP] = 1,
        [READING_SUMMARY] = SUMMARY_STAT_COUNT,
        [READING_BATCH] = 1,
        [READING_EVENT] = 1,
        [READING_STATUS] = 1,
        [READING_DROPS] = 2,
    };
    if (kind == 0 || kind >= READING_KIND_END) {
        return false;
    }
    bool is_of_thing =
        kind == READING_SCALAR || kind == READING_SUMMARY || kind == READING_UNITS;
    *out_n_f64 = n_f64[kind];
    *out_n_f32 = kind == READING_UNITS && thing != NULL
                     ? UNIT_STAT_COUNT * thing->declare->n_units
                     : 0;
    return is_of_thing == (thing != NULL) && *out_n_f64 + *out_n_f32 > 0;
}

struct job *rows_job(
    const struct run *run, const Baro__RowsRequest *request, struct baro_err *err)
{
    const struct thing *thing = registry_thing(run, request->thing);
    if (thing == NULL && request->thing != 0) {
        (void)baro_err_set(err, BARO_ENOENT, "run %" PRIu32 " has no series %" PRIu32,
            run->number, request->thing);
        return NULL;
    }
    uint32_t n_f64 = 0;
    uint32_t n_f32 = 0;
    if (!find_layout(thing, request->kind, &n_f64, &n_f32)) {
        (void)baro_err_set(err, BARO_EINVAL,
            "series %" PRIu32 " has no records of kind %" PRIu32, request->thing,
            request->kind);
        return NULL;
    }
    struct rows *rows = baro_xcalloc(1, sizeof *rows);
    rows->job = (struct job){.work = rows_work, .destroy = rows_destroy};
    rows->n_f64 = n_f64;
    rows->n_f32 = n_f32;
    rows->limit = request->limit == 0          ? DEFAULT_LIMIT
                  : request->limit < MAX_LIMIT ? request->limit
                                               : MAX_LIMIT;
    rows->query = (struct store_query){
        .run = run->number,
        .thing = request->thing,
        .kind = (uint16_t)request->kind,
        .first_column = 0,
        .n_columns = n_f64 + n_f32,
        .with_extra = true,
        .from_step = request->from_step,
        .to_step = request->to_step,
    };
    return &rows->job;
}

/* ---- lists of series ---- */

struct series {
    struct job job;
    uint32_t run;
    char *glob;
    Baro__ThingInfo *infos; /* of all things; their declarations are the registry's */
    size_t n;
};

static void series_destroy(struct job *job)
{
    struct series *series = (struct series *)job;
    free(series->glob);
    free(series->infos);
    free(series);
}

static bool is_wanted(const struct series *series, const Baro__Declare *declare)
{
    if (series->glob[0] == '\0') {
        return true;
    }
    if (!declare->is_tensor) {
        return baro_glob(series->glob, declare->name);
    }
    char label[READING_MAX_NAME_BYTES + 32];
    (void)snprintf(label, sizeof label, "%s:%s", declare->name,
        baro_role_name((enum baro_role)declare->role));
    return baro_glob(series->glob, label);
}

static int add_bytes(struct series *series, struct store *store)
{
    baro_autofree struct store_group_info *groups = NULL;
    size_t n_groups = 0;
    int rc = store_groups(store, series->run, &groups, &n_groups, &series->job.err);
    for (size_t i = 0; rc == 0 && i < n_groups; i++) {
        if (groups[i].thing >= 1 && groups[i].thing <= series->n) {
            series->infos[groups[i].thing - 1].bytes += groups[i].bytes;
        }
    }
    return rc;
}

static void series_work(struct job *job, struct store *store)
{
    struct series *series = (struct series *)job;
    if (add_bytes(series, store) != 0) {
        return;
    }
    baro_autofree Baro__ThingInfo **pointers =
        baro_xcalloc(series->n > 0 ? series->n : 1, sizeof(Baro__ThingInfo *));
    Baro__SeriesReply reply;
    baro__series_reply__init(&reply);
    for (size_t i = 0; i < series->n; i++) {
        if (is_wanted(series, series->infos[i].declare)) {
            pointers[reply.n_things++] = &series->infos[i];
        }
    }
    reply.things = pointers;
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.body_case = BARO__ENVELOPE__BODY_SERIES_REPLY;
    envelope.series_reply = &reply;
    query_reply(job, &envelope);
}

struct job *series_job(
    const struct run *run, const Baro__SeriesRequest *request, struct baro_err *err)
{
    if (strnlen(request->glob, READING_MAX_NAME_BYTES + 33) > READING_MAX_NAME_BYTES + 32) {
        (void)baro_err_set(
            err, BARO_ELIMIT, "the pattern is over %d bytes", READING_MAX_NAME_BYTES + 32);
        return NULL;
    }
    struct series *series = baro_xcalloc(1, sizeof *series);
    series->job = (struct job){.work = series_work, .destroy = series_destroy};
    series->run = run->number;
    series->glob = baro_xstrdup(request->glob);
    series->n = run->n_things;
    series->infos = baro_xcalloc(series->n > 0 ? series->n : 1, sizeof *series->infos);
    for (size_t i = 0; i < series->n; i++) {
        registry_describe_thing(run->things[i], &series->infos[i]);
    }
    return &series->job;
}
