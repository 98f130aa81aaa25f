/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/view/why_view.h"
#include "client/view/words.h"
#include "lib/base/mem.h"

/*
 * Why: what went wrong in a run as a story. The headline; the stages as cards in the order of time;
 * what broke, by whom, and what to do, side by side; below, of what the value that broke was made.
 * What is not known is said, with how to know it the next time.
 */

static const float COLUMN_GAP = 28;
static const float LINE_H = 19;

/* ---- paragraphs ---- */

float why_paragraph(struct frame *f, float x, float y, float w,
    const struct why_style *style, const char *text)
{
    char line[WHY_TEXT_BYTES];
    for (int i = 1; *text != '\0'; i++) {
        bool is_last = i == style->max_lines;
        size_t n =
            is_last ? strlen(text) : frame_fit_line(f, style->role, style->size, text, w);
        (void)snprintf(line, sizeof line, "%.*s", (int)n, text);
        (void)frame_text(f, style->role, style->size, style->color, x, y, w, line);
        y += style->line_h;
        if (is_last) {
            break;
        }
        text += n;
        text += strspn(text, " ");
    }
    return y;
}

static float plain(struct frame *f, float x, float y, float w, const char *text)
{
    struct why_style style = {FONT_TEXT, THEME_SIZE_TEXT, f->theme->text, LINE_H, 6};
    return why_paragraph(f, x, y, w, &style, text);
}

static float faint(struct frame *f, float x, float y, float w, const char *text)
{
    struct why_style style = {FONT_TEXT, THEME_SIZE_TEXT, f->theme->secondary, LINE_H, 6};
    return why_paragraph(f, x, y, w, &style, text);
}

static float title(struct frame *f, float x, float y, float w, const char *text)
{
    (void)frame_text(f, FONT_STRONG, THEME_SIZE_TEXT, f->theme->text, x, y, w, text);
    return y + LINE_H + 2;
}

/* ---- the columns ---- */

/* "what": the operation, its operand, its line, its units. */
static float draw_what(
    struct frame *f, float x, float y, float w, const struct model_why *why)
{
    const struct why_story *story = &why->story;
    const struct why_origin *origin = &story->origin;
    char text[WHY_TEXT_BYTES + 64];
    y = title(f, x, y, w, "What broke");
    if (story->answer == WHY_FROM_PROBE) {
        why_origin_words(story, text, sizeof text);
        y = plain(f, x, y, w, text);
    }
    (void)snprintf(text, sizeof text, "%s%s%s%s",
        origin->module[0] != '\0' ? origin->module
        : origin->op[0] != '\0'   ? "in no module: the loss function"
                                  : origin->tensor,
        origin->source[0] != '\0' ? " · " : "", origin->source,
        origin->is_gradient ? " · in the gradient" : "");
    y = faint(f, x, y, w, text);
    if (origin->n_units > 0) {
        size_t n = (size_t)snprintf(text, sizeof text, "unit");
        for (size_t i = 0; i < origin->n_units && i < 6; i++) {
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%lld",
                i == 0 ? (origin->n_units > 1 ? "s " : " ") : ", ",
                (long long)origin->units[i]);
        }
        if (origin->n_units_all > origin->n_units) {
            (void)snprintf(text + n, sizeof text - n, " and %zu more",
                origin->n_units_all - origin->n_units);
        }
        float from = y;
        const struct model_thing *thing =
            model_tensor_find(f->model, origin->module, BARO_ACT);
        struct draw_rect zone = {x - 4, from - 14, w * 0.6F, LINE_H};
        bool can_show = thing != NULL && origin->units[0] < (int64_t)thing->n_units;
        struct why_style style = {FONT_TEXT, THEME_SIZE_TEXT,
            can_show ? f->theme->accent : f->theme->text, LINE_H, 1};
        y = why_paragraph(f, x, y, w, &style, text);
        if (can_show) {
            frame_zone(f, zone, VIEW_SHOW_UNIT, origin->units[0], 1 + thing->thing);
        }
    }
    return y;
}

