/* SPDX-License-Identifier: Apache-2.0 */
/* Probes: building and parsing them, damage of every kind, samples of any array, pieces. */
#include "tests/testing.h"

#include <math.h>

#include "lib/base/mem.h"
#include "lib/base/probe_build.h"
#include "lib/base/probe_layout.h"
#include "lib/base/probe_pieces.h"
#include "lib/base/probe_rows.h"
#include "lib/base/reading.h"
#include "tests/probe_walk.h"

static uint64_t seed = 1;

static uint64_t draw(uint64_t n)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (seed >> 33) % n;
}

/* ---- a small network: x -> linear -> relu -> loss, and noise that nobody takes ---- */

enum { N_BATCH = 4, N_IN = 3, N_OUT = 2 };

static const int64_t rows[2] = {2, 0};
static float x[N_BATCH * N_IN] = {0, 1, 2, 10, 11, 12, 20, 21, 22, 30, 31, 32};
static float w[N_OUT * N_IN] = {1, 2, 3, 4, 5, 6};

static struct probe_build *begin(size_t max_bytes)
{
    const struct probe_build_options options = {.step = 77,
        .reason = PROBE_FAILURE,
        .n_batch = N_BATCH,
        .n_rows = 2,
        .rows = rows,
        .max_bytes = max_bytes};
    struct probe_build *build = NULL;
    assert_int_equal(probe_build_create(&build, &options), 0);
    return build;
}

static int64_t add(struct probe_build *build, const char *name, enum probe_value_kind kind,
    int64_t n0, int64_t n1, const float *data, enum probe_kept kept)
{
    const bool is_batch = n0 == N_BATCH;
    struct probe_value value = {.name = name,
        .kind = kind,
        .dtype = BARO_F32,
        .n_dims = n1 > 0 ? 2 : 0,
        .shape = {n0, n1},
        .batch_axis = is_batch ? 0 : PROBE_NONE,
        .unit_axis = n1 > 0 ? (is_batch ? 1 : 0) : PROBE_NONE,
        .count = data != NULL ? (uint64_t)(n1 > 0 ? n0 * n1 : 1) : 0,
        .min = 1,
        .max = 2,
        .mean = 1.5,
        .l2 = 3,
        .kept = kept};
    struct baro_span span;
    if (data != NULL) {
        assert_int_equal(
            baro_span_make(&span, BARO_F32, data, value.n_dims, value.shape, NULL, NULL),
            0);
    }
    return probe_build_value(build, &value, data != NULL ? &span : NULL);
}

static int64_t add_op(struct probe_build *build, const char *name, const char *attrs,
    uint32_t n_inputs, const int32_t *inputs, int32_t output)
{
    const struct probe_op op = {.name = name,
        .module = "net.fc1",
        .source = "train.py:57",
        .attrs = attrs,
        .n_inputs = n_inputs,
        .inputs = inputs,
        .n_outputs = 1,
        .outputs = &output};
    return probe_build_op(build, &op);
}

static struct probe_build *build_network(void)
{
    static const int64_t units[1] = {1};
    static const int64_t bad_rows[2] = {0, 3};
    static float y[N_BATCH * N_OUT];
    struct probe_build *build = begin(1 << 20);
    assert_int_equal(add(build, "x", PROBE_INPUT, N_BATCH, N_IN, x, PROBE_KEPT_ROWS), 0);
    assert_int_equal(
        add(build, "fc1.weight", PROBE_PARAMETER, N_OUT, N_IN, w, PROBE_KEPT_ALL), 1);
    assert_int_equal(add(build, NULL, PROBE_RESULT, N_BATCH, N_OUT, y, PROBE_KEPT_ROWS), 2);
    assert_int_equal(
        add_op(build, "addmm", "beta=1", 3, (int32_t[]){PROBE_NONE, 0, 1}, 2), 0);
    assert_int_equal(
        add(build, "", PROBE_RESULT, N_BATCH, N_OUT, NULL, PROBE_KEPT_NONE), 3);
    assert_int_equal(add_op(build, "relu", NULL, 1, (int32_t[]){2}, 3), 1);
    assert_int_equal(add(build, "loss", PROBE_INPUT, 0, 0, y, PROBE_KEPT_ALL), 4);
    assert_int_equal(add_op(build, "mean", "dim=[0, 1]", 1, (int32_t[]){3}, 4), 2);
    assert_int_equal(add(build, "eps", PROBE_NOISE, N_BATCH, N_OUT, y, PROBE_KEPT_NONE), 5);
    assert_int_equal(probe_build_loss(build, 4), 0);
    const struct probe_origin origin = {.op = 1,
        .value = 3,
        .is_replayed = true,
        .n_units = 1,
        .units = units,
        .n_rows = 2,
        .rows = bad_rows,
        .cause = "exp of 91.2 is more than 3.4e+38"};
    assert_int_equal(probe_build_origin(build, &origin), 0);
    return build;
}

