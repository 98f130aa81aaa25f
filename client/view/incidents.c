/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/view/inside.h"
#include "client/view/overview.h"
#include "client/view/words.h"
#include "lib/base/mem.h"

/*
 * Incidents as cards: the headline; below it at the left the alerts in causal order, who left the
 * flock first on top, likely causes and what to try; at the right the series that show it, small.
 * What happens once more, alone and with the same causes and advice, is one line below the first.
 */

enum {
    MAX_LINES = 10, /* of a sentence */
    MAX_ROWS = 8,   /* alerts of a card */
    MAX_CHARTS = 4, /* of a card, as many as fit beside its text */
};

static const float LINE_H = 23;
static const float CHART_H = 104;
static const float SIDE_W = 34; /* left of the text: where the mark is */
static const float MIN_CHART_W = 280;
static const float STEP_W = 150; /* of "since step 24,397" */

/* How many lines a text takes. */
static size_t count_lines(struct frame *f, enum font_role role, const char *text, float w)
{
    struct frame_words lines[MAX_LINES];
    return frame_wrap(f, role, THEME_SIZE_TEXT, text, w, lines, MAX_LINES);
}

static const struct model_alert *find_alert(const struct model *model, uint64_t id)
{
    for (size_t i = 0; i < model->alerts->n; i++) {
        if (model->alerts->at[i].id == id) {
            return &model->alerts->at[i];
        }
    }
    return NULL;
}

/* Where the parts of a card are, relative to its top. */
struct plan {
    float text_w; /* of the left column */
    float chart_x, chart_w;
    size_t n_charts, n_rows, n_head; /* lines of the headline */
    float head_h, h;
    const struct model_incident *before; /* that this is once more; NULL: none */
};

/* The one alert of an incident whose headline says all of it; NULL: there is more to say. */
static const struct model_alert *only_alert(
    const struct model *model, const struct model_incident *incident)
{
    const struct model_alert *alert = incident->n_alerts == 1 && incident->n_more == 0
                                          ? find_alert(model, incident->alerts[0])
                                          : NULL;
    return alert != NULL && strcmp(alert->text, incident->headline) == 0 ? alert : NULL;
}

/* Texts of a model are kept once: the same sentence is the same pointer. */
static bool has_same_words(const struct model_incident *a, const struct model_incident *b)
{
    return a->n_causes == b->n_causes && a->n_advice == b->n_advice &&
           a->level == b->level &&
           memcmp(a->causes, b->causes, a->n_causes * sizeof a->causes[0]) == 0 &&
           memcmp(a->advice, b->advice, a->n_advice * sizeof a->advice[0]) == 0;
}

/* The first incident that this one is once more: of the same kind in the same tensor. */
static const struct model_incident *find_before(
    const struct model *model, const struct model_incident *incident)
{
    const struct model_alert *alert = only_alert(model, incident);
    for (size_t i = 0; alert != NULL && i < model->incidents->n; i++) {
        const struct model_incident *other = &model->incidents->at[i];
        if (other == incident) {
            break;
        }
        if (!has_same_words(other, incident)) {
            continue;
        }
        const struct model_alert *first = only_alert(model, other);
        if (first != NULL && first->thing == alert->thing &&
            strcmp(first->kind, alert->kind) == 0) {
            return other;
        }
    }
    return NULL;
}

static const float LEAD_W = 84; /* left of a sentence: "Likely", "Try" */

/* Height of a cause or an advice in the left column. */
static float sentence_height(struct frame *f, const char *sentence, float w)
{
    return LINE_H * (float)count_lines(f, FONT_TEXT, sentence, w - LEAD_W);
}

/* Where the sentence of an alert begins: behind its step. */
static float alert_lead(
    struct frame *f, const struct model_alert *alert, char step[FORMAT_MAX])
{
    (void)format_count(step, alert->step);
    float w =
        font_width(draw_font(f->list), FONT_MONO, THEME_SIZE_TEXT, step, strlen(step));
    return fmaxf(18 + w + 12, LEAD_W);
}

static float alert_height(struct frame *f, const struct model_alert *alert, float w)
{
    char step[FORMAT_MAX];
    return LINE_H *
           (float)count_lines(f, FONT_TEXT, alert->text, w - alert_lead(f, alert, step));
}

/* Alerts that have no row. */
static uint64_t count_more(const struct plan *plan, const struct model_incident *incident)
{
    uint64_t n = incident->n_alerts + incident->n_more;
    return plan->n_rows > 0 ? n - plan->n_rows : 0;
}

