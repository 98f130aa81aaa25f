/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "lib/analysis/credit_loops.h"
#include "lib/analysis/credit_parts.h"
#include "lib/base/mem.h"

/*
 * CTC: the loss of a row is -log of the sum, over all ways to write its labels with blanks and
 * repetitions between them, of the product of what the network gives each letter at its time. It is
 * a logarithm of a sum of exponentials of sums, so it goes as logsumexp does (credit_softmax.c):
 *
 *   gradient  of log p(t, c): minus the posterior gamma(t, c) that the letter c stands at time t
 *   value     the loss is - sum of gamma log p - H, with the entropy H of the ways; by the eps rule
 *             each letter has its part, H is own (bias). All to the network, none to the labels.
 *   change    the mean of the gradients before and now; what is missing to the true change, of third
 *             order in it, is put where the change is, in proportion to its square
 *
 * gamma by the forward and backward sums over the labels with blanks between them, in logarithms.
 *
 * Worked: two times, letters blank and a, all probabilities 1/2, label a: the ways a-, -a, aa have
 * 3/4; gamma(0, a) = 2/3.
 */

static const double none = -HUGE_VAL;

struct ctc {
    struct credit_sides x, labels, output;
    int64_t n_times, n_rows, n_letters, blank;
};

/* A row: its labels with blanks between them, and how long it is. */
struct word {
    int64_t n; /* 2 labels + 1 */
    int64_t n_times;
    int64_t *letter;
    double *forward; /* n_times by n */
    double *backward;
    double log_sum;
};

static double add_logs(double a, double b)
{
    const double larger = a > b ? a : b;
    return isfinite(larger) ? larger + log1p(exp(-fabs(a - b))) : larger;
}

/* Which of the batch's rows a row that was kept is. */
static int64_t full_row(const struct credit_io *io, int64_t row)
{
    return credit_is_part(&io->in[0], 1) ? credit_full_place(io, &io->in[0], row) : row;
}

/* A length of a row: of a list among the arguments (of the whole batch), or of an operand. */
static int64_t length_of(
    const struct credit_io *io, const char *name, uint32_t operand, int64_t row)
{
    if (probe_attr_count(io->op, name) > 0) {
        return credit_attr_int(io, name, (int)full_row(io, row), -1);
    }
    return operand < io->n_in && io->in[operand].x != NULL && row < io->in[operand].n
               ? (int64_t)io->in[operand].x[row]
               : -1;
}

static int begin(const struct credit_io *io, struct ctc *c)
{
    *c = (struct ctc){.blank = credit_attr_int(io, "blank", 0, 0)};
    int rc = credit_input(io, 0, &c->x);
    rc = rc == 0 ? credit_input(io, 1, &c->labels) : rc;
    rc = rc == 0 ? credit_output(io, 0, &c->output) : rc;
    if (rc != 0) {
        return rc;
    }
    if (c->x.now == NULL || c->labels.now == NULL || c->output.array == NULL) {
        return BARO_ENOENT;
    }
    const struct credit_array *x = c->x.array;
    if (x->n_dims != 3 || c->output.n != x->shape[1] || c->labels.array->n_dims > 2 ||
        (c->labels.array->n_dims == 2 && c->labels.array->shape[0] != x->shape[1])) {
        return BARO_EUNSUPPORTED;
    }
    c->n_times = x->shape[0];
    c->n_rows = x->shape[1];
    c->n_letters = x->shape[2];
    return 0;
}

static void finish_word(struct word *word)
{
    free(word->letter);
    free(word->forward);
    free(word->backward);
    *word = (struct word){0};
}

