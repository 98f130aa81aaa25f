# SPDX-License-Identifier: Apache-2.0
"""Following one step of training, operation by operation, while it is computed.

A dispatch mode sees what torch's dispatcher calls below autograd: the operations that are really
computed, whatever modules and functions they come from. Nothing is computed differently for it.
Each array that an operation gives is a value of its own, one that is written in place too; what
was there before the trace began comes from outside: parameters, buffers, inputs.

Tensors are known by identity as long as they live; the trace holds none of them. Whoever needs
what is in them (a probe that is built, a search for what is not finite) is a listener: it is
given each value when it comes into being.
"""
import contextlib
import inspect
import os
import sys
import time
import weakref

import torch
from torch.nn.modules import module as torch_module
from torch.utils import _python_dispatch as dispatch

from .. import _tensors
from . import axes
from .schema import bind, flatten, spec_of

RESULT, INPUT, PARAMETER, BUFFER, CONSTANT, NOISE = range(6)
EMPTY = 6             # memory that nobody has written into yet: no value of the probe
MAX_OPS = 20000       # of one trace; then it is cut
MAX_SECONDS = 30.0    # likewise
MAX_OPERANDS = 4096
_LIBRARY = os.path.dirname(os.path.abspath(torch.__file__)) + os.sep
_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_places = {}          # of a file's name: whether it is the user's


class Value:
    """One array of a step."""

    __slots__ = ("number", "kind", "name", "shape", "dtype", "batch", "unit", "op", "view_of",
                 "woven", "address")

    def __init__(self, number, kind, name, tensor):
        self.number = number
        self.kind = kind
        self.name = name
        self.shape = tuple(tensor.shape)
        self.dtype = tensor.dtype
        self.batch = self.unit = axes.NONE
        self.op = None        # that gives it
        self.view_of = None   # of a view: (the value it looks into, name, attrs)
        self.woven = None     # what its first axis was made of; see axes.woven
        self.address = 0      # where a result outside of models lies; 0: not known


class Ref:
    """In a call that is remembered: the tensor of a value."""

    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value


class Line:
    """One line of the program outside of models: an operation, or the call of a model."""

    __slots__ = ("function", "args", "kwargs", "outputs", "has_grad", "call", "source",
                 "module")

    def __init__(self, function, args, kwargs, has_grad=True, call=None, source=""):
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self.outputs = []        # values; None: not a tensor
        self.has_grad = has_grad
        self.call = call
        self.source = source
        self.module = ""


class Call:
    """A call of a model from outside, as it was traced."""

    __slots__ = ("module", "inputs", "outputs", "source")

    def __init__(self, module, inputs, source):
        self.module = module
        self.inputs = inputs
        self.source = source
        self.outputs = []


class Op:
    """One operation of a step."""

    __slots__ = ("number", "name", "attrs", "inputs", "outputs", "module", "source",
                 "is_backward", "line")

    def __init__(self, name, attrs, inputs, outputs, module, source):
        self.number = -1
        self.name = name
        self.attrs = attrs
        self.inputs = inputs     # values; None: not given, or a number
        self.outputs = outputs
        self.module = module
        self.source = source
        self.is_backward = False
        self.line = None         # of an operation outside of models


def is_users(path):
    """Tell whether a file is the user's: neither torch's nor ours."""
    known = _places.get(path)
    if known is None:
        is_file = not path.startswith("<")
        whole = os.path.abspath(path) if is_file else path  # PYTHONPATH may be relative
        known = _places[path] = (not whole.startswith((_LIBRARY, _OURS)) if is_file
                                 else path in ("<stdin>", "<string>"))
    return known


