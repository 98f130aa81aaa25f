/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "tools/report/report.h"

/*
 * Blocks from top to bottom: headline, one card for each beat with its chart, path, samples, verdict,
 * remedies. A block that does not fit the rest of a page begins the next one. The height of an
 * endless page is found by laying it out twice.
 */

static const float MARGIN = 40;
static const float LABEL = 84; /* width of the left column */
static const float CHART_HEIGHT = 150;
static const float LEADING = 1.45F;

enum { LINE_BYTES = 1024 };

/* A sheet while it is filled. */
struct sheet {
    const struct report *report;
    struct draw_list **lists;
    size_t n_pages;
    float w, h; /* h 0: endless */
    float end;  /* height of an endless page */
    float y;
    float lowest; /* that anything came to */
};

static struct draw_list *page(const struct sheet *sheet)
{
    return sheet->lists[sheet->n_pages - 1];
}

static void begin_page(struct sheet *sheet)
{
    if (sheet->n_pages < REPORT_MAX_PAGES) {
        sheet->lists[sheet->n_pages++] = draw_create(sheet->report->font, 0);
    }
    draw_begin(page(sheet), sheet->w, sheet->h > 0 ? sheet->h : sheet->end,
        sheet->report->theme->background);
    sheet->y = MARGIN;
}

/* See to it that so much fits. */
static void make_room(struct sheet *sheet, float height)
{
    if (sheet->h > 0 && sheet->y + height > sheet->h - MARGIN && sheet->y > MARGIN) {
        begin_page(sheet);
    }
}

/* Give the bytes of the next line that fits a width; at least one word. */
static size_t line_of(struct font *font, const struct draw_style *style, const char *text,
    float width, size_t *out_next)
{
    size_t fits = 0;
    size_t at = 0;
    while (text[at] != '\0') {
        at += strspn(text + at, " ");
        size_t end = at + strcspn(text + at, " ");
        if (fits > 0 && font_width(font, style->role, style->size, text, end) > width) {
            break;
        }
        fits = end;
        at = end;
    }
    *out_next = fits + strspn(text + fits, " ");
    return fits;
}

/* Write a text in lines, x to the right margin. */
static void write_text(
    struct sheet *sheet, float x, const struct draw_style *style, const char *text)
{
    float leading = style->size * LEADING;
    while (*text != '\0') {
        char line[LINE_BYTES];
        size_t next = 0;
        size_t n = line_of(sheet->report->font, style, text, sheet->w - MARGIN - x, &next);
        n = n < sizeof line ? n : baro_utf8_prefix(text, n, sizeof line - 1);
        memcpy(line, text, n);
        line[n] = '\0';
        make_room(sheet, leading);
        struct draw_style limited = *style;
        limited.max_w = sheet->w - MARGIN - x;
        (void)draw_string(page(sheet), x, sheet->y + style->size, &limited, line);
        sheet->y += leading;
        text += next > 0 ? next : strlen(text);
    }
}

static struct draw_style style_of(
    const struct sheet *sheet, enum font_role role, float size, bool is_secondary)
{
    const struct theme *theme = sheet->report->theme;
    return (struct draw_style){
        .role = role, .size = size, .color = is_secondary ? theme->secondary : theme->text};
}

/* A field: its label on the left, faint, the text beside it. */
static void write_field(struct sheet *sheet, const char *label, const char *text)
{
    struct draw_style of_label = style_of(sheet, FONT_TEXT, THEME_SIZE_TEXT, true);
    struct draw_style of_text = style_of(sheet, FONT_TEXT, THEME_SIZE_TEXT, false);
    make_room(sheet, 2 * THEME_SIZE_TEXT * LEADING);
    (void)draw_string(page(sheet), MARGIN, sheet->y + of_label.size, &of_label, label);
    write_text(sheet, MARGIN + LABEL, &of_text, text);
    sheet->y += 3;
}

static void write_rule(struct sheet *sheet)
{
    make_room(sheet, 24);
    draw_hair_h(page(sheet), MARGIN, sheet->y + 6, sheet->w - 2 * MARGIN, 0,
        sheet->report->theme->hairline);
    sheet->y += 16;
}

/* ---- blocks ---- */

static void write_head(struct sheet *sheet)
{
    const struct report *report = sheet->report;
    const struct why_facts *facts = &report->reading->facts;
    char text[LINE_BYTES];
    char step[32];
    (void)snprintf(text, sizeof text, "%s   %s, step %s", facts->run.name,
        facts->run.status, why_step(facts->run.last_step, step));
    struct draw_style style = style_of(sheet, FONT_TEXT, THEME_SIZE_TEXT, true);
    write_text(sheet, MARGIN, &style, text);
    sheet->y += 10;
    bool is_bad = report->story->answer != WHY_NOTHING;
    make_room(sheet, THEME_SIZE_HEADLINE);
    draw_mark(page(sheet), is_bad ? DRAW_MARK_SQUARE : DRAW_MARK_DOT, MARGIN + 6,
        sheet->y + 14, 10, is_bad ? report->theme->alarm : report->theme->calm);
    style = style_of(sheet, FONT_STRONG, 18, false);
    write_text(sheet, MARGIN + 22, &style, report->story->headline);
    sheet->y += 8;
}

