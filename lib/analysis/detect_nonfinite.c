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
 * Known limits: with gradient accumulation the row counts within one micro-batch; tensors that
 * are not watched cannot be origins, so the origin is the first *watched* tensor.
 */

enum { N_WAITING = 3 };

struct nonfinite_detector {
    bool has_incident;
    int64_t last_step;   /* newest step that belongs to it */
    uint32_t news;       /* enum nonfinite_news bits told already */
    uint32_t origin;     /* thing where it began */
    bool is_origin_calm; /* the origin has been seen finite since */
    bool is_origin_backward;
    int64_t origin_step;
    struct nonfinite_finding waiting[N_WAITING];
    size_t n_waiting;
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
    uint64_t b = (uint64_t)detector->last_step;
    uint64_t distance = step > detector->last_step ? a - b : b - a;
    bool is_later = step >= detector->last_step;
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
    if (!reading->is_bad) {
        if (reading->thing == detector->origin) {
            detector->is_origin_calm = true;
        }
        return false;
    }
    enum nonfinite_news news = news_of(reading);
    bool is_new = !is_continued(detector, reading->step);
    if (is_new) {
        detector->has_incident = true;
        detector->news = (uint32_t)(NONFINITE_ORIGIN | news);
        detector->origin = reading->thing;
        detector->is_origin_backward = reading->is_backward;
        detector->origin_step = reading->step;
        news = NONFINITE_ORIGIN;
    }
    detector->last_step = reading->step;
    if (reading->thing == detector->origin) {
        detector->is_origin_calm = false;
    }
    if (!is_new && (news == 0 || (detector->news & (uint32_t)news) != 0)) {
        return false;
    }
    detector->news |= (uint32_t)news;
    *out_finding = (struct nonfinite_finding){
        .news = news, .is_new_incident = is_new, .thing = reading->thing};
    if (news == NONFINITE_LOSS) {
        out_finding->began_in_loss = blame_loss(detector, reading->step);
    }
    if (detector->n_waiting < N_WAITING) {
        detector->waiting[detector->n_waiting++] = *out_finding;
    }
    return true;
}

bool nonfinite_take(
    struct nonfinite_detector *detector, struct nonfinite_finding *out_finding)
{
    if (detector->n_waiting == 0) {
        return false;
    }
    *out_finding = detector->waiting[0];
    detector->n_waiting--;
    memmove(detector->waiting, detector->waiting + 1,
        detector->n_waiting * sizeof *detector->waiting);
    return true;
}
