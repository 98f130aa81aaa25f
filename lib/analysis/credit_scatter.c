/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/credit_loops.h"
#include "lib/analysis/credit_parts.h"
#include "lib/base/mem.h"

/*
 * Reductions of what an index sends to the same place (scatter_reduce, as graph networks use it):
 * sum, mean, largest, smallest; what was there before takes part, or does not (include_self).
 *
 * Sum and mean are linear: eps rule, their weights. Of the largest those that are equal to it share
 * evenly; where another one is it than before, the two share (credit_choice). The index has to be the
 * same as in the step before.
 *
 * Worked: 3 and 5 sent to one place that held 4: mean 4, shares 1/4, 5/12 and, of what was there, 1/3.
 */

enum reduce { REDUCE_SUM, REDUCE_MEAN, REDUCE_LARGEST, REDUCE_SMALLEST };

struct scatter {
    struct credit_sides self, index, source, output;
    enum reduce reduce;
    bool has_self;
    int64_t *place; /* of each element of the source in the output; -1: nowhere */
    int64_t *count; /* of each output element: how many take part */
};

static bool is_kind(const struct credit_io *io, const char *kind)
{
    const char *at = io->op->attrs != NULL ? strstr(io->op->attrs, "reduce='") : NULL;
    return at != NULL && strncmp(at + 8, kind, strlen(kind)) == 0 &&
           at[8 + strlen(kind)] == '\'';
}

static int read_kind(const struct credit_io *io, enum reduce *out)
{
    static const char *const kinds[] = {"sum", "mean", "amax", "amin"};
    for (size_t i = 0; i < BARO_LEN(kinds); i++) {
        if (is_kind(io, kinds[i])) {
            *out = (enum reduce)i;
            return 0;
        }
    }
    return BARO_EUNSUPPORTED;
}

static void finish(struct scatter *s)
{
    free(s->place);
    free(s->count);
}

/* Find where each element of the source goes. */
static int find_places(const struct credit_io *io, struct scatter *s)
{
    const struct credit_array *source = s->source.array;
    const struct credit_array *out = s->output.array;
    const struct credit_array *index = s->index.array;
    const int axis = credit_attr_axis(io, "dim", 0, source->n_dims, INT32_MAX);
    if (axis < 0 || source->n_dims != out->n_dims || index->n_dims != out->n_dims ||
        credit_is_part(out, axis) || credit_is_part(index, axis)) {
        return BARO_EUNSUPPORTED;
    }
    int64_t step[BARO_MAX_DIMS];
    int64_t source_step[BARO_MAX_DIMS];
    credit_strides(out, step);
    credit_strides(source, source_step);
    s->place = baro_xcalloc((size_t)source->n + 1, sizeof *s->place);
    s->count = baro_xcalloc((size_t)out->n + 1, sizeof *s->count);
    for (int64_t i = 0; i < source->n; i++) {
        s->place[i] = -1;
    }
    for (int64_t i = 0; i < out->n; i++) {
        s->count[i] = s->has_self;
    }
    for (int64_t i = 0; i < index->n; i++) { /* the index may be smaller than the source */
        int64_t rest = i;
        int64_t at = 0;
        int64_t from = 0;
        for (int d = out->n_dims - 1; d >= 0; d--) {
            const int64_t place = rest % index->shape[d];
            const double to = d == axis ? (double)s->index.now[i] : (double)place;
            rest /= index->shape[d];
            if (!(to >= 0 && to < (double)out->shape[d]) || place >= source->shape[d]) {
                return BARO_EUNSUPPORTED;
            }
            at += (int64_t)to * step[d];
            from += place * source_step[d];
        }
        s->place[from] = at;
        s->count[at]++;
    }
    return 0;
}

