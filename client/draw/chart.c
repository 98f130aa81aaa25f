/* SPDX-License-Identifier: Apache-2.0 */
#include "client/draw/chart.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/draw/chart_inside.h"

/*
 * Layout, from outside in: a title row with the value at its right; below it the plot, with
 * y labels in the gutter at its left, direct labels of the lines at its right, x labels under
 * it. Texts are placed in the order of their weight (title, value, cursor, line labels, ticks)
 * and give way when there is no room: none is ever cut or touches another.
 */

enum { MAX_LABELS = 24, LABEL_BYTES = 128, NOTE_BYTES = 160, MAX_TICKS = 7 };

#define TITLE_ROW  26.0F /* above the plot */
#define X_ROW      24.0F /* below it, with x labels */
#define BARE_ROW   8.0F  /* below it, without */
#define RIGHT_ROOM 12.0F
#define LABEL_ROW  14.0F /* one direct label */
#define LABEL_GAP  8.0F  /* from the plot to its direct labels */
#define SMALL_W    150.0F
#define SMALL_H    72.0F
#define TICK_APART 30.0F /* y ticks are at least about this far apart, */
#define TICK_LEAST 17.0F /* where there would be fewer than three: so far at least */

static struct draw_style axis_style(const struct theme *theme, enum draw_align align)
{
    return (struct draw_style){.role = FONT_MONO,
        .size = THEME_SIZE_AXIS,
        .color = theme->secondary,
        .align = align};
}

static struct draw_style label_style(const struct theme *theme, draw_color color)
{
    return (struct draw_style){.role = FONT_TEXT, .size = THEME_SIZE_AXIS, .color = color};
}

/* Width that the direct labels need: the widest name, at most a quarter of the chart. */
static float label_room(struct draw_list *list, const struct chart *chart, float w)
{
    float widest = 0;
    size_t n = 0;
    for (size_t i = 0; i < chart->n_lines; i++) {
        const char *name = chart->lines[i].name;
        if (name != NULL && name[0] != '\0') {
            float name_w =
                font_width(draw_font(list), FONT_TEXT, THEME_SIZE_AXIS, name, strlen(name));
            widest = name_w > widest ? name_w : widest;
            n++;
        }
    }
    if (chart->widest != NULL) {
        n++;
        widest = font_width(draw_font(list), FONT_STRONG, THEME_SIZE_AXIS, chart->widest,
            strlen(chart->widest));
    }
    if (n == 0 || w < 2 * SMALL_W) {
        return RIGHT_ROOM;
    }
    float room = widest < w / 4 ? widest : w / 4;
    return LABEL_GAP + room + 4;
}

static float snap(float value, float scale)
{
    return roundf(value * scale) / scale;
}

/* Where the plot lies in the chart. */
static struct draw_rect plot_rect(
    struct draw_list *list, const struct chart *chart, struct draw_rect rect)
{
    float scale = draw_scale(list);
    float left = 0, top = 0, right = 0, bottom = 0;
    if (!chart->sparkline && rect.w >= SMALL_W && rect.h >= SMALL_H) {
        left = CHART_GUTTER;
        top = TITLE_ROW;
        right = label_room(list, chart, rect.w);
        bottom = chart->no_x_labels ? BARE_ROW : X_ROW;
    } else if (!chart->sparkline) {
        left = right = top = bottom = 4;
    }
    float x0 = snap(rect.x + left, scale), y0 = snap(rect.y + top, scale);
    float x1 = snap(rect.x + rect.w - right, scale);
    float y1 = snap(rect.y + rect.h - bottom, scale);
    float least = 2 / scale;
    return (struct draw_rect){
        x0, y0, x1 - x0 > least ? x1 - x0 : least, y1 - y0 > least ? y1 - y0 : least};
}

static bool has_labels(const struct chart_pen *pen)
{
    return !pen->chart->sparkline && pen->rect.w >= SMALL_W && pen->rect.h >= SMALL_H;
}

