/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/alarm/rule_file.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/rule.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

/*
 * The form is that of INI files, line by line:
 *
 *     # a comment; so is a line that begins with ;
 *     quiet_steps = 500                   before the first section: for all rules
 *     [loss_spike]                        a rule, for all series
 *     on = no
 *     [loss_spike on eval?]              a rule, for the series that fit a glob
 *     min_score = 12
 *     [new kl_too_high]                   a rule of one's own
 *     series = train/kl*
 *     test = above
 *     limit = 5
 *
 * It is read here and not by inih, which cuts lines after 200 bytes without a word, takes the first
 * ']' of a glob for the section's end, and gives its handler no line number.
 */

enum { MAX_LINE_BYTES = 1024 };

enum section { SECTION_GENERAL, SECTION_RULE, SECTION_NEW };

/* What was set where, to find what is set twice. */
struct setting {
    char rule[RULE_MAX_NAME_BYTES];
    char *glob;
    char key[RULE_MAX_NAME_BYTES];
    unsigned line;
};

struct reading_file {
    const char *name;
    struct rule_book *book;
    rule_file_note_fn note;
    void *payload;
    struct baro_err *err;
    unsigned line;
    enum section section;
    unsigned section_line;
    char rule[RULE_MAX_NAME_BYTES];
    char glob[RULE_MAX_GLOB_BYTES];
    struct rule_custom custom;
    bool has_series;
    bool has_test;
    bool has_limit;
    struct setting *settings;
    size_t n_settings;
};

/* ---- saying what is wrong ---- */

__attribute__((format(printf, 4, 5))) static int wrong(
    struct reading_file *file, unsigned line, int code, const char *format, ...)
{
    char sentence[200];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    return baro_err_set(file->err, code, "%.80s:%u: %s", file->name, line, sentence);
}

/* An error that a deeper function wrote gets its place. */
static int place(
    struct reading_file *file, unsigned line, int rc, const struct baro_err *err)
{
    return rc == 0 ? 0 : wrong(file, line, rc, "%s", err->text);
}

__attribute__((format(printf, 3, 4))) static void remark(
    struct reading_file *file, unsigned line, const char *format, ...)
{
    char sentence[400];
    char text[512];
    if (file->note == NULL) {
        return;
    }
    va_list args;
    va_start(args, format);
    (void)vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    (void)snprintf(text, sizeof text, "%.80s:%u: %s", file->name, line, sentence);
    file->note(text, file->payload);
}

/* Name what is nearest: "; is it 'x'?", or nothing. */
static const char *nearest(
    const char *wrong_name, const char *const *names, size_t n, char out[96])
{
    const char *near = baro_nearest(wrong_name, names, n);
    out[0] = '\0';
    if (near != NULL) {
        (void)snprintf(out, 96, "; is it '%s'?", near);
    }
    return out;
}

/* ---- values ---- */

static int parse_number(
    struct reading_file *file, const char *key, const char *value, double *out)
{
    char *end = NULL;
    errno = 0;
    *out = strtod(value, &end);
    if (end == value || *end != '\0' || !isfinite(*out)) {
        return wrong(
            file, file->line, BARO_EINVAL, "%s: '%.40s' is not a number", key, value);
    }
    return 0;
}

static int parse_count(struct reading_file *file, const char *key, const char *value,
    uint32_t most, uint32_t *out)
{
    double number = 0;
    int rc = parse_number(file, key, value, &number);
    if (rc != 0) {
        return rc;
    }
    if (!(number >= 0) || number > (double)most || floor(number) < number) {
        return wrong(file, file->line, BARO_EINVAL,
            "%s: '%.40s' is not a whole number from 0 to %u", key, value, most);
    }
    *out = (uint32_t)number;
    return 0;
}

