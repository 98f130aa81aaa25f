/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of convolutions and of what else looks through windows. */
#include "tests/testing.h"

#include "tests/unit/credit_rule_rig.h"

#include <math.h>

/* Two axes are enough for the plain way; a third and a first are other shapes of the same. */
struct window {
    int64_t stride[2], padding[2], dilation[2];
    int64_t groups;
};

static struct window window;

static int64_t at4(const int64_t *shape, int64_t a, int64_t b, int64_t c, int64_t d)
{
    return ((a * shape[1] + b) * shape[2] + c) * shape[3] + d;
}

/* Every pair of an input and an output place that meet in a convolution, with their weight. */
static void convolve(const struct rule_rig *rig, bool is_transposed, const double *x,
    const double *w, const double *bias, double *y)
{
    const int64_t *in = rig->in[0].shape;
    const int64_t *k = rig->in[1].shape;
    const int64_t *out = rig->out[0].shape;
    const int64_t *image = is_transposed ? out : in;
    const int64_t *map = is_transposed ? in : out;
    for (int64_t e = 0; e < rule_rig_count(&rig->out[0]); e++) {
        y[e] = bias[e / (out[2] * out[3]) % out[1]];
    }
    for (int64_t e = 0; e < rule_rig_count(&rig->in[1]) * map[0] * map[2] * map[3]; e++) {
        const int64_t kw = e % k[3];
        const int64_t kh = e / k[3] % k[2];
        const int64_t ci = e / (k[3] * k[2]) % k[1];
        const int64_t cm = e / (k[3] * k[2] * k[1]) % k[0];
        const int64_t rest = e / (k[3] * k[2] * k[1] * k[0]);
        const int64_t mw = rest % map[3];
        const int64_t mh = rest / map[3] % map[2];
        const int64_t n = rest / (map[3] * map[2]);
        const int64_t ih =
            mh * window.stride[0] - window.padding[0] + kh * window.dilation[0];
        const int64_t iw =
            mw * window.stride[1] - window.padding[1] + kw * window.dilation[1];
        if (ih < 0 || ih >= image[2] || iw < 0 || iw >= image[3]) {
            continue;
        }
        const int64_t c = cm / (k[0] / window.groups) * k[1] + ci;
        const double weight = w[at4(k, cm, ci, kh, kw)];
        if (is_transposed) {
            y[at4(out, n, c, ih, iw)] += weight * x[at4(in, n, cm, mh, mw)];
        } else {
            y[at4(out, n, cm, mh, mw)] += weight * x[at4(in, n, c, ih, iw)];
        }
    }
}

static void run_conv(const struct rule_rig *rig, double *const *in, double *const *out)
{
    convolve(
        rig, strstr(rig->attrs, "transposed=True") != NULL, in[0], in[1], in[2], out[0]);
}

static void a_convolution_has_stride_padding_dilation_and_groups(void **state)
{
    (void)state;
    window = (struct window){{2, 1}, {1, 2}, {1, 2}, 2};
    rule_rig_check(&(struct rule_rig){.name = "convolution",
        .attrs = "stride=[2, 1] padding=[1, 2] dilation=[1, 2] transposed=False "
                 "output_padding=[0, 0] groups=2",
        .rules = credit_rules_conv,
        .n_in = 3,
        .n_out = 1,
        .in = {{.n_dims = 4, .shape = {2, 4, 6, 5}, .low = -1, .high = 2},
            {.n_dims = 4, .shape = {6, 2, 3, 2}, .low = -1, .high = 1},
            {.n_dims = 1, .shape = {6}, .low = 1, .high = 3}},
        .out = {{.n_dims = 4, .shape = {2, 6, 3, 7}}},
        .run = run_conv});
}

static void a_transposed_convolution_is_the_other_way_round(void **state)
{
    (void)state;
    window = (struct window){{2, 2}, {1, 0}, {1, 1}, 2};
    rule_rig_check(&(struct rule_rig){.name = "convolution",
        .attrs = "stride=[2] padding=[1, 0] dilation=[1, 1] transposed=True "
                 "output_padding=[1, 0] groups=2",
        .rules = credit_rules_conv,
        .n_in = 3,
        .n_out = 1,
        .in = {{.n_dims = 4, .shape = {2, 4, 3, 4}, .low = -1, .high = 2},
            {.n_dims = 4, .shape = {4, 3, 3, 2}, .low = -1, .high = 1},
            {.n_dims = 1, .shape = {6}, .low = 1, .high = 3}},
        .out = {{.n_dims = 4, .shape = {2, 6, 6, 8}}},
        .run = run_conv});
}

