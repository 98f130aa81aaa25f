/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/store/summary.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

/*
 * How rows are cut. Two neighbouring steps lie in the same aligned interval of 2^a steps if they
 * agree but for their lowest a bits; so the smallest such a is the length of their exclusive or,
 * and a count of those lengths tells at once how many groups each a gives. The smallest a that
 * gives few enough is taken. Groups of coarser summaries are cut at the same kind of edges, so
 * summaries nest. Rows that jump back and forth between distant steps make a large: their summaries
 * are as few as any others', and too wide for narrow columns, which are then read from the rows.
 * Worked number: steps 0 10 20 .. 630 (64 of them) by 16: 64 / 16 * 3 / 2 + 1 = 7 groups are
 * allowed; a = 6 would give 10 and a = 7 gives 5, of 13, 13, 13, 13 and 12 rows.
 *
 * Rounding. Smallest and largest are exact. Mean, first and last lie between them, and are
 * rounded to the nearest multiple of the largest power of two that is at most 2^-13 of the number
 * itself and at most 2^-9 of the distance from smallest to largest. What coarser levels round
 * again is a multiple already, unless that distance was what counted and has grown: then the
 * units of the levels are at least a factor of two apart, and all errors together less than twice
 * the last. So the error is at most 2^-13 of the number and 2^-9 of the distance, whichever is
 * less. Numbers of float columns are also rounded to float.
 *
 * Extra bytes of a summary: for each column with readings that are not finite, by rising column,
 * four numbers of seven bits a byte, lowest first, the highest bit set on all but the last byte:
 * how many columns were passed over since the last one, NaN, +infinity, -infinity.
 */

enum { ODD_MAX_BYTES = 4 * 5, MANTISSA_BITS = 13, RANGE_BITS = 9, ANY_SHIFT = 64 };

/* ---- cutting ---- */

static uint32_t bits_of(uint64_t x)
{
    return x == 0 ? 0 : 64 - (uint32_t)__builtin_clzll(x);
}

static uint32_t bits_between(int64_t a, int64_t b)
{
    return bits_of((uint64_t)a ^ (uint64_t)b);
}

/* The shift that cuts n rows or summaries into few enough groups. */
static uint32_t choose_shift(
    const int64_t *first, const int64_t *last, size_t n, uint32_t per_group)
{
    size_t n_bits[ANY_SHIFT + 1] = {0};
    for (size_t i = 1; i < n; i++) {
        uint32_t bits = bits_between(first[i - 1], first[i]);
        uint32_t left = bits_between(first[i - 1], last[i - 1]);
        uint32_t right = bits_between(first[i], last[i]);
        bits = left > bits ? left : bits;
        n_bits[right > bits ? right : bits]++;
    }
    size_t allowed = n / per_group * 3 / 2 + 1;
    size_t n_groups = 1;
    uint32_t shift = ANY_SHIFT;
    while (shift > 0 && n_groups + n_bits[shift] <= allowed) {
        n_groups += n_bits[shift--];
    }
    return shift;
}

size_t summary_cut(const int64_t *first, const int64_t *last, size_t n, uint32_t per_group,
    uint32_t *out_ends)
{
    uint32_t shift = choose_shift(first, last, n, per_group);
    size_t n_groups = 0;
    size_t start = 0;
    for (size_t i = 1; i < n; i++) {
        if (bits_between(first[start], first[i]) > shift ||
            bits_between(first[start], last[start]) > shift ||
            bits_between(first[i], last[i]) > shift) {
            out_ends[n_groups++] = (uint32_t)i;
            start = i;
        }
    }
    out_ends[n_groups++] = (uint32_t)n;
    return n_groups;
}

/* ---- writing ---- */

/* The readings of one column that one summary has and that are not finite. */
struct odd_item {
    uint32_t entry;
    uint32_t column;
    struct summary_odd odd;
};

struct odd_list {
    struct odd_item *items;
    size_t n;
    size_t room;
};

static double round_to(double x, double min, double max)
{
    int bits = 0;
    int range_bits = 0;
    if (!isfinite(x) || min >= max || !isfinite(max - min)) {
        return x;
    }
    (void)frexp(x, &bits);
    (void)frexp(max - min, &range_bits);
    int unit = bits - 1 - MANTISSA_BITS;
    unit = range_bits - 1 - RANGE_BITS < unit ? range_bits - 1 - RANGE_BITS : unit;
    if (bits - unit > 52) {
        return x;
    }
    double rounded = ldexp(nearbyint(ldexp(x, -unit)), unit);
    return rounded < min ? min : rounded > max ? max : rounded;
}

static double nearest_float_within(double x, double min, double max)
{
    double narrow = (double)(float)x;
    return narrow < min ? min : narrow > max ? max : narrow;
}

