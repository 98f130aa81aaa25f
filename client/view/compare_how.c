/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/view/compare_rows.h"
#include "client/view/inside.h"
#include "client/view/words.h"
#include "lib/base/mem.h"

/* The compare page while nothing is compared: the runs that may be, those of the same project first, a
 * click takes one; and how two steps of one run are. */

static const float LINE_H = 22;
static const float ROW_H = 26;
static const float MAX_LIST_W = 640;

static float draw_run(struct frame *f, struct draw_rect row, const struct model_run *run)
{
    char name[WORDS_MAX];
    char text[WORDS_MAX];
    char step[FORMAT_MAX];
    if (frame_is_over(f, row)) {
        draw_fill(f->list, row, f->theme->raised);
    }
    float y = frame_middle(f, row, FONT_TEXT, THEME_SIZE_TEXT);
    frame_mark(f, words_run_health(run), row.x + 8, row.y + row.h / 2);
    (void)snprintf(text, sizeof text, "%s · step %s", words_status(run),
        run->n_steps > 0 ? format_count(step, run->last_step) : "–");
    float text_w =
        font_width(draw_font(f->list), FONT_TEXT, THEME_SIZE_AXIS, text, strlen(text));
    struct draw_style style = {
        .size = THEME_SIZE_AXIS, .color = f->theme->secondary, .align = DRAW_RIGHT};
    (void)draw_string(f->list, row.x + row.w - 8, y, &style, text);
    float room = fmaxf(row.w - 24 - 8 - 16 - text_w, 40);
    (void)frame_fit_middle(f, FONT_TEXT, THEME_SIZE_TEXT, room, words_run(name, run), text);
    (void)frame_text(
        f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->text, row.x + 24, y, room, text);
    frame_zone(f, row, VIEW_PICK_OTHER, run->run, 0);
    return row.y + row.h;
}

/* Runs of one's own project, or of the others; gives where they end. */
static float draw_runs(struct frame *f, struct draw_rect rect, float y, bool is_own)
{
    const struct model_runs *runs = f->model->runs;
    for (size_t i = 0; i < runs->n && y + ROW_H <= rect.y + rect.h; i++) {
        const struct model_run *run = &runs->at[i];
        if (run->run != f->run->run &&
            (strcmp(run->project, f->run->project) == 0) == is_own) {
            y = draw_run(
                f, (struct draw_rect){rect.x, y, fminf(rect.w, MAX_LIST_W), ROW_H}, run);
        }
    }
    return y;
}

/* A way to choose, with its name before it. Gives where it ends. */
static float draw_way(
    struct frame *f, struct draw_rect rect, float y, const char *name, const char *how)
{
    (void)frame_text(
        f, FONT_STRONG, THEME_SIZE_TEXT, f->theme->text, rect.x, y, rect.w, name);
    struct draw_rect words = {rect.x, y + LINE_H, rect.w, 0};
    size_t n = frame_text_lines(
        f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->secondary, words, LINE_H, 3, how);
    return y + LINE_H * (float)(n + 1);
}

void compare_how_draw(struct frame *f, struct draw_rect rect)
{
    float y = rect.y + 20;
    (void)frame_text(f, FONT_STRONG, THEME_SIZE_TITLE, f->theme->text, rect.x, y, rect.w,
        "Nothing to compare yet");
    y = draw_way(f, rect, y + 36, "Two steps of this run",
        "Point at a step in a chart and press m; point at another and press c.");
    bool has_others = f->run != NULL && f->model->runs->n > 1;
    y = draw_way(f, rect, y + 12, "Two runs",
        has_others
            ? "Click one to see it beside this run, or ctrl-click it in the list at "
              "the left:"
            : "There is no other run yet; once there is, it is listed here, and ctrl-click "
              "in the list at the left takes it.");
    if (has_others) {
        y = draw_runs(f, rect, y - 12, true);
        (void)draw_runs(f, rect, y, false);
    }
}
