/* SPDX-License-Identifier: Apache-2.0 */
#include "client/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "proto/wire.h"

enum { EXIT_USAGE = 2, MIN_W = 640, MIN_H = 400, MAX_SIDE = 8192 };

static const char HELP[] =
    "usage: baro-view [RUN] [options]\n"
    "\n"
    "Watch a training run: its scalars, its layers, every unit of its tensors, its alerts.\n"
    "RUN is an id or its beginning, a name, PROJECT/NAME or latest; without it the newest run\n"
    "is shown.\n"
    "\n"
    "  --page P          overview (default), tensor, network, alerts,\n"
    "                    why, layers or compare\n"
    "  --tensor NAME     show this tensor; NAME:ROLE where it has several roles\n"
    "  --stat S          of its units: mean, l2 (default), abs_max, frac_zero,\n"
    "                    n_nonfinite; of an update also: change\n"
    "  --unit N          choose this unit of the tensor\n"
    "  --at STEP         put the cursor on this step\n"
    "  --theme T         dark or light (default: as last time, else dark)\n"
    "  --scale K         device pixels in a logical one, 0.5 to 4 (default: the display's)\n"
    "  --size WxH        size in logical pixels (default: as last time, else 1440x900)\n"
    "  --motion M        full, or reduced: nothing moves by itself\n"
    "  --screenshot FILE write the page as a PNG, without a display, and exit\n"
    "  --endpoint E      where the daemon listens (default: BARO_ENDPOINT, else your own)\n"
    "  --key FILE        your key for tcp:// (default: BARO_KEY)\n"
    "  --insecure        go to tcp:// without a key\n"
    "  --dir D           data folder of the daemon to watch\n"
    "  --version         versions and fonts\n"
    "  --help            this text; press ? in the window for its keys\n";

enum {
    OPT_PAGE = 256,
    OPT_TENSOR,
    OPT_STAT,
    OPT_UNIT,
    OPT_AT,
    OPT_THEME,
    OPT_SCALE,
    OPT_SIZE,
    OPT_MOTION,
    OPT_SCREENSHOT,
    OPT_DUMP_FRAME,
    OPT_BENCH_FRAMES,
    OPT_BENCH_WINDOW,
    OPT_ENDPOINT,
    OPT_DIR,
    OPT_KEY,
    OPT_INSECURE,
    OPT_VERSION,
    OPT_HELP,
};

