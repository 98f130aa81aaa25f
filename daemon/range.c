/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/range.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "daemon/registry.h"
#include "lib/analysis/columns.h"
#include "lib/analysis/spread.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/reading.h"
#include "proto/wire_columns.h"

/*
 * A range is answered with every point, or with columns: as many as there are pixels, each
 * holding its extremes. All units of one statistic are read in one pass over the store's blocks,
 * because they lie side by side in them. The size of a reply is known, and refused if too large,
 * before the memory for its columns is taken; points are counted while they come.
 *
 * The history of a series may lie in several runs: what it inherited by branching, then its own.
 * All parts fall into the same columns, each up to the step at which the next begins.
 */

enum { MAX_SERIES = 256, MAX_COLUMNS = 8192, EXPECTED = 16 };
enum { SPREAD_UNIT = -2, SPREAD_AT_ONCE = 4096 }; /* units read at once for a spread */

_Static_assert(
    sizeof(struct column) == sizeof(struct wire_column) &&
        offsetof(struct column, min) == offsetof(struct wire_column, min) &&
        offsetof(struct column, last) == offsetof(struct wire_column, last) &&
        offsetof(struct column, count) == offsetof(struct wire_column, count) &&
        offsetof(struct column, n_neg_inf) == offsetof(struct wire_column, n_neg_inf),
    "columns go over the wire as they are");

/* One point as it goes over the wire. */
struct point {
    int64_t step;
    int64_t time_ns;
    double value;
};
_Static_assert(sizeof(struct point) == 24, "the layout is part of the protocol");

/* One series asked for, resolved. */
struct wanted {
    struct lineage_part parts[REGISTRY_MAX_LINEAGE]; /* oldest first */
    size_t n_parts;
    uint16_t kind;
    uint32_t first_column;
    uint32_t n_series; /* 1, or the number of units */
    bool is_time;      /* when its rows came, not what they hold */
    bool is_spread;    /* not the units themselves are told, but how they lie */
};

struct range {
    struct job job;
    bool is_whole;  /* cut as asked */
    bool is_packed; /* columns are */
    int64_t from_step;
    int64_t to_step;
    uint32_t n_columns;
    size_t n_wanted;
    struct wanted *wanted;
};

/* What a pass over the store fills. */
struct pass {
    struct column *columns; /* [n_series][n_columns] */
    struct point *points;   /* when every point is wanted */
    size_t n_points;
    size_t points_size;
    size_t max_points;
    uint64_t n_readings;
    uint64_t n_coarse;
    const struct column_cut *cut; /* of add_times */
};

/* What the reply says of each series asked for. */
struct answer {
    uint32_t *n_series;
    uint64_t *n_points;
    uint64_t *n_coarse;
    struct column *columns; /* of the series at hand; used again for the next */
    size_t columns_room;
    size_t bytes_left;      /* that points may still take */
    struct baro_err damage; /* the first that was met; the rest is given */
};

static void destroy(struct job *job)
{
    struct range *range = (struct range *)job;
    free(range->wanted);
    free(range);
}

/* ---- resolving ---- */

static int resolve_units(const struct thing *thing, const Baro__SeriesRef *ref,
    struct wanted *out, struct baro_err *err)
{
    uint32_t n_units = thing->declare->n_units;
    int n_stats = reading_unit_stats((enum baro_role)thing->declare->role);
    if (ref->stat >= (uint32_t)n_stats || n_units == 0 || ref->unit < SPREAD_UNIT ||
        ref->unit >= (int64_t)n_units) {
        return baro_err_set(err, BARO_EINVAL,
            "'%.100s' has %" PRIu32 " units and %d statistics of units; unit %" PRId32
            " and statistic %" PRIu32 " were asked for",
            thing->declare->name, n_units, n_stats, ref->unit, ref->stat);
    }
    out->first_column = ref->stat * n_units + (ref->unit >= 0 ? (uint32_t)ref->unit : 0);
    out->n_series = ref->unit >= 0 ? 1 : n_units;
    out->is_spread = ref->unit == SPREAD_UNIT;
    return 0;
}

