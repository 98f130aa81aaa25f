# SPDX-License-Identifier: Apache-2.0
"""Watching torch models. The only module that imports torch, and only when watch() is called.

What is measured, and when, within one step:

    forward      what enters the model, from a global forward pre-hook, then each module's first
                 output, from a global forward hook
    backward     the gradient of that output, from a hook on the tensor itself
    optimizer    the parameters' gradients, just before the optimiser's step uses them
    log()        the weights, after that step

so that the order of records is the order of causes. Modules are not touched: the hooks are
torch's global ones, taken away in steps that are not measured, so torch.save(model) and copies of
a model hold nothing of this. A step begins with the first forward pass of a watched module, is
measured whole or not at all (see _budget.py), and ends with log().

Nothing is cloned, converted or synchronised, and no random number is drawn: losses are the same,
bit for bit, with and without watch().

Not seen: outputs under torch.no_grad(); all but the first call of a module in one step; tensors
outside main memory (one event says so); modules within torch.compile'd ones; inputs that are
given to the model by keyword (torch's hook does not show them).
"""
import fnmatch
import gc
import time
import types
import weakref

import torch
from torch.nn.modules import module as torch_module

from . import _native, _tensors

ROLES = ("input", "weight", "grad", "act", "act_grad")
MAX_OUTPUTS = 8       # tensors of one module's output, or of a model's input
RESCAN_STEPS = 64     # measured steps between looks for parameters that were added or replaced

# Layers whose outputs have their units along a known axis; others follow their shape.
_UNITS_LAST = {"Linear", "Bilinear", "LayerNorm", "RMSNorm", "Embedding", "EmbeddingBag",
               "MultiheadAttention", "RNNBase", "RNNCellBase", "Transformer",
               "TransformerEncoder", "TransformerDecoder", "TransformerEncoderLayer",
               "TransformerDecoderLayer"}
_UNITS_FIRST = {"_ConvNd", "_BatchNorm", "_InstanceNorm", "GroupNorm", "_DropoutNd", "_MaxPoolNd",
                "_AvgPoolNd", "_AdaptiveMaxPoolNd", "_AdaptiveAvgPoolNd", "PixelShuffle"}
_WRAPPERS = {"DataParallel": "module", "DistributedDataParallel": "module",
             "OptimizedModule": "_orig_mod"}


def check_arguments(model, optimizer, every, roles, include, exclude):
    """Raise TypeError for what can never work."""
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"watch() takes a torch.nn.Module, not '{type(model).__name__}'")
    for one in _as_list(optimizer):
        if not callable(getattr(one, "step", None)) or not hasattr(one, "param_groups"):
            raise TypeError("optimizer is a torch optimiser or a list of them, not "
                            f"'{type(one).__name__}'")
    if every is not None and (not isinstance(every, int) or every < 1):
        raise TypeError(f"every is a whole number from 1, not {every!r}")
    if isinstance(roles, str) or any(role not in ROLES for role in roles):
        raise TypeError(f"roles is a list of some of {', '.join(ROLES)}, not {roles!r}")
    for patterns in (include, exclude):
        if not all(isinstance(pattern, str) for pattern in _as_list(patterns)):
            raise TypeError("include and exclude are glob patterns: a string or a list of them")


def _as_list(value):
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


class Output:
    """One tensor of a module's output: its view, and the view of its gradient."""

    __slots__ = ("act", "grad", "on_grad")

    def __init__(self, watcher, name, hint):
        self.act = _tensors.View(name, "act", hint=hint)
        self.grad = _tensors.View(name, "act_grad", hint=hint)
        grad = self.grad

        def on_grad(gradient):
            if grad.stamp != watcher.stamp and not grad.is_broken and watcher.is_measuring:
                watcher.measure(grad, gradient)

        self.on_grad = on_grad


class Module:
    """What is known of one watched module."""

    __slots__ = ("model", "name", "hint", "is_rnn", "is_leaf", "is_wanted", "stamp", "outputs")

    def __init__(self, model, name, hint, is_rnn, is_leaf, is_wanted):
        self.model = model
        self.name = name
        self.hint = hint
        self.is_rnn = is_rnn
        self.is_leaf = is_leaf
        self.is_wanted = is_wanted
        self.stamp = -1
        self.outputs = {}


