/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/store/tiers.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/store/parts.h"
#include "daemon/store/strand.h"
#include "daemon/store/summary.h"
#include "daemon/store/tiers_input.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"

/*
 * Summaries of level 1 stand for about so many rows each as default_sizes says, those of each
 * level above for about fan_out of the level below. They are built when enough is there to be
 * summarised, never again, and only ever appended: a level covers the rows of its group from 0
 * up to a number that its record tells. What lies behind it is read from the level below.
 *
 * A job is one stretch of rows of one group on one level. A step works on jobs until it has
 * decoded about STEP_BYTES. A job that needs more, because its group is wide, is done some
 * columns at a time over several steps; all that is put on disk waits in a batch until no job is
 * half done. So one transaction does small jobs of many groups, which tend to be due together.
 *
 * The last summary of a job is left for the next one, since more steps of its interval will
 * come, unless it is the only one.
 *
 * A group some of whose rows are damaged is given up until the next start: its rows are read
 * as they are from there on.
 */

enum {
    WIDE_BYTES = 16 << 20, /* of rows of a job in a wide group, if that is one summary */
    STEP_BYTES = 2 << 20,  /* decoded in one step */
    MAX_SUMMARIES = 16384, /* summarised by one job */
    SCAN_GROUPS = 1024     /* looked at in one step after opening */
};

static const struct tiers_sizes default_sizes = {
    .narrow_rows = 128,
    .narrow_first = 4096,
    .narrow_next = 256,
    .wide_rows = 64,
    .wide_first = 16,
    .wide_next = 64,
    .fan_out = 8,
};

/* One stretch of rows that one level is to cover. */
struct job {
    struct tail_group *group; /* NULL: none */
    uint32_t level;
    uint64_t from;
    uint64_t to;
    bool is_forced; /* the last summary is not left for later */
    uint32_t width; /* columns of a part; 0: no parts */
    uint32_t next_column;
    uint32_t *ends; /* of what each summary is made from; NULL: not known yet */
    size_t n_groups;
    uint64_t pruned;  /* of the level when the job began */
    int64_t bytes;    /* that it adds to the group's chunks */
    size_t batch_ops; /* where the batch was when it began */
    size_t batch_bytes;
};

struct tiers {
    struct tiers_sizes sizes;
    struct tail_group *first; /* groups that may be due, in turn */
    struct tail_group *last;
    bool is_scanned; /* the index has been looked through for such */
    uint8_t scan_key[KEY_GROUP_BYTES];
    struct job job;
    struct job *done; /* what waits in the batch */
    size_t n_done;
    size_t done_room;
    struct store_batch batch;
    struct strand_writer *writer;
    struct chunk_codec *codec;
    struct columns rows;
    struct columns summaries;
    uint32_t *covers;
    size_t covers_room;
    size_t work_bytes; /* in this step */
};

/* ---- what is due ---- */

static uint32_t n_columns(const struct group_record *record)
{
    return record->n_f64 + record->n_f32;
}

static uint64_t row_bytes(const struct group_record *record)
{
    return 16 + 8 * (uint64_t)record->n_f64 + 4 * (uint64_t)record->n_f32;
}

static bool is_wide(const struct store *store, const struct group_record *record)
{
    return record->part_columns > 0 || n_columns(record) > store->parting.wide_columns;
}

/* How many columns of the next level's parts; 0: the group has no parts. */
static uint32_t part_columns(const struct store *store, const struct group_record *record)
{
    return is_wide(store, record) ? parts_columns(store, record) : 0;
}

/* How many rows are worth a job of level 1. */
static uint64_t rows_worth(const struct store *store, const struct group_record *record)
{
    const struct tiers_sizes *sizes = &store->tiers->sizes;
    if (!is_wide(store, record)) {
        return sizes->narrow_first;
    }
    uint64_t n = WIDE_BYTES / (sizes->wide_rows * row_bytes(record));
    n = n < 1 ? 1 : n;
    return sizes->wide_rows * (n < sizes->wide_first ? n : sizes->wide_first);
}

/* How many rows are worth a job of a level above 1. */
static uint64_t rows_worth_above(
    const struct store *store, const struct group_record *record, uint32_t level)
{
    const struct tiers_sizes *sizes = &store->tiers->sizes;
    uint64_t rows = is_wide(store, record)
                        ? (uint64_t)sizes->wide_rows * sizes->wide_next
                        : (uint64_t)sizes->narrow_rows * sizes->narrow_next;
    for (uint32_t i = 2; i < level; i++) {
        rows *= sizes->fan_out;
    }
    return rows;
}

