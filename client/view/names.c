/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "client/view/inside.h"
#include "client/view/words.h"
#include "lib/base/text.h"

/*
 * Names that are longer than their room. Of a dotted name pieces give way from the left, its
 * numbers and its end last: those tell the layers of a network apart. Of other names (runs, of a
 * sweep say) the middle gives way, since they differ at either end. Sentences go on in a next line.
 */

enum { MAX_PIECES = 32 };

static const char DOTS[] = "…";

/* A name at its dots. */
struct pieces {
    size_t n;
    struct piece {
        const char *at;
        size_t n;
        bool is_number, is_gone;
    } all[MAX_PIECES];
};

static bool is_number(const char *text, size_t n)
{
    return n > 0 && strspn(text, "0123456789") >= n;
}

static void split(struct pieces *pieces, const char *name)
{
    pieces->n = 0;
    while (pieces->n < MAX_PIECES) {
        bool is_last = pieces->n + 1 == MAX_PIECES;
        size_t n = is_last ? strlen(name) : strcspn(name, ".");
        pieces->all[pieces->n++] = (struct piece){name, n, is_number(name, n), false};
        if (name[n] == '\0' || name[n + 1] == '\0') {
            return;
        }
        name += n + 1;
    }
}

/* What is left of it, with dots for what is gone. */
static void join(const struct pieces *pieces, char out[WORDS_MAX])
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < pieces->n && used < WORDS_MAX; i++) {
        const struct piece *piece = &pieces->all[i];
        bool is_after_gap = i > 0 && pieces->all[i - 1].is_gone;
        if (piece->is_gone && is_after_gap) {
            continue;
        }
        int n = (int)(piece->n < WORDS_MAX ? piece->n : WORDS_MAX);
        used +=
            (size_t)(piece->is_gone ? snprintf(out + used, WORDS_MAX - used, "%s", DOTS)
                                    : snprintf(out + used, WORDS_MAX - used, "%s%.*s",
                                          i > 0 && !is_after_gap ? "." : "", n, piece->at));
    }
    out[baro_utf8_prefix(out, strlen(out), WORDS_MAX - 1)] = '\0';
}

/* Let the leftmost piece go that is not the last; false: there is none. */
static bool let_go(struct pieces *pieces, bool numbers_too)
{
    for (size_t i = 0; i + 1 < pieces->n; i++) {
        struct piece *piece = &pieces->all[i];
        if (!piece->is_gone && (numbers_too || !piece->is_number)) {
            piece->is_gone = true;
            return true;
        }
    }
    return false;
}

static float width(struct frame *f, enum font_role role, float size, const char *text)
{
    return font_width(draw_font(f->list), role, size, text, strlen(text));
}

char *frame_fit_name(struct frame *f, enum font_role role, float size, float max_w,
    const char *name, char out[WORDS_MAX])
{
    struct pieces pieces;
    split(&pieces, name);
    join(&pieces, out);
    while (width(f, role, size, out) > max_w && let_go(&pieces, false)) {
        join(&pieces, out);
    }
    const float least = 60; /* so much of the end is worth more than the numbers */
    float numbers = 0;
    for (size_t i = 0; i + 1 < pieces.n; i++) {
        numbers += pieces.all[i].is_gone ? 0 : size;
    }
    while (width(f, role, size, out) > max_w && max_w - numbers < least &&
           let_go(&pieces, true)) {
        numbers -= size;
        join(&pieces, out);
    }
    return out;
}

struct draw_rect frame_name(struct frame *f, float size, draw_color color, float x, float y,
    float max_w, const char *name)
{
    char text[WORDS_MAX];
    return frame_text(f, FONT_TEXT, size, color, x, y, max_w,
        frame_fit_name(f, FONT_TEXT, size, max_w, name, text));
}

char *frame_fit_parts(
    struct frame *f, enum font_role role, float size, float max_w, char *text)
{
    static const char part[] = " · ";
    while (width(f, role, size, text) > max_w) {
        char *last = NULL;
        for (char *at = strstr(text, part); at != NULL; at = strstr(at + 1, part)) {
            last = at;
        }
        if (last == NULL) {
            break;
        }
        *last = '\0';
    }
    return text;
}

