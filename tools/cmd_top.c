/* SPDX-License-Identifier: Apache-2.0 */
/*
 * baro top: one run on one screen of text, drawn anew twice a second, for a terminal over a slow
 * line. It reads the past of what it shows once, as columns no finer than characters, and then
 * subscribes to that alone. Without a terminal it prints one screen and ends.
 */
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/reading.h"
#include "lib/base/text.h"
#include "lib/link/link.h"
#include "tools/alerts.h"
#include "tools/cli.h"
#include "tools/follow.h"
#include "tools/notes.h"
#include "tools/runs.h"
#include "tools/series.h"
#include "tools/top_view.h"

enum {
    TOP_SERIES = 64,
    TOP_NEWS = 16,
    TOP_LAYERS = 4096,
    TOP_COLUMNS = 160, /* of the past */
    FRAME_MS = 500,
    SETTLE_MS = 300, /* longer than a group commit */
    TURN_MS = 50,    /* a key is heard within that time */
    RATE_STEPS = 16
};

static const char OWN_SHARE[] = "barograph/share";

struct top {
    struct cli *cli;
    struct follow follow;
    const char *glob; /* NULL: all scalars of the training */
    struct top_series *series;
    size_t n_series;
    struct top_layer *layers;
    size_t n_layers;
    uint32_t *things; /* of the layers' tensors: thing, place in layers */
    size_t n_things;
    struct top_news news[TOP_NEWS];
    size_t n_news;
    uint64_t n_notes;
    uint32_t share; /* thing of what watching costs; 0: there is none */
    double cost;
    double seconds[RATE_STEPS]; /* of the last steps */
    size_t n_seconds;
    char *shown; /* what stands on the terminal; NULL: nothing yet */
    int shown_w, shown_h;
};

/* ---- what is shown ---- */

static void add_series(struct top *top, uint32_t thing, const char *label)
{
    for (size_t i = 0; i < top->n_series; i++) {
        if (top->series[i].thing == thing) {
            return;
        }
    }
    if (top->n_series < TOP_SERIES) {
        top->series = baro_xrealloc(top->series, top->n_series + 1, sizeof *top->series);
        top->series[top->n_series++] =
            (struct top_series){.thing = thing, .label = baro_xstrdup(label)};
    }
}

/* A tensor belongs to the layer that its name begins with: all but the last part. */
static void add_layer(struct top *top, const Baro__ThingInfo *thing)
{
    const char *name = thing->declare->name;
    const char *dot = strrchr(name, '.');
    size_t n = dot != NULL ? (size_t)(dot - name) : strlen(name);
    uint32_t level = thing->worst_level;
    level = level == 0 && thing->n_nonfinite > 0 ? BARO_WATCH : level;
    size_t at = top->n_layers;
    for (size_t i = 0; i < top->n_layers; i++) {
        const char *path = top->layers[i].path;
        at = strncmp(path, name, n) == 0 && path[n] == '\0' ? i : at;
    }
    if (at == TOP_LAYERS) {
        return;
    }
    if (at == top->n_layers) {
        top->layers = baro_xrealloc(top->layers, at + 1, sizeof *top->layers);
        char *path = baro_xstrdup(name);
        path[n] = '\0';
        top->layers[top->n_layers++] = (struct top_layer){.path = path};
    }
    if (level > top->layers[at].level) {
        top->layers[at].level = level;
    }
    top->things = baro_xrealloc(top->things, 2 * (top->n_things + 1), sizeof *top->things);
    top->things[2 * top->n_things] = thing->thing;
    top->things[2 * top->n_things++ + 1] = (uint32_t)at;
}

static void consider(struct top *top, const Baro__ThingInfo *thing)
{
    char label[SERIES_LABEL_BYTES];
    (void)thing_label(thing, label);
    if (thing_is_tensor(thing)) {
        add_layer(top, thing);
    } else if (!thing_is_run(thing)) {
        top->share = strcmp(label, OWN_SHARE) == 0 ? thing->thing : top->share;
        bool is_wanted =
            top->glob != NULL ? baro_glob(top->glob, label) : !thing_is_own(thing);
        if (is_wanted) {
            add_series(top, thing->thing, label);
        }
    }
}

static int ask_things(struct top *top)
{
    struct thing_list things;
    int rc = things_ask(top->cli, top->follow.run, NULL, &things);
    if (rc != CLI_OK) {
        return rc;
    }
    for (size_t i = 0; i < things.n_things; i++) {
        /* The loss first: it is what one looks for. */
        bool is_tensor = thing_is_tensor(things.things[i]);
        if (!is_tensor && strcmp(things.things[i]->declare->name, "loss") == 0) {
            consider(top, things.things[i]);
        }
    }
    for (size_t i = 0; i < things.n_things; i++) {
        consider(top, things.things[i]);
    }
    things_release(&things);
    if (top->glob == NULL || baro_glob(top->glob, "step_time")) {
        add_series(top, 0, "step_time");
    }
    return CLI_OK;
}

