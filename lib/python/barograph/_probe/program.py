# SPDX-License-Identifier: Apache-2.0
"""What a training loop does outside of its models, kept so that it can be done again.

Models are called again as they are (again.py). The loss function is the user's code and cannot be
called; but the last step that was traced tells which operations it came to. Those are done again
with the outputs of the models and with what the loop took from elsewhere (targets, masks): found
among what the models were given, in the same variables of the same functions, among the tensors that
autograd has saved for the loss, or among the parameters. What was computed from something that
cannot be found (noise that only a function which has returned knew) is not done again if autograd
has saved the result: the program goes on from there.
"""
import contextlib
import math
import sys
import weakref

import torch

from .again import conditions, same_bits
from .schema import flatten, spec_of
from .trace import BUFFER, CONSTANT, INPUT, NOISE, PARAMETER, Ref, is_users, locals_of

MAX_FRAMES = 5
MAX_NODES = 4000      # of the loss's graph that are looked at
MAX_PARTS = 64        # of a container
MAX_DEPTH = 3
_item_bytes = {}       # of a type of element
_saved_names = {}      # of a type of node: of what it may save


class Lost(Exception):
    """Something that is needed cannot be found; the text says what."""


def user_frames(frame):
    """The user's functions under way from a frame on, innermost first."""
    found = []
    while frame is not None and len(found) < MAX_FRAMES:
        if is_users(frame.f_code.co_filename):
            found.append(frame)
        frame = frame.f_back
    return found


def _parts(value):
    if isinstance(value, dict):
        return list(value.items())[:MAX_PARTS]
    if isinstance(value, (list, tuple)):
        return list(enumerate(value[:MAX_PARTS]))
    return []


def _members(value):
    """What an object of the user's holds by name."""
    members = getattr(value, "__dict__", None)
    return list(members.items())[:256] if type(members) is dict else []


def find_in_frames(tensor, frames):
    """Where a tensor is among the variables of functions; None, or a path for follow()."""
    for at, frame in enumerate(frames):
        variables = locals_of(frame)
        waiting = [((name,), value, 0) for name, value in list(variables.items())]
        if "self" in variables:
            waiting += [(("self", "." + name), value, 1) for name, value in
                        _members(variables["self"])]
        while waiting:
            path, value, depth = waiting.pop(0)
            if value is tensor:
                return at, frame.f_code, path
            if depth < MAX_DEPTH and isinstance(value, (dict, list, tuple)):
                waiting += [(path + (key,), part, depth + 1) for key, part in _parts(value)]
    return None


def follow(place, frames, variables=None):
    """The tensor at a path of find_in_frames(), or None.

    variables  those of frames that were asked for already; added to
    """
    at, code, path = place
    if at >= len(frames) or frames[at].f_code is not code:
        return None
    known = variables.get(at) if variables is not None else None
    if known is None:
        known = locals_of(frames[at])
        if variables is not None:
            variables[at] = known
    value = known.get(path[0])
    for key in path[1:]:
        try:
            value = (getattr(value, key[1:], None) if isinstance(key, str) and key[:1] == "."
                     else value[key])
        except (KeyError, IndexError, TypeError):
            return None
    return value if isinstance(value, torch.Tensor) else None


def nodes_of(loss, most=MAX_NODES):
    """The nodes of a loss's graph from the loss on, each once, in a fixed order."""
    found, seen, waiting = [], set(), [loss.grad_fn]
    while waiting and len(found) < most:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        found.append(node)
        waiting.extend(one for one, _ in reversed(node.next_functions))
    return found


def saved_tensors(node):
    """What autograd has saved at a node, as (attribute, tensor)."""
    found = []
    names = _saved_names.get(type(node))
    if names is None:
        names = [name for name in dir(node) if name.startswith("_saved_")]
        if not hasattr(node, "__dict__"):  # else a function of the user's
            _saved_names[type(node)] = names
    for name in names:
        try:
            value = getattr(node, name)
        except RuntimeError:  # freed already
            continue
        if isinstance(value, torch.Tensor):
            found.append((name, value))
    return found


def is_bad_loss(loss):
    """Tell whether a tensor is a loss that is not finite."""
    return (loss is not None and loss.numel() == 1 and loss.grad_fn is not None
            and not math.isfinite(loss.item()))


def bad_loss_in(frames):
    """A variable of functions that holds a loss which is not finite; None: there is none."""
    for frame in frames:
        for value in list(locals_of(frame).values()):
            if isinstance(value, torch.Tensor) and is_bad_loss(value):
                return value
    return None


