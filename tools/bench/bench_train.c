/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What watching costs a training. The trainings are Python: train_models.py beside this file runs
 * them in turns, unwatched and watched, and prints a line of JSON for each figure; here they are
 * given a daemon, and their figures are printed as those of all benches.
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

enum { MAX_SAMPLES = 256, LINE_BYTES = 16384 };

#define DEBIAN_PYTHON "/usr/bin/python3"

/* Where the script and the Python package lie: in the source tree around a build, or installed. */
static int find_script(char *out_script, char *out_package)
{
    static const struct {
        const char *script;
        const char *package;
    } places[] = {
        {"/../../tools/bench/train_models.py", "/../../lib/python"},
        {"/../../../tools/bench/train_models.py", "/../../../lib/python"},
        {"/../share/barograph/bench/train_models.py", "/../lib/python3/dist-packages"},
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
static void exec_python(const char *script, bool is_quick, int out_fd)
{
    const char *python = getenv("BARO_PYTHON");
    /* Debian's torch is Debian's Python's; another python3 may come first in PATH. */
    const char *found = access(DEBIAN_PYTHON, X_OK) == 0 ? DEBIAN_PYTHON : "python3";
    const char *arguments[] = {
        python != NULL ? python : found, script, is_quick ? "--quick" : NULL, NULL};
    (void)dup2(out_fd, STDOUT_FILENO);
    (void)execvp(arguments[0], (char *const *)(uintptr_t)arguments);
    _exit(127);
}

/* Print one figure: {"case", "samples", "unit", "limit", "limit_name"}. */
static size_t report_figure(struct bench *bench, const json_t *figure)
{
    const char *name = json_string_value(json_object_get(figure, "case"));
    const char *unit = json_string_value(json_object_get(figure, "unit"));
    const json_t *list = json_object_get(figure, "samples");
    const json_t *limit = json_object_get(figure, "limit");
    double samples[MAX_SAMPLES];
    size_t n = json_array_size(list) < MAX_SAMPLES ? json_array_size(list) : MAX_SAMPLES;
    if (name == NULL || unit == NULL || n == 0) {
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        samples[i] = json_number_value(json_array_get(list, i));
    }
    bench_report_samples(bench, "train", name, samples, n, unit,
        json_is_number(limit) ? json_number_value(limit) : (double)NAN,
        json_string_value(json_object_get(figure, "limit_name")));
    return 1;
}

/* Print what the script says, line by line; returns the number of figures. */
static size_t report_lines(struct bench *bench, FILE *file)
{
    char line[LINE_BYTES];
    size_t n_figures = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        json_t *object = json_loads(line, 0, NULL);
        const char *note = json_string_value(json_object_get(object, "note"));
        if (note != NULL) {
            bench_note(bench, "%s", note);
        } else if (object != NULL) {
            n_figures += report_figure(bench, object);
        }
        json_decref(object);
    }
    return n_figures;
}

/* Run the script to its end; false when it failed or gave no figure. */
static bool run_script(struct bench *bench, const char *script)
{
    int ends[2];
    if (pipe(ends) != 0) {
        return false;
    }
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(ends[0]);
        exec_python(script, bench_is_quick(bench), ends[1]);
    }
    (void)close(ends[1]);
    baro_autofclose FILE *file = fdopen(ends[0], "r");
    size_t n_figures = pid > 0 && file != NULL ? report_lines(bench, file) : 0;
    int status = 1;
    if (pid > 0) {
        (void)waitpid(pid, &status, 0);
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 && n_figures > 0;
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
    if (find_script(script, package) != 0) {
        return bench_fail(bench,
            "cannot find tools/bench/train_models.py: use the baro of a build folder "
            "in the source tree, or an installed one");
    }
    if (bench_daemon_start(bench, &daemon) != 0) {
        return -1;
    }
    set_environment(&daemon, package);
    bool is_fine = run_script(bench, script);
    bench_daemon_stop(&daemon, false);
    if (!is_fine) {
        return bench_fail(bench,
            "'%s' did not run; is python3-torch there? BARO_PYTHON names another Python",
            script);
    }
    return 0;
}
