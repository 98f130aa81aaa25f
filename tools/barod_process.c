/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/barod_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/link/link.h"

enum {
    BAROD_POLL_MS = 20,
    BAROD_ASK_MS = 200,
    BAROD_MAX_LOG_BYTES = 16 << 20 /* a longer log is put aside as barod.log.1 */
};

/* ---- finding ---- */

static bool try_program(
    char *out, const char *folder, size_t folder_bytes, const char *tail)
{
    int n = snprintf(out, BARO_PATH_BYTES, "%.*s%s", (int)folder_bytes, folder, tail);
    struct stat status;
    return n > 0 && n < BARO_PATH_BYTES && stat(out, &status) == 0 &&
           S_ISREG(status.st_mode) && access(out, X_OK) == 0;
}

static bool find_in_path(char *out)
{
    const char *path = getenv("PATH");
    while (path != NULL && *path != '\0') {
        size_t n = strcspn(path, ":");
        if (n > 0 && try_program(out, path, n, "/barod")) {
            return true;
        }
        path += n + (path[n] == ':' ? 1 : 0);
    }
    return false;
}

/* BARO_BAROD, beside this program, in ../daemon/ of a build folder, in PATH. */
static int find_program(char *out, struct baro_err *err)
{
    const char *given = getenv("BARO_BAROD");
    if (given != NULL && given[0] != '\0') {
        if (try_program(out, given, strlen(given), "")) {
            return 0;
        }
        return baro_err_set(err, BARO_ENOENT,
            "BARO_BAROD is '%s', which is no program that can be run", given);
    }
    char self[BARO_PATH_BYTES];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n > 0) {
        self[n] = '\0';
        size_t folder_bytes = (size_t)(strrchr(self, '/') - self);
        if (try_program(out, self, folder_bytes, "/barod") ||
            try_program(out, self, folder_bytes, "/../daemon/barod") ||
            try_program(out, self, folder_bytes, "/../../daemon/barod")) {
            return 0;
        }
    }
    if (find_in_path(out)) {
        return 0;
    }
    return baro_err_set(err, BARO_ENOENT,
        "cannot find the program barod beside baro or in PATH; set BARO_BAROD to it");
}

/* ---- starting ---- */

static int open_log(const char *path, struct baro_err *err)
{
    struct stat status;
    if (stat(path, &status) == 0 && status.st_size > BAROD_MAX_LOG_BYTES) {
        char aside[BARO_PATH_BYTES + 4];
        (void)snprintf(aside, sizeof aside, "%s.1", path);
        (void)rename(path, aside);
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) {
        return baro_err_set(
            err, BARO_EACCES, "cannot write '%s': %s", path, strerror(errno));
    }
    return fd;
}

/* In the child: becomes barod or exits. Only async-signal-safe calls. */
static void exec_barod(
    const char *program, const struct barod_options *options, int log_fd, pid_t parent)
{
    (void)setsid();
    (void)!chdir("/"); /* do not keep a folder busy */
    if (options->is_private) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) {
            _exit(1);
        }
    }
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    (void)dup2(null_fd, STDIN_FILENO);
    (void)dup2(log_fd, STDOUT_FILENO);
    (void)dup2(log_fd, STDERR_FILENO);
    const char *argv[8] = {"barod", "--dir", options->dir};
    size_t n = 3;
    if (options->endpoint != NULL) {
        argv[n++] = "--listen";
        argv[n++] = options->endpoint;
    }
    if (options->argument != NULL) {
        argv[n++] = options->argument;
    }
    argv[n] = NULL;
    (void)execv(program, (char **)(uintptr_t)argv);
    _exit(127);
}

int barod_start(const struct barod_options *options, pid_t *out_pid, struct baro_err *err)
{
    char program[BARO_PATH_BYTES];
    int rc = find_program(program, err);
    if (rc == 0) {
        rc = baro_make_dir(options->dir, err);
    }
    if (rc != 0) {
        return rc;
    }
    baro_autoclose int log_fd = open_log(options->log_path, err);
    if (log_fd < 0) {
        return log_fd;
    }
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid < 0) {
        return baro_err_set(err, BARO_EIO, "cannot start a process: %s", strerror(errno));
    }
    if (pid == 0) {
        exec_barod(program, options, log_fd, parent);
    }
    *out_pid = pid;
    return 0;
}

