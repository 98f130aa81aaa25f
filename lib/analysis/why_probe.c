/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/analysis/why_inside.h"
#include "lib/base/half.h"
#include "lib/base/mem.h"
#include "lib/base/tensor.h"

/*
 * What the failure probe says: the operation, which operand broke it with which number, how far that
 * is from what it was in calm, and where on the way upstream numbers left what they are in calm.
 *
 * The way upstream goes from the operand to the value that it was made of and that is largest
 * beside its own calm self (else largest at all), operation by operation, until nothing of the
 * graph is left. The same operation is found in the calm probe by its place if name and module agree
 * there, else as the n-th of that name in that module.
 */

enum { MAX_WAY = 4096, MAX_BACK = 8 };

/* Numbers beyond so many times those in calm have left their course. */
static const double GAIN = 3;

/* ---- operations ---- */

/* Which operations belong to a family; each begins and ends with a blank. */
static const struct family {
    enum why_op op;
    const char *names;
} families[] = {
    {WHY_OP_EXP, " exp exp2 expm1 sinh cosh "},
    {WHY_OP_LOG, " log log2 log10 log1p logit xlogy binary_cross_entropy "},
    {WHY_OP_DIVIDE, " div true_divide divide reciprocal fmod remainder "},
    {WHY_OP_ROOT, " sqrt rsqrt "},
    {WHY_OP_POWER, " pow float_power square "},
    {WHY_OP_NORM, " norm linalg_vector_norm frobenius_norm _cdist_forward _euclidean_dist "
                  "pairwise_distance cdist std var std_mean var_mean renorm "},
    {WHY_OP_NORMALISE,
        " native_batch_norm native_layer_norm native_group_norm batch_norm "
        "layer_norm group_norm instance_norm rms_norm _native_batch_norm_legit "
        "cudnn_batch_norm "},
    {WHY_OP_CAST, " _to_copy to copy half bfloat16 type_as convert_element_type "},
    {WHY_OP_SOFTMAX, " softmax _softmax log_softmax _log_softmax logsumexp "
                     "_scaled_dot_product_attention_math "},
    {WHY_OP_ARC, " acos asin acosh atanh "},
    {WHY_OP_SUM,
        " add sub mul mm addmm bmm baddbmm matmul linear convolution sum mean cumsum "
        "prod einsum dot mv addmv addcmul addcdiv mse_loss "},
};

/* Of "exp_backward" it is the family of exp: what broke is one operation, whichever way. */
static enum why_op family_of(const char *name)
{
    static const char backward[] = "_backward";
    char word[64];
    int n = (int)strcspn(name, ".");
    const char *tail = strstr(name, backward);
    n = tail != NULL && tail - name < n ? (int)(tail - name) : n;
    if (n == 0 || n > (int)sizeof word - 3) {
        return WHY_OP_OTHER;
    }
    (void)snprintf(word, sizeof word, " %.*s ", n, name);
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < BARO_LEN(families); i++) {
            if (strstr(families[i].names, word) != NULL) {
                return families[i].op;
            }
        }
        if (word[n] == '_') { /* in place */
            word[n] = ' ';
            word[n + 1] = '\0';
        }
    }
    return WHY_OP_OTHER;
}

static double most_of(enum baro_dtype dtype)
{
    switch (dtype) {
    case BARO_F16: return 65504;
    case BARO_BF16: return 3.3895313892515355e38;
    case BARO_F32: return 3.4028234663852886e38;
    case BARO_F64: return 1.7976931348623157e308;
    case BARO_I8:
    case BARO_I16:
    case BARO_I32:
    case BARO_I64:
    case BARO_U8:
    case BARO_BOOL:
    case BARO_DTYPE_END:
    default: return (double)INFINITY;
    }
}

/* ---- numbers ---- */

