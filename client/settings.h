/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the window looked like last: a small text file under XDG_STATE_HOME, one "key value" a
 * line. Whatever in it is not understood is as if it were not there.
 */
#ifndef CLIENT_SETTINGS_H
#define CLIENT_SETTINGS_H

#include "client/options.h"

enum {
    SETTINGS_MAX_BYTES = 65536,
    SETTINGS_PINS_BYTES = 16384,
    SETTINGS_LINE_BYTES = 1024
};

/* Zero: nothing is known. */
struct settings {
    bool has_place, has_size, is_maximized, has_page, has_motion;
    int x, y;                  /* of the window */
    int w, h;                  /* logical pixels, as in struct options */
    float scale;               /* chosen by the person; 0: the display's */
    const struct theme *theme; /* NULL: not known */
    enum view_page page;
    double smoothing;               /* as in struct view */
    bool is_still;                  /* has_motion: nothing moves by itself */
    char pins[SETTINGS_PINS_BYTES]; /* names of pinned scalars, each ended by a line feed */
};

/** Read settings from a text; never fails. */
void settings_parse(const char *text, struct settings *out);

/** Write settings as a text; returns how many bytes it has, as snprintf does. */
int settings_format(const struct settings *settings, char *out, size_t out_bytes);

/** Load the settings of this user; empty ones when there are none. */
void settings_load(struct settings *out);

/** Keep the settings of this user, whole or not at all; false when that is not possible. */
bool settings_save(const struct settings *settings);

/** Add a pinned scalar; one whose name is too long or has a line feed is left out. */
void settings_add_pin(struct settings *settings, const char *name);

/** Fill in what the command line did not say. */
void settings_apply(const struct settings *settings, struct options *options);

/**
 * Tell whether this person wants nothing to move by itself: by the option, else BARO_MOTION, else
 * the settings, else what the desktop says (animations of GTK or KDE that are switched off).
 */
bool settings_is_still(const struct settings *settings, const struct options *options);

#endif
