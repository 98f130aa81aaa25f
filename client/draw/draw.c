/* SPDX-License-Identifier: Apache-2.0 */
#include "client/draw/draw.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

/*
 * Commands lie in one growing array, what they refer to in blocks that never move, so that
 * pointers in commands stay valid while the list grows. Both are kept from frame to frame:
 * after the first few frames nothing is allocated any more.
 */

enum {
    BLOCK_BYTES = 256 * 1024,
    DEFAULT_MAX_BYTES = 64 * 1024 * 1024,
    CURVE_POINTS = 33,
    MAX_STRING_BYTES = 1024,
    MAX_KEPT = 12,
};

#define HASH_PRIME UINT64_C(0x9E3779B97F4A7C15)

struct block {
    struct block *next;
    size_t used, size;
    _Alignas(16) unsigned char bytes[];
};

/* Rows of a flock that outlive their frame. */
struct kept {
    uint64_t key, frame; /* 0: free; frame in which it was last used */
    size_t n_bytes;
    void *bytes;
};

struct draw_list {
    struct font *font;
    struct draw_rect frame;
    draw_color background;
    struct draw_cmd *cmds;
    size_t n_cmds, cap_cmds;
    struct block *blocks, *current;
    size_t bytes, max_bytes; /* taken from the system */
    size_t n_dropped;
    int clip_depth;
    int clip_refused; /* draw_clip calls that did not fit: their draw_unclip is ignored */
    uint64_t frame_no;
    struct kept kept[MAX_KEPT];
};

static void drop_kept(struct draw_list *list, struct kept *kept)
{
    list->bytes -= kept->n_bytes;
    free(kept->bytes);
    *kept = (struct kept){0};
}

struct draw_list *draw_create(struct font *font, size_t max_bytes)
{
    struct draw_list *list = baro_xcalloc(1, sizeof *list);
    list->font = font;
    list->max_bytes = max_bytes > 0 ? max_bytes : DEFAULT_MAX_BYTES;
    return list;
}

void draw_destroy(struct draw_list *list)
{
    if (list == NULL) {
        return;
    }
    for (struct block *block = list->blocks; block != NULL;) {
        struct block *next = block->next;
        free(block);
        block = next;
    }
    for (size_t i = 0; i < MAX_KEPT; i++) {
        free(list->kept[i].bytes);
    }
    free(list->cmds);
    free(list);
}

void draw_set_font(struct draw_list *list, struct font *font)
{
    list->font = font;
}

void draw_begin(struct draw_list *list, float w, float h, draw_color background)
{
    list->frame = (struct draw_rect){0, 0, w, h};
    list->frame_no++;
    for (size_t i = 0; i < MAX_KEPT; i++) {
        if (list->kept[i].key != 0 && list->kept[i].frame + 1 < list->frame_no) {
            drop_kept(list, &list->kept[i]);
        }
    }
    list->background = background;
    list->n_cmds = 0;
    list->n_dropped = 0;
    list->clip_depth = 0;
    list->clip_refused = 0;
    for (struct block *block = list->blocks; block != NULL; block = block->next) {
        block->used = 0;
    }
    list->current = list->blocks;
}

static uint64_t mix(uint64_t hash, uint64_t word)
{
    uint64_t mixed = (hash ^ word) * HASH_PRIME;
    return mixed ^ mixed >> 29;
}

/* Four independent lanes: arrays can be megabytes long. */
uint64_t draw_hash(uint64_t seed, const void *bytes, size_t n)
{
    uint64_t hash = seed;
    const unsigned char *at = bytes;
    uint64_t lanes[4] = {hash, hash + 1, hash + 2, hash + 3};
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        uint64_t words[4];
        memcpy(words, at + i, sizeof words);
        for (int lane = 0; lane < 4; lane++) {
            lanes[lane] = (lanes[lane] ^ words[lane]) * HASH_PRIME;
            lanes[lane] ^= lanes[lane] >> 29;
        }
    }
    for (; i < n; i += 8) {
        uint64_t word = 0;
        memcpy(&word, at + i, n - i < 8 ? n - i : 8);
        lanes[0] = mix(lanes[0], word);
    }
    return mix(mix(lanes[0], lanes[1]), mix(lanes[2], lanes[3]) ^ n);
}

struct font *draw_font(const struct draw_list *list)
{
    return list->font;
}

float draw_scale(const struct draw_list *list)
{
    return font_scale(list->font);
}

struct draw_rect draw_frame(const struct draw_list *list)
{
    return list->frame;
}

