# SPDX-License-Identifier: Apache-2.0
"""A run: what a training program talks to.

Two rules hold everywhere here. A mistake in the program (a wrong type of argument) is told at
once by TypeError. Trouble of the monitoring (a daemon that is gone, an array of an odd kind)
never reaches the training: it becomes one event of the run, and what caused it is left alone.
"""
import collections.abc
import ctypes
import operator
import os
import time
import warnings

from . import _native, _tensors
from ._budget import Budget, Watchdog

MAX_DEPTH = 8          # of nested dictionaries in log()
MAX_SAMPLES = 4096     # libbaro keeps so many of a batch
MAX_NAMES = 70000      # more than libbaro takes: further names are refused and not remembered
NO_ANSWER_WAIT_S = 2.0  # finish() waits no longer than this when no daemon answers

NEWS_S = 2.0             # libbaro is asked for what it has to say so often

class Run:
    """One training job (or one rank of it) as seen by its own process. Made by init()."""

    def __init__(self, library, handle, config, budget, first_step):
        self._lib = library
        self._handle = handle
        self._pid = os.getpid()
        self.id = library.baro_run_id(handle).decode("utf-8", "replace")
        self.ring_path = library.baro_ring_path(handle).decode("utf-8", "replace")
        self.config = config
        self._budget = Budget(budget, time.perf_counter())
        self._scalars = {}        # name: (id in libbaro, watchdog)
        self._views = {}          # (name, role): view, for tensor() and log()
        self._complaints = set()  # kinds of trouble that have been told
        self._watcher = None
        self._next_step = first_step  # what the step under way is believed to be
        self._stride = 1
        self._last_logged = None      # last explicit step
        self._told_step = None        # last step told to libbaro
        self._is_begun = False        # libbaro knows the step under way

    # ---- what users call ----

    @property
    def is_active(self):
        """False after finish(), and in a child after fork()."""
        return self._handle is not None

    def log(self, values=None, step=None, batch=None, samples=None):
        """Record numbers and close the step.

        values   dictionary: numbers, 0-d tensors and arrays; larger arrays are summarised;
                 dictionaries within are flattened with "/"
        step     number of the step; default: one more than the last. Repeated and earlier steps
                 are kept as they come
        batch    indices of the batch's samples in the data set, in the order of axis 0
        samples  dictionary of one number per sample of the batch, e.g. {"loss": losses}
        """
        if values is not None and not isinstance(values, collections.abc.Mapping):
            raise TypeError("log() takes a dictionary like {'loss': loss}, not "
                            f"'{type(values).__name__}'")
        if samples is not None and not isinstance(samples, collections.abc.Mapping):
            raise TypeError("log() takes samples as a dictionary like {'loss': losses}, not "
                            f"'{type(samples).__name__}'")
        if step is not None:
            step = _as_step(step)
        if self._handle is None:
            return
        # A second log() of the step that the last one closed adds to it and opens no other.
        is_more = step is not None and step == self._told_step and not self._is_begun
        try:
            self._enter_step(step)
            if batch is not None:
                self._push_batch(batch)
            is_troubled = self._push_values(values, "", 0) if values else False
            for name, numbers in (samples or {}).items():
                self._push_array(f"samples/{name}", numbers, "act", _native.NO_UNITS)
            if is_troubled:
                self._budget.trouble()
            if self._watcher is not None and not is_more:
                self._watcher.close_step(is_troubled)
        except Exception as error:  # the training goes on whatever happens here
            self._complain("log", f"log() failed: {error!r}")
        if is_more:
            self._is_begun = False
        else:
            self._leave_step(step)

    def tensor(self, name, array, role="act", unit_axis=None):
        """Summarise one array at the step under way.

        array      NumPy array, torch tensor, or anything with __array_interface__
        role       "weight", "grad", "act" (axis 0 is the batch), "act_grad", "update",
                   "input", "opt"
        unit_axis  axis of neurons, channels, heads; -1 for none; default: by role and shape
        """
        if role not in _native.ROLES:
            raise TypeError(f"role is one of {', '.join(_native.ROLES)}, not {role!r}")
        if unit_axis is not None:
            unit_axis = _as_index(unit_axis, "unit_axis")
        if self._handle is None:
            return
        try:
            self._begin_step()
            self._push_array(str(name), array, role, unit_axis)
        except Exception as error:
            self._complain("tensor", f"tensor() failed: {error!r}")

    def event(self, text, level="info"):
        """Note something at the step under way; level: "info", "watch" or "alarm"."""
        if level not in _native.LEVELS:
            raise TypeError(f"level is one of {', '.join(_native.LEVELS)}, not {level!r}")
        if self._handle is not None:
            self._lib.baro_event(self._handle, _native.LEVELS[level],
                                 _tensors.name_bytes(text))

    def alert(self, title, text="", level="watch"):
        """Note something that a person should look at."""
        self.event(f"{title}: {text}" if text else title, level)

    def watch(self, model, optimizer=None, every=None,
              roles=("input", "weight", "grad", "act", "act_grad"), include=None,
              exclude=None, name=None):
        """Follow a torch model: inputs, weights, gradients, activations and their gradients.

        optimizer  an optimiser or a list of them; default: those that hold the parameters
        every      measure each n-th step; default: as often as the budget allows
        roles      which of "input", "weight", "grad", "act", "act_grad"
        include, exclude  glob patterns on names, e.g. "encoder.*"; a string or a list
        name       put before all names of this model, for runs with several; also the name
                   of its input, else "input"
        """
        from . import torch_watch
        torch_watch.check_arguments(model, optimizer, every, roles, include, exclude)
        if self._handle is None:
            return
        try:
            if self._watcher is None:
                self._watcher = torch_watch.Watcher(self)
            self._watcher.add(model, optimizer, every, tuple(roles), include, exclude, name)
        except Exception as error:
            self._complain("watch", f"watch() failed: {error!r}")

    def stats(self):
        """libbaro's own figures as a dictionary: pushed, sent, acknowledged, dropped, ..."""
        figures = _native.Stats()
        if self._handle is not None:
            self._lib.baro_stats(self._handle, ctypes.byref(figures))
        return {name: getattr(figures, name) for name, _ in figures._fields_}

    def finish(self, timeout=5.0, status=None, text=None):
        """End the run; waits at most timeout seconds for the daemon to have everything.

        status  "finished" (default) or "failed"
        text    why it failed
        """
        if status not in (None, "finished", "failed"):
            raise TypeError(f"status is 'finished' or 'failed', not {status!r}")
        if self._handle is None:
            return
        if self._watcher is not None:
            self._watcher.remove()
        handle, self._handle = self._handle, None
        _live.discard(self)
        figures = _native.Stats()
        self._lib.baro_stats(handle, ctypes.byref(figures))
        if not figures.is_connected:
            timeout = min(timeout, NO_ANSWER_WAIT_S)
        if status == "failed":
            self._lib.baro_fail(handle, _tensors.name_bytes(text) if text else None)
        rc = self._lib.baro_close(handle, max(0, int(timeout * 1000)))
        if rc == _native.ETIMEOUT and not self._is_offline:
            warnings.warn("barograph: not everything of this run has reached the daemon; the "
                          f"rest is in '{self.ring_path}', and 'baro recover' brings it in",
                          stacklevel=2)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is None:
            self.finish()
        else:
            self.finish(status="failed", text=describe(kind, error))

    def __repr__(self):
        state = "active" if self.is_active else "ended"
        return f"<barograph.Run '{self.id}', {state}>"

    # ---- steps ----

    _is_offline = False

    def _begin_step(self):
        """Tell libbaro the step under way, once: at its first reading, or at log()."""
        self._hear(handle)
        if not self._is_begun:
            self._is_begun = True
            self._tell_step(self._next_step)

    def _tell_step(self, step):
        if self._lib.baro_step(self._handle, step) == 0:
            self._told_step = step

    def _enter_step(self, step):
        """See that libbaro is at the step that log() closes."""
        if step is None:
            self._begin_step()
        elif not 0 <= step <= _native.MAX_STEP:
            self._complain("step", f"step {step} is not between 0 and 2^63 - 1; "
                           f"{self._next_step} is used instead")
            self._begin_step()
        else:
            self._is_begun = True
            if step != self._told_step:
                self._tell_step(step)

    def _leave_step(self, step):
        """Believe the next step to be as far from this one as this one was from the last."""
        if step is None or not 0 <= step <= _native.MAX_STEP:
            self._next_step = min(self._next_step + 1, _native.MAX_STEP)
        else:
            if self._last_logged is not None and step > self._last_logged:
                self._stride = step - self._last_logged
            self._last_logged = step
            self._next_step = min(step + self._stride, _native.MAX_STEP)
        self._is_begun = False

    # ---- pushing ----

    def _push_values(self, values, prefix, depth):
        """Push a dictionary; tells whether one of its numbers begins to be trouble."""
        is_troubled = False
        for key, value in values.items():
            name = f"{prefix}{key}"
            number = as_number(value)
            if number is not None:
                is_troubled |= self._push_scalar(name, number)
            elif isinstance(value, collections.abc.Mapping):
                if depth < MAX_DEPTH:
                    is_troubled |= self._push_values(value, f"{name}/", depth + 1)
                else:
                    self._complain("depth", f"'{name}' is nested too deep and left out")
            else:
                self._push_array(name, value, "act", None)
        return is_troubled

    def _push_scalar(self, name, number):
        known = self._scalars.get(name)
        if known is None:
            number_id = self._lib.baro_declare_scalar(self._handle, _tensors.name_bytes(name))
            known = (number_id, Watchdog())
            if number_id > 0 or len(self._scalars) < MAX_NAMES:
                self._scalars[name] = known
            if number_id <= 0:
                self._complain("scalar", f"the scalar '{name[:80]}' is left out: "
                               f"{self._strerror(number_id)}")
        if time.monotonic() >= self._news_at:
            self._hear(self._handle)

    _news_at = 0.0

    def _hear(self, handle):
        """Warn of what libbaro has to say: no daemon, a key that is refused, a full ring."""
        self._news_at = time.monotonic() + NEWS_S
        text = ctypes.create_string_buffer(256)
        if self._lib.baro_news(handle, text, len(text)):
            try:
                warnings.warn(f"barograph: {text.value.decode('utf-8', 'replace')}", stacklevel=4)
            except Warning:  # of python -W error: nobody made a mistake here
                pass
        if known[0] <= 0:
            return False
        self._lib.baro_scalar_id(self._handle, known[0], number)
        return known[1].sees_trouble(number)

    def _push_array(self, name, array, role, unit_axis):
        view = self._views.get((name, role))
        if view is None:
            view = _tensors.View(name, role)
            if len(self._views) < MAX_NAMES:
                self._views[(name, role)] = view
        view.axis = unit_axis
        try:
            keep = _tensors.point_at(view, array)
        except _tensors.Unsupported as reason:
            self._complain(("array", name), f"'{name[:80]}' is left out: {reason}")
            return
        self._push_view(view)
        del keep

    def _push_view(self, view):
        """Summarise what a view points at; a tensor that is refused is left alone from then."""
        rc = self._lib.baro_tensor(self._handle, view.ref)
        if rc < 0:
            view.is_broken = True
            self._complain(("view", view.role), f"'{view.name[:80]}' ({view.role}) is left out: "
                           f"{self._strerror(rc)}")

    def _push_row(self, row, first, end):
        """Summarise neighbours of a row in one call."""
        if self._lib.baro_tensors(self._handle, row.address(first), end - first) < 0:
            row.is_doubtful = True

    def _push_batch(self, batch):
        if _tensors.is_torch(batch):
            if not batch.is_cpu:
                self._complain("batch", "batch is on another device; give the indices on the CPU")
                return
            if _tensors.torch_dtype(batch.dtype) == "int64" and batch.is_contiguous():
                self._lib.baro_batch(self._handle, batch.data_ptr(), batch.numel())
                return
            batch = batch.detach().reshape(-1)
        try:
            if hasattr(batch, "tolist"):
                batch = batch.tolist()
            indices = [operator.index(i) if not isinstance(i, float) else _whole(i)
                       for i in (batch if isinstance(batch, (list, tuple)) else list(batch))]
            numbers = (ctypes.c_int64 * len(indices))(*indices)
        except (TypeError, ValueError, OverflowError):
            self._complain("batch", "batch must be a list of sample indices; "
                           f"a '{type(batch).__name__}' of something else is left out")
            return
        self._lib.baro_batch(self._handle, numbers, len(indices))

    # ---- trouble ----

    def _complain(self, kind, text):
        """Note trouble of the monitoring as an event, once for each kind."""
        if kind in self._complaints or self._handle is None:
            return
        self._complaints.add(kind)
        if len(self._complaints) <= 64:
            self._lib.baro_event(self._handle, _native.LEVELS["info"],
                                 _tensors.name_bytes(f"barograph: {text}"))

    def _strerror(self, code):
        return self._lib.baro_strerror(code).decode()

    def _forget(self):
        """In a child after fork(): be silent, without touching what the parent owns."""
        self._handle = None
        if self._watcher is not None:
            self._watcher.remove()


