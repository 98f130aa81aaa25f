/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/incident.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/analysis/incident_inside.h"
#include "lib/base/mem.h"

/*
 * Which alerts belong together. Everything in a model is related by data flow: within one step a
 * value goes from the inputs through the modules to the loss, back as gradients, through the
 * optimiser into the weights, and round again. So what goes wrong at nearly the same time is one
 * story, unless it is about time itself (INCIDENT_PACE). An alert joins
 *
 *   - the incident of the same kind and thing, if its rule says that the same condition goes on;
 *   - the incident of the same thing, or of the same kind in the same module, when it lies at most
 *     INCIDENT_LONG_WINDOW steps from it: a condition that goes on or comes back is no news;
 *   - else an incident that began with somebody's doing (a learning rate), likewise;
 *   - else the incident that lies nearest, at most INCIDENT_WINDOW steps away.
 *
 * Who was first. Members are ordered by step; within one step by the stage of the step at which
 * their thing is computed; within a stage by the number of the thing: things are numbered when they
 * are first measured, forward in the order of the modules, backward in the order of the gradients.
 * So the first member is the one that left the flock first, and the others may be its work, never
 * the other way round.
 *
 * Late. Some rules need many readings before they speak of a step long past: what they say joins the
 * incident of that step, though it may be closed by then, and opens it again. Only the end of a run
 * closes for good.
 *
 * Too many. A model that explodes can raise hundreds of alerts. The first INCIDENT_MAX_SAME of a
 * kind and INCIDENT_MAX_ALERTS in all are kept, the others are counted. What is counted still
 * makes the incident graver and longer.
 *
 * Worked: a learning rate is raised at step 400, gradients of two layers explode at 401, the loss
 * jumps at 403, and a layer's units die at 409: one incident (each at most 8 steps, or 64 from
 * the learning rate, from the one before), whose headline begins with the learning rate. A loss
 * spike at step 480 is another incident: 71 steps from step 409.
 */

/* ---- stages ---- */

/* Tell whether a name holds a word, bounded by what is no letter. */
static bool has_word(const char *name, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = strcasestr(name, word); at != NULL;
         at = strcasestr(at + 1, word)) {
        bool begins = at == name || !((at[-1] >= 'a' && at[-1] <= 'z') ||
                                        (at[-1] >= 'A' && at[-1] <= 'Z'));
        bool ends = !((at[n] >= 'a' && at[n] <= 'z') || (at[n] >= 'A' && at[n] <= 'Z'));
        if (begins && ends) {
            return true;
        }
    }
    return false;
}

static bool has_any_word(const char *name, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (has_word(name, *words)) {
            return true;
        }
    }
    return false;
}

static enum incident_stage stage_of_scalar(const char *name)
{
    static const char *const settings[] = {"lr", "learning_rate", "learningrate", NULL};
    static const char *const losses[] = {
        "loss", "nll", "cross_entropy", "perplexity", NULL};
    static const char *const steps[] = {
        "grad_norm", "gradient_norm", "loss_scale", "grad", "scale", NULL};
    static const char *const paces[] = {"step_time", "tokens_per_s", "samples_per_s",
        "throughput", "seconds", "own_ms", "share", NULL};
    if (has_any_word(name, settings)) {
        return INCIDENT_SETTING;
    }
    if (strncasecmp(name, "replicated/", 11) == 0) {
        return INCIDENT_RANKS;
    }
    if (has_any_word(name, paces)) {
        return INCIDENT_PACE;
    }
    if (has_any_word(name, steps)) { /* before the losses: loss_scale is none */
        return INCIDENT_OPTIMISER;
    }
    return has_any_word(name, losses) ? INCIDENT_LOSS : INCIDENT_OTHER;
}

