/* SPDX-License-Identifier: Apache-2.0 */
/* baro rules: all rules with their parameters, as they are by default or by a rules file. */
#include <stdio.h>
#include <string.h>

#include "lib/alarm/rule_file.h"
#include "lib/analysis/rule.h"
#include "lib/base/tensor.h"
#include "tools/cli.h"
#include "tools/json.h"

static void on_remark(const char *sentence, void *payload)
{
    size_t *n = payload;
    (*n)++;
    (void)fprintf(stderr, "baro: %s\n", sentence);
}

/* The rule that runs the user's own has no name of its own. */
static bool is_shown(const struct rule *rule)
{
    return strcmp(rule->name, "custom") != 0;
}

static void print_rule(const struct cli *cli, const struct rule_book *book, size_t at)
{
    const struct term *term = &cli->out;
    const struct rule *rule = rule_table[at];
    (void)printf("%s[%s]%s  %s%s\n", term_paint(term, TERM_BOLD), rule->name,
        term_paint(term, TERM_PLAIN), baro_level_name(rule->level),
        book->is_on[at] ? "" : "  off");
    term_wrap(term, stdout, 4, rule->sentence);
    for (size_t p = 0; p < rule->n_params; p++) {
        char line[512];
        const struct rule_param *param = &rule->params[p];
        bool is_usual =
            book->params[at][p] >= param->usual && book->params[at][p] <= param->usual;
        char usual[48] = "";
        if (!is_usual) {
            (void)snprintf(usual, sizeof usual, " (default %g)", param->usual);
        }
        (void)snprintf(line, sizeof line, "%s = %g%s: %s; %g .. %g", param->name,
            book->params[at][p], usual, param->sentence, param->min, param->max);
        term_wrap(term, stdout, 4, line);
    }
}

static void print_custom(const struct cli *cli, const struct rule_custom *custom)
{
    char line[1200];
    const struct term *term = &cli->out;
    (void)printf("%s[new %s]%s\n", term_paint(term, TERM_BOLD), custom->name,
        term_paint(term, TERM_PLAIN));
    (void)snprintf(line, sizeof line, "series = %s; %s %s %g", custom->glob,
        custom->stat[0] != '\0' ? custom->stat : "value", rule_test_name(custom->test),
        custom->limit);
    term_wrap(term, stdout, 4, line);
}

static void print_json(const struct cli *cli, const struct rule_book *book, size_t at)
{
    const struct rule *rule = rule_table[at];
    json_t *params = json_array();
    for (size_t p = 0; p < rule->n_params; p++) {
        const struct rule_param *param = &rule->params[p];
        (void)json_array_append_new(
            params, json_pack("{s:s, s:o, s:o, s:o, s:o, s:s}", "name", param->name,
                        "value", json_number(book->params[at][p]), "default",
                        json_number(param->usual), "min", json_number(param->min), "max",
                        json_number(param->max), "sentence", param->sentence));
    }
    json_print(
        &cli->out, json_pack("{s:s, s:s, s:s, s:b, s:o}", "name", rule->name, "sentence",
                       rule->sentence, "severity", baro_level_name(rule->level), "is_on",
                       book->is_on[at], "parameters", params));
}

int cmd_rules(struct cli *cli)
{
    struct baro_err err = {0};
    const char *path = cli->values.check;
    size_t n_remarks = 0;
    struct rule_book *book = path != NULL
                                 ? rule_file_read(path, on_remark, &n_remarks, &err)
                                 : rule_book_default();
    if (book == NULL) {
        return cli_fail_err(&err);
    }
    if (path != NULL && !cli->values.is_json) {
        (void)printf(
            "%s: no errors, %zu remark%s\n", path, n_remarks, n_remarks == 1 ? "" : "s");
    }
    if (!cli->values.is_json) {
        (void)printf(
            "quiet_steps = %u, excuse_steps = %u\n", book->quiet_steps, book->excuse_steps);
    }
    for (size_t i = 0; i < rule_table_n; i++) {
        if (!is_shown(rule_table[i])) {
            continue;
        }
        if (cli->values.is_json) {
            print_json(cli, book, i);
        } else {
            print_rule(cli, book, i);
        }
    }
    for (size_t i = 0; !cli->values.is_json && i < book->n_customs; i++) {
        print_custom(cli, &book->customs[i]);
    }
    rule_book_destroy(book);
    return CLI_OK;
}
