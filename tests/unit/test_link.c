/* SPDX-License-Identifier: Apache-2.0 */
/* The asking side against a ROUTER that answers as each case wants it. */
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <zmq.h>

#include "lib/base/clock.h"
#include "lib/link/link.h"

enum { WAIT_MS = 10000, SHORT_MS = 100 };

/* A daemon in a few lines, in the same thread: what it sends waits in the socket. */
struct fake {
    void *context;
    void *router;
    char dir[64];
    char endpoint[128];
    uint8_t peer[64];
    size_t peer_bytes;
    struct link *link;
};

static void bind_router(struct fake *fake)
{
    int linger_ms = 0;
    int timeout_ms = WAIT_MS;
    fake->router = zmq_socket(fake->context, ZMQ_ROUTER);
    (void)zmq_setsockopt(fake->router, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    (void)zmq_setsockopt(fake->router, ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms);
    assert_int_equal(zmq_bind(fake->router, fake->endpoint), 0);
}

static int set_up(void **state)
{
    struct fake *fake = calloc(1, sizeof *fake);
    (void)snprintf(fake->dir, sizeof fake->dir, "/tmp/baro-link-XXXXXX");
    assert_non_null(mkdtemp(fake->dir));
    (void)snprintf(fake->endpoint, sizeof fake->endpoint, "ipc://%s/s", fake->dir);
    fake->context = zmq_ctx_new();
    bind_router(fake);
    fake->link = link_open(fake->endpoint, NULL);
    assert_non_null(fake->link);
    *state = fake;
    return 0;
}

static int tear_down(void **state)
{
    struct fake *fake = *state;
    link_close(fake->link);
    (void)zmq_close(fake->router);
    (void)zmq_ctx_term(fake->context);
    (void)unlink(fake->endpoint + 6);
    (void)rmdir(fake->dir);
    free(fake);
    return 0;
}

static Baro__Envelope status_request(void)
{
    static Baro__StatusRequest body = BARO__STATUS_REQUEST__INIT;
    Baro__Envelope envelope = BARO__ENVELOPE__INIT;
    envelope.body_case = BARO__ENVELOPE__BODY_STATUS_REQUEST;
    envelope.status_request = &body;
    return envelope;
}

/* Take one request off the router; returns its number. */
static uint64_t take_request(struct fake *fake)
{
    uint8_t bytes[4096];
    int n = zmq_recv(fake->router, fake->peer, sizeof fake->peer, 0);
    assert_true(n > 0);
    fake->peer_bytes = (size_t)n;
    n = zmq_recv(fake->router, bytes, sizeof bytes, 0);
    assert_true(n > 0);
    struct wire_message message = {0};
    assert_int_equal(
        wire_unpack(bytes, (size_t)n, WIRE_MAX_ENVELOPE_BYTES, &message, NULL), 0);
    uint64_t request = message.envelope->request;
    wire_release(&message);
    return request;
}

static void send_envelope(struct fake *fake, Baro__Envelope *envelope, const char *frame)
{
    uint8_t *bytes = NULL;
    size_t n_bytes = 0;
    assert_int_equal(wire_pack(envelope, &bytes, &n_bytes), 0);
    assert_true(zmq_send(fake->router, fake->peer, fake->peer_bytes, ZMQ_SNDMORE) >= 0);
    assert_true(
        zmq_send(fake->router, bytes, n_bytes, frame != NULL ? ZMQ_SNDMORE : 0) >= 0);
    if (frame != NULL) {
        assert_true(zmq_send(fake->router, frame, strlen(frame), 0) >= 0);
    }
    free(bytes);
}

static void send_status(struct fake *fake, uint64_t request, uint32_t pid)
{
    Baro__StatusReply body;
    baro__status_reply__init(&body);
    body.pid = pid;
    Baro__Envelope envelope = BARO__ENVELOPE__INIT;
    envelope.request = request;
    envelope.body_case = BARO__ENVELOPE__BODY_STATUS_REPLY;
    envelope.status_reply = &body;
    send_envelope(fake, &envelope, NULL);
}

static void send_live(struct fake *fake, uint32_t run, const char *frame)
{
    Baro__LiveRecords body = BARO__LIVE_RECORDS__INIT;
    body.run = run;
    Baro__Envelope envelope = BARO__ENVELOPE__INIT;
    envelope.body_case = BARO__ENVELOPE__BODY_LIVE_RECORDS;
    envelope.live_records = &body;
    send_envelope(fake, &envelope, frame);
}

static void refuse(struct fake *fake, uint64_t request, int code, const char *text)
{
    char copy[64];
    (void)snprintf(copy, sizeof copy, "%s", text);
    Baro__Refusal body;
    baro__refusal__init(&body);
    body.code = code;
    body.text = copy;
    Baro__Envelope envelope = BARO__ENVELOPE__INIT;
    envelope.request = request;
    envelope.body_case = BARO__ENVELOPE__BODY_REFUSAL;
    envelope.refusal = &body;
    send_envelope(fake, &envelope, NULL);
}

/* Let the fake know its peer: a question that is answered at once. */
static void meet(struct fake *fake)
{
    Baro__Envelope request = status_request();
    int64_t number = link_send(fake->link, &request, NULL);
    assert_true(number > 0);
    assert_int_equal(take_request(fake), number);
    send_status(fake, (uint64_t)number, 1);
    struct link_message message;
    assert_int_equal(link_next(fake->link, WAIT_MS, &message, NULL), 1);
    assert_int_equal(message.wire.envelope->request, number);
    link_message_release(&message);
}

/* The number that the next question will carry: they rise by one. */
static uint64_t next_number(struct fake *fake)
{
    Baro__Envelope request = status_request();
    int64_t number = link_send(fake->link, &request, NULL);
    assert_int_equal(take_request(fake), number);
    return (uint64_t)number + 1;
}

static void live_messages_during_a_question_are_kept_in_order(void **state)
{
    struct fake *fake = *state;
    meet(fake);
    uint64_t number = next_number(fake);
    send_live(fake, 1, "eleven byte");
    send_live(fake, 2, "x");
    send_status(fake, number, 42);
    send_live(fake, 3, "y");
    Baro__Envelope request = status_request();
    struct link_message reply;
    assert_int_equal(link_ask(fake->link, &request, WAIT_MS, &reply, NULL), 0);
    assert_int_equal(reply.wire.envelope->status_reply->pid, 42);
    link_message_release(&reply);
    for (uint32_t run = 1; run <= 3; run++) {
        struct link_message message;
        assert_int_equal(link_next(fake->link, WAIT_MS, &message, NULL), 1);
        assert_int_equal(message.wire.envelope->live_records->run, run);
        assert_int_equal(message.n_frames, 1);
        assert_int_equal((uintptr_t)message.frames[0].bytes % 8, 0);
        if (run == 1) {
            assert_int_equal(message.frames[0].n_bytes, 11);
            assert_memory_equal(message.frames[0].bytes, "eleven byte", 11);
        }
        link_message_release(&message);
    }
    struct link_message none;
    assert_int_equal(link_next(fake->link, 0, &none, NULL), 0);
}

static void an_answer_that_comes_too_late_is_thrown_away(void **state)
{
    struct fake *fake = *state;
    struct baro_err err = {0};
    meet(fake);
    Baro__Envelope request = status_request();
    struct link_message reply;
    assert_int_equal(link_ask(fake->link, &request, SHORT_MS, &reply, &err), BARO_ETIMEOUT);
    assert_non_null(strstr(err.text, "listens but does not answer"));
    uint64_t late = take_request(fake);
    send_status(fake, late, 7);
    send_live(fake, 5, NULL);
    struct link_message message;
    assert_int_equal(link_next(fake->link, WAIT_MS, &message, NULL), 1);
    assert_int_equal(message.wire.envelope->body_case, BARO__ENVELOPE__BODY_LIVE_RECORDS);
    link_message_release(&message);
}

static void a_refusal_gives_its_code_and_sentence(void **state)
{
    struct fake *fake = *state;
    struct baro_err err = {0};
    meet(fake);
    refuse(fake, next_number(fake), BARO_ENOENT, "there is no run 9");
    Baro__Envelope request = status_request();
    struct link_message reply;
    assert_int_equal(link_ask(fake->link, &request, WAIT_MS, &reply, &err), BARO_ENOENT);
    assert_string_equal(err.text, "there is no run 9");
    assert_null(reply.wire.envelope);
}

static void garbage_and_foreign_versions_are_told_and_what_follows_arrives(void **state)
{
    struct fake *fake = *state;
    struct link_message message;
    meet(fake);
    assert_true(zmq_send(fake->router, fake->peer, fake->peer_bytes, ZMQ_SNDMORE) >= 0);
    assert_true(zmq_send(fake->router, "\xff\xff\xff", 3, ZMQ_SNDMORE) >= 0);
    assert_true(zmq_send(fake->router, "tail", 4, 0) >= 0);
    static const uint8_t future[] = {0x08, 0x63}; /* version = 99 */
    assert_true(zmq_send(fake->router, fake->peer, fake->peer_bytes, ZMQ_SNDMORE) >= 0);
    assert_true(zmq_send(fake->router, future, sizeof future, 0) >= 0);
    send_live(fake, 8, NULL);
    assert_int_equal(link_next(fake->link, WAIT_MS, &message, NULL), BARO_ECORRUPT);
    assert_int_equal(link_next(fake->link, WAIT_MS, &message, NULL), BARO_EVERSION);
    assert_int_equal(link_next(fake->link, WAIT_MS, &message, NULL), 1);
    assert_int_equal(message.wire.envelope->live_records->run, 8);
    link_message_release(&message);
}

static void a_message_with_too_many_frames_is_refused_whole(void **state)
{
    struct fake *fake = *state;
    struct link_message message;
    meet(fake);
    static const uint8_t envelope[] = {0x08, WIRE_VERSION};
    assert_true(zmq_send(fake->router, fake->peer, fake->peer_bytes, ZMQ_SNDMORE) >= 0);
    assert_true(zmq_send(fake->router, envelope, sizeof envelope, ZMQ_SNDMORE) >= 0);
    for (int i = 0; i <= LINK_MAX_FRAMES; i++) {
        int flags = i < LINK_MAX_FRAMES ? ZMQ_SNDMORE : 0;
        assert_true(zmq_send(fake->router, "f", 1, flags) >= 0);
    }
    send_live(fake, 9, NULL);
    assert_int_equal(link_next(fake->link, WAIT_MS, &message, NULL), BARO_ELIMIT);
    assert_int_equal(link_next(fake->link, WAIT_MS, &message, NULL), 1);
    assert_int_equal(message.wire.envelope->live_records->run, 9);
    link_message_release(&message);
}

static void a_restart_of_the_daemon_is_counted(void **state)
{
    struct fake *fake = *state;
    struct link_message message;
    meet(fake);
    assert_int_equal(link_n_connects(fake->link), 1);
    assert_true(link_is_connected(fake->link));
    assert_true(link_is_served(fake->link));
    (void)zmq_close(fake->router);
    uint64_t deadline_ns = baro_now_ns() + WAIT_MS * UINT64_C(1000000);
    while (link_is_connected(fake->link) && baro_now_ns() < deadline_ns) {
        assert_int_equal(link_next(fake->link, 10, &message, NULL), 0);
    }
    assert_false(link_is_connected(fake->link));
    while (link_is_served(fake->link) && baro_now_ns() < deadline_ns) {
        assert_int_equal(link_next(fake->link, 10, &message, NULL), 0);
    }
    assert_false(link_is_served(fake->link));
    bind_router(fake);
    while (link_n_connects(fake->link) < 2 && baro_now_ns() < deadline_ns) {
        assert_int_equal(link_next(fake->link, 10, &message, NULL), 0);
    }
    assert_int_equal(link_n_connects(fake->link), 2);
    meet(fake);
}

static void a_bad_endpoint_is_refused_with_what_to_write(void **state)
{
    (void)state;
    struct baro_err err = {0};
    assert_null(link_open("nonsense", &err));
    assert_int_equal(err.code, BARO_EINVAL);
    assert_non_null(strstr(err.text, "ipc://PATH"));
    link_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            live_messages_during_a_question_are_kept_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            an_answer_that_comes_too_late_is_thrown_away, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_refusal_gives_its_code_and_sentence, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            garbage_and_foreign_versions_are_told_and_what_follows_arrives, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(
            a_message_with_too_many_frames_is_refused_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_restart_of_the_daemon_is_counted, set_up, tear_down),
        cmocka_unit_test(a_bad_endpoint_is_refused_with_what_to_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
