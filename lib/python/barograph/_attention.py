# SPDX-License-Identifier: Apache-2.0
"""The largest attention logit of each attention layer: scalar MODULE/attn_logit_max.

Logits that grow step by step make the softmax saturate and training diverge; it shows here long
before it shows in the loss. They exist only within the layer: as what enters a softmax over the
last axis, or not at all where scaled_dot_product_attention() is called. So while a layer that
looks like attention (by its class or its name) runs its forward pass in a step that measures it,
the functions by which layers do this are replaced by ones that look at their arguments, then call
the original with the same arguments. When the layer is through, they are put back.

What is told is the largest finite logit, masked ones (-inf, or False in a mask) left out. Of more
than 4 million logits it is that of an even sample of the batch. scaled_dot_product_attention()
has no logits to look at: those of one sample of the batch are computed anew, for at most 64
queries and 1,024 keys, evenly spread: there it is an estimate from below.

Left alone: tensors on other devices, whose value would have to be waited for; everything as soon
as torch.compile has compiled anything in this process, because it watches whether the functions
that it has seen are still the same; layers within torch.jit.script.
"""
import functools
import math
import sys
import threading

import torch
from torch.nn import functional

MAX_LOGITS = 1 << 22
MAX_QUERIES = 64
MAX_KEYS = 1024

_PLACES = ((functional, "softmax"), (torch, "softmax"), (torch.Tensor, "softmax"),
           (functional, "scaled_dot_product_attention"),
           (functional, "_scaled_dot_product_attention"))  # 1.13's own name for it


def looks_like_attention(module, name):
    """Tell attention layers by their class or by the last part of their name."""
    words = f"{type(module).__name__} {name.rpartition('.')[2]}".lower()
    return "attention" in words or "attn" in words


class Attention:
    """Looks into the attention layers of one run.

    before() and after() go into a layer's forward pre-hooks and forward hooks, for the steps in
    which the layer is measured; exit() ends such a step.
    """

    def __init__(self, run, clock, book):
        """clock, book: the watcher's, for the time that looking takes."""
        self._run = run
        self._clock = clock
        self._book = book
        self._layers = threading.local()  # .stack: [largest logit so far, is within one of them]
        self._originals = []              # (place, name, what was there, ours)
        self._lock = threading.Lock()

    def before(self):
        """A layer's forward pass begins, in this thread."""
        if _has_compiled():
            return
        stack = self._stack()
        stack.append([None, False])
        with self._lock:
            if not self._originals:
                self._replace()

    def after(self, name):
        """It has ended: tell what was seen. name: of the layer, with the phase's prefix."""
        stack = self._stack()
        if not stack:
            return
        largest = stack.pop()[0]
        if not stack:
            self._restore()
        if largest is not None:
            self._run._push_scalar(f"{name}/attn_logit_max", largest)

    def exit(self):
        """The step has ended: nothing of it is left, also when a layer has raised."""
        self._stack().clear()
        if self._originals:
            self._restore()

    def _stack(self):
        stack = getattr(self._layers, "stack", None)
        if stack is None:
            stack = self._layers.stack = []
        return stack

    # ---- the functions ----

    def _replace(self):
        for place, name in _PLACES:
            original = getattr(place, name, None)
            if original is None:
                continue
            look = self._look_at_products if name.startswith(("scaled", "_scaled")) else (
                self._look_at_logits)
            ours = self._watched(original, look)
            self._originals.append((place, name, place.__dict__.get(name), ours))
            setattr(place, name, ours)

    def _restore(self):
        with self._lock:
            originals, self._originals = self._originals, []
            for place, name, original, ours in originals:
                if place.__dict__.get(name) is not ours:
                    continue  # somebody has replaced it since: ours stays below
                if original is None:
                    delattr(place, name)  # it was inherited
                else:
                    setattr(place, name, original)

    def _watched(self, original, look):
        @functools.wraps(original)
        def watched(*args, **kwargs):
            stack = getattr(self._layers, "stack", None)
            layer = stack[-1] if stack else None
            if layer is None or layer[1]:
                return original(*args, **kwargs)
            began = self._clock()
            try:
                largest = look(args, kwargs)
                if largest is not None:
                    layer[0] = largest if layer[0] is None else max(layer[0], largest)
            except Exception as error:
                self._run._complain("attention", f"attention logits are left out: {error!r}")
            self._book(began)
            layer[1] = True  # softmax() calls Tensor.softmax()
            try:
                return original(*args, **kwargs)
            finally:
                layer[1] = False

        return watched

    # ---- what they are given ----

    def _look_at_logits(self, args, kwargs):
        logits = args[0] if args else kwargs.get("input")
        dim = args[1] if len(args) > 1 else kwargs.get("dim")
        if not _is_plain(logits) or logits.dim() not in (3, 4):
            return None
        if dim not in (-1, logits.dim() - 1):
            return None
        with torch.no_grad():
            every = -(-logits.numel() // MAX_LOGITS)
            return _largest(logits.detach()[::every])

    def _look_at_products(self, args, kwargs):
        names = ("query", "key", "value", "attn_mask", "dropout_p")
        given = dict(zip(names, args), **kwargs)
        q, k, mask = given.get("query"), given.get("key"), given.get("attn_mask")
        if not _is_plain(q) or not _is_plain(k) or q.dim() < 3 or q.dim() != k.dim():
            return None
        is_causal = bool(given.get("is_causal", len(args) > 5 and args[-1] is True))
        scale = given.get("scale") or 1 / math.sqrt(q.shape[-1])
        with torch.no_grad():
            rows = _spread(q.shape[-2], MAX_QUERIES)
            columns = _spread(k.shape[-2], MAX_KEYS)
            some_q = q.detach()[:1].index_select(-2, rows).float()
            some_k = k.detach()[:1].index_select(-2, columns).float()
            if some_q.shape[1:-2] != some_k.shape[1:-2]:  # groups of heads share their keys
                some_k = some_k.repeat_interleave(some_q.shape[1] // some_k.shape[1], 1)
            logits = some_q @ some_k.transpose(-1, -2) * scale
            if isinstance(mask, torch.Tensor):
                part = mask.detach()
                part = part[:1] if part.dim() == q.dim() else part
                if part.shape[-2] > 1:
                    part = part.index_select(-2, rows)
                part = part.index_select(-1, columns)
                logits = (logits.masked_fill(~part, -math.inf) if part.dtype is torch.bool
                          else logits + part)
            if is_causal:
                logits = logits.masked_fill(columns[None, :] > rows[:, None], -math.inf)
            return _largest(logits)


def _is_plain(value):
    return (isinstance(value, torch.Tensor) and value.is_cpu and value.is_floating_point()
            and value.layout is torch.strided and value.numel() > 0)


def _largest(logits):
    """The largest finite one; None when there is none."""
    largest = logits.amax().item()
    if math.isfinite(largest):
        return largest
    finite = logits[logits.isfinite()]
    return finite.amax().item() if finite.numel() > 0 else None


def _spread(n, most):
    """Up to so many of n indices, evenly."""
    return torch.arange(0, n, max(1, -(-n // most)), device="cpu")


def _has_compiled():
    """Tell whether torch.compile has compiled anything in this process."""
    utils = sys.modules.get("torch._dynamo.utils")
    return utils is not None and bool(getattr(utils, "counters", {}).get("frames"))
