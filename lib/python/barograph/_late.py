# SPDX-License-Identifier: Apache-2.0
"""Numbers that lie on another device: read without making the training wait for them.

What log() is given is copied on the device's own queue, and read some steps later, once the
device says that it is done; the reading is kept at the step that it belongs to.
"""
import time

from . import _tensors

MAX_WAITING = 4096  # numbers; older ones give way, which is told
MAX_SAMPLES = 4096  # of a batch: libbaro keeps no more
AGE = 1             # a number is looked at when this many steps have begun since it was given
LAST_WAIT_S = 2.0   # at the run's end a device that hangs is not waited for any longer
PAUSE_S = 0.001


class Late:
    """The numbers of one run that are on their way."""

    def __init__(self, run):
        self._run = run
        self._waiting = []  # (name, number of the turn, step, a way to read it, one to push it)
        self._turn = 0
        self._is_troubled = False

    def take(self, name, tensor):
        """Keep a number of the step that libbaro is at."""
        self._take(name, self._push_number, tensor)

    def take_batch(self, indices):
        """Keep the samples of a batch: a tensor of whole numbers."""
        n = indices.numel()

        def push(_, copy, step):
            self._run._lib.baro_batch_at(self._run._handle, step, copy.data_ptr(), n)

        first = indices.detach().reshape(-1)[:MAX_SAMPLES]
        self._take("batch", push, first.long().contiguous(), lambda copy: copy)

    def take_samples(self, columns, push):
        """Keep what samples gave: a tensor; push(name, copy, step) takes its copy."""
        self._take("samples", push, columns, lambda copy: copy)

    def _push_number(self, name, number, step):
        self._is_troubled |= self._run._push_scalar_at(name, number, step)

    def _take(self, name, push, tensor, *as_what):
        try:
            reader = _tensors.late_reader(tensor, *as_what)
        except Exception as error:
            self._run._complain(("late", name), f"'{name[:80]}' is left out: {error}")
            return
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.pop(0)
            self._run._complain("late", "numbers of a slow device were given up")
        self._waiting.append((name, self._turn, self._run._told_step, reader, push))

    def push(self, wait_s=None):
        """A step begins (or the run ends): push what has arrived.

        wait_s  at the run's end: wait so long for what has not; then it is given up
        """
        is_last = wait_s is not None
        deadline = time.monotonic() + min(wait_s or 0.0, LAST_WAIT_S)
        self._turn += 1
        if not self._waiting:
            return
        kept = []
        for entry in self._waiting:
            name, turn, step, reader, push = entry
            try:
                number = reader(False) if is_last or self._turn - turn > AGE else None
                while number is None and is_last and time.monotonic() < deadline:
                    time.sleep(PAUSE_S)
                    number = reader(False)
            except Exception as error:
                self._run._complain(("late", name), f"'{name[:80]}' is left out: {error!r}")
                continue
            if number is None and is_last:
                self._run._complain("late", "a device did not answer; its last numbers are lost")
            elif number is None:
                kept.append(entry)
            else:
                push(name, number, step)
        self._waiting = kept

    def is_troubled(self):
        """Tell, once, whether one that has arrived is trouble."""
        was, self._is_troubled = self._is_troubled, False
        return was
