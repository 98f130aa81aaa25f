/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/detect.h"
#include "lib/base/mem.h"

/*
 * Where did the NaN come from? Within a step readings arrive in causal order: activations of the
 * forward pass, the loss, gradients, weights. So the first reading that is not finite is the
 * origin, and all that follow are its consequences. They form one incident, of which three things
 * are told at most: its origin, that the loss is lost, that a weight is spoilt. Forty tensors that
 * turn NaN in one step are one alert, not forty.
 *
 * One order is not causal: a training loop knows its loss before the backward pass, but tells it at
 * the end of the step, after the gradients. When an incident begins in a gradient and the loss of
 * the same step is not finite either, it began in the loss: all activations, told before, were
 * finite. Both findings then say so.
 *
 * An incident goes on as long as readings of it keep coming: within NONFINITE_CALM_STEPS steps,
 * or, because tensors may be looked at rarely, as long as its origin has not been seen finite
 * again. Steps that go back by more than that begin a new incident (the run was resumed).
 *
 * Which sample was it? The batch of a step is often told after its tensors. A finding is given
 * at once, to be stored in the same commit as its cause, and once more when the batch of its step
 * is known, a record of another step has been seen, or the caller will wait no longer.
 *
 * Known limits: with gradient accumulation the row counts within one micro-batch; tensors that
 * are not watched cannot be origins, so the origin is the first *watched* tensor.
 */

enum { N_WAITING = 3 };

struct nonfinite_detector {
    bool has_incident;
    struct nonfinite_memory memory;
    bool is_origin_calm; /* the origin has been seen finite since */
    bool is_origin_backward;
    int64_t origin_step;
    int64_t seen_step;
    bool has_seen;
    struct nonfinite_finding waiting[N_WAITING];
    size_t n_waiting;
    bool has_batch;
    int64_t batch_step;
    uint64_t batch_size;
    size_t n_samples;
    int64_t samples[NONFINITE_MAX_SAMPLES];
};

struct nonfinite_detector *nonfinite_create(void)
{
    return baro_xcalloc(1, sizeof(struct nonfinite_detector));
}

void nonfinite_destroy(struct nonfinite_detector *detector)
{
    free(detector);
}

static bool is_continued(const struct nonfinite_detector *detector, int64_t step)
{
    if (!detector->has_incident) {
        return false;
    }
    uint64_t a = (uint64_t)step;
    uint64_t b = (uint64_t)detector->memory.last_step;
    uint64_t distance = step > detector->memory.last_step ? a - b : b - a;
    bool is_later = step >= detector->memory.last_step;
    return distance <= NONFINITE_CALM_STEPS || (is_later && !detector->is_origin_calm);
}

/* What this reading is, beyond being one more of its incident. */
static enum nonfinite_news news_of(const struct nonfinite_reading *reading)
{
    return reading->is_loss     ? NONFINITE_LOSS
           : reading->is_weight ? NONFINITE_WEIGHT
                                : (enum nonfinite_news)0;
}

/* A loss that follows a gradient of its own step was the cause of it. */
static bool blame_loss(struct nonfinite_detector *detector, int64_t step)
{
    if (!detector->is_origin_backward || detector->origin_step != step) {
        return false;
    }
    for (size_t i = 0; i < detector->n_waiting; i++) {
        struct nonfinite_finding *finding = &detector->waiting[i];
        finding->began_in_loss |= finding->news == NONFINITE_ORIGIN;
    }
    return true;
}

