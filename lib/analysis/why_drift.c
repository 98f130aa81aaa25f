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
 * Since when. Each series is cut behind the trouble and its course found (shift.h); where nothing
 * shows by then, the readings up to the end of the window are looked at, since a slow trouble goes
 * on after it was noticed; and where the change lies at the begin of the window, the columns of the
 * whole run. What happened is then told as beats in order of time, and each module gets a score.
 */

enum {
    MAX_DRIFT_BEATS = 4,
    MAX_ALERT_BEATS = 3,
    MAX_RANKED = 64,
    LATE = 2,
    SLOW = 16,
    RECENT = 256,
    NEAR = 4,
    LATEST =
        4 * WHY_WINDOW /* readings that are looked at first: a window may hold far more */
};

static const double TELLING_SCORE = 6; /* spreads */
static const double TELLING_RATIO = 1.5;
static const double SLOW_RATIO = 4;
static const double STILL_GOING = 0.2;
static const double EARLY_PART = 0.25; /* of the run: what begins there is how it learns, */
static const double EARLY_RATIO = 1000; /* unless it goes so far */
static const double ORIGIN_POINTS = 160;
static const double MEMBER_POINTS = 50;
static const double MEMBER_FALL =
    0.75;                              /* from one module of the causal order to the next */
static const double BEFORE_WEIGHT = 1; /* of members of an incident before */
static const double RESULT_WEIGHT = 0.3; /* of what a NaN spoils behind it */
static const double LAST_POINTS = 60;
static const double FEEDER_POINTS = 30;
static const double JUMP_POINTS = 40;
static const double SHARE_POINTS = 40;
static const double DRIFT_POINTS = 20;

/* ---- courses ---- */

static size_t count_until(const struct why_series *series, int64_t step)
{
    size_t n = series->n;
    while (n > 0 && series->steps[n - 1] > step) {
        n--;
    }
    return n;
}

static const struct why_series *coarse_of(
    const struct why_facts *facts, const struct why_series *of)
{
    for (size_t i = 0; i < facts->n_series; i++) {
        const struct why_series *series = &facts->series[i];
        if (series->is_coarse && series->thing == of->thing && series->kind == of->kind &&
            series->stat == of->stat && series->unit == of->unit) {
            return series;
        }
    }
    return NULL;
}

/* Where a course of all that is known of a series begins. */
static void read_course(struct why_work *work, const struct why_series *series)
{
    const struct why_facts *facts = work->facts;
    struct why_drift *drift = &work->drifts[work->n_drifts];
    *drift = (struct why_drift){.thing = why_thing(facts, series->thing), .series = series};
    if (drift->thing == NULL) {
        return;
    }
    size_t n = count_until(series, work->plan.step);
    const size_t skipped = n > LATEST ? n - LATEST : 0;
    (void)shift_find(
        series->steps + skipped, series->values + skipped, n - skipped, &drift->shift);
    bool is_at_begin =
        drift->shift.kind == SHIFT_STEADY ||
        (drift->shift.kind != SHIFT_NONE && drift->shift.place < (n - skipped) / 16);
    const struct why_series *past =
        is_at_begin && work->plan.wants_past ? coarse_of(facts, series) : NULL;
    if (past == NULL && is_at_begin && skipped > 0) {
        past = series;
    }
    if (past != NULL) {
        struct shift whole;
        size_t n_past = count_until(past, work->plan.step);
        if (shift_find(past->steps, past->values, n_past, &whole) &&
            whole.kind != SHIFT_NONE) {
            drift->shift = whole;
        }
    }
    if (drift->shift.kind == SHIFT_NONE && n < series->n) {
        struct shift later;
        if (shift_find(series->steps + skipped, series->values + skipped,
                series->n - skipped, &later) &&
            later.kind != SHIFT_NONE && later.kind != SHIFT_STEADY &&
            later.step + LATE >= work->plan.step) {
            drift->shift = later;
            drift->is_after = true;
        }
    }
    work->n_drifts++;
}

/* The step at which the loss shows it: by an alert, a reading that is no number, or its course. */
static void find_loss_step(struct why_work *work)
{
    const struct why_facts *facts = work->facts;
    int64_t best = INT64_MIN;
    for (size_t i = 0; i < facts->n_alerts; i++) {
        const struct why_alert *alert = &facts->alerts[i];
        const struct why_thing *thing = why_thing(facts, alert->thing);
        bool is_loss = why_is_loss_alert(alert) && thing != NULL && why_is_loss(thing);
        if (is_loss && (best == INT64_MIN || alert->step < best)) {
            best = alert->step;
        }
    }
    for (size_t i = 0; work->loss != NULL && i < work->loss->n; i++) {
        int64_t step = work->loss->steps[i];
        bool is_early = best == INT64_MIN || step < best;
        if (step >= work->plan.step && is_early && !isfinite(work->loss->values[i])) {
            best = step;
        }
    }
    work->story->loss_step = best;
}

