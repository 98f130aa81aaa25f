/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "lib/push/run.h"
#include "proto/barograph.pb-c.h"

enum { JOB_BYTES = 256 };

/* ---- what happens when the run exists already ---- */

static const char *const resume_names[] = {
    [BARO_RESUME_APPEND] = "append",
    [BARO_RESUME_OVERWRITE] = "overwrite",
    [BARO_RESUME_BRANCH] = "branch",
};

static int choose_way(
    const struct baro_options *options, uint32_t *out_resume, struct baro_err *err)
{
    *out_resume = (uint32_t)options->resume;
    if (*out_resume >= BARO_LEN(resume_names)) {
        return baro_err_set(err, BARO_EINVAL, "resume %u is none of enum baro_resume",
            (unsigned)*out_resume);
    }
    const char *name = run_choose(NULL, "BARO_RESUME", "append");
    if (options->resume != BARO_RESUME_APPEND) {
        return 0;
    }
    for (size_t i = 0; i < BARO_LEN(resume_names); i++) {
        if (strcmp(name, resume_names[i]) == 0) {
            *out_resume = (uint32_t)i;
            return 0;
        }
    }
    const char *near = baro_nearest(name, resume_names, BARO_LEN(resume_names));
    return baro_err_set(err, BARO_EINVAL,
        "BARO_RESUME: '%.40s' is none of append, overwrite, branch%s%s%s", name,
        near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
        near != NULL ? "'?" : "");
}

static int choose_step(
    const struct baro_options *options, int64_t *out_step, struct baro_err *err)
{
    *out_step = options->resume_step;
    const char *text = run_choose(NULL, "BARO_RESUME_STEP", NULL);
    if (*out_step == 0 && text != NULL) {
        char *end = NULL;
        errno = 0;
        long long number = strtoll(text, &end, 10);
        if (errno != 0 || end == text || *end != '\0' || number < 0) {
            return baro_err_set(err, BARO_EINVAL,
                "BARO_RESUME_STEP: '%.40s' is no step; steps are whole numbers from 0",
                text);
        }
        *out_step = number;
    }
    return *out_step >= 0 ? 0
                          : baro_err_set(err, BARO_EINVAL,
                                "resume_step %lld: steps begin at 0", (long long)*out_step);
}

static int choose_resume(struct baro_run *run, const struct baro_options *options,
    Baro__RunDescription *message, struct baro_err *err)
{
    int64_t step = 0;
    int rc = choose_way(options, &message->resume, err);
    rc = rc != 0 ? rc : choose_step(options, &step, err);
    if (rc != 0) {
        return rc;
    }
    if (message->resume == BARO_RESUME_APPEND) {
        if (step > 0) {
            run_say(run, "resume_step is left out: it belongs to overwrite and branch");
        }
        return 0;
    }
    message->resume_step = step > 0 ? step : -1;
    return 0;
}

/*
 * What the launcher calls this start of all ranks, so that they find each other in one branch.
 * Where it says nothing, or the same each time, the time of the start decides alone.
 */
static char *find_job(char out[JOB_BYTES])
{
    static const char *const variables[] = {"TORCHELASTIC_RUN_ID",
        "TORCHELASTIC_RESTART_COUNT", "MASTER_ADDR", "MASTER_PORT", "SLURM_JOB_ID",
        "SLURM_STEP_ID", "SLURM_RESTART_COUNT", "PMIX_NAMESPACE"};
    char raw[JOB_BYTES] = "";
    size_t n = 0;
    for (size_t i = 0; i < BARO_LEN(variables); i++) {
        const char *value = getenv(variables[i]);
        if (value != NULL && value[0] != '\0' && n < sizeof raw) {
            n += (size_t)snprintf(
                raw + n, sizeof raw - n, "%s%.60s", n > 0 ? "/" : "", value);
        }
    }
    baro_text_safe(out, JOB_BYTES, raw);
    return out;
}

/* ---- the description ---- */

int run_describe(
    struct baro_run *run, const struct baro_options *options, struct baro_err *err)
{
    char project[READING_MAX_NAME_BYTES + 1];
    char name[READING_MAX_NAME_BYTES + 1];
    char host[256] = "";
    char by_time[64];
    time_t now = time(NULL);
    struct tm local = {0};
    (void)localtime_r(&now, &local);
    (void)strftime(by_time, sizeof by_time, "%Y-%m-%d %H:%M:%S", &local);
    things_clean_name(project, run_choose(options->project, "BARO_PROJECT", "default"));
    things_clean_name(name, run_choose(options->name, NULL, by_time));
    char raw_host[128] = "";
    (void)gethostname(raw_host, sizeof raw_host - 1);
    baro_text_safe(host, sizeof host, raw_host);
    const char *config = options->config != NULL ? options->config : "";
    if (strlen(config) > READING_MAX_CONFIG_BYTES ||
        !baro_utf8_valid(config, strlen(config))) {
        run_say(run, "the config is left out: it is over 64 KiB or not UTF-8");
        config = "";
    }
    char job[JOB_BYTES] = "";
    Baro__RunDescription message;
    baro__run_description__init(&message);
    int resume_rc = choose_resume(run, options, &message, err);
    if (resume_rc != 0) {
        return resume_rc;
    }
    message.job = options->n_ranks > 1 ? find_job(job) : job;
    message.run_id = run->run_id;
    message.project = project;
    message.name = name;
    message.config = (char *)(uintptr_t)config;
    message.n_ranks = options->n_ranks > 0 ? (uint32_t)options->n_ranks : 1;
    message.host = host;
    message.client = (char *)(uintptr_t) "libbaro " BARO_VERSION;
    message.created_ns = baro_wall_ns();
    size_t n_bytes = baro__run_description__get_packed_size(&message);
    baro_autofree uint8_t *packed = malloc(n_bytes);
    if (packed == NULL) {
        return baro_err_set(err, BARO_ENOMEM, "out of memory for the run's description");
    }
    const struct ringfile_part part = {
        packed, baro__run_description__pack(&message, packed)};
    const struct record_header header = {
        .kind = READING_RUN, .time_ns = message.created_ns};
    int rc = ringfile_put_sticky(run->ring, &header, &part, 1);
    return rc != 0 ? baro_err_set(err, rc, "the ring takes no description") : 0;
}
