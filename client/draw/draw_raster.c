/* SPDX-License-Identifier: Apache-2.0 */
#include "client/draw/draw_raster.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "client/draw/raster_inside.h"
#include "lib/base/mem.h"

/*
 * Damage: every command's hash is folded, in order, into each cell of the screen that its box
 * touches. A cell whose hash equals that of the frame before shows the same pixels, so only
 * the others are repainted: the list is played again, cut to each of their rectangles. (The
 * method of the lite editor's rencache.) Of lines and columns it is pieces of them that are
 * folded into the cells that they touch: a curve that grows at its end is repainted there only.
 */

enum { PIECE = 16 }; /* points of a line, or columns of a band, that are hashed together */

#define HASH_PRIME UINT64_C(0x9E3779B97F4A7C15)

static uint64_t hash_word(uint64_t hash, uint64_t word)
{
    uint64_t mixed = (hash ^ word) * HASH_PRIME;
    return mixed ^ mixed >> 29;
}

static uint64_t hash_float(uint64_t hash, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return hash_word(hash, bits);
}

static uint64_t hash_cmd(const struct draw_cmd *cmd)
{
    uint64_t hash = hash_word((uint64_t)cmd->op + 1, cmd->color);
    hash = hash_float(hash_float(hash, cmd->box.x), cmd->box.y);
    hash = hash_float(hash_float(hash, cmd->box.w), cmd->box.h);
    switch (cmd->op) {
    case DRAW_FILL: return hash_float(hash, cmd->u.fill.radius);
    case DRAW_HAIR:
        return hash_word(hash_float(hash, cmd->u.hair.dash), cmd->u.hair.vertical);
    case DRAW_FLOCK:
        hash = hash_word(hash_float(hash, cmd->u.flock.width), (uint64_t)cmd->u.flock.x_px);
        hash = hash_word(hash, (uint64_t)cmd->u.flock.n);
        if (cmd->u.flock.key != 0) {
            return hash_word(hash, cmd->u.flock.key);
        }
        return draw_hash(hash, cmd->u.flock.spans,
            cmd->u.flock.n * cmd->u.flock.n_lines * sizeof(struct draw_fine));
    case DRAW_STRING:
        hash = hash_float(hash_float(hash, cmd->u.string.x), cmd->u.string.y);
        hash = hash_word(hash_float(hash, cmd->u.string.size), cmd->u.string.role);
        return draw_hash(hash, cmd->u.string.text, cmd->u.string.n);
    case DRAW_MARK:
        hash = hash_float(hash_float(hash, cmd->u.mark.x), cmd->u.mark.y);
        return hash_word(hash_float(hash, cmd->u.mark.size), cmd->u.mark.kind);
    case DRAW_CELLS:
        hash = hash_word(hash, cmd->u.cells.n_columns);
        return draw_hash(hash, cmd->u.cells.colors,
            (size_t)cmd->u.cells.n_columns * cmd->u.cells.n_rows * sizeof(draw_color));
    case DRAW_POLYLINE: /* in pieces */
    case DRAW_BAND:
    case DRAW_CLIP:
    case DRAW_UNCLIP:
    case DRAW_OP_COUNT: break;
    }
    return hash;
}

/* The device pixels that a command can touch, with one to spare for rounding. */
static struct raster_box cmd_box(const struct draw_cmd *cmd, float scale)
{
    struct draw_rect box = cmd->box;
    struct raster_box around = raster_box_around(
        box.x * scale, box.y * scale, (box.x + box.w) * scale, (box.y + box.h) * scale);
    float spare = cmd->op == DRAW_STRING ? cmd->u.string.size * scale / 4 : 1;
    int more = raster_floor(spare) + 1;
    return (struct raster_box){
        around.x0 - more, around.y0 - more, around.x1 + more, around.y1 + more};
}

