/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/analysis/incident_inside.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

/*
 * What an incident is called, and why it may have come. All of it is written anew from the members
 * whenever one is added, so that the same members give the same words, in whatever order they came.
 *
 * Causes. What members tell together comes first: a learning rate that was raised before anything
 * else went wrong; gradients that exploded before the loss jumped; numbers that grew before they
 * overflowed. Then the rules' own causes by vote: a member's first cause counts 8, the next 4, 2,
 * 1, and three times as much for the member that was first, because what comes after it may be
 * its work.
 */

enum { MAX_GROUPS = 3, FIRST_WEIGHT = 3, CAUSE_WEIGHT = 8 };

/* ---- headline ---- */

/* Members of one kind behind the first: "gradient explosion in a and 3 more at step 5". */
struct group {
    const struct incident_member *first;
    size_t n_others; /* things beside the first one's */
};

/* Tell whether a member before another has its kind and, with is_thing, its thing. */
static bool is_met_before(const struct incident *incident, size_t at, bool is_thing)
{
    const struct incident_member *member = &incident->members[at];
    for (size_t i = 0; i < at; i++) {
        const struct incident_member *other = &incident->members[i];
        if (strcmp(other->kind, member->kind) == 0 &&
            (!is_thing || other->thing == member->thing)) {
            return true;
        }
    }
    return false;
}

static size_t count_things(const struct incident *incident, const char *kind)
{
    size_t n = 0;
    for (size_t i = 0; i < incident->n_members; i++) {
        n += strcmp(incident->members[i].kind, kind) == 0 &&
                     !is_met_before(incident, i, true)
                 ? 1
                 : 0;
    }
    return n;
}

/* The kinds that came after the first, in causal order; gives how many there are in all. */
static size_t list_groups(const struct incident *incident, struct group out[MAX_GROUPS])
{
    size_t n = 0;
    for (size_t i = 1; i < incident->n_members; i++) {
        const struct incident_member *member = &incident->members[i];
        if (is_met_before(incident, i, false)) {
            continue;
        }
        if (n < MAX_GROUPS) {
            out[n] = (struct group){member, count_things(incident, member->kind) - 1};
        }
        n++;
    }
    return n;
}

static void say_group(char *text, size_t size, const struct group *group)
{
    const struct incident_member *member = group->first;
    baro_text_add(text, size, "%s", member->title);
    if (member->name[0] != '\0' && strstr(member->title, member->name) == NULL) {
        baro_text_add(text, size, " in %s", member->name);
    }
    if (group->n_others > 0) {
        baro_text_add(text, size, " and %zu more", group->n_others);
    }
    baro_text_add(text, size, " at step %" PRId64, member->step);
}

static void write_headline(struct incident *incident)
{
    enum { SIZE = INCIDENT_TEXT_BYTES, SHORT = 220 };
    const struct incident_member *first = &incident->members[0];
    char *text = incident->headline;
    struct group groups[MAX_GROUPS];
    size_t n_groups = list_groups(incident, groups);
    size_t n_same = count_things(incident, first->kind) - 1;
    (void)snprintf(text, SIZE, "%s", first->text);
    if (n_groups == 0 && n_same == 0) {
        return;
    }
    size_t n = strlen(text);
    if (n > SHORT) { /* the list of samples, say: it is in the alert */
        n = baro_utf8_prefix(text, n, SHORT);
        const char *comma = memrchr(text, ' ', n);
        n = comma != NULL ? (size_t)(comma - text) : n;
        text[n] = '\0';
        baro_text_add(text, SIZE, " ...");
        n = strlen(text);
    }
    while (n > 0 && text[n - 1] == '.' && !(n > 1 && text[n - 2] == '.')) {
        text[--n] = '\0';
    }
    if (n_same > 0) {
        baro_text_add(text, SIZE, ", and in %zu more", n_same);
    }
    for (size_t i = 0; i < n_groups && i < MAX_GROUPS; i++) {
        baro_text_add(text, SIZE, "%s", i == 0 ? "; then " : ", ");
        say_group(text, SIZE, &groups[i]);
    }
    if (n_groups > MAX_GROUPS) {
        baro_text_add(text, SIZE, ", and %zu other kind%s of alert", n_groups - MAX_GROUPS,
            n_groups - MAX_GROUPS == 1 ? "" : "s");
    }
    baro_text_add(text, SIZE, ".");
}

/* ---- causes ---- */

__attribute__((format(printf, 2, 3))) static void add_cause(
    struct incident *incident, const char *format, ...)
{
    if (incident->n_causes == INCIDENT_MAX_CAUSES) {
        return;
    }
    char *text = incident->causes[incident->n_causes++];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, INCIDENT_TEXT_BYTES, format, args);
    va_end(args);
}

/* The first member at a stage, from one on; NULL when there is none. */
static const struct incident_member *first_at(
    const struct incident *incident, enum incident_stage stage)
{
    for (size_t i = 0; i < incident->n_members; i++) {
        if (incident->members[i].stage == stage) {
            return &incident->members[i];
        }
    }
    return NULL;
}

static const struct incident_member *first_of(
    const struct incident *incident, const char *part)
{
    for (size_t i = 0; i < incident->n_members; i++) {
        if (strstr(incident->members[i].kind, part) != NULL) {
            return &incident->members[i];
        }
    }
    return NULL;
}

