/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/rule_parts.h"
#include "lib/analysis/rule_table.h"
#include "lib/analysis/unit_stats.h"
#include "lib/base/mem.h"

/*
 * Do units stay alike for ever? Two units of a layer that begin with the same weights, in and out,
 * get the same gradients and never part: a layer of 512 of them is a layer of one. It happens when
 * weights are initialised to a constant, or when one half of them is copied from the other.
 *
 * Of each unit (row) of a weight there are mean, norm and largest magnitude. Every unit has a
 * fingerprint of 64 bits, into which each reading's three numbers are mixed; units whose
 * fingerprints are the same have agreed in every reading of the window. After 4, 8, 16, 32 and 64
 * readings fingerprints are sorted and equal ones counted, then a new window begins.
 *
 * To be equal is no fault as long as nothing has happened: weights that are frozen, or barely
 * moved, or were initialised to the same pattern (an identity, a blur) begin equal and part as they
 * learn. So units count only when they have moved together: their norm, mean or largest
 * magnitude has changed by 1 % since the window began, which is 40 times the finest difference
 * that a rounded reading shows. Zero rows do not count (padding), nor do rows of fewer than 4
 * elements: Adam moves each element by the learning rate at first, so short rows agree by chance.
 *
 * Worked number: the last two rows of a 3 x 4 weight are all 0.5; each step adds 0.01 to their
 * elements. Mean 0.5, 0.51, 0.52, 0.53: after 4 readings they have moved by 6 % and never differed:
 * 2 of 3 units are told.
 *
 * Cost: 5 ns a unit and reading; sorting adds n log n in 5 of 64 readings. By chance two
 * fingerprints of 65,536 units agree once in 10^10 windows. Known limit: units that are equal up to
 * the order of their elements have the same statistics; they count as equal if they stay so.
 */

enum { MIN_MOVED, MIN_SHARE };
enum { WINDOW = 64, FIRST_LOOK = 4, MIN_ELEMENTS = 4 };

static const struct rule_param params[] = {
    {"min_moved", 0.01, 0.001, 10, "relative change that units must have made together"},
    {"min_share", 0, 0, 1, "of the layer's units that must be alike; two at least"},
};

struct window {
    uint32_t n_readings;
    uint32_t n_told; /* units that were alike when it was told last */
    int64_t began;   /* step of its first reading */
};

struct unit {
    uint64_t print; /* of all readings of the window */
    float first[3]; /* mean, norm, largest magnitude when it began */
    float moved;    /* largest relative change since */
};

static bool applies(const struct judge_thing *thing)
{
    if (thing->role != BARO_WEIGHT || thing->n_dims < 2 || thing->n_units < 2) {
        return false;
    }
    double n_elements = 1;
    for (uint32_t d = 0; d < thing->n_dims && d < BARO_MAX_DIMS; d++) {
        n_elements *= (double)thing->shape[d];
    }
    return n_elements >= (double)MIN_ELEMENTS * thing->n_units;
}

/* After splitmix64. */
static uint64_t mix(uint64_t print, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint64_t z = (print ^ bits) + 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    return z ^ (z >> 27);
}

static float relative(float now, float before)
{
    float largest = fabsf(now) > fabsf(before) ? fabsf(now) : fabsf(before);
    return largest > 0 ? fabsf(now - before) / largest : 0;
}

static void learn(
    struct unit *units, const struct reading *reading, uint32_t n_units, bool is_first)
{
    const float *columns[3] = {unit_column(reading, n_units, UNIT_MEAN),
        unit_column(reading, n_units, UNIT_L2),
        unit_column(reading, n_units, UNIT_ABS_MAX)};
    for (uint32_t u = 0; u < n_units; u++) {
        struct unit *unit = &units[u];
        if (is_first) {
            *unit = (struct unit){0};
        }
        for (int c = 0; c < 3; c++) {
            float value = unit_rounded(columns[c][u]);
            unit->print = mix(unit->print, value);
            if (is_first) {
                unit->first[c] = value;
            } else if (c > 0) {
                float moved = relative(value, unit->first[c]);
                unit->moved = moved > unit->moved ? moved : unit->moved;
            }
        }
        /* A mean near zero moves by any factor: what counts is how far, for a row of its size. */
        float scale = unit_rounded(columns[2][u]);
        float shift = fabsf(unit_rounded(columns[0][u]) - unit->first[0]);
        if (scale > 0 && shift / scale > unit->moved) {
            unit->moved = shift / scale;
        }
    }
}