/* One input channel, kernel of two, one output: 2 * 3 + 4 * 5 + 1. */
static void shares_of_a_convolution_are_what_is_summed_up(void **state)
{
    (void)state;
    const struct rule_rig rig = {.name = "convolution",
        .attrs = "stride=[1] padding=[0] dilation=[1] transposed=False groups=1",
        .rules = credit_rules_conv,
        .n_in = 3,
        .n_out = 1,
        .in = {{.n_dims = 3, .shape = {1, 1, 2}}, {.n_dims = 3, .shape = {1, 1, 2}},
            {.n_dims = 1, .shape = {1}}},
        .out = {{.n_dims = 3, .shape = {1, 1, 1}}}};
    float of_x[2];
    struct rule_rig_call call = {.in = {(float[]){2, 4}, (float[]){3, 5}, (float[]){1}},
        .out = {(float[]){27}},
        .of_out = {(float[]){1}},
        .of_in = {of_x}};
    assert_int_equal(rule_rig_run(&rig, CREDIT_VALUE, &call), 0);
    assert_true(fabs((double)of_x[0] - 6.0 / 27) < 1e-5);
    assert_true(fabs((double)of_x[1] - 20.0 / 27) < 1e-5);
    assert_true(fabs(call.own[CREDIT_OWN_BIAS] - 1.0 / 27) < 1e-5);
}

/* Largest of windows of 2 by 2, which overlap. */
static void run_max(const struct rule_rig *rig, double *const *in, double *const *out)
{
    const int64_t *x = rig->in[0].shape;
    const int64_t *y = rig->out[0].shape;
    for (int64_t e = 0; e < rule_rig_count(&rig->out[0]); e++) {
        const int64_t plane = e / (y[2] * y[3]) * x[2] * x[3];
        const int64_t h = e / y[3] % y[2];
        const int64_t w = e % y[3];
        out[0][e] = -1e9;
        for (int64_t k = 0; k < 4; k++) {
            out[0][e] = fmax(out[0][e], in[0][plane + (h + k / 2) * x[3] + w + k % 2]);
        }
    }
}

static void the_largest_of_a_window_takes_all(void **state)
{
    (void)state;
    rule_rig_check(&(struct rule_rig){.name = "max_pool2d_with_indices",
        .attrs = "kernel_size=[2, 2] stride=[1, 1] padding=0 dilation=1 ceil_mode=False",
        .rules = credit_rules_pool,
        .n_in = 1,
        .n_out = 1,
        .in = {{.n_dims = 4, .shape = {2, 3, 4, 5}, .low = -1, .high = 1}},
        .out = {{.n_dims = 4, .shape = {2, 3, 3, 4}}},
        .run = run_max});
}

/* The winner changes from the first to the second, 5 to 7: both moved, so both have a part. */
static void a_winner_that_changed_shares_with_the_one_before(void **state)
{
    (void)state;
    const struct rule_rig rig = {.name = "max_pool1d",
        .attrs = "kernel_size=[2]",
        .rules = credit_rules_pool,
        .n_in = 1,
        .n_out = 1,
        .in = {{.n_dims = 3, .shape = {1, 1, 2}}},
        .out = {{.n_dims = 3, .shape = {1, 1, 1}}}};
    float of_x[2];
    struct rule_rig_call call = {.in0 = {(float[]){5, 3}},
        .in = {(float[]){4, 7}},
        .out0 = {(float[]){5}},
        .out = {(float[]){7}},
        .of_out = {(float[]){1}},
        .of_in = {of_x}};
    assert_int_equal(rule_rig_run(&rig, CREDIT_CHANGE, &call), 0);
    assert_true(fabs((double)of_x[0] * -1 + (double)of_x[1] * 4 - 2) < 1e-6);
    assert_true((double)of_x[1] > 0.5 && (double)of_x[0] >= 0);
}

/* Averages of 3 with one place of padding at each side, which does not count. */
static void run_average(const struct rule_rig *rig, double *const *in, double *const *out)
{
    const int64_t n = rig->in[0].shape[2];
    const int64_t n_out = rig->out[0].shape[2];
    for (int64_t e = 0; e < rule_rig_count(&rig->out[0]); e++) {
        double sum = 0;
        int count = 0;
        for (int64_t k = 0; k < 3; k++) {
            const int64_t place = e % n_out * 2 - 1 + k;
            if (place >= 0 && place < n) {
                sum += in[0][e / n_out * n + place];
                count++;
            }
        }
        out[0][e] = sum / count;
    }
}

