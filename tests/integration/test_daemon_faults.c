/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <math.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/testing.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "tests/integration/daemon_rig.h"

/* Wrong messages, wrong folders, wrong options: one clear sentence each, and nobody else hurt. */

static int set_up(void **state)
{
    static struct rig rig;
    rig_start(&rig);
    *state = &rig;
    return 0;
}

static int tear_down(void **state)
{
    rig_finish(*state);
    return 0;
}

/* The daemon still takes and keeps what a good client pushes. */
static void expect_alive(struct rig *rig)
{
    struct pusher pusher;
    pusher_init(&pusher, rig, "good", 77);
    pusher_declare_scalar(&pusher, 1, "x");
    int64_t last = pusher_hello(&pusher);
    assert_true(last >= 0);
    pusher.seq = (uint64_t)last;
    pusher_scalar(&pusher, 1, last, 1);
    pusher_flush(&pusher);
    pusher_finish(&pusher);
}

static uint64_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + 1;
    return *state >> 33;
}

static void garbage_is_refused_with_a_sentence(void **state)
{
    struct rig *rig = *state;
    struct pusher pusher;
    pusher_init(&pusher, rig, "bad", 1);
    const char text[] = "GET / HTTP/1.1\r\n\r\n";
    const void *parts[] = {text};
    const size_t sizes[] = {sizeof text};
    pusher_send_raw(&pusher, parts, sizes, 1);
    assert_int_equal(pusher_wait_refusal(&pusher), BARO_ECORRUPT);
    assert_non_null(strstr(pusher.refusal_text, "not a Barograph message"));
    pusher_finish(&pusher);
    expect_alive(rig);
}

static void random_bytes_in_any_number_of_frames_do_no_harm(void **state)
{
    struct rig *rig = *state;
    struct pusher pusher;
    pusher_init(&pusher, rig, "bad", 1);
    uint64_t seed = 4;
    uint8_t bytes[512];
    for (int round = 0; round < 300; round++) {
        const void *parts[6];
        size_t sizes[6];
        int n = 1 + (int)(next_random(&seed) % 6);
        for (int i = 0; i < n; i++) {
            parts[i] = bytes;
            sizes[i] = next_random(&seed) % sizeof bytes;
        }
        for (size_t i = 0; i < sizeof bytes; i++) {
            bytes[i] = (uint8_t)next_random(&seed);
        }
        pusher_send_raw(&pusher, parts, sizes, n);
        while (pusher_listen(&pusher, 0)) {
        }
    }
    pusher_finish(&pusher);
    expect_alive(rig);
}

/* Flip each part of a good conversation a little; what is good in it may be taken. */
static void damaged_batches_do_no_harm_to_others(void **state)
{
    struct rig *rig = *state;
    struct pusher other;
    pusher_init(&other, rig, "other", 2);
    pusher_declare_scalar(&other, 1, "x");
    assert_int_equal(pusher_hello(&other), 0);
    struct pusher pusher;
    pusher_init(&pusher, rig, "bad", 1);
    pusher_declare_scalar(&pusher, 1, "x");
    pusher_declare_tensor(&pusher, 2, "t", BARO_ACT, 8, 4);
    assert_int_equal(pusher_hello(&pusher), 0);
    uint64_t seed = 9;
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < 4; i++) {
            pusher_scalar(&pusher, 1, round, i);
            pusher_summary(&pusher, 2, round, i, 0, 0, -1, -1);
        }
        size_t at = next_random(&seed) % pusher.n_records_bytes;
        pusher.records[at] ^= (uint8_t)(1 + next_random(&seed) % 255);
        if (round % 3 == 0) {
            pusher.n_records_bytes -= next_random(&seed) % 64;
        }
        pusher_send(&pusher);
        pusher_clear(&pusher);
        while (pusher_listen(&pusher, 0)) {
        }
        pusher_scalar(&other, 1, round, round);
        pusher_send(&other);
        pusher_clear(&other);
    }
    pusher_flush(&other);
    rig_wait_records(rig, "other", 200);
    pusher_finish(&pusher);
    pusher_finish(&other);
}

