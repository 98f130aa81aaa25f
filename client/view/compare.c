/* SPDX-License-Identifier: Apache-2.0 */
#include "client/view/compare.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/view/compare_rows.h"
#include "client/view/inside.h"
#include "client/view/words.h"
#include "lib/base/mem.h"

/*
 * Two runs, or two steps of one: what is different, the most different first. At the left the
 * tensors of both, by how many times one norm is the other; behind each the difference of every
 * unit, and the step at which the two runs parted there. At the right what differs in the settings,
 * the scalars side by side, and of the chosen tensor how its units differ (compare_panel.c).
 */

static const float ROW_H = 22;
static const float HEAD_H = 60;  /* sentences */
static const float TITLE_H = 34; /* of a panel */
static const float NUMBER_W = 70;
static const float MIN_TWO_W = 560; /* of the page, for the panels at the right */

/* ---- choosing ---- */

void compare_steps(struct view *view)
{
    struct view_compare *compare = &view->compare;
    const struct view_notes *notes = &view->notes;
    bool has_mark = notes->has_mark && notes->mark_run == view->run;
    if (!has_mark || isnan(view->cursor)) {
        (void)snprintf(view->notice, sizeof view->notice, "%s",
            has_mark ? "Point at the step to compare the marked one with"
                     : "Mark a step first: m over it, then c over another");
        return;
    }
    int64_t mark = notes->mark_step;
    int64_t at = (int64_t)llround(view->cursor);
    if (mark == at) {
        (void)snprintf(view->notice, sizeof view->notice,
            "That is the marked step itself: point at another");
        return;
    }
    compare->is_steps = true;
    compare->steps[0] = mark < at ? mark : at;
    compare->steps[1] = mark < at ? at : mark;
    view->page = VIEW_COMPARE;
    view->scroll[VIEW_SCROLL_PAGE] = 0;
}

/* ---- what is wished for ---- */

/* The last step that both runs have; of one that goes on, in strides, so that not each new step
 * has everything asked again. */
static int64_t last_of_both(const struct model_run *a, const struct model_run *b)
{
    const struct model_run *less = a->last_step <= b->last_step ? a : b;
    bool goes_on = less->status == BARO__RUN_STATUS__RUN_RUNNING ||
                   less->status == BARO__RUN_STATUS__RUN_STALLED;
    int64_t stride = 1;
    while (goes_on && less->last_step - less->first_step >= 32 * stride) {
        stride *= 2;
    }
    return less->last_step - less->last_step % stride;
}

static void wish_for(struct frame *f, const struct model_run *other)
{
    const struct view *view = f->view;
    struct model_compare_wish *wish = &f->view->wish.compare;
    wish->is_wanted = true;
    wish->is_steps = view->compare.is_steps;
    if (wish->is_steps) {
        wish->to[0] = view->compare.steps[0];
        wish->to[1] = view->compare.steps[1];
        return;
    }
    int64_t to = last_of_both(f->run, other);
    if (!isnan(view->cursor) && view->cursor < (double)to) {
        to = (int64_t)llround(view->cursor);
    }
    wish->to[0] = wish->to[1] = to;
}

/* What is known, if it is of the runs that are shown; NULL: nothing yet. */
static const struct model_compare *known(const struct frame *f)
{
    const struct model_compare *compare = f->model->compare;
    bool is_it = compare != NULL && f->model->run == f->view->run &&
                 compare->of.is_steps == f->view->compare.is_steps &&
                 (compare->of.is_steps || frame_other(f) != NULL);
    return is_it ? compare : NULL;
}

/* ---- sentences ---- */

