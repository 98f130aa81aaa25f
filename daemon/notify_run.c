/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/notify_ways.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define LOG_MODULE "notify"

enum { OUTPUT_BYTES = 2048, LOOK_MS = 50 };

/* A program under way. */
struct child {
    pid_t pid;
    int input; /* ends of pipes; -1: closed */
    int output;
    const char *rest; /* of its input */
    char text[OUTPUT_BYTES + 1];
    size_t n;
};

static int spawn(struct child *child, char *const *words, char *const *environment,
    const int input[2], const int output[2])
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigset_t all;
    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    if (posix_spawn_file_actions_init(&actions) != 0) {
        return ENOMEM;
    }
    if (posix_spawnattr_init(&attributes) != 0) {
        (void)posix_spawn_file_actions_destroy(&actions);
        return ENOMEM;
    }
    int rc = posix_spawn_file_actions_adddup2(&actions, input[0], STDIN_FILENO);
    rc =
        rc != 0 ? rc : posix_spawn_file_actions_adddup2(&actions, output[1], STDOUT_FILENO);
    rc =
        rc != 0 ? rc : posix_spawn_file_actions_adddup2(&actions, output[1], STDERR_FILENO);
    rc = rc != 0 ? rc : posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    rc = rc != 0 ? rc : posix_spawnattr_setpgroup(&attributes, 0);
    rc = rc != 0 ? rc : posix_spawnattr_setsigmask(&attributes, &none);
    rc = rc != 0 ? rc : posix_spawnattr_setsigdefault(&attributes, &all);
    rc = rc != 0
             ? rc
             : posix_spawnattr_setflags(&attributes,
                   POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    rc = rc != 0 ? rc
                 : posix_spawnp(
                       &child->pid, words[0], &actions, &attributes, words, environment);
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&actions);
    return rc;
}

static int start(struct child *child, char *const *words, char *const *environment)
{
    int input[2];
    int output[2];
    if (pipe2(input, O_CLOEXEC) != 0) {
        return errno;
    }
    if (pipe2(output, O_CLOEXEC) != 0) {
        int number = errno;
        (void)close(input[0]);
        (void)close(input[1]);
        return number;
    }
    int rc = spawn(child, words, environment, input, output);
    (void)close(input[0]);
    (void)close(output[1]);
    child->input = input[1];
    child->output = output[0];
    (void)fcntl(child->input, F_SETFL, O_NONBLOCK);
    (void)fcntl(child->output, F_SETFL, O_NONBLOCK);
    return rc;
}

static void shut(int *fd)
{
    baro_cleanup_close(fd);
    *fd = -1;
}

static void feed(struct child *child)
{
    ssize_t n = write(child->input, child->rest, strlen(child->rest));
    if (n > 0) {
        child->rest += n;
    }
    if (*child->rest == '\0' || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        shut(&child->input);
    }
}

/* Keep the beginning of what it says, and throw away the rest. */
static void hear(struct child *child)
{
    char bytes[512];
    ssize_t n = read(child->output, bytes, sizeof bytes);
    if (n > 0) {
        size_t room = OUTPUT_BYTES - child->n;
        size_t take = (size_t)n < room ? (size_t)n : room;
        memcpy(child->text + child->n, bytes, take);
        child->n += take;
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        shut(&child->output);
    }
}

/* Wait for something to happen, a little while. */
static void attend(struct child *child)
{
    struct pollfd fds[2] = {
        {.fd = child->input, .events = POLLOUT}, {.fd = child->output, .events = POLLIN}};
    if (poll(fds, 2, child->output >= 0 ? LOOK_MS : LOOK_MS / 10) <= 0) {
        return;
    }
    if (child->input >= 0 && fds[0].revents != 0) {
        feed(child);
    }
    if (child->output >= 0 && fds[1].revents != 0) {
        hear(child);
    }
}

static void log_output(const struct child *child, const char *program)
{
    if (child->n == 0) {
        return;
    }
    char safe[OUTPUT_BYTES + 1];
    char raw[OUTPUT_BYTES + 1];
    memcpy(raw, child->text, child->n);
    raw[child->n] = '\0';
    for (size_t i = 0; i < child->n; i++) {
        raw[i] = raw[i] == '\n' ? ' ' : raw[i];
    }
    baro_text_safe(safe, sizeof safe, raw);
    log_info("'%s' says: %s", program, safe);
}

/* Wait until it ends, its time is up, or the daemon ends. */
static int await(const struct notify_try *try, struct child *child, const char *program,
    struct baro_err *err)
{
    uint64_t deadline_ns = baro_now_ns() + try->timeout_s * UINT64_C(1000000000);
    int status = 0;
    while (waitpid(child->pid, &status, WNOHANG) == 0) {
        bool is_late = baro_now_ns() >= deadline_ns;
        if (is_late || atomic_load(try->is_over)) {
            (void)kill(-child->pid, SIGKILL);
            (void)waitpid(child->pid, &status, 0);
            return baro_err_set(err, BARO_ETIMEOUT,
                is_late ? "'%.150s' did not end within %u s and was killed"
                        : "'%.150s' was killed: the daemon ends (limit %u s)",
                program, (unsigned)try->timeout_s);
        }
        attend(child);
    }
    while (child->output >= 0 && child->n < OUTPUT_BYTES) { /* what is there already */
        size_t before = child->n;
        hear(child);
        if (child->n == before) {
            break;
        }
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return 0;
    }
    return WIFEXITED(status)
               ? baro_err_set(err, BARO_EIO, "'%.150s' ended with status %d", program,
                     WEXITSTATUS(status))
               : baro_err_set(err, BARO_EIO, "'%.150s' was ended by signal %d", program,
                     WTERMSIG(status));
}

int notify_run(const struct notify_try *try, char *const *words, char *const *environment,
    const char *input, struct baro_err *err)
{
    struct child child = {.input = -1, .output = -1, .rest = input};
    int number = start(&child, words, environment);
    int rc = 0;
    if (number == ENOENT) {
        rc = baro_err_set(err, BARO_ENOENT, "there is no program '%.150s'", words[0]);
    } else if (number != 0) {
        rc = baro_err_set(
            err, BARO_EIO, "'%.150s' cannot be started: %s", words[0], strerror(number));
    } else {
        rc = await(try, &child, words[0], err);
        log_output(&child, words[0]);
    }
    shut(&child.input);
    shut(&child.output);
    return rc;
}