/* ---- news ---- */

static void keep_news(struct top *top, uint64_t id, uint32_t level, int64_t step,
    bool is_open, const char *text)
{
    size_t at = top->n_news;
    for (size_t i = 0; i < top->n_news; i++) {
        at = top->news[i].id == id ? i : at;
    }
    if (at == TOP_NEWS) { /* the oldest of the least grave gives way */
        size_t least = 0;
        for (size_t i = 1; i < top->n_news; i++) {
            least = top->news[i].level < top->news[least].level ? i : least;
        }
        free(top->news[least].text);
        memmove(&top->news[least], &top->news[least + 1],
            (--top->n_news - least) * sizeof top->news[0]);
        at = top->n_news;
    }
    if (at == top->n_news) {
        top->news[top->n_news++] = (struct top_news){.id = id};
    }
    free(top->news[at].text);
    top->news[at].level = level;
    top->news[at].step = step;
    top->news[at].is_open = is_open;
    top->news[at].text = baro_xstrdup(text);
}

static void take_incident(struct top *top, const Baro__Incident *incident)
{
    if (incident != NULL && incident->run == top->follow.run) {
        keep_news(top, incident->id, incident->level, incident->first_step,
            incident->is_open != 0, incident->headline);
    }
}

/* Alerts of incidents are told by those; the others have numbers of their own. */
static void take_alert(struct top *top, const Baro__Alert *alert)
{
    const uint64_t lone = UINT64_C(1) << 63;
    if (alert == NULL || alert->run != top->follow.run) {
        return;
    }
    for (size_t i = 0; i < top->n_things; i++) {
        if (top->things[2 * i] == alert->thing) {
            struct top_layer *layer = &top->layers[top->things[2 * i + 1]];
            layer->level = alert->level > layer->level ? alert->level : layer->level;
        }
    }
    if (alert->incident == 0) {
        keep_news(top, lone | alert->id, alert->level, alert->step, false, alert->text);
    }
}

static int ask_news(struct top *top)
{
    struct link_message reply;
    const Baro__AlertsReply *alerts = alerts_ask(top->cli, top->follow.run, &reply);
    if (alerts == NULL) {
        return CLI_FAILED;
    }
    for (size_t i = 0; i < alerts->n_alerts; i++) {
        take_alert(top, alerts->alerts[i]);
    }
    for (size_t i = 0; i < alerts->n_incidents; i++) {
        take_incident(top, alerts->incidents[i]);
    }
    link_message_release(&reply);
    const Baro__NotesReply *notes = notes_ask(top->cli, top->follow.run, NULL, 0, &reply);
    if (notes == NULL) {
        return CLI_FAILED;
    }
    top->n_notes = notes->n_notes;
    link_message_release(&reply);
    return CLI_OK;
}

/* ---- values ---- */

static void take_past(struct top_series *series, const struct link_frame *frame)
{
    struct wire_column column;
    size_t n = frame->n_bytes / sizeof column;
    series->spark = (struct spark){0};
    for (size_t i = 0; i < n; i++) {
        memcpy(&column, frame->bytes + i * sizeof column, sizeof column);
        if (column.count == 0) {
            continue;
        }
        bool has_bad = column.n_nan + column.n_pos_inf + column.n_neg_inf > 0;
        const double values[] = {
            column.min, column.max, has_bad ? (double)NAN : column.last};
        for (size_t k = 0; k < BARO_LEN(values); k++) {
            if (k == 2 || isfinite(values[k])) {
                spark_add(&series->spark, column.first_step, values[k]);
            }
        }
        spark_add(&series->spark, column.last_step, column.last);
    }
}

