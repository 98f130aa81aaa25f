# SPDX-License-Identifier: Apache-2.0
"""Views of arrays for libbaro: cached C structures that only change where the array did.

A view borrows the array's memory for one call. Nothing is copied, converted or synchronised.
"""
import ctypes
import math
import sys

from . import _device, _native

NO_UNITS = _native.NO_UNITS
LAST = "last"          # hint: the units lie along the last axis
FIRST_AFTER = "one"    # hint: along axis 1, behind the batch
TIME_FIRST = "swap"    # hint: (time, batch, units): shown to libbaro as (batch, time, units)


class Unsupported(TypeError):
    """This array cannot be measured; the text says why."""


class Passing(Unsupported):
    """Nor can this one, but the next of its name may."""


def act_unit_axis(n_dims, hint):
    """Choose the axis of units of an activation; axis 0 is the batch."""
    if n_dims < 2:
        return _native.NO_UNITS
    if n_dims == 2 or hint == FIRST_AFTER:
        return 1
    if hint in (LAST, TIME_FIRST):
        return n_dims - 1
    return 1 if n_dims >= 4 else n_dims - 1


class View:
    """One tensor of the run: name, role, and the C structure that describes it."""

    __slots__ = ("struct", "ref", "name", "role", "hint", "axis", "shape", "strides",
                 "dtype", "stamp", "due", "id", "place", "at", "owner", "phase", "is_broken",
                 "n_rows", "_keep", "__weakref__")

    def __init__(self, name, role, struct=None, hint=None, axis=None):
        self.struct = _native.Tensor() if struct is None else struct
        self.ref = ctypes.byref(self.struct)
        self.name = name
        self.role = role
        self.hint = hint
        self.axis = axis          # fixed axis of units, or None: chosen by role and shape
        self.shape = None
        self.strides = None
        self.dtype = None
        self.stamp = -1           # stamp of the step that it was last measured in
        self.due = -1             # stamp of the step in which it is due
        self.id = 0               # in libbaro; 0 until it is declared, and when its layout changes
        self.place = None         # among those that the governor is asked about
        self.at = 0               # in its row
        self.owner = None         # whose it is: want(view) is called when it is due
        self.phase = None         # training, evaluation or without gradients
        self.is_broken = False    # failed once; left alone since
        self.n_rows = None        # of a sparse gradient: of its parameter
        encoded = name_bytes(name)
        self._keep = (encoded, None, None)
        self.struct.name = encoded
        self.struct.role = _native.ROLES[role]

    def is_wanted(self, stamp):
        """Tell whether it is to be measured in this step: due or new, and not measured yet."""
        return ((self.due == stamp or self.id == 0) and self.stamp != stamp
                and not self.is_broken)

    def move(self, struct):
        """Describe the tensor in another structure from now on: a place in an array."""
        ctypes.memmove(ctypes.byref(struct), self.ref, ctypes.sizeof(struct))
        self.struct = struct
        self.ref = ctypes.byref(struct)

    def declare(self, declare):
        """What declare() says to the tensor. A sparse gradient is declared with all rows of its
        parameter; from then on it goes by its id, for it has other rows each time."""
        if self.n_rows is None:
            return declare(self.ref)
        extents = self._keep[1]
        n_here, extents[0] = extents[0], self.n_rows
        number = declare(self.ref)
        extents[0] = n_here
        self.struct.name = None
        return number

    def _describe(self, dtype, shape, strides):
        number = _native.DTYPES.get(dtype)
        if number is None:
            raise Unsupported(f"element type {dtype} is not supported")
        n_dims = len(shape)
        if n_dims > _native.MAX_DIMS:
            raise Unsupported(f"{n_dims} dimensions are more than {_native.MAX_DIMS}")
        if self.hint == TIME_FIRST and n_dims >= 3:
            shape = (shape[1], shape[0]) + tuple(shape[2:])
            strides = (strides[1], strides[0]) + tuple(strides[2:])
        extents = (ctypes.c_int64 * n_dims)(*shape)
        steps = (ctypes.c_int64 * n_dims)(*strides)
        struct = self.struct
        struct.name = self._keep[0]
        struct.dtype = number
        struct.n_dims = n_dims
        struct.shape = extents
        struct.strides = steps
        struct.unit_axis = self._unit_axis(n_dims)
        self._keep = (self._keep[0], extents, steps)
        self.id = struct.id = 0

    def _unit_axis(self, n_dims):
        if self.axis is not None:
            return self.axis if -1 <= self.axis < n_dims else _native.NO_UNITS
        if self.role in ("act", "act_grad", "input"):
            return act_unit_axis(n_dims, self.hint)
        return 0 if n_dims >= 1 else _native.NO_UNITS

    def choose_axis(self, n_dims):
        """Choose the axis of units as for so many dimensions, whatever is added to them."""
        if self.axis is None:
            self.axis = self._unit_axis(n_dims)

    def set_torch(self, tensor):
        """Point at a dense CPU tensor of torch."""
        shape = tensor.shape
        strides = tensor.stride()
        dtype = tensor.dtype
        if (self.n_rows is not None and self.id and dtype is self.dtype
                and strides == self.strides and shape[1:] == self.shape[1:]):
            self._keep[1][0] = shape[0]
        elif shape != self.shape or strides != self.strides or dtype is not self.dtype:
            self._describe(torch_dtype(dtype), shape, strides)
            self.shape, self.strides, self.dtype = shape, strides, dtype
        self.struct.data = tensor.data_ptr()

    def set_raw(self, data, dtype, shape, strides):
        """Point at memory; strides in elements."""
        self._describe(dtype, shape, strides)
        self.shape = self.strides = self.dtype = None
        self.struct.data = data


