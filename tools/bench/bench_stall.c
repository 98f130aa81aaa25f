/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The longest that a push ever holds up the training thread: the worst single call of a million,
 * with the daemon alive, stopped in its tracks (SIGSTOP), absent, and killed. The ring is small,
 * so that but for the first it is full most of the time. A machine has hiccups of its own, of
 * milliseconds when others use it too: the limit is the worst turn of the same loop with a copy
 * into a plain ring instead of the push. All take turns, a tenth of their calls each.
 */
#include "tools/bench/bench_push.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/push/baro.h"

enum {
    TURNS = 10,
    CALLS = 100000, /* a turn */
    QUICK_CALLS = 5000,
    PER_STEP = 64
};

/* What one state took. */
struct stall {
    double worst_ns[TURNS];
    uint64_t n_long; /* calls over a millisecond */
};

static double run_turn(struct push_plain *ring, const struct push_client *client,
    int n_calls, struct stall *stall)
{
    uint64_t worst = 0;
    for (int i = 0; i < n_calls; i++) {
        uint64_t start_ns = baro_now_ns();
        if (client == NULL) {
            push_to_plain(ring, i);
        } else if (i % PER_STEP == 0) {
            (void)baro_step(client->run, i / PER_STEP);
        } else {
            (void)baro_scalar_id(client->run, client->id, i);
        }
        uint64_t ns = baro_now_ns() - start_ns;
        worst = ns > worst ? ns : worst;
        stall->n_long += ns > 1000000;
    }
    return (double)worst;
}

static double worst_of(const struct stall *stall, int n_turns)
{
    double worst = 0;
    for (int i = 0; i < n_turns; i++) {
        worst = stall->worst_ns[i] > worst ? stall->worst_ns[i] : worst;
    }
    return worst;
}

void bench_stall(struct bench *bench, struct push_plain *ring,
    const struct push_client *clients, const char *const *names, int n_clients)
{
    static struct stall stalls[PUSH_MOST_CLIENTS + 1];
    memset(stalls, 0, sizeof stalls);
    const int n_turns = bench_is_quick(bench) ? 2 : TURNS;
    const int n_calls = bench_is_quick(bench) ? QUICK_CALLS : CALLS;
    for (int turn = 0; turn < n_turns; turn++) {
        for (int c = 0; c <= n_clients; c++) {
            const struct push_client *client = c < n_clients ? &clients[c] : NULL;
            stalls[c].worst_ns[turn] = run_turn(ring, client, n_calls, &stalls[c]);
        }
    }
    const double limit = worst_of(&stalls[n_clients], n_turns);
    const double alive = worst_of(&stalls[0], n_turns);
    for (int c = 0; c < n_clients; c++) {
        char name[96];
        const double worst = worst_of(&stalls[c], n_turns);
        (void)snprintf(
            name, sizeof name, "worst of %d calls, %s", n_turns * n_calls, names[c]);
        bench_report(bench, "push", name, worst * 1e-3, "us", limit * 1e-3,
            "the same loop without a push");
        (void)snprintf(
            name, sizeof name, "median worst of %d calls, %s", n_calls, names[c]);
        bench_report(bench, "push", name,
            bench_median(stalls[c].worst_ns, (size_t)n_turns) * 1e-3, "us",
            bench_median(stalls[n_clients].worst_ns, (size_t)n_turns) * 1e-3,
            "the same loop without a push");
        if (c > 0) {
            bench_note(bench,
                "%s: the worst call took %+.3f ms against the daemon alive; "
                "calls over 1 ms: %llu, without a push %llu",
                names[c], (worst - alive) * 1e-6, (unsigned long long)stalls[c].n_long,
                (unsigned long long)stalls[n_clients].n_long);
        }
    }
}