class Model:
    """One model given to watch(): its parameters, and whether this step measures it."""

    def __init__(self, module, optimizers, every, roles, include, exclude, prefix):
        self.ref = weakref.ref(module, self._on_model_gone)
        self.optimizers = [weakref.ref(one) for one in optimizers]
        self.every = every
        self.roles = frozenset(roles)
        self.include = _as_list(include)
        self.exclude = _as_list(exclude)
        self.prefix = prefix
        self.parameters = []   # (parameter, view of the weight, view of the gradient)
        self.weights = self.grads = None  # rows of the same views
        self.inputs = {}       # suffix: view
        self.is_time_first = False
        self.has_modules = False  # its activations are looked at
        self.is_scanned = False
        self.stamp = -1        # stamp of the step in which its input was last seen
        self.is_on = False
        self.n_steps = 0
        self.n_measured = 0

    def _on_model_gone(self, _):
        self.parameters = []

    def wants(self, name):
        """Tell whether include and exclude let a name through."""
        if self.include and not any(fnmatch.fnmatchcase(name, p) for p in self.include):
            return False
        return not any(fnmatch.fnmatchcase(name, p) for p in self.exclude)

    def path(self, name):
        """Full name of a part of this model."""
        return ".".join(part for part in (self.prefix, name) if part)

    def scan_parameters(self):
        """Look at the model's parameters; shared ones come once, by their first name."""
        module = self.ref()
        known = {id(entry[0]): entry for entry in self.parameters}
        before, self.parameters = self.parameters, []
        for name, parameter in module.named_parameters() if module is not None else ():
            full = self.path(name)
            if self.wants(full) and not isinstance(parameter, _LAZY):
                self.parameters.append(known.get(id(parameter)) or (
                    parameter, _tensors.View(full, "weight"), _tensors.View(full, "grad")))
        if (self.weights is None or len(before) != len(self.parameters) or
                any(one is not other for one, other in zip(before, self.parameters))):
            self.weights = _tensors.Row([view for _, view, _ in self.parameters])
            self.grads = _tensors.Row([view for _, _, view in self.parameters])


_STRIDED = torch.strided
_NO_UNITS = _native.NO_UNITS
_LAZY = getattr(torch.nn.parameter, "UninitializedTensorMixin", ())