void why_read_series(struct why_work *work)
{
    const struct why_facts *facts = work->facts;
    for (size_t i = 0; i < facts->n_series; i++) {
        const struct why_series *series = &facts->series[i];
        const struct why_thing *thing = why_thing(facts, series->thing);
        if (!series->is_coarse && series->unit < 0 && work->loss == NULL && thing != NULL &&
            why_is_loss(thing)) {
            work->loss = series;
        }
        if (!series->is_coarse && work->n_drifts < WHY_MAX_WANTS) {
            read_course(work, series);
        }
    }
    find_loss_step(work);
}

const struct why_drift *why_setting_drift(const struct why_work *work)
{
    for (size_t i = 0; i < work->n_drifts; i++) {
        const struct why_drift *drift = &work->drifts[i];
        if (drift->thing != NULL && drift->thing->role == 0 &&
            judge_meaning_of(drift->thing->name) == JUDGE_LR &&
            drift->shift.kind != SHIFT_NONE) {
            return drift;
        }
    }
    return NULL;
}

/* ---- beats ---- */

static double ratio_of(const struct shift *shift)
{
    double low = fmin(fabs(shift->before), fabs(shift->after));
    double high = fmax(fabs(shift->before), fabs(shift->after));
    return low > 0 ? high / low : high > 0 ? 1e6 : 1;
}

/* Whether a drift can be a cause, or a sign before the trouble, and not its result. */
static bool is_in_time(const struct why_work *work, const struct why_drift *drift)
{
    int64_t late = drift->shift.step - work->plan.step;
    enum baro_role role = (enum baro_role)drift->thing->role;
    bool is_behind = role == BARO_WEIGHT || role == BARO_UPDATE || role == BARO_OPT ||
                     role == BARO_GRAD || role == BARO_ACT_GRAD;
    bool is_slow = drift->shift.kind == SHIFT_RAMP;
    return late <= (is_slow ? SLOW : 1) && !(is_behind && late >= 0 && work->is_nonfinite);
}

/* Whether it was still under way, or had just come, when the trouble showed: what came to rest long
 * before is how this training goes. */
static bool is_fresh(const struct why_work *work, const struct why_drift *drift)
{
    const struct shift *shift = &drift->shift;
    const struct why_facts *facts = work->facts;
    char module[WHY_NAME_BYTES];
    double since_begin = (double)(shift->step - facts->run.first_step);
    double whole = (double)(work->plan.step - facts->run.first_step);
    bool is_operand =
        work->found.is_there && why_is_module(why_module_of(drift->thing, module),
                                    why_value_module(facts->failure, work->found.value));
    if (!is_operand && shift->kind == SHIFT_RAMP && since_begin < EARLY_PART * whole &&
        ratio_of(shift) < EARLY_RATIO) {
        return false;
    }
    return shift->kind == SHIFT_LEVEL ? work->plan.step - shift->step <= RECENT
                                      : shift->late >= STILL_GOING;
}

static bool is_telling(const struct why_work *work, const struct why_drift *drift)
{
    bool is_slow = drift->shift.kind == SHIFT_STEADY || drift->shift.kind == SHIFT_RAMP;
    double ratio = is_slow ? SLOW_RATIO : TELLING_RATIO;
    return drift->thing != NULL && drift->shift.kind != SHIFT_NONE &&
           drift->shift.score >= TELLING_SCORE && ratio_of(&drift->shift) >= ratio &&
           is_in_time(work, drift) && is_fresh(work, drift);
}

const char *why_stat_words(const struct why_series *series)
{
    bool is_unit = series->kind == READING_UNITS;
    if (series->kind != READING_SUMMARY && !is_unit) {
        return "";
    }
    int stat = series->stat;
    return stat == (is_unit ? (int)UNIT_ABS_MAX : (int)SUMMARY_ABS_MAX)
               ? ", its largest size,"
           : stat == (is_unit ? (int)UNIT_L2 : (int)SUMMARY_L2) ? ", its norm,"
           : !is_unit && stat == SUMMARY_VAR                    ? ", its variance,"
                                                                : "";
}

