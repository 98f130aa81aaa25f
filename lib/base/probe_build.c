/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/probe_build.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/probe_layout.h"
#include "lib/base/probe_rows.h"
#include "lib/base/probe_section.h"
#include "lib/base/text.h"

/*
 * Each section grows by itself and is laid behind the one before only when the bytes are asked
 * for, so nothing is moved. Texts and shapes repeat a lot ("addmm", (64, 256)): each different one
 * is kept once, found by a hash.
 *
 * Limits: the sum of all sections never passes max_bytes. Elements may take three quarters of it,
 * so that they do not crowd out the operations that come later: a graph without values still
 * tells where something happened, values without the rest of the graph do not.
 */

enum { DATA_SHARE_DIVISOR = 4 };

struct probe_build {
    struct probe_head head;
    size_t max_bytes;
    size_t max_data_bytes;
    struct probe_section numbers;
    struct probe_section values;
    struct probe_section ops;
    struct probe_section operands;
    struct probe_section text;
    struct probe_section data;
    struct probe_section lists; /* the origin's units and rows */
    struct probe_seen texts;
    struct probe_seen shapes;
    bool is_finished;
    size_t n_bytes; /* once finished */
};

/* Texts are cleaned and cut before they are kept. */
struct clean {
    char bytes[PROBE_MAX_TEXT_BYTES + 1];
    size_t n;
};

/* ---- sections ---- */

static size_t total_bytes(const struct probe_build *build)
{
    return sizeof build->head + build->numbers.n + build->lists.n + build->values.n +
           build->ops.n + probe_align(build->operands.n) + probe_align(build->text.n) +
           build->data.n;
}

/* Make room for more; the limit has been looked at before. */
static int reserve(
    const struct probe_build *build, struct probe_section *section, size_t more)
{
    return probe_section_reserve(section, more, build->max_bytes);
}

/* Look whether so much more fits the limit; if not the probe is cut. */
static bool has_room(struct probe_build *build, size_t more)
{
    /* What fills up texts and operands may be 8 bytes more than is counted. */
    if (more + 16 > build->max_bytes || total_bytes(build) > build->max_bytes - more - 16) {
        build->head.flags |= PROBE_IS_CUT;
        return false;
    }
    return true;
}

/* Make text what a probe may hold: UTF-8 of a bounded length. */
static void clean_text(const char *text, struct clean *out)
{
    const size_t n = text != NULL ? strlen(text) : 0;
    if (baro_utf8_valid(text != NULL ? text : "", n)) {
        out->n = baro_utf8_prefix(text != NULL ? text : "", n, PROBE_MAX_TEXT_BYTES);
        memcpy(out->bytes, text != NULL ? text : "", out->n);
        out->bytes[out->n] = '\0';
        return;
    }
    baro_text_safe(out->bytes, sizeof out->bytes, text);
    out->n = strlen(out->bytes);
}

static size_t text_bytes(const char *text)
{
    const size_t n = text != NULL ? strlen(text) : 0;
    return (n < PROBE_MAX_TEXT_BYTES ? n : PROBE_MAX_TEXT_BYTES) + 1;
}

static int intern_text(struct probe_build *build, const char *text, uint32_t *out_place)
{
    struct clean clean;
    size_t place = 0;
    clean_text(text, &clean);
    const int rc = probe_section_once(
        &build->text, &build->texts, clean.bytes, clean.n + 1, build->max_bytes, &place);
    *out_place = (uint32_t)place;
    return rc;
}

/* ---- building ---- */