static void write_origin(struct sheet *sheet)
{
    const struct why_story *story = sheet->report->story;
    const struct why_origin *origin = &story->origin;
    if (story->answer != WHY_FROM_PROBE || origin->is_outside) {
        return;
    }
    char text[LINE_BYTES] = "";
    why_origin_words(story, text, sizeof text);
    write_field(sheet, "what", text);
}

static void write_beats(struct sheet *sheet)
{
    const struct report *report = sheet->report;
    const struct why_story *story = report->story;
    int n_charts = 0;
    for (size_t i = 0; i < story->n_beats; i++) {
        char label[40];
        char step[32];
        bool has_chart = n_charts < REPORT_MAX_CHARTS && report_has_chart(report, i);
        make_room(sheet, (has_chart ? CHART_HEIGHT : 0) + 60);
        (void)snprintf(label, sizeof label, "%s", why_step(story->beats[i].step, step));
        write_field(sheet, label, story->beats[i].text);
        if (has_chart) {
            n_charts++;
            struct draw_rect rect = {MARGIN + LABEL - 8, sheet->y,
                sheet->w - 2 * MARGIN - LABEL + 8, CHART_HEIGHT};
            draw_fill(page(sheet), rect, report->theme->panel);
            report_chart(report, i, page(sheet), draw_inset(rect, 8, 6));
            sheet->y += CHART_HEIGHT + 12;
        }
    }
}

static void write_hops(struct sheet *sheet)
{
    const struct why_story *story = sheet->report->story;
    for (size_t i = 0; i < story->n_hops; i++) {
        char text[LINE_BYTES];
        const struct why_hop *hop = &story->hops[i];
        char share[64];
        why_hop_words(hop, share, sizeof share);
        (void)snprintf(
            text, sizeof text, "%s%s%s", hop->text, share[0] != '\0' ? "; " : "", share);
        write_field(sheet, i == 0 ? "path" : "", text);
    }
}

static void write_who(struct sheet *sheet)
{
    const struct why_story *story = sheet->report->story;
    char text[LINE_BYTES] = "";
    if (story->n_samples > 0 && story->samples[0].is_certain) {
        for (size_t i = 0; i < story->n_samples; i++) {
            write_field(sheet, i == 0 ? "who" : "", story->samples[i].text);
        }
    }
    size_t n = 0;
    for (size_t i = 0; i < story->n_suspects && i < 4 && n < sizeof text; i++) {
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", i > 0 ? ", " : "",
            story->suspects[i].module);
    }
    if (n > 0) {
        write_field(sheet, "where", text);
    }
}

static void write_verdict(struct sheet *sheet)
{
    const struct why_story *story = sheet->report->story;
    const struct why_verdict *verdict = &story->verdict;
    char text[LINE_BYTES];
    if (story->answer == WHY_NOTHING) {
        return;
    }
    bool is_known = verdict->cause != WHY_UNKNOWN;
    (void)snprintf(text, sizeof text, "%s%s%s",
        is_known ? why_sureness_word(verdict->sureness) : "", is_known ? " " : "",
        verdict->text);
    write_field(sheet, "why", text);
    for (size_t i = 0; i < verdict->n_evidence; i++) {
        const struct why_evidence *evidence = &verdict->evidence[i];
        bool is_for = evidence->cause == verdict->cause && evidence->weight > 0;
        (void)snprintf(text, sizeof text, "%s  %s", is_for ? "+" : "-", evidence->text);
        write_field(sheet, "", text);
    }
}

static void write_rest(struct sheet *sheet)
{
    const struct why_story *story = sheet->report->story;
    char text[LINE_BYTES];
    for (size_t i = 0; i < story->n_remedies; i++) {
        (void)snprintf(text, sizeof text, "%zu.  %s", i + 1, story->remedies[i]);
        write_field(sheet, i == 0 ? "try" : "", text);
    }
    for (size_t i = 0; i < story->n_missing; i++) {
        write_field(sheet, i == 0 ? "missing" : "", story->missing[i]);
    }
    write_rule(sheet);
    struct draw_style style = style_of(sheet, FONT_TEXT, THEME_SIZE_AXIS, true);
    (void)snprintf(
        text, sizeof text, "Looked at %s. Barograph " BAROGRAPH_VERSION ".", story->looked);
    write_text(sheet, MARGIN, &style, text);
}

static void fill(struct sheet *sheet)
{
    sheet->n_pages = 0;
    begin_page(sheet);
    write_head(sheet);
    write_origin(sheet);
    write_rule(sheet);
    write_beats(sheet);
    write_hops(sheet);
    write_who(sheet);
    write_verdict(sheet);
    write_rest(sheet);
}

size_t report_lay_out(
    const struct report *report, float w, float h, struct draw_list **lists)
{
    struct sheet sheet = {.report = report, .lists = lists, .w = w, .h = h, .end = 100};
    fill(&sheet);
    if (h <= 0) {
        sheet.end = ceilf(sheet.y + MARGIN);
        draw_destroy(lists[0]);
        fill(&sheet);
    }
    return sheet.n_pages;
}