static void say_drift(
    const struct why_work *work, const struct why_drift *drift, char *text)
{
    const struct shift *shift = &drift->shift;
    const struct why_series *series = drift->series;
    char label[WHY_NAME_BYTES];
    char step[32];
    (void)why_step(shift->step, step);
    why_say(text, WHY_TEXT_BYTES, "%s", why_label(drift->thing, series->unit, label));
    why_say(text, WHY_TEXT_BYTES, "%s", why_stat_words(series));
    static const char *const how[SHIFT_KIND_END] = {[SHIFT_NONE] = "is as it was",
        [SHIFT_STEADY] = "has been going one way",
        [SHIFT_LEVEL] = "went to another level",
        [SHIFT_RAMP] = "drifted",
        [SHIFT_LEAP] = "leapt"};
    why_say(text, WHY_TEXT_BYTES, " %s %s step %s: from %.4g to %.4g", how[shift->kind],
        shift->kind == SHIFT_LEAP || shift->kind == SHIFT_LEVEL ? "at" : "since", step,
        shift->before, shift->after);
    int64_t lead =
        work->story->loss_step != INT64_MIN ? work->story->loss_step - shift->step : 0;
    if (lead > 0 && drift->series != work->loss) {
        why_say(text, WHY_TEXT_BYTES, ", %s step%s before the loss showed it",
            why_step(lead, step), lead == 1 ? "" : "s");
    }
    text[0] = (char)(text[0] >= 'a' && text[0] <= 'z' && strncmp(text, "the ", 4) == 0
                         ? text[0] - 'a' + 'A'
                         : text[0]);
}

static struct why_beat *add_beat(
    struct why_work *work, enum why_beat_kind kind, int64_t step)
{
    struct why_story *story = work->story;
    if (story->n_beats == WHY_MAX_BEATS) {
        return NULL;
    }
    struct why_beat *beat = &story->beats[story->n_beats++];
    *beat = (struct why_beat){.kind = kind,
        .step = step,
        .lead = story->loss_step != INT64_MIN ? story->loss_step - step : INT64_MIN,
        .series = {.unit = -1}};
    return beat;
}

static void tell_drift(
    struct why_work *work, const struct why_drift *drift, enum why_beat_kind kind)
{
    struct why_beat *beat = add_beat(work, kind, drift->shift.step);
    if (beat == NULL) {
        return;
    }
    const struct why_series *series = drift->series;
    beat->series =
        (struct why_want){series->thing, series->kind, series->stat, series->unit};
    beat->shift = drift->shift;
    (void)why_label(drift->thing, series->unit, beat->title);
    say_drift(work, drift, beat->text);
}

/* How much a drift has to say: early, and far. */
static double worth_of(const struct why_work *work, const struct why_drift *drift)
{
    double lead = (double)(work->plan.step - drift->shift.step);
    double early = lead > 0 ? log2(1 + lead) : lead < 0 ? -2 : 0;
    double far = log2(ratio_of(&drift->shift)) + log2(drift->shift.score) / 2;
    bool is_role = drift->thing->role == BARO_ACT || drift->thing->role == BARO_WEIGHT ||
                   drift->thing->role == BARO_INPUT;
    bool is_grad = drift->thing->role == BARO_GRAD || drift->thing->role == BARO_ACT_GRAD;
    bool is_unit = drift->series->unit >= 0;
    bool is_leap = drift->shift.kind == SHIFT_LEAP;
    return fmin(early, 5) + fmin(far, 12) + (is_leap ? 3 : 0) +
           (is_role      ? 2
               : is_grad ? -2
                         : 0) +
           (is_unit ? 1 : 0);
}

/* The drifts that say most, each of another thing. */
static void tell_drifts(struct why_work *work)
{
    bool is_told[WHY_MAX_WANTS] = {false};
    for (int n = 0; n < MAX_DRIFT_BEATS - work->found.is_there; n++) {
        size_t best = work->n_drifts;
        for (size_t i = 0; i < work->n_drifts; i++) {
            const struct why_drift *drift = &work->drifts[i];
            if (is_told[i] || drift->thing == NULL || drift->thing->role == 0 ||
                !is_telling(work, drift)) {
                continue;
            }
            if (best == work->n_drifts ||
                worth_of(work, drift) > worth_of(work, &work->drifts[best])) {
                best = i;
            }
        }
        if (best == work->n_drifts) {
            return;
        }
        tell_drift(work, &work->drifts[best], WHY_BEAT_DRIFT);
        for (size_t i = 0; i < work->n_drifts; i++) {
            is_told[i] = is_told[i] || work->drifts[i].thing == work->drifts[best].thing;
        }
    }
}

