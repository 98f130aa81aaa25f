/* SPDX-License-Identifier: Apache-2.0 */
#include <malloc.h>
#include <stdio.h>

#include "daemon/options.h"
#include "daemon/server.h"
#include "lib/base/err.h"

enum { KEPT_BYTES = 16 << 20, MAP_BYTES = 4 << 20, MAX_ARENAS = 4 };

/*
 * Answers and commits take and give back the same few hundred KiB again and again. By itself the
 * allocator returns them to the system each time, and each page that comes back costs a fault:
 * more than half of an answer's time. So each arena keeps some free memory, of which there are few.
 */
static void set_allocator(void)
{
    (void)mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
    (void)mallopt(M_MMAP_THRESHOLD, MAP_BYTES);
    (void)mallopt(M_ARENA_MAX, MAX_ARENAS);
}

/* Exit codes: 0 an orderly end; 2 usage or configuration; 1 anything else. */
int main(int argc, char **argv)
{
    struct options options;
    struct baro_err err = {0};
    set_allocator();
    options_parse(&options, argc, argv);
    baro_log_set_level(options.log_level);
    if (options_complete(&options, &err) != 0) {
        (void)fprintf(stderr, "barod: %s\n", err.text);
        options_finish(&options);
        return 2;
    }
    if (options.is_check_only) {
        (void)printf("barod: the options are right; data in '%s', listening on %s%s\n",
            options.dir, options.endpoints[0], options.n_endpoints > 1 ? " and more" : "");
        options_finish(&options);
        return 0;
    }
    int rc = server_run(&options, &err);
    if (rc != 0) {
        (void)fprintf(stderr, "barod: %s\n", err.text);
    }
    options_finish(&options);
    return rc == 0 ? 0 : 1;
}
