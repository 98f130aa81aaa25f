/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/bench/bench.h"

#include <ftw.h>
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/order.h"
#include "lib/base/text.h"
#include "proto/wire.h"
#include "tools/barod_process.h"
#include "tools/cli.h"
#include "tools/json.h"

enum {
    BENCH_MAX_DAEMONS = 4,
    BENCH_START_MS = 15000,
    BENCH_STOP_MS = 10000,
    BENCH_MAX_OPEN = 16
};

/* Every bench, in the order in which all are run. */
static const struct {
    const char *name;
    int (*run)(struct bench *bench);
    const char *sentence;
} benches[] = {
    {"summarise", bench_summarise,
        "statistics of a tensor against a plain read of its memory"},
    {"push", bench_push,
        "what one call costs the training, with the daemon alive, dead, stopped"},
    {"govern", bench_govern, "the question which tensors a step may measure"},
    {"ingest", bench_ingest, "points from push to commit, against raw ZeroMQ and raw LMDB"},
    {"train", bench_train,
        "a step of four trainings, watched and not, and beside TensorBoard's histograms"},
    {"codec", bench_codec, "the store's codec beside others, on recorded series"},
    {"rules", bench_rules,
        "what all rules cost per value, beside a mean of the same values"},
    {"credit", bench_credit,
        "of what one unit was made, beside a backward pass of torch and one in C"},
    {"sample", bench_sample, "the choice of lines, beside other choices of as many"},
    {"view", bench_view, "the window: frames, delays, starts, memory"},
    {"store", bench_store, "bytes, ranges, opening, load and memory of the store"},
};

struct bench {
    struct cli *cli;
    char dir[200];
    struct bench_daemon daemons[BENCH_MAX_DAEMONS]; /* copies, to end what a bench left */
    size_t n_daemons;
    char limit_name[160]; /* last printed, to say it once */
    char bench_name[64];
    char **cases; /* of the bench that were named; none: all */
    int n_cases;
};

/* ---- figures ---- */

double bench_quantile(double *values, size_t n, double q)
{
    qsort(values, n, sizeof *values, baro_by_double);
    size_t idx = (size_t)(q * (double)(n - 1) + 0.5);
    return values[idx < n ? idx : n - 1];
}

double bench_median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, baro_by_double);
    return n % 2 == 1 ? values[n / 2] : 0.5 * (values[n / 2 - 1] + values[n / 2]);
}

/* "12.3 ns", "1.53 M points/s": three or four digits that a person can compare. */
static void format_value(double value, const char *unit, char *out, size_t out_bytes)
{
    static const struct {
        double size;
        const char *prefix;
    } prefixes[] = {{1e9, " G"}, {1e6, " M"}, {1e4, " k"}};
    if (!isfinite(value)) {
        (void)snprintf(out, out_bytes, "-");
        return;
    }
    for (size_t i = 0; i < BARO_LEN(prefixes); i++) {
        double size = prefixes[i].size == 1e4 ? 1e3 : prefixes[i].size; /* k from 10 k on */
        if (fabs(value) >= prefixes[i].size) {
            (void)snprintf(out, out_bytes, "%.4g%s%s%s", value / size, prefixes[i].prefix,
                strlen(unit) > 2 ? " " : "", unit);
            return;
        }
    }
    (void)snprintf(out, out_bytes, "%.4g %s", value, unit);
}

static void print_json(const struct bench *bench, const char *bench_name,
    const char *case_name, double value, const char *unit, double limit_value)
{
    double ratio = value / limit_value;
    json_print(&bench->cli->out,
        json_pack("{s:s, s:s, s:o, s:s, s:o, s:o}", "bench", bench_name, "case", case_name,
            "value", json_number(value), "unit", unit, "limit",
            isfinite(limit_value) ? json_real(limit_value) : json_null(), "ratio",
            isfinite(ratio) ? json_real(ratio) : json_null()));
}

