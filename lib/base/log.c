/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/clock.h"

static const char *const level_names[] = {"error", "warn", "info", "debug"};
_Static_assert(
    sizeof level_names / sizeof level_names[0] == LOG_LEVEL_COUNT, "a name each");

static _Atomic int max_level = LOG_INFO;

void baro_log_set_level(enum baro_log_level level)
{
    atomic_store_explicit(&max_level, (int)level, memory_order_relaxed);
}

bool baro_log_level_parse(const char *name, enum baro_log_level *out_level)
{
    for (int i = 0; i < LOG_LEVEL_COUNT; i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *out_level = (enum baro_log_level)i;
            return true;
        }
    }
    return false;
}

void baro_log(enum baro_log_level level, const char *module, const char *format, ...)
{
    if ((int)level > atomic_load_explicit(&max_level, memory_order_relaxed)) {
        return;
    }
    char line[1024];
    char when[32] = "";
    time_t seconds = (time_t)(baro_wall_ns() / 1000000000);
    struct tm utc;
    if (gmtime_r(&seconds, &utc) != NULL) {
        (void)strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ ", &utc);
    }
    int n = snprintf(line, sizeof line - 1, "%s%s %s: ", when, level_names[level], module);
    va_list args;
    va_start(args, format);
    int m = vsnprintf(line + n, sizeof line - 1 - (size_t)n, format, args);
    va_end(args);
    size_t used = (size_t)n + (m > 0 ? (size_t)m : 0);
    if (used > sizeof line - 2) {
        used = sizeof line - 2;
    }
    line[used++] = '\n';
    ssize_t ignored = write(STDERR_FILENO, line, used);
    (void)ignored;
}

bool baro_log_gate_open(struct baro_log_gate *gate)
{
    uint64_t now = baro_now_ns();
    uint64_t last = __atomic_load_n(&gate->last_ns, __ATOMIC_RELAXED);
    if (last != 0 && now - last < 1000000000U) {
        __atomic_fetch_add(&gate->n_withheld, 1, __ATOMIC_RELAXED);
        return false;
    }
    __atomic_store_n(&gate->last_ns, now, __ATOMIC_RELAXED);
    uint64_t withheld = __atomic_exchange_n(&gate->n_withheld, 0, __ATOMIC_RELAXED);
    if (withheld > 0) {
        baro_log(LOG_WARN, "log", "%llu lines like the next were left out",
            (unsigned long long)withheld);
    }
    return true;
}
