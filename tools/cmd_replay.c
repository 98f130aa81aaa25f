/* SPDX-License-Identifier: Apache-2.0 */
/*
 * baro replay: the very rules over stored history: what they say now beside what was recorded, and
 * how often they would have called.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/alarm/rule_file.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "tools/alerts.h"
#include "tools/json.h"
#include "tools/replay.h"
#include "tools/runs.h"
#include "tools/series.h"

enum { MAX_TOLD = 20 };

static void on_remark(const char *sentence, void *payload)
{
    (void)payload;
    (void)fprintf(stderr, "baro: %s\n", sentence);
}

/* The rules that were named, else those of the daemon, if its file can be read here. */
static struct rule_book *choose_rules(
    const struct cli *cli, const Baro__AlertsReply *recorded, struct baro_err *err)
{
    if (cli->values.rules != NULL) {
        return rule_file_read(cli->values.rules, on_remark, NULL, err);
    }
    if (recorded->rules[0] == '\0') {
        return rule_book_default();
    }
    if (access(recorded->rules, R_OK) != 0) {
        (void)fprintf(stderr,
            "baro: the daemon's rules file '%s' cannot be read here: replaying with the "
            "default rules\n",
            recorded->rules);
        return rule_book_default();
    }
    return rule_file_read(recorded->rules, on_remark, NULL, err);
}

static bool fits_any(const char *glob, const struct thing_list *things)
{
    char label[SERIES_LABEL_BYTES];
    for (size_t i = 0; i < things->n_things; i++) {
        if (!thing_is_run(things->things[i]) &&
            baro_glob(glob, thing_label(things->things[i], label))) {
            return true;
        }
    }
    return false;
}

/* Patterns of the rules file that fit no series of the run. */
static int look_for_nothing(
    struct cli *cli, uint32_t run, const struct rule_book *rules, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    struct thing_list things = {0};
    if (rules->n_overrides + rules->n_customs == 0) {
        return CLI_OK;
    }
    int rc = things_ask(cli, run, NULL, &things);
    for (size_t i = 0; rc == CLI_OK && i < rules->n_customs; i++) {
        if (!fits_any(rules->customs[i].glob, &things)) {
            (void)fprintf(stderr,
                "baro: %s:%u: the rule '%s' names nothing: no series fits '%s'\n", name,
                rules->customs[i].line, rules->customs[i].name, rules->customs[i].glob);
        }
    }
    for (size_t i = 0; rc == CLI_OK && i < rules->n_overrides; i++) {
        bool is_first =
            i == 0 || strcmp(rules->overrides[i].glob, rules->overrides[i - 1].glob) != 0;
        if (is_first && !fits_any(rules->overrides[i].glob, &things)) {
            (void)fprintf(stderr, "baro: %s:%u: no series fits '%s'\n", name,
                rules->overrides[i].line, rules->overrides[i].glob);
        }
    }
    things_release(&things);
    return rc;
}

static double per_million(const struct replay *replay)
{
    double n = (double)(replay->n_alerts + replay->n_withheld);
    return replay->n_readings > 0 ? 1e6 * n / (double)replay->n_readings : 0;
}

/* Why a replay may differ by its nature. */
static const char *reason_of(const struct replay *replay)
{
    return replay->damage[0] != '\0' ? "readings are damaged"
           : replay->n_pruned > 0    ? "old readings were pruned"
           : replay->lacks_ranks     ? "an older daemon did not keep whose the steps are"
           : replay->has_restarts    ? "the run was resumed"
                                     : "";
}

