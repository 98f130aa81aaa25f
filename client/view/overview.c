/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/view/inside.h"
#include "client/view/words.h"
#include "lib/base/mem.h"

/*
 * The overview: one sentence that says what matters, the loss large, all other scalars small
 * beside and below it, and the layers at a glance.
 */

enum { MAX_SCALARS = 96 };

/* A scalar to be shown. */
struct scalar {
    struct model_ref ref;
    const char *title;
    double cadence;
    int order;
};

/* Pinned ones come first, in this order; the others as the run named them. */
static int order_of(const char *name)
{
    static const char *const pinned[] = {"loss", "train/loss", "train_loss", "lr",
        "learning_rate", "grad_norm", "val/loss", "val_loss"};
    for (size_t i = 0; i < BARO_LEN(pinned); i++) {
        if (strcmp(name, pinned[i]) == 0) {
            return (int)i;
        }
    }
    return (int)BARO_LEN(pinned);
}

static size_t gather_scalars(const struct frame *f, struct scalar *out)
{
    const struct model_things *things = f->model->things;
    size_t n = 0;
    if (f->model->run != f->view->run) {
        return 0;
    }
    for (size_t i = 0; i < things->n && n < MAX_SCALARS - 1; i++) {
        const struct model_thing *thing = &things->at[i];
        if (thing->is_tensor) {
            continue;
        }
        struct scalar scalar = {{thing->thing, READING_SCALAR, 0}, thing->name,
            thing->cadence, order_of(thing->name)};
        size_t at = n++;
        while (at > 0 && out[at - 1].order > scalar.order) {
            out[at] = out[at - 1];
            at--;
        }
        out[at] = scalar;
    }
    if (n > 0) {
        out[n++] = (struct scalar){{0, READING_STEP, 0}, "step time, s", 1, 1000};
    }
    return n;
}

static void draw_scalar(
    struct frame *f, struct draw_rect rect, const struct scalar *scalar, size_t color)
{
    const struct model_series *series = frame_series(f, scalar->ref, false);
    struct chart_line line =
        frame_line(f, series, scalar->cadence, theme_series(f->theme, color));
    struct frame_chart chart = {
        .id = frame_id(VIEW_OVERVIEW, scalar->ref.thing, scalar->ref.kind, 0),
        .chart = {.title = scalar->title,
            .lines = &line,
            .n_lines = 1,
            .empty = series == NULL || !series->is_ready ? "reading" : NULL},
    };
    draw_fill(f->list, rect, f->theme->panel);
    (void)frame_chart(f, draw_inset(rect, 8, 6), &chart);
}

/* How the charts stand: the loss takes the left, the others columns x rows at its right. */
struct arrangement {
    size_t columns, rows; /* of small ones beside the loss */
    size_t below;         /* rows of four below */
};

static struct arrangement arrange(size_t n_others)
{
    if (n_others == 0) {
        return (struct arrangement){0, 1, 0};
    }
    if (n_others <= 2) {
        return (struct arrangement){1, n_others, 0};
    }
    if (n_others <= 4) {
        return (struct arrangement){2, 2, 0};
    }
    if (n_others <= 6) {
        return (struct arrangement){2, 3, 0};
    }
    return (struct arrangement){2, 2, (n_others - 4 + 3) / 4};
}