/* Store the figures of all groups for one column of the group: column c of the strand's. */
static void put_figures(struct columns *out, uint32_t c, bool is_f32, bool is_exact,
    const struct column *columns)
{
    for (size_t i = 0; i < out->n_rows; i++) {
        struct column column = columns[i];
        if (is_f32) {
            column.mean = nearest_float_within(column.mean, column.min, column.max);
        }
        column.mean =
            is_exact ? column.mean : round_to(column.mean, column.min, column.max);
        if (!is_exact) {
            column.first = round_to(column.first, column.min, column.max);
            column.last = round_to(column.last, column.min, column.max);
        }
        const double figures[SUMMARY_FIGURES] = {
            column.min, column.max, column.mean, column.first, column.last};
        for (uint32_t f = 0; f < SUMMARY_FIGURES; f++) {
            if (is_f32) {
                out->f32[(SUMMARY_FIGURES * c + f) * out->room + i] = (float)figures[f];
            } else {
                out->f64[(1 + SUMMARY_FIGURES * c + f) * out->room + i] = figures[f];
            }
        }
    }
}

static void note_odd(
    struct odd_list *list, uint32_t c, const struct column *columns, size_t n_entries)
{
    for (size_t i = 0; i < n_entries; i++) {
        struct summary_odd odd = {
            columns[i].n_nan, columns[i].n_pos_inf, columns[i].n_neg_inf};
        if (odd.n_nan == 0 && odd.n_pos_inf == 0 && odd.n_neg_inf == 0) {
            continue;
        }
        if (list->n == list->room) {
            list->room = list->room * 2 + 64;
            list->items = baro_xrealloc(list->items, list->room, sizeof *list->items);
        }
        list->items[list->n++] = (struct odd_item){(uint32_t)i, c, odd};
    }
}

static size_t put_number(uint8_t *out, uint32_t number)
{
    size_t n = 0;
    for (; number >= 0x80; number >>= 7) {
        out[n++] = (uint8_t)(number | 0x80);
    }
    out[n++] = (uint8_t)number;
    return n;
}

static int compare_odd(const void *left, const void *right)
{
    const struct odd_item *a = left;
    const struct odd_item *b = right;
    if (a->entry != b->entry) {
        return a->entry < b->entry ? -1 : 1;
    }
    return (a->column > b->column) - (a->column < b->column);
}

/* Turn the list into the extra bytes of all summaries. */
static void put_odd(struct odd_list *list, struct columns *out)
{
    size_t bytes = 0;
    if (list->n > 1) {
        qsort(list->items, list->n, sizeof *list->items, compare_odd);
    }
    if (list->n * ODD_MAX_BYTES > out->extra_room) {
        out->extra_room = list->n * ODD_MAX_BYTES;
        out->extra = baro_xrealloc(out->extra, out->extra_room, 1);
    }
    size_t at = 0;
    for (size_t i = 0; i < out->n_rows; i++) {
        uint32_t next = 0;
        for (; at < list->n && list->items[at].entry == i; at++) {
            const struct odd_item *item = &list->items[at];
            bytes += put_number(out->extra + bytes, item->column - next);
            bytes += put_number(out->extra + bytes, item->odd.n_nan);
            bytes += put_number(out->extra + bytes, item->odd.n_pos_inf);
            bytes += put_number(out->extra + bytes, item->odd.n_neg_inf);
            next = item->column + 1;
        }
        out->extra_ends[i] = (uint32_t)bytes;
    }
    out->extra_bytes = bytes;
    free(list->items);
}

/* Find the smallest and the largest step of each group, and where they are. */
static struct column_span *spans_of(
    const int64_t *first, const int64_t *last, const uint32_t *ends, size_t n_groups)
{
    struct column_span *spans = baro_xcalloc(n_groups, sizeof *spans);
    uint32_t from = 0;
    for (size_t g = 0; g < n_groups; g++) {
        struct column_span *span = &spans[g];
        *span = (struct column_span){
            (uint32_t)g, from, ends[g] - from, from, from, first[from], last[from]};
        for (uint32_t i = from + 1; i < ends[g]; i++) {
            if (first[i] < span->first_step) {
                span->first_step = first[i];
                span->first_at = i;
            }
            if (last[i] >= span->last_step) {
                span->last_step = last[i];
                span->last_at = i;
            }
        }
        from = ends[g];
    }
    return spans;
}

/* Make the summaries without their figures. */
static void begin(struct columns *out, const struct column_span *spans, size_t n_groups,
    uint32_t n_f64, uint32_t n_f32)
{
    columns_reset(out, n_groups, summary_f64(n_f64), summary_f32(n_f32), 0);
    out->n_rows = n_groups;
    for (size_t g = 0; g < n_groups; g++) {
        out->steps[g] = spans[g].first_step;
        out->times_ns[g] = spans[g].last_step;
    }
}

