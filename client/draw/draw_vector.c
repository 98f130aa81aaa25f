/* SPDX-License-Identifier: Apache-2.0 */
#include "client/draw/draw_vector.h"

#include <math.h>
#include <stdlib.h>

#include "lib/base/mem.h"

enum { MAX_MARK_POINTS = 8 };

/* A mark as it is told to a pen: shapes in units of half its size. */
struct mark_shape {
    size_t n;
    bool is_line;
    struct draw_point points[MAX_MARK_POINTS];
};

/* The same shapes as the rasteriser's, see draw_raster.c. */
static const struct mark_shape shapes[DRAW_MARK_COUNT][2] = {
    [DRAW_MARK_TRIANGLE] = {{3, false, {{0, -1.1F}, {1.15F, 0.9F}, {-1.15F, 0.9F}}}},
    [DRAW_MARK_SQUARE] = {{5, false, {{-1, -1}, {0.1F, -1}, {1, -0.1F}, {1, 1}, {-1, 1}}}},
    [DRAW_MARK_NOTCH] = {{3, false, {{0, 0}, {1, 2}, {-1, 2}}}},
    [DRAW_MARK_UP] = {{3, false, {{0, 0}, {1, 1.5F}, {-1, 1.5F}}}},
    [DRAW_MARK_DOWN] = {{3, false, {{0, 0}, {-1, -1.5F}, {1, -1.5F}}}},
    [DRAW_MARK_FORK] = {{3, true, {{0, 1.2F}, {0, 0}, {-0.9F, -1}}},
        {2, true, {{0, 0}, {0.9F, -1}}}},
    [DRAW_MARK_CHEVRON] = {{3, true, {{-0.4F, -0.8F}, {0.45F, 0}, {-0.4F, 0.8F}}}},
    [DRAW_MARK_CHEVRON_DN] = {{3, true, {{-0.8F, -0.4F}, {0, 0.45F}, {0.8F, -0.4F}}}},
    [DRAW_MARK_CROSS] = {{2, true, {{-0.7F, -0.7F}, {0.7F, 0.7F}}},
        {2, true, {{-0.7F, 0.7F}, {0.7F, -0.7F}}}},
};

static void play_mark(const struct draw_cmd *cmd, const struct draw_pen *pen)
{
    const struct draw_point at = {cmd->u.mark.x, cmd->u.mark.y};
    float half = cmd->u.mark.size / 2;
    if (cmd->u.mark.kind == DRAW_MARK_DOT || cmd->u.mark.kind == DRAW_MARK_RING) {
        float inner = cmd->u.mark.kind == DRAW_MARK_RING ? half - 1.25F : 0;
        pen->ring(pen->payload, at, half, inner, cmd->color);
        return;
    }
    for (size_t s = 0; s < BARO_LEN(shapes[0]); s++) {
        const struct mark_shape *shape = &shapes[cmd->u.mark.kind][s];
        struct draw_point points[MAX_MARK_POINTS];
        for (size_t i = 0; i < shape->n; i++) {
            points[i] = (struct draw_point){
                at.x + half * shape->points[i].x, at.y + half * shape->points[i].y};
        }
        if (shape->n > 0 && shape->is_line) {
            pen->stroke(pen->payload, points, shape->n, 1.5F, 0, cmd->color);
        } else if (shape->n > 0) {
            pen->polygon(pen->payload, points, shape->n, cmd->color);
        }
    }
}

/* A line may be broken by NaN: each part is one stroke. */
static void play_polyline(const struct draw_cmd *cmd, const struct draw_pen *pen)
{
    const struct draw_point *points = cmd->u.polyline.points;
    size_t begin = 0;
    for (size_t i = 0; i <= cmd->u.polyline.n; i++) {
        bool is_end = i == cmd->u.polyline.n || isnan(points[i].x) || isnan(points[i].y);
        if (is_end) {
            if (i > begin) {
                pen->stroke(pen->payload, points + begin, i - begin, cmd->u.polyline.width,
                    0, cmd->color);
            }
            begin = i + 1;
        }
    }
}

/* Columns that follow each other become one polygon: the tops forward, the bottoms back. */
static void play_band(const struct draw_cmd *cmd, float scale, const struct draw_pen *pen)
{
    const struct draw_span *spans = cmd->u.band.spans;
    size_t n = cmd->u.band.n;
    float grow = cmd->u.band.width / 2;
    struct draw_point *points = baro_xcalloc(4 * n + 4, sizeof *points);
    size_t begin = 0;
    for (size_t i = 0; i <= n; i++) {
        bool is_end = i == n || spans[i].top > spans[i].bottom;
        if (!is_end) {
            continue;
        }
        size_t m = 0;
        for (size_t k = begin; k < i; k++) {
            float x = ((float)cmd->u.band.x_px + (float)k) / scale;
            points[m++] = (struct draw_point){x, spans[k].top - grow};
            points[m++] = (struct draw_point){x + 1 / scale, spans[k].top - grow};
        }
        for (size_t k = i; k-- > begin;) {
            float x = ((float)cmd->u.band.x_px + (float)k) / scale;
            points[m++] = (struct draw_point){x + 1 / scale, spans[k].bottom + grow};
            points[m++] = (struct draw_point){x, spans[k].bottom + grow};
        }
        if (m > 0) {
            pen->polygon(pen->payload, points, m, cmd->color);
        }
        begin = i + 1;
    }
    free(points);
}

