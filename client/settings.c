/* SPDX-License-Identifier: Apache-2.0 */
#include "client/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/mem.h"

enum {
    MIN_W = 640,
    MIN_H = 400,
    MAX_SIDE = 8192,
    MAX_PLACE = 65536 /* pixels from the first screen's corner */
};

/* ---- the file ---- */

/* A path under an XDG folder: that of the variable, else one in the home folder; false: none. */
static bool xdg_path(
    const char *variable, const char *in_home, const char *rest, char out[BARO_PATH_BYTES])
{
    const char *folder = getenv(variable);
    const char *home = getenv("HOME");
    int n = -1;
    if (folder != NULL && folder[0] == '/') {
        n = snprintf(out, BARO_PATH_BYTES, "%s/%s", folder, rest);
    } else if (home != NULL && home[0] == '/') {
        n = snprintf(out, BARO_PATH_BYTES, "%s/%s/%s", home, in_home, rest);
    }
    return n > 0 && n < BARO_PATH_BYTES;
}

static bool state_path(const char *rest, char out[BARO_PATH_BYTES])
{
    return xdg_path("XDG_STATE_HOME", ".local/state", rest, out);
}

/* The beginning of a file as a text, the caller's to free; NULL: there is none. */
static char *read_text(const char *path)
{
    baro_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        return NULL;
    }
    char *text = baro_xcalloc(SETTINGS_MAX_BYTES + 1, 1);
    size_t n = 0;
    ssize_t got = 1;
    while (got > 0 && n < SETTINGS_MAX_BYTES) {
        got = read(fd, text + n, SETTINGS_MAX_BYTES - n);
        n += got > 0 ? (size_t)got : 0;
    }
    for (size_t i = 0; i < n; i++) {
        text[i] = text[i] == '\0' ? ' ' : text[i]; /* a zero byte does not end it */
    }
    return text;
}

/* ---- reading ---- */

/* One whole number within bounds; false: it is none. */
static bool parse_int(const char *text, long least, long most, int *out)
{
    char *end = NULL;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || value < least || value > most) {
        return false;
    }
    *out = (int)value;
    return true;
}

/* Two numbers with a space between them. */
static bool parse_pair(const char *text, const long bounds[4], int *out_a, int *out_b)
{
    char first[16];
    const char *space = strchr(text, ' ');
    int a = 0;
    int b = 0;
    size_t n = space != NULL ? (size_t)(space - text) : sizeof first;
    if (n >= sizeof first) {
        return false;
    }
    memcpy(first, text, n);
    first[n] = '\0';
    if (!parse_int(first, bounds[0], bounds[1], &a) ||
        !parse_int(space + 1, bounds[2], bounds[3], &b)) {
        return false;
    }
    *out_a = a;
    *out_b = b;
    return true;
}

static bool parse_double(const char *text, double least, double most, double *out)
{
    char *end = NULL;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= least && value <= most)) {
        return false;
    }
    *out = value;
    return true;
}

void settings_add_pin(struct settings *settings, const char *name)
{
    size_t used = strlen(settings->pins);
    size_t n = strlen(name);
    if (n > 0 && n < SETTINGS_LINE_BYTES - 8 && strchr(name, '\n') == NULL &&
        used + n + 2 <= sizeof settings->pins) {
        (void)snprintf(settings->pins + used, sizeof settings->pins - used, "%s\n", name);
    }
}

static void take(struct settings *out, const char *key, const char *value)
{
    static const long places[] = {-MAX_PLACE, MAX_PLACE, -MAX_PLACE, MAX_PLACE};
    static const long sizes[] = {MIN_W, MAX_SIDE, MIN_H, MAX_SIDE};
    double number = 0;
    if (strcmp(key, "place") == 0) {
        out->has_place = parse_pair(value, places, &out->x, &out->y) || out->has_place;
    } else if (strcmp(key, "size") == 0) {
        out->has_size = parse_pair(value, sizes, &out->w, &out->h) || out->has_size;
    } else if (strcmp(key, "maximized") == 0) {
        out->is_maximized = strcmp(value, "yes") == 0;
    } else if (strcmp(key, "scale") == 0 && parse_double(value, 0.5, 4, &number)) {
        out->scale = (float)number;
    } else if (strcmp(key, "theme") == 0) {
        const struct theme *theme = theme_find(value);
        out->theme = theme != NULL ? theme : out->theme;
    } else if (strcmp(key, "page") == 0 && view_page_parse(value) < VIEW_PAGE_COUNT) {
        out->page = view_page_parse(value);
        out->has_page = true;
    } else if (strcmp(key, "smoothing") == 0 && parse_double(value, 0, 1e6, &number)) {
        out->smoothing = number;
    } else if (strcmp(key, "pin") == 0) {
        settings_add_pin(out, value);
    } else if (strcmp(key, "motion") == 0) {
        bool is_still = strcmp(value, "reduced") == 0;
        out->has_motion = is_still || strcmp(value, "full") == 0 || out->has_motion;
        out->is_still = is_still;
    }
}

void settings_parse(const char *text, struct settings *out)
{
    *out = (struct settings){0};
    while (*text != '\0') {
        char line[SETTINGS_LINE_BYTES];
        size_t n = strcspn(text, "\n");
        if (n < sizeof line) {
            memcpy(line, text, n);
            line[n] = '\0';
            char *space = strchr(line, ' ');
            if (space != NULL) {
                *space = '\0';
                take(out, line, space + 1);
            }
        }
        text += n + (text[n] == '\n' ? 1 : 0);
    }
}

