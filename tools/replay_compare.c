/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "tools/replay.h"

/*
 * Every alert and incident is written as one line that holds all that must be the same, numbers
 * with all their bits; then the two sorted lists are compared. Not in it: numbers that only name
 * (ids; an incident names its alerts by kind, step and tensor), and wall times, which the store
 * rounds.
 */

enum { LINE_BYTES = 4096 };

/* One line and what a person is told of it. */
struct line {
    char *text;
    char *told;
};

struct lines {
    struct line *at;
    size_t n;
};

static void write_alert(const Baro__Alert *alert, char line[LINE_BYTES])
{
    line[0] = '\0';
    baro_text_add(line, LINE_BYTES,
        "alert %s %" PRId64 " %u %s %s %" PRId64 " %" PRId64 " level %u", alert->kind,
        alert->step, alert->rank, alert->tensor, alert->role, alert->unit, alert->row,
        alert->level);
    baro_text_add(line, LINE_BYTES,
        " value %a usual %a score %a units %u sample %d batch %" PRIu64, alert->value,
        alert->usual, alert->score, alert->n_units, alert->has_sample ? 1 : 0,
        alert->batch_size);
    for (size_t i = 0; i < alert->n_samples; i++) {
        baro_text_add(line, LINE_BYTES, " %" PRId64, alert->samples[i]);
    }
    baro_text_add(line, LINE_BYTES, " %s", alert->text);
}

static const Baro__Alert *find_alert(Baro__Alert *const *alerts, size_t n, uint64_t id)
{
    for (size_t i = 0; i < n; i++) {
        if (alerts[i]->id == id) {
            return alerts[i];
        }
    }
    return NULL;
}

static void write_incident(const Baro__Incident *incident, Baro__Alert *const *alerts,
    size_t n_alerts, char line[LINE_BYTES])
{
    line[0] = '\0';
    baro_text_add(line, LINE_BYTES,
        "incident %s %" PRId64 " %" PRId64 " level %u more %" PRIu64 " %s", incident->kind,
        incident->first_step, incident->last_step, incident->level, incident->n_more,
        incident->headline);
    for (size_t i = 0; i < incident->n_causes; i++) {
        baro_text_add(line, LINE_BYTES, " / %s", incident->causes[i]);
    }
    for (size_t i = 0; i < incident->n_alerts; i++) {
        const Baro__Alert *alert = find_alert(alerts, n_alerts, incident->alerts[i]);
        if (alert != NULL) {
            baro_text_add(line, LINE_BYTES, " + %s %" PRId64 " %s", alert->kind,
                alert->step, alert->tensor);
        }
    }
}

static int compare_lines(const void *left, const void *right)
{
    const struct line *a = left;
    const struct line *b = right;
    return strcmp(a->text, b->text);
}

/* All lines of one side, sorted. from_step: alerts before it were not replayed. */
static struct lines list(Baro__Alert *const *alerts, size_t n_alerts,
    Baro__Incident *const *incidents, size_t n_incidents, int64_t from_step)
{
    struct lines lines = {0};
    char text[LINE_BYTES];
    char told[LINE_BYTES];
    lines.at = baro_xcalloc(n_alerts + n_incidents + 1, sizeof *lines.at);
    for (size_t i = 0; i < n_alerts; i++) {
        if (alerts[i]->step >= from_step) {
            write_alert(alerts[i], text);
            (void)snprintf(told, sizeof told, "alert %s at step %" PRId64 ": %s",
                alerts[i]->kind, alerts[i]->step, alerts[i]->text);
            lines.at[lines.n++] = (struct line){baro_xstrdup(text), baro_xstrdup(told)};
        }
    }
    for (size_t i = 0; i < n_incidents; i++) {
        if (incidents[i]->first_step >= from_step) {
            write_incident(incidents[i], alerts, n_alerts, text);
            (void)snprintf(told, sizeof told, "incident at step %" PRId64 ": %s",
                incidents[i]->first_step, incidents[i]->headline);
            lines.at[lines.n++] = (struct line){baro_xstrdup(text), baro_xstrdup(told)};
        }
    }
    qsort(lines.at, lines.n, sizeof *lines.at, compare_lines);
    return lines;
}

static void release(struct lines *lines)
{
    for (size_t i = 0; i < lines->n; i++) {
        free(lines->at[i].text);
        free(lines->at[i].told);
    }
    free(lines->at);
}

static void differ(struct differences *out, const char *how, const struct line *line)
{
    if (out->n == out->size) {
        out->size = 2 * out->size + 16;
        out->sentences = baro_xrealloc(out->sentences, out->size, sizeof(char *));
    }
    size_t n_bytes = strlen(how) + strlen(line->told) + 4;
    out->sentences[out->n] = baro_xcalloc(n_bytes, 1);
    (void)snprintf(out->sentences[out->n], n_bytes, "%s: %s", how, line->told);
    out->n++;
}

void replay_compare(
    const struct replay *replay, const Baro__AlertsReply *recorded, struct differences *out)
{
    *out = (struct differences){0};
    struct lines was = list(recorded->alerts, recorded->n_alerts, recorded->incidents,
        recorded->n_incidents, replay->from_step);
    struct lines is = list(replay->alerts, replay->n_alerts, replay->incidents,
        replay->n_incidents, INT64_MIN);
    size_t a = 0;
    size_t b = 0;
    while (a < was.n || b < is.n) {
        int order = a == was.n ? 1 : b == is.n ? -1 : compare_lines(&was.at[a], &is.at[b]);
        if (order < 0) {
            differ(out, "recorded, not replayed", &was.at[a]);
        } else if (order > 0) {
            differ(out, "replayed, not recorded", &is.at[b]);
        }
        a += order <= 0 ? 1 : 0;
        b += order >= 0 ? 1 : 0;
    }
    release(&was);
    release(&is);
}

void differences_finish(struct differences *differences)
{
    for (size_t i = 0; i < differences->n; i++) {
        free(differences->sentences[i]);
    }
    free(differences->sentences);
    *differences = (struct differences){0};
}
