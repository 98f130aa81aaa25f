/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame of `baro bench`: every figure is printed beside a limit that was measured in the same
 * run on the same machine, with their ratio. Benches start their own daemon in their own folder
 * and never touch the user's. A bench is one function `int bench_NAME(struct bench *)`, listed
 * in bench.c; it returns 0, or a negative code after it has called bench_fail.
 *
 * How to measure: take the candidates in turns (A B A B ...), never all of one and then all of
 * the other, and report the median of the turns; bench_report_samples prints the spread, too.
 */
#ifndef BARO_BENCH_H
#define BARO_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct bench;

/* A daemon of the bench's own. */
struct bench_daemon {
    pid_t pid; /* 0: none */
    char dir[256];
    char endpoint[320];
    const char *argument; /* of barod, beside the usual ones; NULL: none */
};

/** Measure the statistics of a tensor against a plain read of its memory. */
int bench_summarise(struct bench *bench);
/** Measure what a push call costs, with the daemon alive, dead and stopped. */
int bench_push(struct bench *bench);
/** Measure what the question costs which tensors the budget lets be measured. */
int bench_govern(struct bench *bench);
/** Measure points from push to commit, against raw ZeroMQ and raw LMDB. */
int bench_ingest(struct bench *bench);
/** Measure steps of the example training, watched and not. */
int bench_train(struct bench *bench);
/** Measure the store's codec beside others, on recorded series. */
int bench_codec(struct bench *bench);
/** Measure what all rules cost per value. */
int bench_rules(struct bench *bench);
/** Measure credit assignment, beside backward passes. */
int bench_credit(struct bench *bench);
/** Measure the choice of lines, beside other choices of as many. */
int bench_sample(struct bench *bench);
/** Measure the window: frames, delays, starts, memory. */
int bench_view(struct bench *bench);
/** Measure the store: size, ranges, opening, load and memory; its cases have names. */
int bench_store(struct bench *bench);
/* Names of those cases, NULL at the end. */
extern const char *const bench_store_cases[];

/**
 * Print one figure beside its limit and their ratio.
 *
 * bench_name   "push"
 * case_name    what was measured: "scalar p99, daemon dead"
 * unit         of both figures: "ns", "GB/s", "points/s"
 * limit_value  measured in this run; NaN when there is none
 * limit_name   what the limit is: "plain read of the same memory"; shown to people
 */
void bench_report(struct bench *bench, const char *bench_name, const char *case_name,
    double value, const char *unit, double limit_value, const char *limit_name);

/**
 * Print the median of n turns with its spread (half the distance between the quartiles, in
 * percent of the median), beside a limit.
 *
 * samples  n > 0 values in unit; sorted in place
 */
void bench_report_samples(struct bench *bench, const char *bench_name,
    const char *case_name, double *samples, size_t n, const char *unit, double limit_value,
    const char *limit_name);

/** Give the median of n > 0 values; sorts them in place. */
double bench_median(double *values, size_t n);

/** Give the q-quantile (0 to 1, nearest rank) of n > 0 values; sorts them in place. */
double bench_quantile(double *values, size_t n, double q);

/** Print a remark below the figures (left out with --json). */
void bench_note(struct bench *bench, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/**
 * Say why a bench could not measure.
 *
 * returns  -1, so that a bench can return it
 */
int bench_fail(struct bench *bench, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** Tell whether a short run is wanted (--quick: tests): small sizes, few turns. */
bool bench_is_quick(const struct bench *bench);

/** Tell whether a case of the bench is to run: it was named, or none was. */
bool bench_wants(const struct bench *bench, const char *case_name);

/** Give the number of points that --points asks for, else the default. */
int64_t bench_points(const struct bench *bench, int64_t default_points);

/** Give the seconds that --seconds asks for, else the default. */
int64_t bench_seconds(const struct bench *bench, int64_t default_seconds);

/** Give the folder of recorded series that --corpus names; NULL when it names none. */
const char *bench_corpus(const struct bench *bench);

/** Give the folder that --pictures names, to put pictures in; NULL when it names none. */
const char *bench_pictures(const struct bench *bench);

/** Give a private folder that is removed with all it holds when the bench ends. */
const char *bench_dir(struct bench *bench);

/**
 * Start a private barod in bench_dir() and wait until it answers.
 *
 * out_daemon  filled in; ended by bench_daemon_stop, at the latest by the frame
 * returns  0, or -1 after bench_fail
 */
int bench_daemon_start(struct bench *bench, struct bench_daemon *out_daemon);

/** The same with one more argument of barod's ("--exact"), or NULL; it must outlive the daemon. */
int bench_daemon_start_with(
    struct bench *bench, const char *argument, struct bench_daemon *out_daemon);

/**
 * Start barod again in the folder of one that has been stopped; does not wait for it.
 *
 * daemon   its pid is set
 * returns  0, or -1 after bench_fail
 */
int bench_daemon_spawn(struct bench *bench, struct bench_daemon *daemon);

/** Start barod again in the folder of one that has been stopped, and wait until it answers. */
int bench_daemon_restart(struct bench *bench, struct bench_daemon *daemon);

/** Stop it in its tracks (SIGSTOP), or let it go on; waits until it has happened. */
void bench_daemon_pause(struct bench_daemon *daemon, bool is_paused);

/** End it (SIGKILL when is_hard) and wait until it is gone; accepts one that is not running. */
void bench_daemon_stop(struct bench_daemon *daemon, bool is_hard);

#endif
