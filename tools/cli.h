/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame of `baro`: one table of commands, one table of options per command. Parsing, --help,
 * the shell completions and the check of the man page all come from these tables (commands.c).
 */
#ifndef BARO_TOOLS_CLI_H
#define BARO_TOOLS_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/baro_types.h"
#include "tools/term.h"

struct link;
struct cli;

/* Exit codes; part of the interface. */
enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

/* How long an answer is awaited. */
enum { CLI_TIMEOUT_MS = 5000 };

/* What all options can set; a command reads those that its table names. */
struct cli_values {
    const char *endpoint;
    const char *dir;
    const char *key; /* file of the client's keys, or NULL */
    bool is_insecure;
    bool is_json;
    bool is_csv;
    bool is_help;
    bool is_version;
    bool is_follow;
    bool is_kept;
    bool is_no_start;
    bool is_quick;
    bool is_forced;
    bool is_all;
    bool is_dry_run;
    bool is_incidents;
    bool is_steps;
    bool is_test;
    const char *size;   /* to prune to, or NULL */
    const char *output; /* where to write, or NULL */
    const char *format; /* NULL: by the file's ending */
    const char *kinds;  /* list of kinds of readings, or NULL */
    const char *role;   /* of a key, or NULL */
    const char *name;   /* likewise */
    const char *server; /* public key of a daemon, or NULL */
    const char *stat;   /* of units, or NULL */
    const char *axis;   /* "linear", "log", "symlog", or NULL */
    const char *rules;  /* file, or NULL */
    const char *check;  /* likewise */
    const char *reason; /* in a person's words, or NULL */
    const char *target; /* of credit, or NULL */
    const char *mode;   /* likewise: "value", "gradient", "change" */
    int64_t sample;     /* place in the batch; INT64_MIN: not given */
    int64_t against;    /* step to compare with; INT64_MIN: not given */
    const char *corpus; /* folder of recorded series, or NULL */
    int64_t step;       /* INT64_MIN: not given */
    int64_t rng;        /* step whose random state is wanted; INT64_MIN: not given */
    int64_t remove;     /* id of a note; INT64_MIN: not given */
    int64_t from;       /* INT64_MIN: from the beginning */
    int64_t to;         /* INT64_MAX: to the end */
    int64_t columns;    /* INT64_MIN: not given, every point */
    int64_t lines;      /* to choose; 0: as many as fit */
    int64_t budget_ms;  /* 0: until it is done */
    int64_t points;     /* 0: as many as the bench takes by itself */
    int64_t seconds;    /* likewise */
};

enum cli_type {
    CLI_FLAG,  /* bool */
    CLI_TEXT,  /* const char * */
    CLI_NUMBER /* int64_t */
};

struct cli_option {
    const char *name; /* without the two dashes */
    char letter;      /* of the short form, or 0 */
    enum cli_type type;
    size_t offset;     /* of the value in struct cli_values */
    const char *value; /* name of the value for --help; NULL for flags */
    const char *sentence;
};

struct cli_command {
    const char *name;
    const char *arguments; /* "RUN SERIES", "" */
    int min_arguments;
    int max_arguments;
    const char *sentence;
    const char *more; /* further lines of `baro help NAME`, or NULL */
    const struct cli_option *options;
    size_t n_options;
    int (*run)(struct cli *cli); /* returns an exit code */
};

/* One call of baro. */
struct cli {
    const struct cli_command *command;
    struct cli_values values;
    char **arguments; /* what is neither an option nor the command's name */
    int n_arguments;
    struct term out;   /* standard output */
    struct link *link; /* opened by cli_link */
};

extern const struct cli_command cli_commands[];
extern const size_t cli_n_commands;
extern const struct cli_option cli_global_options[];
extern const size_t cli_n_global_options;

/**
 * Parse a command line into cli; prints what is wrong with it.
 *
 * returns  CLI_OK or CLI_USAGE; cli->command is NULL when none was named
 */
