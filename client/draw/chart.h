/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chart: every curve of the viewer is drawn by chart_draw.
 *
 *     struct chart_line line = {.name = "loss", .points = points, .n_points = n,
 *         .color = theme_series(theme, 0)};                       or .columns / .n_columns
 *     struct chart chart = {.title = "loss", .lines = &line, .n_lines = 1,
 *         .x = {.kind = AXIS_LINEAR, .unit = AXIS_STEP, .lo = 0, .hi = 24397},
 *         .cursor = NAN};
 *     static struct chart_state state;          one for each chart on screen, zero at first
 *     struct chart_layout layout;               where things are: for hover, drag, zoom
 *     chart_draw(list, theme, rect, &chart, &state, &layout);
 *
 * chart.x.lo/hi is what is visible and belongs to the page (all charts of a page share it).
 * The y range is found by the chart (central 99.5 % of what is visible plus alarmed lines) and
 * kept in the state, which moves in steps only; set chart.y_fixed to choose it yourself.
 * Mouse: chart_x_at(layout, px) is the x under the pointer; chart_hit finds the nearest line
 * and its exact reading. Put the same cursor x into every chart of the page.
 * Truth rule: each local extreme and each NaN and infinity of a line has a pixel at any zoom.
 */
#ifndef CLIENT_DRAW_CHART_H
#define CLIENT_DRAW_CHART_H

#include "client/draw/theme.h"
#include "client/draw/ticks.h"

/* Left of every plot area: room for the y labels, the same on all charts of a page. */
#define CHART_GUTTER 56.0F

/* What else a column holds or begins with. */
enum chart_flag {
    CHART_NAN = 1,
    CHART_POS_INF = 2,
    CHART_NEG_INF = 4,
    CHART_GAP = 8,    /* nothing was recorded before it: do not join */
    CHART_BRANCH = 16 /* a branch of the run begins here: fork mark, not joined */
};

/* One reading; y may be NaN or infinite. */
struct chart_point {
    double x, y;
};

/* Readings of one stretch of x, as the daemon's range query gives them. */
struct chart_column {
    double from, to;      /* x of the first and last reading; from <= to, rising */
    double min, max;      /* of the finite ones; valid when count > n_nonfinite */
    double mean;          /* of the finite ones */
    double first, last;   /* finite ones; NaN = not known */
    uint32_t count;       /* readings, the non-finite ones included */
    uint32_t n_nonfinite; /* drawn as NaN when flags do not say which kind */
    uint32_t flags;       /* enum chart_flag */
};

/* How prominent a line is. */
enum chart_weight {
    CHART_NORMAL,
    CHART_SELECTED, /* 2 px, drawn last */
    CHART_FAINT,    /* background: raw data behind smoothing, neighbours */
};

/**
 * Tell whether two neighbouring readings are too far apart to be joined: further than gap, and
 * than four times the distance that the two before them have, as a tensor may lately be read more
 * often than it was for long.
 *
 * gap     of the line; 0: nothing is too far
 * before  distance of the reading on the left from its own left neighbour; 0: it has none
 */
static inline bool chart_is_hole(double gap, double before, double distance)
{
    return gap > 0 && distance > gap && distance > 4 * before;
}

/*
 * What a chart remembers of a line of columns that grows at its end only, so that drawing it again
 * takes as long as what has come. It belongs to one line; a chart that shows the line otherwise
 * than the one before begins anew.
 */
struct chart_memo;

/* One line: points or columns, rising in x. All pointers are borrowed for the call. */
struct chart_line {
    const char *name; /* direct label at the line's end; NULL = none */
    const struct chart_point *points;
    size_t n_points;
    const struct chart_column *columns; /* used when points is NULL */
    size_t n_columns;
    struct chart_memo *memo; /* NULL = none */
    size_t memo_first;       /* place of columns[0] among all columns of the memo's line */
    size_t n_fixed; /* so many of columns are, with the memo, what they will always be */
    double
        gap; /* readings further apart in x are not joined, see chart_is_hole(); 0 = join all */
    draw_color color;
    enum chart_weight weight;
    bool is_dashed; /* told from the others without its colour: of a second run */
    bool alarmed;   /* always wholly inside the y range */
    bool is_aside;  /* left out of the y range: what lies beyond is marked there */
    bool envelope;  /* dense readings: an even softer min/max band under the mean */
};

/* Very many lines over the same x, all one colour: units of a tensor behind the chosen ones. */
struct chart_flock {
    const double *x; /* n, rising */
    size_t n;
    const float *lo; /* n_lines rows of n: values, or minima */
    const float *hi; /* NULL = lo */
    size_t n_lines;  /* up to 4,096 */
    draw_color color;
    float alpha; /* of one line; 0 = chosen from n_lines */
    float width; /* logical pixels; 0 = 1 */
    double
        gap; /* readings further apart in x are not joined, see chart_is_hole(); 0 = join all */
};

