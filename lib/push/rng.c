/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/reading.h"
#include "lib/base/rng_state.h"
#include "lib/push/push.h"

/*
 * The states of random numbers wait in their area of the ring until somebody has a use for them:
 * they are sent when the first failure was captured, and as a run that failed closes; of a process
 * that is gone the ring is read.
 */

enum { MAX_DEVICE = 4095 };

int baro_rng(
    struct baro_run *run, int64_t step, int device, const void *state, size_t n_bytes)
{
    run_autoleave struct baro_run *inside = run_enter(run);
    if (inside == NULL) {
        return 0;
    }
    if (state == NULL || n_bytes == 0 || step < -1 || device < -1 || device > MAX_DEVICE) {
        return BARO_EINVAL;
    }
    const uint64_t now = ticks_now_ns();
    const struct ringfile_state kept = {
        .step = step >= 0 ? step : atomic_load_explicit(&run->step, memory_order_relaxed),
        .time_ns = ticks_wall_ns(now),
        .device = device,
        .rank = run->rank,
        .bytes = state,
        .n_bytes = n_bytes,
    };
    return push_end(run, now, ringfile_put_state(run->ring, &kept));
}

static int send_state(const struct ringfile_state *state, void *payload)
{
    struct baro_run *run = payload;
    uint8_t packed[RNG_PACKED_MAX_BYTES];
    const size_t used =
        rng_state_pack(state->bytes, state->n_bytes, NULL, packed, sizeof packed);
    const double numbers[RNG_STATE_NUMBERS] = {
        (double)state->device, (double)state->n_bytes, (double)state->rank};
    const struct ringfile_part parts[2] = {{numbers, sizeof numbers}, {packed, used}};
    const struct record_header header = {
        .kind = READING_RNG, .step = state->step, .time_ns = state->time_ns};
    return ringfile_put(run->ring, &header, parts, 2);
}

void run_send_states(struct baro_run *run)
{
    struct ringfile_info info;
    if (ringfile_read_info(run->ring, &info) != 0 ||
        info.data_bytes - info.unacked_bytes < 4 * info.state_bytes) {
        return; /* nothing gives way for them: who recovers the ring has them all the same */
    }
    if (ringfile_each_state(run->ring, send_state, run) == 0) {
        (void)ringfile_forget_states(run->ring);
    }
}
