/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/range.h"
#include "daemon/rows.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/reading.h"
#include "lib/base/text.h"

/* ---- whole records ---- */

enum { DEFAULT_LIMIT = 1000, MAX_LIMIT = 1 << 20 };

/* The newest records of a range: a list of their ends in a buffer whose front is let go. */
struct rows {
    struct job job;
    struct row_source source;
    uint64_t cursor; /* of pages */
    uint32_t limit;
    int64_t every;     /* > 1: of each so many steps only the last record */
    int64_t last_turn; /* the last record's, in so many steps */
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

/* Make room for one record more and give its place; instead of the last of the same steps. */
static uint8_t *begin_record(struct rows *rows, int64_t step, size_t n_bytes)
{
    int64_t turn = rows->every > 1 ? step / rows->every : 0;
    if (rows->every > 1 && rows->n > 0 && turn == rows->last_turn) {
        rows->n_bytes = rows->begins[--rows->n];
    }
    rows->last_turn = turn;
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

/* ---- the newest ---- */

static void add_row(struct rows *rows, const struct store_block *block, size_t row)
{
    size_t extra_begin = 0;
    size_t n_extra = row_extra(block, row, &extra_begin);
    size_t n_payload = row_fixed_bytes(&rows->source) + n_extra;
    uint8_t *record =
        begin_record(rows, block->steps[row], record_bytes((uint32_t)n_payload));
    uint8_t *payload = record + RECORD_HEADER_BYTES;
    for (size_t c = 0; c < rows->source.n_f64; c++) {
        memcpy(payload + 8 * c, &block->f64[c * block->n_rows + row], 8);
    }
    for (size_t c = 0; c < rows->source.n_f32; c++) {
        memcpy(payload + 4 * c, &block->f32[c * block->n_rows + row], 4);
    }
    if (n_extra > 0) {
        memcpy(payload + n_payload - n_extra, block->extra + extra_begin, n_extra);
    }
    row_seal(&rows->source, record, n_payload, block->steps[row], block->times_ns[row]);
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

static void reply_rows(
    struct job *job, Baro__RowsReply *reply, uint8_t *bytes, size_t n_bytes)
{
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.body_case = BARO__ENVELOPE__BODY_ROWS_REPLY;
    envelope.rows_reply = reply;
    job->frames = baro_xcalloc(1, sizeof *job->frames);
    job->frames[0] = (struct frame){bytes, n_bytes, true};
    job->n_frames = 1;
    query_reply(job, &envelope);
}

/* Add whole records. */
static void add_records(struct rows *rows, const uint8_t *bytes, size_t n_bytes)
{
    for (size_t at = 0; at < n_bytes;) {
        const struct record_header *header = (const void *)(bytes + at);
        size_t n = header->bytes;
        memcpy(begin_record(rows, header->step, n), bytes + at, n);
        at += n;
    }
    keep_newest(rows, rows->limit, WIRE_MAX_FRAME_BYTES);
}

/* Wide rows come in passes, each with some of their columns: pages put them together. */
static int read_newest_wide(struct rows *rows, struct store *store, struct baro_err *damage)
{
    uint64_t cursor = 0;
    int rc = 0;
    do {
        struct row_page page = {0};
        rc = rows_page(&rows->source, store, cursor, 0, &page, &rows->job.err);
        add_records(rows, page.bytes, rc == 0 ? page.n_bytes : 0);
        if (page.damage.code != 0) {
            *damage = page.damage;
        }
        free(page.bytes);
        cursor = page.cursor;
    } while (rc == 0 && cursor != 0);
    return rc;
}

static int read_newest(struct rows *rows, struct store *store, struct baro_err *damage)
{
    int rc = 0;
    for (size_t part = 0; rc == 0 && part < rows->source.n_parts; part++) {
        struct store_query query = row_query(&rows->source, part);
        struct baro_err err = {0};
        rc = store_read(store, &query, add_rows, rows, &err);
        if (rc == BARO_ECORRUPT) { /* the rest has been given */
            *damage = err;
            rc = 0;
        } else if (rc != 0) {
            rows->job.err = err;
        }
    }
    return rc;
}

static void newest_work(struct job *job, struct store *store)
{
    struct rows *rows = (struct rows *)job;
    struct baro_err damage = {0};
    int rc = rows->source.n_f32 > 0 ? read_newest_wide(rows, store, &damage)
                                    : read_newest(rows, store, &damage);
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
    reply.damage = damage.text;
    uint8_t *bytes = BARO_TAKE(rows->bytes);
    reply_rows(job, &reply, bytes, rows->n_bytes);
}

static void page_work(struct job *job, struct store *store)
{
    struct rows *rows = (struct rows *)job;
    struct row_page page = {0};
    if (rows_page(&rows->source, store, rows->cursor, rows->limit, &page, &job->err) != 0) {
        free(page.bytes);
        return;
    }
    Baro__RowsReply reply;
    baro__rows_reply__init(&reply);
    reply.n_records = page.n_records;
    reply.is_cut = page.cursor != 0;
    reply.cursor = page.cursor;
    reply.n_pruned = page.n_pruned;
    reply.damage = page.damage.text;
    reply_rows(job, &reply, page.bytes, page.n_bytes);
}

/* Tell how the rows of a kind are made up; false for a kind that has none. */
static bool find_layout(
    const struct thing *thing, uint32_t kind, uint32_t *out_n_f64, uint32_t *out_n_f32)
{
    bool is_of_thing =
        kind == READING_SCALAR || kind == READING_SUMMARY || kind == READING_UNITS;
    *out_n_f64 = reading_n_f64(kind);
    *out_n_f32 = kind == READING_UNITS && thing != NULL
                     ? (uint32_t)reading_unit_stats((enum baro_role)thing->declare->role) *
                           thing->declare->n_units
                     : 0;
    return is_of_thing == (thing != NULL) && *out_n_f64 + *out_n_f32 > 0;
}

/* Take whole records, or the columns asked for. */
static int choose_columns(
    struct row_source *source, const Baro__RowsRequest *request, struct baro_err *err)
{
    uint32_t n_columns = source->n_f64 + source->n_f32;
    source->with_extra = request->n_columns == 0;
    if (request->n_columns == 0) {
        return 0;
    }
    if (request->first_column >= n_columns ||
        request->n_columns > n_columns - request->first_column) {
        return baro_err_set(err, BARO_EINVAL,
            "records of kind %" PRIu32 " of series %" PRIu32 " have %" PRIu32
            " numbers; %" PRIu32 " from number %" PRIu32 " on were asked for",
            request->kind, request->thing, n_columns, request->n_columns,
            request->first_column);
    }
    source->first_column = request->first_column;
    source->n_f64 = source->n_f64 > 0 ? request->n_columns : 0;
    source->n_f32 = source->n_f32 > 0 ? request->n_columns : 0;
    return 0;
}

struct job *rows_job(const struct registry *registry, const struct run *run,
    const Baro__RowsRequest *request, struct baro_err *err)
{
    const struct thing *thing = registry_thing(run, request->thing);
    if (thing == NULL && request->thing != 0) {
        (void)baro_err_set(err, BARO_ENOENT, "run %" PRIu32 " has no series %" PRIu32,
            run->number, request->thing);
        return NULL;
    }
    struct row_source source = {
        .thing = request->thing,
        .kind = (uint16_t)request->kind,
        .from_step = request->from_step,
        .to_step = request->to_step,
    };
    if (!find_layout(thing, request->kind, &source.n_f64, &source.n_f32)) {
        (void)baro_err_set(err, BARO_EINVAL,
            "series %" PRIu32 " has no records of kind %" PRIu32, request->thing,
            request->kind);
        return NULL;
    }
    if (choose_columns(&source, request, err) != 0) {
        return NULL;
    }
    source.n_parts = registry_lineage(registry, run, thing, source.parts);
    struct rows *rows = baro_xcalloc(1, sizeof *rows);
    rows->job = (struct job){
        .work = request->is_forward ? page_work : newest_work, .destroy = rows_destroy};
    rows->source = source;
    rows->cursor = request->cursor;
    rows->every = request->every;
    uint32_t limit =
        request->limit == 0 && !request->is_forward ? DEFAULT_LIMIT : request->limit;
    rows->limit = limit < MAX_LIMIT ? limit : MAX_LIMIT;
    return &rows->job;
}

/* ---- lists of series ---- */

/* A run that the one asked for shows steps of. */
struct ancestor {
    uint32_t run;
    uint32_t n_things;
    uint32_t *things; /* what its things are called there; 0: it has no such */
};

struct series {
    struct job job;
    uint32_t run;
    char *glob;
    Baro__ThingInfo *infos; /* of all things; their declarations are the registry's */
    size_t n;
    struct ancestor *ancestors;
    size_t n_ancestors;
};

static void series_destroy(struct job *job)
{
    struct series *series = (struct series *)job;
    for (size_t i = 0; i < series->n_ancestors; i++) {
        free(series->ancestors[i].things);
    }
    free(series->ancestors);
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

/* Whether readings of a kind are a series'. */
static bool is_counted(uint16_t kind)
{
    return kind == READING_SCALAR || kind == READING_SUMMARY || kind == READING_UNITS;
}

static int add_bytes(struct series *series, struct store *store)
{
    baro_autofree struct store_group_info *groups = NULL;
    size_t n_groups = 0;
    int rc = store_groups(store, series->run, &groups, &n_groups, &series->job.err);
    for (size_t i = 0; rc == 0 && i < n_groups; i++) {
        if (groups[i].thing >= 1 && groups[i].thing <= series->n) {
            Baro__ThingInfo *info = &series->infos[groups[i].thing - 1];
            info->bytes += groups[i].bytes;
            if (is_counted(groups[i].kind) && groups[i].n_pruned > info->n_pruned) {
                info->n_pruned = groups[i].n_pruned;
            }
        }
    }
    return rc;
}

/* Add what was pruned of a run that this one branched from. */
static int add_inherited(
    struct series *series, struct store *store, const struct ancestor *ancestor)
{
    baro_autofree struct store_group_info *groups = NULL;
    size_t n_groups = 0;
    baro_autofree uint64_t *n_pruned =
        baro_xcalloc(ancestor->n_things + 1, sizeof *n_pruned);
    int rc = store_groups(store, ancestor->run, &groups, &n_groups, &series->job.err);
    for (size_t i = 0; rc == 0 && i < n_groups; i++) {
        uint32_t thing = groups[i].thing;
        if (thing <= ancestor->n_things && is_counted(groups[i].kind) &&
            groups[i].n_pruned > n_pruned[thing]) {
            n_pruned[thing] = groups[i].n_pruned;
        }
    }
    for (size_t i = 0; rc == 0 && i < series->n; i++) {
        Baro__ThingInfo *info = &series->infos[i];
        uint64_t n = info->n_inherited_pruned + n_pruned[ancestor->things[i]];
        info->n_inherited_pruned = n < info->n_inherited ? n : info->n_inherited;
    }
    return rc;
}

static int add_all_inherited(struct series *series, struct store *store)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < series->n_ancestors; i++) {
        rc = add_inherited(series, store, &series->ancestors[i]);
    }
    return rc;
}

static void series_work(struct job *job, struct store *store)
{
    struct series *series = (struct series *)job;
    if (add_bytes(series, store) != 0 || add_all_inherited(series, store) != 0) {
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

/* Note what the things of a run are called in the runs that it branched from. */
static void find_ancestors(struct series *series, const struct run *run)
{
    struct lineage_part parts[REGISTRY_MAX_LINEAGE];
    size_t n_parts =
        registry_lineage(NULL, run, NULL, parts); /* oldest first, then itself */
    const struct run *above = run->parent;
    series->ancestors = baro_xcalloc(n_parts, sizeof *series->ancestors);
    for (size_t k = 0; k + 1 < n_parts && above != NULL; k++, above = above->parent) {
        struct ancestor *ancestor = &series->ancestors[series->n_ancestors++];
        ancestor->run = above->number;
        ancestor->n_things = above->n_things;
        ancestor->things = baro_xcalloc(series->n + 1, sizeof *ancestor->things);
        for (size_t i = 0; i < series->n; i++) {
            const struct thing *thing = registry_find_like(above, run->things[i]);
            ancestor->things[i] = thing != NULL ? thing->id : 0;
        }
    }
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
    find_ancestors(series, run);
    return &series->job;
}
