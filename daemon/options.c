/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/options.h"

#include <argp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/alarm/rule_file.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "lib/keys/allowed.h"
#include "proto/wire.h"

#define LOG_MODULE "options"

enum {
    KEY_INSECURE = 256,
    KEY_EXACT,
    KEY_RULES,
    KEY_CHECK,
    KEY_NOTIFY_COMMAND,
    KEY_NOTIFY_URL,
    KEY_NOTIFY_MAIL,
    KEY_NOTIFY_DESKTOP,
    KEY_NOTIFY_LEVEL,
    KEY_NOTIFY_RATE,
    KEY_NOTIFY_TIMEOUT,
    KEY_LOG_LEVEL,
    KEY_HELP,
    KEY_USAGE
};

static const struct argp_option rows[] = {
    {"dir", 'd', "DIR", 0,
        "Keep all data in DIR (default: BARO_DIR, else ~/.local/share/barograph)", 0},
    {"listen", 'l', "ENDPOINT", 0,
        "Listen on ENDPOINT, ipc://PATH or tcp://HOST:PORT; may be given several times "
        "(a socket in DIR that only you can open is always there unless another ipc:// is named; "
        "tcp:// admits the keys that 'baro key allow' listed)",
        0},
    {"quota", 'q', "SIZE", 0,
        "Never let the data grow past SIZE, a number with K, M, G or T (default: no limit); at "
        "it the oldest readings give way to summaries of them",
        0},
    {"exact", KEY_EXACT, NULL, 0,
        "Keep every bit of unit statistics and wall times, in about twice the room (default: "
        "unit statistics to 1 part in 8192)",
        0},
    {"rules", KEY_RULES, "FILE", 0,
        "Switch, tune and add rules by FILE, see baro-rules(5) (default: rules.conf in DIR, if "
        "it is there)",
        0},
    {"notify-command", KEY_NOTIFY_COMMAND, "'PROGRAM ARGS'", 0,
        "Run PROGRAM when an incident opens, without a shell; it is told by its environment "
        "and by JSON on standard input",
        0},
    {"notify-url", KEY_NOTIFY_URL, "URL", 0,
        "Post JSON to URL when an incident opens (better in notify.conf in DIR: the command "
        "line can be seen by others)",
        0},
    {"notify-mail", KEY_NOTIFY_MAIL, "ADDRESS", 0,
        "Send mail by sendmail when an incident opens", 0},
    {"notify-desktop", KEY_NOTIFY_DESKTOP, NULL, 0,
        "Show a notification by notify-send when an incident opens", 0},
    {"notify-level", KEY_NOTIFY_LEVEL, "LEVEL", 0,
        "Tell of incidents of at least this level, watch or alarm (default: watch)", 0},
    {"notify-rate", KEY_NOTIFY_RATE, "N", 0,
        "Tell of at most N an hour in each way (default: 20); others are held back and "
        "counted",
        0},
    {"notify-timeout", KEY_NOTIFY_TIMEOUT, "SECONDS", 0,
        "Give a command, and each try of a URL, so long (default: 10)", 0},
    {"insecure", KEY_INSECURE, NULL, 0,
        "Serve tcp:// without keys: anyone who reaches it can read and write everything",
        0},
    {"log-level", KEY_LOG_LEVEL, "LEVEL", 0, "error, warn, info or debug (default: info)",
        0},
    {"check-config", KEY_CHECK, NULL, 0, "Check the options and end", 0},
    {"help", KEY_HELP, NULL, 0, "Show this and end", -1},
    {"version", 'V', NULL, 0, "Show the version and end", -1},
    {0},
};

/* One sentence, then the hint; never the whole help. */
__attribute__((noreturn, format(printf, 1, 2))) static void usage_error(
    const char *format, ...)
{
    char sentence[512];
    va_list args;
    va_start(args, format);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): va_start is right above */
    (void)vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    (void)fprintf(stderr, "barod: %s; see 'barod --help'\n", sentence);
    exit(2);
}

static void add_endpoint(struct options *options, const char *endpoint)
{
    if (options->n_endpoints >= OPTIONS_MAX_ENDPOINTS) {
        usage_error("at most %d endpoints can be listened on", OPTIONS_MAX_ENDPOINTS);
    }
    if (strlen(endpoint) >= OPTIONS_ENDPOINT_BYTES) {
        usage_error("the endpoint is too long");
    }
    options->endpoints[options->n_endpoints++] = baro_xstrdup(endpoint);
}

