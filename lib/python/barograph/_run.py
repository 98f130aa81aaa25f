# SPDX-License-Identifier: Apache-2.0
"""A run: what a training program talks to.

Two rules hold everywhere here. A mistake in the program (a wrong type of argument) is told by one
warning and one event, and what is left of the call is done; with strict=True it raises TypeError.
Trouble of the monitoring (a daemon that is gone, an array of an odd kind) never reaches the
training: it becomes one event of the run, and what caused it is left alone.
"""
import array
import collections.abc
import ctypes
import operator
import os
import time
import warnings

from . import _device, _native, _tensors
from ._late import Late
from ._watchdog import TROUBLE_STEPS, Watchdog

INTERRUPTED = "interrupted by the user (Ctrl-C)"  # viewers know it: it is no fault of the run
MAX_DEPTH = 8          # of nested dictionaries in log()
MAX_SAMPLES = 4096     # libbaro keeps so many of a batch
MAX_NAMES = 70000      # more than libbaro takes: further names are refused and not remembered
NEWS_S = 2.0             # libbaro is asked for what it has to say so often
LAST_LOOK_S = 0.25     # finish() takes at most about so long to measure the weights once more
NO_ANSWER_WAIT_S = 2.0  # finish() waits no longer than this when no daemon answers


class Run:
    """One training job (or one rank of it) as seen by its own process. Made by init()."""

    def __init__(self, library, handle, config, share, first_step, is_strict=False):
        self._lib = library
        self._handle = handle
        self._pid = os.getpid()
        self.id = library.baro_run_id(handle).decode("utf-8", "replace")
        self.ring_path = library.baro_ring_path(handle).decode("utf-8", "replace")
        self.config = config
        self._share = share       # of the time that measuring may take
        self._is_strict = is_strict
        self._native_s = 0.0      # time within libbaro's calls that measure
        self._late = Late(self)   # numbers of another device, read when they are there
        self._far = None          # tensors of another device, measured there
        self._own_values = {}     # scalars of ours that go with the next log(): {name: value}
        self._scalars = {}        # name: (id in libbaro, watchdog)
        self._form = ((), (), None, 0)  # of the numbers that log() was given last; see _learn_form()
        self._unbooked_s = 0.0    # own time that is told to libbaro with the next log()
        self._views = {}          # (name, role): view, for tensor() and log()
        self._complaints = set()  # kinds of trouble that have been told
        self._figures = _native.Stats()  # of stats(); after finish() the last ones
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
        if self._handle is None:
            return
        began = time.perf_counter() - self._native_s
        if step is None and batch is None and samples is None and self._log_plainly(values, began):
            return
        values = self._as_mapping(values, "values", "{'loss': loss}")
        samples = self._as_mapping(samples, "samples", "{'loss': losses}")
        if step is not None:
            try:
                step = _as_step(step)
            except TypeError as error:
                self._reject(error)
                step = None
        # A second log() of the step that the last one closed adds to it and opens no other.
        is_more = step is not None and step == self._told_step and not self._is_begun
        try:
            self._enter_step(step)
            if batch is not None:
                self._push_batch(batch)
            is_troubled = self._push_values(values, "", 0) if values else False
            if self._own_values:
                is_troubled |= self._push_own(values)
            is_troubled |= self._late.is_troubled()
            for name, numbers in (samples or {}).items():
                self._push_array(f"samples/{name}", numbers, "act", _native.NO_UNITS)
            if is_troubled:
                self._lib.baro_trouble(self._handle, TROUBLE_STEPS)
            if self._watcher is not None and not is_more:
                self._watcher.close_step(is_troubled)
        except _Rejected as error:  # only with strict=True
            raise TypeError(str(error)) from None
        except Exception as error:  # the training goes on whatever happens here
            self._complain("log", f"log() failed: {error!r}")
        if self._far is not None:
            self._far.flush()
        if is_more:
            self._is_begun = False
        else:
            self._leave_step(step)
        spent = time.perf_counter() - self._native_s - began
        if self._watcher is not None:
            spent += self._watcher.take_spent()
        self._spent(0, spent + self._unbooked_s)
        self._unbooked_s = 0.0

    def _log_plainly(self, values, began):
        """log() of nothing but numbers that are known, in one call; False: there is more to it."""
        late = self._late
        if (type(values) is not dict or self._own_values or self._far is not None
                or late._waiting or late._is_troubled):
            return False
        try:
            form = self._form
            if tuple(values) != form[0]:
                form = self._learn_form(values)
                if form is None:
                    return False
            numbers = array.array("d")
            is_troubled = False
            for value in values.values():
                if type(value) is not float:
                    value = None if _tensors.is_elsewhere(value) else as_number(value)
                    if value is None:
                        return False
                numbers.append(value)
        except Exception:
            return False  # the long way round tells what is wrong
        try:
            for watchdog, number in zip(form[1], numbers):
                is_troubled |= watchdog.sees_trouble(number)
            step = -1
            if not self._is_begun:
                self._is_begun = True
                step = self._told_step = self._next_step
            self._lib.baro_turn(self._handle, step, form[3], numbers.buffer_info()[0],
                               len(numbers), int(self._unbooked_s * 1e9))
            self._unbooked_s = 0.0
            if is_troubled:
                self._lib.baro_trouble(self._handle, TROUBLE_STEPS)
            if self._watcher is not None:
                self._watcher.close_step(is_troubled)
                self._unbooked_s = self._watcher.take_spent()
        except Exception as error:  # the training goes on whatever happens here
            self._complain("log", f"log() failed: {error!r}")
        self._is_begun = False
        if self._next_step < _native.MAX_STEP:
            self._next_step += 1
        now = time.perf_counter()
        if now >= self._news_at:
            self._hear(self._handle)
        self._unbooked_s += now - self._native_s - began
        return True

    def _learn_form(self, values):
        """Remember a dictionary's names: (names, watchdogs, array of ids, where that lies).

        None when they are not just known scalars.
        """
        form = tuple(values)
        known = [self._scalars.get(name) for name in form if type(name) is str]
        if len(known) < len(form) or any(one is None or one[0] <= 0 for one in known):
            return None  # they are declared by the long way round
        ids = array.array("q", [one[0] for one in known])
        self._form = found = (form, [one[1] for one in known], ids, ids.buffer_info()[0])
        return found

    def tensor(self, name, array, role="act", unit_axis=None):
        """Summarise one array at the step under way.

        array      NumPy array, torch tensor, or anything with __array_interface__
        role       "weight", "grad", "act" (axis 0 is the batch), "act_grad", "update",
                   "input", "opt"
        unit_axis  axis of neurons, channels, heads; -1 for none; default: by role and shape
        """
        if self._handle is None:
            return
        try:
            if role not in _native.ROLES:
                raise TypeError(f"role is one of {', '.join(_native.ROLES)}, not {role!r}")
            if unit_axis is not None:
                unit_axis = _as_index(unit_axis, "unit_axis")
        except TypeError as error:
            self._reject(error)
            return
        try:
            self._begin_step()
            self._push_array(str(name), array, role, unit_axis)
        except _Rejected as error:
            raise TypeError(str(error)) from None
        except Exception as error:
            self._complain("tensor", f"tensor() failed: {error!r}")

    def event(self, text, level="info"):
        """Note something at the step under way; level: "info", "watch" or "alarm"."""
        if not isinstance(level, str) or level not in _native.LEVELS:
            self._reject(f"level is one of {', '.join(_native.LEVELS)}, not {level!r}")
            level = "info"
        try:
            if self._handle is not None:
                self._lib.baro_event(self._handle, _native.LEVELS[level],
                                     _tensors.name_bytes(text))
        except Exception as error:  # its text cannot be had
            self._complain("event", f"event() failed: {error!r}")

    def alert(self, title, text="", level="watch"):
        """Note something that a person should look at."""
        try:
            text = f"{title}: {text}" if text is not None and str(text) else title
        except Exception as error:
            self._complain("alert", f"alert() failed: {error!r}")
            return
        self.event(text, level)

    def watch(self, model, optimizer=None, every=None,
              roles=("input", "weight", "grad", "act", "act_grad", "update", "opt"),
              include=None, exclude=None, name=None):
        """Follow a torch model: inputs, weights, gradients, activations and their gradients,
        what the optimiser's steps do, and what it remembers.

        optimizer  an optimiser or a list of them; default: those that hold the parameters
        every      measure each n-th step; default: as often as the budget allows
        roles      which of "input", "weight", "grad", "act", "act_grad", "update", "opt"
        include, exclude  glob patterns on names, e.g. "encoder.*"; a string or a list
        name       put before all names of this model, for runs with several; also the name
                   of its input, else "input"
        """
        if self._handle is None:
            return
        try:
            from . import _watch
            faults, optimizers, every, roles, include, exclude = _watch.check(
                model, optimizer, every, roles, include, exclude)
        except Exception as error:
            self._complain("watch", f"watch() failed: {error!r}")
            return
        for fault in faults:
            self._reject(fault)
        if any("torch.nn.Module" in fault for fault in faults):
            return
        try:
            if self._watcher is None:
                self._watcher = _watch.Watcher(self)
            self._watcher.add(model, optimizers, every, roles, include, exclude, name)
        except Exception as error:
            self._complain("watch", f"watch() failed: {error!r}")

    def stats(self):
        """libbaro's own figures as a dictionary: pushed, sent, acknowledged, dropped, ...

        After finish() the last ones.
        """
        figures = self._figures
        if self._handle is not None:
            self._lib.baro_stats(self._handle, ctypes.byref(figures))
        return {name: getattr(figures, name) for name, _ in figures._fields_}

    def finish(self, timeout=5.0, status=None, text=None):
        """End the run; waits at most timeout seconds for the daemon to have everything.

        status  "finished" (default) or "failed"
        text    why it failed
        """
        if self._handle is None:
            return
        if status not in (None, "finished", "failed"):
            self._reject(f"status is 'finished' or 'failed', not {status!r}")
            status = None
        began = time.monotonic()
        if self._watcher is not None:
            if self._told_step is not None:
                self._watcher.measure_last(min(timeout, LAST_LOOK_S))
            self._watcher.remove()
        self._late.push(max(0.0, timeout - (time.monotonic() - began)))
        if self._far is not None:
            self._far.push(max(0.0, timeout - (time.monotonic() - began)))
        handle, self._handle = self._handle, None
        _live.discard(self)
        figures = self._figures
        self._lib.baro_stats(handle, ctypes.byref(figures))
        self._hear(handle)
        if not figures.is_connected:
            timeout = min(timeout, NO_ANSWER_WAIT_S)
        if status == "failed":
            self._lib.baro_fail(handle, _tensors.name_bytes(text) if text else None)
        timeout -= time.monotonic() - began
        rc = self._lib.baro_close(handle, max(0, int(timeout * 1000)))
        self._lib.baro_stats(handle, ctypes.byref(figures))
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
        if not self._is_begun:
            self._is_begun = True
            self._tell_step(self._next_step)

    def _tell_step(self, step):
        self._late.push()  # what has arrived by now of the steps before
        if self._far is not None:
            self._far.push()
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
        if time.perf_counter() >= self._news_at:
            self._hear(self._handle)

    _news_at = 0.0

    def _hear(self, handle):
        """Warn of what libbaro has to say: no daemon, a key that is refused, a full ring."""
        self._news_at = time.perf_counter() + NEWS_S
        text = ctypes.create_string_buffer(256)
        if self._lib.baro_news(handle, text, len(text)):
            try:
                warnings.warn(f"barograph: {text.value.decode('utf-8', 'replace')}", stacklevel=4)
            except Warning:  # of python -W error: nobody made a mistake here
                pass

    # ---- pushing ----

    def _push_values(self, values, prefix, depth):
        """Push a dictionary; tells whether one of its numbers begins to be trouble."""
        is_troubled = False
        ids = []
        numbers = []
        known_scalars = self._scalars
        for key, value in values.items():
            name = f"{prefix}{key}" if prefix or type(key) is not str else key
            if type(value) is not float:
                if _tensors.is_elsewhere(value):
                    self._late.take(name, value)
                    continue
                number = as_number(value)
                if number is None:
                    if not isinstance(value, collections.abc.Mapping):
                        self._push_array(name, value, "act", None)
                    elif depth < MAX_DEPTH:
                        self._push_numbers(ids, numbers)
                        ids, numbers = [], []
                        is_troubled |= self._push_values(value, f"{name}/", depth + 1)
                    else:
                        self._complain("depth", f"'{name}' is nested too deep and left out")
                    continue
                value = number
            known = known_scalars.get(name) or self._declared_scalar(name)
            if known[0] > 0:
                ids.append(known[0])
                numbers.append(value)
                is_troubled |= known[1].sees_trouble(value)
        self._push_numbers(ids, numbers)
        return is_troubled

    def _push_numbers(self, ids, numbers):
        """Push declared scalars: in one call, which costs more than all that libbaro does in it."""
        if len(ids) == 1:
            self._lib.baro_scalar_id(self._handle, ids[0], numbers[0])
        elif ids:
            id_array, number_array = array.array("q", ids), array.array("d", numbers)
            self._lib.baro_scalars(self._handle, id_array.buffer_info()[0],
                                   number_array.buffer_info()[0], len(ids))

    def _push_own(self, values):
        """Push scalars of ours; those that the program logs by itself are its."""
        own, self._own_values = self._own_values, {}
        is_troubled = self._push_values({name: value for name, value in own.items()
                                         if not values or name not in values}, "", 0)
        # Gradients that overflow under a loss scale are no trouble: the step was skipped for it.
        return is_troubled and "skipped_steps" not in own

    def _own(self, name, value):
        """Log a scalar of ours with the step under way."""
        self._own_values[name] = value

    def _push_scalar(self, name, number):
        known = self._declared_scalar(name)
        if known[0] <= 0:
            return False
        self._lib.baro_scalar_id(self._handle, known[0], number)
        return known[1].sees_trouble(number)

    def _push_scalar_at(self, name, number, step):
        """Push a number that belongs to an earlier step."""
        known = self._declared_scalar(name)
        if known[0] <= 0:
            return False
        self._lib.baro_scalar_at(self._handle, known[0], step, number)
        return known[1].sees_trouble(number)

    def _declared_scalar(self, name):
        """Id (not above 0: refused) and watchdog of a scalar."""
        known = self._scalars.get(name)
        if known is None:
            number_id = self._lib.baro_declare_scalar(self._handle, _tensors.name_bytes(name))
            known = (number_id, Watchdog())
            if number_id > 0 or len(self._scalars) < MAX_NAMES:
                self._scalars[name] = known
            if number_id <= 0:
                self._complain("scalar", f"the scalar '{name[:80]}' is left out: "
                               f"{self._strerror(number_id)}")
        return known

    def _push_array(self, name, array, role, unit_axis):
        view = self._views.get((name, role))
        if view is None:
            view = _tensors.View(name, role)
            if len(self._views) < MAX_NAMES:
                self._views[(name, role)] = view
        view.axis = unit_axis
        try:
            if _tensors.is_torch(array) and _tensors.is_far(array):
                tensor = _tensors.plain(array, view)
                view.set_torch(tensor)
                self._take_far(view, tensor)
                return
            keep = _tensors.point_at(view, array)
        except _tensors.Unsupported as reason:
            text = f"'{name[:80]}' is left out: {reason}"
            if self._is_strict:
                raise _Rejected(text) from None
            self._complain(("array", name), text)
            return
        self._push_view(view)
        del keep

    def _push_view(self, view):
        """Summarise what a view points at; a tensor that is refused is left alone from then."""
        began = time.perf_counter()
        rc = self._lib.baro_tensor(self._handle, view.ref)
        self._native_s += time.perf_counter() - began
        if rc < 0:
            self._refuse(view, rc)

    def _refuse(self, view, rc):
        """libbaro does not take a tensor: leave it alone from now."""
        view.is_broken = True
        self._complain(("view", view.role), f"'{view.name[:80]}' ({view.role}) is left out: "
                       f"{self._strerror(rc)}")

    def _take_far(self, view, tensor, before=None):
        """Have a tensor measured on the device that it lies on; see _device.py."""
        if self._far is None:
            self._far = _device.Far(self)
        if view.hint == _tensors.TIME_FIRST and tensor.dim() >= 3:
            tensor = tensor.transpose(0, 1)  # as the view shows it
        return self._far.take(view, tensor, before)

    def _push_row(self, row, first, end):
        """Summarise neighbours of a row in one call."""
        began = time.perf_counter()
        rc = self._lib.baro_tensors(self._handle, row.address(first), end - first)
        self._native_s += time.perf_counter() - began
        if rc < 0:
            row.is_doubtful = True

    def _declare(self, view):
        """Give a view its id in libbaro; False, and told, when it is refused."""
        number = self._lib.baro_declare_tensor(self._handle, view.ref)
        if number > 0:
            view.id = view.struct.id = number
            return True
        view.is_broken = True
        if number < 0:
            self._complain(("view", view.role), f"'{view.name}' ({view.role}) is left out: "
                           f"{self._strerror(number)}")
        return False

    # ---- the governor ----

    def _due(self, ids, n, answers):
        """Ask which of n tensors are due; answers holds a byte for each. Returns how many."""
        if self._handle is None:
            return 0
        began = time.perf_counter()
        n_due = self._lib.baro_due(self._handle, ids, n, answers)
        self._native_s += time.perf_counter() - began
        return n_due

    def _spent(self, number, seconds):
        """Book own time for a tensor, 0: for none."""
        try:
            if self._handle is not None and seconds > 0:
                self._lib.baro_spent(self._handle, number, int(seconds * 1e9))
        except Exception as error:
            self._complain("spent", f"own time is not counted: {error!r}")

    def _push_batch(self, batch):
        if _tensors.is_torch(batch):
            if not batch.is_cpu:
                if batch.is_floating_point() or batch.is_complex() or batch.device.type == "meta":
                    self._complain("batch", "batch must hold the indices of samples; "
                                   f"{batch.dtype} on {batch.device.type} is left out")
                else:
                    self._late.take_batch(batch)
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

    def _as_mapping(self, values, what, example):
        if values is None or isinstance(values, collections.abc.Mapping):
            return values
        self._reject(f"log() takes {what} as a dictionary like {example}, not "
                     f"'{type(values).__name__}'")
        return None

    def _reject(self, fault):
        """A mistake in the program: told once by an event and a warning; strict: TypeError."""
        if self._is_strict:
            raise TypeError(str(fault)) from None
        if ("reject", str(fault)) not in self._complaints:
            self._complain(("reject", str(fault)), str(fault))
            warnings.warn(f"barograph: {fault}", stacklevel=4)

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

    _exit_note = None  # (where the run was, why it fails) when sys.exit() was called

    def _note_exit(self, text):
        self._exit_note = ((self._next_step, self._is_begun), text)

    def _exit_text(self):
        """Why the program ends with a status of failure; None: it does not, or went on since."""
        place, text = self._exit_note or (None, None)
        return text if place == (self._next_step, self._is_begun) else None

    def _forget(self):
        """In a child after fork(): be silent, without touching what the parent owns."""
        self._handle = None
        if self._watcher is not None:
            self._watcher.remove()


class _Rejected(Exception):
    """A value that cannot be recorded, with strict=True."""


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
        return INTERRUPTED
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
