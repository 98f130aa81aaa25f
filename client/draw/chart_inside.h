/* SPDX-License-Identifier: Apache-2.0 */
/* The chart from inside: shared by chart.c and chart_*.c alone. */
#ifndef CLIENT_DRAW_CHART_INSIDE_H
#define CLIENT_DRAW_CHART_INSIDE_H

#include "client/draw/chart.h"

enum { CHART_MAX_TEXTS = 96 };

/* Values to positions of one plot area, with what is the same for every value worked out. */
struct chart_scale {
    struct axis x, y;
    struct draw_rect plot; /* logical, on whole device pixels */
    float scale;           /* device pixels in a logical one */
    int x_px, n_px;        /* device columns of the plot */
    double x_from, x_by;   /* device column = (transformed x - x_from) * x_by + 0.5 */
    double y_from, y_by;   /* logical row = plot bottom - (transformed y - y_from) * y_by */
};

/* What lies beyond one edge of the plot. */
struct chart_beyond {
    size_t n;       /* readings, or columns of readings */
    double extreme; /* the furthest of them */
    int column;     /* where that is */
    draw_color color;
};

/* What a line notes at the edges of the plot; colours are not set. */
struct chart_noted {
    uint8_t *edges; /* n_px of enum chart_edge */
    struct chart_beyond above, below;
};

/* The least and the most of readings of a line, as chart_fit.c takes them. */
struct chart_fitted {
    bool has;
    size_t begin, end; /* which readings, counted as memo_first does */
    double least, most, positive_least;
};

/* The same of how large its readings are, for chart_weigh(). */
struct chart_weighed {
    bool has;
    size_t begin, end;
    struct chart_weight_of weight;
};

/* Marks that a chart's lines leave on its edges, one byte a device column. */
enum chart_edge {
    EDGE_NAN = 1,
    EDGE_POS_INF = 2,
    EDGE_NEG_INF = 4,
    EDGE_ABOVE = 8,
    EDGE_BELOW = 16,
    EDGE_BRANCH = 32
};

/* State of one chart_draw. */
struct chart_pen {
    struct draw_list *list;
    const struct theme *theme;
    const struct chart *chart;
    struct draw_rect rect;
    struct chart_scale scale;
    uint8_t *edges; /* n_px of enum chart_edge */
    struct chart_beyond above, below;
    void *cells; /* for chart_dense.c, n_px each; NULL: not needed so far */
    struct draw_point *points;
    struct draw_rect texts[CHART_MAX_TEXTS]; /* where text is: no other may touch it */
    size_t n_texts;
};

/** Fill in a scale from its axes, plot and pixel scale. */
void chart_scale_init(struct chart_scale *scale);

/** Device column (fractional, 0.5 is the middle of the first) of an x. */
double chart_column_of(const struct chart_scale *scale, double x);

/** Logical row of a value, kept within 50 plot heights. */
float chart_row_of(const struct chart_scale *scale, double value);

/** Index of the first point at or after x. */
size_t chart_first_point(const struct chart_line *line, double x);

/** Index of the first column that ends at or after x. */
size_t chart_first_column(const struct chart_line *line, double x);

/** The device column of an x inside the plot, kept inside. */
int chart_column_in(const struct chart_scale *scale, double x);

/** Note finite values that may lie outside the y range. */
void chart_note_beyond(
    struct chart_noted *noted, const struct axis *y, int column, double lo, double hi);

/** Put what a column says besides numbers on the edges from a to b. */
void chart_note_flags(uint8_t *edges, const struct chart_column *c, int a, int b);

/** Width of a line's pen. */
float chart_pen_width(const struct chart_line *line, bool is_hovered);

/** Its colour. */
draw_color chart_pen_color(const struct chart_line *line, bool is_hovered);

/** Draw a line's pen through points: in dashes where it is dashed. */
void chart_stroke(struct chart_pen *pen, const struct chart_line *line,
    const struct draw_point *points, size_t n, bool is_hovered);

/** Draw readings of a line of which there are more than device columns. */
void chart_draw_dense(struct chart_pen *pen, const struct chart_line *line, size_t from,
    size_t to, bool is_hovered);

/** What the memo knows of the y range of its line's readings; to be brought up to date. */
struct chart_fitted *chart_memo_fitted(struct chart_memo *memo);

/** And of how large they are. */
struct chart_weighed *chart_memo_weighed(struct chart_memo *memo);

/** The edge mark of a value that is not finite. */
uint8_t chart_edge_of(double value);

/** What a column without a finite reading shows: an infinity its flags name, else NaN. */
double chart_nonfinite(uint32_t flags);

/** Find the y axis that shows a chart's lines, keeping to the state where it can. */
struct axis chart_fit_y(
    struct draw_list *list, const struct chart *chart, struct chart_state *state);

/** How many flocks a chart has. */
size_t chart_n_flocks(const struct chart *chart);

/** Draw one line into the plot and note its marks on the edges. */
void chart_draw_line(struct chart_pen *pen, const struct chart_line *line, bool is_hovered);

/** Draw the faint multitude behind the lines. */
void chart_draw_flock(struct chart_pen *pen, const struct chart_flock *flock);

/** Draw the marks on the edges: NaN, infinities, clipped extremes, branches. */
void chart_draw_edges(struct chart_pen *pen);

/** Draw alerts and events. */
void chart_draw_events(struct chart_pen *pen);

/** Draw the step or time under the cursor, on the x axis. */
void chart_draw_cursor_label(struct chart_pen *pen);

/** Draw the cross-hair and the readings under it. */
void chart_draw_cursor(struct chart_pen *pen);

/**
 * Draw a text unless it would leave the chart or touch another text.
 *
 * returns  whether it was drawn
 */
bool chart_place(struct chart_pen *pen, float x, float y, const struct draw_style *style,
    const char *text);

#endif
