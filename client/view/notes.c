/* SPDX-License-Identifier: Apache-2.0 */
#include "client/view/notes.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/view/inside.h"
#include "client/view/words.h"
#include "client/view/xaxis.h"
#include "lib/base/text.h"

enum { TIP_LINE_CHARS = 64, TIP_LINES = 4, BOX_LINES = 5 };
static const float REACH_PX = 5;

/* ---- what is asked ---- */

/* The step that is meant: under the cursor, else the newest; false: there is none. */
static bool step_meant(
    const struct view *view, const struct model *model, int64_t *out_step)
{
    const struct model_run *run = model_run_find(model, view->run);
    if (run == NULL || run->n_steps == 0) {
        return false;
    }
    double at = isnan(view->cursor) ? (double)run->last_step : round(view->cursor);
    at = fmin(fmax(at, (double)run->first_step), (double)run->last_step);
    *out_step = (int64_t)at;
    return true;
}

static void ask_to_add(struct view *view, int64_t step)
{
    view->notes.request = VIEW_NOTES_ADD;
    view->notes.run = view->run;
    view->notes.step = step;
}

static void ask_to_remove(struct view *view, uint64_t id)
{
    view->notes.request = VIEW_NOTES_REMOVE;
    view->notes.run = view->run;
    view->notes.remove = id;
    view->notes.sure = 0;
}

/* Write a note at the cursor, else at the newest step: opens its box. */
static void open_box(struct view *view, const struct model *model)
{
    int64_t step = 0;
    if (!step_meant(view, model, &step)) {
        (void)snprintf(view->notice, sizeof view->notice, "There is no step to note yet");
        return;
    }
    view->notes.run = view->run;
    view->notes.step = step;
    view->overlay = VIEW_NOTE;
}

/* Mark the step at the cursor, else the newest one; one that is marked is so no longer. */
static void mark_step(struct view *view, const struct model *model)
{
    int64_t step = 0;
    if (!step_meant(view, model, &step)) {
        (void)snprintf(view->notice, sizeof view->notice, "There is no step to mark yet");
        return;
    }
    for (size_t i = 0; i < model->notes->n; i++) {
        const struct model_note *note = &model->notes->at[i];
        if (note->step == step && note->text[0] == '\0') {
            ask_to_remove(view, note->id);
            view->notes.has_mark = false;
            return;
        }
    }
    view->notes.text[0] = '\0';
    view->notes.has_mark = true;
    view->notes.mark_run = view->run;
    view->notes.mark_step = step;
    ask_to_add(view, step);
}

bool notes_char(struct view *view, const char *text)
{
    size_t n = strlen(view->notes.text);
    size_t more = strlen(text);
    if (n + more < sizeof view->notes.text) {
        memcpy(view->notes.text + n, text, more + 1);
    }
    return true;
}

bool notes_key(struct view *view, enum input_key key)
{
    char *text = view->notes.text;
    size_t n = strlen(text);
    if (key == INPUT_ENTER) {
        view->overlay = VIEW_PLAIN;
        if (text[strspn(text, " ")] != '\0') {
            ask_to_add(view, view->notes.step);
        }
    } else if (key == INPUT_BACKSPACE && n > 0) {
        text[baro_utf8_prefix(text, n, n - 1)] = '\0';
    } else if (key == INPUT_ESCAPE) {
        text[0] = '\0';
        view->overlay = VIEW_PLAIN;
    }
    return true;
}

/* ---- going to them ---- */

static const struct model_note *find(const struct model *model, uint64_t id)
{
    for (size_t i = 0; i < model->notes->n; i++) {
        if (model->notes->at[i].id == id) {
            return &model->notes->at[i];
        }
    }
    return NULL;
}

void notes_go(struct view *view, const struct model *model, uint64_t id)
{
    const struct model_note *note = find(model, id);
    char step[FORMAT_MAX];
    if (note == NULL) {
        return;
    }
    double at = (double)note->step;
    view->notes.chosen = id;
    view->notes.sure = 0;
    view->is_playing = false;
    view->cursor = at;
    view->cursor_is_kept = true;
    if (at < view->lo || at > view->hi) {
        double half = (view->hi - view->lo) / 2;
        view_set_range(view, at - half, at + half);
    }
    (void)snprintf(view->notice, sizeof view->notice, "Step %s: %.150s%s%s",
        format_count(step, note->step),
        note->text[0] != '\0' ? note->text : "a mark without words",
        note->author[0] != '\0' ? " · " : "", note->author);
}

/* Go to the next note (by 1) or the one before (by -1), round the end. */
static void jump(struct view *view, const struct model *model, int by)
{
    const struct model_notes *notes = model->notes;
    size_t n = notes->n;
    if (n == 0) {
        (void)snprintf(view->notice, sizeof view->notice,
            "No notes yet: n writes one at the cursor, m marks the step");
        return;
    }
    size_t at = by > 0 ? 0 : n - 1;
    for (size_t i = 0; i < n; i++) {
        if (notes->at[i].id == view->notes.chosen) {
            at = by > 0 ? (i + 1) % n : (i + n - 1) % n;
        }
    }
    notes_go(view, model, notes->at[at].id);
}

bool notes_command(struct view *view, const struct model *model, char key)
{
    switch (key) {
    case 'n': open_box(view, model); return true;
    case 'm': mark_step(view, model); return true;
    case '{': jump(view, model, -1); return true;
    case '}': jump(view, model, 1); return true;
    default: return false;
    }
}

