/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/view/why_view.h"
#include "client/view/words.h"
#include "lib/base/mem.h"

/*
 * The causal chain: a card for each stage, left to right in time, with the series that shows it and
 * its sentence. When there are more stages than fit beside each other the last ones are cards, where
 * it broke among them, and those before are lines above.
 */

static const float CARD_H = 204;
static const float MIN_CARD_W = 196;
static const float MAX_CARD_W = 560;
static const float ALONE_H = 116; /* of a card that has the row: words at the left */
static const float ARROW_W = 22;
static const float LINE_H = 20; /* of an earlier stage */
static const float LINES_GAP = 8;

/* How many stages are cards in a width, the last ones. */
static size_t count_cards(const struct why_story *story, float w)
{
    size_t n_fit = (size_t)fmaxf(floorf((w + ARROW_W) / (MIN_CARD_W + ARROW_W)), 1);
    return story->n_beats < n_fit ? story->n_beats : n_fit;
}

/* Whether a stage has something to be drawn beside its words. */
static bool has_picture(const struct why_story *story, const struct why_beat *beat)
{
    return beat->series.thing != 0 || (beat->kind == WHY_BEAT_ORIGIN && story->has_origin);
}

static float card_height(const struct why_story *story, size_t n)
{
    const bool is_alone = n == 1 && story->n_beats == 1;
    const bool has_any = is_alone && has_picture(story, &story->beats[0]);
    return !is_alone ? CARD_H : has_any ? ALONE_H : ALONE_H / 2 + 14;
}

float why_cards_height(const struct why_story *story, float w)
{
    size_t n = count_cards(story, w);
    size_t n_lines = story->n_beats - n;
    float lines_h = n_lines > 0 ? LINE_H * (float)n_lines + LINES_GAP : 0;
    return n > 0 ? card_height(story, n) + lines_h : 0;
}

static enum theme_health health_of(const struct why_beat *beat)
{
    switch (beat->kind) {
    case WHY_BEAT_SETTING:
    case WHY_BEAT_DRIFT: return THEME_WATCH;
    case WHY_BEAT_ALERT:
    case WHY_BEAT_ORIGIN:
    case WHY_BEAT_LOSS: break;
    }
    return THEME_ALARM;
}

/* What a stage is, in a word or two. */
static const char *kind_words(const struct why_beat *beat)
{
    switch (beat->kind) {
    case WHY_BEAT_SETTING: return "setting changed";
    case WHY_BEAT_DRIFT: return "left its course";
    case WHY_BEAT_ALERT: return "alert";
    case WHY_BEAT_ORIGIN: return "broke here";
    case WHY_BEAT_LOSS: return "the loss shows it";
    }
    return "";
}

static void say_lead(const struct why_beat *beat, char *out, size_t size)
{
    char number[FORMAT_MAX];
    out[0] = '\0';
    if (beat->lead > 0) {
        (void)snprintf(out, size, "%s step%s before", format_count(number, beat->lead),
            beat->lead == 1 ? "" : "s");
    }
}

/* What a line is of: "logvar[2] · abs_max". */
static void say_series(struct frame *f, const struct model_thing *thing,
    const struct why_beat *beat, float w, char out[WORDS_MAX])
{
    struct font *font = draw_font(f->list);
    char name[WORDS_MAX];
    char after[64];
    char unit[32] = "";
    const char *stat = beat->series.kind == READING_SUMMARY
                           ? summary_stat_name((enum summary_stat)beat->series.stat)
                       : beat->series.kind == READING_UNITS
                           ? unit_stat_name((enum unit_stat)beat->series.stat)
                           : "";
    if (beat->series.unit >= 0) {
        (void)snprintf(unit, sizeof unit, "[%lld]", (long long)beat->series.unit);
    }
    (void)snprintf(after, sizeof after, "%s%s%s", unit, stat[0] != '\0' ? " · " : "", stat);
    float after_w = font_width(font, FONT_TEXT, THEME_SIZE_AXIS, after, strlen(after));
    (void)frame_fit_name(
        f, FONT_TEXT, THEME_SIZE_AXIS, fmaxf(w - after_w - 2, 40), thing->name, name);
    (void)snprintf(out, WORDS_MAX, "%.200s%s", name, after);
}

