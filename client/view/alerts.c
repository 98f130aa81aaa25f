/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/view/inside.h"
#include "client/view/words.h"
#include "lib/base/mem.h"

/* The incidents of a run, and the alerts of none in the order of their steps, each with what to try;
 * a click goes there. */

static const float LINE_H = 23;

/* Whether a sentence already names a tensor, in words of its own. */
static bool is_named(const char *sentence, const char *name)
{
    return name[0] == '\0' || strstr(sentence, name) != NULL;
}

/* Whether a sentence already holds a sample's number. */
static bool is_said(const char *sentence, const char *number)
{
    size_t n = strlen(number);
    const char *list = strchr(sentence, ':'); /* not the step or the unit before it */
    const char *at = list != NULL ? strstr(list, number) : NULL;
    while (at != NULL) {
        bool begins = isdigit((unsigned char)at[-1]) == 0;
        if (begins && isdigit((unsigned char)at[n]) == 0) {
            return true;
        }
        at = strstr(at + 1, number);
    }
    return false;
}

/* Add the samples of the batch that the sentence does not name. They are names, not quantities:
 * they have no separators. */
static void say_samples(const struct model_alert *alert, char out[WORDS_MAX], size_t n)
{
    char number[32];
    size_t n_known =
        alert->n_samples < MODEL_MAX_SAMPLES ? alert->n_samples : MODEL_MAX_SAMPLES;
    size_t n_here = 0;
    size_t n_said = 0;
    for (size_t i = 0; i < n_known && n + 48 < WORDS_MAX; i++) {
        (void)snprintf(number, sizeof number, "%lld", (long long)alert->samples[i]);
        n_said++;
        if (is_said(alert->text, number)) {
            continue;
        }
        const char *lead = n_here > 0   ? ", "
                           : n_said > 1 ? "More of the batch: "
                                        : "Samples of the batch: ";
        n += (size_t)snprintf(out + n, WORDS_MAX - n, "%s%s%s",
            n_here == 0 && n > 0 ? " · " : "", lead, number);
        n_here++;
    }
    uint64_t n_all = alert->batch_size > n_known ? alert->batch_size : alert->n_samples;
    if (n_here > 0 && n_all > n_said) {
        (void)snprintf(out + n, WORDS_MAX - n, ", and %llu others",
            (unsigned long long)(n_all - n_said));
    }
}

/* What the sentence leaves out: "encoder.weight · grad · More of the batch: 1442, 1586". */
static void say_more(const struct model_alert *alert, char out[WORDS_MAX])
{
    size_t n = 0;
    out[0] = '\0';
    if (!is_named(alert->text, alert->tensor)) {
        n = (size_t)snprintf(out, WORDS_MAX, "%.160s%s%s", alert->tensor,
            alert->role[0] != '\0' ? " · " : "", alert->role);
    }
    if (!alert->has_sample) { /* one sample is a part of the sentence */
        say_samples(alert, out, n);
    }
}

/* How high a card is: a line for the sentence, one for what it leaves out, one for advice. */
static float card_height(const struct model_alert *alert)
{
    char more[WORDS_MAX];
    say_more(alert, more);
    return 42 + (more[0] != '\0' ? LINE_H : 0) + (alert->advice[0] != '\0' ? LINE_H : 0);
}