/* The finished bytes in memory of exactly their size. */
static void *finish(struct probe_build *build, size_t *out_n)
{
    *out_n = probe_build_finish(build);
    void *bytes = probe_build_copy(build);
    assert_non_null(bytes);
    probe_build_destroy(build);
    return bytes;
}

static struct probe *parse(const void *bytes, size_t n)
{
    struct probe *probe = NULL;
    struct baro_err err = {0};
    if (probe_parse(&probe, bytes, n, &err) != 0) {
        fail_msg("%s", err.text);
    }
    return probe;
}

static void what_was_built_is_parsed(void **state)
{
    size_t n = 0;
    baro_autofree void *bytes = finish(build_network(), &n);
    struct probe *probe = parse(bytes, n);
    assert_int_equal(probe->step, 77);
    assert_int_equal(probe->reason, PROBE_FAILURE);
    assert_int_equal(probe->n_batch, N_BATCH);
    assert_int_equal(probe->n_rows, 2);
    assert_int_equal(probe->rows[0], 2);
    assert_int_equal(probe->loss, 4);
    assert_false(probe->is_cut);
    assert_int_equal(probe->n_values, 6);
    assert_int_equal(probe->n_ops, 3);
    assert_string_equal(probe->values[1].name, "fc1.weight");
    assert_int_equal(probe->values[1].bytes, sizeof w);
    assert_memory_equal(probe->values[1].data, w, sizeof w);
    static const float kept[6] = {20, 21, 22, 0, 1, 2};
    assert_int_equal(probe->values[0].bytes, sizeof kept);
    assert_memory_equal(probe->values[0].data, kept, sizeof kept);
    assert_int_equal(probe->values[0].count, N_BATCH * N_IN);
    assert_true(probe->values[0].mean > 1.4 && probe->values[0].mean < 1.6);
    assert_int_equal(probe->values[2].kind, PROBE_RESULT);
    assert_int_equal(probe->values[2].op, 0);
    assert_int_equal(probe->values[3].count, 0);           /* not measured */
    assert_int_equal(probe->values[4].kind, PROBE_RESULT); /* an operation gave it */
    assert_int_equal(probe->values[5].kind, PROBE_NOISE);
    assert_string_equal(probe->ops[0].module, "net.fc1");
    assert_string_equal(probe->ops[1].attrs, "");
    assert_int_equal(probe->ops[0].inputs[0], PROBE_NONE);
    assert_int_equal(probe->ops[0].outputs[0], 2);
    assert_true(probe->has_origin && probe->origin.is_replayed);
    assert_false(probe->origin.is_exact || probe->origin.is_gradient);
    assert_int_equal(probe->origin.units[0], 1);
    assert_int_equal(probe->origin.rows[1], 3);
    assert_string_equal(probe->origin.cause, "exp of 91.2 is more than 3.4e+38");
    (void)probe_walk(probe);
    probe_free(probe);
}

static void a_result_without_an_operation_becomes_an_input(void **state)
{
    size_t n = 0;
    struct probe_build *build = begin(1 << 20);
    assert_int_equal(add(build, "", PROBE_RESULT, 2, 2, NULL, PROBE_KEPT_NONE), 0);
    baro_autofree void *bytes = finish(build, &n);
    struct probe *probe = parse(bytes, n);
    assert_int_equal(probe->values[0].kind, PROBE_INPUT);
    probe_free(probe);
}

