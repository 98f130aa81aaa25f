/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <time.h>

#include "tests/testing.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "tests/integration/daemon_rig.h"

/* Alerts: told once, with the sample, beside their cause. Live streams: in order, before commit. */

static int set_up(void **state)
{
    static struct rig rig;
    rig_start(&rig);
    *state = &rig;
    return 0;
}

static void nap(void)
{
    const struct timespec pause = {.tv_nsec = 10000000};
    (void)nanosleep(&pause, NULL);
}

static int tear_down(void **state)
{
    rig_finish(*state);
    return 0;
}

/* Ask for the alerts of run 1; the reply is the caller's to release. */
static const Baro__AlertsReply *ask_once(struct rig *rig, struct link_message *reply)
{
    Baro__AlertsRequest alerts;
    baro__alerts_request__init(&alerts);
    alerts.run = 1;
    Baro__Envelope request;
    baro__envelope__init(&request);
    request.body_case = BARO__ENVELOPE__BODY_ALERTS_REQUEST;
    request.alerts_request = &alerts;
    rig_ask(rig, &request, reply);
    return reply->wire.envelope->alerts_reply;
}

/* Likewise when there are so many: alerts wait for the end of their step. */
static const Baro__AlertsReply *ask_alerts(
    struct rig *rig, size_t n_alerts, struct link_message *reply)
{
    uint64_t until = baro_now_ns() + UINT64_C(20000000000);
    for (;;) {
        const Baro__AlertsReply *alerts = ask_once(rig, reply);
        if (alerts->n_alerts >= n_alerts || baro_now_ns() > until) {
            return alerts;
        }
        link_message_release(reply);
        nap();
    }
}

enum { LOSS = 1, EXP_LOGVAR, DECODER, WEIGHT, N_SAMPLES = 64 };

static void begin(struct pusher *pusher, const struct rig *rig)
{
    pusher_init(pusher, rig, "vae", 1);
    pusher_declare_scalar(pusher, LOSS, "loss");
    pusher_declare_tensor(pusher, EXP_LOGVAR, "exp_logvar", BARO_ACT, N_SAMPLES, 8);
    pusher_declare_tensor(pusher, DECODER, "decoder.fc", BARO_ACT, N_SAMPLES, 8);
    pusher_declare_tensor(pusher, WEIGHT, "decoder.fc.weight", BARO_WEIGHT, 32, 8);
    assert_int_equal(pusher_hello(pusher), 0);
}

static void push_batch_of(struct pusher *pusher, int64_t step)
{
    int64_t samples[N_SAMPLES];
    for (int i = 0; i < N_SAMPLES; i++) {
        samples[i] = 1000 + 12 * i - 1; /* row 17 is sample 1203 */
    }
    pusher_batch(pusher, step, samples, N_SAMPLES);
}

/* Two steps more: the one before them is complete, and nothing has to be waited for. */
static void go_on(struct pusher *pusher, int64_t step)
{
    push_batch_of(pusher, step + 1);
    push_batch_of(pusher, step + 2);
    pusher_flush(pusher);
}

/* One step in which a planted sample makes exp overflow; everything after it is NaN. */
static void push_step(struct pusher *pusher, int64_t step, bool is_bad)
{
    double nan = is_bad ? 64 : 0;
    pusher_summary(
        pusher, EXP_LOGVAR, step, 1, 0, is_bad ? 1 : 0, is_bad ? 3 : -1, is_bad ? 17 : -1);
    pusher_summary(pusher, DECODER, step, 1, nan, 0, is_bad ? 0 : -1, is_bad ? 17 : -1);
    pusher_scalar(pusher, LOSS, step, is_bad ? (double)NAN : 1 + 0.01 * (double)(step % 7));
    pusher_summary(pusher, WEIGHT, step, 1, nan, 0, is_bad ? 0 : -1, -1);
    push_batch_of(pusher, step);
}

