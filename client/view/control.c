/* SPDX-License-Identifier: Apache-2.0 */
#include "client/view/control.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/view/inside.h"
#include "client/view/words.h"
#include "lib/base/mem.h"

/*
 * The back channel: a box with what can be asked of the training. A letter chooses, Enter asks,
 * anything else goes back; so no single key stops anything. Only of runs whose program said that it
 * looks (is_steerable), and only while they go on.
 */

static const struct {
    char key;
    Baro__ControlKind kind;
    double value;
    const char *name; /* in the list */
    const char *ask;  /* "Ask the training to ...?" */
} ASKS[] = {
    {'p', BARO__CONTROL_KIND__CONTROL_PAUSE, 0, "pause", "pause"},
    {'r', BARO__CONTROL_KIND__CONTROL_RESUME, 0, "go on after a pause", "go on"},
    {'d', BARO__CONTROL_KIND__CONTROL_DUMP, 0, "save a checkpoint", "save a checkpoint"},
    {'l', BARO__CONTROL_KIND__CONTROL_LR_SCALE, 0.5, "halve the learning rate",
        "halve its learning rate"},
    {'s', BARO__CONTROL_KIND__CONTROL_STOP, 0, "stop for good", "stop, for good"},
};

static const float ROW_H = 26;

void control_open(struct view *view, const struct model *model)
{
    const struct model_run *run = model_run_find(model, view->run);
    bool is_over = run != NULL && (run->status == BARO__RUN_STATUS__RUN_FINISHED ||
                                      run->status == BARO__RUN_STATUS__RUN_FAILED ||
                                      run->status == BARO__RUN_STATUS__RUN_KILLED);
    if (run == NULL || is_over || !run->is_steerable) {
        (void)snprintf(view->notice, sizeof view->notice, "%s",
            run == NULL ? "There is no run to ask anything of."
            : is_over
                ? "This run is over: nothing can be asked of it."
                : "This training looks at nothing that is asked: see run.should_stop and "
                  "steerable=True.");
        return;
    }
    view->overlay = VIEW_CONTROL;
    view->control.chosen = -1;
    view->control.run = view->run;
}

bool control_char(struct view *view, const char *text)
{
    view->control.chosen = -1;
    for (size_t i = 0; i < BARO_LEN(ASKS); i++) {
        view->control.chosen = ASKS[i].key == text[0] ? (int)i : view->control.chosen;
    }
    return true;
}

bool control_key(struct view *view, enum input_key key)
{
    int chosen = view->control.chosen;
    if (key == INPUT_ENTER && chosen >= 0) {
        view->control.has_request = true;
        view->control.kind = ASKS[chosen].kind;
        view->control.value = ASKS[chosen].value;
        (void)snprintf(
            view->notice, sizeof view->notice, "Asking: %s ...", ASKS[chosen].name);
    }
    view->overlay = VIEW_PLAIN;
    view->control.chosen = -1;
    return true;
}

void control_draw(struct frame *f, struct draw_rect rect)
{
    const struct view *view = f->view;
    const struct model_run *run = model_run_find(f->model, view->control.run);
    char name[WORDS_MAX];
    char ask[WORDS_MAX];
    float h = 118 + ROW_H * (float)BARO_LEN(ASKS);
    struct draw_rect box = overlay_box(f, rect, fminf(520, rect.w - 32), h);
    float x = box.x + 24;
    (void)frame_text(f, FONT_STRONG, THEME_SIZE_TITLE, f->theme->text, x, box.y + 34,
        box.w - 48, "Ask the training");
    (void)frame_text(f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->secondary, x, box.y + 58,
        box.w - 48, run != NULL ? words_run(name, run) : "");
    for (size_t i = 0; i < BARO_LEN(ASKS); i++) {
        char key[2] = {ASKS[i].key, '\0'};
        bool is_chosen = view->control.chosen == (int)i;
        float y = box.y + 92 + ROW_H * (float)i;
        (void)frame_text(f, FONT_MONO, THEME_SIZE_TEXT, f->theme->accent, x, y, 24, key);
        (void)frame_text(f, is_chosen ? FONT_STRONG : FONT_TEXT, THEME_SIZE_TEXT,
            f->theme->text, x + 32, y, box.w - 80, ASKS[i].name);
    }
    if (view->control.chosen >= 0) {
        (void)snprintf(ask, sizeof ask, "Ask it to %s?  enter: yes, esc: no",
            ASKS[view->control.chosen].ask);
    } else {
        (void)snprintf(ask, sizeof ask, "A letter chooses; esc: away.");
    }
    (void)frame_text(f, FONT_TEXT, THEME_SIZE_TEXT,
        view->control.chosen >= 0 ? f->theme->text : f->theme->secondary, x, box.y + h - 18,
        box.w - 48, ask);
}
