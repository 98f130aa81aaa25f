# SPDX-License-Identifier: Apache-2.0
"""What is not finite in a step that cannot be done again: read from what autograd has saved of it.

That is so where nothing of ours is called before the loss is there: scripts without any module,
loss functions of models that are compiled. Operations save only what their gradient needs, so this
tells less than a step that is computed again: neither lines nor the values upstream.
"""
import collections
import re

import torch

from .program import nodes_of, saved_tensors
from .search import Look

MAX_NODES = 20000     # of a graph that are looked at
MAX_WATCHED = 256     # of a graph whose slopes may be asked for
MAX_HELD = 1 << 20    # elements of a tensor that is held for that
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_FIRST = ("_saved_self", "_saved_input", "_saved_mat1")
_SETS = ("MaskedFillBackward", "WhereBackward")   # what puts -inf somewhere on purpose
_BOUNDED = ("TanhBackward", "SigmoidBackward", "ReluBackward", "SoftmaxBackward")
_SLOPES = {"SqrtBackward0": ("result",), "RsqrtBackward0": ("result",),
           "PowBackward0": ("self", "exponent"), "PowBackward1": ("self", "exponent"),
           "AcosBackward0": ("self",), "AsinBackward0": ("self",), "AtanhBackward0": ("self",),
           "LogBackward0": ("self",), "DivBackward0": ("self", "other"),
           "ReciprocalBackward0": ("result",)}


class Found:
    """Where a graph first holds something that is not finite."""

    __slots__ = ("node", "operands", "result")

    def __init__(self, node, operands, result):
        self.node = node          # None: it came from outside as result
        self.operands = operands
        self.result = result


def first_bad(loss):
    """The first operation of a loss's graph of which something bad is saved; None: there is none."""
    for node in _in_order(loss):
        weight = getattr(node, "variable", None)
        if weight is not None and Look(weight).is_bad():
            return Found(None, [], weight)
        saved = saved_tensors(node)
        operands = _operands(saved)
        bad = next((one for one in operands if Look(one).is_bad()), None)
        if bad is not None:
            maker = bad.grad_fn
            if maker is None:
                return Found(None, [], bad)
            if maker.name().startswith(_SETS) and not Look(bad).has_nan:
                continue
            return _found(maker, bad)
        result = dict(saved).get("_saved_result")
        if result is None:
            result = _compute(node, dict(saved))
        if result is not None and Look(result).is_bad():
            return _found(node, result)
    return _division_by_zero(loss)


def _division_by_zero(loss):
    """Of a division whose divisor learns nothing, autograd saves the divisor alone."""
    for node in _in_order(loss):
        divisor = getattr(node, "_saved_other", None) if node.name().startswith("Div") else None
        if isinstance(divisor, torch.Tensor) and bool((divisor == 0).any()):
            return Found(node, [divisor], 1 / divisor.detach().abs())
    return None


def _found(node, result):
    operands = _operands(saved_tensors(node))
    while not operands and node.name().startswith(_BOUNDED) and node.next_functions[0][0]:
        node = node.next_functions[0][0]   # it has only passed on what it was given
        operands = _operands(saved_tensors(node))
    return Found(node, operands, result)


def _operands(saved):
    """The operands that were saved, the first one first: names come in the order of the alphabet."""
    kept = [(name not in _FIRST, one) for name, one in saved
            if not name.startswith("_saved_result")]
    return [one for _, one in sorted(kept, key=lambda pair: pair[0])]


def batch_of(loss):
    """How many samples a loss seems to be of: as most tensors without gradients are long; or 0."""
    extents = collections.Counter(
        one.shape[0] for node in nodes_of(loss) for _, one in saved_tensors(node)
        if one.dim() > 0 and not one.requires_grad and one.shape[0] > 1)
    return extents.most_common(1)[0][0] if extents else 0


def bytes_of(loss):
    """How much autograd has saved for a loss."""
    held = {one.data_ptr(): one.numel() * one.element_size()
            for node in nodes_of(loss) for _, one in saved_tensors(node)}
    return sum(held.values())


