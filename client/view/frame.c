/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/view/capture.h"
#include "client/view/curves.h"
#include "client/view/inside.h"
#include "client/view/notes.h"
#include "client/view/words.h"
#include "lib/base/mem.h"

/* What every page is built from: zones, slots, curves, words. */

/* ---- zones and slots ---- */

struct draw_rect frame_within(const struct frame *f, struct draw_rect rect)
{
    struct draw_rect all = f->within;
    if (!(all.w > 0)) {
        return rect;
    }
    float x = fmaxf(rect.x, all.x);
    float y = fmaxf(rect.y, all.y);
    float right = fminf(rect.x + rect.w, all.x + all.w);
    float bottom = fminf(rect.y + rect.h, all.y + all.h);
    return (struct draw_rect){x, y, fmaxf(right - x, 0), fmaxf(bottom - y, 0)};
}

void frame_zone(
    struct frame *f, struct draw_rect rect, enum view_act act, int64_t a, int64_t b)
{
    struct view *view = f->view;
    rect = frame_within(f, rect);
    if (view->n_zones < VIEW_MAX_ZONES && rect.w > 0 && rect.h > 0) {
        view->zones[view->n_zones++] = (struct view_zone){rect, act, a, b};
    }
}

bool frame_is_over(const struct frame *f, struct draw_rect rect)
{
    const struct view *view = f->view;
    return view->has_mouse && view->overlay == VIEW_PLAIN && view->drag == DRAG_NONE &&
           draw_inside(rect, view->mx, view->my) &&
           (!(f->within.w > 0) || draw_inside(f->within, view->mx, view->my));
}

uint64_t frame_id(uint32_t page, uint32_t thing, uint32_t kind, uint32_t stat)
{
    return ((uint64_t)(page + 1) << 56) | ((uint64_t)(kind & 0xFF) << 48) |
           ((uint64_t)(stat & 0xFFFF) << 32) | thing;
}

struct view_slot *frame_slot(struct frame *f, uint64_t id)
{
    struct view *view = f->view;
    struct view_slot *oldest = &view->slots[0];
    for (size_t i = 0; i < VIEW_MAX_SLOTS; i++) {
        struct view_slot *slot = &view->slots[i];
        if (slot->id == id) {
            slot->last_frame = view->frame;
            return slot;
        }
        if (slot->last_frame < oldest->last_frame) {
            oldest = slot;
        }
    }
    *oldest = (struct view_slot){.id = id, .hover = -1, .last_frame = view->frame};
    return oldest;
}

/* ---- series ---- */

const struct model_series *frame_series(
    struct frame *f, struct model_ref ref, bool is_coarse)
{
    (void)model_wish_add(&f->view->wish, ref, is_coarse);
    return f->model->run == f->view->run ? model_find(f->model, ref, is_coarse) : NULL;
}

const struct model *frame_other(const struct frame *f)
{
    const struct model *other = f->model->other;
    bool is_there = f->view->other_run != 0 && other != NULL &&
                    other->run == f->view->other_run && other->has_things;
    return is_there ? other : NULL;
}

const struct model_series *frame_other_series(
    struct frame *f, struct model_ref ref, bool is_coarse)
{
    const struct model *other = frame_other(f);
    (void)model_wish_add_other(&f->view->wish, ref, is_coarse);
    return other != NULL ? model_find(other, ref, is_coarse) : NULL;
}

draw_color frame_other_color(const struct theme *theme)
{
    return theme_series(theme, 1);
}

/* Whether a statistic can only be NaN because its tensor is empty: nothing in it was. */
static bool is_without_elements(
    const struct model *model, const struct model_series *series)
{
    const struct model_thing *thing = series->ref.kind == READING_SUMMARY
                                          ? model_thing_find(model, series->ref.thing)
                                          : NULL;
    return thing != NULL && thing->n_nonfinite == 0;
}

