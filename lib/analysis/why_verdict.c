/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/judge.h"
#include "lib/analysis/why_inside.h"
#include "lib/base/mem.h"
#include "lib/base/tensor.h"

/*
 * What kind of thing is to blame. Every observation that bears on it is a piece of evidence with a
 * weight; the cause with the largest sum wins, and how sure that is says
 *
 *     sureness = (best - second) / (best + second + DOUBT)
 *
 * so that one weak piece alone, or two causes that are as good, never sound sure. Weights were set
 * by hand, from what each observation excludes: a NaN that was in the data excludes all else (6); a
 * changed learning rate right before the first sign nearly so (4); what an alert's rule names as its
 * first cause is a prior (1). The change-mode shares of credit assignment count up to 5.
 *
 * Known to fail: a program that scales its weights by itself looks like the optimiser, unless the
 * updates were measured as well; labels that are wrong look like data, never like a bug.
 */

enum { MAX_PIECES = 24, JUST_BEFORE = 64 };

static const double DOUBT = 1.5;
static const double SURE = 0.6;
static const double PROBABLE = 0.25;
static const double LR_RATIO = 2;
static const double ODD = 5; /* spreads */
static const double GAIN = 3;
static const double WEIGHT_GAIN = 1.3;
static const double CANCELS = 1.5; /* a share beyond it is one of parts that cancel */

struct weighing {
    struct why_work *work;
    struct why_evidence *pieces;
    size_t n;
};

static char *add(struct weighing *weighing, enum why_cause cause, double weight)
{
    static char nowhere[WHY_TEXT_BYTES];
    if (weighing->n == MAX_PIECES) {
        nowhere[0] = '\0';
        return nowhere;
    }
    struct why_evidence *piece = &weighing->pieces[weighing->n++];
    *piece = (struct why_evidence){.cause = cause, .weight = weight};
    return piece->text;
}

/* ---- settings ---- */

static double change_of(const struct shift *shift)
{
    double low = fmin(fabs(shift->before), fabs(shift->after));
    double high = fmax(fabs(shift->before), fabs(shift->after));
    return low > 0 ? high / low : high > 0 ? (double)INFINITY : 1;
}

static void weigh_rate(struct weighing *weighing)
{
    const struct why_work *work = weighing->work;
    const struct why_drift *drift = why_setting_drift(work);
    if (drift == NULL || change_of(&drift->shift) < LR_RATIO) {
        return;
    }
    const struct shift *shift = &drift->shift;
    int64_t shown =
        work->story->loss_step != INT64_MIN ? work->story->loss_step : work->plan.step;
    int64_t lead = shown - shift->step;
    bool is_fall = fabs(shift->after) < fabs(shift->before);
    bool is_dead = fabs(shift->after) <= 0;
    bool is_schedule = shift->kind != SHIFT_LEVEL && shift->kind != SHIFT_LEAP;
    char step[32];
    double weight = (is_schedule ? 2 : 4) * (lead <= JUST_BEFORE ? 1 : 0.5);
    weight *= is_fall && !is_dead ? 0.25 : 1;
    char *text = add(weighing, WHY_OPTIMISER, weight);
    why_say(text, WHY_TEXT_BYTES, "%s went from %.4g to %.4g %s step %s",
        drift->thing->name, shift->before, shift->after, is_schedule ? "since" : "at",
        why_step(shift->step, step));
    if (isfinite(change_of(shift))) {
        why_say(text, WHY_TEXT_BYTES, " (%.3g-fold)", change_of(shift));
    }
    if (lead > 0) {
        why_say(text, WHY_TEXT_BYTES, ", %" PRId64 " step%s before it showed", lead,
            lead == 1 ? "" : "s");
    }
}

/* ---- the probe ---- */

/* What the loss leaves out only behind the operation. */
static void weigh_masked(struct weighing *weighing)
{
    const struct why_origin *origin = &weighing->work->story->origin;
    why_say(add(weighing, WHY_ARCHITECTURE, 4), WHY_TEXT_BYTES,
        "the loss leaves these elements out, but behind %s: in the gradient 0 times NaN is NaN",
        origin->breaks);
}

