/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/alert_text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/baro_types.h"
#include "lib/base/mem.h"
#include "lib/base/tensor.h"

enum { TEXT_BYTES = 1536 };

/* A sentence that grows; what does not fit is left out. */
struct sentence {
    char text[TEXT_BYTES];
    size_t n_bytes;
};

__attribute__((format(printf, 2, 3))) static void say(
    struct sentence *sentence, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(
        sentence->text + sentence->n_bytes, TEXT_BYTES - sentence->n_bytes, format, args);
    va_end(args);
    size_t left = TEXT_BYTES - 1 - sentence->n_bytes;
    sentence->n_bytes += n < 0 ? 0 : (size_t)n < left ? (size_t)n : left;
}

static void replace(char **field, const char *text)
{
    if (*field != protobuf_c_empty_string) {
        free(*field);
    }
    *field = baro_xstrdup(text);
}

char *alert_module(const Baro__Declare *declare)
{
    if (!declare->is_tensor) {
        return baro_xstrdup("");
    }
    char *module = baro_xstrdup(declare->name);
    bool is_of_module = declare->role == BARO_ACT || declare->role == BARO_ACT_GRAD ||
                        declare->role == BARO_INPUT;
    char *dot = strrchr(module, '.');
    if (!is_of_module) {
        *(dot != NULL ? dot : module) = '\0';
    }
    return module;
}

/* ---- non-finite values ---- */

static const char *what_it_became(const struct nonfinite_reading *reading)
{
    return reading->n_nan > 0 ? "NaN" : reading->n_pos_inf > 0 ? "+Inf" : "-Inf";
}

/* Tell whether a tensor holds fewer rows than the batch, as in gradient accumulation. */
static bool is_part_of_batch(const Baro__Alert *alert, const Baro__Declare *declare)
{
    return alert->row >= 0 && declare->n_shape > 0 &&
           (uint64_t)declare->shape[0] < alert->batch_size;
}

static void say_samples(
    struct sentence *sentence, const Baro__Alert *alert, const Baro__Declare *declare)
{
    if (alert->has_sample) {
        say(sentence, ": sample %" PRId64 ", row %" PRId64 " of the batch of %" PRIu64 ".",
            alert->samples[0], alert->row, alert->batch_size);
        return;
    }
    if (alert->n_samples == 0) {
        say(sentence, ".");
        return;
    }
    if (is_part_of_batch(alert, declare)) {
        say(sentence, ", row %" PRId64 " of a part of the batch; the whole", alert->row);
    } else {
        say(sentence, "; the batch");
    }
    say(sentence, " held %" PRIu64 " samples:", alert->batch_size);
    size_t n_named = alert->n_samples < 5 ? alert->n_samples : 5;
    for (size_t i = 0; i < n_named; i++) {
        say(sentence, "%s %" PRId64, i > 0 ? "," : "", alert->samples[i]);
    }
    say(sentence, "%s.", alert->batch_size > n_named ? " and more" : "");
}

static bool has_part(const char *name, const char *part)
{
    return strcasestr(name, part) != NULL;
}

bool alert_is_whole(const struct nonfinite_reading *reading)
{
    uint64_t n_bad = reading->n_nan + reading->n_pos_inf + reading->n_neg_inf;
    return reading->count > 1 && n_bad >= reading->count;
}

static const char *advice_for_act(const char *name, const struct nonfinite_reading *reading)
{
    if (has_part(name, "var") || has_part(name, "exp") || has_part(name, "sigma")) {
        return "An exponential overflowed: clamp the log-variance (say to -10 .. 10) before "
               "exp, lower the learning rate, and look at the sample named here.";
    }
    if (has_part(name, "norm")) {
        return "A normalisation divided by almost nothing: raise its epsilon, and look for a "
               "constant input.";
    }
    if (has_part(name, "attn") || has_part(name, "attention") ||
        has_part(name, "softmax")) {
        return "Attention overflowed: look at the size of its logits, normalise queries and "
               "keys, or compute the softmax in f32.";
    }
    return reading->n_nan > 0
               ? "The module turned finite inputs into NaN: look for 0/0, log or sqrt of a "
                 "negative number, or Inf - Inf in it, and at the sample named here."
               : "The module's output overflowed, or its input was infinite already: look at the "
                 "sample named here, at the growth of the module's weights over the steps "
                 "before, and lower the learning rate.";
}

