/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/view/units.h"
#include "lib/base/mem.h"

/*
 * From a sample to a chart. Behind lies the whole, as five shades of how many units run through a
 * pixel. Over it the shown units: those that stand for their like as flocks, wider the more they
 * stand for; those that left the flock as lines of their own with a name. When units are marked,
 * all others step back.
 */

enum {
    MOST_SPANS = 3,
    MAX_FIRST = 6,
    MAX_ODD = 12,
    MAX_NAMED_ODD = 6,
    MAX_NAMED_MARKS = 8
};

static const float CLEAR_PX =
    8; /* an odd line nearer than that to others is not told apart */

bool units_is_far(const struct model_sample *sample, uint32_t place)
{
    uint8_t reason = sample->reasons[place];
    bool is_odd =
        reason == SAMPLE_LEAP || reason == SAMPLE_OUTLIER || reason == SAMPLE_ENVELOPE;
    return is_odd && sample->apart[place] >= CLEAR_PX;
}

/* Which flock a shown line is drawn with. */
enum look { LOOK_FEW, LOOK_USUAL, LOOK_MANY, LOOK_MARKED, N_LOOKS };

/* ---- single lines ---- */

double units_gap(const struct model_thing *thing, int64_t width)
{
    return thing->unit_cadence > 0 ? 4 * thing->unit_cadence + 2 * (double)width : 0;
}

struct chart_line units_line(
    struct frame *f, const struct model_units *rows, size_t row, double gap)
{
    struct chart_column *columns = draw_scratch(f->list, (rows->n + 1) * sizeof *columns);
    struct chart_line line = {.gap = gap};
    if (columns == NULL) {
        return line;
    }
    for (size_t i = 0; i < rows->n; i++) {
        size_t at = row * rows->n + i;
        uint32_t flags = 0;
        flags |= (rows->flags[at] & SHEET_NAN) != 0 ? CHART_NAN : 0;
        flags |= (rows->flags[at] & SHEET_POS_INF) != 0 ? CHART_POS_INF : 0;
        flags |= (rows->flags[at] & SHEET_NEG_INF) != 0 ? CHART_NEG_INF : 0;
        bool is_hole = isnan(rows->mean[at]);
        uint32_t count = (uint32_t)rows->count[i];
        if (is_hole && flags == 0) {
            continue; /* nothing was recorded: a gap is a gap */
        }
        count +=
            flags != 0 && !is_hole && count == 1 ? 1 : 0; /* some elements are finite */
        columns[line.n_columns++] = (struct chart_column){
            .from = rows->x[i],
            .to = rows->x_to[i],
            .min = (double)rows->lo[at],
            .max = (double)rows->hi[at],
            .mean = (double)rows->mean[at],
            .first = (double)rows->mean[at],
            .last = (double)rows->mean[at],
            .count = count,
            .n_nonfinite = is_hole      ? count
                           : flags != 0 ? 1
                                        : 0,
            .flags = flags,
        };
    }
    line.columns = columns;
    line.envelope = rows->n > 0 && rows->count[0] > 2;
    return line;
}

/* Where a unit held NaN or infinities among its elements, though its statistic is finite. */
static void mark_holes(
    struct frame *f, const struct units *units, uint32_t unit, struct chart_line *line)
{
    struct model_ref ref = {
        units->thing->thing, READING_UNITS, (uint16_t)UNIT_N_NONFINITE, unit};
    const struct model_series *series = frame_series(f, ref, false);
    if (series == NULL || series->n == 0) {
        return;
    }
    struct chart_column *columns = frame_own_columns(f, line);
    size_t at = 0;
    for (size_t i = 0; i < line->n_columns; i++) {
        while (at < series->n &&
               (double)model_column(series, at)->last_step < columns[i].from) {
            at++;
        }
        for (size_t k = at;
             k < series->n && (double)model_column(series, k)->first_step <= columns[i].to;
             k++) {
            if (model_column(series, k)->max > 0 && columns[i].flags == 0) {
                columns[i].flags = CHART_NAN;
                columns[i].n_nonfinite = 1;
                columns[i].count = columns[i].count > 1 ? columns[i].count : 2;
            }
        }
    }
}

