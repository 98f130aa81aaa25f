/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/integration/daemon_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <zmq.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/record.h"
#include "tests/testing.h"

enum { DEADLINE_MS = 20000, ASK_MS = 20000 };

static uint64_t deadline(void)
{
    return baro_now_ns() + DEADLINE_MS * UINT64_C(1000000);
}

static void nap(void)
{
    (void)usleep(5000);
}

/* ---- the daemon ---- */

static void barod_path(char *out, size_t n)
{
    const char *build = getenv("BARO_BUILD_DIR");
    assert_non_null(build);
    (void)snprintf(out, n, "%s/daemon/barod", build);
}

static pid_t spawn(const char *const *arguments, const char *log_path)
{
    char path[4096];
    barod_path(path, sizeof path);
    const char *argv[16] = {"barod"};
    for (size_t i = 0; arguments[i] != NULL && i < 14; i++) {
        argv[i + 1] = arguments[i];
    }
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        int fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        (void)dup2(fd, STDERR_FILENO);
        (void)dup2(fd, STDOUT_FILENO);
        (void)execv(path, (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    return pid;
}

static void wait_until_it_answers(struct rig *rig)
{
    struct baro_err err = {0};
    uint64_t until = deadline();
    for (;;) {
        Baro__Envelope request;
        baro__envelope__init(&request);
        Baro__StatusRequest status;
        baro__status_request__init(&status);
        request.body_case = BARO__ENVELOPE__BODY_STATUS_REQUEST;
        request.status_request = &status;
        struct link_message reply = {0};
        if (link_ask(rig->link, &request, 500, &reply, &err) == 0) {
            link_message_release(&reply);
            return;
        }
        assert_int_equal(waitpid(rig->pid, NULL, WNOHANG), 0);
        assert_true(baro_now_ns() < until);
    }
}

void rig_restart(struct rig *rig)
{
    const char *arguments[8] = {"--dir", rig->dir};
    size_t n = 2;
    if (rig->quota != NULL) {
        arguments[n++] = "--quota";
        arguments[n++] = rig->quota;
    }
    if (rig->listen != NULL) {
        arguments[n++] = "--listen";
        arguments[n++] = rig->listen;
    }
    rig->pid = spawn(arguments, rig->log_path);
    link_close(rig->link);
    rig->link = link_open(rig->endpoint, NULL);
    assert_non_null(rig->link);
    wait_until_it_answers(rig);
}

void rig_start(struct rig *rig)
{
    *rig = (struct rig){0};
    (void)snprintf(rig->dir, sizeof rig->dir, "/tmp/baro-test-XXXXXX");
    assert_non_null(mkdtemp(rig->dir));
    (void)snprintf(rig->log_path, sizeof rig->log_path, "%s/log", rig->dir);
    assert_int_equal(wire_endpoint(rig->dir, rig->endpoint, sizeof rig->endpoint, NULL), 0);
    rig_restart(rig);
}

void rig_kill(struct rig *rig)
{
    assert_int_equal(kill(rig->pid, SIGKILL), 0);
    assert_int_equal(waitpid(rig->pid, NULL, 0), rig->pid);
    rig->pid = 0;
}

void rig_finish(struct rig *rig)
{
    link_close(rig->link);
    int status = 0;
    if (rig->pid != 0) {
        (void)kill(rig->pid, SIGTERM);
        (void)waitpid(rig->pid, &status, 0);
    }
    if (status != 0) {
        char command[512];
        (void)snprintf(command, sizeof command, "sed 's/^/# /' %s", rig->log_path);
        (void)!system(command);
    }
    char command[512];
    (void)snprintf(command, sizeof command, "rm -rf %s", rig->dir);
    (void)!system(command);
    assert_int_equal(status, 0);
}

int rig_run(const char *const *arguments, char *out_text, size_t text_bytes)
{
    char log[] = "/tmp/baro-run-XXXXXX";
    baro_autoclose int fd = mkstemp(log);
    assert_true(fd >= 0);
    pid_t pid = spawn(arguments, log);
    int status = 0;
    uint64_t until = deadline();
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (baro_now_ns() > until) {
            (void)kill(pid, SIGKILL);
            (void)waitpid(pid, NULL, 0);
            fail_msg("barod went on running");
        }
        nap();
    }
    ssize_t n = pread(fd, out_text, text_bytes - 1, 0);
    out_text[n > 0 ? n : 0] = '\0';
    (void)unlink(log);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

bool rig_log_has(const struct rig *rig, const char *text)
{
    baro_autofclose FILE *file = fopen(rig->log_path, "re");
    char line[2048];
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strstr(line, text) != NULL) {
            return true;
        }
    }
    return false;
}

