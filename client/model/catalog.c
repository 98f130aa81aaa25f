/* SPDX-License-Identifier: Apache-2.0 */
#include "client/model/catalog.h"

#include <stdlib.h>
#include <string.h>

#include "client/model/plain.h"
#include "client/model/texts.h"
#include "lib/base/mem.h"

enum {
    MAX_THINGS = 65536,
    MAX_ALERTS = 10000,
    MAX_EVENTS = 10000,
    MAX_NOTES = 10000,
    SENTENCE_BYTES = 4096,
};

/* A growing list and the part that was last made of it (NULL: it has changed since). */
struct list {
    void *items;
    size_t n, capacity, item_bytes;
    void *part;
};

struct catalog {
    struct texts *texts;
    struct list runs, things, alerts, events, incidents, notes;
};

/* ---- lists ---- */

static void touch(struct list *list)
{
    part_unref(list->part);
    list->part = NULL;
}

static void clear(struct list *list)
{
    list->n = 0;
    touch(list);
}

static void finish(struct list *list)
{
    free(list->items);
    part_unref(list->part);
}

/* Make room at a place and give it, undefined. */
static void *insert(struct list *list, size_t at)
{
    if (list->n == list->capacity) {
        list->capacity = list->capacity == 0 ? 32 : list->capacity * 2;
        list->items = baro_xrealloc(list->items, list->capacity, list->item_bytes);
    }
    char *place = (char *)list->items + at * list->item_bytes;
    memmove(place + list->item_bytes, place, (list->n - at) * list->item_bytes);
    list->n++;
    touch(list);
    return place;
}

/* All lists of a model begin with their count, items follow at the same offset. */
_Static_assert(
    offsetof(struct model_runs, at) == offsetof(struct model_things, at) &&
        offsetof(struct model_runs, at) == offsetof(struct model_alerts, at) &&
        offsetof(struct model_runs, at) == offsetof(struct model_events, at) &&
        offsetof(struct model_runs, at) == offsetof(struct model_incidents, at) &&
        offsetof(struct model_runs, at) == offsetof(struct model_notes, at),
    "part_of writes them all");

static void *part_of(struct list *list)
{
    if (list->part == NULL) {
        size_t bytes = list->n * list->item_bytes;
        list->part = part_create(offsetof(struct model_runs, at) + bytes, NULL);
        ((struct model_runs *)list->part)->n = list->n;
        if (bytes > 0) {
            memcpy(((struct model_runs *)list->part)->at, list->items, bytes);
        }
    }
    return part_ref(list->part);
}

/* ---- the catalog ---- */

struct catalog *catalog_create(void)
{
    struct catalog *catalog = baro_xcalloc(1, sizeof *catalog);
    catalog->texts = texts_create();
    catalog->runs.item_bytes = sizeof(struct model_run);
    catalog->things.item_bytes = sizeof(struct model_thing);
    catalog->alerts.item_bytes = sizeof(struct model_alert);
    catalog->events.item_bytes = sizeof(struct model_event);
    catalog->notes.item_bytes = sizeof(struct model_note);
    catalog->incidents.item_bytes = sizeof(struct model_incident);
    return catalog;
}

void catalog_destroy(struct catalog *catalog)
{
    if (catalog == NULL) {
        return;
    }
    finish(&catalog->runs);
    finish(&catalog->things);
    finish(&catalog->alerts);
    finish(&catalog->events);
    finish(&catalog->notes);
    finish(&catalog->incidents);
    texts_destroy(catalog->texts);
    free(catalog);
}

void catalog_clear_run(struct catalog *catalog)
{
    clear(&catalog->things);
    clear(&catalog->alerts);
    clear(&catalog->events);
    clear(&catalog->notes);
    clear(&catalog->incidents);
}

const char *catalog_text(struct catalog *catalog, const char *text)
{
    return texts_keep(catalog->texts, text);
}

/* ---- runs ---- */

struct model_run *catalog_run(struct catalog *catalog, uint32_t run)
{
    struct model_run *runs = catalog->runs.items;
    for (size_t i = 0; i < catalog->runs.n; i++) {
        if (runs[i].run == run) {
            return &runs[i];
        }
    }
    return NULL;
}

static enum baro_level level_of(uint32_t level)
{
    return level < BARO_LEVEL_END ? (enum baro_level)level : BARO_ALARM;
}

/* The "~1" of a run that is one of several with the same id; "" for most. */
static const char *branch_of(const Baro__RunInfo *info, const char *id)
{
    const char *mark = strrchr(id, '~');
    bool is_one_of_several = info->parent != 0 || info->n_branches > 0;
    bool is_mark =
        mark != NULL && mark[1] != '\0' && mark[1 + strspn(mark + 1, "0123456789")] == '\0';
    return is_one_of_several && is_mark ? mark : "";
}

