# SPDX-License-Identifier: Apache-2.0
"""Weights that must be the same on all ranks: a number from each rank to compare.

Under DistributedDataParallel every rank holds the same weights, bit for bit. At every 4th log()
each rank sums up the bit patterns of the next 32,768 or fewer elements as whole numbers, which
comes out the same on any machine and in any order, and logs them as scalars `replicated/NAME`
(the sum modulo 2^52). All ranks look at the same elements at the same step, so unlike numbers are
unlike weights; the daemon compares them and raises an alert.
"""
import torch

PERIOD = 4             # calls of log() from one look to the next
MAX_ELEMENTS = 32768   # of one look
MAX_TENSORS = 4        # of one look
_WORDS = {8: torch.int64, 4: torch.int32, 2: torch.int16, 1: torch.uint8}


def checksum(tensor, first, end):
    """Sum of the bit patterns of elements first to end, as a tensor: nothing is waited for."""
    part = tensor.detach().reshape(-1)[first:end]
    words = part.view(_WORDS[part.element_size()])
    return words.sum(dtype=torch.int64) & (2**52 - 1)


class Replicas:
    """Goes through the weights of all models that are replicated."""

    def __init__(self, run):
        self._run = run
        self._models = []
        self._n_closed = 0
        self._at = (0, 0)  # tensor and element that are next

    def add(self, model):
        """Compare the weights of this model."""
        if model not in self._models:
            self._models.append(model)

    @property
    def has_any(self):
        """True when there are weights to compare."""
        return bool(self._models)

    def close_step(self):
        """At log(): look, if it is time."""
        if not self._models:
            return
        self._n_closed += 1
        if self._n_closed % PERIOD == 1:
            self._look()

    def _look(self):
        entries = [entry for model in self._models for entry in model.parameters.entries]
        left = MAX_ELEMENTS
        at, first = self._at
        sums = {}
        for _ in range(min(MAX_TENSORS, len(entries))):
            at = at if at < len(entries) else 0
            name, tensor = entries[at].name, entries[at].parameter
            end = min(tensor.numel(), first + left)
            if tensor.is_contiguous() and tensor.element_size() in _WORDS and end > first:
                sums[f"replicated/{name}"] = checksum(tensor, first, end)
                left -= end - first
            at, first = (at, end) if end < tensor.numel() else (at + 1, 0)
            if left <= 0:
                break
        self._at = (at, first)
        self._run._push_values(sums, "", 0)
