/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/credit_inside.h"
#include "lib/base/mem.h"

/*
 * Which value of the step before is this one: begun at the target, whose like is found by name or
 * by the place of its operation among those of the same name and module, and from there upward
 * operand by operand. So only the way to the target has to be the same; where the same operation
 * occurs more often in one of the steps, other places are tried, nearest first.
 */

enum { TRIES = 8 };

struct pair {
    int32_t now, before;
};

/* One attempt: values that are still to be compared. */
struct attempt {
    const struct credit *credit;
    int32_t *before_of;
    struct pair *pairs;
    size_t n, room;
    bool *is_open; /* operations of now whose operands are not paired yet are not set */
};

static bool has_same_shape(
    const struct credit *credit, const struct probe_value *a, const struct probe_value *b)
{
    if (a->n_dims != b->n_dims) {
        return false;
    }
    struct credit_array left;
    struct credit_array right;
    credit_array_shape(&credit->now, a, &left);
    credit_array_shape(&credit->before, b, &right);
    return memcmp(left.shape, right.shape, (size_t)a->n_dims * sizeof left.shape[0]) == 0;
}

static void push(struct attempt *attempt, int32_t now, int32_t before)
{
    if (attempt->n == attempt->room) {
        attempt->room = attempt->room * 2 + 256;
        attempt->pairs =
            baro_xrealloc(attempt->pairs, attempt->room, sizeof *attempt->pairs);
    }
    attempt->pairs[attempt->n++] = (struct pair){now, before};
}

static int differ(
    const struct attempt *attempt, struct baro_err *err, struct pair pair, const char *what)
{
    char name[200];
    return baro_err_set(err, BARO_EUNSUPPORTED,
        "the step before computed it in another way: %s %s",
        credit_value_text(attempt->credit->now.probe, pair.now, name, sizeof name), what);
}

static int compare_ops(struct attempt *attempt, struct pair pair, int32_t now_at,
    int32_t before_at, struct baro_err *err)
{
    const struct probe_op *now = &attempt->credit->now.probe->ops[now_at];
    const struct probe_op *before = &attempt->credit->before.probe->ops[before_at];
    if (strcmp(now->name, before->name) != 0) {
        char what[120];
        (void)snprintf(what, sizeof what, "came from %.80s", before->name);
        return differ(attempt, err, pair, what);
    }
    if (strcmp(now->module, before->module) != 0) {
        return differ(attempt, err, pair, "came from another module");
    }
    if (now->n_inputs != before->n_inputs || now->n_outputs != before->n_outputs) {
        return differ(attempt, err, pair, "had another number of operands");
    }
    uint32_t place = 0;
    while (place < now->n_outputs && now->outputs[place] != pair.now) {
        place++;
    }
    if (place == now->n_outputs || before->outputs[place] != pair.before) {
        return differ(attempt, err, pair, "was another output of its operation");
    }
    if (attempt->is_open[now_at]) {
        return 0;
    }
    attempt->is_open[now_at] = true;
    for (uint32_t k = 0; k < now->n_inputs; k++) {
        if ((now->inputs[k] == PROBE_NONE) != (before->inputs[k] == PROBE_NONE)) {
            return differ(attempt, err, pair, "had another operand");
        }
        if (now->inputs[k] != PROBE_NONE) {
            push(attempt, now->inputs[k], before->inputs[k]);
        }
    }
    return 0;
}

static int compare(struct attempt *attempt, struct pair pair, struct baro_err *err)
{
    const struct probe_value *now = &attempt->credit->now.probe->values[pair.now];
    const struct probe_value *before = &attempt->credit->before.probe->values[pair.before];
    int32_t *like = &attempt->before_of[pair.now];
    if (*like != PROBE_NONE) {
        return *like == pair.before ? 0
                                    : differ(attempt, err, pair, "went another way then");
    }
    *like = pair.before;
    if (!has_same_shape(attempt->credit, now, before)) {
        return differ(attempt, err, pair, "had another shape");
    }
    if ((now->op == PROBE_NONE) != (before->op == PROBE_NONE)) {
        return differ(attempt, err, pair, "came from elsewhere");
    }
    if (now->op != PROBE_NONE) {
        return compare_ops(attempt, pair, now->op, before->op, err);
    }
    if (now->kind != before->kind ||
        (now->kind == PROBE_PARAMETER && strcmp(now->name, before->name) != 0)) {
        char what[120];
        (void)snprintf(what, sizeof what, "was %s '%.60s'",
            probe_value_kind_name(before->kind), before->name);
        return differ(attempt, err, pair, what);
    }
    return 0;
}

