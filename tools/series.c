/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/series.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/reading.h"
#include "lib/base/tensor.h"
#include "lib/base/text.h"
#include "tools/ask.h"

enum { NAME_BYTES = SERIES_LABEL_BYTES + 64 };

static const char step_time[] = "step_time";

/* What stands behind a thing's label in the name of a series. */
struct tail {
    uint32_t epoch; /* 0: none given */
    bool has_unit;
    int64_t unit;
    char stat[64]; /* empty: none given */
    uint32_t rank;
};

/* ---- asking ---- */

int things_ask(
    struct cli *cli, uint32_t run, const char *glob, struct thing_list *out_things)
{
    *out_things = (struct thing_list){0};
    char pattern[SERIES_LABEL_BYTES];
    (void)snprintf(pattern, sizeof pattern, "%s", glob != NULL ? glob : "");
    Baro__SeriesRequest body;
    baro__series_request__init(&body);
    body.run = run;
    body.glob = pattern;
    Baro__Envelope request = BARO__ENVELOPE__INIT;
    request.body_case = BARO__ENVELOPE__BODY_SERIES_REQUEST;
    request.series_request = &body;
    const struct ask ask = {.request = &request,
        .wanted = BARO__ENVELOPE__BODY_SERIES_REPLY,
        .what = "the run's series"};
    const int rc = ask_for(cli, &ask, &out_things->message);
    if (rc != CLI_OK) {
        return rc;
    }
    const Baro__Envelope *reply = out_things->message.wire.envelope;
    out_things->things = reply->series_reply->things;
    out_things->n_things = reply->series_reply->n_things;
    return CLI_OK;
}

void things_release(struct thing_list *things)
{
    link_message_release(&things->message);
    *things = (struct thing_list){0};
}

/* ---- labels ---- */

bool thing_is_run(const Baro__ThingInfo *thing)
{
    return thing->declare == NULL || thing->thing == 0;
}

bool thing_is_own(const Baro__ThingInfo *thing)
{
    static const char prefix[] = "barograph/";
    return !thing_is_run(thing) && !thing_is_tensor(thing) &&
           strncmp(thing->declare->name, prefix, sizeof prefix - 1) == 0;
}

bool thing_is_tensor(const Baro__ThingInfo *thing)
{
    return thing->declare != NULL && thing->declare->is_tensor;
}

uint32_t thing_unit_stats(const Baro__ThingInfo *thing)
{
    enum baro_role role =
        thing->declare != NULL ? (enum baro_role)thing->declare->role : BARO_WEIGHT;
    return (uint32_t)reading_unit_stats(role);
}

char *thing_label(const Baro__ThingInfo *thing, char out[SERIES_LABEL_BYTES])
{
    if (thing_is_run(thing)) {
        (void)snprintf(out, SERIES_LABEL_BYTES, "%s", step_time);
    } else if (thing_is_tensor(thing)) {
        (void)snprintf(out, SERIES_LABEL_BYTES, "%s:%s", thing->declare->name,
            baro_role_name((enum baro_role)thing->declare->role));
    } else {
        (void)snprintf(out, SERIES_LABEL_BYTES, "%s", thing->declare->name);
    }
    return out;
}

char *thing_epoch_label(const Baro__ThingInfo *thing, char out[SERIES_LABEL_BYTES])
{
    size_t n = strlen(thing_label(thing, out));
    if (thing->epoch > 1) {
        (void)snprintf(out + n, SERIES_LABEL_BYTES - n, "#%u", thing->epoch);
    }
    return out;
}

/* ---- reading a name ---- */

/* Read a number at *text, moving on over it. */
static bool read_number(const char **text, int64_t *out)
{
    char *end = NULL;
    errno = 0;
    long long number = **text >= '0' && **text <= '9' ? strtoll(*text, &end, 10) : -1;
    if (errno != 0 || number < 0) {
        return false;
    }
    *out = number;
    *text = end;
    return true;
}

