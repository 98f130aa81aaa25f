# SPDX-License-Identifier: Apache-2.0
"""Recording a script that knows nothing of Barograph, for `python -m barograph run`.

Once the script has imported torch, four things are wrapped: Optimizer.__init__, to see which
optimisers there are; torch.autograd.backward (which Tensor.backward calls) and torch.autograd.grad,
to see losses; GradScaler, to see the loss before it is scaled and steps that it skips.

A step is one round of the optimisers: it ends when each that takes part has stepped once. All that
were made are expected; one that lets another step twice takes part now and then only (the
generator that follows five steps of a critic). Without an optimiser a step ends with the first
forward pass in training mode after a backward(): by then the script has used the gradients. They are
measured as backward() leaves them. Where there is no module either, each backward() ends a step, and
the tensors that got gradients are followed if the script moves them in place.

Models are the outermost modules with parameters that an optimiser holds (without optimiser: that
have got gradients). They are looked for at the first forward pass in training mode, and again when
an optimiser has come or holds other parameters.

Only this process is recorded, and the ranks that it starts by torch.multiprocessing.spawn(): no
other children, whether forked or spawned (DataLoader workers).
"""
import functools
import gc
import importlib.abc
import importlib.machinery
import sys
import types
import weakref

import barograph

from . import _spawned
from ._losses import Losses

MAX_LOGGED = 8  # optimisers whose learning rate is recorded

_recorder = None


def begin(run, options=None, again=None):
    """Record what the script does from now on into this run.

    options  arguments for watch(); None: watch nothing
    again    arguments of init() that ranks which the script starts are to have, too
    """
    global _recorder
    if not run.is_active:
        return
    _recorder = Recorder(run, options, again or {})
    barograph._adopt = _recorder.hand_over
    if "torch" in sys.modules:
        _recorder.patch(sys.modules["torch"])
    else:
        sys.meta_path.insert(0, _TorchFinder(_recorder))


def end():
    """The script has ended: record the step under way."""
    if _recorder is not None:
        _recorder.guarded(_recorder.close)


class _TorchFinder(importlib.abc.MetaPathFinder):
    """Waits for `import torch`, so that scripts without it do not pay for it."""

    def __init__(self, recorder):
        self._recorder = recorder

    def find_spec(self, name, path, target=None):
        if name != "torch":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module):
                execute(module)
                self._recorder.guarded(self._recorder.patch, module)

            spec.loader.exec_module = exec_module
        return spec


class _Optimizer:
    """What is known of one optimiser."""

    __slots__ = ("ref", "wrapper", "n_parameters", "n_steps", "has_stepped", "is_expected")

    def __init__(self, optimizer):
        self.ref = weakref.ref(optimizer)
        self.wrapper = None
        self.n_parameters = 0      # when models were last looked for
        self.n_steps = 0
        self.has_stepped = False   # in the step under way
        self.is_expected = True    # the step does not end without it


