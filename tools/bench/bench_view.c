/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the window costs, how late it is, and how fast it is there. A made-up training of eight
 * processes pushes 10,000 series while baro-view, which measures itself (client/meter.h),
 * follows it with 200 lines of 2,000 columns on the screen, and in a window of 3840 x 2160; a
 * second store, of many readings of a large tensor, is
 * opened at its page. The limit of a frame is the raw drawing of as many lines of as many
 * columns, of a start the first frame of any kind. Without a display SDL draws into memory.
 */
#include "tools/bench/bench.h"

#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/paths.h"
#include "lib/push/baro.h"
#include "tools/bench/store_rig.h"

enum {
    N_RANKS = 8,
    N_SCALARS = 25,      /* charts on the screen: each has a line of every process */
    N_TENSORS = 1225,    /* of each process */
    STEPS_BEFORE = 8100, /* pushed before the window opens: 2,000 columns of 4 steps */
    QUICK_STEPS_BEFORE = 300,
    TENSORS_EVERY = 50, /* steps between readings of a tensor */
    TENSOR_VALUES = 64,
    STEP_MS = 50, /* a live step */
    LIVE_S = 10,
    LARGE_LIVE_S = 5, /* in the large window */
    QUICK_LIVE_S = 1,
    RING_BYTES = 32 << 20,
    RING_HIGH_BYTES = 12 << 20,
    CLOSE_MS = 120000,
    MAX_FIGURES = 16384,
    N_UNITS = 1024,
    UNIT_VALUES = N_UNITS * 5 + 16, /* points of one push */
    STORE_POINTS = 100000000,
    QUICK_STORE_POINTS = 200000,
};

/* All charts fit, and a grid of 4 steps a column does. */
static const char LIVE_SIZE[] = "2768x2000";

/* The training. */
struct training {
    struct baro_run *runs[N_RANKS];
    int64_t scalars[N_RANKS][N_SCALARS];
    int64_t tensors[N_RANKS][N_TENSORS];
    int64_t step;
    atomic_bool must_stop;
};

/* What a window told of itself. */
struct window {
    uint64_t started_ns;
    json_t *figures;
};

/* ---- pushing ---- */

static void pause_ms(int ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    (void)nanosleep(&pause, NULL);
}

static void hold_back(struct baro_run *run)
{
    struct baro_stats stats;
    while (baro_stats(run, &stats) == 0 && stats.ring_used_bytes > RING_HIGH_BYTES) {
        pause_ms(1);
    }
}

static struct baro_tensor layer(int64_t id)
{
    static const float values[TENSOR_VALUES] = {1, 2, 3};
    static const int64_t shape[1] = {TENSOR_VALUES};
    return (struct baro_tensor){.role = BARO_WEIGHT,
        .dtype = BARO_F32,
        .n_dims = 1,
        .shape = shape,
        .data = values,
        .unit_axis = BARO_NO_UNITS,
        .id = id > 0 ? (uint32_t)id : 0};
}

static void declare(struct training *training, int rank)
{
    char name[40];
    for (int i = 0; i < N_SCALARS; i++) {
        (void)snprintf(name, sizeof name, i == 0 ? "loss" : "loss/part%02d", i);
        training->scalars[rank][i] = baro_declare_scalar(training->runs[rank], name);
    }
    for (int i = 0; i < N_TENSORS; i++) {
        struct baro_tensor tensor = layer(0);
        (void)snprintf(name, sizeof name, "block%02d.layer%02d.weight", i / 25, i % 25);
        tensor.name = name;
        training->tensors[rank][i] = baro_declare_tensor(training->runs[rank], &tensor);
    }
}

static int open_training(
    struct bench *bench, const struct bench_daemon *daemon, struct training *training)
{
    struct baro_err err = {0};
    struct baro_options options = {.project = "bench",
        .name = "live",
        .run_id = "benchlive",
        .endpoint = daemon->endpoint,
        .mode = "online",
        .ring_dir = daemon->dir,
        .ring_bytes = RING_BYTES,
        .n_ranks = N_RANKS};
    for (int rank = 0; rank < N_RANKS; rank++) {
        options.rank = rank;
        training->runs[rank] = baro_open(&options, &err);
        if (training->runs[rank] == NULL) {
            return bench_fail(bench, "%s", err.text);
        }
        declare(training, rank);
    }
    return 0;
}

