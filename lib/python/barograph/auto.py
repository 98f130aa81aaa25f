# SPDX-License-Identifier: Apache-2.0
"""Recording a script that knows nothing of Barograph, for `python -m barograph run`.

Once the script has imported torch, two things are wrapped: Optimizer.__init__, to see which
optimisers there are, and Tensor.backward, to see losses. A step is one step() of the optimiser
that was made first. At its first step the models are found whose parameters the optimisers hold.
What is recorded is what these can see: a loss that never passes through Tensor.backward (a custom
loop with torch.autograd.grad) is not.
"""
import gc
import importlib.abc
import importlib.machinery
import sys
import types
import weakref

import barograph

_recorder = None


def begin(run, is_watching, every):
    """Record what the script does from now on into this run."""
    global _recorder
    if not run.is_active:
        return
    _recorder = Recorder(run, is_watching, every)
    barograph._adopt = _recorder.hand_over
    if "torch" in sys.modules:
        _recorder.patch(sys.modules["torch"])
    else:
        sys.meta_path.insert(0, _TorchFinder())


class _TorchFinder(importlib.abc.MetaPathFinder):
    """Waits for `import torch`, so that scripts without it do not pay for it."""

    def find_spec(self, name, path, target=None):
        if name != "torch":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module):
                execute(module)
                _recorder.patch(module)

            spec.loader.exec_module = exec_module
        return spec


class Recorder:
    """Sees optimisers and losses, and logs a step when the first optimiser makes one."""

    def __init__(self, run, is_watching, every):
        self._run = run
        self._is_watching = is_watching
        self._every = every
        self._optimizers = []   # weak references, in the order they were made
        self._losses = []       # of the step under way
        self._is_on = True
        self._has_watched = False

    def hand_over(self, config):
        """The script calls barograph.init(): it gets this run and logs by itself."""
        self._is_on = False
        barograph._adopt = None
        if config:
            self._run.event("the script called barograph.init(); its config is kept here only")
            self._run.config.update(barograph._as_config(config))
        return self._run

    def patch(self, torch):
        """Wrap what is watched in torch."""
        recorder = self
        make = torch.optim.Optimizer.__init__
        backward = torch.Tensor.backward

        def __init__(optimizer, *args, **kwargs):
            make(optimizer, *args, **kwargs)
            recorder.on_optimizer(optimizer)

        def wrapped_backward(tensor, *args, **kwargs):
            recorder.on_backward(tensor)
            return backward(tensor, *args, **kwargs)

        __init__.__wrapped__ = make
        wrapped_backward.__wrapped__ = backward
        wrapped_backward.__doc__ = backward.__doc__
        torch.optim.Optimizer.__init__ = __init__
        torch.Tensor.backward = wrapped_backward

    def on_optimizer(self, optimizer):
        """Wrap one optimiser's step, on the object itself."""
        if not self._is_on:
            return
        self._optimizers.append(weakref.ref(optimizer))
        is_first = len(self._optimizers) == 1
        original = optimizer.step
        recorder = self

        def step(self_, *args, **kwargs):
            recorder.before_step()
            result = original(*args, **kwargs)
            if is_first:
                recorder.after_step()
            return result

        step.__dict__.update(getattr(original, "__dict__", {}))
        step.__wrapped__ = original
        optimizer.step = types.MethodType(step, optimizer)

    def on_backward(self, tensor):
        """Note the value that backward() starts from, if it can be read without waiting."""
        if self._is_on and tensor.numel() == 1:
            if tensor.device.type == "cpu":
                self._losses.append(float(tensor.detach()))
            else:
                self._run._complain("auto", "losses on another device are not recorded: "
                                    "reading them would hold up the training")

    def before_step(self):
        """Before the first step of all, find the models."""
        if not self._is_on or self._has_watched:
            return
        self._has_watched = True
        if not self._is_watching:
            return
        try:
            optimizers = [one for one in (ref() for ref in self._optimizers) if one is not None]
            for model in _models_of(optimizers):
                self._run.watch(model, optimizers, every=self._every)
        except Exception as error:
            self._run._complain("auto", f"no model was found to watch: {error!r}")

    def after_step(self):
        """Log the step."""
        if not self._is_on:
            return
        values = {"loss" if i == 0 else f"loss.{i + 1}": loss
                  for i, loss in enumerate(self._losses[:8])}
        self._losses.clear()
        for i, reference in enumerate(self._optimizers[:8]):
            optimizer = reference()
            if optimizer is not None and optimizer.param_groups:
                values["lr" if i == 0 else f"lr.{i + 1}"] = optimizer.param_groups[0].get("lr")
        self._run.log({name: value for name, value in values.items() if value is not None})


def _models_of(optimizers):
    """Outermost modules that have a parameter which an optimiser holds."""
    import torch
    held = {id(p) for one in optimizers for group in one.param_groups for p in group["params"]}
    modules = [thing for thing in gc.get_objects() if issubclass(type(thing), torch.nn.Module)]
    inner = {id(child) for module in modules for child in module.children()}
    return [module for module in modules if id(module) not in inner
            and any(id(p) in held for p in module.parameters())]
