/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/view/inside.h"
#include "client/view/side.h"
#include "client/view/words.h"
#include "lib/base/mem.h"

/*
 * The left panel: runs above, the module tree of the chosen run below. Of several runs those of a
 * project stand together, below its name; projects in the order of their newest run. A click on
 * the name folds them away.
 */

static const float RUN_ROW = 42;
static const float PROJECT_ROW = 26;
static const float TITLE_ROW = 30;
static const float INDENT = 14;
static const float SPARK_W = 56;
static const float MIN_SPARK_W = 24;
static const float MIN_LABEL = 44; /* a sparkline gives way to it */

static void draw_title(struct frame *f, struct draw_rect row, const char *text)
{
    (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->secondary, row.x + VIEW_PAD,
        row.y + 21, row.w - 2 * VIEW_PAD, text);
}

/* ---- runs ---- */

/* What a run is doing, how far it is, what is wrong with it. */
static void say_run(const struct model_run *run, char line[WORDS_MAX])
{
    char step[FORMAT_MAX];
    (void)format_count(step, run->last_step);
    if (run->is_overwritten) {
        (void)snprintf(
            line, WORDS_MAX, "overwritten · %s · step %s", words_status(run), step);
    } else if (run->parent != 0 && run->n_alerts == 0) {
        char from[FORMAT_MAX];
        (void)snprintf(line, WORDS_MAX, "%s · step %s · branch at %s", words_status(run),
            step, format_count(from, run->branch_step));
    } else if (run->n_alerts > 0) {
        (void)snprintf(line, WORDS_MAX, "%s · step %s · %u alert%s", words_status(run),
            step, run->n_alerts, run->n_alerts == 1 ? "" : "s");
    } else if (run->n_steps > 0) {
        (void)snprintf(line, WORDS_MAX, "%s · step %s", words_status(run), step);
    } else {
        (void)snprintf(line, WORDS_MAX, "%s · no step yet", words_status(run));
    }
}

/* "beside", where the second run is; gives the room left of it. */
static float draw_beside(struct frame *f, struct draw_rect row, float w)
{
    struct draw_style style = {
        .size = THEME_SIZE_AXIS, .color = f->theme->secondary, .align = DRAW_RIGHT};
    draw_color color = frame_other_color(f->theme);
    for (float y = row.y; y < row.y + row.h; y += 7) {
        draw_fill(f->list, (struct draw_rect){row.x, y, 2, 4}, color);
    }
    struct draw_rect box =
        draw_string(f->list, row.x + row.w - VIEW_PAD, row.y + 18.5F, &style, "beside");
    return w - box.w - 8;
}

/* All of a name that is cut in its row. */
static void tip_of_name(
    struct frame *f, struct draw_rect row, const char *name, const char *of)
{
    frame_tip(f, row.x + row.w - 24, row.y + row.h / 2);
    frame_tip_line(f, "%s", name);
    if (of != NULL) {
        frame_tip_line(f, "%s", of);
    }
}

static void draw_run(
    struct frame *f, struct draw_rect row, const struct model_run *run, bool is_grouped)
{
    char name[WORDS_MAX];
    char line[WORDS_MAX];
    bool is_chosen = run->run == f->view->run;
    bool is_other = run->run == f->view->other_run;
    if (is_chosen || frame_is_over(f, row)) {
        draw_fill(
            f->list, row, is_chosen ? f->theme->raised : draw_fade(f->theme->raised, 0.5F));
    }
    if (is_chosen) {
        draw_fill(f->list, (struct draw_rect){row.x, row.y, 2, row.h}, f->theme->accent);
    }
    float x = row.x + VIEW_PAD + 16;
    float w = row.w - VIEW_PAD * 2 - 16;
    frame_mark(f, words_shown_health(f->model, run), row.x + VIEW_PAD + 4, row.y + 14);
    float name_w = is_other ? draw_beside(f, row, w) : w;
    (void)words_run(name, run);
    if (is_grouped) {
        (void)snprintf(name, sizeof name, "%s%s", run->name, run->branch);
    }
    char text[WORDS_MAX];
    (void)frame_fit_middle(f, FONT_TEXT, THEME_SIZE_TEXT, name_w, name, text);
    (void)frame_text(f, FONT_TEXT, THEME_SIZE_TEXT,
        run->is_overwritten ? f->theme->secondary : f->theme->text, x, row.y + 18.5F,
        name_w, text);
    if (strcmp(name, text) != 0 && frame_is_over(f, row)) {
        tip_of_name(f, row, run->name, run->project);
    }
    say_run(run, line);
    (void)frame_text(
        f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->secondary, x, row.y + 34, w, line);
    frame_zone(f, row, VIEW_PICK_RUN, run->run, 0);
}