static void say_sides(const struct frame *f, const struct model_run *other,
    const struct model_compare *compare, char out[2 * WORDS_MAX])
{
    char a[WORDS_MAX];
    char b[WORDS_MAX];
    char step[2][FORMAT_MAX];
    const struct model_compare_wish *of =
        compare != NULL ? &compare->of : &f->view->wish.compare;
    (void)words_run(a, f->run);
    (void)format_count(step[0], of->to[0]);
    (void)format_count(step[1], of->to[1]);
    if (f->view->compare.is_steps) {
        (void)snprintf(
            out, 2 * WORDS_MAX, "A: step %s · B: step %s of %.200s", step[0], step[1], a);
        return;
    }
    (void)snprintf(out, 2 * WORDS_MAX, "A: %.180s · B: %.180s · up to step %s%s", a,
        words_run(b, other), step[0], isnan(f->view->cursor) ? ", which both have" : "");
}

static void say_parting(
    const struct frame *f, const struct compare_rows *rows, char out[2 * WORDS_MAX])
{
    char name[WORDS_MAX];
    char step[FORMAT_MAX];
    out[0] = '\0';
    if (f->view->compare.is_steps) {
        (void)snprintf(
            out, 2 * WORDS_MAX, "Of each tensor its last reading up to the step.");
    } else if (rows->first != NULL) {
        const struct model_thing *thing = rows->first->thing;
        (void)snprintf(out, 2 * WORDS_MAX,
            "First apart by more than their noise: %.200s%s%s, from step %s on.",
            words_thing(name, thing), thing->is_tensor ? " " : "",
            thing->is_tensor ? baro_role_name(thing->role) : "",
            format_count(step, rows->first->parting.step));
    } else if (rows->n_parted_known > 0 && rows->n_equal == rows->n_parted_known) {
        (void)snprintf(out, 2 * WORDS_MAX,
            "Nothing differs: all %zu series are the same to the last bit.", rows->n_equal);
    } else if (rows->n_parted_known > 0) {
        (void)snprintf(out, 2 * WORDS_MAX,
            "Nothing is apart by more than the noise of its own readings.");
    }
    if (rows->first != NULL && rows->n_equal > 0) {
        size_t at = strlen(out);
        (void)snprintf(out + at, 2 * WORDS_MAX - at,
            " %zu of %zu series are the same to the last bit.", rows->n_equal,
            rows->n_parted_known);
    }
}

static void draw_sentences(struct frame *f, struct draw_rect row,
    const struct model_run *other, const struct model_compare *compare,
    const struct compare_rows *rows)
{
    char text[2 * WORDS_MAX];
    say_sides(f, other, compare, text);
    (void)frame_text(
        f, FONT_TEXT, THEME_SIZE_TITLE, f->theme->text, row.x, row.y + 20, row.w, text);
    say_parting(f, rows, text);
    (void)frame_text(
        f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->secondary, row.x, row.y + 44, row.w, text);
}

/* ---- the table of tensors ---- */

/* "×1.25", "÷3", or a word where there is no ratio. */
void compare_say_ratio(char out[FORMAT_MAX], double a, double b)
{
    double ratio = b / a;
    if (!isfinite(a) || !isfinite(b)) {
        (void)snprintf(out, FORMAT_MAX, "NaN, Inf");
    } else if (!(fabs(b - a) > 0)) {
        (void)snprintf(out, FORMAT_MAX, "equal");
    } else if (!isfinite(ratio) || !(fabs(ratio) > 0)) {
        (void)snprintf(out, FORMAT_MAX, fabs(a) > fabs(b) ? "to 0" : "from 0");
    } else {
        double times = ratio >= 1 ? ratio : 1 / ratio;
        (void)snprintf(out, FORMAT_MAX,
            times < 1.1    ? "%s%.3f"
            : times < 10   ? "%s%.2f"
            : times < 1000 ? "%s%.0f"
                           : "%s%.1e",
            ratio >= 1 ? "×" : "÷", times);
    }
}

/* A thin row of the units' differences, at most as many cells as there are pixels: of several units
 * in a cell the one that differs most. */
