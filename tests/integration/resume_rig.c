/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/testing.h"

#include "tests/integration/resume_rig.h"

#include <time.h>

#include "lib/base/clock.h"

static const int64_t second_ns = 1000000000;
static const int64_t start_ns = INT64_C(1700000000) * 1000000000;

struct pusher resume_open(struct rig *rig, int seed, const struct resume_opening *opening)
{
    struct pusher pusher;
    Baro__RunDescription description;
    baro__run_description__init(&description);
    description.run_id = (char *)(uintptr_t)opening->run_id;
    description.resume = opening->resume;
    description.resume_step = opening->resume_step;
    description.created_ns = start_ns + opening->at_s * second_ns;
    description.n_ranks = opening->n_ranks > 0 ? opening->n_ranks : 1;
    if (opening->job != NULL) {
        description.job = (char *)(uintptr_t)opening->job;
    }
    pusher_init_described(&pusher, rig, seed, &description);
    pusher.rank = opening->rank;
    pusher.is_recovery = opening->is_recovery;
    pusher_declare_scalar(&pusher, 1, "loss");
    assert_int_equal(pusher_hello(&pusher), 0);
    return pusher;
}

void resume_push(struct pusher *pusher, int64_t from, int64_t to, double value)
{
    for (int64_t step = from; step < to; step++) {
        pusher_scalar(pusher, 1, step, value);
    }
    pusher_flush(pusher);
}

void resume_train(struct rig *rig, int seed, const struct resume_opening *opening,
    int64_t from, int64_t to, double value)
{
    struct pusher pusher = resume_open(rig, seed, opening);
    resume_push(&pusher, from, to, value);
    pusher_finish(&pusher);
}

Baro__RunInfo resume_info(struct rig *rig, const char *run_id)
{
    struct link_message message = {0};
    const Baro__RunInfo *found = rig_run_info(rig, run_id, &message);
    Baro__RunInfo info;
    baro__run_info__init(&info);
    if (found != NULL) {
        info = *found;
    }
    info.description = NULL;
    info.status_text = NULL;
    link_message_release(&message);
    return info;
}

/* Records of a kind, as the daemon gives them over the run's lineage. */
static void ask_rows(struct rig *rig, uint32_t run, uint32_t thing, enum reading_kind kind,
    struct link_message *out)
{
    Baro__RowsRequest rows;
    baro__rows_request__init(&rows);
    rows.run = run;
    rows.thing = thing;
    rows.kind = kind;
    rows.from_step = INT64_MIN;
    rows.to_step = INT64_MAX;
    rows.limit = RESUME_MAX_POINTS;
    Baro__Envelope request;
    baro__envelope__init(&request);
    request.body_case = BARO__ENVELOPE__BODY_ROWS_REQUEST;
    request.rows_request = &rows;
    rig_ask(rig, &request, out);
    assert_int_equal(out->n_frames, 1);
}

struct resume_points resume_points(struct rig *rig, const char *run_id, const char *name)
{
    static struct resume_points points;
    struct link_message message = {0};
    uint32_t run = resume_info(rig, run_id).run;
    assert_int_not_equal(run, 0);
    ask_rows(rig, run, rig_thing(rig, run, name), READING_SCALAR, &message);
    const uint8_t *cursor = message.frames[0].bytes;
    const uint8_t *end = cursor + message.frames[0].n_bytes;
    const uint8_t *payload;
    struct record_header header;
    points.n = 0;
    while (record_next(&cursor, end, &header, &payload) == 1) {
        assert_true(points.n < RESUME_MAX_POINTS);
        points.steps[points.n] = header.step;
        memcpy(&points.values[points.n++], payload, sizeof(double));
    }
    link_message_release(&message);
    return points;
}

size_t resume_expect(
    const struct resume_points *points, size_t at, int64_t from, int64_t to, double value)
{
    for (int64_t step = from; step < to; step++, at++) {
        assert_true(at < points->n);
        assert_int_equal(points->steps[at], step);
        assert_true(points->values[at] == value);
    }
    return at;
}

bool resume_has_event(struct rig *rig, const char *run_id, const char *text)
{
    struct link_message message = {0};
    ask_rows(rig, resume_info(rig, run_id).run, 0, READING_EVENT, &message);
    const uint8_t *cursor = message.frames[0].bytes;
    const uint8_t *end = cursor + message.frames[0].n_bytes;
    const uint8_t *payload;
    struct record_header header;
    bool has = false;
    while (record_next(&cursor, end, &header, &payload) == 1) {
        char line[1024] = "";
        size_t n = header.payload_bytes - 8;
        memcpy(line, payload + 8, n < sizeof line ? n : sizeof line - 1);
        has = has || strstr(line, text) != NULL;
    }
    link_message_release(&message);
    return has;
}

void resume_wait_event(struct rig *rig, const char *run_id, const char *text)
{
    uint64_t until = baro_now_ns() + UINT64_C(20000000000);
    while (!resume_has_event(rig, run_id, text)) {
        if (baro_now_ns() > until) {
            fail_msg("run %s has no event '%s'", run_id, text);
        }
        const struct timespec pause = {.tv_nsec = 5000000};
        (void)nanosleep(&pause, NULL);
    }
}

Baro__ThingInfo *resume_thing(struct rig *rig, uint32_t run, const char *name,
    uint32_t epoch, struct link_message *out)
{
    Baro__SeriesRequest series;
    baro__series_request__init(&series);
    series.run = run;
    Baro__Envelope request;
    baro__envelope__init(&request);
    request.body_case = BARO__ENVELOPE__BODY_SERIES_REQUEST;
    request.series_request = &series;
    rig_ask(rig, &request, out);
    const Baro__SeriesReply *reply = out->wire.envelope->series_reply;
    for (size_t i = 0; i < reply->n_things; i++) {
        if (strcmp(reply->things[i]->declare->name, name) == 0 &&
            reply->things[i]->epoch == epoch) {
            return reply->things[i];
        }
    }
    return NULL;
}

uint64_t resume_repeats(struct rig *rig, const char *run_id, const char *name)
{
    struct link_message message = {0};
    const Baro__ThingInfo *thing =
        resume_thing(rig, resume_info(rig, run_id).run, name, 1, &message);
    assert_non_null(thing);
    uint64_t n = thing->n_repeats;
    link_message_release(&message);
    return n;
}