static struct plan plan_card(
    struct frame *f, float w, const struct model_incident *incident)
{
    struct plan plan = {0};
    float inner = w - SIDE_W - 16;
    plan.n_head = count_lines(f, FONT_STRONG, incident->headline, inner - STEP_W);
    plan.head_h = 12 + LINE_H * (float)plan.n_head;
    plan.before = find_before(f->model, incident);
    if (plan.before != NULL) {
        plan.h = plan.head_h + 6;
        return plan;
    }
    plan.n_charts =
        incident->n_evidence < MAX_CHARTS ? incident->n_evidence : (size_t)MAX_CHARTS;
    plan.chart_w = fminf(inner * 0.42F, 460);
    if (plan.chart_w < MIN_CHART_W) {
        plan.n_charts = 0;
    }
    plan.text_w = plan.n_charts > 0 ? inner - plan.chart_w - 24 : inner;
    plan.chart_x = SIDE_W + plan.text_w + 24;
    plan.n_rows = incident->n_alerts < MAX_ROWS ? incident->n_alerts : (size_t)MAX_ROWS;
    plan.n_rows = only_alert(f->model, incident) != NULL ? 0 : plan.n_rows;
    float text_h = count_more(&plan, incident) > 0 ? LINE_H : 0;
    for (size_t i = 0; i < plan.n_rows; i++) {
        const struct model_alert *alert = find_alert(f->model, incident->alerts[i]);
        text_h += alert != NULL ? alert_height(f, alert, plan.text_w) : LINE_H;
    }
    for (size_t i = 0; i < incident->n_causes; i++) {
        text_h += sentence_height(f, incident->causes[i], plan.text_w);
    }
    for (size_t i = 0; i < incident->n_advice; i++) {
        text_h += sentence_height(f, incident->advice[i], plan.text_w);
    }
    while (plan.n_charts > 1 && (CHART_H + 6) * (float)plan.n_charts > text_h) {
        plan.n_charts--;
    }
    float charts_h = (CHART_H + 6) * (float)plan.n_charts;
    plan.h = plan.head_h + fmaxf(text_h, charts_h) + 14;
    return plan;
}

/* ---- the left column ---- */

/* One alert: its mark, its step, what it says; a click goes there. */
static void draw_row(struct frame *f, struct draw_rect row, const struct model_alert *alert)
{
    char step[FORMAT_MAX];
    if (alert->id == f->view->alert || frame_is_over(f, row)) {
        draw_fill(f->list, row, f->theme->raised);
    }
    float base = row.y + 16.5F;
    float lead = alert_lead(f, alert, step);
    frame_mark(f, frame_health(alert->level), row.x + 6, row.y + 11);
    (void)frame_text(
        f, FONT_MONO, THEME_SIZE_TEXT, f->theme->secondary, row.x + 18, base, 0, step);
    struct draw_rect words = {row.x + lead, base, row.w - lead, 0};
    (void)frame_text_lines(f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->text, words, LINE_H,
        MAX_LINES, alert->text);
    frame_zone(f, row, VIEW_PICK_ALERT, (int64_t)alert->id, 0);
}

/* Gives the height that it took. */
static float draw_sentence(struct frame *f, struct draw_rect row, const char *lead,
    draw_color color, const char *sentence)
{
    float base = row.y + 16.5F;
    (void)frame_text(f, FONT_STRONG, THEME_SIZE_TEXT, color, row.x + 18, base, 62, lead);
    struct draw_rect words = {row.x + LEAD_W, base, row.w - LEAD_W, 0};
    return LINE_H * (float)frame_text_lines(f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->text,
                        words, LINE_H, MAX_LINES, sentence);
}

static void draw_texts(struct frame *f, float x, float y, const struct plan *plan,
    const struct model_incident *incident)
{
    struct draw_rect row = {x, y, plan->text_w, LINE_H};
    for (size_t i = 0; i < plan->n_rows; i++) {
        const struct model_alert *alert = find_alert(f->model, incident->alerts[i]);
        row.h = alert != NULL ? alert_height(f, alert, row.w) : LINE_H;
        if (alert != NULL) {
            draw_row(f, row, alert);
        }
        row.y += row.h;
    }
    uint64_t n_more = count_more(plan, incident);
    if (n_more > 0) {
        char more[WORDS_MAX];
        (void)snprintf(more, sizeof more, "and %llu more alert%s",
            (unsigned long long)n_more, n_more == 1 ? "" : "s");
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->secondary, row.x + 84,
            row.y + 16.5F, row.w - 84, more);
        row.y += LINE_H;
    }
    for (size_t i = 0; i < incident->n_causes; i++) {
        row.y += draw_sentence(
            f, row, i == 0 ? "Likely" : "or", f->theme->watch, incident->causes[i]);
    }
    for (size_t i = 0; i < incident->n_advice; i++) {
        row.y += draw_sentence(f, row, "Try", f->theme->calm, incident->advice[i]);
    }
}

/* ---- evidence ---- */

