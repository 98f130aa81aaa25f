/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CURVE key pairs and the files they lie in (baro-key(5)): a client's, with the public key of its
 * daemon, and a daemon's own. Used by barod, baro, and whoever connects to tcp://.
 */
#ifndef BARO_KEYS_H
#define BARO_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/baro_types.h"

enum {
    KEYS_BYTES = 32,
    KEYS_HEX_BYTES = 2 * KEYS_BYTES + 1, /* as text, with its end */
    KEYS_NAME_BYTES = 64,                /* of a key's name, with its end */
    KEYS_MAX_FILE_BYTES = 1 << 20
};

/* A key pair, and of a client's also the public key of the daemon it is for. */
struct keys_pair {
    char name[KEYS_NAME_BYTES];
    uint8_t public_key[KEYS_BYTES];
    uint8_t secret_key[KEYS_BYTES];
    bool has_server;
    uint8_t server_key[KEYS_BYTES];
};

/** Make a new pair; name is borrowed. Returns 0, BARO_EUNSUPPORTED without CURVE in ZeroMQ. */
int keys_make(struct keys_pair *out_pair, const char *name, struct baro_err *err);

/** Tell whether a name will do for a key: 1 to 63 letters, digits and . _ - @ + characters. */
bool keys_is_name(const char *name);

/** Read a key written as 64 hexadecimal digits; false for anything else. */
bool keys_parse(const char *text, uint8_t out_key[KEYS_BYTES]);

/** Write a key as 64 hexadecimal digits. Returns out. */
char *keys_format(const uint8_t key[KEYS_BYTES], char out[KEYS_HEX_BYTES]);

/**
 * Write a pair to a new file that only its owner can read.
 *
 * returns  0; BARO_EEXIST when there is a file already; BARO_EACCES, BARO_EFULL or BARO_EIO
 */
int keys_write(const char *path, const struct keys_pair *pair, struct baro_err *err);

/**
 * Read a pair from its file.
 *
 * returns  0; BARO_ENOENT; BARO_EACCES, also when others may read it; BARO_ECORRUPT with the line
 */
int keys_read(const char *path, struct keys_pair *out_pair, struct baro_err *err);

/**
 * Read a daemon's own pair from its data folder.
 *
 * may_make  true: make it, and the folder, when it is not there
 * returns   as keys_read and keys_write
 */
int keys_read_server(
    const char *dir, bool may_make, struct keys_pair *out_pair, struct baro_err *err);

/** Overwrite a pair in memory. */
void keys_forget(struct keys_pair *pair);

#endif
