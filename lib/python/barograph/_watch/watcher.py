# SPDX-License-Identifier: Apache-2.0
"""All that a run watches, and the course of a step: when it begins, what of it is due, its end."""
import sys
import threading
import time
import weakref
from time import perf_counter

import torch
from torch.nn.modules import module as torch_module

from .. import _tensors
from . import patches
from .arguments import as_list
from .cadence import Cadence
from .model import EVAL, NO_GRAD, PREFIXES, TRAIN, Model
from .modules import Hook, Modules
from .optimizers import Optimizers
from .parameters import Parameters
from .probes import Probes
from .ranks import Replicas
from .rest import Rest

RESCAN_STEPS = 64    # steps between looks for parameters and modules that were added or replaced
PLAN_STEPS = 16      # of rest, between two questions whether a probe is to be made
FORCED_STEPS = 10    # steps that are measured whole after trouble
MAX_SKIPS_TOLD = 5   # events about steps that a GradScaler skipped
_WRAPPERS = {"DataParallel": "module", "DistributedDataParallel": "module",
             "OptimizedModule": "_orig_mod"}


def is_compiled(module):
    """Tell whether torch.compile stands between a module's caller and its forward()."""
    return (type(module).__name__ == "OptimizedModule" or
            getattr(module, "_compiled_call_impl", None) is not None)