/* The operand beside what it was in calm and where the operation breaks, on one scale. */
static void draw_gauge(
    struct frame *f, struct draw_rect rect, const struct why_origin *origin)
{
    double usual = isfinite(origin->usual) ? fabs(origin->usual) : 0;
    double most = fmax(fmax(fabs(origin->operand), fabs(origin->limit)), usual) * 1.04;
    const struct {
        const char *name;
        double value;
        draw_color color;
    } marks[] = {{"in calm", origin->usual, f->theme->calm},
        {"limit", origin->limit, f->theme->secondary},
        {"operand", origin->operand, f->theme->alarm}};
    if (!isfinite(most) || !(most > 0)) {
        return;
    }
    float y = rect.y + 4;
    for (size_t i = 0; i < BARO_LEN(marks); i++) {
        char value[FORMAT_MAX];
        if (!isfinite(marks[i].value)) {
            continue;
        }
        float x = rect.x + 52;
        float w = rect.w - 52 - 62;
        float at = w * (float)(fabs(marks[i].value) / most);
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->secondary, rect.x, y + 8,
            50, marks[i].name);
        draw_fill(f->list, (struct draw_rect){x, y, w, 8}, f->theme->grid);
        draw_fill(f->list, (struct draw_rect){x, y, fmaxf(at, 1), 8}, marks[i].color);
        (void)frame_text(f, FONT_MONO, THEME_SIZE_AXIS, f->theme->text, x + w + 6, y + 8,
            60, format_value(value, marks[i].value));
        y += 17;
    }
}

/* The series of a stage over the visible steps, its step marked. */
static void draw_series(
    struct frame *f, struct draw_rect rect, const struct why_beat *beat, size_t at)
{
    struct model_ref ref = {beat->series.thing, (uint16_t)beat->series.kind,
        (uint16_t)beat->series.stat,
        beat->series.unit >= 0 ? (uint32_t)beat->series.unit : 0};
    const struct model_thing *thing = model_thing_find(f->model, ref.thing);
    if (thing == NULL || (int)beat->series.kind == 0) {
        return;
    }
    const struct model_series *series = frame_series(f, ref, false);
    struct chart_line line =
        frame_line(f, series, thing->cadence, theme_series(f->theme, 0));
    struct frame_chart chart = {
        .id = frame_id(VIEW_WHY, ref.thing, ref.kind, (uint32_t)(ref.stat * 16 + at)),
        .chart = {.title = thing->name,
            .lines = &line,
            .n_lines = 1,
            .sparkline = true,
            .empty = series != NULL && series->is_ready ? NULL : frame_waiting(f, false)},
        .thing = thing->is_tensor ? thing->thing : 0,
        .may_log = true,
    };
    char name[WORDS_MAX];
    say_series(f, thing, beat, rect.w, name);
    (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->secondary, rect.x, rect.y + 8,
        rect.w, name);
    rect.y += 14;
    rect.h -= 14;
    const struct view_slot *slot = frame_chart(f, rect, &chart);
    float x = chart_px_of_x(&slot->layout, (double)beat->step);
    if (x >= rect.x && x <= rect.x + rect.w) {
        draw_hair_v(
            f->list, x, rect.y, rect.h, 3, theme_health_color(f->theme, health_of(beat)));
    }
}

