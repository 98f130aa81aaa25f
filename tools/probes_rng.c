/* SPDX-License-Identifier: Apache-2.0 */
/* baro probes --rng: the state of random numbers as a step began, as a file to draw it again. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/paths.h"
#include "lib/base/rng_state.h"
#include "tools/out_file.h"
#include "tools/probes.h"
#include "tools/rows.h"

/* The states of a step, the newest of each device and rank; and which others there are. */
struct states {
    int64_t step;
    int64_t before; /* the nearest step before it; INT64_MIN: none */
    int64_t first;
    int64_t last;
    uint64_t n;
    size_t n_found;
    struct found_state {
        int device;
        uint32_t rank;
        size_t n_bytes;
        uint8_t *bytes;
    } * found;
};

static int on_state(const struct row *row, void *payload)
{
    struct states *states = payload;
    states->first = states->n == 0 || row->step < states->first ? row->step : states->first;
    states->last = states->n == 0 || row->step > states->last ? row->step : states->last;
    states->n++;
    if (row->step < states->step && row->step > states->before) {
        states->before = row->step;
    }
    const size_t n_bytes = rng_state_check(row->f64, row->extra, row->extra_bytes);
    if (row->step != states->step || n_bytes == 0) {
        return CLI_OK;
    }
    const int device = (int)row->f64[0];
    const uint32_t rank = (uint32_t)row->f64[2];
    size_t at = 0;
    while (at < states->n_found &&
           (states->found[at].device != device || states->found[at].rank != rank)) {
        at++;
    }
    if (at == states->n_found) {
        states->found =
            baro_xrealloc(states->found, states->n_found + 1, sizeof *states->found);
        states->found[states->n_found++] =
            (struct found_state){.device = device, .rank = rank};
    }
    struct found_state *state = &states->found[at];
    free(state->bytes);
    state->bytes = baro_xcalloc(n_bytes, 1);
    state->n_bytes = n_bytes;
    return rng_state_unpack(row->extra, row->extra_bytes, NULL, state->bytes, n_bytes) == 0
               ? CLI_OK
               : cli_fail("the random state of that step is damaged");
}

static int refuse(const struct states *states)
{
    if (states->n == 0) {
        return cli_fail(
            "no random state of this run is kept: it comes from the ring of a run "
            "that failed or was killed ('baro recover' brings it in)");
    }
    if (states->before == INT64_MIN) {
        return cli_fail("the random state of step %" PRId64
                        " is not kept; those of steps %" PRId64 " to %" PRId64 " are",
            states->step, states->first, states->last);
    }
    return cli_fail("the random state of step %" PRId64
                    " is not kept; the nearest before it is that of step %" PRId64,
        states->step, states->before);
}

static int save(const struct cli *cli, const struct found_state *state)
{
    char path[BARO_PATH_BYTES];
    char rank[24] = "";
    char device[24] = "";
    struct out_file file;
    struct baro_err err = {0};
    if (state->rank > 0) {
        (void)snprintf(rank, sizeof rank, ".rank%" PRIu32, state->rank);
    }
    if (state->device >= 0) {
        (void)snprintf(device, sizeof device, ".cuda%d", state->device);
    }
    int n = snprintf(path, sizeof path, "%s%s%s", cli->values.output, rank, device);
    if (n < 0 || (size_t)n >= sizeof path) {
        return cli_fail("the name of the file is too long");
    }
    if (out_open(path, cli->values.is_forced, &file, &err) != 0) {
        return cli_fail_err(&err);
    }
    out_write(&file, state->bytes, state->n_bytes);
    return out_finish(&file, &err) != 0 ? cli_fail_err(&err) : CLI_OK;
}

int probes_save_state(struct cli *cli, uint32_t run)
{
    if (cli->values.output == NULL) {
        return cli_fail("--rng needs -o FILE, where the state goes");
    }
    struct states states = {.step = cli->values.rng, .before = INT64_MIN};
    const struct rows_wanted wanted = {
        .run = run, .kind = READING_RNG, .from = INT64_MIN, .to = INT64_MAX};
    struct rows_told told = {0};
    int rc = rows_each(cli, &wanted, on_state, NULL, &states, &told);
    if (rc == CLI_OK && states.n_found == 0) {
        rc = refuse(&states);
    }
    for (size_t i = 0; i < states.n_found; i++) {
        rc = rc == CLI_OK ? save(cli, &states.found[i]) : rc;
        free(states.found[i].bytes);
    }
    free(states.found);
    return rc;
}
