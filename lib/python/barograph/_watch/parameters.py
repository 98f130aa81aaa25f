# SPDX-License-Identifier: Apache-2.0
"""The parameters of a watched model: weights, gradients, and what is odd about them.

A parameter that several modules share is one series, under the first of its names; one event
says which other names it has. Frozen parameters, those that never get a gradient, and those that
no optimiser steps are told once, too. Of a sparse gradient the values are measured as they lie
there (rows that were looked up, before equal ones are added up); its units are the columns.
"""
import torch

from .. import _tensors
from .cadence import Search
from .model import TRAIN

UNUSED_STEPS = 20  # steps of an optimiser after which a parameter without a gradient is told
MAX_TOLD = 8       # names in one event
LAZY = getattr(torch.nn.parameter, "UninitializedTensorMixin", ())


class Entry:
    """One parameter: its name, and the views of its weight and gradient."""

    __slots__ = ("name", "parameter", "weight", "grad")

    def __init__(self, name, parameter, owner):
        self.name = name
        self.parameter = parameter
        self.weight = _tensors.View(name, "weight")
        self.grad = _tensors.View(name, "grad")
        for view in (self.weight, self.grad):
            view.owner, view.phase = owner, TRAIN


def _named(names):
    names = list(names)
    more = f" and {len(names) - MAX_TOLD} others" if len(names) > MAX_TOLD else ""
    return ", ".join(f"'{name}'" for name in names[:MAX_TOLD]) + more


class Parameters:
    """All parameters of one model that include and exclude let through."""

    def __init__(self, model):
        self.model = model
        self.entries = []
        self.weights = self.grads = None  # rows of their views
        self.n_scans = 0
        self._due = {"weight": [], "grad": []}      # indices that are due in this step
        self._unseen = {"weight": set(), "grad": set()}  # indices never measured
        self._search = {"weight": Search(), "grad": Search()}
        self._frozen = None
        self._has_told_unused = False

    # ---- which there are ----

    def scan(self, taken):
        """Look at the model's parameters.

        taken   id of a parameter: (parameter, name, model) for all models; added to
        returns  names of a parameter that is shared, as (name, other name)
        """
        module = self.model.ref()
        known = {id(entry.parameter): entry for entry in self.entries}
        before, self.entries, shared = self.entries, [], []
        for full, parameter in self._all_of(module) if module is not None else ():
            first = taken.get(id(parameter))
            if first is not None and first[0] is parameter and first[1:] != (full, self.model):
                shared.append((first[1], full))
                continue
            taken[id(parameter)] = (parameter, full, self.model)
            self.entries.append(known.get(id(parameter)) or Entry(full, parameter, self))
        if (self.weights is None or len(before) != len(self.entries) or
                any(one is not other for one, other in zip(before, self.entries))):
            self._lay_out()
        self.n_scans += 1
        return shared

    def _all_of(self, module):
        for prefix, part in module.named_modules(remove_duplicate=False):
            for name, parameter in part._parameters.items():
                full = self.model.path(f"{prefix}.{name}" if prefix else name)
                if parameter is not None and self.model.wants(full) and not isinstance(
                        parameter, LAZY):
                    yield full, parameter

    def _lay_out(self):
        self.weights = _tensors.Row([entry.weight for entry in self.entries])
        self.grads = _tensors.Row([entry.grad for entry in self.entries])
        for role, row in (("weight", self.weights), ("grad", self.grads)):
            self._due[role].clear()
            self._unseen[role] = {at for at, view in enumerate(row.views) if view.id == 0}
            self._search[role] = Search()

    def has(self, view):
        """Tell whether a view is of a parameter that is still there."""
        row = self.weights if view.role == "weight" else self.grads
        return view.at < len(row.views) and row.views[view.at] is view

    def clear(self):
        """The model is gone."""
        self.entries = []
        self._lay_out()
        self.n_scans += 1

    # ---- what is due ----

    def is_grad_due(self):
        """Tell whether a gradient is due in this step."""
        return bool(self._due["grad"])

    def has_due(self):
        """Tell whether anything is due in this step."""
        return bool(self._due["weight"] or self._due["grad"])

    def open(self):
        """Begin a step: what has never been measured is looked for."""
        for role in ("weight", "grad"):
            unseen = self._unseen[role]
            if unseen and role in self.model.roles and self._search[role].is_time():
                self._due[role].extend(unseen)

    def want(self, view):
        """This view is due."""
        self._due[view.role].append(view.at)

    def want_all(self):
        """Everything is due."""
        for role in ("weight", "grad"):
            if role in self.model.roles:
                self._due[role][:] = range(len(self.entries))

    def close(self):
        """End a step."""
        self._due["weight"].clear()
        self._due["grad"].clear()

    # ---- measuring ----

    def measure_grads(self, held=None):
        """Measure the gradients that are due; held: ids of the parameters to look at."""
        due = self._due["grad"]
        if due:
            due.sort()
            entries = self.entries
            self._measure("grad", self.grads, [
                (at, entries[at].parameter.grad) for at in due
                if held is None or id(entries[at].parameter) in held])

    def measure_weights(self):
        """Measure the weights that are due."""
        due = self._due["weight"]
        if due:
            due.sort()
            self._measure("weight", self.weights, [(at, self.entries[at].parameter)
                                                   for at in due])

    def _measure(self, role, row, tensors):
        self.model.watcher.measure_row(row, tensors)
        unseen = self._unseen[role]
        if unseen:
            unseen.difference_update([at for at, _ in tensors
                                      if row.views[at].id or row.views[at].is_broken])

    # ---- what is odd ----

    @property
    def has_told_frozen(self):
        """True once the frozen parameters are known."""
        return self._frozen is not None

    def report_frozen(self, run):
        """Tell which parameters are frozen, and when that changes."""
        frozen = {entry.name for entry in self.entries if not entry.parameter.requires_grad}
        before, self._frozen = self._frozen, frozen
        if before is None:
            if frozen:
                run._complain(("frozen", self.model.prefix), f"{len(frozen)} of "
                              f"{len(self.entries)} parameters are frozen: "
                              f"{_named(sorted(frozen))}")
            return
        there = {entry.name for entry in self.entries}
        for names, what in ((frozen - before, "are frozen now"),
                            ((before & there) - frozen, "are no longer frozen")):
            if names:
                run._complain(("frozen", self.model.prefix, self.n_scans, what),
                              f"{len(names)} parameters {what}: {_named(sorted(names))}")

    def report_unused(self, run, held):
        """Tell, once, which parameters get no gradient, and which no optimiser steps.

        held  ids of the parameters that the model's optimisers hold
        """
        if self._has_told_unused:
            return
        self._has_told_unused = True
        trained = [entry for entry in self.entries if entry.parameter.requires_grad]
        if "grad" in self.model.roles:
            idle = [entry.name for entry in trained
                    if entry.grad.id == 0 and not entry.grad.is_broken
                    and entry.parameter.grad is None and id(entry.parameter) in held]
            if idle:
                run._complain(("unused", self.model.prefix), f"{len(idle)} parameters have got no "
                              f"gradient in {UNUSED_STEPS} steps: {_named(idle)}")
        astray = [entry.name for entry in trained if id(entry.parameter) not in held]
        if astray and len(astray) < len(trained):
            run._complain(("astray", self.model.prefix), f"{len(astray)} parameters that are not "
                          f"frozen are in no optimiser: {_named(astray)}")
