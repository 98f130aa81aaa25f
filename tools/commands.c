/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of commands and options. A new command is a row here, a cmd_*.c, and a section in
 * docs/man/baro.1.scd (a test compares).
 */
#include "lib/base/mem.h"
#include "tools/cli.h"

#define VALUE(field) offsetof(struct cli_values, field)

#define OPTION_JSON                                                                        \
    {                                                                                      \
        "json", 0, CLI_FLAG, VALUE(is_json), NULL, "print JSON, one object a line"         \
    }
#define OPTION_QUICK                                                                       \
    {                                                                                      \
        "quick", 0, CLI_FLAG, VALUE(is_quick), NULL,                                       \
            "small sizes, few turns: tests that it works"                                  \
    }

const struct cli_option cli_global_options[] = {
    {"endpoint", 'e', CLI_TEXT, VALUE(endpoint), "ENDPOINT",
        "the daemon's address, over BARO_ENDPOINT"},
    {"dir", 'd', CLI_TEXT, VALUE(dir), "DIR", "the daemon's data folder, over BARO_DIR"},
    {"key", 'k', CLI_TEXT, VALUE(key), "FILE", "your key for tcp://, over BARO_KEY"},
    {"insecure", 0, CLI_FLAG, VALUE(is_insecure), NULL, "go to tcp:// without a key"},
    {"help", 'h', CLI_FLAG, VALUE(is_help), NULL, "print this help"},
    {"version", 'V', CLI_FLAG, VALUE(is_version), NULL, "print the version"},
};
const size_t cli_n_global_options = BARO_LEN(cli_global_options);

static const struct cli_option json_only[] = {OPTION_JSON};

static const struct cli_option runs_options[] = {
    {"all", 'a', CLI_FLAG, VALUE(is_all), NULL, "show overwritten runs, too"},
    OPTION_JSON,
};

static const struct cli_option get_options[] = {
    {"from", 0, CLI_NUMBER, VALUE(from), "STEP", "first step"},
    {"to", 0, CLI_NUMBER, VALUE(to), "STEP", "last step, included"},
    {"columns", 0, CLI_NUMBER, VALUE(columns), "N",
        "at most N rows of min, max, mean, count"},
    {"csv", 0, CLI_FLAG, VALUE(is_csv), NULL, "print comma-separated values with a header"},
    OPTION_JSON,
};

static const struct cli_option compare_options[] = {
    {"steps", 0, CLI_FLAG, VALUE(is_steps), NULL, "compare two steps, A and B, of one run"},
    OPTION_JSON,
};

static const struct cli_option sample_options[] = {
    {"stat", 0, CLI_TEXT, VALUE(stat), "STATISTIC", "of the units; default: l2"},
    {"lines", 0, CLI_NUMBER, VALUE(lines), "N", "about so many; default: as many as fit"},
    {"axis", 0, CLI_TEXT, VALUE(axis), "KIND", "linear (default), log or symlog"},
    {"from", 0, CLI_NUMBER, VALUE(from), "STEP", "first step"},
    {"to", 0, CLI_NUMBER, VALUE(to), "STEP", "last step, included"},
    {"budget-ms", 0, CLI_NUMBER, VALUE(budget_ms), "MS", "stop choosing after so long"},
    {"follow", 'f', CLI_FLAG, VALUE(is_follow), NULL, "go on with units that come and go"},
    OPTION_JSON,
};

static const struct cli_option export_options[] = {
    {"output", 'o', CLI_TEXT, VALUE(output), "FILE", "where to; - is standard output"},
    {"format", 0, CLI_TEXT, VALUE(format), "FORM", "csv, jsonl or npz, over FILE's ending"},
    {"kind", 0, CLI_TEXT, VALUE(kinds), "KINDS", "kinds of readings, with commas, or all"},
    {"from", 0, CLI_NUMBER, VALUE(from), "STEP", "first step"},
    {"to", 0, CLI_NUMBER, VALUE(to), "STEP", "last step, included"},
    {"force", 0, CLI_FLAG, VALUE(is_forced), NULL, "replace FILE when it is there"},
};

static const struct cli_option tail_options[] = {
    {"follow", 'f', CLI_FLAG, VALUE(is_follow), NULL, "go on when the run ends"},
    OPTION_JSON,
};

static const struct cli_option alerts_options[] = {
    {"follow", 'f', CLI_FLAG, VALUE(is_follow), NULL,
        "go on with new alerts until the run ends"},
    {"all", 'a', CLI_FLAG, VALUE(is_all), NULL, "print every alert of each incident, too"},
    {"incidents", 0, CLI_FLAG, VALUE(is_incidents), NULL,
        "with --json: incidents instead of alerts"},
    OPTION_JSON,
};

