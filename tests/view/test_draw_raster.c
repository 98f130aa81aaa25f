/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/testing.h"

#include <math.h>
#include <unistd.h>

#include "client/draw/draw_raster.h"
#include "client/draw/png.h"
#include "client/draw/theme.h"

enum { W = 320, H = 200 };

#define WHITE 0xFFFFFFFFU
#define BLACK 0xFF000000U

/* A list and a surface of W x H, with fixed text unless real fonts are asked for. */
struct board {
    struct font *font;
    struct draw_list *list;
    struct raster *raster;
};

static struct board make_board(float scale, bool real)
{
    struct board b = {0};
    struct baro_err err = {0};
    b.font = real ? font_open(scale, &err) : font_open_fixed(scale);
    if (b.font == NULL) {
        fail_msg("%s", err.text);
    }
    b.list = draw_create(b.font, 0);
    b.raster = raster_create((int)(W * scale), (int)(H * scale));
    draw_begin(b.list, W, H, WHITE);
    return b;
}

static void free_board(struct board *b)
{
    raster_destroy(b->raster);
    draw_destroy(b->list);
    font_close(b->font);
}

/* How dark a pixel is: black ink on white ground shows its coverage as it is. */
static int ink_at(const struct board *b, int x, int y)
{
    return 255 - (int)(raster_pixels(b->raster)[y * raster_w(b->raster) + x] & 0xFFU);
}

static int column_ink(const struct board *b, int x)
{
    int sum = 0;
    for (int y = 0; y < raster_h(b->raster); y++) {
        sum += ink_at(b, x, y);
    }
    return sum;
}

static void a_level_line_covers_exactly_its_width(void **state)
{
    for (int i = 0; i < 40; i++) {
        struct board b = make_board(1, false);
        float width = 1 + (float)(i % 4);
        float y = 50 + (float)i / 40;
        const struct draw_point points[] = {{10, y}, {100, y}, {300, y}};
        draw_polyline(b.list, points, 3, width, BLACK);
        (void)raster_draw(b.raster, b.list, NULL, 0);
        for (int x = 20; x < 290; x++) {
            int sum = column_ink(&b, x);
            assert_true(abs(sum - (int)(width * 255)) <= 3);
        }
        free_board(&b);
    }
}

static void a_slanted_line_covers_its_width_along_its_normal(void **state)
{
    for (int i = 1; i < 30; i++) {
        struct board b = make_board(1, false);
        float slope = (float)i / 10;
        float width = 1.25F + (float)(i % 3);
        const struct draw_point points[] = {
            {10, 10}, {10 + 180 / (slope > 0.6F ? slope : 0.6F), 10}};
        struct draw_point to = points[1];
        to.y = 10 + (to.x - 10) * slope;
        const struct draw_point line[] = {points[0], to};
        draw_polyline(b.list, line, 2, width, BLACK);
        (void)raster_draw(b.raster, b.list, NULL, 0);
        double total = 0;
        for (int x = 0; x < W; x++) {
            total += column_ink(&b, x) / 255.0;
        }
        double length = hypot((double)(to.x - 10), (double)(to.y - 10));
        double cap = 3.14159 / 4 * (double)(width * width);
        assert_true(fabs(total - (length * (double)width + cap)) < 0.03 * total + 1);
        free_board(&b);
    }
}

static void translucent_lines_have_no_beads_at_their_joints(void **state)
{
    struct board b = make_board(1, false);
    struct draw_point points[60];
    for (int i = 0; i < 60; i++) {
        points[i] = (struct draw_point){10 + 5 * (float)i, 100 + (i % 2 ? 40.0F : -40.0F)};
    }
    draw_polyline(b.list, points, 60, 3, draw_fade(BLACK, 0.5F));
    (void)raster_draw(b.raster, b.list, NULL, 0);
    int most = 0;
    for (int y = 0; y < H; y++) {
        for (int x = 0; x < W; x++) {
            most = ink_at(&b, x, y) > most ? ink_at(&b, x, y) : most;
        }
    }
    assert_in_range(most, 126, 129);
    free_board(&b);
}

