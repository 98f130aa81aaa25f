/* SPDX-License-Identifier: Apache-2.0 */
#include "client/view/words.h"

#include <stdio.h>
#include <string.h>

#include "client/draw/format.h"
#include "lib/base/text.h"

char *words_run(char out[WORDS_MAX], const struct model_run *run)
{
    (void)snprintf(out, WORDS_MAX, "%s%s%s", run->project,
        run->project[0] != '\0' && run->name[0] != '\0' ? " / " : "", run->name);
    out[baro_utf8_prefix(out, strlen(out), WORDS_MAX - 1)] = '\0';
    return out;
}

const char *words_status(Baro__RunStatus status)
{
    switch ((int)status) {
    case BARO__RUN_STATUS__RUN_RUNNING: return "running";
    case BARO__RUN_STATUS__RUN_FINISHED: return "finished";
    case BARO__RUN_STATUS__RUN_FAILED: return "failed";
    case BARO__RUN_STATUS__RUN_KILLED: return "killed";
    case BARO__RUN_STATUS__RUN_STALLED: return "stalled";
    default: return "unknown";
    }
}

enum theme_health words_run_health(const struct model_run *run)
{
    bool is_broken = run->status == BARO__RUN_STATUS__RUN_FAILED ||
                     run->status == BARO__RUN_STATUS__RUN_KILLED;
    if (run->worst_level == BARO_ALARM || is_broken) {
        return THEME_ALARM;
    }
    if (run->worst_level == BARO_WATCH || run->status == BARO__RUN_STATUS__RUN_STALLED) {
        return THEME_WATCH;
    }
    return run->n_steps > 0 ? THEME_CALM : THEME_NO_DATA;
}

char *words_shape(char out[WORDS_MAX], const struct model_thing *thing)
{
    size_t n = 0;
    for (uint32_t i = 0; i < thing->n_dims && n < WORDS_MAX - 32; i++) {
        char extent[FORMAT_MAX];
        n += (size_t)snprintf(out + n, WORDS_MAX - n, "%s%s", i > 0 ? " × " : "",
            format_count(extent, thing->shape[i]));
    }
    n += (size_t)snprintf(out + n, WORDS_MAX - n, "%s%s", n > 0 ? " " : "scalar ",
        baro_dtype_name(thing->dtype));
    if (thing->n_units > 0) {
        char units[FORMAT_MAX];
        (void)snprintf(out + n, WORDS_MAX - n, " · %s units",
            format_count(units, (int64_t)thing->n_units));
    }
    return out;
}

char *words_headline(char out[WORDS_MAX], const struct model *model,
    const struct model_run *run, const struct model_alert *worst)
{
    char step[FORMAT_MAX];
    (void)format_count(step, run->last_step);
    if (worst != NULL) {
        (void)snprintf(out, WORDS_MAX, "%s", worst->text);
        out[baro_utf8_prefix(out, strlen(out), WORDS_MAX - 1)] = '\0';
    } else if (run->status == BARO__RUN_STATUS__RUN_FAILED) {
        (void)snprintf(out, WORDS_MAX, "Failed at step %s%s%.200s", step,
            run->status_text[0] != '\0' ? ": " : ".", run->status_text);
    } else if (run->status == BARO__RUN_STATUS__RUN_KILLED) {
        (void)snprintf(
            out, WORDS_MAX, "Its process ended without a word after step %s.", step);
    } else if (run->status == BARO__RUN_STATUS__RUN_STALLED) {
        (void)snprintf(out, WORDS_MAX,
            "No step for much longer than usual; the last one was %s.", step);
    } else if (run->n_steps == 0) {
        (void)snprintf(out, WORDS_MAX, "Waiting for the first step.");
    } else if (!model->has_alerts) {
        (void)snprintf(out, WORDS_MAX, "Reading.");
    } else {
        (void)snprintf(out, WORDS_MAX, "Fine: no alert in %s steps.",
            format_count(step, run->n_steps));
    }
    return out;
}