class Watcher:
    """All that a run watches: one for each run."""

    def __init__(self, run):
        self._run = run
        self._budget = run._budget
        self._models = []
        self._modules = {}        # id of module: Module
        self._references = []     # weak references that remove from _modules
        self._wrapped = []        # (weak reference to an optimiser, its step before, ours)
        self._on_first = None     # handle of the hook that waits for a step's first forward
        self._on_enter = None     # handle of the hook that measures what enters a model
        self._on_forward = None   # handle of the hook that measures activations
        self._layout = None       # hint of the last layer whose layout is known
        self._seen = set()        # outputs of this step, so that containers do not repeat them
        self._has_searched = False
        self._spent_s = 0.0       # own time of the step under way, booked at its end
        self.stamp = 0            # number of the step under way
        self.is_measuring = False
        self._is_decided = False

    # ---- what is watched ----

    def add(self, model, optimizer, every, roles, include, exclude, name):
        """Begin to watch a model."""
        is_compiled = False
        while type(model).__name__ in _WRAPPERS:
            is_compiled |= type(model).__name__ == "OptimizedModule"
            model = getattr(model, _WRAPPERS[type(model).__name__])
        known = next((one for one in self._models if one.ref() is model), None)
        if known is not None:
            self._run._complain("twice", "watch() was called twice for one model; what the first "
                                "call asked for holds")
            self._rescan(known)
            return
        watched = Model(model, _as_list(optimizer), every, roles, include, exclude,
                        self._prefix(model, name))
        watched.scan_parameters()
        self._models.append(watched)
        is_compiled |= any(getattr(part, "_compiled_call_impl", None) is not None or
                           type(part).__name__ == "OptimizedModule" for part in model.modules())
        if is_compiled:
            self._run._complain("compiled", "the activations of a compiled model are not seen; "
                                "weights and gradients are")
        else:
            watched.has_modules = True
            self._add_modules(watched, model)
        for one in _as_list(optimizer):
            self._wrap(one)
        self._arm()

    def _prefix(self, model, name):
        if name is not None:
            return str(name)
        if not self._models:
            return ""
        taken = {known.prefix for known in self._models}
        base = type(model).__name__
        names = [base] + [f"{base}{i}" for i in range(2, len(taken) + 3)]
        return next(one for one in names if one not in taken)

    def _add_modules(self, watched, model):
        time_first = []
        for name, part in model.named_modules():
            if id(part) in self._modules and watched.is_scanned:
                continue
            full = watched.path(name) or type(model).__name__
            if _is_time_first(part):
                time_first.append(name)
            is_rnn = isinstance(part, torch.nn.RNNBase)
            hint = _unit_hint(part)
            if any(name == outer or name.startswith(f"{outer}.") or not outer
                   for outer in time_first) and hint == _tensors.LAST:
                hint = _tensors.TIME_FIRST
            self._modules[id(part)] = Module(watched, full, hint, is_rnn,
                                             next(part.children(), None) is None,
                                             watched.wants(full))
            watched.is_time_first |= bool(time_first)
            key = id(part)
            self._references.append(weakref.ref(part, lambda _, k=key: self._modules.pop(k, 0)))
        watched.is_scanned = True

    def _rescan(self, watched):
        """Take up layers and parameters that were added or replaced since."""
        watched.scan_parameters()
        model = watched.ref()
        if watched.has_modules and model is not None:
            self._references = [one for one in self._references if one() is not None]
            self._add_modules(watched, model)

    def _wrap(self, optimizer):
        """Call us before each step of this optimiser; the optimiser itself stays as it is."""
        if any(reference() is optimizer for reference, _, _ in self._wrapped):
            return
        original = optimizer.step
        me = weakref.ref(self)
        held = weakref.ref(optimizer)

        def step(self_, *args, **kwargs):
            watcher = me()
            # With a closure (LBFGS) the gradients only come into being within the step.
            if watcher is not None and not args and kwargs.get("closure") is None:
                watcher.before_optimizer(held())
            return original(*args, **kwargs)

        # What learning-rate schedulers look for on step(): _with_counter, __wrapped__, __self__.
        step.__dict__.update(getattr(original, "__dict__", {}))
        step.__wrapped__ = original
        ours = types.MethodType(step, optimizer)
        had = optimizer.__dict__.get("step")
        optimizer.step = ours
        self._wrapped.append((held, had, step))

    def _find_optimizers(self):
        """Without an optimizer given, take those that hold a watched parameter."""
        self._has_searched = True
        lonely = [model for model in self._models if not model.optimizers]
        if not lonely:
            return
        owners = {id(entry[0]): model for model in lonely for entry in model.parameters}
        for thing in gc.get_objects():
            if not issubclass(type(thing), torch.optim.Optimizer):
                continue
            for model in {owners[id(p)]: 0 for p in _held_by(thing) if id(p) in owners}:
                model.optimizers.append(weakref.ref(thing))
                self._wrap(thing)

    def remove(self):
        """Stop watching: take hooks away and give optimisers their step back."""
        self.is_measuring = False
        self._disarm()
        for reference, had, ours in self._wrapped:
            optimizer = reference()
            now = optimizer.__dict__.get("step") if optimizer is not None else None
            if now is None or getattr(now, "__func__", None) is not ours:
                continue  # somebody wrapped it again: ours stays below and does nothing
            if had is None:
                del optimizer.step
            else:
                optimizer.step = had
        self._models, self._modules, self._references = [], {}, []

    # ---- a step ----

    def _arm(self):
        """Wait for the next step's first forward pass."""
        if self._on_first is None:
            self._on_first = torch_module.register_module_forward_pre_hook(self._first)

    def _disarm(self):
        for handle in (self._on_first, self._on_enter, self._on_forward):
            if handle is not None:
                handle.remove()
        self._on_first = self._on_enter = self._on_forward = None

    def _first(self, module, args):
        if id(module) in self._modules and torch.is_grad_enabled():
            self._open_step()
            if self._on_enter is not None:
                self._enter(module, args)

    def _open_step(self):
        """Begin a step: decide what of it is measured."""
        began = time.perf_counter()
        if self._on_first is not None:
            self._on_first.remove()
            self._on_first = None
        try:
            self._run._begin_step()
            self._is_decided = True
            if not self._has_searched:
                self._find_optimizers()
            has_credit = self._budget.open_step(began)
            wants_acts = wants_inputs = False
            self.is_measuring = False
            for model in self._models:
                model.is_on = has_credit if model.every is None else (
                    model.n_steps % model.every == 0 or self._budget.forced_steps > 0)
                model.n_steps += 1
                if model.is_on:
                    self.is_measuring = True
                    wants_acts |= "act" in model.roles or "act_grad" in model.roles
                    wants_inputs |= "input" in model.roles
            if wants_inputs and self._modules:
                self._on_enter = torch_module.register_module_forward_pre_hook(self._enter)
            if wants_acts and self._modules:
                self._on_forward = torch_module.register_module_forward_hook(self._forward)
        except Exception as error:
            self._give_up("step", error)
        self._spent_s += time.perf_counter() - began

    def _give_up(self, what, error):
        """One failure is told and ends this kind of measuring; the training goes on."""
        self.is_measuring = False
        self._run._complain(("watch", what), f"measuring stopped at {what}: {error!r}")

    def measure(self, view, tensor):
        """Point a view at a tensor and have libbaro read it."""
        began = time.perf_counter()
        view.stamp = self.stamp
        if self._point(view, tensor):
            self._run._push_view(view)
        self._spent_s += time.perf_counter() - began

    def _point(self, view, tensor):
        """Point a view at a tensor; False when it cannot be measured, which is told once."""
        try:
            if not tensor.is_cpu or tensor.layout is not _STRIDED:
                _tensors.check_torch(tensor)
            view.set_torch(tensor)
            return True
        except _tensors.Unsupported as reason:
            view.is_broken = tensor.is_cpu
            self._run._complain(("unsupported", str(reason)),
                                f"'{view.name}' ({view.role}) is not measured: {reason}")
        except Exception as error:
            view.is_broken = True
            self._run._complain(("measure", view.role),
                                f"'{view.name}' ({view.role}) is left out: {error!r}")
        return False

    # ---- inputs ----

    def _enter(self, module, args):
        """Measure what enters a model: the arguments of the first of its modules to be called."""
        known = self._modules.get(id(module))
        if known is None or known.model.stamp == self.stamp or not torch.is_grad_enabled():
            return
        model = known.model
        model.stamp = self.stamp
        try:
            if model.is_on and "input" in model.roles:
                for suffix, tensor in _tensors_in(args[0] if len(args) == 1 else args):
                    self._take_input(model, suffix, tensor)
            if all(other.stamp == self.stamp for other in self._models if other.is_on):
                self._on_enter.remove()
                self._on_enter = None
        except Exception as error:
            self._run._complain(("input", type(error).__name__),
                                f"the input of '{known.name}' is left out: {error!r}")

    def _take_input(self, model, suffix, tensor):
        view = model.inputs.get(suffix)
        if view is None:
            view = model.inputs[suffix] = _tensors.View(
                f"{model.prefix or 'input'}{suffix}", "input",
                hint=_tensors.TIME_FIRST if model.is_time_first else None,
                axis=None if tensor.is_floating_point() else _NO_UNITS)
            view.is_broken = not model.wants(view.name) or tensor.dtype is torch.bool
        if not view.is_broken:
            self.measure(view, tensor)

    # ---- activations ----

    def _forward(self, module, args, output):
        known = self._modules.get(id(module))
        if known is None or known.stamp == self.stamp or not self.is_measuring:
            return
        if not known.model.is_on or not torch.is_grad_enabled():
            return
        began = time.perf_counter()
        known.stamp = self.stamp
        try:
            if known.hint is not None and known.is_leaf:
                self._layout = known.hint
            if known.is_wanted:
                if isinstance(output, torch.Tensor):
                    self._take_output(known, "", output)
                else:
                    for suffix, tensor in _tensors_in(output):
                        self._take_output(known, suffix, tensor)
        except Exception as error:
            known.is_wanted = False
            self._run._complain(("forward", type(error).__name__),
                                f"the output of '{known.name}' is left out: {error!r}")
        self._spent_s += time.perf_counter() - began

    def _take_output(self, known, suffix, tensor):
        if not tensor.is_cpu:
            _tensors.check_torch(tensor)
        mark = (tensor.data_ptr(), tensor._version, tensor.shape)
        if not known.is_leaf and mark in self._seen:
            return  # a container that passes its last layer's output on
        self._seen.add(mark)
        output = known.outputs.get(suffix)
        if output is None:
            output = known.outputs[suffix] = Output(self, f"{known.name}{suffix}",
                                                    self._output_hint(known, suffix))
        roles = known.model.roles
        act = output.act
        if "act" in roles and not act.is_broken:
            act.stamp = self.stamp
            try:
                act.set_torch(tensor)
                self._run._push_view(act)
            except _tensors.Unsupported as reason:
                output.act.is_broken = output.grad.is_broken = True
                self._run._complain(("unsupported", str(reason)),
                                    f"'{output.act.name}' is not measured: {reason}")
        if ("act_grad" in roles and tensor.requires_grad and not tensor.is_leaf
                and not output.grad.is_broken):
            tensor.register_hook(output.on_grad)

    def _output_hint(self, known, suffix):
        if known.is_rnn and suffix != ".0":
            return _tensors.TIME_FIRST  # last states: (layers, batch, units)
        if known.hint == _tensors.TIME_FIRST and suffix not in ("", ".0"):
            return _tensors.LAST        # attention weights come batch first
        return known.hint if known.hint is not None else self._layout

    # ---- parameters ----

    def before_optimizer(self, optimizer):
        """Measure the gradients that an optimiser is about to use."""
        if not self._run.is_active or optimizer is None:
            return
        if not self._is_decided:
            self._open_step()
        if not self.is_measuring:
            return
        try:
            held = {id(parameter) for parameter in _held_by(optimizer)}
            for model in self._models:
                if model.is_on and "grad" in model.roles:
                    self._measure_grads(model, held)
        except Exception as error:
            self._give_up("gradients", error)

    def _measure_grads(self, model, held):
        self._measure_row(model.grads, [
            None if held is not None and id(parameter) not in held else parameter.grad
            for parameter, _, _ in model.parameters])

    def _measure_rest(self, model, is_troubled):
        """At log(): gradients that no optimiser's step has shown, then the weights."""
        if "grad" in model.roles:
            if is_troubled or not model.optimizers:
                self._measure_grads(model, None)
        if "weight" in model.roles:
            self._measure_row(model.weights, [entry[0] for entry in model.parameters])

    def _measure_row(self, row, tensors):
        """Measure the tensors of a row that are there and not measured yet in this step."""
        began = time.perf_counter()
        stamp = self.stamp
        is_single, row.is_doubtful = row.is_doubtful, False
        first = 0
        at = -1
        for at, (view, tensor) in enumerate(zip(row.views, tensors)):
            if tensor is not None and view.stamp != stamp and not view.is_broken:
                view.stamp = stamp
                if self._point(view, tensor):
                    if not is_single:
                        continue
                    self._run._push_view(view)
            if at > first:
                self._run._push_row(row, first, at)
            first = at + 1
        if at >= first:
            self._run._push_row(row, first, at + 1)
        self._spent_s += time.perf_counter() - began

    def close_step(self, is_troubled):
        """End the step: called by log() after the scalars."""
        try:
            if not self._is_decided:
                self._open_step()
            for model in self._models:
                if model.is_on or is_troubled:
                    model.n_measured += 1
                    if model.n_measured % RESCAN_STEPS == 0:
                        self._rescan(model)
                    self._measure_rest(model, is_troubled)
                    model.is_on = False
        except Exception as error:
            self._give_up("weights", error)
        self._budget.spend(self._spent_s)
        self._spent_s = 0.0
        self.is_measuring = False
        self._is_decided = False
        self.stamp += 1
        if self._on_enter is not None:
            self._on_enter.remove()
            self._on_enter = None
        if self._on_forward is not None:
            self._on_forward.remove()
            self._on_forward = None
            self._seen.clear()
        self._arm()


