/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/bench/bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/analysis/credit.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/probe_build.h"

/*
 * Of what was one unit made? Through a network of ten million parameters (1024, 2048, 2560, 1024, 10
 * units; relu) of which a probe kept all weights and some samples: beside torch's own backward pass
 * of a batch of 64 through the same layers, in a Python of its own, with as many threads as torch
 * takes, and beside a backward pass in plain C. Then through a graph of a hundred thousand small
 * operations, beside a copy of the probe's bytes.
 */

#define DEBIAN_PYTHON "/usr/bin/python3"

enum {
    N_LAYERS = 4,
    N_BATCH = 64,
    N_LONG_OPS = 100000,
    LONG_ROWS = 4,
    LONG_UNITS = 16,
    TORCH_TURNS = 30
};

static const int64_t widths[N_LAYERS + 1] = {1024, 2048, 2560, 1024, 10};
static const int64_t quick_widths[N_LAYERS + 1] = {32, 64, 48, 32, 10};

static uint64_t state = 88172645463325252U;

static float draw(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (float)(int64_t)(state >> 40) * 0x1p-23F - 1;
}

/* ---- the network ---- */

struct network {
    const int64_t *widths;
    float *weights[N_LAYERS]; /* out x in */
    float *biases[N_LAYERS];
    float *inputs[N_LAYERS + 1]; /* of each layer, batch x in; the last: logits */
    float *sums[N_LAYERS];       /* before relu */
};

/* out[n x m] = a[n x k] b', where b is [m x k]. */
static void multiply(
    const float *a, const float *b, int64_t n, int64_t m, int64_t k, float *out)
{
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < m; j++) {
            float lanes[16] = {0};
            for (int64_t at = 0; at + 16 <= k; at += 16) {
                for (int64_t lane = 0; lane < 16; lane++) {
                    lanes[lane] += a[i * k + at + lane] * b[j * k + at + lane];
                }
            }
            float sum = 0;
            for (int64_t lane = 0; lane < 16; lane++) {
                sum += lanes[lane];
            }
            for (int64_t at = k / 16 * 16; at < k; at++) {
                sum += a[i * k + at] * b[j * k + at];
            }
            out[i * m + j] = sum;
        }
    }
}

static void forward(struct network *network)
{
    for (int l = 0; l < N_LAYERS; l++) {
        const int64_t n_in = network->widths[l];
        const int64_t n_out = network->widths[l + 1];
        multiply(network->inputs[l], network->weights[l], N_BATCH, n_out, n_in,
            network->sums[l]);
        for (int64_t i = 0; i < N_BATCH * n_out; i++) {
            float *sum = &network->sums[l][i];
            *sum += network->biases[l][i % n_out];
            network->inputs[l + 1][i] = l == N_LAYERS - 1 || *sum > 0 ? *sum : 0;
        }
    }
}

static struct network *make_network(bool is_quick)
{
    struct network *network = baro_xcalloc(1, sizeof *network);
    network->widths = is_quick ? quick_widths : widths;
    network->inputs[0] =
        baro_xcalloc((size_t)(N_BATCH * network->widths[0]), sizeof(float));
    for (int64_t i = 0; i < N_BATCH * network->widths[0]; i++) {
        network->inputs[0][i] = draw();
    }
    for (int l = 0; l < N_LAYERS; l++) {
        const int64_t n_in = network->widths[l];
        const int64_t n_out = network->widths[l + 1];
        const float scale = sqrtf(6.0F / (float)n_in);
        network->weights[l] = baro_xcalloc((size_t)(n_in * n_out), sizeof(float));
        network->biases[l] = baro_xcalloc((size_t)n_out, sizeof(float));
        network->sums[l] = baro_xcalloc((size_t)(N_BATCH * n_out), sizeof(float));
        network->inputs[l + 1] = baro_xcalloc((size_t)(N_BATCH * n_out), sizeof(float));
        for (int64_t i = 0; i < n_in * n_out; i++) {
            network->weights[l][i] = scale * draw();
        }
        for (int64_t i = 0; i < n_out; i++) {
            network->biases[l][i] = 0.01F * draw();
        }
    }
    forward(network);
    return network;
}

static void free_network(struct network *network)
{
    for (int l = 0; l < N_LAYERS; l++) {
        free(network->weights[l]);
        free(network->biases[l]);
        free(network->sums[l]);
        free(network->inputs[l]);
    }
    free(network->inputs[N_LAYERS]);
    free(network);
}

