# SPDX-License-Identifier: Apache-2.0
"""Watching torch models. The only part that imports torch, and only when watch() is called.

What is measured within one step:

    forward      what enters the model, keyword arguments included; what its modules give, each
                 of their first calls
    backward     the gradients of that, from hooks on the tensors themselves
    clipping     the norm before and after (patches.py)
    optimizer    the parameters' gradients, just before the optimiser's step uses them; what the
                 step does to the weights, just after it
    log()        the weights, after that step

so that the order of records is the order of causes. Which tensors a step measures is asked once,
when its first forward pass begins: of libbaro's governor, or with every=K each K-th step of a
model is measured whole. Only modules that are due have a hook, for that step; between steps one
global hook waits for the next forward pass, and torch.save(model) and copies hold nothing of it.

Evaluation (model.training is False) and passes without gradients in training mode are series of
their own, `eval/NAME` and `no_grad/NAME`, with a cadence of their own; of each such phase in a
step the first pass is measured. Evaluation that follows a step of training belongs to it.

Nothing is cloned, converted or synchronised, and no random number is drawn: losses are the same,
bit for bit, with and without watch(). Trouble of ours becomes one event, never an exception.

    watcher.py     a step: when it begins, what is due, the gate through which all tensors go
    model.py       one model: names, phases, inputs
    modules.py     its modules: hooks, outputs, gradients of them
    parameters.py  its weights and gradients; shared, frozen and unused ones
    optimizers.py  optimisers: step() wrapped on the object
    patches.py     clipping, loss scaling, backward()
    compiled.py    calls of models that are compiled, seen from outside of that
    probes.py      steps that are traced, failures that are captured (the work is in _probe/)
    ranks.py       weights that must be alike on all ranks
    cadence.py     the question to the governor
    layout.py      where batch and units lie

Not seen: modules within torch.compile'd ones; gradients that torch.func computes; tensors neither in
main memory nor on a GPU (one event says so). Those on a GPU are measured there (_device.py).
"""
from .arguments import ROLES, check
from .watcher import Watcher

__all__ = ["ROLES", "Watcher", "check"]
