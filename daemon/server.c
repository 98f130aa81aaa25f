/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/server.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <zmq.h>

#include "daemon/access.h"
#include "daemon/control.h"
#include "daemon/ingest.h"
#include "daemon/live.h"
#include "daemon/notify.h"
#include "daemon/query.h"
#include "daemon/recover.h"
#include "daemon/reload.h"
#include "daemon/room.h"
#include "daemon/rules.h"
#include "daemon/sockets.h"
#include "daemon/status.h"
#include "daemon/tasks.h"
#include "daemon/upkeep.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/reading.h"

#define LOG_MODULE "server"

/*
 * A turn of the loop: wait for a message, a signal, a finished commit or a finished answer, but
 * no longer than until the next thing is due; take at most MAX_MESSAGES; then commit, flush and
 * look after runs as far as due. Nothing in a turn waits for a disk or for a peer.
 *
 * At the end: what has been taken is committed, within STOP_MS; what could not be committed was
 * never acknowledged, so its clients still have it. A second signal ends the process at once.
 */

enum {
    MAX_MESSAGES = 64,       /* a turn */
    MAX_RAW_BYTES = 8 << 20, /* of whole tensors to summarise in a turn, but one message */
    MAX_FRAMES = 2,          /* of a message, behind the envelope; more are thrown away */
    TICK_MS = 1000,
    STOP_MS = 10000,
    N_QUERY_WORKERS = 2
};

enum fd_index {
    FD_SOCKET = 0,
    FD_SIGNAL,
    FD_COMMITTER,
    FD_QUERY,
    FD_NOTIFY,
    FD_ACCESS,
    FD_COUNT
};

/* One message as received: frames in aligned memory, valid until the next is received. */
struct received {
    struct peer peer;
    zmq_msg_t parts[1 + MAX_FRAMES];
    size_t n_parts;
    struct raw frames[MAX_FRAMES];
    uint8_t *copies[MAX_FRAMES]; /* of frames that ZeroMQ handed out unaligned */
};

struct server {
    struct barod barod;
    int signal_fd;
    struct options *options;
    uint64_t tick_ns; /* when the next tick is due */
};

/* ---- receiving ---- */

static void release(struct received *received)
{
    for (size_t i = 0; i < received->n_parts; i++) {
        (void)zmq_msg_close(&received->parts[i]);
    }
    for (size_t i = 0; i < MAX_FRAMES; i++) {
        free(received->copies[i]);
        received->copies[i] = NULL;
    }
    received->n_parts = 0;
}

/* Take one part; true when more follow. A part beyond the limit is thrown away. */
static bool receive_part(void *socket, struct received *received)
{
    zmq_msg_t *part = &received->parts[received->n_parts];
    zmq_msg_t extra;
    bool is_extra = received->n_parts == BARO_LEN(received->parts);
    if (is_extra) {
        part = &extra;
    }
    (void)zmq_msg_init(part);
    if (zmq_msg_recv(part, socket, ZMQ_DONTWAIT) < 0) {
        (void)zmq_msg_close(part);
        return false;
    }
    bool is_more = zmq_msg_more(part) != 0;
    if (is_extra) {
        (void)zmq_msg_close(part);
    } else {
        received->n_parts++;
    }
    return is_more;
}

static void align_frames(struct received *received)
{
    for (size_t i = 0; i + 1 < received->n_parts; i++) {
        zmq_msg_t *part = &received->parts[i + 1];
        const uint8_t *bytes = zmq_msg_data(part);
        size_t n_bytes = zmq_msg_size(part);
        if ((uintptr_t)bytes % 8 != 0 && n_bytes > 0) {
            received->copies[i] = baro_xcalloc(n_bytes, 1);
            memcpy(received->copies[i], bytes, n_bytes);
            bytes = received->copies[i];
        }
        received->frames[i] = (struct raw){bytes, n_bytes};
    }
}

