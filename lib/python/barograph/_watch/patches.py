# SPDX-License-Identifier: Apache-2.0
"""What is seen of gradient clipping and of loss scaling: functions of torch that are wrapped.

    torch.nn.utils.clip_grad_norm_   grad_norm, grad_norm_clipped: before and after it
    torch.nn.utils.clip_grad_value_  the same two, computed here, in steps that are measured
    GradScaler.step                  loss_scale; skipped_steps when there are any
    GradScaler.scale, torch.autograd.backward (which Tensor.backward calls): losses, see probes.py

The scalars are logged with the step that is under way. What the functions do and return stays as
it is. They are wrapped while at least one run watches; names that were imported from
torch.nn.utils before are found and put back, too.
"""
import functools
import sys
import types
import weakref

import torch

_watchers = weakref.WeakSet()
guarded = []  # probes whose step is guarded: they see each backward()
_undo = []  # (object, name, what was there, ours)


def install(watcher):
    """Tell this watcher what is seen from now on."""
    if not _watchers:
        _wrap_clipping("clip_grad_norm_", _clip_norm)
        _wrap_clipping("clip_grad_value_", _clip_value)
        for kind in _scalers():
            _replace(kind, "step", _scaler_step(kind.__dict__["step"]))
            if "scale" in vars(kind):
                _replace(kind, "scale", _scaler_scale(kind.__dict__["scale"]))
        _replace(torch.autograd, "backward", _backward(torch.autograd.backward))
        if hasattr(torch, "compile"):
            _replace(torch, "compile", see_compile(torch.compile, _on_compile, _on_compiled))
    _watchers.add(watcher)


def remove(watcher):
    """Tell it nothing any more; put everything back after the last one."""
    _watchers.discard(watcher)
    if not _watchers:
        while _undo:
            owner, name, was, ours = _undo.pop()
            if vars(owner).get(name) is ours:
                setattr(owner, name, was)


def _replace(owner, name, ours):
    _undo.append((owner, name, vars(owner)[name], ours))
    setattr(owner, name, ours)


def _scalers():
    kinds = [getattr(getattr(torch, "amp", None), "GradScaler", None),
             getattr(getattr(torch.cuda, "amp", None), "GradScaler", None)]
    return {kind for kind in kinds if kind is not None and "step" in vars(kind)}


def _wrap_clipping(name, wrap):
    original = getattr(torch.nn.utils, name, None)
    if original is None:
        return
    ours = wrap(original)
    ours.__name__, ours.__doc__, ours.__wrapped__ = name, original.__doc__, original
    for module in list(sys.modules.values()):
        if isinstance(module, types.ModuleType) and vars(module).get(name) is original:
            _replace(module, name, ours)


def _as_list(parameters):
    """Parameters that can be gone through twice."""
    if isinstance(parameters, torch.Tensor):
        return [parameters], parameters
    kept = list(parameters)
    is_spent = isinstance(parameters, types.GeneratorType)
    return kept, (p for p in kept) if is_spent else kept


def _each(what, *arguments):
    for watcher in list(_watchers):
        try:
            getattr(watcher, what)(*arguments)
        except Exception as error:
            watcher.tell_failure(("patch", what), f"{what} failed: {error!r}")


def _clip_norm(original):
    def clip_grad_norm_(parameters, max_norm, *args, **kwargs):
        kept, given = _as_list(parameters)
        total = original(given, max_norm, *args, **kwargs)
        _each("on_clip", kept, total, max_norm)
        return total
    return clip_grad_norm_


def _clip_value(original):
    def clip_grad_value_(parameters, clip_value, *args, **kwargs):
        kept, given = _as_list(parameters)
        wanting = [watcher for watcher in list(_watchers) if watcher.wants_clip(kept)]
        before = norm_of(kept) if wanting else None
        result = original(given, clip_value, *args, **kwargs)
        if wanting:
            after = norm_of(kept)
            _each("on_clipped", kept, before, after)
        return result
    return clip_grad_value_


def norm_of(parameters):
    """The 2-norm of all gradients together; None when it cannot be had."""
    try:
        with torch.no_grad():
            norms = [torch.linalg.vector_norm(p.grad.detach().float()) for p in parameters
                     if p.grad is not None and not p.grad.is_sparse]
            device = norms[0].device
            return torch.linalg.vector_norm(torch.stack([norm.to(device) for norm in norms]))
    except Exception:
        return None


def _scaler_step(original):
    def step(self, optimizer, *args, **kwargs):
        _each("before_scaled", self, optimizer)
        result = original(self, optimizer, *args, **kwargs)
        _each("after_scaled", self, optimizer)
        return result
    step.__wrapped__ = original
    step.__doc__ = original.__doc__
    return step


def _scaler_scale(original):
    def scale(self, outputs, *args, **kwargs):
        result = original(self, outputs, *args, **kwargs)
        for watcher in list(_watchers):
            watcher.probes.on_scale(outputs, result)
        return result
    scale.__wrapped__ = original
    scale.__doc__ = original.__doc__
    return scale


def see_compile(original, on_compile, on_compiled):
    """torch.compile(), with on_compile(module) told of each module that it is given.

    on_compiled  then told (module, what it has become); gives what takes the place of that
    """
    @functools.wraps(original)
    def compile(model=None, *args, **kwargs):
        module = getattr(model, "__self__", model)  # a module's own compile() gives its method
        if isinstance(module, torch.nn.Module):
            on_compile(module)
        result = original(model, *args, **kwargs)
        return on_compiled(module, result) if isinstance(module, torch.nn.Module) else result
    return compile


def _on_compile(module):
    for watcher in list(_watchers):
        try:
            watcher.on_compile(module)
        except Exception as error:
            watcher.give_up("compile", error)


def _on_compiled(module, result):
    for watcher in list(_watchers):
        try:
            result = watcher.on_compiled(module, result)
        except Exception as error:
            watcher.give_up("compile", error)
    return result


def _backward(original):
    def backward(*args, **kwargs):
        if not guarded:  # most steps: what is done here finds the processor's caches cold
            return original(*args, **kwargs)
        tensors = args[0] if args else kwargs.get("tensors")
        watching = list(guarded)
        frame = sys._getframe(1)
        try:
            for probes in watching:
                probes.on_backward(tensors, frame)
            del frame
            return original(*args, **kwargs)
        finally:
            for probes in watching:
                probes.after_backward()
    backward.__wrapped__ = original
    backward.__doc__ = original.__doc__
    return backward
