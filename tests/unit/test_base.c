/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/testing.h"

#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/paths.h"
#include "lib/base/reading.h"
#include "lib/base/tensor.h"
#include "lib/base/text.h"
#include "proto/wire.h"

static void an_outer_step_is_put_before_an_error(void **state)
{
    (void)state;
    struct baro_err err = {0};
    int rc = baro_err_set(&err, BARO_EIO, "map of %d GiB", 64);
    assert_int_equal(baro_err_prefix(&err, rc, "open store '%s'", "/data"), BARO_EIO);
    assert_string_equal(err.text, "open store '/data': map of 64 GiB");
    assert_int_equal(baro_err_prefix(&err, 0, "not written"), 0);
    assert_string_equal(err.text, "open store '/data': map of 64 GiB");
}

static void an_error_longer_than_its_room_stays_a_string(void **state)
{
    (void)state;
    struct baro_err err = {0};
    char longer[600];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    for (size_t n = 0; n < sizeof longer - 1; n += 7) {
        baro_err_set(&err, BARO_EIO, "%s", longer + n);
        baro_err_prefix(&err, BARO_EIO, "%s", longer + (n * 3) % 590);
        assert_true(strlen(err.text) < sizeof err.text);
    }
}

static void a_misspelt_name_finds_its_neighbour(void **state)
{
    (void)state;
    static const char *const names[] = {"status", "series", "alerts", "tail"};
    assert_string_equal(baro_nearest("stauts", names, 4), "status");
    assert_string_equal(baro_nearest("seris", names, 4), "series");
    assert_null(baro_nearest("zzzzzzzz", names, 4));
}

static void globs_match_as_in_a_shell_but_across_slashes(void **state)
{
    (void)state;
    assert_true(baro_glob("*", ""));
    assert_true(baro_glob("enc*:gr?d", "encoder.fc1/x:grad"));
    assert_true(baro_glob("l[a-o]ss", "loss"));
    assert_false(baro_glob("l[!a-o]ss", "loss"));
    assert_true(baro_glob("a[b", "a[b"));
    assert_false(baro_glob("*a*b", "aab_"));
    assert_true(baro_glob("*a*b", "xaxxab"));
    assert_false(baro_glob("", "x"));
}

static void sizes_are_read_with_their_letter(void **state)
{
    (void)state;
    uint64_t bytes = 0;
    assert_true(baro_parse_size("64M", &bytes));
    assert_int_equal(bytes, 64 << 20);
    assert_true(baro_parse_size("17", &bytes));
    assert_int_equal(bytes, 17);
    assert_true(baro_parse_size("2GiB", &bytes));
    assert_false(baro_parse_size("64Q", &bytes));
    assert_false(baro_parse_size("-1", &bytes));
    assert_false(baro_parse_size("", &bytes));
    assert_false(baro_parse_size("99999999999999T", &bytes));
}

static void text_from_outside_is_made_safe_to_print(void **state)
{
    (void)state;
    char out[32];
    baro_text_safe(out, sizeof out, "a\x1b[31m\n\xff\xc3\xa9z");
    assert_string_equal(out, "a?[31m??\xc3\xa9z");
    baro_text_safe(out, 3, "a\xc3\xa9z");
    assert_string_equal(out, "a");
    assert_false(baro_utf8_valid("\xed\xa0\x80", 3)); /* a surrogate */
    assert_false(baro_utf8_valid("\xc0\x80", 2));     /* overlong */
    assert_int_equal(baro_utf8_prefix("a\xc3\xa9z", 4, 2), 1);
}

static void text_is_appended_as_far_as_whole_characters_fit(void **state)
{
    (void)state;
    char text[8] = "ab";
    baro_text_add(text, sizeof text, "%d", 3);
    assert_string_equal(text, "ab3");
    baro_text_add(text, sizeof text, "cde\xc3\xa9"); /* the last has no room for its end */
    assert_string_equal(text, "ab3cde");
    baro_text_add(text, sizeof text, "fg");
    assert_string_equal(text, "ab3cdef");
    baro_text_add(text, sizeof text, "h");
    assert_string_equal(text, "ab3cdef");
}

static void a_span_is_checked_before_it_is_read(void **state)
{
    (void)state;
    struct baro_span span;
    int64_t shape[] = {3, 4};
    float data[12] = {0};
    assert_int_equal(baro_span_make(&span, BARO_F32, data, 2, shape, NULL, NULL), 0);
    assert_int_equal(span.strides[0], 4);
    assert_true(baro_span_is_contiguous(&span));
    int64_t transposed[] = {1, 3};
    assert_int_equal(baro_span_make(&span, BARO_F32, data, 2, shape, transposed, NULL), 0);
    assert_false(baro_span_is_contiguous(&span));
    assert_int_equal(baro_span_make(&span, (enum baro_dtype)99, data, 2, shape, NULL, NULL),
        BARO_EUNSUPPORTED);
    assert_int_equal(
        baro_span_make(&span, BARO_F32, NULL, 2, shape, NULL, NULL), BARO_EINVAL);
    int64_t empty[] = {0, 4};
    assert_int_equal(baro_span_make(&span, BARO_F32, NULL, 2, empty, NULL, NULL), 0);
    int64_t huge[] = {INT64_C(1) << 40, INT64_C(1) << 40};
    assert_int_equal(
        baro_span_make(&span, BARO_F32, data, 2, huge, NULL, NULL), BARO_ELIMIT);
}

