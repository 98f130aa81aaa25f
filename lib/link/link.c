/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/link/link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <zmq.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/paths.h"
#include "lib/keys/client.h"
#include "lib/link/unpack.h"

/*
 * One DEALER socket and, beside it, ZeroMQ's monitor of that socket, which tells when the
 * connection came and went. A question carries a number; while its answer is awaited, whatever
 * else arrives goes to a bounded queue that link_next empties first. An answer that comes after
 * its link_ask gave up is recognised by its number and thrown away.
 *
 * When keys do not fit, ZeroMQ gives the connection up for good. A question fails then at once,
 * with the reason; the link tries again by itself, now and then, for the list may be changed.
 */

enum {
    LINK_MAX_KEPT =
        4096, /* messages kept during a link_ask; the oldest live ones give way */
    LINK_N_ABANDONED = 64,      /* numbers of timed-out questions that are remembered */
    LINK_HOLD_BYTES = 16 << 10, /* frames from here on are not copied */
    LINK_SEND_TIMEOUT_MS = 2000,
    LINK_RECONNECT_MS = 100,
    LINK_RECONNECT_MAX_MS = 1000,
    LINK_FAR_RECONNECT_MS = 250, /* over tcp://, where each try may cost others something */
    LINK_FAR_RECONNECT_MAX_MS = 4000,
    LINK_MAX_ENDED =
        3, /* handshakes over tcp:// that ended without a word: enough for an asker */
    LINK_REFUSED_MS = 1000,     /* between tries with keys that do not fit: at first, */
    LINK_REFUSED_MAX_MS = 15000 /* and at most */
};

static const int64_t LINK_MAX_FRAME_BYTES = INT64_C(1) << 30;

/* A message that waits for link_next. */
struct kept {
    struct link_message message;
    struct kept *next;
};

struct link {
    void *context;
    void *socket;
    void *monitor; /* NULL when ZeroMQ could not give one */
    char *endpoint;
    struct keys_client keys;
    struct baro_err trouble; /* why there is no connection, as far as known; code 0: not */
    uint64_t
        retry_ns; /* when to try again with keys that did not fit; 0: they were not tried */
    int retry_ms;
    int n_ended;    /* handshakes that ended without a word since one that did not */
    bool is_asking; /* a refusal ends the wait */
    uint64_t last_request;
    unsigned n_connects;
    bool is_connected;
    struct kept *first; /* oldest kept message */
    struct kept **last; /* where the next one is hung */
    size_t n_kept;
    uint64_t abandoned[LINK_N_ABANDONED];
    size_t next_abandoned;
};

/* ---- opening and closing ---- */

static int find_endpoint(
    const char *endpoint, char *out, size_t out_bytes, struct baro_err *err)
{
    if (endpoint == NULL || endpoint[0] == '\0') {
        endpoint = getenv("BARO_ENDPOINT");
    }
    if (endpoint == NULL || endpoint[0] == '\0') {
        char dir[BARO_PATH_BYTES];
        int rc = baro_data_dir(dir, err);
        return rc != 0 ? rc : wire_endpoint(dir, out, out_bytes, err);
    }
    if (strlen(endpoint) >= out_bytes) {
        return baro_err_set(
            err, BARO_ELIMIT, "the endpoint is longer than %zu bytes", out_bytes);
    }
    memcpy(out, endpoint, strlen(endpoint) + 1);
    return 0;
}

static void set_int(void *socket, int option, int value)
{
    (void)zmq_setsockopt(socket, option, &value, sizeof value);
}

/* The monitor is a convenience: without it the link works and only cannot tell of reconnects. */
static void open_monitor(struct link *link)
{
    char name[64];
    (void)snprintf(name, sizeof name, "inproc://link-%p", (void *)link);
    int events = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED | keys_events();
    if (zmq_socket_monitor(link->socket, name, events) != 0) {
        return;
    }
    link->monitor = zmq_socket(link->context, ZMQ_PAIR);
    if (link->monitor != NULL) {
        set_int(link->monitor, ZMQ_LINGER, 0);
        if (zmq_connect(link->monitor, name) != 0) {
            (void)zmq_close(link->monitor);
            link->monitor = NULL;
        }
    }
}

