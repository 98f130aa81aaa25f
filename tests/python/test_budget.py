# SPDX-License-Identifier: Apache-2.0
"""The account that keeps measuring cheap, with a clock of its own."""
import math

import tap

from barograph._budget import MAX_DEBT_S, MAX_S, START_S, TROUBLE_STEPS, Budget, Watchdog


def drive(budget, n_steps, step_s, cost_s, now=0.0):
    """Let time pass in equal steps that cost something when measured; tells which were."""
    measured = []
    for _ in range(n_steps):
        if budget.open_step(now):
            measured.append(True)
            budget.spend(cost_s)
            now += cost_s
        else:
            measured.append(False)
        now += step_s
    return measured, now


def test_own_time_stays_within_the_share():
    for share in (0.01, 0.05):
        for cost_s in (0.0001, 0.002, 0.05):
            budget = Budget(share, 0.0)
            measured, now = drive(budget, 50000, 0.001, cost_s)
            assert sum(measured) * cost_s <= START_S + share * now + cost_s
            assert sum(measured) * cost_s >= 0.9 * share * now


def test_the_first_steps_are_all_measured():
    measured, _ = drive(Budget(0.01, 0.0), 1000, 0.001, 0.0005)
    assert all(measured[:900])


def test_steps_are_measured_evenly_once_the_start_is_spent():
    measured, _ = drive(Budget(0.01, 0.0), 40000, 0.001, 0.0003)
    late = [i for i, m in enumerate(measured) if m and i > 20000]
    gaps = [b - a for a, b in zip(late, late[1:])]
    assert max(gaps) - min(gaps) <= 1 and 28 <= gaps[0] <= 32, (min(gaps), max(gaps))


def test_credit_is_not_saved_without_bound():
    budget = Budget(0.01, 0.0)
    budget.open_step(1e6)
    assert budget.credit_s == MAX_S


def test_debt_is_bounded():
    budget = Budget(0.01, 0.0)
    budget.spend(1e6)
    assert budget.credit_s == -MAX_DEBT_S


def test_trouble_buys_steps_that_are_paid_back():
    budget = Budget(0.01, 0.0)
    _, now = drive(budget, 5000, 0.001, 0.001)
    budget.trouble()
    measured, now = drive(budget, 3000, 0.001, 0.001, now)
    assert all(measured[:TROUBLE_STEPS])
    assert not any(measured[TROUBLE_STEPS:TROUBLE_STEPS + 900])
    assert any(measured)


def test_a_value_that_turns_nan_is_trouble_once_until_it_recovers():
    dog = Watchdog()
    seen = [dog.sees_trouble(v) for v in (1.0, math.nan, math.nan, math.inf, 1.0, -math.inf)]
    assert seen == [False, True, False, False, False, True]


def test_a_leap_is_trouble_and_slow_growth_is_not():
    dog = Watchdog()
    assert not any(dog.sees_trouble(1.0 + 0.01 * i) for i in range(500))
    assert dog.sees_trouble(50.0)
    assert not dog.sees_trouble(50.0)
    quiet = Watchdog()
    assert not any(quiet.sees_trouble(v) for v in (1.0, 100.0, 0.0, 3.0))


if __name__ == "__main__":
    tap.main(globals(), needs_library=False)