/* ---- asking ---- */

void rig_ask(struct rig *rig, Baro__Envelope *request, struct link_message *out)
{
    struct baro_err err = {0};
    if (link_ask(rig->link, request, ASK_MS, out, &err) != 0) {
        fail_msg("asking failed: %s", err.text);
    }
}

int rig_ask_refused(struct rig *rig, Baro__Envelope *request, struct baro_err *err)
{
    struct link_message reply = {0};
    int rc = link_ask(rig->link, request, ASK_MS, &reply, err);
    if (rc == 0) {
        link_message_release(&reply);
    }
    return rc;
}

Baro__RunInfo *rig_run_info(struct rig *rig, const char *run_id, struct link_message *out)
{
    Baro__RunsRequest runs;
    baro__runs_request__init(&runs);
    Baro__Envelope request;
    baro__envelope__init(&request);
    request.body_case = BARO__ENVELOPE__BODY_RUNS_REQUEST;
    request.runs_request = &runs;
    rig_ask(rig, &request, out);
    const Baro__RunsReply *reply = out->wire.envelope->runs_reply;
    for (size_t i = 0; i < reply->n_runs; i++) {
        if (strcmp(reply->runs[i]->description->run_id, run_id) == 0) {
            return reply->runs[i];
        }
    }
    return NULL;
}

void rig_wait_status(struct rig *rig, const char *run_id, Baro__RunStatus status)
{
    uint64_t until = deadline();
    int seen = -1;
    while (baro_now_ns() < until) {
        struct link_message reply = {0};
        const Baro__RunInfo *info = rig_run_info(rig, run_id, &reply);
        seen = info != NULL ? (int)info->status : -1;
        link_message_release(&reply);
        if (seen == (int)status) {
            return;
        }
        nap();
    }
    fail_msg("run %s has status %d, not %d", run_id, seen, (int)status);
}

void rig_wait_records(struct rig *rig, const char *run_id, uint64_t n_records)
{
    uint64_t until = deadline();
    uint64_t seen = 0;
    while (baro_now_ns() < until) {
        struct link_message reply = {0};
        const Baro__RunInfo *info = rig_run_info(rig, run_id, &reply);
        seen = info != NULL ? info->n_records : 0;
        link_message_release(&reply);
        if (seen >= n_records) {
            return;
        }
        nap();
    }
    fail_msg("run %s has %" PRIu64 " records, not %" PRIu64, run_id, seen, n_records);
}

size_t rig_points(
    struct rig *rig, uint32_t run, uint32_t thing, double **out_values, int64_t **out_steps)
{
    Baro__SeriesRef ref;
    baro__series_ref__init(&ref);
    ref.thing = thing;
    ref.kind = READING_SCALAR;
    Baro__SeriesRef *refs[1] = {&ref};
    Baro__RangeRequest range;
    baro__range_request__init(&range);
    range.run = run;
    range.n_series = 1;
    range.series = refs;
    range.from_step = INT64_MIN;
    range.to_step = INT64_MAX;
    Baro__Envelope request;
    baro__envelope__init(&request);
    request.body_case = BARO__ENVELOPE__BODY_RANGE_REQUEST;
    request.range_request = &range;
    struct link_message reply = {0};
    rig_ask(rig, &request, &reply);
    assert_int_equal(reply.n_frames, 1);
    size_t n = reply.frames[0].n_bytes / 24;
    assert_int_equal(n, reply.wire.envelope->range_reply->n_points[0]);
    *out_values = baro_xcalloc(n + 1, sizeof(double));
    *out_steps = baro_xcalloc(n + 1, sizeof(int64_t));
    for (size_t i = 0; i < n; i++) {
        memcpy(&(*out_steps)[i], reply.frames[0].bytes + 24 * i, 8);
        memcpy(&(*out_values)[i], reply.frames[0].bytes + 24 * i + 16, 8);
    }
    link_message_release(&reply);
    return n;
}

