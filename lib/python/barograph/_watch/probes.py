# SPDX-License-Identifier: Apache-2.0
"""When probes are made: rarely in calm times, when somebody wants to know, and at a failure.

What is remembered of each step is how its models were called: references, for that step only. A
loss is looked at when backward() is called on it, gradients are looked at just before an optimiser
uses them: at both times the weights are still those of the forward pass, so the step can be
computed again (_probe/moment.py). That is to guard a step. It costs a few ten microseconds, some
hundred where the training keeps the processor's caches to itself, so it has an account: what it
begins with guards the first thousands of steps, then as many as its share of the budget pays for,
and all of them with every=K and after trouble. A step is traced as it happens
(_probe/trace.py): the first of a run (the second, where a compiler may be at work in the first),
then as rarely as the budget allows, and after trouble.
"""
import cmath
import math
import sys
import time
import weakref
from threading import get_ident

import torch

from .. import _native
from .._loader import Loads
from .._probe.again import Remembered
from .._probe.build import ASKED, REGULAR, Builder, rows_of, seed
from .._probe.graph import steep
from .._probe.moment import Moment
from .._probe.program import Template, bad_loss_in, is_bad_loss, user_frames
from .._probe.trace import HINTS, Names, Trace, is_users
from . import layout, patches
from .compiled import Compiled
from .modules import Hook, keywords, transform
from .model import TRAIN

N_ROWS = 8
MAX_BYTES = 8 << 20     # of a probe in calm times
SHARE = 0.25            # of the run's budget that probes may take
REST_S = 30.0           # between two probes in calm times
REST_STEPS = 16
MAX_FIRST = 4           # probes at first: one of each backward() of a step
N_ALL_DUE = 3           # steps in a row in which everything is due: somebody wants to know
MAX_REST_S = 600.0
GUARD_S = 0.3           # that guarding steps may take at first, and at most at once
GUARD_SHARE = 0.4       # of the run's budget that it may take afterwards
MAX_FAILURES = 4        # captured in one run
CALM_LOSSES = 20        # after which another failure is another one
MAX_CALLS = 16          # of models since the last backward() that are remembered
MAX_TEMPLATES = 8
MAX_LOOKED = 65536      # elements of the gradient that is looked at in every step
N_LOOKED = 2048         # of them, where they lie in memory one by one
MAX_EDGES = 2           # gradients that are looked at: next to the data, next to the loss
_FLOATS = {kind: _native.DTYPES[str(kind)[6:]] for kind in (
    torch.float32, torch.float64, torch.float16, torch.bfloat16)}