/* Whether all y labels fit above each other. */
static bool y_labels_fit(const struct chart_scale *scale, const struct ticks *ticks)
{
    for (int i = 1; i < ticks->n; i++) {
        if (fabsf(chart_row_of(scale, ticks->at[i]) -
                  chart_row_of(scale, ticks->at[i - 1])) < TICK_LEAST) {
            return false;
        }
    }
    return true;
}

/* Ticks with air between them; nearer to each other where there would be fewer than three. */
static void choose_y_ticks(const struct chart_pen *pen, struct ticks *out)
{
    const struct chart_scale *scale = &pen->scale;
    struct axis y = scale->y;
    struct ticks more;
    y.unit = pen->chart->y_whole && y.kind == AXIS_LINEAR ? AXIS_STEP : y.unit;
    int max_n = (int)(scale->plot.h / TICK_APART) + 1;
    ticks_choose(&y, max_n, out);
    while (out->n < 3 && ++max_n <= MAX_TICKS) {
        ticks_choose(&y, max_n, &more);
        if (!y_labels_fit(scale, &more)) {
            break;
        }
        *out = more;
    }
}

static void draw_y_ticks(struct chart_pen *pen)
{
    const struct chart_scale *scale = &pen->scale;
    const struct theme *theme = pen->theme;
    struct ticks ticks;
    choose_y_ticks(pen, &ticks);
    for (int i = 0; i < ticks.n_minor; i++) {
        draw_hair_h(pen->list, scale->plot.x, chart_row_of(scale, ticks.minor[i]),
            scale->plot.w, 0, draw_fade(theme->grid, 0.55F));
    }
    struct draw_style style = axis_style(theme, DRAW_RIGHT);
    style.color = draw_mix(theme->secondary, theme->faint, 0.3F);
    for (int i = 0; i < ticks.n; i++) {
        float y = chart_row_of(scale, ticks.at[i]);
        draw_color grid =
            ticks.at[i] == 0 && scale->y.lo < 0 ? theme->hairline : theme->grid;
        if (y < scale->plot.y + scale->plot.h - 1) {
            draw_hair_h(pen->list, scale->plot.x, y, scale->plot.w, 0, grid);
        }
    }
    for (int i = 0; i < ticks.n; i++) {
        float y = chart_row_of(scale, ticks.at[i]);
        (void)chart_place(pen, scale->plot.x - 8, y + 4, &style, ticks.label[i]);
    }
    if (ticks.base[0] != '\0') {
        style.color = theme->faint;
        (void)chart_place(pen, scale->plot.x - 8, scale->plot.y - 6, &style, ticks.base);
    }
}

/* Whether all x labels fit beside each other. */
static bool x_labels_fit(struct chart_pen *pen, const struct ticks *ticks)
{
    const struct chart_scale *scale = &pen->scale;
    float end = -1e9F;
    for (int i = 0; i < ticks->n; i++) {
        float w = font_width(draw_font(pen->list), FONT_MONO, THEME_SIZE_AXIS,
            ticks->label[i], strlen(ticks->label[i]));
        float x =
            (float)(scale->x_px + chart_column_of(scale, ticks->at[i])) / scale->scale;
        if (x - w / 2 < end + 16) {
            return false;
        }
        end = x + w / 2;
    }
    return true;
}