static void operations_that_cannot_be_are_refused(void **state)
{
    struct probe_build *build = build_network();
    static const int32_t some[1] = {3};
    assert_int_equal(add_op(build, "a", "", 1, some, 9), BARO_EINVAL); /* not there */
    assert_int_equal(add_op(build, "a", "", 1, some, 4), BARO_EINVAL); /* given already */
    assert_int_equal(add_op(build, "a", "", 1, some, 0), BARO_EINVAL); /* taken already */
    assert_int_equal(add_op(build, "a", "", 1, (int32_t[]){5}, 5), BARO_EINVAL);
    assert_int_equal(add_op(build, "a", "", 1, (int32_t[]){-2}, 5), BARO_EINVAL);
    const struct probe_op twice = {
        .name = "a", .n_outputs = 2, .outputs = (int32_t[]){5, 5}};
    assert_int_equal(probe_build_op(build, &twice), BARO_EINVAL);
    assert_int_equal(probe_build_loss(build, 6), BARO_EINVAL);
    struct probe_origin origin = {.op = 3, .value = 0};
    assert_int_equal(probe_build_origin(build, &origin), BARO_EINVAL);
    origin = (struct probe_origin){
        .op = 1, .value = 3, .n_units = 1, .units = (int64_t[]){N_OUT}};
    assert_int_equal(probe_build_origin(build, &origin), BARO_EINVAL);
    origin = (struct probe_origin){.op = PROBE_NONE, .value = PROBE_NONE};
    assert_int_equal(probe_build_origin(build, &origin), BARO_EINVAL);
    (void)probe_build_finish(build);
    assert_int_equal(add_op(build, "a", "", 1, some, 5), BARO_EINVAL); /* finished */
    probe_build_destroy(build);
}

static void a_limit_of_bytes_cuts_values_first_and_is_told(void **state)
{
    enum { LIMIT = 40000, MANY = 10000 };
    static float many[MANY];
    size_t n = 0;
    struct probe_build *build = begin(LIMIT);
    assert_int_equal(
        add(build, "a", PROBE_PARAMETER, MANY / 2, 1, many, PROBE_KEPT_ALL), 0);
    assert_int_equal(add(build, "b", PROBE_PARAMETER, MANY, 1, many, PROBE_KEPT_ALL), 1);
    int64_t last = 0;
    uint32_t n_ops = 0;
    while (last >= 0) {
        const int64_t value = add(build, "", PROBE_RESULT, 7, 7, NULL, PROBE_KEPT_NONE);
        last =
            value < 0 ? value : add_op(build, "exp", "", 1, (int32_t[]){0}, (int32_t)value);
        n_ops += last >= 0;
    }
    assert_int_equal(last, BARO_ELIMIT);
    assert_true(n_ops > 100);
    baro_autofree void *bytes = finish(build, &n);
    assert_true(n <= LIMIT && n > LIMIT - 1000);
    struct probe *probe = parse(bytes, n);
    assert_true(probe->is_cut);
    assert_int_equal(probe->values[0].kept, PROBE_KEPT_ALL);
    assert_int_equal(probe->values[1].kept, PROBE_KEPT_NONE);
    assert_int_equal(probe->values[1].count, MANY);
    assert_int_equal(probe->n_ops, n_ops);
    probe_free(probe);
    const struct probe_build_options tiny = {.reason = PROBE_REGULAR, .max_bytes = 20};
    assert_int_equal(probe_build_create(&build, &tiny), BARO_ELIMIT);
}

static void texts_are_kept_once_and_made_valid(void **state)
{
    enum { LONG = 3 * PROBE_MAX_TEXT_BYTES };
    static char longest[LONG + 1];
    size_t n = 0;
    for (int i = 0; i < LONG; i += 2) {
        memcpy(longest + i, "\xc3\xa9", 2); /* a letter of two bytes */
    }
    longest[0] = 'x'; /* so that the cut would fall within a letter */
    longest[1] = 'x';
    longest[2] = 'x';
    memmove(longest + 3, longest + 4, LONG - 4);
    longest[LONG - 1] = '\0';
    struct probe_build *build = begin(1 << 20);
    for (int32_t i = 0; i < 1000; i++) {
        assert_int_equal(add(build, "same", PROBE_RESULT, 2, 2, NULL, PROBE_KEPT_NONE), i);
        assert_int_equal(add_op(build, "addmm", "alpha=1.0", 0, NULL, i), i);
    }
    assert_int_equal(add(build, longest, PROBE_INPUT, 2, 2, NULL, PROBE_KEPT_NONE), 1000);
    assert_int_equal(
        add(build, "bad\xff\n", PROBE_INPUT, 2, 2, NULL, PROBE_KEPT_NONE), 1001);
    baro_autofree void *bytes = finish(build, &n);
    assert_true(n < 1000 * (80 + 32 + 4) + 2 * PROBE_MAX_TEXT_BYTES);
    struct probe *probe = parse(bytes, n);
    assert_string_equal(probe->values[999].name, "same");
    assert_true(probe->values[999].name == probe->values[0].name);
    const size_t kept = strlen(probe->values[1000].name);
    assert_true(kept >= PROBE_MAX_TEXT_BYTES - 1 && kept <= PROBE_MAX_TEXT_BYTES);
    assert_string_equal(probe->values[1001].name, "bad??");
    probe_free(probe);
}

