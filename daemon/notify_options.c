/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/notify_options.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/paths.h"
#include "lib/base/text.h"

enum {
    MAX_LINE_BYTES = NOTIFY_MAX_TARGET_BYTES + 64,
    MAX_RATE = 3600,
    MAX_TIMEOUT_S = 600,
    MAX_PERIOD_S = 7 * 24 * 3600
};

static const char *const kind_names[NOTIFY_KIND_COUNT] = {
    [NOTIFY_COMMAND] = "command",
    [NOTIFY_URL] = "url",
    [NOTIFY_DESKTOP] = "desktop",
    [NOTIFY_MAIL] = "mail",
};

const char *notify_kind_name(enum notify_kind kind)
{
    return kind_names[kind];
}

/* ---- programs ---- */

bool notify_has_program(const char *name)
{
    if (strchr(name, '/') != NULL) {
        return access(name, X_OK) == 0;
    }
    const char *path = getenv("PATH");
    for (const char *at = path != NULL ? path : "/usr/bin:/bin"; *at != '\0';) {
        char whole[BARO_PATH_BYTES];
        size_t n = strcspn(at, ":");
        int length = snprintf(whole, sizeof whole, "%.*s/%s", (int)n, at, name);
        if (length > 0 && (size_t)length < sizeof whole && access(whole, X_OK) == 0) {
            return true;
        }
        at += n + (at[n] == ':' ? 1 : 0);
    }
    return false;
}

/* Take one word off a command: blanks end it, quotes and backslashes keep them. */
static int next_word(const char **at, char *out, size_t size, struct baro_err *err)
{
    size_t n = 0;
    char quote = '\0';
    for (; **at != '\0' && (quote != '\0' || !isspace((unsigned char)**at)); (*at)++) {
        char c = **at;
        if (quote == '\0' && (c == '\'' || c == '"')) {
            quote = c;
            continue;
        }
        if (quote != '\0' && c == quote) {
            quote = '\0';
            continue;
        }
        if (c == '\\' && quote != '\'' && (*at)[1] != '\0') {
            c = *++*at;
        }
        if (n + 1 < size) {
            out[n++] = c;
        }
    }
    out[n] = '\0';
    return quote == '\0' ? 0
                         : baro_err_set(err, BARO_EINVAL,
                               "the command has a quote (%c) that does not end", quote);
}

static void free_words(char **words)
{
    for (size_t i = 0; words != NULL && words[i] != NULL; i++) {
        free(words[i]);
    }
    free(words);
}

static int split(const char *text, char ***out_words, struct baro_err *err)
{
    char word[NOTIFY_MAX_TARGET_BYTES];
    char **words = baro_xcalloc(NOTIFY_MAX_WORDS + 1, sizeof(char *));
    size_t n = 0;
    const char *at = text;
    int rc = 0;
    for (;;) {
        at += strspn(at, " \t\r\n");
        if (*at == '\0') {
            break;
        }
        if (n == NOTIFY_MAX_WORDS) {
            rc = baro_err_set(
                err, BARO_ELIMIT, "the command has more than %d words", NOTIFY_MAX_WORDS);
            break;
        }
        if ((rc = next_word(&at, word, sizeof word, err)) != 0) {
            break;
        }
        words[n++] = baro_xstrdup(word);
    }
    if (rc == 0 && (n == 0 || words[0][0] == '\0')) {
        rc = baro_err_set(err, BARO_EINVAL, "the command names no program");
    }
    if (rc != 0) {
        free_words(words);
        return rc;
    }
    *out_words = words;
    return 0;
}

/* ---- values ---- */

static bool is_plain(const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c < ' ' || *c == '\x7f') {
            return false;
        }
    }
    return text[0] != '\0';
}