static void report(struct bench *bench, const char *bench_name, const char *case_name,
    double value, double spread, const char *unit, double limit_value,
    const char *limit_name)
{
    const struct term *term = &bench->cli->out;
    if (bench->cli->values.is_json) {
        print_json(bench, bench_name, case_name, value, unit, limit_value);
        (void)fflush(stdout);
        return;
    }
    if (strcmp(bench->bench_name, bench_name) != 0) {
        (void)snprintf(bench->bench_name, sizeof bench->bench_name, "%s", bench_name);
        bench->limit_name[0] = '\0';
        (void)printf("%s%s%s\n", term_paint(term, TERM_BOLD), bench_name,
            term_paint(term, TERM_PLAIN));
    }
    if (limit_name != NULL && strcmp(bench->limit_name, limit_name) != 0) {
        (void)snprintf(bench->limit_name, sizeof bench->limit_name, "%s", limit_name);
        (void)printf("%s  beside the limit: %s%s\n", term_paint(term, TERM_DIM), limit_name,
            term_paint(term, TERM_PLAIN));
    }
    char figure[48];
    char limit[48] = "-";
    char ratio[24] = "";
    char around[16] = "";
    format_value(value, unit, figure, sizeof figure);
    if (isfinite(limit_value)) {
        format_value(limit_value, unit, limit, sizeof limit);
        (void)snprintf(ratio, sizeof ratio, "%.3g", value / limit_value);
    }
    if (spread >= 0) {
        (void)snprintf(
            around, sizeof around, "%s%.0f%%", term_mark(term, "±", "+-"), spread);
    }
    (void)printf("  %-30s %15s %*s %s%15s%s %6s\n", case_name, figure,
        5 + (int)strlen(around) - term_width(around), around, term_paint(term, TERM_DIM),
        limit, term_paint(term, TERM_PLAIN), ratio);
    (void)fflush(stdout);
}

void bench_report(struct bench *bench, const char *bench_name, const char *case_name,
    double value, const char *unit, double limit_value, const char *limit_name)
{
    report(bench, bench_name, case_name, value, -1, unit, limit_value, limit_name);
}

void bench_report_samples(struct bench *bench, const char *bench_name,
    const char *case_name, double *samples, size_t n, const char *unit, double limit_value,
    const char *limit_name)
{
    double median = bench_median(samples, n);
    double quartiles = bench_quantile(samples, n, 0.75) - bench_quantile(samples, n, 0.25);
    double spread = median > 0 && n > 2 ? 50.0 * quartiles / median : -1;
    report(bench, bench_name, case_name, median, spread, unit, limit_value, limit_name);
}

void bench_note(struct bench *bench, const char *format, ...)
{
    if (bench->cli->values.is_json) {
        return;
    }
    char text[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    term_wrap(&bench->cli->out, stdout, 2, text);
}

int bench_fail(struct bench *bench, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void)bench;
    (void)cli_fail("bench: %s", text);
    return -1;
}

bool bench_is_quick(const struct bench *bench)
{
    return bench->cli->values.is_quick;
}

bool bench_wants(const struct bench *bench, const char *case_name)
{
    bool is_named = bench->n_cases == 0;
    for (int i = 0; i < bench->n_cases; i++) {
        is_named = is_named || strcmp(bench->cases[i], case_name) == 0;
    }
    return is_named;
}

int64_t bench_points(const struct bench *bench, int64_t default_points)
{
    int64_t points = bench->cli->values.points;
    return points > 0 ? points : default_points;
}

int64_t bench_seconds(const struct bench *bench, int64_t default_seconds)
{
    int64_t seconds = bench->cli->values.seconds;
    return seconds > 0 ? seconds : default_seconds;
}

const char *bench_corpus(const struct bench *bench)
{
    return bench->cli->values.corpus;
}

const char *bench_pictures(const struct bench *bench)
{
    return bench->cli->values.output;
}

/* ---- the private folder and daemons ---- */

static int remove_one(
    const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    (void)remove(path);
    return 0;
}

