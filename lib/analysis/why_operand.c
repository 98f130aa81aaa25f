/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/why_probe.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/tensor.h"

/*
 * What an operation does that can break, which of its operands did it, which number of that, and
 * where the operation's range ends.
 */

enum { MAX_BACK = 8 };

/* ---- operations ---- */

/* Which operations belong to a family; each begins and ends with a blank. */
static const struct family {
    enum why_op op;
    const char *names;
} families[] = {
    {WHY_OP_EXP, " exp exp2 expm1 sinh cosh "},
    {WHY_OP_LOG,
        " log log2 log10 log1p special_log1p logit special_logit xlogy binary_cross_entropy "},
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
    {WHY_OP_ARC, " acos asin acosh atanh erfinv special_erfinv special_ndtri "},
    {WHY_OP_SUM,
        " add sub mul mm addmm bmm baddbmm matmul linear convolution sum mean cumsum "
        "prod einsum dot mv addmv addcmul addcdiv mse_loss "},
};

enum why_op why_family_of(const char *name)
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

char *why_plain_name(const char *name, char out[WHY_NAME_BYTES])
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

enum why_extreme why_extreme_of(enum why_op op)
{
    switch (op) {
    case WHY_OP_EXP: return WHY_LARGEST;
    case WHY_OP_LOG:
    case WHY_OP_ROOT: return WHY_SMALLEST;
    case WHY_OP_DIVIDE:
    case WHY_OP_NORM: return WHY_NEAREST_ZERO;
    case WHY_OP_POWER:
    case WHY_OP_NORMALISE:
    case WHY_OP_CAST:
    case WHY_OP_SUM:
    case WHY_OP_SOFTMAX:
    case WHY_OP_ARC:
    case WHY_OP_OTHER:
    default: return WHY_LARGEST_SIZE;
    }
}

bool why_is_further(enum why_extreme extreme, double x, double than)
{
    return isnan(than) || (extreme == WHY_LARGEST           ? x > than
                              : extreme == WHY_SMALLEST     ? x < than
                              : extreme == WHY_NEAREST_ZERO ? fabs(x) < fabs(than)
                                                            : fabs(x) > fabs(than));
}

double why_extreme_of_stats(const struct probe_value *value, enum why_extreme extreme)
{
    if (extreme == WHY_LARGEST || extreme == WHY_SMALLEST) {
        return extreme == WHY_LARGEST ? value->max : value->min;
    }
    if (extreme == WHY_NEAREST_ZERO && value->min < 0 && value->max > 0) {
        return (double)NAN; /* somewhere between them */
    }
    bool is_max = (fabs(value->max) > fabs(value->min)) == (extreme == WHY_LARGEST_SIZE);
    return is_max ? value->max : value->min;
}

double why_size_of(const struct probe_value *value)
{
    return fmax(fabs(value->min), fabs(value->max));
}

/* Where operations of logarithms, roots and arcs are defined; of those not named from 0 on. */
static const struct domain {
    const char *name;
    double low, high;
} domains[] = {
    {"log1p", -1, (double)INFINITY},
    {"special_log1p", -1, (double)INFINITY},
    {"logit", 0, 1},
    {"special_logit", 0, 1},
    {"special_ndtri", 0, 1},
    {"acosh", 1, (double)INFINITY},
    {"acos", -1, 1},
    {"asin", -1, 1},
    {"atanh", -1, 1},
    {"erfinv", -1, 1},
    {"special_erfinv", -1, 1},
    {"binary_cross_entropy", 0, 1},
};

/* The end of an operation's domain that is nearest to an operand. */
static double edge_of(const char *name, double operand)
{
    for (size_t i = 0; i < BARO_LEN(domains); i++) {
        const struct domain *domain = &domains[i];
        if (strcmp(domain->name, name) == 0) {
            return operand > (domain->low + domain->high) / 2 ? domain->high : domain->low;
        }
    }
    return 0;
}

/* The exponent beyond which there is no number of a type. */
static double most_exponent(const char *name, double most, double operand)
{
    if (strcmp(name, "exp2") == 0) {
        return log2(most);
    }
    const bool is_half = strcmp(name, "sinh") == 0 || strcmp(name, "cosh") == 0;
    const double edge = log(most) + (is_half ? log(2.0) : 0);
    return is_half && operand < 0 ? -edge : edge;
}

bool why_has_domain(const char *name)
{
    const enum why_op family = why_family_of(name);
    return family == WHY_OP_LOG || family == WHY_OP_ROOT || family == WHY_OP_ARC ||
           family == WHY_OP_DIVIDE;
}

double why_limit_of(const struct probe_op *op, const struct probe_value *result,
    double operand, bool is_gradient)
{
    char name[WHY_NAME_BYTES];
    (void)why_plain_name(op->name, name);
    const double most = most_of(result->dtype);
    switch (why_family_of(op->name)) {
    case WHY_OP_EXP: return most_exponent(name, most, operand);
    case WHY_OP_LOG:
    case WHY_OP_ARC: return edge_of(name, operand);
    case WHY_OP_ROOT:
    case WHY_OP_DIVIDE: return 0;
    case WHY_OP_NORM: return is_gradient ? 0 : sqrt(most);
    case WHY_OP_CAST: return most;
    case WHY_OP_SUM: /* what its terms come to has a limit; of one operand squares have */
        return strncmp(op->name, "mse_loss", 8) == 0 ? sqrt(most) : (double)NAN;
    case WHY_OP_POWER: return strcmp(name, "square") == 0 ? sqrt(most) : (double)NAN;
    case WHY_OP_NORMALISE:
    case WHY_OP_SOFTMAX:
    case WHY_OP_OTHER:
    default: return (double)NAN;
    }
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
        double size = why_size_of(value);
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

int32_t why_operand_and_op(
    const struct probe *probe, const struct probe_op **out_op, int32_t *out_result)
{
    const struct probe_op *op = &probe->ops[probe->origin.op];
    int32_t result = probe->origin.value;
    int32_t value = PROBE_NONE;
    for (int n = 0; n < MAX_BACK; n++) {
        int at = operand_of(probe, op, why_family_of(op->name));
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
    return why_operand_and_op(probe, &op, &result);
}
