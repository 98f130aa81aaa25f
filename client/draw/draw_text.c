/* SPDX-License-Identifier: Apache-2.0 */
#include "client/draw/draw_text.h"

#include <inttypes.h>
#include <string.h>

#include "lib/base/err.h"

/* Arrays up to this long are printed whole, longer ones as ends and a checksum. */
enum { WHOLE = 16 };

#define FNV_START UINT64_C(0xCBF29CE484222325)
#define FNV_PRIME UINT64_C(0x100000001B3)

static const char *const mark_names[DRAW_MARK_COUNT] = {"dot", "triangle", "square", "ring",
    "notch", "up", "down", "fork", "chevron", "chevron-down", "cross"};
static const char *const role_names[FONT_ROLE_COUNT] = {"text", "strong", "mono"};

/* Tenths of a pixel: what differs less is the same picture. */
static long tenths(float value)
{
    float scaled = value * 10.0F;
    return (long)(scaled < 0 ? scaled - 0.5F : scaled + 0.5F);
}

static uint64_t add_hash(uint64_t hash, uint64_t value)
{
    for (unsigned shift = 0; shift < 64; shift += 8) {
        hash = (hash ^ (value >> shift & 0xFFU)) * FNV_PRIME;
    }
    return hash;
}

static void print_tenths(FILE *out, float value)
{
    long t = tenths(value);
    (void)fprintf(out, " %s%ld.%ld", t < 0 ? "-" : "", t < 0 ? -t / 10 : t / 10,
        t < 0 ? -t % 10 : t % 10);
}

static void print_box(FILE *out, const struct draw_cmd *cmd)
{
    print_tenths(out, cmd->box.x);
    print_tenths(out, cmd->box.y);
    print_tenths(out, cmd->box.w);
    print_tenths(out, cmd->box.h);
}

/* n pairs of floats, as points or spans are. */
static void print_pairs(FILE *out, const float *pairs, size_t n)
{
    uint64_t hash = FNV_START;
    for (size_t i = 0; i < 2 * n; i++) {
        hash = add_hash(hash, (uint64_t)tenths(pairs[i]));
    }
    (void)fprintf(out, " n %zu", n);
    for (size_t i = 0; i < n; i++) {
        if (n <= WHOLE || i < 2 || i + 2 >= n) {
            print_tenths(out, pairs[2 * i]);
            print_tenths(out, pairs[2 * i + 1]);
        } else if (i == 2) {
            (void)fprintf(out, " ...");
        }
    }
    if (n > WHOLE) {
        (void)fprintf(out, " sum %016" PRIx64, hash);
    }
}

static void print_flock(FILE *out, const struct draw_cmd *cmd)
{
    uint64_t hash = FNV_START;
    size_t n = cmd->u.flock.n * cmd->u.flock.n_lines;
    for (size_t i = 0; i < n; i++) {
        const struct draw_fine span = cmd->u.flock.spans[i];
        hash = add_hash(hash, (uint64_t)span.top << 16 | span.bottom);
    }
    (void)fprintf(out, " x %d y %d h %d n %zu lines %zu sum %016" PRIx64, cmd->u.flock.x_px,
        cmd->u.flock.y_px, cmd->u.flock.h_px, cmd->u.flock.n, cmd->u.flock.n_lines, hash);
}

static void print_cells(FILE *out, const struct draw_cmd *cmd)
{
    uint64_t hash = FNV_START;
    size_t n = (size_t)cmd->u.cells.n_columns * cmd->u.cells.n_rows;
    for (size_t i = 0; i < n; i++) {
        hash = add_hash(hash, cmd->u.cells.colors[i]);
    }
    print_box(out, cmd);
    (void)fprintf(out, " of %" PRIu32 " x %" PRIu32 " sum %016" PRIx64,
        cmd->u.cells.n_columns, cmd->u.cells.n_rows, hash);
}

/* Quotes and control characters are escaped: a line stays a line. */
static void print_quoted(FILE *out, const char *text, size_t n)
{
    (void)fputs(" \"", out);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\') {
            (void)fprintf(out, "\\%c", c);
        } else if (c < ' ' || c == 0x7F) {
            (void)fprintf(out, "\\x%02x", c);
        } else {
            (void)fputc(c, out);
        }
    }
    (void)fputc('"', out);
}

static void print_cmd(FILE *out, const struct draw_cmd *cmd)
{
    switch (cmd->op) {
    case DRAW_FILL:
        (void)fputs("fill", out);
        print_box(out, cmd);
        if (cmd->u.fill.radius > 0) {
            (void)fputs(" radius", out);
            print_tenths(out, cmd->u.fill.radius);
        }
        break;
    case DRAW_HAIR:
        (void)fputs(cmd->u.hair.vertical ? "hair-v" : "hair-h", out);
        print_tenths(out, cmd->box.x);
        print_tenths(out, cmd->box.y);
        print_tenths(out, cmd->u.hair.vertical ? cmd->box.h : cmd->box.w);
        (void)fputs(cmd->u.hair.dash > 0 ? " dashed" : "", out);
        break;
    case DRAW_POLYLINE:
        (void)fprintf(out, "polyline width %.2f", (double)cmd->u.polyline.width);
        print_pairs(out, &cmd->u.polyline.points->x, cmd->u.polyline.n);
        break;
    case DRAW_BAND:
        (void)fprintf(
            out, "band width %.2f x %d", (double)cmd->u.band.width, cmd->u.band.x_px);
        print_pairs(out, &cmd->u.band.spans->top, cmd->u.band.n);
        break;
    case DRAW_FLOCK:
        (void)fputs("flock", out);
        print_flock(out, cmd);
        break;
    case DRAW_STRING:
        (void)fprintf(out, "string %s %g", role_names[cmd->u.string.role],
            (double)cmd->u.string.size);
        print_tenths(out, cmd->u.string.x);
        print_tenths(out, cmd->u.string.y);
        print_quoted(out, cmd->u.string.text, cmd->u.string.n);
        break;
    case DRAW_MARK:
        (void)fprintf(out, "mark %s", mark_names[cmd->u.mark.kind]);
        print_tenths(out, cmd->u.mark.x);
        print_tenths(out, cmd->u.mark.y);
        print_tenths(out, cmd->u.mark.size);
        break;
    case DRAW_CELLS:
        (void)fputs("cells", out);
        print_cells(out, cmd);
        break;
    case DRAW_CLIP:
        (void)fputs("clip", out);
        print_box(out, cmd);
        break;
    case DRAW_UNCLIP: (void)fputs("unclip", out); break;
    case DRAW_OP_COUNT: break;
    }
}

int draw_text_print(const struct draw_list *list, FILE *out)
{
    size_t n = 0;
    const struct draw_cmd *cmds = draw_cmds(list, &n);
    const struct draw_rect frame = draw_frame(list);
    (void)fprintf(out, "frame %g %g scale %g #%08" PRIx32 "\n", (double)frame.w,
        (double)frame.h, (double)draw_scale(list), draw_background(list));
    for (size_t i = 0; i < n; i++) {
        print_cmd(out, &cmds[i]);
        if (cmds[i].op != DRAW_CLIP && cmds[i].op != DRAW_UNCLIP &&
            cmds[i].op != DRAW_CELLS) {
            (void)fprintf(out, " #%08" PRIx32, cmds[i].color);
        }
        (void)fputc('\n', out);
    }
    if (draw_dropped(list) > 0) {
        (void)fprintf(out, "dropped %zu\n", draw_dropped(list));
    }
    return ferror(out) != 0 ? BARO_EIO : 0;
}
