/* SPDX-License-Identifier: Apache-2.0 */
/*
 * baro recover: brings what dead processes left in their rings into the daemon. A ring is read
 * first without touching it, to say what it holds; then the sender of lib/push delivers it. Rings
 * of living processes are left alone: they deliver themselves.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/reading.h"
#include "lib/base/ringfile.h"
#include "lib/link/link.h"
#include "lib/push/sender.h"
#include "tools/cli.h"
#include "tools/daemon.h"
#include "tools/json.h"
#include "tools/runs.h"

enum {
    RECOVER_TIMEOUT_MS = 20000,
    RECOVER_BUSY_MS = 30000,
    RECOVER_POLL_MS = 50,
    RECOVER_BY_ITSELF_S = 10
};

/* One ring on our way, and what became of it. */
struct found {
    struct ringfile_entry entry;
    char run_id[128];
    char name[1100];    /* PROJECT/NAME */
    uint64_t n_records; /* unacknowledged, whole */
    int64_t first_step; /* of those; valid if n_records > 0 */
    int64_t last_step;
    uint64_t n_damaged_bytes;
    const char *state;   /* "recovered", "kept", "alive", "failed" */
    struct baro_err err; /* why it failed */
};

struct found_list {
    struct found *rings;
    size_t n_rings;
};

/* ---- looking ---- */

static struct found *add_ring(struct found_list *list, const struct ringfile_entry *entry)
{
    for (size_t i = 0; i < list->n_rings; i++) {
        if (strcmp(list->rings[i].entry.path, entry->path) == 0) {
            return &list->rings[i];
        }
    }
    list->rings = baro_xrealloc(list->rings, list->n_rings + 1, sizeof *list->rings);
    struct found *found = &list->rings[list->n_rings++];
    *found = (struct found){.entry = *entry};
    return found;
}

static int on_ring(const struct ringfile_entry *entry, void *payload)
{
    (void)add_ring(payload, entry);
    return 0;
}

/* A ring that was named itself, not found in a folder. */
static void add_file(struct found_list *list, const char *path)
{
    struct ringfile_entry entry = {0};
    struct ringfile *ring = NULL;
    (void)snprintf(entry.path, sizeof entry.path, "%s", path);
    entry.code = ringfile_open(&ring, path, RINGFILE_PEEK, &entry.err);
    if (entry.code == 0) {
        entry.code = ringfile_read_info(ring, &entry.info);
        entry.is_owned = ringfile_is_owned(path);
    }
    ringfile_close(ring);
    (void)add_ring(list, &entry);
}

static int look_at(struct found_list *list, const char *path, bool must_exist)
{
    struct baro_err err = {0};
    struct stat status;
    if (stat(path, &status) != 0) {
        return must_exist ? cli_fail("'%s': %s", path, strerror(errno)) : CLI_OK;
    }
    if (!S_ISDIR(status.st_mode)) {
        add_file(list, path);
        return CLI_OK;
    }
    return ringfile_list(path, on_ring, list, &err) != 0 ? cli_fail_err(&err) : CLI_OK;
}

/* Look where rings are by default; out_places says where, for people. */
static int look_everywhere(struct found_list *list, char *out_places, size_t places_bytes)
{
    char ring_dir[BARO_PATH_BYTES];
    char data_dir[BARO_PATH_BYTES];
    char spool_dir[BARO_PATH_BYTES + 8];
    struct baro_err err = {0};
    if (baro_ring_dir(ring_dir, &err) != 0 || baro_data_dir(data_dir, &err) != 0) {
        return cli_fail_err(&err);
    }
    (void)snprintf(spool_dir, sizeof spool_dir, "%s/rings", data_dir);
    bool is_one = strcmp(ring_dir, spool_dir) == 0;
    (void)snprintf(out_places, places_bytes, "%s%s%s", ring_dir, is_one ? "" : " and ",
        is_one ? "" : spool_dir);
    int rc = look_at(list, ring_dir, false);
    return rc == CLI_OK && !is_one ? look_at(list, spool_dir, false) : rc;
}

/* ---- reading a ring without touching it ---- */