static void expect_the_incident(struct rig *rig)
{
    struct link_message reply = {0};
    const Baro__AlertsReply *alerts = ask_alerts(rig, 3, &reply);
    assert_int_equal(alerts->n_alerts, 3);
    const Baro__Alert *origin = alerts->alerts[0];
    assert_string_equal(origin->kind, "nonfinite");
    assert_int_equal(origin->level, BARO_ALARM);
    assert_string_equal(origin->tensor, "exp_logvar");
    assert_string_equal(origin->module, "exp_logvar");
    assert_string_equal(origin->role, "act");
    assert_int_equal(origin->step, 412);
    assert_int_equal(origin->unit, 3);
    assert_int_equal(origin->row, 17);
    assert_true(origin->has_sample);
    assert_int_equal(origin->n_samples, 1);
    assert_int_equal(origin->samples[0], 1203);
    assert_int_equal(origin->batch_size, N_SAMPLES);
    assert_true(isinf(origin->value));
    assert_string_equal(origin->text,
        "exp_logvar (act) became +Inf in unit 3 at step 412: sample 1203, row 17 of the batch "
        "of 64.");
    assert_non_null(strstr(origin->advice, "clamp"));
    assert_string_equal(alerts->alerts[1]->tensor, "loss");
    assert_string_equal(alerts->alerts[2]->tensor, "decoder.fc.weight");
    assert_string_equal(alerts->alerts[2]->module, "decoder.fc");
    assert_false(alerts->alerts[2]->has_sample);
    assert_int_equal(alerts->alerts[2]->n_samples, 64);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(alerts->alerts[i]->incident, 1);
        assert_int_equal(alerts->alerts[i]->step, 412);
    }
    assert_int_equal(alerts->n_incidents, 1);
    const Baro__Incident *incident = alerts->incidents[0];
    assert_int_equal(incident->level, BARO_ALARM);
    assert_int_equal(incident->n_alerts, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(incident->alerts[i], alerts->alerts[i]->id);
    }
    assert_non_null(strstr(incident->headline, "exp_logvar (act) became +Inf in unit 3"));
    assert_true(incident->n_causes > 0 && incident->n_advice > 0);
    link_message_release(&reply);
}

static void an_incident_names_origin_unit_step_and_sample_once(void **state)
{
    struct rig *rig = *state;
    struct pusher pusher;
    begin(&pusher, rig);
    for (int64_t step = 400; step < 440; step++) {
        push_step(&pusher, step, step >= 412);
    }
    pusher_flush(&pusher);
    expect_the_incident(rig);
    struct link_message reply = {0};
    const Baro__RunInfo *info = rig_run_info(rig, "vae", &reply);
    assert_int_equal(info->n_alerts, 3);
    assert_int_equal(info->worst_level, BARO_ALARM);
    assert_true(info->has_loss && isnan(info->last_loss));
    link_message_release(&reply);
    pusher_finish(&pusher);
}

static void alerts_survive_restarts_and_resends_without_being_told_again(void **state)
{
    struct rig *rig = *state;
    struct pusher pusher;
    begin(&pusher, rig);
    push_step(&pusher, 411, false);
    push_step(&pusher, 412, true);
    pusher_send(&pusher);
    pusher_send(&pusher);
    pusher_flush(&pusher);
    expect_the_incident(rig);
    for (int round = 0; round < 3; round++) {
        rig_kill(rig);
        rig_restart(rig);
        pusher_reconnect(&pusher, rig);
        assert_int_equal(pusher_hello(&pusher), pusher.seq);
        for (int64_t step = 413 + 40 * round; step < 453 + 40 * round; step++) {
            push_step(&pusher, step, true);
        }
        pusher_flush(&pusher);
        expect_the_incident(rig);
    }
    pusher_finish(&pusher);
}