/* The columns between two steps, and one beyond at either end, where the line leaves. */
static struct chart_line line_between(struct frame *f, const struct model *model,
    const struct model_series *series, double lo, double hi)
{
    struct chart_line line = {0};
    struct curve curve;
    if (series == NULL || series->n == 0 ||
        !curves_get(f, series, is_without_elements(model, series), &curve)) {
        return line;
    }
    const struct chart_line all = {.columns = curve.columns, .n_columns = curve.n};
    size_t first = chart_line_find(&all, lo);
    size_t end = chart_line_find(&all, nextafter(hi, (double)INFINITY));
    end += end < curve.n && curve.columns[end].from <= hi ? 1 : 0;
    end += end < curve.n ? 1 : 0;
    first -= first > 0 ? 1 : 0;
    line.columns = curve.columns + first;
    line.n_columns = end - first;
    line.memo = curve.memo;
    line.memo_first = first;
    line.n_fixed = curve.n_fixed > first ? curve.n_fixed - first : 0;
    return line;
}

struct chart_column *frame_own_columns(struct frame *f, struct chart_line *line)
{
    struct chart_column *columns =
        draw_scratch(f->list, (line->n_columns + 1) * sizeof *columns);
    if (columns == NULL) {
        line->n_columns = 0;
    } else if (line->n_columns > 0) {
        memcpy(columns, line->columns, line->n_columns * sizeof *columns);
    }
    line->columns = columns;
    line->memo = NULL;
    return columns;
}

static double gap_of(const struct model_series *series, double cadence)
{
    return cadence > 0 && series != NULL ? 4 * cadence + 2 * (double)series->width : 0;
}

struct chart_line frame_line(
    struct frame *f, const struct model_series *series, double cadence, draw_color color)
{
    struct chart_line line = line_between(f, f->model, series, f->view->lo, f->view->hi);
    line.color = color;
    line.gap = gap_of(series, cadence);
    return line;
}

struct chart_line frame_other_line(
    struct frame *f, const struct model_series *series, double cadence, draw_color color)
{
    const struct model_wish *wish = &f->view->wish;
    struct chart_line line = line_between(f, f->model->other, series,
        (double)wish->other_from_step, (double)wish->other_to_step);
    line.color = color;
    line.gap = gap_of(series, cadence);
    line.is_dashed = true;
    return line;
}

struct chart_line frame_smooth(
    struct frame *f, const struct chart_line *line, double half_life)
{
    struct chart_line smooth = *line;
    struct chart_column *columns =
        draw_scratch(f->list, (line->n_columns + 1) * sizeof *columns);
    double sum = 0;
    double weight = 0;
    double before = (double)NAN;
    double lo = (double)INFINITY;
    double hi = -(double)INFINITY;
    smooth.n_columns = 0;
    smooth.memo = NULL;
    for (size_t i = 0; columns != NULL && i < line->n_columns; i++) {
        const struct chart_column *column = &line->columns[i];
        double n = (double)column->count - (double)column->n_nonfinite;
        if (!(n > 0) || !isfinite(column->mean)) {
            columns[smooth.n_columns++] = *column; /* NaN stays NaN */
            continue;
        }
        double keep = isnan(before) ? 0 : exp2((before - column->to) / half_life);
        sum = sum * keep + column->mean * n;
        weight = weight * keep + n;
        before = column->to;
        lo = fmin(lo, column->mean);
        hi = fmax(hi, column->mean);
        double y = fmin(fmax(sum / weight, lo), hi); /* what is constant stays so */
        columns[smooth.n_columns++] = (struct chart_column){.from = column->from,
            .to = column->to,
            .min = y,
            .max = y,
            .mean = y,
            .first = y,
            .last = y,
            .count = 1};
    }
    smooth.columns = columns;
    return smooth;
}

/* ---- charts ---- */

static const float FAR_PX = 1e5F; /* further than any line of a chart */