static int parse_switch(
    struct reading_file *file, const char *key, const char *value, bool *out)
{
    static const char *const on[] = {"yes", "on", "true", "1"};
    static const char *const off[] = {"no", "off", "false", "0"};
    for (size_t i = 0; i < BARO_LEN(on); i++) {
        if (strcmp(value, on[i]) == 0 || strcmp(value, off[i]) == 0) {
            *out = strcmp(value, on[i]) == 0;
            return 0;
        }
    }
    return wrong(
        file, file->line, BARO_EINVAL, "%s: '%.40s' is neither yes nor no", key, value);
}

/* ---- keys ---- */

/* Note a setting; an error when the same was set already. */
static int note_setting(struct reading_file *file, const char *key)
{
    for (size_t i = 0; i < file->n_settings; i++) {
        const struct setting *other = &file->settings[i];
        if (strcmp(other->rule, file->rule) == 0 && strcmp(other->key, key) == 0 &&
            strcmp(other->glob, file->glob) == 0) {
            return wrong(file, file->line, BARO_EINVAL,
                "%s is set a second time; line %u set it already", key, other->line);
        }
    }
    file->settings =
        baro_xrealloc(file->settings, file->n_settings + 1, sizeof *file->settings);
    struct setting *setting = &file->settings[file->n_settings++];
    *setting = (struct setting){.glob = baro_xstrdup(file->glob), .line = file->line};
    (void)snprintf(setting->rule, sizeof setting->rule, "%s", file->rule);
    (void)snprintf(setting->key, sizeof setting->key, "%s", key);
    return 0;
}

static int set_general(struct reading_file *file, const char *key, const char *value)
{
    static const char *const keys[] = {"quiet_steps", "excuse_steps"};
    uint32_t *const fields[] = {&file->book->quiet_steps, &file->book->excuse_steps};
    for (size_t i = 0; i < BARO_LEN(keys); i++) {
        if (strcmp(key, keys[i]) == 0) {
            return parse_count(file, key, value, 1000000000, fields[i]);
        }
    }
    char near[96];
    (void)nearest(key, keys, BARO_LEN(keys), near);
    return wrong(file, file->line, BARO_ENOENT,
        "there is no setting '%.40s' for all rules%s%s", key, near,
        near[0] == '\0' ? "; a rule's stand below its [name]" : "");
}

/* What stands below "[rule on pattern]" remembers where it does. */
static int keep_line(struct reading_file *file, int rc)
{
    if (rc == 0 && file->glob[0] != '\0' && file->book->n_overrides > 0) {
        file->book->overrides[file->book->n_overrides - 1].line = file->section_line;
    }
    return rc;
}

static int set_of_rule(struct reading_file *file, const char *key, const char *value)
{
    struct baro_err err = {0};
    if (strcmp(key, "on") == 0) {
        bool is_on = false;
        int rc = parse_switch(file, key, value, &is_on);
        rc = rc != 0
                 ? rc
                 : place(file, file->line,
                       rule_book_switch(file->book, file->rule, file->glob, is_on, &err),
                       &err);
        return keep_line(file, rc);
    }
    double number = 0;
    int at = rule_find(file->rule);
    bool is_there = at >= 0 && rule_find_param(rule_table[at], key) >= 0;
    int rc = is_there ? parse_number(file, key, value, &number) : 0;
    rc = rc != 0 ? rc
                 : place(file, file->line,
                       rule_book_set(file->book, file->rule, key, file->glob, number, &err),
                       &err);
    return keep_line(file, rc);
}

static int set_text(
    struct reading_file *file, const char *key, const char *value, char *out, size_t size)
{
    if (strlen(value) >= size) {
        return wrong(
            file, file->line, BARO_ELIMIT, "%s has more than %zu bytes", key, size - 1);
    }
    (void)snprintf(out, size, "%s", value);
    return 0;
}

static int set_test(struct reading_file *file, const char *value)
{
    const char *names[RULE_TEST_COUNT];
    size_t n = 0;
    for (int test = 1; test < RULE_TEST_COUNT; test++) {
        names[n++] = rule_test_name((enum rule_test)test);
    }
    file->custom.test = rule_test_parse(value);
    file->has_test = true;
    char near[96];
    return (int)file->custom.test != 0
               ? 0
               : wrong(file, file->line, BARO_ENOENT,
                     "test: '%.40s' is none of above, below, jump, drop, rise, fall, stuck%s",
                     value, nearest(value, names, n, near));
}