/* The gradients of all weights and of the input, of a loss whose gradient at the logits is 1. */
static double backward(
    const struct network *network, float *scratch[2], float *restrict gradients)
{
    float *after = scratch[0];
    float *before = scratch[1];
    double sum = 0;
    for (int64_t i = 0; i < N_BATCH * network->widths[N_LAYERS]; i++) {
        after[i] = 1;
    }
    for (int l = N_LAYERS - 1; l >= 0; l--) {
        const int64_t n_in = network->widths[l];
        const int64_t n_out = network->widths[l + 1];
        memset(gradients, 0, (size_t)(n_in * n_out) * sizeof *gradients);
        memset(before, 0, (size_t)(N_BATCH * n_in) * sizeof *before);
        for (int64_t j = 0; j < n_out; j++) {
            for (int64_t i = 0; i < N_BATCH; i++) {
                const bool is_off =
                    l < N_LAYERS - 1 && network->sums[l][i * n_out + j] <= 0;
                const float delta = is_off ? 0 : after[i * n_out + j];
                const float *restrict x = network->inputs[l] + i * n_in;
                const float *restrict w = network->weights[l] + j * n_in;
                float *restrict dw = gradients + j * n_in;
                float *restrict dx = before + i * n_in;
                for (int64_t k = 0; k < n_in; k++) {
                    dw[k] += delta * x[k];
                    dx[k] += delta * w[k];
                }
            }
        }
        sum += (double)gradients[0];
        float *swap = after;
        after = before;
        before = swap;
    }
    return sum + (double)after[0];
}

/* ---- its probe ---- */

static int32_t add(struct probe_build *build, const char *name, enum probe_value_kind kind,
    const float *data, int64_t n0, int64_t n1)
{
    const bool is_batch = n0 == N_BATCH && kind != PROBE_PARAMETER;
    struct probe_value value = {
        .name = name,
        .kind = kind,
        .dtype = BARO_F32,
        .n_dims = n1 > 0   ? 2
                  : n0 > 0 ? 1
                           : 0,
        .shape = {n0, n1},
        .batch_axis = is_batch ? 0 : PROBE_NONE,
        .unit_axis = is_batch ? 1
                     : n0 > 0 ? 0
                              : PROBE_NONE,
        .min = (double)NAN,
        .max = (double)NAN,
        .mean = (double)NAN,
        .l2 = (double)NAN,
        .kept = data == NULL ? PROBE_KEPT_NONE
                : is_batch   ? PROBE_KEPT_ROWS
                             : PROBE_KEPT_ALL,
    };
    struct baro_span span;
    if (data == NULL ||
        baro_span_make(&span, BARO_F32, data, value.n_dims, value.shape, NULL, NULL) != 0) {
        return (int32_t)probe_build_value(build, &value, NULL);
    }
    return (int32_t)probe_build_value(build, &value, &span);
}

static void apply(struct probe_build *build, const char *name, const char *module,
    uint32_t n_inputs, const int32_t *inputs, int32_t output)
{
    const struct probe_op op = {.name = name,
        .module = module,
        .n_inputs = n_inputs,
        .inputs = inputs,
        .n_outputs = 1,
        .outputs = &output};
    (void)probe_build_op(build, &op);
}

/* A finished probe's bytes and the probe; released by free_made. */
struct made {
    void *bytes;
    size_t n_bytes;
    struct probe *probe;
};

static bool finish(struct probe_build *build, struct made *out)
{
    out->n_bytes = probe_build_finish(build);
    out->bytes = probe_build_copy(build);
    probe_build_destroy(build);
    return out->bytes != NULL &&
           probe_parse(&out->probe, out->bytes, out->n_bytes, NULL) == 0;
}

static void free_made(struct made *made)
{
    probe_free(made->probe);
    free(made->bytes);
}

static struct probe_build *begin(int64_t n_batch, uint32_t n_rows)
{
    int64_t rows[N_BATCH];
    struct probe_build *build = NULL;
    for (uint32_t i = 0; i < n_rows; i++) {
        rows[i] = i;
    }
    const struct probe_build_options options = {.step = 1,
        .reason = PROBE_REGULAR,
        .n_batch = n_batch,
        .n_rows = n_rows,
        .rows = rows,
        .max_bytes = PROBE_MAX_BYTES};
    return probe_build_create(&build, &options) == 0 ? build : NULL;
}

