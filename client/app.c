/* SPDX-License-Identifier: Apache-2.0 */
#include "client/app.h"

#include <SDL.h>
#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/canvas.h"
#include "client/draw/png.h"
#include "client/feed.h"
#include "client/meter.h"
#include "client/screenshot.h"
#include "client/settings.h"
#include "client/view/capture.h"
#include "client/view/input.h"
#include "client/view/undo.h"
#include "lib/base/clock.h"

/*
 * One thread of its own has SDL: this one. It sleeps until something happens (input, a new
 * model), lets all that is waiting change the view, draws once, copies the boxes that differ to
 * the window's surface and has them shown. The picture is made by our own rasteriser and only
 * copied by SDL, so it is the same under every video driver.
 */

struct app {
    struct options options; /* with what is remembered */
    struct settings settings;
    bool is_remembered; /* what the window looks like is kept for the next one */
    bool has_scale;     /* the person has chosen one */
    struct canvas *canvas;
    struct view *view;
    struct feed *feed;
    struct meter *meter;       /* NULL: none */
    const struct model *model; /* of the last frame */
    SDL_Window *window;
    float scale; /* device pixels in a logical one */
    float ratio; /* device pixels in a unit of mouse positions */
    Uint32 wake_event;
    atomic_bool is_open;  /* there is a window to be woken */
    atomic_bool is_woken; /* a wake event waits in SDL's queue */
    bool must_draw, must_quit, must_present;
    bool has_shown;    /* a run */
    bool is_exporting; /* the next key says what */
    struct undo undo;
    bool must_upload_all; /* pixels have been drawn that the window does not have */
    uint64_t start_ns;
    uint64_t
        tick_ns; /* of the last tick while something moves by itself; 0: nothing does */
    int status;
};

/* ---- opening ---- */

/* Called on the feed's thread: at most one event waits at a time. */
static void wake(void *payload)
{
    struct app *app = payload;
    if (atomic_load(&app->is_open) && !atomic_exchange(&app->is_woken, true)) {
        SDL_Event event = {.type = app->wake_event};
        (void)SDL_PushEvent(&event);
    }
}

static int fail(const char *what)
{
    (void)fprintf(stderr,
        "baro-view: %s: %s; without a display, --screenshot FILE writes a picture\n", what,
        SDL_GetError());
    return 1;
}

/* How many device pixels a logical one gets when the person has not said. */
static float guess_scale(void)
{
    float dpi = 0;
    if (SDL_GetDisplayDPI(0, &dpi, NULL, NULL) == 0 && dpi >= 168) {
        return 2;
    }
    return 1;
}

/* Size of the window in device pixels; false: it has none. */
static bool surface_size(const struct app *app, int *out_w, int *out_h)
{
    const SDL_Surface *surface = SDL_GetWindowSurface(app->window);
    if (surface == NULL || surface->w < 1 || surface->h < 1) {
        return false;
    }
    *out_w = surface->w;
    *out_h = surface->h;
    return true;
}

/* Where the window was last, if that is on a screen still: some of its title bar is. */
static void restore_place(const struct app *app, int w, int h, SDL_Point *out)
{
    enum { BAR_W = 100, BAR_H = 40 };
    const struct settings *settings = &app->settings;
    if (!app->is_remembered || !settings->has_place) {
        return;
    }
    const SDL_Rect bar = {settings->x + (w - BAR_W) / 2, settings->y, BAR_W, BAR_H};
    for (int i = 0; i < SDL_GetNumVideoDisplays() && h > 0; i++) {
        SDL_Rect screen;
        SDL_Rect seen;
        if (SDL_GetDisplayUsableBounds(i, &screen) == 0 &&
            SDL_IntersectRect(&screen, &bar, &seen) == SDL_TRUE && seen.h == BAR_H) {
            *out = (SDL_Point){settings->x, settings->y};
        }
    }
}