/* Take one whole message without waiting; false when there is none. */
static bool receive(void *socket, struct received *received)
{
    int n = zmq_recv(socket, received->peer.bytes, PEER_MAX_BYTES, ZMQ_DONTWAIT);
    if (n < 0) {
        return false;
    }
    received->peer.n_bytes = (uint8_t)(n < PEER_MAX_BYTES ? n : PEER_MAX_BYTES);
    int is_more = 0;
    size_t size = sizeof is_more;
    (void)zmq_getsockopt(socket, ZMQ_RCVMORE, &is_more, &size);
    bool goes_on = is_more != 0;
    while (goes_on) {
        goes_on = receive_part(socket, received);
    }
    align_frames(received);
    return true;
}

/* The number of a request whose envelope was refused, so that its asker finds the refusal. */
static uint64_t request_of(const zmq_msg_t *part, const void *bytes)
{
    size_t n_bytes = zmq_msg_size(part);
    if (n_bytes > WIRE_MAX_ENVELOPE_BYTES) {
        return 0;
    }
    Baro__Envelope *envelope = baro__envelope__unpack(NULL, n_bytes, bytes);
    if (envelope == NULL) {
        return 0;
    }
    uint64_t request = envelope->request;
    baro__envelope__free_unpacked(envelope, NULL);
    return request;
}

static void refuse_envelope(
    struct barod *barod, struct received *received, const struct baro_err *err)
{
    count(&barod->counters,
        err->code == BARO_EVERSION ? COUNT_BAD_VERSION
        : err->code == BARO_ELIMIT ? COUNT_BAD_LIMIT
                                   : COUNT_BAD_MESSAGE,
        1);
    log_warn_every_second("refused a message: %s", err->text);
    uint64_t request = request_of(&received->parts[0], zmq_msg_data(&received->parts[0]));
    (void)outbox_refuse(barod->socket, &received->peer, request, err->code, err->text);
}

/* What a message's sender must be allowed to; 0: only an administrator may. */
static unsigned roles_for(const Baro__Envelope *envelope, const char **out_doing)
{
    *out_doing = "this request";
    switch ((int)envelope->body_case) { /* most bodies never come here */
    case BARO__ENVELOPE__BODY_HELLO:
    case BARO__ENVELOPE__BODY_BATCH:
    case BARO__ENVELOPE__BODY_HEARTBEAT: *out_doing = "pushing readings"; return KEYS_PUSH;
    case BARO__ENVELOPE__BODY_RUNS_REQUEST:
    case BARO__ENVELOPE__BODY_SERIES_REQUEST:
    case BARO__ENVELOPE__BODY_RANGE_REQUEST:
    case BARO__ENVELOPE__BODY_ROWS_REQUEST:
    case BARO__ENVELOPE__BODY_ALERTS_REQUEST:
    case BARO__ENVELOPE__BODY_SAMPLE_REQUEST:
    case BARO__ENVELOPE__BODY_CANCEL_REQUEST:
    case BARO__ENVELOPE__BODY_SUBSCRIBE_REQUEST:
    case BARO__ENVELOPE__BODY_LIVE_TAKEN:
    case BARO__ENVELOPE__BODY_FINDING_TAKEN:
    case BARO__ENVELOPE__BODY_STATUS_REQUEST:
        *out_doing = "looking at runs and the daemon";
        return KEYS_VIEW;
    case BARO__ENVELOPE__BODY_NOTE_REQUEST: *out_doing = "notes on runs"; return KEYS_VIEW;
    case BARO__ENVELOPE__BODY_SHUTDOWN_REQUEST:
        *out_doing = "stopping the daemon";
        return 0;
    case BARO__ENVELOPE__BODY_PRUNE_REQUEST: *out_doing = "pruning"; return 0;
    case BARO__ENVELOPE__BODY_VERIFY_REQUEST: *out_doing = "verifying"; return 0;
    case BARO__ENVELOPE__BODY_CONTROL_REQUEST: *out_doing = "steering a run"; return 0;
    case BARO__ENVELOPE__BODY_NOTIFY_REQUEST:
        *out_doing = "testing notifications";
        return 0;
    case BARO__ENVELOPE__BODY__NOT_SET: return ~0U; /* nobody takes it anyway */
    default: return 0;
    }
}