/* A clip rectangle covers the pixels whose centres are in it. */
static struct raster_box clip_box(const struct draw_cmd *cmd, float scale)
{
    struct draw_rect box = cmd->box;
    return (struct raster_box){raster_floor(box.x * scale + 0.5F),
        raster_floor(box.y * scale + 0.5F), raster_floor((box.x + box.w) * scale + 0.5F),
        raster_floor((box.y + box.h) * scale + 0.5F)};
}

/* The clips in force while a list is played; the first is the surface or a damaged part. */
struct clips {
    struct raster_box stack[DRAW_MAX_CLIP_DEPTH + 1];
    int depth;
};

/* Follow clip commands; false for commands that draw. */
static bool follow_clip(struct clips *clips, const struct draw_cmd *cmd, float scale)
{
    if (cmd->op == DRAW_CLIP) {
        struct raster_box inner = clip_box(cmd, scale);
        clips->stack[clips->depth + 1] = raster_box_cut(inner, clips->stack[clips->depth]);
        clips->depth++;
        return true;
    }
    if (cmd->op == DRAW_UNCLIP) {
        clips->depth--;
        return true;
    }
    return false;
}

static bool is_empty(struct raster_box box)
{
    return box.x0 >= box.x1 || box.y0 >= box.y1;
}

/* Fold a hash into the cells that a box touches. */
static void fold(struct raster *raster, struct raster_box box, uint64_t hash)
{
    if (is_empty(box)) {
        return;
    }
    for (int y = box.y0 / RASTER_CELL; y <= (box.y1 - 1) / RASTER_CELL; y++) {
        for (int x = box.x0 / RASTER_CELL; x <= (box.x1 - 1) / RASTER_CELL; x++) {
            uint64_t *cell = &raster->cells[y * raster->cells_w + x];
            *cell = hash_word(*cell, hash);
        }
    }
}

/* Fold a line into the cells, piece by piece; neighbours share a point, so that each segment,
 * with its ends, is in a piece. What is not drawn (NaN) has no box. */
static void fold_line(struct raster *raster, const struct draw_cmd *cmd, float scale,
    struct raster_box clip, uint64_t hash)
{
    const struct draw_point *points = cmd->u.polyline.points;
    const size_t n = cmd->u.polyline.n;
    const float reach = cmd->u.polyline.width * scale / 2 + 2;
    for (size_t from = 0; from < n && (from == 0 || from + 1 < n); from += PIECE) {
        size_t to = from + PIECE < n ? from + PIECE + 1 : n;
        float x0 = 1e9F, y0 = 1e9F, x1 = -1e9F, y1 = -1e9F;
        for (size_t i = from; i < to; i++) {
            if (isfinite(points[i].x) && isfinite(points[i].y)) {
                x0 = points[i].x < x0 ? points[i].x : x0;
                x1 = points[i].x > x1 ? points[i].x : x1;
                y0 = points[i].y < y0 ? points[i].y : y0;
                y1 = points[i].y > y1 ? points[i].y : y1;
            }
        }
        if (x0 > x1) {
            continue;
        }
        struct raster_box box = raster_box_around(
            x0 * scale - reach, y0 * scale - reach, x1 * scale + reach, y1 * scale + reach);
        fold(raster, raster_box_cut(box, clip),
            draw_hash(hash, &points[from], (to - from) * sizeof *points));
    }
}

