# SPDX-License-Identifier: Apache-2.0
"""Which samples a batch holds, as torch's DataLoader has drawn them.

A loader's iterator asks its sampler for the indices of a batch before it fetches them, maybe
several batches ahead; batches come out in the order that they were asked for. So indices wait in
line, iterator by iterator, until their batch is handed out. The batches of a step are those that
one iterator has given since the last step ended: validation in between uses another.

Only whoever does not say log(batch=) is given these. A wrapper that fetches ahead of the training
(accelerate's) is believed only where a tensor of the batch itself went into the model.
"""
import array
import collections
import collections.abc
import sys
import time
import weakref

import torch
import torch.utils.data as torch_data
from torch.utils.data import dataloader as torch_dataloader

MOST = 4096              # of a step: libbaro keeps no more
N_RECENT = 8             # batches that are remembered beyond their step
BYTES_A_S = 128 << 10    # that indices may take of the ring, on average
BURST_BYTES = 1 << 20
HELD_BYTES = 64 << 20    # of a batch that is held
_watching = weakref.WeakSet()
_last = collections.deque(maxlen=1)   # the last batch, for runs that begin to watch within a step
_given = collections.deque(maxlen=1)  # what a loader gave last
_undo = []


class Batch:
    """One batch that a loader has given."""

    __slots__ = ("indices", "tensors", "iterator")

    def __init__(self, indices, tensors, iterator):
        self.indices = indices
        self.tensors = [(weakref.ref(one), one.data_ptr()) for one in tensors]
        self.iterator = iterator

    def holds(self, tensor):
        """Tell whether a tensor is of this batch, or looks into one of it."""
        return any(ref() is not None and place == tensor.data_ptr() for ref, place in self.tensors)


class Given:
    """What a loader gave last, held until it gives again; few bytes in main memory only."""

    def __init__(self, data, tensors, dataset):
        self.data = data
        self.indices = ()         # of its samples, if they are known
        self._tensors = [(one, one._version) for one in tensors]
        self._dataset = dataset

    @staticmethod
    def may_hold(tensors):
        """Tell whether what a loader gave is held."""
        left = HELD_BYTES
        for one in tensors:
            left -= one.numel() * one.element_size()
            if not one.is_cpu or one.is_inference():
                return False
        return left >= 0

    def tensors(self):
        """The tensors of it."""
        return [one for one, _ in self._tensors]

    def holds(self, tensor):
        """Tell whether a tensor is of it, or looks into it."""
        return any(one.data_ptr() == tensor.data_ptr() for one, _ in self._tensors)

    def is_written(self):
        """Tell whether somebody has written into it since."""
        return any(one._version != version for one, version in self._tensors)

    def anew(self):
        """What the loader gave, also if it has been written into since; None: not to be had."""
        if not self.is_written():
            return self.data
        kept = getattr(self._dataset, "tensors", None)
        if type(self._dataset) is not torch_data.TensorDataset or not self.indices:
            return None
        whole = [one[torch.tensor(self.indices)] for one in kept]
        return whole if isinstance(self.data, (list, tuple)) else None

    def is_finite(self):
        """Tell whether all of it is finite, and there is any."""
        return bool(self._tensors) and all(
            bool(one.isfinite().all()) for one, _ in self._tensors if one.is_floating_point())