_TENSOR_BYTES = ctypes.sizeof(_native.Tensor)


class Row:
    """Views side by side in one array of structures, so that one call measures them all."""

    def __init__(self, views):
        self.views = views
        self.array = (_native.Tensor * len(views))()
        self._address = ctypes.addressof(self.array)
        self.is_doubtful = False  # one of them was refused: go one by one, to find which
        for at, (view, struct) in enumerate(zip(views, self.array)):
            view.move(struct)
            view.at = at

    def address(self, index):
        """Where a view's structure lies."""
        return self._address + index * _TENSOR_BYTES


def name_bytes(name):
    """A name as libbaro takes it: UTF-8 without NUL."""
    return str(name).replace("\0", "\ufffd").encode("utf-8", "replace")


_kinds = {}   # of each type met, whether it is a torch tensor
_dtypes = {}  # torch.dtype: name


def is_torch(value):
    """Tell a torch tensor without importing torch."""
    kind = type(value)
    known = _kinds.get(kind)
    if known is None:
        known = _kinds[kind] = hasattr(kind, "data_ptr") and hasattr(kind, "stride")
    return known


def is_elsewhere(value):
    """Tell a number that lies on another device: reading it now would make the program wait."""
    return is_torch(value) and not value.is_cpu and value.numel() == 1


def is_far(tensor):
    """Tell a tensor that is measured on the device that it lies on."""
    return (not tensor.is_cpu or _device.is_forced) and _device.is_here(tensor.device.type)


def late_reader(tensor, as_what=float):
    """Copy a tensor to main memory without waiting; returns read(waits), None: not there yet.

    as_what  makes what is read out of the copy
    """
    if tensor.device.type == "meta":
        raise Unsupported("it is on meta and has no value")
    copy = tensor.detach().to("cpu", non_blocking=True)
    event = None
    if tensor.device.type == "cuda":
        cuda = sys.modules["torch"].cuda
        with cuda.device(tensor.device):
            event = cuda.Event()
            event.record()

    def read(waits):
        if event is not None:
            if waits:
                event.synchronize()
            elif not event.query():
                return None
        return as_what(copy)

    return read


def torch_dtype(dtype):
    """Name of an element type of torch: "float32"."""
    name = _dtypes.get(dtype)
    if name is None:
        name = _dtypes[dtype] = str(dtype)[6:]
    return name


