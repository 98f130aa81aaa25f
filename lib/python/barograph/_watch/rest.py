# SPDX-License-Identifier: Apache-2.0
"""Rest: steps in which nothing is even asked for.

To look at a step, also when next to nothing is due, costs some hundred microseconds in a training
that keeps the processor's caches to itself, and 1 % of a step of 10 ms is no more than that. So
between steps that are looked at some pass without a question: as many as make looking cost an
eighth of the budget; in the next one more is due. In them one hook sees whether the first pass is
training, as it expects; anything else (evaluation, a pass without gradients, trouble in what is
logged) ends the rest at once.
"""
from time import perf_counter

MOST = 31     # steps in a row
PART = 0.125  # of the budget that looking may take
PAUSE = 4     # a step of so many times the usual length is a pause
FADE = 0.2


class Rest:
    """How long the steps of a training are, and what a look takes."""

    def __init__(self, share):
        self._share = share
        self._step_s = 0.0   # on average; 0: not known
        self._look_s = 0.0
        self._asked_at = 0.0
        self._asked_stamp = 0

    def steps(self, spent_s, stamp):
        """How many steps may pass after one that was looked at.

        spent_s  own time that this took, without measuring
        stamp    number of the step that ends
        """
        now = perf_counter()
        n_steps, self._asked_stamp = stamp - self._asked_stamp, stamp
        found, self._asked_at = (now - self._asked_at) / max(1, n_steps), now
        if self._step_s == 0.0:
            self._step_s = found if n_steps == 1 else 0.0
            self._look_s = spent_s
            return 0
        self._step_s += FADE * (min(found, PAUSE * self._step_s) - self._step_s)
        self._look_s += FADE * (min(spent_s, PAUSE * self._look_s) - self._look_s)
        allowed = PART * self._share * self._step_s
        return min(MOST, int(self._look_s / allowed)) if allowed > 0.0 else 0