/* The same of min/max columns: none reaches into its neighbour's. */
static void fold_band(struct raster *raster, const struct draw_cmd *cmd, float scale,
    struct raster_box clip, uint64_t hash)
{
    const struct draw_span *spans = cmd->u.band.spans;
    const size_t n = cmd->u.band.n;
    const float reach = cmd->u.band.width * scale / 2 + 2;
    for (size_t from = 0; from < n; from += PIECE) {
        size_t to = from + PIECE < n ? from + PIECE : n;
        float y0 = 1e9F, y1 = -1e9F;
        for (size_t i = from; i < to; i++) {
            if (spans[i].top <= spans[i].bottom) {
                y0 = spans[i].top < y0 ? spans[i].top : y0;
                y1 = spans[i].bottom > y1 ? spans[i].bottom : y1;
            }
        }
        if (y0 > y1) {
            continue;
        }
        struct raster_box box = {cmd->u.band.x_px + (int)from,
            raster_floor(y0 * scale - reach), cmd->u.band.x_px + (int)to,
            raster_floor(y1 * scale + reach) + 1};
        fold(raster, raster_box_cut(box, clip),
            draw_hash(hash_word(hash, (uint64_t)box.x0), &spans[from],
                (to - from) * sizeof *spans));
    }
}

static uint64_t hash_clip(uint64_t hash, struct raster_box clip)
{
    hash = hash_word(hash, (uint64_t)clip.x0 << 32 | (uint32_t)clip.x1);
    return hash_word(hash, (uint64_t)clip.y0 << 32 | (uint32_t)clip.y1);
}

static void place_room(struct raster *raster, size_t n)
{
    if (n > raster->placed_capacity) {
        raster->placed_capacity = n + n / 2;
        raster->placed =
            baro_xrealloc(raster->placed, raster->placed_capacity, sizeof *raster->placed);
    }
    raster->n_placed = n;
}

/* Find where each command draws, and which parts of the screen it has a share in. */
static void hash_cells(struct raster *raster, const struct draw_list *list)
{
    float scale = draw_scale(list);
    struct clips clips = {.stack = {{0, 0, raster->w, raster->h}}};
    size_t n_cells = (size_t)raster->cells_w * (size_t)raster->cells_h;
    uint64_t start = hash_float(hash_word(1, draw_background(list)), scale);
    for (size_t i = 0; i < n_cells; i++) {
        raster->cells[i] = start;
    }
    size_t n = 0;
    const struct draw_cmd *cmds = draw_cmds(list, &n);
    place_room(raster, n);
    for (size_t i = 0; i < n; i++) {
        const struct draw_cmd *cmd = &cmds[i];
        if (follow_clip(&clips, cmd, scale)) {
            raster->placed[i] = (struct raster_placed){0};
            continue;
        }
        struct raster_box clip = clips.stack[clips.depth];
        struct raster_box box = raster_box_cut(cmd_box(cmd, scale), clip);
        raster->placed[i] = (struct raster_placed){clip, box};
        if (is_empty(box)) {
            continue;
        }
        uint64_t part = hash_clip(hash_word((uint64_t)cmd->op + 1, cmd->color), clip);
        if (cmd->op == DRAW_POLYLINE) {
            fold_line(raster, cmd, scale, box, hash_float(part, cmd->u.polyline.width));
        } else if (cmd->op == DRAW_BAND) {
            fold_band(raster, cmd, scale, box, hash_float(part, cmd->u.band.width));
        } else {
            fold(raster, box, hash_clip(hash_cmd(cmd), clip));
        }
    }
}

/* The cells of one row that changed, from x on: first and past-last; false when none. */
static bool changed_run(const struct raster *raster, int y, int *x, int *out_end)
{
    const uint64_t *now = raster->cells + (size_t)y * (size_t)raster->cells_w;
    const uint64_t *before = raster->cells_before + (size_t)y * (size_t)raster->cells_w;
    while (*x < raster->cells_w && raster->has_before && now[*x] == before[*x]) {
        (*x)++;
    }
    *out_end = *x;
    while (*out_end < raster->cells_w &&
           (!raster->has_before || now[*out_end] != before[*out_end])) {
        (*out_end)++;
    }
    return *x < *out_end;
}

static struct raster_box around(struct raster_box a, struct raster_box b)
{
    return (struct raster_box){a.x0 < b.x0 ? a.x0 : b.x0, a.y0 < b.y0 ? a.y0 : b.y0,
        a.x1 > b.x1 ? a.x1 : b.x1, a.y1 > b.y1 ? a.y1 : b.y1};
}