class Trace(dispatch.TorchDispatchMode):
    """What one step has computed so far. Begin and end it with start() and stop()."""

    supports_higher_order_operators = True

    def __init__(self, names, listener=None, max_ops=MAX_OPS):
        """names: Names of parameters and buffers; listener: has on_value and on_op, or None."""
        super().__init__()
        self.values = []
        self.ops = []
        self.program = []         # lines: what was done outside of models, and calls of models
        self.is_cut = False
        self.error = None         # what ended it early
        self.replayed_by = None   # code that does a step again: what it does is of these:
        self.source = self.module = ""
        self.inputs = {}          # id of a tensor that a model was given: (itself, name)
        self.n_batch = 0
        self.batch_place = 0      # axis of the batch in the model's input
        self._names = names
        self._listener = listener
        self._max_ops = max_ops
        self._known = {}          # id of a tensor: (weak reference, value)
        self._written = []        # views that were written into: (storage, value, view's layout)
        self._pending = {}        # id of a detached tensor whose operation nobody has needed yet
        self._modules = []        # under way: (module, name, hint)
        self._sources = {}
        self._depth = 0           # calls of models under way
        self._call = None         # the one under way
        self._n_outer = 0         # modules that were under way before it
        self._is_on = False
        self._is_busy = False     # within something of ours that computes
        self._deadline = time.monotonic() + MAX_SECONDS
        self._key = f"barographtrace{id(self):x}"

    # ---- beginning and end ----

    def start(self):
        """Begin; False when something else than training is under way, which must not be mixed."""
        if dispatch._get_current_dispatch_mode_stack():
            return False
        self.__enter__()
        self._is_on = True
        torch_module._global_forward_pre_hooks[self._key] = self._enter_module
        torch_module._global_forward_hooks[self._key] = self._leave_module
        return True

    def stop(self):
        """End it, wherever it is on the stack of modes."""
        if not self._is_on:
            return
        self._is_on = False
        torch_module._global_forward_pre_hooks.pop(self._key, None)
        torch_module._global_forward_hooks.pop(self._key, None)
        stack = dispatch._get_current_dispatch_mode_stack()
        if any(mode is self for mode in stack):
            above = []
            while True:
                mode = stack.pop()
                if mode is self:
                    break
                dispatch._pop_mode()
                above.append(mode)
            self.__exit__(None, None, None)
            for mode in reversed(above):
                dispatch._push_mode(mode)
        self._known.clear()
        self._pending.clear()
        self._modules.clear()
        self.inputs.clear()
        self._names = self._listener = None

    def value_of(self, tensor):
        """The value that a tensor holds now, or None: the trace has not met it."""
        known = self._known.get(id(tensor))
        return known[1] if known is not None and known[0]() is tensor else None

    def newest_of(self, tensor):
        """Likewise, with what was written into the tensor through others since."""
        return self._value(tensor) if self.value_of(tensor) is not None else None

    def tensor_of(self, value):
        """The tensor that holds a value, if it lives."""
        return next((ref() for ref, known in self._known.values() if known is value), None)

    @contextlib.contextmanager
    def pause(self):
        """Within it, operations are not of the step."""
        was, self._is_busy = self._is_busy, True
        try:
            yield
        finally:
            self._is_busy = was

    # ---- modules ----

    def _enter_module(self, module, args):
        if self._is_on:
            name, hint = self._names.of_module(module)
            self._modules.append((module, name or self._module(), hint))

    def _leave_module(self, module, args, output):
        modules = self._modules
        while modules:
            if modules.pop()[0] is module:
                break

    def enter_model(self, module, tensors):
        """A model is called from outside; tensors: what it is given, as (name, tensor)."""
        if not self._is_on:
            return
        if self._depth == 0:
            for name, tensor in tensors:
                self.inputs[id(tensor)] = (tensor, name)
            self._n_outer = len(self._modules)
            if self._modules and self._modules[-1][0] is module:
                self._n_outer -= 1  # its own hook came first
            else:
                self._enter_module(module, ())
            self._call = Call(module, [self._value(tensor) for _, tensor in tensors],
                              self._source())
        self._depth += 1

    def leave_model(self, tensors):
        """It has returned these tensors."""
        if not self._is_on or self._depth == 0:
            return
        self._depth -= 1
        if self._depth == 0 and self._call is not None:
            del self._modules[self._n_outer:]
            line = Line(None, None, None, call=self._call, source=self._call.source)
            line.outputs = self._call.outputs = [self._value(tensor) for tensor in tensors]
            self.program.append(line)
            self._call = None

    # ---- operations ----

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if not self._is_on or self._is_busy or self.error is not None or self.is_cut:
            return function(*args, **kwargs)
        plan = None
        self._is_busy = True
        try:
            plan = self._before(function, args, kwargs)
        except Exception as error:
            self.error = error
        finally:
            self._is_busy = False
        output = function(*args, **kwargs)
        if plan is not None:
            self._is_busy = True
            try:
                self._after(*plan, output)
            except Exception as error:
                self.error = error
            finally:
                self._is_busy = False
        return output

    def _before(self, function, args, kwargs):
        """Look at an operation's arguments before it writes into them.

        returns  (what is known of it, the operation or None, tensors that it writes into)
        """
        spec = spec_of(function)
        if spec.is_nothing:
            return None
        tensors, attrs = bind(spec, args, kwargs)
        n_tensors = len([one for one in tensors if one is not None])
        if n_tensors > MAX_OPERANDS:
            self.is_cut = True
            return None
        written = ()
        if spec.written:
            written = [args[at] if at < len(args) else kwargs.get(name)
                       for at, name in spec.written]
            written = [one for one in written if isinstance(one, torch.Tensor)]
        line = None
        if spec.is_source(n_tensors):
            if self._depth == 0:
                line = Line(function, self._remembered(args), self._remembered(kwargs))
            return spec, None, line, written
        inputs = [self._value(one) if one is not None else None for one in tensors]
        has_grad = torch.is_grad_enabled()
        if self._depth == 0:
            line = Line(function, self._remembered(args), self._remembered(kwargs), has_grad)
        inputs = [one if one is not None and one.kind != EMPTY else None for one in inputs]
        if not has_grad:
            attrs = f"{attrs} grad=False" if attrs else "grad=False"
        op = Op(spec.name, attrs, inputs, [], self._module(), self._source())
        op.line = line
        if line is not None:
            line.source, line.module = op.source, op.module
        if self._listener is not None:
            for tensor in written:
                for whole in (tensor, tensor._base if tensor._is_view() else None):
                    known = self._known.get(id(whole)) if whole is not None else None
                    if known is not None:
                        self._listener.before_write(known[1], whole)
        return spec, op, line, written

    def _after(self, spec, op, line, written, output):
        outputs = flatten(output)
        if op is None:
            kind = EMPTY if spec.is_empty else NOISE if spec.is_noise else CONSTANT
            values = [self._add(one, kind, "") if one is not None else None for one in outputs]
            if line is not None:
                line.outputs = values
                self.program.append(line)
            return
        if spec.is_alias:  # autograd detaches much by itself: only what is used later counts
            if outputs:
                self._pending[id(outputs[0])] = (weakref.ref(outputs[0]), op)
            return
        if written and not outputs:
            outputs = written
        hint = self._modules[-1][2] if self._modules else None
        for tensor in outputs:
            if tensor is None:
                op.outputs.append(None)
                continue
            value = self._add(tensor, RESULT, "", op)
            value.batch = axes.batch_axis(op.name, op.attrs, op.inputs, value.shape, self.n_batch)
            if value.batch == axes.NONE:
                value.woven = axes.woven(op.name, op.inputs, value.shape, self.n_batch)
            value.unit = axes.unit_axis(op.name, value.shape, value.batch, hint)
            if op.name in ("select", "slice"):
                value.view_of = (op.inputs[0], op.name, op.attrs)
            op.outputs.append(value)
        self._finish(op, outputs)
        for tensor in written:
            if tensor._is_view() and any(tensor is one for one in outputs):
                self._note_write(tensor)
        if len(self.ops) >= self._max_ops or time.monotonic() > self._deadline:
            self.is_cut = True

    def _finish(self, op, tensors):
        op.number = len(self.ops)
        self.ops.append(op)
        if op.line is not None:
            op.line.outputs = list(op.outputs)
            self.program.append(op.line)
            for value, tensor in zip(op.outputs, tensors):
                if value is not None and tensor is not None and tensor.layout is torch.strided:
                    value.address = tensor.data_ptr()
        if self._listener is not None:
            for value, tensor in zip(op.outputs, tensors):
                if value is not None:
                    self._listener.on_value(value, tensor)
            self._listener.on_op(op)

    def take_result(self, tensor, was):
        """An operation's result is known from elsewhere; was: its value in another trace."""
        op = Op(was.op.name, was.op.attrs, [], [], was.op.module, was.op.source)
        value = self._add(tensor, RESULT, "", op)
        value.batch, value.unit = was.batch, was.unit
        op.outputs.append(value)
        self._finish(op, [tensor])

    def _module(self):
        return self._modules[-1][1] if self._modules else self.module

    # ---- values ----

    def _value(self, tensor):
        """The value that a tensor holds; one from outside is taken in."""
        key = id(tensor)
        known = self._known.get(key)
        if known is not None and known[0]() is tensor:
            if known[1].kind == EMPTY and not known[1].name:
                return known[1]
            if self._written:
                return self._rewritten(tensor, known[1])
            return known[1]
        if self._pending:
            waiting = self._pending.pop(key, None)
            if waiting is not None and waiting[0]() is tensor:
                op = waiting[1]
                value = self._add(tensor, RESULT, "", op)
                value.batch, value.unit = op.inputs[0].batch, op.inputs[0].unit
                op.outputs.append(value)
                self._finish(op, [tensor])
                return value
        return self._from_outside(tensor)

    def _from_outside(self, tensor):
        kind, name = self._names.find(tensor)
        given = self.inputs.get(id(tensor))
        if kind is None:
            kind = INPUT
            if given is not None and given[0] is tensor:
                name = given[1]
            else:
                name = _name_in_frames(tensor)
                if not name and tensor.dim() == 0:
                    kind = CONSTANT
        value = self._add(tensor, kind, name)
        if kind == INPUT and value.shape:
            self._place_batch(value)
        elif kind in (PARAMETER, BUFFER) and value.shape:
            value.unit = 0
        if self._listener is not None and kind != CONSTANT:
            self._listener.on_value(value, tensor)
        return value

    def _place_batch(self, value):
        n, shape = len(value.shape), value.shape
        place = self.batch_place if n > self.batch_place else 0
        if self.n_batch == 0 and shape[place] > 0 and value.name:
            self.n_batch = shape[place]
        if self.n_batch and shape[place] == self.n_batch:
            value.batch = place
        elif self.n_batch and shape[0] == self.n_batch:
            value.batch = 0
        value.unit = axes.unit_axis("", shape, value.batch, None)

    def _add(self, tensor, kind, name, op=None):
        value = Value(len(self.values), kind, name, tensor)
        value.op = op
        if kind != EMPTY:
            self.values.append(value)
        self._known[id(tensor)] = (weakref.ref(tensor), value)
        if kind in (CONSTANT, NOISE):
            place = self.batch_place if len(value.shape) > self.batch_place else 0
            if value.shape and self.n_batch and value.shape[place] == self.n_batch:
                value.batch = place
            elif len(value.shape) == 3 and self.n_batch > 1 and value.shape[1] == self.n_batch:
                value.batch = 1  # a first state: layers, samples, units
            elif kind == NOISE and value.shape and self.n_batch > 1 and (
                    value.shape[0] % self.n_batch == 0):
                value.batch = 0  # of attention: the heads of each sample, one after another
            value.unit = axes.unit_axis("", value.shape, value.batch, None)
            if self._listener is not None and op is None:
                self._listener.on_value(value, tensor)
        return value

    # ---- writes through views ----

    def _note_write(self, view):
        """What looks into the same memory holds something else from now on."""
        self._written.append((_storage(view), self._known[id(view)][1],
                              (list(view.shape), list(view.stride()), view.storage_offset())))

    def _rewritten(self, tensor, value):
        place = None
        for storage, by, layout in self._written:
            if by.number > value.number:
                place = _storage(tensor) if place is None else place
                if storage == place:
                    value = self._scatter(tensor, value, by, layout)
        return value

    def _scatter(self, tensor, value, by, layout):
        root = by
        while root.op is not None and root.op.name.endswith("_") and root.view_of is None:
            root = root.op.inputs[0] or root
            if root.op is None:
                break
        if root.view_of is not None and root.view_of[0] is value:
            name, attrs = f"{root.view_of[1]}_scatter", root.view_of[2]
        else:
            name = "as_strided_scatter"
            attrs = (f"size={layout[0]} stride={layout[1]} storage_offset={layout[2]}"
                     .replace(", ", ","))
        op = Op(name, attrs, [value, by], [], self._module(),
                by.op.source if by.op is not None else "")
        result = self._add(tensor, RESULT, value.name, op)
        result.batch, result.unit = value.batch, value.unit
        op.outputs.append(result)
        if self._depth == 0:
            op.line = Line(_same, (Ref(value), Ref(by)), {})
        self._finish(op, [tensor])
        return result

    # ---- where in the program ----

    def _remembered(self, value):
        """A call's arguments with tensors replaced by their values."""
        if isinstance(value, torch.Tensor):
            known = self.value_of(value)
            return Ref(self._add(value, EMPTY, "") if known is None else self._value(value))
        if type(value) in (list, tuple):
            return type(value)(self._remembered(part) for part in value)
        if type(value) is dict:
            return {key: self._remembered(part) for key, part in value.items()}
        return value

    def _source(self):
        frame = sys._getframe(2)
        while frame is not None:
            code = frame.f_code
            if code is self.replayed_by:
                return self.source
            path = code.co_filename
            known = _places.get(path)
            if known or known is None and is_users(path):
                key = (path, frame.f_lineno)
                text = self._sources.get(key)
                if text is None:
                    text = self._sources[key] = f"{os.path.basename(path)}:{frame.f_lineno}"
                return text
            frame = frame.f_back
        return ""