/* Read the labels of a row. */
static int read_word(const struct credit_io *io, const struct ctc *c, const float *labels,
    int64_t row, struct word *word)
{
    *word = (struct word){.n_times = length_of(io, "input_lengths", 2, row)};
    const int64_t n = length_of(io, "target_lengths", 3, row);
    int64_t base = 0;
    if (c->labels.array->n_dims == 2) {
        base = row * c->labels.array->shape[1];
    } else {
        if (credit_is_part(&io->in[0], 1)) {
            return BARO_EUNSUPPORTED; /* which labels are whose needs the rows between */
        }
        for (int64_t i = 0; i < row; i++) {
            base += length_of(io, "target_lengths", 3, i);
        }
    }
    if (n < 0 || word->n_times <= 0 || word->n_times > c->n_times || base < 0 ||
        base + n > c->labels.n) {
        return BARO_EUNSUPPORTED;
    }
    word->n = 2 * n + 1;
    word->letter = baro_xcalloc((size_t)word->n, sizeof *word->letter);
    for (int64_t s = 0; s < word->n; s++) {
        const double letter = s % 2 == 0 ? (double)c->blank : (double)labels[base + s / 2];
        if (!(letter >= 0 && letter < (double)c->n_letters)) {
            finish_word(word);
            return BARO_EUNSUPPORTED;
        }
        word->letter[s] = (int64_t)letter;
    }
    const size_t size = (size_t)(word->n * word->n_times);
    word->forward = baro_xcalloc(size, sizeof *word->forward);
    word->backward = baro_xcalloc(size, sizeof *word->backward);
    return 0;
}

/* Whether a way may skip the blank in front of a label. */
static bool may_skip(const struct word *word, int64_t s)
{
    return s >= 2 && s % 2 == 1 && word->letter[s] != word->letter[s - 2];
}

static double log_of(
    const struct ctc *c, const float *x, int64_t row, int64_t t, int64_t letter)
{
    return (double)x[(t * c->n_rows + row) * c->n_letters + letter];
}

/* Fill in the sums over all ways up to, and from, each place. */
static void run_word(const struct ctc *c, const float *x, int64_t row, struct word *word)
{
    const int64_t n = word->n;
    const int64_t last = word->n_times - 1;
    for (int64_t t = 0; t <= last; t++) {
        for (int64_t s = 0; s < n; s++) {
            double from = t == 0 ? (s < 2 ? 0 : none) : none;
            if (t > 0) {
                const double *at = word->forward + (t - 1) * n + s;
                from = at[0];
                from = s > 0 ? add_logs(from, at[-1]) : from;
                from = may_skip(word, s) ? add_logs(from, at[-2]) : from;
            }
            word->forward[t * n + s] = from + log_of(c, x, row, t, word->letter[s]);
        }
    }
    for (int64_t t = last; t >= 0; t--) {
        for (int64_t s = n - 1; s >= 0; s--) {
            double from = t == last ? (s >= n - 2 ? 0 : none) : none;
            if (t < last) {
                const double *at = word->backward + (t + 1) * n + s;
                const int64_t *letter = word->letter + s;
                from = at[0] + log_of(c, x, row, t + 1, letter[0]);
                if (s + 1 < n) {
                    from = add_logs(from, at[1] + log_of(c, x, row, t + 1, letter[1]));
                }
                if (s + 2 < n && may_skip(word, s + 2)) {
                    from = add_logs(from, at[2] + log_of(c, x, row, t + 1, letter[2]));
                }
            }
            word->backward[t * n + s] = from; /* of what comes after t */
        }
    }
    word->log_sum = word->forward[last * n + n - 1];
    word->log_sum =
        n > 1 ? add_logs(word->log_sum, word->forward[last * n + n - 2]) : word->log_sum;
}

/* Add the posteriors of a row times factor, in the layout of the network's output. */
static int add_posteriors(const struct credit_io *io, const struct ctc *c, bool is_now,
    int64_t row, double factor, double *out)
{
    const float *x = is_now ? c->x.now : c->x.before;
    struct word word;
    const int rc = read_word(io, c, is_now ? c->labels.now : c->labels.before, row, &word);
    if (rc != 0) {
        return rc;
    }
    run_word(c, x, row, &word);
    for (int64_t i = 0; isfinite(word.log_sum) && i < word.n * word.n_times; i++) {
        const double gamma = exp(word.forward[i] + word.backward[i] - word.log_sum);
        const int64_t t = i / word.n;
        out[(t * c->n_rows + row) * c->n_letters + word.letter[i % word.n]] +=
            isfinite(gamma) ? factor * gamma : 0;
    }
    finish_word(&word);
    return 0;
}

/* The elements of a row: one for each time and letter. */
static int64_t element_of(const struct ctc *c, int64_t row, int64_t i)
{
    return (i / c->n_letters * c->n_rows + row) * c->n_letters + i % c->n_letters;
}

