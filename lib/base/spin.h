/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A spin lock that gives up: for the few instructions that pushing threads must not do at once.
 * A mutex could put the training thread to sleep, and deadlock when a signal handler pushes.
 */
#ifndef BARO_SPIN_H
#define BARO_SPIN_H

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "lib/base/clock.h"

/** Take the lock (a zeroed word); false when others held it for about 50 ms. Any thread. */
static inline bool baro_spin_lock(_Atomic uint32_t *lock)
{
    enum { SPINS = 2000, LIMIT_NS = 50000000 };
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(lock, memory_order_relaxed) == 0 &&
            atomic_exchange_explicit(lock, 1, memory_order_acquire) == 0) {
            return true;
        }
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }
    uint64_t start_ns = baro_now_ns();
    while (baro_now_ns() - start_ns < LIMIT_NS) {
        if (atomic_exchange_explicit(lock, 1, memory_order_acquire) == 0) {
            return true;
        }
        (void)sched_yield();
    }
    return false;
}

/** Give the lock back. */
static inline void baro_spin_unlock(_Atomic uint32_t *lock)
{
    atomic_store_explicit(lock, 0, memory_order_release);
}

#endif