const char *bench_dir(struct bench *bench)
{
    if (bench->dir[0] == '\0') {
        const char *parent = getenv("TMPDIR");
        bool is_usable = parent != NULL && parent[0] == '/' && strlen(parent) < 100;
        (void)snprintf(bench->dir, sizeof bench->dir, "%s/baro-bench-XXXXXX",
            is_usable ? parent : "/tmp");
        if (mkdtemp(bench->dir) == NULL) {
            (void)bench_fail(
                bench, "cannot make a folder under %s", is_usable ? parent : "/tmp");
            exit(CLI_FAILED);
        }
    }
    return bench->dir;
}

/* Remember the process, so that it is ended with the bench; one entry for each folder. */
static void remember(struct bench *bench, const struct bench_daemon *daemon)
{
    for (size_t i = 0; i < bench->n_daemons; i++) {
        if (strcmp(bench->daemons[i].dir, daemon->dir) == 0) {
            bench->daemons[i] = *daemon;
            return;
        }
    }
    if (bench->n_daemons == BENCH_MAX_DAEMONS) {
        bench->n_daemons = 0; /* the earlier ones are over */
    }
    bench->daemons[bench->n_daemons++] = *daemon;
}

static void log_path_of(const struct bench_daemon *daemon, char *out, size_t out_bytes)
{
    (void)snprintf(out, out_bytes, "%s/barod.log", daemon->dir);
}

int bench_daemon_spawn(struct bench *bench, struct bench_daemon *daemon)
{
    struct baro_err err = {0};
    char log_path[320];
    log_path_of(daemon, log_path, sizeof log_path);
    struct barod_options options = {.dir = daemon->dir,
        .log_path = log_path,
        .argument = daemon->argument,
        .is_private = true};
    pid_t pid = 0;
    if (barod_start(&options, &pid, &err) != 0) {
        return bench_fail(bench, "%s", err.text);
    }
    daemon->pid = pid;
    remember(bench, daemon);
    return 0;
}

int bench_daemon_restart(struct bench *bench, struct bench_daemon *daemon)
{
    struct baro_err err = {0};
    pid_t pid = 0;
    if (bench_daemon_spawn(bench, daemon) != 0) {
        return -1;
    }
    if (barod_await(daemon->endpoint, daemon->pid, BENCH_START_MS, &pid, &err) != 0) {
        char log_path[320];
        char line[512];
        log_path_of(daemon, log_path, sizeof log_path);
        barod_last_line(log_path, line, sizeof line);
        return bench_fail(bench, "%s: %s", err.text, line);
    }
    return 0;
}

int bench_daemon_start_with(
    struct bench *bench, const char *argument, struct bench_daemon *out_daemon)
{
    struct baro_err err = {0};
    *out_daemon = (struct bench_daemon){.argument = argument};
    (void)snprintf(out_daemon->dir, sizeof out_daemon->dir, "%s/daemon-%zu-XXXXXX",
        bench_dir(bench), bench->n_daemons % BENCH_MAX_DAEMONS);
    if (mkdtemp(out_daemon->dir) == NULL ||
        wire_endpoint(out_daemon->dir, out_daemon->endpoint, sizeof out_daemon->endpoint,
            &err) != 0) {
        return bench_fail(bench, "cannot make a daemon's folder: %s", err.text);
    }
    return bench_daemon_restart(bench, out_daemon);
}

int bench_daemon_start(struct bench *bench, struct bench_daemon *out_daemon)
{
    return bench_daemon_start_with(bench, NULL, out_daemon);
}

void bench_daemon_pause(struct bench_daemon *daemon, bool is_paused)
{
    int status;
    if (daemon->pid > 0 && kill(daemon->pid, is_paused ? SIGSTOP : SIGCONT) == 0) {
        (void)waitpid(daemon->pid, &status, is_paused ? WUNTRACED : WCONTINUED);
    }
}

