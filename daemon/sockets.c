/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/sockets.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <zmq.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "proto/wire.h"

/*
 * ROUTER_MANDATORY lets a send fail when the peer is gone or does not read, instead of dropping
 * the message in silence. MAXMSGSIZE is a little over the largest frame, so that a frame which is
 * too large by a little is still answered with a sentence; beyond it ZeroMQ ends the connection.
 * ROUTER_HANDOVER stays off: a peer cannot take over another one's routing id.
 *
 * Without a free descriptor for a connection ZeroMQ aborts the process, so the limit goes as high
 * as it may: a client, with its own limit, then runs out of them first.
 */

enum {
    SEND_HIGH_WATER = 1000,
    RECEIVE_HIGH_WATER = 1000,
    LINGER_MS = 500,
    HANDSHAKE_MS = 5000 /* over tcp:// */
};

/* A line that is dead without a word must not hold its descriptor and its place for ever. */
static void set_tcp_options(void *socket)
{
    const struct {
        int option;
        int value;
    } rows[] = {
        {ZMQ_TCP_KEEPALIVE, 1},
        {ZMQ_TCP_KEEPALIVE_IDLE, 20},
        {ZMQ_TCP_KEEPALIVE_INTVL, 10},
        {ZMQ_TCP_KEEPALIVE_CNT, 3},
        {ZMQ_TCP_MAXRT, 60000},
        {ZMQ_HEARTBEAT_IVL, 30000},
        {ZMQ_HEARTBEAT_TIMEOUT, 120000}, /* a slow line may carry one frame for a minute */
        {ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS},
    };
    for (size_t i = 0; i < BARO_LEN(rows); i++) {
        (void)zmq_setsockopt(socket, rows[i].option, &rows[i].value, sizeof(int));
    }
}

static int set_options(void *socket)
{
    const struct {
        int option;
        int value;
    } rows[] = {
        {ZMQ_ROUTER_MANDATORY, 1},
        {ZMQ_SNDHWM, SEND_HIGH_WATER},
        {ZMQ_RCVHWM, RECEIVE_HIGH_WATER},
        {ZMQ_LINGER, LINGER_MS},
    };
    for (size_t i = 0; i < BARO_LEN(rows); i++) {
        if (zmq_setsockopt(socket, rows[i].option, &rows[i].value, sizeof(int)) != 0) {
            return BARO_EIO;
        }
    }
    int64_t max_bytes = WIRE_MAX_FRAME_BYTES + WIRE_MAX_ENVELOPE_BYTES;
    return zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &max_bytes, sizeof max_bytes) == 0
               ? 0
               : BARO_EIO;
}

/* Tell whether somebody answers on a socket file. */
static bool is_alive(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        return false;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    baro_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd >= 0 && (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 ||
                          errno == EAGAIN);
}

/* Make the folder of a socket and clear away what a dead daemon left; never another file. */
static int prepare_path(const char *path, struct baro_err *err)
{
    baro_autofree char *copy = baro_xstrdup(path);
    const char *folder = dirname(copy);
    struct stat status;
    /* The system's own folders will do, /tmp for one: the socket protects itself there. */
    bool is_systems = stat(folder, &status) == 0 && status.st_uid == 0;
    int rc = is_systems ? 0 : baro_make_dir(folder, err);
    if (rc != 0) {
        return rc;
    }
    if (strlen(path) >= sizeof((struct sockaddr_un){0}).sun_path) {
        return baro_err_set(err, BARO_ELIMIT,
            "the path of the socket has %zu bytes; a Unix socket allows %zu", strlen(path),
            sizeof((struct sockaddr_un){0}).sun_path - 1);
    }
    if (lstat(path, &status) != 0) {
        return 0;
    }
    if (!S_ISSOCK(status.st_mode)) {
        return baro_err_set(
            err, BARO_EEXIST, "there is a file in the way that is no socket");
    }
    if (is_alive(path)) {
        return baro_err_set(err, BARO_EBUSY, "another process listens there");
    }
    if (unlink(path) != 0) {
        return baro_err_set(
            err, BARO_EACCES, "cannot remove the old socket: %s", strerror(errno));
    }
    return 0;
}

static int bind_one(void *socket, const char *endpoint, struct baro_err *err)
{
    bool is_ipc = strncmp(endpoint, "ipc://", 6) == 0;
    int is_ipv6 = strchr(endpoint, '[') != NULL;
    (void)zmq_setsockopt(socket, ZMQ_IPV6, &is_ipv6, sizeof is_ipv6);
    int rc = is_ipc ? prepare_path(endpoint + 6, err) : 0;
    if (rc != 0) {
        return baro_err_prefix(err, rc, "listen on '%.100s'", endpoint);
    }
    mode_t before = umask(077);
    int bound = zmq_bind(socket, endpoint);
    int bind_errno = errno;
    (void)umask(before);
    if (bound != 0) {
        return baro_err_set(err, bind_errno == EADDRINUSE ? BARO_EBUSY : BARO_EIO,
            "cannot listen on '%.100s': %s", endpoint, zmq_strerror(bind_errno));
    }
    if (is_ipc && chmod(endpoint + 6, 0600) != 0) {
        return baro_err_set(err, BARO_EACCES, "cannot protect the socket '%.100s': %s",
            endpoint + 6, strerror(errno));
    }
    return 0;
}

static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* What is set on a socket holds for what is bound later: Unix sockets come before keys do. */
static int bind_all(void *socket, const struct options *options,
    const struct access *access, struct baro_err *err)
{
    for (int turn = 0; turn < 2; turn++) {
        if (turn == 1) {
            set_tcp_options(socket);
            if (access_guard(access, socket) != 0) {
                return baro_err_set(err, BARO_EIO, "cannot guard tcp:// with keys: %s",
                    zmq_strerror(errno));
            }
        }
        for (unsigned i = 0; i < options->n_endpoints; i++) {
            bool is_tcp = options_is_tcp(options->endpoints[i]);
            int rc =
                is_tcp == (turn == 1) ? bind_one(socket, options->endpoints[i], err) : 0;
            if (rc != 0) {
                return rc;
            }
        }
    }
    return 0;
}

int sockets_open(void *context, const struct options *options, const struct access *access,
    void **out_socket, struct baro_err *err)
{
    raise_descriptor_limit();
    void *socket = zmq_socket(context, ZMQ_ROUTER);
    if (socket == NULL || set_options(socket) != 0) {
        if (socket != NULL) {
            (void)zmq_close(socket);
        }
        return baro_err_set(err, BARO_EIO, "cannot make a socket: %s", zmq_strerror(errno));
    }
    int rc = bind_all(socket, options, access, err);
    if (rc != 0) {
        (void)zmq_close(socket);
        return rc;
    }
    *out_socket = socket;
    return 0;
}

void sockets_close(void *socket, const struct options *options)
{
    if (socket == NULL) {
        return;
    }
    (void)zmq_close(socket);
    for (unsigned i = 0; i < options->n_endpoints; i++) {
        if (strncmp(options->endpoints[i], "ipc://", 6) == 0) {
            (void)unlink(options->endpoints[i] + 6);
        }
    }
}
