/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "daemon/sample_inside.h"

/*
 * The axis of a sample that is live grows in steps: it is fitted with some room at both ends, and
 * an end moves only when readings have gone past it, by at least a quarter of the axis. An end
 * at which nothing happened stays where it is. Noise that sets a new record now and then so
 * moves the axis once or twice in a run, where an axis fitted to the records would move at
 * each. Zero is an end without room: what was never negative hardly begins to be.
 */

static const double room = 1.0 / 16; /* at each end of a fitted axis, of its length */
static const double grow = 0.25;
static const double linear_reach =
    8; /* symlog stays linear to where it was, within so much */

static double low_end(const struct axis *axis, double least, double by)
{
    const double lo = axis_value(axis, -by);
    const bool is_past_zero = least >= 0 && lo < 0;
    return is_past_zero ? 0 : isfinite(lo) ? lo : axis->lo;
}

static double high_end(const struct axis *axis, double most, double by)
{
    const double hi = axis_value(axis, 1 + by);
    const bool is_past_zero = most <= 0 && hi > 0;
    return is_past_zero ? 0 : isfinite(hi) ? hi : axis->hi;
}

/* The axis before, its ends moved as far as readings ask for. */
static struct axis grown(
    const struct axis *before, const struct axis *fitted, double least, double most)
{
    struct axis axis = *before;
    if (fitted->lo < axis.lo) {
        const double lo = low_end(before, least, grow);
        axis.lo = lo < fitted->lo ? lo : low_end(fitted, least, grow);
    }
    if (fitted->hi > axis.hi) {
        const double hi = high_end(before, most, grow);
        axis.hi = hi > fitted->hi ? hi : high_end(fitted, most, grow);
    }
    const bool is_near = fitted->linear_to <= before->linear_to * linear_reach;
    axis.linear_to = is_near ? before->linear_to : fitted->linear_to;
    return axis;
}

bool sample_axis_fit(struct sample_job *job, const struct sample_lines *lines)
{
    if (job->ask.has_limits) {
        job->axis = job->ask.limits;
        return true;
    }
    const double least = lines->has_any ? lines->least : 0;
    const double most = lines->has_any ? lines->most : 1;
    struct axis fitted;
    if (!sample_fit_axis(least, most, job->ask.kind, &fitted)) {
        return false;
    }
    if (job->is_again && lines->has_any) {
        job->axis = grown(&job->axis, &fitted, least, most);
        return true;
    }
    job->axis = fitted;
    if (job->ask.is_live && most > least) {
        const double lo = low_end(&fitted, least, room);
        job->axis.hi = high_end(&fitted, most, room);
        job->axis.lo = fitted.kind != AXIS_LOG || lo > 0 ? lo : fitted.lo;
    }
    return true;
}

bool sample_axis_is_left(const struct sample_job *job, const struct sample_lines *lines)
{
    const struct axis *axis = &job->axis;
    if (job->ask.has_limits || !lines->has_any) {
        return false;
    }
    const bool has_lo = axis->kind != AXIS_LOG || lines->least > 0;
    return (has_lo && lines->least < axis->lo) || lines->most > axis->hi;
}