static int set_level(struct reading_file *file, const char *value)
{
    static const char *const names[] = {"info", "watch", "alarm"};
    for (size_t i = 0; i < BARO_LEN(names); i++) {
        if (strcmp(value, names[i]) == 0) {
            file->custom.level = (int)i + BARO_INFO;
            return 0;
        }
    }
    return wrong(file, file->line, BARO_EINVAL,
        "level: '%.40s' is none of info, watch, alarm", value);
}

static int set_of_new(struct reading_file *file, const char *key, const char *value)
{
    static const char *const keys[] = {"series", "statistic", "test", "limit", "window",
        "times", "warm_up", "level", "text"};
    struct rule_custom *custom = &file->custom;
    size_t at = 0;
    while (at < BARO_LEN(keys) && strcmp(keys[at], key) != 0) {
        at++;
    }
    switch (at) {
    case 0:
        file->has_series = true;
        return set_text(file, key, value, custom->glob, sizeof custom->glob);
    case 1: return set_text(file, key, value, custom->stat, sizeof custom->stat);
    case 2: return set_test(file, value);
    case 3: file->has_limit = true; return parse_number(file, key, value, &custom->limit);
    case 4: return parse_count(file, key, value, 1000000000, &custom->window);
    case 5: return parse_count(file, key, value, 65535, &custom->n_times);
    case 6: return parse_count(file, key, value, 1000000000, &custom->warm_up);
    case 7: return set_level(file, value);
    case 8: return set_text(file, key, value, custom->text, sizeof custom->text);
    default: break;
    }
    char near[96];
    return wrong(file, file->line, BARO_ENOENT, "a rule of your own has no '%.40s'%s", key,
        nearest(key, keys, BARO_LEN(keys), near));
}

/* ---- sections ---- */

/* Two rules of the user's that no value can please. */
static void look_for_contradiction(struct reading_file *file)
{
    const struct rule_custom *custom = &file->custom;
    for (size_t i = 0; i < file->book->n_customs; i++) {
        const struct rule_custom *other = &file->book->customs[i];
        bool is_same = strcmp(other->glob, custom->glob) == 0 &&
                       strcmp(other->stat, custom->stat) == 0;
        const struct rule_custom *above = custom->test == RULE_ABOVE ? custom : other;
        const struct rule_custom *below = custom->test == RULE_BELOW ? custom : other;
        if (is_same && above->test == RULE_ABOVE && below->test == RULE_BELOW &&
            above->limit < below->limit) {
            remark(file, file->section_line,
                "'%s' and '%s' contradict each other: every value of %s is above %g or below "
                "%g",
                other->name, custom->name, custom->glob, above->limit, below->limit);
        }
    }
}

/* Add the rule that the section describes. */
static int end_section(struct reading_file *file)
{
    if (file->section != SECTION_NEW) {
        return 0;
    }
    const char *missing = !file->has_series  ? "series"
                          : !file->has_test  ? "test"
                          : !file->has_limit ? "limit"
                                             : NULL;
    if (missing != NULL) {
        return wrong(file, file->section_line, BARO_EINVAL, "the new rule '%s' has no %s",
            file->custom.name, missing);
    }
    if (file->custom.glob[0] == '\0') {
        return wrong(file, file->section_line, BARO_EINVAL,
            "the series of the new rule '%s' are empty: it would name nothing",
            file->custom.name);
    }
    look_for_contradiction(file);
    struct baro_err err = {0};
    return place(
        file, file->section_line, rule_book_add(file->book, &file->custom, &err), &err);
}