struct link *link_open(const char *endpoint, struct baro_err *err)
{
    char address[BARO_PATH_BYTES + 16];
    if (find_endpoint(endpoint, address, sizeof address, err) != 0) {
        return NULL;
    }
    struct keys_client keys;
    if (keys_choose(address, NULL, &keys, err) != 0) {
        return NULL;
    }
    struct link *link = baro_xcalloc(1, sizeof *link);
    link->keys = keys;
    keys_forget(&keys.pair);
    link->retry_ms = LINK_REFUSED_MS;
    link->last = &link->first;
    link->endpoint = baro_xstrdup(address);
    link->context = zmq_ctx_new();
    link->socket = link->context != NULL ? zmq_socket(link->context, ZMQ_DEALER) : NULL;
    if (link->socket == NULL) {
        (void)baro_err_set(err, BARO_EIO, "cannot make a socket: %s", zmq_strerror(errno));
        link_close(link);
        return NULL;
    }
    set_int(link->socket, ZMQ_LINGER, 0);
    set_int(link->socket, ZMQ_SNDTIMEO, LINK_SEND_TIMEOUT_MS);
    bool is_far = link->keys.is_tcp;
    set_int(link->socket, ZMQ_RECONNECT_IVL,
        is_far ? LINK_FAR_RECONNECT_MS : LINK_RECONNECT_MS);
    set_int(link->socket, ZMQ_RECONNECT_IVL_MAX,
        is_far ? LINK_FAR_RECONNECT_MAX_MS : LINK_RECONNECT_MAX_MS);
    (void)zmq_setsockopt(
        link->socket, ZMQ_MAXMSGSIZE, &LINK_MAX_FRAME_BYTES, sizeof LINK_MAX_FRAME_BYTES);
    open_monitor(link);
    if (keys_prepare(&link->keys, link->socket) != 0) {
        (void)baro_err_set(err, BARO_EUNSUPPORTED,
            "the keys cannot be used: this ZeroMQ was built without CURVE");
        link_close(link);
        return NULL;
    }
    if (zmq_connect(link->socket, address) != 0) {
        (void)baro_err_set(err, BARO_EINVAL,
            "'%s' is not an endpoint (%s); write ipc://PATH or tcp://HOST:PORT", address,
            zmq_strerror(errno));
        link_close(link);
        return NULL;
    }
    return link;
}

void link_close(struct link *link)
{
    if (link == NULL) {
        return;
    }
    while (link->first != NULL) {
        struct kept *kept = link->first;
        link->first = kept->next;
        link_message_release(&kept->message);
        free(kept);
    }
    if (link->socket != NULL) {
        (void)zmq_socket_monitor(link->socket, NULL, 0);
        (void)zmq_close(link->socket);
    }
    if (link->monitor != NULL) {
        (void)zmq_close(link->monitor);
    }
    if (link->context != NULL) {
        (void)zmq_ctx_term(link->context);
    }
    keys_forget(&link->keys.pair);
    free(link->endpoint);
    free(link);
}

const char *link_endpoint(const struct link *link)
{
    return link->endpoint;
}

/* ---- receiving ---- */

static void on_event(struct link *link, uint16_t code, uint32_t value)
{
    if (code == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
        link->is_connected = true;
        link->n_connects++;
        link->trouble = (struct baro_err){0};
        link->retry_ms = LINK_REFUSED_MS;
        link->n_ended = 0;
        return;
    }
    link->is_connected = false;
    int rc = keys_explain(&link->keys, code, value, link->endpoint, link->trouble.text,
        sizeof link->trouble.text);
    link->trouble.code = rc != 0 ? rc : link->trouble.code;
    link->n_ended += rc == BARO_EIO ? 1 : 0;
    if (rc == BARO_EACCES && link->retry_ns == 0) {
        link->retry_ns = baro_now_ns() + (uint64_t)link->retry_ms * 1000000;
        link->retry_ms = link->retry_ms * 2 > LINK_REFUSED_MAX_MS ? LINK_REFUSED_MAX_MS
                                                                  : link->retry_ms * 2;
    }
}

/* Connect anew after a refusal: ZeroMQ does not do it by itself. */
static void try_again(struct link *link)
{
    link->retry_ns = 0;
    (void)zmq_disconnect(link->socket, link->endpoint);
    (void)zmq_connect(link->socket, link->endpoint);
}

/* Read what the monitor has to say; each event is two frames, the first begins with its code. */
static void drain_monitor(struct link *link)
{
    while (link->monitor != NULL) {
        uint8_t event[6] = {0};
        if (zmq_recv(link->monitor, event, sizeof event, ZMQ_DONTWAIT) < 2) {
            return;
        }
        char address[256];
        (void)zmq_recv(link->monitor, address, sizeof address, ZMQ_DONTWAIT);
        uint16_t code;
        uint32_t value;
        memcpy(&code, event, sizeof code);
        memcpy(&value, event + sizeof code, sizeof value);
        on_event(link, code, value);
    }
    if (link->retry_ns != 0 && baro_now_ns() >= link->retry_ns) {
        try_again(link);
    }
}

