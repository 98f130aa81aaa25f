/* SPDX-License-Identifier: Apache-2.0 */
/* libbaro: tensors that change their layout, how a run is resumed, steps at the ends of int64. */
#include "tests/testing.h"

#include "lib/base/mem.h"
#include "lib/push/things.h"
#include "tests/unit/offline.h"

static int64_t last_step; /* of the last record that was counted */

static struct offline rig;

static int set_up(void **state)
{
    return offline_start(&rig);
}

static int clean(void **state)
{
    return offline_finish(&rig);
}

/* Count the records of a kind; of declarations those of one name. */
static size_t count(const struct baro_run *of, enum reading_kind kind, const char *name)
{
    offline_read(&rig, of);
    bool is_sticky = kind >= READING_RUN;
    const uint8_t *cursor = is_sticky ? rig.sticky : rig.records;
    const uint8_t *end = cursor + (is_sticky ? rig.n_sticky_bytes : rig.n_bytes);
    const uint8_t *payload;
    struct record_header header;
    size_t n = 0;
    while (record_next(&cursor, end, &header, &payload) == 1) {
        bool is_one = header.kind == kind;
        if (is_one && name != NULL) {
            Baro__Declare *declare =
                baro__declare__unpack(NULL, header.payload_bytes, payload);
            is_one = strcmp(declare->name, name) == 0;
            baro__declare__free_unpacked(declare, NULL);
        }
        n += is_one ? 1 : 0;
        last_step = is_one ? header.step : last_step;
    }
    return n;
}

static Baro__RunDescription *description_of(const struct baro_run *of)
{
    offline_read(&rig, of);
    const uint8_t *cursor = rig.sticky;
    const uint8_t *end = cursor + rig.n_sticky_bytes;
    const uint8_t *payload;
    struct record_header header;
    assert_int_equal(record_next(&cursor, end, &header, &payload), 1);
    assert_int_equal(header.kind, READING_RUN);
    return baro__run_description__unpack(NULL, header.payload_bytes, payload);
}

static struct baro_tensor tensor_of(const char *name, enum baro_role role,
    const void *values, int n_dims, const int64_t *shape)
{
    return (struct baro_tensor){.name = name,
        .role = role,
        .dtype = BARO_F32,
        .n_dims = n_dims,
        .shape = shape,
        .data = values};
}

static void another_layout_of_a_tensor_is_declared_anew(void **state)
{
    float values[60] = {1};
    int64_t shape[2] = {4, 3};
    struct baro_tensor tensor = tensor_of("w", BARO_WEIGHT, values, 2, shape);
    assert_int_equal(baro_tensor(rig.run, &tensor), 0);
    assert_int_equal(baro_tensor(rig.run, &tensor), 0);
    assert_int_equal(count(rig.run, READING_DECLARE, "w"), 1);
    shape[0] = 5; /* units */
    assert_int_equal(baro_tensor(rig.run, &tensor), 0);
    assert_int_equal(count(rig.run, READING_DECLARE, "w"), 2);
    shape[1] = 2; /* shape alone */
    assert_int_equal(baro_tensor(rig.run, &tensor), 0);
    assert_int_equal(count(rig.run, READING_DECLARE, "w"), 3);
    tensor.dtype = BARO_I32;
    assert_int_equal(baro_tensor(rig.run, &tensor), 0);
    assert_int_equal(count(rig.run, READING_DECLARE, "w"), 4);
    tensor.dtype = BARO_F32;
    shape[0] = 4;
    shape[1] = 3; /* as at first */
    assert_int_equal(baro_tensor(rig.run, &tensor), 0);
    assert_int_equal(count(rig.run, READING_DECLARE, "w"), 4);
    assert_int_equal(count(rig.run, READING_UNITS, NULL), 6);
}

/* Names of many lengths that differ in one digit, in all roles: each is a series of its own. */
static void names_that_are_nearly_alike_are_not_mixed_up(void **state)
{
    static const char *const around[][2] = {{"encoder.", ".weight"},
        {"experts.3.", ".bias"}, {"experts.", ".0.bias"}, {"a", ""}, {"fc", ".weight"},
        {"layer", ".bias"}, {"blocks.", ".mlp.fc.weight"}, {"network.", ".bias"},
        {"decoder.", ".proj.out.weight"}};
    float values[12] = {1};
    const int64_t shape[2] = {4, 3};
    for (size_t i = 0; i < BARO_LEN(around); i++) {
        for (int digit = 0; digit < 10; digit++) {
            char name[80];
            (void)snprintf(name, sizeof name, "%s%d%s", around[i][0], digit, around[i][1]);
            for (int role = BARO_WEIGHT; role <= BARO_OPT; role++) {
                struct baro_tensor tensor =
                    tensor_of(name, (enum baro_role)role, values, 2, shape);
                tensor.unit_axis = BARO_NO_UNITS;
                assert_int_equal(baro_tensor(rig.run, &tensor), 0);
            }
            assert_int_equal(count(rig.run, READING_DECLARE, name), BARO_OPT);
        }
    }
}