uint32_t rig_thing(struct rig *rig, uint32_t run, const char *name)
{
    Baro__SeriesRequest series;
    baro__series_request__init(&series);
    series.run = run;
    Baro__Envelope request;
    baro__envelope__init(&request);
    request.body_case = BARO__ENVELOPE__BODY_SERIES_REQUEST;
    request.series_request = &series;
    struct link_message reply = {0};
    rig_ask(rig, &request, &reply);
    const Baro__SeriesReply *things = reply.wire.envelope->series_reply;
    uint32_t found = 0;
    for (size_t i = 0; i < things->n_things; i++) {
        if (strcmp(things->things[i]->declare->name, name) == 0) {
            found = things->things[i]->thing;
        }
    }
    link_message_release(&reply);
    return found;
}

/* ---- pushing ---- */

static void append(uint8_t **bytes, size_t *n_bytes, uint16_t kind, uint64_t seq,
    uint32_t thing, int64_t step, const void *payload, size_t n_payload)
{
    size_t n = record_bytes((uint32_t)n_payload);
    *bytes = baro_xrealloc(*bytes, *n_bytes + n, 1);
    uint8_t *record = *bytes + *n_bytes;
    memset(record, 0, n);
    struct record_header header = {
        .bytes = (uint32_t)n,
        .seq = seq,
        .step = step,
        .time_ns = baro_wall_ns(),
        .thing = thing,
        .kind = kind,
        .payload_bytes = (uint32_t)n_payload,
    };
    memcpy(record, &header, sizeof header);
    for (size_t i = 0; i < n_payload; i++) {
        record[sizeof header + i] = ((const uint8_t *)payload)[i];
    }
    header.check = record_check(record);
    memcpy(record, &header, sizeof header);
    *n_bytes += n;
}

static void append_message(
    struct pusher *pusher, uint16_t kind, const ProtobufCMessage *message)
{
    size_t n = protobuf_c_message_get_packed_size(message);
    baro_autofree uint8_t *bytes = baro_xcalloc(n + 1, 1);
    (void)protobuf_c_message_pack(message, bytes);
    append(&pusher->sticky, &pusher->n_sticky, kind, 0, 0, 0, bytes, n);
}

void pusher_reconnect(struct pusher *pusher, const struct rig *rig)
{
    if (pusher->socket != NULL) {
        (void)zmq_close(pusher->socket);
    }
    int linger = 0;
    int64_t most = INT64_C(1) << 30;
    pusher->socket = zmq_socket(pusher->context, ZMQ_DEALER);
    assert_non_null(pusher->socket);
    (void)zmq_setsockopt(pusher->socket, ZMQ_LINGER, &linger, sizeof linger);
    (void)zmq_setsockopt(pusher->socket, ZMQ_MAXMSGSIZE, &most, sizeof most);
    assert_int_equal(zmq_connect(pusher->socket, rig->endpoint), 0);
}

void pusher_init(struct pusher *pusher, const struct rig *rig, const char *run_id, int seed)
{
    pusher_init_at(pusher, rig, run_id, seed, 0);
}

void pusher_init_at(struct pusher *pusher, const struct rig *rig, const char *run_id,
    int seed, int64_t created_ns)
{
    Baro__RunDescription description;
    baro__run_description__init(&description);
    description.run_id = (char *)(uintptr_t)run_id;
    description.created_ns = created_ns;
    pusher_init_described(pusher, rig, seed, &description);
}

void pusher_init_described(struct pusher *pusher, const struct rig *rig, int seed,
    Baro__RunDescription *description)
{
    *pusher = (struct pusher){.context = zmq_ctx_new()};
    for (int i = 0; i < WIRE_STREAM_BYTES; i++) {
        pusher->stream[i] = (uint8_t)(seed * 31 + i);
    }
    (void)snprintf(pusher->run_id, sizeof pusher->run_id, "%s", description->run_id);
    (void)snprintf(pusher->boot_id, sizeof pusher->boot_id, "another-machine");
    char project[] = "test";
    description->project = project;
    description->name = description->run_id;
    append_message(pusher, READING_RUN, &description->base);
    pusher_reconnect(pusher, rig);
}

