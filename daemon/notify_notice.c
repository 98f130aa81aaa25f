/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/notify_notice.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "lib/base/baro_types.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

enum { LINE_BYTES = 640, SAFE_BYTES = 2048, MAX_EVIDENCE = 8, ENVIRONMENT_ROOM = 16 };

/* ---- life ---- */

static Baro__Incident *copy_incident(const Baro__Incident *incident)
{
    size_t n = baro__incident__get_packed_size(incident);
    baro_autofree uint8_t *packed = baro_xcalloc(n > 0 ? n : 1, 1);
    return baro__incident__unpack(NULL, baro__incident__pack(incident, packed), packed);
}

struct notice *notice_create(
    const Baro__RunDescription *description, const Baro__Incident *incident)
{
    struct notice *notice = baro_xcalloc(1, sizeof *notice);
    atomic_store(&notice->n_users, 1);
    notice->run_id = baro_xstrdup(description->run_id);
    notice->project = baro_xstrdup(description->project);
    notice->name = baro_xstrdup(description->name);
    notice->host = baro_xstrdup(description->host);
    notice->incident = copy_incident(incident);
    return notice;
}

struct notice *notice_create_test(void)
{
    static char kind[] = "test";
    static char headline[] =
        "This is a test of Barograph's notifications: nothing has happened";
    static char none[] = "";
    char host[256] = "";
    (void)gethostname(host, sizeof host - 1);
    Baro__RunDescription description;
    baro__run_description__init(&description);
    description.run_id = description.project = description.name = none;
    description.host = host;
    Baro__Incident incident;
    baro__incident__init(&incident);
    incident.kind = kind;
    incident.headline = headline;
    incident.level = BARO_WATCH;
    incident.time_ns = baro_wall_ns();
    struct notice *notice = notice_create(&description, &incident);
    notice->is_test = true;
    return notice;
}

struct notice *notice_keep(struct notice *notice)
{
    (void)atomic_fetch_add(&notice->n_users, 1);
    return notice;
}

void notice_release(struct notice *notice)
{
    if (notice == NULL || atomic_fetch_sub(&notice->n_users, 1) != 1) {
        return;
    }
    free(notice->run_id);
    free(notice->project);
    free(notice->name);
    free(notice->host);
    if (notice->incident != NULL) {
        baro__incident__free_unpacked(notice->incident, NULL);
    }
    free(notice);
}

/* ---- words ---- */

static const char *level_name(uint32_t level)
{
    return level >= BARO_ALARM ? "alarm" : level == BARO_WATCH ? "watch" : "info";
}

static const char *change_name(const struct notice *notice)
{
    return notice->is_test ? "test" : notice->is_rise ? "alarm" : "open";
}

char *notice_line(const struct notice *notice, uint64_t n_more, char *out, size_t out_bytes)
{
    const Baro__Incident *incident = notice->incident;
    char raw[LINE_BYTES];
    char where[256] = "";
    char more[64] = "";
    if (!notice->is_test) {
        (void)snprintf(where, sizeof where, " (%.90s/%.90s, step %" PRId64 ")",
            notice->project, notice->name, incident->first_step);
    }
    if (n_more > 0) {
        (void)snprintf(more, sizeof more, ", and %" PRIu64 " more", n_more);
    }
    (void)snprintf(raw, sizeof raw, "%s: %.240s%s%s", level_name(incident->level),
        incident->headline, where, more);
    baro_text_safe(out, out_bytes, raw);
    return out;
}

/* ---- JSON ---- */

static json_t *json_words(const char *text)
{
    json_t *found = json_string(text);
    if (found != NULL) {
        return found;
    }
    char safe[SAFE_BYTES];
    baro_text_safe(safe, sizeof safe, text);
    return json_string(safe);
}

static json_t *json_list(char *const *texts, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        (void)json_array_append_new(list, json_words(texts[i]));
    }
    return list;
}

static json_t *json_evidence(const Baro__Incident *incident)
{
    json_t *list = json_array();
    for (size_t i = 0; i < incident->n_evidence && i < MAX_EVIDENCE; i++) {
        const Baro__Evidence *evidence = incident->evidence[i];
        (void)json_array_append_new(list,
            json_pack("{s:o, s:I, s:I}", "text", json_words(evidence->text), "from_step",
                (json_int_t)evidence->from_step, "to_step", (json_int_t)evidence->to_step));
    }
    return list;
}