struct chart_line units_series_line(struct frame *f, const struct model_thing *thing,
    enum unit_stat stat, uint32_t unit, draw_color color)
{
    struct model_ref ref = {thing->thing, READING_UNITS, (uint16_t)stat, unit};
    double cadence = thing->unit_cadence > 0 ? thing->unit_cadence : thing->cadence;
    return frame_line(f, frame_series(f, ref, false), cadence, color);
}

/* ---- which is drawn how ---- */

/* The step at which a row first held a NaN or an infinity; infinite: never. */
static double first_flag(const struct model_units *rows, size_t row)
{
    for (size_t i = 0; i < rows->n && rows->any[row] != 0; i++) {
        if (rows->flags[row * rows->n + i] != 0) {
            return rows->x[i];
        }
    }
    return (double)INFINITY;
}

/* The same of a shown unit: by its statistic, or by its elements, which the sheet knows. */
static double first_bad(const struct units *units, uint32_t place)
{
    uint32_t unit = units->sample->shown[place];
    double at = first_flag(&units->sample->lines, place);
    bool has_sheet = units->sheet != NULL && unit < units->sheet->n_units;
    return has_sheet ? fmin(at, first_flag(units->sheet, unit)) : at;
}

/* Whether a shown unit is drawn as a line of its own, and how many of its reason before it. */
struct chosen {
    bool *is_own;    /* n_shown: drawn as a line of its own */
    bool *is_first;  /* NaN or an infinity began here */
    bool *is_odd;    /* it left the others, and the eye sees it */
    float named;     /* odd ones at least so far apart have their names */
    float low, high; /* between which those that are not odd run; low > high: none */
    uint32_t highest, lowest; /* places; n_shown: none */
};

/* Those that were hit first; when many were at once, none of them stands for the others. */
static void choose_first(const struct units *units, struct chosen *chosen)
{
    const struct model_sample *sample = units->sample;
    double earliest = (double)INFINITY;
    size_t n = 0;
    for (int turn = 0; turn < 2; turn++) {
        for (uint32_t i = 0; i < sample->n_shown; i++) {
            if (sample->reasons[i] != SAMPLE_NONFINITE) {
                continue;
            }
            double at = first_bad(units, i);
            if (turn == 0) {
                n = at < earliest ? 1 : n + (at > earliest ? 0 : 1);
                earliest = fmin(at, earliest);
            } else if (n <= MAX_FIRST && !(at > earliest)) {
                chosen->is_own[i] = chosen->is_first[i] = true;
            }
        }
    }
}

static float last_of(const struct model_units *rows, size_t row)
{
    for (size_t i = rows->n; i > 0; i--) {
        float value = rows->mean[row * rows->n + i - 1];
        if (isfinite(value)) {
            return value;
        }
    }
    return NAN;
}

static void choose_ends(const struct units *units, struct chosen *chosen)
{
    const struct model_sample *sample = units->sample;
    float lo = INFINITY;
    float hi = -INFINITY;
    chosen->highest = chosen->lowest = sample->n_shown;
    for (uint32_t i = 0; i < sample->n_shown; i++) {
        float last = last_of(&sample->lines, i);
        if (last < lo) {
            lo = last;
            chosen->lowest = i;
        }
        if (last > hi) {
            hi = last;
            chosen->highest = i;
        }
    }
    if (hi > lo) {
        chosen->is_own[chosen->highest] = chosen->is_own[chosen->lowest] = true;
    } else {
        chosen->highest = chosen->lowest = sample->n_shown;
    }
}

