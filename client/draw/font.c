/* SPDX-License-Identifier: Apache-2.0 */
#include "client/draw/font.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <SDL2/SDL_ttf.h>

#include "lib/base/mem.h"

/*
 * Text that is crisp and evenly spaced at once. A face is opened with four times the
 * horizontal resolution (SDL_ttf passes two resolutions on to FreeType), light hinting snaps
 * stems vertically only, and a glyph is boxed down to one of four quarter-pixel phases. So
 * rows are sharp, letters keep their shape, and distances between them are right to a quarter
 * of a pixel. Numbers advance by whole pixels: equal digits have equal pixels.
 *
 * Inter keeps its kerning where only the shaper sees it, so a pair's kerning is measured by
 * shaping: width(HabH) - width(HaH) - width(HbH) + width(HH), once per pair.
 */

enum {
    MAX_SIZES = 12,       /* sizes of one role */
    MAX_ENTRIES = 4096,   /* characters of one face */
    TABLE_START = 256,    /* slots, a power of two */
    N_ASCII = 95,         /* ' ' to '~' */
    REPLACEMENT = 0xFFFD, /* shown for what no face has */
    KERN_UNKNOWN = -128,
};

struct entry {
    uint32_t character;
    int advance; /* quarter pixels */
    struct font_glyph *glyphs[FONT_PHASES];
};

/* One role at one size. */
struct face {
    int px;
    TTF_Font *ttf;
    TTF_Font *fallback; /* for characters that ttf lacks; may be NULL */
    struct entry **table;
    size_t n_slots, n_entries;
    int8_t *kerning; /* N_ASCII squared; NULL for numbers */
};

struct font {
    float scale;
    bool is_fixed;
    char files[FONT_ROLE_COUNT][256];
    char fallback_file[256];
    char names[256];
    struct face faces[FONT_ROLE_COUNT][MAX_SIZES];
    int n_faces[FONT_ROLE_COUNT];
};

static const char *const font_dirs[] = {
    "/usr/share/fonts/opentype/inter",
    "/usr/share/fonts/truetype/inter",
    "/usr/share/fonts/truetype/jetbrains-mono",
    "/usr/share/fonts/truetype/dejavu",
    "/usr/share/fonts/inter",
    "/usr/share/fonts/jetbrains-mono",
    "/usr/share/fonts/dejavu",
    "/usr/share/fonts/TTF",
    "/usr/share/fonts/OTF",
    "/usr/local/share/fonts",
};

/* In the order of preference, NULL-terminated. */
static const char *const font_files[FONT_ROLE_COUNT][6] = {
    [FONT_TEXT] = {"Inter-Regular.otf", "Inter-Regular.ttf", "DejaVuSans.ttf"},
    [FONT_STRONG] = {"Inter-SemiBold.otf", "Inter-SemiBold.ttf", "DejaVuSans-Bold.ttf",
        "DejaVuSans.ttf"},
    [FONT_MONO] = {"JetBrainsMono-Regular.ttf", "JetBrainsMono-Regular.otf",
        "DejaVuSansMono.ttf"},
};

static bool find_in(const char *dir, const char *file, char *out, size_t bytes)
{
    int n = snprintf(out, bytes, "%s/%s", dir, file);
    if (n < 0 || (size_t)n >= bytes) {
        return false;
    }
    SDL_RWops *probe = SDL_RWFromFile(out, "rb");
    if (probe == NULL) {
        return false;
    }
    (void)SDL_RWclose(probe);
    return true;
}

static bool find_file(const char *file, char *out, size_t bytes)
{
    const char *own = getenv("BARO_FONT_DIR");
    if (own != NULL && find_in(own, file, out, bytes)) {
        return true;
    }
    for (size_t i = 0; i < BARO_LEN(font_dirs); i++) {
        if (find_in(font_dirs[i], file, out, bytes)) {
            return true;
        }
    }
    return false;
}