draw_color draw_background(const struct draw_list *list)
{
    return list->background;
}

const struct draw_cmd *draw_cmds(const struct draw_list *list, size_t *out_n)
{
    *out_n = list->n_cmds;
    return list->cmds;
}

size_t draw_dropped(const struct draw_list *list)
{
    return list->n_dropped;
}

static struct block *add_block(struct draw_list *list, size_t bytes)
{
    size_t size = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
    if (size > list->max_bytes || list->bytes > list->max_bytes - size) {
        return NULL;
    }
    struct block *block = baro_xcalloc(1, sizeof *block + size);
    block->size = size;
    list->bytes += size;
    if (list->current == NULL) {
        list->blocks = block;
    } else {
        block->next = list->current->next;
        list->current->next = block;
    }
    return block;
}

void *draw_scratch(struct draw_list *list, size_t bytes)
{
    if (bytes > list->max_bytes) {
        return NULL;
    }
    size_t padded = (bytes + 15U) & ~(size_t)15U;
    struct block *block = list->current;
    while (block != NULL && block->size - block->used < padded) {
        block = block->next;
    }
    if (block == NULL) {
        block = add_block(list, padded);
    }
    if (block == NULL) {
        return NULL;
    }
    if (list->current == NULL) {
        list->current = block;
    }
    void *memory = block->bytes + block->used;
    block->used += padded;
    return memory;
}

/* Append one command; NULL when the list is full. */
static struct draw_cmd *add(
    struct draw_list *list, enum draw_op op, struct draw_rect box, draw_color color)
{
    if (list->n_cmds == list->cap_cmds) {
        size_t more = list->cap_cmds > 0 ? list->cap_cmds : 512;
        if (list->bytes + more * sizeof *list->cmds > list->max_bytes) {
            list->n_dropped++;
            return NULL;
        }
        list->bytes += more * sizeof *list->cmds;
        list->cap_cmds += more;
        list->cmds = baro_xrealloc(list->cmds, list->cap_cmds, sizeof *list->cmds);
    }
    struct draw_cmd *cmd = &list->cmds[list->n_cmds++];
    *cmd = (struct draw_cmd){.op = op, .color = color, .box = box};
    return cmd;
}

draw_color draw_fade(draw_color color, float alpha)
{
    float clamped = alpha < 0 ? 0 : alpha > 1 ? 1 : alpha;
    uint32_t a = (uint32_t)((float)(color >> 24) * clamped + 0.5F);
    return (color & 0xFFFFFFU) | a << 24;
}

draw_color draw_mix(draw_color a, draw_color b, float t)
{
    float clamped = t < 0 ? 0 : t > 1 ? 1 : t;
    draw_color mixed = 0;
    for (unsigned shift = 0; shift < 32; shift += 8) {
        float from = (float)(a >> shift & 0xFFU);
        float to = (float)(b >> shift & 0xFFU);
        mixed |= (uint32_t)(from + (to - from) * clamped + 0.5F) << shift;
    }
    return mixed;
}

struct draw_rect draw_inset(struct draw_rect rect, float dx, float dy)
{
    float w = rect.w - 2 * dx;
    float h = rect.h - 2 * dy;
    return (struct draw_rect){rect.x + dx, rect.y + dy, w > 0 ? w : 0, h > 0 ? h : 0};
}

bool draw_inside(struct draw_rect rect, float x, float y)
{
    return x >= rect.x && x < rect.x + rect.w && y >= rect.y && y < rect.y + rect.h;
}

void draw_fill(struct draw_list *list, struct draw_rect rect, draw_color color)
{
    draw_fill_round(list, rect, 0, color);
}

void draw_fill_round(
    struct draw_list *list, struct draw_rect rect, float radius, draw_color color)
{
    if (!(rect.w > 0 && rect.h > 0) || color >> 24 == 0) {
        return;
    }
    struct draw_cmd *cmd = add(list, DRAW_FILL, rect, color);
    if (cmd != NULL) {
        float half = (rect.w < rect.h ? rect.w : rect.h) / 2;
        cmd->u.fill.radius = radius < 0 ? 0 : radius > half ? half : radius;
    }
}

static void hair(struct draw_list *list, struct draw_rect box, bool vertical, float dash,
    draw_color color)
{
    struct draw_cmd *cmd = add(list, DRAW_HAIR, box, color);
    if (cmd != NULL) {
        cmd->u.hair.vertical = vertical;
        cmd->u.hair.dash = dash;
    }
}

