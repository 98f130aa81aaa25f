/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/draw/chart_inside.h"
#include "lib/base/mem.h"

/*
 * Lines of more readings than device columns become min/max columns: each covers the rows from
 * its least to its greatest reading and, where lines to its neighbours cross it, the rows of
 * those; so a dense line is the exact union of pixels that the true line would touch, to half a
 * pen. Over them lies the line of their means.
 *
 * With a memo (chart.h) what was found for a frame is kept, together with a mark: a reading that
 * lies, as all after it, in device columns that nothing before it reaches. The next frame of the
 * same scale goes on from there, and comes to the same rows as if it had begun at the left.
 */

/* Opacity of min/max columns under the line of their means. */
#define BAND_ALPHA 0.55F
#define SOFT_ALPHA 0.32F

/* What a device column has. */
enum { KIND_NONE, KIND_LONE, KIND_JOINED };

/* Readings of one device column. */
struct cell {
    double lo, hi, first, last; /* first and last may be NaN: not known */
    double sum;                 /* for the mean: weighted by n */
    double n;
    bool has;
    bool joined; /* to the readings before it */
};

/* What is drawn of a line, one a device column. */
struct found {
    struct draw_span *spans;
    float *rows;    /* of the mean */
    uint8_t *kinds; /* KIND_... */
    uint8_t *edges;
};

/* How far a walk over readings has come. */
struct progress {
    double last_x;        /* of the reading before; valid with has_last */
    double last_distance; /* from the one before that; 0: there is none */
    bool has_last;
    bool broken;           /* what comes next is not joined to what came */
    int reach;             /* last device column touched; -1: none */
    int last, before_last; /* last cells with readings; -1: none */
    struct chart_beyond above, below;
};

/* From where the next frame goes on. */
struct mark {
    size_t next; /* reading, counted as memo_first does */
    int column;  /* nothing before it reaches this device column */
    struct progress progress;
    struct cell last, before_last; /* of the progress */
};

struct chart_memo {
    struct chart_fitted fitted;
    struct chart_weighed weighed;
    uint64_t key; /* of the scale that found is for; 0: there is none */
    int n_px;     /* room of found */
    void *memory;
    struct found found;
    struct mark mark;
};

/* Walks over readings in order, from cell to cell. */
struct reduction {
    struct chart_pen *pen;
    const struct chart_line *line;
    struct cell *cells; /* n_px, of which n_clean are valid */
    int n_clean;
    struct progress at;
    struct chart_noted noted;
    struct mark *mark; /* NULL: none is made */
};

struct chart_memo *chart_memo_create(void)
{
    return baro_xcalloc(1, sizeof(struct chart_memo));
}

void chart_memo_destroy(struct chart_memo *memo)
{
    if (memo != NULL) {
        free(memo->memory);
        free(memo);
    }
}

void chart_memo_forget(struct chart_memo *memo)
{
    memo->key = 0;
    memo->fitted = (struct chart_fitted){0};
    memo->weighed = (struct chart_weighed){0};
}

struct chart_fitted *chart_memo_fitted(struct chart_memo *memo)
{
    return &memo->fitted;
}

struct chart_weighed *chart_memo_weighed(struct chart_memo *memo)
{
    return &memo->weighed;
}

/* ---- readings to cells ---- */

/* The cell of a device column. */
static struct cell *cell_at(struct reduction *r, int column)
{
    for (; r->n_clean <= column; r->n_clean++) {
        r->cells[r->n_clean].has = false;
    }
    return &r->cells[column];
}

/* Add the finite readings of one point or column to a cell. */
static void add_to_cell(struct reduction *r, int column, const struct chart_column *c)
{
    struct cell *cell = cell_at(r, column);
    struct progress *at = &r->at;
    double n = (double)(c->count - c->n_nonfinite);
    if (!cell->has) {
        *cell = (struct cell){.lo = c->min,
            .hi = c->max,
            .first = c->first,
            .has = true,
            .joined = !at->broken && !chart_is_hole(r->line->gap, at->last_distance,
                                         c->from - at->last_x)};
        at->before_last = at->last;
        at->last = column;
    } else {
        cell->lo = c->min < cell->lo ? c->min : cell->lo;
        cell->hi = c->max > cell->hi ? c->max : cell->hi;
    }
    cell->last = c->last;
    cell->sum += c->mean * n;
    cell->n += n;
    at->last_distance = at->has_last ? c->from - at->last_x : 0;
    at->last_x = c->to;
    at->has_last = true;
    at->broken = false;
}

