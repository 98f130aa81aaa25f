/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/wire_columns.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

/*
 * A packed series is
 *
 *   1 byte   0: all columns hold readings; 1: a bit for each column says which do, low bits first,
 *            in (n + 7) / 8 bytes. What follows is of those that do; nothing when none does
 *   5 values min, max, mean, first, last, each: 1 byte, and then by this byte
 *            0 one double: all are the same; 4 floats; 8 doubles
 *   8 bytes  the first step of the first column
 *   6 counts each: 1 byte, how many bytes a number has, 0, 1, 2, 4 or 8; 8 bytes, the smallest
 *            number; and how much each is above it
 *
 * The counts are: last step less first step; first step less the last step of the column before
 * (none for the first column); readings; NaN; +infinity; -infinity. Where steps are regular most of
 * them are the same in all columns.
 *
 * It goes field by field over columns that lie in the nearest cache, as they have just been made.
 */

enum { N_VALUES = 5, N_COUNTS = 6, FIELD_BYTES = 9, PORTION = 64 };

enum count { WIDTH, DISTANCE, READINGS, N_NAN, N_POS_INF, N_NEG_INF };

static const size_t value_at[N_VALUES] = {
    offsetof(struct wire_column, min),
    offsetof(struct wire_column, max),
    offsetof(struct wire_column, mean),
    offsetof(struct wire_column, first),
    offsetof(struct wire_column, last),
};

/* Where a count is put, and in how many bytes; of steps at first what they are apart. */
static const struct {
    size_t at;
    size_t bytes;
} counts[N_COUNTS] = {
    [WIDTH] = {offsetof(struct wire_column, last_step), 8},
    [DISTANCE] = {offsetof(struct wire_column, first_step), 8},
    [READINGS] = {offsetof(struct wire_column, count), 4},
    [N_NAN] = {offsetof(struct wire_column, n_nan), 4},
    [N_POS_INF] = {offsetof(struct wire_column, n_pos_inf), 4},
    [N_NEG_INF] = {offsetof(struct wire_column, n_neg_inf), 4},
};

size_t wire_columns_bound(size_t n)
{
    return 1 + (n + 7) / 8 + 8 + (N_VALUES + N_COUNTS) * FIELD_BYTES +
           8 * n * (N_VALUES + N_COUNTS);
}

/* ---- packing ---- */

/* Copy a field as floats; gives up where a double does not survive that. */
static bool pack_floats(const uint8_t *field, size_t n, uint8_t *out)
{
    for (size_t from = 0; from < n; from += PORTION) {
        size_t end = n - from < PORTION ? n : from + PORTION;
        uint64_t lost = 0;
        for (size_t i = from; i < end; i++) {
            double value;
            uint64_t bits;
            memcpy(&value, field + i * sizeof(struct wire_column), sizeof value);
            memcpy(&bits, &value, sizeof bits);
            float narrow = (float)value;
            double wide = (double)narrow;
            uint64_t back;
            memcpy(&back, &wide, sizeof back);
            memcpy(out + 4 * i, &narrow, sizeof narrow);
            lost |= back ^ bits;
        }
        if (lost != 0) {
            return false;
        }
    }
    return true;
}

static bool is_constant(const uint8_t *field, size_t n)
{
    size_t i = 1;
    while (i < n && memcmp(field, field + i * sizeof(struct wire_column), 8) == 0) {
        i++;
    }
    return i >= n;
}

static uint8_t *pack_values(const uint8_t *field, size_t n, uint8_t *out)
{
    if (is_constant(field, n)) {
        *out = 0;
        memcpy(out + 1, field, 8);
        return out + 9;
    }
    if (pack_floats(field, n, out + 1)) {
        *out = 4;
        return out + 1 + 4 * n;
    }
    *out = 8;
    for (size_t i = 0; i < n; i++) {
        memcpy(out + 1 + 8 * i, field + i * sizeof(struct wire_column), 8);
    }
    return out + 1 + 8 * n;
}

static uint64_t small_of(const struct wire_column *column, enum count field)
{
    uint32_t small;
    memcpy(&small, (const uint8_t *)column + counts[field].at, sizeof small);
    return small;
}

static uint64_t count_of(const struct wire_column *columns, size_t i, enum count field)
{
    const struct wire_column *column = &columns[i];
    return field == WIDTH ? (uint64_t)column->last_step - (uint64_t)column->first_step
           : field == DISTANCE
               ? (uint64_t)column->first_step - (uint64_t)columns[i - 1].last_step
               : small_of(column, field);
}

/* The smallest and the largest of some counts. */
struct bounds {
    uint64_t least;
    uint64_t most;
};

static void widen(struct bounds *bounds, uint64_t count)
{
    bounds->least = count < bounds->least ? count : bounds->least;
    bounds->most = count > bounds->most ? count : bounds->most;
}

