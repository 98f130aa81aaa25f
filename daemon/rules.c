/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/rules.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "daemon/alert_text.h"
#include "daemon/attention.h"
#include "daemon/live.h"
#include "lib/analysis/detect.h"
#include "lib/analysis/detect_ranks.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define LOG_MODULE "rules"

/*
 * Rules see every new record once: a record that is sent again is skipped before it gets here,
 * and an alert is committed together with the record that caused it. So neither a resend nor a
 * restart tells anything twice. An alert whose batch is not known yet is stored at once, told to
 * subscribers when the batch has come (or will not come), and then stored again.
 */

enum { MAX_ALERTS = 1000, MAX_ALERT_SAMPLES = 64 };

bool rules_is_nonfinite(const struct reading *reading)
{
    if (reading->header.kind == READING_SCALAR) {
        return !isfinite(reading->f64[0]);
    }
    return reading->header.kind == READING_SUMMARY &&
           (reading->f64[SUMMARY_N_NAN] > 0 || reading->f64[SUMMARY_N_POS_INF] > 0 ||
               reading->f64[SUMMARY_N_NEG_INF] > 0);
}

/* A count that came as a double from a client. */
static uint64_t to_count(double value)
{
    return value >= 1 ? (value < 1e18 ? (uint64_t)value : (uint64_t)1e18) : 0;
}

/* An index that came as a double; -1 when it is none. */
static int64_t to_index(double value)
{
    return value >= 0 && value < 1e15 ? (int64_t)value : -1;
}

static struct nonfinite_reading to_nonfinite(
    const struct thing *thing, const struct reading *reading)
{
    struct nonfinite_reading out = {
        .thing = thing->id,
        .step = reading->header.step,
        .time_ns = reading->header.time_ns,
        .count = 1,
        .unit = -1,
        .row = -1,
        .is_loss = thing->is_loss,
        .is_weight = thing->declare->is_tensor && thing->declare->role == BARO_WEIGHT,
        .is_backward =
            thing->declare->is_tensor &&
            (thing->declare->role == BARO_GRAD || thing->declare->role == BARO_ACT_GRAD),
    };
    const double *f64 = reading->f64;
    if (reading->header.kind == READING_SCALAR) {
        out.n_nan = isnan(f64[0]) ? 1 : 0;
        out.n_pos_inf = isinf(f64[0]) && f64[0] > 0 ? 1 : 0;
        out.n_neg_inf = isinf(f64[0]) && f64[0] < 0 ? 1 : 0;
        return out;
    }
    out.count = to_count(f64[SUMMARY_COUNT]);
    out.n_nan = to_count(f64[SUMMARY_N_NAN]);
    out.n_pos_inf = to_count(f64[SUMMARY_N_POS_INF]);
    out.n_neg_inf = to_count(f64[SUMMARY_N_NEG_INF]);
    out.unit = to_index(f64[SUMMARY_FIRST_BAD_UNIT]);
    out.row = to_index(f64[SUMMARY_FIRST_BAD_ROW]);
    return out;
}

/* Make an alert about a thing with all that does not depend on its kind. */
static Baro__Alert *make_alert(
    const struct stream *stream, const struct thing *thing, const struct reading *reading)
{
    Baro__Alert *alert = baro_xcalloc(1, sizeof *alert);
    baro__alert__init(alert);
    alert->step = reading->header.step;
    alert->time_ns = reading->header.time_ns;
    alert->thing = thing->id;
    alert->rank = stream->hello->rank;
    alert->tensor = baro_xstrdup(thing->declare->name);
    alert->module = alert_module(thing->declare);
    alert->role = baro_xstrdup(thing->declare->is_tensor
                                   ? baro_role_name((enum baro_role)thing->declare->role)
                                   : "");
    alert->unit = -1;
    alert->row = -1;
    return alert;
}

/* Keep an alert and write it beside its cause; false, and freed, when there are too many. */
static bool keep(struct barod *barod, struct run *run, Baro__Alert *alert)
{
    if (run->n_alerts >= MAX_ALERTS) {
        count(&barod->counters, COUNT_ALERTS_WITHHELD, 1);
        baro__alert__free_unpacked(alert, NULL);
        return false;
    }
    registry_add_alert(&barod->registry, run, alert);
    registry_save_alert(barod->open, run, alert);
    barod_open_bundle(barod);
    count(&barod->counters, COUNT_ALERTS, 1);
    return true;
}

static void tell(struct barod *barod, const Baro__Alert *alert)
{
    log_info("alert run=%" PRIu32 " step=%" PRId64 " kind=%s: %s", alert->run, alert->step,
        alert->kind, alert->text);
    live_alert(barod, alert);
}

