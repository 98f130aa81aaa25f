/* SPDX-License-Identifier: Apache-2.0 */
#include "client/screenshot.h"

#include <stdio.h>
#include <stdlib.h>

#include "client/canvas.h"
#include "client/draw/png.h"
#include "client/view/input.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"

enum { PATIENCE_MS = 15000 };

/* Why a view of a model can show nothing of a run: a sentence; NULL when it can. */
static const char *obstacle_of(
    const struct view *view, const struct model *model, char *out, size_t out_bytes)
{
    if (model->state == MODEL_AWAY && model->trouble[0] != '\0') {
        (void)snprintf(out, out_bytes, "%s", model->trouble);
    } else if (model->state == MODEL_AWAY) {
        (void)snprintf(out, out_bytes, "no daemon answers at %s; start one with 'baro up'",
            model->endpoint);
    } else if (model->state == MODEL_MISMATCH) {
        (void)snprintf(out, out_bytes, "%s", model->trouble);
    } else if (model->has_runs && view->run == 0 && view->wanted_run != NULL) {
        (void)model_run_missed(model, view->wanted_run, out, out_bytes);
    } else if (model->has_runs && model->runs->n == 0) {
        (void)snprintf(out, out_bytes, "the daemon has no run yet");
    } else if (model->is_complete && view->wanted_tensor != NULL && view->thing == 0 &&
               model->has_things) {
        (void)snprintf(out, out_bytes,
            "the run has no tensor '%s'; 'baro series RUN' lists them",
            view->wanted_tensor);
    } else {
        return NULL;
    }
    return out;
}

/* Draw until the model answers what the page wishes for; 0, or 1 after a sentence. */
static int settle(struct feed *feed, struct view *view, struct canvas *canvas)
{
    char text[600];
    uint64_t end_ns = baro_now_ns() + (uint64_t)PATIENCE_MS * 1000000;
    struct raster_box dirty[RASTER_MAX_DIRTY];
    for (;;) {
        const struct model *model = feed_model(feed);
        (void)canvas_draw(canvas, view, model, dirty);
        uint64_t serial = feed_wish(feed, &view->wish);
        bool is_done = model->is_complete && model->wish == serial;
        bool has_data = model->run != 0 && model->has_things;
        const char *obstacle = obstacle_of(view, model, text, sizeof text);
        bool is_late = baro_now_ns() >= end_ns;
        if (!is_done && obstacle == NULL && !is_late) {
            (void)feed_wait(feed, model, 500);
        }
        part_unref(model);
        if (obstacle != NULL) {
            (void)fprintf(stderr, "baro-view: %s\n", obstacle);
            return 1;
        }
        if (is_done) {
            return 0;
        }
        if (is_late) {
            (void)fprintf(stderr, "baro-view: not all data came within %d s%s\n",
                PATIENCE_MS / 1000,
                has_data ? "; the picture shows what did" : "; is the daemon busy?");
            return has_data ? 0 : 1;
        }
    }
}

static int compare_ns(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* What a repaint costs while the pointer crosses the page from corner to corner. */
static void bench_frames(
    struct feed *feed, struct view *view, struct canvas *canvas, int n, const float size[2])
{
    baro_autofree uint64_t *ns = baro_xcalloc((size_t)n, sizeof *ns);
    struct raster_box dirty[RASTER_MAX_DIRTY];
    const struct model *model = feed_model(feed);
    for (int i = 0; i < n; i++) {
        float t = ((float)i + 0.5F) / (float)n;
        uint64_t begin_ns = baro_now_ns();
        (void)input_move(view, size[0] * (0.25F + 0.7F * t), size[1] * (0.1F + 0.75F * t));
        (void)canvas_draw(canvas, view, model, dirty);
        ns[i] = baro_now_ns() - begin_ns;
    }
    part_unref(model);
    qsort(ns, (size_t)n, sizeof *ns, compare_ns);
    (void)printf("%d frames: median %.2f ms, 95 %% below %.2f ms, worst %.2f ms\n", n,
        (double)ns[n / 2] / 1e6, (double)ns[(size_t)n * 95 / 100] / 1e6,
        (double)ns[n - 1] / 1e6);
}

int screenshot_run(const struct options *options)
{
    struct baro_err err = {0};
    float scale = options->scale > 0 ? options->scale : 1;
    int w_px = (int)((float)options->w * scale + 0.5F);
    int h_px = (int)((float)options->h * scale + 0.5F);
    struct canvas *canvas = canvas_create(w_px, h_px, scale, &err);
    struct feed *feed =
        canvas != NULL ? feed_open(options->endpoint[0] != '\0' ? options->endpoint : NULL,
                             NULL, NULL, &err)
                       : NULL;
    if (feed == NULL) {
        (void)fprintf(stderr, "baro-view: %s\n", err.text);
        canvas_destroy(canvas);
        return 1;
    }
    struct view *view = options_view(options);
    int status = settle(feed, view, canvas);
    if (status == 0 &&
        png_save(options->screenshot, canvas_pixels(canvas), w_px, h_px, &err) != 0) {
        (void)fprintf(stderr, "baro-view: %s\n", err.text);
        status = 1;
    }
    if (status == 0 && options->bench_frames > 0) {
        const float size[2] = {(float)options->w, (float)options->h};
        bench_frames(feed, view, canvas, options->bench_frames, size);
    }
    view_destroy(view);
    feed_close(feed);
    canvas_destroy(canvas);
    return status;
}