static int64_t area_of(struct raster_box box)
{
    return (int64_t)(box.x1 - box.x0) * (box.y1 - box.y0);
}

/* Add a run of cells to the boxes, growing the box above when it is exactly as wide. */
static size_t add_run(struct raster_box *boxes, size_t n, struct raster_box run)
{
    for (size_t i = 0; i < n; i++) {
        if (boxes[i].x0 == run.x0 && boxes[i].x1 == run.x1 && boxes[i].y1 == run.y0) {
            boxes[i].y1 = run.y1;
            return n;
        }
    }
    if (n < RASTER_MAX_DIRTY) {
        boxes[n] = run;
        return n + 1;
    }
    /* As many as there can be: it joins the one that grows least, not all of them. */
    size_t best = 0;
    int64_t least = INT64_MAX;
    for (size_t i = 0; i < n; i++) {
        int64_t more = area_of(around(boxes[i], run)) - area_of(boxes[i]);
        best = more < least ? i : best;
        least = more < least ? more : least;
    }
    boxes[best] = around(boxes[best], run);
    return n;
}

static size_t find_damage(const struct raster *raster, struct raster_box *boxes)
{
    size_t n = 0;
    const struct raster_box all = {0, 0, raster->w, raster->h};
    for (int y = 0; y < raster->cells_h; y++) {
        int x = 0, end = 0;
        while (changed_run(raster, y, &x, &end)) {
            struct raster_box run = {
                x * RASTER_CELL, y * RASTER_CELL, end * RASTER_CELL, (y + 1) * RASTER_CELL};
            n = add_run(boxes, n, raster_box_cut(run, all));
            x = end;
        }
    }
    return n;
}

static void play_fill(struct raster *raster, const struct draw_cmd *cmd, float scale)
{
    float x0 = cmd->box.x * scale, y0 = cmd->box.y * scale;
    float x1 = (cmd->box.x + cmd->box.w) * scale, y1 = (cmd->box.y + cmd->box.h) * scale;
    struct raster_box whole = {
        raster_floor(x0), raster_floor(y0), raster_floor(x1), raster_floor(y1)};
    if (cmd->u.fill.radius <= 0 && (float)whole.x0 == x0 && (float)whole.y0 == y0 &&
        (float)whole.x1 == x1 && (float)whole.y1 == y1) {
        raster_fill(raster, whole, cmd->color);
    } else {
        raster_fill_soft(raster, x0, y0, x1, y1, cmd->u.fill.radius * scale, cmd->color);
    }
}

static void play_hair(struct raster *raster, const struct draw_cmd *cmd, float scale)
{
    int pen = scale >= 2 ? 2 : 1;
    bool vertical = cmd->u.hair.vertical;
    int x = raster_floor(cmd->box.x * scale + 0.25F);
    int y = raster_floor(cmd->box.y * scale + 0.25F);
    float length = vertical ? cmd->box.h : cmd->box.w;
    int end =
        raster_floor((vertical ? cmd->box.y : cmd->box.x) * scale + length * scale + 0.5F);
    int start = vertical ? y : x;
    int dash = cmd->u.hair.dash > 0 ? raster_floor(cmd->u.hair.dash * scale + 0.5F) : 0;
    int step = dash > 0 ? dash : end - start;
    for (int at = start; at < end && step > 0; at += dash > 0 ? 2 * step : step) {
        int to = at + step < end ? at + step : end;
        struct raster_box box = vertical ? (struct raster_box){x, at, x + pen, to}
                                         : (struct raster_box){at, y, to, y + pen};
        raster_fill(raster, box, cmd->color);
    }
}

