/* SPDX-License-Identifier: Apache-2.0 */
/* baro: the command line of Barograph. Parses, runs one command, says how it went. */
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/link/link.h"
#include "tools/cli.h"

int cmd_help(struct cli *cli)
{
    const struct cli_command *command = NULL;
    if (cli->n_arguments == 1) {
        command = cli_find_command(cli->arguments[0]);
        if (command == NULL) {
            return cli_no_command(cli->arguments[0]);
        }
    }
    cli_print_help(&cli->out, command);
    return CLI_OK;
}

int cmd_completions(struct cli *cli)
{
    return cli_print_completions(cli->arguments[0]);
}

static int run_command(struct cli *cli)
{
    if (cli->values.is_version) {
        (void)printf("baro %s (protocol %d)\n", BAROGRAPH_VERSION, WIRE_VERSION);
        return CLI_OK;
    }
    if (cli->values.is_help) {
        cli_print_help(&cli->out, cli->command);
        return CLI_OK;
    }
    if (cli->command == NULL) {
        return cli_misuse("no command given; try 'baro runs'");
    }
    if (cli->values.dir != NULL) {
        /* All that looks for the data folder looks at BARO_DIR, a started daemon, too. */
        (void)setenv("BARO_DIR", cli->values.dir, 1);
        if (cli->values.endpoint == NULL) {
            (void)unsetenv("BARO_ENDPOINT");
        }
    }
    if (cli->values.key != NULL) { /* likewise all that connects */
        (void)setenv("BARO_KEY", cli->values.key, 1);
    }
    if (cli->values.is_insecure) {
        (void)setenv("BARO_INSECURE", "1", 1);
    }
    return cli->command->run(cli);
}

int main(int argc, char **argv)
{
    /* LC_NUMERIC stays "C": numbers are for programs, too. */
    (void)setlocale(LC_CTYPE, "");
    struct cli cli = {0};
    term_init(&cli.out, stdout);
    int rc = cli_parse(&cli, argc, argv);
    if (rc == CLI_OK) {
        rc = run_command(&cli);
    }
    link_close(cli.link);
    if ((fflush(stdout) != 0 || ferror(stdout) != 0) && rc == CLI_OK) {
        rc = cli_fail("cannot write the output");
    }
    return rc;
}