/* Make multipliers of a row add up to what its loss changed by. */
static void mend(const struct ctc *c, int64_t row, double *slopes)
{
    const int64_t n = c->n_times * c->n_letters;
    double left = (double)c->output.now[row] - (double)c->output.before[row];
    double squares = 0;
    for (int64_t i = 0; i < n; i++) {
        const int64_t e = element_of(c, row, i);
        const double change = (double)c->x.now[e] - (double)c->x.before[e];
        if (isfinite(change)) {
            left -= slopes[e] * change;
            squares += change * change;
        }
    }
    for (int64_t i = 0; squares > 0 && isfinite(left) && i < n; i++) {
        const int64_t e = element_of(c, row, i);
        const double change = (double)c->x.now[e] - (double)c->x.before[e];
        slopes[e] += isfinite(change) ? left * change / squares : 0;
    }
}

static bool is_same_words(const struct ctc *c)
{
    for (int64_t i = 0; i < c->labels.n; i++) {
        if (fabsf(c->labels.now[i] - c->labels.before[i]) > 0) {
            return false;
        }
    }
    return true;
}

/* Slopes of all rows. */
static int find_slopes(const struct credit_io *io, const struct ctc *c, double *out)
{
    const bool is_compared = c->x.now != c->x.before;
    if (is_compared && (c->output.now == NULL || !is_same_words(c))) {
        return BARO_EUNSUPPORTED; /* other words: the labels changed, not the network alone */
    }
    for (int64_t row = 0; row < c->n_rows; row++) {
        const double factor = is_compared ? -0.5 : -1;
        int rc = add_posteriors(io, c, true, row, factor, out);
        rc = rc == 0 && is_compared ? add_posteriors(io, c, false, row, factor, out) : rc;
        if (rc != 0) {
            return rc;
        }
        if (is_compared) {
            mend(c, row, out);
        }
    }
    return 0;
}

static int ctc_slopes(const struct credit_io *io)
{
    struct ctc c;
    int rc = begin(io, &c);
    if (rc != 0 || c.output.from == NULL || c.x.to == NULL) {
        return rc;
    }
    baro_autofree double *slopes = baro_xcalloc((size_t)c.x.n, sizeof *slopes);
    rc = find_slopes(io, &c, slopes);
    for (int64_t e = 0; rc == 0 && e < c.x.n; e++) {
        c.x.to[e] += (float)((double)c.output.from[e / c.n_letters % c.n_rows] * slopes[e]);
    }
    return rc;
}

static int ctc_value(const struct credit_io *io)
{
    struct ctc c;
    int rc = begin(io, &c);
    if (rc != 0 || c.output.from == NULL || c.x.to == NULL) {
        return rc;
    }
    if (c.output.now == NULL) {
        return BARO_ENOENT;
    }
    baro_autofree double *slopes = baro_xcalloc((size_t)c.x.n, sizeof *slopes);
    const double eps = credit_eps(c.output.now, c.output.from, c.output.n);
    rc = find_slopes(io, &c, slopes);
    for (int64_t row = 0; rc == 0 && row < c.n_rows; row++) {
        const double came = (double)c.output.from[row];
        const double ratio = credit_ratio(came, (double)c.output.now[row], eps);
        double given = 0;
        for (int64_t i = 0; i < c.n_times * c.n_letters; i++) {
            const int64_t e = element_of(&c, row, i);
            const double part = ratio * slopes[e] * (double)c.x.now[e];
            if (slopes[e] < 0 && isfinite(part)) {
                c.x.to[e] += (float)part;
                given += part;
            }
        }
        io->own[CREDIT_OWN_BIAS] += came - given;
    }
    return rc;
}

static int ctc_forward(const struct credit_io *io)
{
    struct ctc c;
    int rc = begin(io, &c);
    const float *in = io->tangent_in[0];
    float *out = io->tangent_out[0];
    if (rc != 0 || in == NULL || out == NULL) {
        return rc;
    }
    baro_autofree double *slopes = baro_xcalloc((size_t)c.x.n, sizeof *slopes);
    rc = find_slopes(io, &c, slopes);
    for (int64_t e = 0; rc == 0 && e < c.x.n; e++) {
        out[e / c.n_letters % c.n_rows] += (float)(slopes[e] * (double)in[e]);
    }
    return rc;
}

const struct credit_rule credit_rules_ctc[] = {
    {"_ctc_loss", ctc_value, ctc_slopes, ctc_slopes, ctc_forward},
    {0},
};