/* Whether a rule looks at single numbers: what else is said of a step with NaN is its result. */
static bool is_about_numbers(const char *kind)
{
    return strcmp(kind, "nonfinite") == 0 || strcmp(kind, "overflow") == 0;
}

/* Whether a drift that is told already says what the alert says. */
static bool is_told_by_drift(const struct why_work *work, const struct why_alert *alert)
{
    if (is_about_numbers(alert->kind)) {
        return false;
    }
    for (size_t i = 0; i < work->story->n_beats; i++) {
        const struct why_beat *beat = &work->story->beats[i];
        int64_t apart = beat->step - alert->step;
        bool is_drift = beat->kind == WHY_BEAT_DRIFT || beat->kind == WHY_BEAT_SETTING;
        if (is_drift && alert->thing != 0 && beat->series.thing == alert->thing &&
            apart <= NEAR && apart >= -NEAR) {
            return true;
        }
    }
    return false;
}

/* Whether it is about something that is computed after the loss. */
static bool is_of_gradients(const struct why_alert *alert)
{
    return alert->role == BARO_GRAD || alert->role == BARO_ACT_GRAD ||
           alert->role == BARO_UPDATE || alert->role == BARO_WEIGHT ||
           alert->role == BARO_OPT;
}

static void tell_alerts(struct why_work *work)
{
    const struct why_facts *facts = work->facts;
    const char *kinds[MAX_ALERT_BEATS] = {NULL};
    int n = 0;
    for (size_t i = 0; i < facts->n_alerts && n < MAX_ALERT_BEATS; i++) {
        const struct why_alert *alert = &facts->alerts[i];
        bool is_known = false;
        for (int k = 0; k < n; k++) {
            is_known = is_known || strcmp(kinds[k], alert->kind) == 0;
        }
        bool is_result =
            work->is_nonfinite &&
            (alert->step > work->plan.step ||
                (alert->step == work->plan.step && !is_about_numbers(alert->kind)));
        if (is_known || is_result || alert->level < BARO_WATCH ||
            (why_is_loss_alert(alert) &&
                (i > 0 || alert->step == work->story->loss_step)) ||
            is_told_by_drift(work, alert)) {
            continue;
        }
        kinds[n++] = alert->kind;
        struct why_beat *beat = add_beat(work, WHY_BEAT_ALERT, alert->step);
        if (beat == NULL) {
            return;
        }
        beat->is_result = work->found.is_there && alert->step == work->plan.step &&
                          (is_of_gradients(alert) || strcmp(alert->kind, "nonfinite") == 0);
        const struct why_thing *thing = why_thing(facts, alert->thing);
        for (size_t w = 0; thing != NULL && w < work->plan.n_wants; w++) {
            const struct why_want *want = &work->plan.wants[w];
            if (want->thing == thing->id &&
                (beat->series.thing == 0 ||
                    (want->unit == alert->unit && alert->unit >= 0))) {
                beat->series = *want;
            }
        }
        (void)snprintf(beat->title, sizeof beat->title, "%s%s%s", alert->kind,
            alert->name[0] != '\0' ? ": " : "", alert->name);
        (void)snprintf(beat->text, sizeof beat->text, "%s", alert->text);
    }
}

static void tell_origin(struct why_work *work)
{
    const struct why_origin *origin = &work->story->origin;
    if (!work->found.is_there) {
        return;
    }
    struct why_beat *beat = add_beat(work, WHY_BEAT_ORIGIN, work->plan.step);
    if (beat == NULL) {
        return;
    }
    char place[WHY_NAME_BYTES];
    const bool has_place = origin->module[0] != '\0' || origin->op[0] != '\0';
    why_say(beat->title, sizeof beat->title, "%s%s%s",
        origin->op[0] != '\0' ? origin->op + strspn(origin->op, "_") : origin->tensor,
        has_place ? " in " : "", has_place ? why_place(origin->module, place) : "");
    (void)snprintf(beat->text, sizeof beat->text, "%s", origin->cause);
}