class Recorder:
    """Sees optimisers and losses, finds the models, and logs each step."""

    def __init__(self, run, options, again):
        self._run = run
        self._options = options
        self._again = again
        self._torch = None
        self._losses = None
        self._optimizers = []    # all that live, in the order they were made
        self._values = {}        # of the step under way
        self._watched = []       # weak references
        self._names = set()      # of watched models
        self._is_on = True
        self._is_stepping = False   # within an optimiser's step
        self._n_backward = 0        # calls of backward() that this one is within
        self._on_forward = None     # handle of the hook that waits for a forward pass
        self._has_compiled = False  # torch warns of hooks on all modules, and compiles anew
        self._is_awaiting = False   # a forward pass, that shows by its backward()
        self._has_looked = False
        self._n_passes = 0          # backward passes without an optimiser
        self._look_at = 1           # look for models at so many of them
        self._leaves = None         # weak references: what the last loss without a module came from
        self._bare = None           # module that holds these, if they are the same in each step

    def guarded(self, what, *arguments):
        """Call something of ours: its trouble is told once and never reaches the script."""
        try:
            return what(*arguments)
        except Exception as error:
            self._run._complain(("auto", what.__name__),
                                f"recording failed at {what.__name__}: {error!r}")
            return None

    def hand_over(self, config):
        """The script calls barograph.init(): it gets this run and logs by itself."""
        self._is_on = False
        barograph._adopt = None
        if config:
            self._run.event("the script called barograph.init(); its config is kept here only")
            self._run.config.update(barograph._as_config(config))
        return self._run

    def _is_recording(self):
        return self._is_on and self._run.is_active

    # ---- what is wrapped ----

    def patch(self, torch):
        """Wrap what is watched in torch."""
        self._torch = torch
        self._losses = Losses(torch)
        self.guarded(_see_loaders)
        self.guarded(_spawned.install, torch, self._run, self._options, self._again)
        make = torch.optim.Optimizer.__init__
        recorder = self

        def __init__(optimizer, *args, **kwargs):
            make(optimizer, *args, **kwargs)
            if recorder._is_recording():
                recorder.guarded(recorder.on_optimizer, optimizer)

        __init__.__wrapped__ = make
        torch.optim.Optimizer.__init__ = __init__
        torch.autograd.backward = self._backward(torch.autograd.backward)
        torch.autograd.grad = self._grad(torch.autograd.grad)
        if hasattr(torch, "compile"):
            torch.compile = _see_compile(torch.compile, self)
        kinds = {getattr(getattr(torch, "amp", None), "GradScaler", None),
                 getattr(torch.cuda.amp, "GradScaler", None)}
        for kind in kinds - {None}:
            if "step" in vars(kind) and "scale" in vars(kind):
                kind.scale = self._scale(kind.scale)
                kind.step = self._scaler_step(kind.step)

    def _backward(self, original):
        def backward(*args, **kwargs):
            if self._n_backward > 0 or not self._is_recording():  # of a checkpoint, within another
                return original(*args, **kwargs)
            seen_by = self.guarded(self.on_backward, args[0] if args else kwargs.get("tensors"),
                                   sys._getframe(1))
            self._n_backward += 1
            try:
                result = original(*args, **kwargs)
            finally:
                self._n_backward -= 1
                if seen_by is not None:
                    seen_by.after_backward()
            self.guarded(self.after_backward)
            return result
        return _dressed(backward, original)

    def _grad(self, original):
        def grad(*args, **kwargs):
            result = original(*args, **kwargs)
            if self._n_backward == 0 and self._is_recording():
                inputs = args[1] if len(args) > 1 else kwargs.get("inputs")
                self.guarded(self.on_grad, args[0] if args else kwargs.get("outputs"), inputs)
            return result
        return _dressed(grad, original)

    def _scale(self, original):
        def scale(scaler, outputs, *args, **kwargs):
            result = original(scaler, outputs, *args, **kwargs)
            self.guarded(self._losses.scale, outputs, result)
            return result
        return _dressed(scale, original)

    def _scaler_step(self, original):
        def step(scaler, optimizer, *args, **kwargs):
            known = self._find(optimizer)
            n_before = known.n_steps if known is not None else 0
            result = original(scaler, optimizer, *args, **kwargs)
            if known is not None and known.n_steps == n_before and self._is_recording():
                self.guarded(self._begin_step, known)  # it was skipped; the batch was not
                self.guarded(self._end_step, known)
            return result
        return _dressed(step, original)

    # ---- optimisers ----

    def on_optimizer(self, optimizer):
        """An optimiser was made."""
        if self._find(optimizer) is None:
            known = _Optimizer(optimizer)
            self._optimizers.append(known)
            self._wrap(known, optimizer)
            self._await_forward()

    def _find(self, optimizer):
        return next((one for one in self._optimizers if one.ref() is optimizer), None)

    def _living(self):
        self._optimizers = [one for one in self._optimizers if one.ref() is not None]
        return self._optimizers

    def _wrap(self, known, optimizer):
        """Wrap step() on the object itself, around whatever has been wrapped around it by now."""
        original = optimizer.step
        if known.wrapper is not None and getattr(original, "__func__", None) is known.wrapper:
            return
        recorder = self

        def step(self_, *args, **kwargs):
            if recorder._is_stepping or not recorder._is_recording():
                return original(*args, **kwargs)  # of an optimiser within another
            recorder.guarded(recorder._begin_step, known)
            recorder._is_stepping = True
            try:
                result = original(*args, **kwargs)
            finally:
                recorder._is_stepping = False
            recorder.guarded(recorder._end_step, known)
            return result

        # What learning-rate schedulers look for on step(): _with_counter, __wrapped__, __self__.
        step.__dict__.update(getattr(original, "__dict__", {}))
        step.__wrapped__ = original
        known.wrapper = step
        optimizer.step = types.MethodType(step, optimizer)

    def _begin_step(self, known):
        """An optimiser is about to step."""
        if known.has_stepped:  # the round is over, without some
            for one in self._optimizers:
                one.is_expected &= one.has_stepped
            known.is_expected = True
            self._log()
        self._look_for_models()

    def _end_step(self, known):
        """An optimiser has stepped."""
        known.n_steps += 1
        known.has_stepped = True
        self._values.update(self._losses.give_out())
        if all(one.has_stepped for one in self._living() if one.is_expected):
            self._log()

    # ---- losses ----

    def on_backward(self, tensors, frame):
        """backward() is called on a tensor, or several; gives the probes that are told of it here."""
        if self._is_awaiting:
            self._is_awaiting = False
            self._on_training()
        self._take_in(tensors)
        if not self._living() and not self._watched:
            self._note_leaves(tensors)
        if self._run._watcher is None and self._living() and not self._has_looked:
            self._look_for_models()   # no module was called: its weights may be tensors alone
            if self._run._watcher is not None:
                self._run._watcher.probes.on_backward(tensors, frame)
                return self._run._watcher.probes
        return None

    def _take_in(self, tensors):
        self._losses.take_in(_as_list(tensors), self._is_stepping, len(self._living()) > 1)

    def on_grad(self, outputs, inputs):
        """grad() with respect to parameters is as good as backward(), if there was none."""
        parameter = self._torch.nn.Parameter
        if any(isinstance(one, parameter) for one in _as_list(inputs)):
            if not self._losses.has_any():
                self._losses.take_in(_as_list(outputs), self._is_stepping,
                                     len(self._living()) > 1)
            self.after_backward()

    def after_backward(self):
        """backward() has returned: without an optimiser, the script now moves the weights."""
        if not self._is_stepping and not self._living():
            self._await_forward()
            self._n_passes += 1
            if self._n_passes >= self._look_at:  # ever more seldom: it takes milliseconds
                self._look_at *= 2
                self._look_for_models()
            if self._run._watcher is not None:
                self._run._watcher.show_grads()
                self._run._watcher.probes.before_step()
            if self._bare is not None or not self._watched:
                self.close()
                self._watch_leaves()

    # ---- tensors alone ----

    def _note_leaves(self, tensors):
        """A loss of a script without any module: see whether the same tensors learn as before."""
        from . import _loose
        before, losses = self._leaves, _as_list(tensors)
        found = _loose.leaves_of(losses[0]) if losses else []
        self._leaves = [weakref.ref(one) for one in found]
        if not before or not found or self._options is None:
            return
        if len(before) != len(found) or any(ref() is not one for ref, one in zip(before, found)):
            self._run._complain(("auto", "leaves"), "the tensors that learn are new ones in each "
                                "step, so only the loss is recorded: move them in place (w -= ...)")
            return
        self._bare = _loose.hold_leaves(found)

    def _watch_leaves(self):
        """Watch them, from a step's end on."""
        if self._bare is not None and not self._watched:
            self._watched.append(weakref.ref(self._bare))
            self._run.watch(self._bare, None, **self._options)

    # ---- the end of a step ----

    def close(self):
        """End the step under way, if there is anything of it."""
        if self._is_recording() and self._losses is not None:
            self._values.update(self._losses.give_out())
            if self._values:
                self._log()

    def _log(self):
        values, self._values = self._values, {}
        for i, one in enumerate(self._living()):
            is_part, one.has_stepped = one.has_stepped or one.is_expected, False
            optimizer = one.ref()
            if is_part and i < MAX_LOGGED and optimizer is not None and optimizer.param_groups:
                rate = optimizer.param_groups[0].get("lr")
                if rate is not None:
                    values["lr" if i == 0 else f"lr.{i + 1}"] = rate
        self._run.log(values)

    # ---- forward passes ----

    def _await_forward(self):
        """Be called at the next forward pass in training mode."""
        if self._has_compiled:
            self._is_awaiting = True
        elif self._on_forward is None:
            register = self._torch.nn.modules.module.register_module_forward_pre_hook
            self._on_forward = register(self._forward)

    def _forward(self, module, args):
        # Within functional_call() a module holds other tensors, and nothing is to be found.
        if (module.training and self._torch.is_grad_enabled()
                and isinstance(next(module.parameters(), None), self._torch.nn.Parameter)):
            handle, self._on_forward = self._on_forward, None
            if handle is not None:
                handle.remove()
            if self._is_recording():
                self.guarded(self._on_training, module, args)

    def _on_compile(self, _):
        """Something is compiled: no hook on all modules from now on."""
        self._has_compiled = True
        if self._on_forward is not None:
            handle, self._on_forward = self._on_forward, None
            handle.remove()
            self._is_awaiting = True

    def _await_call(self, model, result):
        """Something was compiled: what trains is looked for when that is called.

        returns  what takes the place of what a module's own compile() has made; or None
        """
        Module = self._torch.nn.Module
        if not self._is_awaiting:
            return None
        if isinstance(result, Module):
            def on_call(module, args):
                probes = self._on_compiled_call(module, handle.remove)
                if probes is not None:  # its own hook comes too late for this very call
                    probes.compiled.enter(module, args)

            handle = result.register_forward_pre_hook(on_call)
            return None
        module = getattr(model, "__self__", None)
        if not isinstance(module, Module):
            return None
        ref, waiting = weakref.ref(module), [True]

        @functools.wraps(result)
        def first(*args, **kwargs):
            probes = None
            if waiting and ref() is not None:
                probes = self.guarded(self._on_compiled_call, ref(), waiting.clear)
            if probes is None:
                return result(*args, **kwargs)
            return probes.compiled.around(ref(), result, is_once=True)(*args, **kwargs)
        return first

    def _on_compiled_call(self, module, forget):
        """What is compiled is called; gives the probes of who watches it since now, or None."""
        if not module.training or not self._torch.is_grad_enabled():
            return None
        forget()
        if not self._is_awaiting or not self._is_recording():
            return None
        self._is_awaiting = False
        self.guarded(self._on_training)
        watcher = self._run._watcher
        return watcher.probes if watcher is not None else None

    def _on_training(self, module=None, args=()):
        """A training's forward pass begins; of a compiled one (None) it has ended."""
        watcher = self._run._watcher
        was_waiting = watcher is not None and watcher._on_first is not None
        if self._living():
            self._look_for_models()
        else:
            self.close()
        watcher = self._run._watcher
        if (module is not None and watcher is not None and watcher._on_first is not None
                and not was_waiting):
            watcher._first(module, args)  # its own hook comes too late for this very call

    # ---- models ----

    def _look_for_models(self):
        """Watch the models that are there, unless nothing is new since the last look."""
        is_new = not self._has_looked or not self._living()
        for one in self._living():
            optimizer = one.ref()
            n = sum(len(group["params"]) for group in optimizer.param_groups)
            is_new |= n != one.n_parameters
            one.n_parameters = n
        self._has_looked = True
        if is_new and self._run._watcher is not None:
            self._run._watcher.rescan_soon()  # it may be a layer that was added
        if not is_new or self._options is None:
            return
        optimizers = [one.ref() for one in self._optimizers]
        found = [model for model in _models_of(optimizers)
                 if not any(ref() is model for ref in self._watched)]
        is_alone = len(found) == 1 and not self._watched
        loose = [one for one in _holders_of_loose(optimizers)
                 if not any(ref() is one for ref in self._watched)]
        if len(loose) == 1 and not found and not self._watched:
            is_alone, found = True, loose
        else:
            found += loose
        for model in found:
            self._watched.append(weakref.ref(model))
            name = None if is_alone else (
                "tensors" if model in loose else _variable_of(model))
            if name in self._names:
                name = None  # watch() then finds one by itself
            self._names.add(name)
            self._run.watch(model, _holders(model, optimizers), **self._options, name=name)
        for one in self._optimizers:
            self._wrap(one, one.ref())  # around what watch() does after a step