static const char *advice_for(
    const Baro__Declare *declare, const struct nonfinite_finding *finding)
{
    if (finding->began_in_loss) {
        return finding->news == NONFINITE_LOSS
                   ? "It began here: every activation measured in this step was finite. Look at "
                     "the loss function for log(0), 0/0 and overflow, and at the targets."
                   : "Activations measured in this step were finite, its loss was not, and gradients "
                     "come after the loss: see the alert of the loss.";
    }
    if (finding->news == NONFINITE_LOSS) {
        return "The loss is lost from here on; stop the run, and see the first alert of this "
               "incident for its origin.";
    }
    if (finding->news == NONFINITE_WEIGHT) {
        return "The model itself is spoilt: go back to a checkpoint from before this step.";
    }
    if (!declare->is_tensor) {
        return finding->reading.is_loss
                   ? "No tensor that was measured in this step was non-finite before the loss: "
                     "measure each step (watch(every=1)), watch activations, too, or look at "
                     "the loss function for log(0) and 0/0."
                   : "Look at how this number is computed: 0/0, log(0) or an overflow.";
    }
    switch ((enum baro_role)declare->role) {
    case BARO_ACT: return advice_for_act(declare->name, &finding->reading);
    case BARO_INPUT:
        return "The data themselves hold a value that is not finite, before any layer: look at "
               "the sample named here and at its preprocessing.";
    case BARO_GRAD:
    case BARO_ACT_GRAD:
        return "Clip gradients, lower the learning rate, or skip such steps; with mixed "
               "precision a rare overflow is normal as long as the loss scaler skips it.";
    case BARO_WEIGHT:
    case BARO_UPDATE:
        return "Go back to a checkpoint from before this step; then lower the learning rate "
               "or clip gradients.";
    case BARO_OPT:
        return "The optimiser's state overflowed: raise its epsilon or clip gradients.";
    case BARO_ROLE_END:
    default: return "Look at what this tensor is computed from.";
    }
}

void alert_write_nonfinite(Baro__Alert *alert, const struct nonfinite_finding *finding,
    const Baro__Declare *declare)
{
    struct sentence sentence = {.n_bytes = 0};
    say(&sentence, "%s", declare->name);
    const char *role = baro_role_name((enum baro_role)declare->role);
    if (declare->is_tensor && strcmp(role, declare->name) != 0) {
        say(&sentence, " (%s)", role);
    }
    say(&sentence, " became %s", what_it_became(&finding->reading));
    if (alert->unit >= 0) {
        say(&sentence, " in unit %" PRId64, alert->unit);
    } else if (alert_is_whole(&finding->reading)) {
        say(&sentence, " in all of its values");
    }
    say(&sentence, " at step %" PRId64, alert->step);
    if (finding->began_in_loss && finding->news == NONFINITE_ORIGIN) {
        say(&sentence, ", in a step whose loss was not finite");
    }
    say_samples(&sentence, alert, declare);
    replace(&alert->text, sentence.text);
    replace(&alert->advice, advice_for(declare, finding));
}

/* ---- loss spikes ---- */

void alert_write_spike(Baro__Alert *alert, const struct spike_finding *finding)
{
    struct sentence sentence = {.n_bytes = 0};
    say(&sentence, "%s jumped to %.4g at step %" PRId64, alert->tensor, finding->value,
        alert->step);
    say(&sentence, ", where %.4g was usual", finding->usual);
    if (finding->score < 1000) {
        say(&sentence, " (%.0f times its usual spread above)", finding->score);
    }
    say(&sentence, ".");
    replace(&alert->text, sentence.text);
    replace(&alert->advice,
        "If it comes back by itself, look at the batch of that step; if not, lower the "
        "learning rate, clip gradients, or go back to an earlier checkpoint and skip it.");
}

void alert_write_ranks(Baro__Alert *alert, const struct ranks_finding *finding)
{
    struct sentence sentence = {.n_bytes = 0};
    const char *name = alert->tensor;
    if (strncmp(name, RANKS_PREFIX, strlen(RANKS_PREFIX)) == 0) {
        name += strlen(RANKS_PREFIX);
    }
    say(&sentence,
        "%s is not the same on ranks %" PRIu32 " and %" PRIu32 " at step %" PRId64
        ": the sums of its bits are %.0f and %.0f.",
        name, finding->rank_a, finding->rank_b, finding->step, finding->value_a,
        finding->value_b);
    replace(&alert->text, sentence.text);
    replace(&alert->advice,
        "Replicas that have parted train different models. Look for weights that are changed "
        "outside the optimiser, for parameters whose gradients are not reduced, for random "
        "numbers or seeds that differ, and for faulty memory; start again from a checkpoint "
        "on all ranks.");
}