/* Keep what the window looks like for the next one. */
static void remember(struct app *app)
{
    struct settings *settings = &app->settings;
    if (!app->is_remembered || app->window == NULL || app->view == NULL) {
        return;
    }
    settings->is_maximized = (SDL_GetWindowFlags(app->window) & SDL_WINDOW_MAXIMIZED) != 0;
    if (!settings->is_maximized) {
        SDL_GetWindowPosition(app->window, &settings->x, &settings->y);
        settings->has_place = true;
        settings->w = (int)lroundf((float)canvas_w(app->canvas) / app->scale);
        settings->h = (int)lroundf((float)canvas_h(app->canvas) / app->scale);
        settings->has_size = true;
    }
    settings->scale = app->has_scale ? app->scale : settings->scale;
    settings->theme = app->view->theme;
    settings->page = app->view->page;
    settings->has_page = true;
    settings->smoothing = app->view->smoothing;
    settings->pins[0] = '\0';
    for (size_t i = 0; i < app->view->overview.n_pins; i++) {
        settings_add_pin(settings, app->view->overview.pins[i]);
    }
    settings->is_still = app->view->is_still;
    settings->has_motion = settings->has_motion || app->view->has_chosen_motion;
    (void)settings_save(settings); /* without a home there is nothing to keep it in */
}

static int open_window(struct app *app)
{
    SDL_SetHint(SDL_HINT_FRAMEBUFFER_ACCELERATION, "0");
    SDL_SetHint(SDL_HINT_VIDEO_ALLOW_SCREENSAVER, "1");
    if (SDL_Init(SDL_INIT_VIDEO) != 0) {
        return fail("cannot open a display");
    }
    app->wake_event = SDL_RegisterEvents(1);
    app->scale = app->options.scale > 0 ? app->options.scale : guess_scale();
    int w = (int)((float)app->options.w * app->scale + 0.5F);
    int h = (int)((float)app->options.h * app->scale + 0.5F);
    SDL_Point place = {SDL_WINDOWPOS_CENTERED, SDL_WINDOWPOS_CENTERED};
    restore_place(app, w, h, &place);
    app->window = SDL_CreateWindow("Barograph", place.x, place.y, w, h,
        SDL_WINDOW_RESIZABLE | SDL_WINDOW_ALLOW_HIGHDPI |
            (app->is_remembered && app->settings.is_maximized ? SDL_WINDOW_MAXIMIZED : 0U));
    if (app->window == NULL) {
        return fail("cannot open a window");
    }
    SDL_SetWindowMinimumSize(app->window, 640, 400);
    int out_w = 0;
    int out_h = 0;
    if (!surface_size(app, &out_w, &out_h)) {
        return fail("cannot draw in the window");
    }
    app->ratio = (float)out_w / (float)(w > 0 ? w : 1);
    if (app->options.scale <= 0 && app->ratio > 1) {
        app->scale = app->ratio;
    }
    struct baro_err err = {0};
    app->canvas = canvas_create(out_w, out_h, app->scale, &err);
    if (app->canvas == NULL) {
        (void)fprintf(stderr, "baro-view: %s\n", err.text);
        return 1;
    }
    app->must_upload_all = true;
    return 0;
}

static void close_all(struct app *app)
{
    part_unref(app->model);
    view_destroy(app->view);
    feed_close(app->feed);
    meter_destroy(app->meter);
    if (app->window != NULL) {
        SDL_DestroyWindow(app->window);
    }
    canvas_destroy(app->canvas);
    SDL_Quit();
}

/* ---- drawing ---- */