/* Read "#2[12]/mean@1": each part may be missing. */
static bool parse_tail(const char *text, bool is_tensor, struct tail *out)
{
    *out = (struct tail){0};
    if (is_tensor && *text == '#') {
        int64_t epoch = 0;
        text++;
        if (!read_number(&text, &epoch) || epoch < 1 || epoch > UINT32_MAX) {
            return false;
        }
        out->epoch = (uint32_t)epoch;
    }
    if (is_tensor && *text == '[') {
        text++;
        bool is_negative = *text == '-'; /* there is none; find_statistic says so */
        text += is_negative ? 1 : 0;
        out->has_unit = read_number(&text, &out->unit) && *text++ == ']';
        out->unit = is_negative ? -out->unit : out->unit;
        if (!out->has_unit) {
            return false;
        }
    }
    if (is_tensor && *text == '/') {
        size_t n = strcspn(++text, "@");
        if (n == 0 || n >= sizeof out->stat) {
            return false;
        }
        memcpy(out->stat, text, n);
        text += n;
    }
    if (*text == '@') {
        int64_t rank;
        text++;
        if (!read_number(&text, &rank) || rank > UINT32_MAX) {
            return false;
        }
        out->rank = (uint32_t)rank;
    }
    return *text == '\0';
}

size_t series_epochs(const struct thing_list *things, const Baro__ThingInfo *thing,
    bool is_unit, const Baro__ThingInfo **out)
{
    size_t n = 0;
    for (size_t i = 0; i < things->n_things; i++) {
        const Baro__ThingInfo *other = things->things[i];
        bool is_one =
            other == thing || (thing_is_tensor(thing) && thing_is_tensor(other) &&
                                  other->rank == thing->rank &&
                                  other->declare->role == thing->declare->role &&
                                  strcmp(other->declare->name, thing->declare->name) == 0);
        if (!is_one) {
            continue;
        }
        size_t at = n++;
        for (; at > 0 && out[at - 1]->epoch > other->epoch; at--) {
            out[at] = out[at - 1];
        }
        out[at] = other;
    }
    if (is_unit && n > 1) {
        out[0] = out[n - 1];
        n = 1;
    }
    return n;
}

/*
 * The thing whose label is the longest beginning of text with a sensible rest, right rank and
 * epoch; without an epoch the first, or for a unit the newest.
 */
static const Baro__ThingInfo *find_thing(
    const struct thing_list *things, const char *text, struct tail *out_tail)
{
    const Baro__ThingInfo *found = NULL;
    size_t longest = 0;
    for (size_t i = 0; i < things->n_things; i++) {
        char label[SERIES_LABEL_BYTES];
        struct tail tail;
        const Baro__ThingInfo *thing = things->things[i];
        size_t n = strlen(thing_label(thing, label));
        if (n < longest || strncmp(label, text, n) != 0 ||
            !parse_tail(text + n, thing_is_tensor(thing), &tail) ||
            tail.rank != thing->rank || (tail.epoch != 0 && tail.epoch != thing->epoch)) {
            continue;
        }
        bool is_better =
            found == NULL || n > longest ||
            (tail.has_unit ? thing->epoch > found->epoch : thing->epoch < found->epoch);
        if (is_better) {
            found = thing;
            longest = n;
            *out_tail = tail;
        }
    }
    return found;
}

/* ---- saying what is wrong ---- */

/* "fc1.weight/l2": a tensor's name without its role. Says which roles there are. */
static bool say_roles(const struct thing_list *things, const char *text)
{
    char roles[256] = "";
    for (size_t i = 0; i < things->n_things; i++) {
        const Baro__ThingInfo *thing = things->things[i];
        struct tail tail;
        if (!thing_is_tensor(thing) || thing->epoch > 1) {
            continue;
        }
        const char *name = thing->declare->name;
        size_t n = strlen(name);
        const char *rest = strncmp(name, text, n) == 0 ? text + n : NULL;
        if (rest != NULL && parse_tail(rest, true, &tail) && tail.rank == thing->rank) {
            size_t used = strlen(roles);
            (void)snprintf(roles + used, sizeof roles - used, "%s'%.*s:%s%s'",
                used > 0 ? ", " : "", (int)(n < 100 ? n : 100), name,
                baro_role_name((enum baro_role)thing->declare->role), rest);
        }
    }
    if (roles[0] != '\0') {
        (void)cli_fail("'%s' lacks the role; there is %s", text, roles);
    }
    return roles[0] != '\0';
}

/* Bring "[1]#2/l2@1" and the like into the order in which series are named; false when it is not
 * made of such parts. */
