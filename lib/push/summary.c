/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "lib/base/tensor.h"
#include "lib/measure/encode.h"
#include "lib/push/due.h"
#include "lib/push/push.h"

/*
 * Statistics that a device has computed: checked as far as a wrong number could mislead, and put
 * into the ring as baro_tensor() puts its own. They mostly come a step late, so that each record
 * carries the step that it belongs to.
 */

/* Everything about one call. */
struct late {
    uint64_t now_ns;
    int64_t step;
    const struct thing *thing;
    struct baro_span span; /* its shape; what its data points at is not read */
};

static int put(struct baro_run *run, const struct late *late, enum reading_kind kind,
    const struct ringfile_part *parts, int n_parts)
{
    const struct record_header header = {
        .kind = (uint16_t)kind,
        .thing = late->thing->id,
        .step = late->step,
        .time_ns = ticks_wall_ns(late->now_ns),
    };
    return ringfile_put(run->ring, &header, parts, n_parts);
}

/* Tell whether the counts can be those of n elements. */
static bool counts_fit(const struct baro_summarised *s, uint64_t n)
{
    const uint64_t parts[] = {s->n_nan, s->n_pos_inf, s->n_neg_inf, s->n_zero};
    uint64_t left = n;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (parts[i] > left) {
            return false;
        }
        left -= parts[i];
    }
    return s->count == n;
}

static struct baro_summary summary_of(const struct baro_summarised *s)
{
    struct baro_summary summary = {
        .count = s->count,
        .n_nan = s->n_nan,
        .n_pos_inf = s->n_pos_inf,
        .n_neg_inf = s->n_neg_inf,
        .n_zero = s->n_zero,
        .min = s->min,
        .max = s->max,
        .mean = s->mean,
        .var = s->var,
        .l1 = s->l1,
        .l2 = s->l2,
        .abs_max = s->abs_max,
    };
    if (s->n_nan + s->n_pos_inf + s->n_neg_inf == s->count) { /* none is finite */
        summary.min = summary.max = summary.mean = summary.var = (double)NAN;
        summary.l1 = summary.l2 = summary.abs_max = (double)NAN;
    }
    return summary;
}

static void hist_of(const struct baro_summarised *s, struct baro_hist *out)
{
    memset(out, 0, sizeof *out);
    if (s->hist_every > 0 && s->positive != NULL && s->negative != NULL) {
        out->sample_every = s->hist_every;
        memcpy(out->pos, s->positive, sizeof out->pos);
        memcpy(out->neg, s->negative, sizeof out->neg);
    }
}

static int64_t within(int64_t at, int64_t n)
{
    return at >= 0 && at < n ? at : -1;
}

/* The place of the first bad element, as far as the tensor has such places. */
static struct encode_place place_of(
    const struct late *late, const struct baro_summarised *s)
{
    const bool has_rows = baro_role_has_batch((enum baro_role)late->thing->role) &&
                          late->span.n_dims > 0 && late->thing->unit_axis != 0;
    struct encode_place place = {-1, -1};
    if (s->n_nan + s->n_pos_inf + s->n_neg_inf > 0) {
        place.unit = within(s->first_bad_unit, (int64_t)late->thing->n_units);
        place.row = has_rows ? within(s->first_bad_row, late->span.shape[0]) : -1;
    }
    return place;
}

static int put_summary(
    struct baro_run *run, const struct late *late, const struct baro_summarised *s)
{
    double stats[SUMMARY_STAT_COUNT];
    struct reading_bin bins[ENCODE_MAX_BINS];
    struct baro_hist hist;
    const struct baro_summary summary = summary_of(s);
    const struct encode_place place = place_of(late, s);
    hist_of(s, &hist);
    encode_summary(stats, &summary, &hist, &place, late->span.dtype);
    if (late->thing->role == BARO_UPDATE) {
        stats[SUMMARY_UPDATE_RATIO] = s->update_ratio;
    }
    const struct ringfile_part parts[2] = {
        {stats, sizeof stats}, {bins, encode_bins(bins, &hist) * sizeof bins[0]}};
    return put(run, late, READING_SUMMARY, parts, 2);
}

