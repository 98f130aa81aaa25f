/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a push costs from Python: the real binding in a Python of its own, beside a call through
 * ctypes that does nothing. Each figure is the best of many turns, taken in turns.
 */
#include "tools/bench/bench_push.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/base/paths.h"

#define DEBIAN_PYTHON "/usr/bin/python3"

enum { N_FIGURES = 3 };

/* Prints nanoseconds: a call that does nothing, log() of one number, a number of log() of ten. */
static const char script[] =
    "import sys, time\n"
    "import barograph\n"
    "run = barograph.init(project='bench')\n"
    "ten = {f'm{i}': i / 2 for i in range(10)}\n"
    "nothing = run._lib.baro_step\n"
    "works = [(lambda: nothing(None, 0), 1), (lambda: run.log({'loss': 0.5}), 1),\n"
    "         (lambda: run.log(ten), 10)]\n"
    "best = [float('inf')] * 3\n"
    "for turn in range(int(sys.argv[1])):\n"
    "    for i, (work, n) in enumerate(works):\n"
    "        start = time.perf_counter_ns()\n"
    "        for _ in range(200):\n"
    "            work()\n"
    "        best[i] = min(best[i], (time.perf_counter_ns() - start) / 200 / n)\n"
    "run.finish(0)\n"
    "print(*best)\n";

/* The folder of the Python package: in the source tree around a build, or installed. */
static bool find_package(char *out)
{
    static const char *const places[] = {
        "/../../lib/python", "/../../../lib/python", "/../lib/python3/dist-packages"};
    char self[BARO_PATH_BYTES - 64];
    char probe[BARO_PATH_BYTES];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (slash == NULL) {
        return false;
    }
    *slash = '\0';
    for (size_t i = 0; i < BARO_LEN(places); i++) {
        (void)snprintf(out, BARO_PATH_BYTES, "%s%s", self, places[i]);
        (void)snprintf(probe, sizeof probe, "%s%s/barograph/__init__.py", self, places[i]);
        if (access(probe, R_OK) == 0) {
            return true;
        }
    }
    return false;
}

static bool run_python(struct bench *bench, const char *package, double *out)
{
    const char *python = getenv("BARO_PYTHON");
    const char *found = access(DEBIAN_PYTHON, X_OK) == 0 ? DEBIAN_PYTHON : "python3";
    (void)setenv("BARO_BENCH_PYTHON", python != NULL ? python : found, 1);
    (void)setenv("BARO_BENCH_SCRIPT", script, 1);
    (void)setenv("BARO_BENCH_PACKAGE", package, 1);
    (void)setenv("BARO_BENCH_DIR", bench_dir(bench), 1);
    (void)setenv("BARO_BENCH_TURNS", bench_is_quick(bench) ? "5" : "200", 1);
    static const char command[] =
        "BARO_MODE=offline BARO_DIR=\"$BARO_BENCH_DIR\" BARO_RING_DIR=\"$BARO_BENCH_DIR\" "
        "PYTHONPATH=\"$BARO_BENCH_PACKAGE\" \"$BARO_BENCH_PYTHON\" -W ignore "
        "-c \"$BARO_BENCH_SCRIPT\" \"$BARO_BENCH_TURNS\"";
    FILE *answer = popen(command, "r");
    if (answer == NULL) {
        return false;
    }
    char line[256] = "";
    const char *at = fgets(line, sizeof line, answer) != NULL ? line : "";
    char *end = line;
    int n = 0;
    while (n < N_FIGURES && (out[n] = strtod(at, &end), end != at)) {
        at = end;
        n++;
    }
    return pclose(answer) == 0 && n == N_FIGURES;
}

void bench_python(struct bench *bench)
{
    char package[BARO_PATH_BYTES];
    double ns[N_FIGURES];
    if (!find_package(package) || !run_python(bench, package, ns)) {
        bench_note(bench, "Python: the package or libbaro.so was not found; not measured");
        return;
    }
    bench_report(bench, "push", "Python, log() of one number, which also ends the step",
        ns[1], "ns", ns[0], "a call through ctypes that does nothing");
    bench_report(bench, "push", "Python, each number of log() of ten", ns[2], "ns", ns[0],
        "a call through ctypes that does nothing");
}