/* Copy pixels, of rows of w, to a part of a surface. */
static void copy_pixels(
    const SDL_Surface *surface, const SDL_Rect *to, const uint32_t *pixels, int w)
{
    const SDL_PixelFormat *format = surface->format;
    uint8_t *at = (uint8_t *)surface->pixels + (ptrdiff_t)to->y * surface->pitch +
                  (ptrdiff_t)to->x * format->BytesPerPixel;
    if (format->format != SDL_PIXELFORMAT_ARGB8888 &&
        format->format != SDL_PIXELFORMAT_XRGB8888) {
        (void)SDL_ConvertPixels(to->w, to->h, SDL_PIXELFORMAT_ARGB8888, pixels,
            w * (int)sizeof *pixels, format->format, at, surface->pitch);
        return;
    }
    for (int y = 0; y < to->h; y++) {
        memcpy(at + (ptrdiff_t)y * surface->pitch, pixels + (ptrdiff_t)y * w,
            (size_t)to->w * sizeof *pixels);
    }
}

/* Have the window show boxes of the canvas; what lies outside it is left alone. */
static void show(struct app *app, const struct raster_box *boxes, size_t n)
{
    SDL_Surface *surface = SDL_GetWindowSurface(app->window);
    SDL_Rect rects[RASTER_MAX_DIRTY];
    int n_rects = 0;
    int w = canvas_w(app->canvas);
    const uint32_t *pixels = canvas_pixels(app->canvas);
    for (size_t i = 0; surface != NULL && i < n; i++) {
        const struct raster_box all = {0, 0, surface->w, surface->h};
        const struct raster_box box = raster_box_cut(boxes[i], all);
        if (box.x0 >= box.x1 || box.y0 >= box.y1) {
            continue; /* it has become smaller since; its size comes as an event */
        }
        SDL_Rect rect = {box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0};
        copy_pixels(surface, &rect, pixels + (size_t)box.y0 * (size_t)w + box.x0, w);
        rects[n_rects++] = rect;
    }
    if (n_rects > 0) {
        (void)SDL_UpdateWindowSurfaceRects(app->window, rects, n_rects);
    }
}

/* A run that the daemon did not have when the window opened is most likely a slip: say so and
 * go. One that is waited for, without a daemon or before its training, is waited for. */
static void refuse_lost_run(struct app *app)
{
    enum { AT_ONCE_MS = 2000 };
    char text[600];
    bool is_early = baro_now_ns() - app->start_ns < (uint64_t)AT_ONCE_MS * 1000000;
    if (app->view->has_lost_run && is_early && app->model->runs->n > 0 && !app->has_shown) {
        (void)fprintf(stderr, "baro-view: %s\n",
            model_run_missed(app->model, app->view->wanted_run, text, sizeof text));
        app->status = 1;
        app->must_quit = true;
    }
    app->has_shown = app->has_shown || app->view->run != 0;
}

/* Have done what the view asks of the daemon. */
static void pass_on_requests(struct app *app)
{
    struct view_control *control = &app->view->control;
    struct view_notes *notes = &app->view->notes;
    if (control->has_request) {
        control->has_request = false;
        feed_ask(app->feed, control->run, control->kind, control->value);
    }
    if (notes->request == VIEW_NOTES_ADD) {
        feed_note(app->feed, notes->run, notes->step, notes->text, 0);
        if (app->model->state == MODEL_READY) {
            notes->text[0] = '\0'; /* else it is there to be tried again */
        }
    } else if (notes->request == VIEW_NOTES_REMOVE) {
        feed_note(app->feed, notes->run, 0, NULL, notes->remove);
    }
    notes->request = VIEW_NOTES_NONE;
}

static void draw(struct app *app)
{
    struct raster_box dirty[RASTER_MAX_DIRTY];
    uint64_t begin_ns = baro_now_ns();
    atomic_store(&app->is_woken, false);
    pass_on_requests(app);
    (void)feed_take_answer(app->feed, app->view->notice, sizeof app->view->notice);
    const struct model *model = feed_model(app->feed);
    part_unref(app->model);
    app->model = model;
    size_t n = canvas_draw(app->canvas, app->view, model, dirty);
    refuse_lost_run(app);
    uint64_t serial = feed_wish(app->feed, &app->view->wish);
    if (app->must_upload_all || app->must_present) {
        const struct raster_box all = {0, 0, canvas_w(app->canvas), canvas_h(app->canvas)};
        show(app, &all, 1);
    } else {
        show(app, dirty, n);
    }
    app->must_upload_all = false;
    app->must_present = false;
    app->must_draw = false;
    if (app->meter != NULL) {
        meter_frame(app->meter, app->view, model, begin_ns, n > 0,
            model->is_complete && model->wish == serial);
    }
}