static bool make_probe(const struct network *network, uint32_t n_rows, struct made *out)
{
    static const char *const modules[N_LAYERS] = {"fc0", "fc1", "fc2", "fc3"};
    struct probe_build *build = begin(N_BATCH, n_rows);
    if (build == NULL) {
        return false;
    }
    int32_t last =
        add(build, "input", PROBE_INPUT, network->inputs[0], N_BATCH, network->widths[0]);
    for (int l = 0; l < N_LAYERS; l++) {
        const int64_t n_in = network->widths[l];
        const int64_t n_out = network->widths[l + 1];
        char names[2][32];
        (void)snprintf(names[0], sizeof names[0], "%s.weight", modules[l]);
        (void)snprintf(names[1], sizeof names[1], "%s.bias", modules[l]);
        const int32_t w =
            add(build, names[0], PROBE_PARAMETER, network->weights[l], n_out, n_in);
        const int32_t b =
            add(build, names[1], PROBE_PARAMETER, network->biases[l], n_out, 0);
        const int32_t t = add(build, "", PROBE_RESULT, NULL, n_in, n_out);
        apply(build, "t", modules[l], 1, &w, t);
        const int32_t sum = add(build, "", PROBE_RESULT, network->sums[l], N_BATCH, n_out);
        const int32_t operands[3] = {b, last, t};
        apply(build, "addmm", modules[l], 3, operands, sum);
        last = sum;
        if (l < N_LAYERS - 1) {
            last = add(build, "", PROBE_RESULT, network->inputs[l + 1], N_BATCH, n_out);
            apply(build, "relu", "act", 1, &sum, last);
        }
    }
    float sum = 0;
    for (int64_t i = 0; i < N_BATCH * network->widths[N_LAYERS]; i++) {
        sum += network->inputs[N_LAYERS][i];
    }
    const int32_t loss = add(build, "loss", PROBE_RESULT, &sum, 0, 0);
    apply(build, "sum", "", 1, &last, loss);
    (void)probe_build_loss(build, loss);
    return finish(build, out);
}

/* ---- measuring ---- */

static const double may_miss = 0.01; /* what is explained, of all */

/* Explain a target; milliseconds, or a negative number when that cannot be. */
static double explain(struct bench *bench, const struct made *made, enum credit_mode mode,
    const struct made *before, const char *words)
{
    struct credit *credit = NULL;
    struct credit_target target;
    struct baro_err err = {0};
    const uint64_t began = baro_now_ns();
    if (credit_find_target(made->probe, words, &target, &err) != 0 ||
        credit_begin(&credit, mode, made->probe, before != NULL ? before->probe : NULL,
            &target, &err) != 0) {
        (void)bench_fail(bench, "%s", err.text);
        return -1;
    }
    while (credit_work(credit, INT64_MAX)) {
    }
    const struct credit_finding *finding = credit_look(credit);
    const bool is_good =
        finding->is_done && finding->n_nodes > 0 && fabs(finding->explained - 1) < may_miss;
    const double ms = (double)(baro_now_ns() - began) * 1e-6;
    if (!is_good) {
        (void)bench_fail(bench, "credit explained %.4f of '%s'", finding->explained, words);
    }
    credit_free(credit);
    return is_good ? ms : -1;
}

/* Prints the median milliseconds of a backward pass through the layers of argv[2:]. */
static const char script[] =
    "import sys, time, statistics, torch\n"
    "turns, widths = int(sys.argv[1]), [int(w) for w in sys.argv[2:]]\n"
    "layers = []\n"
    "for n_in, n_out in zip(widths, widths[1:]):\n"
    "    layers += [torch.nn.Linear(n_in, n_out), torch.nn.ReLU()]\n"
    "model = torch.nn.Sequential(*layers[:-1])\n"
    "x, y = torch.randn(64, widths[0]), torch.randint(0, widths[-1], (64,))\n"
    "took = []\n"
    "for turn in range(turns + 2):\n"
    "    model.zero_grad(set_to_none=True)\n"
    "    loss = torch.nn.functional.cross_entropy(model(x), y)\n"
    "    began = time.perf_counter()\n"
    "    loss.backward()\n"
    "    took.append(1e3 * (time.perf_counter() - began))\n"
    "print(statistics.median(took[2:]), torch.get_num_threads())\n";

