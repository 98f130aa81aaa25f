/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/alarm/alarm_inside.h"
#include "lib/base/mem.h"
#include "lib/base/tensor.h"

/* ---- strings of messages ---- */

static char **make_texts(size_t n)
{
    return baro_xcalloc(n > 0 ? n : 1, sizeof(char *));
}

static Baro__Evidence *make_evidence(const struct judge_evidence *piece, const char *text)
{
    Baro__Evidence *evidence = baro_xcalloc(1, sizeof *evidence);
    baro__evidence__init(evidence);
    evidence->series = baro_xcalloc(1, sizeof *evidence->series);
    baro__series_ref__init(evidence->series);
    evidence->series->thing = piece->thing;
    evidence->series->kind = (uint32_t)piece->kind;
    evidence->series->stat = piece->stat > 0 ? (uint32_t)piece->stat : 0;
    bool has_unit = piece->unit >= 0 && piece->unit <= INT32_MAX;
    evidence->series->unit = has_unit                       ? (int32_t)piece->unit
                             : piece->kind == READING_UNITS ? -1
                                                            : 0;
    evidence->from_step =
        piece->from_step < 0 && piece->to_step >= 0 ? 0 : piece->from_step;
    evidence->to_step = piece->to_step;
    evidence->text = baro_xstrdup(text != NULL ? text : "");
    return evidence;
}

/* ---- alerts ---- */

Baro__Alert *alarm_make_alert(const struct judge_finding *finding, const char *kind,
    const struct alarm_thing *about, uint32_t rank, uint64_t id)
{
    Baro__Alert *alert = baro_xcalloc(1, sizeof *alert);
    baro__alert__init(alert);
    alert->id = id;
    alert->step = finding->step;
    alert->noticed_step = finding->noticed_step;
    alert->time_ns = finding->time_ns;
    alert->kind = baro_xstrdup(kind);
    alert->level = (uint32_t)finding->level;
    alert->thing = finding->thing;
    alert->rank = rank;
    alert->tensor = baro_xstrdup(about->name != NULL ? about->name : "");
    alert->module = baro_xstrdup(about->module != NULL ? about->module : "");
    alert->role =
        baro_xstrdup(about->role != 0 ? baro_role_name((enum baro_role)about->role) : "");
    alert->unit = finding->unit;
    alert->row = finding->row;
    alert->text = baro_xstrdup(finding->text);
    alert->advice = baro_xstrdup(finding->advice != NULL ? finding->advice : "");
    alert->value = finding->value;
    alert->usual = finding->usual;
    alert->score = finding->score;
    alert->n_units = finding->n_units;
    alert->has_sample = finding->has_sample;
    alert->batch_size = finding->batch_size;
    if (finding->n_samples > 0) {
        alert->samples = baro_xcalloc(finding->n_samples, sizeof *alert->samples);
        memcpy(
            alert->samples, finding->samples, finding->n_samples * sizeof *alert->samples);
        alert->n_samples = finding->n_samples;
    }
    alert->causes = make_texts(JUDGE_MAX_CAUSES);
    for (size_t i = 0; i < JUDGE_MAX_CAUSES; i++) {
        if (finding->causes[i] == JUDGE_CAUSE_NONE) {
            break;
        }
        alert->causes[alert->n_causes++] =
            baro_xstrdup(judge_cause_text(finding->causes[i]));
    }
    alert->evidence = baro_xcalloc(JUDGE_MAX_EVIDENCE, sizeof(Baro__Evidence *));
    for (size_t i = 0; i < finding->n_evidence && i < JUDGE_MAX_EVIDENCE; i++) {
        alert->evidence[alert->n_evidence++] =
            make_evidence(&finding->evidence[i], finding->evidence[i].text);
    }
    return alert;
}

/* A rule's name in words: "loss_spike" is "loss spike". */
static const char *title_of(const char *kind)
{
    static const struct {
        const char *kind;
        const char *title;
    } titles[] = {
        {"nonfinite", "NaN or infinity"},
        {"ranks_differ", "ranks that differ"},
        {"lr_jump", "a learning-rate jump"},
        {"grad_explosion", "gradient explosion"},
        {"update_size", "updates of a wrong size"},
        {"overflow", "numbers near overflow"},
        {"input_data", "unsound input"},
        {"eval_mode", "the wrong mode"},
        {"second_moment", "gradients beyond the optimiser's memory"},
        {"gradient_depth", "gradients that change with depth"},
        {"loss_scale_collapse", "loss-scale collapse"},
        {"repeated_batch", "repeated batches"},
        {"throughput", "slower steps"},
        {"norm_drift", "drifting size"},
    };
    for (size_t i = 0; i < BARO_LEN(titles); i++) {
        if (strcmp(titles[i].kind, kind) == 0) {
            return titles[i].title;
        }
    }
    return kind;
}