/* For tests: what the window shows once the page is complete, as a PNG, and out. */
static void dump_when_complete(struct app *app)
{
    enum { PATIENCE_S = 20 };
    bool is_late = baro_now_ns() - app->start_ns > (uint64_t)PATIENCE_S * 1000000000;
    uint64_t serial = feed_wish(app->feed, &app->view->wish);
    if ((!app->model->is_complete || app->model->wish != serial) && !is_late) {
        return;
    }
    int w = canvas_w(app->canvas);
    int h = canvas_h(app->canvas);
    uint32_t *pixels = SDL_malloc((size_t)w * (size_t)h * sizeof *pixels);
    struct baro_err err = {0};
    const SDL_Surface *surface = SDL_GetWindowSurface(app->window);
    bool is_whole = surface != NULL && surface->w >= w && surface->h >= h;
    int rc = pixels == NULL || !is_whole
                 ? -1
                 : SDL_ConvertPixels(w, h, surface->format->format, surface->pixels,
                       surface->pitch, SDL_PIXELFORMAT_ARGB8888, pixels,
                       w * (int)sizeof *pixels);
    for (size_t i = 0; rc == 0 && i < (size_t)w * (size_t)h; i++) {
        pixels[i] |= 0xFF000000U; /* a surface may know no opacity */
    }
    if (rc == 0) {
        rc = png_save(app->options.dump_frame, pixels, w, h, &err);
    }
    if (rc != 0 || is_late) {
        (void)fprintf(stderr, "baro-view: dump: %s\n", is_late ? "too late" : err.text);
        app->status = 1;
    }
    SDL_free(pixels);
    app->must_quit = true;
}

/* ---- events ---- */

static void resize(struct app *app, float scale)
{
    struct baro_err err = {0};
    int w = 0;
    int h = 0;
    if (!surface_size(app, &w, &h)) {
        return;
    }
    if (canvas_resize(app->canvas, w, h, scale, &err) == 0) {
        app->scale = scale;
    }
    app->must_present = true;
}

static float logical(const struct app *app, int at)
{
    return (float)at * app->ratio / app->scale;
}

static bool on_window(struct app *app, const SDL_WindowEvent *event)
{
    switch (event->event) {
    case SDL_WINDOWEVENT_SIZE_CHANGED: resize(app, app->scale); return true;
    case SDL_WINDOWEVENT_EXPOSED: app->must_present = true; return true;
    case SDL_WINDOWEVENT_LEAVE: return input_leave(app->view);
    default: return false;
    }
}

static enum input_key key_of(SDL_Keycode code)
{
    switch (code) {
    case SDLK_LEFT: return INPUT_LEFT;
    case SDLK_RIGHT: return INPUT_RIGHT;
    case SDLK_UP: return INPUT_UP;
    case SDLK_DOWN: return INPUT_DOWN;
    case SDLK_RETURN:
    case SDLK_KP_ENTER: return INPUT_ENTER;
    case SDLK_ESCAPE: return INPUT_ESCAPE;
    case SDLK_BACKSPACE: return INPUT_BACKSPACE;
    case SDLK_HOME: return INPUT_HOME;
    case SDLK_DELETE: return INPUT_DELETE;
    default: return INPUT_NONE;
    }
}