/* Milliseconds of torch's backward pass; NaN without torch. */
static double torch_ms(const int64_t *sizes, int *out_threads)
{
    const char *python = getenv("BARO_PYTHON");
    const char *found = access(DEBIAN_PYTHON, X_OK) == 0 ? DEBIAN_PYTHON : "python3";
    char command[400];
    char line[128] = "";
    double ms = (double)NAN;
    (void)setenv("BARO_BENCH_PYTHON", python != NULL ? python : found, 1);
    (void)setenv("BARO_BENCH_SCRIPT", script, 1);
    (void)snprintf(command, sizeof command,
        "\"$BARO_BENCH_PYTHON\" -W ignore -c \"$BARO_BENCH_SCRIPT\" %d %lld %lld %lld %lld "
        "%lld 2>/dev/null",
        TORCH_TURNS, (long long)sizes[0], (long long)sizes[1], (long long)sizes[2],
        (long long)sizes[3], (long long)sizes[4]);
    FILE *answer = popen(command, "r");
    if (answer != NULL) {
        char *end = line;
        if (fgets(line, sizeof line, answer) != NULL) {
            ms = strtod(line, &end);
            *out_threads = (int)strtol(end, NULL, 10);
        }
        (void)pclose(answer);
    }
    return ms > 0 ? ms : (double)NAN;
}

/* What is measured in turns. */
enum {
    CASE_VALUE_8,
    CASE_VALUE_64,
    CASE_EARLIER,
    CASE_GRADIENT,
    CASE_CHANGE,
    CASE_C,
    N_CASES
};

static int turn(struct bench *bench, const struct network *network, const struct made *some,
    const struct made *all, const struct made *before, float *scratch[3],
    double out[N_CASES])
{
    static volatile double sink;
    const uint64_t began = baro_now_ns();
    sink = backward(network, scratch, scratch[2]);
    (void)sink;
    out[CASE_C] = (double)(baro_now_ns() - began) * 1e-6;
    out[CASE_VALUE_8] = explain(bench, some, CREDIT_VALUE, NULL, "fc3[7]");
    out[CASE_VALUE_64] = explain(bench, all, CREDIT_VALUE, NULL, "fc3[7]");
    out[CASE_EARLIER] = explain(bench, some, CREDIT_VALUE, NULL, "fc2[7]");
    out[CASE_GRADIENT] = explain(bench, all, CREDIT_GRADIENT, NULL, "fc0[7]");
    out[CASE_CHANGE] = explain(bench, some, CREDIT_CHANGE, before, "fc3[7]");
    for (int i = 0; i < N_CASES; i++) {
        if (out[i] < 0) {
            return -1;
        }
    }
    return 0;
}

static int measure_network(struct bench *bench, struct network *network,
    const struct made *some, const struct made *all, const struct made *before)
{
    static const char *const names[N_CASES] = {"value of one unit, 8 samples kept",
        "value of one unit, all 64 samples", "value of a unit one layer earlier, 8 samples",
        "gradient of a unit of the first layer, all 64 samples",
        "change of one unit, 8 samples", "backward of 64 samples, plain C"};
    enum { TURNS = 9 };
    const int n_turns = bench_is_quick(bench) ? 2 : TURNS;
    double took[N_CASES][TURNS];
    float *scratch[3];
    int threads = 1;
    int rc = 0;
    for (int i = 0; i < 3; i++) {
        scratch[i] = baro_xcalloc((size_t)widths[1] * (size_t)widths[2], sizeof(float));
    }
    for (int t = -1; t < n_turns && rc == 0; t++) { /* the first one warms up */
        double ms[N_CASES];
        rc = turn(bench, network, some, all, before, scratch, ms);
        for (int i = 0; i < N_CASES && t >= 0; i++) {
            took[i][t] = ms[i];
        }
    }
    for (int i = 0; i < 3; i++) {
        free(scratch[i]);
    }
    if (rc != 0) {
        return rc;
    }
    const double torch =
        bench_is_quick(bench) ? (double)NAN : torch_ms(network->widths, &threads);
    const double limit = isnan(torch) ? bench_median(took[CASE_C], (size_t)n_turns) : torch;
    char name[80] = "backward of 64 samples, plain C";
    if (!isnan(torch)) {
        (void)snprintf(
            name, sizeof name, "backward of 64 samples by torch, threads: %d", threads);
    }
    for (int i = 0; i < N_CASES; i++) {
        bench_report_samples(
            bench, "credit", names[i], took[i], (size_t)n_turns, "ms", limit, name);
    }
    if (isnan(torch) && !bench_is_quick(bench)) {
        bench_note(bench, "torch is not there: BARO_PYTHON names a Python that has it");
    }
    return 0;
}