static bool has_units(const struct baro_summarised *s)
{
    return s->unit_mean != NULL && s->unit_l2 != NULL && s->unit_abs_max != NULL &&
           s->unit_frac_zero != NULL && s->unit_n_nonfinite != NULL;
}

static int put_units(
    struct baro_run *run, const struct late *late, const struct baro_summarised *s)
{
    const size_t n = late->thing->n_units;
    const size_t n_bytes = n * sizeof(float);
    int slot = 0;
    if (late->thing->role != BARO_UPDATE) {
        const struct ringfile_part parts[UNIT_STAT_COUNT] = {
            [UNIT_MEAN] = {s->unit_mean, n_bytes},
            [UNIT_L2] = {s->unit_l2, n_bytes},
            [UNIT_ABS_MAX] = {s->unit_abs_max, n_bytes},
            [UNIT_FRAC_ZERO] = {s->unit_frac_zero, n_bytes},
            [UNIT_N_NONFINITE] = {s->unit_n_nonfinite, n_bytes},
        };
        return put(run, late, READING_UNITS, parts, UNIT_STAT_COUNT);
    }
    float *change = push_take_scratch(run, &slot);
    if (change == NULL) {
        ringfile_count_dropped(run->ring, 1, 0);
        return BARO_EBUSY;
    }
    for (size_t i = 0; i < n; i++) {
        change[i] = s->unit_change != NULL ? s->unit_change[i] : NAN;
    }
    const struct ringfile_part parts[UNIT_STAT_MOST] = {
        [UNIT_MEAN] = {s->unit_mean, n_bytes},
        [UNIT_L2] = {s->unit_l2, n_bytes},
        [UNIT_ABS_MAX] = {s->unit_abs_max, n_bytes},
        [UNIT_FRAC_ZERO] = {s->unit_frac_zero, n_bytes},
        [UNIT_N_NONFINITE] = {s->unit_n_nonfinite, n_bytes},
        [UNIT_CHANGE] = {change, n_bytes},
    };
    const int rc = put(run, late, READING_UNITS, parts, UNIT_STAT_MOST);
    push_leave_scratch(run, slot);
    return rc;
}

static int push_summary(struct baro_run *run, struct late *late,
    const struct baro_tensor *t, const struct baro_summarised *s)
{
    static const char nothing = 0;
    int rc = push_check_tensor(t);
    if (rc != 0 || (rc = baro_span_make(&late->span, t->dtype, &nothing, t->n_dims,
                        t->shape, NULL, NULL)) != 0) {
        return rc;
    }
    if (!counts_fit(s, (uint64_t)baro_span_count(&late->span))) {
        return BARO_EINVAL;
    }
    if ((rc = push_find_tensor(run, t, &late->thing)) != 0) {
        return rc;
    }
    const uint32_t id = t->id != 0 ? t->id : late->thing->id;
    const uint64_t began_ns = ticks_now_ns();
    const bool is_by_unit =
        has_units(s) && push_has_units(run, late->thing, &late->span, t);
    rc = put_summary(run, late, s);
    if (is_by_unit) {
        const int units_rc = put_units(run, late, s);
        rc = rc != 0 ? rc : units_rc;
    }
    due_book(run, id, ticks_now_ns() - began_ns, is_by_unit);
    return rc;
}

static int push_at(struct baro_run *run, const struct baro_tensor *t, int64_t step,
    const struct baro_summarised *summary)
{
    run_autoleave struct baro_run *inside = run_enter(run);
    if (inside == NULL) {
        return 0;
    }
    struct late late = {.now_ns = ticks_now_ns(), .step = step};
    if (t == NULL || summary == NULL || step < 0) {
        return BARO_EINVAL;
    }
    return push_end(run, late.now_ns, push_summary(run, &late, t, summary));
}

int baro_summary(struct baro_run *run, const struct baro_tensor *t,
    const struct baro_summarised *summary)
{
    const int64_t step =
        run_is_usable(run) ? atomic_load_explicit(&run->step, memory_order_relaxed) : 0;
    return push_at(run, t, step, summary);
}

int baro_summary_at(struct baro_run *run, const struct baro_tensor *t, int64_t step,
    const struct baro_summarised *summary)
{
    return push_at(run, t, step, summary);
}