/* ---- damage ---- */

static void every_cut_is_refused(void **state)
{
    size_t n = 0;
    baro_autofree uint8_t *bytes = finish(build_network(), &n);
    for (size_t cut = 0; cut < n; cut++) {
        baro_autofree uint8_t *part = baro_xcalloc(cut + 1, 1);
        struct probe *probe = NULL;
        struct baro_err err = {0};
        memcpy(part, bytes, cut);
        assert_true(probe_parse(&probe, part, cut, &err) < 0);
        assert_true(err.text[0] != '\0');
        if (cut >= sizeof(struct probe_head)) { /* also when the header agrees */
            const uint64_t told = cut;
            memcpy(part + offsetof(struct probe_head, bytes), &told, sizeof told);
            assert_true(probe_parse(&probe, part, cut, &err) < 0);
        }
    }
}

static void no_flipped_bit_reaches_beyond_the_bytes(void **state)
{
    size_t n = 0;
    int n_refused = 0;
    baro_autofree uint8_t *bytes = finish(build_network(), &n);
    for (size_t at = 0; at < n; at++) {
        for (int bit = 0; bit < 8; bit++) {
            struct probe *probe = NULL;
            struct baro_err err = {0};
            bytes[at] ^= (uint8_t)(1 << bit);
            if (probe_parse(&probe, bytes, n, &err) == 0) {
                (void)probe_walk(probe);
                probe_free(probe);
            } else {
                assert_true(err.text[0] != '\0');
                n_refused++;
            }
            bytes[at] ^= (uint8_t)(1 << bit);
        }
    }
    assert_true(n_refused > 2000);
}

/* Change one number of a good probe and expect it to be refused. */
static void spoil(size_t at, const void *with, size_t n_with, int code)
{
    size_t n = 0;
    baro_autofree uint8_t *bytes = finish(build_network(), &n);
    struct probe *probe = NULL;
    struct baro_err err = {0};
    assert_true(at + n_with <= n);
    assert_true(memcmp(bytes + at, with, n_with) != 0);
    memcpy(bytes + at, with, n_with);
    const int rc = probe_parse(&probe, bytes, n, &err);
    if (rc != code) {
        fail_msg("byte %zu: %d, not %d (%s)", at, rc, code, err.text);
    }
    assert_null(probe);
}