static void tell_loss(struct why_work *work)
{
    const struct why_story *story = work->story;
    if (story->loss_step == INT64_MIN) {
        return;
    }
    struct why_beat *beat = add_beat(work, WHY_BEAT_LOSS, story->loss_step);
    if (beat == NULL) {
        return;
    }
    double value = (double)NAN;
    for (size_t i = 0; work->loss != NULL && i < work->loss->n; i++) {
        value = work->loss->steps[i] == story->loss_step ? work->loss->values[i] : value;
    }
    if (work->loss != NULL) {
        beat->series = (struct why_want){work->loss->thing, READING_SCALAR, 0, -1};
    }
    (void)snprintf(beat->title, sizeof beat->title, "loss");
    why_say(beat->text, sizeof beat->text, "The loss shows it: ");
    if (isfinite(value)) {
        why_say(beat->text, sizeof beat->text, "%.4g", value);
    } else {
        why_say(beat->text, sizeof beat->text, "%s",
            isnan(value) ? "NaN"
            : value > 0  ? "+Inf"
                         : "-Inf");
    }
}

static int compare_beats(const void *a, const void *b)
{
    const struct why_beat *x = a;
    const struct why_beat *y = b;
    if (x->step != y->step) {
        return x->step > y->step ? 1 : -1;
    }
    return x->is_result != y->is_result ? (x->is_result ? 1 : -1)
                                        : (x->kind > y->kind) - (x->kind < y->kind);
}

/* What the tensor before the operation did whenever the bad sample was there. */
static void tell_sample(struct why_work *work)
{
    const struct why_story *story = work->story;
    const struct why_sample *sample = &story->samples[0];
    const struct why_thing *thing = why_thing(work->facts, sample->thing);
    if (story->n_samples == 0 || !sample->has_course || thing == NULL) {
        return;
    }
    struct why_beat *beat = add_beat(work, WHY_BEAT_DRIFT, sample->first_step);
    if (beat == NULL) {
        return;
    }
    char step[32];
    char label[WHY_NAME_BYTES];
    (void)why_label(thing, -1, label);
    beat->series = (struct why_want){thing->id, READING_SUMMARY, SUMMARY_ABS_MAX, -1};
    (void)snprintf(beat->title, sizeof beat->title, "%s", label);
    why_say(beat->text, sizeof beat->text,
        "Whenever sample %" PRId64
        " is in the batch, the largest size of %s is far out: %.4g at "
        "step %s",
        sample->sample, label, sample->first, why_step(sample->first_step, step));
    why_say(beat->text, sizeof beat->text, ", %.4g at step %s; without it %.3g is usual",
        sample->last, why_step(sample->last_step, step), sample->without);
}

void why_tell_beats(struct why_work *work)
{
    const struct why_drift *setting = why_setting_drift(work);
    if (setting != NULL && is_telling(work, setting)) {
        tell_drift(work, setting, WHY_BEAT_SETTING);
    }
    tell_sample(work);
    tell_origin(work);
    tell_loss(work);
    tell_drifts(work);
    tell_alerts(work);
    qsort(work->story->beats, work->story->n_beats, sizeof *work->story->beats,
        compare_beats);
}

/* ---- suspects ---- */

/* Modules with their scores. */
struct ranking {
    struct why_suspect list[MAX_RANKED];
    size_t n;
};

static struct why_suspect *rank(struct ranking *ranking, const char *module, double points)
{
    for (size_t i = 0; i < ranking->n; i++) {
        if (why_is_module(ranking->list[i].module, module)) {
            ranking->list[i].score += points;
            return &ranking->list[i];
        }
    }
    if (module[0] == '\0' || ranking->n == MAX_RANKED) {
        return NULL;
    }
    struct why_suspect *suspect = &ranking->list[ranking->n++];
    *suspect = (struct why_suspect){.unit = -1, .step = INT64_MAX, .score = points};
    (void)snprintf(suspect->module, sizeof suspect->module, "%s", module);
    return suspect;
}

static void note(struct why_suspect *suspect, int64_t step, int64_t unit, const char *text)
{
    if (suspect == NULL) {
        return;
    }
    suspect->step = step < suspect->step ? step : suspect->step;
    suspect->unit = suspect->unit < 0 ? unit : suspect->unit;
    if (suspect->text[0] == '\0') {
        (void)snprintf(suspect->text, sizeof suspect->text, "%s", text);
    }
}

/* What failed in no module belongs to what is computed last, or takes from it. */
static void rank_last(const struct why_work *work, struct ranking *ranking)
{
    const struct why_facts *facts = work->facts;
    const struct why_thing *last = NULL;
    for (size_t i = 0; i < facts->n_things; i++) {
        bool is_output = facts->things[i].role == BARO_ACT && facts->things[i].rank == 0;
        last = is_output && !judge_is_eval_name(facts->things[i].name) ? &facts->things[i]
                                                                       : last;
    }
    char module[WHY_NAME_BYTES];
    if (last != NULL) {
        note(rank(ranking, why_module_of(last, module), LAST_POINTS), work->story->step, -1,
            "It is computed last before the loss, in which it failed.");
    }
}

