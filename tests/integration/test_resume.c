/* SPDX-License-Identifier: Apache-2.0 */
/* What happens when a run is opened that exists already: append, overwrite, branch, epochs. */
#include "tests/testing.h"

#include <math.h>
#include <pthread.h>
#include <time.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/push/baro.h"
#include "tests/integration/daemon_rig.h"

enum { MAX_POINTS = 4096 };
static const int64_t second_ns = 1000000000;
static const int64_t start_ns = INT64_C(1700000000) * 1000000000;

static struct rig rig;

/* A scalar's points as they come back, in order. */
struct points {
    size_t n;
    int64_t steps[MAX_POINTS];
    double values[MAX_POINTS];
};

static int set_up(void **state)
{
    rig_start(&rig);
    return 0;
}

static int clean(void **state)
{
    rig_finish(&rig);
    return 0;
}

static void restart(void)
{
    rig_kill(&rig);
    rig_restart(&rig);
}

/* How a process opens a run. */
struct opening {
    const char *run_id;
    uint32_t resume;
    int64_t resume_step;
    int64_t at_s; /* when it opens it */
    uint32_t rank;
    uint32_t n_ranks;
    bool is_recovery;
    const char *job;
};

static struct pusher open_pusher(int seed, const struct opening *opening)
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
    pusher_init_described(&pusher, &rig, seed, &description);
    pusher.rank = opening->rank;
    pusher.is_recovery = opening->is_recovery;
    pusher_declare_scalar(&pusher, 1, "loss");
    assert_int_equal(pusher_hello(&pusher), 0);
    return pusher;
}

static void push(struct pusher *pusher, int64_t from, int64_t to, double value)
{
    for (int64_t step = from; step < to; step++) {
        pusher_scalar(pusher, 1, step, value);
    }
    pusher_flush(pusher);
}

/* A whole process: opens, pushes from one step to another, is gone. */
static void train(
    int seed, const struct opening *opening, int64_t from, int64_t to, double value)
{
    struct pusher pusher = open_pusher(seed, opening);
    push(&pusher, from, to, value);
    pusher_finish(&pusher);
}

