/* SPDX-License-Identifier: Apache-2.0 */
#include "client/view/capture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/draw/draw_vector.h"

/*
 * What is written is what the chart shows: the visible readings of its lines, one row each, or one
 * a column where several share it. Of a flock of units it is the rows in their order. Numbers have
 * as many digits as it takes to read back the same; NaN and infinities are words.
 */

static const char HEAD[] = "line,from_step,to_step,mean,min,max,count,n_nonfinite\n";

static void print_number(FILE *out, double value)
{
    if (isnan(value)) {
        (void)fputs(",nan", out);
    } else if (isinf(value)) {
        (void)fputs(value > 0 ? ",inf" : ",-inf", out);
    } else {
        (void)fprintf(out, ",%.17g", value);
    }
}

/* A name as one field; quotes within are doubled. */
static void print_name(FILE *out, const char *name)
{
    (void)fputc('"', out);
    for (const char *c = name; *c != '\0'; c++) {
        if (*c == '"') {
            (void)fputc('"', out);
        }
        (void)fputc(*c, out);
    }
    (void)fputc('"', out);
}

/* What the mean of a column is where nothing in it is finite: which of the three it was. */
static double nonfinite(uint32_t flags)
{
    return (flags & CHART_POS_INF) != 0 && (flags & (CHART_NAN | CHART_NEG_INF)) == 0
               ? (double)INFINITY
           : (flags & CHART_NEG_INF) != 0 && (flags & (CHART_NAN | CHART_POS_INF)) == 0
               ? -(double)INFINITY
               : (double)NAN;
}

static void print_column(FILE *out, const char *name, const struct chart_column *column)
{
    bool is_finite = column->count > column->n_nonfinite;
    double none = is_finite ? 0 : nonfinite(column->flags);
    print_name(out, name);
    print_number(out, column->from);
    print_number(out, column->to);
    print_number(out, is_finite ? column->mean : none);
    print_number(out, is_finite ? column->min : none);
    print_number(out, is_finite ? column->max : none);
    (void)fprintf(out, ",%u,%u\n", column->count, column->n_nonfinite);
}

static void print_line(
    FILE *out, const struct chart_line *line, const char *name, const struct axis *x)
{
    for (size_t i = 0; line->points == NULL && i < line->n_columns; i++) {
        if (line->columns[i].to >= x->lo && line->columns[i].from <= x->hi) {
            print_column(out, name, &line->columns[i]);
        }
    }
    for (size_t i = 0; line->points != NULL && i < line->n_points; i++) {
        double value = line->points[i].y;
        const struct chart_column column = {.from = line->points[i].x,
            .to = line->points[i].x,
            .mean = value,
            .min = value,
            .max = value,
            .count = 1,
            .n_nonfinite = isfinite(value) ? 0 : 1,
            .flags = isinf(value) ? value > 0 ? CHART_POS_INF : CHART_NEG_INF : 0};
        if (column.from >= x->lo && column.from <= x->hi) {
            print_column(out, name, &column);
        }
    }
}

static void print_flock(
    FILE *out, const struct chart_flock *flock, size_t number, const struct axis *x)
{
    for (size_t line = 0; line < flock->n_lines; line++) {
        for (size_t i = 0; i < flock->n; i++) {
            double lo = (double)flock->lo[line * flock->n + i];
            double hi = flock->hi != NULL ? (double)flock->hi[line * flock->n + i] : lo;
            if (flock->x[i] < x->lo || flock->x[i] > x->hi || isnan(lo)) {
                continue;
            }
            (void)fprintf(out, "\"behind %zu.%zu\"", number + 1, line + 1);
            print_number(out, flock->x[i]);
            print_number(out, flock->x[i]);
            print_number(out, (lo + hi) / 2);
            print_number(out, lo);
            print_number(out, hi);
            (void)fputs(",,\n", out);
        }
    }
}

static void print_csv(FILE *out, const struct chart *chart)
{
    size_t n_flocks = chart->n_flocks > 0 ? chart->n_flocks : 1;
    const char *title = chart->title != NULL ? chart->title : "";
    (void)fputs(HEAD, out);
    for (size_t i = 0; i < chart->n_lines; i++) {
        const struct chart_line *line = &chart->lines[i];
        print_line(out, line, line->name != NULL ? line->name : title, &chart->x);
    }
    for (size_t i = 0; chart->flock != NULL && i < n_flocks; i++) {
        print_flock(out, &chart->flock[i], i, &chart->x);
    }
}

/* The chart alone, without what the pointer adds. */
static void print_svg(FILE *out, const struct view *view, struct font *font,
    struct draw_rect rect, const struct chart *chart, const struct view_slot *slot)
{
    struct draw_list *list = draw_create(font, 0);
    struct chart alone = *chart;
    struct chart_state state = slot->state;
    alone.cursor = (double)NAN;
    alone.has_hover = false;
    draw_begin(list, rect.w + 16, rect.h + 16, view->theme->panel);
    chart_draw(
        list, view->theme, (struct draw_rect){8, 8, rect.w, rect.h}, &alone, &state, NULL);
    (void)draw_svg_print(list, "chart", out);
    draw_destroy(list);
}

bool capture_ask(struct view *view, enum view_capture_kind kind)
{
    const struct view_zone *found = NULL;
    for (size_t i = 0; i < view->n_zones; i++) {
        const struct view_zone *zone = &view->zones[i];
        bool is_under = view->has_mouse && draw_inside(zone->rect, view->mx, view->my);
        if (zone->act == VIEW_CHART && (found == NULL || is_under)) {
            found = zone;
        }
    }
    capture_clear(view);
    if (found != NULL) {
        view->capture.kind = kind;
        view->capture.id = view->slots[found->a].id;
    }
    return found != NULL;
}

bool capture_wants(const struct view *view, const struct view_slot *slot)
{
    return view->capture.kind != VIEW_CAPTURE_NONE && view->capture.text == NULL &&
           slot->id == view->capture.id;
}

void capture_chart(struct view *view, struct font *font, struct draw_rect rect,
    const struct chart *chart, const struct view_slot *slot)
{
    FILE *out = open_memstream(&view->capture.text, &view->capture.n_bytes);
    if (out == NULL) {
        return;
    }
    if (view->capture.kind == VIEW_CAPTURE_CSV) {
        print_csv(out, chart);
    } else {
        print_svg(out, view, font, rect, chart, slot);
    }
    (void)fclose(out);
    (void)snprintf(view->capture.name, sizeof view->capture.name, "%s",
        chart->title != NULL ? chart->title : "chart");
}

void capture_clear(struct view *view)
{
    free(view->capture.text);
    view->capture = (struct view_capture){0};
}