/* Look at all counts; readings that are not finite are few, and mostly none at all. */
static void find_bounds(
    const struct wire_column *columns, size_t n, struct bounds out[N_COUNTS])
{
    uint32_t n_odd = 0;
    struct bounds width = {UINT64_MAX, 0};
    struct bounds distance = width;
    struct bounds readings = width;
    for (size_t i = 0; i < n; i++) {
        const struct wire_column *column = &columns[i];
        n_odd |= column->n_nan | column->n_pos_inf | column->n_neg_inf;
        widen(&width, count_of(columns, i, WIDTH));
        widen(&readings, column->count);
    }
    for (size_t i = 1; i < n; i++) {
        widen(&distance, count_of(columns, i, DISTANCE));
    }
    out[WIDTH] = width;
    out[DISTANCE] = n > 1 ? distance : (struct bounds){0};
    out[READINGS] = readings;
    for (int field = N_NAN; field <= N_NEG_INF; field++) {
        out[field] = (struct bounds){n_odd == 0 ? 0 : UINT64_MAX, 0};
        for (size_t i = 0; n_odd != 0 && i < n; i++) {
            widen(&out[field], small_of(&columns[i], (enum count)field));
        }
    }
}

static uint8_t *pack_count(const struct wire_column *columns, size_t n, enum count field,
    const struct bounds *bounds, uint8_t *out)
{
    uint64_t range = bounds->most - bounds->least;
    size_t bytes = range == 0            ? 0
                   : range <= UINT8_MAX  ? 1
                   : range <= UINT16_MAX ? 2
                   : range <= UINT32_MAX ? 4
                                         : 8;
    *out = (uint8_t)bytes;
    memcpy(out + 1, &bounds->least, sizeof bounds->least);
    uint8_t *at = out + FIELD_BYTES;
    for (size_t i = field == DISTANCE ? 1 : 0; bytes > 0 && i < n; i++) {
        uint64_t more = count_of(columns, i, field) - bounds->least;
        memcpy(at, &more, sizeof more); /* there is room for more than this */
        at += bytes;
    }
    return at;
}

/* Put the columns that hold readings together; *out_n of them. The caller frees. */
static struct wire_column *gather(
    const struct wire_column *columns, size_t n, uint8_t *out_bits, size_t *out_n)
{
    struct wire_column *filled = baro_xcalloc(n, sizeof *filled);
    size_t n_filled = 0;
    memset(out_bits, 0, (n + 7) / 8);
    for (size_t i = 0; i < n; i++) {
        if (columns[i].count > 0) {
            out_bits[i / 8] |= (uint8_t)(1U << i % 8);
            filled[n_filled++] = columns[i];
        }
    }
    *out_n = n_filled;
    return filled;
}

size_t wire_columns_pack(const struct wire_column *columns, size_t n, uint8_t *out)
{
    size_t n_filled = 0;
    for (size_t i = 0; i < n; i++) {
        n_filled += columns[i].count > 0;
    }
    uint8_t *at = out + 1;
    *out = n_filled < n;
    baro_autofree struct wire_column *filled = NULL;
    if (n_filled < n) {
        filled = gather(columns, n, at, &n_filled);
        columns = filled;
        at += (n + 7) / 8;
    }
    if (n_filled == 0) {
        return (size_t)(at - out);
    }
    for (int field = 0; field < N_VALUES; field++) {
        at = pack_values((const uint8_t *)columns + value_at[field], n_filled, at);
    }
    memcpy(at, &columns[0].first_step, 8);
    at += 8;
    struct bounds bounds[N_COUNTS];
    find_bounds(columns, n_filled, bounds);
    for (int field = 0; field < N_COUNTS; field++) {
        at = pack_count(columns, n_filled, (enum count)field, &bounds[field], at);
    }
    return (size_t)(at - out);
}

/* ---- unpacking ---- */

/* What is left of a packed series. */
struct rest {
    const uint8_t *at;
    const uint8_t *end;
};

static const uint8_t *take(struct rest *rest, size_t n)
{
    const uint8_t *at = rest->at;
    if ((size_t)(rest->end - at) < n) {
        return NULL;
    }
    rest->at += n;
    return at;
}

static uint64_t get(const uint8_t *at, size_t bytes)
{
    uint64_t number = 0;
    switch (bytes) {
    case 0: break;
    case 1: number = *at; break;
    case 2: memcpy(&number, at, 2); break;
    case 4: memcpy(&number, at, 4); break;
    default: memcpy(&number, at, 8); break;
    }
    return number;
}

/* Where one field of all columns lies, packed. */
struct packed {
    const uint8_t *at;
    size_t bytes; /* of one number */
    uint64_t least;
};

static bool find_values(struct rest *rest, size_t n, struct packed *out)
{
    const uint8_t *head = take(rest, 1);
    out->bytes = head != NULL ? *head : 1;
    if (out->bytes != 0 && out->bytes != 4 && out->bytes != 8) {
        return false;
    }
    out->at = take(rest, out->bytes == 0 ? 8 : out->bytes * n);
    return out->at != NULL;
}

static bool find_counts(struct rest *rest, size_t n, struct packed *out)
{
    const uint8_t *head = take(rest, FIELD_BYTES);
    out->bytes = head != NULL ? *head : 3;
    if (out->bytes > 8 || (out->bytes & (out->bytes - 1)) != 0) {
        return false;
    }
    out->least = get(head + 1, 8);
    out->at = take(rest, out->bytes * n);
    return out->at != NULL;
}

