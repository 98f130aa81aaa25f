/* SPDX-License-Identifier: Apache-2.0 */
/* What the pages share: zones, slots, curves from series, small pieces of text. */
#ifndef CLIENT_VIEW_INSIDE_H
#define CLIENT_VIEW_INSIDE_H

#include "client/view/view.h"
#include "client/view/words.h"

/* One frame under way. */
struct frame {
    struct view *view;
    struct draw_list *list;
    const struct theme *theme;
    const struct model *model;
    const struct model_run *run; /* NULL: none */
    struct chart_event *events;  /* alerts and events of the run, for every chart */
    size_t n_events;
    struct chart_event
        *mapped_events; /* where the x axis has them, when it counts no steps */
    const struct model_alert *origin; /* where NaN or Inf began; NULL: nowhere */
    struct draw_rect within;          /* zones end at its edges; w 0: at none */
};

/** A chart under way: filled by the page, drawn by frame_chart. */
struct frame_chart {
    uint64_t id;        /* stays the same from frame to frame */
    struct chart chart; /* x, events and cursor are set by frame_chart */
    size_t n_other;     /* so many lines, the last ones, are of the second run */
    uint32_t thing;     /* shown on the tensor page when clicked; 0: none */
    const char *name;   /* its title in full, where that is cut; NULL: it is not */
    bool no_tip;        /* the page says itself what is under the pointer */
    bool may_log; /* becomes logarithmic by itself when few readings dwarf the others */
};

/** Note that a click or the wheel in a rectangle does something. Later zones lie on top. */
void frame_zone(
    struct frame *f, struct draw_rect rect, enum view_act act, int64_t a, int64_t b);

/** What zones may take of a rectangle: its intersection with the frame's within. */
struct draw_rect frame_within(const struct frame *f, struct draw_rect rect);

/** Whether the pointer is in a rectangle and nothing lies over it. */
bool frame_is_over(const struct frame *f, struct draw_rect rect);

/** What a chart remembers; made at first. Never NULL. */
struct view_slot *frame_slot(struct frame *f, uint64_t id);

/** An id for a slot from a page and what is shown. */
uint64_t frame_id(uint32_t page, uint32_t thing, uint32_t kind, uint32_t stat);

/** The slot of a picture over the visible steps that the page draws itself. */
struct view_slot *plot_slot(struct frame *f, uint64_t id, struct draw_rect plot);

/** A line across such a picture where the cursor is, if that is visible. */
void plot_cursor(struct frame *f, struct draw_rect plot, draw_color color);

/** Wish for a series and give what is there of it; NULL: nothing yet. */
const struct model_series *frame_series(
    struct frame *f, struct model_ref ref, bool is_coarse);

/** The visible columns of a series as a chart's columns, borrowed for the frame. */
struct chart_line frame_line(
    struct frame *f, const struct model_series *series, double cadence, draw_color color);

/** Give a line columns of its own, to be changed; in scratch memory. NULL: there is no room. */
struct chart_column *frame_own_columns(struct frame *f, struct chart_line *line);

/** The model of the second run; NULL: none is chosen, or it is not there yet. */
const struct model *frame_other(const struct frame *f);

/** As frame_series, of the second run, which has the thing. */
const struct model_series *frame_other_series(
    struct frame *f, struct model_ref ref, bool is_coarse);

/** As frame_line, of a series of the second run. */
struct chart_line frame_other_line(
    struct frame *f, const struct model_series *series, double cadence, draw_color color);

/**
 * Smooth a line over its steps: a mean of the readings so far, of which those half_life steps ago
 * count half. It looks back only, so what is drawn never changes by what comes; what is not finite
 * stays so and has no part in the mean. In scratch memory.
 */
struct chart_line frame_smooth(
    struct frame *f, const struct chart_line *line, double half_life);

/** Whether few readings dwarf the others so that a linear axis would show nothing else. */
bool frame_is_steep(const struct chart_line *lines, size_t n_lines);

/** Give a logarithmic chart whole decades around all positive readings as its y range. */
void frame_fit_log(struct chart *chart);

/** Draw a chart with the page's x range, cursor and events; hover, zone, tip included. */
struct view_slot *frame_chart(
    struct frame *f, struct draw_rect rect, struct frame_chart *of);