/* One reading in a cell of its own, or after a break. */
static void start_cell(struct reduction *r, int column, struct chart_point p)
{
    const struct chart_column one = {.from = p.x,
        .to = p.x,
        .min = p.y,
        .max = p.y,
        .mean = p.y,
        .first = p.y,
        .last = p.y,
        .count = 1};
    add_to_cell(r, column, &one);
}

static void reduce_points(struct reduction *r, size_t from, size_t to)
{
    const struct chart_scale *scale = &r->pen->scale;
    const double lo = scale->y.lo, hi = scale->y.hi;
    const struct chart_point *points = r->line->points;
    struct progress *at = &r->at;
    int column = -1;
    double next_x = (double)-INFINITY; /* where the next column begins */
    for (size_t i = from; i < to; i++) {
        const struct chart_point p = points[i];
        if (p.x >= next_x) {
            column = chart_column_in(scale, p.x);
            double place = (column + 0.5) / scale->x_by + scale->x_from;
            /* Slightly early: a column too soon is found out, one too late is not. */
            next_x = scale->x.kind == AXIS_LINEAR ? place - 1e-9 * fabs(place) : p.x;
        }
        struct cell *cell = cell_at(r, column);
        if (!isfinite(p.y)) {
            r->noted.edges[column] |= chart_edge_of(p.y);
            at->broken = true;
            continue;
        }
        if (cell->has && !at->broken) {
            cell->lo = p.y < cell->lo ? p.y : cell->lo;
            cell->hi = p.y > cell->hi ? p.y : cell->hi;
            cell->last = p.y;
            cell->sum += p.y;
            cell->n += 1;
            at->last_distance = p.x - at->last_x;
            at->last_x = p.x;
        } else {
            start_cell(r, column, p);
        }
        if (p.y > hi || p.y < lo) {
            chart_note_beyond(&r->noted, &scale->y, column, p.y, p.y);
        }
    }
}

static void make_mark(struct reduction *r, size_t i, int column)
{
    r->at.above = r->noted.above;
    r->at.below = r->noted.below;
    r->mark->next = r->line->memo_first + i;
    r->mark->column = column;
    r->mark->progress = r->at;
}

static void reduce_columns(struct reduction *r, size_t from, size_t to)
{
    const struct chart_scale *scale = &r->pen->scale;
    struct progress *at = &r->at;
    for (size_t i = from; i < to; i++) {
        const struct chart_column *c = &r->line->columns[i];
        int a = chart_column_in(scale, c->from), b = chart_column_in(scale, c->to);
        if (a > at->reach && r->mark != NULL && i < r->line->n_fixed) {
            make_mark(r, i, a);
        }
        at->reach = b > at->reach ? b : at->reach;
        chart_note_flags(r->noted.edges, c, a, b);
        at->broken = at->broken || (c->flags & (CHART_GAP | CHART_BRANCH)) != 0;
        if (c->count <= c->n_nonfinite) {
            at->broken = at->broken || c->count > 0;
            continue;
        }
        for (int column = a; column <= b; column++) {
            add_to_cell(r, column, c);
        }
        chart_note_beyond(&r->noted, &scale->y, a, c->min, c->max);
    }
}

/* ---- cells to rows ---- */

static void widen(struct draw_span *span, float a, float b)
{
    float top = a < b ? a : b, bottom = a < b ? b : a;
    if (!(span->top <= span->bottom)) {
        *span = (struct draw_span){top, bottom};
        return;
    }
    span->top = top < span->top ? top : span->top;
    span->bottom = bottom > span->bottom ? bottom : span->bottom;
}

/* Where two neighbouring cells meet when their last and first readings are not known. */
static void meet(const struct cell *a, const struct cell *b, double *out_a, double *out_b)
{
    double lo = a->lo > b->lo ? a->lo : b->lo;
    double hi = a->hi < b->hi ? a->hi : b->hi;
    if (lo <= hi) {
        *out_a = *out_b = (lo + hi) / 2;
    } else if (a->hi < b->lo) {
        *out_a = a->hi;
        *out_b = b->lo;
    } else {
        *out_a = a->lo;
        *out_b = b->hi;
    }
    *out_a = isnan(a->last) ? *out_a : a->last;
    *out_b = isnan(b->first) ? *out_b : b->first;
}

