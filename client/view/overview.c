/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "client/view/inside.h"
#include "client/view/overview_gather.h"
#include "client/view/words.h"
#include "lib/base/mem.h"

/*
 * The overview: one sentence that says what matters, the loss large, all other scalars small
 * beside and below it, and the layers at a glance. Scalars that the person pinned come first, those
 * whose names do not fit what was typed are not shown. A second run's lines lie in the same charts,
 * dashed; its scalars are those of the same names.
 */

enum { MAX_HEAD_LINES = 3 };

static const float MIN_SMALL = 110; /* height of a small chart */
static const float MIN_SMALL_W = 160;
static const float HEAD_LINE_H = 21;
static const float PEEK = 40; /* of the rows below, so that one sees that they go on */

/* Scalars of the second run by the names of the first's; remembered while neither list changes. */
struct overview_twins {
    const struct model_things *of, *other; /* references */
    char glob[OVERVIEW_GLOB_BYTES];
    size_t n, n_pins;
    uint32_t at[OVERVIEW_MAX_SCALARS];
};

static void forget_twins(struct overview_twins *twins)
{
    part_unref(twins->of);
    part_unref(twins->other);
    twins->of = twins->other = NULL;
}

static uint32_t twin_of(const struct model *other, const char *name)
{
    for (size_t i = 0; i < other->things->n; i++) {
        const struct model_thing *thing = &other->things->at[i];
        if (!thing->is_tensor && thing->rank == 0 && strcmp(thing->name, name) == 0) {
            return thing->thing;
        }
    }
    return 0;
}

static void find_twins(struct frame *f, struct overview_scalar *scalars, size_t n)
{
    struct view_overview *overview = &f->view->overview;
    const struct model *other = frame_other(f);
    if (other == NULL) {
        return;
    }
    if (overview->twins == NULL) {
        overview->twins = baro_xcalloc(1, sizeof *overview->twins);
    }
    struct overview_twins *twins = overview->twins;
    bool is_same = twins->of == f->model->things && twins->other == other->things &&
                   twins->n == n && twins->n_pins == overview->n_pins &&
                   strcmp(twins->glob, overview->glob) == 0;
    for (size_t i = 0; i < n && !is_same; i++) {
        twins->at[i] = twin_of(other, scalars[i].title);
    }
    for (size_t i = 0; i < n; i++) {
        scalars[i].twin = twins->at[i];
    }
    if (!is_same) {
        forget_twins(twins);
        twins->of = part_ref(f->model->things);
        twins->other = part_ref(other->things);
        twins->n = n;
        twins->n_pins = overview->n_pins;
        memcpy(twins->glob, overview->glob, sizeof twins->glob);
    }
}

void overview_finish(struct view *view)
{
    struct view_overview *overview = &view->overview;
    for (size_t i = 0; i < overview->n_pins; i++) {
        free(overview->pins[i]);
    }
    if (overview->twins != NULL) {
        forget_twins(overview->twins);
        free(overview->twins);
    }
    *overview = (struct view_overview){0};
}

static size_t gather_scalars(struct frame *f, struct overview_scalar *out)
{
    struct view_overview *overview = &f->view->overview;
    overview->n_all = overview->n_shown = 0;
    if (f->model->run != f->view->run) {
        return 0;
    }
    size_t n = overview_gather(f, out);
    if (overview->n_all == 0) {
        return 0;
    }
    find_twins(f, out, n);
    return n;
}

/* ---- one chart ---- */