/* What an incident is to know of an alert, but for causes and evidence. */
static void describe(const Baro__Alert *alert, struct incident_alert *out)
{
    enum baro_role role = alert->role[0] != '\0' ? baro_role_parse(alert->role) : 0;
    *out = (struct incident_alert){
        .id = alert->id,
        .kind = alert->kind,
        .title = title_of(alert->kind),
        .level = alert->level,
        .step = alert->step,
        .time_ns = alert->time_ns,
        .thing = alert->thing,
        .rank = alert->rank,
        .name = alert->tensor,
        .module = alert->module,
        .role = (uint32_t)role,
        .unit = alert->unit,
        .value = alert->value,
        .usual = alert->usual,
        .text = alert->text,
        .advice = alert->advice,
    };
}

void alarm_describe(const Baro__Alert *alert, const struct judge_finding *finding,
    struct incident_alert *out)
{
    describe(alert, out);
    memcpy(out->causes, finding->causes, sizeof out->causes);
    out->evidence = finding->evidence;
    out->n_evidence = finding->n_evidence;
    out->goes_on = finding->goes_on;
}

static enum judge_cause cause_of(const char *text)
{
    for (int i = 1; i < JUDGE_CAUSE_COUNT; i++) {
        if (strcmp(judge_cause_text((enum judge_cause)i), text) == 0) {
            return (enum judge_cause)i;
        }
    }
    return JUDGE_CAUSE_NONE;
}

void alarm_recall_alert(const Baro__Alert *alert, struct incident_alert *out,
    struct judge_evidence *out_evidence)
{
    describe(alert, out);
    size_t n = 0;
    for (size_t i = 0; i < alert->n_causes && n < JUDGE_MAX_CAUSES; i++) {
        enum judge_cause cause = cause_of(alert->causes[i]);
        if (cause != JUDGE_CAUSE_NONE) {
            out->causes[n++] = cause;
        }
    }
    if (alert->n_evidence > 0 && alert->evidence[0]->series != NULL) {
        const Baro__Evidence *evidence = alert->evidence[0];
        *out_evidence = (struct judge_evidence){
            .thing = evidence->series->thing,
            .kind = (enum reading_kind)evidence->series->kind,
            .stat = (int)evidence->series->stat,
            .unit = evidence->series->unit,
            .from_step = evidence->from_step,
            .to_step = evidence->to_step,
            .text = evidence->text,
        };
        out->evidence = out_evidence;
        out->n_evidence = 1;
    }
}

/* ---- incidents ---- */

static void copy_texts(
    char ***out, size_t *out_n, const char (*texts)[INCIDENT_TEXT_BYTES], size_t n)
{
    *out = make_texts(n);
    *out_n = n;
    for (size_t i = 0; i < n; i++) {
        (*out)[i] = baro_xstrdup(texts[i]);
    }
}

Baro__Incident *alarm_make_incident(const struct incident *from)
{
    Baro__Incident *incident = baro_xcalloc(1, sizeof *incident);
    baro__incident__init(incident);
    incident->id = from->id;
    incident->kind = baro_xstrdup(from->members[0].kind);
    incident->level = from->level;
    incident->first_step = from->first_step;
    incident->last_step = from->last_step;
    incident->time_ns = from->time_ns;
    incident->is_open = from->is_open;
    incident->headline = baro_xstrdup(from->headline);
    incident->alerts = baro_xcalloc(from->n_members, sizeof *incident->alerts);
    incident->n_alerts = from->n_members;
    for (size_t i = 0; i < from->n_members; i++) {
        incident->alerts[i] = from->members[i].id;
    }
    copy_texts(&incident->causes, &incident->n_causes, from->causes, from->n_causes);
    copy_texts(&incident->advice, &incident->n_advice, from->advice, from->n_advice);
    incident->evidence =
        baro_xcalloc(from->n_evidence > 0 ? from->n_evidence : 1, sizeof(Baro__Evidence *));
    for (size_t i = 0; i < from->n_evidence; i++) {
        incident->evidence[incident->n_evidence++] =
            make_evidence(&from->evidence[i].piece, from->evidence[i].text);
    }
    incident->n_more = from->n_more;
    return incident;
}
