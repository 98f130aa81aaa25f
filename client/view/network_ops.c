/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/view/network.h"
#include "client/view/words.h"
#include "lib/base/mem.h"

/* The operations of one module in the order in which they ran, with what each gave and its line in
 * the program; more under the pointer. */

static const float ROW_H = 20;
static const float HEAD_H = 52;

/* "64 × 8 f32", the first thing that an operation gives. */
static void say_shape(const struct probe_value *value, char *out, size_t size)
{
    size_t n = 0;
    out[0] = '\0';
    for (int i = 0; i < value->n_dims && n + 32 < size; i++) {
        n += (size_t)snprintf(
            out + n, size - n, "%s%lld", i > 0 ? " × " : "", (long long)value->shape[i]);
    }
    if (value->n_dims == 0) {
        (void)snprintf(out, size, "scalar");
    }
}

static void say_range(const struct probe_value *value, char *out, size_t size)
{
    char lo[FORMAT_MAX];
    char hi[FORMAT_MAX];
    if (value->n_nan + value->n_inf > 0) {
        (void)snprintf(out, size, "%llu NaN, %llu infinite of %llu",
            (unsigned long long)value->n_nan, (unsigned long long)value->n_inf,
            (unsigned long long)value->count);
    } else if (isnan(value->min)) {
        (void)snprintf(out, size, "not measured");
    } else {
        (void)snprintf(out, size, "%s to %s", format_value(lo, value->min),
            format_value(hi, value->max));
    }
}

/* A value by its number; NULL for none. */
static const struct probe_value *value_of(const struct probe *probe, int32_t value)
{
    return value != PROBE_NONE ? &probe->values[value] : NULL;
}

static const struct probe_value *output_of(
    const struct probe *probe, const struct probe_op *op)
{
    for (uint32_t i = 0; i < op->n_outputs; i++) {
        const struct probe_value *out = value_of(probe, op->outputs[i]);
        if (out != NULL) {
            return out;
        }
    }
    return NULL;
}

static void tip_of_op(struct frame *f, struct draw_rect row, const struct probe *probe,
    const struct probe_op *op)
{
    char shape[96];
    char range[96];
    const struct probe_value *out = output_of(probe, op);
    frame_tip(f, row.x, row.y);
    frame_tip_line(f, "%s%s%.120s", op->name, op->attrs[0] != '\0' ? "  " : "", op->attrs);
    if (op->source[0] != '\0') {
        frame_tip_line(f, "%s", op->source);
    }
    for (uint32_t i = 0; i < op->n_inputs && i < 3; i++) {
        const struct probe_value *in = value_of(probe, op->inputs[i]);
        if (in != NULL) {
            say_shape(in, shape, sizeof shape);
            say_range(in, range, sizeof range);
            frame_tip_line(f, "takes %s%s%s: %s",
                in->name[0] != '\0' ? in->name : probe_value_kind_name(in->kind), " ",
                shape, range);
        }
    }
    if (out != NULL) {
        say_shape(out, shape, sizeof shape);
        say_range(out, range, sizeof range);
        frame_tip_line(f, "gives %s: %s", shape, range);
    }
}

static void draw_row(struct frame *f, struct draw_rect row, const struct probe *probe,
    const struct probe_op *op)
{
    char shape[96] = "";
    const struct probe_value *out = output_of(probe, op);
    bool is_bad = out != NULL && out->n_nan + out->n_inf > 0;
    float y = frame_middle(f, row, FONT_TEXT, THEME_SIZE_TEXT);
    if (frame_is_over(f, row)) {
        draw_fill(f->list, row, f->theme->raised);
        tip_of_op(f, row, probe, op);
    }
    if (out != NULL) {
        say_shape(out, shape, sizeof shape);
    }
    if (is_bad) {
        frame_mark(f, THEME_ALARM, row.x + 4, row.y + ROW_H / 2);
    }
    float x = row.x + 14;
    float w = row.w - 20;
    (void)frame_text(f, FONT_TEXT, THEME_SIZE_TEXT,
        is_bad ? f->theme->alarm : f->theme->text, x, y, w * 0.32F - 6, op->name);
    (void)frame_text(f, FONT_MONO, THEME_SIZE_AXIS, f->theme->secondary, x + w * 0.32F, y,
        w * 0.32F - 6, shape);
    struct draw_style style = {.size = THEME_SIZE_AXIS,
        .color = f->theme->secondary,
        .align = DRAW_RIGHT,
        .max_w = w * 0.36F - 8};
    (void)draw_string(f->list, row.x + row.w - 8, y, &style, op->source);
}

static void draw_head(struct frame *f, struct draw_rect rect, const struct network_box *box)
{
    char text[WORDS_MAX];
    struct draw_rect cross = {rect.x + rect.w - 32, rect.y + 4, 26, 26};
    draw_mark(f->list, DRAW_MARK_CROSS, cross.x + 13, cross.y + 13, 8,
        frame_is_over(f, cross) ? f->theme->text : f->theme->secondary);
    frame_zone(f, cross, VIEW_PICK_OPS, 0, (int64_t)box->node);
    (void)snprintf(
        text, sizeof text, "%.*s", (int)(box->path_n < 256 ? box->path_n : 256), box->path);
    (void)frame_name(
        f, THEME_SIZE_TITLE, f->theme->text, rect.x + 14, rect.y + 22, rect.w - 54, text);
    (void)snprintf(text, sizeof text, "%u operation%s in the order in which they ran",
        box->n_ops, box->n_ops == 1 ? "" : "s");
    (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->secondary, rect.x + 14,
        rect.y + 40, rect.w - 28, text);
}

void network_ops_draw(struct frame *f, struct draw_rect rect, const struct network_box *box)
{
    const struct probe *probe = network_probe(f);
    struct draw_rect list = {
        rect.x, rect.y + HEAD_H, rect.w - 4, rect.h - HEAD_H - THEME_GAP};
    draw_fill(f->list, rect, f->theme->panel);
    draw_head(f, rect, box);
    float content = ROW_H * (float)box->n_ops;
    float scroll = frame_scroll(f, VIEW_SCROLL_OPS, content, list.h);
    frame_zone(f, rect, VIEW_SCROLL, VIEW_SCROLL_OPS, 0);
    draw_clip(f->list, list);
    struct draw_rect within = f->within;
    f->within = frame_within(f, list);
    float y = list.y - scroll;
    for (uint32_t i = 0; probe != NULL && i < probe->n_ops && y < list.y + list.h; i++) {
        const struct probe_op *op = &probe->ops[i];
        int32_t place =
            op->phase == PROBE_FORWARD ? network_place_of_op(f, i) : GRAPH_NOWHERE;
        if (place != (int32_t)box->order) {
            continue;
        }
        if (y + ROW_H > list.y) {
            draw_row(f, (struct draw_rect){list.x + 4, y, list.w - 8, ROW_H}, probe, op);
        }
        y += ROW_H;
    }
    f->within = within;
    draw_unclip(f->list);
    frame_scroll_bar(f, list, content, scroll);
}
