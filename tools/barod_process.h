/* SPDX-License-Identifier: Apache-2.0 */
/* The program barod as a process: finding it, starting it in the background, awaiting its end. */
#ifndef BARO_TOOLS_BAROD_PROCESS_H
#define BARO_TOOLS_BAROD_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "lib/base/paths.h"

/* How to start a daemon. */
struct barod_options {
    const char *dir;      /* data folder; made when it is not there */
    const char *endpoint; /* NULL: the folder's own socket */
    const char *log_path; /* its output is appended here */
    const char *argument; /* one more, "--exact"; NULL: none */
    bool is_private;      /* ends with the process that started it */
};

/**
 * Start barod in a session of its own; does not wait for it to answer.
 *
 * returns  0; BARO_ENOENT, BARO_EACCES or BARO_EIO with a sentence
 */
int barod_start(const struct barod_options *options, pid_t *out_pid, struct baro_err *err);

/**
 * Wait until a daemon answers at an endpoint.
 *
 * pid       the child that should answer: the wait ends when it exits; 0: none
 * out_pid   process that answered
 * returns   0; BARO_ETIMEOUT; BARO_ECLOSED when the child has exited
 */
int barod_await(
    const char *endpoint, pid_t pid, int timeout_ms, pid_t *out_pid, struct baro_err *err);

/** Wait until a process is gone, whoever's child it is; false when it still lives then. */
bool barod_await_end(pid_t pid, int timeout_ms);

/** Tell the process that listens at a Unix socket endpoint; 0 when nobody does or it is none. */
pid_t barod_listener(const char *endpoint);

/** Copy the last line of a log that is not empty; "" when there is none. */
void barod_last_line(const char *log_path, char *out, size_t out_bytes);

#endif