/* What is said behind the title. */
static void say_note(const struct frame *f, const struct overview_scalar *scalar,
    bool is_smooth, uint64_t n_coarse, char note[WORDS_MAX])
{
    note[0] = '\0';
    if (scalar->n_ranks > scalar->n) {
        (void)snprintf(note, WORDS_MAX, "%zu of %zu ranks", scalar->n, scalar->n_ranks);
    } else if (scalar->n == 1 && scalar->rank[0] > 0) {
        (void)snprintf(note, WORDS_MAX, "@%u", scalar->rank[0]);
    } else if (scalar->ref[0].kind == READING_STEP && f->run->n_ranks > 1) {
        (void)snprintf(note, WORDS_MAX, "all ranks");
    }
    if (is_smooth) {
        size_t at = strlen(note);
        char half_life[FORMAT_MAX];
        (void)snprintf(note + at, WORDS_MAX - at, "%ssmoothed · half-life %s steps",
            at > 0 ? " · " : "", format_count(half_life, llround(f->view->smoothing)));
    }
    (void)words_add_coarse(note, n_coarse);
}

/* The line of the second run, if it has this scalar; true then. */
static bool add_twin(
    struct frame *f, const struct overview_scalar *scalar, struct chart_line *out)
{
    const struct model *other = frame_other(f);
    bool is_step = scalar->ref[0].kind == READING_STEP;
    if (other == NULL || (scalar->twin == 0 && !is_step)) {
        return false;
    }
    struct model_ref ref = scalar->ref[0];
    ref.thing = is_step ? 0 : scalar->twin;
    const struct model_thing *thing = model_thing_find(other, scalar->twin);
    const struct model_run *run = model_run_find(f->model, f->view->other_run);
    *out = frame_other_line(f, frame_other_series(f, ref, false),
        thing != NULL ? thing->cadence : 1, frame_other_color(f->theme));
    out->name = run != NULL ? run->name : NULL;
    return true;
}

/* "pin" in the lower left corner of the chart under the pointer; "pinned" always. */
static void draw_pin(
    struct frame *f, struct draw_rect rect, const struct overview_scalar *scalar)
{
    bool is_pinned = overview_pin_place(f->view, scalar->title) >= 0;
    struct draw_rect at = {rect.x + 4, rect.y + rect.h - 24, 52, 20};
    if ((is_pinned || frame_is_over(f, rect)) && rect.h >= 90) {
        bool is_over = frame_is_over(f, at);
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS,
            is_over ? f->theme->accent : f->theme->secondary, at.x + 8, at.y + 14, at.w,
            is_pinned ? "pinned" : "pin");
        frame_zone(f, at, VIEW_PIN, scalar->ref[0].thing, 0);
    }
}

/* Gives where its plot is. */
static struct draw_rect draw_scalar(struct frame *f, struct draw_rect rect,
    const struct overview_scalar *scalar, size_t color)
{
    struct chart_line lines[2 * OVERVIEW_MAX_RANKS + 2];
    struct chart_line twin;
    size_t n_lines = scalar->n;
    char names[OVERVIEW_MAX_RANKS][16];
    char note[WORDS_MAX];
    uint64_t n_coarse = 0;
    bool is_ready = true;
    bool has_twin = add_twin(f, scalar, &twin);
    bool is_step = scalar->ref[0].kind == READING_STEP;
    const char *title = scalar->title;
    for (size_t i = 0; i < scalar->n; i++) {
        const struct model_series *series = frame_series(f, scalar->ref[i], false);
        is_ready = is_ready && series != NULL && series->is_ready;
        n_coarse += series != NULL ? series->n_coarse : 0;
        size_t at = scalar->n > 1 ? i : f->view->other_run != 0 ? 0 : color;
        lines[i] = frame_line(f, series, scalar->cadence, theme_series(f->theme, at));
        title = is_step ? overview_time_unit(f, &lines[i], i == 0) : title;
        (void)snprintf(names[i], sizeof names[i], "@%u", scalar->rank[i]);
        lines[i].name = scalar->n > 1 ? names[i] : has_twin ? f->run->name : NULL;
    }
    for (size_t i = 0; f->view->smoothing > 0 && i < scalar->n; i++) {
        lines[n_lines++] = frame_smooth(f, &lines[i], f->view->smoothing);
        lines[n_lines - 1].name = lines[i].name;
        lines[i].weight = CHART_FAINT;
        lines[i].name = NULL;
    }
    bool is_smooth = n_lines > scalar->n;
    if (has_twin && is_step) {
        (void)overview_time_unit(f, &twin, false);
    }
    if (has_twin && is_smooth) {
        lines[n_lines++] = frame_smooth(f, &twin, f->view->smoothing);
        twin.weight = CHART_FAINT;
        twin.name = NULL;
    }
    if (has_twin) {
        lines[n_lines++] = twin;
    }
    say_note(f, scalar, is_smooth, n_coarse, note);
    const float aside = 132; /* for the value at the right, and margins */
    char short_title[WORDS_MAX];
    (void)frame_fit_middle(
        f, FONT_STRONG, THEME_SIZE_TEXT, fmaxf(rect.w - aside, 60), title, short_title);
    struct frame_chart chart = {
        .id = frame_id(VIEW_OVERVIEW, scalar->ref[0].thing, scalar->ref[0].kind, 0),
        .n_other = !has_twin   ? 0
                   : is_smooth ? 2
                               : 1,
        .name = title,
        .chart = {.title = short_title,
            .note = note[0] != '\0' ? note : NULL,
            .lines = lines,
            .n_lines = n_lines,
            .empty = is_ready ? NULL : frame_waiting(f, false)},
        .may_log = true,
    };
    draw_fill(f->list, rect, f->theme->panel);
    struct draw_rect plot = frame_chart(f, draw_inset(rect, 8, 6), &chart)->layout.plot;
    draw_pin(f, rect, scalar);
    return plot;
}