/* Widen the spans from cell a to cell b by the straight line between them. */
static void join(const struct chart_scale *scale, const struct cell *cells, int a, int b,
    struct draw_span *spans)
{
    double from = 0, to = 0;
    meet(&cells[a], &cells[b], &from, &to);
    float row = chart_row_of(scale, from);
    float rise = chart_row_of(scale, to) - row;
    float distance = (float)(b - a);
    for (int column = a; column <= b; column++) {
        float t0 = ((float)(column - a) - 0.5F) / distance;
        float t1 = ((float)(column - a) + 0.5F) / distance;
        t0 = t0 < 0 ? 0 : t0;
        t1 = t1 > 1 ? 1 : t1;
        widen(&spans[column], row + rise * t0, row + rise * t1);
    }
}

/* Find rows from the cells behind one that has them (-1: of all); to join it again is no harm. */
static void find_rows(const struct reduction *r, int behind, struct found *out)
{
    const struct chart_scale *scale = &r->pen->scale;
    const struct cell *cells = r->cells;
    for (int i = behind + 1; i < scale->n_px; i++) {
        out->spans[i] = (struct draw_span){1, 0};
        out->kinds[i] = KIND_NONE;
    }
    int before = behind;
    for (int i = behind + 1; i < r->n_clean; i++) {
        if (!cells[i].has) {
            continue;
        }
        widen(&out->spans[i], chart_row_of(scale, cells[i].lo),
            chart_row_of(scale, cells[i].hi));
        if (before >= 0 && cells[i].joined) {
            join(scale, cells, before, i, out->spans);
        }
        out->rows[i] = chart_row_of(scale, cells[i].sum / cells[i].n);
        out->kinds[i] = cells[i].joined ? KIND_JOINED : KIND_LONE;
        before = i;
    }
}

/* The means as polylines over a soft band. */
static void draw_means(struct chart_pen *pen, const struct chart_line *line,
    const struct found *found, bool is_hovered)
{
    const struct chart_scale *scale = &pen->scale;
    size_t n = 0;
    struct draw_point *points = pen->points;
    for (int i = 0; i < scale->n_px; i++) {
        if (found->kinds[i] == KIND_LONE && n > 0) {
            chart_stroke(pen, line, points, n, is_hovered);
            n = 0;
        }
        if (found->kinds[i] != KIND_NONE) {
            points[n++] = (struct draw_point){
                ((float)scale->x_px + (float)i + 0.5F) / scale->scale, found->rows[i]};
        }
    }
    if (n > 0) {
        chart_stroke(pen, line, points, n, is_hovered);
    }
}

static void draw_found(struct chart_pen *pen, const struct chart_line *line,
    const struct found *found, bool is_hovered)
{
    const struct chart_scale *scale = &pen->scale;
    draw_color color = chart_pen_color(line, is_hovered);
    float softness = line->envelope    ? SOFT_ALPHA
                     : line->is_dashed ? 0.5F * SOFT_ALPHA
                                       : BAND_ALPHA;
    draw_band(pen->list, scale->x_px, found->spans, (size_t)scale->n_px,
        chart_pen_width(line, is_hovered), draw_fade(color, softness));
    draw_means(pen, line, found, is_hovered);
}

/* ---- what is kept ---- */

/* All that what was found depends on, besides the readings. */
static uint64_t key_of(
    const struct chart_scale *scale, const struct chart_line *line, size_t from)
{
    const double numbers[] = {scale->x.lo, scale->x.hi, scale->y.lo, scale->y.hi,
        scale->y.linear_to, (double)scale->y.kind, (double)scale->x.kind,
        (double)scale->plot.x, (double)scale->plot.y, (double)scale->plot.w,
        (double)scale->plot.h, (double)scale->scale, (double)scale->n_px, line->gap,
        (double)(line->memo_first + from)};
    return draw_hash(1, numbers, sizeof numbers) | 1;
}

static bool lay_out(struct found *out, char *memory, size_t n_px)
{
    out->spans = (struct draw_span *)(void *)memory;
    out->rows = (float *)(void *)(out->spans + n_px);
    out->kinds = (uint8_t *)(out->rows + n_px);
    out->edges = out->kinds + n_px;
    return memory != NULL;
}

static size_t found_bytes(size_t n_px)
{
    return n_px * (sizeof(struct draw_span) + sizeof(float) + 2);
}