static void read_description(struct found *found, struct ringfile *ring)
{
    uint64_t used = ringfile_sticky_used(ring);
    baro_autofree uint8_t *sticky = baro_xcalloc(used + 8, 1);
    const uint8_t *cursor = sticky;
    const uint8_t *payload;
    struct record_header header;
    if (ringfile_copy_sticky(ring, 0, used, sticky) != 0) {
        return;
    }
    while (record_next(&cursor, sticky + used, &header, &payload) == 1) {
        if (header.kind != READING_RUN) {
            continue;
        }
        Baro__RunDescription *run =
            baro__run_description__unpack(NULL, header.payload_bytes, payload);
        if (run != NULL) {
            (void)snprintf(found->run_id, sizeof found->run_id, "%s", run->run_id);
            (void)snprintf(
                found->name, sizeof found->name, "%s/%s", run->project, run->name);
            baro__run_description__free_unpacked(run, NULL);
        }
        return;
    }
}

static void note_records(struct found *found, const uint8_t *bytes, size_t n_bytes)
{
    const uint8_t *cursor = bytes;
    const uint8_t *payload;
    struct record_header header;
    while (record_next(&cursor, bytes + n_bytes, &header, &payload) == 1) {
        bool is_first = found->n_records++ == 0;
        found->first_step =
            is_first || header.step < found->first_step ? header.step : found->first_step;
        found->last_step =
            is_first || header.step > found->last_step ? header.step : found->last_step;
    }
}

/* Count what is unacknowledged, and its steps. */
static void survey(struct found *found)
{
    struct ringfile *ring = NULL;
    if (ringfile_open(&ring, found->entry.path, RINGFILE_PEEK, &found->err) != 0) {
        found->state = "failed";
        return;
    }
    read_description(found, ring);
    baro_autofree uint8_t *buffer = baro_xcalloc(RECORD_MAX_BYTES, 1);
    struct ringfile_cursor cursor = {.seq = found->entry.info.acked_seq + 1};
    size_t n_bytes = 0;
    size_t n_records = 0;
    do {
        if (ringfile_read(
                ring, &cursor, buffer, RECORD_MAX_BYTES, 0, &n_bytes, &n_records) != 0) {
            break;
        }
        note_records(found, buffer, n_bytes);
    } while (n_records > 0);
    found->n_damaged_bytes = cursor.n_damaged_bytes;
    ringfile_close(ring);
}

/*
 * Tell whether a ring of a run that the daemon knows will not be fetched by it: its process ended
 * before it met the daemon. What the daemon fetches by itself it fetches within seconds.
 */
static bool is_left_behind(const struct found *found)
{
    struct stat status;
    return found->entry.info.unacked_bytes > 0 && stat(found->entry.path, &status) == 0 &&
           time(NULL) - status.st_mtime > RECOVER_BY_ITSELF_S;
}

size_t rings_waiting(const struct run_list *runs)
{
    struct found_list list = {0};
    char places[2 * BARO_PATH_BYTES + 16];
    size_t n_waiting = 0;
    if (look_everywhere(&list, places, sizeof places) == CLI_OK) {
        for (size_t i = 0; i < list.n_rings; i++) {
            struct found *found = &list.rings[i];
            struct ringfile *ring = NULL;
            if (found->entry.code == 0 && !found->entry.is_owned &&
                ringfile_open(&ring, found->entry.path, RINGFILE_PEEK, NULL) == 0) {
                read_description(found, ring);
            }
            ringfile_close(ring);
            bool is_waiting =
                found->run_id[0] != '\0' &&
                (runs_by_id(runs, found->run_id) == NULL || is_left_behind(found));
            n_waiting += is_waiting ? 1 : 0;
        }
    }
    free(list.rings);
    return n_waiting;
}

/* ---- bringing in ---- */

/* Whether the process that made the ring still lives; a ring can also be owned by a recoverer. */
static bool is_maker_alive(const struct ringfile_info *info)
{
    char boot_id[40];
    baro_boot_id(boot_id);
    return strcmp(boot_id, info->boot_id) == 0 && info->process_start != 0 &&
           baro_process_start((int)info->pid) == info->process_start;
}