/* Find the coarsest level that is due, since it costs the least; 0: none. */
static uint32_t due_level(const struct store *store, const struct group_record *record)
{
    uint32_t most = record->n_levels + 1;
    if (n_columns(record) == 0) {
        return 0;
    }
    for (uint32_t level = most < STORE_MAX_LEVELS ? most : STORE_MAX_LEVELS; level > 1;
         level--) {
        if (record->covered[level - 2] - record->covered[level - 1] >=
            rows_worth_above(store, record, level)) {
            return level;
        }
    }
    return record->n_rows - record->covered[0] >= rows_worth(store, record) ? 1 : 0;
}

static struct tiers *tiers_of(struct store *store)
{
    if (store->tiers == NULL) {
        store->tiers = baro_xcalloc(1, sizeof *store->tiers);
        store->tiers->sizes = default_sizes;
    }
    return store->tiers;
}

struct tiers_sizes *tiers_sizes(struct store *store)
{
    return &tiers_of(store)->sizes;
}

void tiers_note(struct store *store, struct tail_group *group)
{
    struct tiers *tiers = tiers_of(store);
    if (group->is_tiering || due_level(store, &group->record) == 0) {
        return;
    }
    group->is_tiering = true;
    group->next_tiering = NULL;
    if (tiers->first == NULL) {
        tiers->first = group;
    } else {
        tiers->last->next_tiering = group;
    }
    tiers->last = group;
}

/* Take the group whose turn it is off the list; NULL: none. */
static struct tail_group *take_group(struct tiers *tiers)
{
    struct tail_group *group = tiers->first;
    if (group != NULL) {
        tiers->first = group->next_tiering;
    }
    return group;
}

/* Take a group off the list wherever it is. */
static void unlink_group(struct tiers *tiers, struct tail_group *group)
{
    struct tail_group *before = NULL;
    struct tail_group *at = tiers->first;
    while (at != NULL && at != group) {
        before = at;
        at = at->next_tiering;
    }
    if (at != NULL) {
        *(before != NULL ? &before->next_tiering : &tiers->first) = group->next_tiering;
        tiers->last = tiers->last == group ? before : tiers->last;
    }
    group->is_tiering = true;
}

/* ---- one job ---- */

static void begin_job(struct store *store, struct tiers *tiers, struct tail_group *group,
    uint32_t level, uint64_t to)
{
    const struct group_record *record = &group->record;
    tiers->job = (struct job){
        .group = group,
        .level = level,
        .from = record->covered[level - 1],
        .to = to,
        .width = part_columns(store, record),
        .pruned = record->pruned[level],
        .batch_ops = tiers->batch.n_ops,
        .batch_bytes = tiers->batch.n_bytes,
    };
    if (level == 1) {
        uint64_t most = STEP_BYTES / row_bytes(record);
        uint64_t worth = rows_worth(store, record);
        most = most > worth && tiers->job.width == 0 ? most : worth;
        uint64_t end = tiers->job.from + most;
        tiers->job.to = to < end ? to : end;
    }
}

/* Give up a job: what it put into the batch goes. */
static void drop_job(struct tiers *tiers)
{
    tiers->batch.n_ops = tiers->job.batch_ops;
    tiers->batch.n_bytes = tiers->job.batch_bytes;
    free(tiers->job.ends);
    tiers->job = (struct job){0};
}

/* Find how the input falls into summaries, when its first columns are there. */
static void cut(struct job *job, const struct columns *input, uint32_t per_group)
{
    const int64_t *last = job->level == 1 ? input->steps : input->times_ns;
    job->ends = baro_xcalloc(input->n_rows, sizeof *job->ends);
    job->n_groups = summary_cut(input->steps, last, input->n_rows, per_group, job->ends);
    if (job->n_groups > 1 && !job->is_forced) {
        job->n_groups--;
        job->to = job->from;
        for (size_t i = 0; i < job->ends[job->n_groups - 1]; i++) {
            job->to += job->level == 1 ? 1 : (uint64_t)input->f64[i];
        }
    }
}