/* Take over one raw frame, which is empty then. Large ones stay where ZeroMQ has put them; small
 * ones are copied, for they may lie unaligned and would keep a larger buffer alive. */
static void append_frame(struct link_message *message, zmq_msg_t *part)
{
    struct link_frame frame = {.n_bytes = zmq_msg_size(part)};
    bool is_aligned = (uintptr_t)zmq_msg_data(part) % 8 == 0;
    if (is_aligned && frame.n_bytes >= LINK_HOLD_BYTES) {
        zmq_msg_t *holder = baro_xcalloc(1, sizeof *holder);
        (void)zmq_msg_init(holder);
        (void)zmq_msg_move(holder, part);
        frame.holder = holder;
        frame.bytes = zmq_msg_data(holder);
    } else {
        uint8_t *copy = baro_xcalloc(frame.n_bytes > 0 ? frame.n_bytes : 1, 1);
        memcpy(copy, zmq_msg_data(part), frame.n_bytes);
        frame.bytes = copy;
    }
    message->frames =
        baro_xrealloc(message->frames, message->n_frames + 1, sizeof *message->frames);
    message->frames[message->n_frames++] = frame;
}

/* Take a whole message off the socket without waiting: 1, 0 when there is none, or a code. */
static int receive(struct link *link, struct link_message *out, struct baro_err *err)
{
    *out = (struct link_message){0};
    int rc = 0;
    bool is_more = true;
    for (size_t i = 0; is_more; i++) {
        zmq_msg_t frame;
        (void)zmq_msg_init(&frame);
        if (zmq_msg_recv(&frame, link->socket, ZMQ_DONTWAIT) < 0) {
            (void)zmq_msg_close(&frame);
            if (i == 0 && (errno == EAGAIN || errno == EINTR)) {
                return 0;
            }
            rc = baro_err_set(err, BARO_EIO, "receive: %s", zmq_strerror(errno));
            break;
        }
        is_more = zmq_msg_more(&frame) != 0;
        if (i == 0) {
            out->n_packed = zmq_msg_size(&frame);
            rc = wire_unpack(zmq_msg_data(&frame), zmq_msg_size(&frame),
                WIRE_MAX_REPLY_BYTES, &out->wire, err);
        } else if (rc == 0 && i > LINK_MAX_FRAMES) {
            rc = baro_err_set(
                err, BARO_ELIMIT, "a message has more than %d frames", LINK_MAX_FRAMES);
        } else if (rc == 0) {
            out->n_bytes += zmq_msg_size(&frame);
            append_frame(out, &frame);
        }
        (void)zmq_msg_close(&frame);
    }
    rc = rc == 0 ? link_unpack(out, err) : rc;
    if (rc != 0) {
        link_message_release(out);
        return rc;
    }
    return 1;
}

/* There is no use in waiting for an answer: the keys do not fit, or nobody is there. */
static bool is_hopeless(const struct link *link)
{
    return link->retry_ns != 0 || (link->keys.is_tcp && link->n_ended >= LINK_MAX_ENDED);
}

/* Wait until something arrives or the deadline passes; a signal ends the wait, too. */
static int receive_until(
    struct link *link, uint64_t deadline_ns, struct link_message *out, struct baro_err *err)
{
    for (;;) {
        drain_monitor(link);
        int rc = receive(link, out, err);
        uint64_t now_ns = baro_now_ns();
        if (rc != 0 || now_ns >= deadline_ns || (link->is_asking && is_hopeless(link))) {
            return rc;
        }
        zmq_pollitem_t items[2] = {
            {.socket = link->socket, .events = ZMQ_POLLIN},
            {.socket = link->monitor, .events = ZMQ_POLLIN},
        };
        long wait_ms = (long)((deadline_ns - now_ns + 999999) / 1000000);
        if (zmq_poll(items, link->monitor != NULL ? 2 : 1, wait_ms) < 0) {
            return errno == EINTR
                       ? 0
                       : baro_err_set(err, BARO_EIO, "wait: %s", zmq_strerror(errno));
        }
    }
}

static uint64_t deadline_after(int timeout_ms)
{
    return baro_now_ns() + (uint64_t)(timeout_ms > 0 ? timeout_ms : 0) * 1000000;
}

