# SPDX-License-Identifier: Apache-2.0
"""Trouble in a scalar: the sign to look at everything for some steps."""

TROUBLE_STEPS = 10  # that are measured whole after it
WARM_UP = 20        # values that only tell what is usual
LEAP = 3.0          # times as high as before is trouble
FORGET = 0.98       # what is left of the highest at the next value
_INFINITY = float("inf")


class Watchdog:
    """Tells trouble in a scalar: it turns non-finite, or leaps far above what it used to be.

    The bar is a slowly forgetting maximum of |value|; an exploding loss crosses it some steps
    before it overflows, which is when the tensors behind it are worth measuring.
    """

    __slots__ = ("high", "n_seen", "is_bad")

    def __init__(self):
        self.high = 0.0
        self.n_seen = 0
        self.is_bad = False

    def sees_trouble(self, value):
        """Take one value; True when it begins to be trouble."""
        size = value if value >= 0.0 else -value
        if not size < _INFINITY:  # NaN and both infinities
            begins = not self.is_bad
            self.is_bad = True
            return begins
        self.is_bad = False
        self.n_seen += 1
        high = self.high
        faded = high * FORGET
        if size <= faded:
            self.high = faded
            return False
        self.high = size
        return size > LEAP * high > 0.0 and self.n_seen > WARM_UP
