# SPDX-License-Identifier: Apache-2.0
"""What one step of an optimiser does to the weights, and what the optimiser remembers.

    role "update"  NAME: after - before, with update_ratio = |after - before| / |before|, and of
                   each unit also change = 1 - cos(before, after)
    role "opt"     NAME/exp_avg, NAME/exp_avg_sq, NAME/momentum_buffer, ...: what the optimiser
                   keeps for the weight, as far as it has the weight's shape
    scalars        NAME/rho = mean(g^2) / mean(v), of matrices and larger; see rho()

A watcher calls this from its wrapper around optimizer.step:

    updates = Updates(run, cadence)
    is_waiting = updates.before(optimizer, entries)
    result = original_step()
    if is_waiting:
        updates.after(optimizer)

Nothing here changes the training: no random number is drawn, no gradient is recorded, weights
and state are only read. What the weights were is copied to a buffer of at most 64 MiB, which is
kept. When more is due than fits, weights take turns; of one that does not fit alone, every k-th
row is measured, one event says so, and it has no statistics of units. On a GPU copies are made and
compared there, of at most 64 MiB, too. Sparse tensors are passed over, and so are weights without
a gradient, which optimisers skip.

What is due is told by libbaro's governor, which is asked about updates and state together with
all else that is watched. State is looked at in every fourth step at most: it moves slowly, and a
step's worth of it (two tensors a weight for Adam) costs more than the update itself.
"""
import ctypes
import time
import weakref

import torch

from . import _device, _native, _tensors

COPY_BYTES = 64 << 20  # that the weights' former values take at most
ALIGN = 64
STATE_EVERY = 4        # steps of an optimiser between looks at its state
RHO_RUNS = 64          # stretches of a large tensor that rho is computed of,
RHO_RUN = 1024         # and elements in each
MAX_STATES = 8         # tensors of the state of one weight

_FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


class _Weight:
    """What is known of one weight that an optimiser moves."""

    __slots__ = ("name", "ref", "plan", "at", "view", "before", "every", "copy", "states")

    def __init__(self, name):
        self.name = name
        self.ref = None     # weak reference to the parameter
        self.plan = None
        self.at = 0         # index in the plan
        self.view = _tensors.View(name, "update")
        self.view.owner = self
        self.before = _native.Tensor()
        self.every = 1      # of how many rows one is measured
        self.copy = None    # its former values, between before() and after()
        self.states = {}    # key in the optimiser's state: view

    def want(self, view):
        """The governor lets a view be measured: called by the cadence that holds it."""
        if view is self.view:
            self.plan.due.add(self)
        else:
            self.plan.due_states.add(view)


class _Plan:
    """The weights of one optimiser, and what of them is due."""

    def __init__(self, entries, known):
        self.entries = entries
        self.weights = []
        self.due = set()            # weights
        self.due_states = set()     # views
        self.n_steps = 0
        self.first = 0              # where the next look at the weights begins: they take turns
        self.is_looking = False     # the next step looks for what has not been there yet
        self.is_all = False
        self.wants_state = False    # of the step under way
        for name, parameter in entries:
            weight = known.get(name) or _Weight(name)
            weight.ref, weight.plan = weakref.ref(parameter), self
            weight.at = len(self.weights)
            self.weights.append(weight)