static bool is_abandoned(const struct link *link, uint64_t request)
{
    for (size_t i = 0; request != 0 && i < LINK_N_ABANDONED; i++) {
        if (link->abandoned[i] == request) {
            return true;
        }
    }
    return false;
}

/* What nobody waits for: late answers, and envelopes without a body, by which the daemon sees
 * that its asker is still there. */
static bool is_of_no_use(const struct link *link, const struct link_message *message)
{
    const Baro__Envelope *envelope = message->wire.envelope;
    bool is_nothing = envelope->body_case == BARO__ENVELOPE__BODY__NOT_SET &&
                      envelope->base.n_unknown_fields == 0;
    return is_nothing || is_abandoned(link, envelope->request);
}

static void drop_oldest_kept(struct link *link)
{
    struct kept *kept = link->first;
    link->first = kept->next;
    if (link->first == NULL) {
        link->last = &link->first;
    }
    link->n_kept--;
    link_message_release(&kept->message);
    free(kept);
}

/* Keep a message for link_next; takes it. */
static void keep(struct link *link, struct link_message *message)
{
    if (link->n_kept == LINK_MAX_KEPT) {
        drop_oldest_kept(link);
    }
    struct kept *kept = baro_xcalloc(1, sizeof *kept);
    kept->message = *message;
    *message = (struct link_message){0};
    *link->last = kept;
    link->last = &kept->next;
    link->n_kept++;
}

int link_next(struct link *link, int timeout_ms, struct link_message *out_message,
    struct baro_err *err)
{
    if (link->first != NULL) {
        struct kept *kept = link->first;
        *out_message = kept->message;
        kept->message = (struct link_message){0};
        drop_oldest_kept(link);
        return 1;
    }
    uint64_t deadline_ns = deadline_after(timeout_ms);
    for (;;) {
        int rc = receive_until(link, deadline_ns, out_message, err);
        if (rc <= 0 || !is_of_no_use(link, out_message)) {
            return rc;
        }
        link_message_release(out_message);
    }
}

/* ---- asking ---- */

int64_t link_send(struct link *link, Baro__Envelope *request, struct baro_err *err)
{
    baro_autofree uint8_t *bytes = NULL;
    size_t n_bytes = 0;
    request->request = ++link->last_request;
    if (request->body_case == BARO__ENVELOPE__BODY_RANGE_REQUEST) {
        request->range_request->packing = WIRE_PACKED; /* what comes is unpacked here */
    } else if (request->body_case == BARO__ENVELOPE__BODY_SAMPLE_REQUEST) {
        request->sample_request->packing = WIRE_PACKED;
    }
    int rc = wire_pack(request, &bytes, &n_bytes);
    if (rc != 0) {
        return baro_err_set(err, rc, "pack a request: %s", baro_code_text(rc));
    }
    if (zmq_send(link->socket, bytes, n_bytes, 0) < 0) {
        return baro_err_set(err, errno == EAGAIN ? BARO_ETIMEOUT : BARO_EIO,
            "send to %s: %s", link->endpoint, zmq_strerror(errno));
    }
    return (int64_t)request->request;
}

/* Turn a refusal into its code and sentence; 0 for every other reply. */
static int check_refusal(struct link_message *reply, struct baro_err *err)
{
    const Baro__Envelope *envelope = reply->wire.envelope;
    if (envelope->body_case != BARO__ENVELOPE__BODY_REFUSAL) {
        return 0;
    }
    int code = envelope->refusal->code < 0 ? envelope->refusal->code : BARO_EINVAL;
    (void)baro_err_set(err, code, "%s", envelope->refusal->text);
    link_message_release(reply);
    return code;
}

/* A daemon that listens but is stopped or overrun is another trouble than one that is absent. */
static int fail_unanswered(const struct link *link, struct baro_err *err)
{
    if (link->trouble.code != 0 && link->keys.is_tcp && !link->is_connected) {
        return baro_err_set(err, BARO_ETIMEOUT, "%s", link->trouble.text);
    }
    bool is_local = strncmp(link->endpoint, "ipc://", 6) == 0;
    return baro_err_set(err, BARO_ETIMEOUT,
        is_local && link_is_served(link)
            ? "the daemon at %s listens but does not answer; is it stopped? See 'baro status'"
        : link->keys.is_tcp
            ? "no daemon answers at %s; is barod started there with --listen?"
            : "no daemon answers at %s; start one with 'baro up'",
        link->endpoint);
}