void settings_load(struct settings *out)
{
    char path[BARO_PATH_BYTES];
    *out = (struct settings){0};
    baro_autofree char *text = state_path("barograph/view", path) ? read_text(path) : NULL;
    if (text != NULL) {
        settings_parse(text, out);
    }
}

/* ---- writing ---- */

int settings_format(const struct settings *settings, char *out, size_t out_bytes)
{
    char place[64] = "";
    char size[64] = "";
    char scale[64] = "";
    char page[64] = "";
    char theme[64] = "";
    if (settings->has_place) {
        (void)snprintf(place, sizeof place, "place %d %d\n", settings->x, settings->y);
    }
    if (settings->has_size) {
        (void)snprintf(size, sizeof size, "size %d %d\n", settings->w, settings->h);
    }
    if (settings->scale > 0) {
        (void)snprintf(scale, sizeof scale, "scale %.4g\n", (double)settings->scale);
    }
    if (settings->has_page) {
        (void)snprintf(page, sizeof page, "page %s\n", view_page_name(settings->page));
    }
    if (settings->theme != NULL) {
        (void)snprintf(
            theme, sizeof theme, "theme %s\n", settings->theme->dark ? "dark" : "light");
    }
    size_t used = (size_t)snprintf(out, out_bytes,
        "# How baro-view looked last; may be changed or removed.\n"
        "%s%smaximized %s\n%s%s%ssmoothing %g\n%s",
        place, size, settings->is_maximized ? "yes" : "no", scale, theme, page,
        settings->smoothing,
        !settings->has_motion ? ""
        : settings->is_still  ? "motion reduced\n"
                              : "motion full\n");
    for (const char *pin = settings->pins; *pin != '\0';) {
        size_t n = strcspn(pin, "\n");
        size_t at = used < out_bytes ? used : out_bytes;
        used += (size_t)snprintf(out + at, out_bytes - at, "pin %.*s\n", (int)n, pin);
        pin += n + (pin[n] == '\n' ? 1 : 0);
    }
    return (int)used;
}

bool settings_save(const struct settings *settings)
{
    char folder[BARO_PATH_BYTES];
    char path[BARO_PATH_BYTES];
    char new_path[BARO_PATH_BYTES];
    char text[2 * SETTINGS_PINS_BYTES];
    if (!state_path("barograph", folder) || !state_path("barograph/view", path) ||
        !state_path("barograph/view.new", new_path) || baro_make_dir(folder, NULL) != 0) {
        return false;
    }
    int n = settings_format(settings, text, sizeof text);
    if (n < 0 || (size_t)n >= sizeof text) {
        return false;
    }
    FILE *file = fopen(new_path, "we");
    if (file == NULL) {
        return false;
    }
    bool is_written = fwrite(text, 1, (size_t)n, file) == (size_t)n;
    is_written = fclose(file) == 0 && is_written;
    if (!is_written || rename(new_path, path) != 0) {
        (void)unlink(new_path);
        return false;
    }
    return true;
}

/* ---- using them ---- */

void settings_apply(const struct settings *settings, struct options *options)
{
    if (!options->has_size && settings->has_size) {
        options->w = settings->w;
        options->h = settings->h;
    }
    if (!options->has_theme && settings->theme != NULL) {
        options->theme = settings->theme;
    }
    if (options->scale <= 0) {
        options->scale = settings->scale;
    }
    if (!options->has_page && options->tensor == NULL && settings->has_page) {
        options->page = settings->page;
        options->has_page = true;
    }
}

/* Whether a file of settings has a line that begins so, behind blanks. */
static bool has_line(const char *path, const char *const *beginnings, size_t n)
{
    baro_autofree char *text = read_text(path);
    for (const char *line = text; line != NULL && *line != '\0';) {
        line += strspn(line, " \t");
        for (size_t i = 0; i < n; i++) {
            if (strncmp(line, beginnings[i], strlen(beginnings[i])) == 0) {
                return true;
            }
        }
        line = strchr(line, '\n');
        line = line != NULL ? line + 1 : NULL;
    }
    return false;
}

static bool desktop_is_still(void)
{
    static const char *const files[] = {
        "gtk-4.0/settings.ini", "gtk-3.0/settings.ini", "kdeglobals"};
    static const char *const lines[] = {"gtk-enable-animations=0",
        "gtk-enable-animations=false", "gtk-enable-animations = 0",
        "gtk-enable-animations = false", "AnimationDurationFactor=0\n",
        "AnimationDurationFactor=0.0\n"};
    char path[BARO_PATH_BYTES];
    for (size_t i = 0; i < BARO_LEN(files); i++) {
        if (xdg_path("XDG_CONFIG_HOME", ".config", files[i], path) &&
            has_line(path, lines, BARO_LEN(lines))) {
            return true;
        }
    }
    return false;
}

bool settings_is_still(const struct settings *settings, const struct options *options)
{
    const char *said = options->motion != NULL ? options->motion : getenv("BARO_MOTION");
    if (said != NULL && (strcmp(said, "reduced") == 0 || strcmp(said, "full") == 0)) {
        return strcmp(said, "reduced") == 0;
    }
    return settings->has_motion ? settings->is_still : desktop_is_still();
}
