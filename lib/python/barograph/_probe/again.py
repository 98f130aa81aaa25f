# SPDX-License-Identifier: Apache-2.0
"""Computing a step's forward pass again, without a trace of it in the training.

Parameters and buffers of the models are replaced by copies for the time, hooks of the user's are
taken away, and afterwards everything is as it was: attributes and what lists and dictionaries
among them hold, random number generators, hooks. So a forward pass may count, remember and draw
as it likes.
"""
import collections
import contextlib
import random
import sys
import weakref

import torch
from torch.nn.modules import module as torch_module

from .trace import BUFFER, PARAMETER, Names

MAX_COPY_BYTES = 1 << 30   # of parameters; beyond, those that learn share their memory
MAX_ATTRIBUTE_BYTES = 64 << 20
_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_hooks", "_backward_pre_hooks")
_CONTAINERS = (list, dict, set, collections.OrderedDict, collections.deque,
               collections.defaultdict, collections.Counter)
_STATE = {"_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"}


class Remembered:
    """A call of a model: what it takes to do it again. References, no copies."""

    __slots__ = ("module", "args", "kwargs", "versions", "rng", "autocast", "has_grad", "outputs",
                 "is_done", "names")

    def __init__(self, module, args, kwargs, wants_rng):
        self.module = module
        self.args = args
        self.kwargs = kwargs
        self.versions = [one._version for one in args
                         if isinstance(one, torch.Tensor) and not one.is_inference()]
        self.rng = torch.default_generator.get_state() if wants_rng else None
        self.autocast = _autocast_now()
        self.has_grad = torch.is_grad_enabled()
        self.outputs = ()      # weak references
        self.is_done = False

    def note(self, tensors):
        """It has returned these tensors."""
        self.is_done = True
        self.outputs = [weakref.ref(one) for one in tensors]

    def is_unchanged(self):
        """Tell whether what it was given holds what it held then."""
        return self.versions == [one._version for one in self.args
                                 if isinstance(one, torch.Tensor) and not one.is_inference()]


_is_any_autocast = getattr(torch._C, "_is_any_autocast_enabled", None)


def _autocast_now():
    """The autocast contexts that are on: (device type, type of element)."""
    if _is_any_autocast is not None:  # the calls that torch 1.13 has are slow in torch 2
        if not _is_any_autocast():
            return ()
        return [(device, torch.get_autocast_dtype(device)) for device in ("cpu", "cuda")
                if torch.is_autocast_enabled(device)]
    found = []
    if torch.is_autocast_cpu_enabled():
        found.append(("cpu", torch.get_autocast_cpu_dtype()))
    if torch.is_autocast_enabled():
        found.append(("cuda", torch.get_autocast_gpu_dtype()))
    return found


