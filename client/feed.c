/* SPDX-License-Identifier: Apache-2.0 */
#include "client/feed.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "client/model/keeper.h"
#include "client/model/pace.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/link/link.h"

/*
 * The thread sleeps in poll on two descriptors: the link's, which is edge-triggered, so that it
 * is drained before every sleep, and an eventfd by which the main thread says that the wish has
 * changed or that it is time to stop. Between two models there is at least the time of a
 * frame, half of it when an answer has come, for which a page may be waiting, and four times what
 * the last one cost to make, so that a page of thousands of units cannot take the thread for itself.
 */

enum {
    PUBLISH_MS = 16,
    PUBLISH_ANSWER_MS = 8,
    PUBLISH_SHARE = 4,
    SLEEP_MS = 200,    /* the connection is looked at this often */
    PATIENCE_MS = 400, /* before "connecting" becomes "no daemon" */
    NOTE_BYTES = 1000,
    ASKED = 16, /* questions whose times are kept */
};

struct feed {
    pthread_t thread;
    int event_fd;
    feed_wake_fn wake;
    void *payload;

    pthread_mutex_t mutex;
    pthread_cond_t is_new; /* model has changed */
    const struct model *model;
    struct model_wish wish;
    uint64_t serial;
    bool must_stop;
    bool has_control; /* to be sent */
    struct {
        uint32_t run;
        Baro__ControlKind kind;
        double value;
    } control;
    bool has_note; /* to be sent */
    struct {
        uint32_t run;
        bool is_removal;
        int64_t step;
        uint64_t id;
        char text[NOTE_BYTES + 1];
    } note;
    char answer[256]; /* to either; empty: none */

    /* the thread's own */
    struct link *link;
    struct keeper *keeper;
    int64_t control_request; /* awaited; 0: none */
    int64_t note_request;    /* likewise */
    uint64_t taken;          /* serial of the wish that the keeper has */
    uint64_t start_ns, last_publish_ns, publish_cost_ns;
    bool has_answer; /* that no model has yet */
    unsigned n_connects;
    bool is_mismatched;
    struct {
        uint64_t request, ns;
    } asked[ASKED];
    size_t n_asked;
    uint64_t arrived_ns; /* the last message */
    struct pace pace;
};

static void poke(struct feed *feed)
{
    const uint64_t one = 1;
    ssize_t n = write(feed->event_fd, &one, sizeof one);
    (void)n; /* full: the thread is awake already */
}

/* ---- the thread ---- */

static void publish(struct feed *feed)
{
    uint64_t begin_ns = baro_now_ns();
    const struct model *model = keeper_publish(feed->keeper);
    pthread_mutex_lock(&feed->mutex);
    const struct model *old = feed->model;
    feed->model = model;
    pthread_cond_broadcast(&feed->is_new);
    pthread_mutex_unlock(&feed->mutex);
    part_unref(old);
    feed->has_answer = false;
    feed->last_publish_ns = baro_now_ns();
    feed->publish_cost_ns = feed->last_publish_ns - begin_ns;
    if (feed->wake != NULL) {
        feed->wake(feed->payload);
    }
}

/* Milliseconds until the next model may be made; 0: now. */
static int until_publish_ms(const struct feed *feed)
{
    uint64_t pause_ns =
        (uint64_t)(feed->has_answer ? PUBLISH_ANSWER_MS : PUBLISH_MS) * 1000000;
    if (feed->publish_cost_ns * PUBLISH_SHARE > pause_ns) {
        pause_ns = feed->publish_cost_ns * PUBLISH_SHARE;
    }
    uint64_t now_ns = baro_now_ns();
    uint64_t due_ns = feed->last_publish_ns + pause_ns;
    return now_ns >= due_ns ? 0 : (int)((due_ns - now_ns + 999999) / 1000000);
}