def _same(tensor, by):
    """A tensor into whose memory something else has written."""
    return tensor


def _storage(tensor):
    get = getattr(tensor, "untyped_storage", None) or tensor.storage
    return get().data_ptr()


def locals_of(frame):
    """The variables of a function under way, without keeping what they hold alive.

    Python keeps what it gives out as a function's variables until it is asked again; that is
    emptied here, unless somebody else (the user's own locals()) has it too.
    """
    held = frame.f_locals
    if not frame.f_code.co_flags & inspect.CO_OPTIMIZED or type(held) is not dict:
        return held
    found = dict(held)
    if sys.getrefcount(held) == 3:  # the frame's, ours, and that of the call
        held.clear()
    return found


def _name_in_frames(tensor):
    """What the user's code calls a tensor, in the function under way or those around it."""
    frame = sys._getframe(3)
    for _ in range(60):
        if frame is None:
            break
        if is_users(frame.f_code.co_filename):
            variables = locals_of(frame)
            for name, value in list(variables.items()):
                if value is tensor:
                    return name
            owner = variables.get("self")
            for name, value in list(getattr(owner, "__dict__", {}).items()):
                if value is tensor:
                    return f"self.{name}"
            if frame.f_code.co_name == "<module>":
                break
        frame = frame.f_back
    return ""


