/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/term.h"

#include <assert.h>
#include <langinfo.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "lib/base/mem.h"
#include "lib/base/text.h"

enum {
    TERM_NO_LIMIT = 1 << 20,
    TABLE_MAX_COLUMNS = 16,
    TABLE_MIN_SHRUNK = 8,
    TABLE_GAP = 2
};

/* ---- the terminal ---- */

static int find_columns(FILE *stream)
{
    struct winsize size;
    if (ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col >= 20) {
        return size.ws_col;
    }
    const char *text = getenv("COLUMNS");
    long columns = text != NULL ? strtol(text, NULL, 10) : 0;
    return columns >= 20 && columns < TERM_NO_LIMIT ? (int)columns : 80;
}

void term_init(struct term *term, FILE *stream)
{
    const char *type = getenv("TERM");
    const char *no_color = getenv("NO_COLOR");
    *term = (struct term){.is_tty = isatty(fileno(stream)) != 0, .columns = TERM_NO_LIMIT};
    term->has_utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    if (term->is_tty) {
        term->columns = find_columns(stream);
        term->has_colour = type != NULL && type[0] != '\0' && strcmp(type, "dumb") != 0 &&
                           (no_color == NULL || no_color[0] == '\0');
    }
}

const char *term_paint(const struct term *term, enum term_paint paint)
{
    static const char *const escapes[TERM_PAINT_COUNT] = {
        [TERM_PLAIN] = "\033[0m",
        [TERM_BOLD] = "\033[1m",
        [TERM_DIM] = "\033[2m",
        [TERM_GOOD] = "\033[32m",
        [TERM_WARN] = "\033[33m",
        [TERM_BAD] = "\033[31m",
        [TERM_ACCENT] = "\033[36m",
    };
    return term->has_colour ? escapes[paint] : "";
}

const char *term_mark(const struct term *term, const char *utf8, const char *ascii)
{
    return term->has_utf8 ? utf8 : ascii;
}

/* Replace every character beyond ASCII by one '?', in place. */
static void make_ascii(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0'; from++) {
        unsigned char byte = (unsigned char)*from;
        if (byte < 0x80) {
            *to++ = *from;
        } else if ((byte & 0xC0) != 0x80) {
            *to++ = '?';
        }
    }
    *to = '\0';
}

char *term_safe(const struct term *term, const char *text, char *out, size_t out_bytes)
{
    baro_text_safe(out, out_bytes, text);
    if (!term->has_utf8) {
        make_ascii(out);
    }
    return out;
}

/* Decode the character at text: its length in bytes (at least 1) and its columns. */
static size_t next_char(const char *text, int *out_columns)
{
    mbstate_t state = {0};
    wchar_t wide;
    size_t n = mbrtowc(&wide, text, MB_CUR_MAX, &state);
    if (n == 0 || n > 8) {
        *out_columns = 1;
        return 1;
    }
    int columns = wcwidth(wide);
    *out_columns = columns > 0 ? columns : 0;
    return n;
}

int term_width(const char *text)
{
    int width = 0;
    while (*text != '\0') {
        int columns;
        text += next_char(text, &columns);
        width += columns;
    }
    return width;
}

void term_wrap_after(
    const struct term *term, FILE *stream, int used, int indent, const char *text)
{
    bool is_begun = used > 0; /* what was printed is not followed by a blank */
    int limit = term->columns < 100 ? term->columns : (term->is_tty ? 100 : TERM_NO_LIMIT);
    while (*text != '\0') {
        size_t n = strcspn(text, " ");
        char word[256];
        (void)snprintf(
            word, sizeof word, "%.*s", (int)(n < sizeof word ? n : sizeof word - 1), text);
        int width = term_width(word);
        if (used > 0 && !is_begun && used + 1 + width > limit) {
            (void)fputc('\n', stream);
            used = 0;
        }
        if (!is_begun) {
            used +=
                used == 0 ? fprintf(stream, "%*s", indent, "") : (fputc(' ', stream), 1);
        }
        is_begun = false;
        (void)fwrite(text, 1, n, stream);
        used += width;
        text += n + strspn(text + n, " ");
    }
    (void)fputc('\n', stream);
}

void term_wrap(const struct term *term, FILE *stream, int indent, const char *text)
{
    term_wrap_after(term, stream, 0, indent, text);
}

/* ---- tables ---- */

struct cell {
    char *text;
    enum term_paint paint;
};

struct table {
    const struct term *term;
    const struct table_column *columns;
    size_t n_columns;
    struct cell *cells;
    size_t n_cells;
};