/* How the charts stand: the loss takes the left, the others columns x rows at its right. */
struct arrangement {
    size_t columns, rows;  /* of small ones beside the loss */
    size_t per_row, below; /* in a row below, and rows */
};

static struct arrangement arrange(size_t n_others, float w)
{
    struct arrangement a = {.per_row = 4};
    while (a.per_row > 1 &&
           (w - THEME_GAP * (float)(a.per_row - 1)) / (float)a.per_row < MIN_SMALL_W) {
        a.per_row--;
    }
    a.columns = a.per_row < 4 || n_others <= 2 ? 1 : 2;
    size_t most = a.columns == 1 ? 2 : n_others <= 6 ? 3 : 2;
    size_t rows = (n_others + a.columns - 1) / a.columns;
    a.rows = rows < most ? rows : most;
    if (n_others == 0) {
        return (struct arrangement){0, 1, a.per_row, 0};
    }
    size_t beside = a.columns * a.rows;
    if (n_others > beside) {
        a.below = (n_others - beside + a.per_row - 1) / a.per_row;
    }
    return a;
}

/* The whole page: where charts and layers are. */
struct plan {
    struct arrangement a;
    struct draw_rect area;  /* its height is that of the first screen */
    float main_h;           /* the loss and those beside it */
    float below_y, below_h; /* first row of the others, height of each */
    float heat_y, heat_h;   /* 0: no layers */
    float content_h;
};

/* The layers take what their rows need, at most 45 % and more when the charts leave room. They
 * stand below all charts, or right below the first ones when not all fit on the screen. */
static struct plan plan_page(struct draw_rect area, size_t n_scalars, float heat_wish)
{
    const float gap = THEME_GAP;
    struct plan plan = {.a = arrange(n_scalars - 1, area.w), .area = area};
    float n_below = (float)plan.a.below;
    float heat_h = fminf(heat_wish, fmaxf(area.h * 0.45F, 150));
    float heat_all = heat_h > 0 ? heat_h + gap : 0;
    float rest = area.h - heat_all;
    plan.heat_h = heat_h;
    if (plan.a.below == 0) {
        plan.main_h = fmaxf(rest, 200);
        plan.heat_y = plan.main_h + gap;
    } else if (220 + (MIN_SMALL + gap) * n_below <= rest) {
        plan.main_h = fmaxf(rest * (plan.a.below > 1 ? 0.5F : 0.6F), 220);
        plan.below_y = plan.main_h + gap;
        plan.below_h = fmaxf((rest - plan.main_h) / n_below - gap, MIN_SMALL);
        plan.heat_y = plan.below_y + (plan.below_h + gap) * n_below;
    } else {
        plan.main_h = fmaxf(rest - PEEK, 260);
        plan.heat_y = plan.main_h + gap;
        plan.below_y = plan.main_h + gap + heat_all;
        plan.below_h = 150;
    }
    float heat_end = heat_h > 0 ? plan.heat_y + heat_h : plan.main_h;
    float below_end =
        plan.a.below > 0 ? plan.below_y + (plan.below_h + gap) * n_below - gap : 0;
    plan.content_h = fmaxf(heat_end, below_end);
    return plan;
}