/** Draw a text of a size and colour; returns its box. max_w 0: no limit. */
struct draw_rect frame_text(struct frame *f, enum font_role role, float size,
    draw_color color, float x, float y, float max_w, const char *text);

/** Baseline that puts capitals in the middle of a row. */
float frame_middle(struct frame *f, struct draw_rect row, enum font_role role, float size);

/** The mark of a health at a point. */
void frame_mark(struct frame *f, enum theme_health health, float x, float y);

/** Health of a level; calm for 0. */
enum theme_health frame_health(enum baro_level level);

/** A row of words of which one is chosen; clicking picks. x_right: right end; returns left. */
float frame_switch(struct frame *f, float x, float y, const char *const *words,
    const int64_t *values, size_t n, int64_t chosen, enum view_act act, bool from_right);

/** Begin the tip that is drawn over everything, beside a point. */
void frame_tip(struct frame *f, float x, float y);

/** Add a line to the tip; the first is its title. */
void frame_tip_line(struct frame *f, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** The alert of the tensor in which NaN or Inf began, or of the loss when it was spoilt before any
 * gradient; NULL if no tensor held any. */
const struct model_alert *frame_origin(const struct model *model);

/**
 * Shorten a dotted name to a width: pieces give way from the left, numbers and the end last
 * ("…layers.3…experts.1.weight"). Returns out; only the last piece may still be too wide.
 */
char *frame_fit_name(struct frame *f, enum font_role role, float size, float max_w,
    const char *name, char out[WORDS_MAX]);

/** Draw a dotted name, shortened where there is no room for all. */
struct draw_rect frame_name(struct frame *f, float size, draw_color color, float x, float y,
    float max_w, const char *name);

/** words_waiting() in memory that lasts for the frame. */
const char *frame_waiting(struct frame *f, bool is_sentence);

/** How many bytes of a text fit into a width: all, else up to a space, else within a long name. */
size_t frame_fit_line(
    struct frame *f, enum font_role role, float size, const char *text, float w);

/** Take parts that stand behind " · " off the end of a text until it fits. Returns text. */
char *frame_fit_parts(
    struct frame *f, enum font_role role, float size, float max_w, char *text);

enum { FRAME_MAX_LINES = 10 };

/* A line of a longer text; borrowed. */
struct frame_words {
    const char *at;
    size_t n;
};

/** Cut a text into lines of a width, at spaces, else within long names; the last has all of the
 * rest. Returns how many there are. */
size_t frame_wrap(struct frame *f, enum font_role role, float size, const char *text,
    float w, struct frame_words *lines, size_t max_lines);

/** Draw a text in lines, at most FRAME_MAX_LINES, the first with its baseline at at.y. Returns how
 * many there are. */
size_t frame_text_lines(struct frame *f, enum font_role role, float size, draw_color color,
    struct draw_rect at, float line_h, size_t max_lines, const char *text);

/** Shorten a name to a width by its middle: both ends stay. Returns out. */
char *frame_fit_middle(struct frame *f, enum font_role role, float size, float max_w,
    const char *name, char out[WORDS_MAX]);

/** Keep a scroll position within what there is; gives it. */
float frame_scroll(
    struct frame *f, enum view_scroll which, float content_h, float visible_h);

/** A thin bar at the right edge of a rectangle whose content goes on beyond what is seen. */
void frame_scroll_bar(
    struct frame *f, struct draw_rect rect, float content_h, float scroll);

/** What a run's headline is about: where NaN or Inf began, else the first alarm, else the first
 * alert; NULL if there is none. */
const struct model_alert *frame_worst_alert(const struct model *model);

/** Runs and module tree at the left. */
void side_draw(struct frame *f, struct draw_rect rect);

/** The time axis at the bottom. */
void timeline_draw(struct frame *f, struct draw_rect rect);

/** Which run, how far, which page. */
void header_draw(struct frame *f, struct draw_rect rect);

/** Say what is missing; true when there is nothing else to draw. */
bool states_draw(struct frame *f, struct draw_rect rect);

/** Keys and find, over the page. */
void overlay_draw(struct frame *f, struct draw_rect rect);

/** Darken the page and draw an empty box on it, below its middle; gives where it is. */
struct draw_rect overlay_box(struct frame *f, struct draw_rect rect, float w, float h);

/** Draw what can be asked of the training (control.h). */
void control_draw(struct frame *f, struct draw_rect rect);

/** Colour of all lines of the second run. */
draw_color frame_other_color(const struct theme *theme);

/** The row of choices above the charts: which runs, which scalars, what x counts. */
void overview_tools(struct frame *f, struct draw_rect row);

/** Pin the scalar of a thing, or no longer; id 0: step times. */
void overview_pin_thing(struct view *view, const struct model *model, uint32_t id);

/** See a run beside the one shown; the one that is, or 0: no longer. Says so in the notice. */
void overview_pick_other(struct view *view, const struct model *model, uint32_t run);

/** A letter of what scalars are chosen by. */
bool overview_glob_char(struct view *view, const char *text);

/** Put what was typed behind a text, when there is room for all of it. */
void view_add_text(char *to, size_t room, const char *text);

/** Take the last character of a text away. */
void view_cut_text(char *text);

/** Draw what is typed to choose scalars. */
void overview_draw_glob(struct frame *f, struct draw_rect rect);

/** The tip, within a rectangle. */
void tip_draw(struct frame *f, struct draw_rect within);

/** The overview page. */
void overview_draw(struct frame *f, struct draw_rect rect);

/** The tensor page. */
void tensor_draw(struct frame *f, struct draw_rect rect);

/** Height that all incidents take at a width. */
float incidents_height(struct frame *f, float w);

/** All incidents, from a height on; only what is seen of a list is drawn. */
void incidents_draw(struct frame *f, struct draw_rect list, float y);

/** The network page. */
void network_draw(struct frame *f, struct draw_rect rect);

/** The why page. */
void why_draw(struct frame *f, struct draw_rect rect);

/** The compare page. */
void compare_draw(struct frame *f, struct draw_rect rect);

/** The layers page. */
void layers_draw(struct frame *f, struct draw_rect rect);

/** The alerts page. */
void alerts_draw(struct frame *f, struct draw_rect rect);

/** Height that the layers at a glance would like to have. */
float heat_height(const struct frame *f);

/**
 * The layers at a glance.
 *
 * plot_x, plot_w  where the steps are: those of the chart above it
 */
void heat_draw(struct frame *f, struct draw_rect rect, float plot_x, float plot_w);

/** A line for each unit of a tensor. */
void units_draw(struct frame *f, struct draw_rect rect, const struct model_thing *thing);

/** The distribution of a tensor over its visible steps. */
void hist_time_draw(
    struct frame *f, struct draw_rect rect, const struct model_thing *thing);

/** The panel over time of the tensor page: units, distribution, change. */
void tensor_time_draw(
    struct frame *f, struct draw_rect rect, const struct model_thing *thing);

/** The distribution of a tensor at the cursor. */
void hist_draw(struct frame *f, struct draw_rect rect, const struct model_thing *thing);

/* Whose folds. */
enum view_folds { VIEW_FOLDS_TREE, VIEW_FOLDS_NETWORK };

/** Free what was found of the network; NULL is fine. */
void network_cache_destroy(struct network_cache *cache);

/** A number that stands for the path of a node; never 0. */
uint64_t view_hash(const struct tree_node *node);

/** Whether a person has folded or unfolded a node, against what it is by itself. */
bool view_is_toggled(
    const struct view *view, const struct tree_node *node, enum view_folds of);

/** Do that, or take it back. */
void view_toggle(struct view *view, const struct tree_node *node, enum view_folds of);

/** Whether a node of the tree is folded. */
bool view_is_folded(const struct view *view, const struct tree_node *node);

/** A number that stands for a project in the list of runs. */
uint64_t view_project_hash(const char *project);

/** Whether what a number stands for is folded. */
bool view_is_hash_folded(const struct view *view, uint64_t hash);

/** Fold it, or unfold it. */
void view_fold_hash(struct view *view, uint64_t hash);

/** Fold a node, or unfold it. */
void view_fold(struct view *view, const struct tree_node *node);

#endif