/* Give the keeper the newest wish; false when it is time to stop. */
static bool take_wish(struct feed *feed)
{
    pthread_mutex_lock(&feed->mutex);
    bool must_stop = feed->must_stop;
    if (feed->taken != feed->serial) {
        feed->taken = feed->serial;
        keeper_set_wish(feed->keeper, &feed->wish, feed->serial);
    }
    pthread_mutex_unlock(&feed->mutex);
    return !must_stop;
}

static void look_at_connection(struct feed *feed)
{
    bool is_connected = link_is_connected(feed->link);
    unsigned n_connects = link_n_connects(feed->link);
    if (n_connects != feed->n_connects) {
        feed->n_connects = n_connects;
        feed->is_mismatched = false;
        pace_begin(&feed->pace, link_endpoint(feed->link));
        feed->arrived_ns = 0;
        keeper_on_connect(feed->keeper);
    }
    if (feed->is_mismatched) {
        return;
    }
    if (is_connected) {
        keeper_set_state(feed->keeper, MODEL_READY, "", baro_wall_ns());
        return;
    }
    bool is_patient = feed->n_connects == 0 &&
                      baro_now_ns() - feed->start_ns < (uint64_t)PATIENCE_MS * 1000000 &&
                      link_is_served(feed->link);
    if (is_patient) {
        keeper_set_state(feed->keeper, MODEL_CONNECTING, "", baro_wall_ns());
    } else {
        keeper_set_state(
            feed->keeper, MODEL_AWAY, link_trouble(feed->link), baro_wall_ns());
    }
}

static void answer(struct feed *feed, const char *text)
{
    pthread_mutex_lock(&feed->mutex);
    (void)snprintf(feed->answer, sizeof feed->answer, "%s", text);
    pthread_mutex_unlock(&feed->mutex);
    if (feed->wake != NULL) {
        feed->wake(feed->payload);
    }
}

/* Send what a person asks of a training. */
static void send_control(struct feed *feed)
{
    struct baro_err err = {0};
    Baro__Control control;
    Baro__ControlRequest body = BARO__CONTROL_REQUEST__INIT;
    Baro__Envelope request = BARO__ENVELOPE__INIT;
    baro__control__init(&control);
    pthread_mutex_lock(&feed->mutex);
    bool has_control = feed->has_control;
    feed->has_control = false;
    body.run = feed->control.run;
    control.kind = feed->control.kind;
    control.value = feed->control.value;
    pthread_mutex_unlock(&feed->mutex);
    if (!has_control) {
        return;
    }
    control.reason = (char *)(uintptr_t) "asked in the viewer";
    body.control = &control;
    request.body_case = BARO__ENVELOPE__BODY_CONTROL_REQUEST;
    request.control_request = &body;
    feed->control_request = link_send(feed->link, &request, &err);
    if (feed->control_request < 0) {
        feed->control_request = 0;
        answer(feed, err.text);
    }
}

/* Whether a message answers it; then its sentence is kept. */
static bool take_control(struct feed *feed, const Baro__Envelope *envelope)
{
    char text[256];
    if (feed->control_request == 0 ||
        envelope->request != (uint64_t)feed->control_request) {
        return false;
    }
    feed->control_request = 0;
    if (envelope->body_case == BARO__ENVELOPE__BODY_CONTROL_REPLY) {
        uint32_t n = envelope->control_reply->n_streams;
        (void)snprintf(text, sizeof text,
            "Asked of %u process%s; the run has an event once it is taken.", n,
            n == 1 ? "" : "es");
    } else {
        (void)snprintf(text, sizeof text, "Not asked: %.230s",
            envelope->body_case == BARO__ENVELOPE__BODY_REFUSAL
                ? envelope->refusal->text
                : "the daemon gave another answer");
    }
    answer(feed, text);
    return true;
}

/* The name of who sits here; "" when the system does not know. */
static const char *own_name(void)
{
    const struct passwd *entry = getpwuid(geteuid());
    return entry != NULL && entry->pw_name != NULL ? entry->pw_name : "";
}