static void draw_card(
    struct frame *f, struct draw_rect card, const struct model_alert *alert)
{
    char step[FORMAT_MAX];
    char label[WORDS_MAX];
    char more[WORDS_MAX];
    bool is_chosen = alert->id == f->view->alert;
    draw_fill(f->list, card,
        is_chosen || frame_is_over(f, card) ? f->theme->raised : f->theme->panel);
    if (is_chosen) {
        draw_fill(f->list, (struct draw_rect){card.x, card.y, 2, card.h}, f->theme->accent);
    }
    enum theme_health health = frame_health(alert->level);
    float x = card.x + 34;
    float w = card.w - 34 - 16;
    const float step_w = 150;
    frame_mark(f, health, card.x + 18, card.y + 20);
    struct draw_style style = {.role = FONT_MONO,
        .size = THEME_SIZE_TEXT,
        .color = f->theme->secondary,
        .align = DRAW_RIGHT};
    (void)snprintf(label, sizeof label, "step %s", format_count(step, alert->step));
    (void)draw_string(f->list, card.x + card.w - 16, card.y + 24.5F, &style, label);
    (void)frame_text(f, FONT_STRONG, THEME_SIZE_TEXT, f->theme->text, x, card.y + 24.5F,
        w - step_w, alert->text);
    float y = card.y + 24.5F;
    say_more(alert, more);
    if (more[0] != '\0') {
        y += LINE_H;
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->secondary, x, y, w, more);
    }
    if (alert->advice[0] != '\0') {
        y += LINE_H;
        struct draw_rect try_box =
            frame_text(f, FONT_STRONG, THEME_SIZE_TEXT, f->theme->calm, x, y, 60, "Try");
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->text,
            try_box.x + try_box.w + 8, y, w - try_box.w - 8, alert->advice);
    }
    frame_zone(f, card, VIEW_PICK_ALERT, (int64_t)alert->id, 0);
}

/* ---- what the program said itself ---- */

static const float EVENT_H = 30; /* of one line */
static const float EVENTS_HEAD_H = 34;
static const float EVENT_STEP_W = 120; /* "step 24,397" */
static const float EVENT_LEAD = 34;    /* the mark */

static bool is_warning(const struct model_event *event)
{
    return event->level >= BARO_WATCH;
}

static float event_height(struct frame *f, const struct model_event *event, float w)
{
    struct frame_words lines[FRAME_MAX_LINES];
    float room = w - EVENT_LEAD - EVENT_STEP_W - 16;
    size_t n = 1;
    if ((float)strlen(event->text) * THEME_SIZE_TEXT > room) { /* it may need more lines */
        n = frame_wrap(
            f, FONT_TEXT, THEME_SIZE_TEXT, event->text, room, lines, FRAME_MAX_LINES);
    }
    return EVENT_H + LINE_H * (float)(n > 0 ? n - 1 : 0);
}

static float events_height(struct frame *f, float w)
{
    const struct model_events *events = f->model->events;
    float h = 0;
    for (size_t i = 0; i < events->n; i++) {
        h += is_warning(&events->at[i]) ? event_height(f, &events->at[i], w) : 0;
    }
    return h > 0 ? EVENTS_HEAD_H + h : 0;
}

static void draw_event(
    struct frame *f, struct draw_rect row, const struct model_event *event)
{
    char n[FORMAT_MAX];
    char step[FORMAT_MAX + 8];
    draw_fill(f->list, row, frame_is_over(f, row) ? f->theme->raised : f->theme->panel);
    struct draw_rect first = {row.x, row.y, row.w, EVENT_H - 2};
    float base = frame_middle(f, first, FONT_TEXT, THEME_SIZE_TEXT);
    frame_mark(f, frame_health(event->level), row.x + 18, row.y + first.h / 2);
    (void)snprintf(step, sizeof step, "step %s", format_count(n, event->step));
    struct draw_style style = {.role = FONT_MONO,
        .size = THEME_SIZE_TEXT,
        .color = f->theme->secondary,
        .align = DRAW_RIGHT};
    (void)draw_string(f->list, row.x + row.w - 16, base, &style, step);
    struct draw_rect words = {
        row.x + EVENT_LEAD, base, row.w - EVENT_LEAD - EVENT_STEP_W - 16, 0};
    (void)frame_text_lines(f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->text, words, LINE_H,
        FRAME_MAX_LINES, event->text);
}

