/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/bench/store_rig.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <zmq.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"

enum {
    RIG_SERIES = 250, /* of one request: a thousand make four */
    RIG_TIMEOUT_MS = 60000,
    RIG_IDLE_MS = 300,
    RIG_IDLE_TIMEOUT_MS = 120000,
    RIG_MAX_REQUESTS = 64
};

/* ---- made-up readings ---- */

double rig_noise_uniform(struct rig_noise *noise)
{
    noise->state = noise->state == 0 ? UINT64_C(0x9e3779b97f4a7c15) : noise->state;
    noise->state ^= noise->state << 13;
    noise->state ^= noise->state >> 7;
    noise->state ^= noise->state << 17;
    return (double)(noise->state >> 11) * 0x1p-53;
}

float rig_noise_value(struct rig_noise *noise, int64_t step)
{
    double bell = rig_noise_uniform(noise) + rig_noise_uniform(noise) +
                  rig_noise_uniform(noise) - 1.5;
    return (float)(0.3 + 2.0 / (1.0 + (double)step * 1e-3) + 0.1 * bell);
}

int64_t rig_time_ns(struct rig_noise *noise, int64_t step)
{
    const int64_t start_ns = INT64_C(1700000000000000000);
    return start_ns + step * RIG_STEP_NS +
           (int64_t)(0.02 * RIG_STEP_NS * rig_noise_uniform(noise));
}

/* ---- the file ---- */

static void file_path(const struct bench_daemon *daemon, char *out, size_t out_bytes)
{
    (void)snprintf(out, out_bytes, "%s/store.mdb", daemon->dir);
}

uint64_t rig_file_bytes(const struct bench_daemon *daemon)
{
    char path[300];
    struct stat status;
    file_path(daemon, path, sizeof path);
    return stat(path, &status) == 0 ? (uint64_t)status.st_size : 0;
}

/* The share of a file's pages that lie in memory. */
static double cached_share(int fd, size_t n_bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t n_pages = (n_bytes + page - 1) / page;
    void *map =
        n_bytes > 0 ? mmap(NULL, n_bytes, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (map == MAP_FAILED) {
        return -1;
    }
    baro_autofree unsigned char *pages = baro_xcalloc(n_pages, 1);
    double n_cached = 0;
    bool is_known = mincore(map, n_bytes, pages) == 0;
    for (size_t i = 0; is_known && i < n_pages; i++) {
        n_cached += pages[i] & 1;
    }
    (void)munmap(map, n_bytes);
    return is_known ? n_cached / (double)n_pages : -1;
}

double rig_drop_cache(const struct bench_daemon *daemon)
{
    char path[300];
    file_path(daemon, path, sizeof path);
    baro_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    (void)fsync(fd); /* dirty pages stay */
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    return cached_share(fd, rig_file_bytes(daemon));
}

/* ---- the process ---- */

static uint64_t processor_ticks(pid_t pid)
{
    char path[64];
    char text[1024];
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    baro_autofclose FILE *file = fopen(path, "re");
    if (file == NULL || fgets(text, sizeof text, file) == NULL) {
        return 0;
    }
    char *at = strrchr(text, ')');
    for (int field = 2; at != NULL && field < 14; field++) {
        at = strchr(at + 1, ' ');
    }
    if (at == NULL) {
        return 0;
    }
    char *next = NULL;
    uint64_t user = strtoull(at, &next, 10);
    return user + strtoull(next, NULL, 10);
}

void rig_await_idle(const struct bench_daemon *daemon)
{
    uint64_t deadline_ns = baro_now_ns() + RIG_IDLE_TIMEOUT_MS * UINT64_C(1000000);
    uint64_t before = processor_ticks(daemon->pid);
    struct timespec pause = {.tv_nsec = RIG_IDLE_MS * 1000000L};
    while (baro_now_ns() < deadline_ns) {
        (void)nanosleep(&pause, NULL);
        uint64_t now = processor_ticks(daemon->pid);
        if (now <= before + 1) {
            return;
        }
        before = now;
    }
}

struct rig_memory rig_memory(pid_t pid)
{
    struct rig_memory memory = {0};
    char path[64];
    char line[256];
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    baro_autofclose FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "RssAnon:", 8) == 0) {
            memory.own_bytes = strtoull(line + 8, NULL, 10) << 10;
        } else if (strncmp(line, "RssFile:", 8) == 0) {
            memory.file_bytes = strtoull(line + 8, NULL, 10) << 10;
        }
    }
    return memory;
}