/* Ctrl c: the value under the pointer, with all its digits. */
static void copy_value(struct app *app)
{
    char text[40];
    struct view *view = app->view;
    if (!view->under.has) {
        (void)snprintf(view->notice, sizeof view->notice,
            "Nothing to copy: no line is under the pointer");
        return;
    }
    (void)snprintf(text, sizeof text, "%.17g", view->under.value);
    if (SDL_SetClipboardText(text) == 0) {
        (void)snprintf(view->notice, sizeof view->notice, "Copied %s", text);
    } else {
        (void)snprintf(
            view->notice, sizeof view->notice, "Not copied: %.200s", SDL_GetError());
    }
}

static bool on_key(struct app *app, const SDL_KeyboardEvent *event)
{
    bool has_ctrl = (event->keysym.mod & KMOD_CTRL) != 0;
    SDL_Keycode code = event->keysym.sym;
    if (has_ctrl && (code == SDLK_PLUS || code == SDLK_EQUALS || code == SDLK_KP_PLUS)) {
        app->has_scale = true;
        resize(app, fminf(app->scale * 1.125F, 4));
        return true;
    }
    if (has_ctrl && (code == SDLK_MINUS || code == SDLK_KP_MINUS)) {
        app->has_scale = true;
        resize(app, fmaxf(app->scale / 1.125F, 0.5F));
        return true;
    }
    if (has_ctrl && code == SDLK_c) {
        copy_value(app);
        return true;
    }
    if (has_ctrl && code == SDLK_p) {
        if (!overview_pin_hovered(app->view, app->model)) {
            (void)snprintf(app->view->notice, sizeof app->view->notice,
                "Nothing to pin: point at a scalar's chart on the overview");
        }
        return true;
    }
    enum input_key key = key_of(code);
    bool is_undo = (has_ctrl && code == SDLK_z) ||
                   (key == INPUT_BACKSPACE && app->view->overlay == VIEW_PLAIN);
    if (is_undo) {
        app->view->notice[0] = '\0';
        if (!undo_back(&app->undo, app->view)) {
            (void)snprintf(app->view->notice, sizeof app->view->notice,
                "Nothing to go back to: this is where you began");
        }
        return true;
    }
    app->is_exporting = app->is_exporting && key == INPUT_NONE;
    bool has_shift = (event->keysym.mod & KMOD_SHIFT) != 0;
    return key != INPUT_NONE && input_key(app->view, app->model, key, has_shift);
}

/* A path in the current folder that is not taken yet: vae-beta-4-overview.png. */
static void export_path(const struct app *app, const char *what, const char *ending,
    char *out, size_t out_bytes)
{
    const struct model_run *run = model_run_find(app->model, app->view->run);
    char name[96];
    (void)snprintf(name, sizeof name, "%.30s-%.40s-%s", run != NULL ? run->project : "baro",
        run != NULL ? run->name : "view", what);
    for (char *c = name; *c != '\0'; c++) {
        bool is_plain = (*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'z') ||
                        (*c >= 'A' && *c <= 'Z') || *c == '_' || *c == '.';
        *c = is_plain ? *c : '-';
    }
    (void)snprintf(out, out_bytes, "./%s.%s", name, ending);
    for (int i = 2; i < 10000 && access(out, F_OK) == 0; i++) {
        (void)snprintf(out, out_bytes, "./%s-%d.%s", name, i, ending);
    }
}

static void say_saved(struct app *app, const char *path)
{
    char *full = realpath(path, NULL);
    (void)snprintf(app->view->notice, sizeof app->view->notice, "Saved %.240s",
        full != NULL ? full : path);
    free(full);
}

