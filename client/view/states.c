/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>

#include "client/view/inside.h"
#include "client/view/words.h"
#include "lib/base/mem.h"

/* Pages for when there is nothing to show: what is missing, and what to do about it. */

/* A page of words. */
struct words_page {
    enum theme_health health;
    const char *title;
    const char *text[3];
    const char *code[6]; /* lines to paste */
    const char *after;
};

static void draw_code(
    struct frame *f, float x, float y, float w, const char *const *code, size_t n)
{
    struct draw_rect box = {x, y, w, 20 * (float)n + 20};
    draw_fill_round(f->list, box, 2, f->theme->raised);
    for (size_t i = 0; i < n; i++) {
        (void)frame_text(f, FONT_MONO, THEME_SIZE_TEXT, f->theme->text, x + 14,
            y + 24 + 20 * (float)i, w - 28, code[i]);
    }
}

static void draw_words(
    struct frame *f, struct draw_rect rect, const struct words_page *page)
{
    size_t n_code = 0;
    while (n_code < BARO_LEN(page->code) && page->code[n_code] != NULL) {
        n_code++;
    }
    float w = fminf(rect.w - 2 * VIEW_PAD, 620);
    float x = rect.x + (rect.w - w) / 2;
    float y = rect.y + fmaxf(rect.h * 0.22F, 30);
    frame_mark(f, page->health, x + 4, y - 7);
    (void)frame_text(f, FONT_STRONG, THEME_SIZE_HEADLINE, f->theme->text, x + 18, y, w - 18,
        page->title);
    y += 34;
    for (size_t i = 0; i < BARO_LEN(page->text) && page->text[i] != NULL; i++) {
        (void)frame_text(
            f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->secondary, x, y, w, page->text[i]);
        y += 22;
    }
    if (n_code > 0) {
        draw_code(f, x, y, w, page->code, n_code);
        y += 20 * (float)n_code + 44;
    }
    if (page->after != NULL) {
        (void)frame_text(
            f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->secondary, x, y, w, page->after);
    }
}

static void draw_away(struct frame *f, struct draw_rect rect)
{
    char tries[WORDS_MAX];
    char since[WORDS_MAX];
    char clock[FORMAT_MAX];
    (void)snprintf(tries, sizeof tries, "Trying %s", f->model->endpoint);
    (void)snprintf(since, sizeof since,
        "since %s; this window wakes up by itself when one answers.",
        format_clock(clock, f->model->since_wall_ns, 1));
    if (f->model->trouble[0] != '\0') {
        draw_words(f, rect,
            &(struct words_page){.health = THEME_WATCH,
                .title = "The daemon cannot be reached.",
                .text = {f->model->trouble, tries, since}});
        return;
    }
    draw_words(f, rect,
        &(struct words_page){
            .health = THEME_NO_DATA,
            .title = "No daemon is running.",
            .text = {tries, since},
            .code = {"baro up"},
            .after = "starts your own daemon. A training script that uses barograph starts "
                     "one too.",
        });
}

static void draw_no_run(struct frame *f, struct draw_rect rect)
{
    draw_words(f, rect,
        &(struct words_page){
            .health = THEME_NO_DATA,
            .title = "No run yet.",
            .text = {"The daemon is up and listens. Put these lines into a training loop:"},
            .code = {"import barograph", "run = barograph.init(project=\"mine\")",
                "run.watch(model, optimizer)", "...", "run.log({\"loss\": loss})"},
            .after = "The run appears here with its first step.",
        });
}

static void draw_lost_run(struct frame *f, struct draw_rect rect)
{
    char title[WORDS_MAX];
    char why[WORDS_MAX];
    (void)snprintf(title, sizeof title, "There is no run '%.100s'.", f->view->wanted_run);
    (void)model_run_missed(f->model, f->view->wanted_run, why, sizeof why);
    draw_words(f, rect,
        &(struct words_page){
            .health = THEME_NO_DATA,
            .title = title,
            .text = {why, "Choose one at the left, or list them all with"},
            .code = {"baro runs"},
        });
}

static void draw_no_step(struct frame *f, struct draw_rect rect)
{
    draw_words(f, rect,
        &(struct words_page){
            .health = THEME_NO_DATA,
            .title = "Waiting for the first step.",
            .text = {"The run has introduced itself but has not logged anything.",
                "A step is closed by"},
            .code = {"run.log({\"loss\": loss})"},
        });
}

static void draw_no_tensors(struct frame *f, struct draw_rect rect)
{
    char title[WORDS_MAX];
    if (f->view->wanted_tensor != NULL) {
        (void)snprintf(
            title, sizeof title, "The run has no tensor '%.120s'.", f->view->wanted_tensor);
        draw_words(f, rect,
            &(struct words_page){.health = THEME_NO_DATA,
                .title = title,
                .text = {"Choose one at the left. Names are those of the modules and "
                         "parameters, with",
                    "a role after a colon where there are several: encoder.fc1:act"}});
        return;
    }
    draw_words(f, rect,
        &(struct words_page){
            .health = THEME_NO_DATA,
            .title = "This run sends no tensors.",
            .text = {"It logs scalars only. To see weights, gradients and activations, add",
                "after the model and its optimiser are made:"},
            .code = {"run.watch(model, optimizer)"},
            .after = "In C: baro_tensor(run, &tensor) at each step.",
        });
}

/* Whether the page is about tensors, and there is none to be shown. */
static bool lacks_tensors(const struct view *view)
{
    return view->page == VIEW_TENSOR
               ? view->thing == 0
               : (view->page == VIEW_NETWORK || view->page == VIEW_LAYERS) &&
                     view->tree->n == 0;
}

bool states_draw(struct frame *f, struct draw_rect rect)
{
    const struct model *model = f->model;
    if (model->state == MODEL_MISMATCH) {
        draw_words(f, rect,
            &(struct words_page){.health = THEME_WATCH,
                .title = "This viewer and the daemon speak different protocols.",
                .text = {model->trouble}});
    } else if (model->state == MODEL_AWAY && !model->has_runs) {
        draw_away(f, rect);
    } else if (!model->has_runs) {
        draw_words(f, rect,
            &(struct words_page){.health = THEME_NO_DATA,
                .title = "Connecting.",
                .text = {model->endpoint}});
    } else if (f->view->has_lost_run && f->run == NULL) {
        draw_lost_run(f, rect);
    } else if (f->run == NULL) {
        draw_no_run(f, rect);
    } else if (f->run->n_steps == 0) {
        draw_no_step(f, rect);
    } else if (model->run == f->view->run && model->has_things && lacks_tensors(f->view)) {
        draw_no_tensors(f, rect);
    } else {
        return false;
    }
    return true;
}