int probe_build_create(
    struct probe_build **out_build, const struct probe_build_options *options)
{
    if (options->step < 0 || options->n_batch < 0 || options->reason < PROBE_REGULAR ||
        options->reason >= PROBE_REASON_END || options->n_rows > PROBE_MAX_ROWS ||
        (options->n_batch > 0 && options->n_rows > options->n_batch) ||
        (options->n_rows > 0 && options->rows == NULL)) {
        return BARO_EINVAL;
    }
    for (uint32_t i = 0; i < options->n_rows; i++) {
        if (options->rows[i] < 0 ||
            (options->n_batch > 0 && options->rows[i] >= options->n_batch)) {
            return BARO_EINVAL;
        }
    }
    struct probe_build *build = calloc(1, sizeof *build);
    if (build == NULL) {
        return BARO_ENOMEM;
    }
    build->max_bytes =
        options->max_bytes < PROBE_MAX_BYTES ? options->max_bytes : PROBE_MAX_BYTES;
    build->max_data_bytes = build->max_bytes - build->max_bytes / DATA_SHARE_DIVISOR;
    build->head = (struct probe_head){
        .version = PROBE_VERSION,
        .head_bytes = sizeof build->head,
        .step = options->step,
        .n_batch = options->n_batch,
        .reason = (uint32_t)options->reason,
        .loss = PROBE_NONE,
        .n_rows = options->n_rows,
        .origin_op = PROBE_NONE,
        .origin_value = PROBE_NONE,
    };
    memcpy(build->head.magic, PROBE_MAGIC, sizeof build->head.magic);
    const size_t n_rows_bytes = options->n_rows * sizeof *options->rows;
    uint32_t empty = 0;
    int rc = has_room(build, n_rows_bytes) ? 0 : BARO_ELIMIT;
    if (rc == 0 && (rc = reserve(build, &build->numbers, n_rows_bytes)) == 0 &&
        (rc = intern_text(build, "", &empty)) == 0) {
        probe_section_append(&build->numbers, options->rows, n_rows_bytes);
        *out_build = build;
        return 0;
    }
    probe_build_destroy(build);
    return rc;
}

void probe_build_destroy(struct probe_build *build)
{
    if (build != NULL) {
        free(build->numbers.bytes);
        free(build->values.bytes);
        free(build->ops.bytes);
        free(build->operands.bytes);
        free(build->text.bytes);
        free(build->data.bytes);
        free(build->lists.bytes);
        free(build->texts.slots);
        free(build->shapes.slots);
        free(build);
    }
}

static bool is_valid_value(const struct probe_build *build, const struct probe_value *value)
{
    if ((int)value->kind < 0 || value->kind >= PROBE_VALUE_KIND_END ||
        baro_dtype_bytes(value->dtype) == 0 || (int)value->kept < 0 ||
        value->kept >= PROBE_KEPT_END || value->n_dims < 0 ||
        value->n_dims > BARO_MAX_DIMS || value->batch_axis < PROBE_NONE ||
        value->batch_axis >= value->n_dims || value->unit_axis < PROBE_NONE ||
        value->unit_axis >= value->n_dims) {
        return false;
    }
    uint64_t n = 1;
    for (int d = 0; d < value->n_dims; d++) {
        const int64_t extent = value->shape[d];
        if (extent < 0 ||
            __builtin_mul_overflow(n, (uint64_t)(extent > 0 ? extent : 1), &n) ||
            n > UINT64_C(1) << 62) {
            return false;
        }
    }
    return value->batch_axis < 0 || build->head.n_batch == 0 ||
           value->shape[value->batch_axis] % build->head.n_batch == 0;
}

/* Copy what is to be kept of a value's elements; what was kept in the end. */
static enum probe_kept keep(struct probe_build *build, const struct probe_value *value,
    const struct baro_span *span, uint64_t *out_place)
{
    const struct probe_head *head = &build->head;
    struct probe_value wanted = *value;
    int64_t shape[BARO_MAX_DIMS];
    if (wanted.kept == PROBE_KEPT_ROWS && wanted.batch_axis < 0) {
        wanted.kept = PROBE_KEPT_ALL; /* it is of no sample: its elements go with each */
    }
    if (wanted.kept == PROBE_KEPT_NONE || span == NULL ||
        (wanted.kept == PROBE_KEPT_ROWS && (head->n_batch == 0 || head->n_rows == 0))) {
        return PROBE_KEPT_NONE;
    }
    const int64_t n = probe_kept_dims(&wanted, head->n_batch, head->n_rows, shape);
    const size_t item = baro_dtype_bytes(wanted.dtype);
    if (n < 0 || (uint64_t)n > build->max_data_bytes / item ||
        build->data.n + probe_align((uint64_t)n * item) > build->max_data_bytes ||
        !has_room(build, probe_align((uint64_t)n * item)) ||
        reserve(build, &build->data, probe_align((uint64_t)n * item)) != 0) {
        build->head.flags |= PROBE_IS_CUT;
        return PROBE_KEPT_NONE;
    }
    *out_place = build->data.n;
    if (n == 0) {
        return wanted.kept;
    }
    uint8_t *out = build->data.bytes + build->data.n;
    const size_t n_bytes = (size_t)n * item;
    if (wanted.kept == PROBE_KEPT_ALL) {
        probe_copy_all(span, out);
    } else {
        const int64_t *rows = (const int64_t *)(const void *)build->numbers.bytes;
        probe_copy_rows(span, wanted.batch_axis, head->n_batch, rows, head->n_rows, out);
    }
    memset(out + n_bytes, 0, probe_align(n_bytes) - n_bytes);
    build->data.n += probe_align(n_bytes);
    return wanted.kept;
}

