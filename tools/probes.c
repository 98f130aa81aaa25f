/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/probes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/reading.h"
#include "lib/link/probes.h"
#include "tools/rows.h"

int probes_open(struct cli *cli, struct run_probes *out)
{
    struct baro_err err = {0};
    *out = (struct run_probes){0};
    if (runs_ask(cli, &out->runs) != CLI_OK) {
        return CLI_FAILED;
    }
    const Baro__RunInfo *run =
        runs_find(&out->runs, cli->n_arguments > 0 ? cli->arguments[0] : NULL);
    if (run == NULL) {
        return CLI_FAILED;
    }
    out->run = run->run;
    return link_probes(cli_link(cli), run->run, 0, INT64_MAX, &out->list, &err) != 0
               ? cli_fail_err(&err)
               : CLI_OK;
}

void probes_close(struct run_probes *of)
{
    probe_list_finish(&of->list);
    runs_release(&of->runs);
}

static bool is_whole(const struct probe_entry *entry)
{
    return entry->n_here == entry->n_pieces;
}

const struct probe_entry *probes_choose(const struct probe_list *list, int64_t step)
{
    const struct probe_entry *best = NULL;
    for (size_t i = 0; i < list->n; i++) {
        const struct probe_entry *entry = &list->entries[i];
        if (!is_whole(entry) || (step != INT64_MIN && entry->step > step)) {
            continue;
        }
        const bool is_better =
            best == NULL || entry->step > best->step ||
            (entry->step == best->step &&
                (entry->reason == PROBE_FAILURE || best->reason != PROBE_FAILURE));
        best = is_better ? entry : best;
    }
    return best;
}

const struct probe_entry *probes_before(
    const struct probe_list *list, const struct probe_entry *entry)
{
    const struct probe_entry *best = NULL;
    for (size_t i = 0; i < list->n; i++) {
        const struct probe_entry *other = &list->entries[i];
        if (is_whole(other) && other->reason != PROBE_FAILURE &&
            other->step < entry->step && (best == NULL || other->step >= best->step)) {
            best = other;
        }
    }
    return best;
}

/* The batches of a step, as far as one of them is clearly the probe's. */
struct batches {
    int64_t n_batch; /* samples of the probe's */
    int n;           /* of that size */
    int64_t *samples;
    size_t n_samples;
};

static int on_batch(const struct row *row, void *payload)
{
    struct batches *batches = payload;
    const size_t n = row->extra_bytes / sizeof(int64_t);
    if (!(row->f64[0] >= (double)batches->n_batch &&
            row->f64[0] <= (double)batches->n_batch)) {
        return CLI_OK;
    }
    if (batches->n++ == 0 && n > 0) {
        batches->samples = baro_xcalloc(n, sizeof *batches->samples);
        memcpy(batches->samples, row->extra, n * sizeof *batches->samples);
        batches->n_samples = n;
    } else if (n != batches->n_samples ||
               (n > 0 && memcmp(batches->samples, row->extra, n * sizeof(int64_t)) != 0)) {
        batches->n_samples = 0; /* of several processes: nobody knows which is this one's */
    }
    return CLI_OK;
}

static int ask_batch(struct cli *cli, uint32_t run, struct fetched_probe *fetched)
{
    const struct probe *probe = fetched->probe;
    const struct rows_wanted wanted = {
        .run = run, .kind = READING_BATCH, .from = probe->step, .to = probe->step};
    struct batches batches = {.n_batch = probe->n_batch};
    struct rows_told told = {0};
    if (probe->n_batch == 0) {
        return CLI_OK;
    }
    const int rc = rows_each(cli, &wanted, on_batch, NULL, &batches, &told);
    fetched->samples = batches.samples;
    fetched->n_samples = batches.n_samples;
    return rc;
}

int probes_fetch(struct cli *cli, uint32_t run, const struct probe_entry *entry,
    struct fetched_probe *out)
{
    struct baro_err err = {0};
    struct link *link = cli_link(cli);
    *out = (struct fetched_probe){0};
    if (link == NULL) {
        return CLI_FAILED;
    }
    int rc = link_probe_get(link, run, entry, &out->bytes, &out->n_bytes, &err);
    rc = rc == 0 ? probe_parse(&out->probe, out->bytes, out->n_bytes, &err) : rc;
    rc = rc == 0 ? ask_batch(cli, run, out) : cli_fail_err(&err);
    if (rc != CLI_OK) {
        probes_release(out);
    }
    return rc;
}

void probes_release(struct fetched_probe *fetched)
{
    probe_free(fetched->probe);
    free(fetched->bytes);
    free(fetched->samples);
    *fetched = (struct fetched_probe){0};
}

const char *probe_reason_name(enum probe_reason reason)
{
    switch (reason) {
    case PROBE_REGULAR: return "regular";
    case PROBE_ASKED: return "asked";
    case PROBE_FAILURE: return "failure";
    case PROBE_REASON_END:
    default: return "?";
    }
}

int64_t probe_sample_id(const struct fetched_probe *fetched, int64_t row)
{
    return row >= 0 && (uint64_t)row < fetched->n_samples ? fetched->samples[row] : -1;
}

char *probe_label(const struct probe *probe, int32_t value, char out[PROBE_LABEL_BYTES])
{
    const struct probe_value *what = &probe->values[value];
    if (what->name[0] != '\0') {
        (void)snprintf(out, PROBE_LABEL_BYTES, "%s", what->name);
    } else if (what->op != PROBE_NONE) {
        const struct probe_op *op = &probe->ops[what->op];
        (void)snprintf(out, PROBE_LABEL_BYTES, "%s%s%s", op->module,
            op->module[0] != '\0' ? " " : "", op->name);
    } else {
        (void)snprintf(
            out, PROBE_LABEL_BYTES, "#%d (%s)", value, probe_value_kind_name(what->kind));
    }
    return out;
}

char *probe_shape_words(const struct probe_value *value, char *out, size_t out_bytes)
{
    size_t n = 0;
    (void)snprintf(out, out_bytes, "scalar");
    for (int d = 0; d < value->n_dims && n < out_bytes; d++) {
        n += (size_t)snprintf(out + n, out_bytes - n, "%s%lld", d > 0 ? " x " : "",
            (long long)value->shape[d]);
    }
    return out;
}