char *notice_json(const struct notice *notice, uint64_t n_more)
{
    const Baro__Incident *incident = notice->incident;
    char line[LINE_BYTES];
    json_t *object = json_pack("{s:o, s:s, s:s, s:I, s:s, s:o, s:o}", "text",
        json_words(notice_line(notice, n_more, line, sizeof line)), "change",
        change_name(notice), "level", level_name(incident->level), "held_back",
        (json_int_t)n_more, "program", "barograph", "kind", json_words(incident->kind),
        "headline", json_words(incident->headline));
    (void)json_object_set_new(object, "host", json_words(notice->host));
    if (!notice->is_test) {
        (void)json_object_set_new(object, "run", json_words(notice->run_id));
        (void)json_object_set_new(object, "project", json_words(notice->project));
        (void)json_object_set_new(object, "name", json_words(notice->name));
        (void)json_object_set_new(
            object, "incident", json_integer((json_int_t)incident->id));
        (void)json_object_set_new(
            object, "first_step", json_integer((json_int_t)incident->first_step));
        (void)json_object_set_new(
            object, "last_step", json_integer((json_int_t)incident->last_step));
        (void)json_object_set_new(object, "n_alerts",
            json_integer((json_int_t)(incident->n_alerts + incident->n_more)));
    }
    (void)json_object_set_new(
        object, "time_ns", json_integer((json_int_t)incident->time_ns));
    (void)json_object_set_new(
        object, "causes", json_list(incident->causes, incident->n_causes));
    (void)json_object_set_new(
        object, "advice", json_list(incident->advice, incident->n_advice));
    (void)json_object_set_new(object, "evidence", json_evidence(incident));
    char *text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    return text != NULL ? text : baro_xstrdup("{}");
}

/* ---- for people ---- */

static void put_list(FILE *file, const char *title, char *const *texts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char safe[SAFE_BYTES];
        baro_text_safe(safe, 700, texts[i]); /* a mail's line has at most 998 bytes */
        (void)fprintf(file, "%s%s\n", i == 0 ? title : "  or  ", safe);
    }
}

static void put_text(FILE *file, const struct notice *notice, uint64_t n_more)
{
    const Baro__Incident *incident = notice->incident;
    char line[LINE_BYTES];
    (void)fprintf(file, "%s\n", notice_line(notice, 0, line, sizeof line));
    put_list(file, "Why:  ", incident->causes, incident->n_causes);
    put_list(file, "Try:  ", incident->advice, incident->n_advice);
    for (size_t i = 0; i < incident->n_evidence && i < MAX_EVIDENCE; i++) {
        put_list(file, "Seen: ", &incident->evidence[i]->text, 1);
    }
    if (n_more > 0) {
        (void)fprintf(file, "%" PRIu64 " more were held back before this one.\n", n_more);
    }
    if (!notice->is_test) {
        char id[256];
        baro_text_safe(id, sizeof id, notice->run_id);
        (void)fprintf(file, "Look: baro alerts %s\n", id);
    }
}

char *notice_text(const struct notice *notice, uint64_t n_more)
{
    char *text = NULL;
    size_t n = 0;
    FILE *file = open_memstream(&text, &n);
    if (file == NULL) {
        return baro_xstrdup("");
    }
    put_text(file, notice, n_more);
    (void)fclose(file);
    return text != NULL ? text : baro_xstrdup("");
}

/* A header's text as RFC 2047 has it: words of at most 75 characters, in Base64. */
static void put_subject(FILE *file, const char *text)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    enum { WORD_BYTES = 42 };
    size_t n = strlen(text);
    (void)fprintf(file, "Subject:");
    for (size_t at = 0; at < n;) {
        size_t length = baro_utf8_prefix(text + at, n - at, WORD_BYTES);
        length = length > 0 ? length : n - at;
        (void)fprintf(file, "%s =?UTF-8?B?", at > 0 ? "\r\n" : "");
        for (size_t i = 0; i < length; i += 3) {
            uint8_t in[3] = {0};
            size_t k = length - i < 3 ? length - i : 3;
            memcpy(in, text + at + i, k);
            (void)fputc(digits[in[0] >> 2], file);
            (void)fputc(digits[(in[0] & 3) << 4 | in[1] >> 4], file);
            (void)fputc(k > 1 ? digits[(in[1] & 15) << 2 | in[2] >> 6] : '=', file);
            (void)fputc(k > 2 ? digits[in[2] & 63] : '=', file);
        }
        (void)fprintf(file, "?=");
        at += length;
    }
    (void)fprintf(file, "\r\n");
}