static void push_step(struct training *training)
{
    double fall = exp(-(double)training->step * 1e-4);
    for (int rank = 0; rank < N_RANKS; rank++) {
        struct baro_run *run = training->runs[rank];
        (void)baro_step(run, training->step);
        for (int i = 0; i < N_SCALARS; i++) {
            double wave = sin((double)(training->step * (i + 3) + rank * 7));
            (void)baro_scalar_id(
                run, training->scalars[rank][i], fall * (1 + 0.2 * wave) + 0.05 * i);
        }
        for (int i = 0; i < N_TENSORS; i++) {
            if (training->step == 0 || (training->step + i) % TENSORS_EVERY == 0) {
                struct baro_tensor tensor = layer(training->tensors[rank][i]);
                (void)baro_tensor(run, &tensor);
            }
        }
    }
    training->step++;
}

static void *push_live(void *arg)
{
    struct training *training = arg;
    while (!atomic_load(&training->must_stop)) {
        push_step(training);
        pause_ms(STEP_MS);
    }
    return NULL;
}

static void close_training(struct training *training)
{
    for (int rank = 0; rank < N_RANKS; rank++) {
        (void)baro_close(training->runs[rank], CLOSE_MS);
        training->runs[rank] = NULL;
    }
}

/* ---- the window ---- */

/* Beside this program, or in ../client/ of a build folder. */
static int find_window(char *out)
{
    static const char *const places[] = {
        "/baro-view", "/../client/baro-view", "/../../client/baro-view"};
    char self[BARO_PATH_BYTES];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(self, '/');
    for (size_t i = 0; slash != NULL && i < BARO_LEN(places); i++) {
        int length =
            snprintf(out, BARO_PATH_BYTES, "%.*s%s", (int)(slash - self), self, places[i]);
        if (length > 0 && length < BARO_PATH_BYTES && access(out, X_OK) == 0) {
            return 0;
        }
    }
    return -1;
}

/* In the child: becomes the window or exits. */
static void exec_window(const char *program, const char *const *arguments, int out_fd)
{
    if (getenv("DISPLAY") == NULL && getenv("WAYLAND_DISPLAY") == NULL) {
        (void)setenv("SDL_VIDEODRIVER", "dummy", 1);
    }
    (void)dup2(out_fd, STDOUT_FILENO);
    (void)execv(program, (char *const *)(uintptr_t)arguments);
    _exit(127);
}

/* Run a window to its end and read what it tells. */
static int run_window(struct bench *bench, const struct bench_daemon *daemon,
    const char *page, const char *size, int seconds, struct window *out)
{
    char program[BARO_PATH_BYTES];
    char length[16];
    int ends[2];
    if (find_window(program) != 0) {
        return bench_fail(bench, "cannot find the program baro-view beside baro");
    }
    (void)snprintf(length, sizeof length, "%d", seconds);
    const char *arguments[] = {"baro-view", "--endpoint", daemon->endpoint, "--page", page,
        "--size", size, "--scale", "1", "--bench-window", length, NULL};
    if (pipe(ends) != 0) {
        return bench_fail(bench, "cannot make a pipe");
    }
    (void)fflush(stdout);
    out->started_ns = baro_now_ns();
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(ends[0]);
        exec_window(program, arguments, ends[1]);
    }
    (void)close(ends[1]);
    FILE *file = fdopen(ends[0], "r");
    out->figures = file != NULL ? json_loadf(file, JSON_DISABLE_EOF_CHECK, NULL) : NULL;
    if (file != NULL) {
        (void)fclose(file);
    }
    int status = 0;
    (void)waitpid(pid, &status, 0);
    if (out->figures == NULL || status != 0) {
        json_decref(out->figures);
        out->figures = NULL;
        return bench_fail(bench, "baro-view gave no figures");
    }
    return 0;
}

/* ---- figures ---- */

