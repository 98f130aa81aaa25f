/* SPDX-License-Identifier: Apache-2.0 */
/* A real barod on a TCP port, and both kinds of clients with keys that fit and that do not. */
#include "tests/testing.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/reading.h"
#include "lib/keys/allowed.h"
#include "lib/push/baro.h"
#include "tests/integration/sample_rig.h"

enum { ASK_MS = 20000, N_KINDS = 4 };

/* Key files by what they may; the last is not on the list. */
static const char *const kinds[N_KINDS] = {"push", "view", "admin", "none"};
static struct rig rig;
static char tcp[64];

static char *key_path(const char *kind, char *out, size_t n)
{
    (void)snprintf(out, n, "%s/%s.key", rig.dir, kind);
    return out;
}

static void set_listed(const char *kind, bool is_listed)
{
    char path[4096];
    char key_file[256];
    struct keys_pair pair;
    struct allowed_key key = {.roles = allowed_parse_roles(kind)};
    assert_int_equal(keys_read(key_path(kind, key_file, sizeof key_file), &pair, NULL), 0);
    assert_int_equal(allowed_path(rig.dir, path, NULL), 0);
    (void)snprintf(key.name, sizeof key.name, "%s", kind);
    memcpy(key.public_key, pair.public_key, KEYS_BYTES);
    key.roles = key.roles != 0 ? key.roles : KEYS_ADMIN;
    if (is_listed) {
        assert_int_equal(allowed_add(path, &key, NULL), 0);
    } else {
        assert_int_equal(allowed_remove(path, kind, NULL), 1);
    }
}

static void make_keys(void)
{
    struct keys_pair server;
    assert_int_equal(keys_read_server(rig.dir, true, &server, NULL), 0);
    for (int i = 0; i < N_KINDS; i++) {
        char path[256];
        struct keys_pair pair;
        assert_int_equal(keys_make(&pair, kinds[i], NULL), 0);
        pair.has_server = true;
        memcpy(pair.server_key, server.public_key, KEYS_BYTES);
        assert_int_equal(keys_write(key_path(kinds[i], path, sizeof path), &pair, NULL), 0);
        if (i < N_KINDS - 1) {
            set_listed(kinds[i], true);
        }
    }
}

/* A port that nobody has: taken, seen, given back. */
static int free_port(void)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &n), 0);
    (void)close(fd);
    return ntohs(address.sin_port);
}

static int set_up(void **state)
{
    (void)state;
    rig_start(&rig);
    make_keys();
    rig_kill(&rig);
    (void)snprintf(tcp, sizeof tcp, "tcp://127.0.0.1:%d", free_port());
    rig.listen = tcp;
    rig_restart(&rig);
    return 0;
}

static int clean(void **state)
{
    (void)state;
    rig_finish(&rig);
    return 0;
}

static struct link *open_link(const char *kind)
{
    char path[256];
    struct baro_err err = {0};
    (void)setenv("BARO_KEY", key_path(kind, path, sizeof path), 1);
    struct link *link = link_open(tcp, &err);
    (void)unsetenv("BARO_KEY");
    if (link == NULL) {
        fail_msg("%s", err.text);
    }
    return link;
}

static int ask_runs(struct link *link, struct baro_err *err)
{
    Baro__RunsRequest body = BARO__RUNS_REQUEST__INIT;
    Baro__Envelope request = BARO__ENVELOPE__INIT;
    request.body_case = BARO__ENVELOPE__BODY_RUNS_REQUEST;
    request.runs_request = &body;
    struct link_message reply;
    int rc = link_ask(link, &request, ASK_MS, &reply, err);
    link_message_release(&reply);
    return rc;
}

static void a_link_says_at_once_why_its_key_is_of_no_use(void **state)
{
    (void)state;
    struct baro_err err = {0};
    struct link *link = open_link("view");
    assert_int_equal(ask_runs(link, &err), 0);
    link_close(link);
    link = open_link("push");
    assert_int_equal(ask_runs(link, &err), BARO_EACCES);
    assert_non_null(strstr(err.text, "'view'; 'push' has 'push'"));
    link_close(link);
    link = open_link("none");
    uint64_t began_ns = baro_now_ns();
    assert_int_equal(ask_runs(link, &err), BARO_EACCES);
    assert_non_null(strstr(err.text, "baro key allow"));
    assert_true(baro_now_ns() - began_ns < UINT64_C(5000000000));
    assert_string_equal(link_trouble(link), err.text);
    link_close(link);
}