static const struct cli_option why_options[] = {
    {"step", 0, CLI_NUMBER, VALUE(step), "STEP",
        "what happened there; default: the gravest"},
    OPTION_JSON,
};

static const struct cli_option probes_options[] = {
    {"step", 0, CLI_NUMBER, VALUE(step), "STEP", "show the operations of the probe there"},
    {"output", 'o', CLI_TEXT, VALUE(output), "FILE", "write that probe's bytes to a file"},
    {"rng", 0, CLI_NUMBER, VALUE(rng), "STEP",
        "write the random state as that step began to FILE"},
    {"force", 0, CLI_FLAG, VALUE(is_forced), NULL, "replace FILE when it is there"},
    OPTION_JSON,
};

static const struct cli_option report_options[] = {
    {"output", 'o', CLI_TEXT, VALUE(output), "FILE", "where to: .html, .png or .pdf"},
    {"step", 0, CLI_NUMBER, VALUE(step), "STEP",
        "what happened there; default: the gravest"},
};

static const struct cli_option credit_options[] = {
    {"target", 0, CLI_TEXT, VALUE(target), "TARGET", "what to explain; default: loss"},
    {"step", 0, CLI_NUMBER, VALUE(step), "STEP", "of the probe at or before it"},
    {"mode", 0, CLI_TEXT, VALUE(mode), "MODE", "value (default), gradient or change"},
    {"sample", 0, CLI_NUMBER, VALUE(sample), "ROW",
        "of one sample: its place in the batch"},
    {"against", 0, CLI_NUMBER, VALUE(against), "STEP",
        "change since the probe at or before it"},
    OPTION_JSON,
};

static const struct cli_option replay_options[] = {
    {"rules", 0, CLI_TEXT, VALUE(rules), "FILE", "by these rules; default: the daemon's"},
    {"all", 'a', CLI_FLAG, VALUE(is_all), NULL, "print every alert of each incident, too"},
    OPTION_JSON,
};

static const struct cli_option rules_options[] = {
    {"check", 0, CLI_TEXT, VALUE(check), "FILE",
        "read a rules file, and show what it makes"},
    OPTION_JSON,
};

static const struct cli_option control_options[] = {
    {"reason", 0, CLI_TEXT, VALUE(reason), "TEXT", "why, for the run's record"},
    OPTION_JSON,
};

static const struct cli_option note_options[] = {
    {"step", 0, CLI_NUMBER, VALUE(step), "STEP", "of this step; default: the newest"},
    {"remove", 0, CLI_NUMBER, VALUE(remove), "ID", "remove this one"},
    OPTION_JSON,
};

static const struct cli_option notify_options[] = {
    {"test", 0, CLI_FLAG, VALUE(is_test), NULL, "send one test notification in each way"},
    OPTION_JSON,
};

static const struct cli_option recover_options[] = {
    {"keep", 0, CLI_FLAG, VALUE(is_kept), NULL, "leave the ring files where they are"},
    {"no-start", 0, CLI_FLAG, VALUE(is_no_start), NULL, "fail when no daemon answers"},
    OPTION_JSON,
};

static const struct cli_option prune_options[] = {
    {"to", 0, CLI_TEXT, VALUE(size), "SIZE", "until the store takes no more than SIZE"},
    {"all", 0, CLI_FLAG, VALUE(is_all), NULL, "remove the named runs whole"},
    {"dry-run", 'n', CLI_FLAG, VALUE(is_dry_run), NULL, "only say what would go, and why"},
    OPTION_JSON,
};

static const struct cli_option verify_options[] = {
    {"no-start", 0, CLI_FLAG, VALUE(is_no_start), NULL, "fail when no daemon answers"},
    OPTION_JSON,
};

static const struct cli_option key_options[] = {
    {"role", 0, CLI_TEXT, VALUE(role), "ROLE", "what it is for: push, view or admin"},
    {"name", 0, CLI_TEXT, VALUE(name), "NAME", "what to call it in the list"},
    {"output", 'o', CLI_TEXT, VALUE(output), "FILE", "where to put a new key"},
    {"server", 0, CLI_TEXT, VALUE(server), "PUBLIC",
        "the daemon's key, for a new key's file"},
    OPTION_JSON,
};

static const struct cli_option bench_options[] = {
    OPTION_QUICK,
    {"corpus", 0, CLI_TEXT, VALUE(corpus), "DIR",
        "recorded series, as record_corpus.py writes them"},
    {"pictures", 0, CLI_TEXT, VALUE(output), "DIR", "where to put pictures of 'sample'"},
    {"points", 0, CLI_NUMBER, VALUE(points), "N",
        "points for 'store open' and 'store range'"},
    {"seconds", 0, CLI_NUMBER, VALUE(seconds), "N",
        "how long 'store memory' takes data in"},
    OPTION_JSON,
};