/* Where the chart of a scalar stands; 0 is the loss. */
static struct draw_rect place_of(const struct plan *plan, size_t i, size_t n)
{
    const float gap = THEME_GAP;
    const struct arrangement *a = &plan->a;
    const struct draw_rect area = plan->area;
    float part = (area.w - gap * (float)(a->per_row - 1)) / (float)a->per_row;
    float small_w = a->columns == 1 ? fmaxf((area.w - 2 * gap) / 3, 168) : part;
    float small_h = (plan->main_h - gap * (float)(a->rows - 1)) / (float)a->rows;
    float loss_w = area.w - (small_w + gap) * (float)a->columns;
    if (i == 0) {
        return (struct draw_rect){area.x, area.y, loss_w, plan->main_h};
    }
    size_t at = i - 1;
    if (at < a->columns * a->rows) {
        bool is_last = i + 1 == n && a->below == 0;
        size_t n_free = is_last ? a->columns - 1 - at % a->columns : 0;
        return (struct draw_rect){
            area.x + loss_w + gap + (small_w + gap) * (float)(at % a->columns),
            area.y + (small_h + gap) * (float)(at / a->columns),
            small_w + (small_w + gap) * (float)n_free, /* the last one fills its row */
            small_h};
    }
    at -= a->columns * a->rows;
    return (struct draw_rect){area.x + (part + gap) * (float)(at % a->per_row),
        area.y + plan->below_y + (plan->below_h + gap) * (float)(at / a->per_row), part,
        plan->below_h};
}

/* Draw all scalars that are to be seen. Gives where the plot of the first is. */
static struct draw_rect draw_scalars(struct frame *f, const struct plan *plan,
    const struct overview_scalar *scalars, size_t n)
{
    struct draw_rect plot = {0};
    for (size_t i = 0; i < n; i++) {
        struct draw_rect at = place_of(plan, i, n);
        bool is_seen = at.y < f->within.y + f->within.h && at.y + at.h > f->within.y;
        if (i == 0 || is_seen) {
            struct draw_rect drawn = draw_scalar(f, at, &scalars[i], i);
            plot = i == 0 ? drawn : plot;
        }
    }
    return plot;
}

/* Room for "why" or "see where" at the right of the headline. */
static float link_width(const struct frame *f)
{
    return f->model->incidents->n > 0 ? 46 : 88;
}

static void draw_headline(struct frame *f, struct draw_rect row)
{
    char text[WORDS_MAX];
    const struct model_alert *worst =
        f->model->run == f->view->run ? frame_worst_alert(f->model) : NULL;
    enum theme_health health = words_headline_health(f->model, f->run, worst);
    struct draw_rect first = {row.x, row.y, row.w, 28}; /* line of it */
    float y = frame_middle(f, first, FONT_TEXT, THEME_SIZE_TITLE);
    frame_mark(f, health, row.x + 4, first.y + first.h / 2);
    float right = row.x + row.w;
    if (worst != NULL) {
        struct draw_style style = {
            .size = THEME_SIZE_TEXT, .color = f->theme->accent, .align = DRAW_RIGHT};
        bool has_story = f->model->incidents->n > 0;
        (void)draw_string(f->list, right, y, &style, has_story ? "why" : "see where");
        right -= link_width(f);
        if (has_story) {
            frame_zone(f, row, VIEW_PICK_PAGE, VIEW_WHY, 0);
        } else {
            frame_zone(f, row, VIEW_PICK_ALERT, (int64_t)worst->id, 0);
        }
    }
    struct draw_rect words = {row.x + 16, y, right - row.x - 16, 0};
    (void)frame_text_lines(f, FONT_TEXT, THEME_SIZE_TITLE,
        health == THEME_CALM ? f->theme->secondary : f->theme->text, words, HEAD_LINE_H,
        MAX_HEAD_LINES, words_headline(text, f->model, f->run, worst));
}