static void print_result(const struct cli *cli, const struct replay *replay,
    const struct differences *differences)
{
    const struct term *term = &cli->out;
    (void)printf("%llu reading%s in %.2f s: %zu incident%s, %llu alert%s, %.3g alerts per "
                 "million readings\n",
        (unsigned long long)replay->n_readings, replay->n_readings == 1 ? "" : "s",
        replay->seconds, replay->n_incidents, replay->n_incidents == 1 ? "" : "s",
        (unsigned long long)(replay->n_alerts + replay->n_withheld),
        replay->n_alerts + replay->n_withheld == 1 ? "" : "s", per_million(replay));
    const char *reason = reason_of(replay);
    (void)printf("same as recorded: %s%s%s%s%s%s%s\n",
        term_paint(term, differences->n == 0 ? TERM_GOOD : TERM_WARN),
        differences->n == 0 ? "yes" : "no", term_paint(term, TERM_PLAIN),
        differences->n > 0 && cli->values.rules != NULL ? " (with other rules)" : "",
        reason[0] != '\0' ? " (" : "", reason, reason[0] != '\0' ? ")" : "");
    char safe[4096];
    for (size_t i = 0; i < differences->n && i < MAX_TOLD; i++) {
        term_wrap(
            term, stdout, 2, term_safe(term, differences->sentences[i], safe, sizeof safe));
    }
    if (differences->n > MAX_TOLD) {
        (void)printf("  and %zu more\n", differences->n - MAX_TOLD);
    }
}

static void print_result_json(const struct cli *cli, const struct replay *replay,
    const struct differences *differences)
{
    json_t *list = json_array();
    for (size_t i = 0; i < differences->n; i++) {
        (void)json_array_append_new(list, json_text(differences->sentences[i]));
    }
    json_print(&cli->out,
        json_pack("{s:s, s:I, s:I, s:I, s:I, s:o, s:b, s:o, s:o, s:I, s:o}", "type",
            "replay", "readings", (json_int_t)replay->n_readings, "alerts",
            (json_int_t)replay->n_alerts, "more_alerts", (json_int_t)replay->n_withheld,
            "incidents", (json_int_t)replay->n_incidents, "alerts_per_million",
            json_number(per_million(replay)), "same_as_recorded", differences->n == 0,
            "differences", list, "may_differ_because", json_text_or_null(reason_of(replay)),
            "pruned", (json_int_t)replay->n_pruned, "seconds",
            json_number(replay->seconds)));
}

static int replay_and_print(struct cli *cli, const Baro__RunInfo *run,
    const Baro__AlertsReply *recorded, const struct rule_book *rules)
{
    struct replay replay = {0};
    struct differences differences = {0};
    int rc = replay_run(cli, run, recorded, rules, &replay);
    if (rc == CLI_OK) {
        alerts_print_all(cli, replay.incidents, replay.n_incidents, replay.alerts,
            replay.n_alerts, cli->values.is_all);
        replay_compare(&replay, recorded, &differences);
        if (cli->values.is_json) {
            print_result_json(cli, &replay, &differences);
        } else {
            print_result(cli, &replay, &differences);
        }
    }
    differences_finish(&differences);
    replay_finish(&replay);
    return rc;
}

int cmd_replay(struct cli *cli)
{
    struct run_list runs;
    if (cli_link(cli) == NULL || runs_ask(cli, &runs) != CLI_OK) {
        return CLI_FAILED;
    }
    const Baro__RunInfo *run =
        runs_find(&runs, cli->n_arguments > 0 ? cli->arguments[0] : NULL);
    struct link_message reply = {0};
    const Baro__AlertsReply *recorded =
        run != NULL ? alerts_ask(cli, run->run, &reply) : NULL;
    int rc = CLI_FAILED;
    if (recorded != NULL) {
        struct baro_err err = {0};
        struct rule_book *rules = choose_rules(cli, recorded, &err);
        rc = rules == NULL
                 ? cli_fail_err(&err)
                 : look_for_nothing(cli, run->run, rules,
                       cli->values.rules != NULL ? cli->values.rules : recorded->rules);
        rc = rc == CLI_OK ? replay_and_print(cli, run, recorded, rules) : rc;
        rule_book_destroy(rules);
        link_message_release(&reply);
    }
    runs_release(&runs);
    return rc;
}