void summary_of_rows(const struct columns *rows, const uint32_t *ends, size_t n_groups,
    bool is_exact, struct columns *out)
{
    baro_autofree struct column_span *spans =
        spans_of(rows->steps, rows->steps, ends, n_groups);
    baro_autofree struct column *columns = baro_xcalloc(n_groups, sizeof *columns);
    struct odd_list odd = {0};
    begin(out, spans, n_groups, rows->n_f64, rows->n_f32);
    for (size_t g = 0; g < n_groups; g++) {
        out->f64[g] = spans[g].n;
    }
    for (uint32_t c = 0; c < rows->n_f64 + rows->n_f32; c++) {
        bool is_f32 = c >= rows->n_f64;
        uint32_t own = is_f32 ? c - rows->n_f64 : c;
        memset(columns, 0, n_groups * sizeof *columns);
        if (is_f32) {
            columns_add_f32(columns, spans, n_groups, rows->f32 + own * rows->room);
        } else {
            columns_add_f64(columns, spans, n_groups, rows->f64 + own * rows->room);
        }
        put_figures(out, own, is_f32, is_exact, columns);
        note_odd(&odd, c, columns, n_groups);
    }
    put_odd(&odd, out);
}

/* ---- reading ---- */

bool summary_rows_at(
    const double *n_rows_of, size_t n, uint64_t first_row, uint64_t *out_row_at)
{
    out_row_at[0] = first_row;
    for (size_t i = 0; i < n; i++) {
        if (!(n_rows_of[i] >= 1 && n_rows_of[i] <= (double)UINT32_MAX)) {
            return false;
        }
        out_row_at[i + 1] = out_row_at[i] + (uint32_t)n_rows_of[i];
    }
    return true;
}

/* Take a number out of bytes that end; false when they do. */
static bool take_number(const uint8_t **at, const uint8_t *end, uint32_t *out)
{
    uint64_t number = 0;
    for (uint32_t shift = 0; *at < end && shift < 35; shift += 7) {
        uint8_t byte = *(*at)++;
        number |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *out = (uint32_t)number;
            return number <= UINT32_MAX;
        }
    }
    return false;
}

int summary_odd_decode(const uint8_t *extra, const uint32_t *ends, size_t n,
    const uint64_t *row_at, uint32_t first_column, uint32_t n_columns,
    struct summary_odd *out_odd)
{
    uint32_t start = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t n_rows = row_at[i + 1] - row_at[i];
        const uint8_t *at = extra + start;
        const uint8_t *end = extra + ends[i];
        uint64_t column = 0;
        while (at < end) {
            uint32_t gap = 0;
            struct summary_odd odd;
            if (!take_number(&at, end, &gap) || !take_number(&at, end, &odd.n_nan) ||
                !take_number(&at, end, &odd.n_pos_inf) ||
                !take_number(&at, end, &odd.n_neg_inf) ||
                (uint64_t)odd.n_nan + odd.n_pos_inf + odd.n_neg_inf > n_rows) {
                return BARO_ECORRUPT;
            }
            column += gap;
            if (column >= first_column && column < (uint64_t)first_column + n_columns) {
                out_odd[(column - first_column) * n + i] = odd;
            }
            column++;
        }
        start = ends[i];
    }
    return 0;
}

static double figure(const struct summary_view *view, uint32_t f, size_t i)
{
    assert(view->f64 != NULL || view->f32 != NULL);
    return view->f64 != NULL ? view->f64[f * view->n + i]
                             : (double)view->f32[f * view->n + i];
}

/* The part of a pixel column that one summary makes. */
static struct column part_of(
    const struct summary_view *view, const struct column_span *span, size_t i)
{
    struct summary_odd odd = view->odd != NULL ? view->odd[i] : (struct summary_odd){0};
    return (struct column){
        .first_step = span->first_step,
        .last_step = span->last_step,
        .min = figure(view, SUMMARY_MIN, i),
        .max = figure(view, SUMMARY_MAX, i),
        .mean = figure(view, SUMMARY_MEAN, i),
        .first = figure(view, SUMMARY_FIRST, span->first_at),
        .last = figure(view, SUMMARY_LAST, span->last_at),
        .count = (uint32_t)(view->row_at[i + 1] - view->row_at[i]),
        .n_nan = odd.n_nan,
        .n_pos_inf = odd.n_pos_inf,
        .n_neg_inf = odd.n_neg_inf,
    };
}

/* Add summaries one by one: some have readings that are not finite, or means so large that their
 * sum would not be. */
