/* SPDX-License-Identifier: Apache-2.0 */
/* Notes and marks by hand, what glides on by itself, and what the window remembers. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/model/keeper.h"
#include "client/settings.h"
#include "client/view/glide.h"
#include "client/view/input.h"
#include "tests/testing.h"
#include "tests/view/oracle.h"
#include "tests/view/stage.h"

/* The daemon tells of a note. */
static void tell(
    struct stage *stage, uint64_t id, int64_t step, const char *text, bool gone)
{
    Baro__Note note;
    Baro__LiveNote live;
    Baro__Envelope envelope;
    baro__note__init(&note);
    baro__live_note__init(&live);
    baro__envelope__init(&envelope);
    note.id = id;
    note.run = stage->view->run;
    note.step = step;
    note.text = (char *)(uintptr_t)text;
    note.is_removed = gone;
    live.note = &note;
    envelope.body_case = BARO__ENVELOPE__BODY_LIVE_NOTE;
    envelope.live_note = &live;
    keeper_take(stage->keeper, &envelope, NULL, 0);
    stage_draw(stage);
}

static void begin(struct stage *stage)
{
    stage_begin(stage, 1440, 900);
    oracle_connect(stage->keeper);
    stage_draw(stage);
}

static void a_note_is_typed_and_kept_at_the_cursor(void **state)
{
    (void)state;
    struct stage stage;
    begin(&stage);
    struct view_notes *notes = &stage.view->notes;
    stage.view->cursor = 120.4;
    stage.view->cursor_is_kept = true;
    assert_true(input_char(stage.view, stage.model, "n"));
    assert_int_equal(stage.view->overlay, VIEW_NOTE);
    assert_true(input_char(stage.view, stage.model, "q")); /* a letter of the note */
    assert_true(input_char(stage.view, stage.model, "ü"));
    assert_true(input_key(stage.view, stage.model, INPUT_BACKSPACE, false));
    assert_true(input_char(stage.view, stage.model, "?"));
    stage_draw(&stage);
    assert_true(input_key(stage.view, stage.model, INPUT_ENTER, false));
    assert_int_equal(stage.view->overlay, VIEW_PLAIN);
    assert_int_equal(notes->request, VIEW_NOTES_ADD);
    assert_int_equal(notes->step, 120);
    assert_string_equal(notes->text, "q?");
    notes->request = VIEW_NOTES_NONE;
    notes->text[0] = '\0';
    assert_true(input_char(stage.view, stage.model, "n"));
    for (int i = 0; i < 2000; i++) {
        (void)input_char(stage.view, stage.model, "€");
    }
    assert_true(strlen(notes->text) <= VIEW_NOTE_BYTES && strlen(notes->text) % 3 == 0);
    stage_draw(&stage);
    assert_true(input_key(stage.view, stage.model, INPUT_ESCAPE, false));
    assert_int_equal(notes->request, VIEW_NOTES_NONE);
    assert_string_equal(notes->text, "");
    assert_true(input_char(stage.view, stage.model, "n"));
    assert_true(
        input_key(stage.view, stage.model, INPUT_ENTER, false)); /* nothing to keep */
    assert_int_equal(notes->request, VIEW_NOTES_NONE);
    stage_end(&stage);
}

static void marks_are_set_taken_back_gone_to_and_removed_when_asked_twice(void **state)
{
    (void)state;
    struct stage stage;
    begin(&stage);
    struct view_notes *notes = &stage.view->notes;
    stage.view->cursor = 50;
    stage.view->cursor_is_kept = true;
    assert_true(input_char(stage.view, stage.model, "m"));
    assert_int_equal(notes->request, VIEW_NOTES_ADD);
    assert_true(notes->has_mark && notes->mark_step == 50);
    notes->request = VIEW_NOTES_NONE;
    tell(&stage, 1, 50, "", false);
    tell(&stage, 2, 20, "here it began", false);
    assert_int_equal(stage.model->notes->n, 2);
    assert_int_equal(stage.model->notes->at[0].id, 2);
    assert_true(input_char(stage.view, stage.model, "m")); /* again: no longer */
    assert_int_equal(notes->request, VIEW_NOTES_REMOVE);
    assert_int_equal(notes->remove, 1);
    notes->request = VIEW_NOTES_NONE;
    tell(&stage, 1, 50, "", true);
    assert_int_equal(stage.model->notes->n, 1);
    view_set_range(stage.view, 200, 240);
    assert_true(input_char(stage.view, stage.model, "}"));
    assert_int_equal(notes->chosen, 2);
    assert_true(stage.view->cursor >= 20 && stage.view->cursor <= 20);
    assert_true(stage.view->lo <= 20 && stage.view->hi >= 20);
    assert_non_null(strstr(stage.view->notice, "here it began"));
    assert_true(input_key(stage.view, stage.model, INPUT_DELETE, false));
    assert_int_equal(notes->request, VIEW_NOTES_NONE);
    assert_true(input_key(stage.view, stage.model, INPUT_DELETE, false));
    assert_int_equal(notes->request, VIEW_NOTES_REMOVE);
    assert_int_equal(notes->remove, 2);
    stage_end(&stage);
}