static bool order_tail(const char *tail, char *out, size_t out_bytes)
{
    static const char marks[] = "#[/@";
    const char *parts[sizeof marks] = {NULL};
    int lengths[sizeof marks] = {0};
    while (*tail != '\0') {
        const char *mark = strchr(marks, *tail);
        size_t n = *tail == '/' ? strcspn(tail, "@#[") : 1 + strcspn(tail + 1, marks);
        if (mark == NULL || parts[mark - marks] != NULL) {
            return false;
        }
        parts[mark - marks] = tail;
        lengths[mark - marks] = (int)n;
        tail += n;
    }
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i + 1 < sizeof marks && used < out_bytes; i++) {
        if (parts[i] != NULL) {
            used += (size_t)snprintf(
                out + used, out_bytes - used, "%.*s", lengths[i], parts[i]);
        }
    }
    return used < out_bytes;
}

/* A tensor's name with parts behind it that are in another order, or with an epoch that it does
 * not have: say what there is. */
static bool say_epochs(const struct thing_list *things, const char *text)
{
    const Baro__ThingInfo *longest = NULL;
    size_t n_longest = 0;
    uint32_t n_epochs = 0;
    char label[SERIES_LABEL_BYTES];
    char name[NAME_BYTES];
    char tail[NAME_BYTES];
    for (size_t i = 0; i < things->n_things; i++) {
        const Baro__ThingInfo *thing = things->things[i];
        size_t n = strlen(thing_label(thing, label));
        if (!thing_is_tensor(thing) || n < n_longest || strncmp(label, text, n) != 0 ||
            strchr("#[/@", text[n]) == NULL) {
            continue;
        }
        n_epochs = n > n_longest || thing->epoch > n_epochs ? thing->epoch : n_epochs;
        longest = thing;
        n_longest = n;
    }
    struct tail parsed = {0};
    if (longest == NULL || !order_tail(text + n_longest, tail, sizeof tail)) {
        return false;
    }
    (void)snprintf(name, sizeof name, "%s%s", thing_label(longest, label), tail);
    if (strcmp(name, text) != 0 && find_thing(things, name, &parsed) != NULL) {
        (void)cli_fail("no series '%s'; did you mean '%s'?", text, name);
        return true;
    }
    if (parse_tail(tail, true, &parsed) && parsed.epoch > n_epochs) {
        char epochs[64] = "one epoch";
        if (n_epochs > 1) {
            (void)snprintf(epochs, sizeof epochs, "the epochs 1 to %u", n_epochs);
        }
        (void)cli_fail("no series '%s': '%s' has %s; did you mean '%s#%u%s'?", text, label,
            epochs, label, n_epochs, tail + strcspn(tail, "[/@"));
        return true;
    }
    return false;
}

/* The scalar whose name ends in this one: "train/loss" for "loss"; NULL if there is none. */
static const Baro__ThingInfo *find_scalar_in_group(
    const struct thing_list *things, const char *text)
{
    for (size_t i = 0; i < things->n_things; i++) {
        const Baro__ThingInfo *thing = things->things[i];
        if (thing->declare == NULL || thing_is_tensor(thing)) {
            continue;
        }
        const char *last = strrchr(thing->declare->name, '/');
        if (last != NULL && strcmp(last + 1, text) == 0) {
            return thing;
        }
    }
    return NULL;
}

static int say_no_series(const struct thing_list *things, const char *text)
{
    if (things->n_things == 0) {
        return cli_fail("no series '%s': the run has none yet", text);
    }
    if (say_roles(things, text) || say_epochs(things, text)) {
        return CLI_FAILED;
    }
    const Baro__ThingInfo *grouped = find_scalar_in_group(things, text);
    if (grouped != NULL) {
        return cli_fail("no series '%s'; did you mean '%s'?", text, grouped->declare->name);
    }
    /* Where a unit or statistic begins, if the text names a tensor. */
    const char *tail = strpbrk(text, "[");
    tail = tail != NULL ? tail : strrchr(text, '/');
    tail = tail != NULL ? tail : "";
    size_t n_names = 2 * things->n_things + 1;
    baro_autofree char *labels = baro_xcalloc(n_names, NAME_BYTES);
    baro_autofree const char **names = baro_xcalloc(n_names, sizeof *names);
    for (size_t i = 0; i < things->n_things; i++) {
        char label[SERIES_LABEL_BYTES];
        bool is_tensor = thing_is_tensor(things->things[i]);
        names[2 * i] = labels + 2 * i * NAME_BYTES;
        names[2 * i + 1] = labels + (2 * i + 1) * NAME_BYTES;
        (void)thing_epoch_label(things->things[i], label);
        (void)snprintf(labels + 2 * i * NAME_BYTES, NAME_BYTES, "%s", label);
        (void)snprintf(labels + (2 * i + 1) * NAME_BYTES, NAME_BYTES, "%s%.60s", label,
            is_tensor ? tail : "");
    }
    names[n_names - 1] = step_time;
    const char *near = baro_nearest(text, names, n_names);
    if (near != NULL) {
        return cli_fail("no series '%s'; did you mean '%s'?", text, near);
    }
    return cli_fail("no series '%s'; 'baro series' lists them", text);
}