/* Tell whether the sender may ask for that; it was refused otherwise. */
static bool is_permitted(
    struct barod *barod, const struct peer *peer, const Baro__Envelope *envelope)
{
    struct baro_err err = {0};
    const char *doing;
    unsigned roles = roles_for(envelope, &doing);
    if (access_check(barod->access, peer, roles, doing, &err) == 0) {
        return true;
    }
    count(&barod->counters, COUNT_BAD_ROLE, 1);
    log_warn_every_second("refused a message: %s", err.text);
    (void)outbox_refuse(barod->socket, peer, envelope->request, err.code, err.text);
    return false;
}

/* Do what one message asks for. */
static void dispatch(struct barod *barod, struct received *received)
{
    struct baro_err err = {0};
    struct wire_message message = {0};
    count(&barod->counters, COUNT_MESSAGES, 1);
    if (received->n_parts == 0) {
        (void)baro_err_set(&err, BARO_ECORRUPT, "a message without an envelope");
        count(&barod->counters, COUNT_BAD_MESSAGE, 1);
        (void)outbox_refuse(barod->socket, &received->peer, 0, err.code, err.text);
        return;
    }
    if (wire_unpack(zmq_msg_data(&received->parts[0]), zmq_msg_size(&received->parts[0]),
            WIRE_MAX_ENVELOPE_BYTES, &message, &err) != 0) {
        refuse_envelope(barod, received, &err);
        return;
    }
    Baro__Envelope *envelope = message.envelope;
    access_identify(barod->access, &received->parts[0], &received->peer);
    const struct peer *peer = &received->peer;
    if (!is_permitted(barod, peer, envelope)) {
        wire_release(&message);
        return;
    }
    size_t n_frames = received->n_parts - 1;
    if (envelope->body_case == BARO__ENVELOPE__BODY_HELLO) {
        ingest_hello(barod, peer, envelope->request, envelope, received->frames, n_frames);
    } else if (envelope->body_case == BARO__ENVELOPE__BODY_BATCH) {
        ingest_batch(
            barod, peer, envelope->request, envelope->batch, received->frames, n_frames);
    } else if (envelope->body_case == BARO__ENVELOPE__BODY_HEARTBEAT) {
        ingest_heartbeat(barod, peer, envelope->request, envelope->heartbeat);
    } else if (!control_on_request(barod, peer, envelope)) {
        count(&barod->counters, COUNT_BAD_MESSAGE, 1);
        (void)outbox_refuse(barod->socket, peer, envelope->request, BARO_EUNSUPPORTED,
            "a message that this daemon does not take");
    }
    wire_release(&message);
}

/* Take messages until there are none or the turn has had its share; true when it had. */
static bool take_messages(struct barod *barod)
{
    struct received received = {0};
    int n = 0;
    barod->raw_bytes = 0;
    for (; n < MAX_MESSAGES && barod->raw_bytes < MAX_RAW_BYTES &&
           receive(barod->socket, &received);
         n++) {
        dispatch(barod, &received);
        release(&received);
    }
    return n == MAX_MESSAGES || barod->raw_bytes >= MAX_RAW_BYTES;
}

/* ---- committing ---- */

static void acknowledge(struct barod *barod, const struct bundle_ack *due)
{
    struct stream *stream = due->stream;
    stream->committed_seq =
        due->seq > stream->committed_seq ? due->seq : stream->committed_seq;
    stream->run->n_committed += due->n_records;
    if (stream->peer.n_bytes == 0) {
        return;
    }
    Baro__Ack ack;
    baro__ack__init(&ack);
    ack.last_seq = stream->committed_seq;
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.body_case = BARO__ENVELOPE__BODY_ACK;
    envelope.ack = &ack;
    if (outbox_send(barod->socket, &stream->peer, &envelope, NULL, 0) == BARO_ENOENT) {
        stream->peer.n_bytes = 0;
    }
}

/*
 * Have those whose batches were not taken send them again, now that there is room: they would wait
 * for the answer to their next heartbeat, and under a small quota that is most of the time.
 */
