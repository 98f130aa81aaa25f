/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The view: what the person has chosen, and the picture of a model made from it. Pure: no
 * window, no clock, no thread. The program feeds it input (input.h) and calls
 *
 *     view_draw(view, list, model, w, h);     the whole picture as draw commands
 *     view->wish                              what the picture needs, for the keeper
 *     view->is_dirty                          draw once more: hover or layout has settled
 *
 * While drawing, views leave zones (where a click does something) and slots (what a chart
 * remembers from frame to frame).
 */
#ifndef CLIENT_VIEW_VIEW_H
#define CLIENT_VIEW_VIEW_H

#include "client/draw/chart.h"
#include "client/model/model.h"
#include "client/model/tree.h"
#include "client/view/compare.h"
#include "client/view/layers.h"
#include "client/view/marks.h"
#include "client/view/overview.h"
#include "client/view/tensor.h"
#include "client/view/xaxis.h"

enum view_page {
    VIEW_OVERVIEW,
    VIEW_TENSOR,
    VIEW_NETWORK,
    VIEW_ALERTS,
    VIEW_WHY,
    VIEW_LAYERS,
    VIEW_COMPARE,
    VIEW_PAGE_COUNT
};

enum view_overlay { VIEW_PLAIN, VIEW_KEYS, VIEW_FIND, VIEW_CONTROL, VIEW_GLOB, VIEW_NOTE };

enum {
    VIEW_MAX_ZONES = 2048,
    VIEW_MAX_SLOTS = 128,
    VIEW_MAX_FOLDS = 512,
    VIEW_FIND_BYTES = 128,
    VIEW_NOTE_BYTES = 1000,
    VIEW_MAX_FOUND = 12
};

/* Space of the frame in logical pixels. */
#define VIEW_SIDE_W   264.0F
#define VIEW_AXIS_H   64.0F
#define VIEW_HEADER_H 44.0F
#define VIEW_PAD      16.0F
#define VIEW_MIN_W    640.0F
#define VIEW_MIN_H    400.0F

/* What a click or a wheel turn does. a and b: see each. */
enum view_act {
    VIEW_NOTHING,
    VIEW_PICK_RUN,     /* a: run */
    VIEW_PICK_NODE,    /* a: thing, b: its node */
    VIEW_FOLD_NODE,    /* b: node */
    VIEW_FOLD_BOX,     /* b: node, on the network page */
    VIEW_PICK_OPS,     /* b: node whose operations are listed; the chosen one again: none */
    VIEW_PICK_PAGE,    /* a: enum view_page */
    VIEW_PICK_ALERT,   /* a: id of the alert: go where it happened */
    VIEW_PICK_THING,   /* a: thing: show it on the tensor page */
    VIEW_PICK_STAT,    /* a: enum unit_stat */
    VIEW_PICK_UNIT,    /* a: unit, -1: none; the chosen one again: none */
    VIEW_SHOW_UNIT,    /* a: unit, b: 1 + its tensor, 0: the one shown */
    VIEW_TOGGLE_ALONE, /* the chosen unit's line alone, or among the others */
    VIEW_PICK_HEAT,    /* a: enum baro_role of the heat strip */
    VIEW_LAYERS_STAT,  /* a: enum form_stat */
    VIEW_LAYERS_FORM,  /* a: enum form */
    VIEW_LAYERS_SCALE, /* a 1: one y axis for all rows */
    VIEW_LAYERS_MOVED, /* a: enum moved_kind */
    VIEW_LAYERS_STEP,  /* a: step to be picked; a picked one: no longer */
    VIEW_LAYERS_TOP,   /* a: so many are the most */
    VIEW_TENSOR_TAB,   /* a: enum tensor_tab */
    VIEW_TENSOR_ORDER, /* a: enum tensor_order */
    VIEW_TENSOR_HIST,  /* a: enum tensor_hist */
    VIEW_NETWORK_FORM, /* a: enum form */
    VIEW_NETWORK_STAT, /* a: enum form_stat */
    VIEW_NETWORK_COLOR, /* a: enum network_color */
    VIEW_TOGGLE_LIVE,
    VIEW_FIT,
    VIEW_CHART,      /* a: slot: cross-hair, zoom, pan */
    VIEW_TIMELINE,   /* a: slot: the whole run; drag chooses the range */
    VIEW_SCROLL,     /* a: enum view_scroll, wheel only */
    VIEW_FOUND,      /* a: index in what was found */
    VIEW_COMMAND,    /* a: the key that does it */
    VIEW_CLOSE,      /* of an overlay */
    VIEW_PICK_OTHER, /* a: run to be seen beside the first; the chosen one again, 0: none */
    VIEW_FOLD_PROJECT,  /* a: hash of its name */
    VIEW_PICK_X,        /* a: enum xaxis_kind */
    VIEW_PIN,           /* a: thing of the scalar; 0: step times */
    VIEW_COMPARE_PICK,  /* a: thing of the first side */
    VIEW_COMPARE_ROLE,  /* a: enum baro_role; 0: all */
    VIEW_COMPARE_STEPS, /* a 1: two steps of the run shown; 0: two runs */
    VIEW_COMPARE_SORT,  /* a: enum compare_sort */
    VIEW_OPEN_GLOB,     /* type which scalars are shown; a 1: show all again */
    VIEW_PICK_NOTE,     /* a: id of the note: go there */
    VIEW_WHY_MODE,      /* a: enum credit_mode */
};