uint64_t rig_counter(struct link *link, const char *name)
{
    Baro__StatusRequest body = BARO__STATUS_REQUEST__INIT;
    Baro__Envelope request = BARO__ENVELOPE__INIT;
    request.body_case = BARO__ENVELOPE__BODY_STATUS_REQUEST;
    request.status_request = &body;
    struct link_message reply;
    uint64_t value = 0;
    if (link_ask(link, &request, RIG_TIMEOUT_MS, &reply, NULL) == 0 &&
        reply.wire.envelope->body_case == BARO__ENVELOPE__BODY_STATUS_REPLY) {
        const Baro__StatusReply *status = reply.wire.envelope->status_reply;
        for (size_t i = 0; i < status->n_counters; i++) {
            if (strcmp(status->counters[i]->name, name) == 0) {
                value = status->counters[i]->value;
            }
        }
    }
    link_message_release(&reply);
    return value;
}

/* ---- asking ---- */

static uint32_t request_series(const struct rig_query *query, uint32_t from)
{
    uint32_t left = query->n_things - from;
    return left < RIG_SERIES ? left : RIG_SERIES;
}

static int64_t send_request(
    struct link *link, const struct rig_query *query, uint32_t from, struct baro_err *err)
{
    Baro__SeriesRef refs[RIG_SERIES];
    Baro__SeriesRef *pointers[RIG_SERIES];
    uint32_t n = request_series(query, from);
    for (uint32_t i = 0; i < n; i++) {
        baro__series_ref__init(&refs[i]);
        refs[i].thing = query->first_thing + from + i;
        refs[i].kind = query->kind;
        refs[i].stat = query->stat;
        refs[i].unit = query->unit;
        pointers[i] = &refs[i];
    }
    Baro__RangeRequest body = BARO__RANGE_REQUEST__INIT;
    body.run = query->run;
    body.n_series = n;
    body.series = pointers;
    body.from_step = query->from_step;
    body.to_step = query->to_step;
    body.columns = query->columns;
    Baro__Envelope request = BARO__ENVELOPE__INIT;
    request.body_case = BARO__ENVELOPE__BODY_RANGE_REQUEST;
    request.range_request = &body;
    return link_send(link, &request, err);
}

static int take_answer(struct link *link, struct rig_answer *out, struct baro_err *err)
{
    struct link_message message;
    int rc = link_next(link, RIG_TIMEOUT_MS, &message, err);
    if (rc <= 0) {
        return rc < 0 ? rc : baro_err_set(err, BARO_ETIMEOUT, "no answer to a range");
    }
    const Baro__Envelope *envelope = message.wire.envelope;
    rc = 0;
    if (envelope->body_case == BARO__ENVELOPE__BODY_REFUSAL) {
        rc = baro_err_set(err, envelope->refusal->code, "a range was refused: %s",
            envelope->refusal->text);
    }
    out->n_bytes += message.n_bytes;
    for (size_t i = 0; rc == 0 && i < envelope->range_reply->n_n_points; i++) {
        out->n_readings += envelope->range_reply->n_points[i];
    }
    link_message_release(&message);
    return rc;
}

int rig_ask(struct link *link, const struct rig_query *query, struct rig_answer *out,
    struct baro_err *err)
{
    *out = (struct rig_answer){0};
    uint64_t start_ns = baro_now_ns();
    uint32_t n_requests = 0;
    int rc = 0;
    for (uint32_t from = 0; rc == 0 && from < query->n_things; from += RIG_SERIES) {
        int64_t request = send_request(link, query, from, err);
        rc = request < 0 ? (int)request : 0;
        n_requests++;
    }
    for (uint32_t i = 0; rc == 0 && i < n_requests; i++) {
        rc = take_answer(link, out, err);
    }
    out->seconds = (double)(baro_now_ns() - start_ns) * 1e-9;
    return rc;
}