static void a_broken_frame_counts_as_seen_and_the_next_batch_is_taken(void **state)
{
    struct rig *rig = *state;
    struct pusher pusher;
    pusher_init(&pusher, rig, "a", 1);
    pusher_declare_scalar(&pusher, 1, "x");
    assert_int_equal(pusher_hello(&pusher), 0);
    for (int i = 0; i < 4; i++) {
        pusher_scalar(&pusher, 1, i, i);
    }
    pusher.records[2 * 56 + 50] ^= 0xff; /* in the third record */
    pusher_send(&pusher);
    assert_int_equal(pusher_wait_refusal(&pusher), BARO_ECORRUPT);
    assert_non_null(strstr(pusher.refusal_text, "record 2"));
    pusher_clear(&pusher);
    pusher_scalar(&pusher, 1, 4, 4);
    pusher_flush(&pusher);
    rig_wait_records(rig, "a", 3);
    pusher_finish(&pusher);
}

static void a_record_of_a_thing_that_was_never_declared_is_left_out(void **state)
{
    struct rig *rig = *state;
    struct pusher pusher;
    pusher_init(&pusher, rig, "a", 1);
    pusher_declare_scalar(&pusher, 1, "x");
    assert_int_equal(pusher_hello(&pusher), 0);
    pusher_scalar(&pusher, 1, 0, 0);
    pusher_scalar(&pusher, 4000000000U, 0, 0);
    pusher_summary(&pusher, 1, 0, 1, 0, 0, -1, -1); /* x is no tensor */
    pusher_scalar(&pusher, 0, 0, 0);
    pusher_scalar(&pusher, 1, 1, 1);
    pusher_flush(&pusher);
    rig_wait_records(rig, "a", 2);
    pusher_finish(&pusher);
}

static void another_protocol_version_is_told_which_side_to_update(void **state)
{
    struct rig *rig = *state;
    struct pusher pusher;
    pusher_init(&pusher, rig, "old", 1);
    for (uint32_t version = 0; version < 3; version++) {
        if (version == WIRE_VERSION) {
            continue;
        }
        Baro__Envelope envelope;
        baro__envelope__init(&envelope);
        Baro__RunsRequest runs;
        baro__runs_request__init(&runs);
        envelope.version = version;
        envelope.request = 5;
        envelope.body_case = BARO__ENVELOPE__BODY_RUNS_REQUEST;
        envelope.runs_request = &runs;
        uint8_t packed[64];
        size_t n = baro__envelope__pack(&envelope, packed);
        const void *parts[] = {packed};
        pusher_send_raw(&pusher, parts, &n, 1);
        assert_int_equal(pusher_wait_refusal(&pusher), BARO_EVERSION);
        assert_non_null(strstr(pusher.refusal_text, "update"));
    }
    pusher_finish(&pusher);
    expect_alive(rig);
}

static void an_oversized_envelope_is_refused(void **state)
{
    struct rig *rig = *state;
    struct pusher pusher;
    pusher_init(&pusher, rig, "big", 1);
    size_t n = WIRE_MAX_ENVELOPE_BYTES + 1;
    baro_autofree uint8_t *bytes = baro_xcalloc(n, 1);
    const void *parts[] = {bytes};
    pusher_send_raw(&pusher, parts, &n, 1);
    assert_int_equal(pusher_wait_refusal(&pusher), BARO_ELIMIT);
    pusher_finish(&pusher);
    expect_alive(rig);
}