static void columns_have_soft_ends_and_exact_sums(void **state)
{
    struct board b = make_board(1, false);
    struct draw_span spans[100];
    for (int i = 0; i < 100; i++) {
        spans[i] = (struct draw_span){30 + 0.13F * (float)i, 90 + 0.37F * (float)i};
    }
    draw_band(b.list, 40, spans, 100, 1.25F, BLACK);
    (void)raster_draw(b.raster, b.list, NULL, 0);
    for (int i = 0; i < 100; i++) {
        float rows = spans[i].bottom - spans[i].top + 1.25F;
        assert_true(abs(column_ink(&b, 40 + i) - (int)(rows * 255)) <= 3);
    }
    assert_int_equal(column_ink(&b, 39), 0);
    assert_int_equal(column_ink(&b, 140), 0);
    free_board(&b);
}

static void a_flock_does_not_depend_on_the_order_of_its_lines(void **state)
{
    enum { LINES = 50, COLUMNS = 200 };
    struct board b[2] = {make_board(1, false), make_board(1, false)};
    for (int k = 0; k < 2; k++) {
        struct draw_fine *spans =
            draw_flock(b[k].list, 20, 10, 150, COLUMNS, LINES, 1, draw_fade(BLACK, 0.1F));
        for (int line = 0; line < LINES; line++) {
            int shown = k ? LINES - 1 - line : line;
            for (int i = 0; i < COLUMNS; i++) {
                uint16_t top = (uint16_t)(400 + 13 * shown + (i * shown) % 90);
                spans[line * COLUMNS + i] = (struct draw_fine){top, (uint16_t)(top + 9)};
            }
        }
        (void)raster_draw(b[k].raster, b[k].list, NULL, 0);
    }
    assert_memory_equal(
        raster_pixels(b[0].raster), raster_pixels(b[1].raster), sizeof(uint32_t) * W * H);
    assert_true(column_ink(&b[0], 100) > 1000);
    free_board(&b[0]);
    free_board(&b[1]);
}

/* A frame in which something moves with k. */
static void busy_frame(struct draw_list *list, int k)
{
    struct draw_point points[50];
    struct draw_span spans[80];
    draw_begin(list, W, H, 0xFF14171CU);
    draw_fill_round(list, (struct draw_rect){5, 5, 150, 90}, 2, 0xFF1A1E25U);
    draw_clip(list, (struct draw_rect){8.5F, 8, 140, 80});
    for (int i = 0; i < 50; i++) {
        points[i] = (struct draw_point){
            4 + 3.1F * (float)i, 40 + (float)((i * 37 + (i == 20 ? k : 0)) % 60)};
    }
    draw_polyline(list, points, 50, 1.25F, 0xFF56B4E9U);
    draw_unclip(list);
    for (int i = 0; i < 80; i++) {
        spans[i] =
            (struct draw_span){110 + (float)(i % 7), 130 + (float)((i * 3 + k) % 11)};
    }
    draw_band(list, 170, spans, 80, 1.25F, 0xB0E69F00U);
    draw_mark(list, DRAW_MARK_SQUARE, 250 + (float)(k % 3), 40.5F, 7, 0xFFFF5D4AU);
    draw_mark(list, DRAW_MARK_RING, 270, 40, 9, 0xFF5D6877U);
    draw_hair_h(list, 10, 150, 200, k % 2 ? 3 : 0, 0xFF2B323DU);
    draw_curve(
        list, (struct draw_point){170, 20}, (struct draw_point){240, 90}, 2, 0x8062AEF7U);
    const struct draw_style style = {.role = FONT_TEXT, .size = 13, .color = 0xFFE7EAEFU};
    char text[32];
    (void)snprintf(text, sizeof text, "step %d", 1000 + k);
    (void)draw_string(list, 20, 180, &style, text);
    draw_color colors[6] = {0xFF112233U, 0xFF445566U, 0xFF778899U, 0xFFAABBCCU, 0xFFDDEEFFU,
        k % 4 ? 0xFF00FF00U : 0xFFFF0000U};
    draw_cells(list, (struct draw_rect){240, 150, 61, 37}, colors, 3, 2);
}

