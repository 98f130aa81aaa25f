/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/why_print.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/reading.h"
#include "lib/base/tensor.h"
#include "tools/json.h"

/* The left column of labels: "since", "path", ... */
enum { LABEL_COLUMNS = 8, STEP_COLUMNS = 11, LINE_BYTES = 1024 };

/* ---- for people ---- */

/* Print a label, dim, and a text wrapped beside it. */
static void print_field(
    const struct term *term, const char *label, int more, const char *text)
{
    char safe[LINE_BYTES];
    (void)printf("%s%-*s%s", term_paint(term, TERM_DIM), LABEL_COLUMNS, label,
        term_paint(term, TERM_PLAIN));
    term_wrap_after(term, stdout, LABEL_COLUMNS, LABEL_COLUMNS + more,
        term_safe(term, text, safe, sizeof safe));
}

void why_print_run(const struct why_reading *reading)
{
    const struct term *term = &reading->cli->out;
    const Baro__RunInfo *run = reading->run;
    char step[32];
    (void)printf("%s%s%s  %s%s%s", term_paint(term, TERM_BOLD), reading->name,
        term_paint(term, TERM_PLAIN), term_paint(term, run_status_paint(run->status)),
        run_status_name(run->status), term_paint(term, TERM_PLAIN));
    if (run->n_steps > 0) {
        (void)printf(", step %s", why_step(run->last_step, step));
    }
    (void)fputc('\n', stdout);
    if (reading->facts.incident != NULL) {
        const struct why_incident *incident = &reading->incident;
        (void)printf("%sincident %" PRIu64 " of %zu, steps %s", term_paint(term, TERM_DIM),
            incident->id, reading->alerts->n_incidents,
            why_step(incident->first_step, step));
        (void)printf(" to %s%s%s\n", why_step(incident->last_step, step),
            incident->is_open ? ", going on" : "", term_paint(term, TERM_PLAIN));
    }
    (void)fflush(stdout);
}

void why_print_headline(const struct why_reading *reading, const struct why_story *story)
{
    const struct term *term = &reading->cli->out;
    bool is_bad = story->answer != WHY_NOTHING;
    char safe[LINE_BYTES];
    const char *mark = is_bad ? term_mark(term, "■", "!") : term_mark(term, "●", "*");
    (void)printf("\n%s%s ", term_paint(term, is_bad ? TERM_BAD : TERM_GOOD), mark);
    (void)printf("%s%s", term_paint(term, TERM_PLAIN), term_paint(term, TERM_BOLD));
    term_wrap_after(
        term, stdout, 2, 2, term_safe(term, story->headline, safe, sizeof safe));
    (void)printf("%s\n", term_paint(term, TERM_PLAIN));
    (void)fflush(stdout);
}

static void print_origin(const struct term *term, const struct why_story *story)
{
    char text[LINE_BYTES];
    if (story->answer == WHY_FROM_PROBE) {
        why_origin_words(story, text, sizeof text);
        print_field(term, "what", 0, text);
    }
}

static void print_beats(const struct term *term, const struct why_story *story)
{
    for (size_t i = 0; i < story->n_beats; i++) {
        const struct why_beat *beat = &story->beats[i];
        char step[32];
        char safe[LINE_BYTES];
        (void)printf("%s%-*s%s%*s  ", term_paint(term, TERM_DIM), LABEL_COLUMNS,
            i == 0 ? "when" : "", term_paint(term, TERM_PLAIN), STEP_COLUMNS - 2,
            why_step(beat->step, step));
        term_wrap_after(term, stdout, LABEL_COLUMNS + STEP_COLUMNS,
            LABEL_COLUMNS + STEP_COLUMNS, term_safe(term, beat->text, safe, sizeof safe));
    }
}

static void print_hops(const struct term *term, const struct why_story *story)
{
    for (size_t i = 0; i < story->n_hops; i++) {
        const struct why_hop *hop = &story->hops[i];
        char text[LINE_BYTES];
        char share[64];
        why_hop_words(hop, share, sizeof share);
        (void)snprintf(text, sizeof text, "%s%s%s%s",
            i > 0 ? term_mark(term, "← ", "<- ") : "", hop->text,
            share[0] != '\0' ? "; " : "", share);
        print_field(term, i == 0 ? "path" : "", 2, text);
    }
}