/* The past of all series, as columns. */
static int ask_past(struct top *top)
{
    Baro__SeriesRef references[TOP_SERIES];
    Baro__SeriesRef *pointers[TOP_SERIES];
    for (size_t i = 0; i < top->n_series; i++) {
        baro__series_ref__init(&references[i]);
        references[i].thing = top->series[i].thing;
        references[i].kind = top->series[i].thing == 0 ? READING_STEP : READING_SCALAR;
        pointers[i] = &references[i];
    }
    Baro__RangeRequest body = BARO__RANGE_REQUEST__INIT;
    body.run = top->follow.run;
    body.n_series = top->n_series;
    body.series = pointers;
    body.from_step = INT64_MIN;
    body.to_step = INT64_MAX;
    body.columns = TOP_COLUMNS;
    Baro__Envelope request = BARO__ENVELOPE__INIT;
    request.body_case = BARO__ENVELOPE__BODY_RANGE_REQUEST;
    request.range_request = &body;
    struct link_message reply;
    struct baro_err err = {0};
    if (top->n_series == 0) {
        return CLI_OK;
    }
    if (link_ask(top->cli->link, &request, 4 * CLI_TIMEOUT_MS, &reply, &err) != 0) {
        return cli_fail_err(&err);
    }
    for (size_t i = 0; i < top->n_series && i < reply.n_frames; i++) {
        take_past(&top->series[i], &reply.frames[i]);
        if (top->series[i].thing == 0 && top->series[i].spark.has_last) {
            top->seconds[top->n_seconds++ % RATE_STEPS] = top->series[i].spark.last;
        }
    }
    link_message_release(&reply);
    return CLI_OK;
}

/* ---- live ---- */

/* Of the records only those of what is shown; what the line does not carry is left out. */
static int choose(struct top *top)
{
    Baro__LiveWant wants[TOP_SERIES + 2];
    Baro__LiveWant *pointers[TOP_SERIES + 2];
    size_t n = 0;
    Baro__SubscribeRequest body = BARO__SUBSCRIBE_REQUEST__INIT;
    for (size_t i = 0; i < top->n_series + 2; i++) {
        uint32_t thing = i < top->n_series    ? top->series[i].thing
                         : i == top->n_series ? top->share
                                              : 0;
        baro__live_want__init(&wants[n]);
        wants[n].kind = thing == 0 ? READING_STEP : READING_SCALAR;
        wants[n].thing = thing;
        pointers[n] = &wants[n];
        n++;
    }
    body.run = top->follow.run;
    body.is_chosen = true;
    body.is_paced = true;
    body.n_wants = n;
    body.wants = pointers;
    Baro__Envelope request = BARO__ENVELOPE__INIT;
    request.body_case = BARO__ENVELOPE__BODY_SUBSCRIBE_REQUEST;
    request.subscribe_request = &body;
    struct link_message reply;
    struct baro_err err = {0};
    if (link_ask(top->cli->link, &request, CLI_TIMEOUT_MS, &reply, &err) != 0) {
        return cli_fail_err(&err);
    }
    link_message_release(&reply);
    return CLI_OK;
}

static void take_reading(struct top *top, const struct reading *reading)
{
    const struct record_header *header = &reading->header;
    bool is_step = header->kind == READING_STEP;
    if (is_step) {
        top->seconds[top->n_seconds++ % RATE_STEPS] = reading->f64[0];
    } else if (header->kind != READING_SCALAR) {
        return;
    }
    if (!is_step && header->thing == top->share) {
        top->cost = reading->f64[0];
    }
    if (header->step > top->follow.last_step) {
        top->follow.last_step = header->step;
    }
    for (size_t i = 0; i < top->n_series; i++) {
        if (top->series[i].thing == (is_step ? 0 : header->thing)) {
            spark_add(&top->series[i].spark, header->step, reading->f64[0]);
        }
    }
}

static void take_records(struct top *top, const struct link_message *message)
{
    Baro__LiveTaken taken = BARO__LIVE_TAKEN__INIT;
    Baro__Envelope answer = BARO__ENVELOPE__INIT;
    if (message->n_frames < 1 ||
        message->wire.envelope->live_records->run != top->follow.run) {
        return;
    }
    const uint8_t *cursor = message->frames[0].bytes;
    const uint8_t *end = cursor + message->frames[0].n_bytes;
    struct record_header header;
    const uint8_t *payload;
    while (record_next(&cursor, end, &header, &payload) == 1) {
        struct reading reading;
        if (header.kind != READING_UNITS &&
            reading_check(&header, payload, 0, 0, &reading, NULL) == 0) {
            take_reading(top, &reading);
        }
    }
    taken.run = top->follow.run;
    taken.n_bytes = message->frames[0].n_bytes;
    answer.body_case = BARO__ENVELOPE__BODY_LIVE_TAKEN;
    answer.live_taken = &taken;
    (void)link_send(top->cli->link, &answer, NULL);
}