def _see_loaders():
    from . import _loader  # it imports torch
    _loader.install()


def _see_compile(original, recorder):
    @functools.wraps(original)
    def compile(model=None, *args, **kwargs):
        recorder.guarded(recorder._on_compile, model)
        result = original(model, *args, **kwargs)
        return recorder.guarded(recorder._await_call, model, result) or result
    return compile


def _dressed(ours, original):
    ours.__wrapped__, ours.__doc__ = original, original.__doc__
    return ours


def _as_list(value):
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _holders(model, optimizers):
    """The optimisers that hold a parameter of a model."""
    own = {id(parameter) for parameter in model.parameters()}
    return [one for one in optimizers
            if any(id(p) in own for group in one.param_groups for p in group["params"])]


def _holders_of_loose(optimizers):
    """Modules of the tensors that optimisers hold and that are in no module."""
    import torch
    from . import _loose
    held = {id(p) for one in optimizers for group in one.param_groups for p in group["params"]}
    held -= {id(p) for thing in gc.get_objects()
             if issubclass(type(thing), torch.nn.Module) and type(thing) is not _loose.Tensors
             for p in thing._parameters.values()}
    found = [_loose.hold(one, held) for one in optimizers] if held else []
    return [one for one in found if one is not None]


def _models_of(optimizers):
    """Outermost modules with a parameter that an optimiser holds, in the optimisers' order.

    Without any optimiser: that has got a gradient.
    """
    import torch
    held = {}
    for one in optimizers:
        for group in one.param_groups:
            for parameter in group["params"]:
                held.setdefault(id(parameter), len(held))
    modules = [thing for thing in gc.get_objects() if issubclass(type(thing), torch.nn.Module)
               and not hasattr(type(thing), "has_no_forward")]
    inner = {id(child) for module in modules for child in module.children()}
    found = []
    for module in modules:
        if id(module) in inner:
            continue
        places = [held.get(id(p), len(held)) for p in module.parameters()
                  if (id(p) in held if optimizers else p.grad is not None)]
        if places:
            found.append((min(places), len(found), module))
    return [module for _, _, module in sorted(found)]


def _variable_of(model):
    """What the script calls a model: the name of a variable of the functions under way."""
    frame = sys._getframe(1)
    while frame is not None:
        if "barograph" not in frame.f_globals.get("__name__", ""):
            for name, value in list(frame.f_locals.items()):
                if value is model and name not in ("self", "module"):
                    return name
        frame = frame.f_back
    main = vars(sys.modules.get("__main__", types))
    return next((name for name, value in list(main.items()) if value is model), None)