static int resolve(const struct run *run, const struct thing *thing,
    const Baro__SeriesRef *ref, struct wanted *out, struct baro_err *err)
{
    out->kind = (uint16_t)ref->kind;
    out->first_column = ref->stat;
    out->n_series = 1;
    if (ref->kind == READING_STEP && ref->thing == 0) {
        out->first_column = 0;
        out->is_time = ref->stat == STEP_TIME;
        return ref->stat < STEP_STAT_COUNT
                   ? 0
                   : baro_err_set(err, BARO_EINVAL,
                         "of steps there are %d statistics; %" PRIu32 " was asked for",
                         STEP_STAT_COUNT, ref->stat);
    }
    if (thing == NULL) {
        return baro_err_set(err, BARO_ENOENT, "run %" PRIu32 " has no series %" PRIu32,
            run->number, ref->thing);
    }
    bool is_tensor = thing->declare->is_tensor;
    if (ref->kind == READING_SCALAR && !is_tensor && ref->stat == 0) {
        return 0;
    }
    if (ref->kind == READING_SUMMARY && is_tensor && ref->stat < SUMMARY_STAT_COUNT) {
        return 0;
    }
    if (ref->kind == READING_UNITS && is_tensor) {
        return resolve_units(thing, ref, out, err);
    }
    return baro_err_set(err, BARO_EINVAL,
        "'%.100s' is a %s; kind %" PRIu32 " with statistic %" PRIu32 " is no series of it",
        thing->declare->name, is_tensor ? "tensor" : "scalar", ref->kind, ref->stat);
}

/* How many series are told of what was asked for. */
static uint32_t n_told(const struct wanted *wanted)
{
    return wanted->is_spread ? SPREAD_COUNT : wanted->n_series;
}

/* Refuse what would be too large before anything is read. */
static int check_size(const struct range *range, struct baro_err *err)
{
    uint64_t n_series = 0;
    for (size_t i = 0; i < range->n_wanted; i++) {
        const struct wanted *wanted = &range->wanted[i];
        if (range->n_columns == 0 && (wanted->n_series > 1 || wanted->is_spread)) {
            return baro_err_set(err, BARO_EINVAL,
                "all units at once come as columns only: ask with columns, or for one unit");
        }
        uint64_t n_floats = (uint64_t)wanted->n_series * range->n_columns;
        if (wanted->is_spread && n_floats * sizeof(float) > WIRE_MAX_REPLY_BYTES) {
            return baro_err_set(err, BARO_ELIMIT,
                "the spread of %" PRIu32 " units over %" PRIu32
                " columns is too much at once: ask for fewer columns",
                wanted->n_series, range->n_columns);
        }
        n_series += n_told(wanted);
    }
    uint64_t n_bytes = n_series * range->n_columns * sizeof(struct column);
    return n_bytes <= WIRE_MAX_REPLY_BYTES
               ? 0
               : baro_err_set(err, BARO_ELIMIT,
                     "%" PRIu64 " series of %" PRIu32 " columns would be %" PRIu64
                     " MiB; a reply has at most 64: ask for fewer columns or series",
                     n_series, range->n_columns, n_bytes >> 20);
}

/* ---- reading ---- */

static double value_at(const struct store_block *block, size_t column, size_t row)
{
    size_t at = column * block->n_rows + row;
    return block->f64 != NULL ? block->f64[at] : (double)block->f32[at];
}

static int add_points(const struct store_block *block, void *payload)
{
    struct pass *pass = payload;
    if (pass->n_points + block->n_rows > pass->max_points) {
        return BARO_ELIMIT;
    }
    if (pass->n_points + block->n_rows > pass->points_size) {
        pass->points_size = 2 * pass->points_size + block->n_rows;
        pass->points = baro_xrealloc(pass->points, pass->points_size, sizeof *pass->points);
    }
    for (size_t row = 0; row < block->n_rows; row++) {
        pass->points[pass->n_points++] = (struct point){
            block->steps[row], block->times_ns[row], value_at(block, 0, row)};
    }
    pass->n_readings += block->n_rows;
    return 0;
}

/* The times of rows, in seconds, as if they were readings. */
static int add_times(const struct store_block *block, void *payload)
{
    struct pass *pass = payload;
    for (size_t row = 0; row < block->n_rows; row++) {
        uint32_t at = columns_find(pass->cut, block->steps[row]);
        if (at < pass->cut->n_columns) {
            column_add(
                &pass->columns[at], block->steps[row], (double)block->times_ns[row] / 1e9);
        }
    }
    pass->n_readings += block->n_rows;
    return 0;
}

static struct store_query query_for(
    const struct range *range, const struct wanted *wanted, size_t part)
{
    const struct lineage_part *lies = &wanted->parts[part];
    return (struct store_query){
        .run = lies->run,
        .thing = lies->thing,
        .kind = wanted->kind,
        .first_column = wanted->first_column,
        .n_columns = wanted->n_series,
        .from_step = range->from_step,
        .to_step = lies->to_step < range->to_step ? lies->to_step : range->to_step,
    };
}