void pusher_finish(struct pusher *pusher)
{
    (void)zmq_close(pusher->socket);
    (void)zmq_ctx_term(pusher->context);
    free(pusher->sticky);
    free(pusher->records);
}

void pusher_declare_scalar(struct pusher *pusher, uint32_t id, const char *name)
{
    Baro__Declare declare;
    baro__declare__init(&declare);
    declare.id = id;
    declare.name = (char *)(uintptr_t)name;
    declare.unit_axis = -1;
    append_message(pusher, READING_DECLARE, &declare.base);
}

void pusher_declare_tensor(struct pusher *pusher, uint32_t id, const char *name,
    enum baro_role role, uint32_t n_rows, uint32_t n_units)
{
    Baro__Declare declare;
    baro__declare__init(&declare);
    int64_t shape[2] = {n_rows, n_units};
    declare.id = id;
    declare.is_tensor = true;
    declare.name = (char *)(uintptr_t)name;
    declare.role = role;
    declare.dtype = BARO_F32;
    declare.n_shape = 2;
    declare.shape = shape;
    declare.unit_axis = 1;
    declare.n_units = n_units;
    append_message(pusher, READING_DECLARE, &declare.base);
}

static void send_envelope(struct pusher *pusher, Baro__Envelope *envelope, const void *one,
    size_t n_one, const void *two, size_t n_two, int n_frames)
{
    uint8_t *packed = NULL;
    size_t n_packed = 0;
    assert_int_equal(wire_pack(envelope, &packed, &n_packed), 0);
    const void *parts[3] = {packed, one, two};
    const size_t sizes[3] = {n_packed, n_one, n_two};
    pusher_send_raw(pusher, parts, sizes, 1 + n_frames);
    free(packed);
}

void pusher_send_raw(
    struct pusher *pusher, const void *const *parts, const size_t *n_bytes, int n)
{
    for (int i = 0; i < n; i++) {
        int flags = i + 1 < n ? ZMQ_SNDMORE : 0;
        assert_int_equal(
            zmq_send(pusher->socket, n_bytes[i] > 0 ? parts[i] : "", n_bytes[i], flags),
            (int)n_bytes[i]);
    }
}

bool pusher_listen(struct pusher *pusher, int timeout_ms)
{
    zmq_pollitem_t item = {.socket = pusher->socket, .events = ZMQ_POLLIN};
    if (zmq_poll(&item, 1, timeout_ms) <= 0) {
        return false;
    }
    zmq_msg_t part;
    (void)zmq_msg_init(&part);
    assert_true(zmq_msg_recv(&part, pusher->socket, 0) >= 0);
    assert_false(zmq_msg_more(&part));
    struct wire_message message = {0};
    assert_int_equal(wire_unpack(zmq_msg_data(&part), zmq_msg_size(&part),
                         WIRE_MAX_REPLY_BYTES, &message, NULL),
        0);
    (void)zmq_msg_close(&part);
    const Baro__Envelope *envelope = message.envelope;
    if (envelope->body_case == BARO__ENVELOPE__BODY_ACK) {
        assert_true(envelope->ack->last_seq >= pusher->acked);
        pusher->acked = envelope->ack->last_seq;
        if (envelope->ack->note[0] != '\0') {
            (void)snprintf(pusher->note, sizeof pusher->note, "%s", envelope->ack->note);
        }
    } else if (envelope->body_case == BARO__ENVELOPE__BODY_WELCOME) {
        pusher->acked = envelope->welcome->last_seq;
        /* One that was branched from has another name now. */
        assert_int_equal(
            strncmp(envelope->welcome->run_id, pusher->run_id, strlen(pusher->run_id)), 0);
        pusher->refusal = 1; /* a Welcome */
    } else if (envelope->body_case == BARO__ENVELOPE__BODY_REFUSAL) {
        pusher->refusal = envelope->refusal->code;
        (void)snprintf(pusher->refusal_text, sizeof pusher->refusal_text, "%s",
            envelope->refusal->text);
    }
    wire_release(&message);
    return true;
}

