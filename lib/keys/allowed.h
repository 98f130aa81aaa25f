/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of the keys that a daemon admits, DIR/allowed-keys: a line each with the public key,
 * the roles and a name. barod reads it, baro key edits it; people may, too.
 */
#ifndef BARO_ALLOWED_H
#define BARO_ALLOWED_H

#include "lib/keys/keys.h"

/* What a session may do; a set of them is or'ed. */
enum keys_role {
    KEYS_PUSH = 1, /* send readings */
    KEYS_VIEW = 2, /* ask and subscribe */
    KEYS_ADMIN = 4 /* everything */
};

enum { ALLOWED_MAX_KEYS = 4096, ALLOWED_ROLES_BYTES = 32 };

/* One admitted key. */
struct allowed_key {
    uint8_t public_key[KEYS_BYTES];
    unsigned roles;
    char name[KEYS_NAME_BYTES];
};

/* The list as read; keys are owned by it. Zeroed: empty. */
struct allowed {
    struct allowed_key *keys; /* sorted by public_key */
    size_t n_keys;
    unsigned n_bad; /* lines that say nothing that can be understood */
};

/** Give the path of the list of a data folder. out: BARO_PATH_BYTES. */
int allowed_path(const char *dir, char *out, struct baro_err *err);

/**
 * Read the list; no file is an empty list.
 *
 * out      allowed_finish it; also filled when lines are bad: those admit nobody
 * returns  0; BARO_ECORRUPT with the first bad line; BARO_EACCES when others may write it;
 *          BARO_ELIMIT; BARO_EIO
 */
int allowed_read(const char *path, struct allowed *out, struct baro_err *err);

/** Free what a list owns; accepts a zeroed one. */
void allowed_finish(struct allowed *allowed);

/** Find a key; NULL when it is not listed. */
const struct allowed_key *allowed_find(
    const struct allowed *allowed, const uint8_t public_key[KEYS_BYTES]);

/** Read roles, one or several with commas; 0 when a word is none. */
unsigned allowed_parse_roles(const char *text);

/** Write roles as words. out: ALLOWED_ROLES_BYTES. Returns out. */
char *allowed_format_roles(unsigned roles, char *out);

/**
 * Add a key at the end of the list, or give a listed one its new roles and name. All else in the
 * file stays as it is; the file is replaced at once or not at all.
 *
 * returns  0; codes of allowed_read; BARO_EFULL, BARO_EIO
 */
int allowed_add(const char *path, const struct allowed_key *key, struct baro_err *err);

/**
 * Take keys off the list, by name or by public key.
 *
 * which    64 hexadecimal digits, or a name
 * returns  how many were taken off; BARO_ENOENT when none is called so; as allowed_add
 */
int allowed_remove(const char *path, const char *which, struct baro_err *err);

#endif