static bool find_role(struct font *font, enum font_role role)
{
    for (size_t i = 0; font_files[role][i] != NULL; i++) {
        if (find_file(font_files[role][i], font->files[role], sizeof font->files[role])) {
            size_t used = strlen(font->names);
            (void)snprintf(font->names + used, sizeof font->names - used, "%s%s",
                used > 0 ? ", " : "", font_files[role][i]);
            return true;
        }
    }
    return false;
}

struct font *font_open(float scale, struct baro_err *err)
{
    if (!(scale >= 0.5F && scale <= 4.0F)) {
        (void)baro_err_set(
            err, BARO_EINVAL, "text scale %g is not between 0.5 and 4", (double)scale);
        return NULL;
    }
    if (TTF_Init() != 0) {
        (void)baro_err_set(err, BARO_EIO, "cannot start text drawing: %s", TTF_GetError());
        return NULL;
    }
    struct font *font = baro_xcalloc(1, sizeof *font);
    font->scale = scale;
    for (enum font_role role = 0; role < FONT_ROLE_COUNT; role++) {
        if (!find_role(font, role)) {
            (void)baro_err_set(err, BARO_ENOENT,
                "no font for %s: install fonts-inter and fonts-jetbrains-mono (or "
                "fonts-dejavu), or name a folder in BARO_FONT_DIR",
                role == FONT_MONO ? "numbers" : "text");
            font_close(font);
            return NULL;
        }
    }
    if (!find_file("DejaVuSans.ttf", font->fallback_file, sizeof font->fallback_file)) {
        font->fallback_file[0] = '\0';
    }
    return font;
}

struct font *font_open_fixed(float scale)
{
    struct font *font = baro_xcalloc(1, sizeof *font);
    font->scale = scale;
    font->is_fixed = true;
    (void)snprintf(font->names, sizeof font->names, "fixed");
    return font;
}

static void close_face(struct face *face)
{
    for (size_t i = 0; i < face->n_slots; i++) {
        for (int phase = 0; face->table[i] != NULL && phase < FONT_PHASES; phase++) {
            free(face->table[i]->glyphs[phase]);
        }
        free(face->table[i]);
    }
    free(face->table);
    free(face->kerning);
    if (face->ttf != NULL) {
        TTF_CloseFont(face->ttf);
    }
    if (face->fallback != NULL) {
        TTF_CloseFont(face->fallback);
    }
}

void font_close(struct font *font)
{
    if (font == NULL) {
        return;
    }
    for (int role = 0; role < FONT_ROLE_COUNT; role++) {
        for (int i = 0; i < font->n_faces[role]; i++) {
            close_face(&font->faces[role][i]);
        }
    }
    if (!font->is_fixed) {
        TTF_Quit();
    }
    free(font);
}

float font_scale(const struct font *font)
{
    return font->scale;
}

const char *font_names(const struct font *font)
{
    return font->names;
}

static TTF_Font *open_ttf(const char *file, int px)
{
    if (file[0] == '\0') {
        return NULL;
    }
    TTF_Font *ttf = TTF_OpenFontDPI(file, px, 72 * FONT_PHASES, 72);
    if (ttf != NULL) {
        TTF_SetFontHinting(ttf, TTF_HINTING_LIGHT);
    }
    return ttf;
}

/* The face of a role at a size; the nearest one when all places are taken. NULL: unreadable. */
static struct face *get_face(struct font *font, enum font_role role, float size)
{
    int px = (int)lroundf(size * font->scale);
    px = px < 4 ? 4 : px > 200 ? 200 : px;
    struct face *nearest = NULL;
    for (int i = 0; i < font->n_faces[role]; i++) {
        struct face *face = &font->faces[role][i];
        if (face->px == px) {
            return face;
        }
        if (nearest == NULL || abs(face->px - px) < abs(nearest->px - px)) {
            nearest = face;
        }
    }
    if (font->n_faces[role] == MAX_SIZES) {
        return nearest;
    }
    struct face face = {.px = px, .ttf = open_ttf(font->files[role], px)};
    if (face.ttf == NULL) {
        return nearest;
    }
    face.fallback = open_ttf(font->fallback_file, px);
    face.n_slots = TABLE_START;
    face.table = baro_xcalloc(face.n_slots, sizeof *face.table);
    if (role != FONT_MONO) {
        face.kerning = baro_xcalloc(N_ASCII * N_ASCII, 1);
        memset(face.kerning, KERN_UNKNOWN, N_ASCII * N_ASCII);
    }
    font->faces[role][font->n_faces[role]] = face;
    return &font->faces[role][font->n_faces[role]++];
}