class Template:
    """The program of one traced step, with the places of what it took from outside."""

    def __init__(self, trace, loss, frames):
        self.loss = trace.value_of(loss)
        self.program = _needed(trace.program, self.loss)
        self.modules = [weakref.ref(line.call.module) for line in self.program if line.call]
        for line in self.program:
            if line.call:
                line.call.module = None   # nothing of the model is held
        self.has_noise = any(value.kind == NOISE for value in trace.values)
        self._writes = any(line.function is not None and spec_of(line.function).written
                           for line in self.program)
        self._names = {}      # value: name of a parameter or buffer
        self._copies = {}     # value: a small constant
        self._results = {}    # value: place of an operation within a model
        self._framed = {}     # value: place among the variables of functions
        self._saved = {}      # value: (which node of the loss's graph, attribute)
        self._given = {}      # value: (which call of a model, which of the tensors that it is given)
        self._lost = set()    # values that cannot be had
        self._nodes = []      # names of the graph's nodes, as far as they are needed
        self._loss_place = find_in_frames(loss, frames)
        self._place_all(trace, loss, frames)
        self.edges = edges_of(trace)
        self.n_bytes = sum(_size(value.shape) * _bytes_of(value.dtype) for value in trace.values)

    def _place_all(self, trace, loss, frames):
        made, nodes, newest = set(), None, None
        calls = [line.call for line in self.program if line.call]
        for number, call in enumerate(calls):
            for at, value in enumerate(call.inputs):
                if value.kind == INPUT:
                    self._given.setdefault(value, (number, at))
        for line in self.program:
            for value in _taken(line):
                if value in made or value in self._given:
                    continue
                made.add(value)
                if value.kind in (PARAMETER, BUFFER):
                    self._names[value] = value.name
                    continue
                if value.op is not None:  # of within a model, which has put it somewhere
                    self._results[value] = (value.op.number, value.op.name,
                                            value.op.outputs.index(value))
                    continue
                tensor = trace.tensor_of(value)
                place = find_in_frames(tensor, frames) if tensor is not None else None
                if place is not None:
                    self._framed[value] = place
                elif value.kind == CONSTANT and tensor is not None and tensor.numel() <= 64:
                    self._copies[value] = tensor.detach().clone()
                else:
                    if nodes is None:
                        nodes = [(node, saved_tensors(node)) for node in nodes_of(loss)]
                    address = tensor.data_ptr() if tensor is not None else 0
                    if not self._place_saved(value, tensor, address, nodes):
                        self._lost.add(value)
            outputs = [one for one in line.outputs if one is not None]
            if not line.call and self._lost.intersection(_taken(line)):
                if newest is None:  # memory is used again: who got it last is the one that holds it
                    newest = {value.address: value for value in trace.values if value.address}
                for value in outputs:
                    if newest.get(value.address) is not value or not self._place_saved(
                            value, None, value.address, nodes):
                        self._lost.add(value)
            made.update(outputs)
        if self._saved:
            last = max(at for at, _ in self._saved.values())
            self._nodes = [node.name() for node, _ in nodes[:last + 1]]

    def _place_saved(self, value, tensor, address, nodes):
        """Find a value among what autograd has saved; False when it is not there."""
        for at, (_, saved) in enumerate(nodes):
            for name, one in saved:
                if one.shape == value.shape and one.dtype == value.dtype and (
                        one is tensor or (address and one.numel() > 0
                                          and one.data_ptr() == address)):
                    self._saved[value] = (at, name)
                    return True
        return False

    def leaves_out(self, line):
        """Tell whether a line is not done again: what it gives cannot be had, or is had anyway."""
        return any(value in self._lost or value in self._saved for value in line.outputs
                   if value is not None)

    def is_cut_at(self, value):
        """Tell whether a value is had from autograd, though an operation outside of models gave it."""
        return value in self._saved and value.op is not None and value.op.line is not None

    def place_given(self, value):
        """(which call, which of its tensors) for a value that a model was given; else None."""
        return self._given.get(value)

    def loss_in(self, frames):
        """The loss of the step under way, from the variable that held it when this was made."""
        if self._loss_place is None:
            return None
        _, code, path = self._loss_place
        for frame in frames:
            if frame.f_code is code:
                return follow((0, code, path), [frame])
        return None

    def fits(self, calls):
        """Tell whether a step has called the same models in the same order."""
        if len(calls) != len(self.modules):
            return False
        for ref, one in zip(self.modules, calls):
            if ref() is not one.module:
                return False
        return True

    def gather(self, frames, loss):
        """What this step has taken from outside, as {value: tensor}: by reference."""
        found = {}
        variables = {}   # of each function, asked for once: to ask makes a dictionary of them all
        for value, place in self._framed.items():
            tensor = follow(place, frames, variables)
            if tensor is not None:
                found[value] = tensor
        if self._saved and loss is not None:
            nodes = nodes_of(loss, len(self._nodes))
            if [node.name() for node in nodes] == self._nodes:
                for value, (at, name) in self._saved.items():
                    tensor = getattr(nodes[at], name, None)
                    if isinstance(tensor, torch.Tensor):
                        found[value] = tensor
        return found

    def find(self, value, gathered, sandbox, results):
        """The tensor of this step that stands for a value from outside.

        gathered  of gather()
        results   function: (number of an operation, its name, which output): tensor or None
        """
        tensor = gathered.get(value)
        is_other = tensor is None
        if is_other and value in self._names:
            tensor = sandbox.copy_named(self._names[value])
        elif is_other and value in self._results:
            tensor = results(*self._results[value])
        elif is_other:
            tensor = self._copies.get(value)
            is_other = False
        if (tensor is None or tensor.dtype != value.dtype or tensor.dim() != len(value.shape)):
            raise Lost(f"'{value.name}'" if value.name else "a tensor without a name")
        return tensor.detach().clone() if self._writes and not is_other else tensor


