/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/rule_book.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/rule.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

enum { USUAL_QUIET_STEPS = 200, USUAL_EXCUSE_STEPS = 50 };

static const char *const test_names[RULE_TEST_COUNT] = {[RULE_ABOVE] = "above",
    [RULE_BELOW] = "below",
    [RULE_JUMP] = "jump",
    [RULE_DROP] = "drop",
    [RULE_RISE] = "rise",
    [RULE_FALL] = "fall",
    [RULE_STUCK] = "stuck"};

const char *rule_test_name(enum rule_test test)
{
    return test > 0 && test < RULE_TEST_COUNT ? test_names[test] : "?";
}

enum rule_test rule_test_parse(const char *name)
{
    for (int test = 1; test < RULE_TEST_COUNT; test++) {
        if (strcmp(test_names[test], name) == 0) {
            return (enum rule_test)test;
        }
    }
    return (enum rule_test)0;
}

struct rule_book *rule_book_default(void)
{
    struct rule_book *book = baro_xcalloc(1, sizeof *book);
    book->quiet_steps = USUAL_QUIET_STEPS;
    book->excuse_steps = USUAL_EXCUSE_STEPS;
    for (size_t i = 0; i < rule_table_n; i++) {
        book->is_on[i] = true;
        for (size_t p = 0; p < rule_table[i]->n_params; p++) {
            book->params[i][p] = rule_table[i]->params[p].usual;
        }
    }
    return book;
}

void rule_book_destroy(struct rule_book *book)
{
    if (book != NULL) {
        free(book->overrides);
        free(book->customs);
        free(book);
    }
}

