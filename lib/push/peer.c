/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/push/peer.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <zmq.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

/*
 * ZeroMQ aborts the process when it runs out of file descriptors, which a library inside a
 * training run must not do; so they are counted before it is touched. ZMQ_IMMEDIATE keeps
 * messages in our ring rather than in a queue to nowhere, and a monitor tells of a lost
 * connection at once, so that a restarted daemon is greeted anew without waiting for silence.
 */

enum {
    FREE_DESCRIPTORS = 64,
    HIGH_WATER = 256, /* messages; the sender limits bytes */
    RECONNECT_MS = 50,
    RECONNECT_MAX_MS = 2000,
    NAME_BYTES = 48
};

struct peer {
    void *context;
    void *socket;
    void *monitor;
    const char *endpoint; /* borrowed, as keys are */
    const struct keys_client *keys;
    struct baro_err trouble;
    bool is_lost;
    unsigned n_connects;
};

/* Are there as many descriptors as ZeroMQ may want? Yes when it cannot be known. */
static bool has_descriptors(void)
{
    struct rlimit limit;
    DIR *folder = NULL;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
        return true;
    }
    folder = opendir("/proc/self/fd");
    if (folder == NULL) {
        return errno != EMFILE && errno != ENFILE;
    }
    rlim_t n_used = 0;
    while (readdir(folder) != NULL) {
        n_used++;
    }
    (void)closedir(folder);
    return n_used + FREE_DESCRIPTORS <= limit.rlim_cur;
}

struct peer *peer_create(void)
{
    return calloc(1, sizeof(struct peer));
}

void peer_disconnect(struct peer *peer)
{
    if (peer->monitor != NULL) {
        (void)zmq_socket_monitor(peer->socket, NULL, 0);
        (void)zmq_close(peer->monitor);
        peer->monitor = NULL;
    }
    if (peer->socket != NULL) {
        (void)zmq_close(peer->socket);
        peer->socket = NULL;
    }
    peer->is_lost = false;
}

void peer_destroy(struct peer *peer)
{
    if (peer == NULL) {
        return;
    }
    peer_disconnect(peer);
    if (peer->context != NULL) {
        (void)zmq_ctx_term(peer->context);
    }
    free(peer);
}

static int set_options(void *socket)
{
    const struct {
        int option;
        int value;
    } options[] = {{ZMQ_LINGER, 0}, {ZMQ_IMMEDIATE, 1}, {ZMQ_SNDHWM, HIGH_WATER},
        {ZMQ_RCVHWM, HIGH_WATER}, {ZMQ_RECONNECT_IVL, RECONNECT_MS},
        {ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS}};
    int rc = 0;
    for (size_t i = 0; i < BARO_LEN(options); i++) {
        rc |= zmq_setsockopt(
            socket, options[i].option, &options[i].value, sizeof options[i].value);
    }
    int64_t max_bytes = WIRE_MAX_ENVELOPE_BYTES;
    rc |= zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &max_bytes, sizeof max_bytes);
    return rc;
}

static int watch(struct peer *peer)
{
    char name[NAME_BYTES];
    int linger = 0;
    (void)snprintf(name, sizeof name, "inproc://baro-monitor-%u", ++peer->n_connects);
    int events = ZMQ_EVENT_DISCONNECTED | keys_events();
    if (zmq_socket_monitor(peer->socket, name, events) != 0) {
        return -1;
    }
    peer->monitor = zmq_socket(peer->context, ZMQ_PAIR);
    if (peer->monitor == NULL ||
        zmq_setsockopt(peer->monitor, ZMQ_LINGER, &linger, sizeof linger) != 0) {
        return -1;
    }
    return zmq_connect(peer->monitor, name);
}

int peer_connect(struct peer *peer, const char *endpoint, const struct keys_client *keys,
    struct baro_err *err)
{
    peer_disconnect(peer);
    peer->endpoint = endpoint;
    peer->keys = keys;
    peer->trouble = (struct baro_err){0};
    if (!has_descriptors()) {
        return baro_err_set(err, BARO_ELIMIT,
            "fewer than %d file descriptors are left for the connection: raise the limit "
            "(ulimit -n); recording into the ring goes on",
            FREE_DESCRIPTORS);
    }
    if (peer->context == NULL) {
        peer->context = zmq_ctx_new();
    }
    if (peer->context != NULL) {
        peer->socket = zmq_socket(peer->context, ZMQ_DEALER);
    }
    if (peer->socket == NULL || set_options(peer->socket) != 0 ||
        keys_prepare(keys, peer->socket) != 0 || watch(peer) != 0) {
        int number = errno;
        peer_disconnect(peer);
        return baro_err_set(err, BARO_EIO, "no socket: %s", zmq_strerror(number));
    }
    if (zmq_connect(peer->socket, endpoint) != 0) {
        int number = errno;
        peer_disconnect(peer);
        return baro_err_set(err, BARO_EINVAL,
            "endpoint '%.100s': %s; write it like ipc:///path or tcp://host:port", endpoint,
            zmq_strerror(number));
    }
    return 0;
}