/* The name of a project, with how many runs it has and the worst of them when it is folded. */
static void draw_project(
    struct frame *f, struct draw_rect row, const struct side_project *project)
{
    char text[WORDS_MAX];
    uint64_t hash = view_project_hash(project->name);
    bool is_folded = view_is_hash_folded(f->view, hash);
    float middle = row.y + row.h / 2;
    draw_mark(f->list, is_folded ? DRAW_MARK_CHEVRON : DRAW_MARK_CHEVRON_DN,
        row.x + VIEW_PAD + 4, middle, THEME_MARK, f->theme->secondary);
    (void)snprintf(text, sizeof text, "%.200s", project->name);
    float y = frame_middle(f, row, FONT_TEXT, THEME_SIZE_AXIS);
    char n[WORDS_MAX];
    (void)snprintf(n, sizeof n, "%zu run%s", project->n, project->n == 1 ? "" : "s");
    struct draw_style style = {
        .size = THEME_SIZE_AXIS, .color = f->theme->secondary, .align = DRAW_RIGHT};
    float right = row.x + row.w - VIEW_PAD;
    if (is_folded) {
        frame_mark(f, project->worst, right - 4, middle);
        right -= 16;
    }
    struct draw_rect count = draw_string(f->list, right, y, &style, n);
    float room = count.x - row.x - VIEW_PAD - 28;
    char name[WORDS_MAX];
    (void)frame_fit_middle(f, FONT_STRONG, THEME_SIZE_AXIS, room, text, name);
    (void)frame_text(f, FONT_STRONG, THEME_SIZE_AXIS, f->theme->secondary,
        row.x + VIEW_PAD + 16, y, room, name);
    if (strcmp(name, text) != 0 && frame_is_over(f, row)) {
        tip_of_name(f, row, project->name, NULL);
    }
    frame_zone(f, row, VIEW_FOLD_PROJECT, (int64_t)hash, 0);
}

/* Health marks by how bad they are. */
static int badness(enum theme_health health)
{
    return health == THEME_ALARM ? 3 : health == THEME_WATCH ? 2 : health == THEME_CALM;
}

/* Find the projects of the runs; texts of one model are kept once, so equal ones are the same. */
static void group_runs(struct side_groups *groups, const struct model_runs *runs)
{
    groups->order = baro_xrealloc(groups->order, runs->n + 1, sizeof *groups->order);
    groups->n = 0;
    for (size_t i = 0; i < runs->n; i++) {
        size_t at = 0;
        while (at < groups->n && groups->projects[at].name != runs->at[i].project) {
            at++;
        }
        if (at == groups->n) {
            groups->projects =
                baro_xrealloc(groups->projects, groups->n + 1, sizeof *groups->projects);
            groups->projects[groups->n++] =
                (struct side_project){.name = runs->at[i].project};
        }
        enum theme_health health = words_run_health(&runs->at[i]);
        struct side_project *project = &groups->projects[at];
        project->n++;
        project->worst =
            badness(health) > badness(project->worst) ? health : project->worst;
    }
    size_t n = 0;
    for (size_t at = 0; at < groups->n; at++) {
        for (size_t i = 0; i < runs->n; i++) {
            if (runs->at[i].project == groups->projects[at].name) {
                groups->order[n++] = (uint32_t)i;
            }
        }
    }
}

static const struct side_groups *groups_of(struct frame *f)
{
    struct view *view = f->view;
    if (view->side == NULL) {
        view->side = baro_xcalloc(1, sizeof *view->side);
    }
    if (view->side->of != f->model->runs) {
        part_unref(view->side->of);
        view->side->of = part_ref(f->model->runs);
        group_runs(view->side, f->model->runs);
    }
    return view->side;
}

void side_groups_destroy(struct side_groups *groups)
{
    if (groups != NULL) {
        part_unref(groups->of);
        free(groups->projects);
        free(groups->order);
        free(groups);
    }
}

/* Height of all rows of the list. */
static float runs_height(const struct frame *f, const struct side_groups *groups)
{
    float h = 0;
    for (size_t i = 0; i < groups->n; i++) {
        const struct side_project *project = &groups->projects[i];
        bool is_folded =
            groups->n > 1 && view_is_hash_folded(f->view, view_project_hash(project->name));
        h += groups->n > 1 ? PROJECT_ROW : 0;
        h += is_folded ? 0 : RUN_ROW * (float)project->n;
    }
    return h;
}

