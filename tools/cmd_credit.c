/* SPDX-License-Identifier: Apache-2.0 */
/* baro credit: of what a value, a gradient or a change was made, out of a probe of the run. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/mem.h"
#include "tools/credit_print.h"
#include "tools/progress.h"

enum { SLICE_ELEMENTS = 1 << 22 /* between looks at how far it is */ };

/* Work until all is explained, telling on a terminal how far it is. */
static int work(const struct credit_asked *asked)
{
    struct baro_err err = {0};
    struct credit *credit = NULL;
    struct progress progress;
    if (credit_begin(&credit, asked->mode, asked->now->probe,
            asked->before != NULL ? asked->before->probe : NULL, &asked->target,
            &err) != 0) {
        return cli_fail_err(&err);
    }
    if (!asked->cli->values.is_json) {
        credit_print_head(asked);
    }
    progress_begin(
        &progress, "operations", asked->now->probe->n_ops, asked->cli->values.is_json);
    while (credit_work(credit, SLICE_ELEMENTS)) {
        const struct credit_finding *finding = credit_look(credit);
        progress_tell(
            &progress, (uint64_t)(finding->fraction * asked->now->probe->n_ops), 0);
    }
    progress_end(&progress);
    if (asked->cli->values.is_json) {
        credit_print_json(asked, credit_look(credit));
    } else {
        credit_print_text(asked, credit_look(credit));
    }
    credit_free(credit);
    return CLI_OK;
}

/* Choose the probe that a change is compared with. */
static int choose_before(const struct cli *cli, const struct probe_list *list,
    const struct probe_entry *now, const struct probe_entry **out)
{
    const int64_t against = cli->values.against;
    *out = against != INT64_MIN ? probes_choose(list, against) : probes_before(list, now);
    if (*out == NULL) {
        return cli_fail(
            against != INT64_MIN
                ? "no probe of the run is whole at or before step %" PRId64
                : "a change needs a probe of an earlier step, and the run has none "
                  "before step %" PRId64,
            against != INT64_MIN ? against : now->step);
    }
    if (*out == now) {
        return cli_fail("the newest probe at or before step %" PRId64
                        " is the very one that is to be explained; choose an earlier step, "
                        "'baro probes' lists them",
            against);
    }
    return CLI_OK;
}

static int explain(
    struct cli *cli, uint32_t run, const struct probe_list *list, enum credit_mode mode)
{
    const struct probe_entry *entry = probes_choose(list, cli->values.step);
    const struct probe_entry *earlier = NULL;
    struct fetched_probe now = {0};
    struct fetched_probe before = {0};
    struct baro_err err = {0};
    struct credit_asked asked = {.cli = cli, .now = &now, .mode = mode};
    if (entry == NULL) {
        return cli_fail(
            list->n == 0
                ? "the run has no probes: the operations of no step were recorded"
                : "no probe of the run is whole, or none is at or before that step; "
                  "'baro probes' lists them");
    }
    int rc = mode == CREDIT_CHANGE ? choose_before(cli, list, entry, &earlier) : CLI_OK;
    rc = rc == CLI_OK ? probes_fetch(cli, run, entry, &now) : rc;
    if (rc == CLI_OK && earlier != NULL) {
        rc = probes_fetch(cli, run, earlier, &before);
        asked.before = &before;
    }
    const char *words = cli->values.target != NULL ? cli->values.target : "loss";
    if (rc == CLI_OK && credit_find_target(now.probe, words, &asked.target, &err) != 0) {
        rc = cli_fail_err(&err);
    }
    if (rc == CLI_OK) {
        if (cli->values.sample != INT64_MIN) {
            asked.target.row = cli->values.sample;
        }
        rc = work(&asked);
    }
    probes_release(&now);
    probes_release(&before);
    return rc;
}

int cmd_credit(struct cli *cli)
{
    const char *mode = cli->values.mode != NULL ? cli->values.mode : "value";
    const enum credit_mode wanted = strcmp(mode, "value") == 0      ? CREDIT_VALUE
                                    : strcmp(mode, "gradient") == 0 ? CREDIT_GRADIENT
                                    : strcmp(mode, "change") == 0   ? CREDIT_CHANGE
                                                                    : CREDIT_MODE_END;
    if (wanted == CREDIT_MODE_END) {
        return cli_misuse("--mode: '%s' is not value, gradient or change", mode);
    }
    if (cli->values.against != INT64_MIN && wanted != CREDIT_CHANGE) {
        return cli_misuse("--against is for --mode change");
    }
    if (cli->values.sample != INT64_MIN && cli->values.sample < 0) {
        return cli_misuse(
            "--sample: %" PRId64 " is not a place in a batch", cli->values.sample);
    }
    struct run_probes probes;
    int rc = probes_open(cli, &probes);
    if (rc == CLI_OK) {
        rc = explain(cli, probes.run, &probes.list, wanted);
    }
    probes_close(&probes);
    return rc;
}
