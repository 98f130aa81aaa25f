# SPDX-License-Identifier: Apache-2.0
"""The state of torch's random numbers as each step begins, kept in the ring for who wants to draw
a step again after a crash.

It is only read, never set: nothing of the training changes. The state of the GPU in use is kept
when CUDA is at work already; asking for it waits for nothing. Python's and NumPy's own generators
are not kept: the former gives its state as 625 objects, at each step.
"""
import sys
from time import perf_counter

PART = 0.1    # of the budget that this may take
MOST = 63     # steps in a row that are left out; all of them while the budget has no room
FADE = 0.1
PAUSE = 2     # what takes so many times the usual time counts as that
FIRST = 16    # so many are kept without a look at what it costs: rare calls are slow ones


class States:
    """Keeps the state at each step, or at every few where steps are so short that it would cost
    more than its part of the budget."""

    def __init__(self, run):
        self._run = run
        self._put = getattr(run._lib, "baro_rng", None)
        self._n_wait = 0       # steps to be left out
        self._n_steps = 1      # since the last one that was kept
        self._kept = None      # (step, states that were kept for it)
        self._at = 0.0
        self._step_s = 0.0     # on average; 0: not known
        self._cost_s = 0.0
        self._n_kept = 0
        self._has_failed = False  # to ask a GPU for its state

    def begin(self, step):
        """A step begins."""
        if self._n_wait > 0:
            self._n_wait -= 1
            self._n_steps += 1
            return
        torch = sys.modules.get("torch")
        if torch is None or self._put is None or self._run._share <= 0.0:
            return
        began = perf_counter()
        try:
            self._keep(torch, step)
        except Exception as error:  # the training goes on
            self._put = None
            self._run._complain("rng", f"the random state is not kept: {error!r}")
        self._plan(began, perf_counter() - began)

    def _keep(self, torch, step):
        states = [(-1, torch.default_generator.get_state())]
        if torch.cuda.is_initialized() and not self._has_failed:
            try:
                number = torch.cuda.current_device()
                states.append((number, torch.cuda.default_generators[number].get_state()))
            except Exception:  # a graph is being captured, or something like it
                self._has_failed = True
        self._kept = (step, states)
        self._tell(step)

    def _tell(self, step):
        began = perf_counter()
        for device, state in self._kept[1]:
            self._put(self._run._handle, step, device, state.data_ptr(), state.numel())
        self._run._native_s += perf_counter() - began  # libbaro has counted it

    def name(self, step):
        """The step that began last has this number, not the one that was expected."""
        if self._kept is not None and self._kept[0] == self._run._next_step != step:
            self._kept = (step, self._kept[1])
            self._tell(step)

    def _plan(self, began, cost_s):
        found, self._at = (began - self._at) / self._n_steps, began
        self._n_steps = 1
        self._n_kept += 1
        if self._n_kept == 1:  # it takes long
            return
        if self._cost_s == 0.0:
            self._cost_s, self._step_s = cost_s, found
        self._step_s += FADE * (min(found, PAUSE * self._step_s) - self._step_s)
        self._cost_s += FADE * (min(cost_s, PAUSE * self._cost_s) - self._cost_s)
        allowed = PART * self._run._share * self._step_s
        if self._n_kept > FIRST:
            self._n_wait = min(MOST, int(self._cost_s / allowed)) if allowed > 0.0 else MOST
            if not self._run._has_spare():
                self._n_wait = MOST
