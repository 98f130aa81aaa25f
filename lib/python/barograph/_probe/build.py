# SPDX-License-Identifier: Apache-2.0
"""A probe as libbaro takes it: values and operations of a trace, given one by one.

A Builder listens to a trace and gives each value away as it comes into being, so that nothing is
held. A Store keeps them instead, for a search whose outcome decides what is to be kept; it is
given to a Builder afterwards.
"""
import ctypes

import torch

from .. import _native, _tensors
from .trace import CONSTANT, MAX_OPERANDS, Value

REGULAR, ASKED, FAILURE = 1, 2, 3
NOTHING, ROWS, ALL = range(3)
SMALL_BYTES = 16384          # a value without samples is kept whole up to this at any rate
FAR_BYTES = 32 << 20         # of a value on another device that is copied here
MAX_STORED_BYTES = 2 << 30   # that a Store holds
_PLAIN = {torch.Tensor, torch.nn.Parameter, getattr(torch.nn, "Buffer", torch.Tensor)}


def rows_of(n_batch, n_rows, first=()):
    """Choose samples of a batch: the first ones given, then others evenly; sorted."""
    chosen = [row for row in dict.fromkeys(first) if 0 <= row < n_batch][:n_rows]
    n_more = min(n_rows, n_batch) - len(chosen)
    taken = set(chosen)
    for i in range(n_more):
        row = i * n_batch // max(n_more, 1)
        while row in taken:
            row = (row + 1) % n_batch
        taken.add(row)
    return sorted(taken)


def seed():
    """What torch's random numbers began with, as a tensor."""
    number = torch.initial_seed()
    return torch.tensor(number - (number >> 63 << 64))