static void rank_origin(const struct why_work *work, struct ranking *ranking)
{
    const struct why_story *story = work->story;
    const struct why_origin *origin = &story->origin;
    if (!work->found.is_there) {
        return;
    }
    note(rank(ranking, origin->module, ORIGIN_POINTS), story->step,
        origin->n_units > 0 ? origin->units[0] : -1, origin->cause);
    if (origin->module[0] == '\0' && !origin->is_outside) {
        rank_last(work, ranking);
    }
    const struct probe *probe = work->facts->failure;
    const char *feeder = why_value_module(probe, work->found.value);
    bool is_loss = origin->module[0] == '\0' && !origin->is_outside;
    note(rank(ranking, feeder, is_loss ? ORIGIN_POINTS : FEEDER_POINTS), story->step, -1,
        "It gave the operand that broke the operation.");
    for (size_t i = 0; i < story->n_hops; i++) {
        const struct why_hop *hop = &story->hops[i];
        double points = (int)i == work->found.jump ? JUMP_POINTS : 0;
        points += isfinite(hop->share) ? SHARE_POINTS * fmin(fabs(hop->share), 1) : 0;
        if (points > 0) {
            bool is_data =
                hop->op == PROBE_NONE && probe->values[hop->value].kind == PROBE_INPUT;
            note(rank(ranking, is_data ? "input" : hop->module, points), story->step, -1,
                hop->text);
        }
    }
}

static void rank_members(const struct why_work *work, struct ranking *ranking)
{
    const struct why_facts *facts = work->facts;
    double points = MEMBER_POINTS;
    for (size_t i = 0; i < facts->n_alerts; i++) {
        const struct why_alert *alert = &facts->alerts[i];
        if (alert->module[0] == '\0') {
            continue;
        }
        char module[WHY_NAME_BYTES];
        (void)snprintf(module, sizeof module, "%s", alert->module);
        module[strcspn(module, "#")] = '\0';
        size_t n_before = ranking->n;
        bool is_result = work->is_nonfinite && i > 0 && alert->step >= work->plan.step &&
                         alert->role != BARO_ACT && alert->role != BARO_INPUT;
        struct why_suspect *suspect = rank(ranking, module, 0);
        bool is_new = ranking->n > n_before || (suspect != NULL && suspect->score < points);
        if (suspect != NULL && is_new) {
            suspect->score += points * (alert->is_before ? BEFORE_WEIGHT : 1) *
                              (is_result ? RESULT_WEIGHT : 1);
            points *= MEMBER_FALL;
        }
        note(suspect, alert->step, alert->unit, alert->text);
    }
}

static void rank_drifts(const struct why_work *work, struct ranking *ranking)
{
    for (size_t i = 0; i < work->n_drifts; i++) {
        const struct why_drift *drift = &work->drifts[i];
        if (!is_telling(work, drift) || drift->thing->role == 0 || drift->is_after) {
            continue;
        }
        char module[WHY_NAME_BYTES];
        char text[WHY_TEXT_BYTES] = "";
        say_drift(work, drift, text);
        double points = fmin(DRIFT_POINTS, 1.5 * worth_of(work, drift));
        note(
            rank(ranking, why_module_of(drift->thing, module), points > 0 ? points / 4 : 0),
            drift->shift.step, drift->series->unit, text);
    }
}

static int compare_suspects(const void *a, const void *b)
{
    const struct why_suspect *x = a;
    const struct why_suspect *y = b;
    if (fabs(x->score - y->score) > 1e-9) {
        return x->score < y->score ? 1 : -1;
    }
    return strcmp(x->module, y->module);
}

void why_rank_suspects(struct why_work *work)
{
    baro_autofree struct ranking *ranking = baro_xcalloc(1, sizeof *ranking);
    rank_origin(work, ranking);
    rank_members(work, ranking);
    rank_drifts(work, ranking);
    qsort(ranking->list, ranking->n, sizeof *ranking->list, compare_suspects);
    size_t n = ranking->n < WHY_MAX_SUSPECTS ? ranking->n : WHY_MAX_SUSPECTS;
    memcpy(work->story->suspects, ranking->list, n * sizeof *ranking->list);
    work->story->n_suspects = n;
}