static void each_reference_is_checked(void **state)
{
    size_t n = 0;
    baro_autofree uint8_t *bytes = finish(build_network(), &n);
    const struct probe_head *head = (const struct probe_head *)(const void *)bytes;
    const size_t values = sizeof *head + 8 * (size_t)head->n_numbers;
    const size_t ops = values + sizeof(struct probe_value_record) * head->n_values;
    const size_t operands = ops + sizeof(struct probe_op_record) * head->n_ops;
    const uint32_t version = 2;
    const uint32_t huge = 0x7fffffff;
    const int32_t beyond = 6;
    const int64_t row = N_BATCH;
    const uint8_t odd = 99;
    const int32_t own = 2; /* value 2 comes from operation 0 */
    const uint64_t data = 1 << 20;
    spoil(offsetof(struct probe_head, version), &version, 4, BARO_EVERSION);
    spoil(offsetof(struct probe_head, n_values), &huge, 4, BARO_ELIMIT);
    spoil(offsetof(struct probe_head, n_rows), &huge, 4, BARO_ELIMIT);
    spoil(offsetof(struct probe_head, n_numbers), &huge, 4, BARO_ECORRUPT);
    spoil(offsetof(struct probe_head, loss), &beyond, 4, BARO_ECORRUPT);
    spoil(offsetof(struct probe_head, reason), &beyond, 4, BARO_ECORRUPT);
    spoil(offsetof(struct probe_head, origin_op), &beyond, 4, BARO_ECORRUPT);
    spoil(offsetof(struct probe_head, origin_n_rows), &huge, 4, BARO_ECORRUPT);
    spoil(offsetof(struct probe_head, origin_cause), &beyond, 4, BARO_ECORRUPT);
    spoil(sizeof *head, &row, 8, BARO_ECORRUPT); /* the first sample */
    const size_t third = values + 2 * sizeof(struct probe_value_record);
    spoil(third + offsetof(struct probe_value_record, name), &beyond, 4, BARO_ECORRUPT);
    spoil(third + offsetof(struct probe_value_record, shape), &huge, 4, BARO_ECORRUPT);
    spoil(third + offsetof(struct probe_value_record, op), &beyond, 4, BARO_ECORRUPT);
    spoil(third + offsetof(struct probe_value_record, op), &(int32_t){1}, 4, BARO_ECORRUPT);
    spoil(third + offsetof(struct probe_value_record, kind), &odd, 1, BARO_ECORRUPT);
    spoil(third + offsetof(struct probe_value_record, dtype), &odd, 1, BARO_ECORRUPT);
    spoil(third + offsetof(struct probe_value_record, kept), &odd, 1, BARO_ECORRUPT);
    spoil(third + offsetof(struct probe_value_record, n_dims), &odd, 1, BARO_ECORRUPT);
    spoil(third + offsetof(struct probe_value_record, batch_axis), &odd, 1, BARO_ECORRUPT);
    spoil(third + offsetof(struct probe_value_record, data), &data, 8, BARO_ECORRUPT);
    spoil(third + offsetof(struct probe_value_record, n_nan), &data, 8, BARO_ECORRUPT);
    spoil(ops + offsetof(struct probe_op_record, name), &huge, 4, BARO_ECORRUPT);
    spoil(ops + offsetof(struct probe_op_record, phase), &huge, 4, BARO_ECORRUPT);
    spoil(ops + offsetof(struct probe_op_record, operands), &beyond, 4, BARO_ECORRUPT);
    spoil(
        ops + offsetof(struct probe_op_record, n_inputs), &(uint16_t){9}, 2, BARO_ECORRUPT);
    spoil(operands + 4, &own, 4, BARO_ECORRUPT);            /* it takes what it gives */
    spoil(operands + 4, &beyond, 4, BARO_ECORRUPT);         /* what is not there */
    spoil(operands + 12, &(int32_t){3}, 4, BARO_ECORRUPT);  /* gives another one's */
    spoil(operands + 12, &(int32_t){-1}, 4, BARO_ECORRUPT); /* value 2 is left over */
}

static void extents_that_overflow_are_refused(void **state)
{
    struct probe_value value = {.kind = PROBE_INPUT,
        .dtype = BARO_F64,
        .n_dims = 3,
        .shape = {INT64_C(1) << 40, INT64_C(1) << 40, 1},
        .batch_axis = PROBE_NONE,
        .unit_axis = PROBE_NONE};
    size_t n = 0;
    struct probe_build *build = begin(1 << 20);
    assert_int_equal(probe_build_value(build, &value, NULL), BARO_EINVAL);
    value.shape[1] = 0; /* empty, but what is kept of it would not be */
    assert_int_equal(probe_build_value(build, &value, NULL), 0);
    value = (struct probe_value){.dtype = BARO_F32,
        .kind = PROBE_INPUT,
        .n_dims = 1,
        .shape = {12345},
        .batch_axis = PROBE_NONE,
        .unit_axis = PROBE_NONE};
    assert_int_equal(probe_build_value(build, &value, NULL), 1);
    uint8_t *bytes = finish(build, &n);
    for (size_t i = sizeof(struct probe_head); i < n; i += 8) {
        int64_t number = 0;
        memcpy(&number, bytes + i, 8);
        if (number == 12345) {
            number = -1;
            memcpy(bytes + i, &number, 8);
            break;
        }
    }
    struct probe *probe = NULL;
    assert_int_equal(probe_parse(&probe, bytes, n, NULL), BARO_ECORRUPT);
    free(bytes);
}