enum view_scroll {
    VIEW_SCROLL_RUNS,
    VIEW_SCROLL_TREE,
    VIEW_SCROLL_PAGE,
    VIEW_SCROLL_HEAT,
    VIEW_SCROLL_UNITS,
    VIEW_SCROLL_OPS,
    VIEW_SCROLL_LAYERS,
    VIEW_SCROLL_KEYS,
    VIEW_SCROLL_COUNT
};

struct view_zone {
    struct draw_rect rect;
    enum view_act act;
    int64_t a, b;
};

/* The y axis that units are chosen for: it stays until the chart's own is clearly another. */
struct view_limits {
    bool has; /* false: the daemon fits one */
    enum axis_kind kind;
    double lo, hi, linear_to;
    int64_t from_step, to_step; /* when it was chosen: for the same steps it only grows */
};

/* What a chart remembers. */
struct view_slot {
    uint64_t id; /* of the chart: page, series; 0: free */
    struct chart_state state;
    struct chart_layout layout;
    bool has_layout;
    bool is_log;     /* logarithmic y axis */
    bool has_chosen; /* the person chose so; else the view does, once */
    bool has_zero;   /* 0 is kept in view */
    bool has_y;      /* y_lo to y_hi is shown, as dragged out */
    double y_lo, y_hi;
    struct view_limits limits; /* the chart of a tensor's units */
    int hover;                 /* line under the pointer, -1: none */
    uint64_t last_frame;
};

/* Something found by typing. */
struct view_found {
    enum view_act act;
    int64_t a;
    const char *name, *kind;
    uint32_t rank;
    int64_t b;
};

struct curves;
struct heat_cache;
struct density_cache;
struct network_cache;
struct unit_order_cache;
struct side_groups;

struct view {
    /* choices */
    const struct theme *theme;
    enum view_page page;
    enum view_overlay overlay;
    uint32_t run;
    uint32_t other_run;        /* a second one, seen beside it; 0: none */
    const char *wanted_run;    /* as on the command line; NULL: the newest */
    const char *wanted_tensor; /* NAME or NAME:ROLE; NULL: the first with an alert */
    bool has_lost_run;         /* wanted_run is not there */
    uint32_t thing;            /* of the tensor page; 0: none yet */
    enum unit_stat stat;
    int64_t unit;             /* chosen unit; -1: none */
    bool is_alone;            /* only the line of the chosen unit is drawn */
    struct marks marks;       /* units that were brushed */
    bool is_brushing;         /* a drag over the units marks them */
    enum baro_role heat_role; /* of the heat strip; 0: chosen by the view */
    struct view_layers layers;
    struct view_network network;
    struct view_tensor tensor;
    double smoothing; /* of scalars: half-life in steps; 0: none */
    uint64_t alert;   /* chosen alert; 0: none */
    char find[VIEW_FIND_BYTES];
    size_t n_found, found_at;
    struct view_found found[VIEW_MAX_FOUND];
    uint64_t folds[VIEW_MAX_FOLDS]; /* hashes of folded paths */
    size_t n_folds;
    int net_depth; /* of the tree: from there on the network page folds by itself */
    const struct model_things *net_depth_of; /* tree_of then; only compared */
    float why_h;               /* of all that the why page has, as it was last drawn */
    enum credit_mode why_mode; /* of its shares; 0: of what the value was made */
    uint64_t ops_of;           /* hash of the module whose operations are listed; 0: none */
    int64_t ops_hover;         /* node of the box under the pointer; -1: none */
    float scroll[VIEW_SCROLL_COUNT];
    float scroll_max[VIEW_SCROLL_COUNT]; /* found while drawing */

    struct view_overview overview;
    struct view_compare compare;

    /* x axis */
    struct xaxis x;      /* what it counts; all below are steps */
    bool is_fit;         /* all of the run */
    bool is_live;        /* follow the newest step */
    double lo, hi;       /* visible steps; set by view_draw when fit or live */
    double cursor;       /* step under the pointer; NAN: none */
    bool cursor_is_kept; /* set by keys or --at: stays without a pointer */
    bool is_playing;     /* the cursor moves by itself: view_tick() */
    bool is_still;       /* nothing moves by itself but what is played, and that in jumps */
    bool has_chosen_motion; /* the person chose so, or not so, here */
    double now_s;           /* set by the program; 0: unknown */
    struct view_glide {     /* what goes on by itself after a drag, or the wheel: glide.c */
        double speed;       /* of the range, steps a second; 0: it stands */
        double moved_s;     /* when the pointer moved last while it dragged */
        float moved_x;
        float scroll[VIEW_SCROLL_COUNT]; /* pixels that are still to go */
    } glide;