static void draw_units(
    struct frame *f, struct draw_rect at, const struct model_compared_units *units)
{
    size_t n = (size_t)fmaxf(at.w * draw_scale(f->list) / 2, 1);
    n = n < units->n ? n : units->n;
    draw_color *colors = draw_scratch(f->list, (n + 1) * sizeof *colors);
    float *far = draw_scratch(f->list, (n + 1) * sizeof *far);
    for (size_t i = 0; colors != NULL && far != NULL && i < n; i++) {
        colors[i] = theme_diff(f->theme, 0);
        far[i] = 0;
    }
    for (size_t unit = 0; colors != NULL && far != NULL && unit < units->n; unit++) {
        size_t cell = unit * n / units->n;
        float a = units->values[0][unit];
        float b = units->values[1][unit];
        float t = compare_unit_color(a, b);
        if (a < 0 || b < 0) {
            continue; /* one of the two was not measured */
        }
        if (isnan(t)) {
            colors[cell] = f->theme->alarm;
            far[cell] = INFINITY;
        } else if (fabsf(t) > far[cell]) {
            far[cell] = fabsf(t);
            colors[cell] = theme_diff(f->theme, t);
        }
    }
    if (colors != NULL && far != NULL && n > 0) {
        draw_cells(f->list, at, colors, (uint32_t)n, 1);
    }
}

const struct model_compared_units *compare_units_of(
    const struct model_compare *compare, uint32_t thing)
{
    for (size_t i = 0; i < compare->n_units; i++) {
        if (compare->units[i].thing == thing) {
            return &compare->units[i];
        }
    }
    return NULL;
}

/* Where the columns of the table are; a width of 0: there is no room for it. */
struct columns {
    float a, b, ratio, parted; /* right ends */
    struct draw_rect units;    /* its x and w */
    float name_w;
};

static struct columns columns_of(const struct frame *f, struct draw_rect rect)
{
    struct columns c = {0};
    float right = rect.x + rect.w - 12;
    bool has_parted = !f->view->compare.is_steps && rect.w >= 560;
    if (has_parted) {
        c.parted = right;
        right -= NUMBER_W;
    }
    if (rect.w >= 460) {
        c.units.w = fminf(180, rect.w * 0.18F);
        right -= c.units.w + 12;
        c.units.x = right + 12;
    }
    c.ratio = right;
    c.b = right - NUMBER_W;
    c.a = c.b - NUMBER_W;
    c.name_w = c.a - NUMBER_W - rect.x - 30;
    if (c.name_w < 80) { /* by how many times matters more than from what */
        c.a = c.b = 0;
        c.name_w = fmaxf(c.ratio - NUMBER_W - rect.x - 30, 40);
    }
    return c;
}

static void draw_number(
    struct frame *f, float right, float y, draw_color color, const char *text)
{
    struct draw_style style = {
        .role = FONT_MONO, .size = THEME_SIZE_AXIS, .color = color, .align = DRAW_RIGHT};
    (void)draw_string(f->list, right, y, &style, text);
}

/* The head of a column that rows can be in the order of; a click orders them so. */
static void draw_order(
    struct frame *f, float right, float y, const char *text, enum compare_sort sort)
{
    bool is_it = f->view->compare.sort == sort;
    struct draw_style style = {.size = THEME_SIZE_AXIS,
        .color = is_it ? f->theme->text : f->theme->secondary,
        .align = DRAW_RIGHT};
    struct draw_rect box = draw_string_box(f->list, right, y, &style, text);
    struct draw_rect zone = {box.x - 4, y - 14, box.w + 8, 20};
    style.color = !is_it && frame_is_over(f, zone) ? f->theme->accent : style.color;
    (void)draw_string(f->list, right, y, &style, text);
    if (is_it) {
        draw_fill(f->list, (struct draw_rect){box.x, y + 4, box.w, 1.5F}, f->theme->accent);
    }
    frame_zone(f, zone, VIEW_COMPARE_SORT, sort, 0);
}

static void draw_heads(
    struct frame *f, const struct columns *c, struct draw_rect rect, float y)
{
    struct draw_style style = {
        .size = THEME_SIZE_AXIS, .color = f->theme->secondary, .align = DRAW_RIGHT};
    if (c->a > 0) {
        (void)draw_string(f->list, c->a, y, &style, "l2 of A");
        (void)draw_string(f->list, c->b, y, &style, "of B");
    }
    draw_order(f, c->ratio, y, "B to A", COMPARE_BY_SIZE);
    if (c->parted > 0) {
        draw_order(f, c->parted, y, "apart from", COMPARE_BY_PARTING);
    }
    if (c->units.w > 0) {
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->secondary, c->units.x, y,
            c->units.w, "each unit");
    }
    (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->secondary, rect.x + 28, y,
        c->name_w, "tensor");
}

