/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/steer.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/access.h"
#include "daemon/live.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define LOG_MODULE "steer"

enum { MAX_WAITING = 64, EVENT_BYTES = 1024 };
static const double max_scale = 1e6;

/* ---- who is asked ---- */

static bool is_over(const struct stream *stream)
{
    return stream->status == BARO__RUN_STATUS__RUN_FINISHED ||
           stream->status == BARO__RUN_STATUS__RUN_FAILED ||
           stream->status == BARO__RUN_STATUS__RUN_KILLED;
}

static bool is_asked(const struct stream *stream)
{
    return stream->hello->is_steerable && !stream->is_superseded && !is_over(stream);
}

bool steer_is_possible(const struct run *run)
{
    for (uint32_t i = 0; i < run->n_streams; i++) {
        if (is_asked(run->streams[i])) {
            return true;
        }
    }
    return false;
}

/* ---- what is asked ---- */

static const char *word(Baro__ControlKind kind)
{
    static const char *const words[] = {
        "", "stop", "dump", "pause", "resume", "learning rate"};
    return (size_t)kind < BARO_LEN(words) ? words[kind] : "";
}

static int check(const struct run *run, const Baro__Control *control, struct baro_err *err)
{
    if (control == NULL || word(control->kind)[0] == '\0') {
        return baro_err_set(
            err, BARO_EINVAL, "a request that asks the training for nothing");
    }
    bool is_scale = control->kind == BARO__CONTROL_KIND__CONTROL_LR_SCALE;
    if (is_scale && !(isfinite(control->value) && control->value >= 1 / max_scale &&
                        control->value <= max_scale)) {
        return baro_err_set(err, BARO_EINVAL,
            "the learning rate is scaled by a number from %g to %g, not by %g",
            1 / max_scale, max_scale, control->value);
    }
    if (strnlen(control->reason, REGISTRY_MAX_TEXT_BYTES + 1) > REGISTRY_MAX_TEXT_BYTES) {
        return baro_err_set(
            err, BARO_ELIMIT, "the reason is over %d bytes", REGISTRY_MAX_TEXT_BYTES);
    }
    if (run->status == BARO__RUN_STATUS__RUN_FINISHED ||
        run->status == BARO__RUN_STATUS__RUN_FAILED ||
        run->status == BARO__RUN_STATUS__RUN_KILLED) {
        return baro_err_set(err, BARO_ECLOSED, "the run is over: nobody is there to ask");
    }
    if (!steer_is_possible(run)) {
        return baro_err_set(err, BARO_EUNSUPPORTED,
            "this run does not take controls: its program has to open it with "
            "barograph.init(control=True), or with BARO_CONTROL=1, and to look at "
            "run.should_stop and its like");
    }
    for (uint32_t i = 0; i < run->n_streams; i++) {
        if (run->streams[i]->n_controls >= MAX_WAITING) {
            return baro_err_set(err, BARO_ELIMIT,
                "%d controls wait for this run already; its process does not answer",
                MAX_WAITING);
        }
    }
    return 0;
}

static uint64_t next_id(const struct run *run)
{
    uint64_t last = 0;
    for (uint32_t i = 0; i < run->n_streams; i++) {
        uint64_t mine = run->streams[i]->last_control;
        last = mine > last ? mine : last;
    }
    return last + 1;
}

/* Keep what was asked as an event of the run, before anybody may have heard of it. It begins like
 * libbaro's own, so that no rule takes it for a change of the training: that is when it is taken. */