/* Key e: the window as it is, as a PNG; says where. */
static void export_window(struct app *app)
{
    struct baro_err err = {0};
    char path[128];
    char *notice = app->view->notice;
    struct raster_box dirty[RASTER_MAX_DIRTY];
    notice[0] = '\0'; /* the last one is no part of the picture */
    (void)canvas_draw(app->canvas, app->view, app->model, dirty);
    app->must_upload_all = true;
    export_path(app, view_page_name(app->view->page), "png", path, sizeof path);
    if (png_save(path, canvas_pixels(app->canvas), canvas_w(app->canvas),
            canvas_h(app->canvas), &err) == 0) {
        say_saved(app, path);
    } else {
        (void)snprintf(notice, sizeof app->view->notice, "Not saved: %.200s", err.text);
    }
}

/* The chart under the pointer as CSV or SVG; says where. */
static void export_chart(struct app *app, enum view_capture_kind kind)
{
    struct view *view = app->view;
    char path[160];
    struct raster_box dirty[RASTER_MAX_DIRTY];
    if (!capture_ask(view, kind)) {
        (void)snprintf(view->notice, sizeof view->notice, "This page has no chart to save");
        return;
    }
    (void)canvas_draw(app->canvas, view, app->model, dirty);
    app->must_upload_all = true;
    export_path(app, view->capture.name, kind == VIEW_CAPTURE_CSV ? "csv" : "svg", path,
        sizeof path);
    FILE *file = view->capture.text != NULL ? fopen(path, "wxe") : NULL;
    bool is_written = file != NULL && fwrite(view->capture.text, 1, view->capture.n_bytes,
                                          file) == view->capture.n_bytes;
    if (file != NULL && (fclose(file) != 0 || !is_written)) {
        is_written = false;
        (void)unlink(path);
    }
    if (is_written) {
        say_saved(app, path);
    } else {
        (void)snprintf(view->notice, sizeof view->notice, "Not saved: %.100s: %.80s", path,
            strerror(errno));
    }
    capture_clear(view);
}

/* The key behind e. */
static void export_what(struct app *app, char key)
{
    app->is_exporting = false;
    app->view->notice[0] = '\0';
    switch (key) {
    case 'p': export_window(app); break;
    case 'c': export_chart(app, VIEW_CAPTURE_CSV); break;
    case 's': export_chart(app, VIEW_CAPTURE_SVG); break;
    default: break;
    }
}

static bool on_text(struct app *app, const char *text)
{
    bool is_typing = app->view->overlay != VIEW_PLAIN && app->view->overlay != VIEW_KEYS;
    if (app->is_exporting) {
        export_what(app, text[0]);
        return true;
    }
    if (!is_typing && text[0] == 'q') {
        app->must_quit = true;
        return false;
    }
    if (!is_typing && text[0] == 'e') {
        app->is_exporting = true;
        (void)snprintf(app->view->notice, sizeof app->view->notice,
            "Save: p the window as PNG · c the chart's readings as CSV · s the chart as SVG");
        return true;
    }
    return input_char(app->view, app->model, text);
}

static bool on_button(struct app *app, const SDL_MouseButtonEvent *event)
{
    if (event->button != SDL_BUTTON_LEFT && event->button != SDL_BUTTON_RIGHT) {
        return false;
    }
    app->view->has_shift = (SDL_GetModState() & KMOD_SHIFT) != 0;
    app->view->has_ctrl = (SDL_GetModState() & KMOD_CTRL) != 0;
    enum input_button button = event->button == SDL_BUTTON_LEFT ? INPUT_MAIN : INPUT_SECOND;
    float x = logical(app, event->x);
    float y = logical(app, event->y);
    return event->type == SDL_MOUSEBUTTONDOWN
               ? input_down(app->view, x, y, button, event->clicks)
               : input_up(app->view, app->model, x, y, button);
}