/* The smallest and largest step of some series; first > last: none. */
struct extent {
    int64_t first;
    int64_t last;
};

/* Widen an extent by what one part of a series has. */
static int measure_part(const struct lineage_part *part, uint16_t kind, struct store *store,
    struct extent *extent, struct baro_err *err)
{
    struct store_group_info info;
    int rc = store_group(store, part->run, part->thing, kind, &info, err);
    if (rc <= 0 || info.n_rows == 0 || info.first_step > part->to_step) {
        return rc < 0 ? rc : 0;
    }
    int64_t last = info.last_step < part->to_step ? info.last_step : part->to_step;
    extent->first = info.first_step < extent->first ? info.first_step : extent->first;
    extent->last = last > extent->last ? last : extent->last;
    return 0;
}

/* Narrow the range to the steps that the series asked for have. */
static int clip(struct range *range, struct store *store)
{
    struct extent extent = {INT64_MAX, INT64_MIN};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < range->n_wanted; i++) {
        const struct wanted *wanted = &range->wanted[i];
        for (size_t k = 0; rc == 0 && k < wanted->n_parts; k++) {
            rc = measure_part(
                &wanted->parts[k], wanted->kind, store, &extent, &range->job.err);
        }
    }
    int64_t from = range->from_step > extent.first ? range->from_step : extent.first;
    int64_t to = range->to_step < extent.last ? range->to_step : extent.last;
    if (from <= to) { /* else nothing lies in the range: it stays as asked for */
        range->from_step = from;
        range->to_step = to;
    }
    return rc;
}

/* Read every point of a part; a group without rows is no error. */
static int read_points(struct store *store, const struct store_query *query,
    struct pass *pass, struct baro_err *err)
{
    int rc = store_read(store, query, add_points, pass, err);
    if (rc == BARO_ELIMIT) {
        return baro_err_set(err, BARO_ELIMIT,
            "more than 64 MiB of points lie in that range: ask with columns, or for less");
    }
    return rc;
}

/* Add the columns of a part. */
static int read_columns(struct store *store, const struct column_cut *whole,
    const struct store_query *query, struct pass *pass, struct baro_err *err)
{
    struct column_cut cut = *whole;
    uint64_t n_readings = 0;
    uint64_t n_coarse = 0;
    cut.last_step = query->to_step;
    int rc =
        store_read_columns(store, query, &cut, pass->columns, &n_readings, &n_coarse, err);
    pass->n_readings += n_readings;
    pass->n_coarse += n_coarse;
    return rc;
}

/* Add the columns of the times of a part; what was pruned has none. */
static int read_times(struct store *store, const struct column_cut *whole,
    const struct store_query *query, struct pass *pass, struct baro_err *err)
{
    struct column_cut cut = *whole;
    cut.last_step = query->to_step;
    pass->cut = &cut;
    return store_read(store, query, add_times, pass, err);
}

/* Read all parts of a series. */
static int read_parts(struct range *range, struct store *store,
    const struct column_cut *cut, const struct wanted *wanted, struct pass *pass,
    struct answer *answer)
{
    int rc = 0;
    for (size_t part = 0; rc == 0 && part < wanted->n_parts; part++) {
        struct store_query query = query_for(range, wanted, part);
        struct baro_err err = {0};
        if (query.from_step > query.to_step) {
            continue; /* all of the range is of later parts */
        }
        bool is_time = wanted->is_time && range->n_columns > 0;
        rc = is_time                ? read_times(store, cut, &query, pass, &err)
             : range->n_columns > 0 ? read_columns(store, cut, &query, pass, &err)
                                    : read_points(store, &query, pass, &err);
        if (rc == BARO_ECORRUPT) {
            answer->damage = answer->damage.code == 0 ? err : answer->damage;
            rc = 0;
        } else if (rc != 0) {
            range->job.err = err;
        }
    }
    return rc;
}

/* Pack the columns of some series. */
static struct frame pack(const struct column *columns, size_t n_series, size_t n_columns)
{
    size_t bound = wire_columns_bound(n_columns);
    size_t room = bound;
    size_t n_bytes = 0;
    uint8_t *bytes = baro_xrealloc(NULL, room, 1);
    for (size_t i = 0; i < n_series; i++) {
        if (room - n_bytes < bound) {
            room = 2 * room + bound;
            bytes = baro_xrealloc(bytes, room, 1);
        }
        n_bytes += wire_columns_pack(
            (const void *)(columns + i * n_columns), n_columns, bytes + n_bytes);
    }
    return (struct frame){baro_xrealloc(bytes, n_bytes, 1), n_bytes, true};
}