enum incident_stage incident_stage_of(const char *kind, const char *name, uint32_t role)
{
    static const char *const paces[] = {
        "stall", "silence", "death", "killed", "straggler", "throughput", "silent", NULL};
    for (size_t i = 0; paces[i] != NULL; i++) {
        if (strstr(kind, paces[i]) != NULL) {
            return INCIDENT_PACE;
        }
    }
    switch ((enum baro_role)role) {
    case BARO_INPUT: return INCIDENT_DATA;
    case BARO_ACT: return INCIDENT_FORWARD;
    case BARO_GRAD:
    case BARO_ACT_GRAD: return INCIDENT_BACKWARD;
    case BARO_OPT:
    case BARO_UPDATE: return INCIDENT_OPTIMISER;
    case BARO_WEIGHT: return INCIDENT_WEIGHTS;
    case BARO_ROLE_END:
    default: break;
    }
    if (strncmp(kind, "lr_", 3) == 0) {
        return INCIDENT_SETTING;
    }
    if (strstr(kind, "batch") != NULL || strstr(kind, "sample") != NULL) {
        return INCIDENT_DATA;
    }
    return stage_of_scalar(name);
}

/* ---- members ---- */

/* Fill a text field; what does not fit is cut at a whole character. */
static void set_text(char *out, size_t out_bytes, const char *text)
{
    size_t n = text != NULL ? strlen(text) : 0;
    if (n >= out_bytes) {
        n = baro_utf8_prefix(text, n, out_bytes - 1);
    }
    if (n > 0) {
        memcpy(out, text, n);
    }
    out[n] = '\0';
}

static void make_member(struct incident_member *out, const struct incident_alert *alert)
{
    *out = (struct incident_member){
        .id = alert->id,
        .level = alert->level,
        .step = alert->step,
        .time_ns = alert->time_ns,
        .stage = incident_stage_of(alert->kind, alert->name, alert->role),
        .role = alert->role,
        .thing = alert->thing,
        .rank = alert->rank,
        .unit = alert->unit,
        .value = alert->value,
        .usual = alert->usual,
    };
    set_text(out->kind, sizeof out->kind, alert->kind);
    set_text(out->title, sizeof out->title,
        alert->title != NULL && alert->title[0] != '\0' ? alert->title : alert->kind);
    for (char *at = strchr(out->title, '_'); at != NULL; at = strchr(at, '_')) {
        *at = ' ';
    }
    set_text(out->name, sizeof out->name, alert->name);
    set_text(out->module, sizeof out->module, alert->module);
    set_text(out->text, sizeof out->text, alert->text);
    set_text(out->advice, sizeof out->advice, alert->advice);
    memcpy(out->causes, alert->causes, sizeof out->causes);
    if (alert->n_evidence > 0) {
        out->evidence.piece = alert->evidence[0];
        out->evidence.piece.text = NULL;
        set_text(out->evidence.text, sizeof out->evidence.text, alert->evidence[0].text);
    }
}

