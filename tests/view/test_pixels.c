/* SPDX-License-Identifier: Apache-2.0 */
/* Pages: that nothing overlaps or is cut at any of the sizes people have, and real pixels. */
#include "tests/testing.h"

#include <math.h>
#include <stdlib.h>

#include "client/draw/draw_raster.h"
#include "client/view/input.h"
#include "lib/base/mem.h"
#include "tests/view/stage.h"

static bool overlap(struct draw_rect a, struct draw_rect b)
{
    const float slack = 1;
    return a.x + slack < b.x + b.w && b.x + slack < a.x + a.w && a.y + slack < b.y + b.h &&
           b.y + slack < a.y + a.h;
}

static struct draw_rect common(struct draw_rect a, struct draw_rect b)
{
    float x = fmaxf(a.x, b.x);
    float y = fmaxf(a.y, b.y);
    return (struct draw_rect){x, y, fmaxf(fminf(a.x + a.w, b.x + b.w) - x, 0),
        fmaxf(fminf(a.y + a.h, b.y + b.h) - y, 0)};
}

/* Ink of a string: from the height of capitals above the baseline to just below it. */
static struct draw_rect ink_of(const struct draw_cmd *cmd)
{
    float size = cmd->u.string.size;
    return (struct draw_rect){
        cmd->box.x, cmd->u.string.y - size * 0.72F, cmd->box.w, size * 0.72F};
}

static void assert_nothing_overlaps(const struct stage *stage, const char *what)
{
    size_t n = 0;
    const struct draw_cmd *cmds = draw_cmds(stage->list, &n);
    struct draw_rect clip[DRAW_MAX_CLIP_DEPTH + 1];
    int depth = 0;
    struct draw_rect *inks = baro_xcalloc(n + 1, sizeof *inks);
    const char **texts = baro_xcalloc(n + 1, sizeof *texts);
    size_t n_inks = 0;
    clip[0] = draw_frame(stage->list);
    for (size_t i = 0; i < n; i++) {
        if (cmds[i].op == DRAW_CLIP && depth < DRAW_MAX_CLIP_DEPTH) {
            clip[depth + 1] = common(cmds[i].box, clip[depth]);
            depth++;
        } else if (cmds[i].op == DRAW_UNCLIP && depth > 0) {
            depth--;
        } else if (cmds[i].op == DRAW_STRING) {
            struct draw_rect ink = ink_of(&cmds[i]);
            if (!overlap(ink, clip[depth])) {
                continue; /* scrolled away */
            }
            if (ink.x < -0.5F || ink.x + ink.w > stage->w + 0.5F || ink.y < 0 ||
                ink.y + ink.h > stage->h) {
                fail_msg("%s: '%s' is cut", what, cmds[i].u.string.text);
            }
            for (size_t k = 0; k < n_inks; k++) {
                if (overlap(ink, inks[k])) {
                    fail_msg(
                        "%s: '%s' overlaps '%s'", what, cmds[i].u.string.text, texts[k]);
                }
            }
            inks[n_inks] = ink;
            texts[n_inks++] = cmds[i].u.string.text;
        }
    }
    assert_true(n_inks > 10);
    free(inks);
    free(texts);
}

static void nothing_overlaps_or_is_cut_at_the_sizes_people_have(void **state)
{
    (void)state;
    static const float sizes[][3] = {{1280, 800, 1}, {1440, 900, 1}, {1920, 1080, 1},
        {1920, 1080, 2}, {3840, 2160, 1}, {1000, 640, 1}, {640, 400, 1}};
    for (size_t i = 0; i < BARO_LEN(sizes); i++) {
        for (int page = 0; page < VIEW_PAGE_COUNT; page++) {
            char what[64];
            struct stage stage;
            stage_begin(&stage, sizes[i][0], sizes[i][1]);
            struct font *font = font_open(sizes[i][2], NULL);
            if (font != NULL) { /* the real one where it is installed */
                draw_set_font(stage.list, font);
                font_close(stage.font);
                stage.font = font;
            }
            stage.view->page = (enum view_page)page;
            stage.oracle.has_probe = true;
            oracle_connect(stage.keeper);
            stage_draw(&stage);
            (void)snprintf(what, sizeof what, "%s at %.0f x %.0f",
                view_page_name((enum view_page)page), (double)stage.w, (double)stage.h);
            assert_nothing_overlaps(&stage, what);
            stage_end(&stage);
        }
    }
}

static size_t count_pixels(const struct raster *raster, uint32_t color, int x0, int x1)
{
    size_t n = 0;
    const uint32_t *pixels = raster_pixels(raster);
    for (int y = 0; y < raster_h(raster); y++) {
        for (int x = x0; x < x1; x++) {
            n += pixels[y * raster_w(raster) + x] == color ? 1 : 0;
        }
    }
    return n;
}

static void pixels_are_those_of_the_theme_and_alarm_is_seen_only_when_there_is_one(
    void **state)
{
    (void)state;
    for (int bad = 0; bad < 2; bad++) {
        struct stage stage;
        stage_begin(&stage, 1280, 800);
        stage.oracle.bad_step = bad != 0 ? 310 : INT64_MAX;
        oracle_connect(stage.keeper);
        stage_draw(&stage);
        struct raster *raster = raster_create(1280, 800);
        (void)raster_draw(raster, stage.list, NULL, 0);
        const uint32_t *pixels = raster_pixels(raster);
        assert_int_equal(pixels[0], theme_dark.panel);
        assert_int_equal(pixels[300 + 3 * 1280], theme_dark.background);
        size_t n_alarm = count_pixels(raster, theme_dark.alarm, 264, 1280);
        if (bad != 0) {
            assert_true(n_alarm > 200);
        } else { /* a calm run has nothing of that colour at all */
            assert_int_equal(n_alarm, 0);
        }
        assert_true(count_pixels(raster, theme_dark.series[0], 264, 1280) > 100);
        assert_int_equal(raster_draw(raster, stage.list, NULL, 0), 0);
        raster_destroy(raster);
        stage_end(&stage);
    }
}

static void repainting_what_changed_equals_painting_all(void **state)
{
    (void)state;
    struct stage stage;
    stage_begin(&stage, 1280, 800);
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    struct raster *kept = raster_create(1280, 800);
    struct raster *fresh = raster_create(1280, 800);
    for (int i = 0; i < 12; i++) {
        (void)input_move(stage.view, 300 + (float)i * 71, 150 + (float)i * 47);
        if (i == 5) {
            (void)input_char(stage.view, stage.model, "2");
        }
        if (i == 9) {
            (void)input_char(stage.view, stage.model, "3");
        }
        stage_draw(&stage);
        (void)raster_draw(kept, stage.list, NULL, 0);
        raster_invalidate(fresh);
        (void)raster_draw(fresh, stage.list, NULL, 0);
        assert_memory_equal(raster_pixels(kept), raster_pixels(fresh), 1280 * 800 * 4);
    }
    raster_destroy(kept);
    raster_destroy(fresh);
    stage_end(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_overlaps_or_is_cut_at_the_sizes_people_have),
        cmocka_unit_test(
            pixels_are_those_of_the_theme_and_alarm_is_seen_only_when_there_is_one),
        cmocka_unit_test(repainting_what_changed_equals_painting_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