/* The odd ones that lie clearest; many that are odd within the flock stay in its colour. */
static void choose_odd(const struct units *units, struct chosen *chosen)
{
    const struct model_sample *sample = units->sample;
    for (size_t n = 0; n < MAX_ODD; n++) {
        uint32_t clearest = sample->n_shown;
        for (uint32_t i = 0; i < sample->n_shown; i++) {
            if (units_is_far(sample, i) && !chosen->is_odd[i] &&
                (clearest == sample->n_shown ||
                    sample->apart[i] > sample->apart[clearest])) {
                clearest = i;
            }
        }
        if (clearest == sample->n_shown) {
            return;
        }
        chosen->is_own[clearest] = chosen->is_odd[clearest] = true;
        chosen->named = n < MAX_NAMED_ODD ? sample->apart[clearest] : chosen->named;
    }
}

/* Where the lines run that stand for their like. */
static void find_usual(const struct units *units, struct chosen *chosen)
{
    const struct model_sample *sample = units->sample;
    const struct model_units *rows = &sample->lines;
    chosen->low = INFINITY;
    chosen->high = -INFINITY;
    for (size_t i = 0; i < sample->n_shown; i++) {
        for (size_t c = 0; c < rows->n && !units_is_far(sample, (uint32_t)i); c++) {
            chosen->low = fminf(chosen->low, rows->lo[i * rows->n + c]);
            chosen->high = fmaxf(chosen->high, rows->hi[i * rows->n + c]);
        }
    }
}

/* Whether a line is so far from the usual ones that a chart that holds it shows those as a ribbon:
 * then it lies beyond the edge, and the chart says so. On a log axis there is room for all. */
static bool would_squeeze(
    const struct units *units, const struct chosen *chosen, uint32_t place)
{
    const struct model_units *rows = &units->sample->lines;
    const float reach = MOST_SPANS * (chosen->high - chosen->low);
    bool is_beyond = false;
    for (size_t c = 0; c < rows->n; c++) {
        const size_t at = place * rows->n + c;
        is_beyond = is_beyond || rows->lo[at] < chosen->low - reach ||
                    rows->hi[at] > chosen->high + reach;
    }
    return is_beyond && reach > 0 && units->sample->y.kind == AXIS_LINEAR;
}

static bool choose(struct frame *f, const struct units *units, struct chosen *chosen)
{
    const struct model_sample *sample = units->sample;
    size_t n = sample->n_shown;
    *chosen = (struct chosen){.is_own = draw_scratch(f->list, n + 1),
        .is_first = draw_scratch(f->list, n + 1),
        .is_odd = draw_scratch(f->list, n + 1)};
    if (chosen->is_own == NULL || chosen->is_first == NULL || chosen->is_odd == NULL) {
        return false;
    }
    memset(chosen->is_own, 0, n + 1);
    memset(chosen->is_first, 0, n + 1);
    memset(chosen->is_odd, 0, n + 1);
    choose_first(units, chosen);
    choose_ends(units, chosen);
    choose_odd(units, chosen);
    find_usual(units, chosen);
    for (uint32_t i = 0; i < n; i++) {
        bool is_marked = units->marks != NULL && units->marks->n <= MAX_NAMED_MARKS &&
                         marks_has(units->marks, sample->shown[i]);
        chosen->is_own[i] = chosen->is_own[i] || is_marked;
    }
    return true;
}

/* ---- flocks ---- */

/* How far a line goes up and down within a column of pixels, in heights of the plot. */
static float restlessness(
    const struct model_units *rows, const struct axis *y, size_t row, double columns_a_step)
{
    enum { LOOKS = 32 };
    const float *mean = &rows->mean[row * rows->n];
    const size_t every = rows->n / LOOKS + 1;
    double sum = 0;
    size_t n = 0;
    for (size_t i = 0; i + 1 < rows->n; i += every) {
        double rise = axis_place(y, (double)mean[i + 1]) - axis_place(y, (double)mean[i]);
        double columns = fmax((rows->x[i + 1] - rows->x[i]) * columns_a_step, 1e-3);
        if (isfinite(rise)) {
            sum += fmin(fabs(rise), 1) / fmax(columns, 1);
            n++;
        }
    }
    return n > 0 ? (float)(sum / (double)n) : 0;
}

