/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ways in which incidents are told to people: of the command line and of notify.conf in the data
 * folder. Only these say what is run and where to; what comes over the wire never does.
 */
#ifndef BAROD_NOTIFY_OPTIONS_H
#define BAROD_NOTIFY_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/baro_types.h"

enum notify_kind {
    NOTIFY_COMMAND = 0,
    NOTIFY_URL,
    NOTIFY_DESKTOP,
    NOTIFY_MAIL,
    NOTIFY_KIND_COUNT
};

enum { NOTIFY_MAX_TARGETS = 8, NOTIFY_MAX_WORDS = 64, NOTIFY_MAX_TARGET_BYTES = 4096 };

/* One way. */
struct notify_target {
    enum notify_kind kind;
    char *text;   /* URL, address, or command as it was written; NULL: desktop */
    char **words; /* of the command, NULL behind the last; else NULL */
};

/* Zeroed: nobody is told. */
struct notify_options {
    struct notify_target targets[NOTIFY_MAX_TARGETS];
    size_t n_targets;
    uint32_t level;     /* least enum baro_level; 0: BARO_WATCH */
    uint32_t rate;      /* notifications a period and way; 0: NOTIFY_RATE */
    uint32_t period_s;  /* 0: an hour */
    uint32_t timeout_s; /* of a command, and of each try of a URL; 0: NOTIFY_TIMEOUT_S */
};

enum { NOTIFY_RATE = 20, NOTIFY_PERIOD_S = 3600, NOTIFY_TIMEOUT_S = 10 };

/**
 * Set one option.
 *
 * key      "command", "url", "mail", "desktop", "level", "rate", "period", "timeout"
 * is_file  of a file: the command line wins where it said something already
 * returns  0; BARO_EINVAL or BARO_ELIMIT with the sentence; BARO_ENOENT for an unknown key
 */
int notify_options_set(struct notify_options *options, const char *key, const char *value,
    bool is_file, struct baro_err *err);

/**
 * Read notify.conf: lines of "key = value", and of comments behind '#'.
 *
 * returns  0, also when there is no such file; else the sentence names file and line
 */
int notify_options_read(
    struct notify_options *options, const char *path, struct baro_err *err);

/** Copy a way; the caller gives it to notify_target_finish. */
struct notify_target notify_target_copy(const struct notify_target *target);

/** Copy all; out is given to notify_options_finish. */
void notify_options_copy(struct notify_options *out, const struct notify_options *from);

/** Tell whether two say the same. */
bool notify_options_equal(const struct notify_options *a, const struct notify_options *b);

/** Release a way. */
void notify_target_finish(struct notify_target *target);

/** Release everything. */
void notify_options_finish(struct notify_options *options);

/** Name a way: "command", "url", "desktop", "mail". */
const char *notify_kind_name(enum notify_kind kind);

/** Tell whether a program can be started: a path that may be executed, or a name in PATH. */
bool notify_has_program(const char *name);

#endif
