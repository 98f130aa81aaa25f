/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/push/due.h"
#include "lib/push/push.h"

/*
 * Steps and single numbers: what every turn of a training loop says, in some ten nanoseconds each.
 */

/* Begin a step; gives what is to be put. */
static int begin_step(struct baro_run *run, uint64_t now, int64_t step)
{
    uint64_t before =
        atomic_exchange_explicit(&run->step_began_ns, now, memory_order_relaxed);
    atomic_store_explicit(&run->step, step, memory_order_relaxed);
    atomic_store_explicit(&run->has_taken_back, false, memory_order_relaxed);
    due_on_step(run, now);
    if (before == 0) {
        return 0; /* nothing is known of how long a step takes */
    }
    const double seconds = now > before ? (double)(now - before) * 1e-9 : 0;
    return push_put_number(run, now, READING_STEP, 0, seconds);
}

int baro_step(struct baro_run *run, int64_t step)
{
    run_autoleave struct baro_run *inside = run_enter(run);
    if (inside == NULL) {
        return 0;
    }
    if (step < 0) {
        return BARO_EINVAL;
    }
    uint64_t now = ticks_now_ns();
    return push_end(run, now, begin_step(run, now, step));
}

int baro_take_back(struct baro_run *run, int64_t step)
{
    run_autoleave struct baro_run *inside = run_enter(run);
    if (inside == NULL) {
        return 0;
    }
    if (step < 0) {
        return BARO_EINVAL;
    }
    atomic_store_explicit(&run->step, step, memory_order_relaxed);
    atomic_store_explicit(&run->has_taken_back, true, memory_order_relaxed);
    return 0;
}

int baro_scalar(struct baro_run *run, const char *name, double value)
{
    run_autoleave struct baro_run *inside = run_enter(run);
    if (inside == NULL) {
        return 0;
    }
    uint64_t now = ticks_now_ns();
    const struct thing_wanted wanted = {.name = name, .unit_axis = BARO_NO_UNITS};
    const struct thing *thing = NULL;
    int rc = push_find(run, &wanted, &thing);
    return push_end(run, now,
        rc != 0 ? rc : push_put_number(run, now, READING_SCALAR, thing->id, value));
}

int64_t baro_declare_scalar(struct baro_run *run, const char *name)
{
    run_autoleave struct baro_run *inside = run_enter(run);
    if (inside == NULL) {
        return 0;
    }
    const struct thing_wanted wanted = {.name = name, .unit_axis = BARO_NO_UNITS};
    const struct thing *thing = NULL;
    int rc = push_find(run, &wanted, &thing);
    return rc != 0 ? rc : (int64_t)thing->id;
}

int baro_scalar_id(struct baro_run *run, int64_t id, double value)
{
    run_autoleave struct baro_run *inside = run_enter(run);
    if (inside == NULL) {
        return 0;
    }
    uint64_t now = ticks_now_ns();
    const struct thing *thing = id > 0 ? things_get(run->things, (uint64_t)id) : NULL;
    bool is_scalar = thing != NULL && !thing->is_tensor;
    if (!is_scalar) {
        return push_end(run, now, BARO_EINVAL);
    }
    return push_end(run, now, push_put_number(run, now, READING_SCALAR, thing->id, value));
}

/* Put numbers by their ids; gives the first failure. */
static int put_numbers(
    struct baro_run *run, uint64_t now, const int64_t *ids, const double *values, size_t n)
{
    int first_rc = 0;
    for (size_t i = 0; i < n; i++) {
        const struct thing *thing =
            ids[i] > 0 ? things_get(run->things, (uint64_t)ids[i]) : NULL;
        int rc = thing != NULL && !thing->is_tensor
                     ? push_put_number(run, now, READING_SCALAR, thing->id, values[i])
                     : BARO_EINVAL;
        first_rc = first_rc != 0 ? first_rc : rc;
    }
    return first_rc;
}

int baro_scalars(struct baro_run *run, const int64_t *ids, const double *values, size_t n)
{
    return baro_turn(run, -1, ids, values, n, 0);
}

int baro_turn(struct baro_run *run, int64_t step, const int64_t *ids, const double *values,
    size_t n, uint64_t spent_ns)
{
    run_autoleave struct baro_run *inside = run_enter(run);
    if (inside == NULL) {
        return 0;
    }
    if (n > 0 && (ids == NULL || values == NULL)) {
        return BARO_EINVAL;
    }
    uint64_t now = ticks_now_ns();
    int rc = step >= 0 ? begin_step(run, now, step) : 0;
    int numbers_rc = put_numbers(run, now, ids, values, n);
    rc = push_end(run, now - spent_ns, rc != 0 ? rc : numbers_rc);
    return rc;
}