static void print_places(const struct term *term, const struct why_story *story)
{
    char text[LINE_BYTES] = "";
    size_t n = 0;
    for (size_t i = 0; i < story->n_suspects && i < 4 && n < sizeof text; i++) {
        const struct why_suspect *suspect = &story->suspects[i];
        char place[WHY_NAME_BYTES];
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", i > 0 ? ", " : "",
            why_place(suspect->module, place));
        if (suspect->unit >= 0 && n < sizeof text) {
            n +=
                (size_t)snprintf(text + n, sizeof text - n, "[%" PRId64 "]", suspect->unit);
        }
    }
    if (n > 0) {
        print_field(term, "where", 0, text);
    }
}

static void print_samples(const struct term *term, const struct why_story *story)
{
    bool is_certain = story->n_samples > 0 && story->samples[0].is_certain;
    if (story->n_samples > 0 && !is_certain) {
        char text[LINE_BYTES] = "one of the batch of that step:";
        size_t n = strlen(text);
        for (size_t i = 0; i < story->n_samples && n < sizeof text; i++) {
            n += (size_t)snprintf(text + n, sizeof text - n, "%s %" PRId64,
                i > 0 ? "," : "", story->samples[i].sample);
        }
        if (n < sizeof text) {
            (void)snprintf(text + n, sizeof text - n, "%s",
                story->n_samples == WHY_MAX_SAMPLES ? " ..." : "");
        }
        print_field(term, "who", 0, text);
        return;
    }
    for (size_t i = 0; i < story->n_samples; i++) {
        print_field(term, i == 0 ? "who" : "", 2, story->samples[i].text);
    }
}

static void print_verdict(const struct term *term, const struct why_story *story)
{
    const struct why_verdict *verdict = &story->verdict;
    char text[LINE_BYTES];
    if (story->answer == WHY_NOTHING) {
        return;
    }
    if (verdict->cause == WHY_UNKNOWN) {
        print_field(term, "why", 0, verdict->text);
        return;
    }
    (void)snprintf(
        text, sizeof text, "%s %s", why_sureness_word(verdict->sureness), verdict->text);
    if (verdict->second != WHY_UNKNOWN && verdict->sureness < 0.25) {
        (void)snprintf(text, sizeof text, "%s %s, or else: %s",
            why_sureness_word(verdict->sureness), verdict->text,
            why_cause_name(verdict->second));
    }
    print_field(term, "why", 0, text);
    for (size_t i = 0; i < verdict->n_evidence && i < 5; i++) {
        const struct why_evidence *evidence = &verdict->evidence[i];
        bool is_for = evidence->cause == verdict->cause && evidence->weight > 0;
        bool is_other = evidence->cause != verdict->cause && evidence->weight > 0;
        (void)snprintf(text, sizeof text, "%s %s%s%s%s", is_for ? "+" : "-", evidence->text,
            is_other ? " (" : "", is_other ? why_cause_name(evidence->cause) : "",
            is_other ? ")" : "");
        print_field(term, "", 2, text);
    }
}

static void print_others(const struct why_reading *reading)
{
    const Baro__AlertsReply *reply = reading->alerts;
    const struct term *term = &reading->cli->out;
    bool is_first = true;
    for (size_t i = 0; i < reply->n_incidents; i++) {
        const Baro__Incident *incident = reply->incidents[i];
        if (i == reading->chosen || incident->level < BARO_WATCH) {
            continue;
        }
        char text[LINE_BYTES];
        char step[32];
        (void)snprintf(text, sizeof text, "step %s: %.180s%s",
            why_step(incident->first_step, step), incident->headline,
            strlen(incident->headline) > 180 ? " ..." : "");
        print_field(term, is_first ? "also" : "", 2, text);
        is_first = false;
    }
}