int64_t pusher_hello(struct pusher *pusher)
{
    Baro__Hello hello;
    baro__hello__init(&hello);
    hello.stream.data = pusher->stream;
    hello.stream.len = WIRE_STREAM_BYTES;
    hello.rank = pusher->rank;
    hello.pid = pusher->pid;
    hello.process_start = pusher->process_start;
    hello.boot_id = pusher->boot_id;
    hello.ring_path = pusher->ring_path;
    hello.is_recovery = pusher->is_recovery;
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.body_case = BARO__ENVELOPE__BODY_HELLO;
    envelope.hello = &hello;
    send_envelope(pusher, &envelope, pusher->sticky, pusher->n_sticky, NULL, 0, 1);
    pusher->refusal = 0;
    uint64_t until = deadline();
    while (pusher->refusal == 0 && baro_now_ns() < until) {
        (void)pusher_listen(pusher, 100);
    }
    assert_true(pusher->refusal != 0);
    return pusher->refusal == 1 ? (int64_t)pusher->acked : -1;
}

void pusher_record(struct pusher *pusher, uint16_t kind, uint32_t thing, int64_t step,
    const void *payload, size_t n_bytes)
{
    pusher->seq++;
    if (pusher->n_records++ == 0) {
        pusher->first_seq = pusher->seq;
    }
    append(&pusher->records, &pusher->n_records_bytes, kind, pusher->seq, thing, step,
        payload, n_bytes);
}

void pusher_scalar(struct pusher *pusher, uint32_t thing, int64_t step, double value)
{
    pusher_record(pusher, READING_SCALAR, thing, step, &value, sizeof value);
}

void pusher_summary(struct pusher *pusher, uint32_t thing, int64_t step, double l2,
    double n_nan, double n_inf, double unit, double row)
{
    double stats[SUMMARY_STAT_COUNT] = {0};
    stats[SUMMARY_COUNT] = 64;
    stats[SUMMARY_L2] = l2;
    stats[SUMMARY_N_NAN] = n_nan;
    stats[SUMMARY_N_POS_INF] = n_inf;
    stats[SUMMARY_FIRST_BAD_UNIT] = unit;
    stats[SUMMARY_FIRST_BAD_ROW] = row;
    stats[SUMMARY_UPDATE_RATIO] = (double)NAN;
    pusher_record(pusher, READING_SUMMARY, thing, step, stats, sizeof stats);
}

void pusher_batch(struct pusher *pusher, int64_t step, const int64_t *samples, size_t n)
{
    uint8_t payload[8 + 8 * 128];
    assert_true(n <= 128);
    double size = (double)n;
    memcpy(payload, &size, 8);
    memcpy(payload + 8, samples, 8 * n);
    pusher_record(pusher, READING_BATCH, 0, step, payload, 8 + 8 * n);
}

void pusher_send(struct pusher *pusher)
{
    Baro__Batch batch;
    baro__batch__init(&batch);
    batch.stream.data = pusher->stream;
    batch.stream.len = WIRE_STREAM_BYTES;
    batch.first_seq = pusher->first_seq;
    batch.n_records = pusher->n_records;
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.body_case = BARO__ENVELOPE__BODY_BATCH;
    envelope.batch = &batch;
    send_envelope(pusher, &envelope, pusher->sticky, pusher->n_sticky, pusher->records,
        pusher->n_records_bytes, 2);
}

void pusher_clear(struct pusher *pusher)
{
    pusher->n_records = 0;
    pusher->n_records_bytes = 0;
}

void pusher_flush(struct pusher *pusher)
{
    pusher_send(pusher);
    uint64_t until = deadline();
    while (pusher->acked < pusher->seq && baro_now_ns() < until) {
        (void)pusher_listen(pusher, 100);
    }
    assert_true(pusher->acked >= pusher->seq);
    pusher_clear(pusher);
}

int pusher_wait_refusal(struct pusher *pusher)
{
    pusher->refusal = 0;
    uint64_t until = deadline();
    while (pusher->refusal == 0 && baro_now_ns() < until) {
        (void)pusher_listen(pusher, 100);
    }
    return pusher->refusal;
}
