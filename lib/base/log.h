/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One log line per event on standard error, with the time in UTC:
 * "2026-03-01T09:30:00Z warn ingest: dropped message reason=shape run=7".
 * For the programs only; libraries return errors instead. Each .c defines LOG_MODULE first.
 */
#ifndef BARO_LOG_H
#define BARO_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum baro_log_level { LOG_ERROR = 0, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_LEVEL_COUNT };

#define log_error(...) baro_log(LOG_ERROR, LOG_MODULE, __VA_ARGS__)
#define log_warn(...)  baro_log(LOG_WARN, LOG_MODULE, __VA_ARGS__)
#define log_info(...)  baro_log(LOG_INFO, LOG_MODULE, __VA_ARGS__)
#define log_debug(...) baro_log(LOG_DEBUG, LOG_MODULE, __VA_ARGS__)

/* Log at most once a second from this place; the next line says how many were left out. */
#define log_warn_every_second(...)                                                         \
    do {                                                                                   \
        static struct baro_log_gate gate_;                                                 \
        if (baro_log_gate_open(&gate_)) {                                                  \
            baro_log(LOG_WARN, LOG_MODULE, __VA_ARGS__);                                   \
        }                                                                                  \
    } while (0)

/* The state of one log_warn_every_second place; zeroed at start; any thread. */
struct baro_log_gate {
    uint64_t last_ns;    /* monotonic time of the last line */
    uint64_t n_withheld; /* lines left out since */
};

/** Say how much is logged from now on; LOG_INFO until called. Any thread. */
void baro_log_set_level(enum baro_log_level level);

/** Find a level by its name ("error", "warn", "info", "debug"); false when unknown. */
bool baro_log_level_parse(const char *name, enum baro_log_level *out_level);

/** Write one line; thread safe, one write call. Use the macros above. */
void baro_log(enum baro_log_level level, const char *module, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** Tell whether a gated line may be written now, counting it when not. */
bool baro_log_gate_open(struct baro_log_gate *gate);

#endif