static size_t list_of(const struct window *window, const char *name, double *out)
{
    const json_t *list = json_object_get(window->figures, name);
    size_t n = json_array_size(list) < MAX_FIGURES ? json_array_size(list) : MAX_FIGURES;
    for (size_t i = 0; i < n; i++) {
        out[i] = json_number_value(json_array_get(list, i));
    }
    return n;
}

static double number_of(const struct window *window, const char *name)
{
    return json_number_value(json_object_get(window->figures, name));
}

/* Milliseconds from the start of the program to a moment that it told. */
static double since_start(const struct window *window, const char *name)
{
    json_int_t at = json_integer_value(json_object_get(window->figures, name));
    return at > 0 ? (double)((uint64_t)at - window->started_ns) * 1e-6 : (double)NAN;
}

static void report_quantiles(struct bench *bench, const char *name, double *values,
    size_t n, double limit_value, const char *limit_name)
{
    static const struct {
        const char *name;
        double q;
    } quantiles[] = {{"p50", 0.5}, {"p99", 0.99}};
    for (size_t i = 0; n > 0 && i < BARO_LEN(quantiles); i++) {
        char text[80];
        (void)snprintf(text, sizeof text, "%s %s", name, quantiles[i].name);
        bench_report(bench, "view", text, bench_quantile(values, n, quantiles[i].q), "ms",
            limit_value, limit_name);
    }
}

/* Frames and delays of a live page; `size` stands before their names, "" for the usual window. */
static void report_frames(
    struct bench *bench, const struct window *window, const char *size)
{
    static const struct {
        const char *list;
        const char *name;
        bool has_limit; /* the same lines, drawn without anything else */
    } rows[] = {{"frame_ms", "frame", true},
        {"frame_cpu_ms", "frame, processor time", true},
        {"delay_ms", "push to pixel", false}};
    baro_autofree double *values = baro_xcalloc(MAX_FIGURES, sizeof *values);
    size_t n = list_of(window, "raw_ms", values);
    double raw = n > 0 ? bench_median(values, n) : (double)NAN;
    char limit[80];
    (void)snprintf(limit, sizeof limit, "raw drawing of %.0f lines of %.0f columns",
        number_of(window, "lines"), number_of(window, "columns"));
    for (size_t i = 0; i < BARO_LEN(rows); i++) {
        char name[60];
        (void)snprintf(name, sizeof name, "%s%s", size, rows[i].name);
        n = list_of(window, rows[i].list, values);
        report_quantiles(bench, name, values, n, rows[i].has_limit ? raw : (double)NAN,
            rows[i].has_limit ? limit : NULL);
    }
}

static void report_live(struct bench *bench, const struct window *window)
{
    report_frames(bench, window, "");
    bench_report(bench, "view", "start to first useful frame",
        since_start(window, "useful_ns"), "ms", since_start(window, "first_ns"),
        "first frame of any kind");
    bench_report(bench, "view", "frame while the page fills, longest",
        number_of(window, "filling_ms"), "ms", (double)NAN, NULL);
    bench_report(bench, "view", "memory, live", number_of(window, "rss_bytes") * 1e-6, "MB",
        (double)NAN, NULL);
    bench_report(bench, "view", "processor, live", number_of(window, "cpu_share") * 100,
        "%", (double)NAN, NULL);
    bench_note(bench, "%.0f series listed, %.0f lines of up to %.0f columns on the screen.",
        number_of(window, "things"), number_of(window, "lines"),
        number_of(window, "columns"));
}