static void draw_x_ticks(struct chart_pen *pen)
{
    const struct chart_scale *scale = &pen->scale;
    const float bottom = scale->plot.y + scale->plot.h;
    draw_hair_h(pen->list, scale->plot.x, bottom, scale->plot.w, 0, pen->theme->hairline);
    if (pen->chart->no_x_labels) {
        return;
    }
    struct ticks ticks;
    int max_n = MAX_TICKS;
    ticks_choose(&scale->x, max_n, &ticks);
    while (max_n > 2 && !x_labels_fit(pen, &ticks)) {
        max_n--;
        ticks_choose(&scale->x, max_n, &ticks);
    }
    struct draw_style style = axis_style(pen->theme, DRAW_CENTER);
    style.color = draw_mix(pen->theme->secondary, pen->theme->faint, 0.3F);
    for (int i = 0; i < ticks.n; i++) {
        int column = (int)chart_column_of(scale, ticks.at[i]);
        float x = (float)(scale->x_px + column) / scale->scale;
        draw_hair_v(pen->list, x, bottom, 4, 0, pen->theme->hairline);
        float middle = x + 0.5F / scale->scale;
        float half = font_width(draw_font(pen->list), style.role, style.size,
                         ticks.label[i], strlen(ticks.label[i])) /
                     2;
        float most = pen->rect.x + pen->rect.w - half;
        middle = middle > most ? most : middle;
        (void)chart_place(pen, middle, bottom + 17, &style, ticks.label[i]);
    }
}

/* What a line shows at its end or under the cursor. */
static bool current(const struct chart_pen *pen, size_t line, struct chart_hit *out)
{
    const struct chart_scale *scale = &pen->scale;
    const struct chart_layout layout = {pen->rect, scale->plot, scale->x, scale->y};
    double at = pen->chart->cursor;
    if (!(at >= scale->x.lo && at <= scale->x.hi)) {
        const struct chart_line *l = &pen->chart->lines[line];
        size_t n = l->points != NULL ? l->n_points : l->n_columns;
        if (n == 0) {
            return false;
        }
        double last = l->points != NULL ? l->points[n - 1].x : l->columns[n - 1].to;
        at = last < scale->x.hi ? last : scale->x.hi;
    }
    return chart_read(pen->chart, &layout, line, at, out);
}

/* The value of the one line that the title row speaks of: hovered, selected or only. */
static void draw_value(struct chart_pen *pen, float *out_w)
{
    const struct chart *chart = pen->chart;
    size_t line = chart->n_lines;
    size_t n_named = 0;
    for (size_t i = chart->n_lines; i-- > 0;) {
        line = chart->lines[i].weight == CHART_NORMAL && !chart->no_value ? i : line;
        n_named += chart->lines[i].weight != CHART_FAINT;
    }
    for (size_t i = 0; i < chart->n_lines; i++) {
        line = chart->lines[i].weight == CHART_SELECTED ? i : line;
    }
    if (chart->has_hover && chart->hover >= 0 && (size_t)chart->hover < chart->n_lines) {
        line = (size_t)chart->hover;
    }
    struct chart_hit hit;
    *out_w = 0;
    if (line == chart->n_lines || !current(pen, line, &hit)) {
        return;
    }
    char value[FORMAT_MAX], lo[FORMAT_MAX], hi[FORMAT_MAX], text[3 * FORMAT_MAX + 16];
    (void)format_value(value, hit.value);
    bool is_range = hit.count > 1 && hit.min < hit.max;
    (void)snprintf(text, sizeof text, is_range ? "%s  (%s to %s)" : "%s", value,
        format_value(lo, hit.min), format_value(hi, hit.max));
    struct draw_style style = {.role = FONT_MONO,
        .size = THEME_SIZE_TEXT,
        .color = !isfinite(hit.value) ? pen->theme->alarm
                 : n_named > 1        ? chart->lines[line].color
                                      : pen->theme->text,
        .align = DRAW_RIGHT};
    float right = pen->scale.plot.x + pen->scale.plot.w;
    if (is_range &&
        draw_string_box(pen->list, right, 0, &style, text).w > pen->scale.plot.w / 2) {
        (void)snprintf(text, sizeof text, "%s", value);
    }
    if (chart_place(pen, right, pen->rect.y + 15, &style, text)) {
        *out_w = pen->texts[pen->n_texts - 1].w;
    }
}