class Watcher:
    """One for each run. A step goes from one log() to the next."""

    def __init__(self, run):
        self._run = run
        self.models = []
        self.stamp = 0            # number of the step under way
        self.is_on = True
        self.n_forced = 0         # steps to be measured whole, whatever the cadence
        self.cadences = {phase: Cadence(run, phase != TRAIN) for phase in PREFIXES}
        self.modules = Modules(self)
        self.optimizers = Optimizers(self, run)
        self._replicas = Replicas(run)
        self.probes = Probes(self, run)
        self.n_all_due = 0        # steps in a row in which everything was due
        self._parameters = {}     # id of a parameter: (itself, its name, its model)
        self._opened = set()      # phases that the step under way has seen
        self._has_trained = False  # the last step or this one has trained
        self._leads_steps = None  # passes without gradients do; not known before the first
        self._waits = Hook(self._first)
        self._on_first = None     # the hook that waits for a forward pass, while it does
        self._key = f"barograph{id(self):x}"  # of that hook
        self.is_quiet = False     # nothing at all is due in the step under way
        self.is_resting = False   # nor is it asked for: see rest.py
        self._n_rests = 0         # steps that this goes on for, this one included
        self._is_under_way = False  # training has been seen in a step of rest
        self._rest = Rest(run._share)
        self._has_asked = False   # the governor, in the step under way
        self._n_due = 0           # of what it was asked about last
        self._has_left_some = False  # it was not all
        self._has_compiled = False
        self._gate = threading.Lock()  # views are one to a tensor: one thread measures
        self._rescan_at = RESCAN_STEPS
        self.spent_s = 0.0       # own time of the step under way, booked at its end
        self._measured_id = 0     # of what was measured since the last booking
        self._n_skips = 0         # steps that a GradScaler has skipped
        self._scaled = None       # (optimiser, its steps) within GradScaler.step()

    # ---- what is watched ----

    def add(self, model, optimizers, every, roles, include, exclude, name):
        """Begin to watch a model."""
        is_replicated = is_inside = False
        outer = model
        while type(model).__name__ in _WRAPPERS:
            is_replicated |= type(model).__name__ == "DistributedDataParallel"
            is_inside |= type(model).__name__ == "OptimizedModule"
            model = getattr(model, _WRAPPERS[type(model).__name__])
        known = next((one for one in self.models if one.ref() is model), None)
        if known is not None:
            self._run._complain("twice", "watch() was called twice for one model; what the first "
                                "call asked for holds")
            self._rescan(known)
        else:
            known = Model(model, self, every, roles, include, exclude, self._prefix(model, name))
            known.ref = weakref.ref(model, lambda _: self._forget(known))
            known.parameters = Parameters(known)
            known.is_ours = not is_inside
            self.models.append(known)
            self._take_in(known, model)
            self.optimizers.search_again()
        self.is_quiet = self.is_resting = False
        self.optimizers.forget_models()
        if is_replicated and "weight" in known.roles:
            self._replicas.add(known)
        for one in optimizers:
            if not any(ref() is one for ref in known.optimizers):
                known.optimizers.append(weakref.ref(one))
            self.optimizers.wrap(one)
        patches.install(self)
        self._see_calls(outer)
        self._arm()
        self.probes.guard_bare()

    def _see_calls(self, module):
        """Be told of the calls of what is compiled: a wrapper, or the module itself."""
        while module is not None:
            if is_compiled(module):
                self.probes.compiled.see(module)
            module = getattr(module, _WRAPPERS.get(type(module).__name__, ""), None)

    def _prefix(self, model, name):
        if name is not None:
            return str(name)
        if not self.models:
            return ""
        taken = {known.prefix for known in self.models}
        base = type(model).__name__
        names = [base] + [f"{base}{i}" for i in range(2, len(taken) + 3)]
        return next(one for one in names if one not in taken)

    def _take_in(self, known, module):
        """Take in the parameters and modules of a model, at first and again later."""
        shared = known.parameters.scan(self._parameters)
        if shared:
            pairs = ", ".join(f"'{other}' is '{name}'" for name, other in shared[:8])
            self._run._complain(("shared", known.prefix), "shared parameters are one series, "
                                f"under the first name: {pairs}"
                                f"{', ...' if len(shared) > 8 else ''}")
        known.is_ours &= not is_compiled(module)
        if not known.is_ours or any(is_compiled(part) for part in module.modules()):
            self._has_compiled = True
            self._tell_compiled()
        if known.is_ours:
            self.modules.add(known, module, is_compiled)

    def on_compile(self, module):
        """torch.compile() is given a module, or what calls it."""
        parts = set(map(id, module.modules()))
        touched = [known for known in self.models if known.ref() is not None
                   and any(id(part) in parts for part in known.ref().modules())]
        if not touched:
            return
        for known in touched:
            known.is_ours &= id(known.ref()) not in parts
        self._has_compiled = True
        self._tell_compiled()
        self._disarm()
        self.modules.leave(module)
        self.probes.leave(module)
        self.is_quiet = self.is_resting = False
        self._arm()

    def on_compiled(self, module, result):
        """torch.compile() has made this of a module of ours; gives what takes its place."""
        if not any(module is part for known in self.models if known.ref() is not None
                   for part in known.ref().modules()):
            return result
        if not isinstance(result, torch.nn.Module):  # by the module's own compile()
            return self.probes.compiled.around(module, result)
        self._see_calls(result)
        return result

    def _tell_compiled(self):
        self._run._complain("compiled", "the activations of compiled modules are not seen; "
                            "weights and gradients are")

    def rescan_soon(self):
        """Something was added: look at the end of this step."""
        self._rescan_at = self.stamp

    def _rescan(self, known):
        """Take up layers and parameters that were added, replaced or frozen since."""
        module = known.ref()
        if module is None:
            return
        self._take_in(known, module)
        known.parameters.report_frozen(self._run)

    def _rescan_all(self):
        self._rescan_at = self.stamp + RESCAN_STEPS
        for known in self.models:
            self._rescan(known)
        self.modules.forget_dead()

        def is_alive(view):
            if view.role in ("weight", "grad") and isinstance(view.owner, Parameters):
                return view.owner.has(view)
            ref = getattr(view.owner, "ref", None)
            return ref is None or ref() is not None

        for cadence in self.cadences.values():
            cadence.keep(is_alive)

    def _forget(self, known):
        """A model is gone: hold nothing of it any longer."""
        if known in self.models:
            self.models.remove(known)
        for entry in known.parameters.entries:
            self._parameters.pop(id(entry.parameter), None)
        known.parameters.clear()
        self.optimizers.forget(known)
        self._rescan_at = self.stamp

    def remove(self):
        """Stop watching: no hook, no wrapper and no reference to a model is left."""
        self.is_on = self.is_resting = False
        self._disarm()
        self.modules.close()
        self.optimizers.unwrap_all()
        patches.remove(self)
        self.probes.remove()
        self.models = []
        self._parameters = {}

    # ---- the beginning of a step ----

    def _arm(self):
        """Wait for the step's first forward pass."""
        if self._on_first is None and self.is_on:
            if self._has_compiled:  # a hook on all modules would have the compiler start anew
                self.modules.guard_entries(self.models)
            else:
                self._on_first = self._waits
                torch_module._global_forward_pre_hooks[self._key] = self._on_first

    def _disarm(self):
        if self._on_first is not None:
            self._on_first = None
            torch_module._global_forward_pre_hooks.pop(self._key, None)

    def _first(self, module, args):
        if self.is_resting:
            began = perf_counter()
            if module.training and torch.is_grad_enabled():
                self._is_under_way = True
                self._on_first = None
                torch_module._global_forward_pre_hooks.pop(self._key, None)
                self.probes.guard(module, args)
                self.spent_s += perf_counter() - began
                return
            self._wake()
        known = self.modules.find(module)
        if known is None or known.ref() is not module:
            return
        began = self.clock()
        try:
            self._disarm()
            if known.model.ref() is not module:
                known.model.entries.add(id(module))
            self.probes.guard(module, args)
            if self._passes_quietly(known.model):
                self.add_spent(began)
                return
            self.modules.guard_entries(self.models)
            self.modules.enter(known, module, args, began)
        except Exception as error:
            self.tell_failure(("input", type(error).__name__),
                              f"the input of '{known.name}' is left out: {error!r}")

    def _passes_quietly(self, model):
        """Begin a pass of training in a step in which nothing is due; False: something may be.

        Most steps are like that: they must cost next to nothing. No module has a hook in them,
        and what comes after the optimiser's step is waited for anew: it may be an evaluation.
        """
        if model.phase() != TRAIN or self._has_compiled:
            return False
        if not self._opened and not self.n_forced:
            self.open(TRAIN)
            self.is_quiet = (self._n_due == 0 and not self.modules.has_hooks()
                             and all(one.is_idle() for one in self.models))
        if self.is_quiet:
            model.join()
        return self.is_quiet

    def arm_again(self):
        """An optimiser has stepped in a quiet step: whatever is called next may be evaluation."""
        self._arm()

    def rest_on(self):
        """An optimiser steps in a step of rest: whatever is called next may be evaluation."""
        began = perf_counter()
        self._is_under_way = True
        if self._on_first is None:
            self._on_first = torch_module._global_forward_pre_hooks[self._key] = self._waits
        self.spent_s += perf_counter() - began

    def _wake(self):
        """End a rest within its step: something else than training is coming, or trouble."""
        self.is_resting = False
        if self._is_under_way:
            self._is_under_way = False
            self._opened.add(TRAIN)
            self._has_trained = True
            self._run._begin_step()

    def open(self, phase):
        """Begin a phase of the step, once: decide what of it is measured; True when it begins."""
        if self.is_resting:
            self._wake()
        if phase in self._opened:
            return False
        self._opened.add(phase)
        self._has_asked = True
        self._n_due = -1  # not known
        self._has_left_some = False
        try:
            self._name_step(phase)
            if phase == TRAIN:
                self.optimizers.search(self.models)
                for model in self.models:
                    model.parameters.open()
            stamp = self.stamp
            if phase != TRAIN:
                for model in self.models:
                    model.want_own(phase)
            n_known = len(self.cadences[phase].views)
            due = self.cadences[phase].ask()
            self._n_due = len(due)
            self._has_left_some = len(due) < n_known
            if phase == TRAIN:
                is_all = 0 < len(due) == len(self.cadences[phase].views)
                self.n_all_due = self.n_all_due + 1 if is_all else 0
            for view in due:
                view.due = stamp
                view.owner.want(view)
            self.modules.open(phase)
        except Exception as error:
            self.give_up("step", error)
        return True

    def open_training(self):
        """Begin the training phase of a step, if no forward pass has done so."""
        if TRAIN not in self._opened:
            self.open(TRAIN)

    def _name_step(self, phase):
        """Tell the step; what comes between two of training belongs to the one before.

        Passes without gradients do, too, unless they have come first: then they lead each step.
        """
        if phase == NO_GRAD and self._leads_steps is None:
            self._leads_steps = not self._has_trained
        if (phase == TRAIN or not self._has_trained
                or (phase == NO_GRAD and self._leads_steps)):
            self._run._begin_step()
        self._has_trained |= phase == TRAIN

    @property
    def has_compiled(self):
        """True when a part of a model is compiled."""
        return self._has_compiled

    @property
    def is_forced(self):
        """True in the steps after trouble."""
        return self.n_forced > 0

    # ---- measuring ----

    def measure(self, view, tensor):
        """Point a view at a tensor and have libbaro read it."""
        if not self._gate.acquire(blocking=False):
            return  # another thread measures: this reading is left out
        began = time.perf_counter()
        try:
            view.stamp = self.stamp
            if self._point(view, tensor):
                self._run._push_view(view)
                self._measured_id = view.id
        except Exception as error:
            view.is_broken = True
            self.tell_failure(("measure", view.role),
                              f"'{view.name}' ({view.role}) is left out: {error!r}")
        finally:
            self._gate.release()
            self.cadences[view.phase].cost_s += time.perf_counter() - began

    def measure_row(self, row, tensors):
        """Measure tensors of a row that are there: (index, tensor or None) by rising index."""
        if not self._gate.acquire(blocking=False):
            return
        try:
            self._measure_row(row, tensors)
        except Exception as error:
            self.give_up("parameters", error)
        finally:
            self._gate.release()

    def _measure_row(self, row, tensors):
        """Neighbours go in one call; after a refusal one by one, to find which it is."""
        stamp, views, run = self.stamp, row.views, self._run
        is_single, row.is_doubtful = row.is_doubtful, False
        first = end = 0
        for at, tensor in tensors:
            view = views[at]
            if tensor is None or view.stamp == stamp or view.is_broken:
                continue
            view.stamp = stamp
            if not self._point(view, tensor):
                continue
            if is_single:
                run._push_view(view)
                continue
            if at != end or first == end:
                if end > first:
                    run._push_row(row, first, end)
                first = at
            end = at + 1
        if end > first:
            run._push_row(row, first, end)

    def _point(self, view, tensor):
        """Point a view at a tensor; False when it cannot be measured, which is told once.

        The one place through which every tensor goes: those on a GPU are measured there, which
        is seen to here, and their numbers come later.
        """
        try:
            tensor = _tensors.plain(tensor, view)
            view.set_torch(tensor)
            if not view.id:
                if not self._run._declare(view):
                    return False
                view.owner.model.register(view, view.phase)
            if _tensors.is_far(tensor):
                self._run._take_far(view, tensor)
                return False
            return True
        except _tensors.Passing as reason:
            self._run._complain(("passing", str(reason)),
                                f"'{view.name}' ({view.role}) is not measured: {reason}")
        except _tensors.Unsupported as reason:
            view.is_broken = True
            self._run._complain(("unsupported", str(reason)),
                                f"'{view.name}' ({view.role}) is not measured: {reason}")
        except RuntimeError as error:  # no memory of its own: a tensor within torch.func
            self._run._complain(("measure", view.role),
                                f"'{view.name}' ({view.role}) is left out: {error!r}")
        except Exception as error:
            view.is_broken = True
            self._run._complain(("measure", view.role),
                                f"'{view.name}' ({view.role}) is left out: {error!r}")
        return False

    def clock(self):
        """Seconds of our own: of all time but that within libbaro, which books its own."""
        return time.perf_counter() - self._run._native_s

    def book(self, began):
        """Book own time since began, by clock(): for what was measured, else for none."""
        spent = self.clock() - began
        measured, self._measured_id = self._measured_id, 0
        if measured:
            self._run._spent(measured, spent)
        else:
            self.spent_s += spent

    def add_spent(self, began):
        """Note own time since began, for nothing in particular: booked at the step's end."""
        self.spent_s += self.clock() - began

    def show_grads(self):
        """Gradients are complete, and no optimiser is going to use them: the script itself does."""
        if self.is_resting:
            self._is_under_way = True
            return
        began = self.clock()
        self.open_training()
        self.modules.end_pass()
        for model in self.models:
            model.join()
            if "grad" in model.roles:
                model.parameters.measure_grads()
        self.book(began)

    # ---- the end of a step ----

    def close_step(self, is_troubled):
        """End the step: called by log() after the scalars, which books the time."""
        if is_troubled:
            self.probes.on_bad_value(sys._getframe(1))
        if self.is_resting:
            if not is_troubled and self.stamp < self._rescan_at:
                self._n_rests -= 1
                self.is_resting = self._n_rests > 0
                self._has_trained |= self._is_under_way
                self._is_under_way = False
                self.stamp += 1
                if self._on_first is None:
                    self._arm()
                probes = self.probes
                if probes.is_guarded or probes.loads.is_open or self.stamp % PLAN_STEPS == 0:
                    probes.close()
                return
            self._wake()
        if (self.is_quiet and not is_troubled and len(self._opened) == 1
                and self.stamp < self._rescan_at):
            self._close_quietly()
        else:
            self._close(is_troubled)
        self.probes.close()

    def take_spent(self):
        """Seconds of own time that are not booked yet; the caller books them."""
        spent, self.spent_s = self.spent_s, 0.0
        return spent

    def _close_quietly(self):
        """End a step in which nothing was due."""
        try:
            self._replicas.close_step()
        except Exception as error:
            self.give_up("weights", error)
        self._plan_rest()
        self.is_quiet = False
        self._has_trained = True
        self._opened.clear()
        self.stamp += 1
        self._arm()

    def _plan_rest(self):
        """Let steps pass without a look, if looks are dear and this one has not found all due."""
        has_asked, self._has_asked = self._has_asked, False
        if (len(self._opened) != 1 or TRAIN not in self._opened or self.n_forced
                or not has_asked or not self._has_left_some
                or self._has_compiled or self._replicas.has_any
                or any(one.every is not None for one in self.models)):
            return
        self._n_rests = self._rest.steps(self.spent_s, self.stamp)
        self.is_resting = self._n_rests > 0

    def _close(self, is_troubled):
        try:
            if TRAIN not in self._opened and not self._opened:
                self._open_bare()
            for model in self.models:
                self._close_model(model, is_troubled)
            self._replicas.close_step()
        except Exception as error:
            self.give_up("weights", error)
        if self._opened:
            self._has_trained = TRAIN in self._opened
        if not is_troubled:
            self._plan_rest()
        self._opened.clear()
        self.modules.close()
        for model in self.models:
            model.parameters.close()
        if self.stamp >= self._rescan_at:
            try:
                self._rescan_all()
            except Exception as error:
                self.give_up("models", error)
        self.stamp += 1
        self.n_forced = FORCED_STEPS if is_troubled else max(0, self.n_forced - 1)
        self.is_quiet = False
        self._arm()

    def _open_bare(self):
        """A step without any forward pass that was seen: the parameters alone."""
        self.open(TRAIN)
        self._has_trained = False

    def _close_model(self, model, is_troubled):
        """Gradients that no optimiser's step has shown, then the weights."""
        is_idle = model.n_moves > 0 and model.stepped != self.stamp
        if not model.n_moves or not is_idle:
            model.join()
            if not model.parameters.has_told_frozen:
                model.parameters.report_frozen(self._run)
        if is_troubled:
            model.parameters.want_all()
        if "grad" in model.roles and (is_troubled or not model.n_moves):
            model.parameters.measure_grads()
        if "weight" in model.roles and (is_troubled or not is_idle):
            model.parameters.measure_weights()

    def leave_begun(self):
        """Tell whether the step under way has only begun: optimisers have not stepped in it, as
        they have in others. Then it is left: there is no such step."""
        is_begun = any(model.n_moves > 0 for model in self.models) and not any(
            model.stepped == self.stamp for model in self.models)
        if is_begun:
            self._opened.clear()
        return is_begun

    def measure_last(self, limit_s):
        """The run ends: measure the weights once more as far as time allows, at the last step.

        Those that were measured longest ago come first.
        """
        deadline = time.monotonic() + limit_s
        last = self.stamp if self._opened else self.stamp - 1
        try:
            waiting = [(entry.weight.stamp, at, model.parameters)
                       for model in self.models if "weight" in model.roles
                       for at, entry in enumerate(model.parameters.entries)
                       if entry.weight.stamp < last]
            for _, at, parameters in sorted(waiting, key=lambda one: one[:1]):
                if time.monotonic() >= deadline:
                    break
                self.measure_row(parameters.weights, [(at, parameters.entries[at].parameter)])
        except Exception as error:
            self.give_up("the last weights", error)

    # ---- clipping and loss scaling ----

    def on_clip(self, parameters, total, max_norm):
        """clip_grad_norm_ has returned the norm before it clipped."""
        name = self._name_of(parameters)
        if name is None or not self.is_on:
            return
        self.probes.on_norm(total)
        self._run._own(name, total.detach())
        limit = float(max_norm)
        self._run._own(f"{name}_clipped",
                       total.detach() * (limit / (total.detach() + 1e-6)).clamp(max=1.0))

    def wants_clip(self, parameters):
        """Tell whether the norms around clip_grad_value_ are to be computed: if measured now."""
        known = self._parameters.get(id(parameters[0])) if parameters else None
        if known is None or not self.is_on or self.is_resting:
            return False
        self.open_training()
        return known[2].parameters.is_grad_due()

    def on_clipped(self, parameters, before, after):
        """clip_grad_value_ has clipped."""
        name = self._name_of(parameters)
        if name is not None and before is not None and after is not None:
            self._run._own(name, before)
            self._run._own(f"{name}_clipped", after)

    def _name_of(self, parameters):
        """grad_norm, with what is before it when it is not the norm of all of the only model."""
        if not parameters:
            return None
        known = self._parameters.get(id(parameters[0]))
        if known is None or known[0] is not parameters[0]:
            return None
        model = known[2]
        trained = sum(entry.parameter.requires_grad for entry in model.parameters.entries)
        if len(parameters) >= trained:
            return f"{model.prefix}/grad_norm" if model.prefix else "grad_norm"
        return f"{known[1]}/grad_norm"  # a group: under the name of its first parameter

    def before_scaled(self, scaler, optimizer):
        """GradScaler.step() begins."""
        held = self.optimizers.find(optimizer)
        if held is None or not self.is_on or not scaler.is_enabled():
            return
        self._run._complain("scaled", "the loss is scaled: act_grad series are multiplied by the "
                            "scalar loss_scale of their step; grad series are not")
        if getattr(optimizer, "_step_supports_amp_scaling", False):
            self._run._complain("fused", "a fused optimiser unscales gradients by itself: grad "
                                "series are multiplied by loss_scale, too")
        scale = getattr(scaler, "_scale", None)
        if isinstance(scale, torch.Tensor):
            self._run._own("loss_scale", scale.detach().clone())
        elif scale is None:
            self._run._own("loss_scale", float(getattr(scaler, "_init_scale", float("nan"))))
        self._scaled = (held, held.n_steps)

    def after_scaled(self, scaler, optimizer):
        """GradScaler.step() has ended, with a step of the optimiser or without."""
        was, self._scaled = self._scaled, None
        if was is None or was[0].n_steps != was[1]:
            return
        self._n_skips += 1
        self._run._own("skipped_steps", float(self._n_skips))
        if self._n_skips <= MAX_SKIPS_TOLD:
            self._run._complain(("skip", self._n_skips), "a step was skipped by GradScaler: "
                                "gradients were not finite; it lowers loss_scale"
                                f"{' (not told again)' if self._n_skips == MAX_SKIPS_TOLD else ''}")

    # ---- trouble ----

    def tell_failure(self, kind, text):
        """Something of ours failed: told once, the training goes on."""
        self._run._complain(("watch",) + (kind if isinstance(kind, tuple) else (kind,)), text)

    def give_up(self, what, error):
        """One failure is told and ends this kind of measuring; the training goes on."""
        self._run._complain(("watch", what), f"measuring failed at {what}: {error!r}")


__all__ = ["Watcher", "EVAL", "as_list"]