bool peer_can_send(struct peer *peer)
{
    int events = 0;
    size_t n = sizeof events;
    return peer->socket != NULL &&
           zmq_getsockopt(peer->socket, ZMQ_EVENTS, &events, &n) == 0 &&
           (events & ZMQ_POLLOUT) != 0;
}

static int send_frame(void *socket, const void *data, size_t n_bytes, bool has_more)
{
    zmq_msg_t message;
    if (zmq_msg_init_size(&message, n_bytes) != 0) {
        return BARO_ENOMEM;
    }
    if (n_bytes > 0) {
        memcpy(zmq_msg_data(&message), data, n_bytes);
    }
    if (zmq_msg_send(&message, socket, ZMQ_DONTWAIT | (has_more ? ZMQ_SNDMORE : 0)) < 0) {
        int number = errno;
        (void)zmq_msg_close(&message);
        return number == EAGAIN ? BARO_EBUSY : BARO_EIO;
    }
    return 0;
}

int peer_send(struct peer *peer, Baro__Envelope *envelope, const struct peer_frame *frames,
    int n_frames)
{
    baro_autofree uint8_t *packed = NULL;
    size_t n_bytes = 0;
    if (peer->socket == NULL) {
        return BARO_EBUSY;
    }
    int rc = wire_pack(envelope, &packed, &n_bytes);
    if (rc == 0) {
        rc = send_frame(peer->socket, packed, n_bytes, n_frames > 0);
    }
    if (rc != 0) {
        return rc == BARO_ENOMEM ? BARO_EBUSY : rc;
    }
    for (int i = 0; i < n_frames; i++) {
        if (send_frame(peer->socket, frames[i].data, frames[i].bytes, i + 1 < n_frames) !=
            0) {
            return BARO_EIO; /* a message cut in two: only a new connection mends it */
        }
    }
    return 0;
}

void peer_wait(struct peer *peer, int wait_ms)
{
    if (peer->socket == NULL) {
        const struct timespec pause = {wait_ms / 1000, (long)(wait_ms % 1000) * 1000000};
        (void)nanosleep(&pause, NULL);
        return;
    }
    zmq_pollitem_t items[2] = {
        {.socket = peer->socket, .events = ZMQ_POLLIN},
        {.socket = peer->monitor, .events = ZMQ_POLLIN},
    };
    if (zmq_poll(items, peer->monitor != NULL ? 2 : 1, wait_ms) < 0 && errno != EINTR) {
        const struct timespec pause = {.tv_nsec = 1000000};
        (void)nanosleep(&pause, NULL);
    }
}

/* Take one whole message off a socket; its first frame is left in *out_first. */
static int receive_all(void *socket, zmq_msg_t *out_first)
{
    (void)zmq_msg_init(out_first);
    if (zmq_msg_recv(out_first, socket, ZMQ_DONTWAIT) < 0) {
        (void)zmq_msg_close(out_first);
        return 0;
    }
    int has_more = zmq_msg_more(out_first);
    while (has_more) {
        zmq_msg_t rest;
        (void)zmq_msg_init(&rest);
        has_more = zmq_msg_recv(&rest, socket, ZMQ_DONTWAIT) >= 0 && zmq_msg_more(&rest);
        (void)zmq_msg_close(&rest);
    }
    return 1;
}

/* An event is its code and a value; a handshake that failed is lost, too, and has a reason. */
static void on_event(struct peer *peer, const zmq_msg_t *event, const uint8_t *bytes)
{
    uint16_t code = 0;
    uint32_t value = 0;
    if (zmq_msg_size(event) >= sizeof code + sizeof value) {
        memcpy(&code, bytes, sizeof code);
        memcpy(&value, bytes + sizeof code, sizeof value);
    }
    int rc = keys_explain(peer->keys, code, value, peer->endpoint, peer->trouble.text,
        sizeof peer->trouble.text);
    peer->trouble.code = rc != 0 ? rc : peer->trouble.code;
    peer->is_lost = true;
}

bool peer_is_lost(struct peer *peer)
{
    zmq_msg_t event;
    while (peer->monitor != NULL && receive_all(peer->monitor, &event) > 0) {
        on_event(peer, &event, zmq_msg_data(&event));
        (void)zmq_msg_close(&event);
    }
    return peer->is_lost;
}

const struct baro_err *peer_trouble(const struct peer *peer)
{
    return &peer->trouble;
}

int peer_receive(struct peer *peer, struct wire_message *out_message, struct baro_err *err)
{
    zmq_msg_t first;
    if (peer->socket == NULL || receive_all(peer->socket, &first) == 0) {
        return 0;
    }
    int rc = wire_unpack(zmq_msg_data(&first), zmq_msg_size(&first),
        WIRE_MAX_ENVELOPE_BYTES, out_message, err);
    (void)zmq_msg_close(&first);
    return rc == 0 ? 1 : rc;
}