static double number_at(const struct probe_value *value, int64_t i)
{
    const uint8_t *at =
        (const uint8_t *)value->data + (size_t)i * baro_dtype_bytes(value->dtype);
    switch (value->dtype) {
    case BARO_F32: return (double)*(const float *)(const void *)at;
    case BARO_F64: return *(const double *)(const void *)at;
    case BARO_F16: return (double)baro_f16_to_f32(*(const uint16_t *)(const void *)at);
    case BARO_BF16: return (double)baro_bf16_to_f32(*(const uint16_t *)(const void *)at);
    case BARO_I8: return *(const int8_t *)at;
    case BARO_I16: return *(const int16_t *)(const void *)at;
    case BARO_I32: return *(const int32_t *)(const void *)at;
    case BARO_I64: return (double)*(const int64_t *)(const void *)at;
    case BARO_U8:
    case BARO_BOOL: return *at;
    case BARO_DTYPE_END:
    default: return (double)NAN;
    }
}

/* Which number of an operand is the one that breaks the operation. */
enum extreme { LARGEST, SMALLEST, NEAREST_ZERO, LARGEST_SIZE };

static enum extreme extreme_of(enum why_op op)
{
    switch (op) {
    case WHY_OP_EXP: return LARGEST;
    case WHY_OP_LOG:
    case WHY_OP_ROOT: return SMALLEST;
    case WHY_OP_DIVIDE:
    case WHY_OP_NORM: return NEAREST_ZERO;
    case WHY_OP_POWER:
    case WHY_OP_NORMALISE:
    case WHY_OP_CAST:
    case WHY_OP_SUM:
    case WHY_OP_SOFTMAX:
    case WHY_OP_ARC:
    case WHY_OP_OTHER:
    default: return LARGEST_SIZE;
    }
}

static bool is_further(enum extreme extreme, double x, double than)
{
    return isnan(than) || (extreme == LARGEST           ? x > than
                              : extreme == SMALLEST     ? x < than
                              : extreme == NEAREST_ZERO ? fabs(x) < fabs(than)
                                                        : fabs(x) > fabs(than));
}

/* The extreme by the statistics of all elements. */
static double extreme_of_stats(const struct probe_value *value, enum extreme extreme)
{
    if (extreme == LARGEST || extreme == SMALLEST) {
        return extreme == LARGEST ? value->max : value->min;
    }
    if (extreme == NEAREST_ZERO && value->min < 0 && value->max > 0) {
        return (double)NAN; /* somewhere between them */
    }
    bool is_max = (fabs(value->max) > fabs(value->min)) == (extreme == LARGEST_SIZE);
    return is_max ? value->max : value->min;
}

/* Coordinates of element i of a value as it was kept. */
static int64_t coordinate(const int64_t *shape, int n_dims, int64_t i, int axis)
{
    for (int d = n_dims - 1; d > axis; d--) {
        i /= shape[d];
    }
    return i % shape[axis];
}

static bool is_among(int64_t x, const int64_t *list, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (list[i] == x) {
            return true;
        }
    }
    return n == 0;
}

/* Row of the batch of element i; -1: none is known. */
static int64_t row_of(const struct probe *probe, const struct probe_value *value,
    const int64_t *shape, int64_t i)
{
    if (value->batch_axis < 0 || probe->n_batch <= 0) {
        return -1;
    }
    int64_t per_sample = value->shape[value->batch_axis] / probe->n_batch;
    int64_t place = coordinate(shape, value->n_dims, i, value->batch_axis);
    place /= per_sample > 0 ? per_sample : 1;
    if (value->kept != PROBE_KEPT_ROWS) {
        return place;
    }
    return place < (int64_t)probe->n_rows ? probe->rows[place] : -1;
}