static void play_string(
    struct raster *raster, const struct draw_cmd *cmd, float scale, struct font *font)
{
    const enum font_role role = cmd->u.string.role;
    const float size = cmd->u.string.size;
    /* A sentence starts on a quarter pixel, a number on a whole one. */
    float grain = role == FONT_MONO ? 1.0F : FONT_PHASES;
    int pen = raster_floor(cmd->u.string.x * scale * grain + 0.5F);
    pen = role == FONT_MONO ? pen * FONT_PHASES : pen;
    int baseline = raster_floor(cmd->u.string.y * scale + 0.5F);
    uint32_t before = 0;
    for (size_t at = 0; at < cmd->u.string.n;) {
        uint32_t character = font_next_char(cmd->u.string.text, cmd->u.string.n, &at);
        int advance = font_advance(font, role, size, before, character);
        int kern = before != 0 ? advance - font_advance(font, role, size, 0, character) : 0;
        int start = pen + kern;
        int whole =
            start >= 0 ? start / FONT_PHASES : -((-start + FONT_PHASES - 1) / FONT_PHASES);
        const struct font_glyph *glyph =
            font_glyph(font, role, size, character, start - whole * FONT_PHASES);
        if (glyph->coverage != NULL) {
            raster_coverage(raster, whole + glyph->left, baseline - glyph->top,
                glyph->coverage, glyph->w, glyph->h, cmd->color);
        }
        pen += advance;
        before = character;
    }
}

/* A polygon given in units of half a mark around its centre. */
static void mark_polygon(struct raster *raster, const struct draw_point *shape, size_t n,
    struct draw_point at, float half, draw_color color)
{
    struct draw_point corners[8];
    for (size_t i = 0; i < n; i++) {
        corners[i] =
            (struct draw_point){at.x + shape[i].x * half, at.y + shape[i].y * half};
    }
    raster_polygon(raster, corners, n, color);
}

static void mark_lines(struct raster *raster, const struct draw_point *shape, size_t n,
    struct draw_point at, float half, float scale, draw_color color)
{
    struct draw_point points[8];
    for (size_t i = 0; i < n; i++) {
        points[i] = (struct draw_point){at.x + shape[i].x * half, at.y + shape[i].y * half};
    }
    raster_stroke(raster, points, n, 1, 1.5F * scale, color);
}

/* Square with a notch cut into its upper right: the mark of alarm. */
static void mark_square(
    struct raster *raster, struct draw_point at, float half, draw_color color)
{
    static const struct draw_point shape[] = {
        {-1, -1}, {0.1F, -1}, {1, -0.1F}, {1, 1}, {-1, 1}};
    mark_polygon(raster, shape, BARO_LEN(shape), at, half, color);
}