void why_print_story(const struct why_reading *reading, const struct why_story *story)
{
    const struct term *term = &reading->cli->out;
    char text[LINE_BYTES];
    print_origin(term, story);
    print_beats(term, story);
    print_hops(term, story);
    print_places(term, story);
    print_samples(term, story);
    print_verdict(term, story);
    for (size_t i = 0; i < story->n_remedies; i++) {
        (void)snprintf(text, sizeof text, "%zu. %s", i + 1, story->remedies[i]);
        print_field(term, i == 0 ? "try" : "", 3, text);
    }
    for (size_t i = 0; i < story->n_missing; i++) {
        print_field(term, i == 0 ? "missing" : "", 0, story->missing[i]);
    }
    print_others(reading);
    print_field(term, "looked", 0, story->looked);
}

/* ---- for programs ---- */

static json_t *number_or_null(double value)
{
    return isnan(value) ? json_null() : json_number(value);
}

static json_t *step_or_null(int64_t step)
{
    return step == INT64_MIN ? json_null() : json_integer((json_int_t)step);
}

static json_t *index_or_null(int64_t index)
{
    return index < 0 ? json_null() : json_integer((json_int_t)index);
}

static void print_story_json(
    const struct why_reading *reading, const struct why_story *story)
{
    static const char *const answers[] = {"nothing", "readings", "probe"};
    const struct why_verdict *verdict = &story->verdict;
    bool is_bad = story->answer != WHY_NOTHING;
    json_print(&reading->cli->out,
        json_pack("{s:s, s:o, s:s, s:s, s:o, s:o, s:o, s:s, s:o, s:o, s:o}", "type",
            "story", "run", json_text(reading->run->description->run_id), "status",
            run_status_name(reading->run->status), "answer", answers[story->answer], "step",
            is_bad ? step_or_null(story->step) : json_null(), "loss_step",
            step_or_null(story->loss_step), "headline", json_text(story->headline), "cause",
            why_cause_name(verdict->cause), "second",
            verdict->second != WHY_UNKNOWN ? json_string(why_cause_name(verdict->second))
                                           : json_null(),
            "sureness", json_number(verdict->sureness), "looked",
            json_text(story->looked)));
}

static void print_origin_json(const struct term *term, const struct why_story *story)
{
    const struct why_origin *origin = &story->origin;
    json_t *units = json_array();
    for (size_t i = 0; i < origin->n_units; i++) {
        (void)json_array_append_new(units, json_integer((json_int_t)origin->units[i]));
    }
    json_t *object = json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "type",
        "origin", "op", json_text_or_null(origin->op), "module", json_text(origin->module),
        "tensor", json_text_or_null(origin->tensor), "role",
        origin->role != 0 ? json_string(baro_role_name((enum baro_role)origin->role))
                          : json_null(),
        "source", json_text_or_null(origin->source), "dtype",
        json_text_or_null(origin->dtype), "units", units, "text", json_text(origin->cause));
    json_t *more = json_pack("{s:o, s:o, s:o, s:o, s:b, s:b, s:b}", "operand",
        number_or_null(origin->operand), "limit", number_or_null(origin->limit), "usual",
        number_or_null(origin->usual), "calm_step",
        isnan(origin->usual) || story->answer != WHY_FROM_PROBE
            ? json_null()
            : step_or_null(origin->calm_step),
        "is_outside", origin->is_outside, "is_gradient", origin->is_gradient, "is_exact",
        origin->is_exact);
    (void)json_object_update_missing(object, more);
    json_decref(more);
    json_print(term, object);
}

static const char *series_name(const struct why_reading *reading, uint32_t thing)
{
    for (size_t i = 0; i < reading->facts.n_things; i++) {
        if (reading->facts.things[i].id == thing) {
            return reading->facts.things[i].name;
        }
    }
    return "";
}

static const char *stat_of(const struct why_want *series)
{
    return series->kind == READING_SUMMARY ? summary_stat_name(series->stat)
           : series->kind == READING_UNITS ? unit_stat_name(series->stat)
                                           : "";
}