static void fill_run(
    struct catalog *catalog, struct model_run *run, const Baro__RunInfo *info)
{
    Baro__RunDescription nothing;
    baro__run_description__init(&nothing);
    const Baro__RunDescription *d =
        info->description != NULL ? info->description : &nothing;
    *run = (struct model_run){
        .run = info->run,
        .id = texts_keep(catalog->texts, d->run_id),
        .project = texts_keep(catalog->texts, d->project),
        .name = texts_keep(catalog->texts, d->name),
        .config = texts_keep(catalog->texts, d->config),
        .host = texts_keep(catalog->texts, d->host),
        .status_text = texts_keep(catalog->texts, info->status_text),
        .status = info->status,
        .n_steps = info->n_steps,
        .first_step = info->first_step,
        .last_step = info->last_step,
        .first_time_ns = info->first_time_ns,
        .last_time_ns = info->last_time_ns,
        .has_loss = info->has_loss != 0,
        .last_loss = info->last_loss,
        .n_alerts = info->n_alerts,
        .n_ranks = d->n_ranks,
        .worst_level = level_of(info->worst_level),
        .n_dropped = info->n_dropped,
        .branch = texts_keep(catalog->texts, branch_of(info, d->run_id)),
        .parent = info->parent,
        .branch_step = info->branch_step,
        .is_overwritten = info->is_overwritten != 0,
        .is_steerable = info->is_steerable != 0,
    };
}

void catalog_set_runs(struct catalog *catalog, Baro__RunInfo *const *runs, size_t n)
{
    clear(&catalog->runs);
    for (size_t i = 0; i < n; i++) {
        fill_run(catalog, insert(&catalog->runs, i), runs[i]);
    }
}

void catalog_set_run(struct catalog *catalog, const Baro__RunInfo *info)
{
    struct model_run *run = catalog_run(catalog, info->run);
    if (run == NULL) {
        run = insert(&catalog->runs, 0);
    }
    fill_run(catalog, run, info);
    touch(&catalog->runs);
}

void catalog_on_step(struct catalog *catalog, uint32_t run, int64_t step, int64_t time_ns)
{
    struct model_run *known = catalog_run(catalog, run);
    if (known == NULL || (step <= known->last_step && known->n_steps > 0)) {
        return;
    }
    if (known->n_steps == 0) {
        known->first_step = step;
        known->first_time_ns = time_ns;
    }
    known->last_step = step;
    known->last_time_ns = time_ns;
    int64_t span = 0;
    if (__builtin_sub_overflow(step, known->first_step, &span) || span == INT64_MAX) {
        span = INT64_MAX - 1;
    }
    known->n_steps = span + 1;
    touch(&catalog->runs);
}

/* ---- things ---- */

/* Where a thing is or belongs: they are kept by rising id. */
static size_t place_of_thing(const struct catalog *catalog, uint32_t thing)
{
    const struct model_thing *things = catalog->things.items;
    size_t lo = 0;
    size_t hi = catalog->things.n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (things[mid].thing < thing) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

const struct model_thing *catalog_things(const struct catalog *catalog, size_t *out_n)
{
    *out_n = catalog->things.n;
    return catalog->things.items;
}

struct model_thing *catalog_thing(struct catalog *catalog, uint32_t thing)
{
    struct model_thing *things = catalog->things.items;
    size_t at = place_of_thing(catalog, thing);
    return at < catalog->things.n && things[at].thing == thing ? &things[at] : NULL;
}

void catalog_touch_things(struct catalog *catalog)
{
    touch(&catalog->things);
}

/* Units may be measured more rarely than the whole tensor. */
static double unit_cadence_of(const Baro__ThingInfo *info)
{
    double mean = info->n_unit_points > 0
                      ? info->cadence * (double)info->n_points / (double)info->n_unit_points
                      : info->cadence;
    return mean > info->unit_spacing ? mean : info->unit_spacing;
}

static void fill_thing(
    struct catalog *catalog, struct model_thing *thing, const Baro__ThingInfo *info)
{
    Baro__Declare nothing;
    baro__declare__init(&nothing);
    const Baro__Declare *d = info->declare != NULL ? info->declare : &nothing;
    *thing = (struct model_thing){
        .thing = info->thing,
        .rank = info->rank,
        .is_tensor = d->is_tensor != 0,
        .name = texts_keep(catalog->texts, d->name),
        .role = d->role < BARO_ROLE_END ? (enum baro_role)d->role : 0,
        .dtype = d->dtype < BARO_DTYPE_END ? (enum baro_dtype)d->dtype : 0,
        .n_dims = (uint32_t)(d->n_shape < MODEL_MAX_DIMS ? d->n_shape : MODEL_MAX_DIMS),
        .n_units = d->n_units <= READING_MAX_UNITS ? d->n_units : 0,
        .epoch = info->epoch > 0 ? info->epoch : 1,
        .n_points = info->n_points + info->n_inherited,
        .first_step = info->first_step,
        .last_step = info->last_step,
        .cadence = info->cadence > info->spacing ? info->cadence : info->spacing,
        .unit_cadence = unit_cadence_of(info),
        .last_value = info->last_value,
        .n_nonfinite = info->n_nonfinite,
        .worst_level = level_of(info->worst_level),
    };
    for (uint32_t i = 0; i < thing->n_dims; i++) {
        thing->shape[i] = d->shape[i];
    }
}

void catalog_set_things(struct catalog *catalog, Baro__ThingInfo *const *things, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct model_thing *thing = catalog_thing(catalog, things[i]->thing);
        if (thing == NULL && catalog->things.n == MAX_THINGS) {
            continue;
        }
        if (thing == NULL) {
            thing = insert(&catalog->things, place_of_thing(catalog, things[i]->thing));
        }
        fill_thing(catalog, thing, things[i]);
    }
    touch(&catalog->things);
}