/* ---- a long graph ---- */

/* s = s + tanh(s), again and again: of so many operations. */
static bool make_long(int n_ops, struct made *out)
{
    enum { N = N_BATCH * LONG_UNITS };
    static float x[2][N];
    struct probe_build *build = begin(N_BATCH, LONG_ROWS);
    int32_t last[2];
    if (build == NULL) {
        return false;
    }
    for (int i = 0; i < N; i++) {
        x[0][i] = 1 + 0.1F * draw();
        x[1][i] = 1 + 0.1F * draw();
    }
    last[0] = add(build, "a", PROBE_INPUT, x[0], N_BATCH, LONG_UNITS);
    last[1] = add(build, "b", PROBE_INPUT, x[1], N_BATCH, LONG_UNITS);
    for (int op = 0; op < n_ops; op++) {
        const bool is_sum = op % 2 == 0;
        char module[32];
        for (int i = 0; i < N; i++) { /* x[0] is the newest */
            const float before = x[0][i];
            x[0][i] = is_sum ? before + x[1][i] : tanhf(before);
            x[1][i] = is_sum ? x[1][i] : before;
        }
        (void)snprintf(module, sizeof module, "block%d", op / 100);
        const int32_t given = add(build, "", PROBE_RESULT, x[0], N_BATCH, LONG_UNITS);
        apply(build, is_sum ? "add" : "tanh", module, is_sum ? 2 : 1, last, given);
        last[1] = is_sum ? last[1] : last[0];
        last[0] = given;
    }
    (void)probe_build_loss(build, last[0]);
    return finish(build, out);
}

static int measure_long(struct bench *bench)
{
    enum { TURNS = 5 };
    const int n_turns = bench_is_quick(bench) ? 1 : TURNS;
    const int n_ops = bench_is_quick(bench) ? 1000 : N_LONG_OPS;
    struct made made = {0};
    double took[3][TURNS];
    int rc = 0;
    if (!make_long(n_ops, &made) || made.bytes == NULL) {
        return bench_fail(bench, "the probe of the long graph could not be made");
    }
    baro_autofree void *copy = baro_xcalloc(made.n_bytes, 1);
    for (int t = 0; t < n_turns && rc == 0; t++) {
        struct probe *probe = NULL;
        uint64_t began = baro_now_ns();
        memcpy(copy, made.bytes, made.n_bytes);
        took[0][t] = (double)(baro_now_ns() - began) * 1e-6;
        began = baro_now_ns();
        (void)probe_parse(&probe, made.bytes, made.n_bytes, NULL);
        took[1][t] = (double)(baro_now_ns() - began) * 1e-6;
        probe_free(probe);
        took[2][t] = explain(bench, &made, CREDIT_VALUE, NULL, "loss");
        rc = took[2][t] < 0 ? -1 : 0;
    }
    if (rc == 0) {
        const double limit = bench_median(took[0], (size_t)n_turns);
        char name[80];
        (void)snprintf(name, sizeof name, "parse, %d operations", n_ops);
        bench_report_samples(bench, "credit", name, took[1], (size_t)n_turns, "ms", limit,
            "a copy of the probe's bytes");
        (void)snprintf(name, sizeof name, "value, %d operations", n_ops);
        bench_report_samples(bench, "credit", name, took[2], (size_t)n_turns, "ms", limit,
            "a copy of the probe's bytes");
    }
    free_made(&made);
    return rc;
}

int bench_credit(struct bench *bench)
{
    struct network *network = make_network(bench_is_quick(bench));
    struct made before = {0};
    struct made some = {0};
    struct made all = {0};
    bool is_made = make_probe(network, 8, &before);
    for (int l = 0; l < N_LAYERS; l++) { /* what a step of an optimiser does */
        const int64_t n = network->widths[l] * network->widths[l + 1];
        for (int64_t i = 0; i < n; i++) {
            network->weights[l][i] += 1e-3F * draw();
        }
    }
    forward(network);
    is_made =
        is_made && make_probe(network, 8, &some) && make_probe(network, N_BATCH, &all);
    int rc = is_made ? measure_network(bench, network, &some, &all, &before)
                     : bench_fail(bench, "the probe of the network could not be made");
    free_made(&before);
    free_made(&some);
    free_made(&all);
    free_network(network);
    return rc == 0 ? measure_long(bench) : rc;
}