static void weigh_outside(struct weighing *weighing)
{
    const struct why_work *work = weighing->work;
    const struct probe *probe = work->facts->failure;
    const struct probe_value *value = &probe->values[probe->origin.value];
    const struct why_origin *origin = &work->story->origin;
    const bool is_for_sure = strncmp(origin->cause, "the data held", 13) == 0;
    if (value->kind == PROBE_INPUT && (value->name[0] == '\0' || !is_for_sure)) {
        why_say(add(weighing, WHY_DATA, 2), WHY_TEXT_BYTES,
            "no operation of the model made it: it came with the data, or was computed of them "
            "before the model");
    } else if (value->kind == PROBE_INPUT) {
        why_say(add(weighing, WHY_DATA, 6), WHY_TEXT_BYTES,
            "the data held it already (%s): no operation of the model made it",
            origin->tensor);
    } else {
        why_say(add(weighing, WHY_OPTIMISER, 2), WHY_TEXT_BYTES,
            "%s was not finite before this step began: an earlier update spoilt it",
            origin->tensor);
    }
}

static void weigh_operation(struct weighing *weighing)
{
    const struct why_work *work = weighing->work;
    const struct why_origin *origin = &work->story->origin;
    const struct probe *probe = work->facts->failure;
    enum baro_dtype dtype = probe->values[probe->origin.value].dtype;
    bool is_low = dtype == BARO_F16 || dtype == BARO_BF16;
    bool is_small = isfinite(origin->operand) && fabs(origin->operand) < 1e30;
    if (is_low && (work->found.op == WHY_OP_CAST || work->found.op == WHY_OP_SUM ||
                      work->found.op == WHY_OP_OTHER)) {
        why_say(add(weighing, WHY_PRECISION, 4), WHY_TEXT_BYTES,
            "%s overflowed where f32 would have held it", baro_dtype_name(dtype));
        return;
    }
    switch (work->found.op) {
    case WHY_OP_LOG:
    case WHY_OP_DIVIDE:
    case WHY_OP_ROOT:
    case WHY_OP_NORM:
    case WHY_OP_ARC:
    case WHY_OP_NORMALISE:
        why_say(add(weighing, WHY_ARCHITECTURE, origin->is_gradient ? 3.5 : 2.5),
            WHY_TEXT_BYTES,
            "%s has no %s at %.4g, and nothing keeps its operand away from there",
            origin->breaks, origin->is_gradient ? "finite gradient" : "finite value",
            isfinite(origin->operand) ? origin->operand : 0.0);
        break;
    case WHY_OP_SOFTMAX:
        if (strstr(origin->cause, "masked") != NULL) {
            why_say(add(weighing, WHY_DATA, 2), WHY_TEXT_BYTES,
                "a row had nothing left: all of it was masked");
            why_say(add(weighing, WHY_ARCHITECTURE, 1.5), WHY_TEXT_BYTES,
                "%s has no value for a row that is masked throughout", origin->breaks);
            break;
        }
        why_say(add(weighing, WHY_ARCHITECTURE, 1.5), WHY_TEXT_BYTES,
            "nothing bounds what goes into %s", origin->breaks);
        break;
    case WHY_OP_EXP:
    case WHY_OP_POWER:
        why_say(add(weighing, WHY_ARCHITECTURE, 1.5), WHY_TEXT_BYTES,
            "nothing bounds what goes into %s", origin->breaks);
        break;
    case WHY_OP_CAST:
    case WHY_OP_SUM:
    case WHY_OP_OTHER:
    default:
        if (!is_small && isfinite(origin->operand)) {
            why_say(add(weighing, WHY_OPTIMISER, 1), WHY_TEXT_BYTES,
                "numbers had grown to %.3g before they overflowed", origin->operand);
        }
        break;
    }
}

