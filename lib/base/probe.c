/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/probe.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/probe_layout.h"
#include "lib/base/tensor.h"
#include "lib/base/text.h"

/*
 * Reading a probe. The bytes come from a file or a socket and may hold anything, so all is checked
 * here, once, in one pass over each section; what uses a probe afterwards checks nothing.
 *
 *   sections   their sizes follow from the counts of the header and must add up to the bytes
 *   text       is UTF-8 in pieces of a bounded length; names must point at the begin of a piece
 *   values     extents multiply without overflow; kept bytes are what their shape takes and lie
 *              within the data; samples fit the batch
 *   ops        operands come in the order of operations and are used up by them, so that a small
 *              file cannot ask for much work; inputs come from earlier operations, each output
 *              names this operation and no other one lists it
 *
 * Memory: two structures for each record of the file, of at most thrice its size; elements and
 * texts stay where they are.
 */

/* The sections of the bytes, once their sizes are known to add up. */
struct sections {
    const struct probe_head *head;
    const int64_t *numbers;
    const struct probe_value_record *values;
    const struct probe_op_record *ops;
    const int32_t *operands;
    const char *text;
    const uint8_t *data;
};

/* What probe_parse() makes: one block of memory. */
struct parsed {
    struct probe probe;
    struct probe_value *values;
    struct probe_op *ops;
};

static int damaged(struct baro_err *err, const char *what)
{
    return baro_err_set(err, BARO_ECORRUPT, "a probe's bytes are damaged: %s", what);
}

static int damaged_value(struct baro_err *err, uint32_t value, const char *what)
{
    return baro_err_set(err, BARO_ECORRUPT,
        "a probe's bytes are damaged: value %" PRIu32 " %s", value, what);
}

static int damaged_op(struct baro_err *err, uint32_t op, const char *what)
{
    return baro_err_set(err, BARO_ECORRUPT,
        "a probe's bytes are damaged: operation %" PRIu32 " %s", op, what);
}

static int check_head(const struct probe_head *head, size_t n_bytes, struct baro_err *err)
{
    static const uint32_t none[sizeof head->reserved / sizeof head->reserved[0]] = {0};
    if (n_bytes < sizeof *head ||
        memcmp(head->magic, PROBE_MAGIC, sizeof head->magic) != 0) {
        return damaged(err, "they do not begin as a probe does");
    }
    if (head->version != PROBE_VERSION) {
        return baro_err_set(err, BARO_EVERSION,
            "a probe of version %" PRIu32 "; this program reads version %d", head->version,
            PROBE_VERSION);
    }
    if (head->bytes != n_bytes) {
        return damaged(err, "their number is not the one that they tell");
    }
    if (n_bytes > PROBE_MAX_BYTES || head->n_values > PROBE_MAX_VALUES ||
        head->n_ops > PROBE_MAX_OPS || head->n_rows > PROBE_MAX_ROWS) {
        return baro_err_set(err, BARO_ELIMIT,
            "a probe of %zu bytes with %" PRIu32 " values, %" PRIu32
            " operations and %" PRIu32 " samples is larger than any may be",
            n_bytes, head->n_values, head->n_ops, head->n_rows);
    }
    if (head->head_bytes != sizeof *head || (head->flags & ~(uint32_t)PROBE_FLAGS) != 0 ||
        memcmp(head->reserved, none, sizeof none) != 0) {
        return damaged(err, "the header has what this version does not know");
    }
    if (head->step < 0 || head->n_batch < 0 || head->reason < PROBE_REGULAR ||
        head->reason >= PROBE_REASON_END) {
        return damaged(err, "step, batch or reason cannot be");
    }
    return 0;
}

static int find_sections(const uint8_t *bytes, size_t n_bytes, struct sections *out)
{
    const struct probe_head *head = (const struct probe_head *)(const void *)bytes;
    if (head->text_bytes > n_bytes || head->data_bytes > n_bytes || head->text_bytes == 0 ||
        head->data_bytes % PROBE_ALIGN != 0) {
        return -1;
    }
    const uint64_t numbers = sizeof *head;
    const uint64_t values = numbers + 8 * (uint64_t)head->n_numbers;
    const uint64_t ops =
        values + sizeof(struct probe_value_record) * (uint64_t)head->n_values;
    const uint64_t operands = ops + sizeof(struct probe_op_record) * (uint64_t)head->n_ops;
    const uint64_t text = probe_align(operands + 4 * (uint64_t)head->n_operands);
    const uint64_t data = probe_align(text + head->text_bytes);
    if (data + head->data_bytes != n_bytes) {
        return -1;
    }
    *out = (struct sections){
        .head = head,
        .numbers = (const int64_t *)(const void *)(bytes + numbers),
        .values = (const struct probe_value_record *)(const void *)(bytes + values),
        .ops = (const struct probe_op_record *)(const void *)(bytes + ops),
        .operands = (const int32_t *)(const void *)(bytes + operands),
        .text = (const char *)bytes + text,
        .data = bytes + data,
    };
    return 0;
}

