/* SPDX-License-Identifier: Apache-2.0 */
/* Where things lie: the data folder, the rings, and what kind of file system that is. */
#ifndef BARO_PATHS_H
#define BARO_PATHS_H

#include <stdbool.h>

#include "lib/base/baro_types.h"

enum { BARO_PATH_BYTES = 4096 };

/**
 * Give the data folder: BARO_DIR, else XDG_DATA_HOME/barograph, else ~/.local/share/barograph.
 *
 * out      BARO_PATH_BYTES; absolute
 * returns  0; BARO_ENOENT when neither is set and there is no home; BARO_ELIMIT when too long
 */
int baro_data_dir(char *out, struct baro_err *err);

/**
 * Give the default folder of rings: /dev/shm/barograph-UID when tmpfs is there, else rings/ in
 * the data folder. BARO_RING_DIR wins.
 */
int baro_ring_dir(char *out, struct baro_err *err);

/**
 * Make a folder and its parents, mode 0700, and check that it is the caller's own.
 *
 * returns  0; BARO_EACCES when it belongs to someone else or cannot be made; BARO_EIO
 */
int baro_make_dir(const char *path, struct baro_err *err);

/**
 * Refuse network file systems by name (NFS, CIFS, Lustre, ...), where mmap and locks are unsafe.
 *
 * returns  0; BARO_EUNSUPPORTED with a sentence that names the file system and what to do
 */
int baro_check_local_fs(const char *path, struct baro_err *err);

/** Read this machine's boot id; "" when there is none. out: 40 bytes. */
void baro_boot_id(char *out);

/** Give the start time of a process in clock ticks; 0 when it does not exist (any more). */
uint64_t baro_process_start(int pid);

#endif
