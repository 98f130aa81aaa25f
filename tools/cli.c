/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/cli.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "lib/link/link.h"

enum { CLI_MAX_NAMES = 64 };

/* ---- saying what is wrong ---- */

__attribute__((format(printf, 1, 0))) static void print_error(
    const char *format, va_list args)
{
    struct term term;
    term_init(&term, stderr);
    char raw[1024];
    char safe[1024];
    (void)vsnprintf(raw, sizeof raw, format, args);
    (void)fflush(stdout);
    (void)fprintf(stderr, "%sbaro:%s %s\n", term_paint(&term, TERM_BAD),
        term_paint(&term, TERM_PLAIN), term_safe(&term, raw, safe, sizeof safe));
}

double cli_number(double value)
{
    return isnan(value) ? (double)NAN : value;
}

int cli_fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_error(format, args);
    va_end(args);
    return CLI_FAILED;
}

int cli_misuse(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_error(format, args);
    va_end(args);
    (void)fprintf(stderr, "see baro --help\n");
    return CLI_USAGE;
}

int cli_fail_err(const struct baro_err *err)
{
    return cli_fail("%s", err->text);
}

/* ---- looking up ---- */

const struct cli_command *cli_find_command(const char *name)
{
    for (size_t i = 0; i < cli_n_commands; i++) {
        if (strcmp(cli_commands[i].name, name) == 0) {
            return &cli_commands[i];
        }
    }
    return NULL;
}

int cli_no_command(const char *name)
{
    const char *names[CLI_MAX_NAMES];
    size_t n_names = 0;
    for (size_t i = 0; i < cli_n_commands && n_names < CLI_MAX_NAMES; i++) {
        names[n_names++] = cli_commands[i].name;
    }
    const char *near = baro_nearest(name, names, n_names);
    if (near == NULL) {
        return cli_misuse("no command '%s'", name);
    }
    return cli_misuse("no command '%s'; did you mean '%s'?", name, near);
}

static const struct cli_option *find_in(
    const struct cli_option *options, size_t n_options, const char *name, size_t name_bytes)
{
    for (size_t i = 0; i < n_options; i++) {
        const struct cli_option *option = &options[i];
        bool is_letter =
            name_bytes == 1 && option->letter != '\0' && name[0] == option->letter;
        bool is_name = name_bytes > 1 && strlen(option->name) == name_bytes &&
                       memcmp(option->name, name, name_bytes) == 0;
        if (is_letter || is_name) {
            return option;
        }
    }
    return NULL;
}

static const struct cli_option *find_option(
    const struct cli_command *command, const char *name, size_t name_bytes)
{
    const struct cli_option *found =
        find_in(cli_global_options, cli_n_global_options, name, name_bytes);
    if (found == NULL && command != NULL) {
        found = find_in(command->options, command->n_options, name, name_bytes);
    }
    return found;
}

static int no_option(const struct cli_command *command, const char *text)
{
    const char *names[CLI_MAX_NAMES];
    size_t n_names = 0;
    for (size_t i = 0; i < cli_n_global_options && n_names < CLI_MAX_NAMES; i++) {
        names[n_names++] = cli_global_options[i].name;
    }
    for (size_t i = 0; command != NULL && i < command->n_options && n_names < CLI_MAX_NAMES;
         i++) {
        names[n_names++] = command->options[i].name;
    }
    char bare[128];
    const char *name = text + strspn(text, "-");
    (void)snprintf(bare, sizeof bare, "%.*s", (int)strcspn(name, "="), name);
    const char *near = baro_nearest(bare, names, n_names);
    const char *before = command != NULL ? command->name : "baro";
    if (near == NULL) {
        return cli_misuse("%s has no option '%s'", before, text);
    }
    return cli_misuse("%s has no option '%s'; did you mean '--%s'?", before, text, near);
}

/* ---- parsing ---- */

static void *value_place(struct cli *cli, const struct cli_option *option)
{
    return (char *)&cli->values + option->offset;
}

static int set_value(struct cli *cli, const struct cli_option *option, const char *text)
{
    void *place = value_place(cli, option);
    if (option->type == CLI_TEXT) {
        *(const char **)place = text;
    } else {
        char *end = NULL;
        errno = 0;
        long long number = strtoll(text, &end, 10);
        if (errno != 0 || end == text || *end != '\0') {
            return cli_misuse("--%s: '%s' is not a whole number", option->name, text);
        }
        *(int64_t *)place = number;
    }
    return CLI_OK;
}

/* Handle the option at argv[*index]; moves on over a value of its own. */
static int parse_option(struct cli *cli, int argc, char **argv, int *index)
{
    const char *text = argv[*index];
    bool is_long = text[1] == '-';
    const char *name = text + (is_long ? 2 : 1);
    size_t name_bytes = is_long ? strcspn(name, "=") : 1;
    const struct cli_option *option = NULL;
    if (!is_long || name_bytes > 1) {
        option = find_option(cli->command, name, name_bytes);
    }
    if (option == NULL) {
        return no_option(cli->command, text);
    }
    const char *value = name + name_bytes;
    if (option->type == CLI_FLAG) {
        if (*value != '\0') {
            return cli_misuse("--%s takes no value", option->name);
        }
        *(bool *)value_place(cli, option) = true;
        return CLI_OK;
    }
    if (*value == '=') {
        value++;
    } else if (*value == '\0') {
        if (*index + 1 >= argc) {
            return cli_misuse(
                "--%s needs a value: --%s %s", option->name, option->name, option->value);
        }
        value = argv[++*index];
    }
    return set_value(cli, option, value);
}

