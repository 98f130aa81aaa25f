/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The longest that a push ever holds up the training thread: the worst single call of a million,
 * with the daemon alive, stopped in its tracks (SIGSTOP), absent, and killed. The ring is small,
 * so that but for the first it is full most of the time. A machine has hiccups of its own, of
 * milliseconds when others use it too: the limit is the worst turn of the same loop with a copy
 * into a plain ring instead of the push. All take turns, a tenth of their calls each.
 *
 * What the machine did to a slow call is told from what the call did: when the thread has not
 * waited (no voluntary context switch), its own part is the processor time that the call took; when
 * it has, all of it. That is 'worst itself'.
 */
#include "tools/bench/bench_push.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "lib/base/clock.h"
#include "lib/push/baro.h"

enum {
    TURNS = 10,
    CALLS = 100000, /* a turn */
    QUICK_CALLS = 5000,
    PER_STEP = 64,
    SLOW_NS = 20000 /* a call that is looked at closer */
};

/* What one state took. */
struct stall {
    double worst_ns[TURNS];
    double itself_ns[TURNS]; /* worst without what others took the processor for */
    uint64_t n_long;         /* calls over a millisecond */
    uint64_t n_waits;        /* of the thread, of its own accord */
};

/* What this thread has had so far. */
struct moment {
    uint64_t wall_ns;
    uint64_t cpu_ns;
    uint64_t n_waits;
};

static struct moment look(void)
{
    struct timespec cpu = {0};
    struct rusage usage = {0};
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
    (void)getrusage(RUSAGE_THREAD, &usage);
    return (struct moment){
        .wall_ns = baro_now_ns(),
        .cpu_ns = (uint64_t)cpu.tv_sec * 1000000000 + (uint64_t)cpu.tv_nsec,
        .n_waits = (uint64_t)usage.ru_nvcsw,
    };
}

/* What a slow call took by itself: of the processor's time since a look, all but the others'. */
static double take_apart(const struct moment *before, uint64_t call_ns, struct stall *stall)
{
    const struct moment now = look();
    if (now.n_waits != before->n_waits) {
        stall->n_waits += now.n_waits - before->n_waits;
        return (double)call_ns;
    }
    uint64_t others_ns = now.wall_ns - before->wall_ns - call_ns;
    uint64_t cpu_ns = now.cpu_ns - before->cpu_ns;
    uint64_t itself = cpu_ns > others_ns ? cpu_ns - others_ns : 0;
    return (double)(itself < call_ns ? itself : call_ns);
}

static void run_turn(struct push_plain *ring, const struct push_client *client, int n_calls,
    int turn, struct stall *stall)
{
    uint64_t worst = 0;
    double itself = 0;
    struct moment before = look();
    for (int i = 0; i < n_calls; i++) {
        if (i % PER_STEP == 0) {
            before = look();
        }
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
        if (ns > SLOW_NS) {
            double own_ns = take_apart(&before, ns, stall);
            itself = own_ns > itself ? own_ns : itself;
            before = look();
        } else if ((double)ns > itself) {
            itself = (double)ns;
        }
    }
    stall->worst_ns[turn] = (double)worst;
    stall->itself_ns[turn] = itself;
}

static double worst_of(const double *ns, int n_turns)
{
    double worst = 0;
    for (int i = 0; i < n_turns; i++) {
        worst = ns[i] > worst ? ns[i] : worst;
    }
    return worst;
}

/* Print what one state took beside the loop without a push. */
static void report_state(struct bench *bench, const char *state, struct stall *stall,
    struct stall *plain, int n_turns, int n_calls)
{
    static const char limit[] = "the same loop without a push";
    char name[96];
    (void)snprintf(
        name, sizeof name, "worst itself of %d calls, %s", n_turns * n_calls, state);
    bench_report(bench, "push", name, worst_of(stall->itself_ns, n_turns) * 1e-3, "us",
        worst_of(plain->itself_ns, n_turns) * 1e-3, limit);
    (void)snprintf(name, sizeof name, "worst of %d calls, %s", n_turns * n_calls, state);
    bench_report(bench, "push", name, worst_of(stall->worst_ns, n_turns) * 1e-3, "us",
        worst_of(plain->worst_ns, n_turns) * 1e-3, limit);
    (void)snprintf(name, sizeof name, "median worst of %d calls, %s", n_calls, state);
    bench_report(bench, "push", name, bench_median(stall->worst_ns, (size_t)n_turns) * 1e-3,
        "us", bench_median(plain->worst_ns, (size_t)n_turns) * 1e-3, limit);
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
            run_turn(ring, client, n_calls, turn, &stalls[c]);
        }
    }
    struct stall *plain = &stalls[n_clients];
    for (int c = 0; c < n_clients; c++) {
        report_state(bench, names[c], &stalls[c], plain, n_turns, n_calls);
        if (c > 0) {
            bench_note(bench,
                "%s: against the daemon alive the worst call took %+.3f ms, itself %+.3f ms; "
                "calls over 1 ms: %llu, without a push %llu; waits in slow calls: %llu",
                names[c],
                (worst_of(stalls[c].worst_ns, n_turns) -
                    worst_of(stalls[0].worst_ns, n_turns)) *
                    1e-6,
                (worst_of(stalls[c].itself_ns, n_turns) -
                    worst_of(stalls[0].itself_ns, n_turns)) *
                    1e-6,
                (unsigned long long)stalls[c].n_long, (unsigned long long)plain->n_long,
                (unsigned long long)stalls[c].n_waits);
        }
    }
}