def forward_name(node):
    """"LogBackward0" is "log"."""
    name = re.sub(r"Backward\d*$", "", node.name().split("::")[-1])
    return _CAMEL.sub("_", name).lower()


# ---- slopes ----

def steep(loss):
    """What is saved of operations whose slope may be infinite: [(name of a node, tensors)]."""
    held = []
    for node in nodes_of(loss, MAX_WATCHED):
        wanted = _SLOPES.get(node.name())
        if wanted is not None:
            tensors = [getattr(node, f"_saved_{name}", None) for name in wanted]
            if all(not isinstance(one, torch.Tensor) or one.numel() <= MAX_HELD
                   for one in tensors):
                held.append((node.name(), [one.detach() if isinstance(one, torch.Tensor) else one
                                           for one in tensors]))
    return held


def infinite_slope(held):
    """The operation next to the loss whose slope is not finite where it was computed.

    held     of steep()
    returns  (name, what it was given or gave, its slope, mask of what is bad), or None
    """
    for kind, (x, *others) in held:
        if not isinstance(x, torch.Tensor):
            continue
        try:
            slope = _slope(kind, x, *others)
        except (RuntimeError, TypeError):
            continue
        bad = ~slope.isfinite()
        if bool(bad.any()):
            name = _CAMEL.sub("_", re.sub(r"Backward\d*$", "", kind)).lower()
            tensors = [one for one in (x, *others) if isinstance(one, torch.Tensor)]
            return name, tensors, slope, bad
    return None


def _slope(kind, x, other=None):
    if kind == "SqrtBackward0":
        return 0.5 / x
    if kind == "RsqrtBackward0":
        return x ** 3
    if kind in ("PowBackward0", "PowBackward1"):
        return other * x ** (other - 1) if not isinstance(other, torch.Tensor) else torch.where(
            other == 0, torch.zeros_like(x), other * x ** (other - 1))
    if kind in ("AcosBackward0", "AsinBackward0"):
        return (1 - x * x).rsqrt()
    if kind == "AtanhBackward0":
        return 1 / (1 - x * x)
    if kind == "DivBackward0":
        return torch.where((1 / other).isfinite(), x / other / other, 1 / other)
    return 1 / x if kind == "LogBackward0" else x * x


# ---- the graph ----

def _in_order(loss):
    """The nodes of a loss's graph, each after those that it takes from."""
    done, found, waiting = set(), [], [(loss.grad_fn, False)]
    while waiting:
        node, is_expanded = waiting.pop()
        if node is None or (node in done and not is_expanded):
            continue
        if is_expanded:
            found.append(node)
            continue
        done.add(node)
        waiting.append((node, True))
        waiting.extend((one, False) for one, _ in reversed(node.next_functions)
                       if one not in done)
        if len(done) > MAX_NODES:
            break
    return found


def numbers_of(node):
    """The numbers that an operation was given, as attributes."""
    words = []
    for name in dir(node):
        if name.startswith("_saved_"):
            try:
                value = getattr(node, name)
            except RuntimeError:
                continue
            if isinstance(value, (int, float, bool)):
                words.append(f"{name[7:]}={value}")
    return " ".join(words)


def _compute(node, saved):
    """What an operation has given, computed from what autograd has saved of it; None: not known."""
    packet = getattr(torch.ops.aten, forward_name(node), None)
    for overload in packet.overloads() if packet is not None and saved else ():
        function = getattr(packet, overload)
        given, named = [], {}
        for argument in function._schema.arguments:
            try:
                value = getattr(node, f"_saved_{argument.name}")
            except (AttributeError, RuntimeError):
                value = argument.default_value
            if argument.kwarg_only:
                named[argument.name] = value
            else:
                given.append(value)
        try:
            with torch.no_grad():
                result = function(*given, **named)
        except Exception:  # another overload, or something that was not saved
            continue
        return result if isinstance(result, torch.Tensor) else None
    return None