/* Height of the headline, which may take more than a line. */
static float headline_height(struct frame *f, float w)
{
    char text[WORDS_MAX];
    struct frame_words lines[MAX_HEAD_LINES];
    const struct model_alert *worst =
        f->model->run == f->view->run ? frame_worst_alert(f->model) : NULL;
    size_t n = frame_wrap(f, FONT_TEXT, THEME_SIZE_TITLE,
        words_headline(text, f->model, f->run, worst),
        w - 16 - (worst != NULL ? link_width(f) : 0), lines, MAX_HEAD_LINES);
    return 28 + HEAD_LINE_H * (float)(n > 1 ? n - 1 : 0);
}

/* What there is to draw instead of charts. */
static void draw_none(struct frame *f, float x, float y, float w)
{
    char text[WORDS_MAX];
    const struct view_overview *overview = &f->view->overview;
    (void)snprintf(text, sizeof text, "%s",
        f->model->has_things ? "No scalar has been logged yet." : frame_waiting(f, true));
    if (overview->n_all > 0) {
        (void)snprintf(text, sizeof text,
            "None of %zu scalars has a name like “%s”. g changes it, esc shows all.",
            overview->n_all, overview->glob);
    }
    (void)frame_text(
        f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->secondary, x, y + 20, w, text);
}

void overview_draw(struct frame *f, struct draw_rect rect)
{
    struct view *view = f->view;
    struct overview_scalar *scalars =
        draw_scratch(f->list, OVERVIEW_MAX_SCALARS * sizeof *scalars);
    struct draw_rect inner = draw_inset(rect, VIEW_PAD, 0);
    if (scalars == NULL) {
        return;
    }
    size_t n = gather_scalars(f, scalars);
    const float head_h = headline_height(f, inner.w);
    const float top = head_h + 8 + OVERVIEW_TOOLS_H;
    struct draw_rect area = {inner.x, 0, inner.w, inner.h - top - THEME_GAP};
    float heat_wish = view->tree->n > 0 ? heat_height(f) : 0;
    struct plan plan = {.area = area, .heat_h = fminf(heat_wish, area.h), .heat_y = 40};
    if (n > 0) {
        plan = plan_page(area, n, heat_wish);
    }
    frame_zone(f, rect, VIEW_SCROLL, VIEW_SCROLL_PAGE, 0);
    float scroll = frame_scroll(f, VIEW_SCROLL_PAGE, plan.content_h, area.h);
    plan.area.y = inner.y + top - scroll;
    view->overview.tools_y = inner.y + head_h - scroll;
    draw_headline(f, (struct draw_rect){inner.x, inner.y - scroll, inner.w, head_h});
    overview_tools(f,
        (struct draw_rect){inner.x, inner.y + head_h - scroll, inner.w, OVERVIEW_TOOLS_H});
    struct draw_rect plot = {.x = inner.x + 8 + CHART_GUTTER,
        .w = inner.w * 0.6F}; /* where that of a loss would be */
    if (n > 0) {
        plot = draw_scalars(f, &plan, scalars, n);
    } else {
        draw_none(f, inner.x, plan.area.y, inner.w);
    }
    if (plan.heat_h > 0) {
        struct draw_rect heat = {inner.x, plan.area.y + plan.heat_y, inner.w, plan.heat_h};
        heat_draw(f, heat, plot.x, plot.w);
    }
    frame_scroll_bar(f, (struct draw_rect){rect.x, rect.y, rect.w, rect.h},
        plan.content_h + top, scroll);
}
