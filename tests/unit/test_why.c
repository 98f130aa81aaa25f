/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/testing.h"

#include "lib/analysis/judge.h"
#include "lib/analysis/why.h"
#include "lib/analysis/why_inside.h"
#include "lib/analysis/why_probe.h"
#include "lib/base/mem.h"
#include "lib/base/probe_build.h"

/*
 * Stories made by hand, told: x (4 samples of 3) -> addmm in "logvar" -> exp in "exp_logvar" -> mean,
 * in which the data, the weights or something else went wrong.
 */

enum { N_BATCH = 4, N_IN = 3, N_OUT = 2, STEP = 150, BAD_ROW = 2, N_STEPS = 200 };

static const int64_t all_rows[N_BATCH] = {0, 1, 2, 3};

/* ---- probes ---- */

/* One of the network's probes, with the bytes that it lies in. */
struct made {
    struct probe *probe;
    void *bytes;
};

static void made_finish(struct made *made)
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
        .batch_axis = n0 == N_BATCH ? 0 : PROBE_NONE,
        .unit_axis = n1 > 0 ? (n0 == N_BATCH ? 1 : 0) : PROBE_NONE,
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

/* What goes into the network of one step. */
struct network {
    float x[N_BATCH * N_IN];
    float w[N_IN * N_OUT];
    float b[N_OUT];
    const char *last; /* operation at the end: exp, log, sqrt */
};

static void network_init(struct network *network)
{
    *network = (struct network){
        .w = {0.5F, -0.25F, 0.75F, 0.5F, -0.5F, 1.0F}, .b = {0.1F, 0.2F}, .last = "exp"};
    for (int i = 0; i < N_BATCH * N_IN; i++) {
        network->x[i] = 0.5F + 0.125F * (float)(i % 5);
    }
}

/* Where operations end, on the side of what they were given. */
static void an_operation_breaks_where_it_is_no_longer_defined(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double operand, limit;
    } known[] = {{"log", -2, 0}, {"log1p", -2, -1}, {"log2", -1, 0}, {"logit", 1.5, 1},
        {"logit", -0.5, 0}, {"sqrt_", -3, 0}, {"rsqrt", 0, 0}, {"acos", 1.25, 1},
        {"acos", -1.25, -1}, {"atanh_backward", 1, 1}, {"acosh", 0.5, 1},
        {"erfinv", -2, -1}, {"special_ndtri", 1.5, 1}, {"binary_cross_entropy", 1.5, 1},
        {"square", 1e30, 1.8446743e19}, {"exp", 91, 88.722839}, {"expm1", 91, 88.722839},
        {"exp2", 130, 128}, {"sinh", -90, -89.415987}, {"cosh", 90, 89.415987},
        {"reciprocal", 0, 0}};
    const struct probe_value result = {.dtype = BARO_F32};
    for (size_t i = 0; i < BARO_LEN(known); i++) {
        const struct probe_op op = {.name = known[i].name};
        const double limit = why_limit_of(&op, &result, known[i].operand, false);
        if (!(fabs(limit - known[i].limit) <= 1e-6 * fabs(known[i].limit))) {
            fail_msg("%s breaks at %g, not %g", known[i].name, known[i].limit, limit);
        }
    }
    char place[WHY_NAME_BYTES];
    assert_string_equal(why_place("0", place), "module 0");
}

static float apply(const char *name, float x)
{
    return strcmp(name, "exp") == 0   ? expf(x)
           : strcmp(name, "log") == 0 ? logf(x)
                                      : sqrtf(x);
}

