/* SPDX-License-Identifier: Apache-2.0 */
#include "client/view/layers_panel.h"

#include <math.h>
#include <stdio.h>

#include "client/view/words.h"
#include "lib/base/mem.h"

/*
 * Which units of all layers changed most: at the cursor, else at the newest step; and below, which
 * of them are among the most at every picked step. While the units of a step are looked for, those
 * that were shown before stay.
 */

static const float ROW_H = 20;
static const float HEAD_H = 90;
static const size_t DEFAULT_K = 20;

static const struct {
    const char *word, *meaning;
} KINDS[] = {
    [MOVED_CHANGE] = {"change", "1 - cos of weights before, after"},
    [MOVED_RELATIVE] = {"relative", "update against weights, by norm"},
    [MOVED_JUMP] = {"jump", "norm against its mean before, log2"},
};
_Static_assert(BARO_LEN(KINDS) == MOVED_KIND_COUNT, "each kind is described");

static bool has_role(const struct model *model, enum baro_role role)
{
    for (size_t i = 0; i < model->things->n; i++) {
        const struct model_thing *thing = &model->things->at[i];
        if (thing->is_tensor && thing->role == role && thing->n_units > 0) {
            return true;
        }
    }
    return false;
}

/* The newest step, moved some 256 times in all of a run, that a list stays to be read. */
static int64_t newest_step(const struct frame *f)
{
    int64_t span = f->run->last_step - f->run->first_step;
    int64_t stretch = 1;
    while (stretch * 256 < span) {
        stretch *= 2;
    }
    bool is_over = f->run->status != BARO__RUN_STATUS__RUN_RUNNING;
    int64_t last = f->run->last_step;
    return is_over ? last : last - last % stretch;
}

static int64_t wanted_step(const struct frame *f)
{
    double cursor = f->view->cursor;
    return isnan(cursor) ? newest_step(f) : (int64_t)fmin(fmax(round(cursor), -1e15), 1e15);
}

static size_t k_of(const struct view *view)
{
    return view->layers.k > 0 ? view->layers.k : DEFAULT_K;
}

/* ---- rows ---- */

static void draw_unit(
    struct frame *f, struct draw_rect at, const struct moved_unit *unit, size_t number)
{
    const struct model_thing *thing = model_thing_find(f->model, unit->thing);
    char text[64];
    char value[FORMAT_MAX];
    float y = frame_middle(f, at, FONT_TEXT, THEME_SIZE_AXIS);
    if (thing == NULL) {
        return;
    }
    if (frame_is_over(f, at)) {
        draw_fill(f->list, at, f->theme->raised);
        frame_tip(f, at.x, at.y + at.h);
        frame_tip_line(f, "unit %u of %s", unit->unit, thing->name);
        frame_tip_line(f, "%s; a click shows it on the tensor page",
            format_exact(value, (double)unit->value));
    }
    frame_zone(f, at, VIEW_SHOW_UNIT, unit->unit, (int64_t)unit->thing + 1);
    struct draw_style style = {.role = FONT_MONO,
        .size = THEME_SIZE_AXIS,
        .color = f->theme->text,
        .align = DRAW_RIGHT};
    struct draw_rect right = draw_string(
        f->list, at.x + at.w - 8, y, &style, format_value(value, (double)unit->value));
    style.color = f->theme->faint;
    (void)snprintf(text, sizeof text, "%zu", number);
    (void)draw_string(f->list, at.x + 24, y, &style, text);
    (void)snprintf(text, sizeof text, "unit %u", unit->unit);
    struct draw_rect box =
        frame_text(f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->accent, at.x + 30, y, 90, text);
    float x = fmaxf(box.x + box.w + 8, at.x + 84);
    (void)frame_name(f, THEME_SIZE_AXIS, f->theme->secondary, x, y,
        fmaxf(right.x - x - 8, 10), thing->name);
}

/* As many as there is room for; the rest is counted. */
static void draw_units(
    struct frame *f, struct draw_rect rect, const struct moved_unit *units, size_t n)
{
    size_t room = (size_t)fmaxf(rect.h / ROW_H, 1);
    size_t shown = n <= room ? n : room - 1;
    for (size_t i = 0; i < shown; i++) {
        draw_unit(f, (struct draw_rect){rect.x, rect.y + ROW_H * (float)i, rect.w, ROW_H},
            &units[i], i + 1);
    }
    if (shown < n) {
        char text[64];
        (void)snprintf(text, sizeof text, "and %zu more", n - shown);
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->secondary, rect.x + 30,
            rect.y + ROW_H * (float)shown + 14, rect.w - 40, text);
    }
}