/*
 * How opaque a line may be so that lines that cross each other over and over do not add up to a
 * plain area: where c lie over each other on average, 1 - (1 - opacity)^c stays below MOST.
 */
static float most_alpha(
    const struct view *view, const struct units *units, const struct chosen *chosen)
{
    enum { LINES = 128 };
    static const double most = 0.5;
    static const float least = 0.03F;
    const struct model_sample *sample = units->sample;
    const struct axis *y = &sample->y;
    const double span = view->hi - view->lo;
    const double columns_a_step = span > 0 ? (double)sample->of.columns / span : 1;
    const size_t every = sample->n_shown / LINES + 1;
    double sum = 0;
    for (size_t i = 0; i < sample->n_shown; i += every) {
        sum += (double)every * ((double)restlessness(&sample->lines, y, i, columns_a_step) +
                                   1 / fmax((double)sample->of.height, 1));
    }
    double room = axis_place(y, (double)chosen->high) - axis_place(y, (double)chosen->low);
    room = isfinite(room) ? fmin(fmax(room, 0.05), 1) : 1;
    const double overdraw = fmax(sum / room, 1);
    return fmaxf((float)(1 - pow(1 - most, 1 / overdraw)), least);
}

static enum look look_of(const struct units *units, uint32_t place)
{
    const struct model_sample *sample = units->sample;
    if (units->marks != NULL && marks_has(units->marks, sample->shown[place])) {
        return LOOK_MARKED;
    }
    double usual = (double)sample->n_units / (double)sample->n_shown;
    double members = (double)sample->n_members[place];
    bool is_known = sample->is_assigned && usual > 1.5;
    return is_known && members < usual / 2   ? LOOK_FEW
           : is_known && members > usual * 2 ? LOOK_MANY
                                             : LOOK_USUAL;
}

static struct chart_flock flock_of(
    struct frame *f, enum look look, bool is_behind, float alpha)
{
    static const struct {
        float width, alpha;
    } pens[N_LOOKS] = {[LOOK_FEW] = {1, 0.2F},
        [LOOK_USUAL] = {1.2F, 0.28F},
        [LOOK_MANY] = {2.4F, 0.42F},
        [LOOK_MARKED] = {1.8F, 0.58F}};
    draw_color color =
        look == LOOK_MARKED ? f->theme->accent : units_color(f, SAMPLE_BLUE_NOISE);
    return (struct chart_flock){.color = color,
        .width = pens[look].width,
        .alpha = look == LOOK_MARKED ? pens[look].alpha
                                     : fminf(pens[look].alpha, alpha * pens[look].width) *
                                           (is_behind ? 0.35F : 1)};
}

/* The rows of one look, one after the other. */
static void add_flock(struct frame *f, const struct units *units,
    const struct chosen *chosen, enum look look, float alpha, struct units_picture *out)
{
    const struct model_sample *sample = units->sample;
    const struct model_units *rows = &sample->lines;
    size_t n_lines = 0;
    for (uint32_t i = 0; i < sample->n_shown; i++) {
        n_lines += !chosen->is_own[i] && look_of(units, i) == look ? 1 : 0;
    }
    /* Where a column has many readings, lines of their means can be told apart, bands from least
     * to greatest can not; how far they reach is in the picture of the whole. */
    bool is_dense = rows->n > 0 && rows->count[rows->n / 2] > 2;
    const float *from_lo = is_dense ? rows->mean : rows->lo;
    const float *from_hi = is_dense ? rows->mean : rows->hi;
    size_t bytes = n_lines * rows->n * sizeof(float);
    float *lo = draw_scratch(f->list, bytes + 1);
    float *hi = draw_scratch(f->list, bytes + 1);
    if (bytes == 0 || lo == NULL || hi == NULL) {
        return;
    }
    size_t at = 0;
    for (uint32_t i = 0; i < sample->n_shown; i++) {
        if (!chosen->is_own[i] && look_of(units, i) == look) {
            memcpy(lo + at, from_lo + (size_t)i * rows->n, rows->n * sizeof *lo);
            memcpy(hi + at, from_hi + (size_t)i * rows->n, rows->n * sizeof *hi);
            at += rows->n;
        }
    }
    struct chart_flock flock = flock_of(f, look, units->marks != NULL, alpha);
    flock.x = rows->x;
    flock.n = rows->n;
    flock.lo = lo;
    flock.hi = hi;
    flock.n_lines = n_lines;
    flock.gap = units_gap(units->thing, rows->width);
    out->flocks[out->n_flocks++] = flock;
}

