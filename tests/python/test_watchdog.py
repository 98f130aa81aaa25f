# SPDX-License-Identifier: Apache-2.0
"""Trouble in a scalar."""
import math

import tap

from barograph._watchdog import Watchdog


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