static void draw_row(struct frame *f, const struct model_compare *compare,
    const struct columns *c, struct draw_rect row, const struct compare_row *of,
    bool is_chosen)
{
    char text[FORMAT_MAX];
    char name[WORDS_MAX];
    const struct theme *theme = f->theme;
    const double a = of->pair->values[0][COMPARED_L2];
    const double b = of->pair->values[1][COMPARED_L2];
    float y = frame_middle(f, row, FONT_TEXT, THEME_SIZE_TEXT);
    bool is_bad = isinf(of->weight) && (!isfinite(a) || !isfinite(b));
    if (is_chosen || frame_is_over(f, row)) {
        draw_fill(f->list, row, is_chosen ? theme->raised : draw_fade(theme->raised, 0.5F));
    }
    if (is_chosen) {
        draw_fill(f->list, (struct draw_rect){row.x, row.y, 2, row.h}, theme->accent);
    }
    if (is_bad) {
        frame_mark(f, THEME_ALARM, row.x + 16, row.y + row.h / 2);
    }
    (void)words_thing(name, of->thing);
    struct draw_rect box =
        frame_name(f, THEME_SIZE_TEXT, theme->text, row.x + 28, y, c->name_w, name);
    if (c->name_w - box.w > 36) {
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS, theme->secondary, box.x + box.w + 8,
            y, c->name_w - box.w - 8, baro_role_name(of->thing->role));
    }
    if (c->a > 0) {
        draw_number(f, c->a, y, theme->secondary, format_value(text, a));
        draw_number(f, c->b, y, theme->secondary, format_value(text, b));
    }
    compare_say_ratio(text, a, b);
    draw_number(f, c->ratio, y, is_bad ? theme->alarm : theme->text, text);
    if (c->parted > 0 && of->has_parting) {
        bool has = of->parting.has_parted;
        (void)snprintf(text, sizeof text, "%s", of->parting.is_equal ? "equal" : "noise");
        draw_number(f, c->parted, y, has ? theme->text : theme->secondary,
            has ? format_count(text, of->parting.step) : text);
    }
    const struct model_compared_units *units =
        compare_units_of(compare, of->pair->thing[0]);
    struct draw_rect at = {c->units.x, row.y + 5, c->units.w, row.h - 10};
    if (c->units.w > 0 && units != NULL && units->n > 0) {
        draw_units(f, at, units);
    }
    frame_zone(f, row, VIEW_COMPARE_PICK, of->pair->thing[0], 0);
}

/* Units of what is seen are asked for, the chosen row first. */
static void wish_units(struct frame *f, const struct compare_row *row)
{
    struct model_compare_wish *wish = &f->view->wish.compare;
    if (row->pair->has_units && wish->n_units < MODEL_MAX_COMPARED_UNITS) {
        wish->units[wish->n_units++] = row->pair->thing[0];
    }
}

/* Whose tensors: of one role, or of all. */
static void draw_roles(
    struct frame *f, struct draw_rect rect, const struct compare_rows *rows)
{
    const char *words[BARO_ROLE_END];
    int64_t values[BARO_ROLE_END];
    size_t n = 0;
    float y = rect.y + 21;
    float right = rect.x + rect.w - 20;
    float left = right;
    words[n] = "all";
    values[n++] = 0;
    for (int role = 1; role < BARO_ROLE_END; role++) {
        if (rows->n_roles[role] > 0) {
            words[n] = baro_role_name((enum baro_role)role);
            values[n++] = role;
        }
    }
    for (size_t i = 0; i < n; i++) {
        left -= font_width(draw_font(f->list), FONT_TEXT, THEME_SIZE_TEXT, words[i],
                    strlen(words[i])) +
                18;
    }
    if (left > rect.x + 80) {
        (void)frame_switch(f, right, y, words, values, n, (int64_t)f->view->compare.role,
            VIEW_COMPARE_ROLE, true);
    }
    (void)frame_text(
        f, FONT_STRONG, THEME_SIZE_TEXT, f->theme->text, rect.x + 12, y, 80, "Tensors");
}

