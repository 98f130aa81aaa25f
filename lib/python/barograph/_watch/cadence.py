# SPDX-License-Identifier: Apache-2.0
"""Which tensors are due: one question to libbaro's governor for all that are known.

Training, evaluation and passes without gradients have series of their own and a cadence of their
own, so one Cadence each. Evaluation comes seldom, and would mostly meet steps in which the
governor has nothing to give away: it is measured whole when the time since it was last has earned
what that cost. What the governor has never heard of is always due; what could not be
measured yet because it was not there (a module that is not called, a gradient that is not
computed) is looked for ever more seldom.
"""
import ctypes
import time


class Cadence:
    """All views of one phase that libbaro knows by id."""

    def __init__(self, run, is_rare=False):
        self._run = run
        self._is_rare = is_rare  # not training: it comes now and then
        self._asked_at = 0.0
        self.cost_s = 0.0        # of the last time that it was measured
        self.views = []
        self._ids = (ctypes.c_uint32 * 64)()
        self._answers = (ctypes.c_uint8 * 64)()
        self._memory = memoryview(self._answers).cast("B")

    def add(self, view):
        """Take in a view that has been declared, or whose id has changed."""
        if view.place is None:
            if len(self.views) == len(self._ids):
                self._grow(2 * len(self._ids))
            view.place = len(self.views)
            self.views.append(view)
        self._ids[view.place] = view.id

    def _grow(self, n):
        ids = (ctypes.c_uint32 * n)()
        ids[:len(self._ids)] = self._ids[:]
        self._ids = ids
        self._answers = (ctypes.c_uint8 * n)()
        self._memory = memoryview(self._answers).cast("B")

    def keep(self, is_alive):
        """Forget the views for which is_alive(view) is false."""
        views, self.views = self.views, []
        for view in views:
            view.place = None
            if is_alive(view):
                self.add(view)

    def ask(self):
        """The views that the budget lets be measured now."""
        n = len(self.views)
        if n == 0:
            return ()
        if self._is_rare:
            now = time.monotonic()
            if (now - self._asked_at) * self._run._share >= self.cost_s:
                self._asked_at, self.cost_s = now, 0.0
                return self.views
        n_due = self._run._due(self._ids, n, self._answers)
        if n_due <= 0:
            return ()
        if n_due == n:
            return self.views
        answers = self._memory[:n].tobytes()
        due, at = [], answers.find(1)
        while at >= 0:
            due.append(self.views[at])
            at = answers.find(1, at + 1)
        return due


class Search:
    """When to look for what has not been there yet: at looks 1, 2, 3, 5, 8, ... and every 257th.

    Powers of two would never meet what comes at steps 2, 5, 8, ...
    """

    __slots__ = ("n_looks", "_last", "_next")

    def __init__(self):
        self.n_looks = 0
        self._last, self._next = 1, 1

    def is_time(self):
        """Count one look that could be; tells whether to do it."""
        self.n_looks += 1
        n = self.n_looks
        if n == self._next:
            self._last, self._next = n, n + self._last
            return True
        return n % 257 == 0