static void a_value_in_the_data_is_laid_to_the_input(void **state)
{
    struct rig *rig = *state;
    struct pusher pusher;
    enum { INPUT = 9 };
    begin(&pusher, rig);
    pusher_declare_tensor(&pusher, INPUT, "input", BARO_INPUT, N_SAMPLES, 8);
    assert_int_equal(pusher_hello(&pusher), 0);
    pusher_summary(&pusher, INPUT, 7, 1, 1, 0, 5, 17);
    pusher_summary(&pusher, DECODER, 7, 1, 64, 0, 0, 17);
    push_batch_of(&pusher, 7);
    go_on(&pusher, 7);
    struct link_message reply = {0};
    const Baro__AlertsReply *alerts = ask_alerts(rig, 1, &reply);
    assert_int_equal(alerts->n_alerts, 1);
    assert_string_equal(alerts->alerts[0]->text,
        "input became NaN in unit 5 at step 7: sample 1203, row 17 of the batch of 64.");
    assert_non_null(strstr(alerts->alerts[0]->advice, "preprocessing"));
    assert_string_equal(alerts->alerts[0]->role, "input");
    link_message_release(&reply);
    pusher_finish(&pusher);
}

/* Tensors of which the row is not that of the batch: a quarter of it, and batch and time in one. */
static void a_row_of_a_part_of_the_batch_is_not_taken_for_a_sample(void **state)
{
    struct rig *rig = *state;
    struct pusher pusher;
    enum { PART = 9, FLAT, LAST };
    begin(&pusher, rig);
    pusher_declare_tensor(&pusher, PART, "part", BARO_ACT, N_SAMPLES / 4, 4);
    pusher_declare_tensor(&pusher, FLAT, "flat", BARO_ACT, N_SAMPLES * 4, 8);
    pusher_declare_tensor(&pusher, LAST, "last", BARO_ACT, N_SAMPLES * 2, 1);
    assert_int_equal(pusher_hello(&pusher), 0);
    pusher_summary(&pusher, PART, 100, 1, 1, 0, 2, 5);
    push_batch_of(&pusher, 100);
    pusher_summary(&pusher, PART, 101, 1, 0, 0, -1, -1);
    pusher_summary(&pusher, FLAT, 200, 1, 1, 0, 2, 5);
    push_batch_of(&pusher, 200);
    pusher_summary(&pusher, FLAT, 201, 1, 0, 0, -1, -1);
    pusher_summary(&pusher, LAST, 300, 1, 1, 0, 2, 5); /* its count says 64 rows today */
    push_batch_of(&pusher, 300);
    go_on(&pusher, 300);
    struct link_message reply = {0};
    const Baro__AlertsReply *alerts = ask_alerts(rig, 3, &reply);
    assert_int_equal(alerts->n_alerts, 3);
    assert_false(alerts->alerts[0]->has_sample);
    assert_string_equal(alerts->alerts[0]->text,
        "part (act) became NaN in unit 2 at step 100, row 5 of a part of the batch; the whole "
        "held 64 samples: 999, 1011, 1023, 1035, 1047 and more.");
    assert_int_equal(alerts->alerts[0]->row, 5);
    assert_false(alerts->alerts[1]->has_sample);
    assert_string_equal(alerts->alerts[1]->text,
        "flat (act) became NaN in unit 2 at step 200; the batch held 64 samples: 999, 1011, "
        "1023, 1035, 1047 and more.");
    assert_true(alerts->alerts[2]->has_sample);
    assert_int_equal(alerts->alerts[2]->samples[0], 1000 + 12 * 5 - 1);
    link_message_release(&reply);
    pusher_finish(&pusher);
}

static void a_loss_that_is_lost_alone_asks_for_more_measuring(void **state)
{
    struct rig *rig = *state;
    struct pusher pusher;
    begin(&pusher, rig);
    pusher_scalar(&pusher, LOSS, 3, (double)NAN);
    push_batch_of(&pusher, 3);
    go_on(&pusher, 3);
    struct link_message reply = {0};
    const Baro__AlertsReply *alerts = ask_alerts(rig, 1, &reply);
    assert_int_equal(alerts->n_alerts, 1);
    assert_non_null(strstr(alerts->alerts[0]->advice, "watch(every=1)"));
    assert_non_null(strstr(alerts->alerts[0]->advice, "activations"));
    link_message_release(&reply);
    pusher_finish(&pusher);
}