int64_t probe_build_value(struct probe_build *build, const struct probe_value *value,
    const struct baro_span *span)
{
    const size_t n_shape = (size_t)value->n_dims * sizeof value->shape[0];
    size_t shape = 0;
    struct probe_value_record record = {
        .op = PROBE_NONE,
        .kind = (uint8_t)value->kind,
        .dtype = (uint8_t)value->dtype,
        .n_dims = (uint8_t)value->n_dims,
        .batch_axis = (int8_t)value->batch_axis,
        .unit_axis = (int8_t)value->unit_axis,
        .flags = value->count > 0 ? PROBE_IS_MEASURED : 0,
        .n_nan = value->n_nan,
        .n_inf = value->n_inf,
        .min = value->min,
        .max = value->max,
        .mean = value->mean,
        .l2 = value->l2,
    };
    if (build->is_finished || !is_valid_value(build, value)) {
        return BARO_EINVAL;
    }
    if (build->head.n_values == PROBE_MAX_VALUES ||
        !has_room(build, sizeof record + n_shape + text_bytes(value->name))) {
        build->head.flags |= PROBE_IS_CUT;
        return BARO_ELIMIT;
    }
    if (intern_text(build, value->name, &record.name) != 0 ||
        (n_shape > 0 && probe_section_once(&build->numbers, &build->shapes, value->shape,
                            n_shape, build->max_bytes, &shape) != 0) ||
        reserve(build, &build->values, sizeof record) != 0) {
        return BARO_ENOMEM;
    }
    record.shape = (uint32_t)(shape / sizeof value->shape[0]);
    /* Its record first, so that elements never take its room. */
    probe_section_append(&build->values, &record, sizeof record);
    struct probe_value_record *kept =
        (struct probe_value_record *)(void *)build->values.bytes + build->head.n_values;
    kept->kept = (uint8_t)keep(build, value, span, &kept->data);
    return build->head.n_values++;
}

static struct probe_value_record *value_at(const struct probe_build *build, int32_t value)
{
    return value >= 0 && (uint32_t)value < build->head.n_values
               ? (struct probe_value_record *)(void *)build->values.bytes + value
               : NULL;
}

/* Whether operands are there; outputs must be nobody's yet. `reserved` marks what was taken. */
static bool are_valid_operands(const struct probe_build *build, const struct probe_op *op)
{
    for (uint32_t i = 0; i < op->n_inputs; i++) {
        if (op->inputs[i] != PROBE_NONE && value_at(build, op->inputs[i]) == NULL) {
            return false;
        }
    }
    for (uint32_t i = 0; i < op->n_outputs; i++) {
        const struct probe_value_record *output = value_at(build, op->outputs[i]);
        if (op->outputs[i] != PROBE_NONE &&
            (output == NULL || output->op != PROBE_NONE || output->reserved != 0)) {
            return false;
        }
        for (uint32_t k = 0; k < op->n_inputs && output != NULL; k++) {
            if (op->inputs[k] == op->outputs[i]) {
                return false;
            }
        }
        for (uint32_t k = 0; k < i && output != NULL; k++) {
            if (op->outputs[k] == op->outputs[i]) {
                return false;
            }
        }
    }
    return true;
}

static void link_operands(struct probe_build *build, const struct probe_op *op)
{
    for (uint32_t i = 0; i < op->n_inputs; i++) {
        if (op->inputs[i] != PROBE_NONE) {
            value_at(build, op->inputs[i])->reserved = 1;
        }
    }
    for (uint32_t i = 0; i < op->n_outputs; i++) {
        struct probe_value_record *output = value_at(build, op->outputs[i]);
        if (output != NULL) {
            output->op = (int32_t)build->head.n_ops;
            if (output->kind != PROBE_CONSTANT && output->kind != PROBE_NOISE) {
                output->kind = PROBE_RESULT;
            }
        }
    }
}