void draw_hair_h(
    struct draw_list *list, float x, float y, float length, float dash, draw_color color)
{
    hair(list, (struct draw_rect){x, y, length, 1}, false, dash, color);
}

void draw_hair_v(
    struct draw_list *list, float x, float y, float length, float dash, draw_color color)
{
    hair(list, (struct draw_rect){x, y, 1, length}, true, dash, color);
}

void draw_outline(struct draw_list *list, struct draw_rect rect, draw_color color)
{
    float pen = draw_scale(list) >= 2 ? 2 / draw_scale(list) : 1 / draw_scale(list);
    draw_hair_h(list, rect.x, rect.y, rect.w, 0, color);
    draw_hair_h(list, rect.x, rect.y + rect.h - pen, rect.w, 0, color);
    draw_hair_v(list, rect.x, rect.y + pen, rect.h - 2 * pen, 0, color);
    draw_hair_v(list, rect.x + rect.w - pen, rect.y + pen, rect.h - 2 * pen, 0, color);
}

/* The box of points grown by a margin; false when no point is finite. */
static bool points_box(const struct draw_point *points, size_t n, float margin,
    struct draw_rect *out, bool *out_is_rising)
{
    float x0 = INFINITY, y0 = INFINITY, x1 = -INFINITY, y1 = -INFINITY;
    *out_is_rising = true;
    for (size_t i = 0; i < n; i++) {
        bool is_finite = isfinite(points[i].x) && isfinite(points[i].y);
        *out_is_rising &= is_finite && (i == 0 || points[i - 1].x <= points[i].x);
        if (is_finite) {
            x0 = points[i].x < x0 ? points[i].x : x0;
            x1 = points[i].x > x1 ? points[i].x : x1;
            y0 = points[i].y < y0 ? points[i].y : y0;
            y1 = points[i].y > y1 ? points[i].y : y1;
        }
    }
    *out = (struct draw_rect){
        x0 - margin, y0 - margin, x1 - x0 + 2 * margin, y1 - y0 + 2 * margin};
    return x0 <= x1;
}

void draw_polyline(struct draw_list *list, const struct draw_point *points, size_t n,
    float width, draw_color color)
{
    struct draw_rect box;
    bool is_rising = false;
    if (color >> 24 == 0 || !points_box(points, n, width / 2 + 1, &box, &is_rising)) {
        return;
    }
    struct draw_point *kept = draw_scratch(list, n * sizeof *points);
    struct draw_cmd *cmd = kept != NULL ? add(list, DRAW_POLYLINE, box, color) : NULL;
    if (cmd == NULL) {
        list->n_dropped += kept == NULL;
        return;
    }
    memcpy(kept, points, n * sizeof *points);
    cmd->u.polyline.points = kept;
    cmd->u.polyline.n = n;
    cmd->u.polyline.is_rising = is_rising;
    cmd->u.polyline.width = width < 0.5F ? 0.5F : width > 8 ? 8 : width;
}

void draw_curve(struct draw_list *list, struct draw_point from, struct draw_point to,
    float width, draw_color color)
{
    struct draw_point points[CURVE_POINTS];
    for (int i = 0; i < CURVE_POINTS; i++) {
        float t = (float)i / (CURVE_POINTS - 1);
        float u = 1 - t;
        /* A cubic whose inner control points lie half way across, level with the ends. */
        float across = 1.5F * u * u * t + 1.5F * u * t * t + t * t * t;
        float down = 3 * u * t * t + t * t * t;
        points[i] = (struct draw_point){
            from.x + (to.x - from.x) * across, from.y + (to.y - from.y) * down};
    }
    draw_polyline(list, points, CURVE_POINTS, width, color);
}

void draw_band(struct draw_list *list, int x_px, const struct draw_span *spans, size_t n,
    float width, draw_color color)
{
    float top = INFINITY, bottom = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        if (spans[i].top <= spans[i].bottom) {
            top = spans[i].top < top ? spans[i].top : top;
            bottom = spans[i].bottom > bottom ? spans[i].bottom : bottom;
        }
    }
    if (top > bottom || color >> 24 == 0) {
        return;
    }
    float scale = draw_scale(list);
    struct draw_rect box = {(float)x_px / scale, top - width / 2 - 1, (float)n / scale,
        bottom - top + width + 2};
    struct draw_span *kept = draw_scratch(list, n * sizeof *spans);
    struct draw_cmd *cmd = kept != NULL ? add(list, DRAW_BAND, box, color) : NULL;
    if (cmd == NULL) {
        list->n_dropped += kept == NULL;
        return;
    }
    memcpy(kept, spans, n * sizeof *spans);
    cmd->u.band.spans = kept;
    cmd->u.band.n = n;
    cmd->u.band.x_px = x_px;
    cmd->u.band.width = width;
}