static void a_tensor_that_is_bad_as_a_whole_names_no_unit_and_no_sample(void **state)
{
    struct rig *rig = *state;
    struct pusher pusher;
    begin(&pusher, rig);
    pusher_summary(&pusher, DECODER, 4, 1, 64, 0, 0, 0);
    push_batch_of(&pusher, 4);
    go_on(&pusher, 4);
    struct link_message reply = {0};
    const Baro__AlertsReply *alerts = ask_alerts(rig, 1, &reply);
    assert_int_equal(alerts->n_alerts, 1);
    assert_int_equal(alerts->alerts[0]->unit, -1);
    assert_int_equal(alerts->alerts[0]->row, -1);
    assert_false(alerts->alerts[0]->has_sample);
    assert_non_null(
        strstr(alerts->alerts[0]->text, "became NaN in all of its values at step 4; the"));
    link_message_release(&reply);
    pusher_finish(&pusher);
}

static void a_loss_that_overflows_by_itself_is_blamed_and_not_its_gradients(void **state)
{
    struct rig *rig = *state;
    struct pusher pusher;
    pusher_init(&pusher, rig, "vae", 1);
    pusher_declare_scalar(&pusher, 1, "loss");
    pusher_declare_tensor(&pusher, 2, "head", BARO_ACT_GRAD, N_SAMPLES, 8);
    assert_int_equal(pusher_hello(&pusher), 0);
    pusher_summary(&pusher, 2, 7, 1, 8, 0, 0, 0);
    push_batch_of(&pusher, 7); /* Python tells its batch before its scalars */
    pusher_scalar(&pusher, 1, 7, (double)INFINITY);
    pusher_scalar(&pusher, 1, 8, (double)INFINITY);
    go_on(&pusher, 8);
    struct link_message reply = {0};
    const Baro__AlertsReply *alerts = ask_alerts(rig, 2, &reply);
    assert_int_equal(alerts->n_alerts, 2);
    assert_string_equal(alerts->alerts[0]->tensor, "loss");
    assert_non_null(strstr(alerts->alerts[0]->advice, "It began here"));
    assert_non_null(strstr(alerts->alerts[0]->advice, "log(0)"));
    const Baro__Alert *gradient = alerts->alerts[1];
    assert_non_null(strstr(gradient->text, "in a step whose loss was not finite"));
    assert_false(gradient->has_sample);
    assert_int_equal(gradient->row, -1);
    assert_non_null(strstr(gradient->advice, "see the alert of the loss"));
    assert_int_equal(alerts->n_incidents, 1);
    assert_string_equal(alerts->incidents[0]->kind, "nonfinite");
    assert_int_equal(alerts->incidents[0]->n_alerts, 2);
    assert_int_equal(alerts->incidents[0]->alerts[0], alerts->alerts[0]->id);
    link_message_release(&reply);
    pusher_finish(&pusher);
}

static void an_alert_is_told_without_a_batch_when_none_comes(void **state)
{
    struct rig *rig = *state;
    struct pusher pusher;
    begin(&pusher, rig);
    pusher_summary(&pusher, EXP_LOGVAR, 9, 1, 1, 0, 2, 5);
    pusher_flush(&pusher);
    struct link_message reply = {0};
    const Baro__AlertsReply *alerts = ask_alerts(rig, 1, &reply);
    assert_int_equal(alerts->n_alerts, 1);
    assert_string_equal(
        alerts->alerts[0]->text, "exp_logvar (act) became NaN in unit 2 at step 9.");
    assert_false(alerts->alerts[0]->has_sample);
    link_message_release(&reply);
    pusher_finish(&pusher);
}