class Names:
    """What parameters, buffers and modules of the watched models are called."""

    def __init__(self, models):
        """models: (module, function that gives the full name of a part)."""
        self._tensors = {}
        self._modules = {}
        for module, path, hint_of in models:
            for name, part in module.named_modules():
                own = path(name) or type(part).__name__  # as its output is called
                self._modules.setdefault(id(part), (part, own, hint_of(part)))
                for own, tensor in part._parameters.items():
                    self.add(tensor, PARAMETER, path(f"{name}.{own}" if name else own))
                for own, tensor in part._buffers.items():
                    self.add(tensor, BUFFER, path(f"{name}.{own}" if name else own))

    def add(self, tensor, kind, name):
        """Name a tensor."""
        if tensor is not None:
            self._tensors.setdefault(id(tensor), (tensor, kind, name))

    def find(self, tensor):
        """Kind and name of a parameter or buffer; (None, "") of other tensors."""
        known = self._tensors.get(id(tensor))
        if known is not None and known[0] is tensor:
            return known[1], known[2]
        if isinstance(tensor, torch.nn.Parameter):
            return PARAMETER, ""
        return None, ""

    def of_module(self, module):
        """Name of a module and where its output has its units."""
        known = self._modules.get(id(module))
        return (known[1], known[2]) if known is not None else ("", None)

    def tensors(self):
        """All parameters and buffers as (tensor, kind, name)."""
        return list(self._tensors.values())


HINTS = {_tensors.LAST: "last", _tensors.FIRST_AFTER: "one", _tensors.TIME_FIRST: "swap"}