/* The extreme among the kept elements that lie in the bad units and rows; NaN: there are none. */
static double extreme_where_bad(const struct probe *probe, const struct probe_value *value,
    const struct probe_origin *bad, enum extreme extreme)
{
    int64_t shape[BARO_MAX_DIMS];
    double found = (double)NAN;
    if (value->kept == PROBE_KEPT_NONE || value->data == NULL) {
        return found;
    }
    int64_t n = probe_kept_shape(probe, value, shape);
    const struct probe_value *result = &probe->values[bad->value];
    bool has_units = value->unit_axis >= 0 && bad->n_units > 0 && result->unit_axis >= 0 &&
                     result->shape[result->unit_axis] == value->shape[value->unit_axis];
    for (int64_t i = 0; i < n; i++) {
        double x = number_at(value, i);
        int64_t row = row_of(probe, value, shape, i);
        bool is_here =
            !isnan(x) && (row < 0 || is_among(row, bad->rows, bad->n_rows)) &&
            (!has_units || is_among(coordinate(shape, value->n_dims, i, value->unit_axis),
                               bad->units, bad->n_units));
        if (is_here && is_further(extreme, x, found)) {
            found = x;
        }
    }
    return found;
}

static double size_of(const struct probe_value *value)
{
    return fmax(fabs(value->min), fabs(value->max));
}

/* ---- the operand ---- */

/* Of a backward operation: what is not finite, else what the forward pass left for it. */
static int backward_operand_of(const struct probe *probe, const struct probe_op *op)
{
    int best = -1;
    int most = 0;
    for (uint32_t i = 0; i < op->n_inputs; i++) {
        if (op->inputs[i] == PROBE_NONE) {
            continue;
        }
        const struct probe_value *value = &probe->values[op->inputs[i]];
        bool is_bad = value->n_nan + value->n_inf > 0;
        bool is_gradient =
            strncmp(value->name, "gradient", 8) == 0 ||
            (value->op != PROBE_NONE && probe->ops[value->op].phase == PROBE_BACKWARD);
        int weight = is_bad ? 3 : is_gradient ? 1 : 2;
        if (weight > most) {
            best = (int)i;
            most = weight;
        }
    }
    return best;
}

/* Which input of the operation broke it: the divisor, or the one that is furthest out. */
static int operand_of(
    const struct probe *probe, const struct probe_op *op, enum why_op family)
{
    int best = -1;
    double most = -1;
    if (op->phase == PROBE_BACKWARD) {
        return backward_operand_of(probe, op);
    }
    for (uint32_t i = 0; i < op->n_inputs && i < 64; i++) {
        if (op->inputs[i] == PROBE_NONE) {
            continue;
        }
        const struct probe_value *value = &probe->values[op->inputs[i]];
        double size = size_of(value);
        bool is_signal = value->kind == PROBE_RESULT || value->kind == PROBE_INPUT;
        double weight = (isfinite(size) ? size : 0) + (is_signal ? 0 : -0.5);
        if (family == WHY_OP_DIVIDE && i == 1) {
            return 1;
        }
        bool is_first = family != WHY_OP_SUM && family != WHY_OP_OTHER;
        if (best < 0 || (!is_first && weight > most)) {
            best = (int)i;
            most = weight;
        }
    }
    return best;
}

/* The operation that is to be explained and its operand. A backward operation that was given what
 * is not finite already (0 times the infinite result of exp) stands for the one that made that. */
static int32_t operand_and_op(
    const struct probe *probe, const struct probe_op **out_op, int32_t *out_result)
{
    const struct probe_op *op = &probe->ops[probe->origin.op];
    int32_t result = probe->origin.value;
    int32_t value = PROBE_NONE;
    for (int n = 0; n < MAX_BACK; n++) {
        int at = operand_of(probe, op, family_of(op->name));
        value = at >= 0 ? op->inputs[at] : PROBE_NONE;
        const struct probe_value *operand =
            value != PROBE_NONE ? &probe->values[value] : NULL;
        bool is_bad = operand != NULL && operand->n_nan + operand->n_inf > 0;
        if (!is_bad || operand->op == PROBE_NONE || op->phase != PROBE_BACKWARD) {
            break;
        }
        result = value;
        op = &probe->ops[operand->op];
    }
    *out_op = op;
    *out_result = result;
    return value;
}