/* "who": samples; and the places that may be to blame. */
static float draw_who(
    struct frame *f, float x, float y, float w, const struct why_story *story)
{
    char text[WHY_TEXT_BYTES + WHY_NAME_BYTES];
    const bool is_certain = story->n_samples > 0 && story->samples[0].is_certain;
    y = title(f, x, y, w, story->n_samples > 0 ? "Which samples" : "Where");
    if (story->n_samples > 0 && !is_certain) {
        size_t n = (size_t)snprintf(text, sizeof text, "One of the batch of that step:");
        for (size_t i = 0; i < story->n_samples && n + 32 < sizeof text; i++) {
            n += (size_t)snprintf(text + n, sizeof text - n, "%s %lld", i > 0 ? "," : "",
                (long long)story->samples[i].sample);
        }
        (void)snprintf(text + n, sizeof text - n, "%s",
            story->n_samples == WHY_MAX_SAMPLES ? " ..." : "");
        y = plain(f, x, y, w, text);
    }
    for (size_t i = 0; is_certain && i < story->n_samples && i < 4; i++) {
        y = plain(f, x, y, w, story->samples[i].text);
    }
    if (story->n_suspects > 0) {
        size_t n = (size_t)snprintf(text, sizeof text, "Likely places: ");
        for (size_t i = 0; i < story->n_suspects && i < 4; i++) {
            const struct why_suspect *suspect = &story->suspects[i];
            char place[WHY_NAME_BYTES];
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", i > 0 ? ", " : "",
                why_place(suspect->module, place));
            if (suspect->unit >= 0) {
                n += (size_t)snprintf(
                    text + n, sizeof text - n, "[%lld]", (long long)suspect->unit);
            }
        }
        y = faint(f, x, y, w, text);
    }
    if (story->n_samples == 0 && story->n_suspects == 0) {
        y = faint(f, x, y, w, "Not known: log(batch=indices) records the samples.");
    }
    return y;
}

/* "why and what to do": the verdict with what speaks for it, the remedies. */
static float draw_advice(
    struct frame *f, float x, float y, float w, const struct why_story *story)
{
    char text[WHY_TEXT_BYTES + 8];
    const struct why_verdict *verdict = &story->verdict;
    y = title(f, x, y, w, "Why, and what to try");
    if (verdict->text[0] != '\0') {
        const bool is_known = verdict->cause != WHY_UNKNOWN;
        (void)snprintf(text, sizeof text, "%s%s%.460s",
            is_known ? why_sureness_word(verdict->sureness) : "", is_known ? " " : "",
            verdict->text);
        text[0] = (char)toupper((unsigned char)text[0]);
        y = plain(f, x, y, w, text);
    }
    for (size_t i = 0; i < verdict->n_evidence && i < 3; i++) {
        const struct why_evidence *evidence = &verdict->evidence[i];
        const bool is_for = evidence->cause == verdict->cause && evidence->weight > 0;
        const bool is_other = evidence->cause != verdict->cause && evidence->weight > 0;
        (void)snprintf(text, sizeof text, "%s %.440s%s%s%s", is_for ? "+" : "–",
            evidence->text, is_other ? " (" : "",
            is_other ? why_cause_name(evidence->cause) : "", is_other ? ")" : "");
        y = faint(f, x, y, w, text);
    }
    for (size_t i = 0; i < story->n_remedies; i++) {
        (void)snprintf(text, sizeof text, "%zu. %s", i + 1, story->remedies[i]);
        struct why_style style = {FONT_TEXT, THEME_SIZE_TEXT, f->theme->text, LINE_H, 6};
        y = why_paragraph(f, x, y + 4, w, &style, text);
    }
    return y;
}

static float draw_columns(
    struct frame *f, struct draw_rect rect, const struct model_why *why)
{
    const struct why_story *story = &why->story;
    const struct why_origin *origin = &story->origin;
    bool has_what = story->has_origin &&
                    (story->answer == WHY_FROM_PROBE || origin->module[0] != '\0' ||
                        origin->op[0] != '\0' || origin->tensor[0] != '\0');
    bool has_who = story->n_samples > 0 || story->n_suspects > 0 || has_what;
    float w = (rect.w - 2 * COLUMN_GAP) * 0.27F;
    float x = rect.x;
    float y = rect.y + 14;
    float end = y;
    if (has_what) { /* an incident may have no operation, nor a place */
        end = fmaxf(end, draw_what(f, x, y, w, why));
        x += w + COLUMN_GAP;
    }
    if (has_who) {
        end = fmaxf(end, draw_who(f, x, y, w, story));
        x += w + COLUMN_GAP;
    }
    return fmaxf(end, draw_advice(f, x, y, rect.x + rect.w - x, story));
}

