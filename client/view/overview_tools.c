/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "client/view/input.h"
#include "client/view/inside.h"
#include "client/view/overview_gather.h"
#include "client/view/words.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

/*
 * What the person chooses on the overview: a row above the charts that says which runs are seen,
 * how their lines look, which scalars are shown and what the x axis counts; pins; the box in which
 * a glob is typed.
 */

/* ---- pins ---- */

int overview_pin_place(const struct view *view, const char *name)
{
    for (size_t i = 0; i < view->overview.n_pins; i++) {
        if (strcmp(view->overview.pins[i], name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

void overview_pin(struct view *view, const char *name)
{
    struct view_overview *overview = &view->overview;
    int at = overview_pin_place(view, name);
    (void)snprintf(view->notice, sizeof view->notice,
        at >= 0                                 ? "%.150s is no longer pinned"
        : overview->n_pins == OVERVIEW_MAX_PINS ? "%.150s cannot be pinned: 64 are"
                                                : "%.150s is pinned: it comes first",
        name);
    if (at >= 0) {
        free(overview->pins[at]);
        overview->n_pins--;
        memmove(&overview->pins[at], &overview->pins[at + 1],
            (overview->n_pins - (size_t)at) * sizeof overview->pins[0]);
    } else if (overview->n_pins < OVERVIEW_MAX_PINS) {
        overview->pins[overview->n_pins++] = baro_xstrdup(name);
    }
}

void overview_pin_all(struct view *view, const char *names)
{
    while (*names != '\0') {
        size_t n = strcspn(names, "\n");
        char *name = baro_xcalloc(n + 1, 1);
        memcpy(name, names, n);
        if (n > 0 && overview_pin_place(view, name) < 0) {
            overview_pin(view, name);
        }
        free(name);
        names += n + (names[n] == '\n' ? 1 : 0);
    }
    view->notice[0] = '\0';
}

bool overview_pin_hovered(struct view *view, const struct model *model)
{
    for (size_t i = view->n_zones; i > 0 && view->page == VIEW_OVERVIEW; i--) {
        const struct view_zone *zone = &view->zones[i - 1];
        if (zone->act != VIEW_CHART || !draw_inside(zone->rect, view->mx, view->my)) {
            continue;
        }
        uint64_t id = view->slots[zone->a].id;
        uint32_t kind = (uint32_t)(id >> 48) & 0xFF;
        const struct model_thing *thing = model_thing_find(model, (uint32_t)id);
        if (kind == READING_STEP || (kind == READING_SCALAR && thing != NULL)) {
            overview_pin(view, thing != NULL ? thing->name : OVERVIEW_STEP_TIME);
            return true;
        }
    }
    return false;
}

void overview_pin_thing(struct view *view, const struct model *model, uint32_t id)
{
    const struct model_thing *thing = model_thing_find(model, id);
    if (id == 0 || thing != NULL) {
        overview_pin(view, thing != NULL ? thing->name : OVERVIEW_STEP_TIME);
    }
}

/* ---- a second run ---- */

void overview_pick_other(struct view *view, const struct model *model, uint32_t run)
{
    const struct model_run *other = model_run_find(model, run);
    if (run == view->other_run || run == view->run || other == NULL) {
        view->other_run = 0;
        (void)snprintf(view->notice, sizeof view->notice, "%s",
            run == view->run && run != 0
                ? "That is the run shown; another can be seen beside it"
                : "One run alone");
        return;
    }
    view->other_run = run;
    view->compare.is_steps = false;
    (void)snprintf(view->notice, sizeof view->notice,
        "%.120s is seen beside it, dashed; 7 compares the two", other->name);
}

/* ---- which scalars ---- */

void view_add_text(char *to, size_t room, const char *text)
{
    size_t n = strlen(to);
    size_t more = strlen(text);
    if (n + more < room) {
        memcpy(to + n, text, more + 1);
    }
}

void view_cut_text(char *text)
{
    size_t n = strlen(text);
    while (n > 0 && ((unsigned char)text[--n] & 0xC0U) == 0x80U) {
    }
    text[n] = '\0';
}

bool overview_glob_char(struct view *view, const char *text)
{
    view_add_text(view->overview.glob, sizeof view->overview.glob, text);
    view->scroll[VIEW_SCROLL_PAGE] = 0;
    return true;
}

bool overview_glob_key(struct view *view, enum input_key key)
{
    if (key == INPUT_BACKSPACE) {
        view_cut_text(view->overview.glob);
    } else if (key == INPUT_ESCAPE) {
        view->overview.glob[0] = '\0';
        view->overlay = VIEW_PLAIN;
    } else if (key == INPUT_ENTER) {
        view->overlay = VIEW_PLAIN;
    }
    view->scroll[VIEW_SCROLL_PAGE] = 0;
    return true;
}

bool overview_passes(const char *glob, const char *name)
{
    if (glob[0] == '\0') {
        return true;
    }
    return strpbrk(glob, "*?[") != NULL ? baro_glob(glob, name)
                                        : strcasestr(name, glob) != NULL;
}

void overview_draw_glob(struct frame *f, struct draw_rect rect)
{
    const struct view_overview *overview = &f->view->overview;
    char text[WORDS_MAX];
    char n[WORDS_MAX];
    float side_w = fminf(VIEW_SIDE_W, rect.w * 0.3F);
    struct draw_rect box = {side_w + VIEW_PAD,
        rect.y + fmaxf(overview->tools_y, VIEW_HEADER_H) - 3,
        fminf(560, rect.w - side_w - 2 * VIEW_PAD), 32};
    bool is_empty = overview->glob[0] == '\0';
    frame_zone(f, rect, VIEW_CLOSE, 0, 0);
    frame_zone(f, box, VIEW_NOTHING, 0, 0);
    draw_fill_round(f->list, box, 2, f->theme->raised);
    draw_outline(f->list, box, f->theme->accent);
    (void)snprintf(n, sizeof n, "%zu of %zu scalars", overview->n_shown, overview->n_all);
    struct draw_style style = {
        .size = THEME_SIZE_TEXT, .color = f->theme->secondary, .align = DRAW_RIGHT};
    float y = frame_middle(f, box, FONT_TEXT, THEME_SIZE_TEXT);
    struct draw_rect right = draw_string(f->list, box.x + box.w - 14, y, &style, n);
    (void)snprintf(text, sizeof text, "%s",
        is_empty ? "Part of a scalar’s name, or a glob: *loss*" : overview->glob);
    struct draw_rect typed = frame_text(f, FONT_TEXT, THEME_SIZE_TEXT,
        is_empty ? f->theme->secondary : f->theme->text, box.x + 14, y,
        right.x - box.x - 28, text);
    float caret = is_empty ? box.x + 12 : typed.x + typed.w + 2;
    draw_fill(f->list, (struct draw_rect){caret, box.y + 7, 1.5F, 18}, f->theme->accent);
}

/* ---- step times ---- */

/* The mean of what is finite; NaN: nothing. */
static double mean_of(const struct chart_line *line)
{
    double sum = 0;
    double n = 0;
    for (size_t i = 0; i < line->n_columns; i++) {
        if (isfinite(line->columns[i].mean)) {
            sum += line->columns[i].mean;
            n++;
        }
    }
    return n > 0 ? sum / n : (double)NAN;
}

const char *overview_time_unit(struct frame *f, struct chart_line *line, bool may_choose)
{
    static const struct {
        const char *title;
        double per_s, from_s; /* said from there on */
    } units[] = {{OVERVIEW_STEP_TIME, 1, 0.5}, {"step time, ms", 1e3, 5e-4},
        {"step time, µs", 1e6, 0}};
    size_t *chosen = &f->view->overview.time_unit;
    double mean = may_choose ? mean_of(line) : (double)NAN;
    while (mean > 0 && *chosen > 0 && mean > 2 * units[*chosen - 1].from_s) {
        (*chosen)--;
    }
    while (mean > 0 && mean < units[*chosen].from_s / 2) {
        (*chosen)++;
    }
    double by = units[*chosen].per_s;
    struct chart_column *columns = by > 1 ? frame_own_columns(f, line) : NULL;
    for (size_t i = 0; columns != NULL && i < line->n_columns; i++) {
        columns[i].min *= by;
        columns[i].max *= by;
        columns[i].mean *= by;
        columns[i].first *= by;
        columns[i].last *= by;
    }
    return units[*chosen].title;
}

/* ---- the row ---- */

/* A piece of a line as the charts have it, and the run's name. Gives where it ends. */
static float draw_key(
    struct frame *f, float x, float y, float w, bool is_other, const struct model_run *run)
{
    const float dash = 5.4F;
    draw_color color = is_other ? frame_other_color(f->theme) : theme_series(f->theme, 0);
    for (int i = 0; i < (is_other ? 3 : 1); i++) {
        const float from = x + 9.0F * (float)i;
        const struct draw_point points[] = {
            {from, y - 4}, {is_other ? from + dash : x + 24, y - 4}};
        draw_polyline(f->list, points, 2, THEME_LINE_SELECTED, color);
    }
    char name[WORDS_MAX];
    struct draw_rect box = frame_text(f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->text, x + 32,
        y, w - 32, words_run(name, run));
    return box.x + box.w;
}

/* A word that does something; gives where it ends. */
static float draw_link(
    struct frame *f, float x, float y, const char *text, enum view_act act, int64_t a)
{
    struct draw_rect box =
        draw_string_box(f->list, x, y, &(struct draw_style){.size = THEME_SIZE_TEXT}, text);
    struct draw_rect zone = {x - 6, y - 16, box.w + 12, 22};
    (void)frame_text(f, FONT_TEXT, THEME_SIZE_TEXT,
        frame_is_over(f, zone) ? f->theme->accent : f->theme->secondary, x, y, 0, text);
    frame_zone(f, zone, act, a, 0);
    return x + box.w;
}

/* Which runs are seen. Gives where it ends. */
static float draw_runs(struct frame *f, float x, float y, float room)
{
    const struct model_run *other = model_run_find(f->model, f->view->other_run);
    if (other != NULL) {
        x = draw_key(f, x, y, room * 0.34F, false, f->run) + 18;
        x = draw_key(f, x, y, room * 0.34F, true, other) + 14;
        x = draw_link(f, x, y, "compare", VIEW_PICK_PAGE, VIEW_COMPARE) + 14;
        return draw_link(f, x, y, "alone", VIEW_PICK_OTHER, 0) + 24;
    }
    static const char how[] = "ctrl-click a run to see it beside this one";
    float how_w =
        font_width(draw_font(f->list), FONT_TEXT, THEME_SIZE_TEXT, how, strlen(how));
    if (f->model->runs->n > 1 && how_w <= room) {
        (void)frame_text(
            f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->secondary, x, y, room, how);
        return x + how_w + 24;
    }
    return x;
}

void overview_tools(struct frame *f, struct draw_rect row)
{
    const struct view_overview *overview = &f->view->overview;
    const char *words[XAXIS_KIND_COUNT];
    int64_t values[XAXIS_KIND_COUNT];
    char text[WORDS_MAX];
    size_t n = 0;
    for (int kind = 0; kind < XAXIS_KIND_COUNT; kind++) {
        if (kind != XAXIS_EPOCH || xaxis_has_epochs(f->model)) {
            words[n] = xaxis_name((enum xaxis_kind)kind);
            values[n++] = kind;
        }
    }
    float y = row.y + 15;
    if (overview->n_all == 0) {
        return;
    }
    float left = frame_switch(f, row.x + row.w, y, words, values, n,
        (int64_t)f->view->x.wanted, VIEW_PICK_X, true);
    float x = draw_runs(f, row.x, y, left - row.x - 24);
    if (overview->glob[0] != '\0') {
        (void)snprintf(text, sizeof text, "%zu of %zu scalars: %s", overview->n_shown,
            overview->n_all, overview->glob);
        x = draw_link(f, x, y, text, VIEW_OPEN_GLOB, 0) + 14;
        if (x < left - 60) {
            (void)draw_link(f, x, y, "all", VIEW_OPEN_GLOB, 1);
        }
    } else if (overview->n_all > 6 && x < left - 120) {
        char count[FORMAT_MAX];
        char most[FORMAT_MAX];
        (void)format_count(count, (int64_t)overview->n_all);
        (void)format_count(most, OVERVIEW_MAX_SCALARS - 1);
        (void)snprintf(text, sizeof text,
            overview->n_all >= OVERVIEW_MAX_SCALARS ? "filter %s scalars; %s are shown"
                                                    : "filter %s scalars",
            count, most);
        (void)draw_link(f, x, y, text, VIEW_OPEN_GLOB, 0);
    }
}
