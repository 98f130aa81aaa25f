/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/credit_taps.h"

#include <stdlib.h>
#include <string.h>

#include "lib/analysis/credit_parts.h"
#include "lib/base/mem.h"

/*
 * The lists of all operations that see windows, one axis at a time, as torch computes them: which
 * places, clipped to the input, and with what weight. Places of max pooling have weights too; they
 * are not used.
 */

enum { AXES = 3, CUBIC_TAPS = 4 };

static void start_taps(struct credit_taps *taps, int64_t most_each)
{
    taps->first = baro_xcalloc((size_t)taps->n_out + 1, sizeof *taps->first);
    taps->place = baro_xcalloc((size_t)(taps->n_out * most_each), sizeof *taps->place);
    taps->weight = baro_xcalloc((size_t)(taps->n_out * most_each), sizeof *taps->weight);
}

static void add_tap(struct credit_taps *taps, int64_t o, int64_t place, double weight)
{
    const int64_t at = taps->first[o + 1]++;
    taps->place[at] = place;
    taps->weight[at] = (float)weight;
}

/* Places of an axis are filled in order: the next begins where this one ends. */
static void open_output(struct credit_taps *taps, int64_t o)
{
    taps->first[o + 1] = taps->first[o];
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Windows of equal length; a kernel_size of the input or more stands for one with a list of it. */
static void window_taps(const struct credit_io *io, struct credit_taps *taps, int axis)
{
    const int64_t size = credit_attr_int(io, "kernel_size", axis, 1);
    const int64_t stride = credit_attr_int(io, "stride", axis, size);
    const int64_t padding = credit_attr_int(io, "padding", axis, 0);
    const int64_t dilation = credit_attr_int(io, "dilation", axis, 1);
    const bool counts_padding = credit_attr_int(io, "count_include_pad", 0, 1) != 0;
    const int64_t divisor = credit_attr_int(io, "divisor_override", 0, 0);
    start_taps(taps, least(size > 0 ? size : 1, taps->n_in));
    for (int64_t o = 0; o < taps->n_out; o++) {
        open_output(taps, o);
        const int64_t begin = o * stride - padding;
        int64_t count = least(begin + size, taps->n_in + padding) - begin;
        const int64_t end = least(begin + size, taps->n_in);
        if (!counts_padding) {
            count = end - (begin > 0 ? begin : 0);
        }
        double weight = divisor == 0 ? 1.0 / (double)count : 1;
        weight = divisor != 0 && axis == 0 ? 1.0 / (double)divisor : weight;
        for (int64_t k = 0; k < size; k++) {
            const int64_t place = begin + k * dilation;
            if (place >= 0 && place < taps->n_in) {
                add_tap(taps, o, place, weight);
            }
        }
    }
}

static void adaptive_taps(struct credit_taps *taps)
{
    start_taps(taps, taps->n_in / taps->n_out + 2);
    for (int64_t o = 0; o < taps->n_out; o++) {
        open_output(taps, o);
        const int64_t begin = o * taps->n_in / taps->n_out;
        const int64_t end = ((o + 1) * taps->n_in + taps->n_out - 1) / taps->n_out;
        for (int64_t place = begin; place < end; place++) {
            add_tap(taps, o, place, 1.0 / (double)(end - begin));
        }
    }
}

/* How many input places one output place is, as torch takes it: a scale that was given counts. */
static double step_of(
    const struct credit_io *io, const struct credit_taps *taps, int axis, int n_axes)
{
    static const char *const scales[] = {"scales_d", "scales_h", "scales_w"};
    double scale = credit_attr(io, "scale_factors", axis, 0);
    scale =
        credit_attr(io, n_axes == 1 ? "scales" : scales[AXES - n_axes + axis], 0, scale);
    return scale > 0 ? 1 / scale : (double)taps->n_in / (double)taps->n_out;
}

static int64_t clamp_place(int64_t place, int64_t n)
{
    return place < 0 ? 0 : least(place, n - 1);
}

static void nearest_taps(struct credit_taps *taps, double step, double offset)
{
    start_taps(taps, 1);
    for (int64_t o = 0; o < taps->n_out; o++) {
        open_output(taps, o);
        /* in f32, as torch does, so that borders fall alike */
        const float at = floorf(((float)o + (float)offset) * (float)step);
        add_tap(taps, o, clamp_place((int64_t)at, taps->n_in), 1);
    }
}

/* Where an output place lies in the input, of the interpolating ones. */
static double source_place(
    const struct credit_io *io, const struct credit_taps *taps, double step, int64_t o)
{
    if (credit_attr_int(io, "align_corners", 0, 0) != 0) {
        return taps->n_out > 1
                   ? (double)o * (double)(taps->n_in - 1) / (double)(taps->n_out - 1)
                   : 0;
    }
    return ((double)o + 0.5) * step - 0.5;
}

static void linear_taps(const struct credit_io *io, struct credit_taps *taps, double step)
{
    start_taps(taps, 2);
    for (int64_t o = 0; o < taps->n_out; o++) {
        open_output(taps, o);
        double at = source_place(io, taps, step, o);
        at = at > 0 ? at : 0;
        const int64_t left = clamp_place((int64_t)at, taps->n_in);
        const double fraction = at - (double)left;
        add_tap(taps, o, left, 1 - fraction);
        add_tap(taps, o, clamp_place(left + 1, taps->n_in), fraction);
    }
}

/* Keys' cubic with a = -0.75. */
static double cubic(double distance)
{
    const double a = -0.75;
    const double d = fabs(distance);
    return d <= 1  ? ((a + 2) * d - (a + 3)) * d * d + 1
           : d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
                   : 0;
}

static void cubic_taps(const struct credit_io *io, struct credit_taps *taps, double step)
{
    start_taps(taps, CUBIC_TAPS);
    for (int64_t o = 0; o < taps->n_out; o++) {
        open_output(taps, o);
        const double at = source_place(io, taps, step, o);
        const int64_t left = (int64_t)floor(at);
        for (int64_t k = left - 1; k <= left + 2; k++) {
            add_tap(taps, o, clamp_place(k, taps->n_in), cubic(at - (double)k));
        }
    }
}

static void pad_taps(
    const struct credit_io *io, struct credit_taps *taps, int axis, int n_axes)
{
    const bool is_reflected = strstr(io->op->name, "reflection") != NULL;
    const int64_t front = credit_attr_int(io, "padding", 2 * (n_axes - 1 - axis), 0);
    start_taps(taps, 1);
    for (int64_t o = 0; o < taps->n_out; o++) {
        open_output(taps, o);
        int64_t place = o - front;
        if (is_reflected) {
            place = place < 0 ? -place : place;
            place = place >= taps->n_in ? 2 * (taps->n_in - 1) - place : place;
        }
        add_tap(taps, o, clamp_place(place, taps->n_in), 1);
    }
}

static bool has_word(const struct credit_io *io, const char *word)
{
    return strstr(io->op->name, word) != NULL;
}

void credit_taps_fill(
    const struct credit_io *io, int axis, int n_axes, struct credit_taps *taps)
{
    const double step = step_of(io, taps, axis, n_axes);
    if (has_word(io, "adaptive")) {
        adaptive_taps(taps);
    } else if (has_word(io, "pool")) {
        window_taps(io, taps, axis);
    } else if (has_word(io, "nearest")) {
        nearest_taps(taps, step, has_word(io, "exact") ? 0.5 : 0);
    } else if (has_word(io, "cubic")) {
        cubic_taps(io, taps, step);
    } else if (has_word(io, "linear")) {
        linear_taps(io, taps, step);
    } else {
        pad_taps(io, taps, axis, n_axes);
    }
}

void credit_taps_single(struct credit_taps *taps)
{
    start_taps(taps, 1);
    add_tap(taps, 0, 0, 1);
}

void credit_taps_free(struct credit_taps *taps)
{
    free(taps->first);
    free(taps->place);
    free(taps->weight);
}