static size_t slot_of(const struct face *face, uint32_t character)
{
    size_t slot = (character * 2654435761U) & (face->n_slots - 1);
    while (face->table[slot] != NULL && face->table[slot]->character != character) {
        slot = (slot + 1) & (face->n_slots - 1);
    }
    return slot;
}

static void grow_table(struct face *face)
{
    struct entry **old = face->table;
    size_t n_old = face->n_slots;
    face->n_slots *= 2;
    face->table = baro_xcalloc(face->n_slots, sizeof *face->table);
    for (size_t i = 0; i < n_old; i++) {
        if (old[i] != NULL) {
            face->table[slot_of(face, old[i]->character)] = old[i];
        }
    }
    free(old);
}

/* The font that has the character; *character becomes the replacement where none has. */
static TTF_Font *provider(const struct face *face, uint32_t *character)
{
    const uint32_t tries[] = {*character, REPLACEMENT, '?'};
    for (size_t i = 0; i < BARO_LEN(tries); i++) {
        *character = tries[i];
        if (TTF_GlyphIsProvided32(face->ttf, tries[i]) != 0) {
            return face->ttf;
        }
        if (face->fallback != NULL &&
            TTF_GlyphIsProvided32(face->fallback, tries[i]) != 0) {
            return face->fallback;
        }
    }
    return face->ttf;
}

static struct entry *get_entry(struct face *face, enum font_role role, uint32_t character)
{
    size_t slot = slot_of(face, character);
    if (face->table[slot] != NULL) {
        return face->table[slot];
    }
    if (face->n_entries >= MAX_ENTRIES) {
        slot = slot_of(face, ' ');
        if (face->table[slot] != NULL) {
            return face->table[slot];
        }
    }
    struct entry *entry = baro_xcalloc(1, sizeof *entry);
    entry->character = character;
    uint32_t shown = character;
    TTF_Font *ttf = provider(face, &shown);
    int advance = 0;
    (void)TTF_GlyphMetrics32(ttf, shown, NULL, NULL, NULL, NULL, &advance);
    if (role == FONT_MONO) {
        advance = (advance + FONT_PHASES / 2) / FONT_PHASES * FONT_PHASES;
    }
    entry->advance = advance;
    face->table[slot] = entry;
    face->n_entries++;
    if (face->n_entries * 2 > face->n_slots) {
        grow_table(face);
    }
    return entry;
}

static int shaped_width(TTF_Font *ttf, const char *text)
{
    int w = 0;
    (void)TTF_SizeUTF8(ttf, text, &w, NULL);
    return w;
}

static int kerning(struct face *face, uint32_t before, uint32_t character)
{
    if (face->kerning == NULL || before < ' ' || before > '~' || character < ' ' ||
        character > '~') {
        return 0;
    }
    int8_t *kept = &face->kerning[(before - ' ') * N_ASCII + (character - ' ')];
    if (*kept == KERN_UNKNOWN) {
        const char pair[] = {'H', (char)before, (char)character, 'H', '\0'};
        const char first[] = {'H', (char)before, 'H', '\0'};
        const char second[] = {'H', (char)character, 'H', '\0'};
        int kern = shaped_width(face->ttf, pair) - shaped_width(face->ttf, first) -
                   shaped_width(face->ttf, second) + shaped_width(face->ttf, "HH");
        *kept = (int8_t)(kern < -100 ? -100 : kern > 100 ? 100 : kern);
    }
    return *kept;
}