def point_at(view, value):
    """Point a view at a torch tensor, a NumPy array, or anything with __array_interface__.

    Returns what must stay alive during the call. Raises Unsupported.
    """
    if is_torch(value):
        check_torch(value)
        value = as_real(value, view) if value.is_complex() else value
        view.set_torch(value)
        return value
    interface = getattr(value, "__array_interface__", None)
    if interface is not None:
        return _point_at_interface(view, value, interface)
    if isinstance(value, (list, tuple)) and value:
        try:
            numbers = (ctypes.c_double * len(value))(*value)
        except TypeError:
            raise Unsupported("a list must hold numbers only") from None
        view.set_raw(ctypes.addressof(numbers), "float64", (len(value),), (1,))
        return numbers
    raise Unsupported(f"a '{type(value).__name__}' is neither a number nor an array")


_plain = {}  # of each type of tensor, whether its values are plain memory


def plain(tensor, view):
    """The tensor whose memory holds these values; Unsupported where there is none.

    A sparse gradient gives its values, as they lie there, with their columns as units.
    """
    kind = type(tensor)
    is_plain = _plain.get(kind)
    if is_plain is None:
        is_plain = _plain[kind] = _has_memory(kind)
    if not is_plain:
        raise Passing(f"a '{kind.__name__}' has no memory of its own")
    is_near = tensor.is_cpu or is_far(tensor)
    if is_near and _layout(tensor) == "strided":
        return as_real(tensor, view) if tensor.is_complex() else tensor
    if is_near and tensor.is_sparse:
        view.axis = 1 if tensor.dense_dim() > 0 else NO_UNITS
        view.n_rows = math.prod(tensor.shape[:tensor.sparse_dim()])
        return tensor._values()
    check_torch(tensor)
    return tensor


def as_real(tensor, view):
    """A complex tensor as it lies in memory: real and imaginary parts along one axis more."""
    view.choose_axis(tensor.dim())
    return sys.modules["torch"].view_as_real(tensor.detach().resolve_conj())


def _has_memory(kind):
    """Tell subclasses that only look like tensors: those that catch every operation."""
    catches = getattr(kind, "__torch_dispatch__", None)
    return catches is None or "disabled" in getattr(catches, "__name__", "")


_layouts = {}  # torch.layout: name


def _layout(tensor):
    layout = tensor.layout
    name = _layouts.get(layout)
    if name is None:
        name = _layouts[layout] = str(layout)[6:]
    return name


def check_torch(tensor):
    """Raise Unsupported for tensors whose values are not plain memory of this process."""
    if tensor.device.type != "cpu" and not is_far(tensor):
        raise Passing(f"it is on {tensor.device.type}; tensors are measured in main memory and "
                      f"on {', '.join(_device.KINDS)}")
    if _layout(tensor) != "strided":
        raise Unsupported(f"its layout is {_layout(tensor)}; only dense tensors are measured")


_KINDS = {"f": "float", "i": "int", "u": "uint", "b": "bool"}
_NO_NUMBERS = {"O": "objects", "U": "text", "S": "bytes", "M": "dates", "m": "durations",
               "V": "records"}


def _point_at_interface(view, value, interface):
    typestr = interface["typestr"]
    kind = typestr[1]
    if kind in _NO_NUMBERS:
        raise Unsupported(f"it holds {_NO_NUMBERS[kind]}, not numbers")
    size = int(typestr[2:])
    if typestr[0] == ">" and size > 1:
        raise Unsupported("its bytes are in big-endian order")
    dtype = "bool" if kind == "b" else f"{_KINDS.get(kind, kind)}{8 * size}"
    shape = tuple(interface["shape"])
    byte_strides = interface.get("strides")
    if byte_strides is None:
        strides, extent = [], 1
        for length in reversed(shape):
            strides.insert(0, extent)
            extent *= length
    else:
        if any(stride % size for stride in byte_strides):
            raise Unsupported("its strides are no whole number of elements")
        strides = [stride // size for stride in byte_strides]
    if kind == "c":  # as as_real() has them
        view.choose_axis(len(shape))
        dtype, shape, strides = f"float{4 * size}", shape + (2,), [2 * s for s in strides] + [1]
    data = interface.get("data")
    if not isinstance(data, tuple):
        raise Unsupported("its memory has no address")
    view.set_raw(data[0], dtype, shape, strides)
    return value, interface