static void repainting_only_what_changed_gives_the_same_bytes(void **state)
{
    const float scales[] = {1, 1.5F, 2};
    for (int s = 0; s < 3; s++) {
        struct board kept = make_board(scales[s], true);
        size_t n_pixels = (size_t)raster_w(kept.raster) * (size_t)raster_h(kept.raster);
        for (int k = 0; k < 24; k++) {
            struct raster_box dirty[RASTER_MAX_DIRTY];
            busy_frame(kept.list, k);
            size_t n = raster_draw(kept.raster, kept.list, dirty, RASTER_MAX_DIRTY);
            assert_true(n > 0);
            struct raster *fresh =
                raster_create(raster_w(kept.raster), raster_h(kept.raster));
            (void)raster_draw(fresh, kept.list, NULL, 0);
            assert_memory_equal(
                raster_pixels(fresh), raster_pixels(kept.raster), n_pixels * 4);
            raster_destroy(fresh);
        }
        busy_frame(kept.list, 23);
        assert_int_equal(raster_draw(kept.raster, kept.list, NULL, 0), 0);
        free_board(&kept);
    }
}

/* A line and a band that have n points, some of them holes, over all of the width. */
static void growing_frame(struct draw_list *list, size_t n)
{
    struct draw_point points[W];
    struct draw_span spans[W];
    draw_begin(list, W, H, 0xFF14171CU);
    for (size_t i = 0; i < n; i++) {
        bool is_hole = i % 41 == 40 || (i + 1 == n && n % 5 == 0);
        points[i] =
            (struct draw_point){2 * (float)i, is_hole ? NAN : 60 + (float)(i * 37 % 23)};
        spans[i] = (struct draw_span){
            is_hole ? 2 : 120 + (float)(i % 9), is_hole ? 1 : 130 + (float)(i * 3 % 11)};
    }
    draw_polyline(list, points, n, 1.25F, 0xA056B4E9U);
    draw_band(list, 3, spans, n, 1.25F, 0xB0E69F00U);
}

static void a_growing_curve_is_repainted_where_it_grows(void **state)
{
    struct board b = make_board(1, false);
    struct raster_box dirty[RASTER_MAX_DIRTY];
    growing_frame(b.list, 70);
    (void)raster_draw(b.raster, b.list, dirty, RASTER_MAX_DIRTY);
    for (size_t n = 71; n < 140; n++) {
        growing_frame(b.list, n);
        size_t n_dirty = raster_draw(b.raster, b.list, dirty, RASTER_MAX_DIRTY);
        assert_true(n_dirty <= RASTER_MAX_DIRTY);
        struct raster *fresh = raster_create(W, H);
        (void)raster_draw(fresh, b.list, NULL, 0);
        assert_memory_equal(raster_pixels(fresh), raster_pixels(b.raster), 4 * W * H);
        raster_destroy(fresh);
    }
    growing_frame(b.list, 140);
    (void)raster_draw(b.raster, b.list, dirty, RASTER_MAX_DIRTY);
    growing_frame(b.list, 141);
    size_t n = raster_draw(b.raster, b.list, dirty, RASTER_MAX_DIRTY);
    assert_true(n > 0);
    for (size_t i = 0; i < n; i++) { /* the first half stays as it is */
        assert_true(dirty[i].x0 >= 64);
    }
    free_board(&b);
}

static void only_changed_cells_are_reported(void **state)
{
    struct board b = make_board(1, false);
    struct raster_box dirty[RASTER_MAX_DIRTY];
    draw_fill(b.list, (struct draw_rect){0, 0, W, H}, BLACK);
    assert_int_equal(raster_draw(b.raster, b.list, dirty, RASTER_MAX_DIRTY), 1);
    draw_begin(b.list, W, H, WHITE);
    draw_fill(b.list, (struct draw_rect){0, 0, W, H}, BLACK);
    draw_fill(b.list, (struct draw_rect){70, 70, 10, 10}, WHITE);
    assert_int_equal(raster_draw(b.raster, b.list, dirty, RASTER_MAX_DIRTY), 1);
    assert_true(
        dirty[0].x0 == 64 && dirty[0].x1 == 96 && dirty[0].y0 == 64 && dirty[0].y1 == 96);
    free_board(&b);
}

static uint64_t hash_pixels(const struct raster *raster)
{
    uint64_t hash = UINT64_C(0xCBF29CE484222325);
    const uint32_t *pixels = raster_pixels(raster);
    for (int i = 0; i < raster_w(raster) * raster_h(raster); i++) {
        hash = (hash ^ pixels[i]) * UINT64_C(0x100000001B3);
    }
    return hash;
}

