/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of baro-view. */
#ifndef CLIENT_OPTIONS_H
#define CLIENT_OPTIONS_H

#include "client/view/view.h"
#include "lib/base/paths.h"

/* As given; zero or NULL: not given. */
struct options {
    const char *run, *tensor, *screenshot, *dump_frame;
    char endpoint[BARO_PATH_BYTES + 16]; /* "": the default */
    enum view_page page;
    enum unit_stat stat;
    const struct theme *theme;
    int w, h; /* logical pixels */
    float scale;
    bool has_stat, has_page, has_at, has_unit, has_size, has_theme;
    const char *motion; /* "full" or "reduced"; NULL: not given */
    int64_t at, unit;
    int bench_frames; /* 0: none */
    int bench_window; /* seconds; 0: none */
};

/**
 * Read the command line; prints help, version, or what is wrong.
 *
 * returns  -1 to go on, else the exit status
 */
int options_parse(int argc, char **argv, struct options *out);

/** Make a view as the options say. */
struct view *options_view(const struct options *options);

#endif
