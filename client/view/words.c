/* SPDX-License-Identifier: Apache-2.0 */
#include "client/view/words.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "client/draw/format.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

char *words_run(char out[WORDS_MAX], const struct model_run *run)
{
    const char *branch = run->branch != NULL ? run->branch : "";
    (void)snprintf(out, WORDS_MAX, "%s%s%.200s%s%s", run->project,
        run->project[0] != '\0' && run->name[0] != '\0' ? " / " : "", run->name,
        branch[0] != '\0' ? " " : "", branch);
    out[baro_utf8_prefix(out, strlen(out), WORDS_MAX - 1)] = '\0';
    return out;
}

static bool is_interrupted(const struct model_run *run)
{
    return run->status == BARO__RUN_STATUS__RUN_FAILED &&
           strncmp(run->status_text, READING_INTERRUPTED, strlen(READING_INTERRUPTED)) == 0;
}

const char *words_status(const struct model_run *run)
{
    if (is_interrupted(run)) {
        return "stopped";
    }
    switch ((int)run->status) {
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
    bool is_broken =
        (run->status == BARO__RUN_STATUS__RUN_FAILED && !is_interrupted(run)) ||
        run->status == BARO__RUN_STATUS__RUN_KILLED;
    if (run->worst_level == BARO_ALARM || is_broken) {
        return THEME_ALARM;
    }
    if (run->worst_level == BARO_WATCH || run->status == BARO__RUN_STATUS__RUN_STALLED) {
        return THEME_WATCH;
    }
    return run->n_steps > 0 ? THEME_CALM : THEME_NO_DATA;
}

char *words_thing(char out[WORDS_MAX], const struct model_thing *thing)
{
    char epoch[16] = "";
    if (thing->epoch > 1) {
        (void)snprintf(epoch, sizeof epoch, " #%u", thing->epoch);
    }
    if (thing->rank > 0) {
        (void)snprintf(out, WORDS_MAX, "%.260s%s @%u", thing->name, epoch, thing->rank);
    } else {
        (void)snprintf(out, WORDS_MAX, "%.280s%s", thing->name, epoch);
    }
    out[baro_utf8_prefix(out, strlen(out), WORDS_MAX - 1)] = '\0';
    return out;
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
        (void)snprintf(out + n, WORDS_MAX - n, " · %s unit%s",
            format_count(units, (int64_t)thing->n_units), thing->n_units == 1 ? "" : "s");
    }
    return out;
}

bool words_is_own(const struct model_thing *thing)
{
    static const char prefix[] = "barograph/";
    return !thing->is_tensor && strncmp(thing->name, prefix, sizeof prefix - 1) == 0;
}

bool words_is_loss(const struct model_thing *thing)
{
    size_t n = strlen(thing->name);
    return !thing->is_tensor &&
           (strncasecmp(thing->name, "loss/", 5) == 0 ||
               (n >= 4 && strcasecmp(thing->name + n - 4, "loss") == 0));
}

bool words_is_replicated(const struct model_thing *thing)
{
    static const char prefix[] = "replicated/";
    return !thing->is_tensor && strncmp(thing->name, prefix, sizeof prefix - 1) == 0;
}

bool words_is_derived(const struct model_thing *thing)
{
    static const char *const suffixes[] = {"/rho", "/attn_logit_max"};
    size_t n = strlen(thing->name);
    if (thing->is_tensor || words_is_replicated(thing)) {
        return !thing->is_tensor;
    }
    for (size_t i = 0; i < BARO_LEN(suffixes); i++) {
        size_t n_suffix = strlen(suffixes[i]);
        if (n > n_suffix && strcmp(thing->name + n - n_suffix, suffixes[i]) == 0) {
            return true;
        }
    }
    return false;
}

char *words_add_cadence(char out[WORDS_MAX], const struct model_thing *thing)
{
    size_t n = strlen(out);
    char steps[FORMAT_MAX];
    if (thing->cadence <= 0) {
        return out;
    }
    if (thing->cadence < 1.5) {
        n += (size_t)snprintf(out + n, WORDS_MAX - n, " · each step");
    } else {
        n += (size_t)snprintf(out + n, WORDS_MAX - n, " · every %s steps",
            format_count(steps, llround(thing->cadence)));
    }
    if (n < WORDS_MAX && thing->n_units > 0 && thing->unit_cadence > 1.5 * thing->cadence) {
        (void)snprintf(out + n, WORDS_MAX - n, ", units every %s",
            format_count(steps, llround(thing->unit_cadence)));
    }
    return out;
}

/* The first thing that has held a NaN or an infinity; NULL if none has. */
static const struct model_thing *first_nonfinite(const struct model *model)
{
    for (size_t i = 0; i < model->things->n; i++) {
        if (model->things->at[i].n_nonfinite > 0) {
            return &model->things->at[i];
        }
    }
    return NULL;
}

/* The gravest of the program's own warnings, the first of those; NULL: it gave none. */
static const struct model_event *worst_event(const struct model *model, size_t *n)
{
    const struct model_event *worst = NULL;
    *n = 0;
    for (size_t i = 0; i < model->events->n; i++) {
        const struct model_event *event = &model->events->at[i];
        if (event->level >= BARO_WATCH) {
            worst = worst == NULL || event->level > worst->level ? event : worst;
            (*n)++;
        }
    }
    return worst;
}

static void say_event(char out[WORDS_MAX], const struct model_event *event, size_t n)
{
    char step[FORMAT_MAX];
    char more[FORMAT_MAX];
    int used = snprintf(out, WORDS_MAX, "The program's own %s at step %s: ",
        event->level >= BARO_ALARM ? "alarm" : "warning", format_count(step, event->step));
    const size_t room = WORDS_MAX - 64 - (size_t)used;
    used += snprintf(out + used, WORDS_MAX - (size_t)used, "%.*s",
        (int)baro_utf8_prefix(event->text, strlen(event->text), room), event->text);
    if (n > 1) {
        (void)snprintf(out + used, WORDS_MAX - (size_t)used, " · and %s more",
            format_count(more, (int64_t)n - 1));
    }
}

