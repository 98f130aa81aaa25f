/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "lib/analysis/rule_table.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

/*
 * How a process ended, or that it stands still: four rules over what the daemon knows of it, which
 * it tells with judge_end. They look at no reading; a READING_STATUS only makes them the run's. What
 * a process says of its own failure is quoted; out of memory is read out of it.
 */

static const char *const memory_words[] = {
    "out of memory", "OutOfMemory", "MemoryError", "Cannot allocate"};

static bool applies(const struct judge_thing *thing)
{
    return thing->id == 0;
}

static void ignore(struct rule_context *context, void *state, const struct reading *reading)
{
    (void)context;
    (void)state;
    (void)reading;
}

static void note(struct rule_context *context)
{
    rule_note(context, &(struct rule_fact){.unit = -1, .row = -1});
}

/* ---- failed ---- */

struct failure {
    char reason[160];
    bool has_reason;
};

static void on_failed(
    struct rule_context *context, void *run_state, enum judge_end why, const char *reason)
{
    struct failure *failure = run_state;
    bool is_meant = reason != NULL &&
                    strncmp(reason, READING_INTERRUPTED, strlen(READING_INTERRUPTED)) == 0;
    if (why != JUDGE_END_FAILED || is_meant) {
        return;
    }
    failure->has_reason = reason != NULL && reason[0] != '\0';
    if (failure->has_reason) {
        size_t n = strcspn(reason, "\n");
        n = n < sizeof failure->reason - 1 ? n : sizeof failure->reason - 1;
        n = baro_utf8_prefix(reason, strlen(reason), n);
        n -= n > 0 && reason[n - 1] == '.' ? 1 : 0; /* the sentence has its own */
        memcpy(failure->reason, reason, n);
        failure->reason[n] = '\0';
    }
    note(context);
}

static void tell_failed(struct rule_context *context, const struct rule_fact *fact,
    struct judge_finding *finding)
{
    const struct failure *failure = rule_run_state(context);
    finding->n_samples = 0;
    rule_say(finding, "The training failed after step %lld%s%s.", (long long)fact->step,
        failure->has_reason ? ": " : "", failure->has_reason ? failure->reason : "");
    finding->advice = "Look at its last output; its readings up to the end are all here.";
    for (size_t i = 0; i < BARO_LEN(memory_words); i++) {
        if (failure->has_reason && strstr(failure->reason, memory_words[i]) != NULL) {
            rule_blame(finding, JUDGE_CAUSE_OUT_OF_MEMORY);
            finding->advice =
                "Make the batch smaller, accumulate gradients over several, or "
                "recompute activations; look which tensor grew.";
        }
    }
}

const struct rule rule_failed = {
    .name = "failed",
    .sentence = "The training says that it failed.",
    .level = BARO_ALARM,
    .kinds = RULE_KIND(READING_STATUS),
    .run_bytes = sizeof(struct failure),
    .speaks_always = true,
    .applies = applies,
    .on_reading = ignore,
    .on_end = on_failed,
    .tell = tell_failed,
};

/* ---- killed ---- */

static void on_killed(
    struct rule_context *context, void *run_state, enum judge_end why, const char *reason)
{
    (void)run_state;
    (void)reason;
    if (why == JUDGE_END_GONE) {
        note(context);
    }
}

static void tell_killed(struct rule_context *context, const struct rule_fact *fact,
    struct judge_finding *finding)
{
    (void)context;
    finding->n_samples = 0;
    rule_say(finding, "The process is gone without a word after step %lld.",
        (long long)fact->step);
    finding->advice =
        "Something ended it from outside: look for the kernel's out-of-memory killer (dmesg), the "
        "cluster's time limit, and crashes of native code; go on from the last checkpoint.";
    rule_blame(finding, JUDGE_CAUSE_OUT_OF_MEMORY);
    rule_blame(finding, JUDGE_CAUSE_KILLED);
    rule_blame(finding, JUDGE_CAUSE_HARDWARE);
}

const struct rule rule_killed = {
    .name = "killed",
    .sentence = "The process is gone without a word.",
    .level = BARO_ALARM,
    .kinds = RULE_KIND(READING_STATUS),
    .speaks_always = true,
    .applies = applies,
    .on_reading = ignore,
    .on_end = on_killed,
    .tell = tell_killed,
};

/* ---- stalled ---- */

static void on_stalled(
    struct rule_context *context, void *run_state, enum judge_end why, const char *reason)
{
    (void)run_state;
    (void)reason;
    if (why == JUDGE_END_STALLED) {
        note(context);
    }
}

static void tell_stalled(struct rule_context *context, const struct rule_fact *fact,
    struct judge_finding *finding)
{
    (void)context;
    finding->n_samples = 0;
    rule_say(finding, "The process lives, but step %lld takes much longer than any before.",
        (long long)fact->step);
    finding->advice =
        "Look where it hangs (py-spy dump --pid ...): in the loading of data, in a collective that "
        "another rank has not joined, in writing a checkpoint, or in evaluation.";
    rule_blame(finding, JUDGE_CAUSE_DEADLOCK);
    rule_blame(finding, JUDGE_CAUSE_INPUT_PIPELINE);
    rule_blame(finding, JUDGE_CAUSE_NOT_SYNCED);
}

const struct rule rule_stalled = {
    .name = "stalled",
    .sentence = "The process lives, but makes no step.",
    .level = BARO_ALARM,
    .kinds = RULE_KIND(READING_STATUS),
    .speaks_always = true,
    .applies = applies,
    .on_reading = ignore,
    .on_end = on_stalled,
    .tell = tell_stalled,
};

/* ---- silent ---- */

static void on_silent(
    struct rule_context *context, void *run_state, enum judge_end why, const char *reason)
{
    (void)run_state;
    (void)reason;
    if (why == JUDGE_END_SILENT) {
        note(context);
    }
}

static void tell_silent(struct rule_context *context, const struct rule_fact *fact,
    struct judge_finding *finding)
{
    (void)context;
    finding->n_samples = 0;
    rule_say(finding, "Nothing has been heard of the process since step %lld.",
        (long long)fact->step);
    finding->advice =
        "It may live on another machine that cannot be reached: look at the network "
        "and at that machine.";
    rule_blame(finding, JUDGE_CAUSE_KILLED);
    rule_blame(finding, JUDGE_CAUSE_HARDWARE);
}

const struct rule rule_silent = {
    .name = "silent",
    .sentence = "Nothing is heard of the process.",
    .level = BARO_WATCH,
    .kinds = RULE_KIND(READING_STATUS),
    .speaks_always = true,
    .applies = applies,
    .on_reading = ignore,
    .on_end = on_silent,
    .tell = tell_silent,
};