void bench_daemon_stop(struct bench_daemon *daemon, bool is_hard)
{
    if (daemon->pid <= 0) {
        return;
    }
    (void)kill(daemon->pid, is_hard ? SIGKILL : SIGTERM);
    (void)kill(daemon->pid, SIGCONT);
    if (!barod_await_end(daemon->pid, BENCH_STOP_MS)) {
        (void)kill(daemon->pid, SIGKILL);
        (void)barod_await_end(daemon->pid, BENCH_STOP_MS);
    }
    (void)waitpid(daemon->pid, NULL, 0); /* it is gone: only its entry is left to take */
    daemon->pid = 0;
}

static void clean_up(struct bench *bench)
{
    for (size_t i = 0; i < bench->n_daemons; i++) {
        /* Only a process that is still our child can be the daemon we started. */
        if (waitpid(bench->daemons[i].pid, NULL, WNOHANG) == 0) {
            bench_daemon_stop(&bench->daemons[i], true);
        }
    }
    bench->n_daemons = 0;
    if (bench->dir[0] != '\0') {
        (void)nftw(bench->dir, remove_one, BENCH_MAX_OPEN, FTW_DEPTH | FTW_PHYS);
        bench->dir[0] = '\0';
    }
}

/* ---- the command ---- */

static int find_bench(const char *name)
{
    const char *names[BARO_LEN(benches)];
    for (size_t i = 0; i < BARO_LEN(benches); i++) {
        names[i] = benches[i].name;
        if (strcmp(names[i], name) == 0) {
            return (int)i;
        }
    }
    const char *near = baro_nearest(name, names, BARO_LEN(benches));
    if (near != NULL) {
        (void)cli_misuse("no bench '%s'; did you mean '%s'?", name, near);
    } else {
        (void)cli_misuse(
            "no bench '%s'; there are summarise, push, ingest, train, codec, view and store",
            name);
    }
    return -1;
}

/* Count the arguments behind a bench's name that are names of its cases. */
static int count_cases(const struct cli *cli, int at, size_t idx)
{
    int n = 0;
    bool is_case = benches[idx].run == bench_store;
    while (is_case && at + 1 + n < cli->n_arguments) {
        is_case = false;
        for (size_t i = 0; bench_store_cases[i] != NULL; i++) {
            is_case =
                is_case || strcmp(bench_store_cases[i], cli->arguments[at + 1 + n]) == 0;
        }
        n += is_case ? 1 : 0;
    }
    return n;
}

static int run_bench(struct cli *cli, size_t idx, char **cases, int n_cases)
{
    struct bench bench = {.cli = cli, .cases = cases, .n_cases = n_cases};
    int rc = benches[idx].run(&bench);
    clean_up(&bench);
    return rc == 0 ? CLI_OK : CLI_FAILED;
}

int cmd_bench(struct cli *cli)
{
    for (int i = 0; i < cli->n_arguments; i++) {
        int idx = find_bench(cli->arguments[i]);
        if (idx < 0) {
            return CLI_USAGE;
        }
        i += count_cases(cli, i, (size_t)idx);
    }
    /* The user's own settings must not leak into what is measured. */
    static const char *const foreign[] = {"BARO_ENDPOINT", "BARO_DIR", "BARO_RING_DIR",
        "BARO_MODE", "BARO_RUN_ID", "BARO_PROJECT", "BARO_BUDGET", "BARO_RING_BYTES"};
    for (size_t i = 0; i < BARO_LEN(foreign); i++) {
        (void)unsetenv(foreign[i]);
    }
    int rc = CLI_OK;
    for (size_t i = 0; cli->n_arguments == 0 && i < BARO_LEN(benches); i++) {
        int rc_one = run_bench(cli, i, NULL, 0);
        rc = rc == CLI_OK ? rc_one : rc;
    }
    for (int i = 0; i < cli->n_arguments; i++) {
        size_t idx = (size_t)find_bench(cli->arguments[i]);
        int n_cases = count_cases(cli, i, idx);
        int rc_one = run_bench(cli, idx, cli->arguments + i + 1, n_cases);
        rc = rc == CLI_OK ? rc_one : rc;
        i += n_cases;
    }
    return rc;
}
