/* SPDX-License-Identifier: Apache-2.0 */
#include "client/meter.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "client/draw/draw_raster.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"

/*
 * Times are told as they are on the monotonic clock, which is the same for all processes: who
 * started the program subtracts the time of its start. The delay of a frame that shows a new step
 * is the time from that step's last reading, as the training stamped it, to the frame; when
 * a frame shows several new steps at once it is that of the last. What it costs to follow a run is
 * told of the time since all of the page was there; of the frames that it filled in, the longest.
 *
 * The raw limit draws as many lines of as many columns as the page has, straight from memory to
 * pixels of the same window, and nothing else: no model, layout, texts, or comparing of frames.
 */

enum {
    MAX_SAMPLES = 16384,
    PATIENCE_S = 30, /* for the first useful frame */
    RAW_TURNS = 15,
    RAW_MAX_COLUMNS = 8192
};

struct meter {
    uint64_t start_ns, length_ns;
    uint64_t first_ns, useful_ns, whole_ns; /* of the first such frames; 0: none yet */
    double settled_cpu_ms; /* at settled_ns: once the page was whole, before that useful */
    uint64_t settled_ns;
    double longest_filling_ms;
    size_t n_frames, n_delays;
    int64_t last_step;
    size_t n_lines, n_columns; /* of the page, as of the last frame */
    size_t n_things;
    double pace;        /* of the line, the least in any frame; 0: it was never slow */
    double last_cpu_ms; /* of this thread, at the end of the last frame */
    double *frame_ms, *frame_cpu_ms, *delay_ms; /* room for MAX_SAMPLES */
};

struct meter *meter_create(int seconds)
{
    struct meter *meter = baro_xcalloc(1, sizeof *meter);
    meter->start_ns = baro_now_ns();
    meter->length_ns = (uint64_t)seconds * 1000000000;
    meter->frame_ms = baro_xcalloc(MAX_SAMPLES, sizeof *meter->frame_ms);
    meter->frame_cpu_ms = baro_xcalloc(MAX_SAMPLES, sizeof *meter->frame_cpu_ms);
    meter->delay_ms = baro_xcalloc(MAX_SAMPLES, sizeof *meter->delay_ms);
    return meter;
}

void meter_destroy(struct meter *meter)
{
    if (meter != NULL) {
        free(meter->frame_ms);
        free(meter->frame_cpu_ms);
        free(meter->delay_ms);
        free(meter);
    }
}

/* Processor time of this process, all threads. */
static double cpu_ms(void)
{
    struct rusage usage = {0};
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e3 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-3;
}

/* Processor time of this thread. */
static double own_cpu_ms(void)
{
    struct timespec at = {0};
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
    return (double)at.tv_sec * 1e3 + (double)at.tv_nsec * 1e-6;
}

/* Count the lines of the page that have readings, and the columns of the longest. */
static void count_lines(struct meter *meter, const struct model *model)
{
    meter->n_lines = 0;
    meter->n_columns = 0;
    for (size_t i = 0; i < model->n_series; i++) {
        const struct model_series *series = model->series[i];
        if (!series->is_coarse && series->n > 0) {
            meter->n_lines++;
            meter->n_columns = series->n > meter->n_columns ? series->n : meter->n_columns;
        }
    }
    if (model->sample != NULL && model->sample->lines.n > 0) {
        meter->n_lines += model->sample->n_shown;
        meter->n_columns = model->sample->lines.n;
    }
}

/* From here on counts what is told. */
static void settle(struct meter *meter, uint64_t now_ns)
{
    for (size_t i = 0; i < meter->n_frames; i++) {
        meter->longest_filling_ms = fmax(meter->longest_filling_ms, meter->frame_ms[i]);
    }
    meter->n_frames = 0;
    meter->n_delays = 0;
    meter->settled_ns = now_ns;
    meter->settled_cpu_ms = cpu_ms();
}