/* ---- non-finite values ---- */

static void begin_nonfinite(struct barod *barod, struct stream *stream,
    const struct thing *thing, const struct reading *reading,
    const struct nonfinite_finding *finding)
{
    struct run *run = stream->run;
    if (finding->is_new_incident) {
        nonfinite_name(stream->nonfinite, run->n_incidents + 1);
    }
    Baro__Alert *alert = make_alert(stream, thing, reading);
    alert->kind = baro_xstrdup("nonfinite");
    alert->level = BARO_ALARM;
    alert->incident = nonfinite_incident(stream->nonfinite);
    bool is_whole =
        alert_is_whole(&finding->reading); /* then no unit and no row is to blame */
    alert->unit = is_whole ? -1 : finding->reading.unit;
    alert->row = is_whole ? -1 : finding->reading.row;
    alert->value = finding->reading.n_nan > 0       ? (double)NAN
                   : finding->reading.n_pos_inf > 0 ? (double)INFINITY
                                                    : -(double)INFINITY;
    alert_write_nonfinite(alert, finding, thing->declare);
    if (keep(barod, run, alert)) {
        attention_on_alert(stream, thing);
        nonfinite_tag(stream->nonfinite, finding->news, alert->id);
        stream->waiting_ns = barod->now_ns;
    }
}

/* How many rows a tensor had when it was read, by its declared shape; 0 when that cannot be. */
static uint64_t count_rows(const Baro__Declare *declare, uint64_t count)
{
    uint64_t per_row = 1;
    for (size_t d = 1; d < declare->n_shape; d++) {
        if (__builtin_mul_overflow(per_row, (uint64_t)declare->shape[d], &per_row)) {
            return 0;
        }
    }
    return per_row > 0 && count % per_row == 0 ? count / per_row : 0;
}

/*
 * Tell whether the row of a tensor is the row of the batch: its first axis is the whole batch,
 * not a part of it (gradient accumulation) nor batch and time in one. Where another axis changes
 * its length the rows cannot be counted; then the declared ones must be those of a full batch.
 */
static bool is_batch_row(const struct stream *stream, const Baro__Declare *declare,
    const struct nonfinite_finding *finding)
{
    bool has_batch_axis = declare->role == BARO_ACT || declare->role == BARO_ACT_GRAD ||
                          declare->role == BARO_INPUT;
    if (!declare->is_tensor || !has_batch_axis || declare->n_shape == 0 ||
        finding->reading.row < 0) {
        return false;
    }
    if (alert_is_whole(&finding->reading) && finding->batch_size != 1) {
        return false; /* all rows are bad, not the first alone */
    }
    return count_rows(declare, finding->reading.count) == finding->batch_size ||
           (uint64_t)declare->shape[0] == stream->most_batch;
}

static void add_samples(
    struct stream *stream, Baro__Alert *alert, const struct nonfinite_finding *finding)
{
    const struct thing *thing = registry_thing(stream->run, alert->thing);
    alert->batch_size = finding->batch_size;
    if (finding->n_samples == 0 || thing == NULL) {
        return;
    }
    int64_t row = finding->reading.row;
    alert->has_sample = !finding->began_in_loss &&
                        is_batch_row(stream, thing->declare, finding) &&
                        (uint64_t)row < finding->n_samples;
    alert->row = alert->has_sample ? row : alert->row;
    size_t n = alert->has_sample ? 1 : finding->n_samples;
    n = n < MAX_ALERT_SAMPLES ? n : MAX_ALERT_SAMPLES;
    const int64_t *from = alert->has_sample ? finding->samples + row : finding->samples;
    alert->samples = baro_xcalloc(n, sizeof *alert->samples);
    memcpy(alert->samples, from, n * sizeof *alert->samples);
    alert->n_samples = n;
}

/* Complete and tell the alerts of a stream that need not wait any longer. */
static void end_nonfinite(struct barod *barod, struct stream *stream, bool is_final)
{
    struct nonfinite_finding finding;
    while (nonfinite_take(stream->nonfinite, is_final, &finding)) {
        struct run *run = stream->run;
        if (finding.tag == 0 || finding.tag > run->n_alerts) {
            continue; /* it was one too many to keep */
        }
        Baro__Alert *alert = run->alerts[finding.tag - 1];
        const struct thing *thing = registry_thing(run, alert->thing);
        if (finding.began_in_loss) {
            alert->row = -1; /* the loss is one number: no row is to blame for it */
        }
        if (finding.has_batch && alert->n_samples == 0) {
            add_samples(stream, alert, &finding);
        }
        if (thing != NULL) {
            alert_write_nonfinite(alert, &finding, thing->declare);
        }
        registry_save_alert(barod->open, run, alert);
        barod_open_bundle(barod);
        tell(barod, alert);
    }
}