static void notes_are_found_by_their_words(void **state)
{
    (void)state;
    struct stage stage;
    begin(&stage);
    tell(&stage, 7, 33, "the Warm-up ends", false);
    assert_true(input_char(stage.view, stage.model, "/"));
    assert_true(input_char(stage.view, stage.model, "warm-up"));
    stage_draw(&stage);
    assert_true(input_key(stage.view, stage.model, INPUT_ENTER, false));
    assert_int_equal(stage.view->notes.chosen, 7);
    assert_true(stage.view->cursor >= 33 && stage.view->cursor <= 33);
    stage_end(&stage);
}

/* Drag the middle of the first chart to the left, letting go of it in motion. */
static void fling(struct stage *stage)
{
    struct view *view = stage->view;
    float x = 900;
    float y = 300;
    view->now_s = 10;
    (void)input_move(view, x, y);
    assert_true(input_down(view, x, y, INPUT_SECOND, 1));
    for (int i = 0; i < 10; i++) {
        view->now_s += 0.016;
        x -= 6;
        (void)input_move(view, x, y);
    }
    (void)input_up(view, stage->model, x, y, INPUT_SECOND);
}

static void what_is_flung_glides_to_rest_and_any_input_stops_it(void **state)
{
    (void)state;
    struct stage stage;
    begin(&stage);
    view_set_range(stage.view, 100, 200);
    stage_draw(&stage);
    fling(&stage);
    assert_true(view_is_moving(stage.view));
    double lo = stage.view->lo;
    int n_ticks = 0;
    for (; view_is_moving(stage.view) && n_ticks < 1000; n_ticks++) {
        assert_true(view_tick(stage.view, 0.016));
    }
    assert_true(stage.view->lo > lo + 1); /* on in the direction of the drag */
    assert_true(stage.view->lo < lo + 100);
    assert_true(n_ticks > 5 && n_ticks < 200);
    assert_false(view_tick(stage.view, 0.016));
    fling(&stage);
    assert_true(view_is_moving(stage.view));
    (void)input_char(stage.view, stage.model, "f");
    assert_false(view_is_moving(stage.view));
    stage_end(&stage);
}

static void with_reduced_motion_nothing_glides(void **state)
{
    (void)state;
    struct stage stage;
    begin(&stage);
    view_set_range(stage.view, 100, 200);
    stage_draw(&stage);
    assert_true(input_char(stage.view, stage.model, "M"));
    assert_true(stage.view->is_still && stage.view->has_chosen_motion);
    fling(&stage);
    assert_false(view_is_moving(stage.view));
    glide_scroll(stage.view, VIEW_SCROLL_TREE, 48);
    assert_false(view_is_moving(stage.view));
    assert_true(stage.view->scroll[VIEW_SCROLL_TREE] > 47);
    stage_end(&stage);
}

