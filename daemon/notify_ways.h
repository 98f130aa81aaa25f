/* SPDX-License-Identifier: Apache-2.0 */
/* One try to tell one thing in one way. Each waits; so each way has a thread of its own. */
#ifndef BAROD_NOTIFY_WAYS_H
#define BAROD_NOTIFY_WAYS_H

#include "daemon/notify_notice.h"
#include "daemon/notify_options.h"

/* What a try knows. */
struct notify_try {
    const struct notify_target *target;
    uint32_t timeout_s;
    _Atomic bool *is_over; /* set from outside: come back at once */
    void *curl;            /* CURLM *, of a URL: it keeps the connection */
};

/**
 * Run a program without a shell, in a process group of its own, which is killed after the time
 * limit. Its output goes to the log, at most 2 KiB of it.
 *
 * words        program and arguments, NULL behind the last; environment likewise
 * input        goes to its standard input
 * returns      0; BARO_ENOENT when there is no such program; BARO_ETIMEOUT; BARO_EIO for an exit
 *              status that is not 0
 */
int notify_run(const struct notify_try *try, char *const *words, char *const *environment,
    const char *input, struct baro_err *err);

/**
 * Post to a URL.
 *
 * returns  0; BARO_EBUSY for what may go better another time; BARO_EIO for what will not
 */
int notify_post(const struct notify_try *try, const char *json, struct baro_err *err);

/**
 * Tell one thing.
 *
 * n_more   others that were held back before
 * returns  codes of notify_run and notify_post
 */
int notify_tell(const struct notify_try *try, const struct notice *notice, uint64_t n_more,
    struct baro_err *err);

/** Say what a way is called in the log: without what a URL has behind its host. */
char *notify_describe(const struct notify_target *target, char *out, size_t out_bytes);

#endif