def _held_by(optimizer):
    for group in optimizer.param_groups:
        yield from group["params"]


def _tensors_in(output):
    """The first tensors of a tuple, list or dictionary, two levels deep, with their suffixes."""
    found = []
    waiting = [("", output, 0)]
    while waiting and len(found) < MAX_OUTPUTS:
        suffix, value, depth = waiting.pop(0)
        if isinstance(value, torch.Tensor):
            found.append((suffix, value))
        elif depth < 3 and isinstance(value, dict):
            waiting[:0] = [(f"{suffix}.{key}", part, depth + 1) for key, part in
                           list(value.items())[:MAX_OUTPUTS]]
        elif depth < 3 and isinstance(value, (tuple, list)):
            waiting[:0] = [(f"{suffix}.{i}", part, depth + 1) for i, part in
                           enumerate(value[:MAX_OUTPUTS])]
    return found


def _unit_hint(module):
    names = {kind.__name__ for kind in type(module).__mro__}
    if names & _UNITS_LAST:
        return _tensors.LAST
    return _tensors.FIRST_AFTER if names & _UNITS_FIRST else None


def _is_time_first(module):
    """Tell whether a module puts time before the batch: recurrent and attention layers may."""
    inner = module
    if type(module).__name__ in ("TransformerEncoder", "TransformerDecoder"):
        inner = next(iter(module.layers), module)
    inner = getattr(inner, "self_attn", inner)
    if isinstance(inner, (torch.nn.RNNBase, torch.nn.MultiheadAttention, torch.nn.Transformer)):
        return not getattr(inner, "batch_first", True)
    return False
