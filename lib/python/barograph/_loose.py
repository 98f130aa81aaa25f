# SPDX-License-Identifier: Apache-2.0
"""Tensors that learn but belong to no module: they are watched as the parameters of one of ours.

Such are the weights of scripts that are written with tensors alone, and what is learnt beside a
model (the weights of several losses). Nobody calls this module; it holds the tensors, and is held
as long as the optimiser.
"""
import sys
import weakref

import torch

from ._probe.program import nodes_of

_holders = weakref.WeakKeyDictionary()   # optimiser: its module


class Tensors(torch.nn.Module):
    """Tensors by name."""

    has_no_forward = True

    def __init__(self, named):
        super().__init__()
        for name, tensor in named.items():
            self._parameters[name] = tensor   # plain tensors too, which register_parameter() refuses

    def forward(self, *args, **kwargs):
        """Nothing is computed here."""
        raise RuntimeError("this module only holds tensors")


def hold(optimizer, loose):
    """A module of those tensors of an optimiser that are in no module; None: there are none.

    loose  ids of such tensors
    """
    loose = [one for group in optimizer.param_groups for one in group["params"]
             if id(one) in loose]
    if not loose:
        return None
    holder = _holders.get(optimizer)
    if holder is None or [id(one) for one in holder._parameters.values()] != list(map(id, loose)):
        holder = _holders[optimizer] = Tensors(_named(loose))
    return holder


def leaves_of(loss):
    """The tensors that a loss's gradients come to, in a fixed order."""
    if not isinstance(loss, torch.Tensor) or loss.grad_fn is None:
        return []
    return [node.variable for node in nodes_of(loss) if hasattr(node, "variable")]


def hold_leaves(tensors):
    """A module of tensors that no optimiser holds; it is held by who asks for it."""
    return Tensors(_named(tensors))


def _named(tensors):
    """Tensors by the names of the script's variables, else by their number."""
    ids = {id(one): None for one in tensors}
    frame = sys._getframe(2)
    while frame is not None:
        if "barograph" not in frame.f_globals.get("__name__", ""):
            for name, value in list(frame.f_locals.items()):
                for own, one in _parts(name, value):
                    if id(one) in ids and ids[id(one)] is None:
                        ids[id(one)] = own
        frame = frame.f_back
    named = {}
    for at, one in enumerate(tensors):
        name = ids[id(one)] or f"tensor{at}"
        named[name if name not in named else f"{name}.{at}"] = one
    return named


def _parts(name, value):
    """A variable, or what a list, a dictionary or an object in it holds."""
    if isinstance(value, torch.Tensor):
        return [(name, value)]
    if isinstance(value, (list, tuple)):
        return [(f"{name}{at}", one) for at, one in enumerate(value[:256])]
    if isinstance(value, dict):
        return [(f"{name}.{key}", one) for key, one in list(value.items())[:256]]
    members = getattr(value, "__dict__", None) if name == "self" else None
    return list(members.items())[:256] if type(members) is dict else []