/* What stands behind the title; where it would be cut, without its last " · parts", or at all. */
static void fit_note(struct chart_pen *pen, const struct draw_style *style,
    const char *note, const char *kind, char out[NOTE_BYTES])
{
    static const char dot[] = " · ";
    struct font *font = draw_font(pen->list);
    size_t n = strlen(note);
    for (;;) {
        (void)snprintf(out, NOTE_BYTES, "%.*s%s%s", (int)n, note,
            n > 0 && kind[0] != '\0' ? ", " : "", kind);
        size_t last = n > 0 ? n - 1 : 0; /* before where it ends now */
        while (last > 0 && strncmp(note + last, dot, sizeof dot - 1) != 0) {
            last--;
        }
        if (n == 0 ||
            font_width(font, style->role, style->size, out, strlen(out)) <= style->max_w) {
            break;
        }
        n = last;
    }
}

static void draw_title(struct chart_pen *pen, float taken)
{
    const struct chart *chart = pen->chart;
    const float x = pen->scale.plot.x - CHART_GUTTER + 12;
    const float baseline = pen->rect.y + 15;
    float room = pen->scale.plot.x + pen->scale.plot.w - x - (taken > 0 ? taken + 12 : 0);
    struct draw_style style = {.role = FONT_STRONG,
        .size = THEME_SIZE_TEXT,
        .color = pen->theme->text,
        .max_w = room};
    char note[NOTE_BYTES];
    const char *kind = pen->scale.y.kind == AXIS_LOG      ? "log"
                       : pen->scale.y.kind == AXIS_SYMLOG ? "symlog"
                                                          : "";
    if (chart->title != NULL && room > 24 &&
        chart_place(pen, x, baseline, &style, chart->title)) {
        float w = pen->texts[pen->n_texts - 1].w;
        style = label_style(pen->theme, pen->theme->secondary);
        style.max_w = room - w - 8;
        if (style.max_w > 24) {
            fit_note(pen, &style, chart->note != NULL ? chart->note : "", kind, note);
            (void)chart_place(pen, x + w + 8, baseline, &style, note);
        }
    }
}

/* A direct label: wanted row, row after moving apart, and its line. */
struct label {
    float want, y;
    size_t line;
    int weight; /* which stay when there is not room for all */
};

/* Collect what has a name, sorted by row. */
static size_t collect_labels(const struct chart_pen *pen, struct label *labels)
{
    const struct chart *chart = pen->chart;
    const struct draw_rect plot = pen->scale.plot;
    size_t n = 0;
    for (size_t i = 0; i < chart->n_lines && n < MAX_LABELS; i++) {
        const struct chart_line *line = &chart->lines[i];
        struct chart_hit hit;
        if (line->name == NULL || line->name[0] == '\0' || !current(pen, i, &hit)) {
            continue;
        }
        bool hovered = chart->has_hover && (size_t)chart->hover == i;
        float want = isfinite(hit.value) ? hit.at.y : plot.y + plot.h;
        want = want < plot.y ? plot.y : want > plot.y + plot.h ? plot.y + plot.h : want;
        struct label label = {.want = want,
            .line = i,
            .weight = hovered                          ? 3
                      : line->weight == CHART_SELECTED ? 2
                      : line->alarmed                  ? 1
                                                       : 0};
        size_t at = n++;
        while (at > 0 && labels[at - 1].want > want) {
            labels[at] = labels[at - 1];
            at--;
        }
        labels[at] = label;
    }
    return n;
}

/* Drop the least weighty labels until the rest fit. */
static size_t thin_labels(struct label *labels, size_t n, size_t room)
{
    while (n > room) {
        size_t least = n - 1;
        for (size_t i = n; i-- > 0;) {
            least = labels[i].weight < labels[least].weight ? i : least;
        }
        memmove(&labels[least], &labels[least + 1], (n - least - 1) * sizeof *labels);
        n--;
    }
    return n;
}

/* Move labels apart, each as little as the order allows, inside [top, bottom]. */
static void spread_labels(struct label *labels, size_t n, float top, float bottom)
{
    float least = top;
    for (size_t i = 0; i < n; i++) {
        labels[i].y = labels[i].want > least ? labels[i].want : least;
        least = labels[i].y + LABEL_ROW;
    }
    float most = bottom;
    for (size_t i = n; i-- > 0;) {
        labels[i].y = labels[i].y < most ? labels[i].y : most;
        most = labels[i].y - LABEL_ROW;
    }
}