static void take_message(struct top *top, const struct link_message *message)
{
    const Baro__Envelope *envelope = message->wire.envelope;
    switch ((int)envelope->body_case) {
    case BARO__ENVELOPE__BODY_LIVE_RECORDS: take_records(top, message); break;
    case BARO__ENVELOPE__BODY_LIVE_ALERT:
        take_alert(top, envelope->live_alert->alert);
        break;
    case BARO__ENVELOPE__BODY_LIVE_INCIDENT:
        take_incident(top, envelope->live_incident->incident);
        break;
    case BARO__ENVELOPE__BODY_LIVE_NOTE:
        top->n_notes += envelope->live_note->note != NULL &&
                                envelope->live_note->note->run == top->follow.run &&
                                !envelope->live_note->note->is_removed
                            ? 1
                            : 0;
        break;
    case BARO__ENVELOPE__BODY_LIVE_RUN:
        if (envelope->live_run->run != NULL &&
            envelope->live_run->run->run == top->follow.run) {
            follow_note(&top->follow, envelope->live_run->run);
        }
        break;
    case BARO__ENVELOPE__BODY_LIVE_THINGS: {
        size_t n_before = top->n_series;
        for (size_t i = 0; envelope->live_things->run == top->follow.run &&
                           i < envelope->live_things->n_things;
             i++) {
            consider(top, envelope->live_things->things[i]);
        }
        if (top->n_series != n_before) {
            (void)choose(top);
        }
        break;
    }
    default: break;
    }
}

/* What came before the subscription is in the store soon: wait for it, and take what comes. */
static void settle(struct top *top)
{
    struct link_message message;
    struct baro_err err = {0};
    uint64_t until_ns = baro_now_ns() + SETTLE_MS * UINT64_C(1000000);
    while (!run_has_ended(top->follow.status) && baro_now_ns() < until_ns) {
        if (link_next(top->cli->link, TURN_MS, &message, &err) == 1) {
            take_message(top, &message);
            link_message_release(&message);
        }
    }
}

/* All that has to be read before the first screen, and again when the daemon was away. */
static int read_all(struct top *top, bool is_live)
{
    int rc = ask_things(top);
    rc = rc == CLI_OK && is_live ? choose(top) : rc;
    if (rc == CLI_OK) {
        settle(top);
        rc = ask_past(top);
    }
    return rc == CLI_OK ? ask_news(top) : rc;
}

/* ---- the screen ---- */

static char *draw(struct top *top, int width, int height, bool is_live)
{
    double sum = 0;
    size_t n = top->n_seconds < RATE_STEPS ? top->n_seconds : RATE_STEPS;
    for (size_t i = 0; i < n; i++) {
        sum += top->seconds[i];
    }
    bool has_ended = run_has_ended(top->follow.status);
    const struct top_screen screen = {.name = top->follow.name,
        .status = run_status_name(top->follow.status),
        .reason = top->follow.reason,
        .status_paint = run_status_paint(top->follow.status),
        .last_step = top->follow.last_step,
        .steps_per_s = n > 0 && sum > 0 && !has_ended ? (double)n / sum : (double)NAN,
        .cost = top->cost,
        .away = top->follow.is_away
                    ? "The daemon is gone; waiting for it. What is below is from before."
                    : "",
        .series = top->series,
        .n_series = top->n_series,
        .layers = top->layers,
        .n_layers = top->n_layers,
        .news = top->news,
        .n_news = top->n_news,
        .n_notes = top->n_notes};
    return top_view_draw(&screen, &top->cli->out, width, height, is_live);
}

static void find_size(int *out_width, int *out_height)
{
    struct winsize size = {0};
    *out_width = 80;
    *out_height = 24;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 &&
        size.ws_row > 0) {
        *out_width = size.ws_col < 20 ? 20 : size.ws_col;
        *out_height = size.ws_row < 5 ? 5 : size.ws_row;
    }
}

/* Paint those lines that are others than before, over what is there: so that nothing flickers, and
 * a screen on which nothing happens costs no byte. */
static void show(struct top *top)
{
    int width = 0;
    int height = 0;
    find_size(&width, &height);
    char *text = draw(top, width, height, true);
    const char *old = top->shown;
    if (old == NULL || width != top->shown_w || height != top->shown_h) {
        (void)fputs("\033[2J", stdout);
        old = "";
    }
    int row = 1;
    for (const char *line = text; *line != '\0'; row++) {
        size_t n = strcspn(line, "\n");
        size_t n_old = strcspn(old, "\n");
        if (n != n_old || memcmp(line, old, n) != 0) {
            (void)printf("\033[%d;1H%.*s\033[K", row, (int)n, line);
        }
        line += n + (line[n] == '\n' ? 1 : 0);
        old += n_old + (old[n_old] == '\n' ? 1 : 0);
    }
    (void)fflush(stdout);
    free(top->shown);
    top->shown = text;
    top->shown_w = width;
    top->shown_h = height;
}

