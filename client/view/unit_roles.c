/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "client/view/units.h"

/*
 * The same units in the other roles of their layer, small and beside each other: who was brushed
 * among the weights is seen among the gradients, activations and updates.
 */

enum { MAX_CHARTS = 5, MAX_UNITS = 8 };

/* The units to be drawn: the chosen one first, then marked ones. */
static size_t choose_units(
    struct frame *f, const struct model_thing *thing, uint32_t *out, bool *out_has_chosen)
{
    const struct marks *marks = marks_of(&f->view->marks, f->model, thing);
    int64_t chosen = f->view->unit;
    size_t n = 0;
    *out_has_chosen = chosen >= 0 && chosen < (int64_t)thing->n_units;
    if (*out_has_chosen) {
        out[n++] = (uint32_t)chosen;
    }
    uint32_t picked[MAX_UNITS];
    size_t n_picked = marks != NULL ? marks_pick(marks, picked, MAX_UNITS - n) : 0;
    for (size_t i = 0; i < n_picked; i++) {
        if (n == 0 || picked[i] != out[0]) {
            out[n++] = picked[i];
        }
    }
    return n;
}

static void draw_role(struct frame *f, struct draw_rect rect,
    const struct model_thing *thing, const uint32_t *units, size_t n, bool has_chosen)
{
    enum { NAME_BYTES = 32 };
    struct chart_line lines[MAX_UNITS];
    const struct marks *marks = marks_of(&f->view->marks, f->model, thing);
    enum unit_stat stat = view_unit_stat(f->view, thing);
    char note[96];
    bool is_coming = false;
    for (size_t i = 0; i < n; i++) {
        char *name = draw_scratch(f->list, NAME_BYTES);
        bool is_chosen = has_chosen && i == 0;
        draw_color color = draw_fade(f->theme->accent, has_chosen && i > 0 ? 0.45F : 1);
        struct model_ref ref = {thing->thing, READING_UNITS, (uint16_t)stat, units[i]};
        is_coming = is_coming || frame_series(f, ref, false) == NULL;
        lines[i] = units_series_line(f, thing, stat, units[i], color);
        lines[i].weight = is_chosen ? CHART_SELECTED : CHART_NORMAL;
        lines[i].envelope = true;
        lines[i].name = name;
        if (name != NULL) {
            (void)snprintf(name, NAME_BYTES, "unit %u", units[i]);
        }
    }
    int at = snprintf(note, sizeof note, "%s", units_stat_words(stat));
    if (marks != NULL && marks->n > n) {
        char all[FORMAT_MAX];
        (void)snprintf(note + at, sizeof note - (size_t)at, " · %zu of %s marked", n,
            format_count(all, (int64_t)marks->n));
    }
    struct frame_chart chart = {
        .id = frame_id(VIEW_TENSOR, thing->thing, 0xFE, (uint32_t)stat),
        .chart = {.title = baro_role_name(thing->role),
            .note = note,
            .no_value = true,
            .empty = is_coming ? frame_waiting(f, false) : NULL,
            .lines = lines,
            .n_lines = n},
        .thing = thing->thing,
        .may_log = stat == UNIT_L2 || stat == UNIT_ABS_MAX || stat == UNIT_CHANGE,
    };
    draw_fill(f->list, rect, f->theme->panel);
    (void)frame_chart(f, draw_inset(rect, 8, 6), &chart);
}

bool unit_roles_draw(
    struct frame *f, struct draw_rect rect, const struct model_thing *thing)
{
    const struct model_thing *roles[MAX_CHARTS];
    uint32_t units[MAX_UNITS];
    bool has_chosen = false;
    size_t n_units = choose_units(f, thing, units, &has_chosen);
    size_t n = 0;
    for (int role = 1; role < BARO_ROLE_END && n < MAX_CHARTS && n_units > 0; role++) {
        const struct model_thing *same =
            (int)thing->role == role ? thing
                                     : layer_find(f->model, thing, (enum baro_role)role);
        if (same != NULL && same->n_units == thing->n_units) {
            roles[n++] = same;
        }
    }
    if (n < 2) {
        return false; /* the large chart has it */
    }
    float w = (rect.w - THEME_GAP * (float)(n - 1)) / (float)n;
    for (size_t i = 0; i < n; i++) {
        struct draw_rect cell = {rect.x + (w + THEME_GAP) * (float)i, rect.y, w, rect.h};
        draw_role(f, cell, roles[i], units, n_units, has_chosen);
    }
    return true;
}