/* Append the summaries at hand to a strand. */
static int append(struct tiers *tiers, uint32_t part, struct baro_err *err)
{
    struct job *job = &tiers->job;
    const struct columns *summaries = &tiers->summaries;
    const struct strand_id id = {job->group->run->run, job->group->thing, job->group->kind,
        (uint8_t)job->level, (uint16_t)part};
    if (summaries->n_rows > tiers->covers_room) {
        tiers->covers_room = summaries->n_rows;
        tiers->covers =
            baro_xrealloc(tiers->covers, tiers->covers_room, sizeof *tiers->covers);
    }
    for (size_t i = 0; i < summaries->n_rows; i++) {
        tiers->covers[i] = (uint32_t)summaries->f64[i];
    }
    const uint64_t base = UINT64_C(1)
                          << 60; /* chunks that go may be more than those added */
    uint64_t bytes = base;
    size_t budget = SIZE_MAX;
    int rc = strand_append(
        tiers->writer, &id, job->from, summaries, tiers->covers, &budget, &bytes, err);
    job->bytes += (int64_t)(bytes - base);
    return rc;
}

/* Look at some of the columns of decoded rows: columns [first, first + n) of the group, out of
 * those from outer on. */
static struct columns slice_of(const struct columns *rows,
    const struct group_record *record, uint32_t outer, uint32_t first, uint32_t n)
{
    struct columns_span from =
        columns_span(outer, n_columns(record) - outer, record->n_f64);
    struct columns_span span = columns_span(first, n, record->n_f64);
    struct columns slice = *rows;
    slice.n_f64 = span.n_f64;
    slice.n_f32 = span.n_f32;
    slice.f64 =
        span.n_f64 > 0 ? rows->f64 + (span.first_f64 - from.first_f64) * rows->room : NULL;
    slice.f32 =
        span.n_f32 > 0 ? rows->f32 + (span.first_f32 - from.first_f32) * rows->room : NULL;
    return slice;
}

/* Summarise the next columns of a job of level 1. */
static int slab_of_rows(struct store *store, struct tiers *tiers, struct baro_err *err)
{
    struct job *job = &tiers->job;
    const struct group_record *record = &job->group->record;
    uint32_t all = n_columns(record);
    uint32_t first = job->next_column;
    uint32_t n = all - first;
    uint32_t width = job->width > 0 ? job->width : all;
    if (job->width > 0) {
        uint64_t parts = STEP_BYTES / (4 * (job->to - job->from) * width);
        uint64_t most = (parts > 1 ? parts : 1) * width;
        n = n < most ? n : (uint32_t)most;
    }
    int rc = tiers_rows(
        store, job->group, job->from, job->to, first, n, tiers->codec, &tiers->rows, err);
    if (rc != 0) {
        return rc;
    }
    if (job->ends == NULL) {
        cut(job, &tiers->rows,
            job->width > 0 ? tiers->sizes.wide_rows : tiers->sizes.narrow_rows);
    }
    assert(job->ends != NULL && job->n_groups > 0);
    tiers->rows.n_rows = job->ends[job->n_groups - 1];
    for (uint32_t c = first; rc == 0 && c < first + n; c += width) {
        struct columns slice =
            slice_of(&tiers->rows, record, first, c, all - c < width ? all - c : width);
        summary_of_rows(
            &slice, job->ends, job->n_groups, store->is_exact, &tiers->summaries);
        rc = append(tiers, job->width > 0 ? c / width + 1 : 0, err);
    }
    tiers->work_bytes += tiers->rows.room * (4 * (size_t)n + 16);
    job->next_column = first + n;
    return rc;
}

/* Summarise the next part of a job of a level above 1. */
static int slab_of_summaries(struct store *store, struct tiers *tiers, struct baro_err *err)
{
    struct job *job = &tiers->job;
    uint32_t all = n_columns(&job->group->record);
    uint32_t width = job->width > 0 ? job->width : all;
    uint32_t part = job->width > 0 ? job->next_column / width + 1 : 0;
    const struct strand_id id = {job->group->run->run, job->group->thing, job->group->kind,
        (uint8_t)(job->level - 1), (uint16_t)part};
    uint64_t to = job->to;
    int rc = tiers_summaries(
        store, &id, job->from, &to, MAX_SUMMARIES, tiers->codec, &tiers->rows, err);
    if (rc == 0 && job->ends == NULL) {
        job->to = to;
        cut(job, &tiers->rows, tiers->sizes.fan_out);
    }
    assert(rc != 0 || (job->ends != NULL && job->n_groups > 0));
    if (rc == 0 && tiers->rows.n_rows < job->ends[job->n_groups - 1]) {
        rc = baro_err_set(err, BARO_ECORRUPT, "parts of summaries do not agree");
    }
    if (rc != 0) {
        return rc;
    }
    tiers->rows.n_rows = job->ends[job->n_groups - 1];
    rc = summary_of_summaries(
        &tiers->rows, job->ends, job->n_groups, store->is_exact, &tiers->summaries);
    if (rc != 0) {
        return baro_err_set(err, rc, "summaries do not decode");
    }
    tiers->work_bytes += tiers->rows.room * (20 * (size_t)width + 24);
    job->next_column += width;
    return append(tiers, part, err);
}

