# SPDX-License-Identifier: Apache-2.0
"""Trouble in a scalar: the sign to look at everything for some steps."""

TROUBLE_STEPS = 10  # that are measured whole after it


class Watchdog:
    """Tells trouble in a scalar: it turns non-finite, or leaps far above what it used to be.

    The bar is a slowly forgetting maximum of |value|; an exploding loss crosses it some steps
    before it overflows, which is when the tensors behind it are worth measuring.
    """

    __slots__ = ("high", "n_seen", "is_bad")

    WARM_UP = 20
    LEAP = 3.0
    FORGET = 0.98

    def __init__(self):
        self.high = 0.0
        self.n_seen = 0
        self.is_bad = False

    def sees_trouble(self, value):
        """Take one value; True when it begins to be trouble."""
        size = abs(value)
        if not size < float("inf"):  # NaN and both infinities
            begins = not self.is_bad
            self.is_bad = True
            return begins
        self.is_bad = False
        self.n_seen += 1
        leaps = self.n_seen > self.WARM_UP and size > self.LEAP * self.high > 0.0
        self.high = max(size, self.high * self.FORGET)
        return leaps