int cli_parse(struct cli *cli, int argc, char **argv);

/** Print `baro --help`, or the help of one command. */
void cli_print_help(const struct term *term, const struct cli_command *command);

/** Find a command by its exact name; NULL when there is none. */
const struct cli_command *cli_find_command(const char *name);

/** Say that no command has such a name, with the nearest that exists. Returns CLI_USAGE. */
int cli_no_command(const char *name);

/** Give a NaN without its sign, which says nothing, and any other number as it is. */
double cli_number(double value);

/** Print "baro: ..." to standard error. Returns CLI_FAILED. */
int cli_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** Print "baro: ..." and "see baro --help" to standard error. Returns CLI_USAGE. */
int cli_misuse(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** Print err as "baro: ...". Returns CLI_FAILED. */
int cli_fail_err(const struct baro_err *err);

/**
 * Connect to the daemon that --endpoint, --dir or the environment name, once per call.
 *
 * returns  NULL after saying that none is there
 */
struct link *cli_link(struct cli *cli);

/** Print completions for a shell ("bash", "zsh", "fish"). Returns an exit code. */
int cli_print_completions(const char *shell);

/* The commands; each returns an exit code. */

/** Start the user's daemon; cmd_up.c. */
int cmd_up(struct cli *cli);
/** Stop it and wait until it is gone; cmd_up.c. */
int cmd_down(struct cli *cli);
/** Show the daemon; cmd_status.c. */
int cmd_status(struct cli *cli);
/** List runs; cmd_runs.c. */
int cmd_runs(struct cli *cli);
/** List what a run has measured; cmd_series.c. */
int cmd_series(struct cli *cli);
/** Print one series; cmd_get.c. */
int cmd_get(struct cli *cli);
/** Choose units of a tensor to look at; cmd_sample.c. */
int cmd_sample(struct cli *cli);
/** Write a run's readings to a file; cmd_export.c. */
int cmd_export(struct cli *cli);
/** Follow live values; cmd_tail.c. */
int cmd_tail(struct cli *cli);
/** Show one run on one screen; cmd_top.c. */
int cmd_top(struct cli *cli);
/** Print or follow alerts; cmd_alerts.c. */
int cmd_alerts(struct cli *cli);
/** Investigate a run; cmd_why.c. */
int cmd_why(struct cli *cli);
/** Write an investigation to a file; cmd_report.c, report/report.c. */
int cmd_report(struct cli *cli);
/** Compare two runs, or two steps of one; cmd_compare.c. */
int cmd_compare(struct cli *cli);
/** Judge stored history again; cmd_replay.c. */
int cmd_replay(struct cli *cli);
/** List the probes of a run, or the operations of one; cmd_probes.c. */
int cmd_probes(struct cli *cli);
/** Say of what a value, a gradient or a change was made; cmd_credit.c. */
int cmd_credit(struct cli *cli);
/** List rules and check a rules file; cmd_rules.c. */
int cmd_rules(struct cli *cli);
/** Bring in rings of dead processes; cmd_recover.c. */
int cmd_recover(struct cli *cli);
/** Make room in the store; cmd_prune.c. */
int cmd_prune(struct cli *cli);
/** Make and list keys for tcp://; cmd_key.c. */
int cmd_key(struct cli *cli);
/** Check what the store keeps; cmd_verify.c. */
int cmd_verify(struct cli *cli);
/** Ask something of a training; cmd_control.c. */
int cmd_control(struct cli *cli);
/** Write, list or remove notes; cmd_note.c. */
int cmd_note(struct cli *cli);
/** Try the ways of notification; cmd_notify.c. */
int cmd_notify(struct cli *cli);
/** Run benches; bench/bench.c. */
int cmd_bench(struct cli *cli);
/** Print help; baro.c. */
int cmd_help(struct cli *cli);
/** Print completions; baro.c. */
int cmd_completions(struct cli *cli);

#endif
