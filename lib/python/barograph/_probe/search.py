# SPDX-License-Identifier: Apache-2.0
"""Where something finite first became non-finite, in a step that was computed again.

Backward from the loss along values that are not finite: only what reaches the loss counts, so a
NaN that is masked away is no failure. On that way the first operation is guilty that gives
something bad out of operands that are not. An infinity that somebody has put there on purpose
(a mask of -inf before a softmax) is not bad by itself: what makes NaN of it is.
"""
import math

import torch

from . import cause
from .trace import CONSTANT, INPUT

MAX_LISTED = 4096   # units, rows
_REDUCES = {"logsumexp", "max", "amax", "min", "amin", "sum", "mean", "prod", "norm", "nansum",
            "linalg_vector_norm", "logcumsumexp", "cumsum", "var", "std"}
_PUTS = {"masked_fill", "where", "full", "fill", "full_like", "new_full", "triu", "tril"}


class Origin:
    """What a probe says of it; see baro_probe_origin."""

    __slots__ = ("op", "value", "is_gradient", "is_replayed", "is_exact", "units", "rows", "cause")

    def __init__(self, op, value, cause_text):
        self.op = op              # None: it came from outside as value
        self.value = value
        self.is_gradient = False
        self.is_replayed = True
        self.is_exact = False
        self.units = []
        self.rows = []
        self.cause = cause_text


class Look:
    """What is not finite in one tensor."""

    __slots__ = ("has_nan", "has_high", "has_low")

    def __init__(self, tensor):
        self.has_nan = self.has_high = self.has_low = False
        if tensor is None or not (tensor.is_floating_point() or tensor.is_complex()):
            return
        tensor = tensor.detach()
        if tensor.is_complex():
            tensor = torch.view_as_real(tensor)
        if tensor.numel() and not bool(tensor.isfinite().all()):
            self.has_nan = bool(tensor.isnan().any())
            self.has_high = bool((tensor == math.inf).any())
            self.has_low = bool((tensor == -math.inf).any())

    def is_bad(self):
        """Tell whether anything is not finite."""
        return self.has_nan or self.has_high or self.has_low