static int check_text(const struct sections *from, struct baro_err *err)
{
    const char *at = from->text;
    const char *end = at + from->head->text_bytes;
    if (*at != '\0') {
        return damaged(err, "the first text is not empty");
    }
    while (at < end) {
        const char *zero = memchr(at, 0, (size_t)(end - at));
        if (zero == NULL || zero - at > PROBE_MAX_TEXT_BYTES ||
            !baro_utf8_valid(at, (size_t)(zero - at))) {
            return damaged(err, "a text has no end, is too long or no UTF-8");
        }
        at = zero + 1;
    }
    return 0;
}

/* The text at a place; NULL when none begins there. */
static const char *text_at(const struct sections *from, uint32_t place)
{
    if (place >= from->head->text_bytes || (place > 0 && from->text[place - 1] != '\0')) {
        return NULL;
    }
    return from->text + place;
}

static int check_rows(const struct sections *from, struct baro_err *err)
{
    const struct probe_head *head = from->head;
    if (head->n_rows > head->n_numbers ||
        (head->n_batch > 0 && head->n_rows > head->n_batch)) {
        return damaged(err, "it keeps more samples than the batch has");
    }
    for (uint32_t i = 0; i < head->n_rows; i++) {
        const int64_t row = from->numbers[i];
        if (row < 0 || (head->n_batch > 0 && row >= head->n_batch)) {
            return damaged(err, "it keeps a sample that is not in the batch");
        }
    }
    return 0;
}

int64_t probe_kept_dims(const struct probe_value *value, int64_t n_batch, int64_t n_rows,
    int64_t out_shape[BARO_MAX_DIMS])
{
    int64_t n = value->kept == PROBE_KEPT_NONE ? 0 : 1;
    int64_t bound = 1; /* without empty axes: whatever is multiplied later fits, too */
    for (int d = 0; d < value->n_dims; d++) {
        int64_t extent = value->shape[d];
        if (d == value->batch_axis && value->kept == PROBE_KEPT_ROWS) {
            if (n_batch <= 0 || __builtin_mul_overflow(extent / n_batch, n_rows, &extent)) {
                return -1;
            }
        }
        out_shape[d] = extent;
        n *= extent;
        if (extent > 0 &&
            (__builtin_mul_overflow(bound, extent, &bound) || bound > (INT64_C(1) << 62))) {
            return -1;
        }
    }
    return n;
}

/* Count the elements of a shape; -1 when they do not fit 2^62 or an extent is negative. */
static int64_t count_elements(int n_dims, const int64_t *shape)
{
    int64_t bound = 1;
    bool is_empty = false;
    for (int d = 0; d < n_dims; d++) {
        is_empty = is_empty || shape[d] == 0;
        if (shape[d] < 0 ||
            (shape[d] > 0 && (__builtin_mul_overflow(bound, shape[d], &bound) ||
                                 bound > (INT64_C(1) << 62)))) {
            return -1;
        }
    }
    return is_empty ? 0 : bound;
}