bool nonfinite_add(struct nonfinite_detector *detector,
    const struct nonfinite_reading *reading, struct nonfinite_finding *out_finding)
{
    struct nonfinite_memory *memory = &detector->memory;
    if (reading->n_nan == 0 && reading->n_pos_inf == 0 && reading->n_neg_inf == 0) {
        if (reading->thing == memory->thing) {
            detector->is_origin_calm = true;
        }
        return false;
    }
    enum nonfinite_news news = news_of(reading);
    bool is_new = !is_continued(detector, reading->step);
    if (is_new) {
        detector->has_incident = true;
        memory->news = (uint32_t)(NONFINITE_ORIGIN | news);
        memory->thing = reading->thing;
        detector->is_origin_backward = reading->is_backward;
        detector->origin_step = reading->step;
        news = NONFINITE_ORIGIN;
    }
    memory->last_step = reading->step;
    if (reading->thing == memory->thing) {
        detector->is_origin_calm = false;
    }
    if (!is_new && (news == 0 || (memory->news & (uint32_t)news) != 0)) {
        return false;
    }
    memory->news |= (uint32_t)news;
    *out_finding = (struct nonfinite_finding){
        .news = news, .is_new_incident = is_new, .reading = *reading};
    if (news == NONFINITE_LOSS) {
        out_finding->began_in_loss = blame_loss(detector, reading->step);
    }
    if (detector->n_waiting < N_WAITING) {
        detector->waiting[detector->n_waiting++] = *out_finding;
    }
    return true;
}

void nonfinite_name(struct nonfinite_detector *detector, uint64_t incident)
{
    detector->memory.incident = incident;
}

uint64_t nonfinite_incident(const struct nonfinite_detector *detector)
{
    return detector->memory.incident;
}

void nonfinite_tag(
    struct nonfinite_detector *detector, enum nonfinite_news news, uint64_t tag)
{
    for (size_t i = detector->n_waiting; i > 0; i--) {
        if (detector->waiting[i - 1].news == news) {
            detector->waiting[i - 1].tag = tag;
            return;
        }
    }
}

void nonfinite_see_step(struct nonfinite_detector *detector, int64_t step)
{
    detector->seen_step = step;
    detector->has_seen = true;
}

void nonfinite_batch(struct nonfinite_detector *detector, int64_t step,
    const int64_t *samples, size_t n_samples, uint64_t batch_size)
{
    detector->has_batch = true;
    detector->batch_step = step;
    detector->batch_size = batch_size;
    detector->n_samples =
        n_samples < NONFINITE_MAX_SAMPLES ? n_samples : NONFINITE_MAX_SAMPLES;
    if (detector->n_samples > 0) {
        memcpy(detector->samples, samples, detector->n_samples * sizeof *samples);
    }
}

bool nonfinite_is_waiting(const struct nonfinite_detector *detector)
{
    return detector->n_waiting > 0;
}

/* A gradient that is an origin may have a loss to blame, which comes last of its step. */
static bool awaits_loss(const struct nonfinite_finding *finding)
{
    return finding->news == NONFINITE_ORIGIN && finding->reading.is_backward;
}

bool nonfinite_take(struct nonfinite_detector *detector, bool is_final,
    struct nonfinite_finding *out_finding)
{
    for (size_t i = 0; i < detector->n_waiting; i++) {
        struct nonfinite_finding *finding = &detector->waiting[i];
        bool has_batch =
            detector->has_batch && detector->batch_step == finding->reading.step;
        bool is_over = detector->has_seen && detector->seen_step != finding->reading.step;
        bool is_known = has_batch && (!awaits_loss(finding) || finding->began_in_loss);
        if (!is_known && !is_over && !is_final) {
            continue;
        }
        *out_finding = *finding;
        out_finding->has_batch = has_batch;
        if (has_batch) {
            out_finding->samples = detector->samples;
            out_finding->n_samples = detector->n_samples;
            out_finding->batch_size = detector->batch_size;
        }
        detector->n_waiting--;
        memmove(finding, finding + 1, (detector->n_waiting - i) * sizeof *finding);
        return true;
    }
    return false;
}

struct nonfinite_memory nonfinite_remember(const struct nonfinite_detector *detector)
{
    return detector->memory;
}

void nonfinite_resume(
    struct nonfinite_detector *detector, const struct nonfinite_memory *memory)
{
    detector->memory = *memory;
    detector->has_incident = memory->incident != 0;
}