static void an_oversized_frame_is_refused_and_a_huge_one_ends_the_connection(void **state)
{
    struct rig *rig = *state;
    struct pusher pusher;
    pusher_init(&pusher, rig, "big", 1);
    pusher_declare_scalar(&pusher, 1, "x");
    assert_int_equal(pusher_hello(&pusher), 0);
    size_t n = (64 << 20);
    uint8_t *bytes = baro_xcalloc(n, 1);
    free(pusher.records);
    pusher.records = bytes;
    pusher.n_records_bytes = WIRE_MAX_FRAME_BYTES + 8;
    pusher.first_seq = 1;
    pusher.n_records = 1;
    pusher_send(&pusher);
    assert_int_equal(pusher_wait_refusal(&pusher), BARO_ELIMIT);
    pusher.n_records_bytes = n;
    pusher_send(&pusher);
    expect_alive(rig);
    pusher_finish(&pusher);
}

static void a_hello_without_a_description_is_refused(void **state)
{
    struct rig *rig = *state;
    struct pusher pusher;
    pusher_init(&pusher, rig, "a", 1);
    pusher.n_sticky = 0;
    assert_int_equal(pusher_hello(&pusher), -1);
    assert_int_equal(pusher.refusal, BARO_ECORRUPT);
    pusher_finish(&pusher);
}

static void a_question_about_an_unknown_run_is_refused(void **state)
{
    struct rig *rig = *state;
    struct baro_err err = {0};
    Baro__AlertsRequest alerts;
    baro__alerts_request__init(&alerts);
    alerts.run = 12;
    Baro__Envelope request;
    baro__envelope__init(&request);
    request.body_case = BARO__ENVELOPE__BODY_ALERTS_REQUEST;
    request.alerts_request = &alerts;
    assert_int_equal(rig_ask_refused(rig, &request, &err), BARO_ENOENT);
    assert_non_null(strstr(err.text, "no run 12"));
}

static void a_reply_that_would_be_too_large_is_refused(void **state)
{
    struct rig *rig = *state;
    struct pusher pusher;
    pusher_init(&pusher, rig, "a", 1);
    pusher_declare_tensor(&pusher, 1, "wide", BARO_ACT, 8, 60000);
    assert_int_equal(pusher_hello(&pusher), 0);
    Baro__SeriesRef ref;
    baro__series_ref__init(&ref);
    ref.thing = 1;
    ref.kind = READING_UNITS;
    ref.unit = -1;
    Baro__SeriesRef *refs[1] = {&ref};
    Baro__RangeRequest range;
    baro__range_request__init(&range);
    range.run = 1;
    range.n_series = 1;
    range.series = refs;
    range.to_step = 1000;
    range.columns = 8192;
    Baro__Envelope request;
    baro__envelope__init(&request);
    request.body_case = BARO__ENVELOPE__BODY_RANGE_REQUEST;
    request.range_request = &range;
    struct baro_err err = {0};
    assert_int_equal(rig_ask_refused(rig, &request, &err), BARO_ELIMIT);
    assert_non_null(strstr(err.text, "fewer columns"));
    ref.thing = 2;
    assert_int_equal(rig_ask_refused(rig, &request, &err), BARO_ENOENT);
    pusher_finish(&pusher);
}

static void a_second_daemon_on_the_same_folder_names_the_first(void **state)
{
    struct rig *rig = *state;
    char said[1024];
    char pid[32];
    const char *arguments[] = {"--dir", rig->dir, NULL};
    assert_int_equal(rig_run(arguments, said, sizeof said), 1);
    (void)snprintf(pid, sizeof pid, "%d", (int)rig->pid);
    assert_non_null(strstr(said, pid));
    assert_true(strchr(said, '\n') == said + strlen(said) - 1); /* one sentence */
    expect_alive(rig);
}