/* Choose the kind of y axis for a chart shown logarithmically. */
static enum axis_kind log_kind(const struct chart *chart)
{
    for (size_t i = 0; i < chart->n_lines; i++) {
        const struct chart_line *line = &chart->lines[i];
        for (size_t k = 0; k < line->n_columns; k++) {
            const struct chart_column *column = &line->columns[k];
            if (column->count > column->n_nonfinite && column->min <= 0) {
                return AXIS_SYMLOG;
            }
        }
    }
    size_t n_flocks = chart->flock == NULL ? 0 : chart->n_flocks > 0 ? chart->n_flocks : 1;
    for (size_t k = 0; k < n_flocks; k++) {
        const struct chart_flock *flock = &chart->flock[k];
        for (size_t i = 0; i < flock->n * flock->n_lines; i++) {
            if (flock->lo[i] <= 0) {
                return AXIS_SYMLOG;
            }
        }
    }
    return AXIS_LOG;
}

/* Whole decades around all positive readings: the y range of a logarithmic chart. */
void frame_fit_log(struct chart *chart)
{
    double lo = (double)INFINITY;
    double hi = 0;
    for (size_t i = 0; i < chart->n_lines; i++) {
        const struct chart_line *line = &chart->lines[i];
        for (size_t k = 0; k < line->n_columns; k++) {
            const struct chart_column *column = &line->columns[k];
            if (column->count > column->n_nonfinite && column->min > 0) {
                lo = fmin(lo, column->min);
                hi = fmax(hi, column->max);
            }
        }
    }
    size_t n_flocks = chart->flock == NULL ? 0 : chart->n_flocks > 0 ? chart->n_flocks : 1;
    for (size_t k = 0; k < n_flocks; k++) {
        const struct chart_flock *flock = &chart->flock[k];
        for (size_t i = 0; i < flock->n * flock->n_lines; i++) {
            if (flock->lo[i] > 0 && isfinite((double)flock->hi[i])) {
                lo = fmin(lo, (double)flock->lo[i]);
                hi = fmax(hi, (double)flock->hi[i]);
            }
        }
    }
    if (hi > 0 && isfinite(lo)) {
        chart->y_fixed = true;
        /* the logarithm of what lies a rounding below a decade is that of the decade */
        chart->y_lo = fmin(pow(10, floor(log10(lo))), lo);
        chart->y_hi = fmax(pow(10, fmax(ceil(log10(hi)), floor(log10(lo)) + 1)), hi);
    }
}

/* Largest against the geometric mean: beyond this a linear axis shows the largest alone. */
bool frame_is_steep(const struct chart_line *lines, size_t n_lines)
{
    const double steep = 1000;
    struct chart_weight_of all = {0};
    for (size_t i = 0; i < n_lines; i++) {
        chart_weigh(&lines[i], &all);
    }
    return all.n > 0 && all.largest > steep * exp(all.logs / (double)all.n);
}

static void tip_of_hit(struct frame *f, const struct chart *chart, const char *title,
    const struct chart_hit *hit, const struct xmap *map)
{
    char value[FORMAT_MAX];
    char step[96];
    char high[FORMAT_MAX];
    char low[FORMAT_MAX];
    const char *name = chart->lines[hit->line].name;
    frame_tip(f, hit->at.x, hit->at.y);
    frame_tip_line(f, "%s", name != NULL ? name : title);
    if (map != NULL) {
        (void)xaxis_words(step, sizeof step, f->view, map, xaxis_step(map, hit->x));
    } else {
        (void)snprintf(step, sizeof step, "step %s", format_count(value, (int64_t)hit->x));
    }
    if ((hit->flags & (CHART_NAN | CHART_POS_INF | CHART_NEG_INF)) != 0) {
        const char *what = (hit->flags & CHART_NAN) != 0       ? "NaN"
                           : (hit->flags & CHART_POS_INF) != 0 ? "+Inf"
                                                               : "-Inf";
        frame_tip_line(f, "%s at %s", what, step);
    } else if (hit->count > 1) {
        frame_tip_line(f, "%s to %s, mean %s", format_value(low, hit->min),
            format_value(high, hit->max), format_value(value, hit->value));
        frame_tip_line(f, "%u readings from %s", hit->count, step);
    } else {
        frame_tip_line(f, "%s at %s", format_exact(value, hit->value), step);
    }
}