/* Rows that are seen, from a height on. */
static void draw_rows(
    struct frame *f, const struct side_groups *groups, struct draw_rect list, float y)
{
    size_t next = 0;
    for (size_t i = 0; i < groups->n; i++) {
        const struct side_project *project = &groups->projects[i];
        bool is_folded =
            groups->n > 1 && view_is_hash_folded(f->view, view_project_hash(project->name));
        if (groups->n > 1) {
            struct draw_rect row = {list.x, y, list.w, PROJECT_ROW};
            if (y + PROJECT_ROW > list.y && y < list.y + list.h) {
                draw_project(f, row, project);
            }
            y += PROJECT_ROW;
        }
        for (size_t k = 0; k < project->n && !is_folded; k++) {
            struct draw_rect row = {list.x, y, list.w, RUN_ROW};
            if (y + RUN_ROW > list.y && y + RUN_ROW / 2 < list.y + list.h) {
                draw_run(
                    f, row, &f->model->runs->at[groups->order[next + k]], groups->n > 1);
            }
            y += RUN_ROW;
        }
        next += project->n;
    }
}

/* The first time, and when another run is shown, the list is moved so that it is seen. */
static void show_chosen(struct frame *f, const struct side_groups *groups, float visible_h)
{
    struct view *view = f->view;
    float y = 0;
    size_t next = 0;
    for (size_t i = 0; i < groups->n && view->run_listed != view->run; i++) {
        const struct side_project *project = &groups->projects[i];
        bool is_folded =
            groups->n > 1 && view_is_hash_folded(view, view_project_hash(project->name));
        y += groups->n > 1 ? PROJECT_ROW : 0;
        for (size_t k = 0; k < project->n && !is_folded; k++) {
            float *scroll = &view->scroll[VIEW_SCROLL_RUNS];
            if (f->model->runs->at[groups->order[next + k]].run == view->run) {
                bool is_seen = y >= *scroll && y + RUN_ROW <= *scroll + visible_h;
                *scroll = is_seen ? *scroll : y - (visible_h - RUN_ROW) / 2;
                view->run_listed = view->run;
            }
            y += RUN_ROW;
        }
        next += project->n;
    }
}

/* Runs take what they need, at most 40 % of the panel, most of it where no tensors are watched. Gives the height taken. */
static float draw_runs(struct frame *f, struct draw_rect rect)
{
    const struct model_runs *runs = f->model->runs;
    const struct side_groups *groups = groups_of(f);
    char title[WORDS_MAX];
    (void)snprintf(title, sizeof title, "Runs");
    size_t n_overwritten = 0;
    for (size_t i = 0; i < runs->n; i++) {
        n_overwritten += runs->at[i].is_overwritten ? 1 : 0;
    }
    if (n_overwritten > 0) {
        (void)snprintf(title, sizeof title, "%zu runs, %zu more overwritten",
            runs->n - n_overwritten, n_overwritten);
    } else if (runs->n > 1) {
        (void)snprintf(title, sizeof title, "%zu runs", runs->n);
    }
    draw_title(f, rect, title);
    float content = runs_height(f, groups);
    bool has_room = f->model->has_things && f->view->tree->n == 0;
    float most = has_room ? rect.h - 90 : rect.h * 0.4F;
    struct draw_rect list = {rect.x, rect.y + TITLE_ROW, rect.w,
        fminf(content, fmaxf(most - TITLE_ROW, RUN_ROW))};
    if (runs->n == 0) {
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->faint, rect.x + VIEW_PAD,
            list.y + 18, rect.w - 2 * VIEW_PAD,
            f->model->state == MODEL_READY ? "none yet" : "not known yet");
        return TITLE_ROW + 28;
    }
    show_chosen(f, groups, list.h);
    float scroll = frame_scroll(f, VIEW_SCROLL_RUNS, content, list.h);
    frame_zone(f, list, VIEW_SCROLL, VIEW_SCROLL_RUNS, 0);
    struct draw_rect within = f->within;
    f->within = frame_within(f, list);
    draw_clip(f->list, list);
    draw_rows(f, groups, list, list.y - scroll);
    draw_unclip(f->list);
    f->within = within;
    frame_scroll_bar(f, list, content, scroll);
    return TITLE_ROW + list.h;
}

/* ---- modules ---- */

