# SPDX-License-Identifier: Apache-2.0
"""Credit assignment as its definition says, computed with torch in f64: what test_credit.py compares
the C code with. Only the operations that its models use are here; the rest is an error."""
import ctypes
import json

import torch
import torch.nn.functional as F

from barograph import _native
from barograph._probe import build, trace as tracing
from barograph._watch import layout

VALUE, GRADIENT, CHANGE = 1, 2, 3
ROUTES = {"view", "_unsafe_view", "reshape", "t", "transpose", "permute", "slice", "select",
          "unbind", "split", "unsafe_split", "expand", "detach", "clone", "squeeze", "unsqueeze",
          "cat", "stack", "alias", "_to_copy", "_reshape_alias", "lift_fresh", "split_with_sizes"}
SUMS = {"addmm", "mm", "convolution", "add", "sub", "sum", "mean", "avg_pool2d", "rsub",
        "_adaptive_avg_pool2d"}
PASSED = {"relu", "tanh", "sigmoid", "exp", "gelu", "pow", "sqrt", "log", "neg"}


class Library:
    """The test library, with the calls that a Builder makes; also the run that it wants."""

    def __init__(self, path):
        lib = ctypes.CDLL(path)
        self._lib = self
        self._handle = None
        for name in ("begin", "value", "op", "loss", "end"):
            result, arguments = _native._PROTOTYPES[f"baro_probe_{name}"]
            function = getattr(lib, f"credit_torch_{name}")
            function.restype, function.argtypes = result, arguments
            setattr(self, f"baro_probe_{name}", function)
        lib.credit_torch_free.argtypes = [ctypes.c_void_p]
        lib.credit_torch_release.argtypes = [ctypes.c_void_p]
        lib.credit_torch_explain.restype = ctypes.c_void_p
        lib.credit_torch_explain.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int,
                                             ctypes.c_int32, ctypes.c_int64, ctypes.c_int64]
        self._own = lib

    def explain(self, mode, now, value, unit=-1, row=-1, before=None):
        """What credit assignment finds, as a dictionary."""
        text = self._own.credit_torch_explain(now.handle, before.handle if before else None,
                                              mode, value, unit, row)
        found = json.loads(ctypes.string_at(text))
        self._own.credit_torch_release(text)
        assert "error" not in found, found["error"]
        return found

    def free(self, probe):
        """Free a probe."""
        self._own.credit_torch_free(probe.handle)


class Recording(tracing.Trace):
    """A trace that also remembers with what each operation was called."""

    call = None

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.call = (function, _copy(args), _copy(kwargs or {}))
        return super().__torch_dispatch__(function, types, args, kwargs)


class Probe(build.Builder):
    """A probe of one step, its values as tensors and its operations as calls."""

    def take(self, trace):
        """Begin to listen."""
        self.trace = trace
        self.tensors = {}
        self.calls = {}
        self.handle = self._probe

    def on_value(self, value, tensor):
        super().on_value(value, tensor)
        if tensor is not None:
            self.tensors[value.number] = tensor.detach().clone()

    def on_op(self, op):
        super().on_op(op)
        self.calls[op.number] = self.trace.call

    def number(self, value):
        """The number that the probe has for a value of the trace."""
        return self._numbers[value.number]

    def fixed(self):
        """Values that no data went into: parameters, constants, noise and what is made of these."""
        known = {}
        for value in self.values:
            if value.op is None:
                known[value.number] = value.kind in (tracing.PARAMETER, tracing.BUFFER,
                                                     tracing.CONSTANT, tracing.NOISE)
            else:
                known[value.number] = all(known[one.number] for one in value.op.inputs
                                          if one is not None)
        return known


def probe_of(library, model, inputs, loss_of, n_rows=None, step=1):
    """Trace one step: the model's output and its loss; gives (probe, loss)."""
    n_batch = inputs[0].shape[0]
    rows = list(range(n_batch))[:n_rows]
    names = tracing.Names([(model, lambda name: name, _hint)])
    probe = Probe.begin(library, build.REGULAR, step, n_batch, rows, 64 << 20)
    trace = Recording(names, probe)
    probe.take(trace)
    assert trace.start()
    try:
        trace.enter_model(model, [(f"input {i}", one) for i, one in enumerate(inputs)])
        output = model(*inputs)
        trace.leave_model(layout.tensors_in(output) and [one for _, one in
                                                         layout.tensors_in(output)])
        loss = loss_of(output)
        probe.loss(trace.value_of(loss))
        probe.values, probe.ops_in_order = list(trace.values), list(trace.ops)
        probe.loss_value = trace.value_of(loss)
    finally:
        trace.stop()
    assert trace.error is None, trace.error
    assert probe.end() == 0
    return probe, loss


def _hint(part):
    return tracing.HINTS.get(layout.unit_hint(part))


def _copy(value):
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, (list, tuple)):
        return type(value)(_copy(one) for one in value)
    if isinstance(value, dict):
        return {key: _copy(one) for key, one in value.items()}
    return value


# ---- value mode: relevance ----

def relevance(probe, target, seed):
    """Shares of all values, by number, when the target's elements have those of seed."""
    shares = {target.number: seed.double()}
    fixed = probe.fixed()
    for op in reversed(probe.ops_in_order):
        of_out = [shares.get(one.number) if one is not None else None for one in op.outputs]
        if all(one is None for one in of_out):
            continue
        for value, share in _explain(probe, op, of_out, fixed):
            if value is not None and share is not None and not fixed[value.number]:
                shares[value.number] = shares.get(value.number, 0) + share
    return shares