/* The nearest alert to the pointer on this chart gets its sentence said. */
static bool tip_of_alert(struct frame *f, const struct chart_layout *layout)
{
    const struct view *view = f->view;
    for (size_t i = f->model->alerts->n; i > 0; i--) {
        const struct model_alert *alert = &f->model->alerts->at[i - 1];
        float px = xaxis_px(view, layout, (double)alert->step);
        bool is_low = view->my > layout->plot.y + layout->plot.h - 10;
        if (is_low && fabsf(px - view->mx) < 5) {
            frame_tip(f, px, view->my);
            frame_tip_line(f, "%s", alert->text);
            return true;
        }
    }
    return false;
}

/* What is being dragged out in a chart of the page. */
static void draw_selection(struct frame *f, const struct view_slot *slot)
{
    const struct chart_layout *layout = &slot->layout;
    const struct view *view = f->view;
    bool is_brush = view->drag == DRAG_BRUSH && slot == &view->slots[view->drag_slot];
    if (view->drag != DRAG_ZOOM && !is_brush) {
        return;
    }
    float a =
        xaxis_px(view, layout, xaxis_step_at(view, &view->drag_layout, view->drag_x0));
    float b = xaxis_px(view, layout, xaxis_step_at(view, &view->drag_layout, view->mx));
    float left = fmaxf(fminf(a, b), layout->plot.x);
    float right = fminf(fmaxf(a, b), layout->plot.x + layout->plot.w);
    float top = layout->plot.y;
    float bottom = layout->plot.y + layout->plot.h;
    if (is_brush || (view->drag_is_both && slot == &view->slots[view->drag_slot])) {
        top = fmaxf(fminf(view->drag_y0, view->my), top);
        bottom = fminf(fmaxf(view->drag_y0, view->my), bottom);
    }
    if (right > left && bottom > top) {
        struct draw_rect chosen = {left, top, right - left, bottom - top};
        draw_fill(f->list, chosen, draw_fade(f->theme->accent, 0.15F));
        if (is_brush) {
            draw_outline(f->list, chosen, f->theme->accent);
        }
    }
}

/* Put a chart of lines alone on what the x axis counts; false: it counts steps. */
static bool map_chart(struct frame *f, struct frame_chart *of)
{
    const struct xaxis *axis = &f->view->x;
    struct chart *chart = &of->chart;
    if (axis->shown == XAXIS_STEP || chart->flock != NULL || chart->backdrop != NULL) {
        return false;
    }
    struct chart_line *lines = draw_scratch(f->list, (chart->n_lines + 1) * sizeof *lines);
    for (size_t i = 0; lines != NULL && i < chart->n_lines; i++) {
        bool is_other = i + of->n_other >= chart->n_lines;
        lines[i] = chart->lines[i];
        xaxis_map_line(f, is_other ? &axis->other_map : &axis->map, &lines[i]);
    }
    chart->lines = lines;
    chart->n_lines = lines != NULL ? chart->n_lines : 0;
    chart->x.unit = xaxis_unit(axis->shown);
    chart->x.lo = xaxis_of(&axis->map, chart->x.lo);
    chart->x.hi = xaxis_of(&axis->map, chart->x.hi);
    chart->events = f->mapped_events;
    chart->n_events = f->mapped_events != NULL ? f->n_events : 0;
    chart->cursor = xaxis_of(&axis->map, chart->cursor);
    return true;
}

/* A line of one reading is no line: a dot, so that it is seen. */
static void mark_single(
    struct frame *f, const struct chart *chart, const struct chart_layout *layout)
{
    for (size_t i = 0; i < chart->n_lines; i++) {
        const struct chart_line *line = &chart->lines[i];
        const struct chart_column *only = line->columns;
        if (line->n_columns != 1 || only->from < only->to || !isfinite(only->mean) ||
            only->from < chart->x.lo || only->from > chart->x.hi) {
            continue;
        }
        draw_mark(f->list, DRAW_MARK_DOT, chart_px_of_x(layout, only->from),
            chart_px_of_y(layout, only->mean), THEME_MARK - 2, line->color);
    }
}

