# SPDX-License-Identifier: Apache-2.0
"""Tensors on a GPU: measured there, read one step late.

take() has the device compute the statistics (_device_ops.py) on its current stream; flush(), at the
end of the step, puts those of all tensors side by side and has them copied to pinned main memory,
still without waiting; push(), when later steps begin, asks whether a copy has arrived, and records
what has at the step that it belongs to. Nothing but these summaries crosses the bus, and nothing
waits for the device but finish(), a little.

A device that falls behind is not pressed: when MAX_SENT steps are on their way, further tensors are
left out until one has arrived, which is counted and told. While a CUDA graph is captured nothing
is measured: it would become part of the graph.

Never run on a GPU as yet: what is proven is proven with tensors in main memory and with tensors
without values (tests/python/test_device.py).

The time that this takes is booked for the tensor when its numbers arrive: of the host, or of the
device (between two events) where that is longer.

BARO_DEVICE_PATH=cpu sends tensors in main memory this way, too; it is for tests, and slower.
"""
import collections
import ctypes
import os
import sys
import time

from . import _native

MAX_SENT = 4       # steps on their way
LAST_WAIT_S = 2.0  # finish() waits so long for the device
KINDS = ("cuda", "mps", "xpu")

is_forced = os.environ.get("BARO_DEVICE_PATH") == "cpu"  # tensors in main memory go this way, too


def is_here(device_type):
    """Tell whether tensors of such a device are measured on it."""
    if device_type == "cpu":
        return is_forced
    torch = sys.modules["torch"]
    return device_type in KINDS and hasattr(getattr(torch, device_type, None), "Event")


def is_capturing(device):
    """Tell whether what is done on a device now becomes part of a CUDA graph."""
    return device.type == "cuda" and sys.modules["torch"].cuda.is_current_stream_capturing()


class _Taken:
    """One tensor whose statistics are computed, or on their way."""

    __slots__ = ("struct", "keep", "name", "role", "view", "numbers", "words", "layout",
                 "at_numbers", "at_words", "host_s", "events")

    def __init__(self, view):
        self.struct = _native.Tensor()
        ctypes.memmove(ctypes.byref(self.struct), view.ref, ctypes.sizeof(self.struct))
        self.struct.data = None
        self.keep = view._keep
        self.view = view
        self.events = None


class _Batch:
    """The tensors of one step on one device."""

    def __init__(self, device, step):
        self.device = device
        self.step = step
        self.taken = []
        self.numbers = self.words = None  # in main memory
        self.sources = None               # on the device, until the copy is done
        self.arrived = None               # an event; None: is there already