static const struct option OPTIONS[] = {
    {"page", required_argument, NULL, OPT_PAGE},
    {"tensor", required_argument, NULL, OPT_TENSOR},
    {"stat", required_argument, NULL, OPT_STAT},
    {"unit", required_argument, NULL, OPT_UNIT},
    {"at", required_argument, NULL, OPT_AT},
    {"theme", required_argument, NULL, OPT_THEME},
    {"scale", required_argument, NULL, OPT_SCALE},
    {"size", required_argument, NULL, OPT_SIZE},
    {"motion", required_argument, NULL, OPT_MOTION},
    {"screenshot", required_argument, NULL, OPT_SCREENSHOT},
    {"dump-frame", required_argument, NULL,
        OPT_DUMP_FRAME}, /* for tests: not in the help */
    {"bench-frames", required_argument, NULL, OPT_BENCH_FRAMES}, /* likewise */
    {"bench-window", required_argument, NULL, OPT_BENCH_WINDOW}, /* for baro bench view */
    {"endpoint", required_argument, NULL, OPT_ENDPOINT},
    {"dir", required_argument, NULL, OPT_DIR},
    {"key", required_argument, NULL, OPT_KEY},
    {"insecure", no_argument, NULL, OPT_INSECURE},
    {"version", no_argument, NULL, OPT_VERSION},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

static int refuse(const char *option, const char *value, const char *what)
{
    (void)fprintf(
        stderr, "baro-view: --%s: '%s' is not %s; see --help\n", option, value, what);
    return EXIT_USAGE;
}

static bool parse_size(const char *text, int *out_w, int *out_h)
{
    char *end = NULL;
    long w = strtol(text, &end, 10);
    if (end == text || *end != 'x') {
        return false;
    }
    const char *rest = end + 1;
    long h = strtol(rest, &end, 10);
    if (end == rest || *end != '\0' || w < MIN_W || h < MIN_H || w > MAX_SIDE ||
        h > MAX_SIDE) {
        return false;
    }
    *out_w = (int)w;
    *out_h = (int)h;
    return true;
}

static bool parse_step(const char *text, int64_t *out)
{
    char *end = NULL;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return end != text && *end == '\0' && errno == 0;
}

static int set_dir(const char *dir, struct options *out)
{
    char *path = realpath(dir, NULL);
    struct baro_err err = {0};
    int rc =
        wire_endpoint(path != NULL ? path : dir, out->endpoint, sizeof out->endpoint, &err);
    free(path);
    if (rc != 0) {
        (void)fprintf(stderr, "baro-view: --dir: %s\n", err.text);
        return EXIT_USAGE;
    }
    return -1;
}

/* One option; -1 to go on, else the exit status. */
static int set_option(int option, const char *value, struct options *out)
{
    char *end = NULL;
    switch (option) {
    case OPT_PAGE:
        out->page = view_page_parse(value);
        out->has_page = true;
        return out->page < VIEW_PAGE_COUNT
                   ? -1
                   : refuse("page", value,
                         "a page: overview, tensor, network, alerts, why, layers or compare");
    case OPT_TENSOR: out->tensor = value; return -1;
    case OPT_STAT: {
        int stat = reading_stat_parse(READING_UNITS, value);
        out->stat = stat >= 0 ? (enum unit_stat)stat : UNIT_L2;
        out->has_stat = true;
        return stat >= 0
                   ? -1
                   : refuse("stat", value,
                         "a statistic: mean, l2, abs_max, frac_zero, n_nonfinite, change");
    }
    case OPT_UNIT: {
        int64_t unit = -1;
        out->has_unit = parse_step(value, &unit) && unit >= 0;
        out->unit = unit;
        return out->has_unit ? -1 : refuse("unit", value, "the number of a unit");
    }
    case OPT_AT:
        out->has_at = parse_step(value, &out->at);
        return out->has_at ? -1 : refuse("at", value, "a step");
    case OPT_THEME:
        out->theme = theme_find(value);
        out->has_theme = true;
        return out->theme != NULL ? -1 : refuse("theme", value, "dark or light");
    case OPT_SCALE:
        out->scale = strtof(value, &end);
        return end != value && *end == '\0' && out->scale >= 0.5F && out->scale <= 4
                   ? -1
                   : refuse("scale", value, "a number from 0.5 to 4");
    case OPT_MOTION:
        out->motion = value;
        return strcmp(value, "full") == 0 || strcmp(value, "reduced") == 0
                   ? -1
                   : refuse("motion", value, "full or reduced");
    case OPT_SIZE:
        out->has_size = true;
        return parse_size(value, &out->w, &out->h)
                   ? -1
                   : refuse("size", value, "a size from 640x400 to 8192x8192");
    case OPT_SCREENSHOT: out->screenshot = value; return -1;
    case OPT_DUMP_FRAME: out->dump_frame = value; return -1;
    case OPT_BENCH_FRAMES:
        out->bench_frames = (int)strtol(value, &end, 10);
        return *end == '\0' && out->bench_frames > 0 && out->bench_frames <= 100000
                   ? -1
                   : refuse("bench-frames", value, "a number of frames");
    case OPT_BENCH_WINDOW:
        out->bench_window = (int)strtol(value, &end, 10);
        return *end == '\0' && out->bench_window > 0 && out->bench_window <= 600
                   ? -1
                   : refuse("bench-window", value, "a number of seconds");
    case OPT_ENDPOINT:
        (void)snprintf(out->endpoint, sizeof out->endpoint, "%s", value);
        return -1;
    case OPT_DIR: return set_dir(value, out);
    case OPT_KEY: return setenv("BARO_KEY", value, 1) == 0 ? -1 : EXIT_USAGE;
    case OPT_INSECURE: return setenv("BARO_INSECURE", "1", 1) == 0 ? -1 : EXIT_USAGE;
    case OPT_VERSION: {
        struct font *font = font_open(1, NULL);
        (void)printf("baro-view %s, protocol %d, fonts: %s\n", BAROGRAPH_VERSION,
            WIRE_VERSION, font != NULL ? font_names(font) : "none found");
        font_close(font);
        return 0;
    }
    case OPT_HELP: (void)fputs(HELP, stdout); return 0;
    default: return EXIT_USAGE;
    }
}

/* An option that does not exist gets the nearest one named. */
static int refuse_unknown(const char *word)
{
    const char *names[BARO_LEN(OPTIONS)];
    size_t n = 0;
    for (size_t i = 0; OPTIONS[i].name != NULL; i++) {
        bool is_hidden = OPTIONS[i].val == OPT_DUMP_FRAME ||
                         OPTIONS[i].val == OPT_BENCH_FRAMES ||
                         OPTIONS[i].val == OPT_BENCH_WINDOW;
        if (!is_hidden) {
            names[n++] = OPTIONS[i].name;
        }
    }
    const char *near =
        word[0] == '-' && word[1] == '-' ? baro_nearest(word + 2, names, n) : NULL;
    if (near != NULL) {
        (void)fprintf(
            stderr, "baro-view: no option '%s'; did you mean --%s?\n", word, near);
    } else {
        (void)fprintf(
            stderr, "baro-view: '%s' is no option, or lacks its value; see --help\n", word);
    }
    return EXIT_USAGE;
}

int options_parse(int argc, char **argv, struct options *out)
{
    *out = (struct options){.w = 1440, .h = 900, .theme = &theme_dark};
    opterr = 0;
    int option;
    while ((option = getopt_long(argc, argv, "h", OPTIONS, NULL)) != -1) {
        int rc = option == '?' ? refuse_unknown(argv[optind - 1])
                               : set_option(option == 'h' ? OPT_HELP : option, optarg, out);
        if (rc >= 0) {
            return rc;
        }
    }
    if (argc - optind > 1) {
        (void)fprintf(stderr, "baro-view: one run at a time, but '%s' and '%s' are given\n",
            argv[optind], argv[optind + 1]);
        return EXIT_USAGE;
    }
    out->run = optind < argc ? argv[optind] : NULL;
    return -1;
}

struct view *options_view(const struct options *options)
{
    struct view *view = view_create();
    view->theme = options->theme;
    view->wanted_run = options->run;
    view->wanted_tensor = options->tensor;
    if (options->has_stat) {
        view->stat = options->stat;
    }
    if (options->has_page) {
        view->page = options->page;
    } else if (options->tensor != NULL) {
        view->page = VIEW_TENSOR;
    }
    if (options->has_unit) {
        view->unit = options->unit;
    }
    if (options->has_at) {
        view->cursor = (double)options->at;
        view->cursor_is_kept = true;
    }
    return view;
}
