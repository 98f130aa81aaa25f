/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of barod, checked and completed with defaults. */
#ifndef BAROD_OPTIONS_H
#define BAROD_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/notify_options.h"
#include "lib/base/log.h"
#include "lib/base/paths.h"

enum { OPTIONS_MAX_ENDPOINTS = 8, OPTIONS_ENDPOINT_BYTES = BARO_PATH_BYTES + 32 };

struct rule_book;

struct options {
    char dir[BARO_PATH_BYTES]; /* absolute; exists after options_prepare */
    char *endpoints[OPTIONS_MAX_ENDPOINTS];
    unsigned n_endpoints;
    uint64_t quota_bytes;         /* 0: no limit but the disk */
    char *rules_path;             /* of the rules file; NULL: none */
    struct rule_book *rules;      /* what judges readings; set by options_complete */
    struct notify_options notify; /* who is told of incidents */
    struct notify_options given;  /* what the command line says of that */
    bool is_rules_named;          /* rules_path is of the command line */
    bool is_exact;                /* keep all bits of unit statistics and times */
    bool is_insecure;
    bool is_check_only;
    enum baro_log_level log_level;
};

/**
 * Parse the command line; ends the process with 2 and one sentence when it is wrong, and with 0
 * after --help and --version.
 */
void options_parse(struct options *out_options, int argc, char **argv);

/**
 * Complete with defaults, and check what can be checked without opening anything.
 *
 * returns  0; a negative code with the sentence
 */
int options_complete(struct options *options, struct baro_err *err);

/**
 * Read rules and notify.conf again.
 *
 * out_fresh  rules, rules_path and notify, the caller's; release with options_finish
 * returns    0; a negative code with the sentence, which names file and line
 */
int options_read_again(
    const struct options *options, struct options *out_fresh, struct baro_err *err);

/** Tell whether an endpoint is on the network. */
bool options_is_tcp(const char *endpoint);

/** Tell whether clients need keys: something on the network is listened on, not insecurely. */
bool options_has_keys(const struct options *options);

/** Release endpoints and rules. */
void options_finish(struct options *options);

#endif