static char *trim(char *text)
{
    while (isspace((unsigned char)*text) != 0) {
        text++;
    }
    size_t n = strlen(text);
    while (n > 0 && isspace((unsigned char)text[n - 1]) != 0) {
        text[--n] = '\0';
    }
    return text;
}

static int begin_new(struct reading_file *file, const char *name)
{
    file->section = SECTION_NEW;
    file->custom = (struct rule_custom){.line = file->section_line};
    file->has_series = file->has_test = file->has_limit = false;
    file->glob[0] = '\0';
    int rc = set_text(
        file, "the name of a rule", name, file->custom.name, sizeof file->custom.name);
    (void)snprintf(file->rule, sizeof file->rule, "%s", file->custom.name);
    return rc;
}

/* "[loss_spike]", "[loss_spike on eval?]", "[new kl_too_high]". */
static int begin_section(struct reading_file *file, char *line)
{
    int rc = end_section(file);
    size_t n = strlen(line);
    file->section_line = file->line;
    if (rc != 0) {
        return rc;
    }
    if (line[n - 1] != ']') {
        return wrong(file, file->line, BARO_EINVAL, "a section ends with ']'");
    }
    line[n - 1] = '\0';
    char *head = trim(line + 1);
    if (strncmp(head, "new ", 4) == 0) {
        return begin_new(file, trim(head + 4));
    }
    char *on = strstr(head, " on ");
    file->section = SECTION_RULE;
    file->glob[0] = '\0';
    if (on != NULL) {
        *on = '\0';
        rc = set_text(file, "a pattern", trim(on + 4), file->glob, sizeof file->glob);
    }
    rc = rc != 0 ? rc
                 : set_text(file, "the name of a rule", trim(head), file->rule,
                       sizeof file->rule);
    if (rc == 0 && rule_find(file->rule) < 0) {
        struct baro_err err = {0};
        rc = place(file, file->line,
            rule_book_switch(file->book, file->rule, NULL, true, &err), &err);
    }
    return rc;
}

static int take_line(struct reading_file *file, char *line)
{
    line = trim(line);
    if (line[0] == '\0' || line[0] == '#' || line[0] == ';') {
        return 0;
    }
    if (line[0] == '[') {
        return begin_section(file, line);
    }
    char *equals = strchr(line, '=');
    if (equals == NULL) {
        return wrong(file, file->line, BARO_EINVAL,
            "'%.40s' is neither [rule] nor name = value", line);
    }
    *equals = '\0';
    const char *key = trim(line);
    const char *value = trim(equals + 1);
    int rc = note_setting(file, key);
    if (rc != 0) {
        return rc;
    }
    switch (file->section) {
    case SECTION_RULE: return set_of_rule(file, key, value);
    case SECTION_NEW: return set_of_new(file, key, value);
    case SECTION_GENERAL:
    default: return set_general(file, key, value);
    }
}

/* ---- the file ---- */

/* A rule that is switched one way for a pattern and then the other way for all. */
static void look_for_overruled(struct reading_file *file)
{
    for (size_t i = 0; i < file->book->n_overrides; i++) {
        const struct rule_override *one = &file->book->overrides[i];
        for (size_t k = i + 1; k < file->book->n_overrides; k++) {
            const struct rule_override *later = &file->book->overrides[k];
            bool is_same = later->rule == one->rule && later->param == one->param;
            bool is_all = strcmp(later->glob, "*") == 0 ||
                          (later->line != one->line && baro_glob(later->glob, one->glob) &&
                              strpbrk(one->glob, "*?[") == NULL);
            if (is_same && is_all) {
                remark(file, one->line,
                    "what is set here for '%s' has no effect: line %u sets it for '%s'",
                    one->glob, later->line, later->glob);
            }
        }
    }
}

