/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "client/view/inside.h"
#include "client/view/notes.h"
#include "client/view/words.h"
#include "lib/base/mem.h"

/* What lies over the page when asked for: the keys, and finding things by name. */

static const char *const KEYS[][2] = {
    {"1 2 3 4 5 6", "overview, tensor, network, alerts, why, layers"},
    {"7 c", "compare two runs; c: the cursor's step with the marked one"},
    {"/", "find a run, tensor, scalar, command; “unit 123”"},
    {"ctrl click", "on a run: see it beside the one shown; c over it does too"},
    {"g", "which scalars are shown: a part of the name, or a glob"},
    {"ctrl p", "pin the chart under the pointer: it comes first"},
    {"x", "x axis: steps, time since start, wall time, epochs"},
    {"[ ] { }", "previous, next alert; previous, next note"},
    {"n m", "write a note at the cursor; mark the step; del removes"},
    {"space", "follow the run, or pause"},
    {"← →", "move the cursor by a step, with shift by ten"},
    {"p home", "play the visible steps, or stop; live again"},
    {"f", "fit: all steps, fresh scales"},
    {"l", "linear or logarithmic: the chart under the pointer"},
    {"0", "zero in view, or not: the chart under the pointer"},
    {"s", "next statistic of the units; overview: smoothing"},
    {"b", "brush: drag over the lines of units to mark them everywhere"},
    {"v", "layers, network: line, box, bands, horizon; tensor: order, form"},
    {"h y", "layers: height of rows, one scale; tensor: h next panel"},
    {"i", "layers: pick the step, to see which units changed at all picked"},
    {"o", "network: the operations of the module under the pointer"},
    {"d", "the chosen unit's line alone, or among the others"},
    {"k", "ask the training to pause, save, slow down or stop"},
    {"e", "save: p window as PNG; c readings, s SVG of a chart"},
    {"ctrl z", "back to what was shown before"},
    {"ctrl c", "copy the value under the pointer"},
    {"t M", "dark or light; full or reduced motion"},
    {"drag", "zoom into a range of steps; on the time axis too"},
    {"shift drag", "zoom into steps and values of one chart"},
    {"ctrl drag", "mark the units whose lines pass; esc: no marks"},
    {"wheel", "zoom; scrolls lists and long pages (ctrl: zooms)"},
    {"right drag", "move along"},
    {"double click", "all steps"},
    {"ctrl + -", "larger, smaller"},
    {"? esc", "these keys, and away"},
    {"q", "quit"},
};

/* What can be found by its name and done at once; the others need a pointer. */
static const struct {
    char key;
    const char *name, *said; /* said: how the key is called */
} COMMANDS[] = {
    {'1', "overview page", "key 1"},
    {'2', "tensor page", "key 2"},
    {'3', "network page", "key 3"},
    {'4', "alerts page", "key 4"},
    {'5', "why page: what went wrong", "key 5"},
    {'6', "layers page: all layers, one cursor", "key 6"},
    {'v', "next form of histories: line, box, bands, horizon", "key v"},
    {'i', "layers: pick the step at the cursor", "key i"},
    {'7', "compare page: two runs, or two steps", "key 7"},
    {'g', "filter scalars by a glob", "key g"},
    {'x', "x axis: steps, time since start, wall time, epochs", "key x"},
    {']', "go to the next alert", "key ]"},
    {'[', "go to the previous alert", "key ["},
    {'}', "go to the next note", "key }"},
    {'{', "go to the previous note", "key {"},
    {'n', "write a note at the cursor", "key n"},
    {'m', "mark the step, or no longer", "key m"},
    {' ', "follow the run, or pause", "key space"},
    {'p', "play the visible steps", "key p"},
    {'f', "fit all steps", "key f"},
    {'l', "linear or logarithmic axis", "key l"},
    {'0', "zero in view", "key 0"},
    {'s', "smoothing of scalars; next statistic of units", "key s"},
    {'b', "brush units", "key b"},
    {'k', "ask the training: pause, save, learning rate, stop", "key k"},
    {'d', "chosen unit alone", "key d"},
    {'t', "theme: dark or light", "key t"},
    {'M', "motion: full or reduced", "key M"},
    {'?', "keys and mouse", "key ?"},
};

struct draw_rect overlay_box(struct frame *f, struct draw_rect rect, float w, float h)
{
    struct draw_rect box = {
        rect.x + (rect.w - w) / 2, rect.y + fmaxf((rect.h - h) * 0.35F, 8), w, h};
    f->view->n_zones = 0;
    frame_zone(f, rect, VIEW_CLOSE, 0, 0);
    frame_zone(f, box, VIEW_NOTHING, 0, 0);
    draw_fill(f->list, rect, draw_fade(f->theme->background, 0.7F));
    draw_fill_round(f->list, box, 2, f->theme->panel);
    draw_outline(f->list, box, f->theme->hairline);
    return box;
}

