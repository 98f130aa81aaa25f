/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/push/baro.h"

#include "lib/base/err.h"
#include "lib/base/ticks.h"
#include "lib/push/push.h"
#include "lib/push/run.h"

/*
 * Numbers that are known only after their step: a device that computes them is not waited for.
 * They carry their own step, so that the current one, and how long it takes, stay what they are.
 */

int baro_scalar_at(struct baro_run *run, int64_t id, int64_t step, double value)
{
    run_autoleave struct baro_run *inside = run_enter(run);
    if (inside == NULL) {
        return 0;
    }
    uint64_t now = ticks_now_ns();
    const struct thing *thing = id > 0 ? things_get(run->things, (uint64_t)id) : NULL;
    if (step < 0 || thing == NULL || thing->is_tensor) {
        return push_end(run, now, BARO_EINVAL);
    }
    const struct record_header header = {
        .kind = READING_SCALAR,
        .thing = thing->id,
        .step = step,
        .time_ns = ticks_wall_ns(now),
    };
    return push_end(run, now, ringfile_put_number(run->ring, &header, value));
}

int baro_batch_at(struct baro_run *run, int64_t step, const int64_t *samples, size_t n)
{
    run_autoleave struct baro_run *inside = run_enter(run);
    if (inside == NULL) {
        return 0;
    }
    if (step < 0 || (samples == NULL && n > 0)) {
        return BARO_EINVAL;
    }
    const uint64_t now = ticks_now_ns();
    const double size = (double)n;
    const size_t n_kept = n < READING_MAX_SAMPLES ? n : READING_MAX_SAMPLES;
    const struct record_header header = {
        .kind = READING_BATCH,
        .step = step,
        .time_ns = ticks_wall_ns(now),
    };
    const struct ringfile_part parts[2] = {
        {&size, sizeof size}, {samples, n_kept * sizeof *samples}};
    return push_end(run, now, ringfile_put(run->ring, &header, parts, 2));
}