static void release_held(struct barod *barod)
{
    for (struct stream *stream = barod->registry.streams_by_id; stream != NULL;
         stream = stream->hh.next) {
        if (stream->is_held && stream->peer.n_bytes > 0) {
            (void)outbox_refuse(barod->socket, &stream->peer, 0, BARO_ENOENT,
                "the store was behind and a batch was not taken: say Hello again and resend");
        }
    }
}

static void on_committed(struct barod *barod)
{
    struct committer_result result;
    if (!committer_take(barod->committer, &result)) {
        return;
    }
    struct bundle *bundle = result.bundle;
    count(&barod->counters, COUNT_COMMITS, 1);
    count(&barod->counters, COUNT_COMMIT_NS, result.ns);
    count(&barod->counters, result.code == 0 ? COUNT_COMMITTED : COUNT_REFUSED_COMMIT,
        bundle->n_rows);
    bool is_given_up = result.code == BARO_EFULL || result.code == BARO_EIO ||
                       result.code == BARO_ENOMEM || result.code == BARO_EBUSY;
    if (is_given_up) {
        log_error("%" PRIu64 " records could not be committed; they were not acknowledged, "
                  "their clients still have them",
            bundle->n_rows);
    }
    for (size_t i = 0; !is_given_up && i < bundle->n_acks; i++) {
        acknowledge(barod, &bundle->acks[i]);
    }
    bundle_reset(bundle);
    if (!is_given_up && barod_has_room(barod)) {
        release_held(barod);
    }
    tasks_on_commit(barod->tasks);
}

/* Hand the open bundle over if it is old or large enough and the committer is free. */
static void commit_if_due(struct barod *barod, bool is_now)
{
    if (barod->open_since_ns == 0 || !committer_is_idle(barod->committer)) {
        return;
    }
    bool is_due =
        barod->now_ns - barod->open_since_ns >= BAROD_COMMIT_MS * UINT64_C(1000000) ||
        barod->open->n_bytes >= BAROD_HASTY_BYTES ||
        barod->open_raw_bytes >= BAROD_RAW_HASTY_BYTES || !barod_has_room(barod);
    if (!is_due && !is_now) {
        return;
    }
    registry_save(&barod->registry, barod->open);
    committer_give(barod->committer, barod->open);
    barod->open =
        barod->open == &barod->bundles[0] ? &barod->bundles[1] : &barod->bundles[0];
    barod->open_since_ns = 0;
    barod->open_raw_bytes = 0;
}

/* ---- the loop ---- */

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* How long the loop may sleep, in milliseconds. */
static long sleep_ms(const struct server *server)
{
    const struct barod *barod = &server->barod;
    uint64_t due_ns = server->tick_ns;
    if (barod->open_since_ns != 0 && committer_is_idle(barod->committer)) {
        due_ns =
            earlier(due_ns, barod->open_since_ns + BAROD_COMMIT_MS * UINT64_C(1000000));
    }
    if (live_is_waiting(barod)) {
        due_ns = earlier(due_ns, live_due_ns(barod));
    }
    if (recover_is_active(barod)) {
        due_ns = earlier(due_ns, barod->now_ns + 5000000);
    }
    uint64_t now_ns = baro_now_ns();
    return due_ns > now_ns ? (long)((due_ns - now_ns + 999999) / 1000000) : 0;
}

static void on_signal(struct server *server)
{
    struct signalfd_siginfo info;
    if (read(server->signal_fd, &info, sizeof info) != sizeof info) {
        return;
    }
    if (info.ssi_signo == SIGHUP) {
        reload_options(&server->barod, server->options);
        return;
    }
    log_info("%s: stopping", strsignal((int)info.ssi_signo));
    server->barod.is_stopping = true;
}

static void tick(struct server *server)
{
    struct barod *barod = &server->barod;
    if (access_refresh(barod->access)) {
        live_review(barod);
        tasks_review(barod->tasks, barod->access);
    }
    server->tick_ns = barod->now_ns + TICK_MS * UINT64_C(1000000);
    status_tick(barod);
    rules_tick(barod);
    upkeep_plan(barod);
    tasks_probe(barod->tasks, barod->socket, barod->now_ns);
}