/* ---- samples of any array, beside the plainest way ---- */

static void samples_are_those_of_the_plain_way(void **state)
{
    enum { MOST = 6000 };
    static uint8_t store[16 * MOST * 8];
    static uint8_t out[MOST * 8];
    static uint8_t plain[MOST * 8];
    for (size_t i = 0; i < sizeof store; i++) {
        store[i] = (uint8_t)draw(256);
    }
    for (int round = 0; round < TEST_ROUNDS(4000); round++) {
        const int n_dims = 1 + (int)draw(4);
        const int axis = (int)draw((uint64_t)n_dims);
        const int64_t n_batch = 1 + (int64_t)draw(4);
        const size_t item = (size_t)1 << draw(4);
        int64_t shape[4], strides[4], kept[4], chosen[4];
        int64_t at = 1;
        int64_t low = 0;
        const size_t n_rows = draw((uint64_t)n_batch) + 1;
        int order[4] = {0, 1, 2, 3};
        for (int d = n_dims - 1; d > 0; d--) {
            const int other = (int)draw((uint64_t)d + 1);
            const int held = order[d];
            order[d] = order[other];
            order[other] = held;
        }
        for (int k = n_dims - 1; k >= 0;
             k--) { /* memory order is another than that of axes */
            const int d = order[k];
            shape[d] = d == axis ? n_batch * (1 + (int64_t)draw(3)) : (int64_t)draw(5);
            const int64_t sign = draw(6) == 0 ? -1 : draw(8) == 0 ? 0 : 1;
            strides[d] = sign * at;
            low += sign < 0 && shape[d] > 0 ? (shape[d] - 1) * at : 0;
            at *= shape[d] > 0 ? shape[d] + (int64_t)draw(2) : 1;
        }
        for (size_t i = 0; i < n_rows; i++) {
            chosen[i] = (int64_t)draw((uint64_t)n_batch);
        }
        static const enum baro_dtype types[9] = {
            0, BARO_U8, BARO_F16, 0, BARO_F32, 0, 0, 0, BARO_F64};
        struct baro_span span;
        assert_int_equal(baro_span_make(&span, types[item], store + (size_t)low * item,
                             n_dims, shape, strides, NULL),
            0);
        const int64_t every = shape[axis] / n_batch;
        memcpy(kept, shape, sizeof kept);
        kept[axis] = (int64_t)n_rows * every;
        int64_t n = 1;
        for (int d = 0; d < n_dims; d++) {
            n *= kept[d];
        }
        for (int64_t i = 0; i < n; i++) {
            int64_t rest = i;
            int64_t offset = low;
            for (int d = n_dims - 1; d >= 0; d--) {
                int64_t place = rest % kept[d];
                rest /= kept[d];
                place = d == axis ? chosen[place / every] * every + place % every : place;
                offset += place * strides[d];
            }
            memcpy(plain + (size_t)i * item, store + (size_t)offset * item, item);
        }
        probe_copy_rows(&span, axis, n_batch, chosen, n_rows, out);
        assert_memory_equal(out, plain, (size_t)n * item);
        n = baro_span_count(&span);
        for (int64_t i = 0; i < n; i++) {
            int64_t rest = i;
            int64_t offset = low;
            for (int d = n_dims - 1; d >= 0; d--) {
                offset += rest % shape[d] * strides[d];
                rest /= shape[d];
            }
            memcpy(plain + (size_t)i * item, store + (size_t)offset * item, item);
        }
        probe_copy_all(&span, out);
        assert_memory_equal(out, plain, (size_t)n * item);
    }
}

/* ---- attributes ---- */

