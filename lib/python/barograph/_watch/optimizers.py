# SPDX-License-Identifier: Apache-2.0
"""The optimisers of watched models: their step() is wrapped, on the object itself.

Before a step the gradients are measured that it is about to use (after clipping and unscaling,
all micro-batches added up); after it, what it did to the weights. With a closure (LBFGS) the
gradients are those of its first evaluation. An optimiser that steps several times between two
calls of log() is seen at the first of them.
"""
import gc
import types
import weakref

import torch

from .._updates import Updates
from .model import TRAIN
from .parameters import UNUSED_STEPS

CLOSER = 16  # of so many steps of an optimiser one is looked at, even if nothing is due


def held_by(optimizer):
    """All parameters that an optimiser holds."""
    for group in optimizer.param_groups:
        yield from group["params"]


class Held:
    """What is known of one optimiser."""

    __slots__ = ("ref", "size", "ids", "entries", "n_scans", "n_steps", "stamp", "models")

    def __init__(self, optimizer):
        self.ref = weakref.ref(optimizer)
        self.size = -1
        self.ids = frozenset()  # of the parameters it holds
        self.entries = []       # (name, parameter) of them, for Updates
        self.n_scans = -1
        self.n_steps = 0
        self.stamp = -1         # stamp of the step in which it last stepped
        self.models = None      # that it moves, as of its last step; None: not known