/* Only what has an alert of its own is coloured: what it hit has a mark and a notch. */
static void draw_spark(struct frame *f, struct draw_rect rect, uint32_t thing)
{
    const struct model_thing *of = model_thing_find(f->model, thing);
    enum baro_level level = of != NULL ? of->worst_level : 0;
    struct model_ref ref = {thing, READING_SUMMARY, SUMMARY_L2, 0};
    const struct model_series *series = frame_series(f, ref, true);
    draw_color color = level >= BARO_WATCH
                           ? theme_health_color(f->theme, frame_health(level))
                           : f->theme->secondary;
    struct chart_line line = frame_line(f, series, 0, color);
    if (line.n_columns == 0) {
        return;
    }
    struct chart chart = {
        .x = {.lo = f->view->lo, .hi = f->view->hi},
        .lines = &line,
        .n_lines = 1,
        .cursor = (double)NAN,
        .sparkline = true,
        .y_kind = frame_is_steep(&line, 1) ? AXIS_LOG : AXIS_LINEAR,
    };
    if (chart.y_kind == AXIS_LOG) {
        frame_fit_log(&chart);
    }
    chart_draw(f->list, f->theme, rect, &chart, NULL, NULL);
}

static bool is_shown_node(const struct view *view, const struct tree_node *node)
{
    for (int role = 1; role < BARO_ROLE_END; role++) {
        if (node->roles[role] != 0 && node->roles[role] == view->thing) {
            return view->page == VIEW_TENSOR;
        }
    }
    return false;
}

/* Whether NaN or Inf began in a node: in its tensors, or folded away below it. */
static bool holds_origin(const struct frame *f, size_t at)
{
    const struct tree *tree = f->view->tree;
    const struct model_alert *origin = f->origin;
    size_t end = view_is_folded(f->view, &tree->nodes[at]) ? tree->nodes[at].end : at + 1;
    for (size_t i = at; i < end && origin != NULL; i++) {
        for (int role = 1; role < BARO_ROLE_END; role++) {
            if (tree->nodes[i].roles[role] == origin->thing) {
                return true;
            }
        }
    }
    return false;
}

static void draw_node(struct frame *f, struct draw_rect row, size_t at)
{
    const struct tree_node *node = &f->view->tree->nodes[at];
    bool has_children = node->end > at + 1;
    bool is_chosen = is_shown_node(f->view, node);
    uint32_t thing = tree_node_thing(node, f->model);
    bool is_here = holds_origin(f, at);
    if (is_here) {
        draw_fill(f->list, row, draw_fade(f->theme->alarm, 0.14F));
        draw_fill(f->list, (struct draw_rect){row.x, row.y, 2, row.h}, f->theme->alarm);
    }
    if (is_chosen || frame_is_over(f, row)) {
        draw_fill(
            f->list, row, is_chosen ? f->theme->raised : draw_fade(f->theme->raised, 0.5F));
    }
    if (is_chosen) {
        draw_fill(f->list, (struct draw_rect){row.x, row.y, 2, row.h}, f->theme->accent);
    }
    float depth = (float)(node->depth < 8 ? node->depth : 8);
    float x = row.x + VIEW_PAD + INDENT * depth;
    float middle = row.y + row.h / 2;
    if (thing != 0) {
        frame_zone(f, row, VIEW_PICK_NODE, thing, (int64_t)at);
    } else {
        frame_zone(f, row, VIEW_FOLD_NODE, 0, (int64_t)at);
    }
    if (has_children) {
        draw_mark(f->list,
            view_is_folded(f->view, node) ? DRAW_MARK_CHEVRON : DRAW_MARK_CHEVRON_DN, x + 4,
            middle, THEME_MARK, f->theme->secondary);
        frame_zone(
            f, (struct draw_rect){x - 6, row.y, 20, row.h}, VIEW_FOLD_NODE, 0, (int64_t)at);
    }
    float right = row.x + row.w - VIEW_PAD;
    char label[WORDS_MAX];
    int label_n = (int)(node->label_n < 256 ? node->label_n : 256);
    (void)snprintf(label, sizeof label, node->rank > 0 ? "%.*s @%u" : "%.*s", label_n,
        node->label, node->rank);
    frame_mark(f, frame_health(node->level), right - 4, middle);
    enum font_role role = is_here ? FONT_STRONG : FONT_TEXT;
    float wanted =
        x + 14 + 8 +
        font_width(draw_font(f->list), role, THEME_SIZE_TEXT, label, strlen(label));
    /* as wide as the others, narrow where the label is long: two left ends, not many */
    float spark_w = right - 16 - wanted >= SPARK_W ? SPARK_W : MIN_SPARK_W;
    float spark_x = right - 16 - spark_w;
    bool has_spark = thing != 0 && spark_x - x - 20 >= MIN_LABEL;
    if (has_spark) {
        struct draw_rect spark = {spark_x, row.y + 3, spark_w, row.h - 11};
        draw_spark(f, spark, thing);
    }
    float label_w = fmaxf((has_spark ? spark_x : right - 16) - (x + 14) - 6, 8);
    draw_color color = is_here      ? f->theme->alarm
                       : thing != 0 ? f->theme->text
                                    : f->theme->secondary;
    float y = frame_middle(f, row, FONT_TEXT, THEME_SIZE_TEXT);
    char text[WORDS_MAX];
    (void)frame_fit_name(f, role, THEME_SIZE_TEXT, label_w, label, text);
    struct draw_rect box =
        frame_text(f, role, THEME_SIZE_TEXT, color, x + 14, y, label_w, text);
    if (frame_is_over(f, row) && (box.w >= label_w - 1 || strcmp(text, label) != 0)) {
        char path[WORDS_MAX];
        (void)snprintf(path, sizeof path, "%.*s",
            (int)(node->path_n < WORDS_MAX ? node->path_n : WORDS_MAX), node->path);
        tip_of_name(f, row, path, NULL);
    }
    if (is_here && label_w - box.w > 40) {
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->alarm, box.x + box.w + 8,
            y, label_w - box.w - 8, "began here");
    }
}