static int check_target(enum notify_kind kind, const char *value, struct baro_err *err)
{
    if (strlen(value) >= NOTIFY_MAX_TARGET_BYTES || !is_plain(value)) {
        return baro_err_set(err, BARO_EINVAL,
            "is empty, has control characters, or is over %d bytes",
            NOTIFY_MAX_TARGET_BYTES);
    }
    if (kind == NOTIFY_URL && strncmp(value, "http://", 7) != 0 &&
        strncmp(value, "https://", 8) != 0) {
        return baro_err_set(err, BARO_EINVAL, "is not a URL of http:// or https://");
    }
    if (kind == NOTIFY_MAIL && (strpbrk(value, " ,;<>\"") != NULL || value[0] == '-')) {
        return baro_err_set(
            err, BARO_EINVAL, "'%.80s' is not one address like me@example.org", value);
    }
    return 0;
}

static int add_target(struct notify_options *options, enum notify_kind kind,
    const char *value, struct baro_err *err)
{
    char **words = NULL;
    int rc = kind == NOTIFY_DESKTOP ? 0 : check_target(kind, value, err);
    if (rc == 0 && options->n_targets == NOTIFY_MAX_TARGETS) {
        rc = baro_err_set(err, BARO_ELIMIT, "at most %d ways of telling can be named",
            NOTIFY_MAX_TARGETS);
    }
    if (rc == 0 && kind == NOTIFY_COMMAND) {
        rc = split(value, &words, err);
    }
    if (rc == 0) {
        options->targets[options->n_targets++] = (struct notify_target){
            kind, kind != NOTIFY_DESKTOP ? baro_xstrdup(value) : NULL, words};
    }
    return rc;
}

static int set_desktop(
    struct notify_options *options, const char *value, struct baro_err *err)
{
    if (strcmp(value, "no") == 0) {
        return 0;
    }
    if (strcmp(value, "yes") != 0) {
        return baro_err_set(err, BARO_EINVAL, "'%.40s' is neither yes nor no", value);
    }
    for (size_t i = 0; i < options->n_targets; i++) {
        if (options->targets[i].kind == NOTIFY_DESKTOP) {
            return 0;
        }
    }
    return add_target(options, NOTIFY_DESKTOP, value, err);
}

static int set_level(uint32_t *level, const char *value, struct baro_err *err)
{
    if (strcmp(value, "watch") == 0) {
        *level = BARO_WATCH;
    } else if (strcmp(value, "alarm") == 0) {
        *level = BARO_ALARM;
    } else {
        return baro_err_set(err, BARO_EINVAL, "'%.40s' is neither watch nor alarm", value);
    }
    return 0;
}

static int set_number(uint32_t *number, const char *value, long most, struct baro_err *err)
{
    char *end = NULL;
    errno = 0;
    long found = strtol(value, &end, 10);
    if (errno != 0 || end == value || *end != '\0' || found < 1 || found > most) {
        return baro_err_set(
            err, BARO_EINVAL, "'%.40s' is not a whole number from 1 to %ld", value, most);
    }
    *number = (uint32_t)found;
    return 0;
}

int notify_options_set(struct notify_options *options, const char *key, const char *value,
    bool is_file, struct baro_err *err)
{
    static const char *const names[] = {
        "command", "url", "desktop", "mail", "level", "rate", "period", "timeout"};
    uint32_t ignored = 0;
    if (strcmp(key, "desktop") == 0) {
        return set_desktop(options, value, err);
    }
    for (int kind = 0; kind < NOTIFY_KIND_COUNT; kind++) {
        if (strcmp(key, kind_names[kind]) == 0) {
            return add_target(options, (enum notify_kind)kind, value, err);
        }
    }
    if (strcmp(key, "level") == 0) {
        return set_level(
            is_file && options->level != 0 ? &ignored : &options->level, value, err);
    }
    if (strcmp(key, "rate") == 0) {
        return set_number(is_file && options->rate != 0 ? &ignored : &options->rate, value,
            MAX_RATE, err);
    }
    if (strcmp(key, "period") == 0) {
        return set_number(is_file && options->period_s != 0 ? &ignored : &options->period_s,
            value, MAX_PERIOD_S, err);
    }
    if (strcmp(key, "timeout") == 0) {
        return set_number(
            is_file && options->timeout_s != 0 ? &ignored : &options->timeout_s, value,
            MAX_TIMEOUT_S, err);
    }
    const char *near = baro_nearest(key, names, BARO_LEN(names));
    return baro_err_set(err, BARO_ENOENT, "there is no '%.40s'%s%s%s", key,
        near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
        near != NULL ? "'?" : "");
}

