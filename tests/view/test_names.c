/* SPDX-License-Identifier: Apache-2.0 */
/* Names and sentences that are longer than their room; what is said while there is nothing. */
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/view/overview_gather.h"
#include "client/view/words.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "tests/view/stage.h"

static const char EXPERT[] =
    "model.decoder.layers.17.block_sparse_mixture_of_experts.experts."
    "3.feed_forward_network.gate_up_projection.weight";
static const char CYRILLIC[] = "модель.слой_внимания.длинное_имя_без_конца_и_без_края";

static struct frame frame_of(struct stage *stage)
{
    return (struct frame){.view = stage->view,
        .list = stage->list,
        .theme = stage->view->theme,
        .model = stage->model};
}

static float width_of(struct frame *f, const char *text, size_t n)
{
    return font_width(draw_font(f->list), FONT_TEXT, THEME_SIZE_TEXT, text, n);
}

static void a_long_name_keeps_its_numbers_and_its_end(void **unused)
{
    (void)unused;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    struct frame f = frame_of(&stage);
    char text[WORDS_MAX];
    for (float room = 2000; room >= 120; room -= 7) {
        (void)frame_fit_name(&f, FONT_TEXT, THEME_SIZE_TEXT, room, EXPERT, text);
        const char *layer = strstr(text, "17");
        assert_non_null(layer);
        assert_non_null(strchr(layer, '3'));
        assert_string_equal(text + strlen(text) - 6, "weight");
        assert_true(width_of(&f, text, strlen(text)) <= room);
    }
    (void)frame_fit_name(&f, FONT_TEXT, THEME_SIZE_TEXT, 2000, EXPERT, text);
    assert_string_equal(text, EXPERT);
    (void)frame_fit_name(&f, FONT_TEXT, THEME_SIZE_TEXT, 30, EXPERT, text);
    assert_string_equal(text, "…weight"); /* too wide still: cut where it is drawn */
    (void)frame_fit_name(&f, FONT_TEXT, THEME_SIZE_TEXT, 40, "..", text);
    (void)frame_fit_name(&f, FONT_TEXT, THEME_SIZE_TEXT, 40, "", text);
    assert_string_equal(text, "");
    stage_end(&stage);
}

static void the_names_of_runs_keep_both_ends(void **unused)
{
    (void)unused;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    struct frame f = frame_of(&stage);
    const char *names[] = {
        "sweep_lr=0.0003_wd=0.1_warmup=2000_schedule=cosine_seed=42", CYRILLIC};
    for (size_t i = 0; i < 2; i++) {
        for (float room = 600; room >= 60; room -= 7) {
            char text[WORDS_MAX];
            (void)frame_fit_middle(&f, FONT_TEXT, THEME_SIZE_TEXT, room, names[i], text);
            assert_true(width_of(&f, text, strlen(text)) <= room);
            assert_true(baro_utf8_valid(text, strlen(text)));
            assert_memory_equal(text, names[i], 2);
            assert_string_equal(text + strlen(text) - 2, names[i] + strlen(names[i]) - 2);
        }
    }
    stage_end(&stage);
}

static void a_sentence_in_lines_is_the_sentence(void **unused)
{
    (void)unused;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    struct frame f = frame_of(&stage);
    char sentence[WORDS_MAX];
    (void)snprintf(
        sentence, sizeof sentence, "The size of %s runs away: %s.", EXPERT, CYRILLIC);
    for (float room = 1500; room >= 20; room -= 13) {
        struct frame_words lines[64];
        size_t n = frame_wrap(
            &f, FONT_TEXT, THEME_SIZE_TEXT, sentence, room, lines, BARO_LEN(lines));
        const char *at = sentence;
        for (size_t i = 0; i < n; i++) {
            at += strspn(at, " ");
            assert_ptr_equal(lines[i].at, at);
            assert_true(baro_utf8_valid(lines[i].at, lines[i].n));
            bool is_last = i + 1 == BARO_LEN(lines); /* it has all of the rest */
            assert_true(is_last || width_of(&f, lines[i].at, lines[i].n) <= room);
            at += lines[i].n;
        }
        assert_string_equal(at, "");
    }
    assert_int_equal(frame_wrap(&f, FONT_TEXT, THEME_SIZE_TEXT, "", 100, NULL, 4), 0);
    stage_end(&stage);
}

static void parts_that_do_not_fit_are_left_out_whole(void **unused)
{
    (void)unused;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    struct frame f = frame_of(&stage);
    char text[WORDS_MAX] = "64 × 64 f32 · 64 units · each step";
    float room = width_of(&f, text, strlen("64 × 64 f32 · 64 units")) + 1;
    (void)frame_fit_parts(&f, FONT_TEXT, THEME_SIZE_TEXT, room, text);
    assert_string_equal(text, "64 × 64 f32 · 64 units");
    (void)frame_fit_parts(&f, FONT_TEXT, THEME_SIZE_TEXT, 1, text);
    assert_string_equal(text, "64 × 64 f32");
    stage_end(&stage);
}

