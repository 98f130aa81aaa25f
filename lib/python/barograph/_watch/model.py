# SPDX-License-Identifier: Apache-2.0
"""One model given to watch(): what of it is wanted, under which names, and when."""
import fnmatch
import weakref

import torch

from .. import _tensors
from . import layout
from .cadence import Search

TRAIN, EVAL, NO_GRAD = "train", "eval", "no_grad"
MAX_LOOKS = 8  # at what enters a model in vain; then it is looked for when something else is due
PREFIXES = {TRAIN: "", EVAL: "eval/", NO_GRAD: "no_grad/"}


class Model:
    """A watched model: its names, its optimisers, its inputs, and its own count of steps."""

    def __init__(self, module, watcher, every, roles, include, exclude, prefix):
        self.ref = weakref.ref(module)
        self.watcher = watcher
        self.optimizers = []      # weak references
        self.every = every        # measure each n-th of its steps; None: as libbaro says
        self.roles = frozenset(roles)
        self.include = include
        self.exclude = exclude
        self.prefix = prefix
        self.parameters = None    # set by the watcher
        self.entries = set()      # ids of modules of it that are called from outside
        self.is_time_first = False
        self.is_ours = True       # False: its forward pass is compiled and cannot be seen
        self.trains_in_eval = False  # it has been optimised while model.training was False
        self.joined = -1          # stamp of the step that it last took part in
        self.whole = -1           # stamp of the step in which all of it is measured
        self.stepped = -1         # stamp of the step in which an optimiser last moved it
        self.n_steps = 0          # steps that it took part in
        self.n_moves = 0          # steps of its optimisers
        self.looked = (-1, [])    # (scan of the parameters, those whose gradients are looked at)
        self._own = {}            # phase: views that libbaro is not asked about (every=K)
        self._inputs = {}         # (phase, part that is called by itself, suffix): view
        self._wanted_inputs = {}  # phase: stamp of the step in which an input is due
        self._entered = {}        # phase: stamp of the step in which its input was seen
        self._front = None        # name of the module that was called from outside first
        self._search = {phase: Search() for phase in PREFIXES}

    @property
    def model(self):
        """Itself: what owns a view has a model."""
        return self

    # ---- names and phases ----

    def wants(self, name):
        """Tell whether include and exclude let a name through."""
        if self.include and not any(fnmatch.fnmatchcase(name, p) for p in self.include):
            return False
        return not any(fnmatch.fnmatchcase(name, p) for p in self.exclude)

    def path(self, name):
        """Full name of a part of this model."""
        parts = [part for part in name.split(".") if part != "_orig_mod"]  # of torch.compile()
        return ".".join(part for part in (self.prefix, *parts) if part)

    def phase(self):
        """Tell what a forward pass of it now belongs to."""
        module = self.ref()
        has_grad = torch.is_grad_enabled()
        if module is not None and not module.training and not (self.trains_in_eval and has_grad):
            return EVAL
        return TRAIN if has_grad else NO_GRAD

    # ---- cadence ----

    def register(self, view, phase):
        """A view of it has got its id in libbaro, or another one."""
        if self.every is None:
            self.watcher.cadences[phase].add(view)
        elif view.place is None:
            view.place = 0
            self._own.setdefault(phase, []).append(view)

    def join(self):
        """It takes part in the step under way: the first forward pass or optimiser's step."""
        stamp = self.watcher.stamp
        if self.joined == stamp:
            return
        self.joined = stamp
        self.n_steps += 1
        if self.every is not None and ((self.n_steps - 1) % self.every == 0 or
                                       self.watcher.is_forced):
            self.be_whole()

    def be_whole(self):
        """Have everything of it measured in this step."""
        stamp = self.watcher.stamp
        if self.whole == stamp:
            return
        self.whole = stamp
        self.parameters.want_all()
        if self.is_ours:
            self.watcher.modules.want_model(self)

    def want_own(self, phase):
        """Make its own views due; those of libbaro's cadence are made due by the watcher."""
        stamp = self.watcher.stamp
        for view in self._own.get(phase, ()):
            view.due = stamp
            view.owner.want(view)

    # ---- inputs ----

    def want(self, view):
        """One of its inputs is due."""
        self._wanted_inputs[view.phase] = self.watcher.stamp

    def is_idle(self):
        """Tell whether nothing of it is due in this step of training."""
        return (self.every is None and not self.parameters.has_due()
                and self.parameters.has_told_frozen
                and (self._inputs or "input" not in self.roles
                     or self._search[TRAIN].n_looks > MAX_LOOKS)
                and self._wanted_inputs.get(TRAIN) != self.watcher.stamp)

    def enter(self, known, phase, args, keywords):
        """Measure what a forward pass begins with, once a step and phase.

        known     what is known of the module that is called: the model itself, or a part of it
        keywords  a function that gives the keyword arguments
        """
        stamp = self.watcher.stamp
        if self._entered.get(phase) == stamp or "input" not in self.roles:
            return
        self._entered[phase] = stamp
        self._front = self._front or known.name
        part = "" if known.name == self._front else known.name
        is_known = any(key[:2] == (phase, part) for key in self._inputs)
        if not (self._wanted_inputs.get(phase) == stamp or self.whole == stamp or
                (not is_known and self._search[phase].is_time())):
            return
        named = layout.tensors_in(args[0] if len(args) == 1 else args)
        named += [(f".{key}{suffix}", tensor) for key, value in keywords().items()
                  for suffix, tensor in layout.tensors_in(value)]
        for suffix, tensor in named[:layout.MAX_OUTPUTS]:
            self._take_input(phase, part, suffix, tensor)

    def _take_input(self, phase, part, suffix, tensor):
        view = self._inputs.get((phase, part, suffix))
        if view is None:
            view = self._inputs[phase, part, suffix] = _tensors.View(
                f"{PREFIXES[phase]}{part or self.prefix or 'input'}{suffix}", "input",
                hint=_tensors.TIME_FIRST if self.is_time_first else None,
                axis=None if tensor.is_floating_point() else _tensors.NO_UNITS)
            view.owner, view.phase = self, phase
            view.is_broken = not self.wants(view.name) or tensor.dtype is torch.bool
        if view.is_wanted(self.watcher.stamp) or self.whole == self.watcher.stamp:
            self.watcher.measure(view, tensor)