class Optimizers:
    """All wrapped optimisers of a run."""

    def __init__(self, watcher, run):
        self._watcher = watcher
        self._run = run
        self._wrapped = []   # (Held, step before ours, ours)
        self._updates = Updates(run, watcher.cadences[TRAIN])
        self._has_updates = True
        self._has_searched = False

    def find(self, optimizer):
        """What is known of an optimiser, or None."""
        return next((held for held, _, _ in self._wrapped if held.ref() is optimizer), None)

    def wrap(self, optimizer):
        """Call us around each step of this optimiser; the optimiser itself stays as it is."""
        if self.find(optimizer) is not None:
            return
        original = optimizer.step
        me = weakref.ref(self)
        held = Held(optimizer)

        def step(self_, *args, **kwargs):
            optimizers = me()
            watcher = optimizers._watcher if optimizers is not None else None
            if watcher is None or not watcher.is_on:
                return original(*args, **kwargs)
            if watcher.is_resting:
                held.n_steps += 1
                if watcher.probes.is_guarded:
                    watcher.probes.before_step()
                watcher.rest_on()
                return original(*args, **kwargs)
            return optimizers._step(held, original, args, kwargs)

        # What learning-rate schedulers look for on step(): _with_counter, __wrapped__, __self__.
        step.__dict__.update(getattr(original, "__dict__", {}))
        step.__wrapped__ = original
        ours = types.MethodType(step, optimizer)
        had = optimizer.__dict__.get("step")
        optimizer.step = ours
        self._wrapped.append((held, had, step))

    def unwrap_all(self):
        """Give all optimisers their step back."""
        for held, had, ours in self._wrapped:
            optimizer = held.ref()
            now = optimizer.__dict__.get("step") if optimizer is not None else None
            if now is None or getattr(now, "__func__", None) is not ours:
                continue  # somebody wrapped it again: ours stays below and does nothing
            if had is None:
                del optimizer.step
            else:
                optimizer.step = had
        self._wrapped = []
        self._updates.forget()

    def search(self, models):
        """For models without an optimiser given, take those that hold a parameter of theirs."""
        lonely = [model for model in models if not model.optimizers]
        if self._has_searched or not lonely:
            return
        self._has_searched = True
        owners = {id(entry.parameter): model for model in lonely
                  for entry in model.parameters.entries}
        for thing in gc.get_objects():
            if not issubclass(type(thing), torch.optim.Optimizer):
                continue
            for model in {owners[id(p)]: 0 for p in held_by(thing) if id(p) in owners}:
                model.optimizers.append(weakref.ref(thing))
                self.wrap(thing)

    def forget(self, model):
        """A model is gone: hold none of its parameters."""
        for held, _, _ in self._wrapped:
            held.size, held.ids, held.entries, held.models = -1, frozenset(), [], None
        self._updates.forget()

    def forget_models(self):
        """A model or an optimiser has come or gone: find out anew what moves what."""
        for held, _, _ in self._wrapped:
            held.models = None

    def search_again(self):
        """Another model has come: search once more."""
        self._has_searched = False

    # ---- a step ----

    def _step(self, held, original, args, kwargs):
        closure = args[0] if args else kwargs.get("closure")
        is_waiting = False
        if closure is None:
            is_waiting = self._before(held)
        else:
            is_first = [True]

            def seen(*given, **named):
                result = closure(*given, **named)
                if is_first[0]:
                    is_first[0] = False
                    is_first.append(self._before(held))
                return result

            if args:
                args = (seen,) + args[1:]
            else:
                kwargs = dict(kwargs, closure=seen)
        try:
            return original(*args, **kwargs)
        finally:
            if is_waiting or (closure is not None and is_first[-1] is True):
                self._after(held)

    def _before(self, held):
        """Just before an optimiser uses its gradients; True: _after() is to be called."""
        watcher = self._watcher
        try:
            watcher.probes.before_step()
            if watcher.is_quiet:
                watcher.arm_again()
                if self._passes_quietly(held):
                    return False
            return self._look(held, held.ref())
        except Exception as error:
            watcher.give_up("gradients", error)
        return False

    def _passes_quietly(self, held):
        """Note a step of an optimiser in a step in which nothing is due; False: look closer."""
        watcher = self._watcher
        began = watcher.clock()
        if held.models is None or held.n_steps % CLOSER == 0:
            return False
        stamp = watcher.stamp
        if (held.stamp != stamp and held.entries and self._has_updates
                and not self._updates.is_idle(held.ref(), held.entries)):
            return False
        held.stamp = stamp
        held.n_steps += 1
        for model in held.models:
            model.join()
            self._note(model, stamp)
        watcher.add_spent(began)
        return True

    def _look(self, held, optimizer):
        watcher = self._watcher
        began = watcher.clock()
        watcher.open_training()
        watcher.modules.end_pass()
        stamp = watcher.stamp
        is_first, held.stamp = held.stamp != stamp, stamp
        held.n_steps += 1
        self._refresh(held, optimizer)
        is_whole = False
        roles = set()
        held.models = [model for model in watcher.models
                       if any(ref() is optimizer for ref in model.optimizers)]
        for model in held.models:
            model.join()
            self._note(model, stamp)
            if "grad" in model.roles:
                model.parameters.measure_grads(held.ids)
            if model.every is None or model.whole == stamp:
                roles |= model.roles & {"update", "opt"}
            is_whole |= model.whole == stamp
        watcher.book(began)
        if not roles or not is_first or not self._has_updates:
            return False
        try:
            return bool(self._updates.before(optimizer, held.entries, tuple(sorted(roles)),
                                             is_whole))
        except Exception as error:
            return self._no_updates(error)

    def _no_updates(self, error):
        self._has_updates = False
        if isinstance(error, NotImplementedError):
            return False
        self._watcher.tell_failure("updates", f"updates are not measured: {error!r}")
        return False

    def _note(self, model, stamp):
        """A model is about to be moved."""
        model.stepped = stamp
        model.n_moves += 1
        module = model.ref()
        if module is not None and not module.training and not model.trains_in_eval:
            model.trains_in_eval = True
            self._run._complain(("eval", model.prefix), "the model is trained while it is in "
                                "evaluation mode (model.eval()): dropout is off, and batch norm "
                                "does not learn; its passes count as training from now on")
        if model.n_moves == UNUSED_STEPS:
            held = [self.find(ref()) for ref in model.optimizers]
            model.parameters.report_unused(self._run, frozenset().union(
                *(one.ids for one in held if one is not None)))

    def _refresh(self, held, optimizer):
        size = sum(len(group["params"]) for group in optimizer.param_groups)
        n_scans = sum(model.parameters.n_scans for model in self._watcher.models)
        if size == held.size and n_scans == held.n_scans:
            return
        if held.size >= 0 and size != held.size:
            self._watcher.rescan_soon()
        held.size, held.n_scans = size, n_scans
        held.ids = frozenset(id(parameter) for parameter in held_by(optimizer))
        held.entries = [(entry.name, entry.parameter) for model in self._watcher.models
                        if model.roles & {"update", "opt"} for entry in model.parameters.entries
                        if id(entry.parameter) in held.ids]

    def _after(self, held):
        """Just after an optimiser's step, also when it raised."""
        try:
            self._updates.after(held.ref())
        except Exception as error:
            self._no_updates(error)