/* Rows of the sheet: the units that are marked, or those that the chosen one stands for. */
static void add_sheet_flock(struct frame *f, const struct units *units,
    bool (*is_in)(const struct view *, const struct units *, uint32_t), draw_color color,
    float alpha, struct units_picture *out)
{
    const struct model_units *sheet = units->sheet;
    float *lo = NULL;
    float *hi = NULL;
    size_t n = 0;
    for (int turn = 0; turn < 2; turn++) {
        size_t at = 0;
        for (uint32_t unit = 0; unit < sheet->n_units; unit++) {
            if (!is_in(f->view, units, unit)) {
                continue;
            }
            if (turn == 1) {
                size_t from = (size_t)unit * sheet->n;
                memcpy(lo + at * sheet->n, sheet->lo + from, sheet->n * sizeof *lo);
                memcpy(hi + at * sheet->n, sheet->hi + from, sheet->n * sizeof *hi);
            }
            at++;
        }
        if (turn == 0) {
            n = at;
            lo = draw_scratch(f->list, n * sheet->n * sizeof *lo + 1);
            hi = draw_scratch(f->list, n * sheet->n * sizeof *hi + 1);
            if (n == 0 || lo == NULL || hi == NULL) {
                return;
            }
        }
    }
    out->flocks[out->n_flocks++] = (struct chart_flock){.x = sheet->x,
        .n = sheet->n,
        .lo = lo,
        .hi = hi,
        .n_lines = n,
        .color = color,
        .alpha = alpha,
        .gap = units_gap(units->thing, sheet->width)};
}

static bool is_marked(const struct view *view, const struct units *units, uint32_t unit)
{
    (void)view;
    return marks_has(units->marks, unit);
}

static bool is_member(const struct view *view, const struct units *units, uint32_t unit)
{
    const struct model_sample *sample = units->sample;
    uint32_t place = units_stands_for(sample, (uint32_t)view->unit);
    return unit != (uint32_t)view->unit && place < sample->n_shown &&
           units_stands_for(sample, unit) == place;
}

static void add_flocks(struct frame *f, const struct units *units,
    const struct chosen *chosen, struct units_picture *out)
{
    static const enum look order[] = {LOOK_FEW, LOOK_USUAL, LOOK_MANY, LOOK_MARKED};
    const float alpha = most_alpha(f->view, units, chosen);
    for (size_t i = 0; i < BARO_LEN(order); i++) {
        add_flock(f, units, chosen, order[i], alpha, out);
    }
    if (units->sheet == NULL || units->sheet->n == 0) {
        return;
    }
    if (units->marks != NULL) {
        add_sheet_flock(f, units, is_marked, f->theme->accent,
            units->marks->n > 200 ? 0.2F : 0.4F, out);
    }
    bool has_unit = f->view->unit >= 0 && f->view->unit < units->sheet->n_units;
    if (has_unit && units->sample->is_assigned && out->n_flocks < UNITS_MAX_FLOCKS) {
        add_sheet_flock(f, units, is_member, f->theme->accent, 0.3F, out);
    }
}

/* ---- lines of their own ---- */

static bool is_picked(const struct view *view, uint32_t unit)
{
    return (int64_t)unit == view->unit || (int64_t)unit == view->unit_hover;
}

