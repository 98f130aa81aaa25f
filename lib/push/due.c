/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/push/due.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"

/*
 * The governor's public calls, and the client's own cost as scalars of the run. Those are
 * declared when they are first told, two seconds after the first step: shorter runs have none. Both
 * are means of the last ten seconds or so, or of all since the first step: what that takes (everything
 * is new, memory is touched for the first time) must not pass for what a step costs.
 * "barograph/dropped" comes into being with the first reading that is dropped.
 */

enum { MAX_ATTENTION_STEPS = 1000 /* a daemon may ask for */ };
static const double default_budget = 0.01;
static const uint64_t report_gap_ns = 1000000000;
enum { WINDOW = 10 /* of a figure's past this part is forgotten with each report */ };

/* ---- the budget ---- */

/* Read a share as C writes it, whatever the program's locale: digits, a point, an exponent. */
static bool parse_share(const char *text, double *out_share)
{
    locale_t plain = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    if (plain == (locale_t)0) {
        return false;
    }
    char *rest = NULL;
    *out_share = strtod_l(text, &rest, plain);
    freelocale(plain);
    return rest != text && *rest == '\0';
}

static int choose_budget(
    const struct baro_options *options, double *out_share, struct baro_err *err)
{
    static const char advice[] =
        "the share of the time that measuring may take is above 0 and at most 1, like 0.01";
    *out_share = options->budget;
    if (*out_share == 0) {
        const char *text = run_choose(NULL, "BARO_BUDGET", NULL);
        *out_share = default_budget;
        if (text != NULL &&
            (!parse_share(text, out_share) || !(*out_share > 0 && *out_share <= 1))) {
            return baro_err_set(err, BARO_EINVAL, "BARO_BUDGET: '%.40s': %s", text, advice);
        }
    }
    if (!(*out_share > 0 && *out_share <= 1)) {
        return baro_err_set(err, BARO_EINVAL, "budget %g: %s", *out_share, advice);
    }
    return 0;
}

int due_open(struct baro_run *run, const struct baro_options *options, struct baro_err *err)
{
    double share = 0;
    int rc = choose_budget(options, &share, err);
    if (rc != 0) {
        return rc;
    }
    run->governor = governor_create(THINGS_MAX, share, baro_now_ns());
    return run->governor != NULL
               ? 0
               : baro_err_set(err, BARO_ENOMEM, "out of memory for a run");
}

/* ---- the client's own figures ---- */

static uint64_t read_own_ns(const struct baro_run *run)
{
    return atomic_load_explicit(&run->own_ns, memory_order_relaxed);
}

/* Push one of them; false when its name does not fit: then none is tried again. */
static bool report_one(
    struct baro_run *run, _Atomic int64_t *known, const char *name, double value)
{
    int64_t id = atomic_load_explicit(known, memory_order_relaxed);
    if (id == 0) {
        id = baro_declare_scalar(run, name);
        atomic_store_explicit(known, id, memory_order_relaxed);
    }
    return id > 0 && baro_scalar_id(run, id, value) == 0;
}

/* Take a second's worth into a figure that forgets; gives what it is then. */
static double remember(_Atomic uint64_t *window, uint64_t more)
{
    uint64_t found = atomic_load_explicit(window, memory_order_relaxed);
    found = found - found / WINDOW + more;
    atomic_store_explicit(window, found, memory_order_relaxed);
    return (double)found;
}