void meter_frame(struct meter *meter, const struct view *view, const struct model *model,
    uint64_t begin_ns, bool is_new, bool is_whole)
{
    uint64_t now_ns = baro_now_ns();
    double spent_ms = own_cpu_ms() - meter->last_cpu_ms;
    meter->last_cpu_ms += spent_ms;
    count_lines(meter, model);
    if (model->pace > 0 && (meter->pace <= 0 || model->pace < meter->pace)) {
        meter->pace = model->pace;
    }
    const struct model_run *run = model_run_find(model, view->run);
    bool is_useful = run != NULL && (meter->n_lines > 0 || is_whole);
    bool is_last_filling = is_whole && is_useful && meter->whole_ns == 0;
    if (is_last_filling) {
        meter->whole_ns = now_ns; /* its pixels may have been there before */
    }
    if (!is_new) {
        if (is_last_filling) {
            settle(meter, now_ns);
        }
        return;
    }
    meter->first_ns = meter->first_ns == 0 ? now_ns : meter->first_ns;
    meter->n_things = model->things->n;
    if (!is_useful) {
        return;
    }
    if (meter->useful_ns == 0) {
        meter->useful_ns = now_ns;
        meter->last_step = run->last_step;
        settle(meter, now_ns);
    }
    if (meter->n_frames < MAX_SAMPLES) {
        meter->frame_cpu_ms[meter->n_frames] = spent_ms;
        meter->frame_ms[meter->n_frames++] = (double)(now_ns - begin_ns) * 1e-6;
    }
    if (run->last_step > meter->last_step && meter->n_delays < MAX_SAMPLES) {
        meter->delay_ms[meter->n_delays++] =
            (double)(baro_wall_ns() - run->last_time_ns) * 1e-6;
    }
    meter->last_step = run->last_step;
    if (is_last_filling) {
        settle(meter, now_ns);
    }
}

bool meter_is_over(const struct meter *meter)
{
    uint64_t now_ns = baro_now_ns();
    if (meter->useful_ns == 0) {
        return now_ns - meter->start_ns > (uint64_t)PATIENCE_S * 1000000000;
    }
    return now_ns - meter->useful_ns > meter->length_ns;
}

/* As many lines of as many columns, nothing else; milliseconds of each turn. */
static void draw_raw(const struct meter *meter, int w, int h, double *out_ms)
{
    size_t n = meter->n_columns < (size_t)w ? meter->n_columns : (size_t)w;
    n = n < RAW_MAX_COLUMNS ? n : RAW_MAX_COLUMNS;
    struct raster *raster = raster_create(w, h);
    baro_autofree struct draw_span *spans = baro_xcalloc(n + 1, sizeof *spans);
    for (int turn = 0; turn < RAW_TURNS; turn++) {
        double begin_ms = own_cpu_ms();
        for (size_t line = 0; line < meter->n_lines; line++) {
            float middle = (float)h * ((float)line + 0.5F) / (float)meter->n_lines;
            for (size_t i = 0; i < n; i++) {
                float wave = (float)((i * 7 + line * 13 + (size_t)turn) % 16);
                spans[i] = (struct draw_span){middle + wave, middle + wave + 6};
            }
            raster_band(raster, 0, spans, n, 1, 0.6F, 0xFF62AEF7);
        }
        out_ms[turn] = own_cpu_ms() - begin_ms;
    }
    raster_destroy(raster);
}

static void print_list(const char *name, const double *values, size_t n)
{
    (void)printf(", \"%s\": [", name);
    for (size_t i = 0; i < n; i++) {
        (void)printf("%s%.3f", i > 0 ? ", " : "", values[i]);
    }
    (void)printf("]");
}

int meter_print(struct meter *meter, const struct view *view, int w, int h)
{
    double raw_ms[RAW_TURNS] = {0};
    struct rusage usage = {0};
    double cpu = cpu_ms() - meter->settled_cpu_ms;
    uint64_t now_ns = baro_now_ns();
    (void)getrusage(RUSAGE_SELF, &usage); /* before the raw limit takes memory of its own */
    if (meter->useful_ns == 0) {
        (void)fprintf(stderr, "baro-view: no run was shown in %d s\n", PATIENCE_S);
        return 1;
    }
    draw_raw(meter, w, h, raw_ms);
    (void)printf("{\"page\": \"%s\", \"first_ns\": %llu, \"useful_ns\": %llu, "
                 "\"whole_ns\": %llu, \"things\": %zu, \"lines\": %zu, \"columns\": %zu, "
                 "\"rss_bytes\": %llu, \"cpu_share\": %.4f, \"filling_ms\": %.3f, "
                 "\"slow_line_bytes_per_s\": %.0f",
        view_page_name(view->page), (unsigned long long)meter->first_ns,
        (unsigned long long)meter->useful_ns, (unsigned long long)meter->whole_ns,
        meter->n_things, meter->n_lines, meter->n_columns,
        (unsigned long long)usage.ru_maxrss * 1024,
        cpu * 1e6 / (double)(now_ns - meter->settled_ns), meter->longest_filling_ms,
        meter->pace);
    print_list("frame_ms", meter->frame_ms, meter->n_frames);
    print_list("frame_cpu_ms", meter->frame_cpu_ms, meter->n_frames);
    print_list("delay_ms", meter->delay_ms, meter->n_delays);
    print_list("raw_ms", raw_ms, RAW_TURNS);
    (void)printf("}\n");
    return 0;
}