int32_t why_operand_value(const struct probe *probe)
{
    const struct probe_op *op = NULL;
    int32_t result = PROBE_NONE;
    if (!probe->has_origin || probe->origin.op == PROBE_NONE) {
        return probe->has_origin ? probe->origin.value : PROBE_NONE;
    }
    return operand_and_op(probe, &op, &result);
}

const char *why_value_module(const struct probe *probe, int32_t value)
{
    if (value == PROBE_NONE || probe->values[value].op == PROBE_NONE) {
        return "";
    }
    return probe->ops[probe->values[value].op].module;
}

/* An operation's name as people write it: "_softmax" is softmax, "add_" is add. */
static char *plain_name(const char *name, char out[WHY_NAME_BYTES])
{
    const char *from = name + strspn(name, "_");
    const char *tail = strstr(from, "_backward");
    size_t n = tail != NULL ? (size_t)(tail - from) : strlen(from);
    while (n > 1 && from[n - 1] == '_') {
        n--;
    }
    (void)snprintf(out, WHY_NAME_BYTES, "%.*s", (int)n, from);
    return out;
}

/* ---- calm ---- */

static bool is_same_op(const struct probe_op *a, const struct probe_op *b)
{
    return strcmp(a->name, b->name) == 0 && strcmp(a->module, b->module) == 0 &&
           a->phase == b->phase;
}

/* The same operation in the calm probe; PROBE_NONE: it is not there. */
static int32_t calm_op(const struct probe *probe, const struct probe *calm, int32_t op)
{
    const struct probe_op *wanted = &probe->ops[op];
    if ((uint32_t)op < calm->n_ops && is_same_op(wanted, &calm->ops[op])) {
        return op;
    }
    int32_t nth = 0;
    for (int32_t i = 0; i < op; i++) {
        nth += is_same_op(wanted, &probe->ops[i]);
    }
    for (uint32_t i = 0; i < calm->n_ops; i++) {
        if (is_same_op(wanted, &calm->ops[i]) && nth-- == 0) {
            return (int32_t)i;
        }
    }
    return PROBE_NONE;
}

/* The same value in the calm probe; NULL: it is not there. */
static const struct probe_value *calm_value(
    const struct probe *probe, const struct probe *calm, int32_t value)
{
    if (calm == NULL || value == PROBE_NONE) {
        return NULL;
    }
    const struct probe_value *wanted = &probe->values[value];
    if (wanted->op != PROBE_NONE) {
        int32_t op = calm_op(probe, calm, wanted->op);
        const struct probe_op *here = &probe->ops[wanted->op];
        for (uint32_t i = 0; op != PROBE_NONE && i < here->n_outputs; i++) {
            if (here->outputs[i] == value && i < calm->ops[op].n_outputs &&
                calm->ops[op].outputs[i] != PROBE_NONE) {
                return &calm->values[calm->ops[op].outputs[i]];
            }
        }
        return NULL;
    }
    for (uint32_t i = 0; i < calm->n_values; i++) {
        const struct probe_value *other = &calm->values[i];
        if (other->kind == wanted->kind && wanted->name[0] != '\0' &&
            strcmp(other->name, wanted->name) == 0) {
            return other;
        }
    }
    return NULL;
}

/* How many times its calm size a value has; NaN: not known. */
static double gain_of(const struct probe *probe, const struct probe *calm, int32_t value)
{
    const struct probe_value *before = calm_value(probe, calm, value);
    double now = value != PROBE_NONE ? size_of(&probe->values[value]) : (double)NAN;
    if (before == NULL || !isfinite(now) || !(size_of(before) > 0)) {
        return (double)NAN;
    }
    return now / size_of(before);
}