struct view_slot *frame_chart(
    struct frame *f, struct draw_rect rect, struct frame_chart *of)
{
    struct view *view = f->view;
    struct view_slot *slot = frame_slot(f, of->id);
    struct chart *chart = &of->chart;
    bool is_over = frame_is_over(f, rect);
    const struct chart by_step = *chart;
    chart->x = (struct axis){
        .kind = AXIS_LINEAR, .unit = AXIS_STEP, .lo = view->lo, .hi = view->hi};
    chart->events = f->events;
    chart->n_events = f->n_events;
    chart->cursor = view->cursor;
    const struct axis steps = chart->x;
    bool is_mapped = map_chart(f, of);
    if (of->may_log && !slot->has_chosen && !slot->is_log &&
        frame_is_steep(chart->lines, chart->n_lines)) {
        slot->is_log = true;
        chart_refit(&slot->state);
    }
    if (slot->is_log) {
        chart->y_kind = log_kind(chart);
        if (chart->y_kind == AXIS_LOG) {
            frame_fit_log(chart);
        }
    }
    chart->zero_in_view |= slot->has_zero;
    if (slot->has_y) {
        chart->y_fixed = true;
        chart->y_lo = slot->y_lo;
        chart->y_hi = slot->y_hi;
    }
    if (!is_over) {
        slot->hover = -1;
    }
    if (slot->hover >= 0 && (size_t)slot->hover < chart->n_lines) {
        chart->has_hover = true;
        chart->hover = slot->hover;
    }
    chart_draw(f->list, f->theme, rect, chart, &slot->state, &slot->layout);
    slot->has_layout = true;
    mark_single(f, chart, &slot->layout);
    if (capture_wants(view, slot)) {
        struct chart written = *chart;
        written.title = of->name != NULL ? of->name : chart->title;
        if (is_mapped && view->capture.kind == VIEW_CAPTURE_CSV) {
            written.lines = by_step.lines;
            written.x = steps;
        }
        capture_chart(view, draw_font(f->list), rect, &written, slot);
    }
    draw_selection(f, slot);
    frame_zone(f, rect, VIEW_CHART, slot - view->slots, of->thing);
    struct chart_hit hit;
    int hover = -1;
    if (is_over && draw_inside(slot->layout.plot, view->mx, view->my) &&
        !tip_of_alert(f, &slot->layout) && !notes_tip(f, &slot->layout) && !of->no_tip &&
        chart_hit(chart, &slot->layout, view->mx, view->my, 24, &hit)) {
        hover = (int)hit.line;
        bool is_other = hit.line + of->n_other >= chart->n_lines;
        tip_of_hit(f, chart, of->name != NULL ? of->name : chart->title, &hit,
            !is_mapped ? NULL
            : is_other ? &view->x.other_map
                       : &view->x.map);
        view->under = (struct view_under){true, hit.value};
    } else if (is_over && draw_inside(slot->layout.plot, view->mx, view->my) &&
               chart_hit(chart, &slot->layout, view->mx, view->my, FAR_PX, &hit)) {
        view->under = (struct view_under){true, hit.value}; /* the nearest at the cursor */
    }
    view->is_dirty |= hover != slot->hover;
    slot->hover = hover;
    return slot;
}

/* ---- words ---- */

struct draw_rect frame_text(struct frame *f, enum font_role role, float size,
    draw_color color, float x, float y, float max_w, const char *text)
{
    struct draw_style style = {.role = role, .size = size, .color = color, .max_w = max_w};
    return draw_string(f->list, x, y, &style, text);
}

float frame_middle(struct frame *f, struct draw_rect row, enum font_role role, float size)
{
    float cap = font_cap_height(draw_font(f->list), role, size);
    return row.y + (row.h + cap) / 2;
}

enum theme_health frame_health(enum baro_level level)
{
    switch ((int)level) {
    case BARO_ALARM: return THEME_ALARM;
    case BARO_WATCH: return THEME_WATCH;
    default: return THEME_CALM;
    }
}

void frame_mark(struct frame *f, enum theme_health health, float x, float y)
{
    draw_mark(f->list, theme_health_mark(health), x, y, THEME_MARK,
        theme_health_color(f->theme, health));
}