/* The command of a flock whose rows are there. */
static struct draw_cmd *add_flock(struct draw_list *list, const struct draw_flock_at *at,
    size_t n_lines, const struct draw_fine *spans, draw_color color)
{
    float scale = draw_scale(list);
    struct draw_rect box = {(float)at->x_px / scale, (float)at->y_px / scale,
        (float)at->n / scale, (float)at->h_px / scale};
    struct draw_cmd *cmd = add(list, DRAW_FLOCK, box, color);
    if (cmd != NULL) {
        cmd->u.flock.spans = spans;
        cmd->u.flock.n = at->n;
        cmd->u.flock.n_lines = n_lines;
        cmd->u.flock.x_px = at->x_px;
        cmd->u.flock.y_px = at->y_px;
        cmd->u.flock.h_px = at->h_px;
        cmd->u.flock.width = at->width;
        cmd->u.flock.key = at->key;
    }
    return cmd;
}

/* Memory of a key: that of an earlier frame, or new. NULL: it does not fit. */
static struct kept *find_kept(
    struct draw_list *list, uint64_t key, size_t n_bytes, bool *out_is_known)
{
    struct kept *place = NULL;
    for (size_t i = 0; i < MAX_KEPT; i++) {
        struct kept *kept = &list->kept[i];
        if (kept->key == key && kept->n_bytes == n_bytes) {
            kept->frame = list->frame_no;
            *out_is_known = true;
            return kept;
        }
        bool is_free = kept->key == 0 || kept->frame < list->frame_no;
        place = place == NULL && is_free ? kept : place;
    }
    if (place != NULL && place->key != 0) {
        drop_kept(list, place);
    }
    if (place == NULL || n_bytes > list->max_bytes ||
        list->bytes > list->max_bytes - n_bytes) {
        return NULL;
    }
    *place = (struct kept){key, list->frame_no, n_bytes, baro_xcalloc(n_bytes, 1)};
    list->bytes += n_bytes;
    *out_is_known = false;
    return place;
}

struct draw_fine *draw_flock(struct draw_list *list, int x_px, int y_px, int h_px, size_t n,
    size_t n_lines, float width, draw_color color)
{
    size_t cells = 0, bytes = 0;
    const struct draw_flock_at at = {x_px, y_px, h_px, n, width, 0};
    struct draw_fine *spans = NULL;
    if (baro_mul(n, n_lines, &cells) && baro_mul(cells, sizeof *spans, &bytes)) {
        spans = draw_scratch(list, bytes);
    }
    if (spans == NULL || add_flock(list, &at, n_lines, spans, color) == NULL) {
        list->n_dropped += spans == NULL;
        return NULL;
    }
    return spans;
}

struct draw_fine *draw_flock_kept(struct draw_list *list, const struct draw_flock_at *at,
    size_t n_lines, draw_color color, size_t n_extra, void **out_extra, bool *out_is_known)
{
    size_t cells = 0, bytes = 0;
    struct kept *kept = NULL;
    if (baro_mul(at->n, n_lines, &cells) &&
        baro_mul(cells, sizeof(struct draw_fine), &bytes)) {
        bytes = (bytes + 15) & ~(size_t)15;
        kept = find_kept(list, at->key, bytes + n_extra, out_is_known);
    }
    if (kept == NULL) {
        list->n_dropped++;
        return NULL;
    }
    struct draw_fine *spans = kept->bytes;
    if (add_flock(list, at, n_lines, spans, color) == NULL) {
        drop_kept(list, kept);
        return NULL;
    }
    *out_extra = (char *)kept->bytes + bytes;
    return spans;
}

static float aligned_x(float x, float w, enum draw_align align)
{
    switch (align) {
    case DRAW_CENTER: return x - w / 2;
    case DRAW_RIGHT: return x - w;
    case DRAW_LEFT: break;
    }
    return x;
}