static int begin(const struct credit_io *io, struct scatter *s)
{
    *s = (struct scatter){.has_self = credit_attr_int(io, "include_self", 0, 1) != 0};
    int rc = read_kind(io, &s->reduce);
    rc = rc == 0 ? credit_input(io, 0, &s->self) : rc;
    rc = rc == 0 ? credit_input(io, 1, &s->index) : rc;
    rc = rc == 0 ? credit_input(io, 2, &s->source) : rc;
    rc = rc == 0 ? credit_output(io, 0, &s->output) : rc;
    if (rc != 0) {
        return rc;
    }
    if (s->self.now == NULL || s->index.now == NULL || s->source.now == NULL ||
        s->output.now == NULL) {
        return BARO_ENOENT;
    }
    for (int64_t i = 0; i < s->index.n; i++) {
        if (fabsf(s->index.now[i] - s->index.before[i]) > 0) {
            return BARO_EUNSUPPORTED;
        }
    }
    rc = s->self.n == s->output.n ? find_places(io, s) : BARO_EUNSUPPORTED;
    if (rc != 0) {
        finish(s);
    }
    return rc;
}

/* What an output's own element weighs; where nothing was sent it stays as it was. */
static double self_weight(const struct scatter *s, int64_t out)
{
    if (s->count[out] == 0) {
        return 1;
    }
    return !s->has_self ? 0 : s->reduce == REDUCE_MEAN ? 1 / (double)s->count[out] : 1;
}

static double source_weight(const struct scatter *s, int64_t out)
{
    return s->reduce == REDUCE_MEAN ? 1 / (double)s->count[out] : 1;
}

static int linear_any(const struct credit_io *io, const struct scatter *s)
{
    const float *from = s->output.from;
    baro_autofree float *ratio = baro_xcalloc((size_t)s->output.n, sizeof *ratio);
    const bool is_value = io->mode == CREDIT_VALUE;
    if (is_value) {
        credit_divide(io, s->output.now, from, s->output.n, ratio);
        from = ratio;
    }
    for (int64_t i = 0; s->self.to != NULL && i < s->self.n; i++) {
        const double by = is_value ? (double)s->self.now[i] : 1;
        s->self.to[i] += (float)((double)from[i] * self_weight(s, i) * by);
    }
    for (int64_t i = 0; s->source.to != NULL && i < s->source.n; i++) {
        const int64_t out = s->place[i];
        if (out >= 0) {
            const double by = is_value ? (double)s->source.now[i] : 1;
            s->source.to[i] += (float)((double)from[out] * source_weight(s, out) * by);
        }
    }
    return 0;
}

static bool is_equal(float a, float b)
{
    return (a >= b && a <= b) || (isnan(a) && isnan(b));
}

/* Which elements are the result of their place: itself (-1 - place), or of the source. */
static void find_chosen(const struct scatter *s, bool is_now, int64_t *chosen, int64_t *n)
{
    const float *y = is_now ? s->output.now : s->output.before;
    const float *self = is_now ? s->self.now : s->self.before;
    const float *x = is_now ? s->source.now : s->source.before;
    memset(n, 0, (size_t)s->output.n * sizeof *n);
    for (int64_t out = 0; out < s->output.n; out++) {
        const bool takes_part = s->has_self || s->count[out] == 0;
        if (takes_part && is_equal(self[out], y[out])) {
            chosen[out] = -1 - out;
            n[out] = 1;
        }
    }
    for (int64_t i = 0; i < s->source.n; i++) {
        const int64_t out = s->place[i];
        if (out >= 0 && is_equal(x[i], y[out])) {
            chosen[out] = n[out] == 0 ? i : chosen[out];
            n[out]++;
        }
    }
}

static void give(const struct scatter *s, int64_t at, double amount)
{
    if (at < 0 && s->self.to != NULL) {
        s->self.to[-1 - at] += (float)amount;
    } else if (at >= 0 && s->source.to != NULL) {
        s->source.to[at] += (float)amount;
    }
}

static double number_of(const struct scatter *s, int64_t at, bool is_now)
{
    const float *self = is_now ? s->self.now : s->self.before;
    const float *x = is_now ? s->source.now : s->source.before;
    return (double)(at < 0 ? self[-1 - at] : x[at]);
}