/* A name without its last " · word" where that would be cut. */
static const char *whole_words(struct chart_pen *pen, const struct draw_style *style,
    const char *name, char out[LABEL_BYTES])
{
    static const char dot[] = " · ";
    const char *from = NULL;
    for (const char *at = strstr(name, dot); at != NULL; at = strstr(at + 1, dot)) {
        from = at;
    }
    size_t n = strlen(name);
    float w = font_width(draw_font(pen->list), style->role, style->size, name, n);
    if (from == NULL || w <= style->max_w || (size_t)(from - name) >= LABEL_BYTES) {
        return name;
    }
    (void)snprintf(out, LABEL_BYTES, "%.*s", (int)(from - name), name);
    return out;
}

static void draw_line_labels(struct chart_pen *pen)
{
    struct label labels[MAX_LABELS];
    const struct draw_rect plot = pen->scale.plot;
    const float right = plot.x + plot.w;
    const float room = pen->rect.x + pen->rect.w - right - LABEL_GAP;
    if (room < 12) {
        return;
    }
    size_t n = collect_labels(pen, labels);
    n = thin_labels(labels, n, (size_t)(plot.h / LABEL_ROW) + 1);
    spread_labels(labels, n, plot.y + 2, plot.y + plot.h - 2);
    for (size_t i = 0; i < n; i++) {
        const struct chart_line *line = &pen->chart->lines[labels[i].line];
        bool hovered = pen->chart->has_hover && (size_t)pen->chart->hover == labels[i].line;
        struct draw_style style = label_style(pen->theme, line->color);
        style.role = hovered || line->weight == CHART_SELECTED ? FONT_STRONG : FONT_TEXT;
        style.max_w = room;
        if (fabsf(labels[i].y - labels[i].want) > 3) {
            const struct draw_point lead[] = {
                {right + 1, labels[i].want}, {right + LABEL_GAP - 2, labels[i].y}};
            draw_polyline(pen->list, lead, 2, 1, draw_fade(line->color, 0.5F));
        }
        char name[LABEL_BYTES];
        (void)chart_place(pen, right + LABEL_GAP, labels[i].y + 4, &style,
            whole_words(pen, &style, line->name, name));
    }
}

/* The picture behind the lines, where it belongs. */
static void draw_backdrop(struct chart_pen *pen)
{
    const struct chart_backdrop *backdrop = pen->chart->backdrop;
    const struct chart_scale *scale = &pen->scale;
    if (backdrop == NULL || backdrop->n_columns == 0 || backdrop->n_rows == 0) {
        return;
    }
    float x0 = (float)(scale->x_px + chart_column_of(scale, backdrop->x_from) - 0.5) /
               scale->scale;
    float x1 =
        (float)(scale->x_px + chart_column_of(scale, backdrop->x_to) + 0.5) / scale->scale;
    float y0 = chart_row_of(scale, backdrop->y_hi);
    float y1 = chart_row_of(scale, backdrop->y_lo);
    draw_cells(pen->list, (struct draw_rect){x0, y0, x1 - x0, y1 - y0}, backdrop->colors,
        backdrop->n_columns, backdrop->n_rows);
}

static void draw_lines(struct chart_pen *pen)
{
    const struct chart *chart = pen->chart;
    const struct draw_rect plot = pen->scale.plot;
    const enum chart_weight order[] = {CHART_FAINT, CHART_NORMAL, CHART_SELECTED};
    draw_clip(pen->list, (struct draw_rect){plot.x, plot.y, plot.w, plot.h + 1});
    draw_backdrop(pen);
    for (size_t i = 0; i < chart_n_flocks(chart); i++) {
        chart_draw_flock(pen, &chart->flock[i]);
    }
    for (size_t w = 0; w < sizeof order / sizeof order[0]; w++) {
        for (size_t i = 0; i < chart->n_lines; i++) {
            bool hovered = chart->has_hover && (size_t)chart->hover == i;
            if (chart->lines[i].weight == order[w] && !hovered) {
                chart_draw_line(pen, &chart->lines[i], false);
            }
        }
    }
    if (chart->has_hover && chart->hover >= 0 && (size_t)chart->hover < chart->n_lines) {
        chart_draw_line(pen, &chart->lines[chart->hover], true);
    }
    draw_unclip(pen->list);
}