/* ---- at the cursor ---- */

/* Keep what was found of the step at the cursor; until the next is there it stays on show. */
static void update_last(struct view *view, const struct model_moved *moved)
{
    struct view_layers *layers = &view->layers;
    if (moved != NULL && moved->of.n_steps > 0 && moved->at[0].is_ready) {
        layers->last = moved->at[0].list;
        layers->last_step = moved->of.steps[0];
        layers->last_kind = moved->of.kind * 100 + (int64_t)moved->of.role;
        layers->has_last = true;
    }
}

static void draw_head(struct frame *f, struct draw_rect rect, enum moved_kind kind,
    bool has_updates, int64_t step)
{
    const char *words[MOVED_KIND_COUNT];
    int64_t values[MOVED_KIND_COUNT];
    char text[WORDS_MAX];
    char at[FORMAT_MAX];
    size_t n = 0;
    for (int k = has_updates ? 0 : MOVED_JUMP; k < MOVED_KIND_COUNT; k++) {
        words[n] = KINDS[k].word;
        values[n++] = k;
    }
    const struct view_layers *layers = &f->view->layers;
    bool is_old = layers->last_step != step;
    (void)frame_text(f, FONT_STRONG, THEME_SIZE_TEXT, f->theme->text, rect.x + 12,
        rect.y + 20, rect.w - 24, "units that changed most");
    (void)frame_switch(f, rect.x + 12, rect.y + 42, words, values, n, (int64_t)kind,
        VIEW_LAYERS_MOVED, false);
    (void)snprintf(text, sizeof text, "%s", KINDS[kind].meaning);
    (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->secondary, rect.x + 12,
        rect.y + 64, rect.w - 24, text);
    (void)snprintf(text, sizeof text, "%s step %s%s",
        isnan(f->view->cursor) ? "now," : "at", format_count(at, layers->last_step),
        is_old ? " (reading the next)" : "");
    (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->text, rect.x + 12,
        rect.y + 80, rect.w - 24, layers->has_last ? text : frame_waiting(f, false));
}

/* ---- at all picked steps ---- */

static void draw_picked(struct frame *f, struct draw_rect row)
{
    const struct view_layers *layers = &f->view->layers;
    float x = row.x;
    for (size_t i = 0; i < layers->n_steps; i++) {
        char text[FORMAT_MAX];
        (void)format_count(text, layers->steps[i]);
        struct draw_style style = {
            .role = FONT_MONO, .size = THEME_SIZE_AXIS, .color = f->theme->text};
        struct draw_rect box = draw_string_box(f->list, x, row.y + 13, &style, text);
        struct draw_rect zone = {x - 3, row.y, box.w + 22, 18};
        if (x + zone.w > row.x + row.w) {
            (void)frame_text(
                f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->secondary, x, row.y + 13, 30, "…");
            break;
        }
        draw_fill(f->list, zone,
            frame_is_over(f, zone) ? f->theme->raised : f->theme->background);
        (void)draw_string(f->list, x, row.y + 13, &style, text);
        draw_mark(
            f->list, DRAW_MARK_CROSS, x + box.w + 10, row.y + 9, 6, f->theme->secondary);
        frame_zone(f, zone, VIEW_LAYERS_STEP, layers->steps[i], 0);
        x += zone.w + 6;
    }
}

/* What is known of a step; NULL: it is still looked for. */
static const struct moved_list *list_of(const struct model_moved *moved, int64_t step)
{
    for (uint32_t i = 0; moved != NULL && i < moved->of.n_steps; i++) {
        if (moved->of.steps[i] == step && moved->at[i].is_ready) {
            return &moved->at[i].list;
        }
    }
    return NULL;
}