static void draw_keys(struct frame *f, struct draw_rect rect)
{
    const float head = 50;
    const float row =
        fminf(24, fmaxf((rect.h - 88) / (float)BARO_LEN(KEYS), 15)); /* low windows */
    const float all_h = row * (float)BARO_LEN(KEYS);
    struct draw_rect box = overlay_box(
        f, rect, fminf(560, rect.w - 32), fminf(all_h + head + 14, rect.h - 16));
    struct draw_rect list = {box.x, box.y + head, box.w, box.h - head - 6};
    float scroll =
        frame_scroll(f, VIEW_SCROLL_KEYS, all_h > list.h ? all_h + 8 : 0, list.h);
    (void)frame_text(f, FONT_STRONG, THEME_SIZE_TITLE, f->theme->text, box.x + 24,
        box.y + 34, box.w, "Keys and mouse");
    if (all_h > list.h) {
        struct draw_style style = {
            .size = THEME_SIZE_AXIS, .color = f->theme->secondary, .align = DRAW_RIGHT};
        (void)draw_string(
            f->list, box.x + box.w - 24, box.y + 34, &style, "the wheel scrolls");
        frame_zone(f, list, VIEW_SCROLL, VIEW_SCROLL_KEYS, 0);
    }
    draw_clip(f->list, list);
    for (size_t i = 0; i < BARO_LEN(KEYS); i++) {
        float y = list.y + 14 + row * (float)i - scroll;
        (void)frame_text(f, FONT_MONO, THEME_SIZE_TEXT, f->theme->accent, box.x + 24, y,
            120, KEYS[i][0]);
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->text, box.x + 150, y,
            box.w - 174, KEYS[i][1]);
    }
    draw_unclip(f->list);
    frame_scroll_bar(f, list, all_h, scroll);
}

/* ---- find ---- */

static bool holds(const char *name, const char *part)
{
    return part[0] == '\0' || strcasestr(name, part) != NULL;
}

static void add_found(struct view *view, const struct view_found *found)
{
    if (view->n_found < VIEW_MAX_FOUND && holds(found->name, view->find)) {
        view->found[view->n_found++] = *found;
    }
}

/* "unit 123", or a number: that unit of the tensor on show, if there is one. */
static void find_unit(struct view *view, const struct model *model)
{
    const struct model_thing *thing = model_thing_find(model, view->thing);
    const char *text = view->find;
    if (strncasecmp(text, "unit", 4) == 0) {
        text += 4;
    }
    text += strspn(text, " ");
    size_t n_digits = strspn(text, "0123456789");
    if (thing == NULL || n_digits == 0 || n_digits > 9 || text[n_digits] != '\0') {
        return;
    }
    long unit = strtol(text, NULL, 10);
    if (unit < (long)thing->n_units) {
        (void)snprintf(view->found_unit, sizeof view->found_unit, "unit %ld", unit);
        view->found[view->n_found++] = (struct view_found){
            VIEW_SHOW_UNIT, unit, view->found_unit, baro_role_name(thing->role), 0, 0};
    }
}

/* Commands by their words, said with their key. */
static void find_commands(struct view *view)
{
    for (size_t i = 0; i < BARO_LEN(COMMANDS) && view->find[0] != '\0'; i++) {
        add_found(view, &(struct view_found){VIEW_COMMAND, COMMANDS[i].key,
                            COMMANDS[i].name, COMMANDS[i].said, 0, 0});
    }
}

