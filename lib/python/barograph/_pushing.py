# SPDX-License-Identifier: Apache-2.0
"""The half of a run that talks to libbaro: numbers, tensors, batches, questions, trouble."""
import array
import collections.abc
import ctypes
import operator
import time
import warnings
from time import perf_counter

from . import _device, _native, _tensors
from ._form import Form
from ._late import Late
from ._numbers import as_number, whole
from ._states import States
from ._watchdog import TROUBLE_STEPS, Watchdog

MAX_STEP = _native.MAX_STEP
MAX_DEPTH = 8       # of nested dictionaries in log()
MAX_NAMES = 70000   # more than libbaro takes: further names are refused and not remembered
BOOKED_S = 20e-6    # less own time than this is told to libbaro later: telling it costs, too


class Rejected(Exception):
    """A value that cannot be recorded, with strict=True."""


def _as_floats(values):
    """The numbers of a dictionary as floats; TypeError when one is not at hand or none."""
    found = {}
    for name, value in values.items():
        if not _tensors.is_torch(value):
            value = as_number(value)
        elif value.is_cpu and value.numel() == 1:  # few calls: each finds the caches cold
            value = value.item()
        else:
            raise TypeError
        found[name] = float(value)
    return found


class Pushing:
    """What Run is made of; all of it is for the parts of this package."""

    def __init__(self, library, handle, share, is_strict):
        self._lib = library
        self._handle = handle
        self._share = share       # of the time that measuring may take
        self._is_strict = is_strict
        self._native_s = 0.0      # time within libbaro's calls that measure
        self._late = Late(self)   # numbers of another device, read when they are there
        self._far = None          # tensors of another device, measured there
        self._own_values = {}     # scalars of ours that go with the next log(): {name: value}
        self._scalars = {}        # name: (id in libbaro, watchdog)
        self._form = None         # of the numbers that log() was given last, while it is free
        self._unbooked_s = 0.0    # own time that is told to libbaro with the next log()
        self._views = {}          # (name, role): view, for tensor() and log()
        self._complaints = set()  # kinds of trouble that have been told
        self._watcher = None
        self._states = States(self)

    def _log_plainly(self, values, began):
        """log() of nothing but numbers that are known, in one call; False: there is more to it."""
        late = self._late
        if (type(values) is not dict or self._own_values or self._far is not None
                or late._waiting or late._is_troubled):
            return False
        form, self._form = self._form, None  # another thread's log() makes its own
        try:
            if form is None or tuple(values) != form.names:
                form = self._learn_form(values)
            for value in values.values():
                if type(value) is not float:
                    values = _as_floats(values)
                    break
        except Exception:
            self._form = form
            return False  # the long way round tells what is wrong
        try:
            is_troubled = False
            numbers = form.numbers
            at = 0
            for value in values.values():
                numbers[at] = value
                if form.looks[at](value):
                    is_troubled = True
                at += 1
            if self._is_begun:
                form.step.value = -1
            else:
                self._is_begun = True
                form.step.value = self._told_step = self._next_step
            if self._unbooked_s > BOOKED_S:
                form.spent_ns.value = int(self._unbooked_s * 1e9)
                self._unbooked_s = 0.0
                form.push()
                form.spent_ns.value = 0
            else:
                form.push()
            if is_troubled:
                self._lib.baro_trouble(self._handle, TROUBLE_STEPS)
            watcher = self._watcher
            if watcher is not None:
                watcher.close_step(is_troubled)
                self._unbooked_s += watcher.spent_s
                watcher.spent_s = 0.0
        except Exception as error:  # the training goes on whatever happens here
            self._complain("log", f"log() failed: {error!r}")
        self._form = form
        self._is_begun = False
        if self._next_step < MAX_STEP:
            self._next_step += 1
        self._states.begin(self._next_step)
        now = perf_counter()
        if now >= self._news_at:
            self._hear(self._handle)
        self._unbooked_s += now - self._native_s - began
        return True

    def _learn_form(self, values):
        """The form of a dictionary; LookupError when it holds more than known scalars."""
        names = tuple(values)
        known = [self._scalars.get(name) for name in names if type(name) is str]
        if not known or len(known) < len(names) or any(
                one is None or one[0] <= 0 for one in known):
            raise LookupError  # they are declared by the long way round
        return Form(self._lib, self._handle, names, known)

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
                raise Rejected(text) from None
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
        number = view.declare(lambda ref: self._lib.baro_declare_tensor(self._handle, ref))
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

    def _has_spare(self):
        """Tell whether the budget has room for what can be left out."""
        return self._handle is not None and self._lib.baro_has_spare(self._handle) != 0

    _gives_batches = False   # whoever trains says which samples a batch holds

    def _push_batch(self, batch):
        self._gives_batches = True
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
            indices = [operator.index(i) if not isinstance(i, float) else whole(i)
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