void notes_remove(struct view *view, const struct model *model)
{
    const struct model_note *note = find(model, view->notes.chosen);
    char step[FORMAT_MAX];
    if (note == NULL) {
        (void)snprintf(view->notice, sizeof view->notice,
            "Go to a note first: { } are the one before and the next");
    } else if (view->notes.sure == note->id) {
        ask_to_remove(view, note->id);
    } else {
        view->notes.sure = note->id;
        (void)snprintf(view->notice, sizeof view->notice,
            "Once more removes %s at step %s%s%.120s",
            note->text[0] != '\0' ? "the note" : "the mark", format_count(step, note->step),
            note->text[0] != '\0' ? ": " : "", note->text);
    }
}

/* ---- drawing ---- */

/* How many bytes of a text go into a line of so many characters, at a space if there is one. */
static size_t line_bytes(const char *text, size_t most)
{
    size_t n = 0;
    size_t n_chars = 0;
    size_t space = 0;
    for (; text[n] != '\0' && n_chars < most; n++) {
        space = text[n] == ' ' ? n + 1 : space;
        n_chars += ((unsigned char)text[n] & 0xC0U) != 0x80U ? 1 : 0;
    }
    while (((unsigned char)text[n] & 0xC0U) == 0x80U) {
        n++;
    }
    return text[n] != '\0' && space > 0 ? space : n;
}

void notes_draw(struct frame *f, struct draw_rect rect)
{
    const struct view *view = f->view;
    const float row = 20;
    const char *text = view->notes.text;
    char title[96];
    char step[FORMAT_MAX];
    float y = 0;
    struct draw_rect box =
        overlay_box(f, rect, fminf(600, rect.w - 32), 96 + row * BOX_LINES);
    (void)snprintf(
        title, sizeof title, "Note at step %s", format_count(step, view->notes.step));
    (void)frame_text(f, FONT_STRONG, THEME_SIZE_TITLE, f->theme->text, box.x + 24,
        box.y + 34, box.w - 48, title);
    size_t most = (size_t)fmaxf((box.w - 48) / 7.4F, 20);
    size_t n_lines = 0;
    for (const char *at = text; *at != '\0'; at += line_bytes(at, most)) {
        n_lines++;
    }
    struct draw_rect last = {box.x + 24, 0, 0, 0};
    y = box.y + 64;
    for (size_t i = 0; *text != '\0'; i++) {
        char line[512];
        size_t n = line_bytes(text, most);
        (void)snprintf(line, sizeof line, "%.*s", (int)n, text);
        text += n;
        if (i + BOX_LINES >= n_lines) { /* of a long one the end is seen */
            last = frame_text(f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->text, box.x + 24, y,
                box.w - 48, line);
            y += row;
        }
    }
    float caret_y = n_lines > 0 ? y - row : y;
    draw_fill(f->list, (struct draw_rect){last.x + last.w + 1, caret_y - 13, 1.5F, 17},
        f->theme->accent);
    (void)frame_text(f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->secondary, box.x + 24,
        box.y + box.h - 18, box.w - 48,
        "enter: keep it with the run, for all who watch it · esc: away");
}

static void tip_of(struct frame *f, const struct model_note *note)
{
    char step[FORMAT_MAX];
    const char *text = note->text[0] != '\0' ? note->text : "marked";
    for (int i = 0; i < TIP_LINES && *text != '\0'; i++) {
        size_t n = line_bytes(text, TIP_LINE_CHARS);
        bool is_cut = i + 1 == TIP_LINES && text[n] != '\0';
        frame_tip_line(f, "%.*s%s", (int)n, text, is_cut ? "…" : "");
        text += n;
    }
    frame_tip_line(f, "%s at step %s%s%s", note->text[0] != '\0' ? "note" : "mark",
        format_count(step, note->step), note->author[0] != '\0' ? " by " : "",
        note->author);
}

void notes_draw_flags(struct frame *f, const struct chart_layout *layout, float y)
{
    const struct view *view = f->view;
    bool is_over = frame_is_over(f, layout->rect) && fabsf(view->my - y) <= 9;
    bool has_tip = view->tip.n > 0;
    float last_x = -1000;
    for (size_t i = 0; i < f->model->notes->n; i++) {
        const struct model_note *note = &f->model->notes->at[i];
        float x = chart_px_of_x(layout, (double)note->step);
        if (x < layout->plot.x - 1 || x > layout->plot.x + layout->plot.w + 1) {
            continue;
        }
        if (fabsf(x - last_x) >= 3) {
            chart_draw_flag(f->list, x, y + 5, f->theme->accent);
            last_x = x;
        }
        if (is_over && !has_tip && fabsf(x - view->mx) < REACH_PX) {
            frame_tip(f, view->mx, view->my);
            tip_of(f, note);
            frame_zone(f, (struct draw_rect){x - REACH_PX, y - 9, 2 * REACH_PX, 18},
                VIEW_PICK_NOTE, (int64_t)note->id, 0);
        }
    }
}

bool notes_tip(struct frame *f, const struct chart_layout *layout)
{
    const struct view *view = f->view;
    bool is_high = view->my < layout->plot.y + 12;
    for (size_t i = 0; is_high && i < f->model->notes->n; i++) {
        const struct model_note *note = &f->model->notes->at[i];
        float x = xaxis_px(view, layout, (double)note->step);
        if (fabsf(x - view->mx) < REACH_PX) {
            frame_tip(f, view->mx, view->my);
            tip_of(f, note);
            return true;
        }
    }
    return false;
}