/* Bring up to date what was found for the text typed. */
static void update_found(struct view *view, const struct model *model)
{
    view->n_found = 0;
    find_unit(view, model);
    for (size_t i = 0; i < model->alerts->n && view->find[0] == '\0'; i++) {
        const struct model_alert *alert = &model->alerts->at[i];
        add_found(view, &(struct view_found){VIEW_PICK_ALERT, (int64_t)alert->id,
                            alert->text, "alert", 0, 0});
    }
    for (size_t i = 0; i < model->notes->n; i++) {
        const struct model_note *note = &model->notes->at[i];
        bool is_mark = note->text[0] == '\0';
        add_found(view, &(struct view_found){VIEW_PICK_NOTE, (int64_t)note->id,
                            is_mark ? "marked step" : note->text, is_mark ? "mark" : "note",
                            0, note->step});
    }
    for (size_t i = 0; i < model->runs->n; i++) {
        const struct model_run *run = &model->runs->at[i];
        add_found(
            view, &(struct view_found){VIEW_PICK_RUN, run->run, run->name, "run", 0, 0});
    }
    for (size_t i = 0; i < model->runs->n && view->find[0] != '\0'; i++) {
        const struct model_run *run = &model->runs->at[i];
        if (run->run != view->run) {
            add_found(view,
                &(struct view_found){VIEW_PICK_OTHER, run->run, run->name,
                    run->run == view->other_run ? "no longer beside" : "see beside", 0, 0});
        }
    }
    for (size_t i = 0; i < model->things->n; i++) {
        const struct model_thing *thing = &model->things->at[i];
        struct view_found found = {
            VIEW_PICK_PAGE, VIEW_OVERVIEW, thing->name, "scalar", thing->rank, 0};
        if (thing->is_tensor) {
            found.act = VIEW_PICK_THING;
            found.a = thing->thing;
            found.kind = baro_role_name(thing->role);
        }
        add_found(view, &found);
    }
    find_commands(view);
    if (view->found_at >= view->n_found) {
        view->found_at = view->n_found > 0 ? view->n_found - 1 : 0;
    }
}

static void draw_find(struct frame *f, struct draw_rect rect)
{
    struct view *view = f->view;
    const float row = 28;
    update_found(view, f->model);
    size_t n_rows = view->n_found > 0 ? view->n_found : 1;
    struct draw_rect box =
        overlay_box(f, rect, fminf(600, rect.w - 32), 60 + row * (float)n_rows + 8);
    char text[VIEW_FIND_BYTES + 8];
    bool is_empty = view->find[0] == '\0';
    (void)snprintf(text, sizeof text, "%s",
        is_empty ? "Type a part of a name, or what to do" : view->find);
    struct draw_rect typed = frame_text(f, FONT_TEXT, THEME_SIZE_TITLE,
        is_empty ? f->theme->faint : f->theme->text, box.x + 20, box.y + 32, box.w - 40,
        text);
    float caret = is_empty ? box.x + 18 : typed.x + typed.w + 2;
    draw_fill(f->list, (struct draw_rect){caret, box.y + 17, 1.5F, 20}, f->theme->accent);
    draw_hair_h(f->list, box.x, box.y + 50, box.w, 0, f->theme->hairline);
    for (size_t i = 0; i < view->n_found; i++) {
        struct draw_rect at = {box.x + 1, box.y + 54 + row * (float)i, box.w - 2, row};
        const struct view_found *found = &view->found[i];
        if (i == view->found_at) {
            draw_fill(f->list, at, f->theme->raised);
        }
        float y = frame_middle(f, at, FONT_TEXT, THEME_SIZE_TEXT);
        struct draw_style style = {
            .size = THEME_SIZE_TEXT, .color = f->theme->secondary, .align = DRAW_RIGHT};
        char words[64];
        (void)snprintf(words, sizeof words, found->rank > 0 ? "%s @%u" : "%s", found->kind,
            found->rank);
        struct draw_rect kind = draw_string(f->list, at.x + at.w - 20, y, &style, words);
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->text, at.x + 19, y,
            kind.x - at.x - 40, found->name);
        frame_zone(f, at, VIEW_FOUND, (int64_t)i, 0);
    }
    if (view->n_found == 0) {
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->secondary, box.x + 20,
            box.y + 74, box.w - 40, "Nothing has that in its name.");
    }
}

/* What has just been done, above the time axis. */
static void draw_notice(struct frame *f, struct draw_rect rect)
{
    const char *text = f->view->notice;
    struct draw_style style = {.size = THEME_SIZE_TEXT,
        .color = f->theme->text,
        .align = DRAW_CENTER,
        .max_w = rect.w - 64};
    if (text[0] == '\0') {
        return;
    }
    float y = rect.y + rect.h - VIEW_AXIS_H - 20;
    struct draw_rect box = draw_string_box(f->list, rect.x + rect.w / 2, y, &style, text);
    struct draw_rect ground = {box.x - 14, y - 20, box.w + 28, 30};
    draw_fill_round(f->list, ground, 2, f->theme->raised);
    draw_outline(f->list, ground, f->theme->hairline);
    (void)draw_string(f->list, rect.x + rect.w / 2, y, &style, text);
}

void overlay_draw(struct frame *f, struct draw_rect rect)
{
    switch (f->view->overlay) {
    case VIEW_PLAIN: draw_notice(f, rect); break;
    case VIEW_KEYS: draw_keys(f, rect); break;
    case VIEW_FIND: draw_find(f, rect); break;
    case VIEW_CONTROL: control_draw(f, rect); break;
    case VIEW_GLOB: overview_draw_glob(f, rect); break;
    case VIEW_NOTE: notes_draw(f, rect); break;
    }
}
