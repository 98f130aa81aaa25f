/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shell completions out of the tables of commands.c; the build writes them to files, and
 * `baro completions SHELL` prints them. RUN arguments complete from `baro runs`.
 */
#include <stdio.h>
#include <string.h>

#include "tools/cli.h"

static const char ZSH_QUOTE[] = "'\\''";
static const char FISH_QUOTE[] = "\\'";

/* A list of options as one word list: "--json --from". */
static void print_names(const struct cli_option *options, size_t n_options)
{
    for (size_t i = 0; i < n_options; i++) {
        (void)printf(" --%s", options[i].name);
    }
}

/* Print a text within single quotes; shells differ in how they write a quote itself. */
static void print_quoted(const char *text, const char *quote)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            (void)fputs(quote, stdout);
        } else {
            (void)fputc(*text, stdout);
        }
    }
}

/* The words that an option's value may be; NULL: anything. */
static const char *words_of(const struct cli_option *option)
{
    const char *value = option->value != NULL ? option->value : "";
    return strcmp(value, "FORM") == 0 ? "csv jsonl npz"
           : strcmp(value, "KINDS") == 0
               ? "scalars steps summaries units histograms batches results events alerts all"
               : NULL;
}

static bool is_file(const struct cli_option *option)
{
    return option->value != NULL && strcmp(option->value, "FILE") == 0;
}

static bool has_run(const struct cli_command *command)
{
    return strstr(command->arguments, "RUN") != NULL;
}

static void print_bash(void)
{
    (void)printf(
        "# bash completion for baro; written by 'baro completions bash'\n"
        "_baro() {\n"
        "    local word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} words=\n"
        "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
        "        words='");
    for (size_t i = 0; i < cli_n_commands; i++) {
        (void)printf("%s%s", i > 0 ? " " : "", cli_commands[i].name);
    }
    print_names(cli_global_options, cli_n_global_options);
    (void)printf("'\n    else\n        case $command in\n");
    for (size_t i = 0; i < cli_n_commands; i++) {
        const struct cli_command *command = &cli_commands[i];
        (void)printf("        %s) words='", command->name);
        print_names(command->options, command->n_options);
        print_names(cli_global_options, cli_n_global_options);
        (void)printf("'");
        if (has_run(command)) {
            (void)printf(
                "\n            [ \"$COMP_CWORD\" -eq 2 ] && words=\"$words latest "
                "$(baro runs --json 2>/dev/null |\n"
                "                sed -n 's/.*\"id\": \"\\([^\"]*\\)\".*/\\1/p')\"");
        } else if (command->run == cmd_bench) {
            (void)printf("\" summarise push govern ingest train codec store\"");
        } else if (command->run == cmd_completions) {
            (void)printf("\" bash zsh fish\"");
        }
        (void)printf(" ;;\n");
    }
    (void)printf("        esac\n    fi\n"
                 "    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
                 "    case $command in\n"
                 "        recover|export) COMPREPLY+=($(compgen -f -- \"$word\")) ;;\n"
                 "    esac\n"
                 "    return 0\n"
                 "}\n"
                 "complete -F _baro baro\n");
}

static void print_zsh_options(const struct cli_option *options, size_t n_options)
{
    for (size_t i = 0; i < n_options; i++) {
        (void)printf(" \\\n            '--%s[", options[i].name);
        print_quoted(options[i].sentence, ZSH_QUOTE);
        const char *words = words_of(&options[i]);
        (void)printf("]%s%s", options[i].value != NULL ? ":" : "",
            options[i].value != NULL ? options[i].value : "");
        if (words != NULL) {
            (void)printf(":(%s)", words);
        }
        (void)printf("%s'", is_file(&options[i]) ? ":_files" : "");
    }
}