static void a_link_that_was_refused_works_once_its_key_is_listed(void **state)
{
    (void)state;
    struct baro_err err = {0};
    struct link *link = open_link("none");
    assert_int_equal(ask_runs(link, &err), BARO_EACCES);
    set_listed("none", true);
    assert_int_equal(ask_runs(link, &err), 0);
    assert_string_equal(link_trouble(link), "");
    set_listed("none", false);
    uint64_t until = baro_now_ns() + UINT64_C(5000000000);
    while (ask_runs(link, &err) == 0) { /* the same connection: within a second */
        assert_true(baro_now_ns() < until);
        (void)usleep(20000);
    }
    assert_int_equal(err.code, BARO_EACCES);
    assert_non_null(strstr(err.text, "not on the daemon's list"));
    link_close(link);
}

static void a_live_sample_ends_when_its_askers_key_is_revoked(void **state)
{
    enum { UNITS = 64 };
    (void)state;
    float row[UNITS * UNIT_STAT_COUNT] = {0};
    struct pusher pusher;
    pusher_init(&pusher, &rig, "sampled", 7);
    pusher_declare_tensor(&pusher, 1, "w", BARO_WEIGHT, 4, UNITS);
    assert_int_equal(pusher_hello(&pusher), 0);
    for (int64_t step = 0; step < 20; step++) {
        for (uint32_t unit = 0; unit < UNITS; unit++) {
            row[UNITS + unit] = (float)(unit + step);
        }
        pusher_record(&pusher, READING_UNITS, 1, step, row, sizeof row);
    }
    pusher_flush(&pusher);
    struct link *link = open_link("view");
    Baro__SampleRequest request = sample_rig_request(&rig, "sampled");
    request.is_live = true;
    struct link_message message = {0};
    const uint64_t n_ended = sample_rig_counter(&rig, "samples_ended");
    const int64_t number = sample_rig_send(link, &request);
    (void)sample_rig_done(link, number, 19, &message);
    link_message_release(&message);
    assert_true(sample_rig_counter(&rig, "samples_ended") == n_ended);
    set_listed("view", false);
    sample_rig_wait_ended(&rig);
    assert_true(sample_rig_counter(&rig, "samples_ended") == n_ended + 1);
    set_listed("view", true);
    link_close(link);
    pusher_finish(&pusher);
}

static struct baro_run *open_run(const char *kind, struct baro_err *err)
{
    char path[256];
    struct baro_options options = BARO_OPTIONS_INIT;
    options.project = "test";
    options.endpoint = tcp;
    options.key_file = key_path(kind, path, sizeof path);
    options.ring_dir = rig.dir;
    options.ring_bytes = 1 << 20;
    return baro_open(&options, err);
}

static void a_run_arrives_over_tcp_with_a_key_that_may_push(void **state)
{
    (void)state;
    struct baro_err err = {0};
    struct baro_run *run = open_run("push", &err);
    assert_non_null(run);
    for (int64_t step = 0; step < 1000; step++) {
        (void)baro_step(run, step);
        (void)baro_scalar(run, "loss", (double)step);
    }
    assert_int_equal(baro_close(run, ASK_MS), 0);
}

static void a_run_whose_key_is_refused_says_so_and_keeps_its_ring(void **state)
{
    (void)state;
    struct baro_err err = {0};
    char text[256] = "";
    struct baro_run *run = open_run("none", &err);
    assert_non_null(run);
    (void)baro_scalar(run, "loss", 1.0);
    uint64_t until = baro_now_ns() + UINT64_C(10000000000);
    while (baro_news(run, text, sizeof text) == 0) {
        assert_true(baro_now_ns() < until);
        (void)usleep(5000);
    }
    assert_non_null(strstr(text, "does not admit this key"));
    assert_int_equal(baro_news(run, text, sizeof text), 0);
    assert_int_equal(access(baro_ring_path(run), R_OK), 0);
    assert_int_equal(baro_close(run, 0), BARO_ETIMEOUT);
}

static void a_run_without_a_key_is_not_opened_over_tcp(void **state)
{
    (void)state;
    struct baro_options options = BARO_OPTIONS_INIT;
    struct baro_err err = {0};
    options.endpoint = tcp;
    options.ring_dir = rig.dir;
    assert_null(baro_open(&options, &err));
    assert_int_equal(err.code, BARO_EACCES);
    options.key_file = "/nonexistent/key";
    assert_null(baro_open(&options, &err));
    assert_int_equal(err.code, BARO_ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_link_says_at_once_why_its_key_is_of_no_use),
        cmocka_unit_test(a_link_that_was_refused_works_once_its_key_is_listed),
        cmocka_unit_test(a_live_sample_ends_when_its_askers_key_is_revoked),
        cmocka_unit_test(a_run_arrives_over_tcp_with_a_key_that_may_push),
        cmocka_unit_test(a_run_whose_key_is_refused_says_so_and_keeps_its_ring),
        cmocka_unit_test(a_run_without_a_key_is_not_opened_over_tcp),
    };
    return cmocka_run_group_tests(tests, set_up, clean);
}