static void attributes_are_read_as_python_shows_them(void **state)
{
    const struct probe_op op = {
        .attrs = "dim=[1, -2] keepdim=False alpha=0.5 eps=1e-05 reduction='mean x=3' "
                 "size=(4,) none=None training=True inf=-inf empty=[] nodim=7"};
    double number = 9;
    assert_true(probe_attr(&op, "dim", 1, &number) && number < -1.9 && number > -2.1);
    assert_false(probe_attr(&op, "dim", 2, &number));
    assert_true(probe_attr(&op, "keepdim", 0, &number) && number < 0.5 && number > -0.5);
    assert_true(probe_attr(&op, "training", 0, &number) && number > 0.5);
    assert_true(probe_attr(&op, "eps", 0, &number) && number < 1.1e-5 && number > 0.9e-5);
    assert_true(probe_attr(&op, "inf", 0, &number) && isinf(number));
    assert_true(probe_attr(&op, "size", 0, &number) && number > 3.9);
    assert_true(probe_attr(&op, "nodim", 0, &number) && number > 6.9);
    number = 9;
    assert_false(probe_attr(&op, "x", 0, &number)); /* within a text */
    assert_false(probe_attr(&op, "none", 0, &number));
    assert_false(probe_attr(&op, "reduction", 0, &number));
    assert_false(probe_attr(&op, "im", 0, &number));
    assert_false(probe_attr(&op, "dim", -1, &number));
    assert_true(number > 8.9);
    assert_int_equal(probe_attr_count(&op, "dim"), 2);
    assert_int_equal(probe_attr_count(&op, "size"), 1);
    assert_int_equal(probe_attr_count(&op, "alpha"), 1);
    assert_int_equal(probe_attr_count(&op, "empty"), 0);
    assert_int_equal(probe_attr_count(&op, "none"), 0);
    assert_int_equal(probe_attr_count(&op, "nothing"), 0);
    const struct probe_op broken = {.attrs = "dim=[1, 2 x"};
    (void)probe_attr(&broken, "dim", 0, &number);
    (void)probe_attr_count(&broken, "x");
}

/* ---- pieces ---- */

enum { N_PIECES = 5, LAST_BYTES = 1000 };
static const uint64_t whole_bytes = (N_PIECES - 1) * PROBE_PIECE_BYTES + LAST_BYTES;

static void numbers_of(uint32_t piece, double out[PROBE_PIECE_NUMBERS])
{
    const struct probe_piece what = {.serial = 7,
        .piece = piece,
        .n_pieces = N_PIECES,
        .reason = PROBE_ASKED,
        .probe_bytes = whole_bytes};
    probe_piece_numbers(&what, out);
}

static void pieces_come_together_in_any_order(void **state)
{
    static const uint32_t order[] = {3, 1, 4, 3, 0, 0, 2};
    baro_autofree uint8_t *whole = baro_xcalloc(whole_bytes, 1);
    double numbers[PROBE_PIECE_NUMBERS];
    struct probe_list list = {0};
    struct probe_gather gather;
    struct baro_err err = {0};
    void *bytes = NULL;
    size_t n = 0;
    for (size_t i = 0; i < whole_bytes; i++) {
        whole[i] = (uint8_t)draw(256);
    }
    for (size_t i = 0; i < BARO_LEN(order); i++) {
        numbers_of(order[i], numbers);
        assert_int_equal(probe_list_add(&list, 70, 9, numbers), 0);
    }
    assert_int_equal(list.n, 1);
    assert_int_equal(list.entries[0].n_here, N_PIECES);
    assert_int_equal(list.entries[0].bytes, whole_bytes);
    assert_non_null(probe_list_find(&list, 7));
    assert_null(probe_list_find(&list, 8));
    assert_int_equal(probe_gather_init(&gather, &list.entries[0]), 0);
    for (size_t i = 0; i < BARO_LEN(order); i++) {
        if (i == BARO_LEN(order) - 1) {
            assert_int_equal(probe_gather_take(&gather, &bytes, &n, &err), BARO_ENOENT);
            assert_non_null(strstr(err.text, "1 of its 5 pieces are missing"));
        }
        numbers_of(order[i], numbers);
        const size_t part = order[i] == N_PIECES - 1 ? LAST_BYTES : PROBE_PIECE_BYTES;
        assert_int_equal(probe_gather_add(&gather, numbers,
                             whole + (size_t)order[i] * PROBE_PIECE_BYTES, part),
            0);
    }
    assert_int_equal(probe_gather_add(&gather, numbers, whole, LAST_BYTES),
        BARO_ECORRUPT); /* too short */
    assert_int_equal(probe_gather_take(&gather, &bytes, &n, &err), 0);
    assert_int_equal(n, whole_bytes);
    assert_memory_equal(bytes, whole, n);
    free(bytes);
    probe_gather_finish(&gather);
    probe_list_finish(&list);
}