/* What is wrong with a value's record by itself; NULL: nothing. */
static const char *judge_record(
    const struct sections *from, const struct probe_value_record *record)
{
    const struct probe_head *head = from->head;
    if (record->kind >= PROBE_VALUE_KIND_END || record->kept >= PROBE_KEPT_END ||
        baro_dtype_bytes((enum baro_dtype)record->dtype) == 0 || record->reserved != 0 ||
        (record->flags & ~PROBE_IS_MEASURED) != 0) {
        return "has a kind or type that is not known";
    }
    if (record->n_dims > BARO_MAX_DIMS || record->shape > head->n_numbers ||
        record->n_dims > head->n_numbers - record->shape) {
        return "has no shape";
    }
    if (record->batch_axis < PROBE_NONE || record->batch_axis >= (int)record->n_dims ||
        record->unit_axis < PROBE_NONE || record->unit_axis >= (int)record->n_dims) {
        return "has an axis that it does not have";
    }
    const int64_t *shape = from->numbers + record->shape;
    if (record->batch_axis >= 0 && head->n_batch > 0 &&
        shape[record->batch_axis] % head->n_batch != 0) {
        return "has another number of samples than the batch";
    }
    if (record->kept == PROBE_KEPT_ROWS && (record->batch_axis < 0 || head->n_batch == 0)) {
        return "keeps samples but has none";
    }
    if (record->op < PROBE_NONE || record->op >= (int64_t)head->n_ops) {
        return "comes from an operation that is not there";
    }
    const bool is_inner = record->kind == PROBE_RESULT || record->kind == PROBE_CONSTANT ||
                          record->kind == PROBE_NOISE;
    if (record->op == PROBE_NONE ? record->kind == PROBE_RESULT : !is_inner) {
        return "comes from elsewhere than its kind does";
    }
    return text_at(from, record->name) == NULL ? "has no name" : NULL;
}

/* Find the elements that were kept; what is wrong with them, or NULL. */
static const char *take_data(const struct sections *from,
    const struct probe_value_record *record, struct probe_value *value)
{
    const struct probe_head *head = from->head;
    int64_t shape[BARO_MAX_DIMS];
    const int64_t n = probe_kept_dims(value, head->n_batch, head->n_rows, shape);
    if (value->kept == PROBE_KEPT_NONE) {
        return record->data != 0 ? "keeps nothing, but somewhere" : NULL;
    }
    const uint64_t item = baro_dtype_bytes(value->dtype);
    if (n < 0 || (uint64_t)n > head->data_bytes / item || record->data % PROBE_ALIGN != 0 ||
        record->data > head->data_bytes ||
        (uint64_t)n * item > head->data_bytes - record->data) {
        return "keeps elements that are not there";
    }
    value->data = from->data + record->data;
    value->bytes = (size_t)((uint64_t)n * item);
    return NULL;
}

static int take_value(const struct sections *from, uint32_t number,
    struct probe_value *value, struct baro_err *err)
{
    const struct probe_value_record *record = &from->values[number];
    const char *wrong = judge_record(from, record);
    if (wrong != NULL) {
        return damaged_value(err, number, wrong);
    }
    const int64_t n = count_elements(record->n_dims, from->numbers + record->shape);
    const bool is_measured = (record->flags & PROBE_IS_MEASURED) != 0;
    if (n < 0) {
        return damaged_value(err, number, "has more elements than there can be");
    }
    if (is_measured
            ? record->n_nan > (uint64_t)n || record->n_inf > (uint64_t)n - record->n_nan
            : record->n_nan != 0 || record->n_inf != 0) {
        return damaged_value(err, number, "has more bad elements than elements");
    }
    *value = (struct probe_value){
        .name = text_at(from, record->name),
        .kind = (enum probe_value_kind)record->kind,
        .dtype = (enum baro_dtype)record->dtype,
        .n_dims = record->n_dims,
        .batch_axis = record->batch_axis,
        .unit_axis = record->unit_axis,
        .op = record->op,
        .count = is_measured ? (uint64_t)n : 0,
        .n_nan = record->n_nan,
        .n_inf = record->n_inf,
        .min = record->min,
        .max = record->max,
        .mean = record->mean,
        .l2 = record->l2,
        .kept = (enum probe_kept)record->kept,
    };
    memcpy(value->shape, from->numbers + record->shape,
        (size_t)record->n_dims * sizeof value->shape[0]);
    wrong = take_data(from, record, value);
    return wrong != NULL ? damaged_value(err, number, wrong) : 0;
}

/* Check what an operation takes and gives; given counts the values that have been listed. */
static const char *judge_operands(const struct sections *from, uint32_t number,
    const struct probe_op *op, const uint8_t *is_given)
{
    const int64_t n_values = from->head->n_values;
    for (uint32_t i = 0; i < op->n_inputs; i++) {
        const int32_t input = op->inputs[i];
        if (input < PROBE_NONE || input >= n_values) {
            return "takes a value that is not there";
        }
        if (input != PROBE_NONE && from->values[input].op >= (int64_t)number) {
            return "takes a value that comes later";
        }
    }
    for (uint32_t i = 0; i < op->n_outputs; i++) {
        const int32_t output = op->outputs[i];
        if (output < PROBE_NONE || output >= n_values) {
            return "gives a value that is not there";
        }
        if (output != PROBE_NONE &&
            (from->values[output].op != (int64_t)number || is_given[output] != 0)) {
            return "gives a value that comes from elsewhere";
        }
    }
    return NULL;
}