static void the_same_list_gives_the_same_bytes_on_every_machine(void **state)
{
    struct board b = make_board(1, false);
    busy_frame(b.list, 5);
    (void)raster_draw(b.raster, b.list, NULL, 0);
    uint64_t hash = hash_pixels(b.raster);
    if (hash != UINT64_C(0x73ac19b1059e18ec)) {
        fail_msg("pixels hash to 0x%016llx", (unsigned long long)hash);
    }
    free_board(&b);
}

static void text_has_ink_and_stays_inside_its_box(void **state)
{
    static const char *const texts[] = {
        "Hamburgefonts", "0.0123", "jAVATAR \xC3\x84", "24,397", "\xE2\x86\x92 why", "Wj"};
    for (int i = 0; i < 36; i++) {
        struct board b = make_board(i % 2 ? 2 : 1, true);
        const float scale = draw_scale(b.list);
        const struct draw_style style = {.role = (enum font_role)(i % 3),
            .size = i % 4 < 2 ? 13 : 22,
            .color = BLACK,
            .align = (enum draw_align)(i / 12)};
        struct draw_rect box = draw_string(b.list, 150.3F, 60.4F, &style, texts[i % 6]);
        (void)raster_draw(b.raster, b.list, NULL, 0);
        long inside = 0, outside = 0;
        for (int y = 0; y < raster_h(b.raster); y++) {
            for (int x = 0; x < raster_w(b.raster); x++) {
                struct draw_rect grown = draw_inset(box, -1.5F, -1.5F);
                bool in = draw_inside(grown, (float)x / scale, (float)y / scale);
                inside += in ? ink_at(&b, x, y) : 0;
                outside += in ? 0 : ink_at(&b, x, y);
            }
        }
        assert_true(inside > 255 * 20);
        assert_int_equal(outside, 0);
        free_board(&b);
    }
}

static void numbers_have_digits_of_one_width(void **state)
{
    struct board b = make_board(1, true);
    float w = font_width(b.font, FONT_MONO, 13, "0", 1);
    for (char c = '1'; c <= '9'; c++) {
        assert_true(font_width(b.font, FONT_MONO, 13, &c, 1) == w);
    }
    assert_true(font_width(b.font, FONT_TEXT, 13, "AV", 2) <
                font_width(b.font, FONT_TEXT, 13, "A", 1) +
                    font_width(b.font, FONT_TEXT, 13, "V", 1));
    free_board(&b);
}

static void long_text_ends_in_an_ellipsis_that_fits(void **state)
{
    struct board b = make_board(1, true);
    const char *text = "encoder.block3.attention.\xC3\xA4\xC3\xB6\xC3\xBC.weight";
    for (float w = 0; w < 260; w += 3) {
        char out[80];
        size_t n = font_ellipsize(b.font, FONT_TEXT, 13, text, strlen(text), w, out);
        assert_int_equal(strlen(out), n);
        assert_true(font_width(b.font, FONT_TEXT, 13, out, n) <= w + 0.2F);
        if (n > 0 && strcmp(out, text) != 0) {
            assert_string_equal(out + n - 3, "\xE2\x80\xA6");
        }
        for (size_t at = 0; at < n;) {
            assert_int_not_equal(font_next_char(out, n, &at), 0xFFFD);
        }
    }
    free_board(&b);
}

static void a_line_break_in_a_message_is_drawn_as_a_space(void **state)
{
    struct board b = make_board(1, true);
    const struct draw_style style = {.role = FONT_TEXT, .size = 13, .color = BLACK};
    float broken = draw_string(b.list, 5, 20, &style, "bad\nvalue\x1b").w;
    assert_true(broken == draw_string(b.list, 5, 40, &style, "bad value ").w);
    free_board(&b);
}

static void damaged_utf8_is_shown_and_never_read_past_its_end(void **state)
{
    static const char *const bad[] = {"\xC3", "\xE2\x82", "\xF0\x9F\x98", "\xFF\xFE",
        "\xC0\x80", "\xED\xA0\x80", "a\x80z", "\xF4\x90\x80\x80"};
    struct board b = make_board(1, true);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        size_t n = strlen(bad[i]), n_bad = 0;
        for (size_t at = 0; at < n;) {
            size_t was = at;
            n_bad += font_next_char(bad[i], n, &at) == 0xFFFD;
            assert_true(at > was && at <= n);
        }
        assert_true(n_bad >= 1);
        const struct draw_style style = {.role = FONT_TEXT, .size = 13, .color = BLACK};
        assert_true(draw_string(b.list, 5, 20, &style, bad[i]).w > 0);
    }
    (void)raster_draw(b.raster, b.list, NULL, 0);
    free_board(&b);
}

