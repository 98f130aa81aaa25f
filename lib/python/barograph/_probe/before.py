# SPDX-License-Identifier: Apache-2.0
"""What the training loop did to the data before the models saw it, when that gave NaN.

A model, or the loss, was given something that is not finite. Either the data held it, or the loop
made it (a division by a deviation of 0, the logarithm of a negative column). What the loop did is
read in its source (source.py) and done again with what the loader gave; if that comes to the very
same bits, its first operation that is guilty is told. Else it is told as far as it is known.
"""
import linecache
import os
import sys

import torch

from .harmless import Cannot, same
from .program import user_frames
from .search import Look, Search
from .source import Reached, Reader
from .text import computes
from .trace import INPUT, RESULT, Op, Trace, Value

MAX_TEXT = 60     # of a line of source
MODULE = "input"  # where operations before the first model are


class Before:
    """Looks for where a value from outside came from; models: of Names, data: what a loader gave
    last, as Loads.given() has it, or None."""

    def __init__(self, captured, names, calls, data, rng):
        self._captured = captured
        self._names = names
        self._calls = calls
        self._data = data
        self._rng = rng          # the state of random numbers as the step began, or None
        self._frames = _frames()

    def look(self, origin):
        """What origin to tell instead of one from outside; the same one where nothing is known."""
        tensor = self._captured.store.get(origin.value)
        if tensor is None or not self._frames:
            return origin
        state = torch.get_rng_state()
        try:
            found = self._again(tensor)
            return self._joined(origin, *found) if found is not None else self._told(origin, tensor)
        finally:
            torch.set_rng_state(state)

    # ---- done again ----

    def _again(self, tensor):
        """Do again what led to a tensor: (trace, store, its value there), or None."""
        captured = self._captured
        store = type(captured.store)()
        trace = Trace(self._names, store)
        trace.n_batch, trace.batch_place = captured.trace.n_batch, captured.trace.batch_place
        trace.replayed_by, trace.module = sys._getframe(0).f_code, MODULE

        def on_line(path, line):
            trace.source = f"{os.path.basename(path)}:{line}"

        reader = Reader(self._frames, self._data.anew() if self._data is not None else None,
                        [call.module for call in self._calls], on_line, trace.pause)
        reader.may_draw = self._rng is not None
        if not trace.start():
            return None
        try:
            for found in self._ways(reader, tensor):
                with trace.pause():
                    is_it = found is not tensor and same(found, tensor)
                    value = trace.newest_of(found) if is_it else None
                if value is not None and value.op is not None and trace.error is None:
                    return trace, store, value
        finally:
            trace.stop()
        return None

    def _ways(self, reader, tensor):
        """Give what the source says that a tensor is, once for each place where it is used."""
        for frame in reader.frames:
            with reader.aside():
                named = [name for name, held in frame.held().items()
                         if held is tensor or (isinstance(held, torch.Tensor)
                                               and same(held, tensor))]
            for name in named:
                setters = frame.setters(name)
                self._wind(reader)
                try:
                    yield (frame.set_by(name, setters[-1]) if setters
                           else frame.argument(name))
                except (Cannot, Reached):
                    pass
        for frame in reader.frames:
            for statement, node in frame.calls():
                given = ()
                was = frame.at(statement.lineno)
                self._wind(reader)
                try:
                    with reader.line(frame.code.co_filename, node.lineno):
                        frame.value(node)
                except Reached as reached:
                    given = reached.given
                except Cannot:
                    pass
                finally:
                    frame.at(was)
                yield from _tensors(given)

    def _wind(self, reader):
        """Random numbers begin as they did in the step."""
        if self._rng is not None:
            with reader.aside():
                torch.set_rng_state(self._rng)

    def _joined(self, origin, trace, store, value):
        """The step's trace begins with what was done before it."""
        found = Search(trace, store.get).origin(value)
        if found is None:
            return origin
        captured = self._captured
        needed, waiting = {value}, [value]
        while waiting:
            one = waiting.pop()
            for part in one.op.inputs if one.op is not None else ():
                if part is not None and part not in needed:
                    needed.add(part)
                    waiting.append(part)
        ops = [op for op in trace.ops if any(one in needed for one in op.outputs)]
        mine = {one for op in ops for one in (*op.inputs, *op.outputs) if one is not None}
        here = origin.value       # is that value, and is not from outside any more
        number = len(captured.trace.values)
        for one in sorted(mine - {value}, key=lambda one: one.number):
            tensor = store.get(one)
            one.number = number
            number += 1
            captured.trace.values.append(one)
            if tensor is not None:
                captured.store.tensors[one.number] = tensor
        for op in ops:
            op.inputs = [here if one is value else one for one in op.inputs]
            op.outputs = [here if one is value else one for one in op.outputs]
        here.kind, here.op = RESULT, value.op
        if found.value is value:
            found.value = here
        captured.trace.ops[:0] = ops
        for at, op in enumerate(captured.trace.ops):
            op.number = at
        return found

    # ---- not done again ----

    def _told(self, origin, tensor):
        """It cannot be done again: say between what it happened."""
        what = "NaN" if Look(tensor).has_nan else "inf"
        share, name = _share(tensor), origin.value.name or "what a model or the loss was given"
        line = self._line(tensor)
        where = f" ({line})" if line else ""
        data = self._data
        if data is not None and data.holds(tensor) and not data.is_written():
            return origin
        if data is not None and not data.is_written() and data.is_finite():
            text = (f"what the loader gave was finite; it became {what} between the loader and the "
                    f"model{where}: {share} of '{name}'")
            return self._between(origin, tensor, text, line)
        if data is not None and data.is_written() and data.holds(tensor):
            origin.cause = (f"'{name}' held {what} when it was used: {share}; the loop has written "
                            f"into it since the loader gave it{where}")
        elif line:
            origin.cause = (f"'{name}' held {what} when it was used: {share}; it came so with the "
                            f"data, or was computed so{where}")
        return origin

    def _between(self, origin, tensor, text, line):
        """An operation that stands for all that was done in between."""
        trace, store = self._captured.trace, self._captured.store
        given = []
        for held in self._data.tensors():
            value = Value(len(trace.values), INPUT, "", held)
            if value.shape and trace.n_batch and value.shape[0] == trace.n_batch:
                value.batch = 0
                value.unit = 1 if len(value.shape) > 1 else -1
            trace.values.append(value)
            store.tensors[value.number] = held
            given.append(value)
        op = Op("arithmetic", "", given, [origin.value], MODULE, line.split(": ")[0])
        origin.value.kind, origin.value.op = RESULT, op
        trace.ops.insert(0, op)
        for at, one in enumerate(trace.ops):
            one.number = at
        origin.op, origin.cause = op, text
        return origin

    def _line(self, tensor):
        """The line that set the variable which holds a tensor, with its text; "": it computes not."""
        reader = Reader(self._frames)
        for frame in reader.frames:
            for name, held in frame.held().items():
                if not isinstance(held, torch.Tensor) or not (held is tensor or same(held, tensor)):
                    continue
                setters = frame.setters(name)
                if setters and computes(setters[-1]):
                    path, number = frame.code.co_filename, setters[-1].lineno
                    text = linecache.getline(path, number).strip()
                    text = text if len(text) <= MAX_TEXT else text[:MAX_TEXT - 3] + "..."
                    return f"{os.path.basename(path)}:{number}: {text}"
        return ""


def _frames():
    """The user's functions under way; those that an exception has ended."""
    found = user_frames(sys._getframe(1))
    if found:
        return found
    trace, frames = sys.exc_info()[2] or getattr(sys, "last_traceback", None), []
    while trace is not None:
        frames.append(trace.tb_frame)
        trace = trace.tb_next
    return user_frames(frames[-1]) if frames else []


def _tensors(given, depth=2):
    for one in given:
        if isinstance(one, torch.Tensor):
            yield one
        elif depth and isinstance(one, (list, tuple)):
            yield from _tensors(one, depth - 1)
        elif depth and isinstance(one, dict):
            yield from _tensors(one.values(), depth - 1)


def _share(tensor):
    bad = tensor.isnan()
    n = int(bad.sum()) or int((~tensor.isfinite()).sum())
    return f"{n} of {tensor.numel()} elements"