/* ---- waiting ---- */

static pid_t ask_pid(struct link *link)
{
    Baro__StatusRequest body = BARO__STATUS_REQUEST__INIT;
    Baro__Envelope request = BARO__ENVELOPE__INIT;
    request.body_case = BARO__ENVELOPE__BODY_STATUS_REQUEST;
    request.status_request = &body;
    struct link_message reply;
    pid_t pid = 0;
    if (link_ask(link, &request, BAROD_ASK_MS, &reply, NULL) == 0 &&
        reply.wire.envelope->body_case == BARO__ENVELOPE__BODY_STATUS_REPLY) {
        pid = (pid_t)reply.wire.envelope->status_reply->pid;
    }
    link_message_release(&reply);
    return pid;
}

static void pause_ms(int ms)
{
    struct timespec pause = {.tv_nsec = ms * 1000000L};
    (void)nanosleep(&pause, NULL);
}

int barod_await(
    const char *endpoint, pid_t pid, int timeout_ms, pid_t *out_pid, struct baro_err *err)
{
    struct link *link = link_open(endpoint, err);
    if (link == NULL) {
        return BARO_EINVAL;
    }
    uint64_t deadline_ns = baro_now_ns() + (uint64_t)timeout_ms * 1000000;
    bool has_ended = false;
    *out_pid = 0;
    while (*out_pid == 0 && baro_now_ns() < deadline_ns) {
        if (link_is_served(link)) {
            *out_pid = ask_pid(link);
        } else if (has_ended) {
            break;
        } else {
            pause_ms(BAROD_POLL_MS);
        }
        has_ended = has_ended || (pid > 0 && waitpid(pid, NULL, WNOHANG) == pid);
    }
    link_close(link);
    if (*out_pid != 0) {
        return 0;
    }
    return has_ended
               ? baro_err_set(err, BARO_ECLOSED, "barod ended at once")
               : baro_err_set(err, BARO_ETIMEOUT, "barod does not answer at %s", endpoint);
}

/* Gone, or a zombie that nobody has collected. */
static bool is_gone(pid_t pid)
{
    char path[64];
    char text[512];
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    baro_autofclose FILE *file = fopen(path, "re");
    if (file == NULL || fgets(text, sizeof text, file) == NULL) {
        return kill(pid, 0) != 0 && errno == ESRCH;
    }
    const char *state = strrchr(text, ')');
    return state != NULL && (state[2] == 'Z' || state[2] == 'X');
}

bool barod_await_end(pid_t pid, int timeout_ms)
{
    uint64_t deadline_ns = baro_now_ns() + (uint64_t)timeout_ms * 1000000;
    for (;;) {
        (void)waitpid(pid, NULL, WNOHANG);
        if (is_gone(pid)) {
            return true;
        }
        if (baro_now_ns() >= deadline_ns) {
            return false;
        }
        pause_ms(BAROD_POLL_MS);
    }
}

pid_t barod_listener(const char *endpoint)
{
    static const char scheme[] = "ipc://";
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = endpoint + sizeof scheme - 1;
    if (strncmp(endpoint, scheme, sizeof scheme - 1) != 0 ||
        strlen(path) >= sizeof address.sun_path) {
        return 0;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    struct ucred peer = {0};
    socklen_t peer_bytes = sizeof peer;
    baro_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_bytes) != 0) {
        return 0;
    }
    return peer.pid;
}

void barod_last_line(const char *log_path, char *out, size_t out_bytes)
{
    out[0] = '\0';
    baro_autofclose FILE *file = fopen(log_path, "re");
    if (file == NULL) {
        return;
    }
    (void)fseek(file, -4096, SEEK_END);
    char line[1024];
    while (fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] != '\0') {
            (void)snprintf(out, out_bytes, "%s", line);
        }
    }
}