static int take_op(const struct sections *from, uint32_t number, uint32_t operands,
    struct probe_op *op, uint8_t *is_given, struct baro_err *err)
{
    const struct probe_op_record *record = &from->ops[number];
    *op = (struct probe_op){
        .name = text_at(from, record->name),
        .module = text_at(from, record->module),
        .source = text_at(from, record->source),
        .attrs = text_at(from, record->attrs),
        .phase = (enum probe_phase)record->phase,
        .n_inputs = record->n_inputs,
        .n_outputs = record->n_outputs,
        .inputs = from->operands + operands,
        .outputs = from->operands + operands + record->n_inputs,
    };
    if (op->name == NULL || op->module == NULL || op->source == NULL || op->attrs == NULL) {
        return damaged_op(err, number, "has a text that is not there");
    }
    if (record->phase >= PROBE_PHASE_END || record->reserved != 0 ||
        record->n_inputs > PROBE_MAX_OPERANDS || record->n_outputs > PROBE_MAX_OPERANDS) {
        return damaged_op(
            err, number, "has a phase or a number of operands that cannot be");
    }
    if (record->operands != operands ||
        op->n_inputs + op->n_outputs > from->head->n_operands - operands) {
        return damaged_op(err, number, "has operands that are not its own");
    }
    const char *wrong = judge_operands(from, number, op, is_given);
    if (wrong != NULL) {
        return damaged_op(err, number, wrong);
    }
    for (uint32_t i = 0; i < op->n_outputs; i++) {
        if (op->outputs[i] != PROBE_NONE) {
            if (is_given[op->outputs[i]] != 0) {
                return damaged_op(err, number, "gives a value twice");
            }
            is_given[op->outputs[i]] = 1;
        }
    }
    return 0;
}

static int take_ops(const struct sections *from, struct probe_op *ops, struct baro_err *err)
{
    const struct probe_head *head = from->head;
    uint8_t *is_given = calloc((size_t)head->n_values + 1, 1);
    uint32_t operands = 0;
    int rc = 0;
    if (is_given == NULL) {
        return baro_err_set(err, BARO_ENOMEM, "out of memory for a probe");
    }
    for (uint32_t i = 0; i < head->n_ops && rc == 0; i++) {
        rc = take_op(from, i, operands, &ops[i], is_given, err);
        operands += ops[i].n_inputs + ops[i].n_outputs;
    }
    if (rc == 0 && operands != head->n_operands) {
        rc = damaged(err, "operands belong to no operation");
    }
    for (uint32_t v = 0; v < head->n_values && rc == 0; v++) {
        if (from->values[v].op != PROBE_NONE && is_given[v] == 0) {
            rc = damaged_value(err, v, "is not among what its operation gives");
        }
    }
    free(is_given);
    return rc;
}

/* Whether a value has such units; of one without a unit axis nothing is known. */
static bool has_units(const struct probe_value *value, const int64_t *units, uint32_t n)
{
    const int64_t end = value->unit_axis >= 0 ? value->shape[value->unit_axis] : INT64_MAX;
    for (uint32_t i = 0; i < n; i++) {
        if (units[i] < 0 || units[i] >= end) {
            return false;
        }
    }
    return true;
}