    /* pointer */
    float mx, my;
    bool has_mouse;
    enum view_drag { DRAG_NONE, DRAG_ZOOM, DRAG_PAN, DRAG_TIMELINE, DRAG_BRUSH } drag;
    float drag_x0, drag_y0;
    bool has_shift; /* held down: a drag chooses both axes */
    bool has_ctrl;  /* held down: a drag over the units marks them */
    bool drag_is_both;
    int64_t drag_slot;
    int64_t drag_unit;       /* unit under the pointer when it began, -1: none */
    double drag_lo, drag_hi; /* range when it began */
    struct chart_layout drag_layout;
    struct view_brush { /* a rectangle that was dragged out over the units, in data */
        bool is_new;    /* to be applied by the next frame */
        double from, to, lo, hi;
    } brush;

    /* of the frame */
    uint64_t frame;
    bool is_dirty;
    struct model_wish wish;
    size_t n_zones;
    struct view_zone zones[VIEW_MAX_ZONES];
    struct view_slot slots[VIEW_MAX_SLOTS];
    struct tree *tree; /* of tree_things */
    const struct model_things
        *tree_of;                  /* a reference, so that it cannot be taken for another */
    struct heat_cache *heat_cache; /* heat_row.c; NULL: empty */
    struct curves *curves;         /* curves.h; NULL: none */
    struct density_cache *density_cache; /* units_lines.c; NULL: empty */
    struct network_cache *network_cache; /* network_place.c; NULL: empty */
    struct unit_order_cache *unit_order; /* unit_order.c; NULL: empty */
    struct side_groups *side;            /* side.c; NULL: nothing drawn yet */
    int64_t units_slot;                  /* of the chart of units, -1: not on this page */
    uint32_t run_listed;                 /* the run that the list of runs was moved to */
    uint64_t tree_shown;                 /* what the tree's scroll position belongs to */
    uint64_t heat_shown;                 /* what the layers' scroll position belongs to */
    int64_t unit_hover;                  /* unit under the pointer on the tensor page, -1 */
    char found_unit[64];                 /* "unit 123", as it was found */
    char notice[256];     /* said at the bottom until the next key or click */
    struct view_control { /* what a person asks of the training */
        uint32_t run;
        int chosen;       /* in the box; -1: nothing yet */
        bool has_request; /* to be sent by the program, which clears it */
        Baro__ControlKind kind;
        double value;
    } control;
    struct view_notes { /* notes.h */
        uint32_t run;
        int64_t step;
        char text[VIEW_NOTE_BYTES + 1]; /* that is being written */
        uint64_t chosen;                /* gone to last; 0: none */
        uint64_t sure;                  /* it goes when that is asked once more */
        bool has_mark;                  /* a step was marked here, */
        uint32_t mark_run;              /* last this one */
        int64_t mark_step;
        enum { VIEW_NOTES_NONE, VIEW_NOTES_ADD, VIEW_NOTES_REMOVE } request; /* likewise */
        uint64_t remove;
    } notes;
    struct view_under { /* the reading under the pointer */
        bool has;
        double value;
    } under;
    struct view_capture { /* a chart that is to be written; capture.h */
        enum view_capture_kind {
            VIEW_CAPTURE_NONE,
            VIEW_CAPTURE_CSV,
            VIEW_CAPTURE_SVG
        } kind;
        uint64_t id; /* of its slot */
        char *text;  /* NULL: not written yet */
        size_t n_bytes;
        char name[64]; /* title of the chart */
    } capture;
    struct view_tip {
        float x, y;
        char text[6][240];
        int n;
    } tip;
};

/** Create a view with the defaults: overview, dark, all of the newest run, live. */
struct view *view_create(void);

/**
 * Tell which statistic of the units of a tensor is shown: the one chosen, or the l2 norm where
 * this tensor does not have that one. thing: NULL: none
 */
enum unit_stat view_unit_stat(const struct view *view, const struct model_thing *thing);

/** Free a view; NULL is fine. */
void view_destroy(struct view *view);

/**
 * Draw the whole picture of a model.
 *
 * w, h     logical pixels; at least 640 x 400 to be readable
 * cost     1 to 5 ms for a page; independent of history
 */
void view_draw(
    struct view *view, struct draw_list *list, const struct model *model, float w, float h);

/**
 * Move what moves by itself for a time: while playing the cursor, over all visible steps in ten
 * seconds, to their end; the range and lists that glide on, ever slower.
 *
 * returns  whether the picture has to be drawn again
 */
bool view_tick(struct view *view, double seconds);

/** Whether something moves by itself, so that view_tick has to be called. */
bool view_is_moving(const struct view *view);

/** Name a page ("overview", "tensor", "network", "alerts", "why", ..., "compare"). */
const char *view_page_name(enum view_page page);

/** Find a page by name; VIEW_PAGE_COUNT when there is none. */
enum view_page view_page_parse(const char *name);

/** Show another range of steps; ends fitting and following. */
void view_set_range(struct view *view, double lo, double hi);

/** Forget what charts remember of their y ranges (key f). */
void view_refit(struct view *view);

#endif
