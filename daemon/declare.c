/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/declare.h"

#include <string.h>

#include "daemon/registry.h"
#include "lib/base/err.h"
#include "lib/base/reading.h"
#include "lib/base/text.h"

static int check_text(
    const char *what, const char *text, size_t max_bytes, struct baro_err *err)
{
    size_t n_bytes = strnlen(text, max_bytes + 1);
    if (n_bytes > max_bytes) {
        return baro_err_set(err, BARO_ELIMIT, "the %s is over %zu bytes", what, max_bytes);
    }
    if (!baro_utf8_valid(text, n_bytes)) {
        return baro_err_set(err, BARO_ECORRUPT, "the %s is not UTF-8", what);
    }
    return 0;
}

static int check_tensor(const Baro__Declare *declare, struct baro_err *err)
{
    bool is_good = declare->role > 0 && declare->role < BARO_ROLE_END &&
                   declare->dtype > 0 && declare->dtype < BARO_DTYPE_END &&
                   declare->n_shape <= BARO_MAX_DIMS && declare->unit_axis >= -1 &&
                   declare->unit_axis < (int)declare->n_shape &&
                   declare->n_units <= READING_MAX_UNITS;
    for (size_t i = 0; is_good && i < declare->n_shape; i++) {
        is_good = declare->shape[i] >= 0;
    }
    return is_good
               ? 0
               : baro_err_set(err, BARO_ECORRUPT,
                     "the declaration of tensor %u has a role, type, shape or number of "
                     "units that cannot be",
                     declare->id);
}

int declare_check(const Baro__Declare *declare, struct baro_err *err)
{
    if (declare->id == 0 || declare->id >= REGISTRY_MAX_STREAM_THINGS) {
        return baro_err_set(err, BARO_ELIMIT,
            "a process declares at most %d names, with ids from 1, and this is %u",
            REGISTRY_MAX_STREAM_THINGS - 1, declare->id);
    }
    if (declare->name[0] == '\0') {
        return baro_err_set(err, BARO_ECORRUPT, "thing %u has no name", declare->id);
    }
    int rc = check_text("name of a thing", declare->name, READING_MAX_NAME_BYTES, err);
    if (rc == 0 && declare->is_tensor) {
        rc = check_tensor(declare, err);
    } else if (rc == 0 && (declare->n_units != 0 || declare->n_shape != 0)) {
        rc =
            baro_err_set(err, BARO_ECORRUPT, "scalar %u has units or a shape", declare->id);
    }
    return rc;
}

int declare_check_run(const Baro__RunDescription *description, struct baro_err *err)
{
    if (description->run_id[0] == '\0') {
        return baro_err_set(err, BARO_ECORRUPT, "the run has no id");
    }
    if (description->resume > BARO_RESUME_BRANCH || description->resume_step < -1) {
        return baro_err_set(err, BARO_EINVAL,
            "the run is to be resumed in the way %u at step %lld, which means nothing here",
            description->resume, (long long)description->resume_step);
    }
    const struct {
        const char *what;
        const char *text;
        size_t max_bytes;
    } texts[] = {
        {"run's id", description->run_id, REGISTRY_MAX_TEXT_BYTES},
        {"project's name", description->project, REGISTRY_MAX_TEXT_BYTES},
        {"run's name", description->name, REGISTRY_MAX_TEXT_BYTES},
        {"run's config", description->config, READING_MAX_CONFIG_BYTES},
        {"host's name", description->host, REGISTRY_MAX_TEXT_BYTES},
        {"client's name", description->client, REGISTRY_MAX_TEXT_BYTES},
        {"job's name", description->job, REGISTRY_MAX_TEXT_BYTES},
    };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof texts / sizeof texts[0]; i++) {
        rc = check_text(texts[i].what, texts[i].text, texts[i].max_bytes, err);
    }
    return rc;
}
