/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/top_view.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/baro_types.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

/*
 * Lines are made one by one: pieces of text are appended as long as there is room in the width,
 * escapes take none. What matters most stands at the top; the series take the rows that headline,
 * layers and news leave.
 */

enum {
    LABEL_W = 22,
    VALUE_W = 11,
    MAX_LAYER_ROWS = 3,
    MAX_NEWS_ROWS = 4,
    LEAST_SERIES_ROWS = 3,
    LINE_BYTES = 8192
};

struct sheet {
    const struct term *term;
    FILE *out;
    int width, used; /* columns of the line under way */
    int rows, height;
};

static void put(struct sheet *sheet, enum term_paint paint, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Append to the line what fits of a text. */
static void put(struct sheet *sheet, enum term_paint paint, const char *format, ...)
{
    char raw[LINE_BYTES];
    char safe[LINE_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(raw, sizeof raw, format, args);
    va_end(args);
    (void)term_safe(sheet->term, raw, safe, sizeof safe);
    int room = sheet->width - sheet->used;
    size_t n = strlen(safe);
    if (sheet->rows >= sheet->height || room <= 0) {
        return;
    }
    while (term_width(safe) > room && n > 0) {
        n = baro_utf8_prefix(safe, n, n - 1);
        safe[n] = '\0';
    }
    sheet->used += term_width(safe);
    (void)fprintf(sheet->out, "%s%s%s",
        paint != TERM_PLAIN ? term_paint(sheet->term, paint) : "", safe,
        paint != TERM_PLAIN ? term_paint(sheet->term, TERM_PLAIN) : "");
}

static void end_line(struct sheet *sheet)
{
    if (sheet->rows < sheet->height) {
        (void)fputc('\n', sheet->out);
        sheet->rows++;
        sheet->used = 0;
    }
}

static enum term_paint paint_of(uint32_t level)
{
    return level >= BARO_ALARM ? TERM_BAD : level >= BARO_WATCH ? TERM_WARN : TERM_GOOD;
}

static const char *mark_of(const struct term *term, uint32_t level)
{
    return level >= BARO_ALARM   ? term_mark(term, "■", "#")
           : level >= BARO_WATCH ? term_mark(term, "▲", "^")
                                 : term_mark(term, "●", "o");
}

/* 24397 as 24,397. */
static const char *with_commas(int64_t number, char out[32])
{
    char digits[24];
    size_t n = (size_t)snprintf(digits, sizeof digits, "%" PRId64, number);
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        bool is_group = i > 0 && (n - i) % 3 == 0 && digits[i - 1] != '-';
        at += is_group ? (size_t)snprintf(out + at, 32 - at, ",") : 0;
        out[at++] = digits[i];
    }
    out[at] = '\0';
    return out;
}

static void draw_title(struct sheet *sheet, const struct top_screen *screen)
{
    char step[32];
    put(sheet, TERM_BOLD, "%s", screen->name);
    put(sheet, screen->status_paint, "  %s", screen->status);
    if (screen->last_step >= 0) {
        put(sheet, TERM_PLAIN, "  step %s", with_commas(screen->last_step, step));
    }
    if (isfinite(screen->steps_per_s)) {
        put(sheet, TERM_PLAIN,
            screen->steps_per_s >= 1 ? "  %.1f steps/s" : "  %.3g steps/s",
            screen->steps_per_s);
    }
    if (isfinite(screen->cost)) {
        put(sheet, TERM_DIM, "  watching costs %.2g %%", screen->cost * 100);
    }
    end_line(sheet);
}

/* What matters now: the gravest that happened, of equals the first: the others may follow from it. */
static const struct top_news *headline(const struct top_screen *screen)
{
    const struct top_news *worst = NULL;
    for (size_t i = 0; i < screen->n_news; i++) {
        const struct top_news *news = &screen->news[i];
        bool is_worse = worst == NULL || news->level > worst->level ||
                        (news->level == worst->level && news->step < worst->step);
        if (news->level >= BARO_WATCH && is_worse) {
            worst = news;
        }
    }
    return worst;
}

static void draw_headline(struct sheet *sheet, const struct top_screen *screen)
{
    const struct top_news *worst = headline(screen);
    char step[32];
    if (screen->away[0] != '\0') {
        put(sheet, TERM_WARN, "%s", screen->away);
        end_line(sheet);
    }
    if (screen->reason[0] != '\0') {
        put(sheet, TERM_BAD, "%s", screen->reason);
        end_line(sheet);
    }
    if (worst == NULL) {
        put(sheet, TERM_GOOD, "%s fine: no alert", mark_of(sheet->term, 0));
    } else {
        put(sheet, paint_of(worst->level),
            "%s step %s: ", mark_of(sheet->term, worst->level),
            with_commas(worst->step, step));
        put(sheet, TERM_BOLD, "%s", worst->text);
    }
    end_line(sheet);
}

static void draw_series(struct sheet *sheet, const struct top_screen *screen, size_t n_rows)
{
    char line[SPARK_BYTES];
    for (size_t i = 0; i < screen->n_series && i < n_rows; i++) {
        const struct top_series *series = &screen->series[i];
        const char *label = series->label;
        if (i + 1 == n_rows && screen->n_series > n_rows) {
            put(sheet, TERM_DIM, "%zu more: a larger terminal, or a GLOB, shows them",
                screen->n_series - i);
            end_line(sheet);
            return;
        }
        while (term_width(label) > LABEL_W) {
            label++; /* the end of a name says most */
            while (((unsigned char)*label & 0xC0U) == 0x80U) {
                label++;
            }
        }
        put(sheet, TERM_PLAIN, "%s%*s", label, LABEL_W - term_width(label), "");
        bool is_bad = series->spark.has_last && !isfinite(series->spark.last);
        if (series->spark.has_last) {
            put(sheet, is_bad ? TERM_BAD : TERM_BOLD, " %*.5g ", VALUE_W,
                cli_number(series->spark.last));
        } else {
            put(sheet, TERM_DIM, " %*s ", VALUE_W, "no data");
        }
        int room = sheet->width - sheet->used;
        spark_draw(
            &series->spark, room > 0 ? (size_t)room : 0, sheet->term->has_utf8, line);
        put(sheet, is_bad ? TERM_BAD : TERM_ACCENT, "%s", line);
        end_line(sheet);
    }
}

/* The first part of a path; its length. */
static size_t head_of(const char *path)
{
    return strcspn(path, ".");
}

static bool is_of_group(const char *path, const char *group)
{
    size_t n = head_of(group);
    return head_of(path) == n && strncmp(group, path, n) == 0;
}

/* The places of layers so that those of a group stand together, groups as they were met first. */
static size_t *group_layers(const struct top_screen *screen)
{
    size_t n = 0;
    size_t *order = baro_xcalloc(screen->n_layers + 1, sizeof *order);
    baro_autofree bool *is_listed = baro_xcalloc(screen->n_layers + 1, sizeof *is_listed);
    for (size_t i = 0; i < screen->n_layers; i++) {
        if (is_listed[i]) {
            continue;
        }
        for (size_t k = i; k < screen->n_layers; k++) {
            if (!is_listed[k] &&
                is_of_group(screen->layers[k].path, screen->layers[i].path)) {
                is_listed[k] = true;
                order[n++] = k;
            }
        }
    }
    return order;
}

/* One mark a layer, behind the name of what it belongs to. */
static void draw_layers(struct sheet *sheet, const struct top_screen *screen, int n_rows)
{
    static const char intro[] = "layers ";
    int rows = 0;
    const char *group = NULL;
    if (screen->n_layers == 0 || n_rows <= 0) {
        return;
    }
    put(sheet, TERM_DIM, "%s", intro);
    baro_autofree size_t *order = group_layers(screen);
    for (size_t i = 0; i < screen->n_layers; i++) {
        const struct top_layer *layer = &screen->layers[order[i]];
        size_t n = head_of(layer->path);
        bool is_same = group != NULL && is_of_group(layer->path, group);
        int needed = is_same ? 1 : (int)n + 3;
        if (sheet->used + needed > sheet->width && sheet->used > (int)sizeof intro) {
            end_line(sheet);
            if (++rows >= n_rows) {
                return;
            }
            put(sheet, TERM_DIM, "%*s", (int)sizeof intro - 1, "");
            is_same = false;
        }
        if (!is_same) {
            put(sheet, TERM_DIM, "%s%.*s ", sheet->used > (int)sizeof intro ? " " : "",
                (int)n, layer->path);
        }
        put(sheet, paint_of(layer->level), "%s",
            layer->level >= BARO_WATCH ? mark_of(sheet->term, layer->level)
                                       : term_mark(sheet->term, "·", "."));
        group = layer->path;
    }
    end_line(sheet);
}

static void draw_news(struct sheet *sheet, const struct top_screen *screen, size_t n_rows)
{
    char step[32];
    size_t n = screen->n_news < n_rows ? screen->n_news : n_rows;
    for (size_t i = 0; i < n; i++) {
        const struct top_news *news = &screen->news[screen->n_news - 1 - i];
        put(sheet, paint_of(news->level), "%s ", mark_of(sheet->term, news->level));
        put(sheet, TERM_DIM, "%9s  ", with_commas(news->step, step));
        put(sheet, TERM_PLAIN, "%s", news->text);
        end_line(sheet);
    }
}

char *top_view_draw(const struct top_screen *screen, const struct term *term, int width,
    int height, bool is_live)
{
    char *text = NULL;
    size_t n_bytes = 0;
    FILE *out = open_memstream(&text, &n_bytes);
    if (out == NULL) {
        return baro_xstrdup("");
    }
    struct sheet sheet = {.term = term, .out = out, .width = width, .height = height};
    draw_title(&sheet, screen);
    draw_headline(&sheet, screen);
    end_line(&sheet);
    int left = height - sheet.rows - (is_live ? 1 : 0);
    int n_news = screen->n_news < MAX_NEWS_ROWS ? (int)screen->n_news : MAX_NEWS_ROWS;
    int free_rows = left - n_news - 2 - (int)screen->n_series;
    int layer_rows = free_rows < 1 ? 1 : free_rows;
    layer_rows = layer_rows < MAX_LAYER_ROWS ? layer_rows : MAX_LAYER_ROWS;
    layer_rows = screen->n_layers > 0 ? layer_rows : 0;
    int rest = left - n_news - (n_news > 0 ? 1 : 0) - layer_rows - (layer_rows > 0 ? 1 : 0);
    draw_series(
        &sheet, screen, (size_t)(rest > LEAST_SERIES_ROWS ? rest : LEAST_SERIES_ROWS));
    if (layer_rows > 0) {
        end_line(&sheet);
        draw_layers(&sheet, screen, layer_rows);
    }
    if (n_news > 0) {
        end_line(&sheet);
        draw_news(&sheet, screen, (size_t)n_news);
    }
    while (is_live && sheet.rows < height - 1) {
        end_line(&sheet);
    }
    if (is_live) {
        sheet.rows = height - 1;
        put(&sheet, TERM_DIM, "q quits");
        if (screen->n_notes > 0) {
            put(&sheet, TERM_DIM, " · %" PRIu64 " notes: baro note", screen->n_notes);
        }
        end_line(&sheet);
    }
    (void)fclose(out);
    return text;
}
