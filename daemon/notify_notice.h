/* SPDX-License-Identifier: Apache-2.0 */
/* What is told of an incident, in the forms that the ways of telling take. Pure but for memory. */
#ifndef BAROD_NOTIFY_NOTICE_H
#define BAROD_NOTIFY_NOTICE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "proto/barograph.pb-c.h"

/* One notification; shared by the ways, freed by the last of them. */
struct notice {
    _Atomic unsigned n_users;
    bool is_test; /* nothing has happened */
    bool is_rise; /* it was told before, and became an alarm */
    char *run_id;
    char *project;
    char *name;
    char *host;
    Baro__Incident *incident; /* its own copy */
};

/**
 * Make a notification with one user.
 *
 * description, incident  copied
 */
struct notice *notice_create(
    const Baro__RunDescription *description, const Baro__Incident *incident);

/** Make the notification of a test with one user. */
struct notice *notice_create_test(void);

/** Add a user; returns notice. */
struct notice *notice_keep(struct notice *notice);

/** Take a user away, and free it with the last; accepts NULL. */
void notice_release(struct notice *notice);

/**
 * Give it in one line, safe to print: "alarm: HEADLINE (PROJECT/NAME, step 12), and 7 more".
 *
 * n_more   others that were held back before
 * returns  out
 */
char *notice_line(
    const struct notice *notice, uint64_t n_more, char *out, size_t out_bytes);

/** Give it as a JSON object, for webhooks and commands. The caller frees it. */
char *notice_json(const struct notice *notice, uint64_t n_more);

/** Give it as a mail with headers. The caller frees it. */
char *notice_mail(const struct notice *notice, uint64_t n_more, const char *address);

/** Give its text of a few lines, for people. The caller frees it. */
char *notice_text(const struct notice *notice, uint64_t n_more);

/**
 * Give the environment of a command: the daemon's own with BARO_RUN and others, all without
 * control characters. The caller frees it by notice_free_environment().
 */
char **notice_environment(const struct notice *notice, uint64_t n_more);

/** Free an environment. */
void notice_free_environment(char **environment);

#endif