/* The daemon itself is reading it, or another recover: wait until that is over. */
static bool await_release(const char *path)
{
    uint64_t deadline_ns = baro_now_ns() + RECOVER_BUSY_MS * UINT64_C(1000000);
    struct timespec pause = {.tv_nsec = RECOVER_POLL_MS * 1000000L};
    while (ringfile_is_owned(path)) {
        if (baro_now_ns() >= deadline_ns) {
            return false;
        }
        (void)nanosleep(&pause, NULL);
    }
    return true;
}

/*
 * Deliver a ring; sender_recover deletes the file when everything is acknowledged. To keep it
 * it gets a second name for the while.
 */
static int deliver(struct found *found, const char *endpoint, bool is_kept)
{
    const char *path = found->entry.path;
    char second[BARO_PATH_BYTES + 8];
    (void)snprintf(second, sizeof second, "%s.kept", path);
    if (is_kept && link(path, second) != 0 && errno != EEXIST) {
        return baro_err_set(
            &found->err, BARO_EIO, "cannot keep '%s': %s", path, strerror(errno));
    }
    struct sender_recovery recovery;
    int rc = sender_recover(path, endpoint, RECOVER_TIMEOUT_MS, &recovery, &found->err);
    if (rc == 0) {
        found->n_damaged_bytes = recovery.n_damaged_bytes > found->n_damaged_bytes
                                     ? recovery.n_damaged_bytes
                                     : found->n_damaged_bytes;
    }
    if (is_kept) {
        (void)rename(second, path);
        (void)unlink(second);
    }
    return rc;
}

static void recover_one(struct found *found, const char *endpoint, bool is_kept)
{
    const char *path = found->entry.path;
    if (ringfile_is_owned(path) && !await_release(path)) {
        found->state = "failed";
        (void)baro_err_set(&found->err, BARO_EBUSY, "another process is bringing it in");
        return;
    }
    if (access(path, F_OK) != 0) {
        found->state = "recovered"; /* by the daemon itself */
        return;
    }
    if (deliver(found, endpoint, is_kept) != 0) {
        found->state = "failed";
        return;
    }
    found->state = is_kept ? "kept" : "recovered";
}

/* ---- saying what happened ---- */

static void print_json(const struct cli *cli, const struct found *found)
{
    bool has_steps = found->n_records > 0;
    json_print(&cli->out,
        json_pack("{s:o, s:o, s:o, s:s, s:I, s:o, s:o, s:I, s:I, s:o}", "ring",
            json_text(found->entry.path), "run", json_text_or_null(found->run_id), "name",
            json_text_or_null(found->name), "state", found->state, "records",
            (json_int_t)found->n_records, "from",
            has_steps ? json_integer((json_int_t)found->first_step) : json_null(), "to",
            has_steps ? json_integer((json_int_t)found->last_step) : json_null(), "dropped",
            (json_int_t)found->entry.info.dropped_records, "damaged_bytes",
            (json_int_t)found->n_damaged_bytes, "text",
            json_text_or_null(found->err.text)));
}

static void print_people(const struct cli *cli, const struct found *found)
{
    const struct term *term = &cli->out;
    char text[BARO_PATH_BYTES];
    bool is_failed = strcmp(found->state, "failed") == 0;
    bool is_alive = strcmp(found->state, "alive") == 0;
    const char *mark = is_failed  ? term_mark(term, "✕", "x")
                       : is_alive ? term_mark(term, "–", "-")
                                  : term_mark(term, "✓", "+");
    (void)printf("%s%s%s %s",
        term_paint(term, is_failed  ? TERM_BAD
                         : is_alive ? TERM_DIM
                                    : TERM_GOOD),
        mark, term_paint(term, TERM_PLAIN),
        term_safe(
            term, found->name[0] != '\0' ? found->name : "unknown run", text, sizeof text));
    if (found->run_id[0] != '\0') {
        (void)printf("  %s", term_safe(term, found->run_id, text, sizeof text));
    }
    (void)printf("\n");
    if (is_failed) {
        (void)printf(
            "    not recovered: %s\n", term_safe(term, found->err.text, text, sizeof text));
    } else if (is_alive) {
        (void)printf(
            "    left alone: its process (pid %u) is alive and delivers by itself\n",
            found->entry.info.pid);
    } else if (found->n_records > 0) {
        (void)printf("    %" PRIu64 " record%s, steps %" PRId64 " to %" PRId64 "\n",
            found->n_records, found->n_records == 1 ? "" : "s", found->first_step,
            found->last_step);
    } else {
        (void)printf("    nothing was left in it\n");
    }
    if (found->entry.info.dropped_records > 0) {
        (void)printf("    %" PRIu64 " older record%s had given way in its lifetime\n",
            found->entry.info.dropped_records,
            found->entry.info.dropped_records == 1 ? "" : "s");
    }
    if (found->n_damaged_bytes > 0) {
        (void)printf(
            "    %" PRIu64 " damaged bytes were passed over\n", found->n_damaged_bytes);
    }
    bool is_there = access(found->entry.path, F_OK) == 0;
    (void)printf("    %s%s %s%s\n", term_paint(term, TERM_DIM),
        is_there ? "ring left at" : "ring removed:",
        term_safe(term, found->entry.path, text, sizeof text),
        term_paint(term, TERM_PLAIN));
}