static void run_nearest(const struct rule_rig *rig, double *const *in, double *const *out)
{
    const int64_t n_out = rig->out[0].shape[2];
    for (int64_t e = 0; e < rule_rig_count(&rig->out[0]); e++) {
        out[0][e] = in[0][e / n_out * rig->in[0].shape[2] + e % n_out / 2];
    }
}

static void run_linear(const struct rule_rig *rig, double *const *in, double *const *out)
{
    const int64_t n = rig->in[0].shape[2];
    const int64_t n_out = rig->out[0].shape[2];
    for (int64_t e = 0; e < rule_rig_count(&rig->out[0]); e++) {
        const double at = fmax(((double)(e % n_out) + 0.5) / 2 - 0.5, 0);
        const int64_t left = (int64_t)at;
        const int64_t right = left + 1 < n ? left + 1 : left;
        const double *line = in[0] + e / n_out * n;
        out[0][e] =
            line[left] * (1 - (at - (double)left)) + line[right] * (at - (double)left);
    }
}

static void run_reflect(const struct rule_rig *rig, double *const *in, double *const *out)
{
    const int64_t n = rig->in[0].shape[2];
    const int64_t n_out = rig->out[0].shape[2];
    for (int64_t e = 0; e < rule_rig_count(&rig->out[0]); e++) {
        int64_t place = llabs((long long)(e % n_out - 2));
        place = place >= n ? 2 * (n - 1) - place : place;
        out[0][e] = in[0][e / n_out * n + place];
    }
}

static void weighted_windows_share_by_their_weights(void **state)
{
    (void)state;
    const struct {
        const char *name, *attrs;
        int64_t n_out;
        void (*run)(const struct rule_rig *, double *const *, double *const *);
    } all[] = {
        {"avg_pool1d", "kernel_size=[3] stride=[2] padding=[1] count_include_pad=False", 3,
            run_average},
        {"upsample_nearest1d", "output_size=[10] scales=2.0", 10, run_nearest},
        {"upsample_linear1d", "output_size=None align_corners=False scale_factors=[2.0]",
            10, run_linear},
        {"reflection_pad1d", "padding=[2, 1]", 8, run_reflect},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        rule_rig_check(&(struct rule_rig){.name = all[i].name,
            .attrs = all[i].attrs,
            .rules = credit_rules_pool,
            .n_in = 1,
            .n_out = 1,
            .in = {{.n_dims = 3, .shape = {2, 3, 5}, .low = 0.5, .high = 2}},
            .out = {{.n_dims = 3, .shape = {2, 3, all[i].n_out}}},
            .run = all[i].run});
    }
}

static void shapes_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    float of_x[8];
    const float x[8] = {0};
    struct rule_rig rig = {.name = "convolution",
        .attrs = "groups=0",
        .rules = credit_rules_conv,
        .n_in = 2,
        .n_out = 1,
        .in = {{.n_dims = 3, .shape = {1, 2, 4}}, {.n_dims = 3, .shape = {3, 2, 2}}},
        .out = {{.n_dims = 3, .shape = {1, 2, 3}}}};
    struct rule_rig_call call = {
        .in = {x, (float[12]){0}}, .out = {x}, .of_out = {x}, .of_in = {of_x}};
    assert_int_equal(rule_rig_run(&rig, CREDIT_GRADIENT, &call), BARO_EUNSUPPORTED);
    rig.in[1].n_dims = 2;
    assert_int_equal(rule_rig_run(&rig, CREDIT_GRADIENT, &call), BARO_EUNSUPPORTED);
    call.in[1] = NULL;
    assert_int_equal(rule_rig_run(&rig, CREDIT_GRADIENT, &call), BARO_ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_convolution_has_stride_padding_dilation_and_groups),
        cmocka_unit_test(a_transposed_convolution_is_the_other_way_round),
        cmocka_unit_test(shares_of_a_convolution_are_what_is_summed_up),
        cmocka_unit_test(the_largest_of_a_window_takes_all),
        cmocka_unit_test(a_winner_that_changed_shares_with_the_one_before),
        cmocka_unit_test(weighted_windows_share_by_their_weights),
        cmocka_unit_test(shapes_that_do_not_fit_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