static void play_mark(struct raster *raster, const struct draw_cmd *cmd, float scale)
{
    static const struct draw_point triangle[] = {{0, -1.1F}, {1.15F, 0.9F}, {-1.15F, 0.9F}};
    static const struct draw_point notch[] = {{0, 0}, {1, 2}, {-1, 2}};
    static const struct draw_point up[] = {{0, 0}, {1, 1.5F}, {-1, 1.5F}};
    static const struct draw_point down[] = {{0, 0}, {-1, -1.5F}, {1, -1.5F}};
    static const struct draw_point chevron[] = {{-0.4F, -0.8F}, {0.45F, 0}, {-0.4F, 0.8F}};
    static const struct draw_point chevron_dn[] = {
        {-0.8F, -0.4F}, {0, 0.45F}, {0.8F, -0.4F}};
    static const struct draw_point stem[] = {{0, 1.2F}, {0, 0}, {-0.9F, -1}};
    static const struct draw_point prong[] = {{0, 0}, {0.9F, -1}};
    static const struct draw_point slash[] = {{-0.7F, -0.7F}, {0.7F, 0.7F}};
    static const struct draw_point back[] = {{-0.7F, 0.7F}, {0.7F, -0.7F}};
    const struct draw_point at = {cmd->u.mark.x * scale, cmd->u.mark.y * scale};
    const float half = cmd->u.mark.size * scale / 2;
    const draw_color ink = cmd->color;
    switch (cmd->u.mark.kind) {
    case DRAW_MARK_DOT: raster_ring(raster, at.x, at.y, half, 0, ink); break;
    case DRAW_MARK_TRIANGLE: mark_polygon(raster, triangle, 3, at, half, ink); break;
    case DRAW_MARK_SQUARE: mark_square(raster, at, half, ink); break;
    case DRAW_MARK_RING: {
        float pen = 1.25F * scale;
        raster_ring(raster, at.x, at.y, half, half - pen, ink);
        break;
    }
    case DRAW_MARK_NOTCH: mark_polygon(raster, notch, 3, at, half, ink); break;
    case DRAW_MARK_UP: mark_polygon(raster, up, 3, at, half, ink); break;
    case DRAW_MARK_DOWN: mark_polygon(raster, down, 3, at, half, ink); break;
    case DRAW_MARK_FORK:
        mark_lines(raster, stem, 3, at, half, scale, ink);
        mark_lines(raster, prong, 2, at, half, scale, ink);
        break;
    case DRAW_MARK_CHEVRON: mark_lines(raster, chevron, 3, at, half, scale, ink); break;
    case DRAW_MARK_CHEVRON_DN:
        mark_lines(raster, chevron_dn, 3, at, half, scale, ink);
        break;
    case DRAW_MARK_CROSS:
        mark_lines(raster, slash, 2, at, half, scale, ink);
        mark_lines(raster, back, 2, at, half, scale, ink);
        break;
    case DRAW_MARK_COUNT: break;
    }
}

static void play_cells(struct raster *raster, const struct draw_cmd *cmd, float scale)
{
    const uint32_t n_columns = cmd->u.cells.n_columns, n_rows = cmd->u.cells.n_rows;
    const int x0 = raster_floor(cmd->box.x * scale + 0.5F);
    const int y0 = raster_floor(cmd->box.y * scale + 0.5F);
    const int x1 = raster_floor((cmd->box.x + cmd->box.w) * scale + 0.5F);
    const int y1 = raster_floor((cmd->box.y + cmd->box.h) * scale + 0.5F);
    struct raster_box cut =
        raster_box_cut((struct raster_box){x0, y0, x1, y1}, raster->clip);
    assert(cut.y0 >= cut.y1 || y1 > y0); /* a cut box lies within its box */
    for (int y = cut.y0; y < cut.y1; y++) {
        uint32_t *row = raster->pixels + (size_t)y * (size_t)raster->w;
        size_t from = (size_t)(y - y0) * n_rows / (size_t)(y1 - y0);
        const draw_color *colors = cmd->u.cells.colors + from * n_columns;
        const uint64_t w = (uint64_t)(x1 - x0);
        uint64_t rest = (uint64_t)(cut.x0 - x0) * n_columns % w;
        colors += (uint64_t)(cut.x0 - x0) * n_columns / w;
        for (int x = cut.x0; x < cut.x1; x++) {
            row[x] = raster_blend(row[x], *colors, *colors >> 24);
            for (rest += n_columns; rest >= w; rest -= w) {
                colors++;
            }
        }
    }
}

