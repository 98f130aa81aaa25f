/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/testing.h"

#include <math.h>

#include "lib/simd/summarise.h"
#include "tests/unit/spans.h"

static struct baro_hist hist;

static int bin_of(double x)
{
    const int e = ilogb(x);
    const int low = e < BARO_HIST_MIN_EXP ? BARO_HIST_MIN_EXP : e;
    return (low > BARO_HIST_MAX_EXP ? BARO_HIST_MAX_EXP : low) - BARO_HIST_MIN_EXP;
}

static uint64_t total(void)
{
    uint64_t n = 0;
    for (int b = 0; b < BARO_HIST_BINS; b++) {
        n += hist.pos[b] + hist.neg[b];
    }
    return n;
}

static void check_exact(const struct baro_span *span, int seed)
{
    static struct baro_hist want;
    struct baro_summary s;
    memset(&want, 0, sizeof(want));
    want.sample_every = 1;
    for (int64_t i = 0; i < baro_span_count(span); i++) {
        const double x = baro_span_value(span, i);
        if (isfinite(x) && x != 0) {
            (x > 0 ? want.pos : want.neg)[bin_of(x)]++;
        }
    }
    memset(&hist, 0x55, sizeof(hist));
    baro_summarise(span, &s, &hist);
    if (memcmp(&hist, &want, sizeof(want)) != 0) {
        for (int b = 0; b < BARO_HIST_BINS; b++) {
            if (hist.pos[b] != want.pos[b] || hist.neg[b] != want.neg[b]) {
                fail_msg("case %d: bin 2^%d has +%u -%u and should have +%u -%u", seed,
                    b + BARO_HIST_MIN_EXP, hist.pos[b], hist.neg[b], want.pos[b],
                    want.neg[b]);
            }
        }
        fail_msg("case %d: sampled 1 in %u", seed, hist.sample_every);
    }
}

static void the_histogram_of_a_small_tensor_is_exact(void **state)
{
    for (int dtype = 1; dtype < BARO_DTYPE_END; dtype++) {
        for (int seed = 0; seed < 10; seed++) {
            for (int fill = 0; fill < FILL_COUNT; fill++) {
                struct rng rng = {(uint64_t)(seed * 1000 + fill) << 8 | (uint64_t)dtype};
                struct test_span t =
                    spans_random(&rng, (enum baro_dtype)dtype, (enum fill)fill, 2000);
                check_exact(&t.span, seed * 1000 + fill);
                spans_free(&t);
            }
        }
    }
}

static void it_is_exact_to_65536_elements_and_sampled_above(void **state)
{
    struct rng rng = {1};
    const int64_t exact = 65536;
    struct test_span t = spans_contiguous(&rng, BARO_F32, FILL_LOG, 1, &exact);
    check_exact(&t.span, 0);
    spans_free(&t);
    const int64_t above = 65536 + 4096;
    struct baro_summary s;
    t = spans_contiguous(&rng, BARO_F32, FILL_NORMAL, 1, &above);
    baro_summarise(&t.span, &s, &hist);
    assert_int_equal(hist.sample_every, 16);
    assert_int_equal(total(), (uint64_t)above / 16);
    spans_free(&t);
}

/* Were always the same sixteenth of each 256 taken, most columns would never be seen. */
static void a_sample_of_a_matrix_sees_every_column(void **state)
{
    static const int64_t widths[5] = {64, 256, 512, 1000, 4096};
    for (int w = 0; w < 5; w++) {
        const int64_t width = widths[w];
        const int64_t rows = 4096;
        float *x = calloc((size_t)(rows * width), sizeof(float));
        const int64_t shape[2] = {rows, width};
        struct baro_span span;
        struct baro_summary s;
        assert_non_null(x);
        assert_int_equal(baro_span_make(&span, BARO_F32, x, 2, shape, NULL, NULL), 0);
        for (int64_t c = 0; c < width; c += width / 32) {
            for (int64_t r = 0; r < rows; r++) {
                x[r * width + c] = -8;
            }
            baro_summarise(&span, &s, &hist);
            assert_int_equal(hist.sample_every, 16);
            /* 1 in 16 of the column's 4096: to the element where 256 and the width agree */
            const bool agrees = width % 256 == 0 || 256 % width == 0;
            assert_in_range(
                hist.neg[3 - BARO_HIST_MIN_EXP], agrees ? 256 : 160, agrees ? 256 : 384);
            for (int64_t r = 0; r < rows; r++) {
                x[r * width + c] = 0;
            }
        }
        free(x);
    }
}

static void a_sampled_histogram_follows_the_distribution(void **state)
{
    struct rng rng = {5};
    const int64_t shape[2] = {1000, 700};
    struct test_span t = spans_contiguous(&rng, BARO_BF16, FILL_NORMAL, 2, shape);
    /* walked row by row with gaps, so that the sample runs through gathered blocks */
    t.span.shape[1] = 350;
    t.span.strides[1] = 2;
    static double want[2][BARO_HIST_BINS];
    memset(want, 0, sizeof(want));
    for (int64_t i = 0; i < baro_span_count(&t.span); i++) {
        const double x = baro_span_value(&t.span, i);
        if (x != 0) {
            want[x < 0][bin_of(x)] += 1.0 / 16;
        }
    }
    struct baro_summary s;
    baro_summarise(&t.span, &s, &hist);
    assert_int_equal(hist.sample_every, 16);
    for (int b = 0; b < BARO_HIST_BINS; b++) {
        /* five standard deviations of a count */
        assert_true(fabs(hist.pos[b] - want[0][b]) <= 5 * sqrt(want[0][b]) + 2);
        assert_true(fabs(hist.neg[b] - want[1][b]) <= 5 * sqrt(want[1][b]) + 2);
    }
    spans_free(&t);
}

static void magnitudes_beyond_the_bins_count_in_the_outermost(void **state)
{
    const double x[6] = {1e-300, -1e-25, 1e300, -1e25, 0, (double)NAN};
    const int64_t shape[1] = {6};
    struct baro_span span;
    struct baro_summary s;
    assert_int_equal(baro_span_make(&span, BARO_F64, x, 1, shape, NULL, NULL), 0);
    baro_summarise(&span, &s, &hist);
    assert_int_equal(hist.pos[0], 1);
    assert_int_equal(hist.neg[0], 1);
    assert_int_equal(hist.pos[BARO_HIST_BINS - 1], 1);
    assert_int_equal(hist.neg[BARO_HIST_BINS - 1], 1);
    assert_int_equal(total(), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_histogram_of_a_small_tensor_is_exact),
        cmocka_unit_test(it_is_exact_to_65536_elements_and_sampled_above),
        cmocka_unit_test(a_sample_of_a_matrix_sees_every_column),
        cmocka_unit_test(a_sampled_histogram_follows_the_distribution),
        cmocka_unit_test(magnitudes_beyond_the_bins_count_in_the_outermost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