static int check_arguments(const struct cli *cli)
{
    const struct cli_command *command = cli->command;
    if (command == NULL || cli->values.is_help || cli->values.is_version) {
        return CLI_OK;
    }
    if (cli->n_arguments < command->min_arguments) {
        return cli_misuse(
            "not enough arguments; it is: baro %s %s", command->name, command->arguments);
    }
    if (cli->n_arguments > command->max_arguments) {
        return cli_misuse("'%s' is too much; it is: baro %s%s%s",
            cli->arguments[command->max_arguments], command->name,
            command->arguments[0] != '\0' ? " " : "", command->arguments);
    }
    return CLI_OK;
}

int cli_parse(struct cli *cli, int argc, char **argv)
{
    cli->values.step = INT64_MIN;
    cli->values.rng = INT64_MIN;
    cli->values.remove = INT64_MIN;
    cli->values.sample = INT64_MIN;
    cli->values.against = INT64_MIN;
    cli->values.from = INT64_MIN;
    cli->values.columns = INT64_MIN;
    cli->values.to = INT64_MAX;
    cli->arguments = argv; /* what is kept is moved to the front */
    bool is_options = true;
    for (int i = 1; i < argc; i++) {
        if (is_options && strcmp(argv[i], "--") == 0) {
            is_options = false;
        } else if (is_options && argv[i][0] == '-' && argv[i][1] != '\0') {
            int rc = parse_option(cli, argc, argv, &i);
            if (rc != CLI_OK) {
                return rc;
            }
        } else if (cli->command == NULL) {
            cli->command = cli_find_command(argv[i]);
            if (cli->command == NULL) {
                return cli_no_command(argv[i]);
            }
        } else {
            argv[cli->n_arguments++] = argv[i];
        }
    }
    return check_arguments(cli);
}

/* ---- help ---- */

static void print_options(
    const struct term *term, const struct cli_option *options, size_t n_options)
{
    for (size_t i = 0; i < n_options; i++) {
        const struct cli_option *option = &options[i];
        char left[64];
        int n = option->letter != '\0'
                    ? snprintf(left, sizeof left, "-%c, --%s", option->letter, option->name)
                    : snprintf(left, sizeof left, "    --%s", option->name);
        if (option->value != NULL) {
            (void)snprintf(left + n, sizeof left - (size_t)n, " %s", option->value);
        }
        (void)printf("  %s%-24s%s %s\n", term_paint(term, TERM_ACCENT), left,
            term_paint(term, TERM_PLAIN), option->sentence);
    }
}

static void print_overview(const struct term *term)
{
    (void)printf("usage: baro COMMAND [ARGUMENT]... [OPTION]...\n\n"
                 "Watch neural networks in training: their runs, series and alerts.\n\n");
    for (size_t i = 0; i < cli_n_commands; i++) {
        const struct cli_command *command = &cli_commands[i];
        char left[64];
        (void)snprintf(left, sizeof left, "%s %s", command->name, command->arguments);
        (void)printf("  %s%-24s%s %s\n", term_paint(term, TERM_ACCENT), left,
            term_paint(term, TERM_PLAIN), command->sentence);
    }
    (void)printf("\nOptions of every command:\n");
    print_options(term, cli_global_options, cli_n_global_options);
    (void)printf(
        "\nRUN is a run's id, the beginning of one, its name, PROJECT/NAME, or 'latest'.\n"
        "More about one command: baro help COMMAND; about all: man baro.\n");
}

void cli_print_help(const struct term *term, const struct cli_command *command)
{
    if (command == NULL) {
        print_overview(term);
        return;
    }
    (void)printf("usage: baro %s%s%s%s\n\n%s.\n", command->name,
        command->arguments[0] != '\0' ? " " : "", command->arguments,
        command->n_options > 0 ? " [OPTION]..." : "", command->sentence);
    if (command->more != NULL) {
        struct term paper = *term;
        paper.columns = term->is_tty && term->columns < 80 ? term->columns : 80;
        (void)printf("\n");
        term_wrap(&paper, stdout, 0, command->more);
    }
    (void)printf("\nOptions:\n");
    print_options(term, command->options, command->n_options);
    print_options(term, cli_global_options, cli_n_global_options);
}

/* ---- the daemon ---- */

struct link *cli_link(struct cli *cli)
{
    if (cli->link != NULL) {
        return cli->link;
    }
    struct baro_err err = {0};
    struct link *link = link_open(cli->values.endpoint, &err);
    if (link == NULL) {
        (void)cli_fail_err(&err);
        return NULL;
    }
    if (!link_is_served(link)) {
        (void)cli_fail(
            "no daemon answers at %s; start one with 'baro up'", link_endpoint(link));
        link_close(link);
        return NULL;
    }
    cli->link = link;
    return link;
}