static void probes_of_several_processes_are_told_apart(void **state)
{
    struct probe_list list = {0};
    static const uint64_t serials[] = {9, 3, 7, 3, 9, 1};
    for (size_t i = 0; i < BARO_LEN(serials); i++) {
        double numbers[PROBE_PIECE_NUMBERS] = {
            (double)serials[i], (double)(i % 2), 2, PROBE_REGULAR, PROBE_PIECE_BYTES + 1};
        assert_int_equal(probe_list_add(&list, (int64_t)serials[i], 0, numbers), 0);
    }
    assert_int_equal(list.n, 4);
    for (size_t i = 1; i < list.n; i++) {
        assert_true(list.entries[i - 1].serial < list.entries[i].serial);
    }
    assert_int_equal(probe_list_find(&list, 3)->n_here, 1); /* 1 and 3: the same piece */
    probe_list_finish(&list);
}

static void numbers_that_are_no_piece_are_refused(void **state)
{
    static const double wrong[][PROBE_PIECE_NUMBERS] = {{0, 0, 1, 1, 10},
        {1.5, 0, 1, 1, 10}, {1e300, 0, 1, 1, 10}, {1, 1, 1, 1, 10}, {1, -1, 1, 1, 10},
        {1, 0, 2, 1, 10}, {1, 0, 0, 1, 0}, {1, 0, 1, 0, 10}, {1, 0, 1, 4, 10},
        {1, 0, 1, 1, (double)NAN}, {(double)NAN, 0, 1, 1, 10}, {1, 0, 5000, 1, 1.3e9}};
    struct probe_piece piece;
    struct probe_list list = {0};
    for (size_t i = 0; i < BARO_LEN(wrong); i++) {
        assert_int_equal(probe_piece_read(wrong[i], &piece), BARO_ECORRUPT);
        assert_int_equal(probe_list_add(&list, 0, 0, wrong[i]), BARO_ECORRUPT);
        struct reading reading;
        struct record_header header = {.kind = READING_PROBE, .payload_bytes = 50};
        double payload[8] = {0};
        memcpy(payload, wrong[i], sizeof wrong[i]);
        assert_int_equal(
            reading_check(&header, (const uint8_t *)payload, 0, 0, &reading, NULL),
            BARO_ECORRUPT);
    }
    double good[8] = {1, 0, 1, PROBE_REGULAR, 10};
    struct reading reading;
    struct record_header header = {.kind = READING_FAILURE, .payload_bytes = 50};
    assert_int_equal(
        reading_check(&header, (const uint8_t *)good, 0, 0, &reading, NULL), 0);
    assert_int_equal(reading.extra_bytes, 10);
    header.payload_bytes = 49;
    assert_int_equal(
        reading_check(&header, (const uint8_t *)good, 0, 0, &reading, NULL), BARO_ECORRUPT);
    assert_int_equal(probe_list_add(&list, 0, 0, good), 0);
    good[4] = 11; /* the same probe, but of another length */
    assert_int_equal(probe_list_add(&list, 0, 0, good), BARO_ECORRUPT);
    probe_list_finish(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_built_is_parsed),
        cmocka_unit_test(a_result_without_an_operation_becomes_an_input),
        cmocka_unit_test(operations_that_cannot_be_are_refused),
        cmocka_unit_test(a_limit_of_bytes_cuts_values_first_and_is_told),
        cmocka_unit_test(texts_are_kept_once_and_made_valid),
        cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(no_flipped_bit_reaches_beyond_the_bytes),
        cmocka_unit_test(each_reference_is_checked),
        cmocka_unit_test(extents_that_overflow_are_refused),
        cmocka_unit_test(samples_are_those_of_the_plain_way),
        cmocka_unit_test(attributes_are_read_as_python_shows_them),
        cmocka_unit_test(pieces_come_together_in_any_order),
        cmocka_unit_test(probes_of_several_processes_are_told_apart),
        cmocka_unit_test(numbers_that_are_no_piece_are_refused),
    };
    TEST_THREADS_ONLY("what_was_built*");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