static int turn(struct server *server, bool *is_busy, struct baro_err *err)
{
    struct barod *barod = &server->barod;
    zmq_pollitem_t items[FD_COUNT] = {
        [FD_SOCKET] = {.socket = barod->socket, .events = ZMQ_POLLIN},
        [FD_SIGNAL] = {.fd = server->signal_fd, .events = ZMQ_POLLIN},
        [FD_COMMITTER] = {.fd = committer_fd(barod->committer), .events = ZMQ_POLLIN},
        [FD_QUERY] = {.fd = query_fd(barod->queries), .events = ZMQ_POLLIN},
        [FD_NOTIFY] = {.fd = notify_fd(barod->notify), .events = ZMQ_POLLIN},
        [FD_ACCESS] = {.socket = access_socket(barod->access), .events = ZMQ_POLLIN},
    };
    int n_items = access_socket(barod->access) != NULL ? FD_COUNT : FD_ACCESS;
    if (zmq_poll(items, n_items, *is_busy ? 0 : sleep_ms(server)) < 0 && errno != EINTR) {
        return baro_err_set(err, BARO_EIO, "the loop cannot wait: %s", zmq_strerror(errno));
    }
    barod->now_ns = baro_now_ns();
    if ((items[FD_SIGNAL].revents & ZMQ_POLLIN) != 0) {
        on_signal(server);
    }
    if ((items[FD_COMMITTER].revents & ZMQ_POLLIN) != 0) {
        on_committed(barod);
        upkeep_take_notes(barod);
        control_send_replies(barod);
    }
    if ((items[FD_ACCESS].revents & ZMQ_POLLIN) != 0) {
        count(&barod->counters, COUNT_BAD_KEY, access_answer(barod->access));
    }
    *is_busy = (items[FD_SOCKET].revents & ZMQ_POLLIN) != 0 && take_messages(barod);
    if ((items[FD_QUERY].revents & ZMQ_POLLIN) != 0) {
        control_send_replies(barod);
    }
    if ((items[FD_NOTIFY].revents & ZMQ_POLLIN) != 0) {
        control_send_test(barod);
    }
    if (recover_is_active(barod)) {
        recover_step(barod);
    }
    if (barod->now_ns >= server->tick_ns) {
        tick(server);
    }
    if (live_is_waiting(barod) && barod->now_ns >= live_due_ns(barod)) {
        live_flush(barod);
    }
    commit_if_due(barod, upkeep_is_waiting(barod));
    upkeep_release(barod);
    return 0;
}

/* ---- begin and end ---- */

static int open_signals(struct server *server, struct baro_err *err)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGHUP);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error, not an end */
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0) {
        return baro_err_set(err, BARO_EIO, "cannot block signals: %s", strerror(errno));
    }
    server->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return server->signal_fd >= 0 ? 0
                                  : baro_err_set(err, BARO_EIO,
                                        "cannot listen to signals: %s", strerror(errno));
}