/* ---- the limit of an answer ---- */

struct raw_answer {
    void *socket; /* of the answering side */
    const struct rig_query *query;
    size_t n_questions;
};

/* Answer each question with frames of the right sizes out of the same memory. */
static void *answer(void *payload)
{
    const struct raw_answer *raw = payload;
    size_t n_bytes = raw->query->series_bytes;
    baro_autofree uint8_t *bytes = baro_xcalloc(n_bytes, 1);
    for (size_t i = 0; i < raw->n_questions; i++) {
        uint8_t peer[256];
        uint32_t from = 0;
        int n = zmq_recv(raw->socket, peer, sizeof peer, 0);
        if (n < 0 || zmq_recv(raw->socket, &from, sizeof from, 0) < 0) {
            break;
        }
        (void)zmq_send(raw->socket, peer, (size_t)n, ZMQ_SNDMORE);
        for (uint32_t left = request_series(raw->query, from); left > 0; left--) {
            zmq_msg_t part;
            (void)zmq_msg_init_data(&part, bytes, n_bytes, NULL, NULL);
            (void)zmq_msg_send(&part, raw->socket, left > 1 ? ZMQ_SNDMORE : 0);
        }
    }
    /* The memory is borrowed by messages under way: the asker closes first. */
    uint32_t end;
    (void)zmq_recv(raw->socket, &end, sizeof end, 0);
    return NULL;
}

static bool take_frames(void *socket)
{
    zmq_msg_t part;
    int is_more = 1;
    while (is_more != 0) {
        (void)zmq_msg_init(&part);
        if (zmq_msg_recv(&part, socket, 0) < 0) {
            (void)zmq_msg_close(&part);
            return false;
        }
        is_more = zmq_msg_more(&part);
        (void)zmq_msg_close(&part);
    }
    return true;
}

static int ask_raw(
    void *socket, const struct rig_query *query, double *samples, size_t n_turns)
{
    for (size_t turn = 0; turn < n_turns; turn++) {
        uint64_t start_ns = baro_now_ns();
        uint32_t n_requests = 0;
        for (uint32_t from = 0; from < query->n_things; from += RIG_SERIES) {
            (void)zmq_send(socket, &from, sizeof from, 0);
            n_requests++;
        }
        for (; n_requests > 0; n_requests--) {
            if (!take_frames(socket)) {
                return BARO_ETIMEOUT;
            }
        }
        samples[turn] = (double)(baro_now_ns() - start_ns) * 1e-9;
    }
    (void)zmq_send(socket, "end", 3, 0);
    return 0;
}

int rig_raw_answer(const char *dir, const struct rig_query *query, double *samples,
    size_t n_turns, struct baro_err *err)
{
    char endpoint[320];
    (void)snprintf(endpoint, sizeof endpoint, "ipc://%s/answer.sock", dir);
    int timeout_ms = RIG_TIMEOUT_MS;
    void *context = zmq_ctx_new();
    uint32_t n_requests = (query->n_things + RIG_SERIES - 1) / RIG_SERIES;
    struct raw_answer raw = {zmq_socket(context, ZMQ_ROUTER), query, n_turns * n_requests};
    void *asker = zmq_socket(context, ZMQ_DEALER);
    (void)zmq_setsockopt(raw.socket, ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms);
    (void)zmq_setsockopt(asker, ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms);
    int rc = zmq_bind(raw.socket, endpoint) == 0 && zmq_connect(asker, endpoint) == 0
                 ? 0
                 : baro_err_set(err, BARO_EIO, "%s: %s", endpoint, zmq_strerror(errno));
    pthread_t thread;
    if (rc == 0 && pthread_create(&thread, NULL, answer, &raw) == 0) {
        rc = ask_raw(asker, query, samples, n_turns);
        (void)pthread_join(thread, NULL);
    }
    (void)zmq_close(asker);
    (void)zmq_close(raw.socket);
    (void)zmq_ctx_term(context);
    (void)unlink(endpoint + sizeof "ipc://" - 1);
    return rc == 0 ? 0 : baro_err_set(err, rc, "raw ZeroMQ did not answer");
}
