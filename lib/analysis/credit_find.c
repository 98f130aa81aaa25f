/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/credit.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

enum { WORDS_BYTES = 512, MAX_NAMES = 4096 };

/* Read "[12]" or "@12" at the end of words and cut it off; false: what is there is no number. */
static bool take_number(char *words, char open, char close, int64_t *out)
{
    char *at = strrchr(words, open);
    if (at == NULL || at == words) {
        return true;
    }
    const size_t n = strlen(at);
    char *end = NULL;
    const int64_t number = strtoll(at + 1, &end, 10);
    if (close != '\0' && at[n - 1] != close) {
        return true;
    }
    if (end == at + 1 || *end != close || number < 0) {
        return false;
    }
    *at = '\0';
    *out = number;
    return true;
}

/* The last value that operations of a module give; those of its inner modules count if none is. */
static int32_t last_of_module(const struct probe *probe, const char *module)
{
    const size_t n = strlen(module);
    int32_t inner = PROBE_NONE;
    for (int32_t i = (int32_t)probe->n_ops - 1; i >= 0; i--) {
        const struct probe_op *op = &probe->ops[i];
        const bool is_it = strcmp(op->module, module) == 0;
        const bool is_in =
            strncmp(op->module, module, n) == 0 && op->module[n] == '.' && n > 0;
        if (op->phase != PROBE_FORWARD || (!is_it && !is_in)) {
            continue;
        }
        for (uint32_t k = 0; k < op->n_outputs; k++) {
            if (op->outputs[k] != PROBE_NONE && is_it) {
                return op->outputs[k];
            }
            if (op->outputs[k] != PROBE_NONE && inner == PROBE_NONE) {
                inner = op->outputs[k];
            }
        }
    }
    return inner;
}

static int32_t find_value(const struct probe *probe, const char *words)
{
    if (words[0] == '\0') {
        return PROBE_NONE;
    }
    if (words[0] == '#') {
        char *end = NULL;
        const long long at = strtoll(words + 1, &end, 10);
        return *end == '\0' && end != words + 1 && at >= 0 && at < probe->n_values
                   ? (int32_t)at
                   : PROBE_NONE;
    }
    if (strcmp(words, "loss") == 0 && probe->loss != PROBE_NONE) {
        return probe->loss;
    }
    for (int32_t i = (int32_t)probe->n_values - 1; i >= 0; i--) {
        if (strcmp(probe->values[i].name, words) == 0) {
            return i;
        }
    }
    return last_of_module(probe, words);
}

/* Add a name that is not there yet; the last ones are likely to be the same. */
static void add_name(const char **names, size_t *n, const char *name)
{
    for (size_t i = *n; i > 0 && i + 8 > *n; i--) {
        if (strcmp(names[i - 1], name) == 0) {
            return;
        }
    }
    if (name[0] != '\0' && *n < MAX_NAMES) {
        names[(*n)++] = name;
    }
}

static int say_what_is(const struct probe *probe, const char *words, struct baro_err *err)
{
    baro_autofree const char **names = baro_xcalloc(MAX_NAMES, sizeof *names);
    size_t n = 0;
    for (uint32_t i = 0; i < probe->n_ops; i++) {
        add_name(names, &n, probe->ops[i].module);
    }
    for (uint32_t i = 0; i < probe->n_values; i++) {
        add_name(names, &n, probe->values[i].name);
    }
    if (probe->is_cut && strcmp(words, "loss") == 0) {
        return baro_err_set(err, BARO_ENOENT,
            "the step had more operations than the probe holds, and its loss is not among them; "
            "name another target, one of the last is '%.60s'",
            probe->n_ops > 0 && probe->ops[probe->n_ops - 1].module[0] != '\0'
                ? probe->ops[probe->n_ops - 1].module
            : n > 0 ? names[0]
                    : "#0");
    }
    const char *near = baro_nearest(words, names, n);
    if (near != NULL) {
        return baro_err_set(err, BARO_ENOENT,
            "nothing in the probe is called '%.80s'; did you mean '%.80s'?", words, near);
    }
    if (n == 0) {
        return baro_err_set(err, BARO_ENOENT,
            "nothing in the probe is called '%.80s'; its values have numbers: #0 to #%" PRId64,
            words, (int64_t)probe->n_values - 1);
    }
    return baro_err_set(err, BARO_ENOENT,
        "nothing in the probe is called '%.80s'; there are '%.40s', '%.40s' and %zu more",
        words, names[0], names[n - 1], n > 2 ? n - 2 : 0);
}

int credit_find_target(const struct probe *probe, const char *words,
    struct credit_target *out_target, struct baro_err *err)
{
    char text[WORDS_BYTES];
    if (strlen(words) >= sizeof text) {
        return baro_err_set(err, BARO_ENOENT, "no name is that long");
    }
    struct credit_target target = {
        .value = find_value(probe, words), .unit = -1, .row = -1};
    if (target.value == PROBE_NONE) { /* no name that ends with a bracket itself */
        (void)snprintf(text, sizeof text, "%s", words);
        if (!take_number(text, '@', '\0', &target.row) ||
            !take_number(text, '[', ']', &target.unit)) {
            return baro_err_set(
                err, BARO_ENOENT, "'%.80s' does not end with a number", words);
        }
        target.value = find_value(probe, text);
        if (target.value == PROBE_NONE) {
            return say_what_is(probe, text, err);
        }
    }
    const struct probe_value *value = &probe->values[target.value];
    const int64_t n_units = value->unit_axis >= 0 ? value->shape[value->unit_axis] : 0;
    if (target.unit >= n_units) {
        return baro_err_set(err, BARO_ENOENT,
            "'%.80s' has %" PRId64 " units, from 0: not %" PRId64, text, n_units,
            target.unit);
    }
    *out_target = target;
    return 0;
}

const char *credit_nothing(enum credit_mode mode, const struct credit_finding *finding)
{
    double size = 0;
    for (size_t i = 0; i < finding->n_edges; i++) {
        size += finding->edges[i].size;
    }
    for (size_t i = 0; i < finding->n_nodes; i++) {
        size += finding->nodes[i].size;
    }
    const bool is_zero =
        mode == CREDIT_VALUE && finding->n_bad == 0 && !(fabs(finding->total) > 0);
    if (!finding->is_done || mode == CREDIT_MODE_END || (size > 0 && !is_zero)) {
        return ""; /* of a value that is 0 the elements were shared out evenly */
    }
    if (mode != CREDIT_VALUE && finding->n_bad > 0 &&
        finding->n_bad >= finding->n_elements) {
        return mode == CREDIT_GRADIENT
                   ? "The gradient is no finite number there: nothing can be shared out."
                   : "It is no finite number in one of the two steps: nothing can be shared out.";
    }
    return mode == CREDIT_VALUE ? "It is exactly 0: there is nothing to share out."
           : mode == CREDIT_CHANGE
               ? "It has not changed at all: there is nothing to share out."
               : "Its gradient is exactly 0: the loss does not depend on it "
                 "in that step (clamped, masked, detached).";
}
