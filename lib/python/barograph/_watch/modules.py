# SPDX-License-Identifier: Apache-2.0
"""The modules of watched models: what they give in a forward pass, and its gradients.

A module that is due in a step has a forward hook for that step alone, under a key of ours among
its hooks; all others run as if nothing was there. The hook goes away with its module's first
call, but for modules that are called again in the same pass: calls 2 to 4 are series of their
own, `name#2` and so on, as long as no backward pass and no optimiser's step has begun. So the
two calls of a GAN's critic are told apart, and of accumulated micro-batches the first is seen.

A hook that is copied or saved with its module turns into something that does nothing.
"""
import contextlib
import inspect
import itertools
import sys
import weakref

import torch

from .. import _tensors
from .._attention import Attention, looks_like_attention
from . import layout
from .cadence import Search
from .model import PREFIXES, TRAIN

try:  # within torch.compile() hooks are traced: ours must come to nothing there
    from torch.compiler import is_compiling
except ImportError:
    def is_compiling():
        """This torch compiles nothing."""
        return False

# torch.jit.trace() would keep what a hook does as a part of the model.
is_tracing = getattr(torch._C, "_is_tracing", None) or torch._C._get_tracing_state

try:
    transform = torch._C._functorch.peek_interpreter_stack
except AttributeError:
    def transform():
        return None

MAX_CALLS = 4     # of one module in one pass that are measured
_numbers = itertools.count(1)


class Hook:
    """A callable to put among a module's hooks."""

    __slots__ = ("call",)

    def __init__(self, call):
        self.call = call

    def __call__(self, *args):
        if not is_compiling() and not is_tracing():
            self.call(*args)

    def __reduce__(self):  # in a copy, or loaded where Barograph is not: takes all, gives None
        return getattr, (contextlib.nullcontext(), "__exit__")


class Output:
    """One tensor of a module's output: its view, and the view of its gradient."""

    __slots__ = ("act", "grad", "waits", "on_grad")

    def __init__(self, watcher, known, phase, name, hint):
        role, grad_role = known.roles
        axis = 0 if role == "weight" else None
        self.act = _tensors.View(name, role, hint=hint, axis=axis)
        self.grad = grad = _tensors.View(name, grad_role, hint=hint, axis=axis)
        self.waits = -1  # stamp of the step in which the hook for the gradient was set
        for view in (self.act, self.grad):
            view.owner, view.phase = known, phase

        def on_grad(gradient):
            watcher.modules.end_pass()
            if grad.stamp != watcher.stamp <= self.waits + 1 and not grad.is_broken:
                began = watcher.clock()
                watcher.measure(grad, gradient)
                watcher.book(began)

        self.on_grad = on_grad


class Module:
    """What is known of one module."""

    __slots__ = ("model", "ref", "name", "hint", "is_rnn", "is_leaf", "is_idle", "roles",
                 "outputs", "hook", "entry", "calls", "is_hooked", "is_entered", "looks",
                 "__weakref__")

    def __init__(self, model, module, name, hint, roles):
        self.model = model
        self.ref = weakref.ref(module)
        self.name = name
        self.hint = hint
        self.roles = roles      # of what it gives and of that's gradient
        self.is_rnn = isinstance(module, torch.nn.RNNBase)
        self.is_leaf = next(module.children(), None) is None
        self.is_idle = not model.wants(name) or not model.roles & set(roles)
        self.outputs = {}       # (phase, call, suffix): Output, or None: shown elsewhere already
        self.calls = {}         # phase: (stamp, pass, calls so far)
        self.is_hooked = self.is_entered = False
        self.looks = None       # of an attention layer: hooks before and after it

    def want(self, view):
        """One of its views is due."""
        self.model.watcher.modules.want(self)