static bool is_empty(const struct chart *chart)
{
    for (size_t i = 0; i < chart->n_lines; i++) {
        const struct chart_line *line = &chart->lines[i];
        if ((line->points != NULL ? line->n_points : line->n_columns) > 0) {
            return false;
        }
    }
    for (size_t i = 0; i < chart_n_flocks(chart); i++) {
        if (chart->flock[i].n > 0 && chart->flock[i].n_lines > 0) {
            return false;
        }
    }
    return true;
}

static void draw_empty(struct chart_pen *pen)
{
    struct draw_style style = label_style(pen->theme, pen->theme->faint);
    const struct draw_rect plot = pen->scale.plot;
    const char *text = pen->chart->empty != NULL ? pen->chart->empty : "no data";
    style.align = DRAW_CENTER;
    style.max_w = plot.w;
    (void)chart_place(pen, plot.x + plot.w / 2, plot.y + plot.h / 2 + 4, &style, text);
}

static struct axis good_x(const struct axis *x)
{
    struct axis axis = *x;
    axis.linear_to = axis.linear_to > 0 ? axis.linear_to : 1;
    if (axis.kind == AXIS_LOG && !(axis.lo > 0)) {
        axis.kind = AXIS_LINEAR;
    }
    if (!(axis.lo < axis.hi)) {
        axis.lo = isfinite(axis.lo) ? axis.lo : 0;
        axis.hi = axis.lo + 1;
    }
    return axis;
}

/* Everything with words: in the order of weight, since later ones give way. */
static void draw_words(struct chart_pen *pen)
{
    float taken = 0;
    draw_value(pen, &taken);
    draw_title(pen, taken);
    chart_draw_cursor_label(pen);
    draw_line_labels(pen);
    if (!is_empty(pen->chart)) {
        draw_y_ticks(pen); /* an empty chart has no scale to show */
    }
    draw_x_ticks(pen);
}

void chart_draw(struct draw_list *list, const struct theme *theme, struct draw_rect rect,
    const struct chart *chart, struct chart_state *state, struct chart_layout *out)
{
    struct chart_pen pen = {.list = list, .theme = theme, .chart = chart, .rect = rect};
    pen.scale.plot = plot_rect(list, chart, rect);
    pen.scale.scale = draw_scale(list);
    pen.scale.x_px = (int)lroundf(pen.scale.plot.x * pen.scale.scale);
    pen.scale.n_px = (int)lroundf(pen.scale.plot.w * pen.scale.scale);
    pen.scale.n_px = pen.scale.n_px < 2 ? 2 : pen.scale.n_px;
    pen.scale.x = good_x(&chart->x);
    pen.scale.y = chart_fit_y(list, chart, state);
    chart_scale_init(&pen.scale);
    if (out != NULL) {
        *out = (struct chart_layout){rect, pen.scale.plot, pen.scale.x, pen.scale.y};
    }
    pen.edges = draw_scratch(list, (size_t)pen.scale.n_px);
    if (pen.edges == NULL) {
        return;
    }
    memset(pen.edges, 0, (size_t)pen.scale.n_px);
    if (has_labels(&pen)) {
        draw_words(&pen);
    }
    if (is_empty(chart)) {
        draw_empty(&pen);
        return;
    }
    chart_draw_events(&pen);
    draw_lines(&pen);
    chart_draw_edges(&pen);
    chart_draw_cursor(&pen);
}
