/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of operations that not every network has: gates, patches, grids, bags, distances, CTC. */
#include "tests/testing.h"

#include "tests/unit/credit_rule_rig.h"

#include <math.h>

#define SIGNAL(low_, high_, n_, ...)                                                       \
    {                                                                                      \
        .n_dims = (n_), .shape = {__VA_ARGS__}, .low = (low_), .high = (high_)             \
    }

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static void run_glu(const struct rule_rig *rig, double *const *in, double *const *out)
{
    for (int64_t i = 0; i < 2 * 2 * 3; i++) {
        const int64_t a = i / 6 * 12 + i % 6;
        out[0][i] = in[0][a] * sigmoid(in[0][a + 6]);
    }
    (void)rig;
}

static void a_gated_unit_shares_between_signal_and_gate(void **state)
{
    (void)state;
    rule_rig_check(&(struct rule_rig){.name = "glu",
        .attrs = "dim=1",
        .rules = credit_rules_factors,
        .n_in = 1,
        .n_out = 1,
        .in = {SIGNAL(-2, 2, 3, 2, 4, 3)},
        .out = {SIGNAL(0, 0, 3, 2, 2, 3)},
        .run = run_glu});
}

static void run_weight_norm(
    const struct rule_rig *rig, double *const *in, double *const *out)
{
    (void)rig;
    for (int64_t row = 0; row < 3; row++) {
        double sum = 0;
        for (int64_t j = 0; j < 4; j++) {
            sum += in[0][row * 4 + j] * in[0][row * 4 + j];
        }
        for (int64_t j = 0; j < 4; j++) {
            out[0][row * 4 + j] = in[1][row] * in[0][row * 4 + j] / sqrt(sum);
        }
    }
}

static void a_normed_weight_is_gain_times_direction(void **state)
{
    (void)state;
    rule_rig_check(&(struct rule_rig){.name = "_weight_norm_interface",
        .attrs = "dim=0",
        .rules = credit_rules_factors,
        .n_in = 2,
        .n_out = 1,
        .in = {SIGNAL(-2, 2, 2, 3, 4), SIGNAL(0.5, 2, 2, 3, 1)},
        .out = {SIGNAL(0, 0, 2, 3, 4)},
        .run = run_weight_norm});
}

static void run_bilinear(const struct rule_rig *rig, double *const *in, double *const *out)
{
    (void)rig;
    for (int64_t e = 0; e < 2 * 3; e++) {
        out[0][e] = 0;
        for (int64_t k = 0; k < 4 * 2; k++) {
            out[0][e] +=
                in[0][e / 3 * 4 + k / 2] * in[1][e % 3 * 8 + k] * in[2][e / 3 * 2 + k % 2];
        }
    }
}

static void a_bilinear_layer_has_three_factors(void **state)
{
    (void)state;
    rule_rig_check(&(struct rule_rig){.name = "_trilinear",
        .attrs = "expand1=[1,3] expand2=[0] expand3=[1,2] sumdim=[2,3] unroll_dim=1",
        .rules = credit_rules_factors,
        .n_in = 3,
        .n_out = 1,
        .in = {SIGNAL(0.5, 2, 2, 2, 4), SIGNAL(0.2, 1, 3, 3, 4, 2),
            SIGNAL(0.5, 2, 2, 2, 2)},
        .out = {SIGNAL(0, 0, 2, 2, 3)},
        .run = run_bilinear});
}

/* Patches of 2 by 3, stride 2 by 1, padding 1 by 0, dilation 1 by 2, of 2 channels of 4 by 6. */
static int64_t image_place(int64_t in_patch, int64_t place)
{
    const int64_t y = place / 2 * 2 - 1 + in_patch / 3 % 2;
    const int64_t x = place % 2 + in_patch % 3 * 2;
    return y < 0 || y >= 4 ? -1 : in_patch / 6 * 24 + y * 6 + x;
}