class Modules:
    """All modules of a run's watched models."""

    def __init__(self, watcher):
        self._watcher = watcher
        self._key = f"barograph{next(_numbers)}"
        self._known = {}         # id of module: Module
        self._references = []    # weak references that remove from _known
        self._hooked = []        # modules with a hook in this step
        self._entries = []       # modules with a hook before them in this step
        self._layout = None      # hint of the last layer whose layout is known
        self._seen = {}          # outputs of this step, so that containers do not repeat them
        self._unseen = {phase: {} for phase in PREFIXES}  # id of Module never measured: itself
        self._search = {phase: Search() for phase in PREFIXES}
        self._pass = 0           # number of the pass: calls of one module within it are told apart
        self._is_passing = False  # a forward pass was seen since the last backward pass
        self._attention = Attention(watcher._run, watcher.clock, watcher.book)

    # ---- which there are ----

    def add(self, model, module, is_compiled):
        """Take in the modules of a model; those of another one stay its.

        is_compiled  tells of a module whether its forward pass is compiled
        """
        time_first, skipped = [], []
        for name, part in module.named_modules():
            if any(name == outer or name.startswith(f"{outer}.") for outer in skipped):
                continue
            if is_compiled(part) and name:
                skipped.append(name)
                continue
            is_first = layout.is_time_first(part)
            if is_first:
                time_first.append(name)
            known = self._known.get(id(part))
            if known is not None and known.ref() is part:
                continue
            hint = layout.unit_hint(part)
            if any(name == outer or name.startswith(f"{outer}.") or not outer
                   for outer in time_first) and hint == _tensors.LAST:
                hint = _tensors.TIME_FIRST
            self._take_in(model, part, name, hint)
        model.is_time_first |= bool(time_first)

    def _take_in(self, model, part, name, hint):
        roles = ("act", "act_grad")
        full = model.path(name) or type(part).__name__
        if "parametrizations." in f"{name}.":
            if type(part).__name__ != "ParametrizationList":
                return  # steps on the way to a weight
            roles = ("weight", "grad")
            full = full.replace("parametrizations.", "")
        known = Module(model, part, full, hint, roles)
        known.hook = Hook(lambda module, args, output: self._forward(known, module, output))
        known.entry = Hook(lambda module, args: self._enter(known, module, args))
        self._look(known, part, name)
        key = id(part)
        self._known[key] = known
        self._references.append(weakref.ref(part, lambda _: self._known.pop(key, None)))
        if not known.is_idle:
            for phase in PREFIXES:
                self._unseen[phase][id(known)] = known
                self._search[phase] = Search()

    def find(self, module):
        """What is known of a module, or None."""
        return self._known.get(id(module))

    def at(self, key):
        """What is known of the module with this id, or None."""
        return self._known.get(key)

    def forget_dead(self):
        """Let go of modules that are gone."""
        self._references = [one for one in self._references if one() is not None]
        for unseen in self._unseen.values():
            for key in [key for key, known in unseen.items() if known.ref() is None]:
                del unseen[key]

    def _look(self, known, part, name):
        """Have attention layers looked into, too."""
        if looks_like_attention(part, name) and "act" in known.model.roles:
            attention = self._attention
            known.looks = (
                Hook(lambda module, args: attention.before()),
                Hook(lambda module, args, output: attention.after(
                    f"{PREFIXES[known.model.phase()]}{known.name}")))

    # ---- hooks ----

    def want(self, known):
        """Have a module hooked in this step."""
        if not known.is_hooked and not known.is_idle:
            self._hook(known)

    def want_model(self, model):
        """Have all modules of a model hooked in this step."""
        for known in list(self._known.values()):
            if known.model is model:
                self.want(known)

    def has_hooks(self):
        """Tell whether a module has a hook of ours now."""
        return bool(self._hooked or self._entries)

    def open(self, phase):
        """Begin a phase of a step: what has never been measured is looked for."""
        unseen = self._unseen[phase]
        if unseen and self._search[phase].is_time():
            for known in list(unseen.values()):
                self.want(known)

    def guard_entries(self, models):
        """Be called when a model is called, for the rest of this step."""
        for model in models:
            root = model.ref()
            if root is None or not model.is_ours:
                continue
            for key in {id(root), *model.entries}:
                known = self._known.get(key)
                module = known.ref() if known is not None else None
                if module is not None and not known.is_entered:
                    known.is_entered = True
                    module._forward_pre_hooks[self._key] = known.entry
                    self._entries.append(known)

    def _hook(self, known):
        module = known.ref()
        if module is not None:
            known.is_hooked = True
            module._forward_hooks[self._key] = known.hook
            if known.looks is not None:
                before, after = known.looks
                module._forward_pre_hooks[f"{self._key}.looks"] = before
                module._forward_hooks[f"{self._key}.looks"] = after
            self._hooked.append(known)

    def _unhook(self, known):
        module = known.ref()
        known.is_hooked = False
        if module is not None:
            module._forward_hooks.pop(self._key, None)
            if known.looks is not None:
                module._forward_pre_hooks.pop(f"{self._key}.looks", None)
                module._forward_hooks.pop(f"{self._key}.looks", None)

    def leave(self, module):
        """A module is going to be compiled: it has no hook of ours from now on."""
        for part in module.modules():
            known = self.find(part)
            if known is not None and known.ref() is part:
                known.is_idle = True
                known.model.entries.discard(id(part))
                self._unhook(known)
                part._forward_pre_hooks.pop(self._key, None)

    def close(self):
        """End a step: no module has a hook of ours any more."""
        for known in self._hooked:
            if known.is_hooked:
                self._unhook(known)
        self._hooked.clear()
        self._attention.exit()
        for known in self._entries:
            known.is_entered = False
            module = known.ref()
            if module is not None:
                module._forward_pre_hooks.pop(self._key, None)
        self._entries.clear()
        self._seen.clear()
        self.end_pass()

    def end_pass(self):
        """A backward pass or an optimiser's step has begun."""
        if self._is_passing:
            self._is_passing = False
            self._pass += 1

    # ---- a forward pass ----

    def _enter(self, known, module, args):
        """A model, or a part of it that is called by itself, is called."""
        watcher = self._watcher
        try:
            if watcher.is_on:
                if watcher.has_compiled:  # else it is done already
                    watcher.probes.guard(module, args)
                self.enter(known, module, args)
        except Exception as error:
            watcher.tell_failure(("input", type(error).__name__),
                                 f"the input of '{known.name}' is left out: {error!r}")

    def enter(self, known, module, args, began=None):
        """Note a forward pass that begins, and measure what enters the model.

        began  of the watcher's clock, when own time has been spent before
        """
        began = self._watcher.clock() if began is None else began
        model = known.model
        phase = model.phase()
        is_open = self._watcher.open(phase)
        if phase == TRAIN:
            model.join()
        elif not is_open:
            self._pass += 1
        model.enter(known, phase, args, lambda: keywords(module, len(args)))
        self._watcher.book(began)

    def _forward(self, known, module, output):
        watcher = self._watcher
        if not watcher.is_on:
            return
        if transform() is not None:
            watcher.tell_failure("func", "what torch.func transforms is not measured")
            return
        began = watcher.clock()
        try:
            self._see(known, module, output)
        except Exception as error:
            known.is_idle = True
            watcher.tell_failure(("forward", type(error).__name__),
                                 f"the output of '{known.name}' is left out: {error!r}")
        watcher.book(began)

    def _see(self, known, module, output):
        model = known.model
        phase = model.phase()
        self._watcher.open(phase)
        stamp = self._watcher.stamp
        if phase == TRAIN and model.joined != stamp:
            model.entries.add(id(module))  # it was called by itself, not by its model
            model.join()
        last, number, n = known.calls.get(phase, (-1, 0, 0))
        if last != stamp:
            n = 0
        elif number != self._pass or n >= MAX_CALLS:
            self._unhook(known)
            return
        n += 1
        known.calls[phase] = (stamp, self._pass, n)
        self._is_passing = True
        if known.hint is not None and (known.is_leaf or
                                       isinstance(module, torch.nn.MultiheadAttention)):
            self._layout = known.hint
        for suffix, tensor in layout.tensors_in(output):
            self._take(known, phase, n, suffix, tensor)
        self._unseen[phase].pop(id(known), None)

    def _take(self, known, phase, n, suffix, tensor):
        stamp = self._watcher.stamp
        version = 0 if tensor.is_inference() else tensor._version
        seen = self._seen.get(id(tensor))
        is_repeat = (seen is not None and seen[0]() is tensor and seen[1] == version
                     and not known.is_leaf and known.roles[0] == "act")
        self._seen[id(tensor)] = (weakref.ref(tensor), version)
        key = (phase, n, suffix)
        output = known.outputs.get(key)
        if output is None:
            if key in known.outputs or is_repeat:
                known.outputs[key] = None  # a container that passes its last layer's output on
                return
            name = f"{PREFIXES[phase]}{known.name}{f'#{n}' if n > 1 else ''}{suffix}"
            output = known.outputs[key] = Output(self._watcher, known, phase, name,
                                                 self._hint(known, suffix))
        model = known.model
        is_whole = model.whole == stamp
        if known.roles[0] in model.roles and (is_whole or output.act.is_wanted(stamp)):
            self._watcher.measure(output.act, tensor)
        if (known.roles[1] in model.roles and tensor.requires_grad and not tensor.is_leaf
                and phase == TRAIN and (is_whole or output.grad.is_wanted(stamp))
                and output.waits != stamp and not output.act.is_broken):
            output.waits = stamp
            tensor.register_hook(output.on_grad)

    def _hint(self, known, suffix):
        if known.is_rnn and suffix != ".0":
            return _tensors.TIME_FIRST  # last states: (layers, batch, units)
        if known.hint == _tensors.TIME_FIRST and suffix not in ("", ".0"):
            return _tensors.LAST        # attention weights come batch first
        return known.hint if known.hint is not None else self._layout


def keywords(module, n_args):
    """The keyword arguments of the call under way: hooks of torch 1.13 are not given them.

    n_args  positional ones; when they are all that forward() takes, there are no others
    """
    code = getattr(module.forward, "__code__", None)
    if (code is not None and code.co_argcount == n_args + 1
            and not code.co_kwonlyargcount and not code.co_flags & inspect.CO_VARKEYWORDS):
        return {}
    frame = sys._getframe(1)
    for _ in range(12):
        if frame is None:
            break
        if frame.f_code.co_name in ("_call_impl", "inner"):
            names = frame.f_locals
            if names.get("self") is module:
                given = names.get("kwargs")
                return given if isinstance(given, dict) else {}
        frame = frame.f_back
    return {}