def edges_of(trace):
    """Names of the parameters whose gradients show the most of all gradients, fewest first.

    What is not finite in a backward pass goes on to all that lies before it, unless something (a
    unit that is 0) stops it. So there are two kinds: parameters with none before them, and those
    next to the loss, with none behind them. Of one operation the smallest is enough.
    """
    own, has, steps = {}, set(), []
    for op in trace.ops:
        parameters, others = [], []
        for value in op.inputs:
            if value is None:
                continue
            root = own.get(value, value if value.kind == PARAMETER else None)
            (parameters if root is not None else others).append(root or value)
        if parameters and not others and len(set(parameters)) == 1:
            own.update((one, parameters[0]) for one in op.outputs if one is not None)
            continue
        is_after = any(one in has for one in others)
        if parameters or is_after:
            has.update(one for one in op.outputs if one is not None)
        if parameters:
            steps.append((op, parameters, is_after))
    joined = set()   # values behind which there are more parameters
    behind = {id(op): parameters for op, parameters, _ in steps}
    for op in reversed(trace.ops):
        if id(op) in behind or any(one in joined for one in op.outputs):
            joined.update(one for one in op.inputs if one is not None)
    first, last = [], []
    for op, parameters, is_after in steps:
        names = [one.name for one in sorted(parameters, key=lambda one: _size(one.shape))
                 if one.name]
        if names and not is_after:
            first.append(names[0])
        elif names and not any(one in joined for one in op.outputs):
            last.append(names[0])
    return first, last


def _bytes_of(dtype):
    known = _item_bytes.get(dtype)
    if known is None:  # torch 1.13 does not say; to make a tensor and ask it is dear
        known = getattr(dtype, "itemsize", None)
        if known is None and dtype is not torch.bool:
            parts = 2 if dtype.is_complex else 1
            about = torch.finfo if dtype.is_floating_point or parts == 2 else torch.iinfo
            known = about(dtype).bits // 8 * parts
        known = _item_bytes[dtype] = known or 1
    return known


def _size(shape):
    n = 1
    for extent in shape:
        n *= extent
    return n


def _taken(line):
    """The values that a line takes."""
    if line.call:
        return []
    found, waiting = [], [line.args, line.kwargs]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Ref):
            found.append(part.value)
        elif type(part) in (list, tuple):
            waiting.extend(part)
        elif type(part) is dict:
            waiting.extend(part.values())
    return found


def _needed(program, loss):
    """The lines that lead to the loss, and those that draw random numbers on the way."""
    wanted, kept, is_before = {loss}, [], False
    for line in reversed(program):
        if line.call:
            kept.append(line)
            wanted.update(line.call.inputs)   # that an earlier model's outputs were made into
            continue
        is_wanted = any(one in wanted for one in line.outputs if one is not None)
        is_before |= is_wanted
        if is_wanted or (is_before and spec_of(line.function).draws):
            kept.append(line)
            wanted.update(_taken(line))
    return kept[::-1]


def _as_written():
    """Within it, what is compiled runs as it was written, where torch can do so."""
    set_stance = getattr(getattr(torch, "compiler", None), "set_stance", None)
    if set_stance is None or "torch._dynamo.eval_frame" not in sys.modules:
        return contextlib.nullcontext()
    return set_stance("force_eager")


