/* SPDX-License-Identifier: Apache-2.0 */
/* Opening the ROUTER socket that everybody talks to. */
#ifndef BAROD_SOCKETS_H
#define BAROD_SOCKETS_H

#include "daemon/access.h"
#include "daemon/options.h"

/**
 * Open the ROUTER socket and bind it to all endpoints of the options.
 *
 * Sockets in the file system are made so that only their owner can open them. The store must be
 * open already: it makes sure that no other daemon serves this folder, so a socket file that is
 * there was left behind and is replaced.
 *
 * access   guards tcp:// with keys, unless the options allow it without
 * returns  0; BARO_EACCES, BARO_EBUSY, BARO_EINVAL or BARO_EIO with the sentence
 */
int sockets_open(void *context, const struct options *options, const struct access *access,
    void **out_socket, struct baro_err *err);

/** Close the socket and remove the socket files. */
void sockets_close(void *socket, const struct options *options);

#endif