/* Shorten a text as its style says and find its box; *out_n bytes stay, in out. */
static struct draw_rect lay_out(struct draw_list *list, float x, float y,
    const struct draw_style *style, const char *text, char out[MAX_STRING_BYTES + 4],
    size_t *out_n)
{
    struct font *font = list->font;
    size_t n = strnlen(text, MAX_STRING_BYTES);
    if (style->max_w > 0) {
        n = font_ellipsize(font, style->role, style->size, text, n, style->max_w, out);
    } else {
        memcpy(out, text, n);
        out[n] = '\0';
    }
    *out_n = n;
    float w = font_width(font, style->role, style->size, out, n);
    float ascent = font_ascent(font, style->role, style->size);
    float descent = font_descent(font, style->role, style->size);
    return (struct draw_rect){
        aligned_x(x, w, style->align), y - ascent, w, ascent + descent};
}

struct draw_rect draw_string_box(struct draw_list *list, float x, float y,
    const struct draw_style *style, const char *text)
{
    char shown[MAX_STRING_BYTES + 4];
    size_t n = 0;
    return lay_out(list, x, y, style, text, shown, &n);
}

struct draw_rect draw_string(struct draw_list *list, float x, float y,
    const struct draw_style *style, const char *text)
{
    char shown[MAX_STRING_BYTES + 4];
    size_t n = 0;
    struct draw_rect box = lay_out(list, x, y, style, text, shown, &n);
    if (n == 0 || style->color >> 24 == 0) {
        return box;
    }
    char *kept = draw_scratch(list, n + 1);
    struct draw_cmd *cmd = kept != NULL ? add(list, DRAW_STRING, box, style->color) : NULL;
    if (cmd == NULL) {
        list->n_dropped += kept == NULL;
        return box;
    }
    memcpy(kept, shown, n + 1);
    cmd->u.string.text = kept;
    cmd->u.string.n = n;
    cmd->u.string.x = box.x;
    cmd->u.string.y = y;
    cmd->u.string.role = style->role;
    cmd->u.string.size = style->size;
    return box;
}

struct draw_rect draw_string_in(struct draw_list *list, struct draw_rect rect,
    const struct draw_style *style, const char *text)
{
    struct draw_style fitted = *style;
    if (!(fitted.max_w > 0) || fitted.max_w > rect.w) {
        fitted.max_w = rect.w;
    }
    float cap = font_cap_height(list->font, style->role, style->size);
    float baseline = rect.y + (rect.h + cap) / 2;
    float x = style->align == DRAW_CENTER  ? rect.x + rect.w / 2
              : style->align == DRAW_RIGHT ? rect.x + rect.w
                                           : rect.x;
    return draw_string(list, x, baseline, &fitted, text);
}

void draw_mark(struct draw_list *list, enum draw_mark_kind kind, float x, float y,
    float size, draw_color color)
{
    struct draw_rect box = {x - size - 1, y - size - 1, 2 * size + 2, 2 * size + 2};
    struct draw_cmd *cmd = add(list, DRAW_MARK, box, color);
    if (cmd != NULL) {
        cmd->u.mark.kind = kind;
        cmd->u.mark.x = x;
        cmd->u.mark.y = y;
        cmd->u.mark.size = size;
    }
}

void draw_cells(struct draw_list *list, struct draw_rect rect, const draw_color *colors,
    uint32_t n_columns, uint32_t n_rows)
{
    size_t n = 0, bytes = 0;
    if (n_columns == 0 || n_rows == 0 || !(rect.w > 0 && rect.h > 0)) {
        return;
    }
    draw_color *kept = NULL;
    if (baro_mul(n_columns, n_rows, &n) && baro_mul(n, sizeof *colors, &bytes)) {
        kept = draw_scratch(list, bytes);
    }
    struct draw_cmd *cmd = kept != NULL ? add(list, DRAW_CELLS, rect, 0xFF000000U) : NULL;
    if (cmd == NULL) {
        list->n_dropped += kept == NULL;
        return;
    }
    memcpy(kept, colors, bytes);
    cmd->u.cells.colors = kept;
    cmd->u.cells.n_columns = n_columns;
    cmd->u.cells.n_rows = n_rows;
}

void draw_clip(struct draw_list *list, struct draw_rect rect)
{
    if (list->clip_depth >= DRAW_MAX_CLIP_DEPTH || add(list, DRAW_CLIP, rect, 0) == NULL) {
        list->clip_refused++;
        return;
    }
    list->clip_depth++;
}

void draw_unclip(struct draw_list *list)
{
    if (list->clip_refused > 0) {
        list->clip_refused--;
        return;
    }
    assert(list->clip_depth > 0);
    list->clip_depth--;
    (void)add(list, DRAW_UNCLIP, (struct draw_rect){0}, 0);
}