/* A picture behind the lines: it lies where its x and y say, whatever the chart shows. */
struct chart_backdrop {
    const draw_color *colors; /* n_rows rows of n_columns */
    uint32_t n_columns, n_rows;
    double x_from, x_to;
    double y_lo, y_hi; /* even in the space of the chart's y axis */
};

/* An alert or event on the x axis. */
struct chart_event {
    double x;
    enum theme_health level; /* THEME_NO_DATA = a neutral event */
    bool is_major;           /* keeps its line in a crowd of events */
    bool is_note;            /* a person's: a flag */
};

/* What to draw. Zero is the default everywhere but where said. */
struct chart {
    const char *title; /* "loss"; with the unit: "step time, ms" */
    const char *note;  /* after the title, secondary: "64 of 4,096 units" */
    struct axis x;     /* lo < hi: visible range */
    enum axis_kind y_kind;
    bool zero_in_view; /* linear: 0 belongs to the range */
    bool y_fixed;      /* y_lo < y_hi are given */
    double y_lo, y_hi;
    bool y_whole; /* counts: ticks at whole numbers */
    const struct chart_line *lines;
    size_t n_lines;
    const struct chart_flock *flock; /* NULL = none */
    size_t n_flocks; /* drawn in this order; 0 = one, if flock is not NULL */
    const struct chart_backdrop *backdrop; /* NULL = none */
    const struct chart_event *events;
    size_t n_events;
    double cursor; /* x of the page's cursor; NAN = none */
    int hover;     /* index of the line under the pointer, drawn selected; see has_hover */
    bool has_hover;
    bool no_value;    /* at the top right only that of a selected or hovered line */
    bool no_x_labels; /* small multiples above another that has them */
    bool sparkline;   /* the line alone: no title, ticks, labels; rect is the plot */
    const char
        *widest; /* room for a label like this is kept, whichever lines there are; NULL:
                         * for those that there are */
    const char
        *empty; /* said in the middle when there is nothing to draw; NULL = "no data" */
};

/* Kept by the caller from frame to frame, zero at first: makes scales move in steps only. */
struct chart_state {
    bool has_range;
    enum axis_kind kind;
    double lo, hi;
    double linear_to;
};

/* Where the chart put things. */
struct chart_layout {
    struct draw_rect rect; /* all of it */
    struct draw_rect plot; /* the data area */
    struct axis x, y;
};

/* What is under the pointer. */
struct chart_hit {
    size_t line;
    double x;        /* of the reading nearest to the pointer */
    double value;    /* of that reading; the mean of a column */
    double min, max; /* equal to value for a single reading */
    uint32_t count;  /* readings behind it */
    uint32_t flags;  /* enum chart_flag */
    float distance;  /* logical pixels from the pointer to the line */
    struct draw_point at;
};

/**
 * Draw a chart into a rectangle.
 *
 * rect     at least 80 x 48; smaller ones are drawn without labels
 * state    in and out; NULL = no memory of the last range
 * out      NULL or where things are
 * cost     about 5 ns a reading; independent of history for columns
 */
void chart_draw(struct draw_list *list, const struct theme *theme, struct draw_rect rect,
    const struct chart *chart, struct chart_state *state, struct chart_layout *out);

/** x in data at a logical pixel column. Beyond the plot it goes on. */
double chart_x_at(const struct chart_layout *layout, float px);

/** Logical pixel column of an x in data. Beyond the plot it goes on. */
float chart_px_of_x(const struct chart_layout *layout, double x);

/** Row of a value; values outside the range are beyond the plot, never infinite. */
float chart_px_of_y(const struct chart_layout *layout, double value);

/**
 * Find the reading nearest to the pointer.
 *
 * max_distance  logical pixels to the line; beyond it nothing is found
 * returns       false when there is no line that near; *out untouched then
 */
bool chart_hit(const struct chart *chart, const struct chart_layout *layout, float px,
    float py, float max_distance, struct chart_hit *out);

/**
 * Find the reading of one line nearest to an x.
 *
 * returns  false when the line has no reading within its gap of x; *out untouched then
 */
bool chart_read(const struct chart *chart, const struct chart_layout *layout, size_t line,
    double x, struct chart_hit *out);

/** Draw the flag of a person's note, its foot at a point. */
void chart_draw_flag(struct draw_list *list, float x, float y, draw_color color);

/** Index of the first point at or after an x, or column that ends there. */
size_t chart_line_find(const struct chart_line *line, double x);

/* How large the positive readings of lines are. */
struct chart_weight_of {
    double logs, largest; /* sum of the logarithms of their means; largest of them all */
    size_t n;
};

/** Add the columns of a line to what is known of lines. */
void chart_weigh(const struct chart_line *line, struct chart_weight_of *to);

/** Make a memo; never NULL; chart_memo_destroy frees it. */
struct chart_memo *chart_memo_create(void);

/** Free a memo; NULL is fine. */
void chart_memo_destroy(struct chart_memo *memo);

/** The line's columns are others now. */
void chart_memo_forget(struct chart_memo *memo);

/** Forget the range: the next draw fits it anew (key f). */
void chart_refit(struct chart_state *state);

#endif