/* ---- the whole ---- */

/* A ring that is gone by now has been brought in by the daemon itself. */
static void forget_gone(struct found_list *list)
{
    size_t n_kept = 0;
    for (size_t i = 0; i < list->n_rings; i++) {
        if (access(list->rings[i].entry.path, F_OK) == 0) {
            list->rings[n_kept++] = list->rings[i];
        }
    }
    list->n_rings = n_kept;
}

/* Sort out what cannot or need not be recovered. Returns how many are left to do. */
static size_t classify(struct found_list *list)
{
    size_t n_to_do = 0;
    forget_gone(list);
    for (size_t i = 0; i < list->n_rings; i++) {
        struct found *found = &list->rings[i];
        if (found->entry.code != 0) {
            found->state = "failed";
            found->err = found->entry.err;
            continue;
        }
        survey(found);
        if (access(found->entry.path, F_OK) != 0) {
            found->state = "recovered";
        } else if (found->state == NULL && found->entry.is_owned &&
                   is_maker_alive(&found->entry.info)) {
            found->state = "alive";
        }
        n_to_do += found->state == NULL ? 1 : 0;
    }
    return n_to_do;
}

static int recover_all(struct cli *cli, struct found_list *list)
{
    if (classify(list) > 0) {
        int rc = daemon_ensure(cli);
        if (rc != CLI_OK) {
            return rc;
        }
    }
    int rc = CLI_OK;
    for (size_t i = 0; i < list->n_rings; i++) {
        struct found *found = &list->rings[i];
        if (found->state == NULL) {
            recover_one(found, link_endpoint(cli->link), cli->values.is_kept);
        }
        if (cli->values.is_json) {
            print_json(cli, found);
        } else {
            print_people(cli, found);
        }
        (void)fflush(stdout);
        rc = strcmp(found->state, "failed") == 0 ? CLI_FAILED : rc;
    }
    return rc;
}

/* In the order in which their processes began, so that the newest run is the newest here too. */
static int by_age(const void *a, const void *b)
{
    const struct found *x = a;
    const struct found *y = b;
    return (x->entry.info.created_ns > y->entry.info.created_ns) -
           (x->entry.info.created_ns < y->entry.info.created_ns);
}

int cmd_recover(struct cli *cli)
{
    struct found_list list = {0};
    char places[2 * BARO_PATH_BYTES + 16] = "the places given";
    int rc = CLI_OK;
    if (cli->n_arguments == 0) {
        rc = look_everywhere(&list, places, sizeof places);
    }
    for (int i = 0; rc == CLI_OK && i < cli->n_arguments; i++) {
        rc = look_at(&list, cli->arguments[i], true);
    }
    if (rc == CLI_OK && list.n_rings == 0 && !cli->values.is_json) {
        (void)printf("no rings in %s\n", places);
    }
    if (rc == CLI_OK && list.n_rings > 0) {
        qsort(list.rings, list.n_rings, sizeof *list.rings, by_age);
        rc = recover_all(cli, &list);
    }
    free(list.rings);
    return rc;
}