/* Build the probe of a step; origin: of a failure, or NULL. */
static struct made make_probe(
    const struct network *network, int64_t step, const struct probe_origin *origin)
{
    const struct probe_build_options options = {.step = step,
        .reason = origin != NULL ? PROBE_FAILURE : PROBE_REGULAR,
        .n_batch = N_BATCH,
        .n_rows = N_BATCH,
        .rows = all_rows,
        .max_bytes = 1 << 20};
    struct probe_build *build = NULL;
    float y[N_BATCH * N_OUT];
    float v[N_BATCH * N_OUT];
    float loss = 0;
    for (int r = 0; r < N_BATCH; r++) {
        for (int o = 0; o < N_OUT; o++) {
            float sum = network->b[o];
            for (int i = 0; i < N_IN; i++) {
                sum += network->x[r * N_IN + i] * network->w[i * N_OUT + o];
            }
            y[r * N_OUT + o] = sum;
            v[r * N_OUT + o] = apply(network->last, sum);
            loss += v[r * N_OUT + o] / (N_BATCH * N_OUT);
        }
    }
    assert_int_equal(probe_build_create(&build, &options), 0);
    (void)add_value(build, "input 0", PROBE_INPUT, N_BATCH, N_IN, network->x);
    (void)add_value(build, "logvar.weight", PROBE_PARAMETER, N_IN, N_OUT, network->w);
    (void)add_value(build, "logvar.bias", PROBE_PARAMETER, N_OUT, 0, network->b);
    (void)add_value(build, "", PROBE_RESULT, N_BATCH, N_OUT, y);
    add_op(build, "addmm", "logvar", 3, (int32_t[]){2, 0, 1}, 3);
    (void)add_value(build, "", PROBE_RESULT, N_BATCH, N_OUT, v);
    add_op(build, network->last, "exp_logvar", 1, (int32_t[]){3}, 4);
    (void)add_value(build, "loss", PROBE_RESULT, 0, 0, &loss);
    add_op(build, "mean", "", 1, (int32_t[]){4}, 5);
    assert_int_equal(probe_build_loss(build, 5), 0);
    if (origin != NULL) {
        assert_int_equal(probe_build_origin(build, origin), 0);
    }
    size_t n = probe_build_finish(build);
    struct made made = {.bytes = probe_build_copy(build)};
    probe_build_destroy(build);
    struct baro_err err = {0};
    if (probe_parse(&made.probe, made.bytes, n, &err) != 0) {
        fail_msg("%s", err.text);
    }
    return made;
}

static const int64_t bad_unit[1] = {1};
static const int64_t bad_row[1] = {BAD_ROW};
static const struct probe_origin exp_origin = {.op = 1,
    .value = 4,
    .n_units = 1,
    .units = bad_unit,
    .n_rows = 1,
    .rows = bad_row,
    .is_exact = true,
    .cause = "exp of 91.2 is more than 3.4e+38, the most an f32 holds"};

/* ---- facts ---- */

/* A run of 200 steps with what can be known of it. */
struct stage {
    struct why_facts facts;
    struct why_thing things[8];
    struct why_series series[8];
    int64_t steps[N_STEPS];
    double values[8][N_STEPS];
    struct why_alert alerts[4];
    struct why_incident incident;
    struct why_batch batches[4];
    int64_t samples[4][N_BATCH];
    struct why_story story;
};

static void add_series(struct stage *stage, const char *name, uint32_t role, int stat)
{
    size_t i = stage->facts.n_things++;
    stage->things[i] = (struct why_thing){.id = (uint32_t)i + 1,
        .name = name,
        .role = role,
        .dtype = role != 0 ? (uint32_t)BARO_F32 : 0,
        .n_points = N_STEPS,
        .last_step = N_STEPS - 1,
        .spacing = 1};
    stage->series[i] = (struct why_series){.thing = (uint32_t)i + 1,
        .kind = role == 0 ? READING_SCALAR : READING_SUMMARY,
        .stat = stat,
        .unit = -1,
        .n = N_STEPS,
        .steps = stage->steps,
        .values = stage->values[i]};
    stage->facts.n_series++;
}

