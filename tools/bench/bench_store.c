/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/bench/bench_store.h"

#include "lib/base/mem.h"

const char *const bench_store_cases[] = {"size", "range", "open", "mixed", "memory", NULL};

int bench_store(struct bench *bench)
{
    static int (*const cases[])(struct bench * bench) = {bench_store_size,
        bench_store_range, bench_store_open, bench_store_mixed, bench_store_memory};
    _Static_assert(
        BARO_LEN(cases) + 1 == BARO_LEN(bench_store_cases), "a function for each name");
    for (size_t i = 0; i < BARO_LEN(cases); i++) {
        if (bench_wants(bench, bench_store_cases[i]) && cases[i](bench) != 0) {
            return -1;
        }
    }
    return 0;
}
