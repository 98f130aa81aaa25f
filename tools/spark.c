/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/spark.h"

#include <math.h>
#include <string.h>

#include "lib/base/mem.h"

static int64_t column_of(const struct spark *spark, int64_t step)
{
    int64_t width = spark->width;
    return step >= 0 ? step / width : -((-step + width - 1) / width);
}

static void join(struct spark_column *into, const struct spark_column *from)
{
    into->has_any = into->has_any || from->has_any;
    into->has_bad = into->has_bad || from->has_bad;
    into->lo = fmin(into->lo, from->lo); /* a NaN gives way */
    into->hi = fmax(into->hi, from->hi);
}

static struct spark_column nothing(void)
{
    return (struct spark_column){.lo = (double)NAN, .hi = (double)NAN};
}

/* Twice as many steps in a column, half as many columns. */
static void widen(struct spark *spark)
{
    int64_t old_first = spark->first;
    size_t old_n = spark->n;
    spark->width *= 2;
    spark->first = old_first >= 0 ? old_first / 2 : -((-old_first + 1) / 2);
    spark->n = 0;
    for (size_t i = 0; i < old_n; i++) {
        const struct spark_column column = spark->columns[i];
        int64_t old = old_first + (int64_t)i;
        int64_t number = old >= 0 ? old / 2 : -((-old + 1) / 2);
        size_t at = (size_t)(number - spark->first);
        if (at >= spark->n) {
            spark->columns[at] = nothing();
            spark->n = at + 1;
        }
        join(&spark->columns[at], &column);
    }
}

void spark_add(struct spark *spark, int64_t step, double value)
{
    if (spark->width == 0) {
        spark->width = 1;
        spark->first = step;
        spark->n = 1;
        spark->columns[0] = nothing();
    }
    while (column_of(spark, step) - spark->first >= SPARK_COLUMNS) {
        widen(spark);
    }
    int64_t at = column_of(spark, step) - spark->first;
    if (at < 0) {
        return;
    }
    while ((int64_t)spark->n <= at) {
        spark->columns[spark->n++] = nothing();
    }
    bool is_good = isfinite(value);
    const struct spark_column reading = {.lo = is_good ? value : (double)NAN,
        .hi = is_good ? value : (double)NAN,
        .has_bad = !is_good,
        .has_any = true};
    join(&spark->columns[at], &reading);
    if (!spark->has_last || step >= spark->last_step) {
        spark->has_last = true;
        spark->last_step = step;
        spark->last = value;
    }
}

void spark_draw(const struct spark *spark, size_t width, bool is_utf8, char *out)
{
    static const char *const blocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    static const char *const letters[] = {"_", ".", "-", "~", "=", "+", "*", "#"};
    struct spark_column cells[SPARK_COLUMNS];
    double lo = (double)INFINITY;
    double hi = -(double)INFINITY;
    out[0] = '\0';
    width = width < SPARK_COLUMNS ? width : SPARK_COLUMNS;
    size_t n = spark->n < width ? spark->n : width;
    for (size_t i = 0; i < n; i++) {
        size_t from = i * spark->n / n;
        size_t to = (i + 1) * spark->n / n;
        cells[i] = nothing();
        for (size_t k = from; k < to; k++) {
            join(&cells[i], &spark->columns[k]);
        }
        lo = fmin(lo, cells[i].lo);
        hi = fmax(hi, cells[i].hi);
    }
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        double middle = (cells[i].lo + cells[i].hi) / 2;
        double share = hi > lo ? (middle - lo) / (hi - lo) : 0.5;
        size_t level = isnan(middle) ? 0 : (size_t)(share * 7.999);
        const char *mark = cells[i].has_bad    ? "!"
                           : !cells[i].has_any ? " "
                           : is_utf8           ? blocks[level < 8 ? level : 7]
                                               : letters[level < 8 ? level : 7];
        size_t bytes = strlen(mark);
        memcpy(out + used, mark, bytes);
        used += bytes;
    }
    out[used] = '\0';
}