static void the_batch_of_an_activation_may_vary(void **state)
{
    float values[60] = {1};
    int64_t shape[3] = {4, 3, 2};
    struct baro_tensor tensor = tensor_of("a", BARO_ACT, values, 3, shape);
    tensor.unit_axis = 2;
    for (int64_t batch = 1; batch < 5; batch++) {
        shape[0] = batch;
        shape[1] = 5 - batch;
        assert_int_equal(baro_tensor(rig.run, &tensor), 0);
    }
    assert_int_equal(count(rig.run, READING_DECLARE, "a"), 1);
    shape[2] = 3;
    assert_int_equal(baro_tensor(rig.run, &tensor), 0);
    assert_int_equal(count(rig.run, READING_DECLARE, "a"), 2);
    assert_int_equal(count(rig.run, READING_UNITS, NULL), 5);
}

static void a_name_has_a_bounded_number_of_layouts(void **state)
{
    float values[60] = {1};
    int64_t shape[1] = {1};
    struct baro_tensor tensor = tensor_of("w", BARO_WEIGHT, values, 1, shape);
    for (shape[0] = 1; shape[0] <= 20; shape[0]++) {
        assert_int_equal(baro_tensor(rig.run, &tensor), 0);
    }
    assert_int_equal(count(rig.run, READING_DECLARE, "w"), THINGS_MAX_EPOCHS);
    assert_int_equal(count(rig.run, READING_SUMMARY, NULL), 20);
    assert_int_equal(count(rig.run, READING_UNITS, NULL), THINGS_MAX_EPOCHS);
    assert_non_null(strstr(rig.said, "more than 8 layouts"));
}

static void the_largest_step_is_taken_and_a_negative_one_refused(void **state)
{
    assert_int_equal(baro_step(rig.run, INT64_MAX), 0);
    assert_int_equal(baro_scalar(rig.run, "loss", 1), 0);
    assert_int_equal(baro_step(rig.run, -1), BARO_EINVAL);
    assert_int_equal(baro_step(rig.run, INT64_MIN), BARO_EINVAL);
    assert_int_equal(count(rig.run, READING_SCALAR, NULL), 1);
    assert_true(last_step == INT64_MAX);
}

static void how_a_run_is_resumed_is_in_its_description(void **state)
{
    static const struct {
        enum baro_resume resume;
        int64_t step;
        const char *way, *at; /* of the environment */
        uint32_t expected;
        int64_t expected_step;
    } cases[] = {
        {BARO_RESUME_APPEND, 0, NULL, NULL, 0, 0},
        {BARO_RESUME_APPEND, 7, NULL, NULL, 0, 0},
        {BARO_RESUME_BRANCH, 0, NULL, NULL, BARO_RESUME_BRANCH, -1},
        {BARO_RESUME_OVERWRITE, 9, NULL, NULL, BARO_RESUME_OVERWRITE, 9},
        {BARO_RESUME_APPEND, 0, "branch", "500", BARO_RESUME_BRANCH, 500},
        {BARO_RESUME_OVERWRITE, 9, "branch", "500", BARO_RESUME_OVERWRITE, 9},
        {BARO_RESUME_APPEND, 0, "overwrite", "9223372036854775807", BARO_RESUME_OVERWRITE,
            INT64_MAX},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct baro_options options = offline_options(&rig);
        struct baro_err err = {0};
        options.resume = cases[i].resume;
        options.resume_step = cases[i].step;
        (void)unsetenv("BARO_RESUME");
        (void)unsetenv("BARO_RESUME_STEP");
        if (cases[i].way != NULL) {
            (void)setenv("BARO_RESUME", cases[i].way, 1);
            (void)setenv("BARO_RESUME_STEP", cases[i].at, 1);
        }
        struct baro_run *other = baro_open(&options, &err);
        assert_non_null(other);
        Baro__RunDescription *description = description_of(other);
        assert_int_equal(description->resume, cases[i].expected);
        assert_true(description->resume_step == cases[i].expected_step);
        baro__run_description__free_unpacked(description, NULL);
        (void)baro_close(other, 0);
    }
}

static void a_way_of_resuming_that_is_none_opens_no_run(void **state)
{
    struct baro_err err = {0};
    struct baro_options options = offline_options(&rig);
    options.resume_step = -5;
    assert_null(baro_open(&options, &err));
    assert_int_equal(err.code, BARO_EINVAL);
    options = offline_options(&rig);
    options.resume = (enum baro_resume)3;
    assert_null(baro_open(&options, &err));
    options = offline_options(&rig);
    (void)setenv("BARO_RESUME", "brunch", 1);
    assert_null(baro_open(&options, &err));
    assert_non_null(strstr(err.text, "did you mean 'branch'?"));
    (void)setenv("BARO_RESUME", "branch", 1);
    (void)setenv("BARO_RESUME_STEP", "12x", 1);
    assert_null(baro_open(&options, &err));
    assert_non_null(strstr(err.text, "'12x' is no step"));
    (void)unsetenv("BARO_RESUME");
    (void)unsetenv("BARO_RESUME_STEP");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, clean)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(another_layout_of_a_tensor_is_declared_anew),
        CASE(names_that_are_nearly_alike_are_not_mixed_up),
        CASE(the_batch_of_an_activation_may_vary),
        CASE(a_name_has_a_bounded_number_of_layouts),
        CASE(the_largest_step_is_taken_and_a_negative_one_refused),
        CASE(how_a_run_is_resumed_is_in_its_description),
        CASE(a_way_of_resuming_that_is_none_opens_no_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