uint32_t font_next_char(const char *text, size_t n, size_t *at)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    unsigned char lead = (unsigned char)text[(*at)++];
    if (lead < 0x80) {
        return lead < 0x20 || lead == 0x7F ? ' ' : lead; /* a line break in a message */
    }
    size_t more = lead >= 0xF0 && lead < 0xF5 ? 3 : lead >= 0xE0 ? 2 : lead >= 0xC2 ? 1 : 0;
    if (more == 0 || lead >= 0xF5 || *at + more > n) {
        return REPLACEMENT;
    }
    uint32_t character = lead & (0x3FU >> more);
    for (size_t i = 0; i < more; i++) {
        unsigned char next = (unsigned char)text[*at + i];
        if ((next & 0xC0U) != 0x80U) {
            return REPLACEMENT;
        }
        character = character << 6 | (next & 0x3FU);
    }
    if (character < least[more] || character > 0x10FFFF ||
        (character >= 0xD800 && character < 0xE000)) {
        return REPLACEMENT;
    }
    *at += more;
    return character;
}

int font_advance(
    struct font *font, enum font_role role, float size, uint32_t before, uint32_t character)
{
    if (font->is_fixed) {
        float em = role == FONT_MONO ? 0.6F : 0.55F;
        return (int)lroundf(size * font->scale * em * FONT_PHASES);
    }
    struct face *face = get_face(font, role, size);
    if (face == NULL) {
        return 0;
    }
    int advance = get_entry(face, role, character)->advance;
    return before != 0 ? advance + kerning(face, before, character) : advance;
}

float font_width(
    struct font *font, enum font_role role, float size, const char *text, size_t n)
{
    int quarters = 0;
    uint32_t before = 0;
    for (size_t at = 0; at < n;) {
        uint32_t character = font_next_char(text, n, &at);
        quarters += font_advance(font, role, size, before, character);
        before = character;
    }
    return (float)quarters / (FONT_PHASES * font->scale);
}

float font_cap_height(struct font *font, enum font_role role, float size)
{
    struct face *face = font->is_fixed ? NULL : get_face(font, role, size);
    int top = 0;
    if (face == NULL ||
        TTF_GlyphMetrics32(face->ttf, 'H', NULL, NULL, NULL, &top, NULL) != 0) {
        return 0.73F * size;
    }
    return (float)top / font->scale;
}

float font_ascent(struct font *font, enum font_role role, float size)
{
    struct face *face = font->is_fixed ? NULL : get_face(font, role, size);
    return face == NULL ? 0.97F * size : (float)TTF_FontAscent(face->ttf) / font->scale;
}

float font_descent(struct font *font, enum font_role role, float size)
{
    struct face *face = font->is_fixed ? NULL : get_face(font, role, size);
    return face == NULL ? 0.25F * size : (float)-TTF_FontDescent(face->ttf) / font->scale;
}

size_t font_ellipsize(struct font *font, enum font_role role, float size, const char *text,
    size_t n, float max_w, char *out)
{
    static const char ellipsis[] = "\xE2\x80\xA6";
    float limit = max_w * FONT_PHASES * font->scale + 0.5F;
    int tail = font_advance(font, role, size, 0, 0x2026);
    int quarters = 0;
    uint32_t before = 0;
    size_t fits = 0; /* bytes that fit together with the ellipsis */
    size_t at = 0;
    while (at < n && (float)quarters <= limit) {
        uint32_t character = font_next_char(text, n, &at);
        quarters += font_advance(font, role, size, before, character);
        before = character;
        if ((float)(quarters + tail) <= limit) {
            fits = at;
        }
    }
    if ((float)quarters <= limit) {
        memcpy(out, text, n);
        out[n] = '\0';
        return n;
    }
    if ((float)tail > limit) {
        out[0] = '\0';
        return 0;
    }
    while (fits > 0 && text[fits - 1] == ' ') {
        fits--;
    }
    memcpy(out, text, fits);
    memcpy(out + fits, ellipsis, sizeof ellipsis);
    return fits + sizeof ellipsis - 1;
}

/* Coverage at four times the width, as the rows of an SDL surface: its alpha. */
struct wide_glyph {
    const uint8_t *pixels;
    int pitch, w, h;
};