static void a_loss_spike_is_told_and_survives_a_restart(void **state)
{
    struct rig *rig = *state;
    struct pusher pusher;
    begin(&pusher, rig);
    for (int64_t step = 0; step < 100; step++) {
        pusher_scalar(
            &pusher, LOSS, step, step == 80 ? 9.0 : 1 + 0.01 * (double)(step * 7 % 13));
    }
    pusher_flush(&pusher);
    rig_kill(rig);
    rig_restart(rig);
    struct link_message reply = {0};
    const Baro__AlertsReply *alerts = ask_alerts(rig, 1, &reply);
    const Baro__Alert *spike = NULL;
    for (size_t i = 0; i < alerts->n_alerts; i++) {
        bool is_spike = strcmp(alerts->alerts[i]->kind, "loss_spike") == 0;
        assert_true(!is_spike || spike == NULL); /* once */
        spike = is_spike ? alerts->alerts[i] : spike;
    }
    assert_non_null(spike);
    assert_string_equal(spike->kind, "loss_spike");
    assert_int_equal(spike->level, BARO_WATCH);
    assert_int_equal(spike->step, 80);
    assert_true(spike->value == 9.0);
    assert_non_null(strstr(spike->text, "loss jumped to 9 at step 80"));
    link_message_release(&reply);
    pusher_finish(&pusher);
}

/* ---- live ---- */

static void subscribe(struct rig *rig, uint32_t run)
{
    Baro__SubscribeRequest subscribe_request;
    baro__subscribe_request__init(&subscribe_request);
    subscribe_request.run = run;
    Baro__Envelope request;
    baro__envelope__init(&request);
    request.body_case = BARO__ENVELOPE__BODY_SUBSCRIBE_REQUEST;
    request.subscribe_request = &subscribe_request;
    struct link_message reply = {0};
    rig_ask(rig, &request, &reply);
    link_message_release(&reply);
}

/* Check the records of one live message; gives how many there were. */
static int64_t follow(const struct link_message *message, int64_t next_step)
{
    const uint8_t *cursor = message->frames[0].bytes;
    const uint8_t *end = cursor + message->frames[0].n_bytes;
    int64_t n = 0;
    struct record_header header;
    const uint8_t *payload;
    int rc;
    while ((rc = record_next(&cursor, end, &header, &payload)) > 0) {
        if (header.kind == READING_SCALAR && header.thing == 2) { /* the run's id of "x" */
            double value;
            memcpy(&value, payload, 8);
            assert_int_equal(header.step, next_step + n);
            assert_true(value == (double)header.step);
            n++;
        }
    }
    assert_int_equal(rc, 0);
    return n;
}

