/* SPDX-License-Identifier: Apache-2.0 */
#include "client/view/curves.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/view/inside.h"
#include "lib/base/mem.h"

/*
 * A curve is found by the lineage of its series (model.h), which stands for all columns but the
 * last. Where nothing is known of that, and where there is no more room for what outlives frames,
 * all columns are made for the one frame.
 */

enum {
    N_BUCKETS = 1024,
    UNUSED_FRAMES = 16, /* passes; after so many a curve is forgotten */
    MAX_BYTES = 64 << 20
};

struct kept {
    struct kept *next;
    uint64_t lineage, frame;
    bool is_hollow;
    size_t n, n_fixed, capacity;
    size_t n_seen; /* columns of the series that n come from */
    struct chart_column *columns;
    struct chart_memo *memo;
};

struct curves {
    uint64_t frame;
    size_t n_bytes;
    struct kept *buckets[N_BUCKETS];
};

static double finite_or_nan(double value)
{
    return isfinite(value) ? value : (double)NAN;
}

static struct chart_column column_of(const struct wire_column *from)
{
    uint32_t flags = 0;
    flags |= from->n_nan > 0 ? CHART_NAN : 0;
    flags |= from->n_pos_inf > 0 ? CHART_POS_INF : 0;
    flags |= from->n_neg_inf > 0 ? CHART_NEG_INF : 0;
    return (struct chart_column){
        .from = (double)from->first_step,
        .to = (double)from->last_step,
        .min = from->min,
        .max = from->max,
        .mean = from->mean,
        .first = finite_or_nan(from->first),
        .last = finite_or_nan(from->last),
        .count = from->count,
        .n_nonfinite = from->n_nan + from->n_pos_inf + from->n_neg_inf,
        .flags = flags,
    };
}

/* Append the columns of a series from one on; there is room. Gives how many that makes, and how
 * many there are without the last of the series. */
static size_t append(struct chart_column *columns, size_t n,
    const struct model_series *series, size_t from, bool is_hollow, size_t *out_n_fixed)
{
    *out_n_fixed = n;
    for (size_t i = from; i < series->n; i++) {
        *out_n_fixed = n;
        if (!is_hollow || isfinite(model_column(series, i)->mean)) {
            columns[n++] = column_of(model_column(series, i));
        }
    }
    return n;
}

static bool make_for_frame(
    struct frame *f, const struct model_series *series, bool is_hollow, struct curve *out)
{
    struct chart_column *columns = draw_scratch(f->list, series->n * sizeof *columns);
    *out = (struct curve){.columns = columns};
    if (columns != NULL) {
        out->n = append(columns, 0, series, 0, is_hollow, &out->n_fixed);
    }
    return columns != NULL;
}

static struct kept *find(struct curves *curves, uint64_t lineage, bool is_hollow)
{
    struct kept **place = &curves->buckets[lineage % N_BUCKETS];
    struct kept *kept = *place;
    while (kept != NULL && (kept->lineage != lineage || kept->is_hollow != is_hollow)) {
        kept = kept->next;
    }
    if (kept == NULL) {
        kept = baro_xcalloc(1, sizeof *kept);
        kept->lineage = lineage;
        kept->is_hollow = is_hollow;
        kept->memo = chart_memo_create();
        kept->next = *place;
        *place = kept;
    }
    kept->frame = curves->frame;
    return kept;
}

static bool make_room(struct curves *curves, struct kept *kept, size_t n)
{
    if (n <= kept->capacity) {
        return true;
    }
    size_t capacity = n + n / 8 + 16;
    size_t more = (capacity - kept->capacity) * sizeof *kept->columns;
    if (curves->n_bytes + more > MAX_BYTES) {
        return false;
    }
    kept->columns = baro_xrealloc(kept->columns, capacity, sizeof *kept->columns);
    kept->capacity = capacity;
    curves->n_bytes += more;
    return true;
}

bool curves_get(
    struct frame *f, const struct model_series *series, bool is_hollow, struct curve *out)
{
    struct view *view = f->view;
    if (view->curves == NULL) {
        view->curves = baro_xcalloc(1, sizeof *view->curves);
        view->curves->frame = view->frame;
    }
    if (series->lineage == 0) {
        return make_for_frame(f, series, is_hollow, out);
    }
    struct kept *kept = find(view->curves, series->lineage, is_hollow);
    if (!make_room(view->curves, kept, series->n)) {
        return make_for_frame(f, series, is_hollow, out);
    }
    if (series->n < kept->n_seen) { /* of an older model */
        chart_memo_forget(kept->memo);
        kept->n_seen = 0;
        kept->n_fixed = 0;
    }
    size_t from = kept->n_seen > 0 ? kept->n_seen - 1 : 0;
    kept->n = append(kept->columns, kept->n_fixed, series, from, is_hollow, &kept->n_fixed);
    kept->n_seen = series->n;
    *out = (struct curve){kept->columns, kept->n, kept->n_fixed, kept->memo};
    return true;
}

static void destroy(struct kept *kept)
{
    chart_memo_destroy(kept->memo);
    free(kept->columns);
    free(kept);
}

void curves_sweep(struct curves *curves, uint64_t frame)
{
    if (curves == NULL) {
        return;
    }
    curves->frame = frame;
    for (size_t i = 0; i < N_BUCKETS; i++) {
        struct kept **place = &curves->buckets[i];
        while (*place != NULL) {
            struct kept *kept = *place;
            if (kept->frame + UNUSED_FRAMES < frame) {
                *place = kept->next;
                curves->n_bytes -= kept->capacity * sizeof *kept->columns;
                destroy(kept);
            } else {
                place = &kept->next;
            }
        }
    }
}

void curves_destroy(struct curves *curves)
{
    for (size_t i = 0; curves != NULL && i < N_BUCKETS; i++) {
        while (curves->buckets[i] != NULL) {
            struct kept *next = curves->buckets[i]->next;
            destroy(curves->buckets[i]);
            curves->buckets[i] = next;
        }
    }
    free(curves);
}