class Probes:
    """Probes of one run."""

    def __init__(self, watcher, run):
        self._watcher = watcher
        self._run = run
        self.is_on = hasattr(run._lib, "baro_probe_begin")
        self._is_finite = run._lib.baro_is_finite
        self._moment = Moment(self, run)
        self.loads = Loads(run)
        self.compiled = Compiled(self)
        self._calls = []           # of models since the last backward(), oldest first
        self._depth = 0            # calls under way
        self._entered = None       # (module, arguments) of the call that began the step
        self._thread = 0           # that trains
        self._hooked = []          # modules with hooks of ours in this step
        self._on_enter, self._on_leave = Hook(self._enter), Hook(self._leave)
        self._key = f"barographprobe{id(self):x}"
        self._trace = None         # under way
        self._builder = None
        self._rng = None           # state of torch's random numbers when its step began
        self._reason = 0
        self._began_s = 0.0
        self._wanted = None        # (reason, which backward() of the step is to be traced)
        self._n_backward = 0       # in this step
        self._n_usual = 1          # in the step before
        self._n_before = 0         # calls of it before that of the batch that failed
        self._n_made = 0
        self._n_errors = 0         # traces that came to nothing
        self._cost_s = 0.0         # of all probes in calm times
        self._started_s = time.monotonic()
        self._next_s = 0.0
        self._next_stamp = 0
        self._edges = {}           # names of parameters: of them the gradients are looked at
        self._templates = {}       # line that calls backward(): Template
        self._lines = []           # likewise, oldest first
        self._has_noise = True     # of what is not known, the random numbers may be needed
        self._n_failures = 0
        self._n_in_vain = 0        # captured, but nothing was found
        self._n_calm = CALM_LOSSES
        self._last = None          # of a finite loss: (loss, calls, template, gathered)
        self._n_within = 0         # calls of backward() under way
        self._scaled = []          # (weak reference to what GradScaler.scale() gave, it, the loss)
        self._was_asked = (False, False)
        if self.is_on and not _may_compile():
            self._wanted = (REGULAR, 0)   # many fail in their very first step
        self.is_guarded = False   # the step under way
        self._has_spare = True     # the budget has room for what can be left out
        self._has_missed = False   # a failure in one that was not: said
        self._guard_s = GUARD_S    # account of guarding
        self._guard_at = time.perf_counter()

    # ---- what Moment asks ----

    def models(self):
        """(module, function for full names, function for hints) of all watched models."""
        known = self._watcher.modules
        found = []
        for model in self._watcher.models:
            module = model.ref()
            if module is None:
                continue

            def hint_of(part):
                one = known.find(part)
                hint = one.hint if one is not None else layout.unit_hint(part)
                return HINTS.get(hint)

            found.append((module, model.path, hint_of))
        return found

    def batch_place(self, calls):
        """The axis of the batch in what models are given."""
        return 1 if any(model.is_time_first for model in self._watcher.models) else 0

    tensors_in = staticmethod(lambda output: [one for _, one in layout.tensors_in(output)])

    def rng_of_step(self):
        """The state of torch's random numbers when the first of the step's models was called."""
        calls = self._calls or (self._last[1] if self._last else ())
        return next((call.rng for call in calls if call.rng is not None), None)

    def first_row(self, calls, n_batch):
        """How many samples of the step come before those of the batch that failed."""
        given = [tensor for call in calls for _, tensor in _named(call.args, call.kwargs)]
        first = self.loads.tell(given)
        return first if first is not None else self._n_before * n_batch

    # ---- a step ----

    def guard(self, module=None, args=()):
        """A step of training begins: be called when models are; module: one is called just now."""
        if not self.is_on:
            return
        if not self.is_guarded:
            if not self._may_guard():
                return
            self.is_guarded = True
            patches.guarded.append(self)
        began = time.perf_counter()
        is_hooked = module is not None and self._key in module._forward_pre_hooks
        for model in self._watcher.models:
            root = model.ref()
            if root is None or not model.is_ours:
                continue
            self._hook(root)
            for key in model.entries:
                known = self._watcher.modules.at(key)
                part = known.ref() if known is not None else None
                if part is not None:
                    self._hook(part)
        self._thread = get_ident()
        if module is not None and self._key not in module._forward_hooks:
            self._hook(module)
        self._guard_s -= time.perf_counter() - began
        if module is not None and not is_hooked:  # else a hook of ours sees this very call
            self._enter(module, args)
            self._entered = (module, args)

    def _may_guard(self):
        """Tell whether the step that begins is guarded."""
        now = time.perf_counter()
        held = self._guard_s + (now - self._guard_at) * GUARD_SHARE * self._run._share
        self._guard_s = held if held < GUARD_S else GUARD_S
        self._guard_at = now
        return (held > 0 and self._has_spare or self._wanted is not None or not self._watcher.is_resting and (
            self._watcher.n_forced > 0
            or any(model.every is not None for model in self._watcher.models)))

    def _spent(self, began):
        """Book time of guarding."""
        watcher = self._watcher
        spent = watcher.clock() - began
        self._guard_s -= spent
        watcher.spent_s += spent

    def _hook(self, module):
        if self._key not in module._forward_pre_hooks:
            module._forward_pre_hooks[self._key] = self._on_enter
            module._forward_hooks[self._key] = self._on_leave
            self._hooked.append(weakref.ref(module))

    def close(self):
        """The step is over: nothing of it is held."""
        self.loads.close()
        if self.is_guarded or self._hooked:
            self._forget_step()
        if self._scaled:
            self._scaled.clear()
        if self.is_on:
            self._plan()
            self.guard_bare()

    def guard_bare(self):
        """A step begins; where no model is ever called, nothing else would say so."""
        models = self._watcher.models
        if models and all(_is_bare(one.ref()) for one in models):
            self.guard()

    def _forget_step(self):
        """End a step that was guarded."""
        if self._trace is not None or self._builder is not None:
            self._stop_trace()
        for ref in self._hooked:
            module = ref()
            if module is not None:
                module._forward_pre_hooks.pop(self._key, None)
                module._forward_hooks.pop(self._key, None)
        self._hooked.clear()
        self._calls.clear()
        self._depth = 0
        self._entered = self._last = None
        if self.is_guarded:
            usual, self._n_usual = self._n_usual, max(self._n_backward, 1)
            if usual < self._n_usual and 0 < self._n_made < min(self._n_usual, MAX_FIRST):
                self._next_stamp = min(self._next_stamp, self._watcher.stamp + 2)
            self.is_guarded = False
            patches.guarded.remove(self)
        self._n_backward = 0

    def leave(self, module):
        """A module is going to be compiled: it has no hook of ours from now on."""
        for part in module.modules():
            part._forward_pre_hooks.pop(self._key, None)
            part._forward_hooks.pop(self._key, None)

    def remove(self):
        """The run ends."""
        self.compiled.close()
        self.loads.remove()
        self.close()
        self._templates.clear()
        self.is_on = False

    def _plan(self):
        """Decide whether the step that comes next is traced."""
        watcher = self._watcher
        self._wanted = None
        self._has_spare = self._run._has_spare()
        asked = (watcher.is_forced, watcher.n_all_due >= N_ALL_DUE)
        begins = any(now and not before for now, before in zip(asked, self._was_asked))
        self._was_asked = asked
        if watcher.stamp < self._next_stamp:
            return
        now = time.monotonic()
        turn = self._n_made % self._n_usual
        if self._n_made < min(self._n_usual, MAX_FIRST):
            self._wanted = (REGULAR, turn)
        elif self._may_spend(now):
            if begins:
                self._wanted = (ASKED, turn)
            elif now >= self._next_s:
                self._wanted = (REGULAR, turn)

    def _may_spend(self, now):
        return self._has_spare and self._cost_s <= SHARE * self._run._share * (now - self._started_s)

    # ---- models are called ----

    def enter_compiled(self, module, args, kwargs):
        """A model is called whose forward pass is compiled; told from outside of that."""
        if not self.is_guarded and torch.is_grad_enabled() and module.training:
            self.guard()
        if self.is_guarded:
            self._enter(module, args, kwargs)

    def leave_compiled(self, module, args, output):
        """It has returned."""
        if self.is_guarded:
            self._leave(module, args, output)

    def _enter(self, module, args, kwargs=None):
        watcher = self._watcher
        if get_ident() != self._thread:
            return  # of a replica, in a thread of its own
        entered, self._entered = self._entered, None
        if entered is not None and entered[0] is module and entered[1] is args:
            return  # the step before was ended by this very call, which had our hook then
        if self._depth == 0 and not self._n_within and transform() is None:
            began = watcher.clock()
            try:
                self._begin_call(module, args, kwargs)
            except Exception as error:
                self._calls.clear()
                self._fail("call", error)
            self._spent(began)
        self._depth += 1

    def _begin_call(self, module, args, kwargs=None):
        if not torch.is_grad_enabled() or not module.training and not self._trains(module):
            return
        if self._calls and self._trace is None and self._templates:
            self._look_at_skipped()
        if len(self._calls) >= MAX_CALLS:
            self._calls.pop(0)
        kwargs = keywords(module, len(args)) if kwargs is None else kwargs
        call = Remembered(module, args, kwargs, self._has_noise)
        call.names = _named
        self._calls.append(call)
        if self._wanted is not None and self._trace is None and (
                self._n_backward == self._wanted[1]):
            self._start_trace(call)
        if self._trace is not None:
            self._trace.enter_model(module, _named(args, kwargs))

    def _trains(self, module):
        known = self._watcher.modules.find(module)
        return known is not None and known.model.phase() == TRAIN

    def _leave(self, module, args, output):
        if get_ident() != self._thread:
            return
        self._depth = max(0, self._depth - 1)
        if self._depth == 0 and not self._n_within and self._calls and self._calls[-1].module is module:
            began = self._watcher.clock()
            try:
                tensors = [output] if type(output) is torch.Tensor else self.tensors_in(output)
                self._calls[-1].note(tensors)
                if self._trace is not None:
                    self._trace.leave_model(tensors)
            except Exception as error:
                self._fail("call", error)
            self._spent(began)

    # ---- a step that is traced as it happens ----

    def _start_trace(self, call):
        if self._watcher.has_compiled or _has_compiled_something():
            self._wanted, self._next_stamp = None, sys.maxsize
            return  # a compiler would start anew, or leave its work aside for this step
        self._began_s = time.perf_counter()
        reason, self._wanted = self._wanted[0], None
        self._reason = reason
        named = _named(call.args, call.kwargs)
        place = self.batch_place(())
        first = next((one for _, one in named if one.dim() > place), None)
        n_batch = first.shape[place] if first is not None else 0
        self._run._begin_step()
        self._rng = call.rng if call.rng is not None else torch.default_generator.get_state()
        self._builder = Builder.begin(self._run, reason, -1, n_batch,
                                      rows_of(n_batch, N_ROWS), MAX_BYTES)
        trace = Trace(Names(self.models()), self._builder)
        trace.batch_place, trace.n_batch = place, n_batch
        if self._builder is not None and trace.start():
            self._trace = trace
        else:
            self._drop_builder()

    def _end_trace(self, loss, frames):
        """backward() is called: the step is complete."""
        trace, builder = self._trace, self._builder
        try:
            value = trace.value_of(loss) if loss is not None else None
            template = None
            if value is not None and trace.error is None and not trace.is_cut:
                with trace.pause():
                    template = Template(trace, loss, frames)
                self._has_noise = template.has_noise
                self._note_edges(template)
        finally:
            trace.stop()
            self._trace = None
        if trace.error is not None:
            self._drop_builder()
            self._rest_after_error()
            raise trace.error
        if value is not None:
            builder.loss(value)
        builder.constant("torch seed", seed())
        builder.constant("rng state", self._rng)
        if trace.is_cut:
            builder.cut()
        self._builder = None
        builder.end()
        if template is not None and frames:
            line = _line(frames)
            if line not in self._templates:
                self._lines.append(line)
                if len(self._lines) > MAX_TEMPLATES:
                    self._templates.pop(self._lines.pop(0), None)
            self._templates[line] = template
        self._made()

    def _note_edges(self, template):
        """Learn which gradients show the most: from now on they are the ones that are looked at."""
        first, last = template.edges
        self._edges.update(dict.fromkeys(last[:MAX_EDGES], False))
        self._edges.update(dict.fromkeys(first[:MAX_EDGES], True))
        for model in self._watcher.models:
            model.looked = (-1, [])

    def _made(self):
        """A probe has been made: say when the next one may be."""
        cost = time.perf_counter() - self._began_s
        self._cost_s += cost
        self._n_made += 1
        now = time.monotonic()
        rest = min(REST_S * 2 ** min(self._n_made - 1, 8), MAX_REST_S)
        self._next_s = now + rest
        self._next_stamp = self._watcher.stamp + REST_STEPS
        if self._n_made < min(self._n_usual, MAX_FIRST):
            self._next_stamp = self._watcher.stamp + 2

    def _rest_after_error(self):
        """A trace came to nothing: try again later, and not for ever."""
        self._n_errors += 1
        self._next_stamp = (self._watcher.stamp + REST_STEPS ** self._n_errors
                            if self._n_errors < 4 else sys.maxsize)

    def _drop_builder(self):
        builder, self._builder = self._builder, None
        if builder is not None:
            builder.end(is_dropped=True)

    def _stop_trace(self):
        trace, self._trace = self._trace, None
        if trace is not None:
            trace.stop()
            self._rest_after_error()
        self._drop_builder()

    # ---- losses ----

    def on_scale(self, given, result):
        """GradScaler.scale() has made something of a loss."""
        if isinstance(given, torch.Tensor) and isinstance(result, torch.Tensor):
            del self._scaled[:-15]
            self._scaled.append((weakref.ref(result), result.detach(), given.detach()))

    def on_backward(self, tensors, frame):
        """backward() is called on tensors, from a frame; to be followed by after_backward()."""
        self._n_within += 1
        if not self.is_guarded or not self.is_on or self._depth or self._n_within > 1:
            return
        began = self._watcher.clock()
        try:
            self.look_at_gradients()  # of what was added up before
            loss = tensors[0] if isinstance(tensors, (list, tuple)) and tensors else tensors
            if isinstance(loss, torch.Tensor) and loss.numel() == 1:
                self._look_at_loss(loss, frame)
            else:
                self._stop_trace()
        except Exception as error:
            self._stop_trace()
            self._fail("backward", error)
        finally:
            self._n_backward += 1
            self._calls.clear()
            self._spent(began)

    def after_backward(self):
        """It has returned, or raised."""
        self._n_within = max(0, self._n_within - 1)

    def _look_at_loss(self, loss, frame):
        frames = user_frames(frame) if self._trace is not None or self._templates else []
        if self._trace is not None:
            self._end_trace(loss, frames)
        if not loss.is_cpu and not self._watcher.is_forced:
            return  # to look would be to wait for the device; after trouble it is worth it
        template = self._template(frames)
        gathered = template.gather(frames, loss) if template is not None else {}
        if math.isfinite(loss.item()):
            self._n_calm += 1
            gathered = gathered if template is not None else steep(loss)
            self._last = (loss.detach(), list(self._calls), template, gathered)
        elif not self._is_only_scaled(loss):
            self._on_failure(self._moment.forward, loss, list(self._calls), template, gathered)

    def _template(self, frames):
        """The program of a traced step that fits this one; of calls that nobody has used: goes."""
        if not self._templates:
            return None
        known = self._templates.get(_line(frames)) if frames else None
        if known is not None and known.fits(self._calls):
            return known
        for one in self._templates.values():
            last = self._calls[-len(one.modules):] if one.modules else []
            if one.fits(last):
                self._calls[:] = last
                return one
        return None

    def _is_only_scaled(self, loss):
        """Tell whether the loss itself is finite, and only its product with the loss scale not."""
        for ref, _, given in self._scaled:
            if ref() is loss:
                return bool(torch.isfinite(given).all())
        return False

    def on_bad_value(self, frame):
        """A number that was logged is trouble, and no backward() was called on it."""
        if self.is_on and not self.is_guarded and not self._has_missed:
            self._has_missed = True
            self._run.event("what first was not finite is not known: the budget did not pay for "
                            "guarding this step; watch(every=1), or a larger BARO_BUDGET, guards "
                            "more")
        if self._may_hold_rest():
            self._look_at_rest(user_frames(frame))

    def _may_hold_rest(self):
        """Tell whether something of the step has come to no backward()."""
        return self.is_guarded and not self._n_within and (
            bool(self._calls) or self._n_backward == 0)

    def on_failed(self):
        """The program ends with an exception: it may be one that somebody raises at a NaN."""
        if not self._may_hold_rest():
            return
        trace = sys.exc_info()[2] or getattr(sys, "last_traceback", None)
        frames = []
        while trace is not None:
            frames.insert(0, trace.tb_frame)
            trace = trace.tb_next
        self._depth = 0
        self._look_at_rest([one for one in frames if is_users(one.f_code.co_filename)])

    def _look_at_rest(self, frames):
        """Look whether a step that came to no backward() was not finite."""
        self._stop_trace()
        try:
            template = self._template(frames)
            loss, gathered = None, {}
            if template is not None:
                loss = template.loss_in(frames)
                if not is_bad_loss(loss):
                    loss = None
                gathered = template.gather(frames, loss)
            elif self._last is None:
                loss = bad_loss_in(frames)
            if loss is None and not self._calls:
                return
            self._on_failure(self._moment.forward, loss, list(self._calls), template, gathered)
        except Exception as error:
            self._fail("step", error)
        self._calls.clear()

    def _look_at_skipped(self):
        """A model is called anew: if a whole step came before it, it came to no backward().

        The loop may have left it at a loss that is not finite, which its variable still holds;
        others (the targets) hold those of the next batch by now.
        """
        if not any(one.fits(self._calls) for one in self._templates.values()):
            return
        frames = user_frames(sys._getframe(2))
        for template in self._templates.values():
            loss = template.loss_in(frames) if template.fits(self._calls) else None
            if is_bad_loss(loss):
                self._on_failure(self._moment.forward, loss, list(self._calls), template,
                                 template.gather([], loss))
                self._calls.clear()
                return

    # ---- gradients ----

    def before_step(self):
        """An optimiser is about to use the gradients."""
        if self._last is None and self._trace is None:
            self._calls.clear()
            return
        began = self._watcher.clock()
        try:
            self._stop_trace()
            self.look_at_gradients()
        except Exception as error:
            self._fail("gradients", error)
        self._last = None
        self._calls.clear()
        self._spent(began)

    def look_at_gradients(self):
        """Look at a few of them; at all of them after trouble."""
        if self._last is None:
            return
        is_whole = self._watcher.n_forced > 0
        for model in self._watcher.models:
            if is_whole:
                looked = [entry.parameter for entry in model.parameters.entries]
            else:
                if model.looked[0] != model.parameters.n_scans:
                    model.looked = (model.parameters.n_scans, _to_look_at(model, self._edges))
                looked = model.looked[1]
            for parameter in looked:
                if self._is_bad(parameter.grad, is_whole):
                    self.on_bad_gradient()
                    return

    def _is_bad(self, gradient, is_whole):
        """Tell whether a gradient is not finite; is_whole: look at all of it."""
        if gradient is None or gradient.is_sparse or not (gradient.is_cpu or is_whole):
            return False
        if not is_whole:  # few calls, and none that computes: each finds the caches cold
            kind = _FLOATS.get(gradient.dtype)
            if kind is not None and gradient.is_contiguous():
                n = gradient.numel()
                return self._is_finite(kind, gradient.data_ptr(), min(n, N_LOOKED)) == 0
        total = gradient.sum().item()  # may be complex, and overflow
        return not cmath.isfinite(total) and not bool(gradient.isfinite().all())

    def on_norm(self, total):
        """clip_grad_norm_() gives the norm of the gradients."""
        if self._last is not None and total.is_cpu and not math.isfinite(total.item()):
            self.on_bad_gradient()

    def on_bad_gradient(self):
        """A gradient is not finite, though the loss is."""
        last, self._last = self._last, None
        if last is None or not self.is_on:
            return
        if self._scaled:
            _, result, given = self._scaled[-1]
            if abs(float(result)) > abs(float(given)):
                return  # it is the loss scale that is too high: GradScaler sees to it
        self._on_failure(self._moment.backward, *last)

    # ---- failures ----

    def _on_failure(self, capture, loss, calls, template, gathered):
        is_new = self._n_calm >= CALM_LOSSES or self._n_failures == 0
        if not is_new or self._n_failures >= MAX_FAILURES or self._n_in_vain >= MAX_FAILURES:
            self._n_calm = 0
            return
        self._n_before = max(0, self._n_backward - (capture == self._moment.backward))
        origin, is_told = None, False
        if is_new and loss is not None and self._n_in_vain == 0:  # who is killed meanwhile has said it
            self._run._begin_step()
            what = ("gradients became NaN or infinite" if capture == self._moment.backward else
                    f"the loss became {'NaN' if math.isnan(loss.item()) else 'infinite'}")
            self._run.event(f"barograph: {what}: the step is computed again to find out why")
            is_told = True
        try:
            origin = capture(loss, calls, template, gathered)
        except Exception as error:
            self._fail("failure", error)
        if origin is None:  # what comes next may show more of it
            self._n_in_vain += loss is not None
            if is_told:
                self._run.event("barograph: not found what first was not finite")
            return
        self._n_calm = 0
        self._n_failures += 1
        if origin is not None:
            where = f" in '{origin.op.module}'" if origin.op is not None and origin.op.module else ""
            source = f" ({origin.op.source})" if origin.op is not None and origin.op.source else ""
            self._run.event(f"barograph: first not finite: {origin.cause}{where}{source}")
            self._run.event(f"barograph: to do it again: torch {torch.__version__}, Python "
                            f"{sys.version.split()[0]}, torch's seed {torch.initial_seed()}")

    def _fail(self, what, error):
        self._watcher.tell_failure(("probe", what, type(error).__name__),
                                   f"no probe could be made ({what}): {error!r}")


