/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What watching costs a real training: the step time of the example autoencoder without
 * Barograph (BARO_MODE=off), watched as by default, and watched with every tensor at every step.
 * Each turn is a process of its own, in turns; the script measures its own steps and prints the
 * median of the second half of them: by then the budget's initial credit (0.5 s, which measures
 * some thousand steps whole) is spent.
 */
#include "tools/bench/bench.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/base/paths.h"

enum { MAX_TURNS = 3, STEPS = 2800, QUICK_STEPS = 100 };

/* The ways to run the example. */
static const struct {
    const char *case_name;
    const char *mode;
    const char *every; /* NULL: as often as the budget allows */
} cases[] = {
    {"watch off", "off", NULL},
    {"watch on", "online", NULL},
    {"watch on, every=1", "online", "1"},
};
enum { N_CASES = 3 };

#define DEBIAN_PYTHON "/usr/bin/python3"

/* Where the example and the Python package lie: in the source tree around a build, or installed. */
static int find_example(char *out_script, char *out_package)
{
    static const struct {
        const char *script;
        const char *package;
    } places[] = {
        {"/../../tools/examples/vae_digits.py", "/../../lib/python"},
        {"/../../../tools/examples/vae_digits.py", "/../../../lib/python"},
        {"/../share/barograph/examples/vae_digits.py", "/../lib/python3/dist-packages"},
    };
    char self[BARO_PATH_BYTES];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (slash == NULL) {
        return -1;
    }
    *slash = '\0';
    for (size_t i = 0; i < BARO_LEN(places); i++) {
        (void)snprintf(out_script, BARO_PATH_BYTES, "%.*s%s", (int)strlen(self), self,
            places[i].script);
        (void)snprintf(out_package, BARO_PATH_BYTES, "%.*s%s", (int)strlen(self), self,
            places[i].package);
        if (access(out_script, R_OK) == 0) {
            return 0;
        }
    }
    return -1;
}

/* In the child: becomes Python or exits. */
static void exec_python(const char *script, size_t case_idx, const char *steps, int out_fd)
{
    const char *python = getenv("BARO_PYTHON");
    /* Debian's torch is Debian's Python's; another python3 may come first in PATH. */
    const char *found = access(DEBIAN_PYTHON, X_OK) == 0 ? DEBIAN_PYTHON : "python3";
    const char *arguments[16] = {
        python != NULL ? python : found, script, "--steps", steps, "--healthy", "--time"};
    size_t n = 6;
    if (cases[case_idx].every != NULL) {
        arguments[n++] = "--every";
        arguments[n++] = cases[case_idx].every;
    }
    (void)setenv("BARO_MODE", cases[case_idx].mode, 1);
    (void)dup2(out_fd, STDOUT_FILENO);
    (void)execvp(arguments[0], (char *const *)(uintptr_t)arguments);
    _exit(127);
}

/* The last line that is a JSON object with "median_step_ms", else NaN. */
static double read_median(FILE *file)
{
    char line[4096];
    double median_ms = (double)NAN;
    while (fgets(line, sizeof line, file) != NULL) {
        json_t *object = json_loads(line, 0, NULL);
        json_t *value = json_object_get(object, "median_step_ms");
        if (json_is_number(value)) {
            median_ms = json_number_value(value);
        }
        json_decref(object);
    }
    return median_ms;
}

static double run_once(const char *script, size_t case_idx, const char *steps)
{
    int ends[2];
    if (pipe(ends) != 0) {
        return (double)NAN;
    }
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(ends[0]);
        exec_python(script, case_idx, steps, ends[1]);
    }
    (void)close(ends[1]);
    baro_autofclose FILE *file = fdopen(ends[0], "r");
    double median_ms = pid > 0 && file != NULL ? read_median(file) : (double)NAN;
    int status = 1;
    if (pid > 0) {
        (void)waitpid(pid, &status, 0);
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? median_ms : (double)NAN;
}

static void set_environment(const struct bench_daemon *daemon, const char *package)
{
    const char *before = getenv("PYTHONPATH");
    char path[2 * BARO_PATH_BYTES];
    (void)snprintf(path, sizeof path, "%s%s%s", package, before != NULL ? ":" : "",
        before != NULL ? before : "");
    (void)setenv("PYTHONPATH", path, 1);
    (void)setenv("BARO_ENDPOINT", daemon->endpoint, 1);
    (void)setenv("BARO_DIR", daemon->dir, 1);
    (void)setenv("BARO_RING_DIR", daemon->dir, 1);
    (void)setenv("BARO_AUTOSTART", "0", 1);
}

int bench_train(struct bench *bench)
{
    char script[BARO_PATH_BYTES];
    char package[BARO_PATH_BYTES];
    struct bench_daemon daemon;
    if (find_example(script, package) != 0) {
        return bench_fail(bench,
            "cannot find tools/examples/vae_digits.py: use the baro of a build folder "
            "in the source tree, or an installed one");
    }
    if (bench_daemon_start(bench, &daemon) != 0) {
        return -1;
    }
    set_environment(&daemon, package);
    size_t n_turns = bench_is_quick(bench) ? 1 : MAX_TURNS;
    char steps[16];
    (void)snprintf(steps, sizeof steps, "%d", bench_is_quick(bench) ? QUICK_STEPS : STEPS);
    double times_ms[N_CASES][MAX_TURNS];
    for (size_t turn = 0; turn < n_turns; turn++) {
        for (size_t i = 0; i < N_CASES; i++) {
            times_ms[i][turn] = run_once(script, i, steps);
            if (!isfinite(times_ms[i][turn])) {
                bench_daemon_stop(&daemon, false);
                return bench_fail(bench,
                    "'%s' did not run with %s; is python3-torch there? BARO_PYTHON names another Python",
                    script, cases[i].case_name);
            }
        }
    }
    double plain_ms = bench_median(times_ms[0], n_turns);
    for (size_t i = 0; i < N_CASES; i++) {
        bench_report_samples(bench, "train", cases[i].case_name, times_ms[i], n_turns, "ms",
            plain_ms, "the same training without Barograph");
    }
    bench_daemon_stop(&daemon, false);
    return 0;
}