static void abandon(struct link *link, uint64_t request)
{
    link->abandoned[link->next_abandoned++ % LINK_N_ABANDONED] = request;
}

/* Wait for a reply to a request; what else comes is kept. */
static int await_reply(struct link *link, uint64_t number, int timeout_ms,
    struct link_message *out_reply, struct baro_err *err)
{
    uint64_t deadline_ns = deadline_after(timeout_ms);
    do {
        struct link_message message;
        link->is_asking = true;
        int rc = receive_until(link, deadline_ns, &message, err);
        link->is_asking = false;
        if (rc < 0) {
            return rc;
        }
        if (rc == 0 && is_hopeless(link)) {
            link->n_ended = 0;
            return baro_err_set(err, link->trouble.code, "%s", link->trouble.text);
        }
        if (rc == 0 || message.wire.envelope == NULL) {
            continue;
        }
        if (is_of_no_use(link, &message)) {
            link_message_release(&message);
        } else if (message.wire.envelope->request == number) {
            *out_reply = message;
            return check_refusal(out_reply, err);
        } else {
            keep(link, &message);
        }
    } while (baro_now_ns() < deadline_ns);
    return fail_unanswered(link, err);
}

int link_ask(struct link *link, Baro__Envelope *request, int timeout_ms,
    struct link_message *out_reply, struct baro_err *err)
{
    *out_reply = (struct link_message){0};
    if (link->retry_ns != 0) {
        try_again(link);
    }
    int64_t number = link_send(link, request, err);
    if (number < 0) {
        return (int)number;
    }
    int rc = await_reply(link, (uint64_t)number, timeout_ms, out_reply, err);
    if (rc == BARO_ETIMEOUT) {
        abandon(link, (uint64_t)number);
    }
    return rc;
}

/* Take the oldest kept message that answers a request; false when there is none. */
static bool take_kept(struct link *link, uint64_t request, struct link_message *out)
{
    struct kept **at = &link->first;
    while (*at != NULL) {
        struct kept *kept = *at;
        if (kept->message.wire.envelope->request != request) {
            at = &kept->next;
            continue;
        }
        *out = kept->message;
        *at = kept->next;
        link->last = kept->next == NULL ? at : link->last;
        link->n_kept--;
        free(kept);
        return true;
    }
    return false;
}

int link_await(struct link *link, int64_t request, int timeout_ms,
    struct link_message *out_reply, struct baro_err *err)
{
    *out_reply = (struct link_message){0};
    if (take_kept(link, (uint64_t)request, out_reply)) {
        return check_refusal(out_reply, err);
    }
    return await_reply(link, (uint64_t)request, timeout_ms, out_reply, err);
}

void link_cancel(struct link *link, int64_t request)
{
    if (request < 1) {
        return;
    }
    abandon(link, (uint64_t)request);
    struct link_message late;
    while (take_kept(link, (uint64_t)request, &late)) {
        link_message_release(&late);
    }
    Baro__CancelRequest cancel;
    baro__cancel_request__init(&cancel);
    cancel.request = (uint64_t)request;
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.body_case = BARO__ENVELOPE__BODY_CANCEL_REQUEST;
    envelope.cancel_request = &cancel;
    (void)link_send(link, &envelope, NULL); /* a daemon that is away has ended it, too */
}

/* ---- the rest ---- */

void link_message_release(struct link_message *message)
{
    if (message == NULL) {
        return;
    }
    link_frames_release(message);
    free(message->frames);
    wire_release(&message->wire);
    *message = (struct link_message){0};
}

unsigned link_n_connects(const struct link *link)
{
    return link->n_connects;
}

bool link_is_connected(const struct link *link)
{
    return link->is_connected;
}

const char *link_trouble(const struct link *link)
{
    return link->is_connected || !link->keys.is_tcp ? "" : link->trouble.text;
}

bool link_is_served(const struct link *link)
{
    static const char scheme[] = "ipc://";
    const char *path = link->endpoint + sizeof scheme - 1;
    if (strncmp(link->endpoint, scheme, sizeof scheme - 1) != 0 || path[0] == '@') {
        return true;
    }
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        return false;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    baro_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return true;
    }
    return connect(fd, (struct sockaddr *)&address, sizeof address) == 0 ||
           (errno != ENOENT && errno != ECONNREFUSED);
}

int link_fd(const struct link *link)
{
    int fd = -1;
    size_t fd_bytes = sizeof fd;
    (void)zmq_getsockopt(link->socket, ZMQ_FD, &fd, &fd_bytes);
    return fd;
}
