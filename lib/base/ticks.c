/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/ticks.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#if defined(__x86_64__)
#    include <cpuid.h>
#    include <x86intrin.h>
#endif

#include "lib/base/clock.h"

/*
 * A look at the system's clock takes 30 ns on a virtual machine whose counter can be read in
 * 12; a push needs two such looks and should take less than 100 ns.
 *
 * The scale (counter and clock at one moment, and the rate between them) is renewed by whoever
 * finds it older than 10 ms, so that nothing has to be known of a suspended or migrated machine:
 * a counter that went back, or on by more than 10 ms, sends the reader to the system's clock.
 * What was stamped in less than 10 ms of running time after such an event is stamped as just
 * before it. The rate is measured over 10 ms to 1 s, and a rate that differs from the last one
 * by more than a thousandth is not believed: then the clock is used until it has been measured
 * anew.
 *
 * Never back: where the clock turns out to lag behind the scale (by less than a microsecond as a
 * rule) the scale is kept and slowed by a 64th until the next look. Wall time is monotonic time
 * plus their difference, which is constant while nobody sets the clock; it is read between two
 * looks at the monotonic clock that lie close together, or not believed: a thread that is held
 * up between the two clocks would otherwise stamp its readings late by as much.
 *
 * Readers take no lock: the scale lies behind a counter that is odd while it is renewed, and a
 * reader that meets that (or a signal handler inside the renewal, or a child forked within it)
 * looks at the system's clock.
 */

enum {
    HOLD_NS = 10000000,   /* a scale is good for so long */
    BASE_NS = 1000000000, /* the rate is measured over up to so much */
    AHEAD_NS = 1000000,   /* more than this is no lag of the clock */
    CLOSE_NS = 2000,      /* two looks around a third one: not held up between */
    NOISE_NS = 20000,     /* by less, the difference of two clocks has not changed */
    TRIES = 3,
    RATE_TOLERANCE = 1000, /* one part in so many */
    SLOWER = 64
};

/* No counter is slower than 16 ns a tick: above, products would run over. */
#define MOST_RATE (UINT64_C(1) << 36)

enum { UNKNOWN = 0, USED, UNUSED };

static struct {
    _Atomic uint32_t turn;  /* odd: being renewed */
    _Atomic uint32_t state; /* UNKNOWN until the first use */
    _Atomic uint64_t at;
    _Atomic uint64_t ns;
    _Atomic uint64_t rate;
    _Atomic uint64_t holds;
    _Atomic int64_t wall_ns;
    _Atomic uint64_t renewed_ns; /* 0: never */
    struct ticks_scale scale;    /* the renewer's own */
} shared;

static uint64_t ratio(uint64_t ns, uint64_t ticks)
{
    return (uint64_t)(((unsigned __int128)ns << 32) / ticks);
}

/* The rate since the base, or 0 when it cannot be told or believed: then the base is new. */
static uint64_t measure(struct ticks_scale *scale, uint64_t at, uint64_t ns)
{
    const uint64_t before = scale->true_rate;
    const bool is_on = scale->base_ns != 0 && at > scale->base_at && ns > scale->base_ns;
    uint64_t rate = before;
    if (is_on && ns - scale->base_ns >= HOLD_NS) {
        rate = ratio(ns - scale->base_ns, at - scale->base_at);
    }
    const uint64_t apart = rate > before ? rate - before : before - rate;
    const bool is_strange = before != 0 && apart > before / RATE_TOLERANCE;
    if (!is_on || is_strange || rate >= MOST_RATE) {
        rate = 0;
    }
    if (!is_on || is_strange || ns - scale->base_ns >= BASE_NS) {
        scale->base_at = at;
        scale->base_ns = ns;
    }
    return rate;
}

void ticks_rescale(struct ticks_scale *scale, uint64_t at, uint64_t ns, int64_t wall_ns)
{
    const uint64_t shown_ns = ticks_read(scale, at);
    const bool is_ahead = shown_ns > ns && shown_ns - ns < AHEAD_NS;
    const uint64_t rate = measure(scale, at, ns);
    scale->true_rate = rate;
    scale->at = at;
    scale->ns = is_ahead ? shown_ns : ns;
    scale->rate = is_ahead ? rate - rate / SLOWER : rate;
    scale->holds = rate > 0 ? ratio(HOLD_NS, rate) : 0;
    const int64_t change = wall_ns - scale->wall_ns;
    if (change > NOISE_NS || change < -NOISE_NS) {
        scale->wall_ns = wall_ns;
    }
}

#if defined(__x86_64__)

static uint64_t count(void)
{
    return __rdtsc();
}