static void run_unfold(const struct rule_rig *rig, double *const *in, double *const *out)
{
    (void)rig;
    for (int64_t e = 0; e < 12 * 6; e++) {
        const int64_t at = image_place(e / 6, e % 6);
        out[0][e] = at >= 0 ? in[0][at] : 0;
    }
}

static void run_fold(const struct rule_rig *rig, double *const *in, double *const *out)
{
    (void)rig;
    memset(out[0], 0, 48 * sizeof *out[0]);
    for (int64_t e = 0; e < 12 * 6; e++) {
        const int64_t at = image_place(e / 6, e % 6);
        if (at >= 0) {
            out[0][at] += in[0][e];
        }
    }
}

#define PATCHES "kernel_size=[2,3] dilation=[1,2] padding=[1,0] stride=[2,1]"

static void patches_are_cut_out_and_laid_back(void **state)
{
    (void)state;
    rule_rig_check(&(struct rule_rig){.name = "im2col",
        .attrs = PATCHES,
        .rules = credit_rules_links,
        .n_in = 1,
        .n_out = 1,
        .in = {SIGNAL(0.5, 2, 4, 1, 2, 4, 6)},
        .out = {SIGNAL(0, 0, 3, 1, 12, 6)},
        .run = run_unfold});
    rule_rig_check(&(struct rule_rig){.name = "col2im",
        .attrs = "output_size=[4,6] " PATCHES,
        .rules = credit_rules_links,
        .n_in = 1,
        .n_out = 1,
        .in = {SIGNAL(0.5, 2, 3, 1, 12, 6)},
        .out = {SIGNAL(0, 0, 4, 1, 2, 4, 6)},
        .run = run_fold});
}

static void run_affine(const struct rule_rig *rig, double *const *in, double *const *out)
{
    const bool is_aligned = strstr(rig->attrs, "True") != NULL;
    for (int64_t e = 0; e < 2 * 3 * 4 * 2; e++) {
        const double x = (double)(e / 2 % 4);
        const double y = (double)(e / 8 % 3);
        const double *map = in[0] + e / 24 * 6 + e % 2 * 3;
        const double at_x = is_aligned ? 2 * x / 3 - 1 : (2 * x + 1) / 4 - 1;
        const double at_y = is_aligned ? y - 1 : (2 * y + 1) / 3 - 1;
        out[0][e] = map[0] * at_x + map[1] * at_y + map[2];
    }
}

static void a_grid_of_an_affine_map_is_linear_in_it(void **state)
{
    (void)state;
    for (int is_aligned = 0; is_aligned < 2; is_aligned++) {
        rule_rig_check(&(struct rule_rig){.name = "affine_grid_generator",
            .attrs = is_aligned ? "size=[2,1,3,4] align_corners=True"
                                : "size=[2,1,3,4] align_corners=False",
            .rules = credit_rules_links,
            .n_in = 1,
            .n_out = 1,
            .in = {SIGNAL(1, 2, 3, 2, 2, 3)},
            .out = {SIGNAL(0, 0, 4, 2, 3, 4, 2)},
            .run = run_affine});
    }
}

static double pixel(const double *plane, int64_t y, int64_t x)
{
    return y < 0 || x < 0 || y > 2 || x > 3 ? 0 : plane[y * 4 + x];
}

/* Bilinear, aligned corners, zeros outside; planes of 3 by 4. */
static void run_grid(const struct rule_rig *rig, double *const *in, double *const *out)
{
    (void)rig;
    for (int64_t e = 0; e < 2 * 5; e++) {
        const double *plane = in[0] + e / 5 * 12;
        const double x = 0.5 * (in[1][e % 5 * 2] + 1) * 3;
        const double y = 0.5 * (in[1][e % 5 * 2 + 1] + 1) * 2;
        const double u = x - floor(x);
        const double v = y - floor(y);
        const int64_t left = (int64_t)floor(x);
        const int64_t top = (int64_t)floor(y);
        out[0][e] = (1 - u) * (1 - v) * pixel(plane, top, left) +
                    u * (1 - v) * pixel(plane, top, left + 1) +
                    (1 - u) * v * pixel(plane, top + 1, left) +
                    u * v * pixel(plane, top + 1, left + 1);
    }
}