static int compare_prints(const void *left, const void *right)
{
    const uint64_t *a = left;
    const uint64_t *b = right;
    return (*a > *b) - (*a < *b);
}

/* Count units that have another one alike; tells one of them. */
static uint32_t count_alike(
    const struct unit *units, uint32_t n_units, double min_moved, int64_t *out_unit)
{
    baro_autofree uint64_t *prints = baro_xcalloc(n_units, sizeof *prints);
    size_t n = 0;
    for (uint32_t u = 0; u < n_units; u++) {
        if ((double)units[u].moved >= min_moved) {
            prints[n++] = units[u].print;
        }
    }
    qsort(prints, n, sizeof *prints, compare_prints);
    uint32_t n_alike = 0;
    uint64_t alike = 0;
    for (size_t i = 0; i < n; i++) {
        bool is_alike = (i > 0 && prints[i] == prints[i - 1]) ||
                        (i + 1 < n && prints[i] == prints[i + 1]);
        alike = is_alike && n_alike == 0 ? prints[i] : alike;
        n_alike += is_alike ? 1 : 0;
    }
    for (uint32_t u = 0; u < n_units && n_alike > 0; u++) {
        if (units[u].print == alike) {
            *out_unit = u;
            break;
        }
    }
    return n_alike;
}

static void on_reading(
    struct rule_context *context, void *state, const struct reading *reading)
{
    struct window *window = state;
    uint32_t n_units = context->thing->n_units;
    if (!unit_fits(reading, n_units)) {
        return;
    }
    struct unit *units = rule_units(context, state);
    if (window->n_readings == WINDOW) {
        window->n_readings = 0;
    }
    if (window->n_readings == 0) {
        window->began = context->step;
    }
    learn(units, reading, n_units, window->n_readings == 0);
    uint32_t n = ++window->n_readings;
    if (n < FIRST_LOOK || (n & (n - 1)) != 0) {
        return;
    }
    int64_t unit = -1;
    uint32_t n_alike = count_alike(units, n_units, context->params[MIN_MOVED], &unit);
    if (n_alike >= 2 && n_alike >= context->params[MIN_SHARE] * n_units &&
        n_alike > window->n_told) {
        rule_note(context, &(struct rule_fact){.from_step = rule_from(window->began),
                               .value = n_alike,
                               .usual = 0,
                               .score = n_units,
                               .unit = unit,
                               .row = -1,
                               .n_units = n_alike});
    }
    if (n == WINDOW || n_alike > window->n_told) {
        window->n_told = n_alike;
    }
}

static void tell(struct rule_context *context, const struct rule_fact *fact,
    struct judge_finding *finding)
{
    finding->step = rule_since(fact);
    if (2 * fact->value >= fact->score) {
        finding->level = BARO_ALARM;
    }
    rule_say(finding,
        "%u of the %.0f units of %s have been the same as another since step %lld: they move, "
        "but always together.",
        fact->n_units, fact->score, context->thing->name, (long long)finding->step);
    finding->advice =
        "Initialise the weights at random (Kaiming, Xavier), each unit with numbers "
        "of its own.";
    rule_blame(finding, JUDGE_CAUSE_INIT);
    rule_show(finding, fact->thing, READING_UNITS, UNIT_L2, fact->unit, finding->step,
        "norms of its units: one line");
}

const struct rule rule_symmetric_units = {
    .name = "symmetric_units",
    .sentence =
        "Units of a weight move, but have been the same as others in every reading.",
    .params = params,
    .n_params = BARO_LEN(params),
    .level = BARO_WATCH,
    .kinds = RULE_KIND(READING_UNITS),
    .excuses = 0,
    .state_bytes = sizeof(struct window),
    .unit_bytes = sizeof(struct unit),
    .applies = applies,
    .on_reading = on_reading,
    .tell = tell,
};