class Updates:
    """Measures the steps of all optimisers of a run; a watcher has one."""

    def __init__(self, run, cadence):
        """Make one.

        run      barograph._run.Run
        cadence  of the training phase, which the watcher asks once a step
        """
        self._run = run
        self._cadence = cadence
        self._plans = {}    # id of an optimiser: plan
        self._waiting = {}  # id of an optimiser: [(weight, parameter)] whose copies are held
        self._pool = None   # bytes, as a tensor
        self._used = 0      # of them
        self._used_far = 0  # bytes of copies on other devices

    def before(self, optimizer, entries, roles=("update", "opt"), is_all=False):
        """Take copies of the weights whose update is due; call just before optimizer.step().

        entries  list of (name, parameter) that the run watches and this optimiser holds. Give the
                 same list object each step as long as it is the same: what is prepared from it
                 (ids, views) is kept with it. All of them, not only those due
        roles    which of "update" and "opt" are wanted
        is_all   measure everything, without asking: for a cadence that the user fixed (every=K)
        returns  True when after() has something to do; False: it need not be called

        Books its own time (baro_spent). Never raises.
        """
        began = self._clock()
        try:
            plan = self._plans.get(id(optimizer))
            if plan is None or plan.entries is not entries:
                plan = self._make_plan(optimizer, entries, plan)
            plan.n_steps += 1
            plan.is_all = is_all
            n = plan.n_steps
            is_looking = plan.is_looking or n & (n - 1) == 0 or n % 256 == 0
            plan.is_looking = False
            plan.wants_state = "opt" in roles and (is_all or is_looking or (
                bool(plan.due_states) and plan.n_steps % STATE_EVERY == 0))
            booked_s = 0.0
            if "update" in roles and (plan.due or is_all or is_looking):
                booked_s = self._copy(optimizer, plan, is_looking)
            is_waiting = id(optimizer) in self._waiting or plan.wants_state
            self._run._spent(0, self._clock() - began - booked_s)
            return is_waiting
        except Exception as error:
            self._run._complain(("updates", "before"), f"updates are not measured: {error!r}")
            return False

    def is_idle(self, optimizer, entries):
        """Count a step of which nothing is due, which needs no before(); False: it does."""
        plan = self._plans.get(id(optimizer))
        if (plan is None or plan.entries is not entries or plan.due or plan.due_states
                or plan.is_looking or plan.is_all):
            return False
        n = plan.n_steps + 1
        if n & (n - 1) == 0 or n % 256 == 0:
            return False
        plan.n_steps = n
        return True

    def after(self, optimizer, entries=None):
        """Push what the step did; call just after optimizer.step(), also when that raised.

        entries  not needed: those given to before()

        Books its own time. Never raises.
        """
        began = self._clock()
        booked_s = 0.0
        try:
            with torch.no_grad():
                booked_s = self._push_updates(optimizer)
                plan = self._plans.get(id(optimizer))
                if plan is not None and plan.wants_state:
                    plan.wants_state = False
                    booked_s += self._push_states(optimizer, plan)
        except Exception as error:
            self._run._complain(("updates", "after"), f"updates are not measured: {error!r}")
        self._run._spent(0, self._clock() - began - booked_s)

    def forget(self):
        """Drop all copies and references: the run has ended, or a model is gone."""
        for plan in self._plans.values():
            for weight in plan.weights:
                weight.ref = _gone
        self._plans.clear()
        self._waiting.clear()
        self._pool = None
        self._used = 0

    def _clock(self):
        """Seconds of our own: of all time but that within libbaro, which books its own."""
        return time.perf_counter() - self._run._native_s

    def _make_plan(self, optimizer, entries, before):
        known = {weight.name: weight for weight in before.weights} if before is not None else {}
        plan = self._plans[id(optimizer)] = _Plan(entries, known)
        for weight in known.values():
            if weight.plan is not plan:
                weight.ref = _gone
        return plan

    # ---- before the step ----

    def _copy(self, optimizer, plan, is_looking):
        """Copy the weights that are due, as far as there is room; returns seconds booked."""
        self._waiting.pop(id(optimizer), None)
        if not self._waiting:
            self._used = self._used_far = 0
        asked = plan.weights if plan.is_all or is_looking else plan.due
        n = len(plan.weights)
        wanted = []
        for weight in sorted(asked, key=lambda one: (one.at - plan.first) % n):
            if not weight.view.is_broken and (plan.is_all or not weight.view.id or
                                              weight in plan.due):
                source = self._source(weight, plan.entries[weight.at][1])
                if source is not None:
                    wanted.append((weight, source))
        plan.due.clear()
        if not wanted:
            return 0.0
        self._make_room(sum(_padded(source) for _, source in wanted
                            if not _tensors.is_far(source)))
        held = []
        booked_s = 0.0
        with torch.no_grad():
            for weight, source in wanted:
                began = self._clock()
                weight.copy = self._copied(source)
                if weight.copy is None:
                    plan.first = weight.at  # first at its next turn
                    plan.is_looking = True
                    break
                held.append((weight, plan.entries[weight.at][1]))
                spent_s = self._clock() - began
                booked_s += spent_s
                self._run._spent(weight.view.id, spent_s)
        if held:
            self._waiting[id(optimizer)] = held
        return booked_s

    def _copied(self, source):
        """A copy of a weight, where it lies; None when there is no room."""
        if _tensors.is_far(source):
            if self._used_far + _padded(source) > COPY_BYTES:
                return None
            self._used_far += _padded(source)
            return source.clone()
        if self._used + _padded(source) > len(self._pool):
            return None
        n_bytes = source.numel() * source.element_size()
        room = self._pool[self._used:self._used + n_bytes].view(source.dtype)
        self._used += _padded(source)
        copy = (room.as_strided(source.shape, source.stride())
                if _is_dense(source) else room.view(source.shape))
        return copy.copy_(source)

    def _source(self, weight, parameter):
        """What of a weight is copied: all of it, or every k-th row; None: nothing."""
        view = weight.view
        if parameter.grad is None or parameter.numel() == 0:
            return None
        try:
            source = _tensors.plain(parameter.detach(), view)
            if _tensors.is_far(source) and _device.is_capturing(source.device):
                return None
            if source.dtype not in _FLOATS or source.is_sparse:
                raise _tensors.Unsupported(f"its elements are {source.dtype}")
        except _tensors.Passing as reason:
            self._run._complain(("passing", str(reason)),
                                f"'{view.name}' (update) is not measured: {reason}")
            return None
        except _tensors.Unsupported as reason:
            view.is_broken = True
            self._run._complain(("unsupported", str(reason)),
                                f"'{view.name}' (update) is not measured: {reason}")
            return None
        weight.every = 1
        n_bytes = source.numel() * source.element_size()
        if n_bytes > COPY_BYTES:
            weight.every = -(-n_bytes // COPY_BYTES)
            view.axis = _native.NO_UNITS
            if source.dim() == 0 or source.shape[0] < weight.every:
                source = source.reshape(-1) if source.is_contiguous() else source[:0]
            source = source[::weight.every]
            self._run._complain(("sample", view.name), f"the update of '{view.name}' is "
                                f"measured on every {weight.every}th of its rows: before each "
                                f"step {COPY_BYTES >> 20} MiB of weights are copied at most")
            if source.numel() * source.element_size() > COPY_BYTES or source.numel() == 0:
                view.is_broken = True
                return None
        return source

    def _make_room(self, n_bytes):
        if self._waiting:
            return  # another optimiser's copies lie there
        n_bytes = min(n_bytes, COPY_BYTES)
        if self._pool is None or len(self._pool) < n_bytes:
            self._pool = None
            self._pool = torch.empty(n_bytes, dtype=torch.uint8, device="cpu")

    # ---- after the step ----

    def _push_updates(self, optimizer):
        booked_s = 0.0
        for weight, parameter in self._waiting.pop(id(optimizer), ()):
            began = self._clock()
            copy, weight.copy = weight.copy, None
            now = parameter.detach()
            if now.is_complex():
                now = _tensors.as_real(now, weight.view)
            if weight.every > 1:
                if now.dim() != copy.dim():
                    now = now.reshape(-1)
                now = now[::weight.every]
            if (now.shape == copy.shape and now.dtype == copy.dtype
                    and now.device == copy.device):
                self._push_update(weight, copy, now)
                spent_s = self._clock() - began
                booked_s += spent_s
                self._run._spent(weight.view.id, spent_s)
        if not self._waiting:
            self._used = self._used_far = 0
        return booked_s

    def _push_update(self, weight, copy, now):
        run, view = self._run, weight.view
        view.set_torch(now)
        if not self._declare(view):
            return
        if _tensors.is_far(now):
            run._take_far(view, now, copy)
            return
        before = weight.before
        ctypes.memmove(ctypes.byref(before), view.ref, ctypes.sizeof(before))
        before.data = copy.data_ptr()
        if copy.stride() != now.stride():
            before.strides = None  # the copy is contiguous
        began = time.perf_counter()
        rc = run._lib.baro_update(run._handle, ctypes.byref(before), view.ref)
        run._native_s += time.perf_counter() - began
        if rc < 0:
            view.is_broken = True
            run._complain(("view", "update"), f"'{view.name[:80]}' (update) is left out: "
                          f"{run._strerror(rc)}")

    # ---- the optimiser's state ----

    def _push_states(self, optimizer, plan):
        booked_s = 0.0
        groups = None
        for weight, (name, parameter) in zip(plan.weights, plan.entries):
            state = optimizer.state.get(parameter)
            if not state:
                continue
            for key in _state_keys(state, parameter):
                view = weight.states.get(key)
                if view is None:
                    if len(weight.states) == MAX_STATES:
                        continue
                    view = weight.states[key] = _tensors.View(f"{name}/{key}", "opt")
                    view.owner = weight
                if view.is_broken or (view.id and not plan.is_all
                                      and view not in plan.due_states):
                    continue
                began = self._clock()
                self._push_state(view, state[key])
                if key in _SQUARES and parameter.dim() >= 2:
                    if groups is None:
                        groups = {id(one): group for group in optimizer.param_groups
                                  for one in group["params"]}
                    number = rho(parameter.grad, state, key, groups.get(id(parameter), {}))
                    if number is not None:
                        self._run._push_scalar(f"{name}/rho", number)
                spent_s = self._clock() - began
                booked_s += spent_s
                self._run._spent(view.id, spent_s)
        plan.due_states.clear()
        return booked_s

    def _push_state(self, view, tensor):
        try:
            tensor = _tensors.plain(tensor, view)
            view.set_torch(tensor)
        except _tensors.Unsupported as reason:
            view.is_broken = not isinstance(reason, _tensors.Passing)
            self._run._complain(("unsupported", str(reason)),
                                f"'{view.name}' (opt) is not measured: {reason}")
            return
        if not self._declare(view):
            return
        if _tensors.is_far(tensor):
            self._run._take_far(view, tensor)
        else:
            self._run._push_view(view)

    def _declare(self, view):
        """See that a view has its id, and that the governor is asked about it."""
        if not view.id:
            if not self._run._declare(view):
                return False
            self._cadence.add(view)
        return True


# Running means (Adagrad: sums) of squared gradients, by their key in an optimiser's state; with
# amsgrad the maximum of them is what is divided by.
_SQUARES = ("exp_avg_sq", "max_exp_avg_sq", "square_avg", "sum")


def rho(grad, state, key, group):
    """mean(g^2) / mean(v): how the last gradient compares with what the optimiser expects.

    grad   the gradient that the step has used, as .grad holds it: without weight decay
    v      Adam and its kin: exp_avg_sq / (1 - beta2^t), as the step divides by it (amsgrad: of
           the maximum); RMSprop, Adadelta: square_avg; Adagrad: sum / t, the mean so far
    t      the number of steps, this one included

    Of large tensors both are means of the same even sample: RHO_RUNS stretches of RHO_RUN elements.
    A steady gradient has 1; far above 1 the second moment is behind the gradients. None where it
    is not defined: no gradient, a sparse one or one on another device, v zero everywhere, t or
    beta2 not known, and with amsgrad for the plain exp_avg_sq, which is not divided by.
    """
    squares = state[key]
    if (grad is None or grad.is_sparse or not grad.is_cpu or not squares.is_cpu
            or not grad.is_floating_point() or grad.numel() == 0
            or (key == "exp_avg_sq" and "max_exp_avg_sq" in state)):
        return None
    scale = 1.0
    if key != "square_avg":
        step = state.get("step")
        if isinstance(step, torch.Tensor):
            step = step.item() if step.is_cpu and step.numel() == 1 else None
        if not step:
            return None
        if key == "sum":
            scale = 1.0 / step
        else:
            betas = group.get("betas") or ()
            if len(betas) < 2 or not 0 <= betas[1] < 1:
                return None
            scale = 1.0 / (1.0 - float(betas[1]) ** step)
    if grad.numel() > RHO_RUNS * RHO_RUN and grad.is_contiguous() and squares.is_contiguous():
        grad, squares = _sample(grad), _sample(squares)
    dtype = torch.float32 if grad.element_size() < 4 else None
    mean_v = float(squares.mean(dtype=torch.float32 if squares.element_size() < 4 else None))
    norm = float(torch.linalg.vector_norm(grad, dtype=dtype))
    return norm * norm / grad.numel() / (mean_v * scale) if mean_v != 0 else None


def _sample(tensor):
    """Evenly spread stretches of a contiguous tensor."""
    length = tensor.numel() // RHO_RUNS
    return tensor.reshape(-1)[:RHO_RUNS * length].view(RHO_RUNS, length)[:, :RHO_RUN]


def _state_keys(state, parameter):
    """Keys of the tensors in a weight's state that are like the weight."""
    return [key for key, value in state.items()
            if isinstance(key, str) and isinstance(value, torch.Tensor)
            and value.shape == parameter.shape and value.dim() > 0
            and (value.is_floating_point() or value.is_complex())]


def _gone():
    """A weak reference to nothing."""
    return None


def _is_dense(tensor):
    """Tell whether a tensor fills one stretch of memory, in whatever order."""
    reach = 1
    for size, stride in zip(tensor.shape, tensor.stride()):
        if stride <= 0 < size - 1:
            return False
        reach += (size - 1) * stride
    return reach == tensor.numel()


def _padded(tensor):
    """Bytes that a copy takes in the pool."""
    return -(-tensor.numel() * tensor.element_size() // ALIGN) * ALIGN