/* ---- the way upstream ---- */

/* The input that an operation's result was mostly made of; parameters are noted, not followed. */
static int32_t main_input(struct why_work *work, const struct probe_op *op)
{
    const struct probe *probe = work->facts->failure;
    int32_t best = PROBE_NONE;
    double most = -1;
    for (uint32_t i = 0; i < op->n_inputs; i++) {
        int32_t at = op->inputs[i];
        if (at == PROBE_NONE) {
            continue;
        }
        const struct probe_value *value = &probe->values[at];
        double gain = gain_of(probe, work->facts->calm, at);
        if (value->kind == PROBE_PARAMETER) {
            if (gain > work->found.weight_gain || isnan(work->found.weight_gain)) {
                work->found.weight_gain = gain;
                (void)snprintf(
                    work->found.weight, sizeof work->found.weight, "%s", value->name);
            }
            continue;
        }
        bool is_signal = value->kind == PROBE_RESULT || value->kind == PROBE_INPUT;
        double size = size_of(value);
        double weight = !is_signal       ? 0
                        : isfinite(gain) ? 1e3 + gain
                        : isfinite(size) ? size / (1 + size) + 1
                                         : 1;
        if (weight > most) {
            best = at;
            most = weight;
        }
    }
    return best;
}

/* Its size; of an operand that was too small that says nothing, there its number. */
static void say_hop(
    const struct why_work *work, struct why_hop *hop, const struct probe_value *of)
{
    const struct why_origin *origin = &work->story->origin;
    const enum extreme extreme = extreme_of(work->found.op);
    const bool is_small = hop->value == work->found.value && isfinite(origin->operand) &&
                          (extreme == SMALLEST || extreme == NEAREST_ZERO);
    const double usual = is_small ? origin->usual : hop->usual;
    const bool is_made = hop->op_name[0] != '\0';
    char place[WHY_NAME_BYTES];
    char op[WHY_NAME_BYTES];
    why_say(hop->text, sizeof hop->text, "%s%s%s: %s %.4g",
        of->op == PROBE_NONE && hop->module[0] == '\0' ? "outside"
                                                       : why_place(hop->module, place),
        is_made ? ", " : "", plain_name(hop->op_name, op), is_small ? "down to" : "up to",
        is_small ? origin->operand : hop->number);
    if (isfinite(usual)) {
        why_say(hop->text, sizeof hop->text, " (%.4g in calm)", usual);
    }
}

static void tell_hop(struct why_work *work, int32_t value)
{
    const struct probe *probe = work->facts->failure;
    struct why_story *story = work->story;
    const struct probe_value *of = &probe->values[value];
    const struct probe_value *before = calm_value(probe, work->facts->calm, value);
    struct why_hop *hop = &story->hops[story->n_hops];
    *hop = (struct why_hop){.value = value,
        .op = of->op,
        .number = size_of(of),
        .usual = before != NULL ? size_of(before) : (double)NAN,
        .share = (double)NAN,
        .unit = -1};
    const char *module = why_value_module(probe, value);
    (void)snprintf(hop->module, sizeof hop->module, "%s",
        of->op != PROBE_NONE  ? module
        : of->name[0] != '\0' ? of->name
                              : probe_value_kind_name(of->kind));
    (void)snprintf(hop->op_name, sizeof hop->op_name, "%s",
        of->op != PROBE_NONE ? probe->ops[of->op].name : "");
    say_hop(work, hop, of);
    if (hop->usual > 0 && hop->number > GAIN * hop->usual) {
        work->found.jump = (int)story->n_hops;
    }
    story->n_hops++;
}

/* Values worth a line: the first, the last of each module, and what comes from outside. */
static bool is_worth_a_hop(const struct probe *probe, int32_t value, const char *module)
{
    const struct probe_value *of = &probe->values[value];
    return of->op == PROBE_NONE || strcmp(probe->ops[of->op].module, module) != 0;
}