static void print_zsh(void)
{
    (void)printf("#compdef baro\n# written by 'baro completions zsh'\n"
                 "_baro() {\n"
                 "    local -a commands runs\n"
                 "    commands=(\n");
    for (size_t i = 0; i < cli_n_commands; i++) {
        (void)printf("        '%s:", cli_commands[i].name);
        print_quoted(cli_commands[i].sentence, ZSH_QUOTE);
        (void)printf("'\n");
    }
    (void)printf("    )\n"
                 "    if (( CURRENT == 2 )); then\n"
                 "        _describe command commands\n"
                 "        return\n"
                 "    fi\n"
                 "    case $words[2] in\n");
    for (size_t i = 0; i < cli_n_commands; i++) {
        const struct cli_command *command = &cli_commands[i];
        (void)printf("    %s)\n", command->name);
        if (has_run(command)) {
            (void)printf(
                "        runs=(latest ${(f)\"$(baro runs --json 2>/dev/null |\n"
                "            sed -n 's/.*\"id\": \"\\([^\"]*\\)\".*/\\1/p')\"})\n");
        }
        (void)printf("        _arguments");
        print_zsh_options(command->options, command->n_options);
        print_zsh_options(cli_global_options, cli_n_global_options);
        if (has_run(command)) {
            (void)printf(" \\\n            '2:run:($runs)' '*:glob:'");
        } else if (command->run == cmd_recover) {
            (void)printf(" \\\n            '*:ring:_files'");
        } else if (command->run == cmd_bench) {
            (void)printf(
                " \\\n            '*:bench:(summarise push govern ingest train codec store)'");
        } else if (command->run == cmd_completions) {
            (void)printf(" \\\n            '2:shell:(bash zsh fish)'");
        }
        (void)printf("\n        ;;\n");
    }
    (void)printf("    esac\n}\n_baro \"$@\"\n");
}

static void print_fish_options(
    const char *condition, const struct cli_option *options, size_t n_options)
{
    for (size_t i = 0; i < n_options; i++) {
        (void)printf("complete -c baro%s -l %s", condition, options[i].name);
        if (options[i].letter != '\0') {
            (void)printf(" -s %c", options[i].letter);
        }
        const char *words = words_of(&options[i]);
        (void)printf("%s%s", options[i].value != NULL ? " -r" : "",
            is_file(&options[i]) ? " -F" : "");
        if (words != NULL) {
            (void)printf(" -a '%s'", words);
        }
        (void)printf(" -d '");
        print_quoted(options[i].sentence, FISH_QUOTE);
        (void)printf("'\n");
    }
}

static void print_fish(void)
{
    (void)printf("# fish completion for baro; written by 'baro completions fish'\n"
                 "complete -c baro -f\n");
    print_fish_options("", cli_global_options, cli_n_global_options);
    for (size_t i = 0; i < cli_n_commands; i++) {
        const struct cli_command *command = &cli_commands[i];
        char condition[96];
        (void)printf("complete -c baro -n __fish_use_subcommand -a %s -d '", command->name);
        print_quoted(command->sentence, FISH_QUOTE);
        (void)printf("'\n");
        (void)snprintf(condition, sizeof condition, " -n '__fish_seen_subcommand_from %s'",
            command->name);
        print_fish_options(condition, command->options, command->n_options);
        if (has_run(command)) {
            (void)printf("complete -c baro%s -a \"latest (baro runs --json 2>/dev/null | "
                         "string match -gr '\\\"id\\\": \\\"([^\\\"]*)\\\"')\"\n",
                condition);
        } else if (command->run == cmd_recover) {
            (void)printf("complete -c baro%s -F\n", condition);
        } else if (command->run == cmd_bench) {
            (void)printf(
                "complete -c baro%s -a 'summarise push govern ingest train codec store'\n",
                condition);
        } else if (command->run == cmd_completions) {
            (void)printf("complete -c baro%s -a 'bash zsh fish'\n", condition);
        }
    }
}

int cli_print_completions(const char *shell)
{
    static const struct {
        const char *name;
        void (*print)(void);
    } shells[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};
    for (size_t i = 0; i < sizeof shells / sizeof shells[0]; i++) {
        if (strcmp(shells[i].name, shell) == 0) {
            shells[i].print();
            return CLI_OK;
        }
    }
    return cli_misuse("no completions for '%s'; there are bash, zsh and fish", shell);
}
