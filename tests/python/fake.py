# SPDX-License-Identifier: Apache-2.0
"""A libbaro made of Python: notes every call, and reads what tensors point at."""
import ctypes
import math

import tap  # noqa: F401  (sets the path to the package)

import barograph
from barograph import _native

_C_TYPES = {1: ctypes.c_float, 2: ctypes.c_double, 5: ctypes.c_int8, 6: ctypes.c_int16,
            7: ctypes.c_int32, 8: ctypes.c_int64, 9: ctypes.c_uint8, 10: ctypes.c_uint8}
_ROLE_NAMES = {number: name for name, number in _native.ROLES.items()}


class Fake:
    """Stands in for the loaded library; calls holds (step, what, ...) in order."""

    def __init__(self, refuse=()):
        self.calls = []
        self.declared = []    # tensors: (name, role, shape)
        self.step = None
        self.names = {}
        self.refuse = refuse
        self.tensors = {}     # (name, role): id, as the governor knows them
        self.is_due = None    # what the governor answers: f(name, role); None: all are due
        self.forced = 0       # steps that are due whole
        self.n_asked = 0
        self.spent = {}       # id: nanoseconds
        self.making = []      # probes, also those that were dropped
        self.probes = []      # those that were not
        self.has_spare = 1    # what the budget is said to have

    def baro_open(self, options, error):
        self.options = options._obj
        return 1

    def baro_run_id(self, handle):
        return b"fake"

    def baro_ring_path(self, handle):
        return b"/nowhere"

    def baro_strerror(self, code):
        return b"refused by the test"

    def baro_stats(self, handle, stats):
        return 0

    def baro_take_back(self, handle, step):
        self.step = step
        self.calls.append((step, "take_back"))
        return 0

    def baro_step(self, handle, step):
        self.step = step
        self.forced = max(0, self.forced - 1)
        self.calls.append((step, "step"))
        return 0

    def _name_of(self, t):
        """A tensor's name; one that has been declared may go by its id alone."""
        return t.name.decode() if t.name is not None else next(
            key[0] for key, number in self.tensors.items() if number == t.id)

    def baro_declare_tensor(self, handle, reference):
        t = reference._obj
        shape = [t.shape[d] for d in range(t.n_dims)]
        self.declared.append((t.name.decode(), _ROLE_NAMES[t.role], shape))
        key = (t.name.decode(), _ROLE_NAMES[t.role])
        return self.tensors.setdefault(key, 1000 + len(self.tensors))

    def baro_due(self, handle, ids, n, answers):
        self.n_asked += 1
        keys = {number: key for key, number in self.tensors.items()}
        for i in range(n):
            answers[i] = bool(self.is_due is None or self.forced or self.is_due(*keys[ids[i]]))
        return sum(answers[:n])

    def baro_spent(self, handle, number, ns):
        self.spent[number] = self.spent.get(number, 0) + ns
        return 0

    def baro_has_spare(self, handle):
        return self.has_spare

    def baro_is_finite(self, dtype, data, n):
        kind = _C_TYPES[dtype]  # of the types that it is asked about only those are in use here
        return int(all(math.isfinite(one) for one in (kind * n).from_address(data)) if n else 1)

    def baro_trouble(self, handle, n_steps):
        self.forced = n_steps + 1
        return 0

    def baro_declare_scalar(self, handle, name):
        if not name:
            return -1
        self.names[len(self.names) + 1] = name.decode()
        return len(self.names)

    def baro_scalar_id(self, handle, number, value):
        self.calls.append((self.step, "scalar", self.names[number], value))
        return 0

    def baro_scalars(self, handle, numbers, values, n):
        numbers = (ctypes.c_int64 * n).from_address(numbers)
        values = (ctypes.c_double * n).from_address(values)
        for number, value in zip(numbers, values):
            self.baro_scalar_id(handle, number, value)
        return 0

    def baro_turn(self, handle, step, numbers, values, n, spent_ns):
        if step.value >= 0:
            self.baro_step(handle, step.value)
        self.baro_spent(handle, 0, spent_ns.value)
        return self.baro_scalars(handle, ctypes.addressof(numbers._obj),
                                 ctypes.addressof(values._obj), n.value)

    def baro_scalar_at(self, handle, number, step, value):
        self.calls.append((step, "scalar", self.names[number], value))
        return 0

    def baro_update(self, handle, before, after):
        self.calls.append((self.step, "update", after._obj.name.decode()))
        return 0

    def baro_summary_at(self, handle, reference, step, summary):
        t, s = reference._obj, summary._obj
        if t.name.decode() in self.refuse:
            return -1
        self.calls.append((step, "summary", t.name.decode(), _ROLE_NAMES[t.role],
                           {name: getattr(s, name) for name, _ in s._fields_}))
        return 0

    def baro_news(self, handle, text, n_bytes):
        return 0

    def baro_batch(self, handle, samples, n):
        if isinstance(samples, int):
            samples = (ctypes.c_int64 * n).from_address(samples)
        self.calls.append((self.step, "batch", list(samples)))
        return 0

    def baro_samples(self, handle, step, samples, losses, correct, labels, n):
        columns = [None if at is None else list((kind * n).from_address(at)) for at, kind in (
            (samples, ctypes.c_int64), (losses, ctypes.c_float), (correct, ctypes.c_int8),
            (labels, ctypes.c_int32))]
        self.calls.append((self.step if step < 0 else step, "samples", *columns))
        return 0

    def baro_batch_at(self, handle, step, samples, n):
        numbers = (ctypes.c_int64 * min(n, 4096)).from_address(samples)
        self.calls.append((step, "batch", list(numbers), n))
        return 0

    def baro_event(self, handle, level, text):
        self.calls.append((self.step, "event", level, text.decode()))
        return 0

    def baro_fail(self, handle, text):
        self.calls.append((self.step, "fail", text and text.decode()))
        return 0

    def baro_close(self, handle, timeout_ms):
        self.calls.append((self.step, "close", timeout_ms))
        return 0

    def baro_tensor(self, handle, reference):
        t = reference._obj
        name = self._name_of(t)
        if name in self.refuse:
            return -1
        shape = [t.shape[i] for i in range(t.n_dims)]
        self.calls.append((self.step, "tensor", name, _ROLE_NAMES[t.role], shape, t.unit_axis,
                           _values(t, shape)))
        return 0

    def baro_tensors(self, handle, address, n):
        tensors = (_native.Tensor * n).from_address(address)
        return min(self.baro_tensor(handle, ctypes.byref(tensor)) for tensor in tensors)

    # ---- probes ----

    def baro_probe_begin(self, handle, options):
        o = options._obj
        self.making.append({"step": self.step if o.step < 0 else o.step, "reason": o.reason,
                            "n_batch": o.n_batch, "rows": [o.rows[i] for i in range(o.n_rows)],
                            "values": [], "ops": [], "loss": None, "origin": None, "is_cut": False})
        return len(self.making)

    def baro_probe_value(self, probe, reference):
        v = reference._obj
        shape = [v.shape[i] for i in range(v.n_dims)]
        values = self.making[probe - 1]["values"]
        values.append({"name": (v.name or b"").decode(), "kind": v.kind, "dtype": v.dtype,
                       "shape": shape, "batch": v.batch_axis, "unit": v.unit_axis,
                       "keep": v.keep, "data": _values(v, shape), "op": -1})
        return len(values) - 1

    def baro_probe_op(self, probe, reference):
        o, probe = reference._obj, self.making[probe - 1]
        op = {key: (getattr(o, key) or b"").decode() for key in ("name", "module", "source",
                                                                 "attrs")}
        op["inputs"] = [o.inputs[i] for i in range(o.n_inputs)]
        op["outputs"] = [o.outputs[i] for i in range(o.n_outputs)]
        op["is_backward"] = o.is_backward
        for number in op["inputs"]:
            assert number < len(probe["values"])
        for number in op["outputs"]:
            if number >= 0:
                value = probe["values"][number]
                assert value["op"] < 0 and value["kind"] == 0, (op, value)
                value["op"] = len(probe["ops"])
        probe["ops"].append(op)
        return len(probe["ops"]) - 1

    def baro_probe_loss(self, probe, value):
        self.making[probe - 1]["loss"] = value
        return 0

    def baro_probe_cut(self, probe):
        self.making[probe - 1]["is_cut"] = True
        return 0

    def baro_probe_origin(self, probe, reference):
        o = reference._obj
        self.making[probe - 1]["origin"] = {
            "op": o.op, "value": o.value, "is_gradient": o.is_gradient,
            "is_replayed": o.is_replayed, "is_exact": o.is_exact,
            "units": [o.units[i] for i in range(o.n_units)],
            "rows": [o.rows[i] for i in range(o.n_rows)], "cause": o.cause.decode()}
        return 0

    def baro_probe_end(self, probe, is_dropped):
        if not is_dropped:
            self.probes.append(self.making[probe - 1])
            self.calls.append((self.step, "probe", self.probes[-1]))
        return 0

    # ---- for tests ----

    def of(self, what, step=None):
        """Calls of one kind, without the kind."""
        return [call[:1] + call[2:] for call in self.calls
                if call[1] == what and step in (None, call[0])]

    def scalars(self):
        """All (step, name, value)."""
        return self.of("scalar")

    def names_of(self, role, step=None):
        """Names of the tensors of one role, in order."""
        return [name for _, name, r, *_ in self.of("tensor", step) if r == role]

    def shape_of(self, name, role):
        """Shape and unit axis of the first such tensor."""
        return next((shape, axis) for _, n, r, shape, axis, _ in self.of("tensor")
                    if (n, r) == (name, role))


def _values(t, shape):
    """The elements in row-major order; None for types that ctypes does not know."""
    kind = _C_TYPES.get(t.dtype)
    if kind is None or not t.data:
        return None
    strides = [t.strides[i] for i in range(t.n_dims)]
    indices = [0]
    for extent, stride in zip(shape, strides):
        indices = [i + k * stride for i in indices for k in range(extent)]
    if 0 in shape:
        return []
    size = ctypes.sizeof(kind)
    return [kind.from_address(t.data + i * size).value for i in indices]


def open_run(refuse=(), **options):
    """A run on a fresh fake library, after the end of all others; returns (run, fake)."""
    barograph._finish_all(None, None)
    library = Fake(refuse)
    _native._loaded = (library, "fake")
    options.setdefault("mode", "offline")
    run = barograph.init(**options)
    assert run.is_active
    return run, library
