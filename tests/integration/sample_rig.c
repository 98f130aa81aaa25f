/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/integration/sample_rig.h"

#include <unistd.h>

#include "tests/testing.h"

#include "lib/base/clock.h"

static uint32_t number_of(struct rig *rig, const char *run_id)
{
    struct link_message reply = {0};
    const Baro__RunInfo *info = rig_run_info(rig, run_id, &reply);
    assert_non_null(info);
    uint32_t number = info->run;
    link_message_release(&reply);
    return number;
}

Baro__SampleRequest sample_rig_request(struct rig *rig, const char *run_id)
{
    Baro__SampleRequest request;
    baro__sample_request__init(&request);
    request.run = number_of(rig, run_id);
    request.thing = rig_thing(rig, request.run, "w");
    request.stat = UNIT_L2;
    request.from_step = INT64_MIN;
    request.to_step = INT64_MAX;
    request.columns = SAMPLE_RIG_PLOT;
    request.height = SAMPLE_RIG_PLOT;
    return request;
}

int64_t sample_rig_send(struct link *link, Baro__SampleRequest *request)
{
    struct baro_err err = {0};
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.body_case = BARO__ENVELOPE__BODY_SAMPLE_REQUEST;
    envelope.sample_request = request;
    int64_t number = link_send(link, &envelope, &err);
    assert_true(number > 0);
    return number;
}

struct finding sample_rig_next(struct link *link, int64_t number, struct link_message *out)
{
    struct baro_err err = {0};
    struct finding finding = {0};
    if (link_await(link, number, SAMPLE_RIG_WAIT_MS, out, &err) != 0 ||
        link_finding(out, &finding, &err) != 0) {
        fail_msg("no finding: %s", err.text);
    }
    return finding;
}

struct finding sample_rig_done(
    struct link *link, int64_t number, int64_t to_step, struct link_message *out)
{
    for (;;) {
        struct finding finding = sample_rig_next(link, number, out);
        if (finding.head->is_done && finding.head->to_step >= to_step) {
            return finding;
        }
        link_message_release(out);
    }
}

int sample_rig_refused(struct rig *rig, Baro__SampleRequest *request, struct baro_err *err)
{
    struct link_message reply = {0};
    int64_t number = sample_rig_send(rig->link, request);
    int rc = link_await(rig->link, number, SAMPLE_RIG_WAIT_MS, &reply, err);
    link_message_release(&reply);
    return rc;
}

uint64_t sample_rig_counter(struct rig *rig, const char *name)
{
    Baro__StatusRequest status;
    baro__status_request__init(&status);
    Baro__Envelope request;
    baro__envelope__init(&request);
    request.body_case = BARO__ENVELOPE__BODY_STATUS_REQUEST;
    request.status_request = &status;
    struct link_message reply = {0};
    rig_ask(rig, &request, &reply);
    const Baro__StatusReply *known = reply.wire.envelope->status_reply;
    uint64_t value = UINT64_MAX;
    for (size_t i = 0; i < known->n_counters; i++) {
        if (strcmp(known->counters[i]->name, name) == 0) {
            value = known->counters[i]->value;
        }
    }
    link_message_release(&reply);
    return value;
}

void sample_rig_wait_ended(struct rig *rig)
{
    const uint64_t until = baro_now_ns() + (uint64_t)SAMPLE_RIG_WAIT_MS * 1000000;
    while (sample_rig_counter(rig, "samples") != sample_rig_counter(rig, "samples_ended")) {
        assert_true(baro_now_ns() < until);
        (void)usleep(5000);
    }
}