static void say_distance(char *out, size_t size, int64_t from, int64_t to)
{
    uint64_t n = to > from ? (uint64_t)to - (uint64_t)from : 0;
    if (n == 0) {
        (void)snprintf(out, size, "in the same step as");
    } else {
        (void)snprintf(out, size, "%" PRIu64 " step%s before", n, n == 1 ? "" : "s");
    }
}

/* A learning rate that was changed before anything else happened. */
static bool blame_setting(struct incident *incident)
{
    const struct incident_member *first = &incident->members[0];
    if (first->stage != INCIDENT_SETTING) {
        return false;
    }
    const struct incident_member *next = NULL;
    for (size_t i = 1; i < incident->n_members && next == NULL; i++) {
        next =
            incident->members[i].stage != INCIDENT_SETTING ? &incident->members[i] : NULL;
    }
    bool is_known = isfinite(first->usual) && isfinite(first->value) && first->usual > 0 &&
                    first->value > 0;
    bool is_raised = is_known && first->value > first->usual;
    if (!is_known || next == NULL) {
        return false;
    }
    char when[64];
    say_distance(when, sizeof when, first->step, next->step);
    add_cause(incident, "%s was %s from %.3g to %.3g (%.3g-fold) %s the %s",
        first->name[0] != '\0' ? first->name : "the learning rate",
        is_raised ? "raised" : "lowered", first->usual, first->value,
        is_raised ? first->value / first->usual : first->usual / first->value, when,
        next->title);
    return is_raised;
}

/* Gradients that left before the loss did. */
static void blame_gradients(struct incident *incident)
{
    const struct incident_member *loss = first_at(incident, INCIDENT_LOSS);
    const struct incident_member *back = first_of(incident, "explo");
    if (loss == NULL || back == NULL || back->step > loss->step) {
        return;
    }
    char when[64];
    say_distance(when, sizeof when, back->step, loss->step);
    add_cause(incident,
        "gradients exploded %s the loss went: what made them large is the cause, the loss is "
        "its result",
        back->step == loss->step ? "in the step in which" : when);
}

/* Numbers that grew until their type could not hold them. */
static void blame_growth(struct incident *incident)
{
    const struct incident_member *bad = first_of(incident, "nonfinite");
    const struct incident_member *grew = first_of(incident, "overflow");
    if (bad == NULL || grew == NULL || grew->step > bad->step) {
        return;
    }
    char when[64];
    say_distance(when, sizeof when, grew->step, bad->step);
    add_cause(incident,
        "numbers grew towards the limit of their type (%s first) %s the first that was not "
        "finite",
        grew->name, when);
}

static void vote(struct incident *incident, bool is_lr_blamed)
{
    unsigned votes[JUDGE_CAUSE_COUNT] = {0};
    for (size_t i = 0; i < incident->n_members; i++) {
        const struct incident_member *member = &incident->members[i];
        for (unsigned c = 0; c < JUDGE_MAX_CAUSES; c++) {
            unsigned cause = (unsigned)member->causes[c];
            if (cause > 0 && cause < JUDGE_CAUSE_COUNT) {
                votes[cause] += (CAUSE_WEIGHT >> c) * (i == 0 ? FIRST_WEIGHT : 1U);
            }
        }
    }
    if (is_lr_blamed) {
        votes[JUDGE_CAUSE_LR_HIGH] = 0;
    }
    while (incident->n_causes < INCIDENT_MAX_CAUSES) {
        size_t best = 0;
        for (size_t i = 1; i < JUDGE_CAUSE_COUNT; i++) {
            best = votes[i] > votes[best] ? i : best;
        }
        if (best == 0) {
            break;
        }
        votes[best] = 0;
        add_cause(incident, "%s", judge_cause_text((enum judge_cause)best));
    }
}

/* ---- advice and evidence ---- */

static void add_advice(struct incident *incident, const char *advice)
{
    for (size_t i = 0; i < incident->n_advice; i++) {
        if (strcmp(incident->advice[i], advice) == 0) {
            return;
        }
    }
    if (advice[0] != '\0' && incident->n_advice < INCIDENT_MAX_ADVICE) {
        memcpy(incident->advice[incident->n_advice++], advice, strlen(advice) + 1);
    }
}

static void add_evidence(
    struct incident *incident, const struct incident_evidence *evidence)
{
    if ((int)evidence->piece.kind == 0 || incident->n_evidence == INCIDENT_MAX_EVIDENCE) {
        return;
    }
    for (size_t i = 0; i < incident->n_evidence; i++) {
        const struct judge_evidence *other = &incident->evidence[i].piece;
        if (other->thing == evidence->piece.thing && other->kind == evidence->piece.kind &&
            other->stat == evidence->piece.stat && other->unit == evidence->piece.unit) {
            return;
        }
    }
    incident->evidence[incident->n_evidence++] = *evidence;
}

void incident_write(struct incident *incident)
{
    incident->n_causes = 0;
    incident->n_advice = 0;
    incident->n_evidence = 0;
    write_headline(incident);
    bool is_lr_blamed = blame_setting(incident);
    blame_growth(incident);
    blame_gradients(incident);
    vote(incident, is_lr_blamed);
    for (size_t i = 0; i < incident->n_members; i++) {
        add_advice(incident, incident->members[i].advice);
        add_evidence(incident, &incident->members[i].evidence);
    }
}