/* Do the next columns of the job at hand. */
static int do_slab(struct store *store, struct tiers *tiers, struct baro_err *err)
{
    return tiers->job.level == 1 ? slab_of_rows(store, tiers, err)
                                 : slab_of_summaries(store, tiers, err);
}

static void end_job(struct tiers *tiers)
{
    if (tiers->n_done == tiers->done_room) {
        tiers->done_room = tiers->done_room * 2 + 16;
        tiers->done = baro_xrealloc(tiers->done, tiers->done_room, sizeof *tiers->done);
    }
    free(tiers->job.ends);
    tiers->job.ends = NULL;
    tiers->done[tiers->n_done++] = tiers->job;
    tiers->job = (struct job){0};
}

/* ---- putting it on disk ---- */

/* What a group's record is after a job; false when the group was pruned or changed meanwhile. */
static bool compose(const struct job *job, struct group_record *out)
{
    uint32_t at = job->level - 1;
    *out = job->group->record;
    if (out->covered[at] != job->from || out->pruned[job->level] != job->pruned) {
        return false;
    }
    out->covered[at] = job->to;
    out->n_levels = job->level > out->n_levels ? job->level : out->n_levels;
    out->part_columns = job->width;
    out->bytes += (uint64_t)job->bytes;
    return true;
}

/* Forget all that was not put on disk; its groups are due again. */
static void discard(struct store *store, struct tiers *tiers)
{
    if (tiers->job.group != NULL) {
        struct tail_group *group = tiers->job.group;
        drop_job(tiers);
        group->is_tiering = false;
        tiers_note(store, group);
    }
    for (size_t i = 0; i < tiers->n_done; i++) {
        tiers->done[i].group->is_tiering = false;
        tiers_note(store, tiers->done[i].group);
    }
    tiers->n_done = 0;
    store_batch_clear(&tiers->batch);
}

static void begin_work(struct store *store, struct tiers *tiers)
{
    if (tiers->writer == NULL) {
        store_batch_clear(&tiers->batch);
        tiers->writer = strand_writer_create(store, &tiers->batch);
        tiers->codec = chunk_codec_create();
    }
}

/* Memory that is not needed until the next job. */
static void end_work(struct tiers *tiers)
{
    strand_writer_destroy(tiers->writer);
    chunk_codec_destroy(tiers->codec);
    columns_finish(&tiers->rows);
    columns_finish(&tiers->summaries);
    store_batch_finish(&tiers->batch);
    tiers->writer = NULL;
    tiers->codec = NULL;
    tiers->batch = (struct store_batch){0};
}

/* Put all finished jobs on disk. */
static int finish_jobs(struct store *store, struct tiers *tiers, struct baro_err *err)
{
    struct group_record record;
    for (size_t i = 0; i < tiers->n_done; i++) {
        if (!compose(&tiers->done[i], &record)) {
            discard(store, tiers);
            return 0;
        }
        store_group_put(store, &tiers->batch, tiers->done[i].group, &record);
    }
    int rc = store_apply(store, &tiers->batch, store->commit_limit, err);
    if (rc == 0) {
        for (size_t i = 0; i < tiers->n_done; i++) {
            (void)compose(&tiers->done[i], &record);
            store_group_publish(store, tiers->done[i].group, &record);
        }
    }
    discard(store, tiers);
    return rc;
}

/* ---- steps ---- */

/* Look through the next groups of the index for some that are due: the daemon may have ended
 * before they were done. */