static void print_beats_json(
    const struct why_reading *reading, const struct why_story *story)
{
    for (size_t i = 0; i < story->n_beats; i++) {
        const struct why_beat *beat = &story->beats[i];
        bool is_shift = beat->shift.kind != SHIFT_NONE;
        json_print(&reading->cli->out,
            json_pack("{s:s, s:s, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
                "type", "beat", "kind", why_beat_name(beat->kind), "step",
                (json_int_t)beat->step, "lead", step_or_null(beat->lead), "tensor",
                json_text_or_null(series_name(reading, beat->series.thing)), "stat",
                json_text_or_null(beat->series.thing != 0 ? stat_of(&beat->series) : ""),
                "unit", index_or_null(beat->series.unit), "shift",
                is_shift ? json_string(shift_kind_name(beat->shift.kind)) : json_null(),
                "before", is_shift ? number_or_null(beat->shift.before) : json_null(),
                "after", is_shift ? number_or_null(beat->shift.after) : json_null(),
                "score", is_shift ? number_or_null(beat->shift.score) : json_null(),
                "title", json_text(beat->title), "text", json_text(beat->text)));
    }
}

static void print_ways_json(const struct term *term, const struct why_story *story)
{
    for (size_t i = 0; i < story->n_hops; i++) {
        const struct why_hop *hop = &story->hops[i];
        json_print(term,
            json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "type", "hop", "module",
                json_text(hop->module), "op", json_text_or_null(hop->op_name), "value",
                number_or_null(hop->number), "usual", number_or_null(hop->usual), "share",
                number_or_null(hop->share), "unit", index_or_null(hop->unit), "text",
                json_text(hop->text)));
    }
    for (size_t i = 0; i < story->n_suspects; i++) {
        const struct why_suspect *suspect = &story->suspects[i];
        json_print(term,
            json_pack("{s:s, s:I, s:o, s:o, s:o, s:o, s:o}", "type", "suspect", "place",
                (json_int_t)i + 1, "module", json_text(suspect->module), "unit",
                index_or_null(suspect->unit), "step",
                suspect->step == INT64_MAX ? json_null() : step_or_null(suspect->step),
                "score", json_number(suspect->score), "text", json_text(suspect->text)));
    }
}

static void print_rest_json(const struct term *term, const struct why_story *story)
{
    for (size_t i = 0; i < story->n_samples; i++) {
        const struct why_sample *sample = &story->samples[i];
        bool was_before = sample->n_before > 0;
        json_print(term,
            json_pack("{s:s, s:o, s:o, s:b, s:I, s:o, s:o, s:o, s:o}", "type", "sample",
                "sample", index_or_null(sample->sample), "row", index_or_null(sample->row),
                "is_certain", sample->is_certain, "before", (json_int_t)sample->n_before,
                "last_step", was_before ? step_or_null(sample->last_step) : json_null(),
                "last_loss", number_or_null(sample->last_loss), "share",
                number_or_null(sample->share), "text", json_text(sample->text)));
    }
    for (size_t i = 0; i < story->verdict.n_evidence; i++) {
        const struct why_evidence *evidence = &story->verdict.evidence[i];
        json_print(
            term, json_pack("{s:s, s:s, s:o, s:o}", "type", "evidence", "cause",
                      why_cause_name(evidence->cause), "weight",
                      json_number(evidence->weight), "text", json_text(evidence->text)));
    }
    for (size_t i = 0; i < story->n_remedies; i++) {
        json_print(term, json_pack("{s:s, s:o}", "type", "remedy", "text",
                             json_text(story->remedies[i])));
    }
    for (size_t i = 0; i < story->n_missing; i++) {
        json_print(term, json_pack("{s:s, s:o}", "type", "missing", "text",
                             json_text(story->missing[i])));
    }
}

void why_print_json(const struct why_reading *reading, const struct why_story *story)
{
    const struct term *term = &reading->cli->out;
    print_story_json(reading, story);
    if (story->has_origin) {
        print_origin_json(term, story);
    }
    print_beats_json(reading, story);
    print_ways_json(term, story);
    print_rest_json(term, story);
    for (size_t i = 0; i < reading->alerts->n_incidents; i++) {
        const Baro__Incident *incident = reading->alerts->incidents[i];
        json_print(
            term, json_pack("{s:s, s:I, s:I, s:I, s:s, s:b, s:o}", "type", "incident", "id",
                      (json_int_t)incident->id, "step", (json_int_t)incident->first_step,
                      "last_step", (json_int_t)incident->last_step, "severity",
                      baro_level_name((enum baro_level)incident->level), "is_chosen",
                      i == reading->chosen, "headline", json_text(incident->headline)));
    }
}