/* Give the columns read to the job. */
static struct frame frame_of(
    const struct range *range, size_t n_series, struct answer *answer)
{
    size_t n = n_series * range->n_columns;
    if (range->is_packed) {
        return pack(answer->columns, n_series, range->n_columns);
    }
    struct frame frame = {answer->columns, n * sizeof *answer->columns, true};
    answer->columns = NULL;
    answer->columns_room = 0;
    return frame;
}

/* Make room for the columns of a series and empty them. */
static struct column *need_columns(struct answer *answer, size_t n)
{
    if (n > answer->columns_room) {
        free(answer->columns);
        answer->columns = baro_xcalloc(n, sizeof *answer->columns);
        answer->columns_room = n;
    } else if (n > 0) {
        memset(answer->columns, 0, n * sizeof *answer->columns);
    }
    return answer->columns;
}

/* Read the units some at a time and keep of them how they lie. */
static int read_spread(struct range *range, struct store *store,
    const struct column_cut *cut, const struct wanted *wanted, struct pass *pass,
    struct answer *answer)
{
    struct spread *spread = spread_create(wanted->n_series, range->n_columns);
    struct wanted some = *wanted;
    int rc = 0;
    for (uint32_t first = 0; rc == 0 && first < wanted->n_series; first += some.n_series) {
        uint32_t left = wanted->n_series - first;
        some.first_column = wanted->first_column + first;
        some.n_series = left < SPREAD_AT_ONCE ? left : SPREAD_AT_ONCE;
        pass->n_readings = pass->n_coarse = 0; /* the same for all of them */
        pass->columns = need_columns(answer, (size_t)some.n_series * range->n_columns);
        rc = read_parts(range, store, cut, &some, pass, answer);
        spread_add(spread, pass->columns, some.n_series);
    }
    spread_columns(spread, need_columns(answer, (size_t)SPREAD_COUNT * range->n_columns));
    spread_destroy(spread);
    return rc;
}

/* Read all units, or one series. */
static int read_series(struct range *range, struct store *store,
    const struct column_cut *cut, const struct wanted *wanted, struct pass *pass,
    struct answer *answer)
{
    size_t n = (size_t)wanted->n_series * range->n_columns;
    pass->columns = need_columns(answer, n);
    int rc = read_parts(range, store, cut, wanted, pass, answer);
    for (size_t i = 0; i < n; i++) {
        column_finish(&pass->columns[i]);
    }
    return rc;
}

static int answer_one(struct range *range, struct store *store,
    const struct column_cut *cut, size_t at, struct answer *answer)
{
    const struct wanted *wanted = &range->wanted[at];
    struct pass pass = {.max_points = answer->bytes_left / sizeof(struct point)};
    int rc = wanted->is_spread ? read_spread(range, store, cut, wanted, &pass, answer)
                               : read_series(range, store, cut, wanted, &pass, answer);
    if (range->n_columns > 0) {
        range->job.frames[at] = frame_of(range, n_told(wanted), answer);
    } else {
        size_t n_bytes = pass.n_points * sizeof *pass.points;
        range->job.frames[at] = (struct frame){pass.points, n_bytes, true};
        answer->bytes_left -= n_bytes;
    }
    range->job.n_frames++;
    answer->n_series[at] = n_told(wanted);
    answer->n_points[at] = pass.n_readings;
    answer->n_coarse[at] = pass.n_coarse;
    return rc;
}

/* How often this thread has waited, for the disk that is, mostly. */
static long count_waits(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_nvcsw : 0;
}

/* Have some of the series that come next brought in at once. */
static size_t expect(
    struct range *range, struct store *store, const struct column_cut *cut, size_t from)
{
    size_t end = from + EXPECTED < range->n_wanted ? from + EXPECTED : range->n_wanted;
    for (size_t i = from; range->n_columns > 0 && i < end; i++) {
        for (size_t part = 0; part < range->wanted[i].n_parts; part++) {
            struct store_query query = query_for(range, &range->wanted[i], part);
            if (query.from_step <= query.to_step) {
                store_expect_columns(store, &query, cut);
            }
        }
    }
    return end;
}