static void draw_card(struct frame *f, struct draw_rect card, const struct why_story *story,
    const struct why_beat *beat, size_t at)
{
    char text[WORDS_MAX];
    char step[FORMAT_MAX];
    draw_fill(f->list, card, f->theme->panel);
    draw_fill(f->list, (struct draw_rect){card.x, card.y, card.w, 2},
        theme_health_color(f->theme, health_of(beat)));
    frame_mark(f, health_of(beat), card.x + 14, card.y + 18);
    (void)snprintf(text, sizeof text, "step %s", format_count(step, beat->step));
    struct draw_rect box = frame_text(
        f, FONT_MONO, THEME_SIZE_AXIS, f->theme->text, card.x + 24, card.y + 22, 0, text);
    say_lead(beat, text, sizeof text);
    struct draw_style style = {.size = THEME_SIZE_AXIS,
        .color = f->theme->secondary,
        .align = DRAW_RIGHT,
        .max_w = card.w - (box.x - card.x) - box.w - 20};
    (void)draw_string(f->list, card.x + card.w - 10, card.y + 22, &style,
        text[0] != '\0' ? text : kind_words(beat));
    const bool is_wide = card.h < CARD_H;
    const float words_w = is_wide && has_picture(story, beat) ? card.w * 0.5F : card.w;
    struct why_style words = {FONT_TEXT, THEME_SIZE_TEXT, f->theme->text, 17, 5};
    (void)why_paragraph(f, card.x + 12, card.y + 44, words_w - 24, &words, beat->text);
    struct draw_rect low =
        is_wide ? (struct draw_rect){card.x + words_w + 12, card.y + 32,
                      card.w - words_w - 24, card.h - 42}
                : (struct draw_rect){card.x + 12, card.y + 134, card.w - 24, card.h - 144};
    if (beat->series.thing == 0 && beat->kind == WHY_BEAT_ORIGIN && story->has_origin) {
        draw_gauge(f, low, &story->origin);
    } else {
        draw_series(f, low, beat, at);
    }
    if (frame_is_over(f, card) && f->view->tip.n == 0) {
        const struct model_thing *thing = model_thing_find(f->model, beat->series.thing);
        frame_tip(f, card.x + card.w, card.y + card.h / 2);
        frame_tip_line(f, "%s", beat->title[0] != '\0' ? beat->title : kind_words(beat));
        frame_tip_line(f, "%.230s", beat->text);
        if (thing != NULL) {
            frame_tip_line(f, "the line: %s", thing->name);
        }
    }
}

/* A stage that there is no card for. */
static void draw_line(struct frame *f, struct draw_rect row, const struct why_beat *beat)
{
    char text[WHY_TEXT_BYTES + 32];
    char step[FORMAT_MAX];
    frame_mark(f, health_of(beat), row.x + 5, row.y + 9);
    (void)snprintf(text, sizeof text, "step %s", format_count(step, beat->step));
    struct draw_rect box = frame_text(
        f, FONT_MONO, THEME_SIZE_AXIS, f->theme->text, row.x + 20, row.y + 13, 0, text);
    float x = fmaxf(box.x + box.w + 12, row.x + 110);
    (void)frame_text(f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->secondary, x, row.y + 13,
        row.x + row.w - x, beat->text);
}

void why_cards_draw(struct frame *f, struct draw_rect rect, const struct model_why *why)
{
    const struct why_story *story = &why->story;
    size_t n = count_cards(story, rect.w);
    size_t first = story->n_beats - n;
    if (n == 0) {
        return;
    }
    for (size_t i = 0; i < first; i++) {
        draw_line(f, (struct draw_rect){rect.x, rect.y, rect.w, LINE_H}, &story->beats[i]);
        rect.y += LINE_H;
    }
    rect.y += first > 0 ? LINES_GAP : 0;
    float card_h = card_height(story, n);
    float w = (rect.w + ARROW_W) / (float)n - ARROW_W;
    w = n > 1 ? fminf(w, MAX_CARD_W) : w;
    for (size_t i = 0; i < n; i++) {
        float x = rect.x + (w + ARROW_W) * (float)i;
        if (i > 0) {
            float y = rect.y + card_h / 2;
            struct draw_point arrow[] = {{x - ARROW_W / 2 - 3, y - 5},
                {x - ARROW_W / 2 + 3, y}, {x - ARROW_W / 2 - 3, y + 5}};
            draw_polyline(f->list, arrow, 3, THEME_LINE_SELECTED, f->theme->secondary);
        }
        draw_card(f, (struct draw_rect){x, rect.y, w, card_h}, story,
            &story->beats[first + i], i);
    }
}