/* A row for each warning of the program; those out of the list are left out. */
static void draw_events(struct frame *f, struct draw_rect list, float y)
{
    const struct model_events *events = f->model->events;
    if (events_height(f, list.w) <= 0) {
        return;
    }
    (void)frame_text(f, FONT_STRONG, THEME_SIZE_TEXT, f->theme->text, list.x, y + 20,
        list.w, "warnings of the program itself");
    y += EVENTS_HEAD_H;
    for (size_t i = 0; i < events->n && y < list.y + list.h; i++) {
        const struct model_event *event = &events->at[i];
        if (!is_warning(event)) {
            continue;
        }
        float h = event_height(f, event, list.w);
        struct draw_rect row = {list.x, y, list.w, h - 2};
        y += h;
        if (y >= list.y) {
            draw_event(f, row, event);
        }
    }
}

/* Alerts of an incident stand in its card. */
static bool is_in_incident(const struct model *model, const struct model_alert *alert)
{
    const struct model_incidents *incidents = model->incidents;
    for (size_t i = 0; incidents != NULL && i < incidents->n; i++) {
        if (incidents->at[i].id == alert->incident) {
            return true;
        }
    }
    return false;
}

void alerts_draw(struct frame *f, struct draw_rect rect)
{
    struct view *view = f->view;
    const struct model_alerts *alerts = f->model->alerts;
    struct draw_rect inner = draw_inset(rect, VIEW_PAD, 0);
    char title[WORDS_MAX];
    char n[FORMAT_MAX];
    if (f->model->run != view->run || !f->model->has_alerts) {
        return;
    }
    const struct model_alert *worst = frame_worst_alert(f->model);
    size_t n_incidents = f->model->incidents != NULL ? f->model->incidents->n : 0;
    if (worst == NULL) {
        (void)words_headline(title, f->model, f->run, NULL);
    } else if (n_incidents > 0) {
        (void)snprintf(title, sizeof title, "%zu incident%s, the first since step %s.",
            n_incidents, n_incidents == 1 ? "" : "s",
            format_count(n, f->model->incidents->at[0].first_step));
    } else {
        (void)snprintf(title, sizeof title, "%zu alert%s, the first at step %s.", alerts->n,
            alerts->n == 1 ? "" : "s", format_count(n, alerts->at[0].step));
    }
    frame_mark(
        f, words_headline_health(f->model, f->run, worst), inner.x + 4, inner.y + 14);
    (void)frame_text(f, FONT_TEXT, THEME_SIZE_TITLE, f->theme->text, inner.x + 16,
        inner.y + 19.5F, inner.w - 16, title);
    struct draw_rect list = {inner.x, inner.y + 36, inner.w, inner.h - 36};
    float stories_h = n_incidents > 0 ? incidents_height(f, list.w) : 0;
    float content = stories_h;
    content += events_height(f, list.w);
    for (size_t i = 0; i < alerts->n; i++) {
        bool is_alone = !is_in_incident(f->model, &alerts->at[i]);
        content += is_alone ? card_height(&alerts->at[i]) + THEME_GAP : 0;
    }
    float scroll = frame_scroll(f, VIEW_SCROLL_PAGE, content, list.h);
    frame_zone(f, list, VIEW_SCROLL, VIEW_SCROLL_PAGE, 0);
    draw_clip(f->list, list);
    float y = list.y - scroll;
    if (n_incidents > 0) {
        incidents_draw(f, list, y);
        y += stories_h;
    }
    for (size_t i = 0; i < alerts->n; i++) {
        if (is_in_incident(f->model, &alerts->at[i])) {
            continue;
        }
        struct draw_rect card = {list.x, y, list.w, card_height(&alerts->at[i])};
        if (card.y + card.h > list.y && card.y < list.y + list.h) {
            draw_card(f, card, &alerts->at[i]);
        }
        y += card.h + THEME_GAP;
    }
    draw_events(f, list, y);
    draw_unclip(f->list);
    frame_scroll_bar(
        f, (struct draw_rect){rect.x, list.y, rect.w, list.h}, content, scroll);
}