def _is_bare(module):
    """Tell whether a model only holds tensors, and is never called."""
    return hasattr(module, "has_no_forward") or (
        getattr(type(module), "forward", None) is torch.nn.Module.forward)


def _may_compile():
    """Tell whether torch.compile() has been asked for anything in this process."""
    frames = sys.modules.get("torch._dynamo.eval_frame")
    if frames is None:
        return False
    known = getattr(frames, "cached_backends", None)
    return known is None or any(callable(one) for one in known.values())


def _has_compiled_something():
    """Tell whether torch.compile() has been at work in this process."""
    utils = sys.modules.get("torch._dynamo.utils")
    return bool(getattr(utils, "counters", {}).get("frames"))


def _line(frames):
    return frames[0].f_code, frames[0].f_lineno


def _named(args, kwargs):
    """What a model is given, as (name, tensor)."""
    found = []
    many = len(args) > 1 or bool(kwargs)
    for at, value in enumerate(args):
        for suffix, tensor in layout.tensors_in(value):
            found.append((f"input{f'.{at}' if many else ''}{suffix}", tensor))
    for key, value in kwargs.items():
        for suffix, tensor in layout.tensors_in(value):
            found.append((f"input.{key}{suffix}", tensor))
    return found


def _to_look_at(model, edges):
    """The parameters whose gradients show the most for least; edges: names of known ones."""
    small = [entry for entry in model.parameters.entries
             if entry.parameter.requires_grad and entry.parameter.numel() <= MAX_LOOKED]
    known = [entry for entry in small if entry.name in edges][:2 * MAX_EDGES]
    looked = [entry.parameter for entry in known]
    if hasattr(model.ref(), "has_no_forward"):   # their order says nothing
        return [entry.parameter for entry in small[:MAX_CALLS]]
    if not any(edges[entry.name] for entry in known):
        looked += sorted((entry.parameter for entry in small[:2]), key=torch.numel)[:1]
    return looked
