/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The training process owns its floating-point state: it may flush subnormals to zero,
 * round otherwise, trap on invalid operations, or look at the exception flags later.
 * Statistics are computed in the default state, and what was there is put back.
 */
#ifndef BARO_FPSTATE_H
#define BARO_FPSTATE_H

#if defined(__SSE2__)
#    include <xmmintrin.h>

struct baro_fpstate {
    unsigned saved;
};

/** Take the default state: round to nearest, subnormals kept, nothing trapped. */
static inline struct baro_fpstate baro_fpstate_enter(void)
{
    enum { DEFAULT = 0x1f80, FLAGS = 0x3f };
    const struct baro_fpstate state = {_mm_getcsr()};
    if ((state.saved & ~(unsigned)FLAGS) != DEFAULT) {
        _mm_setcsr(DEFAULT);
    }
    return state;
}

/** Put back what baro_fpstate_enter found, exception flags included. */
static inline void baro_fpstate_leave(struct baro_fpstate state)
{
    if (_mm_getcsr() != state.saved) {
        _mm_setcsr(state.saved);
    }
}

#else
#    include <fenv.h>

struct baro_fpstate {
    fenv_t saved;
};

/** Take the default state: round to nearest, subnormals kept, nothing trapped. */
static inline struct baro_fpstate baro_fpstate_enter(void)
{
    struct baro_fpstate state;
    fegetenv(&state.saved);
    fesetenv(FE_DFL_ENV);
    return state;
}

/** Put back what baro_fpstate_enter found, exception flags included. */
static inline void baro_fpstate_leave(struct baro_fpstate state)
{
    fesetenv(&state.saved);
}

#endif
#endif