/* ---- the file ---- */

/* Take blanks off both ends. */
static char *strip(char *text)
{
    text += strspn(text, " \t\r\n");
    size_t n = strlen(text);
    while (n > 0 && isspace((unsigned char)text[n - 1])) {
        text[--n] = '\0';
    }
    return text;
}

static int read_line(struct notify_options *options, char *line, struct baro_err *err)
{
    char *text = strip(line);
    if (text[0] == '\0' || text[0] == '#') {
        return 0;
    }
    char *equals = strchr(text, '=');
    if (equals == NULL) {
        return baro_err_set(err, BARO_EINVAL, "a line is like 'url = https://...'");
    }
    *equals = '\0';
    return notify_options_set(options, strip(text), strip(equals + 1), true, err);
}

/* It names a program to run: nobody else may have a hand in it. */
static int check_owner(FILE *file, const char *path, struct baro_err *err)
{
    struct stat status;
    if (fstat(fileno(file), &status) != 0 || !S_ISREG(status.st_mode)) {
        return baro_err_set(err, BARO_EIO, "%s is no file that can be read", path);
    }
    if ((status.st_uid != geteuid() && status.st_uid != 0) ||
        (status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        return baro_err_set(err, BARO_EACCES,
            "%s can be written by others, and says what is run: chmod 600 it", path);
    }
    return 0;
}

int notify_options_read(
    struct notify_options *options, const char *path, struct baro_err *err)
{
    baro_autofclose FILE *file = fopen(path, "re");
    if (file == NULL) {
        return errno == ENOENT
                   ? 0
                   : baro_err_set(err, BARO_EIO, "%s: %s", path, strerror(errno));
    }
    int rc = check_owner(file, path, err);
    char line[MAX_LINE_BYTES];
    for (int number = 1; rc == 0 && fgets(line, sizeof line, file) != NULL; number++) {
        struct baro_err why = {0};
        rc = strchr(line, '\n') == NULL && !feof(file)
                 ? baro_err_set(&why, BARO_ELIMIT, "the line is too long")
                 : read_line(options, line, &why);
        if (rc != 0) {
            (void)baro_err_set(err, rc, "%s:%d: %s", path, number, why.text);
        }
    }
    return rc;
}

struct notify_target notify_target_copy(const struct notify_target *target)
{
    struct notify_target copy = {.kind = target->kind};
    copy.text = target->text != NULL ? baro_xstrdup(target->text) : NULL;
    if (target->words != NULL) {
        copy.words = baro_xcalloc(NOTIFY_MAX_WORDS + 1, sizeof(char *));
        for (size_t i = 0; target->words[i] != NULL; i++) {
            copy.words[i] = baro_xstrdup(target->words[i]);
        }
    }
    return copy;
}

void notify_options_copy(struct notify_options *out, const struct notify_options *from)
{
    *out = *from;
    for (size_t i = 0; i < from->n_targets; i++) {
        out->targets[i] = notify_target_copy(&from->targets[i]);
    }
}

bool notify_options_equal(const struct notify_options *a, const struct notify_options *b)
{
    bool is_equal = a->n_targets == b->n_targets && a->level == b->level &&
                    a->rate == b->rate && a->timeout_s == b->timeout_s &&
                    a->period_s == b->period_s;
    for (size_t i = 0; is_equal && i < a->n_targets; i++) {
        const char *one = a->targets[i].text;
        const char *other = b->targets[i].text;
        is_equal = a->targets[i].kind == b->targets[i].kind &&
                   (one == NULL) == (other == NULL) &&
                   (one == NULL || strcmp(one, other) == 0);
    }
    return is_equal;
}

void notify_target_finish(struct notify_target *target)
{
    free(target->text);
    free_words(target->words);
}

void notify_options_finish(struct notify_options *options)
{
    for (size_t i = 0; i < options->n_targets; i++) {
        notify_target_finish(&options->targets[i]);
    }
    *options = (struct notify_options){0};
}