const struct cli_command cli_commands[] = {
    {"up", "", 0, 0, "Start your daemon in the background, unless it runs",
        "It logs to barod.log in the data folder. BARO_BAROD names the program to start; else it "
        "is the barod beside baro, or the one in PATH.",
        json_only, BARO_LEN(json_only), cmd_up},
    {"down", "", 0, 0, "Stop your daemon and wait until it is gone",
        "Training goes on: its processes keep what they measure in their rings and send it to the "
        "next daemon.",
        json_only, BARO_LEN(json_only), cmd_down},
    {"status", "", 0, 0, "Show the daemon, what it is doing and its troubles", NULL,
        json_only, BARO_LEN(json_only), cmd_status},
    {"runs", "", 0, 0, "List runs, newest first",
        "A run that was resumed as a branch stands above what it branched from, which is called "
        "ID~1 from then on.",
        runs_options, BARO_LEN(runs_options), cmd_runs},
    {"series", "[RUN [GLOB]]", 0, 2, "List what a run has measured",
        "GLOB chooses by name; a tensor's is NAME:ROLE, as in 'encoder.*:grad'. Without RUN the "
        "newest run is shown.",
        json_only, BARO_LEN(json_only), cmd_series},
    {"get", "RUN SERIES", 2, 2, "Print the exact values of one series",
        "SERIES is a scalar's name (loss), a tensor's statistic (encoder.fc1.weight:grad/l2), a "
        "unit's (encoder.fc1.weight:grad[12]/mean), step_time: seconds per step, or samples and "
        "samples[17]: what each sample gave, or that one. '@1' behind it means rank 1. Repeated "
        "steps are printed in the order of their arrival, and marked. A tensor that "
        "changed its type, shape or units has epochs: NAME:ROLE#2/l2 is one of them.",
        get_options, BARO_LEN(get_options), cmd_get},
    {"sample", "RUN TENSOR", 2, 2, "Choose the units of a tensor that are worth a look",
        "TENSOR is NAME:ROLE. Chosen are units that have non-finite readings, leap or lie on the "
        "envelope, those that are far from all others, and blue noise: few where many units run "
        "alike, each of which stands for its like. Lines are laid on a chart of 800 x 400 pixels.",
        sample_options, BARO_LEN(sample_options), cmd_sample},
    {"export", "RUN [GLOB]", 1, 2, "Write readings to a .csv, .jsonl or .npz file",
        "GLOB chooses among scalars, tensors (NAME:ROLE), their statistics (NAME:ROLE/STATISTIC) "
        "and step_time. KINDS are scalars, steps, summaries, units, histograms, batches, events, "
        "alerts, notes; all but units, histograms and batches without --kind. Every number is written with "
        "all its bits; repeated steps in the order of their arrival.",
        export_options, BARO_LEN(export_options), cmd_export},
    {"tail", "[RUN [GLOB]]", 0, 2, "Follow live values and alerts",
        "GLOB chooses among scalars, tensors (NAME:ROLE, shown by their l2 norm) and their "
        "statistics (NAME:ROLE/STATISTIC); without it all scalars are shown, without RUN the newest "
        "run. Ends when the run does.",
        tail_options, BARO_LEN(tail_options), cmd_tail},
    {"top", "[RUN [GLOB]]", 0, 2, "Show a run on one screen of text, live",
        "Whether all is well, else what is wrong; step, pace and cost; lines of the scalars, layers at "
        "a glance, what happened last. For a terminal over SSH: some hundred bytes a second. q quits. "
        "Without a terminal one screen is printed.",
        NULL, 0, cmd_top},
    {"alerts", "[RUN]", 0, 1, "Print what broke, where, and what to try",
        "Alerts that belong together are one incident: what came first, what it led to, likely "
        "causes.",
        alerts_options, BARO_LEN(alerts_options), cmd_alerts},
    {"why", "[RUN]", 0, 1, "Find out what broke, where, since when and why",
        "The operation that failed, its unit and samples, since when its input drifted, what is to "
        "blame and what to change; of the gravest incident, or with --step of the one there. Asks "
        "for nothing to be run again.",
        why_options, BARO_LEN(why_options), cmd_why},
    {"probes", "[RUN]", 0, 1, "List the steps whose operations were recorded",
        "A probe is the operations of one training step with the values that went through them, for "
        "some samples. With --step the operations of one are shown, in order, with the source line "
        "of each. With --rng the state of torch's random numbers as a step began is written, of a "
        "run that failed or was killed.",
        probes_options, BARO_LEN(probes_options), cmd_probes},
    {"report", "[RUN]", 0, 1, "Write what 'why' tells to a file, with charts",
        "To keep or to send: a page for browsers that needs nothing from outside, a picture, or a "
        "PDF, by the ending of FILE.",
        report_options, BARO_LEN(report_options), cmd_report},
    {"credit", "[RUN]", 0, 1, "Say of what a value or a gradient was made",
        "Shares of the target, traced back operation by operation, with the units and samples that "
        "contributed most. value: of what it was made; gradient: through which operations and from "
        "which samples the loss pulls at it; change: what made it another than it was. TARGET is a "
        "MODULE, one unit of it as MODULE[UNIT], a parameter's name, or a value's number as #7.",
        credit_options, BARO_LEN(credit_options), cmd_credit},
    {"compare", "RUN_A RUN_B|--steps A B [GLOB]", 2, 4,
        "Compare two runs, or two steps of one",
        "Settings that differ; of every scalar and tensor (GLOB chooses among NAME and NAME:ROLE) "
        "the last reading of both sides, what differs most first: scalars by their values, tensors "
        "by their l2 norms.",
        compare_options, BARO_LEN(compare_options), cmd_compare},
    {"replay", "[RUN]", 0, 1, "Judge a run's stored history again",
        "The very rules of the daemon over what it stored: what they say, whether it is what was "
        "recorded, and how often they call. Tune a rules file on the past before you trust it.",
        replay_options, BARO_LEN(replay_options), cmd_replay},
    {"rules", "", 0, 0, "List all rules, or check a rules file", NULL, rules_options,
        BARO_LEN(rules_options), cmd_rules},
    {"control", "RUN WHAT [FACTOR]", 2, 3, "Ask a training to stop, pause, or save",
        "WHAT is stop, dump (save a checkpoint), pause, resume, or lr-scale with the FACTOR of the "
        "learning rate. Only a training that looks at run.should_stop and its like, with "
        "init(control=True), can be asked; what it does is up to it. Request and answer are events "
        "of the run.",
        control_options, BARO_LEN(control_options), cmd_control},
    {"note", "RUN [TEXT]", 1, 1 << 20, "Write, list or remove notes on a run's moments",
        "TEXT is kept with the run, and shown in the window at its step; with --step and no TEXT the "
        "step is marked. Without either the notes are listed.",
        note_options, BARO_LEN(note_options), cmd_note},
    {"notify", "", 0, 0, "Try the ways in which you are told of incidents",
        "barod tells people of incidents by a command, a webhook, mail or a desktop notification: "
        "see NOTIFICATION in barod(1). Exits with 1 when one of them fails.",
        notify_options, BARO_LEN(notify_options), cmd_notify},
    {"recover", "[RING|DIR]...", 0, 1 << 20, "Bring in what killed processes left behind",
        "Without arguments it looks in BARO_RING_DIR, in the default folder of rings and in rings/ "
        "of the data folder. A ring is removed once the daemon has committed all of it.",
        recover_options, BARO_LEN(recover_options), cmd_recover},
    {"prune", "[RUN]...", 0, 1 << 20, "Make room: let the oldest readings go",
        "With --to SIZE, readings of the runs that were active longest ago go first, then their "
        "fine summaries, then other records; with RUNs only theirs, without --to all their "
        "readings. Summaries for charts, alerts and what describes a run stay, unless --all removes "
        "the named runs whole. SIZE is a number with K, M, G or T.",
        prune_options, BARO_LEN(prune_options), cmd_prune},
    {"key", "new|list|allow|revoke|server [KEY]", 1, 2, "Make and admit keys for tcp://",
        "'new NAME' makes a key file, for a client. On the daemon's machine 'allow PUBLIC --role "
        "ROLE --name NAME' puts it on the list (PUBLIC may be its file, too), 'list' prints the "
        "list, 'revoke PUBLIC|NAME' takes it off, and 'server' prints the daemon's own public key, "
        "which the client's file needs. push may send readings, view may look, admin may do "
        "everything; push,view both. A running daemon sees changes within a second.",
        key_options, BARO_LEN(key_options), cmd_key},
    {"verify", "", 0, 0, "Check all that the store keeps",
        "Every record's checksum, and the index against the records. Says which rows of which "
        "series are damaged, and exits with 1 when any are. Training may go on meanwhile.",
        verify_options, BARO_LEN(verify_options), cmd_verify},
    {"bench", "[NAME]...", 0, 16, "Measure Barograph, beside this machine's limits",
        "NAME is summarise, push, govern, ingest, train, codec, rules, credit, sample, view or "
        "store; without it all run. Behind 'store' its cases can be chosen: size, range, open, "
        "mixed, memory. Benches use a daemon and a folder of their own.",
        bench_options, BARO_LEN(bench_options), cmd_bench},
    {"completions", "SHELL", 1, 1, "Print completions for bash, zsh or fish", NULL, NULL, 0,
        cmd_completions},
    {"help", "[COMMAND]", 0, 1, "Explain baro or one of its commands", NULL, NULL, 0,
        cmd_help},
};
const size_t cli_n_commands = BARO_LEN(cli_commands);