static void add_line(struct frame *f, const struct units *units,
    const struct chosen *chosen, uint32_t place, struct units_picture *out)
{
    enum { NAME_BYTES = 64 };
    const struct model_sample *sample = units->sample;
    uint32_t unit = sample->shown[place];
    char *name = draw_scratch(f->list, NAME_BYTES);
    if (out->n_lines == UNITS_MAX_LINES || name == NULL) {
        return;
    }
    struct chart_line line =
        units_line(f, &sample->lines, place, units_gap(units->thing, sample->lines.width));
    bool is_first = chosen->is_first[place];
    bool is_odd = chosen->is_odd[place];
    bool is_named = is_first || !is_odd || sample->apart[place] >= chosen->named;
    bool is_picked_one = is_picked(f->view, unit);
    bool is_marked_one = units->marks != NULL && marks_has(units->marks, unit);
    const char *why = is_first                   ? units_why(units, place)
                      : place == chosen->highest ? "highest"
                      : place == chosen->lowest  ? "lowest"
                      : is_odd                   ? units_why(units, place)
                                                 : NULL;
    (void)snprintf(name, NAME_BYTES, why != NULL ? "unit %u · %s" : "unit %u", unit, why);
    if (is_first && sample->lines.any[place] == 0) {
        mark_holes(f, units, unit, &line);
    }
    line.name = is_named || is_picked_one || is_marked_one ? name : NULL;
    line.is_aside = !is_first && !is_picked_one && would_squeeze(units, chosen, place);
    line.alarmed = !line.is_aside && (is_first || is_odd || is_picked_one);
    line.weight = is_picked_one ? CHART_SELECTED : CHART_NORMAL;
    line.color = is_first                         ? f->theme->alarm
                 : is_picked_one || is_marked_one ? f->theme->accent
                 : is_odd                         ? units_color(f, SAMPLE_OUTLIER)
                                                  : units_color(f, SAMPLE_ENVELOPE);
    out->has_first |= is_first;
    out->has_odd |= is_odd && !is_first;
    out->has_ends |= !is_first && !is_odd && why != NULL;
    if (units->marks != NULL && !is_marked_one && !is_picked_one && !is_first) {
        line.weight = CHART_FAINT;
        line.name = NULL;
    }
    out->units[out->n_lines] = unit;
    out->lines[out->n_lines++] = line;
}

/* The chosen unit when it is not among the shown: from the sheet, or by itself. */
static void add_chosen(
    struct frame *f, const struct units *units, struct units_picture *out)
{
    enum { NAME_BYTES = 32 };
    int64_t unit = f->view->unit;
    bool is_of_thing = unit >= 0 && unit < (int64_t)units->thing->n_units;
    char *name = draw_scratch(f->list, NAME_BYTES);
    if (!is_of_thing || name == NULL || out->n_lines == UNITS_MAX_LINES ||
        model_sample_place(units->sample, (uint32_t)unit) < units->sample->n_shown) {
        return;
    }
    struct chart_line line =
        units_series_line(f, units->thing, units->stat, (uint32_t)unit, f->theme->accent);
    (void)snprintf(name, NAME_BYTES, "unit %u", (uint32_t)unit);
    line.name = name;
    line.weight = CHART_SELECTED;
    line.alarmed = true;
    out->units[out->n_lines] = (uint32_t)unit;
    out->lines[out->n_lines++] = line;
}

void units_picture(struct frame *f, const struct units *units, struct units_picture *out)
{
    struct chosen chosen;
    *out = (struct units_picture){0};
    if (units->sample == NULL || !choose(f, units, &chosen)) {
        return;
    }
    units_whole(f, units, out);
    add_flocks(f, units, &chosen, out);
    for (uint32_t i = 0; i < units->sample->n_shown; i++) {
        /* One that is picked keeps its place among the others, so that those need not be
         * drawn anew while the pointer goes over them. */
        if (chosen.is_own[i] || is_picked(f->view, units->sample->shown[i])) {
            add_line(f, units, &chosen, i, out);
        }
    }
    add_chosen(f, units, out);
}