static void what_is_waited_for_is_said(void **unused)
{
    (void)unused;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    oracle_connect(stage.keeper);
    stage_draw(&stage);
    char text[WORDS_MAX];
    assert_string_equal(words_waiting(text, stage.model, false), "reading");
    assert_string_equal(words_waiting(text, stage.model, true), "Reading.");
    struct model away = *stage.model;
    away.state = MODEL_AWAY;
    away.since_wall_ns = INT64_C(1700000000) * 1000000000;
    (void)words_waiting(text, &away, true);
    assert_memory_equal(text, "Waiting for the daemon, away since ", 35);
    assert_non_null(strchr(text, ':')); /* a time of day */
    stage_end(&stage);
}

/* A tensor by its name alone. */
static void name_thing(struct model_thing *thing, uint32_t id, const char *name)
{
    *thing = (struct model_thing){
        .thing = id, .name = name, .is_tensor = true, .role = BARO_WEIGHT, .epoch = 1};
}

static void modules_that_only_hold_one_another_are_one_row(void **unused)
{
    (void)unused;
    static const char *const names[] = {"model.decoder.layers.0.mlp.fc.weight",
        "model.decoder.layers.1.mlp.fc.weight", "model.decoder.layers.1.mlp.fc.bias",
        "head"};
    static const char *const labels[] = {
        "model.decoder.layers", "0.mlp.fc", "weight", "1.mlp.fc", "weight", "bias", "head"};
    static const int depths[] = {0, 1, 2, 1, 2, 2, 0};
    static const size_t ends[] = {6, 3, 3, 6, 5, 6, 7};
    struct model_things *things =
        part_create(sizeof *things + BARO_LEN(names) * sizeof things->at[0], NULL);
    things->n = BARO_LEN(names);
    for (size_t i = 0; i < things->n; i++) {
        name_thing(&things->at[i], (uint32_t)i + 1, names[i]);
    }
    struct tree *tree = tree_create(things);
    assert_int_equal(tree->n, BARO_LEN(labels));
    for (size_t i = 0; i < tree->n; i++) {
        const struct tree_node *node = &tree->nodes[i];
        assert_int_equal(node->label_n, strlen(labels[i]));
        assert_memory_equal(node->label, labels[i], node->label_n);
        assert_int_equal(node->depth, depths[i]);
        assert_int_equal(node->end, ends[i]);
        assert_ptr_equal(node->label + node->label_n, node->path + node->path_n);
    }
    assert_int_equal(tree->nodes[0].n_tensors, 3);
    part_unref(tree);
    part_unref(things);
}

static void scalars_of_one_first_part_stand_together(void **unused)
{
    enum { N_MANY = 300, N = 7 + N_MANY };
    static const char *const names[] = {
        "val/a", "x", "train/a", "val/b", "loss", "train/b", "val/a"};
    static const char *const shown[] = {
        "loss", "val/a", "val/b", "x", "train/a", "train/b", "many/0"};
    (void)unused;
    struct stage stage;
    stage_begin(&stage, 1440, 900);
    static char many[N_MANY][16];
    struct model_things *things =
        calloc(1, sizeof *things + N * sizeof(struct model_thing));
    struct overview_scalar *out = calloc(OVERVIEW_MAX_SCALARS, sizeof *out);
    assert_true(things != NULL && out != NULL);
    things->n = N;
    for (uint32_t i = 0; i < N; i++) {
        bool is_own = i < BARO_LEN(names);
        (void)snprintf(many[is_own ? 0 : i - 7], sizeof many[0], "many/%u", i - 7);
        things->at[i] = (struct model_thing){.thing = i + 1,
            .rank = i == 6 ? 1 : 0, /* the first one's, of another rank */
            .name = is_own ? names[i] : many[i - 7]};
    }
    struct model model = {.things = things};
    struct frame f = frame_of(&stage);
    f.model = &model;
    size_t n = overview_gather(&f, out);
    assert_int_equal(n, N - 1 + 1); /* two are one; and the step times */
    assert_int_equal(stage.view->overview.n_all, N - 1);
    for (size_t i = 0; i < BARO_LEN(shown); i++) {
        assert_string_equal(out[i].title, shown[i]);
    }
    assert_int_equal(out[1].n, 2);
    assert_string_equal(out[n - 2].title, many[N_MANY - 1]);
    assert_string_equal(out[n - 1].title, OVERVIEW_STEP_TIME);
    free(things);
    free(out);
    stage_end(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_long_name_keeps_its_numbers_and_its_end),
        cmocka_unit_test(the_names_of_runs_keep_both_ends),
        cmocka_unit_test(a_sentence_in_lines_is_the_sentence),
        cmocka_unit_test(parts_that_do_not_fit_are_left_out_whole),
        cmocka_unit_test(what_is_waited_for_is_said),
        cmocka_unit_test(modules_that_only_hold_one_another_are_one_row),
        cmocka_unit_test(scalars_of_one_first_part_stand_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