static void draw_common(
    struct frame *f, struct draw_rect rect, const struct model_moved *moved)
{
    static const char *const words[] = {"10", "20", "50", "100", "256"};
    static const int64_t values[] = {10, 20, 50, 100, 256};
    const struct view_layers *layers = &f->view->layers;
    draw_hair_h(f->list, rect.x, rect.y, rect.w, 0, f->theme->hairline);
    (void)frame_text(f, FONT_STRONG, THEME_SIZE_TEXT, f->theme->text, rect.x + 12,
        rect.y + 22, rect.w - 24, "at all picked steps");
    if (layers->n_steps == 0) {
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->secondary, rect.x + 12,
            rect.y + 42, rect.w - 24, "shift-click steps in a row, or press i:");
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->secondary, rect.x + 12,
            rect.y + 58, rect.w - 24, "which units changed most at all of them?");
        return;
    }
    draw_picked(f, (struct draw_rect){rect.x + 14, rect.y + 32, rect.w - 24, 18});
    struct draw_rect box = frame_text(f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->secondary,
        rect.x + 12, rect.y + 70, 60, "top");
    (void)frame_switch(f, box.x + box.w + 14, rect.y + 70, words, values, BARO_LEN(words),
        (int64_t)k_of(f->view), VIEW_LAYERS_TOP, false);
    struct moved_list *lists = draw_scratch(f->list, LAYERS_MAX_STEPS * sizeof *lists);
    size_t n_ready = 0;
    for (size_t i = 0; lists != NULL && i < layers->n_steps; i++) {
        const struct moved_list *list = list_of(moved, layers->steps[i]);
        if (list != NULL) {
            lists[n_ready++] = *list;
        }
    }
    char text[WORDS_MAX];
    static struct moved_unit none[1];
    struct moved_unit *common = draw_scratch(f->list, MOVED_MOST * sizeof *common);
    if (lists == NULL || common == NULL) {
        common = none;
        n_ready = 0;
    }
    size_t n = moved_common(lists, n_ready, k_of(f->view), common);
    if (n_ready < layers->n_steps) {
        (void)snprintf(
            text, sizeof text, "reading: %zu of %zu steps", n_ready, layers->n_steps);
    } else {
        (void)snprintf(text, sizeof text, "%zu of the first %zu at %s", n, k_of(f->view),
            layers->n_steps == 1 ? "it" : "each of them");
    }
    (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->text, rect.x + 12,
        rect.y + 94, rect.w - 24, text);
    draw_units(
        f, (struct draw_rect){rect.x, rect.y + 102, rect.w, rect.h - 106}, common, n);
}

void layers_panel_draw(struct frame *f, struct draw_rect rect, enum baro_role role)
{
    struct view_layers *layers = &f->view->layers;
    struct model_moved_wish *wish = &f->view->wish.moved;
    draw_fill(f->list, rect, f->theme->panel);
    if (f->run == NULL || f->run->n_steps == 0) {
        return;
    }
    bool has_updates = has_role(f->model, BARO_UPDATE);
    enum moved_kind kind = layers->moved >= 0 ? (enum moved_kind)layers->moved
                           : has_updates      ? MOVED_CHANGE
                                              : MOVED_JUMP;
    kind = has_updates ? kind : MOVED_JUMP;
    wish->kind = kind;
    wish->role = kind == MOVED_JUMP ? role : 0;
    wish->steps[wish->n_steps++] = wanted_step(f);
    for (size_t i = 0; i < layers->n_steps; i++) {
        wish->steps[wish->n_steps++] = layers->steps[i];
    }
    const struct model_moved *moved = f->model->moved;
    bool is_right = moved != NULL && f->model->run == f->view->run &&
                    moved->of.kind == wish->kind && moved->of.role == wish->role;
    moved = is_right ? moved : NULL;
    update_last(f->view, moved);
    layers->has_last =
        layers->has_last && layers->last_kind == kind * 100 + (int64_t)wish->role;
    draw_head(f, rect, kind, has_updates, wish->steps[0]);
    float common_h = layers->n_steps > 0 ? floorf(rect.h * 0.48F) : 74;
    struct draw_rect list = {
        rect.x, rect.y + HEAD_H, rect.w, rect.h - HEAD_H - common_h - 8};
    if (layers->has_last && layers->last.n > 0) {
        size_t k = k_of(f->view) < layers->last.n ? k_of(f->view) : layers->last.n;
        draw_units(f, list, layers->last.at, k);
    } else if (layers->has_last) {
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->secondary, rect.x + 12,
            list.y + 16, rect.w - 24, "no reading of units up to here");
    }
    draw_common(f,
        (struct draw_rect){rect.x, rect.y + rect.h - common_h, rect.w, common_h - 4},
        moved);
}
