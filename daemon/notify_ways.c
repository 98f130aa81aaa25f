/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/notify_ways.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

enum { CONNECT_S = 5, ANSWER_BYTES = 160, LOOK_MS = 50 };

/* ---- webhooks ---- */

struct answer {
    char text[ANSWER_BYTES];
    size_t n;
};

static size_t on_answer(char *bytes, size_t size, size_t n, void *payload)
{
    struct answer *answer = payload;
    size_t room = sizeof answer->text - 1 - answer->n;
    size_t take = n < room ? n : room;
    memcpy(answer->text + answer->n, bytes, take);
    answer->n += take;
    return size * n;
}

/* Do what was prepared. It looks up every LOOK_MS, so that the end of the daemon is seen at once. */
static CURLcode perform(const struct notify_try *try, CURL *curl)
{
    CURLM *multi = try->curl;
    CURLcode rc = CURLE_ABORTED_BY_CALLBACK;
    int n_running = 1;
    if (curl_multi_add_handle(multi, curl) != CURLM_OK) {
        return CURLE_OUT_OF_MEMORY;
    }
    while (n_running > 0 && !atomic_load(try->is_over)) {
        if (curl_multi_perform(multi, &n_running) != CURLM_OK ||
            (n_running > 0 && curl_multi_poll(multi, NULL, 0, LOOK_MS, NULL) != CURLM_OK)) {
            rc = CURLE_RECV_ERROR;
            break;
        }
    }
    int n_left = 0;
    const CURLMsg *message;
    while ((message = curl_multi_info_read(multi, &n_left)) != NULL) {
        rc = message->msg == CURLMSG_DONE ? message->data.result : rc;
    }
    (void)curl_multi_remove_handle(multi, curl);
    return rc;
}

/* What an HTTP status means: full servers and broken ones may do better another time. */
static int judge_status(long status, const struct answer *answer, struct baro_err *err)
{
    if (status >= 200 && status < 300) {
        return 0;
    }
    bool is_passing = status >= 500 || status == 429 || status == 408;
    char safe[ANSWER_BYTES];
    baro_text_safe(safe, sizeof safe, answer->text);
    return baro_err_set(err, is_passing ? BARO_EBUSY : BARO_EIO,
        "the server answers with status %ld%s%.120s", status, safe[0] != '\0' ? ": " : "",
        safe);
}

int notify_post(const struct notify_try *try, const char *json, struct baro_err *err)
{
    CURL *curl = curl_easy_init();
    struct answer answer = {0};
    char trouble[CURL_ERROR_SIZE] = "";
    long status = 0;
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    if (curl == NULL) {
        curl_slist_free_all(headers);
        return baro_err_set(err, BARO_EIO, "libcurl cannot be used");
    }
    (void)curl_easy_setopt(curl, CURLOPT_URL, try->target->text);
    (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
    (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)try->timeout_s);
    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(curl, CURLOPT_USERAGENT, "barograph/" BAROGRAPH_VERSION);
    (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, json);
    (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)strlen(json));
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_answer);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
    (void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, trouble);
    CURLcode rc = perform(try, curl);
    (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(curl);
    curl_slist_free_all(headers);
    if (rc == CURLE_OK) {
        return judge_status(status, &answer, err);
    }
    bool is_hopeless = rc == CURLE_URL_MALFORMAT || rc == CURLE_UNSUPPORTED_PROTOCOL ||
                       rc == CURLE_PEER_FAILED_VERIFICATION;
    return baro_err_set(err, is_hopeless ? BARO_EIO : BARO_EBUSY, "%.200s",
        trouble[0] != '\0' ? trouble : curl_easy_strerror(rc));
}

/* ---- programs ---- */

/* Notification servers read a little markup. */
static char *escape(const char *text)
{
    char *out = baro_xcalloc(strlen(text) * 5 + 1, 1);
    size_t n = 0;
    for (const char *c = text; *c != '\0'; c++) {
        const char *word = *c == '&'   ? "&amp;"
                           : *c == '<' ? "&lt;"
                           : *c == '>' ? "&gt;"
                                       : NULL;
        if (word != NULL) {
            n += (size_t)sprintf(out + n, "%s", word);
        } else {
            out[n++] = *c;
        }
    }
    return out;
}

static int tell_desktop(const struct notify_try *try, const struct notice *notice,
    uint64_t n_more, char *const *environment, struct baro_err *err)
{
    char line[640];
    bool is_alarm = notice->incident->level >= BARO_ALARM;
    baro_autofree char *text = notice_text(notice, n_more);
    baro_autofree char *body = escape(text);
    char *const words[] = {(char *)(uintptr_t) "notify-send",
        (char *)(uintptr_t) "--app-name=Barograph",
        (char *)(uintptr_t)(is_alarm ? "--urgency=critical" : "--urgency=normal"),
        (char *)(uintptr_t) "--", notice_line(notice, n_more, line, sizeof line), body,
        NULL};
    return notify_run(try, words, environment, "", err);
}

/* sendmail is rarely in the PATH of a user. */
static const char *find_sendmail(void)
{
    static const char *const places[] = {
        "sendmail", "/usr/sbin/sendmail", "/usr/lib/sendmail"};
    for (size_t i = 0; i < BARO_LEN(places); i++) {
        if (notify_has_program(places[i])) {
            return places[i];
        }
    }
    return places[0];
}

static int tell_mail(const struct notify_try *try, const struct notice *notice,
    uint64_t n_more, char *const *environment, struct baro_err *err)
{
    char *const words[] = {(char *)(uintptr_t)find_sendmail(), (char *)(uintptr_t) "-t",
        (char *)(uintptr_t) "-oi", NULL};
    baro_autofree char *mail = notice_mail(notice, n_more, try->target->text);
    return notify_run(try, words, environment, mail, err);
}

int notify_tell(const struct notify_try *try, const struct notice *notice, uint64_t n_more,
    struct baro_err *err)
{
    const struct notify_target *target = try->target;
    if (target->kind == NOTIFY_URL) {
        baro_autofree char *json = notice_json(notice, n_more);
        return notify_post(try, json, err);
    }
    char **environment = notice_environment(notice, n_more);
    int rc = 0;
    if (target->kind == NOTIFY_COMMAND) {
        baro_autofree char *json = notice_json(notice, n_more);
        rc = notify_run(try, target->words, environment, json, err);
    } else if (target->kind == NOTIFY_DESKTOP) {
        rc = tell_desktop(try, notice, n_more, environment, err);
    } else {
        rc = tell_mail(try, notice, n_more, environment, err);
    }
    notice_free_environment(environment);
    return rc;
}

char *notify_describe(const struct notify_target *target, char *out, size_t out_bytes)
{
    char raw[200];
    const char *name = notify_kind_name(target->kind);
    if (target->kind == NOTIFY_URL) { /* what is behind the host is often a secret */
        const char *host = strstr(target->text, "://") + 3;
        size_t n = strcspn(host, "/?#");
        const char *at = memchr(host, '@', n);
        const char *from = at != NULL ? at + 1 : host;
        (void)snprintf(raw, sizeof raw, "%s %.*s%.*s", name, (int)(host - target->text),
            target->text, (int)(n - (size_t)(from - host)), from);
    } else if (target->kind == NOTIFY_DESKTOP) {
        (void)snprintf(raw, sizeof raw, "%s", name);
    } else {
        (void)snprintf(raw, sizeof raw, "%s %s", name,
            target->kind == NOTIFY_COMMAND ? target->words[0] : target->text);
    }
    baro_text_safe(out, out_bytes, raw);
    return out;
}