/* The memory for what is found: the memo's, else the frame's. */
static bool make_room(struct chart_pen *pen, struct chart_memo *memo, struct found *out)
{
    size_t n_px = (size_t)pen->scale.n_px;
    if (memo == NULL) {
        return lay_out(out, draw_scratch(pen->list, found_bytes(n_px)), n_px);
    }
    if (memo->n_px != pen->scale.n_px) {
        free(memo->memory);
        memo->memory = baro_xcalloc(found_bytes(n_px), 1);
        memo->n_px = pen->scale.n_px;
        memo->key = 0;
    }
    return lay_out(out, memo->memory, n_px);
}

/* Take up what the frame before found; gives the reading to go on from. */
static size_t go_on(struct reduction *r, const struct mark *mark)
{
    const struct progress *at = &mark->progress;
    r->at = *at;
    r->noted.above = at->above;
    r->noted.below = at->below;
    r->n_clean = at->before_last + 1;
    if (at->before_last >= 0) {
        r->cells[at->before_last] = mark->before_last;
    }
    if (mark->column > 0) {
        (void)cell_at(r, mark->column - 1);
    }
    if (at->last >= 0) {
        r->cells[at->last] = mark->last;
    }
    return mark->next - r->line->memo_first;
}

/* Keep the cells that the mark stands on. */
static void keep_cells(const struct reduction *r, struct mark *mark)
{
    if (mark->progress.before_last >= 0) {
        mark->before_last = r->cells[mark->progress.before_last];
    }
    if (mark->progress.last >= 0) {
        mark->last = r->cells[mark->progress.last];
    }
}

static void merge_beyond(struct chart_beyond *to, const struct chart_beyond *from,
    bool is_above, draw_color color)
{
    bool is_further = is_above ? from->extreme > to->extreme : from->extreme < to->extreme;
    size_t n = to->n + from->n;
    if (from->n > 0 && (to->n == 0 || is_further)) {
        *to = *from;
        to->color = color;
    }
    to->n = n;
}

/* Leave the marks of the line on the edges of the chart. */
static void leave_marks(struct reduction *r)
{
    struct chart_pen *pen = r->pen;
    for (int i = 0; i < pen->scale.n_px; i++) {
        pen->edges[i] |= r->noted.edges[i];
    }
    merge_beyond(&pen->above, &r->noted.above, true, r->line->color);
    merge_beyond(&pen->below, &r->noted.below, false, r->line->color);
}

void chart_draw_dense(struct chart_pen *pen, const struct chart_line *line, size_t from,
    size_t to, bool is_hovered)
{
    struct chart_memo *memo = line->points == NULL ? line->memo : NULL;
    struct found found;
    size_t n_px = (size_t)pen->scale.n_px;
    if (pen->cells == NULL) {
        pen->cells = draw_scratch(pen->list, n_px * sizeof(struct cell));
        pen->points = draw_scratch(pen->list, n_px * sizeof *pen->points);
    }
    if (pen->cells == NULL || pen->points == NULL || !make_room(pen, memo, &found)) {
        return;
    }
    struct reduction r = {.pen = pen, .line = line, .cells = pen->cells};
    r.at = (struct progress){.broken = true, .reach = -1, .last = -1, .before_last = -1};
    r.noted.edges = found.edges;
    uint64_t key = memo != NULL ? key_of(&pen->scale, line, from) : 0;
    bool goes_on = memo != NULL && memo->key == key && memo->mark.column >= 0 &&
                   memo->mark.next >= line->memo_first + from &&
                   memo->mark.next <= line->memo_first + to;
    size_t begin = from;
    int column = 0;
    if (goes_on) {
        begin = go_on(&r, &memo->mark);
        column = memo->mark.column;
    }
    int behind = r.at.before_last;
    memset(found.edges + column, 0, n_px - (size_t)column);
    if (memo != NULL) {
        memo->mark.column = goes_on ? column : -1;
        r.mark = &memo->mark;
    }
    if (line->points != NULL) {
        reduce_points(&r, from, to);
    } else {
        reduce_columns(&r, begin, to);
    }
    find_rows(&r, behind, &found);
    if (memo != NULL) {
        keep_cells(&r, &memo->mark);
        memo->key = memo->mark.column >= 0 ? key : 0;
    }
    leave_marks(&r);
    draw_found(pen, line, &found, is_hovered);
}
