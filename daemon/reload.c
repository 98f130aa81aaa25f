/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/reload.h"

#include "daemon/notify.h"
#include "daemon/rules.h"
#include "lib/analysis/rule_book.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define LOG_MODULE "reload"

/* The new ways are there before the old ones go, which get a second for what waits. */
static int change_ways(
    struct barod *barod, const struct notify_options *fresh, struct baro_err *err)
{
    struct notify *now = notify_start(fresh, err);
    if (now == NULL) {
        return BARO_EIO;
    }
    notify_stop(barod->notify);
    barod->notify = now;
    return 0;
}

void reload_options(struct barod *barod, struct options *options)
{
    struct options fresh;
    struct baro_err err = {0};
    int rc = options_read_again(options, &fresh, &err);
    bool is_same = rc == 0 && notify_options_equal(&options->notify, &fresh.notify);
    if (rc == 0 && !is_same) {
        rc = change_ways(barod, &fresh.notify, &err);
        if (rc != 0) {
            options_finish(&fresh);
        }
    }
    if (rc != 0) {
        log_error("%s; rules and notification stay as they were", err.text);
        return;
    }
    rules_change(barod, fresh.rules);
    rule_book_destroy(options->rules);
    free(options->rules_path);
    notify_options_finish(&options->notify);
    options->rules = BARO_TAKE(fresh.rules);
    options->rules_path = BARO_TAKE(fresh.rules_path);
    options->notify = fresh.notify;
    log_info("rules are read again from %s; ways of notification %s",
        options->rules_path != NULL ? options->rules_path : "no file: the defaults hold",
        is_same ? "stay" : "are those of now");
}