class Search:
    """A search through a trace; get: function that gives a value's tensor or None."""

    def __init__(self, trace, get):
        self._trace = trace
        self._get = get
        self._looks = {}

    def look(self, value):
        """What is not finite in a value."""
        known = self._looks.get(value)
        if known is None:
            known = self._looks[value] = Look(self._get(value))
        return known

    def origin(self, target, is_loss=True):
        """Find where it began that a value is not finite; None when all of it is.

        is_loss  False: of a value that may not come to the loss what is meant is none
        """
        if target is None or not self.look(target).is_bad():
            return None
        reached, waiting = {target}, [target]
        while waiting:
            value = waiting.pop()
            for one in value.op.inputs if value.op is not None else ():
                if one is not None and one not in reached and self.look(one).is_bad():
                    reached.add(one)
                    waiting.append(one)
        meant = self._meant(reached)
        first, first_at = None, None
        users = {}
        for op in self._trace.ops:
            for one in op.inputs:
                if one is not None:
                    users.setdefault(one, op.number)
        for value in sorted(reached, key=lambda one: one.number):
            if value in meant:
                continue
            if value.op is None:
                at = (users.get(value, 0), 0, value.number)
            elif any(one is not None and one in reached and one not in meant
                     for one in value.op.inputs):
                continue
            else:
                at = (value.op.number, 1, value.number)
            if first is None or at < first_at:
                first, first_at = value, at
        if first is None and not is_loss:
            return None
        if first is None:  # all of it was put there on purpose, and yet it came to the loss
            first = min(reached, key=lambda one: one.number)
        return self._describe(first)

    def _meant(self, reached):
        """The values among these whose infinities were put there on purpose."""
        meant = set()
        for value in sorted(reached, key=lambda one: one.number):
            look = self.look(value)
            if look.has_nan:
                continue
            if value.op is None:
                if value.kind == CONSTANT or (value.kind == INPUT and self._is_mask(value, look)):
                    meant.add(value)
                continue
            sources = [one for one in value.op.inputs if one is not None and one in reached]
            if not sources:
                if (value.op.name.rstrip("_") in _PUTS and "inf" in value.op.attrs):
                    meant.add(value)
            elif value.op.name.split(".")[0] in _REDUCES:
                continue   # all that it was to take was masked
            elif all(one in meant for one in sources):
                had = [self.look(one) for one in sources]
                flips = value.op.name.rstrip("_") in ("neg", "mul", "sub", "rsub")
                if (flips or (look.has_high <= any(one.has_high for one in had)
                              and look.has_low <= any(one.has_low for one in had))):
                    meant.add(value)
        return meant

    def _is_mask(self, value, look):
        if look.has_high:
            return False
        tensor = self._get(value).detach()
        finite = tensor[tensor.isfinite()]
        return finite.numel() == 0 or bool((finite == 0).all())

    # ---- what to say of it ----

    def _describe(self, value):
        tensor = self._get(value).detach()
        bad = tensor.isnan()
        if not bool(bad.any()):
            bad = ~tensor.isfinite()
        if value.op is None:
            origin = Origin(None, value, outside(value, tensor, bad))
        else:
            inputs = [self._get(one) if one is not None else None for one in value.op.inputs]
            try:
                text = cause.sentence(value.op, inputs, tensor, bad) if inputs else (
                    f"{value.op.name} gives {'NaN' if bool(tensor.isnan().any()) else 'inf'}; what it "
                    "was given is not known any more")
            except Exception:
                text = f"{value.op.name} of finite values gives what is not finite"
            origin = Origin(value.op, value, text)
        origin.units, origin.rows = places(bad, value, self._trace.n_batch)
        if not origin.rows and value.op is not None:
            origin.rows = self._rows_before(value)
        return origin

    def _rows_before(self, value):
        """The samples of a bad number without samples: those whose values are largest."""
        for one in value.op.inputs:
            tensor = self._get(one) if one is not None else None
            if tensor is None or one.batch < 0 or not tensor.is_floating_point():
                continue
            sizes = tensor.detach().double().abs().movedim(one.batch, 0)
            sizes = sizes.reshape(sizes.shape[0], -1).amax(1) if sizes.numel() else None
            if sizes is None or sizes.shape[0] != self._trace.n_batch:
                continue
            most = float(sizes.max())
            if most > 1e15 or (tensor.dtype == torch.float16 and most > 1e3):
                return torch.nonzero(sizes > most / 100).flatten().tolist()[:MAX_LISTED]
        return []


def outside(value, tensor, bad):
    """What to say of a bad value that came from outside."""
    n_bad = int(bad.sum())
    what = "NaN" if bool(tensor.isnan().any()) else "inf"
    name = f"'{value.name}'" if value.name else "what came from outside"
    share = f"{n_bad} of {tensor.numel()} elements"
    if value.kind == INPUT and not value.name:
        return (f"a tensor without gradient held {what} already: {share}; it is of the data, or was "
                "computed outside of the models")
    if value.kind == INPUT:
        return f"the data held {what} already: {share} of {name}"
    if value.kind == CONSTANT:
        return f"a constant is {what}"
    return (f"the weights held {what} before this step: {share} of {name}; an earlier update "
            "has spoilt them")


def places(bad, value, n_batch):
    """Units and samples of the bad elements of a value; bad: a mask."""
    units, rows = [], []
    if bad.dim() == 0:
        return units, rows
    if 0 <= value.unit < bad.dim():
        units = _along(bad, value.unit)
    if 0 <= value.batch < bad.dim() and n_batch > 0:
        each = max(bad.shape[value.batch] // n_batch, 1)
        rows = sorted({place // each for place in _along(bad, value.batch)})
    return units[:MAX_LISTED], rows[:MAX_LISTED]


def _along(bad, axis):
    return torch.nonzero(bad.movedim(axis, 0).reshape(bad.shape[axis], -1).any(1)
                         ).flatten().tolist()


