/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credit assignment for tests/python/test_credit.py, which compares it with torch: probes are built
 * in memory, from the same structs that baro_probe_value() and baro_probe_op() take, and what is
 * found is told as JSON. Not installed.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/analysis/credit.h"
#include "lib/base/probe_build.h"
#include "lib/base/tensor.h"
#include "lib/push/baro.h"

#define EXPORT __attribute__((visibility("default")))

/* A probe that is being built, then one. */
struct credit_torch {
    struct probe_build *build;
    void *bytes;
    struct probe *probe;
};

EXPORT struct credit_torch *credit_torch_begin(
    void *run, const struct baro_probe_options *options);
EXPORT int64_t credit_torch_value(
    struct credit_torch *torch, const struct baro_probe_value *given);
EXPORT int64_t credit_torch_op(
    struct credit_torch *torch, const struct baro_probe_op *given);
EXPORT int credit_torch_loss(struct credit_torch *torch, int32_t value);
EXPORT int credit_torch_end(struct credit_torch *torch, int is_dropped);
EXPORT void credit_torch_free(struct credit_torch *torch);
EXPORT char *credit_torch_explain(const struct credit_torch *now,
    const struct credit_torch *before, int mode, int32_t value, int64_t unit, int64_t row);
EXPORT void credit_torch_release(char *text);

struct credit_torch *credit_torch_begin(void *run, const struct baro_probe_options *options)
{
    const struct probe_build_options what = {.step = options->step,
        .reason = (enum probe_reason)options->reason,
        .n_batch = options->n_batch,
        .n_rows = (uint32_t)options->n_rows,
        .rows = options->rows,
        .max_bytes = 256 << 20};
    struct credit_torch *torch = calloc(1, sizeof *torch);
    (void)run;
    if (torch != NULL && probe_build_create(&torch->build, &what) != 0) {
        free(torch);
        torch = NULL;
    }
    return torch;
}

int64_t credit_torch_value(struct credit_torch *torch, const struct baro_probe_value *given)
{
    struct probe_value value = {.name = given->name,
        .kind = (enum probe_value_kind)given->kind,
        .dtype = given->dtype,
        .n_dims = given->n_dims,
        .batch_axis = given->batch_axis,
        .unit_axis = given->unit_axis,
        .kept = (enum probe_kept)given->keep};
    struct baro_span span;
    for (int d = 0; d < given->n_dims; d++) {
        value.shape[d] = given->shape[d];
    }
    if (given->data != NULL) {
        const int rc = baro_span_make(&span, given->dtype, given->data, given->n_dims,
            given->shape, given->strides, NULL);
        if (rc != 0) {
            return rc;
        }
    }
    return probe_build_value(torch->build, &value, given->data != NULL ? &span : NULL);
}

int64_t credit_torch_op(struct credit_torch *torch, const struct baro_probe_op *given)
{
    const struct probe_op op = {.name = given->name,
        .module = given->module,
        .source = given->source,
        .attrs = given->attrs,
        .phase = given->is_backward != 0 ? PROBE_BACKWARD : PROBE_FORWARD,
        .n_inputs = (uint32_t)given->n_inputs,
        .n_outputs = (uint32_t)given->n_outputs,
        .inputs = given->inputs,
        .outputs = given->outputs};
    return probe_build_op(torch->build, &op);
}

int credit_torch_loss(struct credit_torch *torch, int32_t value)
{
    return probe_build_loss(torch->build, value);
}

int credit_torch_end(struct credit_torch *torch, int is_dropped)
{
    (void)is_dropped;
    const size_t n_bytes = probe_build_finish(torch->build);
    torch->bytes = probe_build_copy(torch->build);
    struct baro_err err = {0};
    const int rc = torch->bytes == NULL
                       ? BARO_ENOMEM
                       : probe_parse(&torch->probe, torch->bytes, n_bytes, &err);
    if (rc != 0) {
        (void)fprintf(stderr, "probe: %s\n", err.text);
    }
    return rc;
}

void credit_torch_free(struct credit_torch *torch)
{
    if (torch != NULL) {
        probe_free(torch->probe);
        probe_build_destroy(torch->build);
        free(torch->bytes);
        free(torch);
    }
}

static void print_number(FILE *out, const char *name, double number)
{
    if (isfinite(number)) {
        (void)fprintf(out, "\"%s\":%.17g", name, number);
    } else {
        (void)fprintf(out, "\"%s\":null", name);
    }
}

static void print_sources(
    FILE *out, const char *name, const struct credit_source *sources, size_t n)
{
    (void)fprintf(out, ",\"%s\":[", name);
    for (size_t i = 0; i < n; i++) {
        (void)fprintf(out, "%s{\"value\":%d,\"unit\":%lld,\"row\":%lld,", i > 0 ? "," : "",
            (int)sources[i].value, (long long)sources[i].unit, (long long)sources[i].row);
        print_number(out, "share", sources[i].share);
        (void)fputc('}', out);
    }
    (void)fputc(']', out);
}

static void print_nodes(FILE *out, const struct credit_finding *finding)
{
    (void)fputs(",\"nodes\":[", out);
    for (size_t i = 0; i < finding->n_nodes; i++) {
        const struct credit_node *node = &finding->nodes[i];
        (void)fprintf(out, "%s{\"op\":%d,\"is_unknown\":%s,", i > 0 ? "," : "",
            (int)node->op, node->is_unknown ? "true" : "false");
        print_number(out, "share", node->share);
        for (int own = 0; own < CREDIT_OWN_COUNT; own++) {
            (void)fputc(',', out);
            print_number(out, credit_own_name((enum credit_own)own), node->own[own]);
        }
        (void)fputc('}', out);
    }
    (void)fputc(']', out);
}

static void print_finding(FILE *out, const struct credit_finding *finding)
{
    (void)fputc('{', out);
    print_number(out, "total", finding->total);
    (void)fputc(',', out);
    print_number(out, "explained", finding->explained);
    print_nodes(out, finding);
    (void)fputs(",\"edges\":[", out);
    for (size_t i = 0; i < finding->n_edges; i++) {
        const struct credit_edge *edge = &finding->edges[i];
        (void)fprintf(out, "%s{\"from\":%d,\"to\":%d,\"value\":%d,", i > 0 ? "," : "",
            (int)edge->from, (int)edge->to, (int)edge->value);
        print_number(out, "share", edge->share);
        (void)fputc(',', out);
        print_number(out, "size", edge->size);
        (void)fputc('}', out);
    }
    (void)fputc(']', out);
    print_sources(out, "units", finding->units, finding->n_units);
    print_sources(out, "samples", finding->samples, finding->n_samples);
    (void)fputc('}', out);
}

char *credit_torch_explain(const struct credit_torch *now,
    const struct credit_torch *before, int mode, int32_t value, int64_t unit, int64_t row)
{
    char *text = NULL;
    size_t n_bytes = 0;
    FILE *out = open_memstream(&text, &n_bytes);
    if (out == NULL) {
        return NULL;
    }
    const struct credit_target target = {value, unit, row};
    struct baro_err err = {0};
    struct credit *credit = NULL;
    if (credit_begin(&credit, (enum credit_mode)mode, now->probe,
            before != NULL ? before->probe : NULL, &target, &err) != 0) {
        (void)fprintf(out, "{\"error\":\"%s\"}", err.text);
    } else {
        while (credit_work(credit, 1 << 20)) {
        }
        print_finding(out, credit_look(credit));
        credit_free(credit);
    }
    (void)fclose(out);
    return text;
}

void credit_torch_release(char *text)
{
    free(text);
}
