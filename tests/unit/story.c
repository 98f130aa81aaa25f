/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/testing.h"

#include "tests/unit/story.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/probe_build.h"

const int64_t story_rows[STORY_BATCH] = {0, 1, 2, 3};

/* ---- probes ---- */

void story_probe_finish(struct story_probe *made)
{
    probe_free(made->probe);
    free(made->bytes);
}

static int64_t add_value(struct probe_build *build, const char *name,
    enum probe_value_kind kind, int64_t n0, int64_t n1, const float *data)
{
    struct probe_value value = {.name = name,
        .kind = kind,
        .dtype = BARO_F32,
        .n_dims = n1 > 0   ? 2
                  : n0 > 0 ? 1
                           : 0,
        .shape = {n0, n1},
        .batch_axis = n0 == STORY_BATCH ? 0 : PROBE_NONE,
        .unit_axis = n1 > 0 ? (n0 == STORY_BATCH ? 1 : 0) : PROBE_NONE,
        .min = (double)INFINITY,
        .max = -(double)INFINITY,
        .kept = PROBE_KEPT_ALL};
    int64_t n = n1 > 0 ? n0 * n1 : n0 > 0 ? n0 : 1;
    value.count = (uint64_t)n;
    for (int64_t i = 0; i < n; i++) {
        double element = (double)data[i];
        value.n_nan += isnan(element) ? 1 : 0;
        value.n_inf += isinf(element) ? 1 : 0;
        if (isfinite(element)) {
            value.min = fmin(value.min, element);
            value.max = fmax(value.max, element);
            value.mean += element / (double)n;
            value.l2 += element * element;
        }
    }
    value.l2 = sqrt(value.l2);
    struct baro_span span;
    assert_int_equal(
        baro_span_make(&span, BARO_F32, data, value.n_dims, value.shape, NULL, NULL), 0);
    return probe_build_value(build, &value, &span);
}

static void add_op(struct probe_build *build, const char *name, const char *module,
    uint32_t n_inputs, const int32_t *inputs, int32_t output)
{
    const struct probe_op op = {.name = name,
        .module = module,
        .source = "train.py:57",
        .attrs = strcmp(name, "addmm") == 0 ? "beta=1 alpha=1" : "",
        .n_inputs = n_inputs,
        .inputs = inputs,
        .n_outputs = 1,
        .outputs = &output};
    assert_true(probe_build_op(build, &op) >= 0);
}

void story_network_init(struct story_network *network)
{
    *network = (struct story_network){
        .w = {0.5F, -0.25F, 0.75F, 0.5F, -0.5F, 1.0F}, .b = {0.1F, 0.2F}, .last = "exp"};
    for (int i = 0; i < STORY_BATCH * STORY_IN; i++) {
        network->x[i] = 0.5F + 0.125F * (float)(i % 5);
    }
}

static float apply(const char *name, float x)
{
    return strcmp(name, "exp") == 0   ? expf(x)
           : strcmp(name, "log") == 0 ? logf(x)
                                      : sqrtf(x);
}

struct story_probe story_probe_make(
    const struct story_network *network, int64_t step, const struct probe_origin *origin)
{
    const struct probe_build_options options = {.step = step,
        .reason = origin != NULL ? PROBE_FAILURE : PROBE_REGULAR,
        .n_batch = STORY_BATCH,
        .n_rows = STORY_BATCH,
        .rows = story_rows,
        .max_bytes = 1 << 20};
    struct probe_build *build = NULL;
    float y[STORY_BATCH * STORY_OUT];
    float v[STORY_BATCH * STORY_OUT];
    float loss = 0;
    for (int r = 0; r < STORY_BATCH; r++) {
        for (int o = 0; o < STORY_OUT; o++) {
            float sum = network->b[o];
            for (int i = 0; i < STORY_IN; i++) {
                sum += network->x[r * STORY_IN + i] * network->w[i * STORY_OUT + o];
            }
            y[r * STORY_OUT + o] = sum;
            v[r * STORY_OUT + o] = apply(network->last, sum);
            loss += v[r * STORY_OUT + o] / (STORY_BATCH * STORY_OUT);
        }
    }
    assert_int_equal(probe_build_create(&build, &options), 0);
    (void)add_value(build, "input 0", PROBE_INPUT, STORY_BATCH, STORY_IN, network->x);
    (void)add_value(
        build, "logvar.weight", PROBE_PARAMETER, STORY_IN, STORY_OUT, network->w);
    (void)add_value(build, "logvar.bias", PROBE_PARAMETER, STORY_OUT, 0, network->b);
    (void)add_value(build, "", PROBE_RESULT, STORY_BATCH, STORY_OUT, y);
    add_op(build, "addmm", "logvar", 3, (int32_t[]){2, 0, 1}, 3);
    (void)add_value(build, "", PROBE_RESULT, STORY_BATCH, STORY_OUT, v);
    add_op(build, network->last, "exp_logvar", 1, (int32_t[]){3}, 4);
    (void)add_value(build, "loss", PROBE_RESULT, 0, 0, &loss);
    add_op(build, "mean", "", 1, (int32_t[]){4}, 5);
    assert_int_equal(probe_build_loss(build, 5), 0);
    if (origin != NULL) {
        assert_int_equal(probe_build_origin(build, origin), 0);
    }
    size_t n = probe_build_finish(build);
    struct story_probe made = {.bytes = probe_build_copy(build)};
    probe_build_destroy(build);
    struct baro_err err = {0};
    if (probe_parse(&made.probe, made.bytes, n, &err) != 0) {
        fail_msg("%s", err.text);
    }
    return made;
}