static void walk(struct why_work *work)
{
    const struct probe *probe = work->facts->failure;
    int32_t at = work->found.value;
    const char *module = NULL;
    for (int n = 0; n < MAX_WAY && at != PROBE_NONE; n++) {
        const struct probe_value *value = &probe->values[at];
        if (work->story->n_hops < WHY_MAX_HOPS &&
            (module == NULL || is_worth_a_hop(probe, at, module))) {
            tell_hop(work, at);
            module = why_value_module(probe, at);
        }
        if (value->op == PROBE_NONE) {
            if (value->kind == PROBE_INPUT) {
                work->found.input_gain = gain_of(probe, work->facts->calm, at);
            }
            return;
        }
        at = main_input(work, &probe->ops[value->op]);
    }
}

/* How far the bad rows of an input lie from the others, by their sizes. */
static double oddness(const struct probe *probe, const struct probe_value *value)
{
    const struct probe_origin *origin = &probe->origin;
    int64_t shape[BARO_MAX_DIMS];
    double size[WHY_MAX_ROWS] = {0};
    if (value->kept == PROBE_KEPT_NONE || value->data == NULL || value->batch_axis < 0 ||
        origin->n_rows == 0) {
        return (double)NAN;
    }
    bool is_all = value->kept == PROBE_KEPT_ALL;
    int64_t n = probe_kept_shape(probe, value, shape);
    int64_t n_rows = is_all ? probe->n_batch : (int64_t)probe->n_rows;
    n_rows = n_rows < WHY_MAX_ROWS ? n_rows : WHY_MAX_ROWS;
    for (int64_t i = 0; i < n; i++) {
        int64_t row = row_of(probe, value, shape, i);
        for (int64_t r = 0; r < n_rows; r++) {
            if ((is_all ? r : probe->rows[r]) == row) {
                size[r] = fmax(size[r], fabs(number_at(value, i)));
            }
        }
    }
    double mean = 0;
    double square = 0;
    double worst = 0;
    int n_others = 0;
    for (int64_t r = 0; r < n_rows; r++) {
        if (is_among(is_all ? r : probe->rows[r], origin->rows, origin->n_rows)) {
            worst = fmax(worst, size[r]);
        } else {
            n_others++;
            mean += size[r];
            square += size[r] * size[r];
        }
    }
    if (n_others < 3) {
        return (double)NAN;
    }
    mean /= n_others;
    double spread = sqrt(fmax(square / n_others - mean * mean, 0)) + 0.05 * mean + 1e-30;
    return (worst - mean) / spread;
}

/* Whether all numbers of each bad row are the same one, and of no other row. */
static bool is_blank(
    const struct probe *probe, const struct probe_value *value, double *out_number)
{
    const struct probe_origin *origin = &probe->origin;
    int64_t shape[BARO_MAX_DIMS];
    double least[WHY_MAX_ROWS];
    double most[WHY_MAX_ROWS];
    if (value->kept == PROBE_KEPT_NONE || value->data == NULL || value->batch_axis < 0 ||
        origin->n_rows == 0) {
        return false;
    }
    const bool is_all = value->kept == PROBE_KEPT_ALL;
    const int64_t n = probe_kept_shape(probe, value, shape);
    int64_t n_rows = is_all ? probe->n_batch : (int64_t)probe->n_rows;
    n_rows = n_rows < WHY_MAX_ROWS ? n_rows : WHY_MAX_ROWS;
    if (n_rows < 2 || n < 3 * n_rows) {
        return false;
    }
    for (int64_t r = 0; r < n_rows; r++) {
        least[r] = HUGE_VAL;
        most[r] = -HUGE_VAL;
    }
    for (int64_t i = 0; i < n; i++) {
        const int64_t row = row_of(probe, value, shape, i);
        const double x = number_at(value, i);
        for (int64_t r = 0; r < n_rows; r++) {
            if ((is_all ? r : probe->rows[r]) == row) {
                least[r] = fmin(least[r], x);
                most[r] = fmax(most[r], x);
            }
        }
    }
    int64_t n_bad = 0;
    for (int64_t r = 0; r < n_rows; r++) {
        const bool is_bad =
            is_among(is_all ? r : probe->rows[r], origin->rows, origin->n_rows);
        if (is_bad != (least[r] >= most[r])) {
            return false;
        }
        n_bad += is_bad;
        *out_number = is_bad ? most[r] : *out_number;
    }
    return n_bad > 0 && n_bad < n_rows;
}

