/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/testing.h"

#include "client/draw/draw_text.h"
#include "lib/base/mem.h"
#include "tests/view/stage.h"

void stage_begin(struct stage *stage, float w, float h)
{
    *stage = (struct stage){.w = w, .h = h};
    stage->oracle = (struct oracle){
        .n_steps = 400, .bad_step = 310, .status = BARO__RUN_STATUS__RUN_FINISHED};
    stage->keeper = keeper_create("ipc:///run/user/1000/barograph/barod.sock");
    stage->view = view_create();
    stage->font = font_open_fixed(1);
    stage->list = draw_create(stage->font, 0);
}

void stage_draw(struct stage *stage)
{
    for (uint64_t serial = 1; serial < 12; serial++) {
        part_unref(stage->model);
        stage->model = keeper_publish(stage->keeper);
        view_draw(stage->view, stage->list, stage->model, stage->w, stage->h);
        keeper_set_wish(stage->keeper, &stage->view->wish, serial);
        oracle_answer(&stage->oracle, stage->keeper);
    }
    assert_false(stage->view->is_dirty);
    assert_int_equal(draw_dropped(stage->list), 0);
}

void stage_end(struct stage *stage)
{
    part_unref(stage->model);
    view_destroy(stage->view);
    keeper_destroy(stage->keeper);
    draw_destroy(stage->list);
    font_close(stage->font);
}

char *stage_text(const struct draw_list *list)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    assert_non_null(out);
    assert_int_equal(draw_text_print(list, out), 0);
    assert_int_equal(fclose(out), 0);
    return text;
}

static char *read_all(const char *path)
{
    FILE *in = fopen(path, "r");
    if (in == NULL) {
        return NULL;
    }
    char *text = baro_xcalloc(1 << 22, 1);
    size_t n = fread(text, 1, (1 << 22) - 1, in);
    text[n] = '\0';
    (void)fclose(in);
    return text;
}

/* Say the first line that differs: a whole page of commands helps nobody. */
static void assert_same_lines(const char *name, const char *is, const char *should)
{
    for (int line = 1; *is != '\0' || *should != '\0'; line++) {
        size_t n_is = strcspn(is, "\n");
        size_t n_should = strcspn(should, "\n");
        if (n_is != n_should || memcmp(is, should, n_is) != 0) {
            fail_msg("%s, line %d:\n  is     %.*s\n  should %.*s", name, line, (int)n_is,
                is, (int)n_should, should);
        }
        is += n_is + (is[n_is] == '\n' ? 1 : 0);
        should += n_should + (should[n_should] == '\n' ? 1 : 0);
    }
}

void stage_assert_golden(const struct stage *stage, const char *name)
{
    char path[4096];
    const char *root = getenv("BARO_SOURCE_DIR");
    (void)snprintf(
        path, sizeof path, "%s/tests/golden/view/%s.txt", root != NULL ? root : ".", name);
    char *is = stage_text(stage->list);
    if (getenv("BARO_UPDATE_GOLDEN") != NULL) {
        FILE *out = fopen(path, "w");
        assert_non_null(out);
        assert_true(fputs(is, out) >= 0);
        assert_int_equal(fclose(out), 0);
    }
    char *should = read_all(path);
    if (should == NULL) {
        fail_msg("%s is missing", path);
    }
    assert_same_lines(name, is, should);
    free(is);
    free(should);
}

bool stage_says(const struct stage *stage, const char *text)
{
    size_t n = 0;
    const struct draw_cmd *cmds = draw_cmds(stage->list, &n);
    for (size_t i = 0; i < n; i++) {
        if (cmds[i].op == DRAW_STRING && strstr(cmds[i].u.string.text, text) != NULL) {
            return true;
        }
    }
    return false;
}