struct table *table_create(
    const struct term *term, const struct table_column *columns, size_t n_columns)
{
    struct table *table = baro_xcalloc(1, sizeof *table);
    table->term = term;
    table->columns = columns;
    table->n_columns = n_columns < TABLE_MAX_COLUMNS ? n_columns : TABLE_MAX_COLUMNS;
    return table;
}

void table_cell(struct table *table, enum term_paint paint, const char *format, ...)
{
    char raw[1024];
    char safe[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(raw, sizeof raw, format, args);
    va_end(args);
    table->cells = baro_xrealloc(table->cells, table->n_cells + 1, sizeof *table->cells);
    table->cells[table->n_cells++] =
        (struct cell){baro_xstrdup(term_safe(table->term, raw, safe, sizeof safe)), paint};
}

/* Copy at most columns of a text. Returns the bytes copied. */
static size_t copy_head(const char *text, int columns, char *out)
{
    size_t used = 0;
    int width = 0;
    while (text[used] != '\0') {
        int char_columns;
        size_t n = next_char(text + used, &char_columns);
        if (width + char_columns > columns) {
            break;
        }
        used += n;
        width += char_columns;
    }
    memcpy(out, text, used);
    out[used] = '\0';
    return used;
}

/* Cut a text to a width; dots say where. */
static void shorten(
    const struct term *term, enum table_cut cut, const char *text, int columns, char *out)
{
    const char *dots = term_mark(term, "…", "..");
    int left = columns - (term->has_utf8 ? 1 : 2);
    int head = cut == TABLE_CUT_END ? left : left / 2;
    size_t used = copy_head(text, head, out);
    const char *rest = text + used;
    while (term_width(rest) > left - head) {
        int char_columns;
        rest += next_char(rest, &char_columns);
    }
    (void)sprintf(out + used, "%s%s", dots, rest);
}

static void measure(const struct table *table, int widths[TABLE_MAX_COLUMNS])
{
    int total = -TABLE_GAP;
    for (size_t c = 0; c < table->n_columns; c++) {
        widths[c] = term_width(table->columns[c].title);
        for (size_t i = c; i < table->n_cells; i += table->n_columns) {
            int width = term_width(table->cells[i].text);
            widths[c] = width > widths[c] ? width : widths[c];
        }
        total += widths[c] + TABLE_GAP;
    }
    while (total > table->term->columns) {
        int widest = -1;
        for (size_t c = 0; c < table->n_columns; c++) {
            if (table->columns[c].cut != TABLE_WHOLE && widths[c] > TABLE_MIN_SHRUNK &&
                (widest < 0 || widths[c] > widths[widest])) {
                widest = (int)c;
            }
        }
        if (widest < 0) {
            return;
        }
        widths[widest]--;
        total--;
    }
}

static void print_cell(const struct table *table, FILE *stream, size_t column, int width,
    const char *text, enum term_paint paint)
{
    char shown[1100];
    if (term_width(text) > width) {
        shorten(table->term, table->columns[column].cut, text, width, shown);
    } else {
        (void)snprintf(shown, sizeof shown, "%s", text);
    }
    bool is_last = column + 1 == table->n_columns;
    int padding = width - term_width(shown);
    bool is_right = table->columns[column].is_right;
    (void)fprintf(stream, "%*s%s%s%s%*s", is_right ? padding : 0, "",
        paint == TERM_PLAIN ? "" : term_paint(table->term, paint), shown,
        paint == TERM_PLAIN ? "" : term_paint(table->term, TERM_PLAIN),
        is_last ? 0 : TABLE_GAP + (is_right ? 0 : padding), "");
    if (is_last) {
        (void)fputc('\n', stream);
    }
}

void table_print(const struct table *table, FILE *stream)
{
    assert(table->n_columns > 0);
    int widths[TABLE_MAX_COLUMNS];
    measure(table, widths);
    for (size_t c = 0; c < table->n_columns; c++) {
        print_cell(table, stream, c, widths[c], table->columns[c].title, TERM_DIM);
    }
    for (size_t i = 0; i < table->n_cells; i++) {
        size_t c = i % table->n_columns;
        print_cell(
            table, stream, c, widths[c], table->cells[i].text, table->cells[i].paint);
    }
}

void table_destroy(struct table *table)
{
    if (table == NULL) {
        return;
    }
    for (size_t i = 0; i < table->n_cells; i++) {
        free(table->cells[i].text);
    }
    free(table->cells);
    free(table);
}