static void weigh_way(struct weighing *weighing)
{
    const struct why_work *work = weighing->work;
    const struct why_found *found = &work->found;
    char spreads[32];
    if (found->is_blank) {
        /* a value without a slope there is the model's to guard */
        const double weight = work->story->origin.is_gradient ? 1 : 2.5;
        why_say(add(weighing, WHY_DATA, weight), WHY_TEXT_BYTES,
            "all inputs of the bad samples are %.4g, of no other", found->blank);
    } else if (found->odd_input > ODD) {
        why_say(add(weighing, WHY_DATA, fmin(2 + log10(found->odd_input), 5)),
            WHY_TEXT_BYTES,
            "the inputs of the bad samples lie %s spreads from those of the others",
            why_step((int64_t)fmin(found->odd_input, 1e15), spreads));
    } else if (isfinite(found->odd_input)) {
        why_say(add(weighing, WHY_DATA, -1), WHY_TEXT_BYTES,
            "the inputs of the bad samples are like those of the others");
    }
    if (found->input_gain > GAIN) {
        why_say(add(weighing, WHY_DATA, 2), WHY_TEXT_BYTES,
            "the data were %.3g times as large as in calm", found->input_gain);
    } else if (isfinite(found->input_gain) && found->gain > GAIN) {
        char *text = add(weighing, WHY_OPTIMISER, 1);
        why_say(text, WHY_TEXT_BYTES, "the operand was %.3g times as large as in calm, ",
            found->gain);
        if (found->input_gain < 1.1) {
            why_say(text, WHY_TEXT_BYTES, "the data were no larger");
        } else {
            why_say(text, WHY_TEXT_BYTES, "the data only %.3g times", found->input_gain);
        }
    }
    /* Weights that grew while the operand did not are no cause. */
    if (found->weight_gain > WEIGHT_GAIN && !(found->gain < WEIGHT_GAIN)) {
        const bool is_most = found->gain > GAIN && found->weight_gain > found->gain / 2;
        why_say(add(weighing, WHY_OPTIMISER, is_most ? 3 : 1.5), WHY_TEXT_BYTES,
            "%s had grown to %.3g times what it was in calm", found->weight,
            found->weight_gain);
    }
}

static void weigh_credit(struct weighing *weighing)
{
    const struct why_work *work = weighing->work;
    if (!isfinite(work->here) || !isfinite(work->came)) {
        return;
    }
    if (fmax(work->here, work->came) > CANCELS) {
        return; /* the one takes back what the other did: neither tells */
    }
    /* Since a calm step long ago weights have changed in any training. */
    int64_t apart = work->plan.step - work->facts->calm->step;
    int64_t whole = work->plan.step - work->facts->run.first_step;
    double weight = apart > whole / 4 ? 2.5 : 5;
    if (work->came > 0.1) {
        why_say(add(weighing, WHY_DATA, weight * fmin(work->came, 1)), WHY_TEXT_BYTES,
            "%.0f %% of the operand's change since calm came in with the data",
            100 * work->came);
    }
    if (work->here > 0.1) {
        why_say(add(weighing, WHY_OPTIMISER, weight * fmin(work->here, 1)), WHY_TEXT_BYTES,
            "%.0f %% of the operand's change since calm was made by changed weights",
            100 * work->here);
    }
}

/* ---- samples ---- */

static void weigh_samples(struct weighing *weighing)
{
    const struct why_work *work = weighing->work;
    const struct why_story *story = work->story;
    size_t n_certain = 0;
    size_t n_harmless = 0;
    size_t n_out = 0;
    for (size_t i = 0; i < story->n_samples; i++) {
        n_certain += story->samples[i].is_certain;
        const struct why_sample *sample = &story->samples[i];
        n_harmless +=
            sample->is_certain && !sample->is_own_out &&
            (sample->has_own || (isfinite(sample->last_loss) && !sample->is_loss_out));
        if (sample->is_certain && sample->is_own_out && n_out++ == 0) {
            why_say(add(weighing, WHY_DATA, 1.5), WHY_TEXT_BYTES,
                "sample %" PRId64
                " stood out before: its own loss was %.4g, where %.4g was usual",
                sample->sample, sample->own_loss, sample->own_usual);
        }
    }
    if (n_certain > 0 && n_certain <= 2) {
        why_say(add(weighing, WHY_DATA, 1.5), WHY_TEXT_BYTES,
            "%s of the batch did it, the others did not",
            n_certain == 1 ? "one sample" : "two samples");
    }
    const struct why_sample *first = &story->samples[0];
    if (story->n_samples > 0 && first->has_course) {
        why_say(add(weighing, WHY_DATA, 2), WHY_TEXT_BYTES,
            "sample %" PRId64
            " was far out each time it was there: %.4g and more, where %.3g is "
            "usual without it",
            first->sample, fmin(first->first, first->last), first->without);
    }
    if (n_harmless > 0 && !work->is_data_spoilt) {
        add(weighing, WHY_DATA, -1.5); /* the same thing, from the other side */
        why_say(add(weighing, WHY_OPTIMISER, 1), WHY_TEXT_BYTES,
            "the same sample did no harm before: the weights have moved since");
    }
}