static void look_at_inputs(struct why_work *work)
{
    const struct probe *probe = work->facts->failure;
    work->found.odd_input = (double)NAN;
    for (uint32_t i = 0; i < probe->n_values; i++) {
        const struct probe_value *value = &probe->values[i];
        if (value->kind != PROBE_INPUT) {
            continue;
        }
        work->found.is_blank =
            work->found.is_blank || is_blank(probe, value, &work->found.blank);
        double odd = oddness(probe, value);
        if (odd > work->found.odd_input || isnan(work->found.odd_input)) {
            work->found.odd_input = odd;
        }
    }
}

/* ---- the origin ---- */

/* The number beyond which an operation breaks, for an operand of its family. */
static double limit_of(enum why_op family, const struct probe_op *op,
    const struct probe_value *result, bool is_gradient)
{
    double most = most_of(result->dtype);
    switch (family) {
    case WHY_OP_EXP: return strncmp(op->name, "exp2", 4) == 0 ? log2(most) : log(most);
    case WHY_OP_LOG:
    case WHY_OP_ROOT:
    case WHY_OP_DIVIDE: return 0;
    case WHY_OP_NORM: return is_gradient ? 0 : sqrt(most);
    case WHY_OP_CAST: return most;
    case WHY_OP_ARC: return 1;
    case WHY_OP_SUM: /* what its terms come to has a limit; of one operand squares have */
        return strncmp(op->name, "mse_loss", 8) == 0 ? sqrt(most) : (double)NAN;
    case WHY_OP_POWER:
    case WHY_OP_NORMALISE:
    case WHY_OP_SOFTMAX:
    case WHY_OP_OTHER:
    default: return (double)NAN;
    }
}

/* What broke the operation, with its number now and in calm. */
static void tell_operand(struct why_work *work, const struct probe_op *op)
{
    const struct probe *probe = work->facts->failure;
    const struct probe *calm = work->facts->calm;
    const struct probe_origin *from = &probe->origin;
    struct why_origin *origin = &work->story->origin;
    enum extreme extreme = extreme_of(work->found.op);
    const struct probe_value *operand = &probe->values[work->found.value];
    origin->operand = extreme_where_bad(probe, operand, from, extreme);
    if (isnan(origin->operand) && operand->n_nan == 0) {
        origin->operand = extreme_of_stats(operand, extreme);
    }
    const struct probe_value *before = calm_value(probe, calm, work->found.value);
    if (before != NULL) {
        origin->usual = extreme_of_stats(before, extreme);
        origin->calm_step = calm->step;
    }
    origin->n_nan = operand->n_nan;
    work->found.gain = gain_of(probe, calm, work->found.value);
    const char *feeder = why_value_module(probe, work->found.value);
    if (operand->name[0] == '\0' && operand->op != PROBE_NONE &&
        strcmp(feeder, op->module) == 0) { /* its own module says nothing */
        char name[WHY_NAME_BYTES];
        char place[WHY_NAME_BYTES];
        why_say(origin->tensor, sizeof origin->tensor, "the result of %s in %s",
            plain_name(probe->ops[operand->op].name, name), why_place(feeder, place));
    } else {
        (void)snprintf(origin->tensor, sizeof origin->tensor, "%s",
            operand->name[0] != '\0' ? operand->name : feeder);
    }
}