static void add_each(
    struct column *column, const struct column_span *span, const struct summary_view *view)
{
    struct column sum = {0};
    for (uint32_t i = span->from; i < span->from + span->n; i++) {
        struct column part = part_of(view, span, i);
        column_merge(&sum, &part);
    }
    column_merge(column, &sum);
}

/* Add summaries of finite readings; false when the sum of their means is not finite. */
static bool add_finite(
    struct column *column, const struct column_span *span, const struct summary_view *view)
{
    struct column part = part_of(view, span, span->from);
    double sum = part.mean * part.count;
    uint64_t count = part.count;
    if (view->f64 != NULL) {
        const double *min = view->f64 + SUMMARY_MIN * view->n;
        const double *max = view->f64 + SUMMARY_MAX * view->n;
        const double *mean = view->f64 + SUMMARY_MEAN * view->n;
        for (uint32_t i = span->from + 1; i < span->from + span->n; i++) {
            uint64_t rows = view->row_at[i + 1] - view->row_at[i];
            part.min = min[i] < part.min ? min[i] : part.min;
            part.max = max[i] > part.max ? max[i] : part.max;
            sum += mean[i] * (double)rows;
            count += rows;
        }
    } else {
        const float *min = view->f32 + SUMMARY_MIN * view->n;
        const float *max = view->f32 + SUMMARY_MAX * view->n;
        const float *mean = view->f32 + SUMMARY_MEAN * view->n;
        for (uint32_t i = span->from + 1; i < span->from + span->n; i++) {
            uint64_t rows = view->row_at[i + 1] - view->row_at[i];
            part.min = (double)min[i] < part.min ? (double)min[i] : part.min;
            part.max = (double)max[i] > part.max ? (double)max[i] : part.max;
            sum += (double)mean[i] * (double)rows;
            count += rows;
        }
    }
    if (!isfinite(sum)) {
        return false;
    }
    double mean = sum / (double)count;
    part.mean = mean < part.min ? part.min : mean > part.max ? part.max : mean;
    part.count = (uint32_t)count;
    column_merge(column, &part);
    return true;
}

void summary_add(struct column *columns, const struct column_span *spans, size_t n_spans,
    const struct summary_view *view)
{
    for (size_t s = 0; s < n_spans; s++) {
        struct column *column = &columns[spans[s].column];
        if (view->odd != NULL || !add_finite(column, &spans[s], view)) {
            add_each(column, &spans[s], view);
        }
    }
}

/* ---- summaries of summaries ---- */

int summary_of_summaries(const struct columns *fine, const uint32_t *ends, size_t n_groups,
    bool is_exact, struct columns *out)
{
    uint32_t n_f64 = (fine->n_f64 - 1) / SUMMARY_FIGURES;
    uint32_t n_f32 = fine->n_f32 / SUMMARY_FIGURES;
    size_t n = fine->n_rows;
    baro_autofree uint64_t *row_at = baro_xcalloc(n + 1, sizeof *row_at);
    baro_autofree struct summary_odd *odd = NULL;
    if (!summary_rows_at(fine->f64, n, 0, row_at)) {
        return BARO_ECORRUPT;
    }
    if (fine->extra_bytes > 0) {
        odd = baro_xcalloc(n * ((size_t)n_f64 + n_f32), sizeof *odd);
        if (summary_odd_decode(
                fine->extra, fine->extra_ends, n, row_at, 0, n_f64 + n_f32, odd) != 0) {
            return BARO_ECORRUPT;
        }
    }
    baro_autofree struct column_span *spans =
        spans_of(fine->steps, fine->times_ns, ends, n_groups);
    baro_autofree struct column *columns = baro_xcalloc(n_groups, sizeof *columns);
    struct odd_list list = {0};
    begin(out, spans, n_groups, n_f64, n_f32);
    for (size_t g = 0; g < n_groups; g++) {
        out->f64[g] = (double)(row_at[ends[g]] - row_at[spans[g].from]);
    }
    for (uint32_t c = 0; c < n_f64 + n_f32; c++) {
        bool is_f32 = c >= n_f64;
        uint32_t own = is_f32 ? c - n_f64 : c;
        struct summary_view view = {
            .n = fine->room,
            .f64 = is_f32 ? NULL : fine->f64 + (1 + SUMMARY_FIGURES * own) * fine->room,
            .f32 = is_f32 ? fine->f32 + SUMMARY_FIGURES * own * fine->room : NULL,
            .row_at = row_at,
            .odd = odd != NULL ? odd + c * n : NULL,
        };
        memset(columns, 0, n_groups * sizeof *columns);
        summary_add(columns, spans, n_groups, &view);
        put_figures(out, own, is_f32, is_exact, columns);
        note_odd(&list, c, columns, n_groups);
    }
    put_odd(&list, out);
    return 0;
}