/* Put values [from, end) where they belong in columns. */
static void put_values(const struct packed *packed, size_t from, size_t end, size_t at,
    struct wire_column *out)
{
    uint8_t *to = (uint8_t *)(out + from) + at;
    const uint8_t *source = packed->at + packed->bytes * from;
    for (size_t i = from; packed->bytes == 4 && i < end; i++) {
        float narrow;
        memcpy(&narrow, source, sizeof narrow);
        double value = (double)narrow;
        memcpy(to, &value, sizeof value);
        source += 4;
        to += sizeof *out;
    }
    for (size_t i = from; packed->bytes != 4 && i < end; i++) {
        memcpy(to, source, 8);
        source += packed->bytes;
        to += sizeof *out;
    }
}

/* Put counts [from, end) where they belong in columns. */
static void put_counts(const struct packed *packed, size_t from, size_t end,
    enum count field, struct wire_column *out)
{
    uint8_t *to = (uint8_t *)(out + from) + counts[field].at;
    size_t bytes = packed->bytes;
    const uint8_t *source = packed->at + bytes * (from - (field == DISTANCE ? 1 : 0));
    for (size_t i = from; counts[field].bytes == 8 && i < end; i++) {
        uint64_t count = packed->least + get(source, bytes);
        memcpy(to, &count, 8);
        source += bytes;
        to += sizeof *out;
    }
    for (size_t i = from; counts[field].bytes == 4 && i < end; i++) {
        uint32_t count = (uint32_t)(packed->least + get(source, bytes));
        memcpy(to, &count, 4);
        source += bytes;
        to += sizeof *out;
    }
}

/* Turn what steps are apart into steps; false when a column holds nothing. */
static bool add_up(struct wire_column *columns, size_t from, size_t end, uint64_t *io_step)
{
    uint64_t step = *io_step;
    bool is_filled = true;
    for (size_t i = from; i < end; i++) {
        step += i > 0 ? (uint64_t)columns[i].first_step : 0;
        columns[i].first_step = (int64_t)step;
        step += (uint64_t)columns[i].last_step;
        columns[i].last_step = (int64_t)step;
        is_filled = is_filled && columns[i].count > 0;
    }
    *io_step = step;
    return is_filled;
}

/* Some columns at a time, so that they stay in the nearest cache. */
static bool unpack_filled(struct rest *rest, size_t n, struct wire_column *out)
{
    struct packed values[N_VALUES];
    struct packed numbers[N_COUNTS];
    for (int field = 0; field < N_VALUES; field++) {
        if (!find_values(rest, n, &values[field])) {
            return false;
        }
    }
    const uint8_t *first = take(rest, 8);
    for (int field = 0; field < N_COUNTS; field++) {
        if (first == NULL ||
            !find_counts(rest, field == DISTANCE ? n - 1 : n, &numbers[field])) {
            return false;
        }
    }
    uint64_t step = get(first, 8);
    bool is_filled = true;
    for (size_t from = 0; is_filled && from < n; from += PORTION) {
        size_t end = n - from < PORTION ? n : from + PORTION;
        for (int field = 0; field < N_VALUES; field++) {
            put_values(&values[field], from, end, value_at[field], out);
        }
        for (int field = 0; field < N_COUNTS; field++) {
            size_t begin = field == DISTANCE && from == 0 ? 1 : from;
            put_counts(&numbers[field], begin, end, (enum count)field, out);
        }
        is_filled = add_up(out, from, end, &step);
    }
    return is_filled;
}

/* Move the columns that hold readings, the first of n, to where they belong. */
static void scatter(
    const uint8_t *bits, size_t n_filled, size_t n, struct wire_column *columns)
{
    static const struct wire_column empty = {
        .min = (double)NAN, .max = (double)NAN, .mean = (double)NAN};
    for (size_t i = n; i-- > 0;) {
        bool is_filled = (bits[i / 8] >> i % 8 & 1) != 0;
        n_filled -= is_filled;
        if (!is_filled) {
            columns[i] = empty;
        } else if (n_filled != i) {
            columns[i] = columns[n_filled];
        }
    }
}

int64_t wire_columns_unpack(
    const uint8_t *bytes, size_t n_bytes, size_t n, struct wire_column *out)
{
    struct rest rest = {bytes, bytes + n_bytes};
    const uint8_t *head = take(&rest, 1);
    if (head == NULL || *head > 1) {
        return BARO_ECORRUPT;
    }
    const uint8_t *bits = *head == 1 ? take(&rest, (n + 7) / 8) : NULL;
    if (*head == 1 && bits == NULL) {
        return BARO_ECORRUPT;
    }
    size_t n_filled = bits == NULL ? n : 0;
    for (size_t i = 0; bits != NULL && i < n; i++) {
        n_filled += bits[i / 8] >> i % 8 & 1;
    }
    if (n_filled > 0 && !unpack_filled(&rest, n_filled, out)) {
        return BARO_ECORRUPT;
    }
    if (bits != NULL) {
        scatter(bits, n_filled, n, out);
    }
    return rest.at - bytes;
}
