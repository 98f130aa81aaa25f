/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/testing.h"

#include "tests/unit/credit_rig.h"

#include <math.h>

void rig_begin(struct rig *rig, int64_t n_batch, uint32_t n_rows, const int64_t *rows)
{
    int64_t first[PROBE_MAX_ROWS];
    for (uint32_t i = 0; i < n_rows; i++) {
        first[i] = rows != NULL ? rows[i] : i;
    }
    const struct probe_build_options options = {.step = 1,
        .reason = PROBE_REGULAR,
        .n_batch = n_batch,
        .n_rows = n_rows,
        .rows = first,
        .max_bytes = 256 << 20};
    *rig = (struct rig){0};
    assert_int_equal(probe_build_create(&rig->build, &options), 0);
}

int32_t rig_value(struct rig *rig, struct rig_value value)
{
    struct probe_value made = {.name = value.name != NULL ? value.name : "",
        .kind = value.kind,
        .dtype = value.integers != NULL ? BARO_I64 : BARO_F32,
        .n_dims = value.n_dims,
        .batch_axis = value.batch_axis - 1,
        .unit_axis = value.unit_axis - 1,
        .op = PROBE_NONE,
        .kept = value.kept};
    struct baro_span span = {.dtype = made.dtype, .n_dims = value.n_dims};
    int64_t step = 1;
    for (int d = value.n_dims - 1; d >= 0; d--) {
        made.shape[d] = value.shape[d];
        span.shape[d] = value.shape[d];
        span.strides[d] = step;
        step *= value.shape[d];
    }
    span.data = value.integers != NULL ? (const void *)value.integers : value.x;
    const bool is_there = value.x != NULL || value.integers != NULL;
    const int64_t at = probe_build_value(rig->build, &made, is_there ? &span : NULL);
    assert_true(at >= 0);
    return (int32_t)at;
}

int32_t rig_op(struct rig *rig, struct rig_op op)
{
    const struct probe_op made = {.name = op.name,
        .module = op.module != NULL ? op.module : "",
        .source = "",
        .attrs = op.attrs != NULL ? op.attrs : "",
        .phase = PROBE_FORWARD,
        .n_inputs = (uint32_t)op.n_in,
        .n_outputs = (uint32_t)op.n_out,
        .inputs = op.in,
        .outputs = op.out};
    const int64_t at = probe_build_op(rig->build, &made);
    assert_true(at >= 0);
    return (int32_t)at;
}

const struct probe *rig_end(struct rig *rig, int32_t loss)
{
    if (loss != PROBE_NONE) {
        assert_int_equal(probe_build_loss(rig->build, loss), 0);
    }
    const size_t n = probe_build_finish(rig->build);
    rig->bytes = probe_build_copy(rig->build);
    assert_non_null(rig->bytes);
    struct baro_err err = {0};
    const int rc = probe_parse(&rig->probe, rig->bytes, n, &err);
    if (rc != 0) {
        print_message("%s\n", err.text);
    }
    assert_int_equal(rc, 0);
    return rig->probe;
}

void rig_free(struct rig *rig)
{
    probe_free(rig->probe);
    probe_build_destroy(rig->build);
    free(rig->bytes);
    *rig = (struct rig){0};
}

const struct credit_finding *rig_explain(struct credit **out_credit, enum credit_mode mode,
    const struct probe *now, const struct probe *before, struct credit_target target)
{
    struct baro_err err = {0};
    const int rc = credit_begin(out_credit, mode, now, before, &target, &err);
    if (rc != 0) {
        print_message("%s\n", err.text);
    }
    assert_int_equal(rc, 0);
    while (credit_work(*out_credit, 1)) {
        const struct credit_finding *partly = credit_look(*out_credit);
        assert_true(isfinite(partly->explained) && partly->fraction <= 1);
    }
    const struct credit_finding *finding = credit_look(*out_credit);
    assert_true(finding->is_done);
    for (size_t i = 0; i < finding->n_edges; i++) {
        assert_true(isfinite(finding->edges[i].share) && isfinite(finding->edges[i].size));
    }
    for (size_t i = 0; i < finding->n_nodes; i++) {
        assert_true(isfinite(finding->nodes[i].share));
    }
    return finding;
}

double rig_share_of(const struct credit_finding *finding, int32_t value)
{
    double sum = 0;
    for (size_t i = 0; i < finding->n_edges; i++) {
        sum += finding->edges[i].value == value ? finding->edges[i].share : 0;
    }
    return sum;
}

double rig_own(const struct credit_finding *finding, enum credit_own own)
{
    double sum = 0;
    for (size_t i = 0; i < finding->n_nodes; i++) {
        sum += finding->nodes[i].own[own];
    }
    return sum;
}

const struct credit_node *rig_node(const struct credit_finding *finding, int32_t op)
{
    for (size_t i = 0; i < finding->n_nodes; i++) {
        if (finding->nodes[i].op == op) {
            return &finding->nodes[i];
        }
    }
    fail_msg("operation %d has no node", op);
    return NULL;
}

double rig_source(
    const struct credit_finding *finding, int32_t value, int64_t unit, int64_t row)
{
    const struct credit_source *sources = unit >= 0 ? finding->units : finding->samples;
    const size_t n = unit >= 0 ? finding->n_units : finding->n_samples;
    for (size_t i = 0; i < n; i++) {
        if (sources[i].value == value && sources[i].unit == unit && sources[i].row == row) {
            return sources[i].share;
        }
    }
    return 0;
}

void rig_near(double is, double wanted, double scale, double tolerance)
{
    if (!(fabs(is - wanted) <= tolerance * scale)) {
        fail_msg("%.9g instead of %.9g", is, wanted);
    }
}