static bool on_event(struct app *app, const SDL_Event *event)
{
    bool is_pointer = event->type >= SDL_MOUSEMOTION && event->type <= SDL_MOUSEWHEEL;
    if (event->type == app->wake_event) {
        return true;
    }
    if (is_pointer && app->options.dump_frame != NULL) {
        return false; /* wherever it happens to be must not change the picture */
    }
    switch (event->type) {
    case SDL_QUIT: app->must_quit = true; return false;
    case SDL_WINDOWEVENT: return on_window(app, &event->window);
    case SDL_KEYDOWN: return on_key(app, &event->key);
    case SDL_TEXTINPUT: return on_text(app, event->text.text);
    case SDL_MOUSEMOTION:
        return input_move(
            app->view, logical(app, event->motion.x), logical(app, event->motion.y));
    case SDL_MOUSEBUTTONDOWN:
    case SDL_MOUSEBUTTONUP: return on_button(app, &event->button);
    case SDL_MOUSEWHEEL:
        app->view->has_ctrl = (SDL_GetModState() & KMOD_CTRL) != 0;
        return input_wheel(
            app->view, app->model, event->wheel.preciseX, event->wheel.preciseY);
    default: return false;
    }
}

/* Move what moves by itself; gives how long to wait for the next event. */
static int tick(struct app *app)
{
    enum { FRAME_MS = 16, STILL_MS = 250, IDLE_MS = 1000 };
    uint64_t now_ns = baro_now_ns();
    app->view->now_s = (double)now_ns * 1e-9;
    if (view_is_moving(app->view) && app->tick_ns != 0) {
        app->must_draw |= view_tick(app->view, (double)(now_ns - app->tick_ns) * 1e-9);
    }
    bool is_moving = view_is_moving(app->view);
    app->tick_ns = is_moving ? now_ns : 0;
    return !is_moving ? IDLE_MS : app->view->is_still ? STILL_MS : FRAME_MS;
}

static void run_loop(struct app *app)
{
    SDL_StartTextInput();
    while (!app->must_quit) {
        SDL_Event event;
        int wait_ms = tick(app);
        if (app->must_draw) {
            draw(app);
            if (app->options.dump_frame != NULL) {
                dump_when_complete(app);
            }
        }
        app->must_quit |= app->meter != NULL && meter_is_over(app->meter);
        if (app->must_quit || SDL_WaitEventTimeout(&event, wait_ms) == 0) {
            app->must_draw |= app->options.dump_frame != NULL;
            continue;
        }
        do {
            app->must_draw |= on_event(app, &event);
            if (event.type != app->wake_event) {
                bool is_flowing =
                    event.type == SDL_MOUSEWHEEL || event.type == SDL_MOUSEMOTION;
                undo_note(&app->undo, app->view, is_flowing);
            }
        } while (!app->must_quit && SDL_PollEvent(&event) != 0);
    }
}

int app_run(const struct options *options)
{
    struct app app = {.options = *options, .must_draw = true, .must_present = true};
    struct baro_err err = {0};
    app.is_remembered = options->dump_frame == NULL && options->bench_window == 0;
    if (app.is_remembered) {
        settings_load(&app.settings);
        settings_apply(&app.settings, &app.options);
    }
    app.start_ns = baro_now_ns();
    if (options->bench_window > 0) {
        app.meter = meter_create(options->bench_window);
    }
    app.feed = feed_open(
        options->endpoint[0] != '\0' ? options->endpoint : NULL, wake, &app, &err);
    if (app.feed == NULL) {
        (void)fprintf(stderr, "baro-view: %s\n", err.text);
        app.status = 1;
    }
    app.status = app.status == 0 ? open_window(&app) : app.status;
    if (app.status == 0) {
        app.view = options_view(&app.options);
        app.view->smoothing = app.settings.smoothing;
        overview_pin_all(app.view, app.settings.pins);
        app.view->is_still = settings_is_still(&app.settings, options);
        atomic_store(
            &app.is_open, true); /* models that came before are seen by the first frame */
        run_loop(&app);
        remember(&app);
        if (app.meter != NULL && app.status == 0) {
            app.status = meter_print(
                app.meter, app.view, canvas_w(app.canvas), canvas_h(app.canvas));
        }
    }
    close_all(&app);
    return app.status;
}
