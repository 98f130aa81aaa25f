# SPDX-License-Identifier: Apache-2.0
"""How often tensors are measured: an account of the time that measuring may take.

Income is a share of elapsed time (1 % unless told otherwise), expense is the own time of hooks.
A step is measured, whole, while there is credit; so a small model is measured at every n-th step,
with n as its cost asks for, and the first steps of a run are all measured. Trouble (a scalar that
is not finite or leaps) buys a few steps on credit, which later steps pay back.
"""

START_S = 0.5      # credit at the start, so that the first steps are seen
MAX_S = 0.5        # credit is not saved beyond this
MAX_DEBT_S = 5.0   # nor debt: after trouble, measuring comes back before long
TROUBLE_STEPS = 10


class Budget:
    """The account. Times are seconds of one monotonic clock that the caller reads."""

    def __init__(self, share, now):
        self.share = share
        self.credit_s = START_S
        self.forced_steps = 0
        self._counted_until = now

    def open_step(self, now):
        """Begin a step; tells whether it is to be measured."""
        self.credit_s = min(MAX_S, self.credit_s + self.share * (now - self._counted_until))
        self._counted_until = now
        if self.forced_steps > 0:
            self.forced_steps -= 1
            return True
        return self.credit_s > 0

    def spend(self, seconds):
        """Book own time."""
        self.credit_s = max(-MAX_DEBT_S, self.credit_s - seconds)

    def trouble(self):
        """Have the next steps measured whatever it costs."""
        self.forced_steps = TROUBLE_STEPS


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