static void set_dir(struct options *options, const char *dir)
{
    char here[BARO_PATH_BYTES] = "";
    if (dir[0] != '/' && getcwd(here, sizeof here - 1) == NULL) {
        usage_error("the current folder cannot be told; give --dir from the root");
    }
    int n = dir[0] == '/' ? snprintf(options->dir, sizeof options->dir, "%s", dir)
                          : snprintf(options->dir, sizeof options->dir, "%s/%s", here, dir);
    if (dir[0] == '\0' || n < 0 || (size_t)n >= sizeof options->dir) {
        usage_error("--dir: '%.100s' is no usable path", dir);
    }
}

static void set_log_level(struct options *options, const char *name)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    if (baro_log_level_parse(name, &options->log_level)) {
        return;
    }
    const char *nearest = baro_nearest(name, names, BARO_LEN(names));
    usage_error("--log-level: '%.40s' is none of error, warn, info, debug%s%s%s", name,
        nearest != NULL ? "; did you mean '" : "", nearest != NULL ? nearest : "",
        nearest != NULL ? "'?" : "");
}

static void set_notify(struct options *options, const char *key, const char *value)
{
    struct baro_err err = {0};
    if (notify_options_set(&options->notify, key, value, false, &err) != 0) {
        usage_error("--notify-%s: %s", key, err.text);
    }
}

static error_t on_option(int key, char *arg, struct argp_state *state)
{
    struct options *options = state->input;
    switch (key) {
    case 'd': set_dir(options, arg); break;
    case 'l': add_endpoint(options, arg); break;
    case 'q':
        if (!baro_parse_size(arg, &options->quota_bytes) || options->quota_bytes == 0) {
            usage_error(
                "--quota: '%.40s' is not a size; use a number with K, M, G or T", arg);
        }
        break;
    case KEY_EXACT: options->is_exact = true; break;
    case KEY_RULES:
        free(options->rules_path);
        options->rules_path = baro_xstrdup(arg);
        break;
    case KEY_NOTIFY_COMMAND: set_notify(options, "command", arg); break;
    case KEY_NOTIFY_URL: set_notify(options, "url", arg); break;
    case KEY_NOTIFY_MAIL: set_notify(options, "mail", arg); break;
    case KEY_NOTIFY_DESKTOP: set_notify(options, "desktop", "yes"); break;
    case KEY_NOTIFY_LEVEL: set_notify(options, "level", arg); break;
    case KEY_NOTIFY_RATE: set_notify(options, "rate", arg); break;
    case KEY_NOTIFY_TIMEOUT: set_notify(options, "timeout", arg); break;
    case KEY_INSECURE: options->is_insecure = true; break;
    case KEY_CHECK: options->is_check_only = true; break;
    case KEY_LOG_LEVEL: set_log_level(options, arg); break;
    case KEY_HELP: argp_state_help(state, stdout, ARGP_HELP_STD_HELP); break;
    case 'V':
        (void)printf("barod %s, protocol %d\n", BAROGRAPH_VERSION, WIRE_VERSION);
        exit(0);
    case ARGP_KEY_ARG: usage_error("'%.100s' is not expected here", arg);
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* getopt would print two lines; look for the unknown option first and name the nearest. */
static void check_long_options(int argc, char **argv)
{
    const char *names[BARO_LEN(rows)];
    size_t n_names = 0;
    for (size_t i = 0; rows[i].name != NULL; i++) {
        names[n_names++] = rows[i].name;
    }
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strncmp(argv[i], "--", 2) != 0) {
            continue;
        }
        char name[64];
        (void)snprintf(name, sizeof name, "%s", argv[i] + 2);
        name[strcspn(name, "=")] = '\0';
        size_t n_fitting = 0;
        for (size_t k = 0; k < n_names; k++) {
            n_fitting += strncmp(names[k], name, strlen(name)) == 0 ? 1 : 0;
        }
        if (n_fitting == 0) {
            const char *nearest = baro_nearest(name, names, n_names);
            usage_error("there is no option '--%s'%s%s%s", name,
                nearest != NULL ? "; did you mean '--" : "", nearest != NULL ? nearest : "",
                nearest != NULL ? "'?" : "");
        }
    }
}

void options_parse(struct options *out_options, int argc, char **argv)
{
    static const struct argp argp = {
        .options = rows,
        .parser = on_option,
        .doc =
            "The Barograph daemon: takes in what training runs push, keeps it, raises alerts "
            "and answers baro and baro-view.\v"
            "Data that was acknowledged survives kill -9 and power loss. 'baro up' starts "
            "one in the background. Manual: barod(1).",
    };
    *out_options = (struct options){.log_level = LOG_INFO};
    check_long_options(argc, argv);
    argp_err_exit_status = 2;
    if (argp_parse(&argp, argc, argv, ARGP_NO_HELP, NULL, out_options) != 0) {
        usage_error("the options cannot be read");
    }
}

bool options_is_tcp(const char *endpoint)
{
    return strncmp(endpoint, "tcp://", 6) == 0;
}