static void a_plane_is_sampled_where_a_grid_says(void **state)
{
    (void)state;
    rule_rig_check(&(struct rule_rig){.name = "grid_sampler_2d",
        .attrs = "interpolation_mode=0 padding_mode=0 align_corners=True",
        .rules = credit_rules_grid,
        .n_in = 2,
        .n_out = 1,
        .in = {SIGNAL(0.5, 2, 4, 1, 2, 3, 4), SIGNAL(-1.2, 1.2, 4, 1, 1, 5, 2)},
        .out = {SIGNAL(0, 0, 4, 1, 2, 1, 5)},
        .run = run_grid});
}

static void run_cumprod(const struct rule_rig *rig, double *const *in, double *const *out)
{
    (void)rig;
    for (int64_t e = 0; e < 2 * 5 * 2; e++) {
        out[0][e] = in[0][e] * (e / 2 % 5 > 0 ? out[0][e - 2] : 1);
    }
}

static void run_logcumsumexp(
    const struct rule_rig *rig, double *const *in, double *const *out)
{
    (void)rig;
    for (int64_t e = 0; e < 2 * 5 * 2; e++) {
        out[0][e] = log(exp(in[0][e]) + (e / 2 % 5 > 0 ? exp(out[0][e - 2]) : 0));
    }
}

static void running_products_and_logarithms_go_along_an_axis(void **state)
{
    (void)state;
    rule_rig_check(&(struct rule_rig){.name = "cumprod",
        .attrs = "dim=1",
        .rules = credit_rules_running,
        .n_in = 1,
        .n_out = 1,
        .in = {SIGNAL(-2, 2, 3, 2, 5, 2)},
        .out = {SIGNAL(0, 0, 3, 2, 5, 2)},
        .run = run_cumprod});
    rule_rig_check(&(struct rule_rig){.name = "logcumsumexp",
        .attrs = "dim=1",
        .rules = credit_rules_running,
        .n_in = 1,
        .n_out = 1,
        .in = {SIGNAL(-3, 3, 3, 2, 5, 2)},
        .out = {SIGNAL(0, 0, 3, 2, 5, 2)},
        .run = run_logcumsumexp});
}

static void a_zero_in_a_running_product_does_no_harm(void **state)
{
    (void)state;
    const float x[3] = {2, 0, 4};
    const float y[3] = {2, 0, 0};
    const float of[3] = {0, 0, 1};
    float to[3] = {0};
    const struct rule_rig rig = {.name = "cumprod",
        .attrs = "dim=0",
        .rules = credit_rules_running,
        .n_in = 1,
        .n_out = 1,
        .in = {SIGNAL(0, 0, 1, 3)},
        .out = {SIGNAL(0, 0, 1, 3)}};
    struct rule_rig_call call = {.in = {x}, .out = {y}, .of_out = {of}, .of_in = {to}};
    assert_int_equal(rule_rig_run(&rig, CREDIT_GRADIENT, &call), 0);
    assert_float_equal(to[0], 0, 1e-6);
    assert_float_equal(to[1], 8, 1e-6);
    assert_float_equal(to[2], 0, 1e-6);
}