/* The counter runs at one rate and does not stop, and the kernel keeps its time by it. */
static bool is_trusted(void)
{
    unsigned eax = 0;
    unsigned ebx = 0;
    unsigned ecx = 0;
    unsigned edx = 0;
    if (!__get_cpuid(0x80000007U, &eax, &ebx, &ecx, &edx) || (edx & 1U << 8) == 0) {
        return false;
    }
    char name[8] = {0};
    int fd = open("/sys/devices/system/clocksource/clocksource0/current_clocksource",
        O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    ssize_t n = read(fd, name, sizeof name - 1);
    (void)close(fd);
    return n >= 4 && memcmp(name, "tsc\n", 4) == 0;
}

#else

static uint64_t count(void)
{
    return 0; /* never asked: is_trusted() says no */
}

static bool is_trusted(void)
{
    return false;
}

#endif

static bool are_used(void)
{
    uint32_t state = atomic_load_explicit(&shared.state, memory_order_relaxed);
    if (state == UNKNOWN) {
        state = is_trusted() ? USED : UNUSED;
        atomic_store_explicit(&shared.state, state, memory_order_relaxed);
    }
    return state == USED;
}

/* Wall time less monotonic time; false when this thread was held up every time. */
static bool read_difference(int64_t *out_ns)
{
    for (int i = 0; i < TRIES; i++) {
        const uint64_t before = baro_now_ns();
        const int64_t wall = baro_wall_ns();
        const uint64_t after = baro_now_ns();
        if (after - before < CLOSE_NS) {
            *out_ns = wall - (int64_t)(before + (after - before) / 2);
            return true;
        }
    }
    return false;
}

/* The counter and monotonic time at one moment. */
static bool read_pair(uint64_t *out_at, uint64_t *out_ns)
{
    for (int i = 0; i < TRIES; i++) {
        const uint64_t before = baro_now_ns();
        const uint64_t at = count();
        const uint64_t after = baro_now_ns();
        if (after - before < CLOSE_NS) {
            *out_at = at;
            *out_ns = before + (after - before) / 2;
            return true;
        }
    }
    return false;
}

/* Renew the scale unless somebody else does. Every store is a release: none moves before turn's. */
static void renew(void)
{
    uint32_t turn = atomic_load_explicit(&shared.turn, memory_order_relaxed);
    if ((turn & 1) != 0 || !atomic_compare_exchange_strong_explicit(&shared.turn, &turn,
                               turn + 1, memory_order_acquire, memory_order_relaxed)) {
        return;
    }
    struct ticks_scale *scale = &shared.scale;
    int64_t wall_ns = scale->wall_ns;
    uint64_t at = 0;
    uint64_t ns = 0;
    const bool is_wall_known = read_difference(&wall_ns);
    if (are_used() && read_pair(&at, &ns)) {
        ticks_rescale(scale, at, ns, wall_ns);
    } else if (is_wall_known) {
        scale->wall_ns = wall_ns;
    }
    atomic_store_explicit(&shared.at, scale->at, memory_order_release);
    atomic_store_explicit(&shared.ns, scale->ns, memory_order_release);
    atomic_store_explicit(&shared.rate, scale->rate, memory_order_release);
    atomic_store_explicit(&shared.holds, scale->holds, memory_order_release);
    atomic_store_explicit(&shared.wall_ns, scale->wall_ns, memory_order_release);
    if (is_wall_known) {
        atomic_store_explicit(&shared.renewed_ns, baro_now_ns(), memory_order_release);
    }
    atomic_store_explicit(&shared.turn, turn + 2, memory_order_release);
}

/* Take a copy of the scale; false while it is being renewed. */
static bool take(struct ticks_scale *out)
{
    const uint32_t turn = atomic_load_explicit(&shared.turn, memory_order_acquire);
    out->at = atomic_load_explicit(&shared.at, memory_order_acquire);
    out->ns = atomic_load_explicit(&shared.ns, memory_order_acquire);
    out->rate = atomic_load_explicit(&shared.rate, memory_order_acquire);
    out->holds = atomic_load_explicit(&shared.holds, memory_order_acquire);
    return (turn & 1) == 0 &&
           atomic_load_explicit(&shared.turn, memory_order_relaxed) == turn;
}

/* The system's clock, and a new scale when it is time for one. */
static uint64_t look(const struct ticks_scale *old)
{
    struct ticks_scale fresh;
    uint64_t now = baro_now_ns();
    if (now - atomic_load_explicit(&shared.renewed_ns, memory_order_relaxed) >= HOLD_NS) {
        renew();
        const uint64_t shown = take(&fresh) ? ticks_read(&fresh, count()) : 0;
        if (shown != 0) {
            return shown;
        }
    }
    if (old != NULL) { /* what it has shown last may be a little ahead of the clock */
        const uint64_t end = old->ns + (old->holds * old->rate >> 32);
        now = now < end && end - now < CLOSE_NS ? end : now;
    }
    return now;
}

uint64_t ticks_now_ns(void)
{
    struct ticks_scale scale;
    if (!take(&scale)) {
        return look(NULL);
    }
    const uint64_t now = ticks_read(&scale, count());
    return now != 0 ? now : look(&scale);
}

int64_t ticks_wall_ns(uint64_t now_ns)
{
    if (atomic_load_explicit(&shared.renewed_ns, memory_order_relaxed) == 0) {
        (void)look(NULL);
        if (atomic_load_explicit(&shared.renewed_ns, memory_order_relaxed) == 0) {
            return baro_wall_ns(); /* another thread is just about it, or none succeeds */
        }
    }
    return (int64_t)now_ns + atomic_load_explicit(&shared.wall_ns, memory_order_relaxed);
}