/* Loss and learning rate, all calm; the batches of four steps hold samples 10 to 13. */
static struct stage *stage_create(void)
{
    struct stage *stage = baro_xcalloc(1, sizeof *stage);
    stage->facts = (struct why_facts){.run = {.name = "tests/run",
                                          .status = "finished",
                                          .reason = "",
                                          .last_step = N_STEPS - 1,
                                          .n_steps = N_STEPS},
        .things = stage->things,
        .series = stage->series};
    for (int i = 0; i < N_STEPS; i++) {
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

static void add_batches(struct stage *stage, bool has_past)
{
    for (size_t b = 0; b < BARO_LEN(stage->batches); b++) {
        for (size_t i = 0; i < N_BATCH; i++) {
            stage->samples[b][i] = (b == 3 || has_past ? 10 : 50) + (int64_t)i;
        }
        stage->batches[b] = (struct why_batch){.step = b == 3 ? STEP : 20 + 10 * (int64_t)b,
            .n = N_BATCH,
            .samples = stage->samples[b]};
    }
    stage->facts.batches = stage->batches;
    stage->facts.n_batches = BARO_LEN(stage->batches);
}

static struct why_alert *add_alert(
    struct stage *stage, const char *kind, uint32_t thing, int64_t step)
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

static const struct why_story *tell(struct stage *stage)
{
    why_tell(&stage->facts, &stage->story);
    return &stage->story;
}

static bool says(const char *text, const char *words)
{
    if (strstr(text, words) == NULL) {
        print_message("'%s' is not in '%s'\n", words, text);
        return false;
    }
    return true;
}

static bool any_remedy_says(const struct why_story *story, const char *words)
{
    for (size_t i = 0; i < story->n_remedies; i++) {
        if (strstr(story->remedies[i], words) != NULL) {
            return true;
        }
    }
    return false;
}

/* ---- told from a probe ---- */

static void a_sample_that_overflows_exp_is_found_with_its_number(void **state)
{
    (void)state;
    struct stage *stage = stage_create();
    struct network network;
    network_init(&network);
    struct made calm = make_probe(&network, 100, NULL);
    for (int i = 0; i < N_IN; i++) {
        network.x[BAD_ROW * N_IN + i] *= 200;
    }
    struct made failure = make_probe(&network, STEP, &exp_origin);
    stage->facts.calm = calm.probe;
    stage->facts.failure = failure.probe;
    add_batches(stage, false);
    (void)add_alert(stage, "nonfinite", 1, STEP);
    stage->values[0][STEP] = (double)INFINITY;
    const struct why_story *story = tell(stage);
    double operand = (double)network.b[1];
    for (int i = 0; i < N_IN; i++) {
        operand += (double)network.x[BAD_ROW * N_IN + i] * (double)network.w[i * N_OUT + 1];
    }
    assert_int_equal(story->answer, WHY_FROM_PROBE);
    assert_string_equal(story->origin.op, "exp");
    assert_string_equal(story->origin.module, "exp_logvar");
    assert_true(fabs(story->origin.operand - operand) < 1e-3);
    assert_true(fabs(story->origin.limit - 88.72284) < 1e-4);
    assert_true(story->origin.usual < 5);
    assert_int_equal(story->origin.calm_step, 100);
    assert_true(says(story->headline, "exp of 91.2"));
    assert_true(says(story->headline, "(exp_logvar, unit 1, sample 12, train.py:57)"));
    assert_int_equal(story->n_samples, 1);
    assert_int_equal(story->samples[0].sample, 12);
    assert_int_equal(story->samples[0].row, BAD_ROW);
    assert_int_equal(story->verdict.cause, WHY_DATA);
    assert_true(story->verdict.sureness > 0.25);
    assert_true(any_remedy_says(story, "Clamp logvar to [-30, 20]"));
    assert_true(any_remedy_says(story, "sample 12"));
    assert_string_equal(story->suspects[0].module, "exp_logvar");
    assert_true(story->n_hops >= 2);
    assert_string_equal(story->hops[0].module, "logvar");
    assert_string_equal(story->hops[1].module, "input 0");
    assert_true(fabs(story->hops[0].share - 1) < 1e-6);
    assert_true(story->hops[1].share > 0.9);
    made_finish(&calm);
    made_finish(&failure);
    free(stage);
}

static void weights_that_grew_are_told_from_bad_data(void **state)
{
    (void)state;
    struct stage *stage = stage_create();
    struct network network;
    network_init(&network);
    struct made calm = make_probe(&network, 100, NULL);
    for (int i = 0; i < N_IN * N_OUT; i++) {
        network.w[i] *= 150;
    }
    struct probe_origin origin = exp_origin;
    origin.n_rows = N_BATCH;
    origin.rows = all_rows;
    struct made failure = make_probe(&network, STEP, &origin);
    stage->facts.calm = calm.probe;
    stage->facts.failure = failure.probe;
    add_batches(stage, true);
    const struct why_story *story = tell(stage); /* no incident: the probe is enough */
    assert_int_equal(story->answer, WHY_FROM_PROBE);
    assert_int_equal(story->verdict.cause, WHY_OPTIMISER);
    assert_int_equal(story->n_samples, 0); /* the whole batch did it */
    bool is_weight_named = false;
    for (size_t i = 0; i < story->verdict.n_evidence; i++) {
        is_weight_named = is_weight_named ||
                          strstr(story->verdict.evidence[i].text, "logvar.weight") != NULL;
    }
    assert_true(is_weight_named);
    made_finish(&calm);
    made_finish(&failure);
    free(stage);
}

static void a_sample_that_was_harmless_before_clears_the_data(void **state)
{
    (void)state;
    double sureness[2];
    for (int has_past = 0; has_past < 2; has_past++) {
        struct stage *stage = stage_create();
        struct network network;
        network_init(&network);
        network.w[1] = 300;
        struct made failure = make_probe(&network, STEP, &exp_origin);
        stage->facts.failure = failure.probe;
        add_batches(stage, has_past != 0);
        const struct why_story *story = tell(stage);
        assert_int_equal(story->samples[0].n_before, has_past != 0 ? 3 : 0);
        if (has_past != 0) {
            assert_int_equal(story->samples[0].last_step, 40);
            assert_true(says(story->samples[0].text, "harmless then"));
        }
        sureness[has_past] = story->verdict.cause == WHY_DATA ? story->verdict.sureness : 0;
        made_finish(&failure);
        free(stage);
    }
    assert_true(sureness[1] <= sureness[0]);
}

static void a_logarithm_of_zero_asks_for_a_guard(void **state)
{
    (void)state;
    struct stage *stage = stage_create();
    struct network network;
    network_init(&network);
    network.last = "log";
    network.w[1] = network.w[3] = network.w[5] = 0;
    network.b[1] = 0;
    struct probe_origin origin = exp_origin;
    origin.cause = "log of 0 is -Inf";
    struct made failure = make_probe(&network, STEP, &origin);
    stage->facts.failure = failure.probe;
    const struct why_story *story = tell(stage);
    assert_true(fabs(story->origin.operand) < 1e-30);
    assert_true(any_remedy_says(story, "clamp_min(1e-7)"));
    assert_int_equal(story->verdict.cause, WHY_ARCHITECTURE);
    made_finish(&failure);
    free(stage);
}

static void what_was_not_finite_from_outside_is_data_or_poison(void **state)
{
    (void)state;
    for (int is_weight = 0; is_weight < 2; is_weight++) {
        struct stage *stage = stage_create();
        struct network network;
        network_init(&network);
        *(is_weight ? &network.w[2] : &network.x[BAD_ROW * N_IN]) = NAN;
        struct probe_origin origin = exp_origin;
        origin.op = PROBE_NONE;
        origin.value = is_weight;
        origin.cause = "it holds NaN";
        struct made failure = make_probe(&network, STEP, &origin);
        stage->facts.failure = failure.probe;
        const struct why_story *story = tell(stage);
        assert_true(story->origin.is_outside);
        assert_int_equal(story->verdict.cause, is_weight ? WHY_OPTIMISER : WHY_DATA);
        assert_string_equal(story->suspects[0].module, is_weight ? "logvar" : "input");
        assert_int_equal(any_remedy_says(story, "checkpoint"), is_weight);
        made_finish(&failure);
        free(stage);
    }
}

static void a_probe_of_another_graph_or_without_origin_does_no_harm(void **state)
{
    (void)state;
    struct stage *stage = stage_create();
    struct network network;
    network_init(&network);
    network.last = "sqrt";
    struct made calm = make_probe(&network, 100, NULL);
    network.last = "exp";
    struct made failure = make_probe(&network, STEP, &exp_origin);
    stage->facts.calm = calm.probe;
    stage->facts.failure = failure.probe;
    assert_int_equal(tell(stage)->answer, WHY_FROM_PROBE);
    stage->facts.failure = calm.probe; /* it has no origin */
    assert_int_equal(tell(stage)->answer, WHY_NOTHING);
    (void)add_alert(stage, "nonfinite", 1, STEP);
    assert_int_equal(tell(stage)->answer, WHY_FROM_READINGS);
    assert_true(says(stage->story.missing[0], "not which operation failed"));
    stage->facts.failure = NULL;
    assert_true(says(tell(stage)->missing[0], "not captured"));
    made_finish(&calm);
    made_finish(&failure);
    free(stage);
}

/* ---- told from readings ---- */

static void a_leap_of_the_learning_rate_is_blamed_on_the_optimiser(void **state)
{
    (void)state;
    struct stage *stage = stage_create();
    for (int i = STEP; i < N_STEPS; i++) {
        stage->values[1][i] = 5;
        stage->values[0][i] = i > STEP ? 300 : stage->values[0][i];
    }
    char *causes[] = {(char *)(uintptr_t)judge_cause_text(JUDGE_CAUSE_BAD_BATCH)};
    struct why_alert *alert = add_alert(stage, "loss_spike", 1, STEP + 1);
    alert->causes = causes;
    alert->n_causes = 1;
    const struct why_story *story = tell(stage);
    assert_int_equal(story->answer, WHY_FROM_READINGS);
    assert_int_equal(story->verdict.cause, WHY_OPTIMISER);
    assert_int_equal(story->loss_step, STEP + 1);
    assert_int_equal(story->beats[0].kind, WHY_BEAT_SETTING);
    assert_int_equal(story->beats[0].step, STEP);
    assert_int_equal(story->beats[0].lead, 1);
    assert_true(any_remedy_says(story, "Go back to lr 0.05, as it was until step 150"));
    free(stage);
}

static void a_drift_is_told_with_its_lead_over_the_loss(void **state)
{
    (void)state;
    struct stage *stage = stage_create();
    for (int i = 110; i < N_STEPS; i++) {
        stage->values[2][i] *= exp(0.1 * (i - 110));
        stage->values[0][i] = i >= STEP ? (double)NAN : stage->values[0][i];
    }
    struct why_alert *alert = add_alert(stage, "nonfinite", 3, STEP);
    alert->unit = 7;
    (void)add_alert(stage, "nonfinite", 1, STEP);
    const struct why_story *story = tell(stage);
    const struct why_beat *drift = NULL;
    for (size_t i = 0; i < story->n_beats; i++) {
        drift = story->beats[i].kind == WHY_BEAT_DRIFT ? &story->beats[i] : drift;
    }
    assert_non_null(drift);
    assert_true(drift->step >= 105 && drift->step <= 116);
    assert_int_equal(drift->lead, STEP - drift->step);
    assert_true(says(drift->text, "steps before the loss showed it"));
    assert_string_equal(story->suspects[0].module, "logvar");
    assert_int_equal(story->suspects[0].unit, 7);
    assert_int_equal(story->loss_step, STEP);
    free(stage);
}

static void a_run_in_which_nothing_is_wrong_says_so(void **state)
{
    (void)state;
    struct stage *stage = stage_create();
    assert_int_equal(tell(stage)->answer, WHY_NOTHING);
    assert_true(says(stage->story.headline, "Nothing is wrong with tests/run"));
    assert_int_equal(stage->story.n_remedies, 0);
    assert_true(says(stage->story.looked, "2 scalars and 1 tensor"));
    stage->facts.run.status = "failed";
    stage->facts.run.reason = "KeyError: 'x'";
    assert_true(says(tell(stage)->headline, "failed at step 199: KeyError: 'x'"));
    free(stage);
}

static void a_run_of_which_nothing_is_known_says_so(void **state)
{
    (void)state;
    const struct why_facts facts = {
        .run = {.name = "tests/empty", .status = "running", .reason = ""}};
    struct why_story *story = baro_xcalloc(1, sizeof *story);
    why_tell(&facts, story);
    assert_true(says(story->headline, "Nothing is known of tests/empty yet"));
    assert_int_equal(story->n_beats, 0);
    free(story);
}

static void one_step_is_said_to_be_too_little(void **state)
{
    (void)state;
    struct stage *stage = stage_create();
    stage->facts.run.n_steps = 1;
    stage->facts.run.last_step = 0;
    for (size_t i = 0; i < stage->facts.n_series; i++) {
        stage->series[i].n = 1;
    }
    assert_true(says(tell(stage)->missing[0], "One step is too little"));
    free(stage);
}

/* ---- what samples gave, and what did no harm ---- */

static void a_samples_own_loss_says_whether_it_was_harmless_before(void **state)
{
    (void)state;
    for (int is_out = 0; is_out < 2; is_out++) {
        struct stage *stage = stage_create();
        struct network network;
        network_init(&network);
        for (int i = 0; i < N_IN; i++) {
            network.x[BAD_ROW * N_IN + i] *= 200;
        }
        struct made failure = make_probe(&network, STEP, &exp_origin);
        stage->facts.failure = failure.probe;
        add_batches(stage, true);
        (void)add_alert(stage, "nonfinite", 1, STEP);
        struct reading_sample given[N_BATCH];
        for (int i = 0; i < N_BATCH; i++) {
            given[i] = (struct reading_sample){.index = 10 + i, .loss = 0.5F + 0.01F * i};
        }
        given[BAD_ROW].loss = is_out ? 40.0F : 0.625F;
        const struct why_results results = {30, N_BATCH, given};
        stage->facts.results = &results;
        stage->facts.n_results = 1;
        const struct why_story *story = tell(stage);
        assert_true(story->samples[0].has_own);
        assert_int_equal(story->samples[0].own_step, 30);
        assert_int_equal(story->samples[0].is_own_out, is_out);
        assert_true(says(story->samples[0].text,
            is_out ? "its own loss was 40, where 0.52 was usual: it stood out already"
                   : "its own loss was 0.625, where 0.52 was usual: harmless then"));
        made_finish(&failure);
        free(stage);
    }
}

static void without_a_probe_the_sample_whose_own_loss_was_lost_is_named(void **state)
{
    (void)state;
    struct stage *stage = stage_create();
    add_batches(stage, false);
    (void)add_alert(stage, "nonfinite", 1, STEP);
    struct reading_sample given[N_BATCH];
    for (int i = 0; i < N_BATCH; i++) {
        given[i] =
            (struct reading_sample){.index = 10 + i, .loss = i == BAD_ROW ? NAN : 0.5F};
    }
    const struct why_results results = {STEP, N_BATCH, given};
    stage->facts.results = &results;
    stage->facts.n_results = 1;
    const struct why_story *story = tell(stage);
    assert_int_equal(story->n_samples, 1);
    assert_int_equal(story->samples[0].sample, 12);
    assert_true(story->samples[0].is_certain);
    free(stage);
}

static void a_nan_that_never_reaches_the_loss_may_be_meant(void **state)
{
    (void)state;
    struct stage *stage = stage_create();
    (void)add_alert(stage, "nonfinite", 3, STEP);
    const struct why_story *story = tell(stage);
    assert_true(story->is_harmless);
    assert_true(says(story->headline, "It has not reached the loss"));
    assert_int_equal(story->verdict.cause, WHY_UNKNOWN);
    assert_true(any_remedy_says(story, "If logvar is meant to hold NaN"));
    stage->values[0][STEP + 3] = (double)NAN;
    assert_false(tell(stage)->is_harmless);
    free(stage);
}

static void a_failure_of_which_pieces_are_missing_is_told_as_such(void **state)
{
    (void)state;
    struct stage *stage = stage_create();
    (void)add_alert(stage, "nonfinite", 1, STEP);
    stage->facts.others = (struct why_others){
        .n = 1, .steps = {STEP + 9}, .cut_step = STEP, .pieces = 9, .pieces_here = 4};
    const struct why_story *story = tell(stage);
    bool is_told = false;
    for (size_t i = 0; i < story->n_missing; i++) {
        is_told = is_told || strstr(story->missing[i], "4 of 9 pieces came") != NULL;
        assert_null(strstr(story->missing[i], "run.watch(model, optimizer) the moment"));
    }
    assert_true(is_told);
    assert_true(says(story->looked, "(1 more was captured, at step 159)"));
    free(stage);
}

/* ---- planning ---- */

static void the_gravest_incident_is_chosen_or_the_one_at_a_step(void **state)
{
    (void)state;
    const struct why_choice choices[] = {{BARO_WATCH, false, 10, 20},
        {BARO_ALARM, false, 50, 60}, {BARO_ALARM, true, 90, 95},
        {BARO_ALARM, true, 120, 130}, {BARO_WATCH, true, 200, 210}};
    assert_int_equal(why_choose(choices, 5, false, 0), 2);
    assert_int_equal(why_choose(choices, 2, false, 0), 1);
    assert_int_equal(why_choose(choices, 5, true, 15), 0);
    assert_int_equal(why_choose(choices, 5, true, 195), 4);
    assert_int_equal(why_choose(choices, 5, true, -1000), 0);
    assert_int_equal(why_choose(choices, 0, false, 0), 0);
}

static void a_plan_is_bounded_whatever_the_run_has(void **state)
{
    (void)state;
    enum { N_THINGS = 4000 };
    struct stage *stage = stage_create();
    struct why_thing *things = baro_xcalloc(N_THINGS, sizeof *things);
    char(*names)[32] = baro_xcalloc(N_THINGS, sizeof *names);
    for (uint32_t i = 0; i < N_THINGS; i++) {
        (void)snprintf(
            names[i], sizeof names[i], "layers.%u%s", i / 4, i % 4 == 0 ? "" : ".weight");
        things[i] = (struct why_thing){.id = i + 1,
            .name = names[i],
            .role = i % 4 == 0 ? BARO_ACT : BARO_WEIGHT,
            .n_points = 9,
            .n_units = 64,
            .spacing = 100};
    }
    (void)add_alert(stage, "nonfinite", 1, 1000000);
    stage->alerts[0].thing = 2001;
    stage->alerts[0].module = names[2000];
    stage->alerts[0].role = BARO_ACT;
    stage->alerts[0].unit = 5;
    stage->facts.things = things;
    stage->facts.n_things = N_THINGS;
    stage->facts.run.last_step = 1000100;
    struct why_plan *plan = baro_xcalloc(1, sizeof *plan);
    why_plan(&stage->facts, plan);
    assert_int_equal(plan->step, 1000000);
    assert_true(plan->n_wants > 8 && plan->n_wants <= WHY_MAX_WANTS);
    assert_true(plan->wants_past && plan->to <= 1000100);
    assert_true(plan->to - plan->from <= 64 * WHY_WINDOW + WHY_WINDOW);
    assert_true(plan->step - plan->from >= 256 * 100); /* readings are rare */
    bool has_unit = false;
    for (size_t i = 0; i < plan->n_wants; i++) {
        has_unit = has_unit || (plan->wants[i].thing == 2001 && plan->wants[i].unit == 5);
    }
    assert_true(has_unit);
    free(plan);
    free(names);
    free(things);
    free(stage);
}

static void steps_are_written_with_their_thousands_apart(void **state)
{
    (void)state;
    char text[32];
    assert_string_equal(why_step(0, text), "0");
    assert_string_equal(why_step(999, text), "999");
    assert_string_equal(why_step(24397, text), "24,397");
    assert_string_equal(why_step(-1000000, text), "-1,000,000");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_operation_breaks_where_it_is_no_longer_defined),
        cmocka_unit_test(a_sample_that_overflows_exp_is_found_with_its_number),
        cmocka_unit_test(weights_that_grew_are_told_from_bad_data),
        cmocka_unit_test(a_sample_that_was_harmless_before_clears_the_data),
        cmocka_unit_test(a_logarithm_of_zero_asks_for_a_guard),
        cmocka_unit_test(what_was_not_finite_from_outside_is_data_or_poison),
        cmocka_unit_test(a_probe_of_another_graph_or_without_origin_does_no_harm),
        cmocka_unit_test(a_leap_of_the_learning_rate_is_blamed_on_the_optimiser),
        cmocka_unit_test(a_drift_is_told_with_its_lead_over_the_loss),
        cmocka_unit_test(a_run_in_which_nothing_is_wrong_says_so),
        cmocka_unit_test(a_run_of_which_nothing_is_known_says_so),
        cmocka_unit_test(one_step_is_said_to_be_too_little),
        cmocka_unit_test(a_samples_own_loss_says_whether_it_was_harmless_before),
        cmocka_unit_test(without_a_probe_the_sample_whose_own_loss_was_lost_is_named),
        cmocka_unit_test(a_nan_that_never_reaches_the_loss_may_be_meant),
        cmocka_unit_test(a_failure_of_which_pieces_are_missing_is_told_as_such),
        cmocka_unit_test(the_gravest_incident_is_chosen_or_the_one_at_a_step),
        cmocka_unit_test(a_plan_is_bounded_whatever_the_run_has),
        cmocka_unit_test(steps_are_written_with_their_thousands_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