/* ---- alerts and events ---- */

/* Keep a sentence of the daemon. */
static const char *keep_sentence(struct catalog *catalog, const char *text)
{
    char plain[SENTENCE_BYTES];
    return texts_keep(
        catalog->texts, text != NULL ? plain_sentence(text, plain, sizeof plain) : "");
}

static void fill_alert(
    struct catalog *catalog, struct model_alert *alert, const Baro__Alert *from)
{
    *alert = (struct model_alert){
        .id = from->id,
        .incident = from->incident,
        .step = from->step,
        .time_ns = from->time_ns,
        .kind = texts_keep(catalog->texts, from->kind),
        .tensor = texts_keep(catalog->texts, from->tensor),
        .module = texts_keep(catalog->texts, from->module),
        .role = texts_keep(catalog->texts, from->role),
        .text = keep_sentence(catalog, from->text),
        .advice = keep_sentence(catalog, from->advice),
        .noticed_step = from->noticed_step,
        .level = level_of(from->level),
        .thing = from->thing,
        .unit = from->unit,
        .row = from->row,
        .value = from->value,
        .has_sample = from->has_sample != 0,
        .batch_size = from->batch_size,
        .n_samples = from->n_samples,
    };
    for (size_t i = 0; i < from->n_samples && i < MODEL_MAX_SAMPLES; i++) {
        alert->samples[i] = from->samples[i];
    }
}

static void add_alert(struct catalog *catalog, const Baro__Alert *from)
{
    struct model_alert *alerts = catalog->alerts.items;
    size_t at = catalog->alerts.n;
    for (size_t i = 0; i < catalog->alerts.n; i++) {
        if (alerts[i].id == from->id) {
            fill_alert(catalog, &alerts[i], from);
            return;
        }
    }
    while (at > 0 && alerts[at - 1].step > from->step) {
        at--;
    }
    if (catalog->alerts.n < MAX_ALERTS) {
        fill_alert(catalog, insert(&catalog->alerts, at), from);
    }
}

void catalog_add_alerts(struct catalog *catalog, Baro__Alert *const *alerts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        add_alert(catalog, alerts[i]);
    }
    touch(&catalog->alerts);
}

static void fill_evidence(
    struct catalog *catalog, struct model_incident *incident, const Baro__Incident *from)
{
    for (size_t i = 0; i < from->n_evidence; i++) {
        const Baro__Evidence *piece = from->evidence[i];
        if (piece->series == NULL || incident->n_evidence == MODEL_MAX_EVIDENCE) {
            continue;
        }
        const Baro__SeriesRef *series = piece->series;
        bool is_one_unit = series->kind == READING_UNITS && series->unit >= 0;
        if (series->kind == READING_UNITS && !is_one_unit) {
            continue; /* all units of a tensor are no line */
        }
        incident->evidence[incident->n_evidence++] = (struct model_evidence){
            .ref = {series->thing, (uint16_t)series->kind, (uint16_t)series->stat,
                is_one_unit ? (uint32_t)series->unit : 0},
            .from_step = piece->from_step,
            .to_step = piece->to_step,
            .text = keep_sentence(catalog, piece->text),
        };
    }
}

static size_t keep_sentences(
    struct catalog *catalog, const char **out, char **texts, size_t n)
{
    n = n < MODEL_MAX_SENTENCES ? n : MODEL_MAX_SENTENCES;
    for (size_t i = 0; i < n; i++) {
        out[i] = keep_sentence(catalog, texts[i]);
    }
    return n;
}

