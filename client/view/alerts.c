/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/view/inside.h"
#include "client/view/words.h"
#include "lib/base/mem.h"

/* The alerts of a run in the order of their steps, each with what to try; a click goes there. */

static const float CARD_H = 92;

/* "decoder.logvar:act · unit 12 · batch row 3" */
static void say_where(const struct model_alert *alert, char out[WORDS_MAX])
{
    size_t n = (size_t)snprintf(out, WORDS_MAX, "%.180s%s%s", alert->tensor,
        alert->role[0] != '\0' ? " · " : "", alert->role);
    if (alert->unit >= 0 && n < WORDS_MAX) {
        n += (size_t)snprintf(
            out + n, WORDS_MAX - n, " · unit %lld", (long long)alert->unit);
    }
    if (alert->row >= 0 && n < WORDS_MAX) {
        (void)snprintf(
            out + n, WORDS_MAX - n, " · row %lld of the batch", (long long)alert->row);
    }
}

/* "sample 1,234" or "batch of 64: samples 3, 17, 29, ..." */
static void say_samples(const struct model_alert *alert, char out[WORDS_MAX])
{
    char number[FORMAT_MAX];
    out[0] = '\0';
    if (alert->n_samples == 0) {
        return;
    }
    if (alert->has_sample) {
        (void)snprintf(
            out, WORDS_MAX, "sample %s", format_count(number, alert->samples[0]));
        return;
    }
    size_t n = (size_t)snprintf(out, WORDS_MAX, "in a batch of %s: samples",
        format_count(number, (int64_t)alert->batch_size));
    for (size_t i = 0; i < alert->n_samples && i < 8; i++) {
        n += (size_t)snprintf(out + n, WORDS_MAX - n, "%s %s", i > 0 ? "," : "",
            format_count(number, alert->samples[i]));
    }
    if (alert->n_samples > 8) {
        (void)snprintf(out + n, WORDS_MAX - n, ", …");
    }
}

static void draw_card(
    struct frame *f, struct draw_rect card, const struct model_alert *alert)
{
    char step[FORMAT_MAX];
    char label[WORDS_MAX];
    char where[WORDS_MAX];
    char samples[WORDS_MAX];
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
    say_where(alert, where);
    struct draw_rect box = frame_text(f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->secondary, x,
        card.y + 47, w * 0.6F, where);
    say_samples(alert, samples);
    if (samples[0] != '\0') {
        float sx = box.x + box.w + (box.w > 0 ? 18 : 0);
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->secondary, sx,
            card.y + 47, card.x + card.w - 16 - sx, samples);
    }
    if (alert->advice[0] != '\0') {
        struct draw_rect try_box = frame_text(
            f, FONT_STRONG, THEME_SIZE_TEXT, f->theme->calm, x, card.y + 71, 60, "Try");
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->text,
            try_box.x + try_box.w + 8, card.y + 71, w - try_box.w - 8, alert->advice);
    }
    frame_zone(f, card, VIEW_PICK_ALERT, (int64_t)alert->id, 0);
    if (frame_is_over(f, card) && alert->advice[0] != '\0' && f->view->my > card.y + 56) {
        frame_tip(f, f->view->mx, f->view->my);
        frame_tip_line(f, "%s", alert->advice);
    }
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
    if (worst == NULL) {
        (void)snprintf(title, sizeof title, "Fine: no alert in %s steps.",
            format_count(n, f->run->n_steps));
    } else {
        (void)snprintf(title, sizeof title, "%zu alert%s, the first at step %s.", alerts->n,
            alerts->n == 1 ? "" : "s", format_count(n, alerts->at[0].step));
    }
    frame_mark(f, worst != NULL ? frame_health(worst->level) : words_run_health(f->run),
        inner.x + 4, inner.y + 14);
    (void)frame_text(f, FONT_TEXT, THEME_SIZE_TITLE, f->theme->text, inner.x + 16,
        inner.y + 19.5F, inner.w - 16, title);
    struct draw_rect list = {inner.x, inner.y + 36, inner.w, inner.h - 36};
    float content = (CARD_H + THEME_GAP) * (float)alerts->n;
    view->scroll_max[VIEW_SCROLL_PAGE] = fmaxf(content - list.h, 0);
    view->scroll[VIEW_SCROLL_PAGE] =
        fminf(fmaxf(view->scroll[VIEW_SCROLL_PAGE], 0), view->scroll_max[VIEW_SCROLL_PAGE]);
    frame_zone(f, list, VIEW_SCROLL, VIEW_SCROLL_PAGE, 0);
    draw_clip(f->list, list);
    for (size_t i = 0; i < alerts->n; i++) {
        struct draw_rect card = {list.x,
            list.y + (CARD_H + THEME_GAP) * (float)i - view->scroll[VIEW_SCROLL_PAGE],
            list.w, CARD_H};
        if (card.y + card.h > list.y && card.y < list.y + list.h) {
            draw_card(f, card, &alerts->at[i]);
        }
    }
    draw_unclip(f->list);
}