/* "Fine: 3,000 steps, every reading of 3 scalars and 32 tensors finite." */
static void say_fine(
    char out[WORDS_MAX], const struct model *model, const struct model_run *run)
{
    char steps[FORMAT_MAX];
    char scalars[FORMAT_MAX];
    char tensors[FORMAT_MAX];
    int64_t n_tensors = 0;
    int64_t n_scalars = 0;
    for (size_t i = 0; i < model->things->n; i++) {
        const struct model_thing *thing = &model->things->at[i];
        n_tensors += thing->is_tensor && thing->epoch <= 1 ? 1 : 0;
        n_scalars += !thing->is_tensor && !words_is_own(thing) ? 1 : 0;
    }
    size_t n = (size_t)snprintf(out, WORDS_MAX,
        "Fine: %s step%s, no alert; every reading of %s scalar%s",
        format_count(steps, run->n_steps), run->n_steps == 1 ? "" : "s",
        format_count(scalars, n_scalars), n_scalars == 1 ? "" : "s");
    if (n_tensors > 0) {
        n += (size_t)snprintf(out + n, WORDS_MAX - n, " and %s tensor%s",
            format_count(tensors, n_tensors), n_tensors == 1 ? "" : "s");
    }
    (void)snprintf(out + n, WORDS_MAX - n, " was finite.");
}

enum theme_health words_shown_health(const struct model *model, const struct model_run *run)
{
    enum theme_health health = words_run_health(run);
    size_t n;
    const struct model_event *event =
        health == THEME_CALM && model->run == run->run ? worst_event(model, &n) : NULL;
    return event == NULL ? health : event->level >= BARO_ALARM ? THEME_ALARM : THEME_WATCH;
}

enum theme_health words_headline_health(
    const struct model *model, const struct model_run *run, const struct model_alert *worst)
{
    if (worst != NULL) {
        return worst->level == BARO_ALARM   ? THEME_ALARM
               : worst->level == BARO_WATCH ? THEME_WATCH
                                            : THEME_CALM;
    }
    enum theme_health health = words_shown_health(model, run);
    return health == THEME_CALM && first_nonfinite(model) != NULL ? THEME_WATCH : health;
}

char *words_headline(char out[WORDS_MAX], const struct model *model,
    const struct model_run *run, const struct model_alert *worst)
{
    char step[FORMAT_MAX];
    (void)format_count(step, run->last_step);
    const struct model_thing *bad = first_nonfinite(model);
    size_t n_events;
    const struct model_event *event = worst_event(model, &n_events);
    if (worst != NULL) {
        (void)snprintf(out, WORDS_MAX, "%s", worst->text);
        out[baro_utf8_prefix(out, strlen(out), WORDS_MAX - 1)] = '\0';
    } else if (run->status == BARO__RUN_STATUS__RUN_FAILED) {
        (void)snprintf(out, WORDS_MAX, "%s at step %s%s%.200s",
            is_interrupted(run) ? "Stopped" : "Failed", step,
            run->status_text[0] != '\0' ? ": " : ".", run->status_text);
    } else if (run->status == BARO__RUN_STATUS__RUN_KILLED) {
        (void)snprintf(
            out, WORDS_MAX, "Its process ended without a word after step %s.", step);
    } else if (run->status == BARO__RUN_STATUS__RUN_STALLED) {
        (void)snprintf(out, WORDS_MAX,
            "No step for much longer than usual; the last one was %s.", step);
    } else if (run->n_steps == 0) {
        (void)snprintf(out, WORDS_MAX, "Waiting for the first step.");
    } else if (!model->has_alerts || !model->has_things) {
        (void)words_waiting(out, model, true);
    } else if (bad != NULL) {
        char name[WORDS_MAX];
        (void)snprintf(out, WORDS_MAX, "No alert, but %.200s has held NaN or Inf.",
            words_thing(name, bad));
    } else if (event != NULL) {
        say_event(out, event, n_events);
    } else {
        say_fine(out, model, run);
    }
    return out;
}

char *words_waiting(char out[WORDS_MAX], const struct model *model, bool is_sentence)
{
    char clock[FORMAT_MAX];
    switch (model->state) {
    case MODEL_AWAY:
        (void)snprintf(out, WORDS_MAX,
            is_sentence ? "waiting for the daemon, away since %s" : "no daemon since %s",
            format_clock(clock, model->since_wall_ns, 1));
        break;
    case MODEL_MISMATCH:
        (void)snprintf(out, WORDS_MAX, "the daemon speaks another protocol");
        break;
    case MODEL_CONNECTING:
        (void)snprintf(
            out, WORDS_MAX, is_sentence ? "connecting to the daemon" : "connecting");
        break;
    case MODEL_READY:
    case MODEL_STATE_COUNT: (void)snprintf(out, WORDS_MAX, "reading"); break;
    }
    if (is_sentence) {
        size_t n = strlen(out);
        out[0] = (char)toupper((unsigned char)out[0]);
        (void)snprintf(out + n, WORDS_MAX - n, ".");
    }
    return out;
}

char *words_add_coarse(char note[WORDS_MAX], uint64_t n_coarse)
{
    char n[FORMAT_MAX];
    size_t used = strlen(note);
    if (n_coarse > 0) {
        (void)snprintf(note + used, WORDS_MAX - used, "%ssummaries only of %s readings",
            used > 0 ? " · " : "", format_count(n, (int64_t)n_coarse));
    }
    return note;
}