static void put_mail(
    FILE *file, const struct notice *notice, uint64_t n_more, const char *address)
{
    char line[LINE_BYTES];
    char subject[LINE_BYTES + 16];
    char date[64] = "";
    time_t now = time(NULL);
    struct tm local = {0};
    (void)localtime_r(&now, &local);
    (void)strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S %z", &local);
    (void)snprintf(subject, sizeof subject, "Barograph %s",
        notice_line(notice, n_more, line, sizeof line));
    (void)fprintf(file, "To: %s\r\nDate: %s\r\n", address, date);
    put_subject(file, subject);
    (void)fprintf(file, "Auto-Submitted: auto-generated\r\n"
                        "MIME-Version: 1.0\r\n"
                        "Content-Type: text/plain; charset=utf-8\r\n"
                        "Content-Transfer-Encoding: 8bit\r\n\r\n");
    put_text(file, notice, n_more);
}

char *notice_mail(const struct notice *notice, uint64_t n_more, const char *address)
{
    char *text = NULL;
    size_t n = 0;
    FILE *file = open_memstream(&text, &n);
    if (file == NULL) {
        return baro_xstrdup("");
    }
    put_mail(file, notice, n_more, address);
    (void)fclose(file);
    return text != NULL ? text : baro_xstrdup("");
}

/* ---- environment ---- */

static char *variable(const char *name, const char *value)
{
    char safe[SAFE_BYTES];
    char whole[SAFE_BYTES + 64];
    baro_text_safe(safe, sizeof safe, value);
    (void)snprintf(whole, sizeof whole, "%s=%s", name, safe);
    return baro_xstrdup(whole);
}

static char *number_variable(const char *name, int64_t value)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%" PRId64, value);
    return variable(name, text);
}

/* Those that are set here; BARO_DIR and others of the daemon's own stay. */
static bool is_ours(const char *entry)
{
    static const char *const names[] = {"BARO_RUN=", "BARO_PROJECT=", "BARO_NAME=",
        "BARO_INCIDENT=", "BARO_LEVEL=", "BARO_KIND=", "BARO_HEADLINE=", "BARO_STEP=",
        "BARO_CHANGE=", "BARO_HELD_BACK=", "BARO_HOST="};
    for (size_t i = 0; i < BARO_LEN(names); i++) {
        if (strncmp(entry, names[i], strlen(names[i])) == 0) {
            return true;
        }
    }
    return false;
}

char **notice_environment(const struct notice *notice, uint64_t n_more)
{
    const Baro__Incident *incident = notice->incident;
    size_t n_before = 0;
    while (environ[n_before] != NULL) {
        n_before++;
    }
    char **out = baro_xcalloc(n_before + ENVIRONMENT_ROOM, sizeof(char *));
    size_t n = 0;
    for (size_t i = 0; i < n_before; i++) {
        if (!is_ours(environ[i])) {
            out[n++] = baro_xstrdup(environ[i]);
        }
    }
    out[n++] = variable("BARO_RUN", notice->run_id);
    out[n++] = variable("BARO_PROJECT", notice->project);
    out[n++] = variable("BARO_NAME", notice->name);
    out[n++] = variable("BARO_HOST", notice->host);
    out[n++] = variable("BARO_LEVEL", level_name(incident->level));
    out[n++] = variable("BARO_KIND", incident->kind);
    out[n++] = variable("BARO_HEADLINE", incident->headline);
    out[n++] = variable("BARO_CHANGE", change_name(notice));
    out[n++] = number_variable("BARO_INCIDENT", (int64_t)incident->id);
    out[n++] = number_variable("BARO_STEP", incident->first_step);
    out[n++] = number_variable("BARO_HELD_BACK", (int64_t)n_more);
    return out;
}

void notice_free_environment(char **environment)
{
    for (size_t i = 0; environment[i] != NULL; i++) {
        free(environment[i]);
    }
    free(environment);
}