/* ---- stored readings ---- */

/* The data leapt at the step itself, or before anything else did. */
static void weigh_data(struct weighing *weighing)
{
    struct why_work *work = weighing->work;
    for (size_t i = 0; i < work->n_drifts; i++) {
        const struct why_drift *drift = &work->drifts[i];
        bool is_input = drift->thing != NULL && drift->thing->role == BARO_INPUT;
        bool is_prompt = drift->shift.step <= work->plan.step + 1;
        if (is_input && is_prompt && drift->shift.kind != SHIFT_NONE &&
            drift->shift.score > 12 && change_of(&drift->shift) > 2) {
            char step[32];
            work->is_data_spoilt = true;
            why_say(add(weighing, WHY_DATA, 3), WHY_TEXT_BYTES,
                "the data left their range at step %s%s from %.4g to %.4g",
                why_step(drift->shift.step, step), why_stat_words(drift->series),
                drift->shift.before, drift->shift.after);
            return;
        }
    }
}

/* Without a probe: what the tensor that was first non-finite says by itself. */
static void weigh_first_bad(struct weighing *weighing)
{
    struct why_work *work = weighing->work;
    const struct why_facts *facts = work->facts;
    const struct why_alert *first = NULL;
    for (size_t i = 0; i < facts->n_alerts && first == NULL; i++) {
        first = strcmp(facts->alerts[i].kind, "nonfinite") == 0 ? &facts->alerts[i] : NULL;
    }
    if (work->found.is_there || first == NULL) {
        return;
    }
    const struct why_thing *thing = why_thing(facts, first->thing);
    enum baro_dtype dtype = thing != NULL ? (enum baro_dtype)thing->dtype : BARO_F32;
    if (first->role == BARO_INPUT) {
        work->is_data_spoilt = true;
        why_say(add(weighing, WHY_DATA, 6), WHY_TEXT_BYTES,
            "the data held it already (%s): no layer made it", first->name);
    } else if (dtype == BARO_F16 || dtype == BARO_BF16) {
        why_say(add(weighing, WHY_PRECISION, 4), WHY_TEXT_BYTES,
            "%s is %s, and it was the first that was not finite", first->name,
            baro_dtype_name(dtype));
    } else if ((first->role == BARO_GRAD || first->role == BARO_ACT_GRAD) &&
               (work->story->loss_step == INT64_MIN ||
                   work->story->loss_step > first->step)) {
        why_say(add(weighing, WHY_ARCHITECTURE, 2.5), WHY_TEXT_BYTES,
            "the loss was finite, its gradient was not: some operation has no finite gradient "
            "where its value is fine, like a root or a length at 0");
    } else if (first->role == BARO_ACT) {
        why_say(add(weighing, WHY_ARCHITECTURE, 1), WHY_TEXT_BYTES,
            "%s is the first that was not finite, and what goes into it was", first->name);
    }
}

/* Weights of the first module grew, or shrank, before the trouble. */
static void weigh_weights(struct weighing *weighing)
{
    const struct why_work *work = weighing->work;
    const struct why_drift *best = NULL;
    for (size_t i = 0; i < work->n_drifts; i++) {
        const struct why_drift *drift = &work->drifts[i];
        bool is_weight = drift->thing != NULL && drift->thing->role == BARO_WEIGHT &&
                         drift->series->unit < 0;
        if (is_weight && !drift->is_after && drift->shift.kind != SHIFT_NONE &&
            drift->shift.step < work->plan.step && change_of(&drift->shift) > WEIGHT_GAIN &&
            (best == NULL || change_of(&drift->shift) > change_of(&best->shift))) {
            best = drift;
        }
    }
    if (best != NULL) {
        char step[32];
        why_say(add(weighing, WHY_OPTIMISER, 1.5), WHY_TEXT_BYTES,
            "%s has been moving since step %s: its size went from %.4g to %.4g",
            best->thing->name, why_step(best->shift.step, step), best->shift.before,
            best->shift.after);
    }
}