static void a_bag_is_the_mean_of_its_vectors(void **state)
{
    (void)state;
    const float table[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    const float index[3] = {0, 2, 2};
    const float offset[2] = {0, 1};
    const float y[4] = {1, 2, 5, 6};
    const float of[4] = {0, 0, 1, 0};
    float to[8] = {0};
    float to_index[3] = {0};
    const struct rule_rig rig = {.name = "_embedding_bag",
        .attrs = "mode=1 padding_idx=-1",
        .rules = credit_rules_bag,
        .n_in = 3,
        .n_out = 1,
        .in = {SIGNAL(0, 0, 2, 4, 2), SIGNAL(0, 0, 1, 3), SIGNAL(0, 0, 1, 2)},
        .out = {SIGNAL(0, 0, 2, 2, 2)}};
    struct rule_rig_call call = {
        .in = {table, index, offset}, .out = {y}, .of_out = {of}, .of_in = {to, to_index}};
    assert_int_equal(rule_rig_run(&rig, CREDIT_GRADIENT, &call), 0);
    assert_float_equal(to[4], 1, 1e-6); /* twice a half */
    assert_float_equal(to[0], 0, 1e-6);
    assert_int_equal(rule_rig_run(&rig, CREDIT_VALUE, &call), 0);
    assert_float_equal(to_index[1], 0.5, 1e-5);
    assert_float_equal(to_index[0], 0, 1e-6);
}

static void run_cdist(const struct rule_rig *rig, double *const *in, double *const *out)
{
    const double p = strstr(rig->attrs, "p=1.0") != NULL ? 1 : 2;
    for (int64_t e = 0; e < 3 * 2; e++) {
        double sum = 0;
        for (int64_t k = 0; k < 4; k++) {
            sum += pow(fabs(in[0][e / 2 * 4 + k] - in[1][e % 2 * 4 + k]), p);
        }
        out[0][e] = pow(sum, 1 / p);
    }
}

static void distances_are_of_both_rows(void **state)
{
    (void)state;
    for (int p = 1; p <= 2; p++) {
        rule_rig_check(&(struct rule_rig){.name = "_cdist_forward",
            .attrs = p == 1 ? "p=1.0 compute_mode=None" : "p=2.0 compute_mode=None",
            .rules = credit_rules_distance,
            .n_in = 2,
            .n_out = 1,
            .in = {SIGNAL(-2, 2, 2, 3, 4), SIGNAL(-2, 2, 2, 2, 4)},
            .out = {SIGNAL(0, 0, 2, 3, 2)},
            .run = run_cdist});
    }
}

static void run_margin(const struct rule_rig *rig, double *const *in, double *const *out)
{
    const double p = strstr(rig->attrs, "p=2") != NULL ? 2 : 1;
    out[0][0] = 0;
    for (int row = 0; row < 3; row++) {
        const int label = (int)in[1][row];
        for (int j = 0; j < 4; j++) {
            const double d = 1.5 - in[0][row * 4 + label] + in[0][row * 4 + j];
            out[0][0] += j != label && d > 0 ? pow(d, p) / 12 : 0;
        }
    }
}

static void a_margin_loss_is_of_the_classes_inside_the_margin(void **state)
{
    (void)state;
    for (int p = 1; p <= 2; p++) {
        rule_rig_check(&(struct rule_rig){.name = "multi_margin_loss",
            .attrs = p == 1 ? "p=1 margin=1.5 reduction=1" : "p=2 margin=1.5 reduction=1",
            .rules = credit_rules_margin,
            .n_in = 2,
            .n_out = 1,
            .in = {SIGNAL(-1, 1, 2, 3, 4), {.n_dims = 1,
                                               .shape = {3},
                                               .low = 0,
                                               .high = 4,
                                               .is_whole = true,
                                               .is_frozen = true}},
            .out = {{.n_dims = 0}},
            .run = run_margin});
    }
}

static void run_scatter(const struct rule_rig *rig, double *const *in, double *const *out)
{
    const bool is_mean = strstr(rig->attrs, "'mean'") != NULL;
    int count[6];
    for (int i = 0; i < 6; i++) {
        out[0][i] = in[0][i];
        count[i] = 1;
    }
    for (int i = 0; i < 8; i++) {
        const int at = (int)in[1][i] * 2 + i % 2;
        out[0][at] = is_mean ? out[0][at] + in[2][i] : fmax(out[0][at], in[2][i]);
        count[at]++;
    }
    for (int i = 0; is_mean && i < 6; i++) {
        out[0][i] /= count[i];
    }
}

static void what_an_index_sends_to_one_place_is_reduced_there(void **state)
{
    (void)state;
    static const char *const attrs[] = {
        "dim=0 reduce='mean' include_self=True", "dim=0 reduce='amax' include_self=True"};
    for (int i = 0; i < 2; i++) {
        rule_rig_check(&(struct rule_rig){.name = "scatter_reduce",
            .attrs = attrs[i],
            .rules = credit_rules_scatter,
            .n_in = 3,
            .n_out = 1,
            .in = {SIGNAL(0.5, 2, 2, 3, 2),
                {.n_dims = 2,
                    .shape = {4, 2},
                    .low = 0,
                    .high = 3,
                    .is_whole = true,
                    .is_frozen = true},
                SIGNAL(0.5, 2, 2, 4, 2)},
            .out = {SIGNAL(0, 0, 2, 3, 2)},
            .run = run_scatter});
    }
}

/* All ways of 4 letters in 4 times that say "1 2": by trying all. */
static void run_ctc(const struct rule_rig *rig, double *const *in, double *const *out)
{
    (void)rig;
    for (int row = 0; row < 2; row++) {
        double sum = 0;
        for (int way = 0; way < 81; way++) {
            int letter = 0;
            int n_said = 0;
            int said[4] = {0};
            double log_p = 0;
            for (int t = 0, rest = way; t < 4; t++, rest /= 3) {
                const int now = rest % 3;
                if (now != 0 && (now != letter || t == 0)) {
                    said[n_said++] = now;
                }
                letter = now;
                log_p += in[0][(t * 2 + row) * 3 + now];
            }
            sum += n_said == 2 && said[0] == 1 && said[1] == 2 ? exp(log_p) : 0;
        }
        out[0][row] = -log(sum);
    }
}

static void run_ctc_frozen(
    const struct rule_rig *rig, double *const *in, double *const *out)
{
    in[1][0] = in[1][2] = 1; /* the labels are what they are */
    in[1][1] = in[1][3] = 2;
    run_ctc(rig, in, out);
}

static void a_ctc_loss_is_of_all_ways_to_write_its_labels(void **state)
{
    (void)state;
    rule_rig_check(&(struct rule_rig){.name = "_ctc_loss",
        .attrs = "input_lengths=[4,4] target_lengths=[2,2] blank=0 zero_infinity=False",
        .rules = credit_rules_ctc,
        .n_in = 2,
        .n_out = 1,
        .in = {SIGNAL(-3, -0.5, 3, 4, 2, 3), {.n_dims = 2,
                                                 .shape = {2, 2},
                                                 .low = 1,
                                                 .high = 2,
                                                 .is_whole = true,
                                                 .is_frozen = true}},
        .out = {SIGNAL(0, 0, 1, 2)},
        .run = run_ctc_frozen});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gated_unit_shares_between_signal_and_gate),
        cmocka_unit_test(a_normed_weight_is_gain_times_direction),
        cmocka_unit_test(a_bilinear_layer_has_three_factors),
        cmocka_unit_test(patches_are_cut_out_and_laid_back),
        cmocka_unit_test(a_grid_of_an_affine_map_is_linear_in_it),
        cmocka_unit_test(a_plane_is_sampled_where_a_grid_says),
        cmocka_unit_test(running_products_and_logarithms_go_along_an_axis),
        cmocka_unit_test(a_zero_in_a_running_product_does_no_harm),
        cmocka_unit_test(a_bag_is_the_mean_of_its_vectors),
        cmocka_unit_test(distances_are_of_both_rows),
        cmocka_unit_test(a_margin_loss_is_of_the_classes_inside_the_margin),
        cmocka_unit_test(what_an_index_sends_to_one_place_is_reduced_there),
        cmocka_unit_test(a_ctc_loss_is_of_all_ways_to_write_its_labels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