static void subscribers_get_records_in_order_things_first_and_alerts(void **state)
{
    struct rig *rig = *state;
    struct pusher pusher;
    pusher_init(&pusher, rig, "live", 1);
    pusher_declare_scalar(&pusher, 5, "first");
    assert_int_equal(pusher_hello(&pusher), 0);
    subscribe(rig, 1);
    pusher_declare_scalar(&pusher, 6, "x");
    enum { N = 2000 };
    for (int64_t step = 0; step < N; step++) {
        pusher_scalar(&pusher, 6, step, (double)step);
        if (step % 100 == 99) {
            pusher_send(&pusher);
            pusher_clear(&pusher);
        }
    }
    pusher_scalar(&pusher, 5, N, (double)NAN);
    pusher_send(&pusher);
    int64_t next_step = 0;
    bool has_things = false;
    bool has_alert = false;
    bool has_run = false;
    uint64_t until = baro_now_ns() + UINT64_C(20000000000);
    while ((next_step < N || !has_alert || !has_run) && baro_now_ns() < until) {
        struct link_message message = {0};
        if (link_next(rig->link, 100, &message, NULL) != 1) {
            continue;
        }
        const Baro__Envelope *envelope = message.wire.envelope;
        assert_int_equal(envelope->request, 0);
        if (envelope->body_case == BARO__ENVELOPE__BODY_LIVE_THINGS) {
            assert_int_equal(envelope->live_things->n_things, 1);
            assert_string_equal(envelope->live_things->things[0]->declare->name, "x");
            has_things = true;
        } else if (envelope->body_case == BARO__ENVELOPE__BODY_LIVE_RECORDS) {
            assert_true(has_things);
            assert_int_equal(envelope->live_records->run, 1);
            assert_int_equal(envelope->live_records->n_left_out, 0);
            next_step += follow(&message, next_step);
        } else if (envelope->body_case == BARO__ENVELOPE__BODY_LIVE_ALERT) {
            assert_string_equal(envelope->live_alert->alert->tensor, "first");
            has_alert = true;
        } else if (envelope->body_case == BARO__ENVELOPE__BODY_LIVE_RUN) {
            has_run = true;
        }
        link_message_release(&message);
    }
    assert_int_equal(next_step, N);
    assert_true(has_alert && has_run);
    pusher_finish(&pusher);
}

static void a_subscriber_that_does_not_read_holds_nobody_up(void **state)
{
    struct rig *rig = *state;
    struct pusher pusher;
    pusher_init(&pusher, rig, "live", 1);
    pusher_declare_tensor(&pusher, 1, "wide", BARO_ACT, 8, 1000);
    assert_int_equal(pusher_hello(&pusher), 0);
    struct link *deaf = link_open(rig->endpoint, NULL);
    struct link *mine = rig->link;
    rig->link = deaf;
    subscribe(rig, 1);
    rig->link = mine;
    float values[UNIT_STAT_COUNT * 1000] = {0};
    for (int64_t step = 0; step < 1500; step++) {
        pusher_record(&pusher, READING_UNITS, 1, step, values, sizeof values);
        if (step % 20 == 19) {
            pusher_flush(&pusher);
        }
    }
    rig_wait_records(rig, "live", 1500);
    link_close(deaf);
    pusher_finish(&pusher);
}

/* ---- choosing, and telling what has come ---- */

static void choose(struct rig *rig, uint32_t kind, uint32_t thing)
{
    Baro__LiveWant want;
    baro__live_want__init(&want);
    want.kind = kind;
    want.thing = thing;
    Baro__LiveWant *wants[] = {&want};
    Baro__SubscribeRequest subscribe_request;
    baro__subscribe_request__init(&subscribe_request);
    subscribe_request.run = 1;
    subscribe_request.is_chosen = true;
    subscribe_request.is_paced = true;
    subscribe_request.n_wants = 1;
    subscribe_request.wants = wants;
    Baro__Envelope request;
    baro__envelope__init(&request);
    request.body_case = BARO__ENVELOPE__BODY_SUBSCRIBE_REQUEST;
    request.subscribe_request = &subscribe_request;
    struct link_message reply = {0};
    rig_ask(rig, &request, &reply);
    link_message_release(&reply);
}

static void tell_taken(struct rig *rig, uint64_t n_bytes)
{
    Baro__LiveTaken taken;
    baro__live_taken__init(&taken);
    taken.run = 1;
    taken.n_bytes = n_bytes;
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.body_case = BARO__ENVELOPE__BODY_LIVE_TAKEN;
    envelope.live_taken = &taken;
    assert_true(link_send(rig->link, &envelope, NULL) > 0);
}

/* Take live records until n of a kind came; says that they came when is_telling. Counts all
 * records into n_others, and those left out. */
struct heard {
    uint64_t n_wanted, n_others, n_left_out, n_bytes, most_bytes;
};