class Far:
    """All tensors of a run that are measured where they lie."""

    def __init__(self, run):
        self._run = run
        self._open = {}                    # device: batch of the step under way
        self._sent = collections.deque()
        self._free = []                    # pinned buffers that are not in use
        self._summarised = _native.Summarised()
        self.n_left_out = 0

    def take(self, view, tensor, before=None):
        """Have a tensor measured at the step that libbaro is at.

        view    describes it, name and axis of units; the tensor's memory is not looked at
        before  the same tensor before a step of the optimiser: measure the difference
        returns False when it is left out: the device is behind, or a graph is captured
        """
        began = time.perf_counter()
        import torch
        from . import _device_ops
        device = tensor.device
        if is_capturing(device):
            self._run._complain("capture", "what a CUDA graph does is not measured: while it is "
                                "captured nothing may be added, and replays cannot be seen")
            return False
        if len(self._sent) >= MAX_SENT:
            self._leave_out(1)
            return False
        step = self._run._told_step
        batch = self._open.get(device)
        if batch is not None and batch.step != step:
            self.flush()
            batch = None
        if batch is None:
            batch = self._open[device] = _Batch(device, step)
        taken = _Taken(view)
        first = _timed_event(torch, device)
        with torch.no_grad():
            taken.numbers, taken.words, taken.layout = _device_ops.measure(
                tensor.detach(), taken.struct.unit_axis,
                None if before is None else before.detach(), self._wide)
        if first is not None:
            taken.events = first, _timed_event(torch, device)
        batch.taken.append(taken)
        taken.host_s = time.perf_counter() - began
        self._run._native_s += taken.host_s  # booked when its numbers arrive
        return True

    _wide = None  # for tests: the type to sum in

    def flush(self):
        """The step ends: send what was taken in it to main memory."""
        if not self._open:
            return
        began = time.perf_counter()
        waiting, self._open = self._open, {}
        for batch in waiting.values():
            if batch.taken and len(self._sent) >= MAX_SENT:
                self._leave_out(len(batch.taken))
            elif batch.taken:
                try:
                    self._send(batch)
                    self._sent.append(batch)
                except Exception as error:
                    self._run._complain("device", "tensors of another device are left out: "
                                        f"{error!r}")
        self._book(began, 0.0)

    def _send(self, batch):
        import torch
        device = batch.device
        if device.type == "cuda":
            with torch.cuda.device(device):
                stream = torch.cuda.current_stream()
                for one in batch.taken:  # it may have been measured on another stream
                    stream.wait_event(one.events[1])
                    for part in (one.numbers, one.words):
                        if part is not None:
                            part.record_stream(stream)
        batch.numbers = self._copy(torch, batch, "numbers")
        batch.words = self._copy(torch, batch, "words")
        batch.arrived = self._event(torch, device)

    def _copy(self, torch, batch, what):
        """Put one kind of part of all tensors side by side and copy them."""
        parts, n = [], 0
        for one in batch.taken:
            part = getattr(one, what)
            setattr(one, f"at_{what}", n if part is not None else None)
            if part is not None:
                parts.append(part)
                n += part.numel()
            setattr(one, what, None)
        if not parts:
            return None
        source = torch.cat(parts) if len(parts) > 1 else parts[0]
        room = self._room(torch, n, source)
        room[:n].copy_(source, non_blocking=True)
        batch.sources = (batch.sources or ()) + (source,)
        return room

    def _room(self, torch, n, source):
        """A buffer in main memory; pinned ones are kept, since they are slow to make."""
        for i, one in enumerate(self._free):
            if one.numel() >= n and one.dtype == source.dtype:
                return self._free.pop(i)
        is_pinned = source.device.type == "cuda"
        return torch.empty(1 << max(10, (n - 1).bit_length()), dtype=source.dtype, device="cpu",
                           pin_memory=is_pinned)

    def _event(self, torch, device):
        """Tells by query() when the device has done all that was asked of it so far."""
        if device.type == "cpu":
            return None
        if device.type == "cuda":
            with torch.cuda.device(device):
                event = torch.cuda.Event()
                event.record()
            return event
        event = getattr(torch, device.type).Event()
        event.record()
        return event

    def push(self, wait_s=None):
        """A step begins (or the run ends): record what has arrived.

        wait_s  at the run's end: wait so long for what has not; then it is given up
        """
        self.flush()
        if not self._sent:
            return
        began = time.perf_counter()
        booked = 0.0
        is_last = wait_s is not None
        deadline = began + min(wait_s or 0.0, LAST_WAIT_S)
        while self._sent:
            batch = self._sent[0]
            try:
                if not self._has_arrived(batch, deadline):
                    break
                self._sent.popleft()
                booked += self._record(batch)
            except Exception as error:
                if self._sent and self._sent[0] is batch:
                    self._sent.popleft()
                self._run._complain("device", f"tensors of another device are left out: {error!r}")
        if is_last:
            self._leave_out(sum(len(batch.taken) for batch in self._sent))
            self._sent.clear()
            if self.n_left_out:
                self._run._complain("behind at last", f"{self.n_left_out} tensors were left out "
                                    "in all because their device was behind")
        self._book(began, booked)

    def _has_arrived(self, batch, deadline):
        if batch.arrived is None:
            return True
        while not batch.arrived.query():
            if time.perf_counter() >= deadline:
                return False
            time.sleep(0.001)
        return True

    def _record(self, batch):
        """Record a batch; returns the seconds booked for its tensors, or by libbaro."""
        batch.sources = None
        booked = 0.0
        numbers = _floats(batch.numbers)
        words = batch.words.data_ptr() if batch.words is not None else 0
        run, out = self._run, self._summarised
        for one in batch.taken:
            began = time.perf_counter()
            ctypes.memset(ctypes.byref(out), 0, ctypes.sizeof(out))
            at = one.at_numbers or 0
            one.layout.fill(out, numbers[at:at + one.layout.n_numbers],
                            words + 4 * one.at_words if one.at_words is not None else 0)
            spent = max(one.host_s, _device_s(one.events)) + time.perf_counter() - began
            run._spent(one.struct.id, spent)
            rc = run._lib.baro_summary_at(run._handle, ctypes.byref(one.struct), batch.step,
                                          ctypes.byref(out))
            if rc < 0:
                run._refuse(one.view, rc)
            booked += time.perf_counter() - began
        self._free += [room for room in (batch.numbers, batch.words) if room is not None]
        del self._free[:-2 * MAX_SENT]
        return booked

    def _book(self, began, booked):
        """Book own time since began but for what was booked, and keep it out of other clocks."""
        spent = time.perf_counter() - began
        self._run._native_s += spent
        self._run._spent(0, spent - booked)

    def _leave_out(self, n):
        if n:
            self.n_left_out += n
            self._run._complain("behind", f"a device is {MAX_SENT} steps behind: tensors on it "
                                "are left out until it has caught up")


def _timed_event(torch, device):
    if device.type != "cuda":
        return None
    with torch.cuda.device(device):
        event = torch.cuda.Event(enable_timing=True)
        event.record()
    return event


def _device_s(events):
    """Seconds between two events that have come to pass."""
    if events is None:
        return 0.0
    try:
        return events[0].elapsed_time(events[1]) * 1e-3
    except RuntimeError:
        return 0.0


def _floats(room):
    """The numbers in a buffer of main memory, without a copy until they are read."""
    if room is None:
        return ()
    kind = ctypes.c_double if room.element_size() == 8 else ctypes.c_float
    return (kind * room.numel()).from_address(room.data_ptr())