/* Whether nothing came from above to a backward operation whose operand was NaN, or had no slope:
 * the loss leaves it out, but behind the operation, where 0 times NaN is still NaN. */
static bool is_masked(const struct probe *probe, int32_t operand)
{
    const struct probe_origin *origin = &probe->origin;
    const struct probe_value *loss =
        probe->loss != PROBE_NONE ? &probe->values[probe->loss] : NULL;
    return origin->is_gradient && operand != PROBE_NONE &&
           probe->values[operand].n_nan > 0 &&
           (loss == NULL || loss->n_nan + loss->n_inf == 0);
}

static void tell_place(struct why_work *work)
{
    const struct probe *probe = work->facts->failure;
    const struct probe_origin *from = &probe->origin;
    struct why_origin *origin = &work->story->origin;
    const struct probe_value *value = &probe->values[from->value];
    origin->is_outside = from->op == PROBE_NONE;
    origin->is_gradient = from->is_gradient;
    origin->is_exact = from->is_exact || !from->is_replayed;
    origin->n_units_all = from->n_units;
    origin->n_units = from->n_units < WHY_MAX_UNITS ? from->n_units : WHY_MAX_UNITS;
    for (size_t i = 0; i < origin->n_units; i++) {
        origin->units[i] = from->units[i];
    }
    (void)snprintf(origin->cause, sizeof origin->cause, "%s", from->cause);
    (void)snprintf(
        origin->dtype, sizeof origin->dtype, "%s", baro_dtype_name(value->dtype));
    if (origin->is_outside) {
        (void)snprintf(origin->tensor, sizeof origin->tensor, "%s",
            value->name[0] != '\0' ? value->name : probe_value_kind_name(value->kind));
        const char *dot = strrchr(value->name, '.');
        int n = value->kind == PROBE_INPUT ? -1
                : dot != NULL              ? (int)(dot - value->name)
                                           : 0;
        (void)snprintf(origin->module, sizeof origin->module, "%.*s", n < 0 ? 5 : n,
            n < 0 ? "input" : value->name);
        return;
    }
    const struct probe_op *op = &probe->ops[from->op];
    (void)snprintf(origin->op, sizeof origin->op, "%s", op->name);
    (void)snprintf(origin->module, sizeof origin->module, "%s", op->module);
    (void)snprintf(origin->source, sizeof origin->source, "%s", op->source);
}

void why_read_probe(struct why_work *work)
{
    const struct probe *probe = work->facts->failure;
    struct why_found *found = &work->found;
    *found = (struct why_found){.value = PROBE_NONE,
        .gain = (double)NAN,
        .jump = -1,
        .input_gain = (double)NAN,
        .weight_gain = (double)NAN,
        .odd_input = (double)NAN};
    if (probe == NULL || !probe->has_origin || probe->origin.value == PROBE_NONE) {
        return;
    }
    found->is_there = true;
    work->story->has_origin = true;
    work->story->origin = (struct why_origin){
        .operand = (double)NAN, .limit = (double)NAN, .usual = (double)NAN};
    tell_place(work);
    look_at_inputs(work);
    if (probe->origin.op == PROBE_NONE) {
        return;
    }
    const struct probe_op *op = NULL;
    int32_t result = PROBE_NONE;
    found->value = operand_and_op(probe, &op, &result);
    found->op = family_of(op->name);
    (void)plain_name(op->name, work->story->origin.breaks);
    work->story->origin.limit =
        limit_of(found->op, op, &probe->values[result], probe->origin.is_gradient);
    if (found->value != PROBE_NONE) {
        tell_operand(work, op);
        work->is_masked = is_masked(probe, found->value);
        if (work->is_masked) {
            (void)plain_name(work->story->origin.op, work->story->origin.breaks);
        }
        walk(work);
    }
}