static void draw_tensors(struct frame *f, struct draw_rect rect,
    const struct model_compare *compare, const struct compare_rows *rows,
    const struct compare_row *chosen)
{
    draw_fill(f->list, rect, f->theme->panel);
    draw_roles(f, rect, rows);
    struct columns c = columns_of(f, rect);
    draw_heads(f, &c, rect, rect.y + TITLE_H + 14);
    struct draw_rect list = {rect.x, rect.y + TITLE_H + 22, rect.w, rect.h - TITLE_H - 26};
    float scroll =
        frame_scroll(f, VIEW_SCROLL_PAGE, ROW_H * (float)rows->n, fmaxf(list.h, 1));
    frame_zone(f, list, VIEW_SCROLL, VIEW_SCROLL_PAGE, 0);
    if (rows->n == 0) {
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->secondary, rect.x + 28,
            list.y + 18, rect.w - 40, "They have no tensor in common that was measured.");
        return;
    }
    draw_clip(f->list, list);
    struct draw_rect within = f->within;
    f->within = frame_within(f, list);
    if (chosen != NULL) {
        wish_units(f, chosen);
    }
    for (size_t i = (size_t)(scroll / ROW_H); i < rows->n; i++) {
        struct draw_rect row = {list.x, list.y + ROW_H * (float)i - scroll, list.w, ROW_H};
        if (row.y >= list.y + list.h) {
            break;
        }
        wish_units(f, rows->at[i]);
        draw_row(f, compare, &c, row, rows->at[i], rows->at[i] == chosen);
    }
    f->within = within;
    draw_unclip(f->list);
    frame_scroll_bar(f, list, ROW_H * (float)rows->n, scroll);
}

/* ---- the page ---- */

static const struct compare_row *chosen_row(
    const struct frame *f, const struct compare_rows *rows)
{
    for (size_t i = 0; i < rows->n; i++) {
        if (rows->at[i]->pair->thing[0] == f->view->compare.thing) {
            return rows->at[i];
        }
    }
    return rows->n > 0 ? rows->at[0] : NULL;
}

void compare_draw(struct frame *f, struct draw_rect rect)
{
    struct draw_rect inner = draw_inset(rect, VIEW_PAD, 0);
    const struct model_run *other = model_run_find(f->model, f->view->other_run);
    if (f->run == NULL || (other == NULL && !f->view->compare.is_steps)) {
        compare_how_draw(f, inner);
        return;
    }
    wish_for(f, other);
    const struct model_compare *compare = known(f);
    struct compare_rows rows = {0};
    if (compare != NULL) {
        rows = compare_rows_get(f, compare);
    }
    draw_sentences(
        f, (struct draw_rect){inner.x, inner.y, inner.w, HEAD_H}, other, compare, &rows);
    struct draw_rect body = {
        inner.x, inner.y + HEAD_H, inner.w, inner.h - HEAD_H - THEME_GAP};
    if (compare == NULL) {
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->secondary, body.x,
            body.y + 20, body.w, frame_waiting(f, true));
        return;
    }
    const struct compare_row *chosen = chosen_row(f, &rows);
    if (body.w < MIN_TWO_W) { /* room for one of the two */
        draw_tensors(f, body, compare, &rows, chosen);
        return;
    }
    float right_w = fminf(fmaxf(body.w * 0.36F, 240), 460);
    struct draw_rect left = {body.x, body.y, body.w - right_w - THEME_GAP, body.h};
    draw_tensors(f, left, compare, &rows, chosen);
    compare_panels(f,
        (struct draw_rect){left.x + left.w + THEME_GAP, body.y, right_w, body.h}, compare,
        &rows, chosen, other);
}