static int try_pair(struct credit *credit, struct pair target, struct baro_err *err)
{
    const struct probe *probe = credit->now.probe;
    baro_autofree bool *is_open = baro_xcalloc(probe->n_ops, sizeof *is_open);
    struct attempt attempt = {
        .credit = credit, .before_of = credit->before_of, .is_open = is_open};
    memset(credit->before_of, 0xff, (size_t)probe->n_values * sizeof *credit->before_of);
    push(&attempt, target.now, target.before);
    int rc = 0;
    while (attempt.n > 0 && rc == 0) {
        rc = compare(&attempt, attempt.pairs[--attempt.n], err);
    }
    free(attempt.pairs);
    return rc;
}

/* Whether two operations may be each other's like. */
static bool is_like(const struct probe_op *a, const struct probe_op *b)
{
    return strcmp(a->name, b->name) == 0 && strcmp(a->module, b->module) == 0 &&
           a->phase == b->phase && a->n_outputs == b->n_outputs;
}

/* Which of the operations like it an operation is. */
static int64_t count_before(
    const struct probe *probe, const struct probe_op *op, int32_t end)
{
    int64_t n = 0;
    for (int32_t i = 0; i < end; i++) {
        n += is_like(&probe->ops[i], op);
    }
    return n;
}

/* Find likes of an operation's output, those at the nearest places first. */
static int find_likes(const struct credit *credit, int32_t value, int32_t *out)
{
    const struct probe *now = credit->now.probe;
    const struct probe *before = credit->before.probe;
    const int32_t op_at = now->values[value].op;
    const struct probe_op *op = &now->ops[op_at];
    uint32_t place = 0;
    while (op->outputs[place] != value) {
        place++;
    }
    const int64_t wanted = count_before(now, op, op_at);
    int64_t distance[TRIES];
    int n = 0;
    int64_t at = 0;
    for (uint32_t i = 0; i < before->n_ops; i++) {
        if (!is_like(&before->ops[i], op)) {
            continue;
        }
        const int64_t away = llabs(at++ - wanted);
        const int32_t like = before->ops[i].outputs[place];
        if (like == PROBE_NONE || (n == TRIES && away >= distance[n - 1])) {
            continue;
        }
        int j = n < TRIES ? n++ : n - 1;
        for (; j > 0 && distance[j - 1] > away; j--) {
            distance[j] = distance[j - 1];
            out[j] = out[j - 1];
        }
        distance[j] = away;
        out[j] = like;
    }
    return n;
}

/* Find values from outside of the same kind and name; without names those at the same place. */
static int find_leaf(const struct credit *credit, int32_t value, int32_t *out)
{
    const struct probe *before = credit->before.probe;
    const struct probe_value *wanted = &credit->now.probe->values[value];
    int n = 0;
    for (uint32_t i = 0; i < before->n_values && n < TRIES; i++) {
        const struct probe_value *like = &before->values[i];
        if (like->op == PROBE_NONE && like->kind == wanted->kind &&
            strcmp(like->name, wanted->name) == 0 &&
            (wanted->name[0] != '\0' || (int32_t)i == value)) {
            out[n++] = (int32_t)i;
        }
    }
    return n;
}

int credit_match(struct credit *credit, struct baro_err *err)
{
    const struct probe *now = credit->now.probe;
    const int32_t target = credit->target.value;
    int32_t likes[TRIES];
    int n = 0;
    if (target == now->loss && credit->before.probe->loss != PROBE_NONE) {
        likes[n++] = credit->before.probe->loss;
    } else if (now->values[target].op == PROBE_NONE) {
        n = find_leaf(credit, target, likes);
    } else {
        n = find_likes(credit, target, likes);
    }
    char name[200];
    if (n == 0) {
        return baro_err_set(err, BARO_EUNSUPPORTED, "%s was not there at step %" PRId64,
            credit_value_text(now, target, name, sizeof name), credit->before.probe->step);
    }
    int rc = try_pair(credit, (struct pair){target, likes[0]}, err);
    for (int i = 1; i < n && rc != 0; i++) {
        struct baro_err other = {0};
        if (try_pair(credit, (struct pair){target, likes[i]}, &other) == 0) {
            rc = 0;
            if (err != NULL) {
                *err = (struct baro_err){0};
            }
        }
    }
    return rc;
}