def _ratio(share, y):
    shared = y[share != 0].abs()  # what nothing came to (a mask of -1e9) does not count
    eps = 1e-6 * (shared.max() if shared.numel() else 0)
    ratio = share * y / (y * y + eps * eps)
    return torch.nan_to_num(ratio, 0.0, 0.0, 0.0)


def _explain(probe, op, of_out, fixed):
    """Pairs of an input and its share, by the rule of the operation."""
    name = op.name.rstrip("_") if op.name not in ("_softmax", "_log_softmax") else op.name
    share = next(one for one in of_out if one is not None)
    x = _double(probe, op.inputs[0])
    y = _double(probe, op.outputs[0]) if op.outputs[0] is not None else None
    signals = [i for i, one in enumerate(op.inputs) if one is not None
               and not fixed[one.number] and probe.tensors[one.number].is_floating_point()]
    if name in ("detach", "alias"):
        return [(op.inputs[0], share)]
    if name in ROUTES:
        return _back(probe, op, signals, of_out)
    if name in SUMS:
        ratio = _ratio(share, y)
        return [(value, part * _double(probe, value))
                for value, part in _back(probe, op, signals, [ratio] + of_out[1:])]
    if name in PASSED:
        return [(op.inputs[0], share)]
    if name in ("mul", "div"):
        even = share / len(signals)
        return [(op.inputs[i], _shrink(even, probe.tensors[op.inputs[i].number].shape))
                for i in signals]
    if name == "bmm":
        ratio = _ratio(share, y) / len(signals)
        return [(value, part * _double(probe, value))
                for value, part in _back(probe, op, signals, [ratio])]
    if name == "_softmax":
        dim = probe.calls[op.number][1][1]
        return [(op.inputs[0], torch.where(torch.isfinite(x), x, torch.zeros_like(x)) *
                 (share - y * share.sum(dim, keepdim=True)))]
    if name == "_log_softmax":
        dim = probe.calls[op.number][1][1]
        ratio = _ratio(share, y)
        return [(op.inputs[0], x * (ratio - y.exp() * ratio.sum(dim, keepdim=True)))]
    if name == "nll_loss_forward":
        ratio = _ratio(share, y)
        target = probe.tensors[op.inputs[1].number]
        part = -x * F.one_hot(target, x.shape[1]) / len(target)
        return [(op.inputs[0], part * ratio)]
    if name in ("binary_cross_entropy_with_logits", "mse_loss"):
        t = _double(probe, op.inputs[1])
        terms = ((x - t) ** 2 if name == "mse_loss"
                 else F.binary_cross_entropy_with_logits(x, t, reduction="none"))
        call = probe.calls[op.number]
        reduction = call[1][-1] if isinstance(call[1][-1], int) else 1
        terms = terms / terms.numel() if reduction == 1 else terms
        return [(op.inputs[0], terms * _ratio(share, y))]
    if name == "native_batch_norm":
        weight = _double(probe, op.inputs[1]).view(1, -1, *[1] * (x.dim() - 2))
        axes = [i for i in range(x.dim()) if i != 1]
        r = 1 / (x.var(axes, unbiased=False, keepdim=True) + 1e-5).sqrt()
        return [(op.inputs[0], weight * r * x * _ratio(share, y))]
    if name == "native_layer_norm":
        bias = _double(probe, op.inputs[2])
        return [(op.inputs[0], (y - bias) * _ratio(share, y))]
    if name == "max_pool2d_with_indices":
        return _back(probe, op, [0], of_out[:1] + [None])
    if name in ("embedding", "masked_fill"):
        return _back(probe, op, [i for i in signals if i == 0], of_out)
    raise AssertionError(f"no definition of {op.name} here")


def _double(probe, value):
    tensor = probe.tensors[value.number]
    return tensor.double() if tensor.is_floating_point() else tensor


def _shrink(share, shape):
    """Sum over what was broadcast."""
    while share.dim() > len(shape):
        share = share.sum(0)
    for i, n in enumerate(shape):
        if n == 1 and share.shape[i] != 1:
            share = share.sum(i, keepdim=True)
    return share


def _back(probe, op, wanted, of_out):
    """Vector-Jacobian products by torch itself, in f64: pairs of an input and its own."""
    if not wanted:
        return []
    function, args, kwargs = probe.calls[op.number]
    flat = []

    def take(value):
        if isinstance(value, torch.Tensor):
            value = value.double() if value.is_floating_point() else value
            value = value.detach().clone()
            flat.append(value)
            return value
        if isinstance(value, (list, tuple)):
            return [take(one) for one in value]
        return value

    names = [one.name for one in function._schema.arguments]
    args = list(args) + []
    taken, order = [], []
    for name, value in list(zip(names, args)) + list(kwargs.items()):
        before = len(flat)
        taken.append((name, take(value)))
        if value is None and "Tensor" in str(next(
                one.type for one in function._schema.arguments if one.name == name)):
            flat.append(None)
        order.append(before)
    for i in wanted:
        flat[i].requires_grad_(True)
    positional = [value for name, value in taken[:len(args)]]
    rest = dict(taken[len(args):])
    with torch.enable_grad():
        if function._schema.name.endswith("_") and positional:
            positional[0] = positional[0].clone()
        outputs = function(*positional, **rest)
        outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
        total = sum((one * share).sum() for one, share in zip(outputs, of_out)
                    if share is not None and one is not None)
        parts = torch.autograd.grad(total, [flat[i] for i in wanted], allow_unused=True)
    return [(op.inputs[i], part) for i, part in zip(wanted, parts)]
