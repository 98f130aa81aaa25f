# SPDX-License-Identifier: Apache-2.0
"""Calls of models that torch.compile() stands before.

Nothing of ours may lie within what is compiled: a hook there would have the compiler start anew. So
calls are seen outside of it: by hooks on the wrapper that torch.compile(model) gives, and around
the function that model.compile() puts in the place of the call. That is enough to do a step again
as it was written (_probe/program.py).
"""
import functools
import weakref

from .modules import Hook, is_compiling, keywords


def wrapped_by(module):
    """The module within wrappers of torch.compile()."""
    while type(module).__name__ == "OptimizedModule":
        module = module._orig_mod
    return module


class Compiled:
    """What tells the probes of one run of such calls."""

    def __init__(self, probes):
        self._probes = probes
        self._key = f"barographcompiled{id(self):x}"
        self._wrappers = []    # weak references
        self._in_place = []    # (weak reference to a module, function of ours, what it calls)

    def see(self, module):
        """Be told of the calls of a wrapper, or of a module that is compiled in place."""
        if type(module).__name__ == "OptimizedModule":
            if self._key not in module._forward_pre_hooks:
                module._forward_pre_hooks[self._key] = Hook(self.enter)
                module._forward_hooks[self._key] = Hook(self._leave)
                self._wrappers.append(weakref.ref(module))
            return
        call = module.__dict__.get("_compiled_call_impl")
        if call is not None and not any(one is call for _, one, _ in self._in_place):
            module.__dict__["_compiled_call_impl"] = self.around(module, call)

    def around(self, module, call, is_once=False):
        """A function that does as call does, and tells of it; is_once: to be called at once."""
        ref, probes = weakref.ref(module), self._probes

        @functools.wraps(call)
        def ours(*args, **kwargs):
            known = None if is_compiling() else ref()
            if known is None:
                return call(*args, **kwargs)
            probes.enter_compiled(known, args, kwargs)
            try:
                output = call(*args, **kwargs)
            except BaseException:
                probes.leave_compiled(known, args, ())
                raise
            probes.leave_compiled(known, args, output)
            return output

        if not is_once:
            self._in_place.append((ref, ours, call))
        return ours

    def enter(self, wrapper, args):
        """A wrapper is called."""
        self._probes.enter_compiled(wrapped_by(wrapper), args, keywords(wrapper, len(args)))

    def _leave(self, wrapper, args, output):
        self._probes.leave_compiled(wrapped_by(wrapper), args, output)

    def close(self):
        """The run ends: nothing of ours is left."""
        for ref in self._wrappers:
            wrapper = ref()
            if wrapper is not None:
                wrapper._forward_pre_hooks.pop(self._key, None)
                wrapper._forward_hooks.pop(self._key, None)
        for ref, ours, call in self._in_place:
            module = ref()
            if module is not None and module.__dict__.get("_compiled_call_impl") is ours:
                module.__dict__["_compiled_call_impl"] = call
        self._wrappers.clear()
        self._in_place.clear()