float frame_switch(struct frame *f, float x, float y, const char *const *words,
    const int64_t *values, size_t n, int64_t chosen, enum view_act act, bool from_right)
{
    const float gap = 18;
    struct font *font = draw_font(f->list);
    float total = 0;
    for (size_t i = 0; i < n; i++) {
        total += font_width(font, FONT_TEXT, THEME_SIZE_TEXT, words[i], strlen(words[i]));
    }
    total += gap * (n > 0 ? (float)(n - 1) : 0);
    float left = from_right ? x - total : x;
    float at = left;
    for (size_t i = 0; i < n; i++) {
        bool is_chosen = values[i] == chosen;
        struct draw_rect box = draw_string_box(
            f->list, at, y, &(struct draw_style){.size = THEME_SIZE_TEXT}, words[i]);
        struct draw_rect zone = {at - gap / 2, y - 17, box.w + gap, 24};
        draw_color color = is_chosen                ? f->theme->text
                           : frame_is_over(f, zone) ? f->theme->accent
                                                    : f->theme->secondary;
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_TEXT, color, at, y, 0, words[i]);
        if (is_chosen) {
            draw_fill(f->list, (struct draw_rect){at, y + 6, box.w, 2}, f->theme->accent);
        }
        frame_zone(f, zone, act, values[i], 0);
        at += box.w + gap;
    }
    return left;
}

/* ---- scrolling ---- */

float frame_scroll(
    struct frame *f, enum view_scroll which, float content_h, float visible_h)
{
    struct view *view = f->view;
    view->scroll_max[which] = fmaxf(content_h - visible_h, 0);
    view->scroll[which] = fminf(fmaxf(view->scroll[which], 0), view->scroll_max[which]);
    return view->scroll[which];
}

void frame_scroll_bar(struct frame *f, struct draw_rect rect, float content_h, float scroll)
{
    if (content_h <= rect.h) {
        return;
    }
    float h = fmaxf(rect.h * rect.h / content_h, 16);
    float y = rect.y + (rect.h - h) * scroll / (content_h - rect.h);
    draw_fill(f->list, (struct draw_rect){rect.x + rect.w - 4, y, 3, h}, f->theme->faint);
}

/* ---- alerts ---- */

/* What an alarm of NaN or Inf is about; NULL when it is another alert. */
static const struct model_thing *nonfinite_thing(
    const struct model *model, const struct model_alert *alert)
{
    return alert->level == BARO_ALARM && strcmp(alert->kind, "nonfinite") == 0
               ? model_thing_find(model, alert->thing)
               : NULL;
}

/* In a step the loss comes before all gradients, though it is logged after them: the alert of a
 * loss that was spoilt no later than a gradient, of the same incident; NULL if there is none. */
static const struct model_alert *loss_before(
    const struct model *model, const struct model_alert *first)
{
    for (size_t i = 0; i < model->alerts->n; i++) {
        const struct model_alert *alert = &model->alerts->at[i];
        const struct model_thing *thing = nonfinite_thing(model, alert);
        if (thing != NULL && words_is_loss(thing) && alert->incident == first->incident &&
            alert->step <= first->step) {
            return alert;
        }
    }
    return NULL;
}

const struct model_alert *frame_origin(const struct model *model)
{
    for (size_t i = 0; i < model->alerts->n; i++) {
        const struct model_alert *alert = &model->alerts->at[i];
        const struct model_thing *thing = nonfinite_thing(model, alert);
        if (thing == NULL || !thing->is_tensor) {
            continue;
        }
        bool is_forward = thing->role == BARO_ACT || thing->role == BARO_INPUT;
        const struct model_alert *loss = is_forward ? NULL : loss_before(model, alert);
        return loss != NULL ? loss : alert;
    }
    return NULL;
}

const struct model_alert *frame_worst_alert(const struct model *model)
{
    const struct model_alert *worst = frame_origin(model);
    for (size_t i = 0; worst == NULL && i < model->alerts->n; i++) {
        const struct model_alert *alert = &model->alerts->at[i];
        if (alert->level == BARO_ALARM) {
            worst = alert;
        }
    }
    return worst != NULL || model->alerts->n == 0 ? worst : &model->alerts->at[0];
}