/* Send a note that is to be kept, or removed. */
static void send_note(struct feed *feed)
{
    struct baro_err err = {0};
    char text[NOTE_BYTES + 1];
    Baro__Note note;
    Baro__NoteRequest body = BARO__NOTE_REQUEST__INIT;
    Baro__Envelope request = BARO__ENVELOPE__INIT;
    baro__note__init(&note);
    pthread_mutex_lock(&feed->mutex);
    bool has_note = feed->has_note;
    feed->has_note = false;
    body.run = feed->note.run;
    body.remove = feed->note.is_removal ? feed->note.id : 0;
    body.add = feed->note.is_removal ? NULL : &note;
    note.step = feed->note.step;
    memcpy(text, feed->note.text, sizeof text);
    pthread_mutex_unlock(&feed->mutex);
    if (!has_note) {
        return;
    }
    if (!link_is_connected(feed->link)) {
        answer(feed, "Not kept: the daemon is away; n has the text still");
        return;
    }
    note.text = text;
    note.author = (char *)(uintptr_t)own_name();
    request.body_case = BARO__ENVELOPE__BODY_NOTE_REQUEST;
    request.note_request = &body;
    feed->note_request = link_send(feed->link, &request, &err);
    if (feed->note_request < 0) {
        feed->note_request = 0;
        answer(feed, err.text);
    }
}

/* Whether a message answers it; the note itself comes as news. */
static bool take_note(struct feed *feed, const Baro__Envelope *envelope)
{
    char text[256];
    if (feed->note_request == 0 || envelope->request != (uint64_t)feed->note_request) {
        return false;
    }
    feed->note_request = 0;
    if (envelope->body_case != BARO__ENVELOPE__BODY_NOTES_REPLY) {
        (void)snprintf(text, sizeof text, "Not kept: %.230s",
            envelope->body_case == BARO__ENVELOPE__BODY_REFUSAL
                ? envelope->refusal->text
                : "the daemon gave another answer");
        answer(feed, text);
    }
    return true;
}

/* Say that something has come that goes on by itself: only then more is sent. */
static void tell_taken(struct feed *feed, const struct link_message *message)
{
    const Baro__Envelope *envelope = message->wire.envelope;
    Baro__LiveTaken live = BARO__LIVE_TAKEN__INIT;
    Baro__FindingTaken finding = BARO__FINDING_TAKEN__INIT;
    Baro__Envelope out = BARO__ENVELOPE__INIT;
    if (envelope->body_case == BARO__ENVELOPE__BODY_LIVE_RECORDS && message->n_frames > 0) {
        live.run = envelope->live_records->run;
        live.n_bytes = message->frames[0].n_bytes;
        out.body_case = BARO__ENVELOPE__BODY_LIVE_TAKEN;
        out.live_taken = &live;
    } else if (envelope->body_case == BARO__ENVELOPE__BODY_SAMPLE_FINDING) {
        finding.request = envelope->request;
        out.body_case = BARO__ENVELOPE__BODY_FINDING_TAKEN;
        out.finding_taken = &finding;
    } else {
        return;
    }
    (void)link_send(feed->link, &out, NULL);
}

/*
 * How fast the line is; with time enough nobody asks. The parts of a sample tell little: the
 * daemon reads a whole tensor meanwhile.
 */
static void note_pace(struct feed *feed, const struct link_message *message)
{
    uint64_t now_ns = baro_now_ns();
    uint64_t before_ns = feed->arrived_ns;
    uint64_t request = message->wire.envelope->request;
    feed->arrived_ns = now_ns;
    if (request == 0 || feed->wake == NULL ||
        message->wire.envelope->body_case == BARO__ENVELOPE__BODY_SAMPLE_FINDING) {
        return;
    }
    for (size_t i = 0; i < ASKED; i++) {
        uint64_t asked_ns = feed->asked[i].ns;
        if (feed->asked[i].request == request) {
            uint64_t begun_ns = asked_ns > before_ns ? asked_ns : before_ns;
            keeper_set_pace(
                feed->keeper, pace_note(&feed->pace, message->n_bytes + message->n_packed,
                                  (double)(now_ns - asked_ns) * 1e-9,
                                  (double)(now_ns - begun_ns) * 1e-9));
            return;
        }
    }
}