static Baro__RunInfo info_of(const char *run_id)
{
    struct link_message message = {0};
    const Baro__RunInfo *found = rig_run_info(&rig, run_id, &message);
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
static void ask_rows(
    uint32_t run, uint32_t thing, enum reading_kind kind, struct link_message *out)
{
    Baro__RowsRequest rows;
    baro__rows_request__init(&rows);
    rows.run = run;
    rows.thing = thing;
    rows.kind = kind;
    rows.from_step = INT64_MIN;
    rows.to_step = INT64_MAX;
    rows.limit = MAX_POINTS;
    Baro__Envelope request;
    baro__envelope__init(&request);
    request.body_case = BARO__ENVELOPE__BODY_ROWS_REQUEST;
    request.rows_request = &rows;
    rig_ask(&rig, &request, out);
    assert_int_equal(out->n_frames, 1);
}

static struct points points_of(const char *run_id, const char *name)
{
    static struct points points;
    struct link_message message = {0};
    uint32_t run = info_of(run_id).run;
    assert_int_not_equal(run, 0);
    ask_rows(run, rig_thing(&rig, run, name), READING_SCALAR, &message);
    const uint8_t *cursor = message.frames[0].bytes;
    const uint8_t *end = cursor + message.frames[0].n_bytes;
    const uint8_t *payload;
    struct record_header header;
    points.n = 0;
    while (record_next(&cursor, end, &header, &payload) == 1) {
        assert_true(points.n < MAX_POINTS);
        points.steps[points.n] = header.step;
        memcpy(&points.values[points.n++], payload, sizeof(double));
    }
    link_message_release(&message);
    return points;
}

/* Expect steps from..to-1 once each with one value, beginning at a place; gives the next place. */
static size_t expect(
    const struct points *points, size_t at, int64_t from, int64_t to, double value)
{
    for (int64_t step = from; step < to; step++, at++) {
        assert_true(at < points->n);
        assert_int_equal(points->steps[at], step);
        assert_true(points->values[at] == value);
    }
    return at;
}

static bool has_event(const char *run_id, const char *text)
{
    struct link_message message = {0};
    ask_rows(info_of(run_id).run, 0, READING_EVENT, &message);
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

static void wait_event(const char *run_id, const char *text)
{
    uint64_t until = baro_now_ns() + UINT64_C(20000000000);
    while (!has_event(run_id, text)) {
        if (baro_now_ns() > until) {
            fail_msg("run %s has no event '%s'", run_id, text);
        }
        const struct timespec pause = {.tv_nsec = 5000000};
        (void)nanosleep(&pause, NULL);
    }
}

static Baro__ThingInfo *thing_info(
    uint32_t run, const char *name, uint32_t epoch, struct link_message *out)
{
    Baro__SeriesRequest series;
    baro__series_request__init(&series);
    series.run = run;
    Baro__Envelope request;
    baro__envelope__init(&request);
    request.body_case = BARO__ENVELOPE__BODY_SERIES_REQUEST;
    request.series_request = &series;
    rig_ask(&rig, &request, out);
    const Baro__SeriesReply *reply = out->wire.envelope->series_reply;
    for (size_t i = 0; i < reply->n_things; i++) {
        if (strcmp(reply->things[i]->declare->name, name) == 0 &&
            reply->things[i]->epoch == epoch) {
            return reply->things[i];
        }
    }
    return NULL;
}

static uint64_t repeats_of(const char *run_id, const char *name)
{
    struct link_message message = {0};
    const Baro__ThingInfo *thing = thing_info(info_of(run_id).run, name, 1, &message);
    assert_non_null(thing);
    uint64_t n = thing->n_repeats;
    link_message_release(&message);
    return n;
}

/* ---- append ---- */

static void repeated_steps_are_kept_counted_and_told(void **state)
{
    train(1, &(struct opening){.run_id = "a"}, 0, 100, 1);
    struct pusher second = open_pusher(2, &(struct opening){.run_id = "a", .at_s = 60});
    push(&second, 80, 120, 2);
    const struct points points = points_of("a", "loss");
    assert_int_equal(points.n, 140);
    assert_int_equal(expect(&points, expect(&points, 0, 0, 100, 1), 80, 120, 2), 140);
    assert_int_equal(repeats_of("a", "loss"), 20);
    wait_event("a", "resumed at step 80 (append): 20 steps will be seen twice, up to 99");
    assert_true(rig_log_has(&rig, "20 steps will be seen twice"));
    restart(); /* the count is kept */
    assert_int_equal(repeats_of("a", "loss"), 20);
    pusher_finish(&second);
}

static void a_resume_behind_the_last_step_is_told_and_repeats_nothing(void **state)
{
    train(1, &(struct opening){.run_id = "b"}, 0, 10, 1);
    train(2, &(struct opening){.run_id = "b", .at_s = 60}, 10, 20, 2);
    wait_event("b", "resumed at step 10 (append), after step 9");
    assert_int_equal(repeats_of("b", "loss"), 0);
    assert_int_equal(info_of("b").n_steps, 20);
    assert_int_equal(info_of("b").parent, 0);
}

static pthread_mutex_t hearing = PTHREAD_MUTEX_INITIALIZER;
static char heard[512]; /* under hearing, as long as a run is open */

static void hear(const char *text, void *payload)
{
    (void)pthread_mutex_lock(&hearing);
    (void)snprintf(heard, sizeof heard, "%s", text);
    (void)pthread_mutex_unlock(&hearing);
}

static bool has_heard(const char *part)
{
    (void)pthread_mutex_lock(&hearing);
    bool found = strstr(heard, part) != NULL;
    (void)pthread_mutex_unlock(&hearing);
    return found;
}

static void the_client_hears_how_its_run_was_resumed(void **state)
{
    for (int turn = 0; turn < 2; turn++) {
        struct baro_options options = BARO_OPTIONS_INIT;
        options.run_id = "w";
        options.endpoint = rig.endpoint;
        options.ring_dir = rig.dir;
        options.ring_bytes = 2 << 20;
        options.on_message = hear;
        struct baro_run *run = baro_open(&options, NULL);
        assert_non_null(run);
        uint64_t until = baro_now_ns() + UINT64_C(20000000000);
        do {
            (void)baro_step(run, 3);
            (void)baro_scalar(run, "loss", 1);
            const struct timespec pause = {.tv_nsec = 5000000};
            (void)nanosleep(&pause, NULL);
        } while (turn == 1 && !has_heard("will be seen twice") && baro_now_ns() < until);
        assert_int_equal(baro_close(run, 20000), 0);
    }
    assert_string_equal(
        heard, "resumed at step 3 (append): 1 step will be seen twice, up to 3");
}

/* ---- branch ---- */

static void a_branch_has_its_parents_steps_and_then_its_own(void **state)
{
    train(1, &(struct opening){.run_id = "c"}, 0, 100, 1);
    uint32_t old = info_of("c").run;
    const struct opening branch = {
        .run_id = "c", .resume = BARO_RESUME_BRANCH, .resume_step = 60, .at_s = 60};
    train(2, &branch, 60, 90, 2);
    const Baro__RunInfo now = info_of("c");
    const Baro__RunInfo former = info_of("c~1");
    assert_int_equal(former.run, old);
    assert_int_equal(former.n_branches, 1);
    assert_false(former.is_overwritten);
    assert_int_equal(now.parent, old);
    assert_int_equal(now.branch_step, 60);
    assert_int_equal(now.first_step, 0);
    assert_int_equal(now.last_step, 89);
    assert_int_equal(now.n_steps, 90);
    const struct points points = points_of("c", "loss");
    assert_int_equal(expect(&points, expect(&points, 0, 0, 60, 1), 60, 90, 2), points.n);
    const struct points kept = points_of("c~1", "loss");
    assert_int_equal(expect(&kept, 0, 0, 100, 1), kept.n);
    wait_event("c", "branches off 'c~1' at step 60 (branch): its steps 60 to 99 are kept");
    assert_int_equal(repeats_of("c", "loss"), 0);
}

static void charts_of_a_branch_are_drawn_over_both(void **state)
{
    train(1, &(struct opening){.run_id = "x"}, 0, 100, 1);
    const struct opening branch = {
        .run_id = "x", .resume = BARO_RESUME_BRANCH, .resume_step = 60, .at_s = 60};
    train(2, &branch, 60, 90, 2);
    double *values = NULL;
    int64_t *steps = NULL;
    uint32_t run = info_of("x").run;
    size_t n = rig_points(&rig, run, rig_thing(&rig, run, "loss"), &values, &steps);
    assert_int_equal(n, 90);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(steps[i], i);
        assert_true(values[i] == (i < 60 ? 1 : 2));
    }
    free(values);
    free(steps);
}

static void what_a_branch_inherits_outlives_a_restart(void **state)
{
    struct link_message message = {0};
    train(1, &(struct opening){.run_id = "d"}, 0, 50, 1);
    const struct opening branch = {
        .run_id = "d", .resume = BARO_RESUME_BRANCH, .resume_step = 40, .at_s = 60};
    train(2, &branch, 40, 60, 2);
    restart();
    const struct points points = points_of("d", "loss");
    assert_int_equal(expect(&points, expect(&points, 0, 0, 40, 1), 40, 60, 2), points.n);
    const Baro__RunInfo now = info_of("d");
    assert_int_equal(now.parent, info_of("d~1").run);
    assert_int_equal(now.n_steps, 60);
    const Baro__ThingInfo *thing = thing_info(now.run, "loss", 1, &message);
    assert_int_equal(thing->n_points, 20);
    assert_int_equal(thing->n_inherited, 40);
    assert_int_equal(thing->first_step, 0);
    assert_int_equal(thing->last_step, 59);
    link_message_release(&message);
}

static void a_branch_without_a_step_begins_with_its_first_reading(void **state)
{
    train(1, &(struct opening){.run_id = "e"}, 0, 100, 1);
    struct pusher second = open_pusher(
        2, &(struct opening){
               .run_id = "e", .resume = BARO_RESUME_BRANCH, .resume_step = -1, .at_s = 60});
    assert_true(info_of("e").is_branch_open); /* meanwhile it has all that its parent has */
    assert_int_equal(info_of("e").last_step, 99);
    push(&second, 30, 40, 2);
    assert_false(info_of("e").is_branch_open);
    assert_int_equal(info_of("e").branch_step, 30);
    const struct points points = points_of("e", "loss");
    assert_int_equal(expect(&points, expect(&points, 0, 0, 30, 1), 30, 40, 2), points.n);
    pusher_finish(&second);
}

static void overwriting_marks_the_former_run_and_keeps_it(void **state)
{
    train(1, &(struct opening){.run_id = "f"}, 0, 20, 1);
    const struct opening overwrite = {
        .run_id = "f", .resume = BARO_RESUME_OVERWRITE, .resume_step = 10, .at_s = 60};
    train(2, &overwrite, 10, 15, 2);
    assert_true(info_of("f~1").is_overwritten);
    assert_false(info_of("f").is_overwritten);
    const struct points points = points_of("f", "loss");
    assert_int_equal(expect(&points, expect(&points, 0, 0, 10, 1), 10, 15, 2), points.n);
    const struct points kept = points_of("f~1", "loss");
    assert_int_equal(kept.n, 20);
    wait_event("f", "its steps 10 to 19 are kept there, overwritten here");
}

static void branches_of_branches_reach_back_to_the_first(void **state)
{
    train(1, &(struct opening){.run_id = "g"}, 0, 30, 1);
    for (int i = 1; i <= 3; i++) {
        const struct opening branch = {.run_id = "g",
            .resume = BARO_RESUME_BRANCH,
            .resume_step = 10 * i,
            .at_s = INT64_C(3600) * i};
        train(1 + i, &branch, 10 * i, 10 * i + 20, 1 + i);
    }
    const struct points points = points_of("g", "loss");
    size_t at = expect(&points, 0, 0, 10, 1);
    at = expect(&points, at, 10, 20, 2);
    at = expect(&points, at, 20, 30, 3);
    assert_int_equal(expect(&points, at, 30, 50, 4), points.n);
    assert_int_equal(info_of("g~3").parent, info_of("g~2").run);
    assert_int_equal(info_of("g~2").parent, info_of("g~1").run);
    assert_int_equal(points_of("g~2", "loss").n, 30);
}

static void a_branch_before_the_parents_first_step_inherits_nothing(void **state)
{
    train(1, &(struct opening){.run_id = "h"}, 50, 60, 1);
    const struct opening branch = {
        .run_id = "h", .resume = BARO_RESUME_BRANCH, .resume_step = 20, .at_s = 60};
    train(2, &branch, 20, 30, 2);
    const struct points points = points_of("h", "loss");
    assert_int_equal(expect(&points, 0, 20, 30, 2), points.n);
    assert_int_equal(info_of("h").first_step, 20);
    wait_event("h", "nothing of it lies before that");
}

static void a_branch_beyond_the_parents_last_step_leaves_a_gap(void **state)
{
    train(1, &(struct opening){.run_id = "i"}, 0, 10, 1);
    const struct opening branch = {
        .run_id = "i", .resume = BARO_RESUME_BRANCH, .resume_step = 100, .at_s = 60};
    train(2, &branch, 100, 110, 2);
    const struct points points = points_of("i", "loss");
    assert_int_equal(expect(&points, expect(&points, 0, 0, 10, 1), 100, 110, 2), points.n);
    wait_event("i", "from 10 to 99 there is a gap");
}

static void a_branch_of_a_run_that_is_not_there_is_a_new_run(void **state)
{
    const struct opening branch = {
        .run_id = "j", .resume = BARO_RESUME_BRANCH, .resume_step = 100};
    train(1, &branch, 100, 110, 2);
    assert_int_equal(info_of("j").parent, 0);
    assert_int_equal(info_of("j~1").run, 0);
    wait_event("j", "a new run: there was none to resume (branch)");
}

static void series_that_a_branch_never_pushed_are_there_by_inheritance(void **state)
{
    struct link_message message = {0};
    struct pusher first = open_pusher(1, &(struct opening){.run_id = "k"});
    pusher_declare_scalar(&first, 2, "val");
    assert_int_equal(pusher_hello(&first), 0);
    pusher_scalar(&first, 2, 5, 7.0);
    push(&first, 0, 10, 1);
    const struct opening branch = {
        .run_id = "k", .resume = BARO_RESUME_BRANCH, .resume_step = 8, .at_s = 60};
    train(2, &branch, 8, 12, 2);
    const struct points points = points_of("k", "val");
    assert_int_equal(points.n, 1);
    assert_int_equal(points.steps[0], 5);
    /* What its parent names later it has, too. */
    pusher_declare_scalar(&first, 3, "late");
    assert_int_equal(pusher_hello(&first), 11);
    pusher_scalar(&first, 3, 6, 8.0);
    pusher_flush(&first);
    assert_int_equal(points_of("k", "late").n, 1);
    assert_non_null(thing_info(info_of("k").run, "late", 1, &message));
    link_message_release(&message);
    pusher_finish(&first);
}

static uint32_t count_alerts(const char *run_id, int64_t before)
{
    struct link_message message = {0};
    Baro__AlertsRequest alerts;
    baro__alerts_request__init(&alerts);
    alerts.run = info_of(run_id).run;
    Baro__Envelope request;
    baro__envelope__init(&request);
    request.body_case = BARO__ENVELOPE__BODY_ALERTS_REQUEST;
    request.alerts_request = &alerts;
    rig_ask(&rig, &request, &message);
    const Baro__AlertsReply *reply = message.wire.envelope->alerts_reply;
    uint32_t n = 0;
    for (size_t i = 0; i < reply->n_alerts; i++) {
        assert_int_equal(reply->alerts[i]->run, alerts.run);
        assert_true(reply->alerts[i]->step < before);
        assert_int_equal(reply->alerts[i]->thing, rig_thing(&rig, alerts.run, "loss"));
        n += strcmp(reply->alerts[i]->kind, "nonfinite") == 0;
    }
    link_message_release(&message);
    return n;
}

static void alerts_before_the_branch_belong_to_it_too(void **state)
{
    struct pusher first = open_pusher(1, &(struct opening){.run_id = "l"});
    push(&first, 0, 20, 1);
    pusher_scalar(&first, 1, 20, (double)NAN);
    push(&first, 21, 200, 1);
    pusher_scalar(&first, 1, 200, (double)NAN);
    push(&first, 201, 204, 1); /* a step is judged when the second one after it has begun */
    pusher_flush(&first);
    pusher_finish(&first);
    assert_int_equal(count_alerts("l", 201), 2);
    const struct opening branch = {
        .run_id = "l", .resume = BARO_RESUME_BRANCH, .resume_step = 100, .at_s = 60};
    train(2, &branch, 100, 110, 2);
    assert_int_equal(count_alerts("l", 100), 1);
    assert_true(info_of("l").n_alerts < info_of("l~1").n_alerts);
    assert_int_equal(count_alerts("l~1", 201), 2);
    restart();
    assert_int_equal(count_alerts("l", 100), 1);
}

/* ---- who belongs together ---- */

static void ranks_of_one_start_land_in_one_branch(void **state)
{
    for (uint32_t rank = 0; rank < 3; rank++) {
        train(1 + (int)rank,
            &(struct opening){.run_id = "m", .rank = rank, .n_ranks = 3, .at_s = rank}, 0,
            10, 1);
    }
    /* They come in any order, seconds apart, the clock of one a little behind. */
    static const uint32_t order[3] = {2, 0, 1};
    static const int64_t at_s[3] = {100, 117, 95};
    for (int i = 0; i < 3; i++) {
        train(11 + i,
            &(struct opening){.run_id = "m",
                .resume = BARO_RESUME_BRANCH,
                .resume_step = -1,
                .rank = order[i],
                .n_ranks = 3,
                .at_s = at_s[i]},
            i == 1 ? 4 : 5, 8, 2);
    }
    assert_int_equal(info_of("m~2").run, 0);
    assert_int_equal(info_of("m").n_streams, 3);
    assert_int_equal(info_of("m~1").n_branches, 1);
    assert_int_equal(info_of("m").branch_step, 4); /* the earliest of the ranks */
    /* The same again later is another start. */
    for (int i = 0; i < 2; i++) {
        train(21 + i,
            &(struct opening){.run_id = "m",
                .resume = BARO_RESUME_BRANCH,
                .resume_step = -1,
                .rank = order[i],
                .n_ranks = 3,
                .at_s = 200 + at_s[i]},
            6, 9, 3);
    }
    assert_int_equal(info_of("m~3").run, 0);
    assert_int_equal(info_of("m~2").n_branches, 1);
    assert_int_equal(info_of("m").n_streams, 2);
}

static void another_job_of_the_launcher_is_another_branch(void **state)
{
    train(1, &(struct opening){.run_id = "n"}, 0, 10, 1);
    struct opening branch = {.run_id = "n",
        .resume = BARO_RESUME_BRANCH,
        .resume_step = 5,
        .n_ranks = 2,
        .at_s = 10,
        .job = "job 1"};
    train(2, &branch, 5, 7, 2); /* its rank 1 never got here */
    branch.job = "job 2";
    branch.at_s = 20;
    branch.rank = 1;
    train(3, &branch, 5, 7, 3);
    assert_int_equal(info_of("n~2").n_branches, 1);
    assert_int_equal(info_of("n").n_streams, 1);
}

static void a_start_that_failed_leaves_its_branch_to_the_next(void **state)
{
    train(1, &(struct opening){.run_id = "v"}, 0, 10, 1);
    for (int i = 0; i < 3; i++) { /* each says how it ended before its first reading */
        struct pusher failed = open_pusher(2 + i, &(struct opening){.run_id = "v",
                                                      .resume = BARO_RESUME_BRANCH,
                                                      .resume_step = -1,
                                                      .at_s = INT64_C(3600) * (i + 1)});
        const double end = READING_END_FAILED;
        pusher_record(&failed, READING_STATUS, 0, 0, &end, sizeof end);
        pusher_flush(&failed);
        pusher_finish(&failed);
    }
    train(5,
        &(struct opening){
            .run_id = "v", .resume = BARO_RESUME_BRANCH, .resume_step = -1, .at_s = 20000},
        5, 7, 2);
    assert_int_equal(info_of("v~2").run, 0);
    assert_int_equal(info_of("v").n_streams, 4);
    assert_int_equal(info_of("v").branch_step, 5);
}

static void a_client_that_comes_again_does_not_branch_again(void **state)
{
    train(1, &(struct opening){.run_id = "o"}, 0, 10, 1);
    struct pusher second = open_pusher(
        2, &(struct opening){
               .run_id = "o", .resume = BARO_RESUME_BRANCH, .resume_step = 5, .at_s = 60});
    push(&second, 5, 8, 2);
    restart();
    pusher_reconnect(&second, &rig);
    assert_int_equal(pusher_hello(&second), 3);
    push(&second, 8, 10, 2);
    second.is_recovery = true; /* and its ring is read after its end */
    pusher_reconnect(&second, &rig);
    assert_int_equal(pusher_hello(&second), 5);
    assert_int_equal(info_of("o~2").run, 0);
    const struct points points = points_of("o", "loss");
    assert_int_equal(expect(&points, expect(&points, 0, 0, 5, 1), 5, 10, 2), points.n);
    pusher_finish(&second);
}

static void a_ring_that_comes_late_joins_the_run_it_was_recorded_for(void **state)
{
    train(1, &(struct opening){.run_id = "p"}, 0, 10, 1);
    const struct opening branch = {
        .run_id = "p", .resume = BARO_RESUME_BRANCH, .resume_step = 5, .at_s = 600};
    train(2, &branch, 5, 8, 2);
    const struct opening late = {.run_id = "p", .at_s = 300, .is_recovery = true};
    train(3, &late, 10, 12, 3);
    const struct points kept = points_of("p~1", "loss");
    assert_int_equal(expect(&kept, expect(&kept, 0, 0, 10, 1), 10, 12, 3), kept.n);
    assert_int_equal(points_of("p", "loss").n, 8);
    /* A branch that was recorded before does not take the name of the one that is current. */
    const struct opening old_branch = {.run_id = "p",
        .resume = BARO_RESUME_BRANCH,
        .resume_step = 3,
        .at_s = 400,
        .n_ranks = 2,
        .is_recovery = true};
    train(4, &old_branch, 3, 6, 4);
    assert_int_equal(points_of("p", "loss").n, 8);
    assert_int_equal(info_of("p~2").parent, info_of("p~1").run);
    const struct points other = points_of("p~2", "loss");
    assert_int_equal(expect(&other, expect(&other, 0, 0, 3, 1), 3, 6, 4), other.n);
}

static void two_living_processes_of_one_rank_are_told(void **state)
{
    struct pusher first = open_pusher(1, &(struct opening){.run_id = "q"});
    push(&first, 0, 10, 1);
    struct pusher second = open_pusher(2, &(struct opening){.run_id = "q", .at_s = 1});
    uint64_t until = baro_now_ns() + UINT64_C(20000000000);
    for (int64_t step = 10; !has_event("q", "two processes push as rank 0"); step++) {
        assert_true(baro_now_ns() < until);
        push(&first, step, step + 1, 1);
        push(&second, step, step + 1, 2);
        const struct timespec pause = {.tv_nsec = 50000000};
        (void)nanosleep(&pause, NULL);
    }
    pusher_finish(&first);
    pusher_finish(&second);
}

/* ---- epochs ---- */

static void another_width_is_another_epoch_and_is_told(void **state)
{
    struct link_message message = {0};
    struct pusher pusher = open_pusher(1, &(struct opening){.run_id = "r"});
    pusher_declare_tensor(&pusher, 2, "fc1", BARO_WEIGHT, 64, 8);
    pusher_declare_tensor(&pusher, 3, "fc1", BARO_WEIGHT, 128, 8);
    pusher_declare_tensor(&pusher, 4, "fc1", BARO_ACT, 64, 8);
    pusher_declare_tensor(&pusher, 5, "fc1", BARO_ACT, 20, 8);
    assert_int_equal(pusher_hello(&pusher), 0);
    for (int64_t step = 0; step < 10; step++) {
        pusher_summary(&pusher, step < 5 ? 2 : 3, step, 1.0, 0, 0, -1, -1);
        pusher_summary(&pusher, step % 2 == 0 ? 4 : 5, step, 1.0, 0, 0, -1, -1);
    }
    pusher_summary(&pusher, 2, 10, 1.0, 0, 0, -1, -1); /* as it was before: epoch 1 again */
    pusher_flush(&pusher);
    for (int i = 0; i < 2; i++) {
        uint32_t run = info_of("r").run;
        const Baro__ThingInfo *thing = thing_info(run, "fc1", 2, &message);
        assert_non_null(thing);
        assert_int_equal(thing->declare->role, BARO_WEIGHT);
        assert_int_equal(thing->declare->shape[0], 128);
        assert_int_equal(thing->n_points, 5);
        assert_int_equal(thing->first_step, 5);
        link_message_release(&message);
        assert_null(thing_info(run, "fc1", 3, &message));
        link_message_release(&message);
        restart(); /* epochs are kept */
    }
    wait_event(
        "r", "'fc1:weight' is another from here on: [64, 8] f32 became [128, 8] f32");
    assert_false(has_event("r", "fc1:act'")); /* the batch alone was another */
    pusher_finish(&pusher);
}

/* ---- limits ---- */

static void the_largest_step_works_in_every_way_of_resuming(void **state)
{
    struct pusher first = open_pusher(1, &(struct opening){.run_id = "s"});
    pusher_scalar(&first, 1, 0, 1);
    pusher_scalar(&first, 1, INT64_MAX - 1, 1);
    pusher_scalar(&first, 1, INT64_MAX, 1);
    pusher_flush(&first);
    pusher_finish(&first);
    assert_int_equal(info_of("s").last_step, INT64_MAX);
    assert_int_equal(info_of("s").n_steps, INT64_MAX);
    train(2, &(struct opening){.run_id = "s", .at_s = 60}, 5, 6, 1);
    wait_event("s", "9223372036854775803 steps will be seen twice");
    struct pusher third = open_pusher(3,
        &(struct opening){
            .run_id = "s", .resume = BARO_RESUME_BRANCH, .resume_step = -1, .at_s = 120});
    pusher_scalar(&third, 1, INT64_MAX, 2);
    pusher_flush(&third);
    pusher_finish(&third);
    const struct points points = points_of("s", "loss");
    assert_int_equal(points.n, 4);
    assert_int_equal(points.steps[3], INT64_MAX);
    assert_true(points.values[3] == 2);
}

static void a_way_of_resuming_that_is_none_is_refused(void **state)
{
    struct pusher pusher;
    Baro__RunDescription description;
    baro__run_description__init(&description);
    char id[] = "t";
    description.run_id = id;
    description.resume = 3;
    pusher_init_described(&pusher, &rig, 1, &description);
    assert_int_equal(pusher_hello(&pusher), -1);
    assert_int_equal(pusher.refusal, BARO_EINVAL);
    assert_int_equal(info_of("t").run, 0);
    pusher_finish(&pusher);
}

static void names_beyond_the_limit_are_refused_with_a_sentence(void **state)
{
    struct pusher pusher = open_pusher(1, &(struct opening){.run_id = "u"});
    pusher_declare_scalar(&pusher, 1 << 17, "one too many");
    assert_int_equal(pusher_hello(&pusher), 0);
    push(&pusher, 0, 10, 1); /* those of accepted names go on */
    assert_int_equal(points_of("u", "loss").n, 10);
    wait_event("u", "a process declares at most 131071 names");
    assert_true(rig_log_has(&rig, "a process declares at most 131071 names"));
    pusher_finish(&pusher);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, clean)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(repeated_steps_are_kept_counted_and_told),
        CASE(a_resume_behind_the_last_step_is_told_and_repeats_nothing),
        CASE(the_client_hears_how_its_run_was_resumed),
        CASE(a_branch_has_its_parents_steps_and_then_its_own),
        CASE(charts_of_a_branch_are_drawn_over_both),
        CASE(what_a_branch_inherits_outlives_a_restart),
        CASE(a_branch_without_a_step_begins_with_its_first_reading),
        CASE(overwriting_marks_the_former_run_and_keeps_it),
        CASE(branches_of_branches_reach_back_to_the_first),
        CASE(a_branch_before_the_parents_first_step_inherits_nothing),
        CASE(a_branch_beyond_the_parents_last_step_leaves_a_gap),
        CASE(a_branch_of_a_run_that_is_not_there_is_a_new_run),
        CASE(series_that_a_branch_never_pushed_are_there_by_inheritance),
        CASE(alerts_before_the_branch_belong_to_it_too),
        CASE(ranks_of_one_start_land_in_one_branch),
        CASE(another_job_of_the_launcher_is_another_branch),
        CASE(a_start_that_failed_leaves_its_branch_to_the_next),
        CASE(a_client_that_comes_again_does_not_branch_again),
        CASE(a_ring_that_comes_late_joins_the_run_it_was_recorded_for),
        CASE(two_living_processes_of_one_rank_are_told),
        CASE(another_width_is_another_epoch_and_is_told),
        CASE(the_largest_step_works_in_every_way_of_resuming),
        CASE(a_way_of_resuming_that_is_none_is_refused),
        CASE(names_beyond_the_limit_are_refused_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