class Loads:
    """The batches of one run's steps."""

    def __init__(self, run):
        self._run = run
        self._recent = collections.deque(maxlen=N_RECENT)
        self._step = []          # batches since the last step ended
        self._iterator = 0       # that gave those of the step before
        self._left = BURST_BYTES
        self._left_at = time.monotonic()
        self._told = None        # indices that are told of this step already
        for batch in _last:
            self.on_batch(batch)
        _watching.add(self)
        install()

    @property
    def is_open(self):
        """True when there is something to end with the step."""
        return bool(self._step) or self._told is not None

    def remove(self):
        """The run ends, or this is another process: nothing more is told."""
        _watching.discard(self)
        self._step.clear()
        self._told = None

    def on_batch(self, batch):
        """A loader has given a batch."""
        if len(self._step) < MOST:
            self._step.append(batch)
        self._recent.append(batch)

    def _of_step(self):
        """Batches of the step under way, of the iterator that the training takes from."""
        if not self._step:
            return []
        mine = [one for one in self._step if one.iterator == self._iterator]
        if not mine:
            last = self._step[-1].iterator
            mine = [one for one in self._step if one.iterator == last]
        return mine

    @staticmethod
    def given():
        """What a loader gave last: Given, or None."""
        return _given[0] if _given else None

    def n_last(self):
        """Samples of the last batch; 0: not known."""
        return len(self._recent[-1].indices) if self._recent else 0

    def tell(self, tensors):
        """A failure: tell of the step's samples at once; tensors: what the models were given.

        returns  how many samples of the step come before those of the batch; None: not known
        """
        used = next((one for one in reversed(self._recent)
                     if any(one.holds(tensor) for tensor in tensors)), None)
        mine = self._of_step()
        if used is None:
            if not mine or "accelerate" in sys.modules:
                return None
            used = mine[-1]
        if used not in mine or "accelerate" in sys.modules:
            mine = [used]
        first, indices = 0, []
        for one in mine:
            if one is used:
                first = len(indices)
            indices += one.indices
        if not self._run._gives_batches:
            self._told = indices
            self._push(indices, -1)
        return first

    def close(self):
        """A step ends."""
        if not self._step and self._told is None:
            return
        if (not self._run._gives_batches and self._run._told_step is not None
                and "accelerate" not in sys.modules):
            mine = self._of_step()
            if mine:
                self._iterator = mine[-1].iterator
                indices = [index for one in mine for index in one.indices]
                if self._may_push(len(indices)) and indices != self._told:
                    if self._told is None or indices[:len(self._told)] == self._told:
                        self._push(indices, self._run._told_step)
        self._told = None
        self._step.clear()

    def _may_push(self, n):
        now = time.monotonic()
        self._left = min(BURST_BYTES, self._left + (now - self._left_at) * BYTES_A_S)
        self._left_at = now
        self._left -= 8 * min(n, MOST) if self._left > 0 else 0
        return self._left > 0

    def _push(self, indices, step):
        """Push indices: at the step under way (-1), or at the one that ends."""
        numbers = array.array("q", indices)
        if step < 0:
            self._run._begin_step()
            self._run._lib.baro_batch(self._run._handle, numbers.buffer_info()[0], len(numbers))
        else:
            self._run._lib.baro_batch_at(self._run._handle, step, numbers.buffer_info()[0],
                                         len(numbers))


def _tensors_in(data, depth=2):
    """The tensors of a batch."""
    if isinstance(data, torch.Tensor):
        return [data] if data.layout is torch.strided and data.numel() > 0 else []
    if depth and isinstance(data, (list, tuple)):
        return [one for part in data[:16] for one in _tensors_in(part, depth - 1)]
    if depth and isinstance(data, collections.abc.Mapping):
        return [one for part in list(data.values())[:16] for one in _tensors_in(part, depth - 1)]
    return []


def _as_indices(asked):
    """What a sampler gave, as a list of whole numbers; None: it is something else."""
    if type(asked) is not list:
        asked = [asked] if type(asked) is int else asked
    if isinstance(asked, (list, tuple)) and all(type(one) is int for one in asked):
        return list(asked)
    try:
        return [int(one) for one in asked] if hasattr(asked, "tolist") else [
            one.__index__() for one in asked]
    except (TypeError, AttributeError, ValueError):
        return None


def _ask(original):
    def _next_index(self):
        asked = original(self)
        waiting = self.__dict__.get("_barograph")
        if waiting is None and type(self).__name__ == "_SingleProcessDataLoaderIter":
            waiting = self.__dict__["_barograph"] = collections.deque()  # it asks for one at a time
        if waiting is not None:
            waiting.append(asked)
        return asked
    return _next_index


def _give(original):
    def __next__(self):
        try:
            data = original(self)
        except StopIteration:
            _given.clear()
            raise
        except BaseException:
            if self.__dict__.get("_barograph"):
                self.__dict__["_barograph"].popleft()
            raise
        waiting = self.__dict__.get("_barograph")
        tensors = _tensors_in(data)
        _given.clear()
        if Given.may_hold(tensors):
            _given.append(Given(data, tensors, getattr(self, "_dataset", None)))
        if waiting:
            asked = waiting.popleft()
            try:
                indices = _as_indices(asked) if getattr(self, "_in_order", True) else None
                if indices:
                    if _given:
                        _given[0].indices = indices
                    batch = Batch(indices, tensors, id(self))
                    _last.append(batch)
                    for loads in list(_watching):
                        loads.on_batch(batch)
            except Exception:  # data of an odd kind: the samples are not known then
                pass
        return data
    return __next__


def _begin(original):
    def _reset(self, *args, **kwargs):
        self.__dict__["_barograph"] = collections.deque()  # anew: an epoch may be left early
        return original(self, *args, **kwargs)
    return _reset


def install():
    """See what loaders draw, from now on; iterators that fetch ahead already are not believed."""
    if _undo:
        return
    kind = torch_dataloader._BaseDataLoaderIter
    for name, wrap in (("_next_index", _ask), ("__next__", _give), ("_reset", _begin)):
        was = vars(kind).get(name)
        if was is not None:
            ours = wrap(was)
            ours.__wrapped__ = was
            setattr(kind, name, ours)
            _undo.append((kind, name, was, ours))


def remove():
    """Let loaders be as they were."""
    _last.clear()
    _given.clear()
    while _undo:
        kind, name, was, ours = _undo.pop()
        if vars(kind).get(name) is ours:
            setattr(kind, name, was)