int64_t probe_build_op(struct probe_build *build, const struct probe_op *op)
{
    const size_t n_operands = (size_t)op->n_inputs + op->n_outputs;
    if (build->is_finished || (int)op->phase < 0 || op->phase >= PROBE_PHASE_END ||
        op->n_inputs > PROBE_MAX_OPERANDS || op->n_outputs > PROBE_MAX_OPERANDS ||
        (op->n_inputs > 0 && op->inputs == NULL) ||
        (op->n_outputs > 0 && op->outputs == NULL) || !are_valid_operands(build, op)) {
        return BARO_EINVAL;
    }
    struct probe_op_record record = {
        .operands = build->head.n_operands,
        .n_inputs = (uint16_t)op->n_inputs,
        .n_outputs = (uint16_t)op->n_outputs,
        .phase = (uint32_t)op->phase,
    };
    if (build->head.n_ops == PROBE_MAX_OPS ||
        !has_room(build, sizeof record + n_operands * 4 + text_bytes(op->name) +
                             text_bytes(op->module) + text_bytes(op->source) +
                             text_bytes(op->attrs))) {
        build->head.flags |= PROBE_IS_CUT;
        return BARO_ELIMIT;
    }
    if (intern_text(build, op->name, &record.name) != 0 ||
        intern_text(build, op->module, &record.module) != 0 ||
        intern_text(build, op->source, &record.source) != 0 ||
        intern_text(build, op->attrs, &record.attrs) != 0 ||
        reserve(build, &build->ops, sizeof record) != 0 ||
        reserve(build, &build->operands, n_operands * 4) != 0) {
        return BARO_ENOMEM;
    }
    probe_section_append(&build->ops, &record, sizeof record);
    probe_section_append(&build->operands, op->inputs, op->n_inputs * sizeof *op->inputs);
    probe_section_append(
        &build->operands, op->outputs, op->n_outputs * sizeof *op->outputs);
    build->head.n_operands += (uint32_t)n_operands;
    link_operands(build, op);
    return build->head.n_ops++;
}

int probe_build_loss(struct probe_build *build, int32_t value)
{
    if (build->is_finished || (value != PROBE_NONE && value_at(build, value) == NULL)) {
        return BARO_EINVAL;
    }
    build->head.loss = value;
    return 0;
}

static bool are_within(const int64_t *numbers, uint32_t n, int64_t end)
{
    for (uint32_t i = 0; i < n; i++) {
        if (numbers[i] < 0 || numbers[i] >= end) {
            return false;
        }
    }
    return n == 0 || numbers != NULL;
}

/* Whether what an origin names is there. */
static bool is_valid_origin(
    const struct probe_build *build, const struct probe_origin *origin)
{
    const struct probe_value_record *value = value_at(build, origin->value);
    int64_t n_units = INT64_MAX;
    if (value != NULL && value->unit_axis >= 0) {
        const int64_t *numbers = (const int64_t *)(const void *)build->numbers.bytes;
        n_units = numbers[value->shape + (uint32_t)value->unit_axis];
    }
    return (origin->value == PROBE_NONE || value != NULL) && origin->op >= PROBE_NONE &&
           origin->op < (int64_t)build->head.n_ops &&
           (origin->op != PROBE_NONE || value != NULL) &&
           are_within(origin->units, origin->n_units, n_units) &&
           are_within(origin->rows, origin->n_rows,
               build->head.n_batch > 0 ? build->head.n_batch : INT64_MAX);
}

void probe_build_cut(struct probe_build *build)
{
    build->head.flags |= PROBE_IS_CUT;
}