const char *frame_waiting(struct frame *f, bool is_sentence)
{
    char *text = draw_scratch(f->list, WORDS_MAX);
    return text != NULL ? words_waiting(text, f->model, is_sentence) : "";
}

/* All, else up to a space, else up to a mark in a long name, else what fits, at least a character. */
size_t frame_fit_line(
    struct frame *f, enum font_role role, float size, const char *text, float w)
{
    struct font *font = draw_font(f->list);
    size_t n = strlen(text);
    size_t space = 0;
    size_t mark = 0;
    size_t any = 0;
    for (size_t at = 1; at <= n; at++) {
        bool is_inside = ((unsigned char)text[at] & 0xC0U) == 0x80U; /* of a character */
        if (is_inside) {
            continue;
        }
        if (font_width(font, role, size, text, at) > w) {
            break;
        }
        any = at;
        space = text[at] == ' ' || at == n ? at : space;
        mark = strchr("./_", text[at - 1]) != NULL ? at : mark;
    }
    if (space > 0 && mark > space) { /* a word that fits in no line is begun in this one */
        const char *word = text + space + strspn(text + space, " ");
        float word_w = font_width(font, role, size, word, strcspn(word, " "));
        space = word_w > w ? mark : space;
    }
    size_t best = space > 0 ? space : mark > 0 ? mark : any;
    return best > 0 ? best : baro_utf8_prefix(text, n, 4);
}

size_t frame_wrap(struct frame *f, enum font_role role, float size, const char *text,
    float w, struct frame_words *lines, size_t max_lines)
{
    size_t n_lines = 0;
    while (*text != '\0' && n_lines < max_lines) {
        bool is_last = n_lines + 1 == max_lines;
        size_t n = is_last ? strlen(text) : frame_fit_line(f, role, size, text, w);
        lines[n_lines++] = (struct frame_words){text, n};
        text += n;
        text += strspn(text, " ");
    }
    return n_lines;
}

size_t frame_text_lines(struct frame *f, enum font_role role, float size, draw_color color,
    struct draw_rect at, float line_h, size_t max_lines, const char *text)
{
    struct frame_words lines[FRAME_MAX_LINES];
    max_lines = max_lines < FRAME_MAX_LINES ? max_lines : (size_t)FRAME_MAX_LINES;
    size_t n = frame_wrap(f, role, size, text, at.w, lines, max_lines);
    for (size_t i = 0; i < n; i++) {
        char line[WORDS_MAX];
        (void)snprintf(line, sizeof line, "%.*s",
            (int)baro_utf8_prefix(lines[i].at, lines[i].n, WORDS_MAX - 1), lines[i].at);
        (void)frame_text(f, role, size, color, at.x, at.y + line_h * (float)i, at.w, line);
    }
    return n;
}

/* The beginning of a character at or after a place in a text. */
static size_t next_character(const char *text, size_t n, size_t at)
{
    while (at < n && ((unsigned char)text[at] & 0xC0U) == 0x80U) {
        at++;
    }
    return at;
}

char *frame_fit_middle(struct frame *f, enum font_role role, float size, float max_w,
    const char *name, char out[WORDS_MAX])
{
    size_t n = strlen(name);
    (void)snprintf(
        out, WORDS_MAX, "%.*s", (int)baro_utf8_prefix(name, n, WORDS_MAX - 1), name);
    n = strlen(out);
    for (size_t gone = 2; gone < n && width(f, role, size, out) > max_w; gone += 2) {
        size_t head = baro_utf8_prefix(name, n, (n - gone + 1) / 2);
        size_t tail = next_character(name, n, n - (n - gone) / 2);
        (void)snprintf(out, WORDS_MAX, "%.*s%s%.*s", (int)head, name, DOTS, (int)(n - tail),
            name + tail);
    }
    return out;
}