/* Draw all scalars from y on; gives the height taken. */
static float draw_scalars(struct frame *f, struct draw_rect rect, float height)
{
    struct scalar scalars[MAX_SCALARS];
    size_t n = gather_scalars(f, scalars);
    if (n == 0) {
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->secondary, rect.x,
            rect.y + 20, rect.w,
            f->model->has_things ? "No scalar has been logged yet." : "Reading.");
        return 40;
    }
    const float gap = THEME_GAP;
    struct arrangement a = arrange(n - 1);
    float quarter = (rect.w - 3 * gap) / 4;
    float small_w = a.columns == 1 ? (rect.w - 2 * gap) / 3 : quarter;
    float loss_w = rect.w - (small_w + gap) * (float)a.columns;
    float main_h = a.below > 0 ? fmaxf(height * 0.6F, 220) : height;
    float small_h = (main_h - gap * (float)(a.rows - 1)) / (float)a.rows;
    draw_scalar(f, (struct draw_rect){rect.x, rect.y, loss_w, main_h}, &scalars[0], 0);
    for (size_t i = 1; i < n; i++) {
        size_t at = i - 1;
        struct draw_rect cell = {0, 0, small_w, small_h};
        if (at < a.columns * a.rows) {
            bool is_last = i + 1 == n && a.below == 0;
            size_t n_free = is_last ? a.columns - 1 - at % a.columns : 0;
            cell.w += (small_w + gap) * (float)n_free; /* the last one fills its row */
            cell.x = rect.x + loss_w + gap + (small_w + gap) * (float)(at % a.columns);
            cell.y = rect.y + (small_h + gap) * (float)(at / a.columns);
        } else {
            at -= a.columns * a.rows;
            cell.w = quarter;
            cell.h = fmaxf((height - main_h) / (float)a.below - gap, 110);
            cell.x = rect.x + (quarter + gap) * (float)(at % 4);
            cell.y = rect.y + main_h + gap + (cell.h + gap) * (float)(at / 4);
        }
        draw_scalar(f, cell, &scalars[i], i);
    }
    float below_h = a.below > 0 ? fmaxf((height - main_h) / (float)a.below - gap, 110) : 0;
    return main_h + (below_h + gap) * (float)a.below;
}

static void draw_headline(struct frame *f, struct draw_rect row)
{
    char text[WORDS_MAX];
    const struct model_alert *worst =
        f->model->run == f->view->run ? frame_worst_alert(f->model) : NULL;
    enum theme_health health =
        worst != NULL ? frame_health(worst->level) : words_run_health(f->run);
    float y = frame_middle(f, row, FONT_TEXT, THEME_SIZE_TITLE);
    frame_mark(f, health, row.x + 4, row.y + row.h / 2);
    float right = row.x + row.w;
    if (worst != NULL) {
        struct draw_style style = {
            .size = THEME_SIZE_TEXT, .color = f->theme->accent, .align = DRAW_RIGHT};
        struct draw_rect link = draw_string(f->list, right, y, &style, "see where");
        right = link.x - 16;
        frame_zone(f, row, VIEW_PICK_ALERT, (int64_t)worst->id, 0);
    }
    (void)frame_text(f, FONT_TEXT, THEME_SIZE_TITLE,
        health == THEME_CALM ? f->theme->secondary : f->theme->text, row.x + 16, y,
        right - row.x - 16, words_headline(text, f->model, f->run, worst));
}

void overview_draw(struct frame *f, struct draw_rect rect)
{
    struct view *view = f->view;
    struct draw_rect inner = draw_inset(rect, VIEW_PAD, 0);
    float scroll = view->scroll[VIEW_SCROLL_PAGE];
    frame_zone(f, rect, VIEW_SCROLL, VIEW_SCROLL_PAGE, 0);
    draw_headline(f, (struct draw_rect){inner.x, inner.y - scroll, inner.w, 28});
    bool has_tensors = view->tree->n > 0;
    float top = inner.y + 36;
    float room = inner.h - 36 - THEME_GAP;
    float heat_h = has_tensors ? fminf(heat_height(f), fmaxf(room * 0.45F, 150)) : 0;
    float scalars_h = fmaxf(room - heat_h - (has_tensors ? THEME_GAP : 0), 200);
    struct draw_rect area = {inner.x, top - scroll, inner.w, scalars_h};
    float taken = draw_scalars(f, area, scalars_h) + THEME_GAP;
    if (has_tensors) {
        heat_h = fmaxf(room - taken, heat_h);
        heat_draw(f, (struct draw_rect){inner.x, top + taken - scroll, inner.w, heat_h});
    }
    view->scroll_max[VIEW_SCROLL_PAGE] = fmaxf(taken + heat_h - room, 0);
    view->scroll[VIEW_SCROLL_PAGE] =
        fminf(fmaxf(scroll, 0), view->scroll_max[VIEW_SCROLL_PAGE]);
}