static void title_of(
    struct frame *f, const struct model_ref *ref, float w, char out[WORDS_MAX])
{
    const struct model_thing *thing = model_thing_find(f->model, ref->thing);
    const float aside = 170; /* for the statistic and the value */
    char full[WORDS_MAX];
    char name[WORDS_MAX];
    if (thing != NULL) {
        (void)frame_fit_name(f, FONT_STRONG, THEME_SIZE_TEXT, fmaxf(w - aside, 60),
            words_thing(full, thing), name);
    }
    if (thing == NULL) {
        out[0] = '\0'; /* step times: with their unit, see draw_evidence() */
    } else if (ref->kind == READING_SUMMARY) {
        (void)snprintf(out, WORDS_MAX, "%.200s · %s", name, summary_stat_name(ref->stat));
    } else if (ref->kind == READING_UNITS) {
        (void)snprintf(
            out, WORDS_MAX, "%.200s [%u] · %s", name, ref->unit, unit_stat_name(ref->stat));
    } else {
        (void)snprintf(out, WORDS_MAX, "%s", name);
    }
}

static void draw_evidence(struct frame *f, struct draw_rect rect,
    const struct model_incident *incident, size_t at)
{
    const struct model_evidence *evidence = &incident->evidence[at];
    const struct model_thing *thing = model_thing_find(f->model, evidence->ref.thing);
    const struct model_series *series = frame_series(f, evidence->ref, false);
    char title[WORDS_MAX];
    title_of(f, &evidence->ref, rect.w, title);
    struct chart_line line = frame_line(
        f, series, thing != NULL ? thing->cadence : 1, theme_series(f->theme, at));
    if (evidence->ref.kind == READING_STEP) {
        (void)snprintf(title, sizeof title, "%s", overview_time_unit(f, &line, true));
    }
    struct frame_chart chart = {
        .id = frame_id(VIEW_ALERTS, evidence->ref.thing, evidence->ref.kind,
            (uint32_t)(incident->id * MAX_CHARTS + at)),
        .chart = {.title = title,
            .lines = &line,
            .n_lines = 1,
            .empty = series != NULL && series->is_ready ? NULL : frame_waiting(f, false)},
        .thing = thing != NULL && thing->is_tensor ? thing->thing : 0,
        .may_log = true,
    };
    (void)frame_chart(f, rect, &chart);
}

/* ---- cards ---- */

/* The headline; where it says all of an alert, a click on it goes there. */
static void draw_head(struct frame *f, struct draw_rect card, const struct plan *plan,
    const struct model_incident *incident)
{
    char step[FORMAT_MAX];
    char label[WORDS_MAX];
    struct draw_rect head = {
        card.x + SIDE_W, card.y + 24.5F, card.w - SIDE_W - 16 - STEP_W, 0};
    const struct model_alert *alert = only_alert(f->model, incident);
    if (alert != NULL) {
        struct draw_rect zone = {card.x, card.y, card.w, fminf(plan->head_h + 6, card.h)};
        if (alert->id == f->view->alert || frame_is_over(f, zone)) {
            draw_fill(f->list, zone, f->theme->raised);
        }
        frame_zone(f, zone, VIEW_PICK_ALERT, (int64_t)alert->id, 0);
    }
    frame_mark(f, frame_health(incident->level), card.x + 18, card.y + 20);
    struct draw_style style = {.role = FONT_MONO,
        .size = THEME_SIZE_TEXT,
        .color = f->theme->secondary,
        .align = DRAW_RIGHT};
    (void)snprintf(label, sizeof label, "%s %s",
        plan->before != NULL ? "step" : "since step",
        format_count(step, incident->first_step));
    (void)draw_string(f->list, card.x + card.w - 16, card.y + 24.5F, &style, label);
    (void)frame_text_lines(f, plan->before != NULL ? FONT_TEXT : FONT_STRONG,
        THEME_SIZE_TEXT, f->theme->text, head, LINE_H, plan->n_head, incident->headline);
}

static void draw_card(struct frame *f, struct draw_rect card, const struct plan *plan,
    const struct model_incident *incident)
{
    draw_fill(f->list, card, f->theme->panel);
    draw_head(f, card, plan, incident);
    if (plan->before != NULL) {
        return;
    }
    float y = card.y + plan->head_h + 4;
    draw_texts(f, card.x + SIDE_W - 12, y, plan, incident);
    for (size_t i = 0; i < plan->n_charts; i++) {
        struct draw_rect rect = {
            card.x + plan->chart_x, y + (CHART_H + 6) * (float)i, plan->chart_w, CHART_H};
        draw_evidence(f, rect, incident, i);
    }
}

float incidents_height(struct frame *f, float w)
{
    const struct model_incidents *incidents = f->model->incidents;
    float h = 0;
    for (size_t i = 0; i < incidents->n; i++) {
        h += plan_card(f, w, &incidents->at[i]).h + THEME_GAP;
    }
    return h;
}

void incidents_draw(struct frame *f, struct draw_rect list, float y)
{
    const struct model_incidents *incidents = f->model->incidents;
    for (size_t i = 0; i < incidents->n; i++) {
        struct plan plan = plan_card(f, list.w, &incidents->at[i]);
        struct draw_rect card = {list.x, y, list.w, plan.h};
        if (card.y + card.h > list.y && card.y < list.y + list.h) {
            draw_card(f, card, &plan, &incidents->at[i]);
        }
        y += card.h + THEME_GAP;
    }
}