static int take_origin(
    const struct sections *from, struct probe *probe, struct baro_err *err)
{
    const struct probe_head *head = from->head;
    const uint64_t n_lists = (uint64_t)head->origin_n_units + head->origin_n_rows;
    if ((head->flags & PROBE_HAS_ORIGIN) == 0) {
        return n_lists != 0 || (head->flags & ~(uint32_t)PROBE_IS_CUT) != 0
                   ? damaged(err, "it has no origin, but what belongs to one")
                   : 0;
    }
    if (n_lists > head->n_numbers - head->n_rows || head->origin_n_rows > PROBE_MAX_ROWS ||
        head->origin_n_units > PROBE_MAX_ROWS) {
        return damaged(err, "its origin has more units or samples than there are");
    }
    struct probe_origin *origin = &probe->origin;
    const int64_t *lists = from->numbers + (head->n_numbers - n_lists);
    *origin = (struct probe_origin){
        .op = head->origin_op,
        .value = head->origin_value,
        .is_gradient = (head->flags & PROBE_IS_GRADIENT) != 0,
        .is_replayed = (head->flags & PROBE_IS_REPLAYED) != 0,
        .is_exact = (head->flags & PROBE_IS_EXACT) != 0,
        .n_units = head->origin_n_units,
        .n_rows = head->origin_n_rows,
        .units = lists,
        .rows = lists + head->origin_n_units,
        .cause = text_at(from, head->origin_cause),
    };
    if (origin->cause == NULL || origin->op < PROBE_NONE ||
        origin->op >= (int64_t)head->n_ops || origin->value < PROBE_NONE ||
        origin->value >= (int64_t)head->n_values ||
        (origin->op == PROBE_NONE && origin->value == PROBE_NONE)) {
        return damaged(err, "its origin is not there");
    }
    const struct probe_value all = {.unit_axis = PROBE_NONE};
    const struct probe_value *value =
        origin->value >= 0 ? &probe->values[origin->value] : &all;
    const struct probe_value batch = {
        .unit_axis = head->n_batch > 0 ? 0 : PROBE_NONE, .shape = {head->n_batch}};
    if (!has_units(value, origin->units, origin->n_units) ||
        !has_units(&batch, origin->rows, origin->n_rows)) {
        return damaged(err, "its origin names a unit or a sample that is not there");
    }
    probe->has_origin = true;
    return 0;
}

static int take_all(
    const struct sections *from, struct parsed *parsed, struct baro_err *err)
{
    const struct probe_head *head = from->head;
    struct probe *probe = &parsed->probe;
    *probe = (struct probe){
        .step = head->step,
        .reason = (enum probe_reason)head->reason,
        .n_batch = head->n_batch,
        .n_rows = head->n_rows,
        .rows = from->numbers,
        .loss = head->loss,
        .is_cut = (head->flags & PROBE_IS_CUT) != 0,
        .n_values = head->n_values,
        .n_ops = head->n_ops,
        .values = parsed->values,
        .ops = parsed->ops,
    };
    if (head->loss < PROBE_NONE || head->loss >= (int64_t)head->n_values) {
        return damaged(err, "its loss is a value that is not there");
    }
    int rc = check_text(from, err);
    if (rc != 0 || (rc = check_rows(from, err)) != 0) {
        return rc;
    }
    for (uint32_t i = 0; i < head->n_values; i++) {
        if ((rc = take_value(from, i, &parsed->values[i], err)) != 0) {
            return rc;
        }
    }
    rc = take_ops(from, parsed->ops, err);
    return rc != 0 ? rc : take_origin(from, probe, err);
}

int probe_parse(
    struct probe **out_probe, const void *data, size_t n_bytes, struct baro_err *err)
{
    struct sections from;
    int rc = check_head(data, n_bytes, err);
    if (rc != 0) {
        return rc;
    }
    if (find_sections(data, n_bytes, &from) != 0) {
        return damaged(err, "their number does not fit what the header counts");
    }
    const size_t n_values = from.head->n_values;
    const size_t n_ops = from.head->n_ops;
    struct parsed *parsed = calloc(1, sizeof *parsed);
    if (parsed != NULL) {
        parsed->values = calloc(n_values + 1, sizeof *parsed->values);
        parsed->ops = calloc(n_ops + 1, sizeof *parsed->ops);
    }
    if (parsed == NULL || parsed->values == NULL || parsed->ops == NULL) {
        rc = baro_err_set(err, BARO_ENOMEM, "out of memory for a probe");
    } else {
        rc = take_all(&from, parsed, err);
    }
    if (rc != 0) {
        probe_free(parsed != NULL ? &parsed->probe : NULL);
        return rc;
    }
    *out_probe = &parsed->probe;
    return 0;
}

void probe_free(struct probe *probe)
{
    if (probe != NULL) {
        struct parsed *parsed = (struct parsed *)probe; /* its first field */
        free(parsed->values);
        free(parsed->ops);
        free(parsed);
    }
}

int64_t probe_kept_shape(const struct probe *probe, const struct probe_value *value,
    int64_t out_shape[BARO_MAX_DIMS])
{
    return probe_kept_dims(value, probe->n_batch, probe->n_rows, out_shape);
}

const char *probe_value_kind_name(enum probe_value_kind kind)
{
    static const char *const names[PROBE_VALUE_KIND_END] = {
        "result", "input", "parameter", "buffer", "constant", "noise"};
    return (int)kind >= 0 && kind < PROBE_VALUE_KIND_END ? names[kind] : "?";
}