static int open_all(struct server *server, struct baro_err *err)
{
    struct barod *barod = &server->barod;
    const struct options *options = barod->options;
    int rc = baro_make_dir(options->dir, err);
    rc = rc != 0 ? rc : open_signals(server, err);
    struct store_options store_options = {.quota_bytes = options->quota_bytes,
        .is_exact = options->is_exact,
        .rounded_kinds = UINT64_C(1) << READING_UNITS};
    rc = rc != 0 ? rc : store_open(options->dir, &store_options, &barod->store, err);
    rc = rc != 0 ? rc : registry_load(&barod->registry, barod->store, err);
    if (rc != 0) {
        return rc;
    }
    barod->rules = options->rules;
    barod->context = zmq_ctx_new();
    rc = access_open(&barod->access, barod->context, options, err);
    rc = rc != 0
             ? rc
             : sockets_open(barod->context, options, barod->access, &barod->socket, err);
    if (rc != 0) {
        return rc;
    }
    barod->upkeep = upkeep_create();
    barod->room = room_create(barod->store, options->quota_bytes);
    upkeep_plan(barod);
    barod->committer = committer_start(barod->store, barod->room, err);
    barod->queries = query_start(barod->store, N_QUERY_WORKERS, err);
    if (barod->committer == NULL || barod->queries == NULL) {
        return BARO_EIO;
    }
    barod->tasks = tasks_start(barod->store, barod->queries, err);
    if (barod->tasks == NULL) {
        return BARO_EIO;
    }
    barod->notify = notify_start(&options->notify, err);
    if (barod->notify == NULL) {
        return BARO_EIO;
    }
    barod->live = live_create();
    barod->open = &barod->bundles[0];
    barod->started_ns = baro_wall_ns();
    barod->now_ns = baro_now_ns();
    baro_boot_id(barod->boot_id);
    if (gethostname(barod->host, sizeof barod->host - 1) != 0) {
        barod->host[0] = '\0';
    }
    status_start(barod);
    recover_scan(barod);
    return 0;
}

/* Commit what has been taken; a second signal or STOP_MS end the wait. */
static void flush(struct server *server)
{
    struct barod *barod = &server->barod;
    uint64_t deadline_ns = baro_now_ns() + STOP_MS * UINT64_C(1000000);
    recover_finish(barod);
    live_flush(barod);
    for (;;) {
        barod->now_ns = baro_now_ns();
        commit_if_due(barod, true);
        bool is_all_safe = committer_is_idle(barod->committer) && barod->open_since_ns == 0;
        if (is_all_safe || barod->now_ns >= deadline_ns) {
            break;
        }
        zmq_pollitem_t items[2] = {
            {.fd = server->signal_fd, .events = ZMQ_POLLIN},
            {.fd = committer_fd(barod->committer), .events = ZMQ_POLLIN},
        };
        (void)zmq_poll(items, 2, 100);
        if ((items[0].revents & ZMQ_POLLIN) != 0) {
            log_warn("a second signal: ending at once; what was not acknowledged is still "
                     "with its clients");
            _exit(1);
        }
        on_committed(barod);
        upkeep_take_notes(barod);
        upkeep_release(barod);
        control_send_replies(barod);
    }
    if (barod->open_since_ns != 0 || !committer_is_idle(barod->committer)) {
        log_error("ending with records that could not be committed; none of them was "
                  "acknowledged, their clients still have them");
    }
}

static void close_all(struct server *server)
{
    struct barod *barod = &server->barod;
    notify_stop(barod->notify);
    tasks_stop(barod->tasks);
    query_stop(barod->queries);
    committer_stop(barod->committer);
    sockets_close(barod->socket, barod->options);
    access_close(barod->access);
    if (barod->context != NULL) {
        (void)zmq_ctx_term(barod->context);
    }
    upkeep_destroy(barod->upkeep);
    room_destroy(barod->room);
    live_destroy(barod->live);
    free(barod->tensors);
    bundle_finish(&barod->bundles[0]);
    bundle_finish(&barod->bundles[1]);
    registry_finish(&barod->registry);
    store_close(barod->store);
    baro_cleanup_close(&server->signal_fd);
}

int server_run(struct options *options, struct baro_err *err)
{
    struct server *server = baro_xcalloc(1, sizeof *server);
    server->barod.options = options;
    server->options = options;
    server->signal_fd = -1;
    int rc = open_all(server, err);
    if (rc == 0) {
        log_info("barod %s serves '%s' on %s with %" PRIu32 " run%s", BAROGRAPH_VERSION,
            options->dir, options->endpoints[0], server->barod.registry.n_runs,
            server->barod.registry.n_runs == 1 ? "" : "s");
        bool is_busy = false;
        while (rc == 0 && !server->barod.is_stopping) {
            rc = turn(server, &is_busy, err);
        }
        flush(server);
        control_confirm_shutdown(&server->barod);
        log_info("barod ends");
    }
    close_all(server);
    free(server);
    return rc;
}