static struct termios old_mode;
static volatile sig_atomic_t has_old_mode;

/* Give the terminal back as it was; also from a signal's handler. */
static void restore(void)
{
    static const char leave[] = "\033[?25h\033[?1049l";
    if (has_old_mode != 0) {
        has_old_mode = 0;
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &old_mode);
        ssize_t n = write(STDOUT_FILENO, leave, sizeof leave - 1);
        (void)n;
    }
}

static void on_end(int number)
{
    restore();
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

static void take_terminal(void)
{
    static const int ends[] = {SIGHUP, SIGQUIT, SIGABRT, SIGSEGV, SIGBUS, SIGFPE};
    if (tcgetattr(STDIN_FILENO, &old_mode) != 0) {
        return;
    }
    struct termios raw = old_mode;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    has_old_mode = 1;
    (void)atexit(restore);
    for (size_t i = 0; i < BARO_LEN(ends); i++) {
        struct sigaction action = {.sa_handler = on_end};
        (void)sigaction(ends[i], &action, NULL);
    }
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    (void)setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    (void)fputs("\033[?1049h\033[?25l\033[2J", stdout);
}

/* Whether q, Q, Ctrl-D or Esc was pressed; false without a terminal at the input. */
static bool is_quit_key(void)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    char keys[64];
    if (poll(&input, 1, 0) != 1) {
        return false;
    }
    ssize_t n = read(STDIN_FILENO, keys, sizeof keys);
    for (ssize_t i = 0; i < n; i++) {
        bool is_escape =
            keys[i] == 27 && n == 1; /* alone: else it begins a key's sequence */
        if (keys[i] == 'q' || keys[i] == 'Q' || keys[i] == 4 || is_escape) {
            return true;
        }
    }
    return false;
}

static int run_live(struct top *top)
{
    uint64_t shown_ns = 0;
    bool is_stale = true;
    bool has_input = isatty(STDIN_FILENO) != 0;
    take_terminal();
    while (!follow_is_interrupted() && !(has_input && is_quit_key())) {
        uint64_t now_ns = baro_now_ns();
        if (is_stale || now_ns - shown_ns >= FRAME_MS * UINT64_C(1000000)) {
            show(top);
            shown_ns = now_ns;
            is_stale = false;
        }
        struct link_message message;
        struct baro_err err = {0};
        for (int i = 0, wait_ms = TURN_MS; i < 256; i++, wait_ms = 0) {
            int rc = link_next(top->cli->link, wait_ms, &message, &err);
            if (rc != 1) {
                break;
            }
            take_message(top, &message);
            link_message_release(&message);
        }
        enum follow_news news = follow_check(&top->follow);
        if (news == FOLLOW_LOST_RUN) {
            restore();
            return CLI_FAILED;
        }
        if (news == FOLLOW_BACK && read_all(top, true) != CLI_OK) {
            top->follow.n_connects = 0; /* it went again: once more */
        }
    }
    restore();
    return CLI_OK;
}

static int run_once(struct top *top)
{
    const char *columns = getenv("COLUMNS");
    long width = columns != NULL ? strtol(columns, NULL, 10) : 0;
    width = width >= 20 && width <= 500 ? width : 80;
    baro_autofree char *text = draw(top, (int)width, 40, false);
    (void)fputs(text, stdout);
    return CLI_OK;
}

static void finish(struct top *top)
{
    for (size_t i = 0; i < top->n_series; i++) {
        free((char *)(uintptr_t)top->series[i].label);
    }
    for (size_t i = 0; i < top->n_layers; i++) {
        free(top->layers[i].path);
    }
    for (size_t i = 0; i < top->n_news; i++) {
        free(top->news[i].text);
    }
    free(top->shown);
    free(top->series);
    free(top->layers);
    free(top->things);
    follow_end(&top->follow);
}

int cmd_top(struct cli *cli)
{
    struct top top = {.cli = cli, .cost = (double)NAN};
    bool is_live = cli->out.is_tty;
    top.glob = cli->n_arguments > 1 ? cli->arguments[1] : NULL;
    int rc = follow_begin(
        cli, cli->n_arguments > 0 ? cli->arguments[0] : NULL, is_live, &top.follow);
    if (rc != CLI_OK) {
        return rc;
    }
    top.follow.is_quiet = true;
    rc = read_all(&top, is_live);
    rc = rc != CLI_OK ? rc : is_live ? run_live(&top) : run_once(&top);
    finish(&top);
    return rc;
}