static enum why_cause cause_of(enum judge_cause cause)
{
    static const enum why_cause causes[JUDGE_CAUSE_COUNT] = {
        [JUDGE_CAUSE_LR_HIGH] = WHY_OPTIMISER,
        [JUDGE_CAUSE_LR_LOW] = WHY_OPTIMISER,
        [JUDGE_CAUSE_LR_BUG] = WHY_OPTIMISER,
        [JUDGE_CAUSE_BAD_BATCH] = WHY_DATA,
        [JUDGE_CAUSE_BAD_INPUT] = WHY_DATA,
        [JUDGE_CAUSE_INPUT_SCALE] = WHY_DATA,
        [JUDGE_CAUSE_DATA_ORDER] = WHY_DATA,
        [JUDGE_CAUSE_LABELS] = WHY_DATA,
        [JUDGE_CAUSE_TYPE_RANGE] = WHY_PRECISION,
        [JUDGE_CAUSE_LOSS_SCALE] = WHY_PRECISION,
        [JUDGE_CAUSE_LOSS_FUNCTION] = WHY_ARCHITECTURE,
        [JUDGE_CAUSE_NO_CLIPPING] = WHY_OPTIMISER,
        [JUDGE_CAUSE_NORMALISATION] = WHY_ARCHITECTURE,
        [JUDGE_CAUSE_INIT] = WHY_ARCHITECTURE,
        [JUDGE_CAUSE_DEPTH] = WHY_ARCHITECTURE,
        [JUDGE_CAUSE_ACTIVATION] = WHY_ARCHITECTURE,
        [JUDGE_CAUSE_NOT_TRAINED] = WHY_BUG,
        [JUDGE_CAUSE_DETACHED] = WHY_BUG,
        [JUDGE_CAUSE_EVAL_MODE] = WHY_BUG,
        [JUDGE_CAUSE_WEIGHT_DECAY] = WHY_OPTIMISER,
        [JUDGE_CAUSE_OPTIMISER] = WHY_OPTIMISER,
        [JUDGE_CAUSE_BATCH_SIZE] = WHY_OPTIMISER,
        [JUDGE_CAUSE_OVERFITTING] = WHY_DATA,
        [JUDGE_CAUSE_ADVERSARY] = WHY_OPTIMISER,
        [JUDGE_CAUSE_NOT_SYNCED] = WHY_BUG,
        [JUDGE_CAUSE_HARDWARE] = WHY_MACHINE,
        [JUDGE_CAUSE_INPUT_PIPELINE] = WHY_MACHINE,
        [JUDGE_CAUSE_CONTENTION] = WHY_MACHINE,
        [JUDGE_CAUSE_DEADLOCK] = WHY_MACHINE,
        [JUDGE_CAUSE_OUT_OF_MEMORY] = WHY_MACHINE,
        [JUDGE_CAUSE_KILLED] = WHY_MACHINE,
    };
    return causes[cause];
}

static enum why_cause cause_of_text(const char *text)
{
    for (int i = 1; i < JUDGE_CAUSE_COUNT; i++) {
        if (strcmp(text, judge_cause_text((enum judge_cause)i)) == 0) {
            return cause_of((enum judge_cause)i);
        }
    }
    return WHY_UNKNOWN;
}

/* What the rules themselves hold for likely: of the first alert most. One piece a cause. */
static void weigh_rules(struct weighing *weighing)
{
    const struct why_facts *facts = weighing->work->facts;
    double sums[WHY_CAUSE_COUNT] = {0};
    const char *said[WHY_CAUSE_COUNT] = {NULL};
    const char *kinds[WHY_CAUSE_COUNT] = {NULL};
    double weight = weighing->work->found.is_there ? 0.6 : 1.6;
    for (size_t i = 0; i < facts->n_alerts && i < 6; i++) {
        const struct why_alert *alert = &facts->alerts[i];
        double of_cause = weight * (alert->is_before ? 0.5 : 1);
        for (size_t c = 0; c < alert->n_causes && c < 3; c++) {
            enum why_cause cause = cause_of_text(alert->causes[c]);
            sums[cause] += of_cause;
            kinds[cause] = kinds[cause] == NULL ? alert->kind : kinds[cause];
            said[cause] = said[cause] == NULL ? alert->causes[c] : said[cause];
            of_cause /= 2.5;
        }
        weight /= 2;
    }
    for (int c = 1; c < WHY_CAUSE_COUNT; c++) {
        if (sums[c] > 0) {
            why_say(add(weighing, (enum why_cause)c, sums[c]), WHY_TEXT_BYTES,
                "rule %s: %s", kinds[c], said[c]);
        }
    }
}