/* Each line of a flock through the middles of its columns. */
static void play_flock(const struct draw_cmd *cmd, float scale, const struct draw_pen *pen)
{
    size_t n = cmd->u.flock.n;
    struct draw_point *points = baro_xcalloc(n + 1, sizeof *points);
    for (size_t line = 0; line < cmd->u.flock.n_lines; line++) {
        const struct draw_fine *spans = cmd->u.flock.spans + line * n;
        size_t m = 0;
        for (size_t i = 0; i <= n; i++) {
            if (i < n && spans[i].top <= spans[i].bottom) {
                float y = ((float)spans[i].top + (float)spans[i].bottom) / 16;
                points[m++] = (struct draw_point){
                    ((float)cmd->u.flock.x_px + (float)i + 0.5F) / scale,
                    ((float)cmd->u.flock.y_px + y) / scale};
            } else if (m > 0) {
                pen->stroke(pen->payload, points, m, cmd->u.flock.width, 0, cmd->color);
                m = 0;
            }
        }
    }
    free(points);
}

static void play_hair(const struct draw_cmd *cmd, const struct draw_pen *pen)
{
    if (cmd->u.hair.dash <= 0) {
        pen->rect(pen->payload, cmd->box, 0, cmd->color);
        return;
    }
    bool is_vertical = cmd->u.hair.vertical;
    float thick = is_vertical ? cmd->box.w : cmd->box.h;
    struct draw_point ends[2] = {{cmd->box.x, cmd->box.y}, {cmd->box.x, cmd->box.y}};
    for (int i = 0; i < 2; i++) {
        ends[i].x += is_vertical ? thick / 2 : (float)i * cmd->box.w;
        ends[i].y += is_vertical ? (float)i * cmd->box.h : thick / 2;
    }
    pen->stroke(pen->payload, ends, 2, thick, cmd->u.hair.dash, cmd->color);
}

static void play_cells(const struct draw_cmd *cmd, const struct draw_pen *pen)
{
    uint32_t n_columns = cmd->u.cells.n_columns;
    uint32_t n_rows = cmd->u.cells.n_rows;
    for (uint32_t r = 0; r < n_rows; r++) {
        for (uint32_t c = 0; c < n_columns; c++) {
            struct draw_rect cell = {cmd->box.x + cmd->box.w * (float)c / (float)n_columns,
                cmd->box.y + cmd->box.h * (float)r / (float)n_rows,
                cmd->box.w / (float)n_columns, cmd->box.h / (float)n_rows};
            draw_color color = cmd->u.cells.colors[(size_t)r * n_columns + c];
            if (color >> 24 != 0) {
                pen->rect(pen->payload, cell, 0, color);
            }
        }
    }
}

void draw_vector_play(const struct draw_list *list, const struct draw_pen *pen)
{
    size_t n = 0;
    const struct draw_cmd *cmds = draw_cmds(list, &n);
    float scale = draw_scale(list);
    struct draw_rect frame = draw_frame(list);
    pen->rect(pen->payload, (struct draw_rect){0, 0, frame.w, frame.h}, 0,
        draw_background(list) | 0xFF000000U);
    for (size_t i = 0; i < n; i++) {
        const struct draw_cmd *cmd = &cmds[i];
        switch (cmd->op) {
        case DRAW_FILL:
            pen->rect(pen->payload, cmd->box, cmd->u.fill.radius, cmd->color);
            break;
        case DRAW_HAIR: play_hair(cmd, pen); break;
        case DRAW_POLYLINE: play_polyline(cmd, pen); break;
        case DRAW_BAND: play_band(cmd, scale, pen); break;
        case DRAW_FLOCK: play_flock(cmd, scale, pen); break;
        case DRAW_STRING: pen->text(pen->payload, cmd); break;
        case DRAW_MARK: play_mark(cmd, pen); break;
        case DRAW_CELLS: play_cells(cmd, pen); break;
        case DRAW_CLIP: pen->clip(pen->payload, cmd->box); break;
        case DRAW_UNCLIP: pen->unclip(pen->payload); break;
        case DRAW_OP_COUNT: break;
        }
    }
}