static int wide_at(const struct wide_glyph *wide, int x, int y)
{
    if (x < 0 || x >= wide->w) {
        return 0;
    }
    uint32_t pixel;
    memcpy(&pixel, wide->pixels + (ptrdiff_t)y * wide->pitch + (ptrdiff_t)x * 4, 4);
    return (int)(pixel >> 24);
}

/* First and past-last rows with ink. */
static void ink_rows(const struct wide_glyph *wide, int *out_from, int *out_to)
{
    *out_from = wide->h;
    *out_to = 0;
    for (int y = 0; y < wide->h; y++) {
        for (int x = 0; x < wide->w; x++) {
            if (wide_at(wide, x, y) != 0) {
                *out_from = y < *out_from ? y : *out_from;
                *out_to = y + 1;
                break;
            }
        }
    }
}

/* Whole pixels in a number of quarter pixels, rounded down. */
static int floor_quarter(int quarters)
{
    return quarters >= 0 ? quarters / FONT_PHASES
                         : -((-quarters + FONT_PHASES - 1) / FONT_PHASES);
}

/* Box four wide columns to one; origin is the wide column of the pen. */
static struct font_glyph *box_glyph(
    const struct wide_glyph *wide, int origin, int ascent, int phase)
{
    int from, to;
    ink_rows(wide, &from, &to);
    if (from >= to) {
        return baro_xcalloc(1, sizeof(struct font_glyph));
    }
    int first = floor_quarter(phase - origin);
    int last = floor_quarter(wide->w - 1 - origin + phase);
    int w = last - first + 1;
    int h = to - from;
    struct font_glyph *glyph = baro_xcalloc(1, sizeof *glyph + (size_t)w * (size_t)h);
    uint8_t *coverage = (uint8_t *)(glyph + 1);
    for (int y = 0; y < h; y++) {
        for (int x = 0; x < w; x++) {
            int sum = FONT_PHASES / 2;
            for (int i = 0; i < FONT_PHASES; i++) {
                int column = (first + x) * FONT_PHASES + i - phase + origin;
                sum += wide_at(wide, column, from + y);
            }
            coverage[y * w + x] = (uint8_t)(sum / FONT_PHASES);
        }
    }
    *glyph = (struct font_glyph){
        .coverage = coverage, .w = w, .h = h, .left = first, .top = ascent - from};
    return glyph;
}

static struct font_glyph *render(struct face *face, uint32_t character, int phase)
{
    uint32_t shown = character;
    TTF_Font *ttf = provider(face, &shown);
    int left = 0;
    (void)TTF_GlyphMetrics32(ttf, shown, &left, NULL, NULL, NULL, NULL);
    SDL_Surface *surface =
        TTF_RenderGlyph32_Blended(ttf, shown, (SDL_Color){255, 255, 255, 255});
    if (surface == NULL || surface->format->BytesPerPixel != 4) {
        SDL_FreeSurface(surface);
        return baro_xcalloc(1, sizeof(struct font_glyph));
    }
    const struct wide_glyph wide = {.pixels = surface->pixels,
        .pitch = surface->pitch,
        .w = surface->w,
        .h = surface->h};
    /* SDL_ttf moves a glyph that reaches left of its pen to the surface's first column. */
    int origin = left < 0 ? -left : 0;
    struct font_glyph *glyph = box_glyph(&wide, origin, TTF_FontAscent(ttf), phase);
    SDL_FreeSurface(surface);
    return glyph;
}

const struct font_glyph *font_glyph(
    struct font *font, enum font_role role, float size, uint32_t character, int phase)
{
    static const struct font_glyph nothing;
    struct face *face = font->is_fixed ? NULL : get_face(font, role, size);
    if (face == NULL) {
        return &nothing;
    }
    struct entry *entry = get_entry(face, role, character);
    if (entry->glyphs[phase] == NULL) {
        entry->glyphs[phase] = render(face, entry->character, phase);
    }
    return entry->glyphs[phase];
}