static void feed_nonfinite(struct barod *barod, struct stream *stream,
    const struct thing *thing, const struct reading *reading)
{
    struct nonfinite_reading fact = to_nonfinite(thing, reading);
    struct nonfinite_finding finding;
    if (nonfinite_add(stream->nonfinite, &fact, &finding)) {
        begin_nonfinite(barod, stream, thing, reading, &finding);
    }
}

static void feed_batch(struct stream *stream, const struct reading *reading)
{
    size_t n_samples = reading->extra_bytes / sizeof(int64_t);
    uint64_t batch_size = to_count(reading->f64[0]);
    stream->most_batch = batch_size > stream->most_batch ? batch_size : stream->most_batch;
    nonfinite_batch(stream->nonfinite, reading->header.step,
        (const int64_t *)(const void *)reading->extra, n_samples, batch_size);
}

/* ---- loss spikes ---- */

static void feed_spike(struct barod *barod, struct stream *stream, struct thing *thing,
    const struct reading *reading)
{
    if (thing->spike == NULL) {
        thing->spike = spike_create();
    }
    struct spike_finding finding;
    if (!spike_add(thing->spike, reading->f64[0], &finding)) {
        return;
    }
    struct run *run = stream->run;
    Baro__Alert *alert = make_alert(stream, thing, reading);
    alert->kind = baro_xstrdup("loss_spike");
    alert->level = BARO_WATCH;
    alert->incident = run->n_incidents + 1;
    alert->value = finding.value;
    alert_write_spike(alert, &finding);
    if (keep(barod, run, alert)) {
        attention_on_alert(stream, thing);
        tell(barod, alert);
    }
}

/* ---- ranks that must agree ---- */

static void feed_ranks(struct barod *barod, struct stream *stream,
    const struct thing *thing, const struct reading *reading)
{
    struct run *run = stream->run;
    if (run->ranks == NULL) {
        run->ranks = ranks_create();
    }
    struct ranks_finding finding;
    if (!ranks_add(run->ranks, thing->declare->name, thing->rank, reading->header.step,
            reading->f64[0], &finding)) {
        return;
    }
    Baro__Alert *alert = make_alert(stream, thing, reading);
    alert->kind = baro_xstrdup("ranks_differ");
    alert->level = BARO_ALARM;
    alert->incident = run->n_incidents + 1;
    alert->value = finding.value_b;
    alert_write_ranks(alert, &finding);
    if (keep(barod, run, alert)) {
        tell(barod, alert);
    }
}

/* ---- all readings ---- */

void rules_on_reading(struct barod *barod, struct stream *stream, struct thing *thing,
    const struct reading *reading)
{
    if (reading->header.kind == READING_DROPS) {
        return;
    }
    nonfinite_see_step(stream->nonfinite, reading->header.step);
    if (reading->header.kind == READING_BATCH) {
        feed_batch(stream, reading);
    }
    if (nonfinite_is_waiting(stream->nonfinite)) {
        end_nonfinite(barod, stream, reading->header.kind == READING_STATUS);
    }
    if (thing == NULL || reading->header.kind == READING_UNITS) {
        return;
    }
    feed_nonfinite(barod, stream, thing, reading);
    /* What comes late, from before a resume, is no jump of what came since. */
    if (thing->is_loss && reading->header.kind == READING_SCALAR &&
        !stream->is_superseded) {
        feed_spike(barod, stream, thing, reading);
    }
    if (reading->header.kind == READING_SCALAR &&
        strncmp(thing->declare->name, RANKS_PREFIX, strlen(RANKS_PREFIX)) == 0 &&
        !stream->is_superseded) {
        feed_ranks(barod, stream, thing, reading);
    }
}

void rules_tick(struct barod *barod)
{
    static const uint64_t wait_ns = 1000000000;
    for (uint32_t i = 0; i < barod->registry.n_runs; i++) {
        struct run *run = barod->registry.runs[i];
        for (uint32_t k = 0; k < run->n_streams; k++) {
            struct stream *stream = run->streams[k];
            if (nonfinite_is_waiting(stream->nonfinite) &&
                barod->now_ns - stream->waiting_ns >= wait_ns) {
                end_nonfinite(barod, stream, true);
            }
        }
    }
}
