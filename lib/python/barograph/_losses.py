# SPDX-License-Identifier: Apache-2.0
"""What a script calls backward() on: under which names, and what it comes to in a step.

A loss is known by the line of the script that calls backward(): the first is 'loss', others have
the name of the variable, too, like 'loss/aux'. With several optimisers (a GAN) none comes first, and
`errD_real.backward()` is 'loss/errD_real'; what has no name is 'loss'. What one line gives several
times in a step (gradient accumulation) is added up, because the gradient that the optimiser then
uses is that of the sum: where the script divides by the number of its micro-batches, that is their
mean. Of the evaluations of a closure (LBFGS), which begin with fresh gradients each, the first
counts.
"""
import linecache
import os
import re
import sys
import weakref

MAX_SITES = 64    # lines that call backward()
MAX_SCALED = 16   # results of GradScaler.scale() that are remembered
_OURS = os.path.dirname(os.path.abspath(__file__)) + os.sep
_NAME = r"([A-Za-z_]\w*)"
_SHAPES = [re.compile(shape) for shape in (
    r"(?:autograd\.backward|\bgrad)\(\s*\[?(?:\w+\.)*" + _NAME + r"\s*[,)\]]",
    _NAME + r"(?:\[[^\]]*\])*(?:\.(?:mean|sum|squeeze|float)\(\))*\.backward\(",
    r"\.scale\(\s*(?:\w+\.)*" + _NAME + r"\s*\)\.backward\(",
    r"\(\s*(?:\w+\.)*" + _NAME + r"\s*[/*][^()]*\)\.backward\(")]


def name_in(line):
    """The name of the loss that a line of source calls backward() on; 'loss' when it has none."""
    for shape in _SHAPES:
        found = shape.search(line)
        if found:
            return "loss" if found[1] == "loss" else f"loss/{found[1]}"
    return "loss"


class Losses:
    """The losses of the step under way."""

    def __init__(self, torch):
        self._torch = torch
        self._library = os.path.dirname(os.path.abspath(torch.__file__)) + os.sep
        self._names = {}    # (code object, line): name
        self._values = {}   # name: number, or tensor on another device
        self._lines = {}    # name: the line that gave it
        self._scaled = []   # (weak reference to what scale() gave, what it was given)

    def scale(self, given, result):
        """GradScaler.scale() has made something of a loss: the loss itself is what counts."""
        tensor = self._torch.Tensor
        if isinstance(given, tensor) and isinstance(result, tensor) and given is not result:
            self._scaled = self._scaled[1 - MAX_SCALED:]
            self._scaled.append((weakref.ref(result), given.detach()))

    def take_in(self, tensors, is_closure, is_rivalled):
        """Note what a backward() begins with.

        is_closure   it is called within an optimiser's step
        is_rivalled  there are several optimisers
        """
        losses = [one for one in tensors if isinstance(one, self._torch.Tensor)
                  and one.numel() == 1]
        if not losses:
            return
        line = self._caller()
        name = self._names.get(line) or self._name(line, is_rivalled)
        if is_closure and name in self._values:
            return
        total = self._values.get(name)
        for loss in losses:
            value = self._value(loss)
            total = value if total is None else total + value
        self._values[name] = total
        self._lines[name] = line

    def give_out(self):
        """The losses since the last call."""
        values, self._values = self._values, {}
        self._lines.clear()
        return values

    def has_any(self):
        """Tell whether there are some."""
        return bool(self._values)

    def _value(self, loss):
        for ref, given in self._scaled:
            if ref() is loss:
                loss = given
        loss = loss.detach()
        return loss.item() if loss.device.type == "cpu" else loss.reshape(())

    def _caller(self):
        frame = sys._getframe(2)
        while frame is not None and frame.f_code.co_filename.startswith((self._library, _OURS)):
            frame = frame.f_back
        return (frame.f_code, frame.f_lineno) if frame is not None else (None, 0)

    def _name(self, line, is_rivalled):
        code, number = line
        path = code.co_filename if code is not None else ""
        name = "loss"
        if (is_rivalled or self._names) and not re.search(r"[/\\](?:site|dist)-packages[/\\]", path):
            name = name_in(linecache.getline(path, number))
        if name in self._lines and self._lines[name] != line:  # another line, in the same step
            name = next(one for one in (f"{name}.{i}" for i in range(2, MAX_SITES + 3))
                        if one not in self._lines)
        if len(self._names) < MAX_SITES:
            self._names[line] = name
        return name