static void take_message(struct feed *feed, struct link_message *message)
{
    note_pace(feed, message);
    tell_taken(feed, message);
    if (take_control(feed, message->wire.envelope) ||
        take_note(feed, message->wire.envelope)) {
        link_message_release(message);
        return;
    }
    struct keeper_frame frames[LINK_MAX_FRAMES];
    size_t n = message->n_frames < LINK_MAX_FRAMES ? message->n_frames : LINK_MAX_FRAMES;
    for (size_t i = 0; i < n; i++) {
        frames[i] =
            (struct keeper_frame){message->frames[i].bytes, message->frames[i].n_bytes};
    }
    feed->has_answer |= message->wire.envelope->request != 0;
    keeper_take(feed->keeper, message->wire.envelope, frames, n);
    link_message_release(message);
}

/* Send what can be asked, take what is there; false when nothing was left to do. */
static bool exchange(struct feed *feed)
{
    bool has_worked = false;
    Baro__Envelope question;
    send_control(feed);
    send_note(feed);
    while (keeper_ask(feed->keeper, &question)) {
        int64_t request = link_send(feed->link, &question, NULL);
        keeper_sent(feed->keeper, request);
        feed->asked[feed->n_asked].ns = baro_now_ns();
        feed->asked[feed->n_asked].request = request > 0 ? (uint64_t)request : 0;
        feed->n_asked = (feed->n_asked + 1) % ASKED;
        if (request < 0) {
            break;
        }
        has_worked = true;
    }
    struct link_message message;
    struct baro_err err = {0};
    int rc = link_next(feed->link, 0, &message, &err);
    if (rc == 1) {
        take_message(feed, &message);
    } else if (rc == BARO_EVERSION) {
        feed->is_mismatched = true;
        keeper_set_state(feed->keeper, MODEL_MISMATCH, err.text, baro_wall_ns());
    }
    look_at_connection(feed);
    has_worked |= keeper_work(feed->keeper);
    return has_worked || rc != 0;
}

static void sleep_until_news(struct feed *feed, int timeout_ms)
{
    struct pollfd fds[2] = {
        {.fd = link_fd(feed->link), .events = POLLIN},
        {.fd = feed->event_fd, .events = POLLIN},
    };
    if (poll(fds, 2, timeout_ms) > 0 && (fds[1].revents & POLLIN) != 0) {
        uint64_t count;
        ssize_t n = read(feed->event_fd, &count, sizeof count);
        (void)n;
    }
}

static void *feed_run(void *arg)
{
    struct feed *feed = arg;
    while (take_wish(feed)) {
        bool has_worked = exchange(feed);
        int wait_ms = SLEEP_MS;
        if (keeper_is_changed(feed->keeper)) {
            wait_ms = until_publish_ms(feed);
            if (wait_ms == 0) {
                publish(feed);
                continue;
            }
        }
        if (!has_worked) {
            sleep_until_news(feed, wait_ms);
        }
    }
    return NULL;
}

/* ---- the main thread's side ---- */

struct feed *feed_open(
    const char *endpoint, feed_wake_fn wake, void *payload, struct baro_err *err)
{
    struct feed *feed = baro_xcalloc(1, sizeof *feed);
    feed->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    feed->wake = wake;
    feed->payload = payload;
    feed->start_ns = baro_now_ns();
    pthread_mutex_init(&feed->mutex, NULL);
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&feed->is_new, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    feed->link = link_open(endpoint, err);
    if (feed->link == NULL || feed->event_fd < 0) {
        feed_close(feed);
        return NULL;
    }
    feed->keeper = keeper_create(link_endpoint(feed->link));
    keeper_set_state(feed->keeper, MODEL_CONNECTING, "", baro_wall_ns());
    feed->model = keeper_publish(feed->keeper);
    int rc = pthread_create(&feed->thread, NULL, feed_run, feed);
    if (rc != 0) {
        (void)baro_err_set(err, BARO_EIO, "start a thread: %s", strerror(rc));
        keeper_destroy(feed->keeper);
        part_unref(feed->model);
        feed->keeper = NULL;
        feed->model = NULL;
        feed_close(feed);
        return NULL;
    }
    return feed;
}