int probe_build_origin(struct probe_build *build, const struct probe_origin *origin)
{
    struct probe_origin cut = *origin;
    cut.n_units = cut.n_units < PROBE_MAX_ROWS ? cut.n_units : PROBE_MAX_ROWS;
    cut.n_rows = cut.n_rows < PROBE_MAX_ROWS ? cut.n_rows : PROBE_MAX_ROWS;
    if (build->is_finished || !is_valid_origin(build, &cut)) {
        return BARO_EINVAL;
    }
    struct probe_head *head = &build->head;
    build->lists.n = 0; /* of an origin that was told before */
    const size_t n_bytes = ((size_t)cut.n_units + cut.n_rows) * sizeof *cut.units;
    if (!has_room(build, n_bytes + text_bytes(cut.cause))) {
        head->origin_n_units = 0;
        head->origin_n_rows = 0;
        return BARO_ELIMIT;
    }
    if (reserve(build, &build->lists, n_bytes) != 0 ||
        intern_text(build, cut.cause, &head->origin_cause) != 0) {
        return BARO_ENOMEM;
    }
    probe_section_append(&build->lists, cut.units, cut.n_units * sizeof *cut.units);
    probe_section_append(&build->lists, cut.rows, cut.n_rows * sizeof *cut.rows);
    head->origin_op = cut.op;
    head->origin_value = cut.value;
    head->origin_n_units = cut.n_units;
    head->origin_n_rows = cut.n_rows;
    head->flags &= (uint32_t)PROBE_IS_CUT;
    head->flags |= (uint32_t)PROBE_HAS_ORIGIN | (cut.is_gradient ? PROBE_IS_GRADIENT : 0U) |
                   (cut.is_replayed ? PROBE_IS_REPLAYED : 0U) |
                   (cut.is_exact ? PROBE_IS_EXACT : 0U);
    return 0;
}

/* ---- the bytes ---- */

size_t probe_build_finish(struct probe_build *build)
{
    struct probe_head *head = &build->head;
    for (uint32_t i = 0; i < head->n_values && !build->is_finished; i++) {
        struct probe_value_record *value = value_at(build, (int32_t)i);
        value->reserved = 0;
        if (value->kind == PROBE_RESULT && value->op == PROBE_NONE) {
            value->kind = PROBE_INPUT;
        }
    }
    build->is_finished = true;
    head->n_numbers = (uint32_t)((build->numbers.n + build->lists.n) / sizeof(int64_t));
    head->text_bytes = build->text.n;
    head->data_bytes = build->data.n;
    head->bytes = total_bytes(build);
    return (size_t)head->bytes;
}

int probe_build_range(const struct probe_build *build, size_t from, size_t n_bytes,
    struct ringfile_part *out_parts)
{
    static const uint8_t zeros[PROBE_ALIGN] = {0};
    const size_t after_operands = probe_align(build->operands.n) - build->operands.n;
    const size_t after_text = probe_align(build->text.n) - build->text.n;
    const struct ringfile_part all[] = {
        {&build->head, sizeof build->head},
        {build->numbers.bytes, build->numbers.n},
        {build->lists.bytes, build->lists.n},
        {build->values.bytes, build->values.n},
        {build->ops.bytes, build->ops.n},
        {build->operands.bytes, build->operands.n},
        {zeros, after_operands},
        {build->text.bytes, build->text.n},
        {zeros, after_text},
        {build->data.bytes, build->data.n},
    };
    _Static_assert(sizeof all / sizeof all[0] <= PROBE_BUILD_PARTS, "all sections fit");
    int n = 0;
    for (size_t i = 0; i < sizeof all / sizeof all[0] && n_bytes > 0; i++) {
        if (from >= all[i].bytes) {
            from -= all[i].bytes;
            continue;
        }
        const size_t left = all[i].bytes - from;
        const size_t take = left < n_bytes ? left : n_bytes;
        out_parts[n++] = (struct ringfile_part){(const uint8_t *)all[i].data + from, take};
        n_bytes -= take;
        from = 0;
    }
    return n;
}

void *probe_build_copy(const struct probe_build *build)
{
    struct ringfile_part parts[PROBE_BUILD_PARTS];
    const size_t n_bytes = (size_t)build->head.bytes;
    uint8_t *bytes = malloc(n_bytes > 0 ? n_bytes : 1);
    if (bytes == NULL) {
        return NULL;
    }
    const int n = probe_build_range(build, 0, n_bytes, parts);
    size_t at = 0;
    for (int i = 0; i < n; i++) {
        memcpy(bytes + at, parts[i].data, parts[i].bytes);
        at += parts[i].bytes;
    }
    return bytes;
}
