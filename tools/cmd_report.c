/* SPDX-License-Identifier: Apache-2.0 */
/* baro report: hands over to baro-report beside it, which can draw (report/report.c). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/paths.h"
#include "tools/cli.h"
#include "tools/report_format.h"

enum { MAX_WORDS = 12 };

/* The program beside this one. */
static void program_of(char *out, size_t size)
{
    char self[BARO_PATH_BYTES];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash = n > 0 ? (self[n] = '\0', strrchr(self, '/')) : NULL;
    (void)snprintf(out, size, "%.*s/baro-report", slash != NULL ? (int)(slash - self) : 1,
        slash != NULL ? self : ".");
}

int cmd_report(struct cli *cli)
{
    enum report_format format;
    int rc = report_format_of(cli, &format);
    if (rc != CLI_OK) {
        return rc;
    }
    char program[BARO_PATH_BYTES + 16];
    char step[32];
    char name[] = "baro-report";
    char command[] = "report";
    char words[3][12] = {"--output", "--step", "--endpoint"};
    char *arguments[MAX_WORDS] = {name, command};
    size_t n = 2;
    arguments[n++] = words[0];
    arguments[n++] = (char *)(uintptr_t)cli->values.output;
    if (cli->values.step != INT64_MIN) {
        (void)snprintf(step, sizeof step, "%lld", (long long)cli->values.step);
        arguments[n++] = words[1];
        arguments[n++] = step;
    }
    if (cli->values.endpoint != NULL) {
        arguments[n++] = words[2];
        arguments[n++] = (char *)(uintptr_t)cli->values.endpoint;
    }
    if (cli->n_arguments > 0) {
        arguments[n++] = cli->arguments[0];
    }
    program_of(program, sizeof program);
    (void)fflush(NULL);
    (void)execv(program, arguments);
    return cli_fail(
        "cannot run '%s': %s; it is built where SDL2, SDL2_ttf and libpng are there",
        program, strerror(errno));
}