/* All that are equal to the result share evenly. */
static void give_evenly(const struct scatter *s, const int64_t *n)
{
    for (int64_t out = 0; out < s->output.n; out++) {
        const bool takes_part = s->has_self || s->count[out] == 0;
        if (takes_part && n[out] > 0 && is_equal(s->self.now[out], s->output.now[out])) {
            give(s, -1 - out, (double)s->output.from[out] / (double)n[out]);
        }
    }
    for (int64_t i = 0; i < s->source.n; i++) {
        const int64_t out = s->place[i];
        if (out >= 0 && is_equal(s->source.now[i], s->output.now[out])) {
            give(s, i, (double)s->output.from[out] / (double)n[out]);
        }
    }
}

static void choice_any(const struct scatter *s)
{
    const size_t n_out = (size_t)s->output.n;
    baro_autofree int64_t *now = baro_xcalloc(n_out, sizeof *now);
    baro_autofree int64_t *then = baro_xcalloc(n_out, sizeof *then);
    baro_autofree int64_t *n_now = baro_xcalloc(n_out, sizeof *n_now);
    baro_autofree int64_t *n_then = baro_xcalloc(n_out, sizeof *n_then);
    find_chosen(s, true, now, n_now);
    if (s->output.now == s->output.before) {
        give_evenly(s, n_now);
        return;
    }
    find_chosen(s, false, then, n_then);
    for (int64_t out = 0; out < s->output.n; out++) {
        const double from = (double)s->output.from[out];
        if (from == 0 || n_now[out] == 0 || n_then[out] == 0) {
            continue;
        }
        double slopes[2] = {1, 0};
        if (now[out] != then[out]) {
            credit_choice(
                (double[]){number_of(s, now[out], false), number_of(s, now[out], true)},
                (double[]){number_of(s, then[out], false), number_of(s, then[out], true)},
                slopes);
        }
        give(s, now[out], from * slopes[0]);
        give(s, then[out], from * slopes[1]);
    }
}

/* All modes. */
static int scatter_any(const struct credit_io *io)
{
    struct scatter s;
    const int rc = begin(io, &s);
    if (rc != 0) {
        return rc;
    }
    if (s.output.from != NULL && s.reduce <= REDUCE_MEAN) {
        (void)linear_any(io, &s);
    } else if (s.output.from != NULL) {
        choice_any(&s);
    }
    finish(&s);
    return 0;
}

static int scatter_forward(const struct credit_io *io)
{
    struct scatter s;
    const int rc = begin(io, &s);
    if (rc != 0) {
        return rc;
    }
    const float *of_self = io->tangent_in[0];
    const float *of_source = io->tangent_in[2];
    float *out = io->tangent_out[0];
    const bool is_linear = s.reduce <= REDUCE_MEAN;
    baro_autofree int64_t *chosen = baro_xcalloc((size_t)s.output.n, sizeof *chosen);
    baro_autofree int64_t *n = baro_xcalloc((size_t)s.output.n, sizeof *n);
    find_chosen(&s, true, chosen, n);
    for (int64_t i = 0; out != NULL && of_self != NULL && i < s.output.n; i++) {
        const bool is_it = n[i] > 0 && is_equal(s.self.now[i], s.output.now[i]) &&
                           (s.has_self || s.count[i] == 0);
        const double weight = is_linear ? self_weight(&s, i) : is_it ? 1 / (double)n[i] : 0;
        out[i] += (float)(weight * (double)of_self[i]);
    }
    for (int64_t i = 0; out != NULL && of_source != NULL && i < s.source.n; i++) {
        const int64_t at = s.place[i];
        if (at >= 0) {
            const bool is_it = is_equal(s.source.now[i], s.output.now[at]);
            const double weight = is_linear ? source_weight(&s, at)
                                  : is_it   ? 1 / (double)n[at]
                                            : 0;
            out[at] += (float)(weight * (double)of_source[i]);
        }
    }
    finish(&s);
    return 0;
}

const struct credit_rule credit_rules_scatter[] = {
    {"scatter_reduce", scatter_any, scatter_any, scatter_any, scatter_forward},
    {0},
};