class Builder:
    """One probe that is being built; begin() gives None when there is no room for one."""

    def __init__(self, run, handle, rows, n_batch, budget):
        self._run = run
        self._lib = run._lib
        self._probe = handle
        self._value = _native.ProbeValue()
        self._value_ref = ctypes.byref(self._value)
        self._shape = (ctypes.c_int64 * _native.MAX_DIMS)()
        self._strides = (ctypes.c_int64 * _native.MAX_DIMS)()
        self._value.shape = ctypes.cast(self._shape, ctypes.POINTER(ctypes.c_int64))
        self._value.strides = ctypes.cast(self._strides, ctypes.POINTER(ctypes.c_int64))
        self._op = _native.ProbeOp()
        self._op_ref = ctypes.byref(self._op)
        self._inputs = (ctypes.c_int32 * MAX_OPERANDS)()
        self._outputs = (ctypes.c_int32 * MAX_OPERANDS)()
        self._op.inputs = ctypes.cast(self._inputs, ctypes.POINTER(ctypes.c_int32))
        self._op.outputs = ctypes.cast(self._outputs, ctypes.POINTER(ctypes.c_int32))
        self._texts = {"": None}  # what libbaro is given for a text: most come many times
        self._numbers = {}        # number of a value here: there
        self.ops = {}             # likewise of operations
        self._n_batch = n_batch
        self._has_rows = len(rows) > 0
        self._whole_left = budget  # bytes of values without samples that may be kept whole
        self._failed = 0

    @classmethod
    def begin(cls, run, reason, step, n_batch, rows, max_bytes=0):
        """Begin a probe; None when libbaro has no room for one now."""
        options = _native.ProbeOptions()
        options.step, options.reason, options.n_batch = step, reason, n_batch
        numbers = (ctypes.c_int64 * len(rows))(*rows)
        options.n_rows = len(rows)
        options.rows = ctypes.cast(numbers, ctypes.POINTER(ctypes.c_int64))
        options.max_bytes = max_bytes
        handle = run._lib.baro_probe_begin(run._handle, ctypes.byref(options))
        if not handle:
            return None
        return cls(run, handle, rows, n_batch, (max_bytes or (8 << 20)) // 2)

    # ---- what a trace tells ----

    def before_write(self, value, tensor):
        """What a value held has been given away already."""

    def on_value(self, value, tensor):
        """Give a value away; tensor None: what it held is not at hand."""
        number = self._put(value, tensor, self._keep_of(value, tensor))
        if number >= 0:
            self._numbers[value.number] = number
        else:
            self._failed = self._failed or number

    def on_op(self, op):
        """Give an operation away."""
        known = self._numbers
        inputs = [-1 if one is None else known.get(one.number, -1) for one in op.inputs]
        outputs = [-1 if one is None else known.get(one.number, -1) for one in op.outputs]
        struct = self._op
        struct.name = self._text(op.name)
        struct.module = self._text(op.module)
        struct.source = self._text(op.source)
        struct.attrs = self._text(op.attrs)
        struct.is_backward = op.is_backward
        n_inputs = struct.n_inputs = min(len(inputs), MAX_OPERANDS)
        n_outputs = struct.n_outputs = min(len(outputs), MAX_OPERANDS)
        self._inputs[:n_inputs] = inputs[:MAX_OPERANDS]
        self._outputs[:n_outputs] = outputs[:MAX_OPERANDS]
        number = self._lib.baro_probe_op(self._probe, self._op_ref)
        if number >= 0:
            self.ops[op.number] = number
        else:
            self._failed = self._failed or number

    def _number(self, value):
        return -1 if value is None else self._numbers.get(value.number, -1)

    def _text(self, text):
        known = self._texts.get(text, self)
        if known is self:
            known = self._texts[text] = _text(text)
        return known

    def _keep_of(self, value, tensor):
        if value.batch >= 0 and self._has_rows:
            return ROWS
        n_bytes = tensor.numel() * tensor.element_size() if tensor is not None else 0
        if n_bytes > SMALL_BYTES:
            if n_bytes > self._whole_left:
                return NOTHING
            self._whole_left -= n_bytes
        return ALL

    def _put(self, value, tensor, keep):
        struct = self._value
        memory = _memory(tensor)
        shape = value.shape
        batch, unit = value.batch, value.unit
        if len(shape) > _native.MAX_DIMS:
            shape, batch, unit = (_numel(shape),), -1, -1
            memory = memory.reshape(-1) if memory is not None else None
            keep = NOTHING if keep == ROWS else keep
        struct.name = self._text(value.name)
        struct.kind = value.kind
        struct.dtype = _native.DTYPES.get(_tensors.torch_dtype(value.dtype), 1)
        n = struct.n_dims = len(shape)
        self._shape[:n] = shape
        struct.data = None
        if memory is not None:
            self._strides[:n] = memory.stride()
            struct.data = memory.data_ptr() or ctypes.addressof(self._shape)
        else:
            self._strides[:n] = _dense(shape)
        struct.batch_axis, struct.unit_axis = batch, unit
        struct.keep = keep if memory is not None else NOTHING
        return self._lib.baro_probe_value(self._probe, self._value_ref)

    # ---- the end ----

    def constant(self, name, tensor):
        """Add something that belongs to the step and to no operation."""
        self._put(Value(-1, CONSTANT, name, tensor), tensor, ALL)

    def loss(self, value):
        """Say which value is the loss."""
        self._lib.baro_probe_loss(self._probe, self._number(value))

    def cut(self):
        """Say that the step had more operations than are given."""
        self._lib.baro_probe_cut(self._probe)

    def origin(self, origin):
        """Say where something became non-finite; origin: Origin of moment.py."""
        struct = _native.ProbeOrigin()
        struct.op = self.ops.get(origin.op.number, -1) if origin.op is not None else -1
        struct.value = self._number(origin.value)
        struct.is_gradient = int(origin.is_gradient)
        struct.is_replayed = int(origin.is_replayed)
        struct.is_exact = int(origin.is_exact)
        units = (ctypes.c_int64 * len(origin.units))(*origin.units)
        rows = (ctypes.c_int64 * len(origin.rows))(*origin.rows)
        struct.n_units, struct.n_rows = len(units), len(rows)
        struct.units = ctypes.cast(units, ctypes.POINTER(ctypes.c_int64))
        struct.rows = ctypes.cast(rows, ctypes.POINTER(ctypes.c_int64))
        struct.cause = _text(origin.cause)
        return self._lib.baro_probe_origin(self._probe, ctypes.byref(struct))

    def end(self, is_dropped=False):
        """Put the probe into the ring, or drop it; 0, or why it is not there."""
        probe, self._probe = self._probe, None
        if probe is None:
            return 0
        rc = self._lib.baro_probe_end(probe, int(is_dropped))
        return rc if rc < 0 else self._failed


class Store:
    """Keeps what each value held: the tensor itself, or a copy once it is written into."""

    def __init__(self, max_bytes=MAX_STORED_BYTES):
        self.tensors = {}     # number of a value: tensor
        self._nodes = {}      # number of a value that was written over: its node of the graph
        self._left = max_bytes

    def on_value(self, value, tensor):
        """Keep a value."""
        n_bytes = tensor.numel() * tensor.element_size()
        if n_bytes <= self._left:
            self._left -= n_bytes
            self.tensors[value.number] = tensor

    def before_write(self, value, tensor):
        """A value is about to be written over: keep a copy."""
        if self.tensors.get(value.number) is tensor:
            self._nodes[value.number] = tensor.grad_fn
            self.tensors[value.number] = tensor.detach().clone()

    def on_op(self, op):
        """Nothing of it is kept here."""

    def close(self):
        """Keep nothing any longer."""
        self.tensors.clear()
        self._nodes.clear()

    def get(self, value):
        """What a value held, or None."""
        return self.tensors.get(value.number)

    def node_of(self, value):
        """The node of autograd's graph that a value came from, or None."""
        if value.number in self._nodes:
            return self._nodes[value.number]
        tensor = self.tensors.get(value.number)
        return tensor.grad_fn if tensor is not None else None


def _text(text):
    return text.replace("\0", "\ufffd").encode("utf-8", "replace")[:4000] if text else None


def _numel(shape):
    n = 1
    for extent in shape:
        n *= extent
    return n


def _dense(shape):
    strides, n = [], 1
    for extent in reversed(shape):
        strides.insert(0, n)
        n *= extent
    return strides


def _memory(tensor):
    """The tensor in main memory whose bytes hold these values; None: there is none."""
    if tensor is None or tensor.layout is not torch.strided:
        return None
    if _tensors.torch_dtype(tensor.dtype) not in _native.DTYPES:
        return None
    if type(tensor) not in _PLAIN:
        catches = getattr(type(tensor), "__torch_dispatch__", None)
        if catches is not None and "disabled" not in getattr(catches, "__name__", ""):
            return None
    if tensor.is_cpu:
        return tensor if not tensor.is_neg() else tensor.detach().resolve_neg()
    if tensor.device.type == "meta" or tensor.numel() * tensor.element_size() > FAR_BYTES:
        return None
    return tensor.detach().cpu()