/* ---- the verdict ---- */

static int compare_pieces(const void *a, const void *b)
{
    const struct why_evidence *x = a;
    const struct why_evidence *y = b;
    return (x->weight < y->weight) - (x->weight > y->weight);
}

/* Keep what speaks for the cause, then for the second, then against. */
static void keep(
    const struct weighing *weighing, struct why_verdict *verdict, enum why_cause cause)
{
    for (size_t i = 0; i < weighing->n && verdict->n_evidence < WHY_MAX_EVIDENCE; i++) {
        if (weighing->pieces[i].cause == cause && weighing->pieces[i].text[0] != '\0') {
            verdict->evidence[verdict->n_evidence++] = weighing->pieces[i];
        }
    }
}

static void decide(const struct weighing *weighing, struct why_verdict *verdict)
{
    static const char *const texts[WHY_CAUSE_COUNT] = {
        [WHY_UNKNOWN] = "what is known does not tell what is to blame",
        [WHY_DATA] = "the data are to blame",
        [WHY_OPTIMISER] =
            "what moves the weights is to blame: learning rate, clipping, decay",
        [WHY_ARCHITECTURE] = "the model or its loss meets what it cannot stand: no guard",
        [WHY_PRECISION] = "the number format is to blame: its range is too small here",
        [WHY_BUG] = "the program does not do what it should",
        [WHY_MACHINE] = "the machine or what runs beside is to blame, not the numbers"};
    double sums[WHY_CAUSE_COUNT] = {0};
    for (size_t i = 0; i < weighing->n; i++) {
        sums[weighing->pieces[i].cause] += weighing->pieces[i].weight;
    }
    int best = WHY_UNKNOWN;
    int second = WHY_UNKNOWN;
    for (int c = 1; c < WHY_CAUSE_COUNT; c++) {
        if (sums[c] > (best != 0 ? sums[best] : 0)) {
            second = best;
            best = c;
        } else if (sums[c] > (second != 0 ? sums[second] : 0)) {
            second = c;
        }
    }
    verdict->cause = (enum why_cause)best;
    verdict->second = (enum why_cause)second;
    double other = second != 0 ? sums[second] : 0;
    verdict->sureness = best != 0 ? (sums[best] - other) / (sums[best] + other + DOUBT) : 0;
    (void)snprintf(verdict->text, sizeof verdict->text, "%s", texts[best]);
    keep(weighing, verdict, verdict->cause);
    if (second != WHY_UNKNOWN) {
        keep(weighing, verdict, verdict->second);
    }
}

void why_weigh(struct why_work *work)
{
    baro_autofree struct why_evidence *pieces = baro_xcalloc(MAX_PIECES, sizeof *pieces);
    struct weighing weighing = {.work = work, .pieces = pieces};
    if (work->found.is_there && work->story->origin.is_outside) {
        weigh_outside(&weighing);
    } else if (work->is_masked) {
        weigh_masked(&weighing);
    } else if (work->found.is_there) {
        weigh_operation(&weighing);
        weigh_way(&weighing);
        weigh_credit(&weighing);
    }
    weigh_rate(&weighing);
    weigh_data(&weighing);
    weigh_first_bad(&weighing);
    weigh_samples(&weighing);
    weigh_weights(&weighing);
    weigh_rules(&weighing);
    qsort(weighing.pieces, weighing.n, sizeof *weighing.pieces, compare_pieces);
    decide(&weighing, &work->story->verdict);
    if (work->story->is_harmless) {
        struct why_verdict *verdict = &work->story->verdict;
        *verdict = (struct why_verdict){.cause = WHY_UNKNOWN, .second = WHY_UNKNOWN};
        (void)snprintf(verdict->text, sizeof verdict->text,
            "nothing came of it, so it may be meant (something masked); if it is not, the data "
            "or a layer without a guard are to blame");
    }
}

const char *why_cause_name(enum why_cause cause)
{
    static const char *const names[WHY_CAUSE_COUNT] = {
        "unknown", "data", "optimiser", "architecture", "precision", "bug", "machine"};
    return (unsigned)cause < WHY_CAUSE_COUNT ? names[cause] : "?";
}

const char *why_sureness_word(double sureness)
{
    return sureness >= SURE ? "surely" : sureness >= PROBABLE ? "probably" : "perhaps";
}
