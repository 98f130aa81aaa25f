/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "lib/push/baro.h"

#include "lib/base/err.h"
#include "lib/base/ticks.h"
#include "lib/push/push.h"
#include "lib/push/run.h"

/*
 * Results of single samples. They go out in pieces of so many as a call may have on its stack; each
 * piece is a reading of its own, so that one that gives way takes no other with it.
 */

enum { PIECE = 256 };

static struct reading_sample sample_at(size_t i, const int64_t *samples,
    const float *losses, const int8_t *correct, const int32_t *labels)
{
    bool has_label = labels != NULL && labels[i] >= 0 && labels[i] <= INT16_MAX;
    return (struct reading_sample){
        .index = samples[i],
        .loss = losses != NULL ? losses[i] : NAN,
        .label = has_label ? (int16_t)labels[i] : -1,
        .correct = correct == NULL || correct[i] < 0 ? -1 : correct[i] != 0,
    };
}

int baro_samples(struct baro_run *run, int64_t step, const int64_t *samples,
    const float *losses, const int8_t *correct, const int32_t *labels, size_t n)
{
    run_autoleave struct baro_run *inside = run_enter(run);
    if (inside == NULL) {
        return 0;
    }
    if (step < -1 || (samples == NULL && n > 0)) {
        return BARO_EINVAL;
    }
    const uint64_t now = ticks_now_ns();
    const double size = (double)n;
    const size_t n_kept = n < READING_MAX_SAMPLES ? n : READING_MAX_SAMPLES;
    struct record_header header = push_header(run, now, READING_SAMPLES, 0);
    header.step = step >= 0 ? step : header.step;
    int first_rc = 0;
    for (size_t from = 0; from < n_kept; from += PIECE) {
        struct reading_sample piece[PIECE];
        const size_t end = from + PIECE < n_kept ? from + PIECE : n_kept;
        for (size_t i = from; i < end; i++) {
            piece[i - from] = sample_at(i, samples, losses, correct, labels);
        }
        const struct ringfile_part parts[2] = {
            {&size, sizeof size}, {piece, (end - from) * sizeof piece[0]}};
        const int rc = ringfile_put(run->ring, &header, parts, 2);
        first_rc = first_rc != 0 ? first_rc : rc;
    }
    return push_end(run, now, first_rc);
}