/* Read all series; the numbers are told in answer. */
static int answer_all(struct range *range, struct store *store,
    const struct column_cut *cut, struct answer *answer)
{
    int rc = 0;
    long n_waits = count_waits();
    size_t expected = 0; /* series before this one were seen to */
    for (size_t i = 0; rc == 0 && i < range->n_wanted; i++) {
        rc = answer_one(range, store, cut, i, answer);
        long now = count_waits();
        if (now != n_waits && i + 1 >= expected) {
            expected = expect(range, store, cut, i + 1);
        }
        n_waits = now;
    }
    free(answer->columns);
    if (rc != 0 && range->job.err.code == 0) {
        (void)baro_err_set(&range->job.err, rc, "the history cannot be read");
    }
    return rc;
}

static void work(struct job *job, struct store *store)
{
    struct range *range = (struct range *)job;
    if (!range->is_whole && clip(range, store) != 0) {
        return;
    }
    size_t n = range->n_wanted;
    struct column_cut cut = columns_cut(
        range->from_step, range->to_step, range->n_columns > 0 ? range->n_columns : 1);
    baro_autofree int64_t *edges = baro_xcalloc((size_t)cut.n_columns + 1, sizeof *edges);
    columns_edges(&cut, edges);
    cut.edges = edges;
    job->frames = baro_xcalloc(n, sizeof *job->frames);
    baro_autofree uint32_t *n_series = baro_xcalloc(n, sizeof *n_series);
    baro_autofree uint64_t *n_points = baro_xcalloc(n, sizeof *n_points);
    baro_autofree uint64_t *n_coarse = baro_xcalloc(n, sizeof *n_coarse);
    struct answer answer = {.n_series = n_series,
        .n_points = n_points,
        .n_coarse = n_coarse,
        .bytes_left = WIRE_MAX_REPLY_BYTES};
    if (answer_all(range, store, &cut, &answer) != 0) {
        return;
    }
    Baro__RangeReply reply;
    baro__range_reply__init(&reply);
    reply.from_step = range->from_step;
    reply.to_step = range->to_step;
    reply.n_columns = range->n_columns;
    reply.edge_shift = range->n_columns > 0 ? cut.edge_shift : 0;
    reply.n_n_series = n;
    reply.n_series = n_series;
    reply.n_n_points = n;
    reply.n_points = n_points;
    reply.n_n_coarse = n;
    reply.n_coarse = n_coarse;
    reply.damage = answer.damage.text;
    reply.packing = range->is_packed ? WIRE_PACKED : WIRE_AS_THEY_ARE;
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.body_case = BARO__ENVELOPE__BODY_RANGE_REPLY;
    envelope.range_reply = &reply;
    query_reply(job, &envelope);
}

/* Refuse what no store needs to be asked about. */
static int check_request(const Baro__RangeRequest *request, struct baro_err *err)
{
    if (request->n_series == 0 || request->n_series > MAX_SERIES) {
        return baro_err_set(err, BARO_EINVAL,
            "%zu series were asked for; a range has 1 to %d of them", request->n_series,
            MAX_SERIES);
    }
    if (request->columns > MAX_COLUMNS) {
        return baro_err_set(err, BARO_EINVAL,
            "%" PRIu32 " columns were asked for; a range has at most %d", request->columns,
            MAX_COLUMNS);
    }
    if (request->from_step > request->to_step) {
        return baro_err_set(err, BARO_EINVAL,
            "the first step asked for, %" PRId64 ", is behind the last, %" PRId64,
            request->from_step, request->to_step);
    }
    return 0;
}

struct job *range_job(const struct registry *registry, const struct run *run,
    const Baro__RangeRequest *request, struct baro_err *err)
{
    if (check_request(request, err) != 0) {
        return NULL;
    }
    struct range *range = baro_xcalloc(1, sizeof *range);
    range->job = (struct job){.work = work, .destroy = destroy};
    range->is_whole = request->is_whole;
    range->is_packed = request->packing == WIRE_PACKED && request->columns > 0;
    range->from_step = request->from_step;
    range->to_step = request->to_step;
    range->n_columns = request->columns;
    range->wanted = baro_xcalloc(request->n_series, sizeof *range->wanted);
    range->n_wanted = request->n_series;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < request->n_series; i++) {
        const Baro__SeriesRef *ref = request->series[i];
        const struct thing *thing = registry_thing(run, ref->thing);
        struct wanted *wanted = &range->wanted[i];
        rc = resolve(run, thing, ref, wanted, err);
        wanted->n_parts =
            rc == 0 ? registry_lineage(registry, run, thing, wanted->parts) : 0;
    }
    if (rc != 0 || check_size(range, err) != 0) {
        destroy(&range->job);
        return NULL;
    }
    return &range->job;
}