static int compare_unsigned(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

/* Who came first; see the essay. */
static int compare_members(const struct incident_member *a, const struct incident_member *b)
{
    if (a->step != b->step) {
        return a->step < b->step ? -1 : 1;
    }
    if (a->stage != b->stage) {
        return a->stage < b->stage ? -1 : 1;
    }
    int order = compare_unsigned(a->thing, b->thing);
    order = order != 0 ? order : compare_unsigned(a->rank, b->rank);
    order = order != 0 ? order : strcmp(a->kind, b->kind);
    return order != 0 ? order : compare_unsigned(a->id, b->id);
}

static void insert_member(struct incident *incident, const struct incident_member *member)
{
    size_t at = incident->n_members;
    while (at > 0 && compare_members(member, &incident->members[at - 1]) < 0) {
        at--;
    }
    incident->members = baro_xrealloc(
        incident->members, incident->n_members + 1, sizeof *incident->members);
    memmove(&incident->members[at + 1], &incident->members[at],
        (incident->n_members - at) * sizeof *incident->members);
    incident->members[at] = *member;
    incident->n_members++;
}

static bool has_room(const struct incident *incident, const struct incident_member *member)
{
    size_t n_same = 0;
    for (size_t i = 0; i < incident->n_members; i++) {
        n_same += strcmp(incident->members[i].kind, member->kind) == 0 ? 1 : 0;
    }
    return incident->n_members < INCIDENT_MAX_ALERTS && n_same < INCIDENT_MAX_SAME;
}

/* Put a member into an incident; false when it is only counted. */
static bool take_member(struct incident *incident, const struct incident_member *member)
{
    bool is_first = incident->n_members == 0;
    incident->level = member->level > incident->level ? member->level : incident->level;
    incident->first_step = is_first || member->step < incident->first_step
                               ? member->step
                               : incident->first_step;
    incident->last_step =
        is_first || member->step > incident->last_step ? member->step : incident->last_step;
    incident->is_changed = true;
    if (!has_room(incident, member)) {
        incident->n_more++;
        return false;
    }
    insert_member(incident, member);
    incident->time_ns = incident->members[0].time_ns;
    return true;
}

/* ---- which incident ---- */

/* Steps between an alert and an incident, 0 within it; never negative. */
static uint64_t distance(const struct incident *incident, int64_t step)
{
    if (step > incident->last_step) {
        return (uint64_t)step - (uint64_t)incident->last_step;
    }
    return step < incident->first_step ? (uint64_t)incident->first_step - (uint64_t)step
                                       : 0;
}

static bool is_same_condition(
    const struct incident *incident, const struct incident_member *member)
{
    for (size_t i = 0; i < incident->n_members; i++) {
        const struct incident_member *other = &incident->members[i];
        bool is_same_thing = member->thing != 0 && other->thing == member->thing;
        bool is_same_kind = strcmp(other->kind, member->kind) == 0 &&
                            strcmp(other->module, member->module) == 0;
        if (is_same_thing || is_same_kind) {
            return true;
        }
    }
    return false;
}

static bool is_continued(
    const struct incident *incident, const struct incident_member *member)
{
    for (size_t i = 0; i < incident->n_members; i++) {
        const struct incident_member *other = &incident->members[i];
        if (other->thing == member->thing && strcmp(other->kind, member->kind) == 0) {
            return true;
        }
    }
    return false;
}

/* How much an alert wants to join an incident; 0: not at all. */
static int affinity(
    const struct incident *incident, const struct incident_member *member, bool goes_on)
{
    const struct incident_member *first = &incident->members[0];
    uint64_t away = distance(incident, member->step);
    if (goes_on && is_continued(incident, member)) {
        return 4;
    }
    bool is_same_realm =
        (first->stage == INCIDENT_PACE) == (member->stage == INCIDENT_PACE);
    if (incident->is_over || !is_same_realm || away > INCIDENT_LONG_WINDOW) {
        return 0;
    }
    if (is_same_condition(incident, member)) {
        return 3;
    }
    if (first->stage == INCIDENT_SETTING && member->step >= first->step) {
        return 2;
    }
    return away <= INCIDENT_WINDOW ? 1 : 0;
}

static struct incident *find(
    struct incident_book *book, const struct incident_member *member, bool goes_on)
{
    struct incident *best = NULL;
    int best_affinity = 0;
    uint64_t best_distance = 0;
    for (size_t i = book->n; i > 0; i--) { /* of equals the newest */
        struct incident *incident = &book->incidents[i - 1];
        int wants = affinity(incident, member, goes_on);
        uint64_t away = distance(incident, member->step);
        if (wants > best_affinity ||
            (wants == best_affinity && wants > 0 && away < best_distance)) {
            best = incident;
            best_affinity = wants;
            best_distance = away;
        }
    }
    return best;
}

/* ---- the book ---- */

struct incident_book *incidents_create(void)
{
    struct incident_book *book = baro_xcalloc(1, sizeof *book);
    book->next_id = 1;
    return book;
}

void incidents_destroy(struct incident_book *book)
{
    if (book == NULL) {
        return;
    }
    for (size_t i = 0; i < book->n; i++) {
        free(book->incidents[i].members);
    }
    free(book);
}

void incidents_resume(struct incident_book *book, uint64_t last_id)
{
    book->next_id = last_id >= book->next_id ? last_id + 1 : book->next_id;
}

static void close_incident(struct incident *incident)
{
    incident->is_changed = incident->is_changed || incident->is_open;
    incident->is_open = false;
}

/* Forget one to make room: of those that are closed, if there are any, the quietest. */
static void forget_one(struct incident_book *book)
{
    size_t at = 0;
    for (size_t i = 1; i < book->n; i++) {
        const struct incident *incident = &book->incidents[i];
        const struct incident *other = &book->incidents[at];
        at = incident->is_open != other->is_open      ? (incident->is_open ? at : i)
             : incident->last_step < other->last_step ? i
                                                      : at;
    }
    free(book->incidents[at].members);
    book->n--;
    memmove(&book->incidents[at], &book->incidents[at + 1],
        (book->n - at) * sizeof book->incidents[0]);
}

static struct incident *add_incident(struct incident_book *book, uint64_t id, bool is_open)
{
    if (book->n == BARO_LEN(book->incidents)) {
        forget_one(book);
    }
    struct incident *incident = &book->incidents[book->n++];
    *incident = (struct incident){.id = id, .is_open = is_open, .is_changed = true};
    incidents_resume(book, id);
    return incident;
}

/* Of too many that are open the quietest is closed. */
static void close_surplus(struct incident_book *book)
{
    size_t n_open = 0;
    struct incident *oldest = NULL;
    for (size_t i = 0; i < book->n; i++) {
        struct incident *incident = &book->incidents[i];
        n_open += incident->is_open ? 1 : 0;
        if (incident->is_open &&
            (oldest == NULL || incident->last_step < oldest->last_step)) {
            oldest = incident;
        }
    }
    if (n_open >= INCIDENT_MAX_OPEN && oldest != NULL) {
        close_incident(oldest);
    }
}

struct incident_place incidents_add(
    struct incident_book *book, const struct incident_alert *alert)
{
    struct incident_member member;
    make_member(&member, alert);
    struct incident *incident = find(book, &member, alert->goes_on);
    struct incident_place place = {.is_new = incident == NULL};
    if (incident == NULL) {
        close_surplus(book);
        incident = add_incident(book, book->next_id, true);
    }
    incident->is_open = true;
    incident->is_over = false;
    place.incident = incident->id;
    place.is_kept = take_member(incident, &member);
    return place;
}

void incidents_recall(struct incident_book *book, uint64_t id, bool is_open,
    const struct incident_alert *alerts, size_t n_alerts, uint64_t n_more)
{
    struct incident *incident = add_incident(book, id, is_open);
    for (size_t i = 0; i < n_alerts; i++) {
        struct incident_member member;
        make_member(&member, &alerts[i]);
        (void)take_member(incident, &member);
    }
    incident->n_more = n_more;
    incident->is_changed = false;
}

void incidents_see_step(struct incident_book *book, int64_t step)
{
    for (size_t i = 0; i < book->n; i++) {
        struct incident *incident = &book->incidents[i];
        if (incident->is_open && step > incident->last_step &&
            distance(incident, step) > INCIDENT_LONG_WINDOW) {
            close_incident(incident);
        }
    }
}

void incidents_end(struct incident_book *book)
{
    for (size_t i = 0; i < book->n; i++) {
        close_incident(&book->incidents[i]);
        book->incidents[i].is_over = true;
    }
}

const struct incident *incidents_take(struct incident_book *book)
{
    for (size_t i = 0; i < book->n; i++) {
        struct incident *incident = &book->incidents[i];
        if (incident->is_changed) {
            incident->is_changed = false;
            incident_write(incident);
            return incident;
        }
    }
    return NULL;
}
