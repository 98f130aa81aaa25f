# SPDX-License-Identifier: Apache-2.0
"""What of the user's text may be done without an effect, and how: for source.py."""
import ast
import math
import types

import torch

_EFFECTS = ("set_", "save", "load", "seed", "compile", "jit", "from_file", "use_", "_", "register",
            "requires_grad", "retain", "share_memory", "pin_memory", "fork", "get_", "init",
            "manual", "backward", "numpy", "data_ptr")
_DRAW = ("rand", "dropout", "normal_", "bernoulli", "multinomial", "poisson", "binomial",
         "exponential_", "alpha_dropout", "feature_dropout", "rrelu", "uniform_", "random_",
         "cauchy_", "geometric_")
_PLAIN = (torch.Tensor, int, float, complex, str, bytes, list, tuple, dict, set, range, slice, zip,
          enumerate, reversed, type, torch.dtype, torch.device, type(None), type(...))
_ATTRIBUTES = {"T", "mT", "H", "mH", "shape", "dtype", "device", "ndim", "real", "imag", "data",
               "is_cuda", "requires_grad", "is_sparse"}


class Cannot(Exception):
    """Something cannot be read, or doing it might have an effect."""


def attribute(held, name):
    """An attribute that can be read without calling anything of the user's."""
    if isinstance(held, torch.Tensor):
        if name in _ATTRIBUTES or callable(getattr(torch.Tensor, name, None)):
            return getattr(held, name)
        raise Cannot(name)
    if isinstance(held, types.ModuleType):
        if name in vars(held):
            return vars(held)[name]
        raise Cannot(name)
    if isinstance(held, torch.nn.Module):
        for kept in (held._parameters, held._buffers, held._modules):
            if name in kept:
                return kept[name]
    own = getattr(held, "__dict__", None)
    if type(own) is dict and name in own:
        return own[name]
    for kind in type(held).__mro__ if not isinstance(held, type) else held.__mro__:
        if name in vars(kind):
            found = vars(kind)[name]
            if isinstance(found, staticmethod):
                return found.__func__
            if isinstance(found, types.FunctionType):
                return found if isinstance(held, type) else types.MethodType(found, held)
            if isinstance(found, (int, float, str, tuple, list, dict, torch.Tensor)):
                return found
            break
    raise Cannot(name)


def bind(target, value):
    """The names of an assignment's left side, with their parts of its right side."""
    if isinstance(target, ast.Name):
        return {target.id: value}
    if isinstance(target, (ast.Tuple, ast.List)):
        parts = list(value.unbind()) if isinstance(value, torch.Tensor) else list(value)
        if any(isinstance(one, ast.Starred) for one in target.elts) or (
                len(parts) != len(target.elts)):
            raise Cannot("a tuple")
        found = {}
        for one, part in zip(target.elts, parts):
            if not isinstance(one, (ast.Attribute, ast.Subscript)):
                found.update(bind(one, part))
        return found
    raise Cannot("a target")


def write_into(scope, target, value):
    """x[index] = value, into a copy: {"x": it}."""
    if not isinstance(target.value, ast.Name):
        raise Cannot("a target")
    held = scope.value(target.value)
    if not isinstance(held, torch.Tensor):
        raise Cannot("a target")
    held = held.detach().clone()
    held[scope.value(target.slice)] = value
    return {target.value.id: held}


def same(one, other):
    """Tell whether two tensors hold the same numbers; NaN is like NaN."""
    if not isinstance(one, torch.Tensor) or one.shape != other.shape or (
            one.dtype != other.dtype or one.device != other.device):
        return False
    return bool(((one == other) | (one.isnan() & other.isnan())).all())


def content(cell):
    """What a function's variable from outside holds; Cannot: nothing yet."""
    try:
        return cell.cell_contents
    except ValueError:
        return Cannot("an empty cell")


def plain(values):
    """Check that to iterate, compare or add these does nothing of the user's."""
    for value in values:
        if not isinstance(value, _PLAIN) and type(value).__module__.split(".")[0] != "numpy":
            raise Cannot(type(value).__name__)


def check_call(name, args, kwargs, may_draw):
    """Check that a call of torch's writes into nothing and draws no random numbers but those that
    may be drawn."""
    given = [*args, *kwargs.values()]
    if kwargs.get("out") is not None or kwargs.get("inplace") or any(
            isinstance(one, torch.Generator) for one in given):
        raise Cannot(name)
    if (name.startswith(_DRAW) or name == "normal") and not (
            may_draw and not torch.cuda.is_initialized()):
        raise Cannot(name)


def is_torch(function, name):
    """Tell whether a function is one of torch's that only computes."""
    if not name or name.startswith(_EFFECTS) or name.endswith("_"):
        return False
    if function in vars(math).values():
        return True
    spaces = (torch, torch.nn.functional, torch.special, torch.linalg, torch.fft)
    return not isinstance(function, type) and any(
        vars(space).get(name) is function for space in spaces)


def may_call(name):
    """Tell whether a method of a tensor's, by its name, only computes."""
    return not name.startswith(_EFFECTS)