/* How many points of a rising line lie left of a device column. */
static size_t points_before(const struct draw_cmd *cmd, float scale, float x)
{
    size_t lo = 0;
    size_t hi = cmd->u.polyline.n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (cmd->u.polyline.points[mid].x * scale < x) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

/* Of a rising line only what can reach what is painted, and a point more at either end. */
static void play_line(struct raster *raster, const struct draw_cmd *cmd, float scale)
{
    size_t from = 0;
    size_t end = cmd->u.polyline.n;
    if (cmd->u.polyline.is_rising) {
        float reach = cmd->u.polyline.width * scale / 2 + 4;
        from = points_before(cmd, scale, (float)raster->clip.x0 - reach);
        from -= from > 0 ? 1 : 0;
        size_t past = points_before(cmd, scale, (float)raster->clip.x1 + reach);
        end = past < end ? past + 1 : end;
    }
    raster_stroke(raster, cmd->u.polyline.points + from, end - from, scale,
        cmd->u.polyline.width, cmd->color);
}

static void play_flock(struct raster *raster, const struct draw_cmd *cmd, float scale)
{
    const int x = cmd->u.flock.x_px, y = cmd->u.flock.y_px;
    const struct raster_flock_lines flock = {
        .spans = cmd->u.flock.spans,
        .n = cmd->u.flock.n,
        .n_lines = cmd->u.flock.n_lines,
        .area = {x, y, x + (int)cmd->u.flock.n, y + cmd->u.flock.h_px},
        .half = cmd->u.flock.width * scale / 2,
        .color = cmd->color,
        .key = cmd->u.flock.key,
    };
    raster_flock(raster, &flock);
}

static void play(
    struct raster *raster, const struct draw_cmd *cmd, float scale, struct font *font)
{
    switch (cmd->op) {
    case DRAW_FILL: play_fill(raster, cmd, scale); break;
    case DRAW_HAIR: play_hair(raster, cmd, scale); break;
    case DRAW_POLYLINE: play_line(raster, cmd, scale); break;
    case DRAW_BAND:
        raster_band(raster, cmd->u.band.x_px, cmd->u.band.spans, cmd->u.band.n, scale,
            cmd->u.band.width * scale / 2, cmd->color);
        break;
    case DRAW_FLOCK: play_flock(raster, cmd, scale); break;
    case DRAW_STRING: play_string(raster, cmd, scale, font); break;
    case DRAW_MARK: play_mark(raster, cmd, scale); break;
    case DRAW_CELLS: play_cells(raster, cmd, scale); break;
    case DRAW_CLIP:
    case DRAW_UNCLIP:
    case DRAW_OP_COUNT: break;
    }
}

/* Paint everything that touches a damaged part, and nothing outside it. */
static void repaint(
    struct raster *raster, const struct draw_list *list, struct raster_box damage)
{
    float scale = draw_scale(list);
    raster_set_clip(raster, damage);
    raster_fill(raster, damage, draw_background(list) | 0xFF000000U);
    size_t n = 0;
    const struct draw_cmd *cmds = draw_cmds(list, &n);
    for (size_t i = 0; i < n; i++) {
        const struct raster_placed *placed = &raster->placed[i];
        if (!is_empty(raster_box_cut(placed->box, damage))) {
            raster_set_clip(raster, raster_box_cut(placed->clip, damage));
            play(raster, &cmds[i], scale, draw_font(list));
        }
    }
}

size_t raster_draw(struct raster *raster, const struct draw_list *list,
    struct raster_box *out_dirty, size_t max_dirty)
{
    struct raster_box boxes[RASTER_MAX_DIRTY];
    hash_cells(raster, list);
    size_t n = find_damage(raster, boxes);
    for (size_t i = 0; i < n; i++) {
        repaint(raster, list, boxes[i]);
    }
    uint64_t *now = raster->cells;
    raster->cells = raster->cells_before;
    raster->cells_before = now;
    raster->has_before = true;
    raster_set_clip(raster, (struct raster_box){0, 0, raster->w, raster->h});
    if (out_dirty == NULL || n == 0) {
        return n;
    }
    struct raster_box whole = boxes[0];
    for (size_t i = 0; i < n; i++) {
        whole = around(whole, boxes[i]);
        if (i < max_dirty) {
            out_dirty[i] = boxes[i];
        }
    }
    if (n > max_dirty) {
        out_dirty[0] = whole;
        return 1;
    }
    return n;
}

void raster_invalidate(struct raster *raster)
{
    raster->has_before = false;
}