static int bench_live(struct bench *bench)
{
    struct bench_daemon daemon;
    struct window window = {0};
    baro_autofree struct training *training = baro_xcalloc(1, sizeof *training);
    int rc = bench_daemon_start(bench, &daemon);
    rc = rc != 0 ? rc : open_training(bench, &daemon, training);
    if (rc != 0) {
        return rc;
    }
    int n_before = bench_is_quick(bench) ? QUICK_STEPS_BEFORE : STEPS_BEFORE;
    for (int i = 0; i < n_before; i++) {
        push_step(training);
        hold_back(training->runs[i % N_RANKS]);
    }
    rig_await_idle(&daemon);
    pthread_t thread;
    if (pthread_create(&thread, NULL, push_live, training) != 0) {
        return bench_fail(bench, "cannot start a thread");
    }
    rc = run_window(bench, &daemon, "overview", LIVE_SIZE,
        bench_is_quick(bench) ? QUICK_LIVE_S : (int)bench_seconds(bench, LIVE_S), &window);
    if (rc == 0) {
        report_live(bench, &window);
        json_decref(window.figures);
        rc = run_window(bench, &daemon, "overview", "3840x2160",
            bench_is_quick(bench) ? QUICK_LIVE_S : LARGE_LIVE_S, &window);
    }
    atomic_store(&training->must_stop, true);
    (void)pthread_join(thread, NULL);
    close_training(training);
    if (rc == 0) {
        report_frames(bench, &window, "3840 x 2160: ");
        bench_report(bench, "view", "3840 x 2160: memory",
            number_of(&window, "rss_bytes") * 1e-6, "MB", (double)NAN, NULL);
        json_decref(window.figures);
        rig_await_idle(&daemon);
        rc = run_window(
            bench, &daemon, "overview", LIVE_SIZE, bench_is_quick(bench) ? 1 : 3, &window);
    }
    if (rc == 0) {
        bench_report(bench, "view", "processor, run over",
            number_of(&window, "cpu_share") * 100, "%", (double)NAN, NULL);
        json_decref(window.figures);
    }
    bench_daemon_stop(&daemon, false);
    return rc;
}

/* ---- a large store ---- */

static int fill_store(
    struct bench *bench, const struct bench_daemon *daemon, int64_t n_points)
{
    static float values[N_UNITS * 8];
    static const int64_t shape[2] = {N_UNITS, 8};
    struct baro_err err = {0};
    struct baro_options options = {.project = "bench",
        .name = "large",
        .endpoint = daemon->endpoint,
        .mode = "online",
        .ring_dir = daemon->dir,
        .ring_bytes = RING_BYTES};
    struct baro_tensor tensor = {.name = "layer.weight",
        .role = BARO_WEIGHT,
        .dtype = BARO_F32,
        .n_dims = 2,
        .shape = shape,
        .data = values};
    struct rig_noise noise = {.state = 1};
    struct baro_run *run = baro_open(&options, &err);
    if (run == NULL) {
        return bench_fail(bench, "%s", err.text);
    }
    for (size_t i = 0; i < BARO_LEN(values); i++) {
        values[i] = (float)rig_noise_uniform(&noise);
    }
    for (int64_t step = 0; step * UNIT_VALUES < n_points; step++) {
        (void)baro_step(run, step);
        for (size_t i = 0; i < N_UNITS; i++) {
            values[i * 8 + (size_t)step % 8] +=
                (float)(rig_noise_uniform(&noise) - 0.5) * 0.02F;
        }
        (void)baro_tensor(run, &tensor);
        hold_back(run);
    }
    int rc = baro_close(run, CLOSE_MS);
    return rc == 0 ? 0 : bench_fail(bench, "the store could not be filled");
}

static int bench_large(struct bench *bench)
{
    struct bench_daemon daemon;
    struct window window = {0};
    int64_t n_points =
        bench_points(bench, bench_is_quick(bench) ? QUICK_STORE_POINTS : STORE_POINTS);
    int rc = bench_daemon_start(bench, &daemon);
    rc = rc != 0 ? rc : fill_store(bench, &daemon, n_points);
    if (rc == 0) {
        rig_await_idle(&daemon);
        rc = run_window(
            bench, &daemon, "tensor", "1440x900", bench_is_quick(bench) ? 1 : 4, &window);
    }
    if (rc == 0) {
        double first = since_start(&window, "first_ns");
        bench_report(bench, "view", "large store: first picture",
            since_start(&window, "useful_ns"), "ms", first, "first frame of any kind");
        bench_report(bench, "view", "large store: page complete",
            since_start(&window, "whole_ns"), "ms", first, "first frame of any kind");
        bench_note(bench, "The large store holds %.3g readings in %.3g bytes.",
            (double)n_points, (double)rig_file_bytes(&daemon));
        json_decref(window.figures);
    }
    bench_daemon_stop(&daemon, false);
    return rc;
}

int bench_view(struct bench *bench)
{
    int rc = bench_live(bench);
    return rc != 0 ? rc : bench_large(bench);
}