class Sandbox:
    """Within it, models can be called without anything of it being left; see enter()."""

    def __init__(self, models, with_hooks=False):
        """models: (module, path, hint_of) as Names takes them; with_hooks: the user's run, too."""
        self._models = models
        self._with_hooks = with_hooks
        self._dicts = []        # (module, its attributes)
        self._contents = []     # (container, what it held)
        self._globals = []      # (dictionary of global hooks, what it held)
        self._rng = None
        self.names = Names(models)   # of the copies, too
        self.copies = {}        # id of a parameter: its copy
        self._kept = []         # what the ids of copies belong to
        self.has_hooks = False  # of the user's

    def __enter__(self):
        self._rng = (torch.get_rng_state(), random.getstate(), _numpy_state(), _cuda_state())
        try:
            self._note_modules()
            self._clear_globals()
            self._replace()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind, error, trace):
        for held, was in self._globals:
            held.clear()
            held.update(was)
        for module, was in self._dicts:
            _restore(module.__dict__, was)
        for held, was in self._contents:
            _refill(held, was)
        cpu, python, numpy, cuda = self._rng
        torch.set_rng_state(cpu)
        random.setstate(python)
        if numpy is not None:
            sys.modules["numpy"].random.set_state(numpy)
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)
        for held in (self._globals, self._dicts, self._contents, self._kept, self.copies):
            held.clear()
        self._models = self.names = None
        return False

    def _modules(self):
        seen = {}
        for module, _, _ in self._models:
            for part in module.modules():
                seen.setdefault(id(part), part)
        return list(seen.values())

    def _note_modules(self):
        for module in self._modules():
            attributes = dict(module.__dict__)
            self._dicts.append((module, attributes))
            for value in attributes.values():
                if type(value) in _CONTAINERS:
                    self._contents.append((value, value.copy()))

    def _clear_globals(self):
        for name in ("_global_forward_pre_hooks", "_global_forward_hooks",
                     "_global_backward_hooks", "_global_backward_pre_hooks"):
            held = getattr(torch_module, name, None)
            if held:
                self._globals.append((held, held.copy()))
                held.clear()

    def _replace(self):
        modules = self._modules()
        n_bytes = sum(one.numel() * one.element_size() for one in
                      {id(p): p for module in modules for p in module._parameters.values()
                       if p is not None}.values())
        for module in modules:
            self._strip(module)
            for kind, held in ((PARAMETER, module._parameters), (BUFFER, module._buffers)):
                for name, tensor in list(held.items()):
                    if tensor is not None:
                        held[name] = self._copy(tensor, kind, n_bytes > MAX_COPY_BYTES)
            for name, value in list(module.__dict__.items()):
                if (type(value) is torch.Tensor and value.grad_fn is None
                        and value.numel() * value.element_size() <= MAX_ATTRIBUTE_BYTES):
                    module.__dict__[name] = self._copy(value, None, False)
            if isinstance(module, torch.nn.RNNBase) and hasattr(module, "_flat_weights_names"):
                module.__dict__["_flat_weights"] = [
                    getattr(module, name, None) for name in module._flat_weights_names]

    def _strip(self, module):
        """Take the user's hooks away; torch's own (spectral_norm and its like) stay."""
        for name in _HOOKS:
            hooks = module.__dict__.get(name)
            if not hooks:
                continue
            kept = collections.OrderedDict()
            for key, hook in hooks.items():
                origin = getattr(hook, "__module__", None) or type(hook).__module__
                if origin.startswith("torch."):
                    kept[key] = hook
                elif not origin.startswith("barograph."):
                    self.has_hooks = True
                    if self._with_hooks:
                        kept[key] = hook
            module.__dict__[name] = kept
        if module.__dict__.get("_compiled_call_impl") is not None:
            module.__dict__["_compiled_call_impl"] = None   # as it was written

    def _copy(self, tensor, kind, is_shared):
        copy = self.copies.get(id(tensor))
        if copy is not None:
            return copy
        copy = tensor.detach()
        if not (is_shared and tensor.requires_grad):
            copy = copy.clone()
        if isinstance(tensor, torch.nn.Parameter):
            copy = torch.nn.Parameter(copy, requires_grad=tensor.requires_grad)
        elif tensor.requires_grad:
            copy.requires_grad_(True)
        self.copies[id(tensor)] = copy
        self._kept.append(tensor)
        known, name = self.names.find(tensor)
        if kind is not None:
            self.names.add(copy, known if known is not None else kind, name)
        return copy

    def copy_named(self, name):
        """The copy of a parameter or buffer; None when there is none of this name."""
        return next((self.copy_of(one) for one, _, known in self.names.tensors()
                     if known == name and id(one) in self.copies), None)

    def copy_of(self, tensor):
        """What stands for a tensor here: its copy, or itself."""
        return self.copies.get(id(tensor), tensor)


def _restore(now, was):
    for key in [key for key in now if key not in was]:
        del now[key]
    for key, value in was.items():
        if key not in now or now[key] is not value:
            now[key] = value


def _refill(held, was):
    if len(held) == len(was):
        if isinstance(held, dict):
            if all(key in held and held[key] is value for key, value in was.items()):
                return
        elif isinstance(held, set):
            if held == was:
                return
        elif all(one is other for one, other in zip(held, was)):
            return
    held.clear()
    if isinstance(held, (list, collections.deque)):
        held.extend(was)
    else:
        held.update(was)


def _numpy_state():
    numpy = sys.modules.get("numpy")
    return numpy.random.get_state() if numpy is not None and hasattr(numpy, "random") else None


def _cuda_state():
    return torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None


@contextlib.contextmanager
def conditions(remembered):
    """Autocast and gradients as they were when a model was called."""
    with contextlib.ExitStack() as stack:
        for device, dtype in remembered.autocast:
            stack.enter_context(torch.autocast(device, dtype=dtype))
        stack.enter_context(torch.set_grad_enabled(remembered.has_grad))
        yield


def is_replayable(module):
    """Tell whether a module can be called again like this: compiled ones if they can be told to run
    as they were written."""
    if hasattr(getattr(torch, "compiler", None), "set_stance"):
        return not any(isinstance(part, torch.jit.ScriptModule) for part in module.modules())
    return not any(isinstance(part, torch.jit.ScriptModule)
                   or type(part).__name__ == "OptimizedModule"
                   or getattr(part, "_compiled_call_impl", None) is not None
                   for part in module.modules())


def same_bits(one, other):
    """Tell whether two tensors hold the same bits; NaN is like NaN."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    one, other = one.detach(), other.detach()
    if not one.is_floating_point():
        return torch.equal(one, other)
    return bool(((one == other) | (one.isnan() & other.isnan())).all())