static void what_is_remembered_is_read_as_it_was_written(void **state)
{
    (void)state;
    char text[1024];
    struct settings in = {.has_place = true,
        .x = -20,
        .y = 40,
        .has_size = true,
        .w = 1200,
        .h = 777,
        .is_maximized = true,
        .scale = 1.25F,
        .theme = &theme_light,
        .has_page = true,
        .page = VIEW_NETWORK,
        .smoothing = 100,
        .has_motion = true,
        .is_still = true};
    settings_add_pin(&in, "val/loss");
    settings_add_pin(&in, "a name with spaces");
    settings_add_pin(&in, "two\nlines"); /* left out */
    struct settings out;
    int n = settings_format(&in, text, sizeof text);
    assert_true(n > 0 && (size_t)n < sizeof text);
    settings_parse(text, &out);
    assert_true(out.has_place && out.x == -20 && out.y == 40);
    assert_true(out.has_size && out.w == 1200 && out.h == 777 && out.is_maximized);
    assert_true(out.scale > 1.24F && out.scale < 1.26F && out.smoothing > 99);
    assert_true(out.theme == &theme_light && out.has_page && out.page == VIEW_NETWORK);
    assert_true(out.has_motion && out.is_still);
    assert_string_equal(out.pins, "val/loss\na name with spaces\n");
    struct view *view = view_create();
    overview_pin_all(view, out.pins);
    assert_int_equal(view->overview.n_pins, 2);
    assert_int_equal(overview_pin_place(view, "a name with spaces"), 1);
    view_destroy(view);
}

static void rubbish_in_the_file_is_as_if_it_were_not_there(void **state)
{
    (void)state;
    static const char *const rubbish[] = {"", "\n\n\n", "size", "size 1200", "size 1200 x",
        "size 10 10\n", "size 99999999999999999999 700\n",
        "scale nan\nscale 77\nscale 1e\n",
        "page nowhere\ntheme blue\nsmoothing -3\nsmoothing inf\n", "place 1e9 0\n",
        "\xff\xfe\x01 \x80\n=====\n{\"size\": [1, 2]}"};
    for (size_t i = 0; i < sizeof rubbish / sizeof rubbish[0]; i++) {
        struct settings out;
        settings_parse(rubbish[i], &out);
        assert_false(out.has_size || out.has_place || out.has_page || out.has_motion);
        assert_null(out.theme);
        assert_true(!(out.scale > 0) && !(out.smoothing > 0));
    }
    char *line = malloc(100000);
    assert_non_null(line);
    memset(line, 'a', 99999);
    line[99999] = '\0';
    memcpy(line + 90000, "\ntheme light\n", 13);
    struct settings out;
    settings_parse(line, &out);
    assert_true(out.theme == &theme_light);
    free(line);
    uint32_t seed = 1;
    for (int turn = 0; turn < 2000; turn++) {
        char bytes[200];
        for (size_t i = 0; i + 1 < sizeof bytes; i++) {
            seed = seed * 1664525U + 1013904223U;
            bytes[i] = "sizeplacthmg 0123456789.-\n\t"[(seed >> 16) % 27];
        }
        bytes[sizeof bytes - 1] = '\0';
        settings_parse(bytes, &out);
    }
}

static void options_go_before_what_is_remembered(void **state)
{
    (void)state;
    struct settings settings = {.has_size = true,
        .w = 1000,
        .h = 700,
        .theme = &theme_light,
        .has_page = true,
        .page = VIEW_ALERTS,
        .scale = 2};
    struct options none = {.w = 1440, .h = 900, .theme = &theme_dark};
    settings_apply(&settings, &none);
    assert_true(none.w == 1000 && none.h == 700 && none.theme == &theme_light);
    assert_true(none.has_page && none.page == VIEW_ALERTS && none.scale > 1.9F);
    struct options given = {.w = 800,
        .h = 600,
        .has_size = true,
        .theme = &theme_dark,
        .has_theme = true,
        .has_page = true,
        .page = VIEW_WHY,
        .scale = 1};
    settings_apply(&settings, &given);
    assert_true(given.w == 800 && given.theme == &theme_dark && given.page == VIEW_WHY);
    assert_true(given.scale < 1.1F);
    settings.has_motion = true;
    settings.is_still = true;
    given.motion = "full";
    assert_false(settings_is_still(&settings, &given));
    given.motion = NULL;
    (void)unsetenv("BARO_MOTION");
    assert_true(settings_is_still(&settings, &given));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_note_is_typed_and_kept_at_the_cursor),
        cmocka_unit_test(marks_are_set_taken_back_gone_to_and_removed_when_asked_twice),
        cmocka_unit_test(notes_are_found_by_their_words),
        cmocka_unit_test(what_is_flung_glides_to_rest_and_any_input_stops_it),
        cmocka_unit_test(with_reduced_motion_nothing_glides),
        cmocka_unit_test(what_is_remembered_is_read_as_it_was_written),
        cmocka_unit_test(rubbish_in_the_file_is_as_if_it_were_not_there),
        cmocka_unit_test(options_go_before_what_is_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