bool options_has_keys(const struct options *options)
{
    for (unsigned i = 0; i < options->n_endpoints; i++) {
        if (options_is_tcp(options->endpoints[i])) {
            return !options->is_insecure;
        }
    }
    return false;
}

/* The network is only for those whose keys are listed; without any nobody could come. */
static int check_keys(const struct options *options, struct baro_err *err)
{
    char path[BARO_PATH_BYTES];
    struct allowed allowed = {0};
    int rc = allowed_path(options->dir, path, err);
    rc = rc != 0 ? rc : allowed_read(path, &allowed, err);
    if (rc == 0 && allowed.n_keys == 0) {
        rc = baro_err_set(err, BARO_EACCES,
            "tcp:// is only for clients with keys, and none is listed: make one with 'baro key "
            "new' and list it with 'baro key allow', or use 'ssh -L', or spell out --insecure");
    }
    allowed_finish(&allowed);
    return rc;
}

static int check_endpoint(const char *endpoint, struct baro_err *err)
{
    if (options_is_tcp(endpoint) ||
        (strncmp(endpoint, "ipc://", 6) == 0 && endpoint[6] == '/')) {
        return 0;
    }
    return baro_err_set(err, BARO_EINVAL,
        "--listen: '%.100s' is not an endpoint; use ipc:///PATH or tcp://HOST:PORT",
        endpoint);
}

static void on_remark(const char *sentence, void *payload)
{
    (void)payload;
    log_warn("%s", sentence);
}

/* The rules file that was named, or that of the data folder, or none. */
static int read_rules(struct options *options, struct baro_err *err)
{
    char path[BARO_PATH_BYTES + 16];
    (void)snprintf(path, sizeof path, "%s/rules.conf", options->dir);
    options->is_rules_named = options->rules_path != NULL;
    if (options->rules_path == NULL && access(path, F_OK) == 0) {
        options->rules_path = baro_xstrdup(path);
    }
    options->rules = options->rules_path != NULL
                         ? rule_file_read(options->rules_path, on_remark, NULL, err)
                         : rule_book_default();
    return options->rules != NULL ? 0 : BARO_EINVAL;
}

int options_complete(struct options *options, struct baro_err *err)
{
    if (options->dir[0] == '\0') {
        int rc = baro_data_dir(options->dir, err);
        if (rc != 0) {
            return rc;
        }
    }
    bool has_ipc = false;
    for (unsigned i = 0; i < options->n_endpoints; i++) {
        has_ipc = has_ipc || !options_is_tcp(options->endpoints[i]);
    }
    if (!has_ipc && options->n_endpoints < OPTIONS_MAX_ENDPOINTS) {
        char endpoint[OPTIONS_ENDPOINT_BYTES];
        int rc = wire_endpoint(options->dir, endpoint, sizeof endpoint, err);
        if (rc != 0) {
            return rc;
        }
        add_endpoint(options, endpoint);
    }
    for (unsigned i = 0; i < options->n_endpoints; i++) {
        int rc = check_endpoint(options->endpoints[i], err);
        if (rc != 0) {
            return rc;
        }
    }
    char notify_path[BARO_PATH_BYTES + 16];
    (void)snprintf(notify_path, sizeof notify_path, "%s/notify.conf", options->dir);
    notify_options_copy(&options->given, &options->notify);
    int rc = read_rules(options, err);
    rc = rc != 0 ? rc : notify_options_read(&options->notify, notify_path, err);
    return rc == 0 && options_has_keys(options) ? check_keys(options, err) : rc;
}

int options_read_again(
    const struct options *options, struct options *out_fresh, struct baro_err *err)
{
    char notify_path[BARO_PATH_BYTES + 16];
    *out_fresh = (struct options){0};
    memcpy(out_fresh->dir, options->dir, sizeof out_fresh->dir);
    out_fresh->rules_path =
        options->is_rules_named ? baro_xstrdup(options->rules_path) : NULL;
    notify_options_copy(&out_fresh->notify, &options->given);
    (void)snprintf(notify_path, sizeof notify_path, "%s/notify.conf", options->dir);
    int rc = read_rules(out_fresh, err);
    rc = rc != 0 ? rc : notify_options_read(&out_fresh->notify, notify_path, err);
    if (rc != 0) {
        options_finish(out_fresh);
    }
    return rc;
}

void options_finish(struct options *options)
{
    for (unsigned i = 0; i < options->n_endpoints; i++) {
        free(options->endpoints[i]);
    }
    options->n_endpoints = 0;
    notify_options_finish(&options->notify);
    notify_options_finish(&options->given);
    free(options->rules_path);
    rule_book_destroy(options->rules);
    options->rules_path = NULL;
    options->rules = NULL;
}