void feed_close(struct feed *feed)
{
    if (feed == NULL) {
        return;
    }
    if (feed->keeper != NULL) {
        pthread_mutex_lock(&feed->mutex);
        feed->must_stop = true;
        pthread_mutex_unlock(&feed->mutex);
        poke(feed);
        (void)pthread_join(feed->thread, NULL);
    }
    part_unref(feed->model);
    keeper_destroy(feed->keeper);
    link_close(feed->link);
    if (feed->event_fd >= 0) {
        (void)close(feed->event_fd);
    }
    pthread_cond_destroy(&feed->is_new);
    pthread_mutex_destroy(&feed->mutex);
    free(feed);
}

uint64_t feed_wish(struct feed *feed, const struct model_wish *wish)
{
    pthread_mutex_lock(&feed->mutex);
    bool is_new = feed->serial == 0 || !model_wish_equal(&feed->wish, wish);
    if (is_new) {
        size_t bytes = wish->n_refs * sizeof wish->refs[0];
        memcpy(&feed->wish, wish, offsetof(struct model_wish, refs) + bytes);
        memcpy(feed->wish.other_refs, wish->other_refs,
            wish->n_other_refs * sizeof wish->other_refs[0]);
        feed->serial++;
    }
    uint64_t serial = feed->serial;
    pthread_mutex_unlock(&feed->mutex);
    if (is_new) {
        poke(feed);
    }
    return serial;
}

void feed_ask(struct feed *feed, uint32_t run, Baro__ControlKind kind, double value)
{
    pthread_mutex_lock(&feed->mutex);
    feed->has_control = true;
    feed->control.run = run;
    feed->control.kind = kind;
    feed->control.value = value;
    pthread_mutex_unlock(&feed->mutex);
    poke(feed);
}

void feed_note(struct feed *feed, uint32_t run, int64_t step, const char *text, uint64_t id)
{
    pthread_mutex_lock(&feed->mutex);
    feed->has_note = true;
    feed->note.run = run;
    feed->note.is_removal = text == NULL;
    feed->note.step = step;
    feed->note.id = id;
    (void)snprintf(feed->note.text, sizeof feed->note.text, "%s", text != NULL ? text : "");
    pthread_mutex_unlock(&feed->mutex);
    poke(feed);
}

bool feed_take_answer(struct feed *feed, char *out, size_t out_bytes)
{
    pthread_mutex_lock(&feed->mutex);
    bool has_answer = feed->answer[0] != '\0';
    if (has_answer) {
        (void)snprintf(out, out_bytes, "%s", feed->answer);
        feed->answer[0] = '\0';
    }
    pthread_mutex_unlock(&feed->mutex);
    return has_answer;
}

const struct model *feed_model(struct feed *feed)
{
    pthread_mutex_lock(&feed->mutex);
    const struct model *model = part_ref(feed->model);
    pthread_mutex_unlock(&feed->mutex);
    return model;
}

bool feed_wait(struct feed *feed, const struct model *than, int timeout_ms)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + (int64_t)timeout_ms * 1000000;
    until.tv_sec += ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    int rc = 0;
    pthread_mutex_lock(&feed->mutex);
    while (feed->model == than && rc != ETIMEDOUT) {
        rc = pthread_cond_timedwait(&feed->is_new, &feed->mutex, &until);
    }
    bool is_new = feed->model != than;
    pthread_mutex_unlock(&feed->mutex);
    return is_new;
}