static const int64_t bad_unit[1] = {1};
static const int64_t bad_row[1] = {STORY_BAD_ROW};
const struct probe_origin story_origin = {.op = 1,
    .value = 4,
    .n_units = 1,
    .units = bad_unit,
    .n_rows = 1,
    .rows = bad_row,
    .is_exact = true,
    .cause = "exp of 91.2 is more than 3.4e+38, the most an f32 holds"};

/* ---- facts ---- */

static void add_series(struct story *stage, const char *name, uint32_t role, int stat)
{
    size_t i = stage->facts.n_things++;
    stage->things[i] = (struct why_thing){.id = (uint32_t)i + 1,
        .name = name,
        .role = role,
        .dtype = role != 0 ? (uint32_t)BARO_F32 : 0,
        .n_points = STORY_STEPS,
        .last_step = STORY_STEPS - 1,
        .spacing = 1};
    stage->series[i] = (struct why_series){.thing = (uint32_t)i + 1,
        .kind = role == 0 ? READING_SCALAR : READING_SUMMARY,
        .stat = stat,
        .unit = -1,
        .n = STORY_STEPS,
        .steps = stage->steps,
        .values = stage->values[i]};
    stage->facts.n_series++;
}

struct story *story_create(void)
{
    struct story *stage = baro_xcalloc(1, sizeof *stage);
    stage->facts = (struct why_facts){.run = {.name = "tests/run",
                                          .status = "finished",
                                          .reason = "",
                                          .last_step = STORY_STEPS - 1,
                                          .n_steps = STORY_STEPS},
        .things = stage->things,
        .series = stage->series};
    for (int i = 0; i < STORY_STEPS; i++) {
        stage->steps[i] = i;
        stage->values[0][i] = 1 + 0.05 * sin(i * 1.7);
        stage->values[1][i] = 0.05;
        stage->values[2][i] = 2 + 0.1 * sin(i * 0.9);
    }
    add_series(stage, "loss", 0, 0);
    add_series(stage, "lr", 0, 0);
    add_series(stage, "logvar", BARO_ACT, SUMMARY_ABS_MAX);
    return stage;
}

void story_add_batches(struct story *stage, bool has_past)
{
    for (size_t b = 0; b < BARO_LEN(stage->batches); b++) {
        for (size_t i = 0; i < STORY_BATCH; i++) {
            stage->samples[b][i] = (b == 3 || has_past ? 10 : 50) + (int64_t)i;
        }
        stage->batches[b] =
            (struct why_batch){.step = b == 3 ? STORY_STEP : 20 + 10 * (int64_t)b,
                .n = STORY_BATCH,
                .samples = stage->samples[b]};
    }
    stage->facts.batches = stage->batches;
    stage->facts.n_batches = BARO_LEN(stage->batches);
}

struct why_alert *story_add_alert(
    struct story *stage, const char *kind, uint32_t thing, int64_t step)
{
    struct why_alert *alert = &stage->alerts[stage->facts.n_alerts++];
    const struct why_thing *about = thing > 0 ? &stage->things[thing - 1] : NULL;
    *alert = (struct why_alert){.kind = kind,
        .name = about != NULL ? about->name : "",
        .module = about != NULL && about->role != 0 ? about->name : "",
        .text = "something happened",
        .advice = "do something about it",
        .level = BARO_ALARM,
        .thing = thing,
        .role = about != NULL ? about->role : 0,
        .step = step,
        .unit = -1,
        .value = 1,
        .usual = (double)NAN};
    stage->facts.alerts = stage->alerts;
    stage->incident = (struct why_incident){.id = 1,
        .headline = "something happened",
        .level = BARO_ALARM,
        .first_step = stage->alerts[0].step,
        .last_step = step};
    stage->facts.incident = &stage->incident;
    return alert;
}