static int say_no_statistic(
    const char *label, const Baro__ThingInfo *thing, const struct tail *tail)
{
    enum reading_kind kind = tail->has_unit ? READING_UNITS : READING_SUMMARY;
    int n = tail->has_unit ? (int)thing_unit_stats(thing) : SUMMARY_STAT_COUNT;
    const char *names[SUMMARY_STAT_COUNT];
    char list[400] = "";
    for (int i = 0; i < n; i++) {
        names[i] = kind == READING_UNITS ? unit_stat_name(i) : summary_stat_name(i);
        size_t used = strlen(list);
        (void)snprintf(
            list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "", names[i]);
    }
    char unit[32] = "";
    if (tail->has_unit) {
        (void)snprintf(unit, sizeof unit, "[%lld]", (long long)tail->unit);
    }
    if (tail->stat[0] == '\0') {
        return cli_fail("'%s%s' needs a statistic, as in '%s%s/l2'; there are: %s", label,
            unit, label, unit, list);
    }
    const char *near = baro_nearest(tail->stat, names, (size_t)n);
    if (near != NULL) {
        return cli_fail("%s have no statistic '%s'; did you mean '%s%s/%s'?",
            tail->has_unit ? "units" : "tensors", tail->stat, label, unit, near);
    }
    return cli_fail("%s have no statistic '%s'; there are: %s",
        tail->has_unit ? "units" : "tensors", tail->stat, list);
}

/* A unit that a tensor does not have. */
static int say_no_unit(const Baro__ThingInfo *thing, int64_t unit)
{
    char label[SERIES_LABEL_BYTES];
    uint32_t n = thing->declare->n_units;
    int64_t longest = 0; /* axis */
    for (size_t i = 0; i < thing->declare->n_shape; i++) {
        int64_t size = thing->declare->shape[i];
        longest = size > longest ? size : longest;
    }
    (void)thing_label(thing, label);
    if (n == 0 && longest > READING_MAX_UNITS) {
        return cli_fail(
            "'%s' has no units: tensors of more than %d are kept as a whole only", label,
            READING_MAX_UNITS);
    }
    if (n == 0) {
        return cli_fail("'%s' has no units", label);
    }
    return n == 1 ? cli_fail("'%s' has one unit, 0, not %lld", label, (long long)unit)
                  : cli_fail("'%s' has %u units: 0 to %u, not %lld", label, n, n - 1,
                        (long long)unit);
}

/* ---- finding ---- */

static int find_statistic(
    const Baro__ThingInfo *thing, const struct tail *tail, Baro__SeriesRef *out_reference)
{
    char label[SERIES_LABEL_BYTES];
    enum reading_kind kind = tail->has_unit ? READING_UNITS : READING_SUMMARY;
    int stat = reading_stat_parse(kind, tail->stat);
    if (stat < 0 || (tail->has_unit && stat >= (int)thing_unit_stats(thing))) {
        return say_no_statistic(thing_label(thing, label), thing, tail);
    }
    if (tail->has_unit && (tail->unit < 0 || tail->unit >= thing->declare->n_units)) {
        return say_no_unit(thing, tail->unit);
    }
    out_reference->kind = kind;
    out_reference->stat = (uint32_t)stat;
    out_reference->unit = (int32_t)tail->unit;
    return CLI_OK;
}

int series_find(const struct thing_list *things, const char *text,
    Baro__SeriesRef *out_reference, bool *out_is_epoch)
{
    struct tail tail = {0};
    const Baro__ThingInfo *thing = find_thing(things, text, &tail);
    if (thing == NULL && strcmp(text, step_time) == 0) {
        out_reference->thing = 0;
        out_reference->kind = READING_STEP;
        return CLI_OK;
    }
    if (thing == NULL) {
        return say_no_series(things, text);
    }
    out_reference->thing = thing->thing;
    if (out_is_epoch != NULL) {
        *out_is_epoch = tail.epoch != 0;
    }
    if (thing_is_tensor(thing)) {
        return find_statistic(thing, &tail, out_reference);
    }
    out_reference->kind = thing_is_run(thing) ? READING_STEP : READING_SCALAR;
    return CLI_OK;
}