int rule_find(const char *name)
{
    for (size_t i = 0; i < rule_table_n; i++) {
        if (strcmp(rule_table[i]->name, name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

int rule_find_param(const struct rule *rule, const char *name)
{
    for (size_t p = 0; p < rule->n_params; p++) {
        if (strcmp(rule->params[p].name, name) == 0) {
            return (int)p;
        }
    }
    return -1;
}

static int find_rule(const char *name, int *out_place, struct baro_err *err)
{
    *out_place = rule_find(name);
    if (*out_place >= 0) {
        return 0;
    }
    const char *names[RULE_MAX];
    for (size_t i = 0; i < rule_table_n; i++) {
        names[i] = rule_table[i]->name;
    }
    const char *near = baro_nearest(name, names, rule_table_n);
    return baro_err_set(err, BARO_ENOENT,
        near != NULL ? "there is no rule '%s'; is it '%s'?" : "there is no rule '%s'%s",
        name, near != NULL ? near : "");
}

static int find_param(
    const struct rule *rule, const char *name, int *out_param, struct baro_err *err)
{
    *out_param = rule_find_param(rule, name);
    if (*out_param >= 0) {
        return 0;
    }
    const char *names[RULE_MAX_PARAMS];
    for (size_t p = 0; p < rule->n_params; p++) {
        names[p] = rule->params[p].name;
    }
    const char *near = baro_nearest(name, names, rule->n_params);
    return baro_err_set(err, BARO_ENOENT,
        near != NULL ? "rule '%s' has no parameter '%s'; is it '%s'?"
                     : "rule '%s' has no parameter '%s'%s",
        rule->name, name, near != NULL ? near : "");
}

static int add_override(struct rule_book *book, const struct rule_override *override,
    const char *glob, struct baro_err *err)
{
    if (book->n_overrides == RULE_MAX_OVERRIDES) {
        return baro_err_set(err, BARO_ELIMIT, "more than %d settings for series by name",
            RULE_MAX_OVERRIDES);
    }
    if (strlen(glob) >= RULE_MAX_GLOB_BYTES) {
        return baro_err_set(
            err, BARO_ELIMIT, "a pattern has at most %d bytes", RULE_MAX_GLOB_BYTES - 1);
    }
    book->overrides =
        baro_xrealloc(book->overrides, book->n_overrides + 1, sizeof *book->overrides);
    struct rule_override *kept = &book->overrides[book->n_overrides++];
    *kept = *override;
    strcpy(kept->glob, glob);
    return 0;
}

int rule_book_switch(struct rule_book *book, const char *rule, const char *glob, bool is_on,
    struct baro_err *err)
{
    int place = 0;
    int rc = find_rule(rule, &place, err);
    if (rc != 0) {
        return rc;
    }
    if (glob == NULL || glob[0] == '\0') {
        book->is_on[place] = is_on;
        return 0;
    }
    struct rule_override override = {.rule = (uint16_t)place, .param = -1, .is_on = is_on};
    return add_override(book, &override, glob, err);
}

int rule_book_set(struct rule_book *book, const char *rule, const char *param,
    const char *glob, double value, struct baro_err *err)
{
    int place = 0;
    int at = 0;
    int rc = find_rule(rule, &place, err);
    rc = rc != 0 ? rc : find_param(rule_table[place], param, &at, err);
    if (rc != 0) {
        return rc;
    }
    const struct rule_param *row = &rule_table[place]->params[at];
    if (!(value >= row->min && value <= row->max)) {
        return baro_err_set(err, BARO_EINVAL,
            "%s of rule '%s' must lie in %g .. %g, not be %g", param, rule, row->min,
            row->max, value);
    }
    if (glob == NULL || glob[0] == '\0') {
        book->params[place][at] = value;
        return 0;
    }
    struct rule_override override = {
        .rule = (uint16_t)place, .param = (int16_t)at, .value = value};
    return add_override(book, &override, glob, err);
}

/* ---- the user's own rules ---- */

static bool is_word(const char *name)
{
    return name[0] != '\0' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(name);
}

static bool is_stat(const char *stat)
{
    bool is_unit = strncmp(stat, "unit.", 5) == 0;
    return stat[0] == '\0' || strcmp(stat, "value") == 0 ||
           reading_stat_parse(
               is_unit ? READING_UNITS : READING_SUMMARY, is_unit ? stat + 5 : stat) >= 0;
}

static bool is_taken(const struct rule_book *book, const char *name)
{
    for (size_t i = 0; i < book->n_customs; i++) {
        if (strcmp(book->customs[i].name, name) == 0) {
            return true;
        }
    }
    return rule_find(name) >= 0;
}

static int check_custom(
    const struct rule_book *book, const struct rule_custom *custom, struct baro_err *err)
{
    if (!is_word(custom->name)) {
        return baro_err_set(err, BARO_EINVAL,
            "'%s' is no name for a rule; use a-z, 0-9 and _", custom->name);
    }
    if (is_taken(book, custom->name)) {
        return baro_err_set(err, BARO_EINVAL, "there is a rule '%s' already", custom->name);
    }
    if (!is_stat(custom->stat)) {
        return baro_err_set(err, BARO_EINVAL,
            "'%s' is no statistic; tensors have l2, mean, ..., their units unit.l2, ...",
            custom->stat);
    }
    if (custom->test <= 0 || custom->test >= RULE_TEST_COUNT) {
        return baro_err_set(
            err, BARO_EINVAL, "a rule tests above, below, jump, drop, rise, fall or stuck");
    }
    if (!isfinite(custom->limit)) {
        return baro_err_set(err, BARO_EINVAL, "the limit of a rule is a finite number");
    }
    if (custom->window > RULE_MAX_WINDOW || custom->level < 0 ||
        custom->level >= BARO_LEVEL_END) {
        return baro_err_set(
            err, BARO_EINVAL, "a window has at most %d readings", RULE_MAX_WINDOW);
    }
    return 0;
}

int rule_book_add(
    struct rule_book *book, const struct rule_custom *custom, struct baro_err *err)
{
    int rc = check_custom(book, custom, err);
    if (rc != 0) {
        return rc;
    }
    if (book->n_customs == RULE_MAX_CUSTOM) {
        return baro_err_set(
            err, BARO_ELIMIT, "more than %d rules were added", RULE_MAX_CUSTOM);
    }
    book->customs =
        baro_xrealloc(book->customs, book->n_customs + 1, sizeof *book->customs);
    book->customs[book->n_customs++] = *custom;
    return 0;
}