static int scan(struct store *store, struct tiers *tiers, struct baro_err *err)
{
    uint8_t keys[SCAN_GROUPS][KEY_GROUP_BYTES];
    size_t n = 0;
    MDB_txn *txn = NULL;
    MDB_cursor *cursor = NULL;
    MDB_val key = {.mv_size = KEY_GROUP_BYTES, .mv_data = tiers->scan_key};
    MDB_val value;
    int rc = store_reading_begin(store, &txn, err);
    if (rc != 0) {
        return rc;
    }
    rc = mdb_cursor_open(txn, store->group_table, &cursor);
    if (rc == 0) {
        rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    }
    for (int i = 0; rc == 0 && i < SCAN_GROUPS; i++) {
        struct group_record record;
        if (key.mv_size == KEY_GROUP_BYTES &&
            store_group_decode(store, txn, key.mv_data, &value, &record) &&
            due_level(store, &record) > 0) {
            memcpy(keys[n++], key.mv_data, KEY_GROUP_BYTES);
        }
        rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    tiers->is_scanned = rc != 0;
    if (rc == 0 && key.mv_size == KEY_GROUP_BYTES) {
        memcpy(tiers->scan_key, key.mv_data, KEY_GROUP_BYTES);
    }
    if (cursor != NULL) {
        mdb_cursor_close(cursor);
    }
    store_reading_end(store, txn);
    for (size_t i = 0; i < n; i++) {
        struct tail_group *group = NULL;
        if (store_group_load(store, (uint32_t)key_get(keys[i], 4),
                (uint32_t)key_get(keys[i] + 4, 4), (uint16_t)key_get(keys[i] + 8, 2),
                &group, NULL) == 0) {
            tiers_note(store, group);
        }
    }
    return rc == 0 || rc == MDB_NOTFOUND ? 0 : store_lmdb_error(store, rc, "read", err);
}

/* Begin the next job that is due; false when there is none. */
static bool next_job(struct store *store, struct tiers *tiers)
{
    struct tail_group *group = NULL;
    while (tiers->job.group == NULL && (group = take_group(tiers)) != NULL) {
        uint32_t level = due_level(store, &group->record);
        if (level > 0) {
            begin_job(store, tiers, group, level,
                level == 1 ? group->record.n_rows : group->record.covered[level - 2]);
        } else {
            group->is_tiering = false;
        }
    }
    return tiers->job.group != NULL;
}

int tiers_step(struct store *store, struct baro_err *err)
{
    struct tiers *tiers = tiers_of(store);
    tiers->work_bytes = 0;
    if (!tiers->is_scanned) {
        int rc = scan(store, tiers, err);
        return rc < 0 ? rc : 1;
    }
    if (tiers->job.group == NULL && tiers->first == NULL && tiers->n_done == 0) {
        return 0;
    }
    begin_work(store, tiers);
    while (tiers->work_bytes < STEP_BYTES && next_job(store, tiers)) {
        int rc = do_slab(store, tiers, err);
        if (rc == BARO_ECORRUPT) {
            tiers->job.group->is_tiering = false;
            drop_job(tiers);
        } else if (rc != 0) {
            discard(store, tiers);
            return rc;
        } else if (tiers->job.next_column >= n_columns(&tiers->job.group->record)) {
            end_job(tiers);
        }
    }
    int rc = 0;
    if (tiers->job.group == NULL) {
        rc = tiers->n_done > 0 ? finish_jobs(store, tiers, err) : 0;
        if (tiers->first == NULL || rc != 0) {
            end_work(tiers);
        }
    }
    return rc == 0 ? 1 : baro_err_prefix(err, rc, "summarise");
}

int tiers_cover(
    struct store *store, struct tail_group *group, uint64_t row, struct baro_err *err)
{
    struct tiers *tiers = tiers_of(store);
    row = row < group->record.n_rows ? row : group->record.n_rows;
    int rc = 0;
    if (n_columns(&group->record) == 0) {
        return 0;
    }
    discard(store, tiers);
    begin_work(store, tiers);
    while (rc == 0 && group->record.covered[0] < row) {
        unlink_group(tiers, group);
        begin_job(store, tiers, group, 1, row);
        tiers->job.is_forced = true;
        while (rc == 0 && tiers->job.next_column < n_columns(&group->record)) {
            rc = do_slab(store, tiers, err);
        }
        if (rc != 0) {
            discard(store, tiers);
            break;
        }
        end_job(tiers);
        rc = finish_jobs(store, tiers, err);
    }
    end_work(tiers);
    return rc;
}

void tiers_forget_run(struct store *store, uint32_t run)
{
    struct tiers *tiers = tiers_of(store);
    discard(store, tiers);
    struct tail_group *group = tiers->first;
    tiers->first = NULL;
    while (group != NULL) {
        struct tail_group *next = group->next_tiering;
        group->is_tiering = false;
        if (group->run->run != run) {
            tiers_note(store, group);
        }
        group = next;
    }
    end_work(tiers);
}

void tiers_finish(struct store *store)
{
    struct tiers *tiers = store->tiers;
    if (tiers == NULL) {
        return;
    }
    end_work(tiers);
    free(tiers->job.ends);
    free(tiers->done);
    free(tiers->covers);
    free(tiers);
    store->tiers = NULL;
}
