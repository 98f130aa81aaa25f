/* SPDX-License-Identifier: Apache-2.0 */
/* baro why: the investigation. What broke, where, since when, why, and what to change. */
#include "lib/base/mem.h"
#include "tools/why_print.h"

/* Tell what is known so far; the headline stands before the long readings are asked for. */
static int tell(struct why_reading *reading)
{
    const struct cli *cli = reading->cli;
    baro_autofree struct why_story *story = baro_xcalloc(1, sizeof *story);
    if (!cli->values.is_json) {
        why_print_run(reading);
    }
    int rc = why_read_rest(reading);
    if (rc != CLI_OK) {
        return rc;
    }
    why_tell(&reading->facts, story);
    if (cli->values.is_json) {
        why_print_json(reading, story);
    } else {
        why_print_headline(reading, story);
        why_print_story(reading, story);
    }
    return CLI_OK;
}

int cmd_why(struct cli *cli)
{
    struct why_reading reading;
    int rc = why_read_begin(
        cli, cli->n_arguments > 0 ? cli->arguments[0] : NULL, cli->values.step, &reading);
    if (rc == CLI_OK) {
        rc = tell(&reading);
    }
    why_read_finish(&reading);
    return rc;
}
