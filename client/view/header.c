/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/view/inside.h"
#include "client/view/words.h"
#include "lib/base/mem.h"

/* The line above every page: which run, how far, which page. */

/* Once connected and then away: said beside the name, calmly; what is known stays on show. */
static const char *link_words(const struct model *model, char out[WORDS_MAX])
{
    char clock[FORMAT_MAX];
    switch (model->state) {
    case MODEL_AWAY:
        (void)snprintf(out, WORDS_MAX, "daemon away since %s, trying again",
            format_clock(clock, model->since_wall_ns, 1));
        return out;
    case MODEL_MISMATCH: return "daemon speaks another protocol";
    case MODEL_CONNECTING: return "connecting";
    case MODEL_READY:
    case MODEL_STATE_COUNT: break;
    }
    return NULL;
}

/* Where there is no room for the names of all pages, the others are called by their keys. */
static void shorten(
    struct frame *f, const char **words, const int64_t *pages, int n, float room)
{
    static const char *const keys[] = {"1", "2", "3", "4", "5", "6", "7"};
    _Static_assert(BARO_LEN(keys) == VIEW_PAGE_COUNT, "each page has a key");
    const float gap = 18;
    float w = 0;
    for (int i = 0; i < n; i++) {
        w += gap + font_width(draw_font(f->list), FONT_TEXT, THEME_SIZE_TEXT, words[i],
                       strlen(words[i]));
    }
    for (int i = 0; i < n && w > room; i++) {
        words[i] = pages[i] != (int64_t)f->view->page ? keys[pages[i]] : words[i];
    }
}

/* Where there is no room for the project's name it is the run's that is said, by both its ends; the
 * pointer has all of it. */
static struct draw_rect draw_run_name(struct frame *f, float x, float y, float room)
{
    char name[WORDS_MAX];
    char text[WORDS_MAX];
    (void)words_run(name, f->run);
    struct font *font = draw_font(f->list);
    bool fits = font_width(font, FONT_STRONG, THEME_SIZE_TITLE, name, strlen(name)) <= room;
    const char *said = fits || f->run->name[0] == '\0' ? name : f->run->name;
    (void)frame_fit_middle(f, FONT_STRONG, THEME_SIZE_TITLE, room, said, text);
    struct draw_rect box =
        frame_text(f, FONT_STRONG, THEME_SIZE_TITLE, f->theme->text, x, y, room, text);
    if (!fits && frame_is_over(f, (struct draw_rect){x, y - 18, box.w, 26})) {
        frame_tip(f, x, y + 4);
        frame_tip_line(f, "%s", f->run->name);
        frame_tip_line(f, "%s", f->run->project);
    }
    return box;
}

void header_draw(struct frame *f, struct draw_rect rect)
{
    const struct model *model = f->model;
    const char *words[VIEW_PAGE_COUNT];
    int64_t values[VIEW_PAGE_COUNT];
    char alerts[48];
    int n_pages = 0;
    bool has_why = model->run == f->view->run && model->incidents->n > 0;
    for (int page = 0; page < VIEW_PAGE_COUNT; page++) {
        if (page != VIEW_WHY || has_why || f->view->page == VIEW_WHY) {
            words[n_pages] = view_page_name((enum view_page)page);
            values[n_pages++] = page;
        }
    }
    if (model->run == f->view->run && model->alerts->n > 0) {
        (void)snprintf(alerts, sizeof alerts, "alerts %zu", model->alerts->n);
        words[VIEW_ALERTS] = alerts;
    }
    float y = rect.y + 28;
    float right = rect.x + rect.w - VIEW_PAD;
    if (f->run == NULL) {
        return;
    }
    const float least = 150; /* for the run */
    shorten(f, words, values, n_pages, rect.w - 2 * VIEW_PAD - least);
    float left = frame_switch(f, right, y, words, values, (size_t)n_pages,
        (int64_t)f->view->page, VIEW_PICK_PAGE, true);
    char step[FORMAT_MAX];
    char rest[WORDS_MAX];
    char away[WORDS_MAX];
    float x = rect.x + VIEW_PAD;
    frame_mark(f, words_shown_health(f->model, f->run), x + 4, y - 5);
    const char *link = link_words(model, away);
    const char *reason = f->run->status_text;
    (void)snprintf(rest, sizeof rest, "%.100s%sstep %s · %s%s%.120s",
        link != NULL ? link : "", link != NULL ? " · " : "",
        f->run->n_steps > 0 ? format_count(step, f->run->last_step) : "–",
        words_status(f->run), reason[0] != '\0' ? ": " : "", reason);
    float room = left - 20 - x;
    float rest_w =
        font_width(draw_font(f->list), FONT_TEXT, THEME_SIZE_TEXT, rest, strlen(rest));
    struct draw_rect box =
        draw_run_name(f, x + 16, y, fmaxf(room - 30 - rest_w, (left - x) * 0.5F));
    float rest_x = box.x + box.w + 14;
    (void)frame_fit_parts(
        f, FONT_TEXT, THEME_SIZE_TEXT, fmaxf(x + room - rest_x, 10), rest);
    (void)frame_text(f, FONT_TEXT, THEME_SIZE_TEXT,
        link != NULL ? f->theme->watch : f->theme->secondary, rest_x, y,
        fmaxf(x + room - rest_x, 10), rest);
}