/* How many rows are to be seen: descendants of folded nodes are not. The first time, and when
 * trouble has begun, the list is moved so that its origin is seen. */
static size_t count_rows(struct frame *f, float visible_h)
{
    struct view *view = f->view;
    size_t n = 0;
    uint64_t shown =
        ((uint64_t)view->run << 32) + (f->origin != NULL ? f->origin->thing : 0);
    for (size_t i = 0; i < view->tree->n;) {
        if (shown != view->tree_shown && f->origin != NULL && holds_origin(f, i)) {
            view->scroll[VIEW_SCROLL_TREE] = THEME_ROW * ((float)n + 0.5F) - visible_h / 2;
        }
        n++;
        i = view_is_folded(view, &view->tree->nodes[i]) ? view->tree->nodes[i].end : i + 1;
    }
    view->tree_shown = shown;
    return n;
}

static void draw_tree(struct frame *f, struct draw_rect rect)
{
    const struct tree *tree = f->view->tree;
    draw_title(f, rect, "Modules");
    struct draw_rect list = {rect.x, rect.y + TITLE_ROW, rect.w, rect.h - TITLE_ROW - 8};
    if (tree->n == 0) {
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->faint, rect.x + VIEW_PAD,
            list.y + 18, rect.w - 2 * VIEW_PAD, "no tensors watched");
        return;
    }
    float content = THEME_ROW * (float)count_rows(f, list.h);
    float scroll = frame_scroll(f, VIEW_SCROLL_TREE, content, list.h);
    frame_zone(f, list, VIEW_SCROLL, VIEW_SCROLL_TREE, 0);
    draw_clip(f->list, list);
    float y = list.y - scroll;
    for (size_t i = 0; i < tree->n && y < list.y + list.h;) {
        struct draw_rect row = {list.x, y, list.w, THEME_ROW};
        if (y + THEME_ROW > list.y) {
            draw_node(f, row, i);
        }
        y += THEME_ROW;
        i = view_is_folded(f->view, &tree->nodes[i]) ? tree->nodes[i].end : i + 1;
    }
    draw_unclip(f->list);
    frame_scroll_bar(f, list, content, scroll);
}

void side_draw(struct frame *f, struct draw_rect rect)
{
    draw_fill(f->list, rect, f->theme->panel);
    draw_hair_v(f->list, rect.x + rect.w - 1, rect.y, rect.h, 0, f->theme->hairline);
    struct draw_rect inner = {rect.x, rect.y + 6, rect.w - 1, rect.h - 6};
    float runs_h = draw_runs(f, inner);
    if (f->run == NULL) {
        return;
    }
    draw_hair_h(f->list, inner.x, inner.y + runs_h + 6, inner.w, 0, f->theme->hairline);
    draw_tree(f,
        (struct draw_rect){inner.x, inner.y + runs_h + 8, inner.w, inner.h - runs_h - 8});
}