/* ---- the page ---- */

static float draw_headline(
    struct frame *f, struct draw_rect rect, const struct model_why *why)
{
    const struct why_story *story = &why->story;
    struct why_style style = {FONT_STRONG, THEME_SIZE_TITLE, f->theme->text, 22, 8};
    frame_mark(f, story->answer == WHY_NOTHING ? THEME_CALM : THEME_ALARM, rect.x + 5,
        rect.y + 15);
    float y =
        why_paragraph(f, rect.x + 20, rect.y + 20, rect.w - 24, &style, story->headline);
    return y - 8;
}

/* What would have told more, and how to have it; what this was told from. */
static float draw_missing(
    struct frame *f, struct draw_rect rect, float y, const struct model_why *why)
{
    for (size_t i = 0; i < why->story.n_missing; i++) {
        y = faint(f, rect.x, y, rect.w, why->story.missing[i]);
    }
    if (why->trouble[0] != '\0') {
        y = faint(f, rect.x, y, rect.w, why->trouble);
    }
    if (why->story.looked[0] != '\0') {
        char text[WHY_TEXT_BYTES + 16];
        (void)snprintf(text, sizeof text, "Looked at: %s.", why->story.looked);
        y = faint(f, rect.x, y, rect.w, text);
    }
    return y;
}

static void draw_nothing(
    struct frame *f, struct draw_rect inner, const struct model_why *why)
{
    const char *text =
        why == NULL || (!why->has_story && !why->is_done)
            ? (why != NULL && why->doing[0] != '\0' ? why->doing : frame_waiting(f, true))
            : "Nothing to explain.";
    (void)frame_text(f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->secondary, inner.x,
        inner.y + 20, inner.w, text);
}

void why_draw(struct frame *f, struct draw_rect rect)
{
    struct draw_rect inner = draw_inset(rect, VIEW_PAD, 0);
    const struct model_why *why = f->model->run == f->view->run ? f->model->why : NULL;
    f->view->wish.wants_why = true;
    f->view->wish.why_mode = f->view->why_mode;
    if (why == NULL || !why->has_story) {
        draw_nothing(f, inner, why);
        return;
    }
    float scroll = frame_scroll(f, VIEW_SCROLL_PAGE, f->view->why_h, rect.h);
    frame_zone(f, rect, VIEW_SCROLL, VIEW_SCROLL_PAGE, 0);
    float y = inner.y - scroll;
    inner.w -= 6; /* of the scroll bar */
    y = draw_headline(f, (struct draw_rect){inner.x, y, inner.w, 0}, why) + 4;
    if (why->doing[0] != '\0') {
        y = faint(f, inner.x + 20, y + 12, inner.w, why->doing);
    }
    if (why->story.answer == WHY_NOTHING) { /* nor is there anything behind it */
        (void)faint(f, inner.x + 20, y + 14, inner.w - 20,
            "When an incident opens, its story is told here.");
        f->view->why_h = 0;
        return;
    }
    float cards_h = why_cards_height(&why->story, inner.w);
    why_cards_draw(f, (struct draw_rect){inner.x, y, inner.w, cards_h}, why);
    y += cards_h + (cards_h > 0 ? 16 : 0);
    y = draw_columns(f, (struct draw_rect){inner.x, y, inner.w, 0}, why);
    y = draw_missing(f, inner, y + 6, why);
    y += why_credit_draw(f, (struct draw_rect){inner.x, y + 4, inner.w, 0}, why);
    float content_h = y + scroll - rect.y + VIEW_PAD;
    f->view->is_dirty |= fabsf(content_h - f->view->why_h) > 0.5F && scroll > 0;
    f->view->why_h = content_h;
    frame_scroll_bar(f, rect, content_h, scroll);
}
