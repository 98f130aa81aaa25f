/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/simd/kernel.h"

#include <stdatomic.h>
#ifdef BARO_HAVE_X86_KERNELS
#    include <cpuid.h>
#endif

/* NULL until the first use. Two threads that meet here first store the same pointer. */
static _Atomic(const struct baro_kernels *) chosen;

static const struct baro_kernels *const tables[BARO_SIMD_COUNT] = {
    [BARO_SIMD_SCALAR] = &baro_kernels_scalar,
#ifdef BARO_HAVE_X86_KERNELS
    [BARO_SIMD_AVX2] = &baro_kernels_avx2,
    [BARO_SIMD_AVX512] = &baro_kernels_avx512,
#endif
};

static bool cpu_runs(enum baro_simd simd)
{
    if (simd == BARO_SIMD_SCALAR) {
        return true;
    }
#ifdef BARO_HAVE_X86_KERNELS
    /*
     * Clang 14 cannot name f16c; AVX2 below also vouches for the system saving the
     * registers. Every CPU with AVX2 but a few of VIA's has FMA.
     */
    unsigned eax = 0;
    unsigned ebx = 0;
    unsigned ecx = 0;
    unsigned edx = 0;
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__get_cpuid(1, &eax, &ebx, &ecx, &edx) ||
        (ecx & bit_F16C) == 0 || (ecx & bit_FMA) == 0) {
        return false;
    }
    return simd == BARO_SIMD_AVX2 ||
           (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"));
#else
    return false;
#endif
}

enum baro_simd baro_simd_best(void)
{
    int best = BARO_SIMD_COUNT - 1;
    while (!cpu_runs((enum baro_simd)best)) {
        best--;
    }
    return (enum baro_simd)best;
}

const char *baro_simd_name(enum baro_simd simd)
{
    static const char *const names[BARO_SIMD_COUNT] = {"scalar", "avx2", "avx512"};
    return (unsigned)simd < BARO_SIMD_COUNT ? names[simd] : "?";
}

bool baro_simd_use(enum baro_simd simd)
{
    if ((unsigned)simd >= BARO_SIMD_COUNT || !cpu_runs(simd)) {
        return false;
    }
    atomic_store_explicit(&chosen, tables[simd], memory_order_relaxed);
    return true;
}

const struct baro_kernels *baro_kernels_get(void)
{
    const struct baro_kernels *kernels =
        atomic_load_explicit(&chosen, memory_order_relaxed);
    if (kernels == NULL) {
        kernels = tables[baro_simd_best()];
        atomic_store_explicit(&chosen, kernels, memory_order_relaxed);
    }
    return kernels;
}