static void hear(struct rig *rig, uint32_t kind, bool is_telling, struct heard *heard)
{
    struct link_message message = {0};
    while (link_next(rig->link, 300, &message, NULL) == 1) {
        const Baro__Envelope *envelope = message.wire.envelope;
        if (envelope->body_case == BARO__ENVELOPE__BODY_LIVE_RECORDS) {
            const uint8_t *cursor = message.frames[0].bytes;
            const uint8_t *end = cursor + message.frames[0].n_bytes;
            struct record_header header;
            const uint8_t *payload;
            while (record_next(&cursor, end, &header, &payload) > 0) {
                heard->n_wanted += header.kind == kind ? 1 : 0;
                heard->n_others += header.kind == kind ? 0 : 1;
            }
            heard->n_left_out += envelope->live_records->n_left_out;
            heard->n_bytes += message.frames[0].n_bytes;
            if (is_telling) {
                tell_taken(rig, message.frames[0].n_bytes);
            }
        }
        link_message_release(&message);
    }
}

static void a_subscriber_gets_what_it_chose_and_no_more_than_it_takes(void **state)
{
    struct rig *rig = *state;
    struct pusher pusher;
    struct heard heard = {0};
    pusher_init(&pusher, rig, "live", 1);
    pusher_declare_tensor(&pusher, 1, "wide", BARO_ACT, 8, 1000);
    pusher_declare_scalar(&pusher, 2, "loss");
    assert_int_equal(pusher_hello(&pusher), 0);
    choose(rig, READING_SCALAR, 0);
    float values[UNIT_STAT_COUNT * 1000] = {0};
    int64_t step = 0;
    for (; step < 20; step++) {
        pusher_record(&pusher, READING_UNITS, 1, step, values, sizeof values);
        pusher_scalar(&pusher, 2, step, 1);
    }
    pusher_flush(&pusher);
    hear(rig, READING_SCALAR, true, &heard);
    assert_int_equal(heard.n_wanted, 20);
    assert_int_equal(heard.n_others, 0);
    assert_int_equal(heard.n_left_out, 0);

    /* Who says nothing gets a window full, however much there is; what is left out is counted. */
    heard = (struct heard){0};
    choose(rig, READING_UNITS, 1);
    for (int64_t end = step + 60; step < end; step++) {
        pusher_record(&pusher, READING_UNITS, 1, step, values, sizeof values);
        if (step % 20 == 19) {
            pusher_flush(&pusher);
            hear(rig, READING_UNITS, false, &heard);
        }
    }
    assert_true(heard.n_wanted > 0 && heard.n_wanted < 20);
    uint64_t n_before = heard.n_wanted;
    tell_taken(rig, heard.n_bytes);
    tell_taken(rig, UINT64_MAX); /* more than was sent is no more than that */
    pusher_record(&pusher, READING_UNITS, 1, step, values, sizeof values);
    pusher_flush(&pusher);
    hear(rig, READING_UNITS, false, &heard);
    assert_int_equal(heard.n_wanted, n_before + 1);
    assert_int_equal(heard.n_wanted + heard.n_left_out, 61);
    pusher_finish(&pusher);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(an_incident_names_origin_unit_step_and_sample_once),
        CASE(alerts_survive_restarts_and_resends_without_being_told_again),
        CASE(a_value_in_the_data_is_laid_to_the_input),
        CASE(a_row_of_a_part_of_the_batch_is_not_taken_for_a_sample),
        CASE(a_loss_that_is_lost_alone_asks_for_more_measuring),
        CASE(a_tensor_that_is_bad_as_a_whole_names_no_unit_and_no_sample),
        CASE(a_loss_that_overflows_by_itself_is_blamed_and_not_its_gradients),
        CASE(an_alert_is_told_without_a_batch_when_none_comes),
        CASE(a_loss_spike_is_told_and_survives_a_restart),
        CASE(subscribers_get_records_in_order_things_first_and_alerts),
        CASE(a_subscriber_that_does_not_read_holds_nobody_up),
        CASE(a_subscriber_gets_what_it_chose_and_no_more_than_it_takes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