static void the_socket_is_for_its_owner_alone(void **state)
{
    struct rig *rig = *state;
    struct stat status;
    assert_int_equal(stat(rig->endpoint + 6, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
}

static void the_socket_of_a_dead_daemon_is_replaced(void **state)
{
    struct rig *rig = *state;
    rig_kill(rig);
    assert_int_equal(access(rig->endpoint + 6, F_OK), 0);
    rig_restart(rig);
    expect_alive(rig);
}

static void tcp_is_refused_with_the_reason_and_a_way_out(void **state)
{
    (void)state;
    char said[1024];
    const char *arguments[] = {
        "--dir", "/tmp/none", "--listen", "tcp://127.0.0.1:7777", NULL};
    assert_int_equal(rig_run(arguments, said, sizeof said), 2);
    assert_non_null(strstr(said, "ssh -L"));
    assert_non_null(strstr(said, "--insecure"));
}

static void tcp_is_served_when_insecure_is_spelled_out(void **state)
{
    (void)state;
    char said[1024];
    const char *arguments[] = {"--dir", "/tmp/none", "--listen", "tcp://127.0.0.1:7777",
        "--insecure", "--check-config", NULL};
    assert_int_equal(rig_run(arguments, said, sizeof said), 0);
}

static void wrong_options_get_one_sentence_and_the_nearest_name(void **state)
{
    (void)state;
    char said[1024];
    const char *misspelt[] = {"--lisen", "x", NULL};
    assert_int_equal(rig_run(misspelt, said, sizeof said), 2);
    assert_non_null(strstr(said, "--listen"));
    assert_non_null(strstr(said, "--help"));
    const char *size[] = {"--quota", "64Q", NULL};
    assert_int_equal(rig_run(size, said, sizeof said), 2);
    assert_non_null(strstr(said, "'64Q' is not a size"));
    const char *level[] = {"--log-level", "debux", NULL};
    assert_int_equal(rig_run(level, said, sizeof said), 2);
    assert_non_null(strstr(said, "'debug'"));
    const char *endpoint[] = {"--listen", "http://x", NULL};
    assert_int_equal(rig_run(endpoint, said, sizeof said), 2);
    const char *version[] = {"--version", NULL};
    assert_int_equal(rig_run(version, said, sizeof said), 0);
    assert_non_null(strstr(said, BAROGRAPH_VERSION));
}

static void a_folder_that_cannot_be_made_is_told(void **state)
{
    (void)state;
    char said[1024];
    const char *arguments[] = {"--dir", "/proc/none/barograph", NULL};
    assert_int_equal(rig_run(arguments, said, sizeof said), 1);
    assert_non_null(strstr(said, "/proc/none"));
}

/* ---- a store that cannot take more ---- */

static void store_path(const struct rig *rig, char *out, size_t n)
{
    (void)snprintf(out, n, "%s/store.mdb", rig->dir);
}

/* Ask what keeps the daemon from committing. */
static void ask_trouble(struct rig *rig, char *out, size_t n)
{
    Baro__StatusRequest status;
    baro__status_request__init(&status);
    Baro__Envelope request;
    baro__envelope__init(&request);
    request.body_case = BARO__ENVELOPE__BODY_STATUS_REQUEST;
    request.status_request = &status;
    struct link_message reply = {0};
    rig_ask(rig, &request, &reply);
    (void)snprintf(out, n, "%s", reply.wire.envelope->status_reply->trouble);
    link_message_release(&reply);
}

static void wait_for_trouble(struct rig *rig, bool is_wanted)
{
    char trouble[256] = "";
    uint64_t until = baro_now_ns() + UINT64_C(20000000000);
    do {
        ask_trouble(rig, trouble, sizeof trouble);
        (void)usleep(10000);
    } while ((trouble[0] != '\0') != is_wanted && baro_now_ns() < until);
    assert_int_equal(trouble[0] != '\0', is_wanted);
}

static void push_much(struct pusher *pusher, int64_t step)
{
    float values[UNIT_STAT_COUNT * 4000];
    for (size_t i = 0; i < BARO_LEN(values); i++) {
        values[i] = (float)(i * 2654435761U % 1000003U) + (float)step;
    }
    pusher_record(pusher, READING_UNITS, 1, step, values, sizeof values);
}

static void a_full_store_stops_acknowledging_says_so_and_goes_on_when_cured(void **state)
{
    struct rig *rig = *state;
    struct pusher pusher;
    pusher_init(&pusher, rig, "a", 1);
    pusher_declare_tensor(&pusher, 1, "wide", BARO_ACT, 8, 4000);
    assert_int_equal(pusher_hello(&pusher), 0);
    push_much(&pusher, 0);
    pusher_flush(&pusher);
    char path[256];
    struct stat before;
    store_path(rig, path, sizeof path);
    assert_int_equal(stat(path, &before), 0);
    /* No file of the daemon may grow: what a full disk is to it. */
    struct rlimit old;
    struct rlimit limit;
    assert_int_equal(prlimit(rig->pid, RLIMIT_FSIZE, NULL, &old), 0);
    limit = old;
    limit.rlim_cur = (rlim_t)before.st_size;
    assert_int_equal(prlimit(rig->pid, RLIMIT_FSIZE, &limit, NULL), 0);
    for (int64_t step = 1; step <= 40; step++) {
        push_much(&pusher, step);
    }
    pusher_send(&pusher);
    wait_for_trouble(rig, true);
    assert_int_equal(pusher.acked, 1);
    assert_true(rig_log_has(rig, "nothing is acknowledged"));
    assert_int_equal(prlimit(rig->pid, RLIMIT_FSIZE, &old, NULL), 0);
    pusher_flush(&pusher);
    wait_for_trouble(rig, false);
    rig_wait_records(rig, "a", 41);
    pusher_finish(&pusher);
}

static void at_the_quota_nothing_acknowledged_is_lost(void **state)
{
    struct rig *rig = *state;
    rig_kill(rig);
    rig->quota = "2M";
    rig_restart(rig);
    struct pusher pusher;
    pusher_init(&pusher, rig, "a", 1);
    pusher_declare_tensor(&pusher, 1, "wide", BARO_ACT, 8, 4000);
    assert_int_equal(pusher_hello(&pusher), 0);
    push_much(&pusher, 0);
    pusher_flush(&pusher);
    for (int64_t step = 1; step <= 60; step++) {
        push_much(&pusher, step);
    }
    pusher_send(&pusher);
    wait_for_trouble(rig, true);
    assert_int_equal(pusher.acked, 1);
    rig_kill(rig);
    rig->quota = NULL;
    rig_restart(rig);
    pusher_reconnect(&pusher, rig);
    assert_int_equal(pusher_hello(&pusher), 1);
    pusher_flush(&pusher);
    rig_wait_records(rig, "a", 61);
    pusher_finish(&pusher);
}

/* The store behind for long: the queue is bounded, what is beyond it comes again later. */
static void a_daemon_that_is_behind_holds_batches_back_and_loses_none(void **state)
{
    struct rig *rig = *state;
    struct pusher pusher;
    pusher_init(&pusher, rig, "a", 1);
    pusher_declare_tensor(&pusher, 1, "wide", BARO_ACT, 8, 4000);
    assert_int_equal(pusher_hello(&pusher), 0);
    push_much(&pusher, 0);
    pusher_flush(&pusher);
    char path[256];
    struct stat before;
    store_path(rig, path, sizeof path);
    assert_int_equal(stat(path, &before), 0);
    struct rlimit old;
    struct rlimit limit;
    assert_int_equal(prlimit(rig->pid, RLIMIT_FSIZE, NULL, &old), 0);
    limit = old;
    limit.rlim_cur = (rlim_t)before.st_size;
    assert_int_equal(prlimit(rig->pid, RLIMIT_FSIZE, &limit, NULL), 0);
    enum { BATCHES = 60, EACH = 20 }; /* 96 MB, three times what the daemon queues */
    for (int b = 0; b < BATCHES; b++) {
        for (int64_t i = 0; i < EACH; i++) {
            push_much(&pusher, b * EACH + i);
        }
        pusher_send(&pusher);
        pusher_clear(&pusher);
    }
    wait_for_trouble(rig, true);
    assert_int_equal(prlimit(rig->pid, RLIMIT_FSIZE, &old, NULL), 0);
    wait_for_trouble(rig, false);
    /* Do as a client does: connect anew, go on behind what is committed. */
    uint64_t n_all = pusher.seq;
    pusher_reconnect(&pusher, rig);
    int64_t last = pusher_hello(&pusher);
    assert_in_range(last, 1, n_all - 1); /* else nothing was held back */
    pusher.seq = (uint64_t)last;
    while (pusher.seq < n_all) {
        for (int i = 0; i < EACH && pusher.seq < n_all; i++) {
            push_much(&pusher, (int64_t)pusher.seq - 1);
        }
        pusher_flush(&pusher);
    }
    struct link_message reply = {0};
    const Baro__RunInfo *info = rig_run_info(rig, "a", &reply);
    assert_int_equal(info->n_records, n_all);
    assert_int_equal(info->last_step, BATCHES * EACH - 1);
    link_message_release(&reply);
    pusher_finish(&pusher);
}

static void a_folder_from_the_future_is_refused_and_left_alone(void **state)
{
    struct rig *rig = *state;
    expect_alive(rig);
    rig_kill(rig);
    /* The format number follows its key in the store's file; see docs/STORAGE.md. */
    char path[256];
    store_path(rig, path, sizeof path);
    baro_autoclose int fd = open(path, O_RDWR | O_CLOEXEC);
    struct stat status;
    assert_true(fd >= 0 && fstat(fd, &status) == 0);
    baro_autofree uint8_t *bytes = baro_xcalloc((size_t)status.st_size, 1);
    assert_int_equal(pread(fd, bytes, (size_t)status.st_size, 0), status.st_size);
    static const uint8_t format[] = {'f', 'o', 'r', 'm', 'a', 't', 2, 0, 0, 0};
    int n_patched = 0;
    for (off_t at = 0; at + (off_t)sizeof format <= status.st_size; at++) {
        if (memcmp(bytes + at, format, sizeof format) == 0) {
            const uint8_t future = 9;
            assert_int_equal(pwrite(fd, &future, 1, at + 6), 1);
            n_patched++;
        }
    }
    assert_true(n_patched > 0);
    char said[1024];
    const char *arguments[] = {"--dir", rig->dir, NULL};
    assert_int_equal(rig_run(arguments, said, sizeof said), 1);
    assert_non_null(strstr(said, "newer"));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(garbage_is_refused_with_a_sentence),
        CASE(random_bytes_in_any_number_of_frames_do_no_harm),
        CASE(damaged_batches_do_no_harm_to_others),
        CASE(a_broken_frame_counts_as_seen_and_the_next_batch_is_taken),
        CASE(a_record_of_a_thing_that_was_never_declared_is_left_out),
        CASE(another_protocol_version_is_told_which_side_to_update),
        CASE(an_oversized_envelope_is_refused),
        CASE(an_oversized_frame_is_refused_and_a_huge_one_ends_the_connection),
        CASE(a_hello_without_a_description_is_refused),
        CASE(a_question_about_an_unknown_run_is_refused),
        CASE(a_reply_that_would_be_too_large_is_refused),
        CASE(a_second_daemon_on_the_same_folder_names_the_first),
        CASE(the_socket_is_for_its_owner_alone),
        CASE(the_socket_of_a_dead_daemon_is_replaced),
        CASE(a_full_store_stops_acknowledging_says_so_and_goes_on_when_cured),
        CASE(at_the_quota_nothing_acknowledged_is_lost),
        CASE(a_daemon_that_is_behind_holds_batches_back_and_loses_none),
        CASE(a_folder_from_the_future_is_refused_and_left_alone),
        cmocka_unit_test(tcp_is_refused_with_the_reason_and_a_way_out),
        cmocka_unit_test(tcp_is_served_when_insecure_is_spelled_out),
        cmocka_unit_test(wrong_options_get_one_sentence_and_the_nearest_name),
        cmocka_unit_test(a_folder_that_cannot_be_made_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