static void fill_incident(
    struct catalog *catalog, struct model_incident *incident, const Baro__Incident *from)
{
    *incident = (struct model_incident){
        .id = from->id,
        .kind = texts_keep(catalog->texts, from->kind),
        .headline = keep_sentence(catalog, from->headline),
        .level = level_of(from->level),
        .first_step = from->first_step,
        .last_step = from->last_step,
        .is_open = from->is_open != 0,
        .n_more = from->n_more,
    };
    for (size_t i = 0; i < from->n_alerts && i < MODEL_MAX_MEMBERS; i++) {
        incident->alerts[incident->n_alerts++] = from->alerts[i];
    }
    incident->n_causes =
        keep_sentences(catalog, incident->causes, from->causes, from->n_causes);
    incident->n_advice =
        keep_sentences(catalog, incident->advice, from->advice, from->n_advice);
    fill_evidence(catalog, incident, from);
}

static void add_incident(struct catalog *catalog, const Baro__Incident *from)
{
    struct model_incident *incidents = catalog->incidents.items;
    size_t at = catalog->incidents.n;
    while (at > 0 && incidents[at - 1].id > from->id) {
        at--;
    }
    if (at > 0 && incidents[at - 1].id == from->id) {
        fill_incident(catalog, &incidents[at - 1], from);
    } else if (catalog->incidents.n < MAX_ALERTS) {
        fill_incident(catalog, insert(&catalog->incidents, at), from);
    }
}

void catalog_add_incidents(
    struct catalog *catalog, Baro__Incident *const *incidents, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        add_incident(catalog, incidents[i]);
    }
    touch(&catalog->incidents);
}

void catalog_add_event(struct catalog *catalog, int64_t step, int64_t time_ns,
    enum baro_level level, const char *text, size_t n_text)
{
    baro_autofree char *copy = baro_xcalloc(n_text + 1, 1);
    memcpy(copy, text, n_text);
    const char *kept = texts_keep(catalog->texts, copy);
    struct model_event *events = catalog->events.items;
    for (size_t i = 0; i < catalog->events.n; i++) {
        if (events[i].time_ns == time_ns && events[i].text == kept) {
            return;
        }
    }
    if (catalog->events.n < MAX_EVENTS) {
        struct model_event *event = insert(&catalog->events, catalog->events.n);
        *event = (struct model_event){step, time_ns, level, kept};
    }
}

static void remove_note(struct catalog *catalog, uint64_t id)
{
    struct model_note *notes = catalog->notes.items;
    for (size_t i = 0; i < catalog->notes.n; i++) {
        if (notes[i].id == id) {
            memmove(&notes[i], &notes[i + 1], (catalog->notes.n - i - 1) * sizeof *notes);
            catalog->notes.n--;
            touch(&catalog->notes);
            return;
        }
    }
}

void catalog_add_note(struct catalog *catalog, const Baro__Note *from)
{
    size_t at = 0;
    remove_note(catalog, from->id);
    const struct model_note *notes = catalog->notes.items;
    while (at < catalog->notes.n && notes[at].step <= from->step) {
        at++;
    }
    if (!from->is_removed && catalog->notes.n < MAX_NOTES) {
        struct model_note *note = insert(&catalog->notes, at);
        *note = (struct model_note){
            .id = from->id,
            .step = from->step,
            .time_ns = from->time_ns,
            .author = texts_keep(catalog->texts, from->author),
            .text = texts_keep(catalog->texts, from->text),
        };
    }
}

void catalog_set_notes(struct catalog *catalog, Baro__Note *const *notes, size_t n)
{
    clear(&catalog->notes);
    for (size_t i = 0; i < n; i++) {
        catalog_add_note(catalog, notes[i]);
    }
}

bool catalog_is_changed(const struct catalog *catalog)
{
    return catalog->runs.part == NULL || catalog->things.part == NULL ||
           catalog->alerts.part == NULL || catalog->events.part == NULL ||
           catalog->incidents.part == NULL || catalog->notes.part == NULL;
}

void catalog_publish(struct catalog *catalog, struct model *model)
{
    part_unref(model->runs);
    part_unref(model->things);
    part_unref(model->alerts);
    part_unref(model->events);
    part_unref(model->incidents);
    part_unref(model->notes);
    model->runs = part_of(&catalog->runs);
    model->things = part_of(&catalog->things);
    model->alerts = part_of(&catalog->alerts);
    model->events = part_of(&catalog->events);
    model->incidents = part_of(&catalog->incidents);
    model->notes = part_of(&catalog->notes);
}