static void a_full_list_drops_and_counts(void **state)
{
    struct font *font = font_open_fixed(1);
    struct draw_list *list = draw_create(font, 1 << 20);
    draw_begin(list, W, H, WHITE);
    struct draw_point points[1000] = {{1, 1}, {2, 2}};
    for (int i = 0; i < 2000; i++) {
        draw_polyline(list, points, 1000, 1, BLACK);
    }
    assert_true(draw_dropped(list) > 1000);
    assert_null(draw_flock(list, 0, 0, 100, 100000, 4096, 1, BLACK));
    draw_begin(list, W, H, WHITE);
    assert_int_equal(draw_dropped(list), 0);
    draw_polyline(list, points, 1000, 1, BLACK);
    assert_int_equal(draw_dropped(list), 0);
    draw_destroy(list);
    font_close(font);
}

static void wild_coordinates_are_harmless(void **state)
{
    struct board b = make_board(1, false);
    const float wild[] = {0, -1e30F, 1e30F, NAN, INFINITY, -INFINITY, 1e7F, -5, 400};
    for (int i = 0; i < 9; i++) {
        for (int k = 0; k < 9; k++) {
            const struct draw_point points[] = {{10, 10}, {wild[i], wild[k]}, {50, 60}};
            const struct draw_span spans[] = {{wild[i], wild[k]}, {5, 6}};
            draw_polyline(b.list, points, 3, 1.25F, BLACK);
            draw_band(b.list, i * 40 - 100, spans, 2, 1.25F, BLACK);
            draw_fill(b.list, (struct draw_rect){wild[i], wild[k], 20, 20}, BLACK);
            draw_mark(b.list, DRAW_MARK_DOT, wild[i], wild[k], 7, BLACK);
        }
    }
    (void)raster_draw(b.raster, b.list, NULL, 0);
    free_board(&b);
}

static void a_picture_is_written_whole_or_not_at_all(void **state)
{
    struct board b = make_board(1, false);
    struct baro_err err = {0};
    char path[] = "/tmp/baro-draw-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(png_save(path, raster_pixels(b.raster), W, H, &err), 0);
    unsigned char head[8] = {0};
    assert_int_equal(
        pread(fd, head, 8, 0), 0); /* the old file is another one, still empty */
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fread(head, 1, 8, file), 8);
    assert_memory_equal(head, "\x89PNG\r\n\x1a\n", 8);
    (void)fclose(file);
    (void)close(fd);
    (void)unlink(path);
    assert_int_equal(
        png_save("/nonexistent/x.png", raster_pixels(b.raster), W, H, &err), BARO_EIO);
    assert_non_null(strstr(err.text, "/nonexistent/x.png"));
    free_board(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_level_line_covers_exactly_its_width),
        cmocka_unit_test(a_slanted_line_covers_its_width_along_its_normal),
        cmocka_unit_test(translucent_lines_have_no_beads_at_their_joints),
        cmocka_unit_test(columns_have_soft_ends_and_exact_sums),
        cmocka_unit_test(a_flock_does_not_depend_on_the_order_of_its_lines),
        cmocka_unit_test(repainting_only_what_changed_gives_the_same_bytes),
        cmocka_unit_test(a_growing_curve_is_repainted_where_it_grows),
        cmocka_unit_test(only_changed_cells_are_reported),
        cmocka_unit_test(the_same_list_gives_the_same_bytes_on_every_machine),
        cmocka_unit_test(text_has_ink_and_stays_inside_its_box),
        cmocka_unit_test(numbers_have_digits_of_one_width),
        cmocka_unit_test(long_text_ends_in_an_ellipsis_that_fits),
        cmocka_unit_test(a_line_break_in_a_message_is_drawn_as_a_space),
        cmocka_unit_test(damaged_utf8_is_shown_and_never_read_past_its_end),
        cmocka_unit_test(a_full_list_drops_and_counts),
        cmocka_unit_test(wild_coordinates_are_harmless),
        cmocka_unit_test(a_picture_is_written_whole_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