_live = set()  # runs to end at exit


def as_number(value):
    """Give a number as a float; None for what is not one number."""
    kind = type(value)
    if kind is float:
        return value
    try:
        if _tensors.is_torch(value):
            return float(value.item()) if value.numel() == 1 else None
        if isinstance(value, (str, bytes, bytearray)) or value is None:
            return None
        if getattr(value, "size", 1) != 1:
            return None
        if hasattr(value, "item"):
            value = value.item()
            return float(value) if not isinstance(value, (str, bytes)) else None
        return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError, NotImplementedError):
        return None


def describe(kind, error):
    """One line for an exception that ended a run."""
    if issubclass(kind, KeyboardInterrupt):
        return "stopped by the user (KeyboardInterrupt)"
    return f"{kind.__name__}: {error}" if str(error) else kind.__name__


def _whole(number):
    if number != int(number):
        raise ValueError(number)
    return int(number)


def _as_index(value, what):
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{what} is a whole number, not '{type(value).__name__}'") from None


def _as_step(step):
    if isinstance(step, float) and step.is_integer():
        return int(step)
    if not isinstance(step, int) and as_number(step) is not None and hasattr(step, "item"):
        step = step.item()
        return int(step) if float(step).is_integer() else _as_index(step, "step")
    return _as_index(step, "step")