/* Two bounds that leave nothing between them. */
static void look_for_crossed(struct reading_file *file)
{
    for (size_t rule = 0; rule < rule_table_n; rule++) {
        int low = rule_find_param(rule_table[rule], "min_ratio");
        int high = rule_find_param(rule_table[rule], "max_ratio");
        const double *values = file->book->params[rule];
        if (low < 0 || high < 0 || values[low] < values[high]) {
            continue;
        }
        for (size_t i = 0; i < file->n_settings; i++) {
            const struct setting *setting = &file->settings[i];
            if (strcmp(setting->rule, rule_table[rule]->name) == 0 &&
                strstr(setting->key, "_ratio") != NULL) {
                remark(file, setting->line,
                    "min_ratio %g and max_ratio %g contradict each other: every step is "
                    "too small or too large",
                    values[low], values[high]);
                break;
            }
        }
    }
}

/* Parameters of a rule that is off everywhere. */
static void look_for_vain(struct reading_file *file)
{
    for (size_t i = 0; i < file->n_settings; i++) {
        const struct setting *setting = &file->settings[i];
        int rule = rule_find(setting->rule);
        bool is_on_somewhere = rule < 0 || file->book->is_on[rule];
        for (size_t k = 0; k < file->book->n_overrides; k++) {
            const struct rule_override *other = &file->book->overrides[k];
            is_on_somewhere |= other->rule == rule && other->param < 0 && other->is_on;
        }
        if (!is_on_somewhere && strcmp(setting->key, "on") != 0) {
            remark(file, setting->line, "%s has no effect: the rule '%s' is off",
                setting->key, setting->rule);
        }
    }
}

int rule_file_parse(const char *name, const char *text, size_t n, struct rule_book *book,
    rule_file_note_fn note, void *payload, struct baro_err *err)
{
    struct reading_file file = {
        .name = name, .book = book, .note = note, .payload = payload, .err = err};
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < n;) {
        char line[MAX_LINE_BYTES];
        const char *end = memchr(text + at, '\n', n - at);
        size_t length = end != NULL ? (size_t)(end - text) - at : n - at;
        file.line++;
        if (length >= sizeof line) {
            rc = wrong(&file, file.line, BARO_ELIMIT, "a line has at most %d bytes",
                MAX_LINE_BYTES - 1);
        } else if (!baro_utf8_valid(text + at, length)) {
            rc = wrong(&file, file.line, BARO_EINVAL, "this line is not UTF-8 text");
        } else {
            memcpy(line, text + at, length);
            line[length] = '\0';
            rc = take_line(&file, line);
        }
        at += length + 1;
    }
    rc = rc != 0 ? rc : end_section(&file);
    if (rc == 0) {
        look_for_vain(&file);
        look_for_overruled(&file);
        look_for_crossed(&file);
    }
    for (size_t i = 0; i < file.n_settings; i++) {
        free(file.settings[i].glob);
    }
    free(file.settings);
    return rc;
}

struct rule_book *rule_file_read(
    const char *path, rule_file_note_fn note, void *payload, struct baro_err *err)
{
    baro_autofclose FILE *file = fopen(path, "re");
    baro_autofree char *text = baro_xcalloc(RULE_FILE_MAX_BYTES + 1, 1);
    if (file == NULL) {
        (void)baro_err_set(err, errno == EACCES ? BARO_EACCES : BARO_ENOENT,
            "the rules file '%.120s' cannot be opened: %s", path, strerror(errno));
        return NULL;
    }
    size_t n = fread(text, 1, RULE_FILE_MAX_BYTES + 1, file);
    if (ferror(file) != 0 || n > RULE_FILE_MAX_BYTES) {
        (void)baro_err_set(err, n > RULE_FILE_MAX_BYTES ? BARO_ELIMIT : BARO_EIO,
            "the rules file '%.120s' %s", path,
            n > RULE_FILE_MAX_BYTES ? "has more than 1 MiB" : "cannot be read");
        return NULL;
    }
    struct rule_book *book = rule_book_default();
    const char *slash = strrchr(path, '/');
    if (rule_file_parse(
            slash != NULL ? slash + 1 : path, text, n, book, note, payload, err) != 0) {
        rule_book_destroy(book);
        return NULL;
    }
    return book;
}