static void report(struct baro_run *run, uint64_t elapsed_ns)
{
    uint64_t own_ns = read_own_ns(run);
    uint32_t turn = governor_turn(run->governor);
    uint64_t own_before = atomic_exchange(&run->report.own_ns, own_ns);
    uint32_t n_steps = turn - atomic_exchange(&run->report.turn, turn);
    double spent_ns = remember(&run->report.window_own_ns, own_ns - own_before);
    double window_ns = remember(&run->report.window_ns, elapsed_ns);
    double steps = remember(&run->report.window_steps, (uint64_t)n_steps << 10) / 1024;
    if (!atomic_exchange_explicit(&run->report.has_begun, true, memory_order_relaxed)) {
        return;
    }
    struct ringfile_info info = {0};
    bool fits =
        report_one(run, &run->report.ids[0], "barograph/own_ms",
            spent_ns * 1e-6 / (steps > 1 ? steps : 1)) &&
        report_one(run, &run->report.ids[1], "barograph/share", spent_ns / window_ns);
    if (fits && ringfile_read_info(run->ring, &info) == 0 && info.dropped_records > 0) {
        fits = report_one(
            run, &run->report.ids[2], "barograph/dropped", (double)info.dropped_records);
    }
    if (!fits) {
        atomic_store_explicit(&run->report.is_off, true, memory_order_relaxed);
    }
}

void due_on_step(struct baro_run *run, uint64_t now_ns)
{
    governor_begin_turn(run->governor);
    uint64_t before = atomic_load_explicit(&run->report.time_ns, memory_order_relaxed);
    if ((before != 0 && now_ns < before + report_gap_ns) ||
        atomic_load_explicit(&run->report.is_off, memory_order_relaxed)) {
        return;
    }
    /* Of several threads that begin a step one tells. */
    if (!atomic_compare_exchange_strong_explicit(&run->report.time_ns, &before, now_ns,
            memory_order_relaxed, memory_order_relaxed)) {
        return;
    }
    if (before != 0) {
        report(run, now_ns - before);
    } else {
        atomic_store(&run->report.own_ns, read_own_ns(run));
        atomic_store(&run->report.turn, governor_turn(run->governor));
    }
}

/* ---- attention ---- */

void due_on_attention(struct baro_run *run, const uint32_t *ids, size_t n, uint32_t n_steps,
    uint32_t everything_steps)
{
    n_steps = n_steps < MAX_ATTENTION_STEPS ? n_steps : MAX_ATTENTION_STEPS;
    for (size_t i = 0; i < n; i++) {
        governor_attend(run->governor, ids[i], n_steps);
    }
    if (everything_steps > 0) {
        governor_trouble(run->governor, everything_steps < MAX_ATTENTION_STEPS
                                            ? everything_steps
                                            : MAX_ATTENTION_STEPS);
    }
}

/* ---- public calls ---- */

int64_t baro_due(struct baro_run *run, const uint32_t *ids, size_t n, uint8_t *out_is_due)
{
    if (n > 0 && (ids == NULL || out_is_due == NULL)) {
        return BARO_EINVAL;
    }
    run_autoleave struct baro_run *inside = run_enter(run);
    if (inside == NULL) {
        if (n > 0) {
            memset(out_is_due, 0, n);
        }
        return 0;
    }
    uint64_t now = baro_now_ns();
    int64_t n_due = governor_due(run->governor, now, read_own_ns(run), ids, n, out_is_due);
    atomic_fetch_add_explicit(&run->own_ns, baro_now_ns() - now, memory_order_relaxed);
    return n_due;
}

int baro_spent(struct baro_run *run, uint32_t id, uint64_t ns)
{
    run_autoleave struct baro_run *inside = run_enter(run);
    if (inside == NULL) {
        return 0;
    }
    governor_book(run->governor, id, ns, 0);
    atomic_fetch_add_explicit(&run->own_ns, ns, memory_order_relaxed);
    return 0;
}

int baro_has_spare(struct baro_run *run)
{
    run_autoleave struct baro_run *inside = run_enter(run);
    return inside != NULL && governor_has_spare(run->governor);
}

int baro_trouble(struct baro_run *run, int n_steps)
{
    run_autoleave struct baro_run *inside = run_enter(run);
    if (inside == NULL) {
        return 0;
    }
    if (n_steps < 0) {
        return BARO_EINVAL;
    }
    governor_trouble(run->governor, (uint32_t)n_steps);
    return 0;
}