static void keep_event(struct barod *barod, struct stream *stream,
    const Baro__Control *control, const char *who)
{
    struct {
        double level;
        char text[EVENT_BYTES];
    } payload = {.level = BARO_INFO};
    char safe[REGISTRY_MAX_TEXT_BYTES + 1];
    char value[32] = "";
    if (control->kind == BARO__CONTROL_KIND__CONTROL_LR_SCALE) {
        (void)snprintf(value, sizeof value, " times %g", control->value);
    }
    baro_text_safe(safe, sizeof safe, control->reason);
    (void)snprintf(payload.text, sizeof payload.text,
        "barograph: control %" PRIu64 ": %s%s, asked by %s%s%s", control->id,
        word(control->kind), value, who, safe[0] != '\0' ? ": " : "", safe);
    uint32_t n = (uint32_t)strlen(payload.text);
    const struct reading reading = {
        .header = {.kind = READING_EVENT,
            .step = stream->last_step,
            .time_ns = baro_wall_ns(),
            .payload_bytes = (uint32_t)sizeof payload.level + n},
        .n_f64 = 1,
        .extra_bytes = n,
        .f64 = &payload.level,
        .extra = (const uint8_t *)payload.text,
    };
    const struct store_row row = {
        .run = stream->run->number,
        .kind = READING_EVENT,
        .n_f64 = 1,
        .extra_bytes = n,
        .step = reading.header.step,
        .time_ns = reading.header.time_ns,
        .payload = (const uint8_t *)&payload,
    };
    bundle_append(barod->open, &row);
    barod_open_bundle(barod);
    live_on_reading(barod, stream, &reading);
    log_info(
        "run=%" PRIu32 ": %s", stream->run->number, payload.text + strlen("barograph: "));
}

static void send_now(struct barod *barod, const struct stream *stream)
{
    Baro__Ack ack;
    baro__ack__init(&ack);
    ack.last_seq = stream->committed_seq;
    steer_put(stream, &ack);
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.body_case = BARO__ENVELOPE__BODY_ACK;
    envelope.ack = &ack;
    if (stream->peer.n_bytes > 0) {
        (void)outbox_send(barod->socket, &stream->peer, &envelope, NULL, 0);
    }
}

static void ask(struct barod *barod, struct stream *stream, const Baro__Control *control)
{
    size_t n = baro__control__get_packed_size(control);
    baro_autofree uint8_t *packed = baro_xcalloc(n > 0 ? n : 1, 1);
    Baro__Control *copy =
        baro__control__unpack(NULL, baro__control__pack(control, packed), packed);
    if (copy == NULL) {
        return;
    }
    stream->controls =
        baro_xrealloc(stream->controls, stream->n_controls + 1, sizeof(Baro__Control *));
    stream->controls[stream->n_controls++] = copy;
    stream->last_control = control->id;
    if (control->kind == BARO__CONTROL_KIND__CONTROL_PAUSE) {
        stream->is_pause_asked = true;
    } else if (control->kind == BARO__CONTROL_KIND__CONTROL_RESUME ||
               control->kind == BARO__CONTROL_KIND__CONTROL_STOP) {
        stream->is_pause_asked = false;
    }
    registry_touch_stream(stream);
    send_now(barod, stream);
}

int steer_on_request(struct barod *barod, const struct peer *peer, struct run *run,
    const Baro__ControlRequest *request, Baro__ControlReply *out_reply,
    struct baro_err *err)
{
    int rc = check(run, request->control, err);
    if (rc != 0) {
        return rc;
    }
    Baro__Control control = *request->control;
    char who[KEYS_NAME_BYTES + 16];
    control.id = next_id(run);
    access_name(barod->access, peer, who, sizeof who);
    bool is_kept = false;
    for (uint32_t i = 0; i < run->n_streams; i++) {
        struct stream *stream = run->streams[i];
        if (!is_asked(stream)) {
            continue;
        }
        if (!is_kept) {
            keep_event(barod, stream, &control, who);
            is_kept = true;
        }
        ask(barod, stream, &control);
        out_reply->n_streams++;
    }
    out_reply->id = control.id;
    return 0;
}

/* ---- what was heard ---- */

void steer_on_heartbeat(struct stream *stream, uint64_t last_control)
{
    size_t n_heard = 0;
    while (n_heard < stream->n_controls && stream->controls[n_heard]->id <= last_control) {
        baro__control__free_unpacked(stream->controls[n_heard++], NULL);
    }
    if (n_heard > 0) {
        stream->n_controls -= n_heard;
        memmove(stream->controls, stream->controls + n_heard,
            stream->n_controls * sizeof(Baro__Control *));
        registry_touch_stream(stream);
    }
}

void steer_put(const struct stream *stream, Baro__Ack *ack)
{
    ack->n_controls = stream->n_controls;
    ack->controls = stream->controls;
}

void steer_forget(struct stream *stream)
{
    steer_on_heartbeat(stream, UINT64_MAX);
    free(stream->controls);
    stream->controls = NULL;
}