static void a_damaged_record_is_never_taken(void **state)
{
    (void)state;
    _Alignas(8) uint8_t record[64] = {0};
    struct record_header header = {.bytes = record_bytes(8),
        .seq = 7,
        .step = 3,
        .thing = 1,
        .kind = READING_SCALAR,
        .payload_bytes = 8};
    double value = 0.5;
    memcpy(record, &header, sizeof header);
    memcpy(record + RECORD_HEADER_BYTES, &value, sizeof value);
    header.check = record_check(record);
    memcpy(record, &header, sizeof header);
    struct record_header got;
    const uint8_t *payload = NULL;
    const uint8_t *cursor = record;
    assert_int_equal(record_next(&cursor, record + header.bytes, &got, &payload), 1);
    struct reading reading;
    assert_int_equal(reading_check(&got, payload, 0, 0, &reading, NULL), 0);
    assert_true(reading.f64[0] == 0.5);
    assert_int_equal(record_next(&cursor, record + header.bytes, &got, &payload), 0);
    for (size_t bit = 0; bit < header.bytes * 8; bit++) {
        record[bit / 8] ^= (uint8_t)(1U << bit % 8);
        cursor = record;
        assert_int_equal(
            record_next(&cursor, record + header.bytes, &got, &payload), BARO_ECORRUPT);
        record[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    for (size_t n = 1; n < header.bytes; n++) {
        cursor = record;
        assert_int_equal(record_next(&cursor, record + n, &got, &payload), BARO_ECORRUPT);
    }
}

static void another_protocol_version_is_refused_with_a_reason(void **state)
{
    (void)state;
    Baro__Envelope envelope = BARO__ENVELOPE__INIT;
    Baro__RunsRequest request = BARO__RUNS_REQUEST__INIT;
    envelope.body_case = BARO__ENVELOPE__BODY_RUNS_REQUEST;
    envelope.runs_request = &request;
    uint8_t *bytes = NULL;
    size_t n_bytes = 0;
    assert_int_equal(wire_pack(&envelope, &bytes, &n_bytes), 0);
    struct wire_message message = {0};
    struct baro_err err = {0};
    assert_int_equal(
        wire_unpack(bytes, n_bytes, WIRE_MAX_ENVELOPE_BYTES, &message, &err), 0);
    wire_release(&message);
    assert_int_equal(wire_unpack(bytes, n_bytes, 1, &message, &err), BARO_ELIMIT);
    bytes[1] = WIRE_VERSION + 1; /* field 1 is the first one packed */
    assert_int_equal(wire_unpack(bytes, n_bytes, WIRE_MAX_ENVELOPE_BYTES, &message, &err),
        BARO_EVERSION);
    assert_non_null(strstr(err.text, "update"));
    free(bytes);
}

static void a_long_data_folder_still_gets_a_socket(void **state)
{
    (void)state;
    char endpoint[256];
    assert_int_equal(wire_endpoint("/tmp/x", endpoint, sizeof endpoint, NULL), 0);
    assert_string_equal(endpoint, "ipc:///tmp/x/barod.sock");
    char longer[200];
    memset(longer, 'd', sizeof longer - 1);
    longer[0] = '/';
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(wire_endpoint(longer, endpoint, sizeof endpoint, NULL), 0);
    assert_true(strlen(endpoint) - strlen("ipc://") < 108);
}

static void a_live_process_has_a_start_time_and_a_dead_one_has_none(void **state)
{
    (void)state;
    assert_true(baro_process_start((int)getpid()) > 0);
    assert_int_equal(baro_process_start(0x7ffffff0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_outer_step_is_put_before_an_error),
        cmocka_unit_test(an_error_longer_than_its_room_stays_a_string),
        cmocka_unit_test(a_misspelt_name_finds_its_neighbour),
        cmocka_unit_test(globs_match_as_in_a_shell_but_across_slashes),
        cmocka_unit_test(sizes_are_read_with_their_letter),
        cmocka_unit_test(text_from_outside_is_made_safe_to_print),
        cmocka_unit_test(text_is_appended_as_far_as_whole_characters_fit),
        cmocka_unit_test(a_span_is_checked_before_it_is_read),
        cmocka_unit_test(a_damaged_record_is_never_taken),
        cmocka_unit_test(another_protocol_version_is_refused_with_a_reason),
        cmocka_unit_test(a_long_data_folder_still_gets_a_socket),
        cmocka_unit_test(a_live_process_has_a_start_time_and_a_dead_one_has_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