class Replay:
    """A step computed again under a trace."""

    def __init__(self, trace, store, sandbox, calls, tensors_in):
        self._trace = trace
        self._store = store
        self._sandbox = sandbox
        self._calls = calls
        self._tensors_in = tensors_in   # function: tensors of what a model gives
        self._again = {}                # id of a tensor that a model gave: the one given again
        self._made = {}                 # value of the program: its tensor here
        self._kept = []
        self.is_exact = True            # as far as it can be compared
        self.loss = None
        self.lost = None                # what could not be found for the part after the models

    def run(self, template, gathered, loss):
        """Do it all; template None: the models alone."""
        self._trace.replayed_by = sys._getframe(0).f_code
        if self._calls and self._calls[0].rng is not None:
            torch.set_rng_state(self._calls[0].rng)
        if template is None:
            for call in self._calls:
                self._call(call)
            return
        made, calls = self._made, iter(self._calls)
        for line in template.program:
            self._trace.source, self._trace.module = line.source, line.module
            if line.call:
                call = next(calls)
                self._join(line.call, call)
                outputs = self._call(call)
                made.update(zip(line.outputs, outputs))
            elif not template.leaves_out(line):
                try:
                    self._do(line, made, template, gathered)
                except Lost as what:   # so is what depends on it
                    self.lost = self.lost or str(what)
        self.loss = made.get(template.loss)
        if self.loss is not None:
            self.lost = None
        if self.lost is None:
            with self._trace.pause():
                if self.loss is None or loss is None or not same_bits(self.loss, loss):
                    self.is_exact = False

    def close(self):
        """Hold nothing of what was computed."""
        self.loss = None
        self._kept.clear()
        self._made.clear()
        self._again.clear()
        self._sandbox = self._trace = self._store = None
        self._calls = ()

    def _join(self, was, call):
        """What a model is given may have been made here, out of what an earlier one gave."""
        given = [tensor for _, tensor in call.names(call.args, call.kwargs)]
        if len(given) != len(was.inputs):
            return
        with self._trace.pause():
            for value, tensor in zip(was.inputs, given):
                here = self._made.get(value)
                if here is not None and id(tensor) not in self._again and same_bits(tensor, here):
                    self._again[id(tensor)] = (tensor, here)

    def _given(self, place):
        """What a model was given in this step: (which call, which tensor)."""
        number, at = place
        if number >= len(self._calls):
            return None
        call = self._calls[number]
        given = call.names(call.args, call.kwargs)
        return given[at][1] if at < len(given) else None

    def _call(self, call):
        if call.rng is not None:
            torch.set_rng_state(call.rng)
        self.is_exact &= call.is_unchanged()
        with self._trace.pause():
            args, kwargs = self._here(call.args), self._here(call.kwargs)
        named = call.names
        with conditions(call), _as_written():
            self._trace.enter_model(call.module, named(args, kwargs))
            output = call.module(*args, **kwargs)
            found = self._tensors_in(output)
            self._trace.leave_model(found)
        self._kept.append(output)
        with self._trace.pause():
            for ref, tensor in zip(call.outputs, found):
                was = ref()
                if was is not None:
                    self._again[id(was)] = (was, tensor)
                    self.is_exact &= same_bits(was, tensor)
        return found

    def _here(self, value):
        """What a model is given here: what earlier models gave here, and leaves of our own."""
        if isinstance(value, torch.Tensor):
            known = self._again.get(id(value))
            if known is not None:
                return known[1]
            if value.grad_fn is not None or (value.requires_grad and not isinstance(
                    value, torch.nn.Parameter)):
                return value.detach().requires_grad_(value.requires_grad)
            return self._sandbox.copy_of(value)
        if type(value) in (list, tuple):
            return type(value)(self._here(part) for part in value)
        if type(value) is dict:
            return {key: self._here(part) for key, part in value.items()}
        return value

    def _result(self, number, name, place):
        ops = self._trace.ops
        if number >= len(ops) or ops[number].name != name or place >= len(ops[number].outputs):
            return None
        value = ops[number].outputs[place]
        return self._store.get(value) if value is not None else None

    def _do(self, line, made, template, gathered):
        def here(value):
            if isinstance(value, Ref):
                known = made.get(value.value)
                if known is None:
                    with self._trace.pause():
                        place = template.place_given(value.value)
                        known = self._given(place) if place is not None else None
                        if known is None:
                            known = template.find(value.value, gathered, self._sandbox,
                                                  self._result)
                        known = self._here(known)
                        if template.is_cut_at(value.value) and self._trace.value_of(known) is None:
                            self._trace.take_result(known, value.value)
                    made[value.value] = known
                    if value.value.name and value.value.kind == INPUT:
                        self._trace.inputs[id(known)] = (known, value.value.name)
                return known
            if type(value) in (list, tuple):
                return type(value)(here(part) for part in value)
            if type(value) is dict:
                return {key: here(part) for key, part in value.items()}
            return value

        args, kwargs = here(line.args), here(line.kwargs)
        with torch.set_grad_enabled(line.has_grad):
            output = line.function(*args, **kwargs)
        for value, tensor in zip(line.outputs, flatten(output)):
            if value is not None and tensor is not None:
                made[value] = tensor
                self._kept.append(tensor)

